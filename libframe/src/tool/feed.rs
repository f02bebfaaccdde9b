//! A source's side of the pipe: what a device gives goes in here, on a thread of its own.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use anyhow::Result;

use super::queue::Queue;
use super::signal::{Stop, Wake};
use super::status::Counters;
use super::voice::Voice;
use crate::clock::Clock;
use crate::payload::{ClockReading, Event, Gap, Payload, Reason, Value};
use crate::schema::Stream;
use crate::wire::{FLAG_DEVICE_TIME, Header, Kind, Record};

/// Takes what a device gives, and tells the device's thread when to stop.
#[derive(Debug)]
pub struct Feed {
    pub(super) queue: Arc<Queue>,
    pub(super) stop: Stop,
    pub(super) clock: Clock,
    pub(super) counters: Arc<Counters>,
    pub(super) session: u32,
    pub(super) voice: Voice,
    pub(super) count: Option<u64>,
    pub(super) idle: Option<i64>,
    pub(super) last: i64,
    pub(super) streams: Vec<FeedStream>,
    pub(super) reason: &'static str,
}

#[derive(Debug)]
pub(super) struct FeedStream {
    next: u64,
    taken: u64,
    version: u32,
    /// It ends when the others do: `--count` is not about it.
    aside: bool,
}

/// What a source sends under its own numbers, instead of through [`Feed::sample`].
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    /// DATA or BATCH.
    pub kind: Kind,
    /// The flags of the header.
    pub flags: u8,
    /// The number of its first sample.
    pub seq: u64,
    /// Its capture time.
    pub time: i64,
    /// The payload.
    pub payload: &'a [u8],
    /// A bit to flip on the wire, to see what readers make of it.
    pub flip: Option<u32>,
}

/// Samples that a source did not get, for [`Feed::missing`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Missing<'a> {
    /// The first of them; `None` for the stream's next.
    pub first: Option<u64>,
    /// How many, if that is known.
    pub count: Option<u64>,
    /// Why.
    pub reason: Reason,
    /// The last capture time before them.
    pub from: Option<i64>,
    /// The first capture time after them; `None` for now.
    pub to: Option<i64>,
    /// What happened, for people.
    pub detail: &'a str,
    /// If only these channels of the samples are missing: the samples themselves come next,
    /// with NaN in their place.
    pub channels: &'a [u32],
}

impl Feed {
    /// Opens a stream; returns its number.
    pub fn open(&mut self, description: &Stream) -> Result<u16> {
        self.add(description, false)
    }

    /// Opens a stream that goes beside others, at a rate of its own: `--count` neither ends
    /// it nor waits for it.
    pub fn open_aside(&mut self, description: &Stream) -> Result<u16> {
        self.add(description, true)
    }

    fn add(&mut self, description: &Stream, aside: bool) -> Result<u16> {
        let version = description.version;
        self.streams.push(FeedStream { next: 0, taken: 0, version, aside });
        let number = self.streams.len() as u16;
        self.put(number, 0, self.clock.now(), description)?;
        Ok(number)
    }

    /// Changes a stream's description from the next sample on.
    pub fn describe(&mut self, number: u16, mut description: Stream) -> Result<()> {
        let next = self.with(number, |stream| {
            stream.version += 1;
            description.version = stream.version;
            stream.next
        });
        self.put(number, next, self.clock.now(), &description)
    }

    /// Sends the next sample. What comes after `--count` samples is not taken.
    pub fn sample(
        &mut self,
        number: u16,
        time: i64,
        device_time: Option<u64>,
        bytes: &[u8],
    ) -> Result<()> {
        if self.left(number) == 0 {
            return Ok(());
        }
        let seq = self.with(number, |stream| {
            stream.taken += 1;
            stream.next += 1;
            stream.next - 1
        });
        let device = device_time.map(u64::to_le_bytes);
        let head = device.as_ref().map_or(&[][..], |bytes| &bytes[..]);
        let flags = if device.is_some() { FLAG_DEVICE_TIME } else { 0 };
        let header = self.header(Kind::DATA, flags, number, seq, time);
        self.last = self.clock.now();
        self.push(1, &Record::new(header, head), bytes, 0)
    }

    /// Sends samples under the sender's own numbers, which it may repeat, swap or skip.
    pub fn raw(&mut self, number: u16, raw: &Raw<'_>) -> Result<()> {
        let Raw { kind, flags, seq, time, payload, flip } = *raw;
        let record = Record::new(self.header(kind, flags, number, seq, time), payload);
        let samples = record.samples();
        self.with(number, |stream| {
            stream.next = stream.next.max(seq + samples);
            stream.taken = stream.next;
        });
        self.last = time;
        self.push(samples, &record, &[], flip.map_or(0, |bit| bit + 1))
    }

    /// Says that samples are missing: `count` of them, or an unknown number.
    pub fn lost(
        &mut self,
        number: u16,
        count: Option<u64>,
        reason: Reason,
        detail: &str,
    ) -> Result<()> {
        let missing = Missing { count, reason, detail, ..Missing::default() };
        self.missing(number, &missing)
    }

    /// Says that the samples from `first` on are missing.
    pub fn lost_at(
        &mut self,
        number: u16,
        first: u64,
        count: Option<u64>,
        reason: Reason,
        detail: &str,
    ) -> Result<()> {
        let first = Some(first);
        let missing = Missing { first, count, reason, detail, ..Missing::default() };
        self.missing(number, &missing)
    }

