//! Where to listen: this machine alone, unless an address is written out.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};

use crate::textfile::replace;

/// Where metrics are found if nobody says otherwise: the port that OpenTelemetry's
/// Prometheus exporter made usual.
pub(crate) const PORT: u16 = 9464;

/// Reads `9464`, `:9464`, `host:9464`, `*:9464`, `[::1]:9464`, or an address without port.
pub(crate) fn parse(text: &str) -> Result<SocketAddr, String> {
    let wrong = |why: String| {
        format!("{text:?} is no address: {why}; say 9464, 127.0.0.1:9464 or '*:9464'")
    };
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
        None if text.parse::<u16>().is_ok() => ("", text),
        _ => (text, ""),
    };
    let port = match port {
        "" => PORT,
        port => port.parse().map_err(|_| wrong(format!("{port:?} is no port")))?,
    };
    match host.trim_matches(['[', ']']) {
        "" => Ok((Ipv4Addr::LOCALHOST, port).into()),
        "*" => Ok((Ipv4Addr::UNSPECIFIED, port).into()),
        host => {
            let found = (host, port).to_socket_addrs();
            let mut found = found.map_err(|_| wrong(format!("no host {host:?}")))?;
            found.next().ok_or_else(|| wrong(format!("no host {host:?}")))
        }
    }
}

/// Listens there.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).map_err(|err| refused(address, &err))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Why it cannot be, and what to do about it.
fn refused(address: SocketAddr, err: &std::io::Error) -> anyhow::Error {
    match err.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "{address}: something listens there already, perhaps another to-metrics; name \
             another port, or {}:0 with --port-file for any that is free",
            address.ip()
        ),
        ErrorKind::PermissionDenied => anyhow!(
            "{address}: not allowed; ports below 1024 are for root, so name a higher one"
        ),
        ErrorKind::AddrNotAvailable => anyhow!(
            "{address}: no interface of this machine has that address; '*:{}' means all",
            address.port()
        ),
        _ => anyhow!("{address}: cannot listen: {err}"),
    }
}

/// Writes the address for who waits for it: the file appears when it is whole.
pub(crate) fn write_port(file: &Path, address: SocketAddr) -> Result<()> {
    replace(file, format!("{address}\n").as_bytes())
        .with_context(|| format!("--port-file {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_writes_an_address_out_is_heard_outside() {
        let shown = |text: &str| parse(text).map(|address| address.to_string());
        assert_eq!(shown("9100"), Ok("127.0.0.1:9100".into()));
        assert_eq!(shown(":9100"), Ok("127.0.0.1:9100".into()));
        assert_eq!(shown("127.0.0.1"), Ok("127.0.0.1:9464".into()));
        assert_eq!(shown("*:0"), Ok("0.0.0.0:0".into()));
        assert_eq!(shown("[::1]:7"), Ok("[::1]:7".into()));
        assert_eq!(shown("::1"), Ok("[::1]:9464".into()));
        assert!(parse("host:port").is_err_and(|err| err.contains("no port")));
        assert!(parse("1.2.3.4:70000").is_err());
        assert!(parse("no such host:1").is_err_and(|err| err.contains("no host")));
    }
}
