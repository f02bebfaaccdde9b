//! The record on the wire: 48 bytes of header, then the payload.
//!
//! Everything here is plain data. [`crate::decoder`] finds records in bytes;
//! `man/framepipe.5` is the specification both follow.

use crate::crc;

/// The first four bytes of a record; the digit is the major version of the format.
pub const MAGIC: [u8; 4] = *b"\xD5FP1";
/// Bytes of a header.
pub const HEADER_LEN: usize = 48;
/// The longest payload of the format. Readers may set a lower limit, never a higher.
pub const MAX_PAYLOAD: usize = 64 << 20;

/// The magic as the low half of a header's first word.
const MAGIC_WORD: u64 = u32::from_le_bytes(MAGIC) as u64;

/// What a record's payload is.
///
/// A number and not an `enum`, because kinds that a reader does not know are passed
/// on untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u8);

impl Kind {
    /// Who records, where, when, and through which stages.
    pub const SESSION: Kind = Kind(1);
    /// The description of a stream.
    pub const STREAM: Kind = Kind(2);
    /// One sample.
    pub const DATA: Kind = Kind(3);
    /// Several samples under one header.
    pub const BATCH: Kind = Kind(4);
    /// Samples that are missing, and why.
    pub const GAP: Kind = Kind(5);
    /// What another clock showed at an instant.
    pub const CLOCK: Kind = Kind(6);
    /// A trigger, marker or comment.
    pub const EVENT: Kind = Kind(7);
    /// What a stage did in the last second.
    pub const STATS: Kind = Kind(8);
    /// The totals of a stream that ended as it should.
    pub const END: Kind = Kind(9);

    /// The kind's name in the specification, or `None` for an unknown one.
    pub fn name(self) -> Option<&'static str> {
        const NAMES: [&str; 9] = [
            "SESSION", "STREAM", "DATA", "BATCH", "GAP", "CLOCK", "EVENT", "STATS", "END",
        ];
        NAMES.get(usize::from(self.0).checked_sub(1)?).copied()
    }

    /// Whether records of this kind hold samples, and so advance `seq`.
    #[inline]
    pub fn has_samples(self) -> bool {
        matches!(self, Kind::DATA | Kind::BATCH)
    }
}

/// Flag bit 0: DATA and BATCH carry the device's own times.
pub const FLAG_DEVICE_TIME: u8 = 1;
/// Flag bit 7: a reader that does not know the kind must stop, not pass it on.
pub const FLAG_MUST_KNOW: u8 = 1 << 7;

/// A header without the fields that follow from the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the payload is.
    pub kind: Kind,
    /// [`FLAG_DEVICE_TIME`] and [`FLAG_MUST_KNOW`]; the other bits are 0.
    pub flags: u8,
    /// Which stream of the session; 0 is the session itself.
    pub stream: u16,
    /// The session's random tag.
    pub session: u32,
    /// Index of the first sample in its stream; the next sample's in other kinds.
    pub seq: u64,
    /// Capture time of the first sample, ns of the capturing host's CLOCK_MONOTONIC.
    pub time: i64,
    /// When the last stage wrote the record, ns of that host's CLOCK_MONOTONIC.
    pub sent: i64,
}

impl Header {
    /// Whether [`FLAG_DEVICE_TIME`] is set.
    #[inline]
    pub fn has_device_time(&self) -> bool {
        self.flags & FLAG_DEVICE_TIME != 0
    }

    /// The header's bytes, for a payload of this length and CRC.
    #[inline]
    pub fn encode(&self, length: u32, payload_crc: u32) -> [u8; HEADER_LEN] {
        let [kind, flags] = [self.kind.0, self.flags].map(u64::from);
        let mut words = [
            MAGIC_WORD | kind << 32 | flags << 40 | u64::from(self.stream) << 48,
            u64::from(length) | u64::from(self.session) << 32,
            self.seq,
            self.time as u64,
            self.sent as u64,
            u64::from(payload_crc),
        ];
        words[5] |= u64::from(crc::of_header(&words)) << 32;
        let mut bytes = [0; HEADER_LEN];
        for (to, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
            *to = word.to_le_bytes();
        }
        bytes
    }
}

/// A header as found in bytes whose CRC was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) header: Header,
    pub(crate) length: u32,
    pub(crate) payload_crc: u32,
}

impl Sealed {
    /// Reads a header whose magic and CRC the caller has checked.
    #[inline]
    pub(crate) fn parse(bytes: &[u8; HEADER_LEN]) -> Sealed {
        let [first, second, seq, time, sent, last] = words(bytes);
        let header = Header {
            kind: Kind((first >> 32) as u8),
            flags: (first >> 40) as u8,
            stream: (first >> 48) as u16,
            session: (second >> 32) as u32,
            seq,
            time: time as i64,
            sent: sent as i64,
        };
        Sealed { header, length: second as u32, payload_crc: last as u32 }
    }
}

/// Whether the CRC at the end of these 48 bytes is that of the rest.
#[inline]
pub(crate) fn header_crc_holds(bytes: &[u8; HEADER_LEN]) -> bool {
    let words = words(bytes);
    crc::of_header(&words) == (words[5] >> 32) as u32
}

