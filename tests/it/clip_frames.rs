//! `clip-frames`: that clips hold exactly what is around their triggers.

mod outlets;
mod tape;

use std::fs;
use std::time::Duration;

use framepipe_tests::{Scratch, pipe};
use libframe::batch::Builder;
use libframe::clock::{Clock, SECOND};
use libframe::payload::{Gap, Payload as _, Reason, Value};
use libframe::wire::{Kind, Record};
use rustix::process::Signal;

use self::tape::{Clip, Tape, clips};

const MS: i64 = 1_000_000;
const RATES: [f64; 4] = [30.0, 60.0, 120.0, 217.0];

/// The clips of a good run.
#[track_caller]
fn clips_of(tape: &Tape, options: &str) -> Vec<Clip> {
    let line = format!("clip-frames --on hit {options} | inspect-frames -f json");
    // Whoever reads the clips finds nothing missing.
    pipe(&line).input(tape.bytes()).run().expect(&[0, 0]).expect_silence();
    let run = pipe(&format!("clip-frames --on hit {options}")).input(tape.bytes()).run();
    run.expect(&[0]).expect_silence();
    clips(&run)
}

#[test]
fn half_a_second_at_60_hz_is_30_frames_of_each_stream_on_either_side() {
    let tape = Tape::new().stream(60.0, 1, 0..4 * SECOND).stream(60.0, 1, 0..4 * SECOND);
    let found = clips_of(&tape.event(SECOND, "hit"), "");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].around(1), found[0].around(2)), ((30, 30), (30, 30)));
    assert_eq!(found[0].end.reason, "clip");
}

#[test]
fn clips_are_exact_at_every_rate_with_both_streams_there() {
    for rate in RATES {
        for batch in [1, 7, 25] {
            let all = 0..4 * SECOND;
            let tape = Tape::new().stream(rate, 1, all.clone()).stream(rate, batch, all);
            let at = 1_234_567_890;
            let tape = tape.event(at, "hit").event(at + 3 * SECOND / 2, "other");
            let found = clips_of(&tape, "");
            assert_eq!(found.len(), 1);
            for stream in [1, 2] {
                let wanted = tape.within(stream, at - 500 * MS..at + 500 * MS);
                assert_eq!(found[0].of(stream), wanted, "{rate} Hz, batches of {batch}");
            }
            assert!(found[0].notes("clip-short").is_empty());
            assert_eq!(found[0].notes("trigger"), ["hit"]);
        }
    }
}

#[test]
fn a_stream_that_stalls_at_the_trigger_does_not_hold_the_clip_open() {
    for rate in RATES {
        for batch in [1, 5] {
            let tape = Tape::new().stream(rate, 1, 0..6 * SECOND);
            let tape = tape.stream(rate, batch, 0..SECOND).event(SECOND, "hit");
            // The input stays open: it is the other stream that shows that time is up.
            let mut started =
                pipe("clip-frames --on hit -v").input_left_open(tape.open()).start();
            started.until_records(Kind::END, 1).close_stdin();
            let run = started.wait();
            run.expect(&[3]).expect_stderr(0, "clip 1: s2 stalled: its last sample is ");
            let found = &clips(&run)[0];
            for stream in [1, 2] {
                let wanted = tape.within(stream, 500 * MS..1500 * MS);
                assert_eq!(found.of(stream), wanted, "{rate} Hz, batches of {batch}");
            }
            assert_eq!(found.around(1).0, found.around(2).0);
            assert_eq!(found.around(2).1, 0);
            assert_eq!(found.end.reason, "stalled");
            assert_eq!(found.notes("clip-stalled").len(), 1);
        }
    }
}

#[test]
fn when_all_streams_stall_the_hosts_clock_closes_the_clip() {
    let now = Clock::system().now();
    let tape = Tape::live(now - SECOND).stream(100.0, 1, 0..SECOND);
    let tape = tape.stream(100.0, 1, 0..SECOND).event(SECOND - 10 * MS, "hit");
    let line = "clip-frames --on hit --deadline 300ms";
    let mut started = pipe(line).input_left_open(tape.open()).start();
    started.until_records(Kind::END, 1);
    let waited = Clock::system().now() - now;
    assert!(waited >= 780 * MS, "the clip lasts 490 ms more, and then 300: {waited}");
    started.close_stdin();
    let found = &clips(&started.wait())[0];
    assert_eq!(found.of(1), tape.within(1, 490 * MS..SECOND));
    assert_eq!(found.end.reason, "stalled");
    assert_eq!(found.notes("clip-stalled").len(), 2);
}

