//! Any bytes at all are accounted for, and upset nobody.

use libframe::batch::Samples;
use libframe::decoder::find_header;
use libframe::payload::{self, Gap, Payload, Reason};
use libframe::schema::Stream;
use libframe::wire::{HEADER_LEN, Header, Kind, MAGIC, MAX_PAYLOAD, Record};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::ledgers::gap;
use crate::streams::*;

/// Bytes that look like a stream here and there.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        3 => vec(any::<u8>(), 0..200),
        1 => Just(MAGIC.to_vec()),
        2 => (header(TAGS[0]), vec(any::<u8>(), 0..50), 0usize..100)
            .prop_map(|(header, payload, keep)| {
                let mut wire = wire(header, &payload);
                wire.truncate(keep);
                wire
            }),
        // A header that holds and says something else than what follows.
        2 => (header(TAGS[0]), prop_oneof![0u32..300, any::<u32>()])
            .prop_map(|(header, length)| header.encode(length, 0).to_vec()),
    ];
    vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_bytes_are_accounted_for_and_their_cuts_do_not_matter(
        bytes in any_bytes(),
        cuts in cuts(),
        limit in prop_oneof![Just(MAX_PAYLOAD), 0usize..300],
    ) {
        let told = Told::by(&bytes, &cuts, limit);
        for (_, wire) in &told.records {
            prop_assert!(wire.len() <= HEADER_LEN + limit);
        }
        prop_assert_eq!(told, Told::by(&bytes, &[bytes.len()], limit));
    }

    #[test]
    fn any_payload_can_be_read_as_samples(
        payload in prop_oneof![
            vec(any::<u8>(), 0..100),
            (0u32..5, vec(any::<u8>(), 0..100))
                .prop_map(|(n, rest)| [&n.to_le_bytes()[..], &[0; 4], &rest].concat()),
            (0u32..5, vec(0u8..9, 0..100))
                .prop_map(|(n, rest)| [&n.to_le_bytes()[..], &[0; 4], &rest].concat()),
        ],
        header in header(TAGS[0]),
        fixed in any::<bool>(),
    ) {
        for kind in [Kind::DATA, Kind::BATCH, header.kind] {
            let record = Record::new(Header { kind, ..header }, &payload);
            prop_assert!(record.samples() <= 1 + payload.len() as u64 / 8);
            let Ok(samples) = Samples::parse(&record, fixed) else { continue };
            prop_assert!(!kind.has_samples() || record.samples() == samples.len() as u64);
            let bytes: usize = samples.iter().map(|sample| sample.bytes.len()).sum();
            prop_assert_eq!(samples.iter().count(), samples.len());
            prop_assert!(bytes <= payload.len());
            prop_assert_eq!(samples.is_empty(), samples.iter().next().is_none());
        }
    }

    #[test]
    fn any_bytes_can_be_read_as_any_payload(bytes in vec(any::<u8>(), 0..200)) {
        read_as_all(&bytes);
    }

    #[test]
    fn payloads_with_a_wrong_byte_can_be_read(
        which in any::<Index>(),
        at in any::<Index>(),
        byte in any::<u8>(),
        keep in any::<Index>(),
    ) {
        let mut all = some_payloads();
        let mut bytes = all.swap_remove(which.index(all.len()));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        read_as_all(&bytes);
        read_as_all(&bytes[..keep.index(bytes.len())]);
    }
}

/// Reads bytes as each typed payload; what can be read can be written and read again.
/// A header is found behind any bytes, and one that was damaged is passed over.
#[test]
fn a_header_is_found_in_the_middle_of_bytes() {
    let header = |seq| Header {
        kind: Kind::DATA,
        flags: 0,
        stream: 1,
        session: 2,
        seq,
        time: 3,
        sent: 4,
    };
    let mut bytes = b"junk \xD5FP1 and \xD5".to_vec();
    let damaged = bytes.len();
    Record::new(header(7), &[1; 9]).encode(&mut bytes);
    bytes[damaged + 20] ^= 1;
    let whole = bytes.len();
    Record::new(header(8), &[2; 11]).encode(&mut bytes);
    assert_eq!(find_header(&bytes), Some((whole, header(8), 11)));
    assert_eq!(find_header(&bytes[..whole + 47]), None);
    assert_eq!(find_header(&bytes[..whole + 48]), Some((whole, header(8), 11)));
}

fn read_as_all(bytes: &[u8]) {
    fn read<P: Payload>(bytes: &[u8]) {
        if let Ok(payload) = P::from_bytes(bytes) {
            let again = payload.to_bytes();
            assert!(!again.is_empty());
            assert!(P::from_bytes(&again).is_ok(), "{bytes:x?} became {again:x?}");
        }
    }
    read::<payload::Session>(bytes);
    read::<Stream>(bytes);
    read::<Gap>(bytes);
    read::<payload::ClockReading>(bytes);
    read::<payload::Event>(bytes);
    read::<payload::Stats>(bytes);
    read::<payload::End>(bytes);
}

fn some_payloads() -> Vec<Vec<u8>> {
    let stage = payload::Stage { command: vec!["a".into()], ..Default::default() };
    let session = payload::Session {
        meta: [("key".into(), "value".into())].into(),
        stages: vec![stage],
        ..Default::default()
    };
    let stream = Stream {
        shape: vec![2, 3],
        rate: Some(200.0),
        channels: vec![libframe::schema::Channel::default()],
        ..Default::default()
    };
    let value = payload::Value::Float(0.5);
    let end = payload::End { streams: vec![Default::default()], ..Default::default() };
    vec![
        session.to_bytes(),
        stream.to_bytes(),
        gap(3..9, Reason::Queue).to_bytes(),
        payload::ClockReading { realtime: Some(-1), ..Default::default() }.to_bytes(),
        payload::Event { value, ..Default::default() }.to_bytes(),
        payload::Stats { hop: vec![(1, 2)], ..Default::default() }.to_bytes(),
        end.to_bytes(),
    ]
}

#[test]
fn payloads_nested_a_million_deep_do_not_overflow_the_stack() {
    for opening in [0x91u8, 0x81, 0xc7, 0xdd] {
        for prefix in [&b""[..], b"\x81\xa1x", b"\x82\xa5label\xa1x\xa5value"] {
            let mut bytes = prefix.to_vec();
            bytes.resize(payload::MAX_TYPED, opening);
            read_as_all(&bytes);
        }
    }
}
