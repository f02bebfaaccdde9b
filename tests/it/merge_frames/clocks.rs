//! Inputs from other hosts, or from before a reboot.

use std::process::Command;
use std::time::Duration;

use framepipe_tests::{Run, Scratch, pipe, root};
use libframe::payload::{ClockReading, Event, Payload as _, Session};
use libframe::schema::Stream;
use libframe::wire::{Header, Kind};

use super::made::Made;
use super::{PATIENT, names, samples};

const SECOND: i64 = 1_000_000_000;
/// When both hosts began, by their wall clocks.
const EPOCH: i64 = 1_700_000_000 * SECOND;

/// Here the monotonic clock is at 100 s, there at 5000 s.
fn hosts() -> (Made, Made) {
    let here = Made::new(1).at("here", EPOCH, 100 * SECOND).streams(&["x"]);
    let there = Made::new(2).at("there", EPOCH, 5000 * SECOND).streams(&["y"]);
    (here, there)
}

/// Samples at these seconds after the start.
fn at(made: Made, start: i64, seconds: &[i64]) -> Made {
    (0..)
        .zip(seconds)
        .fold(made, |made, (seq, after)| made.data(1, seq, (start + after) * SECOND))
}

/// A merge of two hosts whose samples alternate, a second apart.
fn two_hosts(folder: &Scratch) -> [String; 2] {
    let (here, there) = hosts();
    let here = at(here, 100, &[1, 3, 5, 7]).end();
    let there = at(there, 5000, &[2, 4, 6, 8]).end();
    [here.file(folder, "here"), there.file(folder, "there")]
}

/// The CLOCK records of streams: of which name, and what they say.
fn clocks(run: &Run) -> Vec<(String, Header, ClockReading)> {
    let names = names(run);
    let all = run.of_kind(&[Kind::CLOCK]).into_iter();
    let of_streams = all.filter(|(header, _)| header.stream != 0);
    let read = |(header, payload): (Header, Vec<u8>)| {
        let name = names[&(header.session, header.stream)].clone();
        (name, header, ClockReading::from_bytes(&payload).unwrap())
    };
    of_streams.map(read).collect()
}

#[test]
fn they_are_ordered_by_the_wall_clocks_and_their_times_are_not_changed() {
    let folder = Scratch::new();
    let run = pipe(&format!("merge-frames {}", two_hosts(&folder).join(" "))).run();
    let data = run.expect(&[0]).expect_silence().of_kind(&[Kind::DATA]);
    let times: Vec<_> = data.iter().map(|(header, _)| header.time / SECOND).collect();
    assert_eq!(times, [101, 5002, 103, 5004, 105, 5006, 107, 5008]);

    let session = run.payloads::<Session>().remove(0);
    assert_eq!(
        (session.boot_id.as_str(), session.start_monotonic),
        ("here", 100 * SECOND)
    );
    let clocks = clocks(&run);
    let (name, header, reading) = &clocks[0];
    assert_eq!((clocks.len(), name.as_str()), (1, "y"));
    assert_eq!(reading.offset, Some(4900 * SECOND));
    assert_eq!(reading.remote, "host of there");
    // The instant on the session's clock, and in the header on the stream's.
    assert_eq!(header.time - reading.monotonic, 4900 * SECOND);
    let wall = reading.realtime.unwrap() - reading.monotonic;
    assert_eq!(wall, session.start_realtime - session.start_monotonic);
}

#[test]
fn one_boot_needs_no_correction_whatever_its_wall_clock_did() {
    let folder = Scratch::new();
    let a = Made::new(1).at("boot", 50, 0).streams(&["x"]);
    let a = a.data(1, 0, 100).clock(150, 900_000).data(1, 1, 200).end();
    let b = Made::new(2).at("boot", 900_060, 60).streams(&["y"]);
    let b = b.data(1, 0, 150).data(1, 1, 250).end();
    let (a, b) = (a.file(&folder, "a"), b.file(&folder, "b"));
    let run = pipe(&format!("merge-frames {a} {b}")).run();
    assert_eq!(super::times(run.expect(&[0])), [100, 150, 200, 250]);
    assert!(clocks(&run).is_empty());
    assert_eq!(run.of_kind(&[Kind::CLOCK]).len(), 1);
}

#[test]
fn a_host_whose_clock_drifts_is_followed() {
    let folder = Scratch::new();
    let (here, there) = hosts();
    let here = at(here, 100, &[1, 20]).end();
    // Ten seconds later the other's clock has fallen behind by 5 ms.
    let there = at(there, 5000, &[2]);
    let told = (5010 * SECOND - 5_000_000, EPOCH + 10 * SECOND);
    let there = there.clock(told.0, told.1).data(1, 1, 5011 * SECOND).end();
    let (here, there) = (here.file(&folder, "here"), there.file(&folder, "there"));
    let run = pipe(&format!("merge-frames {here} {there}")).run();
    let clocks = clocks(run.expect(&[0]));
    let offsets: Vec<_> = clocks.iter().map(|(.., r)| r.offset.unwrap()).collect();
    assert_eq!(offsets, [4900 * SECOND, 4900 * SECOND - 5_000_000]);
}

