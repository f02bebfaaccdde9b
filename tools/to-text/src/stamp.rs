//! Capture times as people and programs want to read them.

use std::io::Write as _;

use clap::ValueEnum;
use jiff::Timestamp;
use libframe::timeline::Timeline;
use libframe::wire::{Header, Record};

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

/// Turns monotonic times into wall-clock times, by what the session and its streams say of
/// their clocks.
#[derive(Debug)]
pub(crate) struct Stamps {
    format: TimeFormat,
    timeline: Timeline,
}

impl Stamps {
    pub(crate) fn new(format: TimeFormat) -> Stamps {
        Stamps { format, timeline: Timeline::default() }
    }

    /// Learns from SESSION and CLOCK records.
    pub(crate) fn learn(&mut self, record: &Record<'_>) {
        self.timeline.learn(record);
    }

    /// Whether times are texts, which JSON must quote.
    pub(crate) fn are_texts(&self) -> bool {
        self.format == TimeFormat::Rfc3339
    }

    /// Writes a time. Of a session whose clocks are not known yet, times are those of
    /// the monotonic clock, told by their letter.
    pub(crate) fn write(&self, header: &Header, time: i64, out: &mut Vec<u8>) {
        let wall = self.timeline.realtime(header.session, header.stream, time);
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
