//! `main` for a tool that reads records and writes records.

use std::os::fd::BorrowedFd;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Parser;

use super::account::Account;
use super::args::{Common, Role};
use super::backlog::Backlog;
use super::consumer::{Consumer, Ended};
use super::exit;
use super::input::Input;
use super::origin::Origin;
use super::outlet::{Outlet, Queued};
use super::output::{Output, Stdout};
use super::plan::Plan;
use super::queue::Overflow;
use super::signal::Stop;
use super::stage::Identity;
use super::status::{Counters, Status};
use super::voice::Voice;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::decoder::Damage;
use crate::payload::{Payload as _, Session, Stats};
use crate::wire::{Header, Kind, Record};

/// A tool that reads records and writes records.
///
/// It sees STREAM, DATA, BATCH, GAP, CLOCK and EVENT; the runtime takes care of the
/// others, and passes on what it does not know. What was missing in the input comes as
/// a GAP in its place.
pub trait Filter: Sized {
    /// The command line.
    type Args: Parser;

    /// What the user may say about a queue between the tool and stdout.
    const QUEUE: Queue = Queue::None;

    /// Whether what comes out are sessions that the tool opens itself. It then sees records
    /// of every kind but END, as a sink does: SESSION with this stage in it, and this
    /// stage's STATS too. Nothing is passed on for it.
    const OPENS_SESSIONS: bool = false;

    /// Adds to the plan of a command line what only the tool knows: what it needs, and what
    /// it makes of the streams that come. Opens nothing.
    fn plan(_args: &Self::Args, _plan: &mut Plan) -> Result<()> {
        Ok(())
    }

    /// Checks the arguments and acquires what the tool needs.
    fn open(args: Self::Args) -> Result<Self>;

    /// What is to wait between the tool and stdout, which a thread of its own then writes.
    /// Called once, after [`Filter::open`].
    fn backlog(&mut self, _room: &Room) -> Result<Option<Arc<dyn Backlog>>> {
        Ok(None)
    }

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

    /// A descriptor to wait for beside the input. When it is readable, the deadline should
    /// have passed.
    fn watch(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Takes note of input that could not be read.
    fn damage(&mut self, _damage: &Damage) -> Result<()> {
        Ok(())
    }

    /// Sends what is still held of a session that has ended.
    fn end(&mut self, _ended: &Ended<'_>, _out: &mut impl Output) -> Result<()> {
        Ok(())
    }

    /// Adds what the tool itself lost of what came, and has told in GAPs.
    fn losses(&self, _account: &mut Account) {}

    /// Called once, when the input is over and stdout is flushed.
    fn close(&mut self, _account: &Account) -> Result<()> {
        Ok(())
    }
}

/// What the user may say about a filter's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Nothing: it has none.
    None,
    /// `--queue`, how long it may become.
    Size,
    /// Also `--overflow`, what happens then.
    Overflow,
}

/// What the user said about a filter's or a sink's queue.
#[derive(Clone, Debug)]
pub struct Room {
    /// How many bytes may wait.
    pub bytes: u64,
    /// What to do when there are more.
    pub overflow: Overflow,
    /// How the stage speaks, and what it is called.
    pub voice: Voice,
}

/// Runs a filter from stdin to stdout.
pub fn filter<F: Filter>() -> ExitCode {
    let role = match F::QUEUE {
        Queue::None => Role::Filter,
        Queue::Size => Role::QueueingFilter,
        Queue::Overflow => Role::Queue,
    };
    exit::start(role, plan::<F>, |args: F::Args, common, account| {
        let clock = Clock::system();
        let stop = Stop::at_signal(&clock, None)?;
        let counters = Arc::new(Counters::default());
        let origin = F::origin(&args)?;
        let input = Input::new(origin, stop, common, &counters, &clock);
        let out = Stdout::open(&counters, &clock)?;
        let mut filter = F::open(args)?;
        let voice = Voice::new(common);
        filter.voice(voice.clone());
        let (bytes, overflow) = (common.queue, common.overflow.clone());
        let backlog = filter.backlog(&Room { bytes, overflow, voice })?;
        let status = Status::start(common, role, &counters, &clock)?;
        let filter = match backlog {
            None => run(filter, out, input, common, account),
            Some(backlog) => {
                counters.hold(common.queue);
                let out = Queued::start(backlog, out, &counters, &clock)?;
                run(filter, out, input, common, account)
            }
        };
        drop(status);
        filter?.close(account)
    })
}

fn plan<F: Filter>(args: &F::Args, plan: &mut Plan) -> Result<()> {
    plan.reads(&F::files(args));
    F::plan(args, plan)
}

fn run<F: Filter>(
    filter: F,
    out: impl Outlet,
    input: Input,
    common: &Common,
    account: &mut Account,
) -> Result<F> {
    let mut stage = FilterStage { filter, out, identity: Identity::new(common) };
    let result = input.run(&mut stage, account);
    let lost = stage.out.lost();
    match result.and_then(|()| stage.out.close()) {
        Ok(None) => {
            stage.filter.losses(account);
            Ok(stage.filter)
        }
        // That has the tool's own losses in it, since it has their GAPs.
        Ok(Some(written)) => {
            account.replace_samples(written);
            Ok(stage.filter)
        }
        Err(err) => {
            // Not all of it was written, but all of this is lost.
            account.add_dropped(lost);
            Err(err)
        }
    }
}

struct FilterStage<F, O> {
    filter: F,
    out: O,
    identity: Identity,
}

impl<F: Filter, O: Outlet> FilterStage<F, O> {
    /// Every stage adds itself to each announcement of the session.
    fn join_session(&mut self, record: Record<'_>, catalog: &Catalog) -> Result<()> {
        match Session::from_bytes(record.payload) {
            Ok(mut session) => {
                self.filter.session(record.header.session, &session);
                self.identity.join(&mut session);
                self.pass(Record::new(record.header, &session.to_bytes()), catalog)
            }
            // Readable or not, it is the user's.
            Err(_) => self.pass(record, catalog),
        }
    }

    /// Passes on what the runtime takes care of, unless the tool does.
    fn pass(&mut self, record: Record<'_>, catalog: &Catalog) -> Result<()> {
        match F::OPENS_SESSIONS {
            true => self.filter.record(record, catalog, &mut self.out),
            false => self.out.send(record),
        }
    }
}

impl<F: Filter, O: Outlet> Consumer for FilterStage<F, O> {
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
            Kind::SESSION => self.join_session(record, catalog),
            _ => self.pass(record, catalog),
        }
    }

    fn damage(&mut self, damage: &Damage) -> Result<()> {
        self.filter.damage(damage)
    }

    fn drain_session(&mut self, ended: &Ended<'_>) -> Result<()> {
        self.filter.end(ended, &mut self.out)
    }

    fn end_session(&mut self, ended: &Ended<'_>) -> Result<()> {
        match F::OPENS_SESSIONS {
            true => Ok(()),
            false => self.out.end(ended.session, ended.time, ended.reason),
        }
    }

    fn stats(
        &mut self,
        session: u32,
        time: i64,
        stats: &Stats,
        catalog: &Catalog,
    ) -> Result<()> {
        if !F::OPENS_SESSIONS {
            return self.out.stats(session, time, stats);
        }
        let (kind, sent) = (Kind::STATS, self.out.now());
        let header = Header { kind, flags: 0, stream: 0, session, seq: 0, time, sent };
        self.filter.record(Record::new(header, &stats.to_bytes()), catalog, &mut self.out)
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

    fn watch(&self) -> Option<BorrowedFd<'_>> {
        self.filter.watch()
    }
}
