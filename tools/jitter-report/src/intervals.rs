//! The intervals between the samples of a stream, in the order they came.
//!
//! A day of a fast stream is tens of millions of them, so they are kept as u32 where they
//! fit, which nearly all do: 4 bytes each. All sums are of integers, and so exact. A
//! stream that never ends is counted in narrow buckets from some length on, and says so.

use crate::bursts::Bursts;
use crate::coarse::Coarse;
use crate::rfc3550::Rfc3550;
use crate::select;

/// Stands in `narrow` for the next of `wide`.
pub(crate) const ESCAPE: u32 = u32::MAX;
/// Squares of intervals up to 2^50 ns, 13 days, are summed exactly.
const EXACT_SQUARE: u64 = 1 << 50;
/// The shares of which the report has the percentile, in percent.
pub(crate) const PERCENTS: [f64; 7] = [0.1, 1.0, 5.0, 50.0, 95.0, 99.0, 99.9];
/// Place of the median among those.
pub(crate) const MEDIAN: usize = 3;
/// An interval over this, and over ten usual ones, is a gap; the usual pace has no part
/// in it.
const PAUSE: f64 = 1e9;

/// One interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval {
    /// ns from the sample before in the order of arrival; negative if time went back.
    pub(crate) ns: i64,
    /// How much the sample's number grew: 1, unless one is missing, late or twice.
    pub(crate) steps: i64,
}

/// All intervals of a stream.
#[derive(Debug)]
pub(crate) struct Intervals {
    pub(crate) moments: Moments,
    store: Store,
}

#[derive(Debug)]
enum Store {
    Exact(Exact),
    Coarse(Box<Coarse>),
}

/// Every interval, as short as it can be kept.
#[derive(Debug, Default)]
pub(crate) struct Exact {
    pub(crate) narrow: Vec<u32>,
    pub(crate) wide: Vec<Interval>,
}

impl Default for Intervals {
    fn default() -> Intervals {
        Intervals { moments: Moments::default(), store: Store::Exact(Exact::default()) }
    }
}

impl Intervals {
    /// Takes one interval of any kind.
    pub(crate) fn push(&mut self, interval: Interval) {
        self.moments.push(interval.ns);
        match &mut self.store {
            Store::Exact(exact) => exact.push(interval),
            Store::Coarse(coarse) => coarse.push(interval),
        }
    }

    /// Takes many that are all below [`ESCAPE`], between samples that follow each other.
    pub(crate) fn push_plain(&mut self, intervals: &[u32]) {
        self.moments.push_plain(intervals);
        match &mut self.store {
            Store::Exact(exact) => exact.narrow.extend_from_slice(intervals),
            Store::Coarse(coarse) => {
                let all = intervals.iter();
                all.for_each(|ns| coarse.push(Interval { ns: i64::from(*ns), steps: 1 }));
            }
        }
    }

    /// How many intervals are kept one by one.
    pub(crate) fn kept(&self) -> usize {
        self.exact().map_or(0, |exact| exact.narrow.len())
    }

    /// From now on counts intervals instead of keeping them.
    pub(crate) fn coarsen(&mut self) {
        if let Store::Exact(exact) = &self.store {
            let median = self.percentiles().map_or(0.0, |all| all[MEDIAN]);
            let usual = self.usual(median);
            self.store = Store::Coarse(Box::new(Coarse::new(exact, usual)));
        }
    }

    /// All of them, if they are kept.
    pub(crate) fn exact(&self) -> Option<&Exact> {
        match &self.store {
            Store::Exact(exact) => Some(exact),
            Store::Coarse(_) => None,
        }
    }

    /// The percentiles [`PERCENTS`], interpolated as numpy does by default.
    pub(crate) fn percentiles(&self) -> Option<[f64; PERCENTS.len()]> {
        let n = self.moments.n;
        if n == 0 {
            return None;
        }
        let places = PERCENTS.map(|percent| select::Place::new(percent, n));
        let mut ranks: Vec<u64> =
            places.iter().flat_map(|place| [place.below, place.above]).collect();
        ranks.sort_unstable();
        ranks.dedup();
        let values = match &self.store {
            Store::Exact(exact) => select::order_statistics(exact, &ranks),
            Store::Coarse(coarse) => coarse.order_statistics(&ranks),
        };
        let at = |rank: u64| {
            let index = ranks.binary_search(&rank).ok()?;
            values.get(index).copied()
        };
        Some(places.map(|place| {
            let below = at(place.below).unwrap_or_default();
            place.between(below, at(place.above).unwrap_or(below))
        }))
    }

