//! A stream's description as attributes and small datasets of its group.

use anyhow::Result;
use libframe::schema::{Dtype, Stream};

use super::table::padded;
use crate::h5::{Group, Type, Value};
use crate::layout::{channels, sensor_mapping, stream as names};

/// Writes a description, in place of an earlier one.
pub(crate) fn write(group: &Group, stream: &Stream, size: Option<usize>) -> Result<()> {
    let shape: Vec<i32> = stream.shape.iter().map(|n| *n as i32).collect();
    let json = serde_json::to_string(stream)?;
    let texts = [
        (names::NAME, stream.name.as_str()),
        (names::MEDIA, stream.media.name()),
        (names::DTYPE, stream.dtype.map_or("", Dtype::name)),
        (names::FORMAT, &stream.format),
        (names::STAMP, &stream.stamp),
        (names::UNIT, unit(stream)),
        (names::DEVICE_MAKE, &stream.device.make),
        (names::DEVICE_MODEL, &stream.device.model),
        (names::DEVICE_SERIAL, &stream.device.serial),
        (names::DEVICE_PORT, &stream.device.port),
        (names::JSON, &json),
    ];
    for (name, text) in texts {
        group.set(name, Value::Text(text))?;
    }
    group.set(names::SHAPE, Value::I32s(&shape))?;
    group.set(names::VERSION, Value::I32(stream.version as i32))?;
    group.set(names::RATE, Value::F64(stream.rate.unwrap_or(f64::NAN)))?;
    group.set(names::SAMPLE_SIZE, Value::I64(size.map_or(-1, |n| n as i64)))?;
    write_channels(group, stream)?;
    write_sensors(group, stream)
}

/// What the root calls the device.
pub(crate) fn device(stream: &Stream) -> String {
    let device = &stream.device;
    let parts = [&device.make, &device.model, &device.serial];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        [] => device.port.clone(),
        parts => parts.iter().map(|part| part.as_str()).collect::<Vec<_>>().join(" "),
    }
}

/// Distinct numbers that sensors are mapped to, else all numbers of a sample.
pub(crate) fn sensor_count(stream: &Stream) -> i32 {
    let mut places: Vec<_> = stream.sensors.iter().map(|sensor| sensor.index).collect();
    places.sort_unstable();
    places.dedup();
    let n = if places.is_empty() { stream.width() } else { places.len() };
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// The unit that all channels have.
fn unit(stream: &Stream) -> &str {
    let first = stream.channels.first().map_or("", |channel| &channel.unit);
    if stream.channels.iter().all(|channel| channel.unit == first) { first } else { "" }
}

fn write_channels(at: &Group, stream: &Stream) -> Result<()> {
    let list = &stream.channels;
    let Some(group) = fresh(at, channels::GROUP, list.is_empty())? else { return Ok(()) };
    let labels: Vec<_> = (0..list.len()).map(|index| stream.label(index)).collect();
    put_texts(&group, channels::LABELS, labels.iter().map(String::as_str))?;
    put_texts(&group, channels::UNITS, list.iter().map(|one| one.unit.as_str()))?;
    put_texts(&group, channels::REGIONS, list.iter().map(|one| one.region.as_str()))?;
    let places = list.iter().flat_map(|one| one.position.unwrap_or([f32::NAN; 3]));
    let bytes: Vec<u8> = places.flat_map(f32::to_le_bytes).collect();
    let dims = [list.len() as u64, 3];
    group.put(channels::POSITIONS, Type::Number(Dtype::F32), &dims, &bytes)
}

fn write_sensors(at: &Group, stream: &Stream) -> Result<()> {
    let list = &stream.sensors;
    let Some(group) = fresh(at, sensor_mapping::GROUP, list.is_empty())? else {
        return Ok(());
    };
    let n = list.len() as u64;
    let ids: Vec<u8> =
        list.iter().flat_map(|one| (one.id as i32).to_le_bytes()).collect();
    group.put(sensor_mapping::SENSOR_IDS, Type::Number(Dtype::I32), &[n], &ids)?;
    let indices: Vec<u8> =
        list.iter().flat_map(|one| (one.index as i32).to_le_bytes()).collect();
    let name = sensor_mapping::DATA_FRAME_INDICES;
    group.put(name, Type::Number(Dtype::I32), &[n], &indices)?;
    let flat = |one: &libframe::schema::Sensor| {
        let [x, y, _] = one.position.unwrap_or([f32::NAN; 3]);
        [x, y]
    };
    let places: Vec<u8> = list.iter().flat_map(flat).flat_map(f32::to_le_bytes).collect();
    group.put(sensor_mapping::POSITIONS, Type::Number(Dtype::F32), &[n, 2], &places)?;
    let regions = list.iter().map(|one| one.region.as_str());
    put_texts(&group, sensor_mapping::REGIONS, regions)?;
    group.set(sensor_mapping::INDEX_BASE, Value::I32(0))
}

/// The group anew; none if there is nothing to put into it.
fn fresh(at: &Group, name: &str, empty: bool) -> Result<Option<Group>> {
    if at.has(name)? {
        at.delete(name)?;
    }
    if empty { Ok(None) } else { at.create(name).map(Some) }
}

/// Texts as long as the longest.
fn put_texts<'a>(
    group: &Group,
    name: &str,
    texts: impl Iterator<Item = &'a str> + Clone,
) -> Result<()> {
    let width = texts.clone().map(str::len).max().unwrap_or(0).max(1);
    let n = texts.clone().count() as u64;
    let bytes: Vec<u8> = texts.flat_map(|text| padded(text, width)).collect();
    group.put(name, Type::Text(width), &[n], &bytes)
}
