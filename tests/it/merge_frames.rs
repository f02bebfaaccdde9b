//! `merge-frames`: what comes of files and pipes that are all there.

mod clocks;
mod live;
mod made;
mod order;

use std::collections::BTreeMap;

use framepipe_tests::{Run, Scratch, pipe};
use libframe::payload::{End, Gap, Payload as _, Reason, Session, Stats};
use libframe::schema::Stream;
use libframe::wire::{Header, Kind};

use self::made::Made;

/// However busy the machine is, inputs then wait for each other.
const PATIENT: &str = "--skew 10m";

/// What a tool writes, in a file of this name.
fn recorded(folder: &Scratch, name: &str, line: &str) -> String {
    let run = pipe(line).run();
    let path = folder.file(name);
    std::fs::write(&path, &run.stdout).unwrap();
    path
}

/// The samples of each stream, by its name: number, time and bytes.
fn samples(run: &Run) -> BTreeMap<String, Vec<(u64, i64, Vec<u8>)>> {
    let names = names(run);
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for (header, payload) in run.of_kind(&[Kind::DATA, Kind::BATCH]) {
        let name = names.get(&(header.session, header.stream)).cloned();
        let samples = all.entry(name.unwrap_or_default()).or_default();
        samples.push((header.seq, header.time, payload));
    }
    all
}

fn names(run: &Run) -> BTreeMap<(u32, u16), String> {
    let streams = run.of_kind(&[Kind::STREAM]).into_iter();
    let name = |(header, payload): (Header, Vec<u8>)| {
        let name = Stream::from_bytes(&payload).unwrap().name;
        ((header.session, header.stream), name)
    };
    streams.map(name).collect()
}

/// The tag of the merged session.
fn tag(run: &Run) -> u32 {
    run.records()[0].0.session
}

fn times(run: &Run) -> Vec<i64> {
    run.of_kind(&[Kind::DATA, Kind::BATCH])
        .iter()
        .map(|(header, _)| header.time)
        .collect()
}

#[test]
fn files_become_one_session_in_order_of_time_and_no_sample_is_changed() {
    let folder = Scratch::new();
    let a = recorded(&folder, "a.frames", "sim-src glove sine -n 700 --rate max");
    let b = recorded(&folder, "b.frames", "sim-src control thermal -n 300 --rate max");
    let run = pipe(&format!("merge-frames {a} {b}")).run();
    run.expect(&[0]).expect_silence();
    assert!(times(&run).is_sorted());

    let mut expected = samples(&pipe("pick-frames").input_file(&a).run());
    expected.extend(samples(&pipe("pick-frames").input_file(&b).run()));
    assert_eq!(samples(&run), expected);

    let tag = tag(&run);
    assert!(run.records().iter().all(|(header, _)| header.session == tag));
    let ends = run.payloads::<End>();
    let totals: Vec<_> =
        ends[0].streams.iter().map(|t| (t.stream, t.first, t.next, t.lost)).collect();
    let whole = [(1, 0, 700, 0), (2, 0, 700, 0), (3, 0, 300, 0), (4, 0, 300, 0)];
    assert_eq!((totals.as_slice(), ends.len()), (&whole[..], 1));
    assert_eq!(ends[0].reason, "count");
    pipe("inspect-frames").input(run.stdout).run().expect(&[0]);
}

#[test]
fn a_session_of_its_own_begins_with_the_earliest_and_names_all_stages() {
    let folder = Scratch::new();
    let late = Made::new(1).at("boot", 9000, 1000).streams(&["x"]).data(1, 0, 1100).end();
    let early = Made::new(2).at("boot", 8500, 500).streams(&["y"]).data(1, 0, 600).end();
    let (late, early) = (late.file(&folder, "late"), early.file(&folder, "early"));
    let run = pipe(&format!("merge-frames --meta room=2 {late} {early}")).run();
    let sessions = run.expect(&[0]).of_kind(&[Kind::SESSION]);
    assert_eq!(sessions[0].0.time, 500);
    assert!(sessions[1..].iter().all(|(header, _)| header.time > 500));
    let session = Session::from_bytes(&sessions[0].1).unwrap();
    assert_eq!((session.start_monotonic, session.start_realtime), (500, 8500));
    assert_eq!((session.boot_id.as_str(), session.uuid.len()), ("boot", 36));
    let stages: Vec<_> = session.stages.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(stages, ["made-1", "made-2", "merge-frames"]);
    let meta: Vec<_> = session.meta.into_iter().collect();
    let pairs = [("early.subject", "2"), ("late.subject", "1"), ("room", "2")];
    assert_eq!(meta, pairs.map(|(key, value)| (key.to_owned(), value.to_owned())));
}

