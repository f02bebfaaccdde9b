//! Blocks of whole records: made once by the input, and shared by all branches.
//!
//! A block knows what is in it, so that dropping it, or counting it, takes no look at its
//! bytes.

use std::collections::BTreeMap;
use std::mem::size_of;
use std::sync::Arc;

use libframe::wire::{HEADER_LEN, Header, Kind, Record};

/// What is gathered in a block at most; a longer record has one of its own. As much as a
/// default pipe holds.
const BLOCK: usize = 64 << 10;
/// What a block takes beside its bytes, about.
const OVERHEAD: usize = size_of::<Block>() + 64;

/// Whole records, back to back.
#[derive(Debug, Default)]
pub(crate) struct Block {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    marks: Vec<Mark>,
    samples: u64,
    records: u64,
}

/// Samples of a stream that follow each other by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) session: u32,
    pub(crate) stream: u16,
    pub(crate) first: u64,
    pub(crate) count: u64,
    /// Capture time of the first record, and of the last.
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// A record without samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) header: Header,
    at: usize,
    len: usize,
    /// How many of the block's spans are before it.
    after: usize,
    /// It announces what was announced before, word for word.
    repeats: bool,
}

/// What is in a block, in order: spans are as good as whole between two marks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part<'a> {
    Span(&'a Span),
    Mark(&'a Mark, Record<'a>),
}

impl Mark {
    /// Whether a reader that does not get it misses something: repeated announcements come
    /// again each second, and so does STATS.
    pub(crate) fn matters(&self) -> bool {
        !self.repeats && self.header.kind != Kind::STATS
    }
}

impl Span {
    pub(crate) fn next(&self) -> u64 {
        self.first.saturating_add(self.count)
    }

    pub(crate) fn key(&self) -> (u32, u16) {
        (self.session, self.stream)
    }

    /// Adds samples that follow; false if these do not.
    pub(crate) fn extend(&mut self, other: &Span) -> bool {
        let follows = self.key() == other.key() && self.next() == other.first;
        if follows {
            self.count = self.count.saturating_add(other.count);
            self.to = other.to;
        }
        follows
    }
}

impl Block {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Samples in it.
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }

    /// Records in it.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// What it takes in memory.
    pub(crate) fn weight(&self) -> usize {
        let lists = self.spans.capacity() * size_of::<Span>()
            + self.marks.capacity() * size_of::<Mark>();
        self.bytes.capacity() + lists + OVERHEAD
    }

    /// What is in it, in order.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let mut marks = self.marks.iter().peekable();
        let mut spans = 0;
        std::iter::from_fn(move || {
            if let Some(mark) = marks.next_if(|mark| mark.after <= spans) {
                let payload = &self.bytes[mark.at + HEADER_LEN..mark.at + mark.len];
                return Some(Part::Mark(mark, Record::new(mark.header, payload)));
            }
            spans += 1;
            self.spans.get(spans - 1).map(Part::Span)
        })
    }
}

/// Gathers records to a block.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    block: Block,
    /// Spans before this one stand before a mark and are closed.
    closed: usize,
    /// How long the next block will be, about: slow streams have blocks of one record,
    /// which should not take the room of a full one.
    expected: usize,
    /// What was announced, by length and checksum.
    announced: BTreeMap<(u32, u16, Kind), (usize, u32)>,
}

impl Builder {
    /// Whether a record must wait for the next block. A block never grows, as that would
    /// copy what is in it.
    #[inline]
    pub(crate) fn is_full_for(&self, record: &Record<'_>) -> bool {
        let len = self.block.bytes.len();
        len > 0 && len + record.wire_len() > self.block.bytes.capacity()
    }

    /// Adds a record. This is where its bytes are copied, once for all branches.
    pub(crate) fn push(&mut self, record: &Record<'_>) {
        let block = &mut self.block;
        if block.bytes.capacity() == 0 {
            block.bytes.reserve_exact(record.wire_len().max(self.expected));
        }
        let at = block.bytes.len();
        record.encode(&mut block.bytes);
        block.records += 1;
        let count = record.samples();
        if record.header.kind.has_samples() {
            self.add_samples(&record.header, count);
        } else {
            self.add_mark(record, at);
        }
    }

    /// The block, if there is anything in it.
    pub(crate) fn take(&mut self) -> Option<Arc<Block>> {
        if self.block.bytes.is_empty() {
            return None;
        }
        let mut block = std::mem::take(&mut self.block);
        self.closed = 0;
        let len = block.bytes.len();
        // One that was filled had more to come.
        let filled = len + len / 8 > block.bytes.capacity();
        self.expected = if filled { 2 * len } else { len }.min(BLOCK);
        if block.bytes.capacity() > 2 * len {
            block.bytes.shrink_to_fit();
        }
        Some(Arc::new(block))
    }

    /// Forgets what a session that is over announced.
    pub(crate) fn forget(&mut self, session: u32) {
        self.announced.retain(|key, _| key.0 != session);
    }

    #[inline]
    fn add_samples(&mut self, header: &Header, count: u64) {
        let Header { session, stream, seq: first, time, .. } = *header;
        let span = Span { session, stream, first, count, from: time, to: time };
        self.block.samples += count;
        let mut open = self.block.spans[self.closed..].iter_mut().rev();
        let extended = open
            .find(|other| other.key() == span.key())
            .is_some_and(|other| other.extend(&span));
        if !extended && count > 0 {
            self.block.spans.push(span);
        }
    }

