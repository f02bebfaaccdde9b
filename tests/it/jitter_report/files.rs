//! Where a report comes from: files, pipes, either format.

use std::fs;

use framepipe_tests::pipe;
use serde_json::Value;

use super::recorded::{Desk, MS, Recorded, SECOND};
use super::{drifting, of_times, python, report};

#[test]
fn every_file_has_its_own_report() {
    let desk = Desk::new();
    let good = desk.file("good.frames", of_times((0..100).map(|i| i * MS)));
    let bad = desk.file("bad.frames", of_times([0, 3600 * SECOND, 3601 * SECOND]));
    let run =
        pipe(&format!("jitter-report -f json --gap-fail 1m {good} {bad} {good}")).run();
    let all = run.expect(&[3]).json();
    let told: Vec<_> =
        all.as_array().unwrap().iter().map(|r| (&r["file"], &r["verdict"])).collect();
    let value = |text: &str| Value::from(text);
    let (good, bad) = (value(&good), value(&bad));
    assert_eq!(
        told,
        [(&good, &value("GOOD")), (&bad, &value("FAIL")), (&good, &value("GOOD"))]
    );
    let text = pipe(&format!(
        "jitter-report {} {}",
        good.as_str().unwrap(),
        bad.as_str().unwrap()
    ))
    .run();
    assert_eq!(text.text().matches("session 00000007 on desk").count(), 2);
    // From a pipe it is the same report, without a name.
    let mut piped = report("", fs::read(good.as_str().unwrap()).unwrap()).json();
    assert_eq!(piped[0]["file"], Value::Null);
    piped[0]["file"] = good;
    assert_eq!(piped[0], all[0]);
}

#[test]
fn recordings_in_hdf5_give_the_same_report() {
    let desk = Desk::new();
    let faults = "--fault drop=2% --fault gap=1% --fault dup=2% --fault reorder=2% \
                  --fault drift=50ppm --fault stall=1s/5s";
    let lines = [
        format!("sim-src glove control -n 1500 --rate max {faults} | batch-frames -n 7"),
        "sim-src glove --rate 1000 --duration 1500ms | pick-frames".into(),
        "sim-src control -n 2 --rate max".into(),
    ];
    let mut recordings: Vec<_> =
        lines.iter().map(|line| pipe(line).run().stdout).collect();
    recordings.push(drifting());
    recordings.push(
        Recorded::new().stream(1, "s", None).samples(1, 0..20).gap(1, 5, 20, 30).end(),
    );
    recordings.push(
        Recorded::new().stream(1, "s", None).gap(1, 5, 0, 5).samples(1, 5..20).bytes,
    );
    for (at, recording) in recordings.iter().enumerate() {
        let frames = desk.file("a.frames", recording);
        let h5 = desk.path(&format!("a{at}.h5"));
        if python(&["h5", &frames, &h5]).is_none() {
            return;
        }
        let of = |file: &str| {
            let run = pipe(&format!("jitter-report -f json {file}")).run();
            let mut report = run.json()[0].clone();
            report["file"] = Value::Null;
            (run.codes(), report, run.stderrs[0].clone())
        };
        let (codes, report, stderr) = of(&h5);
        let (codes_of_frames, report_of_frames, stderr_of_frames) = of(&frames);
        assert_eq!(report, report_of_frames, "recording {at}");
        assert_eq!(
            (codes, stderr),
            (codes_of_frames, stderr_of_frames),
            "recording {at}"
        );
    }
}

#[test]
fn what_the_recorder_writes_gives_the_report_of_what_it_was_given() {
    let desk = Desk::new();
    // What is missing without a word is told by who finds it, here one and there the other.
    let made = "sim-src glove control -n 1500 --rate max --fault gap=1% --fault dup=2% \
                --fault drift=50ppm";
    let recording = pipe(made).run().stdout;
    let h5 = desk.path("a.h5");
    pipe(&format!("to-h5 -q {h5}")).input(&recording[..]).run().expect(&[3]);
    let run = pipe(&format!("jitter-report -f json {h5}")).run();
    let recorded = run.expect(&[3]).json()[0]["sessions"][0].clone();
    let piped = report("", recording).json()[0]["sessions"][0].clone();
    assert_eq!(recorded["streams"], piped["streams"]);
    assert_eq!(recorded["hops"][1]["stage"], "to-h5");
    assert_eq!(recorded["hops"][0], piped["hops"][0]);
}
