//! Which streams and times of a recording are played, and what END then says.

use std::collections::BTreeMap;

use anyhow::Result;
use libframe::batch::{Builder, Samples, data_record};
use libframe::catalog::Catalog;
use libframe::clock::SECOND;
use libframe::ledger::SessionLedger;
use libframe::payload::{Gap, Payload as _, Session};
use libframe::timeline::{Timeline, stream_offset};
use libframe::tool::{Patterns, TimeRange};
use libframe::wire::{Header, Kind, Record};

/// What is kept of a long batch is played in several, so that memory does not depend on it.
const MAX_BATCH: usize = 1 << 20;
/// Streams may lag behind each other by this, so the end is reached only so much later.
const LAG: i64 = 5 * SECOND;

/// Takes records as they are in a recording, and passes on those that are wanted.
pub(crate) struct Selection {
    range: TimeRange,
    streams: Patterns,
    catalog: Catalog,
    timeline: Timeline,
    sessions: BTreeMap<u32, Selected>,
}

/// What was passed on of a session.
#[derive(Default)]
struct Selected {
    from: Option<i64>,
    to: Option<i64>,
    ledger: SessionLedger,
    plans: BTreeMap<u16, Plan>,
    /// A sample after the end has come, and after the lag no more will.
    over: bool,
}

/// A stream's part in it.
#[derive(Default)]
struct Plan {
    keep: bool,
    /// Its description, until a sample is kept: the sample's number belongs to it.
    held: Option<(Header, Vec<u8>)>,
    /// What was told of its clock until then.
    clock: Option<(Header, Vec<u8>)>,
}

/// Takes what is passed on.
pub(crate) trait Taker {
    fn take(&mut self, record: Record<'_>) -> Result<()>;
}

impl Selection {
    pub(crate) fn new(range: TimeRange, streams: Patterns) -> Selection {
        let (catalog, timeline) = (Catalog::default(), Timeline::default());
        Selection { range, streams, catalog, timeline, sessions: BTreeMap::new() }
    }

    /// Whether everything is wanted; nothing needs to be looked at then.
    pub(crate) fn is_open(&self) -> bool {
        self.range.is_open() && self.streams.is_empty()
    }

    /// Whether no more is wanted of all sessions that have begun.
    pub(crate) fn is_over(&self) -> bool {
        !self.sessions.is_empty() && self.sessions.values().all(|selected| selected.over)
    }

    /// Passes on what is wanted of a record.
    pub(crate) fn pass(&mut self, record: Record<'_>, to: &mut impl Taker) -> Result<()> {
        let header = record.header;
        // What cannot be read cannot be chosen; it is malformed to the next stage too.
        if self.catalog.learn(&record).is_err() {
            return to.take(record);
        }
        match header.kind {
            Kind::SESSION => self.session(record, to),
            Kind::END => self.end(header, "end", to),
            Kind::STREAM => self.stream(record, to),
            Kind::DATA | Kind::BATCH => self.samples(record, to),
            Kind::CLOCK if stream_offset(&record).is_some() => self.clock(record, to),
            _ => self.other(record, to),
        }
    }

    /// Ends the sessions whose rest is not wanted.
    pub(crate) fn close(&mut self, time: i64, to: &mut impl Taker) -> Result<()> {
        let over = self.sessions.iter().filter(|(_, selected)| selected.over);
        let over: Vec<_> = over.map(|(tag, _)| *tag).collect();
        for session in over {
            let (kind, stream, seq) = (Kind::END, 0, 0);
            let header = Header { kind, flags: 0, stream, session, seq, time, sent: 0 };
            self.end(header, "end", to)?;
        }
        self.sessions.clear();
        Ok(())
    }

    fn session(&mut self, record: Record<'_>, to: &mut impl Taker) -> Result<()> {
        let selected = self.sessions.entry(record.header.session).or_default();
        if let Ok(session) = Session::from_bytes(record.payload) {
            (selected.from, selected.to) = self.range.bounds(&session);
        }
        to.take(record)
    }

    fn stream(&mut self, record: Record<'_>, to: &mut impl Taker) -> Result<()> {
        let header = record.header;
        let time = self.timeline.time(header.session, header.stream, header.time);
        let name = self.catalog.name(header.session, header.stream);
        let keep = self.streams.is_empty() || self.streams.hold(&name, header.stream);
        let selected = self.sessions.entry(header.session).or_default();
        let begun = match selected.plans.get(&header.stream) {
            Some(plan) => plan.held.is_none(),
            None => selected.from.is_none(),
        };
        if keep && begun {
            let plan = selected.plans.entry(header.stream).or_default();
            (plan.keep, plan.held) = (keep, None);
            return selected.announce_again(record, time, to);
        }
        let held = keep.then(|| (header, record.payload.to_vec()));
        let plan = selected.plans.entry(header.stream).or_default();
        (plan.keep, plan.held) = (keep, held);
        Ok(())
    }

    /// What is told of a stream's clock belongs to its description: it is needed for all
    /// samples after it.
    fn clock(&mut self, record: Record<'_>, to: &mut impl Taker) -> Result<()> {
        self.timeline.learn(&record);
        let header = record.header;
        let time = self.timeline.time(header.session, header.stream, header.time);
        let selected = self.sessions.entry(header.session).or_default();
        match selected.plans.get_mut(&header.stream) {
            Some(plan) if !plan.keep => Ok(()),
            Some(plan) if plan.held.is_some() => {
                plan.clock = Some((header, record.payload.to_vec()));
                Ok(())
            }
            None if !self.streams.is_empty() => Ok(()),
            _ => selected.announce_again(record, time, to),
        }
    }

