//! `calibrate-frames`

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use framepipe_tests::{Run, pipe, root};
use libframe::schema::{Dtype, Stream};
use libframe::wire::{FLAG_DEVICE_TIME, Header, Kind};

const GLOVE: &str = "sim-src glove -n 100 --rate max";
/// A byte that it presses, and which sensor of a left hand that is, from 0.
const PRESSED: (usize, usize) = (20, 37);

/// A file of a test's own.
fn file(name: &str, text: &str) -> PathBuf {
    let path =
        std::env::temp_dir().join(format!("calibrate-{name}-{}", std::process::id()));
    fs::write(&path, text).unwrap();
    path
}

/// The samples of a run by number: time and bytes. Batches must have been split.
fn samples(run: &Run) -> BTreeMap<u64, (i64, Vec<u8>)> {
    let data = run.of_kind(&[Kind::DATA]).into_iter();
    data.map(|(header, bytes)| (header.seq, (header.time, bytes))).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let (parts, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty());
    parts.iter().map(|part| f32::from_le_bytes(*part)).collect()
}

fn stream(run: &Run) -> Stream {
    run.payloads::<Stream>().pop().unwrap()
}

/// What goes in and what comes out, in one run.
fn calibrated(source: &str, options: &str) -> (Run, Run) {
    let raw = pipe(source).run();
    let run =
        pipe(&format!("calibrate-frames {options}")).input(raw.stdout.clone()).run();
    (raw, run)
}

#[test]
fn a_gloves_bytes_become_pressures_in_the_order_of_its_map() {
    let (raw, run) = calibrated(GLOVE, "--map left --unit kPa");
    run.expect(&[0]).expect_silence();
    let stream = stream(&run);
    assert_eq!((stream.dtype, &stream.shape[..]), (Some(Dtype::F32), &[137][..]));
    assert_eq!((stream.channels.len(), stream.sensors.len()), (137, 137));
    assert!(stream.fields.is_empty());
    let first = &stream.channels[0];
    let told = (&*first.label, &*first.unit, &*first.region, first.position);
    assert_eq!(told, ("Sensor_1", "kPa", "little_tip", Some([13.0, 196.0, 0.0])));
    // Number 21 of the maker's, who counts from 1.
    assert_eq!(stream.channels[PRESSED.1].region, "index_tip");
    assert_eq!((stream.sensors[136].id, stream.sensors[136].index), (137, 136));
    assert_eq!(stream.meta["calibration"], "unit kPa, curve C60510");
    assert_eq!(stream.meta["map"], "left");
    let (raw, done) = (samples(&raw), samples(&run));
    assert_eq!(done.len(), 100);
    let mut seen = std::collections::BTreeSet::new();
    for (seq, (time, bytes)) in &done {
        assert_eq!(raw[seq].0, *time);
        let values = floats(bytes);
        let reading = raw[seq].1[PRESSED.0];
        seen.insert(reading);
        let linear = 10.0 * (0.0328 + 0.004 * f32::from(reading) / 1.5);
        assert!(
            reading > 103 || (values[PRESSED.1] - linear).abs() < 1e-5,
            "{reading} {values:?}"
        );
    }
    assert!(seen.len() > 1, "{seen:?}");
}

#[test]
fn units_are_in_their_known_ratio() {
    let value = |unit: &str| {
        let (_, run) = calibrated(GLOVE, &format!("--map right --unit {unit}"));
        floats(&samples(&run)[&50].1)[PRESSED.1]
    };
    let kpa = value("kPa");
    assert!((value("mmHg") / kpa - 7.500_62).abs() < 1e-4);
    assert!((value("N/cm2") / kpa - 0.1).abs() < 1e-6);
}

