//! `main` for a tool that reads records and writes records.

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
use super::output::{Output, Stdout};
use super::plan::Plan;
use super::signal::Stop;
use super::stage::Identity;
use super::status::{Counters, Status};
use super::voice::Voice;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::decoder::Damage;
use crate::payload::{Payload as _, Session, Stats};
use crate::wire::{Kind, Record};

/// A tool that reads records and writes records.
///
/// It sees STREAM, DATA, BATCH, GAP, CLOCK and EVENT; the runtime takes care of the
/// others, and passes on what it does not know. What was missing in the input comes as
/// a GAP in its place.
pub trait Filter: Sized {
    /// The command line.
    type Args: Parser;

    /// Adds to the plan of a command line what only the tool knows: what it needs, and what
    /// it makes of the streams that come. Opens nothing.
    fn plan(_args: &Self::Args, _plan: &mut Plan) -> Result<()> {
        Ok(())
    }

    /// Checks the arguments and acquires what the tool needs.
    fn open(args: Self::Args) -> Result<Self>;

    /// The files to read instead of stdin, if the command line names any.
    fn files(_args: &Self::Args) -> Vec<std::path::PathBuf> {
        Vec::new()
    }

    /// Where the records come from, if stdin and files of records are not all there is.
    fn origin(args: &Self::Args) -> Result<Origin> {
        Origin::files(Self::files(args))
    }
    /// Learns how it may speak; called once, after [`Filter::open`].
    fn voice(&mut self, _voice: Voice) {}

    /// Learns who records, where and when; called at each announcement.
    fn session(&mut self, _tag: u32, _session: &Session) {}

    /// Takes one record and sends any number. `catalog` describes its stream.
    fn record(
        &mut self,
        record: Record<'_>,
        catalog: &Catalog,
        out: &mut impl Output,
    ) -> Result<()>;

    /// When [`Filter::tick`] must be called at the latest, ns of CLOCK_MONOTONIC.
    fn deadline(&self) -> Option<i64> {
        None
    }

    /// Called when the deadline has passed, whether input comes or not.
    fn tick(&mut self, _now: i64, _out: &mut impl Output) -> Result<()> {
        Ok(())
    }

    /// Takes note of input that could not be read.
    fn damage(&mut self, _damage: &Damage) -> Result<()> {
        Ok(())
    }

    /// Sends what is still held of a session that has ended.
    fn end(&mut self, _ended: &Ended<'_>, _out: &mut impl Output) -> Result<()> {
        Ok(())
    }

    /// Called once, when the input is over and stdout is flushed.
    fn close(&mut self, _account: &Account) -> Result<()> {
        Ok(())
    }
}

/// Runs a filter from stdin to stdout.
pub fn filter<F: Filter>() -> ExitCode {
    exit::start(Role::Filter, plan::<F>, |args: F::Args, common, account| {
        let clock = Clock::system();
        let stop = Stop::at_signal(&clock, None)?;
        let counters = Arc::new(Counters::default());
        let origin = F::origin(&args)?;
        let input = Input::new(origin, stop, common, &counters, &clock);
        let out = Stdout::open(&counters, &clock)?;
        let mut filter = F::open(args)?;
        filter.voice(Voice::new(common));
        let status = Status::start(common, Role::Filter, &counters, &clock)?;
        let mut stage = FilterStage { filter, out, identity: Identity::new(common) };
        input.run(&mut stage, account)?;
        drop(status);
        stage.filter.close(account)
    })
}

fn plan<F: Filter>(args: &F::Args, plan: &mut Plan) -> Result<()> {
    plan.reads(&F::files(args));
    F::plan(args, plan)
}

struct FilterStage<F> {
    filter: F,
    out: Stdout,
    identity: Identity,
}

impl<F: Filter> FilterStage<F> {
    /// Every stage adds itself to each announcement of the session.
    fn join_session(&mut self, record: Record<'_>) -> Result<()> {
        match Session::from_bytes(record.payload) {
            Ok(mut session) => {
                self.filter.session(record.header.session, &session);
                self.identity.join(&mut session);
                self.out.send(Record::new(record.header, &session.to_bytes()))
            }
            // Readable or not, it is the user's.
            Err(_) => self.out.send(record),
        }
    }
}

impl<F: Filter> Consumer for FilterStage<F> {
    #[inline]
    fn record(&mut self, record: Record<'_>, catalog: &Catalog) -> Result<()> {
        match record.header.kind {
            Kind::STREAM | Kind::DATA | Kind::BATCH | Kind::CLOCK | Kind::EVENT => {
                self.filter.record(record, catalog, &mut self.out)
            }
            // A GAP of the session itself says that a stage broke off.
            Kind::GAP if record.header.stream != 0 => {
                self.filter.record(record, catalog, &mut self.out)
            }
            Kind::SESSION => self.join_session(record),
            _ => self.out.send(record),
        }
    }

    fn damage(&mut self, damage: &Damage) -> Result<()> {
        self.filter.damage(damage)
    }

    fn drain_session(&mut self, ended: &Ended<'_>) -> Result<()> {
        self.filter.end(ended, &mut self.out)
    }

    fn end_session(&mut self, ended: &Ended<'_>) -> Result<()> {
        self.out.end(ended.session, ended.time, ended.reason)
    }

    fn stats(&mut self, session: u32, time: i64, stats: &Stats) -> Result<()> {
        self.out.send_payload(session, 0, time, stats)
    }

    fn idle(&mut self) -> Result<()> {
        self.out.flush()
    }

    fn has_read(&mut self, now: i64) {
        self.out.set_now(now);
    }

    fn tick(&mut self, now: i64) -> Result<()> {
        self.out.set_now(now);
        match self.filter.deadline() {
            Some(deadline) if now >= deadline => self.filter.tick(now, &mut self.out),
            _ => Ok(()),
        }
    }

    fn deadline(&self) -> Option<i64> {
        self.filter.deadline()
    }
}
