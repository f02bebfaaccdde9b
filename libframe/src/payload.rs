//! The MessagePack payloads as typed structs. The stream's description has a file of its
//! own, [`crate::schema`].
//!
//! Payloads are maps with text keys, so that a version can add keys: unknown ones are
//! skipped, absent ones take their default. Decoding is bounded, because a payload comes
//! from anywhere and a byte of MessagePack can become a hundred of memory.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::wire::Kind;

/// The longest payload that is decoded to a struct; samples are not.
pub const MAX_TYPED: usize = 1 << 20;

/// A payload that can be sent as MessagePack.
pub trait Payload: Serialize + DeserializeOwned {
    /// The kind of record that holds it.
    const KIND: Kind;

    /// The payload's bytes.
    fn to_bytes(&self) -> Vec<u8> {
        // Strings, numbers, maps and sequences of known length: nothing here can fail,
        // and an empty payload would be told by its reader.
        rmp_serde::to_vec_named(self).unwrap_or_default()
    }

    /// Reads a payload.
    fn from_bytes(bytes: &[u8]) -> Result<Self, PayloadError> {
        let name = Self::KIND.name().unwrap_or("unknown");
        if bytes.len() > MAX_TYPED {
            return Err(PayloadError::TooLong { name, len: bytes.len() });
        }
        rmp_serde::from_slice(bytes)
            .map_err(|why| PayloadError::Malformed { name, why: why.to_string() })
    }
}

/// Why a payload could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// Longer than [`MAX_TYPED`].
    #[error("{name} payload of {len} bytes is over the limit of {MAX_TYPED}")]
    TooLong {
        /// The kind's name.
        name: &'static str,
        /// Its length.
        len: usize,
    },
    /// Not the MessagePack that the kind asks for.
    #[error("{name} payload: {why}")]
    Malformed {
        /// The kind's name.
        name: &'static str,
        /// What the decoder said.
        why: String,
    },
}

/// SESSION: who records, where, when, and through which stages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Random, unique to the session.
    pub uuid: String,
    /// The capturing host's name.
    #[serde(default)]
    pub host: String,
    /// The host's boot id: monotonic times can only be compared under an equal one.
    #[serde(default)]
    pub boot_id: String,
    /// When the session began, ns since 1970.
    #[serde(default)]
    pub start_realtime: i64,
    /// The same instant on CLOCK_MONOTONIC.
    #[serde(default)]
    pub start_monotonic: i64,
    /// What the user said about it.
    #[serde(default, deserialize_with = "bounded::map")]
    pub meta: BTreeMap<String, String>,
    /// Every stage the records came through, in order.
    #[serde(default, deserialize_with = "bounded::stages")]
    pub stages: Vec<Stage>,
}

/// A stage in [`Session::stages`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// What it calls itself in messages, GAP and STATS.
    pub name: String,
    /// Its command line.
    #[serde(default, deserialize_with = "bounded::words")]
    pub command: Vec<String>,
    /// The tool's version.
    #[serde(default)]
    pub version: String,
    /// Where it runs.
    #[serde(default)]
    pub host: String,
    /// Its process.
    #[serde(default)]
    pub pid: u32,
}

/// Who lost samples, in a GAP.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// The device skipped them, by its own counters.
    Device,
    /// The device's bytes could not be understood.
    Parser,
    /// A stage's queue was full, and its policy is to drop.
    Queue,
    /// They were lost on a network or bus.
    Transport,
    /// Their records were damaged on the way.
    Corrupt,
    /// The stage before did not pass them on and did not say why.
    Upstream,
    /// A reason this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Reason {
    /// The word that stands in the payload.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Device => "device",
            Reason::Parser => "parser",
            Reason::Queue => "queue",
            Reason::Transport => "transport",
            Reason::Corrupt => "corrupt",
            Reason::Upstream => "upstream",
            Reason::Unknown => "unknown",
        }
    }

    /// Whether somebody owns up to the loss. Of the other reasons a stage only noticed that
    /// samples are missing, or says what nobody understands.
    pub fn is_explained(self) -> bool {
        !matches!(self, Reason::Upstream | Reason::Unknown)
    }
}

/// GAP: samples that are missing, and why; or channels that are missing in samples that are
/// there, which is a *partial* gap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// The first missing sample.
    pub first: u64,
    /// How many, if that is known. An unknown number took no sequence numbers.
    #[serde(default)]
    pub count: Option<u64>,
    /// Why.
    pub reason: Reason,
    /// The stage that lost them, or that noticed.
    #[serde(default)]
    pub stage: String,
    /// The last capture time before the gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// The first capture time after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
    /// What happened, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// In a partial gap: how many samples, from `first` on, are sent without some of their
    /// channels. `count` is none then, so that whoever does not know this key takes no
    /// samples for missing, and still learns of a loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<u64>,
    /// In a partial gap: those channels, as places in the last dimension. They hold NaN, or
    /// 0 in a type that has none.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "bounded::places"
    )]
    pub channels: Vec<u32>,
}

