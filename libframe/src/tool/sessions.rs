//! The sessions whose END has not come.

use crate::ledger::{SessionLedger, StreamLedger};

/// Sessions that may be open at once: two pipes mixed by accident, not a hostile thousand.
const MAX_SESSIONS: usize = 4;

/// A session whose END has not come.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) tag: u32,
    pub(super) ledger: SessionLedger,
    /// The names of the stages it came through.
    pub(super) stages: Vec<String>,
    /// Its first record was seen, so nothing before can be missing in silence.
    pub(super) from_start: bool,
    /// Damaged places before that record.
    pub(super) damages: u64,
}

impl Open {
    /// The stage whose output this is.
    pub(super) fn last_stage(&self) -> &str {
        self.stages.last().map_or("the stage before", String::as_str)
    }
}

/// All of them; the one whose record came last is the last.
#[derive(Debug, Default)]
pub(super) struct Sessions(Vec<Open>);

impl Sessions {
    /// The session of a record, opened if need be.
    #[inline]
    pub(super) fn open(&mut self, tag: u32) -> &mut Open {
        if self.0.last().is_none_or(|open| open.tag != tag) {
            let open = self.take(|open| open.tag == tag).unwrap_or_else(|| {
                let (ledger, stages) = (SessionLedger::default(), Vec::new());
                Open { tag, ledger, stages, from_start: false, damages: 0 }
            });
            self.0.push(open);
        }
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    /// Whether this session's record came last.
    #[inline]
    pub(super) fn is_last(&self, tag: u32) -> bool {
        self.0.last().is_some_and(|open| open.tag == tag)
    }

    /// The session that must be given up before one more is opened.
    #[inline]
    pub(super) fn surplus(&mut self, tag: u32) -> Option<Open> {
        let full = self.0.len() == MAX_SESSIONS;
        let known = || self.0.iter().any(|open| open.tag == tag);
        if !full || known() { None } else { Some(self.0.remove(0)) }
    }

    /// Takes out the first session that fits.
    pub(super) fn take(&mut self, which: impl Fn(&Open) -> bool) -> Option<Open> {
        let at = self.0.iter().position(which)?;
        Some(self.0.remove(at))
    }

    /// The session whose record came last.
    pub(super) fn last(&self) -> Option<&Open> {
        self.0.last()
    }

    /// The account of a stream of a session that is open.
    #[inline]
    pub(super) fn stream(&mut self, tag: u32, stream: u16) -> Option<&mut StreamLedger> {
        self.open(tag).ledger.stream(stream)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Open> {
        self.0.iter()
    }
}
