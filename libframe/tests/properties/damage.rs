//! Damage costs the records it touches: whatever it is, and wherever.

use std::collections::HashSet;

use libframe::decoder::{Cause, Decoder};
use libframe::wire::{HEADER_LEN, Header, Kind, MAX_PAYLOAD};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::streams::*;

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
        let ends: Vec<_> = (1..=first.len()).map(|n| concat(&first[..n]).len()).collect();
        let first = concat(&first);
        let kept = cut.index(first.len());
        // Records that fill the missing part of a payload to the byte could as well be it.
        let missing = ends.iter().find(|end| **end >= kept).map_or(0, |end| end - kept);
        prop_assume!((1..=second.len()).all(|n| concat(&second[..n]).len() != missing));
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

#[test]
fn a_header_over_the_limit_does_not_end_a_search() {
    let [first, long, last] = [60, 500, 60].map(|len| {
        let kind = Kind::DATA;
        let header = Header {
            kind,
            flags: 0,
            stream: 1,
            session: TAGS[0],
            seq: 0,
            time: 0,
            sent: 0,
        };
        wire(header, &vec![7; len])
    });
    let bytes = [&first[..], b"junk", &long, &last].concat();
    let told = Told::by(&bytes, &[bytes.len()], 100);
    assert_eq!(told.records.len(), 2);
    let [damage] = told.damage[..] else { panic!("{:?}", told.damage) };
    assert_eq!((damage.cause, damage.bytes), (Cause::Header, 4 + long.len() as u64));
}
