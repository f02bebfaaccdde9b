//! What every tool must do alike: a test for each row of the contract, over all tools.

pub(crate) mod tables;

use std::collections::BTreeSet;
use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use framepipe_tests::{Pipe, Scratch, binary, pipe, tools};
use libframe::clock::{Clock, SECOND};
use libframe::payload::{End, Gap, Reason, Session, Stats};
use libframe::wire::Kind;
use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use rustix::pty;

use tables::{
    CLIPPER, DEVICES, FILTERS, SILENT, SINKS, SOURCES, TELLERS, all, command, every,
    keepers, name, readers, stages,
};

/// A good stream of this many samples, as bytes.
fn recording(samples: u32) -> Vec<u8> {
    pipe(&format!("sim-src -n {samples} --rate max")).run().expect(&[0]).stdout.clone()
}

/// The same without its last record, END: what a killed stage leaves.
fn broken_off(samples: u32) -> Vec<u8> {
    let whole = recording(samples);
    let at = whole.windows(5).rposition(|bytes| bytes == b"\xD5FP1\x09").unwrap();
    whole[..at].to_vec()
}

/// A stream with a sample that is missing without a word.
fn with_a_hole() -> Vec<u8> {
    let whole = recording(100);
    let data: Vec<_> = (0..whole.len() - 5)
        .filter(|at| whole[*at..].starts_with(b"\xD5FP1\x03"))
        .collect();
    [&whole[..data[49]], &whole[data[50]..]].concat()
}

#[test]
fn every_tool_is_in_the_tables() {
    let named: BTreeSet<_> = every().map(|tool| name(tool).to_owned()).collect();
    assert_eq!(named, tools());
}

#[test]
fn a_good_stream_is_a_clean_end_and_nobody_says_a_word() {
    for tool in readers() {
        pipe(tool).input(recording(100)).run().expect(&[0]).expect_silence();
    }
    for maker in SOURCES.iter().chain(DEVICES) {
        pipe(&format!("{maker} -n 20")).run().expect(&[0]).expect_silence();
    }
}

#[test]
fn an_input_without_end_is_a_loss_and_names_the_stage_that_broke_off() {
    for tool in readers() {
        let run = pipe(tool).input(broken_off(100)).run();
        run.expect(&[3]);
        if !tool.contains("-q") {
            run.expect_stderr(0, "sim-src broke off: its output stops without END");
        }
    }
}

#[test]
fn stages_after_the_one_that_noticed_know_who_broke_off_too() {
    for filter in FILTERS {
        let line = format!("{filter} | inspect-frames -f json");
        let run = pipe(&line).input(broken_off(100)).run();
        run.expect(&[3, 3]).expect_stderr(1, "sim-src broke off");
        assert_eq!(run.json()["sessions"][0]["broke_off"], "sim-src");
        assert_eq!(run.json()["sessions"][0]["streams"][0]["samples"], 100);
    }
}

#[test]
fn an_input_without_records_is_a_loss() {
    for tool in readers().filter(|tool| !tool.contains("-q")) {
        pipe(tool).run().expect(&[3]).expect_stderr(0, "no records came");
    }
}

#[test]
fn an_input_that_is_no_stream_is_a_failure() {
    for tool in readers() {
        let run = pipe(tool).input("hello, world\n".repeat(10)).run();
        run.expect(&[1]).expect_stderr(0, "not the output of a framepipe tool");
    }
}

#[test]
fn the_first_signal_stops_the_source_and_the_rest_drains() {
    for filter in FILTERS {
        let line =
            format!("sim-src glove --rate 1000 | {filter} | inspect-frames -f json");
        let mut started = pipe(&line).start();
        started.until_ready(0).until_ready(1).until_ready(2);
        started.after(Duration::from_millis(400)).signal_all(Signal::TERM);
        let run = started.wait();
        run.expect(&[0, 0, 0]).expect_silence();
        let session = &run.json()["sessions"][0];
        assert_eq!(session["end"], "signal", "{filter}");
        // END's totals were compared with what came, or the code would be 3.
        assert!(session["streams"][0]["samples"].as_u64() > Some(100), "{filter}");
    }
}

#[test]
fn the_first_signal_stops_a_device() {
    for device in DEVICES {
        for signal in [Signal::TERM, Signal::INT] {
            let mut started = pipe(device).start();
            started.until_stdout(|text| text.ends_with(b"\n")).signal(0, signal);
            started.wait().expect(&[0]).expect_silence();
        }
    }
}

