//! One stream's group: its samples, when they were, and its descriptions.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow};
use libframe::batch::{Sample, Samples};
use libframe::payload::{Gap, Payload as _};
use libframe::schema::{Dtype, Media, Stream};
use libframe::wire::{MAX_PAYLOAD, Record};

use super::column::{Column, Making};
use super::description;
use super::press::{Press, decode};
use super::rows::seconds;
use super::table::{Cell, Table};
use crate::h5::{Group, Type, Value};
use crate::layout::{descriptions, root, sensor_mapping, stream as names, table};

/// Rows in a chunk of samples, about: a second or some of most devices.
const ROWS: u64 = 1000;
/// Bytes in a chunk: samples that are short are more in one, those that are long fewer.
const MIN_CHUNK: u64 = 64 << 10;
const MAX_CHUNK: u64 = 1 << 20;
/// Bytes in a chunk of samples whose size varies.
const BYTES_CHUNK: u64 = 256 << 10;
/// Rows in a chunk of the other columns.
const INDEX_ROWS: u64 = 4096;

const U8: Type = Type::Number(Dtype::U8);
const U32: Type = Type::Number(Dtype::U32);
const U64: Type = Type::Number(Dtype::U64);
const I64: Type = Type::Number(Dtype::I64);
const F64: Type = Type::Number(Dtype::F64);

/// A stream's group.
pub(crate) struct StreamGroup {
    group: Group,
    /// The group's name below `streams`.
    pub(crate) name: String,
    /// Its key in the pipe.
    pub(crate) session: u32,
    pub(crate) number: u16,
    making: Making,
    form: Form,
    payload: Vec<u8>,
    described: Table,
    /// Bytes of a sample, if they are fixed.
    size: Option<usize>,
    data: Column,
    /// Where samples begin and how long they are, if that varies.
    places: Option<[Column; 2]>,
    time_ns: Column,
    timestamps: Column,
    seq: Column,
    device_time: Option<Column>,
    device_time_valid: Option<Column>,
    /// What makes the session's monotonic times wall clock times.
    session_offset: i64,
    /// The same for the stream's, which may be of another clock.
    offset: i64,
    first_time: Option<i64>,
    last_time: i64,
    lost: i64,
    changed: bool,
}

/// What is kept of a description, which may take megabytes.
#[derive(Debug, PartialEq)]
struct Form {
    name: String,
    dtype: Option<Dtype>,
    shape: Vec<u32>,
    /// Bytes of a sample, if they are fixed.
    size: Option<usize>,
}

impl Form {
    fn of(stream: &Stream) -> Form {
        let (name, shape) = (stream.name.clone(), stream.shape.clone());
        Form { name, dtype: stream.dtype, shape, size: fixed_size(stream) }
    }
}

/// Where a stream's group goes, and what it is of.
pub(crate) struct Origin<'a> {
    pub(crate) streams: &'a Group,
    pub(crate) session: u32,
    /// The session's number in the file, from 1.
    pub(crate) session_number: i32,
    pub(crate) offset: i64,
    pub(crate) number: u16,
    /// How many groups this stream had before.
    pub(crate) part: i32,
}

/// The last number that each name had, so that thousands of one name are no search.
pub(crate) type Numbers = BTreeMap<String, u32>;

impl StreamGroup {
    pub(crate) fn create(
        origin: &Origin<'_>,
        payload: &[u8],
        making: Making,
        numbers: &mut Numbers,
    ) -> Result<StreamGroup> {
        let stream = read(payload, origin.number);
        let name = free_name(origin.streams, &stream.name, numbers)?;
        let group = origin.streams.create(&name)?;
        group.set(names::STREAM, Value::I32(origin.number.into()))?;
        group.set(names::SESSION, Value::I32(origin.session_number))?;
        group.set(names::PART, Value::I32(origin.part))?;
        let size = fixed_size(&stream);
        description::write(&group, &stream, size)?;
        let column = |name: &str, kind: Type| index(&group, name, kind, making);
        let places = match size {
            Some(_) => None,
            None => Some([column(names::OFFSET, U64)?, column(names::SIZE, U32)?]),
        };
        let mut made = StreamGroup {
            data: samples(&group, &stream, size, making)?,
            places,
            time_ns: column(names::TIME_NS, I64)?,
            timestamps: column(names::TIMESTAMPS, F64)?,
            seq: column(names::SEQ, U64)?,
            described: Table::create(&group, descriptions::GROUP, &like(0), making)?,
            device_time: None,
            device_time_valid: None,
            group,
            name,
            session: origin.session,
            number: origin.number,
            making,
            form: Form::of(&stream),
            payload: Vec::new(),
            size,
            session_offset: origin.offset,
            offset: origin.offset,
            first_time: None,
            last_time: 0,
            lost: 0,
            changed: true,
        };
        made.write_figures()?;
        made.payload = payload.to_vec();
        Ok(made)
    }

