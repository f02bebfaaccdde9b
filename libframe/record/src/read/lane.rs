//! One stream of an HDF5 recording, as the records it came in.

use anyhow::{Context as _, Result};
use hdf5::types::TypeDescriptor;
use hdf5::{File, Group};
use libframe::clock::SECOND;
use libframe::decoder::{Cause, Damage};
use libframe::wire::{FLAG_DEVICE_TIME, Header, Kind, MAX_PAYLOAD};

use super::dataset::Rows;
use super::h5::{Description, I8, all_descriptions, int, numbers, row_count};
use super::table::{Entry, TABLES, Table};
use crate::layout::stream;

/// Samples of one stream that came out of order lie at most this far apart.
const DISORDER: i64 = SECOND;

/// A stream, at a place.
pub(crate) struct Lane {
    pub(crate) number: u16,
    /// Its clock minus the session's, ns.
    clock: i64,
    parts: Vec<Part>,
    part: usize,
    /// Samples in the parts before this one.
    base: u64,
    /// The next sample in this part.
    row: u64,
    entries: Vec<Entry>,
    entry: usize,
    /// The number that the next sample should have.
    next: u64,
    /// Capture time of what was given out last.
    last_time: i64,
    head: Option<Head>,
}

/// What comes next, and when it was captured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) time: i64,
    pub(crate) what: What,
}

/// What comes next in a lane.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// The stream is described differently from here on.
    Description,
    /// A record out of a table.
    Entry(Entry),
    /// A sample.
    Sample,
}

/// What a lane gave out.
pub(crate) enum Taken {
    /// A record; its payload is where it was asked to be.
    Record(Header),
    /// Samples that are there, but cannot be read.
    Damage(Damage),
}

/// A group of a stream.
struct Part {
    time: Rows,
    seq: Rows,
    device_time: Option<Rows>,
    device_time_valid: Option<Rows>,
    bytes: Bytes,
    rows: u64,
    descriptions: Vec<Description>,
    /// The next description to be given out.
    described: usize,
}

/// Where the bytes of samples are.
enum Bytes {
    Fixed(Box<Rows>),
    Varying(Box<Varying>),
    /// Nobody wants them.
    Left,
}

/// Samples back to back, and where each of them is.
struct Varying {
    all: Rows,
    offset: Rows,
    size: Rows,
}

impl Lane {
    /// A stream's groups in order, and its entries table by table. Without `samples` only
    /// what stands between them.
    pub(crate) fn open(
        number: u16,
        groups: &[Group],
        entries: Vec<Entry>,
        samples: bool,
    ) -> Result<Lane> {
        let open =
            |group: &Group| Part::open(group, samples).with_context(|| group.name());
        let mut parts = groups.iter().map(open).collect::<Result<Vec<_>>>()?;
        let entries = merge(place(entries, &mut parts)?);
        // The session's announcement holds the first description of all.
        for part in parts.iter_mut().skip(1) {
            part.described = 0;
        }
        let told = groups.last().and_then(|group| int(group, stream::CLOCK_OFFSET));
        let mut lane = Lane {
            number,
            clock: told.unwrap_or(0),
            parts,
            part: 0,
            base: 0,
            row: 0,
            entries,
            entry: 0,
            next: 0,
            last_time: i64::MIN,
            head: None,
        };
        lane.next = lane.next_number()?;
        lane.find_head()?;
        Ok(lane)
    }

    /// What comes next.
    #[inline]
    pub(crate) fn head(&self) -> Option<Head> {
        self.head
    }

    /// A time of this stream on the session's clock.
    #[inline]
    pub(crate) fn on_session_clock(&self, time: i64) -> i64 {
        time.saturating_sub(self.clock)
    }

    /// A time of the session's clock on this stream's.
    pub(crate) fn on_own_clock(&self, time: i64) -> i64 {
        time.saturating_add(self.clock)
    }

