//! Which channels there are.
//!
//! A channel that nobody knew of is there as soon as it comes, for no loss adds one. One that
//! does not come may be lost or gone: it is gone when a block is certain to be whole without
//! it, or after so many blocks of which fewer messages are lost than are missing. One that
//! may be lost each time stays, however long: what is full drops the last channels of each
//! block, and that is a loss.

use crate::block::Block;

/// After so many blocks it counts as certain which channels come.
pub(crate) const PATIENCE: usize = 10;

/// The channels of a stream, and what is known of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Set {
    /// Their numbers, ascending.
    pub(crate) channels: Vec<u32>,
    /// Their names, where they are told.
    pub(crate) names: Vec<Option<String>>,
    /// Samples a second.
    pub(crate) rate: Option<f64>,
}

impl Set {
    /// Where a channel's column is.
    pub(crate) fn column(&self, channel: u32) -> Option<usize> {
        self.channels.binary_search(&channel).ok()
    }

    /// Whether all of these are in it.
    fn has_all_of(&self, channels: &[u32]) -> bool {
        channels.iter().all(|channel| self.column(*channel).is_some())
    }

    /// Adds a channel, or tells its name.
    pub(crate) fn insert(&mut self, channel: u32, name: Option<&str>) {
        match self.channels.binary_search(&channel) {
            Ok(at) if name.is_some() => self.names[at] = name.map(str::to_owned),
            Ok(_) => {}
            Err(at) => {
                self.channels.insert(at, channel);
                self.names.insert(at, name.map(str::to_owned));
            }
        }
    }

    /// Adds what a block tells of the channels.
    pub(crate) fn learn(&mut self, block: &Block) {
        block.rows.iter().for_each(|channel| self.insert(*channel, None));
        block.names.iter().for_each(|(channel, name)| self.insert(*channel, Some(name)));
        self.rate = block.rate.or(self.rate);
    }

    /// Leaves only some channels.
    pub(crate) fn retain(&mut self, mut keeps: impl FnMut(u32) -> bool) {
        let kept: Vec<bool> =
            self.channels.iter().map(|channel| keeps(*channel)).collect();
        let mut at = kept.iter();
        self.channels.retain(|_| at.next().copied().unwrap_or(false));
        let mut at = kept.iter();
        self.names.retain(|_| at.next().copied().unwrap_or(false));
    }

    /// Whether a channel is known by this name.
    pub(crate) fn names(&self, channel: u32, name: &str) -> bool {
        let column = self.column(channel).and_then(|at| self.names.get(at));
        column.is_some_and(|known| known.as_deref() == Some(name))
    }
}

/// The channels of a stream as they are now, and how long each has been missing.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    /// The channels, once they are known.
    set: Option<Set>,
    /// How many blocks in a row each was missing from.
    missed: Vec<usize>,
}

impl Roster {
    /// The channels, once they are known.
    pub(crate) fn set(&self) -> Option<&Set> {
        self.set.as_ref()
    }

    /// These are the channels from now on.
    pub(crate) fn adopt(&mut self, set: Set) {
        self.missed = vec![0; set.channels.len()];
        self.set = Some(set);
    }

    /// Whether a block has all channels, and no other.
    pub(crate) fn is_complete(&self, block: &Block) -> bool {
        match &self.set {
            Some(set) => {
                block.rows.len() == set.channels.len() && set.has_all_of(&block.rows)
            }
            None => block.is_single,
        }
    }

    /// The channels as a block shows them, if they are others than they were. One that is
    /// whole has all there are.
    pub(crate) fn look(&mut self, block: &Block, is_whole: bool) -> Option<Set> {
        let set = self.set.as_ref()?;
        let same_rate = block.rate.is_none() || block.rate == set.rate;
        if same_rate && block.names.is_empty() && self.is_complete(block) {
            self.missed.fill(0);
            return None;
        }
        let came = |channel: &u32| block.rows.contains(channel);
        let lacking = set.channels.iter().filter(|channel| !came(channel)).count();
        let may_be_lost = !is_whole && block.lost >= lacking as u64;
        for (missed, channel) in self.missed.iter_mut().zip(&set.channels) {
            match came(channel) {
                true => *missed = 0,
                false => *missed += usize::from(!may_be_lost),
            }
        }
        let mut new = set.clone();
        new.learn(block);
        let gone = |channel: u32| {
            let column = set.column(channel).and_then(|at| self.missed.get(at));
            column.is_some_and(|missed| *missed > 0 && (is_whole || *missed > PATIENCE))
        };
        new.retain(|channel| !gone(channel));
        (new != *set && !new.channels.is_empty()).then_some(new)
    }
}
