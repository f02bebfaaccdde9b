//! A REP socket: answers whoever asks.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use libframe::clock::SECOND;

use crate::decoder::Limits;
use crate::endpoint::Endpoint;
use crate::fault::Fault;
use crate::frame::put_message;
use crate::link::{Event, Link, Role};
use crate::poller::{Interest, Poller, Ready};
use crate::socket::{Listener, Socket};

const HANDSHAKE: i64 = 5 * SECOND;
const MAX_PEERS: usize = 256;
/// Answers that a peer leaves unread; then it is sent away.
const MAX_UNREAD: usize = 64 << 10;

const LISTENER: u64 = u64::MAX;

/// Binds, and answers questions one at a time. Driven like a
/// [`Subscriber`](crate::Subscriber).
#[derive(Debug)]
pub struct Reply {
    listener: Listener,
    limits: Limits,
    poller: Poller,
    peers: Vec<Option<Peer>>,
    /// Those that may have something to say.
    turn: VecDeque<usize>,
    ready: Vec<Ready>,
    now: i64,
    generation: u64,
    faults: u64,
}

#[derive(Debug)]
struct Peer {
    link: Link,
    generation: u64,
    since: i64,
    interest: Interest,
    /// The way back: what came before the question.
    envelope: Vec<Vec<u8>>,
}

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    slot: usize,
    generation: u64,
}

/// A question.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Who asked, for [`Reply::answer`].
    pub asker: Asker,
    /// What was asked: the last part of the message.
    pub text: &'a [u8],
}

impl Reply {
    /// Binds an endpoint.
    pub fn bind(endpoint: &Endpoint, limits: Limits) -> io::Result<Reply> {
        let listener = Listener::bind(endpoint)?;
        let poller = Poller::new()?;
        poller.add(&listener, LISTENER, Interest::READ)?;
        Ok(Reply {
            listener,
            limits,
            poller,
            peers: Vec::new(),
            turn: VecDeque::new(),
            ready: Vec::new(),
            now: 0,
            generation: 0,
            faults: 0,
        })
    }

    /// Where it is bound, with the port that it really has.
    pub fn endpoint(&self) -> &Endpoint {
        self.listener.endpoint()
    }

    /// Connections closed because of what the peer sent or did not send.
    pub fn faults(&self) -> u64 {
        self.faults
    }

    /// A descriptor that is readable when [`Reply::next`] may give something.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }

    /// When [`Reply::tick`] must be called at the latest.
    pub fn deadline(&self) -> i64 {
        let greeting = self.peers.iter().flatten().filter(|peer| !peer.link.is_ready());
        greeting.map(|peer| peer.since + HANDSHAKE).min().unwrap_or(i64::MAX)
    }

    /// Sends those away that never finish their greeting.
    pub fn tick(&mut self, now: i64) -> io::Result<()> {
        self.now = now;
        for slot in 0..self.peers.len() {
            let slow = self.peers[slot].as_ref().is_some_and(|peer| {
                !peer.link.is_ready() && now - peer.since >= HANDSHAKE
            });
            if slow {
                self.dismiss(slot, &Fault::Greeting);
            }
        }
        Ok(())
    }

    /// The next question; `None` if nobody asks for now.
    #[allow(clippy::should_implement_trait, reason = "what it gives borrows from it")]
    pub fn next(&mut self) -> io::Result<Option<Asked<'_>>> {
        let slot = loop {
            match self.turn.front().copied() {
                Some(slot) => match self.hear(slot) {
                    Ok(true) => break slot,
                    Ok(false) => drop(self.turn.pop_front()),
                    Err(fault) => {
                        self.turn.pop_front();
                        self.dismiss(slot, &fault);
                    }
                },
                None if self.look()? => {}
                None => return Ok(None),
            }
        };
        let Some(Some(peer)) = self.peers.get(slot) else { return Ok(None) };
        let asker = Asker { slot, generation: peer.generation };
        let text = peer.link.parts().iter().last().unwrap_or_default();
        Ok(Some(Asked { asker, text }))
    }

    /// Answers, if who asked is still there.
    pub fn answer(&mut self, asker: Asker, text: &[u8]) {
        let Some(Some(peer)) = self.peers.get_mut(asker.slot) else { return };
        if peer.generation != asker.generation {
            return;
        }
        let mut parts: Vec<&[u8]> = peer.envelope.iter().map(Vec::as_slice).collect();
        parts.push(text);
        put_message(&mut peer.link.out, &parts);
        if let Err(fault) = peer.send(&self.poller, asker.slot) {
            self.dismiss(asker.slot, &fault);
        }
    }

    /// Looks who is ready. False if nobody is.
    fn look(&mut self) -> io::Result<bool> {
        let mut ready = std::mem::take(&mut self.ready);
        self.poller.wait(0, 0, &mut ready)?;
        for Ready { name, .. } in &ready {
            match *name {
                LISTENER => self.accept()?,
                slot => self.turn.push_back(slot as usize),
            }
        }
        self.ready = ready;
        Ok(!self.turn.is_empty())
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Some(socket) = self.listener.accept()? {
            self.admit(socket)?;
        }
        Ok(())
    }

    fn admit(&mut self, socket: Socket) -> io::Result<()> {
        let free = self.peers.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.peers.len());
        if slot == MAX_PEERS {
            self.faults += 1;
            return Ok(());
        }
        self.generation += 1;
        let link = Link::new(socket, Role::Reply, self.limits);
        self.poller.add(&link, slot as u64, Interest::READ)?;
        let peer = Peer {
            link,
            generation: self.generation,
            since: self.now,
            interest: Interest::READ,
            envelope: Vec::new(),
        };
        if slot == self.peers.len() {
            self.peers.push(Some(peer));
        } else {
            self.peers[slot] = Some(peer);
        }
        // Our greeting need not wait for theirs.
        self.turn.push_back(slot);
        Ok(())
    }

    /// Whether this peer asks something.
    fn hear(&mut self, slot: usize) -> Result<bool, Fault> {
        let Some(Some(peer)) = self.peers.get_mut(slot) else { return Ok(false) };
        loop {
            match peer.link.step()? {
                Event::Message if peer.open_envelope() => return Ok(true),
                Event::Message => {
                    return Err(Fault::Command("a question without envelope"));
                }
                Event::Nothing => {
                    peer.send(&self.poller, slot)?;
                    if !peer.link.fill()? {
                        return Ok(false);
                    }
                }
                _ => {}
            }
        }
    }

    fn dismiss(&mut self, slot: usize, fault: &Fault) {
        let greeted = self.peers[slot].take().is_some_and(|peer| peer.link.is_ready());
        self.faults += u64::from(fault.is_protocol() || !greeted);
    }
}

impl Peer {
    /// Keeps what came before the question. False if there is no question.
    fn open_envelope(&mut self) -> bool {
        let parts = self.link.parts();
        let Some(end) = parts.iter().position(<[u8]>::is_empty) else { return false };
        self.envelope.clear();
        self.envelope.extend(parts.iter().take(end + 1).map(<[u8]>::to_vec));
        parts.len() > end + 1
    }

    fn send(&mut self, poller: &Poller, slot: usize) -> Result<(), Fault> {
        let all = self.link.flush()?;
        if self.link.out.len() > MAX_UNREAD {
            return Err(Fault::Silent);
        }
        let interest = if all { Interest::READ } else { Interest::BOTH };
        if interest != self.interest {
            self.interest = interest;
            poller.change(&self.link, slot as u64, interest)?;
        }
        Ok(())
    }
}
