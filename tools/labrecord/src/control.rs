//! Remote control by TCP: who is connected, what they ask, and what they are told.
//!
//! One thread and no wait for any client: places, lines and unread answers are bounded, and
//! who is idle for longest makes room for others. Clients of LabRecorder keep a connection
//! for a whole session, so to be silent is no fault.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::os::fd::{AsFd as _, BorrowedFd};

use anyhow::{Result, anyhow};
use libframe::clock::SECOND;

use crate::lines::Lines;
use crate::request::{self, Request};

/// LabRecorder's port.
pub(crate) const PORT: u16 = 22345;
/// Clients at once.
const MAX_CLIENTS: usize = 32;
/// How long a client is left alone although another waits for its place.
const GRACE: i64 = SECOND;
/// How long a line may take to come whole, and an answer to be read.
const PATIENCE: i64 = 30 * SECOND;
/// Answers that a client has not read.
const MAX_UNREAD: usize = 1 << 20;

/// Reads `22345`, `:22345`, `host:22345`, `*:22345`, or a host without port.
pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let wrong = |why: String| {
        format!("{text:?} is no address: {why}; say 22345, 127.0.0.1:22345 or '*:22345'")
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
            let none = || wrong(format!("no host {host:?}"));
            let mut found = (host, port).to_socket_addrs().map_err(|_| none())?;
            found.next().ok_or_else(none)
        }
    }
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done, and what there is to say about it.
    Done(String),
    /// Not done: what, and the remedy.
    Refused(String),
    /// A line as it is.
    Line(String),
}

/// A client, as others know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientId {
    number: u64,
    /// Whether it is on this machine.
    pub(crate) is_local: bool,
}

/// The port and its clients.
#[derive(Debug)]
pub(crate) struct Control {
    listener: TcpListener,
    /// Whether answers are LabRecorder's.
    bare: bool,
    clients: Vec<Client>,
    count: u64,
    /// Until when nobody is let in: the system has no more descriptors.
    paused: i64,
}

#[derive(Debug)]
struct Client {
    id: ClientId,
    stream: TcpStream,
    lines: Lines,
    unsent: Vec<u8>,
    /// Whether it waits for an answer.
    busy: bool,
    /// When it last sent or took something.
    active: i64,
    /// When its line began, if one is begun.
    line_since: Option<i64>,
    /// Nothing more comes; what came is still to be answered.
    ended: bool,
    over: bool,
}

impl Control {
    pub(crate) fn open(address: SocketAddr, bare: bool) -> Result<Control> {
        let listener =
            TcpListener::bind(address).map_err(|err| refused(address, &err))?;
        listener.set_nonblocking(true)?;
        Ok(Control { listener, bare, clients: Vec::new(), count: 0, paused: 0 })
    }

    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// What is worth waiting for.
    pub(crate) fn descriptors(&self, now: i64) -> Vec<BorrowedFd<'_>> {
        let door = self.has_room(now).then(|| self.listener.as_fd());
        let listening =
            |client: &&Client| !client.busy && !client.ended && client.lines.has_room();
        let clients = self.clients.iter().filter(listening);
        door.into_iter().chain(clients.map(|client| client.stream.as_fd())).collect()
    }

    /// Lets clients in, reads and writes what can be without a wait, and sends the late away.
    pub(crate) fn turn(&mut self, now: i64) {
        self.accept(now);
        for client in &mut self.clients {
            client.read(now);
            client.write(now);
        }
        self.clients.retain(|client| !client.is_over(now));
    }

    /// The next request, whose client then waits for the answer.
    pub(crate) fn next(&mut self) -> Option<(ClientId, Result<Request, String>)> {
        for at in 0..self.clients.len() {
            let client = &mut self.clients[at];
            if client.busy || client.over {
                continue;
            }
            let line = match client.lines.next() {
                Ok(Some(line)) => line,
                Ok(None) => {
                    client.over |= client.ended;
                    continue;
                }
                Err(_) => {
                    client.over = true;
                    let told = "a line over 4096 bytes; end each command with a newline";
                    client.unsent.extend(bytes(&Answer::Refused(told.into()), self.bare));
                    continue;
                }
            };
            client.busy = true;
            client.line_since = None;
            let id = client.id;
            // So that one who sends much does not keep others waiting.
            self.clients[at..].rotate_left(1);
            return Some((id, request::parse(&line)));
        }
        None
    }

    /// Answers the request that a client waits for. It may have gone.
    pub(crate) fn answer(&mut self, id: ClientId, answer: &Answer, now: i64) {
        let bare = self.bare;
        if let Some(client) = self.clients.iter_mut().find(|client| client.id == id) {
            client.busy = false;
            client.active = now;
            client.unsent.extend(bytes(answer, bare));
            client.write(now);
        }
    }

    /// Whether answers wait to be taken.
    pub(crate) fn has_unsent(&self) -> bool {
        self.clients.iter().any(|client| !client.unsent.is_empty())
    }

    fn has_room(&self, now: i64) -> bool {
        let full = self.clients.len() >= MAX_CLIENTS;
        now >= self.paused && (!full || self.longest_idle(now).is_some())
    }

    fn longest_idle(&self, now: i64) -> Option<usize> {
        let idle = self.clients.iter().enumerate().filter(|(_, client)| !client.busy);
        let (at, client) = idle.min_by_key(|(_, client)| client.active)?;
        (now - client.active >= GRACE).then_some(at)
    }

    fn accept(&mut self, now: i64) {
        while self.has_room(now) {
            match self.listener.accept() {
                Ok((stream, peer)) => {
                    if self.clients.len() >= MAX_CLIENTS
                        && let Some(at) = self.longest_idle(now)
                    {
                        self.clients.remove(at);
                    }
                    self.count += 1;
                    let is_local = peer.ip().to_canonical().is_loopback();
                    let id = ClientId { number: self.count, is_local };
                    if stream.set_nonblocking(true).is_ok() {
                        self.clients.push(Client::new(id, stream, now));
                    }
                }
                Err(err) => {
                    if err.kind() != ErrorKind::WouldBlock {
                        // Without a descriptor for it a client stays at the door, and the
                        // wait would be over at once, again and again.
                        self.paused = now + SECOND / 10;
                    }
                    return;
                }
            }
        }
    }
}

