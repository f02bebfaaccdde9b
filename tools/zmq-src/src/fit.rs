//! When samples were taken, from when their blocks arrived.
//!
//! A block arrives some time after its last sample: at least what the rig takes to process
//! it, often more. The least delays lie on a line, whose slope is the drift between the
//! rig's clock and ours; times on that line are better than any arrival. So the blocks of
//! the last minute are kept as one point a second, that of the least delay, and the line
//! below all of them that is nearest to them gives the times.
//!
//! Times are strictly increasing within a segment, as long as a block has at least as many
//! nanoseconds as samples, and no sample is later than the arrival of its block.

use libframe::clock::SECOND;

/// For how long least delays are remembered, in points.
const MEMORY: usize = 60;
/// How much time a point stands for.
const POINT: i64 = SECOND;
/// Clocks differ by less than this.
const MAX_DRIFT: f64 = 1e-3;
/// How much faster or slower than samples come their times may run towards the line.
const SLEW: f64 = 5e-3;
/// What is left at least between a time and the arrival, for blocks that come at once after
/// it and must have later times; at most so much of a block's own span.
const MARGIN: i64 = SECOND / 4000;
const MARGIN_SHARE: f64 = 1.0 / 16.0;
/// Before this the slope of the line says nothing.
const MIN_SPAN: f64 = 5.0 * SECOND as f64;

/// Follows one segment of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Fit {
    /// ns from one sample to the next by the rig's own word.
    period: f64,
    /// The sample number and the arrival that all else is counted from.
    origin: (u64, i64),
    /// Least delays: time by sample numbers, ns, and how much later the arrival was.
    points: Vec<(f64, f64)>,
    /// When the last point began.
    begun: i64,
    line: Line,
    /// The number after the last sample that has a time, and that time.
    last: (u64, i64),
}

/// A delay that changes steadily.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Line {
    offset: f64,
    slope: f64,
}

impl Line {
    fn at(&self, x: f64) -> f64 {
        self.offset + self.slope * x
    }
}

/// The times of a block's samples: evenly spaced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Times {
    /// Of the sample before the first.
    before: i64,
    /// Of the last.
    last: i64,
    samples: i64,
}

impl Times {
    /// The time of a sample, counted from the block's first.
    #[inline]
    pub(crate) fn at(&self, sample: usize) -> i64 {
        let span = i128::from(self.last - self.before) * (sample as i128 + 1);
        self.before + (span / i128::from(self.samples)) as i64
    }
}

impl Fit {
    /// Begins with a segment's first block. No time will be before `after`.
    pub(crate) fn new(
        first: u64,
        samples: usize,
        rate: f64,
        arrival: i64,
        after: Option<i64>,
    ) -> Fit {
        let period = SECOND as f64 / rate;
        let start = arrival - MARGIN - (samples as f64 * period) as i64;
        let start = start.max(after.unwrap_or(start));
        Fit {
            period,
            origin: (first, arrival),
            points: Vec::new(),
            begun: arrival,
            line: Line { offset: f64::MAX, slope: 0.0 },
            last: (first, start),
        }
    }

    /// Gives a block's samples their times.
    pub(crate) fn block(&mut self, first: u64, samples: usize, arrival: i64) -> Times {
        let samples = samples.max(1);
        let end = first.saturating_add(samples as u64);
        let x = self.x(end);
        self.note(x, (arrival - self.origin.1) as f64 - x, arrival);

        // By the samples' own pace, since the last that has a time.
        let pace = self.period * (1.0 + self.line.slope);
        let (known, time) = self.last;
        let before =
            time.saturating_add((first.saturating_sub(known) as f64 * pace) as i64);
        let span = samples as f64 * pace;
        let free = before as f64 + span;
        let wanted = self.origin.1 as f64 + x + self.line.at(x);
        let step = SLEW * (free - time as f64).max(span);
        let last = free + (wanted - free).clamp(-step, step);

        let least = samples as i64;
        let latest = arrival - MARGIN.min((span * MARGIN_SHARE) as i64);
        let last = match (last as i64).min(latest) {
            // A crowd: as close as they may be, so that there is room for all.
            last if last - before < (span * MARGIN_SHARE) as i64 => before + least,
            last => last,
        };
        let last = last.min(arrival);
        // Where not even that is room, one after the other is more than not too late.
        let before = before.min(last - least).max(time);
        let last = last.max(before + least);
        self.last = (end, last);
        Times { before, last, samples: least }
    }

    /// The time of any sample, as far as is known now.
    pub(crate) fn time(&self, sample: u64) -> i64 {
        let (known, time) = self.last;
        let ahead = sample as f64 - known as f64 + 1.0;
        time.saturating_add((ahead * self.period * (1.0 + self.line.slope)) as i64)
    }

    fn x(&self, sample: u64) -> f64 {
        (sample as f64 - self.origin.0 as f64) * self.period
    }

