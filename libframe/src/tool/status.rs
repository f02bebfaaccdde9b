//! What a tool tells people while it runs: a live line on a terminal, reports at an
//! interval, and one at each SIGUSR1.
//!
//! A thread of its own does it, because a tool that is stuck in a write, which is when
//! people ask, could not answer.

use std::io::{self, IsTerminal as _};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::FileType;

use super::args::{Common, Role, StatusFormat};
use super::backlog::Backlog;
use super::signal::{self, poll_until};
use crate::clock::{Clock, SECOND};
use crate::payload::Flow;

/// How often the live line is drawn.
const LIVE: i64 = SECOND / 5;

/// A count that one thread writes and others read.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// Adds; a plain load and store, as there is one writer and this is the hot path.
    #[inline]
    pub(super) fn add(&self, n: u64) {
        let sum = self.0.load(Ordering::Relaxed).saturating_add(n);
        self.0.store(sum, Ordering::Relaxed);
    }

    pub(super) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    pub(super) fn raise(&self, n: u64) {
        self.0.fetch_max(n, Ordering::Relaxed);
    }

    pub(super) fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts of one direction.
#[derive(Debug, Default)]
pub(super) struct FlowCounts {
    records: Count,
    samples: Count,
    bytes: Count,
}

impl FlowCounts {
    #[inline]
    pub(super) fn add(&self, samples: u64, bytes: usize) {
        self.records.add(1);
        self.samples.add(samples);
        self.bytes.add(bytes as u64);
    }

    pub(super) fn add_many(&self, records: u64, samples: u64, bytes: u64) {
        self.records.add(records);
        self.samples.add(samples);
        self.bytes.add(bytes);
    }

    pub(super) fn set(&self, samples: u64, bytes: u64) {
        self.samples.set(samples);
        self.bytes.set(bytes);
    }

    pub(super) fn flow(&self) -> Flow {
        let Self { records, samples, bytes } = self;
        Flow { records: records.get(), samples: samples.get(), bytes: bytes.get() }
    }
}

/// What the tool's threads count and its status shows.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) input: FlowCounts,
    pub(super) output: FlowCounts,
    /// Samples that this stage found missing or dropped.
    pub(super) lost: Count,
    /// Samples that stages before it told to be missing.
    pub(super) told: Count,
    /// Bytes that wait in the queue, and the most since the last STATS.
    pub(super) queued: Count,
    pub(super) deepest: Count,
    /// How many may wait, where there is a queue.
    pub(super) limit: OnceLock<u64>,
    /// What waits for stdout, where that is a tool's own.
    pub(super) backlog: OnceLock<Arc<dyn Backlog>>,
}

impl Counters {
    /// Says how many bytes may wait in the queue.
    pub(super) fn hold(&self, bytes: u64) {
        // Told once, when the queue is made.
        self.limit.get_or_init(|| bytes);
    }

    /// Bytes that wait now.
    fn waiting(&self) -> u64 {
        self.backlog.get().map_or(self.queued.get(), |backlog| backlog.bytes())
    }

    /// Samples that this stage or those before it know to be missing.
    fn missing(&self) -> u64 {
        let dropped = self.backlog.get().map_or(0, |backlog| backlog.lost());
        self.lost.get().saturating_add(self.told.get()).saturating_add(dropped)
    }
}

/// Parts of a stage with queues of their own, as branches have.
pub trait Parts: Send + Sync {
    /// How each is, now.
    fn look(&self) -> Vec<PartStatus>;
}

/// How a part of a stage is.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct PartStatus {
    /// What it is called.
    pub name: String,
    /// Bytes that wait for it.
    pub queued: u64,
    /// Samples that it was not given.
    pub lost: u64,
    /// What else there is to say, if anything.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl PartStatus {
    fn text(&self) -> String {
        let PartStatus { name, queued, lost, note } = self;
        let queued = bytesize::ByteSize(*queued).display().iec();
        let lost = if *lost > 0 { format!(" lost {lost}") } else { String::new() };
        let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
        format!("{name} queued {queued}{lost}{note}")
    }
}

/// The variable in the environment that says that a stage before draws the live line: a
/// terminal has one place for it.
pub const TERMINAL_TAKEN: &str = "FRAMEPIPE_TERMINAL_TAKEN";

/// The thread that reports.
#[derive(Debug)]
pub(super) struct Status {
    thread: Option<JoinHandle<()>>,
    /// Closed to end the thread.
    alive: Option<OwnedFd>,
}

impl Status {
    pub(super) fn start(
        common: &Common,
        role: Role,
        counters: &Arc<Counters>,
        clock: &Clock,
    ) -> io::Result<Status> {
        Status::start_with(common, role, counters, clock, None)
    }

    /// The same for a stage of several parts.
    pub(super) fn start_with(
        common: &Common,
        role: Role,
        counters: &Arc<Counters>,
        clock: &Clock,
        parts: Option<Arc<dyn Parts>>,
    ) -> io::Result<Status> {
        let usr1 = signal::on_usr1()?;
        let pipe = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let wanted = !common.quiet && common.status.is_none() && is_last(role);
        let live = io::stderr().is_terminal() && wanted;
        let mut reporter = Reporter {
            name: common.name(),
            role,
            format: common.status_format,
            counters: Arc::clone(counters),
            parts,
            clock: clock.clone(),
            start: clock.now(),
            before: (clock.now(), Flow::default()),
            bar: live.then(live_line),
        };
        let interval = if live { Some(LIVE) } else { common.status };
        let body = move || reporter.run(&usr1, &pipe.0, interval);
        let thread = Builder::new().name("status".into()).spawn(body)?;
        Ok(Status { thread: Some(thread), alive: Some(pipe.1) })
    }
}

