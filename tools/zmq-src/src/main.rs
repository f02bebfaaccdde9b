//! Subscribe to Open Ephys, or to anything else, over ZeroMQ.

mod assembly;
mod block;
mod blocks;
mod catalogue;
mod choice;
mod field;
mod fit;
mod heart;
mod hop;
mod line;
mod listener;
mod message;
mod numbering;
mod outlet;
#[cfg(test)]
mod plugin;
mod raw;
mod rig;
mod roster;
mod spikes;
mod trouble;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use libframe::tool::{self, Feed, Need, Plan, Source, Usage};
use libframe_zmtp::Endpoint;
use uuid::Uuid;

use crate::assembly::Partial;
use crate::choice::Choice;
use crate::heart::Greeting;
use crate::hop::Hop;
use crate::line::Options;
use crate::listener::Listener;
use crate::raw::Raw;
use crate::rig::{Rig, Wish};

/// What blocks on their way may take, of a few streams.
const MEMORY: u64 = 64 << 20;

const EXAMPLES: &str = "Examples:
  sim-device open-ephys --duration 9s & sleep 0.5; zmq-src tcp://127.0.0.1:5556 -n 9999 | to-text; wait
  sim-src sine -n 99 | to-zmq --wait-subscribers 1 ipc://a & zmq-src --records ipc://a | to-text; wait
  sim-src glove --duration 1s | to-zmq ipc://b & zmq-src --raw --duration 1s ipc://b > b.frames; wait";

/// Subscribe to Open Ephys, or to anything else, over ZeroMQ.
///
/// The ZMQ Interface of Open Ephys sends one channel in each message. They are put together
/// by their sample numbers, whatever is lost between them, as one stream of records for each
/// stream of the rig: f32 in uV, device times are the sample numbers, and times are the
/// arrivals as they fit to these. Which channels there are is learnt, and learnt anew when
/// they change. All generations of the plugin are understood.
///
/// Messages that are lost are told in GAP records: samples of all channels, or of some. A
/// new acquisition is an event, 'segment', and no loss. Other events: 'ttl LINE on', with all
/// lines as the value, and 'event TYPE'; 'connected', 'disconnected', 'heartbeat',
/// 'heartbeat-lost', 'silent', 'awake', 'moved', 'unusable' and, at the end, 'skipped', numbers
/// that no message had, of the session. Beside STREAM there is STREAM.arrival, with the raw
/// arrival of each block, and STREAM.spikes-ELECTRODE, with the waveform, the thresholds and
/// the sorted id of each spike as fields of a sample.
///
/// --raw passes on what any publisher sends, and --records what to-zmq sends, as the sessions
/// that they are: those end with the publisher's END.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Where to subscribe: tcp://HOST:PORT or ipc://PATH; several at once
    #[arg(value_name = "ENDPOINT", required = true)]
    endpoints: Vec<Endpoint>,

    /// Pass messages on as they are: of one part as a sample of zmq, of several as one of
    /// zmq.parts, each part after its length as a u32, little-endian
    #[arg(long, conflicts_with_all = ["stream", "channel", "records", "list"])]
    raw: bool,

    /// Pass on the records of to-zmq
    #[arg(long, conflicts_with_all = ["stream", "channel", "list"])]
    records: bool,

    /// Take messages that begin with this only, with --raw or --records; may be repeated
    #[arg(long, value_name = "PREFIX")]
    subscribe: Vec<String>,

    /// Show which streams and channels come, and exit
    #[arg(long)]
    list: bool,

    /// How to show them
    #[arg(long, short = 'f', value_enum, default_value_t = Format::Text,
          value_name = "FORMAT", requires = "list")]
    format: Format,

    /// Take streams of this name or pattern ('Probe*'); may be repeated
    #[arg(long, short = 's', alias = "streams", value_name = "NAME")]
    stream: Vec<String>,

    /// Take channels of this number, range, label or pattern, like 0-31,40,'ADC*'
    #[arg(
        long,
        short = 'c',
        alias = "channels",
        value_name = "CHANNEL",
        value_delimiter = ','
    )]
    channel: Vec<String>,

    /// What to do with a block of which some channels are missing
    #[arg(long, value_enum, default_value_t = Missing::Nan, value_name = "WHAT")]
    missing: Missing,

    /// Leave out the streams that tell when each block arrived
    #[arg(long)]
    no_arrivals: bool,

    /// How long to wait for a publisher at the start; 0s for not at all [default: for ever]
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

/// What to do with a block of which some channels are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Missing {
    /// Send it, with NaN in their place, and tell which
    Nan,
    /// Leave all of it out, and tell that
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn main() -> ExitCode {
    // Records of others keep their sessions, which a source cannot do.
    match std::env::args_os().any(|word| word == "--records") {
        true => tool::filter::<Hop>(),
        false => tool::source::<ZmqSrc>(),
    }
}

struct ZmqSrc;

impl Source for ZmqSrc {
    type Args = Args;

    fn plan(args: &Args, plan: &mut Plan) -> Result<()> {
        args.need(plan);
        plan.output = None;
        plan.memory = plan.memory.saturating_add(MEMORY);
        plan.notes.push("what comes is what the rig sends; --list shows it".into());
        Ok(())
    }

    fn text(args: &Args) -> Result<Option<String>> {
        if !args.list {
            return Ok(None);
        }
        let json = args.format == Format::Json;
        catalogue::list(&args.endpoints, &args.options(), json).map(Some)
    }

    fn run(args: Args, feed: &mut Feed) -> Result<()> {
        if !args.raw && !args.subscribe.is_empty() {
            let hint = "--subscribe goes with --raw or --records";
            return Err(Usage(hint.into()).into());
        }
        let names = args.endpoints.iter().map(Endpoint::to_string).collect();
        let now = feed.clock().now();
        let mut listener = Listener::new(&args.endpoints, &args.options(), now)?;
        if args.raw {
            return listener.listen(&mut Raw::new(names), feed);
        }
        let choice = Choice::new(&args.stream, &args.channel)?;
        let partial = match args.missing {
            Missing::Nan => Partial::Nan,
            Missing::Drop => Partial::Drop,
        };
        let wish = Wish { choice, partial, arrivals: !args.no_arrivals };
        listener.listen(&mut Rig::new(wish, names), feed)
    }
}

impl Args {
    /// How to keep the connections.
    fn options(&self) -> Options {
        let uuid = self.uuid.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
        let greeting = Greeting::new(&self.app_name, &uuid);
        let is_plugin = !self.raw && !self.records;
        Options {
            wait: self.wait,
            silence: self.silence,
            greeting: is_plugin.then_some(greeting),
            pairs: self.port_search,
            prefixes: match (is_plugin, &self.subscribe[..]) {
                (false, [_, ..]) => self.subscribe.clone(),
                // The plugin's messages are all wanted.
                _ => vec![String::new()],
            },
            endpoints: self.endpoints.clone(),
        }
    }

    /// The publishers must be there, unless they are waited for.
    fn need(&self, plan: &mut Plan) {
        for endpoint in &self.endpoints {
            plan.needs(match endpoint {
                Endpoint::Tcp { host, port } => Need::server(&format!("{host}:{port}")),
                Endpoint::Ipc(path) => Need::file(path),
            });
        }
    }
}
