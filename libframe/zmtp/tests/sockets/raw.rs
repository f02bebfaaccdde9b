//! A peer made of bytes.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use libframe_zmtp::{Endpoint, greeting, put_command, put_message};

/// Where one can connect to an endpoint.
pub(crate) fn address(endpoint: &Endpoint) -> String {
    endpoint.to_string().trim_start_matches("tcp://").to_owned()
}

pub(crate) fn connect(endpoint: &Endpoint) -> TcpStream {
    let stream = TcpStream::connect(address(endpoint)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// A listener, and the endpoint that leads to it.
pub(crate) fn listener() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    (listener, endpoint.parse().unwrap())
}

/// A greeting and READY.
pub(crate) fn handshake(minor: u8, socket_type: &str) -> Vec<u8> {
    let mut bytes = greeting().to_vec();
    bytes[11] = minor;
    let len = (socket_type.len() as u32).to_be_bytes();
    put_command(&mut bytes, "READY", &[b"\x0BSocket-Type", &len, socket_type.as_bytes()]);
    bytes
}

/// A subscriber to everything.
pub(crate) fn subscriber(endpoint: &Endpoint, minor: u8) -> TcpStream {
    let mut bytes = handshake(minor, "SUB");
    match minor {
        0 => put_message(&mut bytes, &[b"\x01"]),
        _ => put_command(&mut bytes, "SUBSCRIBE", &[b""]),
    }
    let mut stream = connect(endpoint);
    stream.write_all(&bytes).unwrap();
    stream
}

/// Reads until the other side hangs up, or has nothing for `quiet`.
pub(crate) fn read_all(stream: &mut TcpStream, quiet: Duration) -> Vec<u8> {
    stream.set_read_timeout(Some(quiet)).unwrap();
    let (mut all, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
    while let Ok(n @ 1..) = stream.read(&mut chunk) {
        all.extend_from_slice(&chunk[..n]);
    }
    all
}

/// Whether the other side hung up.
pub(crate) fn is_closed(stream: &mut TcpStream) -> bool {
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(err) => return err.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}
