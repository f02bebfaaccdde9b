//! `jitter-report`: known answers, and numpy's.

mod files;
mod recorded;
mod shown;

use std::fs;
use std::path::Path;
use std::process::Command;

use framepipe_tests::{Run, pipe, root};
use libframe::payload::{ClockReading, Stats};
use libframe::schema::DeviceClock;
use libframe::wire::{FLAG_DEVICE_TIME, Kind};
use serde_json::Value;

use self::recorded::{Desk, MS, Recorded, SECOND, START};

/// A stream named `s` with these times.
fn of_times(times: impl IntoIterator<Item = i64>) -> Vec<u8> {
    Recorded::new().stream(1, "s", None).samples(1, times).end()
}

fn report(options: &str, recording: Vec<u8>) -> Run {
    pipe(&format!("jitter-report -f json {options}")).input(recording).run()
}

/// The first stream of the first session.
#[track_caller]
fn stream(run: &Run) -> Value {
    run.json()[0]["sessions"][0]["streams"][0].clone()
}

fn measures(stream: &Value) -> Vec<String> {
    let findings = stream["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["measure"].as_str().unwrap().into()).collect()
}

/// Runs the Python side, or says loudly that it could not.
fn python(args: &[&str]) -> Option<Vec<u8>> {
    let python = root().join(".venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: no .venv with numpy; run scripts/setup");
        return None;
    }
    let script = root().join("tests/python/report.py");
    let output = Command::new(python).arg(script).args(args).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    Some(output.stdout)
}

fn noise(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    *state >> 16
}

/// Times with intervals made by a rule.
fn times(n: usize, mut interval: impl FnMut(usize) -> i64) -> Vec<i64> {
    let mut time = 0;
    (0..n)
        .map(|i| {
            time += if i == 0 { 0 } else { interval(i) };
            time
        })
        .collect()
}

/// Histogram and parts of the time hold every interval once.
fn check_parts(stream: &Value) {
    let (all, bars, parts) =
        (&stream["intervals"], &stream["histogram"], &stream["over_time"]);
    if all.is_null() {
        return;
    }
    let numbers = |of: &Value| -> Vec<i64> {
        of.as_array().unwrap().iter().filter_map(Value::as_i64).collect()
    };
    let count = all["count"].as_i64().unwrap();
    let outside = bars["below"].as_i64().unwrap() + bars["above"].as_i64().unwrap();
    assert_eq!(numbers(&bars["counts"]).iter().sum::<i64>() + outside, count);
    assert_eq!(numbers(&parts["count"]).iter().sum::<i64>(), count);
    assert_eq!(numbers(&parts["min_ns"]).iter().min().copied(), all["min_ns"].as_i64());
    assert_eq!(numbers(&parts["max_ns"]).iter().max().copied(), all["max_ns"].as_i64());
}

#[test]
fn the_figures_are_numpys() {
    let mut state = 3;
    let mut recorded = Recorded::new();
    let cases: Vec<(&str, Vec<i64>)> = vec![
        ("none", vec![]),
        ("one", vec![5]),
        ("two", vec![5, 12]),
        // Their 99th percentile has another last bit when counted from below.
        ("rounded", vec![0, 7_294_965, 7_294_965 + 9_707_428]),
        ("three", vec![5, 12, 12]),
        ("even", times(1000, |_| 4_608_295)),
        ("random", times(3001, |_| 4_000_000 + (noise(&mut state) % 1_000_000) as i64)),
        (
            "backwards",
            times(500, |i| if i % 3 == 0 { -7 * MS } else { 9 * MS + i as i64 }),
        ),
        ("days", times(100, |i| (i as i64 % 7) * 86_400 * SECOND)),
        ("edge", times(400, |i| i64::from(u32::MAX) - 200 + i as i64)),
        (
            "many",
            times(40_000, |i| match i % 100 {
                0 => -(i as i64),
                1 => 10 * SECOND + i as i64,
                _ => 5 * MS + (noise(&mut state) % 90_000) as i64,
            }),
        ),
    ];
    for (number, (name, times)) in (1..).zip(&cases) {
        recorded = recorded.stream(number, name, None).samples(number, times.clone());
    }
    let desk = Desk::new();
    let file = desk.file("a.frames", recorded.end());
    let run = pipe(&format!("jitter-report -q -f json {file}")).run();
    let report = run.json()[0]["sessions"][0]["streams"].clone();
    for stream in report.as_array().unwrap() {
        check_parts(stream);
    }
    let by_name = |name: &str| {
        let all = report.as_array().unwrap();
        all.iter().find(|stream| stream["name"] == name).unwrap()["intervals"].clone()
    };
    assert!(by_name("none").is_null() && by_name("one").is_null());
    assert_eq!(by_name("many")["exact"], true);
    // Compared over there, since not every reader of JSON keeps the last bit of a number.
    let json = desk.file("a.json", &run.stdout);
    let Some(compared) = python(&["figures", &file, &json]) else { return };
    assert_eq!(String::from_utf8_lossy(&compared).trim(), (cases.len() - 2).to_string());
}

