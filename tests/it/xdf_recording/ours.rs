//! What went into our own files comes out of them: all records, to the last number.

use std::collections::BTreeMap;
use std::fs;

use framepipe_tests::{Run, Scratch, pipe};
use libframe::payload::{End, Gap, Payload as _};
use libframe::wire::{Header, Kind};

use super::damaged::chunks;

/// A record of a stream: its kind, number and time, and what it holds.
type Told = (Kind, u64, i64, Vec<u8>);

/// What a pipeline gives of each stream, in order: samples and events to the bit, gaps by
/// what is missing and why. Who noticed a gap that nobody owns up to differs.
fn by_stream(run: &Run) -> BTreeMap<(u32, u16), Vec<Told>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for (header, payload) in run.records() {
        let Header { kind, session, stream, seq, time, flags, .. } = header;
        let lane = all.entry((session, stream)).or_default();
        match kind {
            Kind::DATA | Kind::EVENT | Kind::CLOCK => {
                lane.push((kind, seq, time, [&[flags], &payload[..]].concat()));
            }
            Kind::GAP => {
                let gap = Gap::from_bytes(&payload).unwrap();
                let told = format!("{:?} {:?}", gap.count, gap.reason);
                lane.push((kind, gap.first, 0, told.into_bytes()));
            }
            _ => {}
        }
    }
    all
}

fn totals(run: &Run) -> Vec<Vec<(u16, u64, u64, u64)>> {
    let of = |end: End| {
        let entry = |t: &libframe::payload::Totals| (t.stream, t.next, t.samples, t.lost);
        end.streams.iter().map(entry).collect()
    };
    run.payloads::<End>().into_iter().map(of).collect()
}

#[test]
fn what_went_in_comes_out() {
    let folder = Scratch::new();
    let (xdf, frames) = (folder.file("a.xdf"), folder.file("a.frames"));
    let faults = "--fault drop=2% --fault gap=1% --fault dup=2% --fault reorder=2%";
    for line in [
        "sim-src glove control -n 700 --rate max".to_owned(),
        "sim-src glove sine --event hit/100ms -n 400 --rate max".into(),
        format!("sim-src glove control -n 3000 --rate max {faults}"),
        format!("sim-src glove control -n 3000 --rate max {faults} | batch-frames -n 37"),
        "sim-src glove --event hit/200ms -n 900 --rate max | clip-frames --on hit --pre 20ms --post 50ms".into(),
    ] {
        let recorded = pipe(&line).run().stdout;
        fs::write(&frames, &recorded).unwrap();
        let run = pipe(&format!("to-xdf -q --max-loss 100% --force {xdf}")).input(recorded).run();
        assert!([0, 3].contains(&run.codes()[0]), "{line}: {}", run.everything());
        let play = |file: &str| {
            pipe(&format!("replay -q --speed max {file} | batch-frames -q --split")).run()
        };
        let (expected, found) = (play(&frames), play(&xdf));
        assert_eq!(found.codes(), expected.codes(), "{line}: {}", found.everything());
        let (expected_streams, found_streams) = (by_stream(&expected), by_stream(&found));
        assert!(expected_streams.keys().eq(found_streams.keys()), "{line}");
        for (key, expected) in expected_streams {
            let found = &found_streams[&key];
            let differs = expected.iter().zip(found).position(|(a, b)| a != b);
            let shown = differs.map(|at| (at, &expected[at], &found[at]));
            let counts = (expected.len(), found.len());
            assert!(expected == *found, "{line}: {key:?}: {counts:?} {shown:?}");
        }
        assert_eq!(totals(&found), totals(&expected), "{line}");
    }
}

#[test]
fn the_devices_own_times_are_with_their_samples_again() {
    let folder = Scratch::new();
    let xdf = folder.file("a.xdf");
    let line =
        format!("sim-src control -n 500 --rate max --fault drift=50ppm | to-xdf {xdf}");
    pipe(&line).run().expect(&[0, 0]);
    let run = pipe(&format!("replay --speed max {xdf}")).run();
    let samples = run.expect(&[0]).of_kind(&[Kind::DATA]);
    assert_eq!(samples.len(), 500);
    let timed = samples.iter().filter(|(header, _)| header.has_device_time()).count();
    let was_timed = |line: &str| {
        let run = pipe(line).run();
        run.of_kind(&[Kind::DATA])
            .iter()
            .filter(|(header, _)| header.has_device_time())
            .count()
    };
    assert_eq!(timed, was_timed("sim-src control -n 500 --rate max --fault drift=50ppm"));
    assert!(timed > 0, "the simulated device has no clock of its own any more");
}

