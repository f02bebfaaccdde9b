//! One recording: the processes, from the wait for streams to the last footer.
//!
//! Files are made only when the source has found what must be there. The processes are not in
//! the terminal's group: Ctrl-C reaches us alone, we end the source, and the rest drains.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use anyhow::{Context as _, Result};
use libframe::clock::{Clock, SECOND};
use libframe::tool::{Account, TERMINAL_TAKEN, widen_pipe};
use rustix::process::{Pid, Signal, kill_process};

use crate::pipeline::Pipeline;
use crate::relay::relay;
use crate::study::{Form, Names};
use crate::told::Shared;

/// How long a source may take to stop, and recorders whose distributor died to finish.
const PATIENCE: i64 = 10 * SECOND;
/// How often silence is looked for.
const LOOK: i64 = SECOND;

/// Where a recording is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The source looks for streams; there is no file yet.
    Starting,
    Recording,
    /// The source was told to stop, or has; the recorders finish.
    Stopping,
    Over,
}

/// A recording under way.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) names: Names,
    pub(crate) shared: Shared,
    pipeline: Pipeline,
    /// Until when a first stream must be there.
    until: i64,
    phase: Phase,
    clock: Clock,
    source: Process,
    fan_out: Option<Process>,
    sinks: Option<SyncSender<fs::File>>,
    threads: Vec<JoinHandle<()>>,
    /// Recorders that have ended, with their status.
    ends: Vec<(Form, i32)>,
    failures: Vec<String>,
    /// What the source said last.
    last_words: Option<String>,
    /// When we told the source to stop, and when it had.
    stopped: Option<i64>,
    ended: Option<i64>,
    next_look: i64,
}

/// What there is to say of it.
#[derive(Debug)]
pub(crate) enum Notice {
    /// A line of one of the tools.
    Passed(String),
    /// Our own.
    Own(String),
}

#[derive(Debug)]
struct Process {
    child: Child,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts a command line, whose stderr is heard.
    fn start(
        line: &str,
        name: &str,
        stdin: Stdio,
        stdout: Stdio,
        shared: &Shared,
    ) -> Result<(Process, JoinHandle<()>)> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]).stdin(stdin).stdout(stdout).stderr(Stdio::piped());
        command.process_group(0).env(TERMINAL_TAKEN, "1");
        command.env("PATH", crate::programs::path());
        let mut child = command.spawn().context("cannot start a shell")?;
        let stderr = child.stderr.take().context("no pipe to its stderr")?;
        let thread = shared.listen(name, stderr)?;
        Ok((Process { child, status: None }, thread))
    }

    fn look(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            // What cannot be waited for has not ended.
            self.status = self.child.try_wait().unwrap_or_default();
        }
        self.status
    }

    fn signal(&mut self, signal: Signal) {
        if self.look().is_none() {
            // One that ended this very moment needs none.
            kill_process(Pid::from_child(&self.child), signal).unwrap_or_default();
        }
    }
}

