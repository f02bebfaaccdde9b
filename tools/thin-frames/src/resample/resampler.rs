//! A stream on its way to fewer samples: which are made when, and which cannot be.
//!
//! All is by the input's own numbers. An output is made when the last sample that it needs
//! has come, and it is missing if one of them is: then it is a GAP, for the reason for which
//! the sample was. At the beginning and the end of a stream some outputs would need samples
//! that never were; those are no loss, and are not in the stream. A stream so begins with the
//! first output for which all was there, under the number that it has in any case.

use std::ops::Range;

use anyhow::Result;
use libframe::batch::{Builder, Sample, Samples};
use libframe::ledger::StreamLedger;
use libframe::payload::{Gap, Payload as _, Reason};
use libframe::schema::{Dtype, Stream};
use libframe::tool::Output;
use libframe::wire::{Header, Kind, Record};

use super::budget::{Budget, Share};
use super::fir::Fir;
use super::grid::Grid;
use super::instants::Instants;
use super::kernel::Kernel;
use super::ratio::Ratio;
use super::window::{Extremes, Mean};
use super::wish::{Method, Partial, Wish, are_alike};

/// What comes out of a long batch is sent in several, so that memory does not depend on it.
const MAX_BATCH: usize = 1 << 20;

/// Partial gaps of samples that have not come.
const MAX_ABSENT: usize = 64;
/// Why outputs are missing where nothing was lost.
const CHANGED: &str = "the description changed among the samples that these stand for";

/// A stream on its way to fewer samples.
///
/// What is made at once is a turn: one output, or two.
#[derive(Debug)]
pub(crate) struct Resampler {
    wish: Wish,
    ratio: Ratio,
    memory: usize,
    input: Stream,
    /// From the first sample on: streams of which nothing comes take nothing.
    kernel: Option<(Box<dyn Kernel>, Share)>,
    budget: Budget,
    instants: Instants,
    /// The samples that a turn needs, and those that it stands for.
    grid: Grid,
    stands: Grid,
    /// Outputs of a turn, and how far their numbers are from those of the grid.
    each: u64,
    offset: u64,
    /// The turn that is made next, and the samples that it needs.
    next: u64,
    needs: Range<i128>,
    /// The number of the next sample; none before the first.
    position: Option<u64>,
    /// Outputs that are missing and have not been told, and why.
    missing: Option<(Range<u64>, Gap)>,
    /// Why samples were missing that an output may still need.
    cause: Option<Gap>,
    /// What came, late ones included; and outputs that a change of the description cost.
    came: StreamLedger,
    changed: u64,
    /// Samples that come without some of their numbers, and until which output that was told
    /// of which channels.
    absent: Vec<(Range<u64>, Vec<u32>)>,
    told: Option<(u64, Vec<u32>)>,
    /// Of the last samples, or of a gap since; outputs go out as samples came in.
    header: Header,
    /// Samples of a turn, and outputs that are not sent.
    turn: Vec<u8>,
    builder: Builder,
}

impl Resampler {
    /// Begins with a stream of this description.
    pub(crate) fn new(
        wish: Wish,
        ratio: Ratio,
        input: &Stream,
        header: &Header,
        budget: &Budget,
    ) -> Result<Resampler> {
        let memory = wish.memory(input, ratio)?;
        let windows = Grid::windows(ratio);
        let pairs = Grid::windows(ratio.in_pairs());
        let (grid, stands, each) = match wish.method {
            Method::Filter => {
                let reach = wish.shape.reach(ratio);
                (Grid::around(ratio, reach), Grid::centres(ratio), 1)
            }
            Method::Minmax => (pairs, pairs, 2),
            Method::Average | Method::Rms | Method::Decimate => (windows, windows, 1),
        };
        let bits = input.device_clock.map_or(64, |clock| u32::from(clock.bits));
        let instants = match wish.method {
            Method::Filter => Instants::of_centres(stands, bits),
            _ => Instants::of_windows(windows, bits),
        };
        Ok(Resampler {
            wish,
            ratio,
            memory,
            input: input.clone(),
            kernel: None,
            budget: budget.clone(),
            instants,
            grid,
            stands,
            each,
            offset: 0,
            next: 0,
            needs: 0..0,
            position: None,
            missing: None,
            cause: None,
            came: StreamLedger::default(),
            changed: 0,
            absent: Vec::new(),
            told: None,
            header: Header { kind: Kind::DATA, ..*header },
            turn: Vec::new(),
            builder: Builder::new(true),
        })
    }

