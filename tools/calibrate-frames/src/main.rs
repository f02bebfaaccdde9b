//! Turn raw numbers into physical units.

mod curve;
mod gains;
mod scale;
mod tare;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{ArgGroup, Parser};
use globset::{Glob, GlobMatcher};
use libframe::batch::{Builder, Sample, Samples};
use libframe::catalog::Catalog;
use libframe::payload::Payload as _;
use libframe::schema::{Dtype, Media, Stream};
use libframe::tool::{self, Account, Ended, Filter, Output, Usage};
use libframe::wire::{Header, Kind, Record};
use libframe_sensors::SensorMap;

use crate::curve::{BUILT_IN, Curve};
use crate::gains::{Gain, Gains};
use crate::scale::{Choice, Recipe, Scale, ids};
use crate::tare::Tare;

/// What comes of a long batch is sent in several, so that memory does not depend on it.
const MAX_BATCH: usize = 1 << 20;
/// A sample that comes out longer would be refused by whoever reads it.
const MAX_SAMPLE: usize = 16 << 20;

const EXAMPLES: &str = "Examples:
  sim-src glove -n 100 --rate max | calibrate-frames --map left --unit kPa --tare 100ms | to-text -f csv
  sim-src control -n 100 --rate max | calibrate-frames --gain 0.002 --offset -3 --unit rad | to-text -k data";

/// Turn raw numbers into physical units.
///
/// A value is what the curve makes of a number, times its sensor's gain and plus its offset
/// (--gains), times --gain and plus --offset, less its zero (--tare). Of a stream with
/// sensors, the sensors come out, in the order of their map, as float32 with their names,
/// regions and positions; numbers, times and everything else stay as they are. Of a glove
/// without a map, say --map or --all. Streams that are not calibrated pass untouched.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES,
          group = ArgGroup::new("what").required(true).multiple(true))]
struct Args {
    /// What values are in; kPa, mmHg and N/cm2 by the built-in curve of a JQ20-XL-11
    #[arg(long, value_name = "UNIT", group = "what")]
    unit: Option<String>,

    /// How numbers become values: C60510 (built in), none, or a CSV of numbers and values
    /// [default: C60510 for its units, else none]
    #[arg(long, value_name = "CURVE", group = "what")]
    curve: Option<String>,

    /// Multiply each value
    #[arg(long, value_name = "X", allow_negative_numbers = true, group = "what",
          value_parser = parse_number)]
    gain: Option<f64>,

    /// Add to each value
    #[arg(long, value_name = "X", allow_negative_numbers = true, group = "what",
          value_parser = parse_number)]
    offset: Option<f64>,

    /// Gains and offsets of single sensors, before --gain: a CSV of sensor, gain, offset
    #[arg(long, value_name = "FILE", group = "what")]
    gains: Option<PathBuf>,

    /// Take each sensor's mean over this time for zero; samples are held until it is over
    #[arg(long, value_name = "TIME", value_parser = tool::parse_duration, group = "what")]
    tare: Option<i64>,

    /// A reading of 0 means no contact: a value of 0, whatever the curve says
    #[arg(long)]
    zero_is_no_contact: bool,

    /// Calibrate streams of this name, pattern ('glove*') or number; may be repeated
    /// [default: with a curve, a map or gains those with sensors; else all numbers]
    #[arg(long, short = 's', value_name = "NAME")]
    stream: Vec<String>,

    /// Which sensors there are, if the stream does not say or is wrong: 'left', 'right', or
    /// a file in TOML or CSV
    #[arg(long, value_name = "MAP")]
    map: Option<String>,

    /// All numbers instead of the sensors
    #[arg(long)]
    all: bool,

    /// Four more channels for the quaternion of a glove
    #[arg(long)]
    quaternion: bool,
}

struct Calibrate {
    recipe: Recipe,
    wanted: Vec<(String, GlobMatcher)>,
    map: Option<(String, SensorMap)>,
    all: bool,
    quaternion: bool,
    tare: Option<i64>,
    /// Only streams that are about sensors are meant.
    tactile: bool,
    /// What was done, for the description.
    applied: String,
    plans: BTreeMap<(u32, u16), Plan>,
    builder: Builder,
    converted: Vec<u8>,
    /// Streams of numbers that came, and whether any was meant.
    passed: Option<String>,
    chosen: bool,
}