    /// The number that the next sample should have.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The first number that the recorder knew of, at the start: a sample's, or one that it
    /// knew to be lost.
    pub(crate) fn first(&self) -> u64 {
        let lost = self.entries.first().filter(|entry| entry.row == 0);
        match lost.map(|entry| TABLES[usize::from(entry.table)].1) {
            Some(Kind::GAP) => 0,
            _ => self.next,
        }
    }

    /// The description that holds here.
    pub(crate) fn description(&self) -> Option<&[u8]> {
        let part = self.parts.get(self.part).or(self.parts.last())?;
        let held = part.described.max(1) - 1;
        Some(&part.descriptions.get(held)?.payload)
    }

    /// Moves to a little before a time of the session's clock.
    pub(crate) fn seek(&mut self, time: i64) -> Result<()> {
        let time = time.saturating_add(self.clock).saturating_sub(DISORDER);
        while let Some(part) = self.parts.get_mut(self.part) {
            if part.rows > 0 && part.time.word(part.rows - 1)? as i64 >= time {
                break;
            }
            self.base += part.rows;
            self.part += 1;
        }
        if let Some(part) = self.parts.get_mut(self.part) {
            self.row = part.find(time)?;
            let row = self.row;
            let held = part.descriptions.iter().take_while(|d| d.row <= row);
            part.described = held.count().max(1);
        }
        let row = self.base + self.row;
        let old = |entry: &Entry| entry.time < time && entry.row <= row;
        self.entry =
            self.entries.iter().position(|e| !old(e)).unwrap_or(self.entries.len());
        let skipped = &mut self.entries[..self.entry];
        let is_clock = |entry: &&Entry| TABLES[usize::from(entry.table)].1 == Kind::CLOCK;
        let clock = skipped.iter().rev().find(is_clock).copied();
        // What was told last of the stream's clock holds from here on too.
        if let (Some(clock), Some(last), 1..) = (clock, skipped.last_mut(), self.number) {
            *last = clock;
            self.entry -= 1;
        }
        self.next = self.next_number()?;
        self.find_head()
    }

    /// Gives out what comes next: its header, with its payload in `payload`.
    #[inline]
    pub(crate) fn take(
        &mut self,
        tables: &mut [Option<Table>],
        payload: &mut Vec<u8>,
    ) -> Result<Option<Taken>> {
        let Some(head) = self.head else { return Ok(None) };
        let mut damage = None;
        payload.clear();
        let mut header = Header {
            kind: Kind::DATA,
            flags: 0,
            stream: self.number,
            session: 0,
            seq: self.next,
            time: head.time,
            sent: 0,
        };
        match head.what {
            What::Sample => damage = self.take_sample(&mut header, payload)?,
            What::Description => {
                header.kind = Kind::STREAM;
                let part = &mut self.parts[self.part];
                payload.extend_from_slice(&part.descriptions[part.described].payload);
                part.described += 1;
            }
            What::Entry(entry) => {
                header.kind = TABLES[usize::from(entry.table)].1;
                header.seq = entry.seq;
                if let Some(table) = &mut tables[usize::from(entry.table)] {
                    table.payload(entry.at, payload)?;
                }
                self.entry += 1;
                if self.number != 0 {
                    self.next = self.next.max(entry.seq);
                }
            }
        }
        self.last_time = head.time;
        self.find_head()?;
        Ok(Some(damage.map_or(Taken::Record(header), Taken::Damage)))
    }

    /// Takes a sample. Where its chunk cannot be read, the rest of that is damage: one flipped
    /// bit must not hide the samples after it.
    #[inline]
    fn take_sample(
        &mut self,
        header: &mut Header,
        payload: &mut Vec<u8>,
    ) -> Result<Option<Damage>> {
        let row = self.row;
        let part = &mut self.parts[self.part];
        header.seq = part.seq.word(row)?;
        if let Some(device_time) = part.device_time(row)? {
            header.flags = FLAG_DEVICE_TIME;
            payload.extend_from_slice(&device_time.to_le_bytes());
        }
        if part.append_sample(row, payload).is_err() {
            let (rows, bytes) = part.unreadable(row);
            self.row += rows;
            // What comes next must tell that these are missing, whatever it is.
            self.next = self.next_number()?;
            let (offset, cause) = (row, Cause::Payload);
            return Ok(Some(Damage { offset, bytes, cause, header: Some(*header) }));
        }
        self.row += 1;
        self.next = self.next.max(header.seq.saturating_add(1));
        Ok(None)
    }

