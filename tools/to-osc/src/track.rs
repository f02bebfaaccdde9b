//! A stream on its way: its samples are gathered until a message is full, old enough, or
//! their numbering is interrupted.

use std::ops::Range;

use libframe::batch::{Sample, Samples};
use libframe::clock::SECOND;
use libframe::schema::{Dtype, Media, Stream};

use crate::address::Template;
use crate::layout::{Group, Layout, Slab, Style};
use crate::numbers::{self, Nan};

/// How streams are to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    pub(crate) style: Style,
    pub(crate) address: Template,
    pub(crate) channel_address: Template,
    /// Channels in a message at most.
    pub(crate) group: Option<usize>,
    /// Samples in a message; as many as fit if the user does not say.
    pub(crate) batch: Option<usize>,
    /// How long a sample may wait for others, ns.
    pub(crate) batch_time: i64,
    pub(crate) nan: Nan,
    /// Bytes of a message at most.
    pub(crate) limit: usize,
}

impl Manner {
    /// The same at addresses with the name of the stream.
    pub(crate) fn beside(&self) -> Manner {
        Manner {
            address: self.address.beside(),
            channel_address: self.channel_address.beside(),
            ..self.clone()
        }
    }
}

/// Where messages go: all those of one slab, then its end.
pub(crate) trait Outlet {
    /// Room for a message, to be appended.
    fn message(&mut self, write: impl FnOnce(&mut Vec<u8>));

    /// All messages of so many samples were given.
    fn slab(&mut self, samples: u64);
}

/// Numbers that wait at most, whatever the batch: beyond, memory would depend on what comes.
const MOST_HELD: usize = 64 << 10;

/// Channels that may have addresses of their own: as many as a description can name.
const MOST_INDIVIDUALS: usize = 16384;

/// A stream that is being sent.
#[derive(Debug)]
pub(crate) struct Track {
    stream: Stream,
    dtype: Dtype,
    /// Numbers of a sample, and its bytes.
    width: usize,
    size: usize,
    rate: Option<f64>,
    groups: Vec<Group>,
    /// Samples that a message can hold.
    most: usize,
    /// Float32, little-endian, of samples that wait, and their capture times.
    held: Vec<[u8; 4]>,
    times: Vec<i64>,
    /// The number of the first that waits, and when it came.
    first: u64,
    since: i64,
    /// The last number of each channel.
    last: Vec<[u8; 4]>,
    /// Numbers that were beyond what an int16 can hold.
    pub(crate) clipped: u64,
}

/// Samples that follow each other.
#[derive(Clone, Copy)]
struct Run<'a> {
    numbers: &'a [[u8; 4]],
    first: u64,
    times: Times<'a>,
}

/// Capture times of a run.
#[derive(Clone, Copy)]
enum Times<'a> {
    Held(&'a [i64]),
    Of(&'a Samples<'a>),
}

impl Times<'_> {
    fn len(self) -> usize {
        match self {
            Times::Held(times) => times.len(),
            Times::Of(samples) => samples.len(),
        }
    }

    fn at(self, index: usize) -> i64 {
        match self {
            Times::Held(times) => times.get(index).copied().unwrap_or_default(),
            Times::Of(samples) => samples.time(index),
        }
    }
}

/// What a track needs to send: how, by which clock, and where to.
pub(crate) struct Way<'a, C, O> {
    pub(crate) manner: &'a Manner,
    /// The OSC time tag of a capture time.
    pub(crate) tag: C,
    pub(crate) out: &'a mut O,
}

impl Track {
    /// Whether a stream is one of numbers.
    pub(crate) fn is_for(stream: &Stream) -> bool {
        let has_numbers = stream.sample_size().is_some_and(|size| size > 0);
        stream.media == Media::Samples && has_numbers
    }

    /// A track for a stream of numbers; `None` if it is none. The error is that not even one
    /// number fits into a message.
    pub(crate) fn new(stream: &Stream, manner: &Manner) -> Option<Result<Track, String>> {
        if !Track::is_for(stream) {
            return None;
        }
        let (dtype, size) = (stream.dtype?, stream.sample_size()?);
        let width = stream.width();
        let (groups, most) = match groups(stream, width, manner) {
            Ok(found) => found,
            Err(why) => return Some(Err(why)),
        };
        Some(Ok(Track {
            stream: stream.clone(),
            dtype,
            width,
            size,
            rate: stream.rate.filter(|rate| *rate > 0.0),
            groups,
            most,
            held: Vec::new(),
            times: Vec::new(),
            first: 0,
            since: 0,
            last: Vec::new(),
            clipped: 0,
        }))
    }