impl Gap {
    /// How many samples a partial gap is about; none if it is another, whatever it claims
    /// beside a count.
    pub fn incomplete(&self) -> Option<u64> {
        self.partial.filter(|_| self.count.is_none())
    }

    /// The sample after the gap.
    pub fn next(&self) -> u64 {
        self.first.saturating_add(self.count.unwrap_or(0))
    }
}

/// CLOCK: what another clock showed at an instant of CLOCK_MONOTONIC.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClockReading {
    /// The instant, ns.
    pub monotonic: i64,
    /// The host's wall clock at that instant, ns since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realtime: Option<i64>,
    /// The kernel's estimate of the wall clock's error, ns; absent when unsynchronised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<i64>,
    /// Whose clock this is about, if it is not the host's wall clock.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remote: String,
    /// Remote clock minus CLOCK_MONOTONIC, ns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// Round trip of the measurement, ns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip: Option<i64>,
}

/// EVENT: a trigger, marker or comment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What kind of event.
    pub label: String,
    /// Its value.
    #[serde(default)]
    pub value: Value,
    /// Who says so.
    #[serde(default)]
    pub source: String,
}

/// An event's value.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// No value.
    #[default]
    Nil,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A real number.
    Float(f64),
    /// A text.
    Text(String),
}

impl Value {
    /// The value that a user wrote: a number if it is one, nothing if it is empty.
    pub fn read(text: &str) -> Value {
        let number = || text.parse().ok().filter(|number: &f64| number.is_finite());
        match text {
            "" => Value::Nil,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => match text.parse() {
                Ok(number) => Value::Int(number),
                Err(_) => number().map_or_else(|| Value::Text(text.into()), Value::Float),
            },
        }
    }
}

/// By hand, because serde would first store whatever comes, megabytes of nested arrays
/// included, and only then look whether it fits.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Value, D::Error> {
        from.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nil, a bool, a number or a text")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.into()))
    }
}

/// STATS: what a stage did since its last STATS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// The stage's name.
    pub stage: String,
    /// Its place in [`Session::stages`].
    #[serde(default)]
    pub index: u32,
    /// Begin of the time these counts are for, CLOCK_MONOTONIC of the stage's host.
    #[serde(default)]
    pub from: i64,
    /// Its end.
    #[serde(default)]
    pub to: i64,
    /// What came in; for a source, what the device gave.
    #[serde(default, rename = "in")]
    pub input: Flow,
    /// What went out.
    #[serde(default, rename = "out")]
    pub output: Flow,
    /// Samples this stage found missing in its input or dropped itself.
    #[serde(default)]
    pub dropped: u64,
    /// The deepest its queue was, in bytes.
    #[serde(default)]
    pub queue: u64,
    /// How much may wait in its queue, in bytes, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_limit: Option<u64>,
    /// Time from the stage before writing to this one reading, and at a source from capture
    /// to writing: `[bucket, count]` pairs.
    #[serde(default, deserialize_with = "bounded::buckets")]
    pub hop: Vec<(u16, u64)>,
    /// Time from the capture of a record's first sample to this stage reading it.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "bounded::buckets"
    )]
    pub age: Vec<(u16, u64)>,
    /// Resident memory, bytes.
    #[serde(default)]
    pub rss: u64,
    /// CPU time since the stage started, ns.
    #[serde(default)]
    pub cpu: u64,
    /// Whether the stage reads not what the stage before it wrote: it captures, or plays a
    /// recording.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub origin: bool,
    /// How many STATS of this session the stage has sent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Whether the stage is done with the session: counts from number 0 to here are all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
}

/// Counts of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Records of all kinds.
    pub records: u64,
    /// Samples in DATA and BATCH.
    pub samples: u64,
    /// Bytes, headers included.
    pub bytes: u64,
}

/// END: the totals of a session that ended as it should.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// One entry for each stream.
    #[serde(deserialize_with = "bounded::totals")]
    pub streams: Vec<Totals>,
    /// Why it ended: `end`, `signal`, `count`, `duration`, `idle`.
    #[serde(default)]
    pub reason: String,
}

