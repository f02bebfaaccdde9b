//! What is where in a finished recording.

use framepipe_tests::{Scratch, pipe};
use libframe::clock::SECOND;
use libframe::payload::{ClockReading, End, Event, Gap, Reason, Session, Totals, Value};
use libframe::schema::{Channel, DeviceClock, Dtype, Media, Stream};
use libframe::wire::{FLAG_DEVICE_TIME, Kind};
use libframe_xdf::{Note, Run};
use serde_json::json;

use super::{Found, Stdin, pyxdf, stream};

const ALL: [Dtype; 10] = [
    Dtype::U8,
    Dtype::I8,
    Dtype::U16,
    Dtype::I16,
    Dtype::U32,
    Dtype::I32,
    Dtype::U64,
    Dtype::I64,
    Dtype::F32,
    Dtype::F64,
];

fn session() -> Session {
    Session {
        uuid: "the-uuid".into(),
        host: "rig".into(),
        start_realtime: 1_700_000_000 * SECOND,
        start_monotonic: 5 * SECOND,
        meta: [("subject".to_owned(), "7 <é>".to_owned())].into(),
        ..Session::default()
    }
}

fn numbers(name: &str, dtype: Dtype, width: u32) -> Stream {
    let label =
        |n| Channel { label: format!("c{n}"), unit: "kPa".into(), ..Channel::default() };
    Stream {
        name: name.into(),
        media: Media::Samples,
        dtype: Some(dtype),
        shape: vec![width],
        channels: (0..width).map(label).collect(),
        rate: Some(100.0),
        ..Stream::default()
    }
}

fn texts(name: &str, media: Media) -> Stream {
    Stream { name: name.into(), media, ..Stream::default() }
}

/// The smallest, a usual and the largest number of a type, as bytes and as pyxdf shows them.
fn extremes(dtype: Dtype) -> ([Vec<u8>; 3], serde_json::Value) {
    macro_rules! of {
        ($t:ty as $shown:ty) => {{
            let all = [<$t>::MIN, 7 as $t, <$t>::MAX];
            (all.map(|n| n.to_le_bytes().to_vec()), json!(all.map(|n| n as $shown)))
        }};
    }
    match dtype {
        Dtype::U8 => of!(u8 as i64),
        Dtype::I8 => of!(i8 as i64),
        Dtype::U16 => of!(u16 as i64),
        Dtype::I16 => of!(i16 as i64),
        Dtype::U32 => of!(u32 as i64),
        Dtype::I32 => of!(i32 as i64),
        Dtype::U64 => of!(u64 as i64),
        Dtype::I64 => of!(i64 as i64),
        // Those that JSON's readers agree on.
        Dtype::F32 => {
            let all = [-0.1f32, 7.0, 16_777_217.5];
            (all.map(|n| n.to_le_bytes().to_vec()), json!(all.map(f64::from)))
        }
        Dtype::F64 => {
            let all = [-0.1f64, 7.0, 123_456.5];
            (all.map(|n| n.to_le_bytes().to_vec()), json!(all))
        }
    }
}

fn end(stdin: &mut Stdin, streams: &[(u16, u64)]) {
    let totals = streams.iter().map(|(stream, n)| Totals {
        stream: *stream,
        next: *n,
        samples: *n,
        ..Totals::default()
    });
    let end = End { streams: totals.collect(), reason: "end".into() };
    stdin.put(0, 0, 9 * SECOND, &end);
}

/// A time with all digits that there can be.
fn time(n: i64) -> i64 {
    37_399 * SECOND + 123_456_789 + n * 10_000_001
}

