//! `thin-frames --to` and `--factor`: each sample stands for all that were before.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use framepipe_tests::{Run, pipe, root};
use libframe::payload::{End, Event, Gap, Payload as _, Reason, Session, Totals};
use libframe::schema::{Dtype, Media, Stream};
use libframe::wire::{Header, Kind, Record};

use super::samples;

const METHODS: [&str; 5] = ["filter", "average", "minmax", "rms", "decimate"];
const SOURCE: &str = "sim-src sine:channels=5,rate=3000 -n 6000 --rate max";

/// The samples of stream 1 by number, and the numbers that GAPs tell.
fn outputs(run: &Run) -> (BTreeMap<u64, Vec<u8>>, BTreeSet<u64>) {
    let samples = samples(run, 1).into_iter().map(|sample| (sample.0, sample.3));
    let gaps = run.payloads::<Gap>().into_iter();
    (samples.collect(), gaps.flat_map(|gap| gap.first..gap.next()).collect())
}

fn python(args: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let python = root().join(".venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: no .venv with numpy; run scripts/setup");
        return None;
    }
    let mut command = Command::new(python);
    command.arg(root().join("tests/python/thinning.py")).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::Builder::new().name("feeder".into());
    let feeder = feeder.spawn(move || drop(stdin.write_all(&input))).unwrap();
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    assert!(output.status.success(), "{args:?}");
    Some(output.stdout)
}

#[test]
fn numpy_finds_what_it_finds_by_the_definitions() {
    let Some(input) = python(&["make"], b"") else { return };
    for rate in ["1000", "22050", "441"] {
        for method in METHODS {
            let line = format!("thin-frames --to {rate} --method {method}");
            let run = pipe(&line).input(&input[..]).run();
            run.expect(&[0]).expect_silence();
            python(&[method, rate], &run.stdout);
        }
    }
}

#[test]
fn the_description_the_totals_and_the_plan_are_those_of_what_comes_out() {
    let source = "sim-src ephys:channels=4,rate=30k control -n 9000 --rate max";
    let run = pipe(&format!("{source} | thin-frames -s ephys --to 1kHz")).run();
    run.expect(&[0, 0]).expect_silence();
    let streams = run.payloads::<Stream>();
    let ephys = &streams[0];
    assert_eq!((ephys.rate, ephys.dtype), (Some(1000.0), Some(Dtype::F32)));
    assert_eq!(ephys.meta["thinning_method"], "filter");
    assert_eq!(ephys.meta["thinning_factor"], "30");
    assert_eq!(streams[1].dtype, Some(Dtype::U16));
    let totals = &run.payloads::<End>()[0].streams;
    let (first, next) = (totals[0].first, totals[0].next);
    // 25.4 samples on either side; what is before and behind is no loss.
    assert_eq!((first, next, totals[0].samples, totals[0].lost), (26, 275, 249, 0));
    assert_eq!(totals[1].samples, 9000);
    pipe("inspect-frames").input(&run.stdout[..]).run().expect(&[0]).expect_silence();
    let factor = pipe(&format!("{source} | thin-frames -s ephys --factor 30")).run();
    assert_eq!(outputs(&factor), outputs(&run));
    let plan = pipe(&format!("{source} --plan | thin-frames -s ephys --to 1kHz --plan"));
    let plan = plan.run().json();
    let flow = &plan[1]["out"][0];
    assert_eq!((&flow["stream"]["rate"], &flow["size"]), (&1000.0.into(), &16.0.into()));
}

#[test]
fn a_gap_costs_exactly_the_samples_that_need_what_is_missing() {
    for method in METHODS {
        for ratio in ["--factor 10", "--to 700"] {
            let thin = format!("thin-frames {ratio} --method {method}");
            let whole = pipe(&format!("{SOURCE} | {thin}")).run();
            let (all, none) = outputs(&whole);
            assert!(none.is_empty());
            for form in ["", "batch-frames -n 48 | ", "batch-frames -n 7 | "] {
                let faulty = format!("{SOURCE} --fault gap=0.1%");
                let run = pipe(&format!("{faulty} | {form}{thin}")).run();
                assert_eq!(run.codes().last(), Some(&3), "{}", run.everything());
                let (came, told) = outputs(&run);
                let each = if method == "filter" { 30 } else { 1 };
                let gaps = pipe(&faulty).run().payloads::<Gap>().len();
                let most = gaps * 2 * each;
                assert!(!told.is_empty() || method == "decimate");
                assert!(told.len() <= most, "{method}: {} of {most}", told.len());
                for (number, bytes) in &all {
                    match came.get(number) {
                        Some(sample) => assert_eq!(sample, bytes, "{method} {number}"),
                        None => assert!(told.contains(number), "{method} {number}"),
                    }
                }
                assert_eq!(came.keys().filter(|n| told.contains(n)).count(), 0);
                // A later stage finds nothing more.
                let after = pipe("inspect-frames -f json").input(run.stdout).run();
                let stream = &after.json()["sessions"][0]["streams"][0];
                assert_eq!(stream["lost"], told.len());
            }
        }
    }
}

