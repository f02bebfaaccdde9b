//! Pass on fewer samples, as many as are wanted or as the reader can take.

mod controller;
mod downstream;
mod newest;
mod pace;
mod plan;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::{ArgGroup, Parser};
use libframe::catalog::Catalog;
use libframe::payload::{Event, Gap, Payload as _, Value};
use libframe::tool::{
    self, Backlog, Ended, Filter, Output, Patterns, Plan as Planned, Queue, Room,
    Thinning, Usage, Voice,
};
use libframe::wire::{Header, Kind, Record};

use crate::controller::Rule;
use crate::downstream::Downstream;
use crate::newest::Newest;
use crate::plan::{Method, Plan};

const EXAMPLES: &str = "Examples:
  sim-src glove --duration 1s | thin-frames --rate 30 | to-text
  sim-src glove camera -n 300 --rate max | thin-frames -s camera --every 10 > thinned.frames
  sim-src glove --duration 1s | thin-frames --newest | to-text
  sim-src camera --duration 1s | thin-frames --adapt --floor 5 --ceiling 30 | inspect-frames";

/// Pass on fewer samples, as many as are wanted or as the reader can take.
///
/// --rate and --every choose by capture time and by number. --newest keeps one sample of
/// each stream, the newest, while the reader of stdout has not read the one before: for
/// displays. --adapt sets a stream's rate by how many of its samples wait unread, here and in
/// the pipe to the next stage; what that one has read already cannot be seen, so put this
/// tool right in front of the slow one. Changes of the rate are EVENTs called rate.
///
/// What is left out is not lost: the samples that are passed on are numbered anew. What was
/// missing before is told as a GAP in its place, of unknown length except with --every.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES, group = ArgGroup::new("how").required(true).multiple(true))]
struct Args {
    /// Thin streams of this name, pattern or number, and pass the others whole; may be
    /// repeated [default: all]
    #[arg(long, short = 's', value_name = "NAME")]
    stream: Vec<String>,

    /// At most so many samples a second of each stream, evenly spaced
    #[arg(long, value_name = "HZ", group = "how", value_parser = positive)]
    rate: Option<f64>,

    /// Keep one sample of N
    #[arg(long, value_name = "N", group = "how", conflicts_with = "rate",
          value_parser = clap::value_parser!(u64).range(1..))]
    every: Option<u64>,

    /// Only the newest of each stream, when the reader has read what was before
    #[arg(long, group = "how")]
    newest: bool,

    /// As many a second as the reader can take
    #[arg(long, group = "how", conflicts_with_all = ["rate", "every", "newest"])]
    adapt: bool,

    /// The least a second with --adapt
    #[arg(long, value_name = "HZ", default_value = "5", value_parser = positive)]
    floor: f64,

    /// The most a second with --adapt
    #[arg(long, value_name = "HZ", default_value = "30", value_parser = positive)]
    ceiling: f64,

    /// How much of the rate a step down of --adapt takes away
    #[arg(long, value_name = "SHARE", default_value = "25%", value_parser = tool::parse_share)]
    cut: f64,

    /// How much a step up of --adapt adds
    #[arg(long, value_name = "HZ", default_value = "1", value_parser = positive)]
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

struct Thin {
    chosen: Patterns,
    method: Method,
    newest: bool,
    plans: BTreeMap<(u32, u16), Plan>,
    voice: Voice,
    slots: Option<Arc<Newest>>,
    downstream: Option<Arc<Downstream>>,
}

fn main() -> ExitCode {
    tool::filter::<Thin>()
}

impl Filter for Thin {
    type Args = Args;

    const QUEUE: Queue = Queue::Size;

    fn plan(args: &Args, plan: &mut Planned) -> Result<()> {
        let chosen = Patterns::new("--stream", &args.stream)?;
        let most = if args.adapt { Some(args.ceiling) } else { args.rate };
        let every = args.every.unwrap_or(1) as f64;
        let mut number = 0;
        plan.change(|flow| {
            number += 1;
            if chosen.is_empty() || chosen.hold(&flow.stream.name, number) {
                let rate = flow.stream.rate.map(|rate| rate / every);
                flow.stream.rate = rate.map(|rate| rate.min(most.unwrap_or(rate)));
            }
            true
        });
        if args.newest || args.adapt {
            plan.overload = "passes on fewer samples, numbered anew".into();
        }
        Ok(())
    }

