//! Cut out what is around triggers, each clip as a session of its own.

mod clip;
mod clipper;
mod exec;
mod lane;
#[cfg(test)]
mod property;
mod ring;
mod threshold;
mod trigger;

use std::ffi::OsString;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use libframe::catalog::Catalog;
use libframe::clock::Clock;
use libframe::payload::{Payload as _, Stats};
use libframe::tool::{
    self, Account, Cues, Ended, Filter, Output, Plan, Sink, Usage, Voice,
};
use libframe::wire::{Header, Kind, Record};
use signal_hook::consts::SIGUSR2;

use crate::clipper::{Clipper, Lengths};
use crate::exec::Commands;
use crate::threshold::Condition;
use crate::trigger::{Trigger, Triggers};

/// Less would not hold what belongs to one record.
const LEAST_MEMORY: u64 = 64 << 10;

const EXAMPLES: &str = "Examples:
  sim-src glove camera --event hit@1s --duration 2s | clip-frames --on hit | to-h5 'clip_%03c.h5'
  sim-src sine --duration 3s | clip-frames --when 'sine.0 > 0.5' --for 50ms | to-text
  sim-src camera --event hit/1s -n 90 | clip-frames --on hit --exec 'wc -c > $FRAMEPIPE_CLIP'";

/// Cut out what is around triggers, each clip as a session of its own.
///
/// A clip holds all samples captured from --pre before its trigger to just before --post
/// after it, by their times and not by their number. A trigger is an event (--on), a level
/// (--when), a line on a FIFO, or SIGUSR2; it happens when the event did, at the first
/// sample at the level once that has held, when the line was written, or the signal came.
/// Another one before the clip's end makes it end --post after that one; later ones open the
/// next clip.
///
/// A clip ends when all streams have passed its end, or one lies --deadline behind: it is
/// told which one stalled. What is special about a clip is an event in it: 'trigger',
/// 'clip-short' where the pre-roll is not all there, 'clip-stalled', and 'clip-cut' where the
/// input or --max-clip ended it before its time. What is outside of clips is not lost.
///
/// The session of a clip has the number of it in its description, so that
/// to-h5 'clip_%03c.h5' writes each to a file of its own.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// An event is a trigger: its label, or LABEL=VALUE; '*' fits anything. May be repeated
    #[arg(long = "on", value_name = "LABEL[=VALUE]")]
    events: Vec<String>,

    /// A channel at a level is a trigger, like 'glove.palm > 50' or 'sine.0 <= -1'; without
    /// a channel, any of them. May be repeated
    #[arg(long = "when", value_name = "STREAM.CHANNEL>LEVEL", value_parser = Condition::parse)]
    conditions: Vec<Condition>,

    /// Where --when lets go again, for the next time [default: its level]
    #[arg(
        long,
        value_name = "LEVEL",
        requires = "conditions",
        allow_negative_numbers = true
    )]
    release: Option<f64>,

    /// How long --when must hold before it counts
    #[arg(long = "for", value_name = "TIME", default_value = "0s", value_parser = tool::parse_duration)]
    hold: i64,

    /// A line on this FIFO is a trigger. It is made if there is none
    #[arg(long, value_name = "PATH")]
    fifo: Option<PathBuf>,

    /// Start this command for each clip, with the clip on stdin, and write none to stdout.
    /// FRAMEPIPE_CLIP is the clip's number, FRAMEPIPE_CLIP_TRIGGER what triggered it
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,

    /// How long before the trigger a clip begins
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = tool::parse_duration)]
    pre: i64,

    /// How long after the trigger it ends
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = tool::parse_duration)]
    post: i64,

    /// How far a stream may lie behind the others before it is no longer waited for
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = tool::parse_duration)]
    deadline: i64,

    /// The longest clip, however many triggers make it longer
    #[arg(long, value_name = "TIME", value_parser = tool::parse_duration)]
    max_clip: Option<i64>,

    /// How much may be kept for the pre-roll of all streams
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = tool::parse_size)]
    memory: u64,
}

impl Args {
    fn plan(&self, plan: &mut Plan) {
        plan.memory = plan.memory.saturating_add(self.memory);
        plan.notes.push("what goes out comes in clips".into());
    }

    fn clipper(&self) -> Result<Clipper> {
        let (pre, post, deadline, hold) = (self.pre, self.post, self.deadline, self.hold);
        let max = self.max_clip.unwrap_or(i64::MAX);
        if max < pre.saturating_add(post) {
            let hint = "--max-clip is shorter than --pre and --post";
            return Err(Usage(hint.into()).into());
        }
        if self.memory < LEAST_MEMORY {
            return Err(Usage("--memory below 64KiB keeps nothing".into()).into());
        }
        let (events, conditions) = (&self.events, self.conditions.clone());
        let triggers = Triggers::new(events, conditions, self.release, hold)?;
        let lengths = Lengths { pre, post, deadline, hold, max };
        Ok(Clipper::new(lengths, triggers, self.memory as usize))
    }

    fn cues(&self) -> Result<Cues> {
        let mut cues = Cues::new()?;
        cues.listen_to_signal(SIGUSR2, "USR2")?;
        if let Some(path) = &self.fifo {
            cues.listen_to_fifo(path)?;
        }
        Ok(cues)
    }
}

fn main() -> ExitCode {
    // Without records on stdout it is a sink, and that is known before the rest is read.
    let is_exec = |word: OsString| {
        word.to_str().is_some_and(|word| word == "--exec" || word.starts_with("--exec="))
    };
    match std::env::args_os().any(is_exec) {
        true => tool::sink::<ClipExec>(),
        false => tool::filter::<ClipFrames>(),
    }
}

