//! `capture-glove`, at a simulated glove's port and on recorded bytes.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use framepipe_tests::{Pipe, Run, Started, pipe, root};
use libframe::clock::{Clock, SECOND};
use libframe::payload::{End, Event, Gap, Reason, Value};
use libframe::schema::{Dtype, Stream};
use libframe::wire::{Header, Kind};
use rustix::process::Signal;
use rustix::pty;

use crate::sim_device::Bench;

/// A glove that runs, and a capture at its port.
struct Rig {
    bench: Bench,
    glove: Started,
}

impl Rig {
    fn new(options: &str) -> Rig {
        let bench = Bench::new();
        let mut glove = bench.glove(options);
        glove.until_stdout(|text| text.ends_with(b"\n"));
        Rig { bench, glove }
    }

    fn capture(&self, options: &str) -> Pipe {
        pipe(&format!("capture-glove {} {options}", self.bench.link().display()))
    }

    /// Ends the glove, and tells what it sent.
    fn stop(mut self) -> Vec<(i64, bool)> {
        self.glove.signal(0, Signal::TERM);
        self.glove.wait();
        self.bench.sent()
    }
}

fn events(run: &Run) -> Vec<(String, Value)> {
    let events = run.payloads::<Event>().into_iter();
    events.map(|event| (event.label, event.value)).collect()
}

fn labels(run: &Run) -> Vec<String> {
    events(run).into_iter().map(|(label, _)| label).collect()
}

fn data(run: &Run) -> Vec<(Header, Vec<u8>)> {
    run.of_kind(&[Kind::DATA])
}

/// The recorded glove, or a loud word that there is none.
fn recorded() -> Option<PathBuf> {
    let path = root().join("../shared/fixtures/glove_data_20251024_214002.bin");
    if !path.exists() {
        eprintln!("skipped: no recorded glove beside this repository");
        return None;
    }
    Some(path)
}

fn sha256(bytes: &[u8]) -> String {
    let mut sum = Command::new("sha256sum");
    let mut child =
        sum.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sha256sum");
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap().stdout;
    String::from_utf8(output).unwrap()[..64].to_owned()
}

#[track_caller]
fn expect_the_known_frames(run: &Run, stamp: &str) {
    let data = data(run);
    assert_eq!(data.len(), 238, "{}", run.everything());
    assert!(data.iter().zip(0..).all(|((header, _), seq)| header.seq == seq));
    assert!(data.windows(2).all(|two| two[0].0.time <= two[1].0.time));
    let bytes: Vec<u8> = data.into_iter().flat_map(|(_, frame)| frame).collect();
    assert_eq!(
        sha256(&bytes),
        "af50f9aea40bfef2f51f504b65fdb0d4dfab0228a2fa3f0f8d43715b700bcd09"
    );
    let stream = &run.payloads::<Stream>()[0];
    assert_eq!((stream.stamp.as_str(), stream.rate), (stamp, None));
    assert_eq!(stream.meta["side"], "body");
}

#[test]
fn a_recorded_glove_gives_the_known_frames_from_a_file_and_a_pipe() {
    let Some(path) = recorded() else { return };
    let run = pipe(&format!("capture-glove {}", path.display())).run();
    run.expect(&[0]).expect_silence();
    expect_the_known_frames(&run, "synthetic");
    let run = pipe("capture-glove -v -").input(fs::read(path).unwrap()).run();
    run.expect(&[0]).expect_stderr(0, "75 bytes before the first packet, 4 after");
    expect_the_known_frames(&run, "synthetic");
}

#[test]
fn a_recorded_glove_gives_the_known_frames_through_a_pseudo_terminal() {
    let Some(path) = recorded() else { return };
    let rig = Rig::new(&format!("--wait-for-client --replay {}", path.display()));
    let run = rig.capture("-n 238").run();
    run.expect(&[0]).expect_silence();
    expect_the_known_frames(&run, "arrival");
}

