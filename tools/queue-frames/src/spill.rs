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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use libframe::wire::{Header, Kind};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn file(min_free: u64) -> SpillFile {
        SpillFile::create(&std::env::temp_dir(), min_free).unwrap()
    }

    fn record(seq: u64, payload: &[u8]) -> Record<'_> {
        let (kind, stream, session) = (Kind::DATA, 1, 7);
        Record::new(
            Header { kind, flags: 0, stream, session, seq, time: 0, sent: 2 },
            payload,
        )
    }

    /// Adds a record, and writes what was gathered if it is enough.
    fn add(spilled: &mut Spilled, file: &SpillFile, record: &Record<'_>) {
        if spilled.add(record) {
            let (piece, at) = spilled.begin_write();
            let ok = file.write(&piece, at).is_ok();
            spilled.written(piece, ok);
        }
    }

    /// Takes what is next; the numbers of its records.
    fn take(spilled: &mut Spilled, file: &SpillFile) -> Vec<u64> {
        let mut chunk = Chunk::default();
        match spilled.next(&mut chunk) {
            Next::InFile(at, left) => {
                file.read(&mut chunk, at, left).unwrap();
                spilled.was_read(chunk.len() as u64, file);
            }
            Next::Here | Next::Nothing => {}
        }
        chunk.records().map(|record| record.header.seq).collect()
    }

    #[test]
    fn records_of_any_length_come_back_in_order_and_then_it_begins_anew() {
        let (file, mut spilled) = (file(0), Spilled::new(u64::MAX));
        for _ in 0..3 {
            let lengths = [0, 10, 3 * PIECE, 100, PIECE - 60, 7, 2 * PIECE, 50_000];
            let lengths = lengths.iter().cycle().take(100);
            for (seq, len) in (0..).zip(lengths) {
                add(&mut spilled, &file, &record(seq, &vec![seq as u8; *len]));
            }
            let mut all = Vec::new();
            while spilled.bytes() > 0 {
                all.extend(take(&mut spilled, &file));
            }
            assert_eq!(all, (0..100).collect::<Vec<_>>());
            assert!(!spilled.settle(&file).unwrap());
            assert_eq!(file.file.metadata().unwrap().len(), 0);
        }
    }

    #[test]
    fn what_was_read_is_given_back_to_the_disk() {
        let (file, mut spilled) = (file(0), Spilled::new(u64::MAX));
        if !file.give_back(0, 4096) {
            eprintln!("skipped: this file system cannot give back a part of a file");
            return;
        }
        let payload = vec![1; 1000];
        let (mut added, mut most) = (0, 0);
        while added < 40 * MIB {
            add(&mut spilled, &file, &record(0, &payload));
            added += 1048;
            if spilled.bytes() > 2 * MIB {
                take(&mut spilled, &file);
            }
            most = most.max(file.file.metadata().unwrap().blocks() * 512);
        }
        assert!(most < 5 * MIB, "{most} bytes for 2 MiB that wait");
        assert!(spilled.end > 30 * MIB);
    }

    #[test]
    fn what_the_disk_does_not_take_is_kept_and_comes_in_its_place() {
        let (mut file, mut spilled) = (file(0), Spilled::new(u64::MAX));
        let payload = vec![1; PIECE / 2];
        (0..4).for_each(|seq| add(&mut spilled, &file, &record(seq, &payload)));
        file.min_free = u64::MAX;
        (4..6).for_each(|seq| add(&mut spilled, &file, &record(seq, &payload)));
        assert!(spilled.is_shut() && !spilled.accepts(&record(6, &payload)));
        let mut all = Vec::new();
        while spilled.bytes() > 0 {
            all.extend(take(&mut spilled, &file));
        }
        assert_eq!(all, [0, 1, 2, 3, 4, 5]);
        assert!(spilled.settle(&file).unwrap(), "the disk may be tried again");
        assert!(spilled.accepts(&record(6, &payload)));
    }

    #[test]
    fn a_limit_counts_what_is_on_disk() {
        let (file, mut spilled) = (file(0), Spilled::new(MIB));
        let payload = vec![1; 10_000];
        let mut n = 0;
        while spilled.accepts(&record(n, &payload)) {
            add(&mut spilled, &file, &record(n, &payload));
            n += 1;
        }
        assert!((100..105).contains(&n), "{n}");
    }

    #[test]
    fn damage_on_disk_is_found_and_not_passed_on() {
        // One that fills more than a read, and some that share one.
        for len in [PIECE, 1000] {
            let (file, mut spilled) = (file(0), Spilled::new(u64::MAX));
            while spilled.end == 0 {
                add(&mut spilled, &file, &record(0, &vec![1; len]));
            }
            let mut chunk = Chunk::default();
            for place in [8, 20, 30] {
                let mut byte = [0];
                file.file.read_exact_at(&mut byte, place).unwrap();
                file.file.write_all_at(&[byte[0] ^ 4], place).unwrap();
                let error = file.read(&mut chunk, 0, spilled.end).unwrap_err();
                let error = error.to_string();
                assert!(error.contains("cannot be read again"), "{place}: {error}");
                file.file.write_all_at(&byte, place).unwrap();
            }
            file.read(&mut chunk, 0, spilled.end).unwrap();
        }
    }
}
