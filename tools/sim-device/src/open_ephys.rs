//! The Open Ephys GUI with its ZMQ Interface plugin.

mod chronicle;
mod electrode;
mod generation;
mod heartbeat;
mod juce;
mod message;
mod pace;
mod plugin;
mod ports;
mod rig;
mod schedule;
mod selection;
mod signal;
mod source;
mod timetable;

use std::path::PathBuf;

use anyhow::Result;
use libframe::tool::{Device, Usage, parse_duration, parse_rate_in, parse_share};
use libframe_zmtp::HighWater;

use self::chronicle::Chronicle;
use self::generation::Generation;
use self::heartbeat::Clients;
use self::message::Origin;
use self::pace::{Speed, WallClock};
use self::plugin::{Faults, Plugin};
use self::ports::Place;
use self::rig::{Presence, Rig, Totals};
use self::schedule::Schedule;
use self::selection::{BlockSize, Channels, RATES, StreamSpec};
use self::signal::{Signal, Values};
use self::source::Source;
use self::timetable::Timetable;
use crate::pause::Pause;
use crate::truth::Truth;

/// What the GUI calls the stream of an acquisition board.
const STREAM: &str = "Rhythm Data";

/// The uses of random numbers; streams are added.
const EVENTS: u64 = 700;
const SPIKES: u64 = 800;

/// An Open Ephys GUI whose ZMQ Interface plugin publishes continuous data, events and spikes.
///
/// A block is published when its last sample would exist: events and spikes first, then one
/// message per channel, byte for byte what the plugin sends. Its answers to heartbeats are at
/// the next port. A pair of ports that is taken moves by 2, as the plugin's; stdout tells the
/// endpoint, again whenever it changes. What a subscriber does not take in time is dropped
/// for it, as the plugin does, but counted.
///
/// A client can check each value: with --values counter, that of channel C (from 0, as
/// "channel_num") in sample N (as "sample_num") of stream S (from 0, as given) is 1024 * (N
/// mod 16384) + (C + 256 * S) mod 1024, exactly. The waveform of a spike is what its channels
/// show from 8 samples before "sample_num" on; with --values wave a spike is added there.
///
/// --truth has a line for each "begin" of an acquisition, "block", "event", "spike", change of
/// "channels", "vanish", "return" and the "end". Times are ns of CLOCK_MONOTONIC; that of a
/// block is just before its first message. "lost" in a block lists channels whose message was
/// not sent; "sent" is false while the ports are closed. "dropped" at the end is what slow
/// subscribers did not get.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Publish at this port, and answer heartbeats at the next; 0 for any that are free
    #[arg(long, value_name = "PORT", default_value_t = 5556)]
    port: u16,

    /// Listen at this address; * for all, so that other machines can connect
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    bind: String,

    /// What the messages look like: those of this version of the plugin
    #[arg(long, value_enum, default_value_t = Generation::Current, value_name = "VERSION")]
    generation: Generation,

    /// How many channels, or which: 32, or 4,6,8-15
    #[arg(long, value_name = "CHANNELS", default_value = "32", value_parser = Channels::parse)]
    channels: Channels,

    /// Samples a second
    #[arg(long, value_name = "HZ", default_value = "30000", value_parser = parse_rate_in(RATES))]
    rate: f64,

    /// Samples in a block: 480, or anything from 100-1000
    #[arg(long, value_name = "SAMPLES", default_value = "480", value_parser = BlockSize::parse)]
    block: BlockSize,

    /// A stream with what it has of its own, like LFP:channels=0-383,rate=2500,block=40; "label"
    /// is what its channels' names begin with; may be repeated [default: one, "Rhythm Data"]
    #[arg(long = "stream", value_name = "NAME[:KEY=VALUE,...]", value_parser = StreamSpec::parse)]
    streams: Vec<StreamSpec>,

    /// What channels show
    #[arg(long, value_enum, default_value_t = Values::Counter, value_name = "VALUES")]
    values: Values,

    /// Events of digital lines a second: eight lines in turn, each on and then off
    #[arg(long, value_name = "HZ", default_value_t = 0.0, value_parser = parse_hz)]
    events: f64,

    /// This share of them without data, in two parts
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share)]
    bare_events: f64,

    /// Spikes a second: of electrodes of one, two and four channels
    #[arg(long, value_name = "HZ", default_value_t = 0.0, value_parser = parse_hz)]
    spikes: f64,

    /// Lose this share of messages: they take a number and are not sent
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share)]
    lose: f64,

    /// Skip a number before this share of messages, though nothing is lost: the plugin does so
    /// when it finds nothing to send
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 0.0,
        num_args = 0..=1,
        default_missing_value = "1%",
        value_parser = parse_share
    )]
    quirk: f64,

    /// Stop acquisition for LEN at the end of every EVERY, like 1s/10s, and begin anew: samples
    /// and, from 0.3.0 on, messages are counted from the start again
    #[arg(long, value_name = "LEN/EVERY", value_parser = Pause::parse)]
    restart: Option<Pause>,

    /// Close the ports for so long; acquisition and its numbers go on meanwhile
    #[arg(long, value_name = "LEN/EVERY", value_parser = Pause::parse)]
    vanish: Option<Pause>,

    /// Come back at the next pair of ports
    #[arg(long = "move", requires = "vanish")]
    moves: bool,

    /// From this time on have other channels, like 2s:0-15; may be repeated
    #[arg(long, value_name = "TIME:CHANNELS", value_parser = parse_change)]
    change_channels: Vec<(i64, Channels)>,

    /// Let time pass so many times as fast, or "max": as fast as blocks can be made
    #[arg(long, value_name = "TIMES", default_value = "1", value_parser = Speed::parse)]
    speed: Speed,

    /// Messages that may wait for a subscriber before more are dropped for it; 0 for as many
    /// as fit into 64 MiB
    #[arg(long, value_name = "MESSAGES", default_value_t = 1000)]
    hwm: u64,

    /// Wait for slow subscribers instead, which no plugin does: for what must not lose more
    /// than it is told to at any speed
    #[arg(long)]
    patient: bool,

    /// Begin when a client subscribes, so that it misses nothing
    #[arg(long)]
    wait_for_client: bool,

    /// Other faults, times and noise for another seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Tell in this new file, as NDJSON, when each block, event and spike was published, and
    /// what was lost of it
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
}

