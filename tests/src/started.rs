//! A pipeline that runs: signals, closed descriptors, and the wait for its end.

use std::fs;
use std::io::{Read, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::Duration;

use libframe::clock::Clock;
use libframe::wire::Kind;
use rustix::process::{Pid, Signal, kill_process};

use crate::{LIMIT, Run, Scratch, count_kind, count_samples};

/// A pipeline that runs. Every descriptor is drained by a thread of its own, or a full
/// pipe would block us all.
#[derive(Debug)]
pub struct Started {
    stages: Vec<Vec<String>>,
    children: Vec<Child>,
    stdin: Option<ChildStdin>,
    feeder: Option<JoinHandle<Option<ChildStdin>>>,
    stdout: Collected,
    stderrs: Vec<Collected>,
    began: i64,
    /// The most resident memory seen of each stage, bytes.
    peaks: Vec<u64>,
    scratch: Option<Scratch>,
}

/// A stream that a thread reads to its end.
#[derive(Debug, Default)]
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    /// Before reading begins.
    waiting: Option<ChildStdout>,
}

impl Collected {
    fn read(mut from: impl Read + Send + 'static) -> Collected {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&bytes);
        let reader = spawn(move || {
            let mut chunk = vec![0; 64 << 10];
            while let Ok(n @ 1..) = from.read(&mut chunk) {
                to.lock().expect("not poisoned").extend_from_slice(&chunk[..n]);
            }
        });
        Collected { bytes, reader: Some(reader), waiting: None }
    }

    fn so_far(&self) -> Vec<u8> {
        self.bytes.lock().expect("not poisoned").clone()
    }

    fn finish(mut self) -> Vec<u8> {
        if let Some(from) = self.waiting.take() {
            return Collected::read(from).finish();
        }
        if let Some(reader) = self.reader.take() {
            reader.join().expect("a reader that does not panic");
        }
        self.so_far()
    }
}

impl Started {
    pub(crate) fn new(
        stages: Vec<Vec<String>>,
        mut children: Vec<Child>,
        input: Vec<u8>,
        open: bool,
        scratch: Option<Scratch>,
    ) -> Started {
        let stdin = children[0].stdin.take();
        let feeder = stdin.map(|mut stdin| {
            spawn(move || {
                // A stage that does not read to the end is no fault of the test.
                drop(stdin.write_all(&input));
                open.then_some(stdin)
            })
        });
        let stdout = children.last_mut().and_then(|child| child.stdout.take());
        let stderr = |child: &mut Child| child.stderr.take().map(Collected::read);
        let stderrs = children.iter_mut().filter_map(stderr).collect();
        let peaks = vec![0; children.len()];
        let stdout = Collected { waiting: stdout, ..Collected::default() };
        let began = Clock::system().now();
        let stdin = None;
        Started {
            stages,
            children,
            stdin,
            feeder,
            stdout,
            stderrs,
            began,
            peaks,
            scratch,
        }
    }

    /// Begins to read the last stage's stdout; until then it fills up.
    pub fn read_stdout(&mut self) -> &mut Started {
        if let Some(from) = self.stdout.waiting.take() {
            self.stdout = Collected::read(from);
        }
        self
    }

    /// Closes our end of the last stage's stdout, as a reader that exits does.
    pub fn close_stdout(&mut self) -> &mut Started {
        drop(self.stdout.waiting.take());
        self
    }

    /// The folder that `{new}` stands for.
    pub fn scratch(&self) -> &Scratch {
        self.scratch.as_ref().expect("a pipeline with {new}")
    }

    /// Waits until a stage has set up all its signals, of which SIGUSR1 is the last.
    pub fn until_ready(&mut self, stage: usize) -> &mut Started {
        while !self.signals(stage, "SigCgt:").is_none_or(|set| has(set, Signal::USR1)) {
            self.check_limit("a stage never was ready");
        }
        self
    }

    /// Sends a signal to one stage, and waits until it has it: of two that are under way
    /// at once, a process sees one.
    pub fn signal(&mut self, stage: usize, signal: Signal) -> &mut Started {
        let pid = Pid::from_raw(self.children[stage].id() as i32).expect("a pid");
        kill_process(pid, signal).expect("a process that lives");
        while self.signals(stage, "ShdPnd:").is_some_and(|set| has(set, signal)) {
            self.check_limit("a signal never arrived");
        }
        self
    }

    /// A set of a stage's signals, as the kernel shows it; `None` if it has exited.
    fn signals(&self, stage: usize, set: &str) -> Option<u64> {
        let path = format!("/proc/{}/status", self.children[stage].id());
        let status = fs::read_to_string(path).ok()?;
        if status.contains("State:\tZ") {
            return None;
        }
        let line = status.lines().find_map(|line| line.strip_prefix(set))?;
        u64::from_str_radix(line.trim(), 16).ok()
    }