    /// Whether this is the description it was made for.
    pub(crate) fn is_of(&self, stream: &Stream) -> bool {
        self.stream == *stream
    }

    /// How long so many samples last, ns, if that is known.
    pub(crate) fn duration(&self, samples: u64) -> i64 {
        self.rate.map_or(0, |rate| (samples as f64 / rate * SECOND as f64) as i64)
    }

    /// When what waits must go.
    pub(crate) fn deadline(&self, manner: &Manner) -> Option<i64> {
        let due = self.since.saturating_add(manner.batch_time);
        (!self.times.is_empty()).then_some(due)
    }

    /// Takes a record's samples.
    pub(crate) fn take<C: Fn(i64) -> u64, O: Outlet>(
        &mut self,
        samples: &Samples<'_>,
        now: i64,
        way: &mut Way<'_, C, O>,
    ) {
        let Some(first) = samples.iter().next() else { return };
        if !samples.are_of_size(self.size) {
            return;
        }
        let waiting = self.times.len() as u64;
        if waiting > 0 && self.first.wrapping_add(waiting) != first.seq {
            self.flush(way);
        }
        let manner = way.manner;
        let plain = self.dtype == Dtype::F32 && manner.nan == Nan::Pass;
        let enough = self.times.is_empty() && samples.len() >= self.each(manner);
        match samples.numbers().filter(|_| plain && enough) {
            Some(numbers) => {
                let (times, first) = (Times::Of(samples), first.seq);
                let sent = self.send_full(Run { numbers, first, times }, way);
                samples.iter().skip(sent).for_each(|sample| self.hold(&sample, now));
            }
            None => samples.iter().for_each(|sample| self.take_one(&sample, now, way)),
        }
        if manner.batch_time == 0 {
            self.flush(way);
        } else if self.times.len() >= self.each(manner) {
            self.send_held(false, way);
        }
    }

    /// Takes a sample that cannot be sent from where it lies.
    fn take_one<C: Fn(i64) -> u64, O: Outlet>(
        &mut self,
        sample: &Sample<'_>,
        now: i64,
        way: &mut Way<'_, C, O>,
    ) {
        let begin = self.held.len();
        self.hold(sample, now);
        let held = &mut self.held[begin..];
        let skips_channels = way.manner.style.layout == Layout::Individual;
        match way.manner.nan {
            Nan::Pass => {}
            Nan::Zero => numbers::fill(held, None),
            Nan::Hold => numbers::fill(held, Some(&mut self.last)),
            Nan::Skip if !skips_channels && held.iter().any(numbers::is_nan) => {
                self.held.truncate(begin);
                self.times.pop();
                self.flush(way);
            }
            Nan::Skip => {}
        }
        if self.held.len() >= MOST_HELD {
            self.send_held(false, way);
        }
    }

    /// Samples of a message that is full: as many as the user wants, in equal parts if that
    /// is more than it can hold.
    fn each(&self, manner: &Manner) -> usize {
        let wanted = manner.batch.unwrap_or(self.most);
        wanted.div_ceil(wanted.div_ceil(self.most))
    }

    /// Puts a sample with those that wait.
    fn hold(&mut self, sample: &Sample<'_>, now: i64) {
        if self.times.is_empty() {
            (self.first, self.since) = (sample.seq, now);
        }
        self.times.push(sample.time);
        numbers::put_floats(self.dtype, sample.bytes, &mut self.held);
    }

    /// Sends all that waits.
    pub(crate) fn flush<C: Fn(i64) -> u64, O: Outlet>(
        &mut self,
        way: &mut Way<'_, C, O>,
    ) {
        self.send_held(true, way);
    }

