//! XDF files as recordings, by all tools that open them: judged by pyxdf, on files that other
//! code than ours wrote.

mod damaged;
mod hostile;
mod ours;

use std::fs;
use std::process::Command;

use framepipe_tests::{Scratch, pipe, root};
use libframe::payload::{ClockReading, End, Gap, Payload as _, Reason, Session};
use libframe::timeline::Timeline;
use libframe::wire::{Kind, Record};
use serde_json::Value;

/// Runs a script with pyxdf; `None`, loudly, without it.
fn python(script: &str, args: &[&str], stdin: Option<&str>) -> Option<Vec<u8>> {
    let python = root().join(".venv/bin/python");
    let has = Command::new(&python).args(["-c", "import pyxdf"]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no .venv with pyxdf; run scripts/setup");
        return None;
    }
    let mut command = Command::new(python);
    command.arg(root().join("tests/python").join(script)).args(args);
    if let Some(path) = stdin {
        command.stdin(fs::File::open(path).unwrap());
    }
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} {args:?}\n{stderr}");
    Some(output.stdout)
}

/// A file as LabRecorder writes it, with what `xdf_write.py` takes after its path.
fn written(folder: &Scratch, scenario: &str, args: &[&str]) -> Option<String> {
    let file = folder.file(&format!("{scenario}.xdf"));
    let args: Vec<&str> =
        [scenario, &file].into_iter().chain(args.iter().copied()).collect();
    python("xdf_write.py", &args, None)?;
    Some(file)
}

/// What pyxdf says of the records of a pipeline that came from a file.
fn compare(folder: &Scratch, file: &str, pipeline: &str) -> Option<Value> {
    let frames = folder.file("compared.frames");
    let run = pipe(pipeline).run();
    assert!(run.codes().iter().all(|code| *code == 0), "{}", run.everything());
    run.expect_silence();
    fs::write(&frames, &run.stdout).unwrap();
    let told = python("xdf_compare.py", &[file], Some(&frames))?;
    Some(serde_json::from_slice(&told).unwrap())
}

#[test]
fn what_pyxdf_reads_is_what_is_played() {
    let folder = Scratch::new();
    let Some(file) = written(&folder, "lab", &[]) else { return };
    let line = format!("replay --speed max {file}");
    let Some(told) = compare(&folder, &file, &line) else { return };
    assert_eq!((&told["streams"], &told["samples"]), (&9.into(), &18915.into()));
}

#[test]
fn what_pyxdf_reads_is_what_gets_into_hdf5_and_out_again() {
    let folder = Scratch::new();
    let Some(file) = written(&folder, "lab", &["4"]) else { return };
    let h5 = folder.file("a.h5");
    pipe(&format!("to-h5 --from {file} {h5}")).run().expect(&[0]).expect_silence();
    let line = format!("replay --speed max {h5}");
    let Some(told) = compare(&folder, &file, &line) else { return };
    assert_eq!(told["streams"], 9);
}

#[test]
fn reports_count_what_is_there() {
    let folder = Scratch::new();
    let Some(file) = written(&folder, "lab", &[]) else { return };
    let run = pipe(&format!("inspect-frames -f json {file}")).run();
    let session = run.expect(&[0]).expect_silence().json()["sessions"][0].clone();
    let streams = session["streams"].as_array().unwrap();
    let told: Vec<_> = streams
        .iter()
        .map(|stream| {
            let name = stream["name"].as_str().unwrap();
            (name, stream["samples"].as_u64().unwrap(), stream["lost"].as_u64().unwrap())
        })
        .collect();
    let expected = [
        ("EEG (rig-a)", 10500),
        ("EEG (rig-b)", 5251),
        ("Late", 1700),
        ("Markers", 0),
        ("Notes", 148),
        ("Loose", 148),
        ("Small", 600),
        ("Tiny", 420),
        ("Silent", 0),
    ];
    assert_eq!(told, expected.map(|(name, samples)| (name, samples, 0)));
    assert_eq!((&session["events"], &session["host"]), (&148.into(), &"rig-a".into()));
    // 21:15 in a zone an hour ahead.
    assert_eq!(session["start"], 1_795_205_700_000_000_000_i64);
    assert_eq!(streams[0]["device"]["model"], "Amp");

    let run = pipe(&format!("jitter-report -f json {file}")).run();
    run.expect(&[3]).expect_stderr(0, "Silent: FAIL: no sample came");
    let all = run.json()[0]["sessions"][0]["streams"].clone();
    let by_name = |name: &str| {
        let mut all = all.as_array().unwrap().iter();
        all.find(|stream| stream["name"] == name).unwrap().clone()
    };
    let rate = |name: &str| by_name(name)["rate_hz"].as_f64().unwrap();
    assert!((rate("EEG (rig-a)") - 500.0).abs() < 0.1);
    // Its clock runs fast by 20 ppm.
    assert!((rate("EEG (rig-b)") - 250.0 * (1.0 - 20e-6)).abs() < 0.001);
}