#[test]
fn who_joins_late_gets_the_same_samples_under_the_same_numbers() {
    let input = pipe(&format!("{SOURCE} | batch-frames -n 33")).run().stdout;
    for method in METHODS {
        let thin = format!("thin-frames --to 1kHz --method {method}");
        let (all, _) = outputs(&pipe(&thin).input(&input[..]).run());
        // Behind a description, in the middle of a record.
        let half = [&input[..2000], &input[input.len() / 2..]].concat();
        let run = pipe(&thin).input(half).run();
        let (rest, told) = outputs(&run);
        assert!(rest.len() > all.len() / 3, "{method}: {}", rest.len());
        let known = all.keys().filter(|n| rest.contains_key(n) || told.contains(n));
        assert_eq!(known.count(), all.len(), "{method}");
        for (number, bytes) in rest {
            assert_eq!(Some(&bytes), all.get(&number), "{method} {number}");
        }
    }
}

#[test]
fn batches_stay_batches_and_single_samples_single() {
    for (form, kind) in [("", Kind::DATA), ("| batch-frames -n 48", Kind::BATCH)] {
        for method in METHODS {
            let line = format!("{SOURCE} {form} | thin-frames --to 1k --method {method}");
            let run = pipe(&line).run();
            let records = run.of_kind(&[Kind::DATA, Kind::BATCH]);
            assert!(records.iter().all(|(header, _)| header.kind == kind), "{method}");
        }
    }
}

#[test]
fn events_pass_and_streams_that_cannot_be_thinned_pass_whole() {
    let source = "sim-src glove camera:size=32x32,rate=217 sine -n 434 --rate max \
                  --event hit@1s";
    let run = pipe(&format!("{source} | thin-frames --to 30Hz -v")).run();
    run.expect(&[0, 0]).expect_stderr(1, "glove passes as it is: has numbers of several");
    run.expect_stderr(1, "camera passes as it is: is not of numbers");
    assert_eq!((samples(&run, 1).len(), samples(&run, 2).len()), (434, 434));
    assert!(samples(&run, 3).len() < 140);
    assert_eq!(run.payloads::<Event>().len(), 1);
    let run = pipe(&format!("{source} | thin-frames --to 30Hz --method decimate")).run();
    run.expect(&[0, 0]).expect_silence();
    assert_eq!((samples(&run, 1).len(), samples(&run, 2).len()), (60, 60));
    // What was chosen by name must not pass otherwise than was asked for.
    for (options, why) in [
        ("-s glove --to 30", "--method decimate"),
        ("-s camera --factor 7", "--method decimate"),
        ("-s sine --to 31.4159265", "near are"),
    ] {
        let run = pipe(&format!("{source} | thin-frames {options}")).run();
        assert_eq!(run.codes()[1], 2, "{options}: {}", run.everything());
        run.expect_stderr(1, why);
    }
}

#[test]
fn samples_that_come_twice_count_once() {
    for method in ["average", "filter", "minmax"] {
        let thin = format!("thin-frames --factor 10 --method {method}");
        let all = pipe(&format!("{SOURCE} | {thin}")).run();
        let run = pipe(&format!("{SOURCE} --fault dup=1% | {thin}")).run();
        run.expect(&[0, 0]).expect_silence();
        assert!(outputs(&run) == outputs(&all), "{method}");
    }
}

#[test]
fn samples_that_come_too_late_are_a_loss_that_is_told() {
    for method in ["average", "filter"] {
        let thin = format!("thin-frames --factor 10 --method {method}");
        let (all, _) = outputs(&pipe(&format!("{SOURCE} | {thin}")).run());
        let run = pipe(&format!("{SOURCE} --fault reorder=0.1% | {thin}")).run();
        run.expect(&[0, 3]).expect_stderr(1, "by thin-frames");
        let (came, told) = outputs(&run);
        assert!(!told.is_empty() && !came.is_empty());
        // What was made has nothing of them.
        for (number, bytes) in came {
            assert_eq!(Some(&bytes), all.get(&number), "{method} {number}");
        }
    }
}

