//! A recording that is being written: records in, groups and datasets out.
//!
//! Nothing is in the file before [`Recording::commit`], and all that came before it is
//! then, at once: see [`crate::commit`].

mod column;
#[cfg(test)]
mod crash;
mod description;
mod press;
mod rows;
mod session;
mod stream;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, bail};
use libframe::payload::{ClockReading, Gap, Payload as _, Reason};
use libframe::wire::{Header, Kind, Record};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

pub use self::press::Compress;

use self::column::Making;
use self::press::Press;
use self::rows::{At, Entry, TABLES};
use self::session::SessionGroup;
use self::stream::{Numbers, Origin, StreamGroup};
use self::table::Table;
use crate::commit::{AtomicFile, recover};
use crate::driver::{Shared, lock};
use crate::h5::{File, Group, Value};
use crate::layout::{self, root, stream as names};
use crate::storage::{Disk, Fsync, sync_folder};

/// Streams in one file: each takes memory, and a little of every commit's time.
const MAX_STREAMS: usize = 4096;

/// How a recording is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// How samples are compressed.
    pub compress: Compress,
    /// When bytes must have reached the disk.
    pub fsync: Fsync,
}

/// A recording that is being written.
pub(crate) struct Recording {
    /// First, since the library writes when it is closed.
    tables: [Table; 4],
    streams: Vec<StreamGroup>,
    /// Where the last look-up ended: records of one stream come in runs.
    at: usize,
    sessions: Vec<SessionGroup>,
    press: Press,
    streams_group: Group,
    /// All groups of streams that the file has had.
    groups: usize,
    numbers: Numbers,
    file: File,
    shared: Shared,
    making: Making,
    path: PathBuf,
}

