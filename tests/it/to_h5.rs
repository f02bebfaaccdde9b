//! `to-h5`: what h5py finds in a recording, finished and growing, and what a crash leaves.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use framepipe_tests::{Scratch, binary, pipe, root};
use libframe::clock::{Clock, SECOND};
use libframe::payload::{End, Event, Payload, Session, Totals};
use libframe::schema::{Dtype, Media, Stream};
use libframe::wire::{Header, Kind, Record};
use serde_json::Value;

/// What `tests/python/recording.py` says; `None`, loudly, without h5py.
pub(crate) fn h5py(what: &str, path: &str) -> Option<Value> {
    let python = root().join(".venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: no .venv with h5py; run scripts/setup");
        return None;
    }
    let mut command = Command::new(python);
    let output =
        command.arg(root().join("tests/python/recording.py")).args([what, path]).output();
    let output = output.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what} {path}\n{stderr}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Records of a stream of 272 bytes, whose content `the_frame` in the script knows.
pub(crate) struct Frames {
    pub(crate) next: u64,
}

impl Frames {
    fn header(&self, kind: Kind, stream: u16) -> Header {
        let time = self.next as i64 * 1_000_000;
        Header { kind, flags: 0, stream, session: 77, seq: self.next, time, sent: 0 }
    }

    fn put<P: Payload>(&self, stream: u16, payload: &P, to: &mut Vec<u8>) {
        let payload = payload.to_bytes();
        Record::new(self.header(P::KIND, stream), &payload).encode(to);
    }

    pub(crate) fn begin(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let session = Session {
            uuid: "u".into(),
            host: "h".into(),
            start_realtime: 1_700_000_000 * SECOND,
            start_monotonic: 5 * SECOND,
            ..Session::default()
        };
        self.put(0, &session, &mut bytes);
        let stream = Stream {
            name: "frames".into(),
            media: Media::Samples,
            dtype: Some(Dtype::U8),
            shape: vec![272],
            ..Stream::default()
        };
        self.put(1, &stream, &mut bytes);
        bytes
    }

    pub(crate) fn some(&mut self, n: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..n {
            if self.next.is_multiple_of(1000) {
                let event = Event { label: "thousand".into(), ..Event::default() };
                self.put(1, &event, &mut bytes);
            }
            let frame: [u8; 272] =
                std::array::from_fn(|at| ((self.next * 31 + at as u64 * 7) >> 2) as u8);
            Record::new(self.header(Kind::DATA, 1), &frame).encode(&mut bytes);
            self.next += 1;
        }
        bytes
    }

    pub(crate) fn end(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let next = self.next;
        let totals = Totals { stream: 1, first: 0, next, samples: next, lost: 0 };
        let end = End { streams: vec![totals], reason: "end".into() };
        self.put(0, &end, &mut bytes);
        bytes
    }
}

