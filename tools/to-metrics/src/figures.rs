//! All that is shown, as plain data: the pipe's thread fills it in, and a copy is what a
//! scrape reads.
//!
//! Counts go over all sessions and never go down.

use libframe::histogram::Histogram;
use libframe::payload::{Flow, Stats};

use crate::label::Labels;
use crate::table::{OTHER, Table};

/// Stages that are told apart; a pipeline has a handful.
const MAX_STAGES: usize = 64;
/// Labels of events that are told apart.
const MAX_EVENTS: usize = 200;
/// Hosts, and remote clocks, that are told apart.
const MAX_CLOCKS: usize = 64;
/// Sessions that are told of; those that are over make room.
const MAX_SESSIONS: usize = 8;

/// All that is shown.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) streams: Table<StreamFigures>,
    /// By stream, stage and reason.
    pub(crate) losses: Table<LossFigures>,
    /// By stage and place.
    pub(crate) stages: Table<StageFigures>,
    /// By label.
    pub(crate) events: Table<u64>,
    /// By host.
    pub(crate) clocks: Table<ClockFigures>,
    /// By stream and the clock's name.
    pub(crate) remotes: Table<RemoteFigures>,
    /// By cause.
    pub(crate) damage: Table<DamageFigures>,
    pub(crate) sessions: Vec<SessionFigures>,
    pub(crate) begun: u64,
    pub(crate) ended: u64,
    pub(crate) broken_off: u64,
    /// When samples came last, ns of our CLOCK_MONOTONIC; at first when we began.
    pub(crate) arrived: i64,
    /// Nothing more will come.
    pub(crate) is_over: bool,
}

impl Figures {
    /// Nothing yet. So many streams are told apart, and twice as many losses.
    pub(crate) fn new(max_streams: usize, now: i64) -> Figures {
        let mut damage = Table::new(MAX_CLOCKS);
        for cause in ["header", "payload", "too-long", "truncated"] {
            // There from the start, so that the first damage is a change.
            damage.place(&Labels::new(&[("cause", cause)]), Labels::default);
        }
        Figures {
            streams: Table::new(max_streams),
            losses: Table::new(2 * max_streams),
            stages: Table::new(MAX_STAGES),
            events: Table::new(MAX_EVENTS),
            clocks: Table::new(MAX_CLOCKS),
            remotes: Table::new(MAX_CLOCKS),
            damage,
            sessions: Vec::new(),
            begun: 0,
            ended: 0,
            broken_off: 0,
            arrived: now,
            is_over: false,
        }
    }

    /// The row of a stage.
    pub(crate) fn stage(
        &mut self,
        name: &str,
        index: u32,
    ) -> (&mut StageFigures, Labels) {
        let pairs = [("stage", name), ("index", &index.to_string())];
        let labels = Labels::new(&pairs);
        let row =
            self.stages.row(&labels, || Labels::new(&[("stage", OTHER), ("index", "")]));
        (row, labels)
    }

    /// Adds what a stage said.
    pub(crate) fn take_stats(&mut self, stats: &Stats) {
        self.stage(&stats.stage, stats.index).0.take(stats);
    }

    /// Tells of a session. Those that are over go as soon as another begins: until then, who
    /// asks late shall see how it ended.
    pub(crate) fn begin_session(&mut self, session: SessionFigures) {
        self.begun += 1;
        self.sessions.retain(|other| other.is_open);
        if self.sessions.len() == MAX_SESSIONS {
            self.sessions.remove(0);
        }
        self.sessions.push(session);
    }

    /// The session of a tag.
    pub(crate) fn session(&mut self, tag: u32) -> Option<&mut SessionFigures> {
        self.sessions.iter_mut().rev().find(|session| session.tag == tag)
    }
}

/// A session.
#[derive(Clone, Debug)]
pub(crate) struct SessionFigures {
    pub(crate) tag: u32,
    pub(crate) is_open: bool,
    /// Its tag as a label, alone and with what else is known.
    pub(crate) labels: Labels,
    pub(crate) info: Labels,
    /// ns since 1970.
    pub(crate) start: Option<i64>,
}

impl SessionFigures {
    pub(crate) fn new(tag: u32) -> SessionFigures {
        let labels = Labels::new(&[("session", &format!("{tag:08x}"))]);
        let info = labels.with(&[("uuid", ""), ("host", "")], 0);
        SessionFigures { tag, is_open: true, labels, info, start: None }
    }
}

/// A stream, by its name.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamFigures {
    pub(crate) samples: u64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) duplicates: u64,
    pub(crate) reordered: u64,
    /// Samples that were lost and not found again.
    pub(crate) missing: u64,
    pub(crate) descriptions: u64,
    /// What it is, once that is known.
    pub(crate) info: Option<Labels>,
    pub(crate) channels: Option<u64>,
    pub(crate) nominal: Option<f64>,
    /// Over the last few seconds, and over the session.
    pub(crate) rate: Option<f64>,
    pub(crate) mean_rate: Option<f64>,
    /// The number that the next sample has.
    pub(crate) next: u64,
    /// When the last sample was captured: on our CLOCK_MONOTONIC if it is the same clock,
    /// and in ns since 1970.
    pub(crate) captured: Option<i64>,
    pub(crate) captured_realtime: Option<i64>,
    /// When it came here.
    pub(crate) arrived: Option<i64>,
}

