//! Outlets that end and come again, hang, or are killed.

use std::time::Duration;

use framepipe_tests::Lab;
use libframe::payload::{Reason, Value};
use libframe::schema::Stream;
use rustix::process::Signal;

use super::own::expect_same_in_xdf;
use super::rig::{
    Outlet, events, expect_same, gaps, labels, log, numbers, samples, stream,
};

#[test]
fn a_restart_whose_samples_fit_is_no_loss() {
    let Some(lab) = Lab::new() else { return };
    for id in ["", "--source-id s"] {
        let args = format!("{id} --follow --runs 3 -n 50 --log a.log");
        let mut capture = lab.pipe("lsl-src").start();
        capture.read_stdout();
        let _outlet = Outlet::new(&lab, &args);
        capture.until_samples(150).signal(0, Signal::TERM);
        let run = capture.wait();
        run.expect(&[0]).expect_stderr(0, "Test: lost: the outlet has closed");
        run.expect_stderr(0, "Test: recovered");
        expect_same(&run, "Test", &log(&lab, "a.log"), numbers("float32"));
        let (number, stream) = stream(&run, "Test");
        assert_eq!((number, stream.version), (1, 0));
        let told = ["connected", "lost", "recovered", "lost", "recovered"];
        let mut labels = labels(&run, number);
        labels.retain(|label| label != "clock-jump");
        assert_eq!(labels, told);
    }
}

#[test]
fn twenty_restarts_with_a_clock_that_jumps_and_not_a_sample_less() {
    let Some(lab) = Lab::new() else { return };
    let mut capture = lab.pipe("lsl-src").start();
    capture.read_stdout();
    let _outlet = Outlet::new(
        &lab,
        "--source-id s --runs 21 -n 40 --rate 400 --jump 30 --pause 0.05 --linger 0.3 \
         --log a.log",
    );
    capture.until_samples(21 * 40).signal(0, Signal::TERM);
    let run = capture.wait();
    run.expect(&[3]);
    expect_same(&run, "Test", &log(&lab, "a.log"), numbers("float32"));
    expect_same_in_xdf(&lab, &run.stdout, "a.log");
    let (number, _) = stream(&run, "Test");
    let gaps = gaps(&run);
    assert_eq!(gaps.len(), 20);
    for (n, gap) in (1..).zip(&gaps) {
        assert_eq!((gap.first, gap.count), (n * 40, None));
        assert_eq!(gap.reason, Reason::Transport);
    }
    let jumps: Vec<f64> = events(&run, number)
        .iter()
        .filter(|event| event.label == "clock-jump")
        .map(|event| match event.value {
            Value::Float(seconds) => seconds,
            _ => panic!("{event:?}"),
        })
        .collect();
    assert_eq!(jumps.len(), 20, "{jumps:?}");
    for (n, jump) in (1..).zip(&jumps) {
        // From run to run the times go by 30 s times its number, to and fro.
        let expected = 30.0 * f64::from(2 * n - 1) * f64::from(1 - 2 * (n % 2));
        assert!((jump - expected).abs() < 1.0, "{n}: {jump} is not {expected}");
    }
}

#[test]
fn another_number_of_channels_after_a_restart_is_a_new_version() {
    let Some(lab) = Lab::new() else { return };
    let mut capture = lab.pipe("lsl-src").start();
    capture.read_stdout();
    let _outlet = Outlet::new(
        &lab,
        "--source-id s --runs 2 -n 40 --follow --more-channels 3 --log a.log",
    );
    capture.until_samples(80).signal(0, Signal::TERM);
    let run = capture.wait();
    run.expect(&[0]);
    expect_same(&run, "Test", &log(&lab, "a.log"), numbers("float32"));
    let mut shapes: Vec<_> =
        run.payloads::<Stream>().into_iter().map(|s| (s.version, s.shape)).collect();
    shapes.dedup();
    assert_eq!(shapes, [(0, vec![2]), (1, vec![5])]);
}

#[test]
fn another_format_after_a_restart_is_a_new_stream() {
    let Some(lab) = Lab::new() else { return };
    let mut capture = lab.pipe("lsl-src").start();
    capture.read_stdout();
    Outlet::new(&lab, "--source-id s -n 40 --log a.log").finish();
    let _outlet =
        Outlet::new(&lab, "--source-id s -n 40 --format int16 --log b.log --linger 5");
    capture.until_samples(80).signal(0, Signal::TERM);
    let run = capture.wait();
    run.expect(&[0]);
    expect_same(&run, "Test", &log(&lab, "a.log"), numbers("float32"));
    expect_same(&run, "Test#2", &log(&lab, "b.log"), numbers("int16"));
}

