//! Numbers that look random and depend only on what they are for, so that a run can be
//! had again.
//!
//! 'sim-src' has its own: these few lines are about neither records nor being a tool, and
//! two copies that may part ways cost less than a package between two simulators.

/// A number from 0 to below 1 for a place: a seed, a use, and which of that use.
pub(crate) fn share(seed: u64, what: u64, index: u64) -> f64 {
    let place = scramble(scramble(seed ^ what.rotate_left(32)).wrapping_add(index));
    (place >> 11) as f64 / (1u64 << 53) as f64
}

/// The finisher of MurmurHash3: every bit of the input moves every bit of the output.
fn scramble(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    bits ^ (bits >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_and_differ_by_place() {
        let rare = (0..100_000).filter(|n| share(1, 2, *n) < 0.01).count();
        assert!((800..1200).contains(&rare), "{rare}");
        assert_ne!(share(1, 1, 1), share(1, 1, 2));
        assert_ne!(share(1, 1, 1), share(1, 2, 1));
        assert_ne!(share(1, 1, 1), share(2, 1, 1));
    }
}