impl Recording {
    /// Makes a new file, where nobody looks for it, and gives it its name once its first
    /// commit is in it.
    pub(crate) fn create(
        path: &Path,
        journal: &Path,
        options: Options,
        replace: bool,
    ) -> Result<Recording> {
        let unborn = journal.join(layout::UNBORN_FILE);
        if unborn.exists() {
            fs::remove_file(&unborn).with_context(|| unborn.display().to_string())?;
        }
        let mut recording = Recording::create_unborn(&unborn, journal, options)?;
        let flags = if replace { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        let renamed = match renameat_with(CWD, &unborn, CWD, path, flags) {
            // Not on this file system.
            Err(Errno::INVAL) if !path.exists() => fs::rename(&unborn, path),
            other => other.map_err(Into::into),
        };
        renamed.with_context(|| path.display().to_string())?;
        if options.fsync != Fsync::None {
            sync_folder(path)?;
        }
        recording.path = path.into();
        Ok(recording)
    }

    fn create_unborn(path: &Path, journal: &Path, options: Options) -> Result<Recording> {
        let mut open = fs::File::options();
        let file = open.read(true).write(true).create_new(true).open(path);
        let file = file.with_context(|| path.display().to_string())?;
        let disk = Disk::new(file, journal.join(layout::COMMIT_FILE));
        let shared = Arc::new(Mutex::new(AtomicFile::open(disk, options.fsync)?));
        let file = File::create(path, &shared)?;
        lock(&shared).end_ahead(true);
        let making = Making { data: options.compress };
        let at = file.root();
        at.set(root::FORMAT, Value::Text(layout::FORMAT_NAME))?;
        at.set(root::FORMAT_VERSION, Value::I32(layout::VERSION))?;
        at.set(root::COMPLETE, Value::I8(0))?;
        at.set(root::JOURNAL, Value::U64(0))?;
        at.set(COMPRESS, Value::Text(&making.data.to_string()))?;
        let table = |(kind, name): (Kind, &str)| {
            let like = Entry::read(kind, &[]);
            let like = like.row(&header_of(kind), At::default());
            Table::create(at, name, &like, making)
        };
        let [events, gaps, clock, stats] = TABLES.map(table);
        let mut recording = Recording {
            tables: [events?, gaps?, clock?, stats?],
            streams: Vec::new(),
            at: 0,
            sessions: Vec::new(),
            press: Press::start(&shared)?,
            streams_group: at.create(layout::STREAMS)?,
            groups: 0,
            numbers: Numbers::new(),
            file,
            shared,
            making,
            path: path.into(),
        };
        recording.commit(0)?;
        Ok(recording)
    }

    /// Opens one that a recorder left, and brings it to its last commit first. The number
    /// is the journal's generation that it holds.
    pub(crate) fn reopen(path: &Path, journal: &Path) -> Result<(Recording, u64)> {
        let file = fs::File::options().read(true).write(true).open(path);
        let file = file.with_context(|| path.display().to_string())?;
        let disk = Disk::new(file, journal.join(layout::COMMIT_FILE));
        recover(&disk).with_context(|| format!("{}: commit", path.display()))?;
        let shared = Arc::new(Mutex::new(AtomicFile::open(disk, Fsync::Interval)?));
        let file = File::open(path, &shared)?;
        lock(&shared).forget_rest()?;
        lock(&shared).end_ahead(true);
        let at = file.root();
        let generation = at.number(root::JOURNAL)? as u64;
        let making =
            Making { data: at.text(COMPRESS)?.parse().map_err(anyhow::Error::msg)? };
        let table = |(kind, name): (Kind, &str)| {
            let like = Entry::read(kind, &[]);
            let like = like.row(&header_of(kind), At::default());
            Table::reopen(at, name, &like, making)
        };
        let [events, gaps, clock, stats] = TABLES.map(table);
        let tables = [events?, gaps?, clock?, stats?];
        let sessions = SessionGroup::reopen_all(at)?;
        let streams_group = at.open(layout::STREAMS)?;
        let groups = streams_group.names()?;
        let mut recording = Recording {
            tables,
            streams: Vec::new(),
            at: 0,
            sessions,
            press: Press::start(&shared)?,
            groups: groups.len(),
            numbers: Numbers::new(),
            streams_group,
            file,
            shared,
            making,
            path: path.into(),
        };
        for name in &groups {
            recording.reopen_stream(name)?;
        }
        Ok((recording, generation))
    }

    /// Of the groups of one stream, the newest one is written on.
    fn reopen_stream(&mut self, name: &str) -> Result<()> {
        let number = self.streams_group.open(name)?.number(names::SESSION)? as i32;
        let session = self.sessions.iter().find(|session| session.number == number);
        let Some(session) = session else { bail!("{name}: no session {number}") };
        if session.ended {
            return Ok(());
        }
        let key = (session.tag, session.offset);
        let group = StreamGroup::reopen(&self.streams_group, name, key, self.making)?;
        let same = |other: &StreamGroup| {
            (other.session, other.number) == (group.session, group.number)
        };
        match self.streams.iter().position(same) {
            None => self.streams.push(group),
            Some(at) if self.streams[at].part()? < group.part()? => {
                self.streams[at] = group;
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Bytes of the file.
    pub(crate) fn content(&self) -> u64 {
        lock(&self.shared).content()
    }

    /// How many samples each stream's group has, those of ended sessions left out.
    pub(crate) fn rows(&self) -> Vec<(String, u64)> {
        self.streams.iter().map(|group| (group.name.clone(), group.rows())).collect()
    }

    /// Whether its recorder closed it.
    pub(crate) fn is_complete(&self) -> Result<bool> {
        Ok(self.file.root().number(root::COMPLETE)? == 1)
    }

    /// Adds a record.
    pub(crate) fn add(&mut self, record: &Record<'_>) -> Result<()> {
        match record.header.kind {
            Kind::DATA | Kind::BATCH => self.add_samples(record),
            Kind::SESSION => {
                let at = self.session(record.header.session, Some(record.payload))?;
                self.sessions[at].announce(record.payload)
            }
            Kind::STREAM => self.describe(record),
            Kind::END => self.end(record),
            Kind::EVENT | Kind::GAP | Kind::CLOCK | Kind::STATS => self.add_row(record),
            // Of a later version; replay could not place it.
            _ => Ok(()),
        }
    }

    #[inline]
    fn add_samples(&mut self, record: &Record<'_>) -> Result<()> {
        let at = self.stream(&record.header)?;
        let Err(why) = self.streams[at].add(record, &mut self.press)? else {
            return Ok(());
        };
        self.refuse(record, &why.to_string())
    }

    /// Samples that cannot be read are missing.
    #[cold]
    fn refuse(&mut self, record: &Record<'_>, why: &str) -> Result<()> {
        let header = record.header;
        let gap = Gap {
            first: header.seq,
            count: Some(record.samples()),
            reason: Reason::Corrupt,
            stage: "to-h5".into(),
            to: Some(header.time),
            detail: why.into(),
            ..Gap::default()
        };
        let header = Header { kind: Kind::GAP, flags: 0, seq: gap.next(), ..header };
        self.add_row(&Record::new(header, &gap.to_bytes()))
    }

    /// The place of a stream, with a group of raw bytes if it was never described.
    #[inline]
    fn stream(&mut self, header: &Header) -> Result<usize> {
        let key = (header.session, header.stream);
        let is = |group: &StreamGroup| (group.session, group.number) == key;
        if self.streams.get(self.at).is_some_and(is) {
            return Ok(self.at);
        }
        self.at = match self.streams.iter().position(is) {
            Some(at) => at,
            None => self.open_stream(key, &[], 0)?,
        };
        Ok(self.at)
    }

    fn describe(&mut self, record: &Record<'_>) -> Result<()> {
        let key = (record.header.session, record.header.stream);
        let is = |group: &StreamGroup| (group.session, group.number) == key;
        let at = match self.streams.iter().position(is) {
            Some(at) if self.streams[at].takes(record.payload) => at,
            Some(at) => {
                // Samples of another form cannot be rows of the same dataset.
                self.streams[at].settle(&mut self.press)?;
                self.press.drain()?;
                let part = self.streams[at].part()? + 1;
                self.streams.remove(at);
                self.open_stream(key, record.payload, part)?
            }
            None => self.open_stream(key, record.payload, 0)?,
        };
        let described = self.streams[at].describe(record.payload, &mut self.press)?;
        if described && self.groups == 1 { self.link_only_stream() } else { Ok(()) }
    }

    fn open_stream(
        &mut self,
        (session, number): (u32, u16),
        payload: &[u8],
        part: i32,
    ) -> Result<usize> {
        if self.groups >= MAX_STREAMS {
            bail!("more than {MAX_STREAMS} streams; record them to several files");
        }
        let at = self.session(session, None)?;
        let origin = Origin {
            streams: &self.streams_group,
            session,
            session_number: self.sessions[at].number,
            offset: self.sessions[at].offset,
            number,
            part,
        };
        let numbers = &mut self.numbers;
        let group = StreamGroup::create(&origin, payload, self.making, numbers)?;
        self.groups += 1;
        self.streams.push(group);
        if self.groups <= 2 {
            self.link_only_stream()?;
        }
        Ok(self.streams.len() - 1)
    }

    /// While there is one stream, the root has what its users' programs look for there.
    fn link_only_stream(&self) -> Result<()> {
        let at = self.file.root();
        let links = [root::SENSOR_DATA, names::TIMESTAMPS, layout::sensor_mapping::GROUP];
        for link in links {
            if at.has(link)? {
                at.delete(link)?;
            }
        }
        let ([group], 1) = (self.streams.as_slice(), self.groups) else {
            let figures = [names::SAMPLE_RATE, names::TIMESTAMP_START, names::DURATION];
            let others = [root::SENSOR_COUNT, root::FRAME_SIZE_BYTES, root::DEVICE];
            return figures.iter().chain(&others).try_for_each(|name| at.unset(name));
        };
        let path = format!("/{}/{}", layout::STREAMS, group.name);
        at.link(&format!("{path}/{}", names::DATA), root::SENSOR_DATA)?;
        at.link(&format!("{path}/{}", names::TIMESTAMPS), names::TIMESTAMPS)?;
        let mapping = layout::sensor_mapping::GROUP;
        if group.has_sensors()? {
            at.link(&format!("{path}/{mapping}"), mapping)?;
        }
        group.write_at_root(at)
    }

    /// The place of a session that has not ended, opened if need be.
    fn session(&mut self, tag: u32, payload: Option<&[u8]>) -> Result<usize> {
        let is = |session: &SessionGroup| session.tag == tag && !session.ended;
        if let Some(at) = self.sessions.iter().position(is) {
            return Ok(at);
        }
        let number = self.sessions.len() as i32 + 1;
        let group = SessionGroup::create(self.file.root(), (tag, number), payload)?;
        self.sessions.push(group);
        Ok(self.sessions.len() - 1)
    }

    fn end(&mut self, record: &Record<'_>) -> Result<()> {
        let tag = record.header.session;
        let at = self.session(tag, None)?;
        self.sessions[at].end(record.payload)?;
        self.settle_streams()?;
        self.press.drain()?;
        if let ([group], 1) = (self.streams.as_slice(), self.groups) {
            group.write_times_at_root(self.file.root())?;
        }
        self.streams.retain(|group| group.session != tag);
        Ok(())
    }

    fn add_row(&mut self, record: &Record<'_>) -> Result<()> {
        let header = record.header;
        let session = self.session(header.session, None)?;
        let entry = Entry::read(header.kind, record.payload);
        let key = (header.session, header.stream);
        let is = |group: &&mut StreamGroup| (group.session, group.number) == key;
        let SessionGroup { number, mut offset, .. } = self.sessions[session];
        let mut row = 0;
        if let Some(group) = self.streams.iter_mut().find(is) {
            row = group.rows();
            match &entry {
                Entry::Gap(Some(gap)) => group.lose(gap),
                Entry::Clock(ClockReading { offset: Some(offset), .. }) => {
                    group.set_clock(*offset)?;
                }
                _ => {}
            }
            offset = group.offset();
        }
        let row = entry.row(&header, At { session: number, offset, row });
        let Some(table) = TABLES.iter().position(|(kind, _)| *kind == header.kind) else {
            return Ok(());
        };
        self.tables[table].push(&row, record.payload, &mut self.press)
    }

    fn settle_streams(&mut self) -> Result<()> {
        self.streams.iter_mut().try_for_each(|group| group.settle(&mut self.press))
    }

    /// Brings the file up to date: it then holds the journal up to this generation.
    pub(crate) fn commit(&mut self, generation: u64) -> Result<()> {
        self.settle_streams()?;
        self.tables.iter_mut().try_for_each(|table| table.settle(&mut self.press))?;
        self.press.drain()?;
        let at = self.file.root();
        if let ([group], 1) = (self.streams.as_slice(), self.groups) {
            group.write_times_at_root(at)?;
        }
        at.set(root::JOURNAL, Value::U64(generation))?;
        self.file.flush()?;
        let committed = lock(&self.shared).commit();
        committed.with_context(|| self.path.display().to_string())
    }

    /// Closes the file without another commit.
    pub(crate) fn leave(self) {
        lock(&self.shared).leave();
    }

    /// Completes the file. Sessions whose END has not come have `reason` instead.
    pub(crate) fn finish(mut self, generation: u64, reason: &str) -> Result<()> {
        for session in self.sessions.iter_mut().filter(|session| !session.ended) {
            session.close(reason)?;
        }
        self.file.root().set(root::COMPLETE, Value::I8(1))?;
        lock(&self.shared).end_ahead(false);
        // The library writes the end of a file anew when something was allocated.
        self.file.root().create(CLOSING)?;
        self.file.root().delete(CLOSING)?;
        self.commit(generation)?;
        let (shared, path) = (Arc::clone(&self.shared), self.path.clone());
        // HDF5 gives back space that it held, which is one more commit.
        drop(self);
        let committed = lock(&shared).commit();
        committed.with_context(|| path.display().to_string())
    }
}

/// A group that is there for no one to see.
const CLOSING: &str = "closing";
/// The attribute of the root that tells how samples are compressed.
const COMPRESS: &str = "compress";

/// A header of a kind, for what only its kind matters to.
fn header_of(kind: Kind) -> Header {
    Header { kind, flags: 0, stream: 0, session: 0, seq: 0, time: 0, sent: 0 }
}