#[test]
fn every_type_and_time_is_in_pyxdf_what_it_was() {
    let folder = Scratch::new();
    let file = folder.file("a.xdf");
    let mut stdin = Stdin::new(7);
    stdin.put(0, 0, time(0), &session());
    for (number, dtype) in (1..).zip(ALL) {
        let name = format!("größe/{} 😀", dtype.name());
        stdin.put(number, 0, time(0), &numbers(&name, dtype, 3));
        stdin.data(number, 0, time(0), &extremes(dtype).0.concat());
        stdin.data(number, 1, time(1), &extremes(dtype).0.concat());
    }
    stdin.put(20, 0, time(0), &texts("log", Media::Text));
    stdin.data(20, 0, time(2), "zeile\n<é>".as_bytes());
    stdin.data(20, 1, time(3), "x".repeat(300).as_bytes());
    stdin.data(20, 2, time(4), b"");
    let mut all: Vec<_> = (1..=10).map(|number| (number, 2)).collect();
    all.push((20, 3));
    end(&mut stdin, &all);
    let run = pipe(&format!("to-xdf {file}")).input(stdin.bytes).run();
    run.expect(&[0]).expect_silence();
    let Some(found) = pyxdf("all", &file) else { return };
    for dtype in ALL {
        let one = stream(&found, &format!("größe/{} 😀", dtype.name()));
        let (_, wanted) = extremes(dtype);
        assert_eq!(one["values"], json!([wanted, wanted]), "{dtype:?}");
        let times = [time(0), time(1)].map(|ns| ns as f64 / 1e9);
        assert_eq!(one["times"], json!(times));
        // No times of ours are changed: its clock is said to be the recorder's.
        assert_eq!(one["synced"], json!(times));
        assert_eq!((&one["footer"], &one["span"]), (&json!(2), &json!(times)));
        assert_eq!(one["rate"], 100.0);
        let channel = &one["desc"]["channels"][0]["channel"][2];
        assert_eq!(
            (&channel["label"], &channel["unit"]),
            (&json!(["c2"]), &json!(["kPa"]))
        );
    }
    let log = stream(&found, "log");
    assert_eq!(log["values"], json!([["zeile\n<é>"], ["x".repeat(300)], [""]]));
    let ours = &found["header"]["framepipe"][0];
    assert_eq!(ours["session"], json!(["the-uuid"]));
    assert_eq!(ours["meta"][0]["entry"][0]["value"], json!(["7 <é>"]));
    assert!(found["header"]["datetime"][0].as_str().unwrap().starts_with("20"));
}

#[test]
fn a_remote_stream_keeps_its_times_and_pyxdf_corrects_them() {
    let folder = Scratch::new();
    let file = folder.file("a.xdf");
    let mut stdin = Stdin::new(7);
    stdin.put(0, 0, time(0), &session());
    stdin.put(1, 0, time(0), &numbers("near", Dtype::F32, 1));
    stdin.put(2, 0, time(0), &numbers("far", Dtype::F32, 1));
    // The other host's clock is 250 s ahead.
    let ahead = 250 * SECOND;
    let reading = ClockReading {
        monotonic: time(0),
        remote: "other".into(),
        offset: Some(ahead),
        round_trip: Some(2000),
        ..ClockReading::default()
    };
    stdin.put(2, 0, time(0), &reading);
    for n in 0..50 {
        stdin.data(1, n, time(n as i64), &(n as f32).to_le_bytes());
        stdin.data(2, n, time(n as i64) + ahead, &(n as f32).to_le_bytes());
    }
    end(&mut stdin, &[(1, 50), (2, 50)]);
    pipe(&format!("to-xdf {file}"))
        .input(stdin.bytes)
        .run()
        .expect(&[0])
        .expect_silence();
    let found = Found::in_file(&file);
    assert_eq!(found.payloads::<ClockReading>(), [reading]);
    let Some(found) = pyxdf("all", &file) else { return };
    let (near, far) = (stream(&found, "near"), stream(&found, "far"));
    let at = |stream: &serde_json::Value, which: &str, n: usize| {
        stream[which][n].as_f64().unwrap()
    };
    assert_eq!(at(far, "times", 7), (time(7) + ahead) as f64 / 1e9);
    for n in 0..50 {
        let apart = at(far, "synced", n) - at(near, "synced", n);
        assert!(apart.abs() < 1e-9, "sample {n}: {apart} s apart");
    }
    let collected = (time(0) + ahead) as f64 / 1e9;
    assert_eq!(far["offsets"], json!([[collected, -250.0]]));
}

