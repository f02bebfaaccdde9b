//! The samples of records as columns, gathered until there is a block of them.

use anyhow::Result;
use libframe::batch::Samples;
use libframe::wire::Record;

use crate::stream::Columns;

/// So many rows are handed on together.
const BLOCK: usize = 4096;

/// Rows of one stream that wait to become a block.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    stream: u16,
    time: Vec<i64>,
    seq: Vec<u64>,
    device_time: Vec<u64>,
}

impl Rows {
    /// Whether a record's samples can wait with those that are here.
    #[inline]
    pub(crate) fn can_take(&self, record: &Record<'_>) -> bool {
        let timed = self.device_time.len() == self.time.len();
        self.time.is_empty()
            || self.stream == record.header.stream
                && record.header.has_device_time() == timed
                && self.time.len() < BLOCK
    }

    /// Takes a record's samples.
    #[inline]
    pub(crate) fn take(&mut self, record: &Record<'_>, fixed: bool) -> Result<()> {
        self.stream = record.header.stream;
        for sample in Samples::parse(record, fixed)?.iter() {
            self.time.push(sample.time);
            self.seq.push(sample.seq);
            self.device_time.extend(sample.device_time);
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.time.is_empty()
    }

    /// The stream and its rows.
    pub(crate) fn columns(&self) -> (u16, Columns<'_>) {
        let timed = self.device_time.len() == self.time.len();
        let device_time = timed.then_some(&self.device_time[..]);
        (self.stream, Columns { time: &self.time, seq: &self.seq, device_time })
    }

    pub(crate) fn clear(&mut self) {
        self.time.clear();
        self.seq.clear();
        self.device_time.clear();
    }
}
