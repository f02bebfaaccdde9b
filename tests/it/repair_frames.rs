//! `repair-frames`

use framepipe_tests::{Scratch, pipe};
use libframe::payload::{End, Gap, Reason};
use libframe::wire::Kind;

/// A recording of 100 glove frames with a flipped bit, a cut and no end.
fn damaged() -> Vec<u8> {
    let mut bytes = pipe("sim-src glove -n 100 --rate max").run().stdout;
    let data: Vec<_> = (0..bytes.len() - 5)
        .filter(|at| bytes[*at..].starts_with(b"\xD5FP1\x03"))
        .collect();
    bytes[data[10] + 100] ^= 4;
    let cut = data[20] + 60..data[20] + 90;
    let tail = data[99] + 10;
    bytes.truncate(tail);
    bytes.drain(cut);
    bytes
}

#[test]
fn a_damaged_recording_becomes_a_clean_one_that_tells_what_is_missing() {
    let run = pipe("repair-frames").input(damaged()).run();
    run.expect(&[3]);
    assert_eq!(run.records().len(), run.events().len(), "no damage is left");
    let numbers: Vec<_> = run.of_kind(&[Kind::DATA]).iter().map(|(h, _)| h.seq).collect();
    let expected: Vec<_> = (0..99).filter(|seq| ![10, 20].contains(seq)).collect();
    assert_eq!(numbers, expected);
    let corrupt: Vec<_> = run
        .payloads::<Gap>()
        .into_iter()
        .filter(|gap| gap.reason == Reason::Corrupt)
        .map(|gap| (gap.first, gap.count))
        .collect();
    assert_eq!(corrupt, [(10, Some(1)), (20, Some(1))]);
    assert_eq!(run.payloads::<End>().len(), 1);
    for line in [
        "320 bytes at byte",
        "payload fails its checksum",
        "glove: 1 missing from sample 10: corrupt",
        "END added, sim-src stopped without",
    ] {
        run.expect_stderr(0, line);
    }
}

#[test]
fn repairing_twice_changes_nothing_more() {
    let once = pipe("repair-frames -q").input(damaged()).run();
    let twice = pipe("repair-frames -q").input(once.stdout.clone()).run();
    twice.expect(&[3]);
    assert_eq!(
        twice.of_kind(&[Kind::DATA, Kind::GAP]).len(),
        once.of_kind(&[Kind::DATA, Kind::GAP]).len()
    );
    assert_eq!(twice.payloads::<End>()[0].streams, once.payloads::<End>()[0].streams);
}

#[test]
fn a_session_that_broke_off_further_up_is_no_gap_of_a_stream() {
    let whole = pipe("sim-src glove -n 20 --rate max").run().stdout;
    let end = whole.windows(5).rposition(|bytes| bytes == b"\xD5FP1\x09").unwrap();
    let run = pipe("pick-frames | repair-frames").input(&whole[..end]).run();
    run.expect(&[3, 3]).expect_stderr(1, "sim-src broke off");
    assert!(!run.stderrs[1].contains("missing from sample"), "{}", run.everything());
    assert_eq!(run.payloads::<Gap>().len(), 1);
}

#[test]
fn a_good_recording_stays_as_it_is() {
    let run =
        pipe("sim-src glove camera:size=16x16 -n 50 --rate max | repair-frames").run();
    run.expect(&[0, 0]).expect_silence();
    assert_eq!(run.samples(), 100);
}

#[test]
fn the_report_goes_to_a_file_if_asked_and_never_over_another() {
    let path =
        std::env::temp_dir().join(format!("framepipe-report-{}", std::process::id()));
    let line = format!("repair-frames --report {}", path.display());
    pipe(&line).input(damaged()).run().expect(&[3]);
    let report = std::fs::read_to_string(&path).unwrap();
    let last: serde_json::Value =
        serde_json::from_str(report.lines().last().unwrap()).unwrap();
    assert_eq!(
        (last["total"]["lost"].as_u64(), last["total"]["damaged_places"].as_u64()),
        (Some(2), Some(3))
    );
    pipe(&line).input(damaged()).run().expect(&[1]).expect_stderr(0, "File exists");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn reads_a_file_as_well_as_stdin() {
    let path =
        std::env::temp_dir().join(format!("framepipe-damaged-{}", std::process::id()));
    std::fs::write(&path, damaged()).unwrap();
    let run = pipe(&format!("repair-frames {}", path.display())).run();
    assert_eq!(run.expect(&[3]).samples(), 97);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_recording_that_is_complete_stays_as_it_is() {
    let run = pipe("sim-src -n 10 --rate max | to-h5 {new}/a.h5").run();
    let file = run.scratch.as_ref().unwrap().file("a.h5");
    let before = std::fs::read(&file).unwrap();
    pipe(&format!("repair-frames {file}")).run().expect(&[0]).expect_silence();
    assert_eq!(run.scratch.as_ref().unwrap().names(), ["a.h5"]);
    assert!(std::fs::read(&file).unwrap() == before);
}

#[test]
fn a_recording_under_way_is_left_alone() {
    let scratch = Scratch::new();
    let file = scratch.file("a.h5");
    let mut started = pipe(&format!("sim-src --rate 1000 | to-h5 {file}")).start();
    started.until_ready(1);
    let run = pipe(&format!("repair-frames {file}")).run();
    run.expect(&[1]).expect_stderr(0, "is being recorded");
    let run = pipe(&format!("sim-src -n 5 | to-h5 --force {file}")).run();
    run.expect_stderr(1, "another to-h5 records to it");
    started.signal(0, rustix::process::Signal::TERM);
    started.wait().expect(&[0, 0]).expect_silence();
    assert_eq!(scratch.names(), ["a.h5"]);
}
