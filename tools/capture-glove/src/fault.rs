//! Why frames are missing, and how many certainly are.
//!
//! The line carries no numbers, so what a break cost is partly a guess. What is certain: a
//! packet without its other half is a frame; and where nothing but bytes of packets can have
//! been, each 284 bytes between two good frames were one.

use std::fmt;

use crate::packet::ON_LINE;

/// What went wrong between two good frames.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fault {
    /// Which byte of the line was the first to be wrong.
    at: Option<u64>,
    /// Bytes that are no packet.
    pub(crate) junk: u64,
    /// First packets without a second, and second ones without a first.
    pub(crate) alone: u64,
    pub(crate) orphans: u64,
    /// The type that packets had from then on, and how often it changed.
    body: u8,
    changes: u64,
    /// Frames that were given and taken back.
    pub(crate) retracted: u64,
    /// Bytes between that are understood, but no packet.
    pub(crate) foreign: u64,
    /// Frames that are certainly lost.
    pub(crate) lost: u64,
    /// There may be more than those.
    pub(crate) more: bool,
}

impl Fault {
    /// Whether anything is missing or in doubt.
    pub(crate) fn is_any(&self) -> bool {
        self.at.is_some() || self.retracted > 0
    }

    pub(crate) fn add_junk(&mut self, at: u64, bytes: u64) {
        self.note(at);
        self.junk += bytes;
    }

    pub(crate) fn add_alone(&mut self, at: u64, lost: u64) {
        self.note(at);
        self.alone += 1;
        self.lost += lost;
    }

    pub(crate) fn add_orphan(&mut self, at: u64, lost: u64) {
        self.note(at);
        self.orphans += 1;
        self.lost += lost;
        self.more |= lost == 0;
    }

    pub(crate) fn add_change(&mut self, at: u64, body: u8) {
        self.note(at);
        self.body = body;
        self.changes += 1;
    }

    /// Decides how many frames are lost, when the next good one begins so many bytes after
    /// the last, or at the end.
    pub(crate) fn settle(&mut self, span: Option<u64>) {
        if !self.is_any() {
            self.foreign = 0;
            return;
        }
        let span = span.map(|span| span.saturating_sub(self.foreign));
        let whole = span.filter(|span| span.is_multiple_of(ON_LINE));
        match whole.filter(|_| self.changes == 0) {
            Some(bytes) => {
                // A frame that was taken back stands in the place of one.
                self.lost = (bytes / ON_LINE).saturating_sub(self.retracted);
                self.more = false;
            }
            None => {
                let known = ON_LINE * (self.lost + self.retracted);
                let bytes = span.unwrap_or(self.junk);
                self.more |= self.changes > 0 || bytes > known || self.lost == 0;
            }
        }
        self.more |= self.retracted > 0;
    }

    fn note(&mut self, at: u64) {
        self.at = Some(self.at.map_or(at, |before| before.min(at)));
    }
}

/// For people: what, and where.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}", self.at.unwrap_or_default())?;
        for (n, what) in [
            (self.junk, "bytes of junk"),
            (self.alone, "packets 1 without 2"),
            (self.orphans, "packets 2 without 1"),
            (self.retracted, "frames in doubt"),
        ] {
            if n > 0 {
                write!(f, ", {what}: {n}")?;
            }
        }
        match self.changes {
            0 => Ok(()),
            n => write!(f, ", changes of type: {n}, now {}", self.body),
        }
    }
}