#[test]
fn a_stalled_recording_is_closed_by_its_own_clock() {
    // Nothing more comes, and the times are of long ago.
    let tape = Tape::new().stream(100.0, 1, 0..SECOND).event(SECOND - 10 * MS, "hit");
    let mut started = pipe("clip-frames --on hit --deadline 100ms")
        .input_left_open(tape.open())
        .start();
    started.until_records(Kind::END, 1).close_stdin();
    assert_eq!(clips(&started.wait())[0].end.reason, "stalled");
}

#[test]
fn a_trigger_before_the_buffer_is_full_has_what_there_is_and_says_so() {
    for rate in RATES {
        let at = 200 * MS + 1;
        let tape = Tape::new().stream(rate, 1, 0..4 * SECOND);
        let tape = tape.stream(rate, 6, 100 * MS..4 * SECOND).event(at, "hit");
        let found = &clips_of(&tape, "")[0];
        for stream in [1, 2] {
            assert_eq!(found.of(stream), tape.within(stream, 0..at + 500 * MS), "{rate}");
        }
        let notes = found.notes("clip-short");
        assert!(notes[0].starts_with("s1 began 200"), "{notes:?}");
        assert!(notes[1].contains("before the trigger, not 500ms"), "{notes:?}");
        assert_eq!((notes.len(), found.end.reason.as_str()), (2, "clip"));
        let begin = found.session.start_monotonic;
        assert_eq!(begin, tape.start + at - 500 * MS);
    }
}

#[test]
fn a_trigger_within_the_post_roll_makes_the_clip_longer() {
    for (rate, batch) in [(30.0, 1), (60.0, 9), (120.0, 1), (217.0, 40)] {
        let tape = Tape::new().stream(rate, batch, 0..5 * SECOND);
        let tape = tape.stream(rate, 1, 0..5 * SECOND).event(SECOND, "hit");
        let tape = tape.event(1499 * MS, "hit").event(1998 * MS, "hit");
        let found = clips_of(&tape, "");
        assert_eq!(found.len(), 1);
        for stream in [1, 2] {
            let wanted = tape.within(stream, 500 * MS..2498 * MS);
            assert_eq!(found[0].of(stream), wanted, "{rate} Hz, batches of {batch}");
        }
        assert_eq!(found[0].notes("trigger").len(), 3);
    }
}

#[test]
fn a_trigger_after_the_post_roll_is_another_clip_whose_pre_roll_may_reach_into_the_first()
{
    for rate in RATES {
        let tape = Tape::new().stream(rate, 1, 0..5 * SECOND);
        let tape = tape.stream(rate, 8, 0..5 * SECOND).event(SECOND, "hit");
        let tape = tape.event(1500 * MS, "hit");
        let found = clips_of(&tape, "");
        assert_eq!(found.len(), 2);
        for stream in [1, 2] {
            let [first, second] = [500 * MS..1500 * MS, 1000 * MS..2000 * MS];
            assert_eq!(found[0].of(stream), tape.within(stream, first), "{rate}");
            assert_eq!(found[1].of(stream), tape.within(stream, second), "{rate}");
        }
        assert_eq!(found[1].session.meta["clip"], "2");
    }
}

#[test]
fn the_longest_clip_is_told_where_triggers_asked_for_more() {
    let tape = Tape::new().stream(60.0, 4, 0..8 * SECOND).event(SECOND, "hit");
    let tape = (1..10).fold(tape, |tape, n| tape.event(SECOND + n * 300 * MS, "hit"));
    let found = clips_of(&tape, "--max-clip 2s");
    assert_eq!(found[0].of(1), tape.within(1, 500 * MS..2500 * MS));
    assert_eq!(found[0].end.reason, "max-clip");
    assert_eq!(found[0].notes("clip-cut").len(), 1);
    // The next trigger opens the next.
    assert_eq!(found[1].of(1), tape.within(1, 2000 * MS..4000 * MS));
    pipe("clip-frames --max-clip 500ms").run().expect(&[2]);
}

#[test]
fn an_input_that_ends_cuts_its_clip_short_and_it_says_so() {
    let tape = Tape::new().stream(60.0, 1, 0..1200 * MS).event(SECOND, "hit");
    let found = &clips_of(&tape, "")[0];
    assert_eq!(found.of(1), tape.within(1, 500 * MS..1200 * MS));
    assert_eq!(found.end.reason, "end");
    assert!(found.notes("clip-cut")[0].starts_with("the input ended 316.666ms before"));
}

