//! The tables of an HDF5 recording: the records that are not samples, as they were.

use anyhow::Result;
use hdf5::File;
use hdf5::types::TypeDescriptor;
use libframe::wire::{Kind, MAX_PAYLOAD};

use super::dataset::Rows;
use super::h5::{I8, numbers};
use crate::layout::table as names;

/// The tables, in the order that records at the same place are given out.
pub(crate) const TABLES: [(&str, Kind); 4] = [
    (names::EVENTS, Kind::EVENT),
    (names::GAPS, Kind::GAP),
    (names::CLOCK, Kind::CLOCK),
    (names::STATS, Kind::STATS),
];

/// Where a record stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Samples of its stream before it.
    pub(crate) row: u64,
    pub(crate) time: i64,
    pub(crate) seq: u64,
    /// Which of [`TABLES`].
    pub(crate) table: u8,
    /// Its row there.
    pub(crate) at: u64,
}

/// A table whose records are read one by one.
pub(crate) struct Table {
    payloads: Rows,
    ends: Rows,
}

impl Table {
    /// Opens a table; `None` if the file has none of this name.
    pub(crate) fn open(file: &File, name: &str) -> Result<Option<Table>> {
        if !file.link_exists(name) {
            return Ok(None);
        }
        let group = file.group(name)?;
        let ends = numbers(&group, names::PAYLOAD_END, &TypeDescriptor::Unsigned(I8))?;
        let payloads = Rows::new(group.dataset(names::PAYLOAD)?)?;
        Ok(Some(Table { payloads, ends }))
    }

    /// A record's payload.
    pub(crate) fn payload(&mut self, at: u64, out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        let from = if at == 0 { 0 } else { self.ends.word(at - 1)? };
        let to = self.ends.word(at)?.min(self.payloads.len());
        anyhow::ensure!(to.saturating_sub(from) <= MAX_PAYLOAD as u64, "absurd payload");
        self.payloads.append(from.min(to), to, out)
    }
}

/// The entries of one session in a table, with their streams.
pub(crate) fn entries(
    file: &File,
    table: usize,
    session: usize,
) -> Result<Vec<(u16, Entry)>> {
    let (name, _) = TABLES[table];
    let mut all = Vec::new();
    if !file.link_exists(name) {
        return Ok(all);
    }
    let group = file.group(name)?;
    let (signed, unsigned) = (TypeDescriptor::Integer(I8), TypeDescriptor::Unsigned(I8));
    let wide = |name: &str, kind| numbers(&group, name, kind);
    // Narrow numbers are widened by HDF5 itself.
    let mut sessions = wide(names::SESSION, &signed)?;
    let mut streams = wide(names::STREAM, &signed)?;
    let mut rows = wide(names::ROW, &unsigned)?;
    let mut times = wide(names::TIME_NS, &signed)?;
    let mut seqs = wide(names::SEQ, &unsigned)?;
    let ends = wide(names::PAYLOAD_END, &unsigned)?;
    let columns = [&sessions, &streams, &rows, &times, &seqs, &ends];
    let n = columns.iter().map(|column| column.len()).min().unwrap_or(0);
    for at in 0..n {
        if sessions.word(at)? as i64 != session as i64 + 1 {
            continue;
        }
        let stream = streams.word(at)? as u16;
        let (row, seq, time) = (rows.word(at)?, seqs.word(at)?, times.word(at)? as i64);
        all.push((stream, Entry { row, time, seq, table: table as u8, at }));
    }
    Ok(all)
}