#[test]
fn rate_and_jitter_are_known() {
    let run = report("", of_times((0..1001).map(|i| i * 5 * MS)));
    let stream = stream(run.expect(&[0]).expect_silence());
    assert_eq!((&stream["verdict"], &stream["rate_hz"]), (&"GOOD".into(), &200.0.into()));
    let intervals = &stream["intervals"];
    assert_eq!(intervals["deviation_ns"], 0.0);
    assert_eq!(
        (&intervals["rfc3550_ns"], &intervals["count"]),
        (&0.0.into(), &1000.into())
    );
    assert_eq!(intervals["rfc3550_against"], "usual-pace");

    // Every second sample is late by 1 ms, so D is 1 ms for each.
    let late = (0..5000).map(|i| i * 5 * MS + (i % 2) * MS);
    let jitter = self::stream(&report("", of_times(late)))["intervals"].clone();
    let value = jitter["rfc3550_ns"].as_f64().unwrap();
    assert!((0.99e6..1.01e6).contains(&value), "{value}");
    assert_eq!(jitter["deviation_ns"].as_f64().unwrap().round(), 1e6);
}

#[test]
fn a_gap_has_its_place_and_its_reason() {
    let mut recorded = Recorded::new()
        .stream(1, "s", None)
        .samples(1, (0..100).map(|i| i * 10 * MS))
        .gap(1, 20, 990 * MS, 1200 * MS);
    // A gap may be told again.
    recorded.next.insert(1, 100);
    let again = recorded.gap(1, 20, 990 * MS, 1200 * MS);
    let recording = again.samples(1, (0..880).map(|i| 1200 * MS + i * 10 * MS)).end();
    let run = report("", recording.clone());
    run.expect(&[3]).expect_stderr(0, "s: FAIL: 20 of 1 000 samples lost, 2%");
    let stream = stream(&run);
    assert_eq!((&stream["samples"], &stream["lost"]), (&980.into(), &20.into()));
    assert_eq!(stream["gaps"].as_array().unwrap().len(), 1);
    let gap = &stream["gaps"][0];
    assert_eq!((&gap["first_sample"], &gap["count"]), (&100.into(), &20.into()));
    assert_eq!((&gap["reason"], &gap["stage"]), (&"device".into(), &"by-hand".into()));
    assert_eq!(
        (&gap["at_seconds"], &gap["detail"]),
        (&0.99.into(), &"pulled out".into())
    );
    // Samples that are missing are no jitter.
    assert_eq!(stream["intervals"]["rfc3550_max_ns"], 0.0);
    let longest = &stream["longest"][0];
    assert_eq!(
        (&longest["ns"], &longest["before_sample"]),
        (&(210 * MS).into(), &120.into())
    );
    assert_eq!(measures(&stream), ["loss-fail"]);

    // What may be lost is for the user to say.
    let allowed = report("--loss-warn 3% --max-loss 3% --jitter-warn 1s", recording);
    assert_eq!(allowed.expect(&[0]).json()[0]["verdict"], "GOOD");
}

