//! From lanes to the receiver: when messages go, what happens when they cannot, and what is
//! told of it.
//!
//! One thread does it all. What waits is sent when the input has nothing more at hand, when
//! it is due, or when enough has gathered that a call pays.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::time::Duration;

use anyhow::Result;
use libframe::clock::{Clock, SECOND};
use libframe::tool::{Gauge, Overflow, Room, Stop, Voice};
use rustix::io::Errno;

use crate::block::Block;
use crate::datagrams::Datagrams;
use crate::destination::Destination;
use crate::framing::Framing;
use crate::lane::{Lane, Taken};
use crate::losses::{Losses, Where};
use crate::peer::Peer;
use crate::stream::Stream;

/// Messages looked at in one go.
const MOST: usize = 1024;
/// So many bytes are gathered before a call is made for them, if more is at hand.
pub(crate) const HANDFUL: usize = 64 << 10;
/// How soon to try again what the kernel has no room for.
const SOON: i64 = SECOND / 1000;
/// Messages are spread in steps of this: a timer is 50 µs late.
pub(crate) const STEP: i64 = SECOND / 4000;
/// How long a receiver that takes nothing is waited for when all is over.
const PATIENCE: i64 = 5 * SECOND;

/// Lanes that may stay although nothing waits there; sessions come and go.
const MOST_IDLE: usize = 256;

/// A lane's number: the session and the stream.
pub(crate) type Key = (u32, u16);

/// How messages leave.
#[derive(Debug)]
pub(crate) enum Link {
    Datagrams(Datagrams),
    Stream(Stream, Framing),
}

/// Sends messages.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) link: Link,
    peer: Peer,
    pub(crate) lanes: BTreeMap<Key, Lane>,
    /// Bytes that wait in all lanes.
    pub(crate) waiting: usize,
    pub(crate) capacity: usize,
    overflow: Overflow,
    /// The share of a block's time that its messages are spread over.
    pub(crate) pace: f64,
    /// Nothing is tried before that.
    blocked: i64,
    /// Since when the queue is full and nothing goes.
    stuck: Option<i64>,
    /// The lane whose first message is written in part.
    amid: Option<Key>,
    /// What was written to a stream and may still be lost: where it ends, and its samples.
    in_flight: VecDeque<(u64, Key, u64)>,
    pub(crate) losses: Losses,
    pub(crate) sent: Taken,
    clock: Clock,
    stop: Option<Stop>,
    pub(crate) gauge: Option<Gauge>,
    lengths: Vec<u32>,
    pub(crate) scratch: Vec<u8>,
}

/// How an attempt to send went.
enum Attempt {
    /// Something went, or was given up.
    Progress,
    /// Nothing can go now.
    Blocked,
}

impl Sender {
    pub(crate) fn open(
        destination: &Destination,
        framing: Framing,
        pace: f64,
        require: bool,
    ) -> Result<Sender> {
        let link = match destination {
            Destination::Tcp(_) => Link::Stream(Stream::open(destination)?, framing),
            _ => Link::Datagrams(Datagrams::open(destination)?),
        };
        Ok(Sender {
            // A stream of bytes has no receiver's buffer that overflows.
            pace: if destination.has_datagrams() { pace } else { 0.0 },
            link,
            peer: Peer::new(destination, require),
            lanes: BTreeMap::new(),
            waiting: 0,
            capacity: 4 << 20,
            overflow: Overflow::Block,
            blocked: i64::MIN,
            stuck: None,
            amid: None,
            in_flight: VecDeque::new(),
            losses: Losses::default(),
            sent: Taken::default(),
            clock: Clock::system(),
            stop: None,
            gauge: None,
            lengths: Vec::with_capacity(MOST),
            scratch: Vec::new(),
        })
    }

    pub(crate) fn set_room(&mut self, room: Room, gauge: Gauge) {
        self.capacity = usize::try_from(room.bytes).unwrap_or(usize::MAX);
        self.overflow = room.overflow;
        self.gauge = Some(gauge);
    }

    /// Who waits for a peer should not for ever, once the user wants an end.
    pub(crate) fn heed(&mut self, stop: Stop) {
        self.stop = Some(stop);
    }

    pub(crate) fn set_voice(&mut self, voice: Voice) {
        self.peer.set_voice(voice);
    }

    /// The longest message that should be sent where the user says nothing.
    pub(crate) fn usual_length(&self) -> usize {
        match &self.link {
            Link::Datagrams(datagrams) => datagrams.usual_length(),
            Link::Stream(..) => crate::datagrams::LONGEST,
        }
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The way into a stream's lane, for one block of its messages.
    pub(crate) fn block(&mut self, key: Key) -> Block<'_> {
        if self.lanes.len() > MOST_IDLE {
            self.lanes.retain(|_, lane| lane.waiting() > 0);
            let lanes = &self.lanes;
            self.losses.keep_names(|known| known == key || lanes.contains_key(&known));
        }
        let lane = self.lanes.entry(key).or_default();
        lane.begin_block();
        Block::begin(self, key)
    }

