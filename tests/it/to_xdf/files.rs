//! Names, rotation, full disks and mistakes.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use framepipe_tests::{Scratch, binary, pipe};
use libframe::payload::{End, Session};

use super::{Found, pyxdf};
use crate::full_disk::Small;
use crate::to_h5::Frames;

/// Frames that our reader finds; each must be what was sent, and follow the last.
#[track_caller]
pub(super) fn frames(found: &Found, first: u64) -> u64 {
    let mut next = first;
    for (_, time, values) in
        found.samples.iter().filter(|(.., values)| values.len() == 544)
    {
        let words = values.as_chunks::<2>().0.iter().map(|w| i16::from_le_bytes(*w));
        let wanted = (0..272).map(|at| i16::from(((next * 31 + at * 7) >> 2) as u8));
        assert!(words.eq(wanted), "frame {next}");
        assert_eq!(*time, Some((next * 1_000_000) as f64 / 1e9), "frame {next}");
        next += 1;
    }
    next
}

#[test]
fn no_file_is_overwritten_and_force_does() {
    let folder = Scratch::new();
    let file = folder.file("a.xdf");
    std::fs::write(&file, "mine").unwrap();
    let bytes = [Frames { next: 0 }.begin(), Frames { next: 0 }.end()].concat();
    let run = pipe(&format!("to-xdf {file}")).input(&bytes[..]).run();
    run.expect(&[1]).expect_stderr(0, "a.xdf: exists already; --force writes over it");
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    pipe(&format!("to-xdf --force {file}")).input(bytes).run().expect(&[0]);
    assert!(std::fs::read(&file).unwrap().starts_with(b"XDF:"));
}

#[test]
fn a_file_that_is_being_written_is_left_alone() {
    let folder = Scratch::new();
    let file = folder.file("a.xdf");
    let mut started = pipe(&format!("sim-src --rate 1000 | to-xdf {file}")).start();
    started.until_ready(1);
    while !std::path::Path::new(&file).exists() {
        sleep(Duration::from_millis(5));
    }
    let run = pipe(&format!("sim-src -n 5 | to-xdf --force {file}")).run();
    run.expect_stderr(1, "another process writes it");
    pipe(&format!("repair-frames {file}")).run().expect(&[1]).expect_stderr(0, "in use");
    started.signal(0, rustix::process::Signal::TERM);
    started.wait().expect(&[0, 0]);
    assert_eq!(Found::in_file(&file).damage, []);
}