#[test]
fn every_frame_of_a_glove_is_captured_and_stamped_as_it_arrives() {
    let rig = Rig::new("--wait-for-client");
    let run = rig.capture("-n 300").run();
    run.expect(&[0]).expect_silence();
    assert_eq!(run.payloads::<End>()[0].reason, "count");
    let sent = rig.stop();
    let data = data(&run);
    let delays: Vec<_> = data
        .iter()
        .zip(&sent)
        .map(|((header, _), (sent, _))| header.time - sent)
        .collect();
    // On a busy machine some are late, and some seem early: a glove that is late itself sends
    // faster than a line can.
    let mut sorted = delays;
    sorted.sort();
    assert!(sorted[150] < SECOND / 500, "{sorted:?}");
    let stream = &run.payloads::<Stream>()[0];
    assert_eq!((stream.dtype, &stream.shape[..]), (Some(Dtype::U8), &[272][..]));
    assert_eq!((stream.fields.len(), stream.sensors.len()), (2, 137));
    assert_eq!((stream.name.as_str(), stream.meta["side"].as_str()), ("glove", "left"));
    assert!(
        stream.device.port.ends_with("/glove") && stream.device.model == "JQ20-XL-11"
    );
    assert!(stream.device_clock.is_none());
}

#[test]
fn a_frame_goes_out_when_it_is_complete_and_not_when_the_next_one_comes() {
    let rig = Rig::new("--rate 20 --wait-for-client");
    let run = rig.capture("-n 20").run();
    let sent = rig.stop();
    let data = data(run.expect(&[0]));
    let mut delays: Vec<_> = data
        .iter()
        .zip(&sent)
        .map(|((header, _), (sent, _))| header.sent - sent)
        .collect();
    delays.sort();
    // The next packet comes 25 ms later.
    assert!(delays[10] < SECOND / 100, "{delays:?}");
}

#[test]
fn a_backlog_is_told_and_not_stamped_as_if_it_were_fresh() {
    let rig = Rig::new("--wait-for-client");
    let mut capture = rig.capture("").start();
    capture.until_samples(400).signal(0, Signal::STOP);
    capture.after(Duration::from_millis(120));
    capture.signal(0, Signal::CONT);
    capture.until_samples(600).signal(0, Signal::TERM);
    let run = capture.wait();
    run.expect(&[0]).expect_silence();
    assert!(labels(&run).contains(&"backlog".to_owned()), "{:?}", events(&run));
    let sent = rig.stop();
    let data = data(&run);
    let errors =
        data.iter().zip(&sent).map(|((header, _), (sent, _))| header.time - sent);
    let worst = errors.max().unwrap();
    // All frames of the pause would be up to 120 ms late if they were stamped when read.
    assert!(worst < SECOND * 2 / 25, "{worst} ns");
}

#[test]
fn a_line_that_loses_bytes_costs_what_is_told_and_no_more() {
    let rig = Rig::new("-n 600 --rate 300 --lose 0.05% --wait-for-client");
    let run = rig.capture("--on-unplug quit").run();
    // The glove ends by being pulled out.
    run.expect(&[1]).expect_stderr(0, ": unplugged after ");
    let lost = rig.bench.sent().iter().filter(|(_, lost)| *lost).count() as u64;
    let gaps = run.payloads::<Gap>();
    let told: u64 = gaps.iter().filter_map(|gap| gap.count).sum();
    assert!(lost > 20 && told <= lost && told * 10 > lost * 7, "{told} of {lost}");
    let unknown = gaps.iter().filter(|gap| gap.count.is_none()).count();
    assert!(told == lost || unknown > 0, "{told} of {lost}");
    // What was given too early stands for a frame that was lost.
    let doubtful =
        labels(&run).iter().filter(|label| *label == "doubtful").count() as u64;
    assert_eq!(data(&run).len() as u64 - doubtful, 600 - lost);
    for gap in &gaps {
        assert_eq!((gap.reason, gap.stage.as_str()), (Reason::Parser, "capture-glove"));
        assert!(gap.detail.starts_with("at byte "), "{gap:?}");
        assert!(gap.from.is_none_or(|from| gap.to.is_some_and(|to| from <= to)));
    }
    let report = pipe("inspect-frames").input(run.stdout).run();
    report.expect(&[3]);
}

#[test]
fn losses_are_counted_and_are_exit_status_3() {
    let rig = Rig::new("--rate 300 --lose 0.1% --wait-for-client");
    let run = rig.capture("-n 200").run();
    run.expect(&[3]).expect_stderr(0, "reason: parser");
    rig.stop();
    let rig = Rig::new("--rate 300 --lose 0.1% --wait-for-client");
    let line = "--max-loss 100% -n 200";
    // An unknown number is no share.
    let code = rig.capture(line).run().codes()[0];
    assert!([0, 3].contains(&code), "{code}");
    rig.stop();
}

