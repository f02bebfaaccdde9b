//! What simulated devices measure: the payload of a sample, from its number alone.

use std::f64::consts::TAU;

use anyhow::Result;
use libframe::schema::{self, Channel, Dtype, Field, Media, Stream};

use crate::noise::{mix, scramble, share};
use crate::picture;
use crate::spec::{Device, Format, Spec};

/// A simulated device.
#[derive(Debug)]
pub(crate) struct Signal {
    device: Device,
    format: Format,
    channels: u32,
    size: (u32, u32),
    /// Samples a second, for what depends on time.
    rate: f64,
    seed: u64,
    stream: u64,
    pixels: Vec<u8>,
}

impl Signal {
    pub(crate) fn new(
        spec: &Spec,
        channels: u32,
        rate: f64,
        seed: u64,
        stream: u64,
    ) -> Signal {
        let size = spec.size.unwrap_or((640, 480));
        let (device, format) = (spec.device, spec.format);
        Signal { device, format, channels, size, rate, seed, stream, pixels: Vec::new() }
    }

    /// How its stream is described.
    pub(crate) fn describe(&self, name: String, rate: f64) -> Stream {
        let make = "framepipe".to_owned();
        let model = format!("simulated {}", self.device.name());
        let serial = format!("seed-{}-{}", self.seed, self.stream);
        let device = schema::Device { make, model, serial, port: String::new() };
        let base = Stream {
            name,
            media: Media::Samples,
            rate: Some(rate),
            device,
            device_clock: self.device_clock(rate),
            stamp: "arrival".into(),
            ..Stream::default()
        };
        match self.device {
            Device::Glove => glove(base),
            Device::Camera => self.camera(base),
            Device::Ephys => self.channelled(base, Dtype::I16, "CH", "uV"),
            Device::Sine => self.channelled(base, Dtype::F32, "ch", ""),
            Device::Control => control(base),
            Device::Thermal => {
                Stream { dtype: Some(Dtype::U16), shape: vec![24, 32], ..base }
            }
        }
    }

    /// The clock of the devices that have one.
    pub(crate) fn device_clock(&self, rate: f64) -> Option<schema::DeviceClock> {
        match self.device {
            Device::Ephys => Some(schema::DeviceClock { rate, bits: 64 }),
            Device::Control => Some(schema::DeviceClock { rate: 1000.0, bits: 32 }),
            _ => None,
        }
    }

    fn camera(&self, base: Stream) -> Stream {
        let (width, height) = self.size;
        let format = if self.format == Format::Mjpg { "MJPG" } else { "GRAY8" };
        Stream {
            media: Media::Image,
            dtype: Some(Dtype::U8),
            shape: vec![height, width],
            format: format.into(),
            ..base
        }
    }

    fn channelled(&self, base: Stream, dtype: Dtype, prefix: &str, unit: &str) -> Stream {
        let channel = |n| Channel {
            label: format!("{prefix}{n}"),
            unit: unit.into(),
            ..Channel::default()
        };
        let channels = (1..=self.channels).map(channel).collect();
        Stream { dtype: Some(dtype), shape: vec![self.channels], channels, ..base }
    }

    /// The payload of sample `index`.
    pub(crate) fn sample(&mut self, index: u64, out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        let seconds = index as f64 / self.rate;
        match self.device {
            Device::Glove => self.touches(index, seconds, out),
            Device::Camera => return self.frame(index, out),
            Device::Ephys => self.spikes(index, seconds, out),
            Device::Control => steering(seconds, out),
            Device::Thermal => self.warm_spot(index, seconds, out),
            Device::Sine => {
                for channel in 0..self.channels {
                    let phase = f64::from(channel) / f64::from(self.channels);
                    let value = ((seconds + phase) * TAU).sin() as f32;
                    out.extend_from_slice(&value.to_le_bytes());
                }
            }
        }
        Ok(())
    }

    /// Five fingers that press and let go, each at its own pace; the hand slowly turns.
    fn touches(&self, index: u64, seconds: f64, out: &mut Vec<u8>) {
        out.resize(256, 0);
        let noise = mix(self.seed, self.stream, index, 0);
        for finger in 0..5u32 {
            let pace = 0.3 + 0.07 * f64::from(finger);
            let press = (seconds * pace * TAU + f64::from(finger)).sin().max(0.0);
            let force = press * press * 90.0;
            for point in 0..12u32 {
                let at = (finger * 48 + point * 3 + 5) as usize;
                let falloff = 1.0 - (f64::from(point) - 5.5).abs() / 7.0;
                let flicker = noise >> (finger * 12 + point) & 1;
                out[at] =
                    (force * falloff) as u8 + if press > 0.0 { flicker as u8 } else { 0 };
            }
        }
        let half = seconds * 0.1 * TAU / 2.0;
        for part in [half.cos(), half.sin() * 0.6, half.sin() * 0.8, 0.0] {
            out.extend_from_slice(&(part as f32).to_le_bytes());
        }
    }

    fn frame(&mut self, index: u64, out: &mut Vec<u8>) -> Result<()> {
        let (width, height) = self.size;
        match self.format {
            Format::Gray => picture::draw(width, height, index, out),
            Format::Mjpg => {
                picture::draw(width, height, index, &mut self.pixels);
                picture::compress(width, height, &self.pixels, out)?;
            }
        }
        Ok(())
    }