    /// The pace of the stream, ns: its time without pauses, by how far its numbers went in
    /// it. Unlike the median it is right where samples come many at a time, and unlike the
    /// mean interval where some are missing.
    pub(crate) fn usual(&self, median: f64) -> f64 {
        let exact = match &self.store {
            Store::Coarse(coarse) => return coarse.usual(),
            Store::Exact(exact) => exact,
        };
        let pause = PAUSE.max(10.0 * median);
        let (mut sum, mut steps) = (self.moments.sum, exact.steps());
        if self.moments.range.is_some_and(|(_, max)| max as f64 > pause) {
            exact.for_each(|interval| {
                if interval.ns as f64 > pause {
                    sum -= i128::from(interval.ns);
                    steps -= i128::from(interval.steps);
                }
            });
        }
        if sum > 0 && steps > 0 { sum as f64 / steps as f64 } else { median }
    }

    /// The samples that were stamped almost together.
    pub(crate) fn bursts(&self, usual: f64) -> Bursts {
        match &self.store {
            Store::Coarse(coarse) => coarse.bursts(),
            Store::Exact(exact) => {
                let mut bursts = Bursts::new(usual);
                if self.moments.range.is_none_or(|(min, _)| min >= bursts.below) {
                    return bursts;
                }
                exact.for_each(|interval| bursts.take(interval));
                bursts.finish();
                bursts
            }
        }
    }

    /// The jitter of RFC 3550 with senders that keep this pace, and how many intervals are
    /// how long.
    pub(crate) fn jitter_and_bars(&self, usual: f64, mut bars: Bars) -> (Rfc3550, Bars) {
        match &self.store {
            Store::Coarse(coarse) => {
                coarse.for_each(|ns, n| bars.add(ns, n));
                (coarse.rfc3550(), bars)
            }
            Store::Exact(exact) => {
                let mut jitter = Rfc3550::default();
                // One waits for its own last result; the other's work fits in between.
                exact.for_each(|interval| {
                    jitter.take_paced(interval, usual);
                    bars.add(interval.ns, 1);
                });
                (jitter, bars)
            }
        }
    }
}

/// How many intervals there are in each of some equal parts of a range.
#[derive(Clone, Debug)]
pub(crate) struct Bars {
    pub(crate) from: f64,
    pub(crate) to: f64,
    scale: f64,
    parts: usize,
    /// Those below the range, those in each part, those above.
    counts: Vec<u64>,
}

impl Bars {
    pub(crate) fn new(from: f64, to: f64, parts: usize) -> Bars {
        let scale = parts as f64 / (to - from).max(f64::MIN_POSITIVE);
        Bars { from, to, scale, parts, counts: vec![0; parts + 2] }
    }

    #[inline]
    fn add(&mut self, ns: i64, n: u64) {
        let place = (ns as f64 - self.from) * self.scale;
        let top = self.parts as f64;
        // The range's own end belongs to its last part.
        let part = if place < 0.0 {
            0
        } else if place <= top {
            1 + (place as usize).min(self.parts - 1)
        } else {
            self.parts + 1
        };
        self.counts[part] += n;
    }

    /// Below, within, and above.
    pub(crate) fn into_counts(mut self) -> (u64, Vec<u64>, u64) {
        let above = self.counts.pop().unwrap_or_default();
        (self.counts.remove(0), self.counts, above)
    }
}

impl Exact {
    pub(crate) fn push(&mut self, interval: Interval) {
        match u32::try_from(interval.ns) {
            Ok(ns) if ns != ESCAPE && interval.steps == 1 => self.narrow.push(ns),
            _ => {
                self.narrow.push(ESCAPE);
                self.wide.push(interval);
            }
        }
    }

    /// How far the samples' numbers went.
    fn steps(&self) -> i128 {
        let plain = self.narrow.len() - self.wide.len();
        let wide = self.wide.iter().map(|interval| i128::from(interval.steps));
        plain as i128 + wide.sum::<i128>()
    }

    /// Shows all intervals, in order.
    #[inline]
    pub(crate) fn for_each(&self, mut take: impl FnMut(Interval)) {
        let mut wide = self.wide.iter();
        for &ns in &self.narrow {
            if ns != ESCAPE {
                take(Interval { ns: i64::from(ns), steps: 1 });
            } else if let Some(interval) = wide.next() {
                take(*interval);
            }
        }
    }
}

/// Sums over intervals, of integers as far as 13 days.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moments {
    pub(crate) n: u64,
    pub(crate) sum: i128,
    pub(crate) range: Option<(i64, i64)>,
    squares: u128,
    huge_squares: f64,
}

impl Moments {
    fn push(&mut self, ns: i64) {
        self.n += 1;
        self.sum += i128::from(ns);
        self.widen(ns, ns);
        let size = ns.unsigned_abs();
        if size <= EXACT_SQUARE {
            self.squares = self.squares.saturating_add(u128::from(size).pow(2));
        } else {
            self.huge_squares += (size as f64).powi(2);
        }
    }

    fn push_plain(&mut self, intervals: &[u32]) {
        // Blocks so short that neither half of a square can overflow its sum.
        for block in intervals.chunks(1 << 20) {
            let (mut sum, mut low, mut high) = (0u64, 0u64, 0u64);
            let (mut min, mut max) = (u32::MAX, 0u32);
            for &ns in block {
                let square = u64::from(ns) * u64::from(ns);
                sum += u64::from(ns);
                low += square & 0xFFFF_FFFF;
                high += square >> 32;
                min = min.min(ns);
                max = max.max(ns);
            }
            self.n += block.len() as u64;
            self.sum += i128::from(sum);
            let squares = u128::from(low) + (u128::from(high) << 32);
            self.squares = self.squares.saturating_add(squares);
            self.widen(i64::from(min), i64::from(max));
        }
    }

