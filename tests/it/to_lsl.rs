//! `to-lsl`: what real receivers get, early, late, slowly and at several places at once.

#[path = "to_lsl/consumers.rs"]
mod consumers;
#[path = "to_lsl/streams.rs"]
mod streams;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout};

use framepipe_tests::{Lab, Started};
use libframe::ledger::SessionLedger;
use libframe::payload::{Payload, Session};
use libframe::schema::Stream;
use libframe::wire::{Header, Kind, Record};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A receiver in Python that has all its streams open. It is killed with the test.
struct Receiver {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Receiver {
    /// Starts one that looks for its streams; see `lsl_receive.py`.
    fn start(lab: &Lab, words: &str) -> Receiver {
        let args = shell_words::split(words).unwrap();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut child = lab.python("tests/python/lsl_receive.py", &args).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Receiver { child, stdout }
    }

    /// The same, and waits until it has found them and opened them.
    fn ready(lab: &Lab, words: &str) -> Receiver {
        let mut receiver = Receiver::start(lab, words);
        receiver.until_ready();
        receiver
    }

    fn until_ready(&mut self) {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        if line != "ready\n" {
            self.child.kill().unwrap();
            let mut text = String::new();
            let mut stderr = self.child.stderr.take().unwrap();
            stderr.read_to_string(&mut text).unwrap();
            panic!("no receiver: {line}{text}");
        }
    }

    /// What came, by stream.
    fn said(mut self) -> Value {
        let mut text = String::new();
        self.stdout.read_to_string(&mut text).unwrap();
        let text = text.strip_prefix("ready\n").unwrap_or(&text);
        serde_json::from_str(text).unwrap_or_else(|err| panic!("{err}: {text}"))
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Starts a pipeline, and waits until a stage has the outlet of this name.
fn started(lab: &Lab, line: &str, stage: usize, name: &str) -> Started {
    let mut started = lab.pipe(line).start();
    started.until_stderr(stage, &format!("{name}: type "));
    started
}

fn count(said: &Value, name: &str) -> u64 {
    said[name]["count"].as_u64().unwrap_or_else(|| panic!("{said}"))
}

/// Records made by hand: with any description, time and order.
struct Made {
    bytes: Vec<u8>,
    tag: u32,
    ledger: SessionLedger,
}

impl Made {
    /// A session that begins with these streams, numbered from 1.
    fn new(tag: u32, streams: &[Stream]) -> Made {
        let mut made = Made { bytes: Vec::new(), tag, ledger: SessionLedger::default() };
        let (uuid, host) = (format!("made-{tag}"), "rig".into());
        let session = Session { uuid, host, ..Session::default() };
        made.put(Kind::SESSION, 0, 0, 0, &session.to_bytes());
        for (number, stream) in (1..).zip(streams) {
            made.describe(number, stream, 0);
        }
        made
    }

    fn put(&mut self, kind: Kind, stream: u16, seq: u64, time: i64, payload: &[u8]) {
        let (flags, session, sent) = (0, self.tag, 0);
        let header = Header { kind, flags, stream, session, seq, time, sent };
        Record::new(header, payload).encode(&mut self.bytes);
    }

    fn describe(&mut self, number: u16, stream: &Stream, seq: u64) {
        self.put(Kind::STREAM, number, seq, 0, &stream.to_bytes());
    }

    fn data(&mut self, stream: u16, seq: u64, time: i64, sample: &[u8]) {
        self.ledger.stream(stream).unwrap().take(seq, 1, time);
        self.put(Kind::DATA, stream, seq, time, sample);
    }

    fn payload<P: Payload>(&mut self, stream: u16, seq: u64, time: i64, payload: &P) {
        self.put(P::KIND, stream, seq, time, &payload.to_bytes());
    }

    fn end(mut self) -> Vec<u8> {
        let end = self.ledger.end("end").to_bytes();
        self.put(Kind::END, 0, 0, 0, &end);
        self.bytes
    }
}
