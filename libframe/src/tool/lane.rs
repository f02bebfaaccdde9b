//! What waits of one stream: records in the order they came, which can be taken or dropped
//! at either end.
//!
//! Records lie back to back in blocks, with their length behind them too, so that the newest
//! can be found. Blocks grow with the lane, so that a slow stream takes little; they are
//! used again, so that nothing is allocated per record.

use std::collections::VecDeque;

use super::chunk::{BACK, Chunk, Entry, FRONT, RUN, append, size_of};
use crate::payload::{Gap, Payload as _, Reason};
use crate::wire::{HEADER_LEN, Header, Kind, Record};

/// The smallest block and the largest that holds more than one record.
const SMALL: usize = 256;
const LARGE: usize = 64 << 10;
/// Blocks that are kept for later, of those that are not too long.
const MAX_SPARE: usize = 32;

/// Samples of a stream that were dropped in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dropped {
    /// The place of the first of them among all that came.
    ticket: u64,
    first: u64,
    count: u64,
    from: i64,
    to: i64,
}

/// What one run takes.
pub(super) const DROPPED_SIZE: usize = FRONT + HEADER_LEN + BACK;

impl Dropped {
    fn of(entry: &Entry<'_>) -> Dropped {
        let Header { seq: first, time, .. } = entry.record.header;
        let (ticket, count) = (entry.ticket, entry.record.samples());
        Dropped { ticket, first, count, from: time, to: time }
    }

    /// Adds samples that were dropped after these; false if they do not follow.
    fn append(&mut self, later: &Dropped) -> bool {
        let follows = self.first.checked_add(self.count) == Some(later.first);
        if follows {
            self.count = self.count.saturating_add(later.count);
            self.to = later.to;
        }
        follows
    }

    /// In the form of an entry, to lie among records.
    fn header(&self, key: (u32, u16)) -> Header {
        let (session, stream) = key;
        let (seq, time, sent) = (self.first, self.from, self.to);
        Header { kind: Kind::GAP, flags: 0, stream, session, seq, time, sent }
    }

    fn parse(entry: &Entry<'_>) -> Dropped {
        let Header { seq: first, time: from, sent: to, .. } = entry.record.header;
        let count = u64::from(entry.record.payload_crc()) | u64::from(entry.length) << 32;
        Dropped { ticket: entry.ticket, first, count, from, to }
    }
}

/// Blocks that are not used now.
#[derive(Debug, Default)]
pub(super) struct Spare(Vec<Vec<u8>>);

impl Spare {
    fn get(&mut self, size: usize) -> Vec<u8> {
        match self.0.iter().position(|block| block.capacity() >= size) {
            Some(at) => self.0.swap_remove(at),
            None => Vec::with_capacity(size),
        }
    }

    fn put(&mut self, mut block: Vec<u8>) {
        if self.0.len() < MAX_SPARE && block.capacity() <= 2 * LARGE {
            block.clear();
            self.0.push(block);
        }
    }
}

#[derive(Debug)]
struct Block {
    bytes: Vec<u8>,
    start: usize,
    /// Runs lie among its records.
    has_runs: bool,
}

/// What waits of one stream.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Session and stream.
    pub(super) key: (u32, u16),
    /// Dropped before all that waits.
    before: VecDeque<Dropped>,
    blocks: VecDeque<Block>,
    /// Dropped after all that waits; the earliest is the last.
    after: Vec<Dropped>,
    /// Bytes of entries and runs.
    pub(super) bytes: usize,
    /// Records that wait.
    pub(super) records: u64,
    /// Capture time of the record that was put in last.
    last_time: i64,
    /// Among the heads of all lanes.
    pub(super) listed: bool,
}

impl Lane {
    pub(super) fn new(key: (u32, u16)) -> Lane {
        Lane { key, ..Lane::default() }
    }

    /// Whether nothing is left of it, not even what must be said about drops.
    pub(super) fn is_over(&self) -> bool {
        self.blocks.is_empty() && self.before.is_empty() && self.after.is_empty()
    }

    /// Whether runs dropped last are to be told yet.
    pub(super) fn has_untold(&self) -> bool {
        !self.after.is_empty()
    }

