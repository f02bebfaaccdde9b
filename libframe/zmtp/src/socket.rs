//! Sockets that never block: the one file that knows addresses and their families.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use rustix::net::{Shutdown, sockopt};

use crate::endpoint::Endpoint;
use crate::fault::Fault;

/// What a burst may bring while the reader is busy.
const RECEIVE_BUFFER: usize = 8 << 20;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;
/// How long an idle connection may be dead before the kernel tells.
const DEAD: Duration = Duration::from_secs(15);
/// How long what was sent may go unacknowledged, or find no room. Long enough for a
/// subscriber that is suspended for a while; without it, it would be a quarter of an hour.
#[cfg(target_os = "linux")]
const STUCK_MS: u32 = 60_000;

/// Where to connect to.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    Internet(SocketAddr),
    Local(PathBuf),
}

impl Address {
    /// The addresses of an endpoint. Asks the resolver, which can take a while for a name
    /// that is neither an address nor in `/etc/hosts`.
    pub(crate) fn of(endpoint: &Endpoint) -> Result<Vec<Address>, Fault> {
        let (host, port) = match endpoint {
            Endpoint::Ipc(path) => return Ok(vec![Address::Local(path.clone())]),
            Endpoint::Tcp { host, port } if host == "*" => ("0.0.0.0", *port),
            Endpoint::Tcp { host, port } => (host.as_str(), *port),
        };
        let found = (host, port).to_socket_addrs();
        let found = found.map_err(|err| Fault::Resolve(format!("{host}: {err}")))?;
        let mut found: Vec<SocketAddr> = found.collect();
        // As libzmq does unless told otherwise; `localhost` would else be bound where its
        // clients do not look.
        found.sort_by_key(SocketAddr::is_ipv6);
        Ok(found.into_iter().map(Address::Internet).collect())
    }

    fn family(&self) -> AddressFamily {
        match self {
            Address::Internet(SocketAddr::V4(_)) => AddressFamily::INET,
            Address::Internet(SocketAddr::V6(_)) => AddressFamily::INET6,
            Address::Local(_) => AddressFamily::UNIX,
        }
    }
}

/// A connection, or the attempt at one.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

impl Socket {
    /// Begins to connect; the socket is writable when that is decided.
    pub(crate) fn connect(address: &Address) -> Result<Socket, Errno> {
        let socket = Socket(open(address.family())?);
        // Must be asked for before connecting: the window's scale is settled then.
        if may_receive(RECEIVE_BUFFER) {
            sockopt::set_socket_recv_buffer_size(&socket.0, RECEIVE_BUFFER)?;
        }
        let begun = match address {
            Address::Internet(address) => net::connect(&socket.0, address),
            Address::Local(path) => {
                net::connect(&socket.0, &SocketAddrUnix::new(path.as_path())?)
            }
        };
        match begun {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(errno) => return Err(errno),
        }
        socket.prepare(address.family())?;
        Ok(socket)
    }

    fn prepare(&self, family: AddressFamily) -> Result<(), Errno> {
        if family == AddressFamily::UNIX {
            return Ok(());
        }
        // Messages are gathered here; the kernel should not gather them again.
        sockopt::set_tcp_nodelay(&self.0, true)?;
        sockopt::set_socket_keepalive(&self.0, true)?;
        #[cfg(target_os = "linux")]
        {
            sockopt::set_tcp_keepidle(&self.0, DEAD / 3)?;
            sockopt::set_tcp_keepintvl(&self.0, DEAD / 3)?;
            sockopt::set_tcp_keepcnt(&self.0, 2)?;
        }
        Ok(())
    }

    /// Whether it is connected to itself, as can happen to who tries a port of its own
    /// machine until somebody listens there.
    pub(crate) fn is_own(&self) -> bool {
        let own = net::getsockname(&self.0).ok().and_then(internet);
        own.is_some()
            && own == net::getpeername(&self.0).ok().flatten().and_then(internet)
    }

