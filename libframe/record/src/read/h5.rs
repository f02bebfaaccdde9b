//! What is in an HDF5 recording: its sessions, streams and tables.

use std::collections::BTreeMap;
use std::fs::File as PlainFile;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use hdf5::types::{FixedAscii, FixedUnicode, TypeDescriptor, VarLenAscii, VarLenUnicode};
use hdf5::{File, Group, Location};
use libframe::payload::{End, MAX_TYPED, Payload as _, Session};
use libframe::schema::Stream;
use rustix::fs::{FlockOperation, flock};

use super::columns::Columns;
use super::dataset::Rows;
use crate::layout::{
    FORMAT_NAME, JOURNAL_ENDING, LOCK_FILE, STREAMS, VERSION, descriptions, root,
    session, stream, table,
};
use crate::recording::{SessionInfo, State, StreamInfo};

/// An HDF5 recording that is open.
pub(crate) struct H5 {
    pub(crate) file: File,
    pub(crate) sessions: Vec<H5Session>,
    streams: Vec<StreamInfo>,
    state: State,
}

/// A session as it lies in the file.
#[derive(Clone, Debug)]
pub(crate) struct H5Session {
    pub(crate) tag: u32,
    /// Empty if no announcement came.
    pub(crate) payload: Vec<u8>,
    pub(crate) session: Session,
    /// Why it ended; empty while it has not.
    pub(crate) end_reason: String,
    pub(crate) end: Option<(End, Vec<u8>)>,
}

/// One description of a stream, and the row from which it holds.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    pub(crate) row: u64,
    pub(crate) payload: Vec<u8>,
}