    /// A slow wave, noise, and a spike of 1 ms at about 10 a second in each channel.
    fn spikes(&self, index: u64, seconds: f64, out: &mut Vec<u8>) {
        let wave = (seconds * 8.0 * TAU).sin() * 200.0;
        let slot = (seconds * 1000.0) as u64;
        let mut noise = mix(self.seed, self.stream, index, 0);
        for channel in 0..u64::from(self.channels) {
            noise = scramble(noise);
            let fires = share(self.seed, self.stream, slot, channel + 1) < 0.01;
            let spike = if fires { -600.0 } else { 0.0 };
            let hiss = (noise >> 56) as f64 - 128.0;
            let value = (wave + spike + hiss * 0.3) as i16;
            out.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// A hand-warm spot that circles over a wall at room temperature, in 0.01 K.
    fn warm_spot(&self, index: u64, seconds: f64, out: &mut Vec<u8>) {
        let (sin, cos) = (seconds * 0.2 * TAU).sin_cos();
        let (row, column) = (12.0 + 8.0 * sin, 16.0 + 12.0 * cos);
        let mut noise = mix(self.seed, self.stream, index, 0);
        for pixel in 0..24 * 32 {
            noise = scramble(noise);
            let (y, x) = (f64::from(pixel / 32) - row, f64::from(pixel % 32) - column);
            let warmth = 1200.0 * (-(x * x + y * y) / 12.0).exp();
            let value = 29_515.0 + warmth + (noise >> 60) as f64;
            out.extend_from_slice(&(value as u16).to_le_bytes());
        }
    }
}

/// The 256 bytes of a glove's pressure points, and the quaternion behind them.
fn glove(base: Stream) -> Stream {
    let field = |name: &str, dtype, offset, count| Field {
        name: name.into(),
        dtype,
        offset,
        count,
        unit: String::new(),
    };
    Stream {
        dtype: Some(Dtype::U8),
        shape: vec![272],
        fields: vec![
            field("pressure", Dtype::U8, 0, 256),
            field("quaternion", Dtype::F32, 256, 4),
        ],
        // As a captured one has it, but for its source id.
        meta: [("lsl.name", "JQGlove"), ("lsl.type", "Pressure")]
            .map(|(key, text)| (key.into(), text.into()))
            .into(),
        ..base
    }
}

fn control(base: Stream) -> Stream {
    let channel = |label: &str| Channel {
        label: label.into(),
        unit: "us".into(),
        ..Channel::default()
    };
    Stream {
        dtype: Some(Dtype::U16),
        shape: vec![2],
        channels: vec![channel("steering"), channel("throttle")],
        ..base
    }
}

/// Pulse widths of a car's steering and throttle.
fn steering(seconds: f64, out: &mut Vec<u8>) {
    let steer = 1500.0 + 400.0 * (seconds * 0.5 * TAU).sin();
    let throttle = 1500.0 + 200.0 * (seconds * 0.1 * TAU).sin().max(0.0);
    for width in [steer, throttle] {
        out.extend_from_slice(&(width as u16).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(device: &str, seed: u64, index: u64) -> (Vec<u8>, Stream) {
        let spec = Spec::parse(device).unwrap();
        let channels = spec.channels.unwrap_or(spec.device.channels());
        let mut signal = Signal::new(&spec, channels, spec.device.rate(), seed, 1);
        let mut out = Vec::new();
        signal.sample(index, &mut out).unwrap();
        (out, signal.describe("x".into(), 1.0))
    }

    #[test]
    fn samples_have_the_size_that_is_described() {
        for device in ["glove", "ephys", "control", "thermal", "sine:channels=5"] {
            let (bytes, stream) = payload(device, 1, 1234);
            assert_eq!(stream.sample_size(), Some(bytes.len()), "{device}");
        }
        let (bytes, stream) = payload("camera:format=gray,size=64x48", 1, 3);
        assert_eq!(stream.sample_size(), Some(bytes.len()));
    }

    #[test]
    fn pictures_are_jpeg_and_vary_in_size() {
        let (bytes, stream) = payload("camera:size=64x48", 1, 3);
        assert_eq!(stream.sample_size(), None);
        assert_eq!(
            (&bytes[..2], &bytes[bytes.len() - 2..]),
            (&[0xFF, 0xD8][..], &[0xFF, 0xD9][..])
        );
    }

    #[test]
    fn the_seed_decides_and_nothing_else() {
        assert_eq!(payload("ephys", 1, 99).0, payload("ephys", 1, 99).0);
        assert_ne!(payload("ephys", 1, 99).0, payload("ephys", 2, 99).0);
    }

    #[test]
    fn the_gloves_quaternion_has_length_one() {
        let (bytes, _) = payload("glove", 1, 500);
        let (parts, _) = bytes[256..].as_chunks::<4>();
        let norm: f32 = parts.iter().map(|b| f32::from_le_bytes(*b).powi(2)).sum();
        assert!((norm - 1.0).abs() < 1e-6, "{norm}");
    }
}
