//! What is learnt of a session while its records go by.

use std::collections::BTreeMap;

use libframe::batch::Samples;
use libframe::catalog::Catalog;
use libframe::payload::{ClockReading, Gap, Payload as _, Session, Stats};
use libframe::schema::Stream;
use libframe::stages::Stages;
use libframe::wire::{Kind, Record};

/// Gaps that are listed one by one in each session; the others are counted.
const MAX_GAPS: usize = 100;

#[derive(Debug, Default)]
pub(crate) struct SessionView {
    pub(crate) session: Option<Session>,
    pub(crate) streams: BTreeMap<u16, StreamView>,
    pub(crate) stages: Stages,
    pub(crate) gaps: Vec<(u16, Gap)>,
    pub(crate) more_gaps: u64,
    /// The stage that stopped without END, if one further up says so.
    pub(crate) broke_off: Option<String>,
    pub(crate) clock: ClockView,
    pub(crate) events: u64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// A stream's samples.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamView {
    /// The description in force at the end, and how many there were.
    pub(crate) stream: Stream,
    pub(crate) descriptions: u64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) samples: u64,
    /// First and last capture time.
    pub(crate) times: Option<(i64, i64)>,
    checksum: u32,
}

/// The host's wall clock as CLOCK records show it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClockView {
    pub(crate) readings: u64,
    first: Option<(i64, i64)>,
    last: Option<(i64, i64)>,
    /// The largest jump between two readings, ns.
    pub(crate) step: i64,
    /// The worst error that the kernel admitted, ns.
    pub(crate) error: Option<i64>,
}

impl SessionView {
    #[inline]
    pub(crate) fn take(&mut self, record: &Record<'_>, catalog: &Catalog) {
        self.records += 1;
        self.bytes += record.wire_len() as u64;
        match record.header.kind {
            Kind::DATA | Kind::BATCH => {
                let view = self.streams.entry(record.header.stream).or_default();
                view.take(record, catalog);
            }
            _ => self.take_other(record, catalog),
        }
    }

    fn take_other(&mut self, record: &Record<'_>, catalog: &Catalog) {
        match record.header.kind {
            Kind::SESSION => {
                if let Ok(session) = Session::from_bytes(record.payload) {
                    self.session = Some(session);
                }
            }
            Kind::STREAM => {
                let view = self.streams.entry(record.header.stream).or_default();
                view.describe(record, catalog);
            }
            Kind::GAP if record.header.stream == 0 => {
                let gap = Gap::from_bytes(record.payload).ok();
                self.broke_off = gap.map(|gap| gap.stage);
            }
            Kind::GAP => match Gap::from_bytes(record.payload) {
                Ok(gap) if self.gaps.len() < MAX_GAPS => {
                    self.gaps.push((record.header.stream, gap));
                }
                _ => self.more_gaps += 1,
            },
            Kind::CLOCK => {
                if let Ok(reading) = ClockReading::from_bytes(record.payload) {
                    self.clock.take(&reading);
                }
            }
            Kind::EVENT => self.events += 1,
            Kind::STATS => {
                if let Ok(stats) = Stats::from_bytes(record.payload) {
                    self.stages.take(stats);
                }
            }
            _ => {}
        }
    }
}

impl StreamView {
    #[inline]
    fn take(&mut self, record: &Record<'_>, catalog: &Catalog) {
        self.records += 1;
        self.bytes += record.payload.len() as u64;
        self.samples += record.samples();
        let first = record.header.time;
        let last = match record.header.kind {
            Kind::BATCH => {
                let fixed = catalog.is_fixed(record);
                let samples = Samples::parse(record, fixed).ok();
                samples.map_or(first, |all| all.time(all.len().saturating_sub(1)))
            }
            _ => first,
        };
        let (begin, end) = self.times.unwrap_or((first, last));
        self.times = Some((begin.min(first), end.max(last)));
    }

    fn describe(&mut self, record: &Record<'_>, catalog: &Catalog) {
        if self.descriptions > 0 && self.checksum == record.payload_crc() {
            return;
        }
        self.checksum = record.payload_crc();
        self.descriptions += 1;
        self.stream = catalog.of(record).cloned().unwrap_or_default();
    }

    /// Samples a second between the first and the last.
    pub(crate) fn measured_rate(&self, expected: u64) -> Option<f64> {
        let (first, last) = self.times?;
        let intervals = expected.checked_sub(1).filter(|n| *n > 0)?;
        (last > first).then(|| intervals as f64 * 1e9 / (last as f64 - first as f64))
    }
}

impl ClockView {
    fn take(&mut self, reading: &ClockReading) {
        let Some(realtime) = reading.realtime.filter(|_| reading.remote.is_empty())
        else {
            return;
        };
        let now = (reading.monotonic, realtime.wrapping_sub(reading.monotonic));
        if let Some((_, before)) = self.last {
            let step = now.1.wrapping_sub(before);
            if step.unsigned_abs() > self.step.unsigned_abs() {
                self.step = step;
            }
        }
        self.readings += 1;
        self.first = self.first.or(Some(now));
        self.last = Some(now);
        self.error = self.error.max(reading.error);
    }

    /// How much faster the wall clock ran than the monotonic one, in parts in a million.
    pub(crate) fn drift_ppm(&self) -> Option<f64> {
        let ((from, before), (to, after)) = (self.first?, self.last?);
        (to > from)
            .then(|| (after as f64 - before as f64) * 1e6 / (to as f64 - from as f64))
    }
}
