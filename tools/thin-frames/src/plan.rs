//! What is done with one stream: which of its samples pass, and under which numbers.

use anyhow::{Result, bail};
use libframe::batch::{Builder, Sample, Samples};
use libframe::clock::SECOND;
use libframe::ledger::Loss;
use libframe::payload::{Gap, Payload as _, Reason};
use libframe::schema::Stream;
use libframe::tool::{Output, Thinning};
use libframe::wire::{Header, Kind, Record};

use crate::controller::{Controller, Rule};
use crate::pace::Pace;
use crate::resample::{Budget, Grid, Method as Making, Resampler, Thinned, Wish};

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

/// What is to be done with a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order<'a> {
    pub(crate) method: Method,
    pub(crate) newest: bool,
    /// The user chose this very stream.
    pub(crate) named: bool,
    /// What this stage is called.
    pub(crate) stage: &'a str,
    /// What all streams may take together.
    pub(crate) budget: &'a Budget,
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
    /// As it is; and if it was not to be, why.
    Whole(Option<String>),
    Every(Thinning),
    Rate(Pace),
    Adaptive(Pace, Controller),
    Firsts(Grid),
    Resample(Box<Resampler>),
}

impl Plan {
    /// A plan for the stream that this record describes. `before` is what was done with it
    /// under its last description.
    pub(crate) fn new(
        order: &Order<'_>,
        record: &Record<'_>,
        stream: &Stream,
        before: Option<Plan>,
    ) -> Result<Plan> {
        let Order { method, newest, .. } = *order;
        let mut thinned = stream.clone();
        // Irregular, where the rate depends on who reads.
        let irregular = newest || matches!(method, Method::Adaptive(_));
        thinned.rate = stream.rate.filter(|_| !irregular).map(|rate| match method {
            Method::Rate(most) => rate.min(most),
            Method::Every(thinning) => rate / thinning.0 as f64,
            Method::Whole | Method::Adaptive(_) | Method::Resample(_) => rate,
        });
        let next = before.as_ref().map_or(0, |plan| plan.next);
        let old = before.map(|plan| plan.choice);
        let choice = match (old, method) {
            (old, Method::Resample(wish)) => {
                let (choice, description) = resample(&wish, order, record, stream, old)?;
                thinned = description;
                choice
            }
            (Some(choice), _) => choice,
            (None, Method::Whole) => Choice::Whole(None),
            (None, Method::Every(thinning)) => Choice::Every(thinning),
            (None, Method::Rate(rate)) => Choice::Rate(Pace::new(rate)),
            (None, Method::Adaptive(rule)) => {
                let controller = Controller::new(rule, stream.rate);
                Choice::Adaptive(Pace::new(controller.rate()), controller)
            }
        };
        let changed = thinned != *stream;
        let description =
            if changed { thinned.to_bytes() } else { record.payload.to_vec() };
        let fixed = stream.sample_size().is_some();
        Ok(Plan {
            choice,
            next,
            fixed,
            name: stream.name.clone(),
            came: record.payload_crc(),
            description,
            builder: Builder::new(fixed),
            looked: i64::MIN,
        })
    }

    /// Whether it was made for this description.
    pub(crate) fn is_of(&self, record: &Record<'_>) -> bool {
        self.came == record.payload_crc()
    }