struct ClipFrames {
    clipper: Clipper,
    cues: Cues,
}

impl ClipFrames {
    fn open(args: &Args) -> Result<ClipFrames> {
        Ok(ClipFrames { clipper: args.clipper()?, cues: args.cues()? })
    }

    fn deadline(&self) -> Option<i64> {
        let cued = self.cues.any() && self.clipper.has_session();
        if cued { Some(i64::MIN) } else { self.clipper.deadline() }
    }

    fn watch(&self) -> Option<BorrowedFd<'_>> {
        // What comes before the first record waits for it.
        self.clipper.has_session().then(|| self.cues.wake())
    }

    /// Looks whether the clip must be closed.
    fn tick(&mut self, now: i64, out: &mut impl Output) -> Result<()> {
        self.take_cues(out)?;
        let now = self.clipper.time.at(now);
        self.clipper.settle(Some(now), out)
    }

    fn take_cues(&mut self, out: &mut impl Output) -> Result<()> {
        while self.clipper.has_session() {
            let Some(cue) = self.cues.take() else { break };
            let time = self.clipper.time.at(cue.time);
            let what = format!("{} {}", cue.source, cue.text);
            self.clipper.trigger(Trigger { time, what: what.trim().into() }, out)?;
        }
        Ok(())
    }
}

impl Filter for ClipFrames {
    type Args = Args;

    const OPENS_SESSIONS: bool = true;

    fn plan(args: &Args, plan: &mut Plan) -> Result<()> {
        args.plan(plan);
        Ok(())
    }

    fn open(args: Args) -> Result<ClipFrames> {
        ClipFrames::open(&args)
    }

    fn voice(&mut self, voice: Voice) {
        self.clipper.voice = voice;
    }

    fn record(
        &mut self,
        record: Record<'_>,
        catalog: &Catalog,
        out: &mut impl Output,
    ) -> Result<()> {
        self.clipper.record(record, catalog, out)
    }

    fn deadline(&self) -> Option<i64> {
        self.deadline()
    }

    fn tick(&mut self, now: i64, out: &mut impl Output) -> Result<()> {
        self.tick(now, out)
    }

    fn watch(&self) -> Option<BorrowedFd<'_>> {
        self.watch()
    }

    fn end(&mut self, ended: &Ended<'_>, out: &mut impl Output) -> Result<()> {
        self.take_cues(out)?;
        let parent = self.clipper.session_of(ended.session).cloned();
        self.clipper.end(ended, out)?;
        match parent {
            Some(parent) if self.clipper.clips() == 0 => {
                clip::send_none(parent, ended, out)
            }
            _ => Ok(()),
        }
    }

    fn close(&mut self, _account: &Account) -> Result<()> {
        self.clipper.tell_unmet();
        Ok(())
    }
}

/// The same, with commands for the clips.
struct ClipExec {
    clips: ClipFrames,
    commands: Commands,
    clock: Clock,
    /// The session of the last record.
    session: Option<u32>,
}

impl Sink for ClipExec {
    type Args = Args;

    const JOINS_SESSION: bool = true;

    fn plan(args: &Args, plan: &mut Plan) -> Result<()> {
        args.plan(plan);
        let (command, name) = (args.exec.clone().unwrap_or_default(), "clip".into());
        let (must, queue, overload) = (true, 0, "the stage before waits".into());
        plan.branches.push(tool::Branch { name, command, must, queue, overload });
        Ok(())
    }

    fn open(args: Args) -> Result<ClipExec> {
        let line = args.exec.clone().unwrap_or_default();
        Ok(ClipExec {
            clips: ClipFrames::open(&args)?,
            commands: Commands::new(line),
            clock: Clock::system(),
            session: None,
        })
    }

    fn voice(&mut self, voice: Voice) {
        self.clips.clipper.voice = voice;
    }

    fn record(&mut self, record: Record<'_>, catalog: &Catalog) -> Result<()> {
        self.session = Some(record.header.session);
        self.commands.set_now(self.clock.now());
        self.clips.clipper.record(record, catalog, &mut self.commands)
    }

    fn stats(&mut self, stats: &Stats) -> Result<()> {
        let Some(session) = self.session else { return Ok(()) };
        let (kind, time) = (Kind::STATS, stats.to);
        let header =
            Header { kind, flags: 0, stream: 0, session, seq: 0, time, sent: time };
        let payload = stats.to_bytes();
        let record = Record::new(header, &payload);
        self.clips.clipper.record(record, &Catalog::default(), &mut self.commands)
    }

    fn deadline(&self) -> Option<i64> {
        self.clips.deadline()
    }

    fn tick(&mut self, now: i64) -> Result<()> {
        self.clips.tick(now, &mut self.commands)
    }

    fn watch(&self) -> Option<BorrowedFd<'_>> {
        self.clips.watch()
    }

    fn flush(&mut self) -> Result<()> {
        self.commands.flush()
    }

    fn end(&mut self, ended: &Ended<'_>) -> Result<()> {
        self.clips.take_cues(&mut self.commands)?;
        self.clips.clipper.end(ended, &mut self.commands)
    }

    fn close(&mut self, _account: &Account) -> Result<()> {
        self.commands.finish();
        self.clips.clipper.tell_unmet();
        Ok(())
    }

    fn objections(&self) -> Vec<String> {
        self.commands.failures()
    }
}
