//! One connection: its handshake, and what is answered without asking anybody.

use std::os::fd::{AsFd, BorrowedFd};

use crate::command::{Command, property};
use crate::decoder::{Decoder, Limits, Parts, Step};
use crate::fault::Fault;
use crate::frame::{VERSION, greeting, put_command, put_ready};
use crate::socket::Socket;

/// Answers that a peer leaves unread are no more than this; then its PINGs are ignored.
const MAX_ANSWERS: usize = 4 << 10;

/// What a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Publisher,
    Subscriber,
    Request,
    Reply,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Publisher => "PUB",
            Role::Subscriber => "SUB",
            Role::Request => "REQ",
            Role::Reply => "REP",
        }
    }

    fn peers(self) -> [&'static str; 2] {
        match self {
            Role::Publisher => ["SUB", "XSUB"],
            Role::Subscriber => ["PUB", "XPUB"],
            Role::Request => ["REP", "ROUTER"],
            Role::Reply => ["REQ", "DEALER"],
        }
    }
}

/// What came over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Nothing whole; read more.
    Nothing,
    /// The handshake is done.
    Ready,
    /// A message: see [`Link::parts`].
    Message,
    /// A subscription: see [`Link::topic`].
    Subscribe,
    /// The end of one.
    Cancel,
}

#[derive(Debug)]
pub(crate) struct Link {
    socket: Socket,
    decoder: Decoder,
    role: Role,
    /// The handshake is done.
    ready: bool,
    /// The whole greeting is sent.
    introduced: bool,
    /// The second digit of the peer's version.
    minor: u8,
    /// What waits to be sent beside messages: the handshake, and answers to PINGs.
    pub(crate) out: Vec<u8>,
    /// Something came since this was last set to false.
    pub(crate) heard: bool,
    /// The last read left room, so there was no more.
    took_all: bool,
}

impl Link {
    pub(crate) fn new(socket: Socket, role: Role, limits: Limits) -> Link {
        Link {
            socket,
            decoder: Decoder::new(limits),
            role,
            ready: false,
            minor: 0,
            out: greeting()[..VERSION].to_vec(),
            introduced: false,
            heard: false,
            took_all: false,
        }
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Whether the peer knows SUBSCRIBE, CANCEL, PING and PONG.
    pub(crate) fn knows_commands(&self) -> bool {
        self.minor >= 1
    }

    /// Goes on to what comes next in the bytes that are here.
    #[inline]
    pub(crate) fn step(&mut self) -> Result<Event, Fault> {
        loop {
            match self.decoder.step()? {
                Step::More => {
                    self.introduce();
                    return Ok(Event::Nothing);
                }
                Step::Message if self.ready => return Ok(Event::Message),
                Step::Message => return Err(Fault::Command("a message before READY")),
                Step::Greeting { minor } => {
                    self.minor = minor;
                    self.introduce();
                    put_ready(&mut self.out, self.role.name());
                }
                Step::Command => match self.command()? {
                    Event::Nothing => {}
                    event => return Ok(event),
                },
            }
        }
    }

    /// The message that came.
    #[inline]
    pub(crate) fn parts(&self) -> Parts<'_> {
        self.decoder.parts()
    }

    /// What the subscription that came or ended is for.
    pub(crate) fn topic(&self) -> &[u8] {
        match self.decoder.command() {
            Ok(Command::Subscribe(topic) | Command::Cancel(topic)) => topic,
            _ => &[],
        }
    }

    /// Reads once. False if nothing is there.
    pub(crate) fn fill(&mut self) -> Result<bool, Fault> {
        let room = self.decoder.space();
        let len = room.len();
        match self.socket.receive(room)? {
            None => Ok(false),
            Some(0) => Err(Fault::Closed),
            Some(n) => {
                self.decoder.filled(n);
                self.heard = true;
                self.took_all = n < len;
                Ok(true)
            }
        }
    }

    /// Whether the last read took all that was there.
    pub(crate) fn took_all(&self) -> bool {
        self.took_all
    }

    /// Sends what waits. True if nothing waits any more.
    pub(crate) fn flush(&mut self) -> Result<bool, Fault> {
        while !self.out.is_empty() {
            match self.socket.send(&self.out)? {
                Some(n) => drop(self.out.drain(..n)),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Asks the peer for a sign of life.
    pub(crate) fn ping(&mut self) {
        put_command(&mut self.out, "PING", &[&[0, 0]]);
    }

    /// Sends the rest of the greeting when the peer has said its version, and not before:
    /// libzmq, if it dislikes our mechanism, hangs up without having said its own.
    fn introduce(&mut self) {
        if !self.introduced && self.decoder.knows_version() {
            self.introduced = true;
            self.out.extend_from_slice(&greeting()[VERSION..]);
        }
    }

    fn command(&mut self) -> Result<Event, Fault> {
        match self.decoder.command()? {
            Command::Error(why) => {
                Err(Fault::Refused(String::from_utf8_lossy(why).into_owned()))
            }
            Command::Ready(data) if !self.ready => {
                self.meet(data)?;
                self.ready = true;
                Ok(Event::Ready)
            }
            _ if !self.ready => Err(Fault::Command("another command before READY")),
            Command::Ready(_) => Err(Fault::Command("a second READY")),
            Command::Ping(context) => {
                if self.out.len() + context.len() < MAX_ANSWERS {
                    put_command(&mut self.out, "PONG", &[context]);
                }
                Ok(Event::Nothing)
            }
            Command::Subscribe(_) => Ok(Event::Subscribe),
            Command::Cancel(_) => Ok(Event::Cancel),
            Command::Pong(_) | Command::Other(_) => Ok(Event::Nothing),
        }
    }

    /// Checks that the peer is one that we can talk to.
    fn meet(&self, data: &[u8]) -> Result<(), Fault> {
        let theirs = property(data, "Socket-Type")?.unwrap_or_default();
        if self.role.peers().iter().any(|name| name.as_bytes() == theirs) {
            return Ok(());
        }
        if self.socket.is_own() {
            return Err(Fault::System(rustix::io::Errno::CONNREFUSED));
        }
        let theirs = String::from_utf8_lossy(theirs).into_owned();
        Err(Fault::SocketType { theirs, ours: self.role.name() })
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
