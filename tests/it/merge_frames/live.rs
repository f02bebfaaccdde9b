//! Inputs that come as they are made: who waits for whom, and for how long.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::thread::sleep;
use std::time::Duration;

use framepipe_tests::{Scratch, Started, pipe};
use libframe::clock::{Clock, SECOND};
use libframe::payload::{End, Event, Gap, Value};
use libframe::wire::Kind;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::process::Signal;

use super::made::Made;
use super::{PATIENT, samples, times};

/// FIFOs of these names, and their paths.
fn fifos<const N: usize>(folder: &Scratch, names: [&str; N]) -> [String; N] {
    names.map(|name| {
        let path = folder.file(name);
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        path
    })
}

/// Our end of a FIFO, once somebody reads it.
fn writer(path: &str) -> File {
    let flags = OFlags::NONBLOCK.bits() as i32;
    for _ in 0..10_000 {
        if let Ok(file) = File::options().write(true).custom_flags(flags).open(path) {
            rustix::fs::fcntl_setfl(&file, OFlags::empty()).unwrap();
            return file;
        }
        sleep(Duration::from_millis(3));
    }
    panic!("nobody reads {path}");
}

/// A FIFO's writer that has announced a stream.
fn announced(path: &str, tag: u32) -> File {
    let mut file = writer(path);
    let made = Made::new(tag).at("boot", 0, 0).streams(&["s"]);
    file.write_all(&made.bytes).unwrap();
    file
}

fn send(to: &mut File, tag: u32, seq: u64, time: i64) {
    to.write_all(&Made::new(tag).data(1, seq, time).bytes).unwrap();
}

fn end(mut file: File, tag: u32, samples: u64) {
    let made = (0..samples).fold(Made::new(tag), |made, seq| made.data(1, seq, 0));
    let data = made.bytes.len();
    file.write_all(&made.end().bytes[data..]).unwrap();
}

/// A merge of two FIFOs, a and b, that have announced a stream each.
fn merge(folder: &Scratch, options: &str) -> (Started, File, File) {
    let [a, b] = fifos(folder, ["a", "b"]);
    let started = pipe(&format!("merge-frames {options} {a} {b}")).start();
    let (a, b) = (announced(&a, 1), announced(&b, 2));
    (started, a, b)
}

#[test]
fn a_record_waits_for_an_earlier_one_of_an_input_that_is_silent() {
    let folder = Scratch::new();
    let (mut started, mut a, mut b) = merge(&folder, "--skew 10m");
    send(&mut a, 1, 0, 500);
    started.after(Duration::from_millis(300));
    started.until_stdout(|bytes| framepipe_tests::count_samples(bytes) == 0);
    send(&mut b, 2, 0, 450);
    // This one need not wait, since a has shown a later time.
    started.until_samples(1);
    send(&mut b, 2, 1, 550);
    started.until_samples(2);
    // Nor need any wait for an input that has ended.
    end(a, 1, 1);
    started.until_samples(3);
    end(b, 2, 2);
    let run = started.wait();
    assert_eq!(times(run.expect(&[0]).expect_silence()), [450, 500, 550]);
}

#[test]
fn it_waits_for_the_skew_and_no_longer_and_late_ones_come_all_the_same() {
    let folder = Scratch::new();
    let (mut started, mut a, mut b) = merge(&folder, "--skew 400ms -v");
    send(&mut b, 2, 0, 100);
    let before = Clock::system().now();
    send(&mut a, 1, 0, 500);
    started.until_samples(2);
    send(&mut b, 2, 1, 450);
    started.until_samples(3);
    end(a, 1, 1);
    end(b, 2, 2);
    let run = started.wait();
    assert_eq!(times(run.expect(&[0])), [100, 500, 450]);
    run.expect_stderr(0, "b: 1 samples came after later ones of other inputs");
    let data = run.of_kind(&[Kind::DATA]);
    assert!(data[1].0.sent - before >= 400_000_000, "it did not wait");
}