#[test]
fn a_file_that_was_killed_gives_what_is_in_it_and_says_so() {
    let folder = Scratch::new();
    let xdf = folder.file("a.xdf");
    pipe(&format!("sim-src glove -n 20000 --rate max | to-xdf {xdf}"))
        .run()
        .expect(&[0, 0]);
    let whole = fs::read(&xdf).unwrap();
    for part in [3, 2] {
        fs::write(&xdf, &whole[..whole.len() / part]).unwrap();
        let run = pipe(&format!("replay --speed max {xdf}")).run();
        run.expect(&[3]).expect_stderr(0, &format!("`repair-frames {xdf}`"));
        let samples = run.of_kind(&[Kind::DATA]);
        let expected = 20_000 / part;
        assert!(samples.len() > expected * 8 / 10, "{} of {expected}", samples.len());
        let numbers = samples.iter().map(|(header, _)| header.seq);
        assert!(numbers.eq(0..samples.len() as u64));
    }
}

#[test]
fn streams_that_were_written_one_after_another_are_played_side_by_side() {
    let folder = Scratch::new();
    let xdf = folder.file("a.xdf");
    pipe(&format!("sim-src glove control -n 600 --rate max | to-xdf {xdf}"))
        .run()
        .expect(&[0, 0]);
    let run = pipe(&format!("replay --speed max {xdf}")).run();
    let times: Vec<i64> = run
        .expect(&[0])
        .of_kind(&[Kind::DATA])
        .iter()
        .map(|(header, _)| header.time)
        .collect();
    assert_eq!(times.len(), 1200);
    assert!(times.is_sorted());
}

#[test]
fn what_is_damaged_is_a_gap_and_what_comes_behind_keeps_its_number() {
    let folder = Scratch::new();
    let xdf = folder.file("a.xdf");
    pipe(&format!("sim-src glove -n 6000 --rate max | to-xdf {xdf}"))
        .run()
        .expect(&[0, 0]);
    let play = || pipe(&format!("replay -q --speed max {xdf}")).run();
    let of = |run: &Run| {
        let samples = run.of_kind(&[Kind::DATA]).into_iter();
        samples
            .map(|(header, payload)| (header.seq, header.time, payload))
            .collect::<Vec<_>>()
    };
    let whole = of(play().expect(&[0]));
    let mut bytes = fs::read(&xdf).unwrap();
    // The count of the chunk that holds a sample in the middle.
    let middle: Vec<u8> = whole[3000].2.iter().flat_map(|byte| [*byte, 0]).collect();
    let at = bytes.windows(middle.len()).position(|window| window == middle).unwrap();
    let chunks = chunks(&bytes);
    let hit = chunks.iter().find(|chunk| (chunk.from..chunk.to).contains(&at)).unwrap();
    bytes[hit.content + 1] ^= 1;
    fs::write(&xdf, bytes).unwrap();
    let run = play();
    let found = of(run.expect(&[3]));
    assert!((4000..6000).contains(&found.len()), "{}", found.len());
    assert!(found.iter().all(|sample| whole[sample.0 as usize] == *sample));
    let gaps = run.payloads::<Gap>();
    let missing: u64 = gaps.iter().filter_map(|gap| gap.count).sum();
    assert_eq!(missing, (6000 - found.len()) as u64);
    assert!(gaps.iter().all(|gap| gap.reason == libframe::payload::Reason::Corrupt));
}

#[test]
fn a_file_that_is_being_written_is_not_taken_for_one_that_broke_off() {
    let folder = Scratch::new();
    let xdf = folder.file("a.xdf");
    let simulated = pipe("sim-src glove -n 300 --rate max").run().stdout;
    let open = pipe(&format!("to-xdf --flush 50ms {xdf}")).input_left_open(simulated);
    let mut started = open.start();
    started.until_fed();
    let len = || fs::metadata(&xdf).map_or(0, |file| file.len());
    let there = (0..1500).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        len() > 10_000
    });
    assert!(there, "{} bytes in half a minute", len());
    let run = pipe(&format!("inspect-frames {xdf}")).run();
    assert!(!run.stderrs[0].contains("repair-frames"), "{}", run.everything());
    started.close_stdin();
    started.wait();
}
