//! `to-text`

use framepipe_tests::pipe;
use libframe::wire::{Header, Kind};
use serde_json::Value;

fn lines(line: &str) -> Vec<Value> {
    let run = pipe(line).run();
    let parse =
        |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    run.text().lines().map(parse).collect()
}

#[test]
fn ndjson_has_every_kind_of_record() {
    let all = lines(
        "sim-src control glove camera:size=16x16 -n 2 --rate max --fault gap=20% | to-text",
    );
    let kinds: std::collections::BTreeSet<_> =
        all.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    for kind in ["session", "stream", "data", "gap", "clock", "stats", "end"] {
        assert!(kinds.contains(kind), "{kind} in {kinds:?}");
    }
}

#[test]
fn samples_are_numbers_and_batches_are_taken_apart() {
    let plain = lines("sim-src control -n 20 --rate max --seed 3 | to-text -k data");
    let batched = lines(
        "sim-src control -n 20 --rate max --seed 3 | batch-frames -n 6 | to-text -k data",
    );
    assert_eq!(plain.len(), 20);
    for (a, b) in plain.iter().zip(&batched) {
        for key in ["seq", "values", "device_time", "stream"] {
            assert_eq!(a[key], b[key]);
        }
    }
    assert_eq!(plain[10]["values"].as_array().unwrap().len(), 2);
}

#[test]
fn times_are_what_was_asked_for() {
    let time = |format: &str| {
        let all =
            lines(&format!("sim-src -n 1 --rate max | to-text -k data --times {format}"));
        all[0]["time"].clone()
    };
    assert!(time("rfc3339").as_str().unwrap().ends_with('Z'));
    assert!(time("ns").as_i64() > Some(1_700_000_000_000_000_000));
    assert!(time("s").as_f64() > Some(1.7e9));
    assert!(time("monotonic").is_i64());
}

#[test]
fn csv_is_a_table_that_python_reads() {
    let line = "sim-src sine:channels=2 control -n 30 --rate max | to-text -f csv";
    let run = pipe(line).run();
    let mut rows = run.text().lines();
    let header = rows.next().unwrap();
    assert_eq!(
        header,
        "time,stream,kind,seq,note,sine.ch1,sine.ch2,control.steering,control.throttle"
    );
    let width = header.split(',').count();
    assert_eq!(rows.clone().count(), 60);
    assert!(rows.all(|row| row.split(',').count() == width));
}

#[test]
fn csv_says_what_is_missing_in_a_note() {
    let run = pipe("sim-src -n 100 --rate max --fault gap=10% | to-text -f csv").run();
    assert!(
        run.text()
            .lines()
            .any(|line| line.contains(",gap,") && line.contains("missing from"))
    );
}

#[test]
fn csv_of_a_stream_that_comes_late_is_a_failure_and_not_a_silent_loss() {
    let one = pipe("sim-src sine -n 5 --rate max").run().stdout;
    let two = pipe("sim-src glove -n 5 --rate max").run().stdout;
    let run = pipe("to-text -f csv").input([one, two].concat()).run();
    run.expect(&[1]).expect_stderr(0, "5 samples of streams that were announced late");
}

#[test]
fn a_slow_stream_is_shown_as_it_comes() {
    // Slow enough that no buffer of text fills before the test gives up.
    let mut started = pipe("sim-src --rate 5 | to-text -k data -f ndjson").start();
    started
        .until_stdout(|bytes| bytes.iter().filter(|byte| **byte == b'\n').count() >= 3);
    started.signal_all(rustix::process::Signal::TERM);
    started.wait().expect(&[0, 0]);
}

#[test]
fn a_terminal_is_what_text_is_for() {
    let run = pipe("to-text").input(pipe("sim-src -n 3 --rate max").run().stdout).run();
    run.expect(&[0]).expect_silence();
}

#[test]
fn a_table_has_the_columns_of_streams_that_are_announced_after_an_event() {
    let early = pipe("sim-src sine:channels=2 -n 5 --rate max --event begin@0s").run();
    let mut records = early.records();
    // As of a source that tells first that it is connected.
    let at = |kind| move |(h, _): &(Header, Vec<u8>)| h.kind == kind;
    let event = records.iter().position(at(Kind::EVENT)).unwrap();
    let stream = records.iter().position(at(Kind::STREAM)).unwrap();
    let event = records.remove(event);
    records.insert(stream, event);
    let mut bytes = Vec::new();
    for (header, payload) in &records {
        libframe::wire::Record::new(*header, payload).encode(&mut bytes);
    }
    let run = pipe("to-text -f csv").input(bytes).run();
    run.expect(&[0]).expect_silence();
    let lines: Vec<_> = run.text().lines().collect();
    assert_eq!(lines.len(), 7, "{lines:?}");
    assert!(lines[0].starts_with("time,stream,kind,seq,note,"), "{lines:?}");
    assert!(lines[1].ends_with(",begin,,"), "{lines:?}");
}
