//! Datagrams to a UDP port or a Unix socket, as few calls as it takes.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, connect, sendmmsg, socket_with, sockopt,
};

use crate::destination::Destination;
use crate::kernel;

/// Datagrams in one call; the kernel takes so many in one buffer.
const MOST: usize = 64;
/// Bytes in one buffer of several datagrams.
const MOST_BYTES: usize = 65_000;
/// So many alike are better sent as one buffer than with what follows.
const ALIKE: usize = 4;
/// Wanted of the kernel, for what a network card has not taken yet.
const SEND_BUFFER: usize = 4 << 20;
/// What most receivers take at once: Python's and SuperCollider's read 8 KiB.
const READ_AT_ONCE: usize = 8192;
/// The longest datagram there is.
pub(crate) const LONGEST: usize = 65_507;

/// A connected socket for datagrams.
#[derive(Debug)]
pub(crate) struct Datagrams {
    socket: OwnedFd,
    /// A Unix socket must be connected again when its receiver was gone.
    destination: Destination,
    is_connected: bool,
    /// Whether the kernel and the card take many in one buffer.
    segments: bool,
}

impl Datagrams {
    pub(crate) fn open(destination: &Destination) -> Result<Datagrams> {
        let is_unix = matches!(destination, Destination::Unix(_));
        let family = match is_unix {
            true => AddressFamily::UNIX,
            false if destination.resolve()?.is_ipv6() => AddressFamily::INET6,
            false => AddressFamily::INET,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::DGRAM, flags, None)?;
        // Both are wishes: the kernel gives what it may.
        sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER).unwrap_or_default();
        sockopt::set_socket_broadcast(&socket, true).unwrap_or_default();
        let mut datagrams = Datagrams {
            socket,
            destination: destination.clone(),
            is_connected: false,
            segments: !is_unix,
        };
        if is_unix {
            // Who is not there yet may come.
            drop(datagrams.connect());
        } else {
            datagrams.connect().with_context(|| destination.to_string())?;
        }
        Ok(datagrams)
    }

    fn connect(&mut self) -> io::Result<()> {
        match &self.destination {
            Destination::Unix(path) => {
                connect(&self.socket, &SocketAddrUnix::new(path)?)?
            }
            other => {
                connect(&self.socket, &other.resolve().map_err(io::Error::other)?)?;
            }
        }
        self.is_connected = true;
        Ok(())
    }

    /// The longest datagram that should be sent where the user says nothing: what the route
    /// takes in one piece, and receivers in one read.
    pub(crate) fn usual_length(&self) -> usize {
        let (is_v6, headers) = match self.destination.resolve() {
            Ok(address) if address.is_ipv6() => (true, 48),
            Ok(_) => (false, 28),
            Err(_) => return READ_AT_ONCE,
        };
        let mtu = kernel::route_mtu(self.socket.as_fd(), is_v6).unwrap_or(1500);
        mtu.saturating_sub(headers).clamp(512, READ_AT_ONCE)
    }

    /// What was said of datagrams that went out, and not told yet.
    pub(crate) fn refusal(&self) -> Option<io::Error> {
        sockopt::socket_error(&self.socket).ok()?.err().map(io::Error::from)
    }

    /// Sends the first of the datagrams that lie back to back in `bytes`; how many.
    pub(crate) fn send(&mut self, bytes: &[u8], lengths: &[u32]) -> io::Result<usize> {
        if !self.is_connected {
            self.connect()?;
        }
        let sent = self.send_some(bytes, lengths);
        if let Err(err) = &sent
            && matches!(self.destination, Destination::Unix(_))
            && err.kind() != ErrorKind::WouldBlock
        {
            self.is_connected = false;
        }
        sent
    }

    fn send_some(&mut self, bytes: &[u8], lengths: &[u32]) -> io::Result<usize> {
        let (alike, len) = alike(lengths);
        let pays = alike >= ALIKE || alike > 1 && alike == lengths.len();
        if self.segments && pays {
            let each = lengths[0] as u16;
            match kernel::send_segments(self.socket.as_fd(), &bytes[..len], each) {
                Ok(()) => return Ok(alike),
                Err(err) if is_refusal_of_segments(&err) => self.segments = false,
                Err(err) => return Err(err),
            }
        }
        self.send_each(bytes, lengths)
    }

    fn send_each(&self, bytes: &[u8], lengths: &[u32]) -> io::Result<usize> {
        let mut rest = bytes;
        let parts: [[IoSlice<'_>; 1]; MOST] = std::array::from_fn(|n| {
            let len = lengths.get(n).map_or(0, |len| *len as usize);
            let (part, after) = rest.split_at(len);
            rest = after;
            [IoSlice::new(part)]
        });
        let mut controls: [SendAncillaryBuffer<'_, '_, '_>; MOST] =
            std::array::from_fn(|_| SendAncillaryBuffer::default());
        let count = lengths.len().min(MOST);
        if count == 1 {
            let control = &mut controls[0];
            let sent = rustix::net::sendmsg(
                &self.socket,
                &parts[0],
                control,
                SendFlags::NOSIGNAL,
            );
            return Ok(sent.map(|_| 1)?);
        }
        let mut parts = parts.iter();
        let mut messages = controls
            .each_mut()
            .map(|control| MMsgHdr::new(parts.next().map_or(&[], |part| part), control));
        let messages = &mut messages[..count];
        Ok(sendmmsg(&self.socket, messages, SendFlags::NOSIGNAL)?)
    }
}

/// How many datagrams at the front can be one buffer, as they have one length but for the
/// last, and its bytes.
fn alike(lengths: &[u32]) -> (usize, usize) {
    let Some(first) = lengths.first().copied() else { return (0, 0) };
    let (mut count, mut bytes) = (0, 0);
    for length in lengths.iter().take(MOST) {
        if *length > first || bytes + *length as usize > MOST_BYTES {
            break;
        }
        (count, bytes) = (count + 1, bytes + *length as usize);
        if *length < first {
            break;
        }
    }
    (count, bytes)
}

/// Whether it was not the datagrams that were refused, but their being in one buffer.
fn is_refusal_of_segments(err: &io::Error) -> bool {
    let refusals =
        [Errno::INVAL, Errno::IO, Errno::OPNOTSUPP, Errno::MSGSIZE, Errno::NOPROTOOPT];
    refusals.iter().any(|errno| err.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_of_one_length_and_a_shorter_last_are_one_buffer() {
        assert_eq!(alike(&[100, 100, 60, 100]), (3, 260));
        assert_eq!(alike(&[100, 120]), (1, 100));
        assert_eq!(alike(&[8; 100]), (64, 512));
        assert_eq!(alike(&[30_000; 5]), (2, 60_000));
        assert_eq!(alike(&[]), (0, 0));
    }
}
