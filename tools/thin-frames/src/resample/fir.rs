//! The filter at work: each output is a sum over many samples, and many are being summed up
//! at once.
//!
//! Sums grow as samples come, instead of being taken over samples that are kept: then memory
//! depends on how many outputs overlap, about fifty at the default, and not on how long the
//! filter is. Samples are added a few at a time, so that a sum is fetched once for all of
//! them, and so that single precision is enough for these few; sums are double. Which are
//! added together depends on their numbers alone, and not on how they were cut into records or
//! when somebody joined, so the result is the same to the last bit.

use std::ops::{Add, Mul, Range};

use libframe::schema::Dtype;

use super::grid::Grid;
use super::kaiser::{Shape, Taps, Weight};
use super::kernel::Kernel;
use super::number::{Number, of_means};
use super::ratio::Ratio;

/// Samples that are added at a time, at most: so many rows of a few hundred numbers, and a
/// sum, lie in the nearest cache.
const ROWS: usize = 16;
/// An output that lacks samples is one if it has nearly half of the weight: all of one side.
const LEAST_WEIGHT: f64 = 0.45;

/// A type that can be filtered in.
pub(crate) trait Real:
    Number + Weight + Add<Output = Self> + Mul<Output = Self>
{
}

impl Real for f32 {}
impl Real for f64 {}

/// The sums of the outputs that are not done.
#[derive(Debug)]
pub(crate) struct Fir<T> {
    taps: Taps<T>,
    grid: Grid,
    l: u64,
    m: u64,
    dtype: Dtype,
    width: usize,
    /// By output number modulo their count.
    sums: Vec<f64>,
    slots: Vec<Slot>,
    /// The outputs that are being summed up, and where the first that is not begins.
    next: u64,
    opened: u64,
    begin: i128,
    /// Samples that are not added yet, and the number of the first.
    rows: Vec<T>,
    part: Vec<T>,
    held: usize,
    first: u64,
    /// Between these samples no output is done; after them, this one may be.
    span: Range<i128>,
    ends: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    begin: i128,
    phase: usize,
    /// How many samples were added, and what they weigh.
    added: usize,
    weight: f64,
}

/// Bytes that a filter would take.
pub(crate) fn memory(shape: Shape, ratio: Ratio, dtype: Dtype, width: usize) -> usize {
    let reach = shape.reach(ratio);
    let overlap = Grid::around(ratio, reach).overlap();
    let taps = usize::try_from(reach.saturating_mul(2)).unwrap_or(usize::MAX);
    let phases = usize::try_from(ratio.l()).unwrap_or(usize::MAX);
    let numbers = width.saturating_mul(ROWS + 1).saturating_add(taps);
    let doubles = width.saturating_mul(overlap).saturating_add(phases);
    let size = of_means(dtype).size();
    numbers.saturating_mul(size).saturating_add(doubles.saturating_mul(8))
}

impl<T: Real> Fir<T> {
    /// A filter for samples of so many numbers.
    pub(crate) fn new(shape: Shape, ratio: Ratio, dtype: Dtype, width: usize) -> Fir<T> {
        let grid = Grid::around(ratio, shape.reach(ratio));
        let slots = grid.overlap();
        Fir {
            taps: Taps::new(shape, ratio),
            grid,
            l: ratio.l(),
            m: ratio.m(),
            dtype,
            width,
            sums: vec![0.0; slots * width],
            slots: vec![Slot::default(); slots],
            next: 0,
            opened: 0,
            begin: 0,
            rows: vec![T::ZERO; ROWS * width],
            part: vec![T::ZERO; width],
            held: 0,
            first: 0,
            span: 0..0,
            ends: 0,
        }
    }

    /// Adds the samples that are held to all outputs that need them.
    fn add(&mut self) {
        let held = std::mem::take(&mut self.held);
        let (first, end) =
            (i128::from(self.first), i128::from(self.first) + held as i128);
        while self.begin < end {
            self.open();
        }
        for k in self.next..self.opened {
            let at = self.slot(k);
            let slot = &mut self.slots[at];
            let weights = self.taps.of_phase(slot.phase);
            let from = slot.begin.max(first);
            let until = (slot.begin + weights.len() as i128).min(end);
            if from >= until {
                continue;
            }
            let skipped = (from - slot.begin) as usize;
            let weights = &weights[skipped..skipped + (until - from) as usize];
            let rows = &self.rows[(from - first) as usize * self.width..];
            slot.added += weights.len();
            slot.weight += weights.iter().map(|weight| weight.to_f64()).sum::<f64>();
            let sums = &mut self.sums[at * self.width..][..self.width];
            add_rows(sums, &mut self.part, rows, weights);
        }
    }

