//! A recording under way: records go to the chapters of their sessions, and from there as
//! chunks to the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use libframe::catalog::Catalog;
use libframe::ledger::Loss;
use libframe::payload::{Payload as _, Session};
use libframe::wire::{Kind, Record};

use crate::chapter::Chapter;
use crate::disk::When;
use crate::file::File;

/// What may wait in memory, whenever the next flush is.
const WAITING: usize = 2 << 20;

/// How a recording is made.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) force: bool,
    pub(crate) fsync: When,
    /// What the stream of events is called that belong to none.
    pub(crate) markers: String,
    /// What the stage is called.
    pub(crate) stage: String,
}

/// A recording under way.
#[derive(Debug)]
pub(crate) struct Recording {
    path: PathBuf,
    options: Options,
    file: File,
    chapters: BTreeMap<u32, Chapter>,
    /// Bytes of records since the last write, which is never less than what waits.
    taken: usize,
    losses: Vec<(String, Loss)>,
    /// Streams that were described and have no form in XDF.
    formless: Vec<String>,
}

impl Recording {
    pub(crate) fn create(path: &Path, options: Options, now: i64) -> Result<Recording> {
        let file = File::create(path, options.force, options.fsync, now)?;
        Ok(Recording {
            path: path.into(),
            options,
            file,
            chapters: BTreeMap::new(),
            taken: 0,
            losses: Vec::new(),
            formless: Vec::new(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file, with what waits for it.
    pub(crate) fn len(&self) -> u64 {
        let waiting: usize = self.chapters.values().map(Chapter::waiting).sum();
        self.file.writer.len() + waiting as u64
    }

    /// Learns what the stage is called.
    pub(crate) fn is_made_by(&mut self, stage: &str) {
        self.options.stage = stage.into();
    }

    /// Whether this session is open.
    pub(crate) fn is_open(&self, tag: u32) -> bool {
        self.chapters.contains_key(&tag)
    }

    /// Whether a session is open.
    pub(crate) fn is_in_session(&self) -> bool {
        !self.chapters.is_empty()
    }

    /// Begins the next file of the same records. This one is still to be closed.
    pub(crate) fn next(&self, path: &Path, now: i64) -> Result<Recording> {
        let options = Options { force: false, ..self.options.clone() };
        let mut next = Recording::create(path, options, now)?;
        let catalog = Catalog::default();
        for (tag, chapter) in &self.chapters {
            let session = chapter.session().clone();
            let begun =
                Chapter::begin(*tag, session, &self.options.stage, &mut next.file);
            next.chapters.insert(*tag, begun);
            for record in chapter.announced() {
                next.record(&record, &catalog, now)?;
            }
        }
        // They were told when they were described.
        next.formless.clear();
        Ok(next)
    }

    /// Takes a record.
    pub(crate) fn record(
        &mut self,
        record: &Record<'_>,
        catalog: &Catalog,
        now: i64,
    ) -> Result<()> {
        self.make_room(record.wire_len(), now)?;
        let tag = record.header.session;
        let (file, stage) = (&mut self.file, &self.options.stage);
        let chapter = self.chapters.entry(tag).or_insert_with(|| {
            let session = match record.header.kind {
                Kind::SESSION => Session::from_bytes(record.payload).unwrap_or_default(),
                _ => Session::default(),
            };
            Chapter::begin(tag, session, stage, file)
        });
        match record.header.kind {
            Kind::DATA | Kind::BATCH => {
                chapter.samples(record, catalog.is_fixed(record), file);
            }
            _ => {
                let formless = chapter.record(record, &self.options.markers, file);
                self.formless.extend(formless);
            }
        }
        Ok(())
    }

    /// Streams that XDF has no form for, since it was last asked.
    pub(crate) fn take_formless(&mut self) -> Vec<String> {
        std::mem::take(&mut self.formless)
    }

    /// Sees to it that what is taken will have its place on the disk.
    fn make_room(&mut self, bytes: usize, now: i64) -> Result<()> {
        // A sample's time and a text's quotes take room too; records of a session grow
        // most: a payload in hexadecimal is twice as long.
        self.taken += 3 * bytes;
        if !self.file.has_room_for(self.taken as u64) {
            let path = self.path.display().to_string();
            self.commit(now)?;
            return Err(anyhow!("no space left on device")).context(format!(
                "{path}: recording stopped, and what was accepted is in the file"
            ));
        }
        if self.taken >= WAITING { self.commit(now) } else { Ok(()) }
    }

    /// Writes all that waits.
    pub(crate) fn commit(&mut self, now: i64) -> Result<()> {
        for chapter in self.chapters.values_mut() {
            chapter.flush(&mut self.file);
        }
        self.write(now)
    }

    fn write(&mut self, now: i64) -> Result<()> {
        self.taken = 0;
        self.file.mark_time(now);
        self.file.writer.flush().with_context(|| self.path.display().to_string())
    }

    /// Commits, and sees to it that it outlives the machine, if that is wanted.
    pub(crate) fn commit_to_disk(&mut self, now: i64) -> Result<()> {
        self.commit(now)?;
        let synced = self.file.writer.get_ref().sync();
        synced.with_context(|| self.path.display().to_string())
    }

    /// Ends a session, for a reason if it did not break off.
    pub(crate) fn end(&mut self, tag: u32, reason: Option<&str>, now: i64) -> Result<()> {
        let Some(chapter) = self.chapters.remove(&tag) else { return Ok(()) };
        let end = reason.map(|reason| (reason, now));
        let losses = chapter.finish(end, &mut self.file);
        self.losses.extend(losses);
        self.write(now)
    }

    /// Completes the file; sessions that have not ended get this reason, or none. Returns
    /// what was left out.
    pub(crate) fn close(
        mut self,
        reason: Option<&str>,
        now: i64,
    ) -> Result<Vec<(String, Loss)>> {
        let open: Vec<u32> = self.chapters.keys().copied().collect();
        for tag in open {
            self.end(tag, reason, now)?;
        }
        self.file.begin(&Session::default());
        self.write(now)?;
        let done = self.file.writer.get_ref().finish();
        done.with_context(|| self.path.display().to_string())?;
        Ok(self.losses)
    }
}