#[test]
fn batches_are_calibrated_as_single_samples_are() {
    for options in ["--map left --unit kPa", "--map left --unit kPa --tare 200ms"] {
        let raw = pipe(GLOVE).run().stdout;
        let direct =
            pipe(&format!("calibrate-frames {options}")).input(raw.clone()).run();
        let line = format!(
            "batch-frames -n 7 | calibrate-frames {options} | batch-frames --split"
        );
        let batched = pipe(&line).input(raw).run();
        batched.expect(&[0, 0, 0]);
        assert_eq!(samples(&batched), samples(&direct), "{options}");
        assert_eq!(stream(&batched), stream(&direct));
    }
}

#[test]
fn tare_makes_the_mean_of_the_first_time_zero_and_nothing_is_lost_or_disordered() {
    let options = "--map left --unit kPa";
    let raw = pipe("sim-src glove -n 500 --rate 200 --fault gap=2%").run();
    let plain =
        pipe(&format!("calibrate-frames {options}")).input(raw.stdout.clone()).run();
    let tared = pipe(&format!("calibrate-frames {options} --tare 500ms"))
        .input(raw.stdout.clone())
        .run();
    tared.expect(&[3]);
    let (plain_samples, tared_samples) = (samples(&plain), samples(&tared));
    let order = |run: &Run| -> Vec<(Kind, u64, i64)> {
        let records = run.of_kind(&[Kind::DATA, Kind::GAP, Kind::EVENT]);
        records.iter().map(|(h, _)| (h.kind, h.seq, h.time)).collect()
    };
    assert_eq!(order(&tared), order(&plain));
    let begun = plain_samples.values().next().unwrap().0;
    let first: Vec<u64> = plain_samples
        .iter()
        .filter(|(_, (time, _))| *time < begun + 500_000_000)
        .map(|(seq, _)| *seq)
        .collect();
    assert!((50..=100).contains(&first.len()), "{}", first.len());
    let stream = stream(&tared);
    assert_eq!(stream.meta["tare_samples"], first.len().to_string());
    let zeros: Vec<f32> =
        stream.meta["tare"].split(' ').map(|zero| zero.parse().unwrap()).collect();
    assert_eq!(zeros.len(), 137);
    assert!(zeros[PRESSED.1] > zeros[0], "{zeros:?}");
    for channel in [0, PRESSED.1, 136] {
        let mean: f32 =
            first.iter().map(|seq| floats(&tared_samples[seq].1)[channel]).sum::<f32>()
                / first.len() as f32;
        assert!(mean.abs() < 1e-4, "{mean}");
        for (seq, (_, bytes)) in &tared_samples {
            let plain = floats(&plain_samples[seq].1)[channel];
            let error = floats(bytes)[channel] + zeros[channel] - plain;
            assert!(error.abs() < 1e-4, "raw values can be had again");
        }
    }
    // Nobody ever sees the description without the zeros.
    let streams = tared.payloads::<Stream>();
    assert!(streams.iter().all(|stream| stream.meta.contains_key("tare")));
}

#[test]
fn a_stream_that_ends_within_its_tare_is_tared_by_what_came() {
    let (_, run) = calibrated(GLOVE, "--map left --unit kPa --tare 1h");
    assert_eq!(run.expect(&[0]).samples(), 100);
    assert_eq!(stream(&run).meta["tare_samples"], "100");
    let sum: f32 =
        samples(&run).values().map(|(_, bytes)| floats(bytes)[PRESSED.1]).sum();
    assert!(sum.abs() < 1e-3, "{sum}");
}

