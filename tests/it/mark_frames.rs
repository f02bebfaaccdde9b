//! `mark-frames`: events in the place and with the time at which they happened.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::Duration;

use framepipe_tests::{Run, Scratch, binary, decode, pipe};
use libframe::clock::{Clock, SECOND};
use libframe::payload::{Event, Payload as _, Session, Value};
use libframe::wire::{Header, Kind, Record};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty;
use rustix::termios::{LocalModes, tcgetattr};

const MS: i64 = 1_000_000;

/// The events on stdout, with their times.
fn events(run: &Run) -> Vec<(i64, Event)> {
    let of_kind = run.of_kind(&[Kind::EVENT]).into_iter();
    of_kind
        .map(|(header, bytes)| (header.time, Event::from_bytes(&bytes).unwrap()))
        .collect()
}

fn event(label: &str, value: Value, source: &str) -> Event {
    Event { label: label.into(), value, source: source.into() }
}

#[test]
fn everything_passes_and_planned_events_stand_before_what_came_later() {
    let source = "sim-src --rate max -n 300";
    let line = format!("{source} | mark-frames --event hit=5@1s --event beat/700ms");
    let run = pipe(&line).run();
    assert_eq!(run.expect(&[0, 0]).expect_silence().samples(), 300);
    let start = run.payloads::<Session>()[0].start_monotonic;
    let found: Vec<_> = events(&run)
        .into_iter()
        .map(|(time, event)| ((time - start) / MS, event.label, event.value))
        .collect();
    let beat = |ms| (ms, "beat".to_owned(), Value::Nil);
    let hit = (1000, "hit".to_owned(), Value::Int(5));
    assert_eq!(found, [beat(700), hit, beat(1400), beat(2100), beat(2800)]);
    let times = run.of_kind(&[Kind::EVENT, Kind::DATA]).into_iter().map(|(h, _)| h.time);
    assert!(times.is_sorted());
}

#[test]
fn lines_on_a_fifo_are_events_with_the_time_at_which_they_were_written() {
    let folder = Scratch::new();
    let fifo = folder.file("marks");
    let line = format!("sim-src --rate 200 | mark-frames --fifo {fifo} --mark note");
    let mut started = pipe(&line).start();
    started.until_ready(1);
    let mut between = Vec::new();
    let lines = ["hit 5", "led on\nled off", "rest 0.25 m", "", "  "];
    for (n, text) in lines.iter().enumerate() {
        between.push(Clock::system().now());
        fs::write(&fifo, format!("{text}\n")).unwrap();
        started.until_records(Kind::EVENT, n + 1 + usize::from(n > 0));
    }
    started.signal(0, Signal::TERM);
    let run = started.wait();
    let found = events(run.expect(&[0, 0]).expect_silence());
    let text = |text: &str| Value::Text(text.into());
    let wanted = [
        event("hit", Value::Int(5), "fifo"),
        event("led", text("on"), "fifo"),
        event("led", text("off"), "fifo"),
        event("rest", text("0.25 m"), "fifo"),
        event("note", Value::Nil, "fifo"),
        event("note", Value::Nil, "fifo"),
    ];
    let all: Vec<_> = found.iter().map(|(_, event)| event.clone()).collect();
    assert_eq!(all, wanted);
    assert!((between[0]..between[1]).contains(&found[0].0));
    assert!((between[1]..between[2]).contains(&found[1].0));
    assert!(!folder.names().contains(&"marks".into()));
}

#[test]
fn a_signal_is_an_event() {
    let mut started = pipe("sim-src --rate 200 | mark-frames --mark press").start();
    started.until_ready(1);
    let before = Clock::system().now();
    started.signal(1, Signal::USR2).until_records(Kind::EVENT, 1);
    let after = Clock::system().now();
    started.signal(0, Signal::TERM);
    let run = started.wait();
    let found = events(run.expect(&[0, 0]).expect_silence());
    assert!((before..after).contains(&found[0].0));
    assert_eq!(found[0].1, event("press", Value::Nil, "signal"));
}

