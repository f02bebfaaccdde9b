//! `thin-frames`

mod resampling;

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::time::Duration;

use framepipe_tests::{Run, pipe};
use libframe::batch::Samples;
use libframe::decoder::{Decoder, Item};
use libframe::payload::{End, Event, Gap, Payload as _, Value};
use libframe::schema::Stream;
use libframe::wire::{Header, Kind, Record};
use rustix::process::Signal;

/// Number, time, device time and bytes of each sample of a stream.
fn samples(run: &Run, stream: u16) -> Vec<(u64, i64, Option<u64>, Vec<u8>)> {
    let descriptions = run.of_kind(&[Kind::STREAM]);
    let of = descriptions.iter().find(|(header, _)| header.stream == stream).unwrap();
    let fixed = Stream::from_bytes(&of.1).unwrap().sample_size().is_some();
    let mut all = Vec::new();
    for (header, payload) in run.of_kind(&[Kind::DATA, Kind::BATCH]) {
        if header.stream == stream {
            let record = Record::new(header, &payload);
            let samples = Samples::parse(&record, fixed).unwrap();
            let own = |s: libframe::batch::Sample<'_>| {
                (s.seq, s.time, s.device_time, s.bytes.to_vec())
            };
            all.extend(samples.iter().map(own));
        }
    }
    all
}

/// That the kept samples are numbered from 0 without a hole, and are some of those that
/// came, in their order.
#[track_caller]
fn expect_some_of(kept: &Run, whole: &Run, stream: u16) -> Vec<u64> {
    let whole = samples(whole, stream);
    let mut from = whole.iter();
    let mut places = Vec::new();
    for (number, kept) in (0..).zip(samples(kept, stream)) {
        assert_eq!(kept.0, number);
        let same = |other: &&(u64, i64, Option<u64>, Vec<u8>)| {
            (other.1, other.2, &other.3) == (kept.1, kept.2, &kept.3)
        };
        let found = from.find(same).unwrap_or_else(|| panic!("sample {number}"));
        places.push(found.0);
    }
    places
}

#[test]
fn at_most_so_many_a_second_and_evenly_spaced_in_every_form() {
    for source in ["sine", "control", "camera:size=64x48", "glove"] {
        let whole = pipe(&format!("sim-src {source} -n 1000 --rate max")).run();
        let kept = |line: &str| {
            let run = pipe(line).input(&whole.stdout[..]).run();
            assert!(run.codes().iter().all(|code| *code == 0), "{}", run.everything());
            expect_some_of(&run, &whole, 1)
        };
        let one_by_one = kept("thin-frames --rate 7");
        let times = samples(&whole, 1);
        let rate = 999.0 * 1e9 / (times[999].1 - times[0].1) as f64;
        let wanted = (1000.0 / rate * 7.0) as usize;
        assert!(one_by_one.len().abs_diff(wanted) <= 2, "{source}: {}", one_by_one.len());
        let steps = one_by_one.windows(2).map(|pair| pair[1] - pair[0]);
        let (least, most) = (steps.clone().min().unwrap(), steps.max().unwrap());
        assert!(most - least <= 1, "{source}: {least} to {most} samples apart");
        assert_eq!(kept("batch-frames -n 40 | thin-frames --rate 7"), one_by_one);
    }
}

#[test]
fn the_description_and_the_totals_are_those_of_what_is_kept() {
    let run =
        pipe("sim-src glove sine -n 2170 --rate max | thin-frames -s glove --rate 30")
            .run();
    run.expect(&[0, 0]).expect_silence();
    let rates: Vec<_> =
        run.payloads::<Stream>().iter().map(|stream| stream.rate).collect();
    assert_eq!(rates, [Some(30.0), Some(100.0)]);
    let totals = &run.payloads::<End>()[0].streams;
    let of = |stream| totals.iter().find(|totals| totals.stream == stream).unwrap();
    assert_eq!((of(1).first, of(1).lost, of(2).samples), (0, 0, 2170));
    assert_eq!(of(1).next, of(1).samples);
    pipe("inspect-frames").input(run.stdout).run().expect(&[0]).expect_silence();
}

