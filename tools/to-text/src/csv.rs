//! A table: a row for each sample, a column for each channel of each stream.
//!
//! A table's columns are fixed by its first line, so they are those of the streams that
//! were announced before the first sample. What belongs to a later stream has no column;
//! it is counted, and the end is a failure that says so.

use std::io::Write;

use anyhow::{Result, bail};
use libframe::batch::Samples;
use libframe::catalog::Catalog;
use libframe::payload::{Event, Gap, Payload as _, Value};
use libframe::schema::{Dtype, Stream};
use libframe::wire::{Kind, Record};

use crate::number;
use crate::stamp::Stamps;

/// Lines that wait for the first sample.
const MAX_EARLY: usize = 1000;
/// Columns of one stream; a wider sample is a picture, not a row.
const MAX_COLUMNS: usize = 16384;

pub(crate) struct Csv {
    bytes: usize,
    line: Vec<u8>,
    columns: Option<Columns>,
    /// Lines of events and gaps from before the first sample: with those alone it is not
    /// known yet which columns there are.
    early: Vec<Vec<u8>>,
    /// Samples of streams that have no columns.
    homeless: u64,
}

/// Where each stream's columns begin, and how many there are.
struct Columns {
    streams: Vec<(String, usize, usize)>,
    total: usize,
}

impl Csv {
    pub(crate) fn new(bytes: usize) -> Csv {
        Csv { bytes, line: Vec::new(), columns: None, early: Vec::new(), homeless: 0 }
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
        let note = match record.header.kind {
            Kind::GAP => Gap::from_bytes(record.payload).map(|gap| gap_note(&gap)),
            Kind::EVENT => {
                Event::from_bytes(record.payload).map(|event| event_note(&event))
            }
            _ => Ok(format!("{} bytes", record.payload.len())),
        };
        let note = note.unwrap_or_else(|err| err.to_string());
        self.begin(
            record,
            catalog,
            (record.header.seq, record.header.time),
            &note,
            stamps,
        );
        if self.columns.is_none() && self.early.len() < MAX_EARLY {
            self.early.push(std::mem::take(&mut self.line));
            return Ok(());
        }
        let line = std::mem::take(&mut self.line);
        self.header(record.header.session, catalog, out)?;
        self.line = line;
        self.pad(out)
    }

    /// Writes what waits for a first sample that has not come until the end of its session.
    pub(crate) fn end(
        &mut self,
        session: u32,
        catalog: &Catalog,
        out: &mut impl Write,
    ) -> Result<()> {
        match self.early.is_empty() {
            true => Ok(()),
            false => self.header(session, catalog, out),
        }
    }

    /// Writes a line that has nothing in the columns.
    fn pad(&mut self, out: &mut impl Write) -> Result<()> {
        let total = self.columns.as_ref().map_or(0, |columns| columns.total);
        self.line.resize(self.line.len() + total, b',');
        self.finish(out)
    }

    /// Fails if some samples found no column.
    pub(crate) fn check(&self) -> Result<()> {
        match self.homeless {
            0 => Ok(()),
            n => bail!(
                "{n} samples of streams that were announced late have no column; choose \
                 streams with pick-frames, or use --format ndjson"
            ),
        }
    }

    fn write_samples(
        &mut self,
        record: &Record<'_>,
        catalog: &Catalog,
        stamps: &Stamps,
        out: &mut impl Write,
    ) -> Result<()> {
        self.header(record.header.session, catalog, out)?;
        let fixed = catalog.is_fixed(record);
        let samples = Samples::parse(record, fixed)?;
        let (Some(stream), Some(columns)) = (catalog.of(record), &self.columns) else {
            self.homeless += samples.len() as u64;
            return Ok(());
        };
        let place = columns.streams.iter().find(|(name, ..)| *name == stream.name);
        let width = columns_of(stream);
        let Some((_, first, _)) = place.filter(|(_, _, count)| *count == width) else {
            self.homeless += samples.len() as u64;
            return Ok(());
        };
        let (first, total) = (*first, columns.total);
        for sample in samples.iter() {
            self.begin(record, catalog, (sample.seq, sample.time), "", stamps);
            self.line.resize(self.line.len() + first, b',');
            match dtype_of(stream) {
                Some(dtype) => {
                    let comma = |_, out: &mut Vec<u8>| out.push(b',');
                    number::write_all(sample.bytes, dtype, "", comma, &mut self.line);
                }
                None => {
                    self.line.push(b',');
                    number::write_hex(sample.bytes, self.bytes, &mut self.line);
                }
            }
            self.line.resize(self.line.len() + (total - first - width), b',');
            self.finish(out)?;
        }
        Ok(())
    }