#[test]
fn an_event_has_the_time_of_the_signal_also_when_the_tool_was_stuck() {
    // Nobody reads: the pipe fills, and the tool hangs in a write.
    let mut started = pipe("sim-src --rate max | mark-frames").start();
    started.until_ready(1).after(Duration::from_millis(300));
    let before = Clock::system().now();
    started.signal(1, Signal::USR2).after(Duration::from_millis(100));
    let after = Clock::system().now();
    started.after(Duration::from_millis(500)).until_records(Kind::EVENT, 1);
    started.signal(0, Signal::TERM);
    let run = started.wait();
    let (time, _) = events(run.expect(&[0, 0]))[0];
    // What the source makes lies ahead of the clock, so it is told by how far that is.
    let data = run.of_kind(&[Kind::DATA]);
    let ahead = |sent: i64| data.iter().any(|(h, _)| h.sent <= after && h.time > sent);
    assert!(ahead(after), "the samples have times of their own");
    let position = run.records().iter().position(|(h, _)| h.kind == Kind::EVENT).unwrap();
    let records = run.records();
    let newest = records[..position].iter().rev().find(|(h, _)| h.kind == Kind::DATA);
    let (newest, _) = newest.unwrap();
    let offset = time - (before + after) / 2;
    let lag = newest.time - newest.sent;
    assert!((offset - lag).abs() < SECOND, "{offset} {lag}");
}

#[test]
fn events_of_a_recording_are_in_its_time() {
    let recorded = pipe("sim-src --rate max -n 100").run().stdout;
    // The same of yesterday, on another host.
    let mut bytes = Vec::new();
    for found in decode(&recorded) {
        let framepipe_tests::Event::Record(header, payload) = found else { panic!() };
        let mut payload = payload;
        if let (Kind::SESSION, Ok(mut session)) =
            (header.kind, Session::from_bytes(&payload))
        {
            session.boot_id = "another".into();
            session.start_monotonic -= 86_400 * SECOND;
            payload = session.to_bytes();
        }
        if header.kind == Kind::END {
            break;
        }
        let header = Header { time: header.time - 86_400 * SECOND, ..header };
        Record::new(header, &payload).encode(&mut bytes);
    }
    let mut started = pipe("mark-frames").input_left_open(bytes).start();
    started.until_samples(100).signal(0, Signal::USR2).until_records(Kind::EVENT, 1);
    started.close_stdin();
    let run = started.wait();
    let (time, _) = events(&run)[0];
    let newest = run.of_kind(&[Kind::DATA]).last().unwrap().0.time;
    assert!((newest..newest + 20 * SECOND).contains(&time), "{}", time - newest);
}

/// A terminal with a pipeline that it belongs to.
struct Seat {
    person: std::os::fd::OwnedFd,
    program: File,
    shell: std::process::Child,
}

