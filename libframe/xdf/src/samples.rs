//! The samples in a chunk, read in place.
//!
//! ```text
//! | count | per sample: 0, or 8 and its time as float64 | its values |
//! ```
//!
//! Where the length says that all samples have a time, or none has, it says where each one
//! stands, too: any of them is found without a look at those before it.

use crate::chunk::number;

/// How the values of a stream's samples lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Numbers, so many bytes in a sample.
    Numbers {
        /// Bytes of a sample without its time.
        size: usize,
    },
    /// So many strings in a sample, each with its length before it.
    Strings {
        /// Strings in a sample.
        channels: usize,
    },
}

/// Why the samples of a chunk cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its {count} samples do not fit its {len} bytes")]
pub struct Misfit {
    /// How many samples it claims.
    pub count: u64,
    /// Bytes of its content.
    pub len: usize,
}

/// The samples of a chunk.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    layout: Layout,
    stamps: Stamps,
    count: u64,
    bytes: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamps {
    All,
    None,
    /// Who has one must be looked up.
    Some,
}

/// A sample out of a chunk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Its time in seconds of its stream's clock, if it has one of its own.
    pub time: Option<f64>,
    /// Its values: numbers back to back, or strings for [`strings`].
    pub values: &'a [u8],
}

impl<'a> Samples<'a> {
    /// Reads the content of a samples chunk. All samples are there then, and nothing else.
    pub fn parse(content: &'a [u8], layout: Layout) -> Result<Samples<'a>, Misfit> {
        let misfit = |count| Misfit { count, len: content.len() };
        let Ok(Some((count, width))) = number(content) else { return Err(misfit(0)) };
        let bytes = &content[width..];
        // A sample takes a byte at least, so more than this is no count.
        if count > bytes.len() as u64 {
            return Err(misfit(count));
        }
        let stamps = match layout {
            Layout::Numbers { size } if are_alike(bytes, count, size, 8) => Stamps::All,
            Layout::Numbers { size } if are_alike(bytes, count, size, 0) => Stamps::None,
            _ => Stamps::Some,
        };
        let samples = Samples { layout, stamps, count, bytes };
        if stamps == Stamps::Some && !samples.are_whole() {
            return Err(misfit(count));
        }
        Ok(samples)
    }

    fn are_whole(&self) -> bool {
        let mut rest = self.bytes;
        (0..self.count).all(|_| take(&mut rest, self.layout).is_some()) && rest.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The samples in order.
    #[inline]
    pub fn iter(&self) -> Iter<'a> {
        Iter { layout: self.layout, stamps: self.stamps, rest: self.bytes }
    }

    /// The last sample; without a look at the others where the length tells its place.
    pub fn last(&self) -> Option<Sample<'a>> {
        let each = match (self.layout, self.stamps) {
            (Layout::Numbers { size }, Stamps::All) => size + 9,
            (Layout::Numbers { size }, Stamps::None) => size + 1,
            _ => return self.iter().last(),
        };
        let rest = &self.bytes[self.bytes.len().checked_sub(each)?..];
        Iter { layout: self.layout, stamps: self.stamps, rest }.next()
    }

    /// Whether each sample has a time of its own.
    pub fn are_stamped(&self) -> bool {
        match self.stamps {
            Stamps::All => true,
            Stamps::None => self.count == 0,
            Stamps::Some => self.iter().all(|sample| sample.time.is_some()),
        }
    }
}

/// Whether so many samples fill the bytes if each has so many bytes of time. All must say so,
/// too: the format has no checksum, and this is how damage shows.
fn are_alike(bytes: &[u8], count: u64, size: usize, time: u8) -> bool {
    let each = size.saturating_add(1 + usize::from(time));
    count.checked_mul(each as u64) == Some(bytes.len() as u64)
        && bytes.iter().step_by(each).all(|flag| *flag == time)
}

/// Samples in order.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    layout: Layout,
    stamps: Stamps,
    rest: &'a [u8],
}

impl<'a> Iterator for Iter<'a> {
    type Item = Sample<'a>;

    #[inline]
    fn next(&mut self) -> Option<Sample<'a>> {
        let Layout::Numbers { size } = self.layout else {
            return take(&mut self.rest, self.layout);
        };
        let front = match self.stamps {
            Stamps::All => 9,
            Stamps::None => 1,
            Stamps::Some => return take(&mut self.rest, self.layout),
        };
        let (sample, rest) = self.rest.split_at_checked(front + size)?;
        self.rest = rest;
        let (front, values) = sample.split_at(front);
        let time = front.get(1..).and_then(<[u8]>::first_chunk);
        Some(Sample { time: time.map(|time| f64::from_le_bytes(*time)), values })
    }
}

