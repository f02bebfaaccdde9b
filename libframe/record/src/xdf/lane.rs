//! One stream while a file is played: its samples become records with numbers and times.

use std::collections::VecDeque;

use libframe::payload::{Gap, Payload as _, Reason, Totals};
use libframe::schema::{Dtype, Media};
use libframe::wire::{FLAG_DEVICE_TIME, Header, Kind};
use libframe_lsl::info::Format;
use libframe_lsl::values::narrow;
use libframe_xdf::samples::Iter;
use libframe_xdf::{ClockOffset, Run, Sample, Samples, Stamper};

use super::batch::Batch;
use super::device::DeviceTimes;
use super::markers;
use super::survey::{Found, Role};

pub(super) use libframe_lsl::values::nanoseconds;

/// A BATCH is no longer, where a single sample is not: who reads it need not hold more.
const MAX_BATCH: usize = 1 << 20;
/// So many intervals between two samples show that there should be more.
const JUMP: f64 = 1.5;

/// A stream that is being played.
pub(super) struct Lane {
    /// Its session, and its number there.
    pub(super) tag: u32,
    pub(super) number: u16,
    /// Its description, as it is announced, and whether it was.
    pub(super) payload: Vec<u8>,
    pub(super) is_announced: bool,
    /// What it is called, and where it comes from.
    name: String,
    pub(super) host: String,
    /// The number that its next sample has, and which one it is in the file.
    pub(super) next: u64,
    index: u64,
    /// Its clock minus the session's, ns.
    pub(super) ahead: i64,
    form: Form,
    rate: f64,
    stamper: Stamper,
    /// The last sample's time, s of its clock.
    last: Option<f64>,
    /// Samples that the file should have beside those in it, and those of them that were told.
    missing: u64,
    lost: u64,
    /// Whether all that should be there is counted.
    is_counted: bool,
    /// Something was damaged since its last sample.
    in_doubt: bool,
    /// Where numbers do not follow each other.
    runs: VecDeque<Run>,
    /// Records of the stream that stand among the samples, with the number behind them.
    notes: VecDeque<(u64, Header, Vec<u8>)>,
    device: Option<DeviceTimes>,
}

/// What its samples become.
enum Form {
    /// Numbers of so many bytes in all, which were of this type before they went to the file.
    Numbers {
        size: usize,
        made: Option<(Dtype, Format)>,
    },
    Texts {
        channels: usize,
    },
    /// Events of a file that has no records of them.
    Events,
    /// What the file has elsewhere, too.
    Nothing,
}

/// Takes the records that are made.
pub(super) trait Taker {
    /// An empty buffer for a payload.
    fn room(&mut self) -> Vec<u8>;
    fn take(&mut self, header: Header, payload: Vec<u8>);
}

impl Lane {
    /// `is_ours` tells that events and the like are among the records of the file, too.
    pub(super) fn new(found: &Found, is_ours: bool) -> Lane {
        let (info, stream) = (&found.info, &found.stream);
        let channels = info.channel_count as usize;
        let form = match (stream.media, info.format) {
            _ if found.role != Role::Stream => Form::Nothing,
            (Media::Event, _) if is_ours => Form::Nothing,
            (Media::Event, _) => Form::Events,
            (_, Format::String) => Form::Texts { channels },
            (_, format) => {
                let made = stream.dtype.filter(|dtype| dtype.size() != format.size());
                let made = made.map(|dtype| (dtype, format));
                Form::Numbers { size: channels * format.size(), made }
            }
        };
        Lane {
            tag: found.tag,
            number: found.number,
            payload: stream.to_bytes(),
            is_announced: false,
            name: stream.name.clone(),
            host: info.hostname.clone(),
            next: 0,
            index: 0,
            ahead: found.ahead(),
            form,
            rate: info.rate,
            stamper: Stamper::new(info.rate),
            last: None,
            missing: found.missing(),
            lost: 0,
            is_counted: matches!(found.footer, Some(Some(_))),
            in_doubt: false,
            runs: VecDeque::new(),
            notes: VecDeque::new(),
            device: None,
        }
    }

    /// Whether its records are made of what is in its chunks.
    pub(super) fn has_samples(&self) -> bool {
        matches!(self.form, Form::Numbers { .. } | Form::Texts { .. })
    }

    /// A header of its records.
    pub(super) fn header(&self, kind: Kind, time: i64) -> Header {
        let (session, stream, seq) = (self.tag, self.number, self.next);
        Header { kind, flags: 0, stream, session, seq, time, sent: 0 }
    }

