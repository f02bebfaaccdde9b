//! How branches end, and what becomes of the run then.

use std::time::Duration;

use libframe::clock::{Clock, SECOND};
use libframe::payload::{End, Gap, Session};
use libframe::schema::Stream;
use libframe::wire::Kind;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Signal, kill_process};

use super::{Branch, fan, folder, has_end, is_alive, pid_in, until};

#[test]
fn the_failure_of_a_must_branch_ends_the_run_and_names_it() {
    for (command, why) in [
        ("bad=head -c 20000 > {new}/b; exit 5", "must branch bad: exit status 5"),
        ("bad=sleep 0.3; kill -9 $$", "must branch bad: killed by SIGKILL"),
        ("bad=exec <&-; sleep 0.3; exit 7", "must branch bad: exit status 7"),
        ("no-such-tool --x", "must branch no-such-tool: exit status 127"),
    ] {
        let line = format!(
            "sim-src glove --rate 500 | fan-out --must 'cat > {{new}}/a' --must '{command}' \
             --may 'cat > {{new}}/c'"
        );
        let run = fan(&line).run();
        // The source is told by its closed pipe, and the others come to their end.
        run.expect(&[0, 1]).expect_stderr(1, &format!("fan-out: {why}\n"));
        run.expect_stderr(0, "the reader of stdout went away");
        for file in ["a", "c"] {
            let branch = Branch::of(&run, file);
            let n = branch.expect_end("failure").received().len() as u64;
            branch.expect_all(0..n);
        }
        assert_eq!(run.payloads::<End>()[0].reason, "failure");
    }
}

#[test]
fn a_failure_is_noticed_while_the_input_is_silent() {
    let line = "sim-src --rate 0.001 --fault burst=2 \
                | fan-out --must 'cat > {new}/a' --must 'sleep 0.3; exit 1'";
    let began = Clock::system().now();
    fan(line).run().expect(&[0, 1]);
    assert!(Clock::system().now() - began < 15 * SECOND);
}

#[test]
fn a_failure_is_noticed_while_another_branch_is_stuck() {
    let line = "sim-src glove --rate max | fan-out --queue 256KiB \
                --must 'echo $$ > {new}/pid; exec cat > {new}/a' \
                --must 'bad=exec 3<&0; cat <&3 > /dev/null & \
                while [ -d {new} -a ! -e {new}/go ]; do sleep 0.02; done; exit 1'";
    let mut started = fan(line).start();
    let folder = folder(&started);
    let pid = pid_in(&folder, "pid");
    kill_process(pid, Signal::STOP).unwrap();
    started.read_stdout().after(Duration::from_millis(500));
    std::fs::write(folder.join("go"), "").unwrap();
    // The stuck branch still has to finish, but the source need not wait for it.
    let looks =
        (0..1000).take_while(|_| started.after(Duration::from_millis(20)).is_running(0));
    assert!(looks.count() < 1000, "the source was not told");
    assert!(started.is_running(1));
    kill_process(pid, Signal::CONT).unwrap();
    let run = started.wait();
    run.expect(&[0, 1]);
    for branch in [Branch::of(&run, "a"), Branch::of_bytes(&run.stdout)] {
        let n = branch.expect_end("failure").received().len() as u64;
        branch.expect_all(0..n);
    }
}

#[test]
fn the_exit_status_is_that_of_the_worst_must_branch() {
    for (branches, code) in [
        ("--must 'cat > /dev/null' --may 'cat > /dev/null; exit 1'", 0),
        ("--must 'cat > /dev/null; exit 3' --must 'cat > /dev/null'", 3),
        ("--must 'cat > /dev/null; exit 3' --must 'cat > /dev/null; exit 2'", 1),
        ("--may 'cat > /dev/null; exit 3'", 0),
    ] {
        let line = format!("sim-src -n 500 --rate max | fan-out {branches}");
        let run = fan(&line).run();
        run.expect(&[0, code]);
        if branches.contains("--must 'cat > /dev/null; exit 3'") {
            run.expect_stderr(1, "fan-out: cat (must): 500 samples delivered, 0 dropped");
            run.expect_stderr(1, "exit status 3");
        }
    }
}

