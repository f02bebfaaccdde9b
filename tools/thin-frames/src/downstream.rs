//! What waits downstream, as far as it can be seen from here.
//!
//! That is what waits in this process, and what lies in the pipe behind it. The kernel tells
//! how many bytes nobody has read yet; how many samples of which stream those are is known
//! here. What the next stage has read and not worked on yet cannot be seen.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use libframe::tool::{Backlog, Chunk, Full, Lanes, Limits, Manner, Put};
use libframe::wire::Record;

/// Written samples that are remembered; a pipe of 256 KiB holds fewer at the rates that are
/// for people.
const MAX_WRITTEN: usize = 8192;

/// What waits, in this process and behind it.
#[derive(Debug)]
pub(crate) struct Downstream(Mutex<State>);

#[derive(Debug)]
struct State {
    lanes: Lanes,
    /// Records that may be unread.
    written: VecDeque<Written>,
    /// Bytes taken to be written, and of those what certainly is.
    taken: u64,
    passed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Written {
    key: (u32, u16),
    samples: u64,
    /// Where it ends among all that was written.
    end: u64,
}

impl Downstream {
    /// So many bytes may wait in this process.
    pub(crate) fn new(bytes: u64, stage: &str) -> Downstream {
        let limits = Limits { bytes, records: None, time: None };
        let lanes = Lanes::new(limits, Full::Refuse, stage);
        let written = VecDeque::with_capacity(MAX_WRITTEN);
        Downstream(Mutex::new(State { lanes, written, taken: 0, passed: 0 }))
    }

    /// Samples of a stream that the next stage has not read yet.
    pub(crate) fn waiting(&self, key: (u32, u16)) -> u64 {
        // What is no pipe is never behind.
        let in_pipe = rustix::io::ioctl_fionread(std::io::stdout()).unwrap_or(0);
        self.lock().waiting(key, in_pipe)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The record that is being written just now counts as unread.
    fn waiting(&mut self, key: (u32, u16), in_pipe: u64) -> u64 {
        let read = self.passed.saturating_sub(in_pipe);
        while self.written.front().is_some_and(|written| written.end <= read) {
            self.written.pop_front();
        }
        let unread = self.written.iter().filter(|written| written.key == key);
        let unread: u64 = unread.map(|written| written.samples).sum();
        self.lanes.waiting(key) + unread
    }

    fn note(&mut self, chunk: &Chunk) {
        self.passed = self.taken;
        for record in chunk.records() {
            self.taken += record.wire_len() as u64;
            let samples = record.samples();
            if samples > 0 {
                if self.written.len() == MAX_WRITTEN {
                    self.written.pop_front();
                }
                let key = (record.header.session, record.header.stream);
                self.written.push_back(Written { key, samples, end: self.taken });
            }
        }
    }
}

impl Backlog for Downstream {
    fn put(&self, record: &Record<'_>) -> Result<Put> {
        Ok(self.lock().lanes.put(record))
    }

    fn take(&self, chunk: &mut Chunk) -> Result<()> {
        let mut state = self.lock();
        // One at a time, so that it is known what was written.
        state.lanes.take_some(chunk, 1);
        state.note(chunk);
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.lock().lanes.bytes()
    }

    fn manner(&self) -> Manner {
        Manner::Promptly
    }
}

#[cfg(test)]
mod tests {
    use libframe::wire::{Header, Kind};

    use super::*;

    fn put(downstream: &Downstream, stream: u16, seq: u64) {
        let (kind, session) = (Kind::DATA, 7);
        let header = Header { kind, flags: 0, stream, session, seq, time: 0, sent: 0 };
        downstream.put(&Record::new(header, &[0; 52])).unwrap();
    }

    #[test]
    fn samples_wait_here_then_in_the_pipe_until_they_are_read() {
        let downstream = Downstream::new(1 << 20, "test");
        (0..4).for_each(|seq| put(&downstream, 1, seq));
        put(&downstream, 2, 0);
        let waiting = |in_pipe| downstream.lock().waiting((7, 1), in_pipe);
        assert_eq!(waiting(0), 4);
        let mut chunk = Chunk::default();
        for _ in 0..3 {
            downstream.take(&mut chunk).unwrap();
        }
        // Two are written, one is being so, one waits here.
        assert_eq!(waiting(200), 4);
        assert_eq!(waiting(100), 3);
        assert_eq!(waiting(99), 3, "a sample that was read in part was not read");
        assert_eq!(waiting(0), 2);
        (0..3).for_each(|_| downstream.take(&mut chunk).unwrap());
        assert_eq!(waiting(0), 0);
    }
}
