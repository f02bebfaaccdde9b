//! A level that a channel reaches, and how long it must stay there.

use anyhow::Result;
use libframe::batch::Sample;
use libframe::schema::{Dtype, Stream};
use libframe::tool::{Patterns, Usage};

use crate::trigger::Trigger;

/// `STREAM.CHANNEL > LEVEL`, as written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Condition {
    text: String,
    /// Before the sign.
    subject: String,
    above: bool,
    /// Whether the level itself counts.
    inclusive: bool,
    level: f64,
}

impl Condition {
    pub(crate) fn parse(text: &str) -> Result<Condition, String> {
        let wrong =
            || format!("{text:?}: say 'STREAM.CHANNEL > LEVEL', with >, >=, < or <=");
        let at = text.find(['<', '>']).ok_or_else(wrong)?;
        let (subject, rest) = text.split_at(at);
        let inclusive = rest[1..].starts_with('=');
        let number = rest[1..].trim_start_matches('=').trim();
        let level = number.parse::<f64>().ok().filter(|level| !level.is_nan());
        let subject = subject.trim();
        if subject.is_empty() {
            return Err(wrong());
        }
        Ok(Condition {
            text: text.trim().into(),
            subject: subject.into(),
            above: rest.starts_with('>'),
            inclusive,
            level: level.ok_or_else(wrong)?,
        })
    }

    fn holds(&self, value: f64) -> bool {
        match (self.above, self.inclusive) {
            (true, false) => value > self.level,
            (true, true) => value >= self.level,
            (false, false) => value < self.level,
            (false, true) => value <= self.level,
        }
    }
}

/// A condition, with how it lets go and how long it must hold.
#[derive(Debug)]
pub(crate) struct Threshold {
    condition: Condition,
    release: f64,
    hold: i64,
    /// How it may be read: all of it is the stream, or what follows a dot is the channel.
    readings: Vec<Reading>,
    /// Where it is with each stream that it is about.
    subjects: Vec<Subject>,
    /// Whether it was about any stream yet.
    pub(crate) met: bool,
}

#[derive(Debug)]
struct Reading {
    streams: Patterns,
    /// One stream is meant, so it must have the channel.
    exact: bool,
    channel: Option<String>,
}

#[derive(Debug)]
struct Subject {
    stream: u16,
    place: Place,
    state: State,
}

/// Which numbers of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    One { offset: usize, dtype: Dtype },
    Any { dtype: Dtype },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not reached, or let go again.
    Low,
    /// Reached at that time.
    High { since: i64 },
    /// Held long enough; the next time comes after it has let go.
    Fired,
}

impl Threshold {
    pub(crate) fn new(
        condition: Condition,
        release: Option<f64>,
        hold: i64,
    ) -> Result<Threshold> {
        let release = release.unwrap_or(condition.level);
        let beyond = if condition.above {
            release > condition.level
        } else {
            release < condition.level
        };
        if beyond || release.is_nan() {
            let text = &condition.text;
            let hint = format!("--release {release}: '{text}' would let go at once");
            return Err(Usage(hint).into());
        }
        let subject = &condition.subject;
        let dots = subject.match_indices('.').map(|(at, _)| at);
        let read = |(stream, channel): (&str, Option<&str>)| {
            let streams = Patterns::new("--when", &[stream.to_owned()])?;
            let exact = !stream.contains(['*', '?', '[', '{']);
            Ok(Reading { streams, exact, channel: channel.map(str::to_owned) })
        };
        let split = dots.map(|at| (&subject[..at], Some(&subject[at + 1..])));
        let readings = [(subject.as_str(), None)].into_iter().chain(split).map(read);
        let readings = readings.collect::<Result<_>>()?;
        let subjects = Vec::new();
        Ok(Threshold { condition, release, hold, readings, subjects, met: false })
    }

    /// What it says.
    pub(crate) fn text(&self) -> &str {
        &self.condition.text
    }

