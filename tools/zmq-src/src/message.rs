//! A message of the Open Ephys ZMQ interface, read from its parts without I/O.
//!
//! ```text
//!   "DATA\0" │ { "message_num", "type": "data",  "content": {…}, "data_size", … } │ f32 × n
//!   "EVENT\0"│ { "message_num", "type": "event", "content": {…}, "data_size", … } │ [bytes]
//!   "EVENT\0"│ { "message_num", "type": "spike", "spike": {…}, … }                │ f32 × c × n
//! ```
//!
//! Spikes come in the envelope of events, so the JSON's `type` decides, never the envelope.
//! Four generations of the plugin name the same things differently; all names are known
//! here. A message that contradicts itself is a [`Fault`]: what it may have meant is not
//! guessed at, since its samples are then told to be missing.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;

use crate::field::{Thresholds, Whole, Word};

/// JSON of the plugin is some hundred bytes; more than this is none of it.
const MAX_JSON: usize = 64 << 10;
/// The longest name of a stream or electrode.
const MAX_NAME: usize = 256;
/// A description has room for so many channels.
pub(crate) const MAX_CHANNELS: u32 = 16_384;
/// Electrodes have 1, 2 or 4 channels.
const MAX_ELECTRODE: u32 = 64;
/// No waveform is longer.
const MAX_WAVEFORM: u32 = 65_536;
/// Samples a second at most.
const MAX_RATE: f64 = 1e9;
/// What the stream of a plugin is called that did not name it yet.
const UNNAMED: &str = "open-ephys";

/// A message and its number among all messages of its publisher.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message<'a> {
    pub(crate) number: Option<i64>,
    /// When it was published, ms since 1970 by the publisher's clock.
    pub(crate) published: Option<i64>,
    pub(crate) body: Body<'a>,
}

/// What a message holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body<'a> {
    Data(Data<'a>),
    Event(Event<'a>),
    Spike(Spike<'a>),
    /// A type that this version does not know.
    Other,
}

/// A block of samples, of one channel or of all.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Data<'a> {
    pub(crate) stream: Cow<'a, str>,
    pub(crate) columns: Columns<'a>,
    /// The number of the first sample.
    pub(crate) first: u64,
    /// How many samples of each channel are valid.
    pub(crate) samples: usize,
    pub(crate) rate: Option<f64>,
    /// Rows of f32, little-endian, one for each channel.
    payload: &'a [u8],
    /// Bytes from one row to the next.
    stride: usize,
}

/// Whose samples a block holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Columns<'a> {
    /// One channel's, with its name where the plugin tells it.
    One { channel: u32, name: Option<Cow<'a, str>> },
    /// All channels', from 0.
    All { channels: u32 },
}

impl<'a> Data<'a> {
    /// The channels and their samples.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (u32, &'a [u8])> + use<'a> {
        let (first, count) = match self.columns {
            Columns::One { channel, .. } => (channel, 1),
            Columns::All { channels } => (0, channels),
        };
        let (payload, stride, len) = (self.payload, self.stride, 4 * self.samples);
        (0..count).map(move |row| {
            let from = row as usize * stride;
            (first + row, payload.get(from..from + len).unwrap_or_default())
        })
    }

    /// The same block of one channel alone.
    pub(crate) fn of_channel(&self, channel: u32) -> Data<'a> {
        let row = self.rows().find(|(number, _)| *number == channel);
        let (payload, stride) = row.map_or((&[][..], 0), |(_, row)| (row, row.len()));
        let columns = Columns::One { channel, name: None };
        Data { columns, payload, stride, ..self.clone() }
    }
}

/// Something that happened at a sample.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event<'a> {
    pub(crate) stream: Cow<'a, str>,
    /// The processor that it comes from.
    pub(crate) node: Option<Word<'a>>,
    pub(crate) kind: Word<'a>,
    pub(crate) sample: u64,
    /// The line and what it is now, where the JSON tells that: up to version 0.2.0.
    pub(crate) line: Option<(i64, i64)>,
    pub(crate) payload: &'a [u8],
}

/// A line of a digital input that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ttl {
    pub(crate) line: i64,
    pub(crate) on: bool,
    /// All lines after that.
    pub(crate) word: u64,
}

impl Event<'_> {
    /// The type that TTL events have.
    const TTL: &'static str = "3";

    /// What the event says of a digital line, if it is of one.
    pub(crate) fn ttl(&self) -> Option<Ttl> {
        if self.kind.to_string() != Event::TTL {
            return None;
        }
        if let [line, state, word @ ..] = self.payload
            && let Ok(word) = <[u8; 8]>::try_from(word)
        {
            let (line, on) = (i64::from(*line), *state != 0);
            return Some(Ttl { line, on, word: u64::from_le_bytes(word) });
        }
        let (line, state) = self.line?;
        Some(Ttl { line, on: state != 0, word: state as u64 })
    }
}

