//! The values of channels: to be checked one by one, or to be looked at.

use std::f64::consts::TAU;

use clap::ValueEnum;

use crate::chance::share;

/// What channels show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Values {
    /// 1024 * (sample mod 16384) + (channel + 256 * stream) mod 1024, exact as float32;
    /// streams are counted from 0
    Counter,
    /// What an electrode shows, in uV: 1/f noise, spikes of cells, 50 Hz hum. The same noise
    /// for each channel, from another place on
    Wave,
}

/// Samples until the noise repeats; a power of two.
const LOOP: usize = 1 << 16;
/// How far apart in it two channels are, and two streams.
const APART: i64 = 4099;
const STREAMS_APART: i64 = 1031;
/// Octaves of noise of the same strength, which is what 1/f means.
const OCTAVES: u32 = 12;
/// How strong each is, uV.
const OCTAVE: f64 = 4.0;
/// Spikes in the noise until it repeats: about 20 a second at 30 kHz.
const SPIKES: u64 = 44;
/// How strong the hum is, uV.
const HUM: f64 = 8.0;

/// The uses of random numbers.
const NOISE: u64 = 300;
const SPIKE: u64 = 400;

/// The values of one stream.
#[derive(Debug)]
pub(crate) struct Signal {
    stream: i64,
    noise: Option<Noise>,
    /// What all channels share in the present block.
    shared: Vec<f32>,
    first: i64,
}

#[derive(Debug)]
struct Noise {
    table: Vec<f32>,
    hum: Vec<f32>,
}

impl Signal {
    pub(crate) fn new(values: Values, stream: usize, rate: f64, seed: u64) -> Signal {
        let noise = (values == Values::Wave).then(|| Noise {
            table: noise(seed),
            hum: hum((rate / 50.0).round().clamp(1.0, LOOP as f64) as usize),
        });
        Signal { stream: stream as i64, noise, shared: Vec::new(), first: 0 }
    }

    /// Prepares for so many samples from `first` on, which may be before the beginning.
    pub(crate) fn begin(&mut self, first: i64, samples: usize) {
        self.first = first;
        self.shared.clear();
        let indices = first..first + samples as i64;
        match &self.noise {
            None => self.shared.extend(indices.map(|at| ((at & 16383) << 10) as f32)),
            Some(Noise { hum, .. }) => {
                let start = first.rem_euclid(hum.len() as i64) as usize;
                self.shared.extend(hum.iter().cycle().skip(start).take(samples));
            }
        }
    }

    /// Writes a channel's values of the samples that were prepared for, as little-endian
    /// float32.
    pub(crate) fn write(&self, channel: u32, to: &mut [u8]) {
        let (places, _) = to.as_chunks_mut::<4>();
        let channel = i64::from(channel);
        let Some(Noise { table, .. }) = &self.noise else {
            let own = ((channel + 256 * self.stream) & 1023) as f32;
            for (place, shared) in places.iter_mut().zip(&self.shared) {
                *place = (shared + own).to_le_bytes();
            }
            return;
        };
        let start = self.first + APART * channel + STREAMS_APART * self.stream;
        let mut at = start.rem_euclid(LOOP as i64) as usize;
        let mut done = 0;
        while done < self.shared.len() {
            let piece = &table[at..LOOP.min(at + self.shared.len() - done)];
            let shared = &self.shared[done..];
            for ((place, shared), own) in places[done..].iter_mut().zip(shared).zip(piece)
            {
                *place = (shared + own).to_le_bytes();
            }
            done += piece.len();
            at = 0;
        }
    }

    /// Adds a spike to a channel's values, if they are to look like something.
    pub(crate) fn add_spike(&self, before: usize, to: &mut [u8]) {
        if self.noise.is_none() {
            return;
        }
        let (places, _) = to.as_chunks_mut::<4>();
        for (at, place) in places.iter_mut().enumerate() {
            let spike = 90.0 * shape(at as f64 - before as f64) as f32;
            *place = (f32::from_le_bytes(*place) + spike).to_le_bytes();
        }
    }
}