#[test]
fn a_clip_is_a_session_of_its_own_that_knows_where_it_is_from() {
    let tape = Tape::new().stream(60.0, 1, 0..4 * SECOND).event(SECOND, "hit");
    let run = pipe("clip-frames --on hit --meta who=me").input(tape.bytes()).run();
    let found = &clips(&run)[0];
    let (session, meta) = (&found.session, &found.session.meta);
    assert_ne!(session.uuid, "the parent");
    assert_eq!((session.host.as_str(), session.boot_id.as_str()), ("rig", "another"));
    assert_eq!(session.start_monotonic, tape.start + 500 * MS);
    // By the last look at the clock, not by what it showed before it was set.
    assert_eq!(session.start_realtime, 1_700_000_001 * SECOND + 500 * MS);
    let pairs = ["clip", "clip_of", "clip_trigger", "who"].map(|key| meta[key].as_str());
    assert_eq!(pairs, ["1", "the parent", "hit", "me"]);
    assert_eq!(meta["clip_time"], (tape.start + SECOND).to_string());
    assert_eq!(session.stages.last().unwrap().name, "clip-frames");
    let first = [Kind::SESSION, Kind::CLOCK, Kind::STREAM];
    assert_eq!(found.kinds[..3], first);
    let labels: Vec<_> = found.events.iter().map(|(_, e)| e.label.as_str()).collect();
    assert_eq!(labels, ["trigger", "hit"]);
}

#[test]
fn clips_of_recordings_joined_by_cat_are_numbered_on() {
    let tape = Tape::new().stream(60.0, 1, 0..4 * SECOND).event(SECOND, "hit");
    let both = [tape.bytes(), tape.bytes()].concat();
    let run = pipe("clip-frames --on hit").input(both).run();
    let numbers: Vec<_> =
        clips(&run).iter().map(|clip| clip.session.meta["clip"].clone()).collect();
    assert_eq!(numbers, ["1", "2"]);
}

#[test]
fn a_level_must_hold_and_the_trigger_is_its_first_sample() {
    let step = |after: i64| {
        let burst = (700 * MS..760 * MS).contains(&after);
        let step = (2_000 * MS..2_600 * MS).contains(&after);
        if burst || step { 60.0 } else { 10.0 }
    };
    for (rate, batch) in [(60.0, 1), (120.0, 11), (217.0, 3)] {
        let tape = Tape::new().stream(rate, 1, 0..4 * SECOND);
        let tape = tape.stream(rate, batch, 0..4 * SECOND).values(step);
        let when = ["s2.1 > 50", "s2.1 >= 60", "2.1>50", "s[2].1 > 20"];
        for when in when {
            let line = format!("clip-frames --when '{when}' --for 100ms --pre 300ms");
            let run = pipe(&line).input(tape.bytes()).run();
            let found = clips(run.expect(&[0]).expect_silence());
            assert_eq!(found.len(), 1, "{when}");
            let first = tape.within(2, 2 * SECOND..3 * SECOND)[0];
            let time = (first as f64 * 1e9 / rate) as i64;
            let wanted = time - 300 * MS..time + 500 * MS;
            assert_eq!(found[0].of(1), tape.within(1, wanted.clone()), "{rate}");
            assert_eq!(found[0].of(2), tape.within(2, wanted), "{rate}");
            assert_eq!(found[0].notes("trigger"), [when]);
        }
        // Without a minimum the burst is one too, and hysteresis keeps it one.
        let run = pipe("clip-frames --when 's2.1>50' --post 100ms --release 5")
            .input(tape.bytes())
            .run();
        assert_eq!(clips(&run).len(), 1);
        let run =
            pipe("clip-frames --when 's2.1>50' --post 100ms").input(tape.bytes()).run();
        assert_eq!(clips(&run).len(), 2);
    }
}

#[test]
fn a_level_of_a_channel_that_is_not_there_is_a_mistake() {
    let tape = Tape::new().stream(60.0, 1, 0..SECOND);
    let run = pipe("clip-frames --when 's1.palm > 5'").input(tape.bytes()).run();
    run.expect(&[2]).expect_stderr(0, "s1 has no such channel: it has 2, the first is");
    let run = pipe("clip-frames --when 'glove.0 > 5'").input(tape.bytes()).run();
    run.expect(&[0]).expect_stderr(0, "--when 'glove.0 > 5': no such stream came");
    for wrong in ["--when s1.0", "--release 5", "--when 's1.0 > 5' --release 6"] {
        pipe(&format!("clip-frames {wrong}")).run().expect(&[2]);
    }
}

