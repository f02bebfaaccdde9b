//! A clip that is open: which records belong to it, and how they leave.

use std::fmt;

use anyhow::Result;
use libframe::batch::{Builder, Samples};
use libframe::payload::{ClockReading, Event, Gap, Payload, Reason, Session, Value};
use libframe::tool::{Ended, Output, name_session};
use libframe::wire::{Header, Kind, Record};

use crate::lane::{Lane, Window};
use crate::trigger::Trigger;

/// A BATCH over this size is cut into single samples, which are sent from where they lie.
const MAX_BATCH: usize = 1 << 20;

/// A clip that is open.
#[derive(Debug)]
pub(crate) struct Clip {
    pub(crate) number: u64,
    /// The tag of its session.
    tag: u32,
    /// Its SESSION, to be announced again.
    session: Vec<u8>,
    pub(crate) window: Window,
    pub(crate) trigger: Trigger,
    /// Where it ends at the latest.
    limit: i64,
    /// What came later was asked for, and is beyond the limit.
    pub(crate) limited: bool,
    pub(crate) samples: u64,
}

/// From which record on a clip is still to be given its own, when it reaches further than
/// before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Since {
    /// Samples and gaps of the lane have this number or a later one.
    pub(crate) seq: u64,
    /// Other records have this time or a later one.
    pub(crate) time: i64,
}

impl Since {
    /// Everything.
    pub(crate) const EVER: Since = Since { seq: 0, time: i64::MIN };
}

/// A record on its way into a clip.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer<'a> {
    pub(crate) record: Record<'a>,
    /// Whether samples have a fixed size; `None` if the stream is not described.
    pub(crate) fixed: Option<bool>,
    pub(crate) since: Since,
}

/// A time as people read it.
pub(crate) struct Millis(pub(crate) i64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0 / 1000;
        match micros % 1000 {
            0 => write!(f, "{}ms", micros / 1000),
            _ => write!(f, "{}ms", micros as f64 / 1000.0),
        }
    }
}

/// Sends a session with nothing in it, whose clip has number 0: that nothing triggered is
/// not that this stage failed, and the stages after must be able to tell.
pub(crate) fn send_none(
    mut session: Session,
    ended: &Ended<'_>,
    out: &mut impl Output,
) -> Result<()> {
    session.meta.insert("clip".into(), "0".into());
    session.meta.insert("clip_of".into(), session.uuid.clone());
    let (time, tag) = (session.start_monotonic, name_session(&mut session));
    let header =
        |kind| Header { kind, flags: 0, stream: 0, session: tag, seq: 0, time, sent: 0 };
    out.send(Record::new(header(Kind::SESSION), &session.to_bytes()))?;
    if let Some(stage) = ended.broke_off {
        let gap = Gap {
            first: 0,
            count: None,
            reason: Reason::Upstream,
            stage: stage.into(),
            to: Some(ended.time),
            ..Gap::default()
        };
        out.send(Record::new(header(Kind::GAP), &gap.to_bytes()))?;
    }
    out.end(tag, ended.time, "no clip")
}

impl Clip {
    /// Opens a clip of the session `parent`: SESSION and CLOCK go out.
    pub(crate) fn open(
        number: u64,
        trigger: Trigger,
        (window, limit): (Window, i64),
        parent: &Session,
        of_session: &Lane,
        out: &mut impl Output,
    ) -> Result<Clip> {
        let mut session = parent.clone();
        let tag = name_session(&mut session);
        session.start_monotonic = window.begin;
        session.start_realtime = of_session.realtime(parent, window.begin);
        session.meta.extend([
            ("clip".into(), number.to_string()),
            ("clip_trigger".into(), trigger.what.clone()),
            ("clip_time".into(), trigger.time.to_string()),
            ("clip_of".into(), parent.uuid.clone()),
        ]);
        let session = session.to_bytes();
        let (limited, samples) = (false, 0);
        let clip =
            Clip { number, tag, session, window, trigger, limit, limited, samples };
        clip.announce(window.begin, out)?;
        clip.send_clocks(of_session, out)?;
        Ok(clip)
    }

