//! The chunks of a file in order, past whatever is damaged in it.
//!
//! The file is read in large pieces and chunks are given from where they lie. A chunk that
//! is not what it claims to be is passed over: to its end, if a chunk stands there, else to
//! the next boundary. What was passed over is told.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use memchr::memmem;

use crate::chunk::{BOUNDARY, Head, MAGIC, MAX_HEAD, Tag};
use crate::header;
use crate::samples::{Layout, Samples};

/// What is read at once: stays in the processor's cache until it is looked at.
const PIECE: usize = 256 << 10;
/// The longest chunk that is read, unless another limit is set.
pub const MAX_CHUNK: usize = 64 << 20;
/// Streams whose samples can be told apart; hostile headers would fill the memory.
const MAX_STREAMS: usize = 65_536;
const GZIP: [u8; 2] = [0x1F, 0x8B];

/// Why a file cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system says so.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is compressed.
    #[error("compressed; first: gunzip -c FILE.xdfz > FILE.xdf")]
    Compressed,
    /// It holds no chunk.
    #[error("no XDF file: begins otherwise, and has no boundary chunk")]
    NotXdf,
}

/// What is next in a file.
#[derive(Clone, Debug)]
pub enum Item<'a> {
    /// A chunk.
    Chunk(Chunk<'a>),
    /// Bytes that are none.
    Damage(Damage),
}

/// A chunk in a file.
#[derive(Clone, Debug)]
pub struct Chunk<'a> {
    /// Where it begins.
    pub offset: u64,
    /// Its head.
    pub head: Head,
    /// What it holds.
    pub content: Content<'a>,
}

