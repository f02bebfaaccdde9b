//! How the times of a stream go on: whether samples may be missing between two, and whether
//! its clock has jumped. No I/O; times are ns.

use libframe::clock::SECOND;

/// Times that are so far from where they should be come from a clock that was set: no
/// network or program delays samples by less than nothing.
const JUMP: i64 = SECOND / 2;

/// The times of a stream so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timing {
    /// From one sample to the next, if there is a rate.
    period: Option<f64>,
    /// The time of the last sample.
    last: Option<i64>,
    /// Our clock when a sample came minus its time, at the least.
    least_lag: Option<i64>,
    /// No sample has come over this connection yet.
    is_fresh: bool,
}

/// What the time of a sample tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// The time of the sample before.
    pub(crate) last: Option<i64>,
    /// It follows the sample before at the stream's rate.
    pub(crate) fits: bool,
    /// How far the clock jumped ahead.
    pub(crate) jump: Option<i64>,
}

impl Timing {
    /// What a rate says, from now on.
    pub(crate) fn set_rate(&mut self, rate: f64) {
        self.period = (rate > 0.0).then(|| SECOND as f64 / rate);
    }

    /// How long a stream may be silent until that is strange; `None` if it may be for ever.
    pub(crate) fn patience(&self, least: i64) -> Option<i64> {
        let period = self.period.filter(|_| least > 0)?;
        Some(least.max((period * 2.5).min(1e18) as i64))
    }

    pub(crate) fn is_regular(&self) -> bool {
        self.period.is_some()
    }

    /// Begins a connection.
    pub(crate) fn connect(&mut self) {
        self.is_fresh = true;
    }

    /// Takes the time of a sample that came now.
    pub(crate) fn step(&mut self, time: i64, now: i64) -> Step {
        let last = self.last.replace(time);
        let since = last.map(|last| time.saturating_sub(last));
        let fits = self.period.is_some_and(|period| {
            since.is_some_and(|since| since > 0 && since as f64 <= period * 1.5)
        });
        let lag = now.saturating_sub(time);
        let is_fresh = std::mem::take(&mut self.is_fresh);
        let jump = self.least_lag.and_then(|least| {
            let ahead = least.saturating_sub(lag);
            let back = since.filter(|since| *since < -JUMP && !is_fresh);
            (ahead > JUMP || is_fresh && ahead < -JUMP).then_some(ahead).or(back)
        });
        self.least_lag = match (self.least_lag, jump) {
            (Some(least), None) => Some(least.min(lag)),
            _ => Some(lag),
        };
        Step { last, fits, jump }
    }

    /// An instant of our clock on that of the stream, as far as samples tell.
    pub(crate) fn there(&self, now: i64) -> Option<i64> {
        self.least_lag.map(|lag| now.saturating_sub(lag))
    }

    pub(crate) fn last(&self) -> Option<i64> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn of_100_hz() -> Timing {
        let mut timing = Timing::default();
        timing.set_rate(100.0);
        timing.connect();
        timing
    }

    #[test]
    fn what_goes_on_at_the_rate_fits() {
        let mut timing = of_100_hz();
        assert_eq!(timing.step(0, 500 * MS), Step::default());
        let step = timing.step(10 * MS, 510 * MS);
        assert_eq!(step, Step { last: Some(0), fits: true, jump: None });
        assert!(timing.step(25 * MS, 525 * MS).fits);
        assert!(!timing.step(41 * MS, 541 * MS).fits);
        assert!(!timing.step(41 * MS, 542 * MS).fits);
        timing.set_rate(0.0);
        assert!(!timing.step(51 * MS, 551 * MS).fits);
    }

    #[test]
    fn a_clock_that_jumps_is_seen_and_a_slow_network_is_none() {
        let mut timing = of_100_hz();
        timing.step(0, 0);
        // Samples wait for 5 s somewhere, and come in one burst.
        for n in 1..400 {
            assert_eq!(timing.step(n * 10 * MS, 5000 * MS).jump, None);
        }
        assert_eq!(timing.step(5010 * MS, 5010 * MS).jump, None);
        assert_eq!(timing.step(15_020 * MS, 5020 * MS).jump, Some(10_000 * MS));
        assert_eq!(timing.step(15_030 * MS, 5030 * MS).jump, None);
        assert_eq!(timing.step(5040 * MS, 5040 * MS).jump, Some(-9990 * MS));
        assert_eq!(timing.step(5050 * MS, 5050 * MS).jump, None);
        // Nothing for a while is no jump.
        assert_eq!(timing.step(95_050 * MS, 95_050 * MS).jump, None);
    }

    #[test]
    fn another_clock_after_a_restart_is_a_jump_either_way() {
        for ahead in [-20_000 * MS, 20_000 * MS] {
            let mut timing = of_100_hz();
            timing.step(30_000 * MS, 30_000 * MS);
            timing.connect();
            let step = timing.step(31_000 * MS + ahead, 31_000 * MS);
            assert_eq!(step.jump, Some(ahead));
            assert_eq!(timing.step(31_010 * MS + ahead, 31_010 * MS).jump, None);
        }
    }

    #[test]
    fn absurd_times_are_survived() {
        let mut timing = of_100_hz();
        for time in [i64::MIN, i64::MAX, 0, i64::MIN] {
            timing.step(time, 5);
            assert!(timing.there(7).is_some());
        }
    }
}
