//! Streams with known times, as bytes, and what of them is in a clip.

use std::ops::Range;

use framepipe_tests::Run;
use libframe::batch::{Builder, Sample, Samples};
use libframe::clock::SECOND;
use libframe::payload::{ClockReading, End, Event, Payload, Session, Totals, Value};
use libframe::schema::{Dtype, Media, Stream};
use libframe::wire::{Header, Kind, Record};

const TAG: u32 = 77;

/// Records of a session, in the order in which they were captured.
pub(crate) struct Tape {
    pub(crate) start: i64,
    boot_id: String,
    lanes: Vec<Lane>,
    others: Vec<(i64, Vec<u8>)>,
}

/// One stream: a number that counts the samples, and one that tests set.
struct Lane {
    times: Vec<i64>,
    batch: usize,
    values: Box<dyn Fn(i64) -> f32>,
    rate: f64,
}

impl Tape {
    /// A session that was recorded on another host.
    pub(crate) fn new() -> Tape {
        Tape {
            start: 5_000 * SECOND,
            boot_id: "another".into(),
            lanes: Vec::new(),
            others: Vec::new(),
        }
    }

    /// A session of this host that began at this time of its clock.
    pub(crate) fn live(start: i64) -> Tape {
        Tape { start, boot_id: libframe::tool::boot_id(), ..Tape::new() }
    }

    /// Adds a stream that has samples in this part of the session.
    pub(crate) fn stream(mut self, rate: f64, batch: usize, part: Range<i64>) -> Tape {
        let time = |n: u32| self.start + (f64::from(n) * 1e9 / rate) as i64;
        let part = self.start + part.start..self.start + part.end;
        let times = (0..).map(time).skip_while(|time| *time < part.start);
        let times = times.take_while(|time| *time < part.end).collect();
        self.lanes.push(Lane { times, batch, values: Box::new(|_| 0.0), rate });
        self
    }

    /// Gives the last stream's second channel these values, by the time since the start.
    pub(crate) fn values(mut self, values: impl Fn(i64) -> f32 + 'static) -> Tape {
        self.lanes.last_mut().unwrap().values = Box::new(values);
        self
    }

    /// Adds an event so long after the start.
    pub(crate) fn event(mut self, after: i64, label: &str) -> Tape {
        let event =
            Event { label: label.into(), value: Value::Nil, source: "tape".into() };
        let header = self.header(Kind::EVENT, 0, 0, self.start + after);
        self.others.push((self.start + after, encode(header, &event.to_bytes())));
        self
    }

    /// Adds a record as it is, so long after the start.
    pub(crate) fn record(mut self, after: i64, record: &Record<'_>) -> Tape {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        self.others.push((self.start + after, bytes));
        self
    }

    pub(crate) fn header(&self, kind: Kind, stream: u16, seq: u64, time: i64) -> Header {
        Header { kind, flags: 0, stream, session: TAG, seq, time, sent: 0 }
    }

    /// The whole session.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let lane = |(n, lane): (u16, &Lane)| {
            let (seq, next) = (0, lane.times.len() as u64);
            Totals { stream: n, first: seq, next, samples: next, lost: 0 }
        };
        let streams = (1..).zip(&self.lanes).map(lane).collect();
        let end = End { streams, reason: "end".into() }.to_bytes();
        let header = self.header(Kind::END, 0, 0, self.start);
        [self.open(), encode(header, &end)].concat()
    }

    /// The session, as far as it has come: without END.
    pub(crate) fn open(&self) -> Vec<u8> {
        let session = Session {
            uuid: "the parent".into(),
            host: "rig".into(),
            boot_id: self.boot_id.clone(),
            start_realtime: 1_700_000_000 * SECOND,
            start_monotonic: self.start,
            ..Session::default()
        };
        let clock = ClockReading {
            monotonic: self.start,
            // Set since the session was announced.
            realtime: Some(1_700_000_001 * SECOND),
            ..ClockReading::default()
        };
        let header = |kind| self.header(kind, 0, 0, self.start);
        let mut bytes = encode(header(Kind::SESSION), &session.to_bytes());
        bytes.extend(encode(header(Kind::CLOCK), &clock.to_bytes()));
        for (number, lane) in (1..).zip(&self.lanes) {
            let header = self.header(Kind::STREAM, number, 0, self.start);
            bytes.extend(encode(header, &lane.describe(number).to_bytes()));
        }
        let mut records = self.others.clone();
        for (number, lane) in (1..).zip(&self.lanes) {
            records.extend(lane.records(number, self));
        }
        records.sort_by_key(|(time, _)| *time);
        records.iter().for_each(|(_, record)| bytes.extend(record));
        bytes
    }

    /// The numbers of a stream's samples whose time is so long after the start.
    pub(crate) fn within(&self, stream: u16, part: Range<i64>) -> Vec<u64> {
        let lane = &self.lanes[usize::from(stream) - 1];
        let part = self.start + part.start..self.start + part.end;
        let all = (0..).zip(&lane.times);
        all.filter(|(_, time)| part.contains(time)).map(|(seq, _)| seq).collect()
    }
}

