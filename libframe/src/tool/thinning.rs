//! Every Nth sample, and what that makes of sequence numbers: as `pick-frames` and
//! `thin-frames` count them.

use crate::payload::Gap;

/// Keeps the samples whose number N divides, and numbers them anew.
#[derive(Clone, Copy, Debug)]
pub struct Thinning(pub u64);

impl Thinning {
    /// Whether the sample of this number is kept.
    pub fn keeps(self, seq: u64) -> bool {
        seq.is_multiple_of(self.0)
    }

    /// The new number of the sample `seq`, or of the first kept one after it.
    pub fn number(self, seq: u64) -> u64 {
        seq.div_ceil(self.0)
    }

    /// What is missing of the kept samples where these are; `None` if that is nothing. An
    /// unknown number stays unknown.
    pub fn gap(self, gap: Gap) -> Option<Gap> {
        let first = self.number(gap.first);
        let kept = |count| self.number(gap.first.saturating_add(count)) - first;
        let (count, partial) = (gap.count.map(kept), gap.partial.map(kept));
        let nothing = count.or(partial) == Some(0);
        (!nothing).then_some(Gap { first, count, partial, ..gap })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_samples_are_numbered_without_holes() {
        let thinning = Thinning(3);
        let kept: Vec<_> = (4..14).filter(|seq| thinning.keeps(*seq)).collect();
        assert_eq!(kept, [6, 9, 12]);
        assert_eq!(
            kept.iter().map(|seq| thinning.number(*seq)).collect::<Vec<_>>(),
            [2, 3, 4]
        );
    }

    #[test]
    fn partial_gaps_are_thinned_too() {
        let gap = |partial| Gap { first: 4, partial: Some(partial), ..Gap::default() };
        let thinned = Thinning(3).gap(gap(9)).map(|gap| (gap.first, gap.partial));
        assert_eq!(thinned, Some((2, Some(3))));
        assert_eq!(Thinning(3).gap(gap(2)), None);
    }

    #[test]
    fn a_gap_between_kept_samples_is_no_gap() {
        let thinning = Thinning(10);
        assert_eq!(thinning.number(11), thinning.number(20));
        assert_eq!(thinning.number(21) - thinning.number(5), 2);
    }
}