/// A spike that the plugin's rig has detected.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spike<'a> {
    pub(crate) stream: Cow<'a, str>,
    pub(crate) electrode: Word<'a>,
    pub(crate) sample: u64,
    pub(crate) channels: u32,
    pub(crate) samples: u32,
    pub(crate) sorted: i64,
    pub(crate) thresholds: Thresholds,
    /// channels × samples as f32; up to version 0.2.0 only the first quarter of that.
    pub(crate) payload: &'a [u8],
}

impl Spike<'_> {
    /// Bytes of the whole waveform.
    pub(crate) fn len(&self) -> usize {
        4 * self.channels as usize * self.samples as usize
    }
}

/// Why a message is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    Parts,
    Long,
    Json,
    Missing(&'static str),
    Range(&'static str),
    Payload,
    DataSize,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Parts => write!(f, "not of two or three parts"),
            Fault::Long => write!(f, "JSON of over {MAX_JSON} bytes"),
            Fault::Json => write!(f, "not the JSON of a message"),
            Fault::Missing(key) => write!(f, "no {key:?}"),
            Fault::Range(key) => write!(f, "{key:?} out of range"),
            Fault::Payload => write!(f, "not as many bytes as samples need"),
            Fault::DataSize => write!(f, "\"data_size\" is not the size of the data"),
        }
    }
}

/// The JSON of all generations.
#[derive(Deserialize)]
struct Json<'a> {
    #[serde(default, alias = "message_no")]
    message_num: Option<Whole>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<Content<'a>>,
    #[serde(borrow, default)]
    spike: Option<Content<'a>>,
    #[serde(default)]
    data_size: Option<Whole>,
    #[serde(default)]
    timestamp: Option<Whole>,
}

/// `content` and `spike` of all generations.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Content<'a> {
    #[serde(borrow)]
    stream: Option<Word<'a>>,
    #[serde(borrow)]
    stream_id: Option<Word<'a>>,
    #[serde(borrow)]
    source_node: Option<Word<'a>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Word<'a>>,
    channel_num: Option<Whole>,
    #[serde(borrow)]
    channel_name: Option<Word<'a>>,
    #[serde(alias = "num_channels")]
    n_channels: Option<Whole>,
    num_samples: Option<Whole>,
    n_real_samples: Option<Whole>,
    n_samples: Option<Whole>,
    sample_num: Option<Whole>,
    timestamp: Option<Whole>,
    sample_rate: Option<f64>,
    event_id: Option<Whole>,
    event_channel: Option<Whole>,
    #[serde(borrow, alias = "electrode_id")]
    electrode: Option<Word<'a>>,
    sorted_id: Option<Whole>,
    threshold: Thresholds,
}

/// Reads a message.
pub(crate) fn parse<'a>(parts: &[&'a [u8]]) -> Result<Message<'a>, Fault> {
    let (json, payload) = match parts {
        [_envelope, json] => (*json, &[][..]),
        [_envelope, json, payload] => (*json, *payload),
        _ => return Err(Fault::Parts),
    };
    if json.len() > MAX_JSON {
        return Err(Fault::Long);
    }
    let json: Json<'a> =
        serde_json::from_slice(trimmed(json)).map_err(|_| Fault::Json)?;
    if let Some(Whole(size)) = json.data_size
        && usize::try_from(size) != Ok(payload.len())
    {
        return Err(Fault::DataSize);
    }
    let content = json.content.or(json.spike);
    let content = content.ok_or(Fault::Missing("content"));
    let body = match &*json.kind {
        "data" => Body::Data(data(content?, payload)?),
        "event" => Body::Event(event(content?, payload)?),
        "spike" => Body::Spike(spike(content?, payload)?),
        _ => Body::Other,
    };
    let number = json.message_num.map(|Whole(number)| number);
    let published = json.timestamp.map(|Whole(time)| time);
    Ok(Message { number, published, body })
}

/// C programs send the NUL that ends their strings, if they count wrong.
fn trimmed(json: &[u8]) -> &[u8] {
    let end = json.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    &json[..end]
}

