//! `main` for a tool that reads records and puts them somewhere else.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Parser;

use super::account::Account;
use super::args::{Common, Role};
use super::consumer::{Consumer, Ended};
use super::exit::{self, Usage};
use super::filter::Room;
use super::gauge::Gauge;
use super::input::Input;
use super::origin::Origin;
use super::plan::Plan;
use super::queue::Overflow;
use super::signal::Stop;
use super::stage::Identity;
use super::status::{Counters, Status};
use super::voice::Voice;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::decoder::Damage;
use crate::ledger::Loss;
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

    /// Whether the tool has a queue of its own between it and a peer, of which users may
    /// say how long it may become and what happens then.
    const QUEUES: bool = false;

    /// Whether the tool adds itself to the stages of a session, as filters do: who reads
    /// what it wrote wants to know it.
    const JOINS_SESSION: bool = false;

    /// Whether each file is an input of its own, between [`Sink::begin`] and
    /// [`Sink::finish`]. Otherwise all of them are one, as if by `cat`.
    const FILES_APART: bool = false;

    /// Adds to the plan of a command line what only the tool knows: what it needs, and what
    /// it makes of the streams that come. Opens nothing.
    fn plan(_args: &Self::Args, _plan: &mut Plan) -> Result<()> {
        Ok(())
    }

    /// Checks the arguments and acquires what the tool needs.
    fn open(args: Self::Args) -> Result<Self>;

    /// Learns how it may speak; called once, after [`Sink::open`].
    fn voice(&mut self, _voice: Voice) {}

    /// Learns how it is asked to stop, if it waits for others; called once, after
    /// [`Sink::open`]. A sink that only takes its input need not look: that ends.
    fn heed(&mut self, _stop: Stop) {}

    /// How much may wait for the peer and what happens then, where the user says nothing.
    fn usual_room(_args: &Self::Args) -> (u64, Overflow) {
        (4 << 20, Overflow::Block)
    }

    /// Learns of the room for its queue, and where to tell of it; called once, after
    /// [`Sink::open`], where [`Sink::QUEUES`].
    fn room(&mut self, _room: Room, _gauge: Gauge) {}

    /// The files to read instead of stdin, if the command line names any.
    fn files(_args: &Self::Args) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Where the records come from, if stdin and files of records are not all there is.
    fn origin(args: &Self::Args) -> Result<Origin> {
        Origin::files(Self::files(args))
    }

    /// Where the records of a file come from, where [`Sink::FILES_APART`].
    fn origin_of(file: PathBuf) -> Result<Origin> {
        Origin::files(vec![file])
    }

    /// An input begins: a file where [`Sink::FILES_APART`], else stdin.
    ///
    /// A sink that knows the format of a file that holds no records reads it here, fills
    /// in the account, and returns true.
    fn begin(&mut self, _file: Option<&Path>, _account: &mut Account) -> Result<bool> {
        Ok(false)
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

    /// A descriptor to wait for beside the input. When it is readable, the deadline should
    /// have passed.
    fn watch(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Nothing more is at hand: what was gathered should reach its readers.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// A session has ended.
    fn end(&mut self, _ended: &Ended<'_>) -> Result<()> {
        Ok(())
    }

    /// An input is over; this is its account.
    fn finish(&mut self, _account: &Account) -> Result<()> {
        Ok(())
    }

    /// Closes the destination. Called once, when all input is over.
    fn close(&mut self, _account: &Account) -> Result<()> {
        Ok(())
    }

    /// Samples that came and did not get to the peer, by stream; asked when all is over.
    fn losses(&self) -> Vec<(String, Loss)> {
        Vec::new()
    }

    /// What is wrong with the input by the sink's own measure: each is told on stderr, and
    /// the exit status is that of a loss.
    fn objections(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Runs a sink on stdin.
pub fn sink<S: Sink>() -> ExitCode {
    let role = match (S::WRITES_TEXT, S::STALLS, S::QUEUES) {
        (true, ..) => Role::TextSink,
        (false, true, _) => Role::Recorder,
        (false, false, true) => Role::Sender,
        (false, false, false) => Role::Sink,
    };
    exit::start(role, plan::<S>, |args: S::Args, common, account| {
        let clock = Clock::system();
        let stop = Stop::at_signal(&clock, None)?;
        let counters = Arc::new(Counters::default());
        let mut inputs = Vec::new();
        for (file, mut origin) in origins::<S>(&args)? {
            let stop = stop.clone();
            if S::STALLS {
                counters.hold(common.queue);
                origin = origin.ahead(common.queue as usize, &counters, &clock)?;
            }
            inputs.push((file, Input::new(origin, stop, common, &counters, &clock)));
        }
        let usual = S::usual_room(&args);
        let mut sink = S::open(args)?;
        sink.voice(Voice::new(common));
        sink.heed(stop);
        if S::QUEUES {
            sink.room(room(common, usual), Gauge::new(&counters));
        }
        let status = Status::start(common, role, &counters, &clock)?;
        for (file, input) in inputs {
            let mut of_input = Account::default();
            let result = read(&mut sink, file.as_deref(), input, common, &mut of_input);
            account.absorb(of_input);
            result?;
        }
        drop(status);
        sink.close(account)?;
        sink.losses().into_iter().for_each(|(name, loss)| {
            account.add_own(&name, &loss);
        });
        sink.objections().into_iter().for_each(|what| account.add_broken(what));
        Ok(())
    })
}

/// What the user said of a queue, or what is usual.
fn room(common: &Common, usual: (u64, Overflow)) -> Room {
    Room {
        bytes: if common.given.queue { common.queue } else { usual.0 },
        overflow: if common.given.overflow { common.overflow.clone() } else { usual.1 },
        voice: Voice::new(common),
    }
}

fn plan<S: Sink>(args: &S::Args, plan: &mut Plan) -> Result<()> {
    plan.reads(&S::files(args));
    S::plan(args, plan)
}

/// Each input, with its file where it has one of its own.
fn origins<S: Sink>(args: &S::Args) -> Result<Vec<(Option<PathBuf>, Origin)>> {
    let files = S::files(args);
    if !S::FILES_APART || files.is_empty() {
        return Ok(vec![(None, S::origin(args)?)]);
    }
    let name = |file: &PathBuf| Some(file.clone()).filter(|file| file != Path::new("-"));
    let open = |file: PathBuf| Ok((name(&file), S::origin_of(file)?));
    files.into_iter().map(open).collect()
}

fn read<S: Sink>(
    sink: &mut S,
    file: Option<&Path>,
    input: Input,
    common: &Common,
    account: &mut Account,
) -> Result<()> {
    if !sink.begin(file, account)? {
        let identity = S::JOINS_SESSION.then(|| Identity::new(common));
        input.run(&mut SinkStage { sink, identity }, account)?;
    } else if common.count.or(common.idle.map(|_| 0)).is_some() {
        let hint = "--count and --idle are for records; this file is read as a whole";
        return Err(Usage(hint.into()).into());
    }
    sink.finish(account)
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

    fn stats(
        &mut self,
        _session: u32,
        _time: i64,
        stats: &Stats,
        _catalog: &Catalog,
    ) -> Result<()> {
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

    fn watch(&self) -> Option<BorrowedFd<'_>> {
        self.sink.watch()
    }
}

#[inline]
fn is_session(record: &Record<'_>) -> bool {
    record.header.kind == Kind::SESSION
}
