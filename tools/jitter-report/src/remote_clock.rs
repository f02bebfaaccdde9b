//! Another host's clock against this one's, as CLOCK records of its streams show it.
//!
//! A measurement is worth no more than its round trip: a drift that is smaller than what the
//! round trips leave open over the time that was seen is said with that doubt.

use libframe::payload::ClockReading;
use serde::Serialize;

use crate::units::{duration, plural};

/// What the readings of one stream's clock say together.
#[derive(Clone, Debug, Default)]
pub(crate) struct RemoteClock {
    host: String,
    readings: u64,
    first: Option<(i64, i64)>,
    last: (i64, i64),
    /// Sums over times, s, and changes of the offset, ns, both since the first reading.
    t: f64,
    x: f64,
    tt: f64,
    tx: f64,
    lowest: f64,
    highest: f64,
    shortest: Option<i64>,
    longest: i64,
}

/// The same, told.
#[derive(Debug, Serialize)]
pub(crate) struct RemoteClockReport {
    pub(crate) stream: String,
    pub(crate) host: String,
    pub(crate) readings: u64,
    /// Its clock less ours, at the first and the last reading.
    pub(crate) first_offset_ns: i64,
    pub(crate) last_offset_ns: i64,
    /// By how much the offsets differ.
    pub(crate) range_ns: f64,
    /// How much faster it goes; none from less than three readings.
    pub(crate) drift_ppm: Option<f64>,
    /// How far that may be wrong, by the round trips.
    pub(crate) drift_error_ppm: Option<f64>,
    pub(crate) shortest_round_trip_ns: Option<i64>,
    pub(crate) longest_round_trip_ns: i64,
}

impl RemoteClock {
    pub(crate) fn take(&mut self, reading: &ClockReading) {
        let Some(offset) = reading.offset else { return };
        let (at, first) = *self.first.get_or_insert((reading.monotonic, offset));
        if self.host.is_empty() {
            self.host.clone_from(&reading.remote);
        }
        let t = reading.monotonic.saturating_sub(at) as f64 / 1e9;
        let x = offset.saturating_sub(first) as f64;
        self.readings += 1;
        self.last = (reading.monotonic, offset);
        self.t += t;
        self.x += x;
        self.tt += t * t;
        self.tx += t * x;
        self.lowest = self.lowest.min(x);
        self.highest = self.highest.max(x);
        if let Some(trip) = reading.round_trip {
            self.shortest = Some(self.shortest.map_or(trip, |other| other.min(trip)));
            self.longest = self.longest.max(trip);
        }
    }

    pub(crate) fn report(&self, stream: &str) -> Option<RemoteClockReport> {
        let (at, first) = self.first?;
        let n = self.readings as f64;
        let seconds = self.last.0.saturating_sub(at) as f64 / 1e9;
        let spread = n * self.tt - self.t * self.t;
        let is_line = self.readings >= 3 && spread > 0.0 && seconds > 0.0;
        // ns a second are thousandths of a ppm.
        let drift = || (n * self.tx - self.t * self.x) / spread / 1e3;
        let trip = self.shortest.filter(|_| is_line);
        Some(RemoteClockReport {
            stream: stream.into(),
            host: self.host.clone(),
            readings: self.readings,
            first_offset_ns: first,
            last_offset_ns: self.last.1,
            range_ns: self.highest - self.lowest,
            drift_ppm: is_line.then(drift),
            drift_error_ppm: trip.map(|trip| trip as f64 / seconds / 1e3),
            shortest_round_trip_ns: self.shortest,
            longest_round_trip_ns: self.longest,
        })
    }
}

impl RemoteClockReport {
    /// The clock in a line.
    pub(crate) fn words(&self) -> String {
        let host = if self.host.is_empty() { "another host" } else { &self.host };
        let offset = self.last_offset_ns as f64 / 1e9;
        let mut text = format!(
            "clock of {} ({host}): {}, {offset:+.6} s from ours at the end, varied by {}",
            self.stream,
            plural(self.readings, "reading"),
            duration(self.range_ns)
        );
        if let Some(drift) = self.drift_ppm {
            let error = self.drift_error_ppm.map(|error| format!(" ± {error:.3}"));
            text += &format!(", drift {drift:+.3}{} ppm", error.unwrap_or_default());
        }
        if let Some(trip) = self.shortest_round_trip_ns {
            let longest = duration(self.longest_round_trip_ns as f64);
            text += &format!(", round trips {} to {longest}", duration(trip as f64));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(second: i64, offset: i64) -> ClockReading {
        ClockReading {
            monotonic: second * 1_000_000_000,
            offset: Some(offset),
            round_trip: Some(100_000 + second),
            remote: "rig".into(),
            ..ClockReading::default()
        }
    }

    #[test]
    fn a_clock_that_goes_faster_is_known_by_its_offsets() {
        let mut clock = RemoteClock::default();
        assert!(clock.report("EEG").is_none());
        // 50 us a second.
        (0..=20)
            .for_each(|at| clock.take(&reading(at * 5, 7_000_000_000 + at * 250_000)));
        clock.take(&ClockReading::default());
        let report = clock.report("EEG").unwrap();
        assert_eq!((report.readings, report.first_offset_ns), (21, 7_000_000_000));
        assert_eq!((report.last_offset_ns, report.range_ns), (7_005_000_000, 5e6));
        assert!((report.drift_ppm.unwrap() - 50.0).abs() < 1e-6, "{report:?}");
        assert_eq!(report.drift_error_ppm, Some(1.0));
        let words = "clock of EEG (rig): 21 readings, +7.005000 s from ours at the end, varied \
                     by 5 ms, drift +50.000 ± 1.000 ppm, round trips 100 us to 100.1 us";
        assert_eq!(report.words(), words);
        assert_eq!(
            (report.host.as_str(), report.longest_round_trip_ns),
            ("rig", 100_100)
        );
    }

    #[test]
    fn two_readings_are_no_drift() {
        let mut clock = RemoteClock::default();
        clock.take(&reading(0, 5));
        clock.take(&reading(1, 6));
        let report = clock.report("EEG").unwrap();
        assert_eq!((report.drift_ppm, report.drift_error_ppm), (None, None));
        // Neither are some of the same moment.
        clock.take(&reading(1, 6));
        let mut stuck = RemoteClock::default();
        (0..5).for_each(|_| stuck.take(&reading(3, 5)));
        assert_eq!(stuck.report("EEG").unwrap().drift_ppm, None);
    }
}
