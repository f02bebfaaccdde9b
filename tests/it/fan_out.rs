//! `fan-out`

mod ends;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use framepipe_tests::{Event, Pipe, Run, Started, binary, count_kind, decode, pipe};
use libframe::clock::Clock;
use libframe::payload::{End, Gap, Payload as _, Reason, Session, Stats};
use libframe::wire::{Header, Kind};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// A pipeline whose branches find the tools.
fn fan(line: &str) -> Pipe {
    let bin = binary("fan-out");
    let path = format!("{}:/usr/bin:/bin", bin.parent().unwrap().display());
    pipe(line).env("PATH", &path)
}

/// What a branch wrote to a file.
struct Branch(Vec<(Header, Vec<u8>)>);

impl Branch {
    fn of(run: &Run, file: &str) -> Branch {
        let path = run.scratch.as_ref().unwrap().0.join(file);
        let bytes = fs::read(&path).unwrap_or_else(|err| panic!("{file}: {err}"));
        Branch::of_bytes(&bytes)
    }

    /// Records that are whole; a branch that was killed may have a part of one more.
    fn of_bytes(bytes: &[u8]) -> Branch {
        let records = decode(bytes).into_iter().filter_map(|event| match event {
            Event::Record(header, payload) => Some((header, payload)),
            Event::Damage(_) => None,
        });
        Branch(records.collect())
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &(Header, Vec<u8>)> {
        self.0.iter().filter(move |(header, _)| header.kind == kind)
    }

    fn payloads<P: libframe::payload::Payload>(&self) -> Vec<P> {
        let payload = |(_, bytes): &(Header, Vec<u8>)| P::from_bytes(bytes).unwrap();
        self.of_kind(P::KIND).map(payload).collect()
    }

    fn received(&self) -> Vec<u64> {
        self.of_kind(Kind::DATA).map(|(header, _)| header.seq).collect()
    }

    fn missing(&self) -> u64 {
        self.payloads::<Gap>().iter().filter_map(|gap| gap.count).sum()
    }

    /// Asserts that what came and what it was told to miss are these samples, each once and
    /// in order.
    #[track_caller]
    fn expect_all(&self, all: std::ops::Range<u64>) -> &Branch {
        let mut next = all.start;
        for (header, payload) in &self.0 {
            let (first, count) = match header.kind {
                Kind::DATA => (header.seq, 1),
                Kind::GAP => {
                    let gap = Gap::from_bytes(payload).unwrap();
                    (gap.first, gap.count.unwrap_or(0))
                }
                _ => continue,
            };
            assert_eq!(first, next, "{:?}", header.kind);
            next += count;
        }
        assert_eq!(next, all.end);
        self
    }

    #[track_caller]
    fn expect_end(&self, reason: &str) -> &Branch {
        let ends = self.payloads::<End>();
        assert_eq!(ends.len(), 1);
        assert_eq!(ends[0].reason, reason);
        self
    }
}

/// Waits until a file of the pipeline's folder satisfies a condition.
fn until(folder: &Path, file: &str, holds: impl Fn(&[u8]) -> bool) {
    for _ in 0..3000 {
        if fs::read(folder.join(file)).is_ok_and(|bytes| holds(&bytes)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{file} never was as expected");
}

fn has_end(bytes: &[u8]) -> bool {
    count_kind(bytes, Kind::END) > 0
}

/// The process whose number is in a file.
fn pid_in(folder: &Path, file: &str) -> Pid {
    until(folder, file, |text| text.ends_with(b"\n"));
    let text = fs::read_to_string(folder.join(file)).unwrap();
    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

fn is_alive(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid()));
    test_kill_process(pid).is_ok() && !status.unwrap_or_default().contains("State:\tZ")
}

fn folder(started: &Started) -> std::path::PathBuf {
    started.scratch().0.clone()
}

#[test]
fn all_branches_and_stdout_get_the_very_same_records() {
    let line = "sim-src glove sine -n 300 --rate max | batch-frames -n 7 \
                | fan-out --must 'cat > {new}/a' --may 'cat > {new}/b' --may 'cat > {new}/c'";
    let run = fan(line).run();
    run.expect(&[0, 0, 0]).expect_silence();
    let own = |kind: Kind| kind != Kind::STATS;
    let records = |branch: Branch| -> Vec<_> {
        branch.0.into_iter().filter(|(header, _)| own(header.kind)).collect()
    };
    let out = records(Branch::of_bytes(&run.stdout));
    assert!(out.len() > 80 && out.last().unwrap().0.kind == Kind::END);
    for file in ["a", "b", "c"] {
        let mut branch = records(Branch::of(&run, file));
        // `sent` was stamped once for all; END is each branch's own.
        branch.last_mut().unwrap().0.sent = out.last().unwrap().0.sent;
        assert!(branch == out, "{file}");
    }
    let session = &run.payloads::<Session>()[0];
    let stages: Vec<_> = session.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(stages, ["sim-src", "batch-frames", "fan-out"]);
}

#[test]
fn records_are_stamped_when_they_are_passed_on() {
    let recording = pipe("sim-src -n 50 --rate max").run().stdout;
    let began = Clock::system().now();
    let run = fan("fan-out --must 'cat > {new}/a'").input(recording).run();
    let records = Branch::of(run.expect(&[0]), "a").0;
    assert!(records.iter().all(|(header, _)| header.sent > began));
    assert!(records.iter().any(|(header, _)| header.time < began));
}

#[test]
fn every_branch_is_reported_in_every_branch() {
    let line = "sim-src -n 300 --rate 200 | fan-out --name tee --must 'rec=cat > {new}/a' \
                --may 'cat > {new}/b'";
    let run = fan(line).run();
    run.expect(&[0, 0]);
    for file in ["a", "b"] {
        let mut sums = BTreeMap::<_, (u64, u64)>::new();
        for stats in Branch::of(&run, file).payloads::<Stats>() {
            assert_eq!(stats.index, u32::from(stats.stage != "sim-src"));
            let sum = sums.entry(stats.stage.clone()).or_default();
            *sum = (sum.0 + stats.input.samples, sum.1 + stats.dropped);
        }
        for stage in ["tee", "tee:rec", "tee:cat", "tee:stdout"] {
            let (samples, dropped) = sums[stage];
            assert!((150..=300).contains(&samples), "{file}: {stage} {samples}");
            assert_eq!(dropped, 0);
        }
    }
}

/// Lets a branch stand still until 20000 samples have gone by, then go on to its end.
fn overrun(options: &str) -> Run {
    let line = format!(
        "sim-src glove -n 20000 --rate max | fan-out --queue 1MiB --grace 40s {options} \
         --must 'cat > {{new}}/a' --may 'slow=while [ -d {{new}} -a ! -e {{new}}/go ]; \
         do sleep 0.02; done; cat > {{new}}/b'"
    );
    let mut started = fan(&line).start();
    let folder = folder(&started);
    started.read_stdout();
    until(&folder, "a", has_end);
    fs::write(folder.join("go"), "").unwrap();
    started.wait()
}

#[test]
fn a_branch_that_falls_behind_is_told_what_it_missed_and_holds_up_nobody() {
    for (drop, keeps) in [("oldest", 19_999), ("newest", 5)] {
        let run = overrun(&format!("--drop {drop}"));
        run.expect(&[0, 0]);
        assert_eq!(Branch::of(&run, "a").expect_all(0..20_000).missing(), 0);
        assert_eq!(Branch::of_bytes(&run.stdout).missing(), 0);
        let slow = Branch::of(&run, "b");
        slow.expect_all(0..20_000).expect_end("count");
        let received = slow.received();
        assert!(received.contains(&keeps), "{drop}");
        assert!((3000..6000).contains(&received.len()), "{drop}: {}", received.len());
        for gap in slow.payloads::<Gap>() {
            assert_eq!((gap.reason, gap.stage.as_str()), (Reason::Queue, "fan-out:slow"));
        }
        let missing = slow.missing();
        let totals = slow.payloads::<End>()[0].streams[0];
        assert_eq!((totals.samples, totals.lost), (received.len() as u64, missing));
        run.expect_stderr(1, &format!("slow (may): {} samples", received.len()));
        run.expect_stderr(1, &format!(" {missing} dropped, "));

        // In its own stream its drops are losses; in the others they are not, but can be
        // told from what went in and out.
        let of_slow = |branch: Branch| -> Vec<Stats> {
            let all = branch.payloads::<Stats>().into_iter();
            all.filter(|stats| stats.stage == "fan-out:slow").collect()
        };
        let dropped: u64 = of_slow(slow).iter().map(|stats| stats.dropped).sum();
        assert_eq!(dropped, missing);
        let told = of_slow(Branch::of(&run, "a"));
        assert!(told.iter().all(|stats| stats.dropped == 0));
    }
}

#[test]
fn readers_of_a_branch_that_fell_behind_agree_with_its_gaps() {
    let run = overrun("--drop oldest");
    for (file, code) in [("a", 0), ("b", 3)] {
        let path = run.scratch.as_ref().unwrap().file(file);
        let report = pipe(&format!("inspect-frames -f json {path}")).run();
        let stream = &report.expect(&[code]).json()["sessions"][0]["streams"][0];
        let sum = [&stream["samples"], &stream["lost"]].map(|n| n.as_u64().unwrap());
        assert_eq!(sum[0] + sum[1], 20_000);
        assert_eq!(sum[1] > 0, file == "b");
    }
}

#[test]
fn announcements_and_events_outlive_the_samples_around_them() {
    // Each session's description is new to the branch, and its END is there too.
    let one =
        pipe("sim-src glove control -n 3000 --rate max --fault gap=1%").run().stdout;
    let two = pipe("sim-src sine -n 9000 --rate max").run().stdout;
    let line = "fan-out --queue 100kB --grace 40s --must 'cat > {new}/a' \
                --may 'while [ -d {new} -a ! -e {new}/go ]; do sleep 0.02; done; cat > {new}/b'";
    let mut started = fan(line).input([one, two].concat()).start();
    let folder = folder(&started);
    started.read_stdout();
    until(&folder, "a", |bytes| count_kind(bytes, Kind::END) == 2);
    fs::write(folder.join("go"), "").unwrap();
    let run = started.wait();
    let (all, slow) = (Branch::of(&run, "a"), Branch::of(&run, "b"));
    let ends = slow.payloads::<End>();
    assert_eq!(ends.len(), 2);
    for (own, all) in ends.iter().zip(all.payloads::<End>()) {
        for (own, all) in own.streams.iter().zip(&all.streams) {
            assert_eq!(own.samples + own.lost, all.samples + all.lost);
            assert_eq!((own.stream, own.next), (all.stream, all.next));
        }
    }
    for kind in [Kind::SESSION, Kind::STREAM, Kind::CLOCK] {
        let distinct = |branch: &Branch| {
            let payloads =
                branch.of_kind(kind).map(|(header, p)| (header.session, p.clone()));
            payloads.collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(distinct(&slow), distinct(&all), "{kind:?}");
    }
}

#[test]
fn a_must_branch_is_waited_for_and_loses_nothing() {
    let line = "sim-src glove -n 150000 --rate max | fan-out --queue 1MiB \
                --must 'slow=sleep 1; cat > {new}/a' --may 'cat > {new}/b'";
    let run = fan(line).run();
    run.expect(&[0, 0]);
    assert_eq!(Branch::of(&run, "a").expect_all(0..150_000).missing(), 0);
    Branch::of(&run, "b").expect_all(0..150_000).expect_end("count");
    assert!(run.peaks[1] < 24 << 20, "{} KiB", run.peaks[1] / 1024);
}

#[test]
fn a_branch_that_is_stopped_takes_no_more_memory_than_its_queue_and_is_killed_at_last() {
    // 64 MB go by. What is left behind must also not grow by records without samples.
    let line = "sim-src glove -n 200000 --rate max --fault gap=1% \
                | fan-out --queue 2MiB --grace 500ms --must 'cat > {new}/a' \
                --may 'stuck=echo $$ > {new}/pid; exec cat > {new}/b'";
    let started = fan(line).start();
    let folder = folder(&started);
    let pid = pid_in(&folder, "pid");
    kill_process(pid, Signal::STOP).unwrap();
    let run = started.wait();
    run.expect(&[3, 3]);
    run.expect_stderr(1, "stuck: not finished 0.5 s after the end; killed");
    run.expect_stderr(1, "killed by SIGKILL");
    assert!(run.peaks[1] < 16 << 20, "{} KiB", run.peaks[1] / 1024);
    assert!(!is_alive(pid));
    Branch::of(&run, "a").expect_all(0..200_000).expect_end("count");
}

#[test]
fn one_that_was_stopped_for_a_while_goes_on_and_knows_what_it_missed() {
    let line = "sim-src glove -n 40000 --rate 10000 | fan-out --queue 256KiB --grace 40s \
                --must 'cat > {new}/a' --may 'echo $$ > {new}/pid; exec cat > {new}/b'";
    let mut started = fan(line).start();
    let folder = folder(&started);
    let pid = pid_in(&folder, "pid");
    kill_process(pid, Signal::STOP).unwrap();
    started.read_stdout();
    until(&folder, "a", |bytes| bytes.len() > 25_000 * 320);
    kill_process(pid, Signal::CONT).unwrap();
    let run = started.wait();
    run.expect(&[0, 0]);
    assert_eq!(Branch::of(&run, "a").expect_all(0..40_000).missing(), 0);
    let slow = Branch::of(&run, "b");
    let missing = slow.expect_all(0..40_000).expect_end("count").missing();
    assert!(missing > 10_000, "{missing}");
}