/// Takes a sample, looking at whether it has a time.
fn take<'a>(from: &mut &'a [u8], layout: Layout) -> Option<Sample<'a>> {
    let (flag, rest) = from.split_first()?;
    let (time, rest) = match flag {
        0 => (None, rest),
        8 => {
            let (time, rest) = rest.split_first_chunk()?;
            (Some(f64::from_le_bytes(*time)), rest)
        }
        _ => return None,
    };
    let len = match layout {
        Layout::Numbers { size } => size,
        Layout::Strings { channels } => len_of_strings(rest, channels)?,
    };
    let (values, rest) = rest.split_at_checked(len)?;
    *from = rest;
    Some(Sample { time, values })
}

fn len_of_strings(bytes: &[u8], channels: usize) -> Option<usize> {
    let mut rest = bytes;
    for _ in 0..channels {
        take_string(&mut rest)?;
    }
    Some(bytes.len() - rest.len())
}

fn take_string<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, width) = number(from).ok()??;
    let (string, rest) = from[width..].split_at_checked(usize::try_from(len).ok()?)?;
    *from = rest;
    Some(string)
}

/// The strings of a sample; mostly UTF-8, but nobody promised.
pub fn strings(values: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = values;
    std::iter::from_fn(move || take_string(&mut rest))
}

/// Times for samples that have none of their own.
#[derive(Clone, Copy, Debug)]
pub struct Stamper {
    interval: f64,
    last: f64,
}

impl Stamper {
    /// For a stream of this nominal rate; 0 is an irregular one.
    pub fn new(rate: f64) -> Stamper {
        let regular = rate.is_finite() && rate > 0.0;
        Stamper { interval: if regular { 1.0 / rate } else { 0.0 }, last: 0.0 }
    }

    /// The time of the next sample.
    #[inline]
    pub fn time(&mut self, sample: Option<f64>) -> f64 {
        self.last = sample.unwrap_or(self.last + self.interval);
        self.last
    }

    /// The time of the last sample.
    pub fn last(&self) -> f64 {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: Layout = Layout::Numbers { size: 2 };

    fn content(samples: &[(Option<f64>, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![1, samples.len() as u8];
        for (time, values) in samples {
            bytes.push(if time.is_some() { 8 } else { 0 });
            bytes.extend(time.iter().flat_map(|time| time.to_le_bytes()));
            bytes.extend_from_slice(values);
        }
        bytes
    }

    #[test]
    fn samples_with_and_without_times() {
        let (a, b): (&[u8], &[u8]) = (&[1, 2], &[3, 4]);
        for times in [[Some(1.0), Some(2.0)], [Some(1.0), None], [None, None]] {
            let bytes = content(&[(times[0], a), (times[1], b)]);
            let samples = Samples::parse(&bytes, TWO).unwrap();
            let found: Vec<_> = samples.iter().map(|s| (s.time, s.values)).collect();
            assert_eq!(found, [(times[0], a), (times[1], b)]);
            assert_eq!(samples.last().map(|s| (s.time, s.values)), Some((times[1], b)));
            assert_eq!(samples.are_stamped(), times[1].is_some());
            for cut in 0..bytes.len() {
                let cut = Samples::parse(&bytes[..cut], TWO);
                assert!(cut.is_err(), "{cut:?}");
            }
        }
    }

    #[test]
    fn strings_have_their_lengths_before_them() {
        let layout = Layout::Strings { channels: 2 };
        let bytes = content(&[
            (Some(1.0), &[1, 2, b'h', b'i', 4, 1, 0, 0, 0, b'!']),
            (None, &[1, 0, 1, 0]),
        ]);
        let samples = Samples::parse(&bytes, layout).unwrap();
        let words: Vec<Vec<_>> =
            samples.iter().map(|sample| strings(sample.values).collect()).collect();
        assert_eq!(words, [[&b"hi"[..], b"!"], [b"", b""]]);
        assert!(Samples::parse(&bytes[..bytes.len() - 1], layout).is_err());
        assert!(Samples::parse(&bytes, Layout::Strings { channels: 1 }).is_err());
    }

    #[test]
    fn absurd_counts_are_refused() {
        let bytes = [8, 255, 255, 255, 255, 255, 255, 255, 255, 0, 1, 2];
        assert!(Samples::parse(&bytes, TWO).is_err());
        assert!(Samples::parse(&bytes, Layout::Numbers { size: usize::MAX }).is_err());
        let none = Samples::parse(&[1, 0], TWO).unwrap();
        assert!(none.is_empty() && none.last().is_none() && none.are_stamped());
        // Strings of a stream without channels would be nothing, over and over.
        assert!(Samples::parse(&bytes, Layout::Strings { channels: 0 }).is_err());
    }

    #[test]
    fn a_sample_without_a_time_is_one_interval_after_the_last() {
        let mut stamper = Stamper::new(100.0);
        assert_eq!(stamper.time(Some(5.0)), 5.0);
        assert_eq!(stamper.time(None), 5.01);
        let mut irregular = Stamper::new(0.0);
        irregular.time(Some(5.0));
        assert_eq!(irregular.time(None), 5.0);
    }
}
