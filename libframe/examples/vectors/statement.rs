//! What a reader must find in a stream, as JSON.
//!
//! Numbers of 64 bits are texts, because many readers of JSON keep 53 bits. Typed payloads
//! stand there as the map that was sent, so keys that this version does not know are seen.

use std::collections::BTreeMap;

use libframe::batch::{Sample, Samples};
use libframe::catalog::Catalog;
use libframe::decoder::{Cause, Damage, Decoder, Item};
use libframe::ledger::{SessionLedger, StreamLedger};
use libframe::payload::{End, Gap, Payload, Reason};
use libframe::wire::{Kind, MAX_PAYLOAD, Record};
use serde_json::{Value, json};

/// Longer payloads are stated as their length and CRC.
const SHORT: usize = 64;

/// States what is in `bytes`.
pub(crate) fn of(about: &str, bytes: &[u8]) -> Value {
    let mut reader = Reader::default();
    let mut decoder = Decoder::new(MAX_PAYLOAD);
    decoder.push(bytes);
    decoder.close();
    while let Some(item) = decoder.pull() {
        match item {
            Item::Record(record) => reader.record(&record),
            Item::Damage(damage) => reader.damage(&damage),
        }
    }
    let mut statement = json!({
        "about": about,
        "records": reader.records,
        "damage": reader.damage,
        "totals": reader.totals(),
    });
    // Whether maps keep their order is up to features that other crates turn on.
    statement.sort_all_objects();
    statement
}

/// The statement with one record a line, so that a difference shows which.
pub(crate) fn text(statement: &Value) -> String {
    let mut text = format!("{{\n\"about\": {}", statement["about"]);
    for key in ["records", "damage"] {
        let all = statement[key].as_array().into_iter().flatten();
        let lines: Vec<_> = all.map(|entry| format!("\n  {entry}")).collect();
        let end = if lines.is_empty() { "" } else { "\n" };
        text += &format!(",\n\"{key}\": [{}{end}]", lines.join(","));
    }
    text + &format!(",\n\"totals\": {}\n}}\n", statement["totals"])
}

#[derive(Default)]
struct Reader {
    records: Vec<Value>,
    damage: Vec<Value>,
    catalog: Catalog,
    sessions: BTreeMap<u32, SessionAccount>,
    /// The last item was damage, and not because the reader came late.
    after_damage: bool,
}

#[derive(Default)]
struct SessionAccount {
    ledger: SessionLedger,
    /// Samples before the first that came are missing, and not just from before.
    from_start: bool,
}

impl Reader {
    fn damage(&mut self, damage: &Damage) {
        self.after_damage = damage.cause != Cause::Late;
        self.damage.push(json!({
            "offset": damage.offset,
            "bytes": damage.bytes,
            "cause": damage.cause.name(),
            "header": damage.header.is_some(),
        }));
    }

    fn record(&mut self, record: &Record<'_>) {
        // A description that cannot be kept shows in the samples not being stated.
        drop(self.catalog.learn(record));
        let header = &record.header;
        let mut entry = json!({
            "kind": header.kind.name().map_or(json!(header.kind.0), Value::from),
            "flags": header.flags,
            "stream": header.stream,
            "session": tag(header.session),
            "seq": header.seq.to_string(),
            "time": header.time.to_string(),
            "sent": header.sent.to_string(),
        });
        state_payload(&mut entry, record);
        let mut count = record.samples();
        let fixed = self
            .catalog
            .sample_size(record)
            .map(|size| size.is_some())
            .filter(|_| header.kind.has_samples());
        if let Some(fixed) = fixed {
            let samples = Samples::parse(record, fixed).ok();
            count = samples.map_or(0, |samples| samples.len() as u64);
            entry["samples"] = samples.map_or(Value::Null, |all| {
                all.iter().map(|sample| state_sample(&sample)).collect()
            });
        }
        self.records.push(entry);
        self.count(record, count);
        self.after_damage = false;
    }

