//! One HTTP client: what came of its request, and what is still to be sent. It never waits.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use libframe::clock::SECOND;
use rustix::event::PollFlags;

use crate::request::{self, MAX_HEAD, Parsed, Request};

/// How long a client may take for its first request, and for the rest of one it began.
const REQUEST: i64 = 5 * SECOND;
/// How long a connection may be kept between requests: longer than scrapes are apart.
const BETWEEN: i64 = 300 * SECOND;
/// How long a client may take to read a page.
const REPLY: i64 = 30 * SECOND;
/// How long what a client still sends is read after it was told that it is wrong.
const DRAIN: i64 = SECOND;

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    phase: Phase,
    /// When that began, and when anything moved last.
    since: i64,
    moved: i64,
    input: Vec<u8>,
    /// It asked before.
    is_known: bool,
}

#[derive(Debug)]
enum Phase {
    /// A request is to come, or coming.
    Request,
    Reply(Reply),
    /// All is said, but it may still be talking. To close now would take away from it what
    /// it has not read yet.
    Drain,
    Closed,
}

/// What is being sent.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) head: Vec<u8>,
    pub(crate) body: Arc<Vec<u8>>,
    /// The connection lasts.
    pub(crate) keep: bool,
    /// It has the last figures there will be.
    pub(crate) is_last: bool,
    pub(crate) sent: usize,
}

/// What a client's turn brought.
#[derive(Debug)]
pub(crate) enum Turn {
    Wait,
    Request(Request),
    /// What came is no request.
    Wrong(u16),
    /// A reply was sent; whether it had the last figures.
    Sent(bool),
}

impl Client {
    pub(crate) fn new(stream: TcpStream, now: i64) -> Client {
        let phase = Phase::Request;
        Client {
            stream,
            phase,
            since: now,
            moved: now,
            input: Vec::new(),
            is_known: false,
        }
    }

    /// What to wait for.
    pub(crate) fn wants(&self) -> PollFlags {
        match self.phase {
            Phase::Reply(_) => PollFlags::OUT,
            _ => PollFlags::IN,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    pub(crate) fn is_replied_to(&self) -> bool {
        matches!(self.phase, Phase::Reply(_))
    }

    /// The page it is being sent.
    pub(crate) fn page(&self) -> Option<&Arc<Vec<u8>>> {
        match &self.phase {
            Phase::Reply(reply) => Some(&reply.body),
            _ => None,
        }
    }

    /// When it is closed if nothing moves.
    pub(crate) fn deadline(&self) -> i64 {
        let patience = match self.phase {
            Phase::Request if self.is_known && self.input.is_empty() => BETWEEN,
            Phase::Request => REQUEST,
            Phase::Reply(_) => REPLY,
            Phase::Drain => DRAIN,
            Phase::Closed => 0,
        };
        self.since + patience
    }

    /// Since when it is idle, if it is.
    pub(crate) fn idle_since(&self) -> Option<i64> {
        (!self.is_replied_to()).then_some(self.moved)
    }

    /// Reads or writes what can be, after the kernel said so.
    pub(crate) fn turn(&mut self, now: i64) -> Turn {
        match self.phase {
            Phase::Request => self.read(now),
            Phase::Reply(_) => self.write(now),
            Phase::Drain => {
                self.drain();
                Turn::Wait
            }
            Phase::Closed => Turn::Wait,
        }
    }

    fn read(&mut self, now: i64) -> Turn {
        let mut chunk = [0; MAX_HEAD];
        match self.stream.read(&mut chunk) {
            Ok(0) => self.phase = Phase::Closed,
            Ok(n) => {
                if self.input.is_empty() {
                    self.since = now;
                }
                self.moved = now;
                // At most one head and one chunk: a whole head is taken out at once.
                self.input.extend_from_slice(&chunk[..n]);
                return self.next();
            }
            Err(err) if is_temporary(&err) => {}
            Err(_) => self.phase = Phase::Closed,
        }
        Turn::Wait
    }

    /// The request that has come, if it is whole.
    fn next(&mut self) -> Turn {
        match request::parse(&self.input) {
            Parsed::Partial => Turn::Wait,
            Parsed::Wrong(status) => Turn::Wrong(status),
            Parsed::Request(request, len) => {
                self.input.drain(..len);
                Turn::Request(request)
            }
        }
    }

    /// Answers, as far as it goes without waiting.
    pub(crate) fn reply(&mut self, reply: Reply, now: i64) -> Turn {
        self.phase = Phase::Reply(reply);
        self.since = now;
        self.write(now)
    }

    fn write(&mut self, now: i64) -> Turn {
        let Phase::Reply(reply) = &mut self.phase else { return Turn::Wait };
        loop {
            let head = reply.head.len();
            let rest = match reply.head.get(reply.sent..) {
                Some(rest) if !rest.is_empty() => rest,
                _ => reply.body.get(reply.sent - head..).unwrap_or_default(),
            };
            if rest.is_empty() {
                break;
            }
            match self.stream.write(rest) {
                Ok(n) => {
                    reply.sent += n;
                    self.moved = now;
                }
                Err(err) if is_temporary(&err) => return Turn::Wait,
                Err(_) => {
                    self.phase = Phase::Closed;
                    return Turn::Wait;
                }
            }
        }
        let (keep, is_last) = (reply.keep, reply.is_last);
        self.is_known = true;
        self.since = now;
        self.phase = if keep { Phase::Request } else { Phase::Drain };
        if !keep && self.stream.shutdown(Shutdown::Write).is_err() {
            self.phase = Phase::Closed;
        }
        Turn::Sent(is_last)
    }

    /// The next request, if it came with the one before.
    pub(crate) fn pipelined(&mut self) -> Turn {
        match self.phase {
            Phase::Request if !self.input.is_empty() => self.next(),
            _ => Turn::Wait,
        }
    }

    fn drain(&mut self) {
        match self.stream.read(&mut [0; MAX_HEAD]) {
            Ok(1..) => {}
            Err(err) if is_temporary(&err) => {}
            _ => self.phase = Phase::Closed,
        }
    }
}

fn is_temporary(err: &std::io::Error) -> bool {
    matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