    /// Takes note of a block's delay.
    fn note(&mut self, x: f64, delay: f64, arrival: i64) {
        match self.points.last_mut() {
            Some(point) if arrival - self.begun < POINT => {
                if delay < point.1 {
                    *point = (x, delay);
                }
            }
            _ => {
                if self.points.len() == MEMORY {
                    self.points.remove(0);
                }
                self.points.push((x, delay));
                self.begun = arrival;
                self.line = below(&self.points);
            }
        }
        if delay < self.line.at(x) {
            self.line = below(&self.points);
        }
    }
}

/// The line below all points that is nearest to them: the edge of their lower hull over
/// their mean.
fn below(points: &[(f64, f64)]) -> Line {
    let mean = points.iter().map(|point| point.0).sum::<f64>() / points.len() as f64;
    let mut hull: Vec<(f64, f64)> = Vec::with_capacity(points.len());
    for point in points {
        while let [.., a, b] = hull[..]
            && (b.1 - a.1) * (point.0 - a.0) >= (point.1 - a.1) * (b.0 - a.0)
        {
            hull.pop();
        }
        hull.push(*point);
    }
    let edge = hull.windows(2).find(|edge| edge[1].0 >= mean);
    let span = points.last().map_or(0.0, |last| last.0 - points[0].0);
    let slope = match edge {
        Some([a, b]) if span >= MIN_SPAN && b.0 > a.0 => (b.1 - a.1) / (b.0 - a.0),
        _ => 0.0,
    };
    let slope = slope.clamp(-MAX_DRIFT, MAX_DRIFT);
    let offsets = points.iter().map(|point| point.1 - slope * point.0);
    Line { offset: offsets.fold(f64::MAX, f64::min), slope }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = 480;
    const RATE: f64 = 30_000.0;

    /// Blocks of a rig whose clock is slow by so much, with delays of 2 ms and up to 20 ms
    /// more; the errors of the last samples against their true times, ns.
    fn errors(drift: f64, seconds: u64, jumps: bool) -> Vec<i64> {
        let mut fit = None;
        let (mut noise, mut errors) = (1u64, Vec::new());
        let mut before = i64::MIN;
        for n in 0..seconds * 625 / 10 {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let first = n * BLOCK as u64;
            let end = first + BLOCK as u64;
            let taken = 5 * SECOND + (end as f64 / RATE * 1e9 * (1.0 + drift)) as i64;
            let share = (noise >> 40) as f64 / (1u64 << 24) as f64;
            let late = (20e6 * share * share * share) as i64;
            let stall = if jumps && n % 500 > 480 { 300_000_000 } else { 0 };
            let arrival = taken + 2_000_000 + late + stall;
            let fit =
                fit.get_or_insert_with(|| Fit::new(first, BLOCK, RATE, arrival, None));
            let times = fit.block(first, BLOCK, arrival);
            for sample in 0..BLOCK {
                let time = times.at(sample);
                assert!(time > before && time <= arrival, "{n} {sample}");
                before = time;
            }
            errors.push(times.at(BLOCK - 1) - taken);
        }
        errors
    }

    #[test]
    fn times_follow_the_rigs_clock_and_not_the_delays() {
        for drift in [0.0, 200e-6, -200e-6] {
            let errors = errors(drift, 300, false);
            for (n, error) in errors.iter().enumerate().skip(2000) {
                // The least delay itself cannot be known.
                let off = (error - 2_000_000).abs();
                assert!(off < 300_000, "{drift}: block {n} is off by {off} ns");
            }
        }
    }

    #[test]
    fn a_stall_is_late_and_not_another_time() {
        let errors = errors(50e-6, 120, true);
        for (n, error) in errors.iter().enumerate().skip(2000) {
            let off = (error - 2_000_000).abs();
            assert!(off < 500_000, "block {n} is off by {off} ns");
        }
    }

    #[test]
    fn blocks_that_come_at_once_have_times_one_after_the_other() {
        let mut fit = Fit::new(7, BLOCK, RATE, SECOND, None);
        let mut before = i64::MIN;
        for n in 0..500 {
            let times = fit.block(7 + n * BLOCK as u64, BLOCK, SECOND);
            for sample in 0..BLOCK {
                let time = times.at(sample);
                assert!(time > before && time <= SECOND, "{n} {sample}: {time}");
                before = time;
            }
        }
    }

    #[test]
    fn a_gap_of_more_samples_than_time_went_by_does_not_put_times_ahead() {
        let mut fit = Fit::new(0, BLOCK, RATE, SECOND, None);
        let last = fit.block(0, BLOCK, SECOND).at(BLOCK - 1);
        let arrival = SECOND + 10_000_000;
        let times = fit.block(60_000, BLOCK, arrival);
        assert!(times.at(0) > last && times.at(BLOCK - 1) <= arrival, "{times:?}");
    }

    #[test]
    fn a_gap_takes_its_time_and_events_fall_where_their_samples_are() {
        let mut fit = Fit::new(0, BLOCK, RATE, 10 * SECOND, None);
        let first = fit.block(0, BLOCK, 10 * SECOND);
        let after = fit.block(30_000, BLOCK, 11 * SECOND);
        let apart = after.at(0) - first.at(0);
        assert!((apart - SECOND).abs() < 5_000_000, "{apart}");
        let event = fit.time(30_100);
        assert!((event - after.at(100)).abs() < 1_000_000, "{event}");
    }
}
