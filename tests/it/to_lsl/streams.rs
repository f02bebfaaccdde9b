//! Which streams there are, what they are called, and what is in them.

use framepipe_tests::{Lab, Scratch, pipe, root};
use libframe::clock::{Clock, SECOND};
use libframe::payload::{ClockReading, Event, Gap, Reason, Value as EventValue};
use libframe::schema::{Channel, Dtype, Media, Stream};
use serde_json::{Value, json};

use super::{Made, Receiver, count, started};

const MS: i64 = SECOND / 1000;

fn numbers(name: &str, dtype: Dtype, width: u32) -> Stream {
    Stream {
        name: name.into(),
        media: Media::Samples,
        dtype: Some(dtype),
        shape: vec![width],
        ..Stream::default()
    }
}

/// Sends what was made to one receiver, which is there before the first sample.
#[track_caller]
fn sent(lab: &Lab, bytes: Vec<u8>, options: &str, streams: &str) -> Value {
    let first = streams.split(' ').next().unwrap();
    let line = format!("to-lsl -v --wait-consumers 1 {options}");
    let mut sender = lab.pipe(&line).input(bytes).start();
    sender.until_stderr(0, &format!("{first}: waiting for 1"));
    let receiver = Receiver::ready(lab, &format!("{streams} seconds=2.5"));
    let said = receiver.said();
    sender.wait();
    said
}

#[test]
fn every_type_of_number_arrives_with_its_values_and_capture_times() {
    let Some(lab) = Lab::new() else { return };
    let now = Clock::system().now();
    let all = [
        (Dtype::U8, "int16", json!([0, 255])),
        (Dtype::I8, "int8", json!([-128, 127])),
        (Dtype::U16, "int32", json!([0, 65535])),
        (Dtype::I16, "int16", json!([-32768, 32767])),
        (Dtype::U32, "int64", json!([0, 4_294_967_295u32])),
        (Dtype::I32, "int32", json!([i32::MIN, i32::MAX])),
        (Dtype::U64, "int64", json!([0, 1u64 << 60])),
        (Dtype::I64, "int64", json!([i64::MIN, i64::MAX])),
        (Dtype::F32, "float32", json!([-1.5, 65536.25])),
        (Dtype::F64, "double64", json!([-1.5, 9.5367431640625e-7])),
    ];
    let streams: Vec<Stream> =
        all.iter().map(|(dtype, ..)| numbers(dtype.name(), *dtype, 2)).collect();
    let mut made = Made::new(7, &streams);
    let mut times = Vec::new();
    for n in 0..50i64 {
        // Uneven, to the ns.
        let time = now + n * 5 * MS + n * n * 1001 + n % 7;
        times.push(time);
        for (number, (dtype, _, ends)) in (1..).zip(&all) {
            let of = |end: &Value| match dtype {
                Dtype::F32 => (end.as_f64().unwrap() as f32).to_le_bytes().to_vec(),
                Dtype::F64 => end.as_f64().unwrap().to_le_bytes().to_vec(),
                _ => {
                    let whole =
                        end.as_i64().map_or_else(|| end.as_u64().unwrap(), |n| n as u64);
                    whole.to_le_bytes()[..dtype.size()].to_vec()
                }
            };
            made.data(number, n as u64, time, &[of(&ends[0]), of(&ends[1])].concat());
        }
    }
    let names: Vec<&str> = all.iter().map(|(dtype, ..)| dtype.name()).collect();
    let said = sent(&lab, made.end(), "", &names.join(" "));
    for (dtype, format, ends) in &all {
        let stream = &said[dtype.name()];
        assert_eq!((&stream["format"], count(&said, dtype.name())), (&json!(format), 50));
        assert_eq!(stream["values"][49], *ends, "{}", dtype.name());
        let came =
            stream["times"].as_array().unwrap().iter().map(|t| t.as_f64().unwrap());
        for (came, time) in came.zip(&times) {
            let off = (came - *time as f64 / 1e9).abs();
            assert!(off < 1e-6, "{}: {off} s", dtype.name());
        }
    }
}

