//! A JSON object a line, for records of every kind.
//!
//! Samples are written by hand: they are the bulk, and need nothing that a serialiser
//! gives. The typed payloads go through serde.

use std::io::Write;

use anyhow::Result;
use libframe::batch::Samples;
use libframe::catalog::Catalog;
use libframe::payload::{ClockReading, Event, Gap, Payload, Session, Stats};
use libframe::schema::{Media, Stream};
use libframe::tool::Ended;
use libframe::wire::{Kind, Record};
use serde_json::{Value, json};

use crate::number;
use crate::stamp::Stamps;

pub(crate) struct Ndjson {
    bytes: usize,
    line: Vec<u8>,
}

impl Ndjson {
    pub(crate) fn new(bytes: usize) -> Ndjson {
        Ndjson { bytes, line: Vec::new() }
    }

    pub(crate) fn write(
        &mut self,
        record: &Record<'_>,
        catalog: &Catalog,
        stamps: &Stamps,
        out: &mut impl Write,
    ) -> Result<()> {
        if record.header.kind.has_samples() {
            return self.write_samples(record, catalog, stamps, out);
        }
        let payload = match record.header.kind {
            Kind::SESSION => typed::<Session>(record),
            Kind::STREAM => typed::<Stream>(record),
            Kind::GAP => typed::<Gap>(record),
            Kind::CLOCK => typed::<ClockReading>(record),
            Kind::EVENT => typed::<Event>(record),
            Kind::STATS => typed::<Stats>(record),
            _ => json!({ "bytes": record.payload.len() }),
        };
        self.begin(record, catalog, record.header.seq, record.header.time, stamps);
        self.line.extend_from_slice(b",\"payload\":");
        serde_json::to_writer(&mut self.line, &payload)?;
        self.finish(out)
    }

    /// END comes to a tool as the end of a session, not as a record.
    pub(crate) fn write_end(
        &mut self,
        ended: &Ended<'_>,
        out: &mut impl Write,
    ) -> Result<()> {
        let end = ended.ledger.end(ended.reason);
        let line = json!({
            "kind": "end",
            "session": format!("{:08x}", ended.session),
            "broke_off": ended.broke_off,
            "payload": end,
        });
        self.line.clear();
        serde_json::to_writer(&mut self.line, &line)?;
        self.line.push(b'\n');
        Ok(out.write_all(&self.line)?)
    }

    fn write_samples(
        &mut self,
        record: &Record<'_>,
        catalog: &Catalog,
        stamps: &Stamps,
        out: &mut impl Write,
    ) -> Result<()> {
        let fixed = catalog.is_fixed(record);
        let described = catalog.of(record);
        for sample in Samples::parse(record, fixed)?.iter() {
            self.begin(record, catalog, sample.seq, sample.time, stamps);
            if let Some(ticks) = sample.device_time {
                write!(self.line, ",\"device_time\":{ticks}")?;
            }
            match described {
                Some(stream) => self.values(stream, sample.bytes)?,
                None => self.raw(sample.bytes)?,
            }
            self.finish(out)?;
        }
        Ok(())
    }

    fn values(&mut self, stream: &Stream, bytes: &[u8]) -> Result<()> {
        match (number::dtype_of(stream), stream.media) {
            (Some(dtype), _) => {
                self.line.extend_from_slice(b",\"values\":[");
                let comma = |index, out: &mut Vec<u8>| {
                    if index > 0 {
                        out.push(b',');
                    }
                };
                number::write_all(bytes, dtype, "null", comma, &mut self.line);
                self.line.push(b']');
                Ok(())
            }
            (None, Media::Text) => {
                self.line.extend_from_slice(b",\"text\":");
                Ok(serde_json::to_writer(
                    &mut self.line,
                    &String::from_utf8_lossy(bytes),
                )?)
            }
            _ => self.raw(bytes),
        }
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        write!(self.line, ",\"bytes\":{},\"hex\":\"", bytes.len())?;
        number::write_hex(bytes, self.bytes, &mut self.line);
        self.line.push(b'"');
        Ok(())
    }

    /// Begins a line with what all records have.
    fn begin(
        &mut self,
        record: &Record<'_>,
        catalog: &Catalog,
        seq: u64,
        time: i64,
        stamps: &Stamps,
    ) {
        let header = record.header;
        let kind = match header.kind {
            Kind::BATCH => "data".to_owned(),
            kind => kind.name().map_or(format!("kind-{}", kind.0), str::to_lowercase),
        };
        self.line.clear();
        self.line.extend_from_slice(b"{\"kind\":\"");
        self.line.extend_from_slice(kind.as_bytes());
        self.line.extend_from_slice(b"\",\"time\":");
        let quote: &[u8] = if stamps.are_texts() { b"\"" } else { b"" };
        self.line.extend_from_slice(quote);
        stamps.write(&header, time, &mut self.line);
        self.line.extend_from_slice(quote);
        if header.stream != 0 {
            let name = catalog.of(record).map(|stream| stream.name.as_str());
            let name = Value::from(name.unwrap_or_default()).to_string();
            self.line.extend_from_slice(b",\"stream\":");
            self.line.extend_from_slice(name.as_bytes());
            self.line.extend_from_slice(format!(",\"seq\":{seq}").as_bytes());
        }
    }

    fn finish(&mut self, out: &mut impl Write) -> Result<()> {
        self.line.extend_from_slice(b"}\n");
        Ok(out.write_all(&self.line)?)
    }
}

fn typed<P: Payload>(record: &Record<'_>) -> Value {
    match P::from_bytes(record.payload) {
        Ok(payload) => serde_json::to_value(payload).unwrap_or(Value::Null),
        Err(err) => json!({ "error": err.to_string() }),
    }
}