#[test]
fn joining_in_the_middle_of_a_packet_is_no_loss() {
    let rig = Rig::new("--rate 400 --start-mid-packet");
    rig.capture("-n 50").run().expect(&[0]).expect_silence();
    rig.stop();
}

#[test]
fn a_glove_that_sleeps_is_an_event_and_not_an_error() {
    let rig = Rig::new("--rate 100 --sleep 700ms/1s --wait-for-client");
    let run = rig.capture("--silence 200ms -n 60").run();
    run.expect(&[0]).expect_silence();
    let mut labels = labels(&run);
    labels.retain(|label| label != "backlog");
    assert_eq!(labels[..2], ["silent", "awake"], "once in a pause: {labels:?}");
    assert!(labels.len() <= 4, "{labels:?}");
    rig.stop();
    let rig = Rig::new("--rate 100 --sleep 700ms/1s --wait-for-client");
    let run = rig.capture("--silence 0s -n 60").run();
    assert!(!self::labels(run.expect(&[0])).contains(&"silent".to_owned()));
    rig.stop();
    let rig = Rig::new("--rate 100 --sleep 9700ms/10s --wait-for-client");
    let run = rig.capture("--idle 300ms").run();
    assert_eq!(run.expect(&[0]).payloads::<End>()[0].reason, "idle");
    rig.stop();
}

#[test]
fn unplugging_ends_a_capture_as_a_failure_and_what_came_is_whole() {
    let rig = Rig::new("--rate 400 --unplug 600ms/1s");
    let run = rig.capture("").run();
    run.expect(&[1]).expect_stderr(0, "--on-unplug wait would go on");
    assert_eq!(labels(&run).last().unwrap(), "unplugged");
    assert_eq!(run.payloads::<End>()[0].reason, "failure");
    pipe("inspect-frames").input(run.stdout).run().expect(&[0]);
    rig.stop();
}

#[test]
fn a_glove_that_comes_back_is_captured_on_and_the_gap_is_told() {
    let rig = Rig::new("--rate 400 --unplug 500ms/1s --wait-for-client");
    let run = rig.capture("--on-unplug wait --duration 1700ms").run();
    run.expect(&[3]).expect_stderr(0, "reason: device");
    let mut labels = labels(&run);
    labels.retain(|label| label.ends_with("plugged"));
    assert_eq!(labels[..2], ["unplugged", "replugged"], "{labels:?}");
    let gaps = run.payloads::<Gap>();
    let away = gaps.iter().find(|gap| gap.reason == Reason::Device).unwrap();
    let (from, to) = (away.from.unwrap(), away.to.unwrap());
    assert_eq!(away.count, None);
    assert!((SECOND / 3..SECOND).contains(&(to - from)), "{}", to - from);
    // The last frame before it and the first after it are those of the gap.
    let data = data(&run);
    let times: Vec<_> = data.iter().map(|(header, _)| header.time).collect();
    let at = times.iter().position(|time| *time == from).unwrap();
    assert_eq!((times[at + 1], data[at + 1].0.seq), (to, away.first));
    for (label, port) in events(&run) {
        let told = matches!(&port, Value::Text(path) if path.starts_with("/dev/pts/"));
        assert!(told || !label.ends_with("plugged"), "{label}: {port:?}");
    }
    rig.stop();
}

#[test]
fn a_glove_that_does_not_come_back_is_waited_for_until_the_end() {
    let mut rig = Rig::new("--rate 400");
    let mut capture = rig.capture("--on-unplug wait").start();
    capture.until_samples(50);
    rig.glove.signal(0, Signal::TERM);
    rig.glove.after(Duration::from_millis(300));
    capture.until_records(Kind::EVENT, 1).signal(0, Signal::TERM);
    let run = capture.wait();
    run.expect(&[3]);
    assert_eq!(labels(&run).last().unwrap(), "unplugged");
    assert_eq!(run.payloads::<Gap>()[0].count, None);
    assert_eq!(run.payloads::<End>()[0].reason, "signal");
}

#[test]
fn a_port_that_is_in_use_is_not_shared_and_its_user_is_named() {
    let rig = Rig::new("--rate 400");
    let mut first = rig.capture("").start();
    first.until_samples(10);
    let second = rig.capture("-n 10").run();
    second.expect(&[1]).expect_stderr(0, ": in use by process ");
    second.expect_stderr(0, "(capture-glove); one program can read it at a time");
    let before = Clock::system().now();
    first.signal(0, Signal::TERM);
    // The other one cost it nothing.
    first.wait().expect(&[0]).expect_silence();
    assert!(Clock::system().now() - before < 2 * SECOND, "the line must not hold it up");
    rig.stop();
}