impl Recording {
    pub(crate) fn start(
        pipeline: Pipeline,
        names: Names,
        clock: &Clock,
    ) -> Result<Recording> {
        let shared = Shared::default();
        let (mut source, heard) = Process::start(
            &pipeline.source(),
            "lsl-src",
            Stdio::null(),
            Stdio::piped(),
            &shared,
        )?;
        let stdout = source.child.stdout.take().context("no pipe to lsl-src")?;
        let stdout = fs::File::from(OwnedFd::from(stdout));
        widen_pipe(&stdout);
        let (sinks, taken) = sync_channel(1);
        let of_thread = (shared.clone(), clock.clone());
        let body = move || relay(stdout, &taken, &of_thread.0, &of_thread.1);
        let relaying = Builder::new().name("relay".into()).spawn(body)?;
        Ok(Recording {
            names,
            shared,
            // Those that are required the source waits for itself, and says who is missing.
            until: match pipeline.required.is_empty() {
                true => clock.now().saturating_add(pipeline.wait),
                false => i64::MAX,
            },
            pipeline,
            phase: Phase::Starting,
            clock: clock.clone(),
            source,
            fan_out: None,
            sinks: Some(sinks),
            threads: vec![heard, relaying],
            ends: Vec::new(),
            failures: Vec::new(),
            last_words: None,
            stopped: None,
            ended: None,
            next_look: 0,
        })
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Ends the source, if it has not ended. All else follows.
    pub(crate) fn stop(&mut self) {
        if self.stopped.is_none() {
            self.stopped = Some(self.clock.now());
            self.source.signal(Signal::TERM);
            if self.phase == Phase::Recording {
                self.phase = Phase::Stopping;
            }
        }
    }

    /// Moves on with what has happened; says what there is to say.
    pub(crate) fn tick(&mut self) -> Vec<Notice> {
        let mut notices = self.hear();
        let now = self.clock.now();
        if self.phase == Phase::Starting && self.shared.lock().is_ready {
            if let Err(err) = self.record() {
                self.failures.push(format!("{err:#}"));
                self.sinks = None;
                self.stop();
            }
            self.phase =
                if self.stopped.is_some() { Phase::Stopping } else { Phase::Recording };
        }
        if now >= self.next_look {
            self.next_look = now + LOOK;
            let mut told = self.shared.lock();
            told.health.look(now);
            notices.extend(told.health.news().into_iter().map(Notice::Own));
        }
        if self.phase == Phase::Starting && self.stopped.is_none() && now >= self.until {
            let seconds = self.pipeline.wait as f64 / SECOND as f64;
            let why = format!("no stream was there within {seconds:.1} s");
            self.failures
                .push(format!("nothing was recorded: {why}; labrecord --check looks"));
            self.stop();
        }
        self.judge(now, &mut notices);
        notices
    }

    /// Makes the folders, and starts the recorders.
    fn record(&mut self) -> Result<()> {
        for (_, path) in &self.names.files {
            let folder = path.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let line = self.pipeline.fan_out(&self.names);
        let (stdin, stdout) = (Stdio::piped(), Stdio::null());
        let started = Process::start(&line, "fan-out", stdin, stdout, &self.shared);
        let (mut fan_out, heard) = started?;
        let stdin = fan_out.child.stdin.take().context("no pipe to fan-out")?;
        let stdin = fs::File::from(OwnedFd::from(stdin));
        widen_pipe(&stdin);
        self.fan_out = Some(fan_out);
        self.threads.push(heard);
        if let Some(sinks) = self.sinks.take() {
            // The relay waits for it, or has ended, which is noticed.
            drop(sinks.send(stdin));
        }
        Ok(())
    }

    /// What the tools said, and which recorders have ended.
    fn hear(&mut self) -> Vec<Notice> {
        let (lines, ends, is_relayed) = {
            let mut told = self.shared.lock();
            (told.lines(), told.ends(), told.is_relayed)
        };
        let said = |line: &String| line.starts_with("lsl-src: ");
        if let Some(line) = lines.iter().rev().find(|line| said(line)) {
            self.last_words = Some(line["lsl-src: ".len()..].into());
        }
        let mut notices: Vec<_> = lines.into_iter().map(Notice::Passed).collect();
        let mut is_early = false;
        for (form, status) in ends {
            self.ends.push((form, status));
            if let Some(told) = self.end_of_recorder(form, status, is_relayed) {
                is_early = true;
                notices.push(Notice::Own(told));
                self.failures.push(format!(
                    "{} ended too early, {}",
                    form.tool(),
                    how(status)
                ));
            }
        }
        let all = self.ends.len() == self.names.files.len();
        if all && is_early && self.stopped.is_none() {
            notices.push(Notice::Own("no recorder is left; the recording ends".into()));
            self.stop();
        }
        notices
    }

    /// What to say of a recorder that has ended.
    fn end_of_recorder(&self, form: Form, status: i32, in_time: bool) -> Option<String> {
        if in_time && matches!(status, 0 | 3) {
            return None;
        }
        let (tool, how) = (form.tool(), how(status));
        let (_, path) = self.names.files.iter().find(|(other, _)| *other == form)?;
        let file = path.display();
        let kept = match path.exists() {
            true if matches!(status, 0 | 3) => format!("{file} is complete until then"),
            true => format!(
                "{file} has what came until then, 'repair-frames {file}' brings it up to date"
            ),
            false => format!("{file} was not made"),
        };
        let left = self.names.files.iter().map(|(form, _)| *form);
        let left = left.filter(|form| self.ends.iter().all(|(ended, _)| ended != form));
        let left: Vec<_> = left.map(Form::tool).collect();
        let others = match left.is_empty() {
            true => String::new(),
            false => format!("; {} goes on", left.join(", ")),
        };
        Some(format!("{tool} ended too early, {how}: {kept}{others}"))
    }

    /// Looks who has ended, and whether all have.
    fn judge(&mut self, now: i64, notices: &mut Vec<Notice>) {
        let (is_refused, is_relayed) = {
            let told = self.shared.lock();
            (told.is_refused, told.is_relayed)
        };
        if is_refused {
            self.stop();
        }
        let late =
            |since: Option<i64>| since.is_some_and(|since| now - since >= PATIENCE);
        let source = self.source.look();
        if source.is_none() && late(self.stopped) {
            let patience = PATIENCE / SECOND;
            let told = format!("lsl-src did not stop within {patience} s; killed");
            notices.push(Notice::Own(told.clone()));
            self.failures.push(told);
            self.source.signal(Signal::KILL);
        }
        if source.is_none() || !is_relayed {
            return;
        }
        self.phase =
            if self.phase == Phase::Starting { Phase::Over } else { Phase::Stopping };
        let ended = *self.ended.get_or_insert(now);
        let Some(fan_out) = &mut self.fan_out else {
            self.phase = Phase::Over;
            return;
        };
        if fan_out.look().is_some() {
            // One that was killed leaves recorders behind, which finish by themselves.
            let all = self.ends.len() == self.names.files.len();
            let heard = self.threads.iter().all(JoinHandle::is_finished);
            if all && heard || now - ended >= PATIENCE {
                self.phase = Phase::Over;
            }
        }
    }

    /// Why it failed, if it did; to be asked when it is over. Enters in the account what was
    /// lost.
    pub(crate) fn verdict(&mut self, account: &mut Account) -> Option<String> {
        let mut told = self.shared.lock();
        let health = &mut told.health;
        for (number, ledger) in health.ledgers() {
            account.add_stream(ledger, || health.name(number));
        }
        if health.damage() > 0 {
            account.add_broken(format!(
                "damaged records came from lsl-src: {}",
                health.damage()
            ));
        }
        let status = self.source.status.map_or(0, shell_status);
        if self.fan_out.is_none() {
            let why = self.last_words.take().unwrap_or_else(|| {
                format!("lsl-src ended without a record, {}", how(status))
            });
            let called_off = self.stopped.is_some() && self.failures.is_empty();
            let failure = (!called_off).then(|| format!("nothing was recorded: {why}"));
            return self.failures.first().cloned().or(failure);
        }
        if health.end().is_none() {
            account.add_broken("lsl-src broke off: its output stops without END".into());
        }
        if !matches!(status, 0 | 3) {
            self.failures.push(format!("lsl-src ended, {}", how(status)));
        }
        let fan_out = self.fan_out.as_ref().and_then(|process| process.status);
        let fan_out = fan_out.map_or(0, shell_status);
        for (form, _) in self.ends.iter().filter(|(_, status)| *status == 3) {
            if health.totals().3 == 0 && health.end().is_some() && status == 0 {
                account.add_broken(format!("{} lost samples", form.tool()));
            }
        }
        if !matches!(fan_out, 0 | 3) && self.failures.is_empty() {
            self.failures.push(format!("fan-out ended, {}", how(fan_out)));
        }
        self.failures.first().cloned()
    }

    /// What has gone wrong so far.
    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }
}

/// A status as a shell shows it.
fn shell_status(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().or(status.signal().map(|number| 128 + number)).unwrap_or(1)
}

/// How something ended, by its shell's status.
fn how(status: i32) -> String {
    match Signal::from_named_raw(status - 128) {
        Some(signal) if signal == Signal::KILL => "killed by SIGKILL".into(),
        Some(_) => format!("killed by signal {}", status - 128),
        None => format!("exit status {status}"),
    }
}
