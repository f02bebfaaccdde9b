//! Give a stream to several branches, of which some may fall behind.

mod backlog;
mod block;
mod branch;
mod delivery;
mod hub;
mod process;
#[cfg(test)]
mod property;
mod rest;
mod tally;
mod writer;

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, ValueEnum};
use libframe::payload::Stats;
use libframe::tool::{self, Ended, Overflow, Parts, Plan, Setting, Splitter};
use libframe::wire::{Header, Kind, Record};
use rustix::process::Signal;

use crate::backlog::Policy;
use crate::block::{Block, Builder};
use crate::branch::Branch;
use crate::hub::Hub;
use crate::process::Recipe;
use crate::tally::{Ending, Tally};
use crate::writer::Writer;

/// What a process has between SIGTERM and SIGKILL.
const LAST_WORDS: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "Examples:
  sim-src glove --duration 1s | fan-out --must 'to-h5 a.h5' --may 'to-text -f csv > b.csv'
  sim-src -n 500 | fan-out --must 'cat > a.frames' --may 'screen=to-text' > /dev/null";

/// Give a stream to several branches, of which some may fall behind.
///
/// Each branch is a command line for the shell, and gets the whole stream on stdin. The run
/// depends on a --must branch: it is waited for, and its failure ends the run. A --may
/// branch does not hold up the others: what it does not take in time is dropped, and told
/// to it in GAP records; if it dies it is started again, and goes on where it was. Records
/// without samples are kept, to half the size of the queue. A terminal's Ctrl-C reaches the
/// branches as it does every stage: all finish.
///
/// Records also go on to stdout, if that is a pipe or a file. It is then like a --must
/// branch whose reader may go. A job of cron has a pipe there: give it > /dev/null.
///
/// A branch that ends by itself with status 0 or 3 has all it wants, and the others go on;
/// when the last --must branch has ended, so has the run. The exit status is 1 if a --must
/// branch failed, whatever its own, else 3 if one ended with 3.
///
/// A branch is called by its first program, or NAME in 'NAME=COMMAND'; its losses are those
/// of the stage fan-out:NAME. Commands have FAN_OUT_BRANCH and FAN_OUT_START (1 at first) in
/// their environment; what they print goes to stderr where records go to stdout.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// A branch that the run depends on; may be repeated
    #[arg(long = "must", value_name = "COMMAND", required_unless_present = "mays")]
    musts: Vec<String>,

    /// A branch that may fall behind, or die; may be repeated
    #[arg(long = "may", value_name = "COMMAND")]
    mays: Vec<String>,

    /// What a --may branch loses when its queue is full
    #[arg(long, value_enum, default_value_t = Which::Oldest, value_name = "WHICH")]
    drop: Which,

    /// How often in a row a --may branch that dies is started again, or 'unlimited'; a
    /// minute of running begins the count anew
    #[arg(long, value_name = "N", default_value = "10", value_parser = parse_restarts)]
    restart: u32,

    /// How long --may branches may take to finish when all is over; half of it for what
    /// waits, then the rest is dropped
    #[arg(long, value_name = "TIME", default_value = "10s",
          value_parser = tool::parse_duration)]
    grace: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    /// What waits longest
    Oldest,
    /// What comes
    Newest,
}

struct FanOut {
    setting: Setting,
    hub: Arc<Hub>,
    builder: Builder,
    threads: Vec<JoinHandle<()>>,
    recipes: Vec<(bool, Recipe)>,
    grace: Duration,
    /// This stage's own last STATS: its branches have its place.
    last: Stats,
}

fn main() -> ExitCode {
    tool::splitter::<FanOut>()
}

impl Splitter for FanOut {
    type Args = Args;