    /// Finds what comes next. Entries stand before the sample of their row, and so does a
    /// new description.
    #[inline]
    fn find_head(&mut self) -> Result<()> {
        while let Some(part) = self.parts.get(self.part) {
            let more = self.row < part.rows || part.described < part.descriptions.len();
            if more || self.part + 1 == self.parts.len() {
                break;
            }
            self.base += part.rows;
            self.part += 1;
            self.row = 0;
        }
        let entry = self.entries.get(self.entry);
        let row = self.base + self.row;
        let Some(part) = self.parts.get_mut(self.part).filter(|part| {
            self.row < part.rows || part.described < part.descriptions.len()
        }) else {
            self.head =
                entry.map(|entry| Head { time: entry.time, what: What::Entry(*entry) });
            return Ok(());
        };
        if let Some(entry) = entry.filter(|entry| entry.row <= row) {
            self.head = Some(Head { time: entry.time, what: What::Entry(*entry) });
            return Ok(());
        }
        let time = match self.row < part.rows {
            true => part.time.word(self.row)? as i64,
            false => self.last_time,
        };
        let described = part.descriptions.get(part.described);
        let what = match described {
            Some(description) if description.row <= self.row => What::Description,
            Some(_) if self.row == part.rows => What::Description,
            _ => What::Sample,
        };
        self.head = Some(Head { time, what });
        Ok(())
    }

    /// The number of the next sample, if there is one.
    fn next_number(&mut self) -> Result<u64> {
        let (mut at, mut row) = (self.part, self.row);
        while let Some(part) = self.parts.get_mut(at) {
            if row < part.seq.len() {
                return part.seq.word(row);
            }
            (at, row) = (at + 1, 0);
        }
        Ok(self.entries.get(self.entry).map_or(self.next, |entry| entry.seq))
    }
}

impl Part {
    fn open(group: &Group, samples: bool) -> Result<Part> {
        let (signed, unsigned) =
            (TypeDescriptor::Integer(I8), TypeDescriptor::Unsigned(I8));
        let optional = |name: &str| {
            let there = group.link_exists(name);
            there.then(|| numbers(group, name, &unsigned)).transpose()
        };
        let bytes = match samples {
            false => Bytes::Left,
            true if group.link_exists(stream::OFFSET) => {
                Bytes::Varying(Box::new(Varying {
                    all: Rows::new(group.dataset(stream::DATA)?)?,
                    offset: numbers(group, stream::OFFSET, &unsigned)?,
                    size: numbers(group, stream::SIZE, &unsigned)?,
                }))
            }
            true => Bytes::Fixed(Box::new(Rows::new(group.dataset(stream::DATA)?)?)),
        };
        let stored = match &bytes {
            Bytes::Fixed(rows) => rows.len(),
            Bytes::Varying(varying) => varying.offset.len().min(varying.size.len()),
            Bytes::Left => u64::MAX,
        };
        let rows = row_count(group).min(stored);
        let mut time = numbers(group, stream::TIME_NS, &signed)?;
        let mut seq = numbers(group, stream::SEQ, &unsigned)?;
        time.truncate(rows);
        seq.truncate(rows);
        Ok(Part {
            time,
            seq,
            device_time: optional(stream::DEVICE_TIME)?,
            device_time_valid: optional(stream::DEVICE_TIME_VALID)?,
            bytes,
            rows: if samples { rows } else { 0 },
            descriptions: all_descriptions(group)?,
            // The first is announced with the session.
            described: 1,
        })
    }

