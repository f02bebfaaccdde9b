//! Where clips go: a file for each, or a command.

use std::fs;
use std::time::Duration;

use framepipe_tests::{Scratch, pipe};
use libframe::clock::SECOND;
use libframe::wire::Kind;
use rustix::process::Signal;

use super::MS;
use super::tape::{Tape, clips};
use crate::to_h5::h5py;

#[track_caller]
fn until(holds: impl Fn() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("never came to be");
}

#[test]
fn each_clip_is_a_file_that_h5py_reads_with_exactly_its_rows() {
    let folder = Scratch::new();
    let tape = Tape::new().stream(60.0, 1, 0..6 * SECOND).stream(217.0, 5, 0..6 * SECOND);
    let tape = tape.event(SECOND, "hit").event(3 * SECOND, "hit");
    let line = format!("clip-frames --on hit | to-h5 {}", folder.file("clip_%03c.h5"));
    pipe(&line).input(tape.bytes()).run().expect(&[0, 0]).expect_silence();
    assert_eq!(folder.names(), ["clip_001.h5", "clip_002.h5"]);
    for (name, at) in [("clip_001.h5", SECOND), ("clip_002.h5", 3 * SECOND)] {
        let Some(tree) = h5py("tree", &folder.file(name)) else { return };
        assert_eq!(tree["/"]["attrs"]["complete"], 1);
        for stream in [1, 2] {
            let wanted = tape.within(stream, at - 500 * MS..at + 500 * MS);
            let rows = &tree[format!("streams/s{stream}/seq")]["value"];
            assert_eq!(*rows, serde_json::json!(wanted), "{name}");
            let shape = &tree[format!("streams/s{stream}/data")]["shape"];
            assert_eq!(*shape, serde_json::json!([wanted.len(), 2]));
        }
        assert!(tree["session"]["attrs"]["json"].as_str().unwrap().contains("clip_time"));
    }
}

#[test]
fn a_clip_whose_recorder_is_killed_while_it_is_open_can_be_repaired() {
    let folder = Scratch::new();
    let tape = Tape::new().stream(60.0, 1, 0..1300 * MS).event(SECOND, "hit");
    let file = folder.file("clip_%03c.h5");
    let line = format!("clip-frames --on hit --deadline 1h | to-h5 {file} --flush 50ms");
    let mut started = pipe(&line).input_left_open(tape.open()).start();
    // What was recorded shows in the file as it grows.
    let (first, journal) =
        (folder.file("clip_001.h5"), folder.file("clip_001.h5.journal"));
    until(|| fs::metadata(&journal).is_ok_and(|found| found.is_dir()));
    started.after(Duration::from_millis(500)).signal(1, Signal::KILL).close_stdin();
    started.wait();
    pipe(&format!("repair-frames {first}")).run().expect(&[0]);
    let Some(tree) = h5py("tree", &first) else { return };
    let wanted = tape.within(1, 500 * MS..1300 * MS);
    assert_eq!(tree["streams/s1/seq"]["value"], serde_json::json!(wanted));
    assert_eq!(tree["sensor_data"]["shape"], serde_json::json!([wanted.len(), 2]));
}

#[test]
fn that_nothing_triggered_is_no_failure_of_anyone() {
    let folder = Scratch::new();
    let tape = Tape::new().stream(60.0, 1, 0..SECOND).event(MS, "other");
    let line = format!("clip-frames --on hit | to-h5 {}", folder.file("%03c.h5"));
    pipe(&line).input(tape.bytes()).run().expect(&[0, 0]).expect_silence();
    assert!(folder.names().is_empty());
    let run = pipe("clip-frames --on hit | to-text").input(tape.bytes()).run();
    run.expect(&[0, 0]).expect_silence();
    // But if the stage before failed, all know it.
    let run = pipe(&line).input(tape.open()).run();
    run.expect(&[3, 3]).expect_stderr(1, "broke off");
    let marker = folder.file("ran");
    let line = format!("clip-frames --on hit --exec 'touch {marker}'");
    pipe(&line).input(tape.bytes()).run().expect(&[0]).expect_silence();
    assert!(folder.names().is_empty());
}