    /// One that a recorder left.
    pub(crate) fn reopen(
        streams: &Group,
        name: &str,
        (session, session_offset): (u32, i64),
        making: Making,
    ) -> Result<StreamGroup> {
        let group = streams.open(name)?;
        let number = group.number(names::STREAM)? as u16;
        let descriptions = group.open(descriptions::GROUP)?;
        let payload = last_payload(&descriptions)?;
        let stream = read(&payload, number);
        let size = fixed_size(&stream);
        let column = |name: &str, kind: Type| {
            Column::reopen(&group, name, kind.size(), making.numbers(kind))
        };
        let optional = |name: &str, kind: Type| match group.has(name)? {
            true => column(name, kind).map(Some),
            false => anyhow::Ok(None),
        };
        let places = match size {
            Some(_) => None,
            None => Some([column(names::OFFSET, U64)?, column(names::SIZE, U32)?]),
        };
        // Only a stream of another clock than the session's has it.
        let clock_offset = group.number(names::CLOCK_OFFSET).unwrap_or(0);
        let time_ns = column(names::TIME_NS, I64)?;
        let start = time_of(&group, 0, making)?;
        let last = time_of(&group, time_ns.rows().saturating_sub(1), making)?;
        Ok(StreamGroup {
            data: Column::reopen(
                &group,
                names::DATA,
                size.unwrap_or(1),
                making.samples(),
            )?,
            places,
            time_ns,
            timestamps: column(names::TIMESTAMPS, F64)?,
            seq: column(names::SEQ, U64)?,
            device_time: optional(names::DEVICE_TIME, U64)?,
            device_time_valid: optional(names::DEVICE_TIME_VALID, U8)?,
            described: Table::reopen(&group, descriptions::GROUP, &like(0), making)?,
            first_time: start,
            last_time: last.unwrap_or(0),
            lost: group.number(names::LOST)?,
            name: name.into(),
            group,
            session,
            number,
            making,
            form: Form::of(&stream),
            payload,
            size,
            session_offset,
            offset: session_offset.saturating_sub(clock_offset),
            changed: false,
        })
    }

    /// How many samples there are.
    pub(crate) fn rows(&self) -> u64 {
        self.time_ns.rows()
    }

    /// Which of a stream's groups this is.
    pub(crate) fn part(&self) -> Result<i32> {
        Ok(self.group.number(names::PART)? as i32)
    }

    /// Whether samples of this description belong here too.
    pub(crate) fn takes(&self, payload: &[u8]) -> bool {
        payload == self.payload || Form::of(&read(payload, self.number)) == self.form
    }

    /// Takes note of a description; returns whether it is new.
    pub(crate) fn describe(&mut self, payload: &[u8], press: &mut Press) -> Result<bool> {
        let again = self.described.rows() > 0 && payload == self.payload;
        if again || payload.is_empty() {
            return Ok(false);
        }
        let stream = read(payload, self.number);
        if self.described.rows() > 0 {
            description::write(&self.group, &stream, self.size)?;
        }
        self.described.push(&like(self.rows()), payload, press)?;
        self.payload = payload.to_vec();
        self.changed = true;
        Ok(true)
    }

    /// Adds a record's samples. An error is about the record, not about the file, if
    /// the inner one.
    pub(crate) fn add(
        &mut self,
        record: &Record<'_>,
        press: &mut Press,
    ) -> Result<Result<(), anyhow::Error>> {
        let samples = match self.parse(record) {
            Ok(samples) => samples,
            Err(err) => return Ok(Err(err)),
        };
        for sample in samples.iter() {
            self.add_sample(&sample, press)?;
        }
        Ok(Ok(()))
    }

