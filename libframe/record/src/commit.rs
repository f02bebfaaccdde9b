//! A file that changes from one commit to the next, whole or not at all.
//!
//! What lies beyond the last commit's end is nobody's yet, so that bytes for it are written
//! where they belong. Bytes for what was committed stay in memory, page by page, until
//! [`AtomicFile::commit`]: then they go to a file of their own first, which a checksum
//! closes, and only then to their places. Whoever dies in between leaves either a commit
//! that is torn, and does not count, or one that is whole, and [`recover`] carries it out.

use std::collections::BTreeMap;
use std::io;

use libframe::clock::Clock;
use libframe::crc::{crc32c, crc32c_append};

use crate::space::Space;
use crate::storage::{Disk, Fsync, Storage};

/// While it grows, the file ends at least this far behind what is in it, and the bytes
/// between take no room. A reader that saw the end when it opened the file so takes what
/// was added since for a part of it, and not for an error.
const AHEAD: u64 = 8 << 20;
/// Stands at the end of such a file, with where its content ends.
const END_MARK: [u8; 8] = *b"FPENDSAT";
const PAGE: u64 = 4096;
const MAGIC: [u8; 8] = *b"FPCOMMIT";
/// Magic, length before, length after, number of pages.
const HEAD: usize = 32;
const CRC: usize = 4;

/// A file under commits.
#[derive(Debug)]
pub(crate) struct AtomicFile<S = Disk> {
    storage: S,
    /// What the last commit left; bytes below it are changed by a commit only.
    committed: u64,
    /// Changed pages below `committed`, by number.
    overlay: BTreeMap<u64, Box<[u8; PAGE as usize]>>,
    /// Where the file ends for those who write it.
    end: u64,
    /// Where they will write no further without saying so.
    allocated: u64,
    /// Whether the end is far behind that.
    ahead: bool,
    space: Space,
    fsync: Fsync,
    /// After this, nothing is written any more.
    failed: Option<io::Error>,
}

impl<S: Storage> AtomicFile<S> {
    /// A file as it is: call [`recover`] first.
    pub(crate) fn open(storage: S, fsync: Fsync) -> io::Result<AtomicFile<S>> {
        let end = storage.len()?;
        let overlay = BTreeMap::new();
        Ok(AtomicFile {
            storage,
            committed: end,
            overlay,
            end,
            allocated: 0,
            ahead: false,
            space: Space::default(),
            fsync,
            failed: None,
        })
    }

    /// Where the file ends for those who write it.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Where its content ends.
    pub(crate) fn content(&self) -> u64 {
        self.allocated
    }

    /// Forgets what lies beyond the allocated: a recorder that died left it, and no commit
    /// has it. Space that was ahead is there to be allocated again.
    pub(crate) fn forget_rest(&mut self) -> io::Result<()> {
        let mut mark = [0; 16];
        let Some(at) = self.allocated.checked_sub(16) else { return Ok(()) };
        self.read(at, &mut mark)?;
        let (name, end) = mark.split_at(8);
        let end = end.first_chunk().map_or(0, |end| u64::from_le_bytes(*end));
        if name == END_MARK && end <= self.allocated {
            self.allocated = end;
        }
        // The file stays as long as it is: the library finds its length in the file too.
        self.committed = self.committed.min(self.allocated);
        Ok(())
    }

    /// Whether the file is to end far behind its content, from the next commit on.
    pub(crate) fn end_ahead(&mut self, ahead: bool) {
        self.ahead = ahead;
    }