    fn count(&mut self, record: &Record<'_>, samples: u64) {
        let header = &record.header;
        let from_start = self.after_damage || header.kind == Kind::SESSION;
        let new = || SessionAccount { from_start, ..SessionAccount::default() };
        let account = self.sessions.entry(header.session).or_insert_with(new);
        if header.kind == Kind::END {
            account.end(record.payload);
            return;
        }
        let stream = account.ledger.stream(header.stream);
        let Some(stream) = stream.filter(|_| header.stream != 0) else { return };
        let hole = match (header.kind, Gap::from_bytes(record.payload)) {
            (Kind::GAP, Ok(gap)) => stream.gap(&gap),
            (kind, _) if kind.has_samples() => {
                stream.take(header.seq, samples, header.time)
            }
            _ => stream.expect(header.seq),
        };
        explain(stream, hole);
    }

    fn totals(&self) -> Value {
        let sessions = self.sessions.iter().map(|(session, account)| {
            let streams = account.ledger.streams().filter(|(number, _)| *number != 0);
            let totals: serde_json::Map<_, _> =
                streams.map(|(number, all)| (number.to_string(), total(all))).collect();
            (tag(*session), Value::from(totals))
        });
        Value::from_iter(sessions)
    }
}

impl SessionAccount {
    fn end(&mut self, payload: &[u8]) {
        for totals in End::from_bytes(payload).unwrap_or_default().streams {
            if let Some(stream) = self.ledger.stream(totals.stream) {
                for hole in stream.settle(&totals, self.from_start) {
                    explain(stream, hole);
                }
            }
        }
    }
}

/// Books what a reader finds missing.
fn explain(stream: &mut StreamLedger, hole: Option<std::ops::Range<u64>>) {
    let Some(hole) = hole else { return };
    stream.explain(&Gap {
        first: hole.start,
        count: Some(hole.end - hole.start),
        reason: Reason::Upstream,
        stage: String::new(),
        ..Gap::default()
    });
}

fn total(stream: &StreamLedger) -> Value {
    let mut total = json!({
        "first": stream.first().unwrap_or_default().to_string(),
        "next": stream.next().to_string(),
        "samples": stream.samples().to_string(),
        "lost": stream.lost().to_string(),
        "duplicates": stream.duplicates().to_string(),
        "reordered": stream.reordered().to_string(),
        "unknown_gaps": stream.unknown().to_string(),
    });
    if stream.partial() > 0 {
        total["partial"] = json!(stream.partial().to_string());
    }
    total
}

fn state_payload(entry: &mut Value, record: &Record<'_>) {
    let typed =
        (1..=9).contains(&record.header.kind.0) && !record.header.kind.has_samples();
    if typed && let Ok(map) = rmp_serde::from_slice(record.payload) {
        entry["payload"] = portable(map);
    }
    if !typed && record.payload.len() <= SHORT {
        entry["payload_hex"] = hex(record.payload).into();
    } else {
        entry["payload_len"] = record.payload.len().into();
        entry["payload_crc32c"] = tag(record.payload_crc()).into();
    }
}

/// The same with whole numbers beyond 53 bits as texts.
fn portable(value: Value) -> Value {
    match value {
        Value::Array(all) => all.into_iter().map(portable).collect(),
        Value::Object(all) => all.into_iter().map(|(k, v)| (k, portable(v))).collect(),
        Value::Number(n) if n.as_f64().is_some_and(|n| n.abs() > 2f64.powi(53)) => {
            n.to_string().into()
        }
        other => other,
    }
}

fn state_sample(sample: &Sample<'_>) -> Value {
    let mut entry = json!({
        "seq": sample.seq.to_string(),
        "time": sample.time.to_string(),
        "hex": hex(sample.bytes),
    });
    if let Some(time) = sample.device_time {
        entry["device_time"] = time.to_string().into();
    }
    entry
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tag(number: u32) -> String {
    format!("{number:08x}")
}