    /// When its last sample was there, by the session's clock.
    pub(super) fn now(&self) -> Option<i64> {
        Some(nanoseconds(self.last?).saturating_sub(self.ahead))
    }

    /// Its clock was compared with the session's.
    pub(super) fn compared(&mut self, offset: ClockOffset) -> (i64, i64) {
        self.ahead = -nanoseconds(offset.value);
        (nanoseconds(offset.time), self.ahead)
    }

    /// Something was damaged that may have held samples of it.
    pub(super) fn doubt(&mut self) {
        self.in_doubt = true;
    }

    /// From a place on, samples have other numbers.
    pub(super) fn run(&mut self, run: Run) {
        self.runs.push_back(run);
    }

    /// Where the device's own times of its samples are put.
    pub(super) fn device(&mut self) -> &mut DeviceTimes {
        self.device.get_or_insert_default()
    }

    /// A record that stands among the samples; where there are none, it stands here.
    pub(super) fn note(&mut self, header: Header, payload: Vec<u8>, to: &mut impl Taker) {
        let gap = (header.kind == Kind::GAP).then(|| Gap::from_bytes(&payload).ok());
        let behind = gap.flatten().filter(|gap| gap.count.is_some());
        let place = behind.map_or(header.seq, |gap| gap.next());
        self.notes.push_back((place, header, payload));
        if !self.has_samples() {
            self.give_notes(to);
        }
    }

    /// Gives out what stood behind the last sample.
    pub(super) fn give_notes(&mut self, to: &mut impl Taker) {
        while self.give_note(to) {}
    }

    fn give_note(&mut self, to: &mut impl Taker) -> bool {
        let Some((_, header, payload)) = self.notes.pop_front() else { return false };
        self.is_announced |= header.kind == Kind::STREAM;
        to.take(header, payload);
        true
    }

    /// Counts samples that nobody wants to see; false, and nothing is done, if some are not
    /// before `from` by the session's clock.
    pub(super) fn pass(
        &mut self,
        samples: &Samples<'_>,
        from: i64,
        to: &mut impl Taker,
    ) -> bool {
        let mut stamper = self.stamper;
        let last = match samples.are_stamped() {
            true => samples.last().map(|sample| stamper.time(sample.time)),
            false => samples.iter().map(|sample| stamper.time(sample.time)).last(),
        };
        let Some(last) = last else { return true };
        if nanoseconds(last).saturating_sub(self.ahead) >= from {
            return false;
        }
        (self.stamper, self.last, self.in_doubt) = (stamper, Some(last), false);
        let mut left = if self.has_samples() { samples.len() } else { 0 };
        while left > 0 {
            let n = self.segment(left, to);
            self.advance(n as usize);
            left -= n;
        }
        true
    }

    /// Makes records of the samples of a chunk.
    pub(super) fn take(
        &mut self,
        samples: &Samples<'_>,
        file: &str,
        to: &mut impl Taker,
    ) {
        if std::mem::take(&mut self.in_doubt)
            && let Some(first) = samples.iter().next()
        {
            self.look_for_missing(first.time, file, to);
        }
        let mut all = samples.iter();
        if let Form::Events = self.form {
            return self.take_events(all, to);
        }
        let mut left = if self.has_samples() { samples.len() } else { 0 };
        while left > 0 {
            let n = self.segment(left, to) as usize;
            left -= match self.form {
                Form::Numbers { size, made } => {
                    self.take_batch(&mut all, n, size, made, to)
                }
                Form::Texts { channels } => self.take_texts(&mut all, n, channels, to),
                Form::Events | Form::Nothing => n,
            } as u64;
        }
    }

    /// Gives out what stands before the next sample, and tells how many follow of which
    /// nothing is to be said.
    fn segment(&mut self, left: u64, to: &mut impl Taker) -> u64 {
        while let Some(run) = self.runs.front().filter(|run| run.index <= self.index) {
            self.next = run.seq.wrapping_add(self.index - run.index);
            self.runs.pop_front();
        }
        while self.notes.front().is_some_and(|(place, ..)| *place <= self.next) {
            self.give_note(to);
        }
        let run = self.runs.front().map_or(u64::MAX, |run| run.index - self.index);
        let note = self.notes.front().map_or(u64::MAX, |(place, ..)| place - self.next);
        left.min(run).min(note)
    }

