//! The page as a file, for node_exporter's textfile collector. A thread of its own writes
//! it: a disk may stall, and the pipe must not.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use libframe::clock::Clock;

use crate::board::Board;
use crate::exposition::Dialect;
use crate::families::Instant;
use crate::render::{Style, render};

/// Writes the page to a file, again and again.
#[derive(Debug)]
pub(crate) struct Textfile {
    path: PathBuf,
    /// Dropped when the last page is to be written.
    alive: Option<SyncSender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Textfile {
    /// Writes it for the first time, and then at this interval.
    pub(crate) fn start(
        path: &Path,
        interval: Duration,
        buckets: usize,
        board: &Arc<Board>,
        clock: &Clock,
    ) -> Result<Textfile> {
        let writer = Writer {
            path: path.into(),
            style: Style { dialect: Dialect::Text, buckets },
            board: Arc::clone(board),
            clock: clock.clone(),
        };
        writer.write()?;
        let (alive, ended) = sync_channel(0);
        let body = move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(interval) {
                // Room on a disk comes back; until then the pipe's thread tells of it.
                if let Err(err) = writer.write() {
                    writer.board.complain(format!("{err:#}"));
                }
            }
            writer.write()
        };
        let thread = Builder::new().name("textfile".into()).spawn(body)?;
        Ok(Textfile { path: path.into(), alive: Some(alive), thread: Some(thread) })
    }

    /// Writes the last page.
    pub(crate) fn finish(mut self) -> Result<()> {
        drop(self.alive.take());
        let outcome = self.thread.take().map(JoinHandle::join);
        let died = || anyhow!("{}: its thread died; this is a bug", self.path.display());
        outcome.map_or(Ok(()), |outcome| outcome.unwrap_or_else(|_| Err(died())))
    }
}

struct Writer {
    path: PathBuf,
    style: Style,
    board: Arc<Board>,
    clock: Clock,
}

impl Writer {
    fn write(&self) -> Result<()> {
        let reading = self.clock.reading();
        let realtime = reading.realtime.unwrap_or_default();
        let now = Instant { monotonic: reading.monotonic, realtime };
        let page = render(&self.board.figures(), self.style, now, None, 0);
        replace(&self.path, page.as_bytes())
            .with_context(|| self.path.display().to_string())
    }
}

/// Writes a file that its readers see either as it was or whole.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().context("no name of a file")?.to_string_lossy();
    // Hidden, and with another ending than collectors look for.
    let new = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = File::create(&new).and_then(|mut file| file.write_all(bytes));
    if let Err(err) = written.and_then(|()| fs::rename(&new, path)) {
        // What is left of it is of no use to anybody, if it is there at all.
        drop(fs::remove_file(&new));
        return Err(err.into());
    }
    Ok(())
}

/// Reads the option: a name that node_exporter looks at.
pub(crate) fn parse_path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension() {
        Some(ending) if ending == "prom" => Ok(path),
        _ => {
            Err(format!("{text:?} does not end in .prom, so node_exporter would skip it"))
        }
    }
}
