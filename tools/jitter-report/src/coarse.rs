//! Intervals counted instead of kept: for streams longer than `--exact-limit`.

use crate::bursts::Bursts;
use crate::intervals::{Exact, Interval};
use crate::rfc3550::Rfc3550;

/// Buckets in an octave. Half a bucket's width is below 0.4 % of an interval.
const PARTS: usize = 128;
const BITS: u32 = PARTS.ilog2();
const BUCKETS: usize = (64 - BITS as usize + 1) * PARTS;

/// How far a percentile may be off, as a share of it.
pub(crate) const ERROR: f64 = 0.5 / PARTS as f64;

/// Counts in buckets, and what must go by while the order of the intervals is known.
#[derive(Debug)]
pub(crate) struct Coarse {
    /// Negative intervals by size, and the others.
    back: Vec<u64>,
    forward: Vec<u64>,
    usual: f64,
    bursts: Bursts,
    rfc3550: Rfc3550,
}

impl Coarse {
    /// Takes what was kept so far. Its pace is from now on the usual one.
    pub(crate) fn new(all: &Exact, usual: f64) -> Coarse {
        let mut coarse = Coarse {
            back: vec![0; BUCKETS],
            forward: vec![0; BUCKETS],
            usual,
            bursts: Bursts::new(usual),
            rfc3550: Rfc3550::default(),
        };
        all.for_each(|interval| coarse.push(interval));
        coarse
    }

    pub(crate) fn push(&mut self, interval: Interval) {
        let counts = if interval.ns < 0 { &mut self.back } else { &mut self.forward };
        counts[bucket(interval.ns.unsigned_abs())] += 1;
        self.bursts.take(interval);
        self.rfc3550.take_paced(interval, self.usual);
    }

    pub(crate) fn usual(&self) -> f64 {
        self.usual
    }

    pub(crate) fn bursts(&self) -> Bursts {
        let mut bursts = self.bursts.clone();
        bursts.finish();
        bursts
    }

    pub(crate) fn rfc3550(&self) -> Rfc3550 {
        self.rfc3550.clone()
    }

    /// Shows the middle of each bucket and its count, from small to large.
    pub(crate) fn for_each(&self, mut take: impl FnMut(i64, u64)) {
        let used = |counts: &[u64], at: usize| (counts[at] > 0).then_some(counts[at]);
        for at in (0..BUCKETS).rev() {
            if let Some(n) = used(&self.back, at) {
                take(-middle(at), n);
            }
        }
        for at in 0..BUCKETS {
            if let Some(n) = used(&self.forward, at) {
                take(middle(at), n);
            }
        }
    }

    /// The values of these ranks, to within [`ERROR`].
    pub(crate) fn order_statistics(&self, ranks: &[u64]) -> Vec<i64> {
        let mut values = Vec::with_capacity(ranks.len());
        let mut seen = 0;
        self.for_each(|ns, n| {
            seen += n;
            while ranks.get(values.len()).is_some_and(|rank| *rank < seen) {
                values.push(ns);
            }
        });
        values
    }
}

fn bucket(ns: u64) -> usize {
    if ns < PARTS as u64 {
        return ns as usize;
    }
    let octave = ns.ilog2();
    let part = (ns >> (octave - BITS)) as usize & (PARTS - 1);
    (octave - BITS + 1) as usize * PARTS + part
}

fn middle(bucket: usize) -> i64 {
    if bucket < PARTS {
        return bucket as i64;
    }
    let shift = bucket / PARTS - 1;
    let edge = ((PARTS + bucket % PARTS) as u64) << shift;
    let half = (1u64 << shift) >> 1;
    i64::try_from(edge + half).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_bucket_is_near_all_in_it() {
        for bit in 0..63 {
            for ns in [1u64 << bit, (1 << bit) + (1 << bit) / 3, (2u64 << bit) - 1] {
                let near = middle(bucket(ns)) as f64;
                assert!((near - ns as f64).abs() <= ERROR * ns as f64, "{ns} {near}");
            }
        }
        assert!(bucket(1 << 63) < BUCKETS);
    }
}
