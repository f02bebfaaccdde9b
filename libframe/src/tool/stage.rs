//! Who this stage is, in the session's list of stages and in STATS.

use std::collections::BTreeMap;

use super::args::Common;
use super::status::Counters;
use crate::clock::{Clock, cpu_time};
use crate::crc;
use crate::histogram::Histogram;
use crate::payload::{Flow, Session, Stage, Stats};

/// The process as a stage of a pipeline.
#[derive(Clone, Debug)]
pub struct Identity {
    /// What the stage calls itself.
    pub name: String,
    command: Vec<String>,
    meta: Vec<(String, String)>,
}

impl Identity {
    pub(super) fn new(common: &Common) -> Identity {
        let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
        Identity {
            name: common.name(),
            command: words.collect(),
            meta: common.meta.clone(),
        }
    }

    fn stage(&self) -> Stage {
        Stage {
            name: self.name.clone(),
            command: self.command.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            host: host_name(),
            pid: std::process::id(),
        }
    }

    /// The session that a source opens.
    pub fn new_session(&self, clock: &Clock) -> Session {
        let reading = clock.reading();
        let mut session = Session {
            uuid: uuid::Uuid::new_v4().to_string(),
            host: host_name(),
            boot_id: boot_id(),
            start_realtime: reading.realtime.unwrap_or_default(),
            start_monotonic: reading.monotonic,
            meta: BTreeMap::new(),
            stages: Vec::new(),
        };
        self.join(&mut session);
        session
    }

    /// Adds this stage, and what the user gave it to say, to a session that comes by.
    /// Returns the stage's place.
    pub fn join(&self, session: &mut Session) -> u32 {
        session.meta.extend(self.meta.iter().cloned());
        session.stages.push(self.stage());
        session.stages.len() as u32 - 1
    }
}

/// Gives a session that this stage opens a name of its own; returns its tag.
pub fn name_session(session: &mut Session) -> u32 {
    session.uuid = uuid::Uuid::new_v4().to_string();
    crc::crc32c(session.uuid.as_bytes())
}

/// The host's name, as the kernel has it.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// This boot's name, as Linux gives one; elsewhere an empty one, equal to no other.
pub fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// How long records took to this stage.
#[derive(Debug, Default)]
pub(super) struct Delays {
    /// From the stage before; at a source, from capture.
    pub(super) hop: Histogram,
    /// From capture.
    pub(super) age: Histogram,
}

impl Delays {
    /// Takes over what another counted.
    pub(super) fn take(&mut self, other: &mut Delays) {
        self.hop.take(&mut other.hop);
        self.age.take(&mut other.age);
    }
}

/// Makes a STATS of what the counters gained since the last.
#[derive(Debug)]
pub(super) struct StatsMaker {
    from: i64,
    input: Flow,
    output: Flow,
    dropped: u64,
    /// Those of this session so far.
    number: u64,
    /// What comes in is not what the stage before wrote.
    pub(super) origin: bool,
}

impl StatsMaker {
    pub(super) fn new(now: i64) -> StatsMaker {
        StatsMaker {
            from: now,
            input: Flow::default(),
            output: Flow::default(),
            dropped: 0,
            number: 0,
            origin: false,
        }
    }

    /// The maker of a stage that reads not what the stage before it wrote.
    pub(super) fn at_origin(self) -> StatsMaker {
        StatsMaker { origin: true, ..self }
    }

    /// Makes one; `last` if the session is over for this stage.
    pub(super) fn make(
        &mut self,
        now: i64,
        stage: (&str, u32),
        counters: &Counters,
        delays: &mut Delays,
        last: bool,
    ) -> Stats {
        let (input, output) = (counters.input.flow(), counters.output.flow());
        let dropped = counters.lost.get();
        let stats = Stats {
            stage: stage.0.into(),
            index: stage.1,
            from: self.from,
            to: now,
            input: gained(input, self.input),
            output: gained(output, self.output),
            dropped: dropped.saturating_sub(self.dropped),
            queue: counters.deepest.take(),
            queue_limit: counters.limit.get().copied(),
            hop: delays.hop.pairs(),
            age: delays.age.pairs(),
            rss: resident(),
            cpu: cpu_time().max(0) as u64,
            origin: self.origin,
            number: Some(self.number),
            last,
        };
        delays.hop.clear();
        delays.age.clear();
        let number = if last { 0 } else { self.number + 1 };
        *self = StatsMaker { from: now, input, output, dropped, number, ..*self };
        stats
    }
}

fn gained(now: Flow, before: Flow) -> Flow {
    Flow {
        records: now.records - before.records,
        samples: now.samples - before.samples,
        bytes: now.bytes - before.bytes,
    }
}

/// Resident memory in bytes; 0 where the system does not tell.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}