#[test]
fn signals_and_readers_are_as_the_contract_says() {
    let rig = Rig::new("--rate 400");
    let mut capture = rig.capture("").start();
    capture.until_samples(20).signal(0, Signal::USR1);
    capture.until_stderr(0, "capture-glove: ").signal(0, Signal::INT);
    let run = capture.wait();
    assert_eq!(run.expect(&[0]).payloads::<End>()[0].reason, "signal");

    let mut capture = rig.capture("--duration 300ms").start();
    capture.read_stdout();
    assert_eq!(capture.wait().expect(&[0]).payloads::<End>()[0].reason, "duration");

    let mut capture = rig.capture("").start();
    capture.until_ready(0).close_stdout();
    capture.wait().expect(&[0]).expect_stderr(0, "the reader of stdout went away");

    let full = File::options().write(true).open("/dev/full").unwrap();
    let run = rig.capture("").output_fd(full).run();
    run.expect(&[1]).expect_stderr(0, "No space left on device");
    rig.stop();
}

#[test]
fn a_fast_glove_loses_nothing_that_reached_the_port() {
    let rig = Rig::new("-n 8000 --rate 4340 --wait-for-client");
    let run = rig.capture("").run();
    run.expect_stderr(0, ": unplugged after ");
    let sent = rig.bench.sent();
    let lost = sent.iter().filter(|(_, lost)| *lost).count();
    let doubtful = labels(&run).iter().filter(|label| *label == "doubtful").count();
    assert_eq!(data(&run).len() - doubtful, sent.len() - lost, "{lost} lost on the line");
    assert_eq!(run.payloads::<Gap>().is_empty(), lost == 0);
}

/// A recording of two gloves, one after the other, the button in between.
fn two_gloves() -> Vec<u8> {
    let frame = |body: u8| {
        let packet = |index: u8, len: usize| {
            [&[0xAA, 0x55, 3, 0x99, index, body][..], &vec![7; len]].concat()
        };
        [packet(1, 128), packet(2, 144)].concat()
    };
    let version = b"C100010\xAA\x55\x03\x99".to_vec();
    [frame(1).repeat(5), version, frame(1).repeat(5), frame(2).repeat(10)].concat()
}

#[test]
fn another_glove_at_the_same_port_is_described_anew() {
    let run = pipe("capture-glove -").input(two_gloves()).run();
    run.expect(&[3]).expect_stderr(0, "reason: parser");
    assert_eq!(run.samples(), 20);
    let streams = run.payloads::<Stream>();
    let told: Vec<_> = streams.iter().map(|s| (&*s.meta["side"], s.version)).collect();
    assert_eq!(told, [("left", 0), ("right", 1)]);
    assert_ne!(streams[0].sensors, streams[1].sensors);
    let gaps = run.payloads::<Gap>();
    assert!(gaps[0].detail.contains("changes of type: 1, now 2"), "{gaps:?}");
    assert_eq!((gaps[0].first, gaps[0].count), (10, None));
    assert_eq!(events(&run), [("version".to_owned(), Value::Text("C100010".into()))]);
}

#[test]
fn recorded_bytes_have_the_times_they_are_asked_to_have() {
    for (option, interval) in [("--rate 200", 5_000_000), ("", 284 * SECOND / 92_160)] {
        let line = format!("capture-glove - {option}");
        let run = pipe(&line).input(two_gloves()[..284 * 5].to_vec()).run();
        let times: Vec<_> = data(&run).iter().map(|(header, _)| header.time).collect();
        let even = times.windows(2).all(|two| (two[1] - two[0] - interval).abs() < 2);
        assert!(times.len() == 5 && even, "{option}: {times:?}");
    }
}