fn data<'a>(mut content: Content<'a>, payload: &'a [u8]) -> Result<Data<'a>, Fault> {
    let real = content.num_samples.or(content.n_real_samples).or(content.n_samples);
    let samples = count(real.ok_or(Fault::Missing("num_samples"))?, "num_samples")?;
    let room = match content.n_samples {
        Some(room) => count(room, "n_samples")?,
        None => samples,
    };
    if samples > room {
        return Err(Fault::Range("n_real_samples"));
    }
    let channels = match (content.channel_num, content.n_channels) {
        (Some(channel), _) => {
            let channel = within(channel, 0, MAX_CHANNELS - 1, "channel_num")?;
            let name = content.channel_name.take().map(Word::into_name);
            if name.as_ref().is_some_and(|name| name.len() > MAX_NAME) {
                return Err(Fault::Range("channel_name"));
            }
            Columns::One { channel, name }
        }
        (None, Some(n)) => {
            Columns::All { channels: within(n, 1, MAX_CHANNELS, "n_channels")? }
        }
        (None, None) => return Err(Fault::Missing("channel_num")),
    };
    let rows = match channels {
        Columns::One { .. } => 1,
        Columns::All { channels } => channels as usize,
    };
    let whole = |row: usize| row.checked_mul(4 * rows) == Some(payload.len());
    // One row may be sent without the room behind its valid samples.
    let row = match () {
        () if whole(room) => room,
        () if whole(samples) => samples,
        () => return Err(Fault::Payload),
    };
    let good = |rate: &f64| *rate > 0.0 && *rate <= MAX_RATE;
    if content.sample_rate.is_some_and(|rate| !good(&rate)) {
        return Err(Fault::Range("sample_rate"));
    }
    Ok(Data {
        first: sample_number(&content)?,
        rate: content.sample_rate,
        stream: stream_name(content)?,
        columns: channels,
        samples,
        payload,
        stride: 4 * row,
    })
}

fn event<'a>(content: Content<'a>, payload: &'a [u8]) -> Result<Event<'a>, Fault> {
    let line = content.event_channel.zip(content.event_id);
    Ok(Event {
        sample: sample_number(&content)?,
        node: content.source_node.clone(),
        kind: content.kind.clone().ok_or(Fault::Missing("content.type"))?,
        line: line.map(|(Whole(line), Whole(state))| (line, state)),
        stream: stream_name(content)?,
        payload,
    })
}

fn spike<'a>(content: Content<'a>, payload: &'a [u8]) -> Result<Spike<'a>, Fault> {
    let samples = content.num_samples.or(content.n_samples);
    let samples = samples.ok_or(Fault::Missing("num_samples"))?;
    let channels = content.n_channels.ok_or(Fault::Missing("num_channels"))?;
    let electrode = content.electrode.clone().ok_or(Fault::Missing("electrode"))?;
    if electrode.to_string().len() > MAX_NAME {
        return Err(Fault::Range("electrode"));
    }
    let spike = Spike {
        sample: sample_number(&content)?,
        channels: within(channels, 1, MAX_ELECTRODE, "num_channels")?,
        samples: within(samples, 1, MAX_WAVEFORM, "num_samples")?,
        electrode,
        sorted: content.sorted_id.map_or(0, |Whole(id)| id),
        thresholds: content.threshold.clone(),
        stream: stream_name(content)?,
        payload,
    };
    // Up to 0.2.0 the plugin took the number of values for the number of bytes.
    let sizes = [spike.len(), spike.len() / 4];
    if sizes.contains(&payload.len()) { Ok(spike) } else { Err(Fault::Payload) }
}

fn stream_name<'a>(content: Content<'a>) -> Result<Cow<'a, str>, Fault> {
    let name = match (content.stream.map(Word::into_name), content.stream_id) {
        (Some(name), _) if !name.is_empty() => name,
        (_, Some(id)) => Cow::Owned(format!("stream {id}")),
        _ => Cow::Borrowed(UNNAMED),
    };
    if name.len() > MAX_NAME { Err(Fault::Range("stream")) } else { Ok(name) }
}

fn sample_number(content: &Content<'_>) -> Result<u64, Fault> {
    let number = content.sample_num.or(content.timestamp);
    let Whole(number) = number.ok_or(Fault::Missing("sample_num"))?;
    u64::try_from(number).map_err(|_| Fault::Range("sample_num"))
}

fn count(Whole(number): Whole, key: &'static str) -> Result<usize, Fault> {
    u32::try_from(number).map(|n| n as usize).map_err(|_| Fault::Range(key))
}

fn within(
    Whole(number): Whole,
    least: u32,
    most: u32,
    key: &'static str,
) -> Result<u32, Fault> {
    let number = u32::try_from(number).ok().filter(|n| (least..=most).contains(n));
    number.ok_or(Fault::Range(key))
}

#[cfg(test)]
mod tests;
