//! Texts of a file as what they are in records: events, or samples.

use libframe::payload::{Event, Payload as _, Value};
use libframe_xdf::strings;

/// A marker as the payload of an EVENT: `label=value`, or a label alone.
pub(super) fn event(values: &[u8], source: &str) -> Vec<u8> {
    let text = strings(values).next().unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    let (label, value) = match text.split_once('=') {
        Some((label, value)) if !label.is_empty() => (label, Value::read(value)),
        _ => (&*text, Value::Nil),
    };
    Event { label: label.into(), value, source: source.into() }.to_bytes()
}

/// The texts of a sample: itself where it is one, else a JSON array.
pub(super) fn text(values: &[u8], channels: usize, out: &mut Vec<u8>) {
    if channels == 1 {
        out.extend_from_slice(strings(values).next().unwrap_or_default());
        return;
    }
    let texts: Vec<_> = strings(values).map(String::from_utf8_lossy).collect();
    out.extend(serde_json::to_vec(&texts).unwrap_or_default());
}