    /// The place of the first entry or run among all that came.
    #[inline]
    pub(super) fn head(&self) -> Option<u64> {
        if let Some(run) = self.before.front() {
            return Some(run.ticket);
        }
        self.first().map(|entry| entry.ticket)
    }

    /// Capture time of the first record that waits.
    pub(super) fn first_time(&self) -> Option<i64> {
        self.first().map(|entry| entry.record.header.time)
    }

    /// Capture time from the first record that waits to the last, about.
    pub(super) fn span(&self) -> i64 {
        self.first_time().map_or(0, |first| self.last_time.saturating_sub(first))
    }

    /// The first entry.
    #[inline]
    pub(super) fn first(&self) -> Option<Entry<'_>> {
        let block = self.blocks.front()?;
        Entry::parse(&block.bytes[block.start..])
    }

    fn last(&self) -> Option<Entry<'_>> {
        let bytes = &self.blocks.back()?.bytes;
        let size = bytes.last_chunk().map(|len| u32::from_le_bytes(*len))?;
        Entry::parse(&bytes[bytes.len().checked_sub(size as usize)?..])
    }

    /// Puts a record at the end.
    #[inline]
    pub(super) fn push(&mut self, ticket: u64, record: &Record<'_>, spare: &mut Spare) {
        self.tell(spare);
        append(self.room(size_of(record), spare), ticket, record);
        self.bytes += size_of(record);
        self.records += 1;
        self.last_time = record.header.time;
    }

    /// Puts the runs dropped last where they belong: no more of them can be added.
    #[inline]
    pub(super) fn tell(&mut self, spare: &mut Spare) {
        while let Some(run) = self.after.pop() {
            let header = run.header(self.key);
            let room = self.room(DROPPED_SIZE, spare);
            room.extend_from_slice(&(run.ticket | RUN).to_le_bytes());
            room.extend_from_slice(
                &header.encode((run.count >> 32) as u32, run.count as u32),
            );
            room.extend_from_slice(&(DROPPED_SIZE as u32).to_le_bytes());
            if let Some(block) = self.blocks.back_mut() {
                block.has_runs = true;
            }
        }
    }

    /// The block that has room for so many more bytes.
    #[inline]
    fn room(&mut self, size: usize, spare: &mut Spare) -> &mut Vec<u8> {
        let fits = |block: &Block| block.bytes.capacity() - block.bytes.len() >= size;
        if !self.blocks.back().is_some_and(fits) {
            let bytes = spare.get(self.bytes.clamp(SMALL, LARGE).max(size));
            self.blocks.push_back(Block { bytes, start: 0, has_runs: false });
        }
        // One was put there just now, if there was none.
        let last = self.blocks.len() - 1;
        &mut self.blocks[last].bytes
    }

    /// Moves the first entry or run to the chunk; `stage` is who dropped.
    #[inline]
    pub(super) fn take(&mut self, chunk: &mut Chunk, stage: &str, spare: &mut Spare) {
        if let Some(run) = self.before.pop_front() {
            self.bytes -= DROPPED_SIZE;
            return self.say(&run, chunk, stage);
        }
        let Some(block) = self.blocks.front() else { return };
        let Some(entry) = Entry::parse(&block.bytes[block.start..]) else { return };
        if entry.is_run {
            let run = Dropped::parse(&entry);
            self.say(&run, chunk, stage);
        } else {
            chunk.bytes.extend_from_slice(&block.bytes[block.start..][..entry.size]);
            self.records -= 1;
        }
        self.forget_first(entry.size, spare);
    }

    /// Hands over the whole first block, if it holds only records and all are of before
    /// `next`. `chunk` must be empty; its room is used again.
    pub(super) fn take_block(
        &mut self,
        chunk: &mut Chunk,
        next: u64,
        spare: &mut Spare,
    ) -> bool {
        let Some(block) = self.blocks.front_mut() else { return false };
        let bytes = &block.bytes;
        let len = bytes.last_chunk().map_or(0, |len| u32::from_le_bytes(*len) as usize);
        let last = Entry::parse(&bytes[bytes.len().saturating_sub(len)..]);
        let earlier = last.is_some_and(|entry| entry.ticket < next);
        if block.has_runs || !self.before.is_empty() || !earlier {
            return false;
        }
        std::mem::swap(&mut chunk.bytes, &mut block.bytes);
        chunk.start = std::mem::take(&mut block.start);
        self.records -= chunk.records().count() as u64;
        self.bytes -= chunk.len();
        if let Some(block) = self.blocks.pop_front() {
            spare.put(block.bytes);
        }
        true
    }

    /// Drops the first record that waits; returns its samples, or `None` if there is none.
    pub(super) fn drop_first(&mut self, spare: &mut Spare) -> Option<u64> {
        loop {
            let entry = self.first()?;
            let (size, is_run) = (entry.size, entry.is_run);
            let run = if is_run { Dropped::parse(&entry) } else { Dropped::of(&entry) };
            self.forget_first(size, spare);
            let joined = self.before.back_mut().is_some_and(|last| last.append(&run));
            if !joined && run.count > 0 {
                self.before.push_back(run);
                self.bytes += DROPPED_SIZE;
            }
            if !is_run {
                self.records -= 1;
                return Some(run.count);
            }
        }
    }

    /// Drops the last record that waits; returns its samples, or `None` if there is none.
    pub(super) fn drop_last(&mut self, spare: &mut Spare) -> Option<u64> {
        loop {
            let entry = self.last()?;
            let (size, is_run) = (entry.size, entry.is_run);
            let run = if is_run { Dropped::parse(&entry) } else { Dropped::of(&entry) };
            self.forget_last(size, spare);
            self.put_after(run);
            if !is_run {
                self.records -= 1;
                return Some(run.count);
            }
        }
    }

    /// Takes note of a record that is dropped instead of being put at the end.
    pub(super) fn refuse(&mut self, ticket: u64, record: &Record<'_>) -> u64 {
        let entry = Entry { ticket, record: *record, length: 0, size: 0, is_run: false };
        let run = Dropped::of(&entry);
        // The latest is the first: this one is later than all.
        let joined = self.after.first_mut().is_some_and(|last| last.append(&run));
        if !joined && run.count > 0 {
            self.after.insert(0, run);
            self.bytes += DROPPED_SIZE;
        }
        run.count
    }

    /// Adds a run that is earlier than all that were dropped behind it.
    fn put_after(&mut self, mut run: Dropped) {
        match self.after.last_mut() {
            Some(next) if run.append(next) => *next = run,
            _ if run.count > 0 => {
                self.after.push(run);
                self.bytes += DROPPED_SIZE;
            }
            _ => {}
        }
    }

    /// Forgets all that waits, without a word.
    pub(super) fn clear(&mut self, spare: &mut Spare) {
        self.blocks.drain(..).for_each(|block| spare.put(block.bytes));
        self.before.clear();
        self.after.clear();
        (self.bytes, self.records) = (0, 0);
    }

    #[inline]
    fn forget_first(&mut self, size: usize, spare: &mut Spare) {
        self.bytes -= size;
        let Some(block) = self.blocks.front_mut() else { return };
        block.start += size;
        if block.start >= block.bytes.len()
            && let Some(block) = self.blocks.pop_front()
        {
            spare.put(block.bytes);
        }
    }

    fn forget_last(&mut self, size: usize, spare: &mut Spare) {
        self.bytes -= size;
        let Some(block) = self.blocks.back_mut() else { return };
        block.bytes.truncate(block.bytes.len() - size);
        if block.start >= block.bytes.len()
            && let Some(block) = self.blocks.pop_back()
        {
            spare.put(block.bytes);
        }
    }

    fn say(&self, run: &Dropped, chunk: &mut Chunk, stage: &str) {
        let gap = Gap {
            first: run.first,
            count: Some(run.count),
            reason: Reason::Queue,
            stage: stage.into(),
            from: Some(run.from),
            to: Some(run.to),
            ..Gap::default()
        };
        let (session, stream) = self.key;
        let (kind, seq, time) = (Kind::GAP, gap.next(), run.to);
        let header = Header { kind, flags: 0, stream, session, seq, time, sent: 0 };
        chunk.push(&Record::new(header, &gap.to_bytes()));
    }
}
