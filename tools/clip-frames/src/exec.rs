//! A command for each clip, which has the clip on stdin.
//!
//! What a command does not read in time is not waited for: the samples to come are worth
//! more than one clip. A queue bounded in bytes and a thread stand between.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use anyhow::Result;
use libframe::payload::{Payload as _, Session};
use libframe::tool::{Output, RecordOut};
use libframe::wire::{Kind, Record};
use rustix::process::{Pid, Signal, kill_process_group};

/// What waits for a command to read it.
const QUEUE: usize = 4 << 20;
/// How long a command may read nothing while its queue is full.
const PATIENCE: Duration = Duration::from_secs(10);
/// Commands that may run at once: those of clips before may still be at work.
const MOST: usize = 8;
/// Failures that are told one by one.
const MOST_TOLD: usize = 20;

/// Starts a command for each clip, and is where the clips go.
#[derive(Debug)]
pub(crate) struct Commands {
    line: String,
    current: Option<Current>,
    /// Those that have had all of their clip.
    finishing: VecDeque<Running>,
    failures: Vec<String>,
    now: i64,
}

/// The clip that is being written.
#[derive(Debug)]
struct Current {
    tag: u32,
    /// `None` if it could not be started.
    to: Option<(RecordOut<Feeder>, Running)>,
}

/// A command on its way.
#[derive(Debug)]
struct Running {
    clip: String,
    queue: Arc<Queue>,
    thread: JoinHandle<io::Result<ExitStatus>>,
}

impl Commands {
    pub(crate) fn new(line: String) -> Commands {
        let (finishing, failures) = (VecDeque::new(), Vec::new());
        Commands { line, current: None, finishing, failures, now: 0 }
    }

    pub(crate) fn set_now(&mut self, now: i64) {
        self.now = now;
        if let Some((out, _)) = self.current.as_mut().and_then(|clip| clip.to.as_mut()) {
            out.set_now(now);
        }
    }

    /// Hands on what was gathered.
    pub(crate) fn flush(&mut self) -> Result<()> {
        match self.current.as_mut().and_then(|clip| clip.to.as_mut()) {
            Some((out, _)) => out.flush(),
            None => Ok(()),
        }
    }

    /// Waits for all commands; says what went wrong with them.
    pub(crate) fn finish(&mut self) {
        self.leave();
        while let Some(running) = self.finishing.pop_front() {
            self.judge(running);
        }
    }

    pub(crate) fn failures(&self) -> Vec<String> {
        self.failures.clone()
    }

    fn start(&mut self, tag: u32, session: &Session) {
        self.leave();
        self.reap();
        let meta = |key: &str| session.meta.get(key).cloned().unwrap_or_default();
        let clip = meta("clip");
        let to = if self.finishing.len() >= MOST {
            self.fail(&clip, &format!("{MOST} commands run already; not started"));
            None
        } else {
            let mut command = Command::new("sh");
            command
                .args(["-c", &self.line])
                .env("FRAMEPIPE_CLIP", &clip)
                .env("FRAMEPIPE_CLIP_TRIGGER", meta("clip_trigger"))
                .env("FRAMEPIPE_CLIP_TIME", meta("clip_time"));
            match Running::start(command, clip.clone()) {
                Ok(running) => {
                    let feeder = Feeder(Arc::clone(&running.queue));
                    let mut out = RecordOut::to(feeder);
                    out.set_now(self.now);
                    Some((out, running))
                }
                Err(err) => {
                    self.fail(&clip, &err.to_string());
                    None
                }
            }
        };
        self.current = Some(Current { tag, to });
    }

    /// The clip is over, or broke off: its command gets the end of its input.
    fn leave(&mut self) {
        let Some(current) = self.current.take() else { return };
        let Some((mut out, running)) = current.to else { return };
        // A feeder does not fail.
        out.flush().unwrap_or_default();
        running.queue.close();
        self.finishing.push_back(running);
    }

    /// Looks which commands have ended.
    fn reap(&mut self) {
        let all = std::mem::take(&mut self.finishing);
        for running in all {
            match running.thread.is_finished() {
                true => self.judge(running),
                false => self.finishing.push_back(running),
            }
        }
    }

    fn judge(&mut self, running: Running) {
        let Running { clip, queue, thread } = running;
        let status = thread.join();
        if let Some(why) = queue.lock().unread.take() {
            self.fail(&clip, &why);
        }
        match status {
            Ok(Ok(status)) if status.success() => {}
            Ok(Ok(status)) => self.fail(&clip, &status.to_string()),
            Ok(Err(err)) => self.fail(&clip, &err.to_string()),
            Err(_) => self.fail(&clip, "its thread panicked; this is a bug"),
        }
    }