    fn open(args: Args) -> Result<Thin> {
        if args.floor > args.ceiling || args.low >= args.high {
            let hint =
                "--floor must not be over --ceiling, and --low must be below --high";
            return Err(Usage(hint.into()).into());
        }
        let Args { floor, ceiling, cut, raise, high, low, cooldown, .. } = args;
        let rule = Rule { floor, ceiling, cut, raise, high, low, cooldown };
        let method = match (args.rate, args.every) {
            _ if args.adapt => Method::Adaptive(rule),
            (Some(rate), _) => Method::Rate(rate),
            (None, every) => Method::Every(Thinning(every.unwrap_or(1))),
        };
        Ok(Thin {
            chosen: Patterns::new("--stream", &args.stream)?,
            method,
            newest: args.newest,
            plans: BTreeMap::new(),
            voice: Voice::default(),
            slots: None,
            downstream: None,
        })
    }

    fn backlog(&mut self, room: &Room) -> Result<Option<Arc<dyn Backlog>>> {
        let name = room.voice.name();
        if self.newest {
            let slots = self.slots.insert(Arc::new(Newest::new(room.bytes, name)));
            return Ok(Some(Arc::clone(slots) as Arc<dyn Backlog>));
        }
        if matches!(self.method, Method::Adaptive(_)) {
            let downstream = Arc::new(Downstream::new(room.bytes, name));
            let downstream = self.downstream.insert(downstream);
            return Ok(Some(Arc::clone(downstream) as Arc<dyn Backlog>));
        }
        Ok(None)
    }

    fn voice(&mut self, voice: Voice) {
        self.voice = voice;
    }

    fn record(
        &mut self,
        record: Record<'_>,
        catalog: &Catalog,
        out: &mut impl Output,
    ) -> Result<()> {
        let header = record.header;
        if header.stream == 0 {
            return out.send(record);
        }
        let key = (header.session, header.stream);
        if header.kind == Kind::STREAM {
            self.describe(key, &record, catalog);
        }
        let Some(plan) = self.plans.get_mut(&key) else {
            // Nothing is known of it yet: whether it is to be thinned, and how.
            return if header.kind.has_samples() { Ok(()) } else { out.send(record) };
        };
        match header.kind {
            _ if plan.is_whole() => out.send(record),
            Kind::STREAM => {
                let header = Header { seq: plan.number(header.seq), ..header };
                out.send(Record::new(header, plan.description()))
            }
            Kind::DATA | Kind::BATCH => {
                self.adapt(key, out)?;
                match self.plans.get_mut(&key) {
                    Some(plan) => plan.samples(&record, self.newest, out),
                    None => Ok(()),
                }
            }
            Kind::GAP => {
                let Ok(gap) = Gap::from_bytes(record.payload) else {
                    return out.send(record);
                };
                let Some(gap) = plan.gap(gap, self.newest) else { return Ok(()) };
                let header = Header { seq: gap.next(), ..header };
                out.send(Record::new(header, &gap.to_bytes()))
            }
            _ => {
                let seq = plan.number(header.seq);
                out.send(record.with_header(Header { seq, ..header }))
            }
        }
    }

    fn end(&mut self, ended: &Ended<'_>, _out: &mut impl Output) -> Result<()> {
        self.plans.retain(|key, _| key.0 != ended.session);
        Ok(())
    }
}

impl Thin {
    /// Decides what to do with a stream when its description is new.
    fn describe(&mut self, key: (u32, u16), record: &Record<'_>, catalog: &Catalog) {
        let known = self.plans.get(&key).is_some_and(|plan| plan.is_of(record));
        let Some(stream) = catalog.of(record).filter(|_| !known) else { return };
        let chosen = self.chosen.is_empty() || self.chosen.hold(&stream.name, key.1);
        let method = if chosen { self.method } else { Method::Whole };
        let before = self.plans.remove(&key);
        let plan = Plan::new(method, self.newest && chosen, record, stream, before);
        self.plans.insert(key, plan);
        if let Some(slots) = self.slots.as_ref().filter(|_| chosen) {
            slots.choose(key);
        }
    }

    /// Changes a stream's rate, if what waits of it says so.
    fn adapt(&mut self, key: (u32, u16), out: &mut impl Output) -> Result<()> {
        let Some(downstream) = &self.downstream else { return Ok(()) };
        let Some(plan) = self.plans.get_mut(&key) else { return Ok(()) };
        if !plan.is_to_look(out.now()) {
            return Ok(());
        }
        let (now, waiting) = (out.now(), downstream.waiting(key));
        let Some(rate) = plan.look(waiting, now) else { return Ok(()) };
        let name = plan.name();
        self.voice.detail(&format!("{name}: {rate}/s, as {waiting} samples wait"));
        let (label, source) = ("rate".into(), self.voice.name().into());
        let event = Event { label, value: Value::Float(rate), source };
        let ((session, stream), kind, seq) = (key, Kind::EVENT, plan.number(0));
        let header = Header { kind, flags: 0, stream, session, seq, time: now, sent: 0 };
        out.send(Record::new(header, &event.to_bytes()))
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err(format!("{text:?} is no rate; say 30 or 0.5")),
    }
}
