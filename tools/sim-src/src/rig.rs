//! All simulated devices of a run: whose sample is next, and what goes wrong with it.

use anyhow::Result;
use libframe::batch::{Builder, Sample};
use libframe::clock::SECOND;
use libframe::payload::Reason;
use libframe::tool::{Feed, Flow, Planned, Raw, Usage};
use libframe::wire::{FLAG_DEVICE_TIME, Header, Kind, MAX_PAYLOAD};

use crate::fault::{Fault, Faults};
use crate::noise::{mix, share};
use crate::signal::Signal;
use crate::spec::{Defaults, Device, Rate, Spec};

/// Whether to wait for the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Real,
    Free,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    /// A record of this stream.
    Record(usize),
    /// This event.
    Event(usize),
}

pub(crate) struct Rig {
    streams: Vec<Simulated>,
    events: Vec<Planned>,
    faults: Faults,
    pace: Pace,
    seed: u64,
    start: i64,
    count: Option<u64>,
    payload: Vec<u8>,
    sample: Vec<u8>,
}

/// One stream on its way.
struct Simulated {
    number: u16,
    signal: Signal,
    /// Samples a second of the device, for its clock.
    rate: f64,
    /// ns between samples.
    period: f64,
    ticks: Option<f64>,
    /// Samples in a record; above 1 they go as BATCH.
    block: u64,
    builder: Builder,
    /// The next record.
    record: u64,
    /// A record that its successor overtakes.
    overtaken: Option<Overtaken>,
    done: bool,
}

struct Overtaken {
    kind: Kind,
    flags: u8,
    seq: u64,
    time: i64,
    payload: Vec<u8>,
}

/// The uses of random numbers, so that one fault does not move another.
const DROP: u64 = 1 << 20;
const GAP: u64 = DROP + 1;
const DUPLICATE: u64 = DROP + 2;
const REORDER: u64 = DROP + 3;
const FLIP: u64 = DROP + 4;
const BIT: u64 = DROP + 5;

impl Rig {
    pub(crate) fn open(
        specs: Vec<Spec>,
        defaults: &Defaults,
        seed: u64,
        faults: Vec<Fault>,
        pace: Pace,
        feed: &mut Feed,
    ) -> Result<Rig> {
        let drifts = faults.iter().any(|fault| matches!(fault, Fault::Drift(_)));
        let faults = Faults::new(faults);
        let mut streams = Vec::new();
        for (place, spec) in specs.iter().enumerate() {
            let name = name_of(place, spec, &specs);
            streams.push(Simulated::open(spec, defaults, seed, place, name, feed)?);
        }
        if drifts && streams.iter().all(|stream| stream.ticks.is_none()) {
            let hint = "--fault drift needs a device with a clock: ephys or control";
            return Err(Usage(hint.into()).into());
        }
        let (start, count) = (feed.clock().now(), feed.count());
        let (payload, sample) = (Vec::new(), Vec::new());
        let events = Vec::new();
        Ok(Rig { streams, events, faults, pace, seed, start, count, payload, sample })
    }

    /// Sends these events too.
    pub(crate) fn plan(&mut self, events: Vec<Planned>) {
        self.events = events;
    }

    /// What comes next, and when; `None` when all streams have enough.
    pub(crate) fn next_due(&self) -> Option<(Next, i64)> {
        let (stream, due) = self.next_record()?;
        let events = self.events.iter().enumerate();
        let event = events.map(|(at, event)| (event.next, at)).min();
        match event.map(|(next, at)| (self.start.saturating_add(next), at)) {
            Some((time, at)) if time <= due => Some((Next::Event(at), time)),
            _ => Some((Next::Record(stream), due)),
        }
    }

    /// Sends an event, of the session as a whole.
    pub(crate) fn send_event(&mut self, at: usize, feed: &mut Feed) -> Result<()> {
        let event = &mut self.events[at];
        let (time, value) = (self.start + event.next, event.value.clone());
        event.go_on();
        feed.event_at(0, time, &self.events[at].label, value)
    }