#[test]
fn stages_keep_their_statistics_at_their_new_places() {
    let folder = Scratch::new();
    let a = recorded(&folder, "a", "sim-src -n 9 --rate max | batch-frames -n 2");
    let b = recorded(&folder, "b", "sim-src -n 5 --rate max --name other");
    let run = pipe(&format!("merge-frames {a} {b}")).run();
    let stats = run.expect(&[0]).payloads::<Stats>();
    let mut places: Vec<_> = stats.iter().map(|s| (s.index, s.stage.as_str())).collect();
    places.dedup();
    let all = [(0, "sim-src"), (1, "batch-frames"), (2, "other"), (3, "merge-frames")];
    assert!(all.iter().all(|place| places.contains(place)), "{places:?}");
    let own = stats.iter().filter(|stats| stats.index == 3);
    let counts = own.map(|s| [s.input.samples, s.output.samples, s.dropped]);
    let sum = counts.reduce(|a, b| [a[0] + b[0], a[1] + b[1], a[2] + b[2]]);
    assert_eq!(sum, Some([14, 14, 0]));
}

#[test]
fn names_that_several_have_get_the_inputs_in_front() {
    let folder = Scratch::new();
    let left = recorded(&folder, "left.frames", "sim-src glove sine -n 5 --rate max");
    let right = recorded(&folder, "right.frames", "sim-src glove -n 5 --rate max");
    let run = pipe(&format!("merge-frames {left} {right}")).run();
    let given = |run: &Run| names(run).into_values().collect::<Vec<_>>();
    assert_eq!(given(run.expect(&[0])), ["left/glove", "sine", "right/glove"]);
    let line = format!("merge-frames --label L --label R {left} {right}");
    let run = pipe(&line).run();
    assert_eq!(given(run.expect(&[0])), ["L/glove", "sine", "R/glove"]);
    let again = pipe(&format!("merge-frames {left} {left}")).run();
    let twice = ["left/glove", "left/sine", "left-2/glove", "left-2/sine"];
    assert_eq!(given(again.expect(&[0])), twice);
}

#[test]
fn sessions_one_behind_the_other_become_streams_of_their_own() {
    let folder = Scratch::new();
    let one = recorded(&folder, "one", "sim-src sine -n 5 --rate max");
    let two = recorded(&folder, "two", "sim-src sine -n 7 --rate max");
    let both = [std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap()].concat();
    let run = pipe(&format!("merge-frames {PATIENT} - {one}")).input(both).run();
    run.expect(&[0]).expect_silence();
    let counts: Vec<_> =
        samples(&run).into_iter().map(|(name, samples)| (name, samples.len())).collect();
    let expected = [("one/sine", 5), ("stdin/sine", 5), ("stdin/sine.2", 7)];
    assert_eq!(counts, expected.map(|(name, n)| (name.to_owned(), n)));
    assert_eq!(run.payloads::<End>().len(), 1);
}