/// A `to-h5` that the test writes to.
pub(crate) fn recorder(args: &[&str]) -> Child {
    let mut command = Command::new(binary("to-h5"));
    command.args(args).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[track_caller]
pub(crate) fn expect_whole(found: &Value, at_least: u64, at_most: u64) {
    let rows = found["rows"].as_u64().unwrap();
    assert_eq!(found["lengths"], serde_json::json!([rows]), "{found}");
    assert_eq!(found["altered"], 0, "{found}");
    for figure in ["in_order", "times", "stamps"] {
        assert_eq!(found[figure], true, "{figure}: {found}");
    }
    assert!((at_least..=at_most).contains(&rows), "{at_least} to {at_most}: {found}");
    let rows_of_events: Vec<u64> =
        serde_json::from_value(found["event_rows"].clone()).unwrap();
    assert!(rows_of_events.iter().enumerate().all(|(n, row)| *row == n as u64 * 1000));
    // An event stands before its frame, so one may be there without it.
    let events = rows_of_events.len() as u64;
    assert!(events == rows.div_ceil(1000) || events == rows / 1000 + 1, "{found}");
}

#[test]
fn h5py_reads_everything_in_a_finished_recording() {
    let folder = Scratch::new();
    let file = folder.file("a.h5");
    let line = "sim-src glove camera:size=32x32 control -n 300 --rate max";
    let run = pipe(&format!("{line} | to-h5 {file}")).run();
    run.expect(&[0, 0]).expect_silence();
    assert_eq!(folder.names(), ["a.h5"]);
    let Some(tree) = h5py("tree", &file) else { return };
    assert_eq!(tree["/"]["attrs"]["complete"], 1);
    assert_eq!(tree["session"]["attrs"]["end_reason"], "count");
    assert_eq!(tree["streams/glove/data"]["shape"], serde_json::json!([300, 272]));
    assert_eq!(tree["streams/control/device_time"]["shape"], serde_json::json!([300]));
    assert_eq!(tree["streams/camera/size"]["dtype"], "<u4");
    for name in ["sensor_data", "timestamps"] {
        assert!(tree.get(name).is_none(), "{name} of which of three streams?");
    }
    let stages = &tree["stats/stage"]["value"];
    assert!(stages.as_array().unwrap().iter().any(|stage| stage == "to-h5"), "{stages}");
}

#[test]
fn the_only_stream_has_the_names_that_its_users_look_for() {
    let folder = Scratch::new();
    let file = folder.file("a.h5");
    let mut frames = Frames { next: 0 };
    let bytes = [frames.begin(), frames.some(2500), frames.end()].concat();
    pipe(&format!("to-h5 {file}")).input(bytes).run().expect(&[0]).expect_silence();
    let Some(tree) = h5py("tree", &file) else { return };
    assert_eq!(tree["sensor_data"]["shape"], serde_json::json!([2500, 272]));
    assert_eq!(tree["timestamps"]["shape"], serde_json::json!([2500]));
    let attrs = &tree["/"]["attrs"];
    assert_eq!(
        (&attrs["sensor_count"], &attrs["frame_size_bytes"]),
        (&272.into(), &272.into())
    );
    let near =
        |name: &str, wanted: f64| (attrs[name].as_f64().unwrap() - wanted).abs() < 1e-6;
    assert!(near("sample_rate_hz", 1000.0) && near("duration_seconds", 2.499), "{attrs}");
    assert!(near("timestamp_start", 1_700_000_000.0 - 5.0), "{attrs}");
    expect_whole(&h5py("frames", &file).unwrap(), 2500, 2500);
}

#[test]
fn h5py_reads_everything_in_a_growing_recording() {
    let folder = Scratch::new();
    let file = folder.file("a.h5");
    let mut child = recorder(&[&file, "--flush", "50ms"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut frames = Frames { next: 0 };
    stdin.write_all(&frames.begin()).unwrap();
    let mut seen = 0;
    for _ in 0..20 {
        stdin.write_all(&frames.some(150)).unwrap();
        sleep(Duration::from_millis(60));
        if !Path::new(&file).exists() {
            continue;
        }
        let Some(found) = h5py("frames", &file) else { break };
        let rows = found["rows"].as_u64().unwrap();
        assert_eq!(found["complete"], 0);
        expect_whole(&found, seen, frames.next);
        h5py("tree", &file);
        seen = rows;
    }
    stdin.write_all(&frames.end()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    if let Some(found) = h5py("frames", &file) {
        assert!(seen > 1500, "{seen} of {} seen while it grew", frames.next);
        expect_whole(&found, frames.next, frames.next);
    }
}

/// Kills so many recorders: `FRAMEPIPE_KILLS=300 cargo test -p framepipe-tests kill`.
fn kills() -> u32 {
    std::env::var("FRAMEPIPE_KILLS").map_or(20, |n| n.parse().unwrap())
}

#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_in_the_pipe_for_a_flush() {
    let flush = 20 * 1_000_000;
    let (mut kept, mut required, mut in_journal) = (0, 0, 0);
    let mut random = 12345u64;
    for round in 0..kills() {
        let folder = Scratch::new();
        let file = folder.file("a.h5");
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let patience = (random >> 33) % 300;
        // Slow ones die between flushes, fast ones within.
        let (n, pause) = if round % 2 == 0 { (20, 2) } else { (400, 0) };
        let (frames, sent) = record_and_kill(&file, patience, (n, pause));
        let killed = sent.last().map_or(0, |(_, time)| *time);
        let old = sent.iter().rev().find(|(_, time)| killed - time > flush);
        let must = old.map_or(0, |(next, _)| *next);
        if !Path::new(&file).exists() && must == 0 {
            continue;
        }
        let before = h5py("rows", &file);
        let run = pipe(&format!("repair-frames -q {file}")).run();
        run.expect(&[0]).expect_silence();
        assert_eq!(folder.names(), ["a.h5"], "round {round}");
        let Some(found) = h5py("frames", &file) else { return };
        assert_eq!(found["complete"], 1);
        expect_whole(&found, must, frames);
        let rows = found["rows"].as_u64().unwrap();
        let was = before.and_then(|before| before.as_u64()).unwrap_or(0);
        (kept, required, in_journal) =
            (kept + rows, required + must, in_journal + rows - was);
    }
    println!(
        "{} kills: {required} frames had to be there, {kept} were, {in_journal} of them \
         from the journal; 0 twice, 0 altered",
        kills()
    );
}

/// Records for so many ms; returns how many frames were sent, and until when which.
fn record_and_kill(
    file: &str,
    ms: u64,
    (n, pause): (u64, u64),
) -> (u64, Vec<(u64, i64)>) {
    let mut child = recorder(&[file, "--flush", "20ms"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut frames = Frames { next: 0 };
    let clock = Clock::system();
    let mut sent = Vec::new();
    stdin.write_all(&frames.begin()).unwrap();
    let end = clock.now() + ms as i64 * 1_000_000;
    while clock.now() < end {
        stdin.write_all(&frames.some(n)).unwrap();
        sent.push((frames.next, clock.now()));
        sleep(Duration::from_millis(pause));
    }
    child.kill().unwrap();
    sent.push((frames.next, clock.now()));
    child.wait().unwrap();
    (frames.next, sent)
}
