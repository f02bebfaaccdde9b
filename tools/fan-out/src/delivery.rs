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
    /// What its last start was given first.
    preamble: Option<Arc<Block>>,
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
            preamble: None,
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
    }

    /// Says that all of it was written. Only then what does not fit into the pipe any more
    /// was surely read.
    pub(crate) fn wrote(&mut self) {
        let Some(taken) = &mut self.taken else { return };
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
        let last = taken.preamble.take();
        for (end, block) in std::mem::take(&mut taken.written) {
            if last.as_ref().is_some_and(|last| Arc::ptr_eq(last, &block)) {
                continue;
            }
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
        taken.preamble = taken.announcements(now);
        again.splice(0..0, taken.preamble.clone());
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
            ..Gap::default()
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
        let mut stats = (*report.stats).clone();
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
    fn announcements(&mut self, now: i64) -> Option<Arc<Block>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backlog::{Backlog, Policy};
    use crate::block::tests::{block, record};
    use libframe::payload::{End, Session, Stats};
    use libframe::schema::Stream;

    fn announced() -> Arc<Block> {
        let session = Session { uuid: "u".into(), ..Session::default() }.to_bytes();
        let stream = Stream { name: "s".into(), ..Stream::default() }.to_bytes();
        block(&[
            record(Kind::SESSION, 0, 0, &session),
            record(Kind::STREAM, 1, 0, &stream),
        ])
    }

    fn samples(range: std::ops::Range<u64>) -> Arc<Block> {
        let all: Vec<_> = range.map(|seq| record(Kind::DATA, 1, seq, &[7; 52])).collect();
        block(&all)
    }

    fn report() -> Report {
        let stats = Stats { stage: "fan-out:x".into(), ..Stats::default() };
        Report { session: 9, time: 5, stats: Box::new(stats) }
    }

    fn gives(delivery: &mut Delivery, entry: Entry) -> Arc<Block> {
        let block = delivery.next(entry, 1000).unwrap();
        delivery.writes(&block);
        delivery.wrote();
        block
    }

    fn restarting() -> Delivery {
        let mut delivery = Delivery::new("fan-out:x".into(), true);
        delivery.started(1000);
        delivery
    }

    /// The numbers of the samples, and the kinds of the other records, in order.
    fn told(blocks: &[Arc<Block>]) -> (Vec<u64>, Vec<Kind>) {
        let (mut numbers, mut kinds) = (Vec::new(), Vec::new());
        for part in blocks.iter().flat_map(|block| block.parts()) {
            match part {
                Part::Span(span) => numbers.extend(span.first..span.next()),
                Part::Mark(mark, _) => kinds.push(mark.header.kind),
            }
        }
        (numbers, kinds)
    }

    #[test]
    fn what_was_dropped_is_told_and_is_in_the_totals() {
        let mut delivery = restarting();
        gives(&mut delivery, Entry::Block(announced()));
        gives(&mut delivery, Entry::Block(samples(0..10)));
        let mut backlog = Backlog::new(0, Policy::DropNewest);
        backlog.push(&samples(0..1));
        backlog.push(&samples(10..15));
        backlog.pop();
        backlog.tell(crate::rest::Item::End(report(), "end".into()));
        let last = gives(&mut delivery, backlog.pop().unwrap());
        let (_, kinds) = told(&[Arc::clone(&last)]);
        assert_eq!(kinds, [Kind::GAP, Kind::STATS, Kind::END]);
        let payloads: Vec<_> =
            records(&last).map(|record| record.payload.to_vec()).collect();
        let gap = Gap::from_bytes(&payloads[0]).unwrap();
        assert_eq!(
            (gap.first, gap.count, gap.stage.as_str()),
            (10, Some(5), "fan-out:x")
        );
        let stats = Stats::from_bytes(&payloads[1]).unwrap();
        assert_eq!((stats.dropped, stats.output.samples), (5, 10));
        let totals = End::from_bytes(&payloads[2]).unwrap().streams[0];
        assert_eq!(
            (totals.first, totals.next, totals.samples, totals.lost),
            (0, 15, 10, 5)
        );
    }

    #[test]
    fn a_reader_that_starts_again_goes_on_at_the_record_that_was_cut() {
        // Each record is 100 bytes long.
        for (unread, first) in [(0, 10), (1, 9), (99, 9), (100, 9), (101, 8), (950, 0)] {
            let mut delivery = restarting();
            gives(&mut delivery, Entry::Block(announced()));
            gives(&mut delivery, Entry::Block(samples(0..4)));
            gives(&mut delivery, Entry::Block(samples(4..10)));
            let again = delivery.starts_again(unread, 2000);
            let (numbers, kinds) = told(&again);
            assert_eq!(numbers, (first..10).collect::<Vec<_>>(), "{unread}");
            assert_eq!(kinds, [Kind::SESSION, Kind::STREAM]);
            // The announcement must not look like the session's first one, and the
            // stream's must not claim samples that are still to come.
            let headers: Vec<_> =
                records(&again[0]).map(|record| record.header).collect();
            assert_eq!((headers[0].time, headers[1].seq), (2000, first));
        }
    }

    #[test]
    fn what_nobody_read_comes_again_as_it_was() {
        let mut delivery = restarting();
        let all = [announced(), samples(0..4)];
        let bytes: usize = all.iter().map(|block| block.bytes().len()).sum();
        all.iter().for_each(|block| {
            gives(&mut delivery, Entry::Block(Arc::clone(block)));
        });
        let again = delivery.starts_again(bytes as u64, 2000);
        assert_eq!(again.len(), 2);
        assert!(again.iter().zip(&all).all(|(a, b)| a.bytes() == b.bytes()));
    }

    #[test]
    fn a_second_death_before_anything_was_read_changes_nothing() {
        let mut delivery = restarting();
        gives(&mut delivery, Entry::Block(announced()));
        gives(&mut delivery, Entry::Block(samples(0..9)));
        let mut again = delivery.starts_again(250, 2000);
        for _ in 0..3 {
            delivery.started(1000);
            again.iter().for_each(|block| delivery.writes(block));
            let bytes: usize = again.iter().map(|block| block.bytes().len()).sum();
            again = delivery.starts_again(bytes as u64, 3000);
            let (numbers, kinds) = told(&again);
            assert_eq!(numbers, [6, 7, 8]);
            assert_eq!(kinds, [Kind::SESSION, Kind::STREAM]);
        }
    }

    #[test]
    fn only_what_may_be_in_the_pipe_is_held() {
        let mut delivery = restarting();
        gives(&mut delivery, Entry::Block(announced()));
        for n in 0..500 {
            gives(&mut delivery, Entry::Block(samples(n * 5..n * 5 + 5)));
        }
        assert!(delivery.taken.as_ref().unwrap().written.len() <= 3);
        assert_eq!(told(&delivery.starts_again(1000, 0)).0.len(), 10);
    }

    #[test]
    fn totals_of_a_reader_that_joined_are_of_what_it_got() {
        let mut delivery = restarting();
        gives(&mut delivery, Entry::Block(announced()));
        gives(&mut delivery, Entry::Block(samples(0..10)));
        delivery.starts_again(300, 2000);
        let mut backlog = Backlog::new(0, Policy::Wait);
        backlog.tell(crate::rest::Item::End(report(), "end".into()));
        let last = gives(&mut delivery, backlog.pop().unwrap());
        let end = records(&last).last().unwrap();
        let totals = End::from_bytes(end.payload).unwrap().streams[0];
        assert_eq!(
            (totals.first, totals.next, totals.samples, totals.lost),
            (7, 10, 3, 0)
        );
    }
}
