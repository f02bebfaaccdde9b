//! `queue-frames`

use std::collections::BTreeMap;
use std::time::Duration;

use framepipe_tests::{Run, Scratch, Started, pipe};
use libframe::payload::{
    End, Event, Gap, Payload, Reason, Session, Stats, Totals, Value,
};
use libframe::schema::{Dtype, Media, Stream};
use libframe::wire::{Header, Kind, Record};
use rustix::process::Signal;

use crate::full_disk::Small;

const MIB: u64 = 1 << 20;

/// What a queue must not touch, with everything but `sent`.
fn passed(records: &[(Header, Vec<u8>)]) -> Vec<(Header, Vec<u8>)> {
    let own = [Kind::SESSION, Kind::STATS, Kind::END];
    let is_own = |record: &&(Header, Vec<u8>)| {
        let event = Event::from_bytes(&record.1);
        let marks = event.is_ok_and(|event| event.label.starts_with("queue-"));
        own.contains(&record.0.kind) || record.0.kind == Kind::EVENT && marks
    };
    let others = records.iter().filter(|record| !is_own(record));
    others.map(|(header, bytes)| (Header { sent: 0, ..*header }, bytes.clone())).collect()
}

/// Lets a queue take everything while nobody reads it, then reads.
fn full_then_read(line: &str, input: &[u8]) -> Run {
    let mut started = pipe(line).input_left_open(input).start();
    // What the pipe holds is taken too.
    started.until_fed().after(Duration::from_millis(300)).close_stdin();
    started.wait()
}

/// Each stream's numbers that came, and those that GAPs tell of, in the order of the pipe.
/// The deepest that the queue was, by its own STATS; the input has some of other stages.
fn deepest(run: &Run) -> u64 {
    let stats = run.payloads::<Stats>();
    let own = stats.iter().filter(|stats| stats.stage == "queue-frames");
    own.map(|stats| stats.queue).max().unwrap()
}

fn numbers(run: &Run) -> BTreeMap<(u32, u16), Vec<u64>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (header, payload) in run.of_kind(&[Kind::DATA, Kind::GAP]) {
        let numbers = match Gap::from_bytes(&payload) {
            Ok(gap) if header.kind == Kind::GAP => {
                assert_eq!(
                    (gap.reason, gap.stage.as_str()),
                    (Reason::Queue, "queue-frames")
                );
                gap.first..gap.next()
            }
            _ => header.seq..header.seq + 1,
        };
        all.entry((header.session, header.stream)).or_default().extend(numbers);
    }
    all
}

fn header(session: u32, kind: Kind, stream: u16, seq: u64) -> Header {
    Header { kind, flags: 0, stream, session, seq, time: 1000 * seq as i64, sent: 0 }
}

/// A session of streams with so many samples each, the first of them the more often.
fn session(tag: u32, samples: &[u64], size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let uuid = format!("session {tag}");
    let session = Session { uuid, ..Session::default() }.to_bytes();
    Record::new(header(tag, Kind::SESSION, 0, 0), &session).encode(&mut bytes);
    let mut totals = Vec::new();
    for (stream, samples) in (1..).zip(samples) {
        let description = Stream {
            name: format!("s{stream}"),
            media: Media::Samples,
            dtype: Some(Dtype::U8),
            shape: vec![size as u32],
            ..Stream::default()
        };
        let description = description.to_bytes();
        Record::new(header(tag, Kind::STREAM, stream, 0), &description)
            .encode(&mut bytes);
        let (next, samples) = (*samples, *samples);
        totals.push(Totals { stream, first: 0, next, samples, lost: 0 });
    }
    for at in 0..samples[0] {
        for (stream, n) in (1..).zip(samples) {
            // Spread evenly over those of the first stream.
            let seq = at * n / samples[0];
            if stream == 1 || (at + 1) * n / samples[0] > seq {
                let payload = vec![seq as u8; size];
                Record::new(header(tag, Kind::DATA, stream, seq), &payload)
                    .encode(&mut bytes);
            }
        }
    }
    let end = End { streams: totals, reason: "end".into() }.to_bytes();
    Record::new(header(tag, Kind::END, 0, 0), &end).encode(&mut bytes);
    bytes
}

