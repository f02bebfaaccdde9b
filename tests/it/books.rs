//! What every stage finds wrong with streams that no tool of ours would write.

use std::ops::Range;

use framepipe_tests::{Run, pipe, root};
use libframe::clock::SECOND;
use libframe::payload::{End, Gap, Payload, Reason, Session, Stage, Stats, Totals};
use libframe::schema::{Channel, Dtype, Media, Stream};
use libframe::wire::{Header, Kind, Record};

/// Every reader; the last two are sinks.
const READERS: &[&str] =
    &["batch-frames -n 5", "pick-frames", "inspect-frames", "to-text"];
const FILTERS: &[&str] = &["batch-frames -n 5", "pick-frames", "repair-frames"];

/// A stream, record by record. Sample n is captured at 1000 + n.
#[derive(Clone)]
struct Script {
    tag: u32,
    bytes: Vec<u8>,
}

impl Script {
    /// Without a word about the session.
    fn joined_late(tag: u32) -> Script {
        Script { tag, bytes: Vec::new() }
    }

    /// The beginning of a session of one stream of two bytes a sample.
    fn new(tag: u32) -> Script {
        let stage = Stage { name: "elsewhere".into(), ..Stage::default() };
        let session =
            Session { start_monotonic: 1000, stages: vec![stage], ..Session::default() };
        Script::joined_late(tag).say(0, 0, &session).say(1, 0, &description())
    }

    fn record(mut self, kind: Kind, stream: u16, seq: u64, payload: &[u8]) -> Script {
        let time = if kind.has_samples() { 1000 + seq as i64 } else { 1000 };
        let header =
            Header { kind, flags: 0, stream, session: self.tag, seq, time, sent: 1 };
        Record::new(header, payload).encode(&mut self.bytes);
        self
    }

    fn say<P: Payload>(self, stream: u16, seq: u64, payload: &P) -> Script {
        self.record(P::KIND, stream, seq, &payload.to_bytes())
    }

    fn data(self, mut seqs: Range<u64>) -> Script {
        seqs.try_fold(self, |script, seq| Some(script.record(Kind::DATA, 1, seq, b"xx")))
            .expect("no step fails")
    }

    fn end(self, first: u64, next: u64) -> Script {
        let totals = Totals { stream: 1, first, next, samples: next - first, lost: 0 };
        self.say(0, 0, &End { streams: vec![totals], reason: "end".into() })
    }

    fn through(&self, line: &str) -> Run {
        pipe(line).input(&self.bytes[..]).run()
    }
}

fn description() -> Stream {
    Stream {
        name: "two".into(),
        media: Media::Samples,
        dtype: Some(Dtype::U8),
        shape: vec![2],
        ..Stream::default()
    }
}

fn gap(first: u64, count: Option<u64>) -> Gap {
    let (stage, reason) = ("elsewhere".into(), Reason::Device);
    Gap { first, count, reason, stage, ..Gap::default() }
}

/// First, count, reason and stage of every GAP of a stream.
fn gaps(run: &Run) -> Vec<(u64, Option<u64>, Reason, String)> {
    let gaps = run.payloads::<Gap>().into_iter();
    gaps.map(|gap| (gap.first, gap.count, gap.reason, gap.stage)).collect()
}

fn name(tool: &str) -> String {
    tool.split(' ').next().unwrap().to_owned()
}

#[test]
fn a_record_that_contradicts_its_stream_is_dropped_and_counted() {
    let n = |n: u32| [n.to_le_bytes(), [0; 4]].concat();
    for (what, kind, stream, payload) in [
        ("short", Kind::DATA, 1, b"x".to_vec()),
        ("long", Kind::DATA, 1, b"xxx".to_vec()),
        ("no batch", Kind::BATCH, 1, b"x".to_vec()),
        ("a batch cut short", Kind::BATCH, 1, [n(1), vec![0; 4]].concat()),
        ("a batch of long samples", Kind::BATCH, 1, [n(1), vec![0; 11]].concat()),
        ("the session's own", Kind::DATA, 0, b"xx".to_vec()),
    ] {
        let bad = Script::new(7).data(0..1).record(kind, stream, 1, &payload);
        let script = bad.data(2..3).end(0, 3);
        for tool in READERS {
            let run = script.through(tool);
            assert_eq!(run.codes(), [3], "{what}\n{}", run.everything());
            run.expect_stderr(0, "1 records contradict their stream's description");
            run.expect_stderr(0, "1 of 3 samples lost");
            run.expect_stderr(0, "two: 1 lost, gaps: 1, reason: corrupt");
        }
        for filter in FILTERS {
            let run = script.through(filter);
            assert_eq!(run.samples(), 2, "{what}, {filter}");
            assert_eq!(
                gaps(&run),
                [(1, Some(1), Reason::Corrupt, name(filter))],
                "{what}"
            );
        }
        // What is malformed is missing, so a share of it may be allowed.
        script.through("inspect-frames --max-loss 50%").expect(&[0]);
    }
}