#[test]
fn any_stream_is_scaled_and_others_pass_untouched() {
    let source = "sim-src control sine camera:size=32x32 -n 50 --rate max";
    let (raw, run) = calibrated(source, "-s control --gain 0.002 --offset -3 --unit rad");
    run.expect(&[0]).expect_silence();
    let streams = run.payloads::<Stream>();
    let control = streams.iter().find(|stream| stream.name == "control").unwrap();
    let labels: Vec<_> = control.channels.iter().map(|c| (&*c.label, &*c.unit)).collect();
    assert_eq!(labels, [("steering", "rad"), ("throttle", "rad")]);
    let of = |run: &Run, stream: u16| -> Vec<(Header, Vec<u8>)> {
        let records = run.of_kind(&[Kind::DATA]).into_iter();
        let strip = |(h, bytes)| (Header { sent: 0, ..h }, bytes);
        records.filter(|(h, _)| h.stream == stream).map(strip).collect()
    };
    for (before, after) in of(&raw, 1).iter().zip(of(&run, 1)) {
        let timed = if before.0.flags & FLAG_DEVICE_TIME != 0 { 8 } else { 0 };
        let steering = u16::from_le_bytes([before.1[timed], before.1[timed + 1]]);
        let expected = 0.002 * f32::from(steering) - 3.0;
        let error = floats(&after.1[timed..])[0] - expected;
        assert!(error.abs() < 1e-6, "{error}");
    }
    for untouched in [2, 3] {
        assert_eq!(of(&raw, untouched), of(&run, untouched));
    }
    let before: Vec<_> = raw.payloads::<Stream>();
    assert_eq!(before[1..], streams[1..]);
}

#[test]
fn device_times_are_kept() {
    let (raw, run) =
        calibrated("sim-src ephys:channels=4,block=1 -n 40 --rate max", "--gain 2");
    let (raw, run) = (raw.of_kind(&[Kind::DATA]), run.of_kind(&[Kind::DATA]));
    assert_eq!((raw.len(), run.len()), (40, 40));
    for ((before, raw), (after, done)) in raw.iter().zip(&run) {
        assert_eq!(before.flags & FLAG_DEVICE_TIME, after.flags & FLAG_DEVICE_TIME);
        if after.flags & FLAG_DEVICE_TIME != 0 {
            assert_eq!(raw[..8], done[..8]);
        }
    }
}

#[test]
fn single_sensors_have_gains_of_their_own() {
    let gains = file("gains.csv", "sensor,gain,offset\n39, 10, 1\n40,0\n");
    let plain = calibrated(GLOVE, "--map left --curve none --gain 2").1;
    let options = format!("--map left --curve none --gain 2 --gains {}", gains.display());
    let (_, own) = calibrated(GLOVE, &options);
    own.expect(&[0]);
    for (seq, (_, bytes)) in samples(&own) {
        let (own, plain) = (floats(&bytes), floats(&samples(&plain)[&seq].1));
        let at = PRESSED.1;
        assert_eq!(own[at..at + 3], [plain[at], 10.0 * plain[at + 1] + 2.0, 0.0]);
    }
    fs::write(&gains, "200,1\n").unwrap();
    let (_, run) = calibrated(GLOVE, &options);
    run.expect(&[2]).expect_stderr(0, "glove has no sensor 200");
    fs::remove_file(gains).unwrap();
}

#[test]
fn curves_are_files_too_and_zero_may_mean_nothing() {
    let curve = file("curve.csv", "reading,weight\n0 ,5 \n100 ,15 \n");
    let options = format!("--map left --curve {} --unit g", curve.display());
    let (raw, run) = calibrated(GLOVE, &options);
    let (_, none) = calibrated(GLOVE, &format!("{options} --zero-is-no-contact"));
    let (raw, none) = (samples(&raw), samples(&none));
    let mut zeros = 0;
    for (seq, (_, bytes)) in samples(&run) {
        let reading = raw[&seq].1[PRESSED.0];
        let grams = 5.0 + f32::from(reading.min(100)) / 10.0;
        assert!((floats(&bytes)[PRESSED.1] - grams).abs() < 1e-5);
        let expected = if reading == 0 { 0.0 } else { grams };
        assert!((floats(&none[&seq].1)[PRESSED.1] - expected).abs() < 1e-5);
        zeros += u32::from(reading == 0);
    }
    assert!(zeros > 0);
    assert_eq!(stream(&run).channels[0].unit, "g");
    fs::remove_file(curve).unwrap();
    let maker = root().join("../shared/fixtures/glove_adc_curve_C60510.csv");
    if !maker.exists() {
        eprintln!("skipped: no curve beside this repository");
        return;
    }
    let options = format!("--map left --unit kPa --curve {}", maker.display());
    calibrated(GLOVE, &options).1.expect(&[0]);
}

