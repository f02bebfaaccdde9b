//! Damage on the way costs the records it touched, and is counted exactly.

use framepipe_tests::pipe;
use libframe::wire::{HEADER_LEN, Kind};

const RECORDS: u64 = 10_000;

/// Numbers that look random, the same on each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
        (self.0 >> 33) as usize % n
    }
}

/// How many records, of any kind, a range of bytes touches.
fn touched(whole: &[u8], from: usize, to: usize) -> u64 {
    let mut at = 0;
    let mut count = 0;
    while at < whole.len() {
        let length = u32::from_le_bytes(whole[at + 8..at + 12].try_into().unwrap());
        let end = at + HEADER_LEN + length as usize;
        count += u64::from(at < to.max(from + 1) && end > from);
        at = end;
    }
    count
}

#[track_caller]
fn check(what: &str, damaged: Vec<u8>, touched: u64) {
    let run = pipe("inspect-frames -f json").input(damaged).run();
    run.expect(&[3]);
    let report = run.json();
    let session = &report["sessions"][0];
    let Some(stream) = session["streams"].get(0) else { panic!("{what}: {session}") };
    let (lost, samples) =
        (stream["lost"].as_u64().unwrap(), stream["samples"].as_u64().unwrap());
    assert!(lost <= touched, "{what}: {lost} lost, {touched} touched");
    // Without END, what was lost at the very end is not known to anybody.
    let known = session["broke_off"].is_null();
    assert!(!known || lost + samples == RECORDS, "{what}: {lost} + {samples}");
    assert!(known || lost + samples + touched >= RECORDS, "{what}: {lost} + {samples}");
}

#[test]
fn any_bit_any_cut_and_any_insertion() {
    let whole = pipe(&format!("sim-src glove -n {RECORDS} --rate max")).run().stdout;
    let mut dice = Dice(7);
    for round in 0..40 {
        let bit = dice.below(whole.len() * 8);
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let hit = touched(&whole, bit / 8, bit / 8 + 1);
        check(&format!("round {round}: bit {bit}"), flipped, hit);

        let (from, len) = (dice.below(whole.len() - 2000), 1 + dice.below(1000));
        let cut = [&whole[..from], &whole[from + len..]].concat();
        let hit = touched(&whole, from, from + len);
        check(&format!("round {round}: {len} bytes cut at {from}"), cut, hit);

        let at = dice.below(whole.len());
        let junk: Vec<u8> =
            (0..1 + dice.below(300)).map(|_| dice.below(256) as u8).collect();
        let mut longer = whole.clone();
        longer.splice(at..at, junk.iter().copied());
        let hit = touched(&whole, at, at);
        check(
            &format!("round {round}: {} bytes inserted at {at}", junk.len()),
            longer,
            hit,
        );
    }
}

#[test]
fn the_first_and_the_last_records_are_no_exception() {
    let whole = pipe(&format!("sim-src glove -n {RECORDS} --rate max")).run().stdout;
    let ends = (0..60).chain(whole.len() - 60..whole.len());
    for byte in ends.step_by(3) {
        let mut flipped = whole.clone();
        flipped[byte] ^= 0x10;
        check(&format!("byte {byte}"), flipped, touched(&whole, byte, byte + 1));
    }
}

#[test]
fn every_tool_says_so() {
    let mut bytes = pipe("sim-src glove -n 100 --rate max").run().stdout;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    for tool in [
        "batch-frames -n 7",
        "calibrate-frames --gain 2 --all",
        "pick-frames",
        "repair-frames",
        "inspect-frames",
        "to-text",
    ] {
        let run = pipe(tool).input(&bytes[..]).run();
        run.expect(&[3]).expect_stderr(0, "1 of 100 samples lost");
        run.expect_stderr(0, "reason: corrupt");
    }
}

#[test]
fn a_killed_stage_leaves_what_came_and_is_named_downstream() {
    use rustix::process::Signal;
    for (victim, name) in [(0, "sim-src"), (1, "pick-frames"), (2, "batch-frames")] {
        let line = "sim-src glove --rate 2000 | pick-frames | batch-frames -n 10 | repair-frames";
        let mut started = pipe(line).start();
        started.until_samples(310).signal(victim, Signal::KILL);
        let run = started.wait();
        let codes = run.codes();
        assert_eq!(codes[victim], -Signal::KILL.as_raw());
        assert!(
            codes[..victim].iter().all(|code| *code == 0),
            "upstream ends: {codes:?}"
        );
        assert!(
            codes[victim + 1..].iter().all(|code| *code == 3),
            "downstream: {codes:?}"
        );
        for after in victim + 1..4 {
            run.expect_stderr(
                after,
                &format!("{name} broke off: its output stops without END"),
            );
        }
        let read = pipe("inspect-frames -f json").input(run.stdout).run();
        read.expect(&[3]).expect_stderr(0, &format!("{name} broke off"));
        let stream = &read.json()["sessions"][0]["streams"][0];
        assert!(stream["samples"].as_u64() > Some(300), "{stream}");
    }
}

#[test]
fn a_recording_whose_writer_was_killed_is_readable_and_names_it() {
    use rustix::process::Signal;
    let mut started = pipe("sim-src glove --rate 2000 | batch-frames -n 10").start();
    started.until_samples(310).signal(1, Signal::KILL);
    let file = started.wait().stdout;
    let run = pipe("inspect-frames -f json").input(file).run();
    run.expect(&[3]).expect_stderr(0, "batch-frames broke off");
    assert!(run.json()["sessions"][0]["streams"][0]["samples"].as_u64() > Some(300));
}

#[test]
fn damage_before_a_streams_first_record_explains_what_is_missing_there() {
    let mut whole = pipe("sim-src glove -n 50 --rate max").run().stdout;
    // Its description and its first sample.
    let mut at = 0;
    let mut kinds = vec![Kind::STREAM, Kind::DATA];
    while at < whole.len() {
        let length = u32::from_le_bytes(whole[at + 8..at + 12].try_into().unwrap());
        if kinds.first() == Some(&Kind(whole[at + 4])) {
            whole[at + HEADER_LEN] ^= 1;
            kinds.remove(0);
        }
        at += HEADER_LEN + length as usize;
    }
    let run = pipe("inspect-frames -f json").input(&whole[..]).run();
    let ledger = &run.expect(&[3]).json()["sessions"][0]["ledger"];
    assert_eq!((&ledger["lost"], &ledger["unexplained"]), (&1.into(), &0.into()));
    // The same without damage: a record that somebody took away.
    let whole = pipe("sim-src glove -n 50 --rate max").run().stdout;
    let first = whole.windows(5).position(|head| head == b"\xD5FP1\x03").unwrap();
    let stream = whole.windows(5).position(|head| head == b"\xD5FP1\x02").unwrap();
    let length = |at: usize| {
        let length = u32::from_le_bytes(whole[at + 8..at + 12].try_into().unwrap());
        at + HEADER_LEN + length as usize
    };
    let stolen =
        [&whole[..stream], &whole[length(stream)..first], &whole[length(first)..]]
            .concat();
    let run = pipe("inspect-frames -f json").input(stolen).run();
    let ledger = &run.expect(&[3]).json()["sessions"][0]["ledger"];
    assert_eq!((&ledger["lost"], &ledger["unexplained"]), (&1.into(), &1.into()));
}