impl Lane {
    fn describe(&self, number: u16) -> Stream {
        Stream {
            name: format!("s{number}"),
            media: Media::Samples,
            dtype: Some(Dtype::F32),
            shape: vec![2],
            rate: Some(self.rate),
            ..Stream::default()
        }
    }

    /// Its records, by the time of their last sample, which is when they come.
    fn records(&self, number: u16, tape: &Tape) -> Vec<(i64, Vec<u8>)> {
        let mut all = Vec::new();
        for (at, times) in self.times.chunks(self.batch).enumerate() {
            let first = (at * self.batch) as u64;
            let header = tape.header(Kind::DATA, number, first, times[0]);
            let bytes = |seq: u64, time: i64| {
                let value = (self.values)(time - tape.start);
                [(seq as f32).to_le_bytes(), value.to_le_bytes()].concat()
            };
            let (last, mut builder) = (times[times.len() - 1], Builder::new(true));
            for (seq, time) in (first..).zip(times) {
                let bytes = bytes(seq, *time);
                let sample =
                    Sample { seq, time: *time, device_time: None, bytes: &bytes };
                assert!(builder.push(&header, &sample, 1 << 20));
            }
            let mut record = Vec::new();
            match self.batch {
                1 => record = encode(header, &bytes(first, last)),
                _ => builder.finish().unwrap().encode(&mut record),
            }
            all.push((last, record));
        }
        all
    }
}

fn encode(header: Header, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Record::new(header, payload).encode(&mut bytes);
    bytes
}

/// A clip as it came out.
#[derive(Debug, Default)]
pub(crate) struct Clip {
    pub(crate) session: Session,
    /// Stream, number and time of each sample.
    samples: Vec<(u16, u64, i64)>,
    pub(crate) events: Vec<(i64, Event)>,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) end: End,
}

impl Clip {
    /// The numbers of a stream's samples.
    pub(crate) fn of(&self, stream: u16) -> Vec<u64> {
        let of = self.samples.iter().filter(|(number, ..)| *number == stream);
        of.map(|(_, seq, _)| *seq).collect()
    }

    pub(crate) fn times(&self) -> impl Iterator<Item = i64> {
        self.samples.iter().map(|(.., time)| *time)
    }

    /// How many samples of a stream are before the trigger, and how many are not.
    pub(crate) fn around(&self, stream: u16) -> (usize, usize) {
        let trigger: i64 = self.session.meta["clip_time"].parse().unwrap();
        let times = self.samples.iter().filter(|(number, ..)| *number == stream);
        let before = |(.., time): &&(u16, u64, i64)| *time < trigger;
        let (all, before) = (times.clone().count(), times.filter(before).count());
        (before, all - before)
    }

    /// What was noted under a label.
    pub(crate) fn notes(&self, label: &str) -> Vec<String> {
        let of = self.events.iter().filter(|(_, event)| event.label == label);
        let text = |(_, event): &(i64, Event)| match &event.value {
            Value::Text(text) => text.clone(),
            value => format!("{value:?}"),
        };
        of.map(text).collect()
    }
}

/// The clips that came out, each of which is a session from SESSION to END.
#[track_caller]
pub(crate) fn clips(run: &Run) -> Vec<Clip> {
    let mut clips: Vec<Clip> = Vec::new();
    let mut tag = None;
    for (header, payload) in run.records() {
        if tag != Some(header.session) {
            tag = Some(header.session);
            let session = Session::from_bytes(&payload).expect("a SESSION first");
            assert_eq!(header.time, session.start_monotonic);
            clips.push(Clip { session, ..Clip::default() });
        }
        let clip = clips.last_mut().unwrap();
        assert_ne!(clip.kinds.last(), Some(&Kind::END), "nothing comes after END");
        clip.kinds.push(header.kind);
        let record = Record::new(header, &payload);
        match header.kind {
            Kind::DATA | Kind::BATCH => {
                for sample in Samples::parse(&record, true).unwrap().iter() {
                    let bytes = sample.bytes.first_chunk();
                    let number = bytes.filter(|_| sample.bytes.len() == 8);
                    let number = number.map(|bytes| f32::from_le_bytes(*bytes));
                    let whole = number.is_none_or(|number| number == sample.seq as f32);
                    assert!(whole, "sample {} has the bytes of {number:?}", sample.seq);
                    clip.samples.push((header.stream, sample.seq, sample.time));
                }
            }
            Kind::EVENT => {
                let event = Event::from_bytes(&payload).unwrap();
                clip.events.push((header.time, event));
            }
            Kind::END => clip.end = End::from_bytes(&payload).unwrap(),
            _ => {}
        }
    }
    clips
}
