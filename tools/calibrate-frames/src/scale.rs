//! What is done with the samples of one stream, and what its description says then.

use libframe::schema::{Channel, Dtype, Sensor, Stream};

use crate::curve::Curve;
use crate::gains::{Gain, Gains};

/// How a stream with so many numbers and no channels gets channels that have the unit.
const MAX_NAMED: usize = 4096;

/// The numbers that come out of a sample, in order.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    inputs: Vec<Input>,
    /// What each byte means, where the numbers are bytes.
    table: Option<Box<[f64; 256]>>,
    curve: Option<Curve>,
    /// Whether a reading of 0 means nothing at all.
    zero_is_zero: bool,
    /// Bytes of a sample that comes in.
    pub(crate) size: usize,
}

#[derive(Clone, Copy, Debug)]
struct Input {
    /// Where in the sample its bytes are.
    offset: usize,
    dtype: Dtype,
    /// `None`: it passes as it is.
    gain: Option<Gain>,
    zero: f64,
}

/// How a stream is to be calibrated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recipe {
    pub(crate) unit: String,
    pub(crate) curve: Option<Curve>,
    pub(crate) gains: Gains,
    /// For all sensors alike, after their own.
    pub(crate) gain: Option<Gain>,
    pub(crate) zero_is_zero: bool,
}

/// The numbers of a sample that are calibrated.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Choice {
    /// These, in this order.
    Sensors(Vec<Sensor>),
    /// So many from the first on, as one row.
    First(usize),
    /// All of them.
    All,
}

impl Recipe {
    /// The scale for a stream of numbers of this type, and the description of what comes out.
    pub(crate) fn apply(
        &self,
        stream: &Stream,
        dtype: Dtype,
        choice: &Choice,
        quaternion: Option<usize>,
    ) -> (Scale, Stream) {
        let places: Vec<u32> = match choice {
            Choice::Sensors(sensors) => sensors.iter().map(|s| s.index).collect(),
            Choice::First(n) => (0..*n as u32).collect(),
            Choice::All => (0..stream.width() as u32).collect(),
        };
        let ids = ids(choice, stream);
        let after = self.gain.unwrap_or(Gain::NONE);
        let numbers = places.iter().zip(&ids).map(|(place, id)| Input {
            offset: *place as usize * dtype.size(),
            dtype,
            gain: Some(id.map_or(Gain::NONE, |id| self.gains.of(id)).then(after)),
            zero: 0.0,
        });
        let mut inputs: Vec<_> = numbers.collect();
        inputs.extend(
            quaternion
                .into_iter()
                .flat_map(|at| (0..4).map(move |n| at + 4 * n))
                .map(|offset| Input { offset, dtype: Dtype::F32, gain: None, zero: 0.0 }),
        );
        let mut scale = Scale {
            inputs,
            table: None,
            curve: self.curve.clone(),
            zero_is_zero: self.zero_is_zero,
            size: stream.sample_size().unwrap_or_default(),
        };
        if dtype == Dtype::U8 {
            let mut table = Box::new([0.0; 256]);
            for (reading, value) in table.iter_mut().enumerate() {
                *value = scale.meaning(reading as f64);
            }
            scale.table = Some(table);
        }
        (scale, self.describe(stream, choice, quaternion.is_some()))
    }

    fn describe(&self, stream: &Stream, choice: &Choice, quaternion: bool) -> Stream {
        let mut out = stream.clone();
        out.dtype = Some(Dtype::F32);
        out.fields.clear();
        match choice {
            Choice::Sensors(sensors) => {
                out.channels =
                    sensors.iter().map(|sensor| self.channel(sensor)).collect();
                out.sensors = (0..).zip(sensors).map(renumber).collect();
                out.shape = vec![sensors.len() as u32];
            }
            Choice::First(n) => {
                let named =
                    |at: usize| stream.sensors.iter().find(|s| s.index as usize == at);
                let channel = |at| Channel {
                    label: format!("Byte_{at}"),
                    ..named(at).map(|s| self.channel(s)).unwrap_or_else(|| self.plain())
                };
                out.channels = (0..*n).map(channel).collect();
                out.shape = vec![*n as u32];
            }
            Choice::All => self.name_all(&mut out),
        }
        if quaternion {
            let channel =
                |n| Channel { label: format!("Quaternion_{n}"), ..Channel::default() };
            out.channels.extend((0..4).map(channel));
            out.shape = vec![out.channels.len() as u32];
        }
        out
    }