#[test]
fn a_gap_belongs_to_the_clip_whose_time_it_is_in_and_what_is_outside_is_not_lost() {
    let gap_at = |after: i64| {
        let tape = Tape::new().stream(60.0, 1, 0..4 * SECOND).event(2 * SECOND, "hit");
        let seq = tape.within(1, after..4 * SECOND)[0];
        let (first, from) = (seq, Some(tape.start + after - 1));
        let (count, to) = (Some(1), Some(tape.start + after + 20 * MS));
        let (reason, stage, detail) = (Reason::Device, "tape".into(), String::new());
        let gap = Gap { first, count, reason, stage, from, to, detail, ..Gap::default() }
            .to_bytes();
        let header = tape.header(Kind::GAP, 1, seq + 1, tape.start + after);
        let bytes = tape.record(after, &Record::new(header, &gap)).bytes();
        // The sample is taken out that the gap stands for.
        let found = framepipe_tests::decode(&bytes).into_iter().filter_map(|event| {
            let framepipe_tests::Event::Record(header, payload) = event else {
                panic!("no damage here")
            };
            let lost = header.kind == Kind::DATA && header.seq == seq;
            (!lost).then_some((header, payload))
        });
        let mut bytes = Vec::new();
        found.for_each(|(h, payload)| Record::new(h, &payload).encode(&mut bytes));
        bytes
    };
    let line = "clip-frames --on hit | inspect-frames -f json";
    for (after, lost) in [(1000 * MS, 0), (1900 * MS, 1), (3000 * MS, 0)] {
        let run = pipe(line).input(gap_at(after)).run();
        run.expect(&[3, if lost == 0 { 0 } else { 3 }]);
        let stream = &run.json()["sessions"][0]["streams"][0];
        assert_eq!(stream["lost"], lost, "{}", run.everything());
        assert_eq!(stream["samples"], 60 - lost);
    }
}

#[test]
fn streams_of_another_clock_are_cut_on_that_of_the_session() {
    let shift = 3_000 * SECOND;
    let tape = Tape::new().stream(100.0, 1, 0..4 * SECOND).event(2 * SECOND, "hit");
    let stream = libframe::schema::Stream {
        name: "far".into(),
        media: libframe::schema::Media::Bytes,
        ..Default::default()
    };
    let start = tape.start;
    let reading = libframe::payload::ClockReading {
        monotonic: start,
        offset: Some(shift),
        remote: "far".into(),
        ..Default::default()
    };
    let (stream, reading) = (stream.to_bytes(), reading.to_bytes());
    let header = |kind, seq, time| tape_header(kind, seq, time + shift);
    let mut tape = tape
        .record(0, &Record::new(header(Kind::STREAM, 0, start), &stream))
        .record(0, &Record::new(header(Kind::CLOCK, 0, start), &reading));
    for seq in 0..40 {
        let after = seq as i64 * 100 * MS;
        let sample = Record::new(header(Kind::DATA, seq, start + after), b"x");
        tape = tape.record(after, &sample);
    }
    let run = pipe("clip-frames --on hit").input(tape.open()).run();
    let found = &clips(&run)[0];
    assert_eq!(found.of(9), [15, 16, 17, 18, 19, 20, 21, 22, 23, 24]);
    assert_eq!(found.of(1), tape.within(1, 1500 * MS..2500 * MS));
    let clocks = found.kinds.iter().filter(|kind| **kind == Kind::CLOCK);
    assert_eq!(clocks.count(), 2, "its clock is told in the clip too");
}

fn tape_header(kind: Kind, seq: u64, time: i64) -> libframe::wire::Header {
    Tape::new().header(kind, 9, seq, time)
}

#[test]
fn a_signal_is_a_trigger_at_the_time_it_came() {
    let mut started = pipe("sim-src --rate 500 | clip-frames --pre 200ms --post 300ms");
    let mut started = started_after(&mut started, 600);
    let before = Clock::system().now();
    started.signal(1, Signal::USR2);
    let after = Clock::system().now();
    started.until_records(Kind::END, 1).signal(0, Signal::TERM);
    let run = started.wait();
    let found = &clips(run.expect(&[0, 0]).expect_silence())[0];
    let time: i64 = found.session.meta["clip_time"].parse().unwrap();
    // It is looked at when it has arrived, which a busy machine may put off.
    assert!((before..after + 500 * MS).contains(&time), "{}", time - before);
    assert_eq!(found.session.meta["clip_trigger"], "signal USR2");
    let (first, last) = (found.times().min().unwrap(), found.times().max().unwrap());
    assert!((time - 200 * MS..time - 150 * MS).contains(&first), "{}", first - time);
    assert!((time + 250 * MS..time + 300 * MS).contains(&last), "{}", last - time);
    let seqs = found.of(1);
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1));
}

