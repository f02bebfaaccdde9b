//! How a report is shown: text, page, manual.

use std::fs;

use framepipe_tests::{pipe, root};
use libframe::payload::{ClockReading, Payload as _};
use libframe::wire::Kind;
use serde_json::Value;

use super::recorded::{Desk, MS, Recorded, SECOND, START};
use super::{drifting, of_times, python, report, times};

#[test]
fn the_page_is_whole_and_needs_nothing_else() {
    let desk = Desk::new();
    let page = desk.path("report.html");
    let faulty = pipe(
        "sim-src glove control camera:size=32x32 -n 600 --rate max --meta who=<b>&\"me\" \
         --fault drop=2% --fault stall=1s/4s --name <script>",
    );
    let files = [
        desk.file("faulty.frames", faulty.run().stdout),
        desk.file("drifting.frames", drifting()),
        desk.file("empty.frames", Recorded::new().stream(1, "s", None).end()),
        desk.file("one.frames", of_times([0])),
        desk.file("two.frames", of_times([0, 0])),
        desk.file("days.frames", of_times(times(50, |i| i as i64 * 3600 * SECOND))),
        desk.file(
            "back.frames",
            of_times(times(50, |i| if i == 20 { -SECOND } else { MS })),
        ),
        desk.file("wide.frames", of_times([i64::MIN + START, 0, i64::MAX - START])),
    ];
    let run =
        pipe(&format!("jitter-report -f none --html {page} {}", files.join(" "))).run();
    assert!(run.expect(&[3]).stdout.is_empty());
    let text = fs::read_to_string(&page).unwrap();
    assert!(text.contains("who</td>") && text.contains("&lt;b&gt;&amp;"), "{text}");
    if let Some(told) = python(&["page", &page]) {
        let told: Value = serde_json::from_slice(&told).unwrap();
        let drawings = told["drawings"].as_array().unwrap();
        for label in
            ["Histogram of the", "Intervals over time", "Gaps over", "Latency of"]
        {
            let found = drawings.iter().any(|d| d.as_str().unwrap().starts_with(label));
            assert!(found, "{label}");
        }
        assert!(told["tables"].as_u64() > Some(5));
    }
}

#[test]
fn a_report_is_replaced_and_nothing_else_is() {
    let desk = Desk::new();
    let good = || of_times((0..100).map(|i| i * MS));
    let page = desk.path("report.html");
    for _ in 0..2 {
        let line = format!("jitter-report -f none --html {page}");
        pipe(&line).input(good()).run().expect(&[0]).expect_silence();
        assert!(fs::read_to_string(&page).unwrap().contains(">GOOD<"));
    }
    assert_eq!(fs::read_dir(&desk.0).unwrap().count(), 1, "no draft is left");
    let thesis = desk.file("thesis.html", "<!DOCTYPE html>\n<p>five years</p>");
    let run = pipe(&format!("jitter-report --html {thesis}")).input(good()).run();
    run.expect(&[2]).expect_stderr(0, "thesis.html: no report of jitter-report");
    assert!(fs::read_to_string(&thesis).unwrap().contains("five years"));
    let line = format!("jitter-report --html {}", desk.path("no/such/folder.html"));
    pipe(&line)
        .input(good())
        .run()
        .expect(&[1])
        .expect_stderr(0, "folder.html: No such file");
}

#[test]
fn text_fits_a_terminal_and_is_ascii_where_the_locale_is() {
    let recording =
        pipe("sim-src glove control -n 900 --rate max --fault drop=2% --fault gap=1%")
            .run()
            .stdout;
    let text = |locale: &str| {
        let run = pipe("jitter-report").input(&recording[..]).env("LC_ALL", locale).run();
        run.expect(&[3]).text().to_owned()
    };
    let (plain, fancy) = (text("C"), text("en_US.UTF-8"));
    assert!(plain.is_ascii() && plain.contains("####") && !plain.contains('\x1b'));
    assert!(fancy.contains('█') && fancy.contains('▁'));
    for text in [plain, fancy] {
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{}: {line}", line.chars().count());
        }
        for part in ["glove: ", "p99.9", "RFC 3550", "samples lost", "and ", "hop p99"] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
    }
}

#[test]
fn a_live_stream_is_reported_when_it_ends() {
    // However busy the machine is.
    let limits = "--rate 500:50% --jitter-warn 1m --gap-warn 1m --burst-warn 100%";
    let line =
        format!("sim-src glove --rate 500 --duration 1200ms | jitter-report {limits}");
    let run = pipe(&line).run();
    let text = run.expect(&[0, 0]).expect_silence().text();
    assert!(text.starts_with("stdin: GOOD") && text.contains("sim-src"), "{text}");
}

/// A stream whose clock was compared with that of the session.
fn of_another_host() -> Vec<u8> {
    let mut recorded = Recorded::new().stream(1, "far", None);
    let reading = ClockReading {
        monotonic: START,
        remote: "rig".into(),
        offset: Some(7 * SECOND),
        round_trip: Some(9),
        ..ClockReading::default()
    };
    recorded.record(Kind::CLOCK, 0, 1, 0, START, &reading.to_bytes());
    recorded.end()
}

#[test]
fn every_key_is_in_the_manual() {
    fn keys(value: &Value, all: &mut std::collections::BTreeSet<String>) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| keys(value, all)),
            Value::Object(map) => map.iter().for_each(|(key, value)| {
                all.insert(key.clone());
                keys(value, all);
            }),
            _ => {}
        }
    }
    let mut recording =
        pipe("sim-src glove -n 99 --rate max --fault gap=9%").run().stdout;
    recording.extend(drifting());
    recording.extend(of_another_host());
    let mut all = std::collections::BTreeSet::new();
    keys(&report("", recording).json(), &mut all);
    let page = fs::read_to_string(root().join("man/framepipe-report.5")).unwrap();
    let words: Vec<_> = page.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let missing: Vec<_> =
        all.iter().filter(|key| !words.contains(&key.as_str())).collect();
    assert!(missing.is_empty() && all.len() > 90, "{missing:?} of {}", all.len());
}
