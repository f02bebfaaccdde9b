//! `main` for a tool that reads records and puts them somewhere else.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Parser;

use super::account::Account;
use super::args::Role;
use super::consumer::{Consumer, Ended};
use super::exit;
use super::input::Input;
use super::origin::Origin;
use super::signal::Stop;
use super::stage::Identity;
use super::status::{Counters, Status};
use super::voice::Voice;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::decoder::Damage;
use crate::payload::{Payload as _, Session, Stats};
use crate::wire::{Kind, Record};

/// A tool that reads records and puts them somewhere else.
pub trait Sink: Sized {
    /// The command line.
    type Args: Parser;

    /// Whether the tool's product is text on stdout.
    const WRITES_TEXT: bool = false;

    /// Whether the destination may stall, as a disk does. The input is then read ahead, up
    /// to `--queue`, so that the stages before need not wait for it.
    const STALLS: bool = false;

    /// Whether the tool adds itself to the stages of a session, as filters do: who reads
    /// what it wrote wants to know it.
    const JOINS_SESSION: bool = false;

    /// Checks the arguments and acquires what the tool needs.
    fn open(args: Self::Args) -> Result<Self>;

    /// Learns how it may speak; called once, after [`Sink::open`].
    fn voice(&mut self, _voice: Voice) {}

    /// The files to read instead of stdin, if the command line names any.
    fn files(_args: &Self::Args) -> Vec<std::path::PathBuf> {
        Vec::new()
    }

    /// Where the records come from, if stdin and files of records are not all there is.
    fn origin(args: &Self::Args) -> Result<Origin> {
        Origin::files(Self::files(args))
    }

    /// Takes one record of any kind but END. What was missing comes as a GAP in its
    /// place.
    fn record(&mut self, record: Record<'_>, catalog: &Catalog) -> Result<()>;

    /// Takes this stage's own STATS.
    fn stats(&mut self, _stats: &Stats) -> Result<()> {
        Ok(())
    }

    /// Takes note of input that could not be read.
    fn damage(&mut self, _damage: &Damage) -> Result<()> {
        Ok(())
    }

    /// When [`Sink::tick`] must be called at the latest, ns of CLOCK_MONOTONIC.
    fn deadline(&self) -> Option<i64> {
        None
    }

    /// Called when the deadline has passed, whether input comes or not.
    fn tick(&mut self, _now: i64) -> Result<()> {
        Ok(())
    }

    /// Nothing more is at hand: what was gathered should reach its readers.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// A session has ended.
    fn end(&mut self, _ended: &Ended<'_>) -> Result<()> {
        Ok(())
    }

    /// Closes the destination. Called once, when the input is over.
    fn close(&mut self, _account: &Account) -> Result<()> {
        Ok(())
    }
}

/// Runs a sink on stdin.
pub fn sink<S: Sink>() -> ExitCode {
    let role = match (S::WRITES_TEXT, S::STALLS) {
        (true, _) => Role::TextSink,
        (false, true) => Role::Recorder,
        (false, false) => Role::Sink,
    };
    exit::start(role, |args: S::Args, common, account| {
        let clock = Clock::system();
        let stop = Stop::at_signal(&clock, None)?;
        let counters = Arc::new(Counters::default());
        let mut origin = S::origin(&args)?;
        if S::STALLS {
            origin = origin.ahead(common.queue as usize, &counters)?;
        }
        let input = Input::new(origin, stop, common, &counters, &clock);
        let mut sink = S::open(args)?;
        sink.voice(Voice::new(common));
        let status = Status::start(common, role, &counters, &clock)?;
        let identity = S::JOINS_SESSION.then(|| Identity::new(common));
        input.run(&mut SinkStage { sink: &mut sink, identity }, account)?;
        drop(status);
        sink.close(account)
    })
}

struct SinkStage<'a, S> {
    sink: &'a mut S,
    identity: Option<Identity>,
}

impl<S: Sink> Consumer for SinkStage<'_, S> {
    fn record(&mut self, record: Record<'_>, catalog: &Catalog) -> Result<()> {
        let Some(identity) = self.identity.as_ref().filter(|_| is_session(&record))
        else {
            return self.sink.record(record, catalog);
        };
        match Session::from_bytes(record.payload) {
            Ok(mut session) => {
                identity.join(&mut session);
                let payload = session.to_bytes();
                self.sink.record(Record::new(record.header, &payload), catalog)
            }
            // Readable or not, it is the user's.
            Err(_) => self.sink.record(record, catalog),
        }
    }

    fn damage(&mut self, damage: &Damage) -> Result<()> {
        self.sink.damage(damage)
    }

    fn drain_session(&mut self, _ended: &Ended<'_>) -> Result<()> {
        Ok(())
    }

    fn end_session(&mut self, ended: &Ended<'_>) -> Result<()> {
        self.sink.end(ended)
    }

    fn stats(&mut self, _session: u32, _time: i64, stats: &Stats) -> Result<()> {
        self.sink.stats(stats)
    }

    fn idle(&mut self) -> Result<()> {
        self.sink.flush()
    }

    fn tick(&mut self, now: i64) -> Result<()> {
        match self.sink.deadline() {
            Some(deadline) if now >= deadline => self.sink.tick(now),
            _ => Ok(()),
        }
    }

    fn deadline(&self) -> Option<i64> {
        self.sink.deadline()
    }
}

#[inline]
fn is_session(record: &Record<'_>) -> bool {
    record.header.kind == Kind::SESSION
}
