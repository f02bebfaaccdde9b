//! The numbers of a message. This is where a sender spends its time, so each way of laying
//! them out is one loop that the compiler can turn into wide instructions.

use std::ops::Range;

/// How numbers are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Values {
    /// As float32.
    Float,
    /// As int16, each to be multiplied by the scale: this one, or what the largest needs.
    Short { scale: Option<f32> },
}

impl Values {
    pub(crate) fn size(self) -> usize {
        match self {
            Values::Float => 4,
            Values::Short { .. } => 2,
        }
    }
}

/// Which numbers come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    BySample,
    ByChannel,
}

/// Some channels of some samples.
#[derive(Clone, Debug)]
pub(crate) struct Block<'a> {
    /// All channels, float32, little-endian, sample by sample.
    pub(crate) numbers: &'a [[u8; 4]],
    pub(crate) samples: usize,
    /// How many channels there are.
    pub(crate) width: usize,
    /// Those that are wanted.
    pub(crate) channels: Range<usize>,
}

impl<'a> Block<'a> {
    /// The wanted channels of each sample; all at once where they lie side by side.
    fn rows(&self) -> impl Iterator<Item = &'a [[u8; 4]]> + use<'a> {
        let (numbers, width, channels) =
            (self.numbers, self.width, self.channels.clone());
        let whole = channels.len() == width;
        let samples = if whole { self.samples.min(1) } else { self.samples };
        let each = if whole { self.samples * width } else { width };
        let wanted = if whole { 0..each } else { channels };
        (0..samples).map(move |n| {
            let row = numbers.get(n * each..(n + 1) * each).unwrap_or_default();
            row.get(wanted.clone()).unwrap_or_default()
        })
    }

    fn len(&self) -> usize {
        self.samples * self.channels.len()
    }
}

/// Makes room for so many more numbers, and gives it.
fn room<const N: usize>(out: &mut Vec<u8>, numbers: usize) -> &mut [[u8; N]] {
    let begin = out.len();
    out.resize(begin + numbers * N, 0);
    out[begin..].as_chunks_mut().0
}

/// Big-endian floats, sample by sample.
pub(crate) fn put_by_sample(block: &Block<'_>, out: &mut Vec<u8>) {
    let mut to = room(out, block.len());
    for row in block.rows() {
        let (now, rest) = to.split_at_mut(row.len());
        for (to, from) in now.iter_mut().zip(row) {
            *to = swapped(*from);
        }
        to = rest;
    }
}

/// Big-endian floats, channel by channel.
pub(crate) fn put_by_channel(block: &Block<'_>, out: &mut Vec<u8>) {
    let (samples, width) = (block.samples, block.width);
    let to = room(out, block.len());
    if samples == 0 {
        return;
    }
    // In strips of channels that share a cache line, so that each line is fetched once.
    for (strip, channels) in
        to.chunks_mut(samples * STRIP).zip((block.channels.start..).step_by(STRIP))
    {
        for (channel, to) in (channels..).zip(strip.chunks_exact_mut(samples)) {
            let from = block.numbers.get(channel..).unwrap_or_default();
            for (to, from) in to.iter_mut().zip(from.iter().step_by(width)) {
                *to = swapped(*from);
            }
        }
    }
}

/// Channels in a cache line.
const STRIP: usize = 16;

/// Floats as they are, sample by sample.
pub(crate) fn put_plain(block: &Block<'_>, out: &mut Vec<u8>) {
    block.rows().for_each(|row| out.extend_from_slice(row.as_flattened()));
}

/// Little-endian int16, sample by sample. Returns how many were beyond what that holds.
pub(crate) fn put_short(block: &Block<'_>, scale: f32, out: &mut Vec<u8>) -> u64 {
    let per_unit = if scale > 0.0 { 1.0 / f64::from(scale) } else { 0.0 };
    let mut to = room::<2>(out, block.len());
    let mut clipped = 0;
    for row in block.rows() {
        let (now, rest) = to.split_at_mut(row.len());
        for (to, from) in now.iter_mut().zip(row) {
            let exact = f64::from(f32::from_le_bytes(*from)) * per_unit;
            // NaN is what no number becomes.
            let count = if exact.is_nan() {
                f64::from(i16::MIN)
            } else {
                exact.round_ties_even()
            };
            let held =
                if exact.is_nan() { count } else { count.clamp(-32767.0, 32767.0) };
            clipped += u64::from(held != count);
            *to = (held as i16).to_le_bytes();
        }
        to = rest;
    }
    clipped
}

/// The scale by which the largest number just fits into an int16.
pub(crate) fn scale_of(block: &Block<'_>) -> f32 {
    let mut largest = 0f32;
    for number in block.rows().flatten() {
        let number = f32::from_le_bytes(*number).abs();
        if number > largest && number.is_finite() {
            largest = number;
        }
    }
    let scale = largest / 32767.0;
    // Rounded down, the largest would not fit.
    if scale > 0.0 && largest / scale > 32767.0 { scale.next_up() } else { scale }
}

#[inline]
fn swapped(number: [u8; 4]) -> [u8; 4] {
    u32::from_le_bytes(number).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(numbers: &[[u8; 4]], samples: usize, channels: Range<usize>) -> Block<'_> {
        Block { numbers, samples, width: numbers.len() / samples.max(1), channels }
    }

    fn floats(numbers: &[f32]) -> Vec<[u8; 4]> {
        numbers.iter().map(|number| number.to_le_bytes()).collect()
    }

    fn big(bytes: &[u8]) -> Vec<f32> {
        bytes.as_chunks().0.iter().map(|number| f32::from_be_bytes(*number)).collect()
    }

    #[test]
    fn both_orders_hold_the_wanted_channels() {
        let numbers = floats(&[1., 2., 3., 4., 5., 6.]);
        let mut out = Vec::new();
        put_by_sample(&block(&numbers, 2, 1..3), &mut out);
        assert_eq!(big(&out), [2., 3., 5., 6.]);
        out.clear();
        put_by_channel(&block(&numbers, 2, 1..3), &mut out);
        assert_eq!(big(&out), [2., 5., 3., 6.]);
        out.clear();
        put_by_channel(&block(&numbers, 2, 0..3), &mut out);
        assert_eq!(big(&out), [1., 4., 2., 5., 3., 6.]);
        out.clear();
        put_plain(&block(&numbers, 2, 2..3), &mut out);
        assert_eq!(out, floats(&[3., 6.]).as_flattened());
    }

    #[test]
    fn shorts_keep_the_largest_and_tell_what_they_cannot_hold() {
        let numbers = floats(&[1000., -250., f32::NAN, 0.]);
        let all = block(&numbers, 1, 0..4);
        let scale = scale_of(&all);
        let mut out = Vec::new();
        assert_eq!(put_short(&all, scale, &mut out), 0);
        let counts: Vec<_> =
            out.as_chunks().0.iter().map(|n| i16::from_le_bytes(*n)).collect();
        assert_eq!((counts[0], counts[2], counts[3]), (32767, i16::MIN, 0));
        assert!((f32::from(counts[1]) * scale + 250.0).abs() <= scale / 2.0);
        out.clear();
        assert_eq!(put_short(&all, 0.01, &mut out), 1);
        assert_eq!(out[..2], 32767i16.to_le_bytes());
    }
}