fn started_after(pipe: &mut framepipe_tests::Pipe, ms: u64) -> framepipe_tests::Started {
    let pipe = std::mem::replace(pipe, framepipe_tests::pipe("true"));
    let mut started = pipe.start();
    started.until_ready(1).read_stdout().after(Duration::from_millis(ms));
    started
}

#[test]
fn lines_on_a_fifo_are_triggers_whoever_writes_them() {
    let folder = Scratch::new();
    let fifo = folder.file("triggers");
    let line = format!("sim-src --rate 500 | clip-frames --post 50ms --fifo {fifo}");
    let mut started = pipe(&line).start();
    started.until_ready(1);
    // Writers come and go; one leaves without ending its line.
    for (n, text) in [(1, "hit 5\n"), (2, "\n"), (3, "stop")] {
        fs::write(&fifo, text).unwrap();
        started.until_records(Kind::END, n);
    }
    started.signal(0, Signal::TERM);
    let run = started.wait();
    run.expect(&[0, 0]).expect_silence();
    let what: Vec<_> =
        clips(&run).iter().map(|c| c.session.meta["clip_trigger"].clone()).collect();
    assert_eq!(what, ["fifo hit 5", "fifo", "fifo stop"]);
    assert!(folder.names().is_empty(), "what was made is removed");
    fs::write(&fifo, "a file").unwrap();
    let run = pipe(&format!("clip-frames --fifo {fifo}")).run();
    run.expect(&[2]).expect_stderr(0, "triggers: is no FIFO");
}

#[test]
fn a_fifo_that_was_there_stays() {
    let folder = Scratch::new();
    let fifo = folder.file("triggers");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    pipe(&format!("sim-src -n 5 | clip-frames --fifo {fifo}")).run().expect(&[0, 0]);
    assert_eq!(folder.names(), ["triggers"]);
}

#[test]
fn memory_is_bounded_and_a_pre_roll_that_it_cuts_short_is_told() {
    // 115 kB a picture, 60 a second: half a second takes 3.5 MB.
    let source = "sim-src camera:format=gray,size=480x240,rate=60 --event hit@3s -n 240";
    for (memory, short) in [("2MiB", true), ("16MiB", false)] {
        let line =
            format!("{source} --rate max | clip-frames --on hit --memory {memory}");
        let run = pipe(&line).run();
        run.expect(&[0, 0]);
        let found = &clips(&run)[0];
        let (before, after) = found.around(1);
        assert_eq!(after, 30);
        assert_eq!(before < 30, short, "{before} of 30");
        assert_eq!(found.notes("clip-short").len(), usize::from(short));
        let told = run.stderrs[1].contains("of the pre-roll of camera less than ");
        assert_eq!(told, short, "{}", run.everything());
        let limit = if short { 12 << 20 } else { 28 << 20 };
        assert!(run.peaks[1] < limit, "{memory}: {} KiB", run.peaks[1] / 1024);
        assert!(before >= 12, "as much is kept as may be: {before}");
    }
}

#[test]
fn a_million_records_outside_of_clips_take_no_more_than_ten_thousand() {
    let peak = |n: u32| {
        let line =
            format!("sim-src -n {n} --rate max --queue 64KiB | clip-frames --on hit");
        pipe(&line).run().expect(&[0, 0]).peaks[1]
    };
    let (few, many) = (peak(10_000), peak(1_000_000));
    assert!(many < few + (1 << 20), "{few} {many}");
}

