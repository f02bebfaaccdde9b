//! What is told of clocks: of a device's, and of the host's wall clock. The names here are
//! keys of the JSON form.

use serde::Serialize;

use crate::device_clock::{ClockView, Line};
use crate::wall_clock::WallClock;

/// The device's clock against the host's: the line below all samples.
#[derive(Debug, Serialize)]
pub(crate) struct ClockReport {
    /// How much faster the device's clock runs; null if its rate is not stated, or too
    /// little came.
    pub(crate) drift_ppm: Option<f64>,
    /// How far that may be off.
    pub(crate) drift_error_ppm: Option<f64>,
    /// Ticks for each second of the host.
    pub(crate) ticks_hz: Option<f64>,
    /// Delays above the line, of up to 16384 samples at even distances.
    pub(crate) delay_p50_ns: Option<f64>,
    pub(crate) delay_p99_ns: Option<f64>,
    pub(crate) delay_max_ns: Option<f64>,
    pub(crate) restarts: u64,
    pub(crate) jumps: u64,
    pub(crate) wraps: u64,
    /// The figures above are of the longest of these; a restart begins another.
    pub(crate) runs: Vec<RunReport>,
}

#[derive(Debug, Serialize)]
pub(crate) struct RunReport {
    pub(crate) samples: u64,
    pub(crate) from_ns: i64,
    pub(crate) to_ns: i64,
    pub(crate) drift_ppm: Option<f64>,
    pub(crate) delay_p50_ns: f64,
    pub(crate) delay_p99_ns: f64,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct WallClockReport {
    pub(crate) readings: u64,
    /// Against the monotonic clock, without its steps.
    pub(crate) drift_ppm: Option<f64>,
    pub(crate) kernel_error_ns: Option<i64>,
    pub(crate) unsynchronised: bool,
    pub(crate) step_count: u64,
    pub(crate) largest_step_ns: i64,
    pub(crate) steps: Vec<StepReport>,
}

#[derive(Debug, Serialize)]
pub(crate) struct StepReport {
    pub(crate) ns: i64,
    /// Monotonic times of the readings before and after it.
    pub(crate) after_ns: i64,
    pub(crate) before_ns: i64,
}

impl ClockReport {
    pub(crate) fn new(view: &ClockView) -> ClockReport {
        let line = view.longest();
        let ppm = |line: &Line| view.stated.then(|| line.ppm());
        ClockReport {
            drift_ppm: line.and_then(ppm),
            drift_error_ppm: line.filter(|_| view.stated).map(|line| line.error_ppm),
            ticks_hz: line.map(|line| 1e9 / (view.tick * line.slope)),
            delay_p50_ns: line.map(|line| line.p50),
            delay_p99_ns: line.map(|line| line.p99),
            delay_max_ns: line.map(|line| line.max),
            restarts: view.restarts,
            jumps: view.jumps,
            wraps: view.wraps,
            runs: view
                .runs
                .iter()
                .map(|line| RunReport {
                    samples: line.samples,
                    from_ns: line.from,
                    to_ns: line.to,
                    drift_ppm: ppm(line),
                    delay_p50_ns: line.p50,
                    delay_p99_ns: line.p99,
                })
                .collect(),
        }
    }
}

impl WallClockReport {
    pub(crate) fn new(clock: WallClock) -> WallClockReport {
        WallClockReport {
            readings: clock.readings,
            drift_ppm: clock.drift_ppm(),
            kernel_error_ns: clock.error,
            unsynchronised: clock.unsynchronised,
            step_count: clock.steps.len() as u64 + clock.more_steps,
            largest_step_ns: clock.largest,
            steps: clock
                .steps
                .iter()
                .map(|step| StepReport {
                    ns: step.ns,
                    after_ns: step.after,
                    before_ns: step.before,
                })
                .collect(),
        }
    }
}
