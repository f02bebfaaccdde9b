//! Axes: from values to places in a drawing, and round values to mark.

/// A scale from values to places.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// Places of `from` and `to`.
    pub(crate) start: f64,
    pub(crate) end: f64,
}

impl Axis {
    /// The place of a value; those outside lie at the nearer end.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let span = self.to - self.from;
        let share = if span > 0.0 { (value - self.from) / span } else { 0.5 };
        self.start + share.clamp(0.0, 1.0) * (self.end - self.start)
    }

    /// Up to about so many round values within.
    pub(crate) fn ticks(&self, about: usize) -> Vec<f64> {
        let rough = (self.to - self.from) / about.max(1) as f64;
        if !(rough.is_finite() && rough > 0.0) {
            return vec![self.from];
        }
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * power);
        let step = step.into_iter().find(|step| *step >= rough).unwrap_or(rough);
        self.multiples(step)
    }

    /// Round times, where values are seconds.
    pub(crate) fn time_ticks(&self, about: usize) -> Vec<f64> {
        const STEPS: [f64; 20] = [
            1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0,
            3600.0, 7200.0, 10_800.0, 14_400.0, 21_600.0, 43_200.0, 86_400.0, 172_800.0,
        ];
        let rough = (self.to - self.from) / about.max(1) as f64;
        match STEPS.into_iter().find(|step| *step >= rough) {
            Some(step) if rough > 0.5 => self.multiples(step),
            _ => self.ticks(about),
        }
    }

    fn multiples(&self, step: f64) -> Vec<f64> {
        let first = (self.from / step).ceil();
        let values = (0..64).map(|n| (first + f64::from(n)) * step);
        values.take_while(|value| *value <= self.to + step * 1e-9).collect()
    }
}

/// A time from the start as an axis shows it: `30s`, `5m`, `1h30`.
pub(crate) fn clock(seconds: f64) -> String {
    if seconds.fract() != 0.0 {
        return format!("{}s", crate::units::digits(seconds));
    }
    let (h, m, s) =
        ((seconds / 3600.0) as u64, (seconds / 60.0) as u64 % 60, seconds as u64 % 60);
    match (h, m, s) {
        (0, 0, s) => format!("{s}s"),
        (0, m, 0) => format!("{m}m"),
        (0, m, s) => format!("{m}m{s:02}"),
        (h, 0, 0) => format!("{h}h"),
        (h, m, 0) => format!("{h}h{m:02}"),
        (h, m, s) => format!("{h}h{m:02}m{s:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(from: f64, to: f64) -> Axis {
        Axis { from, to, start: 10.0, end: 110.0 }
    }

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(axis(0.0, 10.0).ticks(5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(axis(3.1, 4.9).ticks(4), [3.5, 4.0, 4.5]);
        assert_eq!(axis(5.0, 5.0).ticks(4), [5.0]);
        assert_eq!(axis(0.0, 86_400.0).time_ticks(5).len(), 5);
        assert_eq!(axis(0.0, 86_400.0).time_ticks(5)[1], 21_600.0);
        assert_eq!(axis(0.0, 0.3).time_ticks(3), [0.0, 0.1, 0.2, 0.30000000000000004]);
    }

    #[test]
    fn values_outside_stay_in_the_drawing() {
        assert_eq!(axis(0.0, 10.0).place(5.0), 60.0);
        assert_eq!(axis(0.0, 10.0).place(-1.0), 10.0);
        assert_eq!(axis(0.0, 10.0).place(1e9), 110.0);
        assert_eq!(
            (clock(5400.0), clock(90.0), clock(0.5)),
            ("1h30".into(), "1m30".into(), "0.5s".into())
        );
    }
}
