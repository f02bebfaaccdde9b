//! Records of our own that go through the Lab Streaming Layer, and into XDF.

use framepipe_tests::{Lab, pipe};
use rustix::process::Signal;

use super::rig::{samples, stream};

#[test]
fn records_come_back_from_to_lsl_as_they_were() {
    let Some(lab) = Lab::new() else { return };
    let made = pipe("sim-src glove --rate 500 -n 300").run();
    let mut capture = lab.pipe("lsl-src").start();
    capture.read_stdout();
    let sender =
        lab.pipe("to-lsl --wait-consumers 1 --no-markers").input(made.stdout.clone());
    sender.run().expect(&[0]);
    capture.until_samples(300).signal(0, Signal::TERM);
    let run = capture.wait();
    run.expect(&[0]);
    let (number, mut came) = stream(&run, "glove");
    let (before, mut was) = stream(&made, "glove");
    assert_eq!((came.dtype, &came.shape), (was.dtype, &was.shape));
    // What LSL calls it is a matter of LSL.
    for stream in [&mut came, &mut was] {
        stream.meta.retain(|key, _| !key.starts_with("lsl."));
    }
    assert_eq!(came, was);
    let (sent, got) = (samples(&made, before), samples(&run, number));
    assert_eq!(got.len(), sent.len());
    for ((header, bytes), (of, were)) in got.iter().zip(&sent) {
        assert_eq!((header.seq, header.time, bytes), (of.seq, of.time, were));
    }
}

/// The recording of a stream that stops and starts, as another reader sees it.
pub(super) fn expect_same_in_xdf(lab: &Lab, records: &[u8], log: &str) {
    let file = lab.folder().file("a.xdf");
    let run = lab.pipe(&format!("to-xdf {file}")).input(records.to_vec()).run();
    // That samples may be missing is in the records.
    run.expect(&[3]);
    let mut check = lab.python("tests/python/lsl_xdf.py", &[&file, "Test", log]);
    let output = check.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
}
