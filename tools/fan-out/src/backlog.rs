//! What waits for a branch: blocks, and what is left of those that were dropped. No I/O and
//! no locks.
//!
//! Its size is bounded, and half as much again is for what is left; beyond that, only the
//! number of missing samples is.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;

use crate::block::Block;
use crate::rest::{Item, Rest};

/// What waits for a branch.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    entries: VecDeque<Entry>,
    weight: usize,
    capacity: usize,
    policy: Policy,
    /// What was dropped, and what went with it.
    dropped: u64,
    gone: u64,
}

/// What to do when there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Policy {
    #[default]
    Wait,
    DropOldest,
    DropNewest,
}

/// One thing that waits.
#[derive(Debug)]
pub(crate) enum Entry {
    Block(Arc<Block>),
    Rest(Rest),
}

impl Entry {
    fn weight(&self) -> usize {
        size_of::<Entry>()
            + match self {
                Entry::Block(block) => block.weight(),
                Entry::Rest(rest) => rest.weight(),
            }
    }
}

impl Backlog {
    pub(crate) fn new(capacity: usize, policy: Policy) -> Backlog {
        Backlog { capacity, policy, ..Backlog::default() }
    }

    /// How many may wait.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes of memory that wait.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Samples dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Records without samples that went with them, because nothing else could.
    pub(crate) fn gone(&self) -> u64 {
        self.gone
    }

    /// Puts a block in line, by whatever means its policy has; false if it must wait.
    pub(crate) fn push(&mut self, block: &Arc<Block>) -> bool {
        if !self.has_room_for(block) {
            match self.policy {
                Policy::Wait => return false,
                Policy::DropNewest => {
                    self.drop_newest(block);
                    return true;
                }
                Policy::DropOldest => {
                    self.drop_oldest(block);
                }
            }
        }
        self.push_back(Entry::Block(Arc::clone(block)));
        true
    }

    /// Puts something that the branch is to be told in line, room or not: there is little
    /// of it, and it takes the place of the last if nothing came between.
    pub(crate) fn tell(&mut self, item: Item) {
        let mut rest = self.pop_back_rest().unwrap_or_default();
        rest.push(item);
        self.push_back_rest(rest);
    }

    /// Puts a block in line, room or not.
    pub(crate) fn force(&mut self, block: &Arc<Block>) {
        self.push_back(Entry::Block(Arc::clone(block)));
    }

    /// The same without what waits.
    pub(crate) fn emptied(&self) -> Backlog {
        Backlog { dropped: self.dropped, gone: self.gone, ..Backlog::default() }
    }

