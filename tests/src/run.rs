//! A pipeline that has ended, and what came out of it.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use libframe::decoder::{Damage, Decoder, Item};
use libframe::payload::Payload;
use libframe::wire::{Header, Kind, MAX_PAYLOAD};

use crate::Scratch;

/// A pipeline that has ended.
#[derive(Debug)]
pub struct Run {
    pub(crate) stages: Vec<Vec<String>>,
    /// How each stage ended, in order.
    pub statuses: Vec<ExitStatus>,
    /// What the last stage wrote.
    pub stdout: Vec<u8>,
    /// What each stage wrote to stderr.
    pub stderrs: Vec<String>,
    /// The most resident memory of each stage, bytes.
    pub peaks: Vec<u64>,
    /// What `{new}` stood for.
    pub scratch: Option<Scratch>,
}

/// A record or damage, owned.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A record.
    Record(Header, Vec<u8>),
    /// Bytes that are none.
    Damage(Damage),
}

/// Decodes a whole stream.
pub fn decode(bytes: &[u8]) -> Vec<Event> {
    let mut decoder = Decoder::new(MAX_PAYLOAD);
    let mut events = Vec::new();
    for chunk in bytes.chunks(64 << 10).map(Some).chain([None]) {
        match chunk {
            Some(chunk) => decoder.push(chunk),
            None => decoder.close(),
        }
        while let Some(item) = decoder.pull() {
            events.push(match item {
                Item::Record(record) => {
                    Event::Record(record.header, record.payload.to_vec())
                }
                Item::Damage(damage) => Event::Damage(damage),
            });
        }
    }
    events
}

/// How many samples there are among some records.
fn samples<'a>(records: impl Iterator<Item = (&'a Header, &'a [u8])>) -> u64 {
    let count = |(header, payload): (&Header, &[u8])| match header.kind {
        Kind::DATA => 1,
        Kind::BATCH => u64::from(u32::from_le_bytes(*payload.first_chunk().expect("n"))),
        _ => 0,
    };
    records.map(count).sum()
}

/// How many samples a stream holds.
pub fn count_samples(bytes: &[u8]) -> u64 {
    let events = decode(bytes);
    samples(events.iter().filter_map(|event| match event {
        Event::Record(header, payload) => Some((header, payload.as_slice())),
        Event::Damage(_) => None,
    }))
}

/// How many records of a kind a stream holds.
pub fn count_kind(bytes: &[u8], kind: Kind) -> usize {
    let is =
        |event: &&Event| matches!(event, Event::Record(header, _) if header.kind == kind);
    decode(bytes).iter().filter(is).count()
}

impl Run {
    /// Exit codes; minus the signal's number for death by one.
    pub fn codes(&self) -> Vec<i32> {
        let code =
            |s: &ExitStatus| s.code().or(s.signal().map(|n| -n)).unwrap_or(i32::MIN);
        self.statuses.iter().map(code).collect()
    }

    /// Asserts the exit codes, and shows everything if they differ.
    #[track_caller]
    pub fn expect(&self, codes: &[i32]) -> &Run {
        assert_eq!(self.codes(), codes, "\n{}", self.everything());
        self
    }

    /// Asserts that no stage wrote to stderr.
    #[track_caller]
    pub fn expect_silence(&self) -> &Run {
        assert!(self.stderrs.iter().all(String::is_empty), "\n{}", self.everything());
        self
    }

    /// Asserts that a stage's stderr contains a text.
    #[track_caller]
    pub fn expect_stderr(&self, stage: usize, text: &str) -> &Run {
        assert!(self.stderrs[stage].contains(text), "no {text:?}\n{}", self.everything());
        self
    }

    /// Everything there is to know of the run.
    pub fn everything(&self) -> String {
        let ends = self.stages.iter().zip(&self.statuses).zip(&self.stderrs);
        let stages = ends.map(|((words, status), stderr)| {
            format!("===== {}: {status}\n{stderr}", words.join(" "))
        });
        let text: String = stages.collect();
        let stdout = &self.stdout[..self.stdout.len().min(2000)];
        let shown = String::from_utf8_lossy(stdout);
        format!("{text}===== stdout, {} bytes: {shown:?}\n", self.stdout.len())
    }

    /// What the last stage wrote, as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("text on stdout")
    }

    /// What the last stage wrote, as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|err| panic!("{err}\n{}", self.everything()))
    }

    /// All that is on stdout.
    pub fn events(&self) -> Vec<Event> {
        decode(&self.stdout)
    }

    /// The records on stdout, which must be all there is.
    #[track_caller]
    pub fn records(&self) -> Vec<(Header, Vec<u8>)> {
        let records = self.events().into_iter().map(|event| match event {
            Event::Record(header, payload) => (header, payload),
            Event::Damage(damage) => panic!("{damage:?}\n{}", self.everything()),
        });
        records.collect()
    }

    /// The records of some kinds.
    #[track_caller]
    pub fn of_kind(&self, kinds: &[Kind]) -> Vec<(Header, Vec<u8>)> {
        let mut records = self.records();
        records.retain(|(header, _)| kinds.contains(&header.kind));
        records
    }

    /// The typed payloads of a kind.
    #[track_caller]
    pub fn payloads<P: Payload>(&self) -> Vec<P> {
        let of_kind = self.of_kind(&[P::KIND]).into_iter();
        of_kind.map(|(_, payload)| P::from_bytes(&payload).expect("a payload")).collect()
    }

    /// How many samples are on stdout.
    #[track_caller]
    pub fn samples(&self) -> u64 {
        let records = self.records();
        samples(records.iter().map(|(header, payload)| (header, payload.as_slice())))
    }
}