#[test]
fn a_must_branch_that_has_enough_leaves_the_others_alone() {
    let line = "sim-src -n 400 --rate 1000 \
                | fan-out --must 'to-text -n 5 -k data > {new}/five' --must 'cat > {new}/a'";
    let run = fan(line).run();
    run.expect(&[0, 0]).expect_silence();
    assert_eq!(Branch::of(&run, "a").expect_all(0..400).missing(), 0);
    assert_eq!(run.samples(), 400);
    let five =
        std::fs::read_to_string(run.scratch.as_ref().unwrap().file("five")).unwrap();
    assert_eq!(five.lines().count(), 5);
}

#[test]
fn when_the_last_must_branch_has_enough_the_run_is_over() {
    let null = || std::fs::File::options().write(true).open("/dev/null").unwrap();
    let line = "sim-src --rate 1000 | fan-out --must 'to-text -n 50 > {new}/text' \
                --may 'cat > {new}/b'";
    let run = fan(line).output_fd(null()).run();
    run.expect(&[0, 0]);
    assert!(run.stderrs[1].is_empty());
    let branch = Branch::of(&run, "b");
    assert!(branch.expect_end("done").received().len() >= 50);
}

#[test]
fn a_reader_of_stdout_that_goes_leaves_the_branches_alone() {
    let line = "sim-src glove -n 3000 --rate 5000 | fan-out --must 'cat > {new}/a'";
    let mut started = fan(line).start();
    started.after(Duration::from_millis(100)).close_stdout();
    let run = started.wait();
    run.expect(&[0, 0]).expect_silence();
    assert_eq!(Branch::of(&run, "a").expect_all(0..3000).missing(), 0);
    // But with nothing else to do than to amuse a screen, it is the end.
    let line = "sim-src glove --rate 5000 | fan-out --may 'cat > {new}/a'";
    let mut started = fan(line).start();
    started.after(Duration::from_millis(100)).close_stdout();
    let run = started.wait();
    run.expect(&[0, 0]);
    Branch::of(&run, "a").expect_end("done");
}

#[test]
fn a_branch_that_dies_starts_again_and_goes_on_where_it_was() {
    // 1000 bytes are not the end of a record, so the one that was cut must come again.
    let line = "sim-src glove sine -n 400 --rate 400 | fan-out --must 'cat > {new}/a' \
                --may 'case $FAN_OUT_START in 1) dd bs=1000 count=1 iflag=fullblock \
                status=none > {new}/1; kill -9 $$;; 2) dd bs=1001 count=50 \
                iflag=fullblock status=none > {new}/2; exit 9;; *) cat > {new}/3;; esac'";
    let run = fan(line).run();
    run.expect(&[0, 0]);
    run.expect_stderr(1, "case: killed by SIGKILL; starts again in 0.1 s");
    run.expect_stderr(
        1,
        "case (may): 800 samples delivered, 0 dropped, 2 restarts, done",
    );
    let starts = ["1", "2", "3"].map(|file| Branch::of(&run, file));
    for stream in [1, 2] {
        let seqs = |start: &Branch| -> Vec<u64> {
            let data = start.of_kind(Kind::DATA).map(|(header, _)| header);
            data.filter(|h| h.stream == stream).map(|h| h.seq).collect()
        };
        let all: Vec<u64> = starts.iter().flat_map(seqs).collect();
        assert_eq!(all, (0..400).collect::<Vec<_>>(), "stream {stream}");
    }
    for start in &starts[1..] {
        let mut kinds: Vec<_> = start.0.iter().take(4).map(|(h, _)| h.kind).collect();
        assert_eq!(kinds[0], Kind::SESSION);
        kinds.sort();
        assert_eq!(kinds, [Kind::SESSION, Kind::STREAM, Kind::STREAM, Kind::CLOCK]);
        assert_eq!(start.payloads::<Gap>().len(), 0);
        assert!(start.payloads::<Stream>().iter().any(|stream| stream.name == "glove"));
        assert_eq!(start.payloads::<Session>()[0].stages.len(), 2);
    }
    // Its reader joins late and is told nothing false.
    let path = run.scratch.as_ref().unwrap().file("3");
    let report = super::pipe(&format!("inspect-frames -f json {path}")).run();
    assert_eq!(report.expect(&[0]).json()["sessions"][0]["streams"][0]["lost"], 0);
}

