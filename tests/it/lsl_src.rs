//! `lsl-src`, at outlets of pylsl.

mod hostile;
mod own;
mod restarts;
mod rig;

use std::time::Duration;

use framepipe_tests::Lab;
use libframe::payload::Value;
use libframe::schema::{Dtype, Media};
use rustix::process::Signal;

use self::rig::{
    Outlet, can_unshare, events, expect_same, gaps, labels, log, numbers, offsets,
    samples, stream,
};

const FORMATS: [&str; 7] =
    ["float32", "double64", "string", "int32", "int16", "int8", "int64"];

#[test]
fn every_format_comes_as_it_was_sent_of_several_outlets_at_once() {
    let Some(lab) = Lab::new() else { return };
    // Those that come later join.
    let mut capture = lab.pipe("lsl-src").start();
    capture.read_stdout();
    let outlets: Vec<_> = FORMATS
        .iter()
        .map(|format| {
            let args = format!(
                "--name {format} --format {format} --channels 3 -n 60 --labels --linger 4 \
                 --log {format}.log"
            );
            Outlet::new(&lab, &args)
        })
        .collect();
    capture.until_samples(7 * 60).signal(0, Signal::TERM);
    let run = capture.wait();
    run.expect(&[0]).expect_silence();
    outlets.into_iter().for_each(Outlet::finish);
    for format in FORMATS {
        let sent = log(&lab, &format!("{format}.log"));
        assert_eq!(sent.len(), 60);
        expect_same(&run, format, &sent, numbers(format));
        let (number, stream) = stream(&run, format);
        let media = if format == "string" { Media::Text } else { Media::Samples };
        assert_eq!((stream.media, stream.rate, stream.version), (media, Some(200.0), 0));
        assert_eq!(stream.meta["lsl.type"], "EEG");
        if media == Media::Samples {
            assert_eq!((stream.label(2).as_str(), &stream.shape[..]), ("c2", &[3][..]));
            assert_eq!(stream.channels[0].unit, "uV");
        }
        // The clock is this machine's, and was measured within this second.
        let offsets = offsets(&run, number);
        let (_, first) = offsets.first().unwrap_or_else(|| panic!("{format}"));
        assert!(first.offset.unwrap().abs() < 1_000_000, "{first:?}");
        assert!(first.round_trip.is_some_and(|time| time > 0), "{first:?}");
        assert!(!first.remote.is_empty());
        assert_eq!(labels(&run, number), ["connected"]);
    }
    assert_eq!(stream(&run, "int64").1.dtype, Some(Dtype::I64));
}

#[test]
fn markers_are_events_or_texts_as_the_user_wants() {
    let Some(lab) = Lab::new() else { return };
    let args = "--name M --format string --channels 1 --rate 0 --pace 100 -n 10 \
                --source-id m --log m.log";
    for option in ["", "--markers-as text"] {
        let outlet = Outlet::new(&lab, args);
        let mut capture = lab.pipe(&format!("lsl-src {option} M")).start();
        capture.read_stdout();
        outlet.finish();
        capture.until_stderr(0, "M: lost").signal(0, Signal::TERM);
        let run = capture.wait();
        run.expect(&[0]);
        let sent = log(&lab, "m.log");
        let (number, stream) = stream(&run, "M");
        if option.is_empty() {
            let is_own = |label: &str| matches!(label, "connected" | "lost");
            let all = events(&run, number);
            let got: Vec<_> = all.iter().filter(|event| !is_own(&event.label)).collect();
            assert_eq!((stream.media, got.len()), (Media::Event, 10));
            // Number 3 is 'a=3'.
            assert_eq!((got[3].label.as_str(), &got[3].value), ("a", &Value::Int(3)));
            assert_eq!(
                (got[2].label.as_str(), &got[2].value),
                (&"x".repeat(300)[..], &Value::Nil)
            );
        } else {
            assert_eq!((stream.media, stream.rate), (Media::Text, None));
            let text = |bytes: &[u8]| vec![String::from_utf8_lossy(bytes).into()];
            expect_same(&run, "M", &sent, text);
        }
    }
}

#[test]
fn streams_of_one_name_are_kept_apart() {
    let Some(lab) = Lab::new() else { return };
    let mut outlets = vec![
        Outlet::new(&lab, "--name Same --source-id a -n 50 --log a.log"),
        Outlet::new(&lab, "--name Same --source-id b -n 60 --log b.log"),
        Outlet::new(&lab, "--name Same -n 70 --log c.log"),
    ];
    let mut counts = vec![50, 60, 70];
    let has_host = can_unshare("--uts");
    if has_host {
        let mut command = std::process::Command::new("unshare");
        let python = lab.python(
            "tests/python/lsl_send.py",
            &["--name", "Same", "--source-id", "a", "-n", "80", "--log", "d.log"],
        );
        command.args(["--uts", "sh", "-c", "hostname other; exec \"$@\"", "sh"]);
        command.arg(python.get_program()).args(python.get_args()).envs(lab.env());
        command.current_dir(&lab.folder().0).stdout(std::process::Stdio::piped());
        outlets.push(Outlet::by(command));
        counts.push(80);
    }
    let mut capture = lab.pipe("lsl-src Same").start();
    capture.read_stdout();
    capture.until_samples(counts.iter().sum()).signal(0, Signal::TERM);
    let run = capture.wait();
    run.expect(&[0]);
    let mut names: Vec<String> =
        run.payloads::<libframe::schema::Stream>().into_iter().map(|s| s.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), counts.len(), "{names:?}");
    let mut got: Vec<_> = names
        .iter()
        .map(|name| (samples(&run, stream(&run, name).0).len() as u64, name.clone()))
        .collect();
    got.sort();
    assert_eq!(got.iter().map(|(count, _)| *count).collect::<Vec<_>>(), counts);
    for ((_, name), file) in got.iter().zip(["a.log", "b.log", "c.log", "d.log"]) {
        expect_same(&run, name, &log(&lab, file), numbers("float32"));
    }
    assert!(
        names.contains(&"Same".into()) && names.contains(&"Same#2".into()),
        "{names:?}"
    );
    if has_host {
        assert!(names.iter().any(|name| name.contains(" (")), "{names:?}");
    }
}

