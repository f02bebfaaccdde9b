//! A subscriber, as its publisher's writer sees it: a connection, and what is being sent.

use crate::decoder::Limits;
use crate::fault::Fault;
use crate::hub::Shared;
use crate::link::{Event, Link, Role};
use crate::poller::{Interest, Poller};
use crate::seat::Outbox;
use crate::socket::Socket;

/// All that subscribers say is short.
const LIMITS: Limits = Limits { message: 4 << 10, parts: 8 };
/// How often one peer is read from or written to before it is the others' turn.
pub(crate) const TURNS: usize = 16;

/// A connection of a publisher.
#[derive(Debug)]
pub(crate) struct Peer {
    link: Link,
    /// When it was accepted.
    pub(crate) since: i64,
    interest: Interest,
    /// The kernel takes no more for now.
    pub(crate) blocked: bool,
    /// What was taken from the seat, how much of it is sent, and how many messages.
    pub(crate) writing: Outbox,
    sent: usize,
    messages: usize,
    /// There will be no more.
    finished: bool,
}

impl Peer {
    pub(crate) fn new(socket: Socket, since: i64) -> Peer {
        Peer {
            link: Link::new(socket, Role::Publisher, LIMITS),
            since,
            interest: Interest::READ,
            blocked: false,
            writing: Outbox::default(),
            sent: 0,
            messages: 0,
            finished: false,
        }
    }

    /// The handshake is done.
    pub(crate) fn is_ready(&self) -> bool {
        self.link.is_ready()
    }

    /// Says that this was all.
    pub(crate) fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            self.link.socket().finish();
        }
    }

    /// Everything that was taken is sent.
    pub(crate) fn is_idle(&self) -> bool {
        self.sent == self.writing.bytes.len() && self.link.out.is_empty()
    }

    /// Takes what the peer says.
    pub(crate) fn read(&mut self, shared: &Shared, slot: usize) -> Result<(), Fault> {
        for _ in 0..TURNS {
            if !self.link.fill()? {
                break;
            }
            while self.hear(shared, slot)? {}
        }
        Ok(())
    }

    /// Takes the next thing that it says, if there is one.
    fn hear(&mut self, shared: &Shared, slot: usize) -> Result<bool, Fault> {
        match self.link.step()? {
            Event::Nothing => return Ok(false),
            Event::Ready => {}
            Event::Subscribe => self.subscribe(shared, slot, true, self.link.topic())?,
            Event::Cancel => self.subscribe(shared, slot, false, self.link.topic())?,
            Event::Message => {
                let first = self.link.parts().get(0).unwrap_or_default();
                // Any other message is for an XPUB's owner, which we are not.
                if let Some((kind @ (0 | 1), topic)) = first.split_first() {
                    self.subscribe(shared, slot, *kind == 1, topic)?;
                }
            }
        }
        Ok(true)
    }

    fn subscribe(
        &self,
        shared: &Shared,
        slot: usize,
        on: bool,
        topic: &[u8],
    ) -> Result<(), Fault> {
        let mut hub = shared.hub();
        let Some(Some(seat)) = hub.seats.get_mut(slot) else { return Ok(()) };
        if on {
            seat.subscribe(topic)?;
        } else {
            seat.cancel(topic);
        }
        let newcomer = on && !seat.admitted;
        drop(hub);
        shared.announce(newcomer);
        Ok(())
    }

    /// Sends what there is, for some turns. True if there may be more at once.
    pub(crate) fn write(&mut self, shared: &Shared, slot: usize) -> Result<bool, Fault> {
        for _ in 0..TURNS {
            if self.blocked || self.finished {
                return Ok(false);
            }
            if self.sent == self.writing.bytes.len() {
                // Between two messages: here answers have their place.
                if !self.link.flush()? {
                    self.blocked = true;
                    return Ok(false);
                }
                if !self.take(shared, slot) {
                    return Ok(false);
                }
            }
            match self.link.socket().send(&self.writing.bytes[self.sent..])? {
                None => self.blocked = true,
                Some(n) => self.note_sent(n, shared, slot),
            }
        }
        Ok(true)
    }

    /// Takes from the seat what waits there. False if nothing does.
    fn take(&mut self, shared: &Shared, slot: usize) -> bool {
        self.writing.clear();
        (self.sent, self.messages) = (0, 0);
        let mut hub = shared.hub();
        let Some(Some(seat)) = hub.seats.get_mut(slot) else { return false };
        std::mem::swap(&mut self.writing, &mut seat.pending);
        !self.writing.is_empty()
    }

    fn note_sent(&mut self, n: usize, shared: &Shared, slot: usize) {
        self.sent += n;
        let before = self.messages;
        while self.writing.ends.get(self.messages).is_some_and(|end| *end <= self.sent) {
            self.messages += 1;
        }
        let mut hub = shared.hub();
        let Some(Some(seat)) = hub.seats.get_mut(slot) else { return };
        seat.note_sent(n, (self.messages - before) as u64);
        let drained = seat.waiting() == 0;
        drop(hub);
        if drained {
            shared.announce(false);
        }
    }

    /// Asks to be told when the kernel takes more, if it does not now.
    pub(crate) fn watch(&mut self, poller: &Poller, slot: usize) -> Result<(), Fault> {
        let interest = Interest { read: true, write: self.blocked };
        if interest != self.interest {
            self.interest = interest;
            poller.change(&self.link, slot as u64, interest)?;
        }
        Ok(())
    }
}
