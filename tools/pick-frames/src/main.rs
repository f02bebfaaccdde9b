//! Keep some streams, channels, times, or every Nth sample.

mod channels;

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use libframe::batch::{Builder, Sample, Samples};
use libframe::catalog::Catalog;
use libframe::decoder::Damage;
use libframe::payload::{Gap, Payload as _, Session};
use libframe::schema::Stream;
use libframe::timeline::{Timeline, stream_offset};
use libframe::tool::{
    self, Account, Ended, Filter, Instant, Output, Patterns, Plan as Planned, Thinning,
    TimeRange, Undescribed, Voice,
};
use libframe::wire::{Header, Kind, Record};

use crate::channels::Channels;

/// What is kept of a long batch is sent in several, so that memory does not depend on it.
const MAX_BATCH: usize = 1 << 20;

const EXAMPLES: &str = "Examples:
  sim-src glove sine -n 500 --rate max | pick-frames -s sine | to-text
  sim-src sine:channels=8 -n 100 --rate max | pick-frames -c ch1,2-4 --every 10 | to-text -f csv";

/// Keep some streams, channels, times, or every Nth sample.
///
/// Without options everything passes. Several options must all hold; several values of
/// one option are alternatives. What is left out is not lost: streams keep their numbers,
/// and with --every the numbering is that of the samples kept.
#[derive(Clone, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Keep streams of this name, pattern ('cam*') or number; may be repeated
    #[arg(long, short = 's', value_name = "NAME")]
    stream: Vec<String>,

    /// Leave out streams of this name, pattern or number; may be repeated
    #[arg(long, short = 'x', value_name = "NAME")]
    exclude: Vec<String>,

    /// Keep streams of this medium: samples, image, text, bytes, event
    #[arg(long, value_name = "MEDIUM", value_delimiter = ',')]
    media: Vec<String>,

    /// Keep channels of this label, pattern, number or range, like 0-7,C3,'thumb*'
    #[arg(long, short = 'c', value_name = "CHANNEL", value_delimiter = ',')]
    channel: Vec<String>,

    /// Begin at this time: 10s after the session's start, or an RFC 3339 time
    #[arg(long, value_name = "TIME", value_parser = Instant::parse)]
    start: Option<Instant>,

    /// End before this time
    #[arg(long, value_name = "TIME", value_parser = Instant::parse)]
    end: Option<Instant>,

    /// Keep one sample of N
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
}

struct Pick {
    wanted: Patterns,
    unwanted: Patterns,
    media: Vec<String>,
    channel: Vec<String>,
    thinning: Thinning,
    range: TimeRange,
    timeline: Timeline,
    plans: BTreeMap<(u32, u16), Plan>,
    /// The plan of the stream that the last record was of.
    last: Option<((u32, u16), Plan)>,
    builder: Builder,
    gathered: Vec<u8>,
    undescribed: Undescribed,
}

/// What is done with a stream.
#[derive(Clone, Debug)]
struct Plan {
    keep: bool,
    channels: Option<Channels>,
    /// The description as it was last announced, until the first sample is kept: what
    /// comes before would claim that earlier samples are missing.
    held: Option<(Header, Vec<u8>)>,
    /// What was told of its clock until then.
    clock: Option<(Header, Vec<u8>)>,
    /// Every sample passes as it is.
    whole: bool,
}

fn main() -> ExitCode {
    tool::filter::<Pick>()
}

impl Filter for Pick {
    type Args = Args;

    fn plan(args: &Args, plan: &mut Planned) -> Result<()> {
        // Before its time begins, it would say nothing of a stream.
        plan.send_through(Pick::open(Args { start: None, end: None, ..args.clone() })?)
    }

