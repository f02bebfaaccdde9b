//! XDF files as recordings: those of LabRecorder, and our own.
//!
//! A file is looked through once before it is played (`survey`): what a stream's clock is
//! ahead stands behind its first samples, and only its footer tells how many there should
//! be. Then its chunks become records, in their order (`play`); each stream has a `lane`, and
//! its samples of a chunk are one BATCH. In their `order` by time they are
//! what they were in a pipe. `header` says what is known of the session. Where a
//! file is `ours`, it has the records of the session itself.

mod batch;
mod device;
mod header;
mod lane;
mod markers;
mod order;
mod ours;
mod play;
mod survey;

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use self::survey::Survey;
use crate::recording::State;

pub(crate) use self::order::Ordered;
pub(crate) use self::play::Play;

/// The first bytes of an XDF file.
pub(crate) const SIGNATURE: [u8; 4] = *b"XDF:";

/// An XDF file that was looked through.
pub(crate) struct Xdf {
    path: PathBuf,
    survey: Survey,
}

impl Xdf {
    pub(crate) fn open(path: &Path) -> Result<Xdf> {
        Ok(Xdf { path: path.to_owned(), survey: Survey::of(path)? })
    }

    /// Whether its recorder came to write the footers, or is still at it: ours locks its file.
    pub(crate) fn state(&self) -> State {
        if self.survey.has_footers() {
            return State::Complete;
        }
        let file = File::open(&self.path);
        let lock = |file| flock(file, FlockOperation::NonBlockingLockShared);
        match file.map(lock) {
            Ok(Err(Errno::WOULDBLOCK)) => State::Growing,
            _ => State::BrokeOff,
        }
    }

    /// Its records from the start.
    pub(crate) fn play(&self) -> Result<Play> {
        Play::new(&self.path, &self.survey)
    }
}