#[test]
fn losses_of_an_input_are_told_exactly_and_those_of_the_way_to_here_too() {
    let folder = Scratch::new();
    let told = "sim-src sine -n 5000 --rate max --fault gap=2%";
    let told = recorded(&folder, "told", told);
    let whole = recorded(&folder, "whole", "sim-src sine -n 1000 --rate max");
    let mut holed = std::fs::read(&whole).unwrap();
    let at: Vec<_> = (0..holed.len() - 5)
        .filter(|at| holed[*at..].starts_with(b"\xD5FP1\x03"))
        .collect();
    // One payload is damaged, and later two records are not there at all.
    holed[at[200] + 50] ^= 1;
    holed.drain(at[400]..at[402]);
    let line = format!("merge-frames {PATIENT} --label holed - {told}");
    let run = pipe(&line).input(holed).run();
    run.expect(&[3]).expect_stderr(0, "holed: sine: 2 lost, gaps: 1, reason: upstream");
    run.expect_stderr(0, "holed: sine: 1 lost, gaps: 1, reason: corrupt");
    run.expect_stderr(0, "input damaged, places: 1");

    let names = names(&run);
    let gaps = run.of_kind(&[Kind::GAP]);
    let gaps = gaps.iter().map(|(header, payload)| {
        let name = names[&(header.session, header.stream)].as_str();
        (name, Gap::from_bytes(payload).unwrap())
    });
    let mut by_input = BTreeMap::<_, Vec<_>>::new();
    gaps.for_each(|(name, gap)| by_input.entry(name).or_default().push(gap));
    let ours: Vec<_> =
        by_input["holed/sine"].iter().map(|g| (g.first, g.count, g.reason)).collect();
    assert_eq!(ours, [(200, Some(1), Reason::Corrupt), (400, Some(2), Reason::Upstream)]);
    assert!(by_input["holed/sine"].iter().all(|gap| gap.stage == "merge-frames"));
    let before = pipe("pick-frames").input_file(&told).run().payloads::<Gap>();
    assert!(before.len() > 10);
    assert_eq!(by_input["told/sine"], before);
    // Who reads on finds the same, and nothing else.
    let json = pipe("inspect-frames -f json").input(run.stdout).run().json();
    let streams = json["sessions"][0]["streams"].as_array().unwrap();
    let lost: Vec<_> = streams.iter().map(|stream| &stream["lost"]).collect();
    let told: u64 = before.iter().filter_map(|gap| gap.count).sum();
    assert_eq!(lost, [&serde_json::json!(3), &serde_json::json!(told)]);
}

#[test]
fn an_input_that_broke_off_is_named_and_the_others_are_whole() {
    let folder = Scratch::new();
    let good = recorded(&folder, "good.frames", "sim-src control -n 50 --rate max");
    let mut cut = pipe("sim-src glove -n 50 --rate max --name rig").run().stdout;
    cut.truncate(cut.len() * 2 / 3);
    let path = folder.file("cut.frames");
    std::fs::write(&path, cut).unwrap();
    let run = pipe(&format!("merge-frames {path} {good} | inspect-frames -f json")).run();
    run.expect(&[3, 3]).expect_stderr(0, "cut: rig broke off: its output stops");
    let json = run.json();
    assert_eq!(json["sessions"][0]["broke_off"], "rig");
    assert_eq!(json["sessions"][0]["streams"][1]["samples"], 50);
}

#[test]
fn an_input_that_is_no_stream_stops_nobody_unless_it_is_the_only_one() {
    let folder = Scratch::new();
    let good = recorded(&folder, "good.frames", "sim-src control -n 50 --rate max");
    let line = format!("merge-frames - {good}");
    let run = pipe(&line).input("hello, world\n".repeat(10)).run();
    run.expect(&[3]).expect_stderr(0, "stdin: no record in 130 bytes: this is not");
    assert_eq!(run.samples(), 50);
    let run = pipe(&line).run();
    run.expect(&[3]).expect_stderr(0, "stdin: no records came");
    assert_eq!(run.samples(), 50);
    pipe("merge-frames -").input("hello, world\n".repeat(10)).run().expect(&[1]);
}

#[test]
fn what_cannot_be_an_input_is_refused_with_a_remedy() {
    let folder = Scratch::new();
    let h5 = folder.file("night.h5");
    std::fs::write(&h5, b"\x89HDF\r\n\x1a\nrest").unwrap();
    let run = pipe(&format!("merge-frames {h5}")).run();
    run.expect(&[2]).expect_stderr(0, &format!("give me <(replay {h5} --speed max)"));
    pipe("merge-frames").run().expect(&[2]);
    pipe("merge-frames - -").run().expect(&[2]).expect_stderr(0, "one input only");
    pipe("merge-frames --label a --label a - x").run().expect(&[2]);
    pipe("merge-frames --label a --label b -").run().expect(&[2]);
    let run = pipe("merge-frames - /no/such.frames").run();
    run.expect(&[1]).expect_stderr(0, "/no/such.frames: No such file");
    let run = pipe(&format!("merge-frames {}", folder.0.display())).run();
    assert_ne!(run.codes(), [0], "a folder");
}