    /// When [`Sender::pump`] is to be called, whatever comes.
    pub(crate) fn deadline(&self) -> Option<i64> {
        let due = self.lanes.values().filter_map(Lane::due).min();
        let due = due.map(|due| due.max(self.blocked));
        [due, self.peer.deadline()].into_iter().flatten().min()
    }

    /// Sends what is due.
    pub(crate) fn pump(&mut self) -> Result<()> {
        let now = self.clock.now();
        self.lanes.values_mut().for_each(|lane| lane.put_off(now, 2 * STEP));
        self.send_due(now, now)?;
        self.tell_gauge();
        self.peer.tick(now);
        Ok(())
    }

    fn tell_gauge(&self) {
        if let Some(gauge) = &self.gauge {
            gauge.waiting(self.waiting as u64);
        }
    }

    /// Sends what is due at `until`, as far as the receiver takes it.
    fn send_due(&mut self, now: i64, until: i64) -> Result<()> {
        while now >= self.blocked {
            let due =
                self.lanes.iter().filter_map(|(key, lane)| Some((lane.due()?, *key)));
            // What is half written goes on first.
            let next = match self.amid {
                Some(key) => Some(key),
                None => due.min().filter(|(due, _)| *due <= until).map(|(_, key)| key),
            };
            let Some(key) = next else { break };
            if let Attempt::Blocked = self.send_from(key, now, until)? {
                self.blocked = self.blocked.max(now + SOON);
            }
        }
        Ok(())
    }

    /// Makes one attempt to send from a lane.
    fn send_from(&mut self, key: Key, now: i64, until: i64) -> Result<Attempt> {
        if let Link::Stream(stream, _) = &mut self.link
            && !stream.is_connected()
        {
            match stream.connect(now) {
                Ok(true) => self.peer.answers(),
                Ok(false) => {
                    self.blocked = stream.retry(now);
                    return Ok(Attempt::Blocked);
                }
                Err(err) => {
                    self.blocked = stream.retry(now);
                    self.peer.refuses(now, &err)?;
                    return Ok(Attempt::Blocked);
                }
            }
        }
        let Some(lane) = self.lanes.get(&key) else {
            self.amid = None;
            return Ok(Attempt::Progress);
        };
        let mut lengths = std::mem::take(&mut self.lengths);
        let bytes = lane.ready(until, MOST, &mut lengths);
        let sent = match &mut self.link {
            Link::Datagrams(datagrams) => datagrams.send(bytes, &lengths),
            Link::Stream(stream, _) => stream.send(bytes, &lengths),
        };
        self.lengths = lengths;
        match sent {
            Ok(messages) => {
                self.take(key, messages, now);
                Ok(Attempt::Progress)
            }
            Err(err) => self.failed(key, now, &err),
        }
    }

