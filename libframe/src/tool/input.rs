//! The records' way in: read, checked, and entered in the account before the tool sees
//! them. What is missing reaches the tool as a GAP, in its place.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags};

use super::account::Account;
use super::args::Common;
use super::exit::Usage;
use super::signal::poll_until;
use super::stage::StatsMaker;
use super::status::Counters;
use crate::batch::{Builder, Samples};
use crate::catalog::Catalog;
use crate::clock::{Clock, SECOND};
use crate::decoder::{Cause, Damage, Item};
use crate::histogram::Histogram;
use crate::io::RecordReader;
use crate::ledger::{MAX_STREAMS, SessionLedger};
use crate::payload::{End, Gap, Payload as _, Reason, Session, Stats};
use crate::wire::{FLAG_MUST_KNOW, Header, Kind, MAX_PAYLOAD, Record};

/// Sessions that may be open at once: two pipes mixed by accident, not a hostile thousand.
const MAX_SESSIONS: usize = 4;

/// What the runtime hands a tool's input to.
pub(super) trait Consumer {
    /// Takes one record, in order.
    fn record(&mut self, record: Record<'_>, catalog: &Catalog) -> Result<()>;

    /// Takes note of bytes that are no record.
    fn damage(&mut self, damage: &Damage) -> Result<()>;

    /// Closes a session: no more of its records will come.
    fn end_session(&mut self, ended: &Ended<'_>) -> Result<()>;

    /// Takes the stage's own STATS.
    fn stats(&mut self, session: u32, stats: &Stats) -> Result<()>;

    /// Nothing more is at hand: what was gathered must go out.
    fn idle(&mut self) -> Result<()>;

    /// The time now; called after each read and when a deadline has passed.
    fn tick(&mut self, now: i64) -> Result<()>;

    /// When `tick` must be called at the latest.
    fn deadline(&self) -> Option<i64>;
}

/// A session that has ended.
#[derive(Debug)]
pub struct Ended<'a> {
    /// The session's tag.
    pub session: u32,
    /// What came of each stream.
    pub ledger: &'a SessionLedger,
    /// Why it ended, from END; or why reading did.
    pub reason: &'a str,
    /// The stage that stopped without END, if none came.
    pub broke_off: Option<&'a str>,
    /// The session's streams by name.
    pub catalog: &'a Catalog,
}

/// A tool's input.
pub(super) struct Input {
    reader: RecordReader<Source>,
    books: Books,
    until: Option<i64>,
    idle: Option<i64>,
}

impl Input {
    /// Opens the files, or stdin if there are none.
    pub(super) fn open(
        files: Vec<PathBuf>,
        common: &Common,
        counters: &Arc<Counters>,
        clock: &Clock,
    ) -> Result<Input> {
        let limit = (common.max_record as usize).min(MAX_PAYLOAD);
        let now = clock.now();
        Ok(Input {
            reader: RecordReader::new(Source::open(files)?, limit),
            books: Books {
                name: common.name(),
                clock: clock.clone(),
                counters: Arc::clone(counters),
                catalog: Catalog::default(),
                sessions: Vec::new(),
                damages: 0,
                begun: now,
                now,
                late: None,
                records: 0,
                count: common.count,
                hop: Histogram::default(),
                stats: StatsMaker::new(now),
                next_stats: now + SECOND,
                done: None,
                warned: false,
            },
            until: common.duration.map(|time| now.saturating_add(time)),
            idle: common.idle,
        })
    }

    /// Reads to the end, or until an option says to stop.
    pub(super) fn run(
        mut self,
        consumer: &mut impl Consumer,
        account: &mut Account,
    ) -> Result<()> {
        let mut last = self.books.now;
        loop {
            self.take_all(consumer, account)?;
            if self.books.done.is_some() {
                break;
            }
            let now = self.books.look_at_clock();
            consumer.tick(now)?;
            self.books.make_stats(consumer)?;
            consumer.idle()?;
            if let Some(reason) = self.time_is_up(now, last) {
                self.books.done = Some(reason);
                break;
            }
            match self.fill(consumer.deadline(), last)? {
                Fill::Time => {}
                Fill::Bytes => last = self.books.look_at_clock(),
                Fill::End => {
                    self.books.look_at_clock();
                    self.take_all(consumer, account)?;
                    break;
                }
            }
        }
        let offset = self.reader.decoder().offset();
        self.books.close(offset, consumer, account)?;
        consumer.idle()
    }

