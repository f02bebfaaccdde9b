//! `main` for a tool that starts other tools, and minds them until all have ended.
//!
//! It has no records on stdin or stdout. Signals mean to it what they mean to a source: at
//! the first it ends what it started, and reports. What those tools lost is its loss.

use std::os::fd::BorrowedFd;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Parser;

use super::account::Account;
use super::args::{Common, Role};
use super::exit;
use super::plan::Plan;
use super::signal::{Stop, Wake};
use super::status::{Counters, Status};
use super::voice::Voice;
use crate::clock::Clock;

/// What a conductor has from the runtime.
#[derive(Debug)]
pub struct Conductor<'a> {
    stop: Stop,
    clock: Clock,
    counters: Arc<Counters>,
    voice: Voice,
    common: &'a Common,
    account: &'a mut Account,
}

/// Runs a conductor; `plan` says what it would start and what it needs.
pub fn conductor<A: Parser>(
    plan: impl FnOnce(&A, &mut Plan) -> Result<()>,
    run: impl FnOnce(A, &mut Conductor<'_>) -> Result<()>,
) -> ExitCode {
    exit::start(Role::Conductor, plan, |args: A, common, account| {
        let clock = Clock::system();
        let mut conductor = Conductor {
            stop: Stop::at_signal(&clock, None)?,
            clock,
            counters: Arc::default(),
            voice: Voice::new(common),
            common,
            account,
        };
        let (counters, clock) = (&conductor.counters, &conductor.clock);
        let status = Status::start(common, Role::Conductor, counters, clock)?;
        let result = run(args, &mut conductor);
        drop(status);
        result
    })
}

impl Conductor<'_> {
    /// Whether no signal came.
    pub fn is_running(&self) -> bool {
        !self.stop.is_requested()
    }

    /// Waits until one of the descriptors is readable, until a time, or for a signal.
    pub fn wait(&self, any: &[BorrowedFd<'_>], until: i64) -> Result<Wake> {
        Ok(self.stop.wait_any(any, Some(until))?)
    }

    /// Where times come from.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// How it speaks.
    pub fn voice(&self) -> &Voice {
        &self.voice
    }

    /// What was lost, which its exit status tells.
    pub fn account(&mut self) -> &mut Account {
        self.account
    }

    /// How long the tools are to run, ns.
    pub fn duration(&self) -> Option<i64> {
        self.common.duration
    }

    /// The options of this command line that are for the source which it starts.
    pub fn words_for_source(&self) -> Vec<String> {
        let Common { count, idle, meta, .. } = self.common;
        let mut words = Vec::new();
        words.extend(count.map(|n| format!("--count={n}")));
        words.extend(idle.map(|time| format!("--idle={time}ns")));
        words.extend(meta.iter().map(|(key, value)| format!("--meta={key}={value}")));
        words
    }

    /// Those that are for each tool which it starts. They are quiet: what they lose is told
    /// once, here.
    pub fn words_for_all(&self) -> Vec<String> {
        let Common { max_loss, verbose, .. } = self.common;
        let mut words = Vec::new();
        words.extend(max_loss.map(|share| format!("--max-loss={share}")));
        words.push(if *verbose { "--verbose" } else { "--quiet" }.to_owned());
        words
    }

    /// Tells the status what has come, in samples and bytes, and what is missing.
    pub fn show(&self, samples: u64, bytes: u64, lost: u64) {
        self.counters.output.set(samples, bytes);
        self.counters.lost.set(lost);
    }
}
