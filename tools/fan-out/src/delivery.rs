//! What a branch was given: the numbers for its END, its own GAP and STATS records, and
//! what one that starts again must be told and given once more. No I/O.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use libframe::ledger::SessionLedger;
use libframe::payload::{Flow, Gap, Payload, Reason};
use libframe::wire::{Header, Kind, Record};

use crate::backlog::Entry;
use crate::block::{self, Block, Builder, Part, Span};
use crate::rest::{Item, Report};

/// Sessions whose account is kept: as many as may be open at once.
const MAX_SESSIONS: usize = 4;
/// What is kept of announcements for a reader that starts again. What is beyond comes to it
/// when it is announced the next time.
const MAX_ANNOUNCED: usize = 6 << 20;

/// What a branch was given.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// What the branch is called where samples are missing.
    stage: String,
    /// Up to what was written.
    sent: Books,
    /// Up to what its reader surely took, with the announcements in force there; only of a
    /// branch that may start again.
    taken: Option<Taken>,
    builder: Builder,
    flow: Flow,
    reported: Flow,
    dropped: u64,
}

#[derive(Debug)]
struct Taken {
    books: Books,
    announced: BTreeMap<(u32, u16, Kind), Vec<u8>>,
    /// Bytes of `announced`.
    weight: usize,
    /// Blocks after that, each with the count of all bytes up to its end.
    written: VecDeque<(u64, Arc<Block>)>,
    total: u64,
    /// What a pipe holds: what was written before that was taken.
    pipe: u64,
}

/// The account of what went to a branch, by session.
#[derive(Clone, Debug, Default)]
struct Books(Vec<(u32, SessionLedger)>);

impl Delivery {
    /// `restarts` says whether its reader may be replaced.
    pub(crate) fn new(stage: String, restarts: bool) -> Delivery {
        let taken = restarts.then(|| Taken {
            books: Books::default(),
            announced: BTreeMap::new(),
            weight: 0,
            written: VecDeque::new(),
            total: 0,
            pipe: 0,
        });
        Delivery {
            stage,
            sent: Books::default(),
            taken,
            builder: Builder::default(),
            flow: Flow::default(),
            reported: Flow::default(),
            dropped: 0,
        }
    }

    /// The bytes of what comes next in line. What a branch is told in particular becomes
    /// records here, as only now it is known what it was given before.
    pub(crate) fn next(&mut self, entry: Entry, now: i64) -> Option<Arc<Block>> {
        let block = match entry {
            Entry::Block(block) => {
                self.sent.take(&block);
                block
            }
            Entry::Rest(rest) => {
                rest.items().iter().for_each(|item| self.tell(item, now));
                self.builder.take()?
            }
        };
        self.flow.bytes += block.bytes().len() as u64;
        self.flow.samples += block.samples();
        self.flow.records += block.records();
        Some(block)
    }

    /// What it was given so far.
    pub(crate) fn flow(&self) -> Flow {
        self.flow
    }

    /// A reader was started whose pipe holds this much.
    pub(crate) fn started(&mut self, pipe: usize) {
        if let Some(taken) = &mut self.taken {
            (taken.total, taken.pipe) = (0, pipe as u64);
        }
    }

    /// Says that a block is being written.
    pub(crate) fn writes(&mut self, block: &Arc<Block>) {
        let Some(taken) = &mut self.taken else { return };
        taken.total += block.bytes().len() as u64;
        taken.written.push_back((taken.total, Arc::clone(block)));
        while let Some((end, _)) = taken.written.front()
            && end + taken.pipe <= taken.total
            && let Some((_, block)) = taken.written.pop_front()
        {
            taken.take(&block);
        }
    }

    /// The reader is gone, and `unread` of all that it was to get never came to it. What its
    /// successor must be given first: the announcements in force, and what was not read.
    pub(crate) fn starts_again(&mut self, unread: u64, now: i64) -> Vec<Arc<Block>> {
        let Some(taken) = &mut self.taken else { return Vec::new() };
        let read = taken.total.saturating_sub(unread);
        let mut again = Vec::new();
        for (end, block) in std::mem::take(&mut taken.written) {
            let start = end - block.bytes().len() as u64;
            let cut = (read.saturating_sub(start) as usize).min(block.bytes().len());
            let cut = match cut == block.bytes().len() {
                true => cut,
                false => block::whole_records(block.bytes(), cut),
            };
            let (before, after) = block.bytes().split_at(cut);
            block::of_bytes(before).iter().for_each(|block| taken.take(block));
            again.extend(block::of_bytes(after));
        }
        taken.books = taken.books.continued();
        self.sent = taken.books.clone();
        let preamble = taken.preamble(now);
        again.splice(0..0, preamble);
        again.iter().for_each(|block| self.sent.take(block));
        again
    }

    fn tell(&mut self, item: &Item, now: i64) {
        match item {
            Item::Gap(span) => self.tell_gap(span, now),
            Item::Kept(bytes) => {
                if let Some(kept) = block::of_bytes(bytes) {
                    self.sent.take(&kept);
                    records(&kept).for_each(|record| self.builder.push(&record));
                }
            }
            Item::Report(report) => self.tell_stats(report, now),
            Item::End(report, reason) => {
                self.tell_stats(report, now);
                let end = self.sent.ledger(report.session).end(reason);
                self.sent.0.retain(|(tag, _)| *tag != report.session);
                self.push(report.session, 0, 0, report.time, &end, now);
            }
        }
    }