#[test]
fn samples_without_some_of_their_channels_are_a_loss_that_takes_no_numbers() {
    let partial =
        Gap { count: None, partial: Some(2), channels: vec![1], ..gap(2, None) };
    let script = Script::new(7).data(0..2).say(1, 2, &partial).data(2..4).end(0, 4);
    for tool in READERS {
        let run = script.through(tool);
        run.expect(&[3]).expect_stderr(0, "0 of 4 samples lost; 2 came without some of");
        run.expect_stderr(0, "two: 0 lost, 2 incomplete, gaps: 1, reason: device");
        script.through(&format!("{tool} --max-loss 49%")).expect(&[3]);
        script.through(&format!("{tool} --max-loss 51%")).expect(&[0]);
    }
    for filter in FILTERS {
        let run = script.through(filter);
        assert_eq!(run.payloads::<Gap>(), std::slice::from_ref(&partial), "{filter}");
        assert_eq!(run.samples(), 4, "{filter}");
    }
    // Claims as large as numbers are, and a count beside one, hide no loss.
    let claim =
        |first, channels| Gap { partial: Some(u64::MAX), channels, ..gap(first, None) };
    let count = Some(1);
    let vast = Script::new(7).data(0..1).say(1, 1, &claim(1, vec![0])).data(1..2);
    let vast = vast.say(1, 3, &Gap { count, ..claim(2, vec![1]) }).data(3..4).end(0, 4);
    for tool in READERS.iter().chain(&[
        "jitter-report",
        "pick-frames -c 0",
        "thin-frames --every 1",
    ]) {
        vast.through(tool).expect(&[3]).expect_stderr(0, "1 of 4 samples lost");
    }
    assert_eq!(gaps(&vast.through("pick-frames -c 0")).len(), 2);
    let told = script.through("inspect-frames -f json");
    let inspected = &told.json()["sessions"][0]["ledger"];
    let told = script.through("jitter-report -f json");
    let reported = &told.json()[0]["sessions"][0]["ledger"];
    for ledger in [inspected, reported] {
        assert_eq!(ledger["verdict"], "WARNING");
        assert_eq!((&ledger["partial"], &ledger["lost"]), (&2.into(), &0.into()));
    }
    script.through("pick-frames -c 0 | inspect-frames").expect(&[3, 0]);
    let chosen = script.through("pick-frames -c 1");
    assert_eq!(chosen.payloads::<Gap>()[0].channels, [0]);
}

#[test]
fn a_record_that_contradicts_its_stream_is_a_loss_although_no_sample_is_missing() {
    let script = Script::new(7).data(0..3).record(Kind::DATA, 0, 0, b"xx").end(0, 3);
    for tool in READERS {
        script.through(tool).expect(&[3]).expect_stderr(0, "1 records contradict");
        script.through(&format!("{tool} --max-loss 1%")).expect(&[0]);
    }
}

#[test]
fn an_end_that_cannot_be_read_is_none() {
    let script = Script::new(7).data(0..3).record(Kind::END, 0, 0, b"\xC1");
    for tool in READERS {
        let run = script.through(tool);
        run.expect(&[3]).expect_stderr(0, "1 records contradict");
        run.expect_stderr(0, "elsewhere broke off: its output stops without END");
    }
}

#[test]
fn a_description_that_cannot_be_read_is_told() {
    let script = Script::new(7).record(Kind::STREAM, 2, 0, b"\xC1").data(0..3).end(0, 3);
    for tool in READERS {
        script.through(tool).expect(&[3]).expect_stderr(0, ": stream 2: ");
        script.through(&format!("{tool} --max-loss 100%")).expect(&[3]);
    }
}

