//! Subscribe to Open Ephys, or to anything else, over ZeroMQ.

mod assembly;
mod block;
mod choice;
mod field;
mod fit;
mod heart;
mod line;
mod listener;
mod message;
mod numbering;
mod outlet;
#[cfg(test)]
mod plugin;
mod rig;
mod spikes;
mod trouble;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use libframe::tool::{self, Feed, Plan, Source};
use libframe_zmtp::Endpoint;

use crate::assembly::Partial;
use crate::choice::Choice;
use crate::heart::Greeting;
use crate::line::Options;
use crate::listener::Listener;
use crate::rig::{Rig, Wish};

const EXAMPLES: &str = "Examples:
  zmq-src tcp://127.0.0.1:5556 --duration 1s | to-text || true";

/// Subscribe to Open Ephys, or to anything else, over ZeroMQ.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Where to subscribe: tcp://HOST:PORT or ipc://PATH; several at once
    #[arg(value_name = "ENDPOINT", required = true)]
    endpoints: Vec<Endpoint>,

    /// Take streams of this name or pattern ('Probe*'); may be repeated
    #[arg(long, short = 's', value_name = "NAME")]
    stream: Vec<String>,

    /// Take channels of this number, range, label or pattern, like 0-31,40,'ADC*'
    #[arg(long, short = 'c', value_name = "CHANNEL", value_delimiter = ',')]
    channel: Vec<String>,

    /// What to do with a block of which some channels are missing
    #[arg(long, value_enum, default_value_t = Partial::Nan, value_name = "WHAT")]
    missing: Partial,

    /// Leave out the streams that tell when each block arrived
    #[arg(long)]
    no_arrivals: bool,

    /// How long to wait for a publisher at the start [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = tool::parse_duration)]
    wait: Option<i64>,

    /// Tell an event when nothing came for this long, and another when it does; 0s for never
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = tool::parse_duration)]
    silence: i64,

    /// Pairs of ports to look at for a plugin that found its own taken
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(..=100))]
    port_search: u16,

    /// What the plugin shows us as
    #[arg(long, value_name = "NAME", default_value = "framepipe")]
    app_name: String,

    /// Which of several of that name we are [default: a new one]
    #[arg(long, value_name = "UUID")]
    uuid: Option<String>,
}

fn main() -> ExitCode {
    tool::source::<ZmqSrc>()
}

struct ZmqSrc;

impl Source for ZmqSrc {
    type Args = Args;

    fn plan(_args: &Args, _plan: &mut Plan) -> Result<()> {
        Ok(())
    }

    fn run(args: Args, feed: &mut Feed) -> Result<()> {
        let uuid = args.uuid.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let options = Options {
            wait: args.wait,
            silence: args.silence,
            greeting: Some(Greeting::new(&args.app_name, &uuid)),
            pairs: args.port_search,
            prefixes: vec![String::new()],
            endpoints: args.endpoints.clone(),
        };
        let choice = Choice::new(&args.stream, &args.channel)?;
        let wish = Wish { choice, partial: args.missing, arrivals: !args.no_arrivals };
        let names = args.endpoints.iter().map(Endpoint::to_string).collect();
        let mut listener = Listener::new(&args.endpoints, &options, feed.clock().now())?;
        listener.listen(&mut Rig::new(wish, names), feed)
    }
}
