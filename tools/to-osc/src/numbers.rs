//! Numbers of any type as float32, and what becomes of those that are none.

use clap::ValueEnum;
use libframe::schema::Dtype;

/// What to send for NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Nan {
    /// NaN
    #[default]
    Pass,
    /// 0
    Zero,
    /// The channel's last number; 0 if it had none
    Hold,
    /// Nothing: not the sample, or in the layout 'individual' not the channel
    Skip,
}

/// Appends the numbers in `bytes` as float32, little-endian; those that float32 cannot hold
/// are rounded to the nearest that it can.
pub(crate) fn put_floats(dtype: Dtype, bytes: &[u8], out: &mut Vec<[u8; 4]>) {
    macro_rules! put {
        ($type:ty) => {
            out.extend(bytes.as_chunks().0.iter().map(|number| {
                #[allow(clippy::cast_lossless, reason = "one line for all types")]
                let number = <$type>::from_le_bytes(*number) as f32;
                number.to_le_bytes()
            }))
        };
    }
    match dtype {
        Dtype::U8 => put!(u8),
        Dtype::I8 => put!(i8),
        Dtype::U16 => put!(u16),
        Dtype::I16 => put!(i16),
        Dtype::U32 => put!(u32),
        Dtype::I32 => put!(i32),
        Dtype::U64 => put!(u64),
        Dtype::I64 => put!(i64),
        Dtype::F32 => out.extend_from_slice(bytes.as_chunks().0),
        Dtype::F64 => put!(f64),
    }
}

/// Whether a number is NaN, by its bits.
pub(crate) fn is_nan(number: &[u8; 4]) -> bool {
    f32::from_le_bytes(*number).is_nan()
}

/// Puts a number in place of each NaN of a sample: 0, or what `last` holds of the channel.
pub(crate) fn fill(sample: &mut [[u8; 4]], last: Option<&mut Vec<[u8; 4]>>) {
    let Some(last) = last else {
        sample.iter_mut().filter(|number| is_nan(number)).for_each(|n| *n = [0; 4]);
        return;
    };
    last.resize(sample.len(), [0; 4]);
    for (number, last) in sample.iter_mut().zip(last) {
        match is_nan(number) {
            true => *number = *last,
            false => *last = *number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
        let mut out = Vec::new();
        put_floats(dtype, bytes, &mut out);
        out.into_iter().map(f32::from_le_bytes).collect()
    }

    #[test]
    fn every_type_becomes_float() {
        assert_eq!(converted(Dtype::U8, &[0, 255]), [0., 255.]);
        assert_eq!(converted(Dtype::I8, &[255]), [-1.]);
        assert_eq!(converted(Dtype::U16, &[1, 2]), [513.]);
        assert_eq!(converted(Dtype::I16, &[254, 255]), [-2.]);
        assert_eq!(converted(Dtype::U32, &u32::MAX.to_le_bytes()), [4_294_967_296.]);
        assert_eq!(converted(Dtype::I32, &(-7i32).to_le_bytes()), [-7.]);
        assert_eq!(
            converted(Dtype::U64, &(1u64 << 40).to_le_bytes()),
            [(1u64 << 40) as f32]
        );
        assert_eq!(converted(Dtype::I64, &(-9i64).to_le_bytes()), [-9.]);
        assert_eq!(converted(Dtype::F32, &1.5f32.to_le_bytes()), [1.5]);
        assert_eq!(converted(Dtype::F64, &0.1f64.to_le_bytes()), [0.1f32]);
    }

    #[test]
    fn nan_becomes_zero_or_what_was_there_last() {
        let nan = f32::NAN.to_le_bytes();
        let (one, two) = (1f32.to_le_bytes(), 2f32.to_le_bytes());
        let mut last = Vec::new();
        let mut sample = [one, nan];
        fill(&mut sample, Some(&mut last));
        assert_eq!(sample, [one, [0; 4]]);
        let mut sample = [nan, two];
        fill(&mut sample, Some(&mut last));
        assert_eq!(sample, [one, two]);
        let mut sample = [nan, two];
        fill(&mut sample, None);
        assert_eq!(sample, [[0; 4], two]);
    }
}
