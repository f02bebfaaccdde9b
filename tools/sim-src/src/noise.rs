//! Numbers that look random and depend only on what they are for.

/// A well-mixed number for a place: seed, stream, sample, use.
pub(crate) fn mix(seed: u64, stream: u64, sample: u64, what: u64) -> u64 {
    let place = seed ^ stream.rotate_left(48) ^ what.rotate_left(32);
    scramble(scramble(place).wrapping_add(sample))
}

/// The same, as a number from 0 to below 1.
pub(crate) fn share(seed: u64, stream: u64, sample: u64, what: u64) -> f64 {
    (mix(seed, stream, sample, what) >> 11) as f64 / (1u64 << 53) as f64
}

/// The finisher of SplitMix64: every bit of the input moves every bit of the output.
pub(crate) fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even() {
        let n = 100_000;
        let below = (0..n).filter(|i| share(1, 2, *i, 3) < 0.01).count();
        assert!((800..1200).contains(&below), "{below}");
    }

    #[test]
    fn places_differ() {
        assert_ne!(mix(1, 1, 1, 1), mix(1, 1, 1, 2));
        assert_ne!(mix(1, 1, 1, 1), mix(1, 2, 1, 1));
        assert_ne!(mix(1, 1, 1, 1), mix(2, 1, 1, 1));
    }
}