#[test]
fn every_stream_of_the_shortest_recording_has_a_clock_offset_and_a_footer() {
    let folder = Scratch::new();
    let file = folder.file("a.xdf");
    let line = "sim-src glove control sine --event hit/200ms --duration 1s --rate 1000";
    pipe(&format!("{line} | to-xdf {file}")).run().expect(&[0, 0]).expect_silence();
    let Some(found) = pyxdf("all", &file) else { return };
    let streams = found["streams"].as_array().unwrap();
    let names: Vec<_> =
        streams.iter().map(|stream| stream["name"].as_str().unwrap()).collect();
    for name in
        ["framepipe", "JQGlove", "control", "control.device_time", "sine", "Markers"]
    {
        assert!(names.contains(&name), "{name} of {names:?}");
    }
    for one in streams {
        let n = one["times"].as_array().unwrap().len();
        assert!(n > 0 && one["footer"] == n, "{}: {n}", one["name"]);
        assert!(!one["offsets"].as_array().unwrap().is_empty(), "{}", one["name"]);
        assert_eq!(one["times"], one["synced"], "{}", one["name"]);
    }
    assert!(
        stream(&found, "Markers")["values"][0][0].as_str().unwrap().starts_with("hit")
    );
}

#[test]
fn what_xdf_has_no_place_for_comes_back_as_it_was() {
    let folder = Scratch::new();
    let file = folder.file("a.xdf");
    let gap = Gap {
        first: 2,
        count: Some(3),
        reason: Reason::Device,
        stage: "src".into(),
        ..Gap::default()
    };
    let event =
        |label: &str, value| Event { label: label.into(), value, source: "t".into() };
    let events = [
        event("start", Value::Nil),
        event("level", Value::Float(0.1)),
        event("n", Value::Int(i64::MIN)),
        event("note", Value::Text("é=1".into())),
    ];
    let mut stdin = Stdin::new(7);
    stdin.put(0, 0, time(0), &session());
    stdin.put(1, 0, time(0), &numbers("a", Dtype::I16, 1));
    stdin.put(2, 0, time(0), &texts("buttons", Media::Event));
    stdin.put(1, 0, time(0), &events[0]);
    (0..2).for_each(|n| stdin.data(1, n, time(n as i64), &[n as u8, 0]));
    stdin.put(1, 5, time(5), &gap);
    stdin.put(2, 0, time(5), &events[1]);
    stdin.put(0, 0, time(5), &events[2]);
    // A late one, and one twice.
    for n in [5, 6, 4, 6, 7] {
        stdin.data(1, n, time(n as i64), &[n as u8, 0]);
    }
    stdin.put(0, 0, time(9), &events[3]);
    end(&mut stdin, &[(1, 8)]);
    let run = pipe(&format!("to-xdf {file} --markers Notes --max-loss 100%"))
        .input(stdin.bytes)
        .run();
    run.expect(&[0]);
    let found = Found::in_file(&file);
    assert_eq!(found.payloads::<Event>(), events);
    assert_eq!(found.payloads::<Gap>(), [gap]);
    let mut sessions = found.payloads::<Session>();
    assert_eq!(sessions[0].stages.pop().unwrap().name, "to-xdf");
    assert_eq!(sessions, [session()]);
    let ends = found.payloads::<End>();
    assert_eq!(ends.len(), 1);
    assert_eq!((ends[0].reason.as_str(), ends[0].streams[0].next), ("end", 8));
    assert!(!found.payloads::<libframe::payload::Stats>().is_empty());
    let runs: Vec<Run> = found
        .notes
        .iter()
        .filter_map(|note| if let Note::Run(run) = note { Some(*run) } else { None })
        .collect();
    let xdf = runs[0].xdf;
    let starts = [(0, 0), (2, 5), (4, 4), (5, 6)];
    assert_eq!(runs, starts.map(|(index, seq)| Run { xdf, index, seq }));
    let values: Vec<u8> =
        found.samples.iter().filter(|(s, ..)| *s == xdf).map(|(.., v)| v[0]).collect();
    assert_eq!(values, [0, 1, 5, 6, 4, 6, 7]);
    let Some(found) = pyxdf("all", &file) else { return };
    let notes = [["start"], ["n=-9223372036854775808"], ["note=é=1"]];
    assert_eq!(stream(&found, "Notes")["values"], json!(notes));
    assert_eq!(stream(&found, "buttons")["values"], json!([["level=0.1"]]));
}