#[test]
fn another_source_id_is_another_stream_even_if_the_first_is_gone() {
    let Some(lab) = Lab::new() else { return };
    let mut capture = lab.pipe("lsl-src").start();
    capture.read_stdout();
    Outlet::new(&lab, "--source-id a -n 40 --log a.log").finish();
    capture.until_stderr(0, "Test: lost");
    let _outlet = Outlet::new(&lab, "--source-id b -n 40 --log b.log --linger 5");
    capture.until_samples(80).signal(0, Signal::TERM);
    let run = capture.wait();
    run.expect(&[0]);
    expect_same(&run, "Test", &log(&lab, "a.log"), numbers("float32"));
    expect_same(&run, "Test#2", &log(&lab, "b.log"), numbers("float32"));
}

#[test]
fn a_killed_outlet_is_told_at_once_and_its_successor_goes_on() {
    let Some(lab) = Lab::new() else { return };
    let mut capture = lab.pipe("lsl-src").start();
    capture.read_stdout();
    let killed = Outlet::new(&lab, "-n 5000");
    capture.until_samples(50);
    killed.signal(Signal::KILL);
    capture.until_stderr(0, "Test: lost");
    let _next = Outlet::new(&lab, "-n 30 --linger 5 --format float32 --log b.log");
    capture.until_stderr(0, "Test: recovered").after(Duration::from_millis(500));
    capture.signal(0, Signal::TERM);
    let run = capture.wait();
    run.expect(&[3]);
    let (number, _) = stream(&run, "Test");
    let (all, sent) = (samples(&run, number), log(&lab, "b.log"));
    let gap = &gaps(&run)[0];
    assert_eq!((gaps(&run).len(), gap.count), (1, None));
    assert_eq!(gap.first as usize, all.len() - sent.len());
    assert_eq!(labels(&run, number), ["connected", "lost", "recovered"]);
}

#[test]
fn an_outlet_that_hangs_is_told_while_it_does() {
    let Some(lab) = Lab::new() else { return };
    let mut capture = lab.pipe("lsl-src --silence 1s").start();
    capture.read_stdout();
    let outlet = Outlet::new(&lab, "-n 400 --log a.log --linger 3");
    capture.until_samples(100);
    outlet.signal(Signal::STOP);
    capture.until_stderr(0, "Test: silent for 1.").until_stderr(0, "Test: lost: it does");
    outlet.signal(Signal::CONT);
    capture.until_stderr(0, "Test: awake").until_samples(400).signal(0, Signal::TERM);
    let run = capture.wait();
    // It only slept: nothing is missing of what it made.
    run.expect(&[0]);
    expect_same(&run, "Test", &log(&lab, "a.log"), numbers("float32"));
    let (number, _) = stream(&run, "Test");
    let told = ["connected", "silent", "lost", "recovered", "awake"];
    assert_eq!(labels(&run, number), told);
}

#[test]
fn an_outlet_that_hangs_until_the_end_may_have_had_more() {
    let Some(lab) = Lab::new() else { return };
    let mut capture = lab.pipe("lsl-src --silence 1s").start();
    capture.read_stdout();
    let outlet = Outlet::new(&lab, "-n 4000");
    capture.until_samples(100);
    outlet.signal(Signal::STOP);
    capture.until_stderr(0, "Test: lost: it does").signal(0, Signal::TERM);
    let run = capture.wait();
    run.expect(&[3]);
    assert_eq!(gaps(&run).len(), 1);
}

#[test]
fn what_an_outlet_could_not_keep_while_the_pipe_stood_still_is_a_gap() {
    let Some(lab) = Lab::new() else { return };
    let _outlet = Outlet::new(
        &lab,
        "--channels 4000 --format double64 --rate 500 -n 1500 --linger 9 --log a.log",
    );
    // Nobody reads: 16 MB/s are more than the pipe, the queue and the sockets hold.
    let mut capture = lab.pipe("lsl-src --buffer 100ms --queue 256KiB").start();
    capture.after(Duration::from_secs(6)).read_stdout();
    capture.after(Duration::from_secs(3)).signal(0, Signal::TERM);
    let run = capture.wait();
    run.expect(&[3]);
    let (number, _) = stream(&run, "Test");
    let (got, gaps) = (samples(&run, number), gaps(&run));
    assert!(got.len() < 1500, "nothing was lost");
    let first = &gaps[0];
    assert!(first.detail.contains("overran"), "{first:?}");
    // What came is whole: of each sample, each value is an eighth more than the one before.
    for (_, bytes) in &got {
        let values =
            bytes.as_chunks::<8>().0.iter().map(|word| f64::from_le_bytes(*word));
        let values: Vec<f64> = values.collect();
        let is_value = |(n, value): (usize, &f64)| *value == values[0] + n as f64 / 8.0;
        assert!(values.len() == 4000 && values.iter().enumerate().all(is_value));
    }
    // It is where the times jump.
    let at = got.windows(2).position(|two| two[1].0.time - two[0].0.time > 3_000_000);
    assert_eq!(at.map(|at| at as u64 + 1), Some(first.first), "{gaps:?}");
}
