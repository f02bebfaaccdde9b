//! Consumers that come, go, are slow, or take nothing.

use std::time::Duration;

use framepipe_tests::{Event, Lab, decode};
use libframe::wire::Kind;
use rustix::process::Signal;
use serde_json::Value;

use super::{Receiver, count, started};

/// The capture times in a file of records, in seconds.
fn captured(path: &str) -> Vec<f64> {
    let events = decode(&std::fs::read(path).unwrap());
    let time = |event: &Event| match event {
        Event::Record(header, _) if header.kind == Kind::DATA => {
            Some(header.time as f64 / 1e9)
        }
        _ => None,
    };
    events.iter().filter_map(time).collect()
}

/// Whether a stream that `sim-src` makes as fast as it can has all its samples: its times are
/// even.
fn has_no_hole(times: &Value, rate: f64) -> bool {
    let times: Vec<f64> =
        times.as_array().unwrap().iter().map(|time| time.as_f64().unwrap()).collect();
    times.windows(2).all(|pair| (pair[1] - pair[0] - 1.0 / rate).abs() < 0.5 / rate)
}

#[test]
fn a_burst_before_the_exit_reaches_three_consumers_whole() {
    let Some(lab) = Lab::new() else { return };
    // In batches, as otherwise the source is hardly faster than consumers.
    let line =
        "sim-src sine:channels=161,rate=200 -n 20200 --rate max | batch-frames -n 400";
    let bytes = lab.pipe(line).run().expect(&[0, 0]).stdout.clone();
    let mut sender = lab.pipe("to-lsl -v --wait-consumers 3").input(bytes).start();
    sender.until_stderr(0, "sine: type ");
    // One that wants no recovery cannot pull any more once the outlet is gone.
    let words = ["sine values=no", "sine values=no", "sine values=no recover=no"];
    let mut receivers = words.map(|words| Receiver::start(&lab, words));
    receivers.iter_mut().for_each(Receiver::until_ready);
    for receiver in receivers {
        let said = receiver.said();
        assert_eq!(count(&said, "sine"), 20_200);
        assert!(has_no_hole(&said["sine"]["times"], 200.0));
    }
    sender.wait().expect(&[0]);
}

#[test]
fn a_replay_as_fast_as_can_be_loses_nothing() {
    let Some(lab) = Lab::new() else { return };
    let folder = lab.folder().file("a.frames");
    let line =
        "sim-src sine:channels=64,rate=1000 -n 100000 --rate max | batch-frames -n 50";
    std::fs::write(&folder, &lab.pipe(line).run().expect(&[0, 0]).stdout).unwrap();
    let line = format!(
        "replay {folder} --speed max --restamp | to-lsl -v --wait-consumers 1 --queue 1MiB"
    );
    let sender = started(&lab, &line, 1, "sine");
    let said = Receiver::ready(&lab, "sine values=no").said();
    sender.wait().expect(&[0, 0]);
    assert_eq!(count(&said, "sine"), 100_000);
    assert!(has_no_hole(&said["sine"]["times"], 1000.0));
}

#[test]
fn a_latecomer_gets_all_from_when_it_came() {
    let Some(lab) = Lab::new() else { return };
    let kept = lab.folder().file("kept.frames");
    let line =
        format!("sim-src sine:channels=8,rate=1000 -n 5000 | tee {kept} | to-lsl -v");
    let mut sender = started(&lab, &line, 2, "sine");
    sender.after(Duration::from_secs(1));
    let said = Receiver::ready(&lab, "sine").said();
    let run = sender.wait();
    run.expect(&[0, 0, 0]);
    let all = captured(&kept);
    let times = said["sine"]["times"].as_array().unwrap();
    assert!((500..4500).contains(&times.len()), "{}", times.len());
    let tail = &all[all.len() - times.len()..];
    let off = |(came, taken): (&Value, &f64)| (came.as_f64().unwrap() - taken).abs();
    assert!(times.iter().zip(tail).map(off).all(|off| off < 1e-6));
    assert!(!run.stderrs[2].contains("overwritten"), "{}", run.everything());
}

