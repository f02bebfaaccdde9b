//! What `to-metrics` shows of pipes that run, end, break off and lose samples.

mod clients;
mod examples;
mod files;
mod http;

use std::process::Command;
use std::time::Duration;

use framepipe_tests::{Run, Started, pipe, root};
use libframe::clock::Clock;
use libframe::payload::{Gap, Payload as _, Reason};
use libframe::schema::{Media, Stream};
use libframe::wire::{Header, Kind, Record};
use rustix::process::Signal;

use http::{address, ask, scrape, scrape_until, until};

/// Any port that is free, told in a file.
const TOOL: &str = "to-metrics 0 --port-file {new}/port";

fn made(line: &str) -> Vec<u8> {
    pipe(line).run().stdout
}

/// The tool with these bytes, and a stdin that stays open.
fn shown(bytes: impl Into<Vec<u8>>) -> (Started, String) {
    let started = pipe(TOOL).input_left_open(bytes).start();
    let address = address(&started);
    (started, address)
}

fn close(mut started: Started) -> Run {
    started.close_stdin();
    started.wait()
}

#[test]
fn a_pipe_that_runs_shows_every_stage_and_stream() {
    let line = format!(
        "sim-src glove camera:size=32x32 --rate 200 | batch-frames -n 4 | {TOOL}"
    );
    let mut started = pipe(&line).start();
    let address = address(&started);
    let stage = "framepipe_stage_input_samples_total{stage=\"to-metrics\",index=\"2\"}";
    until("a report of each stage", || scrape(&address).get(stage) > Some(100.0));
    let page = scrape(&address);
    for (name, index) in [("sim-src", 0), ("batch-frames", 1), ("to-metrics", 2)] {
        let labels = format!("{{stage=\"{name}\",index=\"{index}\"}}");
        let of = |what: &str| page.get(&format!("framepipe_stage_{what}{labels}"));
        assert!(of("input_samples_total") > Some(0.0), "{name}");
        assert!(of("resident_memory_bytes") > Some(1e6), "{name}");
        assert!(of("cpu_seconds_total") > Some(0.0), "{name}");
        assert!(of("hop_seconds_count") > Some(0.0), "{name}");
        let info = format!("framepipe_stage_info{{stage=\"{name}\",index=\"{index}\",");
        assert!(page.samples.keys().any(|key| key.starts_with(&info)), "{name}");
    }
    let queue = "framepipe_stage_queue_limit_bytes{stage=\"sim-src\",index=\"0\"}";
    page.expect(queue, f64::from(4 << 20));
    for stream in ["glove", "camera"] {
        let of = |what: &str| {
            page.get(&format!("framepipe_stream_{what}{{stream=\"{stream}\"}}"))
        };
        let rate = of("mean_rate_hertz").unwrap();
        assert!((rate / 200.0 - 1.0).abs() < 0.5, "{rate}");
        let age = of("last_sample_age_seconds").unwrap();
        assert!((0.0..20.0).contains(&age), "{age}");
        let since_1970 = Clock::system().reading().realtime.unwrap() as f64 / 1e9;
        let stamp = of("last_sample_timestamp_seconds").unwrap();
        assert!((since_1970 - stamp).abs() < 20.0, "{stamp}");
    }
    page.expect("framepipe_sessions_begun_total", 1.0)
        .expect("framepipe_input_over", 0.0);
    // Counts grow.
    let samples = "framepipe_stream_samples_total{stream=\"glove\"}";
    let before = page.get(samples);
    until("more samples", || scrape(&address).get(samples) > before);
    started.signal(0, Signal::TERM);
    started.wait().expect(&[0, 0, 0]).expect_silence();
}

/// Runs the Python that compares pages, or says loudly that it could not.
fn python(args: &[&str]) {
    let python = root().join(".venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: no .venv with prometheus_client; run scripts/setup");
        return;
    }
    let script = root().join("tests/python/metrics.py");
    let output = Command::new(python).arg(script).args(args).output().unwrap();
    let (out, err) =
        (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "{}\n{err}", String::from_utf8_lossy(&out));
}

