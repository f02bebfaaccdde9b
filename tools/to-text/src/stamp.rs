//! Capture times as people and programs want to read them.

use std::collections::BTreeMap;
use std::io::Write as _;

use clap::ValueEnum;
use jiff::Timestamp;
use libframe::payload::{ClockReading, Payload as _, Session};
use libframe::wire::{Kind, Record};

/// How to write times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TimeFormat {
    /// Wall-clock time in UTC, to the nanosecond
    Rfc3339,
    /// Nanoseconds since 1970
    Ns,
    /// Seconds since 1970
    S,
    /// Nanoseconds of the capturing host's monotonic clock, as recorded
    Monotonic,
}

/// Turns monotonic times into wall-clock times, by what the session says of its clocks.
///
/// The newest CLOCK counts, so that a clock that was set during the night is followed.
#[derive(Debug)]
pub(crate) struct Stamps {
    format: TimeFormat,
    /// Wall clock minus monotonic clock, by session.
    offsets: BTreeMap<u32, i64>,
}

impl Stamps {
    pub(crate) fn new(format: TimeFormat) -> Stamps {
        Stamps { format, offsets: BTreeMap::new() }
    }

    /// Learns from SESSION and CLOCK records.
    pub(crate) fn learn(&mut self, record: &Record<'_>) {
        let session = record.header.session;
        let offset = match record.header.kind {
            Kind::SESSION if !self.offsets.contains_key(&session) => {
                let session = Session::from_bytes(record.payload).ok();
                session.map(|s| s.start_realtime.wrapping_sub(s.start_monotonic))
            }
            Kind::CLOCK => {
                let clock = ClockReading::from_bytes(record.payload).ok();
                let host = clock.filter(|clock| clock.remote.is_empty());
                host.and_then(|clock| Some(clock.realtime?.wrapping_sub(clock.monotonic)))
            }
            _ => None,
        };
        if let Some(offset) = offset {
            while self.offsets.len() > 16 {
                self.offsets.pop_first();
            }
            self.offsets.insert(session, offset);
        }
    }

    /// Whether times are texts, which JSON must quote.
    pub(crate) fn are_texts(&self) -> bool {
        self.format == TimeFormat::Rfc3339
    }

    /// Writes a time. Of a session whose clocks are not known yet, times are those of
    /// the monotonic clock, told by their letter.
    pub(crate) fn write(&self, session: u32, time: i64, out: &mut Vec<u8>) {
        let offset = self.offsets.get(&session);
        let wall = offset.map(|offset| time.wrapping_add(*offset));
        // Writing to a `Vec` cannot fail.
        let done = match (self.format, wall) {
            (TimeFormat::Monotonic, _) => write!(out, "{time}"),
            (TimeFormat::Ns, Some(wall)) => write!(out, "{wall}"),
            (TimeFormat::S, Some(wall)) => {
                let (s, ns) =
                    (wall.div_euclid(1_000_000_000), wall.rem_euclid(1_000_000_000));
                write!(out, "{s}.{ns:09}")
            }
            (TimeFormat::Rfc3339, Some(wall)) => {
                let stamp =
                    Timestamp::from_nanosecond(i128::from(wall)).unwrap_or_default();
                write!(out, "{stamp:.9}")
            }
            (TimeFormat::Rfc3339, None) => write!(out, "m{time}"),
            (_, None) => write!(out, "{time}"),
        };
        debug_assert!(done.is_ok());
    }
}