    #[inline]
    fn take_all(
        &mut self,
        consumer: &mut impl Consumer,
        account: &mut Account,
    ) -> Result<()> {
        while self.books.done.is_none() {
            let Some(item) = self.reader.pull() else { break };
            self.books.take(item, consumer, account)?;
        }
        self.refuse_what_is_no_stream()
    }

    /// A whole longest record without any header: this input was never one of ours.
    fn refuse_what_is_no_stream(&self) -> Result<()> {
        match self.reader.decoder().searching() {
            Some(damage)
                if self.books.records == 0 && damage.bytes > MAX_PAYLOAD as u64 =>
            {
                Err(no_records(damage.bytes))
            }
            _ => Ok(()),
        }
    }

    fn time_is_up(&self, now: i64, last: i64) -> Option<&'static str> {
        if self.until.is_some_and(|until| now >= until) {
            return Some("duration");
        }
        let idle = self.idle.is_some_and(|idle| now - last >= idle);
        idle.then_some("idle")
    }

    fn fill(&mut self, deadline: Option<i64>, last: i64) -> Result<Fill> {
        let idle = self.idle.map(|idle| last.saturating_add(idle));
        let times = [deadline, self.until, idle, Some(self.books.next_stats)];
        let deadline = times.into_iter().flatten().min().unwrap_or(i64::MAX);
        if !self.reader.get_ref().is_ready(deadline, &self.books.clock)? {
            return Ok(Fill::Time);
        }
        let more = self.reader.fill().with_context(|| self.reader.get_ref().name())?;
        Ok(if more { Fill::Bytes } else { Fill::End })
    }
}

enum Fill {
    Bytes,
    Time,
    End,
}

/// Everything about the input but its bytes, so that a record may borrow those.
struct Books {
    name: String,
    clock: Clock,
    counters: Arc<Counters>,
    catalog: Catalog,
    sessions: Vec<Open>,
    /// Damaged places so far: a hole is corruption's if one was since the last sample.
    damages: u64,
    begun: i64,
    now: i64,
    /// Bytes before the first record, until it is known whether they were a late join.
    late: Option<Damage>,
    records: u64,
    count: Option<u64>,
    hop: Histogram,
    stats: StatsMaker,
    next_stats: i64,
    /// Why to stop before the input ends.
    done: Option<&'static str>,
    warned: bool,
}

/// A session whose END has not come.
struct Open {
    tag: u32,
    ledger: SessionLedger,
    stages: Vec<String>,
    /// Its first record was seen, so nothing before can be missing in silence.
    from_start: bool,
}

impl Open {
    fn new(tag: u32) -> Open {
        let ledger = SessionLedger::default();
        Open { tag, ledger, stages: Vec::new(), from_start: false }
    }

    fn last_stage(&self) -> &str {
        self.stages.last().map_or("the stage before", String::as_str)
    }
}

impl Books {
    fn look_at_clock(&mut self) -> i64 {
        self.now = self.clock.now();
        self.now
    }

    #[inline]
    fn take(
        &mut self,
        item: Item<'_>,
        consumer: &mut impl Consumer,
        account: &mut Account,
    ) -> Result<()> {
        match item {
            Item::Record(record) => self.record(record, consumer, account),
            Item::Damage(damage) => self.damage(damage, consumer, account),
        }
    }

    fn damage(
        &mut self,
        damage: Damage,
        consumer: &mut impl Consumer,
        account: &mut Account,
    ) -> Result<()> {
        match damage.cause {
            Cause::Version { digit } => {
                let (digit, offset) = (char::from(digit), damage.offset);
                bail!(
                    "stdin: record of format version {digit} at byte {offset}, this tool \
                     reads version 1; use the framepipe that wrote it"
                );
            }
            Cause::Late => {
                self.late = Some(damage);
                return Ok(());
            }
            Cause::TooLong { length } if !self.warned => {
                self.warned = true;
                account.add_broken(format!(
                    "record of {length} bytes at byte {} is over --max-record; raise it",
                    damage.offset
                ));
            }
            _ => {}
        }
        self.damages += 1;
        account.add_damage(&damage);
        consumer.damage(&damage)
    }