#[test]
fn what_the_writer_counted_and_nobody_saw_is_missing_at_both_ends() {
    let script = Script::new(7).data(3..8).end(0, 10);
    for tool in READERS {
        script.through(tool).expect(&[3]).expect_stderr(0, "5 of 10 samples lost");
    }
    for filter in FILTERS {
        let (reason, stage, run) =
            (Reason::Upstream, name(filter), script.through(filter));
        let (head, tail) = ((0, Some(3)), (8, Some(2)));
        let all =
            [head, tail].map(|(first, count)| (first, count, reason, stage.clone()));
        assert_eq!(gaps(&run), all, "{filter}");
        let totals = run.payloads::<End>()[0].streams[0];
        assert_eq!(
            (totals.first, totals.next, totals.samples, totals.lost),
            (0, 10, 5, 5)
        );
    }
}

#[test]
fn a_head_that_no_record_before_end_speaks_of_is_missing_unless_one_joined_late() {
    // A writer need not announce a stream before its samples.
    let session = Session { start_monotonic: 1000, ..Session::default() };
    let whole = Script::joined_late(7).say(0, 0, &session).data(3..8).end(0, 8);
    let late = Script::joined_late(7).data(3..8).end(0, 8);
    for tool in READERS {
        whole.through(tool).expect(&[3]).expect_stderr(0, "3 of 8 samples lost");
        late.through(tool).expect(&[0]).expect_silence();
    }
}

#[test]
fn samples_missing_before_a_gap_are_no_part_of_it() {
    let script =
        Script::new(7).data(0..1).say(1, 5, &gap(3, Some(2))).data(5..6).end(0, 6);
    for filter in FILTERS {
        let run = script.through(filter);
        run.expect(&[3]).expect_stderr(0, "4 of 6 samples lost");
        let mine = (1, Some(2), Reason::Upstream, name(filter));
        let theirs = (3, Some(2), Reason::Device, "elsewhere".to_owned());
        assert_eq!(gaps(&run), [mine, theirs], "{filter}");
    }
}

#[test]
fn other_records_of_a_stream_tell_of_missing_samples_and_unknown_kinds_do_not() {
    let event = libframe::payload::Event::default();
    let script = Script::new(7).data(0..2).say(1, 4, &event).data(4..5).end(0, 5);
    for filter in FILTERS {
        let run = script.through(filter);
        run.expect(&[3]);
        let kinds: Vec<_> = run.of_kind(&[Kind::GAP, Kind::EVENT]);
        let kinds: Vec<_> = kinds.iter().map(|(header, _)| header.kind).collect();
        assert_eq!(
            kinds,
            [Kind::GAP, Kind::EVENT],
            "the place of what is missing, {filter}"
        );
    }
    let script =
        Script::new(7).data(0..2).record(Kind(99), 1, 4, b"").data(2..3).end(0, 3);
    for tool in READERS {
        script.through(tool).expect(&[0]).expect_silence();
    }
}

#[test]
fn a_gap_that_a_stage_finds_tells_between_which_times() {
    let script = Script::new(7).data(0..3).data(5..6).end(0, 6);
    for filter in FILTERS {
        let run = script.through(filter);
        let gap = &run.expect(&[3]).payloads::<Gap>()[0];
        assert_eq!((gap.from, gap.to), (Some(1002), Some(1005)), "{filter}");
        assert_eq!(gap.detail, format!("between elsewhere and {}", name(filter)));
        let (header, _) = run.of_kind(&[Kind::GAP])[0];
        assert_eq!((header.time, header.seq), (1005, 5), "{filter}");
    }
}

#[test]
fn what_a_filter_passes_on_is_numbered_anew_where_it_has_no_samples() {
    let session = Session { start_monotonic: 1000, ..Session::default() };
    let other = Stream { name: "still".into(), ..description() };
    let stats = Stats { stage: "elsewhere".into(), ..Stats::default() };
    let event = libframe::payload::Event::default();
    let script = Script::joined_late(7).say(0, 9, &session).say(1, 0, &description());
    let script = script.say(2, 40, &other).data(0..3).say(1, 77, &gap(3, Some(2)));
    let script = script.data(5..6).say(1, 2, &event).say(0, 9, &stats);
    let totals = |stream, first, next, samples, lost| Totals {
        stream,
        first,
        next,
        samples,
        lost,
    };
    let totals = vec![totals(1, 0, 6, 4, 2), totals(2, 40, 40, 0, 0)];
    let end = End { streams: totals.clone(), reason: "end".into() };
    let script = script.say(0, 9, &end);
    for filter in FILTERS {
        let run = script.through(filter);
        run.expect(&[3]);
        let seq = |kind| -> Vec<_> {
            run.of_kind(&[kind]).iter().map(|(header, _)| header.seq).collect()
        };
        assert_eq!(seq(Kind::SESSION), [0], "{filter}");
        assert_eq!(seq(Kind::STREAM), [0, 40], "{filter}");
        assert_eq!(seq(Kind::GAP), [5], "{filter}");
        assert_eq!(seq(Kind::EVENT), [6], "{filter}");
        assert_eq!(seq(Kind::STATS), [0, 0], "{filter}");
        assert_eq!(seq(Kind::END), [0], "{filter}");
        // The stream that no sample came of keeps its place too.
        assert_eq!(run.payloads::<End>()[0].streams, totals, "{filter}");
    }
}

