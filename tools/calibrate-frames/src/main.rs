//! Turn raw numbers into physical units.

mod choice;
mod curve;
mod gains;
mod plan;
mod scale;
mod tare;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{ArgGroup, Parser};
use libframe::catalog::Catalog;
use libframe::schema::{Media, Stream};
use libframe::tool::{self, Account, Ended, Filter, Output, Plan as Planned, Usage};
use libframe::wire::{Kind, Record};
use libframe_sensors::SensorMap;

use crate::choice::Selection;
use crate::curve::{BUILT_IN, Curve};
use crate::gains::{Gain, Gains};
use crate::plan::{Plan, Work, Writer};
use crate::scale::{Recipe, ids};
use crate::tare::Tare;

/// The most numbers in a sample; each has a gain and a zero of its own.
const MAX_NUMBERS: usize = 1 << 16;

const EXAMPLES: &str = "Examples:
  sim-src glove -n 50 --rate max | calibrate-frames --map left --unit kPa --tare 1s | to-text
  sim-src control -n 50 --rate max | calibrate-frames --gain 0.002 --offset -3 | to-text -f csv";

/// Turn raw numbers into physical units.
///
/// A value is what the curve makes of a number, times its sensor's gain and plus its offset
/// (--gains), times --gain and plus --offset, less its zero (--tare). Of a stream with
/// sensors, the sensors come out, in the order of their map, as float32 with their names,
/// regions and positions; numbers, times and everything else stay as they are. Of a glove
/// without a map, say --map or --all. Streams that are not calibrated pass untouched; samples
/// that come before the first description of theirs are left out. The description tells what
/// was done, and each zero that was taken away.
#[derive(Clone, Parser)]
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
    selection: Selection,
    quaternion: bool,
    tare: Option<i64>,
    /// What was done, for the description.
    applied: String,
    plans: BTreeMap<(u32, u16), Plan>,
    writer: Writer,
    /// Streams of numbers that came, and whether any was meant.
    passed: Option<String>,
    chosen: bool,
}

fn main() -> ExitCode {
    tool::filter::<Calibrate>()
}

impl Filter for Calibrate {
    type Args = Args;

    fn plan(args: &Args, plan: &mut Planned) -> Result<()> {
        plan.memory += tare::MAX_HELD as u64;
        plan.send_through(Calibrate::open(args.clone())?)
    }

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
            selection: Selection {
                wanted: choice::patterns(args.stream)?,
                tactile: curve.is_some() || map.is_some() || gains.is_some(),
                bytes_only: curve.as_ref().is_some_and(|curve| curve.name == BUILT_IN),
                map,
                all: args.all,
            },
            recipe: Recipe {
                unit: args.unit.unwrap_or_default(),
                curve,
                gains: gains.unwrap_or_default(),
                gain: linear.then_some(Gain { gain, offset }),
                zero_is_zero: args.zero_is_no_contact,
            },
            quaternion: args.quaternion,
            tare: args.tare.filter(|length| *length > 0),
            applied,
            plans: BTreeMap::new(),
            writer: Writer::default(),
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
        match self.plans.get_mut(&key) {
            Some(plan) => self.writer.pass(plan, record, out),
            // Numbers that nobody has described yet cannot be calibrated, and raw ones must
            // not pass for calibrated. Whoever joins late misses them.
            None if record.header.kind.has_samples() => Ok(()),
            None => out.send(record),
        }
    }

    fn end(&mut self, ended: &Ended<'_>, out: &mut impl Output) -> Result<()> {
        for (_, plan) in self.plans.iter_mut().filter(|(key, _)| key.0 == ended.session) {
            self.writer.release(plan, out)?;
        }
        self.plans.retain(|key, _| key.0 != ended.session);
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
                    self.writer.release(&mut old, out)?;
                }
                self.plan(stream, record.header.stream, description)?
            }
        };
        let result = self.writer.describe(&mut plan, record, out);
        self.plans.insert(key, plan);
        result
    }

    fn plan(&mut self, stream: &Stream, number: u16, description: u32) -> Result<Plan> {
        let Some((dtype, choice)) = self.selection.choose(stream, number)? else {
            if stream.media == Media::Samples {
                self.passed.get_or_insert_with(|| stream.name.clone());
            }
            return Ok(Plan { description, work: None });
        };
        self.chosen = true;
        if stream.width() > MAX_NUMBERS {
            bail!("{}: {} numbers in a sample are too many", stream.name, stream.width());
        }
        let quaternion = match self.quaternion {
            true => Some(choice::quaternion(stream)?),
            false => None,
        };
        let known: Vec<_> = ids(&choice, stream).into_iter().flatten().collect();
        if let Some(id) = self.recipe.gains.stranger(&known) {
            let (file, name) = (&self.recipe.gains.name, &stream.name);
            return Err(Usage(format!("{file}: {name} has no sensor {id}")).into());
        }
        let (scale, mut out) = self.recipe.apply(stream, dtype, &choice, quaternion);
        if let Some((word, _)) = &self.selection.map {
            out.meta.insert("map".into(), word.clone());
        }
        out.meta.insert("calibration".into(), self.applied.clone());
        let tare = self.tare.map(|length| Tare::new(length, scale.width()));
        let work = Work { scale, stream: out, tare };
        Ok(Plan { description, work: Some(Box::new(work)) })
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

fn parse_number(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| format!("{text:?} is no number"))
}
