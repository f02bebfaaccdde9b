//! `to-xdf`: what pyxdf and our own reader find in a recording, and what a crash leaves.

#[path = "to_xdf/content.rs"]
mod content;
#[path = "to_xdf/damage.rs"]
mod damage;
#[path = "to_xdf/files.rs"]
mod files;
#[path = "to_xdf/kill.rs"]
mod kill;

use std::path::Path;
use std::process::Command;

use framepipe_tests::root;
use libframe::payload::Payload;
use libframe::wire::{Header, Kind, Record};
use libframe_xdf::{Content, Damage, Item, Note, Reader, records, strings};
use serde_json::Value;

/// What `tests/python/xdf_file.py` says; `None`, loudly, without pyxdf.
fn pyxdf(what: &str, path: &str) -> Option<Value> {
    let python = root().join(".venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: no .venv with pyxdf; run scripts/setup");
        return None;
    }
    let script = root().join("tests/python/xdf_file.py");
    let output = Command::new(python).arg(script).args([what, path]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what} {path}\n{stderr}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// A stream that pyxdf found, by its name; it must be the only one of that.
#[track_caller]
fn stream<'a>(found: &'a Value, name: &str) -> &'a Value {
    let all = found["streams"].as_array().unwrap();
    let mut named = all.iter().filter(|stream| stream["name"] == name);
    let one = named.next().unwrap_or_else(|| panic!("no {name} in {found}"));
    assert!(named.next().is_none(), "several {name}");
    one
}

/// Records for a recorder's stdin.
#[derive(Default)]
struct Stdin {
    bytes: Vec<u8>,
    session: u32,
}

impl Stdin {
    fn new(session: u32) -> Stdin {
        Stdin { bytes: Vec::new(), session }
    }

    fn put<P: Payload>(&mut self, stream: u16, seq: u64, time: i64, payload: &P) {
        self.raw(P::KIND, 0, stream, seq, time, &payload.to_bytes());
    }

    fn data(&mut self, stream: u16, seq: u64, time: i64, bytes: &[u8]) {
        self.raw(Kind::DATA, 0, stream, seq, time, bytes);
    }

    fn raw(
        &mut self,
        kind: Kind,
        flags: u8,
        stream: u16,
        seq: u64,
        time: i64,
        bytes: &[u8],
    ) {
        let session = self.session;
        let header = Header { kind, flags, stream, session, seq, time, sent: time + 1 };
        Record::new(header, bytes).encode(&mut self.bytes);
    }
}

/// What our own reader finds.
#[derive(Default)]
struct Found {
    /// By stream of the file: times and values.
    samples: Vec<(u32, Option<f64>, Vec<u8>)>,
    notes: Vec<Note>,
    damage: Vec<Damage>,
    boundaries: u64,
    footers: u64,
}

impl Found {
    fn in_file(path: impl AsRef<Path>) -> Found {
        let mut reader = Reader::open(path.as_ref()).unwrap();
        let mut found = Found::default();
        let mut notes = Vec::new();
        while let Some(item) = reader.next().unwrap() {
            let chunk = match item {
                Item::Chunk(chunk) => chunk,
                Item::Damage(damage) => {
                    found.damage.push(damage);
                    continue;
                }
            };
            let stream = chunk.head.stream;
            match chunk.content {
                Content::StreamHeader(xml) => {
                    let wanted = format!("<type>{}</type>", records::TYPE);
                    if String::from_utf8_lossy(xml).contains(&wanted) {
                        notes.push(stream);
                    }
                }
                Content::Samples(samples) if notes.contains(&stream) => {
                    let texts = samples.iter().flat_map(|sample| strings(sample.values));
                    found.notes.extend(texts.map(|text| Note::parse(text).unwrap()));
                }
                Content::Samples(samples) => {
                    let all = samples.iter();
                    found
                        .samples
                        .extend(all.map(|s| (stream, s.time, s.values.to_vec())));
                }
                Content::Boundary => found.boundaries += 1,
                Content::StreamFooter(_) => found.footers += 1,
                _ => {}
            }
        }
        found
    }

    /// The payloads of a kind, as they were recorded.
    fn payloads<P: Payload>(&self) -> Vec<P> {
        let of_kind = self.notes.iter().filter_map(|note| match note {
            Note::Record { header, payload, .. } if header.kind == P::KIND => {
                Some(payload)
            }
            _ => None,
        });
        of_kind.map(|payload| P::from_bytes(payload).unwrap()).collect()
    }
}