#[test]
fn a_glove_appears_as_its_users_asked() {
    let Some(lab) = Lab::new() else { return };
    let folder = Scratch::new();
    let map = folder.file("map.csv");
    let mut rows = String::from("sensor_id,x_mm,y_mm,region,data_frame_index\n");
    for id in 1..=161 {
        // Several sensors share a number, as those on the backs of the fingers do.
        rows += &format!("{id},{}.5,{id},palm,{}\n", id % 10, 1 + id % 137);
    }
    std::fs::write(&map, rows).unwrap();
    let line = format!(
        "sim-src glove:rate=200 -n 400 | calibrate-frames --map {map} --unit kPa \
         | to-lsl -v --wait-consumers 1 --source-id glove=JQ20-XL-11-Left"
    );
    let sender = started(&lab, &line, 2, "JQGlove");
    let said = Receiver::ready(&lab, "JQGlove").said();
    sender.wait().expect(&[0, 0, 0]);
    let glove = &said["JQGlove"];
    assert_eq!(
        json!([glove["type"], glove["channels"], glove["format"], glove["source_id"]]),
        json!(["Pressure", 161, "float32", "JQ20-XL-11-Left"])
    );
    assert_eq!((count(&said, "JQGlove"), &glove["rate"]), (400, &json!(200.0)));
    let channels = glove["each"].as_array().unwrap();
    assert_eq!(channels.len(), 161);
    let channel = &channels[6];
    for (key, text) in [
        ("label", "Sensor_7"),
        ("unit", "kPa"),
        ("region", "palm"),
        ("position_x", "7.5"),
        ("position_y", "7"),
    ] {
        assert_eq!(channel[key], text, "{channel}");
    }
    assert_eq!(glove["values"][0].as_array().unwrap().len(), 161);
}

#[test]
fn a_recorded_glove_says_its_hand_itself() {
    let Some(lab) = Lab::new() else { return };
    let recorded = root().join("../shared/fixtures/glove_data_20251024_214002.bin");
    if !recorded.exists() {
        eprintln!("skipped: no recorded glove beside this repository");
        return;
    }
    let line = format!(
        "capture-glove {} --map left | calibrate-frames --unit kPa \
         | to-lsl -v --wait-consumers 1",
        recorded.display()
    );
    let sender = started(&lab, &line, 2, "JQGlove");
    let said = Receiver::ready(&lab, "JQGlove").said();
    drop(sender);
    let glove = &said["JQGlove"];
    assert_eq!(glove["source_id"], "JQ20-XL-11-Left", "{glove}");
    assert_eq!((count(&said, "JQGlove"), &glove["channels"]), (238, &json!(137)));
}

#[test]
fn texts_and_events_are_strings_in_order_and_in_their_places() {
    let Some(lab) = Lab::new() else { return };
    let now = Clock::system().now();
    let text =
        |name: &str, media| Stream { name: name.into(), media, ..Stream::default() };
    let streams = [
        numbers("eeg", Dtype::F32, 1),
        text("notes", Media::Text),
        text("keys", Media::Event),
    ];
    let mut made = Made::new(7, &streams);
    made.data(1, 0, now, &1f32.to_le_bytes());
    let event =
        |label: &str, value| Event { label: label.into(), value, source: "t".into() };
    let long = "é".repeat(300);
    let nul = "a\0b";
    for (seq, note) in (0..).zip(["", "two words", &long, nul]) {
        made.data(2, seq, now + seq as i64 * MS, note.as_bytes());
    }
    made.payload(0, 0, now + MS, &event("start", EventValue::Nil));
    made.payload(1, 1, now + 2 * MS, &event("blink", EventValue::Int(3)));
    made.payload(3, 0, now + 3 * MS, &event("down", EventValue::Text("x".into())));
    let said = sent(&lab, made.end(), "--markers Triggers", "eeg notes keys Triggers");
    assert_eq!(said["notes"]["values"], json!([[""], ["two words"], [long], [nul]]));
    assert_eq!(said["Triggers"]["values"], json!([["start"], ["blink=3"]]));
    assert_eq!(said["Triggers"]["type"], "Markers");
    assert_eq!(said["keys"]["values"], json!([["down=x"]]));
    let time = said["Triggers"]["times"][1].as_f64().unwrap();
    assert!((time - (now + 2 * MS) as f64 / 1e9).abs() < 1e-6);
}