/// Plays the GUI until the runtime or the count says stop.
pub(crate) fn run(args: Args, device: &mut Device) -> Result<()> {
    check(&args)?;
    let mut rig = rig(&args, device)?;
    if let Some(ports) = &rig.presence.ports {
        device.print(&ports.endpoint())?;
    }
    if args.wait_for_client && !rig.wait_for_client(device)? {
        return Ok(());
    }
    rig.play(device)
}

fn check(args: &Args) -> Result<()> {
    if args.generation < Generation::Interim && args.streams.len() > 1 {
        return Err(Usage(
            "--generation 0.2.0 knows no streams; give one at most".into(),
        )
        .into());
    }
    if args.speed == Speed::Max && args.vanish.is_some() {
        return Err(Usage(
            "--vanish takes time, of which --speed max leaves none".into(),
        )
        .into());
    }
    Ok(())
}

fn rig(args: &Args, device: &Device) -> Result<Rig> {
    let one = [StreamSpec { name: STREAM.into(), ..StreamSpec::default() }];
    let specs = if args.streams.is_empty() { &one[..] } else { &args.streams };
    let rate = |spec: &StreamSpec| spec.rate.unwrap_or(args.rate);
    let courses = specs.iter().map(|spec| (rate(spec), spec.block.unwrap_or(args.block)));
    let schedule = Schedule::new(courses, device.count(), args.restart, args.seed);
    let sources = specs.iter().enumerate().map(|(index, spec)| source(args, index, spec));
    let faults = Faults {
        lose: args.lose,
        skip: args.quirk,
        bare: args.bare_events,
        seed: args.seed,
    };
    let chronicle = Chronicle(args.truth.as_deref().map(Truth::create).transpose()?);
    let mut changes = args.change_channels.clone();
    changes.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let high = HighWater { messages: args.hwm, ..HighWater::default() };
    let (host, port, patient) = (args.bind.clone(), args.port, args.patient);
    let mut place = Place { host, port, high, patient };
    let ports = Some(place.open()?);
    Ok(Rig {
        schedule,
        plugin: Plugin::new(args.generation, sources.collect(), faults),
        speed: args.speed,
        presence: Presence {
            place,
            since: 0,
            ports,
            vanish: args.vanish,
            moves: args.moves,
            dropped: 0,
            subscribers: 0,
        },
        changes,
        chronicle,
        clients: Clients::default(),
        wall: WallClock::new(),
        begun: 0,
        totals: Totals::default(),
    })
}

fn source(args: &Args, index: usize, spec: &StreamSpec) -> Source {
    let rate = spec.rate.unwrap_or(args.rate);
    let origin = Origin {
        generation: args.generation,
        stream: spec.name.clone(),
        id: index as i64 + 1,
        rate,
    };
    let channels = spec.channels.as_ref().unwrap_or(&args.channels);
    let label = spec.label.as_deref().unwrap_or("CH").to_owned();
    let signal = Signal::new(args.values, index, rate, args.seed);
    let times = |hz, what| Timetable::new(hz, rate, args.seed, what + index as u64);
    let tables = [times(args.events, EVENTS), times(args.spikes, SPIKES)];
    let longest = spec.block.unwrap_or(args.block).most;
    Source::new(origin, &channels.0, label, signal, tables, longest)
}

fn parse_hz(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(hz) if (0.0..=1e6).contains(&hz) => Ok(hz),
        _ => Err(format!("{text:?} is not so many a second; say 10, or 0.5")),
    }
}

fn parse_change(text: &str) -> Result<(i64, Channels), String> {
    let hint = || format!("{text:?} is no change; say 2s:0-15");
    let (time, channels) = text.split_once(':').ok_or_else(hint)?;
    Ok((parse_duration(time)?, Channels::parse(channels)?))
}