#[test]
fn sinks_drain_after_a_signal() {
    for sink in SINKS {
        let mut started = pipe(&format!("sim-src --rate 1000 | {sink}")).start();
        started.until_ready(0).until_ready(1).signal(1, Signal::TERM);
        started.after(Duration::from_millis(200));
        assert!(started.is_running(1), "{sink} must not stop before its input does");
        started.signal(0, Signal::TERM);
        started.wait().expect(&[0, 0]);
    }
}

#[test]
fn the_second_signal_is_deadly() {
    let term = Signal::TERM.as_raw();
    for tool in readers() {
        let mut started = pipe(tool).input_left_open(broken_off(10)).start();
        started.until_ready(0).signal(0, Signal::TERM);
        started.after(Duration::from_millis(100));
        assert!(started.is_running(0), "{tool} must outlive the first signal");
        started.signal(0, Signal::TERM);
        started.wait().expect(&[-term]);
    }
}

#[test]
fn a_source_that_cannot_write_dies_of_the_second_signal() {
    for source in SOURCES {
        let line = source.replace("--rate 1000", "--rate max");
        let mut started = pipe(&format!("{line} --queue 64KiB --status 50ms")).start();
        // Nobody reads: the pipe is full, then the queue.
        started.until_stderr(0, "queued 64.0 KiB, ").signal(0, Signal::TERM);
        started.after(Duration::from_millis(200));
        assert!(started.is_running(0), "{source} has records to flush");
        // It must not need a reader for that, so only then does one begin.
        started.signal(0, Signal::TERM);
        started.wait().expect(&[-Signal::TERM.as_raw()]);
    }
}

#[test]
fn a_source_stops_while_its_device_is_silent() {
    for source in SOURCES {
        let line = source.replace("--rate 1000", "--rate 0.001");
        let began = Clock::system().now();
        let mut started = pipe(&format!("{line} --fault burst=2")).start();
        started.until_ready(0).signal(0, Signal::TERM);
        let run = started.wait();
        run.expect(&[0]);
        assert_eq!(run.payloads::<End>()[0].reason, "signal");
        assert!(Clock::system().now() - began < 10 * SECOND, "{source} must wake");
    }
}

#[test]
fn sigusr1_prints_a_status_line() {
    for tool in readers() {
        let mut started = pipe(tool).input_left_open(broken_off(100)).start();
        started.until_ready(0).signal(0, Signal::USR1);
        started.until_stderr(0, &format!("{}: ", name(tool))).close_stdin();
        started.wait().expect(&[3]).expect_stderr(0, "samples, ");
    }
    for source in SOURCES {
        let mut started = pipe(source).start();
        started.read_stdout().until_ready(0).signal(0, Signal::USR1);
        started.until_stderr(0, " samples, ").signal(0, Signal::TERM);
        started.wait().expect(&[0]);
    }
    for device in DEVICES {
        let mut started = pipe(device).start();
        started.until_stdout(|text| text.ends_with(b"\n")).signal(0, Signal::USR1);
        started.until_stderr(0, " samples, ").signal(0, Signal::TERM);
        started.wait().expect(&[0]);
    }
}

#[test]
fn a_stage_that_is_stuck_in_a_write_still_answers() {
    // Nobody reads, so the filter hangs in write(2) once the pipe is full.
    let line = "sim-src glove --rate max | pick-frames";
    let mut started = pipe(line).start();
    started.after(Duration::from_millis(500)).signal(1, Signal::USR1);
    started.until_stderr(1, "pick-frames: ").close_stdout();
    started.wait().expect(&[0, 0]);
}

#[test]
fn a_reader_that_goes_away_is_not_an_error() {
    for filter in FILTERS {
        let mut started =
            pipe(&format!("sim-src -n 1000000 --rate max | {filter}")).start();
        started.after(Duration::from_millis(200)).close_stdout();
        started.wait().expect(&[0, 0]).expect_silence();
    }
    // to-text writes as it goes.
    let mut started = pipe("sim-src -n 1000000 --rate max | to-text").start();
    started.after(Duration::from_millis(200)).close_stdout();
    started.wait().expect(&[0, 0]).expect_silence();
}

#[test]
fn a_capture_that_was_to_run_on_says_that_its_reader_is_gone() {
    for source in SOURCES {
        let mut started = pipe(source).start();
        started.until_ready(0).close_stdout();
        started.wait().expect(&[0]).expect_stderr(0, "the reader of stdout went away");
    }
}

