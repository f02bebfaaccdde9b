//! A stream on the network: samples are gathered, and pushed in chunks with a time for each.
//!
//! liblsl sends from threads of its own and never waits for a consumer. How far each has got
//! is known all the same ([`crate::consumers`]), so that whoever pushes can wait for them.

use std::sync::Arc;

use crate::consumers::{Change, Consumers};
use crate::element::Element;
use crate::handle::{OutletHandle, Values};
use crate::info::{Format, Info};
use crate::library::Library;
use crate::sockets::Sockets;

/// The tag and the time before the values of a sample.
const HEAD: u64 = 9;
/// What liblsl answers to who wants the samples, before the two that it tries the
/// connection with: `LSL/110 200 OK` and four lines more.
const ANSWER: u64 = 131;
/// What a sample takes in liblsl's queue beside its values.
pub const OVERHEAD: u64 = 80;

/// A stream on the network.
#[derive(Debug)]
pub struct Outlet {
    handle: OutletHandle,
    name: String,
    channels: usize,
    format: Format,
    ports: Vec<u16>,
    gathered: Gathered,
    times: Vec<f64>,
    consumers: Consumers,
}

/// Why there is no outlet, or why it took nothing.
#[derive(Debug, thiserror::Error)]
pub enum OutletError {
    /// liblsl would not open it.
    #[error(
        "{0}: liblsl opens no outlet; are all of its ports taken? (PortRange in lsl_api.cfg)"
    )]
    Refused(String),
    /// liblsl would not take samples.
    #[error("{0}: liblsl took no samples")]
    Push(String),
}

/// Values that wait to be pushed.
#[derive(Debug)]
enum Gathered {
    Float32(Vec<f32>),
    Double64(Vec<f64>),
    Int64(Vec<i64>),
    Int32(Vec<i32>),
    Int16(Vec<i16>),
    Int8(Vec<i8>),
    Texts(Texts),
}

/// Texts back to back, and the length of each.
#[derive(Debug, Default)]
struct Texts {
    bytes: Vec<u8>,
    lengths: Vec<u32>,
}

impl Outlet {
    /// Opens an outlet that keeps so many samples for each consumer.
    pub fn open(
        library: &Arc<Library>,
        info: &Info,
        capacity: u32,
    ) -> Result<Outlet, OutletError> {
        let refused = || OutletError::Refused(info.name.clone());
        let handle = OutletHandle::create(library, info, capacity).ok_or_else(refused)?;
        let xml = handle.xml().ok_or_else(refused)?;
        let told = Element::parse(&xml).unwrap_or_default();
        let port =
            |name: &str| told.text_at(name)?.parse().ok().filter(|port| *port != 0);
        let ports = ["v4data_port", "v6data_port"].into_iter().filter_map(port).collect();
        let channels = info.channel_count as usize;
        Ok(Outlet {
            handle,
            name: info.name.clone(),
            channels,
            format: info.format,
            ports,
            gathered: Gathered::new(info.format),
            times: Vec::new(),
            consumers: Consumers::new(greeting(info.format, channels)),
        })
    }

    /// Adds a sample to those that will be pushed: its values as LSL has them
    /// ([`crate::values::widen`]), or its text.
    pub fn add(&mut self, values: &[u8], time: f64) {
        self.gathered.add(values);
        self.times.push(explicit(time));
    }

    /// How many samples were added since the last push, and how long they are when they are
    /// written.
    pub fn gathered(&self) -> (usize, u64) {
        let n = self.times.len();
        (n, n as u64 * HEAD + self.gathered.wire_len())
    }

    /// Pushes what was added.
    pub fn push(&mut self) -> Result<(), OutletError> {
        let (n, bytes) = self.gathered();
        if n == 0 {
            return Ok(());
        }
        let values = self.gathered.values();
        let taken = self.handle.push(values, &self.times, self.channels);
        self.discard();
        if !taken {
            return Err(OutletError::Push(self.name.clone()));
        }
        self.consumers.push(n as u64, bytes);
        Ok(())
    }

    /// Forgets what was added since the last push; how many samples that were.
    pub fn discard(&mut self) -> u64 {
        let n = self.times.len();
        self.gathered.clear();
        self.times.clear();
        n as u64
    }

    /// Learns how far each consumer has got.
    pub fn look(&mut self, sockets: &Sockets, now: i64, told: impl FnMut(Change)) {
        let at = self.ports.iter().flat_map(|port| sockets.at(*port));
        self.consumers.look(at, now, told);
    }

    /// Who reads it, as of the last look.
    pub fn consumers(&self) -> &Consumers {
        &self.consumers
    }

    /// The same, to give some up.
    pub fn consumers_mut(&mut self) -> &mut Consumers {
        &mut self.consumers
    }

