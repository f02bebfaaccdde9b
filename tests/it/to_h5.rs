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
    let run = pipe(&format!("{line} | to-h5 {file} --meta subject=7")).run();
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
    let json = tree["session"]["attrs"]["json"].as_str().unwrap();
    let session: Value = serde_json::from_str(json).unwrap();
    assert_eq!(session["stages"][1]["name"], "to-h5");
    assert_eq!(session["meta"]["subject"], "7");
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
    let mut child = recorder(&[&file, "--flush", "200ms"]);
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
/// Bytes of a frame and its header.
const FRAME_ON_WIRE: u64 = 48 + 272;

fn kills() -> u32 {
    std::env::var("FRAMEPIPE_KILLS").map_or(20, |n| n.parse().unwrap())
}

#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_in_the_pipe_for_a_flush() {
    // Long enough for a busy machine to let all threads of a recorder run.
    let flush = 200 * 1_000_000;
    let (mut kept, mut required, mut in_journal) = (0, 0, 0);
    let mut random = 12345u64;
    for round in 0..kills() {
        let folder = Scratch::new();
        let file = folder.file("a.h5");
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let patience = (random >> 33) % 700;
        // Slow ones die between flushes, fast ones within.
        let (n, pause) = if round % 2 == 0 { (20, 2) } else { (400, 0) };
        let Killed { frames, taken, late } = record_and_kill(&file, patience, (n, pause));
        let killed = taken.last().map_or(0, |(_, time)| *time);
        // A machine that lets us wait so long lets the recorder wait, too.
        let old = taken.iter().rev().find(|(_, time)| killed - time > flush + 2 * late);
        let must = old.map_or(0, |(next, _)| *next);
        if !Path::new(&file).exists() && must == 0 {
            continue;
        }
        let before = h5py("rows", &file);
        if round % 3 == 0 {
            // Whoever repairs may be killed too.
            let mut repair = Command::new(binary("repair-frames"));
            let mut repair = repair.args(["-q", &file]).spawn().unwrap();
            sleep(Duration::from_millis(5 + patience / 20));
            repair.kill().unwrap();
            repair.wait().unwrap();
        }
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
    eprintln!(
        "{} kills: {required} frames had to be there, {kept} were, {in_journal} of them \
         from the journal; 0 twice, 0 altered",
        kills()
    );
}

/// A recorder that was killed.
struct Killed {
    /// How many frames were sent.
    frames: u64,
    /// How many of them had left the pipe, and when; at last when it was killed.
    taken: Vec<(u64, i64)>,
    /// How much longer than asked for we slept at the most, ns.
    late: i64,
}

