//! Streams as the runner chooses them, and what a decoder tells of one.

use std::ops::Range;

use libframe::decoder::{Damage, Decoder, Item};
use libframe::wire::{Header, Kind, MAGIC, MAX_PAYLOAD, Record};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

pub(crate) const TAGS: [u32; 2] = [0x0a0b_0c0d, 0x5e55_1047];

/// What a decoder made of a stream.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Told {
    /// Where each record began, and its wire form.
    pub(crate) records: Vec<(u64, Vec<u8>)>,
    pub(crate) damage: Vec<Damage>,
    /// Where the next item must begin: items may neither overlap nor leave bytes out.
    at: u64,
}

impl Told {
    /// Decodes a stream that comes in pieces of these lengths, over and over.
    pub(crate) fn by(bytes: &[u8], lengths: &[usize], limit: usize) -> Told {
        let mut decoder = Decoder::new(limit);
        let mut told = Told::default();
        let mut rest = bytes;
        for length in lengths.iter().cycle() {
            let (piece, later) = rest.split_at((*length).min(rest.len()));
            decoder.push(piece);
            told.pull_all(&mut decoder);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        decoder.close();
        told.pull_all(&mut decoder);
        assert_eq!(decoder.searching(), None);
        assert_eq!((told.at, decoder.offset()), (bytes.len() as u64, bytes.len() as u64));
        told
    }

    pub(crate) fn of(bytes: &[u8]) -> Told {
        Told::by(bytes, &[bytes.len()], MAX_PAYLOAD)
    }

    pub(crate) fn pull_all(&mut self, decoder: &mut Decoder) {
        while let Some(item) = decoder.pull() {
            match item {
                Item::Record(record) => {
                    let mut wire = Vec::new();
                    record.encode(&mut wire);
                    let at = self.at;
                    self.at += wire.len() as u64;
                    self.records.push((at, wire));
                }
                Item::Damage(damage) => {
                    assert_eq!(damage.offset, self.at, "damage begins where items end");
                    assert_ne!(damage.bytes, 0, "damage has a length");
                    self.at += damage.bytes;
                    self.damage.push(damage);
                }
            }
        }
    }
}

/// Bytes of a payload. Magics are the hard case for a search.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content {
    Noise(u64),
    Magics(u8),
    Zeros,
}

impl Content {
    /// The last byte is one that no record begins with: after a cut, the next record's magic
    /// could else stand for the bytes that were cut, and no reader can know.
    pub(crate) fn bytes(self, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = match self {
            Content::Noise(seed) => noise(seed).take(len).collect(),
            Content::Magics(seed) => noise(seed.into())
                .flat_map(|byte| [&MAGIC[..], &[byte]].concat())
                .take(len)
                .collect(),
            Content::Zeros => vec![0; len],
        };
        if let Some(last) = bytes.last_mut() {
            *last = 0;
        }
        bytes
    }
}

/// Bytes that repeat late: a list of numbers from the runner would shrink too slowly.
pub(crate) fn noise(seed: u64) -> impl Iterator<Item = u8> {
    let step = |x: &u64| {
        Some(
            x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963),
        )
    };
    std::iter::successors(Some(seed), step).skip(1).map(|x| (x >> 56) as u8)
}

pub(crate) fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        6 => any::<u64>().prop_map(Content::Noise),
        1 => any::<u8>().prop_map(Content::Magics),
        1 => Just(Content::Zeros),
    ]
}

pub(crate) fn header(session: u32) -> impl Strategy<Value = Header> {
    let kind = prop_oneof![4 => 1u8..=9, 1 => 1u8..];
    (kind, any::<u8>(), 0u16..6, any::<(u64, i64, i64)>()).prop_map(
        move |(kind, flags, stream, (seq, time, sent))| Header {
            kind: Kind(kind),
            flags,
            stream,
            session,
            seq,
            time,
            sent,
        },
    )
}

pub(crate) fn wire(header: Header, payload: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    Record::new(header, payload).encode(&mut wire);
    wire
}

/// Records in wire form; now and then one is longer than the decoder's buffer at rest.
pub(crate) fn records(
    session: u32,
    count: Range<usize>,
) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let length = prop_oneof![1 => Just(0), 4 => 0usize..80, 4 => 0usize..600];
    let record = (header(session), length, content())
        .prop_map(|(header, len, content)| wire(header, &content.bytes(len)));
    let long = (any::<Index>(), header(session), content())
        .prop_map(|(at, header, content)| (at, wire(header, &content.bytes(100 << 10))));
    (vec(record, count), proptest::option::weighted(0.2, long)).prop_map(
        |(mut records, long)| {
            if let Some((at, long)) = long {
                let at = at.index(records.len() + 1);
                records.insert(at, long);
            }
            records
        },
    )
}

pub(crate) fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        1 => Just(vec![1]),
        2 => vec(1usize..200, 1..20),
        1 => vec(1usize..200_000, 1..5),
    ]
}
