//! An input: its sessions, whose clocks they have, and its streams.

use libframe::payload::Session;
use libframe::timeline::Timeline;

use crate::routes::Routes;

/// Sessions of an input whose clocks are known; more are not open at once.
const MAX_SESSIONS: usize = 16;

/// An input, as far as it has come.
pub(crate) struct Input {
    pub(crate) label: String,
    /// Clocks of its streams, where it was merged itself.
    pub(crate) timeline: Timeline,
    pub(crate) routes: Routes,
    /// Its last sessions, the newest one last, and whose clock each has.
    pub(crate) sessions: Vec<(u32, usize)>,
    /// When and where the first of them began, and on which clock.
    pub(crate) first: Option<(Start, usize)>,
    /// What makes its times comparable.
    pub(crate) key: i64,
}

/// Where a session began, and when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Start {
    pub(crate) host: String,
    pub(crate) boot_id: String,
    pub(crate) realtime: i64,
    pub(crate) monotonic: i64,
}

impl Input {
    pub(crate) fn new(label: &str, key: i64) -> Input {
        Input {
            label: label.into(),
            timeline: Timeline::default(),
            routes: Routes::default(),
            sessions: Vec::new(),
            first: None,
            key,
        }
    }

    pub(crate) fn enter(&mut self, tag: u32, clock: usize) {
        self.sessions.retain(|(other, _)| *other != tag);
        if self.sessions.len() == MAX_SESSIONS {
            self.sessions.remove(0);
        }
        self.sessions.push((tag, clock));
    }

    /// Whose clock a session has, if it has told that.
    pub(crate) fn clock_of(&self, tag: u32) -> Option<usize> {
        let mut newest = self.sessions.iter().rev();
        newest.find(|(other, _)| *other == tag).map(|(_, clock)| *clock)
    }
}

impl Start {
    pub(crate) fn of(session: &Session) -> Start {
        Start {
            host: session.host.clone(),
            boot_id: session.boot_id.clone(),
            realtime: session.start_realtime,
            monotonic: session.start_monotonic,
        }
    }

    /// The same clocks at another instant.
    pub(crate) fn moved_to(self, monotonic: i64) -> Start {
        let by = monotonic.saturating_sub(self.monotonic);
        Start { monotonic, realtime: self.realtime.saturating_add(by), ..self }
    }
}
