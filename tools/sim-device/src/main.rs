//! Be a simulated device, as real clients see it.

mod chance;
mod glove;
mod open_ephys;
mod pause;
mod truth;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use libframe::tool::{self, Device};

const EXAMPLES: &str = "Examples:
  sim-device glove --link ./glove --duration 500ms
  sim-device glove --link ./glove -n 200 -v & sleep 0.3; head -c 284 ./glove | od -t x1; wait
  sim-device glove --duration 1s --lose 0.1% --sleep 100ms/400ms --truth sent.ndjson
  sim-device open-ephys --duration 500ms
  sim-device open-ephys --channels 4,6,8-15 --events 10 --spikes 20 -n 30000 --truth sent.ndjson
  sim-device open-ephys --port 0 --channels 512 --speed max --duration 500ms -v";

/// Be a simulated device, as real clients see it.
///
/// Where 'sim-src' makes records, this makes what a device sends, faults of its line
/// included, at a port that any client can open. The port is told on stdout.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES, subcommand_value_name = "DEVICE")]
struct Args {
    #[command(subcommand)]
    kind: Kind,
}

/// What to be: a file for each.
#[derive(Subcommand)]
enum Kind {
    Glove(glove::Args),
    OpenEphys(open_ephys::Args),
}

fn main() -> ExitCode {
    tool::device(run)
}

fn run(args: Args, device: &mut Device) -> Result<()> {
    match args.kind {
        Kind::Glove(args) => glove::run(args, device),
        Kind::OpenEphys(args) => open_ephys::run(args, device),
    }
}