#[test]
fn everything_passes_as_it_was_and_in_its_order() {
    let source = "sim-src glove sine camera:size=64x48 control -n 2000 --rate max \
                  --fault gap=2% --fault dup=1%";
    let before = pipe(source).run();
    for options in ["", "--queue 64KiB", "--queue-records 3", "--queue-time 1ms"] {
        let run =
            pipe(&format!("queue-frames {options}")).input(&before.stdout[..]).run();
        run.expect(&[3]);
        assert!(passed(&run.records()) == passed(&before.records()), "{options}");
        let end = |run: &Run| run.payloads::<End>()[0].streams.clone();
        assert_eq!(end(&run), end(&before));
    }
}

#[test]
fn stdin_is_read_while_nobody_reads_stdout() {
    let input = session(7, &[60_000, 30], 272);
    let run = full_then_read("queue-frames", &input);
    run.expect(&[0]).expect_silence();
    assert_eq!(run.samples(), 60_030);
    let queue = deepest(&run);
    assert!((15 * MIB..25 * MIB).contains(&queue), "{queue}");
}

#[test]
fn a_full_queue_that_blocks_makes_the_stage_before_wait() {
    for options in ["--queue 64KiB", "--queue-records 10", "--queue-time 10ms"] {
        let line = format!("sim-src glove -n 20000 --rate max | queue-frames {options}");
        let mut started = pipe(&line).start();
        started.after(Duration::from_millis(500));
        assert!(started.is_running(0), "{options}: the source should wait");
        let run = started.wait();
        run.expect(&[0, 0]).expect_silence();
        assert_eq!(run.samples(), 20_000);
    }
}

#[test]
fn what_came_and_the_gaps_are_what_was_sent_and_stats_agree() {
    for policy in ["drop-oldest", "drop-newest"] {
        for size in [40, 5000] {
            let input = session(7, &[20_000, 300, 7], size);
            let line = format!("queue-frames --queue 256KiB --overflow {policy}");
            let run = full_then_read(&line, &input);
            run.expect(&[3]).expect_stderr(0, "reason: queue, by queue-frames");
            let lost: u64 =
                run.payloads::<Gap>().iter().filter_map(|gap| gap.count).sum();
            run.expect_stderr(0, &format!("{lost} of 20307 samples lost"));
            for (stream, count) in [(1, 20_000), (2, 300), (3, 7)] {
                let all: Vec<_> = (0..count).collect();
                assert!(numbers(&run)[&(7, stream)] == all, "{policy}, stream {stream}");
            }
            let data = run.of_kind(&[Kind::DATA]);
            let of_flood: Vec<_> = data.iter().filter(|(h, _)| h.stream == 1).collect();
            match policy {
                "drop-oldest" => assert_eq!(of_flood.last().unwrap().0.seq, 19_999),
                _ => assert_eq!(of_flood[0].0.seq, 0),
            }
            let stats = run.payloads::<Stats>();
            assert_eq!(stats.iter().map(|stats| stats.dropped).sum::<u64>(), lost);
            let out: u64 = stats.iter().map(|stats| stats.output.samples).sum();
            assert_eq!(out, run.samples());
            let deepest = stats.iter().map(|stats| stats.queue).max().unwrap();
            assert!((200 << 10..300 << 10).contains(&deepest), "{deepest}");
            let end = &run.payloads::<End>()[0].streams;
            assert_eq!(end.iter().map(|totals| totals.lost).sum::<u64>(), lost);
        }
    }
}

#[test]
fn max_loss_counts_what_the_queue_dropped() {
    let input = session(7, &[20_000], 272);
    let line = "queue-frames --queue 1MiB --overflow drop-newest --max-loss";
    full_then_read(&format!("{line} 95%"), &input).expect(&[0]);
    full_then_read(&format!("{line} 50%"), &input).expect(&[3]);
}

#[test]
fn a_flood_on_one_stream_does_not_push_out_another() {
    for policy in ["drop-oldest", "drop-newest"] {
        let input = session(7, &[100_000, 100, 400], 100);
        let line = format!("queue-frames --queue 256KiB --overflow {policy}");
        let run = full_then_read(&line, &input);
        run.expect(&[3]);
        let came = |stream| {
            let data = run.of_kind(&[Kind::DATA]);
            data.iter().filter(|(header, _)| header.stream == stream).count()
        };
        assert_eq!((came(2), came(3)), (100, 400), "{policy}");
        assert!(came(1) < 5000, "{policy}");
    }
}