#[test]
fn losses_are_those_that_every_tool_counts() {
    for faults in [
        "drop=2%",
        "gap=2%",
        "dup=3%",
        "reorder=3%",
        "flip=1%",
        "drop=2% --fault reorder=5%",
    ] {
        let made = format!("sim-src glove control -n 3000 --rate max --fault {faults}");
        let recording = pipe(&made).run().stdout;
        let inspected = pipe("inspect-frames -f json").input(&recording[..]).run().json();
        let reported = report("--loss-fail 100%", recording).json();
        for at in 0..2 {
            let theirs = &inspected["sessions"][0]["streams"][at];
            let ours = &reported[0]["sessions"][0]["streams"][at];
            for key in ["samples", "lost", "duplicates", "reordered", "unknown_gaps"] {
                assert_eq!(ours[key], theirs[key], "{faults}: {key}");
            }
            let places = ours["gaps"].as_array().unwrap().len() as u64
                + ours["more_gaps"].as_u64().unwrap();
            let told = theirs["losses"].as_array().unwrap().iter();
            assert_eq!(places, told.map(|l| l["places"].as_u64().unwrap()).sum::<u64>());
        }
    }
}

#[test]
fn bursts_and_a_backlog_are_found() {
    let even = (0..1000).map(|i| i * 5 * MS);
    let run = report("", of_times(even));
    assert_eq!(stream(&run)["bursts"]["count"], 0);

    // Twenty at a time, as a reader gives them that reads each 100 ms.
    let grouped = (0..2000).map(|i| i / 20 * 100 * MS + i % 20 * 1000);
    let stream_of = |run: &Run| stream(run)["bursts"].clone();
    let run = report("", of_times(grouped));
    let bursts = stream_of(&run);
    assert_eq!((&bursts["count"], &bursts["samples"]), (&100.into(), &2000.into()));
    assert_eq!((&bursts["longest_samples"], &bursts["share"]), (&20.into(), &1.0.into()));
    assert!(measures(&stream(&run)).contains(&"burst-warn".to_owned()));

    // What waited in a serial port since before the start.
    let backlog =
        (0..31).map(|i| i * 300_000).chain((1..600).map(|i| 10 * MS + i * 33 * MS));
    let run = report("", of_times(backlog));
    assert_eq!(stream_of(&run)["at_start"], 31);
    assert!(measures(&stream(&run)).contains(&"backlog".to_owned()));

    // In the middle, with its place.
    let middle = times(1000, |i| if (500..510).contains(&i) { 1000 } else { 5 * MS });
    let bursts = stream_of(&report("--burst-warn 50%", of_times(middle)));
    assert_eq!((&bursts["count"], &bursts["longest_samples"]), (&1.into(), &11.into()));
    assert_eq!(bursts["longest_first_sample"], 499);
    assert_eq!(bursts["longest_at_seconds"], 499.0 * 0.005);
}

/// A device whose microseconds run fast by 35 ppm, begins anew at half time, and whose
/// samples come late by anything up to 20 ms.
fn drifting() -> Vec<u8> {
    let clock = DeviceClock { rate: 1e6, bits: 32 };
    let mut recorded = Recorded::new().stream(1, "s", Some(clock));
    let mut state = 11;
    for i in 0..40_000u64 {
        let true_ns = i as i64 * 25 * MS;
        let boot = if i < 20_000 { 0 } else { 469_000_000 };
        let ticks =
            (true_ns as f64 * (1.0 + 35e-6) / 1000.0) as u64 + (1 << 32) - 30_000_000;
        let ticks = (ticks - boot) % (1 << 32);
        let delay = (noise(&mut state) % 1000).pow(4) as i64 / 50_000;
        let payload = [&ticks.to_le_bytes()[..], b"x"].concat();
        let time = START + true_ns + delay;
        recorded.record(Kind::DATA, FLAG_DEVICE_TIME, 1, i, time, &payload);
    }
    recorded.next.insert(1, 40_000);
    recorded.end()
}

