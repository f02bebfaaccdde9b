//! Recordings made of records: what is in them, and where in the file a time is.

use std::fs::File;
use std::io::{Chain, Cursor, Read, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Result, bail};
use libframe::catalog::Catalog;
use libframe::clock::SECOND;
use libframe::decoder::{Cause, Item, find_header};
use libframe::io::RecordReader;
use libframe::payload::{End, Payload as _, Session};
use libframe::timeline::stream_offset;
use libframe::wire::{HEADER_LEN, Header, Kind, MAX_PAYLOAD, Record};

use crate::recording::{SessionInfo, StreamInfo};
use crate::xdf;

/// Bytes looked through for a first record: the longest record, and a header behind it.
const PATIENCE: u64 = MAX_PAYLOAD as u64 + (1 << 20);
/// Records of streams that lag behind the others stand up to this much later in a file.
pub(crate) const LAG: i64 = 5 * SECOND;
/// Descriptions at the start of a file are kept up to this size.
const MAX_HEAD: usize = 8 << 20;
/// A search by halves ends here; it is read through faster than searched on.
const NEAR: u64 = 256 << 10;
/// Bytes read at once where a header is searched.
const WINDOW: usize = 64 << 10;

/// Reads a file of records, and counts its sessions.
pub(crate) struct FrameReader {
    reader: RecordReader<Chain<Cursor<Vec<u8>>, File>>,
    /// Tags in order of appearance, and whether their END came.
    sessions: Vec<(u32, bool)>,
}

/// What a whole file of records holds.
#[derive(Default)]
pub(crate) struct Survey {
    pub(crate) sessions: Vec<SessionInfo>,
    pub(crate) streams: Vec<StreamInfo>,
}

/// Whether there is a record near the start.
pub(crate) fn has_records(file: File) -> Result<bool> {
    let mut reader = RecordReader::new(file.take(PATIENCE), MAX_PAYLOAD);
    while let Some(item) = reader.read()? {
        match item {
            Item::Record(_) => return Ok(true),
            // Another version is told apart by who reads on.
            Item::Damage(damage) if matches!(damage.cause, Cause::Version { .. }) => {
                return Ok(true);
            }
            Item::Damage(_) => {}
        }
    }
    Ok(false)
}

impl FrameReader {
    /// Reads from the start.
    pub(crate) fn open(path: &Path) -> Result<FrameReader> {
        Ok(FrameReader::behind(Vec::new(), File::open(path)?))
    }

    /// Reads from a little before a time in the file's only session, with what describes
    /// its streams in front. `from` tells the time; without one, or if the file has several
    /// sessions, reads from the start.
    pub(crate) fn open_at(
        path: &Path,
        from: &dyn Fn(&Session) -> Option<i64>,
    ) -> Result<FrameReader> {
        let mut file = File::open(path)?;
        let head = Head::read(path)?;
        let from = head.session.as_ref().and_then(|(_, session)| from(session));
        let (Some(from), Some((tag, _))) = (from, &head.session) else {
            return FrameReader::open(path);
        };
        let Some(offset) = search(&file, head.end, *tag, from.saturating_sub(LAG))?
        else {
            return FrameReader::open(path);
        };
        if offset == head.end {
            return FrameReader::open(path);
        }
        file.seek(SeekFrom::Start(offset))?;
        Ok(FrameReader::behind(head.bytes, file))
    }

    /// Reads nothing.
    pub(crate) fn at_end(path: &Path) -> Result<FrameReader> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(0))?;
        Ok(FrameReader::behind(Vec::new(), file))
    }

    fn behind(head: Vec<u8>, file: File) -> FrameReader {
        let reader = RecordReader::new(Cursor::new(head).chain(file), MAX_PAYLOAD);
        FrameReader { reader, sessions: Vec::new() }
    }

    /// The next item, with the place of its session; damage is of the last one.
    pub(crate) fn read(&mut self) -> Result<Option<(usize, Item<'_>)>> {
        let Some(item) = self.reader.read()? else { return Ok(None) };
        let session = match &item {
            Item::Record(record) => enter(&mut self.sessions, &record.header),
            Item::Damage(damage) => {
                if let Cause::Version { digit } = damage.cause {
                    bail!(
                        "record of format version {} at byte {}, and this tool reads \
                         version 1; use the framepipe that wrote it",
                        char::from(digit),
                        damage.offset
                    );
                }
                self.sessions.len().saturating_sub(1)
            }
        };
        Ok(Some((session, item)))
    }
}

/// The place of a record's session.
pub(crate) fn enter(sessions: &mut Vec<(u32, bool)>, header: &Header) -> usize {
    let known = sessions.iter().rposition(|(tag, _)| *tag == header.session);
    let again = |at: usize| sessions[at].1 && header.kind == Kind::SESSION;
    let at = match known {
        Some(at) if !again(at) => at,
        _ => {
            sessions.push((header.session, false));
            sessions.len() - 1
        }
    };
    sessions[at].1 |= header.kind == Kind::END;
    at
}

/// Reads a file to its end and tells what is in it.
pub(crate) fn survey(path: &Path) -> Result<Survey> {
    let mut reader = FrameReader::open(path)?;
    let (mut survey, mut catalog) = (Survey::default(), Catalog::default());
    while let Some((session, item)) = reader.read()? {
        if let Item::Record(record) = item {
            survey.take(session, &record, &mut catalog);
        }
    }
    Ok(survey)
}

/// What is in a file of another format.
pub(crate) fn survey_of(play: &mut xdf::Play) -> Result<Survey> {
    let (mut survey, mut catalog) = (Survey::default(), Catalog::default());
    let mut sessions = Vec::new();
    while let Some(item) = play.read()? {
        if let Item::Record(record) = item {
            let session = enter(&mut sessions, &record.header);
            survey.take(session, &record, &mut catalog);
        }
    }
    Ok(survey)
}