#[test]
fn sessions_that_follow_each_other_are_each_accounted_for() {
    let sessions = (1..=5).flat_map(|tag| session(tag, &[3000, 20], 100));
    let input: Vec<u8> = sessions.collect();
    for policy in ["drop-oldest", "drop-newest"] {
        let line = format!("queue-frames --queue 128KiB --overflow {policy}");
        let run = full_then_read(&line, &input);
        run.expect(&[3]);
        for tag in 1..=5 {
            let all: Vec<_> = (0..3000).collect();
            assert!(numbers(&run)[&(tag, 1)] == all, "{policy}, session {tag}");
        }
        let after = pipe("inspect-frames -f json").input(run.stdout).run();
        after.expect(&[3]);
        let sessions = after.json()["sessions"].as_array().unwrap().clone();
        assert_eq!(sessions.len(), 5);
        assert!(sessions.iter().all(|session| session["end"] == "end"), "{sessions:?}");
    }
}

#[test]
fn limits_of_records_and_time_drop_too() {
    // A sample each microsecond.
    let input = session(7, &[20_000], 100);
    for option in ["--queue-records 100", "--queue-time 100us"] {
        let line = format!("queue-frames {option} --overflow drop-oldest");
        let run = full_then_read(&line, &input);
        run.expect(&[3]);
        assert!(numbers(&run)[&(7, 1)] == (0..20_000).collect::<Vec<_>>(), "{option}");
        // What waited when all had come is the end of what came.
        let data = run.of_kind(&[Kind::DATA]);
        let last =
            data.iter().rev().zip(0..).take_while(|((h, _), n)| h.seq == 19_999 - n);
        let last = last.count();
        assert!((90..=101).contains(&last), "{option}: {last}");
    }
}

#[test]
fn what_spilled_comes_back_in_order_and_nothing_is_left_of_it() {
    for source in ["glove sine", "camera:size=320x240 control"] {
        let n = if source.starts_with("camera") { 300 } else { 20_000 };
        let before = pipe(&format!("sim-src {source} -n {n} --rate max")).run();
        let folder = Scratch::new();
        let spill = format!("spill:{}", folder.0.display());
        let line =
            format!("queue-frames --queue 256KiB --min-free 0 --overflow '{spill}' -v");
        let mut started = pipe(&line).input_left_open(&before.stdout[..]).start();
        started.until_fed();
        assert_eq!(folder.names(), Vec::<String>::new(), "the file has no name");
        started.close_stdin();
        let run = started.wait();
        run.expect(&[0]);
        assert!(passed(&run.records()) == passed(&before.records()), "{source}");
        let queue = deepest(&run);
        assert!(queue > before.stdout.len() as u64 / 2, "{queue}");
    }
}

#[test]
fn what_spills_while_it_is_read_comes_back_in_order() {
    // The reader is slower than the source, so both ends of the file move.
    let line = "sim-src sine:channels=64 -n 100000 --rate max \
                | queue-frames --queue 64KiB --min-free 0 --overflow spill:{new} \
                | to-text -k data";
    let run = pipe(line).run();
    run.expect(&[0, 0, 0]).expect_silence();
    assert_eq!(run.text().lines().count(), 100_000);
}

#[test]
fn a_full_disk_makes_the_stages_before_wait_and_loses_nothing() {
    let before = pipe("sim-src glove -n 40000 --rate max").run();
    let folder = Scratch::new();
    let Some(small) = Small::mount(&folder, 4) else { return };
    let line = format!(
        "queue-frames --queue 256KiB --min-free 0 --overflow 'spill:{}'",
        folder.0.display()
    );
    let mut started = pipe(&line).input_left_open(&before.stdout[..]).start();
    started.until_stderr(0, "No space left on device");
    started.read_stdout().until_fed().close_stdin();
    let run = started.wait();
    run.expect(&[0]).expect_stderr(0, "the stages before must wait until the reader has");
    assert_eq!(run.stderrs[0].lines().count(), 1, "{}", run.everything());
    assert!(passed(&run.records()) == passed(&before.records()));
    drop(small);
}

