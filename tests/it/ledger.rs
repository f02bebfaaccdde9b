//! The ledger: pipelines in which a known stage loses known samples, and who is told to
//! have lost them, by both reports and from the recording alone.

use std::collections::BTreeMap;
use std::time::Duration;

use framepipe_tests::{Event, Run, Scratch, decode, pipe};
use libframe::payload::{Gap, Payload, Reason};
use libframe::wire::{Header, Kind, Record};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::to_h5::h5py;

/// Samples by reason and stage.
type By = BTreeMap<String, u64>;

/// A recording in both forms, and the ledgers of each.
struct Told {
    desk: Scratch,
    /// Of `inspect-frames` on the records, of `jitter-report` on those and on HDF5.
    ledgers: [Value; 3],
}

/// Records what a pipeline wrote in both forms, and asks for their ledgers.
fn tell(records: &[u8]) -> Told {
    let desk = Scratch::new();
    let (frames, h5) = (desk.file("a.frames"), desk.file("a.h5"));
    std::fs::write(&frames, records).unwrap();
    pipe(&format!("to-h5 -q {h5}")).input_file(&frames).run();
    let of = |line: String, sessions: &str| {
        let report = pipe(&line).run().json();
        report.pointer(sessions).unwrap_or_else(|| panic!("{line}: {report}")).clone()
    };
    let ledgers = [
        of(format!("inspect-frames -f json {frames}"), "/sessions/0/ledger"),
        of(format!("jitter-report -f json {frames}"), "/0/sessions/0/ledger"),
        of(format!("jitter-report -f json {h5}"), "/0/sessions/0/ledger"),
    ];
    Told { desk, ledgers }
}

fn by(ledger: &Value) -> By {
    let losses = ledger["losses"].as_array().unwrap().iter();
    let key = |loss: &Value| {
        let word = |key: &str| loss[key].as_str().unwrap().to_owned();
        format!("{} {}", word("reason"), word("stage"))
    };
    losses.map(|loss| (key(loss), loss["samples"].as_u64().unwrap())).collect()
}

impl Told {
    /// Asserts that all agree that these were lost, of so many.
    #[track_caller]
    fn expect(&self, verdict: &str, numbered: u64, lost: &[(&str, u64)]) -> &Told {
        let wanted: By = lost.iter().map(|(who, n)| ((*who).to_owned(), *n)).collect();
        let sum: u64 = wanted.values().sum();
        for ledger in &self.ledgers {
            assert_eq!(by(ledger), wanted, "{ledger:#}");
            assert_eq!(ledger["verdict"], verdict, "{ledger:#}");
            assert_eq!(ledger["balanced"], true, "{ledger:#}");
            let sums = [&ledger["numbered"], &ledger["samples"], &ledger["lost"]];
            assert_eq!(
                sums.map(Value::as_u64),
                [Some(numbered), Some(numbered - sum), Some(sum)]
            );
        }
        if let Some(found) = h5py("ledger", &self.desk.file("a.h5")) {
            let found_by: By = serde_json::from_value(found["by"].clone()).unwrap();
            assert_eq!(found_by, wanted, "by h5py");
            assert_eq!(
                (found["numbered"].as_u64(), found["lost"].as_u64()),
                (Some(numbered), Some(sum))
            );
        }
        self
    }

    /// Where the one unexplained loss was, by what the stages counted.
    #[track_caller]
    fn expect_place(&self, place: &str, after: &str) {
        for ledger in &self.ledgers {
            let all = ledger["losses"].as_array().unwrap();
            let loss = all.iter().find(|loss| loss["explained"] == false).unwrap();
            assert_eq!((&loss["place"], &loss["after"]), (&place.into(), &after.into()));
        }
    }
}

/// A good recording of 500 samples of a glove and of a control, as a source wrote it.
fn source(faults: &str) -> Vec<u8> {
    let line = format!("sim-src glove control -n 500 --rate max {faults}");
    pipe(&line).run().stdout
}

/// The same bytes without some records of samples, or with a bit of each flipped.
fn between_stages(
    bytes: &[u8],
    hit: impl Fn(&Header) -> bool,
    flip: Option<usize>,
) -> (Vec<u8>, u64) {
    let (mut out, mut n) = (Vec::new(), 0);
    for event in decode(bytes) {
        let Event::Record(header, payload) = event else { panic!("{event:?}") };
        let at = out.len();
        let hits = header.kind == Kind::DATA && hit(&header);
        n += u64::from(hits);
        if hits && flip.is_none() {
            continue;
        }
        Record::new(header, &payload).encode(&mut out);
        if let Some(offset) = flip.filter(|_| hits) {
            out[at + offset] ^= 4;
        }
    }
    (out, n)
}