#[test]
fn an_own_failure_names_tool_and_thing() {
    for tool in all().filter(|tool| !SILENT.contains(tool)) {
        let tool = if name(tool) == "sim-src" { "sim-src -n 5 --rate max" } else { tool };
        let full = File::options().write(true).open("/dev/full").unwrap();
        let run = pipe(tool).input(recording(10)).output_fd(full).run();
        run.expect(&[1]).expect_stderr(0, &format!("{}: ", name(tool)));
        run.expect_stderr(0, "No space left on device");
    }
}

#[test]
fn damage_is_told_although_the_reader_is_gone() {
    let mut bytes = recording(10_000);
    bytes[2000] ^= 1;
    for filter in FILTERS {
        let mut started = pipe(filter).input_left_open(&bytes[..]).start();
        started.close_stdout();
        started.wait().expect(&[3]);
    }
}

#[test]
fn a_missing_file_is_named() {
    let good = std::env::temp_dir().join(format!("good-{}", std::process::id()));
    std::fs::write(&good, recording(3)).unwrap();
    // It is found before the others are read.
    let run = pipe(&format!("inspect-frames {} /no/such.frames", good.display())).run();
    assert!(run.expect(&[1]).stdout.is_empty());
    std::fs::remove_file(good).unwrap();
    for tool in ["inspect-frames", "jitter-report", "to-text", "repair-frames"] {
        let run = pipe(&format!("{tool} /no/such.frames")).run();
        run.expect(&[1])
            .expect_stderr(0, &format!("{tool}: /no/such.frames: No such file"));
    }
}