    /// Learns a stream's description. A stream that was named and lacks the channel is an
    /// error, for a typing mistake must not cost a night.
    pub(crate) fn learn(&mut self, number: u16, stream: &Stream) -> Result<()> {
        self.subjects.retain(|subject| subject.stream != number);
        let fits = |reading: &&Reading| reading.streams.hold(&stream.name, number);
        let mut readings = self.readings.iter().filter(fits).peekable();
        if readings.peek().is_none() {
            return Ok(());
        }
        let exact = readings.clone().any(|reading| reading.exact);
        let found =
            readings.find_map(|reading| place(stream, reading.channel.as_deref()));
        let Some(place) = found else {
            if !exact {
                return Ok(());
            }
            let (text, name) = (&self.condition.text, &stream.name);
            let (width, first) = (stream.width(), stream.label(0));
            let hint = format!("it has {width}, the first is {first:?}");
            let hint = if stream.sample_size().is_none() {
                "its samples are no numbers".into()
            } else {
                hint
            };
            let what = format!("--when '{text}': {name} has no such channel: {hint}");
            return Err(Usage(what).into());
        };
        self.met = true;
        self.subjects.push(Subject { stream: number, place, state: State::Low });
        Ok(())
    }

    /// Whether it is about this stream.
    #[inline]
    pub(crate) fn is_about(&self, number: u16) -> bool {
        self.subjects.iter().any(|subject| subject.stream == number)
    }

    /// Looks at a sample: a trigger, once the level has held.
    pub(crate) fn look(&mut self, number: u16, sample: &Sample<'_>) -> Option<Trigger> {
        let subject = self.subjects.iter_mut().find(|s| s.stream == number)?;
        let value = read(subject.place, sample.bytes, self.condition.above)?;
        let kept = if self.condition.above {
            value > self.release
        } else {
            value < self.release
        };
        let (held, time) = (self.condition.holds(value), sample.time);
        subject.state = match subject.state {
            State::Low if held => State::High { since: time },
            state if held || kept => state,
            _ => State::Low,
        };
        let State::High { since } = subject.state else { return None };
        if time.saturating_sub(since) < self.hold {
            return None;
        }
        subject.state = State::Fired;
        Some(Trigger { time: since, what: self.condition.text.clone() })
    }

    /// Forgets the streams of a session that is over.
    pub(crate) fn clear(&mut self) {
        self.subjects.clear();
    }
}

/// Where in a sample the channel is; `None` if there is no such.
fn place(stream: &Stream, channel: Option<&str>) -> Option<Place> {
    let (dtype, size) = (stream.dtype?, stream.sample_size()?);
    let Some(channel) = channel else { return Some(Place::Any { dtype }) };
    if let Some(field) = stream.fields.iter().find(|field| field.name == channel) {
        return Some(Place::One { offset: field.offset as usize, dtype: field.dtype });
    }
    let labels = stream.channels.iter().position(|found| found.label == channel);
    let offset = labels.or_else(|| channel.parse().ok())?.checked_mul(dtype.size())?;
    (offset < size).then_some(Place::One { offset, dtype })
}

/// The number there; of many, the one furthest to that side.
fn read(place: Place, bytes: &[u8], above: bool) -> Option<f64> {
    let furthest = |a: f64, b: f64| if above { a.max(b) } else { a.min(b) };
    match place {
        Place::One { offset, dtype } => {
            Some(number(bytes.get(offset..offset + dtype.size())?, dtype))
        }
        Place::Any { dtype } => {
            let all = bytes.chunks_exact(dtype.size());
            all.map(|bytes| number(bytes, dtype)).reduce(furthest)
        }
    }
}