    /// The first row of a time or later.
    fn find(&mut self, time: i64) -> Result<u64> {
        let (mut low, mut high) = (0, self.rows);
        while low < high {
            let middle = low + (high - low) / 2;
            match (self.time.word(middle)? as i64) < time {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok(low)
    }

    fn device_time(&mut self, row: u64) -> Result<Option<u64>> {
        if let Some(valid) = &mut self.device_time_valid
            && row < valid.len()
            && valid.word(row)? == 0
        {
            return Ok(None);
        }
        match &mut self.device_time {
            Some(times) if row < times.len() => times.word(row).map(Some),
            _ => Ok(None),
        }
    }

    /// How many rows from here on are lost with this one, and their bytes.
    fn unreadable(&mut self, row: u64) -> (u64, u64) {
        match &mut self.bytes {
            Bytes::Fixed(rows) => {
                let n = rows.chunk_rows() - row % rows.chunk_rows();
                let n = n.min(self.rows - row);
                (n, n * rows.row_len() as u64)
            }
            Bytes::Varying(varying) => (1, varying.size.word(row).unwrap_or(0).max(1)),
            Bytes::Left => (1, 1),
        }
    }

    fn append_sample(&mut self, row: u64, out: &mut Vec<u8>) -> Result<()> {
        match &mut self.bytes {
            Bytes::Fixed(rows) => out.extend_from_slice(rows.row(row)?),
            Bytes::Varying(varying) => {
                let Varying { all, offset, size } = varying.as_mut();
                let (from, len) = (offset.word(row)?, size.word(row)?);
                anyhow::ensure!(len <= MAX_PAYLOAD as u64, "a sample of {len} bytes");
                all.append(from, from.saturating_add(len), out)?;
            }
            Bytes::Left => {}
        }
        Ok(())
    }
}

/// Counts the rows that entries name over all groups of their stream, as each table counts
/// those of the group that was written at its time.
fn place(mut entries: Vec<Entry>, parts: &mut [Part]) -> Result<Vec<Entry>> {
    if parts.len() < 2 {
        return Ok(entries);
    }
    let mut firsts = Vec::new();
    for part in parts.iter_mut() {
        firsts.push(if part.time.len() > 0 { part.seq.word(0)? } else { 0 });
    }
    let (mut at, mut base, mut last) = (0, 0, (u8::MAX, 0));
    for entry in &mut entries {
        if last.0 != entry.table {
            (at, base, last) = (0, 0, (entry.table, 0));
        }
        // Back to an earlier row, or on to numbers of the next group.
        while at + 1 < parts.len()
            && (entry.row < last.1
                || entry.row > parts[at].time.len()
                || entry.seq > firsts[at + 1] && parts[at + 1].time.len() > 0)
        {
            base += parts[at].time.len();
            (at, last.1) = (at + 1, 0);
        }
        last.1 = entry.row;
        entry.row += base;
    }
    Ok(entries)
}

/// Puts entries of several tables in one order, without changing the order within any:
/// between tables the place decides, then the time.
fn merge(entries: Vec<Entry>) -> Vec<Entry> {
    let mut runs: Vec<_> = entries.chunk_by(|a, b| a.table == b.table).collect();
    let mut merged = Vec::with_capacity(entries.len());
    loop {
        let waiting = runs.iter_mut().filter(|run| !run.is_empty());
        let first = waiting.min_by_key(|run| (run[0].row, run[0].time, run[0].table));
        let entry = first.and_then(|run| run.split_off_first());
        let Some(entry) = entry else { return merged };
        merged.push(*entry);
    }
}

/// The tables that a file has.
pub(crate) fn tables(file: &File) -> Result<Vec<Option<Table>>> {
    let all = TABLES.iter();
    all.map(|(name, _)| Table::open(file, name).with_context(|| format!("/{name}")))
        .collect()
}
