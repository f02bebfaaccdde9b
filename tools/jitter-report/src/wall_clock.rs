//! The host's wall clock against its monotonic one, as CLOCK records show them.

use libframe::payload::ClockReading;

/// Steps that are listed one by one.
const MAX_STEPS: usize = 100;
/// What a clock that is only slewed can gain: adjtimex allows half of this.
const SLEW: f64 = 1e-3;
/// Less than this, ns, is the noise of reading two clocks.
const NOISE: u64 = 1_000_000;

#[derive(Clone, Debug, Default)]
pub(crate) struct WallClock {
    pub(crate) readings: u64,
    first: Option<Offset>,
    last: Option<Offset>,
    pub(crate) steps: Vec<Step>,
    pub(crate) more_steps: u64,
    /// The largest step, ns.
    pub(crate) largest: i64,
    stepped: i64,
    /// The worst error that the kernel admitted, ns.
    pub(crate) error: Option<i64>,
    /// The kernel said at least once that nothing disciplines the clock.
    pub(crate) unsynchronised: bool,
}

#[derive(Clone, Copy, Debug)]
struct Offset {
    monotonic: i64,
    offset: i64,
}

/// The wall clock was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The monotonic times of the readings it happened between, ns.
    pub(crate) after: i64,
    pub(crate) before: i64,
    /// By how much, ns.
    pub(crate) ns: i64,
}

impl WallClock {
    pub(crate) fn take(&mut self, reading: &ClockReading) {
        let Some(realtime) = reading.realtime.filter(|_| reading.remote.is_empty())
        else {
            return;
        };
        let offset = realtime.wrapping_sub(reading.monotonic);
        let now = Offset { monotonic: reading.monotonic, offset };
        if let Some(last) = self.last {
            self.compare(last, now);
        }
        self.readings += 1;
        self.first = self.first.or(Some(now));
        self.last = Some(now);
        self.error = self.error.max(reading.error);
        self.unsynchronised |= reading.error.is_none();
    }

    fn compare(&mut self, last: Offset, now: Offset) {
        let ns = now.offset.saturating_sub(last.offset);
        let elapsed = now.monotonic.saturating_sub(last.monotonic);
        let slewed = (elapsed.max(0) as f64 * SLEW) as u64;
        if ns.unsigned_abs() <= slewed.max(NOISE) {
            return;
        }
        self.stepped = self.stepped.saturating_add(ns);
        if ns.unsigned_abs() > self.largest.unsigned_abs() {
            self.largest = ns;
        }
        if self.steps.len() < MAX_STEPS {
            let step = Step { after: last.monotonic, before: now.monotonic, ns };
            self.steps.push(step);
        } else {
            self.more_steps += 1;
        }
    }

    /// How much faster the wall clock ran than the monotonic one apart from its steps, in
    /// parts in a million.
    pub(crate) fn drift_ppm(&self) -> Option<f64> {
        let (first, last) = (self.first?, self.last?);
        let gained =
            last.offset.saturating_sub(first.offset).saturating_sub(self.stepped);
        let elapsed = last.monotonic.saturating_sub(first.monotonic);
        (elapsed > 0).then(|| gained as f64 * 1e6 / elapsed as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_told_from_slewing() {
        let mut clock = WallClock::default();
        let second = 1_000_000_000;
        for i in 0..100i64 {
            let step = if i >= 50 { -40_000_000 } else { 0 };
            clock.take(&ClockReading {
                monotonic: i * second,
                realtime: Some(i * second + i * 20_000 + step),
                error: Some(5),
                ..ClockReading::default()
            });
        }
        let step = Step { after: 49 * second, before: 50 * second, ns: -39_980_000 };
        assert_eq!(clock.steps, [step]);
        assert!((clock.drift_ppm().unwrap() - 20.0).abs() < 0.5);
        assert!(!clock.unsynchronised);
    }
}