/// A session of one stream, as records.
struct Tape(Vec<u8>, u64);

impl Tape {
    fn new() -> Tape {
        let mut tape = Tape(Vec::new(), 0);
        tape.put(Kind::SESSION, 0, &Session::default().to_bytes());
        tape
    }

    fn put(&mut self, kind: Kind, stream: u16, payload: &[u8]) {
        let (seq, time) = (self.1, 1_000_000 * self.1 as i64);
        let seq = if stream == 0 { 0 } else { seq };
        let header = Header { kind, flags: 0, stream, session: 7, seq, time, sent: 0 };
        Record::new(header, payload).encode(&mut self.0);
    }

    fn describe(&mut self, dtype: Dtype, width: u32, rate: Option<f64>) {
        let (name, media) = ("x".into(), Media::Samples);
        let (dtype, shape) = (Some(dtype), vec![width]);
        let stream = Stream { name, media, dtype, shape, rate, ..Stream::default() };
        self.put(Kind::STREAM, 1, &stream.to_bytes());
    }

    fn samples(&mut self, n: u64, payload: &[u8]) {
        for _ in 0..n {
            self.put(Kind::DATA, 1, payload);
            self.1 += 1;
        }
    }

    fn end(mut self) -> Vec<u8> {
        let totals =
            Totals { stream: 1, first: 0, next: self.1, samples: self.1, lost: 0 };
        let (streams, reason) = (vec![totals], "end".into());
        self.put(Kind::END, 0, &End { streams, reason }.to_bytes());
        self.0
    }
}

#[test]
fn a_channel_that_is_missing_is_missing_alone() {
    let mut tape = Tape::new();
    tape.describe(Dtype::I16, 2, Some(1000.0));
    tape.samples(1000, &[3, 0, 5, 0]);
    let (partial, channels, reason) = (Some(12), vec![1], Reason::Transport);
    let gap = Gap { first: 1000, partial, channels, reason, ..Gap::default() };
    tape.put(Kind::GAP, 1, &gap.to_bytes());
    tape.samples(12, &[3, 0, 0, 0]);
    tape.samples(988, &[3, 0, 5, 0]);
    let tape = tape.end();
    for (method, touched) in [
        ("average", 100..102),
        ("rms", 100..102),
        // Samples that are 25.4 windows away.
        ("filter", 75..127),
    ] {
        let line = format!("thin-frames --factor 10 --method {method}");
        let run = pipe(&line).input(&tape[..]).run();
        run.expect(&[3]);
        let gap = &run.payloads::<Gap>()[0];
        assert_eq!(
            (gap.first, gap.partial),
            (touched.start, Some(touched.end - touched.start))
        );
        assert_eq!((gap.count, &gap.channels[..]), (None, &[1][..]));
        let (samples, told) = outputs(&run);
        assert!(told.is_empty());
        for (number, bytes) in samples {
            let numbers = bytes.as_chunks().0;
            let [one, other] = [0, 1].map(|at| f32::from_le_bytes(numbers[at]));
            assert!((one - 3.0).abs() < 1e-5, "{method} {number}: {one}");
            match touched.contains(&number) {
                true => assert!(other.is_nan(), "{method} {number}: {other}"),
                false => assert!((other - 5.0).abs() < 1e-5, "{method} {number}"),
            }
        }
    }
}

#[test]
fn another_set_of_channels_begins_anew_and_the_numbers_go_on() {
    let mut tape = Tape::new();
    tape.describe(Dtype::I16, 2, Some(1000.0));
    tape.samples(1005, &[3, 0, 5, 0]);
    tape.describe(Dtype::I16, 1, Some(1000.0));
    tape.samples(995, &[7, 0]);
    let tape = tape.end();
    for (method, missing) in [("average", 100..101), ("filter", 75..126)] {
        let line = format!("thin-frames --factor 10 --method {method}");
        let run = pipe(&line).input(&tape[..]).run();
        run.expect(&[3]).expect_stderr(0, "by thin-frames");
        let (samples, told) = outputs(&run);
        let told: Vec<_> = told.into_iter().collect();
        assert_eq!(told, missing.clone().collect::<Vec<_>>(), "{method}");
        for (number, bytes) in samples {
            let sevens = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b));
            let (seen, wanted) = match number < missing.start {
                true => (sevens.collect::<Vec<_>>(), vec![3.0, 5.0]),
                false => (sevens.collect(), vec![7.0]),
            };
            let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
            assert!(seen.len() == wanted.len() && seen.iter().zip(&wanted).all(near));
        }
        let run = pipe(&format!("{line} --partial use")).input(&tape[..]).run();
        run.expect(&[0]).expect_silence();
        assert_eq!(
            outputs(&run).0.into_keys().collect::<Vec<_>>(),
            Vec::from_iter(0..200)
        );
    }
}

