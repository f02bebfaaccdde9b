//! The device's own times of a stream's samples, which our files have as a stream beside.

use std::collections::VecDeque;

use libframe_xdf::{Run, Samples};

/// Device times that were read, until their samples are.
#[derive(Default)]
pub(super) struct DeviceTimes {
    times: VecDeque<u64>,
    /// Which one in the file the first of them is, and the number of its sample.
    index: u64,
    next: u64,
    runs: VecDeque<Run>,
}

impl DeviceTimes {
    pub(super) fn push(&mut self, samples: &Samples<'_>) {
        let words = samples.iter().map(|sample| sample.values.first_chunk().copied());
        self.times.extend(words.map(|word| u64::from_le_bytes(word.unwrap_or_default())));
    }

    pub(super) fn run(&mut self, run: Run) {
        self.runs.push_back(run);
    }

    /// How many of the `n` samples from this number on are alike: all have a device time, or
    /// none has.
    pub(super) fn agree(&mut self, seq: u64, n: usize) -> (usize, bool) {
        self.settle();
        // Of samples that were never read.
        while !self.times.is_empty() && self.next < seq {
            self.drop_first();
            self.settle();
        }
        if self.times.is_empty() {
            return (n, false);
        }
        if self.next != seq {
            // The next of them is of a later sample.
            return ((self.next - seq).min(n as u64) as usize, false);
        }
        let run = self.runs.front().map_or(u64::MAX, |run| run.index - self.index);
        let alike = run.min(self.times.len() as u64).min(n as u64);
        (alike.max(1) as usize, true)
    }

    /// The device time of a sample of which [`DeviceTimes::agree`] says that it has one.
    pub(super) fn take(&mut self) -> u64 {
        let time = self.times.front().copied().unwrap_or_default();
        self.drop_first();
        time
    }

    fn drop_first(&mut self) {
        self.times.pop_front();
        self.index += 1;
        self.next = self.next.wrapping_add(1);
    }

    fn settle(&mut self) {
        while let Some(run) = self.runs.front().filter(|run| run.index <= self.index) {
            self.next = run.seq.wrapping_add(self.index - run.index);
            self.runs.pop_front();
        }
    }
}
