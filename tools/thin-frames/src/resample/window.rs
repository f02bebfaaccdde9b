//! What is made of the samples of a window: their mean, their strength, or their extremes.

use libframe::schema::Dtype;

use super::kernel::Kernel;
use super::number::{Number, of_means};

/// The mean of each number over a window, or the root of the mean of its squares.
#[derive(Debug)]
pub(crate) struct Mean<T> {
    squares: bool,
    dtype: Dtype,
    row: Vec<T>,
    sums: Vec<f64>,
    count: u64,
}

impl<T: Number> Mean<T> {
    /// Of samples of so many numbers; of their squares if it is to be the root of that.
    pub(crate) fn new(squares: bool, dtype: Dtype, width: usize) -> Mean<T> {
        let (row, sums) = (vec![T::ZERO; width], vec![0.0; width]);
        Mean { squares, dtype, row, sums, count: 0 }
    }
}

impl<T: Number> Kernel for Mean<T> {
    fn begin(&mut self, _next: u64) {
        self.sums.fill(0.0);
        self.count = 0;
    }

    fn push(&mut self, _seq: u64, sample: &[u8], absent: &[u32]) {
        T::read_present(self.dtype, sample, absent, &mut self.row);
        let numbers = self.sums.iter_mut().zip(&self.row);
        match self.squares {
            false => numbers.for_each(|(sum, x)| *sum += x.to_f64()),
            true => numbers.for_each(|(sum, x)| *sum += x.to_f64() * x.to_f64()),
        }
        self.count += 1;
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> bool {
        let count = self.count as f64;
        let means = self.sums.iter().map(|sum| sum / count);
        let dtype = of_means(self.dtype);
        match self.squares {
            false => f64::write(means, dtype, out),
            true => f64::write(means.map(f64::sqrt), dtype, out),
        }
        let any = self.count > 0;
        self.begin(0);
        any
    }
}

/// The least and the greatest of each number over a window, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Extremes<T> {
    dtype: Dtype,
    row: Vec<T>,
    /// The one that came first, and the other.
    first: Vec<T>,
    second: Vec<T>,
    count: u64,
}

impl<T: Number> Extremes<T> {
    /// Of samples of so many numbers.
    pub(crate) fn new(dtype: Dtype, width: usize) -> Extremes<T> {
        let row = vec![T::ZERO; width];
        Extremes { dtype, first: row.clone(), second: row.clone(), row, count: 0 }
    }
}

impl<T: Number> Kernel for Extremes<T> {
    fn begin(&mut self, _next: u64) {
        self.count = 0;
    }

    fn push(&mut self, _seq: u64, sample: &[u8], absent: &[u32]) {
        T::read_present(self.dtype, sample, absent, &mut self.row);
        if self.count == 0 {
            self.first.copy_from_slice(&self.row);
            self.second.copy_from_slice(&self.row);
        }
        let extremes = self.first.iter_mut().zip(&mut self.second);
        for ((first, second), x) in extremes.zip(&self.row) {
            widen(first, second, *x);
        }
        self.count += 1;
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> bool {
        let both = self.first.iter().chain(&self.second);
        T::write(both.copied(), self.dtype, out);
        std::mem::take(&mut self.count) > 0
    }
}

/// Takes one more number. What is no number makes both such, and stays.
#[inline]
#[expect(clippy::eq_op, reason = "only what is no number differs from itself")]
fn widen<T: Number>(first: &mut T, second: &mut T, x: T) {
    if *first != *first {
        return;
    }
    if x != x {
        (*first, *second) = (x, x);
        return;
    }
    let rising = *first <= *second;
    let (low, high) = if rising { (*first, *second) } else { (*second, *first) };
    // The other extreme came before it, whichever of the two it is.
    if x < low {
        (*first, *second) = (high, x);
    } else if x > high {
        (*first, *second) = (low, x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(kernel: &mut impl Kernel, values: &[f32]) -> Vec<f32> {
        for (seq, value) in (0..).zip(values) {
            kernel.push(seq, &value.to_le_bytes(), &[]);
        }
        let mut out = Vec::new();
        assert!(kernel.finish(&mut out));
        out.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    #[test]
    fn extremes_come_in_their_order() {
        let mut kernel = Extremes::<f32>::new(Dtype::F32, 1);
        assert_eq!(made(&mut kernel, &[0., 5., -1., 3.]), [5., -1.]);
        assert_eq!(made(&mut kernel, &[0., -1., 5., 3.]), [-1., 5.]);
        assert_eq!(made(&mut kernel, &[3., 5., 5., 4.]), [3., 5.]);
        assert_eq!(made(&mut kernel, &[2., 2.]), [2., 2.]);
        assert_eq!(made(&mut kernel, &[7.]), [7., 7.]);
        let lost = made(&mut kernel, &[1., f32::NAN, 3.]);
        assert!(lost.iter().all(|x| x.is_nan()));
    }

    #[test]
    fn means_and_strengths_begin_anew_in_each_window() {
        let mut mean = Mean::<f32>::new(false, Dtype::F32, 1);
        assert_eq!(made(&mut mean, &[1., 2., 6.]), [3.]);
        assert_eq!(made(&mut mean, &[-4.]), [-4.]);
        let mut rms = Mean::<f32>::new(true, Dtype::F32, 1);
        assert_eq!(made(&mut rms, &[3., -4., 0., 0.]), [2.5]);
        assert!(made(&mut rms, &[3., f32::NAN]).iter().all(|x| x.is_nan()));
        assert_eq!(made(&mut rms, &[-2.]), [2.]);
    }
}