impl H5 {
    /// Opens a file of which the signature was seen.
    pub(crate) fn open(path: &Path) -> Result<H5> {
        let file = File::open(path).context("an HDF5 file that cannot be opened")?;
        if text(&file, root::FORMAT).as_deref() != Some(FORMAT_NAME) {
            bail!(
                "an HDF5 file, but no recording: it has no attribute format = {FORMAT_NAME:?}"
            );
        }
        match int(&file, root::FORMAT_VERSION) {
            Some(version) if version == i64::from(VERSION) => {}
            other => bail!(
                "layout version {}, and this tool reads {VERSION}; use the framepipe that \
                 wrote it",
                other.map_or("?".into(), |version| version.to_string())
            ),
        }
        let state = match int(&file, root::COMPLETE) {
            Some(1) => State::Complete,
            _ if is_being_recorded(path) => State::Growing,
            _ => State::BrokeOff,
        };
        let mut h5 = H5 { file, sessions: Vec::new(), streams: Vec::new(), state };
        h5.find_sessions()?;
        h5.find_streams()?;
        Ok(h5)
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn sessions(&self) -> Vec<SessionInfo> {
        let all = self.sessions.iter().map(|session| SessionInfo {
            tag: session.tag,
            session: session.session.clone(),
            end: session.end.as_ref().map(|(end, _)| end.clone()),
        });
        all.collect()
    }

    pub(crate) fn streams(&self) -> Vec<StreamInfo> {
        self.streams.clone()
    }

    pub(crate) fn columns(&self, stream: &StreamInfo) -> Result<Columns> {
        Columns::of_groups(self.groups(stream)?)
    }

    /// The groups of a stream, in the order they were written.
    pub(crate) fn groups(&self, stream: &StreamInfo) -> Result<Vec<Group>> {
        let paths = stream.parts.iter();
        paths.map(|path| self.file.group(path).with_context(|| path.clone())).collect()
    }

    /// The streams of a session, by its place.
    pub(crate) fn streams_of(&self, session: usize) -> impl Iterator<Item = &StreamInfo> {
        self.streams.iter().filter(move |stream| stream.session == session)
    }

    fn find_sessions(&mut self) -> Result<()> {
        for n in 1.. {
            let name = match n {
                1 => session::GROUP.to_owned(),
                _ => format!("{}_{n}", session::GROUP),
            };
            if !self.file.link_exists(&name) {
                return Ok(());
            }
            let group = self.file.group(&name).with_context(|| name.clone())?;
            let payload = bytes(&group, session::PAYLOAD)?.unwrap_or_default();
            let end = bytes(&group, session::END)?;
            self.sessions.push(H5Session {
                tag: int(&group, session::TAG).unwrap_or_default() as u32,
                session: Session::from_bytes(&payload).unwrap_or_default(),
                payload,
                end_reason: text(&group, session::END_REASON).unwrap_or_default(),
                end: end.and_then(|bytes| Some((End::from_bytes(&bytes).ok()?, bytes))),
            });
        }
        Ok(())
    }

    fn find_streams(&mut self) -> Result<()> {
        if !self.file.link_exists(STREAMS) {
            return Ok(());
        }
        let mut found = BTreeMap::<(usize, u16), Vec<Found>>::new();
        for name in self.file.group(STREAMS)?.member_names()? {
            let path = format!("{STREAMS}/{name}");
            let part = Found::look(&self.file, &path).with_context(|| path.clone())?;
            if part.session < self.sessions.len() {
                found.entry((part.session, part.number)).or_default().push(part);
            }
        }
        for ((session, number), mut parts) in found {
            parts.sort_by_key(|found| found.part);
            let Some(newest) = parts.last() else { continue };
            self.streams.push(StreamInfo {
                session,
                number,
                description: newest.description.clone(),
                rows: parts.iter().map(|part| part.rows).sum(),
                parts: parts.iter().map(|part| part.path.clone()).collect(),
                clock_offset: newest.clock_offset,
            });
        }
        Ok(())
    }
}

/// A group of `/streams`.
struct Found {
    path: String,
    session: usize,
    number: u16,
    description: Stream,
    rows: u64,
    part: i64,
    clock_offset: i64,
}

impl Found {
    fn look(file: &File, path: &str) -> Result<Found> {
        let group = file.group(path)?;
        let session = int(&group, stream::SESSION).unwrap_or(1);
        let number = int(&group, stream::STREAM).context("no attribute stream")?;
        // A stream that was never described has none.
        let newest = all_descriptions(&group)?.pop();
        let description = match &newest {
            Some(newest) => Stream::from_bytes(&newest.payload).unwrap_or_default(),
            None => Stream {
                name: text(&group, stream::NAME).unwrap_or_default(),
                ..Stream::default()
            },
        };
        Ok(Found {
            path: path.into(),
            session: usize::try_from(session - 1).context("attribute session")?,
            number: u16::try_from(number).context("attribute stream")?,
            description,
            rows: row_count(&group),
            part: int(&group, stream::PART).unwrap_or(0),
            clock_offset: int(&group, stream::CLOCK_OFFSET).unwrap_or(0),
        })
    }
}

/// Numbers of eight bytes.
pub(crate) const I8: hdf5::types::IntSize = hdf5::types::IntSize::U8;

/// How many whole rows a stream has.
pub(crate) fn row_count(group: &Group) -> u64 {
    let length = |name: &str| {
        let dataset = group.dataset(name).ok()?;
        dataset.shape().first().map(|n| *n as u64)
    };
    let all = [stream::TIME_NS, stream::SEQ].map(|name| length(name).unwrap_or(0));
    all.into_iter().min().unwrap_or(0)
}

/// All descriptions of a stream, in order.
pub(crate) fn all_descriptions(group: &Group) -> Result<Vec<Description>> {
    let Ok(of) = group.group(descriptions::GROUP) else { return Ok(Vec::new()) };
    let unsigned = TypeDescriptor::Unsigned(I8);
    let mut rows = numbers(&of, table::ROW, &unsigned)?;
    let mut ends = numbers(&of, table::PAYLOAD_END, &unsigned)?;
    let mut payloads = Rows::new(of.dataset(table::PAYLOAD)?)?;
    let mut all = Vec::new();
    let mut from = 0;
    for at in 0..rows.len().min(ends.len()) {
        let to = ends.word(at)?.min(payloads.len());
        let mut payload = Vec::new();
        if to.saturating_sub(from) <= MAX_TYPED as u64 {
            payloads.append(from, to, &mut payload)?;
        }
        all.push(Description { row: rows.word(at)?, payload });
        from = to;
    }
    Ok(all)
}

/// A column of numbers.
pub(crate) fn numbers(group: &Group, name: &str, kind: &TypeDescriptor) -> Result<Rows> {
    let dataset = group.dataset(name).with_context(|| format!("no {name}"))?;
    Rows::numbers(dataset, kind.clone())
}

/// A small dataset of bytes as a whole.
fn bytes(group: &Group, name: &str) -> Result<Option<Vec<u8>>> {
    if !group.link_exists(name) {
        return Ok(None);
    }
    let dataset = group.dataset(name)?;
    if dataset.size() > MAX_TYPED {
        bail!("{}: absurdly long", dataset.name());
    }
    let bytes = dataset.read_raw::<u8>()?;
    Ok((!bytes.is_empty()).then_some(bytes))
}

/// A whole number, if there is an attribute of that name.
pub(crate) fn int(of: &Location, name: &str) -> Option<i64> {
    of.attr(name).ok()?.read_scalar().ok()
}

/// A text of any of the types that writers use.
fn text(of: &Location, name: &str) -> Option<String> {
    let attr = of.attr(name).ok()?;
    match attr.dtype().ok()?.to_descriptor().ok()? {
        TypeDescriptor::FixedAscii(_) => {
            Some(attr.read_scalar::<FixedAscii<256>>().ok()?.as_str().to_owned())
        }
        TypeDescriptor::FixedUnicode(_) => {
            Some(attr.read_scalar::<FixedUnicode<256>>().ok()?.as_str().to_owned())
        }
        TypeDescriptor::VarLenAscii => {
            Some(attr.read_scalar::<VarLenAscii>().ok()?.as_str().to_owned())
        }
        TypeDescriptor::VarLenUnicode => {
            Some(attr.read_scalar::<VarLenUnicode>().ok()?.as_str().to_owned())
        }
        _ => None,
    }
}

/// Whether a recorder holds the lock in the journal's folder.
fn is_being_recorded(path: &Path) -> bool {
    let mut folder = path.as_os_str().to_owned();
    folder.push(JOURNAL_ENDING);
    let lock = PlainFile::open(PathBuf::from(folder).join(LOCK_FILE));
    lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockShared).is_err())
}