    /// Reads once; `None` if nothing is there, 0 at the end.
    pub(crate) fn receive(&self, room: &mut [u8]) -> Result<Option<usize>, Errno> {
        passing(rustix::io::read(&self.0, room))
    }

    /// Writes what the kernel takes now; `None` if that is nothing.
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<Option<usize>, Errno> {
        passing(net::send(&self.0, bytes, SendFlags::NOSIGNAL))
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&self) {
        // One that is gone already needs no word.
        net::shutdown(&self.0, Shutdown::Write).unwrap_or_default();
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits for others to connect.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: OwnedFd,
    endpoint: Endpoint,
    family: AddressFamily,
}

impl Listener {
    /// Binds an endpoint.
    pub(crate) fn bind(endpoint: &Endpoint) -> io::Result<Listener> {
        let named = |err: io::Error| {
            io::Error::new(err.kind(), format!("cannot bind {endpoint}: {err}"))
        };
        let addresses = Address::of(endpoint)
            .map_err(|fault| named(io::Error::other(fault.to_string())))?;
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match listen(&address) {
                Ok(socket) => {
                    let family = address.family();
                    let endpoint = bound(endpoint, &socket)?;
                    return Ok(Listener { socket, endpoint, family });
                }
                Err(errno) => last = errno.into(),
            }
        }
        Err(named(last))
    }

    /// The endpoint, with the port that it really has.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The next who connected, if there is one.
    pub(crate) fn accept(&self) -> Result<Option<Socket>, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match net::accept_with(&self.socket, flags) {
            Ok(socket) => {
                let socket = Socket(socket);
                socket.prepare(self.family)?;
                #[cfg(target_os = "linux")]
                if self.family != AddressFamily::UNIX {
                    sockopt::set_tcp_user_timeout(&socket.0, STUCK_MS)?;
                }
                Ok(Some(socket))
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Endpoint::Ipc(path) = &self.endpoint {
            // Whoever removed it before did the same.
            std::fs::remove_file(path).unwrap_or_default();
        }
    }
}

/// Whether the kernel gives a receive buffer of this size. One that it cuts down would be
/// worse than none: it no longer grows by itself as far as the system lets it.
fn may_receive(bytes: usize) -> bool {
    let most = std::fs::read_to_string("/proc/sys/net/core/rmem_max");
    most.is_ok_and(|most| most.trim().parse().is_ok_and(|most: usize| most >= bytes))
}

fn open(family: AddressFamily) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    net::socket_with(family, SocketType::STREAM, flags, None)
}

fn listen(address: &Address) -> Result<OwnedFd, Errno> {
    let socket = open(address.family())?;
    match address {
        Address::Internet(address) => {
            // A port whose last connections linger is free for the same service.
            sockopt::set_socket_reuseaddr(&socket, true)?;
            net::bind(&socket, address)?;
        }
        Address::Local(path) => {
            let name = SocketAddrUnix::new(path.as_path())?;
            match net::bind(&socket, &name) {
                Err(Errno::ADDRINUSE) if is_left_over(address) => {
                    rustix::fs::unlink(path.as_path())?;
                    net::bind(&socket, &name)?;
                }
                other => other?,
            }
        }
    }
    net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Whether nobody answers at a path any more.
fn is_left_over(address: &Address) -> bool {
    matches!(Socket::connect(address), Err(Errno::CONNREFUSED))
}

fn internet(name: net::SocketAddrAny) -> Option<SocketAddr> {
    name.try_into().ok()
}

fn bound(endpoint: &Endpoint, socket: &OwnedFd) -> io::Result<Endpoint> {
    let Endpoint::Tcp { host, .. } = endpoint else { return Ok(endpoint.clone()) };
    let name: SocketAddr = net::getsockname(socket)?.try_into()?;
    Ok(Endpoint::Tcp { host: host.clone(), port: name.port() })
}

fn passing(result: Result<usize, Errno>) -> Result<Option<usize>, Errno> {
    match result {
        Ok(n) => Ok(Some(n)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(errno) => Err(errno),
    }
}