    /// Whether a stream of this description can go on as this one.
    pub(crate) fn goes_on(&self, ratio: Ratio, input: &Stream) -> bool {
        self.ratio == ratio && are_alike(&self.input, input)
    }

    /// Begins anew where another one was, whose numbers go on. What both would have needed
    /// samples of two kinds for is missing.
    pub(crate) fn take_over(&mut self, before: &Resampler, stage: &str) {
        let Some(position) = before.position else { return };
        let cut = before.number_of(before.stands.first_from(position));
        let own = self.stands.first_from(position) * self.each;
        self.offset = cut.wrapping_sub(own);
        self.start(position);
        let (from, until) = (before.number_of(before.next), self.number_of(self.next));
        if from < until {
            self.changed = until - from;
            let (reason, stage, detail) = (Reason::Device, stage.into(), CHANGED.into());
            self.miss(from..until, &Gap { reason, stage, detail, ..Gap::default() });
        }
    }

    /// The number of the next output, where the input has `seq` next.
    pub(crate) fn number(&self, seq: u64) -> u64 {
        match self.position {
            Some(_) => self.number_of(self.next),
            None => self.number_of(self.first_turn(seq)),
        }
    }

    /// Takes samples, and sends what they complete.
    pub(crate) fn samples(
        &mut self,
        header: &Header,
        samples: &Samples<'_>,
        out: &mut impl Output,
    ) -> Result<()> {
        self.header = *header;
        self.came.take(header.seq, samples.len() as u64, header.time);
        self.open()?;
        for sample in samples.iter() {
            let position = match self.position {
                Some(position) => position,
                None => self.start(sample.seq),
            };
            // One that comes late, or again: its outputs have been made, or told as missing.
            if sample.seq < position {
                continue;
            }
            if i128::from(sample.seq) >= self.needs.start
                && let Some((kernel, _)) = &mut self.kernel
            {
                let absent = self.absent.iter();
                let mut here = absent.filter(|(range, _)| range.contains(&sample.seq));
                let absent = here.next_back().map_or(&[][..], |(_, places)| places);
                kernel.push(sample.seq, sample.bytes, absent);
            }
            self.instants.push(sample.seq, sample.time, sample.device_time);
            self.position = Some(sample.seq.saturating_add(1));
            while self.needs.end <= i128::from(sample.seq) + 1 {
                self.make(out)?;
            }
        }
        self.flush(out)
    }

    /// Takes note of samples that are missing in the input, and tells which outputs are.
    pub(crate) fn gap(
        &mut self,
        header: &Header,
        gap: &Gap,
        out: &mut impl Output,
    ) -> Result<()> {
        self.header = Header { kind: self.header.kind, ..*header };
        let position = match self.position {
            Some(position) => position,
            None => self.start(gap.first),
        };
        if let Some(samples) = gap.incomplete() {
            return self.partial_gap(gap, samples, out);
        }
        self.came.gap(gap);
        if gap.count.is_some() && gap.next() <= position {
            return self.tell_again(gap, out);
        }
        let first = self.number_of(self.next);
        self.skip(position, gap, out)?;
        self.tell(out)?;
        // Told without a number, if no whole output is missing, or nobody knows how many.
        let used =
            self.wish.partial == Partial::Use && self.number_of(self.next) == first;
        if gap.count.is_none() || used {
            let (first, detail) = (self.number_of(self.next), before_thinning(gap));
            let gap = Gap { first, count: None, detail, ..gap.clone() };
            return self.send_gap(&gap, out);
        }
        Ok(())
    }

    /// Takes note of channels that are missing in samples to come, and tells in which outputs
    /// they are.
    fn partial_gap(
        &mut self,
        gap: &Gap,
        samples: u64,
        out: &mut impl Output,
    ) -> Result<()> {
        let end = gap.first.saturating_add(samples);
        let position = self.position.unwrap_or(gap.first);
        self.absent.retain(|(range, _)| range.end > position);
        if self.absent.len() < MAX_ABSENT {
            self.absent.push((gap.first..end, self.places(&gap.channels)));
        }
        let turns = self.grid.touched(gap.first, end);
        // One after the other would tell of the outputs between them twice.
        let told = match &self.told {
            Some((until, channels)) if *channels == gap.channels => *until,
            _ => 0,
        };
        let from = self.number_of(turns.start.max(self.next)).max(told);
        let until = self.number_of(turns.end);
        if from >= until {
            return Ok(());
        }
        self.told = Some((until, gap.channels.clone()));
        self.tell(out)?;
        let partial = Some(until - from);
        self.send_gap(&Gap { first: from, partial, ..gap.clone() }, out)
    }

