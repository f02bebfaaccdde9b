//! CRC-32C, fast for the lengths that records have.
//!
//! A stage sums each header twice and each payload once, so this is a third of what a
//! small record costs. For short runs the CPU's own instruction, a word at a time, beats
//! crates that are made for long ones; those go to `crc-fast`.

/// From this length the start-up of the wide instructions pays.
const LONG: usize = 1024;

/// The CRC-32C of some bytes.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c_append(0, bytes)
}

/// The CRC-32C of bytes that follow others, whose CRC is `crc`.
#[inline]
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    if bytes.len() < LONG { short(crc, bytes) } else { long(crc, bytes) }
}

/// The CRC of a header: its first 44 bytes, as they lie in words.
#[inline]
pub(crate) fn of_header(words: &[u64; 6]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("sse4.2") {
        #[allow(unsafe_code, reason = "the instruction is only safe where it exists")]
        // SAFETY: the CPU was just asked for the feature.
        return unsafe { sse::of_header(words) };
    }
    let mut bytes = [0; 48];
    for (to, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *to = word.to_le_bytes();
    }
    long(0, &bytes[..44])
}

#[inline]
fn short(crc: u32, bytes: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("sse4.2") {
        #[allow(unsafe_code, reason = "the instruction is only safe where it exists")]
        // SAFETY: the CPU was just asked for the feature.
        return unsafe { sse::append(crc, bytes) };
    }
    long(crc, bytes)
}

fn long(crc: u32, bytes: &[u8]) -> u32 {
    use crc_fast::{CrcAlgorithm::Crc32Iscsi, Digest};
    let mut digest = Digest::new_with_init_state(Crc32Iscsi, u64::from(!crc));
    digest.update(bytes);
    digest.finalize() as u32
}

#[cfg(target_arch = "x86_64")]
mod sse {
    use std::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u32, _mm_crc32_u64};

    #[target_feature(enable = "sse4.2")]
    #[inline]
    pub(super) fn append(crc: u32, bytes: &[u8]) -> u32 {
        let (words, rest) = bytes.as_chunks();
        let sum = words.iter().fold(u64::from(!crc), |sum, word| {
            _mm_crc32_u64(sum, u64::from_le_bytes(*word))
        });
        let rest = rest.iter().fold(sum as u32, |sum, byte| _mm_crc32_u8(sum, *byte));
        !rest
    }

    #[target_feature(enable = "sse4.2")]
    #[inline]
    pub(super) fn of_header(words: &[u64; 6]) -> u32 {
        let [a, b, c, d, e, f] = *words;
        let sum = [a, b, c, d, e]
            .into_iter()
            .fold(u64::from(!0u32), |s, w| _mm_crc32_u64(s, w));
        !_mm_crc32_u32(sum as u32, f as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, a bit at a time.
    fn by_definition(bytes: &[u8]) -> u32 {
        let step = |crc: u32| (crc >> 1) ^ (0x82F6_3B78 & 0u32.wrapping_sub(crc & 1));
        let sum = bytes.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc))
        });
        !sum
    }

    #[test]
    fn the_check_value_is_the_published_one() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn every_length_and_every_cut_agree_with_the_definition() {
        let bytes: Vec<u8> = (0..3000u32).map(|i| ((i * i) >> 3) as u8).collect();
        for len in (0..64).chain([271, 272, 273, LONG - 1, LONG, LONG + 1, 3000]) {
            let whole = by_definition(&bytes[..len]);
            assert_eq!(crc32c(&bytes[..len]), whole, "{len}");
            assert_eq!(long(0, &bytes[..len]), whole, "{len}");
            for cut in [0, 1, len / 2, len] {
                let (a, b) = bytes[..len].split_at(cut.min(len));
                assert_eq!(crc32c_append(crc32c(a), b), whole, "{len} at {cut}");
            }
        }
    }

    #[test]
    fn a_headers_words_sum_up_like_its_bytes() {
        let words = [1, u64::MAX, 3 << 40, 0x0123_4567_89AB_CDEF, 5, (6 << 32) | 7];
        let bytes: Vec<u8> =
            words.iter().flat_map(|word: &u64| word.to_le_bytes()).collect();
        assert_eq!(of_header(&words), by_definition(&bytes[..44]));
    }
}