#[test]
fn an_unknown_number_of_missing_samples_is_a_loss() {
    let script = Script::new(7).data(0..3).say(1, 3, &gap(3, None)).data(3..4).end(0, 4);
    for tool in READERS {
        let run = script.through(tool);
        run.expect(&[3]).expect_stderr(0, "and an unknown number more, gaps: 1");
        script.through(&format!("{tool} --max-loss 0%")).expect(&[3]);
        script.through(&format!("{tool} --max-loss 1%")).expect(&[0]);
    }
}

#[test]
fn damage_between_sessions_is_a_loss_although_no_sample_is_missing() {
    let first = Script::new(7).data(0..3).end(0, 3).bytes;
    let second = Script::new(8).data(0..3).end(0, 3).bytes;
    let bytes = [&first[..], b"between them", &second].concat();
    for tool in READERS {
        let run = pipe(tool).input(&bytes[..]).run();
        run.expect(&[3])
            .expect_stderr(0, "input damaged, places: 1, unreadable bytes: 12");
        pipe(&format!("{tool} --max-loss 0%")).input(&bytes[..]).run().expect(&[3]);
        pipe(&format!("{tool} --max-loss 1%")).input(&bytes[..]).run().expect(&[0]);
    }
}

#[test]
fn bytes_before_the_first_record_are_damage_if_a_session_begins_behind_them() {
    let junk = [7; 100];
    let session = Session { start_monotonic: 1000, ..Session::default() };
    let whole = Script::joined_late(7).say(0, 0, &session).end(0, 8).bytes;
    let run = pipe("inspect-frames -f json").input([&junk[..], &whole].concat()).run();
    let report = run.expect(&[3]).json();
    assert_eq!(report["input"]["damaged_bytes"], 100);
    assert_eq!(report["sessions"][0]["streams"][0]["losses"][0]["reason"], "corrupt");
    let middle = Script::joined_late(7).data(3..8).end(0, 8).bytes;
    let bytes = [&junk[..], &middle].concat();
    let run = pipe("inspect-frames -f json -v").input(bytes).run();
    let report = run.expect(&[0]).json();
    assert_eq!(
        (&report["input"]["late_bytes"], &report["input"]["damaged_bytes"]),
        (&100.into(), &0.into())
    );
    run.expect_stderr(0, "joined in the middle, 100 bytes before the first record");
}

#[test]
fn a_record_over_the_limit_is_named_and_no_share_of_losses_excuses_it() {
    let stream = Stream { media: Media::Bytes, name: "big".into(), ..Stream::default() };
    let script = Script::new(7).say(2, 0, &stream).data(0..3);
    let script = script.record(Kind::DATA, 2, 0, &[1; 2000]).data(3..4).end(0, 4);
    for tool in READERS {
        let run = script.through(&format!("{tool} --max-record 1kB"));
        run.expect(&[3]);
        run.expect_stderr(
            0,
            "records over --max-record, the first of 2000 bytes; raise it",
        );
        script.through(&format!("{tool} --max-record 1kB --max-loss 100%")).expect(&[3]);
        script.through(&format!("{tool} --max-record 2kB")).expect(&[0]);
    }
}

#[test]
fn another_version_is_a_failure_that_names_it() {
    for tool in READERS {
        let path = root().join("tests/vectors/bad/version.frames");
        let run = pipe(tool).input_file(path).run();
        run.expect(&[1]).expect_stderr(0, "this tool reads version 1");
    }
}

#[test]
fn an_endless_input_that_is_no_stream_is_given_up() {
    for tool in READERS {
        let mut started = pipe(tool).input_left_open(vec![0; 65 << 20]).start();
        started.read_stdout();
        let run = started.wait();
        run.expect(&[1]).expect_stderr(0, "not the output of a framepipe tool");
    }
}

