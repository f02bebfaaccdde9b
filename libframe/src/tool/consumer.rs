//! What the runtime hands a tool's input to: the common shape of filters and sinks.

use std::os::fd::BorrowedFd;

use anyhow::Result;

use crate::catalog::Catalog;
use crate::decoder::Damage;
use crate::ledger::SessionLedger;
use crate::payload::Stats;
use crate::wire::Record;

/// What the runtime hands a tool's input to.
pub(super) trait Consumer {
    /// Takes one record, in order.
    fn record(&mut self, record: Record<'_>, catalog: &Catalog) -> Result<()>;

    /// Takes note of bytes that are no record.
    fn damage(&mut self, damage: &Damage) -> Result<()>;

    /// Lets go of what is held of a session: no more of its records will come.
    fn drain_session(&mut self, ended: &Ended<'_>) -> Result<()>;

    /// Closes a session, after the last STATS.
    fn end_session(&mut self, ended: &Ended<'_>) -> Result<()>;

    /// Takes the stage's own STATS; `time` is how far the session has come.
    fn stats(
        &mut self,
        session: u32,
        time: i64,
        stats: &Stats,
        catalog: &Catalog,
    ) -> Result<()>;

    /// Nothing more is at hand: what was gathered must go out.
    fn idle(&mut self) -> Result<()>;

    /// More was read, at this time. No deadline is looked at before it is taken: what is in
    /// this process's memory alone must not wait for anything.
    fn has_read(&mut self, _now: i64) {}

    /// The time now; called when all that was read is taken, and when a deadline has passed.
    fn tick(&mut self, now: i64) -> Result<()>;

    /// When `tick` must be called at the latest.
    fn deadline(&self) -> Option<i64>;

    /// What is waited for beside the input.
    fn watch(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Why no more is wanted, if that is so; asked after each read.
    fn is_done(&self) -> Option<&'static str> {
        None
    }
}

/// A session that has ended.
#[derive(Debug)]
pub struct Ended<'a> {
    /// The session's tag.
    pub session: u32,
    /// What came of each stream.
    pub ledger: &'a SessionLedger,
    /// When it ended on the capturing host's clock, as far as is known.
    pub time: i64,
    /// Why it ended, from END; or why reading did.
    pub reason: &'a str,
    /// The stage that stopped without END, if none came.
    pub broke_off: Option<&'a str>,
    /// The session's streams by name.
    pub catalog: &'a Catalog,
}
