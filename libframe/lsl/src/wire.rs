//! The feed of an outlet as it is on a connection, without I/O: what is asked, what is
//! answered, and the samples. Protocol 1.10, which every liblsl since 2012 speaks.
//!
//! ```text
//! LSL:streamfeed/110 UID      LSL/110 200 OK          two samples of  |02|time f64|values|
//! Value-Size: 4          ->   Byte-Order: 1234    ->  a known         |01|        |values|
//! Max-Buffer-Length: …        …                       pattern, then:  a sample at previous
//! (empty line)                (empty line)                            + 1/rate
//! ```
//!
//! A text is a byte that says how long its length is (1, 2, 4 or 8), the length, and bytes.

use crate::info::{Format, Info};

/// The longest sample of texts that is taken.
pub const MAX_SAMPLE: usize = 16 << 20;
/// The longest answer that is read before it must have ended.
pub const MAX_ANSWER: usize = 64 << 10;
/// A sample whose time is to be worked out.
const DEDUCED: u8 = 1;
/// A sample with its time.
const STAMPED: u8 = 2;
/// The time of both samples of the pattern.
const PATTERN_TIME: f64 = 123_456.789;
/// How the two differ.
pub const PATTERNS: [i64; 2] = [4, 2];

/// Why a feed cannot be read, or not any further.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum WireError {
    /// The outlet there is another one.
    #[error("the outlet is gone, and another is at its place")]
    Gone,
    /// It refused.
    #[error("the outlet refused: {0}")]
    Refused(String),
    /// It answers something else.
    #[error("this is no answer of an outlet: {0:?}")]
    Malformed(String),
    /// It can only do what was usual before 2012.
    #[error("the outlet speaks protocol {0}, and 110 is needed")]
    Protocol(String),
    /// The pattern is not what the format says.
    #[error("the samples are not of the format that the outlet tells")]
    Pattern,
    /// The bytes of a sample make no sense.
    #[error("the samples make no sense any more: {0}")]
    Corrupt(&'static str),
}

/// Asks for the samples of an outlet, which is to keep so many of them while we are busy.
pub fn request(info: &Info, buffer: u32) -> String {
    format!(
        "LSL:streamfeed/110 {}\r\nNative-Byte-Order: 1234\r\nEndian-Performance: 0\r\n\
         Has-IEEE754-Floats: 1\r\nSupports-Subnormals: 1\r\nValue-Size: {}\r\n\
         Data-Protocol-Version: 110\r\nMax-Buffer-Length: {buffer}\r\n\
         Max-Chunk-Length: 0\r\nHostname: {}\r\nSource-Id: {}\r\nSession-Id: {}\r\n\r\n",
        word(&info.uid),
        info.format.size(),
        word(&info.hostname),
        word(&info.source_id),
        word(&info.session_id),
    )
}

/// What an outlet calls itself must not add lines to a request.
fn word(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(256).collect()
}

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its length.
    pub len: usize,
    /// Numbers come with their most significant byte first.
    pub is_swapped: bool,
}

impl Answer {
    /// Reads an answer, if it is all there.
    pub fn parse(bytes: &[u8], uid: &str) -> Result<Option<Answer>, WireError> {
        let Some(len) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else {
            let text = || String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into();
            // Errors are one line without an end.
            let is_error = bytes.starts_with(b"LSL/") && !is_ok(bytes);
            return match (is_error, bytes.len() > MAX_ANSWER) {
                (true, _) if bytes.len() >= 12 => Err(refusal(bytes)),
                (_, true) => Err(WireError::Malformed(text())),
                _ => Ok(None),
            };
        };
        let text = String::from_utf8_lossy(&bytes[..len]);
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        if !first.starts_with("LSL/") {
            return Err(WireError::Malformed(first.chars().take(80).collect()));
        }
        if !is_ok(first.as_bytes()) {
            return Err(refusal(first.as_bytes()));
        }
        let mut answer = Answer { len: len + 4, is_swapped: false };
        for (key, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.split(';').next().unwrap_or_default().trim();
            match key.trim().to_ascii_lowercase().as_str() {
                "byte-order" => answer.is_swapped = value == "4321",
                "uid" if !value.eq_ignore_ascii_case(uid) => return Err(WireError::Gone),
                "data-protocol-version" if value != "110" => {
                    return Err(WireError::Protocol(value.chars().take(20).collect()));
                }
                _ => {}
            }
        }
        Ok(Some(answer))
    }
}

fn is_ok(bytes: &[u8]) -> bool {
    let rest = bytes.splitn(2, |byte| *byte == b' ').nth(1);
    // As long as it may still become one.
    rest.is_none_or(|rest| b"200".starts_with(&rest[..rest.len().min(3)]))
}

fn refusal(bytes: &[u8]) -> WireError {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]);
    let told = text.split_once(' ').map_or("", |(_, told)| told.trim());
    match told.starts_with("404") {
        true => WireError::Gone,
        false => WireError::Refused(told.to_owned()),
    }
}

