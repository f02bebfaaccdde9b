//! What comes of messages once they are put together, and what does not.

use anyhow::Result;
use libframe::payload::Reason;

use crate::block::Block;
use crate::roster::Set;

/// Takes what comes out, in order.
pub(crate) trait Blocks {
    /// These are the channels from the next block on.
    fn channels(&mut self, set: &Set) -> Result<()>;

    /// Sample numbers begin anew, with this one.
    fn segment(&mut self, first: u64) -> Result<()>;

    /// Samples are missing.
    fn missing(&mut self, hole: &Hole<'_>) -> Result<()>;

    /// Samples of all channels.
    fn block(&mut self, seq: u64, block: &Block, set: &Set) -> Result<()>;

    /// The samples of a channel that is new came after their block had gone out.
    fn late(&mut self, channel: u32, samples: usize) -> Result<()>;
}

/// Samples that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hole<'a> {
    /// The first of them, in the stream.
    pub(crate) seq: u64,
    pub(crate) count: u64,
    pub(crate) reason: Reason,
    /// The columns in which they are; none for all.
    pub(crate) columns: &'a [u32],
}

/// What was wrong with a message that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Misfit {
    /// The channel's samples were there already.
    Twice,
    /// It has not as many samples as the others of its block.
    Uneven,
    /// The block would be too long for a record.
    Large,
    /// Its sample number has nothing to do with those before and after it.
    Stray,
}
