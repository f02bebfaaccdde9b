//! Numbers as they lie in samples, and as they are reckoned with.

use libframe::schema::Dtype;

/// A type to reckon with.
pub(crate) trait Number: Copy + PartialOrd + std::fmt::Debug + 'static {
    /// Where sums and extremes begin.
    const ZERO: Self;

    /// What stands for a number that is missing.
    const ABSENT: Self;

    /// Reads the numbers of a sample, of which some are missing.
    fn read_present(dtype: Dtype, bytes: &[u8], absent: &[u32], out: &mut [Self]) {
        Self::read(dtype, bytes, out);
        for place in absent {
            if let Some(number) = out.get_mut(*place as usize) {
                *number = Self::ABSENT;
            }
        }
    }

    /// Reads the numbers of a sample.
    fn read(dtype: Dtype, bytes: &[u8], out: &mut [Self]);

    /// Appends numbers as they lie in a sample.
    fn write(values: impl Iterator<Item = Self>, dtype: Dtype, out: &mut Vec<u8>);

    /// For means, which are reckoned in this.
    fn to_f64(self) -> f64;
}

macro_rules! number {
    ($($type:ty = $absent:expr),*) => { $(
        impl Number for $type {
            const ZERO: $type = 0 as $type;
            const ABSENT: $type = $absent;

            fn read(dtype: Dtype, bytes: &[u8], out: &mut [$type]) {
                match dtype {
                    Dtype::U8 => read(bytes, out, |b| u8::from_le_bytes(b) as $type),
                    Dtype::I8 => read(bytes, out, |b| i8::from_le_bytes(b) as $type),
                    Dtype::U16 => read(bytes, out, |b| u16::from_le_bytes(b) as $type),
                    Dtype::I16 => read(bytes, out, |b| i16::from_le_bytes(b) as $type),
                    Dtype::U32 => read(bytes, out, |b| u32::from_le_bytes(b) as $type),
                    Dtype::I32 => read(bytes, out, |b| i32::from_le_bytes(b) as $type),
                    Dtype::U64 => read(bytes, out, |b| u64::from_le_bytes(b) as $type),
                    Dtype::I64 => read(bytes, out, |b| i64::from_le_bytes(b) as $type),
                    Dtype::F32 => read(bytes, out, |b| f32::from_le_bytes(b) as $type),
                    Dtype::F64 => read(bytes, out, |b| f64::from_le_bytes(b) as $type),
                }
            }

            fn write(
                values: impl Iterator<Item = $type>,
                dtype: Dtype,
                out: &mut Vec<u8>,
            ) {
                match dtype {
                    Dtype::U8 => write(values, out, |x| (x as u8).to_le_bytes()),
                    Dtype::I8 => write(values, out, |x| (x as i8).to_le_bytes()),
                    Dtype::U16 => write(values, out, |x| (x as u16).to_le_bytes()),
                    Dtype::I16 => write(values, out, |x| (x as i16).to_le_bytes()),
                    Dtype::U32 => write(values, out, |x| (x as u32).to_le_bytes()),
                    Dtype::I32 => write(values, out, |x| (x as i32).to_le_bytes()),
                    Dtype::U64 => write(values, out, |x| (x as u64).to_le_bytes()),
                    Dtype::I64 => write(values, out, |x| (x as i64).to_le_bytes()),
                    Dtype::F32 => write(values, out, |x| (x as f32).to_le_bytes()),
                    Dtype::F64 => write(values, out, |x| (x as f64).to_le_bytes()),
                }
            }

            fn to_f64(self) -> f64 {
                self as f64
            }
        }
    )* };
}

number!(f32 = f32::NAN, f64 = f64::NAN, i64 = 0, u64 = 0);

fn read<const N: usize, T>(bytes: &[u8], out: &mut [T], number: impl Fn([u8; N]) -> T) {
    for (to, from) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *to = number(*from);
    }
}

fn write<const N: usize, T>(
    values: impl Iterator<Item = T>,
    out: &mut Vec<u8>,
    bytes: impl Fn(T) -> [u8; N],
) {
    values.for_each(|value| out.extend_from_slice(&bytes(value)));
}

/// The smallest type that holds means of such numbers as well as the numbers themselves.
pub(crate) fn of_means(dtype: Dtype) -> Dtype {
    match dtype {
        Dtype::U8 | Dtype::I8 | Dtype::U16 | Dtype::I16 | Dtype::F32 => Dtype::F32,
        // f32 has 24 bits for what these have 32 or more for.
        Dtype::U32 | Dtype::I32 | Dtype::U64 | Dtype::I64 | Dtype::F64 => Dtype::F64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_as_they_were() {
        let mut out = Vec::new();
        u64::write([u64::MAX, 3].into_iter(), Dtype::U64, &mut out);
        let mut back = [0u64; 2];
        u64::read(Dtype::U64, &out, &mut back);
        assert_eq!(back, [u64::MAX, 3]);
        let mut back = [0f32; 2];
        f32::read(Dtype::I16, &(-300i16).to_le_bytes().repeat(2), &mut back);
        assert_eq!(back, [-300.0; 2]);
        let mut out = Vec::new();
        f32::write(back.into_iter(), Dtype::I16, &mut out);
        assert_eq!(out, (-300i16).to_le_bytes().repeat(2));
    }
}
