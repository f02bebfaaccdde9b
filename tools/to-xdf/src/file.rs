//! The file as chunks: what it begins with, and where readers who are lost begin anew.

use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::Zoned;
use libframe::clock::SECOND;
use libframe::payload::Session;
use libframe_lsl::element::Element;
use libframe_xdf::{Gathered, Writer};

use crate::disk::{Disk, When};

/// A boundary comes after so long.
const BOUNDARY_TIME: i64 = 10 * SECOND;
/// And after so many bytes, so that damage to a fast recording costs no more.
const BOUNDARY_BYTES: u64 = 256 << 10;

/// A file of chunks.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) writer: Writer<Disk>,
    /// Streams so far.
    streams: u32,
    /// When and where the last boundary was written.
    boundary: (i64, u64),
    begun: bool,
}

impl File {
    pub(crate) fn create(
        path: &Path,
        force: bool,
        fsync: When,
        now: i64,
    ) -> Result<File> {
        let mut writer = Writer::new(Disk::create(path, force, fsync)?);
        // Who looks at the file finds at once what it is.
        writer.flush().with_context(|| path.display().to_string())?;
        Ok(File { writer, streams: 0, boundary: (now, 0), begun: false })
    }

    /// Writes what a file begins with, once: when, and who records.
    pub(crate) fn begin(&mut self, session: &Session) {
        if self.begun {
            return;
        }
        self.begun = true;
        let mut info = Element::new("info");
        info.add_text("version", "1.0");
        let now = Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%z").to_string();
        info.add_text("datetime", &now);
        info.add(recorded_by(session));
        self.writer.file_header(&info.to_document());
    }

    /// The number of one more stream.
    pub(crate) fn next_stream(&mut self) -> u32 {
        self.streams += 1;
        self.streams
    }

    /// Whether the disk has room for so much more than what waits for it.
    #[inline]
    pub(crate) fn has_room_for(&mut self, bytes: u64) -> bool {
        let waiting = self.writer.waiting() as u64;
        self.writer.get_mut().has_room_for(waiting + bytes)
    }

    /// Takes the samples that were gathered, if any.
    pub(crate) fn samples(&mut self, stream: u32, gathered: &mut Gathered) {
        self.writer.samples(stream, gathered);
        if self.writer.len() - self.boundary.1 >= BOUNDARY_BYTES {
            self.mark(self.boundary.0);
        }
    }

    /// Writes a boundary if the last was long ago.
    pub(crate) fn mark_time(&mut self, now: i64) {
        let (time, len) = self.boundary;
        if now - time >= BOUNDARY_TIME && self.writer.len() > len {
            self.mark(now);
        }
    }

    fn mark(&mut self, now: i64) {
        self.writer.boundary();
        self.boundary = (now, self.writer.len());
    }
}

/// Who recorded what, for people; the records have it for programs.
fn recorded_by(session: &Session) -> Element {
    let mut ours = Element::new("framepipe");
    ours.add_text("session", &session.uuid);
    ours.add_text("host", &session.host);
    ours.add_text("boot_id", &session.boot_id);
    ours.add_text("start_realtime", &session.start_realtime.to_string());
    ours.add_text("start_monotonic", &session.start_monotonic.to_string());
    if !session.meta.is_empty() {
        let meta = ours.add(Element::new("meta"));
        for (key, value) in &session.meta {
            let entry = meta.add(Element::new("entry"));
            entry.add_text("key", key);
            entry.add_text("value", value);
        }
    }
    if !session.stages.is_empty() {
        let stages = ours.add(Element::new("stages"));
        for stage in &session.stages {
            let entry = stages.add(Element::new("stage"));
            entry.add_text("name", &stage.name);
            entry.add_text("command", &stage.command.join(" "));
            entry.add_text("version", &stage.version);
            entry.add_text("host", &stage.host);
        }
    }
    ours
}