    /// Sends the clip's SESSION.
    pub(crate) fn announce(&self, time: i64, out: &mut impl Output) -> Result<()> {
        let (kind, session) = (Kind::SESSION, self.tag);
        let header = Header { kind, flags: 0, stream: 0, session, seq: 0, time, sent: 0 };
        out.send(Record::new(header, &self.session))
    }

    /// Reaches on for another trigger; returns where it ended before, if it now ends later.
    pub(crate) fn reach(&mut self, end: i64) -> Option<i64> {
        self.limited |= end > self.limit;
        let (old, new) = (self.window.end, end.min(self.limit));
        self.window.end = old.max(new);
        (new > old).then_some(old)
    }

    /// Takes what belongs to it.
    pub(crate) fn offer(
        &mut self,
        offer: &Offer<'_>,
        lane: &mut Lane,
        out: &mut impl Output,
    ) -> Result<()> {
        let header = offer.record.header;
        match header.kind {
            Kind::DATA | Kind::BATCH => self.samples(offer, lane, out),
            Kind::GAP => self.gap(offer, lane, out),
            Kind::STREAM => {
                lane.part.description = offer.record.payload.into();
                let begun = lane.part.begun && lane.part.done.is_none();
                if begun { self.send(offer.record, out) } else { Ok(()) }
            }
            _ => {
                let time = lane.time(header.time);
                if !self.window.holds(time) || time < offer.since.time {
                    return Ok(());
                }
                self.begin(lane, header.seq, out)?;
                self.send(offer.record, out)
            }
        }
    }

    fn samples(
        &mut self,
        offer: &Offer<'_>,
        lane: &mut Lane,
        out: &mut impl Output,
    ) -> Result<()> {
        let header = offer.record.header;
        let Some(samples) = parse(&offer.record, offer.fixed) else {
            // Not described: its samples cannot be told apart.
            let n = offer.record.samples();
            let taken = header.seq >= offer.since.seq
                && lane.part.takes(header.seq, lane.time(header.time), self.window);
            return if taken { self.whole(n, offer.record, lane, out) } else { Ok(()) };
        };
        if samples.is_empty() {
            return Ok(());
        }
        let (window, since) = (self.window, offer.since.seq);
        let takes = |lane: &mut Lane, seq: u64, time: i64| {
            seq >= since && lane.part.takes(seq, lane.time(time), window)
        };
        let mut taken = 0;
        for at in 0..samples.len() {
            let (seq, time) = (header.seq + at as u64, samples.time(at));
            taken += usize::from(takes(lane, seq, time));
        }
        if taken == samples.len() {
            return self.whole(taken as u64, offer.record, lane, out);
        }
        if taken == 0 {
            return Ok(());
        }
        let mut builder = Builder::new(offer.fixed == Some(true));
        let limit = if offer.record.payload.len() > MAX_BATCH { 0 } else { usize::MAX };
        for sample in samples.iter() {
            if !takes(lane, sample.seq, sample.time) {
                continue;
            }
            self.begin(lane, sample.seq, out)?;
            lane.part.next = lane.part.next.max(sample.seq + 1);
            self.samples += 1;
            let header = Header { session: self.tag, ..header };
            if limit == 0 {
                out.send_sample(&header, &sample)?;
            } else if !builder.push(&header, &sample, limit) {
                builder.finish().map_or(Ok(()), |batch| out.send(batch))?;
                builder.push(&header, &sample, limit);
            }
        }
        builder.finish().map_or(Ok(()), |batch| out.send(batch))
    }

    /// Sends a record all of whose samples are in the clip.
    fn whole(
        &mut self,
        n: u64,
        record: Record<'_>,
        lane: &mut Lane,
        out: &mut impl Output,
    ) -> Result<()> {
        self.begin(lane, record.header.seq, out)?;
        lane.part.next = lane.part.next.max(record.header.seq + n);
        self.samples += n;
        self.send(record, out)
    }

