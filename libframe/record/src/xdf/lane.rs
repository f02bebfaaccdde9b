//! One stream while a file is played: its samples become records with numbers and times.

use libframe::payload::{Gap, Payload as _, Reason, Totals};
use libframe::schema::{Dtype, Media};
use libframe::wire::{Header, Kind};
use libframe_lsl::info::Format;
use libframe_lsl::values::narrow;
use libframe_xdf::{Sample, Samples, Stamper};

use super::markers;
use super::survey::Found;

pub(super) use libframe_lsl::values::nanoseconds;

/// A BATCH is no longer, where a single sample is not: who reads it need not hold more.
const MAX_BATCH: usize = 1 << 20;
/// Times of a stream of this many intervals without a sample show that some are missing.
const JUMP: f64 = 1.5;

/// A stream that is being played.
pub(super) struct Lane {
    pub(super) number: u16,
    /// Its description, as it is announced.
    pub(super) payload: Vec<u8>,
    /// What it is called, and where it comes from.
    pub(super) name: String,
    pub(super) host: String,
    /// The number that its next sample has.
    pub(super) next: u64,
    /// Its clock minus the session's, ns.
    pub(super) ahead: i64,
    form: Form,
    rate: f64,
    stamper: Stamper,
    /// The last sample's time, s of its clock.
    last: Option<f64>,
    /// Samples that the file should have beside those in it.
    missing: u64,
    /// Of those, what was told.
    lost: u64,
    /// Whether all that should be there is counted.
    is_counted: bool,
    /// Something was damaged since its last sample.
    in_doubt: bool,
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
    Events,
}

/// Takes the records that are made.
pub(super) trait Taker {
    /// An empty buffer for a payload.
    fn room(&mut self) -> Vec<u8>;
    fn take(&mut self, header: Header, payload: Vec<u8>);
}

impl Lane {
    pub(super) fn new(found: &Found) -> Lane {
        let (info, stream) = (&found.info, &found.stream);
        let channels = info.channel_count as usize;
        let form = match (stream.media, info.format) {
            (Media::Event, _) => Form::Events,
            (_, Format::String) => Form::Texts { channels },
            (_, format) => {
                let made = stream.dtype.filter(|dtype| dtype.size() != format.size());
                let made = made.map(|dtype| (dtype, format));
                Form::Numbers { size: channels * format.size(), made }
            }
        };
        Lane {
            number: found.number,
            payload: stream.to_bytes(),
            name: stream.name.clone(),
            host: info.hostname.clone(),
            next: 0,
            ahead: found.offset.map_or(0, |offset| -nanoseconds(offset.value)),
            form,
            rate: info.rate,
            stamper: Stamper::new(info.rate),
            last: None,
            missing: found.missing(),
            lost: 0,
            is_counted: matches!(found.footer, Some(Some(_))),
            in_doubt: false,
        }
    }

    /// A header of its records.
    pub(super) fn header(&self, kind: Kind, time: i64) -> Header {
        let (stream, seq) = (self.number, self.next);
        Header { kind, flags: 0, stream, session: 0, seq, time, sent: 0 }
    }

    /// When its last sample was there, by the session's clock.
    pub(super) fn now(&self) -> Option<i64> {
        Some(nanoseconds(self.last?).saturating_sub(self.ahead))
    }

    /// Something was damaged that may have held samples of it.
    pub(super) fn doubt(&mut self) {
        self.in_doubt = true;
    }

