//! Record streams of Lab Streaming Layer.

mod catalogue;
mod choice;
mod contact;
mod form;
mod news;
mod reception;
mod roster;
mod scout;
mod timing;
mod track;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use libframe::clock::SECOND;
use libframe::tool::{self, Feed, Plan, Source};

use crate::choice::Choice;
use crate::form::MarkersAs;
use crate::reception::{Manner, Reception};

/// What connections hold, of a few dozen streams.
const MEMORY: u64 = 24 << 20;

const EXAMPLES: &str = "Examples:
  lsl-src --list
  lsl-src --list --format json > streams.json
  lsl-src --plan EEG \"type='Markers'\"";

/// Record streams of Lab Streaming Layer.
///
/// All streams, or those of some names, patterns or XPath predicates; those that appear later
/// join. Times are those of each stream's own clock, as they came; how far that clock is from
/// this host's is measured at the start and again all the time, and stands in CLOCK records.
/// What a stream of to-lsl was before, it is again.
///
/// An outlet that starts anew goes on in its stream: one with a source id is known by that,
/// its name and host, or another host if the first has gone; one without by name, type and
/// host. Two streams of one name are 'NAME' and 'NAME (HOST)', or 'NAME#2' on one host. LSL
/// numbers no samples, so after a restart a gap of unknown length is told, unless the times go
/// on at the stream's rate. The same after a backlog that the outlet could not keep.
///
/// Events of a stream: 'connected', 'silent', 'awake', 'lost', 'recovered', and 'clock-jump'
/// with the seconds that its times went ahead. Streams of single texts at no rate are
/// markers: each is an event 'LABEL' or 'LABEL=VALUE'. Texts of several channels are JSON.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Streams: a name or pattern ('Glove*'), 'NAME (HOST)', or a predicate ("type='EEG'")
    /// [default: all]
    #[arg(value_name = "QUERY")]
    queries: Vec<String>,

    /// A stream, as a QUERY names it, that must be there before anything is recorded; may be
    /// repeated
    #[arg(long, value_name = "NAME")]
    require: Vec<String>,

    /// How long to wait for those
    #[arg(long, value_name = "TIME", default_value = "10s",
          value_parser = tool::parse_duration)]
    wait: i64,

    /// Show which streams there are, and exit
    #[arg(long)]
    list: bool,

    /// How to show them
    #[arg(long, short = 'f', value_enum, default_value_t = Format::Text,
          value_name = "FORMAT", requires = "list")]
    format: Format,

    /// What to make of markers
    #[arg(long, value_enum, default_value_t = MarkersAs::Events, value_name = "WHAT")]
    markers_as: MarkersAs,

    /// How often to measure the clock of each stream
    #[arg(long, value_name = "TIME", default_value = "5s",
          value_parser = tool::parse_duration)]
    clock_interval: i64,

    /// Tell an event when nothing came for this long, and another when it does; 0s for never
    #[arg(long, value_name = "TIME", default_value = "2s",
          value_parser = tool::parse_duration)]
    silence: i64,

    /// How much an outlet is to keep while nobody reads here
    #[arg(long, value_name = "TIME", default_value = "6m",
          value_parser = tool::parse_duration)]
    buffer: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn main() -> ExitCode {
    tool::source::<LslSrc>()
}

struct LslSrc;

impl Source for LslSrc {
    type Args = Args;

    fn plan(args: &Args, plan: &mut Plan) -> Result<()> {
        Choice::new(&args.queries, &args.require)?;
        plan.output = None;
        plan.memory = plan.memory.saturating_add(MEMORY);
        plan.notes.push("what comes is what the streams send; --list shows them".into());
        Ok(())
    }

    fn text(args: &Args) -> Result<Option<String>> {
        if !args.list {
            return Ok(None);
        }
        let choice = Choice::new(&args.queries, &args.require)?;
        catalogue::list(&choice, args.format == Format::Json).map(Some)
    }

    fn run(args: Args, feed: &mut Feed) -> Result<()> {
        let choice = Choice::new(&args.queries, &args.require)?;
        let manner = Manner {
            wait: args.wait,
            markers: args.markers_as,
            clock_interval: args.clock_interval.max(SECOND / 4),
            silence: args.silence,
            buffer: args.buffer,
        };
        Reception::new(choice, manner)?.run(feed)
    }
}