#[test]
fn samples_of_any_size_are_cut_out_of_their_batch() {
    let tape = Tape::new().stream(60.0, 1, 0..4 * SECOND).event(SECOND, "hit");
    let stream = libframe::schema::Stream {
        name: "text".into(),
        media: libframe::schema::Media::Text,
        ..Default::default()
    };
    let header = |kind, time| tape_header(kind, 0, time);
    let words = ["zero", "", "two", "three!"];
    let mut builder = Builder::new(false);
    for (seq, word) in (0u64..).zip(words) {
        let time = tape.start + 400 * MS + seq as i64 * 100 * MS;
        let (device_time, bytes) = (Some(seq), word.as_bytes());
        let sample = libframe::batch::Sample { seq, time, device_time, bytes };
        assert!(builder.push(&header(Kind::DATA, time), &sample, 1 << 20));
    }
    let stream = stream.to_bytes();
    let batch = builder.finish().unwrap();
    let tape = tape
        .record(0, &Record::new(header(Kind::STREAM, 0), &stream))
        .record(700 * MS, &batch);
    let line = "clip-frames --on hit --pre 450ms | batch-frames --split";
    let run = pipe(line).input(tape.open()).run();
    let of_text = run.of_kind(&[Kind::DATA]).into_iter().filter(|(h, _)| h.stream == 9);
    let found: Vec<_> = of_text.map(|(header, bytes)| (header.seq, bytes)).collect();
    let timed = |seq: u64, word: &str| [&seq.to_le_bytes(), word.as_bytes()].concat();
    assert_eq!(found, [(2, timed(2, "two")), (3, timed(3, "three!"))]);
}

#[test]
fn events_of_the_input_are_in_the_clip_with_their_values() {
    let line = "sim-src --rate max -n 300 --event hit=5@1s --event note=a@1100ms \
                --event late@2s | clip-frames --on hit=[4-6] --on hit=b*";
    let run = pipe(line).run();
    let found = clips(run.expect(&[0, 0]).expect_silence());
    assert_eq!(found.len(), 1);
    let labels: Vec<_> = found[0].events.iter().map(|(_, e)| e.label.clone()).collect();
    assert_eq!(labels, ["trigger", "hit", "note"]);
    assert_eq!(found[0].notes("trigger"), ["hit=5"]);
    assert_eq!(found[0].events[2].1.value, Value::Text("a".into()));
}

#[test]
fn the_pre_roll_reaches_back_from_the_first_sample_at_the_level() {
    let level = |after: i64| if after >= 2_000 * MS { 60.0 } else { 0.0 };
    let tape = Tape::new().stream(60.0, 1, 0..4 * SECOND).values(level);
    // Nothing but what these need is kept.
    let line =
        "clip-frames --when 's1.1 > 50' --for 800ms --pre 300ms --post 1s --deadline 0s";
    let run = pipe(line).input(tape.bytes()).run();
    let found = clips(run.expect(&[0]).expect_silence());
    assert_eq!(found[0].of(1), tape.within(1, 1700 * MS..3000 * MS));
    assert_eq!(found[0].end.reason, "clip");
}

#[test]
fn a_description_that_changes_within_a_clip_is_the_one_of_its_samples() {
    let tape = Tape::new().stream(60.0, 1, 0..4 * SECOND).event(2 * SECOND, "hit");
    let describe = |version: u32| libframe::schema::Stream {
        name: "words".into(),
        media: libframe::schema::Media::Text,
        version,
        ..Default::default()
    };
    let start = tape.start;
    let put = |mut tape: Tape, version: u32, described: i64, after: i64| {
        let payload = describe(version).to_bytes();
        let header =
            tape_header(Kind::STREAM, u64::from(version) * 10, start + described);
        tape = tape.record(described, &Record::new(header, &payload));
        for n in 0..10 {
            let (seq, after) = (u64::from(version) * 10 + n, after + n as i64 * 10 * MS);
            let header = tape_header(Kind::DATA, seq, start + after);
            let text = version.to_string();
            tape = tape.record(after, &Record::new(header, text.as_bytes()));
        }
        tape
    };
    // One that is over before the clip begins, one that is not kept any more when it does
    // but of whose samples some are in it, one that comes in the clip.
    let tape = put(put(tape, 0, 0, 0), 1, 200 * MS, 1600 * MS);
    let tape = put(tape, 2, 2100 * MS, 2100 * MS);
    let run = pipe("clip-frames --on hit").input(tape.open()).run();
    let mut version = None;
    let mut found = Vec::new();
    for (header, payload) in run.of_kind(&[Kind::STREAM, Kind::DATA]) {
        match header.kind {
            _ if header.stream != 9 => {}
            Kind::STREAM => {
                let stream = libframe::schema::Stream::from_bytes(&payload).unwrap();
                version = Some(stream.version);
            }
            _ => {
                assert_eq!(version.unwrap().to_string().as_bytes(), payload);
                found.push(header.seq);
            }
        }
    }
    assert_eq!(found, (10..30).collect::<Vec<_>>());
}