    /// Gives every channel the unit. Where there are none and they would be too many, or
    /// belong to the last of several dimensions, the description says it as a whole.
    fn name_all(&self, out: &mut Stream) {
        if self.unit.is_empty() {
            return;
        }
        if out.channels.is_empty() && out.shape.len() <= 1 && out.width() <= MAX_NAMED {
            let channel = |n: usize| Channel { label: n.to_string(), ..self.plain() };
            out.channels = (0..out.width()).map(channel).collect();
        }
        out.channels.iter_mut().for_each(|channel| channel.unit = self.unit.clone());
        out.meta.insert("unit".into(), self.unit.clone());
    }

    fn channel(&self, sensor: &Sensor) -> Channel {
        Channel {
            label: format!("Sensor_{}", sensor.id),
            unit: self.unit.clone(),
            region: sensor.region.clone(),
            position: sensor.position,
        }
    }

    fn plain(&self) -> Channel {
        Channel { unit: self.unit.clone(), ..Channel::default() }
    }
}

/// What the gains call each number: its sensor, or its place in a stream that has none.
pub(crate) fn ids(choice: &Choice, stream: &Stream) -> Vec<Option<u32>> {
    match choice {
        Choice::Sensors(sensors) => {
            sensors.iter().map(|sensor| Some(sensor.id)).collect()
        }
        Choice::First(n) if !stream.sensors.is_empty() => (0..*n as u32)
            .map(|at| stream.sensors.iter().find(|s| s.index == at).map(|s| s.id))
            .collect(),
        Choice::First(n) => (0..*n as u32).map(Some).collect(),
        Choice::All => (0..stream.width() as u32).map(Some).collect(),
    }
}

fn renumber((index, sensor): (u32, &Sensor)) -> Sensor {
    Sensor { index, ..sensor.clone() }
}

impl Scale {
    /// How many numbers come out of a sample.
    pub(crate) fn width(&self) -> usize {
        self.inputs.len()
    }

    /// What the numbers of a sample mean, in order.
    pub(crate) fn values<'a>(
        &'a self,
        sample: &'a [u8],
    ) -> impl Iterator<Item = f64> + 'a {
        self.inputs.iter().map(move |input| self.value(input, sample))
    }

    /// Appends a sample as it goes out.
    pub(crate) fn convert(&self, sample: &[u8], out: &mut Vec<u8>) {
        for value in self.values(sample) {
            out.extend_from_slice(&(value as f32).to_le_bytes());
        }
    }

    /// Takes these values for zero, but for numbers that pass as they are.
    pub(crate) fn set_zeros(&mut self, zeros: &[f64]) {
        for (input, zero) in self.inputs.iter_mut().zip(zeros) {
            input.zero = if input.gain.is_some() { *zero } else { 0.0 };
        }
    }

    /// The zeros of the numbers that have one.
    pub(crate) fn zeros(&self) -> impl Iterator<Item = f64> + '_ {
        self.inputs.iter().filter(|input| input.gain.is_some()).map(|input| input.zero)
    }

    fn value(&self, input: &Input, sample: &[u8]) -> f64 {
        let bytes = sample.get(input.offset..).unwrap_or_default();
        let Some(Gain { gain, offset }) = input.gain else {
            return number(input.dtype, bytes);
        };
        let meaning = match &self.table {
            Some(table) => table[usize::from(bytes.first().copied().unwrap_or_default())],
            None => self.meaning(number(input.dtype, bytes)),
        };
        gain * meaning + offset - input.zero
    }

    fn meaning(&self, reading: f64) -> f64 {
        match &self.curve {
            _ if self.zero_is_zero && reading == 0.0 => 0.0,
            Some(curve) => curve.at(reading),
            None => reading,
        }
    }
}

