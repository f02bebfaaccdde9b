//! `sim-src`

use framepipe_tests::pipe;
use libframe::payload::{End, Gap, Reason};
use libframe::schema::Stream;
use libframe::wire::Kind;

/// The payloads of all samples, in order of stream and number.
fn payloads(line: &str) -> Vec<(u16, u64, Vec<u8>)> {
    let run = pipe(line).run();
    let records = run.of_kind(&[Kind::DATA, Kind::BATCH]).into_iter();
    let mut all: Vec<_> =
        records.map(|(h, payload)| (h.stream, h.seq, payload)).collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn every_kind_of_stream_is_described_and_comes() {
    let line =
        "sim-src glove camera:size=64x48 ephys control thermal sine --duration 600ms";
    let run = pipe(line).run();
    run.expect(&[0]).expect_silence();
    let names: Vec<_> = run.payloads::<Stream>().into_iter().map(|s| s.name).collect();
    assert_eq!(names, ["glove", "camera", "ephys", "control", "thermal", "sine"]);
    let end = &run.payloads::<End>()[0];
    let rates = [217.0, 30.0, 30_000.0, 30.0, 8.0, 100.0];
    for (totals, rate) in end.streams.iter().zip(rates) {
        let expected = 0.6 * rate;
        let samples = totals.samples as f64;
        assert!(samples > expected * 0.7 && samples < expected * 1.3 + 2.0, "{totals:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_payloads_at_any_rate_and_with_faults() {
    let plain = payloads("sim-src glove ephys -n 600 --rate max --seed 5");
    let slow = payloads("sim-src glove:rate=5000 ephys -n 600 --seed 5");
    let glove = |all: &[(u16, u64, Vec<u8>)]| -> Vec<_> {
        all.iter().filter(|(stream, ..)| *stream == 1).cloned().collect()
    };
    assert_eq!(glove(&plain).len(), 600);
    let faulty = payloads(
        "sim-src glove -n 600 --rate max --seed 5 --fault reorder=10% --fault dup=10%",
    );
    assert_eq!(glove(&plain), glove(&faulty));
    assert_ne!(plain, payloads("sim-src glove ephys -n 600 --rate max --seed 6"));
    // A glove moves in its own time, so another rate is another signal; blocks of the
    // amplifier keep theirs.
    let ephys = |all: &[(u16, u64, Vec<u8>)]| {
        all.iter()
            .filter(|(stream, ..)| *stream == 2)
            .map(|(_, seq, _)| *seq)
            .collect::<Vec<_>>()
    };
    assert_eq!(ephys(&plain), ephys(&slow));
}

#[test]
fn paced_samples_come_at_their_rate_and_are_stamped_as_they_come() {
    let run = pipe("sim-src --rate 500 -n 500").run();
    let data = run.expect(&[0]).of_kind(&[Kind::DATA]);
    let seconds = (data[499].0.time - data[0].0.time) as f64 / 1e9;
    assert!((0.95..1.3).contains(&seconds), "{seconds}");
    assert!(data.iter().all(|(header, _)| header.sent >= header.time));
}

#[test]
fn samples_that_a_device_admits_to_have_lost_are_gaps() {
    let run = pipe("sim-src -n 10000 --rate max --fault gap=1%").run();
    run.expect(&[3]);
    let gaps = run.payloads::<Gap>();
    let lost: u64 = gaps.iter().filter_map(|gap| gap.count).sum();
    assert!((50..200).contains(&lost), "{lost}");
    assert!(gaps.iter().all(|gap| gap.reason == Reason::Device));
    assert_eq!(run.samples() + lost, 10_000);
}

#[test]
fn what_is_dropped_doubled_or_swapped_is_found_downstream() {
    let inspect = |fault: &str| {
        let line = format!(
            "sim-src -n 10000 --rate max --fault {fault} | inspect-frames -f json"
        );
        let run = pipe(&line).run();
        (run.codes(), run.json()["sessions"][0]["streams"][0].clone())
    };
    let (codes, stream) = inspect("drop=1%");
    assert_eq!(codes, [0, 3]);
    let (lost, samples) = (stream["lost"].as_u64(), stream["samples"].as_u64());
    assert_eq!(lost.unwrap() + samples.unwrap(), 10_000);
    let (codes, stream) = inspect("dup=1%");
    assert_eq!((codes, stream["samples"].as_u64()), (vec![0, 0], Some(10_000)));
    assert!(stream["duplicates"].as_u64() > Some(50));
    let (_, stream) = inspect("reorder=1%");
    assert!(stream["reordered"].as_u64() > Some(50));
    assert_eq!(
        (stream["lost"].as_u64(), stream["samples"].as_u64()),
        (Some(0), Some(10_000))
    );
}

#[test]
fn flipped_bits_cost_exactly_their_records() {
    let line =
        "sim-src glove -n 20000 --rate max --fault flip=0.5% | inspect-frames -f json";
    let run = pipe(line).run();
    run.expect(&[0, 3]);
    let report = run.json();
    let places = report["input"]["damaged_places"].as_u64();
    let stream = &report["sessions"][0]["streams"][0];
    // Neighbours that are both hit can be one place.
    let lost = stream["lost"].as_u64().unwrap();
    assert!(lost >= places.unwrap() && lost <= places.unwrap() + 5, "{lost} {places:?}");
    assert_eq!(lost + stream["samples"].as_u64().unwrap(), 20_000);
    assert_eq!(stream["losses"][0]["reason"], "corrupt");
}

#[test]
fn bursts_and_stalls_show_in_the_capture_times() {
    let times = |fault: &str| -> Vec<i64> {
        let run = pipe(&format!("sim-src -n 100 --rate max --fault {fault}")).run();
        run.of_kind(&[Kind::DATA]).iter().map(|(header, _)| header.time).collect()
    };
    let burst = times("burst=10");
    assert!(burst.chunks(10).all(|chunk| chunk[0] == chunk[9]));
    let stall = times("stall=200ms/500ms");
    let longest = stall.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert_eq!(longest, 210_000_000);
}

#[test]
fn a_drifting_device_clock_runs_ahead_of_the_host() {
    let run =
        pipe("sim-src ephys:channels=1 -n 3000000 --rate max --fault drift=50ppm").run();
    let last = run.of_kind(&[Kind::BATCH]).pop().unwrap();
    let n = u32::from_le_bytes(*last.1.first_chunk().unwrap()) as usize;
    let at = 8 + n * 8 + (n - 1) * 8;
    let ticks = u64::from_le_bytes(last.1[at..at + 8].try_into().unwrap());
    assert_eq!(ticks, 3_000_149, "2 999 999 samples and 50 in a million");
    pipe("sim-src sine --fault drift=50ppm").run().expect(&[2]);
}

#[test]
fn a_record_that_nothing_overtakes_comes_all_the_same() {
    let run = pipe("sim-src -n 1 --rate max --fault reorder=100%").run();
    assert_eq!(run.expect(&[0]).samples(), 1);
}

#[test]
fn the_last_block_is_cut_to_the_count() {
    let run = pipe("sim-src ephys:block=300 -n 1000 --rate max").run();
    assert_eq!(run.expect(&[0]).samples(), 1000);
    assert_eq!(run.of_kind(&[Kind::BATCH]).len(), 4);
}

#[test]
fn mistakes_are_explained() {
    for (line, hint) in [
        ("sim-src gloves", "glove, camera, ephys"),
        ("sim-src --fault fire=1%", "faults are drop=1%"),
        ("sim-src --rate fast", "30k or max"),
    ] {
        pipe(line).run().expect(&[2]).expect_stderr(0, hint);
    }
}
