//! What the samples of a stream become in the pipe: numbers, texts or events.

use std::borrow::Cow;

use anyhow::Result;
use clap::ValueEnum;
use libframe::payload::{Event, Value};
use libframe::schema::{Dtype, Media, Stream};
use libframe::tool::Feed;
use libframe_lsl::info::{Format, Info};
use libframe_lsl::values;
use libframe_lsl::wire::Layout;

/// A marker longer than this is cut, and that is told.
const MAX_MARKER: usize = 64 << 10;

/// What to make of markers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MarkersAs {
    /// Events of the stream
    Events,
    /// Samples that are texts
    Text,
}

/// What the samples of a stream become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Numbers, as they come or as they were before LSL.
    Numbers(Dtype, Format),
    /// Single texts.
    Text,
    /// Several texts, as JSON.
    Texts,
    /// Events.
    Events,
}

impl Form {
    /// The description of a stream, and what its samples become.
    pub(crate) fn of(info: &Info, markers: MarkersAs) -> (Stream, Form) {
        let mut stream = info.stream();
        if stream.media == Media::Event && markers == MarkersAs::Text {
            stream.media = Media::Text;
        }
        let form = match (stream.media, stream.dtype) {
            (Media::Event, _) => Form::Events,
            (Media::Samples, Some(dtype)) => Form::Numbers(dtype, info.format),
            _ if info.channel_count == 1 => Form::Text,
            _ => Form::Texts,
        };
        (stream, form)
    }
}

/// Puts samples into the pipe, in room that is used again.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) form: Form,
    room: Vec<u8>,
    /// Markers that were cut.
    pub(crate) cut: u64,
}

impl Sender {
    pub(crate) fn new(form: Form) -> Sender {
        Sender { form, room: Vec::new(), cut: 0 }
    }

    /// Sends a sample.
    pub(crate) fn send(
        &mut self,
        number: u16,
        time: i64,
        values: &[u8],
        layout: &Layout,
        feed: &mut Feed,
    ) -> Result<()> {
        self.room.clear();
        let first = || layout.texts(values).next().unwrap_or_default();
        match self.form {
            Form::Numbers(dtype, format) if dtype.size() == format.size() => {
                feed.sample(number, time, None, values)
            }
            Form::Numbers(dtype, format) => {
                values::narrow(dtype, format, values, &mut self.room);
                feed.sample(number, time, None, &self.room)
            }
            Form::Text => feed.sample(number, time, None, first()),
            Form::Texts => {
                write_json(layout.texts(values), &mut self.room)?;
                feed.sample(number, time, None, &self.room)
            }
            Form::Events => {
                let (text, is_cut) = shortened(String::from_utf8_lossy(first()));
                self.cut += u64::from(is_cut);
                feed.event_from(number, time, &event(&text, feed.voice().name()))
            }
        }
    }
}

fn write_json<'a>(
    texts: impl Iterator<Item = &'a [u8]>,
    out: &mut Vec<u8>,
) -> Result<()> {
    out.push(b'[');
    for (at, text) in texts.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        serde_json::to_writer(&mut *out, &String::from_utf8_lossy(text))?;
    }
    out.push(b']');
    Ok(())
}

fn shortened(text: Cow<'_, str>) -> (Cow<'_, str>, bool) {
    if text.len() <= MAX_MARKER {
        return (text, false);
    }
    let end = (0..=MAX_MARKER).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    (Cow::Owned(text[..end].to_owned()), true)
}

/// A marker as an event: `LABEL` or `LABEL=VALUE`.
fn event(text: &str, source: &str) -> Event {
    let (label, value) = match text.split_once('=') {
        Some((label, value)) if !label.is_empty() => (label, Value::read(value)),
        _ => (text, Value::Nil),
    };
    // What does not come back as it was is left as it is.
    let back = match &value {
        Value::Nil => return whole(text, source),
        Value::Bool(it) => it.to_string(),
        Value::Int(it) => it.to_string(),
        Value::Float(it) => it.to_string(),
        Value::Text(it) => it.clone(),
    };
    let is_same = text.strip_prefix(label) == Some(format!("={back}").as_str());
    match is_same {
        true => Event { label: label.into(), value, source: source.into() },
        false => whole(text, source),
    }
}

fn whole(text: &str, source: &str) -> Event {
    Event { label: text.into(), value: Value::Nil, source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_an_event_that_can_be_turned_back() {
        let of = |text: &str| {
            let event = event(text, "x");
            (event.label, event.value)
        };
        assert_eq!(of("start"), ("start".into(), Value::Nil));
        assert_eq!(of("led=1"), ("led".into(), Value::Int(1)));
        assert_eq!(of("led=on=off"), ("led".into(), Value::Text("on=off".into())));
        assert_eq!(of("=1"), ("=1".into(), Value::Nil));
        assert_eq!(of("led=01"), ("led=01".into(), Value::Nil));
        assert_eq!(of("led="), ("led=".into(), Value::Nil));
        assert_eq!(of(""), (String::new(), Value::Nil));
    }

    #[test]
    fn several_texts_are_json() {
        let mut out = Vec::new();
        write_json([&b"a\"b"[..], b"", &[0xff]].into_iter(), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "[\"a\\\"b\",\"\",\"\u{fffd}\"]");
    }

    #[test]
    fn long_markers_are_cut_between_characters() {
        let (text, is_cut) = shortened("é".repeat(MAX_MARKER).into());
        assert!(is_cut && text.len() <= MAX_MARKER && text.ends_with('é'));
    }
}
