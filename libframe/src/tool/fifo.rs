//! A FIFO whose lines are cues: `echo hit > FIFO` from any program.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags};

use super::cues::Inbox;
use super::exit::Usage;

/// What counts of a line; a writer that never ends one must not fill the memory.
const LINE: usize = 4096;

/// A FIFO's place. If it was made here it goes with this.
#[derive(Debug)]
pub(super) struct Fifo {
    path: PathBuf,
    made: bool,
}

impl Fifo {
    /// Sees to it that there is one.
    pub(super) fn prepare(path: &Path) -> Result<Fifo> {
        let named = || path.display().to_string();
        let made = match fs::metadata(path) {
            Ok(found) if found.file_type().is_fifo() => false,
            Ok(_) => {
                let hint = "is no FIFO; remove it or give another name";
                return Err(Usage(format!("{}: {hint}", named())).into());
            }
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                let mode = Mode::from_raw_mode(0o666);
                rustix::fs::mknodat(CWD, path, FileType::Fifo, mode, 0)
                    .with_context(named)?;
                true
            }
            Err(err) => return Err(err).with_context(named),
        };
        Ok(Fifo { path: path.into(), made })
    }

    /// Opens it for reading, without waiting for a writer.
    pub(super) fn open(&self) -> Result<File> {
        open(&self.path).with_context(|| self.path.display().to_string())
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        if self.made {
            // It may be gone already, which is as well.
            fs::remove_file(&self.path).unwrap_or_default();
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Reads lines for ever. Writers come and go.
pub(super) fn listen(mut file: File, path: &Path, inbox: &Inbox) {
    let mut lines = Lines::default();
    let mut chunk = [0; 4096];
    loop {
        let mut fds = [PollFd::new(&file, PollFlags::IN)];
        poll(&mut fds, None).map(drop).unwrap_or_default();
        let time = inbox.clock().now();
        let mut put = |line: String| inbox.put_at(time, "fifo", line);
        match rustix::io::read(&file, &mut chunk) {
            Ok(0) => {
                lines.close(&mut put);
                // Readable for ever now; a new descriptor waits for the next writer. It is
                // opened before the old one is closed, so that nothing between is lost.
                match open(path) {
                    Ok(next) => file = next,
                    Err(_) => sleep(Duration::from_secs(1)),
                }
            }
            Ok(n) => lines.push(&chunk[..n], &mut put),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// Lines out of bytes, however they are cut.
#[derive(Debug, Default)]
struct Lines {
    line: Vec<u8>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8], put: &mut impl FnMut(String)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE - self.line.len();
            let text = piece.strip_suffix(b"\n");
            let content = text.unwrap_or(piece);
            self.line.extend_from_slice(&content[..content.len().min(room)]);
            if text.is_some() {
                self.finish(put);
            }
        }
    }

    /// The writer left: what it wrote last is a line too.
    fn close(&mut self, put: &mut impl FnMut(String)) {
        if !self.line.is_empty() {
            self.finish(put);
        }
    }

    fn finish(&mut self, put: &mut impl FnMut(String)) {
        put(String::from_utf8_lossy(&self.line).trim().to_owned());
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_in_any_cuts_and_are_never_long() {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        let mut put = |line: String| found.push(line);
        for piece in ["hi", "t 5\r\n\nsto", "p\n", &"x".repeat(9000), "\nrest"] {
            lines.push(piece.as_bytes(), &mut put);
        }
        lines.close(&mut put);
        lines.close(&mut put);
        let long = "x".repeat(LINE);
        assert_eq!(found, ["hit 5", "", "stop", &long, "rest"]);
    }
}
