//! What lanes promise, tried with all that may come in any order.

#![cfg(feature = "tool")]
#![allow(clippy::unwrap_used, reason = "an unwrap that fails is a test that fails")]

use libframe::payload::{Gap, Payload as _};
use libframe::tool::{Chunk, Full, Lanes, Limits, Put};
use libframe::wire::{Header, Kind, Record};
use proptest::prelude::*;

fn header(kind: Kind, stream: u16, seq: u64, time: i64) -> Header {
    Header { kind, flags: 0, stream, session: 0, seq, time, sent: 0 }
}

fn lanes(bytes: u64, full: Full) -> Lanes {
    Lanes::new(Limits { bytes, records: None, time: None }, full, "test")
}

fn put(lanes: &mut Lanes, stream: u16, seq: u64) -> Put {
    lanes.put(&Record::new(header(Kind::DATA, stream, seq, seq as i64), &[7; 40]))
}

fn accept(lanes: &mut Lanes, stream: u16, seq: u64) {
    assert_eq!(put(lanes, stream, seq), Put::Done);
}

/// What comes out: kind, stream, first number, and how many samples it is about.
fn take_all(lanes: &mut Lanes) -> Vec<(Kind, u16, u64, u64, i64)> {
    let (mut chunk, mut all) = (Chunk::default(), Vec::new());
    loop {
        lanes.take(&mut chunk);
        if chunk.is_empty() {
            return all;
        }
        all.extend(chunk.records().map(|record| {
            let Header { kind, stream, seq, time, .. } = record.header;
            match Gap::from_bytes(record.payload) {
                Ok(gap) if kind == Kind::GAP => {
                    assert_eq!((gap.next(), gap.stage.as_str()), (seq, "test"));
                    (kind, stream, gap.first, gap.count.unwrap(), time)
                }
                _ => (kind, stream, seq, record.samples(), time),
            }
        }));
    }
}

#[test]
fn a_flood_on_one_stream_pushes_out_nothing_of_another() {
    for full in [Full::DropOldest, Full::DropNewest] {
        let mut lanes = lanes(20_000, full);
        for seq in 0..10_000 {
            put(&mut lanes, 1, seq);
            if seq % 500 == 0 {
                assert_eq!(put(&mut lanes, 2, seq / 500), Put::Done);
            }
        }
        let all = take_all(&mut lanes);
        let of = |stream| all.iter().filter(move |entry| entry.1 == stream);
        let rare: Vec<_> = of(2).map(|entry| (entry.0, entry.2)).collect();
        assert_eq!(rare, (0..20).map(|seq| (Kind::DATA, seq)).collect::<Vec<_>>());
        let kept = of(1).filter(|entry| entry.0 == Kind::DATA).count();
        assert!((150..200).contains(&kept), "{kept} of the flood fill the rest");
    }
}

#[test]
fn equal_streams_keep_equal_shares() {
    for full in [Full::DropOldest, Full::DropNewest] {
        let mut lanes = lanes(20_000, full);
        for seq in 0..1000 {
            (1..=4).for_each(|stream| accept(&mut lanes, stream, seq));
        }
        let all = take_all(&mut lanes);
        let kept = |s| all.iter().filter(|e| e.1 == s && e.0 == Kind::DATA).count();
        let kept: Vec<_> = (1..=4).map(kept).collect();
        let spread = kept.iter().max().unwrap() - kept.iter().min().unwrap();
        assert!(kept.iter().sum::<usize>() > 180 && spread <= 2, "{kept:?}");
    }
}

#[test]
fn the_oldest_make_room_in_their_place_and_the_newest_in_theirs() {
    let mut oldest = lanes(1020, Full::DropOldest);
    (0..15).for_each(|seq| accept(&mut oldest, 1, seq));
    let all = take_all(&mut oldest);
    assert_eq!((all[0].0, all[0].2, all[0].3), (Kind::GAP, 0, 6));
    assert_eq!((all[1].2, all.last().unwrap().2, oldest.lost()), (6, 14, 6));

    let mut newest = lanes(1020, Full::DropNewest);
    (0..15).for_each(|seq| accept(&mut newest, 1, seq));
    assert_eq!(take_all(&mut newest).last().unwrap().2, 9, "the gap is told later");
    put(&mut newest, 1, 15);
    let rest = take_all(&mut newest);
    assert_eq!((rest[0].0, rest[0].2, rest[0].3), (Kind::GAP, 10, 5));
    assert_eq!((rest[1].0, rest[1].2), (Kind::DATA, 15));
}