    /// The stream whose record comes next, and when.
    fn next_record(&self) -> Option<(usize, i64)> {
        let open = self.streams.iter().enumerate().filter(|(_, stream)| !stream.done);
        let due =
            |(at, stream): (usize, &Simulated)| (at, self.due(stream, stream.record));
        open.map(due).min_by_key(|(_, due)| *due)
    }

    /// When a record gets through: once its last sample is there.
    fn due(&self, stream: &Simulated, record: u64) -> i64 {
        let period = stream.period * stream.block as f64;
        let complete = (stream.period * (stream.block - 1) as f64) as i64;
        self.start + complete + self.faults.arrival(record, period)
    }

    /// Sends the next record of a stream, or what a fault makes of it.
    pub(crate) fn send(&mut self, at: usize, feed: &mut Feed) -> Result<()> {
        let stream = &self.streams[at];
        let (number, record) = (stream.number, stream.record);
        let seq = record * stream.block;
        let wanted = self.count.map_or(u64::MAX, |count| count.saturating_sub(seq));
        let n = stream.block.min(wanted);
        self.streams[at].record += 1;
        self.streams[at].done = n == wanted;
        let (seed, place) = (self.seed, at as u64);
        let happens = |share_of: f64, what| share(seed, place, record, what) < share_of;

        if happens(self.faults.drop, DROP) {
            return Ok(());
        }
        if happens(self.faults.gap, GAP) {
            return feed.lost_at(number, seq, Some(n), Reason::Device, "simulated");
        }
        let (kind, flags, time) = self.make(at, seq, n, feed)?;
        let flip = happens(self.faults.flip, FLIP)
            .then(|| mix(seed, place, record, BIT) as u32 & 0x7FFF_FFFF);
        let raw = Raw { kind, flags, seq, time, payload: &self.payload, flip };
        if happens(self.faults.reorder, REORDER) && self.streams[at].overtaken.is_none() {
            let payload = self.payload.clone();
            self.streams[at].overtaken =
                Some(Overtaken { kind, flags, seq, time, payload });
            return Ok(());
        }
        feed.raw(number, &raw)?;
        if happens(self.faults.duplicate, DUPLICATE) {
            feed.raw(number, &Raw { flip: None, ..raw })?;
        }
        self.send_overtaken(at, feed)
    }

    /// Sends what was held back to come late.
    pub(crate) fn finish(&mut self, feed: &mut Feed) -> Result<()> {
        (0..self.streams.len()).try_for_each(|at| self.send_overtaken(at, feed))
    }

    fn send_overtaken(&mut self, at: usize, feed: &mut Feed) -> Result<()> {
        let number = self.streams[at].number;
        let Some(held) = self.streams[at].overtaken.take() else { return Ok(()) };
        let Overtaken { kind, flags, seq, time, payload } = held;
        feed.raw(number, &Raw { kind, flags, seq, time, payload: &payload, flip: None })
    }

