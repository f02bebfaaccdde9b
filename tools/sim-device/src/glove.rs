//! A pressure-sensing glove at a serial port.

mod hand;
mod line;
mod packet;
mod port;
mod recording;
mod touch;

use std::path::PathBuf;

use anyhow::Result;
use libframe::clock::SECOND;
use libframe::tool::{Device, parse_rate_in, parse_share};

use self::hand::Hand;
use self::line::Line;
use self::packet::{ON_WIRE, Packet, Place, Side};
use self::port::Port;
use self::recording::Recording;
use self::touch::Touch;
use crate::pause::Pause;
use crate::truth::Truth;

/// What a byte takes at 921600 baud, with its start and stop bits.
const NS_PER_BYTE: f64 = 1e10 / 921_600.0;
/// Bytes that a line must carry for each frame a second at least; one that a rate asks too
/// much of is a faster one.
const LEAST: f64 = ON_WIRE as f64 * 1.2;
/// Bytes that may come late at once, as from the buffer of an adapter.
const AT_ONCE: f64 = 2048.0;
/// How long a client may take for what it has not read when all is sent.
const PATIENCE: i64 = 2 * SECOND;
/// The same when the plug is pulled, which nobody announces.
const REFLEX: i64 = SECOND / 10;
/// How often to look whether a client has come.
const LOOK: i64 = SECOND / 500;

/// A glove with 137 pressure points and an orientation, at a pseudo-terminal.
///
/// What nobody reads in time is lost, as on a real line: there is no flow control, and the
/// kernel's buffer holds about a quarter of a second. SIGINT and SIGTERM pull the plug; the
/// end of --count, --duration or --replay lets the client read the rest first.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Keep a symbolic link to the pseudo-terminal here while it exists
    #[arg(long, value_name = "PATH")]
    link: Option<PathBuf>,

    /// Frames a second; a real line carries 324 at most
    #[arg(long, value_name = "HZ", default_value_t = 217.0, value_parser = parse_rate_in(1e-3..=1e5))]
    rate: f64,

    /// What the sensors are on: the packets' type byte, also as a number from 1 to 6
    #[arg(long, value_enum, default_value_t = Side::Left)]
    side: Side,

    /// Other movements and faults for another seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Begin in the middle of a packet whenever a client opens the port
    #[arg(long)]
    start_mid_packet: bool,

    /// Flip a bit in this share of the bytes, like 0.1%
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share)]
    noise: f64,

    /// Lose this share of the bytes
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share)]
    lose: f64,

    /// Fall silent for LEN at the end of every EVERY, like 5s/60s
    #[arg(long, value_name = "LEN/EVERY", value_parser = Pause::parse)]
    sleep: Option<Pause>,

    /// Disappear for so long, and come back as another pseudo-terminal, with the same link
    #[arg(long, value_name = "LEN/EVERY", value_parser = Pause::parse)]
    unplug: Option<Pause>,

    /// Send these recorded bytes instead, as fast as a real line carries them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rate", "side"])]
    replay: Option<PathBuf>,

    /// Begin when a client opens the port, so that it misses nothing
    #[arg(long)]
    wait_for_client: bool,

    /// Tell in this new file, as NDJSON, when each frame went out and whether it was lost:
    /// not every byte of it arrived as it was
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
}

/// Plays a glove until the runtime, the count or the recording says stop.
pub(crate) fn run(args: Args, device: &mut Device) -> Result<()> {
    let mut glove = Glove::open(&args)?;
    glove.plug_in(device)?;
    if !args.wait_for_client || glove.wait_for_client(device)? {
        glove.play(device)?;
    }
    if !device.is_interrupted() {
        glove.port.drain(device.clock(), PATIENCE)?;
    }
    let (frames, (bytes, lost)) = (glove.frames, glove.line.totals());
    device.tell(&format!("{frames} frames, {bytes} bytes sent, {lost} bytes lost"));
    Ok(())
}