#[test]
fn the_file_of_a_clip_is_complete_when_the_clip_is() {
    let folder = Scratch::new();
    let tape = Tape::new().stream(60.0, 1, 0..4 * SECOND).event(SECOND, "hit");
    let line = format!("clip-frames --on hit | to-h5 {}", folder.file("%03c.h5"));
    let mut started = pipe(&line).input_left_open(tape.open()).start();
    // Its journal is gone while the input goes on.
    until(|| folder.names() == ["001.h5"]);
    assert!(started.is_running(1));
    started.close_stdin();
    started.wait().expect(&[3, 0]);
}

#[test]
fn a_session_that_is_no_clip_has_no_number_for_its_file() {
    let folder = Scratch::new();
    let file = folder.file("a_%c.h5");
    let run = pipe(&format!("sim-src -n 5 --rate max | to-h5 {file}")).run();
    assert_eq!(run.codes()[1], 2);
    run.expect_stderr(1, "a_%c.h5: this session is no clip, and %c is the number of one");
    assert!(folder.names().is_empty(), "{:?}", folder.names());
}

#[test]
fn clips_come_faster_than_their_files_are_completed() {
    let folder = Scratch::new();
    let file = folder.file("%Y/clip_%c.h5");
    let line = format!(
        "sim-src glove --rate max -n 43400 --event hit/2s \
         | clip-frames --on hit --pre 100ms --post 100ms | to-h5 {file}"
    );
    pipe(&line).run().expect(&[0, 0, 0]).expect_silence();
    let year = fs::read_dir(&folder.0).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::read_dir(year).unwrap().count(), 99);
}

#[test]
fn a_command_gets_each_clip_and_knows_which_it_is() {
    let folder = Scratch::new();
    let tape = Tape::new().stream(60.0, 1, 0..6 * SECOND);
    let tape = tape.event(SECOND, "hit").event(3 * SECOND, "hit");
    let command = format!(
        "cat > {}; echo $FRAMEPIPE_CLIP $FRAMEPIPE_CLIP_TRIGGER $FRAMEPIPE_CLIP_TIME",
        folder.file("clip-$FRAMEPIPE_CLIP.frames")
    );
    let line = format!("clip-frames --on hit --exec '{command}'");
    let run = pipe(&line).input(tape.bytes()).run();
    run.expect(&[0]).expect_silence();
    let mut said: Vec<_> = run.text().lines().collect();
    said.sort();
    let [first, second] = [SECOND, 3 * SECOND].map(|after| tape.start + after);
    assert_eq!(said, [format!("1 hit {first}"), format!("2 hit {second}")]);
    let mut both = Vec::new();
    for name in ["clip-1.frames", "clip-2.frames"] {
        let file = folder.file(name);
        pipe("inspect-frames").input_file(&file).run().expect(&[0]).expect_silence();
        both.extend(fs::read(file).unwrap());
    }
    let found = clips(&pipe("pick-frames").input(both).run());
    for (clip, at) in found.iter().zip([SECOND, 3 * SECOND]) {
        assert_eq!(clip.of(1), tape.within(1, at - 500 * MS..at + 500 * MS));
        assert!(clip.kinds.contains(&Kind::CLOCK));
    }
}

#[test]
fn a_command_that_fails_is_named_and_the_others_go_on() {
    let tape = Tape::new().stream(60.0, 1, 0..6 * SECOND);
    let tape = tape.event(SECOND, "hit").event(3 * SECOND, "hit");
    // One fails, and leaves without having read its clip.
    let line = "clip-frames --on hit --exec 'test $FRAMEPIPE_CLIP = 2 && wc -c'";
    let run = pipe(line).input(tape.bytes()).run();
    run.expect(&[3]).expect_stderr(0, "clip 1: test $FRAMEPIPE_CLIP = 2 && wc -c: exit");
    assert!(!run.stderrs[0].contains("clip 2"), "{}", run.everything());
    assert!(run.text().trim().parse::<u64>().unwrap() > 3000);
    let run =
        pipe("clip-frames --on hit --exec 'kill -KILL $$'").input(tape.bytes()).run();
    run.expect(&[3]).expect_stderr(0, "signal: 9");
}

#[test]
fn a_command_that_does_not_read_is_not_waited_for() {
    // 115 kB a picture: more than its queue and its pipe hold.
    let line = "sim-src camera:format=gray,size=480x240,rate=60 --event hit@3s -n 240 \
                --rate max | clip-frames --on hit --exec 'sleep 1000'";
    let run = pipe(line).run();
    run.expect(&[0, 3])
        .expect_stderr(1, "clip 1: sleep 1000: read nothing for 10 s; killed");
}
