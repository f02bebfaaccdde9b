//! A recording on disk, whatever its format: as records, or as columns of numbers.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use libframe::payload::{End, Session};
use libframe::schema::Stream;

use crate::journal;
use crate::read::columns::Columns;
use crate::read::frames;
use crate::read::h5::H5;
use crate::read::records::Records;
use crate::xdf::{self, Xdf};

/// The first bytes of an HDF5 file.
const HDF5_SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";

/// Whether this is a file in HDF5.
pub fn is_hdf5(path: &Path) -> bool {
    let mut first = [0; HDF5_SIGNATURE.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut first));
    read.is_ok() && first == HDF5_SIGNATURE
}

/// Whether this is a file in another format than the pipe's.
pub(crate) fn is_other(path: &Path) -> bool {
    is_hdf5(path) || is_xdf(path)
}

fn is_xdf(path: &Path) -> bool {
    let mut first = [0; xdf::SIGNATURE.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut first));
    read.is_ok() && first == xdf::SIGNATURE
}

/// A recording that can be read, whether it is finished, growing, or broke off.
///
/// All of it is read by one thread: the HDF5 library is not made for more.
pub struct Recording {
    path: PathBuf,
    form: Form,
}

pub(crate) enum Form {
    /// Records as they were in a pipe.
    Frames,
    /// HDF5 in the layout of `man/framepipe-h5.5`.
    H5(H5),
    /// XDF, by LabRecorder or by us.
    Xdf(Xdf),
}

/// How a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It was closed.
    Complete,
    /// A recorder is at it.
    Growing,
    /// Its recorder was killed, or its disk was full.
    BrokeOff,
}

/// A session in a recording.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Its tag in record headers.
    pub tag: u32,
    /// The newest announcement.
    pub session: Session,
    /// Its totals, if it ended as it should.
    pub end: Option<End>,
}

/// A stream in a recording.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    /// Which of [`Recording::sessions`], from 0.
    pub session: usize,
    /// Its number in the session.
    pub number: u16,
    /// The newest description.
    pub description: Stream,
    /// Samples recorded.
    pub rows: u64,
    /// Its clock minus the session's, ns, as far as that was told.
    pub clock_offset: i64,
    /// Its groups in an HDF5 file, in the order they were written.
    pub(crate) parts: Vec<String>,
}

/// Consecutive samples of a stream without their payload.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// Capture times, ns of the capturing host's CLOCK_MONOTONIC.
    pub time: &'a [i64],
    /// Indices in the stream.
    pub seq: &'a [u64],
    /// The device's own times, if it gave any. Those of samples without are 0.
    pub device_time: Option<&'a [u64]>,
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Recording {
    /// Opens a recording; what it is, its first bytes tell.
    pub fn open(path: impl Into<PathBuf>) -> Result<Recording> {
        let path = path.into();
        let form = Form::of(&path).with_context(|| path.display().to_string())?;
        Ok(Recording { path, form })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is HDF5, whose columns are read without decoding records.
    pub fn is_hdf5(&self) -> bool {
        matches!(self.form, Form::H5(_))
    }

    /// How it ended. Of a recording made of records, the records tell.
    pub fn state(&self) -> State {
        match &self.form {
            Form::Frames => State::Complete,
            Form::H5(h5) => h5.state(),
            Form::Xdf(xdf) => xdf.state(),
        }
    }

    /// What is wrong with the recording as a whole, with the remedy.
    pub fn complaint(&self) -> Option<String> {
        let path = self.path.display();
        match self.state() {
            State::BrokeOff => Some(format!(
                "{path} broke off; read as far as it was written. \
                 `repair-frames {path}` brings it up to date"
            )),
            State::Complete | State::Growing => None,
        }
    }

    /// The sessions, in order. Reads a recording that is no HDF5 to its end.
    pub fn sessions(&self) -> Result<Vec<SessionInfo>> {
        self.told(match &self.form {
            Form::Frames => frames::survey(&self.path).map(|survey| survey.sessions),
            Form::H5(h5) => Ok(h5.sessions()),
            Form::Xdf(xdf) => {
                frames::survey_of(&mut xdf.play()?).map(|survey| survey.sessions)
            }
        })
    }

    /// The streams of all sessions. Reads a recording that is no HDF5 to its end.
    pub fn streams(&self) -> Result<Vec<StreamInfo>> {
        self.told(match &self.form {
            Form::Frames => frames::survey(&self.path).map(|survey| survey.streams),
            Form::H5(h5) => Ok(h5.streams()),
            Form::Xdf(xdf) => {
                frames::survey_of(&mut xdf.play()?).map(|survey| survey.streams)
            }
        })
    }

    /// A stream's numbers, block by block, without its samples.
    pub fn columns(&self, stream: &StreamInfo) -> Result<Columns> {
        self.told(match &self.form {
            Form::Frames => Columns::of_frames(&self.path, stream),
            Form::H5(h5) => h5.columns(stream),
            Form::Xdf(xdf) => Columns::of_xdf(xdf, stream),
        })
    }

    /// All records, in the order they had in the pipe.
    pub fn records(&self) -> Result<Records> {
        self.told(match &self.form {
            Form::Frames => Records::of_frames(&self.path),
            Form::H5(h5) => Records::of_h5(h5, true),
            Form::Xdf(xdf) => Records::of_xdf(xdf),
        })
    }

    /// All records, as they are stored: for who does not ask in which order streams come, and
    /// takes many samples at once as well.
    pub fn stored(&self) -> Result<Records> {
        match &self.form {
            Form::Xdf(xdf) => self.told(Records::of_stored_xdf(xdf)),
            Form::Frames | Form::H5(_) => self.records(),
        }
    }

    /// All records but DATA and BATCH. Reads the whole of a recording that is no HDF5.
    pub fn others(&self) -> Result<Records> {
        self.told(match &self.form {
            Form::Frames => Records::of_frames(&self.path).map(Records::without_samples),
            Form::H5(h5) => Records::of_h5(h5, false),
            Form::Xdf(xdf) => Records::of_stored_xdf(xdf).map(Records::without_samples),
        })
    }

    fn told<T>(&self, result: Result<T>) -> Result<T> {
        result.with_context(|| self.path.display().to_string())
    }
}

impl Form {
    fn of(path: &Path) -> Result<Form> {
        let mut file = match File::open(path) {
            Err(_) if journal::folder_of(path).is_dir() => bail!(
                "broke off before the file was made; `repair-frames {}` makes it",
                path.display()
            ),
            other => other?,
        };
        if file.metadata()?.is_dir() {
            bail!("this is a folder; name a recording in it");
        }
        let mut signature = Vec::new();
        file.by_ref().take(HDF5_SIGNATURE.len() as u64).read_to_end(&mut signature)?;
        if signature.is_empty() {
            bail!("the file is empty");
        }
        if signature == HDF5_SIGNATURE {
            return H5::open(path).map(Form::H5);
        }
        if signature.starts_with(&xdf::SIGNATURE) {
            return Xdf::open(path).map(Form::Xdf);
        }
        file.seek(SeekFrom::Start(0))?;
        match frames::has_records(file)? {
            true => Ok(Form::Frames),
            false => bail!("no recording: neither HDF5 nor XDF nor records of a pipe"),
        }
    }
}