    fn open(args: Args) -> Result<Pick> {
        for medium in &args.media {
            if !["samples", "image", "text", "bytes", "event"].contains(&medium.as_str())
            {
                let hint = "media are samples, image, text, bytes and event";
                return Err(tool::Usage(format!("--media {medium}: {hint}")).into());
            }
        }
        Ok(Pick {
            wanted: Patterns::new("--stream", &args.stream)?,
            unwanted: Patterns::new("--exclude", &args.exclude)?,
            media: args.media,
            channel: args.channel,
            thinning: Thinning(args.every),
            range: TimeRange::new(args.start, args.end),
            timeline: Timeline::default(),
            plans: BTreeMap::new(),
            last: None,
            builder: Builder::default(),
            gathered: Vec::new(),
            undescribed: Undescribed::default(),
        })
    }

    fn voice(&mut self, voice: Voice) {
        self.undescribed = Undescribed::new(voice.name());
    }

    fn session(&mut self, tag: u32, session: &Session) {
        self.range.learn(tag, session);
        self.undescribed.session(tag);
    }

    fn damage(&mut self, damage: &Damage) -> Result<()> {
        self.undescribed.damage(damage);
        Ok(())
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
        match header.kind {
            Kind::STREAM => self.describe(record, catalog, out),
            Kind::DATA | Kind::BATCH => self.samples(record, catalog, out),
            Kind::GAP if self.is_unknown(&header) => {
                self.undescribed.take(&record);
                Ok(())
            }
            _ if !self.keeps(&header) => Ok(()),
            Kind::GAP => self.gap(record, out),
            Kind::CLOCK if stream_offset(&record).is_some() => self.clock(record, out),
            _ if self.is_in_range(&header) => {
                let seq = self.thinning.number(header.seq);
                out.send(record.with_header(Header { seq, ..header }))
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, ended: &Ended<'_>, out: &mut impl Output) -> Result<()> {
        let mut plans = std::mem::take(&mut self.plans);
        for ((session, _), plan) in &mut plans {
            if *session == ended.session {
                // A stream of which nothing was kept still belongs to the session.
                announce(Some(plan), None, out)?;
            }
        }
        plans.retain(|(session, _), _| *session != ended.session);
        self.plans = plans;
        for (header, gap) in self.undescribed.end(ended.session) {
            self.send_gap(header, gap, out)?;
        }
        self.timeline.forget(ended.session);
        self.last = None;
        Ok(())
    }

    fn losses(&self, account: &mut Account) {
        self.undescribed.tell(account);
    }
}

impl Pick {
    /// Decides what to do with a stream, and passes on its description, changed to fit.
    fn describe(
        &mut self,
        record: Record<'_>,
        catalog: &Catalog,
        out: &mut impl Output,
    ) -> Result<()> {
        let key = (record.header.session, record.header.stream);
        let Some(stream) = catalog.of(&record) else { return Ok(()) };
        let plan = self.plan(stream, record.header.stream)?;
        let begun = self.plans.get(&key).is_some_and(|plan| plan.held.is_none());
        let keep = plan.keep;
        self.last = None;
        let before = self.plans.insert(key, plan);
        if !keep {
            self.undescribed.forget(key.0, key.1);
            return Ok(());
        }
        for (header, gap) in self.undescribed.described(key.0, key.1, &stream.name) {
            self.send_gap(header, gap, out)?;
        }
        let seq = self.thinning.number(record.header.seq);
        let header = Header { seq, ..record.header };
        let payload = self.description(stream, &key).unwrap_or(record.payload.to_vec());
        if self.range.is_open() || begun {
            return out.send(Record::new(header, &payload));
        }
        if let Some(plan) = self.plans.get_mut(&key) {
            plan.held = Some((header, payload));
            plan.clock = before.and_then(|plan| plan.clock);
        }
        Ok(())
    }

    /// What is told of a stream's clock is needed for all samples after it, so it goes with
    /// the description.
    fn clock(&mut self, record: Record<'_>, out: &mut impl Output) -> Result<()> {
        self.timeline.learn(&record);
        let header = record.header;
        match self.plans.get_mut(&(header.session, header.stream)) {
            Some(plan) if plan.held.is_some() => {
                plan.clock = Some((header, record.payload.to_vec()));
                Ok(())
            }
            _ => {
                let seq = self.thinning.number(header.seq);
                out.send(record.with_header(Header { seq, ..header }))
            }
        }
    }

    /// Whether a record's time is wanted.
    fn is_in_range(&self, header: &Header) -> bool {
        let time = self.timeline.time(header.session, header.stream, header.time);
        self.range.holds(header.session, time)
    }

    fn plan(&self, stream: &Stream, number: u16) -> Result<Plan> {
        let named = |patterns: &Patterns| patterns.hold(&stream.name, number);
        let keep = (self.wanted.is_empty() || named(&self.wanted))
            && !named(&self.unwanted)
            && (self.media.is_empty()
                || self.media.iter().any(|medium| medium == stream.media.name()));
        let channels = match keep && !self.channel.is_empty() {
            true => Some(Channels::choose(&self.channel, stream)?),
            false => None,
        };
        let keep = keep && channels.as_ref().is_none_or(|channels| !channels.is_empty());
        let whole = channels.is_none() && self.thinning.0 == 1 && self.range.is_open();
        Ok(Plan { keep, channels, held: None, clock: None, whole })
    }

    /// The description of what is left of a stream; `None` if that is all of it.
    fn description(&self, stream: &Stream, key: &(u32, u16)) -> Option<Vec<u8>> {
        let channels = self.plans.get(key)?.channels.as_ref();
        if channels.is_none() && self.thinning.0 == 1 {
            return None;
        }
        let mut stream = stream.clone();
        if let Some(channels) = channels {
            channels.describe(&mut stream);
        }
        stream.rate = stream.rate.map(|rate| rate / self.thinning.0 as f64);
        Some(stream.to_bytes())
    }

    /// Whether a stream would have to be described before anything can be done with it.
    fn is_unknown(&self, header: &Header) -> bool {
        let described = self.plans.contains_key(&(header.session, header.stream));
        !(described || self.keeps(header) && self.thinning.0 == 1)
    }

    fn keeps(&self, header: &Header) -> bool {
        let any =
            self.wanted.is_empty() && self.media.is_empty() && self.channel.is_empty();
        match self.plans.get(&(header.session, header.stream)) {
            Some(plan) => plan.keep,
            // A stream that is not described yet can only be kept if nothing is asked.
            None => any && self.unwanted.is_empty(),
        }
    }

    #[inline]
    fn samples(
        &mut self,
        record: Record<'_>,
        catalog: &Catalog,
        out: &mut impl Output,
    ) -> Result<()> {
        let key = (record.header.session, record.header.stream);
        if self.last.as_ref().is_none_or(|(last, _)| *last != key) {
            let Some(plan) = self.plans.get(&key) else {
                if !self.is_unknown(&record.header) {
                    return out.send(record);
                }
                // Whether they were wanted is not known, and with --every not which.
                if self.is_in_range(&record.header) {
                    self.undescribed.take(&record);
                }
                return Ok(());
            };
            self.last = Some((key, plan.clone()));
        }
        match &self.last {
            Some((_, plan)) if plan.whole && plan.keep => out.send(record),
            Some((_, plan)) if plan.keep => self.some(record, catalog, out),
            _ => Ok(()),
        }
    }

    /// Keeps some samples of a record, or some channels of each.
    fn some(
        &mut self,
        record: Record<'_>,
        catalog: &Catalog,
        out: &mut impl Output,
    ) -> Result<()> {
        let header = record.header;
        let fixed = catalog.is_fixed(&record);
        let samples = Samples::parse(&record, fixed)?;
        let Some((key, plan)) = self.last.take() else { return Ok(()) };
        let (thinning, range) = (self.thinning, &self.range);
        let clock = self.timeline.offset(header.session, header.stream);
        let mut kept = samples.iter().filter(|sample| {
            let time = sample.time.saturating_sub(clock);
            thinning.keeps(sample.seq) && range.holds(header.session, time)
        });
        let channels = plan.channels.as_ref();
        // A lone sample can fill a record; it passes where it lies instead of being copied.
        let alone = samples.len() == 1 && channels.is_none();
        if header.kind == Kind::DATA || alone {
            if let Some(sample) = kept.next() {
                let seq = thinning.number(sample.seq);
                announce(self.plans.get_mut(&key), Some(seq), out)?;
                match channels {
                    None => out.send(record.with_header(Header { seq, ..header }))?,
                    Some(channels) => {
                        self.gathered.clear();
                        channels.gather(sample.bytes, &mut self.gathered);
                        let sample = Sample { seq, bytes: &self.gathered, ..sample };
                        out.send_sample(&header, &sample)?;
                    }
                }
            }
        } else {
            self.builder = Builder::new(fixed);
            for sample in kept {
                self.gathered.clear();
                let bytes = match channels {
                    None => sample.bytes,
                    Some(channels) => {
                        channels.gather(sample.bytes, &mut self.gathered);
                        &self.gathered
                    }
                };
                let sample = Sample { seq: thinning.number(sample.seq), bytes, ..sample };
                let long = bytes.len() > MAX_BATCH;
                if long || !self.builder.push(&header, &sample, MAX_BATCH) {
                    send_batch(&mut self.builder, self.plans.get_mut(&key), out)?;
                    if long {
                        announce(self.plans.get_mut(&key), Some(sample.seq), out)?;
                        out.send_sample(&header, &sample)?;
                    } else {
                        self.builder.push(&header, &sample, MAX_BATCH);
                    }
                }
            }
            send_batch(&mut self.builder, self.plans.get_mut(&key), out)?;
        }
        self.last = Some((key, plan));
        Ok(())
    }

    fn gap(&self, record: Record<'_>, out: &mut impl Output) -> Result<()> {
        let header = record.header;
        let plan = self.plans.get(&(header.session, header.stream));
        if plan.is_some_and(|plan| plan.held.is_some()) || !self.is_in_range(&header) {
            return Ok(());
        }
        let Ok(gap) = Gap::from_bytes(record.payload) else {
            return out.send(record);
        };
        let channels = plan.and_then(|plan| plan.channels.as_ref());
        if self.thinning.0 == 1 && (gap.incomplete().is_none() || channels.is_none()) {
            return out.send(record);
        }
        self.send_gap(header, gap, out)
    }

    /// Tells what is missing of the samples and channels that are kept.
    fn send_gap(&self, header: Header, gap: Gap, out: &mut impl Output) -> Result<()> {
        let plan = self.plans.get(&(header.session, header.stream));
        let gap = match plan.and_then(|plan| plan.channels.as_ref()) {
            Some(channels) => channels.gap(gap),
            None => Some(gap),
        };
        let Some(gap) = gap.and_then(|gap| self.thinning.gap(gap)) else { return Ok(()) };
        let header = Header { seq: gap.next(), ..header };
        out.send(Record::new(header, &gap.to_bytes()))
    }
}

fn send_batch(
    builder: &mut Builder,
    plan: Option<&mut Plan>,
    out: &mut impl Output,
) -> Result<()> {
    let Some(batch) = builder.finish() else { return Ok(()) };
    announce(plan, Some(batch.header.seq), out)?;
    out.send(batch)
}

/// Sends a description that was held back, now that its next sample is known.
fn announce(
    plan: Option<&mut Plan>,
    next: Option<u64>,
    out: &mut impl Output,
) -> Result<()> {
    let Some(plan) = plan else { return Ok(()) };
    let Some((header, payload)) = plan.held.take() else { return Ok(()) };
    let seq = next.unwrap_or(header.seq);
    out.send(Record::new(Header { seq, ..header }, &payload))?;
    match plan.clock.take() {
        Some((header, payload)) => {
            out.send(Record::new(Header { seq, ..header }, &payload))
        }
        None => Ok(()),
    }
}
