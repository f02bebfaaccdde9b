//! The books of a tool's input: every record is checked and entered before the tool sees
//! it. What is missing reaches the tool as a GAP, in its place.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Result, bail};

use super::account::Account;
use super::args::Common;
use super::consumer::{Consumer, Ended};
use super::limit::Limit;
use super::sessions::{Open, Sessions};
use super::stage::{Delays, StatsMaker, boot_id};
use super::status::Counters;
use crate::batch::Samples;
use crate::catalog::Catalog;
use crate::clock::{Clock, SECOND};
use crate::decoder::{Cause, Damage, Item};
use crate::ledger::{MAX_STREAMS, SessionLedger, StreamLedger};
use crate::payload::{ClockReading, End, Event, Gap, Payload as _, Reason, Session};
use crate::timeline::Timeline;
use crate::wire::{FLAG_MUST_KNOW, Header, Kind, Record};

/// Everything about the input but its bytes, so that a record may borrow those.
pub(super) struct Books {
    name: String,
    /// Which of several inputs this is, in front of what is said about it.
    label: Option<String>,
    clock: Clock,
    counters: Arc<Counters>,
    account: Account,
    catalog: Catalog,
    sessions: Sessions,
    limit: Option<Limit>,
    /// Damaged places so far: a hole is corruption's if one was since the last record.
    damages: u64,
    begun: i64,
    now: i64,
    /// Bytes before the first record, until it is known whether they were a late join.
    late: Option<Damage>,
    records: u64,
    /// When the records at hand came into this process: some wait in a reservoir.
    arrival: i64,
    delays: Delays,
    /// The last session that was seen to be captured under this boot, so that capture times
    /// are of this clock.
    local: Option<u32>,
    /// How far the clocks of streams are from it that come from other hosts.
    clocks: Timeline,
    stats: StatsMaker,
    next_stats: i64,
    /// The records were stored before, so their times have nothing to do with now.
    recorded: bool,
    /// Capture time of the samples that came last.
    latest: i64,
    /// Why samples are missing that nobody speaks of.
    holes: Reason,
    /// Why to stop before the input ends.
    done: Option<&'static str>,
}

/// What is known of a stream before a record that may show a hole.
#[derive(Clone, Copy)]
struct Before {
    reason: Reason,
    time: Option<i64>,
}

impl Before {
    /// What is known before a stream's first record, in a session that began after so many
    /// damaged places.
    fn first(stream: &StreamLedger, intact: u64, holes: Reason) -> Before {
        let corrupt = stream.first_mark().is_some_and(|damages| damages > intact);
        let reason = if corrupt { Reason::Corrupt } else { holes };
        Before { reason, time: None }
    }

    /// Looks at a stream, and marks how far it has been looked at.
    #[inline]
    fn look(stream: &mut StreamLedger, damages: u64, holes: Reason) -> Before {
        let corrupt = stream.mark(damages) < damages;
        let reason = if corrupt { Reason::Corrupt } else { holes };
        Before { reason, time: stream.last_time() }
    }
}

impl Books {
    pub(super) fn new(common: &Common, counters: &Arc<Counters>, clock: &Clock) -> Books {
        let now = clock.now();
        Books {
            name: common.name(),
            label: None,
            clock: clock.clone(),
            counters: Arc::clone(counters),
            account: Account::default(),
            catalog: Catalog::default(),
            sessions: Sessions::default(),
            limit: common.count.map(Limit),
            damages: 0,
            begun: now,
            now,
            late: None,
            records: 0,
            arrival: now,
            delays: Delays::default(),
            local: None,
            clocks: Timeline::default(),
            stats: StatsMaker::new(now),
            next_stats: now + SECOND,
            recorded: false,
            latest: now,
            holes: Reason::Upstream,
            done: None,
        }
    }

    /// Says whether the records were stored before, and come from no stage of now.
    pub(super) fn is_recorded(&mut self, recorded: bool) {
        self.recorded = recorded;
        self.stats.origin = recorded;
    }

    /// Says why samples are missing that nobody speaks of.
    pub(super) fn are_missing_by(&mut self, reason: Reason) {
        self.holes = reason;
    }