    #[inline]
    fn record(
        &mut self,
        record: Record<'_>,
        consumer: &mut impl Consumer,
        account: &mut Account,
    ) -> Result<()> {
        let header = record.header;
        self.records += 1;
        self.counters.input.add(record.samples(), record.wire_len());
        // What was sent before this stage began comes from a file, or waited for us.
        if header.sent >= self.begun {
            self.hop.add(self.now.saturating_sub(header.sent).max(0) as u64);
        }
        if header.kind.has_samples() {
            return self.samples(record, consumer, account);
        }
        self.control(record, consumer, account)
    }

    #[inline]
    fn samples(
        &mut self,
        record: Record<'_>,
        consumer: &mut impl Consumer,
        account: &mut Account,
    ) -> Result<()> {
        let header = record.header;
        self.settle_late(false, consumer, account)?;
        let count = self.count_samples(&record).filter(|_| header.stream != 0);
        let Some(n) = count else {
            return self.malformed(record, consumer, account);
        };
        let damages = self.damages;
        let Some(stream) =
            self.open(header.session, consumer, account)?.stream(header.stream)
        else {
            bail!("a session with more than {MAX_STREAMS} streams is not supported");
        };
        let (before, marked) = (stream.last_time(), stream.mark(damages));
        if let Some(hole) = stream.take(header.seq, n, header.time) {
            let reason =
                if marked < damages { Reason::Corrupt } else { Reason::Upstream };
            self.hole(&header, hole, reason, (before, Some(header.time)), consumer)?;
        }
        match self.count {
            Some(count) => self.samples_up_to(count, n, record, consumer),
            None => consumer.record(record, &self.catalog),
        }
    }

    /// How many samples are in a record, or `None` if it contradicts itself or its stream.
    #[inline]
    fn count_samples(&self, record: &Record<'_>) -> Option<u64> {
        let Some(size) = self.catalog.sample_size(record) else {
            let n = record.samples();
            return (n * 8 <= record.payload.len() as u64
                || record.header.kind == Kind::DATA)
                .then_some(n);
        };
        let samples = Samples::parse(record, size.is_some()).ok()?;
        size.is_none_or(|size| samples.are_of_size(size)).then_some(samples.len() as u64)
    }

    fn malformed(
        &mut self,
        record: Record<'_>,
        consumer: &mut impl Consumer,
        account: &mut Account,
    ) -> Result<()> {
        self.damages += 1;
        account.add_malformed();
        let header = Some(record.header);
        let bytes = record.wire_len() as u64;
        consumer.damage(&Damage { offset: 0, bytes, cause: Cause::Payload, header })
    }

    /// Passes on only the first `count` samples of a stream.
    fn samples_up_to(
        &mut self,
        count: u64,
        n: u64,
        record: Record<'_>,
        consumer: &mut impl Consumer,
    ) -> Result<()> {
        let (session, number) = (record.header.session, record.header.stream);
        let ledger = self.sessions.iter_mut().find(|open| open.tag == session);
        let taken =
            ledger.and_then(|open| open.ledger.stream(number)).map_or(0, |s| s.samples());
        let over = taken.saturating_sub(count).min(n);
        if over == 0 {
            consumer.record(record, &self.catalog)?;
        } else if over < n {
            let fixed =
                self.catalog.sample_size(&record).is_some_and(|size| size.is_some());
            let mut builder = Builder::new(fixed);
            let samples = Samples::parse(&record, fixed)?;
            for sample in samples.iter().take((n - over) as usize) {
                builder.push(&record.header, &sample, MAX_PAYLOAD);
            }
            if let Some(cut) = builder.finish() {
                consumer.record(cut, &self.catalog)?;
            }
        }
        if taken >= count && self.all_have(count) {
            self.done = Some("count");
        }
        Ok(())
    }

    /// Whether every stream that has samples has enough of them.
    fn all_have(&self, count: u64) -> bool {
        self.sessions.iter().all(|open| {
            let described = self.catalog.streams(open.tag).map(|(number, _)| number);
            let mut counts = open.ledger.streams().filter(|(number, _)| *number != 0);
            counts.all(|(_, ledger)| ledger.samples() >= count)
                && described
                    .into_iter()
                    .all(|number| open.ledger.streams().any(|(other, _)| other == number))
        })
    }

