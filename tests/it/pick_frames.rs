//! `pick-frames`

use framepipe_tests::{Run, pipe};
use libframe::payload::Gap;
use libframe::schema::Stream;
use libframe::wire::Kind;
use serde_json::Value;

fn inspect(line: &str) -> (Run, Value) {
    let run = pipe(&format!("{line} | inspect-frames -f json")).run();
    let report = run.json();
    (run, report)
}

fn names(report: &Value) -> Vec<&str> {
    let streams = report["sessions"][0]["streams"].as_array().unwrap();
    streams.iter().map(|stream| stream["name"].as_str().unwrap()).collect()
}

const THREE: &str =
    "sim-src glove:name=left glove:name=right camera:size=32x32 -n 50 --rate max";

#[test]
fn streams_are_chosen_by_name_pattern_number_and_medium() {
    for (options, expected) in [
        ("-s left", vec!["left"]),
        ("-s '*t'", vec!["left", "right"]),
        ("-s 3", vec!["camera"]),
        ("-x left", vec!["right", "camera"]),
        ("--media image", vec!["camera"]),
        ("-s '*' -x camera --media samples", vec!["left", "right"]),
    ] {
        let (run, report) = inspect(&format!("{THREE} | pick-frames {options}"));
        run.expect(&[0, 0, 0]).expect_silence();
        assert_eq!(names(&report), expected, "{options}");
    }
}

#[test]
fn of_a_stream_that_is_left_out_nothing_comes() {
    let line =
        "sim-src glove sine -n 200 --rate max --fault gap=10% | pick-frames -s sine";
    let records = pipe(line).run().records();
    assert!(records.iter().all(|(header, _)| [0, 2].contains(&header.stream)));
    assert!(records.iter().any(|(header, _)| header.kind == Kind::GAP));
}

#[test]
fn channels_are_cut_out_of_samples_and_description() {
    for form in ["", "| batch-frames -n 7"] {
        let line = format!(
            "sim-src sine:channels=5 -n 40 --rate max {form} | pick-frames -c ch4,1"
        );
        let run = pipe(&line).run();
        let stream = run.payloads::<Stream>().pop().unwrap();
        let labels: Vec<_> = stream.channels.iter().map(|c| c.label.as_str()).collect();
        assert_eq!((labels, stream.shape), (vec!["ch4", "ch2"], vec![2]));
        let whole =
            pipe("sim-src sine:channels=5 -n 40 --rate max | to-text -f csv").run();
        let cut = pipe(&format!("{line} | to-text -f csv")).run();
        for (whole, cut) in whole.text().lines().zip(cut.text().lines()).skip(1) {
            let whole: Vec<_> = whole.split(',').skip(5).collect();
            let cut: Vec<_> = cut.split(',').skip(5).collect();
            assert_eq!(cut, [whole[3], whole[1]]);
        }
    }
}

#[test]
fn a_channel_that_is_not_there_is_an_error() {
    let run = pipe("sim-src sine -n 3 --rate max | pick-frames -c CH9").run();
    assert_eq!(run.codes()[1], 2);
    run.expect_stderr(1, "sine has no channel CH9");
}

#[test]
fn every_nth_is_numbered_anew_and_nothing_counts_as_lost() {
    for form in ["", "| batch-frames -n 7"] {
        let line = format!("sim-src -n 1000 --rate max {form} | pick-frames --every 10");
        let (run, report) = inspect(&line);
        let stream = &report["sessions"][0]["streams"][0];
        assert!(run.codes().iter().all(|code| *code == 0), "{}", run.everything());
        assert_eq!(
            (stream["samples"].as_u64(), stream["lost"].as_u64()),
            (Some(100), Some(0))
        );
        assert_eq!(stream["nominal_rate"], 10.0);
        assert_eq!(stream["next_seq"], 100);
    }
}

#[test]
fn a_gap_is_thinned_with_its_stream() {
    let line = "sim-src -n 10000 --rate max --fault gap=20% | pick-frames --every 10";
    let (run, report) = inspect(line);
    let stream = &report["sessions"][0]["streams"][0];
    let (samples, lost) =
        (stream["samples"].as_u64().unwrap(), stream["lost"].as_u64().unwrap());
    assert_eq!(samples + lost, 1000, "{}", run.everything());
    let gaps = pipe(line).run().payloads::<Gap>();
    assert!(gaps.iter().all(|gap| gap.count > Some(0)), "{gaps:?}");
    assert!((100..300).contains(&lost), "{lost}");
}

#[test]
fn a_time_range_keeps_its_numbers_and_nothing_counts_as_lost() {
    for form in ["", "| batch-frames -n 7"] {
        let line = format!(
            "sim-src -n 1000 --rate max {form} | pick-frames --start 2s --end 5s"
        );
        let (run, report) = inspect(&line);
        assert!(run.codes().iter().all(|code| *code == 0), "{}", run.everything());
        let stream = &report["sessions"][0]["streams"][0];
        assert_eq!(
            (stream["samples"].as_u64(), stream["lost"].as_u64()),
            (Some(300), Some(0))
        );
        // 100 a second; the first comes a moment after the session's start, a longer one
        // if the machine is busy.
        let first = stream["first_seq"].as_u64().unwrap();
        assert!((100..=200).contains(&first), "{first}");
    }
}

#[test]
fn what_is_left_of_a_long_batch_is_sent_in_parts() {
    let line = "sim-src ephys:channels=128,block=10000 -n 10000 --rate max \
                | pick-frames -c 0-63";
    let run = pipe(line).run();
    let batches = run.expect(&[0, 0]).of_kind(&[Kind::BATCH]);
    assert!(batches.iter().all(|(_, payload)| payload.len() <= 1 << 20));
    assert_eq!((run.samples(), batches.len()), (10_000, 2));
}

#[test]
fn wall_clock_times_select_too() {
    let run =
        pipe("sim-src -n 10 --rate max | pick-frames --end 2001-01-01T00:00:00Z").run();
    assert_eq!(run.expect(&[0, 0]).samples(), 0);
    assert_eq!(run.payloads::<Stream>().len(), 1, "an empty stream is still a stream");
    let run =
        pipe("sim-src -n 10 --rate max | pick-frames --start 2001-01-01T00:00:00Z").run();
    assert_eq!(run.expect(&[0, 0]).samples(), 10);
}

#[test]
fn without_options_all_passes_as_it_was() {
    let run = pipe("sim-src glove -n 100 --rate max").run();
    let before = run.of_kind(&[Kind::DATA, Kind::STREAM]);
    let after = pipe("pick-frames").input(run.stdout).run();
    let strip = |records: Vec<(libframe::wire::Header, Vec<u8>)>| -> Vec<_> {
        let strip =
            |(header, payload)| (libframe::wire::Header { sent: 0, ..header }, payload);
        records.into_iter().map(strip).collect()
    };
    assert_eq!(strip(after.of_kind(&[Kind::DATA, Kind::STREAM])), strip(before));
}
