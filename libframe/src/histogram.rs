//! Durations counted in buckets of one eighth of an octave, without allocation.

/// Buckets that cover every u64.
const BUCKETS: usize = 62 * 8;

/// Counts of durations, each known to 12.5 %.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: Box::new([0; BUCKETS]), total: 0 }
    }
}

impl Histogram {
    /// Counts a duration in ns.
    #[inline]
    pub fn add(&mut self, ns: u64) {
        self.counts[bucket(ns)] += 1;
        self.total += 1;
    }

    /// Adds counts in the form they have in STATS.
    pub fn add_pairs(&mut self, pairs: &[(u16, u64)]) {
        for &(bucket, count) in pairs {
            if let Some(slot) = self.counts.get_mut(usize::from(bucket)) {
                *slot = slot.saturating_add(count);
                self.total = self.total.saturating_add(count);
            }
        }
    }

    /// Takes all counts of another, which has none then.
    pub fn take(&mut self, other: &mut Histogram) {
        for (to, from) in self.counts.iter_mut().zip(other.counts.iter_mut()) {
            *to += std::mem::take(from);
        }
        self.total += std::mem::take(&mut other.total);
    }

    /// The counts in the form they have in STATS: `(bucket, count)`, empty ones left out.
    pub fn pairs(&self) -> Vec<(u16, u64)> {
        let used = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        used.map(|(bucket, count)| (bucket as u16, *count)).collect()
    }

    /// How many durations were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The duration that this share of all stays below: the upper edge of its bucket.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let rank = (share * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0u64;
        for (index, count) in self.counts.iter().enumerate() {
            seen = seen.saturating_add(*count);
            if *count > 0 && seen >= rank {
                return Some(lower_edge(index + 1) - 1);
            }
        }
        None
    }

    /// Forgets all counts.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
    }
}

#[inline]
fn bucket(ns: u64) -> usize {
    if ns < 8 {
        return ns as usize;
    }
    let octave = ns.ilog2() as usize;
    (octave - 2) * 8 + ((ns >> (octave - 3)) & 7) as usize
}

/// The smallest duration of a bucket.
pub fn lower_edge(bucket: usize) -> u64 {
    match bucket {
        0..8 => bucket as u64,
        BUCKETS.. => u64::MAX,
        _ => (8 + bucket as u64 % 8) << (bucket / 8 - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_within_the_edges_of_its_bucket() {
        let around =
            (0..64).flat_map(|bit| (0..9).map(move |n| (1u64 << bit).wrapping_add(n)));
        for ns in around.chain([u64::MAX]) {
            let index = bucket(ns);
            assert!(lower_edge(index) <= ns, "{ns}");
            assert!(ns < lower_edge(index + 1) || ns == u64::MAX, "{ns}");
        }
    }

    #[test]
    fn quantiles_are_upper_edges() {
        let mut histogram = Histogram::default();
        (1..=100).for_each(|us| histogram.add(us * 1000));
        let p50 = histogram.quantile(0.5).unwrap();
        assert!((50_000..57_000).contains(&p50), "{p50}");
        let mut copy = Histogram::default();
        copy.add_pairs(&histogram.pairs());
        assert_eq!(copy.quantile(0.99), histogram.quantile(0.99));
        assert_eq!(Histogram::default().quantile(0.5), None);
    }
}