    fn control(
        &mut self,
        record: Record<'_>,
        consumer: &mut impl Consumer,
        account: &mut Account,
    ) -> Result<()> {
        let header = record.header;
        match header.kind {
            Kind::SESSION => return self.session(record, consumer, account),
            Kind::END => return self.end(record, consumer, account),
            kind if kind.name().is_none() && header.flags & FLAG_MUST_KNOW != 0 => {
                bail!(
                    "record of kind {} must not be passed on by a tool that does not know \
                     it; use a newer framepipe",
                    kind.0
                );
            }
            _ => {}
        }
        self.settle_late(false, consumer, account)?;
        self.open(header.session, consumer, account)?;
        match header.kind {
            Kind::STREAM => match self.catalog.learn(&record) {
                Ok(_) => {}
                Err(err) => {
                    account.add_broken(format!("stream {}: {err}", header.stream))
                }
            },
            Kind::GAP => return self.gap(record, consumer, account),
            _ => {}
        }
        // A kind that is not known may number what it likes.
        if header.stream != 0 && header.kind.name().is_some() {
            self.expect(&header, consumer)?;
        }
        consumer.record(record, &self.catalog)
    }

    /// Other records than samples tell which sample is next, and so what is missing.
    fn expect(&mut self, header: &Header, consumer: &mut impl Consumer) -> Result<()> {
        let damages = self.damages;
        let Some(stream) = self.ledger(header.session).stream(header.stream) else {
            bail!("a session with more than {MAX_STREAMS} streams is not supported");
        };
        let (before, marked) = (stream.last_time(), stream.mark(damages));
        let Some(hole) = stream.expect(header.seq) else { return Ok(()) };
        let reason = if marked < damages { Reason::Corrupt } else { Reason::Upstream };
        self.hole(header, hole, reason, (before, None), consumer)
    }

    fn gap(
        &mut self,
        record: Record<'_>,
        consumer: &mut impl Consumer,
        account: &mut Account,
    ) -> Result<()> {
        let header = record.header;
        let damages = self.damages;
        let Ok(gap) = Gap::from_bytes(record.payload) else {
            self.expect(&header, consumer)?;
            return consumer.record(record, &self.catalog);
        };
        if header.stream == 0 {
            account.add_broken(broke_off(&gap.stage));
        }
        if let Some(stream) = self.ledger(header.session).stream(header.stream) {
            let lost = stream.lost();
            let (before, marked) = (stream.last_time(), stream.mark(damages));
            let hole = stream.gap(&gap);
            let booked = stream.lost() - lost;
            self.counters.lost.add(booked);
            if let Some(hole) = hole {
                let corrupt = marked < damages;
                let reason = if corrupt { Reason::Corrupt } else { Reason::Upstream };
                self.hole(&header, hole, reason, (before, gap.from), consumer)?;
            }
        }
        consumer.record(record, &self.catalog)
    }

    /// Books samples that did not come, and says so to the tool in their place.
    fn hole(
        &mut self,
        header: &Header,
        hole: std::ops::Range<u64>,
        reason: Reason,
        (from, to): (Option<i64>, Option<i64>),
        consumer: &mut impl Consumer,
    ) -> Result<()> {
        let count = hole.end - hole.start;
        let before = self.sessions.iter().find(|open| open.tag == header.session);
        let before = before.map_or("the stage before", Open::last_stage);
        let gap = Gap {
            first: hole.start,
            count: Some(count),
            reason,
            stage: self.name.clone(),
            from,
            to,
            detail: format!("between {before} and {}", self.name),
        };
        if let Some(stream) = self.ledger(header.session).stream(header.stream) {
            stream.explain(&gap);
        }
        self.counters.lost.add(count);
        self.send_gap(header, &gap, consumer)
    }

    fn send_gap(
        &self,
        header: &Header,
        gap: &Gap,
        consumer: &mut impl Consumer,
    ) -> Result<()> {
        let time = gap.to.or(gap.from).unwrap_or(header.time);
        let (kind, sent) = (Kind::GAP, self.now);
        let header = Header { kind, flags: 0, seq: gap.next(), time, sent, ..*header };
        consumer.record(Record::new(header, &gap.to_bytes()), &self.catalog)
    }

    fn session(
        &mut self,
        record: Record<'_>,
        consumer: &mut impl Consumer,
        account: &mut Account,
    ) -> Result<()> {
        let header = record.header;
        let session = Session::from_bytes(record.payload);
        let first = session.as_ref().is_ok_and(|s| s.start_monotonic == header.time);
        self.settle_late(first, consumer, account)?;
        if first {
            // A new session begins, so the others are over, whether they say so or not.
            while let Some(open) = self.take_session(|open| open.tag != header.session) {
                self.broke_off(open, consumer, account)?;
            }
        }
        self.open(header.session, consumer, account)?;
        if let Ok(session) = session {
            let open = self.sessions.iter_mut().find(|open| open.tag == header.session);
            if let Some(open) = open {
                open.stages =
                    session.stages.into_iter().map(|stage| stage.name).collect();
                open.from_start |= first;
            }
        }
        consumer.record(record, &self.catalog)
    }

