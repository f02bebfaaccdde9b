//! How a device's clock runs against the host's.
//!
//! The host sees a sample some time after the device took it, never before. So of all
//! samples the undelayed ones lie on a line below the others, host time over device time,
//! and its slope is the drift. That line is the edge of the lower convex hull above the
//! middle of all samples, since that edge leaves the least sum of delays above it. A mean
//! or a least-squares fit would take a backlog for drift.

use libframe::schema::DeviceClock;

use crate::rfc3550::Rfc3550;

/// Runs of the clock that are reported one by one.
const MAX_RUNS: usize = 32;
/// Corners of the hull that are kept. Only a curve made on purpose has as many.
const MAX_CORNERS: usize = 1 << 14;
/// Samples that are kept for the delays above the line.
const MAX_POINTS: usize = 1 << 14;
/// How much more or less the device may count between two samples than the host, before
/// its clock is taken to have been set anew: a backlog's worth.
const MAX_ASIDE: f64 = 30e9;

/// The clock of one stream.
#[derive(Debug)]
pub(crate) struct ClockView {
    /// ns in a tick as the device states it; 1 if it states none.
    pub(crate) tick: f64,
    pub(crate) stated: bool,
    /// After so many ticks the counter is at 0 again; 0: never.
    wrap: u64,
    /// How many ns more or less than the host's the device's may be between two samples.
    tolerance: f64,
    last: Option<Last>,
    run: Option<Run>,
    pub(crate) runs: Vec<Line>,
    pub(crate) wraps: u64,
    /// The counter went back: the device began anew.
    pub(crate) restarts: u64,
    /// The counter jumped or stood still.
    pub(crate) jumps: u64,
    pub(crate) rfc3550: Rfc3550,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    time: i64,
    ticks: u64,
    seq: u64,
}

/// The samples between two restarts.
#[derive(Debug)]
struct Run {
    first: i64,
    /// Ticks since its first sample.
    ticks: u64,
    time: i64,
    n: u64,
    sum: f64,
    hull: Vec<Point>,
    points: Vec<Point>,
    /// One sample in so many is kept.
    every: u64,
}

/// A sample: device time since the run's first, and how much longer the host counted.
#[derive(Clone, Copy, Debug)]
struct Point {
    device: f64,
    excess: f64,
}

/// How the clock ran between two restarts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) samples: u64,
    /// Host time of its first and last sample, ns.
    pub(crate) from: i64,
    pub(crate) to: i64,
    /// Host ns for each ns (or tick, if no rate is stated) of the device.
    pub(crate) slope: f64,
    /// How far the drift may be off: the usual delay over the length, in ppm.
    pub(crate) error_ppm: f64,
    /// Delay above the line, ns.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Line {
    /// How much faster the device's clock runs than the host's, in parts in a million.
    pub(crate) fn ppm(&self) -> f64 {
        (1.0 / self.slope - 1.0) * 1e6
    }
}

impl ClockView {
    pub(crate) fn new(clock: Option<DeviceClock>) -> ClockView {
        let stated = clock.filter(|clock| clock.rate.is_finite() && clock.rate > 0.0);
        let bits = stated.map_or(0, |clock| clock.bits);
        let tick = stated.map_or(1.0, |clock| 1e9 / clock.rate);
        // A counter of 63 bits and one of 64 wrap when nobody is left to see it.
        let wrap = if (1..63).contains(&bits) { 1 << bits } else { 0 };
        ClockView {
            tick,
            stated: stated.is_some(),
            wrap,
            tolerance: match wrap {
                0 => MAX_ASIDE,
                wrap => MAX_ASIDE.min(wrap as f64 * tick / 4.0),
            },
            last: None,
            run: None,
            runs: Vec::new(),
            wraps: 0,
            restarts: 0,
            jumps: 0,
            rfc3550: Rfc3550::default(),
        }
    }