/// What one stage lost of a stream for one reason.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LossFigures {
    pub(crate) samples: u64,
    /// Samples that came late after all, or that another stage owned up to.
    pub(crate) found: u64,
    pub(crate) gaps: u64,
    /// Gaps of unknown length.
    pub(crate) unknown: u64,
    /// Samples that came without some of their channels.
    pub(crate) partial: u64,
}

/// Input that was no record.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DamageFigures {
    pub(crate) places: u64,
    pub(crate) bytes: u64,
}

/// A host's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClockFigures {
    pub(crate) readings: u64,
    /// Wall clock minus CLOCK_MONOTONIC, ns, at the session's first reading, and now.
    pub(crate) first_offset: i64,
    pub(crate) offset: i64,
    /// The kernel's bound on its error; none if nothing disciplines it.
    pub(crate) error: Option<i64>,
}

/// A remote clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RemoteFigures {
    pub(crate) offset: Option<i64>,
    pub(crate) round_trip: Option<i64>,
}

/// What a stage said of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct StageFigures {
    pub(crate) input: Flow,
    pub(crate) output: Flow,
    pub(crate) dropped: u64,
    pub(crate) reports: u64,
    /// The deepest its queue was since the report before, and what it may hold.
    pub(crate) queue: u64,
    pub(crate) queue_limit: Option<u64>,
    pub(crate) rss: u64,
    /// CPU time of all processes that were this stage, ns.
    pub(crate) cpu: u64,
    pub(crate) hop: Histogram,
    age: Histogram,
    /// It captures, or plays a recording.
    is_origin: bool,
    /// Version, host and command.
    pub(crate) info: Option<Labels>,
    /// The process that is the stage now, and its CPU time as it told last.
    process: (String, u32),
    process_cpu: u64,
}

impl StageFigures {
    /// Learns which process the stage is now. Another one counts its CPU time from 0.
    pub(crate) fn is_process(&mut self, host: &str, pid: u32, info: Labels) {
        self.info = Some(info);
        if (self.process.0.as_str(), self.process.1) != (host, pid) {
            self.process = (host.into(), pid);
            self.process_cpu = 0;
        }
    }

    /// Time from capture to this stage. One that captures reads nothing: its way from
    /// capture is its hop.
    pub(crate) fn age(&self) -> &Histogram {
        if self.is_origin && self.age.total() == 0 { &self.hop } else { &self.age }
    }

    fn take(&mut self, stats: &Stats) {
        self.is_origin |= stats.origin || stats.index == 0;
        for (sum, gained) in
            [(&mut self.input, stats.input), (&mut self.output, stats.output)]
        {
            sum.records = sum.records.saturating_add(gained.records);
            sum.samples = sum.samples.saturating_add(gained.samples);
            sum.bytes = sum.bytes.saturating_add(gained.bytes);
        }
        self.dropped = self.dropped.saturating_add(stats.dropped);
        self.reports += 1;
        self.queue = stats.queue;
        self.queue_limit = stats.queue_limit;
        self.rss = stats.rss;
        // Less than before is a process of which nobody told.
        let gained = stats.cpu.checked_sub(self.process_cpu).unwrap_or(stats.cpu);
        self.cpu = self.cpu.saturating_add(gained);
        self.process_cpu = stats.cpu;
        self.hop.add_pairs(&stats.hop);
        self.age.add_pairs(&stats.age);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_goes_on_where_another_process_takes_over() {
        let mut figures = Figures::new(10, 0);
        let mut tell = |cpu, pid| {
            let (stage, labels) = figures.stage("a", 0);
            stage.is_process("host", pid, labels);
            stage.take(&Stats { cpu, ..Stats::default() });
            stage.cpu
        };
        assert_eq!(tell(100, 1), 100);
        assert_eq!(tell(150, 1), 150);
        assert_eq!(tell(200, 2), 350);
        assert_eq!(tell(20, 2), 370);
    }

    #[test]
    fn sessions_that_are_over_go_when_another_begins() {
        let mut figures = Figures::new(10, 0);
        for tag in 0..3 {
            figures.begin_session(SessionFigures::new(tag));
            figures.session(tag).unwrap().is_open = false;
        }
        assert_eq!((figures.begun, figures.sessions.len()), (3, 1));
        (3..100).for_each(|tag| figures.begin_session(SessionFigures::new(tag)));
        assert_eq!((figures.begun, figures.sessions.len()), (100, MAX_SESSIONS));
    }
}