#[test]
fn what_lay_unread_in_the_pipe_of_a_dead_branch_comes_again() {
    for (samples, rate) in [(300, 300), (4000, 5000)] {
        let line = format!(
            "sim-src glove -n {samples} --rate {rate} | fan-out --must 'cat > {{new}}/a' \
             --may 'if [ $FAN_OUT_START = 1 ]; then sleep 0.4; kill -9 $$; fi; \
             cat > {{new}}/b'"
        );
        let run = fan(&line).run();
        run.expect(&[0, 0]);
        let branch = Branch::of(&run, "b");
        assert_eq!(branch.expect_all(0..samples).expect_end("count").missing(), 0);
    }
}

#[test]
fn a_death_after_the_last_record_was_written_loses_none_that_was_not_read() {
    let line = "sim-src glove -n 100 --rate max | fan-out --must 'cat > {new}/a' \
                --may 'if [ $FAN_OUT_START = 1 ]; then dd bs=5000 count=1 iflag=fullblock \
                status=none > {new}/1; sleep 0.7; kill -9 $$; fi; cat > {new}/2'";
    let run = fan(line).run();
    run.expect(&[0, 0]);
    let first = Branch::of(&run, "1").received().len() as u64;
    let second = Branch::of(&run, "2");
    assert_eq!(second.expect_all(first..100).expect_end("count").missing(), 0);
}

#[test]
fn one_that_starts_again_is_told_what_did_not_fit_meanwhile() {
    let line = "sim-src glove -n 30000 --rate 20000 | fan-out --queue 128KiB --grace 40s \
                --must 'cat > {new}/a' --may 'if [ $FAN_OUT_START = 1 ]; then \
                dd bs=3000 count=9 iflag=fullblock status=none > {new}/1; sleep 0.7; \
                kill -9 $$; fi; cat > {new}/2'";
    let run = fan(line).run();
    run.expect(&[0, 0]);
    assert_eq!(Branch::of(&run, "a").expect_all(0..30_000).missing(), 0);
    let first = Branch::of(&run, "1").received().len() as u64;
    let second = Branch::of(&run, "2");
    assert!(first > 50);
    assert!(second.expect_all(first..30_000).expect_end("count").missing() > 3000);
    let path = run.scratch.as_ref().unwrap().file("2");
    let report = super::pipe(&format!("inspect-frames -f json {path}")).run();
    let lost = report.expect(&[3]).json()["sessions"][0]["streams"][0]["lost"].clone();
    assert_eq!(lost, second.missing());
}

#[test]
fn restarts_have_a_limit_and_are_not_for_what_is_hopeless() {
    for (options, branch, starts) in [
        ("--restart 2", "echo x >> {new}/starts; exit 9", 3),
        ("--restart 0", "echo x >> {new}/starts; exit 9", 1),
        ("", "echo x >> {new}/starts; no-such-tool", 1),
        ("", "echo x >> {new}/starts; to-text -n many", 1),
        // They have what they want.
        ("", "echo x >> {new}/starts; exit 0", 1),
        ("", "echo x >> {new}/starts; exit 3", 1),
    ] {
        let line = format!(
            "sim-src -n 300 --rate 200 | fan-out {options} --must 'cat > {{new}}/a' \
             --may '{branch}'"
        );
        let run = fan(&line).run();
        run.expect(&[0, 0]);
        assert_eq!(Branch::of(&run, "a").received().len(), 300);
        let path = run.scratch.as_ref().unwrap().file("starts");
        assert_eq!(
            std::fs::read_to_string(path).unwrap().lines().count(),
            starts,
            "{line}"
        );
    }
}

