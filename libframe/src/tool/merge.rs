//! `main` for a tool that reads several inputs at once and writes one stream.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Parser;

use super::account::Account;
use super::args::Role;
use super::confluence::Confluence;
use super::consumer::{Consumer, Ended};
use super::exit;
use super::inlet::Inlet;
use super::output::{Output, Stdout};
use super::plan::Plan;
use super::signal::Stop;
use super::stage::Identity;
use super::status::{Counters, Status};
use super::voice::Voice;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::decoder::Damage;
use crate::payload::Stats;
use crate::wire::{Header, Record};

/// A tool that reads several inputs at once and writes one stream, in a session of its own.
///
/// The runtime keeps the books of each input, puts their records in order, and makes STATS
/// and END. What all records have in common, the numbers and names of streams, is up to the
/// tool.
pub trait Merge: Sized {
    /// The command line.
    type Args: Parser;

    /// Adds to the plan of a command line what only the tool knows. Opens nothing.
    fn plan(_args: &Self::Args, _plan: &mut Plan) -> Result<()> {
        Ok(())
    }

    /// The inputs; the others are told apart by their place here.
    fn inlets(args: &Self::Args) -> Result<Vec<Inlet>>;

    /// How long a record may wait for what other inputs have from before it, ns.
    fn skew(args: &Self::Args) -> i64;

    /// Checks the arguments. `identity` is what this stage adds to a session.
    fn open(args: Self::Args, identity: Identity) -> Result<Self>;

    /// Learns how it may speak; called once, after [`Merge::open`].
    fn voice(&mut self, _voice: Voice) {}

    /// The capture time in a header of an input, on the one clock that orders them all.
    fn time(&self, input: usize, header: &Header) -> i64;

    /// Takes one record of any kind but END, in order, and sends any number. What was
    /// missing in the input comes as a GAP in its place.
    fn record(
        &mut self,
        input: usize,
        record: Record<'_>,
        catalog: &Catalog,
        out: &mut impl Output,
    ) -> Result<()>;

    /// A session of an input has ended.
    fn ended(&mut self, _input: usize, _ended: &Ended<'_>) {}

    /// Nothing has come of an input for so long that the others do not wait for it any
    /// more; or, at last, something has.
    fn stalled(
        &mut self,
        _input: usize,
        _stalled: bool,
        _out: &mut impl Output,
    ) -> Result<()> {
        Ok(())
    }

    /// A time as [`Merge::time`] gives it, on the clock of the session that it writes.
    fn on_its_clock(&self, time: i64) -> i64;

    /// An instant of this host's clock, on that of the session that it writes.
    fn here(&self, now: i64) -> i64;

    /// The tag of the session that it writes, once that has begun, and this stage's place
    /// in it.
    fn session(&self) -> Option<(u32, usize)>;

    /// Sends what is still held. No more will come.
    fn finish(&mut self, _out: &mut impl Output) -> Result<()> {
        Ok(())
    }
}

/// Runs a merge from its inputs to stdout.
pub fn merge<M: Merge>() -> ExitCode {
    exit::start(Role::Merge, M::plan, |args: M::Args, common, account: &mut Account| {
        let clock = Clock::system();
        let stop = Stop::at_signal(&clock, None)?;
        let counters = Arc::new(Counters::default());
        let (inlets, skew) = (M::inlets(&args)?, M::skew(&args));
        let inputs = Confluence::open(&inlets, skew, stop, common, &counters, &clock)?;
        let out = Stdout::open(&counters, &clock)?;
        let mut merge = M::open(args, Identity::new(common))?;
        merge.voice(Voice::new(common));
        let status = Status::start(common, Role::Merge, &counters, &clock)?;
        let result = inputs.run(merge, out, account);
        drop(status);
        result
    })
}

/// The tool, and what the records of all inputs are handed to.
pub(super) struct MergeStage<M> {
    pub(super) merge: M,
    pub(super) out: Stdout,
    /// Whose records come.
    pub(super) input: usize,
    /// Why sessions ended; each reason once.
    reasons: BTreeSet<String>,
}

impl<M> MergeStage<M> {
    pub(super) fn new(merge: M, out: Stdout) -> MergeStage<M> {
        MergeStage { merge, out, input: 0, reasons: BTreeSet::new() }
    }

    /// Why all ended.
    pub(super) fn reason(&self) -> &str {
        match self.reasons.first() {
            Some(reason) if self.reasons.len() == 1 => reason,
            _ if self.reasons.contains("signal") => "signal",
            _ => "end",
        }
    }
}

impl<M: Merge> Consumer for MergeStage<M> {
    #[inline]
    fn record(&mut self, record: Record<'_>, catalog: &Catalog) -> Result<()> {
        self.merge.record(self.input, record, catalog, &mut self.out)
    }

    fn damage(&mut self, _damage: &Damage) -> Result<()> {
        Ok(())
    }

    fn drain_session(&mut self, _ended: &Ended<'_>) -> Result<()> {
        Ok(())
    }

    fn end_session(&mut self, ended: &Ended<'_>) -> Result<()> {
        if self.reasons.len() < 8 {
            self.reasons.insert(ended.reason.into());
        }
        self.merge.ended(self.input, ended);
        Ok(())
    }

    /// Those of all inputs together are made elsewhere.
    fn stats(&mut self, _: u32, _: i64, _: &Stats, _: &Catalog) -> Result<()> {
        Ok(())
    }

    fn idle(&mut self) -> Result<()> {
        Ok(())
    }

    fn tick(&mut self, _now: i64) -> Result<()> {
        Ok(())
    }

    fn deadline(&self) -> Option<i64> {
        None
    }
}
