//! Numbers and times as LSL has them, and back.
//!
//! LSL knows no unsigned types, so those become the next wider signed one; u64, for which
//! there is none, keeps its bits. Who wrote a description says which it was ([`crate::info`]).

use libframe::clock::SECOND;
use libframe::schema::Dtype;

use crate::info::Format;

impl Format {
    /// The format that numbers of a type are sent in.
    pub fn of(dtype: Dtype) -> Format {
        match dtype {
            Dtype::I8 => Format::Int8,
            Dtype::U8 | Dtype::I16 => Format::Int16,
            Dtype::U16 | Dtype::I32 => Format::Int32,
            Dtype::U32 | Dtype::I64 | Dtype::U64 => Format::Int64,
            Dtype::F32 => Format::Float32,
            Dtype::F64 => Format::Double64,
        }
    }

    /// The type of numbers that come in a format; none for strings.
    pub fn dtype(self) -> Option<Dtype> {
        Some(match self {
            Format::Float32 => Dtype::F32,
            Format::Double64 => Dtype::F64,
            Format::Int8 => Dtype::I8,
            Format::Int16 => Dtype::I16,
            Format::Int32 => Dtype::I32,
            Format::Int64 => Dtype::I64,
            Format::String => return None,
        })
    }
}

/// Numbers of a record as LSL has them: the same bytes where nothing changes, else in
/// `room`.
pub fn widen<'a>(dtype: Dtype, bytes: &'a [u8], room: &'a mut Vec<u8>) -> &'a [u8] {
    room.clear();
    match dtype {
        Dtype::U8 => room.extend(bytes.iter().flat_map(|byte| [*byte, 0])),
        Dtype::U16 => {
            let words = bytes.as_chunks::<2>().0.iter();
            room.extend(words.flat_map(|[low, high]| [*low, *high, 0, 0]));
        }
        Dtype::U32 => {
            let words = bytes.as_chunks::<4>().0.iter();
            room.extend(words.flat_map(|[a, b, c, d]| [*a, *b, *c, *d, 0, 0, 0, 0]));
        }
        _ => return bytes,
    }
    room
}

/// Numbers as they came over LSL, as the type that they were before [`widen`], behind `out`.
pub fn narrow(dtype: Dtype, format: Format, bytes: &[u8], out: &mut Vec<u8>) {
    match (dtype, format) {
        (Dtype::U8, Format::Int16) => {
            out.extend(bytes.as_chunks::<2>().0.iter().map(|word| word[0]));
        }
        (Dtype::U16, Format::Int32) => {
            let words = bytes.as_chunks::<4>().0.iter();
            out.extend(words.flat_map(|word| [word[0], word[1]]));
        }
        (Dtype::U32, Format::Int64) => {
            let words = bytes.as_chunks::<8>().0.iter();
            out.extend(words.flat_map(|word| [word[0], word[1], word[2], word[3]]));
        }
        _ => out.extend_from_slice(bytes),
    }
}

/// A time in seconds. Times of the first 48 days after a host's start come back as they were,
/// later ones to 1 ns: a double has no more digits.
pub fn seconds(ns: i64) -> f64 {
    if ns.unsigned_abs() < 1 << 53 {
        // Rounded once: the number that people and other programs have for this time.
        return ns as f64 / 1e9;
    }
    let (whole, rest) = (ns.div_euclid(SECOND), ns.rem_euclid(SECOND));
    whole as f64 + rest as f64 / 1e9
}

/// A time in ns. What is no number, or none of the last 290 years, is 0.
pub fn nanoseconds(seconds: f64) -> i64 {
    if seconds.is_nan() || seconds.abs() > 9e9 {
        return 0;
    }
    // In two parts: times since 1970 have more digits than the product would keep.
    let whole = seconds.trunc();
    whole as i64 * SECOND + ((seconds - whole) * 1e9).round() as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Dtype; 10] = [
        Dtype::U8,
        Dtype::I8,
        Dtype::U16,
        Dtype::I16,
        Dtype::U32,
        Dtype::I32,
        Dtype::U64,
        Dtype::I64,
        Dtype::F32,
        Dtype::F64,
    ];

    #[test]
    fn unsigned_numbers_keep_their_value() {
        let mut room = Vec::new();
        let i16s = widen(Dtype::U8, &[0, 127, 255], &mut room);
        assert_eq!(i16s, [0, 127, 255i16].map(i16::to_le_bytes).concat());
        let bytes = [1, u16::MAX].map(u16::to_le_bytes).concat();
        let i32s = widen(Dtype::U16, &bytes, &mut room);
        assert_eq!(i32s, [1, 65_535i32].map(i32::to_le_bytes).concat());
        let bytes = u32::MAX.to_le_bytes();
        let i64s = widen(Dtype::U32, &bytes, &mut room);
        assert_eq!(i64s, 4_294_967_295i64.to_le_bytes());
    }

    proptest! {
        #[test]
        fn numbers_come_back(words in proptest::collection::vec(any::<u64>(), 0..9)) {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            for dtype in ALL {
                let (mut room, mut back) = (Vec::new(), Vec::new());
                let format = Format::of(dtype);
                let sent = widen(dtype, &bytes, &mut room);
                prop_assert_eq!(sent.len() / format.size(), bytes.len() / dtype.size());
                narrow(dtype, format, sent, &mut back);
                prop_assert_eq!(&back, &bytes);
            }
        }

        #[test]
        fn capture_times_come_back(ns in 0..(SECOND << 22)) {
            prop_assert_eq!(nanoseconds(seconds(ns)), ns);
        }

        #[test]
        fn times_since_1970_come_back(t in 1e9..4e9f64) {
            prop_assert_eq!(seconds(nanoseconds(t)), t);
        }
    }

    #[test]
    fn a_time_is_the_number_that_people_write() {
        assert_eq!(seconds(1_118_000_000).to_string(), "1.118");
        assert_eq!(seconds(37_399_123_456_789).to_string(), "37399.123456789");
    }

    #[test]
    fn what_is_no_time_is_none() {
        for time in [f64::NAN, f64::INFINITY, 1e300, -1e300] {
            assert_eq!(nanoseconds(time), 0);
        }
        assert_eq!(nanoseconds(-1.5), -1_500_000_000);
        assert_eq!(seconds(-1_500_000_000), -1.5);
    }
}