#[test]
fn a_limit_of_records_or_of_time_counts_too() {
    let limits = Limits { bytes: 1 << 20, records: Some(10), time: None };
    let mut by_records = Lanes::new(limits, Full::DropOldest, "test");
    (0..15).for_each(|seq| accept(&mut by_records, 1, seq));
    assert_eq!((by_records.records(), by_records.lost()), (10, 5));

    let limits = Limits { bytes: 1 << 20, records: None, time: Some(100) };
    let mut by_time = Lanes::new(limits, Full::DropOldest, "test");
    (0..500).for_each(|seq| accept(&mut by_time, 1, seq));
    // A second stream has a time of its own.
    put(&mut by_time, 2, 499);
    assert_eq!((by_time.records(), by_time.lost()), (102, 399));
    assert!((by_time.fill() - 1.0).abs() < 1e-9);
}

#[test]
fn a_record_over_the_limit_passes_alone_and_nothing_else_with_it() {
    let mut lanes = lanes(1000, Full::Refuse);
    let long = vec![1; 5000];
    let record = Record::new(header(Kind::DATA, 1, 0, 0), &long);
    assert_eq!(lanes.put(&record), Put::Done);
    assert_eq!(put(&mut lanes, 2, 0), Put::Full);
    assert_eq!(take_all(&mut lanes).len(), 1);
    assert_eq!(put(&mut lanes, 2, 0), Put::Done);
}

#[test]
fn records_without_samples_are_never_dropped() {
    for full in [Full::DropOldest, Full::DropNewest] {
        let mut lanes = lanes(2000, full);
        let event = |time| header(Kind::EVENT, 1, 0, time);
        let mut events = 0;
        for seq in 0..1000 {
            put(&mut lanes, 1, seq);
            events += u64::from(lanes.put(&Record::new(event(0), &[0; 20])) == Put::Done);
        }
        let all = take_all(&mut lanes);
        let came = all.iter().filter(|entry| entry.0 == Kind::EVENT).count() as u64;
        assert_eq!(came, events);
        assert!((20..30).contains(&came), "they fill what there is, no more: {came}");
    }
}

#[test]
fn what_must_be_said_of_drops_is_bounded_and_can_always_be_taken() {
    for full in [Full::DropOldest, Full::DropNewest] {
        let mut lanes = lanes(5000, full);
        // Each second sample never came, so each that is dropped is a run of its own.
        let mut seq = 0;
        while put(&mut lanes, 1, seq) == Put::Done {
            seq += 2;
            assert!(seq < 10_000, "{full:?} has no limit");
            assert!(lanes.bytes() <= 5000 + 5000 / 16 + 100);
        }
        let told = take_all(&mut lanes);
        assert_eq!(told.len() as u64, seq / 2, "each came or is told");
        assert!(told.iter().any(|entry| entry.0 == Kind::GAP));
        assert_eq!(put(&mut lanes, 1, seq), Put::Done);
    }
}

#[test]
fn kinds_that_nobody_knows_come_out_as_they_were() {
    let mut lanes = lanes(10_000, Full::DropOldest);
    for kind in (0..=255).map(Kind).filter(|kind| kind.name().is_none()) {
        let record = Record::new(header(kind, 1, 5, 6), b"strange");
        assert_eq!(lanes.put(&record), Put::Done);
        let mut chunk = Chunk::default();
        lanes.take(&mut chunk);
        assert_eq!(chunk.records().collect::<Vec<_>>(), [record]);
    }
}