#[test]
fn a_session_that_begins_ends_the_one_before() {
    let broken = Script::new(7).data(0..10).bytes;
    let whole = Script::new(8).data(0..20).end(0, 20).bytes;
    for filter in FILTERS {
        let run = pipe(filter).input([&broken[..], &whole].concat()).run();
        run.expect(&[3]).expect_stderr(0, "elsewhere broke off");
        let marks = run.of_kind(&[Kind::SESSION, Kind::END]);
        let marks: Vec<_> = marks.iter().map(|(h, _)| (h.kind, h.session)).collect();
        let (begin, end) = (Kind::SESSION, Kind::END);
        assert_eq!(marks, [(begin, 7), (end, 7), (begin, 8), (end, 8)], "{filter}");
    }
}

#[test]
fn sessions_that_are_mixed_are_told_apart_and_a_fifth_ends_the_oldest() {
    let start = |tag| Script::joined_late(tag).data(0..2).bytes;
    let rest = |tag| Script::joined_late(tag).data(2..4).end(0, 4).bytes;
    let four: Vec<u8> = (1..5).map(start).chain((1..5).map(rest)).flatten().collect();
    for tool in READERS {
        pipe(tool).input(four.clone()).run().expect(&[0]).expect_silence();
    }
    let five: Vec<u8> = (1..6).map(start).chain((2..6).map(rest)).flatten().collect();
    let run = pipe("pick-frames").input(five).run();
    run.expect(&[3]).expect_stderr(0, "broke off");
    let ends = run.of_kind(&[Kind::END]);
    let ends: Vec<_> = ends.iter().map(|(header, _)| header.session).collect();
    assert_eq!(ends, [1, 2, 3, 4, 5]);
}

#[test]
fn a_session_that_has_ended_is_forgotten() {
    // Together the descriptions are more than a stage keeps, and so are the streams.
    let wide = Stream {
        channels: vec![Channel { label: "x".into(), ..Channel::default() }; 4000],
        ..description()
    };
    let session = |tag| Script::new(tag).say(1, 0, &wide).data(0..5).end(0, 5).bytes;
    let many: Vec<u8> = (1..60).flat_map(session).collect();
    // A recording that is played twice has the same tag both times.
    let twice = [session(7), session(7)].concat();
    for tool in READERS {
        pipe(tool).input(&many[..]).run().expect(&[0]).expect_silence();
        pipe(tool).input(&twice[..]).run().expect(&[0]).expect_silence();
    }
    for filter in FILTERS {
        let run = pipe(filter).input(&twice[..]).run();
        let samples: Vec<_> =
            run.payloads::<End>().iter().map(|end| end.streams[0].samples).collect();
        assert_eq!(samples, [5, 5], "{filter}");
    }
}

#[test]
fn the_stats_of_a_stage_tell_what_it_found_missing_and_no_delay_of_old_records() {
    let script = Script::new(7).data(0..3).data(5..6).end(0, 6);
    for filter in FILTERS {
        let run = script.through(filter);
        let stats = run.payloads::<Stats>();
        let sum = |of: fn(&Stats) -> u64| stats.iter().map(of).sum::<u64>();
        assert_eq!((sum(|s| s.dropped), sum(|s| s.input.samples)), (2, 4), "{filter}");
        // They were sent before the stage began.
        assert!(stats.iter().all(|stats| stats.hop.is_empty()), "{filter}");
    }
}

#[test]
fn a_count_is_reached_when_every_stream_has_it() {
    let two = Script::new(7).say(2, 0, &description());
    let first = |script: Script, seqs| script.data(seqs);
    let second = |script: Script, mut seqs: Range<u64>| {
        seqs.try_fold(script, |script, seq| {
            Some(script.record(Kind::DATA, 2, seq, b"xx"))
        })
        .unwrap()
    };
    // One stream that begins late, and one that stops for a while.
    let late = second(first(two.clone(), 0..10), 0..10);
    let pauses = first(second(first(two, 0..2), 0..10), 2..10);
    for script in [late, pauses] {
        for filter in FILTERS {
            let mut started = pipe(&format!("{filter} --count 5"))
                .input_left_open(&script.bytes[..])
                .start();
            started.read_stdout();
            let run = started.wait();
            let end = &run.expect(&[0]).payloads::<End>()[0];
            let samples: Vec<_> =
                end.streams.iter().map(|totals| totals.samples).collect();
            assert_eq!((samples, end.reason.as_str()), (vec![5, 5], "count"), "{filter}");
        }
    }
}

#[test]
fn a_stage_whose_input_is_silent_still_reports() {
    for filter in FILTERS {
        let script = Script::new(7).data(0..3);
        let mut started = pipe(filter).input_left_open(script.bytes).start();
        started.until_records(Kind::STATS, 2).close_stdin();
        started.wait().expect(&[3]);
    }
}