#[test]
fn files_that_follow_one_another_have_every_frame_once() {
    let folder = Scratch::new();
    let file = folder.file("a.xdf");
    let mut frames_sent = Frames { next: 0 };
    let mut command = Command::new(binary("to-xdf"));
    command.args([&file, "--rotate", "300ms", "--flush", "50ms"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&frames_sent.begin()).unwrap();
    for _ in 0..60 {
        stdin.write_all(&frames_sent.some(50)).unwrap();
        sleep(Duration::from_millis(20));
    }
    stdin.write_all(&frames_sent.end()).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
    let names = folder.names();
    assert!(names.len() >= 3 && names[0] == "a-001.xdf", "{names:?}");
    let mut next = 0;
    for name in [&names[names.len() - 1..], &names[..names.len() - 1]].concat() {
        let found = Found::in_file(folder.file(&name));
        next = frames(&found, next);
        assert_eq!(found.payloads::<Session>().len(), 1, "{name}");
        assert_eq!(found.payloads::<End>().len(), 1, "{name}");
        assert_eq!((found.footers >= 2, found.damage.len()), (true, 0), "{name}");
    }
    assert_eq!(next, frames_sent.next);
}

#[test]
fn a_file_is_followed_when_it_is_long_enough() {
    let folder = Scratch::new();
    let line = format!(
        "sim-src glove -n 6000 --rate 4000 | to-xdf {} --rotate 512KiB",
        folder.file("a.xdf")
    );
    pipe(&line).run().expect(&[0, 0]).expect_silence();
    let names = folder.names();
    assert!(names.len() > 3, "{names:?}");
    for name in names {
        let size = std::fs::metadata(folder.file(&name)).unwrap().len();
        assert!(size < 1 << 20, "{name}: {size}");
    }
}

#[test]
fn each_clip_has_a_file() {
    let folder = Scratch::new();
    let line =
        "sim-src glove --event hit/1s --duration 3s | clip-frames --on hit --pre 100ms";
    let template = folder.file("clip_%03c.xdf");
    let run = pipe(&format!("{line} --post 100ms | to-xdf {template}")).run();
    run.expect(&[0, 0, 0]).expect_silence();
    assert!(folder.names().len() >= 2, "{:?}", folder.names());
    for name in folder.names() {
        let found = Found::in_file(folder.file(&name));
        assert!(found.samples.len() > 10 && found.footers >= 2, "{name}");
    }
    let run = pipe(&format!("sim-src -n 5 | to-xdf {template}")).run();
    run.expect(&[0, 2]).expect_stderr(1, "this session is no clip");
}

#[test]
fn mistakes_are_told_with_their_remedy() {
    let folder = Scratch::new();
    let file = folder.file("a.xdf");
    let run = pipe(&format!("to-xdf {file} --min-free 1PiB")).input("").run();
    run.expect(&[1]).expect_stderr(0, "--min-free is");
    assert!(folder.names().is_empty());
    let run = pipe(&format!("to-xdf {}", folder.0.display())).input("").run();
    run.expect(&[2]).expect_stderr(0, "a folder; give me the name of a file");
    let run = pipe(&format!("to-xdf {file} --rotate often")).input("").run();
    run.expect(&[2]).expect_stderr(0, "say 1h, 30m, 10GiB");
    let run = pipe(&format!("to-xdf {}", folder.file("no/such/a.xdf"))).input("").run();
    run.expect(&[1]).expect_stderr(0, "No such file or directory");
    std::fs::write(&file, b"\x1F\x8B\x08 compressed").unwrap();
    let run = pipe(&format!("repair-frames {file}")).run();
    run.expect(&[1]).expect_stderr(0, "gunzip -c");
    std::fs::write(&file, b"something else altogether").unwrap();
    let run = pipe(&format!("repair-frames {file}")).run();
    run.expect(&[1]).expect_stderr(0, "no XDF file");
    assert_eq!(std::fs::read(&file).unwrap(), b"something else altogether");
}

#[test]
fn a_full_disk_stops_the_recorder_and_takes_nothing_back() {
    let folder = Scratch::new();
    let Some(small) = Small::mount(&folder, 24) else { return };
    let file = folder.file("a.xdf");
    let mut command = Command::new(binary("to-xdf"));
    // What is read ahead was not accepted.
    command.args([&file, "--queue", "256KiB"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut sent = Frames { next: 0 };
    stdin.write_all(&sent.begin()).unwrap();
    let mut whole = 0;
    while stdin.write_all(&sent.some(100)).is_ok() {
        whole = sent.next;
    }
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let part =
        "a.xdf: recording stopped, and what was accepted is in the file: no space left";
    assert!(stderr.contains(part), "{stderr}");
    let found = Found::in_file(&file);
    assert_eq!(found.damage, []);
    assert_eq!(found.footers, 3, "frames, events and records");
    let next = frames(&found, 0);
    // What a pipe holds, and what was being read, was never accepted.
    let ahead = 2 * (256 << 10) + (128 << 10);
    let in_pipe = ((64 << 10) + ahead) / 320 + 101;
    assert!(next >= whole.saturating_sub(in_pipe), "{next} of {whole}");
    eprintln!("disk full: {next} of {} frames that were sent are there", sent.next);
    if let Some(found) = pyxdf("walk", &file) {
        assert_eq!(found["counts"]["frames"], next);
    }
    drop(small);
}