    /// Says which of several inputs this is. STATS are then made where all come together.
    pub(super) fn is_one_of_several(&mut self, label: &str) {
        self.label = Some(label.into());
    }

    /// Says what is wrong with the input as a whole.
    pub(super) fn complain(&mut self, what: String) {
        let what = match &self.label {
            Some(label) => format!("{label}: {what}"),
            None => what,
        };
        self.account.add_broken(what);
    }

    /// Adds what a session's ledger holds to the account.
    fn account_for(&mut self, session: u32, ledger: &SessionLedger) {
        let (account, catalog) = (&mut self.account, &self.catalog);
        account.add(ledger, |stream| match &self.label {
            Some(label) => format!("{label}: {}", catalog.name(session, stream)),
            None => catalog.name(session, stream),
        });
    }

    /// Where it is counted how long records took to here.
    pub(super) fn delays(&mut self) -> &mut Delays {
        &mut self.delays
    }

    /// How far the session has come, on the capturing host's clock. A recording's is where
    /// it is read: records of this stage must not stand hours or boots away from the others.
    fn position(&self) -> i64 {
        if self.recorded { self.latest } else { self.now }
    }

    pub(super) fn look_at_clock(&mut self) -> i64 {
        self.now = self.clock.now();
        self.arrival = self.now;
        self.now
    }

    /// Says when the records that come next came into this process.
    pub(super) fn arrived(&mut self, time: i64) {
        self.arrival = time;
    }

    pub(super) fn next_stats(&self) -> i64 {
        self.next_stats
    }

    /// Says that nothing more is wanted, and why.
    pub(super) fn stop(&mut self, reason: &'static str) {
        self.done = Some(reason);
    }

