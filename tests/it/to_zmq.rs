//! `to-zmq`: what a subscriber of libzmq receives, early, late and slowly.

use std::time::Duration;

use framepipe_tests::{Scratch, Started, pipe};
use rustix::process::Signal;
use serde_json::Value;

use crate::zmtp::Peer;

const ANYWHERE: &str = "to-zmq tcp://127.0.0.1:* -v";

/// Where the last stage publishes.
fn place(started: &mut Started, stage: usize) -> String {
    started.until_stderr(stage, "publishing at ").until_stderr(stage, "\n");
    let told = String::from_utf8(started.stderr_so_far(stage)).unwrap();
    let rest = told.split("publishing at ").nth(1).unwrap();
    rest.lines().next().unwrap().to_owned()
}

/// A subscriber of libzmq that is there; `None`, loudly, without it.
fn receiver(line: &str) -> Option<Peer> {
    let mut receiver = Peer::python("zmq_records.py", line)?;
    receiver.until("ready");
    Some(receiver)
}

fn said(receiver: &mut Peer) -> Value {
    serde_json::from_str(&format!("{{{}", receiver.until("{"))).unwrap()
}

#[test]
fn a_subscriber_that_is_waited_for_gets_every_record_from_session_to_end() {
    let folder = Scratch::new();
    for to_zmq in [ANYWHERE, &format!("to-zmq ipc://{} -v", folder.file("socket"))] {
        let line = format!(
            "sim-src glove control -n 3000 --rate max | batch-frames -n 7 \
             | {to_zmq} --wait-subscribers 1"
        );
        let mut started = pipe(&line).start();
        let (place, out) = (place(&mut started, 2), folder.file("out.frames"));
        let Some(mut receiver) = receiver(&format!("{place} {out}")) else { return };
        started.wait().expect(&[0, 0, 0]);
        let said = said(&mut receiver);
        assert_eq!(said["samples"]["glove"], 3000, "{said}");
        assert_eq!((&said["missing"], &said["end"]), (&0.into(), &"count".into()));
        assert_eq!(
            said["stages"],
            serde_json::json!(["sim-src", "batch-frames", "to-zmq"])
        );
        // What came is a stream like any other.
        let run = pipe("inspect-frames -f json").input(std::fs::read(out).unwrap()).run();
        let session = &run.expect(&[0]).json()["sessions"][0];
        assert_eq!(session["streams"][1]["samples"], 3000);
    }
}

#[test]
fn a_late_subscriber_hears_of_session_and_streams_before_its_first_sample() {
    let mut started =
        pipe(&format!("sim-src glove control --rate 500 --duration 4s | {ANYWHERE}"))
            .start();
    let place = place(&mut started, 1);
    started.after(Duration::from_millis(1500));
    let Some(mut receiver) = receiver(&place) else { return };
    let said = said(&mut receiver);
    started.wait().expect(&[0, 0]);
    assert_eq!(said["first"], serde_json::json!([1, 2, 2]), "{said}");
    assert_eq!((&said["missing"], &said["end"]), (&0.into(), &"duration".into()));
    let samples = said["samples"]["glove"].as_u64().unwrap();
    assert!((100..1500).contains(&samples), "{said}");
}

#[test]
fn a_subscriber_that_comes_while_nothing_does_is_told_soon() {
    let recording = pipe("sim-src -n 5 --rate max").run().stdout;
    let end = recording.windows(5).rposition(|bytes| bytes == b"\xD5FP1\x09").unwrap();
    let mut started = pipe(ANYWHERE).input_left_open(&recording[..end]).start();
    let place = place(&mut started, 0);
    started.until_fed();
    let Some(mut one) = receiver(&format!("{place} records=2")) else { return };
    assert_eq!(said(&mut one)["first"], serde_json::json!([1, 2]));
    // Once more, since a recording repeats nothing: STATS, SESSION and STREAM each second.
    let mut two = receiver(&format!("{place} records=12")).unwrap();
    assert_eq!(said(&mut two)["kinds"], 12);
    started.close_stdin();
    started.wait().expect(&[3]).expect_stderr(0, "broke off");
}

