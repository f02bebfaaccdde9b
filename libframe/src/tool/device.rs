//! `main` for a tool that is a device to others.
//!
//! Such a tool stands before the first record: a client finds it at a port, and only what
//! that client makes of it becomes records. Its stdout is text, which tells where the port
//! is, and a loss on its line is what it was asked for, not a reason for exit status 3.

use std::io::Write as _;
use std::os::fd::BorrowedFd;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Parser;

use super::args::{Common, Role};
use super::exit;
use super::output::TextOut;
use super::signal::{Stop, Wake};
use super::status::{Counters, Status};
use crate::clock::Clock;

/// What a simulated device has from the runtime: when to stop, what time it is, and where
/// to say what.
#[derive(Debug)]
pub struct Device {
    stop: Stop,
    clock: Clock,
    counters: Arc<Counters>,
    stdout: TextOut,
    name: String,
    count: Option<u64>,
    verbose: bool,
}

/// Runs a device: `run` plays it until [`Device::is_running`] says stop.
pub fn device<A: Parser>(run: impl FnOnce(A, &mut Device) -> Result<()>) -> ExitCode {
    exit::start(
        Role::Device,
        |_, _| Ok(()),
        |args: A, common, _account| {
            let mut device = Device::new(common)?;
            let (counters, clock) = (&device.counters, &device.clock);
            let status = Status::start(common, Role::Device, counters, clock)?;
            let result = run(args, &mut device);
            drop(status);
            result
        },
    )
}

impl Device {
    fn new(common: &Common) -> Result<Device> {
        let clock = Clock::system();
        let until = common.duration.map(|time| clock.now().saturating_add(time));
        Ok(Device {
            stop: Stop::at_signal(&clock, until)?,
            clock,
            counters: Arc::default(),
            stdout: TextOut::stdout()?,
            name: common.name(),
            count: common.count,
            verbose: common.verbose,
        })
    }

    /// Whether neither a signal came nor the time is up.
    pub fn is_running(&self) -> bool {
        !self.stop.is_requested()
    }

    /// Whether a signal came: then nothing is worth another wait.
    pub fn is_interrupted(&self) -> bool {
        self.stop.is_signalled()
    }

    /// Waits for a time, ns of CLOCK_MONOTONIC. Whether it came before the end.
    pub fn wait(&self, until: i64) -> Result<bool> {
        Ok(self.stop.wait(None, Some(until))? == Wake::Time)
    }

    /// The same, but a descriptor that becomes readable ends the wait earlier; for devices
    /// that also listen.
    pub fn wait_for(&self, fd: BorrowedFd<'_>, until: i64) -> Result<Wake> {
        Ok(self.stop.wait(Some(fd), Some(until))?)
    }

    /// Where times come from.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// How many samples to send, if not any number.
    pub fn count(&self) -> Option<u64> {
        self.count
    }

    /// Counts samples that went out together, for the status.
    pub fn sent(&self, samples: u64, bytes: usize) {
        self.counters.output.add(samples, bytes);
    }

    /// Counts samples that the line lost, for the status.
    pub fn lost(&self, samples: u64) {
        self.counters.lost.add(samples);
    }

    /// Writes a line to stdout at once: someone waits for it to find the port.
    pub fn print(&mut self, line: &str) -> Result<()> {
        let written = writeln!(self.stdout, "{line}").and_then(|()| self.stdout.flush());
        written.context("stdout")
    }

    /// Says something on stderr, if asked to say more.
    pub fn tell(&self, text: &str) {
        if self.verbose {
            eprintln!("{}: {text}", self.name);
        }
    }
}
