//! The thread of a publisher: everything that has to do with its sockets.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use libframe::clock::{Clock, SECOND};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::fault::Fault;
use crate::hub::{Ending, Shared};
use crate::peer::{Peer, TURNS};
use crate::poller::{Interest, Poller, Ready};
use crate::publisher::Admission;
use crate::seat::Seat;
use crate::socket::{Listener, Socket};

/// A peer that has not finished its handshake after this is sent away.
const HANDSHAKE: i64 = 5 * SECOND;
/// How often to look after those that do nothing.
const ROUND: i64 = SECOND;
/// Connections at a time. Who has not finished its handshake makes place for the next.
const MAX_PEERS: usize = 256;

const LISTENER: u64 = u64::MAX;
const WAKER: u64 = u64::MAX - 1;

/// Wakes the writer.
#[derive(Debug)]
pub(crate) struct Waker {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Waker {
    pub(crate) fn new() -> Result<Waker, Errno> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Waker { reader, writer })
    }

    pub(crate) fn wake(&self) {
        // A full pipe is readable already, which is all that this is for.
        rustix::io::write(&self.writer, &[0]).unwrap_or_default();
    }

    fn clear(&self) {
        // More than ever wait in it, and if it is empty all is well.
        rustix::io::read(&self.reader, &mut [0; 64]).unwrap_or_default();
    }
}

#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    listener: Option<Listener>,
    /// Whether connections are accepted; not while the system has no descriptors left.
    accepting: bool,
    poller: Poller,
    peers: Vec<Option<Peer>>,
    clock: Clock,
    next_round: i64,
    /// How it was asked to end, as far as it has noticed.
    end: Option<Ending>,
}

impl Writer {
    pub(crate) fn new(listener: Listener, shared: Arc<Shared>) -> Result<Writer, Errno> {
        let poller = Poller::new()?;
        poller.add(&listener, LISTENER, Interest::READ)?;
        poller.add(&shared.waker.reader, WAKER, Interest::READ)?;
        Ok(Writer {
            shared,
            listener: Some(listener),
            accepting: true,
            poller,
            peers: Vec::new(),
            clock: Clock::system(),
            next_round: 0,
            end: None,
        })
    }

    pub(crate) fn run(mut self) {
        let mut ready = Vec::with_capacity(32);
        loop {
            let busy = self.pump();
            let now = self.clock.now();
            if self.is_over(now) {
                return;
            }
            if now >= self.next_round {
                self.look_around(now);
            }
            let deadline =
                if busy || !self.fall_asleep() { now } else { self.deadline() };
            if self.poller.wait(now, deadline, &mut ready).is_err() {
                // Only a bug does that; the publisher's counts will tell.
                return;
            }
            self.shared.hub().asleep = false;
            for Ready { name, write } in ready.drain(..) {
                self.attend(name, write);
            }
        }
    }

    fn attend(&mut self, name: u64, write: bool) {
        match name {
            LISTENER => self.accept(),
            WAKER => self.shared.waker.clear(),
            slot => {
                let slot = slot as usize;
                let Some(Some(peer)) = self.peers.get_mut(slot) else { return };
                peer.blocked &= !write;
                if let Err(fault) = peer.read(&self.shared, slot) {
                    self.dismiss(slot, &fault);
                }
            }
        }
    }

    /// Sends to everybody what there is. True if there may be more at once.
    fn pump(&mut self) -> bool {
        let mut busy = false;
        for slot in 0..self.peers.len() {
            let Some(Some(peer)) = self.peers.get_mut(slot) else { continue };
            let written = peer.write(&self.shared, slot);
            match written.and_then(|more| peer.watch(&self.poller, slot).map(|()| more)) {
                Ok(more) => busy |= more,
                Err(fault) => self.dismiss(slot, &fault),
            }
        }
        busy
    }

    /// Notes that publishers must wake us, unless one has put something there already.
    fn fall_asleep(&self) -> bool {
        let mut hub = self.shared.hub();
        let waits = |(slot, seat): (usize, &Option<Seat>)| {
            let peer = self.peers.get(slot).and_then(Option::as_ref);
            let blocked = peer.is_none_or(|peer| peer.blocked);
            !blocked && seat.as_ref().is_some_and(|seat| !seat.pending.is_empty())
        };
        let work = hub.seats.iter().enumerate().any(waits);
        hub.asleep = !work && hub.end == self.end;
        hub.asleep
    }