    fn plan(args: &Args, plan: &mut Plan) -> Result<()> {
        let queue = plan.queue.unwrap_or_default();
        for branch in Branch::all(&args.musts, &args.mays, false) {
            let overflow = match (branch.must, args.drop) {
                (true, _) => Overflow::Block,
                (false, Which::Oldest) => Overflow::DropOldest,
                (false, Which::Newest) => Overflow::DropNewest,
            };
            plan.memory = plan.memory.saturating_add(queue);
            plan.branches.push(tool::Branch {
                name: branch.name,
                command: branch.command.unwrap_or_default(),
                must: branch.must,
                queue,
                overload: overflow.of("the stage before waits").into(),
            });
        }
        Ok(())
    }

    fn open(args: Args, setting: Setting) -> Result<FanOut> {
        let stdout = stdout_for_records()?;
        let branches = Branch::all(&args.musts, &args.mays, stdout.is_some());
        let drop = match args.drop {
            Which::Oldest => Policy::DropOldest,
            Which::Newest => Policy::DropNewest,
        };
        let hub = Arc::new(Hub::new(branches.clone(), setting.queue, drop));
        let mut fan_out = FanOut {
            setting,
            hub,
            builder: Builder::default(),
            threads: Vec::new(),
            recipes: Vec::new(),
            grace: Duration::from_nanos(args.grace as u64),
            last: Stats::default(),
        };
        for (at, branch) in branches.iter().enumerate() {
            fan_out.start(at, branch, args.restart, stdout.as_ref())?;
        }
        Ok(fan_out)
    }

    fn parts(&self) -> Arc<dyn Parts> {
        Arc::clone(&self.hub) as Arc<dyn Parts>
    }

    #[inline]
    fn record(&mut self, record: Record<'_>) -> Result<()> {
        if self.builder.is_full_for(&record) {
            self.flush()?;
        }
        self.builder.push(&record);
        Ok(())
    }

    fn stats(&mut self, session: u32, time: i64, stats: Stats) -> Result<()> {
        put(&mut self.builder, session, time, &stats);
        self.flush()?;
        self.hub.report(session, time, &stats, |others| block_of(session, time, others));
        self.last = stats;
        Ok(())
    }

    fn end(&mut self, ended: &Ended<'_>) -> Result<()> {
        self.flush()?;
        self.hub.end(ended.session, ended.time, &self.last, ended.reason);
        self.builder.forget(ended.session);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if let Some(block) = self.builder.take() {
            self.hub.give(&block);
        }
        Ok(())
    }

    fn is_done(&self) -> Option<&'static str> {
        self.hub.verdict()
    }

    fn close(&mut self) -> Result<()> {
        self.flush()?;
        self.hub.close();
        self.wait_for_branches();
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
        let tallies = self.hub.tallies();
        for tally in &tallies {
            match tally.is_clean() {
                true => self.setting.voice.detail(&tally.text()),
                false => self.setting.voice.tell(&tally.text()),
            }
        }
        let failed: Vec<_> = tallies.iter().filter_map(Tally::failure).collect();
        if !failed.is_empty() {
            bail!(failed.join("; "));
        }
        Ok(())
    }

    fn objections(&self) -> Vec<String> {
        self.hub.tallies().iter().filter_map(Tally::objection).collect()
    }
}

impl FanOut {
    /// Starts the thread of a branch.
    fn start(
        &mut self,
        at: usize,
        branch: &Branch,
        restarts: u32,
        stdout: Option<&File>,
    ) -> Result<()> {
        let restarts = if branch.must { 0 } else { restarts };
        let mut writer =
            Writer::new(&self.hub, at, &branch.name, &self.setting, restarts);
        let leave = Leave(Arc::clone(&self.hub), at);
        let body: Box<dyn FnOnce() -> Ending + Send> = match (&branch.command, stdout) {
            (Some(command), _) => {
                let recipe = Recipe {
                    name: branch.name.clone(),
                    command: command.clone(),
                    stdout_is_taken: stdout.is_some(),
                };
                self.recipes.push((branch.must, recipe.clone()));
                Box::new(move || writer.write_command(&recipe))
            }
            (None, stdout) => {
                let stdout = stdout.context("stdout")?.try_clone()?;
                Box::new(move || writer.write_stdout(stdout))
            }
        };
        let thread = thread::Builder::new().name(branch.name.clone());
        self.threads.push(thread.spawn(move || leave.with(body()))?);
        Ok(())
    }