    /// Makes the payload of `n` samples from `seq` on.
    fn make(
        &mut self,
        at: usize,
        seq: u64,
        n: u64,
        feed: &Feed,
    ) -> Result<(Kind, u8, i64)> {
        let due = self.due(&self.streams[at], seq / self.streams[at].block);
        let arrival = if self.pace == Pace::Real { feed.clock().now() } else { due };
        let stream = &mut self.streams[at];
        let before_last = |index: u64| ((n - 1 - index) as f64 * stream.period) as i64;
        let time = arrival - before_last(0);
        let ticks = |index: u64| {
            let ns = index as f64 * SECOND as f64 / stream.rate;
            stream.ticks.map(|rate| self.faults.device_ticks(ns, rate))
        };
        let flags = if stream.ticks.is_some() { FLAG_DEVICE_TIME } else { 0 };
        self.payload.clear();
        if stream.block == 1 {
            if let Some(ticks) = ticks(seq) {
                self.payload.extend_from_slice(&ticks.to_le_bytes());
            }
            stream.signal.sample(seq, &mut self.sample)?;
            self.payload.extend_from_slice(&self.sample);
            return Ok((Kind::DATA, flags, time));
        }
        let header = Header {
            kind: Kind::BATCH,
            flags,
            stream: stream.number,
            session: 0,
            seq,
            time,
            sent: 0,
        };
        for index in 0..n {
            stream.signal.sample(seq + index, &mut self.sample)?;
            let sample = Sample {
                seq: seq + index,
                time: arrival - before_last(index),
                device_time: ticks(seq + index),
                bytes: &self.sample,
            };
            stream.builder.push(&header, &sample, MAX_PAYLOAD);
        }
        if let Some(batch) = stream.builder.finish() {
            self.payload.extend_from_slice(batch.payload);
        }
        Ok((Kind::BATCH, flags, time))
    }
}

impl Simulated {
    fn open(
        spec: &Spec,
        defaults: &Defaults,
        seed: u64,
        place: usize,
        name: String,
        feed: &mut Feed,
    ) -> Result<Simulated> {
        let (rate, block) = pace_of(spec, defaults);
        let channels = channels_of(spec, defaults);
        let signal = Signal::new(spec, channels, rate, seed, place as u64);
        let description = signal.describe(name, rate);
        let ticks = signal.device_clock(rate).map(|clock| clock.rate);
        let number = feed.open(&description)?;
        Ok(Simulated {
            number,
            signal,
            rate,
            period: SECOND as f64 / rate,
            ticks,
            block,
            builder: Builder::new(description.sample_size().is_some()),
            record: 0,
            overtaken: None,
            done: false,
        })
    }
}

/// Samples a second of a stream, and how many of them are in a record.
fn pace_of(spec: &Spec, defaults: &Defaults) -> (f64, u64) {
    let default = match defaults.rate {
        Some(Rate::Hz(rate)) => rate,
        _ => spec.device.rate(),
    };
    let rate = spec.rate.unwrap_or(default);
    // An amplifier sends blocks of about 10 ms; the others send each sample.
    let usual =
        if spec.device == Device::Ephys { (rate / 100.0).max(1.0) as u64 } else { 1 };
    (rate, spec.block.map_or(usual, u64::from))
}

fn channels_of(spec: &Spec, defaults: &Defaults) -> u32 {
    spec.channels.or(defaults.channels).unwrap_or(spec.device.channels())
}

/// The streams as they would be, for a plan.
pub(crate) fn flows(specs: &[Spec], defaults: &Defaults, seed: u64) -> Vec<Flow> {
    let flow = |(place, spec): (usize, &Spec)| {
        let (rate, block) = pace_of(spec, defaults);
        let channels = channels_of(spec, defaults);
        let mut signal = Signal::new(spec, channels, rate, seed, place as u64);
        let flow = Flow::new(signal.describe(name_of(place, spec, specs), rate));
        // Pictures differ a little; the first one tells how large they are.
        let mut sample = Vec::new();
        let made = signal.sample(0, &mut sample).ok().map(|()| sample.len() as f64);
        let batch = block as f64;
        Flow { size: flow.size.or(made), batch, ..flow }
    };
    specs.iter().enumerate().map(flow).collect()
}

/// The stream's own name, or its device's; of several alike they are numbered.
fn name_of(place: usize, spec: &Spec, all: &[Spec]) -> String {
    if let Some(name) = &spec.name {
        return name.clone();
    }
    let alike = |other: &&Spec| other.device == spec.device && other.name.is_none();
    let kind = spec.device.name();
    match all.iter().filter(alike).count() {
        1 => kind.into(),
        _ => format!("{kind}{}", all[..place].iter().filter(alike).count() + 1),
    }
}