    fn deadline(&self) -> i64 {
        match self.shared.hub().end {
            Some(Ending::Read(until)) => until.min(self.next_round),
            _ => self.next_round,
        }
    }

    /// Whether it is time to end; begins to end if it is time for that.
    fn is_over(&mut self, now: i64) -> bool {
        let hub = self.shared.hub();
        self.end = hub.end;
        let Some(end) = self.end else { return false };
        let Ending::Read(until) = end else { return true };
        self.listener = None;
        for (peer, seat) in self.peers.iter_mut().zip(&hub.seats) {
            let (Some(peer), Some(seat)) = (peer, seat) else { continue };
            if peer.is_ready() && peer.is_idle() && seat.waiting() == 0 {
                peer.finish();
            }
        }
        let left = self.peers.iter().flatten().any(|peer| peer.is_ready());
        !left || now >= until
    }

    fn accept(&mut self) {
        for _ in 0..TURNS {
            let Some(listener) = &self.listener else { return };
            match listener.accept() {
                Ok(Some(socket)) => self.admit(socket),
                Ok(None) => return,
                // No descriptors are left; without a pause this would be a busy loop.
                Err(_) => return self.accept_again(false),
            }
        }
    }

    fn accept_again(&mut self, accepting: bool) {
        let Some(listener) = &self.listener else { return };
        let interest = Interest { read: accepting, write: false };
        if self.accepting != accepting
            && self.poller.change(listener, LISTENER, interest).is_ok()
        {
            self.accepting = accepting;
        }
    }

    fn admit(&mut self, socket: Socket) {
        let Some(slot) = self.free_slot() else {
            self.shared.refused.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if self.poller.add(&socket, slot as u64, Interest::READ).is_err() {
            self.shared.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let peer = Peer::new(socket, self.clock.now());
        let mut hub = self.shared.hub();
        let seat = Seat::new(hub.admission == Admission::AtOnce);
        if slot == self.peers.len() {
            self.peers.push(Some(peer));
            hub.seats.push(Some(seat));
        } else {
            self.peers[slot] = Some(peer);
            hub.seats[slot] = Some(seat);
        }
    }

    /// A place for one more, if need be that of the oldest that still greets.
    fn free_slot(&mut self) -> Option<usize> {
        if let Some(slot) = self.peers.iter().position(Option::is_none) {
            return Some(slot);
        }
        if self.peers.len() < MAX_PEERS {
            return Some(self.peers.len());
        }
        let greeting = self.peers.iter().enumerate().filter_map(|(slot, peer)| {
            let peer = peer.as_ref().filter(|peer| !peer.is_ready())?;
            Some((peer.since, slot))
        });
        let (_, slot) = greeting.min()?;
        self.dismiss(slot, &Fault::Greeting);
        Some(slot)
    }

    fn dismiss(&mut self, slot: usize, fault: &Fault) {
        let greeted = self.peers[slot].take().is_some_and(|peer| peer.is_ready());
        // Who leaves in the middle of a greeting was no subscriber.
        if fault.is_protocol() || !greeted {
            self.shared.faults.fetch_add(1, Ordering::Relaxed);
        }
        self.shared.hub().leave(slot);
        self.shared.announce(false);
    }

    /// Sends those away that never finish their greeting, and gives memory back.
    fn look_around(&mut self, now: i64) {
        self.next_round = now + ROUND;
        self.accept_again(true);
        for slot in 0..self.peers.len() {
            let Some(Some(peer)) = self.peers.get_mut(slot) else { continue };
            if !peer.is_ready() && now - peer.since >= HANDSHAKE {
                self.dismiss(slot, &Fault::Greeting);
            } else if peer.is_idle() {
                peer.writing.shrink();
                if let Some(Some(seat)) = self.shared.hub().seats.get_mut(slot)
                    && seat.pending.is_empty()
                {
                    seat.pending.shrink();
                }
            }
        }
    }
}
