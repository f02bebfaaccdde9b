//! A recorder: what it takes is in the journal at once, and in the file at each commit.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use anyhow::{Context as _, Result, anyhow, bail};
use libframe::wire::{Record, encoded};

use crate::handover::{Handover, Message};
use crate::journal::{self, Journal};
use crate::write::{Options, Recording};

/// What is handed over at a time while records come fast.
const GATHER: usize = 256 << 10;
/// The journal between two commits is no longer, however fast records come.
const MAX_JOURNAL: u64 = 64 << 20;

/// A recording under way.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    journal: Journal,
    handover: Arc<Handover>,
    committed: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<()>>>,
    changed: bool,
    /// Something failed: what was taken is left as a crash would leave it.
    dead: bool,
}

impl Recorder {
    /// Begins a recording. An old file of this name is an error, or `replace`d.
    pub fn create(path: &Path, options: Options, replace: bool) -> Result<Recorder> {
        if !replace && path.exists() {
            bail!("{}: exists already; --force writes over it", path.display());
        }
        let folder = journal::folder_of(path);
        make_folder(path, &folder)?;
        let result = Recorder::begin(path, &folder, options, replace);
        if result.is_err() {
            // It was made for this recording, which is none.
            drop(fs::remove_dir_all(&folder));
        }
        result
    }

    fn begin(
        path: &Path,
        folder: &Path,
        options: Options,
        replace: bool,
    ) -> Result<Recorder> {
        let journal = Journal::open(folder, journal::lock(folder)?, options.fsync)?;
        let (handover, committed) = (Arc::<Handover>::default(), Arc::default());
        let (born, birth) = sync_channel(1);
        let writer = Writer {
            folder: folder.into(),
            handover: Arc::clone(&handover),
            committed: Arc::clone(&committed),
        };
        let target = path.to_owned();
        let body = move || writer.run(&target, options, replace, &born);
        let thread = Builder::new().name("hdf5".into()).spawn(body)?;
        match birth.recv() {
            Ok(()) => {}
            Err(_) => return Err(reason_of(thread)),
        }
        let path = path.to_owned();
        let thread = Some(thread);
        Ok(Recorder {
            path,
            journal,
            handover,
            committed,
            thread,
            changed: false,
            dead: false,
        })
    }

    /// The recording's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file as of its last commit.
    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// Bytes of records that are not in the file yet.
    pub fn uncommitted(&self) -> u64 {
        self.journal.len()
    }

    /// Bytes that wait for the file's thread.
    pub fn waiting(&self) -> usize {
        self.handover.waiting()
    }

    /// Whether a session was announced whose END has not come.
    pub fn is_in_session(&self) -> bool {
        self.journal.announced().next().is_some()
    }

    /// Begins the next file of the same records: it knows all that was announced. This
    /// one is still to be closed.
    pub fn next(&self, path: &Path, options: Options) -> Result<Recorder> {
        let mut next = Recorder::create(path, options, false)?;
        for record in self.journal.announced().flat_map(encoded) {
            next.record(&record)?;
        }
        Ok(next)
    }

    /// Takes a record.
    #[inline]
    pub fn record(&mut self, record: &Record<'_>) -> Result<()> {
        self.changed = true;
        if let Err(err) = self.journal.take(record) {
            return Err(self.failed(err.into()));
        }
        if self.journal.gathered() >= GATHER {
            self.write()?;
            self.hand_on()?;
            if self.journal.len() >= MAX_JOURNAL {
                return self.commit();
            }
        }
        Ok(())
    }

    /// Puts what was taken into the journal: from then on a crash cannot lose it.
    pub fn flush(&mut self) -> Result<()> {
        self.write()?;
        if self.journal.is_full() {
            return Err(self.failed(io::Error::from(io::ErrorKind::StorageFull).into()));
        }
        match self.handover.broken() {
            Some(why) => Err(self.failed(anyhow!(why))),
            None => Ok(()),
        }
    }

    /// Has the file brought up to date, which happens in its thread.
    pub fn commit(&mut self) -> Result<()> {
        self.flush()?;
        if !self.changed {
            return Ok(());
        }
        self.hand_on()?;
        let generation = self.journal.generation();
        if let Err(err) = self.journal.roll() {
            return Err(self.failed(err));
        }
        if self.journal.generation() > generation {
            self.changed = false;
            self.give(Message::Commit(generation))?;
        }
        Ok(())
    }