    fn end(
        &mut self,
        record: Record<'_>,
        consumer: &mut impl Consumer,
        account: &mut Account,
    ) -> Result<()> {
        let header = record.header;
        self.settle_late(false, consumer, account)?;
        self.open(header.session, consumer, account)?;
        let Ok(end) = End::from_bytes(record.payload) else {
            // What it says cannot be checked, so for its readers the session broke off.
            return self.malformed(record, consumer, account);
        };
        let from_start = self
            .sessions
            .iter()
            .any(|open| open.tag == header.session && open.from_start);
        for totals in &end.streams {
            let damages = self.damages;
            let Some(stream) = self.ledger(header.session).stream(totals.stream) else {
                continue;
            };
            let (before, marked) = (stream.last_time(), stream.mark(damages));
            let holes = stream.settle(totals, from_start);
            let corrupt = marked < damages || damages > 0;
            let reason = if corrupt { Reason::Corrupt } else { Reason::Upstream };
            let header = Header { stream: totals.stream, ..header };
            for hole in holes.into_iter().flatten() {
                self.hole(&header, hole, reason, (before, None), consumer)?;
            }
        }
        match self.take_session(|open| open.tag == header.session) {
            Some(open) => self.end_session(open, &end.reason, None, consumer, account),
            None => Ok(()),
        }
    }

    /// Decides about bytes before the first record: a late join, unless the very first
    /// record of a session follows them.
    fn settle_late(
        &mut self,
        is_start: bool,
        consumer: &mut impl Consumer,
        account: &mut Account,
    ) -> Result<()> {
        let Some(damage) = self.late.take() else { return Ok(()) };
        let cause = if is_start { Cause::Header } else { Cause::Late };
        let damage = Damage { cause, ..damage };
        self.damages += u64::from(is_start);
        account.add_damage(&damage);
        consumer.damage(&damage)
    }

    /// The account of a session, opened if need be.
    #[inline]
    fn open(
        &mut self,
        tag: u32,
        consumer: &mut impl Consumer,
        account: &mut Account,
    ) -> Result<&mut SessionLedger> {
        if self.sessions.last().is_none_or(|open| open.tag != tag) {
            match self.sessions.iter().position(|open| open.tag == tag) {
                Some(at) => {
                    let open = self.sessions.remove(at);
                    self.sessions.push(open);
                }
                None => {
                    if self.sessions.len() == MAX_SESSIONS {
                        let oldest = self.sessions.remove(0);
                        self.broke_off(oldest, consumer, account)?;
                    }
                    self.sessions.push(Open::new(tag));
                }
            }
        }
        Ok(self.ledger(tag))
    }

    /// The account of a session that is open; it is the last one then.
    #[inline]
    fn ledger(&mut self, tag: u32) -> &mut SessionLedger {
        let at = self.sessions.iter().rposition(|open| open.tag == tag);
        let at = at.unwrap_or_else(|| {
            self.sessions.push(Open::new(tag));
            self.sessions.len() - 1
        });
        &mut self.sessions[at].ledger
    }

    fn take_session(&mut self, which: impl Fn(&Open) -> bool) -> Option<Open> {
        let at = self.sessions.iter().position(which)?;
        Some(self.sessions.remove(at))
    }

    /// A session whose END did not come: the stage before was killed, or failed.
    fn broke_off(
        &mut self,
        mut open: Open,
        consumer: &mut impl Consumer,
        account: &mut Account,
    ) -> Result<()> {
        let stage = open.last_stage().to_owned();
        account.add_broken(broke_off(&stage));
        let gap = Gap {
            first: 0,
            count: None,
            reason: Reason::Upstream,
            stage: stage.clone(),
            from: None,
            to: None,
            detail: "stopped without END".into(),
        };
        if let Some(stream) = open.ledger.stream(0) {
            stream.gap(&gap);
        }
        let (kind, session) = (Kind::GAP, open.tag);
        let (time, sent) = (self.now, self.now);
        let header = Header { kind, flags: 0, stream: 0, session, seq: 0, time, sent };
        self.send_gap(&header, &gap, consumer)?;
        self.end_session(open, "broke off", Some(&stage), consumer, account)
    }

