//! The description of a stream: what a STREAM record holds.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize};

use crate::payload::bounded;

/// STREAM: how to read a stream's samples, and where they come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// The stream's name, unique in its session.
    pub name: String,
    /// What the samples are.
    #[serde(default)]
    pub media: Media,
    /// Type of the numbers in a sample; absent for text and bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<Dtype>,
    /// Numbers in a sample by dimension, slowest first. Empty: one number.
    #[serde(default, deserialize_with = "shape")]
    pub shape: Vec<u32>,
    /// One entry for each index of the last dimension, or none.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "channels"
    )]
    pub channels: Vec<Channel>,
    /// Parts of a sample that are not all of one type, or none.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "fields")]
    pub fields: Vec<Field>,
    /// What on the device each number of a sample belongs to, or none. Unlike channels,
    /// these may leave numbers out, and several may share one.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "sensors"
    )]
    pub sensors: Vec<Sensor>,
    /// Samples a second as the device states it; absent: irregular or unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Pixel format of an image: `GRAY8`, `YUYV`, `MJPG` …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub format: String,
    /// Where the samples come from.
    #[serde(default, skip_serializing_if = "Device::is_unknown")]
    pub device: Device,
    /// The clock of the device times, if the stream has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_clock: Option<DeviceClock>,
    /// What instant `time` is: `arrival`, `start-of-frame`, `end-of-frame` …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stamp: String,
    /// Counts up when the description changes within a session.
    #[serde(default)]
    pub version: u32,
    /// Anything else worth keeping: sensor map, calibration, firmware.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "bounded::map"
    )]
    pub meta: BTreeMap<String, String>,
}

impl Stream {
    /// Bytes of a sample without its device time; `None` if samples vary in size.
    ///
    /// A product that overflows is no size any sample has, so it counts as varying.
    pub fn sample_size(&self) -> Option<usize> {
        if !self.media.has_fixed_size(&self.format) {
            return None;
        }
        let size = self.dtype?.size();
        self.shape.iter().try_fold(size, |n, dim| n.checked_mul(*dim as usize))
    }

    /// Whether it only tells about another stream, whose name `meta` has as `about`: who
    /// shows or sends streams may leave it out.
    pub fn is_about_another(&self) -> bool {
        self.meta.contains_key("about")
    }

    /// Numbers in a sample; 1 for an empty shape.
    pub fn width(&self) -> usize {
        self.shape.iter().fold(1, |n, dim| n.saturating_mul(*dim as usize))
    }

    /// Label of the number at `index`: its channel's, or its place.
    pub fn label(&self, index: usize) -> String {
        match self.channels.get(index) {
            Some(channel) if !channel.label.is_empty() => channel.label.clone(),
            _ => index.to_string(),
        }
    }
}

/// What a stream's samples are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Media {
    /// Numbers: dtype × shape.
    Samples,
    /// A picture: rows × columns (× channels) of dtype, or compressed, as `format` says.
    Image,
    /// UTF-8 text.
    Text,
    /// Bytes of any length.
    #[default]
    Bytes,
    /// EVENT records only.
    Event,
    /// A medium this version does not know; samples are then bytes.
    #[serde(other)]
    Unknown,
}

impl Media {
    /// The word that stands in the payload.
    pub fn name(self) -> &'static str {
        match self {
            Media::Samples => "samples",
            Media::Image => "image",
            Media::Text => "text",
            Media::Bytes => "bytes",
            Media::Event => "event",
            Media::Unknown => "unknown",
        }
    }

    fn has_fixed_size(self, format: &str) -> bool {
        match self {
            Media::Samples => true,
            Media::Image => !matches!(format, "MJPG" | "JPEG" | "H264" | "HEVC" | "PNG"),
            _ => false,
        }
    }
}

/// Type of a number; all are little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Dtype {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl Dtype {
    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Dtype::U8 | Dtype::I8 => 1,
            Dtype::U16 | Dtype::I16 => 2,
            Dtype::U32 | Dtype::I32 | Dtype::F32 => 4,
            Dtype::U64 | Dtype::I64 | Dtype::F64 => 8,
        }
    }

    /// The word that stands in the payload.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::U8 => "u8",
            Dtype::I8 => "i8",
            Dtype::U16 => "u16",
            Dtype::I16 => "i16",
            Dtype::U32 => "u32",
            Dtype::I32 => "i32",
            Dtype::U64 => "u64",
            Dtype::I64 => "i64",
            Dtype::F32 => "f32",
            Dtype::F64 => "f64",
        }
    }
}

/// One column of a stream of samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Channel {
    /// What users call it.
    #[serde(default)]
    pub label: String,
    /// `kPa`, `uV` …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// `thumb_tip`, `palm` …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Where it sits, in mm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<[f32; 3]>,
}

/// A part of a sample that has a type of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// What it is called.
    pub name: String,
    /// Type of its numbers.
    pub dtype: Dtype,
    /// Where in the sample it begins, in bytes.
    pub offset: u32,
    /// How many numbers.
    pub count: u32,
    /// Their unit.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
}

/// A point on the device, and the number of a sample that it gives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sensor {
    /// Which one it is, as the map of the device counts them.
    pub id: u32,
    /// Its number's place in a sample, from 0.
    pub index: u32,
    /// `thumb_tip`, `palm` …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Where it sits, in mm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<[f32; 3]>,
}

/// Where samples come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Who made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub make: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Which one it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub serial: String,
    /// Where it is plugged in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub port: String,
}

impl Device {
    fn is_unknown(&self) -> bool {
        *self == Device::default()
    }
}

/// The clock that device times are read from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceClock {
    /// Ticks a second.
    pub rate: f64,
    /// Bits of its counter, after which it wraps to 0.
    pub bits: u8,
}

fn shape<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u32>, D::Error> {
    from.deserialize_seq(bounded::Seq::<u32, 16>(PhantomData))
}

fn channels<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Channel>, D::Error> {
    from.deserialize_seq(bounded::Seq::<Channel, 16384>(PhantomData))
}

fn fields<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Field>, D::Error> {
    from.deserialize_seq(bounded::Seq::<Field, 1024>(PhantomData))
}

fn sensors<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Sensor>, D::Error> {
    from.deserialize_seq(bounded::Seq::<Sensor, 4096>(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Payload as _;

    #[test]
    fn a_description_comes_back_as_it_was() {
        let channel = Channel {
            label: "a".into(),
            position: Some([1., 2., 3.]),
            ..Channel::default()
        };
        let stream = Stream {
            name: "glove".into(),
            media: Media::Samples,
            dtype: Some(Dtype::U8),
            shape: vec![272],
            channels: vec![channel],
            sensors: vec![Sensor {
                id: 7,
                index: 20,
                region: "palm".into(),
                position: None,
            }],
            rate: Some(217.0),
            device_clock: Some(DeviceClock { rate: 1e6, bits: 32 }),
            ..Stream::default()
        };
        assert_eq!(Stream::from_bytes(&stream.to_bytes()).unwrap(), stream);
        assert_eq!(stream.sample_size(), Some(272));
    }

    #[test]
    fn compressed_pictures_and_absurd_shapes_have_no_size() {
        let mut stream = Stream { media: Media::Image, ..Stream::default() };
        stream.dtype = Some(Dtype::U8);
        stream.shape = vec![480, 640];
        assert_eq!(stream.sample_size(), Some(307_200));
        stream.format = "MJPG".into();
        assert_eq!(stream.sample_size(), None);
        stream.format = "GRAY8".into();
        stream.shape = vec![u32::MAX; 3];
        assert_eq!(stream.sample_size(), None);
    }
}