    /// Takes a sample's two times. Those that come late or twice have no part in it.
    #[inline]
    pub(crate) fn take(&mut self, time: i64, ticks: u64, seq: u64) {
        let Some(last) = self.last else {
            self.last = Some(Last { time, ticks, seq });
            self.run = Some(Run::new(time));
            return;
        };
        if seq <= last.seq {
            return;
        }
        self.last = Some(Last { time, ticks, seq });
        let host = time.saturating_sub(last.time) as f64;
        match self.forward(last.ticks, ticks, host) {
            Some((step, wraps)) => {
                self.wraps += wraps;
                if self.stated {
                    self.rfc3550.take(host - step as f64 * self.tick);
                }
                if let Some(run) = &mut self.run {
                    run.ticks = run.ticks.saturating_add(step);
                    run.add(time, self.tick);
                }
            }
            None => {
                let back = ticks < last.ticks;
                self.restarts += u64::from(back);
                self.jumps += u64::from(!back);
                self.close();
                self.run = Some(Run::new(time));
            }
        }
    }

    /// Ticks from one sample to the next, and how often the counter wrapped; `None` if
    /// the clock was set anew between them.
    #[inline]
    fn forward(&self, from: u64, to: u64, host: f64) -> Option<(u64, u64)> {
        let aside = |step: u64| (step as f64 * self.tick - host).abs();
        match to.checked_sub(from) {
            Some(step) if !self.stated || aside(step) <= self.tolerance => {
                return Some((step, 0));
            }
            _ if self.wrap == 0 => return None,
            _ => {}
        }
        let (from, to) = (from % self.wrap, to % self.wrap);
        let first = (to + self.wrap - from) % self.wrap;
        let more = (host / self.tick - first as f64) / self.wrap as f64;
        let step =
            first.checked_add(self.wrap.checked_mul(more.round().max(0.0) as u64)?)?;
        let wraps = from.checked_add(step)? / self.wrap;
        (aside(step) <= self.tolerance).then_some((step, wraps))
    }

    /// Ends the run that is open.
    pub(crate) fn close(&mut self) {
        let Some(run) = self.run.take() else { return };
        if let Some(line) = run.line(self.tick)
            && self.runs.len() < MAX_RUNS
        {
            self.runs.push(line);
        }
    }

    /// The run of the most samples: what is said of the clock as a whole.
    pub(crate) fn longest(&self) -> Option<&Line> {
        self.runs.iter().max_by_key(|line| line.samples)
    }
}

impl Run {
    fn new(time: i64) -> Run {
        let first = Point { device: 0.0, excess: 0.0 };
        Run {
            first: time,
            ticks: 0,
            time,
            n: 1,
            sum: 0.0,
            hull: vec![first],
            points: vec![first],
            every: 1,
        }
    }

    #[inline]
    fn add(&mut self, time: i64, tick: f64) {
        let device = self.ticks as f64 * tick;
        let host = time.saturating_sub(self.first) as f64;
        let point = Point { device, excess: host - device };
        self.time = time;
        self.sum += device;
        self.add_to_hull(point);
        // A power of two, since it is doubled only.
        if self.n & (self.every - 1) == 0 {
            self.keep(point);
        }
        self.n += 1;
    }

    #[inline]
    fn add_to_hull(&mut self, point: Point) {
        while let [.., before, last] = self.hull[..]
            && !turns_up(before, last, point)
        {
            self.hull.pop();
        }
        match self.hull.last_mut() {
            // Samples that the device stamped alike: the least delayed counts.
            Some(last) if last.device >= point.device => {
                last.excess = last.excess.min(point.excess);
            }
            _ => self.hull.push(point),
        }
        if self.hull.len() > MAX_CORNERS {
            let mut at = 0;
            self.hull.retain(|_| {
                at += 1;
                at % 2 == 1
            });
        }
    }

    #[cold]
    fn keep(&mut self, point: Point) {
        if self.points.len() == MAX_POINTS {
            let mut at = 0;
            self.points.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.every *= 2;
        }
        self.points.push(point);
    }