#[test]
fn a_clean_pipeline_has_a_clean_ledger() {
    let run = pipe("pick-frames | batch-frames -n 7").input(source("")).run();
    tell(&run.expect(&[0, 0]).stdout).expect("GOOD", 1000, &[]);
}

#[test]
fn what_a_device_lost_is_the_devices() {
    let run =
        pipe("pick-frames | batch-frames -n 7").input(source("--fault gap=5%")).run();
    let gaps = run.expect(&[3, 3]).payloads::<Gap>();
    let lost = gaps.iter().filter_map(|gap| gap.count).sum();
    assert!(lost > 20, "{lost}");
    tell(&run.stdout).expect("WARNING", 1000, &[("device sim-src", lost)]);
}

#[test]
fn what_is_damaged_between_two_stages_is_corruption_that_the_second_found() {
    for offset in [20, 46, 48] {
        let hit = |header: &Header| header.seq % 50 == 25;
        let (bytes, n) = between_stages(&source(""), hit, Some(offset));
        let run = pipe("batch-frames -n 7 | pick-frames").input(bytes).run();
        let lost = [("corrupt batch-frames", n)];
        tell(&run.expect(&[3, 3]).stdout).expect("WARNING", 1000, &lost);
    }
}

#[test]
fn what_vanishes_between_two_stages_is_unexplained_and_was_lost_there() {
    let first = pipe("pick-frames").input(source("")).run();
    let (bytes, n) = between_stages(&first.stdout, |header| header.seq % 100 > 95, None);
    let run = pipe("batch-frames -n 7").input(bytes).run();
    let told = tell(&run.expect(&[3]).stdout);
    told.expect("FAIL", 1000, &[("upstream batch-frames", n)]);
    told.expect_place("between", "pick-frames");
}

#[test]
fn damage_beside_what_vanishes_hides_neither() {
    // Apart in time: a hole about which there was damage counts as that in whole.
    let glove = |header: &Header| header.stream == 1 && header.seq % 50 == 25;
    let control =
        |header: &Header| header.stream == 2 && header.seq > 250 && header.seq % 50 == 25;
    let first = pipe("pick-frames").input(source("")).run();
    let (bytes, vanished) = between_stages(&first.stdout, control, None);
    let (bytes, corrupt) = between_stages(&bytes, glove, Some(60));
    let run = pipe("batch-frames -n 7").input(bytes).run();
    let told = tell(&run.expect(&[3]).stdout);
    let lost = [("corrupt batch-frames", corrupt), ("upstream batch-frames", vanished)];
    told.expect("FAIL", 1000, &lost);
    told.expect_place("between", "pick-frames");
}

#[test]
fn what_a_source_skips_without_a_word_is_unexplained_and_was_never_sent() {
    let bytes = source("--fault drop=5%");
    let run = pipe("pick-frames | batch-frames -n 7").input(bytes).run();
    let lost = 1000 - run.expect(&[3, 3]).samples();
    let told = tell(&run.stdout);
    told.expect("FAIL", 1000, &[("upstream pick-frames", lost)]);
    told.expect_place("before", "sim-src");
}

#[test]
fn what_two_stages_lost_is_told_apart() {
    let hit = |header: &Header| header.stream == 1 && header.seq % 50 == 25;
    let (bytes, corrupt) = between_stages(&source("--fault gap=3%"), hit, Some(60));
    let first = pipe("pick-frames").input(bytes).run();
    let (bytes, vanished) = between_stages(
        &first.stdout,
        |header| header.stream == 2 && header.seq % 50 == 0,
        None,
    );
    let gaps = first.payloads::<Gap>();
    let device = gaps.iter().filter(|gap| gap.reason == Reason::Device);
    let device: u64 = device.filter_map(|gap| gap.count).sum();
    let run = pipe("batch-frames -n 7").input(bytes).run();
    let lost = [
        ("device sim-src", device),
        ("corrupt pick-frames", corrupt),
        ("upstream batch-frames", vanished),
    ];
    assert!(device > 0 && corrupt > 0 && vanished > 0, "{lost:?}");
    let told = tell(&run.stdout);
    told.expect("FAIL", 1000, &lost);
    told.expect_place("between", "pick-frames");
}

