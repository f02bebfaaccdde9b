//! The last records, in their order, in bounded memory.
//!
//! Payloads lie back to back in blocks that are used again, so that nothing is allocated
//! per record, and nothing moved when there come to be more.

use std::collections::VecDeque;

use libframe::wire::{Header, Record};

/// Bytes of a block; a longer payload has one of its own.
const BLOCK: usize = 256 << 10;
/// Emptied blocks that are not given back.
const SPARE: usize = 4;

/// A record that is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) header: Header,
    /// Whether its samples have a fixed size, if it was described then.
    pub(crate) fixed: Option<bool>,
    /// Time of its last sample.
    pub(crate) newest: i64,
    block: u64,
    at: usize,
    len: usize,
}

/// The last records.
#[derive(Debug)]
pub(crate) struct Ring {
    limit: usize,
    records: VecDeque<Kept>,
    blocks: VecDeque<Vec<u8>>,
    /// How many blocks there were before the first.
    first: u64,
    spare: Vec<Vec<u8>>,
    /// What blocks and spare ones take.
    bytes: usize,
}

/// What is gone, for whoever must know.
pub(crate) type Gone<'a> = dyn FnMut(&Kept, &[u8]) + 'a;

impl Ring {
    /// One that takes at most so many bytes.
    pub(crate) fn new(limit: usize) -> Ring {
        Ring {
            limit,
            records: VecDeque::new(),
            blocks: VecDeque::new(),
            first: 0,
            spare: Vec::new(),
            bytes: 0,
        }
    }

    /// Keeps a record, and drops the oldest if need be. A record that has no room by itself
    /// is gone at once.
    pub(crate) fn push(
        &mut self,
        record: &Record<'_>,
        fixed: Option<bool>,
        newest: i64,
        gone: &mut Gone<'_>,
    ) {
        let (header, len) = (record.header, record.payload.len());
        let mut kept = Kept { header, fixed, newest, block: 0, at: 0, len };
        if len.max(self.block_size()) + size_of::<Kept>() > self.limit {
            return gone(&kept, record.payload);
        }
        while !self.has_room(len) {
            if !self.pop(gone) {
                break;
            }
        }
        let block = self.block_for(len);
        kept.at = block.len();
        block.extend_from_slice(record.payload);
        kept.block = self.first + self.blocks.len() as u64 - 1;
        self.records.push_back(kept);
    }

    /// Drops what is older than that.
    pub(crate) fn drop_before(&mut self, time: i64, gone: &mut Gone<'_>) {
        while self.records.front().is_some_and(|kept| kept.newest < time) {
            self.pop(gone);
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        while self.pop(&mut |_, _| {}) {}
    }

    /// The records, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Kept, Record<'_>)> {
        self.records
            .iter()
            .map(|kept| (kept, Record::new(kept.header, self.payload(kept))))
    }

    fn payload(&self, kept: &Kept) -> &[u8] {
        let block = self.blocks.get((kept.block - self.first) as usize);
        block.and_then(|block| block.get(kept.at..kept.at + kept.len)).unwrap_or_default()
    }

    fn pop(&mut self, gone: &mut Gone<'_>) -> bool {
        let Some(kept) = self.records.front().copied() else { return false };
        gone(&kept, self.payload(&kept));
        self.records.pop_front();
        let next = self.records.front().map_or(u64::MAX, |kept| kept.block);
        while self.first < next && !self.blocks.is_empty() {
            self.give_back();
        }
        true
    }

    /// Takes the first block away, which no record lies in any more.
    fn give_back(&mut self) {
        let Some(mut block) = self.blocks.pop_front() else { return };
        self.first += 1;
        if block.capacity() == self.block_size() && self.spare.len() < SPARE {
            block.clear();
            self.spare.push(block);
        } else {
            self.bytes -= block.capacity();
        }
    }

    fn has_room(&self, len: usize) -> bool {
        let fits = |block: &Vec<u8>| block.capacity() - block.len() >= len;
        let size = self.block_size();
        let more = match self.blocks.back() {
            Some(block) if fits(block) => 0,
            _ if len <= size && !self.spare.is_empty() => 0,
            _ => len.max(size),
        };
        let records = match self.records.len() == self.records.capacity() {
            // The old ones are there until they are moved.
            true => self.records.capacity() * 3 + 1,
            false => self.records.capacity(),
        };
        self.bytes + more + records * size_of::<Kept>() <= self.limit
    }

    fn block_for(&mut self, len: usize) -> &mut Vec<u8> {
        let size = self.block_size();
        let fits = |block: &Vec<u8>| block.capacity() - block.len() >= len;
        if !self.blocks.back().is_some_and(fits) {
            let spare = if len <= size { self.spare.pop() } else { None };
            let block = spare.unwrap_or_else(|| {
                let block = Vec::with_capacity(len.max(size));
                self.bytes += block.capacity();
                block
            });
            self.blocks.push_back(block);
        }
        let last = self.blocks.len() - 1;
        &mut self.blocks[last]
    }

    fn block_size(&self) -> usize {
        BLOCK.min(self.limit / 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libframe::wire::Kind;

    fn push(ring: &mut Ring, seq: u64, payload: &[u8], gone: &mut Vec<u64>) {
        let (kind, time) = (Kind::DATA, seq as i64);
        let header = Header { kind, flags: 0, stream: 1, session: 2, seq, time, sent: 0 };
        ring.push(&Record::new(header, payload), Some(true), time, &mut |kept, bytes| {
            assert_eq!(bytes.len(), kept.len);
            gone.push(kept.header.seq);
        });
    }

    #[test]
    fn the_last_records_are_there_and_the_rest_is_told() {
        for (limit, len) in [(64 << 10, 10), (1 << 20, 5000), (1 << 20, 300_000)] {
            let (mut ring, mut gone) = (Ring::new(limit), Vec::new());
            for seq in 0..5000 {
                push(&mut ring, seq, &vec![seq as u8; len], &mut gone);
                let takes = ring.bytes + ring.records.capacity() * size_of::<Kept>();
                assert!(takes <= limit, "{takes} of {limit}");
            }
            for (at, (kept, record)) in ring.iter().enumerate() {
                assert_eq!(kept.header.seq, (gone.len() + at) as u64);
                assert_eq!(record.payload, vec![kept.header.seq as u8; len]);
            }
            assert_eq!(gone.len() + ring.iter().count(), 5000);
            assert!(ring.iter().count() * (len + 100) > limit / 4, "{len}");
            ring.drop_before(4999, &mut |_, _| {});
            assert_eq!(ring.iter().count(), 1);
        }
    }

    #[test]
    fn what_has_no_room_at_all_is_gone_and_the_rest_stays() {
        let (mut ring, mut gone) = (Ring::new(64 << 10), Vec::new());
        push(&mut ring, 0, &[1; 10], &mut gone);
        push(&mut ring, 1, &[1; 100_000], &mut gone);
        assert_eq!(gone, [1]);
        assert_eq!(ring.iter().count(), 1);
    }
}
