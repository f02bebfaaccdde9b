//! A PUB socket that counts what its subscribers did not get.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, JoinHandle};

use crate::endpoint::Endpoint;
use crate::hub::{Ending, Hub, Shared, is_newcomer};
use crate::seat::Message;
use crate::socket::Listener;
use crate::writer::Writer;

/// How much may wait for one subscriber. What is published when that is reached is
/// dropped for it, and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HighWater {
    /// Messages, counted as libzmq does (`ZMQ_SNDHWM`); 0 for no limit. What the kernel's
    /// buffers hold comes on top.
    pub messages: u64,
    /// Bytes. A message longer than that waits alone.
    pub bytes: usize,
}

impl Default for HighWater {
    /// libzmq's 1000 messages, and at most 64 MiB.
    fn default() -> HighWater {
        HighWater { messages: 1000, bytes: 64 << 20 }
    }
}

/// From when on a subscriber gets what is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// As soon as its subscription came, as with libzmq.
    AtOnce,
    /// From [`Publisher::welcome`] on, which can tell it first what others heard before.
    ByWelcome,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// For how many subscribers it waits now.
    pub queued: u32,
    /// For how many it was dropped.
    pub dropped: u32,
}

/// What a publisher has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages that were published.
    pub published: u64,
    /// Messages that were dropped, once for each subscriber that did not get one.
    pub dropped: u64,
    /// Messages that waited for subscribers that went away.
    pub abandoned: u64,
    /// Subscribers that there are now.
    pub subscribers: u64,
    /// Connections closed because of what the peer sent or did not send.
    pub faults: u64,
    /// Connections refused because there were too many.
    pub refused: u64,
}

/// Binds, and sends to whoever subscribes; waits for nobody.
///
/// Each subscriber has a queue of its own, so a slow one takes memory up to its
/// [`HighWater`], and costs the others nothing. A thread, `zmq-writer`, does all that has
/// to do with sockets.
#[derive(Debug)]
pub struct Publisher {
    endpoint: Endpoint,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    /// Binds an endpoint. Subscribers get what is published after their subscription came.
    pub fn bind(endpoint: &Endpoint, high: HighWater) -> io::Result<Publisher> {
        Publisher::with_admission(endpoint, high, Admission::AtOnce)
    }

    /// Binds an endpoint.
    pub fn with_admission(
        endpoint: &Endpoint,
        high: HighWater,
        admission: Admission,
    ) -> io::Result<Publisher> {
        let listener = Listener::bind(endpoint)?;
        let endpoint = listener.endpoint().clone();
        let shared = Arc::new(Shared::new(high, admission)?);
        let writer = Writer::new(listener, shared.clone())?;
        let thread = Builder::new().name("zmq-writer".into()).spawn(|| writer.run())?;
        Ok(Publisher { endpoint, shared, thread: Some(thread) })
    }

    /// Where it is bound, with the port that it really has.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Queues a message of these parts for whoever wants what its first part begins with.
    /// Never waits for a subscriber.
    pub fn publish(&self, parts: &[&[u8]]) -> Published {
        self.offer(Message::Parts(parts))
    }

    /// The same with a message of one part, of which the pieces lie in different places; a
    /// subscription is compared with the first piece alone.
    pub fn publish_pieces(&self, pieces: &[&[u8]]) -> Published {
        self.offer(Message::Pieces(pieces))
    }

    #[inline]
    fn offer(&self, message: Message<'_>) -> Published {
        let mut hub = self.shared.hub();
        hub.published += 1;
        let published = hub.offer(message, |seat| seat.admitted);
        self.shared.wake(hub, published.queued > 0);
        published
    }

    /// Tells those that subscribed since the last call what the others heard before, and
    /// admits them: they get what is published after this. Returns how many they were.
    /// Only for [`Admission::ByWelcome`].
    pub fn welcome(&self, say: impl FnOnce(&mut Newcomers<'_>)) -> usize {
        let mut hub = self.shared.hub();
        self.shared.newcomers.store(false, Ordering::Relaxed);
        say(&mut Newcomers(&mut hub));
        let newcomers = hub.seats.iter_mut().flatten().filter(|seat| is_newcomer(seat));
        let admitted = newcomers.map(|seat| seat.admitted = true).count();
        self.shared.wake(hub, admitted > 0);
        admitted
    }

    /// Whether somebody waits for [`Publisher::welcome`]. Costs next to nothing.
    #[inline]
    pub fn has_newcomers(&self) -> bool {
        self.shared.newcomers.load(Ordering::Relaxed)
    }

    /// How many subscribers there are that have subscribed to something; those that wait
    /// for [`Publisher::welcome`] are among them.
    pub fn subscribers(&self) -> usize {
        self.shared.hub().subscribers()
    }

    /// Waits until there are so many subscribers. False if there are not by `until`.
    pub fn wait_for_subscribers(&self, count: usize, until: i64) -> bool {
        self.shared.wait(until, |hub| hub.subscribers() >= count)
    }

    /// Messages that were dropped, once for each subscriber that did not get one.
    pub fn drops(&self) -> u64 {
        self.shared.hub().dropped()
    }

    /// What it has seen so far.
    pub fn tally(&self) -> Tally {
        let hub = self.shared.hub();
        Tally {
            published: hub.published,
            dropped: hub.dropped(),
            abandoned: hub.abandoned,
            subscribers: hub.subscribers() as u64,
            faults: self.shared.faults.load(Ordering::Relaxed),
            refused: self.shared.refused.load(Ordering::Relaxed),
        }
    }

    /// Messages that wait, over all subscribers.
    pub fn waiting(&self) -> u64 {
        self.shared.hub().waiting()
    }

    /// Waits until nothing waits any more. False if something does at `until`.
    ///
    /// What does not wait is with the kernel; whether subscribers have read it, only
    /// [`Publisher::close`] can tell.
    pub fn drain(&self, until: i64) -> bool {
        self.shared.wait(until, |hub| hub.waiting() == 0)
    }

    /// Says to all subscribers that this was all, waits until they have read it and hung
    /// up, and unbinds. Returns how many messages still waited at `until`, and how many
    /// subscribers had not hung up.
    pub fn close(mut self, until: i64) -> Unread {
        let mut hub = self.shared.hub();
        hub.end = Some(Ending::Read(until));
        self.shared.wake(hub, true);
        self.join();
        let hub = self.shared.hub();
        Unread {
            messages: hub.waiting(),
            subscribers: hub
                .seats
                .iter()
                .flatten()
                .filter(|seat| seat.is_subscribed())
                .count(),
        }
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // If it panicked, that was said, and there is nobody left to hear us.
            drop(thread.join());
        }
    }
}

/// What [`Publisher::close`] could not bring home in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// Messages that the kernel had not even taken.
    pub messages: u64,
    /// Subscribers that had not read all and hung up.
    pub subscribers: usize,
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if self.thread.is_some() {
            let mut hub = self.shared.hub();
            hub.end = Some(Ending::Now);
            self.shared.wake(hub, true);
            self.join();
        }
    }
}

/// Those that have subscribed and were not welcomed yet.
#[derive(Debug)]
pub struct Newcomers<'a>(&'a mut Hub);

impl Newcomers<'_> {
    /// Queues a message for them alone.
    pub fn publish(&mut self, parts: &[&[u8]]) -> Published {
        self.0.offer(Message::Parts(parts), is_newcomer)
    }

    /// The same with a message of one part in pieces.
    pub fn publish_pieces(&mut self, pieces: &[&[u8]]) -> Published {
        self.0.offer(Message::Pieces(pieces), is_newcomer)
    }
}