#[test]
fn another_rate_makes_another_factor_and_the_numbers_go_on() {
    let mut tape = Tape::new();
    tape.describe(Dtype::I16, 1, Some(1000.0));
    tape.samples(1000, &[3, 0]);
    tape.describe(Dtype::I16, 1, Some(2000.0));
    tape.samples(1000, &[7, 0]);
    let tape = tape.end();
    let run = pipe("thin-frames --to 100 --method average").input(&tape[..]).run();
    run.expect(&[0]).expect_silence();
    let (samples, told) = outputs(&run);
    assert!(told.is_empty() && samples.keys().copied().eq(0..150));
    let value = |(number, bytes): (&u64, &Vec<u8>)| {
        (*number, f32::from_le_bytes(bytes[..].try_into().unwrap()))
    };
    let wanted = (0..150).map(|number| (number, if number < 100 { 3.0 } else { 7.0 }));
    assert!(samples.iter().map(value).eq(wanted));
}

#[test]
fn irregular_streams_are_thinned_by_a_factor_only() {
    let mut tape = Tape::new();
    tape.describe(Dtype::I64, 1, None);
    tape.samples(100, &i64::MAX.to_le_bytes());
    let tape = tape.end();
    let run =
        |options: &str| pipe(&format!("thin-frames {options}")).input(&tape[..]).run();
    let thinned = run("--factor 10 --method minmax");
    thinned.expect(&[0]).expect_silence();
    let (samples, _) = outputs(&thinned);
    assert_eq!(samples.len(), 10);
    assert!(samples.values().all(|bytes| *bytes == i64::MAX.to_le_bytes()));
    assert_eq!(run("--to 10").expect(&[0]).samples(), 100);
    run("-s x --to 10").expect(&[2]).expect_stderr(0, "say --factor");
}

#[test]
fn samples_without_a_description_are_a_loss_and_not_in_silence() {
    let mut tape = Tape::new();
    tape.samples(30, &[1, 0]);
    tape.describe(Dtype::I16, 1, Some(1000.0));
    tape.samples(70, &[1, 0]);
    let tape = tape.end();
    let session = 48 + Session::default().to_bytes().len();
    for (tool, lost) in [
        ("thin-frames --rate 100", None),
        ("thin-frames --newest", None),
        ("thin-frames --every 10", Some(3)),
        ("thin-frames --factor 10 --method average", Some(3)),
        ("thin-frames --factor 10 --method decimate", Some(3)),
        ("thin-frames -s y --every 10", Some(30)),
        ("pick-frames --every 10", Some(3)),
        ("pick-frames -c 0", Some(30)),
        ("pick-frames -s x", Some(30)),
    ] {
        let run = pipe(tool).input(&tape[..]).run();
        run.expect(&[3]);
        let gaps = run.payloads::<Gap>();
        assert_eq!(gaps.len(), 1, "{tool}: {gaps:?}");
        assert_eq!((gaps[0].first, gaps[0].count), (0, lost), "{tool}");
        assert_eq!(gaps[0].reason, Reason::Corrupt, "{tool}");
        pipe("inspect-frames").input(run.stdout).run().expect(&[3]);
        // Who joined in the middle has missed others just before.
        let run = pipe(tool).input(&tape[session..]).run();
        assert_eq!((run.codes(), run.payloads::<Gap>()), (vec![0], vec![]), "{tool}");
    }
    let unwanted = pipe("pick-frames -s y").input(&tape[..]).run();
    unwanted.expect(&[0]).expect_silence();
}

#[test]
fn what_makes_no_sense_of_it_is_refused() {
    for options in [
        "--to fast",
        "--to 0",
        "--factor 0",
        "--to 5 --factor 5",
        "--to 5 --every 5",
        "--to 5 --newest",
        "--method average",
        "--rate 5 --method average",
        "--to 5 --method best",
        "--to 5 --method average --stop-band 90",
        "--to 5 --stop-band 200",
        "--to 5 --pass-band 100%",
        "--to 5 --method decimate --partial use",
    ] {
        pipe(&format!("thin-frames {options}")).run().expect(&[2]);
    }
}
