//! Cut out what is around triggers, each clip as a session of its own.

mod clip;
mod clipper;
mod lane;
mod ring;
mod threshold;
mod trigger;

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use libframe::catalog::Catalog;
use libframe::tool::{self, Account, Cues, Ended, Filter, Output, Usage, Voice};
use libframe::wire::Record;
use signal_hook::consts::SIGUSR2;

use crate::clipper::{Clipper, Lengths};
use crate::threshold::Condition;
use crate::trigger::{Trigger, Triggers};

/// Less would not hold what belongs to one record.
const LEAST_MEMORY: u64 = 64 << 10;

const EXAMPLES: &str = "Examples:
  sim-src glove camera --event hit@1s --duration 2s | clip-frames --on hit | to-h5 'clip_%03c.h5'
  sim-src sine --duration 3s | clip-frames --when 'sine.0 > 0.5' --for 50ms | to-text
  sim-src camera --event hit/1s --duration 3s | clip-frames --on hit --post 200ms --exec 'to-h5 hit_$FRAMEPIPE_CLIP.h5'";

/// Cut out what is around triggers, each clip as a session of its own.
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
    #[arg(long, value_name = "LEVEL", requires = "conditions", allow_negative_numbers = true)]
    release: Option<f64>,

    /// How long --when must hold; the trigger is then the first sample at the level
    #[arg(long = "for", value_name = "TIME", default_value = "0s", value_parser = tool::parse_duration)]
    hold: i64,

    /// A line on this FIFO is a trigger. It is made if there is none
    #[arg(long, value_name = "PATH")]
    fifo: Option<PathBuf>,

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
    fn clipper(&self) -> Result<Clipper> {
        let (pre, post, deadline, hold) =
            (self.pre, self.post, self.deadline, self.hold);
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
        match &self.fifo {
            Some(path) => cues.listen_to_fifo(path)?,
            None => {}
        }
        Ok(cues)
    }
}

fn main() -> ExitCode {
    tool::filter::<ClipFrames>()
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
        // What comes before the first record waits for it.
        self.clipper.has_session().then(|| self.cues.wake())
    }

    fn end(&mut self, ended: &Ended<'_>, out: &mut impl Output) -> Result<()> {
        self.take_cues(out)?;
        self.clipper.end(ended, out)
    }

    fn close(&mut self, _account: &Account) -> Result<()> {
        self.clipper.tell_unmet();
        Ok(())
    }
}
