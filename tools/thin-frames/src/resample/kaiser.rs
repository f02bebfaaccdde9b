//! The low-pass filter that goes before keeping fewer samples.
//!
//! A sinc, cut off by a Kaiser window: linear phase, so every frequency is late by the same
//! time, which is then taken off again. It passes what lies below a share of the new Nyquist
//! frequency and stops what lies above that frequency itself, so that nothing folds back.

use std::f64::consts::PI;

use super::ratio::Ratio;

/// The formula for the length is an estimate: so much more is asked of it, dB.
const MARGIN: f64 = 1.0;

/// What is asked of the filter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shape {
    /// How much weaker what lies over the new Nyquist frequency becomes, dB.
    pub(crate) stop: f64,
    /// Up to which share of that frequency nothing changes.
    pub(crate) pass: f64,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape { stop: 80.0, pass: 0.8 }
    }
}

impl Shape {
    /// How far the filter reaches to each side, in Lths of an input sample. Kaiser's formula.
    pub(crate) fn reach(&self, ratio: Ratio) -> u64 {
        let transition = PI * (1.0 - self.pass) / ratio.m() as f64;
        let length = (self.stop + MARGIN - 7.95) / (2.285 * transition);
        (length / 2.0).ceil() as u64
    }

    fn beta(&self) -> f64 {
        let stop = self.stop + MARGIN;
        match stop {
            stop if stop > 50.0 => 0.1102 * (stop - 8.7),
            stop => 0.5842 * (stop - 21.0).max(0.0).powf(0.4) + 0.07886 * (stop - 21.0),
        }
    }
}

/// The weights of the input samples around an output, for each place that it may have
/// between two of them.
#[derive(Debug)]
pub(crate) struct Taps<T> {
    weights: Vec<T>,
    /// Where each phase's begin; one more, where the last's end.
    phases: Vec<usize>,
}

impl<T: Weight> Taps<T> {
    /// The filter for this ratio.
    pub(crate) fn new(shape: Shape, ratio: Ratio) -> Taps<T> {
        let (l, reach) = (ratio.l() as i64, shape.reach(ratio) as i64);
        let mut taps = Taps { weights: Vec::new(), phases: vec![0] };
        let mut phase = Vec::new();
        for place in 0..l {
            // From the first input sample that is not over `reach` ahead of it.
            let ahead = (reach - place).div_euclid(l);
            let behind = (reach + place).div_euclid(l);
            let distances = (-ahead..=behind).map(|n| n * l - place);
            phase.clear();
            phase.extend(distances.map(|n| weight(shape, ratio, reach, n)));
            // Each phase by itself, so that what does not change comes out as it is.
            let sum: f64 = phase.iter().sum();
            taps.weights.extend(phase.iter().map(|weight| T::of(weight / sum)));
            taps.phases.push(taps.weights.len());
        }
        taps
    }

    /// The weights for an output that stands so many Lths behind an input sample.
    pub(crate) fn of_phase(&self, phase: usize) -> &[T] {
        &self.weights[self.phases[phase]..self.phases[phase + 1]]
    }
}

/// A type of weights.
pub(crate) trait Weight {
    /// Rounds to it.
    fn of(weight: f64) -> Self;
}

impl Weight for f32 {
    fn of(weight: f64) -> f32 {
        weight as f32
    }
}

impl Weight for f64 {
    fn of(weight: f64) -> f64 {
        weight
    }
}

/// Of an input sample so many Lths away.
fn weight(shape: Shape, ratio: Ratio, reach: i64, distance: i64) -> f64 {
    // The half-way point between passing and stopping, in cycles per Lth.
    let cutoff = (1.0 + shape.pass) / 4.0 / ratio.m() as f64;
    let x = 2.0 * PI * cutoff * distance as f64;
    let sinc = if distance == 0 { 1.0 } else { x.sin() / x };
    let place = distance as f64 / (reach + 1) as f64;
    sinc * bessel(shape.beta() * (1.0 - place * place).sqrt())
}

