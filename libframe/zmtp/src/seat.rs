//! What a publisher keeps for one subscriber: what it wants, and what waits for it.

use crate::fault::Fault;
use crate::frame::{put_head, put_message};
use crate::publisher::HighWater;

/// A subscriber's prefixes may take so much altogether.
const MAX_TOPICS: usize = 64 << 10;
/// What the list takes for one of them, whatever its length.
const TOPIC: usize = 64;
/// An outbox that grew over this gives memory back when it is quiet.
const AT_REST: usize = 256 << 10;

/// Whole messages, ready to be sent.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) bytes: Vec<u8>,
    /// Where each message ends.
    pub(crate) ends: Vec<usize>,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Gives memory back.
    pub(crate) fn shrink(&mut self) {
        self.bytes.shrink_to(AT_REST);
        self.ends.shrink_to(AT_REST / size_of::<usize>());
    }

    #[inline]
    fn put(&mut self, message: Message<'_>) {
        match message {
            Message::Parts(parts) => put_message(&mut self.bytes, parts),
            Message::Pieces(pieces) => {
                put_head(&mut self.bytes, 0, message.len());
                pieces.iter().for_each(|piece| self.bytes.extend_from_slice(piece));
            }
        }
        self.ends.push(self.bytes.len());
    }
}

/// A message as it is given to be published.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Message<'a> {
    Parts(&'a [&'a [u8]]),
    /// One part, in pieces.
    Pieces(&'a [&'a [u8]]),
}

impl Message<'_> {
    /// What subscriptions are compared with.
    fn front(&self) -> &[u8] {
        let (Message::Parts(slices) | Message::Pieces(slices)) = self;
        slices.first().copied().unwrap_or_default()
    }

    /// Its bytes, without those that the wire adds.
    fn len(&self) -> usize {
        let (Message::Parts(slices) | Message::Pieces(slices)) = self;
        slices.iter().map(|slice| slice.len()).sum()
    }
}

/// A subscriber, as who publishes sees it.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    topics: Topics,
    /// What the writer has not taken yet.
    pub(crate) pending: Outbox,
    /// Bytes that are not with the kernel yet, the writer's among them.
    bytes: usize,
    /// Messages that were queued, and those of them that are with the kernel.
    queued: u64,
    sent: u64,
    full: bool,
    pub(crate) dropped: u64,
    /// Whether it gets what is published.
    pub(crate) admitted: bool,
}

/// What became of a message for one subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    Unwanted,
    Queued,
    Dropped,
}

impl Seat {
    pub(crate) fn new(admitted: bool) -> Seat {
        Seat { admitted, ..Seat::default() }
    }

    /// Queues a message, if it is wanted and there is room.
    #[inline]
    pub(crate) fn offer(&mut self, message: Message<'_>, high: HighWater) -> Offer {
        if !self.topics.want(message.front()) {
            return Offer::Unwanted;
        }
        let bytes = self.bytes.saturating_add(message.len());
        if self.is_full(high) || self.bytes > 0 && bytes > high.bytes {
            self.dropped += 1;
            return Offer::Dropped;
        }
        let before = self.pending.bytes.len();
        self.pending.put(message);
        self.bytes += self.pending.bytes.len() - before;
        self.queued += 1;
        Offer::Queued
    }

    /// Whether so many messages wait that no more may. Once it is full, half of them must be
    /// gone before there is room again, as in libzmq: a subscriber that is too slow loses
    /// messages in runs.
    #[inline]
    fn is_full(&mut self, high: HighWater) -> bool {
        let waiting = self.waiting();
        let mark = if self.full { high.messages.div_ceil(2) } else { high.messages };
        self.full = high.messages > 0 && waiting >= mark;
        self.full
    }

    /// Notes that bytes, and with them messages, are with the kernel.
    pub(crate) fn note_sent(&mut self, bytes: usize, messages: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.sent += messages;
    }

    /// Messages that are not with the kernel yet.
    pub(crate) fn waiting(&self) -> u64 {
        self.queued - self.sent
    }

    pub(crate) fn subscribe(&mut self, topic: &[u8]) -> Result<(), Fault> {
        self.topics.add(topic)
    }

    pub(crate) fn cancel(&mut self, topic: &[u8]) {
        self.topics.remove(topic);
    }

    /// Whether it wants anything.
    pub(crate) fn is_subscribed(&self) -> bool {
        !self.topics.0.is_empty()
    }
}

/// The prefixes that a subscriber wants, with how often it asked for each.
#[derive(Debug, Default)]
struct Topics(Vec<(Box<[u8]>, u32)>);

impl Topics {
    #[inline]
    fn want(&self, first: &[u8]) -> bool {
        self.0.iter().any(|(topic, _)| first.starts_with(topic))
    }

    fn add(&mut self, topic: &[u8]) -> Result<(), Fault> {
        if let Some((_, times)) = self.0.iter_mut().find(|(known, _)| **known == *topic) {
            *times = times.saturating_add(1);
            return Ok(());
        }
        let size = |topic: &[u8]| topic.len() + TOPIC;
        let taken: usize = self.0.iter().map(|(topic, _)| size(topic)).sum();
        if taken + size(topic) > MAX_TOPICS {
            return Err(Fault::TooManySubscriptions);
        }
        self.0.push((topic.into(), 1));
        Ok(())
    }

    fn remove(&mut self, topic: &[u8]) {
        self.0.retain_mut(|(known, times)| {
            let same = **known == *topic;
            *times -= u32::from(same);
            *times > 0
        });
    }
}