#[test]
fn bad_arguments_exit_with_2() {
    for tool in every().map(command) {
        for wrong in ["--nonsense", "--duration soon", "--max-loss 2", "--meta novalue"] {
            let run = pipe(&format!("{tool} {wrong}")).run();
            run.expect(&[2]);
            assert!(!run.stderrs[0].is_empty());
        }
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for tool in every() {
        let (tool, command) = (name(tool), command(tool));
        let help = pipe(&format!("{command} --help")).run();
        assert!(help.expect(&[0]).text().contains("Common options"), "{command}");
        let help = pipe(&format!("{tool} --help")).run();
        assert!(help.expect(&[0]).text().contains("Common options"), "{tool}");
        let version = pipe(&format!("{tool} --version")).run();
        assert!(version.expect(&[0]).text().starts_with(tool));
    }
}

#[test]
fn lost_samples_exit_with_3_and_are_counted() {
    for tool in readers().filter(|tool| !tool.contains("-q")) {
        let run = pipe(tool).input(with_a_hole()).run();
        run.expect(&[3]).expect_stderr(0, "1 of 100 samples lost");
        run.expect_stderr(0, "sine: 1 lost, gaps: 1, reason: upstream");
    }
}

#[test]
fn max_loss_allows_some() {
    for tool in readers() {
        // Nobody owns up to it, which no share makes good; the others only pass it on.
        let unexplained = if TELLERS.contains(&name(tool)) { 3 } else { 0 };
        let run = pipe(&format!("{tool} --max-loss 1%")).input(with_a_hole()).run();
        run.expect(&[unexplained]);
        pipe(&format!("{tool} --max-loss 0.9%")).input(with_a_hole()).run().expect(&[3]);
        // However much may be lost, a stream without END is not a finished one.
        pipe(&format!("{tool} --max-loss 100%")).input(broken_off(5)).run().expect(&[3]);
    }
    let desk = Scratch::new();
    let file = desk.file("x.frames");
    std::fs::write(&file, with_a_hole()).unwrap();
    for (share, code) in [("1%", 0), ("0.9%", 3)] {
        let line = format!("replay --speed max --max-loss {share} {file}");
        pipe(&line).run().expect(&[code]);
    }
    pipe("sim-src -n 100 --rate max --fault gap=5%").run().expect(&[3]);
    pipe("sim-src -n 100 --rate max --fault gap=5% --max-loss 50%").run().expect(&[0]);
}

#[test]
fn a_loss_is_told_downstream_once() {
    for filter in FILTERS {
        let line = format!("{filter} | {filter} | {filter}");
        let run = pipe(&line).input(with_a_hole()).run();
        run.expect(&[3, 3, 3]);
        let gaps = run.payloads::<Gap>();
        assert_eq!(gaps.len(), 1, "{}", run.everything());
        assert_eq!((gaps[0].first, gaps[0].count), (49, Some(1)));
        assert_eq!(
            (gaps[0].reason, gaps[0].stage.as_str()),
            (Reason::Upstream, name(filter))
        );
    }
}

/// A terminal: the side that a person would sit at, and the side for a program.
fn terminal() -> (std::os::fd::OwnedFd, File) {
    let person = pty::openpt(pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY).unwrap();
    pty::grantpt(&person).unwrap();
    pty::unlockpt(&person).unwrap();
    let path = pty::ptsname(&person, Vec::new()).unwrap();
    // A test run that leads a session without a terminal would get this one as its own,
    // and die when the person leaves.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let program = rustix::fs::open(path.to_str().unwrap(), flags, Mode::empty()).unwrap();
    (person, program.into())
}

#[test]
fn a_terminal_for_records_is_refused_with_a_hint() {
    for tool in FILTERS.iter().filter(|tool| name(tool) != "fan-out").chain(SOURCES) {
        let (_person, program) = terminal();
        let run = pipe(tool).input(recording(3)).output_fd(program).run();
        run.expect(&[2]).expect_stderr(0, "stdout is a terminal; pipe it");
    }
    for tool in readers() {
        let (_person, program) = terminal();
        let run = pipe(tool).input_fd(program.into()).run();
        run.expect(&[2]).expect_stderr(0, "stdin is a terminal; give me records");
    }
    for device in DEVICES {
        let (_person, program) = terminal();
        pipe(&format!("{device} -n 5 -q")).output_fd(program).run().expect(&[0]);
    }
}

#[test]
fn the_last_stage_draws_a_live_line_on_a_terminal() {
    let draws = |stdout: Stdio| {
        let (person, program) = terminal();
        let mut source = Command::new(binary("sim-src"));
        let mut child = source.stdout(stdout).stderr(program).spawn().unwrap();
        let mut drawn = Vec::new();
        let mut chunk = [0; 4096];
        // A second of nothing, or the end, is the end.
        while drawn.len() < 400 && has_more(&person) {
            let n = rustix::io::read(&person, &mut chunk).unwrap_or(0);
            drawn.extend_from_slice(&chunk[..n]);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        String::from_utf8_lossy(&drawn).into_owned()
    };
    let last = draws(Stdio::null());
    assert!(last.contains("sim-src: ") && last.contains(" samples, "), "{last:?}");
    assert!(last.contains('●'), "{last:?}");
    assert_eq!(draws(Stdio::piped()), "", "another stage has the line");
}

fn has_more(terminal: &std::os::fd::OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let second = Timespec { tv_sec: 1, tv_nsec: 500_000_000 };
    let mut fds = [PollFd::new(terminal, PollFlags::IN)];
    poll(&mut fds, Some(&second)).is_ok_and(|n| n > 0)
}

#[test]
fn count_stops_every_tool_after_exactly_so_many_samples() {
    for source in SOURCES {
        let run = pipe(&format!("{source} --count 25")).run();
        assert_eq!(run.expect(&[0]).samples(), 25);
        assert_eq!(run.payloads::<End>()[0].reason, "count");
    }
    for filter in FILTERS {
        let run = pipe(&format!("{filter} --count 25")).input(recording(100)).run();
        assert_eq!(run.expect(&[0]).samples(), 25, "{filter}");
        assert_eq!(run.payloads::<End>()[0].reason, "count");
    }
    for filter in FILTERS {
        // The input's own end must not be what stops it.
        let line = format!("{filter} --count 25");
        let mut started = pipe(&line).input_left_open(broken_off(100)).start();
        started.read_stdout();
        let run = started.wait();
        assert_eq!(run.expect(&[0]).samples(), 25, "{filter}");
        assert_eq!(run.payloads::<End>()[0].reason, "count");
    }
    let run = pipe("to-text -k data --count 25").input(recording(100)).run();
    assert_eq!(run.expect(&[0]).text().lines().count(), 25);
}

#[test]
fn count_cuts_a_batch() {
    let run =
        pipe("sim-src -n 100 --rate max | batch-frames -n 30 | pick-frames -n 50").run();
    assert_eq!(run.expect(&[0, 0, 0]).samples(), 50);
}

#[test]
fn duration_stops_every_tool() {
    for tool in all() {
        let began = Clock::system().now();
        let line = format!("{tool} --duration 300ms");
        let mut started = pipe(&line).input_left_open(broken_off(10)).start();
        started.read_stdout();
        let run = started.wait();
        run.expect(&[0]);
        assert!(Clock::system().now() - began < 20 * SECOND, "{tool}");
    }
}

#[test]
fn idle_stops_every_stage() {
    for tool in stages() {
        let tool = tool.replace("--rate 1000", "--rate 0.001 --fault burst=2");
        let line = format!("{tool} --idle 300ms");
        let mut started = pipe(&line).input_left_open(broken_off(10)).start();
        started.read_stdout();
        started.wait().expect(&[0]);
    }
}

#[test]
fn every_stage_adds_itself_to_the_session_with_what_it_was_given_to_say() {
    let line = "sim-src -n 3 --rate max --meta subject=7 | batch-frames -n 2 --name joiner \
                | pick-frames --meta operator=me";
    let run = pipe(line).run();
    let session = &run.expect(&[0, 0, 0]).payloads::<Session>()[0];
    let names: Vec<_> = session.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["sim-src", "joiner", "pick-frames"]);
    assert_eq!(session.stages[2].command[1..], ["--meta", "operator=me"]);
    assert_eq!(session.meta["subject"], "7");
    assert_eq!(session.meta["operator"], "me");
}

#[test]
fn every_stage_reports_each_second_and_at_the_end() {
    let run =
        pipe("sim-src --rate 200 --duration 2500ms | pick-frames | batch-frames -n 9")
            .run();
    let stats = run.expect(&[0, 0, 0]).payloads::<Stats>();
    for (index, stage) in (0..).zip(["sim-src", "pick-frames", "batch-frames"]) {
        let own: Vec<_> = stats.iter().filter(|stats| stats.stage == stage).collect();
        assert!((3..=5).contains(&own.len()), "{stage}: {}", own.len());
        assert!(own.iter().all(|stats| stats.index == index));
        let samples: u64 = own.iter().map(|stats| stats.output.samples).sum();
        // What batch-frames holds goes out after its last report.
        assert!(samples == run.samples() || index == 2, "{stage}: {samples}");
        let hops: u64 = own.iter().flat_map(|stats| &stats.hop).map(|(_, n)| n).sum();
        assert!(samples > 400 && hops > 40, "{stage}: {samples} {hops}");
        assert!(own.iter().all(|stats| stats.rss > 0 && stats.cpu > 0));
    }
}

#[test]
fn who_has_a_queue_says_how_much_may_wait_in_it() {
    let line = "sim-src -n 20 --queue 1MiB | queue-frames --queue 3MiB | pick-frames \
                | fan-out --queue 2MiB --must cat --may 'cat > /dev/null'";
    let stats = pipe(line).run().expect(&[0; 4]).payloads::<Stats>();
    let limit = |stage: &str| {
        let of_stage = stats.iter().find(|stats| stats.stage == stage);
        of_stage.unwrap_or_else(|| panic!("{stage}")).queue_limit
    };
    assert_eq!(limit("sim-src"), Some(1 << 20));
    assert_eq!(limit("queue-frames"), Some(3 << 20));
    assert_eq!(limit("pick-frames"), None);
}

#[test]
fn nothing_is_sent_before_it_was_captured() {
    for filter in FILTERS {
        // Slow enough that each sample is waited for.
        let run = pipe(&format!("sim-src --rate 50 -n 20 | {filter}")).run();
        let records = run.expect(&[0, 0]).of_kind(&[Kind::DATA, Kind::BATCH]);
        let early = records.iter().filter(|(header, _)| header.sent < header.time);
        assert_eq!(early.count(), 0, "{filter}");
    }
}

#[test]
fn streams_are_announced_again_each_second_so_that_late_readers_can_begin() {
    let run =
        pipe("sim-src glove --rate 200 --duration 2500ms | batch-frames -n 10").run();
    let announced = run.expect(&[0, 0]).of_kind(&[Kind::STREAM]);
    assert!((3..=4).contains(&announced.len()), "{}", announced.len());
    let late =
        pipe("inspect-frames -f json").input(&run.stdout[run.stdout.len() / 2..]).run();
    let report = late.expect(&[0]).json();
    assert_eq!(report["sessions"][0]["streams"][0]["name"], "glove");
    assert!(report["input"]["late_bytes"].as_u64() > Some(0));
}

#[test]
fn recordings_joined_by_cat_are_a_stream() {
    let both = [recording(10), recording(20)].concat();
    for filter in keepers() {
        let line = format!("{filter} | inspect-frames -f json");
        let run = pipe(&line).input(both.clone()).run();
        run.expect(&[0, 0]).expect_silence();
        let sessions = run.json()["sessions"].clone();
        let samples = |at: usize| sessions[at]["streams"][0]["samples"].as_u64();
        assert_eq!((samples(0), samples(1)), (Some(10), Some(20)));
    }
}

#[test]
fn status_is_text_or_json_at_an_interval() {
    for tool in readers() {
        let status = |format: &str| -> Pipe {
            let options =
                format!("--status 100ms --status-format {format} --duration 500ms");
            pipe(&format!("{tool} {options}")).input_left_open(broken_off(10))
        };
        let run = status("text").run();
        run.expect_stderr(0, " samples, ");
        assert!(run.stderrs[0].lines().count() >= 3, "{}", run.everything());
        let run = status("json").run();
        let line = run.stderrs[0].lines().next().unwrap_or_default();
        let status: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(status["name"], name(tool));
        assert_eq!(status["in"]["samples"], 10);
    }
}

#[test]
fn status_tells_samples_and_rate_of_what_the_stage_is_for() {
    for sink in SINKS {
        let line = format!("{sink} --status 50ms");
        let mut started = pipe(&line).input_left_open(broken_off(10)).start();
        // Sinks write no records; what they took in is what people want to see.
        started.until_stderr(0, &format!("{}: 10 samples, ", name(sink))).close_stdin();
        started.wait().expect(&[3]);
    }
    let line = "sim-src --rate 1000 --duration 1s --status 100ms --status-format json";
    let run = pipe(line).run();
    let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let all: Vec<_> = run.expect(&[0]).stderrs[0].lines().map(parse).collect();
    let (mut before, mut by_rate) = (0.0, 0.0);
    for status in &all {
        let elapsed = status["elapsed"].as_f64().unwrap();
        by_rate += (elapsed - before) * status["rate"].as_f64().unwrap();
        before = elapsed;
    }
    let samples = all.last().unwrap()["out"]["samples"].as_f64().unwrap();
    assert!(
        samples > 0.0 && (by_rate / samples - 1.0).abs() < 0.05,
        "{by_rate} {samples}"
    );
}

#[test]
fn quiet_stages_say_nothing_of_losses_and_still_exit_with_3() {
    for tool in readers() {
        let tool = tool.trim_end_matches(" -q");
        let run = pipe(&format!("{tool} --quiet")).input(with_a_hole()).run();
        run.expect(&[3]).expect_silence();
    }
    pipe("sim-src -n 100 --rate max --fault gap=5% -q")
        .run()
        .expect(&[3])
        .expect_silence();
}

#[test]
fn completions_and_man_pages_come_from_the_tool() {
    for tool in every().map(name) {
        for (what, sign) in [
            ("man", ".TH"),
            ("bash", "complete"),
            ("zsh", "#compdef"),
            ("fish", "complete -c"),
        ] {
            let run = pipe(&format!("{tool} --generate {what}")).run();
            assert!(run.expect(&[0]).text().contains(sign), "{tool} {what}");
        }
    }
}

#[test]
fn kinds_that_a_tool_does_not_know_pass_untouched_unless_they_must_not() {
    use libframe::wire::{FLAG_MUST_KNOW, Header, Record};
    let whole = recording(3);
    let session = u32::from_le_bytes(whole[12..16].try_into().unwrap());
    let strange = |flags| {
        let kind = Kind(99);
        let header = Header { kind, flags, stream: 1, session, seq: 5, time: 6, sent: 7 };
        let end = whole.windows(5).rposition(|b| b == b"\xD5FP1\x09").unwrap();
        let mut bytes = whole[..end].to_vec();
        Record::new(header, b"strange").encode(&mut bytes);
        [&bytes, &whole[end..]].concat()
    };
    for filter in keepers() {
        let run = pipe(filter).input(strange(0)).run();
        let passed = run.expect(&[0]).of_kind(&[Kind(99)]);
        assert_eq!(passed.len(), 1, "{filter}");
        let (Header { flags, stream, session: tag, seq, time, .. }, payload) = &passed[0];
        let own = *filter == CLIPPER;
        assert!(own || *tag == session, "{filter}");
        assert_eq!((*flags, *stream, *seq, *time), (0, 1, 5, 6), "{filter}");
        assert_eq!(payload, b"strange");
    }
    for tool in readers() {
        let run = pipe(tool).input(strange(FLAG_MUST_KNOW)).run();
        run.expect(&[1]).expect_stderr(0, "kind 99 must not be passed on");
    }
}
