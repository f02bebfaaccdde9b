//! Which input samples an output sample is made of, by number alone.
//!
//! Output sample k of a stream stands at k·M/L on the input's own numbering, from the very
//! first sample of the session on, and not from where somebody joined. So two runs of the
//! same samples agree, and nothing drifts however odd the ratio is. All of it is integers.

use libframe::payload::Gap;

use super::ratio::Ratio;

/// For each output the run of input samples that it needs: from `before` ahead of k·M/L until
/// `after` behind it, in Lths of an input sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    l: i128,
    m: i128,
    before: i128,
    after: i128,
}

impl Grid {
    /// Windows that lie side by side; where the ratio is odd, their lengths alternate.
    pub(crate) fn windows(ratio: Ratio) -> Grid {
        let (l, m) = ratio.parts();
        Grid { l, m, before: 0, after: m }
    }

    /// One input sample each, the first of its window.
    pub(crate) fn firsts(ratio: Ratio) -> Grid {
        let (l, m) = ratio.parts();
        Grid { l, m, before: 0, after: l }
    }

    /// The one or two input samples that k·M/L lies at or between.
    pub(crate) fn centres(ratio: Ratio) -> Grid {
        let (l, m) = ratio.parts();
        Grid { l, m, before: l - 1, after: l }
    }

    /// All within this reach of k·M/L, in Lths of an input sample.
    pub(crate) fn around(ratio: Ratio, reach: u64) -> Grid {
        let (l, m) = ratio.parts();
        let before = i128::from(reach);
        Grid { l, m, before, after: before + 1 }
    }

    /// The first that output `k` needs; below 0 if there is none such.
    pub(crate) fn begin(&self, k: u64) -> i128 {
        div_ceil(i128::from(k) * self.m - self.before, self.l)
    }

    /// The first behind `k`'s.
    pub(crate) fn end(&self, k: u64) -> i128 {
        div_ceil(i128::from(k) * self.m + self.after, self.l)
    }

    /// The first output that needs nothing before the input sample `seq`.
    pub(crate) fn first_from(&self, seq: u64) -> u64 {
        let before = (i128::from(seq) - 1) * self.l + self.before;
        to_number(before.div_euclid(self.m) + 1)
    }

    /// The first output that needs `seq` or something behind it.
    pub(crate) fn first_past(&self, seq: u64) -> u64 {
        let until = i128::from(seq) * self.l - self.after;
        to_number(until.div_euclid(self.m) + 1)
    }

    /// The outputs that need any of these input samples.
    pub(crate) fn touched(&self, first: u64, next: u64) -> std::ops::Range<u64> {
        let begin = self.first_past(first);
        begin..self.first_from(next).max(begin)
    }

    /// Whether an output needs this sample first.
    pub(crate) fn has_first(&self, seq: u64) -> bool {
        self.begin(self.first_from(seq)) == i128::from(seq)
    }

    /// Which outputs are missing, wholly or in part, where these samples are; `None` if that
    /// is none.
    pub(crate) fn gap(&self, gap: Gap) -> Option<Gap> {
        let missing = |count| {
            let outputs = self.touched(gap.first, gap.first.saturating_add(count));
            outputs.end - outputs.start
        };
        let first = self.first_past(gap.first);
        let (count, partial) = (gap.count.map(missing), gap.partial.map(missing));
        let nothing = count.or(partial) == Some(0);
        (!nothing).then_some(Gap { first, count, partial, ..gap })
    }

    /// The most outputs that need one input sample.
    pub(crate) fn overlap(&self) -> usize {
        usize::try_from((self.before + self.after) / self.m + 2).unwrap_or(usize::MAX)
    }

    /// How far output `k` stands behind the first input sample at or before it, and what
    /// `seq` weighs in its time, both in Lths of an input sample.
    pub(crate) fn nearness(&self, k: u64, seq: u64) -> i128 {
        self.l - (i128::from(k) * self.m - i128::from(seq) * self.l).abs()
    }
}

fn div_ceil(a: i128, b: i128) -> i128 {
    -(-a).div_euclid(b)
}

fn to_number(k: i128) -> u64 {
    u64::try_from(k.max(0)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_factors_make_windows_from_km_to_the_next() {
        let grid = Grid::windows(Ratio::every(30));
        assert_eq!((grid.begin(7), grid.end(7)), (210, 240));
        assert_eq!((grid.first_from(210), grid.first_from(211)), (7, 8));
        assert_eq!((grid.first_past(239), grid.first_past(240)), (7, 8));
        assert_eq!(grid.touched(239, 241), 7..9);
        assert_eq!(grid.touched(240, 240), 8..8);
    }

    #[test]
    fn odd_ratios_alternate_and_never_drift() {
        let grid = Grid::windows(Ratio::of(30_000.0, 22_050.0).unwrap());
        let lengths: Vec<_> = (0..147).map(|k| grid.end(k) - grid.begin(k)).collect();
        assert!(lengths.iter().all(|n| (1..=2).contains(n)));
        assert_eq!(lengths.iter().sum::<i128>(), 200);
        let late = 147 * 1_000_000_000_000;
        assert_eq!(grid.begin(late), 200 * 1_000_000_000_000);
    }

    proptest! {
        #[test]
        fn the_first_outputs_are_what_a_search_finds(
            l in 1u64..40, more in 0u64..200, reach in 0u64..500, seq in 0u64..500,
        ) {
            let ratio = Ratio::new(l, l + more);
            let grids = [
                Grid::windows(ratio),
                Grid::firsts(ratio),
                Grid::centres(ratio),
                Grid::around(ratio, reach),
            ];
            for grid in grids {
                let seq_there = i128::from(seq);
                let from = (0..).find(|k| grid.begin(*k) >= seq_there).unwrap();
                let past = (0..).find(|k| grid.end(*k) > seq_there).unwrap();
                prop_assert_eq!(grid.first_from(seq), from);
                prop_assert_eq!(grid.first_past(seq), past);
                let of_seq = (0..2000).filter(|k| {
                    (grid.begin(*k)..grid.end(*k)).contains(&seq_there)
                });
                prop_assert!(of_seq.count() <= grid.overlap());
            }
        }
    }
}