    /// Writes the first line, once.
    fn header(
        &mut self,
        session: u32,
        catalog: &Catalog,
        out: &mut impl Write,
    ) -> Result<()> {
        if self.columns.is_some() {
            return Ok(());
        }
        let streams: Vec<_> =
            catalog.streams(session).map(|(_, stream)| stream).collect();
        let mut columns = Columns { streams: Vec::new(), total: 0 };
        self.line.clear();
        self.line.extend_from_slice(b"time,stream,kind,seq,note");
        for stream in &streams {
            let width = columns_of(stream);
            for index in 0..width {
                let label = stream.label(index);
                let label = match streams.len() {
                    1 => label,
                    _ => format!("{}.{label}", stream.name),
                };
                self.line.push(b',');
                self.line.extend_from_slice(quoted(&label).as_bytes());
            }
            columns.streams.push((stream.name.clone(), columns.total, width));
            columns.total += width;
        }
        self.columns = Some(columns);
        self.finish(out)?;
        for line in std::mem::take(&mut self.early) {
            self.line = line;
            self.pad(out)?;
        }
        Ok(())
    }

    fn begin(
        &mut self,
        record: &Record<'_>,
        catalog: &Catalog,
        (seq, time): (u64, i64),
        note: &str,
        stamps: &Stamps,
    ) {
        let header = record.header;
        self.line.clear();
        stamps.write(&header, time, &mut self.line);
        let name = catalog.of(record).map_or("", |stream| stream.name.as_str());
        let kind = match header.kind {
            Kind::BATCH => "data".into(),
            kind => kind.name().map_or(format!("kind-{}", kind.0), str::to_lowercase),
        };
        let rest = format!(",{},{kind},{seq},{}", quoted(name), quoted(note));
        self.line.extend_from_slice(rest.as_bytes());
    }

    fn finish(&mut self, out: &mut impl Write) -> Result<()> {
        self.line.push(b'\n');
        Ok(out.write_all(&self.line)?)
    }
}

/// One column for each number; one in hexadecimal for what is no number, or too many.
fn columns_of(stream: &Stream) -> usize {
    match dtype_of(stream) {
        Some(_) => stream.width(),
        None => 1,
    }
}

fn dtype_of(stream: &Stream) -> Option<Dtype> {
    number::dtype_of(stream).filter(|_| stream.width() <= MAX_COLUMNS)
}

fn gap_note(gap: &Gap) -> String {
    let count = gap.count.map_or("unknown number".into(), |count| count.to_string());
    let what = match gap.incomplete() {
        Some(n) => format!("channels {:?} of {n}", gap.channels),
        None => count,
    };
    format!("{what} missing from {}: {} ({})", gap.first, gap.reason.name(), gap.stage)
}

fn event_note(event: &Event) -> String {
    match &event.value {
        Value::Nil => event.label.clone(),
        Value::Bool(value) => format!("{}={value}", event.label),
        Value::Int(value) => format!("{}={value}", event.label),
        Value::Float(value) => format!("{}={value}", event.label),
        Value::Text(value) => format!("{}={value}", event.label),
    }
}

/// Quotes a field as RFC 4180 asks, where it must be.
fn quoted(text: &str) -> String {
    match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(quoted("a b"), "a b");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
