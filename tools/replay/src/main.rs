//! Play recordings into a pipe, with their timing or faster.

mod pace;
mod renewal;
mod selection;
mod tape;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use libframe::catalog::Catalog;
use libframe::clock::Clock;
use libframe::tool::{
    self, Account, Filter, Instant, Need, Origin, Output, Patterns, Plan as Planned,
    TimeRange, Voice,
};
use libframe::wire::{Header, Kind, Record};
use libframe_record::Recording;
use sha2::{Digest as _, Sha256};

use crate::pace::Speed;
use crate::selection::Selection;
use crate::tape::{Plan, Tape};

const EXAMPLES: &str = "Examples:
  sim-src glove -n 300 --rate max > x.frames; replay x.frames --speed 2 | to-text
  sim-src -n 99 --rate max > y.frames; replay y.frames --speed max --start 50ms | to-text";

/// Play recordings into a pipe, with their timing or faster.
///
/// Samples, numbers, descriptions and, without --restamp, times are those of the recording:
/// the stages after this one cannot tell them from the capture. Every record is sent when
/// its capture time has come, by a schedule that does not drift. If the reader is too slow
/// records are late, never dropped; -v tells how late they were.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Recordings of any format, played one after another
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Play so many times as fast, like 2 or 0.5, or as fast as possible: max
    #[arg(long, value_name = "SPEED", default_value = "1", value_parser = Speed::parse)]
    speed: Speed,

    /// Begin at this time: 10s after the session's start, or an RFC 3339 time
    #[arg(long, value_name = "TIME", value_parser = Instant::parse)]
    start: Option<Instant>,

    /// End before this time
    #[arg(long, value_name = "TIME", value_parser = Instant::parse)]
    end: Option<Instant>,

    /// Play streams of this name, pattern ('cam*') or number; may be repeated
    #[arg(long, short = 's', value_name = "NAME")]
    stream: Vec<String>,

    /// Shorten pauses in the recording to this, like 5s
    #[arg(long, value_name = "TIME", value_parser = tool::parse_duration)]
    max_gap: Option<i64>,

    /// Play N times, or for ever; each pass is a session of its own
    #[arg(long = "loop", value_name = "N", num_args = 0..=1, require_equals = true,
          default_missing_value = "0")]
    passes: Option<u64>,

    /// Stamp samples as if they were captured now, in a new session
    #[arg(long)]
    restamp: bool,

    /// Print a hash of all that is played, but for the times of sending
    #[arg(long)]
    digest: bool,
}

struct Replay {
    digest: Option<Sha256>,
    voice: Voice,
}

fn main() -> ExitCode {
    tool::filter::<Replay>()
}

impl Filter for Replay {
    type Args = Args;

    fn plan(args: &Args, plan: &mut Planned) -> Result<()> {
        args.files.iter().for_each(|path| plan.needs(Need::file(path)));
        plan.output = None;
        plan.notes.push("what comes is what the recordings hold".into());
        Ok(())
    }

    fn origin(args: &Args) -> Result<Origin> {
        let range = TimeRange::new(args.start, args.end);
        let streams = Patterns::new("--stream", &args.stream)?;
        let mut complaints = Vec::new();
        for path in &args.files {
            complaints.extend(Recording::open(path)?.complaint());
        }
        let plan = Plan {
            paths: args.files.clone(),
            passes: match args.passes {
                None => 1,
                Some(0) => u64::MAX,
                Some(passes) => passes,
            },
            speed: args.speed,
            max_gap: args.max_gap,
            range: range.clone(),
            restamp: args.restamp,
        };
        let tape = Tape::new(plan, Selection::new(range, streams), &Clock::system());
        let origin = Origin::supply("recording", Box::new(tape));
        Ok(complaints.into_iter().fold(origin, Origin::complain))
    }

    fn open(args: Args) -> Result<Replay> {
        Ok(Replay { digest: args.digest.then(Sha256::new), voice: Voice::default() })
    }

    fn voice(&mut self, voice: Voice) {
        self.voice = voice;
    }

    fn record(
        &mut self,
        record: Record<'_>,
        _catalog: &Catalog,
        out: &mut impl Output,
    ) -> Result<()> {
        if let Some(digest) = &mut self.digest
            && record.header.kind != Kind::SESSION
        {
            let header = Header { sent: 0, ..record.header };
            digest.update(record.with_header(header).header_bytes());
            digest.update(record.payload);
        }
        out.send(record)
    }

    fn close(&mut self, _account: &Account) -> Result<()> {
        if let Some(digest) = self.digest.take() {
            let hash: String =
                digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            self.voice.answer(&format!("digest sha256:{hash}"));
        }
        Ok(())
    }
}