#[test]
fn what_must_be_there_is_waited_for_and_named_if_it_is_missing() {
    let Some(lab) = Lab::new() else { return };
    let _outlet = Outlet::new(&lab, "--name There -n 100 --now --linger 9");
    let run = lab.pipe("lsl-src --require Glove --require There --wait 1s").run();
    run.expect(&[1]);
    run.expect_stderr(0, "required and not there: 'Glove'; found: 'There (");
    assert_eq!(run.samples(), 0);
    let list = lab.pipe("lsl-src --list --format json").run();
    let host = list.expect(&[0]).json()[0]["host"].as_str().unwrap().to_owned();
    // One that comes while it is waited for is in time.
    let mut capture = lab
        .pipe(&format!(
            "lsl-src Late --require 'There ({host})' --require Late* --wait 30s"
        ))
        .start();
    capture.read_stdout().after(Duration::from_millis(800));
    let _late = Outlet::new(&lab, "--name Late1 -n 30 --log late.log --linger 5");
    capture.until_samples(30).signal(0, Signal::TERM);
    let run = capture.wait();
    run.expect(&[0]);
    expect_same(&run, "Late1", &log(&lab, "late.log"), numbers("float32"));
    stream(&run, "There");
}

#[test]
fn streams_are_chosen_by_predicate_and_none_of_another_laboratory_comes() {
    let (Some(lab), Some(other)) = (Lab::new(), Lab::new()) else { return };
    let _one = Outlet::new(&lab, "--name One --type EEG -n 500 --now --linger 9");
    let _two = Outlet::new(&lab, "--name Two --type Gaze -n 500 --now --linger 9");
    let _far = Outlet::new(&other, "--name Far --type Gaze -n 500 --now --linger 9");
    let run = lab.pipe("lsl-src type='\"'Gaze'\"' --duration 1500ms").run();
    run.expect(&[0]);
    let streams = run.payloads::<libframe::schema::Stream>();
    assert!(!streams.is_empty(), "{}", run.everything());
    assert!(streams.iter().all(|stream| stream.name == "Two"), "{streams:?}");
    let run = lab.pipe("lsl-src --list").run();
    let text = run.expect(&[0]).expect_silence().text();
    assert!(text.starts_with("NAME  TYPE  CHANNELS  RATE    FORMAT"), "{text}");
    assert!(text.contains("\nOne   EEG   2         200 Hz  float32"), "{text}");
    assert!(text.contains("\nTwo ") && !text.contains("Far"), "{text}");
    for (line, told) in [
        ("lsl-src Nobody --duration 1s", "no stream was there that is 'Nobody'"),
        ("lsl-src --list Nobody", "no stream answers"),
    ] {
        let run = lab.pipe(line).run();
        run.expect_stderr(0, told);
        assert_eq!(run.codes(), [i32::from(!line.contains("--list"))]);
    }
    lab.pipe("lsl-src type='\"'Gaze").run().expect(&[2]);
    lab.pipe("lsl-src --require a=1").run().expect(&[2]);
    lab.pipe("lsl-src --plan").run().expect(&[0]);
}

#[test]
fn an_outlet_with_another_clock_keeps_its_times_and_the_offset_is_told() {
    let Some(lab) = Lab::new() else { return };
    let ahead = 5000;
    let args = format!("--time --monotonic {ahead} --fork");
    if !can_unshare(&args) {
        return;
    }
    let outlet =
        Outlet::behind(&lab, &args, "--name Far --stamp -n 400 --log far.log --linger 2");
    let mut capture = lab.pipe("lsl-src --clock-interval 1s").start();
    capture.read_stdout().until_samples(400).signal(0, Signal::TERM);
    let run = capture.wait();
    run.expect(&[0]);
    drop(outlet);
    expect_same(&run, "Far", &log(&lab, "far.log"), numbers("float32"));
    let (number, _) = stream(&run, "Far");
    let offsets = offsets(&run, number);
    assert!(offsets.len() >= 2, "{offsets:?}");
    for (time, reading) in &offsets {
        let off = reading.offset.unwrap() - ahead * 1_000_000_000;
        assert!(off.abs() < 1_000_000, "{reading:?}");
        // The same instant on the stream's clock.
        assert_eq!(*time, reading.monotonic + reading.offset.unwrap());
    }
    // What it took from there to here is no 5000 s, and no less than nothing.
    let stats = run.payloads::<libframe::payload::Stats>();
    let delays = stats.iter().flat_map(|stats| &stats.hop);
    let most = delays
        .map(|(bucket, _)| libframe::histogram::lower_edge(usize::from(*bucket)))
        .max();
    assert!(most.is_some_and(|most| most < 2_000_000_000), "{most:?}");
    assert!(gaps(&run).is_empty());
}