    fn add_mark(&mut self, record: &Record<'_>, at: usize) {
        let header = record.header;
        let key = (header.session, header.stream, header.kind);
        let content = (record.payload.len(), record.payload_crc());
        let announces = matches!(header.kind, Kind::SESSION | Kind::STREAM);
        let repeats = announces && self.announced.insert(key, content) == Some(content);
        let (len, after) = (record.wire_len(), self.block.spans.len());
        self.block.marks.push(Mark { header, at, len, after, repeats });
        self.closed = after;
    }
}

/// A block of the records in these bytes, which are known to be whole.
pub(crate) fn of_bytes(mut bytes: &[u8]) -> Option<Arc<Block>> {
    let mut builder = Builder::default();
    while let Some((0, header, length)) = libframe::decoder::find_header(bytes) {
        let end = HEADER_LEN + length as usize;
        let Some(payload) = bytes.get(HEADER_LEN..end) else { break };
        builder.push(&Record::new(header, payload));
        bytes = &bytes[end..];
    }
    builder.take()
}

/// How many of the first `limit` bytes are of records that are whole there.
pub(crate) fn whole_records(bytes: &[u8], limit: usize) -> usize {
    let mut end = 0;
    while let Some((0, _, length)) = libframe::decoder::find_header(&bytes[end..]) {
        let next = end + HEADER_LEN + length as usize;
        if next > limit.min(bytes.len()) {
            break;
        }
        end = next;
    }
    end
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A record of session 9 with a payload of its own.
    pub(crate) fn record(
        kind: Kind,
        stream: u16,
        seq: u64,
        payload: &[u8],
    ) -> Record<'_> {
        let time = seq as i64 * 10;
        let header = Header { kind, flags: 0, stream, session: 9, seq, time, sent: 0 };
        Record::new(header, payload)
    }

    pub(crate) fn block(records: &[Record<'_>]) -> Arc<Block> {
        let mut builder = Builder::default();
        records.iter().for_each(|record| builder.push(record));
        builder.take().unwrap()
    }

    fn told(block: &Block) -> Vec<(char, u16, u64, u64)> {
        let tell = |part: Part<'_>| match part {
            Part::Span(s) => ('s', s.stream, s.first, s.count),
            Part::Mark(m, record) => {
                ('m', m.header.stream, m.header.seq, record.payload.len() as u64)
            }
        };
        block.parts().map(tell).collect()
    }

    #[test]
    fn streams_that_take_turns_make_one_span_each() {
        let records: Vec<_> = (0..10)
            .flat_map(|n| [1, 2].map(|stream| record(Kind::DATA, stream, n, b"abcd")))
            .collect();
        let block = block(&records);
        assert_eq!(told(&block), [('s', 1, 0, 10), ('s', 2, 0, 10)]);
        assert_eq!((block.samples(), block.bytes().len()), (20, 20 * 52));
    }

    #[test]
    fn a_hole_and_a_record_between_end_a_span() {
        let block = block(&[
            record(Kind::DATA, 1, 0, b""),
            record(Kind::DATA, 1, 2, b""),
            record(Kind::EVENT, 1, 3, b"abc"),
            record(Kind::DATA, 1, 3, b""),
        ]);
        let all = [('s', 1, 0, 1), ('s', 1, 2, 1), ('m', 1, 3, 3), ('s', 1, 3, 1)];
        assert_eq!(told(&block), all);
    }

    #[test]
    fn an_announcement_matters_when_it_is_new_or_changed() {
        let mut builder = Builder::default();
        for text in [b"a", b"a", b"b"] {
            builder.push(&record(Kind::STREAM, 1, 0, text));
        }
        builder.push(&record(Kind::STATS, 0, 0, b""));
        let block = builder.take().unwrap();
        let matters: Vec<_> = block.marks.iter().map(Mark::matters).collect();
        assert_eq!(matters, [true, false, true, false]);
        builder.forget(9);
        builder.push(&record(Kind::STREAM, 1, 0, b"b"));
        assert!(builder.take().unwrap().marks[0].matters());
    }

    #[test]
    fn blocks_of_one_record_take_little_room() {
        let mut builder = Builder::default();
        (0..1000).for_each(|n| builder.push(&record(Kind::DATA, 1, n, b"abcd")));
        builder.take().unwrap();
        for n in 0..3 {
            builder.push(&record(Kind::DATA, 1, n, b"abcd"));
            let weight = builder.take().unwrap().weight();
            assert!(weight < 600, "{weight}");
        }
    }

    #[test]
    fn records_are_found_again_in_their_bytes() {
        let records = [record(Kind::DATA, 1, 0, b"abc"), record(Kind::GAP, 1, 1, b"d")];
        let block = block(&records);
        assert_eq!(of_bytes(block.bytes()).unwrap().bytes(), block.bytes());
        assert_eq!(whole_records(block.bytes(), 50), 0);
        assert_eq!(whole_records(block.bytes(), 51), 51);
        assert_eq!(whole_records(block.bytes(), 1000), 100);
    }
}