    fn tell_gap(&mut self, span: &Span, now: i64) {
        let gap = Gap {
            first: span.first,
            count: Some(span.count),
            reason: Reason::Queue,
            stage: self.stage.clone(),
            from: Some(span.from),
            to: Some(span.to),
            detail: String::new(),
        };
        let Some(ledger) = self.sent.ledger(span.session).stream(span.stream) else {
            return;
        };
        let before = ledger.lost();
        ledger.gap(&gap);
        self.dropped += ledger.lost() - before;
        let seq = gap.next();
        self.push(span.session, span.stream, seq, span.to, &gap, now);
    }

    /// The branch's own account of the time since its last one.
    fn tell_stats(&mut self, report: &Report, now: i64) {
        let mut stats = report.stats.clone();
        let (flow, reported) = (self.flow, self.reported);
        stats.output = Flow {
            records: flow.records - reported.records,
            samples: flow.samples - reported.samples,
            bytes: flow.bytes - reported.bytes,
        };
        self.reported = flow;
        stats.dropped = std::mem::take(&mut self.dropped);
        self.push(report.session, 0, 0, report.time, &stats, now);
    }

    fn push<P: Payload>(
        &mut self,
        session: u32,
        stream: u16,
        seq: u64,
        time: i64,
        payload: &P,
        sent: i64,
    ) {
        let header = Header { kind: P::KIND, flags: 0, stream, session, seq, time, sent };
        self.builder.push(&Record::new(header, &payload.to_bytes()));
    }
}

impl Taken {
    /// Enters a block that was read.
    fn take(&mut self, block: &Block) {
        self.books.take(block);
        for part in block.parts() {
            let Part::Mark(mark, record) = part else { continue };
            let Header { session, stream, kind, .. } = mark.header;
            match kind {
                Kind::SESSION | Kind::STREAM | Kind::CLOCK => {
                    let key = (session, stream, kind);
                    let old = self.announced.remove(&key).unwrap_or_default();
                    self.weight = self.weight + record.wire_len() - old.len();
                    if self.weight <= MAX_ANNOUNCED {
                        let mut bytes = Vec::new();
                        record.encode(&mut bytes);
                        self.announced.insert(key, bytes);
                    } else {
                        self.weight -= record.wire_len();
                    }
                }
                Kind::END => {
                    self.books.0.retain(|(tag, _)| *tag != session);
                    self.announced.retain(|key, _| key.0 != session);
                    self.weight = self.announced.values().map(Vec::len).sum();
                }
                _ => {}
            }
        }
    }

    /// The announcements in force, as if made now: their reader joins in the middle.
    fn preamble(&mut self, now: i64) -> Option<Arc<Block>> {
        let mut builder = Builder::default();
        // By kind, so that each session comes before its streams.
        let kinds = [Kind::SESSION, Kind::STREAM, Kind::CLOCK];
        for wanted in kinds {
            let of_kind = self.announced.iter().filter(|(key, _)| key.2 == wanted);
            for ((session, stream, _), bytes) in of_kind {
                let Some(block) = block::of_bytes(bytes) else { continue };
                let next = self.books.next(*session, *stream);
                for record in records(&block) {
                    let time = match wanted {
                        Kind::CLOCK => record.header.time,
                        _ => now,
                    };
                    let header = Header { seq: next, time, sent: now, ..record.header };
                    builder.push(&record.with_header(header));
                }
            }
        }
        builder.take()
    }
}

/// The records of a block that holds none with samples.
fn records(block: &Block) -> impl Iterator<Item = Record<'_>> {
    block.parts().filter_map(|part| match part {
        Part::Mark(_, record) => Some(record),
        Part::Span(_) => None,
    })
}

impl Books {
    fn ledger(&mut self, session: u32) -> &mut SessionLedger {
        let at = match self.0.iter().position(|(tag, _)| *tag == session) {
            Some(at) => at,
            None => {
                if self.0.len() == MAX_SESSIONS {
                    self.0.remove(0);
                }
                self.0.push((session, SessionLedger::default()));
                self.0.len() - 1
            }
        };
        &mut self.0[at].1
    }

    fn take(&mut self, block: &Block) {
        for part in block.parts() {
            match part {
                Part::Span(span) => {
                    if let Some(stream) = self.ledger(span.session).stream(span.stream) {
                        stream.take(span.first, span.count, span.to);
                    }
                }
                Part::Mark(mark, record) => self.take_mark(&mark.header, &record),
            }
        }
    }

    fn take_mark(&mut self, header: &Header, record: &Record<'_>) {
        let numbered = header.stream != 0 && header.kind.name().is_some();
        let ledger = self.ledger(header.session);
        let Some(stream) = ledger.stream(header.stream).filter(|_| numbered) else {
            return;
        };
        match Gap::from_bytes(record.payload) {
            Ok(gap) if header.kind == Kind::GAP => {
                stream.gap(&gap);
            }
            _ => {
                stream.expect(header.seq);
            }
        }
    }

    fn next(&self, session: u32, stream: u16) -> u64 {
        let open = self.0.iter().find(|(tag, _)| *tag == session);
        let mut streams = open.into_iter().flat_map(|(_, ledger)| ledger.streams());
        let found = streams.find(|(number, _)| *number == stream && stream != 0);
        found.map_or(0, |(_, stream)| stream.next())
    }

    /// Books that begin where these stand.
    fn continued(&self) -> Books {
        let mut books = Books::default();
        for (session, ledger) in &self.0 {
            for (number, stream) in ledger.streams().filter(|(number, _)| *number != 0) {
                if let Some(new) = books.ledger(*session).stream(number) {
                    new.expect(stream.next());
                }
            }
        }
        books
    }
}
