//! Send samples as Open Sound Control messages.

mod address;
mod datagrams;
mod destination;
mod framing;
mod kernel;
mod lane;
mod layout;
mod mode;
mod notes;
mod numbers;
mod peer;
#[cfg(test)]
mod roundtrip;
mod sender;
mod stream;
mod track;
mod values;

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use libframe::batch::Samples;
use libframe::catalog::Catalog;
use libframe::ledger::Loss;
use libframe::schema::Media;
use libframe::timeline::Timeline;
use libframe::tool::{
    self, Account, Ended, Gauge, Overflow, Plan, Room, Sink, Usage, Voice,
};
use libframe::wire::{Kind, Record};

use crate::address::Template;
use crate::datagrams::LONGEST;
use crate::destination::Destination;
use crate::framing::Framing;
use crate::layout::{Layout, Style};
use crate::mode::Mode;
use crate::numbers::Nan;
use crate::sender::{Key, Sender};
use crate::track::{Manner, Track, Way};
use crate::values::Values;

const EXAMPLES: &str = "Examples:
  sim-src sine:channels=8 --duration 1s | to-osc udp://localhost:9000
  sim-src ephys --duration 1s | to-osc udp://localhost:9000 --layout batch
  sim-src ephys glove --duration 1s | \
    to-osc udp://localhost:9000 --layout bundle --address '/{stream}'";

/// Send samples as Open Sound Control messages.
///
/// Any stream of numbers, over UDP, TCP or a Unix socket. The layouts sample, batch,
/// individual and chunk are what existing receivers of openephys-zmq2osc understand; bundle
/// and blob scale to hundreds of channels, tell the time of their samples, and let receivers
/// see what UDP lost. No datagram is longer than --mtu: what does not fit is sent in several.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES, after_long_help = manual())]
struct Args {
    /// Where to: udp://HOST:PORT, tcp://HOST:PORT, or unix:PATH for datagrams on this machine
    #[arg(value_name = "DESTINATION")]
    destination: Destination,

    /// How TCP receivers find the messages
    #[arg(long, value_enum, default_value_t = Framing::Length)]
    framing: Framing,

    /// What messages look like; LAYOUTS below has their bytes
    #[arg(long, value_enum, default_value_t = Layout::Sample)]
    layout: Layout,

    /// The address, to which the layout adds; '{stream}' becomes the stream's name
    #[arg(long, value_name = "TEMPLATE", default_value = "/data")]
    address: Template,

    /// The address of a channel in the layout 'individual', with '{index}' from 0 or
    /// '{number}' from 1 ('{index:03}' for three digits), '{label}' or '{stream}'
    #[arg(long, value_name = "TEMPLATE", default_value = "/ch{index:03}")]
    channel_address: Template,

    /// Numbers of the layout 'blob'
    #[arg(long, value_enum, default_value_t = Numbers::F32)]
    values: Numbers,

    /// What a step of an i16 is worth [default: for each message what its largest number
    /// needs]
    #[arg(long, value_name = "UNITS", value_parser = parse_scale)]
    scale: Option<f32>,

    /// Channels in a message at most, each with the number of its first channel [default:
    /// as many as fit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    group: Option<u32>,

    /// Give each message the number of its first sample, so that receivers see what UDP
    /// lost [default: in the layouts bundle and blob]
    #[arg(long, overrides_with = "no_sequence")]
    sequence: bool,

    /// Give no message a number
    #[arg(long)]
    no_sequence: bool,

    /// What matters most; sets what --batch-time, --queue, --overflow and --pace do not
    #[arg(long, value_enum, default_value_t = Mode::Balanced)]
    mode: Mode,

    /// Samples in a message, where the layout leaves it open [default: as many as came, and
    /// fit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch: Option<u32>,

    /// How long a sample may wait for others to share a message with [default: 1s with
    /// --batch, else as the mode says]
    #[arg(long, value_name = "TIME", value_parser = tool::parse_duration)]
    batch_time: Option<i64>,

    /// Spread the messages of a block over this share of its time, as receivers' buffers
    /// overflow otherwise; 0 sends at once [default: as the mode says]
    #[arg(long, value_name = "SHARE", value_parser = tool::parse_share)]
    pace: Option<f64>,

    /// Bytes of a datagram at most, without the headers of UDP [default: what the route
    /// takes, 1472 on Ethernet, and never over 8192]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(64..=LONGEST as i64))]
    mtu: Option<u32>,

    /// What to send for NaN
    #[arg(long, value_enum, default_value_t = Nan::Pass)]
    nan: Nan,

    /// Send events too: /event LABEL VALUE
    #[arg(long)]
    events: bool,

    /// Send what is missing too: /gap STREAM FIRST COUNT
    #[arg(long)]
    gaps: bool,

    /// Send pictures and bytes too, as blobs: ADDRESS/bytes
    #[arg(long)]
    blobs: bool,

