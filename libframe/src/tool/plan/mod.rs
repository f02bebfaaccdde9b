//! What a command line would do, told before anything is started: `--plan`.
//!
//! Each tool knows best what its options mean, so it is asked. A plan is JSON, and plans go
//! through a pipe as records do: `sim-src glove --plan | to-h5 x.h5 --plan` is an array of
//! two, and the second knows from the first what would come. `plan-report` asks the stages
//! of a pipeline in this way and adds up.

mod flow;
mod need;

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Parser;
use serde::{Deserialize, Serialize};

pub use self::flow::Flow;
pub use self::need::{Need, find_program};
use super::args::{Common, Role};
use super::exit;
use super::filter::Filter;
use super::queue::Overflow;
use crate::catalog::Catalog;
use crate::clock::SECOND;
use crate::payload::Payload as _;
use crate::schema::Stream;
use crate::wire::{Header, Kind, Record};

/// What a stage takes before it holds any record: its program, and what each thread needs.
const IDLE_MEMORY: u64 = 8 << 20;
/// Stands in each plan, and so in the program of each tool: others are not asked for plans,
/// since nobody knows what they would do.
pub const MARK: &str = "framepipe plan, version 1: what a stage would do";
/// Plans of stages before that are read at most.
const MAX_PLANS: u64 = 64 << 20;

/// What one stage would do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Always [`MARK`].
    pub format: String,
    /// What it would call itself.
    pub name: String,
    /// Its program.
    pub tool: String,
    /// What that is for.
    pub about: String,
    /// What it is: a source, filter, sink, recorder, text, device, command or conductor.
    pub role: String,
    /// What would come in, and go out; none if that is not known.
    #[serde(rename = "in")]
    pub input: Option<Vec<Flow>>,
    /// What would go out.
    #[serde(rename = "out")]
    pub output: Option<Vec<Flow>>,
    /// The most memory it may take, bytes.
    pub memory: u64,
    /// How much may wait in its queue, bytes, if it has one.
    pub queue: Option<u64>,
    /// What happens when more comes than goes.
    pub overload: String,
    /// What it must have, and whether that is there.
    pub needs: Vec<Need>,
    /// Where it would write to a disk.
    pub disk: Option<Disk>,
    /// Pipelines that it would start.
    pub branches: Vec<Branch>,
    /// When it would end by itself, seconds.
    pub seconds: Option<f64>,
    /// What else users should know.
    pub notes: Vec<String>,
}

/// What would be written to a disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// The file.
    pub file: String,
    /// Which file system that is on, and what is free there, bytes.
    pub device: u64,
    /// Bytes that a user may still write there.
    pub free: u64,
    /// Bytes that are to be left.
    pub min_free: u64,
    /// Bytes a second, before they are compressed; none if that is not known.
    pub bytes_per_second: Option<f64>,
    /// What is left of a byte, by assumption, and which.
    pub factor: f64,
    /// The assumption, in words.
    pub assumption: String,
}

/// A pipeline that a stage would start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    /// What it is called.
    pub name: String,
    /// The pipeline, as the shell reads it.
    pub command: String,
    /// Whether it must have all, so that it is waited for.
    pub must: bool,
    /// How much may wait for it, bytes.
    pub queue: u64,
    /// What happens when that is full.
    pub overload: String,
}

impl Disk {
    /// Where a file would be, and what is free there.
    pub fn of(file: &Path) -> Result<Disk, Need> {
        let name = file.display().to_string();
        match need::disk_of(file) {
            Ok((device, free)) => {
                Ok(Disk { file: name, device, free, factor: 1.0, ..Disk::default() })
            }
            Err(problem) => {
                Err(Need { what: format!("room for {name}"), problem: Some(problem) })
            }
        }
    }

    /// Bytes a second, compressed.
    pub fn stored_per_second(&self) -> Option<f64> {
        self.bytes_per_second.map(|bytes| bytes * self.factor)
    }
}

impl Plan {
    /// What follows from the role and the common options alone.
    fn new<A: Parser>(role: Role, common: &Common, input: Option<Vec<Flow>>) -> Plan {
        let command = A::command();
        let (queue, overload) = overload(role, common);
        let queued = match role {
            // The queue is swapped for another while it is being written.
            Role::Source => common.queue.saturating_mul(2),
            Role::Recorder => common.queue,
            // Beside it, one record is on its way in and one on its way out.
            Role::QueueingFilter | Role::Queue => {
                common.queue.saturating_add(common.max_record)
            }
            // What has several of them tells so itself.
            _ => 0,
        };
        let held = if role.takes_records() { common.max_record } else { 0 };
        Plan {
            // So that it lies in the program in one piece.
            format: std::hint::black_box(MARK).into(),
            name: common.name(),
            tool: command.get_name().into(),
            about: command.get_about().map(ToString::to_string).unwrap_or_default(),
            role: role.name().into(),
            output: input.clone().filter(|_| role.passes_on()),
            input: input.filter(|_| role.takes_records()),
            memory: IDLE_MEMORY.saturating_add(queued).saturating_add(held),
            queue,
            overload,
            needs: Vec::new(),
            disk: None,
            branches: Vec::new(),
            seconds: common.duration.map(|time| time as f64 / SECOND as f64),
            notes: Vec::new(),
        }
    }

    /// Adds something that it must have.
    pub fn needs(&mut self, need: Need) {
        self.needs.push(need);
    }

    /// Says which files it would read instead of stdin, if any.
    pub(super) fn reads(&mut self, files: &[PathBuf]) {
        for file in files.iter().filter(|file| *file != Path::new("-")) {
            self.needs(Need::file(file));
            (self.input, self.output) = (None, None);
        }
    }

