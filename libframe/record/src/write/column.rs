//! A dataset that rows are added to.
//!
//! The rows of the last chunk stay in memory until it is full. At a commit it is written
//! as it is, filled up with zeros beyond the dataset's end, and again at the next.

use std::rc::Rc;

use anyhow::{Result, bail};

use super::press::{Coding, Compress, Press, decode};
use crate::h5::{Dataset, Group, Type};

/// Makes the datasets of one recording.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Making {
    /// How samples are compressed.
    pub(crate) data: Compress,
}

impl Making {
    /// How other columns are: every HDF5 reads them, and they are small.
    fn index(self) -> Compress {
        if self.data == Compress::None { Compress::None } else { Compress::Deflate(1) }
    }

    /// The coding of a column of samples.
    pub(crate) fn samples(self) -> Coding {
        Coding { shuffle: 1, compress: self.data }
    }

    /// The coding of any other column.
    pub(crate) fn numbers(self, kind: Type) -> Coding {
        let shuffle = match kind {
            Type::Number(dtype) => dtype.size(),
            Type::Text(_) => 1,
        };
        Coding { shuffle, compress: self.index() }
    }
}

/// A dataset that rows are added to.
pub(crate) struct Column {
    set: Rc<Dataset>,
    coding: Coding,
    /// Bytes of a row, and of a chunk.
    width: usize,
    full: usize,
    /// Rows in whole chunks.
    done: u64,
    /// The rows of the last chunk.
    tail: Vec<u8>,
    /// Whether `tail` has what is not in the file.
    changed: bool,
    /// Whether some of `tail` is in the file.
    begun: bool,
}

impl Column {
    /// A new one, whose rows have the dimensions `row`.
    pub(crate) fn create(
        group: &Group,
        name: &str,
        (kind, row): (Type, &[u64]),
        chunk: u64,
        coding: Coding,
    ) -> Result<Column> {
        let width = kind.size() * row.iter().product::<u64>() as usize;
        let set = Rc::new(group.dataset(name, kind, row, chunk, &coding.filters())?);
        let full = chunk as usize * width;
        let (done, tail) = (0, Vec::new());
        Ok(Column { set, coding, width, full, done, tail, changed: false, begun: false })
    }

    /// One that has rows already, with those of the last chunk.
    pub(crate) fn reopen(
        group: &Group,
        name: &str,
        width: usize,
        coding: Coding,
    ) -> Result<Column> {
        let set = Rc::new(group.reopen(name)?);
        let (rows, chunk) = (set.rows(), set.chunk());
        let mut tail = Vec::new();
        if rows % chunk > 0 {
            let (skipped, bytes) = set.read_chunk(rows / chunk)?;
            tail = decode(coding, skipped, bytes, chunk as usize * width)?;
            let wanted = (rows % chunk) as usize * width;
            if tail.len() < wanted {
                bail!("{name}: its last chunk has {} of {wanted} bytes", tail.len());
            }
            tail.truncate(wanted);
        }
        let (full, done) = (chunk as usize * width, rows - rows % chunk);
        let begun = !tail.is_empty();
        Ok(Column { set, coding, width, full, done, tail, changed: false, begun })
    }

    pub(crate) fn rows(&self) -> u64 {
        self.done + (self.tail.len() / self.width) as u64
    }

    /// Adds whole rows.
    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8], press: &mut Press) -> Result<()> {
        self.changed = true;
        if self.tail.len() + bytes.len() < self.full {
            self.tail.extend_from_slice(bytes);
            return Ok(());
        }
        self.push_over(bytes, press)
    }

    /// Adds rows that fill the last chunk.
    fn push_over(&mut self, mut bytes: &[u8], press: &mut Press) -> Result<()> {
        while self.tail.len() + bytes.len() >= self.full {
            let (now, later) = bytes.split_at(self.full - self.tail.len());
            self.tail.extend_from_slice(now);
            bytes = later;
            let next = press.buffer();
            let chunk = std::mem::replace(&mut self.tail, next);
            let at = self.done / self.set.chunk();
            self.done += self.set.chunk();
            let place = (at, self.done, std::mem::take(&mut self.begun));
            press.put(&self.set, place, chunk, self.coding)?;
        }
        self.tail.extend_from_slice(bytes);
        self.changed = !self.tail.is_empty();
        Ok(())
    }

    /// Adds rows of zeros.
    pub(crate) fn push_zeros(&mut self, mut rows: u64, press: &mut Press) -> Result<()> {
        let zeros = vec![0; 1000 * self.width];
        while rows > 0 {
            let n = rows.min(1000);
            self.push(&zeros[..n as usize * self.width], press)?;
            rows -= n;
        }
        Ok(())
    }

    /// Hands over the last chunk as it is now.
    pub(crate) fn settle(&mut self, press: &mut Press) -> Result<()> {
        if !self.changed || self.tail.is_empty() {
            return Ok(());
        }
        let mut chunk = press.buffer();
        chunk.extend_from_slice(&self.tail);
        chunk.resize(self.full, 0);
        self.changed = false;
        let at = self.done / self.set.chunk();
        let place = (at, self.rows(), std::mem::replace(&mut self.begun, true));
        press.put(&self.set, place, chunk, self.coding)
    }
}