#[test]
fn what_a_queue_dropped_for_a_slow_reader_is_the_queues() {
    for policy in ["drop-oldest", "drop-newest"] {
        let line = format!(
            "sim-src glove -n 20000 --rate max --queue 256KiB --overflow {policy} \
             --status 50ms --status-format json"
        );
        let mut started = pipe(&line).start();
        // Nobody reads until the source has made all it was asked for.
        started.until_stderr(0, "\"samples\":20000").read_stdout();
        let run = started.wait();
        let lost = 20_000 - run.expect(&[3]).samples();
        assert!(lost > 1000, "{lost}");
        let run = pipe("pick-frames").input(&run.stdout[..]).run();
        tell(&run.stdout).expect("WARNING", 20_000, &[("queue sim-src", lost)]);
    }
}

#[test]
fn a_stage_that_is_killed_leaves_a_ledger_that_is_open_at_its_end() {
    let desk = Scratch::new();
    let h5 = desk.file("a.h5");
    let line = format!("sim-src glove --rate 1000 | pick-frames | to-h5 -q {h5}");
    let mut started = pipe(&line).start();
    started.until_ready(0).until_ready(1).until_ready(2);
    // Each stage reports itself once a second.
    started.after(Duration::from_millis(1600)).signal(1, Signal::KILL);
    started.wait();
    let run = pipe(&format!("jitter-report -f json {h5}")).run();
    run.expect(&[3]).expect_stderr(0, "pick-frames broke off");
    let session = run.json()[0]["sessions"][0].clone();
    let ledger = &session["ledger"];
    assert_eq!(
        (&ledger["open_ended"], &ledger["balanced"]),
        (&true.into(), &true.into())
    );
    assert_eq!((&ledger["lost"], &session["verdict"]), (&0.into(), &"FAIL".into()));
    // The source could not say that it was done, so nothing is claimed of its counts.
    let hops = session["hops"].as_array().unwrap();
    let complete: Vec<_> = hops.iter().map(|hop| hop["complete"] == true).collect();
    assert_eq!(complete, [false, false, true]);
    assert!(hops.iter().all(|hop| hop["lost_before"].is_null()));
}