#[test]
fn all_numbers_and_the_quaternion_are_there_if_asked_for() {
    let (raw, run) = calibrated(GLOVE, "--map left --all --unit kPa --quaternion");
    let stream = stream(run.expect(&[0]));
    assert_eq!(stream.shape, [260]);
    let label = |at: usize| (&*stream.channels[at].label, &*stream.channels[at].unit);
    assert_eq!([label(0), label(256)], [("Byte_0", "kPa"), ("Quaternion_0", "")]);
    for (seq, (_, bytes)) in samples(&run) {
        assert_eq!(bytes[256 * 4..], samples(&raw)[&seq].1[256..]);
    }
    let (_, run) = calibrated("sim-src sine -n 5 --rate max", "--gain 2 --quaternion");
    run.expect(&[2]).expect_stderr(0, "sine has no quaternion");
}

#[test]
fn what_cannot_be_meant_is_told() {
    for (source, options, why) in [
        (GLOVE, "--unit kPa", "glove has no sensor map; say --map left"),
        (GLOVE, "--unit psi", "the built-in curve knows kPa, mmHg and N/cm2"),
        (GLOVE, "--curve C60510", "say --unit kPa"),
        (GLOVE, "--gain soon", "\"soon\" is no number"),
        (GLOVE, "", "--unit"),
        ("sim-src sine -n 5 --rate max", "--unit kPa", "nothing was calibrated: sine"),
        ("sim-src sine -n 5 --rate max", "--gain 2 -s other", "nothing was calibrated"),
        ("sim-src control -n 5 --rate max", "--unit kPa -s control", "for bytes"),
        ("sim-src camera:size=32x32 -n 5 --rate max", "--gain 2 -s cam*", "no numbers"),
    ] {
        let (_, run) = calibrated(source, options);
        run.expect(&[2]).expect_stderr(0, why);
    }
    for (options, why) in [
        ("--map nowhere.csv --unit kPa", "--map: nowhere.csv: No such file"),
        ("--curve nowhere.csv --unit kPa", "--curve: nowhere.csv: No such file"),
        ("--gains nowhere.csv", "--gains: nowhere.csv: No such file"),
    ] {
        let (_, run) = calibrated(GLOVE, options);
        run.expect(&[1]).expect_stderr(0, why);
    }
}

#[test]
fn raw_numbers_never_pass_for_calibrated_ones() {
    // From the middle: the first samples come before the description that is repeated.
    let whole = pipe("sim-src glove --rate 100 --duration 2500ms").run().stdout;
    let late = &whole[whole.len() / 2..];
    let run = pipe("calibrate-frames --map left --unit kPa").input(late).run();
    run.expect(&[0]);
    let data = run.of_kind(&[Kind::DATA]);
    assert!(data.len() > 20 && data.iter().all(|(_, bytes)| bytes.len() == 137 * 4));
}

#[test]
fn a_captured_glove_is_calibrated_by_the_map_it_brings() {
    let packet = |index: u8, len: usize| {
        [&[0xAA, 0x55, 3, 0x99, index, 2][..], &vec![150; len]].concat()
    };
    let bytes = [packet(1, 128), packet(2, 144)].concat().repeat(9);
    let run = pipe("capture-glove - | calibrate-frames --unit kPa").input(bytes).run();
    run.expect(&[0, 0]).expect_silence();
    let stream = stream(&run);
    assert_eq!((stream.shape[0], &*stream.channels[0].region), (137, "thumb_tip"));
    assert_eq!(stream.meta["side"], "right");
    for (_, bytes) in samples(&run).values() {
        assert!(floats(bytes).iter().all(|value| (value - 6.10).abs() < 1e-5));
    }
}