/// How the samples of a feed lie.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The type of the values.
    pub format: Format,
    /// How many in a sample.
    pub channels: usize,
    /// Numbers come with their most significant byte first.
    pub is_swapped: bool,
}

/// Where a sample lies in the bytes that came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Its time in seconds; `None` if it follows from the one before.
    pub time: Option<f64>,
    /// Where its values begin.
    pub start: usize,
    /// Where they end, and the sample with them.
    pub end: usize,
}

impl Layout {
    /// Finds the sample at the front; `None` if more bytes are needed.
    pub fn find(&self, bytes: &[u8]) -> Result<Option<Place>, WireError> {
        let (time, start) = match bytes.first() {
            None => return Ok(None),
            Some(&DEDUCED) => (None, 1),
            Some(&STAMPED) => {
                let Some(time) = bytes[1..].first_chunk() else { return Ok(None) };
                let time = u64::from_le_bytes(*time);
                let time = if self.is_swapped { time.swap_bytes() } else { time };
                (Some(f64::from_bits(time)), 9)
            }
            Some(_) => return Err(WireError::Corrupt("an unknown tag")),
        };
        let end = match self.format {
            Format::String => match self.end_of_texts(bytes, start)? {
                Some(end) => end,
                None => return Ok(None),
            },
            format => start + format.size() * self.channels,
        };
        Ok((bytes.len() >= end).then_some(Place { time, start, end }))
    }

