//! What the runtime promises for any device, however odd.

use framepipe_tests::{Pipe, Run, pipe};
use libframe::clock::SECOND;
use libframe::payload::{
    self, ClockReading, End, Gap, Payload as _, Reason, Session, Stats, Value,
};
use libframe::schema::Stream;
use libframe::wire::{FLAG_DEVICE_TIME, Kind};
use rustix::process::Signal;

fn source(device: &str) -> Pipe {
    pipe(&format!("'{}' {device}", env!("CARGO_BIN_EXE_odd-source")))
}

/// The labels of a run's events, and why it ended.
fn told(run: &Run) -> (Vec<String>, String) {
    let labels = run.payloads::<payload::Event>().into_iter().map(|event| event.label);
    (labels.collect(), run.payloads::<End>().remove(0).reason)
}

#[test]
fn a_device_that_waits_for_nothing_is_woken_by_the_signal() {
    let mut started = source("silent").start();
    started.until_records(Kind::DATA, 1).signal(0, Signal::TERM);
    let run = started.wait();
    run.expect(&[0]).expect_silence();
    assert_eq!(told(&run), (vec!["told to stop".to_owned()], "signal".to_owned()));
}

#[test]
fn a_device_that_waits_for_nothing_is_woken_when_its_time_is_up() {
    for (option, reason) in [("--duration", "duration"), ("--idle", "idle")] {
        let run = source(&format!("silent {option} 300ms")).run();
        run.expect(&[0]).expect_silence();
        assert_eq!(told(&run), (vec!["told to stop".to_owned()], reason.to_owned()));
    }
}

#[test]
fn a_device_that_does_not_listen_is_left_behind() {
    let mut started = source("deaf").start();
    started.until_records(Kind::DATA, 1).signal(0, Signal::TERM);
    let run = started.wait();
    assert_eq!(run.expect(&[0]).samples(), 1);
    assert_eq!(told(&run).1, "signal");
    let run = source("deaf --duration 300ms").run();
    assert_eq!(run.expect(&[0]).samples(), 1);
}

#[test]
fn a_device_that_fails_is_a_failure_and_what_it_gave_is_kept() {
    for (device, why) in [
        ("failing", "odd-source: the plug came out"),
        ("panicking", "odd-source: the device's thread died"),
    ] {
        let run = source(device).run();
        assert_eq!(run.expect(&[1]).expect_stderr(0, why).samples(), 5);
        assert_eq!(told(&run).1, "failure");
        // The recording is whole, so its readers have nothing to complain of.
        let reader = pipe("inspect-frames -f json").input(run.stdout).run();
        assert_eq!(reader.expect(&[0]).json()["sessions"][0]["end"], "failure");
    }
}

#[test]
fn samples_over_the_count_are_not_taken() {
    let run = source("eager -n 10").run();
    assert_eq!(run.expect(&[0]).samples(), 10);
    assert_eq!(told(&run).1, "count");
}

#[test]
fn the_description_in_force_is_the_one_that_is_announced_again() {
    let mut started = source("changing").start();
    started.until_records(Kind::STREAM, 6).signal(0, Signal::TERM);
    let run = started.wait();
    run.expect(&[0]).expect_silence();
    let streams = run.payloads::<Stream>();
    let told: Vec<_> = streams.iter().map(|s| (s.name.as_str(), s.version)).collect();
    let first = streams[0].version;
    assert_eq!(
        told[..4],
        [("odd", first), ("b", first + 1), ("c", first + 2), ("d", first + 3)]
    );
    assert!(told[4..].iter().all(|told| *told == ("d", first + 3)), "{told:?}");
    let seqs: Vec<_> = run.of_kind(&[Kind::STREAM]).iter().map(|(h, _)| h.seq).collect();
    assert_eq!(seqs[..4], [0, 1, 2, 3]);
    assert!(seqs[4..].iter().all(|seq| *seq == 3), "{seqs:?}");
}