#[test]
fn a_fifo_that_nobody_writes_to_stops_nobody_and_ends_at_a_signal() {
    let folder = Scratch::new();
    let [a, none] = fifos(&folder, ["a", "none"]);
    let mut started = pipe(&format!("merge-frames --skew 200ms {none} {a}")).start();
    let mut a = announced(&a, 1);
    (0..5).for_each(|seq| send(&mut a, 1, seq, 100 + seq as i64));
    started.until_samples(5);
    end(a, 1, 5);
    started.after(Duration::from_millis(300));
    assert!(started.is_running(0), "somebody may still write to the other");
    started.signal(0, Signal::TERM);
    let run = started.wait();
    run.expect(&[0]).expect_silence();
    assert_eq!(run.payloads::<End>()[0].reason, "end");
}

#[test]
fn a_fifo_may_get_its_writer_late() {
    let folder = Scratch::new();
    let [a, b] = fifos(&folder, ["a", "b"]);
    let mut started = pipe(&format!("merge-frames --skew 50ms {a} {b}")).start();
    let mut first = announced(&a, 1);
    send(&mut first, 1, 0, 100);
    started.until_samples(1);
    let mut second = announced(&b, 2);
    send(&mut second, 2, 0, 200);
    started.until_samples(2);
    end(first, 1, 1);
    end(second, 2, 1);
    let run = started.wait();
    run.expect(&[0]).expect_silence();
    // The first had the name for itself until then.
    assert!(samples(&run).into_keys().eq(["b/s".to_owned(), "s".to_owned()]));
}

#[test]
fn a_stage_that_is_killed_is_named_and_the_others_go_on_to_their_end() {
    let folder = Scratch::new();
    let [a, b] = fifos(&folder, ["a", "b"]);
    let mut started = pipe(&format!("merge-frames {PATIENT} {a} {b}")).start();
    let source = |name: &str, path: &str| {
        pipe(&format!("sim-src sine --rate 500 --name {name}"))
            .output_fd(writer(path))
            .start()
    };
    let (mut killed, mut good) = (source("victim", &a), source("good", &b));
    started.until_samples(300);
    killed.signal(0, Signal::KILL);
    killed.wait().expect(&[-Signal::KILL.as_raw()]);
    started.after(Duration::from_millis(500));
    good.signal(0, Signal::TERM);
    good.wait().expect(&[0]);
    let run = started.wait();
    run.expect(&[3]).expect_stderr(0, "a: victim broke off: its output stops");
    let gaps = run.payloads::<Gap>();
    assert_eq!((gaps.len(), gaps[0].stage.as_str()), (1, "victim"));
    let all = samples(&run);
    assert!(all["b/sine"].len() > all["a/sine"].len());
    let numbers = all["b/sine"].iter().map(|(seq, ..)| *seq);
    assert!(numbers.eq(0..all["b/sine"].len() as u64));
    assert_eq!(run.payloads::<End>()[0].reason, "signal");
}

#[test]
fn pipes_at_full_speed_are_in_order() {
    let folder = Scratch::new();
    let paths = fifos(&folder, ["a", "b", "c", "d"]);
    // A busy machine may keep a source waiting, but not for so long.
    let line = format!("merge-frames --skew 10m {}", paths.join(" "));
    let mut started = pipe(&line).start();
    started.read_stdout();
    let sources = paths.each_ref().map(|path| {
        let line = "sim-src glove control -n 20000 --rate max";
        pipe(line).output_fd(writer(path)).start()
    });
    let run = started.wait();
    run.expect(&[0]).expect_silence();
    assert!(times(&run).is_sorted());
    assert_eq!(run.samples(), 4 * 2 * 20_000);
    for source in sources {
        source.wait().expect(&[0]);
    }
}

#[test]
fn a_silent_input_neither_fills_memory_nor_stops_a_fast_one() {
    let folder = Scratch::new();
    let [a, b] = fifos(&folder, ["a", "b"]);
    let line = format!("merge-frames --queue 256KiB --skew 2s {a} {b}");
    let mut started = pipe(&line).start();
    started.read_stdout();
    let silent = announced(&b, 2);
    let fast = "sim-src glove -n 100000 --rate max";
    pipe(fast).output_fd(writer(&a)).run().expect(&[0]);
    started.until_samples(100_000);
    end(silent, 2, 0);
    let run = started.wait();
    run.expect(&[0]);
    let glove = &samples(&run)["glove"];
    assert!(glove.iter().map(|(seq, ..)| *seq).eq(0..100_000));
    assert!(run.peaks[0] < 16 << 20, "{} bytes", run.peaks[0]);
}