/// What is done with a stream.
struct Plan {
    /// Which description it is made from.
    description: u32,
    /// `None`: it passes.
    scale: Option<Scale>,
    out: Stream,
    tare: Option<Tare>,
}

fn main() -> ExitCode {
    tool::filter::<Calibrate>()
}

impl Filter for Calibrate {
    type Args = Args;

    fn open(args: Args) -> Result<Calibrate> {
        let applied = applied(&args);
        let curve = curve(&args)?;
        let gains =
            args.gains.as_deref().map(Gains::load).transpose().context("--gains")?;
        let map = args.map.map(|word| {
            let map = SensorMap::load(&word).context("--map")?;
            Ok::<_, anyhow::Error>((word, map))
        });
        let map = map.transpose()?;
        let linear = args.gain.is_some() || args.offset.is_some();
        let (gain, offset) = (args.gain.unwrap_or(1.0), args.offset.unwrap_or(0.0));
        Ok(Calibrate {
            tactile: curve.is_some() || map.is_some() || gains.is_some(),
            recipe: Recipe {
                unit: args.unit.unwrap_or_default(),
                curve,
                gains: gains.unwrap_or_default(),
                gain: linear.then_some(Gain { gain, offset }),
                zero_is_zero: args.zero_is_no_contact,
            },
            wanted: patterns(args.stream)?,
            map,
            all: args.all,
            quaternion: args.quaternion,
            tare: args.tare.filter(|length| *length > 0),
            applied,
            plans: BTreeMap::new(),
            builder: Builder::new(true),
            converted: Vec::new(),
            passed: None,
            chosen: false,
        })
    }

    fn record(
        &mut self,
        record: Record<'_>,
        catalog: &Catalog,
        out: &mut impl Output,
    ) -> Result<()> {
        let key = (record.header.session, record.header.stream);
        if record.header.kind == Kind::STREAM {
            return self.describe(record, catalog, out);
        }
        let Some(mut plan) = self.plans.remove(&key) else { return out.send(record) };
        let result = self.pass(&mut plan, record, out);
        self.plans.insert(key, plan);
        result
    }

    fn end(&mut self, ended: &Ended<'_>, out: &mut impl Output) -> Result<()> {
        let plans = std::mem::take(&mut self.plans);
        for (key, mut plan) in plans {
            if key.0 == ended.session {
                self.release(&mut plan, out)?;
            } else {
                self.plans.insert(key, plan);
            }
        }
        Ok(())
    }

    fn close(&mut self, _account: &Account) -> Result<()> {
        match &self.passed {
            Some(name) if !self.chosen => Err(Usage(format!(
                "nothing was calibrated: {name} has no sensors, or was not chosen; \
                 say --map and --stream"
            ))
            .into()),
            _ => Ok(()),
        }
    }
}

impl Calibrate {
    /// Decides what to do with a stream, and passes on what it is then.
    fn describe(
        &mut self,
        record: Record<'_>,
        catalog: &Catalog,
        out: &mut impl Output,
    ) -> Result<()> {
        let Some(stream) = catalog.of(&record) else { return out.send(record) };
        let key = (record.header.session, record.header.stream);
        let description = record.payload_crc();
        let known = self.plans.remove(&key);
        let mut plan = match known {
            Some(plan) if plan.description == description => plan,
            known => {
                if let Some(mut old) = known {
                    self.release(&mut old, out)?;
                }
                self.plan(stream, record.header.stream, description)?
            }
        };
        let result = match (&mut plan.tare, &plan.scale) {
            (Some(tare), _) if tare.is_waiting() => Ok(()),
            (Some(tare), _) => {
                tare.hold(&record);
                Ok(())
            }
            (None, Some(_)) => out.send(Record::new(record.header, &plan.out.to_bytes())),
            (None, None) => out.send(record),
        };
        self.plans.insert(key, plan);
        result
    }