#[test]
fn the_official_parsers_read_it_and_its_figures_are_those_of_inspect_frames() {
    let faults = "--fault gap=2% --fault drop=1% --fault dup=1% --fault reorder=1%";
    for line in [
        format!("sim-src glove control -n 700 --rate 700 --event hit/200ms {faults}"),
        "sim-src glove --rate 500 -n 800 --fault flip=2% | batch-frames -n 3".into(),
    ] {
        let bytes = made(&line);
        let report = pipe("inspect-frames -f json").input(&bytes[..]).run();
        let (started, address) = shown(bytes);
        scrape_until(&address, "framepipe_sessions_ended_total", 1.0);
        let text = ask(&address, "GET /metrics", "").body;
        let accept = "Accept: application/openmetrics-text; version=1.0.0\r\n";
        let open = ask(&address, "GET /metrics", accept);
        assert!(open.head.contains("application/openmetrics-text; version=1.0.0"));
        let scratch = started.scratch();
        let files = ["text", "open", "json"].map(|name| scratch.file(name));
        std::fs::write(&files[0], text).unwrap();
        std::fs::write(&files[1], open.body).unwrap();
        std::fs::write(&files[2], &report.stdout).unwrap();
        python(&files.each_ref().map(String::as_str));
        close(started).expect(&[3]);
    }
}

#[test]
fn counters_go_on_over_sessions_and_each_is_told_how_it_ended() {
    let first = made("sim-src sine -n 100 --rate max");
    let second = made("sim-src sine -n 40 --rate max");
    let whole = made("sim-src sine -n 7 --rate max");
    let at = whole.windows(5).rposition(|bytes| bytes == b"\xD5FP1\x09").unwrap();
    let broken = &whole[..at];
    let session = |bytes: &[u8]| {
        format!("{:08x}", u32::from_le_bytes(bytes[12..16].try_into().unwrap()))
    };
    let samples = "framepipe_stream_samples_total{stream=\"sine\"}";
    let (mut started, address) = shown(&first[..]);
    let page = scrape_until(&address, "framepipe_sessions_ended_total", 1.0);
    page.expect(samples, 100.0);
    // The last one can be seen until another begins.
    let open =
        |of: &[u8]| format!("framepipe_session_open{{session=\"{}\"}}", session(of));
    page.expect(&open(&first), 0.0);
    started.feed(broken);
    let page = scrape_until(&address, samples, 107.0);
    page.expect(&open(&whole), 1.0).expect("framepipe_sessions_begun_total", 2.0);
    assert_eq!(page.get(&open(&first)), None);
    started.feed(&second);
    let page = scrape_until(&address, "framepipe_sessions_ended_total", 2.0);
    page.expect(samples, 147.0).expect("framepipe_sessions_broken_off_total", 1.0);
    page.expect(
        "framepipe_stage_output_samples_total{stage=\"sim-src\",index=\"0\"}",
        147.0,
    );
    close(started).expect(&[3]).expect_stderr(0, "sim-src broke off");
}

#[test]
fn losses_have_a_stage_and_a_reason_and_late_samples_are_found() {
    let whole = made("sim-src sine -n 100 --rate max");
    let data: Vec<_> = (0..whole.len() - 5)
        .filter(|at| whole[*at..].starts_with(b"\xD5FP1\x03"))
        .collect();
    // Sample 50 comes after 55, and 80 is damaged.
    let mut bytes = [
        &whole[..data[50]],
        &whole[data[51]..data[56]],
        &whole[data[50]..data[51]],
        &whole[data[56]..],
    ]
    .concat();
    bytes[data[80] + 50] ^= 1;
    let (started, address) = shown(bytes);
    let page = scrape_until(&address, "framepipe_sessions_ended_total", 1.0);
    let of = |what: &str, reason: &str| {
        let labels = format!("stream=\"sine\",stage=\"to-metrics\",reason=\"{reason}\"");
        format!("framepipe_stream_{what}_total{{{labels}}}")
    };
    page.expect(&of("lost_samples", "upstream"), 1.0);
    page.expect(&of("found_samples", "upstream"), 1.0);
    page.expect(&of("lost_samples", "corrupt"), 1.0);
    page.expect(&of("gaps", "corrupt"), 1.0);
    page.expect("framepipe_stream_missing_samples{stream=\"sine\"}", 1.0);
    page.expect("framepipe_stream_reordered_samples_total{stream=\"sine\"}", 1.0);
    page.expect("framepipe_stream_samples_total{stream=\"sine\"}", 99.0);
    page.expect("framepipe_input_damaged_places_total{cause=\"payload\"}", 1.0);
    page.expect("framepipe_input_damaged_places_total{cause=\"header\"}", 0.0);
    close(started).expect(&[3]);
}

