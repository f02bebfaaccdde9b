//! What is done with one stream: which of its samples pass, and under which numbers.

use anyhow::{Result, bail};
use libframe::batch::{Builder, Sample, Samples};
use libframe::clock::SECOND;
use libframe::payload::{Gap, Payload as _, Reason};
use libframe::schema::Stream;
use libframe::tool::{Output, Thinning};
use libframe::wire::{Header, Kind, Record};

use crate::controller::{Controller, Rule};
use crate::pace::Pace;
use crate::resample::{Grid, Method as Making, Resampler, Thinned, Wish};

/// What is kept of a long batch is sent in several, so that memory does not depend on it.
const MAX_BATCH: usize = 1 << 20;
/// What waits is looked at no more often than this.
const LOOK: i64 = SECOND / 100;

/// How a stream is thinned.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Method {
    /// Not at all.
    Whole,
    /// By number.
    Every(Thinning),
    /// By capture time.
    Rate(f64),
    /// By capture time, at a rate that depends on what waits.
    Adaptive(Rule),
    /// By number, each for all samples that it stands for.
    Resample(Wish),
}

/// What is done with one stream.
#[derive(Debug)]
pub(crate) struct Plan {
    choice: Choice,
    /// The number of the next sample that is kept.
    next: u64,
    fixed: bool,
    name: String,
    /// The description as it came, by its checksum, and as it is passed on.
    came: u32,
    description: Vec<u8>,
    builder: Builder,
    looked: i64,
}

#[derive(Debug)]
enum Choice {
    Whole,
    Every(Thinning),
    Rate(Pace),
    Adaptive(Pace, Controller),
    Firsts(Grid),
    Resample(Box<Resampler>),
}

impl Plan {
    /// A plan for the stream that this record describes; `before` is what was done with it
    /// under its last description.
    pub(crate) fn new(
        method: Method,
        newest: bool,
        record: &Record<'_>,
        stream: &Stream,
        before: Option<Plan>,
    ) -> Plan {
        let mut thinned = stream.clone();
        // Irregular, where the rate depends on who reads.
        let irregular = newest || matches!(method, Method::Adaptive(_));
        thinned.rate = stream.rate.filter(|_| !irregular).map(|rate| match method {
            Method::Rate(most) => rate.min(most),
            Method::Every(thinning) => rate / thinning.0 as f64,
            Method::Whole | Method::Adaptive(_) => rate,
        });
        let changed = thinned.rate != stream.rate;
        let description =
            if changed { thinned.to_bytes() } else { record.payload.to_vec() };
        let next = before.as_ref().map_or(0, |plan| plan.next);
        let choice = match (before.map(|plan| plan.choice), method) {
            (Some(choice), _) => choice,
            (None, Method::Whole) => Choice::Whole,
            (None, Method::Every(thinning)) => Choice::Every(thinning),
            (None, Method::Rate(rate)) => Choice::Rate(Pace::new(rate)),
            (None, Method::Adaptive(rule)) => {
                let controller = Controller::new(rule, stream.rate);
                Choice::Adaptive(Pace::new(controller.rate()), controller)
            }
        };
        let fixed = stream.sample_size().is_some();
        Plan {
            choice,
            next,
            fixed,
            name: stream.name.clone(),
            came: record.payload_crc(),
            description,
            builder: Builder::new(fixed),
            looked: i64::MIN,
        }
    }

    /// Whether it was made for this description.
    pub(crate) fn is_of(&self, record: &Record<'_>) -> bool {
        self.came == record.payload_crc()
    }

