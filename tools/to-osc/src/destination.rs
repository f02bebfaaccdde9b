//! Where messages go, as written on the command line.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, Result};

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Each message, or bundle of them, a datagram.
    Udp(String),
    /// One after the other, framed.
    Tcp(String),
    /// As with UDP, on this machine.
    Unix(PathBuf),
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Destination, String> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Destination::Unix(path.into()));
        }
        let hint =
            || format!("{text:?}: say udp://HOST:PORT, tcp://HOST:PORT or unix:PATH");
        let (scheme, rest) = text.split_once("://").ok_or_else(hint)?;
        let address = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = address.rsplit_once(':').ok_or_else(hint)?;
        let is_open = host.contains(':') && !host.starts_with('[');
        match port.parse::<u16>() {
            Ok(1..) if !host.is_empty() && !is_open => {}
            _ => return Err(hint()),
        }
        match scheme {
            "udp" | "osc.udp" => Ok(Destination::Udp(address.into())),
            "tcp" | "osc.tcp" => Ok(Destination::Tcp(address.into())),
            _ => Err(hint()),
        }
    }
}

impl Destination {
    /// Whether what is sent arrives whole or not at all.
    pub(crate) fn has_datagrams(&self) -> bool {
        !matches!(self, Destination::Tcp(_))
    }

    /// The address of a host by its name.
    pub(crate) fn resolve(&self) -> Result<SocketAddr> {
        let (Destination::Udp(address) | Destination::Tcp(address)) = self else {
            anyhow::bail!("{self} has no address");
        };
        let found = address.to_socket_addrs();
        let found = found.with_context(|| {
            format!("{self}: no such host; check the name, or give the address")
        })?;
        // Most receivers listen at IPv4 only, and "localhost" is both.
        let best = found.min_by_key(SocketAddr::is_ipv6);
        best.with_context(|| format!("{self}: the host has no address"))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Udp(address) => write!(f, "udp://{address}"),
            Destination::Tcp(address) => write!(f, "tcp://{address}"),
            Destination::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_and_shown() {
        for text in ["udp://rig:9000", "tcp://[::1]:1", "unix:/run/osc", "unix:osc"] {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), text);
        }
        assert_eq!(
            "osc.udp://rig:9000/".parse(),
            Ok(Destination::Udp("rig:9000".into()))
        );
    }

    #[test]
    fn what_is_none_is_refused_with_the_forms_there_are() {
        for wrong in [
            "rig:9000",
            "udp://rig",
            "udp://:9",
            "udp://a:0",
            "http://a:1",
            "unix:",
            "udp://::1:9",
        ] {
            let error = wrong.parse::<Destination>().unwrap_err();
            assert!(error.contains("udp://HOST:PORT"), "{wrong}: {error}");
        }
    }
}