#[test]
fn device_times_are_a_stream_beside_the_samples() {
    let folder = Scratch::new();
    let file = folder.file("a.xdf");
    let mut stdin = Stdin::new(7);
    stdin.put(0, 0, time(0), &session());
    let clock = Some(DeviceClock { rate: 1e6, bits: 32 });
    let a = Stream { device_clock: clock, ..numbers("a", Dtype::U8, 1) };
    stdin.put(1, 0, time(0), &a);
    for n in 0..4u64 {
        let bytes = [(u64::MAX - n).to_le_bytes().to_vec(), vec![n as u8]].concat();
        stdin.raw(Kind::DATA, FLAG_DEVICE_TIME, 1, n, time(n as i64), &bytes);
    }
    end(&mut stdin, &[(1, 4)]);
    pipe(&format!("to-xdf {file}"))
        .input(stdin.bytes)
        .run()
        .expect(&[0])
        .expect_silence();
    let Some(found) = pyxdf("all", &file) else { return };
    let (samples, times) = (stream(&found, "a"), stream(&found, "a.device_time"));
    assert_eq!(samples["values"], json!([[0], [1], [2], [3]]));
    assert_eq!(times["values"], json!([[-1], [-2], [-3], [-4]]));
    assert_eq!((&times["times"], &times["dtype"]), (&samples["times"], &json!("int64")));
    let of = &times["desc"]["framepipe"][0]["device_time_of"][0];
    assert_eq!(of, &json!(samples["xdf"].to_string()));
}

#[test]
fn a_changed_description_is_a_new_stream_of_the_same_name() {
    let folder = Scratch::new();
    let file = folder.file("a.xdf");
    let mut stdin = Stdin::new(7);
    stdin.put(0, 0, time(0), &session());
    stdin.put(1, 0, time(0), &numbers("a", Dtype::U8, 1));
    stdin.data(1, 0, time(0), &[1]);
    stdin.put(1, 1, time(0), &numbers("a", Dtype::U8, 1));
    stdin.data(1, 1, time(1), &[2]);
    stdin.put(1, 2, time(1), &Stream { version: 1, ..numbers("a", Dtype::F64, 2) });
    stdin.data(1, 2, time(2), &[0; 16]);
    end(&mut stdin, &[(1, 3)]);
    pipe(&format!("to-xdf {file}"))
        .input(stdin.bytes)
        .run()
        .expect(&[0])
        .expect_silence();
    let Some(found) = pyxdf("all", &file) else { return };
    let all = found["streams"].as_array().unwrap();
    let named: Vec<_> = all.iter().filter(|stream| stream["name"] == "a").collect();
    assert_eq!(named.len(), 2);
    assert_eq!(named[0]["values"], json!([[1], [2]]));
    assert_eq!(named[1]["values"], json!([[0.0, 0.0]]));
    let continues = &named[1]["desc"]["framepipe"][0]["continues"][0];
    assert_eq!(continues, &json!(named[0]["xdf"].to_string()));
}

#[test]
fn what_is_known_of_a_clock_is_told_of_all_that_it_times() {
    let folder = Scratch::new();
    let file = folder.file("a.xdf");
    let mut stdin = Stdin::new(7);
    stdin.put(0, 0, time(0), &session());
    // Before the description, before another one, and before the device's own times.
    let reading = ClockReading { offset: Some(SECOND), ..ClockReading::default() };
    stdin.put(1, 0, time(0), &reading);
    for version in 0..2u32 {
        let changed = Stream { version, ..numbers("a", Dtype::U8, 1) };
        stdin.put(1, version.into(), time(0), &changed);
        let bytes = [5, 0, 0, 0, 0, 0, 0, 0, 1];
        stdin.raw(Kind::DATA, FLAG_DEVICE_TIME, 1, version.into(), time(0), &bytes);
    }
    end(&mut stdin, &[(1, 2)]);
    pipe(&format!("to-xdf {file}"))
        .input(stdin.bytes)
        .run()
        .expect(&[0])
        .expect_silence();
    let Some(found) = pyxdf("all", &file) else { return };
    let streams = found["streams"].as_array().unwrap();
    let timed: Vec<_> = streams.iter().filter(|one| one["format"] != "string").collect();
    assert_eq!(timed.len(), 4);
    timed
        .iter()
        .for_each(|one| assert_eq!(one["offsets"], json!([[1.0, -1.0]]), "{one}"));
}

