//! `scripts/record-session`, as cron starts it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use framepipe_tests::{Started, binary, pipe, root};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::sim_device::Bench;

/// A glove, and a folder that sessions are recorded to.
struct Lab {
    bench: Bench,
    glove: Option<Started>,
}

impl Lab {
    fn new(glove: &str) -> Lab {
        let bench = Bench::new();
        let mut glove = bench.glove(glove);
        glove.until_stdout(|text| text.ends_with(b"\n"));
        Lab { bench, glove: Some(glove) }
    }

    fn folder(&self) -> PathBuf {
        self.bench.link().parent().unwrap().to_owned()
    }

    /// A session in a process group of its own, as `setsid` of cron has it.
    fn start(&self, options: &str) -> Child {
        let mut command = session(&self.folder(), options, &self.bench.link());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn().unwrap()
    }

    fn run(&self, options: &str) -> Output {
        self.start(options).wait_with_output().unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(mut glove) = self.glove.take() {
            glove.signal(0, Signal::TERM);
            glove.wait();
        }
    }
}

fn session(folder: &Path, options: &str, port: &Path) -> Command {
    let tools = binary("capture-glove").parent().unwrap().to_owned();
    let mut command = Command::new(root().join("scripts/record-session"));
    command.args(options.split_whitespace()).arg(port).current_dir(folder);
    command.env("PATH", format!("{}:/usr/bin:/bin", tools.display()));
    command.env("XDG_RUNTIME_DIR", folder).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[track_caller]
fn expect(output: &Output, code: i32) -> (String, String) {
    let [stdout, stderr] = [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert_eq!(output.status.code(), Some(code), "{stdout}\n{stderr}");
    (stdout, stderr)
}

#[test]
fn a_session_leaves_a_recording_a_page_and_a_line() {
    let lab = Lab::new("");
    let output = lab.run("-d 3s -r 50 -o night_%Y.h5");
    // A busy machine may make the jitter a FAIL; the line says so.
    let (stdout, _) = expect(&output, output.status.code().unwrap());
    assert!(matches!(output.status.code(), Some(0 | 3)), "{stdout}");
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    let year = &pipe("date +%Y").run().text().trim().to_owned();
    let file = format!("night_{year}.h5");
    assert!(stdout.starts_with(&format!("{file}: ")) && stdout.contains("glove"));
    let page = fs::read_to_string(lab.folder().join(format!("night_{year}.html")));
    assert!(page.unwrap().contains("<svg"));
    let path = lab.folder().join(&file);
    let replay = format!("replay {} --speed max", path.display());
    assert!(pipe(&replay).run().samples() > 50, "{stdout}");
    assert!(!lab.folder().join(format!("{file}.journal")).exists());
}

#[test]
fn a_glove_that_is_too_slow_asleep_or_absent_is_not_recorded() {
    let lab = Lab::new("--rate 20");
    let output = lab.run("-d 3s -r 100 -o slow.h5");
    let (_, stderr) = expect(&output, 1);
    assert!(stderr.contains("below --rate 100+"), "{stderr}");
    assert!(!lab.folder().join("slow.h5").exists());
    let output = session(&lab.folder(), "-o none.h5", Path::new("absent")).output();
    let (_, stderr) = expect(&output.unwrap(), 1);
    assert!(stderr.contains("capture-glove: absent: no such port"), "{stderr}");
}

#[test]
fn two_sessions_of_one_glove_are_not_begun() {
    let lab = Lab::new("");
    let first = lab.start("-q -d 20s -r 50 -o first.h5");
    let begun = lab.folder().join("first.h5");
    for look in 0.. {
        if begun.exists() {
            break;
        }
        assert!(look < 1200, "the first session does not begin");
        std::thread::sleep(Duration::from_millis(50));
    }
    let (_, stderr) = expect(&lab.run("-d 3s -o second.h5"), 1);
    assert!(stderr.contains("another session is recording it"), "{stderr}");
    // A signal ends the first cleanly, with its report.
    kill_process_group(Pid::from_child(&first), Signal::INT).unwrap();
    let output = first.wait_with_output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 3)), "{output:?}");
    assert!(output.stdout.is_empty());
    assert!(lab.folder().join("first.html").exists());
    assert!(!lab.folder().join("first.h5.journal").exists());
}

#[test]
fn what_cron_runs_is_there() {
    let cron = fs::read_to_string(root().join("examples/cron/framepipe")).unwrap();
    let unit = root().join("examples/systemd/framepipe-glove@.service");
    let unit = fs::read_to_string(unit).unwrap();
    // cron ends a command at a bare %.
    for command in cron.lines().filter(|line| !line.starts_with('#')) {
        assert!(!command.replace("\\%", "").contains('%'), "{command}");
    }
    for text in [&cron, &unit] {
        assert!(text.contains("record-session -d 6h -o "), "{text}");
    }
    assert!(
        fs::read_to_string(root().join("scripts/install"))
            .unwrap()
            .contains("install -m 755 scripts/record-session")
    );
}
