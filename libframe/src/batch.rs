//! Several samples under one header, and back.
//!
//! A BATCH's payload, with n samples:
//!
//! ```text
//! | n: u32 | 0: u32 | n × i64 offset from the header's time |
//! | [n × u64 device time] | [n × u32 size, if samples vary] | samples back to back |
//! ```
//!
//! Whether sizes are there follows from the stream's description, not from the record:
//! streams whose samples have a fixed size have none.

use crate::wire::{FLAG_DEVICE_TIME, Header, Kind, MAX_PAYLOAD, Record};

const COUNTS_LEN: usize = 8;

/// Why a payload is no batch.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Shorter than its own count asks for.
    #[error("BATCH of {n} samples needs more than its {len} bytes")]
    Short {
        /// The count it claims.
        n: u32,
        /// Its length.
        len: usize,
    },
    /// The samples' bytes cannot be divided among them.
    #[error("BATCH of {n} samples has {len} bytes for them, which do not divide")]
    Uneven {
        /// The count it claims.
        n: u32,
        /// Bytes that are left for samples.
        len: usize,
    },
    /// DATA whose device time is cut off.
    #[error("DATA of {len} bytes is too short for a device time")]
    NoDeviceTime {
        /// Its length.
        len: usize,
    },
}

/// One sample out of a DATA or BATCH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample<'a> {
    /// Its index in the stream.
    pub seq: u64,
    /// Its capture time, ns.
    pub time: i64,
    /// The device's own time, if the stream has it.
    pub device_time: Option<u64>,
    /// The sample.
    pub bytes: &'a [u8],
}

