//! Make records of simulated devices, with faults if asked.

mod fault;
mod noise;
mod picture;
mod rig;
mod signal;
mod spec;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use libframe::clock::SECOND;
use libframe::tool::{self, Feed, Plan, Planned, Source};

use crate::fault::Fault;
use crate::rig::{Next, Pace, Rig};
use crate::spec::{Defaults, Rate, Spec};

/// How far ahead of the clock a sample may be made: less than a sleep's own lateness.
const SLACK: i64 = 20_000;

const EXAMPLES: &str = "Examples:
  sim-src sine --duration 1s | to-text -f csv
  sim-src glove camera --duration 1s > session.frames
  sim-src glove -n 1000 --rate max --fault drop=1% | inspect-frames";

/// Make records of simulated devices, with faults if asked.
///
/// A STREAM is glove, camera, ephys, control, thermal or sine, with settings behind a
/// colon: 'glove', 'sine:channels=8,rate=1000,name=left', 'camera:size=320x240,format=gray'.
/// The same seed makes the same payload bytes, at any rate and with any faults.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// What to simulate; several at once [default: sine]
    #[arg(value_name = "STREAM", value_parser = Spec::parse)]
    streams: Vec<Spec>,

    /// Samples a second of the streams that do not set their own; 'max' for no waiting
    #[arg(long, value_name = "HZ", value_parser = Rate::parse)]
    rate: Option<Rate>,

    /// Channels of the streams that do not set their own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16384))]
    channels: Option<u32>,

    /// Other payloads for another seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Go wrong: drop=1%, gap=1%, dup=1%, reorder=1%, flip=1%, stall=500ms/10s,
    /// burst=20, drift=50ppm; may be repeated
    #[arg(long = "fault", value_name = "FAULT", value_parser = Fault::parse)]
    faults: Vec<Fault>,

    /// Send an event at this time after the start, or each time: hit@2s, hit=5@2s, hit/2s;
    /// may be repeated
    #[arg(long = "event", value_name = "LABEL[=VALUE]@TIME", value_parser = Planned::parse)]
    events: Vec<Planned>,
}

fn main() -> ExitCode {
    tool::source::<SimSrc>()
}

struct SimSrc;

impl Source for SimSrc {
    type Args = Args;

    fn plan(args: &Args, plan: &mut Plan) -> Result<()> {
        plan.output = Some(rig::flows(&args.specs(), &args.defaults(), args.seed));
        if args.pace() == Pace::Free {
            plan.notes.push("--rate max: as fast as the stages after it read".into());
        }
        Ok(())
    }

    fn run(args: Args, feed: &mut Feed) -> Result<()> {
        let (specs, defaults, pace) = (args.specs(), args.defaults(), args.pace());
        let mut rig = Rig::open(specs, &defaults, args.seed, args.faults, pace, feed)?;
        rig.plan(args.events);
        while feed.is_running() {
            let Some((next, due)) = rig.next_due() else { break };
            if pace == Pace::Real && due > feed.clock().now() + SLACK {
                // Looks up each second, to notice the end of --duration in a slow stream.
                let wake = due.min(feed.clock().now() + SECOND);
                feed.wait(None, Some(wake))?;
                continue;
            }
            match next {
                Next::Record(stream) => rig.send(stream, feed)?,
                Next::Event(event) => rig.send_event(event, feed)?,
            }
        }
        rig.finish(feed)
    }
}

impl Args {
    fn specs(&self) -> Vec<Spec> {
        match self.streams.is_empty() {
            true => vec![Spec::default()],
            false => self.streams.clone(),
        }
    }

    fn defaults(&self) -> Defaults {
        Defaults { rate: self.rate, channels: self.channels }
    }

    fn pace(&self) -> Pace {
        if self.rate == Some(Rate::Max) { Pace::Free } else { Pace::Real }
    }
}