    /// Sends a signal to every stage, as a terminal and systemd do, last stage first: in
    /// the other order the rest may be done before its signal comes.
    ///
    /// Prefer `TERM`: a shell that starts the test binary with `&` has SIGINT ignored in
    /// it and in its children, and a test with `INT` then passes whatever they do.
    pub fn signal_all(&mut self, signal: Signal) -> &mut Started {
        (0..self.children.len()).rev().for_each(|stage| {
            self.signal(stage, signal);
        });
        self
    }

    /// Lets the pipeline run for a while.
    pub fn after(&mut self, time: Duration) -> &mut Started {
        sleep(time);
        self
    }

    /// Waits until the last stage's stdout, which is being read, satisfies a condition.
    pub fn until_stdout(&mut self, holds: impl Fn(&[u8]) -> bool) -> &mut Started {
        self.read_stdout();
        while !holds(&self.stdout.so_far()) {
            self.check_limit("stdout never was as expected");
        }
        self
    }

    /// Waits until the last stage has written so many samples.
    pub fn until_samples(&mut self, n: u64) -> &mut Started {
        self.until_stdout(|bytes| count_samples(bytes) >= n)
    }

    /// Waits until the last stage has written so many records of a kind.
    pub fn until_records(&mut self, kind: Kind, n: usize) -> &mut Started {
        self.until_stdout(|bytes| count_kind(bytes, kind) >= n)
    }

    /// What a stage has written to stderr until now.
    pub fn stderr_so_far(&self, stage: usize) -> Vec<u8> {
        self.stderrs[stage].so_far()
    }

    /// Waits until a stage's stderr contains a text.
    pub fn until_stderr(&mut self, stage: usize, text: &str) -> &mut Started {
        while !String::from_utf8_lossy(&self.stderrs[stage].so_far()).contains(text) {
            self.check_limit(&format!("stderr of stage {stage} never had {text:?}"));
        }
        self
    }

    /// Waits until the first stage has taken its input but what one pipe holds, or has
    /// exited, and looks at how much memory all stages have used.
    pub fn until_fed(&mut self) -> &mut Started {
        while self.feeder.as_ref().is_some_and(|feeder| !feeder.is_finished()) {
            self.check_limit("stdin was never read");
        }
        self.look_at_memory();
        self
    }

    /// Gives the first stage more on its stdin, which was left open.
    pub fn feed(&mut self, bytes: &[u8]) -> &mut Started {
        if let Some(feeder) = self.feeder.take() {
            self.stdin = feeder.join().expect("a feeder that does not panic");
        }
        let stdin = self.stdin.as_mut().expect("a stdin that was left open");
        stdin.write_all(bytes).expect("a stage that reads");
        self
    }

    /// Closes the first stage's stdin, if it was left open.
    pub fn close_stdin(&mut self) -> &mut Started {
        if let Some(feeder) = self.feeder.take() {
            self.stdin = feeder.join().expect("a feeder that does not panic");
        }
        drop(self.stdin.take());
        self
    }

    /// Whether a stage still runs.
    pub fn is_running(&mut self, stage: usize) -> bool {
        self.children[stage].try_wait().expect("wait").is_none()
    }

    /// Drains all outputs until every stage has exited.
    pub fn wait(mut self) -> Run {
        self.read_stdout();
        let statuses = (0..self.children.len()).map(|at| self.wait_for(at)).collect();
        drop(self.feeder.take().map(JoinHandle::join));
        Run {
            stages: self.stages,
            statuses,
            stdout: self.stdout.finish(),
            stderrs: self
                .stderrs
                .into_iter()
                .map(|stderr| String::from_utf8_lossy(&stderr.finish()).into_owned())
                .collect(),
            peaks: self.peaks,
            scratch: self.scratch,
        }
    }

    fn wait_for(&mut self, stage: usize) -> ExitStatus {
        loop {
            self.look_at_memory();
            if let Some(status) = self.children[stage].try_wait().expect("wait") {
                return status;
            }
            if self.is_over_limit() {
                self.children[stage].kill().expect("kill");
                return self.children[stage].wait().expect("wait");
            }
            sleep(Duration::from_millis(3));
        }
    }

    /// The kernel keeps the high-water mark, so looking now and then is enough.
    fn look_at_memory(&mut self) {
        for (child, peak) in self.children.iter().zip(&mut self.peaks) {
            let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
            let status = status.unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kb = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
            *peak = (*peak).max(kb.unwrap_or(0u64) * 1024);
        }
    }

    fn check_limit(&mut self, what: &str) {
        sleep(Duration::from_millis(3));
        if self.is_over_limit() {
            let stages = &self.stages;
            let stderr: Vec<_> = self
                .stderrs
                .iter()
                .map(|err| String::from_utf8_lossy(&err.so_far()).into_owned())
                .collect();
            self.children.iter_mut().for_each(|child| drop(child.kill()));
            panic!("{what}\n{stages:?}\nstderr: {stderr:#?}");
        }
    }

    fn is_over_limit(&self) -> bool {
        Clock::system().now() - self.began > LIMIT.as_nanos() as i64
    }
}

fn has(set: u64, signal: Signal) -> bool {
    set >> (signal.as_raw() - 1) & 1 == 1
}

fn spawn<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    Builder::new().name("harness".into()).spawn(body).expect("a thread")
}