    fn plan(&mut self, stream: &Stream, number: u16, description: u32) -> Result<Plan> {
        let pass = Plan { description, scale: None, out: Stream::default(), tare: None };
        let Some((dtype, choice)) = self.choose(stream, number)? else {
            if stream.media == Media::Samples {
                self.passed.get_or_insert_with(|| stream.name.clone());
            }
            return Ok(pass);
        };
        self.chosen = true;
        let quaternion = match self.quaternion {
            true => Some(quaternion(stream)?),
            false => None,
        };
        let known: Vec<_> = ids(&choice, stream).into_iter().flatten().collect();
        if let Some(id) = self.recipe.gains.stranger(&known) {
            let (file, name) = (&self.recipe.gains.name, &stream.name);
            return Err(Usage(format!("{file}: {name} has no sensor {id}")).into());
        }
        let (scale, mut out) = self.recipe.apply(stream, dtype, &choice, quaternion);
        if scale.width() * 4 > MAX_SAMPLE {
            bail!("{}: {} numbers are too many as float32", stream.name, scale.width());
        }
        if let Some((word, _)) = &self.map {
            out.meta.insert("map".into(), word.clone());
        }
        out.meta.insert("calibration".into(), self.applied.clone());
        let tare = self.tare.map(|length| Tare::new(length, scale.width()));
        Ok(Plan { description, scale: Some(scale), out, tare })
    }

    /// The numbers of a stream that are to be calibrated, and their type; `None` if it is to
    /// pass.
    fn choose(&self, stream: &Stream, number: u16) -> Result<Option<(Dtype, Choice)>> {
        let name = &stream.name;
        let named = self
            .wanted
            .iter()
            .any(|(word, glob)| glob.is_match(name) || word.parse() == Ok(number));
        let field = stream.fields.iter().find(|field| field.name == "pressure");
        let tactile = field.is_some() || !stream.sensors.is_empty();
        if !named && (!self.wanted.is_empty() || self.tactile && !tactile && !self.all) {
            return Ok(None);
        }
        let (Media::Samples, Some(dtype)) = (stream.media, stream.dtype) else {
            return match named {
                true => Err(Usage(format!("{name} has no numbers to calibrate")).into()),
                false => Ok(None),
            };
        };
        let built_in = self.recipe.curve.as_ref().is_some_and(|c| c.name == BUILT_IN);
        if built_in && dtype != Dtype::U8 {
            let hint = "the curve C60510 is for bytes; say --curve none or a file";
            return Err(Usage(format!("{name} is of {}: {hint}", dtype.name())).into());
        }
        let sensors = match &self.map {
            Some((word, map)) => {
                map.fits(stream.width())
                    .with_context(|| format!("{name}: --map {word}"))?;
                &map.sensors
            }
            None => &stream.sensors,
        };
        Ok(Some((
            dtype,
            match () {
                () if !sensors.is_empty() && !self.all => {
                    Choice::Sensors(sensors.clone())
                }
                () if stream.fields.is_empty() => Choice::All,
                () if self.all => {
                    Choice::First(field.map_or(0, |field| field.count as usize))
                }
                () => {
                    let hint =
                        "say --map left, --map right or a file, or --all for all numbers";
                    return Err(Usage(format!("{name} has no sensor map; {hint}")).into());
                }
            },
        )))
    }

    /// Passes on what is not a description: calibrated, held, or as it is.
    fn pass(
        &mut self,
        plan: &mut Plan,
        record: Record<'_>,
        out: &mut impl Output,
    ) -> Result<()> {
        let Some(scale) = &plan.scale else { return out.send(record) };
        let Some(tare) = &mut plan.tare else { return self.send(scale, record, out) };
        if record.header.kind.has_samples() {
            let mut over = false;
            for sample in samples(scale, &record, &plan.out.name)?.iter() {
                match tare.covers(&sample) {
                    true => tare.add(scale.values(sample.bytes)),
                    false => over = true,
                }
            }
            if over {
                self.release(plan, out)?;
                let Some(scale) = &plan.scale else { return out.send(record) };
                return self.send(scale, record, out);
            }
        }
        match tare.hold(&record) {
            true => Ok(()),
            false => self.release(plan, out),
        }
    }

    /// Ends a tare: its zeros are known, and what was held goes out.
    fn release(&mut self, plan: &mut Plan, out: &mut impl Output) -> Result<()> {
        let (Some(mut tare), Some(scale)) = (plan.tare.take(), &mut plan.scale) else {
            return Ok(());
        };
        scale.set_zeros(&tare.means());
        let zeros: Vec<_> = scale.zeros().map(|zero| format!("{zero:.6}")).collect();
        plan.out.meta.insert("tare".into(), zeros.join(" "));
        plan.out.meta.insert("tare_samples".into(), tare.samples.to_string());
        let description = plan.out.to_bytes();
        for (header, payload) in tare.release() {
            match header.kind {
                Kind::STREAM => out.send(Record::new(header, &description))?,
                _ => self.send(scale, Record::new(header, &payload), out)?,
            }
        }
        Ok(())
    }