    #[inline]
    pub(super) fn is_done(&self) -> bool {
        self.done.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The account, with the sessions that are still open when reading fails or nobody
    /// reads what is passed on.
    pub(super) fn into_account(mut self) -> Account {
        while let Some(open) = self.sessions.take(|_| true) {
            self.account_for(open.tag, &open.ledger);
        }
        self.account
    }

    #[inline]
    pub(super) fn take(&mut self, item: Item<'_>, to: &mut impl Consumer) -> Result<()> {
        match item {
            Item::Record(record) => self.record(record, to),
            Item::Damage(damage) => self.damage(damage, to),
        }
    }

    fn damage(&mut self, damage: Damage, to: &mut impl Consumer) -> Result<()> {
        match damage.cause {
            Cause::Version { digit } => bail!(
                "record of format version {} at byte {}, and this tool reads version 1; \
                 use the framepipe that wrote it",
                char::from(digit),
                damage.offset
            ),
            Cause::Late => {
                self.late = Some(damage);
                return Ok(());
            }
            Cause::TooLong { length } => self.complain(format!(
                "records over --max-record, the first of {length} bytes; raise it"
            )),
            _ => {}
        }
        self.damages += 1;
        self.account.add_damage(&damage);
        to.damage(&damage)
    }

    #[inline]
    fn record(&mut self, record: Record<'_>, to: &mut impl Consumer) -> Result<()> {
        let header = record.header;
        self.records += 1;
        self.counters.input.add(record.samples(), record.wire_len());
        // What was sent before this stage began comes from a file, or waited for us.
        // What was sent in the future was sent by another host's clock.
        if header.sent >= self.begun && header.sent <= self.arrival {
            self.delays.hop.add(self.arrival.saturating_sub(header.sent).max(0) as u64);
        }
        match header.kind {
            Kind::DATA | Kind::BATCH => self.samples(record, to),
            Kind::SESSION => self.session(record, to),
            Kind::END => self.end(record, to),
            _ => self.other(record, to),
        }
    }

    #[inline]
    fn samples(&mut self, record: Record<'_>, to: &mut impl Consumer) -> Result<()> {
        let header = record.header;
        let Some(n) = self.count_samples(&record) else {
            return self.malformed(record, to);
        };
        self.enter(header.session, to)?;
        let time = self.clocks.known_time(header.session, header.stream, header.time);
        if let Some(time) = time {
            self.latest = time;
            if time >= self.begun && self.local == Some(header.session) {
                // Simulated times may lie ahead; those say nothing about delay.
                if let Ok(age) = u64::try_from(self.arrival - time) {
                    self.delays.age.add(age);
                }
            }
        }
        let (damages, holes) = (self.damages, self.holes);
        let stream = self.stream(&header)?;
        let before = Before::look(stream, damages, holes);
        let hole = stream.take(header.seq, n, header.time);
        let taken = stream.samples();
        if let Some(hole) = hole {
            self.hole(&header, hole, before, Some(header.time), to)?;
        }
        let Some(limit) = self.limit else { return to.record(record, &self.catalog) };
        limit.pass(taken, n, record, &self.catalog, to)?;
        if limit.is_reached(taken, &self.sessions) {
            self.done = Some("count");
        }
        Ok(())
    }

    /// How many samples are in a record; `None` if it contradicts itself or its stream.
    #[inline]
    fn count_samples(&self, record: &Record<'_>) -> Option<u64> {
        if record.header.stream == 0 {
            return None;
        }
        let Some(size) = self.catalog.sample_size(record) else {
            let n = record.samples();
            let empty = record.payload.starts_with(&[0; 4]) && record.payload.len() == 8;
            return (n > 0 || empty).then_some(n);
        };
        if let (Kind::DATA, Some(size)) = (record.header.kind, size) {
            let timed = if record.header.has_device_time() { 8 } else { 0 };
            return (record.payload.len() == size + timed).then_some(1);
        }
        let samples = Samples::parse(record, size.is_some()).ok()?;
        let fits = size.is_none_or(|size| samples.are_of_size(size));
        fits.then_some(samples.len() as u64)
    }

    /// Drops a record that nobody could read; its samples will be found missing.
    fn malformed(&mut self, record: Record<'_>, to: &mut impl Consumer) -> Result<()> {
        self.damages += 1;
        self.account.add_malformed();
        let (bytes, header) = (record.wire_len() as u64, Some(record.header));
        to.damage(&Damage { offset: 0, bytes, cause: Cause::Payload, header })
    }

    fn other(&mut self, record: Record<'_>, to: &mut impl Consumer) -> Result<()> {
        let header = record.header;
        let known = header.kind.name().is_some();
        if !known && header.flags & FLAG_MUST_KNOW != 0 {
            bail!(
                "record of kind {} must not be passed on by a tool that does not know it; \
                 use a newer framepipe",
                header.kind.0
            );
        }
        self.enter(header.session, to)?;
        if header.kind == Kind::CLOCK && header.stream != 0 {
            self.clocks.learn(&record);
        }
        if header.kind == Kind::STREAM
            && let Err(err) = self.catalog.learn(&record)
        {
            self.complain(format!("stream {}: {err}", header.stream));
        }
        let gap = (header.kind == Kind::GAP).then(|| Gap::from_bytes(record.payload));
        let unreadable = match header.kind {
            Kind::GAP => matches!(gap, Some(Err(_))),
            Kind::EVENT => Event::from_bytes(record.payload).is_err(),
            Kind::CLOCK => ClockReading::from_bytes(record.payload).is_err(),
            _ => false,
        };
        if unreadable {
            self.account.add_malformed();
        }
        match gap {
            Some(Ok(gap)) => self.gap(&header, &gap, to)?,
            // A kind that is not known may number what it likes.
            _ if known && header.stream != 0 => self.expect(&header, to)?,
            _ => {}
        }
        to.record(record, &self.catalog)
    }

    /// Other records than samples tell which sample is next, and so what is missing.
    fn expect(&mut self, header: &Header, to: &mut impl Consumer) -> Result<()> {
        let (damages, holes) = (self.damages, self.holes);
        let stream = self.stream(header)?;
        let before = Before::look(stream, damages, holes);
        match stream.expect(header.seq) {
            Some(hole) => self.hole(header, hole, before, None, to),
            None => Ok(()),
        }
    }

    fn gap(&mut self, header: &Header, gap: &Gap, to: &mut impl Consumer) -> Result<()> {
        if header.stream == 0 {
            self.complain(broke_off(&gap.stage));
        }
        let (damages, holes) = (self.damages, self.holes);
        let stream = self.stream(header)?;
        let before = Before::look(stream, damages, holes);
        let missing =
            |stream: &StreamLedger| stream.lost().saturating_add(stream.partial());
        let before_it = missing(stream);
        let hole = stream.gap(gap);
        let booked = missing(stream).saturating_sub(before_it);
        self.counters.told.add(booked);
        match hole {
            Some(hole) => self.hole(header, hole, before, gap.from, to),
            None => Ok(()),
        }
    }

    /// Books samples that did not come, and says so to the tool in their place.
    fn hole(
        &mut self,
        header: &Header,
        hole: Range<u64>,
        before: Before,
        to_time: Option<i64>,
        to: &mut impl Consumer,
    ) -> Result<()> {
        let count = hole.end - hole.start;
        let open = self.sessions.open(header.session);
        let gap = Gap {
            first: hole.start,
            count: Some(count),
            reason: before.reason,
            stage: self.name.clone(),
            from: before.time,
            to: to_time,
            detail: format!("between {} and {}", open.last_stage(), self.name),
            ..Gap::default()
        };
        if let Some(stream) = open.ledger.stream(header.stream) {
            stream.explain(&gap);
        }
        self.counters.lost.add(count);
        self.send_gap(header, &gap, to)
    }

    fn send_gap(&self, header: &Header, gap: &Gap, to: &mut impl Consumer) -> Result<()> {
        let time = gap.to.or(gap.from).unwrap_or(header.time);
        let (kind, sent) = (Kind::GAP, self.now);
        let header = Header { kind, flags: 0, seq: gap.next(), time, sent, ..*header };
        to.record(Record::new(header, &gap.to_bytes()), &self.catalog)
    }

    fn session(&mut self, record: Record<'_>, to: &mut impl Consumer) -> Result<()> {
        let header = record.header;
        let session = Session::from_bytes(record.payload);
        let first = session.as_ref().is_ok_and(|s| s.start_monotonic == header.time);
        if first {
            self.latest = header.time;
        }
        self.settle_late(first, to)?;
        if first {
            // A new session begins, so the others are over, whether they say so or not.
            while let Some(open) = self.sessions.take(|open| open.tag != header.session) {
                self.break_off(open, to)?;
            }
        }
        self.enter(header.session, to)?;
        if let Ok(session) = session {
            let here = !session.boot_id.is_empty() && session.boot_id == boot_id();
            self.local = (here && !self.recorded).then_some(header.session);
            let open = self.sessions.open(header.session);
            open.stages = session.stages.into_iter().map(|stage| stage.name).collect();
            if first && !open.from_start {
                (open.from_start, open.damages) = (true, self.damages);
            }
        }
        to.record(record, &self.catalog)
    }

    fn end(&mut self, record: Record<'_>, to: &mut impl Consumer) -> Result<()> {
        let header = record.header;
        self.enter(header.session, to)?;
        let Ok(end) = End::from_bytes(record.payload) else {
            // What it says cannot be checked, so for its readers the session broke off.
            return self.malformed(record, to);
        };
        let open = self.sessions.open(header.session);
        let (from_start, intact) = (open.from_start, open.damages);
        for totals in &end.streams {
            let header = Header { stream: totals.stream, ..header };
            let (damages, holes) = (self.damages, self.holes);
            let stream = self.stream(&header)?;
            let [head, tail] = [
                Before::first(stream, intact, holes),
                Before::look(stream, damages, holes),
            ];
            let [first, last] = stream.settle(totals, from_start);
            for (hole, before) in [(first, head), (last, tail)] {
                if let Some(hole) = hole {
                    self.hole(&header, hole, before, None, to)?;
                }
            }
        }
        match self.sessions.take(|open| open.tag == header.session) {
            Some(open) => self.end_session(open, &end.reason, None, to),
            None => Ok(()),
        }
    }

    /// Makes room for a record's session among those that are open.
    #[inline]
    fn enter(&mut self, session: u32, to: &mut impl Consumer) -> Result<()> {
        if self.late.is_none() && self.sessions.is_last(session) {
            return Ok(());
        }
        self.settle_late(false, to)?;
        if let Some(open) = self.sessions.surplus(session) {
            self.break_off(open, to)?;
        }
        self.sessions.open(session);
        Ok(())
    }

    #[inline]
    fn stream(&mut self, header: &Header) -> Result<&mut StreamLedger> {
        match self.sessions.stream(header.session, header.stream) {
            Some(stream) => Ok(stream),
            None => {
                bail!("a session of more than {MAX_STREAMS} streams is not supported")
            }
        }
    }

    /// Decides about bytes before the first record: a late join, unless the very first
    /// record of a session follows them.
    #[inline]
    fn settle_late(&mut self, is_start: bool, to: &mut impl Consumer) -> Result<()> {
        let Some(damage) = self.late.take() else { return Ok(()) };
        let cause = if is_start { Cause::Header } else { Cause::Late };
        let damage = Damage { cause, ..damage };
        self.damages += u64::from(is_start);
        self.account.add_damage(&damage);
        to.damage(&damage)
    }

    /// Ends a session whose END did not come: the stage before was killed, or failed.
    fn break_off(&mut self, mut open: Open, to: &mut impl Consumer) -> Result<()> {
        let stage = open.last_stage().to_owned();
        self.complain(broke_off(&stage));
        let gap = Gap {
            first: 0,
            count: None,
            reason: Reason::Upstream,
            stage: stage.clone(),
            detail: "stopped without END".into(),
            ..Gap::default()
        };
        if let Some(account) = open.ledger.stream(0) {
            account.gap(&gap);
        }
        let (kind, session) = (Kind::GAP, open.tag);
        let (time, sent) = (self.position(), self.now);
        let header = Header { kind, flags: 0, stream: 0, session, seq: 0, time, sent };
        self.send_gap(&header, &gap, to)?;
        self.end_session(open, "broke off", Some(&stage), to)
    }

    fn end_session(
        &mut self,
        open: Open,
        reason: &str,
        broke_off: Option<&str>,
        to: &mut impl Consumer,
    ) -> Result<()> {
        let (session, ledger) = (open.tag, &open.ledger);
        self.account_for(session, ledger);
        let (catalog, time) = (&self.catalog, self.position());
        to.drain_session(&Ended { session, ledger, time, reason, broke_off, catalog })?;
        self.look_at_clock();
        self.stats_of(session, open.stages.len(), true, to)?;
        let (catalog, time) = (&self.catalog, self.position());
        to.end_session(&Ended { session, ledger, time, reason, broke_off, catalog })?;
        self.catalog.forget(session);
        Ok(())
    }

    /// Hands over the stage's STATS, if it is time.
    pub(super) fn make_stats(&mut self, to: &mut impl Consumer) -> Result<()> {
        if self.now < self.next_stats {
            return Ok(());
        }
        self.next_stats = (self.next_stats + SECOND).max(self.now);
        match self.sessions.last().map(|open| (open.tag, open.stages.len())) {
            Some((tag, place)) => self.stats_of(tag, place, false, to),
            None => Ok(()),
        }
    }

    fn stats_of(
        &mut self,
        tag: u32,
        place: usize,
        last: bool,
        to: &mut impl Consumer,
    ) -> Result<()> {
        if self.label.is_some() {
            return Ok(());
        }
        let stage = (self.name.as_str(), place as u32);
        let stats =
            self.stats.make(self.now, stage, &self.counters, &mut self.delays, last);
        to.stats(tag, self.position(), &stats, &self.catalog)
    }

    /// Closes what is open when the input ends or reading stops.
    pub(super) fn close(&mut self, to: &mut impl Consumer) -> Result<()> {
        self.look_at_clock();
        if self.is_empty() && self.done.is_none() {
            self.complain("no records came: the stage before failed".into());
        }
        self.settle_late(false, to)?;
        while let Some(open) = self.sessions.take(|_| true) {
            match self.done {
                Some(reason) => self.end_session(open, reason, None, to)?,
                None => self.break_off(open, to)?,
            }
        }
        Ok(())
    }
}

fn broke_off(stage: &str) -> String {
    format!("{stage} broke off: its output stops without END")
}