    /// Reads what was written last; zeros beyond the end.
    pub(crate) fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        let n = self.storage.read_at(at, bytes)?;
        bytes[n..].fill(0);
        let to = at + bytes.len() as u64;
        for (number, page) in self.overlay.range(at / PAGE..to.div_ceil(PAGE)) {
            let begin = number * PAGE;
            let from = begin.max(at);
            let until = (begin + PAGE).min(to).min(self.committed);
            if from < until {
                let new = &page[(from - begin) as usize..(until - begin) as usize];
                bytes[(from - at) as usize..(until - at) as usize].copy_from_slice(new);
            }
        }
        Ok(())
    }

    /// Writes, below the last commit's end in memory only. A failure is told by the next
    /// commit: HDF5 could not be closed if it were told here.
    pub(crate) fn write(&mut self, at: u64, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        let below = self.committed.saturating_sub(at).min(bytes.len() as u64) as usize;
        let (old, new) = bytes.split_at(below);
        let result = self.write_below(at, old).and_then(|()| match new {
            [] => Ok(()),
            new => self.storage.write_at(at + below as u64, new),
        });
        self.failed = result.err();
        self.end = self.end.max(at + bytes.len() as u64);
    }

    fn write_below(&mut self, mut at: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (number, offset) = (at / PAGE, (at % PAGE) as usize);
            let n = bytes.len().min(PAGE as usize - offset);
            if !self.overlay.contains_key(&number) {
                let mut page = Box::new([0; PAGE as usize]);
                if n < PAGE as usize {
                    self.storage.read_at(number * PAGE, &mut page[..])?;
                }
                self.overlay.insert(number, page);
            }
            if let Some(page) = self.overlay.get_mut(&number) {
                page[offset..offset + n].copy_from_slice(&bytes[..n]);
            }
            bytes = &bytes[n..];
            at += n as u64;
        }
        Ok(())
    }

    /// Says how far it is written, or where it will end.
    pub(crate) fn allocate(&mut self, end: u64) {
        self.allocated = end;
    }

    /// Space for so many bytes: some that is free again for data, else at the end.
    pub(crate) fn take_space(&mut self, len: u64, is_data: bool) -> u64 {
        let now = Clock::system().now();
        if let Some(at) = is_data.then(|| self.space.take(len, now)).flatten() {
            return at;
        }
        self.allocated += len;
        self.allocated - len
    }

    /// Takes back space of data.
    pub(crate) fn give_back(&mut self, at: u64, len: u64) {
        self.space.give_back(at, len, Clock::system().now());
    }

    /// How far it is written, or where it will end.
    pub(crate) fn allocated(&self) -> u64 {
        match self.ahead {
            true => (self.allocated + AHEAD).next_multiple_of(AHEAD),
            false => self.allocated,
        }
    }

    /// Lets the file end where its writers have said.
    pub(crate) fn end_at_allocated(&mut self) {
        self.end = self.allocated();
        if self.ahead {
            // It may be there before the commit is: space that it says is not free is not.
            let mark = [END_MARK, self.allocated.to_le_bytes()].concat();
            self.write(self.end - 16, &mark);
        }
    }

    /// Leaves the file as it is from now on.
    pub(crate) fn leave(&mut self) {
        self.failed.get_or_insert_with(|| io::Error::other("the file was left as it is"));
    }

    /// Makes everything written so far the file's content. After a failure the file is as
    /// it was, or a whole commit lies beside it.
    pub(crate) fn commit(&mut self) -> io::Result<()> {
        if let Some(err) = &self.failed {
            return Err(io::Error::new(err.kind(), err.to_string()));
        }
        let result = self.try_commit();
        if let Err(err) = &result {
            self.failed = Some(io::Error::new(err.kind(), err.to_string()));
        }
        result
    }

    fn try_commit(&mut self) -> io::Result<()> {
        let durable = self.fsync != Fsync::None;
        if self.end > self.storage.len()? {
            // Beyond the commit, so it is nobody's; here it fails early if at all.
            self.storage.set_len(self.end)?;
        }
        if durable {
            self.storage.sync()?;
        }
        if !self.overlay.is_empty() || self.end < self.committed {
            let bytes = self.encode();
            if let Err(err) = self.storage.write_commit(&bytes, durable) {
                // Torn it does not count, and its room is needed.
                self.storage.remove_commit()?;
                return Err(err);
            }
            carry_out(&self.storage, &bytes)?;
            if durable {
                self.storage.sync()?;
            }
            self.storage.remove_commit()?;
        }
        self.committed = if self.ahead { self.allocated } else { self.end };
        self.overlay.clear();
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let pages = self.overlay.len();
        let mut bytes = Vec::with_capacity(HEAD + pages * (PAGE as usize + 8) + CRC);
        bytes.extend_from_slice(&MAGIC);
        for number in [self.committed, self.end, pages as u64] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for (number, page) in &self.overlay {
            bytes.extend_from_slice(&number.to_le_bytes());
            bytes.extend_from_slice(&page[..]);
        }
        let crc = crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }
}