#[test]
fn times_of_another_clock_are_corrected_by_what_is_known_of_it() {
    let Some(lab) = Lab::new() else { return };
    let now = Clock::system().now();
    let mut made =
        Made::new(7, &[numbers("far", Dtype::U8, 1), numbers("near", Dtype::U8, 1)]);
    let reading = ClockReading {
        monotonic: now,
        remote: "rig".into(),
        offset: Some(3600 * SECOND),
        ..ClockReading::default()
    };
    made.payload(1, 0, now, &reading);
    made.data(1, 0, now + 3600 * SECOND, &[1]);
    made.data(2, 0, now, &[1]);
    let said = sent(&lab, made.end(), "", "far near");
    let time = |name: &str| said[name]["times"][0].as_f64().unwrap();
    assert!((time("far") - time("near")).abs() < 1e-6, "{said}");
}

#[test]
fn what_is_missing_is_nothing_a_nan_or_a_marker() {
    let Some(lab) = Lab::new() else { return };
    let now = Clock::system().now();
    let made = || {
        let mut made = Made::new(7, &[numbers("eeg", Dtype::F32, 2)]);
        let sample = [1f32.to_le_bytes(), 2f32.to_le_bytes()].concat();
        made.data(1, 0, now, &sample);
        let gap = Gap {
            first: 1,
            count: Some(5),
            reason: Reason::Device,
            stage: "t".into(),
            from: Some(now),
            to: Some(now + 6 * MS),
            ..Gap::default()
        };
        made.payload(1, 6, now + MS, &gap);
        made.data(1, 6, now + 6 * MS, &sample);
        made.end()
    };
    let values = |options| sent(&lab, made(), options, "eeg Markers");
    let none = values("");
    assert_eq!((count(&none, "eeg"), count(&none, "Markers")), (2, 0), "{none}");
    let nan = values("--for-gaps nan");
    let middle = nan["eeg"]["values"][1].as_array().map(|all| all.len());
    assert_eq!((count(&nan, "eeg"), middle), (3, Some(2)), "{nan}");
    let marker = values("--for-gaps marker");
    assert_eq!(marker["Markers"]["values"], json!([["gap eeg 5"]]));
    assert_eq!(count(&marker, "eeg"), 2);
}

#[test]
fn streams_are_chosen_and_renamed_and_those_about_others_stay_out() {
    let Some(lab) = Lab::new() else { return };
    let mut about = numbers("arrivals", Dtype::U8, 1);
    about.meta.insert("about".into(), "a".into());
    let streams = [numbers("a", Dtype::U8, 1), numbers("b", Dtype::U8, 1), about];
    let run = |options: &str| {
        let mut made = Made::new(7, &streams);
        let now = Clock::system().now();
        (1..=3).for_each(|stream| made.data(stream, 0, now, &[1]));
        let run = lab.pipe(&format!("to-lsl -v {options}")).input(made.end()).run();
        run.expect(&[0]).stderrs[0].clone()
    };
    let opened = |told: &str| -> Vec<String> {
        let lines = told.lines().filter_map(|line| line.split_once(": type "));
        lines.map(|(name, _)| name.trim_start_matches("to-lsl: ").to_owned()).collect()
    };
    assert_eq!(opened(&run("")), ["Markers", "a", "b"]);
    assert_eq!(opened(&run("-s arr* --no-markers")), ["arrivals"]);
    let told =
        run("-s b --lsl-name b=EMG --lsl-type b=EMG --source-id b=x7 --no-markers");
    assert!(
        told.contains("EMG: type EMG, 1 of int16, irregular, source id x7"),
        "{told}"
    );
}

