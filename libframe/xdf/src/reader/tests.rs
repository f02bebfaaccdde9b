//! The reader on whole, cut, damaged and hostile files.

use std::io::Cursor;

use super::*;
use crate::writer::{Gathered, Totals, Writer};

const HEADER: &str = "<?xml version=\"1.0\"?><info><channel_count>2</channel_count>\
                      <channel_format>int16</channel_format></info>";

/// A file of so many chunks of three samples, with a boundary after every second. The
/// samples of a stream are numbers that count up.
fn file(chunks: u16) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer.file_header("<info/>");
    writer.stream_header(1, HEADER);
    let mut gathered = Gathered::default();
    for n in 0..chunks {
        for value in 3 * n..3 * n + 3 {
            let bytes = [value.to_le_bytes(), [0x55; 2]].concat();
            gathered.push(Some(f64::from(value)), &bytes);
        }
        writer.samples(1, &mut gathered);
        if n % 2 == 1 {
            writer.boundary();
        }
    }
    writer.stream_footer(1, &Totals::default());
    writer.flush().unwrap();
    writer.get_ref().clone()
}

/// The first values of all samples, and the damage. Chunks and damage are all there is.
fn read(bytes: &[u8]) -> (Vec<u16>, Vec<Damage>) {
    let mut reader = Reader::new(Cursor::new(bytes)).unwrap();
    let (mut values, mut damages) = (Vec::new(), Vec::new());
    let mut next = reader.offset();
    while let Some(item) = reader.next().unwrap() {
        next = match item {
            Item::Damage(damage) => {
                assert_eq!(damage.offset, next);
                next += damage.bytes;
                damages.push(damage);
                next
            }
            Item::Chunk(chunk) => {
                assert_eq!(chunk.offset, next);
                if let Content::Samples(samples) = &chunk.content {
                    let first =
                        |s: Sample<'_>| u16::from_le_bytes([s.values[0], s.values[1]]);
                    values.extend(samples.iter().map(first));
                }
                chunk.head.end(next).unwrap()
            }
        };
        assert_eq!(next, reader.offset());
    }
    assert_eq!(next, bytes.len() as u64);
    (values, damages)
}

use crate::samples::Sample;

#[test]
fn a_file_is_read_whole() {
    let (values, damages) = read(&file(40));
    assert_eq!(values, (0..120).collect::<Vec<_>>());
    assert_eq!(damages, []);
}

#[test]
fn a_file_that_is_cut_anywhere_has_all_whole_chunks() {
    let whole = file(6);
    let mut reader = Reader::new(Cursor::new(&whole)).unwrap();
    let mut ends = vec![4];
    while let Some(Item::Chunk(_)) = reader.next().unwrap() {
        ends.push(reader.offset());
    }
    for cut in 4..whole.len() {
        let (values, damages) = read(&whole[..cut]);
        // The headers are two chunks, and a boundary comes after every second.
        let chunks = ends.iter().filter(|end| **end <= cut as u64).count() - 1;
        let of_samples = chunks.saturating_sub(2);
        let of_samples = (of_samples - of_samples / 3).min(6);
        assert_eq!(values.len(), 3 * of_samples, "cut at {cut}");
        let is_end = ends.contains(&(cut as u64));
        assert_eq!(damages.is_empty(), is_end, "{cut}: {damages:?}");
        assert!(damages.iter().all(|damage| damage.is_last && damage.why == "cut off"));
    }
}

#[test]
fn any_flipped_bit_costs_no_more_than_is_between_two_boundaries() {
    let whole = file(12);
    let (all, _) = read(&whole);
    let header_end = whole.windows(7).rposition(|w| w == b"</info>").unwrap();
    let first = memmem::find(&whole, b"int16</").unwrap() + 29;
    for at in first..header_end {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let (values, _) = read(&bytes);
            let lost = all.iter().filter(|value| !values.contains(value)).count();
            assert!(lost <= 12, "byte {at}, bit {bit}: {lost} of {} lost", all.len());
            assert!(values.len() >= all.len() - 12);
        }
    }
}

#[test]
fn a_file_that_begins_in_the_middle_is_read_from_its_first_boundary_on() {
    let whole = file(12);
    let mut reader = Reader::new(Cursor::new(&whole[200..])).unwrap();
    let Some(Item::Damage(damage)) = reader.next().unwrap() else { panic!() };
    assert_eq!((damage.offset, damage.is_last), (0, false));
    let (mut undescribed, mut boundaries) = (0, 0);
    while let Some(Item::Chunk(chunk)) = reader.next().unwrap() {
        match chunk.content {
            Content::Undescribed(n) => undescribed += n,
            Content::Boundary => boundaries += 1,
            _ => {}
        }
    }
    assert!(boundaries > 3 && undescribed == 6 * (boundaries - 1));
}

#[test]
fn what_is_no_xdf_file_is_said_to_be_none() {
    let open = |bytes: &[u8]| {
        let mut reader = Reader::new(Cursor::new(bytes.to_vec()))?;
        reader.next().map(|item| item.is_some())
    };
    assert!(matches!(open(b"\x1F\x8B\x08"), Err(ReadError::Compressed)));
    assert!(matches!(open(b""), Err(ReadError::NotXdf)));
    assert!(matches!(open(b"XDF"), Err(ReadError::NotXdf)));
    assert!(matches!(open(&[0x43; 1000]), Err(ReadError::NotXdf)));
    assert!(!open(b"XDF:").unwrap());
}

#[test]
fn a_claim_of_terabytes_takes_no_memory() {
    let mut bytes = file(4);
    let claim = [8, 0, 0, 0, 0, 0, 1, 0, 0, 3, 0, 1, 0, 0, 0, 9, 9, 9];
    bytes.extend_from_slice(&claim);
    let mut reader = Reader::new(Cursor::new(&bytes)).unwrap();
    let mut last = None;
    while let Some(item) = reader.next().unwrap() {
        last = match item {
            Item::Damage(damage) => Some(damage.bytes),
            Item::Chunk(_) => None,
        };
    }
    assert_eq!(last, Some(claim.len() as u64));
    assert_eq!(reader.buf.len(), PIECE);
}

#[test]
fn chunks_over_the_limit_and_of_unwanted_streams_are_passed_over() {
    let mut writer = Writer::new(Vec::new());
    writer.stream_header(1, HEADER);
    let mut gathered = Gathered::default();
    (0..200_000).for_each(|_| gathered.push(Some(1.0), &[0; 4]));
    let mut long = gathered.clone();
    writer.samples(1, &mut gathered);
    writer.samples(2, &mut long);
    writer.boundary();
    writer.flush().unwrap();
    let bytes = writer.get_ref();
    let mut reader = Reader::new(Cursor::new(bytes)).unwrap();
    reader.limit(1 << 20);
    reader.leave_out(2);
    let mut seen = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        seen.push(match item {
            Item::Damage(damage) => damage.why,
            Item::Chunk(chunk) => format!("{:?}", chunk.content),
        });
    }
    assert!(seen[0].starts_with("StreamHeader"), "{}", seen[0]);
    let wanted =
        ["a chunk of 2600005 bytes, over the limit", "Unwanted(200000)", "Boundary"];
    assert_eq!(seen[1..], wanted);
    assert!(reader.buf.len() <= PIECE);
}
