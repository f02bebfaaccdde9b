//! The items of an input: decoded from its bytes, or as they are where its origin gives
//! records.

use std::io;

use anyhow::Result;

use super::origin::{Origin, Recorded};
use crate::decoder::{Damage, Item};
use crate::io::RecordReader;

/// Bytes of records that are taken before the runtime looks at the clock, its deadlines and
/// signals again: about what one read of a pipe brings.
const ROUND: usize = 256 << 10;
/// What a record counts beside its length, so that short ones do not make a round long.
const EACH: usize = 64;

/// Gives the items of an origin.
pub(super) struct Reader {
    bytes: RecordReader<Origin>,
    /// Where these are, there are no bytes.
    records: Option<Box<dyn Recorded>>,
    /// What is left of the round.
    left: usize,
    /// A part of them has ended, or all.
    is_part_over: bool,
    is_over: bool,
}

impl Reader {
    /// Reads from there, and refuses payloads over `limit` in bytes.
    pub(super) fn new(mut origin: Origin, limit: usize) -> Reader {
        let records = origin.take_recorded();
        let bytes = RecordReader::new(origin, limit);
        Reader { bytes, records, left: 0, is_part_over: false, is_over: false }
    }

    /// The next item, or `None` if [`Reader::fill`] must come first.
    #[inline]
    pub(super) fn pull(&mut self) -> Result<Option<Item<'_>>> {
        let Some(records) = &mut self.records else { return Ok(self.bytes.pull()) };
        if self.left == 0 {
            return Ok(None);
        }
        if std::mem::take(&mut self.is_part_over) && !records.go_on()? {
            (self.left, self.is_over) = (0, true);
            return Ok(None);
        }
        let item = records.read()?;
        self.left = match &item {
            Some(Item::Record(record)) => {
                self.left.saturating_sub(EACH + record.payload.len())
            }
            Some(Item::Damage(_)) => self.left.saturating_sub(EACH),
            None => 0,
        };
        self.is_part_over = item.is_none();
        Ok(item)
    }

    /// Reads once, which may block; returns false at the end of the input.
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        if self.records.is_none() {
            return self.bytes.fill();
        }
        self.left = if self.is_over { 0 } else { ROUND };
        Ok(!self.is_over)
    }

    /// Bytes taken so far. Records that are none count as no bytes.
    pub(super) fn offset(&self) -> u64 {
        self.bytes.decoder().offset()
    }

    /// The damage that is being searched through, whose end is not known yet.
    pub(super) fn searching(&self) -> Option<&Damage> {
        self.bytes.decoder().searching()
    }

    pub(super) fn origin(&self) -> &Origin {
        self.bytes.get_ref()
    }

    pub(super) fn origin_mut(&mut self) -> &mut Origin {
        self.bytes.get_mut()
    }
}