#[test]
fn every_nth_is_what_pick_frames_makes_of_it() {
    for form in ["", " --fault gap=5%", " --fault drop=5%"] {
        let source = format!("sim-src glove control -n 3000 --rate max{form}");
        let whole = pipe(&source).run().stdout;
        for batch in ["", "batch-frames -n 50 | "] {
            let kinds = [Kind::STREAM, Kind::DATA, Kind::BATCH, Kind::GAP];
            let by = |tool: &str| -> Vec<(Header, Vec<u8>)> {
                let line = format!("{batch}{tool} --every 7 --name thin");
                let run = pipe(&line).input(&whole[..]).run();
                let records = run.of_kind(&kinds).into_iter();
                records.map(|(header, p)| (Header { sent: 0, ..header }, p)).collect()
            };
            assert!(by("thin-frames") == by("pick-frames"), "{form} {batch}");
        }
    }
}

#[test]
fn streams_that_were_not_chosen_pass_whole() {
    for how in ["--rate 5", "--every 10", "--newest", "--adapt"] {
        let line = format!(
            "sim-src glove:name=left glove:name=right -n 500 --rate max \
             | thin-frames -s 'le*' {how}"
        );
        let run = pipe(&line).run();
        run.expect(&[0, 0]).expect_silence();
        assert_eq!(samples(&run, 2).len(), 500, "{how}");
        assert!(samples(&run, 1).len() < 200, "{how}");
    }
}

#[test]
fn what_was_missing_before_is_told_in_its_place_and_its_length_only_if_known() {
    let source = "sim-src sine -n 1000 --rate max --fault gap=5%";
    let before = pipe(source).run();
    let gaps = before.payloads::<Gap>();
    assert!(gaps.len() > 10);
    for how in ["--rate 30", "--newest"] {
        let run = pipe(&format!("thin-frames {how}")).input(&before.stdout[..]).run();
        run.expect(&[3]);
        let told = run.payloads::<Gap>();
        assert_eq!(told.len(), gaps.len(), "{how}");
        assert!(told.iter().all(|gap| gap.count.is_none()), "{told:?}");
        assert!(told[0].detail.contains("1 of the samples before thinning"));
        // Each stands between samples, and has the number of the one behind it.
        let mut next = 0;
        for (header, payload) in run.of_kind(&[Kind::DATA, Kind::GAP]) {
            match header.kind {
                Kind::GAP => assert_eq!(Gap::from_bytes(&payload).unwrap().first, next),
                _ => {
                    assert_eq!(header.seq, next, "{how}");
                    next += 1;
                }
            }
        }
        // A later stage adds nothing to it.
        let after = pipe("inspect-frames -f json").input(run.stdout).run();
        assert_eq!(after.json()["sessions"][0]["streams"][0]["lost"], 0);
    }
    let run = pipe("thin-frames --every 10").input(&before.stdout[..]).run();
    let lost: u64 = run.payloads::<Gap>().iter().map(|gap| gap.count.unwrap()).sum();
    assert_eq!(run.samples() + lost, 100);
}

#[test]
fn of_what_a_stopped_reader_missed_it_gets_the_newest() {
    for batch in ["", "| batch-frames -n 20 "] {
        let line = format!(
            "sim-src glove control -n 3000 --rate max {batch}| thin-frames --newest"
        );
        let mut started = pipe(&line).start();
        started.after(Duration::from_millis(200));
        let mut limit = 2000;
        while started.is_running(0) && limit > 0 {
            started.after(Duration::from_millis(5));
            limit -= 1;
        }
        let run = started.wait();
        assert!(run.codes().iter().all(|code| *code == 0), "{}", run.everything());
        let whole = pipe("sim-src glove control -n 3000 --rate max").run();
        for stream in [1, 2] {
            let (kept, all) = (samples(&run, stream), samples(&whole, stream));
            assert!(kept.len() < 100, "{} of 3000", kept.len());
            assert_eq!(kept.last().unwrap().3, all.last().unwrap().3, "the very last");
            let numbers: Vec<_> = kept.iter().map(|sample| sample.0).collect();
            assert_eq!(numbers, (0..kept.len() as u64).collect::<Vec<_>>());
        }
        assert_eq!(run.payloads::<Stream>()[0].rate, None, "it is irregular now");
    }
}