    fn end_session(
        &mut self,
        open: Open,
        reason: &str,
        broke_off: Option<&str>,
        consumer: &mut impl Consumer,
        account: &mut Account,
    ) -> Result<()> {
        account.add(&open.ledger, |stream| self.catalog.name(open.tag, stream));
        self.look_at_clock();
        self.stats_of(open.tag, &open.stages, consumer)?;
        let (session, ledger, catalog) = (open.tag, &open.ledger, &self.catalog);
        consumer.end_session(&Ended { session, ledger, reason, broke_off, catalog })?;
        self.catalog.forget(session);
        Ok(())
    }

    /// The stage's STATS, if it is time.
    fn make_stats(&mut self, consumer: &mut impl Consumer) -> Result<()> {
        if self.now < self.next_stats {
            return Ok(());
        }
        self.next_stats = (self.next_stats + SECOND).max(self.now);
        let Some(open) = self.sessions.last() else { return Ok(()) };
        let (tag, stages) = (open.tag, open.stages.clone());
        self.stats_of(tag, &stages, consumer)
    }

    fn stats_of(
        &mut self,
        tag: u32,
        stages: &[String],
        consumer: &mut impl Consumer,
    ) -> Result<()> {
        let stage = (self.name.as_str(), stages.len() as u32);
        let stats = self.stats.make(self.now, stage, &self.counters, &mut self.hop);
        consumer.stats(tag, &stats)
    }

    /// Closes what is open when the input ends or reading stops.
    fn close(
        &mut self,
        offset: u64,
        consumer: &mut impl Consumer,
        account: &mut Account,
    ) -> Result<()> {
        if self.records == 0 && self.done.is_none() {
            if offset > 0 {
                return Err(no_records(offset));
            }
            account.add_broken("no records came: the stage before failed".into());
        }
        self.settle_late(false, consumer, account)?;
        while let Some(open) = self.take_session(|_| true) {
            match self.done {
                Some(reason) => {
                    self.end_session(open, reason, None, consumer, account)?
                }
                None => self.broke_off(open, consumer, account)?,
            }
        }
        Ok(())
    }
}

fn broke_off(stage: &str) -> String {
    format!("{stage} broke off: its output stops without END")
}

fn no_records(bytes: u64) -> anyhow::Error {
    anyhow::anyhow!(
        "stdin: no record in {bytes} bytes: this is not the output of a framepipe tool, \
         nor a .frames file"
    )
}

/// stdin, or files one after another as if joined by `cat`.
#[derive(Debug)]
struct Source {
    current: Option<File>,
    name: String,
    /// Files are always ready, and stdin is asked.
    waits: bool,
    rest: VecDeque<PathBuf>,
}

impl Source {
    fn open(files: Vec<PathBuf>) -> Result<Source> {
        if files.is_empty() || files == [PathBuf::from("-")] {
            let stdin = io::stdin();
            if stdin.is_terminal() {
                let hint = "stdin is a terminal; give me records from a tool or a file, \
                            like `sim-src | …` or `… < x.frames`";
                return Err(Usage(hint.into()).into());
            }
            let current = Some(File::from(stdin.as_fd().try_clone_to_owned()?));
            return Ok(Source {
                current,
                name: "stdin".into(),
                waits: true,
                rest: VecDeque::new(),
            });
        }
        for file in &files {
            // Found now, a missing file is an error; found later, the others were read
            // in vain.
            File::open(file).with_context(|| file.display().to_string())?;
        }
        let rest = VecDeque::from(files);
        Ok(Source { current: None, name: String::new(), waits: false, rest })
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn is_ready(&self, deadline: i64, clock: &Clock) -> io::Result<bool> {
        let Some(file) = self.current.as_ref().filter(|_| self.waits) else {
            return Ok(true);
        };
        let mut fds = [PollFd::new(file, PollFlags::IN)];
        poll_until(&mut fds, deadline, clock)?;
        Ok(!fds[0].revents().is_empty())
    }
}

impl Read for Source {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(file) = &mut self.current {
                let n = file.read(buf)?;
                if n > 0 {
                    return Ok(n);
                }
            }
            let Some(next) = self.rest.pop_front() else { return Ok(0) };
            self.name = next.display().to_string();
            self.current = Some(File::open(next)?);
        }
    }
}