#[test]
fn more_streams_than_a_session_can_have_are_refused() {
    let folder = Scratch::new();
    let made = |tag| {
        let streams = (1..3000).fold(Made::new(tag), |made, n| made.data(n, 0, 5));
        streams.end().file(&folder, &tag.to_string())
    };
    let run = pipe(&format!("merge-frames {} {}", made(1), made(2))).run();
    run.expect(&[1]).expect_stderr(0, "do not fit in one session; merge fewer inputs");
}

#[test]
fn kinds_that_it_does_not_know_go_to_their_streams() {
    let folder = Scratch::new();
    let first = Made::new(1).streams(&["a", "b"]).data(1, 0, 5).end();
    let strange = Made::new(2).streams(&["c"]).data(1, 0, 5).strange(1, 7, 6).end();
    let files = [first.file(&folder, "first"), strange.file(&folder, "strange")];
    let run = pipe(&format!("merge-frames {}", files.join(" "))).run();
    let passed = run.expect(&[0]).of_kind(&[Kind(99)]);
    let (header, payload) = &passed[0];
    assert_eq!((header.stream, header.seq, header.time), (3, 7, 6));
    assert_eq!((header.session, payload.as_slice()), (tag(&run), &b"strange"[..]));
}

#[test]
fn limits_hold_for_every_stream() {
    let folder = Scratch::new();
    let a = recorded(&folder, "a", "sim-src sine -n 50 --rate max");
    let b = recorded(&folder, "b", "sim-src control -n 80 --rate max");
    let run = pipe(&format!("merge-frames -n 20 {a} {b}")).run();
    let counts: Vec<_> = samples(run.expect(&[0])).values().map(Vec::len).collect();
    assert_eq!(counts, [20, 20]);
    assert_eq!(run.payloads::<End>()[0].reason, "count");
}

#[test]
fn memory_does_not_depend_on_the_size_of_the_files() {
    let folder = Scratch::new();
    let peak = |samples: u64| {
        let file = |n: u64| {
            let path = folder.file(&format!("{samples}-{n}.frames"));
            let out = std::fs::File::create(&path).unwrap();
            let line = format!("sim-src glove -n {samples} --rate max --queue 64KiB");
            pipe(&line).output_fd(out).run().expect(&[0]);
            path
        };
        let files: Vec<_> = (0..5).map(file).collect();
        let null = std::fs::File::options().write(true).open("/dev/null").unwrap();
        let line = format!("merge-frames {}", files.join(" "));
        let run = pipe(&line).output_fd(null).run();
        run.expect(&[0]);
        files.iter().for_each(|file| std::fs::remove_file(file).unwrap());
        run.peaks[0]
    };
    let (few, many) = (peak(20_000), peak(200_000));
    assert!(few > 0 && many < few + (1 << 20), "from {few} to {many} bytes");
    assert!(many < 16 << 20, "{many} bytes");
}

#[test]
fn twenty_inputs_are_no_more_than_twenty_times_one() {
    let folder = Scratch::new();
    let mut files = Vec::new();
    for n in 0..20 {
        let line = "sim-src glove -n 3000 --rate max";
        files.push(recorded(&folder, &format!("in{n:02}.frames"), line));
    }
    let run = pipe(&format!("merge-frames {}", files.join(" "))).run();
    run.expect(&[0]).expect_silence();
    assert!(times(&run).is_sorted());
    let all = samples(&run);
    assert_eq!(all.len(), 20);
    for (name, samples) in all {
        assert!(name.starts_with("in") && name.ends_with("/glove"), "{name}");
        assert!(samples.iter().map(|(seq, ..)| *seq).eq(0..3000), "{name}");
    }
    assert!(run.peaks[0] < 32 << 20, "{} bytes", run.peaks[0]);
}
