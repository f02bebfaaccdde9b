//! Any bytes, in any cuts, under any limit.
//!
//! The first bytes of the input choose the limit and the cuts; the rest is the stream, so
//! that a recording with three bytes before it is an input.
//!
//! A fuzzer does not guess a CRC. So with the highest bit of the first byte set, whatever
//! looks like a record gets the CRCs it should have, and what is inside is tried too.

#![no_main]

use libframe::batch::Samples;
use libframe::decoder::{Decoder, Item};
use libframe::ledger::SessionLedger;
use libframe::payload::{ClockReading, End, Event, Gap, Payload, Session, Stats};
use libframe::schema::Stream;
use libframe::wire::{HEADER_LEN, Kind, MAGIC, MAX_PAYLOAD, Record};
use libfuzzer_sys::fuzz_target;

/// Limits worth a try: none, just the shortest payloads, and up to the format's own.
const LIMITS: [usize; 6] = [0, 8, 64, 1 << 10, 128 << 10, MAX_PAYLOAD];

fuzz_target!(|input: &[u8]| {
    let Some(([choice, cuts @ ..], stream)) = input.split_first_chunk::<3>() else {
        return;
    };
    let limit = LIMITS[usize::from(choice & 0x7f) % LIMITS.len()];
    if choice & 0x80 == 0 {
        decode(stream, cuts, limit);
    } else {
        decode(&mended(stream), cuts, limit);
    }
});

/// The stream with good CRCs wherever a magic and enough bytes after it stand.
fn mended(stream: &[u8]) -> Vec<u8> {
    let mut all = stream.to_vec();
    let mut at = 0;
    while let Some((header, rest)) = all[at..].split_first_chunk_mut::<HEADER_LEN>() {
        if header[..4] != MAGIC {
            at += 1;
            continue;
        }
        let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        let length = length as usize;
        if let Some(payload) = rest.get(..length) {
            header[40..44].copy_from_slice(&libframe::crc::crc32c(payload).to_le_bytes());
        }
        let crc = libframe::crc::crc32c(&header[..44]);
        header[44..].copy_from_slice(&crc.to_le_bytes());
        at += HEADER_LEN + if length <= rest.len() { length } else { 0 };
    }
    all
}

/// Decodes a stream that comes in pieces of these lengths, over and over.
fn decode(stream: &[u8], lengths: &[u8], limit: usize) {
    let mut check = Check { stream, at: 0, ledger: SessionLedger::default(), limit };
    let mut decoder = Decoder::new(limit);
    let mut rest = stream;
    let mut lengths = lengths.iter().cycle();
    while !rest.is_empty() {
        // Zero stands for all at once; the others are pieces of up to 255 bytes.
        let length = match lengths.next() {
            Some(length) if *length > 0 => rest.len().min((*length).into()),
            _ => rest.len(),
        };
        let (piece, later) = rest.split_at(length);
        decoder.push(piece);
        check.pull_all(&mut decoder);
        rest = later;
    }
    decoder.close();
    check.pull_all(&mut decoder);
    assert_eq!(check.at, stream.len(), "bytes are left without an item");
    assert_eq!(decoder.offset(), stream.len() as u64);
    assert_eq!(decoder.searching(), None);
}

/// Holds what came against the stream it came from.
struct Check<'a> {
    stream: &'a [u8],
    /// Where the next item must begin.
    at: usize,
    ledger: SessionLedger,
    limit: usize,
}

impl Check<'_> {
    fn pull_all(&mut self, decoder: &mut Decoder) {
        while let Some(item) = decoder.pull() {
            match item {
                Item::Record(record) => self.record(&record),
                Item::Damage(damage) => {
                    assert_eq!(damage.offset, self.at as u64, "damage is elsewhere");
                    assert_ne!(damage.bytes, 0, "damage of nothing");
                    self.at += damage.bytes as usize;
                    assert!(self.at <= self.stream.len(), "damage beyond the stream");
                }
            }
        }
    }

    fn record(&mut self, record: &Record<'_>) {
        assert!(record.payload.len() <= self.limit, "the limit is not kept");
        let mut wire = Vec::new();
        record.encode(&mut wire);
        assert!(self.stream[self.at..].starts_with(&wire), "not the bytes that came");
        self.at += wire.len();
        self.count(record);
        for fixed in [false, true] {
            samples(record, fixed);
        }
        typed(record);
    }

    fn count(&mut self, record: &Record<'_>) {
        let header = &record.header;
        let Some(ledger) = self.ledger.stream(header.stream) else { return };
        let hole = match header.kind {
            Kind::GAP => {
                Gap::from_bytes(record.payload).ok().and_then(|gap| ledger.gap(&gap))
            }
            kind if kind.has_samples() => {
                ledger.take(header.seq, record.samples(), header.time)
            }
            _ => ledger.expect(header.seq),
        };
        assert!(hole.is_none_or(|hole| !hole.is_empty()), "a hole of nothing");
    }
}

fn samples(record: &Record<'_>, fixed: bool) {
    let Ok(samples) = Samples::parse(record, fixed) else { return };
    let bytes: usize = samples.iter().map(|sample| sample.bytes.len()).sum();
    assert_eq!(samples.iter().count(), samples.len());
    assert_eq!(record.samples(), samples.len() as u64);
    assert!(bytes <= record.payload.len(), "more bytes than came");
}

fn typed(record: &Record<'_>) {
    match record.header.kind {
        Kind::SESSION => read::<Session>(record.payload),
        Kind::STREAM => read::<Stream>(record.payload),
        Kind::GAP => read::<Gap>(record.payload),
        Kind::CLOCK => read::<ClockReading>(record.payload),
        Kind::EVENT => read::<Event>(record.payload),
        Kind::STATS => read::<Stats>(record.payload),
        Kind::END => read::<End>(record.payload),
        _ => {}
    }
}

/// What can be read can be written, and be read again.
fn read<P: Payload>(bytes: &[u8]) {
    if let Ok(payload) = P::from_bytes(bytes) {
        let again = P::from_bytes(&payload.to_bytes());
        assert!(again.is_ok(), "what was written cannot be read");
    }
}
