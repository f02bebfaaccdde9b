//! What was accepted and is not in the recording yet, in the pipe's own format.
//!
//! A folder beside the recording holds generations, `00000001.frames` and so on. Each
//! begins with SESSION and STREAM records, so that it is a recording by itself; it is
//! removed once the recording holds it. What is left in the folder after a crash is what
//! the recording lacks.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use libframe::timeline::stream_offset;
use libframe::wire::{HEADER_LEN, Kind, Record};
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::io::Errno;

use crate::layout;
use crate::storage::{Fsync, sync_folder};

/// Room that is always there: as much as a reader may have read ahead.
const MARGIN: u64 = 1 << 20;
/// Room that is taken at a time, so that a full disk cannot tear what was accepted.
const STEP: u64 = 4 << 20;
/// Announcements that are repeated in each generation; hostile ones would fill the disk.
const MAX_ANNOUNCED: usize = 8 << 20;

/// The folder beside a recording.
pub(crate) fn folder_of(recording: &Path) -> PathBuf {
    let mut name = recording.as_os_str().to_owned();
    name.push(layout::JOURNAL_ENDING);
    name.into()
}

/// Recordings in a folder that broke off and can be repaired.
pub fn broken_off(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .map(|entry| entry.path())
        .filter_map(|path| {
            let name = path.to_str()?.strip_suffix(layout::JOURNAL_ENDING)?.to_owned();
            (path.is_dir() && lock(&path).is_ok()).then(|| name.into())
        })
        .collect();
    found.sort();
    found
}

/// Whoever holds this lock writes the recording.
pub(crate) fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(layout::LOCK_FILE);
    let mut options = File::options();
    let file = options.read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.with_context(|| path.display().to_string())?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => {
            bail!("{}: in use by another process", folder.display())
        }
        Err(err) => Err(err).with_context(|| path.display().to_string()),
    }
}

/// The generations in a folder, in order.
pub(crate) fn generations(folder: &Path) -> Result<Vec<u64>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".frames"));
        found.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

pub(crate) fn path_of(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("{generation:08}.frames"))
}

/// The journal of a recording under way.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: PathBuf,
    /// Held until the end.
    _lock: File,
    file: File,
    generation: u64,
    fsync: Fsync,
    /// Records, of which the first `written` bytes are in the file.
    buf: Vec<u8>,
    written: usize,
    /// Bytes of the file, and those the disk has set aside for it.
    len: u64,
    reserved: u64,
    /// Whether the disk has no more room to set aside.
    full: bool,
    /// Whether the file system can set room aside.
    reserves: bool,
    announced: Announced,
}

/// The newest SESSION and STREAM records, and what was told of streams' clocks, by session,
/// stream and kind.
#[derive(Debug, Default)]
struct Announced {
    records: BTreeMap<(u32, u16, Kind), Vec<u8>>,
    bytes: usize,
}

impl Announced {
    fn note(&mut self, record: &Record<'_>) {
        let key = (record.header.session, record.header.stream, record.header.kind);
        match record.header.kind {
            Kind::CLOCK if stream_offset(record).is_none() => {}
            Kind::SESSION | Kind::STREAM | Kind::CLOCK => {
                self.drop_where(|other| other == key);
                if self.bytes + record.wire_len() <= MAX_ANNOUNCED {
                    let mut bytes = Vec::new();
                    record.encode(&mut bytes);
                    self.bytes += bytes.len();
                    self.records.insert(key, bytes);
                }
            }
            Kind::END => self.drop_where(|(session, ..)| session == key.0),
            _ => {}
        }
    }

    fn drop_where(&mut self, gone: impl Fn((u32, u16, Kind)) -> bool) {
        self.records.retain(|key, _| !gone(*key));
        self.bytes = self.records.values().map(Vec::len).sum();
    }
}

impl Journal {
    /// The first generation, in a folder that is there and locked.
    pub(crate) fn open(folder: &Path, lock: File, fsync: Fsync) -> Result<Journal> {
        let path = path_of(folder, 1);
        let file = create(&path, fsync).with_context(|| path.display().to_string())?;
        let mut journal = Journal {
            folder: folder.into(),
            _lock: lock,
            file,
            generation: 1,
            fsync,
            buf: Vec::new(),
            written: 0,
            len: 0,
            reserved: 0,
            full: false,
            reserves: true,
            announced: Announced::default(),
        };
        journal.reserve(0);
        if journal.full {
            bail!("{}: no space left on device", path.display());
        }
        Ok(journal)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Bytes of this generation so far.
    pub(crate) fn len(&self) -> u64 {
        self.len + self.pending()
    }

    /// Bytes that were not handed on yet.
    pub(crate) fn gathered(&self) -> usize {
        self.buf.len()
    }

    /// The newest announcements, sessions before their streams.
    pub(crate) fn announced(&self) -> impl Iterator<Item = &[u8]> {
        self.announced.records.values().map(Vec::as_slice)
    }

    /// Whether the disk has no room for much more: what is at hand is still taken.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    fn pending(&self) -> u64 {
        (self.buf.len() - self.written) as u64
    }