#[test]
fn limits_of_the_disk_hold_and_lose_nothing() {
    let before = pipe("sim-src glove -n 20000 --rate max").run();
    for (option, why) in [
        ("--min-free 1EiB", "bytes are free on its disk, and --min-free is"),
        ("--min-free 0 --spill-max 1MiB", "--spill-max is reached"),
    ] {
        let line =
            format!("queue-frames --queue 256KiB --overflow spill:{{new}} {option}");
        let mut started = pipe(&line).input_left_open(&before.stdout[..]).start();
        started.until_stderr(0, why).read_stdout().until_fed().close_stdin();
        let run = started.wait();
        run.expect(&[0]);
        assert!(passed(&run.records()) == passed(&before.records()), "{option}");
        let queue = deepest(&run);
        assert!(queue < 2 * MIB, "{option}: {queue}");
    }
}

#[test]
fn watermarks_are_told_once_each_and_at_once() {
    let input = session(7, &[4000], 272);
    let line = "queue-frames --queue 1MiB --high 60% --low 20% -v";
    let mut started = pipe(line).input_left_open(&input[..]).start();
    started.until_stderr(0, "the queue is full to 60%").until_fed().close_stdin();
    let run = started.wait();
    run.expect(&[0]).expect_stderr(0, "the queue is down to ");
    let records = run.records();
    let events = records.iter().enumerate().filter_map(|(at, (header, payload))| {
        let event = Event::from_bytes(payload).ok();
        event.filter(|_| header.kind == Kind::EVENT).map(|event| (at, event))
    });
    let events: Vec<_> = events.collect();
    let labels: Vec<_> = events.iter().map(|(_, event)| event.label.as_str()).collect();
    assert_eq!(labels, ["queue-high", "queue-low"], "{}", run.everything());
    let (at, high) = &events[0];
    assert_eq!((&high.value, high.source.as_str()), (&Value::Float(0.6), "queue-frames"));
    // Ahead of what waited: in the pipe were 256 KiB at most, and 64 KiB on their way.
    assert!(*at < 320 * 1024 / 320 + 300, "{at}");
    assert!(matches!(events[1].1.value, Value::Float(fill) if fill <= 0.2));
}

#[test]
fn no_event_comes_after_its_session_ended() {
    // What waits at the end is taken at once, ENDs and all, and the queue is low then.
    let input: Vec<u8> = (1..=50).flat_map(|tag| session(tag, &[30], 500)).collect();
    let line = "queue-frames --queue 16KiB --overflow drop-oldest -v";
    let run = full_then_read(line, &input);
    run.expect(&[3]).expect_stderr(0, "the queue is down to");
    let mut ended = Vec::new();
    for (header, _) in run.records() {
        assert!(!ended.contains(&header.session), "{header:?}");
        if header.kind == Kind::END {
            ended.push(header.session);
        }
    }
    assert_eq!(ended.len(), 50);
}

#[test]
fn memory_is_bounded_by_the_option() {
    let input = session(7, &[200_000, 5000, 10], 272);
    for options in [
        "--overflow drop-oldest",
        "--overflow drop-newest",
        "--overflow spill:{new} --min-free 0",
    ] {
        let mut started = pipe(&format!("queue-frames --queue 8MiB {options}"))
            .input_left_open(&input[..])
            .start();
        started.until_fed().close_stdin();
        let run = started.wait();
        assert!(run.peaks[0] < 20 * MIB, "{options}: {} KiB", run.peaks[0] / 1024);
    }
}

#[test]
fn records_of_any_size_are_bounded_too() {
    let input = session(7, &[60], 1 << 20);
    for policy in ["drop-oldest", "drop-newest"] {
        let line = format!("queue-frames --queue 8MiB --overflow {policy}");
        let run = full_then_read(&line, &input);
        run.expect(&[3]);
        assert!(numbers(&run)[&(7, 1)] == (0..60).collect::<Vec<_>>(), "{policy}");
        assert!(run.peaks[0] < 24 * MIB, "{policy}: {} KiB", run.peaks[0] / 1024);
    }
}