#[test]
fn an_event_of_another_host_keeps_its_time_in_a_stream_of_its_own() {
    let folder = Scratch::new();
    let (here, there) = hosts();
    let here = at(here, 100, &[1, 3]).event("near", 102 * SECOND).end();
    let there = at(there, 5000, &[2]).event("far", 5003 * SECOND).end();
    let (here, there) = (here.file(&folder, "here"), there.file(&folder, "there"));
    let run = pipe(&format!("merge-frames {here} {there}")).run();
    let events = run.expect(&[0]).of_kind(&[Kind::EVENT]);
    let events = events.iter().map(|(header, payload)| {
        let label = Event::from_bytes(payload).unwrap().label;
        (label, header.stream, header.time / SECOND)
    });
    let expected = [("near".to_owned(), 0, 102), ("far".to_owned(), 3, 5003)];
    assert!(events.eq(expected));
    let clocks = clocks(&run);
    let of_events = clocks.iter().find(|(name, ..)| name == "events").unwrap();
    assert_eq!(of_events.2.offset, Some(4900 * SECOND));
    let streams = run.payloads::<Stream>();
    assert!(streams.iter().any(|stream| stream.name == "events"));
}

#[test]
fn a_merge_of_a_merge_knows_all_clocks() {
    let folder = Scratch::new();
    let [here, there] = two_hosts(&folder);
    let third = Made::new(3).at("third", EPOCH, 0).streams(&["z"]);
    let third = at(third, 0, &[0, 9]).end().file(&folder, "third");
    let both = pipe(&format!("merge-frames {here} {there}")).run().stdout;
    let run = pipe(&format!("merge-frames {PATIENT} {third} -")).input(both).run();
    let data = run.expect(&[0]).expect_silence().of_kind(&[Kind::DATA]);
    let times: Vec<_> = data.iter().map(|(header, _)| header.time / SECOND).collect();
    assert_eq!(times, [0, 101, 5002, 103, 5004, 105, 5006, 107, 5008, 9]);
    let clocks = clocks(&run);
    assert!(clocks.iter().any(|(name, ..)| name == "y"));
    for (name, header, reading) in &clocks {
        let expected = if name == "y" { 5000 } else { 100 };
        assert_eq!(reading.offset, Some(expected * SECOND), "{name}");
        assert_eq!(header.time - reading.monotonic, reading.offset.unwrap());
    }
}

/// Each stream's wall-clock times, as a reader tells them.
fn wall_times(run: &Run) -> Vec<(String, i64)> {
    let lines = run.text().lines().filter(|line| line.contains(r#""kind":"data""#));
    let parse = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let time = line["time"].as_i64().unwrap();
        (line["stream"].as_str().unwrap().to_owned(), (time - EPOCH) / SECOND)
    };
    lines.map(parse).collect()
}

/// What h5py finds of both streams in some files: seconds after the start.
fn timestamps(files: &[String]) -> Option<Vec<Vec<f64>>> {
    let python = root().join(".venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: no .venv with h5py; run scripts/setup");
        return None;
    }
    let program = "import h5py, json, sys\n\
        all = [h5py.File(name)['streams'] for name in sys.argv[1:]]\n\
        of = lambda s: [t - 1.7e9 for f in all if s in f for t in f[s]['timestamps']]\n\
        print(json.dumps([of('x'), of('y')]))";
    let output =
        Command::new(python).arg("-c").arg(program).args(files).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    Some(serde_json::from_slice(&output.stdout).expect(&stderr))
}

fn alternating() -> Vec<(String, i64)> {
    (1..=8).map(|n| (if n % 2 == 1 { "x" } else { "y" }.to_owned(), n)).collect()
}

#[test]
fn texts_have_the_wall_clock_times_of_both_hosts() {
    let folder = Scratch::new();
    let files = two_hosts(&folder).join(" ");
    let run = pipe(&format!("merge-frames {files} | to-text --times ns")).run();
    assert_eq!(wall_times(run.expect(&[0, 0])), alternating());
}

