//! Records as they lie while they wait: back to back, each behind a ticket that tells its
//! place among all, and before its length, so that the last can be found too.

use crate::wire::{HEADER_LEN, Record, Sealed, header_crc_holds};

/// Bytes of an entry before the record: its ticket.
pub(super) const FRONT: usize = 8;
/// Bytes behind it: the length of the entry.
pub(super) const BACK: usize = 4;
/// Where in a header the number is.
const SEQ: usize = 16;
/// In a ticket: this is no record, but tells of samples that were dropped here.
pub(super) const RUN: u64 = 1 << 63;
/// Room that is kept, of what is used again.
const MAX_KEPT: usize = 256 << 10;

/// A record that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) ticket: u64,
    pub(super) record: Record<'a>,
    /// The length field of the header, which of a run is part of its count.
    pub(super) length: u32,
    pub(super) size: usize,
    pub(super) is_run: bool,
}

impl<'a> Entry<'a> {
    /// Reads the entry that these bytes begin with.
    #[inline]
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Entry<'a>> {
        let (ticket, rest) = bytes.split_first_chunk()?;
        let sealed = Sealed::parse(rest.first_chunk()?);
        let ticket = u64::from_le_bytes(*ticket);
        let is_run = ticket & RUN != 0;
        let len = if is_run { 0 } else { sealed.length as usize };
        let payload = rest.get(HEADER_LEN..HEADER_LEN + len)?;
        Some(Entry {
            ticket: ticket & !RUN,
            record: Record::verified(sealed.header, payload, sealed.payload_crc),
            length: sealed.length,
            size: FRONT + HEADER_LEN + len + BACK,
            is_run,
        })
    }
}

/// Bytes that a record takes while it waits.
#[inline]
pub(super) fn size_of(record: &Record<'_>) -> usize {
    FRONT + record.wire_len() + BACK
}

/// Appends a record.
#[inline]
pub(super) fn append(to: &mut Vec<u8>, ticket: u64, record: &Record<'_>) {
    to.extend_from_slice(&ticket.to_le_bytes());
    record.encode(to);
    to.extend_from_slice(&(size_of(record) as u32).to_le_bytes());
}

/// Records on their way from what waits to stdout.
#[derive(Debug, Default)]
pub struct Chunk {
    pub(super) bytes: Vec<u8>,
    pub(super) start: usize,
}

impl Chunk {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.start >= self.bytes.len()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        if self.bytes.capacity() > MAX_KEPT {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.start = 0;
    }

    /// Bytes of records.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// The records in order. Their `sent` is the runtime's own.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let mut rest = self.bytes.get(self.start..).unwrap_or_default();
        std::iter::from_fn(move || {
            let entry = Entry::parse(rest)?;
            rest = &rest[entry.size..];
            Some(entry.record)
        })
    }

    /// Numbers the records anew, as `number` says.
    pub fn renumber(&mut self, mut number: impl FnMut(&Record<'_>) -> u64) {
        let mut at = self.start;
        while let Some(entry) = Entry::parse(&self.bytes[at..]) {
            let (seq, size) = (number(&entry.record), entry.size);
            let place = at + FRONT + SEQ;
            if let Some(bytes) = self.bytes.get_mut(place..place + 8) {
                bytes.copy_from_slice(&seq.to_le_bytes());
            }
            at += size;
        }
    }

    /// Adds a record.
    pub fn push(&mut self, record: &Record<'_>) {
        append(&mut self.bytes, 0, record);
    }

    /// The records as bytes, to be kept elsewhere.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Makes room for so many bytes that were kept elsewhere; they replace what is there.
    pub fn restore(&mut self, len: usize) -> &mut [u8] {
        self.clear();
        self.bytes.resize(len, 0);
        &mut self.bytes
    }

    /// Cuts off the last record if it is not whole. `Err` tells how many bytes the first
    /// one has, if not even that is whole; `None` if it is no record at all.
    pub fn trim(&mut self) -> Result<(), Option<usize>> {
        let mut whole = self.start;
        while let Some(entry) = Entry::parse(&self.bytes[whole..]) {
            if !self.bytes[whole + FRONT..].first_chunk().is_some_and(header_crc_holds) {
                return Err(None);
            }
            if self.bytes.len() < whole + entry.size {
                break;
            }
            whole += entry.size;
        }
        if whole > self.start {
            self.bytes.truncate(whole);
            return Ok(());
        }
        let head = self.bytes.get(self.start + FRONT..).and_then(<[u8]>::first_chunk);
        let head = head.filter(|head| header_crc_holds(head)).ok_or(None)?;
        Err(Some(FRONT + HEADER_LEN + Sealed::parse(head).length as usize + BACK))
    }
}