    fn parse<'a>(&self, record: &Record<'a>) -> Result<Samples<'a>> {
        let samples = Samples::parse(record, self.size.is_some())?;
        match self.size {
            Some(size) if !samples.is_empty() && !samples.are_of_size(size) => {
                Err(anyhow!("samples are not of {size} bytes"))
            }
            _ => Ok(samples),
        }
    }

    #[inline]
    fn add_sample(&mut self, sample: &Sample<'_>, press: &mut Press) -> Result<()> {
        if sample.device_time.is_some() != self.device_time.is_some()
            || self.device_time_valid.is_some()
        {
            self.mind_device_time(sample.device_time.is_some(), press)?;
        }
        if let Some([offset, size]) = &mut self.places {
            offset.push(&self.data.rows().to_le_bytes(), press)?;
            size.push(&(sample.bytes.len() as u32).to_le_bytes(), press)?;
        }
        if !sample.bytes.is_empty() {
            self.data.push(sample.bytes, press)?;
        }
        let time = seconds(sample.time, self.offset);
        self.timestamps.push(&time.to_le_bytes(), press)?;
        self.time_ns.push(&sample.time.to_le_bytes(), press)?;
        self.seq.push(&sample.seq.to_le_bytes(), press)?;
        if let Some(column) = &mut self.device_time {
            let time = sample.device_time.unwrap_or(0);
            column.push(&time.to_le_bytes(), press)?;
        }
        self.first_time.get_or_insert(sample.time);
        self.last_time = sample.time;
        self.changed = true;
        Ok(())
    }

    /// Makes the columns that a stream has which has device times, or has some.
    #[cold]
    fn mind_device_time(&mut self, has: bool, press: &mut Press) -> Result<()> {
        let rows = self.rows();
        let mixed = rows > 0 && has != self.device_time.is_some();
        if mixed && self.device_time_valid.is_none() {
            let name = names::DEVICE_TIME_VALID;
            let mut valid = index(&self.group, name, U8, self.making)?;
            for _ in 0..rows {
                valid.push(&[self.device_time.is_some().into()], press)?;
            }
            self.device_time_valid = Some(valid);
        }
        if has && self.device_time.is_none() {
            let mut times = index(&self.group, names::DEVICE_TIME, U64, self.making)?;
            times.push_zeros(rows, press)?;
            self.device_time = Some(times);
        }
        match &mut self.device_time_valid {
            Some(valid) => valid.push(&[has.into()], press),
            None => Ok(()),
        }
    }

    /// What makes its times wall clock times.
    pub(crate) fn offset(&self) -> i64 {
        self.offset
    }

    /// Takes note of how far its clock is from the session's. That holds for the samples
    /// after this.
    pub(crate) fn set_clock(&mut self, offset: i64) -> Result<()> {
        self.offset = self.session_offset.saturating_sub(offset);
        self.group.set(names::CLOCK_OFFSET, Value::I64(offset))
    }

    /// Takes note of samples that are missing.
    pub(crate) fn lose(&mut self, gap: &Gap) {
        let count = gap.count.and_then(|count| i64::try_from(count).ok()).unwrap_or(0);
        self.lost = self.lost.saturating_add(count);
        self.changed = true;
    }

    /// Hands over all last chunks as they are now, if there is anything new.
    pub(crate) fn settle(&mut self, press: &mut Press) -> Result<()> {
        if !self.changed {
            return Ok(());
        }
        let columns = [&mut self.data, &mut self.time_ns, &mut self.timestamps]
            .into_iter()
            .chain([&mut self.seq])
            .chain(self.places.iter_mut().flatten())
            .chain(&mut self.device_time)
            .chain(&mut self.device_time_valid);
        columns.into_iter().try_for_each(|column| column.settle(press))?;
        self.described.settle(press)?;
        self.changed = false;
        self.write_figures()
    }

    fn write_figures(&mut self) -> Result<()> {
        let group = &self.group;
        group.set(names::SAMPLE_COUNT, Value::I64(self.rows() as i64))?;
        group.set(names::LOST, Value::I64(self.lost))?;
        write_times(group, &self.times())
    }

    /// The figures about time that the root has too.
    pub(crate) fn times(&self) -> [(&'static str, f64); 3] {
        let first = self.first_time.unwrap_or(0);
        let seconds_of = |time: i64| seconds(time, self.offset);
        let duration = self.last_time.saturating_sub(first) as f64 * 1e-9;
        let (start, duration) = match self.first_time {
            Some(first) => (seconds_of(first), duration),
            None => (f64::NAN, 0.0),
        };
        let rate = self.rows().saturating_sub(1) as f64 / duration;
        let rate = if rate.is_finite() { rate } else { f64::NAN };
        [
            (names::SAMPLE_RATE, rate),
            (names::TIMESTAMP_START, start),
            (names::DURATION, duration),
        ]
    }

    /// What the root has of the only stream.
    pub(crate) fn write_at_root(&self, at: &Group) -> Result<()> {
        write_times(at, &self.times())?;
        let stream = read(&self.payload, self.number);
        at.set(root::SENSOR_COUNT, Value::I32(description::sensor_count(&stream)))?;
        let size = self.size.map_or(-1, |size| size as i64);
        at.set(root::FRAME_SIZE_BYTES, Value::I64(size))?;
        at.set(root::DEVICE, Value::Text(&description::device(&stream)))
    }

    /// Brings the root's figures up to date.
    pub(crate) fn write_times_at_root(&self, at: &Group) -> Result<()> {
        write_times(at, &self.times())
    }

    /// Whether its description maps sensors.
    pub(crate) fn has_sensors(&self) -> Result<bool> {
        self.group.has(sensor_mapping::GROUP)
    }
}