/// A header as words. All of its fields lie within one, so that reading and summing it up
/// takes six loads.
#[inline]
fn words(bytes: &[u8; HEADER_LEN]) -> [u64; 6] {
    let (words, _) = bytes.as_chunks();
    std::array::from_fn(|i| u64::from_le_bytes(words[i]))
}

/// One record, borrowing its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The header.
    pub header: Header,
    /// What `header.kind` says.
    pub payload: &'a [u8],
    /// Of `payload`: kept, so that a record passed on is not summed up again.
    crc: u32,
}

impl<'a> Record<'a> {
    /// A new record. The payload's CRC is computed here.
    ///
    /// # Panics
    /// If the payload is longer than [`MAX_PAYLOAD`].
    #[inline]
    pub fn new(header: Header, payload: &'a [u8]) -> Record<'a> {
        assert!(payload.len() <= MAX_PAYLOAD, "payload of {} bytes", payload.len());
        Record { header, payload, crc: crc::crc32c(payload) }
    }

    /// A record whose payload was already checked against `crc`.
    #[inline]
    pub(crate) fn verified(header: Header, payload: &'a [u8], crc: u32) -> Record<'a> {
        Record { header, payload, crc }
    }

    /// The same payload under another header.
    #[inline]
    pub fn with_header(self, header: Header) -> Record<'a> {
        Record { header, ..self }
    }

    /// The header's bytes; the payload follows them on the wire.
    #[inline]
    pub fn header_bytes(&self) -> [u8; HEADER_LEN] {
        self.header.encode(self.payload.len() as u32, self.crc)
    }

    /// CRC-32C of the payload.
    #[inline]
    pub fn payload_crc(&self) -> u32 {
        self.crc
    }

    /// Appends the record to `out` in wire form.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.wire_len());
        out.extend_from_slice(&self.header_bytes());
        out.extend_from_slice(self.payload);
    }

    /// Bytes of the record on the wire.
    #[inline]
    pub fn wire_len(&self) -> usize {
        HEADER_LEN + self.payload.len()
    }

    /// How far the record advances its stream: 1 for DATA, the count of a BATCH, else 0.
    ///
    /// A BATCH too short for the times of the samples it claims counts as none: taken at
    /// its word, it would make all that follows look like samples that came before.
    /// Reading it through [`crate::batch::Samples::parse`] gives the error.
    #[inline]
    pub fn samples(&self) -> u64 {
        match self.header.kind {
            Kind::DATA => 1,
            Kind::BATCH => {
                let n = self.payload.first_chunk().map_or(0, |n| u32::from_le_bytes(*n));
                let fits = self.payload.len().saturating_sub(8) / 8 >= n as usize;
                if fits { u64::from(n) } else { 0 }
            }
            _ => 0,
        }
    }
}

/// The records that this process put into a buffer by [`Record::encode`]. Their CRCs are not
/// looked at: what comes from anywhere else is for the [`crate::decoder`].
pub fn encoded(buffer: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut rest = buffer;
    std::iter::from_fn(move || {
        let Sealed { header, length, payload_crc } = Sealed::parse(rest.first_chunk()?);
        let end = HEADER_LEN + length as usize;
        let payload = rest.get(HEADER_LEN..end)?;
        rest = &rest[end..];
        Some(Record::verified(header, payload, payload_crc))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn header(kind: Kind) -> Header {
        Header { kind, flags: 1, stream: 3, session: 4, seq: 5, time: -6, sent: 7 }
    }

    #[test]
    fn every_field_has_its_place() {
        let payload = [9, 8, 7];
        let mut bytes = Vec::new();
        Record::new(header(Kind::DATA), &payload).encode(&mut bytes);
        assert_eq!(&bytes[..6], b"\xD5FP1\x03\x01");
        assert_eq!(bytes[6..12], [3, 0, 3, 0, 0, 0]);
        assert_eq!(bytes[12..24], [4, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[24..32], (-6i64).to_le_bytes());
        assert_eq!(bytes[32..40], 7i64.to_le_bytes());
        assert_eq!(bytes[40..44], crc::crc32c(&payload).to_le_bytes());
        assert_eq!(bytes[44..48], crc::crc32c(&bytes[..44]).to_le_bytes());
        assert_eq!(bytes[48..], payload);
    }

    #[test]
    fn encoded_records_come_out_as_they_went_in_and_a_cut_one_does_not() {
        let payloads: [&[u8]; 3] = [&[1, 2, 3], &[], &[4; 500]];
        let records = payloads.map(|payload| Record::new(header(Kind::DATA), payload));
        let mut buffer = Vec::new();
        records.iter().for_each(|record| record.encode(&mut buffer));
        assert!(encoded(&buffer).eq(records));
        assert!(encoded(&buffer[..buffer.len() - 1]).eq(records[..2].iter().copied()));
    }

    #[test]
    fn the_crc_is_castagnoli() {
        // The check value that catalogues of CRCs print for CRC-32C.
        assert_eq!(crc::crc32c(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn parsing_inverts_encoding() {
        let header = header(Kind(200));
        let bytes = header.encode(77, 88);
        assert!(header_crc_holds(&bytes));
        assert_eq!(Sealed::parse(&bytes), Sealed { header, length: 77, payload_crc: 88 });
    }
}