/// The samples of a DATA or BATCH, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    header: Header,
    n: usize,
    /// n × i64; empty for DATA.
    offsets: &'a [u8],
    /// n × u64, or empty.
    device_times: &'a [u8],
    /// n × u32, or empty where samples have a fixed size.
    sizes: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Samples<'a> {
    /// Reads a record's samples. `fixed` tells whether they have a fixed size
    /// ([`crate::schema::Stream::sample_size`]). Other kinds have none.
    pub fn parse(record: &Record<'a>, fixed: bool) -> Result<Samples<'a>, BatchError> {
        match record.header.kind {
            Kind::DATA => Samples::of_data(record),
            Kind::BATCH => Samples::of_batch(record, fixed),
            _ => Ok(Samples {
                header: record.header,
                n: 0,
                offsets: &[],
                device_times: &[],
                sizes: &[],
                bytes: &[],
            }),
        }
    }

    fn of_data(record: &Record<'a>) -> Result<Samples<'a>, BatchError> {
        let timed = if record.header.has_device_time() { 8 } else { 0 };
        let (device_times, bytes) = record
            .payload
            .split_at_checked(timed)
            .ok_or(BatchError::NoDeviceTime { len: record.payload.len() })?;
        let header = record.header;
        Ok(Samples { header, n: 1, offsets: &[], device_times, sizes: &[], bytes })
    }

    fn of_batch(record: &Record<'a>, fixed: bool) -> Result<Samples<'a>, BatchError> {
        let len = record.payload.len();
        let n = claimed(record.payload);
        let short = BatchError::Short { n, len };
        let count = n as usize;
        let timed = record.header.has_device_time();
        let take = |from: &mut &'a [u8], each: usize| -> Option<&'a [u8]> {
            let (taken, rest) = from.split_at_checked(count.checked_mul(each)?)?;
            *from = rest;
            Some(taken)
        };
        let Some(mut rest) = record.payload.get(COUNTS_LEN..) else { return Err(short) };
        let parts = (|| {
            let offsets = take(&mut rest, 8)?;
            let device_times = take(&mut rest, if timed { 8 } else { 0 })?;
            let sizes = take(&mut rest, if fixed { 0 } else { 4 })?;
            Some((offsets, device_times, sizes))
        })();
        let (offsets, device_times, sizes) = parts.ok_or(short)?;
        let whole = match fixed {
            true => count != 0 && rest.len().is_multiple_of(count),
            false => sum_of(sizes) == rest.len() as u64,
        };
        let empty = count == 0 && rest.is_empty();
        if !(whole || empty) {
            return Err(BatchError::Uneven { n, len: rest.len() });
        }
        let header = record.header;
        Ok(Samples { header, n: count, offsets, device_times, sizes, bytes: rest })
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Whether each sample has this many bytes.
    pub fn are_of_size(&self, size: usize) -> bool {
        self.sizes.is_empty() && Some(self.bytes.len()) == size.checked_mul(self.n)
    }

    /// All samples back to back, as pieces of four bytes, where each sample is a whole number
    /// of them: for who takes float32 from where it lies.
    pub fn numbers(&self) -> Option<&'a [[u8; 4]]> {
        let (numbers, rest) = self.bytes.as_chunks();
        (self.sizes.is_empty() && rest.is_empty()).then_some(numbers)
    }

    /// Capture time of a sample.
    pub fn time(&self, index: usize) -> i64 {
        let offset = number(self.offsets, index).map_or(0, i64::from_le_bytes);
        self.header.time.wrapping_add(offset)
    }

    /// The samples in order.
    pub fn iter(&self) -> impl Iterator<Item = Sample<'a>> + use<'a> {
        let Samples { header, n, offsets, device_times, sizes, bytes } = *self;
        let each = bytes.len().checked_div(n).unwrap_or(0);
        let mut at = 0;
        (0..n).map(move |i| {
            let size = number(sizes, i).map_or(each, |n| u32::from_le_bytes(n) as usize);
            let sample = bytes.get(at..at + size).unwrap_or_default();
            at += size;
            let offset = number(offsets, i).map_or(0, i64::from_le_bytes);
            Sample {
                seq: header.seq.wrapping_add(i as u64),
                time: header.time.wrapping_add(offset),
                device_time: number(device_times, i).map(u64::from_le_bytes),
                bytes: sample,
            }
        })
    }
}

fn claimed(payload: &[u8]) -> u32 {
    payload.first_chunk().map_or(0, |n| u32::from_le_bytes(*n))
}

fn sum_of(sizes: &[u8]) -> u64 {
    sizes.as_chunks().0.iter().map(|n| u64::from(u32::from_le_bytes(*n))).sum()
}

fn number<const N: usize>(table: &[u8], index: usize) -> Option<[u8; N]> {
    table.as_chunks().0.get(index).copied()
}

/// Collects samples of one stream into a BATCH. Its buffers are used again.
#[derive(Debug, Default)]
pub struct Builder {
    /// Of the first sample; `kind`, `flags` and `time` are the batch's.
    header: Option<Header>,
    fixed: bool,
    offsets: Vec<u8>,
    device_times: Vec<u8>,
    sizes: Vec<u8>,
    bytes: Vec<u8>,
    n: u32,
    payload: Vec<u8>,
}

impl Builder {
    /// A builder for a stream whose samples have a fixed size or not.
    pub fn new(fixed: bool) -> Builder {
        Builder { fixed, ..Builder::default() }
    }

    /// Adds a sample. Returns false, and adds nothing, if it cannot be in this batch: its
    /// number does not follow, it has a device time and the others none, its size differs
    /// in a stream of a fixed size, or the payload would be over `limit` bytes. A batch
    /// that is empty takes any sample that a record can hold.
    pub fn push(&mut self, header: &Header, sample: &Sample<'_>, limit: usize) -> bool {
        match &self.header {
            None if self.payload_len() + sample.bytes.len() + 20 > MAX_PAYLOAD => {
                return false;
            }
            None => {
                let flags =
                    if sample.device_time.is_some() { FLAG_DEVICE_TIME } else { 0 };
                let (seq, time) = (sample.seq, sample.time);
                self.header =
                    Some(Header { kind: Kind::BATCH, flags, seq, time, ..*header });
            }
            Some(first) if !self.follows(first, header, sample, limit) => return false,
            Some(_) => {}
        }
        let offset = sample.time.wrapping_sub(self.header.map_or(0, |h| h.time));
        self.offsets.extend_from_slice(&offset.to_le_bytes());
        if let Some(time) = sample.device_time {
            self.device_times.extend_from_slice(&time.to_le_bytes());
        }
        if !self.fixed {
            self.sizes.extend_from_slice(&(sample.bytes.len() as u32).to_le_bytes());
        }
        self.bytes.extend_from_slice(sample.bytes);
        self.n += 1;
        true
    }

    fn follows(
        &self,
        first: &Header,
        header: &Header,
        sample: &Sample<'_>,
        limit: usize,
    ) -> bool {
        let each = self.bytes.len() / self.n as usize;
        first.session == header.session
            && first.stream == header.stream
            && sample.seq == first.seq.wrapping_add(u64::from(self.n))
            && sample.device_time.is_some() == first.has_device_time()
            && (!self.fixed || sample.bytes.len() == each)
            && self.payload_len() + sample.bytes.len() + 20 <= limit.min(MAX_PAYLOAD)
    }

    fn payload_len(&self) -> usize {
        let tables = self.offsets.len() + self.device_times.len() + self.sizes.len();
        COUNTS_LEN + tables + self.bytes.len()
    }

    /// How many samples are held.
    pub fn len(&self) -> u32 {
        self.n
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Capture time of the first sample held.
    pub fn time(&self) -> Option<i64> {
        self.header.map(|header| header.time)
    }

    /// The batch; the builder is empty afterwards. `None` if no sample is held.
    pub fn finish(&mut self) -> Option<Record<'_>> {
        let header = self.header.take()?;
        self.payload.clear();
        self.payload.extend_from_slice(&self.n.to_le_bytes());
        self.payload.extend_from_slice(&[0; 4]);
        for part in
            [&mut self.offsets, &mut self.device_times, &mut self.sizes, &mut self.bytes]
        {
            self.payload.append(part);
        }
        self.n = 0;
        Some(Record::new(header, &self.payload))
    }
}

/// A sample as a DATA record; `payload` is a buffer for those that need one.
pub fn data_record<'a>(
    header: &Header,
    sample: &Sample<'a>,
    payload: &'a mut Vec<u8>,
) -> Record<'a> {
    let (seq, time) = (sample.seq, sample.time);
    let header = Header { kind: Kind::DATA, flags: 0, seq, time, ..*header };
    let Some(device_time) = sample.device_time else {
        return Record::new(header, sample.bytes);
    };
    payload.clear();
    payload.extend_from_slice(&device_time.to_le_bytes());
    payload.extend_from_slice(sample.bytes);
    Record::new(Header { flags: FLAG_DEVICE_TIME, ..header }, payload)
}