/// The modified Bessel function of the first kind and order zero, by its series.
fn bessel(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut sum, mut term, mut n) = (1.0, 1.0, 1.0);
    while term > sum * 1e-17 {
        term *= quarter / (n * n);
        sum += term;
        n += 1.0;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The filter as it would be at L times the rate.
    fn prototype(shape: Shape, ratio: Ratio) -> Vec<f64> {
        let taps = Taps::<f64>::new(shape, ratio);
        let (l, reach) = (ratio.l() as i64, shape.reach(ratio) as i64);
        let at = |distance: i64| {
            // Distance from the output to the input: -place modulo L.
            let place = (-distance).rem_euclid(l);
            let ahead = (reach - place).div_euclid(l);
            let index = (distance + place) / l + ahead;
            taps.of_phase(place as usize)[index as usize] / l as f64
        };
        (-reach..=reach).map(at).collect()
    }

    /// How strong a frequency is behind it, dB; in shares of the new Nyquist frequency.
    fn gain(taps: &[f64], ratio: Ratio, share: f64) -> f64 {
        let middle = (taps.len() / 2) as f64;
        let omega = PI * share / ratio.m() as f64;
        let sum: f64 = (0..)
            .zip(taps)
            .map(|(n, tap)| tap * (omega * (f64::from(n) - middle)).cos())
            .sum();
        20.0 * sum.abs().max(1e-300).log10()
    }

    #[test]
    fn it_passes_below_and_stops_above() {
        for (ratio, shape) in [
            (Ratio::every(30), Shape::default()),
            (Ratio::every(2), Shape::default()),
            (Ratio::every(7), Shape { stop: 60.0, pass: 0.9 }),
            (Ratio::every(30), Shape { stop: 120.0, pass: 0.5 }),
            (Ratio::new(147, 200), Shape::default()),
            (Ratio::new(2, 3), Shape { stop: 40.0, pass: 0.8 }),
        ] {
            let taps = prototype(shape, ratio);
            let ripple = 20.0 * (1.0 + 10f64.powf(-shape.stop / 20.0)).log10() * 1.5;
            for n in 0..=400 {
                let passed = gain(&taps, ratio, shape.pass * f64::from(n) / 400.0);
                assert!(passed.abs() < ripple, "{ratio} {shape:?} {n}: {passed} dB");
                let most = ratio.m() as f64;
                let stopped =
                    gain(&taps, ratio, 1.0 + (most - 1.0) * f64::from(n) / 400.0);
                assert!(stopped < -shape.stop, "{ratio} {shape:?} {n}: {stopped} dB");
            }
            let halfway = gain(&taps, ratio, (1.0 + shape.pass) / 2.0);
            assert!((halfway + 6.02).abs() < 0.1, "{halfway}");
        }
    }

    #[test]
    fn it_is_symmetric_and_each_phase_keeps_a_level() {
        let ratio = Ratio::new(3, 10);
        let taps = Taps::<f64>::new(Shape::default(), ratio);
        for phase in 0..3 {
            let sum: f64 = taps.of_phase(phase).iter().sum();
            assert!((sum - 1.0).abs() < 1e-14);
        }
        let middle = taps.of_phase(0);
        assert!(middle.iter().eq(middle.iter().rev()));
        let (one, two) = (taps.of_phase(1), taps.of_phase(2));
        let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-15;
        assert!(one.iter().zip(two.iter().rev()).all(close));
    }

    #[test]
    fn bessel_is_what_tables_say() {
        // Abramowitz and Stegun, table 9.8.
        assert!((bessel(1.0) - 1.266_065_877_752_008).abs() < 1e-14);
        assert!((bessel(5.0) / 27.239_871_823_604_44 - 1.0).abs() < 1e-14);
        assert!((bessel(10.0) / 2_815.716_628_466_254 - 1.0).abs() < 1e-14);
    }
}
