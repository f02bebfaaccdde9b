//! What must hold for any records, any cuts and any damage.
//!
//! A stream is kept as the wire form of its records, so that comparing what came out also
//! checks that a record passed on is the same bytes again.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use libframe::batch::{Builder, Sample, Samples, data_record};
use libframe::decoder::{Cause, Damage, Decoder, Item};
use libframe::ledger::StreamLedger;
use libframe::payload::{self, Gap, Payload, Reason};
use libframe::schema::Stream;
use libframe::wire::{HEADER_LEN, Header, Kind, MAGIC, MAX_PAYLOAD, Record};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const TAGS: [u32; 2] = [0x0a0b_0c0d, 0x5e55_1047];

/// What a decoder made of a stream.
#[derive(Debug, Default, PartialEq)]
struct Told {
    /// Where each record began, and its wire form.
    records: Vec<(u64, Vec<u8>)>,
    damage: Vec<Damage>,
    /// Where the next item must begin: items may neither overlap nor leave bytes out.
    at: u64,
}

impl Told {
    /// Decodes a stream that comes in pieces of these lengths, over and over.
    fn by(bytes: &[u8], lengths: &[usize], limit: usize) -> Told {
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

    fn of(bytes: &[u8]) -> Told {
        Told::by(bytes, &[bytes.len()], MAX_PAYLOAD)
    }

    fn pull_all(&mut self, decoder: &mut Decoder) {
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
enum Content {
    Noise(u64),
    Magics(u8),
    Zeros,
}

impl Content {
    /// The last byte is one that no record begins with: after a cut, the next record's magic
    /// could else stand for the bytes that were cut, and no reader can know.
    fn bytes(self, len: usize) -> Vec<u8> {
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
fn noise(seed: u64) -> impl Iterator<Item = u8> {
    let step = |x: &u64| {
        Some(
            x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963),
        )
    };
    std::iter::successors(Some(seed), step).skip(1).map(|x| (x >> 56) as u8)
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        6 => any::<u64>().prop_map(Content::Noise),
        1 => any::<u8>().prop_map(Content::Magics),
        1 => Just(Content::Zeros),
    ]
}

fn header(session: u32) -> impl Strategy<Value = Header> {
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

fn wire(header: Header, payload: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    Record::new(header, payload).encode(&mut wire);
    wire
}

/// Records in wire form; now and then one is longer than the decoder's buffer at rest.
fn records(session: u32, count: Range<usize>) -> impl Strategy<Value = Vec<Vec<u8>>> {
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

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        1 => Just(vec![1]),
        2 => vec(1usize..200, 1..20),
        1 => vec(1usize..200_000, 1..5),
    ]
}

/// Something that happens to bytes on their way.
#[derive(Clone, Debug)]
enum Fault {
    Flip { at: Index, bit: u8 },
    Cut { at: Index, len: usize },
    Insert { at: Index, content: Content, len: usize },
}

fn fault() -> impl Strategy<Value = Fault> {
    let len = || prop_oneof![4 => 1usize..300, 1 => 1usize..5000];
    let at = any::<Index>;
    prop_oneof![
        (at(), 0u8..8).prop_map(|(at, bit)| Fault::Flip { at, bit }),
        (at(), len()).prop_map(|(at, len)| Fault::Cut { at, len }),
        (at(), content(), len()).prop_map(|(at, content, len)| Fault::Insert {
            at,
            content,
            len
        }),
    ]
}

/// A run of bytes of a stream: an untouched record, or what a fault left.
#[derive(Clone, Debug)]
struct Piece {
    bytes: Vec<u8>,
    touched: bool,
}

struct Faulty(Vec<Piece>);

impl Faulty {
    fn new(records: &[Vec<u8>]) -> Faulty {
        let whole = |bytes: &Vec<u8>| Piece { bytes: bytes.clone(), touched: false };
        Faulty(records.iter().map(whole).collect())
    }

    fn apply(&mut self, fault: &Fault) {
        let total = self.0.iter().map(|piece| piece.bytes.len()).sum::<usize>();
        if total == 0 {
            return;
        }
        match fault {
            Fault::Flip { at, bit } => {
                let (piece, within) = self.place(at.index(total));
                self.0[piece].bytes[within] ^= 1 << bit;
                self.0[piece].touched = true;
            }
            Fault::Cut { at, len } => self.cut(at.index(total), *len),
            Fault::Insert { at, content, len } => {
                let (piece, within) = self.place(at.index(total));
                let new = content.bytes(*len);
                if within == 0 {
                    self.0.insert(piece, Piece { bytes: new, touched: true });
                } else {
                    self.0[piece].bytes.splice(within..within, new);
                    self.0[piece].touched = true;
                }
            }
        }
    }

    /// The piece that holds a byte of the stream, and the byte's place in it.
    fn place(&self, mut at: usize) -> (usize, usize) {
        for (index, piece) in self.0.iter().enumerate() {
            if at < piece.bytes.len() {
                return (index, at);
            }
            at -= piece.bytes.len();
        }
        unreachable!("the caller takes a place within the stream");
    }

    fn cut(&mut self, at: usize, len: usize) {
        let mut begin = 0;
        for piece in &mut self.0 {
            let end = begin + piece.bytes.len();
            let cut = at.clamp(begin, end) - begin..(at + len).clamp(begin, end) - begin;
            begin = end;
            if !cut.is_empty() {
                piece.bytes.drain(cut);
                piece.touched = true;
            }
        }
        self.0.retain(|piece| !piece.bytes.is_empty());
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|piece| &piece.bytes).copied().collect()
    }

    /// Where the records are that no fault touched.
    fn untouched(&self) -> Vec<(u64, Vec<u8>)> {
        let mut at = 0;
        let mut all = Vec::new();
        for Piece { bytes, touched } in &self.0 {
            if !touched {
                all.push((at, bytes.clone()));
            }
            at += bytes.len() as u64;
        }
        all
    }
}

fn concat(records: &[Vec<u8>]) -> Vec<u8> {
    records.concat()
}

/// Every untouched record came, at its place, and nothing came that was never sent.
///
/// Not an equality: a cut from within one record to the same place in another can leave a
/// whole record behind.
fn assert_told(told: &Told, untouched: &[(u64, Vec<u8>)], sent: &[Vec<u8>]) {
    let mut came = told.records.iter();
    for record in untouched {
        assert!(came.any(|other| other == record), "the record at {} is lost", record.0);
    }
    let sent: HashSet<&[u8]> = sent.iter().map(Vec::as_slice).collect();
    for (at, record) in &told.records {
        assert!(sent.contains(&record[..]), "what came at {at} was never sent");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn any_records_come_back_through_any_cuts(
        records in records(TAGS[0], 0..40),
        cuts in cuts(),
    ) {
        let told = Told::by(&concat(&records), &cuts, MAX_PAYLOAD);
        prop_assert_eq!(&told.damage, &[]);
        let came: Vec<_> = told.records.into_iter().map(|(_, wire)| wire).collect();
        prop_assert_eq!(came, records);
    }

    #[test]
    fn records_that_no_fault_touched_are_delivered(
        records in records(TAGS[0], 50..300),
        faults in vec(fault(), 1..5),
        cuts in cuts(),
    ) {
        let mut faulty = Faulty::new(&records);
        for fault in &faults {
            faulty.apply(fault);
        }
        let told = Told::by(&faulty.bytes(), &cuts, MAX_PAYLOAD);
        assert_told(&told, &faulty.untouched(), &records);
    }

    #[test]
    fn a_stream_after_a_broken_one_is_whole(
        first in records(TAGS[0], 1..10),
        second in records(TAGS[1], 1..20),
        cut in any::<Index>(),
        cuts in cuts(),
    ) {
        let (first, second) = (concat(&first), second);
        let kept = cut.index(first.len());
        // Then the second stream could as well be the missing part of a payload.
        prop_assume!(first.len() - kept != concat(&second).len());
        let bytes = [&first[..kept], &concat(&second)].concat();
        let told = Told::by(&bytes, &cuts, MAX_PAYLOAD);
        let came: Vec<_> = told.records.iter().map(|(_, wire)| wire.clone()).collect();
        prop_assert!(came.ends_with(&second), "{} of {}", came.len(), second.len());
    }

    #[test]
    fn a_recording_in_a_damaged_payload_is_not_delivered(
        inner in records(TAGS[1], 1..6),
        outer in header(TAGS[0]),
        around in records(TAGS[0], 1..3),
        at in any::<Index>(),
        bit in 0u8..8,
        cuts in cuts(),
    ) {
        let inner = concat(&inner);
        let mut damaged = wire(outer, &inner);
        damaged[HEADER_LEN + at.index(inner.len())] ^= 1 << bit;
        for after in [&around[..], &[]] {
            let bytes = [concat(&around), damaged.clone(), concat(after)].concat();
            let told = Told::by(&bytes, &cuts, MAX_PAYLOAD);
            prop_assert_eq!(told.damage.len(), 1);
            prop_assert_eq!(told.damage[0].cause, Cause::Payload);
            prop_assert_eq!(told.damage[0].header, Some(outer));
            prop_assert_eq!(told.damage[0].bytes, damaged.len() as u64);
        }
    }
}

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

/// Samples as the runner chooses them: time, device time, bytes.
fn samples(fixed: bool, timed: bool) -> impl Strategy<Value = Vec<Choice>> {
    let size = if fixed { (0usize..20).boxed() } else { Just(20).boxed() };
    size.prop_flat_map(move |size| {
        let bytes =
            if fixed { vec(any::<u8>(), size) } else { vec(any::<u8>(), 0..size) };
        let device = any::<u64>().prop_map(move |time| timed.then_some(time));
        vec((any::<i64>(), device, bytes), 1..60)
    })
}

type Choice = (i64, Option<u64>, Vec<u8>);

fn numbered(choices: &[Choice], first: u64) -> impl Iterator<Item = Sample<'_>> {
    choices.iter().enumerate().map(move |(i, (time, device_time, bytes))| Sample {
        seq: first.wrapping_add(i as u64),
        time: *time,
        device_time: *device_time,
        bytes,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn batching_and_splitting_are_inverses(
        (fixed, choices) in any::<(bool, bool)>()
            .prop_flat_map(|(fixed, timed)| (Just(fixed), samples(fixed, timed))),
        header in header(TAGS[0]),
        limit in prop_oneof![Just(MAX_PAYLOAD), 0usize..500],
    ) {
        let mut builder = Builder::new(fixed);
        let mut batches = Vec::new();
        for sample in numbered(&choices, header.seq) {
            if !builder.push(&header, &sample, limit) {
                batches.extend(builder.finish().map(|r| (r.header, r.payload.to_vec())));
                prop_assert!(builder.push(&header, &sample, limit));
            }
        }
        batches.extend(builder.finish().map(|r| (r.header, r.payload.to_vec())));
        prop_assert!(builder.is_empty());

        let mut came = numbered(&choices, header.seq);
        for (head, payload) in &batches {
            let batch = Record::new(*head, payload);
            let samples = Samples::parse(&batch, fixed).unwrap();
            prop_assert_eq!(batch.samples(), samples.len() as u64);
            prop_assert!(payload.len() <= limit || samples.len() == 1);
            prop_assert_eq!((head.stream, head.session), (header.stream, header.session));
            for sample in samples.iter() {
                prop_assert_eq!(Some(sample), came.next());
                let mut buffer = Vec::new();
                let data = data_record(head, &sample, &mut buffer);
                let back: Vec<_> = Samples::parse(&data, fixed).unwrap().iter().collect();
                prop_assert_eq!(back, [sample]);
                builder.push(&data.header, &sample, MAX_PAYLOAD);
            }
            let again = builder.finish().unwrap();
            prop_assert_eq!((again.header, again.payload), (*head, &payload[..]));
        }
        prop_assert_eq!(came.next(), None);
    }
}

fn gap(range: Range<u64>, reason: Reason) -> Gap {
    Gap {
        first: range.start,
        count: Some(range.end - range.start),
        reason,
        stage: "test".into(),
        from: None,
        to: None,
        detail: String::new(),
    }
}

/// What a stage passes on.
#[derive(Clone, Debug)]
enum Passed {
    Samples(Range<u64>),
    Gap(Gap),
}

/// A stage's ledger, and what the stage passes on: the samples, and a GAP before each
/// hole's end.
fn stage(delivered: &[Range<u64>]) -> (StreamLedger, Vec<Passed>) {
    let mut ledger = StreamLedger::default();
    let mut passed = Vec::new();
    for range in delivered {
        if let Some(hole) = ledger.take(range.start, range.end - range.start, 0) {
            let gap = gap(hole, Reason::Upstream);
            ledger.explain(&gap);
            passed.push(Passed::Gap(gap));
        }
        passed.push(Passed::Samples(range.clone()));
    }
    (ledger, passed)
}

/// The next stage's ledger; that must not find anything the first one did not tell.
fn next_stage(passed: &[Passed]) -> StreamLedger {
    let mut ledger = StreamLedger::default();
    for item in passed {
        let hole = match item {
            Passed::Samples(range) => {
                ledger.take(range.start, range.end - range.start, 0)
            }
            Passed::Gap(gap) => ledger.gap(gap),
        };
        assert_eq!(hole, None, "a hole that was explained is found again at {item:?}");
    }
    ledger
}

fn counts(ledger: &StreamLedger) -> [u64; 6] {
    let first = ledger.first().unwrap_or(0);
    let (came, lost) = (ledger.samples(), ledger.lost());
    [first, ledger.next(), came, lost, ledger.duplicates(), ledger.reordered()]
}

fn assert_balanced(ledger: &StreamLedger) {
    let [first, next, came, lost, ..] = counts(ledger);
    assert_eq!(came + lost, next - first, "{ledger:?}");
    let lost_by: u64 = ledger.losses().iter().map(|loss| loss.samples).sum();
    assert_eq!(lost_by, lost, "{ledger:?}");
}

/// Ranges that follow each other, then dropped, repeated and put in any order.
fn deliveries(count: Range<usize>) -> impl Strategy<Value = Vec<Range<u64>>> {
    let fate = prop_oneof![6 => Just(1usize), 1 => Just(0), 1 => Just(2)];
    (0u64..100, vec((1u64..20, fate), count)).prop_flat_map(|(first, parts)| {
        let mut next = first;
        let mut ranges = Vec::new();
        for (len, times) in parts {
            ranges.extend(std::iter::repeat_n(next..next + len, times));
            next += len;
        }
        let far = any::<bool>();
        let swaps = vec(any::<(Index, Index)>(), 0..20);
        (Just(ranges), swaps, far).prop_map(|(mut ranges, swaps, far)| {
            for (a, b) in swaps {
                let len = ranges.len();
                if len > 0 {
                    let a = a.index(len);
                    let b = if far { b.index(len) } else { (a + 1) % len };
                    ranges.swap(a, b);
                }
            }
            ranges
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn two_stages_count_alike(delivered in deliveries(0..400)) {
        let (first, passed) = stage(&delivered);
        let second = next_stage(&passed);
        assert_balanced(&first);
        prop_assert_eq!(counts(&first), counts(&second));
        prop_assert_eq!(first.losses(), second.losses());

        let next = first.next() + 5;
        let totals = payload::Totals { stream: 1, first: 0, next, samples: 0, lost: 0 };
        let ends = [first, second].map(|mut ledger| {
            for hole in ledger.settle(&totals, true).into_iter().flatten() {
                ledger.explain(&gap(hole, Reason::Corrupt));
            }
            assert_balanced(&ledger);
            counts(&ledger)
        });
        prop_assert_eq!(ends[0], ends[1]);
        prop_assert_eq!(&ends[0][..2], &[0, next]);
    }

    #[test]
    fn few_holes_are_counted_to_the_sample(delivered in deliveries(1..60)) {
        let (ledger, _) = stage(&delivered);
        let first = delivered.first().map_or(0, |range| range.start);
        let (mut came, mut next, mut late) = (BTreeSet::new(), first, 0);
        for seq in delivered.iter().cloned().flatten() {
            if seq >= first && came.insert(seq) && seq < next {
                late += 1;
            }
            next = next.max(seq + 1);
        }
        let samples = came.len() as u64;
        let all: u64 = delivered.iter().map(|range| range.end - range.start).sum();
        let lost = next - first - samples;
        let expected = [first, next, samples, lost, all - samples, late];
        if !delivered.is_empty() {
            prop_assert_eq!(counts(&ledger), expected);
        }
    }

    #[test]
    fn the_account_balances_whatever_gaps_claim(
        steps in vec((0u8..4, 0u64..200, 0u64..40), 0..200),
    ) {
        let mut ledger = StreamLedger::default();
        for (what, seq, n) in steps {
            let hole = match what {
                0 | 1 => ledger.take(seq, n, 0),
                2 => ledger.expect(seq),
                _ => ledger.gap(&gap(seq..seq + n, Reason::Device)),
            };
            if let Some(hole) = hole {
                ledger.explain(&gap(hole, Reason::Upstream));
            }
            if ledger.first().is_some() {
                assert_balanced(&ledger);
            }
        }
    }

    #[test]
    fn no_numbers_upset_the_account(steps in vec((0u8..5, huge(), huge()), 0..100)) {
        let mut ledger = StreamLedger::default();
        for (what, seq, n) in steps {
            let claim = Gap { count: Some(n), ..gap(seq..seq, Reason::Device) };
            let holes = match what {
                0 => [ledger.take(seq, n, 0), None],
                1 => [ledger.expect(seq), None],
                2 => [ledger.gap(&claim), None],
                3 => [Some(seq..claim.next()), None],
                _ => {
                    let next = n;
                    let totals =
                        payload::Totals { first: seq, next, ..Default::default() };
                    ledger.settle(&totals, seq % 2 == 0)
                }
            };
            for hole in holes.into_iter().flatten() {
                prop_assert!(!hole.is_empty() || what == 3);
                ledger.explain(&gap(hole, Reason::Upstream));
            }
        }
    }
}

fn huge() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0u64..50, Just(u64::MAX), Just(u64::MAX / 2)]
}

#[test]
fn late_samples_in_a_large_hole_do_not_make_the_account_grow() {
    let mut ledger = StreamLedger::default();
    ledger.take(0, 1, 0);
    let hole = ledger.take(1 << 20, 1, 0).unwrap();
    ledger.explain(&gap(hole, Reason::Upstream));
    for seq in (2..1 << 17).step_by(2) {
        ledger.take(seq, 1, 0);
    }
    assert_balanced(&ledger);
    // Debug output stands for the memory, which is private.
    assert!(format!("{ledger:?}").len() < 10_000);
}

#[test]
fn much_can_be_pushed_before_the_first_pull() {
    let header = Header {
        kind: Kind::DATA,
        flags: 0,
        stream: 1,
        session: 2,
        seq: 0,
        time: 0,
        sent: 0,
    };
    let records = vec![wire(header, &[7; 100]); 5000];
    let mut decoder = Decoder::default();
    decoder.push(&concat(&records));
    let mut told = Told::default();
    told.pull_all(&mut decoder);
    assert_eq!(told.records.len(), records.len());
}

/// Six records of several kinds and sizes, among them two of equal size and an empty one.
fn six() -> Vec<Vec<u8>> {
    let sizes = [60, 8, 8, 0, 120, 30];
    let record = |(seq, len): (u64, usize)| {
        let header = Header {
            kind: Kind([1, 3, 3, 200, 4, 9][seq as usize]),
            flags: 0,
            stream: 1,
            session: TAGS[0],
            seq,
            time: 1_000 * seq as i64,
            sent: -1,
        };
        wire(header, &Content::Noise(seq).bytes(len))
    };
    (0u64..).zip(sizes).map(record).collect()
}

#[test]
fn each_flipped_bit_costs_one_record() {
    let records = six();
    let whole = concat(&records);
    let places = Told::of(&whole).records;
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let touched = |(at, wire): &(u64, Vec<u8>)| {
            (*at..at + wire.len() as u64).contains(&(bit as u64 / 8))
        };
        let (hit, others): (Vec<_>, Vec<_>) = places.iter().cloned().partition(touched);
        let told = Told::of(&bytes);
        assert_eq!(told.records, others, "bit {bit}");
        let (at, wire) = &hit[0];
        let [damage] = told.damage[..] else { panic!("bit {bit}: {:?}", told.damage) };
        assert_eq!((damage.offset, damage.bytes), (*at, wire.len() as u64), "bit {bit}");
        let in_payload = bit as u64 / 8 - at >= HEADER_LEN as u64;
        let cause = if in_payload { Cause::Payload } else { Cause::Header };
        assert_eq!((damage.cause, damage.header.is_some()), (cause, in_payload));
    }
}

#[test]
fn each_place_to_break_off_costs_one_record() {
    let records = six();
    let whole = concat(&records);
    let places = Told::of(&whole).records;
    for len in 0..whole.len() {
        let told = Told::of(&whole[..len]);
        let fits = |(at, wire): &&(u64, Vec<u8>)| at + wire.len() as u64 <= len as u64;
        let expected: Vec<_> = places.iter().filter(fits).cloned().collect();
        assert_eq!(told.records, expected, "broken off at {len}");
        let left = len as u64 - expected.last().map_or(0, |(at, w)| at + w.len() as u64);
        let told: Vec<_> = told.damage.iter().map(|d| (d.bytes, d.cause)).collect();
        let truncated = (left, Cause::Truncated);
        assert_eq!(told, [truncated][..usize::from(left > 0)], "broken off at {len}");
    }
}

#[test]
fn each_range_that_is_cut_out_costs_the_records_it_touches() {
    let records = six();
    let total = concat(&records).len();
    for at in 0..total {
        for len in 1..=total - at {
            let mut faulty = Faulty::new(&records);
            faulty.cut(at, len);
            let told = Told::of(&faulty.bytes());
            assert_told(&told, &faulty.untouched(), &records);
        }
    }
}

#[test]
fn each_place_to_break_off_leaves_the_next_stream_whole() {
    let header = |kind, seq| Header {
        kind,
        flags: 0,
        stream: 1,
        session: TAGS[1],
        seq,
        time: 0,
        sent: 0,
    };
    let first = concat(&six());
    let second: Vec<_> =
        (0..9).map(|seq| wire(header(Kind::DATA, seq), &[seq as u8; 8])).collect();
    for kept in 0..first.len() {
        let told = Told::of(&[&first[..kept], &concat(&second)].concat());
        let came: Vec<_> = told.records.into_iter().map(|(_, wire)| wire).collect();
        assert!(came.ends_with(&second), "after {kept} bytes");
    }
}