struct Glove {
    origin: Origin,
    port: Port,
    line: Line,
    truth: Option<Truth>,
    sleep: Option<Pause>,
    unplug: Option<Pause>,
    /// Frames that went out, lost or not.
    frames: u64,
    /// Whether all of the frame arrived so far.
    whole: bool,
    /// ns that the line takes for a byte.
    per_byte: f64,
    /// When the line has carried what was sent.
    free: i64,
}

/// Where the packets come from.
enum Origin {
    Hand(Hand),
    Recording(Recording),
}

impl Origin {
    fn next(&mut self) -> Result<Option<Packet>> {
        match self {
            Origin::Hand(hand) => Ok(Some(hand.next())),
            Origin::Recording(recording) => recording.next(),
        }
    }
}

impl Glove {
    fn open(args: &Args) -> Result<Glove> {
        let touch = Touch { side: args.side, seed: args.seed };
        let origin = match &args.replay {
            Some(path) => Origin::Recording(Recording::open(path)?),
            None => Origin::Hand(Hand::new(touch, args.rate)),
        };
        Ok(Glove {
            origin,
            port: Port::new(args.link.clone()),
            line: Line::new(args.noise, args.lose, args.start_mid_packet, args.seed),
            truth: args.truth.as_deref().map(Truth::create).transpose()?,
            sleep: args.sleep,
            unplug: args.unplug,
            frames: 0,
            whole: true,
            per_byte: NS_PER_BYTE.min(SECOND as f64 / (args.rate * LEAST)),
            free: 0,
        })
    }

    fn plug_in(&mut self, device: &mut Device) -> Result<()> {
        let path = self.port.plug_in()?;
        device.print(&path.display().to_string())
    }

    /// Whether one came before the end.
    fn wait_for_client(&self, device: &Device) -> Result<bool> {
        while !self.port.has_client()? {
            if !device.wait(device.clock().now() + LOOK)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends each packet at its time. A pause makes all that follows later by its length:
    /// a device that sleeps or is off makes no frames.
    fn play(&mut self, device: &mut Device) -> Result<()> {
        let begun = device.clock().now();
        let mut late = 0;
        while device.count().is_none_or(|count| self.frames < count) {
            let Some(packet) = self.origin.next()? else { break };
            if packet.place == Place::First {
                late += self.pause(packet.at + late, device)?;
            }
            if !device.wait(self.free.max(begun + packet.at + late))? {
                break;
            }
            if !self.port.is_plugged_in() {
                self.plug_in(device)?;
            }
            self.send(&packet, device)?;
        }
        Ok(())
    }

    /// How much later a frame comes that is due so long after the start, because the glove
    /// sleeps or is unplugged then. Its packets' times do the rest.
    fn pause(&mut self, at: i64, device: &Device) -> Result<i64> {
        if let Some(end) = self.unplug.and_then(|pause| pause.end(at)) {
            self.port.drain(device.clock(), REFLEX)?;
            self.port.unplug();
            return Ok(end - at);
        }
        let end = self.sleep.and_then(|pause| pause.end(at));
        Ok(end.map_or(0, |end| end - at))
    }

    fn send(&mut self, packet: &Packet, device: &Device) -> Result<()> {
        let arrived = self.line.send(&packet.bytes, &mut self.port)?;
        let sent = device.clock().now();
        // What comes late, since the machine had no time for us, cannot come at once: a
        // line carries byte after byte, and so much at a time fits no pseudo-terminal.
        // A little of it may, or each wake-up's delay would slow it down.
        let through = self.free + (packet.bytes.len() as f64 * self.per_byte) as i64;
        self.free = through.max(sent - (AT_ONCE * self.per_byte) as i64);
        self.whole = arrived && (self.whole || packet.place != Place::Last);
        if packet.place != Place::Last {
            return Ok(());
        }
        match self.whole {
            true => device.sent(1, ON_WIRE),
            false => device.lost(1),
        }
        if let Some(truth) = &mut self.truth {
            let (frame, lost) = (self.frames, !self.whole);
            truth.tell(format_args!(
                "{{\"frame\":{frame},\"sent_ns\":{sent},\"lost\":{lost}}}"
            ))?;
        }
        self.frames += 1;
        Ok(())
    }
}
