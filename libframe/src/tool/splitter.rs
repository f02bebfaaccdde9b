//! `main` for a tool that reads records and gives all of them to places of its own.
//!
//! It is a filter but for its outputs: it joins the session, records get their `sent` here,
//! and each session is closed with END. How many places there are, and what becomes of a
//! slow one, is the tool's business.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Parser;

use super::account::Account;
use super::args::Role;
use super::consumer::{Consumer, Ended};
use super::exit;
use super::input::Input;
use super::origin::Origin;
use super::plan::Plan;
use super::signal::Stop;
use super::stage::Identity;
use super::status::{Counters, Parts, Status};
use super::voice::Voice;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::decoder::Damage;
use crate::payload::{Payload as _, Session, Stats};
use crate::wire::{Header, Kind, Record};

/// A tool that gives all it reads to places of its own.
pub trait Splitter: Sized {
    /// The command line.
    type Args: Parser;

    /// Adds to the plan of a command line what only the tool knows. Opens nothing.
    fn plan(_args: &Self::Args, _plan: &mut Plan) -> Result<()> {
        Ok(())
    }

    /// Checks the arguments and opens the places.
    fn open(args: Self::Args, setting: Setting) -> Result<Self>;

    /// The parts that a status line tells of.
    fn parts(&self) -> Arc<dyn Parts>;

    /// Takes one record of any kind but END, stamped and ready to be written.
    fn record(&mut self, record: Record<'_>) -> Result<()>;

    /// Takes this stage's own STATS; `time` is how far the session has come.
    fn stats(&mut self, session: u32, time: i64, stats: Stats) -> Result<()>;

    /// A session has ended.
    fn end(&mut self, ended: &Ended<'_>) -> Result<()>;

    /// Nothing more is at hand: what was gathered must go out.
    fn flush(&mut self) -> Result<()>;

    /// Why no more records are wanted, if that is so.
    fn is_done(&self) -> Option<&'static str>;

    /// The input is over: waits for all places. Called once, also after a failure.
    fn close(&mut self) -> Result<()>;

    /// What was lost behind this stage: each is told on stderr, and the exit status is that
    /// of a loss.
    fn objections(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What a [`Splitter`] is given to work with.
#[derive(Clone, Debug)]
pub struct Setting {
    /// What the stage calls itself.
    pub name: String,
    /// How it may speak.
    pub voice: Voice,
    /// How many bytes may wait for a place.
    pub queue: usize,
    /// Where it has its times from.
    pub clock: Clock,
    stop: Stop,
}

impl Setting {
    /// Whether a signal has asked all stages to come to their end.
    pub fn is_signalled(&self) -> bool {
        self.stop.is_signalled()
    }
}

/// Runs a splitter on stdin.
pub fn splitter<S: Splitter>() -> ExitCode {
    exit::start(Role::Splitter, S::plan, |args: S::Args, common, account| {
        let clock = Clock::system();
        let counters = Arc::new(Counters::default());
        let origin = Origin::stdin()?;
        let stop = Stop::at_signal(&clock, None)?;
        let input = Input::new(origin, stop.clone(), common, &counters, &clock);
        let setting = Setting {
            name: common.name(),
            voice: Voice::new(common),
            queue: common.queue as usize,
            clock: clock.clone(),
            stop,
        };
        let splitter = S::open(args, setting)?;
        let parts = Some(splitter.parts());
        let status =
            Status::start_with(common, Role::Splitter, &counters, &clock, parts)?;
        let (identity, now) = (Identity::new(common), clock.now());
        let mut stage = SplitterStage { splitter, identity, counters, now };
        let result = run(input, &mut stage, account);
        let closed = stage.splitter.close();
        drop(status);
        result.and(closed)?;
        let objections = stage.splitter.objections();
        objections.into_iter().for_each(|what| account.add_broken(what));
        Ok(())
    })
}

/// Reads to the end, and then lets go of stdin: the stage before sees that nothing more is
/// wanted, however long the places take to finish.
fn run<S: Splitter>(
    input: Input,
    stage: &mut SplitterStage<S>,
    account: &mut Account,
) -> Result<()> {
    let result = input.run(stage, account);
    let nothing = std::fs::File::open("/dev/null").context("/dev/null")?;
    rustix::stdio::dup2_stdin(nothing).context("stdin")?;
    result
}

struct SplitterStage<S> {
    splitter: S,
    identity: Identity,
    counters: Arc<Counters>,
    /// The time that records get as `sent`, read once for what comes out of one read.
    now: i64,
}

impl<S: Splitter> SplitterStage<S> {
    #[inline]
    fn send(&mut self, record: Record<'_>) -> Result<()> {
        self.counters.output.add(record.samples(), record.wire_len());
        let header = Header { sent: self.now, ..record.header };
        self.splitter.record(record.with_header(header))
    }
}

impl<S: Splitter> Consumer for SplitterStage<S> {
    #[inline]
    fn record(&mut self, record: Record<'_>, _catalog: &Catalog) -> Result<()> {
        if record.header.kind != Kind::SESSION {
            return self.send(record);
        }
        match Session::from_bytes(record.payload) {
            Ok(mut session) => {
                self.identity.join(&mut session);
                self.send(Record::new(record.header, &session.to_bytes()))
            }
            // Readable or not, it is the user's.
            Err(_) => self.send(record),
        }
    }

    fn damage(&mut self, _damage: &Damage) -> Result<()> {
        Ok(())
    }

    fn drain_session(&mut self, _ended: &Ended<'_>) -> Result<()> {
        Ok(())
    }

    fn end_session(&mut self, ended: &Ended<'_>) -> Result<()> {
        self.splitter.end(ended)
    }

    fn stats(
        &mut self,
        session: u32,
        time: i64,
        stats: &Stats,
        _: &Catalog,
    ) -> Result<()> {
        self.splitter.stats(session, time, stats.clone())
    }

    fn idle(&mut self) -> Result<()> {
        self.splitter.flush()
    }

    fn has_read(&mut self, now: i64) {
        self.now = now;
    }

    fn tick(&mut self, now: i64) -> Result<()> {
        self.now = now;
        Ok(())
    }

    fn deadline(&self) -> Option<i64> {
        None
    }

    fn is_done(&self) -> Option<&'static str> {
        self.splitter.is_done()
    }
}
