//! Undoes the filters that every HDF5 library has, on chunks as they lie in the file.
//!
//! HDF5's own pipeline does this under a global lock, with zlib and a shuffle that goes byte
//! by byte; this takes a fraction of the time, which is most of the time of a report.

use anyhow::{Result, anyhow, bail};
use libdeflater::Decompressor;

/// A filter that is undone here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// The first bytes of all numbers, then the second ones, and so on.
    Shuffle,
    /// zlib.
    Deflate,
}

/// Undoes filters; its buffers are used again.
pub(crate) struct Undo {
    filters: Vec<Filter>,
    inflater: Decompressor,
    between: Vec<u8>,
}

impl Undo {
    /// For chunks that went through these filters, in this order.
    pub(crate) fn new(filters: Vec<Filter>) -> Undo {
        Undo { filters, inflater: Decompressor::new(), between: Vec::new() }
    }

    /// Fills `out`, a chunk of numbers of `each` bytes, from what lies in the file. Each bit
    /// of `mask` is a filter that this chunk went around.
    pub(crate) fn undo(
        &mut self,
        packed: &mut Vec<u8>,
        mask: u32,
        each: usize,
        out: &mut [u8],
    ) -> Result<()> {
        for (place, filter) in self.filters.iter().enumerate().rev() {
            if mask & (1 << place) != 0 {
                continue;
            }
            self.between.resize(out.len(), 0);
            match filter {
                Filter::Deflate => {
                    let n = self
                        .inflater
                        .zlib_decompress(packed, &mut self.between)
                        .map_err(|err| anyhow!("a chunk cannot be inflated: {err}"))?;
                    self.between.truncate(n);
                }
                Filter::Shuffle => {
                    self.between.truncate(packed.len());
                    unshuffle(packed, each, &mut self.between);
                }
            }
            std::mem::swap(packed, &mut self.between);
        }
        if packed.len() != out.len() {
            bail!("a chunk has {} bytes instead of {}", packed.len(), out.len());
        }
        out.copy_from_slice(packed);
        Ok(())
    }
}

/// Puts the bytes of each number together again; a rest that fills none stays as it is.
fn unshuffle(from: &[u8], each: usize, to: &mut [u8]) {
    if each == 8 {
        return unshuffle_words(from, to);
    }
    let n = from.len() / each.max(1);
    for (place, bytes) in from.chunks_exact(n.max(1)).take(each).enumerate() {
        let slots = to.iter_mut().skip(place).step_by(each);
        for (slot, byte) in slots.zip(bytes) {
            *slot = *byte;
        }
    }
    to[n * each..].copy_from_slice(&from[n * each..]);
}

/// Times and sequence numbers are these; the loop becomes vector instructions.
fn unshuffle_words(from: &[u8], to: &mut [u8]) {
    let n = from.len() / 8;
    let plane = |place: usize| &from[place * n..(place + 1) * n];
    let [a, b, c, d, e, f, g, h] = std::array::from_fn(plane);
    let (words, rest) = to.as_chunks_mut::<8>();
    for (i, word) in words.iter_mut().enumerate().take(n) {
        *word = [a[i], b[i], c[i], d[i], e[i], f[i], g[i], h[i]];
    }
    rest.copy_from_slice(&from[n * 8..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What HDF5 does to a chunk before it writes it.
    fn shuffle(from: &[u8], each: usize) -> Vec<u8> {
        let n = from.len() / each;
        let planes =
            (0..each).flat_map(|place| (0..n).map(move |i| from[i * each + place]));
        planes.chain(from[n * each..].iter().copied()).collect()
    }

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut packer =
            libdeflater::Compressor::new(libdeflater::CompressionLvl::fastest());
        let mut out = vec![0; packer.zlib_compress_bound(bytes.len())];
        let n = packer.zlib_compress(bytes, &mut out).unwrap();
        out.truncate(n);
        out
    }

    #[test]
    fn numbers_of_every_size_come_back_as_they_were() {
        for each in [1, 2, 3, 4, 8, 16] {
            let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
            let filters = vec![Filter::Shuffle, Filter::Deflate];
            let mut packed = deflate(&shuffle(&bytes, each));
            let mut out = vec![0; 1000];
            Undo::new(filters).undo(&mut packed, 0, each, &mut out).unwrap();
            assert!(out == bytes, "{each}");
        }
    }

    #[test]
    fn a_filter_that_a_chunk_went_around_is_not_undone() {
        let bytes: Vec<u8> = (0..64).collect();
        let filters = vec![Filter::Shuffle, Filter::Deflate];
        let mut out = vec![0; 64];
        let mut undo = Undo::new(filters);
        undo.undo(&mut shuffle(&bytes, 8), 0b10, 8, &mut out).unwrap();
        assert_eq!(out, bytes);
        undo.undo(&mut deflate(&bytes), 0b01, 8, &mut out).unwrap();
        assert_eq!(out, bytes);
        undo.undo(&mut bytes.clone(), 0b11, 8, &mut out).unwrap();
        assert_eq!(out, bytes);
    }

    #[test]
    fn damaged_and_short_chunks_are_errors() {
        let mut undo = Undo::new(vec![Filter::Deflate]);
        let mut packed = deflate(&[7; 100]);
        packed[5] ^= 0x40;
        assert!(undo.undo(&mut packed, 0, 1, &mut [0; 100]).is_err());
        assert!(undo.undo(&mut deflate(&[7; 99]), 0, 1, &mut [0; 100]).is_err());
        assert!(undo.undo(&mut deflate(&[7; 101]), 0, 1, &mut [0; 100]).is_err());
    }
}
