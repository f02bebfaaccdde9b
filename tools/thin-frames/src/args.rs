//! The command line.

use anyhow::Result;
use clap::{ArgGroup, Parser};
use libframe::tool::{self, Thinning, Usage, parse_rate};

use crate::controller::Rule;
use crate::plan::Method;
use crate::resample::{self, Partial, Shape, Target, Wish};

const EXAMPLES: &str = "Examples:
  sim-src ephys --rate 30k -n 30000 | thin-frames --to 1kHz > lfp.frames
  sim-src ephys:channels=4 --rate 30k -n 30000 | thin-frames --to 500Hz --method minmax | to-text
  sim-src glove --duration 1s | thin-frames --rate 30 | to-text
  sim-src glove camera -n 300 --rate max | thin-frames -s camera --every 10 > thinned.frames
  sim-src glove --duration 1s | thin-frames --newest | to-text
  sim-src camera --duration 1s | thin-frames --adapt --floor 5 --ceiling 30 | inspect-frames";

/// The most that single precision gives, with a margin for what is summed up in it.
const STOP_BANDS: std::ops::RangeInclusive<f64> = 20.0..=120.0;
/// From here on a filter is so long that it is no use.
const PASS_BANDS: std::ops::RangeInclusive<f64> = 0.1..=0.98;

/// Pass on fewer samples, as many as are wanted or as the reader can take.
///
/// --rate and --every choose by capture time and by number. --newest keeps one sample of
/// each stream, the newest, while the reader of stdout has not read the one before: for
/// displays. --adapt sets a stream's rate by how many of its samples wait unread, here and in
/// the pipe to the next stage; what that one has read already cannot be seen, so put this
/// tool right in front of the slow one. Changes of the rate are EVENTs called rate.
///
/// --to and --factor make each sample of all that it stands for. The default is a filter, so
/// that nothing of a signal turns up where it was not: up to 80% of the new Nyquist frequency
/// nothing changes, from that frequency on everything is at least 80 dB weaker, and its delay
/// is taken off the times. It needs to see what comes next, 25 samples of the new rate (25 ms
/// at 1 kHz), so samples come out by that much later than events. average is the mean of a
/// window: quicker and cheaper, but it lets some of what lies above through. minmax shows each
/// spike in a plot: of two windows the least and the greatest number of each channel, as two
/// samples in the order in which they came. rms is a signal's strength, offset included.
/// decimate keeps the first sample of each window as it is. Means are f32, or f64 where f32
/// could not hold the numbers.
///
/// Sample k stands for the samples kM to (k+1)M by the input's own numbers, also after a gap
/// and for who joins late. The filter's is centred on the sample kM and has its time; others
/// have the mean time of their window. Where the ratio is odd, windows alternate in length and
/// never drift. If one of the samples that it needs is missing, so is sample k, and is a GAP;
/// where only a channel is missing (NaN), only that channel becomes NaN. The first and last of a
/// stream, for which there is nothing on one side, are left out and are no loss; --partial use
/// makes all of what there is. Where a description changes to other channels, it is as between
/// two streams, but those left out are a GAP. Streams that have no more samples than that pass
/// as they are. So do streams without a rate (with --to), and those that are not of numbers of
/// one type, unless --stream chose them: then that is an error.
///
/// What is left out is not lost: the samples that are passed on are numbered anew. What was
/// missing before is told as a GAP in its place, of unknown length except with --every, --to
/// and --factor.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES,
          group = ArgGroup::new("how").required(true).multiple(true),
          group = ArgGroup::new("fewer").args(["to", "factor"]))]
pub(crate) struct Args {
    /// Thin streams of this name, pattern or number, and pass the others whole; may be
    /// repeated [default: all]
    #[arg(long, short = 's', value_name = "NAME")]
    pub(crate) stream: Vec<String>,

    /// At most so many samples a second of each stream, evenly spaced
    #[arg(long, value_name = "HZ", group = "how", value_parser = parse_rate)]
    pub(crate) rate: Option<f64>,

    /// Keep one sample of N
    #[arg(long, value_name = "N", group = "how", conflicts_with = "rate",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) every: Option<u64>,

    /// Only the newest of each stream, when the reader has read what was before
    #[arg(long, group = "how")]
    pub(crate) newest: bool,

    /// As many a second as the reader can take
    #[arg(long, group = "how", conflicts_with_all = ["rate", "every", "newest"])]
    adapt: bool,