    /// A gap belongs to the clip if a part of the time does in which samples are missing.
    fn gap(
        &mut self,
        offer: &Offer<'_>,
        lane: &mut Lane,
        out: &mut impl Output,
    ) -> Result<()> {
        let time = offer.record.header.time;
        let Ok(gap) = Gap::from_bytes(offer.record.payload) else { return Ok(()) };
        let (from, to) = (gap.from.unwrap_or(time), gap.to.unwrap_or(time));
        let (from, to) = (lane.time(from), lane.time(to));
        let over = lane.part.done.is_some_and(|done| gap.first >= done);
        let within = to.max(from) >= self.window.begin && from < self.window.end;
        if over || !within || gap.first < offer.since.seq {
            return Ok(());
        }
        self.begin(lane, gap.first, out)?;
        lane.part.next = lane.part.next.max(gap.next());
        self.send(offer.record, out)
    }

    /// Announces a stream, at the number of the first of its samples in the clip.
    pub(crate) fn begin(
        &self,
        lane: &mut Lane,
        seq: u64,
        out: &mut impl Output,
    ) -> Result<()> {
        if lane.part.begun || lane.number == 0 {
            return Ok(());
        }
        (lane.part.begun, lane.part.next) = (true, seq);
        if !lane.part.description.is_empty() {
            let (kind, stream, time) = (Kind::STREAM, lane.number, self.window.begin);
            let session = self.tag;
            let header = Header { kind, flags: 0, stream, session, seq, time, sent: 0 };
            out.send(Record::new(header, &lane.part.description))?;
        }
        self.send_clocks(lane, out)
    }

    fn send_clocks(&self, lane: &Lane, out: &mut impl Output) -> Result<()> {
        for (header, reading) in &lane.clocks {
            let header = Header { seq: lane.part.next, ..*header };
            self.send(Record::new(header, &reading.to_bytes()), out)?;
        }
        Ok(())
    }

    /// Sends a record as one of the clip's session.
    pub(crate) fn send(&self, record: Record<'_>, out: &mut impl Output) -> Result<()> {
        let header = Header { session: self.tag, ..record.header };
        out.send(record.with_header(header))
    }

    /// Says something about the clip in it.
    pub(crate) fn note(
        &self,
        time: i64,
        (label, text): (&str, &str),
        source: &str,
        out: &mut impl Output,
    ) -> Result<()> {
        let value = Value::Text(text.into());
        let event = Event { label: label.into(), value, source: source.into() };
        let (kind, session) = (Kind::EVENT, self.tag);
        let header = Header { kind, flags: 0, stream: 0, session, seq: 0, time, sent: 0 };
        out.send(Record::new(header, &event.to_bytes()))
    }

    /// Sends END.
    pub(crate) fn end(self, reason: &str, out: &mut impl Output) -> Result<()> {
        out.end(self.tag, self.window.end, reason)
    }
}

/// The samples of a record, if it is known how they lie in it.
pub(crate) fn parse<'a>(record: &Record<'a>, fixed: Option<bool>) -> Option<Samples<'a>> {
    let fixed = match record.header.kind {
        Kind::DATA => fixed.unwrap_or_default(),
        _ => fixed?,
    };
    Samples::parse(record, fixed).ok()
}

impl Lane {
    /// What the wall clock showed at that instant.
    fn realtime(&self, parent: &Session, time: i64) -> i64 {
        let wall = |reading: &ClockReading| {
            let realtime = reading.realtime.filter(|_| reading.remote.is_empty())?;
            Some(realtime.saturating_add(time.saturating_sub(reading.monotonic)))
        };
        let wall = self.clocks.iter().find_map(|(_, reading)| wall(reading));
        let elapsed = time.saturating_sub(parent.start_monotonic);
        wall.unwrap_or_else(|| parent.start_realtime.saturating_add(elapsed))
    }
}