/// The least of three times: one may be long because the machine is busy.
fn least(mut measure: impl FnMut() -> i64) -> i64 {
    (0..3).map(|_| measure()).min().unwrap()
}

/// From the first record that a stage wrote to the first of this kind.
fn until(run: &Run, kind: Kind) -> i64 {
    run.of_kind(&[kind])[0].0.sent - run.records()[0].0.sent
}

#[test]
fn a_stage_whose_input_is_silent_wakes_on_time_and_not_with_its_next_report() {
    let open = |line: &str| {
        let mut started =
            pipe(line).input_left_open(Script::new(7).data(0..3).bytes).start();
        started.read_stdout();
        started.wait()
    };
    for options in ["--duration 300ms", "--idle 300ms"] {
        let time = least(|| until(&open(&format!("pick-frames {options}")), Kind::END));
        assert!(
            (250 * SECOND / 1000..900 * SECOND / 1000).contains(&time),
            "{options}: {time}"
        );
    }
    let line = "batch-frames --every 300ms --duration 1500ms";
    let time = least(|| until(&open(line), Kind::BATCH));
    assert!((250 * SECOND / 1000..900 * SECOND / 1000).contains(&time), "{time}");
}

#[test]
fn what_came_twice_or_late_is_told_if_asked() {
    let script = Script::new(7).data(0..2).data(3..5).data(2..4).end(0, 5);
    for tool in READERS {
        script.through(tool).expect(&[0]).expect_silence();
        let run = script.through(&format!("{tool} -v"));
        run.expect(&[0]).expect_stderr(0, "1 samples came twice, 1 after later ones");
    }
}

#[test]
fn the_lines_about_losses_are_few() {
    let mut script = Script::new(7);
    for stream in 2..40 {
        let named = Stream { name: format!("s{stream}"), ..description() };
        script = script.say(stream, 0, &named).say(stream, 5, &gap(0, Some(5)));
    }
    for tool in READERS {
        let run = script.clone().data(0..1).end(0, 1).through(tool);
        run.expect(&[3]).expect_stderr(0, ": s21: 5 lost, gaps: 1, reason: device");
        run.expect_stderr(0, "… and 18 more lines");
        assert!(run.stderrs[0].lines().count() < 25, "{}", run.everything());
    }
}

#[test]
fn every_nth_of_a_stream_that_is_joined_late_is_numbered_from_where_it_is() {
    let event = libframe::payload::Event::default();
    let late = Script::joined_late(7);
    for begun in [late.clone(), late.say(1, 1000, &event)] {
        let script = begun.say(1, 1000, &description()).data(1000..1100).end(1000, 1100);
        let run = script.through("pick-frames --every 10");
        assert_eq!(run.expect(&[0]).expect_silence().samples(), 10);
        let totals = run.payloads::<End>()[0].streams[0];
        assert_eq!((totals.first, totals.next), (100, 110));
    }
}

#[test]
fn a_batch_ends_where_its_description_changes_and_not_where_that_is_repeated() {
    let other = Stream { name: "other".into(), ..description() };
    for (again, kinds) in [
        (description(), vec![Kind::STREAM, Kind::STREAM, Kind::BATCH]),
        (other, vec![Kind::STREAM, Kind::BATCH, Kind::STREAM, Kind::BATCH]),
    ] {
        let script = Script::new(7).data(0..3).say(1, 3, &again).data(3..6).end(0, 6);
        let run = script.through("batch-frames -n 100");
        let passed = run.expect(&[0]).of_kind(&[Kind::STREAM, Kind::BATCH]);
        assert_eq!(passed.iter().map(|(h, _)| h.kind).collect::<Vec<_>>(), kinds);
    }
}

#[test]
fn of_the_gaps_a_time_range_keeps_those_between_samples_that_it_keeps() {
    let script = Script::new(7).data(0..95).data(105..150).data(160..250).data(300..400);
    let run = script.end(0, 400).through("pick-frames --start 100ns --end 280ns");
    let gaps = gaps(run.expect(&[3]));
    let told: Vec<_> = gaps.iter().map(|(first, count, ..)| (*first, *count)).collect();
    assert_eq!(told, [(150, Some(10))]);
    let totals = run.payloads::<End>()[0].streams[0];
    assert_eq!(
        (totals.first, totals.next, totals.samples, totals.lost),
        (105, 250, 135, 10)
    );
}
