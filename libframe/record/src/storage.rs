//! What a commit is made of on the disk: a file, and beside it the one that a commit goes to
//! first.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// When bytes must have reached the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsync {
    /// When the kernel likes: safe against the death of the process, not of the machine.
    #[default]
    None,
    /// In the right order at each commit.
    Interval,
    /// That, and the journal after each write.
    Always,
}

/// What a commit is made of: the calls that a crash can come between.
pub(crate) trait Storage {
    fn len(&self) -> io::Result<u64>;
    fn read_at(&self, at: u64, bytes: &mut [u8]) -> io::Result<usize>;
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
    fn write_commit(&self, bytes: &[u8], sync: bool) -> io::Result<()>;
    fn read_commit(&self) -> io::Result<Option<Vec<u8>>>;
    fn remove_commit(&self) -> io::Result<()>;
}

/// A file, and beside it the one that a commit goes to first.
#[derive(Debug)]
pub(crate) struct Disk {
    file: File,
    commit: PathBuf,
}

impl Disk {
    pub(crate) fn new(file: File, commit: PathBuf) -> Disk {
        Disk { file, commit }
    }
}

impl Storage for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, at: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < bytes.len() {
            match self.file.read_at(&mut bytes[done..], at + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        Ok(done)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write_commit(&self, bytes: &[u8], sync: bool) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).open(&self.commit)?;
        file.write_all(bytes)?;
        if sync {
            file.sync_data()?;
            sync_folder(&self.commit)?;
        }
        Ok(())
    }

    fn read_commit(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(&self.commit) {
            Err(err) if err.kind() == ErrorKind::NotFound => Ok(None),
            bytes => bytes.map(Some),
        }
    }

    fn remove_commit(&self) -> io::Result<()> {
        match fs::remove_file(&self.commit) {
            Err(err) if err.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}

/// Makes sure that a file's name is on the disk too.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