    /// The line below all samples that is nearest to them.
    fn line(&self, tick: f64) -> Option<Line> {
        let middle = self.sum / self.n as f64;
        let at = self.hull.partition_point(|corner| corner.device <= middle);
        let (from, to) = (self.hull.get(at.checked_sub(1)?)?, self.hull.get(at)?);
        let slope = (to.excess - from.excess) / (to.device - from.device);
        let above = |point: &Point| {
            point.excess - from.excess - slope * (point.device - from.device)
        };
        let mut delays: Vec<f64> = self.points.iter().map(above).collect();
        delays.sort_unstable_by(f64::total_cmp);
        let quantile = |share: f64| {
            let last = delays.len().saturating_sub(1) as f64;
            delays
                .get((last * share).round() as usize)
                .map_or(0.0, |delay| delay.max(0.0))
        };
        let span = self.time.saturating_sub(self.first) as f64;
        Some(Line {
            samples: self.n,
            from: self.first,
            to: self.time,
            slope: 1.0 + slope,
            error_ppm: if span > 0.0 { 1e6 * (quantile(0.5) + tick) / span } else { 0.0 },
            p50: quantile(0.5),
            p99: quantile(0.99),
            max: quantile(1.0),
        })
    }
}

/// Whether the way from `a` over `b` to `c` turns upwards, so that `b` is a corner.
#[inline]
fn turns_up(a: Point, b: Point, c: Point) -> bool {
    let (first, second) = (b.device - a.device, c.device - b.device);
    (b.excess - a.excess) * second < (c.excess - b.excess) * first
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device whose clock is fast by `ppm`, seen through random delays.
    fn run(view: &mut ClockView, from: u64, n: u64, ppm: f64, bits: u32, boot: u64) {
        let mut state = 7u64;
        for i in 0..n {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let delay = ((state >> 33) as f64 / (1u64 << 31) as f64).powi(4) * 20e6;
            let true_ns = ((from + i) * 5_000_000) as f64;
            let ticks = (true_ns * (1.0 + ppm * 1e-6) / 1000.0) as u64;
            let ticks = ticks.wrapping_sub(boot) % (1 << bits);
            view.take((true_ns + delay) as i64, ticks, from + i);
        }
    }

    fn micros(bits: u8) -> ClockView {
        ClockView::new(Some(DeviceClock { rate: 1e6, bits }))
    }

    #[test]
    fn the_drift_is_found_below_the_delays() {
        for ppm in [35.0, -120.0, 0.0, 5000.0] {
            let mut view = micros(63);
            run(&mut view, 0, 100_000, ppm, 63, 0);
            view.close();
            let line = view.longest().unwrap();
            assert!((line.ppm() - ppm).abs() < 0.05, "{} {ppm}", line.ppm());
            // The median of x^4 is a sixteenth, of 20 ms.
            assert!((line.p50 - 1.25e6).abs() < 0.1e6, "{}", line.p50);
            assert!((line.p99 - 19.2e6).abs() < 0.5e6, "{}", line.p99);
            assert!(line.error_ppm < 5.0 && view.restarts + view.jumps == 0);
        }
    }

    #[test]
    fn a_counter_that_wraps_is_followed() {
        let mut view = micros(24);
        run(&mut view, 0, 100_000, 35.0, 24, 0);
        view.close();
        // 500 s of microseconds in 24 bits.
        assert_eq!((view.wraps, view.restarts, view.jumps), (29, 0, 0));
        assert!((view.longest().unwrap().ppm() - 35.0).abs() < 0.05);
    }

    #[test]
    fn a_restart_begins_a_new_line() {
        let mut view = micros(32);
        run(&mut view, 0, 50_000, 35.0, 32, 0);
        run(&mut view, 50_000, 80_000, 35.0, 32, 250_000_000);
        view.close();
        assert_eq!((view.wraps, view.restarts, view.jumps), (0, 1, 0));
        assert_eq!(view.runs.len(), 2);
        assert!(view.runs.iter().all(|line| (line.ppm() - 35.0).abs() < 0.1));
    }

    #[test]
    fn a_clock_that_stood_still_is_not_a_slow_one() {
        let mut view = micros(32);
        run(&mut view, 0, 1000, 0.0, 32, 0);
        run(&mut view, 1_000_000, 1000, 0.0, 32, 4_995_000_000 % (1 << 32));
        view.close();
        assert_eq!((view.restarts, view.jumps, view.runs.len()), (0, 1, 2));
    }

    #[test]
    fn few_samples_have_no_drift_and_equal_ones_no_trouble() {
        let mut view = micros(32);
        view.take(5, 5, 0);
        view.close();
        assert!(view.longest().is_none());
        let mut view = micros(32);
        (0..10).for_each(|seq| view.take(5, 5, seq));
        view.close();
        assert!(view.longest().is_none());
    }
}
