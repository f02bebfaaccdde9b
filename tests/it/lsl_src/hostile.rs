//! Outlets that mean no good, or know no better.

use std::time::Duration;

use framepipe_tests::Lab;
use rustix::process::Signal;

use super::rig::{Outlet, expect_same, gaps, log, numbers, offsets, samples, stream};

#[test]
fn nonsense_is_told_and_harms_nobody_else() {
    let Some(lab) = Lab::new() else { return };
    let _hostile = Outlet::by(lab.python("tests/python/lsl_hostile.py", &[]));
    let _good = Outlet::new(&lab, "--name Good -n 1600 --log good.log --linger 9");
    let mut capture = lab.pipe("lsl-src").start();
    capture.read_stdout().until_stderr(0, "mute").after(Duration::from_millis(4500));
    capture.signal(0, Signal::TERM);
    let run = capture.wait();
    run.expect(&[3]);
    let sent = log(&lab, "good.log");
    let number = stream(&run, "Good").0;
    assert!(samples(&run, number).len() >= 1000, "{}", run.everything());
    if samples(&run, number).len() == sent.len() {
        expect_same(&run, "Good", &sent, numbers("float32"));
    }
    for told in [
        "huge: its full description cannot be used: ",
        "broken: its full description cannot be used: ",
        "the description of stream 'senseless' has channel_count 'many'",
        "the samples are not of the format",
        "endless: lost: the samples make no sense any more: a text over",
        "mute: 127.0.0.1:",
        "the outlet does not answer",
        "garbage: lost: the samples make no sense any more: an unknown tag",
        "cut: lost: the connection ended within a sample",
        "its clock does not answer",
    ] {
        run.expect_stderr(0, told);
    }
    let (wide, description) = stream(&run, "wide");
    assert_eq!(description.shape, [10_000]);
    let wide = samples(&run, wide);
    assert_eq!(wide.len(), 20);
    assert!((0..).zip(&wide).all(|(n, (_, bytes))| bytes[..] == [n, 0].repeat(10_000)));
    let (timeless, description) = stream(&run, "timeless");
    let times: Vec<i64> = samples(&run, timeless).iter().map(|(h, _)| h.time).collect();
    assert_eq!((description.rate, times), (None, vec![0, 0, 0, 7_500_000_000]));
    // What a clock that lies says is not written.
    assert!(offsets(&run, timeless).is_empty());
    assert!(!offsets(&run, number).is_empty());
    for name in ["endless", "garbage", "cut"] {
        let number = stream(&run, name).0;
        let of_it = gaps(&run).len();
        assert!(of_it >= 3 && number > 0, "{name}");
    }
}