    /// Takes note of messages that were sent.
    fn take(&mut self, key: Key, messages: usize, now: i64) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let taken = lane.take(messages);
        self.stuck = None;
        self.waiting -= taken.bytes as usize;
        let Taken { messages, bytes, samples } = taken;
        self.sent.messages += messages;
        self.sent.bytes += bytes;
        self.sent.samples += samples;
        if let Some(gauge) = &self.gauge {
            gauge.sent(messages, samples, bytes);
        }
        if let Link::Stream(stream, _) = &self.link {
            self.amid = stream.is_amid().then_some(key);
            if samples > 0 {
                self.in_flight.push_back((stream.written, key, samples));
            }
            if self.in_flight.len() > 4 * MOST {
                let until = stream.acknowledged();
                let arrived = self.in_flight.partition_point(|(end, ..)| *end <= until);
                self.in_flight.drain(..arrived);
            }
        } else {
            self.peer.took(now);
        }
        self.losses.end_run(key);
    }

    /// What an attempt to send that failed means.
    fn failed(&mut self, key: Key, now: i64, err: &io::Error) -> Result<Attempt> {
        if matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
            || err.raw_os_error() == Some(Errno::NOBUFS.raw_os_error())
        {
            return Ok(Attempt::Blocked);
        }
        match &mut self.link {
            Link::Stream(stream, _) => {
                let until = stream.acknowledged();
                stream.close(now);
                self.blocked = stream.retry(now);
                self.amid = None;
                for (end, key, samples) in std::mem::take(&mut self.in_flight) {
                    if end > until {
                        self.lose(key, samples, Where::Network);
                    }
                }
                self.peer.refuses(now, err)?;
                Ok(Attempt::Blocked)
            }
            Link::Datagrams(_) => {
                self.peer.refuses(now, err)?;
                // The kernel tells of a datagram before this one; this one it did not send.
                let is_answer = err.kind() == ErrorKind::ConnectionRefused;
                if !is_answer || self.peer.was_refused_twice() {
                    let Some(lane) = self.lanes.get_mut(&key) else {
                        return Ok(Attempt::Progress);
                    };
                    let taken = lane.take(1);
                    self.waiting -= taken.bytes as usize;
                    if !self.peer.is_absence(err) {
                        self.lose(key, taken.samples, Where::Network);
                    }
                }
                Ok(Attempt::Progress)
            }
        }
    }

    pub(crate) fn lose(&mut self, key: Key, samples: u64, place: Where) {
        if samples == 0 {
            return;
        }
        self.losses.add(key, samples, place);
        if let Some(gauge) = &self.gauge {
            gauge.lost(samples);
        }
    }

    /// Makes room where more waits than may: by sending what is not due yet, then as the
    /// user wants it. `current` is the lane that is being filled.
    pub(crate) fn make_room(&mut self, current: Key) -> Result<()> {
        loop {
            let now = self.clock.now();
            self.send_due(now, i64::MAX)?;
            if self.waiting <= self.capacity {
                return Ok(());
            }
            let since = *self.stuck.get_or_insert(now);
            let given_up = now - since > PATIENCE && self.wants_end();
            match self.overflow {
                Overflow::DropNewest => {
                    let lane = self.lanes.entry(current).or_default();
                    let was = lane.waiting();
                    lane.leave_out(self.amid == Some(current));
                    self.waiting -= was - lane.waiting();
                    return Ok(());
                }
                Overflow::DropOldest => break,
                _ if given_up => break,
                _ => {}
            }
            self.tell_gauge();
            self.peer.tick(now);
            let wait = self.blocked.saturating_sub(self.clock.now()).clamp(0, 20 * SOON);
            std::thread::sleep(Duration::from_nanos(wait as u64));
        }
        self.drop_oldest();
        Ok(())
    }

    fn wants_end(&self) -> bool {
        self.stop.as_ref().is_some_and(Stop::is_requested)
    }

    /// Drops the slabs that wait longest until there is room.
    fn drop_oldest(&mut self) {
        while self.waiting > self.capacity {
            let due =
                self.lanes.iter().filter_map(|(key, lane)| Some((lane.due()?, *key)));
            let mut by_age: Vec<_> = due.collect();
            by_age.sort_unstable();
            let dropped = by_age.into_iter().find_map(|(_, key)| {
                let amid = self.amid == Some(key);
                let lane = self.lanes.get_mut(&key)?;
                Some((key, lane.drop_oldest(amid)?))
            });
            // What is being put in is one slab alone; it may stay.
            let Some((key, taken)) = dropped else { return };
            self.waiting -= taken.bytes as usize;
            self.lose(key, taken.samples, Where::Queue);
        }
    }

    /// Sends all that waits, when it is due, as long as the receiver takes something.
    pub(crate) fn drain(&mut self) -> Result<()> {
        let mut patience = self.clock.now().saturating_add(PATIENCE);
        while self.waiting > 0 {
            let (now, before) = (self.clock.now(), self.sent.messages);
            self.pump()?;
            if self.sent.messages > before {
                patience = now.saturating_add(PATIENCE);
            }
            if now > patience {
                break;
            }
            let until = self.deadline().unwrap_or(now).min(patience);
            let wait = until.saturating_sub(self.clock.now()).max(0);
            std::thread::sleep(Duration::from_nanos(wait as u64));
        }
        if let Link::Datagrams(datagrams) = &self.link
            && let Some(err) = datagrams.refusal()
        {
            let now = self.clock.now();
            self.peer.refuses(now, &err)?;
        }
        if let Link::Stream(stream, _) = &mut self.link {
            stream.finish();
            // Given to the kernel is not yet received.
            while stream.acknowledged() < stream.written && self.clock.now() < patience {
                std::thread::sleep(Duration::from_nanos(SOON as u64));
            }
            let until = stream.acknowledged();
            for (end, key, samples) in std::mem::take(&mut self.in_flight) {
                if end > until {
                    self.lose(key, samples, Where::Network);
                }
            }
        }
        let keys: Vec<Key> = self.lanes.keys().copied().collect();
        for key in keys {
            while let Some(taken) =
                self.lanes.get_mut(&key).and_then(|lane| lane.drop_oldest(false))
            {
                self.waiting -= taken.bytes as usize;
                self.lose(key, taken.samples, Where::Network);
            }
        }
        self.tell_gauge();
        Ok(())
    }

    /// Tells what was sent, to who wants to know more.
    pub(crate) fn tell_totals(&self) {
        let Taken { messages, bytes, samples } = self.sent;
        self.peer.tell_totals(messages, bytes, samples);
    }
}