#[test]
fn maps_are_chosen_and_mistakes_in_them_told_at_the_start() {
    let describe = |options: &str| -> Run {
        pipe(&format!("capture-glove - {options}"))
            .input(two_gloves()[..2840].to_vec())
            .run()
    };
    let sensors = |options: &str| {
        let run = describe(options);
        run.expect(&[0]).payloads::<Stream>().remove(0)
    };
    assert_eq!(sensors("").sensors[0].index, 30);
    assert_eq!(sensors("--map right").sensors[0].index, 239);
    assert!(sensors("--map none").sensors.is_empty());
    let toml = root().join("examples/gloves/jq20-left.toml");
    assert_eq!(
        sensors(&format!("--map {}", toml.display())).sensors,
        sensors("").sensors
    );
    let stream = sensors("--stream-name left-hand --calibration bench-7 --map left");
    assert_eq!((&*stream.name, &*stream.meta["calibration"]), ("left-hand", "bench-7"));
    let run = describe("--map nowhere.csv");
    run.expect(&[1]).expect_stderr(0, "--map: nowhere.csv: No such file");
    let csv = root().join("../shared/fixtures/glove_sensor_map.csv");
    if !csv.exists() {
        eprintln!("skipped: no sensor map beside this repository");
        return;
    }
    let stream = sensors(&format!("--map {}", csv.display()));
    assert_eq!(stream.sensors.len(), 161, "four rows are not assigned");
    let first = &stream.sensors[0];
    assert_eq!((first.id, first.index, &*first.region), (1, 22, "middle_tip"));
    assert_eq!(first.position, Some([63.743, 247.982, 0.0]));
}

#[test]
fn what_is_no_glove_is_told() {
    let noise: Vec<u8> =
        (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let run = pipe("capture-glove -").input(noise.clone()).run();
    run.expect(&[1]).expect_stderr(0, "no frame in 100000 bytes");
    pipe("capture-glove -").run().expect(&[1]).expect_stderr(0, "no frame in 0 bytes");

    let device = pty::openpt(pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY).unwrap();
    pty::grantpt(&device).unwrap();
    pty::unlockpt(&device).unwrap();
    let path = pty::ptsname(&device, Vec::new()).unwrap().into_string().unwrap();
    let mut capture = pipe(&format!("capture-glove {path}")).start();
    capture.until_ready(0).after(Duration::from_millis(300));
    let mut device = File::from(device);
    // What is left of it when the capture has had enough must fit into the terminal.
    device.write_all(&noise[..70_000]).unwrap();
    let run = capture.wait();
    run.expect(&[1]).expect_stderr(0, "no packet among them: this is no glove");
    run.expect_stderr(0, "--baud 921600");
}

#[test]
fn ports_that_are_not_there_are_told_with_those_that_are() {
    let run = pipe("capture-glove /dev/ttyNONE").run();
    run.expect(&[1]).expect_stderr(0, "capture-glove: /dev/ttyNONE: no such port; ");
    let run = pipe("capture-glove /dev/null").run();
    run.expect(&[1]).expect_stderr(0, "capture-glove: /dev/null: ");
    let list = pipe("capture-glove --list --format json").run();
    let ports = list.expect(&[0]).json();
    assert!(
        ports.as_array().is_some_and(|all| all.iter().all(|one| one["port"].is_string()))
    );
    pipe("capture-glove --list").run().expect(&[0]).expect_silence();
    let gloves =
        ports.as_array().unwrap().iter().filter(|one| one["glove"] == true).count();
    if gloves == 0 {
        let run = pipe("capture-glove auto").run();
        run.expect(&[1]).expect_stderr(0, "auto: no glove is plugged in; ");
    }
    let run = pipe("capture-glove").run();
    run.expect(&[2]).expect_stderr(0, "<PORT>");
}

#[test]
fn bytes_that_wait_too_long_are_lost_and_that_is_told() {
    let rig = Rig::new("--rate 400 --wait-for-client");
    let mut capture = rig.capture("").start();
    capture.until_samples(700).signal(0, Signal::STOP);
    sleep(Duration::from_millis(900));
    capture.signal(0, Signal::CONT);
    capture.until_samples(1000).signal(0, Signal::TERM);
    let run = capture.wait();
    run.expect(&[3]);
    let sent = rig.stop();
    let gaps = run.payloads::<Gap>();
    // However few the bytes seem to lack.
    assert!(gaps.iter().any(|gap| gap.count.is_none()), "{gaps:?} {:?}", events(&run));
    assert!(sent.iter().any(|(_, lost)| *lost));
}

#[test]
fn a_capture_takes_little_memory() {
    let rig = Rig::new("--rate 400");
    let run = rig.capture("-n 400").run();
    assert!(run.expect(&[0]).peaks[0] < 16 << 20, "{} KiB", run.peaks[0] / 1024);
    rig.stop();
}