#[test]
fn a_reader_that_goes_away_ends_a_queue_that_is_full() {
    let full = |options: &str| -> Started {
        let line = format!("sim-src -n 1000000 --rate max | queue-frames {options}");
        let mut started = pipe(&line).start();
        started.after(Duration::from_millis(300));
        started
    };
    for options in ["--queue 64KiB", "--queue 64KiB --overflow spill:{new} --min-free 0"]
    {
        let mut started = full(options);
        started.close_stdout();
        started.wait().expect(&[0, 0]).expect_silence();
    }
}

#[test]
fn what_was_dropped_is_told_although_the_reader_is_gone() {
    let input = session(7, &[20_000], 272);
    let line = "queue-frames --queue 256KiB --overflow drop-oldest";
    let mut started = pipe(line).input_left_open(&input[..]).start();
    started.until_fed().close_stdout().close_stdin();
    started.wait().expect(&[3]).expect_stderr(0, " samples lost");
}

#[test]
fn a_reader_that_is_stopped_for_a_while_misses_nothing() {
    let line = "sim-src glove --rate 2000 | queue-frames | inspect-frames -f json";
    let mut started = pipe(line).start();
    started.until_ready(2).signal(2, Signal::STOP).after(Duration::from_secs(1));
    started.signal(2, Signal::CONT).signal(0, Signal::TERM);
    let run = started.wait();
    run.expect(&[0, 0, 0]).expect_silence();
    let stages = run.json()["sessions"][0]["stages"].to_string();
    assert!(stages.contains("queue-frames"), "{stages}");
}

#[test]
fn what_a_killed_queue_wrote_is_whole_and_who_broke_off_is_told() {
    let line = "sim-src glove --rate 2000 | queue-frames | inspect-frames -f json";
    let mut started = pipe(line).start();
    started.until_ready(2).after(Duration::from_millis(500)).signal(1, Signal::KILL);
    let run = started.wait();
    assert_eq!(run.codes()[1..], [-Signal::KILL.as_raw(), 3], "{}", run.everything());
    let session = &run.json()["sessions"][0];
    assert_eq!(session["broke_off"], "queue-frames");
    assert_eq!(session["streams"][0]["lost"], 0);
    assert!(session["streams"][0]["samples"].as_u64() > Some(100));
}

#[test]
fn a_queue_drains_after_a_signal_and_dies_of_the_second() {
    let input = session(7, &[10_000], 272);
    let mut started = pipe("queue-frames").input_left_open(&input[..]).start();
    started.until_fed().signal(0, Signal::TERM);
    started.after(Duration::from_millis(200));
    assert!(started.is_running(0));
    started.close_stdin();
    let run = started.wait();
    assert_eq!(run.expect(&[0]).samples(), 10_000);

    let mut started = pipe("queue-frames").input_left_open(&input[..]).start();
    started.until_fed().close_stdin().signal(0, Signal::TERM);
    started.after(Duration::from_millis(200));
    assert!(started.is_running(0), "it has records that nobody took");
    started.signal(0, Signal::TERM);
    started.wait().expect(&[-Signal::TERM.as_raw()]);
}

#[test]
fn the_status_line_shows_what_waits_and_was_dropped() {
    let input = session(7, &[20_000], 272);
    let line = "queue-frames --queue 1MiB --overflow drop-oldest --status 50ms \
                --status-format json";
    let mut started = pipe(line).input_left_open(&input[..]).start();
    started.until_fed().after(Duration::from_millis(200)).close_stdin();
    let run = started.wait();
    let status = run.stderrs[0].lines().filter_map(|line| {
        let json: serde_json::Value = serde_json::from_str(line).ok()?;
        Some((json["queued"].as_u64()?, json["lost"].as_u64()?))
    });
    let deepest = status.max().unwrap();
    // What must be said about drops may take a sixteenth more.
    assert!((900 << 10..=MIB + MIB / 16).contains(&deepest.0), "{deepest:?}");
    assert!((10_000..20_000).contains(&deepest.1), "{deepest:?}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for options in [
        "--low 80% --high 20%",
        "--overflow spill:",
        "--overflow leak",
        "--spill-max 1GiB",
        "--queue-records 0",
    ] {
        pipe(&format!("queue-frames {options}")).run().expect(&[2]);
    }
    let run = pipe("queue-frames --overflow spill:/no/such").run();
    run.expect(&[1]).expect_stderr(0, "/no/such: No such file");
    // A device is not read from a file.
    pipe("sim-src --overflow spill:/tmp").run().expect(&[2]);
}