fn write_times(at: &Group, times: &[(&str, f64)]) -> Result<()> {
    times.iter().try_for_each(|(name, value)| at.set(name, Value::F64(*value)))
}

/// The row of a description.
fn like(row: u64) -> [(&'static str, Cell<'static>); 1] {
    [(table::ROW, Cell::U64(row))]
}

/// A description, or what stands for one that never came.
fn read(payload: &[u8], number: u16) -> Stream {
    let read = Stream::from_bytes(payload);
    read.unwrap_or_else(|_| Stream {
        name: format!("stream_{number}"),
        media: Media::Bytes,
        ..Stream::default()
    })
}

/// The size of a stream's samples, where HDF5 can have rows of it: not of nothing, and
/// none that no record holds.
fn fixed_size(stream: &Stream) -> Option<usize> {
    stream.sample_size().filter(|size| (1..=MAX_PAYLOAD).contains(size))
}

fn samples(
    group: &Group,
    stream: &Stream,
    size: Option<usize>,
    making: Making,
) -> Result<Column> {
    let (Some(size), Some(dtype)) = (size, stream.dtype) else {
        let how = (U8, &[][..]);
        return Column::create(group, names::DATA, how, BYTES_CHUNK, making.samples());
    };
    let row: Vec<u64> = stream.shape.iter().map(|n| u64::from(*n)).collect();
    let size = size as u64;
    let rows = (MIN_CHUNK / size / ROWS * ROWS).max(ROWS);
    let rows = rows.min(MAX_CHUNK / size).max(1);
    let how = (Type::Number(dtype), &row[..]);
    Column::create(group, names::DATA, how, rows, making.samples())
}

fn index(group: &Group, name: &str, kind: Type, making: Making) -> Result<Column> {
    Column::create(group, name, (kind, &[]), INDEX_ROWS, making.numbers(kind))
}

/// A name that no other stream has: links cannot hold every one that a pipe can.
fn free_name(streams: &Group, name: &str, numbers: &mut Numbers) -> Result<String> {
    let plain: String = name
        .chars()
        .map(|c| if c == '/' || c == '\0' { '_' } else { c })
        .take(200)
        .collect();
    let plain = match plain.as_str() {
        "" | "." | ".." => format!("_{plain}"),
        _ => plain,
    };
    let number = numbers.entry(plain.clone()).or_insert(0);
    loop {
        *number += 1;
        let name = match *number {
            1 => plain.clone(),
            n => format!("{plain}.{n}"),
        };
        if !streams.has(&name)? {
            return Ok(name);
        }
    }
}

fn last_payload(descriptions: &Group) -> Result<Vec<u8>> {
    let ends = descriptions.bytes(table::PAYLOAD_END)?;
    let payloads = descriptions.bytes(table::PAYLOAD)?;
    let mut ends = ends.as_chunks().0.iter().map(|end| u64::from_le_bytes(*end) as usize);
    let Some(end) = ends.next_back() else { return Ok(Vec::new()) };
    let begin = ends.next_back().unwrap_or(0);
    let payload = payloads.get(begin..end).context("descriptions do not fit together")?;
    Ok(payload.to_vec())
}

/// The time of a row that a recorder left.
fn time_of(group: &Group, row: u64, making: Making) -> Result<Option<i64>> {
    let set = group.reopen(names::TIME_NS)?;
    if row >= set.rows() {
        return Ok(None);
    }
    let (skipped, bytes) = set.read_chunk(row / set.chunk())?;
    let len = set.chunk() as usize * 8;
    let plain = decode(making.numbers(I64), skipped, bytes, len)?;
    let at = (row % set.chunk()) as usize;
    Ok(plain.as_chunks().0.get(at).map(|time| i64::from_le_bytes(*time)))
}
