//! The file on its disk: chunks are there whole or not at all.
//!
//! Room is set aside before it is needed. A full disk is noticed while what was accepted
//! still has its place, so it stops the recorder and takes nothing back.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::io::Errno;

/// Room that is always there beyond what waits: footers, and what is being read.
const MARGIN: u64 = 1 << 20;
/// Room that is taken at a time.
const STEP: u64 = 4 << 20;

/// When bytes must have reached the disk itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    None,
    Interval,
    Always,
}

/// A file that is appended to.
#[derive(Debug)]
pub(crate) struct Disk {
    file: File,
    fsync: When,
    /// Bytes of whole chunks, and those that the disk has set aside.
    len: u64,
    reserved: u64,
    full: bool,
    /// Whether the file system can set room aside.
    reserves: bool,
}

impl Disk {
    /// Begins a file; `force` writes over one that is there.
    pub(crate) fn create(path: &Path, force: bool, fsync: When) -> Result<Disk> {
        let what = || path.display().to_string();
        let mut options = File::options();
        options.write(true).create_new(!force).create(force);
        let file = match options.open(path) {
            Err(err) if err.kind() == ErrorKind::AlreadyExists => {
                bail!("{}: exists already; --force writes over it", what());
            }
            other => other.with_context(what)?,
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => bail!("{}: another process writes it", what()),
            // A file system without locks is none to refuse.
            Ok(()) | Err(_) => file.set_len(0).with_context(what)?,
        }
        if fsync != When::None
            && let Some(folder) = path.parent()
        {
            let here = folder.as_os_str().is_empty();
            let folder = if here { Path::new(".") } else { folder };
            File::open(folder).and_then(|folder| folder.sync_all()).with_context(what)?;
        }
        let mut disk =
            Disk { file, fsync, len: 0, reserved: 0, full: false, reserves: true };
        if !disk.has_room_for(0) {
            bail!("{}: no space left on device", what());
        }
        Ok(disk)
    }

    /// Whether so many bytes that are not written yet have their place. If not, what was
    /// accepted before still has.
    #[inline]
    pub(crate) fn has_room_for(&mut self, waiting: u64) -> bool {
        let wanted = self.len + waiting + MARGIN;
        wanted <= self.reserved || self.reserve(wanted)
    }

    #[cold]
    fn reserve(&mut self, wanted: u64) -> bool {
        if !self.reserves || self.full {
            return !self.full;
        }
        let step = (wanted - self.reserved).next_multiple_of(STEP);
        let keep = FallocateFlags::KEEP_SIZE;
        match fallocate(&self.file, keep, self.reserved, step) {
            Ok(()) => self.reserved += step,
            Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => self.full = true,
            // Not on this file system.
            Err(_) => self.reserves = false,
        }
        !self.full
    }

    /// Sees to it that what was written outlives the machine, if that is wanted.
    pub(crate) fn sync(&self) -> io::Result<()> {
        if self.fsync == When::None { Ok(()) } else { self.file.sync_data() }
    }

    /// Gives back the room that was not needed.
    pub(crate) fn finish(&self) -> io::Result<()> {
        self.file.set_len(self.len)?;
        if self.fsync == When::None { Ok(()) } else { self.file.sync_all() }
    }
}

/// Takes whole chunks: all of them, or none.
impl Write for Disk {
    fn write(&mut self, chunks: &[u8]) -> io::Result<usize> {
        if let Err(err) = self.file.write_all_at(chunks, self.len) {
            self.file.set_len(self.len)?;
            return Err(err);
        }
        self.len += chunks.len() as u64;
        if self.fsync == When::Always {
            self.file.sync_data()?;
        }
        Ok(chunks.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