/// Brings a file to where a whole commit beside it says. Returns whether there was one.
pub(crate) fn recover(storage: &impl Storage) -> io::Result<bool> {
    let Some(bytes) = storage.read_commit()? else { return Ok(false) };
    let whole = is_whole(&bytes);
    if whole {
        carry_out(storage, &bytes)?;
        storage.sync()?;
    }
    storage.remove_commit()?;
    Ok(whole)
}

fn is_whole(bytes: &[u8]) -> bool {
    let Some((rest, crc)) = bytes.split_last_chunk::<CRC>() else { return false };
    rest.len() >= HEAD
        && rest.starts_with(&MAGIC)
        && crc32c_append(0, rest) == u32::from_le_bytes(*crc)
}

/// Puts the pages of a commit in their places. Doing it twice is as good as once.
fn carry_out(storage: &impl Storage, bytes: &[u8]) -> io::Result<()> {
    let number =
        |at: usize| bytes[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    let (committed, end) = (number(8), number(16));
    for entry in bytes[HEAD..bytes.len() - CRC].chunks_exact(8 + PAGE as usize) {
        let (head, page) = entry.split_at(8);
        let at = head.first_chunk().map_or(0, |word| u64::from_le_bytes(*word)) * PAGE;
        // Beyond the old end the file itself has what is newer.
        let n = committed.min(end).saturating_sub(at).min(PAGE) as usize;
        storage.write_at(at, &page[..n])?;
    }
    if storage.len()? != end {
        storage.set_len(end)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::io::ErrorKind;

    use super::*;

    /// A disk whose machine dies after so many bytes and calls.
    #[derive(Clone, Default)]
    struct Mortal {
        file: RefCell<Vec<u8>>,
        commit: RefCell<Option<Vec<u8>>>,
        left: Cell<usize>,
    }

    impl Mortal {
        /// How much of `wanted` is still done.
        fn spend(&self, wanted: usize) -> io::Result<usize> {
            let done = wanted.min(self.left.get());
            self.left.set(self.left.get() - done);
            Ok(done)
        }

        fn call(&self) -> io::Result<()> {
            match self.spend(1)? {
                0 => Err(ErrorKind::StorageFull.into()),
                _ => Ok(()),
            }
        }
    }

    impl Storage for Mortal {
        fn len(&self) -> io::Result<u64> {
            Ok(self.file.borrow().len() as u64)
        }

        fn read_at(&self, at: u64, bytes: &mut [u8]) -> io::Result<usize> {
            let file = self.file.borrow();
            let rest = file.get(at as usize..).unwrap_or_default();
            let n = rest.len().min(bytes.len());
            bytes[..n].copy_from_slice(&rest[..n]);
            Ok(n)
        }

        fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
            let done = self.spend(bytes.len())?;
            let (at, mut file) = (at as usize, self.file.borrow_mut());
            if file.len() < at + done {
                file.resize(at + done, 0);
            }
            file[at..at + done].copy_from_slice(&bytes[..done]);
            if done < bytes.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.call()?;
            self.file.borrow_mut().resize(len as usize, 0);
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }

        fn write_commit(&self, bytes: &[u8], _sync: bool) -> io::Result<()> {
            self.call()?;
            let done = self.spend(bytes.len())?;
            *self.commit.borrow_mut() = Some(bytes[..done].to_vec());
            if done < bytes.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
        }

        fn read_commit(&self) -> io::Result<Option<Vec<u8>>> {
            Ok(self.commit.borrow().clone())
        }

        fn remove_commit(&self) -> io::Result<()> {
            self.call()?;
            *self.commit.borrow_mut() = None;
            Ok(())
        }
    }

    /// Writes all over the place, below and beyond the end.
    fn scribble(file: &mut AtomicFile<Mortal>) {
        file.write(10, b"early");
        file.write(4090, &[7; 20]);
        file.write(9000, &[8; 3000]);
        file.write(9995, b"across the end");
        file.write(15_000, &[9; 100]);
    }

    fn old() -> Vec<u8> {
        (0..10_000u32).map(|at| at as u8).collect()
    }

    fn open(left: usize) -> AtomicFile<Mortal> {
        let disk = Mortal::default();
        *disk.file.borrow_mut() = old();
        disk.left.set(left);
        AtomicFile::open(disk, Fsync::None).unwrap()
    }

    /// What the file is once a new process has looked after it.
    fn recovered(mut disk: Mortal) -> Vec<u8> {
        disk.left = Cell::new(usize::MAX);
        recover(&disk).unwrap();
        disk.file.take()
    }

    #[test]
    fn a_crash_anywhere_leaves_the_old_file_or_the_new_one() {
        for end in [15_100, 9_500] {
            let commit = |left| {
                let mut file = open(left);
                scribble(&mut file);
                file.allocate(end);
                file.end_at_allocated();
                let done = file.commit().is_ok();
                (file, done)
            };
            let (whole, done) = commit(usize::MAX);
            let (new, spent) =
                (whole.storage.file.take(), usize::MAX - whole.storage.left.get());
            assert!(done && new.len() as u64 == end);
            let (mut olds, mut news) = (0, 0);
            for left in 0..spent {
                let (file, done) = commit(left);
                assert!(!done, "{left} of {spent}");
                let found = recovered(file.storage);
                if found == new {
                    news += 1;
                } else {
                    olds += 1;
                    assert!(found[..10_000] == old(), "{left} of {spent}");
                    assert_eq!(news, 0, "{left} of {spent}");
                }
            }
            assert!(olds > 1000 && news > 1000, "{olds} {news}");
        }
    }

    #[test]
    fn nothing_below_the_end_changes_before_the_commit() {
        let mut file = open(usize::MAX);
        scribble(&mut file);
        assert_eq!(file.storage.file.borrow()[..10_000], old());
        let mut seen = [0; 30];
        file.read(4080, &mut seen).unwrap();
        assert_eq!(seen[10..], [7; 20]);
        file.read(9_990, &mut seen).unwrap();
        assert_eq!(&seen[5..19], b"across the end");
        file.commit().unwrap();
        assert_eq!(&file.storage.file.borrow()[10..15], b"early");
        assert_eq!(file.storage.file.borrow().len(), 15_100);
    }

    #[test]
    fn what_is_ahead_of_the_content_is_found_again_after_a_crash() {
        let mut file = open(usize::MAX);
        file.end_ahead(true);
        file.allocate(12_000);
        file.write(11_000, &[1; 1000]);
        file.end_at_allocated();
        file.commit().unwrap();
        file.write(12_000, &[2; 1000]);
        let mut next = AtomicFile::open(file.storage, Fsync::None).unwrap();
        next.allocate(next.storage.len().unwrap());
        next.forget_rest().unwrap();
        assert_eq!((next.allocated, next.committed), (12_000, 12_000));
    }

    #[test]
    fn one_flipped_bit_makes_a_commit_count_for_nothing() {
        let mut file = open(usize::MAX);
        scribble(&mut file);
        let mut bytes = file.encode();
        bytes[100] ^= 1;
        *file.storage.commit.borrow_mut() = Some(bytes);
        assert_eq!(recovered(file.storage)[..10_000], old());
    }

    #[test]
    fn after_a_failure_nothing_is_touched() {
        let mut file = open(500);
        file.write(20_000, &[1; 1000]);
        let before = file.storage.file.borrow().clone();
        file.storage.left.set(usize::MAX);
        scribble(&mut file);
        assert!(file.commit().is_err() && file.commit().is_err());
        assert_eq!(*file.storage.file.borrow(), before);
    }
}