    /// Says that samples are missing, and between which times that was.
    pub fn missing(&mut self, number: u16, missing: &Missing<'_>) -> Result<()> {
        let Missing { first, count, reason, from, to, detail, channels } = *missing;
        let to = to.unwrap_or_else(|| self.clock.now());
        let (count, partial) =
            if channels.is_empty() { (count, None) } else { (None, count) };
        let skipped = count.unwrap_or(0);
        let first = self.with(number, |stream| {
            let first = first.unwrap_or(stream.next);
            stream.taken += skipped;
            stream.next = stream.next.max(first + skipped);
            first
        });
        self.counters.lost.add(skipped);
        self.counters.told.add(partial.unwrap_or(0));
        let (stage, detail) = (self.voice.name().to_owned(), detail.into());
        let (to, channels) = (Some(to), channels.to_vec());
        let gap =
            Gap { first, count, reason, stage, from, to, detail, partial, channels };
        self.put(number, gap.next(), to.unwrap_or_default(), &gap)
    }

    /// Sends an event of a stream, or of the session (0).
    pub fn event(&mut self, number: u16, label: &str, value: Value) -> Result<()> {
        self.event_at(number, self.clock.now(), label, value)
    }

    /// Sends an event that was at another time than now.
    pub fn event_at(
        &mut self,
        number: u16,
        time: i64,
        label: &str,
        value: Value,
    ) -> Result<()> {
        let source = self.voice.name().into();
        self.event_from(number, time, &Event { label: label.into(), value, source })
    }

    /// Sends an event that someone else saw, at that time.
    pub fn event_from(&mut self, number: u16, time: i64, event: &Event) -> Result<()> {
        let next = self.with(number, |stream| stream.next);
        self.put(number, next, time, event)
    }

    /// Says what the clock of a stream showed, if that is not this host's; without an offset,
    /// that it is another one.
    pub fn clock_of(&mut self, number: u16, reading: &ClockReading) -> Result<()> {
        let next = self.with(number, |stream| stream.next);
        let time = reading.monotonic.saturating_add(reading.offset.unwrap_or(0));
        self.put(number, next, time, reading)
    }

    /// The number of a stream's next sample.
    pub fn next(&self, number: u16) -> u64 {
        let stream = usize::from(number).checked_sub(1);
        stream.and_then(|at| self.streams.get(at)).map_or(0, |stream| stream.next)
    }

    /// How many more samples of a stream are wanted.
    pub fn left(&self, number: u16) -> u64 {
        let stream =
            usize::from(number).checked_sub(1).and_then(|at| self.streams.get(at));
        if stream.is_some_and(|stream| stream.aside) {
            return u64::MAX;
        }
        let taken = stream.map_or(0, |stream| stream.taken);
        self.count.map_or(u64::MAX, |count| count.saturating_sub(taken))
    }

    /// Whether to go on: nobody asked to stop, and no option says so.
    pub fn is_running(&mut self) -> bool {
        let mut counted = self.streams.iter().filter(|stream| !stream.aside).peekable();
        let all = counted.peek().is_some()
            && counted.all(|stream| self.count.is_some_and(|n| stream.taken >= n));
        let idle = self.idle.is_some_and(|idle| self.clock.now() - self.last >= idle);
        self.reason = match () {
            () if self.stop.is_signalled() => "signal",
            () if all => "count",
            () if self.stop.is_over() => "duration",
            () if idle => "idle",
            () if self.stop.is_requested() => "reader gone",
            () => return true,
        };
        false
    }

    /// Waits for a device, or until `until`; wakes when it is time to stop.
    pub fn wait(&self, fd: Option<BorrowedFd<'_>>, until: Option<i64>) -> Result<Wake> {
        self.wait_any(fd.as_slice(), until)
    }

    /// Waits for one of several descriptors.
    pub fn wait_any(&self, fds: &[BorrowedFd<'_>], until: Option<i64>) -> Result<Wake> {
        let idle = self.idle.map(|idle| self.last.saturating_add(idle));
        let deadline = until.into_iter().chain(idle).min();
        let wake = self.stop.wait_any(fds, deadline)?;
        let idle =
            idle.is_some_and(|idle| wake == Wake::Time && self.clock.now() >= idle);
        Ok(if idle { Wake::Stop } else { wake })
    }

    /// Says something on stderr, if asked to say more.
    pub fn tell(&self, text: &str) {
        self.voice.detail(text);
    }

    /// How it may speak.
    pub fn voice(&self) -> &Voice {
        &self.voice
    }

    /// How many samples of each stream are wanted, if that is limited.
    pub fn count(&self) -> Option<u64> {
        self.count
    }

    /// The clock that capture times are read from.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    fn put<P: Payload>(
        &self,
        number: u16,
        seq: u64,
        time: i64,
        payload: &P,
    ) -> Result<()> {
        let header = self.header(P::KIND, 0, number, seq, time);
        Ok(self.queue.push(&Record::new(header, &payload.to_bytes()), &[], 0)?)
    }

    #[inline]
    fn push(
        &self,
        samples: u64,
        record: &Record<'_>,
        tail: &[u8],
        flip: u32,
    ) -> Result<()> {
        self.counters.input.add(samples, record.payload.len() + tail.len());
        Ok(self.queue.push(record, tail, flip)?)
    }

    fn header(&self, kind: Kind, flags: u8, stream: u16, seq: u64, time: i64) -> Header {
        Header { kind, flags, stream, session: self.session, seq, time, sent: 0 }
    }

    fn with<T: Default>(
        &mut self,
        number: u16,
        on: impl FnOnce(&mut FeedStream) -> T,
    ) -> T {
        let at = usize::from(number).checked_sub(1);
        let stream = at.and_then(|at| self.streams.get_mut(at));
        stream.map(on).unwrap_or_default()
    }
}