    /// Counts samples that nobody wants to see; false, and nothing is done, if some are not
    /// before `from` by the session's clock.
    pub(super) fn pass(&mut self, samples: &Samples<'_>, from: i64) -> bool {
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
        if !matches!(self.form, Form::Events) {
            self.next += samples.len();
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
        match self.form {
            Form::Numbers { size, made: None } => self.take_numbers(samples, size, to),
            Form::Numbers { made: Some(made), .. } => {
                self.take_narrowed(samples, made, to)
            }
            Form::Texts { channels } => self.take_texts(samples, channels, to),
            Form::Events => self.take_events(samples, to),
        }
    }

    fn take_numbers(&mut self, samples: &Samples<'_>, size: usize, to: &mut impl Taker) {
        let most = (MAX_BATCH / (size + 8)).max(1);
        let (mut left, mut all) = (samples.len() as usize, samples.iter());
        while left > 0 {
            let n = left.min(most);
            let mut batch = Batch::new(to.room(), n);
            batch.payload.reserve(n * size);
            for sample in all.by_ref().take(n) {
                batch.time(self.time(&sample));
                batch.payload.extend_from_slice(sample.values);
            }
            left -= n;
            self.send(batch, to);
        }
    }

    fn take_narrowed(
        &mut self,
        samples: &Samples<'_>,
        (dtype, format): (Dtype, Format),
        to: &mut impl Taker,
    ) {
        let size = samples.iter().next().map_or(0, |sample| sample.values.len());
        let most = (MAX_BATCH / (size + 8)).max(1);
        let (mut left, mut all) = (samples.len() as usize, samples.iter());
        while left > 0 {
            let n = left.min(most);
            let mut batch = Batch::new(to.room(), n);
            for sample in all.by_ref().take(n) {
                batch.time(self.time(&sample));
                narrow(dtype, format, sample.values, &mut batch.payload);
            }
            left -= n;
            self.send(batch, to);
        }
    }

    /// Texts are DATA, one by one: there are not many, and each may be long.
    fn take_texts(
        &mut self,
        samples: &Samples<'_>,
        channels: usize,
        to: &mut impl Taker,
    ) {
        for sample in samples.iter() {
            let time = self.time(&sample);
            let mut payload = to.room();
            markers::text(sample.values, channels, &mut payload);
            to.take(self.header(Kind::DATA, time), payload);
            self.next += 1;
        }
    }

    fn take_events(&mut self, samples: &Samples<'_>, to: &mut impl Taker) {
        for sample in samples.iter() {
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

    fn send(&mut self, batch: Batch, to: &mut impl Taker) {
        to.take(self.header(Kind::BATCH, batch.first), batch.payload);
        self.next += batch.n as u64;
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
        if intervals.is_some_and(|intervals| intervals < JUMP)
            || matches!(self.form, Form::Events)
        {
            return;
        }
        let room = intervals.map_or(u64::MAX, |intervals| intervals.round() as u64 - 1);
        match self.is_counted {
            true => self.lose(self.missing.min(room), Reason::Corrupt, file, to),
            false => self.tell(None, Reason::Corrupt, file, to),
        }
    }

    /// Nothing more will come: what is missing beside is told.
    pub(super) fn end(&mut self, reason: Reason, file: &str, to: &mut impl Taker) {
        if !matches!(self.form, Form::Events) {
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
        self.next = gap.next();
        let time = from.unwrap_or_default();
        to.take(self.header(Kind::GAP, time), gap.to_bytes());
    }
}

/// The payload of a BATCH, as it grows.
struct Batch {
    n: usize,
    first: i64,
    payload: Vec<u8>,
    /// Where the next time goes.
    at: usize,
}

impl Batch {
    fn new(mut payload: Vec<u8>, n: usize) -> Batch {
        payload.extend_from_slice(&(n as u32).to_le_bytes());
        payload.extend_from_slice(&[0; 4]);
        let at = payload.len();
        payload.resize(at + 8 * n, 0);
        Batch { n, first: 0, payload, at }
    }

    #[inline]
    fn time(&mut self, time: i64) {
        if self.at == 8 {
            self.first = time;
        }
        let offset = time.wrapping_sub(self.first).to_le_bytes();
        if let Some(place) = self.payload.get_mut(self.at..self.at + 8) {
            place.copy_from_slice(&offset);
        }
        self.at += 8;
    }
}