    fn samples(&mut self, record: Record<'_>, to: &mut impl Taker) -> Result<()> {
        let header = record.header;
        let fixed = self.catalog.is_fixed(&record);
        let samples = Samples::parse(&record, fixed)?;
        let Some(selected) = self.sessions.get_mut(&header.session) else {
            return Ok(());
        };
        let clock = self.timeline.offset(header.session, header.stream);
        let time = header.time.saturating_sub(clock);
        if selected.to.is_some_and(|end| time >= end.saturating_add(LAG)) {
            selected.over = true;
        }
        // A stream that is not described can only be kept if nothing is asked.
        let keep = selected.plans.get(&header.stream).map(|plan| plan.keep);
        if !keep.unwrap_or(self.streams.is_empty()) {
            return Ok(());
        }
        let (from, end) = (selected.from, selected.to);
        let wanted = |time: i64| {
            let time = time.saturating_sub(clock);
            from.is_none_or(|from| time >= from) && end.is_none_or(|end| time < end)
        };
        let n = samples.len();
        if (0..n).all(|i| wanted(samples.time(i))) {
            return selected.send(record, n as u64, to);
        }
        let mut builder = Builder::new(fixed);
        let mut payload = Vec::new();
        for sample in samples.iter().filter(|sample| wanted(sample.time)) {
            if sample.bytes.len() > MAX_BATCH {
                selected.send_batch(&mut builder, to)?;
                let data = data_record(&header, &sample, &mut payload);
                selected.send(data, 1, to)?;
            } else if !builder.push(&header, &sample, MAX_BATCH) {
                selected.send_batch(&mut builder, to)?;
                builder.push(&header, &sample, MAX_BATCH);
            }
        }
        selected.send_batch(&mut builder, to)
    }

    fn other(&mut self, record: Record<'_>, to: &mut impl Taker) -> Result<()> {
        let header = record.header;
        let Some(selected) = self.sessions.get_mut(&header.session) else {
            return Ok(());
        };
        let (from, end) = (selected.from, selected.to);
        let time = self.timeline.time(header.session, header.stream, header.time);
        let wanted =
            from.is_none_or(|from| time >= from) && end.is_none_or(|end| time < end);
        if !wanted {
            return Ok(());
        }
        if header.stream != 0 {
            match selected.plans.get(&header.stream) {
                Some(plan) if !plan.keep => return Ok(()),
                None if !self.streams.is_empty() => return Ok(()),
                // Nothing is missing before the first sample that is wanted.
                Some(plan) if plan.held.is_some() && header.kind == Kind::GAP => {
                    return Ok(());
                }
                _ => selected.announce(header.stream, header.seq, to)?,
            }
        }
        if header.kind == Kind::GAP
            && let (Ok(gap), Some(ledger)) =
                (Gap::from_bytes(record.payload), selected.ledger.stream(header.stream))
        {
            ledger.gap(&gap);
        }
        to.take(record)
    }

    /// END with the totals of what was passed on.
    fn end(&mut self, header: Header, reason: &str, to: &mut impl Taker) -> Result<()> {
        let Some(mut selected) = self.sessions.remove(&header.session) else {
            return Ok(());
        };
        let held: Vec<_> = selected.plans.keys().copied().collect();
        for stream in held {
            // A stream of which nothing is wanted now still belongs to the session.
            let seq = selected.plans.get(&stream).and_then(|plan| plan.held.as_ref());
            if let Some(seq) = seq.map(|(header, _)| header.seq) {
                selected.announce(stream, seq, to)?;
            }
        }
        self.catalog.forget(header.session);
        self.timeline.forget(header.session);
        to.take(Record::new(header, &selected.ledger.end(reason).to_bytes()))
    }
}

impl Selected {
    fn send(&mut self, record: Record<'_>, n: u64, to: &mut impl Taker) -> Result<()> {
        let header = record.header;
        self.announce(header.stream, header.seq, to)?;
        if let Some(ledger) = self.ledger.stream(header.stream) {
            ledger.take(header.seq, n, header.time);
        }
        to.take(record)
    }

    fn send_batch(&mut self, builder: &mut Builder, to: &mut impl Taker) -> Result<()> {
        let n = u64::from(builder.len());
        match builder.finish() {
            Some(batch) => self.send(batch, n, to),
            None => Ok(()),
        }
    }

    /// Passes on another announcement of a stream. One after the end would tell that samples
    /// are missing which are not wanted.
    fn announce_again(
        &mut self,
        record: Record<'_>,
        time: i64,
        to: &mut impl Taker,
    ) -> Result<()> {
        let header = record.header;
        if self.to.is_some_and(|end| time >= end) {
            return Ok(());
        }
        let sent =
            self.ledger.stream(header.stream).filter(|sent| sent.first().is_some());
        let seq = sent.map_or(header.seq, |sent| sent.next());
        to.take(record.with_header(Header { seq, ..header }))
    }

    /// Describes a stream, if that is still to be done, before its record of this number.
    fn announce(&mut self, stream: u16, seq: u64, to: &mut impl Taker) -> Result<()> {
        let Some(plan) = self.plans.get_mut(&stream) else { return Ok(()) };
        let Some((header, payload)) = plan.held.take() else { return Ok(()) };
        let clock = plan.clock.take();
        if let Some(ledger) = self.ledger.stream(stream) {
            ledger.expect(seq);
        }
        to.take(Record::new(Header { seq, ..header }, &payload))?;
        match clock {
            Some((header, payload)) => {
                to.take(Record::new(Header { seq, ..header }, &payload))
            }
            None => Ok(()),
        }
    }
}