    /// Takes up to `n` samples as one BATCH; tells how many.
    fn take_batch(
        &mut self,
        all: &mut Iter<'_>,
        n: usize,
        size: usize,
        made: Option<(Dtype, Format)>,
        to: &mut impl Taker,
    ) -> usize {
        let most = (MAX_BATCH / (size + 8)).max(1);
        let (next, n) = (self.next, n.min(most));
        let (n, timed) = match &mut self.device {
            Some(device) => device.agree(next, n),
            None => (n, false),
        };
        let mut batch = Batch::new(to.room(), n, timed);
        batch.payload.reserve(n * size);
        for sample in all.by_ref().take(n) {
            batch.time(self.time(&sample));
            if timed && let Some(device) = &mut self.device {
                batch.device_time(device.take());
            }
            match made {
                None => batch.payload.extend_from_slice(sample.values),
                Some((dtype, format)) => {
                    narrow(dtype, format, sample.values, &mut batch.payload);
                }
            }
        }
        let flags = if timed { FLAG_DEVICE_TIME } else { 0 };
        let header = Header { flags, ..self.header(Kind::BATCH, batch.first) };
        to.take(header, batch.payload);
        self.advance(n);
        n
    }

    /// Texts are DATA, one by one: there are not many, and each may be long.
    fn take_texts(
        &mut self,
        all: &mut Iter<'_>,
        n: usize,
        channels: usize,
        to: &mut impl Taker,
    ) -> usize {
        for sample in all.by_ref().take(n) {
            let time = self.time(&sample);
            let mut payload = to.room();
            markers::text(sample.values, channels, &mut payload);
            to.take(self.header(Kind::DATA, time), payload);
            self.advance(1);
        }
        n
    }

    fn take_events(&mut self, all: Iter<'_>, to: &mut impl Taker) {
        for sample in all {
            let time = self.time(&sample);
            let payload = markers::event(sample.values, &self.name);
            to.take(self.header(Kind::EVENT, time), payload);
        }
    }

    #[inline]
    fn time(&mut self, sample: &Sample<'_>) -> i64 {
        let time = self.stamper.time(sample.time);
        self.last = Some(time);
        nanoseconds(time)
    }

    fn advance(&mut self, n: usize) {
        self.index += n as u64;
        self.next = self.next.saturating_add(n as u64);
    }

    /// Tells what is missing before a sample that comes behind damage: if its time goes on
    /// where the last one's ended, nothing is.
    fn look_for_missing(&mut self, time: Option<f64>, file: &str, to: &mut impl Taker) {
        let intervals = match (time, self.last) {
            (Some(time), Some(last)) if self.rate > 0.0 => {
                Some((time - last) * self.rate)
            }
            _ => None,
        };
        if intervals.is_some_and(|intervals| intervals < JUMP) || !self.has_samples() {
            return;
        }
        let room = intervals
            .map_or(u64::MAX, |intervals| (intervals.round() as u64).saturating_sub(1));
        match self.is_counted {
            true => self.lose(self.missing.min(room), Reason::Corrupt, file, to),
            false => self.tell(None, Reason::Corrupt, file, to),
        }
    }

    /// Nothing more will come: what is missing beside is told.
    pub(super) fn end(&mut self, reason: Reason, file: &str, to: &mut impl Taker) {
        if self.has_samples() {
            self.lose(self.missing, reason, file, to);
        }
    }

    /// What END says of it.
    pub(super) fn totals(&self) -> Totals {
        let (stream, next) = (self.number, self.next);
        Totals { stream, first: 0, next, samples: next - self.lost, lost: self.lost }
    }

    fn lose(&mut self, count: u64, reason: Reason, file: &str, to: &mut impl Taker) {
        if count > 0 {
            self.missing -= count;
            self.lost += count;
            self.tell(Some(count), reason, file, to);
        }
    }

    fn tell(
        &mut self,
        count: Option<u64>,
        reason: Reason,
        file: &str,
        to: &mut impl Taker,
    ) {
        let from = self.last.map(nanoseconds);
        let detail = match count {
            Some(_) => "the footer counts more samples than are in the file",
            None => "no footer tells how many samples there were",
        };
        let gap = Gap {
            first: self.next,
            count,
            reason,
            stage: file.into(),
            from,
            detail: detail.into(),
            ..Gap::default()
        };
        self.advance(count.unwrap_or(0) as usize);
        let time = from.unwrap_or_default();
        to.take(self.header(Kind::GAP, time), gap.to_bytes());
    }
}