    /// Begins to sum up one more output.
    fn open(&mut self) {
        let (k, at) = (self.opened, self.slot(self.opened));
        let phase = (u128::from(k) * u128::from(self.m) % u128::from(self.l)) as usize;
        self.slots[at] = Slot { begin: self.begin, phase, added: 0, weight: 0.0 };
        self.sums[at * self.width..][..self.width].fill(0.0);
        self.opened = k + 1;
        self.begin = self.grid.begin(k + 1);
    }

    fn slot(&self, k: u64) -> usize {
        (k % self.slots.len() as u64) as usize
    }
}

impl<T: Real> Kernel for Fir<T> {
    fn begin(&mut self, next: u64) {
        (self.next, self.opened, self.held) = (next, next, 0);
        self.begin = self.grid.begin(next);
    }

    fn push(&mut self, seq: u64, sample: &[u8], absent: &[u32]) {
        let here = i128::from(seq);
        if self.held > 0 && seq != self.first + self.held as u64 {
            self.add();
        }
        if self.held == 0 {
            self.first = seq;
        }
        if !self.span.contains(&here) {
            let next = here == self.span.end;
            self.ends = if next { self.ends + 1 } else { self.grid.first_past(seq) };
            let begin = self.ends.checked_sub(1).map_or(0, |k| self.grid.end(k));
            self.span = begin..self.grid.end(self.ends);
        }
        let row = &mut self.rows[self.held * self.width..][..self.width];
        T::read_present(self.dtype, sample, absent, row);
        self.held += 1;
        let end = here + 1;
        if end == self.span.end || (end - self.span.start) % ROWS as i128 == 0 {
            self.add();
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> bool {
        self.add();
        if self.next == self.opened {
            self.open();
        }
        let at = self.slot(self.next);
        self.next += 1;
        let Slot { phase, added, weight, .. } = self.slots[at];
        let sums = self.sums[at * self.width..][..self.width].iter().copied();
        let dtype = of_means(self.dtype);
        if added == self.taps.of_phase(phase).len() {
            f64::write(sums, dtype, out);
            return true;
        }
        if weight < LEAST_WEIGHT {
            return false;
        }
        f64::write(sums.map(|sum| sum / weight), dtype, out);
        true
    }
}

/// Adds weighted rows to sums; `part` is room for what is summed up of these alone. With the
/// types apart, the compiler takes several numbers at once in each loop.
fn add_rows<T: Real>(sums: &mut [f64], part: &mut [T], mut rows: &[T], weights: &[T]) {
    part.fill(T::ZERO);
    let (eights, rest) = weights.as_chunks::<8>();
    for weights in eights {
        rows = add_some(part, rows, weights);
    }
    let (pairs, rest) = rest.as_chunks::<2>();
    for weights in pairs {
        rows = add_some(part, rows, weights);
    }
    for weight in rest {
        rows = add_some(part, rows, std::array::from_ref(weight));
    }
    for (sum, part) in sums.iter_mut().zip(part) {
        *sum += part.to_f64();
    }
}

/// The innermost loop, over the numbers of a sample, which lie side by side; returns the rows
/// that are left.
#[inline]
fn add_some<'a, const N: usize, T: Real>(
    sums: &mut [T],
    rows: &'a [T],
    weights: &[T; N],
) -> &'a [T] {
    let width = sums.len();
    let (some, rest) = rows.split_at(N * width);
    let some: [&[T]; N] = std::array::from_fn(|n| &some[n * width..][..width]);
    for (at, sum) in sums.iter_mut().enumerate() {
        let mut total = *sum;
        for n in 0..N {
            total = total + weights[n] * some[n][at];
        }
        *sum = total;
    }
    rest
}
