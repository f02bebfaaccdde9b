//! What a tool lost or found missing, summed over all sessions, and how it says so.

use super::origin::Remark;
use crate::decoder::{Cause, Damage};
use crate::ledger::{Loss, SessionLedger, StreamLedger};

/// Lines about losses on stderr; the rest are summed up in one more.
const MAX_LINES: usize = 20;

/// The sum of all that came and did not.
#[derive(Debug, Default)]
pub struct Account {
    samples: u64,
    lost: u64,
    unknown: u64,
    /// Samples that came without some of their channels.
    partial: u64,
    duplicates: u64,
    reordered: u64,
    damaged_places: u64,
    damaged_bytes: u64,
    late_bytes: u64,
    malformed: u64,
    /// Complaints about the input as a whole; each alone is a loss.
    broken: Vec<String>,
    /// By stream, who lost how much.
    losses: Vec<(String, Loss)>,
    /// What else is to be said.
    remarks: Vec<Remark>,
}

impl Account {
    /// Adds a session's ledger; `name` tells a stream's name.
    pub(super) fn add(&mut self, ledger: &SessionLedger, name: impl Fn(u16) -> String) {
        // The account of the session itself (0) tells who broke off, which is a complaint.
        for (number, stream) in ledger.streams().filter(|(number, _)| *number != 0) {
            self.add_stream(stream, || name(number));
        }
    }

    /// Adds the ledger of one stream; `name` tells the stream's.
    pub fn add_stream(&mut self, stream: &StreamLedger, name: impl Fn() -> String) {
        self.samples = self.samples.saturating_add(stream.samples());
        self.lost = self.lost.saturating_add(stream.lost());
        self.unknown += stream.unknown();
        self.partial = self.partial.saturating_add(stream.partial());
        self.duplicates += stream.duplicates();
        self.reordered += stream.reordered();
        for loss in stream.losses().iter().filter(|loss| loss.places > 0) {
            self.add_loss(name(), loss.clone());
        }
    }

    fn add_loss(&mut self, name: String, loss: Loss) {
        if self.losses.len() < 10 * MAX_LINES {
            self.losses.push((name, loss));
        }
    }

    /// Adds the account of another input.
    pub(super) fn absorb(&mut self, other: Account) {
        self.samples = self.samples.saturating_add(other.samples);
        self.lost = self.lost.saturating_add(other.lost);
        self.unknown += other.unknown;
        self.partial = self.partial.saturating_add(other.partial);
        self.duplicates += other.duplicates;
        self.reordered += other.reordered;
        self.damaged_places += other.damaged_places;
        self.damaged_bytes += other.damaged_bytes;
        self.late_bytes += other.late_bytes;
        self.malformed += other.malformed;
        self.remarks.extend(other.remarks);
        other.broken.into_iter().for_each(|what| self.add_broken(what));
        other.losses.into_iter().for_each(|(name, loss)| self.add_loss(name, loss));
    }

    /// Takes what is said of samples from the account of what went out, where this stage
    /// dropped some of what came. What had been lost before is in both.
    pub(super) fn replace_samples(&mut self, written: Account) {
        self.samples = written.samples;
        self.lost = written.lost;
        self.unknown = written.unknown;
        self.partial = written.partial;
        self.losses = written.losses;
    }

    /// Counts samples that came and were dropped by this stage.
    pub(super) fn add_dropped(&mut self, samples: u64) {
        self.samples = self.samples.saturating_sub(samples);
        self.lost = self.lost.saturating_add(samples);
    }

    /// Counts samples of a stream that came, and that this stage could not pass on.
    pub fn add_own(&mut self, stream: &str, loss: &Loss) {
        self.add_dropped(loss.samples);
        self.add_loss(stream.into(), loss.clone());
    }

    pub(super) fn add_damage(&mut self, damage: &Damage) {
        if damage.cause == Cause::Late {
            self.late_bytes += damage.bytes;
        } else {
            self.damaged_places += 1;
            self.damaged_bytes += damage.bytes;
        }
    }

