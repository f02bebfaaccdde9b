//! The bounded hand-over between a device's thread and stdout.
//!
//! A device does not wait for a slow reader: what does not fit is dropped by the user's
//! policy, whole records at a time, and told as a GAP in its place. Records lie back to
//! back in one buffer; the writer swaps it for an empty one, so that nothing is copied
//! or allocated per record.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::ValueEnum;

use super::exit::ReaderGone;
use super::status::Counters;
use crate::clock::Clock;
use crate::crc;
use crate::payload::{Gap, Payload as _, Reason};
use crate::wire::{HEADER_LEN, Header, Kind, Record, Sealed};

/// What to do when a queue is full.
#[derive(Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Overflow {
    /// Let the device wait
    Block,
    /// Make room by dropping what waits longest
    DropOldest,
    /// Drop what does not fit
    DropNewest,
    /// Put it in a file in this folder, for a while. Not for devices.
    #[value(skip)]
    Spill(PathBuf),
}

impl Overflow {
    /// Reads the policy of a queue that may spill.
    pub(super) fn parse(text: &str) -> Result<Overflow, String> {
        match text.split_once(':') {
            Some(("spill", folder)) if !folder.is_empty() => {
                Ok(Overflow::Spill(folder.into()))
            }
            _ => Overflow::from_str(text, false).map_err(|_| {
                "say block, drop-oldest, drop-newest or spill:FOLDER".into()
            }),
        }
    }
}

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    capacity: usize,
    policy: Overflow,
    /// Who drops, for the GAPs.
    stage: String,
    session: u32,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct State {
    /// Entries back to back from `start`.
    buf: Vec<u8>,
    start: usize,
    /// What must go out before `buf`: gaps where oldest records were, and records without
    /// samples that were among them.
    before: Vec<u8>,
    /// Gaps of oldest records that still grow; they go to the end of `before`.
    oldest: Vec<Dropped>,
    /// Gaps of newest records, each waiting for its stream's next one.
    newest: Vec<Dropped>,
    /// No more will be pushed.
    closed: bool,
    /// No more will be taken.
    abandoned: bool,
}

/// Samples of a stream that were dropped in one run.
#[derive(Clone, Copy, Debug)]
struct Dropped {
    stream: u16,
    first: u64,
    count: u64,
    from: i64,
    to: i64,
}

/// What [`Queue::take`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Records.
    Some,
    /// Nothing until the time was up.
    Time,
    /// Nothing, and nothing will come.
    Closed,
}

impl Queue {
    pub(super) fn new(
        capacity: usize,
        policy: Overflow,
        stage: &str,
        session: u32,
        counters: &Arc<Counters>,
    ) -> Queue {
        Queue {
            state: Mutex::default(),
            changed: Condvar::new(),
            capacity,
            policy,
            stage: stage.into(),
            session,
            counters: Arc::clone(counters),
        }
    }

