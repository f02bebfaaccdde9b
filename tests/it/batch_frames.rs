//! `batch-frames`

use framepipe_tests::{count_kind, pipe};
use libframe::payload::Stats;
use libframe::wire::{Header, Kind};

fn without_sent(records: Vec<(Header, Vec<u8>)>) -> Vec<(Header, Vec<u8>)> {
    let strip = |(header, payload)| (Header { sent: 0, ..header }, payload);
    let mut all: Vec<_> = records.into_iter().map(strip).collect();
    all.sort_by_key(|(header, _)| (header.stream, header.seq));
    all
}

#[test]
fn joins_and_sends_the_rest_at_the_end() {
    let run = pipe("sim-src -n 25 --rate max | batch-frames -n 10").run();
    let batches = run.expect(&[0, 0]).of_kind(&[Kind::BATCH]);
    let sizes: Vec<_> = batches.iter().map(|(_, payload)| payload[0]).collect();
    assert_eq!(sizes, [10, 10, 5]);
    let seqs: Vec<_> = batches.iter().map(|(header, _)| header.seq).collect();
    assert_eq!(seqs, [0, 10, 20]);
}

#[test]
fn splitting_gives_back_the_very_records() {
    for source in ["glove sine", "camera:size=40x30 control", "control thermal"] {
        let run = pipe(&format!("sim-src {source} -n 60 --rate max")).run();
        let before = without_sent(run.of_kind(&[Kind::DATA]));
        let there = pipe("batch-frames -n 7 | batch-frames -n 11 | batch-frames --split");
        let after = there.input(run.stdout).run();
        assert_eq!(without_sent(after.expect(&[0, 0, 0]).of_kind(&[Kind::DATA])), before);
    }
}

#[test]
fn a_batch_that_is_old_enough_goes_out_while_the_input_is_silent() {
    let recording = pipe("sim-src -n 5 --rate max").run().stdout;
    let end = recording.windows(5).rposition(|b| b == b"\xD5FP1\x09").unwrap();
    let mut started =
        pipe("batch-frames --every 100ms").input_left_open(&recording[..end]).start();
    started.until_records(Kind::BATCH, 1).close_stdin();
    started.wait().expect(&[3]);
}

#[test]
fn a_batch_that_is_young_waits_for_more() {
    let recording = pipe("sim-src -n 5 --rate max").run().stdout;
    let end = recording.windows(5).rposition(|b| b == b"\xD5FP1\x09").unwrap();
    let mut started =
        pipe("batch-frames --every 10s").input_left_open(&recording[..end]).start();
    // The source's STATS, then those of a second without input.
    started.until_records(Kind::STATS, 2);
    started.until_stdout(|bytes| count_kind(bytes, Kind::BATCH) == 0).close_stdin();
    let run = started.wait();
    assert_eq!(run.expect(&[3]).of_kind(&[Kind::BATCH]).len(), 1);
}

#[test]
fn a_gap_ends_a_batch_and_keeps_its_place() {
    let line = "sim-src -n 1000 --rate max --fault gap=2% | batch-frames -n 50";
    let run = pipe(line).run();
    let mut next = 0;
    for (header, payload) in run.of_kind(&[Kind::BATCH, Kind::GAP]) {
        if header.kind == Kind::BATCH {
            assert_eq!(header.seq, next);
            next += u64::from(payload[0]);
        } else {
            next = header.seq;
        }
    }
    assert_eq!(next, 1000);
}

#[test]
fn a_batch_is_closed_before_it_is_large() {
    let line =
        "sim-src camera:format=gray,size=500x500 -n 20 --rate max | batch-frames -n 20";
    let run = pipe(line).run();
    let batches = run.expect(&[0, 0]).of_kind(&[Kind::BATCH]);
    assert!(batches.iter().all(|(_, payload)| payload.len() <= 1 << 20));
    assert_eq!(run.samples(), 20);
}

#[test]
fn something_to_do_must_be_said() {
    pipe("batch-frames").run().expect(&[2]);
    pipe("batch-frames --split -n 5").run().expect(&[2]);
    pipe("batch-frames -n 0").run().expect(&[2]);
}

#[test]
fn the_last_report_counts_what_was_held_until_the_end() {
    let run = pipe("sim-src -n 25 --rate max | batch-frames -n 10").run();
    let stats = run.expect(&[0, 0]).payloads::<Stats>();
    let own = stats.iter().filter(|stats| stats.stage == "batch-frames");
    assert_eq!(own.map(|stats| stats.output.samples).sum::<u64>(), 25);
}
