//! Order statistics: the k-th smallest of millions of intervals, without sorting them.
//!
//! Two passes count by the upper and then by the lower half of each number, so the time
//! does not depend on how the intervals are spread, and none is moved.

use crate::intervals::{ESCAPE, Exact};

/// From this many on, counting is faster than sorting.
const COUNT_FROM: usize = 1 << 14;
const HALF: usize = 1 << 16;

/// Where a percentile lies among sorted values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Rank of the value below it, and of that above.
    pub(crate) below: u64,
    pub(crate) above: u64,
    share: f64,
}

impl Place {
    /// The place of a percentile among `n` values: numpy's default method, `linear`.
    pub(crate) fn new(percent: f64, n: u64) -> Place {
        let last = n.saturating_sub(1);
        let at = last as f64 * (percent / 100.0);
        let below = (at.floor() as u64).min(last);
        Place { below, above: (below + 1).min(last), share: at - at.floor() }
    }

    /// The value between its two neighbours, rounded where numpy rounds.
    pub(crate) fn between(self, below: i64, above: i64) -> f64 {
        let step = above.wrapping_sub(below) as f64;
        if self.share >= 0.5 {
            above as f64 - step * (1.0 - self.share)
        } else {
            below as f64 + step * self.share
        }
    }
}

/// The values of these ranks, which are sorted and each below the number of intervals.
pub(crate) fn order_statistics(all: &Exact, ranks: &[u64]) -> Vec<i64> {
    if all.narrow.len() < COUNT_FROM {
        let mut values = Vec::with_capacity(all.narrow.len());
        all.for_each(|interval| values.push(interval.ns));
        values.sort_unstable();
        let value = |rank: &u64| values.get(*rank as usize).copied().unwrap_or_default();
        return ranks.iter().map(value).collect();
    }
    // Those that are no u32 lie below or above all that are.
    let fits = |ns: i64| (0..i64::from(ESCAPE)).contains(&ns);
    let mut outside: Vec<i64> =
        all.wide.iter().map(|wide| wide.ns).filter(|ns| !fits(*ns)).collect();
    outside.sort_unstable();
    let negative = outside.partition_point(|ns| *ns < 0);
    let (low, high) = outside.split_at(negative);
    let within = all.narrow.len() - outside.len();
    let inner: Vec<u64> = ranks
        .iter()
        .filter_map(|rank| rank.checked_sub(low.len() as u64))
        .filter(|rank| *rank < within as u64)
        .collect();
    let mut inner = Counted::new(all, fits).values(&inner).into_iter();
    let value = |rank: &u64| {
        let rank = *rank as usize;
        if rank < low.len() {
            return low[rank];
        }
        match rank - low.len() {
            at if at < within => inner.next().unwrap_or_default(),
            at => high.get(at - within).copied().unwrap_or_default(),
        }
    };
    ranks.iter().map(value).collect()
}

/// The intervals that are a u32, counted by their upper half.
struct Counted<'a> {
    narrow: &'a [u32],
    /// Kept apart for the step of their number, though they are a u32 as well.
    others: Vec<u32>,
    /// Places in `narrow` that stand for one kept apart.
    escapes: u32,
    upper: Vec<u32>,
}

impl<'a> Counted<'a> {
    fn new(all: &'a Exact, fits: impl Fn(i64) -> bool) -> Counted<'a> {
        let others = all.wide.iter().filter(|wide| fits(wide.ns));
        let others: Vec<u32> = others.map(|wide| wide.ns as u32).collect();
        let mut upper = vec![0; HALF];
        let mut second = vec![0; HALF];
        // Neighbours are mostly alike, and a count must be stored before it is read again:
        // two tables in turns do not wait for each other.
        let (pairs, rest) = all.narrow.as_chunks::<2>();
        for [one, other] in pairs {
            upper[(one >> 16) as usize] += 1;
            second[(other >> 16) as usize] += 1;
        }
        for ns in rest.iter().chain(&others) {
            upper[(ns >> 16) as usize] += 1;
        }
        upper.iter_mut().zip(&second).for_each(|(sum, n)| *sum += n);
        let escapes = all.wide.len() as u32;
        upper[HALF - 1] -= escapes;
        Counted { narrow: &all.narrow, others, escapes, upper }
    }

    fn values(&self, ranks: &[u64]) -> Vec<i64> {
        let mut found: Vec<(usize, u64)> = Vec::with_capacity(ranks.len());
        let (mut bucket, mut before) = (0, 0u64);
        for rank in ranks {
            while bucket < HALF && before + u64::from(self.upper[bucket]) <= *rank {
                before += u64::from(self.upper[bucket]);
                bucket += 1;
            }
            found.push((bucket.min(HALF - 1), rank - before));
        }
        let tables = self.count_lower(found.iter().map(|(bucket, _)| *bucket));
        let value = |(bucket, rank): &(usize, u64)| {
            let table = tables.iter().find(|(upper, _)| upper == bucket);
            let lower = table.map_or(0, |(_, counts)| nth(counts, *rank));
            ((bucket << 16) | lower) as i64
        };
        found.iter().map(value).collect()
    }

    /// Counts by the lower half, for some upper ones.
    fn count_lower(
        &self,
        buckets: impl Iterator<Item = usize>,
    ) -> Vec<(usize, Vec<u32>)> {
        let mut tables: Vec<(usize, Vec<u32>)> = Vec::new();
        let mut slots = vec![0u8; HALF];
        for bucket in buckets {
            if slots[bucket] == 0 {
                tables.push((bucket, vec![0; HALF]));
                slots[bucket] = tables.len() as u8;
            }
        }
        for ns in self.narrow.iter().chain(&self.others) {
            let slot = slots[(ns >> 16) as usize] as usize;
            if slot != 0 {
                tables[slot - 1].1[(ns & 0xFFFF) as usize] += 1;
            }
        }
        for (_, counts) in tables.iter_mut().filter(|(bucket, _)| *bucket == HALF - 1) {
            counts[HALF - 1] -= self.escapes;
        }
        tables
    }
}

/// The place at which so many are counted.
fn nth(counts: &[u32], rank: u64) -> usize {
    let mut seen = 0;
    let reached = counts.iter().position(|count| {
        seen += u64::from(*count);
        seen > rank
    });
    reached.unwrap_or(counts.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intervals::Interval;

    /// Every value and its place among all, whatever mixture there is of them.
    #[test]
    fn counting_finds_what_sorting_finds() {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 20
        };
        for spread in [1u64, 300, 1 << 17, 1 << 32, 1 << 40] {
            let mut all = Exact::default();
            let mut sorted = Vec::new();
            for i in 0..COUNT_FROM + 5000 {
                let ns = match i % 50 {
                    0 => -((next() % spread) as i64),
                    1 => i64::from(ESCAPE) - 1 + (next() % 4) as i64,
                    _ => (next() % spread) as i64,
                };
                all.push(Interval { ns, steps: if i % 30 == 0 { 3 } else { 1 } });
                sorted.push(ns);
            }
            sorted.sort_unstable();
            let n = sorted.len();
            let ranks: Vec<u64> =
                [0, 1, n / 100, n / 50, n / 3, n / 2, n - n / 50, n - 2, n - 1]
                    .map(|rank| rank as u64)
                    .to_vec();
            let wanted: Vec<i64> =
                ranks.iter().map(|rank| sorted[*rank as usize]).collect();
            assert_eq!(order_statistics(&all, &ranks), wanted, "{spread}");
        }
    }
}
