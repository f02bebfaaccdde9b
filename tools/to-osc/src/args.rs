//! The command line.

use anyhow::Result;
use clap::{Parser, ValueEnum};
use libframe::clock::SECOND;
use libframe::tool::{self, Usage};

use crate::address::Template;
use crate::datagrams::LONGEST;
use crate::destination::Destination;
use crate::framing::Framing;
use crate::layout::{Layout, Style};
use crate::mode::Mode;
use crate::numbers::Nan;
use crate::track::Manner;
use crate::values::Values;

const EXAMPLES: &str = "Examples:
  sim-src sine:channels=8 --duration 1s | to-osc udp://localhost:9000
  sim-src ephys --duration 1s | to-osc udp://localhost:9000 --layout batch
  sim-src ephys glove -n 900 | to-osc udp://localhost:9000 --layout blob --address '/{stream}'";

/// Send samples as Open Sound Control messages.
///
/// Any stream of numbers, over UDP, TCP or a Unix socket. The layouts sample, batch,
/// individual and chunk are what existing receivers of openephys-zmq2osc understand; bundle
/// and blob scale to hundreds of channels, tell the time of their samples, and let receivers
/// see what UDP lost. No datagram is longer than --mtu: what does not fit is sent in several.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES, after_long_help = manual())]
pub(crate) struct Args {
    /// Where to: udp://HOST:PORT, tcp://HOST:PORT, or unix:PATH for datagrams on this machine
    #[arg(value_name = "DESTINATION")]
    pub(crate) destination: Destination,

    /// How TCP receivers find the messages
    #[arg(long, value_enum, default_value_t = Framing::Length)]
    pub(crate) framing: Framing,

    /// What messages look like; LAYOUTS below has their bytes
    #[arg(long, value_enum, default_value_t = Layout::Sample)]
    pub(crate) layout: Layout,

    /// The address, to which the layout adds; '{stream}' becomes the stream's name. Without
    /// it, a session's first stream has this one, and others have their name in it too
    #[arg(long, value_name = "TEMPLATE", default_value = "/data")]
    pub(crate) address: Template,

    /// The address of a channel in the layout 'individual', with '{index}' from 0 or
    /// '{number}' from 1 ('{index:03}' for three digits), '{label}' or '{stream}'
    #[arg(long, value_name = "TEMPLATE", default_value = "/ch{index:03}")]
    pub(crate) channel_address: Template,

    /// Numbers of the layout 'blob'
    #[arg(long, value_enum, default_value_t = Numbers::F32)]
    pub(crate) values: Numbers,

    /// What a step of an i16 is worth [default: for each message what its largest number
    /// needs]
    #[arg(long, value_name = "UNITS", value_parser = parse_scale)]
    pub(crate) scale: Option<f32>,

    /// Channels in a message at most, each with the number of its first channel [default:
    /// as many as fit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) group: Option<u32>,

    /// Give each message the number of its first sample, so that receivers see what UDP
    /// lost [default: in the layouts bundle and blob]
    #[arg(long, overrides_with = "no_sequence")]
    pub(crate) sequence: bool,

    /// Give no message a number
    #[arg(long)]
    pub(crate) no_sequence: bool,

    /// What matters most: sets what other options leave open; MODES below tells which
    #[arg(long, value_enum, default_value_t = Mode::Balanced)]
    pub(crate) mode: Mode,

    /// Samples in a message, where the layout leaves it open [default: as many as came, and
    /// fit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch: Option<u32>,

    /// How long a sample may wait for others to share a message with [default: 1s with
    /// --batch, else as the mode says]
    #[arg(long, value_name = "TIME", value_parser = tool::parse_duration)]
    pub(crate) batch_time: Option<i64>,

    /// Spread the messages of a block over this share of its time, as receivers' buffers
    /// overflow otherwise; 0 sends at once [default: as the mode says]
    #[arg(long, value_name = "SHARE", value_parser = tool::parse_share)]
    pub(crate) pace: Option<f64>,

    /// Bytes of a datagram at most, without the headers of UDP [default: what the route
    /// takes, 1472 on Ethernet, and never over 8192]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(64..=LONGEST as i64))]
    pub(crate) mtu: Option<u32>,

    /// What to send for NaN
    #[arg(long, value_enum, default_value_t = Nan::Pass)]
    pub(crate) nan: Nan,

    /// Send events too: /event LABEL VALUE
    #[arg(long)]
    pub(crate) events: bool,

    /// Send what is missing too: /gap STREAM FIRST COUNT
    #[arg(long)]
    pub(crate) gaps: bool,

    /// Send streams too that tell about another, like when its blocks arrived
    #[arg(long)]
    pub(crate) asides: bool,

    /// Send pictures and bytes too, as blobs: ADDRESS/bytes
    #[arg(long)]
    pub(crate) blobs: bool,

    /// Stop if nobody listens
    #[arg(long)]
    pub(crate) require_receiver: bool,
}

/// What the page tells of the bytes.
fn manual() -> String {
    format!("{EXAMPLES}\n\n{}", include_str!("manual.txt").trim_end())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Numbers {
    /// float32, little-endian
    F32,
    /// int16, little-endian, each to be multiplied by the message's scale
    I16,
}

impl Args {
    /// How numbers are written, once it is sure that all can be carried out.
    pub(crate) fn values(&self) -> Result<Values> {
        let values = match (self.layout, self.values) {
            (_, Numbers::F32) if self.scale.is_some() => {
                return Err(Usage("--scale is for --values i16".into()).into());
            }
            (_, Numbers::F32) => Values::Float,
            (Layout::Blob, Numbers::I16) => Values::Short { scale: self.scale },
            _ => return Err(Usage("--values i16 is for --layout blob".into()).into()),
        };
        if self.layout == Layout::Individual && !self.channel_address.names_channel() {
            let template = &self.channel_address;
            let hint = format!("{template}: all channels would share it; add {{index}}");
            return Err(Usage(hint).into());
        }
        Ok(values)
    }

    /// How streams are sent, where messages are usually so long at most.
    pub(crate) fn manner(&self, values: Values, usual_length: usize) -> Manner {
        let preset = self.mode.preset();
        let sequence = !self.no_sequence && (self.sequence || self.layout.scales());
        let by_mode = if self.batch.is_some() { SECOND } else { preset.batch_time };
        Manner {
            style: Style { layout: self.layout, sequence, values },
            address: self.address.clone(),
            channel_address: self.channel_address.clone(),
            group: self.group.map(|n| n as usize),
            batch: self.batch.map(|n| n as usize),
            batch_time: self.batch_time.unwrap_or(by_mode),
            nan: self.nan,
            limit: self.mtu.map_or_else(|| usual_length, |mtu| mtu as usize),
        }
    }
}

fn parse_scale(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(scale) if scale > 0.0 && f32::is_finite(scale) => Ok(scale),
        _ => Err(format!("{text:?} is no scale; say 0.195")),
    }
}
