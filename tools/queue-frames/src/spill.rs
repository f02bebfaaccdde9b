//! The file that takes what does not fit in memory, and what is where in it.
//!
//! The file has no name, so that nothing is left of it whatever happens to the process. It is
//! a queue: written at its end, read from its begin, and what was read is given back to the
//! disk on the way. What is to be written is gathered, and can still be read from there.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use libframe::tool::Chunk;
use libframe::wire::Record;
use rustix::fs::{Mode, OFlags};

/// What is written, and read, at once.
pub(crate) const PIECE: usize = 128 << 10;
/// What was read is given back to the disk in parts of this size.
const GIVE_BACK: u64 = 1 << 20;

/// A file without a name.
#[derive(Debug)]
pub(crate) struct SpillFile {
    file: File,
    folder: PathBuf,
    min_free: u64,
}

impl SpillFile {
    /// Makes one in this folder. It is not written to if the disk has less free space.
    pub(crate) fn create(folder: &Path, min_free: u64) -> Result<SpillFile> {
        let file = nameless(folder).with_context(|| folder.display().to_string())?;
        Ok(SpillFile { file, folder: folder.into(), min_free })
    }

    /// Where it is, for messages.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes records at this place.
    pub(crate) fn write(&self, records: &Chunk, at: u64) -> Result<()> {
        let stat = rustix::fs::fstatvfs(&self.file)?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if free < self.min_free {
            bail!(
                "{free} bytes are free on its disk, and --min-free is {}",
                self.min_free
            );
        }
        Ok(self.file.write_all_at(records.as_bytes(), at)?)
    }

    /// Reads the records from this place on, so many bytes at most; one at least.
    pub(crate) fn read(&self, chunk: &mut Chunk, at: u64, left: u64) -> Result<()> {
        let mut len = left.min(PIECE as u64) as usize;
        loop {
            self.file.read_exact_at(chunk.restore(len), at)?;
            match chunk.trim() {
                Ok(()) => return Ok(()),
                Err(Some(longer)) if longer > len && longer as u64 <= left => {
                    len = longer
                }
                Err(_) => bail!("what was written there cannot be read again"),
            }
        }
    }

    /// Gives a part that was read back to the disk; false where that cannot be done.
    #[cfg(target_os = "linux")]
    fn give_back(&self, at: u64, len: u64) -> bool {
        use rustix::fs::FallocateFlags;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.file, flags, at, len).is_ok()
    }

    #[cfg(not(target_os = "linux"))]
    fn give_back(&self, _at: u64, _len: u64) -> bool {
        false
    }

    fn empty(&self) -> io::Result<()> {
        self.file.set_len(0)
    }
}

/// A file that is gone when it is closed.
fn nameless(folder: &Path) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    {
        let (flags, mode) = (OFlags::TMPFILE | OFlags::RDWR, Mode::RUSR | Mode::WUSR);
        if let Ok(file) = rustix::fs::open(folder, flags | OFlags::CLOEXEC, mode) {
            return Ok(file.into());
        }
    }
    // Not every file system can do that at once.
    let path = folder.join(format!(".queue-frames-{}", std::process::id()));
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)?;
    std::fs::remove_file(&path)?;
    Ok(file.into())
}

/// Where records are that do not fit in memory, in their order: in the file, on their way to
/// it, and gathered for the next write.
#[derive(Debug)]
pub(crate) struct Spilled {
    /// Of the file, these bytes wait.
    read: u64,
    end: u64,
    /// The file has given back what is before this.
    given_back: u64,
    /// Bytes that are being written.
    moving: u64,
    /// Records that the disk did not take.
    stuck: Chunk,
    /// Records to be written next.
    tail: Chunk,
    /// Room to be used again.
    spare: Chunk,
    max: u64,
    /// The disk took no more, so nothing is added until all is out.
    shut: bool,
}

/// What of it is next.
pub(crate) enum Next {
    /// Bytes of the file, from where and how many.
    InFile(u64, u64),
    /// Records that were in memory yet.
    Here,
    /// None, or it is being written.
    Nothing,
}

impl Spilled {
    /// Nothing, and at most this many bytes later.
    pub(crate) fn new(max: u64) -> Spilled {
        Spilled {
            read: 0,
            end: 0,
            given_back: 0,
            moving: 0,
            stuck: Chunk::default(),
            tail: Chunk::default(),
            spare: Chunk::default(),
            max,
            shut: false,
        }
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> u64 {
        let here = self.stuck.len() + self.tail.len();
        self.end - self.read + self.moving + here as u64
    }

    /// Whether a record may be added.
    pub(crate) fn accepts(&self, record: &Record<'_>) -> bool {
        let on_disk = self.end - self.given_back + self.moving;
        let more = (self.tail.len() + record.wire_len()) as u64;
        !self.shut && on_disk + more <= self.max
    }

    /// Whether the disk has refused, and not all is out since.
    pub(crate) fn is_shut(&self) -> bool {
        self.shut
    }

    /// Adds a record. True if enough is gathered to be written.
    pub(crate) fn add(&mut self, record: &Record<'_>) -> bool {
        self.tail.push(record);
        self.tail.len() >= PIECE
    }

    /// What is to be written, and where. [`Spilled::written`] must follow.
    pub(crate) fn begin_write(&mut self) -> (Chunk, u64) {
        let spare = std::mem::take(&mut self.spare);
        let piece = std::mem::replace(&mut self.tail, spare);
        self.moving = piece.len() as u64;
        (piece, self.end)
    }

    /// Whether it was written; if not, it is kept here.
    pub(crate) fn written(&mut self, mut piece: Chunk, ok: bool) {
        self.moving = 0;
        if ok {
            self.end += piece.len() as u64;
            piece.clear();
            self.spare = piece;
        } else {
            self.stuck = piece;
            self.shut = true;
        }
    }

    /// Where the next records are; those in memory are moved to `chunk`.
    pub(crate) fn next(&mut self, chunk: &mut Chunk) -> Next {
        if self.read < self.end {
            return Next::InFile(self.read, self.end - self.read);
        }
        let here = if self.stuck.is_empty() { &mut self.tail } else { &mut self.stuck };
        if self.moving > 0 || here.is_empty() {
            return Next::Nothing;
        }
        std::mem::swap(chunk, here);
        here.clear();
        Next::Here
    }

    /// Bytes were read from the file and passed on.
    pub(crate) fn was_read(&mut self, bytes: u64, file: &SpillFile) {
        self.read += bytes;
        let ready = self.read / GIVE_BACK * GIVE_BACK;
        if ready > self.given_back
            && file.give_back(self.given_back, ready - self.given_back)
        {
            self.given_back = ready;
        }
    }

    /// Begins anew if nothing is left. True if the disk may be tried again.
    pub(crate) fn settle(&mut self, file: &SpillFile) -> io::Result<bool> {
        if self.bytes() > 0 {
            return Ok(false);
        }
        if self.end > 0 {
            file.empty()?;
            (self.read, self.end, self.given_back) = (0, 0, 0);
        }
        Ok(std::mem::take(&mut self.shut))
    }
}