    /// Completes the recording. Sessions that have not ended get this reason.
    pub fn close(mut self, reason: &str) -> Result<()> {
        self.finish(reason)
    }

    fn finish(&mut self, reason: &str) -> Result<()> {
        self.write()?;
        self.hand_on()?;
        self.give(Message::Finish(self.journal.generation(), reason.into()))?;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Err(err))) => return Err(self.failed(err)),
            Some(Err(_)) => {
                return Err(self.failed(anyhow!("the file's thread panicked")));
            }
            Some(Ok(Ok(()))) | None => {}
        }
        journal::remove(self.journal.folder())
    }

    fn write(&mut self) -> Result<()> {
        match self.journal.write() {
            Ok(()) => Ok(()),
            Err(err) => Err(self.failed(err.into())),
        }
    }

    fn hand_on(&mut self) -> Result<()> {
        if self.journal.gathered() == 0 {
            return Ok(());
        }
        let records = self.journal.hand_on(self.handover.buffer());
        self.give(Message::Records(records))
    }

    fn give(&mut self, message: Message) -> Result<()> {
        match self.handover.give(message) {
            Ok(()) => Ok(()),
            Err(why) => Err(self.failed(anyhow!(why))),
        }
    }

    /// Puts what can be put into the journal, and says what is safe and what to do.
    #[cold]
    fn failed(&mut self, err: anyhow::Error) -> anyhow::Error {
        self.dead = true;
        // The first failure is the one to tell.
        drop(self.journal.write());
        let path = self.path.display();
        let hint = if is_full(&err) { "free some space, then: " } else { "then: " };
        err.context(format!(
            "{path}: recording stopped; all until now is in it and in {path}{}; {hint}\
             repair-frames {path}",
            crate::layout::JOURNAL_ENDING,
        ))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if self.thread.is_some() && !self.dead {
            // Whoever drops it has a failure of his own to tell.
            drop(self.finish("failed"));
        }
        self.handover.close();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn is_full(err: &anyhow::Error) -> bool {
    let text = format!("{err:#}").to_lowercase();
    text.contains("no space") || text.contains("no storage space")
}

fn reason_of(thread: JoinHandle<Result<()>>) -> anyhow::Error {
    match thread.join() {
        Ok(Err(err)) => err,
        _ => anyhow!("the thread of the file ended"),
    }
}

/// The folder for the journal. One that is there belongs to a recorder, or to one that
/// died and whose records are only there.
fn make_folder(path: &Path, folder: &Path) -> Result<()> {
    match fs::create_dir(folder) {
        Ok(()) => Ok(()),
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {
            let path = path.display();
            match journal::lock(folder) {
                Ok(_) => bail!("{path}: broke off; first: repair-frames {path}"),
                Err(_) => bail!("{path}: another to-h5 records to it"),
            }
        }
        Err(err) => Err(err).with_context(|| folder.display().to_string()),
    }
}

/// The thread that brings records to the file.
struct Writer {
    folder: PathBuf,
    handover: Arc<Handover>,
    committed: Arc<AtomicU64>,
}

impl Writer {
    fn run(
        self,
        path: &Path,
        options: Options,
        replace: bool,
        born: &SyncSender<()>,
    ) -> Result<()> {
        let mut recording = Recording::create(path, &self.folder, options, replace)?;
        self.committed.store(recording.content(), Ordering::Relaxed);
        born.send(()).unwrap_or_default();
        let result = self.write(&mut recording);
        match result {
            Ok(Some((generation, reason))) => recording.finish(generation, &reason),
            Ok(None) => {
                recording.leave();
                Ok(())
            }
            Err(err) => {
                recording.leave();
                self.handover.break_off(format!("{err:#}"));
                Err(err)
            }
        }
    }

    /// Writes until there is no more; the end's generation and reason, if one came.
    fn write(&self, recording: &mut Recording) -> Result<Option<(u64, String)>> {
        while let Some(message) = self.handover.take() {
            match message {
                Message::Records(bytes) => {
                    encoded(&bytes).try_for_each(|record| recording.add(&record))?;
                    self.handover.give_back(bytes);
                }
                Message::Commit(generation) => {
                    recording.commit(generation)?;
                    self.committed.store(recording.content(), Ordering::Relaxed);
                    let path = journal::path_of(&self.folder, generation);
                    fs::remove_file(&path).with_context(|| path.display().to_string())?;
                }
                Message::Finish(generation, reason) => {
                    return Ok(Some((generation, reason)));
                }
            }
        }
        Ok(None)
    }
}