#[test]
fn the_drift_of_a_device_clock_is_found_below_its_delays() {
    let run = report("", drifting());
    let stream = stream(run.expect(&[0]));
    let clock = &stream["device_clock"];
    let counts = [&clock["restarts"], &clock["jumps"], &clock["wraps"]];
    assert_eq!(counts.map(Value::as_u64), [Some(1), Some(0), Some(1)]);
    assert_eq!(clock["runs"].as_array().unwrap().len(), 2);
    for line in clock["runs"].as_array().unwrap() {
        let ppm = line["drift_ppm"].as_f64().unwrap();
        assert!((ppm - 35.0).abs() < 0.1, "{ppm}");
    }
    // The median of x^4 is a sixteenth of its highest.
    let p50 = clock["delay_p50_ns"].as_f64().unwrap();
    assert!((1.15e6..1.35e6).contains(&p50), "{p50}");
    assert_eq!(measures(&stream), ["restarts"]);
    assert_eq!(stream["intervals"]["rfc3550_against"], "device-clock");

    let run = report("--drift-warn 20 --drift-fail 30ppm", drifting());
    run.expect(&[3]).expect_stderr(0, "drifts by +35.0 ppm, over --drift-fail 30");
    let faulty = "sim-src control -n 3000 --rate max --fault drift=-80ppm \
                  | jitter-report -f json --drift-warn 1";
    let run = pipe(faulty).run();
    let ppm = stream_of_pipe(&run)["device_clock"]["drift_ppm"].as_f64().unwrap();
    assert!((ppm + 80.0).abs() < 0.5, "{ppm}");
}

fn stream_of_pipe(run: &Run) -> Value {
    run.json()[0]["sessions"][0]["streams"][0].clone()
}

#[test]
fn a_step_of_the_wall_clock_is_told_and_slewing_is_not() {
    let made = |step: i64| {
        let mut recorded = Recorded::new()
            .stream(1, "s", None)
            .samples(1, (0..1000).map(|i| i * 20 * MS));
        for i in 0..20 {
            let monotonic = START + i * SECOND;
            let set = if i >= 10 { step } else { 0 };
            let realtime = Some(1_700_000_000 * SECOND + i * SECOND + i * 30_000 + set);
            let reading = ClockReading { monotonic, realtime, ..ClockReading::default() };
            recorded.put(0, 0, monotonic, &reading);
        }
        report("", recorded.end()).json()[0]["sessions"][0].clone()
    };
    let steady = made(0);
    assert_eq!(
        (&steady["verdict"], &steady["clock"]["step_count"]),
        (&"GOOD".into(), &0.into())
    );
    let set = made(-2 * SECOND);
    assert_eq!(
        (&set["verdict"], &set["clock"]["step_count"]),
        (&"WARNING".into(), &1.into())
    );
    let step = &set["clock"]["steps"][0];
    assert_eq!(step["ns"], -2 * SECOND + 30_000);
    assert_eq!(step["after_ns"], START + 9 * SECOND);
    assert!((set["clock"]["drift_ppm"].as_f64().unwrap() - 30.0).abs() < 2.0);
}

#[test]
fn stages_are_summed_up_with_their_delays() {
    let mut recorded =
        Recorded::new().stream(1, "s", None).samples(1, (0..100).map(|i| i * 10 * MS));
    for i in 0..10 {
        let mut hop = libframe::histogram::Histogram::default();
        (0..99).for_each(|_| hop.add(20_000));
        hop.add(5_000_000);
        let stats = Stats {
            stage: "relay".into(),
            index: 1,
            from: START + i * SECOND,
            to: START + (i + 1) * SECOND,
            dropped: 2,
            queue: 100 * i as u64,
            hop: hop.pairs(),
            rss: 1000,
            cpu: 10_000_000 * (i as u64 + 1),
            ..Stats::default()
        };
        recorded.put(0, 0, START, &stats);
    }
    let hop = report("", recorded.end()).json()[0]["sessions"][0]["hops"][0].clone();
    assert_eq!((&hop["stage"], &hop["dropped"]), (&"relay".into(), &20.into()));
    assert_eq!(
        (&hop["deepest_queue_bytes"], &hop["cpu_share"]),
        (&900.into(), &0.01.into())
    );
    let p50 = hop["latency_p50_ns"].as_f64().unwrap();
    assert!((20_000.0..22_600.0).contains(&p50), "{p50}");
    assert!(hop["latency_max_ns"].as_u64() > Some(5_000_000 - 1));
}