    fn send_held<C: Fn(i64) -> u64, O: Outlet>(
        &mut self,
        all: bool,
        way: &mut Way<'_, C, O>,
    ) {
        if self.times.is_empty() {
            return;
        }
        let (mut held, mut times) =
            (std::mem::take(&mut self.held), std::mem::take(&mut self.times));
        let run = Run { numbers: &held, first: self.first, times: Times::Held(&times) };
        let sent = self.send_full(run, way);
        if all && sent < times.len() {
            self.send_slab(run, sent..times.len(), way);
            held.clear();
            times.clear();
        } else {
            held.drain(..sent * self.width);
            times.drain(..sent);
            self.first = self.first.wrapping_add(sent as u64);
        }
        (self.held, self.times) = (held, times);
    }

    /// Sends as many full messages as a run has, and returns how many samples those were.
    /// Where the user did not say how many samples a message is to have, a run that fills
    /// one is sent as a whole, in equal parts.
    fn send_full<C: Fn(i64) -> u64, O: Outlet>(
        &mut self,
        run: Run<'_>,
        way: &mut Way<'_, C, O>,
    ) -> usize {
        let (samples, each) = (run.times.len(), self.each(way.manner));
        if way.manner.batch.is_none() && samples >= each {
            let parts = samples.div_ceil(each);
            for part in 0..parts {
                let range = samples * part / parts..samples * (part + 1) / parts;
                self.send_slab(run, range, way);
            }
            return samples;
        }
        let full = samples - samples % each;
        for begin in (0..full).step_by(each) {
            self.send_slab(run, begin..begin + each, way);
        }
        full
    }

    fn send_slab<C: Fn(i64) -> u64, O: Outlet>(
        &mut self,
        run: Run<'_>,
        range: Range<usize>,
        way: &mut Way<'_, C, O>,
    ) {
        let (begins, ends) = (run.times.at(range.start), run.times.at(range.end - 1));
        let style = way.manner.style;
        let slab = Slab {
            numbers: &run.numbers[range.start * self.width..range.end * self.width],
            samples: range.len(),
            channels: self.width,
            first: run.first.wrapping_add(range.start as u64),
            time: if style.layout.scales() { (way.tag)(begins) } else { 0 },
            span: (ends.saturating_sub(begins) as f64 / SECOND as f64) as f32,
        };
        let skips = way.manner.nan == Nan::Skip && style.layout == Layout::Individual;
        for group in &mut self.groups {
            if skips && numbers::is_nan(&slab.numbers[group.channels.start]) {
                continue;
            }
            way.out.message(|bytes| self.clipped += style.write(group, &slab, bytes));
        }
        way.out.slab(range.len() as u64);
    }
}

/// The channels that share a message, and how many samples of each fit into one.
fn groups(
    stream: &Stream,
    width: usize,
    manner: &Manner,
) -> Result<(Vec<Group>, usize), String> {
    let (style, limit) = (manner.style, manner.limit);
    let individual = style.layout == Layout::Individual;
    let address = manner.address.of_stream(&stream.name);
    let of_channel = |index: usize| {
        let label = stream.label(index);
        manner.channel_address.of_channel(&stream.name, index, &label)
    };
    let longest = || (0..width).map(of_channel).max_by_key(String::len);
    let address = if individual { longest().unwrap_or_default() } else { address };
    let fits =
        |channels: usize| style.most_samples(&address, channels < width, channels, limit);
    let wanted = if individual { 1 } else { manner.group.unwrap_or(width).min(width) };
    if individual && width > MOST_INDIVIDUALS {
        return Err(format!(
            "{}: too many channels for addresses of their own",
            stream.name
        ));
    }
    if fits(1) == 0 {
        let name = &stream.name;
        return Err(format!(
            "{name}: not one number fits into {limit} bytes; raise --mtu"
        ));
    }
    let each = match fits(wanted) {
        0 => {
            // As few parts as possible, of equal size.
            let (mut least, mut most) = (1, wanted);
            while least < most {
                let middle = (least + most).div_ceil(2);
                match fits(middle) {
                    0 => most = middle - 1,
                    _ => least = middle,
                }
            }
            match manner.group {
                Some(_) => least,
                None => width.div_ceil(width.div_ceil(least)),
            }
        }
        _ => wanted,
    };
    let begins = (0..width).step_by(each);
    let groups = begins.map(|begin| {
        let channels = begin..(begin + each).min(width);
        let part = !individual && channels.len() < width;
        let address = if individual { of_channel(begin) } else { address.clone() };
        Group::new(address, channels, part)
    });
    Ok((groups.collect(), fits(each)))
}
