//! A TCP connection that comes and goes.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::Result;
use libframe::clock::SECOND;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, connect,
    recv, send, shutdown, socket_with, sockopt,
};

use crate::destination::Destination;
use crate::kernel;

/// How long to wait before the next attempt to connect, and for an attempt to succeed.
const PAUSE: i64 = SECOND / 5;
const PATIENCE: i64 = 3 * SECOND;
/// Bytes given to the kernel at once.
const MOST_BYTES: usize = 1 << 20;

/// A TCP connection that comes and goes.
#[derive(Debug)]
pub(crate) struct Stream {
    address: SocketAddr,
    state: State,
    /// Bytes of the first message that are written already.
    partial: usize,
    /// Bytes written on this connection.
    pub(crate) written: u64,
}

#[derive(Debug)]
enum State {
    /// Until then nothing is tried.
    Away(i64),
    /// An attempt, and when it is given up.
    Trying(OwnedFd, i64),
    Connected(OwnedFd),
}

impl Stream {
    pub(crate) fn open(destination: &Destination) -> Result<Stream> {
        let address = destination.resolve()?;
        Ok(Stream { address, state: State::Away(i64::MIN), partial: 0, written: 0 })
    }

    pub(crate) fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected(_))
    }

    /// When the next attempt is due, if there is no connection.
    pub(crate) fn retry(&self, now: i64) -> i64 {
        match &self.state {
            State::Away(until) => *until,
            // Looked at now and then.
            _ => now + SECOND / 500,
        }
    }

    /// Goes on with connecting. Whether there is a connection now.
    pub(crate) fn connect(&mut self, now: i64) -> io::Result<bool> {
        if self.is_connected() {
            return Ok(true);
        }
        let state = std::mem::replace(&mut self.state, State::Away(now + PAUSE));
        let (state, result) = match state {
            State::Away(until) if now < until => (State::Away(until), Ok(())),
            State::Away(_) => match self.begin() {
                Ok((socket, true)) => (State::Connected(socket), Ok(())),
                Ok((socket, false)) => (State::Trying(socket, now + PATIENCE), Ok(())),
                Err(err) => (State::Away(now + PAUSE), Err(err)),
            },
            State::Trying(socket, until) => match is_writable(&socket) {
                false if now < until => (State::Trying(socket, until), Ok(())),
                false => {
                    (State::Away(now + PAUSE), Err(io::Error::from(ErrorKind::TimedOut)))
                }
                true => match sockopt::socket_error(&socket) {
                    Ok(Ok(())) => (State::Connected(socket), Ok(())),
                    Ok(Err(err)) | Err(err) => {
                        (State::Away(now + PAUSE), Err(err.into()))
                    }
                },
            },
            State::Connected(_) => (state, Ok(())),
        };
        (self.partial, self.written, self.state) = (0, 0, state);
        result.map(|()| self.is_connected())
    }

    fn begin(&self) -> io::Result<(OwnedFd, bool)> {
        let family = match self.address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        match connect(&socket, &self.address) {
            Ok(()) => Ok((socket, true)),
            Err(Errno::INPROGRESS) => Ok((socket, false)),
            Err(err) => Err(err.into()),
        }
    }

    /// Writes messages that lie back to back; how many are all written now. A connection
    /// that is lost is an error other than that it would block.
    pub(crate) fn send(&mut self, bytes: &[u8], lengths: &[u32]) -> io::Result<usize> {
        let State::Connected(socket) = &self.state else {
            return Err(ErrorKind::WouldBlock.into());
        };
        // Who has closed its side reads no more; a write would seem to succeed.
        let (n, _) = match recv(socket, &mut [0u8; 64], RecvFlags::DONTWAIT) {
            Ok(read) => read,
            Err(Errno::AGAIN) => (1, 1),
            Err(err) => return Err(err.into()),
        };
        if n == 0 {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let end = bytes.len().min(self.partial + MOST_BYTES);
        let part = &bytes[self.partial..end];
        let written = send(socket, part, SendFlags::NOSIGNAL)?;
        self.written += written as u64;
        let mut at = self.partial + written;
        let mut messages = 0;
        for length in lengths {
            let Some(rest) = at.checked_sub(*length as usize) else { break };
            (at, messages) = (rest, messages + 1);
        }
        self.partial = at;
        Ok(messages)
    }

    /// Whether the first message is written in part.
    pub(crate) fn is_amid(&self) -> bool {
        self.partial > 0
    }

    /// Bytes of this connection that the peer has acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        match &self.state {
            State::Connected(socket) => {
                self.written.saturating_sub(kernel::unacknowledged(socket.as_fd()))
            }
            _ => self.written,
        }
    }

    /// Gives up the connection; the next is tried after a pause.
    pub(crate) fn close(&mut self, now: i64) {
        self.state = State::Away(now + PAUSE);
        self.partial = 0;
    }

    /// Says that nothing more will be written.
    pub(crate) fn finish(&self) {
        if let State::Connected(socket) = &self.state {
            // What is refused here is closed in any case.
            shutdown(socket, Shutdown::Write).unwrap_or_default();
        }
    }
}

fn is_writable(socket: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::OUT)];
    let none = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&none)).is_ok_and(|n| n > 0)
}
