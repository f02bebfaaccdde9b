//! How many samples come out of how many.

use std::fmt;

/// Longer cycles than this are no ratio that anybody meant.
const MAX_CYCLE: f64 = 1e9;
/// Rates are the same if they differ by less: a sample in ten years at 30 kHz.
const TOLERANCE: f64 = 1e-13;

/// L samples out of M.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ratio {
    l: u64,
    m: u64,
}

impl Ratio {
    /// One of so many.
    pub(crate) fn every(m: u64) -> Ratio {
        Ratio { l: 1, m }
    }

    /// `l` of `m`, in the smallest numbers that say so.
    pub(crate) fn new(l: u64, m: u64) -> Ratio {
        let (mut a, mut b) = (l, m);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Ratio { l: l / a.max(1), m: m / a.max(1) }
    }

    /// What makes the one rate of the other, in the smallest numbers that do; `None` if none
    /// do. By continued fractions.
    pub(crate) fn of(from: f64, to: f64) -> Option<Ratio> {
        let wanted = from / to;
        let (mut rest, mut last, mut this) = (wanted, (0.0, 1.0), (1.0, 0.0));
        while this.0 <= MAX_CYCLE {
            let whole = rest.floor();
            (last, this) = (this, (whole * this.0 + last.0, whole * this.1 + last.1));
            let (m, l) = this;
            if (m / l - wanted).abs() <= wanted * TOLERANCE {
                return (m <= MAX_CYCLE).then_some(Ratio { l: l as u64, m: m as u64 });
            }
            rest = 1.0 / (rest - whole);
        }
        None
    }

    /// Both, for reckoning.
    pub(crate) fn parts(self) -> (i128, i128) {
        (i128::from(self.l), i128::from(self.m))
    }

    /// How many samples come out in a cycle.
    pub(crate) fn l(self) -> u64 {
        self.l
    }

    /// How many go in.
    pub(crate) fn m(self) -> u64 {
        self.m
    }

    /// What it makes of a rate.
    pub(crate) fn rate(self, from: f64) -> f64 {
        // In this order, so that 30000 by 30 is 1000 to the last bit.
        from * self.l as f64 / self.m as f64
    }

    /// The same in pairs: two samples of twice as many.
    pub(crate) fn in_pairs(self) -> Ratio {
        Ratio::new(self.l, 2 * self.m)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.l {
            1 => write!(f, "{}", self.m),
            l => write!(f, "{}/{l}", self.m),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_the_simplest() {
        let of = |from, to| Ratio::of(from, to).map(|ratio| (ratio.l, ratio.m));
        assert_eq!(of(30_000.0, 1000.0), Some((1, 30)));
        assert_eq!(of(30_000.0, 22_050.0), Some((147, 200)));
        assert_eq!(of(44_100.0, 8000.0), Some((80, 441)));
        assert_eq!(of(217.0, 30.0), Some((30, 217)));
        assert_eq!(of(29_999.7, 1000.0), Some((10_000, 299_997)));
        let odd = 1000.0 * std::f64::consts::SQRT_2;
        let made = Ratio::of(30_000.0, odd).unwrap().rate(30_000.0);
        assert!((made / odd - 1.0).abs() < 1e-12);
        assert_eq!(of(f64::INFINITY, 1.0).or(of(f64::NAN, 1.0)), None);
        assert_eq!(Ratio::new(20, 30), Ratio::new(2, 3));
        assert_eq!(Ratio::every(30).rate(30_000.0), 1000.0);
        assert_eq!(Ratio::new(147, 200).to_string(), "200/147");
    }
}