#[test]
fn samples_that_lack_channels_are_a_loss_too() {
    let mut bytes = Vec::new();
    announce(1, 7, "rig", &mut bytes);
    for (first, reason) in
        [(0, Reason::Transport), (8, Reason::Transport), (8, Reason::Queue)]
    {
        let (partial, channels, stage) = (Some(5), vec![2, 3], "zmq-src".into());
        let gap = Gap { first, reason, partial, channels, stage, ..Gap::default() };
        Record::new(header(Kind::GAP, 1, 7, 0), &gap.to_bytes()).encode(&mut bytes);
    }
    let (started, address) = shown(bytes);
    let of = |what: &str, reason: &str| {
        let labels = format!("stream=\"rig\",stage=\"zmq-src\",reason=\"{reason}\"");
        format!("framepipe_stream_{what}_total{{{labels}}}")
    };
    let page = scrape_until(&address, &of("partial_samples", "queue"), 5.0);
    page.expect(&of("partial_samples", "transport"), 10.0);
    page.expect(&of("gaps", "transport"), 2.0)
        .expect(&of("lost_samples", "transport"), 0.0);
    page.expect(&of("unknown_gaps", "transport"), 0.0);
    close(started).expect(&[3]);
}

fn header(kind: Kind, stream: u16, session: u32, seq: u64) -> Header {
    Header { kind, flags: 0, stream, session, seq, time: 5, sent: 6 }
}

fn announce(stream: u16, session: u32, name: &str, out: &mut Vec<u8>) {
    let description =
        Stream { name: name.into(), media: Media::Bytes, ..Stream::default() };
    let payload = description.to_bytes();
    Record::new(header(Kind::STREAM, stream, session, 0), &payload).encode(out);
}

#[test]
fn names_of_any_kind_are_escaped() {
    let odd = "a\"b\\c\nd{x=\"y\"} 7 #é";
    let mut bytes = Vec::new();
    announce(1, 7, odd, &mut bytes);
    Record::new(header(Kind::DATA, 1, 7, 0), b"x").encode(&mut bytes);
    let gap = Gap {
        first: 1,
        reason: Reason::Queue,
        stage: "\u{7}\"".into(),
        ..Gap::default()
    };
    Record::new(header(Kind::GAP, 1, 7, 1), &gap.to_bytes()).encode(&mut bytes);
    let (started, address) = shown(bytes);
    let labels = r#"stream="a\"b\\c\nd{x=\"y\"} 7 #é""#;
    let name = format!("framepipe_stream_samples_total{{{labels}}}");
    let page = scrape_until(&address, &name, 1.0);
    let unknown = format!(
        "framepipe_stream_unknown_gaps_total{{{labels},stage=\"\u{fffd}\\\"\",reason=\"queue\"}}"
    );
    page.expect(&unknown, 1.0);
    let file = started.scratch().file("text");
    std::fs::write(&file, &page.text).unwrap();
    python(&[&file, odd]);
    close(started).expect(&[3]);
}

