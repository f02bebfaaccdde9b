//! Record Lab Streaming Layer as LabRecorder does, by hand, cron or remote control.

mod check;
mod choice;
mod config;
mod control;
mod desk;
mod health;
mod lines;
mod pipeline;
mod programs;
mod recording;
mod relay;
mod request;
mod roster;
mod setup;
mod study;
mod template;
mod told;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use libframe::tool::{self, Conductor, Need, Plan};

use crate::desk::Desk;

const EXAMPLES: &str = "Examples:
  labrecord --plan --participant P002 --task rest > plan.json";

/// Record Lab Streaming Layer as LabRecorder does, by hand, cron or remote control.
///
/// Records all streams, or those of the QUERYs (XPath predicates like type='EEG'), to XDF,
/// HDF5 or both, until Ctrl-C. Names are LabRecorder's, with its placeholders: %p
/// participant, %s session, %b task, %a acquisition, %m modality, %r or %n the number of the
/// run, which is the first that no file has; no file is ever overwritten or renamed. Streams
/// that appear later join; those that fall silent, come late or are lost are told while it
/// runs.
///
/// With --control it waits for LabRecorder's commands instead, one in a line: select all,
/// select none, start, stop, update, filename {participant:P002}{task:rest}; and for select
/// NAME, deselect NAME, status (a line of JSON) and quit. It answers 'OK ...' when something
/// is done, or 'ERROR what; remedy'.
///
/// It starts lsl-src, fan-out, and to-xdf or to-h5 or both. If a recorder fails the other
/// goes on, and the exit status is 1.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Record the streams of this XPath predicate; may be repeated [default: all]
    #[arg(value_name = "QUERY")]
    queries: Vec<String>,

    /// Read LabRecorder's configuration; options here have the last word
    #[arg(long, short = 'c', value_name = "FILE")]
    config: Option<PathBuf>,

    /// Begin only when the stream 'NAME' or 'NAME (HOST)' is there; may be repeated
    #[arg(long = "require", value_name = "NAME")]
    required: Vec<String>,

    /// How long those may take to appear, or the first stream at all
    #[arg(long, value_name = "TIME", default_value = "10s",
          value_parser = tool::parse_duration)]
    wait: i64,

    /// Tell which streams are there, which required ones are not, and what the files would
    /// be called; record nothing
    #[arg(long)]
    check: bool,

    /// Record to XDF; the default without --h5
    #[arg(long)]
    xdf: bool,

    /// Record to HDF5
    #[arg(long)]
    h5: bool,

    /// The study's folder [default: the current one]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    /// What files are called in it: bids, classic (exp%n/block_%b.xdf), or a template
    /// [default: bids]
    #[arg(long, value_name = "TEMPLATE")]
    template: Option<String>,

    /// For %p [default: P001]
    #[arg(long, value_name = "LABEL", value_parser = template::label)]
    participant: Option<String>,

    /// For %s [default: S001]
    #[arg(long, value_name = "LABEL", value_parser = template::label)]
    session: Option<String>,

    /// For %b [default: the first of SessionBlocks, or Default]
    #[arg(long, value_name = "LABEL", value_parser = template::label)]
    task: Option<String>,

    /// For %a
    #[arg(long, value_name = "LABEL", value_parser = template::label)]
    acquisition: Option<String>,

    /// For %m [default: eeg]
    #[arg(long, value_name = "LABEL", value_parser = template::label)]
    modality: Option<String>,

    /// The first number that a run may have
    #[arg(long, value_name = "N", default_value = "1",
          value_parser = clap::value_parser!(u32).range(1..))]
    run: u32,

    /// Wait for commands on this address, like 22345 or '*:22345' [default: 127.0.0.1:22345]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true,
          default_missing_value = "22345", value_parser = control::parse_address)]
    control: Option<SocketAddr>,

    /// Begin at once in spite of --control, and end with that recording
    #[arg(long)]
    auto_start: bool,

    /// Answer commands as LabRecorder does: OK without a newline, whatever came of it
    #[arg(long)]
    bare_answers: bool,

    /// Write the address that --control listens on to this file
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,

    /// Give options to one of the tools that it starts; may be repeated
    #[arg(long = "with", value_name = "TOOL OPTIONS",
          value_parser = pipeline::parse_options)]
    options: Vec<(String, String)>,

    /// A branch that may fall behind, or die; may be repeated
    #[arg(long = "may", value_name = "COMMAND")]
    mays: Vec<String>,
}

impl Args {
    /// The tools that it takes.
    fn tools(&self) -> Vec<&'static str> {
        let recorders = [("to-xdf", self.xdf || !self.h5), ("to-h5", self.h5)];
        let recorders = recorders.iter().filter(|(_, wanted)| *wanted);
        ["lsl-src", "fan-out"]
            .into_iter()
            .chain(recorders.map(|(tool, _)| *tool))
            .collect()
    }
}

fn main() -> ExitCode {
    tool::conductor(plan, run)
}

fn plan(args: &Args, plan: &mut Plan) -> Result<()> {
    let config = setup::configuration(args.config.as_deref())?;
    args.tools().iter().for_each(|tool| plan.needs(programs::need(tool)));
    if let Some(address) = setup::address(args, &config) {
        plan.needs(Need::free_port(address));
    }
    let study = setup::study(args, &config)?;
    let names = study.next(desk::is_free).map_err(tool::Usage)?;
    let files = names.files.iter().map(|(_, path)| path.display().to_string());
    plan.notes.extend(files.map(|file| format!("would record to {file}")));
    plan.notes.extend(config.notes);
    Ok(())
}

fn run(args: Args, conductor: &mut Conductor<'_>) -> Result<()> {
    programs::check(&args.tools())?;
    let config = setup::configuration(args.config.as_deref())?;
    if args.check {
        return check::check(&args, &config, conductor);
    }
    let setup = setup::setup(&args, &config, conductor)?;
    config.notes.iter().for_each(|note| conductor.voice().detail(note));
    Desk::new(setup, conductor).run()
}
