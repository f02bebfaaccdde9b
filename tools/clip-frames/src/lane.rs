//! What is known of a stream, and how much of it is in the clip that is open.

use std::sync::Arc;

use libframe::payload::ClockReading;
use libframe::schema::{Media, Stream};
use libframe::wire::{Header, Kind, Record};

/// Different clocks that are remembered of one stream.
const MAX_CLOCKS: usize = 8;

/// A stream of the session that is read.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub(crate) number: u16,
    pub(crate) name: String,
    /// Its description when the oldest record that is kept came.
    pub(crate) base: Arc<[u8]>,
    /// The checksum of its latest.
    pub(crate) described: Option<u32>,
    /// Whether it has samples, and not just events.
    pub(crate) has_samples: bool,
    /// ns between samples, by its description.
    pub(crate) period: Option<i64>,
    /// The longest that it was silent until now.
    pub(crate) longest: i64,
    /// Capture times of its first sample and of its newest.
    pub(crate) first: Option<i64>,
    pub(crate) last: Option<i64>,
    /// The number of its next sample.
    pub(crate) next: u64,
    /// Time of the newest sample that is not kept any more.
    pub(crate) gone: Option<i64>,
    /// Its clock minus the session's: streams of several hosts may be in one session.
    pub(crate) offset: i64,
    /// The last look at each clock that came for it.
    pub(crate) clocks: Vec<(Header, ClockReading)>,
    /// In the clip that is open.
    pub(crate) part: Part,
}

/// How much of a stream is in the open clip.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// It was announced there.
    pub(crate) begun: bool,
    /// The number after its last sample there.
    pub(crate) next: u64,
    /// The number of its first sample after the clip's end.
    pub(crate) done: Option<u64>,
    /// Its description as of the record that is looked at.
    pub(crate) description: Arc<[u8]>,
}

/// From when to before when a clip reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) begin: i64,
    pub(crate) end: i64,
}

impl Window {
    pub(crate) fn holds(self, time: i64) -> bool {
        (self.begin..self.end).contains(&time)
    }
}

impl Part {
    /// Whether a sample is in the clip; notes the first that comes after its end.
    ///
    /// By its time. But numbers must not be left out in the middle, for that would be a
    /// loss to who reads the clip: a stream whose times run back stays in, or out.
    pub(crate) fn takes(&mut self, seq: u64, time: i64, window: Window) -> bool {
        if self.done.is_some_and(|done| seq >= done) {
            return false;
        }
        if time >= window.end {
            self.done = Some(seq);
            return false;
        }
        time >= window.begin || self.begun && seq >= self.next
    }
}

impl Lane {
    /// Learns its description.
    pub(crate) fn describe(&mut self, stream: &Stream) {
        self.name.clone_from(&stream.name);
        self.has_samples = stream.media != Media::Event;
        let rate = stream.rate.filter(|rate| *rate > 1e-6);
        self.period = rate.map(|rate| (1e9 / rate) as i64);
    }

    /// A time of the stream on the session's clock.
    #[inline]
    pub(crate) fn time(&self, raw: i64) -> i64 {
        raw.saturating_sub(self.offset)
    }

    /// Learns from a record of samples.
    pub(crate) fn learn(&mut self, header: &Header, n: u64, newest: i64) {
        let oldest = self.time(header.time);
        self.first.get_or_insert(oldest);
        if let Some(last) = self.last {
            self.longest = self.longest.max(oldest.saturating_sub(last));
        }
        self.last = self.last.max(Some(newest));
        self.has_samples = true;
        self.next = header.seq.saturating_add(n);
    }

    /// Learns what a clock showed.
    pub(crate) fn look_at_clock(&mut self, header: Header, reading: ClockReading) {
        if header.stream != 0 {
            self.offset = reading.offset.unwrap_or(self.offset);
        }
        self.clocks.retain(|(_, other)| other.remote != reading.remote);
        if self.clocks.len() < MAX_CLOCKS {
            self.clocks.push((header, reading));
        }
    }

    /// Takes note of a record that is not kept any more.
    pub(crate) fn forget(&mut self, record: &Record<'_>, newest: i64) {
        match record.header.kind {
            Kind::STREAM => self.base = record.payload.into(),
            kind if kind.has_samples() => self.gone = self.gone.max(Some(newest)),
            _ => {}
        }
    }

    /// Whether it still keeps a clip open.
    pub(crate) fn is_awaited(&self) -> bool {
        self.has_samples && self.part.done.is_none()
    }

    /// Whether its silence until `now` is more than it usually has.
    pub(crate) fn is_stalled(&self, now: i64) -> bool {
        let Some(last) = self.last else { return true };
        let usual = self.period.unwrap_or(self.longest);
        now.saturating_sub(last) > usual.saturating_mul(2)
    }

    /// Whether its samples begin after `begin`, by more than they are apart.
    pub(crate) fn is_late(&self, begin: i64) -> bool {
        let late = self.first.map(|first| first.saturating_sub(begin));
        late.is_some_and(|late| late > self.period.unwrap_or(0))
    }
}

/// All streams of a session.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    /// In the order of their numbers.
    all: Vec<Lane>,
    at: usize,
}

impl Lanes {
    /// The lane of a stream, made if there is none.
    #[inline]
    pub(crate) fn of(&mut self, number: u16) -> &mut Lane {
        if self.all.get(self.at).is_none_or(|lane| lane.number != number) {
            self.at = match self.all.binary_search_by_key(&number, |lane| lane.number) {
                Ok(at) => at,
                Err(at) => {
                    self.all.insert(at, Lane { number, ..Lane::default() });
                    at
                }
            };
        }
        &mut self.all[self.at]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Lane> {
        self.all.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Lane> {
        self.all.iter_mut()
    }

    pub(crate) fn clear(&mut self) {
        self.all.clear();
    }
}