    /// What waits longest.
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.weight -= entry.weight();
        Some(entry)
    }

    /// Drops all blocks.
    pub(crate) fn drop_all(&mut self) {
        let mut rest = Rest::default();
        while let Some(entry) = self.pop() {
            self.absorb(&mut rest, entry);
        }
        self.push_back_rest(rest);
    }

    /// An empty queue takes anything, or a long record would never pass.
    fn has_room_for(&self, block: &Block) -> bool {
        self.entries.is_empty() || self.weight + block.weight() <= self.capacity
    }

    fn drop_newest(&mut self, block: &Block) {
        let mut rest = self.pop_back_rest().unwrap_or_default();
        self.dropped += rest.absorb(block);
        self.push_back_rest(rest);
    }

    fn drop_oldest(&mut self, for_block: &Block) {
        let mut rest = Rest::default();
        while self.weight + rest.weight() + for_block.weight() > self.capacity {
            let Some(entry) = self.pop() else { break };
            self.absorb(&mut rest, entry);
        }
        if rest.weight() > self.capacity / 2 {
            self.gone += rest.collapse();
        }
        let entry = Entry::Rest(rest);
        self.weight += entry.weight();
        self.entries.push_front(entry);
    }

    fn absorb(&mut self, rest: &mut Rest, entry: Entry) {
        match entry {
            Entry::Block(block) => self.dropped += rest.absorb(&block),
            Entry::Rest(other) => rest.append(other),
        }
    }

    fn pop_back_rest(&mut self) -> Option<Rest> {
        let Some(Entry::Rest(rest)) = self.entries.back_mut() else { return None };
        let rest = std::mem::take(rest);
        self.weight -= rest.weight() + size_of::<Entry>();
        self.entries.pop_back();
        Some(rest)
    }

    fn push_back_rest(&mut self, mut rest: Rest) {
        if self.policy != Policy::Wait && rest.weight() > self.capacity / 2 {
            self.gone += rest.collapse();
        }
        self.push_back(Entry::Rest(rest));
    }

    fn push_back(&mut self, entry: Entry) {
        self.weight += entry.weight();
        self.entries.push_back(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::tests::{block, record};
    use libframe::wire::Kind;

    use crate::rest::Report;

    /// A block of one record with this number.
    fn one(seq: u64) -> Arc<Block> {
        block(&[record(Kind::DATA, 1, seq, &[7; 100])])
    }

    fn backlog(policy: Policy, blocks: usize) -> Backlog {
        let weight = Entry::Block(one(0)).weight();
        // And a little for the gaps between them.
        Backlog::new(weight * blocks + 300, policy)
    }

    /// What comes out: samples as `(first, count, dropped)`, other things by their kind.
    fn all(mut backlog: Backlog) -> Vec<(u64, u64, bool)> {
        let mut found = Vec::new();
        while let Some(entry) = backlog.pop() {
            match entry {
                Entry::Block(block) => {
                    found.extend(block.parts().map(|part| match part {
                        crate::block::Part::Span(span) => (span.first, span.count, false),
                        crate::block::Part::Mark(..) => (0, 0, false),
                    }))
                }
                Entry::Rest(rest) => {
                    found.extend(rest.items().iter().map(|item| match item {
                        Item::Gap(span) => (span.first, span.count, true),
                        _ => (0, 0, true),
                    }))
                }
            }
        }
        assert_eq!(backlog.weight(), 0);
        found
    }

    #[test]
    fn one_that_is_waited_for_refuses_what_does_not_fit() {
        let mut backlog = backlog(Policy::Wait, 3);
        let given: Vec<_> = (0..5).map(|seq| backlog.push(&one(seq))).collect();
        assert_eq!(given, [true, true, true, false, false]);
        assert!(backlog.pop().is_some() && backlog.push(&one(3)));
        assert_eq!(backlog.dropped(), 0);
    }

    #[test]
    fn the_oldest_make_room_and_leave_one_gap() {
        let mut backlog = backlog(Policy::DropOldest, 3);
        assert!((0..1000).all(|seq| backlog.push(&one(seq))));
        assert_eq!(backlog.dropped(), 997);
        assert_eq!(all(backlog)[0], (0, 997, true));
    }

    #[test]
    fn the_newest_are_left_out_and_the_gap_stands_before_what_comes_next() {
        let mut backlog = backlog(Policy::DropNewest, 3);
        assert!((0..1000).all(|seq| backlog.push(&one(seq))));
        assert_eq!(backlog.dropped(), 997);
        backlog.pop();
        backlog.pop();
        backlog.push(&one(1000));
        assert_eq!(all(backlog), [(2, 1, false), (3, 997, true), (1000, 1, false)]);
    }

    #[test]
    fn a_record_that_is_longer_than_the_queue_passes_alone() {
        let long = block(&[record(Kind::DATA, 1, 0, &[1; 5000])]);
        for policy in [Policy::Wait, Policy::DropOldest, Policy::DropNewest] {
            let mut backlog = backlog(policy, 3);
            assert!(backlog.push(&long));
            assert!(matches!(backlog.pop(), Some(Entry::Block(_))));
        }
    }

    #[test]
    fn weight_stays_within_bounds_whatever_comes() {
        for policy in [Policy::DropOldest, Policy::DropNewest] {
            let mut backlog = Backlog::new(20_000, policy);
            for seq in 0..5000 {
                let event = record(Kind::EVENT, 1, seq, b"something happened");
                let data = record(Kind::DATA, 1, seq, &[7; 100]);
                backlog.push(&block(&[event, data]));
                let report = Report { session: 9, time: 0, stats: Box::default() };
                backlog.tell(Item::Report(report.clone()));
                if seq % 100 == 0 {
                    backlog.tell(Item::End(report, "end".into()));
                }
                assert!(backlog.weight() < 31_000, "{policy:?}: {}", backlog.weight());
            }
            assert!(backlog.gone() > 1000);
            let missing: u64 = backlog.dropped();
            let found = all(backlog);
            let waiting =
                found.iter().filter(|(.., dropped)| !dropped).map(|(_, n, _)| n);
            assert_eq!(waiting.sum::<u64>() + missing, 5000);
        }
    }

    #[test]
    fn all_that_waits_can_be_dropped_at_once() {
        let mut backlog = backlog(Policy::DropNewest, 5);
        (0..9).for_each(|seq| {
            backlog.push(&one(seq));
        });
        backlog.drop_all();
        assert_eq!(backlog.dropped(), 9);
        assert_eq!(all(backlog), [(0, 9, true)]);
    }
}