#[test]
fn each_streams_clock_is_told_before_its_first_sample() {
    let folder = Scratch::new();
    let Some(file) = written(&folder, "lab", &[]) else { return };
    let run = pipe(&format!("replay --speed max {file}")).run();
    let records = run.expect(&[0]).records();
    let session = Session::from_bytes(&records[0].1).unwrap();
    assert_eq!(records[0].0.time, session.start_monotonic);
    for stream in 1..=8 {
        let of = |kind: Kind| {
            let is = |(header, _): &(libframe::wire::Header, Vec<u8>)| {
                header.stream == stream && header.kind == kind
            };
            records.iter().position(is)
        };
        let clock = of(Kind::CLOCK).unwrap();
        assert!(of(Kind::STREAM).unwrap() < clock);
        for kind in [Kind::DATA, Kind::BATCH, Kind::EVENT] {
            assert!(of(kind).is_none_or(|at| at > clock), "{stream}");
        }
        let reading = ClockReading::from_bytes(&records[clock].1).unwrap();
        // Two hosts: one is the recorder, the other began a day before.
        let (ahead, remote) = match stream {
            2 | 3 | 5 => (86_400_600_000_000, "rig-b"),
            _ => (0, "rig-a"),
        };
        assert!(
            (reading.offset.unwrap() - ahead).abs() < 1_000_000,
            "{stream}: {reading:?}"
        );
        assert_eq!(reading.remote, remote);
    }
}

#[test]
fn a_part_is_the_part_of_the_whole() {
    let folder = Scratch::new();
    let Some(file) = written(&folder, "lab", &[]) else { return };
    let samples = |options: &str| {
        let line = format!("replay --speed max {options} {file} | batch-frames --split");
        let run = pipe(&line).run();
        let mut kept = run.expect(&[0, 0]).records();
        kept.iter_mut().for_each(|(header, _)| header.sent = 0);
        kept
    };
    let whole = samples("");
    let start = whole[0].0.time;
    for (options, from, to) in [
        ("--start 12s --end 13700ms", 12_000, 13_700),
        ("--start 15s", 15_000, 60_000),
        ("--end 300ms", 0, 300),
    ] {
        let mut timeline = Timeline::default();
        let expected = whole.iter().filter(|(header, payload)| {
            timeline.learn(&Record::new(*header, payload));
            let time = timeline.time(header.session, header.stream, header.time) - start;
            let range = from * 1_000_000..to * 1_000_000;
            [Kind::DATA, Kind::EVENT].contains(&header.kind) && range.contains(&time)
        });
        let mut found = samples(options);
        found.retain(|(header, _)| [Kind::DATA, Kind::EVENT].contains(&header.kind));
        assert!(!found.is_empty() && found.iter().eq(expected), "{options}");
    }
}

#[test]
fn the_fixture_is_read_as_its_author_says() {
    let fixture = root().join("../shared/fixtures/mini.xdf");
    if !fixture.exists() {
        eprintln!("skipped: no {}", fixture.display());
        return;
    }
    let run =
        pipe(&format!("replay --speed max {} | batch-frames --split", fixture.display()));
    let run = run.run();
    let samples = run.expect(&[0, 0]).expect_silence().of_kind(&[Kind::DATA]);
    let told: Vec<_> = samples
        .iter()
        .map(|(header, payload)| {
            let (numbers, _) = payload.as_chunks();
            (header.time / 1_000_000, [0, 1].map(|at| f32::from_le_bytes(numbers[at])))
        })
        .collect();
    let expected = [
        (100_000, [1.0, 2.0]),
        (100_010, [3.0, 4.0]),
        (100_020, [5.0, 6.0]),
        (100_030, [7.0, 8.0]),
    ];
    assert_eq!(told, expected);
    let clocks = run.payloads::<ClockReading>();
    assert_eq!(
        (clocks[0].offset, clocks[0].monotonic),
        (Some(-50_250_000_000), 100_250_000_000)
    );
}

#[test]
fn samples_that_only_the_footer_knows_are_lost() {
    let folder = Scratch::new();
    let Some(file) = written(&folder, "small", &[]) else { return };
    let text = fs::read(&file).unwrap();
    let more = replaced(&text, b"<sample_count>20<", b"<sample_count>27<");
    fs::write(&file, more).unwrap();
    let run = pipe(&format!("replay --speed max {file}")).run();
    let gap = run.expect(&[3]).payloads::<Gap>()[0].clone();
    assert_eq!((gap.first, gap.count, gap.reason), (20, Some(7), Reason::Upstream));
    assert_eq!(gap.stage, "small.xdf");
    let end = run.payloads::<End>()[0].clone();
    assert_eq!((end.streams[0].next, end.streams[0].lost), (27, 7));
    for reader in ["inspect-frames", "jitter-report"] {
        let run = pipe(&format!("{reader} {file}")).run();
        run.expect(&[3]).expect_stderr(0, "7 of 27 samples lost");
    }
}

/// The bytes with one part changed.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn a_pipe_is_no_place_for_a_file_and_says_what_is() {
    let folder = Scratch::new();
    let Some(file) = written(&folder, "small", &[]) else { return };
    let h5 = folder.file("a.h5");
    let run = pipe(&format!("to-h5 {h5}")).input_file(&file).run();
    run.expect(&[1]).expect_stderr(0, "`replay FILE | …`");
}

#[test]
fn several_recordings_of_several_formats_are_read_one_after_another() {
    let folder = Scratch::new();
    let Some(file) = written(&folder, "small", &[]) else { return };
    let (h5, frames) = (folder.file("a.h5"), folder.file("a.frames"));
    let simulated = pipe("sim-src glove -n 30 --rate max").run().stdout;
    fs::write(&frames, &simulated).unwrap();
    pipe(&format!("to-h5 {h5}")).input(simulated).run().expect(&[0]);
    let run = pipe(&format!("inspect-frames -f json {file} {h5} {frames} {file}")).run();
    let report = run.expect(&[0]).expect_silence().json();
    let counts: Vec<_> = report["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|session| session["streams"][0]["samples"].as_u64().unwrap())
        .collect();
    assert_eq!(counts, [20, 30, 30, 20]);
    let run = pipe(&format!("inspect-frames -n 25 -f json {h5} {frames}")).run();
    assert_eq!(run.expect(&[0]).json()["sessions"][0]["streams"][0]["samples"], 25);
}