/// Records for so many ms.
fn record_and_kill(file: &str, ms: u64, (n, pause): (u64, u64)) -> Killed {
    let mut child = recorder(&[file, "--flush", "50ms"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut frames = Frames { next: 0 };
    let clock = Clock::system();
    let (mut taken, mut late) = (Vec::new(), 0);
    stdin.write_all(&frames.begin()).unwrap();
    // Some die before they have begun; what is in the pipe then, nobody has taken.
    let begins = ms >= 30;
    while begins && !Path::new(file).exists() {
        sleep(Duration::from_millis(1));
    }
    let end = clock.now() + ms as i64 * 1_000_000;
    while clock.now() < end {
        stdin.write_all(&frames.some(n)).unwrap();
        let left = rustix::io::ioctl_fionread(&stdin).unwrap().div_ceil(FRAME_ON_WIRE);
        let before = clock.now();
        taken.extend(begins.then(|| (frames.next.saturating_sub(left), before)));
        sleep(Duration::from_millis(pause));
        late = late.max(clock.now() - before - pause as i64 * 1_000_000);
    }
    child.kill().unwrap();
    taken.push((frames.next, clock.now()));
    child.wait().unwrap();
    Killed { frames: frames.next, taken, late }
}

#[test]
fn no_file_is_overwritten_and_force_does() {
    let folder = Scratch::new();
    let file = folder.file("a.h5");
    std::fs::write(&file, "mine").unwrap();
    let bytes = [Frames { next: 0 }.begin(), Frames { next: 0 }.end()].concat();
    let run = pipe(&format!("to-h5 {file}")).input(&bytes[..]).run();
    run.expect(&[1]).expect_stderr(0, "a.h5: exists already; --force writes over it");
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    assert_eq!(folder.names(), ["a.h5"]);
    pipe(&format!("to-h5 --force {file}")).input(bytes).run().expect(&[0]);
    assert!(std::fs::read(&file).unwrap().starts_with(b"\x89HDF"));
}

#[test]
fn a_name_can_have_the_time_in_it_and_folders_of_days() {
    let folder = Scratch::new();
    let template = folder.file("%Y/day_%Y-%m-%d.h5");
    let line = format!("sim-src -n 10 --rate max | to-h5 '{template}'");
    pipe(&line).run().expect(&[0, 0]).expect_silence();
    let [year] = &folder.names()[..] else { panic!("{:?}", folder.names()) };
    let name = std::fs::read_dir(folder.0.join(year)).unwrap().next().unwrap().unwrap();
    let name = name.file_name().into_string().unwrap();
    assert!(name.starts_with(&format!("day_{year}-")) && name.ends_with(".h5"), "{name}");
}

#[test]
fn no_file_is_begun_when_all_is_over() {
    let folder = Scratch::new();
    let file = folder.file("a.h5");
    let mut frames = Frames { next: 0 };
    let mut child = recorder(&[&file, "--rotate", "100ms", "--flush", "20ms"]);
    let mut stdin = child.stdin.take().unwrap();
    let all = [frames.begin(), frames.some(50), frames.end()].concat();
    stdin.write_all(&all).unwrap();
    sleep(Duration::from_millis(500));
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert_eq!(folder.names(), ["a.h5"]);
}

#[test]
fn files_that_follow_one_another_have_every_frame_once() {
    let folder = Scratch::new();
    let file = folder.file("a.h5");
    let mut frames = Frames { next: 0 };
    let mut child = recorder(&[&file, "--rotate", "300ms", "--flush", "50ms"]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&frames.begin()).unwrap();
    for _ in 0..60 {
        stdin.write_all(&frames.some(50)).unwrap();
        sleep(Duration::from_millis(20));
    }
    stdin.write_all(&frames.end()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = folder.names();
    assert!(names.len() >= 3 && names[0] == "a-001.h5", "{names:?}");
    let mut all = Vec::new();
    for name in [&names[names.len() - 1..], &names[..names.len() - 1]].concat() {
        let Some(tree) = h5py("tree", &folder.file(&name)) else { return };
        assert_eq!(tree["/"]["attrs"]["complete"], 1, "{name}");
        assert_eq!(tree["session"]["attrs"]["host"], "h", "{name}");
        let rows = tree["streams/frames/seq"]["shape"][0].as_u64().unwrap();
        // The last file may be begun and have nothing to hold any more.
        let first = tree["streams/frames/seq"]["value"][0].as_u64();
        all.extend(first.map(|first| (first, rows)));
    }
    let mut next = 0;
    for (first, rows) in all {
        assert_eq!(first, next);
        next += rows;
    }
    assert_eq!(next, frames.next);
}

#[test]
fn a_file_is_followed_when_it_is_long_enough() {
    let folder = Scratch::new();
    let line = format!(
        "sim-src camera:size=160x120 -n 3000 --rate 1000 | to-h5 {} --rotate 512KiB",
        folder.file("a.h5")
    );
    pipe(&line).run().expect(&[0, 0]).expect_silence();
    let names = folder.names();
    assert!(names.len() > 1, "{names:?}");
    let sizes =
        names.iter().map(|name| std::fs::metadata(folder.file(name)).unwrap().len());
    assert!(sizes.clone().all(|size| size < 1 << 20), "{:?}", sizes.collect::<Vec<_>>());
}

#[test]
fn what_pipes_can_hold_and_files_cannot() {
    let folder = Scratch::new();
    let file = folder.file("a.h5");
    let mut bytes = Vec::new();
    let mut put = |session: u32, kind, number: u16, seq, payload: &[u8]| {
        let header =
            Header { kind, flags: 0, stream: number, session, seq, time: 5, sent: 0 };
        Record::new(header, payload).encode(&mut bytes);
    };
    let described = |name: &str, dtype, shape: &[u32]| {
        let (name, shape) = (name.to_owned(), shape.to_vec());
        let media = Media::Samples;
        Stream { name, media, dtype: Some(dtype), shape, ..Stream::default() }.to_bytes()
    };
    put(1, Kind::SESSION, 0, 0, &Session::default().to_bytes());
    put(1, Kind::STREAM, 1, 0, &described("a/b", Dtype::U8, &[2]));
    put(1, Kind::STREAM, 2, 0, &described("a/b", Dtype::U8, &[2]));
    put(1, Kind::STREAM, 3, 0, &described("", Dtype::F64, &[0]));
    put(1, Kind::STREAM, 4, 0, &described(".", Dtype::F64, &[u32::MAX, 9]));
    put(1, Kind::STREAM, 5, 0, b"no description");
    put(1, Kind::DATA, 1, 0, &[1, 2]);
    put(1, Kind::DATA, 2, 0, &[3, 4]);
    put(1, Kind::DATA, 3, 0, &[]);
    put(1, Kind::DATA, 6, 0, b"who am I");
    // Another type from the second sample on.
    put(1, Kind::STREAM, 1, 1, &described("a/b", Dtype::I32, &[]));
    put(1, Kind::DATA, 1, 1, &7i32.to_le_bytes());
    put(1, Kind::EVENT, 1, 2, b"no event");
    put(1, Kind::GAP, 1, 2, b"no gap");
    put(2, Kind::SESSION, 0, 0, &Session::default().to_bytes());
    put(2, Kind::STREAM, 1, 0, &described("a/b", Dtype::U8, &[2]));
    put(2, Kind::DATA, 1, 0, &[5, 6]);
    let run = pipe(&format!("to-h5 {file}")).input(bytes).run();
    run.expect(&[3]);
    let Some(tree) = h5py("tree", &file) else { return };
    let shape = |name: &str| tree[format!("streams/{name}/data")]["shape"].clone();
    for name in ["a_b", "a_b.2", "a_b.4"] {
        assert_eq!(shape(name), serde_json::json!([1, 2]), "{name}");
    }
    assert_eq!(shape("a_b.3"), serde_json::json!([1]));
    assert_eq!(tree["streams/a_b.3/data"]["dtype"], "<i4");
    assert_eq!(tree["streams/_/size"]["value"], serde_json::json!([0]));
    assert_eq!(shape("stream_6"), serde_json::json!([8]));
    assert_eq!(tree["session_2"]["attrs"]["tag"], 2);
    assert_eq!(tree["events/payload"]["shape"], serde_json::json!([8]));
}

#[test]
fn a_description_of_every_channel_there_can_be() {
    let folder = Scratch::new();
    let file = folder.file("a.h5");
    let line = "sim-src sine:channels=16384 -n 20 --rate max";
    let run = pipe(&format!("{line} | to-h5 {file}")).run();
    run.expect(&[0, 0]).expect_silence();
    let Some(tree) = h5py("tree", &file) else { return };
    let json = tree["streams/sine"]["attrs"]["json"].as_str().unwrap();
    assert!(json.len() > 100_000 && json.ends_with('}'), "{}", json.len());
    assert_eq!(tree["streams/sine/channels/labels"]["shape"], serde_json::json!([16384]));
}

#[test]
fn a_recorder_says_what_broke_off_before() {
    let folder = Scratch::new();
    let file = folder.file("old.h5");
    let _sent = record_and_kill(&file, 100, (20, 2));
    let line = |name: &str| {
        let line = format!("sim-src -n 10 --rate max | to-h5 {}", folder.file(name));
        pipe(&line).run()
    };
    line("new.h5").expect(&[0, 0]).expect_stderr(1, "old.h5 broke off; to bring it up");
    let run = line("old.h5");
    run.expect_stderr(1, "old.h5: exists already");
    std::fs::remove_file(&file).unwrap();
    line("old.h5").expect_stderr(1, "old.h5: broke off; first: repair-frames");
    // Of a file that is gone, the journal's part can still be had.
    pipe(&format!("repair-frames {file}")).run().expect(&[0]);
    assert_eq!(folder.names(), ["new.h5", "old.h5"]);
}

#[test]
fn a_disk_with_little_room_stops_a_recorder_that_was_told_to_mind() {
    let folder = Scratch::new();
    let file = folder.file("a.h5");
    let run = pipe(&format!("to-h5 {file} --min-free 1PiB")).input("").run();
    run.expect(&[1]).expect_stderr(0, "--min-free is");
    assert!(folder.names().is_empty(), "{:?}", folder.names());
}