    /// Whether everything passes as it is.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.choice, Choice::Whole(_))
    }

    /// Why everything passes as it is, although it was not to.
    pub(crate) fn why_whole(&self) -> Option<&str> {
        match &self.choice {
            Choice::Whole(why) => why.as_deref(),
            _ => None,
        }
    }

    /// What came and could not be passed on, and whose that is.
    pub(crate) fn loss(&self, stage: &str) -> Option<(String, Loss)> {
        let Choice::Resample(resampler) = &self.choice else { return None };
        let (late, changed) = resampler.losses();
        let samples = late + changed;
        let reason = if changed > 0 { Reason::Device } else { Reason::Upstream };
        let (stage, name) = (stage.into(), self.name.clone());
        let loss = Loss { stage, reason, samples, places: 1, ..Loss::default() };
        (samples > 0).then_some((name, loss))
    }

    /// Sends what is still to come of the samples that came.
    pub(crate) fn end(&mut self, out: &mut impl Output) -> Result<()> {
        match &mut self.choice {
            Choice::Resample(resampler) => resampler.end(out),
            _ => Ok(()),
        }
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
            Choice::Firsts(ref grid) => grid.first_from(seq),
            Choice::Resample(ref resampler) => resampler.number(seq),
            _ => self.next,
        }
    }

    /// Passes on a GAP of the input, as far as samples are missing that would have been
    /// kept. Which those are is known only by number.
    pub(crate) fn gap(
        &mut self,
        record: &Record<'_>,
        newest: bool,
        out: &mut impl Output,
    ) -> Result<()> {
        let Ok(gap) = Gap::from_bytes(record.payload) else {
            return out.send(*record);
        };
        let gap = match &mut self.choice {
            Choice::Resample(resampler) => {
                return resampler.gap(&record.header, &gap, out);
            }
            // What is neither thinned nor renumbered.
            Choice::Whole(_) => Some(gap),
            Choice::Every(thinning) if !newest => thinning.gap(gap),
            Choice::Firsts(grid) => grid.gap(gap),
            _ => Some(self.unnumbered(gap)),
        };
        let Some(gap) = gap else { return Ok(()) };
        let header = Header { seq: gap.next(), ..record.header };
        out.send(Record::new(header, &gap.to_bytes()))
    }

    /// A gap where nobody knows which of the missing samples would have been kept.
    fn unnumbered(&self, gap: Gap) -> Gap {
        let detail = match (gap.count, gap.detail.as_str()) {
            (None, _) => gap.detail,
            (Some(n), "") => format!("{n} of the samples before thinning"),
            (Some(n), detail) => format!("{n} of the samples before thinning, {detail}"),
        };
        Gap { first: self.next, count: None, detail, ..gap }
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
        if let Choice::Resample(resampler) = &mut self.choice {
            return resampler.samples(&header, &samples, out);
        }
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
            Choice::Whole(_) | Choice::Resample(_) => true,
            Choice::Every(thinning) => thinning.keeps(sample.seq),
            Choice::Firsts(grid) => grid.has_first(sample.seq),
            Choice::Rate(pace) | Choice::Adaptive(pace, _) => pace.keeps(sample.time),
        }
    }
}

/// What is done with a stream whose samples are to stand for several, after `old`; and how it
/// is described then.
fn resample(
    wish: &Wish,
    order: &Order<'_>,
    record: &Record<'_>,
    stream: &Stream,
    old: Option<Choice>,
) -> Result<(Choice, Stream)> {
    let (ratio, thinned) = match wish.apply(stream, order.named)? {
        Thinned::By(ratio, thinned) => (ratio, *thinned),
        Thinned::Whole(why) => {
            if !matches!(old, None | Some(Choice::Whole(_))) {
                bail!("{}: its new description cannot be thinned: {why}", stream.name);
            }
            return Ok((Choice::Whole(Some(why)), stream.clone()));
        }
    };
    let decimates = wish.method == Making::Decimate;
    let choice = match old {
        None if decimates => Choice::Firsts(Grid::firsts(ratio)),
        None => {
            let resampler =
                Resampler::new(*wish, ratio, stream, &record.header, order.budget)?;
            Choice::Resample(Box::new(resampler))
        }
        Some(Choice::Firsts(grid)) if decimates && grid == Grid::firsts(ratio) => {
            Choice::Firsts(grid)
        }
        Some(Choice::Resample(old)) if old.goes_on(ratio, stream) => {
            Choice::Resample(old)
        }
        Some(Choice::Resample(old)) => {
            let mut new =
                Resampler::new(*wish, ratio, stream, &record.header, order.budget)?;
            new.take_over(&old, order.stage);
            Choice::Resample(Box::new(new))
        }
        // Its numbers could not go on.
        _ => bail!("{}: its new description has another rate; start anew", stream.name),
    };
    Ok((choice, thinned))
}
