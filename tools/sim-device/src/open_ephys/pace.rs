//! How fast the rig's time passes.

use libframe::clock::SECOND;

/// So many times as fast as real time, or as fast as it goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Speed {
    Times(f64),
    Max,
}

impl Speed {
    /// Reads a speed: `max`, or a number like `10`.
    pub(crate) fn parse(text: &str) -> Result<Speed, String> {
        let times = text.strip_suffix('x').unwrap_or(text).parse();
        match (text, times) {
            ("max", _) => Ok(Speed::Max),
            (_, Ok(times)) if (1e-3..=1e6).contains(&times) => Ok(Speed::Times(times)),
            _ => Err(format!("{text:?} is no speed; say 1, 10, 0.5, or max")),
        }
    }

    /// When it is a time of the rig's, ns of CLOCK_MONOTONIC, if the rig was started at
    /// `begun`. At full speed it always is already.
    pub(crate) fn instant(self, begun: i64, at: i64) -> i64 {
        match self {
            Speed::Times(times) => begun.saturating_add((at as f64 / times) as i64),
            Speed::Max => begun,
        }
    }
}

/// A rig that is watched from a wall: the time of day, and of CLOCK_MONOTONIC with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WallClock {
    /// What is added to CLOCK_MONOTONIC.
    offset: i64,
    /// When that was found out.
    read: i64,
}

/// For how long the difference of the clocks is taken for the same.
const FRESH: i64 = SECOND;

impl WallClock {
    pub(crate) fn new() -> WallClock {
        WallClock { offset: 0, read: i64::MIN / 2 }
    }

    /// The time of day now, ms since 1970.
    pub(crate) fn millis(&mut self, clock: &libframe::clock::Clock, now: i64) -> i64 {
        if now - self.read > FRESH {
            let reading = clock.reading();
            let realtime = reading.realtime.unwrap_or_default();
            *self = WallClock { offset: realtime - reading.monotonic, read: now };
        }
        (now + self.offset) / (SECOND / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libframe::clock::Clock;

    #[test]
    fn a_speed_is_a_number_or_max() {
        assert_eq!(Speed::parse("max"), Ok(Speed::Max));
        assert_eq!(Speed::parse("10"), Ok(Speed::Times(10.0)));
        assert_eq!(Speed::parse("0.5x"), Ok(Speed::Times(0.5)));
        for wrong in ["0", "-1", "fast", ""] {
            assert!(Speed::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Speed::Times(10.0).instant(5, SECOND), 5 + SECOND / 10);
        assert_eq!(Speed::Max.instant(5, SECOND), 5);
    }

    #[test]
    fn the_time_of_day_is_looked_at_now_and_then() {
        let clock = Clock::fake(0, 1_000_000 * SECOND);
        let mut wall = WallClock::new();
        assert_eq!(wall.millis(&clock, 0), 1_000_000_000);
        clock.set(0, 2_000_000 * SECOND);
        assert_eq!(wall.millis(&clock, SECOND / 2), 1_000_000_500);
        assert_eq!(wall.millis(&clock, 2 * SECOND), 2_000_002_000);
    }
}
