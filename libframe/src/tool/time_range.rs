//! Times on the command line, and which samples lie between them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::payload::Session;

/// A time that a user gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instant {
    /// ns after the session's start.
    After(i64),
    /// ns since 1970.
    Wall(i64),
}

impl Instant {
    /// Reads `10s`, or an RFC 3339 time.
    pub fn parse(text: &str) -> Result<Instant, String> {
        let hint = "say 10s for a time after the start, or 2026-03-01T12:00:00Z";
        let relative = text.strip_prefix('+').unwrap_or(text);
        if let Ok(span) = relative.parse::<SignedDuration>() {
            let nanos = i64::try_from(span.as_nanos());
            return nanos.map(Instant::After).map_err(|_| format!("{text:?}: {hint}"));
        }
        let stamp: Timestamp = text.parse().map_err(|_| format!("{text:?}: {hint}"))?;
        let nanos = i64::try_from(stamp.as_nanosecond());
        nanos.map(Instant::Wall).map_err(|_| format!("{text:?}: {hint}"))
    }

    /// The instant on the session's monotonic clock.
    fn in_session(self, start: &Start) -> i64 {
        match self {
            Instant::After(nanos) => start.monotonic.saturating_add(nanos),
            Instant::Wall(nanos) => {
                start.monotonic.saturating_add(nanos.saturating_sub(start.realtime))
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Start {
    monotonic: i64,
    realtime: i64,
}

/// From one time to before another, in every session that comes by.
#[derive(Clone, Debug)]
pub struct TimeRange {
    from: Option<Instant>,
    to: Option<Instant>,
    starts: BTreeMap<u32, Start>,
}

impl TimeRange {
    /// From the first time to before the second; a bound that is not given is open.
    pub fn new(from: Option<Instant>, to: Option<Instant>) -> TimeRange {
        TimeRange { from, to, starts: BTreeMap::new() }
    }

    /// Learns when a session began.
    pub fn learn(&mut self, tag: u32, session: &Session) {
        if self.is_open() {
            return;
        }
        // Of the sessions of a long night only the last few can still have records.
        while self.starts.len() > 16 {
            self.starts.pop_first();
        }
        let (monotonic, realtime) = (session.start_monotonic, session.start_realtime);
        self.starts.insert(tag, Start { monotonic, realtime });
    }

    /// The bounds on the monotonic clock of a session.
    pub fn bounds(&self, session: &Session) -> (Option<i64>, Option<i64>) {
        let start = Start {
            monotonic: session.start_monotonic,
            realtime: session.start_realtime,
        };
        let [from, to] = [self.from, self.to].map(|at| Some(at?.in_session(&start)));
        (from, to)
    }

    /// Whether all times are in it.
    pub fn is_open(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    /// Whether a capture time is in it. Of a session whose start is not known yet,
    /// nothing is.
    pub fn holds(&self, session: u32, time: i64) -> bool {
        if self.is_open() {
            return true;
        }
        let Some(start) = self.starts.get(&session) else { return false };
        self.from.is_none_or(|from| time >= from.in_session(start))
            && self.to.is_none_or(|to| time < to.in_session(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_relative_or_on_the_wall_clock() {
        assert_eq!(Instant::parse("+1m30s"), Ok(Instant::After(90_000_000_000)));
        assert_eq!(Instant::parse("0s"), Ok(Instant::After(0)));
        let wall = Instant::parse("1970-01-01T00:00:02Z");
        assert_eq!(wall, Ok(Instant::Wall(2_000_000_000)));
        assert!(Instant::parse("noon").is_err_and(|err| err.contains("10s")));
    }

    #[test]
    fn the_end_is_left_out_and_unknown_sessions_too() {
        let mut range =
            TimeRange::new(Some(Instant::After(10)), Some(Instant::Wall(1020)));
        let session =
            Session { start_monotonic: 500, start_realtime: 1000, ..Session::default() };
        range.learn(1, &session);
        let held: Vec<_> = (505..530).filter(|time| range.holds(1, *time)).collect();
        assert_eq!((held.first(), held.last()), (Some(&510), Some(&519)));
        assert!(!range.holds(2, 515));
    }
}
