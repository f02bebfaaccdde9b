//! Addresses as ZeroMQ writes them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a socket binds or connects to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `tcp://host:port`.
    Tcp {
        /// A name or address; `*` for all interfaces, which only a socket that binds can
        /// have. IPv6 addresses are without their brackets.
        host: String,
        /// The port; 0, written `*`, for any that is free.
        port: u16,
    },
    /// `ipc://path`.
    Ipc(PathBuf),
}

/// Why a text is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: {why}")]
pub struct BadEndpoint {
    text: String,
    why: &'static str,
}

const FORMS: &str = "endpoints are tcp://HOST:PORT and ipc://PATH";
/// What fits into a socket's address, with its closing NUL.
const MAX_PATH: usize = 107;

impl Endpoint {
    /// The endpoint with the same host and the port `n` further; `None` for `ipc`, for a
    /// port that is yet to be chosen, and behind the last port.
    pub fn neighbour(&self, n: i32) -> Option<Endpoint> {
        match self {
            Endpoint::Tcp { host, port } if *port != 0 => {
                let port = u16::try_from(i32::from(*port).checked_add(n)?).ok()?;
                (port != 0).then(|| Endpoint::Tcp { host: host.clone(), port })
            }
            _ => None,
        }
    }

    /// Whether other machines can reach a socket that binds here.
    pub fn is_public(&self) -> bool {
        match self {
            Endpoint::Tcp { host, .. } => {
                let address = host.parse::<std::net::IpAddr>();
                host != "localhost" && !address.is_ok_and(|ip| ip.is_loopback())
            }
            Endpoint::Ipc(_) => false,
        }
    }

    /// Checks that one can connect here: a host and a port that are certain.
    pub fn for_connecting(self) -> Result<Endpoint, BadEndpoint> {
        let why = match &self {
            Endpoint::Tcp { host, .. } if host == "*" => "* is no host to connect to",
            Endpoint::Tcp { port: 0, .. } => "a port is needed to connect to",
            _ => return Ok(self),
        };
        Err(BadEndpoint { text: self.to_string(), why })
    }
}

impl FromStr for Endpoint {
    type Err = BadEndpoint;

    fn from_str(text: &str) -> Result<Endpoint, BadEndpoint> {
        let bad = |why| BadEndpoint { text: text.into(), why };
        match text.split_once("://") {
            Some(("tcp", address)) => tcp(address).map_err(bad),
            Some(("ipc", "")) => Err(bad("a path is missing behind ipc://")),
            Some(("ipc", path)) if path.len() > MAX_PATH => {
                Err(bad("the path is too long for a socket; 107 bytes fit"))
            }
            Some(("ipc", path)) => Ok(Endpoint::Ipc(path.into())),
            _ => Err(bad(FORMS)),
        }
    }
}

fn tcp(address: &str) -> Result<Endpoint, &'static str> {
    let (host, port) = address.rsplit_once(':').ok_or("a port is missing")?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if bare.is_none() && host.contains(':') {
        return Err("IPv6 addresses are written in brackets: tcp://[::1]:5556");
    }
    if host.is_empty() {
        return Err("a host is missing; * is all interfaces, 127.0.0.1 this machine");
    }
    let port = match port {
        "*" => 0,
        port => port.parse().map_err(|_| "the port is no number from 0 to 65535")?,
    };
    Ok(Endpoint::Tcp { host: bare.unwrap_or(host).into(), port })
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp { host, port } => {
                let (open, close) =
                    if host.contains(':') { ("[", "]") } else { ("", "") };
                write!(f, "tcp://{open}{host}{close}:")?;
                if *port == 0 { f.write_str("*") } else { write!(f, "{port}") }
            }
            Endpoint::Ipc(path) => write!(f, "ipc://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_written_as_they_are_read() {
        for text in [
            "tcp://127.0.0.1:5556",
            "tcp://*:5556",
            "tcp://127.0.0.1:*",
            "tcp://[::1]:7",
            "tcp://rig.local:65535",
            "ipc:///tmp/rig.sock",
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_endpoint_is_told_with_its_text() {
        for (text, why) in [
            ("rig:5556", FORMS),
            ("udp://rig:5556", FORMS),
            ("tcp://rig", "a port is missing"),
            ("tcp://:5", "a host is missing"),
            ("tcp://rig:70000", "from 0 to 65535"),
            ("tcp://::1:5", "in brackets"),
            ("ipc://", "a path is missing"),
        ] {
            let err = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(err.contains(why) && err.contains(text), "{err}");
        }
        let long = format!("ipc:///{}", "x".repeat(120));
        assert!(long.parse::<Endpoint>().is_err());
    }

    #[test]
    fn a_neighbour_has_the_same_host() {
        let rig: Endpoint = "tcp://rig:5556".parse().unwrap();
        assert_eq!(rig.neighbour(1).unwrap().to_string(), "tcp://rig:5557");
        assert_eq!(rig.neighbour(-5556), None);
        assert_eq!(rig.neighbour(i32::MAX), None);
        assert_eq!("tcp://rig:*".parse::<Endpoint>().unwrap().neighbour(1), None);
        assert_eq!("ipc://x".parse::<Endpoint>().unwrap().neighbour(1), None);
    }

    #[test]
    fn only_loopback_and_files_are_private() {
        for (text, public) in [
            ("tcp://*:1", true),
            ("tcp://0.0.0.0:1", true),
            ("tcp://rig:1", true),
            ("tcp://127.0.0.5:1", false),
            ("tcp://[::1]:1", false),
            ("tcp://localhost:1", false),
            ("ipc://x", false),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().is_public(), public, "{text}");
        }
    }
}