#[test]
fn a_recording_has_them_too_and_is_replayed_in_order() {
    let folder = Scratch::new();
    let files = two_hosts(&folder).join(" ");
    let (h5, frames) = (folder.file("both.h5"), folder.file("both.frames"));
    let merged = pipe(&format!("merge-frames {files}")).run();
    std::fs::write(&frames, &merged.stdout).unwrap();
    pipe(&format!("to-h5 {h5}")).input_file(&frames).run().expect(&[0]);
    for recording in [&h5, &frames] {
        let line = format!("replay --speed max {recording} | to-text --times ns");
        assert_eq!(wall_times(pipe(&line).run().expect(&[0, 0])), alternating());
        let line = format!("replay --speed max --start 3s --end 6s {recording}");
        let run = pipe(&format!("{line} | to-text --times ns")).run();
        assert_eq!(wall_times(run.expect(&[0, 0])), alternating()[2..5]);
        let line = format!("replay --speed max {recording} | pick-frames --start 3s");
        let run = pipe(&format!("{line} --end 6s | to-text --times ns")).run();
        assert_eq!(wall_times(run.expect(&[0, 0, 0])), alternating()[2..5]);
        // A day's distance between two clocks is no pause.
        let line = format!("replay --speed 50 --max-gap 1m --restamp {recording}");
        let run = pipe(&line).run();
        let all = samples(run.expect(&[0]));
        let step = all["y"][0].1 - all["x"][0].1;
        assert!((step - SECOND / 50).abs() < SECOND / 1000, "{step} ns");
        assert!(clocks(&run).is_empty(), "all is on one clock now");
    }
    if let Some(found) = timestamps(std::slice::from_ref(&h5)) {
        assert_eq!(found, [[1.0, 3.0, 5.0, 7.0], [2.0, 4.0, 6.0, 8.0]]);
    }
    let line = format!("jitter-report -f json {h5}");
    let json = pipe(&line).run().json();
    let streams = &json[0]["sessions"][0]["streams"];
    assert_eq!(streams[1]["clock_offset_ns"], 4900 * SECOND);
    assert!(streams[0]["clock_offset_ns"].is_null());
}

/// A merge of two hosts, up to the third sample, and the rest.
fn two_parts(folder: &Scratch) -> (Vec<u8>, Vec<u8>) {
    let files = two_hosts(folder).join(" ");
    let mut merged = pipe(&format!("merge-frames {files}")).run().stdout;
    let first = merged.windows(5).position(|bytes| bytes == b"\xD5FP1\x03").unwrap();
    let rest = merged.split_off(first + 2 * (48 + 1));
    (merged, rest)
}

#[track_caller]
fn expect_all_times(recordings: &[String]) {
    let line =
        format!("replay --speed max {} | to-text --times ns", recordings.join(" "));
    assert_eq!(wall_times(&pipe(&line).run()), alternating());
    if let Some(found) = timestamps(recordings) {
        assert_eq!(found, [[1.0, 3.0, 5.0, 7.0], [2.0, 4.0, 6.0, 8.0]]);
    }
}

#[test]
fn a_recorder_that_begins_another_file_still_knows_the_clocks() {
    let folder = Scratch::new();
    let (begin, rest) = two_parts(&folder);
    let line = format!("to-h5 {} --rotate 1s", folder.file("part_%Y%m%d%H%M%S.h5"));
    let mut recorder = pipe(&line).input_left_open(begin).start();
    let files = || {
        let names = folder.names().into_iter();
        let is_part = |name: &String| name.starts_with("part") && name.ends_with(".h5");
        names.filter(is_part).map(|name| folder.file(&name)).collect::<Vec<_>>()
    };
    while files().len() < 2 {
        recorder.after(Duration::from_millis(20));
    }
    recorder.feed(&rest).close_stdin();
    recorder.wait().expect(&[0]);
    expect_all_times(&files());
}

#[test]
fn a_recording_that_is_repaired_still_knows_the_clocks() {
    let folder = Scratch::new();
    let (begin, rest) = two_parts(&folder);
    let file = folder.file("a.h5");
    let line = format!("to-h5 {file} --flush 3s");
    let mut recorder = pipe(&line).input_left_open(begin).start();
    // What the clocks are is in the file by then, and what comes next in the journal only.
    recorder.after(Duration::from_secs(4)).feed(&rest).after(Duration::from_secs(1));
    recorder.signal(0, rustix::process::Signal::KILL);
    recorder.wait();
    pipe(&format!("repair-frames -q {file}")).run().expect(&[0]);
    expect_all_times(&[file]);
}

#[test]
fn an_input_that_was_joined_late_is_taken_as_one_of_here() {
    let folder = Scratch::new();
    let (here, _) = hosts();
    let here = at(here, 100, &[1, 3]).end();
    let late = Made::new(2).data(1, 7, 5).data(1, 8, 6);
    // Its SESSION comes only when samples have gone by.
    let late = late.at("here", EPOCH, 100 * SECOND).data(1, 9, 102 * SECOND).end();
    let (here, late) = (here.file(&folder, "here"), late.file(&folder, "late"));
    let run = pipe(&format!("merge-frames {here} {late}")).run();
    let data = run.expect(&[0]).of_kind(&[Kind::DATA]);
    assert_eq!(data.len(), 5);
    let json = pipe("inspect-frames -f json").input(run.stdout).run().json();
    assert_eq!(json["sessions"].as_array().unwrap().len(), 1);
}
