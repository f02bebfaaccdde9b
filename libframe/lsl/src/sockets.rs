//! The TCP connections of this process, and how far each has got: liblsl's threads own them,
//! and tell nobody.
//!
//! The kernel counts what the other end has acknowledged and what still waits to be. Where
//! it is not Linux, nothing is known, and nobody is seen.

use std::net::SocketAddr;

/// Those that were there at the last look.
#[derive(Debug, Default)]
pub struct Sockets {
    found: Vec<Connection>,
}

/// A connection to a port of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The kernel's number for it, which none will have again.
    pub id: u64,
    /// The port of this process.
    pub port: u16,
    /// Who is at the other end.
    pub peer: SocketAddr,
    /// Bytes that were written to it.
    pub written: u64,
    /// How many of them the other end has not acknowledged.
    pub waiting: u64,
}

impl Sockets {
    /// Those at a port.
    pub fn at(&self, port: u16) -> impl Iterator<Item = &Connection> + Clone {
        self.found.iter().filter(move |connection| connection.port == port)
    }

    /// Whether connections can be seen on this system.
    pub const fn are_seen() -> bool {
        cfg!(target_os = "linux")
    }

    /// Looks again.
    #[cfg(target_os = "linux")]
    pub fn look(&mut self) {
        linux::look(&mut self.found);
    }

    /// Looks again, where there is nothing to be seen.
    #[cfg(not(target_os = "linux"))]
    pub fn look(&mut self) {
        self.found.clear();
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::net::SocketAddr;
    use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};

    use rustix::fs::{FileType, fstat};
    use rustix::net::{AddressFamily, SocketType, getpeername, getsockname, sockopt};

    use super::Connection;

    /// Where `tcpi_bytes_acked` is in the kernel's `tcp_info`, which only grows at its end.
    const BYTES_ACKED: usize = 120;

    pub(super) fn look(found: &mut Vec<Connection>) {
        found.clear();
        let names = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        let numbers = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        found.extend(numbers.filter_map(connection));
    }

    /// What a descriptor is, if it is a connection.
    #[allow(unsafe_code, reason = "the descriptors are liblsl's, which keeps them")]
    fn connection(fd: RawFd) -> Option<Connection> {
        // SAFETY: nothing is done but asking. liblsl may close it at any time, and another
        // file may get its number: then the answers are errors, or the cookie changes.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        if FileType::from_raw_mode(fstat(fd).ok()?.st_mode) != FileType::Socket
            || sockopt::socket_type(fd).ok()? != SocketType::STREAM
        {
            return None;
        }
        let family = sockopt::socket_domain(fd).ok()?;
        if ![AddressFamily::INET, AddressFamily::INET6].contains(&family) {
            return None;
        }
        let peer = SocketAddr::try_from(getpeername(fd).ok()??).ok()?;
        let own = SocketAddr::try_from(getsockname(fd).ok()?).ok()?;
        let id = sockopt::socket_cookie(fd).ok()?;
        // In this order: what is acknowledged between the two is counted too little, never
        // too much.
        let acknowledged = acknowledged(fd)?;
        let waiting = waiting(fd)?;
        let written = acknowledged + waiting;
        let same = sockopt::socket_cookie(fd).ok()? == id;
        same.then_some(Connection { id, port: own.port(), peer, written, waiting })
    }

    /// Bytes that the other end has acknowledged.
    #[allow(unsafe_code, reason = "rustix does not know TCP_INFO")]
    fn acknowledged(fd: BorrowedFd<'_>) -> Option<u64> {
        let mut info = [0u8; 256];
        let mut len = info.len() as libc::socklen_t;
        let (level, name) = (libc::IPPROTO_TCP, libc::TCP_INFO);
        // SAFETY: the kernel writes at most `len` bytes to `info`, which has as many.
        let status = unsafe {
            let to = info.as_mut_ptr().cast();
            libc::getsockopt(fd.as_raw_fd(), level, name, to, &raw mut len)
        };
        let known = status == 0 && len as usize >= BYTES_ACKED + 8;
        let bytes = info.get(BYTES_ACKED..)?.first_chunk()?;
        known.then(|| u64::from_ne_bytes(*bytes))
    }

    /// Bytes that were written and not acknowledged.
    #[allow(unsafe_code, reason = "rustix does not know SIOCOUTQ")]
    fn waiting(fd: BorrowedFd<'_>) -> Option<u64> {
        let mut bytes: libc::c_int = 0;
        // SAFETY: SIOCOUTQ, which is TIOCOUTQ on sockets, writes one int to `bytes`.
        let status =
            unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
        (status == 0).then_some(u64::try_from(bytes).ok()?)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_a_peer_has_not_read_is_seen_to_wait_until_its_kernel_has_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        let (mut server, peer) = listener.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        let mut written = 0;
        // Far more than the other end's buffer holds.
        while let Ok(n) = server.write(&[1; 65536]) {
            written += n as u64;
        }
        let mut sockets = Sockets::default();
        let mut only = || {
            sockets.look();
            let found: Vec<_> = sockets.at(address.port()).copied().collect();
            assert_eq!(found.len(), 1, "{found:?}");
            found[0]
        };
        let full = only();
        assert_eq!((full.written, full.peer), (written, peer));
        assert!(full.waiting > 0 && full.waiting < written, "{full:?}");
        let mut all = vec![0; written as usize];
        client.read_exact(&mut all).unwrap();
        while only().waiting > 0 {
            std::thread::yield_now();
        }
        assert_eq!(only(), Connection { waiting: 0, ..full });
    }
}