    /// Sends a record, its samples calibrated.
    fn send(
        &mut self,
        scale: &Scale,
        record: Record<'_>,
        out: &mut impl Output,
    ) -> Result<()> {
        let header = record.header;
        if !header.kind.has_samples() {
            return out.send(record);
        }
        for sample in samples(scale, &record, "stream")?.iter() {
            self.converted.clear();
            scale.convert(sample.bytes, &mut self.converted);
            let sample = Sample { bytes: &self.converted, ..sample };
            let alone = header.kind == Kind::DATA || self.converted.len() > MAX_BATCH;
            if alone {
                flush(&mut self.builder, out)?;
                out.send_sample(&header, &sample)?;
            } else if !self.builder.push(&header, &sample, MAX_BATCH) {
                flush(&mut self.builder, out)?;
                self.builder.push(&header, &sample, MAX_BATCH);
            }
        }
        flush(&mut self.builder, out)
    }
}

/// The samples of a record, which must be as they are described.
fn samples<'a>(scale: &Scale, record: &Record<'a>, name: &str) -> Result<Samples<'a>> {
    let samples = Samples::parse(record, true)?;
    if !samples.are_of_size(scale.size) {
        let Header { stream, seq, .. } = record.header;
        bail!("{name} {stream}: sample {seq} has not the {} bytes described", scale.size);
    }
    Ok(samples)
}

fn flush(builder: &mut Builder, out: &mut impl Output) -> Result<()> {
    match builder.finish() {
        Some(batch) => out.send(batch),
        None => Ok(()),
    }
}

fn curve(args: &Args) -> Result<Option<Curve>> {
    let unit = args.unit.as_deref().unwrap_or_default();
    let built_in = || Curve::built_in(unit);
    match args.curve.as_deref() {
        Some("none") => Ok(None),
        Some(BUILT_IN) => match built_in() {
            Some(curve) => Ok(Some(curve)),
            None => {
                Err(Usage(format!("--curve {BUILT_IN}: say --unit kPa, mmHg or N/cm2"))
                    .into())
            }
        },
        Some(path) => {
            let curve = Curve::load(path.as_ref(), unit).context("--curve")?;
            Ok(Some(curve))
        }
        None => match built_in() {
            Some(curve) => Ok(Some(curve)),
            None if unit.is_empty() || args.gain.is_some() || args.gains.is_some() => {
                Ok(None)
            }
            None => {
                let hint = "the built-in curve knows kPa, mmHg and N/cm2";
                Err(Usage(format!("--unit {unit}: {hint}; say --curve or --gain")).into())
            }
        },
    }
}

/// What the command line asks for, in words that can be typed again.
fn applied(args: &Args) -> String {
    let number =
        |name: &str, value: Option<f64>| value.map(|value| format!("{name} {value}"));
    let parts = [
        args.unit.as_ref().map(|unit| format!("unit {unit}")),
        match (&args.curve, &args.unit) {
            (Some(curve), _) => Some(format!("curve {curve}")),
            (None, Some(unit)) => {
                Curve::built_in(unit).map(|_| format!("curve {BUILT_IN}"))
            }
            (None, None) => None,
        },
        args.zero_is_no_contact.then(|| "zero is no contact".to_owned()),
        args.gains.as_ref().map(|path| format!("gains {}", path.display())),
        number("gain", args.gain),
        number("offset", args.offset),
        args.tare.map(|length| format!("tare {} ms", length / 1_000_000)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn patterns(words: Vec<String>) -> Result<Vec<(String, GlobMatcher)>> {
    let pattern = |word: String| {
        let glob = Glob::new(&word)
            .map_err(|err| Usage(format!("--stream {word}: {}", err.kind())))?;
        Ok((word, glob.compile_matcher()))
    };
    words.into_iter().map(pattern).collect()
}

/// Where the quaternion of a glove's sample is.
fn quaternion(stream: &Stream) -> Result<usize> {
    let field = stream.fields.iter().find(|field| field.name == "quaternion");
    let field = field.filter(|field| (field.dtype, field.count) == (Dtype::F32, 4));
    let offset = field.map(|field| field.offset as usize);
    let none = || Usage(format!("{} has no quaternion", stream.name));
    Ok(offset.ok_or_else(none)?)
}

fn parse_number(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| format!("{text:?} is no number"))
}
