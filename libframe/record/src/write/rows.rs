//! What the tables have of EVENT, GAP, CLOCK and STATS.

use libframe::histogram::Histogram;
use libframe::payload::{ClockReading, Event, Gap, Payload as _, Stats, Value};
use libframe::wire::{Header, Kind};

use super::table::Cell;
use crate::layout::table;

/// A row of a table.
pub(crate) type Row<'a> = Vec<(&'static str, Cell<'a>)>;

/// Where a record stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct At {
    /// The session's number, from 1.
    pub(crate) session: i32,
    /// What makes its monotonic times wall clock times, ns.
    pub(crate) offset: i64,
    /// Rows of the stream that came before.
    pub(crate) row: u64,
}

/// The tables, by the kinds they are for.
pub(crate) const TABLES: [(Kind, &str); 4] = [
    (Kind::EVENT, table::EVENTS),
    (Kind::GAP, table::GAPS),
    (Kind::CLOCK, table::CLOCK),
    (Kind::STATS, table::STATS),
];

/// Seconds since 1970, of a monotonic time; rounded once.
pub(crate) fn seconds(time: i64, offset: i64) -> f64 {
    let ns = time.saturating_add(offset);
    let (whole, rest) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
    whole as f64 + rest as f64 * 1e-9
}

/// A payload, as far as it can be read.
pub(crate) enum Entry {
    Event(Event),
    Gap(Option<Gap>),
    Clock(ClockReading),
    Stats(Box<Stats>),
}

impl Entry {
    /// Reads a payload; what cannot be read has no fields, and is kept as it is.
    pub(crate) fn read(kind: Kind, payload: &[u8]) -> Entry {
        match kind {
            Kind::EVENT => Entry::Event(Event::from_bytes(payload).unwrap_or_default()),
            Kind::GAP => Entry::Gap(Gap::from_bytes(payload).ok()),
            Kind::CLOCK => {
                Entry::Clock(ClockReading::from_bytes(payload).unwrap_or_default())
            }
            _ => Entry::Stats(Stats::from_bytes(payload).unwrap_or_default().into()),
        }
    }

    /// Its row.
    pub(crate) fn row<'a>(&'a self, header: &Header, at: At) -> Row<'a> {
        let mut row = vec![
            (table::SESSION, Cell::I32(at.session)),
            (table::STREAM, Cell::I32(header.stream.into())),
            (table::SEQ, Cell::U64(header.seq)),
            (table::TIME_NS, Cell::I64(header.time)),
            (table::TIMESTAMPS, Cell::F64(seconds(header.time, at.offset))),
            (table::ROW, Cell::U64(at.row)),
        ];
        match self {
            Entry::Event(event) => row.extend(of_event(event)),
            Entry::Gap(gap) => row.extend(of_gap(gap.as_ref())),
            Entry::Clock(clock) => row.extend(of_clock(clock)),
            Entry::Stats(stats) => row.extend(of_stats(stats)),
        }
        row
    }
}

fn of_event(event: &Event) -> impl Iterator<Item = (&'static str, Cell<'_>)> {
    let (number, text) = match &event.value {
        Value::Nil => (f64::NAN, ""),
        Value::Bool(value) => (f64::from(u8::from(*value)), ""),
        Value::Int(value) => (*value as f64, ""),
        Value::Float(value) => (*value, ""),
        Value::Text(text) => (f64::NAN, text.as_str()),
    };
    let cells = [
        Cell::Text(64, &event.label),
        Cell::F64(number),
        Cell::Text(128, text),
        Cell::Text(64, &event.source),
    ];
    table::EVENT_COLUMNS.into_iter().zip(cells)
}

fn of_gap(gap: Option<&Gap>) -> impl Iterator<Item = (&'static str, Cell<'_>)> {
    let count = gap.and_then(|gap| gap.count);
    let cells = [
        Cell::U64(gap.map_or(0, |gap| gap.first)),
        Cell::I64(count.map_or(-1, |count| i64::try_from(count).unwrap_or(i64::MAX))),
        Cell::Text(16, gap.map_or("unknown", |gap| gap.reason.name())),
        Cell::Text(64, gap.map_or("", |gap| &gap.stage)),
        Cell::I64(gap.and_then(|gap| gap.from).unwrap_or(0)),
        Cell::I64(gap.and_then(|gap| gap.to).unwrap_or(0)),
        Cell::Text(128, gap.map_or("", |gap| &gap.detail)),
    ];
    table::GAP_COLUMNS.into_iter().zip(cells)
}

fn of_clock(clock: &ClockReading) -> impl Iterator<Item = (&'static str, Cell<'_>)> {
    let cells = [
        Cell::I64(clock.monotonic),
        Cell::I64(clock.realtime.unwrap_or(0)),
        Cell::I64(clock.error.unwrap_or(-1)),
        Cell::Text(64, &clock.remote),
        Cell::I64(clock.offset.unwrap_or(0)),
        Cell::I64(clock.round_trip.unwrap_or(-1)),
    ];
    table::CLOCK_COLUMNS.into_iter().zip(cells)
}

fn of_stats(stats: &Stats) -> impl Iterator<Item = (&'static str, Cell<'_>)> {
    let mut hop = Histogram::default();
    hop.add_pairs(&stats.hop);
    let quantile = |share| hop.quantile(share).map_or(-1, whole);
    let cells = [
        Cell::Text(64, &stats.stage),
        Cell::I32(i32::try_from(stats.index).unwrap_or(i32::MAX)),
        Cell::I64(stats.from),
        Cell::I64(stats.to),
        Cell::I64(whole(stats.input.records)),
        Cell::I64(whole(stats.input.samples)),
        Cell::I64(whole(stats.input.bytes)),
        Cell::I64(whole(stats.output.records)),
        Cell::I64(whole(stats.output.samples)),
        Cell::I64(whole(stats.output.bytes)),
        Cell::I64(whole(stats.dropped)),
        Cell::I64(whole(stats.queue)),
        Cell::I64(quantile(0.5)),
        Cell::I64(quantile(0.99)),
        Cell::I64(whole(stats.rss)),
        Cell::I64(whole(stats.cpu)),
    ];
    table::STATS_COLUMNS.into_iter().zip(cells)
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
