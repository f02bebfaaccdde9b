//! Whatever is dropped, and whenever a reader dies: what its successors get, and what they
//! are told to miss, is all that there was, each sample once and in order.

use std::collections::BTreeMap;
use std::ops::Range;

use libframe::decoder::{Decoder, Item};
use libframe::payload::{Gap, Payload as _};
use libframe::wire::Kind;

use crate::backlog::{Backlog, Policy};
use crate::block::Builder;
use crate::block::tests::record;
use crate::delivery::Delivery;

const PIPE: usize = 2000;

/// Numbers that look random, and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, range: Range<u64>) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        range.start + (self.0 >> 33) % (range.end - range.start)
    }
}

/// A branch: what waits for it, and a pipe to a reader that may die.
struct Branch {
    backlog: Backlog,
    delivery: Delivery,
    /// Written, or being written, and not read.
    pipe: Vec<u8>,
    /// What the reader of each start has read.
    read: Vec<Vec<u8>>,
}

impl Branch {
    /// Writes one thing, as soon as the last one is in the pipe as a whole.
    fn write(&mut self) {
        if self.pipe.len() > PIPE {
            return;
        }
        self.delivery.wrote();
        for _ in 0..3 {
            let Some(entry) = self.backlog.pop() else { return };
            if let Some(block) = self.delivery.next(entry, 0) {
                self.delivery.writes(&block);
                self.pipe.extend_from_slice(block.bytes());
            }
        }
    }

    fn read(&mut self, most: usize) {
        let n = most.min(self.pipe.len()).min(PIPE);
        let last = self.read.last_mut().unwrap();
        last.extend(self.pipe.drain(..n));
    }

    fn die(&mut self) {
        let unread = self.pipe.len() as u64;
        self.pipe.clear();
        let again = self.delivery.starts_again(unread, 0);
        self.delivery.started(PIPE);
        for block in again {
            self.delivery.writes(&block);
            self.pipe.extend_from_slice(block.bytes());
        }
        self.read.push(Vec::new());
    }

    /// What all readers got or were told to miss, by stream.
    fn told(&self) -> BTreeMap<u16, Vec<Range<u64>>> {
        let mut told = BTreeMap::<_, Vec<Range<u64>>>::new();
        for bytes in &self.read {
            let mut decoder = Decoder::default();
            decoder.push(bytes);
            while let Some(item) = decoder.pull() {
                let Item::Record(record) = item else { panic!("{item:?}") };
                let range = match record.header.kind {
                    Kind::DATA => record.header.seq..record.header.seq + 1,
                    Kind::GAP => {
                        let gap = Gap::from_bytes(record.payload).unwrap();
                        gap.first..gap.next()
                    }
                    _ => continue,
                };
                told.entry(record.header.stream).or_default().push(range);
            }
        }
        told
    }
}

fn try_one(seed: u64) {
    let mut dice = Dice(seed);
    let policy = [Policy::DropOldest, Policy::DropNewest][(seed % 2) as usize];
    let mut delivery = Delivery::new("test".into(), true);
    delivery.started(PIPE);
    let backlog = Backlog::new(dice.roll(1..20_000) as usize, policy);
    let mut branch =
        Branch { backlog, delivery, pipe: Vec::new(), read: vec![Vec::new()] };
    let mut next = BTreeMap::from([(1, 0), (2, 0)]);
    let mut builder = Builder::default();
    for _ in 0..300 {
        match dice.roll(0..10) {
            0..4 => {
                for _ in 0..dice.roll(1..8) {
                    let stream = dice.roll(1..3) as u16;
                    let seq = next.entry(stream).or_default();
                    if dice.roll(0..20) == 0 {
                        builder.push(&record(Kind::EVENT, stream, *seq, b"now"));
                    }
                    builder.push(&record(Kind::DATA, stream, *seq, &[7; 80]));
                    *seq += 1;
                }
                branch.backlog.push(&builder.take().unwrap());
            }
            4..6 => branch.write(),
            6..9 => branch.read(dice.roll(1..1500) as usize),
            _ if dice.roll(0..3) == 0 => branch.die(),
            _ => {}
        }
    }
    while !branch.backlog.is_empty() || !branch.pipe.is_empty() {
        branch.write();
        branch.read(PIPE);
    }
    for (stream, ranges) in branch.told() {
        let mut at = 0;
        for range in ranges {
            assert_eq!(range.start, at, "seed {seed}, stream {stream}");
            at = range.end;
        }
        assert_eq!(at, next[&stream], "seed {seed}, stream {stream}");
    }
}

#[test]
fn what_came_and_what_was_told_missing_is_all() {
    (0..2000).for_each(try_one);
}