/// The number at the beginning of these bytes; 0 if they are too few.
fn number(dtype: Dtype, bytes: &[u8]) -> f64 {
    macro_rules! read {
        ($type:ty) => {
            bytes.first_chunk().map_or(0.0, |bytes| <$type>::from_le_bytes(*bytes) as f64)
        };
    }
    match dtype {
        Dtype::U8 => read!(u8),
        Dtype::I8 => read!(i8),
        Dtype::U16 => read!(u16),
        Dtype::I16 => read!(i16),
        Dtype::U32 => read!(u32),
        Dtype::I32 => read!(i32),
        Dtype::U64 => read!(u64),
        Dtype::I64 => read!(i64),
        Dtype::F32 => read!(f32),
        Dtype::F64 => read!(f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libframe::schema::Media;

    fn stream(dtype: Dtype, width: u32) -> Stream {
        let sensor = |id, index| Sensor {
            id,
            index,
            region: "palm".into(),
            position: Some([1.0, 2.0, 0.0]),
        };
        Stream {
            media: Media::Samples,
            dtype: Some(dtype),
            shape: vec![width],
            sensors: vec![sensor(7, 2), sensor(9, 0)],
            ..Stream::default()
        }
    }

    fn values(
        recipe: &Recipe,
        stream: &Stream,
        choice: &Choice,
        sample: &[u8],
    ) -> Vec<f64> {
        let (scale, _) = recipe.apply(stream, stream.dtype.unwrap(), choice, None);
        scale.values(sample).collect()
    }

    #[test]
    fn sensors_come_in_the_order_of_the_map_with_their_names() {
        let stream = stream(Dtype::U8, 4);
        let recipe = Recipe { unit: "kPa".into(), ..Recipe::default() };
        let choice = Choice::Sensors(stream.sensors.clone());
        let (scale, out) = recipe.apply(&stream, Dtype::U8, &choice, None);
        let mut bytes = Vec::new();
        scale.convert(&[10, 20, 30, 40], &mut bytes);
        assert_eq!(bytes, [30f32.to_le_bytes(), 10f32.to_le_bytes()].concat());
        assert_eq!((out.dtype, &out.shape[..]), (Some(Dtype::F32), &[2][..]));
        let channel = &out.channels[0];
        assert_eq!(
            (&*channel.label, &*channel.unit, &*channel.region),
            ("Sensor_7", "kPa", "palm")
        );
        assert_eq!(channel.position, Some([1.0, 2.0, 0.0]));
        let sensors: Vec<_> = out.sensors.iter().map(|s| (s.id, s.index)).collect();
        assert_eq!(sensors, [(7, 0), (9, 1)]);
        assert_eq!(out.sample_size(), Some(bytes.len()));
    }

    #[test]
    fn a_value_is_the_curves_then_the_sensors_then_everybodys_then_less_its_zero() {
        let stream = stream(Dtype::U8, 4);
        let recipe = Recipe {
            curve: Curve::built_in("kPa"),
            gain: Some(Gain { gain: 10.0, offset: 1.0 }),
            zero_is_zero: true,
            ..Recipe::default()
        };
        let choice = Choice::Sensors(stream.sensors.clone());
        let kpa = Curve::built_in("kPa").unwrap().at(150.0);
        assert_eq!(
            values(&recipe, &stream, &choice, &[0, 0, 150, 0]),
            [10.0 * kpa + 1.0, 1.0]
        );
        let (mut scale, _) = recipe.apply(&stream, Dtype::U8, &choice, None);
        scale.set_zeros(&[0.0, 1.0]);
        assert_eq!(scale.values(&[0; 4]).collect::<Vec<_>>(), [1.0, 0.0]);
    }

    #[test]
    fn every_type_of_number_is_read() {
        let bytes = (-2i16).to_le_bytes();
        let recipe =
            Recipe { gain: Some(Gain { gain: 0.5, offset: 3.0 }), ..Recipe::default() };
        let of =
            |dtype, bytes: &[u8]| values(&recipe, &stream(dtype, 1), &Choice::All, bytes);
        assert_eq!(of(Dtype::I16, &bytes), [2.0]);
        assert_eq!(of(Dtype::U16, &bytes), [0.5 * 65534.0 + 3.0]);
        assert_eq!(of(Dtype::F64, &8.0f64.to_le_bytes()), [7.0]);
        assert_eq!(of(Dtype::I64, &(-4i64).to_le_bytes()), [1.0]);
        assert_eq!(of(Dtype::F64, &bytes), [3.0], "too few bytes are no crash");
    }

    #[test]
    fn the_quaternion_passes_as_it_is() {
        let mut sample = vec![1; 4];
        sample
            .extend([0.5f32, -0.5, 0.25, 1.0].iter().flat_map(|part| part.to_le_bytes()));
        let stream = stream(Dtype::U8, 20);
        let recipe =
            Recipe { gain: Some(Gain { gain: 3.0, offset: 0.0 }), ..Recipe::default() };
        let (mut scale, out) =
            recipe.apply(&stream, Dtype::U8, &Choice::First(4), Some(4));
        scale.set_zeros(&[9.0; 8]);
        let values: Vec<_> = scale.values(&sample).collect();
        assert_eq!(values[4..], [0.5, -0.5, 0.25, 1.0]);
        assert_eq!(
            (values[0], out.shape[0], &*out.channels[4].label),
            (-6.0, 8, "Quaternion_0")
        );
        assert_eq!(
            (&*out.channels[2].label, &*out.channels[2].region),
            ("Byte_2", "palm")
        );
    }
}
