//! The one place that reads clocks.
//!
//! Records carry CLOCK_MONOTONIC, which no one can set, so intervals are right whatever
//! happens to the wall clock; CLOCK records tell what the wall clock showed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::payload::ClockReading;

/// One second in the unit of all times here.
pub const SECOND: i64 = 1_000_000_000;

/// Where a program has its times from: the system, or a test.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<Fake>>);

#[derive(Debug, Default)]
struct Fake {
    monotonic: AtomicI64,
    offset: AtomicI64,
}

impl Clock {
    /// The system's clocks.
    pub fn system() -> Clock {
        Clock(None)
    }

    /// Clocks that stand still until [`Clock::set`].
    pub fn fake(monotonic: i64, realtime: i64) -> Clock {
        let clock = Clock(Some(Arc::default()));
        clock.set(monotonic, realtime);
        clock
    }

    /// Sets clocks that are not the system's; the system's stay as they are.
    pub fn set(&self, monotonic: i64, realtime: i64) {
        if let Some(fake) = &self.0 {
            fake.monotonic.store(monotonic, Ordering::Relaxed);
            fake.offset.store(realtime - monotonic, Ordering::Relaxed);
        }
    }

    /// CLOCK_MONOTONIC, ns.
    #[inline]
    pub fn now(&self) -> i64 {
        match &self.0 {
            None => nanos(clock_gettime(ClockId::Monotonic)),
            Some(fake) => fake.monotonic.load(Ordering::Relaxed),
        }
    }

    /// What the wall clock shows, with the instant it showed it.
    ///
    /// The monotonic clock is read on both sides of the wall clock, and the tightest of a
    /// few tries counts: a preempted try would put the preemption into the offset.
    pub fn reading(&self) -> ClockReading {
        if let Some(fake) = &self.0 {
            let monotonic = self.now();
            let realtime = monotonic + fake.offset.load(Ordering::Relaxed);
            return ClockReading {
                monotonic,
                realtime: Some(realtime),
                ..ClockReading::default()
            };
        }
        let best = (0..5).map(|_| {
            let before = self.now();
            let realtime = nanos(clock_gettime(ClockId::Realtime));
            let after = self.now();
            (after - before, before + (after - before) / 2, realtime)
        });
        let (_, monotonic, realtime) = best.min().unwrap_or_default();
        ClockReading {
            monotonic,
            realtime: Some(realtime),
            error: kernel_error(),
            ..ClockReading::default()
        }
    }
}

/// CPU time of this process, ns.
pub fn cpu_time() -> i64 {
    nanos(clock_gettime(ClockId::ProcessCPUTime))
}

fn nanos(time: Timespec) -> i64 {
    time.tv_sec * SECOND + time.tv_nsec
}

/// The kernel's bound on the wall clock's error, ns; `None` if nothing disciplines it.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "no safe wrapper of adjtimex knows its error fields")]
fn kernel_error() -> Option<i64> {
    const TIME_ERROR: i32 = 5;
    // SAFETY: `timex` is plain integers, for which zero is a value, and means "only read".
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live `timex` of our own, which the call fills in.
    let status = unsafe { libc::adjtimex(&mut state) };
    (status >= 0 && status != TIME_ERROR).then(|| state.maxerror.saturating_mul(1000))
}

#[cfg(not(target_os = "linux"))]
fn kernel_error() -> Option<i64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fake_clock_shows_what_it_was_set_to() {
        let clock = Clock::fake(5, 1000);
        clock.set(7, 1002);
        let reading = clock.reading();
        assert_eq!((reading.monotonic, reading.realtime), (7, Some(1002)));
    }

    #[test]
    fn the_systems_readings_lie_between_two_looks() {
        let clock = Clock::system();
        let before = clock.now();
        let reading = clock.reading();
        assert!((before..=clock.now()).contains(&reading.monotonic));
        assert!(reading.realtime > Some(1_600_000_000 * SECOND));
    }
}