    /// Puts a record in line, in two parts, with a bit to flip when it is written (plus
    /// one; 0 for none). Waits, or drops, if there is no room.
    pub(super) fn push(
        &self,
        record: &Record<'_>,
        tail: &[u8],
        flip: u32,
    ) -> Result<(), ReaderGone> {
        let crc = crc::crc32c_append(record.payload_crc(), tail);
        let len = record.payload.len() + tail.len();
        let mut header = record.header.encode(len as u32, crc);
        header[HEADER_LEN - 4..].copy_from_slice(&flip.to_le_bytes());
        let size = HEADER_LEN + len;

        let mut state = self.lock();
        while state.len() > 0 && state.len() + size > self.capacity && !state.abandoned {
            match self.policy {
                Overflow::DropNewest if record.header.kind.has_samples() => {
                    let samples = sample_count(&record.header, record.payload);
                    self.drop_newest(&mut state, &record.header, samples);
                    return Ok(());
                }
                Overflow::DropOldest if state.start < state.buf.len() => {
                    self.drop_oldest(&mut state);
                }
                _ => {
                    let woken = self.changed.wait(state);
                    state = woken.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        if state.abandoned {
            return Err(ReaderGone);
        }
        let was_empty = state.len() == 0;
        self.tell_newest(&mut state, record.header.stream);
        state.buf.extend_from_slice(&header);
        state.buf.extend_from_slice(record.payload);
        state.buf.extend_from_slice(tail);
        self.counters.queued.set(state.len() as u64);
        self.counters.deepest.raise(state.len() as u64);
        if was_empty {
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Says that nothing more will be pushed.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        for gap in std::mem::take(&mut state.newest) {
            let entry = self.gap_entry(&gap);
            state.buf.extend_from_slice(&entry);
        }
        state.closed = true;
        self.changed.notify_all();
    }

    /// Says that nothing more will be taken.
    pub(super) fn abandon(&self) {
        self.lock().abandoned = true;
        self.changed.notify_all();
    }

    /// Takes all that is in line, waiting for it until `until`. `chunk` comes back full
    /// and its old room is used again.
    pub(super) fn take(&self, chunk: &mut Vec<u8>, until: i64, clock: &Clock) -> Taken {
        chunk.clear();
        let mut state = self.lock();
        while state.len() == 0 {
            if state.closed {
                return Taken::Closed;
            }
            let left = until.saturating_sub(clock.now());
            if left <= 0 {
                return Taken::Time;
            }
            let timeout = Duration::from_nanos(left as u64);
            let woken = self.changed.wait_timeout(state, timeout);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        for gap in std::mem::take(&mut state.oldest) {
            let entry = self.gap_entry(&gap);
            state.before.extend_from_slice(&entry);
        }
        if state.before.is_empty() && state.start == 0 {
            std::mem::swap(&mut state.buf, chunk);
        } else {
            chunk.append(&mut state.before);
            chunk.extend_from_slice(&state.buf[state.start..]);
            state.buf.clear();
            state.start = 0;
        }
        self.counters.queued.set(0);
        self.changed.notify_all();
        Taken::Some
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drop_newest(&self, state: &mut State, header: &Header, samples: u64) {
        self.counters.lost.add(samples);
        note(&mut state.newest, header, samples);
    }

    /// Drops the first record in line if it has samples; others are kept aside.
    fn drop_oldest(&self, state: &mut State) {
        let Some((header, payload, len)) = entry_at(&state.buf[state.start..]) else {
            state.start = state.buf.len();
            return;
        };
        if header.kind.has_samples() {
            let samples = sample_count(&header, payload);
            self.counters.lost.add(samples);
            note(&mut state.oldest, &header, samples);
        } else {
            for gap in std::mem::take(&mut state.oldest) {
                let entry = self.gap_entry(&gap);
                state.before.extend_from_slice(&entry);
            }
            let kept = state.start..state.start + len;
            state.before.extend_from_slice(&state.buf[kept]);
        }
        state.start += len;
        if state.start > self.capacity {
            state.buf.drain(..state.start);
            state.start = 0;
        }
    }

    /// Puts the gap of a stream's dropped records before its next one.
    fn tell_newest(&self, state: &mut State, stream: u16) {
        if let Some(at) = state.newest.iter().position(|gap| gap.stream == stream) {
            let gap = state.newest.swap_remove(at);
            let entry = self.gap_entry(&gap);
            state.buf.extend_from_slice(&entry);
        }
    }

    fn gap_entry(&self, dropped: &Dropped) -> Vec<u8> {
        let gap = Gap {
            first: dropped.first,
            count: Some(dropped.count),
            reason: Reason::Queue,
            stage: self.stage.clone(),
            from: Some(dropped.from),
            to: Some(dropped.to),
            ..Gap::default()
        };
        let header = Header {
            kind: Kind::GAP,
            flags: 0,
            stream: dropped.stream,
            session: self.session,
            seq: gap.next(),
            time: dropped.to,
            sent: 0,
        };
        let payload = gap.to_bytes();
        let mut entry = Vec::new();
        Record::new(header, &payload).encode(&mut entry);
        entry[HEADER_LEN - 4..HEADER_LEN].fill(0);
        entry
    }
}

impl State {
    fn len(&self) -> usize {
        self.buf.len() - self.start + self.before.len()
    }
}

/// Adds samples to a stream's run of dropped ones. A stream whose numbers jump starts a
/// run of its own.
fn note(runs: &mut Vec<Dropped>, header: &Header, samples: u64) {
    let run = runs
        .iter_mut()
        .find(|run| run.stream == header.stream && run.first + run.count == header.seq);
    match run {
        Some(run) => {
            run.count += samples;
            run.to = header.time;
        }
        None => runs.push(Dropped {
            stream: header.stream,
            first: header.seq,
            count: samples,
            from: header.time,
            to: header.time,
        }),
    }
}

fn sample_count(header: &Header, payload: &[u8]) -> u64 {
    Record::verified(*header, payload, 0).samples()
}

/// The entries of a chunk, each with the bit to flip.
pub(super) fn entries(chunk: &[u8]) -> impl Iterator<Item = (Record<'_>, Option<u32>)> {
    let mut rest = chunk;
    std::iter::from_fn(move || {
        let head = rest.first_chunk()?;
        let sealed = Sealed::parse(head);
        let (header, payload, len) = entry_at(rest)?;
        let flip = u32::from_le_bytes([head[44], head[45], head[46], head[47]]);
        rest = &rest[len..];
        Some((Record::verified(header, payload, sealed.payload_crc), flip.checked_sub(1)))
    })
}

fn entry_at(bytes: &[u8]) -> Option<(Header, &[u8], usize)> {
    let sealed = Sealed::parse(bytes.first_chunk()?);
    let len = HEADER_LEN + sealed.length as usize;
    Some((sealed.header, bytes.get(HEADER_LEN..len)?, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: Kind, seq: u64) -> Header {
        Header { kind, flags: 0, stream: 1, session: 9, seq, time: seq as i64, sent: 0 }
    }

    fn queue(policy: Overflow) -> Queue {
        // Room for ten records of 100 bytes.
        Queue::new(1000, policy, "test", 9, &Arc::default())
    }

    fn push(queue: &Queue, kind: Kind, seq: u64) {
        queue.push(&Record::new(header(kind, seq), &[7; 22]), &[8; 30], 0).unwrap();
    }

    fn take(queue: &Queue) -> Vec<(Kind, u64, u64)> {
        let mut chunk = Vec::new();
        let clock = Clock::system();
        let mut all = Vec::new();
        while queue.take(&mut chunk, clock.now() + 1, &clock) == Taken::Some {
            all.extend(entries(&chunk).map(|(record, _)| {
                let gap = Gap::from_bytes(record.payload);
                let count = gap.ok().and_then(|gap| gap.count).unwrap_or(0);
                (record.header.kind, record.header.seq, count)
            }));
        }
        all
    }

    #[test]
    fn dropping_the_newest_tells_a_gap_before_the_next_record() {
        let queue = queue(Overflow::DropNewest);
        (0..15).for_each(|seq| push(&queue, Kind::DATA, seq));
        let first = take(&queue);
        assert_eq!(first.last(), Some(&(Kind::DATA, 9, 0)));
        push(&queue, Kind::DATA, 15);
        assert_eq!(take(&queue), [(Kind::GAP, 15, 5), (Kind::DATA, 15, 0)]);
    }

    #[test]
    fn dropping_the_newest_at_the_end_is_told_too() {
        let queue = queue(Overflow::DropNewest);
        (0..15).for_each(|seq| push(&queue, Kind::DATA, seq));
        queue.close();
        assert_eq!(take(&queue).last(), Some(&(Kind::GAP, 15, 5)));
    }

    #[test]
    fn dropping_the_oldest_tells_a_gap_in_their_place_and_keeps_the_rest() {
        let queue = queue(Overflow::DropOldest);
        push(&queue, Kind::DATA, 0);
        push(&queue, Kind::EVENT, 1);
        (1..15).for_each(|seq| push(&queue, Kind::DATA, seq));
        queue.close();
        let got = take(&queue);
        assert_eq!(got[0], (Kind::GAP, 1, 1));
        assert_eq!(got[1], (Kind::EVENT, 1, 0));
        let Some((Kind::GAP, next, _)) = got.get(2).copied() else { panic!("{got:?}") };
        assert_eq!(got[3], (Kind::DATA, next, 0));
        assert_eq!(got.last(), Some(&(Kind::DATA, 14, 0)));
    }

    #[test]
    fn a_record_over_the_capacity_passes_alone() {
        let queue = queue(Overflow::DropNewest);
        queue.push(&Record::new(header(Kind::DATA, 0), &[1; 5000]), &[], 0).unwrap();
        assert_eq!(take(&queue), [(Kind::DATA, 0, 0)]);
    }

    #[test]
    fn the_crc_of_two_parts_is_that_of_the_whole() {
        let queue = queue(Overflow::Block);
        push(&queue, Kind::DATA, 0);
        let mut chunk = Vec::new();
        queue.take(&mut chunk, 0, &Clock::system());
        let (record, flip) = entries(&chunk).next().unwrap();
        assert_eq!(record.payload_crc(), crc::crc32c(record.payload));
        assert_eq!((record.payload.len(), flip), (52, None));
    }
}