/// The glove's samples from 40 on, with these gaps told where they are missing.
fn with_gaps(gaps: &[(u64, Option<u64>, Reason, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    let whole = pipe("sim-src glove -n 100 --rate max").run().stdout;
    for event in decode(&whole) {
        let Event::Record(header, payload) = event else { panic!("{event:?}") };
        let told =
            gaps.iter().find(|gap| gap.0 == header.seq && header.kind == Kind::DATA);
        if let Some((first, count, reason, stage)) = told {
            let (stage, detail) = ((*stage).into(), String::new());
            let (count, reason) = (*count, *reason);
            let gap =
                Gap { first: *first, count, reason, stage, detail, ..Gap::default() };
            let (kind, seq) = (Kind::GAP, gap.next());
            let header = Header { kind, seq, flags: 0, ..header };
            Record::new(header, &gap.to_bytes()).encode(&mut out);
        }
        let missing = |gap: &(u64, Option<u64>, Reason, &str)| {
            (gap.0..gap.0 + gap.1.unwrap_or(0)).contains(&header.seq)
        };
        if header.kind != Kind::DATA || !gaps.iter().any(missing) {
            Record::new(header, &payload).encode(&mut out);
        }
    }
    out
}

#[test]
fn every_reason_is_explained_but_those_of_nobody() {
    let all = [
        (10, Some(2), Reason::Device, "capture"),
        (20, Some(3), Reason::Parser, "capture"),
        (30, Some(4), Reason::Queue, "fan-out:screen"),
        (40, Some(5), Reason::Transport, "tcp-src"),
        (50, Some(6), Reason::Corrupt, "pick"),
    ];
    let lost = [
        ("device capture", 2),
        ("parser capture", 3),
        ("queue fan-out:screen", 4),
        ("transport tcp-src", 5),
        ("corrupt pick", 6),
    ];
    tell(&with_gaps(&all)).expect("WARNING", 100, &lost);
    for reason in [Reason::Upstream, Reason::Unknown] {
        let told = tell(&with_gaps(&[(10, Some(2), reason, "x")]));
        told.expect("FAIL", 100, &[(&format!("{} x", reason.name()), 2)]);
    }
}

#[test]
fn a_gap_of_unknown_size_that_nobody_owns_up_to_is_a_failure_too() {
    let run = |reason| {
        let input = with_gaps(&[(10, None, reason, "x")]);
        pipe("inspect-frames -f json --max-loss 100%").input(input).run()
    };
    let owned = run(Reason::Parser);
    let ledger = owned.expect(&[0]).json()["sessions"][0]["ledger"].clone();
    assert_eq!((&ledger["verdict"], &ledger["unknown"]), (&"WARNING".into(), &1.into()));
    run(Reason::Upstream).expect(&[3]).expect_stderr(0, "no stage owns up to it");
}

#[test]
fn what_is_unexplained_fails_whatever_may_be_lost() {
    let hidden = pipe("pick-frames -q").input(source("--fault drop=1%")).run().stdout;
    let told = pipe("pick-frames -q").input(source("--fault gap=1%")).run().stdout;
    let limits = "--max-loss 50% --loss-warn 50% --loss-fail 50%";
    for (recording, code) in [(&hidden, 3), (&told, 0)] {
        let with = |line: String| pipe(&line).input(&recording[..]).run();
        let inspected = with("inspect-frames --max-loss 50%".into());
        let reported = with(format!("jitter-report -f line {limits}"));
        let expect = |run: &Run| {
            run.expect(&[code]);
            if code == 3 {
                run.expect_stderr(0, "FAIL: ").expect_stderr(0, "no stage owns up to it");
            }
        };
        expect(&inspected);
        expect(&reported);
        assert_eq!(reported.text().contains("GOOD"), code == 0, "{}", reported.text());
        // Others pass on what they find, and need not judge it.
        with("pick-frames --max-loss 50%".into()).expect(&[0]);
    }
}

#[test]
fn the_ledger_is_there_for_people() {
    let recording = pipe("pick-frames").input(source("--fault drop=2%")).run().stdout;
    for tool in ["inspect-frames", "jitter-report"] {
        let run = pipe(tool).input(&recording[..]).run();
        for part in ["ledger: ", "UNEXPLAINED, noticed by pick-frames", "never sent them"]
        {
            assert!(run.expect(&[3]).text().contains(part), "{tool}: no {part}");
        }
    }
    let desk = Scratch::new();
    let page = desk.file("a.html");
    let line = format!("jitter-report -q -f none --html {page}");
    pipe(&line).input(&recording[..]).run().expect(&[3]);
    let page = std::fs::read_to_string(page).unwrap();
    for part in ["<h3>Ledger</h3>", "UNEXPLAINED, noticed by pick-frames"] {
        assert!(page.contains(part), "no {part}");
    }
}

#[test]
fn the_way_from_capture_is_told_step_by_step() {
    let desk = Scratch::new();
    let h5 = desk.file("a.h5");
    let line = format!(
        "sim-src glove --rate 20 --duration 2s | pick-frames | batch-frames --every 300ms \
         | to-h5 {h5}"
    );
    pipe(&line).run().expect(&[0; 4]);
    let run = pipe(&format!("jitter-report -f json {h5} --jitter-warn 1m")).run();
    let session = run.json()[0]["sessions"][0].clone();
    let mut steps = session["waterfall"].as_array().unwrap().clone();
    for pair in steps.windows(2) {
        assert_eq!(pair[0]["to_ns"], pair[1]["from_ns"]);
    }
    // On a busy machine others hold a sample for a while too.
    steps.retain(|step| step["step"] != "held" || step["stage"] == "batch-frames");
    let shape: Vec<_> =
        steps.iter().map(|step| json!([step["step"], step["stage"]])).collect();
    let wanted = json!([
        ["capture", "sim-src"],
        ["hop", "pick-frames"],
        ["hop", "batch-frames"],
        ["held", "batch-frames"],
        ["hop", "to-h5"]
    ]);
    assert_eq!(Value::from(shape), wanted, "{session:#}");
    let ns = |step: &Value, key: &str| step[key].as_u64().unwrap();
    for step in steps.iter().filter(|step| step["step"] != "held") {
        assert!(ns(step, "to_ns") <= ns(step, "p99_ns"), "{step}");
        assert!(ns(step, "p99_ns") <= ns(step, "max_ns"), "{step}");
    }
    // A batch is sent when its first sample is 300 ms old; a sample comes each 50 ms, and a
    // filter stamps what it sends with the time of that, not with that of the one before.
    let held = &steps[3];
    assert!(ns(held, "to_ns") > 250_000_000, "{held}");
    assert!(ns(&steps[2], "to_ns") < 45_000_000, "{steps:?}");
    let all: Vec<_> = session["hops"].as_array().unwrap().iter().collect();
    assert!(all.iter().all(|stage| stage["complete"] == true), "{session:#}");
    assert_eq!(all[3]["lost_before"], 0);
    let text = pipe(&format!("jitter-report {h5}")).run().text().to_owned();
    assert!(text.contains("from capture") && text.contains("in batch-frames"), "{text}");
}