impl Seat {
    /// Starts a shell line whose terminal this is.
    fn start(line: &str) -> Seat {
        let flags = pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY;
        let person = pty::openpt(flags).unwrap();
        pty::grantpt(&person).unwrap();
        pty::unlockpt(&person).unwrap();
        let path = pty::ptsname(&person, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let program =
            rustix::fs::open(path.to_str().unwrap(), flags, Mode::empty()).unwrap();
        let program = File::from(program);
        let bin = binary("sim-src");
        let path = format!("{}:/usr/bin:/bin", bin.parent().unwrap().display());
        let shell = Command::new("setsid")
            .args(["--ctty", "--wait", "bash", "-c", line])
            .env("PATH", path)
            .stdin(program.try_clone().unwrap())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Seat { person, program, shell }
    }

    fn is_as_before(&self) -> bool {
        let modes = tcgetattr(&self.program).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let limit = Clock::system().now() + 30 * SECOND;
        while !holds() {
            assert!(Clock::system().now() < limit, "never: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn press(&self, keys: &str) {
        rustix::io::write(&self.person, keys.as_bytes()).unwrap();
    }
}

#[test]
fn keys_are_events_and_the_terminal_is_put_back() {
    let folder = Scratch::new();
    let file = folder.file("x.frames");
    let kinds =
        || fs::read(&file).map_or(0, |b| framepipe_tests::count_kind(&b, Kind::EVENT));
    for (options, wanted) in [
        ("--keys s=start,space=hit", vec![("start", None), ("hit", None)]),
        ("--keys", vec![("key", Some("s")), ("key", Some("space")), ("key", Some("x"))]),
    ] {
        let mut seat = Seat::start(&format!("sim-src | mark-frames {options} > {file}"));
        seat.until("the keys are taken", || !seat.is_as_before());
        let before = Clock::system().now();
        seat.press("s");
        seat.press(" x");
        seat.until("they are events", || kinds() == wanted.len());
        let after = Clock::system().now();
        // Ctrl-C goes to the whole pipeline, as ever.
        seat.press("\x03");
        seat.shell.wait().unwrap();
        assert!(seat.is_as_before(), "{options}");
        let run = pipe("pick-frames").input(fs::read(&file).unwrap()).run();
        let found = events(run.expect(&[0]));
        let value =
            |value: Option<&str>| value.map_or(Value::Nil, |v| Value::Text(v.into()));
        let wanted: Vec<_> =
            wanted.iter().map(|(label, v)| event(label, value(*v), "key")).collect();
        assert!(found.iter().all(|(time, _)| (before..after).contains(time)));
        let found: Vec<_> = found.into_iter().map(|(_, event)| event).collect();
        assert_eq!(found, wanted);
    }
}

#[test]
fn the_terminal_is_put_back_at_the_end_of_the_input() {
    let line = "sim-src --duration 1s | mark-frames --keys > /dev/null";
    let mut seat = Seat::start(line);
    seat.until("the keys are taken", || !seat.is_as_before());
    assert!(seat.shell.wait().unwrap().success());
    assert!(seat.is_as_before());
}

#[test]
fn the_terminal_is_put_back_whatever_ends_the_tool() {
    for signal in [Signal::HUP, Signal::QUIT, Signal::TERM, Signal::INT] {
        let folder = Scratch::new();
        let (pid, out) = (folder.file("pid"), folder.file("x.frames"));
        // Its input stays open, so that it is the signal that counts.
        let line = format!(
            "sim-src --rate 1 | {{ mark-frames --keys > {out} & echo $! > {pid}; wait; }}"
        );
        // In the background a shell gives stdin away, so the pipe is named again.
        let line = line.replace("--keys >", "--keys < /dev/stdin >");
        let mut seat = Seat::start(&line);
        seat.until("the keys are taken", || !seat.is_as_before());
        let read = || fs::read_to_string(&pid).unwrap_or_default().trim().parse().ok();
        seat.until("its number is known", || read().is_some());
        kill_process(Pid::from_raw(read().unwrap()).unwrap(), signal).unwrap();
        seat.until("the terminal is put back", || seat.is_as_before());
        seat.shell.kill().unwrap();
        seat.shell.wait().unwrap();
    }
}

#[test]
fn without_a_terminal_there_are_no_keys() {
    let mut command = Command::new("setsid");
    let output = command.arg(binary("mark-frames")).arg("--keys").stdin(Stdio::piped());
    let output = output.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("there are no keys without a terminal; see --fifo"),
        "{stderr}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn mistakes_are_explained() {
    for (wrong, hint) in [
        ("--keys start", "say s=start"),
        ("--event hit", "say hit@2s"),
        ("--event hit/0s", "say hit@2s"),
    ] {
        pipe(&format!("mark-frames {wrong}")).run().expect(&[2]).expect_stderr(0, hint);
    }
}

#[test]
fn marks_are_triggers_for_clips() {
    let line = "sim-src glove --rate max -n 868 | mark-frames --event hit@2s \
                | clip-frames --on hit | inspect-frames -f json";
    let run = pipe(line).run();
    let samples =
        &run.expect(&[0, 0, 0, 0]).json()["sessions"][0]["streams"][0]["samples"];
    assert!(*samples == 217, "{samples}");
}