/// A spike so many samples after its peak: a fall and a slower rise above where it began.
fn shape(after: f64) -> f64 {
    let fall = (-(after / 3.0).powi(2)).exp();
    let rise = (-((after - 11.0) / 6.0).powi(2)).exp();
    0.3 * rise - fall
}

/// Noise that ends where it begins: octaves of random values, joined by straight lines.
fn noise(seed: u64) -> Vec<f32> {
    let mut table = vec![0.0; LOOP];
    for octave in 0..OCTAVES {
        let (step, points) = (1 << octave, (LOOP >> octave) as u64);
        let value = |point: u64| {
            let random = share(seed, NOISE + u64::from(octave), point % points);
            (random - 0.5) * OCTAVE * 12f64.sqrt()
        };
        for point in 0..points {
            let (from, to) = (value(point), value(point + 1));
            for at in 0..step {
                let between = at as f64 / step as f64;
                table[point as usize * step + at] += from + (to - from) * between;
            }
        }
    }
    for spike in 0..SPIKES {
        let peak = (share(seed, SPIKE, 2 * spike) * LOOP as f64) as usize;
        let size = 40.0 + 100.0 * share(seed, SPIKE, 2 * spike + 1);
        for at in 0..60 {
            table[(peak + at) % LOOP] += size * shape(at as f64 - 20.0);
        }
    }
    table.into_iter().map(|value| value as f32).collect()
}

/// A period of the power line and its third harmonic.
fn hum(period: usize) -> Vec<f32> {
    let phase = |at: usize| TAU * at as f64 / period as f64;
    let value = |at: usize| HUM * (phase(at).sin() + 0.2 * (3.0 * phase(at)).sin());
    (0..period).map(|at| value(at) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(signal: &mut Signal, channel: u32, first: i64, samples: usize) -> Vec<f32> {
        let mut bytes = vec![0; 4 * samples];
        signal.begin(first, samples);
        signal.write(channel, &mut bytes);
        let (values, _) = bytes.as_chunks::<4>();
        values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    #[test]
    fn a_counter_is_exact_everywhere() {
        let mut signal = Signal::new(Values::Counter, 1, 30000.0, 1);
        let got = values(&mut signal, 511, 16_380, 8);
        let expected = (16_380..16_388).map(|at| (1024 * (at % 16384) + 767) as f32);
        assert_eq!(got, expected.collect::<Vec<_>>());
        assert_eq!(values(&mut signal, 0, -1, 1), [1024.0 * 16383.0 + 256.0]);
        assert_eq!((1024 * 16383 + 1023) as f32 as i32, 1024 * 16383 + 1023);
    }

    #[test]
    fn a_wave_does_not_depend_on_how_it_is_cut_into_blocks() {
        let mut signal = Signal::new(Values::Wave, 0, 30000.0, 1);
        let whole = values(&mut signal, 13, 0, 200_000);
        let mut parts = Vec::new();
        for first in (0..200_000).step_by(1000) {
            parts.extend(values(&mut signal, 13, first, 1000));
        }
        assert_eq!(whole, parts);
        let other = values(&mut Signal::new(Values::Wave, 0, 30000.0, 2), 13, 0, 1000);
        assert_ne!(whole[..1000], other);
    }

    #[test]
    fn a_wave_has_the_size_of_what_electrodes_show() {
        let got = values(&mut Signal::new(Values::Wave, 0, 30000.0, 1), 0, 0, LOOP);
        let square: f32 = got.iter().map(|value| value * value).sum();
        let (rms, least) =
            ((square / LOOP as f32).sqrt(), got.iter().copied().reduce(f32::min));
        assert!((8.0..30.0).contains(&rms), "{rms}");
        assert!(least.is_some_and(|least| (-250.0..-70.0).contains(&least)), "{least:?}");
    }
}
