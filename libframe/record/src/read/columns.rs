//! A stream's times and numbers, block by block.

use std::collections::VecDeque;
use std::path::Path;

use anyhow::Result;
use hdf5::Group;
use hdf5::types::TypeDescriptor;
use libframe::batch::Samples;
use libframe::decoder::Item;
use libframe::wire::Record;

use super::dataset::Rows;
use super::frames::{FrameReader, enter};
use super::h5::{I8, numbers, row_count};
use crate::layout::stream;
use crate::recording::{Block, StreamInfo};
use crate::xdf::{self, Xdf};

/// Rows in a block, about.
const BLOCK: usize = 64 << 10;

/// A stream's times and numbers, block by block, in bounded memory.
pub struct Columns {
    source: Source,
    time: Vec<i64>,
    seq: Vec<u64>,
    device_time: Vec<u64>,
}

enum Source {
    Groups(VecDeque<Part>),
    Frames {
        reader: Box<FrameReader>,
        key: (usize, u16),
        fixed: bool,
    },
    Xdf {
        play: Box<xdf::Play>,
        sessions: Vec<(u32, bool)>,
        key: (usize, u16),
        fixed: bool,
    },
}

/// The columns of one group.
struct Part {
    time: Rows,
    seq: Rows,
    device_time: Option<Rows>,
    at: u64,
    rows: u64,
}

impl Columns {
    pub(crate) fn of_groups(groups: Vec<Group>) -> Result<Columns> {
        let parts = groups.iter().map(Part::open).collect::<Result<_>>()?;
        Ok(Columns::new(Source::Groups(parts)))
    }

    pub(crate) fn of_frames(path: &Path, stream: &StreamInfo) -> Result<Columns> {
        let key = (stream.session, stream.number);
        let fixed = stream.description.sample_size().is_some();
        let reader = Box::new(FrameReader::open(path)?);
        Ok(Columns::new(Source::Frames { reader, key, fixed }))
    }

    pub(crate) fn of_xdf(xdf: &Xdf, stream: &StreamInfo) -> Result<Columns> {
        let fixed = stream.description.sample_size().is_some();
        let play = Box::new(xdf.play()?);
        let (sessions, key) = (Vec::new(), (stream.session, stream.number));
        Ok(Columns::new(Source::Xdf { play, sessions, key, fixed }))
    }

    fn new(source: Source) -> Columns {
        let (time, seq, device_time) = (Vec::new(), Vec::new(), Vec::new());
        Columns { source, time, seq, device_time }
    }

    /// The next block; `None` after the last.
    pub fn next_block(&mut self) -> Result<Option<Block<'_>>> {
        self.time.clear();
        self.seq.clear();
        self.device_time.clear();
        match self.source {
            Source::Groups(_) => self.fill_from_groups()?,
            Source::Frames { .. } => self.fill_from_frames()?,
            Source::Xdf { .. } => self.fill_from_xdf()?,
        }
        if self.time.is_empty() {
            return Ok(None);
        }
        // Samples before the first device time have none; a block is all or nothing.
        let timed = !self.device_time.is_empty();
        if timed {
            self.device_time.resize(self.time.len(), 0);
        }
        Ok(Some(Block {
            time: &self.time,
            seq: &self.seq,
            device_time: timed.then_some(&self.device_time),
        }))
    }

    fn fill_from_groups(&mut self) -> Result<()> {
        let Source::Groups(parts) = &mut self.source else { return Ok(()) };
        while parts.front().is_some_and(|part| part.at == part.rows) {
            parts.pop_front();
        }
        let Some(part) = parts.front_mut() else { return Ok(()) };
        // Whole chunks, so that none is inflated twice.
        let chunk = part.time.chunk_rows();
        let blocks = (BLOCK as u64 / chunk).max(1) * chunk;
        let to = part.rows.min(part.at / chunk * chunk + blocks);
        words(&mut part.time, part.at, to, i64::from_le_bytes, &mut self.time)?;
        words(&mut part.seq, part.at, to, u64::from_le_bytes, &mut self.seq)?;
        if let Some(rows) = &mut part.device_time {
            words(rows, part.at, to, u64::from_le_bytes, &mut self.device_time)?;
        }
        part.at = to;
        Ok(())
    }

    fn fill_from_frames(&mut self) -> Result<()> {
        let Source::Frames { reader, key, fixed } = &mut self.source else {
            return Ok(());
        };
        let (key, fixed) = (*key, *fixed);
        while self.time.len() < BLOCK {
            let Some((session, item)) = reader.read()? else { break };
            let Item::Record(record) = item else { continue };
            let of = |record: &Record<'_>| (session, record.header.stream);
            if !record.header.kind.has_samples() || of(&record) != key {
                continue;
            }
            if let Ok(samples) = Samples::parse(&record, fixed) {
                add(&samples, &mut self.time, &mut self.seq, &mut self.device_time);
            }
        }
        Ok(())
    }

    fn fill_from_xdf(&mut self) -> Result<()> {
        while self.time.len() < BLOCK {
            let Source::Xdf { play, sessions, key, fixed } = &mut self.source else {
                break;
            };
            let Some(item) = play.read()? else { break };
            let Item::Record(record) = item else { continue };
            let header = record.header;
            let session = enter(sessions, &header);
            if header.kind.has_samples()
                && (session, header.stream) == *key
                && let Ok(samples) = Samples::parse(&record, *fixed)
            {
                add(&samples, &mut self.time, &mut self.seq, &mut self.device_time);
            }
        }
        Ok(())
    }
}

impl Part {
    fn open(group: &Group) -> Result<Part> {
        let (signed, unsigned) =
            (TypeDescriptor::Integer(I8), TypeDescriptor::Unsigned(I8));
        let device_time = match group.link_exists(stream::DEVICE_TIME) {
            true => Some(numbers(group, stream::DEVICE_TIME, &unsigned)?),
            false => None,
        };
        Ok(Part {
            time: numbers(group, stream::TIME_NS, &signed)?,
            seq: numbers(group, stream::SEQ, &unsigned)?,
            device_time,
            at: 0,
            rows: row_count(group),
        })
    }
}

/// Adds the samples of a record.
fn add(
    samples: &Samples<'_>,
    time: &mut Vec<i64>,
    seq: &mut Vec<u64>,
    device_time: &mut Vec<u64>,
) {
    for sample in samples.iter() {
        if let Some(ticks) = sample.device_time {
            device_time.resize(time.len(), 0);
            device_time.push(ticks);
        }
        time.push(sample.time);
        seq.push(sample.seq);
    }
}

fn words<T>(
    rows: &mut Rows,
    from: u64,
    to: u64,
    read: fn([u8; 8]) -> T,
    out: &mut Vec<T>,
) -> Result<()> {
    let mut at = from;
    while at < to {
        let each = rows.chunk_rows();
        let first = at / each * each;
        let end = to.min(first + each);
        let words = rows.chunk(at / each)?.as_chunks::<8>().0;
        let range = (at - first) as usize..((end - first) as usize).min(words.len());
        out.extend(words.get(range).unwrap_or_default().iter().map(|word| read(*word)));
        at = end;
    }
    Ok(())
}
