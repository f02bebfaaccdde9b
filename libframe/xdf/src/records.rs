//! What XDF has no place for, as texts in a stream of its own.
//!
//! Each text is a JSON object: a record of the session (GAP, CLOCK, EVENT, STATS, …) with its
//! payload in words, or where the numbers of a stream's samples do not follow each other.
//! A payload that JSON cannot hold to the last bit stands there in hexadecimal.
//! `man/framepipe-xdf.5` has examples.

use libframe::payload::{ClockReading, End, Event, Gap, Payload, Session, Stats};
use libframe::schema::Stream;
use libframe::wire::{Header, Kind, Record};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the stream is called.
pub const NAME: &str = "framepipe";
/// Its type, by which readers know it.
pub const TYPE: &str = "framepipe-records";

/// A text of the stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// A record.
    Record {
        /// Its header.
        header: Header,
        /// Its payload.
        payload: Vec<u8>,
        /// Of a STREAM: the number that its samples have in the file, if they are there.
        xdf: Option<u32>,
    },
    /// From a place in a stream on, samples have these numbers.
    Run(Run),
}

/// From a place in a stream on, samples have these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The stream, by its number in the file.
    pub xdf: u32,
    /// The sample, as the file's chunks count it from 0.
    pub index: u64,
    /// Its number in its stream of records.
    pub seq: u64,
}

#[derive(Serialize, Deserialize)]
struct Line {
    kind: Value,
    session: u32,
    stream: u16,
    seq: u64,
    time: i64,
    sent: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    flags: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    xdf: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct RunLine {
    run: Run,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(flags: &u8) -> bool {
    *flags == 0
}

impl Note {
    /// A record as text; `xdf` is the number in the file of the stream that it describes.
    pub fn of_record(record: &Record<'_>, xdf: Option<u32>) -> String {
        let Header { kind, flags, stream, session, seq, time, sent } = record.header;
        let payload = in_words(kind, record.payload);
        let hex = payload.is_none().then(|| to_hex(record.payload));
        let kind = kind.name().map_or_else(|| kind.0.into(), Value::from);
        let line =
            Line { kind, session, stream, seq, time, sent, flags, xdf, payload, hex };
        // Texts, numbers and maps with texts as keys: nothing here can fail.
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// Where numbers do not follow each other, as text.
    pub fn of_run(run: Run) -> String {
        serde_json::to_string(&RunLine { run }).unwrap_or_default()
    }

    /// Reads a text; `None` if it is none of these.
    pub fn parse(text: &[u8]) -> Option<Note> {
        if let Ok(RunLine { run }) = serde_json::from_slice(text) {
            return Some(Note::Run(run));
        }
        let line: Line = serde_json::from_slice(text).ok()?;
        let kind = match &line.kind {
            Value::String(name) => named(name)?,
            number => Kind(u8::try_from(number.as_u64()?).ok()?),
        };
        let payload = match (line.payload, line.hex) {
            (Some(payload), _) => to_payload(kind, payload)?,
            (None, Some(hex)) => from_hex(&hex)?,
            (None, None) => return None,
        };
        let Line { flags, stream, session, seq, time, sent, xdf, .. } = line;
        let header = Header { kind, flags, stream, session, seq, time, sent };
        Some(Note::Record { header, payload, xdf })
    }
}

fn named(name: &str) -> Option<Kind> {
    (1..=9).map(Kind).find(|kind| kind.name() == Some(name))
}

/// A payload in words, if they say all of it.
fn in_words(kind: Kind, bytes: &[u8]) -> Option<Value> {
    match kind {
        Kind::SESSION => words::<Session>(bytes),
        Kind::STREAM => words::<Stream>(bytes),
        Kind::GAP => words::<Gap>(bytes),
        Kind::CLOCK => words::<ClockReading>(bytes),
        Kind::EVENT => words::<Event>(bytes),
        Kind::STATS => words::<Stats>(bytes),
        Kind::END => words::<End>(bytes),
        _ => None,
    }
}

fn words<P: Payload>(bytes: &[u8]) -> Option<Value> {
    let value = serde_json::to_value(P::from_bytes(bytes).ok()?).ok()?;
    // Through text: a number may have more digits than are read again.
    let text = serde_json::to_string(&value).ok()?;
    let back: P = serde_json::from_str(&text).ok()?;
    (back.to_bytes() == bytes).then_some(value)
}

fn to_payload(kind: Kind, value: Value) -> Option<Vec<u8>> {
    match kind {
        Kind::SESSION => bytes::<Session>(value),
        Kind::STREAM => bytes::<Stream>(value),
        Kind::GAP => bytes::<Gap>(value),
        Kind::CLOCK => bytes::<ClockReading>(value),
        Kind::EVENT => bytes::<Event>(value),
        Kind::STATS => bytes::<Stats>(value),
        Kind::END => bytes::<End>(value),
        _ => None,
    }
}

fn bytes<P: Payload>(value: Value) -> Option<Vec<u8>> {
    serde_json::from_value(value).ok().map(|payload: P| payload.to_bytes())
}

fn to_hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8; 2]| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8);
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(kind: Kind, payload: &[u8]) -> String {
        let (flags, stream, session, seq, time, sent) = (0, 3, u32::MAX, 5, -6, i64::MAX);
        let header = Header { kind, flags, stream, session, seq, time, sent };
        let text = Note::of_record(&Record::new(header, payload), Some(2));
        let payload = payload.to_vec();
        let note = Note::Record { header, payload, xdf: Some(2) };
        assert_eq!(Note::parse(text.as_bytes()), Some(note), "{text}");
        text
    }

    #[test]
    fn records_come_back_as_they_were_and_can_be_read_by_people() {
        let gap = Gap { first: 3, count: Some(4), stage: "é".into(), ..Gap::default() };
        let text = there_and_back(Kind::GAP, &gap.to_bytes());
        assert!(text.contains(r#""kind":"GAP""#) && text.contains(r#""count":4"#));
        for value in [0.1, 1e300, -7.25] {
            let value = libframe::payload::Value::Float(value);
            let event = Event { label: "a".into(), value, source: String::new() };
            there_and_back(Kind::EVENT, &event.to_bytes());
        }
        let reading = ClockReading {
            monotonic: i64::MAX,
            offset: Some(-3),
            ..ClockReading::default()
        };
        there_and_back(Kind::CLOCK, &reading.to_bytes());
        there_and_back(Kind::END, &End::default().to_bytes());
    }

    #[test]
    fn what_words_cannot_say_is_kept_to_the_last_bit() {
        let value = libframe::payload::Value::Float(f64::NAN);
        let event = Event { label: "a".into(), value, source: String::new() };
        let text = there_and_back(Kind::EVENT, &event.to_bytes());
        assert!(text.contains("\"hex\":\""), "{text}");
        // A key that this version does not know.
        there_and_back(Kind::GAP, b"\x82\xa5first\x03\xa6colour\xc3");
        there_and_back(Kind(200), b"\x00\xff");
    }

    #[test]
    fn runs_come_back() {
        let run = Run { xdf: 3, index: 9, seq: u64::MAX };
        assert_eq!(Note::parse(Note::of_run(run).as_bytes()), Some(Note::Run(run)));
        for text in ["", "{}", "[]", "{\"kind\":\"GAP\"}", "{\"run\":{}}"] {
            assert_eq!(Note::parse(text.as_bytes()), None, "{text}");
        }
    }
}
