//! One stream of a session that is open: its account, and what that adds to the figures.

use libframe::batch::Samples;
use libframe::catalog::Catalog;
use libframe::clock::SECOND;
use libframe::ledger::{Loss, StreamLedger};
use libframe::payload::{Gap, Reason};
use libframe::schema::Stream;
use libframe::wire::{Kind, Record};

use crate::figures::{Figures, StreamFigures};
use crate::label::{Labels, SHORT};
use crate::table::OTHER;

/// Over how much time a stream's rate is measured, at least.
const WINDOW: i64 = 2 * SECOND;

/// A stream of a session.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) number: u16,
    /// Its row among the streams.
    pub(crate) row: usize,
    ledger: StreamLedger,
    /// What of the ledger's losses is in the figures, in the same order.
    booked: Vec<Booked>,
    /// The same of samples that came, twice, and late.
    samples: u64,
    duplicates: u64,
    reordered: u64,
    /// CRC of the description in force.
    description: Option<u32>,
    /// Capture times of the first and the last sample.
    times: Option<(i64, i64)>,
    /// Number and capture time of the sample that the rate is measured from.
    window: Option<(u64, i64)>,
    /// Samples came since the figures were dated.
    is_fresh: bool,
}

#[derive(Debug, Default)]
struct Booked {
    row: usize,
    samples: u64,
    places: u64,
    unknown: u64,
    partial: u64,
}

impl Lane {
    pub(crate) fn new(number: u16, name: &str, figures: &mut Figures) -> Lane {
        Lane {
            number,
            row: row(name, figures),
            ledger: StreamLedger::default(),
            booked: Vec::new(),
            samples: 0,
            duplicates: 0,
            reordered: 0,
            description: None,
            times: None,
            window: None,
            is_fresh: false,
        }
    }

    /// Takes the samples of a DATA or BATCH.
    #[inline]
    pub(crate) fn take(
        &mut self,
        record: &Record<'_>,
        catalog: &Catalog,
        figures: &mut Figures,
    ) {
        let header = &record.header;
        let n = record.samples();
        let in_order = header.seq == self.ledger.next() && self.ledger.first().is_some();
        let hole = self.ledger.take(header.seq, n, header.time);
        if let Some(hole) = hole {
            // Holes come as GAPs in their place, so this is one that nobody told.
            self.ledger.explain(&untold(hole.start, hole.end - hole.start));
        }
        let last = last_time(record, catalog);
        let (first, until) = self.times.unwrap_or((header.time, last));
        self.times = Some((first.min(header.time), until.max(last)));
        self.is_fresh = true;
        let row = figures.streams.at(self.row);
        row.records += 1;
        row.bytes += record.wire_len() as u64;
        row.samples += self.ledger.samples() - self.samples;
        self.samples = self.ledger.samples();
        row.next = self.ledger.next();
        self.measure(header.seq, header.time, row);
        if !in_order {
            self.settle(figures);
        }
    }

    /// Measures the rate from one record's first sample to that of another. Those missing
    /// between took their time too.
    fn measure(&mut self, seq: u64, time: i64, row: &mut StreamFigures) {
        let (from, since) = *self.window.get_or_insert((seq, time));
        let span = time.saturating_sub(since);
        if span >= WINDOW && seq > from {
            row.rate = Some((seq - from) as f64 * 1e9 / span as f64);
            self.window = Some((seq, time));
        } else if span < 0 || seq < from {
            self.window = Some((seq, time));
        }
    }

    /// Takes a GAP.
    pub(crate) fn gap(&mut self, gap: &Gap, figures: &mut Figures) {
        if let Some(hole) = self.ledger.gap(gap) {
            self.ledger.explain(&untold(hole.start, hole.end - hole.start));
        }
        figures.streams.at(self.row).next = self.ledger.next();
        self.settle(figures);
    }

    /// Learns what the stream is.
    pub(crate) fn describe(
        &mut self,
        record: &Record<'_>,
        catalog: &Catalog,
        figures: &mut Figures,
    ) {
        if self.description == Some(record.payload_crc()) {
            return;
        }
        let Some(stream) = catalog.of(record) else { return };
        self.description = Some(record.payload_crc());
        self.row = row(&stream.name, figures);
        // The losses of one that was not known before, or has another name now, begin anew.
        self.booked.iter_mut().for_each(|booked| booked.row = usize::MAX);
        let info = info(stream, figures.streams.labels(self.row));
        let row = figures.streams.at(self.row);
        row.descriptions += 1;
        row.info = Some(info);
        row.channels = Some(stream.shape.last().map_or(1, |n| u64::from(*n)));
        row.nominal = stream.rate;
    }