impl Survey {
    fn take(&mut self, session: usize, record: &Record<'_>, catalog: &mut Catalog) {
        let header = record.header;
        while self.sessions.len() <= session {
            let (tag, session, end) = (header.session, Session::default(), None);
            self.sessions.push(SessionInfo { tag, session, end });
        }
        let info = &mut self.sessions[session];
        match header.kind {
            Kind::SESSION => {
                if let Ok(session) = Session::from_bytes(record.payload) {
                    info.session = session;
                }
            }
            Kind::END => info.end = End::from_bytes(record.payload).ok(),
            Kind::CLOCK => {
                if let Some(offset) = stream_offset(record) {
                    self.stream(session, header.stream).clock_offset = offset;
                }
            }
            Kind::STREAM if catalog.learn(record).unwrap_or(true) => {
                if let Some(description) = catalog.of(record) {
                    let stream = self.stream(session, header.stream);
                    stream.description = description.clone();
                }
            }
            kind if kind.has_samples() => {
                self.stream(session, header.stream).rows += record.samples();
            }
            _ => {}
        }
    }

    fn stream(&mut self, session: usize, number: u16) -> &mut StreamInfo {
        let key = (session, number);
        let found = self.streams.binary_search_by_key(&key, |s| (s.session, s.number));
        let at = found.unwrap_or_else(|at| {
            let name = format!("stream {number}");
            let description = libframe::schema::Stream { name, ..Default::default() };
            let (rows, parts, clock_offset) = (0, Vec::new(), 0);
            let new =
                StreamInfo { session, number, description, rows, clock_offset, parts };
            self.streams.insert(at, new);
            at
        });
        &mut self.streams[at]
    }
}

/// What stands before the first sample of a file.
struct Head {
    session: Option<(u32, Session)>,
    /// Its SESSION and STREAM records.
    bytes: Vec<u8>,
    /// Where the first sample begins.
    end: u64,
}

impl Head {
    fn read(path: &Path) -> Result<Head> {
        let mut reader = RecordReader::new(File::open(path)?, MAX_PAYLOAD);
        let mut head = Head { session: None, bytes: Vec::new(), end: 0 };
        while let Some(Item::Record(record)) = reader.read()? {
            match record.header.kind {
                Kind::SESSION if head.session.is_none() => {
                    let session = Session::from_bytes(record.payload).ok();
                    head.session =
                        session.map(|session| (record.header.session, session));
                    record.encode(&mut head.bytes);
                }
                Kind::STREAM => record.encode(&mut head.bytes),
                kind if kind.has_samples() => break,
                _ => {}
            }
            head.end += record.wire_len() as u64;
            if head.bytes.len() > MAX_HEAD {
                break;
            }
        }
        Ok(head)
    }
}

/// Whether the last sample belongs to the first session: then all do, for it would take
/// the same session twice, around another one, to be wrong.
pub(crate) fn has_one_session(path: &Path) -> Result<bool> {
    let head = Head::read(path)?;
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let last = Probe { file: &file, len, window: Vec::new() }.last()?;
    let tags = (head.session.map(|(tag, _)| tag), last.map(|header| header.session));
    Ok(tags.0.is_some() && tags.0 == tags.1)
}

/// The offset of a record from which on all of the session's records of time `from` and
/// later stand; `None` if that cannot be told without reading all.
fn search(file: &File, begin: u64, tag: u32, from: i64) -> Result<Option<u64>> {
    let mut probe = Probe { file, len: file.metadata()?.len(), window: Vec::new() };
    match probe.last()? {
        Some(header) if header.session == tag => {}
        _ => return Ok(None),
    }
    let (mut low, mut high) = (begin, probe.len);
    while high - low > NEAR {
        let middle = low + (high - low) / 2;
        match probe.at(middle, high)? {
            Some((_, header)) if header.session != tag => return Ok(None),
            Some((at, header)) if header.time < from => low = at,
            _ => high = middle,
        }
    }
    Ok(Some(low))
}

/// Looks for headers in the middle of a file.
struct Probe<'a> {
    file: &'a File,
    len: u64,
    window: Vec<u8>,
}

impl Probe<'_> {
    /// The first record of a stream from an offset on, and before another.
    fn at(&mut self, from: u64, to: u64) -> Result<Option<(u64, Header)>> {
        let mut base = from;
        while base < to {
            self.window.resize(WINDOW, 0);
            let n = self.file.read_at(&mut self.window, base)?;
            let mut at = 0;
            while let Some((found, header, length)) = find_header(&self.window[at..n]) {
                let offset = base + (at + found) as u64;
                if header.stream != 0 && (header.kind.has_samples()) {
                    return Ok((offset < to).then_some((offset, header)));
                }
                // Its payload holds no records, whatever it looks like.
                at = (at + found + HEADER_LEN + length as usize).min(n);
            }
            if n < WINDOW {
                return Ok(None);
            }
            base += (n - HEADER_LEN) as u64;
        }
        Ok(None)
    }

    /// The last record of a stream.
    fn last(&mut self) -> Result<Option<Header>> {
        let mut back = WINDOW as u64;
        loop {
            let from = self.len.saturating_sub(back);
            let mut last = None;
            let mut at = from;
            while let Some((offset, header)) = self.at(at, self.len)? {
                last = Some(header);
                at = offset + HEADER_LEN as u64;
            }
            if last.is_some() || from == 0 {
                return Ok(last);
            }
            back *= 8;
        }
    }
}
