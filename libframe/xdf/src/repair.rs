//! A file that broke off, brought to its end where it is.
//!
//! What was cut off goes to a file of its own first, so that nothing is thrown away; then it
//! is cut from the file, and the footers that are missing are appended in one write. Who is
//! killed between any two of these can begin anew.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::reader::{Damage, ReadError, Reader};
use crate::survey::{StreamSurvey, Survey};
use crate::writer::{Totals, Writer};

/// What a tail is called beside its file.
const TAIL: &str = ".tail";

/// What was done to a file.
#[derive(Clone, Debug, Default)]
pub struct Repair {
    /// Streams that got a footer: name, number in the file, samples.
    pub footers: Vec<(String, u32, u64)>,
    /// What was cut off: where, how many bytes, and the file that they are in now.
    pub cut: Option<(u64, u64, PathBuf)>,
    /// Places inside that cannot be read. They stay as they are: readers pass over them.
    pub damage: Vec<Damage>,
    /// How many such places there are, and bytes in all of them.
    pub damaged: (u64, u64),
    /// Samples of streams without a header.
    pub undescribed: u64,
}

impl Repair {
    /// Whether the file was as it should be.
    pub fn is_nothing(&self) -> bool {
        self.footers.is_empty() && self.cut.is_none() && self.damaged.0 == 0
    }
}

/// Why a file could not be repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Somebody writes it.
    #[error("in use by another process")]
    InUse,
    /// The system says so.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
}

/// Adds to a file what its end lacks.
pub fn repair(path: &Path) -> Result<Repair, RepairError> {
    let fails = |err| RepairError::Io(path.into(), err);
    let file = File::options().read(true).write(true).open(path).map_err(fails)?;
    if let Err(Errno::WOULDBLOCK) = flock(&file, FlockOperation::NonBlockingLockExclusive)
    {
        return Err(RepairError::InUse);
    }
    let survey = Survey::of(&mut Reader::new(&file)?)?;
    let mut repair = Repair {
        damage: survey.damage.clone(),
        damaged: survey.damaged,
        undescribed: survey.streams.iter().map(|stream| stream.undescribed).sum(),
        ..Repair::default()
    };
    let mut end = survey.len;
    if let Some(offset) = survey.cut() {
        let tail = keep_tail(&file, path, offset)
            .map_err(|(path, err)| RepairError::Io(path, err))?;
        repair.cut = Some((offset, end - offset, tail));
        repair.damage.pop();
        repair.damaged.0 -= 1;
        repair.damaged.1 -= end - offset;
        end = offset;
    }
    // Room that the recorder had set aside and did not come to use goes too.
    file.set_len(end).map_err(fails)?;
    let lacking = survey.streams.iter().filter(|stream| lacks_footer(stream));
    let mut writer = Writer::append(Vec::new(), end);
    for stream in lacking {
        writer.stream_footer(stream.stream, &totals(stream));
        let name = stream.name().to_owned();
        repair.footers.push((name, stream.stream, stream.samples));
    }
    writer.flush().map_err(fails)?;
    file.write_all_at(writer.get_ref(), end).map_err(fails)?;
    file.sync_all().map_err(fails)?;
    Ok(repair)
}

fn lacks_footer(stream: &StreamSurvey) -> bool {
    stream.header.is_some() && stream.footer.is_none()
}

fn totals(stream: &StreamSurvey) -> Totals {
    let mut totals = Totals::default();
    (totals.first, totals.last, totals.count) =
        (stream.first, stream.last, stream.samples);
    stream.offsets.iter().for_each(|offset| totals.offset(*offset));
    totals
}

/// Copies what follows `offset` to a new file beside this one.
fn keep_tail(
    file: &File,
    path: &Path,
    offset: u64,
) -> Result<PathBuf, (PathBuf, io::Error)> {
    // A repair that was killed may have left one, and nothing is written over.
    for number in 0..1000 {
        let tail = tail_name(path, number);
        match File::options().write(true).create_new(true).open(&tail) {
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
            Err(err) => return Err((tail, err)),
            Ok(to) => {
                let copied = copy(file, offset, to);
                if copied.is_err() {
                    // Half a tail is worse than none: the whole is still in the file.
                    drop(fs::remove_file(&tail));
                }
                return copied.map(|()| tail.clone()).map_err(|err| (tail, err));
            }
        }
    }
    Err((path.into(), io::ErrorKind::AlreadyExists.into()))
}

fn copy(mut file: &File, offset: u64, mut to: File) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    let mut piece = vec![0; 256 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => return to.sync_all(),
            n => to.write_all(&piece[..n])?,
        }
    }
}

fn tail_name(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TAIL);
    if number > 0 {
        name.push(format!("-{number:03}"));
    }
    name.into()
}
