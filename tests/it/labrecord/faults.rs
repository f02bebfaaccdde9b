//! What goes wrong while it records: streams, recorders, disks, and labrecord itself.

use std::time::Duration;

use framepipe_tests::pipe;
use rustix::process::Signal;

use super::rig::Rig;
use crate::full_disk::Small;

#[test]
fn a_stream_that_falls_silent_and_one_that_comes_late_are_told_while_it_runs() {
    let specs = ["EEG:EEG:2:100", "Glove:Pressure:4:50:0:3", "Late:EEG:2:100:7"];
    let Some(rig) = Rig::new(&specs) else { return };
    let mut started = rig.record("--require Glove").start();
    started.until_stderr(0, "labrecord: Glove (");
    started.until_stderr(0, "): no samples for ");
    started.until_stderr(0, "labrecord: Late (").until_stderr(0, "s after the start");
    assert!(started.is_running(0), "it goes on without them");
    started.after(Duration::from_millis(500)).signal(0, Signal::TERM);
    let run = started.wait();
    run.expect(&[0]);
    let told = run.stderrs[0].matches("no samples for").count();
    assert_eq!(told, 1, "once: {}", run.everything());
    let files = rig.files();
    assert_eq!(rig.read(&[&files[0]]).names(&files[0]), ["EEG", "Glove", "Late"]);
}

#[test]
fn a_stream_whose_source_dies_is_told_and_the_others_go_on() {
    let specs = ["EEG:EEG:2:100", "Glove:Pressure:4:50:0:3:gone"];
    let Some(rig) = Rig::new(&specs) else { return };
    let mut started = rig.record("--require Glove").start();
    started.until_stderr(0, "labrecord: Glove (");
    started.after(Duration::from_secs(1));
    assert!(started.is_running(0));
    started.signal(0, Signal::TERM);
    let run = started.wait();
    // Whether a source that is gone had more to send, nobody knows; lsl-src says which it is.
    assert!(matches!(run.codes()[0], 0 | 3), "{}", run.everything());
    let files = rig.files();
    let found = rig.read(&[&files[0]]);
    assert_eq!(found.stream(&files[0], "EEG")["steps"], serde_json::json!([1.0]));
    assert!(found.stream(&files[0], "Glove")["samples"].as_u64() > Some(20));
}

#[test]
fn when_a_recorder_is_killed_the_other_goes_on_and_both_files_are_readable() {
    let Some(rig) = Rig::new(&["EEG:EEG:2:100"]) else { return };
    for (killed, left, run) in
        [("to-h5", "to-xdf", "run-001"), ("to-xdf", "to-h5", "run-002")]
    {
        let mut started = rig.record("--xdf --h5").start();
        rig.until_recording(run);
        started.after(Duration::from_secs(3));
        rig.kill(killed);
        let told = format!("labrecord: {killed} ended too early, killed by SIGKILL");
        started.until_stderr(0, &told).until_stderr(0, &format!("{left} goes on"));
        started.after(Duration::from_secs(2));
        assert!(started.is_running(0), "{left} goes on");
        started.signal(0, Signal::TERM);
        started.wait().expect(&[1]);
        let [h5, xdf] = ["h5", "xdf"].map(|end| {
            let all = rig.files();
            let is = |file: &&String| file.contains(run) && file.ends_with(end);
            all.iter().find(is).unwrap().clone()
        });
        if killed == "to-h5" {
            let path = rig.folder.file(&h5);
            pipe(&format!("repair-frames {path}")).run().expect(&[0]);
        }
        let found = rig.read(&[&h5, &xdf]);
        let [h5, xdf] = [&h5, &xdf].map(|file| {
            let stream = found.stream(file, "EEG");
            assert_eq!(stream["steps"], serde_json::json!([1.0]));
            stream["samples"].as_u64().unwrap()
        });
        let (short, long) = if killed == "to-h5" { (h5, xdf) } else { (xdf, h5) };
        assert!(short > 100 && long > short + 100, "{killed}: {short} {long}");
    }
    rig.expect_nobody_left();
}

#[test]
fn when_no_recorder_is_left_the_recording_ends() {
    let Some(rig) = Rig::new(&["EEG:EEG:2:100"]) else { return };
    let mut started = rig.record("").start();
    rig.until_recording("run-001");
    started.after(Duration::from_secs(1));
    rig.kill("to-xdf");
    let run = started.wait();
    run.expect(&[1]).expect_stderr(0, "no recorder is left; the recording ends");
    rig.expect_nobody_left();
}

#[test]
fn a_full_disk_is_told_and_fails() {
    let Some(rig) = Rig::new(&["EEG:EEG:128:1000"]) else { return };
    let Some(_small) = Small::mount(&rig.folder, 7) else { return };
    let run = rig.record("--template a.xdf").run();
    run.expect(&[1]).expect_stderr(0, "labrecord: to-xdf ended too early");
    run.expect_stderr(0, "no space left");
    assert!(rig.read(&["a.xdf"]).stream("a.xdf", "EEG")["samples"].as_u64() > Some(100));
}

#[test]
fn when_we_are_killed_nothing_runs_on_and_what_came_is_there() {
    let Some(rig) = Rig::new(&["EEG:EEG:2:100"]) else { return };
    let mut started = rig.record("--xdf --h5").start();
    rig.until_recording("run-001");
    started.after(Duration::from_secs(2)).signal(0, Signal::KILL);
    started.wait().expect(&[-9]);
    rig.expect_nobody_left();
    let files = rig.files();
    let found = rig.read(&[&files[0], &files[1]]);
    for file in &files {
        assert!(found.stream(file, "EEG")["samples"].as_u64() > Some(100), "{file}");
    }
}

#[test]
fn the_second_signal_is_the_end_and_nothing_runs_on() {
    let Some(rig) = Rig::new(&["EEG:EEG:2:100"]) else { return };
    // A branch that reads nothing: without a second signal that would take its time.
    let mut started = rig.record("--may 'sleep 30'").start();
    rig.until_recording("run-001");
    started.after(Duration::from_secs(1)).signal(0, Signal::TERM);
    started.after(Duration::from_millis(200)).signal(0, Signal::TERM);
    started.wait().expect(&[-Signal::TERM.as_raw()]);
    rig.expect_nobody_left();
    let files = rig.files();
    assert!(
        rig.read(&[&files[0]]).stream(&files[0], "EEG")["samples"].as_u64() > Some(50)
    );
}

#[test]
fn a_recording_without_any_stream_is_none_and_fails() {
    let Some(rig) = Rig::new(&["EEG:EEG:2:100:8"]) else { return };
    let run = rig.record("--wait 1s --h5").run();
    run.expect(&[1])
        .expect_stderr(0, "nothing was recorded: no stream was there within 1.0 s");
    assert_eq!(rig.files(), Vec::<String>::new());
    // One that was called off before is no failure.
    let mut started = rig.record("--require Nobody").start();
    started.until_ready(0).after(Duration::from_secs(1)).signal(0, Signal::TERM);
    started.wait().expect(&[0]);
    assert_eq!(rig.files(), Vec::<String>::new());
    rig.expect_nobody_left();
}

#[test]
fn tools_that_are_not_there_are_named() {
    let folder = framepipe_tests::Scratch::new();
    let alone = folder.file("labrecord");
    std::fs::copy(framepipe_tests::binary("labrecord"), &alone).unwrap();
    let run = pipe(&format!("{alone} --h5")).env("PATH", "/usr/bin:/bin").run();
    run.expect(&[2])
        .expect_stderr(0, "nor on PATH: lsl-src, fan-out, to-h5; scripts/install");
}