    /// Where the numbers of these channels are in a sample.
    fn places(&self, channels: &[u32]) -> Vec<u32> {
        let each = self.input.shape.last().copied().unwrap_or(1).max(1);
        let width = u32::try_from(self.input.width()).unwrap_or(u32::MAX);
        let of_row = |row: u32| channels.iter().map(move |channel| row * each + channel);
        (0..width / each).flat_map(of_row).collect()
    }

    /// How many samples came after their outputs had been told as missing, and how many
    /// outputs are missing for a change of the description.
    pub(crate) fn losses(&self) -> (u64, u64) {
        (self.came.reordered(), self.changed)
    }

    /// Sends what can be made of what has come, and what is missing of it.
    pub(crate) fn end(&mut self, out: &mut impl Output) -> Result<()> {
        if let (Some(position), Partial::Use) = (self.position, self.wish.partial) {
            let until = self.stands.first_from(position);
            while self.next < until {
                self.make(out)?;
            }
        }
        self.flush(out)?;
        self.tell(out)
    }

    /// Makes ready for samples.
    fn open(&mut self) -> Result<()> {
        if self.kernel.is_none() {
            let share = self.budget.take(self.memory)?;
            let mut kernel = kernel(self.wish, self.ratio, &self.input);
            kernel.begin(self.next);
            self.kernel = Some((kernel, share));
        }
        Ok(())
    }

    fn start(&mut self, seq: u64) -> u64 {
        self.begin(self.first_turn(seq));
        self.position = Some(seq);
        seq
    }

    /// The first turn that is made of what comes from `seq` on.
    fn first_turn(&self, seq: u64) -> u64 {
        match (self.wish.partial, self.wish.method) {
            (Partial::Drop, _) => self.grid.first_from(seq),
            (Partial::Use, Method::Filter) => self.stands.first_from(seq),
            (Partial::Use, _) => self.grid.first_past(seq),
        }
    }

    fn begin(&mut self, next: u64) {
        if let Some((kernel, _)) = &mut self.kernel {
            kernel.begin(next);
        }
        self.instants.begin(next * self.each);
        self.expect(next);
    }

    fn expect(&mut self, next: u64) {
        self.next = next;
        self.needs = self.grid.begin(next)..self.grid.end(next);
    }

    fn number_of(&self, turn: u64) -> u64 {
        turn.saturating_mul(self.each).wrapping_add(self.offset)
    }

    /// Goes over what is missing.
    fn skip(&mut self, from: u64, gap: &Gap, out: &mut impl Output) -> Result<()> {
        let until = gap.next().max(from);
        let next = match self.wish.partial {
            Partial::Drop => self.grid.first_from(until),
            Partial::Use => {
                self.cause = Some(gap.clone());
                let (from, end) = (i128::from(from), i128::from(until));
                while self.needs.end <= end && self.needs.start < from {
                    self.make(out)?;
                }
                self.grid.first_past(until)
            }
        };
        self.flush(out)?;
        if next > self.next {
            self.miss(self.number_of(self.next)..self.number_of(next), gap);
            self.begin(next);
        }
        self.position = Some(until);
        Ok(())
    }

    /// Makes the next turn, or finds that it cannot be.
    fn make(&mut self, out: &mut impl Output) -> Result<()> {
        let mut turn = std::mem::take(&mut self.turn);
        turn.clear();
        let kernel = self.kernel.as_mut();
        let made = kernel.is_some_and(|(kernel, _)| kernel.finish(&mut turn));
        let size = turn.len() / self.each as usize;
        let first = self.instants.take();
        let second = if self.each == 2 { self.instants.take() } else { None };
        // Of a pair, one may have no samples of its own.
        let times = [first.or(second), second.or(first)];
        let outputs = self.number_of(self.next)..self.number_of(self.next + 1);
        for (n, (seq, time)) in outputs.clone().zip(times).enumerate() {
            if let Some((time, device_time)) = time.filter(|_| made) {
                let bytes = turn.get(n * size..(n + 1) * size).unwrap_or_default();
                self.tell(out)?;
                self.send(&Sample { seq, time, device_time, bytes }, out)?;
            }
        }
        let lacks = |cause: &&Gap| i128::from(cause.next()) > self.needs.start;
        let cause = self.cause.as_ref().filter(|_| !made || times[0].is_none());
        // At the end of a stream, an output may be missing although no sample is.
        if let Some(cause) = cause.filter(lacks).cloned() {
            self.miss(outputs, &cause);
        }
        self.turn = turn;
        self.expect(self.next + 1);
        Ok(())
    }