/// What a chunk holds.
#[derive(Clone, Debug)]
pub enum Content<'a> {
    /// XML about the file.
    FileHeader(&'a [u8]),
    /// XML about a stream.
    StreamHeader(&'a [u8]),
    /// Samples.
    Samples(Samples<'a>),
    /// Samples of a stream that is not wanted; so many, by their chunk.
    Unwanted(u64),
    /// Samples of a stream that has no header that can be read; so many, by their chunk.
    Undescribed(u64),
    /// How far a stream's clock is from the recorder's.
    ClockOffset(ClockOffset),
    /// A place to begin from.
    Boundary,
    /// XML about what came of a stream.
    StreamFooter(&'a [u8]),
    /// Nothing that the format has a name for.
    Unknown,
}

/// How far a stream's clock is from the recorder's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClockOffset {
    /// When it was measured, s of the stream's clock.
    pub time: f64,
    /// What is to be added to the stream's times, s.
    pub value: f64,
}

/// Bytes that are no chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where they begin.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
    /// Whether nothing comes after them.
    pub is_last: bool,
    /// What is wrong with the first of them.
    pub why: String,
}

/// Reads a file's chunks.
#[derive(Debug)]
pub struct Reader<R> {
    inner: R,
    /// Bytes of the file when it was looked at last.
    len: u64,
    buf: Vec<u8>,
    /// What of `buf` was read and not passed: `buf[at..filled]`, of which the first is byte
    /// `offset` of the file.
    at: usize,
    filled: usize,
    offset: u64,
    limit: usize,
    layouts: BTreeMap<u32, Option<Layout>>,
    unwanted: Vec<u32>,
    begun: bool,
}

/// What was found, as places in the buffer: a chunk that borrowed it could not be looked at
/// and passed over.
enum Found {
    Chunk { offset: u64, head: Head, at: usize, len: usize },
    Damage(Damage),
}

impl Reader<File> {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Reader<File>, ReadError> {
        Reader::new(File::open(path)?)
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Reads from the beginning of `inner`, which need not be buffered.
    pub fn new(mut inner: R) -> Result<Reader<R>, ReadError> {
        let len = inner.seek(SeekFrom::End(0))?;
        inner.seek(SeekFrom::Start(0))?;
        let mut reader = Reader {
            inner,
            len,
            buf: vec![0; PIECE],
            at: 0,
            filled: 0,
            offset: 0,
            limit: MAX_CHUNK,
            layouts: BTreeMap::new(),
            unwanted: Vec::new(),
            begun: false,
        };
        reader.fill(MAGIC.len())?;
        let front = reader.front();
        if front.starts_with(&GZIP) {
            return Err(ReadError::Compressed);
        }
        if front.starts_with(&MAGIC) {
            reader.pass(MAGIC.len());
            reader.begun = true;
        }
        Ok(reader)
    }

    /// Takes chunks with more content than this for damage.
    pub fn limit(&mut self, bytes: usize) {
        self.limit = bytes;
    }

    /// Passes over the samples of a stream from here on.
    pub fn leave_out(&mut self, stream: u32) {
        if let Err(at) = self.unwanted.binary_search(&stream) {
            self.unwanted.insert(at, stream);
        }
    }

    /// Bytes of the file when it was looked at last.
    pub fn file_len(&self) -> u64 {
        self.len
    }

    /// Where the next chunk begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes on at a chunk that began there. What was learnt of streams is kept.
    pub fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.begun = true;
        self.go_to(offset)
    }

    /// What is next; `None` at the end of the file. The end of a file that grows is
    /// reached again later.
    #[expect(clippy::should_implement_trait, reason = "what is given borrows the reader")]
    pub fn next(&mut self) -> Result<Option<Item<'_>>, ReadError> {
        let found = match self.begun {
            true => self.find()?,
            false => Some(Found::Damage(self.begin_in_the_middle()?)),
        };
        Ok(found.map(|found| match found {
            Found::Damage(damage) => Item::Damage(damage),
            Found::Chunk { offset, head, at, len } => {
                let content = self.content(&head, at, len);
                Item::Chunk(Chunk { offset, head, content })
            }
        }))
    }

    /// Passes over what is before the first boundary of a file that does not begin as one.
    fn begin_in_the_middle(&mut self) -> Result<Damage, ReadError> {
        self.begun = true;
        let damage = self.search("the file begins in the middle".into())?;
        if damage.is_last { Err(ReadError::NotXdf) } else { Ok(damage) }
    }

    fn find(&mut self) -> Result<Option<Found>, ReadError> {
        self.fill(MAX_HEAD)?;
        if self.front().is_empty() {
            return Ok(None);
        }
        let offset = self.offset;
        let head = match Head::parse(self.front()) {
            Ok(Some(head)) => head,
            Ok(None) => return self.cut().map(Some),
            Err(why) => return self.search(why.to_string()).map(Found::Damage).map(Some),
        };
        let end = head.end(offset).filter(|end| *end <= self.len || self.has(*end));
        let Some(end) = end else { return self.cut().map(Some) };
        if let Some(len) = self.part_of_unwanted(&head) {
            self.fill(head.len + len)?;
            let at = self.at + head.len;
            // What is in the buffer stays there until the next call, wherever that reads.
            let passed = head.len as u64 + head.content;
            self.pass_or_seek(passed)?;
            return Ok(Some(Found::Chunk { offset, head, at, len }));
        }
        if head.content > self.limit as u64 {
            let why = format!("a chunk of {} bytes, over the limit", head.content);
            return self.doubt(end, why).map(Some);
        }
        let len = head.content as usize;
        if !self.fill(head.len + len)? {
            return self.cut().map(Some);
        }
        let content = &self.front()[head.len..head.len + len];
        if let Err(why) = check(&head, content, &self.layouts) {
            return self.doubt(end, why).map(Some);
        }
        if !head.tag.is_known() && !self.is_chunk_at(end)? {
            let why = format!("a chunk of unknown tag {}", head.tag.0);
            return self.doubt(end, why).map(Some);
        }
        self.learn(&head, head.len, len);
        let at = self.at + head.len;
        self.pass(head.len + len);
        Ok(Some(Found::Chunk { offset, head, at, len }))
    }

    /// How much of a chunk must be read whose samples are not wanted: their number.
    fn part_of_unwanted(&self, head: &Head) -> Option<usize> {
        let unwanted =
            head.tag == Tag::SAMPLES && self.unwanted.binary_search(&head.stream).is_ok();
        unwanted.then(|| head.content.min(9) as usize)
    }

    fn learn(&mut self, head: &Head, from: usize, len: usize) {
        if head.tag != Tag::STREAM_HEADER {
            return;
        }
        let xml = &self.front()[from..from + len];
        let layout = header::layout(xml);
        if self.layouts.len() < MAX_STREAMS || self.layouts.contains_key(&head.stream) {
            self.layouts.insert(head.stream, layout);
        }
    }

    fn content(&self, head: &Head, at: usize, len: usize) -> Content<'_> {
        let bytes = &self.buf[at..at + len];
        match head.tag {
            Tag::FILE_HEADER => Content::FileHeader(bytes),
            Tag::STREAM_HEADER => Content::StreamHeader(bytes),
            Tag::STREAM_FOOTER => Content::StreamFooter(bytes),
            Tag::BOUNDARY => Content::Boundary,
            Tag::CLOCK_OFFSET => Content::ClockOffset(clock_offset(bytes)),
            Tag::SAMPLES => self.samples(head, bytes),
            _ => Content::Unknown,
        }
    }

    fn samples<'a>(&self, head: &Head, bytes: &'a [u8]) -> Content<'a> {
        let count = || match crate::chunk::number(bytes) {
            Ok(Some((count, _))) => count,
            _ => 0,
        };
        if self.unwanted.binary_search(&head.stream).is_ok() {
            return Content::Unwanted(count());
        }
        let layout = self.layouts.get(&head.stream).copied().flatten();
        match layout.map(|layout| Samples::parse(bytes, layout)) {
            Some(Ok(samples)) => Content::Samples(samples),
            _ => Content::Undescribed(count()),
        }
    }

    /// A chunk that goes on behind the end of the file: either it was not written to its
    /// end, or its length is damaged.
    fn cut(&mut self) -> Result<Found, ReadError> {
        let damage = self.search("cut off".into())?;
        let why =
            if damage.is_last { damage.why } else { "its length is damaged".into() };
        Ok(Found::Damage(Damage { why, ..damage }))
    }

    /// A chunk that is not what it claims. If one stands where it ends, its length was
    /// right, and nothing else is lost.
    fn doubt(&mut self, end: u64, why: String) -> Result<Found, ReadError> {
        if !self.is_chunk_at(end)? {
            return self.search(why).map(Found::Damage);
        }
        let offset = self.offset;
        self.pass_or_seek(end - offset)?;
        let is_last = end == self.len;
        Ok(Found::Damage(Damage { offset, bytes: end - offset, is_last, why }))
    }

    /// Passes over all up to the next boundary behind the first byte, or to the end.
    fn search(&mut self, why: String) -> Result<Damage, ReadError> {
        let offset = self.offset;
        let finder = memmem::Finder::new(&BOUNDARY).into_owned();
        // What was looked through, and kept for a boundary whose head or half is in it.
        let mut seen = 1;
        loop {
            let more = self.fill(self.at_least(seen + BOUNDARY.len()))?;
            let from = seen.min(self.front().len());
            if let Some(found) = finder.find(&self.front()[from..]) {
                let place = from + found;
                let before = boundary_head(&self.front()[1.min(place)..place]);
                let whole = if before == 0 { BOUNDARY.len() } else { 0 };
                self.pass(place + whole - before);
                let bytes = self.offset - offset;
                return Ok(Damage { offset, bytes, is_last: false, why });
            }
            if !more {
                let left = self.front().len();
                self.pass(left);
                let bytes = self.offset - offset;
                return Ok(Damage { offset, bytes, is_last: true, why });
            }
            let keep = BOUNDARY.len() + MAX_HEAD;
            let len = self.front().len();
            if len > keep {
                self.pass(len - keep);
            }
            seen = (len.min(keep) + 1).saturating_sub(BOUNDARY.len()).max(1);
        }
    }

    /// Enough to be worth a read, and more than `len`.
    fn at_least(&self, len: usize) -> usize {
        len.max(self.front().len() + 1).max(PIECE / 2)
    }

    /// Whether a chunk begins there, or the file ends.
    fn is_chunk_at(&mut self, offset: u64) -> Result<bool, ReadError> {
        if offset >= self.len {
            return Ok(offset == self.len);
        }
        let mut bytes = [0; MAX_HEAD];
        let want = (self.len - offset).min(MAX_HEAD as u64) as usize;
        let place = (offset - self.offset).try_into().ok();
        let here = place.and_then(|place: usize| self.front().get(place..place + want));
        match here {
            Some(here) => bytes[..want].copy_from_slice(here),
            None => self.peek(offset, &mut bytes[..want])?,
        }
        Ok(match Head::parse(&bytes[..want]) {
            Ok(Some(head)) => {
                let fits = head.end(offset).is_some_and(|end| end <= self.len);
                head.tag.is_known() && fits
            }
            Ok(None) => true,
            Err(_) => false,
        })
    }

    fn peek(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.seek(SeekFrom::Start(offset))?;
        let read = self.inner.read_exact(bytes);
        let buffered = self.offset + (self.filled - self.at) as u64;
        self.inner.seek(SeekFrom::Start(buffered))?;
        read
    }

    fn front(&self) -> &[u8] {
        &self.buf[self.at..self.filled]
    }

    fn pass(&mut self, len: usize) {
        self.at += len;
        self.offset += len as u64;
    }

    /// Passes over bytes that need not have been read.
    fn pass_or_seek(&mut self, len: u64) -> io::Result<()> {
        let here = self.front().len() as u64;
        if len <= here {
            self.pass(len as usize);
            return Ok(());
        }
        // The buffer's bytes stay as they are: the chunk just found may be among them.
        self.go_to(self.offset + len)
    }

    fn go_to(&mut self, offset: u64) -> io::Result<()> {
        self.inner.seek(SeekFrom::Start(offset))?;
        (self.at, self.offset) = (self.filled, offset);
        Ok(())
    }

    /// Whether the file has grown to hold this byte's predecessor.
    fn has(&mut self, end: u64) -> bool {
        let buffered = self.offset + (self.filled - self.at) as u64;
        if let Ok(len) = self.inner.seek(SeekFrom::End(0)) {
            self.len = self.len.max(len);
        }
        self.inner.seek(SeekFrom::Start(buffered)).is_ok() && end <= self.len
    }

    /// Reads until so many bytes are in front, or the file ends; then false.
    fn fill(&mut self, len: usize) -> io::Result<bool> {
        if self.filled - self.at >= len {
            return Ok(true);
        }
        self.buf.copy_within(self.at..self.filled, 0);
        self.filled -= self.at;
        self.at = 0;
        while self.filled < len {
            // Room is made for what is there, not for what is claimed.
            let room = (self.filled + PIECE).min(len.max(PIECE));
            if self.buf.len() < room {
                self.buf.resize(room, 0);
            }
            match self.inner.read(&mut self.buf[self.filled..room]) {
                Ok(0) => return Ok(false),
                Ok(n) => self.filled += n,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        Ok(true)
    }
}

/// What is wrong with a chunk's content.
fn check(
    head: &Head,
    content: &[u8],
    layouts: &BTreeMap<u32, Option<Layout>>,
) -> Result<(), String> {
    match head.tag {
        Tag::BOUNDARY if content != BOUNDARY => Err("a boundary that is none".into()),
        Tag::CLOCK_OFFSET if content.len() != 16 => {
            Err(format!("a clock offset of {} bytes", content.len()))
        }
        Tag::FILE_HEADER | Tag::STREAM_HEADER | Tag::STREAM_FOOTER
            if !is_xml(content) =>
        {
            Err("a header or footer that is no XML".into())
        }
        Tag::SAMPLES => match layouts.get(&head.stream) {
            Some(Some(layout)) => Samples::parse(content, *layout)
                .map(|_| ())
                .map_err(|misfit| misfit.to_string()),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn is_xml(content: &[u8]) -> bool {
    let blank = |byte: &&u8| byte.is_ascii_whitespace() || **byte == 0;
    let first = content.iter().find(|byte| !blank(byte));
    let last = content.iter().rev().find(|byte| !blank(byte));
    (first, last) == (Some(&b'<'), Some(&b'>'))
}

fn clock_offset(content: &[u8]) -> ClockOffset {
    let (words, _) = content.as_chunks();
    let at =
        |index: usize| words.get(index).map_or(0.0, |word| f64::from_le_bytes(*word));
    ClockOffset { time: at(0), value: at(1) }
}

/// Bytes of the boundary chunk's head that these bytes end with; 0 if they do not.
fn boundary_head(before: &[u8]) -> usize {
    let heads: [&[u8]; 3] =
        [&[1, 18, 5, 0], &[4, 18, 0, 0, 0, 5, 0], &[8, 18, 0, 0, 0, 0, 0, 0, 0, 5, 0]];
    heads.into_iter().find(|head| before.ends_with(head)).map_or(0, <[u8]>::len)
}

#[cfg(test)]
mod tests;