#[test]
fn a_reader_that_was_busy_goes_on_with_the_newest() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let line = "sim-src glove --rate 1000 | thin-frames --newest";
    let mut started = pipe(line).output_fd(OwnedFd::from(writer)).start();
    let mut decoder = Decoder::default();
    let mut next = || -> i64 {
        loop {
            while let Some(item) = decoder.pull() {
                if let Item::Record(record) = item
                    && record.header.kind == Kind::DATA
                {
                    return record.header.time;
                }
            }
            let n = reader.read(decoder.space()).unwrap();
            decoder.filled(n);
        }
    };
    (0..5).for_each(|_| assert!(next() > 0));
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(500));
        // This one was written when the one before was read; then comes what is new.
        let (old, new) = (next(), next());
        let step = (new - old) / 1_000_000;
        assert!((250..2000).contains(&step), "{step} ms");
    }
    started.signal(0, Signal::TERM);
    while started.is_running(1) {
        next_or_end(&mut reader);
    }
    started.wait().expect(&[0, 0]).expect_silence();
}

fn next_or_end(reader: &mut std::io::PipeReader) {
    let mut chunk = [0; 4096];
    drop(reader.read(&mut chunk));
}

#[test]
fn the_rate_falls_by_steps_while_nobody_reads_and_rises_again() {
    let line = "sim-src glove | thin-frames --adapt --ceiling 100 --floor 20 --raise 40 \
                --cooldown 200ms -v";
    let mut started = pipe(line).start();
    started.until_stderr(1, "glove: 20/s, as ").read_stdout();
    started.until_stderr(1, "glove: 100/s, as ").signal(0, Signal::TERM);
    let run = started.wait();
    run.expect(&[0, 0]);
    let events = run.of_kind(&[Kind::EVENT]);
    // What lies in the pipe counts: the first step does not wait until that is full.
    assert!(events[0].0.seq < 400, "{}", events[0].0.seq);
    let rate = |(header, payload): &(Header, Vec<u8>)| {
        let event = Event::from_bytes(payload).unwrap();
        assert_eq!((header.stream, event.label.as_str()), (1, "rate"));
        match event.value {
            Value::Float(rate) => rate,
            value => panic!("{value:?}"),
        }
    };
    let rates: Vec<_> = events.iter().map(rate).collect();
    assert_eq!(rates, [75., 56., 42., 31., 23., 20., 60., 100.]);
    let numbers: Vec<_> = samples(&run, 1).iter().map(|sample| sample.0).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
    // Nothing of what was accepted is lost to the change, and nothing counts as lost.
    assert_eq!(run.payloads::<Gap>(), []);
}

#[test]
fn a_reader_that_keeps_up_has_the_ceiling() {
    let line = "sim-src glove --duration 2s | thin-frames --adapt --ceiling 50 --high 40 --low 30";
    let run = pipe(&format!("{line} | inspect-frames -f json")).run();
    run.expect(&[0, 0, 0]).expect_silence();
    let samples = run.json()["sessions"][0]["streams"][0]["samples"].as_u64();
    assert!((95..=103).contains(&samples.unwrap()), "{samples:?}");
}

#[test]
fn a_queue_that_is_full_makes_the_stage_before_wait_instead_of_losing() {
    let line = "sim-src sine:channels=512 -n 50000 --rate max \
                | thin-frames --adapt --ceiling 1000000 --floor 1000000 --queue 64KiB";
    let mut started = pipe(line).start();
    started.after(Duration::from_millis(300));
    assert!(started.is_running(0), "nobody reads");
    let run = started.wait();
    assert_eq!(run.expect(&[0, 0]).samples(), 50_000);
}

#[test]
fn a_reader_that_goes_away_is_noticed_however_samples_are_chosen() {
    for how in ["--rate 500", "--newest", "--adapt"] {
        let line = format!("sim-src --rate 1000 -n 1000000 | thin-frames {how}");
        let mut started = pipe(&line).start();
        started.after(Duration::from_millis(300)).close_stdout();
        started.wait().expect(&[0, 0]).expect_silence();
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for options in [
        "",
        "--rate 0",
        "--rate fast",
        "--every 0",
        "--rate 5 --every 5",
        "--adapt --newest",
        "--adapt --floor 40",
        "--adapt --low 9",
        "--rate 5 -s '['",
    ] {
        pipe(&format!("thin-frames {options}")).run().expect(&[2]);
    }
}