/// Something that happens to lanes.
#[derive(Clone, Debug)]
enum Step {
    Samples {
        stream: u16,
        n: u32,
        size: usize,
    },
    /// Samples that never came.
    Skip(u16),
    Talk,
    Take,
    /// The session ends, and another begins.
    End,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1u16..4, 1u32..5, 0usize..300)
            .prop_map(|(stream, n, size)| Step::Samples { stream, n, size }),
        1 => (1u16..4).prop_map(Step::Skip),
        1 => Just(Step::Talk),
        1 => Just(Step::Take),
        1 => Just(Step::End),
    ]
}

fn batch(n: u32, size: usize) -> Vec<u8> {
    let mut payload = n.to_le_bytes().to_vec();
    payload.resize(8 + 8 * n as usize + size, 0);
    payload
}

proptest! {
    // What fails stands here, not in a file.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_comes_out_and_its_gaps_are_what_went_in(
        steps in prop::collection::vec(step(), 1..400),
        full in prop_oneof![
            Just(Full::Refuse), Just(Full::DropOldest), Just(Full::DropNewest)
        ],
        limit in 300u64..6000,
        records in prop_oneof![Just(None), (1u64..20).prop_map(Some)],
    ) {
        let limits = Limits { bytes: limit, records, time: None };
        let mut lanes = Lanes::new(limits, full, "test");
        let (mut next, mut sent, mut came) = ([0u64; 4], Vec::new(), Vec::new());
        let mut session = 0;
        for (at, step) in steps.into_iter().chain([Step::End]).enumerate() {
            let time = at as i64;
            let (header, payload) = match step {
                Step::Samples { stream, n, size } => {
                    let seq = next[usize::from(stream)];
                    next[usize::from(stream)] += u64::from(n);
                    (header(Kind::BATCH, stream, seq, time), batch(n, size))
                }
                Step::Skip(stream) => {
                    next[usize::from(stream)] += 3;
                    continue;
                }
                Step::Talk => (header(Kind::EVENT, 1, 0, time), vec![1; 30]),
                Step::End => (header(Kind::END, 0, 0, time), Vec::new()),
                Step::Take => {
                    came.extend(take_all(&mut lanes));
                    continue;
                }
            };
            let record = Record::new(Header { session, ..header }, &payload);
            while lanes.put(&record) == Put::Full {
                let got = take_all(&mut lanes);
                prop_assert!(!got.is_empty(), "full of nothing");
                came.extend(got);
            }
            sent.push((header.kind, header.stream, header.seq, record.samples(), time));
            // A ticket before it, its length behind it.
            let longest = record.wire_len() as u64 + 12;
            prop_assert!(lanes.bytes() <= limit.max(longest) + limit, "{}", lanes.bytes());
            if let Some(n) = records {
                prop_assert!(lanes.records() <= n);
            }
            if header.kind == Kind::END {
                (session, next) = (session + 1, [0; 4]);
            }
        }
        came.extend(take_all(&mut lanes));
        prop_assert_eq!(lanes.bytes(), 0);
        prop_assert_eq!(lanes.records(), 0);
        prop_assert_eq!(came.last().map(|end| end.0), Some(Kind::END));

        let kept: Vec<_> = came.iter().copied().filter(|e| e.0 != Kind::GAP).collect();
        let dropped: u64 = came.iter().filter(|e| e.0 == Kind::GAP).map(|e| e.3).sum();
        prop_assert_eq!(dropped, lanes.lost());
        if full == Full::Refuse {
            prop_assert_eq!(&kept, &sent);
        }
        // In the order of their coming.
        prop_assert!(kept.windows(2).all(|pair| pair[0].4 < pair[1].4));
        for stream in 1..4 {
            // By session: what lies between two ENDs.
            let samples = |all: &[(Kind, u16, u64, u64, i64)]| -> Vec<Vec<u64>> {
                let of_session = |all: &[(Kind, u16, u64, u64, i64)]| {
                    let of = all.iter().filter(|e| e.1 == stream && e.0 != Kind::EVENT);
                    of.flat_map(|entry| entry.2..entry.2 + entry.3).collect()
                };
                all.split(|entry| entry.0 == Kind::END).map(of_session).collect()
            };
            // Not sorted: each gap must be where its samples were.
            prop_assert_eq!(samples(&came), samples(&sent));
        }
    }
}