    /// Whether everything passes as it is.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.choice, Choice::Whole)
    }

    /// The stream's description as it is passed on.
    pub(crate) fn description(&self) -> &[u8] {
        &self.description
    }

    /// The stream's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The number that the next sample has, where the input has `seq`.
    pub(crate) fn number(&self, seq: u64) -> u64 {
        match self.choice {
            Choice::Every(thinning) => thinning.number(seq),
            _ => self.next,
        }
    }

    /// A GAP of the input, as it is passed on; `None` if nothing that would have been kept is
    /// missing. Which samples would have been is known only by number.
    pub(crate) fn gap(&self, gap: Gap, newest: bool) -> Option<Gap> {
        if let (Choice::Every(thinning), false) = (&self.choice, newest) {
            return thinning.gap(gap);
        }
        let detail = match (gap.count, gap.detail.as_str()) {
            (None, _) => gap.detail,
            (Some(n), "") => format!("{n} of the samples before thinning"),
            (Some(n), detail) => format!("{n} of the samples before thinning, {detail}"),
        };
        Some(Gap { first: self.next, count: None, detail, ..gap })
    }

    /// Whether it is time to look at what waits.
    pub(crate) fn is_to_look(&mut self, now: i64) -> bool {
        let is_time = now.saturating_sub(self.looked) >= LOOK;
        if is_time {
            self.looked = now;
        }
        is_time
    }

    /// Takes note that so many samples wait; tells the new rate if it changes.
    pub(crate) fn look(&mut self, waiting: u64, now: i64) -> Option<f64> {
        let Choice::Adaptive(pace, controller) = &mut self.choice else { return None };
        let rate = controller.look(waiting, now)?;
        pace.set_rate(rate);
        Some(rate)
    }

    /// Sends the samples that are kept of a record; with `newest` the last of them only.
    pub(crate) fn samples(
        &mut self,
        record: &Record<'_>,
        newest: bool,
        out: &mut impl Output,
    ) -> Result<()> {
        let header = record.header;
        let samples = Samples::parse(record, self.fixed)?;
        if newest {
            let kept = samples.iter().filter(|sample| self.choice.keeps(sample)).last();
            return kept.map_or(Ok(()), |sample| self.send(record, &sample, out));
        }
        if header.kind == Kind::DATA || samples.len() == 1 {
            let kept = samples.iter().find(|sample| self.choice.keeps(sample));
            return kept.map_or(Ok(()), |sample| self.send(record, &sample, out));
        }
        for sample in samples.iter() {
            if self.choice.keeps(&sample) {
                self.join(&header, sample, out)?;
            }
        }
        self.flush(out)
    }

    /// Sends a sample, as it lies if it is alone in its record.
    fn send(
        &mut self,
        record: &Record<'_>,
        sample: &Sample<'_>,
        out: &mut impl Output,
    ) -> Result<()> {
        let seq = self.take_number(sample.seq);
        if record.samples() == 1 {
            return out.send(record.with_header(Header { seq, ..record.header }));
        }
        out.send_sample(&record.header, &Sample { seq, ..*sample })
    }

    fn join(
        &mut self,
        header: &Header,
        sample: Sample<'_>,
        out: &mut impl Output,
    ) -> Result<()> {
        let seq = self.take_number(sample.seq);
        let sample = Sample { seq, ..sample };
        let long = sample.bytes.len() > MAX_BATCH;
        if !long && self.builder.push(header, &sample, MAX_BATCH) {
            return Ok(());
        }
        self.flush(out)?;
        if long || !self.builder.push(header, &sample, MAX_BATCH) {
            // It fills a record by itself.
            return out.send_sample(header, &sample);
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut impl Output) -> Result<()> {
        self.builder.finish().map_or(Ok(()), |batch| out.send(batch))
    }

    fn take_number(&mut self, seq: u64) -> u64 {
        let number = self.number(seq);
        self.next = number + 1;
        number
    }
}

impl Choice {
    fn keeps(&mut self, sample: &Sample<'_>) -> bool {
        match self {
            Choice::Whole => true,
            Choice::Every(thinning) => thinning.keeps(sample.seq),
            Choice::Rate(pace) | Choice::Adaptive(pace, _) => pace.keeps(sample.time),
        }
    }
}