#[test]
fn all_that_a_device_can_say_is_on_record() {
    let run = source("talkative").run();
    run.expect(&[3])
        .expect_stderr(0, "3 of 5 samples lost, and an unknown number more, gaps: 1");
    let data = run.of_kind(&[Kind::DATA]);
    let seqs: Vec<_> = data.iter().map(|(header, _)| header.seq).collect();
    assert_eq!(seqs, [0, 4]);
    assert_eq!(data[0].0.flags & FLAG_DEVICE_TIME, FLAG_DEVICE_TIME);
    assert_eq!(data[0].1, [&77u64.to_le_bytes()[..], b"timed"].concat());
    assert_eq!((data[1].0.flags, data[1].1.as_slice()), (0, &b"odd"[..]));
    let gaps = run.payloads::<Gap>();
    let told: Vec<_> =
        gaps.iter().map(|g| (g.first, g.count, g.reason, g.detail.as_str())).collect();
    let lost = (1, Some(3), Reason::Device, "overheated");
    assert_eq!(told, [lost, (5, None, Reason::Parser, "gibberish")]);
    let events = run.of_kind(&[Kind::EVENT]);
    let mark = payload::Event::from_bytes(&events[0].1).unwrap();
    assert_eq!((mark.value, mark.source.as_str()), (Value::Int(5), "odd-source"));
    assert_eq!((events[0].0.stream, events[0].0.seq), (1, 4));
    assert_eq!(events[1].0.stream, 0);
}

#[test]
fn the_session_and_its_clock_are_announced_first_and_the_session_again_each_second() {
    let mut started = source("silent").start();
    started.until_records(Kind::SESSION, 3).signal(0, Signal::TERM);
    let run = started.wait();
    let records = run.expect(&[0]).records();
    let kinds: Vec<_> = records.iter().map(|(header, _)| header.kind).take(3).collect();
    assert_eq!(kinds, [Kind::SESSION, Kind::CLOCK, Kind::STREAM]);
    let sessions = run.payloads::<Session>();
    assert!(sessions.iter().all(|session| *session == sessions[0]));
    let times: Vec<_> =
        run.of_kind(&[Kind::SESSION]).iter().map(|(h, _)| h.time).collect();
    // Only the first has the session's start, which is how readers know it.
    assert_eq!(times[0], sessions[0].start_monotonic);
    assert!(times[1..].iter().all(|time| *time > times[0]), "{times:?}");
    let clock = &run.payloads::<ClockReading>()[0];
    assert!(clock.realtime.is_some() && clock.monotonic >= times[0]);
}

#[test]
fn the_clock_is_looked_at_again() {
    // Every 10 s, so that a night's drift can be seen.
    let mut started = source("silent").start();
    started.until_records(Kind::CLOCK, 2).signal(0, Signal::TERM);
    let readings = started.wait().expect(&[0]).payloads::<ClockReading>();
    assert!(readings[1].monotonic - readings[0].monotonic >= 9 * SECOND);
}

#[test]
fn a_full_queue_drops_by_policy_and_says_so() {
    for (policy, kept) in [("drop-oldest", "last"), ("drop-newest", "first")] {
        let line = format!(
            "sim-src glove -n 200000 --rate max --queue 1MiB --overflow {policy} \
             --status 50ms --status-format json"
        );
        let mut started = pipe(&line).start();
        // Nobody reads until the source has made all it was asked for.
        started.until_stderr(0, "\"samples\":200000").read_stdout();
        let run = started.wait();
        run.expect(&[3]).expect_stderr(0, "reason: queue, by sim-src");
        let data = run.of_kind(&[Kind::DATA]);
        let lost: u64 = run.payloads::<Gap>().iter().filter_map(|gap| gap.count).sum();
        assert_eq!(data.len() as u64 + lost, 200_000, "{policy}");
        let last = data.last().unwrap().0.seq == 199_999;
        assert_eq!(last, kept == "last", "{policy}");
        let stats = run.payloads::<Stats>();
        assert_eq!(
            stats.iter().map(|stats| stats.dropped).sum::<u64>(),
            lost,
            "{policy}"
        );
        let deepest = stats.iter().map(|stats| stats.queue).max().unwrap();
        assert!((1 << 19..1 << 21).contains(&deepest), "{policy}: {deepest}");
    }
}

#[test]
fn a_queue_answers_for_what_it_dropped_and_not_for_what_never_came() {
    let made = "sim-src glove -n 50000 --rate max --fault drop=10%";
    let seqs = |run: &framepipe_tests::Run| -> Vec<u64> {
        run.of_kind(&[Kind::DATA]).iter().map(|(header, _)| header.seq).collect()
    };
    let whole = seqs(pipe(made).run().expect(&[0]));
    for policy in ["drop-oldest", "drop-newest"] {
        let line = format!(
            "{made} --queue 1MiB --overflow {policy} --status 50ms --status-format json"
        );
        let mut started = pipe(&line).start();
        started.until_stderr(0, &format!("\"samples\":{}", whole.len())).read_stdout();
        let run = started.wait();
        let gaps = run.expect(&[3]).payloads::<Gap>();
        let mut all = seqs(&run);
        all.extend(gaps.iter().flat_map(|gap| gap.first..gap.next()));
        all.sort();
        assert!(all == whole, "{policy}: {} of {}", all.len(), whole.len());
    }
}