#[test]
fn a_signal_to_all_stages_lets_them_finish() {
    let line = "sim-src glove --rate 1000 | fan-out \
                --must 'echo $$ > {new}/pid; exec batch-frames -n 7 > {new}/a' \
                --may 'cat > {new}/b'";
    let mut started = fan(line).start();
    let folder = folder(&started);
    let pid = pid_in(&folder, "pid");
    started.until_ready(0).until_ready(1).after(Duration::from_millis(400));
    // As a terminal does: to the branches too.
    kill_process(pid, Signal::TERM).unwrap();
    started.signal_all(Signal::TERM);
    let run = started.wait();
    run.expect(&[0, 0]).expect_silence();
    let out = Branch::of_bytes(&run.stdout);
    let n = out.expect_end("signal").received().len() as u64;
    assert!(n > 100);
    Branch::of(&run, "b").expect_all(0..n).expect_end("signal");
    Branch::of(&run, "a").expect_end("signal");
}

#[test]
fn one_that_dies_of_the_signal_is_not_started_again() {
    let line = "sim-src glove --rate 1000 | fan-out --must 'cat > {new}/a' \
                --may 'echo $$ >> {new}/pid; exec sleep 60'";
    let mut started = fan(line).start();
    let folder = folder(&started);
    let pid = pid_in(&folder, "pid");
    started.until_ready(0).until_ready(1).after(Duration::from_millis(200));
    started.signal(1, Signal::TERM);
    kill_process(pid, Signal::TERM).unwrap();
    started.after(Duration::from_millis(400)).signal(0, Signal::TERM);
    let run = started.wait();
    run.expect(&[0, 0]).expect_stderr(1, "killed by SIGTERM");
    let starts =
        std::fs::read_to_string(run.scratch.as_ref().unwrap().file("pid")).unwrap();
    assert_eq!(starts.lines().count(), 1);
}

#[test]
fn who_does_not_finish_is_killed_with_all_that_it_started() {
    let line = "sim-src -n 20 --rate max | fan-out --grace 300ms --must 'cat > {new}/a' \
                --may 'hung=sleep 600 | (echo $$ > {new}/outer; exec sleep 601)' \
                --may 'deaf=trap \"\" TERM; sleep 602 & echo $! > {new}/inner; wait'";
    let mut started = fan(line).start();
    let folder = folder(&started);
    let pids = ["outer", "inner"].map(|file| pid_in(&folder, file));
    started.read_stdout();
    let began = Clock::system().now();
    let run = started.wait();
    run.expect(&[0, 0]);
    assert!(Clock::system().now() - began < 20 * SECOND);
    run.expect_stderr(1, "hung: not finished 0.3 s after the end; killed");
    run.expect_stderr(1, "deaf: not finished 0.3 s after the end; killed");
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
}

#[test]
fn one_that_is_merely_slow_at_the_end_is_told_the_rest_as_a_gap() {
    let line = "sim-src glove -n 5000 --rate max | fan-out --grace 8s --must 'cat > {new}/a' \
                --may 'sleep 5.5; cat > {new}/b'";
    let run = fan(line).run();
    run.expect(&[0, 0]).expect_stderr(1, " dropped, 0 restarts, done\n");
    let slow = Branch::of(&run, "b");
    let missing = slow.expect_all(0..5000).expect_end("count").missing();
    assert!(missing > 4000, "{missing}");
}

#[test]
fn a_pipeline_that_lost_its_shell_and_does_not_read_holds_up_nobody() {
    let line = "sim-src glove --rate max \
                | fan-out --must 'echo $$ > {new}/shell; sleep 600 | cat > {new}/a'";
    let mut started = fan(line).start();
    let folder = folder(&started);
    let shell = pid_in(&folder, "shell");
    // Its pipe is full by then.
    started.read_stdout().after(Duration::from_millis(300));
    kill_process(shell, Signal::KILL).unwrap();
    started.wait().expect(&[0, 1]).expect_stderr(1, "killed by SIGKILL");
}

#[test]
fn what_a_killed_shell_leaves_behind_ends_too() {
    let line = "sim-src glove --rate 1000 | fan-out --grace 1s --restart 0 \
                --must 'cat > {new}/a' \
                --may 'echo $$ > {new}/shell; sh -c \"echo \\$\\$ > {new}/left; cat; \
                exec sleep 600\" | cat > {new}/b'";
    let mut started = fan(line).start();
    let folder = folder(&started);
    let [shell, left] = ["shell", "left"].map(|file| pid_in(&folder, file));
    until(&folder, "b", |bytes| bytes.len() > 1000);
    kill_process(shell, Signal::KILL).unwrap();
    started.read_stdout().after(Duration::from_millis(300)).signal(0, Signal::TERM);
    let run = started.wait();
    run.expect(&[0, 0]).expect_stderr(1, "killed by SIGKILL");
    assert!(!is_alive(left), "a process was left behind");
}

