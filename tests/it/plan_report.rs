//! `plan-report`: what it says of a pipeline is what happens when it is started, and what is
//! missing is named before.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

use framepipe_tests::{Run, Scratch, binary, pipe, tools};
use serde_json::Value;

use crate::contract::tables::every;

/// The report on a pipeline, asked for in a folder, with the tools on the path.
struct Asked {
    output: Output,
}

impl Asked {
    fn of(pipeline: &str, options: &[&str], desk: &Scratch) -> Asked {
        let tools = binary("sim-src");
        let tools = tools.parent().unwrap();
        let path = format!("{}:{}:/usr/bin:/bin", desk.0.display(), tools.display());
        let mut report = Command::new(binary("plan-report"));
        report.args(options).arg(pipeline).current_dir(&desk.0).env("PATH", path);
        Asked { output: report.stdin(Stdio::null()).output().unwrap() }
    }

    fn json(pipeline: &str, desk: &Scratch) -> Value {
        let asked = Asked::of(pipeline, &["-f", "json"], desk);
        serde_json::from_slice(&asked.output.stdout)
            .unwrap_or_else(|err| panic!("{err}: {asked}"))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    #[track_caller]
    fn expect(&self, code: i32, part: &str) -> &Asked {
        assert_eq!(self.output.status.code(), Some(code), "{self}");
        assert!(self.text().contains(part), "no {part:?} in {self}");
        self
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n{}", self.text(), String::from_utf8_lossy(&self.output.stderr))
    }
}

/// Bytes a second of all streams that leave a stage, from `tool --plan | tool --plan`.
fn bytes_per_second(report: &Value, stage: usize) -> f64 {
    report["pipelines"][0][stage]["files"][0]["bytes_per_second"].as_f64().unwrap()
}

#[test]
fn bytes_in_the_pipe_are_as_foretold() {
    let desk = Scratch::new();
    for line in [
        "sim-src glove",
        "sim-src glove control sine:channels=8,rate=500",
        "sim-src camera:size=320x240",
        "sim-src ephys:rate=5000",
        "sim-src glove | batch-frames -n 50",
        "sim-src glove control | pick-frames -s glove --every 2",
        "sim-src glove | calibrate-frames --map left --unit kPa",
    ] {
        let report = Asked::json(&format!("{line} > x.frames"), &desk);
        let stages = report["pipelines"][0].as_array().unwrap().len();
        let foretold = bytes_per_second(&report, stages - 1) * 4.0;
        let run = pipe(&line.replace("sim-src", "sim-src --duration 4s")).run();
        let share = run.stdout.len() as f64 / foretold;
        // SESSION and STATS are not counted.
        assert!((0.9..1.15).contains(&share), "{line}: {share} of {foretold}");
    }
}

#[test]
fn the_disk_takes_no_more_than_foretold() {
    let desk = Scratch::new();
    for (compress, least) in [("none", 0.85), ("deflate:1", 0.1)] {
        let line = format!("sim-src glove | to-h5 --compress {compress}");
        let report = Asked::json(&format!("{line} x.h5"), &desk);
        let disk = &report["pipelines"][0][1]["plan"]["disk"];
        let factor = disk["factor"].as_f64().unwrap();
        let foretold = disk["bytes_per_second"].as_f64().unwrap() * factor * 184.0;
        let file = desk.file(&format!("{least}.h5"));
        let line = line.replace("sim-src glove", "sim-src glove -n 39928 --rate max");
        pipe(&format!("{line} {file}")).run().expect(&[0, 0]);
        let share = fs::metadata(file).unwrap().len() as f64 / foretold;
        assert!((least..1.05).contains(&share), "{compress}: {share} of {foretold}");
        // One hour is 3600 of these, and the whole disk so many hours.
        let total = &report["totals"]["disks"][0];
        let hour = total["bytes_per_hour"].as_f64().unwrap();
        assert!((hour / (foretold / 184.0 * 3600.0) - 1.0).abs() < 1e-9);
        let (lasts, free) = (&total["lasts_seconds"], &total["free"]);
        let lasts = lasts.as_f64().unwrap() / 3600.0 * hour;
        assert!((lasts / free.as_f64().unwrap() - 1.0).abs() < 1e-9);
    }
}

#[test]
fn no_stage_takes_more_memory_than_foretold() {
    let desk = Scratch::new();
    let line = "sim-src glove sine:channels=4096 --rate max --queue 32MiB -n 6000 \
                | batch-frames -n 5000 | pick-frames --every 2 | to-h5 {new}/x.h5";
    let report = Asked::json(&line.replace("{new}/", ""), &desk);
    let run = pipe(line).run();
    let stages = report["pipelines"][0].as_array().unwrap();
    for (stage, peak) in stages.iter().zip(&run.expect(&[0; 4]).peaks) {
        let most = stage["plan"]["memory"].as_u64().unwrap();
        assert!(*peak > 0 && *peak < most, "{}: {peak} of {most}", stage["command"]);
    }
    let sum: u64 = stages.iter().map(|s| s["plan"]["memory"].as_u64().unwrap()).sum();
    assert_eq!(report["totals"]["memory"], sum);
    // A queue that is larger is more memory, whoever has it.
    let more = Asked::json(&line.replace("32MiB", "64MiB").replace("{new}/", ""), &desk);
    assert_eq!(more["totals"]["memory"], sum + (64 << 20));
}

#[test]
fn what_is_missing_is_named_and_the_exit_status_is_1() {
    let desk = Scratch::new();
    fs::write(desk.0.join("there.h5"), "").unwrap();
    fs::write(desk.0.join("page.html"), "my page").unwrap();
    for (line, what) in [
        (
            "capture-glove ./no-such | to-text",
            "device ./no-such: no such file or directory",
        ),
        (
            "sim-src | no-such-tool",
            "program no-such-tool: is not installed, or not on PATH",
        ),
        ("sim-src | to-h5 there.h5", "new file there.h5: is there already"),
        ("sim-src | to-h5 no/such/x.h5", "folder no/such: no such file or directory"),
        ("sim-src gloves | to-text", "streams are glove, camera"),
        ("sim-src | pick-frames --evry 2", "unexpected argument '--evry'"),
        ("replay none.frames | to-text", "file none.frames: no such file or directory"),
        ("to-text < none.frames", "file none.frames: no such file or directory"),
        (
            "sim-src | tee no/such/y | to-text",
            "folder no/such: no such file or directory",
        ),
        ("sim-src | jitter-report --html page.html", "no report of jitter-report"),
        (
            "sim-src | tee >(to-h5 there.h5) | to-text",
            "new file there.h5: is there already",
        ),
        ("sim-src | calibrate-frames --map none.toml --gain 2", "none.toml"),
        ("true; sim-src | nobody", "program nobody"),
    ] {
        let asked = Asked::of(line, &[], &desk);
        asked.expect(1, what).expect(1, "MISSING: ");
        let stderr = String::from_utf8_lossy(&asked.output.stderr);
        assert!(
            stderr.starts_with("plan-report: ") && stderr.contains("missing"),
            "{stderr}"
        );
    }
    Asked::of("sim-src | to-h5 --force there.h5", &[], &desk).expect(0, "ready: nothing");
    assert_eq!(Asked::of("sim-src '", &[], &desk).output.status.code(), Some(2));
}

#[test]
fn a_library_that_is_not_there_is_named() {
    let desk = Scratch::new();
    let mut program = fs::read(binary("to-h5")).unwrap();
    let name = b"libhdf5";
    let at = program.windows(name.len()).position(|bytes| bytes == name).unwrap();
    program[at..at + name.len()].copy_from_slice(b"libnone");
    let path = desk.0.join("to-h5");
    fs::write(&path, program).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let asked = Asked::of("sim-src | to-h5 x.h5", &[], &desk);
    asked.expect(1, "MISSING: to-h5: to start: ").expect(1, "libnone");
}

#[test]
fn a_disk_that_is_too_small_is_missing_room() {
    let desk = Scratch::new();
    // Nothing is free there.
    let asked = Asked::of("sim-src | to-h5 /proc/x.h5", &[], &desk);
    asked.expect(1, "MISSING: room for /proc/x.h5: ");
    let asked = Asked::of("sim-src | to-h5 x.h5 --min-free 1000TiB", &[], &desk);
    asked.expect(1, "MISSING: room for x.h5: ");
    let asked = Asked::of("sim-src --duration 876000h | tee y | to-h5 x.h5", &[], &desk);
    let never = Asked::of("sim-src --duration 1s | tee y | to-h5 x.h5", &[], &desk);
    never.expect(0, "ready: ");
    asked.expect(1, "MISSING: room for y, x.h5: ").expect(1, "NOT ENOUGH");
}

#[test]
fn nothing_is_started_and_nothing_is_written() {
    let desk = Scratch::new();
    let other = desk.0.join("other");
    fs::write(&other, "#!/bin/sh\ntouch started\n").unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
    let line = "sim-src glove | other --plan | to-h5 x.h5 > y; sim-src | repair-frames \
                --report r.ndjson | tee z >(other) | jitter-report --html p.html";
    Asked::of(line, &[], &desk).expect(0, "no framepipe tool");
    assert_eq!(desk.names(), ["other"]);
}

#[test]
fn stages_are_told_as_a_tree_with_what_each_sends() {
    let desk = Scratch::new();
    let line = "sim-src glove control --duration 1h --queue 1MiB --overflow drop-oldest \
                | tee >(pick-frames -s glove | to-text > /dev/null) | to-h5 'my %Y.h5'";
    let asked = Asked::of(line, &[], &desk);
    for part in [
        "sim-src glove control --duration 1h",
        "drops the oldest records, told as gaps",
        "glove: 217/s of 272 B",
        "    = output\n      pick-frames -s glove\n",
        "          glove: 217/s of 272 B",
        "to-h5 'my %Y.h5'",
        "ends after 60 min",
        "the stage before waits",
        "ready: nothing is missing",
    ] {
        asked.expect(0, part);
    }
    let report = Asked::json(line, &desk);
    let tee = &report["pipelines"][0][1];
    assert_eq!(tee["branches"][0]["stages"].as_array().unwrap().len(), 2);
    assert_eq!(tee["out"].as_array().unwrap().len(), 2);
}

#[test]
fn what_no_tool_knows_the_user_may_say() {
    let desk = Scratch::new();
    fs::write(desk.0.join("x.frames"), pipe("sim-src -n 3").run().stdout).unwrap();
    let line = "replay x.frames | to-h5 x.h5";
    Asked::of(line, &[], &desk).expect(0, "which streams leave it is not known");
    Asked::of(line, &[], &desk).expect(0, "how long that lasts is not known");
    let told = Asked::of(line, &["--rate", "glove=217:272B"], &desk);
    // 217 × (272 + 24) bytes, half of it after compression.
    told.expect(0, "writes x.h5: 116 MB/h").expect(0, "lasts ");
    let line = "sim-src glove | to-h5 x.h5";
    Asked::of(line, &["--rate", "glove=434"], &desk).expect(0, "writes x.h5: 231 MB/h");
}

/// The plans of a pipe of tools, each asked by itself.
fn plans(run: &Run) -> Vec<Value> {
    run.json().as_array().unwrap().clone()
}

#[test]
fn every_tool_tells_its_plan_and_plans_go_through_a_pipe() {
    for tool in every() {
        let (name, args) = tool.split_once(' ').unwrap_or((tool, ""));
        let args = match name {
            "capture-glove" => "auto",
            "zmq-src" => "tcp://127.0.0.1:5556",
            _ => args,
        };
        let run = pipe(&format!("{name} --plan {args}")).run();
        // What is missing, such as a glove, is in the plan.
        assert!([0, 1].contains(&run.codes()[0]), "{}", run.everything());
        run.expect_silence();
        let plan = &plans(&run)[0];
        assert_eq!(plan["tool"], name);
        assert!(plan["memory"].as_u64() > Some(1 << 20) && plan["about"] != "", "{plan}");
    }
    let line = "sim-src glove sine --plan | pick-frames -s glove --plan | to-text --plan";
    let all = plans(pipe(line).run().expect(&[0, 0, 0]));
    let names: Vec<_> = all.iter().map(|plan| plan["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["sim-src", "pick-frames", "to-text"]);
    let streams = |plan: &Value, key: &str| plan[key].as_array().unwrap().len();
    assert_eq!((streams(&all[0], "out"), streams(&all[2], "in")), (2, 1));
}

#[test]
fn every_tool_is_known_by_its_mark() {
    for tool in tools() {
        let program = fs::read(binary(&tool)).unwrap();
        let mark = libframe::tool::PLAN_MARK.as_bytes();
        assert!(program.windows(mark.len()).any(|bytes| bytes == mark), "{tool}");
    }
}
