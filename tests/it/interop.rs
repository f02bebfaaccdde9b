//! The second implementation, in Python, agrees with the first: it reads every golden
//! vector, and what it writes is accepted.

use std::process::{Command, Output};

use framepipe_tests::{pipe, root};

/// Runs a Python program with numpy, or says loudly that it could not.
fn python(script: &str, args: &[&str]) -> Option<Output> {
    let python = root().join(".venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: no .venv with numpy; run scripts/setup");
        return None;
    }
    let mut command = Command::new(python);
    command.arg(root().join(script)).args(args).current_dir(root());
    Some(command.output().unwrap())
}

#[track_caller]
fn expect(output: &Output, code: i32) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(code), "{stdout}\n{stderr}");
    stdout
}

#[test]
fn python_reads_every_vector() {
    let Some(output) = python("tests/python/vectors.py", &["."]) else { return };
    let text = expect(&output, 0);
    let n: u64 = text.split_whitespace().next().unwrap().parse().unwrap();
    assert!(n >= 30, "{text}");
}

#[test]
fn what_python_writes_is_accepted() {
    let Some(output) = python("tests/python/write.py", &[]) else { return };
    expect(&output, 0);
    let run =
        pipe("batch-frames -n 7 | inspect-frames -f json").input(output.stdout).run();
    run.expect(&[0, 0]).expect_silence();
    let session = &run.json()["sessions"][0];
    assert_eq!(session["streams"].as_array().unwrap().len(), 2);
    assert!(session["events"].as_u64() > Some(0));
}

#[test]
fn a_gap_that_python_writes_is_a_loss() {
    let Some(output) = python("tests/python/write.py", &["--gap"]) else { return };
    expect(&output, 0);
    pipe("inspect-frames").input(output.stdout).run().expect(&[3]);
}

#[test]
fn python_reads_what_the_tools_write() {
    let path =
        std::env::temp_dir().join(format!("framepipe-py-{}.frames", std::process::id()));
    let line =
        "sim-src glove camera:size=32x32 control -n 300 --rate max | batch-frames -n 9";
    std::fs::write(&path, pipe(line).run().expect(&[0, 0]).stdout.clone()).unwrap();
    let file = path.display().to_string();
    if let Some(output) = python("examples/python/framepipe.py", &[&file]) {
        let text = expect(&output, 0);
        for name in ["glove", "camera", "control"] {
            let line = text.lines().find(|line| line.contains(name)).unwrap();
            assert!(line.contains("300"), "{line}");
        }
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn every_vector_passes_through_every_filter_without_a_crash() {
    for folder in ["ok", "bad"] {
        for entry in std::fs::read_dir(root().join("tests/vectors").join(folder)).unwrap()
        {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|ending| ending != "frames") {
                continue;
            }
            for tool in [
                "pick-frames",
                "batch-frames -n 3",
                "calibrate-frames --gain 2 --tare 1s --all",
                "repair-frames",
                "inspect-frames",
                "jitter-report",
                "to-text",
                "to-metrics 0",
            ] {
                let run = pipe(tool).input_file(&path).run();
                let code = run.codes()[0];
                // Stopping with a reason is an answer too: another version, a kind that
                // must be known.
                let known = [0, 1, 3].contains(&code);
                assert!(
                    known,
                    "{tool} < {}: {code}\n{}",
                    path.display(),
                    run.everything()
                );
                assert!(!run.stderrs[0].contains("panicked"), "{}", run.everything());
                if folder == "bad" && !["to-text"].contains(&tool) {
                    let named = path.file_stem().unwrap().to_string_lossy().into_owned();
                    let late = named.contains("late");
                    assert!(
                        code != 0 || late,
                        "{tool} < {}\n{}",
                        path.display(),
                        run.everything()
                    );
                }
            }
        }
    }
}