    /// Stop if nobody listens
    #[arg(long)]
    require_receiver: bool,
}

/// What the page tells of the bytes.
fn manual() -> String {
    format!("{EXAMPLES}\n\n{}", include_str!("manual.txt").trim_end())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Numbers {
    /// float32, little-endian
    F32,
    /// int16, little-endian, each to be multiplied by the message's scale
    I16,
}

fn main() -> ExitCode {
    tool::sink::<ToOsc>()
}

struct ToOsc {
    manner: Manner,
    with: notes::Wanted,
    sender: Sender,
    timeline: Timeline,
    /// Streams of numbers; `None` where a stream is none.
    tracks: BTreeMap<Key, Option<Track>>,
    voice: Voice,
    /// What was said once of a kind of stream.
    said: Vec<&'static str>,
    /// Samples that came before their description.
    undescribed: u64,
    clipped: u64,
}

impl Sink for ToOsc {
    type Args = Args;

    const QUEUES: bool = true;

    fn plan(args: &Args, plan: &mut Plan) -> Result<()> {
        let preset = args.mode.preset();
        let queue = *plan.queue.get_or_insert(preset.queue);
        plan.memory = plan.memory.saturating_add(2 * queue);
        if plan.overload.is_empty() {
            plan.overload = preset.overflow.of("the stage before waits").into();
        }
        notes::plan(args, plan);
        Ok(())
    }

    fn open(args: Args) -> Result<ToOsc> {
        let values = match (args.layout, args.values) {
            (_, Numbers::F32) if args.scale.is_some() => {
                return Err(Usage("--scale is for --values i16".into()).into());
            }
            (_, Numbers::F32) => Values::Float,
            (Layout::Blob, Numbers::I16) => Values::Short { scale: args.scale },
            _ => return Err(Usage("--values i16 is for --layout blob".into()).into()),
        };
        if args.layout == Layout::Individual && !args.channel_address.names_channel() {
            let template = &args.channel_address;
            let hint = format!("{template}: all channels would share it; add {{index}}");
            return Err(Usage(hint).into());
        }
        let preset = args.mode.preset();
        let pace = args.pace.unwrap_or(preset.pace);
        let sender =
            Sender::open(&args.destination, args.framing, pace, args.require_receiver)?;
        let sequence = !args.no_sequence && (args.sequence || args.layout.scales());
        let by_mode = if args.batch.is_some() {
            libframe::clock::SECOND
        } else {
            preset.batch_time
        };
        let manner = Manner {
            style: Style { layout: args.layout, sequence, values },
            address: args.address,
            channel_address: args.channel_address,
            group: args.group.map(|n| n as usize),
            batch: args.batch.map(|n| n as usize),
            batch_time: args.batch_time.unwrap_or(by_mode),
            nan: args.nan,
            limit: args.mtu.map_or_else(|| sender.usual_length(), |mtu| mtu as usize),
        };
        Ok(ToOsc {
            manner,
            with: notes::Wanted {
                events: args.events,
                gaps: args.gaps,
                blobs: args.blobs,
            },
            sender,
            timeline: Timeline::default(),
            tracks: BTreeMap::new(),
            voice: Voice::default(),
            said: Vec::new(),
            undescribed: 0,
            clipped: 0,
        })
    }

    fn usual_room(args: &Args) -> (u64, Overflow) {
        let preset = args.mode.preset();
        (preset.queue, preset.overflow)
    }

    fn voice(&mut self, voice: Voice) {
        self.sender.set_voice(voice.clone());
        self.voice = voice;
    }

    fn room(&mut self, room: Room, gauge: Gauge) {
        self.sender.set_room(room, gauge);
    }

    fn record(&mut self, record: Record<'_>, catalog: &Catalog) -> Result<()> {
        let key = (record.header.session, record.header.stream);
        match record.header.kind {
            Kind::DATA | Kind::BATCH => self.samples(key, &record, catalog),
            Kind::STREAM => self.describe(key, &record, catalog),
            Kind::SESSION | Kind::CLOCK => {
                self.timeline.learn(&record);
                Ok(())
            }
            Kind::GAP => {
                self.flush_track(key)?;
                self.with.gap(key, &record, catalog, &mut self.sender)
            }
            Kind::EVENT => self.with.event(key, &record, &mut self.sender),
            _ => Ok(()),
        }
    }

    fn deadline(&self) -> Option<i64> {
        let tracks = self.tracks.values().flatten();
        let oldest = tracks.filter_map(|track| track.deadline(&self.manner)).min();
        [oldest, self.sender.deadline()].into_iter().flatten().min()
    }

    fn tick(&mut self, now: i64) -> Result<()> {
        let due =
            |track: &Track| track.deadline(&self.manner).is_some_and(|due| due <= now);
        let tracks = self.tracks.iter();
        let old = tracks.filter(|(_, track)| track.as_ref().is_some_and(due));
        let old: Vec<Key> = old.map(|(key, _)| *key).collect();
        old.into_iter().try_for_each(|key| self.flush_track(key))?;
        self.sender.pump()
    }

    fn flush(&mut self) -> Result<()> {
        self.sender.pump()
    }

    fn end(&mut self, ended: &Ended<'_>) -> Result<()> {
        let of_session =
            self.tracks.keys().filter(|(session, _)| *session == ended.session);
        let keys: Vec<Key> = of_session.copied().collect();
        for key in keys {
            self.flush_track(key)?;
            self.forget_track(key);
        }
        self.timeline.forget(ended.session);
        Ok(())
    }

    fn close(&mut self, _account: &Account) -> Result<()> {
        self.sender.drain()?;
        if self.clipped > 0 {
            let n = self.clipped;
            self.voice
                .tell(&format!("{n} numbers were too large for --scale and cut off"));
        }
        self.sender.tell_totals();
        Ok(())
    }

    fn losses(&self) -> Vec<(String, Loss)> {
        self.sender.losses(self.voice.name())
    }

    fn objections(&self) -> Vec<String> {
        let n = self.undescribed;
        let text = format!("{n} samples came before their stream's description");
        if n > 0 { vec![text] } else { Vec::new() }
    }
}

impl ToOsc {
    fn samples(
        &mut self,
        key: Key,
        record: &Record<'_>,
        catalog: &Catalog,
    ) -> Result<()> {
        let Some(stream) = catalog.of(record) else {
            self.undescribed += record.samples();
            return Ok(());
        };
        if !self.tracks.contains_key(&key) {
            let track = match Track::new(stream, &self.manner).transpose() {
                Ok(track) => track,
                Err(why) => return Err(Usage(why).into()),
            };
            if track.is_some() {
                self.check_address();
                self.sender.name(key, &stream.name);
            }
            self.tracks.insert(key, track);
        }
        let Ok(samples) = Samples::parse(record, catalog.is_fixed(record)) else {
            return Ok(());
        };
        let Some(Some(track)) = self.tracks.get_mut(&key) else {
            let address = self.manner.address.of_stream(&stream.name);
            let is_said = self.with.others(
                key,
                stream.media,
                &samples,
                &address,
                self.manner.limit,
                &mut self.sender,
            )?;
            if !is_said {
                self.say_once(stream.media, &stream.name);
            }
            return Ok(());
        };
        let now = self.sender.clock().now();
        let mut block = self.sender.block(key);
        let tag = |time| notes::time_tag(self.timeline.realtime(key.0, key.1, time));
        let mut way = Way { manner: &self.manner, tag, out: &mut block };
        track.take(&samples, now, &mut way);
        block.end(|samples| track.duration(samples))
    }

    /// A description changed: what came before is sent as it was.
    fn describe(
        &mut self,
        key: Key,
        record: &Record<'_>,
        catalog: &Catalog,
    ) -> Result<()> {
        let Some(Some(track)) = self.tracks.get(&key) else { return Ok(()) };
        let changed = catalog.of(record).is_some_and(|stream| !track.is_of(stream));
        if changed {
            self.flush_track(key)?;
            self.forget_track(key);
        }
        Ok(())
    }

    fn flush_track(&mut self, key: Key) -> Result<()> {
        let Some(Some(track)) = self.tracks.get_mut(&key) else { return Ok(()) };
        let mut block = self.sender.block(key);
        let tag = |time| notes::time_tag(self.timeline.realtime(key.0, key.1, time));
        track.flush(&mut Way { manner: &self.manner, tag, out: &mut block });
        block.end(|_| 0)
    }

    fn forget_track(&mut self, key: Key) {
        let clipped = self.tracks.remove(&key).flatten().map_or(0, |track| track.clipped);
        self.clipped += clipped;
    }

    /// Says that two streams go to one address, as receivers could not tell them apart.
    fn check_address(&mut self) {
        let template = match self.manner.style.layout {
            Layout::Individual => &self.manner.channel_address,
            _ => &self.manner.address,
        };
        let others = self.tracks.values().flatten().count();
        if others == 1 && !template.names_stream() {
            self.voice.tell(&format!(
                "several streams go to {template}; tell them apart with '{{stream}}' in it"
            ));
        }
    }

    fn say_once(&mut self, media: Media, name: &str) {
        if !self.said.contains(&media.name()) {
            self.said.push(media.name());
            let media = media.name();
            self.voice
                .detail(&format!("{name}: streams of {media} are not sent; see --blobs"));
        }
    }
}

fn parse_scale(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(scale) if scale > 0.0 && f32::is_finite(scale) => Ok(scale),
        _ => Err(format!("{text:?} is no scale; say 0.195")),
    }
}
