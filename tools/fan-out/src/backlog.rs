//! What waits for a branch: blocks, and what is left of those that were dropped. No I/O and
//! no locks.

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
