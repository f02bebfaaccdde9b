//! Capture a tactile glove from its serial port.

mod arrival;
mod candidates;
mod fault;
mod frames;
mod glove;
mod line;
mod packet;
mod port;
mod recording;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use libframe::schema::Device;
use libframe::tool::{self, Feed, Flow, Need, Plan, Source};

use crate::candidates::System;
use crate::glove::{Glove, Map};
use crate::line::{Line, OnUnplug, Options};

const EXAMPLES: &str = "Examples:
  sim-device glove --link ./glove -n 400 & sleep 0.3; capture-glove ./glove -n 99 | to-text; wait
  sim-device glove --link ./g -n 300 & sleep 0.3; head -c 9999 ./g | capture-glove - > g.frames
  capture-glove --list --format json";

/// Capture a tactile glove from its serial port.
///
/// A frame is 272 bytes: 256 of pressure and a quaternion. It is stamped with the time at
/// which its last byte arrived, also if that is read later: a backlog is told as an event of
/// that name. The glove sends no numbers and no checksums, so a packet counts only if another
/// follows it. Junk, halves of frames and changes of type are told as gaps: with the number
/// of frames that are certainly lost, or with an unknown one.
///
/// Events: 'backlog', bytes waited for us, and how long; 'silent' and 'awake'; 'unplugged' and
/// 'replugged', with the port; 'version', what a glove says when its button is pressed; and
/// 'doubtful', the number of a frame that was given when the line fell quiet, and may be made
/// of pieces after what came then.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// A serial device, 'auto' for the only glove that is plugged in, or a file or '-' for
    /// bytes that were recorded
    #[arg(value_name = "PORT", required_unless_present = "list")]
    port: Option<PathBuf>,

    /// Show the serial ports on USB, and which are gloves, and exit
    #[arg(long)]
    list: bool,

    /// How to show them
    #[arg(long, short = 'f', value_enum, default_value_t = Format::Text,
          value_name = "FORMAT", requires = "list")]
    format: Format,

    /// Bits a second on the line
    #[arg(long, value_name = "BAUD", default_value_t = 921_600,
          value_parser = clap::value_parser!(u32).range(300..=12_000_000))]
    baud: u32,

    /// What to do when the glove is unplugged
    #[arg(long, value_enum, default_value_t = OnUnplug::Quit, value_name = "WHAT")]
    on_unplug: OnUnplug,

    /// Tell an event when nothing came for this long, and another when it does; 0s for never
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = tool::parse_duration)]
    silence: i64,

    /// Which sensors there are: 'left', 'right', 'none', or a file in TOML or CSV [default:
    /// the hand that the packets say they are of]
    #[arg(long, value_name = "MAP")]
    map: Option<Map>,

    /// What the glove is calibrated with, for the description of the stream
    #[arg(long, value_name = "NAME")]
    calibration: Option<String>,

    /// What the stream is called
    #[arg(long, value_name = "NAME", default_value = "glove")]
    stream_name: String,

    /// Frames a second of recorded bytes, which have no times [default: as a line of --baud
    /// could have brought them]
    #[arg(long, value_name = "HZ", value_parser = tool::parse_rate_in(1e-3..=1e5))]
    rate: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// What a glove sends, by its maker and by measurement.
const USUAL_RATE: f64 = 217.0;

fn main() -> ExitCode {
    tool::source::<CaptureGlove>()
}

struct CaptureGlove;

impl Source for CaptureGlove {
    type Args = Args;

    fn plan(args: &Args, plan: &mut Plan) -> Result<()> {
        let port = args.port.clone().unwrap_or_default();
        let name = args.stream_name.clone();
        let glove = Glove::new(name, args.map.clone(), args.calibration.clone())?;
        let mut stream = glove.describe(1, Device::default(), "arrival")?;
        let recorded = port::is_recording(&port);
        stream.rate = if recorded { args.rate } else { Some(USUAL_RATE) };
        plan.output = Some(vec![Flow::new(stream)]);
        if recorded && port != Path::new("-") {
            plan.needs(Need::file(&port));
        } else if !recorded {
            plan.needs(port::need(&port, &System::default()));
            plan.notes.push(format!("a glove sends about {USUAL_RATE} frames a second"));
        }
        Ok(())
    }

    fn text(args: &Args) -> Result<Option<String>> {
        if !args.list {
            return Ok(None);
        }
        let all = System::default().candidates();
        Ok(Some(match args.format {
            Format::Text => candidates::text(&all),
            Format::Json => serde_json::to_string_pretty(&all)? + "\n",
        }))
    }

    fn run(args: Args, feed: &mut Feed) -> Result<()> {
        let Args { baud, on_unplug, silence, rate, .. } = args;
        let port = args.port.unwrap_or_default();
        let glove = Glove::new(args.stream_name, args.map, args.calibration)?;
        if port::is_recording(&port) {
            return recording::play(&port, glove, rate, baud, feed);
        }
        let options = Options { port, baud, on_unplug, silence };
        Line::open(options, glove, feed)?.listen(feed)
    }
}