#[test]
fn branches_end_when_the_fan_out_itself_is_killed() {
    let line = "sim-src glove --rate 1000 | fan-out \
                --must 'echo $$ > {new}/pid; exec pick-frames > {new}/a'";
    let mut started = fan(line).start();
    let folder = folder(&started);
    let pid = pid_in(&folder, "pid");
    until(&folder, "a", |bytes| bytes.len() > 10_000);
    started.read_stdout().signal(1, Signal::KILL);
    started.wait().expect(&[0, -Signal::KILL.as_raw()]);
    let looks = (0..3000).take_while(|_| {
        std::thread::sleep(Duration::from_millis(10));
        is_alive(pid)
    });
    assert!(looks.count() < 3000, "a branch was left behind");
}

#[test]
fn input_that_breaks_off_is_told_to_all() {
    let whole = super::pipe("sim-src -n 100 --rate max").run().stdout;
    let end = whole.windows(5).rposition(|b| b == b"\xD5FP1\x09").unwrap();
    let line = "fan-out --must 'inspect-frames -f json > {new}/a'";
    let run = fan(line).input(&whole[..end]).run();
    run.expect(&[3]).expect_stderr(0, "sim-src broke off: its output stops without END");
    let path = run.scratch.as_ref().unwrap().file("a");
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(report["sessions"][0]["broke_off"], "sim-src");
}

#[test]
fn stdout_is_for_records_unless_nobody_would_read_them() {
    // A terminal is no place for records, and no mistake either: branches may draw there.
    let person = rustix::pty::openpt(
        rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY,
    );
    let person = person.unwrap();
    rustix::pty::grantpt(&person).unwrap();
    rustix::pty::unlockpt(&person).unwrap();
    let path = rustix::pty::ptsname(&person, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let program = rustix::fs::open(path.to_str().unwrap(), flags, Mode::empty()).unwrap();
    let line = "sim-src -n 5 --rate max | fan-out --may 'echo hello; cat > {new}/b'";
    let run = fan(line).output_fd(program).run();
    run.expect(&[0, 0]);
    let mut drawn = [0; 100];
    let n = rustix::io::read(&person, &mut drawn).unwrap();
    assert_eq!(&drawn[..n], b"hello\r\n");
    // Nor is the socket that systemd gives its services.
    let (journal, service) = std::os::unix::net::UnixStream::pair().unwrap();
    fan(line).output_fd(service).run().expect(&[0, 0]);
    let mut printed = [0; 100];
    let n = rustix::io::read(&journal, &mut printed).unwrap();
    assert_eq!(&printed[..n], b"hello\n");
    // Elsewhere it carries records only, so what a branch prints goes to stderr.
    let run = fan(line).run();
    assert_eq!(run.expect(&[0, 0]).samples(), 5);
    assert_eq!(run.stderrs[1], "hello\n");
    until(&run.scratch.as_ref().unwrap().0, "b", has_end);
}

#[test]
fn a_status_line_tells_of_each_branch() {
    let line = "sim-src --rate 1000 | fan-out --status 50ms --status-format json \
                --may 'slow=sleep 1' --may 'quick=cat > {new}/b'";
    let mut started = fan(line).start();
    started.read_stdout().after(Duration::from_millis(500)).signal(0, Signal::TERM);
    let run = started.wait();
    run.expect(&[0, 0]);
    let first = run.stderrs[1].lines().next().unwrap();
    let status: serde_json::Value = serde_json::from_str(first).unwrap();
    assert_eq!(status["parts"][0]["name"], "slow");
    assert_eq!(status["parts"][2]["name"], "stdout");
    assert_eq!(status["parts"][1]["lost"], 0);
}

#[test]
fn what_cannot_be_carried_out_is_said_at_once() {
    for wrong in ["", "--may cat --restart many", "--may cat --drop none", "--must"] {
        fan(&format!("fan-out {wrong}")).run().expect(&[2]);
    }
}