    /// Enters what the ledger has of losses, and of samples that came twice or late.
    #[cold]
    fn settle(&mut self, figures: &mut Figures) {
        let (duplicates, reordered) = (self.ledger.duplicates(), self.ledger.reordered());
        let row = figures.streams.at(self.row);
        row.duplicates += duplicates - self.duplicates;
        row.reordered += reordered - self.reordered;
        (self.duplicates, self.reordered) = (duplicates, reordered);
        let stream = figures.streams.labels(self.row).clone();
        for (at, loss) in self.ledger.losses().iter().enumerate() {
            if self.booked.len() == at {
                self.booked.reserve_exact(1);
                self.booked.push(Booked { row: usize::MAX, ..Booked::default() });
            }
            let (lost, found) = self.booked[at].book(loss, &stream, figures);
            let row = figures.streams.at(self.row);
            row.missing = row.missing.saturating_add(lost).saturating_sub(found);
        }
    }

    /// Tells when the last samples were captured, if any came since this was done last.
    pub(crate) fn date(
        &mut self,
        now: i64,
        on_our_clocks: impl FnOnce(i64) -> (Option<i64>, Option<i64>),
        figures: &mut Figures,
    ) {
        let Some((first, last)) = self.times.filter(|_| self.is_fresh) else { return };
        self.is_fresh = false;
        let row = figures.streams.at(self.row);
        (row.captured, row.captured_realtime) = on_our_clocks(last);
        row.arrived = Some(now);
        let numbered = self.ledger.samples() + self.ledger.lost();
        let intervals = numbered.saturating_sub(1);
        row.mean_rate = (last > first && intervals > 0)
            .then(|| intervals as f64 * 1e9 / (last as f64 - first as f64));
    }
}

impl Booked {
    /// Enters what a loss has gained. One that became less was made good, which is counted
    /// apart: a count must not go down. Returns how many samples are lost, and found.
    fn book(
        &mut self,
        loss: &Loss,
        stream: &Labels,
        figures: &mut Figures,
    ) -> (u64, u64) {
        let old = (self.samples, self.places, self.unknown, self.partial);
        let new = (loss.samples, loss.places, loss.unknown, loss.partial);
        if old == new {
            return (0, 0);
        }
        if self.row == usize::MAX {
            self.row = loss_row(stream, &loss.stage, loss.reason, figures);
        }
        let row = figures.losses.at(self.row);
        let gained = |now: u64, before: u64| now.saturating_sub(before);
        let lost = gained(loss.samples, self.samples);
        let found = gained(self.samples, loss.samples);
        row.samples = row.samples.saturating_add(lost);
        row.found = row.found.saturating_add(found);
        row.gaps += gained(loss.places, self.places);
        row.unknown += gained(loss.unknown, self.unknown);
        row.partial = row.partial.saturating_add(gained(loss.partial, self.partial));
        (self.samples, self.places, self.unknown, self.partial) = new;
        (lost, found)
    }
}

/// The row of a stream.
fn row(name: &str, figures: &mut Figures) -> usize {
    let labels = Labels::new(&[("stream", name)]);
    figures.streams.place(&labels, || Labels::new(&[("stream", OTHER)]))
}

fn loss_row(
    stream: &Labels,
    stage: &str,
    reason: Reason,
    figures: &mut Figures,
) -> usize {
    let reason = ("reason", reason.name());
    let labels = stream.with(&[("stage", stage), reason], SHORT);
    let other = || Labels::new(&[("stream", OTHER), ("stage", OTHER), reason]);
    figures.losses.place(&labels, other)
}

fn untold(first: u64, count: u64) -> Gap {
    Gap { first, count: Some(count), ..Gap::default() }
}

/// What a stream is, as labels.
fn info(stream: &Stream, labels: &Labels) -> Labels {
    let shape: Vec<_> = stream.shape.iter().map(u32::to_string).collect();
    let unit = stream.channels.first().map_or("", |channel| channel.unit.as_str());
    let device = &stream.device;
    let pairs = [
        ("media", stream.media.name()),
        ("dtype", stream.dtype.map_or("", |dtype| dtype.name())),
        ("shape", &shape.join("x")),
        ("format", &stream.format),
        ("unit", unit),
        ("make", &device.make),
        ("model", &device.model),
        ("serial", &device.serial),
        ("port", &device.port),
    ];
    labels.with(&pairs, SHORT)
}

/// Capture time of a record's last sample.
#[inline]
fn last_time(record: &Record<'_>, catalog: &Catalog) -> i64 {
    let first = record.header.time;
    if record.header.kind != Kind::BATCH {
        return first;
    }
    let samples = Samples::parse(record, catalog.is_fixed(record)).ok();
    samples.map_or(first, |all| all.time(all.len().saturating_sub(1)))
}
