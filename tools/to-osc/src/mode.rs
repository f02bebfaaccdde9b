//! What a mode sets: how much is gathered, how much may wait, and how it is spread in time.

use clap::ValueEnum;
use libframe::clock::SECOND;
use libframe::tool::Overflow;

const MILLISECOND: i64 = SECOND / 1000;

/// What matters most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Each sample as soon as possible; old ones are dropped if there is no time for all
    LowLatency,
    /// Nothing is dropped; datagrams are spread over half of a block's time
    #[default]
    Balanced,
    /// Few full datagrams, spread over 75% of a block's time, and a long queue
    HighThroughput,
}

/// What a mode stands for where no option says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Preset {
    /// How long samples may wait for others to share a message with, ns.
    pub(crate) batch_time: i64,
    /// Bytes that may wait for the receiver, and what happens then.
    pub(crate) queue: u64,
    pub(crate) overflow: Overflow,
    /// The share of a block's time that its datagrams are spread over.
    pub(crate) pace: f64,
}

impl Mode {
    pub(crate) fn preset(self) -> Preset {
        let (batch_time, queue, overflow, pace) = match self {
            Mode::LowLatency => (0, 1 << 20, Overflow::DropOldest, 0.25),
            Mode::Balanced => (5 * MILLISECOND, 4 << 20, Overflow::Block, 0.5),
            Mode::HighThroughput => (20 * MILLISECOND, 16 << 20, Overflow::Block, 0.75),
        };
        Preset { batch_time, queue, overflow, pace }
    }
}