#[test]
fn one_that_is_killed_is_told_and_hurts_nobody() {
    let Some(lab) = Lab::new() else { return };
    let line = "sim-src sine:channels=8,rate=1000 -n 4000 | to-lsl -v --wait-consumers 2";
    let mut sender = started(&lab, line, 1, "sine");
    let mut receivers = ["sine", "sine"].map(|words| Receiver::start(&lab, words));
    receivers.iter_mut().for_each(Receiver::until_ready);
    let [killed, other] = receivers;
    sender.after(Duration::from_secs(1));
    killed.signal(Signal::KILL);
    sender.until_stderr(1, "has gone");
    let said = other.said();
    sender.wait().expect(&[0, 0]);
    assert_eq!(count(&said, "sine"), 4000);
}

#[test]
fn one_that_takes_nothing_holds_up_nobody_for_long_and_its_loss_is_told() {
    let Some(lab) = Lab::new() else { return };
    // 52 MB, more than the kernel and the queue hold.
    let line = "sim-src sine:channels=256,rate=1000 -n 50000 --rate max \
                | to-lsl -v --wait-consumers 2 --queue 4MiB --patience 300ms --linger 500ms";
    let sender = started(&lab, line, 1, "sine");
    let mut stopped = Receiver::start(&lab, "sine values=no");
    let mut other = Receiver::start(&lab, "sine values=no");
    stopped.until_ready();
    stopped.signal(Signal::STOP);
    other.until_ready();
    let said = other.said();
    assert_eq!(count(&said, "sine"), 50_000);
    let run = sender.wait();
    run.expect(&[0, 3]).expect_stderr(1, "were not taken by 1 of the consumers");
}

#[test]
fn one_that_stops_and_goes_on_learns_by_the_sender_what_it_lost() {
    let Some(lab) = Lab::new() else { return };
    let line = "sim-src sine:channels=256,rate=10000 -n 50000 \
                | to-lsl -v --wait-consumers 1 --queue 1MiB --patience 300ms --linger 10s";
    let mut sender = started(&lab, line, 1, "sine");
    let receiver = Receiver::ready(&lab, "sine values=no seconds=6");
    sender.after(Duration::from_millis(300));
    receiver.signal(Signal::STOP);
    sender.until_stderr(1, "is not waited for").after(Duration::from_secs(2));
    receiver.signal(Signal::CONT);
    let got = count(&receiver.said(), "sine");
    let run = sender.wait();
    run.expect(&[0, 3])
        .expect_stderr(1, "samples were overwritten before a consumer took");
    let told = run.stderrs[1].lines().find(|line| line.contains("--queue")).unwrap();
    let lost: u64 = told.split(' ').find_map(|word| word.parse().ok()).unwrap();
    assert_eq!(got + lost, 50_000, "{told}");
}

#[test]
fn with_drop_oldest_nobody_is_waited_for_and_the_loss_is_told() {
    let Some(lab) = Lab::new() else { return };
    let line = "sim-src sine:channels=256,rate=1000 -n 60000 --rate max \
                | to-lsl -v --wait-consumers 1 --queue 1MiB --overflow drop-oldest --linger 10s";
    let sender = started(&lab, line, 1, "sine");
    let receiver = Receiver::ready(&lab, "sine values=no");
    let got = count(&receiver.said(), "sine");
    let run = sender.wait();
    let told = run.stderrs[1].lines().find(|line| line.contains("--queue lets"));
    let lost = told.map_or(0, |told| {
        told.split(' ').find_map(|word| word.parse().ok()).unwrap_or(0)
    });
    assert_eq!(got + lost, 60_000, "{}", run.everything());
}

#[test]
fn a_signal_and_a_limit_end_the_wait_for_consumers() {
    let Some(lab) = Lab::new() else { return };
    let line = "sim-src sine --rate 100 | to-lsl -v --wait-consumers 1";
    let mut sender = started(&lab, line, 1, "sine");
    sender.until_stderr(1, "waiting for 1").until_ready(0).until_ready(1);
    sender.signal_all(Signal::TERM);
    sender.wait().expect(&[0, 0]);
    let line =
        "sim-src sine -n 10 --rate max | to-lsl --wait-consumers 1 --wait-limit 200ms";
    lab.pipe(line).run().expect(&[0, 0]).expect_silence();
}