#[test]
fn sessions_follow_each_other_in_one_file_as_streams_of_their_own() {
    let folder = Scratch::new();
    let file = folder.file("a.xdf");
    let mut both = Vec::new();
    for n in 1..=2u8 {
        let mut stdin = Stdin::new(u32::from(n));
        stdin.put(0, 0, time(0), &Session { uuid: format!("u{n}"), ..session() });
        stdin.put(1, 0, time(0), &numbers("a", Dtype::U8, 1));
        stdin.data(1, 0, time(0), &[n]);
        end(&mut stdin, &[(1, 1)]);
        both.extend(stdin.bytes);
    }
    pipe(&format!("to-xdf {file}")).input(both).run().expect(&[0]).expect_silence();
    let found = Found::in_file(&file);
    assert_eq!(found.payloads::<End>().len(), 2);
    let Some(found) = pyxdf("all", &file) else { return };
    let all = found["streams"].as_array().unwrap();
    let values: Vec<_> = all
        .iter()
        .filter(|stream| stream["name"] == "a")
        .map(|one| {
            (one["desc"]["framepipe"][0]["session"][0].clone(), one["values"].clone())
        })
        .collect();
    assert_eq!(values, [(json!("u1"), json!([[1]])), (json!("u2"), json!([[2]]))]);
}

#[test]
fn pictures_are_left_out_aloud() {
    let folder = Scratch::new();
    let file = folder.file("a.xdf");
    let line = "sim-src glove camera:size=16x16 -n 20 --rate max";
    let run = pipe(&format!("{line} | to-xdf {file}")).run();
    run.expect(&[0, 3]);
    run.expect_stderr(1, "camera: XDF has no form for pictures");
    run.expect_stderr(1, "20 of 40 samples lost");
    run.expect_stderr(1, "camera: 20 lost, gaps: 1");
    let gaps = Found::in_file(&file).payloads::<Gap>();
    assert_eq!((gaps.len(), gaps[0].first, gaps[0].count), (1, 0, Some(20)));
    assert_eq!(gaps[0].stage, "to-xdf");
    let line = format!("{line} | pick-frames -s glove | to-xdf --force {file}");
    pipe(&line).run().expect(&[0, 0, 0]).expect_silence();
}

#[test]
fn samples_that_nobody_described_are_a_loss() {
    let folder = Scratch::new();
    let file = folder.file("a.xdf");
    let mut stdin = Stdin::new(7);
    stdin.put(0, 0, time(0), &session());
    (0..3).for_each(|n| stdin.data(1, n, time(n as i64), &[1]));
    stdin.put(1, 3, time(3), &numbers("a", Dtype::U8, 1));
    stdin.data(1, 3, time(3), &[2]);
    end(&mut stdin, &[(1, 4)]);
    let run = pipe(&format!("to-xdf {file}")).input(stdin.bytes).run();
    run.expect(&[3]).expect_stderr(0, "3 lost");
    let found = Found::in_file(&file);
    let gaps = found.payloads::<Gap>();
    assert_eq!((gaps.len(), gaps[0].first, gaps[0].count), (1, 0, Some(3)));
    assert_eq!(found.samples.len(), 1);
}

#[test]
fn who_joins_in_the_middle_records_too() {
    let folder = Scratch::new();
    let file = folder.file("a.xdf");
    let run = pipe("sim-src glove -n 3000 --rate max --announce 100ms").run();
    let bytes = match run.statuses[0].success() {
        true => run.stdout[100_000..].to_vec(),
        // No such option: the announcements of every second must do.
        false => {
            pipe("sim-src glove -n 3000 --rate max").run().stdout[100_000..].to_vec()
        }
    };
    let run = pipe(&format!("to-xdf {file}")).input(bytes).run();
    let found = Found::in_file(&file);
    assert_eq!(found.damage, [], "{}", run.everything());
    assert!(found.notes.len() > 1);
}

#[test]
fn every_payload_that_a_note_can_be_is_a_payload() {
    // The other way round is tried in libframe-xdf; here, that nothing of ours needs hex.
    let folder = Scratch::new();
    let file = folder.file("a.xdf");
    let line = "sim-src glove control --event a/100ms -n 2000 --rate max --fault drop=5%";
    pipe(&format!("{line} | queue-frames | to-xdf {file}")).run();
    let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
    assert!(text.contains("\"kind\":\"GAP\"") && !text.contains("\"hex\":"));
    assert!(Found::in_file(&file).payloads::<Gap>().len() > 10);
}
