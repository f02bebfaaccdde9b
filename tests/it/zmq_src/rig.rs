//! A plugin in Python, by pyzmq, and a capture of what it sends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use framepipe_tests::{Run, Started, pipe, root};
use libframe::batch::Samples;
use libframe::payload::{Event, Gap, Payload as _};
use libframe::schema::Stream;
use libframe::wire::{Header, Kind, Record};
use rustix::process::Signal;

/// A publisher that does as it is told.
pub(crate) struct Rig {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    pub(crate) port: u16,
}

impl Rig {
    /// One that answers heartbeats; `None`, loudly, where there is no pyzmq.
    pub(crate) fn new() -> Option<Rig> {
        let mut rig = Rig::unbound()?;
        rig.bind(0);
        Some(rig)
    }

    /// One that is not there yet.
    pub(crate) fn unbound() -> Option<Rig> {
        let python = root().join(".venv/bin/python");
        if !python.exists() {
            eprintln!("skipped: no .venv with pyzmq; run scripts/setup");
            return None;
        }
        let mut command = Command::new(python);
        command.arg(root().join("tests/python/publisher.py"));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (orders, stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        Some(Rig { child, orders, answers: BufReader::new(stdout), port: 0 })
    }

    #[track_caller]
    pub(crate) fn order(&mut self, words: &[&str]) -> String {
        let line = words.join("\t") + "\n";
        self.orders.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert!(answer.ends_with('\n'), "the publisher died at {words:?}");
        answer.trim_end().to_owned()
    }

    /// Binds to a port, 0 for any, and to the one after.
    pub(crate) fn bind(&mut self, port: u16) {
        self.port = self.order(&["bind", &port.to_string(), "rep"]).parse().unwrap();
    }

    /// A capture of it, once it has subscribed.
    pub(crate) fn capture(&mut self, options: &str) -> Started {
        let mut capture = self.start(options);
        self.order(&["wait"]);
        capture.read_stdout();
        capture
    }

    pub(crate) fn start(&self, options: &str) -> Started {
        pipe(&format!("zmq-src tcp://127.0.0.1:{} {options}", self.port)).start()
    }

    /// A block of these channels.
    pub(crate) fn block(&mut self, channels: &[u32], first: u64, samples: usize) {
        for channel in channels {
            self.data(*channel, first, samples);
        }
    }

    pub(crate) fn data(&mut self, channel: u32, first: u64, samples: usize) {
        let words = [channel as u64, first, samples as u64].map(|n| n.to_string());
        self.order(&["data", &words[0], &words[1], &words[2]]);
    }

    /// The heartbeats, once there are so many.
    pub(crate) fn heard(&mut self, n: usize) -> Vec<serde_json::Value> {
        for _ in 0..500 {
            let all: Vec<_> = serde_json::from_str(&self.order(&["heartbeats"])).unwrap();
            if all.len() >= n {
                return all;
            }
            self.order(&["sleep", "20"]);
        }
        panic!("not so many heartbeats: {n}");
    }

    /// A message of these parts.
    pub(crate) fn send(&mut self, parts: &[&str]) {
        self.order(&[&["send"], parts].concat());
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        drop(self.orders.take());
        self.child.wait().unwrap();
    }
}

/// Ends a capture once it has so many samples, those of arrivals among them.
pub(crate) fn stop_after(mut capture: Started, samples: u64) -> Run {
    capture.until_samples(samples).signal(0, Signal::TERM);
    capture.wait()
}

/// The number of the stream with this name.
#[track_caller]
pub(crate) fn number(run: &Run, name: &str) -> u16 {
    let streams = run.of_kind(&[Kind::STREAM]).into_iter();
    let mut named =
        streams.map(|(h, p)| (h.stream, Stream::from_bytes(&p).unwrap().name));
    let found = named.find(|(_, other)| other == name);
    found.unwrap_or_else(|| panic!("no {name}\n{}", run.everything())).0
}

/// A sample of a stream of f32.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) seq: u64,
    pub(crate) time: i64,
    pub(crate) number: u64,
    pub(crate) values: Vec<f32>,
}

/// All samples of a stream.
#[track_caller]
pub(crate) fn samples(run: &Run, name: &str) -> Vec<Sample> {
    let number = number(run, name);
    let mut all = Vec::new();
    for (header, payload) in run.of_kind(&[Kind::BATCH, Kind::DATA]) {
        if header.stream != number {
            continue;
        }
        let record = Record::new(header, &payload);
        all.extend(Samples::parse(&record, true).unwrap().iter().map(|sample| Sample {
            seq: sample.seq,
            time: sample.time,
            number: sample.device_time.unwrap_or_default(),
            values: floats(sample.bytes),
        }));
    }
    all
}

pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// What a sample of a run holds.
pub(crate) fn value(run: u64, channel: u32, number: u64) -> f32 {
    (run * 2_000_000 + u64::from(channel) * 100_000 + number) as f32
}

/// Checks that numbers follow each other and times do, and that each value is right or NaN
/// in these places.
#[track_caller]
pub(crate) fn expect_values(samples: &[Sample], channels: &[u32], nan: &[(u64, u32)]) {
    for sample in samples {
        assert_eq!(sample.values.len(), channels.len(), "{sample:?}");
        for (channel, got) in channels.iter().zip(&sample.values) {
            let missing = nan.contains(&(sample.number, *channel));
            let right = value(0, *channel, sample.number);
            assert!(if missing { got.is_nan() } else { *got == right }, "{sample:?}");
        }
    }
    assert!(samples.windows(2).all(|two| two[0].time < two[1].time), "times");
}

/// A gap: its first sample, how many whole ones and how many in part, and which columns.
pub(crate) type Told = (u64, Option<u64>, Option<u64>, Vec<u32>);

/// The gaps of a run.
pub(crate) fn gaps(run: &Run) -> Vec<Told> {
    let gaps = run.payloads::<Gap>().into_iter();
    gaps.map(|gap| (gap.first, gap.count, gap.partial, gap.channels)).collect()
}

/// Events of these labels, with their headers.
pub(crate) fn events(run: &Run, label: &str) -> Vec<(Header, Event)> {
    let events = run.of_kind(&[Kind::EVENT]).into_iter();
    let events = events.map(|(h, p)| (h, Event::from_bytes(&p).unwrap()));
    events.filter(|(_, event)| event.label.starts_with(label)).collect()
}