#[test]
fn the_verdict_names_the_limit_that_decided() {
    let late = || of_times(times(1001, |i| if i % 100 == 0 { 75 * MS } else { 5 * MS }));
    let cases = [
        ("", 0, "WARNING", vec!["jitter-warn"]),
        ("--jitter-warn 80ms", 0, "GOOD", vec![]),
        ("--jitter-fail 60ms", 3, "FAIL", vec!["jitter-fail"]),
        ("--jitter-fail 10ms", 3, "FAIL", vec!["jitter-fail"]),
        ("--jitter-warn 1s --gap-warn 50ms", 0, "WARNING", vec!["gap-warn"]),
        ("--jitter-warn 1s --gap-fail 50ms", 3, "FAIL", vec!["gap-fail"]),
        ("--jitter-warn 1s --rate 175", 0, "GOOD", vec![]),
        ("--jitter-warn 1s --rate 200:5%", 3, "FAIL", vec!["rate"]),
        ("--jitter-warn 1s --rate 200:20%", 0, "GOOD", vec![]),
        ("--jitter-warn 1s --rate 1 --rate s=175", 0, "GOOD", vec![]),
        ("--jitter-warn 1s --rate 170+", 0, "GOOD", vec![]),
        ("--jitter-warn 1s --rate 180+", 3, "FAIL", vec!["rate"]),
    ];
    for (options, code, verdict, wanted) in cases {
        let run = report(options, late());
        let stream = stream(run.expect(&[code]));
        assert_eq!(
            (&stream["verdict"], measures(&stream)),
            (&verdict.into(), wanted.iter().map(|m| (*m).to_owned()).collect()),
            "{options}"
        );
        assert_eq!(run.json()[0]["verdict"], verdict);
        // What fails goes to cron's mail, with the option; the rest is silence.
        match code {
            3 => drop(
                run.expect_stderr(0, "s: FAIL: ")
                    .expect_stderr(0, &format!("--{}", wanted[0])),
            ),
            _ => drop(run.expect_silence()),
        }
    }
    for wrong in ["--rate fast", "--jitter-warn 5", "--loss-fail 200%", "--drift-warn -1"]
    {
        report(wrong, late()).expect(&[2]);
    }
}

#[test]
fn a_stream_without_samples_fails_and_so_does_one_that_broke_off() {
    let run = report("", Recorded::new().stream(1, "s", None).end());
    run.expect(&[3]).expect_stderr(0, "s: FAIL: no sample came");
    let cut =
        Recorded::new().stream(1, "s", None).samples(1, (0..50).map(|i| i * MS)).bytes;
    let run = report("", cut);
    run.expect(&[3]).expect_stderr(0, "by-hand broke off");
    assert_eq!(run.json()[0]["sessions"][0]["broke_off"], "by-hand");
    assert_eq!(run.json()[0]["verdict"], "FAIL");
}

#[test]
fn beyond_the_exact_limit_percentiles_are_near_and_all_else_is_exact() {
    let mut state = 5;
    let times = times(30_000, |_| 4_000_000 + (noise(&mut state) % 3_000_000) as i64);
    let exact = stream(&report("", of_times(times.clone())));
    let near = stream(&report("--exact-limit 1000", of_times(times)));
    let (exact, near) = (&exact["intervals"], &near["intervals"]);
    assert_eq!((&exact["exact"], &near["exact"]), (&true.into(), &false.into()));
    for figure in ["count", "mean_ns", "deviation_ns", "min_ns", "max_ns"] {
        assert_eq!(exact[figure], near[figure], "{figure}");
    }
    let error = near["percentile_error"].as_f64().unwrap();
    for figure in ["p0_1_ns", "p1_ns", "p5_ns", "p50_ns", "p95_ns", "p99_ns", "p99_9_ns"]
    {
        let (exact, near) =
            (exact[figure].as_f64().unwrap(), near[figure].as_f64().unwrap());
        assert!((near / exact - 1.0).abs() <= error * 1.01, "{figure}: {exact} {near}");
    }
}

/// Not run as a rule: takes half a minute.
#[test]
#[ignore = "writes 18.7 million samples"]
fn a_day_takes_less_than_200_mib() {
    let desk = Desk::new();
    let day = desk.path("day.frames");
    let made =
        pipe("sim-src sine:rate=217 -n 18748800 --rate max | batch-frames -n 1000");
    let file = fs::File::create(Path::new(&day)).unwrap();
    made.output_fd(file).run().expect(&[0, 0]);
    let run = pipe(&format!("jitter-report -f json {day}")).run();
    assert!(run.expect(&[0]).peaks[0] < 200 << 20, "{} MiB", run.peaks[0] >> 20);
    assert_eq!(stream(&run)["intervals"]["exact"], true);
}