impl Client {
    fn new(id: ClientId, stream: TcpStream, now: i64) -> Client {
        // Answers are late without it, and no worse.
        stream.set_nodelay(true).unwrap_or_default();
        Client {
            id,
            stream,
            lines: Lines::default(),
            unsent: Vec::new(),
            busy: false,
            active: now,
            line_since: None,
            ended: false,
            over: false,
        }
    }

    fn read(&mut self, now: i64) {
        let mut chunk = [0; 1024];
        while !self.busy && !self.ended && !self.over && self.lines.has_room() {
            match self.stream.read(&mut chunk) {
                Ok(0) => self.ended = true,
                Ok(n) => {
                    self.lines.push(&chunk[..n]);
                    self.active = now;
                    self.line_since.get_or_insert(now);
                }
                Err(err) if err.kind() == ErrorKind::WouldBlock => return,
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.over = true,
            }
        }
    }

    fn write(&mut self, now: i64) {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(n) => {
                    self.unsent.drain(..n);
                    self.active = now;
                }
                Err(err) if err.kind() == ErrorKind::WouldBlock => return,
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.over = true;
                    self.unsent.clear();
                }
            }
        }
    }

    fn is_over(&self, now: i64) -> bool {
        let late = |since: i64| now - since >= PATIENCE;
        let unread = !self.unsent.is_empty() && late(self.active);
        let unfinished = !self.busy && self.line_since.is_some_and(late);
        let gone = self.over && self.unsent.is_empty() && !self.busy;
        gone || unread || unfinished || self.unsent.len() > MAX_UNREAD
    }
}

/// An answer as it is sent.
fn bytes(answer: &Answer, bare: bool) -> Vec<u8> {
    // An answer is one line, whatever it quotes.
    let line = |text: &str| text.replace(['\n', '\r'], " ");
    let text = match answer {
        Answer::Line(text) => format!("{}\n", line(text)),
        _ if bare => "OK".into(),
        Answer::Done(text) if text.is_empty() => "OK\n".into(),
        Answer::Done(text) => format!("OK {}\n", line(text)),
        Answer::Refused(text) => format!("ERROR {}\n", line(text)),
    };
    text.into_bytes()
}

/// Why nobody can be heard there, and what to do about it.
fn refused(address: SocketAddr, err: &std::io::Error) -> anyhow::Error {
    match err.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "--control {address}: something listens there already, perhaps LabRecorder or \
             another labrecord; name another port"
        ),
        ErrorKind::PermissionDenied => {
            anyhow!("--control {address}: not allowed; ports below 1024 are for root")
        }
        ErrorKind::AddrNotAvailable => {
            anyhow!("--control {address}: no address of this machine; '*' means all")
        }
        _ => anyhow!("--control {address}: cannot listen: {err}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_writes_an_address_out_is_heard_outside() {
        let shown = |text: &str| parse_address(text).map(|address| address.to_string());
        assert_eq!(shown("22346"), Ok("127.0.0.1:22346".into()));
        assert_eq!(shown("*"), Ok("0.0.0.0:22345".into()));
        assert_eq!(shown("*:0"), Ok("0.0.0.0:0".into()));
        assert_eq!(shown("[::1]:7"), Ok("[::1]:7".into()));
        assert!(parse_address("host:port").is_err_and(|err| err.contains("no port")));
    }

    #[test]
    fn answers_are_one_line_or_what_labrecorder_said() {
        let done = Answer::Done("a\nb".into());
        assert_eq!(bytes(&done, false), b"OK a b\n");
        assert_eq!(bytes(&Answer::Done(String::new()), false), b"OK\n");
        assert_eq!(bytes(&Answer::Refused("x; y".into()), false), b"ERROR x; y\n");
        assert_eq!(bytes(&Answer::Refused("x".into()), true), b"OK");
        assert_eq!(bytes(&done, true), b"OK");
        assert_eq!(bytes(&Answer::Line("{}".into()), true), b"{}\n");
    }
}