impl Drop for Status {
    /// Takes the live line away before the last messages are printed.
    fn drop(&mut self) {
        drop(self.alive.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Whether this is the stage that should draw the live line. A terminal has one place for
/// it, so in a pipeline only the last stage does: the one that does not write to a pipe.
/// Nor does one whose product is text, on the same terminal.
fn is_last(role: Role) -> bool {
    if std::env::var_os(TERMINAL_TAKEN).is_some() {
        return false;
    }
    let stdout = io::stdout();
    let kind =
        rustix::fs::fstat(&stdout).map(|stat| FileType::from_raw_mode(stat.st_mode));
    match role {
        Role::Sink | Role::Recorder | Role::Sender | Role::Conductor => true,
        Role::TextSink | Role::Device => {
            !stdout.is_terminal() && kind != Ok(FileType::Fifo)
        }
        _ => kind != Ok(FileType::Fifo),
    }
}

fn live_line() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    // The template is a literal; were it wrong, a plain line would do.
    bar.set_style(
        ProgressStyle::with_template("{msg}").unwrap_or(ProgressStyle::default_spinner()),
    );
    bar
}

struct Reporter {
    name: String,
    role: Role,
    format: StatusFormat,
    counters: Arc<Counters>,
    parts: Option<Arc<dyn Parts>>,
    clock: Clock,
    start: i64,
    before: (i64, Flow),
    bar: Option<ProgressBar>,
}

impl Reporter {
    fn run(&mut self, usr1: &OwnedFd, alive: &OwnedFd, interval: Option<i64>) {
        let mut next = interval.map_or(i64::MAX, |step| self.start + step);
        loop {
            let mut fds = [usr1, alive].map(|fd| PollFd::new(fd, PollFlags::IN));
            if poll_until(&mut fds, next, &self.clock).is_err() {
                return;
            }
            let [asked, ended] = fds.map(|fd| !fd.revents().is_empty());
            if ended {
                if let Some(bar) = &self.bar {
                    bar.finish_and_clear();
                }
                return;
            }
            if asked {
                // How many signals came does not matter, so neither does a short read.
                rustix::io::read(usr1, &mut [0; 64]).unwrap_or_default();
                self.report(false);
            }
            if let Some(step) = interval.filter(|_| self.clock.now() >= next) {
                next = (next + step).max(self.clock.now());
                self.report(true);
            }
        }
    }

    fn report(&mut self, periodic: bool) {
        let view = View::of(self);
        match (&self.bar, self.format) {
            (Some(bar), _) if periodic => bar.set_message(view.live_line()),
            (Some(bar), StatusFormat::Text) => bar.println(view.text()),
            (_, StatusFormat::Text) => eprintln!("{}", view.text()),
            (_, StatusFormat::Json) => eprintln!("{}", view.json()),
        }
        if periodic {
            self.before = (view.now, view.shown);
        }
    }
}

/// The figures of one report.
struct View {
    name: String,
    role: Role,
    now: i64,
    elapsed: i64,
    shown: Flow,
    input: Flow,
    output: Flow,
    rate: f64,
    lost: u64,
    queued: u64,
    parts: Option<Vec<PartStatus>>,
}

impl View {
    fn of(reporter: &Reporter) -> View {
        let counters = &reporter.counters;
        let (input, output) = (counters.input.flow(), counters.output.flow());
        let is_sink = reporter.role.takes_records() && !reporter.role.passes_on();
        let shown = if is_sink { input } else { output };
        let now = reporter.clock.now();
        let (since, before) = reporter.before;
        let seconds = ((now - since) as f64 / SECOND as f64).max(1e-9);
        View {
            name: reporter.name.clone(),
            role: reporter.role,
            now,
            elapsed: now - reporter.start,
            shown,
            input,
            output,
            rate: (shown.samples - before.samples) as f64 / seconds,
            lost: counters.missing(),
            queued: counters.waiting(),
            parts: reporter.parts.as_ref().map(|parts| parts.look()),
        }
    }

    fn text(&self) -> String {
        let View { name, shown, rate, lost, .. } = self;
        let bytes = bytesize::ByteSize(shown.bytes).display().iec();
        let queued = bytesize::ByteSize(self.queued).display().iec();
        let elapsed =
            Duration::from_secs((self.elapsed / SECOND).max(0) as u64).as_secs();
        let (h, m, s) = (elapsed / 3600, elapsed / 60 % 60, elapsed % 60);
        let samples = shown.samples;
        let queued = match &self.parts {
            None => format!("queued {queued}"),
            Some(parts) => {
                parts.iter().map(PartStatus::text).collect::<Vec<_>>().join(", ")
            }
        };
        format!(
            "{name}: {samples} samples, {rate:.1}/s, {bytes}, lost {lost}, \
             {queued}, {h:02}:{m:02}:{s:02}"
        )
    }

    /// A red dot while something is being recorded or captured.
    fn live_line(&self) -> String {
        let text = self.text();
        match self.role {
            Role::Source | Role::Sink | Role::Recorder | Role::Conductor => {
                format!("\x1b[31m●\x1b[0m {text}")
            }
            _ => text,
        }
    }

    fn json(&self) -> String {
        let seconds = self.elapsed as f64 / SECOND as f64;
        let mut status = serde_json::json!({
            "name": self.name,
            "elapsed": seconds,
            "in": self.input,
            "out": self.output,
            "rate": self.rate,
            "lost": self.lost,
            "queued": self.queued,
        });
        if let Some(parts) = &self.parts {
            status["parts"] = serde_json::json!(parts);
        }
        status.to_string()
    }
}