/// What was sent of one stream, in an [`End`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// The stream's number.
    pub stream: u16,
    /// The first sample's sequence number.
    pub first: u64,
    /// One more than the last's.
    pub next: u64,
    /// Samples sent.
    pub samples: u64,
    /// Samples that GAPs say are missing.
    pub lost: u64,
}

macro_rules! payload {
    ($($name:ty => $kind:ident),* $(,)?) => {
        $(impl Payload for $name { const KIND: Kind = Kind::$kind; })*
    };
}

payload! {
    Session => SESSION,
    crate::schema::Stream => STREAM,
    Gap => GAP,
    ClockReading => CLOCK,
    Event => EVENT,
    Stats => STATS,
    End => END,
}

/// Sequences and maps with a limit, so that a megabyte of empty elements does not become
/// a hundred megabytes of structs.
pub(crate) mod bounded {
    use std::collections::BTreeMap;
    use std::fmt;
    use std::marker::PhantomData;

    use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

    use super::{Stage, Totals};

    pub(crate) fn map<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<String, String>, D::Error> {
        from.deserialize_map(Map)
    }

    pub(crate) fn stages<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Stage>, D::Error> {
        from.deserialize_seq(Seq::<Stage, 256>(PhantomData))
    }

    pub(crate) fn words<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<String>, D::Error> {
        from.deserialize_seq(Seq::<String, 4096>(PhantomData))
    }

    pub(crate) fn buckets<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<(u16, u64)>, D::Error> {
        from.deserialize_seq(Seq::<(u16, u64), 512>(PhantomData))
    }

    pub(crate) fn totals<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Totals>, D::Error> {
        from.deserialize_seq(Seq::<Totals, 65536>(PhantomData))
    }

    pub(crate) fn places<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<u32>, D::Error> {
        from.deserialize_seq(Seq::<u32, 65536>(PhantomData))
    }

    /// At most `N` elements.
    pub(crate) struct Seq<T, const N: usize>(pub(crate) PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Seq<T, N> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a sequence of at most {N}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut all = Vec::new();
            while let Some(element) = seq.next_element()? {
                if all.len() == N {
                    return Err(A::Error::invalid_length(N + 1, &self));
                }
                all.push(element);
            }
            Ok(all)
        }
    }

    const MAX_KEYS: usize = 1024;

    struct Map;

    impl<'de> Visitor<'de> for Map {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a map of at most {MAX_KEYS} texts")
        }

        fn visit_map<A: MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<BTreeMap<String, String>, A::Error> {
            let mut all = BTreeMap::new();
            while let Some((key, value)) = map.next_entry()? {
                if all.len() == MAX_KEYS {
                    return Err(A::Error::invalid_length(MAX_KEYS + 1, &self));
                }
                all.insert(key, value);
            }
            Ok(all)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_skipped_and_absent_ones_have_defaults() {
        // {"first": 3, "reason": "gremlins", "colour": [1, 2]}
        let bytes = b"\x83\xa5first\x03\xa6reason\xa8gremlins\xa6colour\x92\x01\x02";
        let gap = Gap::from_bytes(bytes).unwrap();
        assert_eq!((gap.first, gap.count, gap.reason), (3, None, Reason::Unknown));
    }

    #[test]
    fn a_megabyte_of_empty_elements_is_refused_not_allocated() {
        let mut bytes = b"\x81\xa7streams\xdd\x00\x0f\x00\x00".to_vec();
        bytes.resize(MAX_TYPED - 1, 0x80);
        let error = Session::from_bytes(&bytes).unwrap_err();
        assert!(error.to_string().contains("SESSION"), "{error}");
        let error = End::from_bytes(&bytes).unwrap_err();
        assert!(error.to_string().starts_with("END payload"), "{error}");
    }

    #[test]
    fn what_users_write_is_a_number_if_it_can_be() {
        assert_eq!(Value::read(""), Value::Nil);
        assert_eq!(Value::read("true"), Value::Bool(true));
        assert_eq!(Value::read("-7"), Value::Int(-7));
        assert_eq!(Value::read("0.5"), Value::Float(0.5));
        assert_eq!(Value::read("inf"), Value::Text("inf".into()));
        assert_eq!(Value::read("7 apples"), Value::Text("7 apples".into()));
    }

    #[test]
    fn an_events_value_keeps_its_type() {
        let texts = Value::Text("on".into());
        for value in
            [Value::Nil, Value::Bool(true), Value::Int(-7), Value::Float(0.5), texts]
        {
            let event = Event { label: "led".into(), value, source: "test".into() };
            assert_eq!(Event::from_bytes(&event.to_bytes()).unwrap(), event);
        }
    }
}