    fn end_of_texts(
        &self,
        bytes: &[u8],
        start: usize,
    ) -> Result<Option<usize>, WireError> {
        let mut at = start;
        for _ in 0..self.channels {
            match self.text(bytes, at)? {
                Some((_, end)) if end <= bytes.len() => at = end,
                _ => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// Where the text begins whose length stands at `at`, and where it ends.
    fn text(&self, bytes: &[u8], at: usize) -> Result<Option<(usize, usize)>, WireError> {
        let Some(size) = bytes.get(at) else { return Ok(None) };
        let size = usize::from(*size);
        if !matches!(size, 1 | 2 | 4 | 8) {
            return Err(WireError::Corrupt("a length of an unknown size"));
        }
        let Some(digits) = bytes.get(at + 1..at + 1 + size) else { return Ok(None) };
        let mut length = [0; 8];
        length[..size].copy_from_slice(digits);
        if self.is_swapped {
            length[..size].reverse();
        }
        let length = u64::from_le_bytes(length);
        if length > (MAX_SAMPLE - at.min(MAX_SAMPLE)) as u64 {
            return Err(WireError::Corrupt("a text over the limit of 16 MiB"));
        }
        let start = at + 1 + size;
        Ok(Some((start, start + length as usize)))
    }

    /// The texts of a sample that was found.
    pub fn texts<'a>(
        &self,
        values: &'a [u8],
    ) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (layout, mut at) = (*self, 0);
        (0..self.channels).map_while(move |_| {
            let (start, end) = layout.text(values, at).ok().flatten()?;
            at = end;
            values.get(start..end)
        })
    }

    /// Turns the numbers of a sample so that the least significant byte is first.
    pub fn straighten(&self, values: &mut [u8]) {
        if self.is_swapped && self.format.size() > 1 {
            values.chunks_exact_mut(self.format.size()).for_each(<[u8]>::reverse);
        }
    }

    /// Whether a sample is one of the pattern that goes before all others.
    pub fn is_pattern(&self, place: &Place, values: &[u8], offset: i64) -> bool {
        let first = match self.format {
            Format::Float32 => (offset as f32).to_le_bytes().to_vec(),
            Format::Double64 => ((offset + 16_777_217) as f64).to_le_bytes().to_vec(),
            Format::Int64 => (offset + 2_147_483_649).to_le_bytes().to_vec(),
            Format::Int32 => ((offset + 65_537) as i32).to_le_bytes().to_vec(),
            Format::Int16 => ((offset + 257) as i16).to_le_bytes().to_vec(),
            Format::Int8 => vec![(offset + 1) as u8],
            Format::String => b"\x01\x0210".to_vec(),
        };
        let begins = self.channels == 0 || values.starts_with(&first);
        place.time == Some(PATTERN_TIME) && begins
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OK: &[u8] = b"LSL/110 200 OK\r\nUID: u-1\r\nByte-Order: 1234\r\n\
                        Suppress-Subnormals: 0\r\nData-Protocol-Version: 110\r\n\r\n\x02";

    fn layout(format: Format, channels: usize) -> Layout {
        Layout { format, channels, is_swapped: false }
    }

    #[test]
    fn an_answer_is_read_when_it_is_all_there() {
        for len in 0..OK.len() - 1 {
            assert_eq!(Answer::parse(&OK[..len], "u-1"), Ok(None), "{len}");
        }
        let answer = Answer { len: OK.len() - 1, is_swapped: false };
        assert_eq!(Answer::parse(OK, "U-1"), Ok(Some(answer)));
        assert_eq!(Answer::parse(OK, "u-2"), Err(WireError::Gone));
        let told = |from: &str, to: &str| {
            let text = String::from_utf8_lossy(OK).replace(from, to);
            Answer::parse(text.as_bytes(), "u-1")
        };
        assert!(told("1234", "4321").unwrap().unwrap().is_swapped);
        assert_eq!(
            told("Version: 110", "Version: 100"),
            Err(WireError::Protocol("100".into()))
        );
        assert!(matches!(told("LSL/110", "HTTP/1.1"), Err(WireError::Malformed(_))));
        assert_eq!(Answer::parse(b"LSL/110 404 Not found", "u"), Err(WireError::Gone));
        let refused = Answer::parse(b"LSL/110 505 Version not supported", "u");
        assert!(
            matches!(refused, Err(WireError::Refused(why)) if why.starts_with("505"))
        );
        let endless = vec![b'x'; MAX_ANSWER + 1];
        assert!(matches!(Answer::parse(&endless, "u"), Err(WireError::Malformed(_))));
    }

    #[test]
    fn a_request_has_no_lines_that_an_outlet_put_there() {
        let info = Info { uid: "u\r\n\r\nx".into(), ..Info::default() };
        let text = request(&info, 9);
        assert!(text.starts_with("LSL:streamfeed/110 ux\r\n"), "{text}");
        assert_eq!(text.matches("\r\n\r\n").count(), 1);
    }

    #[test]
    fn the_samples_that_liblsl_sends_are_found() {
        // The pattern of 2 × float32, then [1,2] at 100.5 and [3,4] after it.
        let hex = "02c976be9f0c24fe40000080400000a0c002c976be9f0c24fe4000000040000040c0\
                   0200000000002059400000803f00000040010000404000008040";
        let bytes: Vec<u8> = (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        let (layout, mut at, mut got) = (layout(Format::Float32, 2), 0, Vec::new());
        while let Some(place) = layout.find(&bytes[at..]).unwrap() {
            got.push((place, bytes[at + place.start..at + place.end].to_vec()));
            at += place.end;
        }
        assert_eq!((at, got.len()), (bytes.len(), 4));
        for (offset, (place, values)) in PATTERNS.iter().zip(&got) {
            assert!(layout.is_pattern(place, values, *offset));
            assert!(!layout.is_pattern(place, values, offset + 1));
        }
        assert_eq!((got[2].0.time, got[3].0.time), (Some(100.5), None));
        assert_eq!(got[3].1, [3f32, 4.0].map(f32::to_le_bytes).concat());
    }

    #[test]
    fn numbers_of_the_other_byte_order_are_turned() {
        let layout = Layout { is_swapped: true, ..layout(Format::Int16, 2) };
        let mut bytes = vec![STAMPED];
        bytes.extend(100.5f64.to_be_bytes());
        bytes.extend([1, 2, 3, 4]);
        let place = layout.find(&bytes).unwrap().unwrap();
        layout.straighten(&mut bytes[place.start..place.end]);
        assert_eq!((place.time, &bytes[place.start..]), (Some(100.5), &[2, 1, 4, 3][..]));
    }

    #[test]
    fn texts_of_any_length_are_found_and_absurd_ones_refused() {
        let long = vec![b'x'; 300];
        let mut bytes = vec![DEDUCED, 1, 0, 4];
        bytes.extend(300u32.to_le_bytes());
        bytes.extend(&long);
        let layout = layout(Format::String, 2);
        for len in 0..bytes.len() {
            assert_eq!(layout.find(&bytes[..len]), Ok(None), "{len}");
        }
        let place = layout.find(&bytes).unwrap().unwrap();
        assert_eq!((place.start, place.end), (1, bytes.len()));
        let texts: Vec<&[u8]> = layout.texts(&bytes[1..]).collect();
        assert_eq!(texts, [&b""[..], &long]);
        let absurd = [DEDUCED, 8, 255, 255, 255, 255, 255, 255, 255, 255];
        assert!(matches!(layout.find(&absurd), Err(WireError::Corrupt(_))));
        assert!(matches!(layout.find(&[DEDUCED, 3]), Err(WireError::Corrupt(_))));
        assert!(matches!(layout.find(&[7]), Err(WireError::Corrupt(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            channels in 0..5usize,
            is_swapped: bool,
        ) {
            for format in [Format::String, Format::Int8, Format::Double64] {
                let layout = Layout { format, channels, is_swapped };
                if let Ok(Some(place)) = layout.find(&bytes) {
                    prop_assert!(place.start <= place.end && place.end <= bytes.len());
                    let values = &bytes[place.start..place.end];
                    prop_assert!(layout.texts(values).count() <= channels);
                }
            }
            drop(Answer::parse(&bytes, "u"));
        }
    }
}