#[test]
fn an_input_that_stalls_is_told_in_the_stream_and_when_it_goes_on() {
    let folder = Scratch::new();
    let (mut started, mut a, mut b) = merge(&folder, "--skew 10ms -v");
    send(&mut a, 1, 0, 100);
    send(&mut b, 2, 0, 101);
    started.until_samples(2);
    for seq in 1..600 {
        send(&mut a, 1, seq, 100 + seq as i64);
        if String::from_utf8_lossy(&started.stderr_so_far(0)).contains("nothing comes") {
            break;
        }
        sleep(Duration::from_millis(50));
    }
    send(&mut b, 2, 1, 9000);
    started.until_stderr(0, "b: it comes again");
    drop((a, b));
    let run = started.wait();
    run.expect(&[3]).expect_stderr(0, "b: nothing comes");
    let events = run.payloads::<Event>();
    let told: Vec<_> =
        events.iter().map(|e| (e.label.as_str(), e.value.clone())).collect();
    let b = Value::Text("b".into());
    assert_eq!(told, [("stalled", b.clone()), ("resumed", b)]);
    assert_eq!(events[0].source, "merge-frames");
}

#[test]
fn files_end_at_the_first_signal_as_no_stage_before_could() {
    let folder = Scratch::new();
    let path = folder.file("long.frames");
    let out = File::create(&path).unwrap();
    pipe("sim-src glove -n 100000 --rate max").output_fd(out).run().expect(&[0]);
    // Nobody reads until the signal has come, so it cannot be done before.
    let mut started = pipe(&format!("merge-frames {path}")).start();
    started.until_ready(0).after(Duration::from_millis(200)).signal(0, Signal::TERM);
    let run = started.wait();
    run.expect(&[0]).expect_silence();
    let ends = run.payloads::<End>();
    assert_eq!(ends[0].reason, "signal");
    assert!((1..100_000).contains(&ends[0].streams[0].samples));
    assert_eq!(run.samples(), ends[0].streams[0].samples);
}

#[test]
fn a_time_that_is_up_ends_all_inputs() {
    let folder = Scratch::new();
    for (option, reason) in [("--duration 300ms", "duration"), ("--idle 300ms", "idle")] {
        let [a, b] = fifos(&folder, [&format!("{reason}-a"), &format!("{reason}-b")]);
        let began = Clock::system().now();
        let started = pipe(&format!("merge-frames --skew 10m {option} {a} {b}")).start();
        let mut a = announced(&a, 1);
        let b = announced(&b, 2);
        send(&mut a, 1, 0, 100);
        let run = started.wait();
        run.expect(&[0]).expect_silence();
        assert_eq!((run.samples(), run.payloads::<End>().len()), (1, 1));
        assert_eq!(run.payloads::<End>()[0].reason, reason);
        assert!(Clock::system().now() - began < 30 * SECOND);
        drop((a, b));
    }
}

#[test]
fn an_input_with_all_that_is_wanted_is_let_go() {
    let folder = Scratch::new();
    let [a, b] = fifos(&folder, ["a", "b"]);
    let started = pipe(&format!("merge-frames -n 10 --skew 10m {a} {b}")).start();
    let fast = pipe("sim-src sine --rate 1000").output_fd(writer(&a)).start();
    let slow = pipe("sim-src control --rate 10").output_fd(writer(&b)).start();
    // Their reader goes away, of each when it has enough.
    fast.wait().expect(&[0]).expect_stderr(0, "the reader of stdout went away");
    slow.wait().expect(&[0]);
    let run = started.wait();
    let counts: Vec<_> = samples(run.expect(&[0])).values().map(Vec::len).collect();
    assert_eq!(counts, [10, 10]);
}

#[test]
fn our_reader_that_goes_away_is_not_an_error() {
    let folder = Scratch::new();
    let (mut started, mut a, b) = merge(&folder, "--skew 1ms");
    started.after(Duration::from_millis(100)).close_stdout();
    for seq in 0.. {
        if a.write_all(&Made::new(1).data(1, seq, 100 + seq as i64).bytes).is_err() {
            break;
        }
        sleep(Duration::from_millis(2));
    }
    drop(b);
    started.wait().expect(&[0]).expect_silence();
}
