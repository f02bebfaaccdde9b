//! The processes of a branch: a shell, and whatever it starts.
//!
//! They stay in the process group of the pipeline, so that a terminal's Ctrl-C means to them
//! what it means to every other stage, and a screen may be drawn. To find all of them again,
//! also those whose shell was killed, they carry a mark in their environment.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use libframe::tool::TERMINAL_TAKEN;
use rustix::process::{Pid, Signal, kill_process};

use crate::hub::Hub;

/// The variable that marks the processes of a branch; fan-outs within a branch add to it.
const MARK: &str = "FAN_OUT_MARK";
/// How long a pipeline without its shell may leave its input unread.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a branch is started with.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) name: String,
    pub(crate) command: String,
    /// stdout carries our records, so what a branch prints goes to stderr.
    pub(crate) stdout_is_taken: bool,
}

/// A branch's process, which a thread of its own waits for.
#[derive(Debug)]
pub(crate) struct Process {
    exit: Arc<Exit>,
}

#[derive(Debug, Default)]
struct Exit {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    status: Option<ExitStatus>,
    /// Nobody writes to it any more.
    released: bool,
}

impl Recipe {
    /// Starts the command for the `start`-th time; gives the pipe to its stdin.
    pub(crate) fn start(
        &self,
        hub: &Arc<Hub>,
        at: usize,
        start: u32,
    ) -> io::Result<(Process, File)> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &self.command]).stdin(Stdio::piped());
        command.env("FAN_OUT_BRANCH", &self.name).env("FAN_OUT_START", start.to_string());
        command.env(MARK, mark(&self.name));
        // Several live lines on one terminal would only disturb each other.
        command.env(TERMINAL_TAKEN, "1");
        if self.stdout_is_taken {
            command.stdout(io::stderr().as_fd().try_clone_to_owned()?);
        }
        let mut child = command.spawn()?;
        let stdin = child.stdin.take().map(OwnedFd::from).map(File::from);
        let exit = Arc::new(Exit::default());
        let (process, hub) = (Process { exit: Arc::clone(&exit) }, Arc::clone(hub));
        let recipe = self.clone();
        let wait = move || {
            exit.set(wait_for(&mut child));
            hub.exited(at, start);
            // A shell that was killed leaves its pipeline behind. It ends with its input,
            // but if it does not even read, who writes to it would wait for ever.
            if !exit.is_released_within(PATIENCE) {
                recipe.signal(Signal::KILL);
            }
        };
        Builder::new().name(format!("wait:{}", self.name)).spawn(wait)?;
        let stdin = stdin.ok_or_else(|| io::Error::other("no pipe to its stdin"))?;
        Ok((process, stdin))
    }

    /// Sends a signal to all processes of this branch.
    pub(crate) fn signal(&self, signal: Signal) {
        members(&mark(&self.name)).into_iter().for_each(|pid| send(pid, Some(signal)));
    }
}

impl Process {
    /// How the shell ended; waits for it. Its stdin must have been closed.
    pub(crate) fn wait(&self) -> ExitStatus {
        let mut state = self.exit.lock();
        state.released = true;
        self.exit.changed.notify_all();
        let ended = self.exit.changed.wait_while(state, |state| state.status.is_none());
        ended.unwrap_or_else(PoisonError::into_inner).status.unwrap_or_default()
    }
}

impl Exit {
    fn set(&self, status: ExitStatus) {
        self.lock().status = Some(status);
        self.changed.notify_all();
    }

    fn is_released_within(&self, time: Duration) -> bool {
        let wait = self.changed.wait_timeout_while(self.lock(), time, |s| !s.released);
        wait.unwrap_or_else(PoisonError::into_inner).0.released
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn send(pid: Pid, signal: Option<Signal>) {
    if let Some(signal) = signal {
        // One that has ended meanwhile needs no signal.
        kill_process(pid, signal).unwrap_or_default();
    }
}

fn wait_for(child: &mut Child) -> ExitStatus {
    // A child that cannot be waited for is one that ended who knows how.
    child.wait().unwrap_or(ExitStatus::from_raw(1 << 8))
}

/// How a process ended, in words.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(number)) => match Signal::from_named_raw(number) {
            Some(signal) => format!("killed by SIG{}", name_of(signal)),
            None => format!("killed by signal {number}"),
        },
        (None, None) => "ended".into(),
    }
}

/// The name without SIG. The debug form has it in one of two ways, by how rustix was built.
fn name_of(signal: Signal) -> String {
    let text = format!("{signal:?}");
    let text = text.trim_matches('"').trim_start_matches("Signal::");
    text.trim_start_matches("SIG").to_owned()
}

/// What marks the processes of a branch of ours.
fn mark(name: &str) -> String {
    let outer = std::env::var(MARK).unwrap_or_default();
    format!("{outer}/{}:{name}", std::process::id())
}

/// The processes that carry a mark, or one that begins with it.
#[cfg(target_os = "linux")]
fn members(mark: &str) -> Vec<Pid> {
    let entry = format!("{MARK}={mark}");
    let bears = |pid: i32| {
        let environment =
            std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|text| {
            let rest = text.strip_prefix(entry.as_bytes());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        })
    };
    let processes = std::fs::read_dir("/proc").into_iter().flatten();
    let numbers =
        processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.filter(|pid| bears(*pid)).filter_map(Pid::from_raw).collect()
}

/// Without /proc they are left to end by themselves, as their input does.
#[cfg(not(target_os = "linux"))]
fn members(_mark: &str) -> Vec<Pid> {
    Vec::new()
}

/// How many bytes a pipe may hold.
#[cfg(target_os = "linux")]
pub(crate) fn room(pipe: &File) -> usize {
    rustix::pipe::fcntl_getpipe_size(pipe).unwrap_or(64 << 10)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn room(_pipe: &File) -> usize {
    64 << 10
}

/// How many bytes of a pipe nobody has read, also when its reader is gone.
pub(crate) fn unread(pipe: &File) -> u64 {
    rustix::io::ioctl_fionread(pipe).unwrap_or(0)
}

/// Waits until no process of these branches is left, and sees to it with a signal if there is
/// one, or for so long at most.
pub(crate) fn until_none(
    recipes: &[Recipe],
    signal: Option<Signal>,
    time: Duration,
) -> bool {
    const STEP: Duration = Duration::from_millis(20);
    let mut left = time;
    loop {
        let members = recipes.iter().flat_map(|recipe| members(&mark(&recipe.name)));
        let all = members.map(|pid| send(pid, signal)).count();
        if all == 0 {
            return true;
        }
        if left.is_zero() {
            return false;
        }
        std::thread::sleep(STEP.min(left));
        left = left.saturating_sub(STEP);
    }
}