#[test]
fn an_input_that_broke_off_is_not_ended_for_subscribers_either() {
    let recording = pipe("sim-src -n 50 --rate max").run().stdout;
    let end = recording.windows(5).rposition(|bytes| bytes == b"\xD5FP1\x09").unwrap();
    let line = format!("{ANYWHERE} --wait-subscribers 1");
    let mut started = pipe(&line).input(&recording[..end]).start();
    let place = place(&mut started, 0);
    let folder = Scratch::new();
    let out = folder.file("out.frames");
    let line = format!("{place} {out} records=56");
    let Some(mut receiver) = receiver(&line) else { return };
    started.wait().expect(&[3]);
    assert_eq!(said(&mut receiver)["end"], Value::Null);
    let run = pipe("inspect-frames").input(std::fs::read(out).unwrap()).run();
    run.expect(&[3]).expect_stderr(0, "to-zmq broke off");
}

#[test]
fn a_slow_subscriber_loses_records_which_is_told_and_another_does_not() {
    // 120 MB, more than the buffers of two kernels hold.
    let line = format!(
        "sim-src camera:size=640x480,format=gray -n 400 --rate 100 | {ANYWHERE} --high 32MiB \
         --wait-subscribers 2 --linger 30s"
    );
    let mut started = pipe(&line).start();
    let place = place(&mut started, 1);
    let Some(mut quick) = receiver(&format!("{place} check=no")) else { return };
    let mut slow = receiver(&format!("{place} pause=4 hwm=1 check=no")).unwrap();
    let (quick, slow) = (said(&mut quick), said(&mut slow));
    let run = started.wait();
    run.expect(&[0, 3])
        .expect_stderr(1, "records were dropped for subscribers that were");
    let got = |said: &Value| {
        let (samples, missing) = (&said["samples"]["camera"], &said["missing"]);
        (samples.as_u64().unwrap(), missing.as_u64().unwrap())
    };
    assert_eq!(got(&quick), (400, 0), "{quick}");
    assert!(got(&slow).0 < 400, "{slow}");
}

#[test]
fn a_subscriber_that_never_reads_is_not_waited_for_longer_than_linger() {
    let line = format!(
        "sim-src camera:size=640x480,format=gray -n 400 --rate max | {ANYWHERE} --high 1GiB \
         --wait-subscribers 1 --linger 300ms"
    );
    let mut started = pipe(&line).start();
    let place = place(&mut started, 1);
    let Some(_deaf) = receiver(&format!("{place} pause=60 hwm=1")) else { return };
    started
        .wait()
        .expect(&[0, 3])
        .expect_stderr(1, "by 1 of the subscribers within --linger");
}

#[test]
fn hwm_is_a_limit_in_records() {
    let line = format!(
        "sim-src camera:size=640x480,format=gray -n 400 --rate max | {ANYWHERE} --high 1GiB --hwm 10 \
         --wait-subscribers 1 --linger 0s"
    );
    let mut started = pipe(&line).start();
    let place = place(&mut started, 1);
    let Some(_deaf) = receiver(&format!("{place} pause=60 hwm=1")) else { return };
    let run = started.wait();
    run.expect(&[0, 3]).expect_stderr(1, "records were dropped");
    // Of those that wait, there are no more than the mark.
    let told = run.everything();
    let unread = told.lines().find(|line| line.contains("within --linger")).unwrap();
    let n: u64 = unread.split(' ').find_map(|word| word.parse().ok()).unwrap();
    assert!((1..=10).contains(&n), "{unread}");
}

#[test]
fn a_signal_ends_the_wait_for_subscribers() {
    let line = format!("sim-src --rate 100 | {ANYWHERE} --wait-subscribers 1");
    let mut started = pipe(&line).start();
    place(&mut started, 1);
    started.until_ready(0).until_ready(1).signal_all(Signal::TERM);
    started.wait().expect(&[0, 0]);
}

#[test]
fn places_that_are_taken_or_no_endpoints_are_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let line = format!("to-zmq tcp://127.0.0.1:{port}");
    let run = pipe(&line).input("").run();
    run.expect(&[1]).expect_stderr(0, "in use");
    for (endpoint, why) in [
        ("5557", "endpoints are tcp://HOST:PORT and ipc://PATH"),
        ("tcp://127.0.0.1", "a port is missing"),
    ] {
        let run = pipe(&format!("to-zmq {endpoint}")).input("").run();
        run.expect(&[2]).expect_stderr(0, why);
    }
    let plan = pipe(&format!("{line} --plan")).run();
    assert!(plan.text().contains("in use"), "{}", plan.everything());
}