    /// Changes each stream that would go out; those for which `change` says no do not.
    pub fn change(&mut self, mut change: impl FnMut(&mut Flow) -> bool) {
        if let Some(flows) = &mut self.output {
            flows.retain_mut(&mut change);
        }
    }

    /// Sends the description of each stream through the tool itself: what comes out of it is
    /// what would go out. For tools that change descriptions or leave streams out.
    pub fn send_through(&mut self, mut tool: impl Filter) -> Result<()> {
        let (mut catalog, mut said) = (Catalog::default(), Vec::new());
        for (flow, stream) in self.output.iter().flatten().zip(1..) {
            let (kind, payload) = (Kind::STREAM, flow.stream.to_bytes());
            let header =
                Header { kind, flags: 0, stream, session: 1, seq: 0, time: 0, sent: 0 };
            let record = Record::new(header, &payload);
            catalog.learn(&record)?;
            tool.record(record, &catalog, &mut said)?;
        }
        let said = |number: u16| {
            let mut of_stream = said.iter().filter(|(h, _)| h.stream == number);
            of_stream.next_back().map(|(_, payload)| Stream::from_bytes(payload))
        };
        let flows = self.output.take().unwrap_or_default().into_iter().zip(1..);
        let changed = flows.filter_map(|(flow, number)| {
            let stream = said(number)?;
            Some(stream.map(|stream| match stream.sample_size() {
                Some(_) => {
                    Flow { batch: flow.batch, timed: flow.timed, ..Flow::new(stream) }
                }
                None => Flow { stream, ..flow },
            }))
        });
        self.output = self.input.as_ref().map(|_| changed.collect()).transpose()?;
        Ok(())
    }

    /// Says that it would write a file. What comes in each second is what `bytes` says of
    /// each stream, and `factor` of that is left.
    pub fn writes(
        &mut self,
        file: &Path,
        min_free: u64,
        bytes: impl Fn(&Flow) -> Option<f64>,
        (factor, assumption): (f64, &str),
    ) {
        let sum = |flows: &Vec<Flow>| flows.iter().map(bytes).sum::<Option<f64>>();
        let bytes_per_second = self.input.as_ref().and_then(sum);
        let (factor, assumption) = (factor, assumption.into());
        match Disk::of(file) {
            Ok(disk) => {
                self.disk =
                    Some(Disk { min_free, bytes_per_second, factor, assumption, ..disk });
            }
            Err(need) => self.needs(need),
        }
    }

    /// Whether all is there that it needs.
    pub fn is_ready(&self) -> bool {
        self.needs.iter().all(|need| need.problem.is_none())
    }
}

/// What a queue may hold, and what happens beyond.
fn overload(role: Role, common: &Common) -> (Option<u64>, String) {
    const WAITS: &str = "the stage before waits";
    let device = "the device is not read; what it cannot keep is lost there";
    let queue = Some(common.queue);
    match role {
        Role::Source => (queue, common.overflow.of(device).into()),
        Role::Queue => (queue, common.overflow.of(WAITS).into()),
        // What the user leaves open the tool knows.
        Role::Sender => {
            let told = |overflow: &Overflow| overflow.of(WAITS).to_owned();
            let overload = Some(&common.overflow).filter(|_| common.given.overflow);
            let queue = queue.filter(|_| common.given.queue);
            (queue, overload.map(told).unwrap_or_default())
        }
        Role::Recorder | Role::QueueingFilter | Role::Merge | Role::Splitter => {
            (queue, WAITS.into())
        }
        Role::Filter | Role::Sink | Role::TextSink => (None, WAITS.into()),
        Role::Device | Role::Command | Role::Conductor => (None, String::new()),
    }
}

impl Overflow {
    /// What happens when a queue is full, in words; `wait` is what blocking means.
    pub fn of(&self, wait: &'static str) -> &'static str {
        match self {
            Overflow::Block => wait,
            Overflow::DropOldest => "drops the oldest records, told as gaps",
            Overflow::DropNewest => "drops the newest records, told as gaps",
            Overflow::Spill(_) => "puts the rest in a file, and takes it back in order",
        }
    }
}

/// Writes the plan of a command line after those of the stages before, and returns the
/// exit code: 1 if something is missing.
pub(super) fn write<A: Parser>(
    role: Role,
    args: &A,
    common: &Common,
    add: impl FnOnce(&A, &mut Plan) -> Result<()>,
) -> Result<u8> {
    let mut plans = match role {
        Role::Source | Role::Device | Role::Command | Role::Conductor => Vec::new(),
        _ => before().context("stdin: plans of the stages before")?,
    };
    let input = plans.last().and_then(|plan: &Plan| plan.output.clone());
    let mut plan = Plan::new::<A>(role, common, input);
    if let Err(err) = add(args, &mut plan) {
        let what = "arguments that can be carried out".into();
        plan.needs(Need { what, problem: Some(format!("{err:#}")) });
    }
    let code = u8::from(!plan.is_ready());
    plans.push(plan);
    let text = serde_json::to_string(&plans)? + "\n";
    io::stdout().write_all(text.as_bytes()).map_err(exit::stdout_error)?;
    Ok(code)
}

/// The plans of the stages before; none where there is no pipe of them.
fn before() -> Result<Vec<Plan>> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Ok(Vec::new());
    }
    let mut text = String::new();
    stdin.lock().take(MAX_PLANS).read_to_string(&mut text)?;
    Ok(if text.trim().is_empty() { Vec::new() } else { serde_json::from_str(&text)? })
}