#[test]
fn a_flood_of_names_fills_neither_our_memory_nor_that_of_prometheus() {
    let mut bytes = Vec::new();
    for session in 1..=20u32 {
        for stream in 1..=4000u16 {
            announce(stream, session, &format!("stream-{session}-{stream}"), &mut bytes);
            let mut seq = 0;
            for first in [0, 2] {
                let record = header(Kind::DATA, stream, session, first);
                Record::new(record, b"x").encode(&mut bytes);
                seq = first + 1;
            }
            let gap = Gap {
                first: seq,
                count: Some(1),
                reason: Reason::Queue,
                stage: format!("stage-{stream}"),
                ..Gap::default()
            };
            Record::new(header(Kind::GAP, stream, session, seq + 1), &gap.to_bytes())
                .encode(&mut bytes);
        }
    }
    let (mut started, address) = shown(bytes);
    started.until_fed();
    until("all samples", || {
        scrape(&address).sum("framepipe_stream_samples_total") >= 160_000.0
    });
    let page = scrape(&address);
    assert_eq!(page.sum("framepipe_stream_samples_total"), 160_000.0);
    assert_eq!(page.sum("framepipe_stream_lost_samples_total"), 160_000.0);
    assert_eq!(page.all("framepipe_stream_samples_total").count(), 1001);
    assert!(page.all("framepipe_stream_lost_samples_total").count() < 2010);
    assert!(page.text.len() < 4 << 20, "{} bytes", page.text.len());
    page.expect("framepipe_label_limit_reached{names=\"stream\"}", 1.0);
    page.expect("framepipe_stream_samples_total{stream=\"_other\"}", 158_000.0);
    let run = close(started);
    run.expect(&[3]);
    // Four sessions of 4000 streams are open at once, each with a loss, and half of it is the
    // books that every reader keeps: a bound all the same, and no more for more of them.
    assert!(run.peaks[0] < 48 << 20, "{} KiB", run.peaks[0] >> 10);
}

#[test]
fn health_is_that_samples_come() {
    let line = format!("{TOOL} --stale 300ms");
    let whole = made("sim-src sine -n 10 --rate max");
    let mut started = pipe(&line).input_left_open(&whole[..]).start();
    let address = address(&started);
    let health = || ask(&address, "GET /healthz", "").status;
    until("it is stale", || health() == 503);
    started.feed(&made("sim-src sine -n 10 --rate max"));
    until("it is well again", || health() == 200);
    until("it is stale again", || health() == 503);
    assert!(ask(&address, "GET /healthz", "").body.starts_with("no samples for 0."));
    close(started).expect(&[0]);
}

#[test]
fn at_the_end_it_waits_for_a_scrape_if_asked_to() {
    let line = format!("sim-src sine -n 50 --rate max | {TOOL} --linger 10m -v");
    let mut started = pipe(&line).start();
    let address = address(&started);
    started.until_stderr(1, "waiting for a last scrape");
    assert_eq!(ask(&address, "GET /healthz", "").body, "the pipe has ended\n");
    assert_eq!(ask(&address, "HEAD /metrics", "").body, "");
    started.after(Duration::from_millis(100));
    assert!(started.is_running(1), "nobody saw the end yet");
    let page = scrape(&address);
    page.expect("framepipe_input_over", 1.0);
    page.expect("framepipe_stream_samples_total{stream=\"sine\"}", 50.0);
    let run = started.wait();
    run.expect(&[0, 0]);
    assert_eq!(run.scratch.unwrap().names(), [""; 0], "the port file is gone");
}

#[test]
fn it_may_be_a_branch() {
    let line = "sim-src sine --rate 1000 --duration 2s | fan-out --must 'cat > {new}/x.frames' \
                --may 'show=to-metrics 0 --port-file {new}/port'";
    let bin = framepipe_tests::binary("sim-src");
    let path = format!("{}:/usr/bin:/bin", bin.parent().unwrap().display());
    let started = pipe(line).env("PATH", &path).start();
    let address = address(&started);
    let stage = "framepipe_stage_queue_limit_bytes{stage=\"fan-out:show\",index=\"1\"}";
    until("what fan-out tells of the branch", || scrape(&address).get(stage).is_some());
    started.wait().expect(&[0, 0]);
}

#[test]
fn a_plan_names_the_port_and_the_files() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let line = format!("to-metrics {port} --textfile /no/such/x.prom --plan");
    let run = pipe(&line).run();
    let needs = run.expect(&[1]).json()[0]["needs"].to_string();
    assert!(needs.contains("already in use") && needs.contains("/no/such"), "{needs}");
    drop(listener);
    pipe(&format!("to-metrics {port} --plan")).run().expect(&[0]);
}