#[test]
fn a_change_of_channels_opens_another_outlet_and_a_repetition_none() {
    let Some(lab) = Lab::new() else { return };
    let now = Clock::system().now();
    let mut stream = numbers("eeg", Dtype::U8, 2);
    let mut made = Made::new(7, &[stream.clone()]);
    for n in 0..10 {
        made.describe(1, &stream, n);
        made.data(1, n, now + n as i64 * MS, &[1, n as u8]);
    }
    let mut sender = lab
        .pipe("to-lsl -v --wait-consumers 1")
        .input_left_open(made.bytes.clone())
        .start();
    sender.until_stderr(0, "eeg: waiting");
    let first = Receiver::ready(&lab, "eeg limit=10").said();
    assert_eq!(first["eeg"]["values"][9], json!([1, 9]));
    made.bytes.clear();
    // The same numbers under other names: consumers must learn it, and lose nothing.
    let label = |label: &str| Channel { label: label.into(), ..Channel::default() };
    stream.shape = vec![3];
    stream.channels = ["x", "y", "z"].map(label).into();
    made.describe(1, &stream, 10);
    sender.feed(&made.bytes);
    sender.until_stderr(0, "eeg: described anew");
    let told = String::from_utf8(sender.stderr_so_far(0)).unwrap();
    assert_eq!(told.matches("described anew").count(), 1, "{told}");
    let second = Receiver::ready(&lab, "eeg limit=1");
    made.bytes.clear();
    made.data(1, 10, now + SECOND, &[1, 2, 3]);
    sender.feed(&made.end());
    sender.close_stdin();
    let said = second.said();
    assert_eq!(
        (&said["eeg"]["values"][0], &said["eeg"]["channels"]),
        (&json!([1, 2, 3]), &json!(3))
    );
    assert_eq!(said["eeg"]["each"][2]["label"], "z");
    assert_eq!(said["eeg"]["source_id"], first["eeg"]["source_id"]);
    sender.wait().expect(&[0]);
}

#[test]
fn a_session_after_another_goes_on_for_the_same_consumer() {
    let Some(lab) = Lab::new() else { return };
    let now = Clock::system().now();
    let mut bytes = Vec::new();
    for tag in 0..3 {
        let mut made = Made::new(7 + tag, &[numbers("eeg", Dtype::U8, 1)]);
        for n in 0..100 {
            made.data(1, n, now + (100 * i64::from(tag) + n as i64) * MS, &[tag as u8]);
        }
        bytes.extend(made.end());
    }
    let said = sent(&lab, bytes, "", "eeg");
    let values: Vec<_> = said["eeg"]["values"].as_array().unwrap().clone();
    let of = |tag: i64| values.iter().filter(|value| value[0] == tag).count();
    assert_eq!([of(0), of(1), of(2)], [100; 3]);
}

#[test]
fn what_cannot_be_is_told() {
    let run = pipe("to-lsl --lsl-lib /nowhere/liblsl.so").input("").run();
    run.expect(&[1]).expect_stderr(0, "/nowhere/liblsl.so");
    let run = pipe("to-lsl").env("PYLSL_LIB", "/etc/passwd").input("").run();
    run.expect(&[1]).expect_stderr(0, "PYLSL_LIB");
    let run = pipe("to-lsl --lsl-name glove").input("").run();
    run.expect(&[2]).expect_stderr(0, "say the stream's name, '='");
    pipe("to-lsl --markers A --no-markers").input("").run().expect(&[2]);
    let plan = pipe("to-lsl --plan --lsl-lib /nowhere/liblsl.so").run();
    assert!(plan.text().contains("/nowhere/liblsl.so"), "{}", plan.everything());
    let Some(lab) = Lab::new() else { return };
    let line = "sim-src camera:size=8x8 -n 3 --rate max | to-lsl";
    let run = lab.pipe(line).run();
    run.expect(&[0, 0]).expect_stderr(1, "camera: LSL has no form for image");
    // A recording's times are told once.
    let mut made = Made::new(7, &[numbers("old", Dtype::U8, 1)]);
    made.data(1, 0, Clock::system().now() - 3600 * SECOND, &[1]);
    let run = lab.pipe("to-lsl").input(made.end()).run();
    run.expect(&[0]).expect_stderr(0, "old: its times are 3600 s ago");
}

#[test]
fn the_example_in_python_receives() {
    let Some(lab) = Lab::new() else { return };
    let line = "sim-src glove:rate=200 -n 1000 | calibrate-frames --map left --unit kPa \
                | to-lsl -v --wait-consumers 1";
    let sender = started(&lab, line, 2, "JQGlove");
    let example =
        lab.python("examples/lsl/receive.py", &["JQGlove", "8"]).output().unwrap();
    sender.wait().expect(&[0, 0, 0]);
    let text = String::from_utf8_lossy(&example.stdout);
    assert!(text.starts_with("JQGlove (Pressure) from "), "{text}");
    assert!(text.contains("most: Sensor_") && text.contains(" kPa\n"), "{text}");
    assert!(text.ends_with("1000 samples\n"), "{text}");
}