    /// Waits for all branches, and for those that may fall behind only so long. What waits
    /// for one that is merely slow is dropped halfway, so that it can be told how much that
    /// was, and finish.
    fn wait_for_branches(&self) {
        let may = |branch: &Branch| !branch.must;
        let half = self.grace / 2;
        if !self.hub.wait_for(may, Some(half)) {
            self.hub.drop_waiting();
            if !self.hub.wait_for(may, Some(self.grace - half)) {
                self.end_mays();
            }
        }
        self.hub.wait_for(|_| true, None);
        // What a shell left behind when it was killed ends with its input, as a rule.
        let all: Vec<_> = self.recipes.iter().map(|(_, recipe)| recipe.clone()).collect();
        if !process::until_none(&all, None, self.grace) {
            all.iter().for_each(|recipe| recipe.signal(Signal::TERM));
            if !process::until_none(&all, None, LAST_WORDS) {
                process::until_none(&all, Some(Signal::KILL), LAST_WORDS);
            }
        }
    }

    fn end_mays(&self) {
        self.hub.give_up();
        let runs = self.hub.tallies().into_iter().filter(|tally| tally.ending.is_none());
        let running: Vec<_> = runs.map(|tally| tally.branch.name).collect();
        let mays = self.recipes.iter().filter(|(must, _)| !must);
        let late = mays.filter(|(_, recipe)| running.contains(&recipe.name));
        let late: Vec<_> = late.map(|(_, recipe)| recipe.clone()).collect();
        for recipe in &late {
            let seconds = self.grace.as_secs_f64();
            let text = format!(
                "{}: not finished {seconds} s after the end; killed",
                recipe.name
            );
            self.setting.voice.tell(&text);
            recipe.signal(Signal::TERM);
        }
        if !self.hub.wait_for(|branch| !branch.must, Some(LAST_WORDS)) {
            process::until_none(&late, Some(Signal::KILL), LAST_WORDS);
        }
    }
}

/// Says that a branch has ended, also if its thread panics.
struct Leave(Arc<Hub>, usize);

impl Leave {
    fn with(self, ending: Ending) {
        self.0.leave(self.1, ending);
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.leave(self.1, Ending::Failed("its thread died; this is a bug".into()));
    }
}

fn put(builder: &mut Builder, session: u32, time: i64, stats: &Stats) {
    use libframe::payload::Payload as _;
    let (kind, sent) = (Kind::STATS, stats.to);
    let header = Header { kind, flags: 0, stream: 0, session, seq: 0, time, sent };
    builder.push(&Record::new(header, &stats.to_bytes()));
}

fn block_of(session: u32, time: i64, all: &[Stats]) -> Option<Arc<Block>> {
    let mut builder = Builder::default();
    all.iter().for_each(|stats| put(&mut builder, session, time, stats));
    builder.take()
}

/// stdout, if it is somewhere for records to go: not a terminal, nor nowhere, nor the
/// socket to the journal that systemd gives its services.
fn stdout_for_records() -> Result<Option<File>> {
    let stdout = io::stdout();
    if stdout.is_terminal() {
        return Ok(None);
    }
    let stdout = File::from(stdout.as_fd().try_clone_to_owned()?);
    let (own, null) = (stdout.metadata()?, std::fs::metadata("/dev/null")?);
    let nowhere = own.file_type().is_char_device() && own.rdev() == null.rdev();
    let to_journal = own.file_type().is_socket();
    Ok((!nowhere && !to_journal).then_some(stdout))
}

fn parse_restarts(text: &str) -> Result<u32, String> {
    match text {
        "unlimited" => Ok(u32::MAX),
        text => {
            text.parse().map_err(|_| format!("{text:?} is no number, nor 'unlimited'"))
        }
    }
}