    /// Whether anybody reads it now, by liblsl's own word.
    pub fn have_consumers(&self) -> bool {
        self.handle.have_consumers()
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of a sample as it is written; at least, where it is a text.
    pub fn sample_len(&self) -> u64 {
        let value = if self.format == Format::String { 2 } else { self.format.size() };
        HEAD + (value * self.channels) as u64
    }
}

impl Gathered {
    fn new(format: Format) -> Gathered {
        match format {
            Format::Float32 => Gathered::Float32(Vec::new()),
            Format::Double64 => Gathered::Double64(Vec::new()),
            Format::Int64 => Gathered::Int64(Vec::new()),
            Format::Int32 => Gathered::Int32(Vec::new()),
            Format::Int16 => Gathered::Int16(Vec::new()),
            Format::Int8 => Gathered::Int8(Vec::new()),
            Format::String => Gathered::Texts(Texts::default()),
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        macro_rules! extend {
            ($all:ident, $type:ty) => {{
                let numbers = bytes.as_chunks().0.iter();
                $all.extend(numbers.map(|number| <$type>::from_le_bytes(*number)));
            }};
        }
        match self {
            Gathered::Float32(all) => extend!(all, f32),
            Gathered::Double64(all) => extend!(all, f64),
            Gathered::Int64(all) => extend!(all, i64),
            Gathered::Int32(all) => extend!(all, i32),
            Gathered::Int16(all) => extend!(all, i16),
            Gathered::Int8(all) => extend!(all, i8),
            Gathered::Texts(texts) => texts.add(bytes),
        }
    }

    /// Bytes as they are written, without the heads.
    fn wire_len(&self) -> u64 {
        let bytes = match self {
            Gathered::Float32(all) => size_of_val(all.as_slice()),
            Gathered::Double64(all) => size_of_val(all.as_slice()),
            Gathered::Int64(all) => size_of_val(all.as_slice()),
            Gathered::Int32(all) => size_of_val(all.as_slice()),
            Gathered::Int16(all) => size_of_val(all.as_slice()),
            Gathered::Int8(all) => size_of_val(all.as_slice()),
            Gathered::Texts(texts) => return texts.wire_len(),
        };
        bytes as u64
    }

    fn values(&self) -> Values<'_> {
        match self {
            Gathered::Float32(all) => Values::Float32(all),
            Gathered::Double64(all) => Values::Double64(all),
            Gathered::Int64(all) => Values::Int64(all),
            Gathered::Int32(all) => Values::Int32(all),
            Gathered::Int16(all) => Values::Int16(all),
            Gathered::Int8(all) => Values::Int8(all),
            Gathered::Texts(texts) => Values::Texts(&texts.bytes, &texts.lengths),
        }
    }

    fn clear(&mut self) {
        match self {
            Gathered::Float32(all) => all.clear(),
            Gathered::Double64(all) => all.clear(),
            Gathered::Int64(all) => all.clear(),
            Gathered::Int32(all) => all.clear(),
            Gathered::Int16(all) => all.clear(),
            Gathered::Int8(all) => all.clear(),
            Gathered::Texts(texts) => {
                texts.bytes.clear();
                texts.lengths.clear();
            }
        }
    }
}

impl Texts {
    fn add(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.lengths.push(text.len() as u32);
    }

    fn wire_len(&self) -> u64 {
        self.lengths.iter().map(|length| text_len(u64::from(*length))).sum()
    }
}

/// Bytes of a text as it is written: the length of its length, its length, itself.
fn text_len(length: u64) -> u64 {
    let prefix = if length <= 0xff { 2 } else { 5 };
    prefix + length
}

/// Bytes that are written before the first sample: the answer, and two samples of a known
/// pattern, whose texts are 10, -11, 12 …
fn greeting(format: Format, channels: usize) -> u64 {
    let one = match format {
        Format::String => (0..channels as u64)
            .map(|at| text_len((at + 10).ilog10() as u64 + 1 + at % 2))
            .sum(),
        _ => (format.size() * channels) as u64,
    };
    ANSWER + 2 * (HEAD + one)
}

/// LSL takes 0 for "now" and -1 for "after the last": one ns beside them is neither.
fn explicit(time: f64) -> f64 {
    if time == 0.0 || time == -1.0 { time + 1e-9 } else { time }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_before_the_first_sample_is_as_long_as_liblsl_makes_it() {
        // As measured with liblsl 1.18.
        assert_eq!(greeting(Format::Float32, 2), 165);
        assert_eq!(greeting(Format::Int16, 3), 161);
        assert_eq!(greeting(Format::String, 1), 157);
    }

    #[test]
    fn what_is_gathered_is_as_long_as_it_is_written() {
        let mut numbers = Gathered::new(Format::Int16);
        numbers.add(&[1, 0, 255, 255]);
        assert!(matches!(numbers.values(), Values::Int16([1, -1])));
        assert_eq!(numbers.wire_len(), 4);
        let mut texts = Gathered::new(Format::String);
        texts.add(b"ab");
        texts.add(&[b'x'; 300]);
        assert_eq!(texts.wire_len(), 4 + 305);
        let Values::Texts(bytes, lengths) = texts.values() else { panic!("texts") };
        assert_eq!((bytes.len(), lengths), (302, &[2, 300][..]));
    }

    #[test]
    fn no_time_means_another() {
        assert!(explicit(0.0) != 0.0 && explicit(-1.0) != -1.0);
        assert_eq!(explicit(7.5), 7.5);
    }
}