    fn fail(&mut self, clip: &str, why: &str) {
        if self.failures.len() < MOST_TOLD {
            self.failures.push(format!("clip {clip}: {}: {why}", self.line));
        }
    }
}

impl Output for Commands {
    fn send(&mut self, record: Record<'_>) -> Result<()> {
        let tag = record.header.session;
        let is_new = self.current.as_ref().is_none_or(|current| current.tag != tag);
        if is_new && record.header.kind == Kind::SESSION {
            let session = Session::from_bytes(record.payload).unwrap_or_default();
            self.start(tag, &session);
        }
        match self.current.as_mut().and_then(|current| current.to.as_mut()) {
            Some((out, _)) => out.send(record),
            None => Ok(()),
        }
    }

    fn end(&mut self, session: u32, time: i64, reason: &str) -> Result<()> {
        if let Some((out, _)) = self.current.as_mut().and_then(|clip| clip.to.as_mut()) {
            out.end(session, time, reason)?;
        }
        self.leave();
        self.reap();
        Ok(())
    }

    fn now(&self) -> i64 {
        self.now
    }
}

impl Running {
    fn start(mut command: Command, clip: String) -> io::Result<Running> {
        // A group of its own: Ctrl-C ends the source, and this by the end of its input.
        let mut child = command.process_group(0).stdin(Stdio::piped()).spawn()?;
        let (queue, stdin) = (Arc::<Queue>::default(), child.stdin.take());
        queue.lock().command = Pid::from_raw(child.id() as i32);
        let of_thread = Arc::clone(&queue);
        let body = move || feed(child, stdin, &of_thread);
        let thread = Builder::new().name("exec".into()).spawn(body)?;
        Ok(Running { clip, queue, thread })
    }
}

/// Writes a clip to its command, and waits for the command's end.
fn feed(
    mut child: Child,
    stdin: Option<ChildStdin>,
    queue: &Queue,
) -> io::Result<ExitStatus> {
    if let Some(mut stdin) = stdin {
        while let Some(bytes) = queue.take() {
            if let Err(err) = stdin.write_all(&bytes) {
                // One that has seen enough, as `head` has, tells by its status.
                let gone = err.kind() == io::ErrorKind::BrokenPipe;
                queue.break_off((!gone).then(|| err.to_string()));
                break;
            }
        }
    }
    let status = child.wait();
    // From now on the number may be another's.
    queue.lock().command = None;
    status
}

/// Bytes on their way to a command.
#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Vec<u8>>,
    bytes: usize,
    closed: bool,
    /// Nothing more is taken.
    broken: bool,
    /// Why not all was read.
    unread: Option<String>,
    /// The command, which leads a process group of its own.
    command: Option<Pid>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts bytes in line; gives up on a command that does not read.
    fn put(&self, bytes: &[u8]) {
        let mut state = self.lock();
        while !state.broken && state.bytes > 0 && state.bytes + bytes.len() > QUEUE {
            let before = state.bytes;
            let waited = self.changed.wait_timeout(state, PATIENCE);
            let (woken, time) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if time.timed_out() && state.bytes == before {
                let patience = PATIENCE.as_secs();
                state.unread = Some(format!("read nothing for {patience} s; killed"));
                state.broken = true;
                self.kill(&state);
            }
        }
        if !state.broken {
            state.bytes += bytes.len();
            state.pieces.push_back(bytes.to_vec());
        }
        self.changed.notify_all();
    }

    /// Ends a command, with all that it started. It would hold its pipe for ever.
    fn kill(&self, state: &State) {
        if let Some(group) = state.command {
            // It may have ended this very moment.
            kill_process_group(group, Signal::KILL).unwrap_or_default();
        }
    }

    fn take(&self) -> Option<Vec<u8>> {
        let mut state = self.lock();
        loop {
            if state.broken {
                return None;
            }
            if let Some(piece) = state.pieces.pop_front() {
                state.bytes -= piece.len();
                self.changed.notify_all();
                return Some(piece);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn break_off(&self, why: Option<String>) {
        let mut state = self.lock();
        state.broken = true;
        state.unread = why.or(state.unread.take());
        self.changed.notify_all();
    }
}

/// The queue as a place to write to. It never fails: what a command makes of its clip is
/// told when it has ended.
#[derive(Debug)]
struct Feeder(Arc<Queue>);

impl Write for Feeder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