    fn send(&mut self, sample: &Sample<'_>, out: &mut impl Output) -> Result<()> {
        if self.header.kind == Kind::DATA {
            return out.send_sample(&self.header, sample);
        }
        if self.builder.push(&self.header, sample, MAX_BATCH) {
            return Ok(());
        }
        self.flush(out)?;
        if !self.builder.push(&self.header, sample, MAX_BATCH) {
            // It fills a record by itself.
            return out.send_sample(&self.header, sample);
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut impl Output) -> Result<()> {
        self.builder.finish().map_or(Ok(()), |batch| out.send(batch))
    }

    /// Takes note that outputs are missing.
    fn miss(&mut self, outputs: Range<u64>, cause: &Gap) {
        match &mut self.missing {
            Some((before, _)) if before.end == outputs.start => before.end = outputs.end,
            _ => self.missing = Some((outputs, cause.clone())),
        }
    }

    /// Tells which outputs are missing.
    fn tell(&mut self, out: &mut impl Output) -> Result<()> {
        let Some((outputs, cause)) = self.missing.take() else { return Ok(()) };
        self.flush(out)?;
        let (first, count) = (outputs.start, Some(outputs.end - outputs.start));
        let detail = before_thinning(&cause);
        self.send_gap(&Gap { first, count, detail, ..cause }, out)
    }

    /// A gap that was known: somebody says more of it.
    fn tell_again(&self, gap: &Gap, out: &mut impl Output) -> Result<()> {
        let turns = match self.wish.partial {
            Partial::Drop => self.grid.touched(gap.first, gap.next()),
            Partial::Use => return Ok(()),
        };
        let end = self.number_of(turns.end.min(self.next));
        let first = self.number_of(turns.start);
        if end <= first {
            return Ok(());
        }
        self.send_gap(&Gap { first, count: Some(end - first), ..gap.clone() }, out)
    }

    fn send_gap(&self, gap: &Gap, out: &mut impl Output) -> Result<()> {
        let time = gap.to.or(gap.from).unwrap_or(self.header.time);
        let (kind, seq) = (Kind::GAP, gap.next());
        let header = Header { kind, flags: 0, seq, time, ..self.header };
        out.send(Record::new(header, &gap.to_bytes()))
    }
}

/// What makes the outputs, in the type that holds the numbers exactly where it can.
fn kernel(wish: Wish, ratio: Ratio, input: &Stream) -> Box<dyn Kernel> {
    let (dtype, width) = (input.dtype.unwrap_or(Dtype::F32), input.width());
    let single = wish.dtype(dtype) == Dtype::F32;
    match (wish.method, dtype) {
        (Method::Filter, _) if single => {
            Box::new(Fir::<f32>::new(wish.shape, ratio, dtype, width))
        }
        (Method::Filter, _) => Box::new(Fir::<f64>::new(wish.shape, ratio, dtype, width)),
        (Method::Minmax, Dtype::I64) => Box::new(Extremes::<i64>::new(dtype, width)),
        (Method::Minmax, Dtype::U64) => Box::new(Extremes::<u64>::new(dtype, width)),
        (Method::Minmax, Dtype::F32) => Box::new(Extremes::<f32>::new(dtype, width)),
        (Method::Minmax, _) => Box::new(Extremes::<f64>::new(dtype, width)),
        (method, Dtype::F32) => {
            Box::new(Mean::<f32>::new(method == Method::Rms, dtype, width))
        }
        (method, _) => Box::new(Mean::<f64>::new(method == Method::Rms, dtype, width)),
    }
}

/// What a gap of the input says of itself, where its numbers are others.
fn before_thinning(gap: &Gap) -> String {
    match (gap.count, gap.detail.as_str()) {
        (None, detail) => detail.to_owned(),
        (Some(n), "") => format!("{n} of the samples before thinning"),
        (Some(n), detail) => format!("{n} of the samples before thinning, {detail}"),
    }
}