    fn widen(&mut self, min: i64, max: i64) {
        let (low, high) = self.range.unwrap_or((min, max));
        self.range = Some((low.min(min), high.max(max)));
    }

    /// The mean, ns.
    pub(crate) fn mean(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum as f64 / self.n as f64)
    }

    /// The standard deviation of this population, as numpy's `std` has it, ns.
    pub(crate) fn deviation(&self) -> Option<f64> {
        let n = i128::from(self.n);
        let mean = self.mean()?;
        let exact = (self.huge_squares == 0.0)
            .then(|| {
                let squares = i128::try_from(self.squares).ok()?.checked_mul(n)?;
                squares.checked_sub(self.sum.checked_mul(self.sum)?)
            })
            .flatten();
        let variance = match exact {
            Some(scaled) => scaled.max(0) as f64 / (n as f64 * n as f64),
            None => {
                let squares = self.squares as f64 + self.huge_squares;
                (squares / n as f64 - mean * mean).max(0.0)
            }
        };
        Some(variance.sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(of: &[i64]) -> Intervals {
        let mut intervals = Intervals::default();
        of.iter().for_each(|ns| intervals.push(Interval { ns: *ns, steps: 1 }));
        intervals
    }

    #[test]
    fn sums_are_exact_where_floats_are_not() {
        // In floats the squares of these differ by less than their last bit.
        let around = 4_611_686_018_i64;
        let intervals = all(&[around - 1, around, around + 1, around]);
        assert_eq!(intervals.moments.mean(), Some(around as f64));
        assert_eq!(intervals.moments.deviation(), Some(0.5f64.sqrt()));
    }

    #[test]
    fn plain_blocks_and_single_intervals_are_the_same() {
        let some: Vec<u32> =
            (0..5000u32).map(|i| i.wrapping_mul(0x9E37_79B9) >> 1).collect();
        let mut blocks = Intervals::default();
        some.chunks(700).for_each(|block| blocks.push_plain(block));
        let single = all(&some.iter().map(|ns| i64::from(*ns)).collect::<Vec<_>>());
        assert_eq!(blocks.moments.mean(), single.moments.mean());
        assert_eq!(blocks.moments.deviation(), single.moments.deviation());
        assert_eq!(blocks.moments.range, single.moments.range);
        assert_eq!(blocks.percentiles(), single.percentiles());
    }

    #[test]
    fn no_interval_has_no_figures_and_one_is_all_of_them() {
        assert_eq!(all(&[]).moments.mean(), None);
        assert_eq!(all(&[]).percentiles(), None);
        assert_eq!(all(&[7]).moments.deviation(), Some(0.0));
        assert_eq!(all(&[7]).percentiles(), Some([7.0; 7]));
    }

    #[test]
    fn a_pause_and_many_at_a_time_leave_the_usual_pace() {
        let mut some = vec![5_000_000; 1000];
        some.push(8 * 3600 * 1_000_000_000);
        assert_eq!(all(&some).usual(5e6), 5e6);
        let mut holes = all(&[5_000_000; 100]);
        holes.push(Interval { ns: 50_000_000, steps: 10 });
        assert_eq!(holes.usual(5e6), 5e6);
        let bursts: Vec<i64> =
            (0..1000).map(|i| if i % 10 == 0 { 50_000_000 } else { 0 }).collect();
        assert_eq!(all(&bursts).usual(0.0), 5e6);
    }

    #[test]
    fn bars_count_every_interval_once() {
        let some = all(&[-5, 0, 1, 9, 10, 11]);
        let (_, bars) = some.jitter_and_bars(1.0, Bars::new(0.0, 10.0, 5));
        assert_eq!(bars.into_counts(), (1, vec![2, 0, 0, 0, 2], 1));
    }

    #[test]
    fn counting_in_buckets_is_close_to_keeping_all() {
        let some: Vec<i64> =
            (0..20_000).map(|i| 4_000_000 + i * 61).chain([-3, 0]).collect();
        let exact = all(&some);
        let mut coarse = all(&some[..10_000]);
        coarse.coarsen();
        some[10_000..].iter().for_each(|ns| coarse.push(Interval { ns: *ns, steps: 1 }));
        assert_eq!(coarse.kept(), 0);
        assert_eq!(coarse.moments.deviation(), exact.moments.deviation());
        let (a, b) = (exact.percentiles().unwrap(), coarse.percentiles().unwrap());
        for (exact, coarse) in a.iter().zip(b).skip(1) {
            assert!((coarse / exact - 1.0).abs() < 0.004, "{exact} {coarse}");
        }
    }
}
