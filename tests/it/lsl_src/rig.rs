//! Outlets of pylsl, and what they say they have sent.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command};

use framepipe_tests::{Lab, Run};
use libframe::payload::{ClockReading, Event, Gap, Payload as _};
use libframe::schema::Stream;
use libframe::wire::{Header, Kind};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// An outlet in Python.
pub(crate) struct Outlet {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Outlet {
    /// One that is there.
    #[track_caller]
    pub(crate) fn new(lab: &Lab, args: &str) -> Outlet {
        Outlet::by(lab.python("tests/python/lsl_send.py", &words(args)))
    }

    /// One that a command starts, which the script and its arguments follow.
    #[track_caller]
    pub(crate) fn behind(lab: &Lab, before: &str, args: &str) -> Outlet {
        let python = lab.python("tests/python/lsl_send.py", &words(args));
        let mut command = Command::new("unshare");
        command.args(words(before)).arg(python.get_program()).args(python.get_args());
        command.envs(lab.env()).current_dir(&lab.folder().0);
        command.stdout(std::process::Stdio::piped());
        Outlet::by(command)
    }

    #[track_caller]
    pub(crate) fn by(mut command: Command) -> Outlet {
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut outlet = Outlet { child, stdout };
        outlet.until_ready();
        outlet
    }

    /// Waits until it is there, or there again.
    #[track_caller]
    pub(crate) fn until_ready(&mut self) {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the outlet died");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has sent all.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// Whether this machine lets us have other clocks or names.
pub(crate) fn can_unshare(args: &str) -> bool {
    let can = Command::new("unshare").args(words(args)).arg("true").output();
    let can = can.is_ok_and(|output| output.status.success());
    if !can {
        eprintln!("skipped: 'unshare {args}' is not permitted here");
    }
    can
}

/// What an outlet has sent: times and values.
pub(crate) fn log(lab: &Lab, name: &str) -> Vec<(f64, Vec<Value>)> {
    let text = fs::read_to_string(lab.folder().file(name)).unwrap();
    let line = |line: &str| {
        let (bits, values): (u64, Vec<Value>) = serde_json::from_str(line).unwrap();
        (f64::from_bits(bits), values)
    };
    text.lines().map(line).collect()
}

/// The last description of the stream of that name, and its number.
#[track_caller]
pub(crate) fn stream(run: &Run, name: &str) -> (u16, Stream) {
    let all = run.of_kind(&[Kind::STREAM]).into_iter();
    let all = all.map(|(h, p)| (h.stream, Stream::from_bytes(&p).unwrap()));
    let named = all.rev().find(|(_, stream)| stream.name == name);
    named.unwrap_or_else(|| panic!("no {name}\n{}", run.everything()))
}

/// The samples of a stream.
pub(crate) fn samples(run: &Run, number: u16) -> Vec<(Header, Vec<u8>)> {
    let mut all = run.of_kind(&[Kind::DATA]);
    all.retain(|(header, _)| header.stream == number);
    all
}

pub(crate) fn gaps(run: &Run) -> Vec<Gap> {
    run.payloads()
}

/// The labels of a stream's events.
pub(crate) fn events(run: &Run, number: u16) -> Vec<Event> {
    let mut all = run.of_kind(&[Kind::EVENT]);
    all.retain(|(header, _)| header.stream == number);
    all.into_iter().map(|(_, payload)| Event::from_bytes(&payload).unwrap()).collect()
}

pub(crate) fn labels(run: &Run, number: u16) -> Vec<String> {
    events(run, number).into_iter().map(|event| event.label).collect()
}

/// What was measured of a stream's clock, with the times in the headers.
pub(crate) fn offsets(run: &Run, number: u16) -> Vec<(i64, ClockReading)> {
    let mut all = run.of_kind(&[Kind::CLOCK]);
    all.retain(|(header, _)| header.stream == number);
    let reading = |payload: &[u8]| ClockReading::from_bytes(payload).unwrap();
    let all = all.into_iter().map(|(header, payload)| (header.time, reading(&payload)));
    all.filter(|(_, reading)| reading.offset.is_some()).collect()
}

/// Asserts that samples are those that an outlet has sent, all of them and in order.
#[track_caller]
pub(crate) fn expect_same(
    run: &Run,
    name: &str,
    sent: &[(f64, Vec<Value>)],
    read: impl Fn(&[u8]) -> Vec<Value>,
) {
    let (number, _) = stream(run, name);
    let got = samples(run, number);
    assert_eq!(got.len(), sent.len(), "{name}\n{}", run.everything());
    for (n, ((header, payload), (time, values))) in got.iter().zip(sent).enumerate() {
        assert_eq!(header.seq, n as u64, "{name}");
        let off = header.time as f64 / 1e9 - time;
        assert!(off.abs() < 1e-9, "{name} {n}: {} is not {time}", header.time);
        assert_eq!(&read(payload), values, "{name} {n}");
    }
}

/// Numbers as a reader of each format.
pub(crate) fn numbers(format: &str) -> fn(&[u8]) -> Vec<Value> {
    macro_rules! of {
        ($type:ty, $size:literal) => {
            |bytes| {
                let words = bytes.as_chunks::<$size>().0.iter();
                words.map(|word| Value::from(<$type>::from_le_bytes(*word))).collect()
            }
        };
    }
    match format {
        "float32" => |bytes| {
            let words = bytes.as_chunks::<4>().0.iter();
            words.map(|word| Value::from(f64::from(f32::from_le_bytes(*word)))).collect()
        },
        "double64" => of!(f64, 8),
        "int8" => of!(i8, 1),
        "int16" => of!(i16, 2),
        "int32" => of!(i32, 4),
        "int64" => of!(i64, 8),
        _ => |bytes| serde_json::from_slice(bytes).unwrap(),
    }
}
