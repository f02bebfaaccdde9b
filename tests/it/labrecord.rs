//! `labrecord` with real outlets, and its files in pyxdf and h5py.

mod examples;
mod faults;
mod names;
mod remote;
mod rig;

use std::time::Duration;

use rustix::process::Signal;

use rig::Rig;

#[test]
fn two_streams_and_markers_are_in_both_forms() {
    let specs = ["EEG:EEG:8:100", "Glove:Pressure:4:50", "Marks:Markers:1:0"];
    let Some(rig) = Rig::new(&specs) else { return };
    let run = rig.record("--xdf --h5 --require EEG --duration 3s --task rest").run();
    run.expect(&[0]).expect_silence();
    let name = "sub-P001/ses-S001/eeg/sub-P001_ses-S001_task-rest_run-001_eeg";
    let [xdf, h5] = ["xdf", "h5"].map(|end| format!("{name}.{end}"));
    assert_eq!(rig.files(), [h5.clone(), xdf.clone()]);
    let found = rig.read(&[&xdf, &h5]);
    for (stream, rate) in [("EEG", 100.0), ("Glove", 50.0)] {
        let [in_xdf, in_h5] = [&xdf, &h5].map(|file| found.stream(file, stream));
        let samples = in_xdf["samples"].as_f64().unwrap();
        assert!(samples > 2.0 * rate && samples < 5.0 * rate, "{stream}: {samples}");
        for key in ["samples", "first", "steps"] {
            assert_eq!(in_xdf[key], in_h5[key], "{stream}: {key}");
        }
        assert_eq!(in_xdf["steps"], serde_json::json!([1.0]), "{stream}");
    }
    let marks = found.stream(&xdf, "Marks")["samples"].as_u64().unwrap();
    assert!((3..=12).contains(&marks), "{marks}");
}

#[test]
fn only_what_was_asked_for_is_recorded() {
    let Some(rig) = Rig::new(&["EEG:EEG:2:100", "Glove:Pressure:4:50"]) else { return };
    let run = rig.record("type='EEG' --template classic --duration 2s").run();
    run.expect(&[0]).expect_silence();
    assert_eq!(rig.files(), ["exp001/block_Default.xdf"]);
    let found = rig.read(&["exp001/block_Default.xdf"]);
    assert_eq!(found.names("exp001/block_Default.xdf"), ["EEG"]);
}

#[test]
fn a_signal_ends_a_recording_that_is_whole() {
    let Some(rig) = Rig::new(&["EEG:EEG:2:100"]) else { return };
    for (signal, run) in [(Signal::INT, "run-001"), (Signal::TERM, "run-002")] {
        let mut started = rig.record("-v --xdf --h5").start();
        rig.until_recording(run);
        started.after(Duration::from_millis(1500)).signal(0, signal);
        let ended = started.wait();
        ended.expect(&[0]).expect_stderr(0, "1 streams, ");
        ended.expect_stderr(0, " samples, 0 lost");
        let files: Vec<_> = rig.files().into_iter().filter(|f| f.contains(run)).collect();
        assert_eq!(files.len(), 2, "no journal is left: {files:?}");
        let found = rig.read(&[&files[0], &files[1]]);
        let [h5, xdf] = [&files[0], &files[1]].map(|file| found.stream(file, "EEG"));
        assert!(xdf["samples"].as_u64() > Some(100), "{xdf}");
        assert_eq!(xdf["samples"], h5["samples"]);
    }
    rig.expect_nobody_left();
}

#[test]
fn who_is_missing_is_told_before_any_file_is_made() {
    let Some(rig) = Rig::new(&["EEG:EEG:2:100"]) else { return };
    let options = "--require EEG --require 'Glove (rig)' --wait 2s --h5";
    let run = rig.record(options).run();
    run.expect(&[1]).expect_stderr(0, "Glove (rig)").expect_stderr(0, "EEG");
    assert_eq!(rig.files(), Vec::<String>::new());
    let run = rig.record(&format!("{options} --check")).run();
    run.expect(&[1]).expect_stderr(0, "missing: Glove (rig)");
    let text = run.text();
    assert!(
        text.contains("found\tEEG (") && text.contains("missing\tGlove (rig)"),
        "{text}"
    );
    assert_eq!(rig.files(), Vec::<String>::new());
    let run = rig.record("--require EEG --check --xdf --h5").run();
    run.expect(&[0]).expect_silence();
    assert_eq!(run.text().lines().filter(|line| line.starts_with("file\t")).count(), 2);
}

#[test]
fn a_stream_that_is_required_is_waited_for() {
    let Some(rig) = Rig::new(&["EEG:EEG:2:100", "Glove:Pressure:4:50:4"]) else { return };
    let run = rig.record("--require Glove --require EEG --duration 2s").run();
    run.expect(&[0]).expect_silence();
    let files = rig.files();
    assert_eq!(rig.read(&[&files[0]]).names(&files[0]), ["EEG", "Glove"]);
}

#[test]
fn status_lines_tell_how_much_has_come() {
    let Some(rig) = Rig::new(&["EEG:EEG:2:100"]) else { return };
    let line = "--duration 2s --status 500ms --status-format json";
    let run = rig.record(line).run();
    run.expect(&[0]);
    let last = run.stderrs[0].lines().last().unwrap();
    let status: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(status["name"], "labrecord");
    assert!(status["out"]["samples"].as_u64() > Some(20), "{status}");
}