    /// So many samples a second, like 1kHz, 250Hz or 1000, each made of all it stands for
    #[arg(long, value_name = "RATE", group = "how", value_parser = parse_rate,
          conflicts_with_all = ["rate", "every", "newest", "adapt"])]
    to: Option<f64>,

    /// One sample for N, made of all it stands for
    #[arg(long, value_name = "N", group = "how",
          conflicts_with_all = ["rate", "every", "newest", "adapt", "to"],
          value_parser = clap::value_parser!(u64).range(1..1 << 30))]
    factor: Option<u64>,

    /// What --to and --factor make of the samples that one stands for [default: filter]
    #[arg(long, value_enum, value_name = "METHOD", requires = "fewer")]
    method: Option<resample::Method>,

    /// What becomes of a sample if some that it needs are missing [default: drop]
    #[arg(long, value_enum, value_name = "WHAT", requires = "fewer")]
    partial: Option<Partial>,

    /// How much weaker the filter makes what lies above the new Nyquist frequency, dB
    /// [default: 80]
    #[arg(long, value_name = "DB", requires = "fewer")]
    stop_band: Option<f64>,

    /// Up to which share of the new Nyquist frequency the filter changes nothing
    /// [default: 80%]
    #[arg(long, value_name = "SHARE", requires = "fewer", value_parser = tool::parse_share)]
    pass_band: Option<f64>,

    /// The least a second with --adapt
    #[arg(long, value_name = "HZ", default_value = "5", value_parser = parse_rate)]
    floor: f64,

    /// The most a second with --adapt
    #[arg(long, value_name = "HZ", default_value = "30", value_parser = parse_rate)]
    ceiling: f64,

    /// How much of the rate a step down of --adapt takes away
    #[arg(long, value_name = "SHARE", default_value = "25%", value_parser = tool::parse_share)]
    cut: f64,

    /// How much a step up of --adapt adds
    #[arg(long, value_name = "HZ", default_value = "1", value_parser = parse_rate)]
    raise: f64,

    /// Step down when so many samples of the stream wait
    #[arg(long, value_name = "N", default_value = "8")]
    high: u64,

    /// Step up when at most so many wait
    #[arg(long, value_name = "N", default_value = "2")]
    low: u64,

    /// Time from one step of --adapt to the next
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = tool::parse_duration)]
    cooldown: i64,
}

impl Args {
    /// How streams are to be thinned.
    pub(crate) fn method(&self) -> Result<Method> {
        if self.floor > self.ceiling || self.low >= self.high {
            let hint =
                "--floor must not be over --ceiling, and --low must be below --high";
            return Err(Usage(hint.into()).into());
        }
        if let Some(target) = self.target() {
            return Ok(Method::Resample(self.wish(target)?));
        }
        let Args { floor, ceiling, cut, raise, high, low, cooldown, .. } = *self;
        let rule = Rule { floor, ceiling, cut, raise, high, low, cooldown };
        Ok(match (self.rate, self.every) {
            _ if self.adapt => Method::Adaptive(rule),
            (Some(rate), _) => Method::Rate(rate),
            (None, every) => Method::Every(Thinning(every.unwrap_or(1))),
        })
    }

    fn target(&self) -> Option<Target> {
        self.to.map(Target::Rate).or(self.factor.map(Target::Factor))
    }

    fn wish(&self, target: Target) -> Result<Wish> {
        let method = self.method.unwrap_or(resample::Method::Filter);
        let mut shape = Shape::default();
        shape.stop = self.stop_band.unwrap_or(shape.stop);
        shape.pass = self.pass_band.unwrap_or(shape.pass);
        let filters = method == resample::Method::Filter;
        let what = match () {
            () if self.stop_band.is_some() && !filters => "--stop-band is for the filter",
            () if self.pass_band.is_some() && !filters => "--pass-band is for the filter",
            () if self.partial.is_some() && method == resample::Method::Decimate => {
                "--partial says nothing of --method decimate, which needs one sample only"
            }
            () if !STOP_BANDS.contains(&shape.stop) => "--stop-band is from 20 to 120 dB",
            () if !PASS_BANDS.contains(&shape.pass) => "--pass-band is from 10% to 98%",
            () => {
                let partial = self.partial.unwrap_or(Partial::Drop);
                return Ok(Wish { target, method, partial, shape });
            }
        };
        Err(Usage(what.into()).into())
    }
}
