//! Intervals over time: shortest, usual and longest in each of some hundred parts.
//!
//! How long a stream will be is not known at its start, so parts are narrow at first and
//! joined in pairs whenever there are too many.

use crate::intervals::{ESCAPE, Exact};

/// There are at most so many parts, and at least half as many once the stream is long.
const MAX_BINS: usize = 512;
/// So many parts are never too many.
const FEW: u64 = 16;
/// So many intervals are enough for a part's median.
const MANY: usize = 4096;
/// Width of a part at first, ns.
const FIRST_WIDTH: u64 = 1 << 16;

/// All parts of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    /// Time of the first sample, ns.
    start: i64,
    pub(crate) width: u64,
    pub(crate) bins: Vec<Bin>,
    /// The latest time, from the start. Late samples count where the stream has got to.
    latest: u64,
    /// Where the last part ends.
    end: u64,
}

/// The intervals that ended in one part of the time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bin {
    pub(crate) count: u64,
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) sum: f64,
}

impl Bin {
    fn add(&mut self, other: Bin) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = other;
            return;
        }
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
    }
}

impl Envelope {
    pub(crate) fn new(start: i64) -> Envelope {
        let bins = Vec::new();
        Envelope { start, width: FIRST_WIDTH, bins, latest: 0, end: 0 }
    }

    /// Takes an interval that ended at this time.
    #[inline]
    pub(crate) fn add(&mut self, time: i64, ns: i64) {
        self.advance(time);
        let bin = Bin { count: 1, min: ns, max: ns, sum: ns as f64 };
        if let Some(last) = self.bins.last_mut() {
            last.add(bin);
        }
    }

    /// Takes intervals at once, the last of which ended at this time, if all of them
    /// belong to the part that is open.
    pub(crate) fn add_all(&mut self, time: i64, bin: impl FnOnce() -> Bin) -> bool {
        let from_start = time.wrapping_sub(self.start) as u64;
        if time < self.start || from_start >= self.end {
            return false;
        }
        self.latest = self.latest.max(from_start);
        if let Some(last) = self.bins.last_mut() {
            last.add(bin());
        }
        true
    }

    /// Opens parts up to this time.
    fn advance(&mut self, time: i64) {
        if time > self.start {
            self.latest = self.latest.max(time.wrapping_sub(self.start) as u64);
        }
        if self.latest < self.end {
            return;
        }
        while self.latest / self.width >= MAX_BINS as u64 {
            self.join();
        }
        let last = (self.latest / self.width) as usize;
        self.bins.resize(last + 1, Bin::default());
        self.end = (last as u64 + 1).saturating_mul(self.width);
    }

    /// Makes one of each two parts.
    fn join(&mut self) {
        for at in 0..self.bins.len().div_ceil(2) {
            let mut bin = self.bins[2 * at];
            if let Some(second) = self.bins.get(2 * at + 1) {
                bin.add(*second);
            }
            self.bins[at] = bin;
        }
        self.bins.truncate(self.bins.len().div_ceil(2));
        self.width = self.width.saturating_mul(2);
    }

    /// Joins parts until there are no more than this, or a few.
    pub(crate) fn join_to(&mut self, most: u64) {
        while self.bins.len() as u64 > most.max(FEW) {
            self.join();
        }
    }

    /// The median of each part that has any interval; of a part with very many, that of
    /// some at even distances, which no drawing tells apart.
    pub(crate) fn medians(&self, all: &Exact) -> Vec<Option<i64>> {
        let mut scratch = Vec::new();
        let (mut narrow, mut wide) = (&all.narrow[..], all.wide.iter());
        let mut median_of = |bin: &Bin| {
            let n = (bin.count as usize).min(narrow.len());
            let (part, rest) = narrow.split_at(n);
            narrow = rest;
            scratch.clear();
            // Parts hold the intervals in the order they came, and so do both stores.
            match part.contains(&ESCAPE) {
                true => scratch.extend(part.iter().filter_map(|ns| match *ns {
                    ESCAPE => wide.next().map(|interval| interval.ns),
                    ns => Some(i64::from(ns)),
                })),
                false => {
                    let some = part.iter().step_by(n.div_ceil(MANY).max(1));
                    scratch.extend(some.map(|ns| i64::from(*ns)));
                }
            }
            median(&mut scratch)
        };
        self.bins.iter().map(&mut median_of).collect()
    }
}

fn median(values: &mut [i64]) -> Option<i64> {
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let even = values.len().is_multiple_of(2);
    let (below, above, _) = values.select_nth_unstable(middle);
    let below = below.iter().max().filter(|_| even).unwrap_or(above);
    Some((i128::midpoint(i128::from(*below), i128::from(*above))) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intervals::Interval;

    #[test]
    fn parts_are_joined_as_the_stream_grows_and_lose_nothing() {
        let mut envelope = Envelope::new(100);
        let mut all = Exact::default();
        let mut time = 100;
        for i in 0..100_000i64 {
            let ns = 1_000_000 + i;
            time += ns;
            all.push(Interval { ns, steps: 1 });
            envelope.add(time, ns);
        }
        assert!((MAX_BINS / 2..=MAX_BINS).contains(&envelope.bins.len()));
        assert_eq!(envelope.bins.iter().map(|bin| bin.count).sum::<u64>(), 100_000);
        let medians = envelope.medians(&all);
        assert_eq!(medians.len(), envelope.bins.len());
        for (bin, median) in envelope.bins.iter().zip(medians) {
            let middle = (bin.min + bin.max) / 2;
            assert_eq!(median, Some(middle));
        }
    }

    #[test]
    fn a_pause_leaves_parts_without_intervals() {
        let mut envelope = Envelope::new(0);
        let mut all = Exact::default();
        for (time, ns) in [(10, 10), (1_000_000_000, 999_999_990), (1_000_000_001, 1)] {
            envelope.add(time, ns);
            all.push(Interval { ns, steps: 1 });
        }
        let medians = envelope.medians(&all);
        assert_eq!(medians.len(), envelope.bins.len());
        assert_eq!(medians.iter().flatten().count(), 2);
        assert_eq!(medians[0], Some(10));
        assert_eq!(medians.last().unwrap(), &Some(500_000_000 - 5 + 1 - 1));
    }

    #[test]
    fn time_that_goes_back_and_times_at_the_end_of_the_world_are_no_trouble() {
        let mut envelope = Envelope::new(i64::MIN);
        for time in [i64::MAX, 0, i64::MIN, i64::MAX] {
            envelope.add(time, 1);
        }
        assert_eq!(envelope.bins.iter().map(|bin| bin.count).sum::<u64>(), 4);
        assert!(envelope.bins.len() <= MAX_BINS);
    }
}