fn number(bytes: &[u8], dtype: Dtype) -> f64 {
    let mut all = [0; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    let unsigned = u64::from_le_bytes(all);
    match dtype {
        Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64 => unsigned as f64,
        Dtype::I8 => f64::from(unsigned as i8),
        Dtype::I16 => f64::from(unsigned as i16),
        Dtype::I32 => f64::from(unsigned as i32),
        Dtype::I64 => unsigned as i64 as f64,
        Dtype::F32 => f64::from(f32::from_bits(unsigned as u32)),
        Dtype::F64 => f64::from_bits(unsigned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libframe::schema::{Channel, Media};

    fn stream() -> Stream {
        let channels =
            ["palm", "a.b"].map(|l| Channel { label: l.into(), ..Channel::default() });
        Stream {
            name: "glove".into(),
            media: Media::Samples,
            dtype: Some(Dtype::I16),
            shape: vec![2],
            channels: channels.into(),
            ..Stream::default()
        }
    }

    fn threshold(text: &str, release: Option<f64>, hold: i64) -> Threshold {
        let condition = Condition::parse(text).unwrap();
        let mut threshold = Threshold::new(condition, release, hold).unwrap();
        threshold.learn(3, &stream()).unwrap();
        threshold
    }

    /// The trigger times for these values of the first channel, one each 10.
    fn fires(mut threshold: Threshold, values: &[i16]) -> Vec<(i64, i64)> {
        let mut fired = Vec::new();
        for (at, value) in (0..).zip(values) {
            let (value, time) = (value.to_le_bytes(), at * 10);
            let bytes = [value[0], value[1], 0, 0];
            let sample =
                Sample { seq: at as u64, time, device_time: None, bytes: &bytes };
            let trigger = threshold.look(3, &sample);
            fired.extend(trigger.map(|trigger| (trigger.time, time)));
        }
        fired
    }

    #[test]
    fn a_level_fires_when_it_is_reached_and_again_after_it_let_go() {
        let values = [0, 60, 70, 40, 60, 0, 51];
        let plain = threshold("glove.palm > 50", None, 0);
        assert_eq!(fires(plain, &values), [(10, 10), (40, 40), (60, 60)]);
        let hysteresis = threshold("glove.palm > 50", Some(20.0), 0);
        assert_eq!(fires(hysteresis, &values), [(10, 10), (60, 60)]);
    }

    #[test]
    fn a_burst_that_is_too_short_does_not_fire() {
        let values = [60, 60, 0, 60, 60, 60, 60, 0, 60, 60];
        let held = threshold("glove.palm > 50", None, 20);
        assert_eq!(fires(held, &values), [(30, 50)]);
        // Between the levels it goes on to hold.
        let held = threshold("glove.palm > 50", Some(10.0), 20);
        assert_eq!(fires(held, &[60, 20, 20, 20, 0]), [(0, 20)]);
    }

    #[test]
    fn below_and_the_level_itself() {
        let values = [0, -5, -6, 3];
        assert_eq!(fires(threshold("glove.0 < -5", None, 0), &values), [(20, 20)]);
        assert_eq!(fires(threshold("glove.0 <= -5", None, 0), &values), [(10, 10)]);
        assert_eq!(fires(threshold("glove >= 3", None, 0), &values), [(30, 30)]);
        assert_eq!(fires(threshold("gl*.palm < 0", None, 0), &values), [(10, 10)]);
    }

    #[test]
    fn channels_are_found_by_label_with_dots_and_by_place() {
        for (text, offset) in
            [("glove.a.b > 1", 2), ("glove.1 > 1", 2), ("3.palm > 1", 0)]
        {
            let found = threshold(text, None, 0).subjects[0].place;
            assert_eq!(found, Place::One { offset, dtype: Dtype::I16 }, "{text}");
        }
        for text in ["glove.thumb > 1", "glove.2 > 1"] {
            let condition = Condition::parse(text).unwrap();
            let mut threshold = Threshold::new(condition, None, 0).unwrap();
            let err = threshold.learn(3, &stream()).unwrap_err().to_string();
            assert!(err.contains("the first is \"palm\""), "{err}");
        }
        for text in ["glove.palm", "> 5", "glove.palm > much", "glove.palm = 5"] {
            assert!(Condition::parse(text).is_err(), "{text}");
        }
        let condition = Condition::parse("glove.palm > 50").unwrap();
        assert!(Threshold::new(condition, Some(60.0), 0).is_err());
    }
}