    pub(super) fn add_malformed(&mut self) {
        self.malformed += 1;
    }

    /// The input as a whole is not what it should be.
    pub fn add_broken(&mut self, what: String) {
        if self.broken.len() < MAX_LINES && !self.broken.contains(&what) {
            self.broken.push(what);
        }
    }

    pub(super) fn add_remarks(&mut self, remarks: Vec<Remark>) {
        self.remarks.extend(remarks);
    }

    /// Samples known to be missing.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Places in the input that could not be read, and their bytes.
    pub fn damaged(&self) -> (u64, u64) {
        (self.damaged_places, self.damaged_bytes)
    }

    /// Bytes before the first record of an input that was joined in the middle.
    pub fn late_bytes(&self) -> u64 {
        self.late_bytes
    }

    /// Records whose payload contradicts their stream's description.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// What is wrong with the input as a whole.
    pub fn broken(&self) -> &[String] {
        &self.broken
    }

    /// Whether this is a loss, when a share of the samples may be lost.
    pub fn is_loss(&self, max_loss: Option<f64>) -> bool {
        if !self.broken.is_empty() {
            return true;
        }
        match max_loss {
            Some(share) => {
                let all = self.samples as f64 + self.lost as f64;
                self.lost as f64 + self.partial as f64 > share * all
                    || (share == 0.0 && self.is_loss(None))
            }
            None => self.is_missing() || self.damaged_places + self.malformed > 0,
        }
    }

    /// Whether samples, or parts of them, are missing. No sum: what others claim may be as
    /// large as numbers are.
    fn is_missing(&self) -> bool {
        [self.lost, self.unknown, self.partial] != [0; 3]
    }

    /// Says on stderr what was lost. Nothing if nothing was.
    pub(super) fn tell(&self, name: &str, verbose: bool) {
        for remark in self.remarks.iter().filter(|remark| remark.always || verbose) {
            eprintln!("{name}: {}", remark.text);
        }
        for what in &self.broken {
            eprintln!("{name}: {what}");
        }
        if self.damaged_places > 0 {
            let (places, bytes) = (self.damaged_places, self.damaged_bytes);
            eprintln!(
                "{name}: input damaged, places: {places}, unreadable bytes: {bytes}"
            );
        }
        if self.malformed > 0 {
            let n = self.malformed;
            eprintln!("{name}: {n} records contradict their stream's description");
        }
        if self.is_missing() {
            self.tell_losses(name);
        }
        if verbose && self.duplicates + self.reordered > 0 {
            let (twice, late) = (self.duplicates, self.reordered);
            eprintln!("{name}: {twice} samples came twice, {late} after later ones");
        }
        if verbose && self.late_bytes > 0 {
            let n = self.late_bytes;
            eprintln!("{name}: joined in the middle, {n} bytes before the first record");
        }
    }

    fn tell_losses(&self, name: &str) {
        let all = self.samples.saturating_add(self.lost);
        let unknown = match self.unknown {
            0 => String::new(),
            n => format!(", and an unknown number more, gaps: {n}"),
        };
        let partial = match self.partial {
            0 => String::new(),
            n => format!("; {n} came without some of their channels"),
        };
        eprintln!("{name}: {} of {all} samples lost{unknown}{partial}", self.lost);
        for (stream, loss) in self.losses.iter().take(MAX_LINES) {
            let Loss { stage, reason, samples, places, partial, .. } = loss;
            let partial = match partial {
                0 => String::new(),
                n => format!(", {n} incomplete"),
            };
            let by = match reason.is_explained() {
                true => format!("by {stage}"),
                false => format!("unexplained, noticed by {stage}"),
            };
            let reason = reason.name();
            eprintln!(
                "{name}: {stream}: {samples} lost{partial}, gaps: {places}, reason: {reason}, {by}"
            );
        }
        if self.losses.len() > MAX_LINES {
            eprintln!("{name}: … and {} more lines", self.losses.len() - MAX_LINES);
        }
    }
}
