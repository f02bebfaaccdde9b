//! The numbers of a sample as text.

use std::io::Write as _;

use libframe::schema::{Dtype, Stream};

/// Writes each number of a sample after `between`, in the shortest form that reads back
/// as the same number.
pub(crate) fn write_all(
    bytes: &[u8],
    dtype: Dtype,
    null: &str,
    mut between: impl FnMut(usize, &mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    for (index, number) in bytes.chunks_exact(dtype.size()).enumerate() {
        between(index, out);
        write(number, dtype, null, out);
    }
}

/// Writes one number; `null` stands for what is none.
fn write(bytes: &[u8], dtype: Dtype, null: &str, out: &mut Vec<u8>) {
    let wide = |signed: bool| {
        let negative = signed && bytes.last().is_some_and(|byte| *byte > 127);
        let mut all = [if negative { 255 } else { 0 }; 8];
        all[..bytes.len()].copy_from_slice(bytes);
        all
    };
    // Writing to a `Vec` cannot fail.
    let done = match dtype {
        Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64 => {
            write!(out, "{}", u64::from_le_bytes(wide(false)))
        }
        Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => {
            write!(out, "{}", i64::from_le_bytes(wide(true)))
        }
        Dtype::F32 => match f32::from_le_bytes(bytes.try_into().unwrap_or_default()) {
            number if number.is_finite() => write!(out, "{number}"),
            _ => write!(out, "{null}"),
        },
        Dtype::F64 => match f64::from_le_bytes(bytes.try_into().unwrap_or_default()) {
            number if number.is_finite() => write!(out, "{number}"),
            _ => write!(out, "{null}"),
        },
    };
    debug_assert!(done.is_ok());
}

/// The type of a stream's samples, if they are all numbers of one type.
pub(crate) fn dtype_of(stream: &Stream) -> Option<Dtype> {
    let numbers = stream.media == libframe::schema::Media::Samples;
    stream.dtype.filter(|_| numbers)
}

/// Writes bytes in hexadecimal, at most `most` of them.
pub(crate) fn write_hex(bytes: &[u8], most: usize, out: &mut Vec<u8>) {
    for byte in bytes.iter().take(most) {
        let done = write!(out, "{byte:02x}");
        debug_assert!(done.is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8], dtype: Dtype) -> String {
        let mut out = Vec::new();
        write_all(bytes, dtype, "null", |_, out| out.push(b' '), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_keep_sign_and_precision() {
        assert_eq!(text(&[255, 1], Dtype::I8), " -1 1");
        assert_eq!(text(&[255, 1], Dtype::U8), " 255 1");
        assert_eq!(text(&[0, 128], Dtype::I16), " -32768");
        assert_eq!(text(&0.1f32.to_le_bytes(), Dtype::F32), " 0.1");
        assert_eq!(text(&0.1f64.to_le_bytes(), Dtype::F64), " 0.1");
        assert_eq!(text(&u64::MAX.to_le_bytes(), Dtype::U64), " 18446744073709551615");
        assert_eq!(text(&f32::NAN.to_le_bytes(), Dtype::F32), " null");
    }
}
