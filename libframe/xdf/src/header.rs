//! What of a stream's header it takes to find its samples.
//!
//! Two numbers are looked for in the text, and the rest is not: a header of which the
//! description is damaged, or was never XML, must not cost the samples.

use crate::samples::Layout;

/// Bytes of a sample may not be more: no chunk holds one.
const MAX_SAMPLE: usize = 1 << 30;

/// How the samples of a stream with this header lie; `None` if it does not say.
pub fn layout(xml: &[u8]) -> Option<Layout> {
    let channels: usize = element(xml, "channel_count")?.parse().ok()?;
    let size = match element(xml, "channel_format")? {
        "string" => return (channels > 0).then_some(Layout::Strings { channels }),
        "int8" => 1,
        "int16" => 2,
        "int32" | "float32" => 4,
        "int64" | "double64" => 8,
        _ => return None,
    };
    let size = channels.checked_mul(size).filter(|size| *size <= MAX_SAMPLE)?;
    Some(Layout::Numbers { size })
}

/// Samples a second by the header; 0 for an irregular stream, and where it does not say.
pub fn rate(xml: &[u8]) -> f64 {
    let rate = element(xml, "nominal_srate").and_then(|rate| rate.parse().ok());
    rate.filter(|rate: &f64| rate.is_finite() && *rate > 0.0).unwrap_or(0.0)
}

/// The text of the first element of this name, which stands before a description that may
/// have others.
pub fn element<'a>(xml: &'a [u8], name: &str) -> Option<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let from = memchr::memmem::find(xml, open.as_bytes())? + open.len();
    let len = memchr::memmem::find(&xml[from..], close.as_bytes())?;
    Some(std::str::from_utf8(&xml[from..from + len]).ok()?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(channels: &str, format: &str) -> Vec<u8> {
        format!(
            "<info><channel_count>{channels}</channel_count><channel_format>{format}\
             </channel_format><nominal_srate> 250 </nominal_srate>"
        )
        .into_bytes()
    }

    #[test]
    fn formats_have_their_sizes() {
        let size = |format| layout(&header("3", format));
        assert_eq!(size("float32"), Some(Layout::Numbers { size: 12 }));
        assert_eq!(size("int64"), Some(Layout::Numbers { size: 24 }));
        assert_eq!(size("int8"), Some(Layout::Numbers { size: 3 }));
        assert_eq!(size("string"), Some(Layout::Strings { channels: 3 }));
        assert_eq!(rate(&header("3", "int8")), 250.0);
    }

    #[test]
    fn what_does_not_say_has_no_layout() {
        assert_eq!(layout(&header("3", "float33")), None);
        assert_eq!(layout(&header("-1", "int8")), None);
        assert_eq!(layout(&header("18446744073709551615", "int64")), None);
        assert_eq!(layout(&header("0", "string")), None);
        assert_eq!(layout(b"<info><channel_count>\xff\xff</channel_count>"), None);
        assert_eq!(rate(b"<nominal_srate>inf</nominal_srate>"), 0.0);
    }
}
