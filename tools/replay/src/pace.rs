//! When a record of the past is due now.
//!
//! The schedule is absolute: a record that is late makes none after it later, and a day of
//! them does not drift.

/// How fast a recording is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Speed {
    /// As fast as the reader takes it.
    Max,
    /// So many times as fast as it was recorded.
    Times(f64),
}

impl Speed {
    pub(crate) fn parse(text: &str) -> Result<Speed, String> {
        if text == "max" {
            return Ok(Speed::Max);
        }
        let number = text.strip_suffix('x').unwrap_or(text).parse::<f64>();
        match number {
            Ok(times) if (1e-6..=1e6).contains(&times) => Ok(Speed::Times(times)),
            _ => Err(format!("{text:?} is no speed; say 2, 0.5 or max")),
        }
    }
}

/// Maps capture times to times of now, for one session after another.
#[derive(Debug)]
pub(crate) struct Pace {
    times: f64,
    max_gap: i64,
    /// Now, when the session began.
    anchor: i64,
    /// Capture time of the session's first sample.
    origin: Option<i64>,
    /// The latest capture time so far.
    latest: i64,
    /// Pauses that were left out.
    skipped: i64,
}

impl Pace {
    pub(crate) fn new(speed: Speed, max_gap: Option<i64>, now: i64) -> Pace {
        let times = match speed {
            Speed::Max => 1.0,
            Speed::Times(times) => times,
        };
        let max_gap = max_gap.unwrap_or(i64::MAX);
        Pace { times, max_gap, anchor: now, origin: None, latest: now, skipped: 0 }
    }

    /// Begins a session, whose times have nothing to do with those of the one before.
    pub(crate) fn begin(&mut self, now: i64) {
        (self.anchor, self.origin, self.skipped) = (now, None, 0);
    }

    /// When a sample of this capture time is due. The first is at once.
    pub(crate) fn step(&mut self, time: i64) -> i64 {
        if self.origin.is_none() {
            (self.origin, self.latest) = (Some(time), time);
        }
        let pause = time.saturating_sub(self.latest);
        if pause > 0 {
            self.skipped = self.skipped.saturating_add((pause - self.max_gap).max(0));
            self.latest = time;
        }
        self.map(time)
    }

    /// What a capture time is in times of now. Before the first sample, that is the start.
    pub(crate) fn map(&self, time: i64) -> i64 {
        let Some(origin) = self.origin else { return self.anchor };
        let played = time.saturating_sub(origin).saturating_sub(self.skipped);
        let scaled = match self.times {
            1.0 => played,
            times => (played as f64 / times) as i64,
        };
        self.anchor.saturating_add(scaled)
    }

    /// Where the schedule has come to.
    pub(crate) fn now(&self) -> i64 {
        self.map(self.latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_numbers_or_max() {
        assert_eq!(Speed::parse("max"), Ok(Speed::Max));
        assert_eq!(Speed::parse("0.5"), Ok(Speed::Times(0.5)));
        assert_eq!(Speed::parse("2x"), Ok(Speed::Times(2.0)));
        for text in ["0", "-1", "fast", "NaN", "inf"] {
            assert!(Speed::parse(text).is_err_and(|err| err.contains("0.5")), "{text}");
        }
    }

    #[test]
    fn intervals_are_divided_by_the_speed() {
        let mut pace = Pace::new(Speed::Times(2.0), None, 1000);
        let due = [70, 90, 80, 170].map(|time| pace.step(time));
        assert_eq!(due, [1000, 1010, 1005, 1050]);
        pace.begin(2000);
        assert_eq!((pace.map(5), pace.step(7), pace.step(9)), (2000, 2000, 2001));
    }

    #[test]
    fn long_pauses_are_cut_and_what_follows_keeps_its_distance() {
        let mut pace = Pace::new(Speed::Times(1.0), Some(10), 0);
        let due = [100, 105, 1105, 1110, 1107].map(|time| pace.step(time));
        assert_eq!(due, [0, 5, 15, 20, 17]);
    }

    #[test]
    fn a_day_does_not_drift() {
        let mut pace = Pace::new(Speed::Times(1.0), None, 0);
        let last = (0..=86_400).map(|second| pace.step(second * 1_000_000_007)).last();
        assert_eq!(last, Some(86_400 * 1_000_000_007));
    }
}
