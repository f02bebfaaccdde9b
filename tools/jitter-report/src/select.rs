//! Order statistics: the k-th smallest of millions of intervals, without sorting them.
//!
//! A pass counts by the upper bits of what each is over the least, in a table that stays in
//! the nearest cache; the next looks only into those buckets that a rank fell into. Two
//! passes do for a steady stream and three for any, and no interval is moved.

use crate::intervals::{ESCAPE, Exact};

/// From this many on, counting is faster than sorting.
const COUNT_FROM: usize = 1 << 14;
/// Bits that one pass tells apart.
const BITS: u32 = 12;
const BUCKETS: usize = 1 << BITS;

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

/// The intervals that are a u32.
struct Counted<'a> {
    narrow: &'a [u32],
    /// Kept apart for the step of their number, though they are a u32 as well.
    others: Vec<u32>,
    min: u32,
    /// Bits that the least of the upper bits lies over.
    shift: u32,
}

/// Buckets that are looked into: counts of what is in each by the next bits.
struct Table {
    counts: Vec<u32>,
    /// The next table of those in a bucket, from 1; 0: no rank is there.
    next: Vec<u8>,
}

impl Table {
    fn new() -> Table {
        Table { counts: vec![0; BUCKETS], next: vec![0; BUCKETS] }
    }
}

/// Where a rank was found to be so far.
#[derive(Clone, Copy, Debug)]
struct Found {
    table: usize,
    /// Of those in the table.
    rank: u64,
    /// What is known of the value, over the least.
    value: u32,
}

impl<'a> Counted<'a> {
    fn new(all: &'a Exact, fits: impl Fn(i64) -> bool) -> Counted<'a> {
        let others = all.wide.iter().filter(|wide| fits(wide.ns));
        let others: Vec<u32> = others.map(|wide| wide.ns as u32).collect();
        let (mut min, mut max) = (u32::MAX, 0);
        for &ns in all.narrow.iter().chain(&others) {
            min = min.min(ns);
            // What stands for another is no interval.
            max = max.max(if ns == ESCAPE { 0 } else { ns });
        }
        let bits = u32::BITS - max.saturating_sub(min).leading_zeros();
        Counted { narrow: &all.narrow, others, min, shift: bits.saturating_sub(BITS) }
    }

    fn values(&self, ranks: &[u64]) -> Vec<i64> {
        let new = |rank: &u64| Found { table: 0, rank: *rank, value: 0 };
        let mut found: Vec<Found> = ranks.iter().map(new).collect();
        // The tables of each pass, and how far their bits are shifted.
        let mut passes = vec![(vec![Table::new()], self.shift)];
        loop {
            self.count(&mut passes);
            let Some((tables, shift)) = passes.last_mut() else { break };
            for found in &mut found {
                let (bucket, before) = nth(&tables[found.table].counts, found.rank);
                found.rank -= before;
                found.value |= (bucket as u32) << *shift;
            }
            if *shift == 0 {
                break;
            }
            let next_shift = shift.saturating_sub(BITS);
            let mut next = Vec::new();
            for found in &mut found {
                let bucket = (found.value >> *shift) as usize & (BUCKETS - 1);
                let slot = &mut tables[found.table].next[bucket];
                if *slot == 0 {
                    next.push(Table::new());
                    *slot = next.len() as u8;
                }
                found.table = usize::from(*slot) - 1;
            }
            passes.push((next, next_shift));
        }
        found.iter().map(|found| i64::from(self.min) + i64::from(found.value)).collect()
    }

    /// Counts in the tables of the last pass what the tables before lead to.
    fn count(&self, passes: &mut [(Vec<Table>, u32)]) {
        let Some(((last, shift), before)) = passes.split_last_mut() else { return };
        let (min, shift) = (self.min, *shift);
        let kept = self.narrow.iter().filter(|ns| **ns != ESCAPE);
        let all = kept.chain(&self.others).map(|ns| ns - min);
        match before {
            [] => all.for_each(|over| last[0].counts[(over >> shift) as usize] += 1),
            [(tables, upper)] => {
                let (first, upper) = (&tables[0].next, *upper);
                let mask = (1u32 << (upper - shift)) - 1;
                for over in all {
                    let slot = first[(over >> upper) as usize];
                    if slot != 0 {
                        let bucket = (over >> shift & mask) as usize;
                        last[usize::from(slot) - 1].counts[bucket] += 1;
                    }
                }
            }
            _ => all.for_each(|over| count_deep(before, last, shift, over)),
        }
    }
}

/// Follows one interval through all passes before, to the table that it counts in.
fn count_deep(before: &[(Vec<Table>, u32)], last: &mut [Table], shift: u32, over: u32) {
    let (mut table, mut above) = (0, u32::BITS);
    for (tables, bits) in before {
        let slot = tables[table].next[bucket_of(over, above, *bits)];
        if slot == 0 {
            return;
        }
        (table, above) = (usize::from(slot) - 1, *bits);
    }
    last[table].counts[bucket_of(over, above, shift)] += 1;
}

/// The bits of a number below `above` and from `shift` on.
fn bucket_of(over: u32, above: u32, shift: u32) -> usize {
    let below = over.checked_shr(above).map_or(0, |upper| upper << above);
    ((over - below) >> shift) as usize
}

/// The bucket of a rank, and how many are in those before.
fn nth(counts: &[u32], rank: u64) -> (usize, u64) {
    let mut before = 0;
    for (bucket, count) in counts.iter().enumerate() {
        if before + u64::from(*count) > rank {
            return (bucket, before);
        }
        before += u64::from(*count);
    }
    (counts.len() - 1, before.min(rank))
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