    /// Takes a record. It is on the disk's side after [`Journal::write`].
    #[inline]
    pub(crate) fn take(&mut self, record: &Record<'_>) -> io::Result<()> {
        let wanted = self.len() + record.wire_len() as u64;
        if wanted + MARGIN > self.reserved {
            self.reserve(record.wire_len() as u64);
            if self.full && wanted > self.reserved {
                return Err(ErrorKind::StorageFull.into());
            }
        }
        match record.header.kind {
            Kind::SESSION | Kind::STREAM | Kind::CLOCK | Kind::END => {
                self.announced.note(record);
            }
            _ => {}
        }
        record.encode(&mut self.buf);
        Ok(())
    }

    /// Sets room aside for so many bytes more and the margin.
    #[cold]
    fn reserve(&mut self, more: u64) {
        let wanted = self.len() + more + MARGIN;
        if !self.reserves || wanted <= self.reserved {
            return;
        }
        let step = (wanted - self.reserved).next_multiple_of(STEP);
        let keep = FallocateFlags::KEEP_SIZE;
        match fallocate(&self.file, keep, self.reserved, step) {
            Ok(()) => self.reserved += step,
            Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => self.full = true,
            // Not on this file system.
            Err(_) => {
                self.reserves = false;
                self.reserved = u64::MAX / 2;
            }
        }
    }

    /// Writes what was taken.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        if self.pending() == 0 {
            return Ok(());
        }
        let mut done = self.written;
        while done < self.buf.len() {
            let at = self.len + (done - self.written) as u64;
            match self.file.write_at(&self.buf[done..], at) {
                Ok(0) => return self.cut(done, ErrorKind::WriteZero.into()),
                Ok(n) => done += n,
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) => return self.cut(done, err),
            }
        }
        self.len += (done - self.written) as u64;
        self.written = done;
        if self.fsync == Fsync::Always {
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// Leaves whole records only.
    #[cold]
    fn cut(&mut self, done: usize, err: io::Error) -> io::Result<()> {
        let mut end = self.written;
        while let Some(length) = self.buf.get(end + 8..).and_then(|b| b.first_chunk()) {
            let next = end + HEADER_LEN + u32::from_le_bytes(*length) as usize;
            if next > done {
                break;
            }
            end = next;
        }
        self.len += (end - self.written) as u64;
        self.buf.truncate(end);
        self.written = end;
        self.file.set_len(self.len)?;
        Err(err)
    }

    /// Gives what was taken and written, to be brought to the recording.
    pub(crate) fn hand_on(&mut self, next: Vec<u8>) -> Vec<u8> {
        self.written = 0;
        std::mem::replace(&mut self.buf, next)
    }

    /// Begins the next generation; everything was written and handed on. Without room for
    /// one, this one goes on.
    pub(crate) fn roll(&mut self) -> Result<()> {
        let path = path_of(&self.folder, self.generation + 1);
        if self.fsync != Fsync::None {
            self.file.sync_data().with_context(|| self.folder.display().to_string())?;
        }
        let next = create(&path, self.fsync);
        let next = next.with_context(|| path.display().to_string())?;
        let before = std::mem::replace(&mut self.file, next);
        let (len, reserved) = (self.len, self.reserved);
        (self.len, self.reserved) = (0, 0);
        if !self.reserves {
            self.reserved = u64::MAX / 2;
        }
        self.reserve(self.announced.bytes as u64);
        if self.full {
            self.file = before;
            (self.len, self.reserved) = (len, reserved);
            return fs::remove_file(&path).with_context(|| path.display().to_string());
        }
        self.generation += 1;
        for (key, bytes) in &self.announced.records {
            // Clocks are in the file; told again, they would be one more reading.
            if key.2 == Kind::CLOCK {
                continue;
            }
            let written = self.file.write_all_at(bytes, self.len);
            written.with_context(|| path.display().to_string())?;
            self.len += bytes.len() as u64;
        }
        Ok(())
    }
}

fn create(path: &Path, fsync: Fsync) -> io::Result<File> {
    let file = File::options().write(true).create_new(true).open(path)?;
    if fsync != Fsync::None {
        sync_folder(path)?;
    }
    Ok(file)
}

/// Removes what a recording does not need once it is complete.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    for generation in generations(folder)? {
        let path = path_of(folder, generation);
        fs::remove_file(&path).with_context(|| path.display().to_string())?;
    }
    let unborn = folder.join(layout::UNBORN_FILE);
    if unborn.exists() {
        fs::remove_file(&unborn).with_context(|| unborn.display().to_string())?;
    }
    let lock = folder.join(layout::LOCK_FILE);
    fs::remove_file(&lock).with_context(|| lock.display().to_string())?;
    fs::remove_dir(folder).with_context(|| folder.display().to_string())
}
