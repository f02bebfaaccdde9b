//! Finds records in bytes, without I/O, and says exactly what it could not read.
//!
//! Bytes are pushed, in any cuts; items are pulled. One implementation so serves pipes,
//! sockets, files and the fuzzer.
//!
//! ```text
//!            header and payload hold: Record
//!                    ┌────┐
//!                    ▼    │      a CRC fails, the magic is not there,
//!   start ───────► in step ┘     or the length is over the limit
//!                    │ ▲ └──────────────────────────────────┐
//!                    │ │                                    ▼
//!                    │ └── a magic with a header ◄─── searching, byte by byte
//!                    │     that holds: Damage
//!                    ▼
//!   payload fails, but at its end a header holds: Damage of just this record
//! ```

use memchr::memmem;

use crate::crc;
use crate::wire::{
    HEADER_LEN, Header, MAGIC, MAX_PAYLOAD, Record, Sealed, header_crc_holds,
};

/// The buffer at rest: two reads of a default pipe.
const AT_REST: usize = 128 << 10;
/// Room for a read beyond a long record, so that its last read is not a short one.
const READ_AHEAD: usize = 64 << 10;

/// What comes out of a [`Decoder`].
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A record whose CRCs held.
    Record(Record<'a>),
    /// Bytes that are no record.
    Damage(Damage),
}

/// What comes next out of a [`Decoder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// The record's header; `None` for bytes that are no record.
    pub header: Option<Header>,
    /// Where it ends, in bytes from the start of the stream.
    pub end: u64,
}

/// A run of bytes that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where it begins, in bytes from the start of the stream.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// Why it could not be read.
    pub cause: Cause,
    /// The header of the record that was there, where that still held.
    pub header: Option<Header>,
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The stream was joined in the middle: its first record is still to come.
    Late,
    /// The magic is not there, or the header's CRC does not hold.
    Header,
    /// The payload's CRC does not hold.
    Payload,
    /// The header holds, but claims a payload over the reader's limit.
    TooLong {
        /// The length it claims.
        length: u32,
    },
    /// The input ended inside a record.
    Truncated,
    /// The record is of another major version of the format.
    Version {
        /// The version's digit.
        digit: u8,
    },
}

impl Cause {
    /// The cause in one word, as reports name it.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Late => "late",
            Cause::Header => "header",
            Cause::Payload => "payload",
            Cause::TooLong { .. } => "too-long",
            Cause::Truncated => "truncated",
            Cause::Version { .. } => "version",
        }
    }
}

/// A state machine that takes bytes and gives records.
#[derive(Debug)]
pub struct Decoder {
    buf: Vec<u8>,
    /// `buf[start..end]` is not given out yet.
    start: usize,
    end: usize,
    /// Offset in the stream of `buf[0]`.
    base: u64,
    limit: usize,
    /// No more bytes will come.
    closed: bool,
    /// A record was found at least once.
    joined: bool,
    /// The damage that the search is in.
    damage: Option<Damage>,
    /// How much of the payload at `start` went into `sum`. Summing as bytes arrive
    /// finds them in the cache; a whole MiB later they are not.
    summed: usize,
    sum: u32,
    /// What [`Decoder::has_item`] found already.
    found: Option<Found>,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder::new(MAX_PAYLOAD)
    }
}

/// What the bytes at the start of the buffer are; positions instead of borrows.
#[derive(Debug)]
enum Found {
    Record(Sealed),
    Damage(Damage),
}

/// What a check of the header at the start found.
enum Check {
    Holds(Sealed),
    Fails(Cause, Option<Header>),
}

impl Decoder {
    /// A decoder at the start of a stream that refuses payloads over `limit` bytes.
    pub fn new(limit: usize) -> Decoder {
        Decoder {
            buf: Vec::new(),
            start: 0,
            end: 0,
            base: 0,
            limit: limit.min(MAX_PAYLOAD),
            closed: false,
            joined: false,
            damage: None,
            summed: 0,
            sum: 0,
            found: None,
        }
    }

    /// Takes the next bytes of the stream, however they were cut.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.space();
            let n = space.len().min(bytes.len());
            space[..n].copy_from_slice(&bytes[..n]);
            self.filled(n);
            bytes = &bytes[n..];
        }
    }

    /// Room to read into, so that bytes are not copied once more. Call
    /// [`Decoder::filled`] with the number of bytes that were put there.
    pub fn space(&mut self) -> &mut [u8] {
        let want = self.wanted();
        if self.start == self.end {
            self.rebase(0);
        }
        if self.start + want > self.buf.len() {
            self.buf.copy_within(self.start..self.end, 0);
            self.rebase(self.end - self.start);
        }
        if self.buf.len() < want {
            self.buf.reserve_exact(want - self.buf.len());
            self.buf.resize(want, 0);
        }
        &mut self.buf[self.end..]
    }

    /// Says that `n` bytes of [`Decoder::space`] now hold the next of the stream.
    pub fn filled(&mut self, n: usize) {
        self.end = (self.end + n).min(self.buf.len());
    }

    /// Says that no more bytes will come: what is left is then told as damage.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Bytes taken so far, including those not given out yet.
    pub fn offset(&self) -> u64 {
        self.base + self.end as u64
    }

    /// The next item, or `None` if more bytes are needed first.
    #[inline]
    pub fn pull(&mut self) -> Option<Item<'_>> {
        let found = self.found.take().or_else(|| self.find())?;
        match found {
            Found::Damage(damage) => Some(Item::Damage(damage)),
            Found::Record(sealed) => {
                let from = self.start + HEADER_LEN;
                let to = from + sealed.length as usize;
                self.advance_to(to);
                let payload = &self.buf[from..to];
                let record = Record::verified(sealed.header, payload, sealed.payload_crc);
                Some(Item::Record(record))
            }
        }
    }

    /// Whether [`Decoder::pull`] would give an item.
    pub(crate) fn has_item(&mut self) -> bool {
        self.peek().is_some()
    }

    /// What [`Decoder::pull`] will give next, or `None` if more bytes are needed first. For
    /// who has several streams and must choose among them.
    #[inline]
    pub fn peek(&mut self) -> Option<Ahead> {
        if self.found.is_none() {
            self.found = self.find();
        }
        let start = self.base + self.start as u64;
        Some(match self.found.as_ref()? {
            Found::Record(sealed) => {
                let len = HEADER_LEN as u64 + u64::from(sealed.length);
                Ahead { header: Some(sealed.header), end: start + len }
            }
            Found::Damage(_) => Ahead { header: None, end: start },
        })
    }

    /// Bytes taken that were not given out yet.
    pub fn waiting(&self) -> usize {
        self.end - self.start
    }

    /// The damage that is being searched through, whose end is not known yet.
    pub fn searching(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    #[inline]
    fn find(&mut self) -> Option<Found> {
        loop {
            if self.damage.is_some() {
                return self.search().map(Found::Damage);
            }
            match self.check_header()? {
                Check::Holds(sealed) => {
                    self.joined = true;
                    if let Some(found) = self.check_payload(sealed)? {
                        return Some(found);
                    }
                }
                Check::Fails(cause, header) => self.begin_damage(cause, header),
            }
        }
    }

    /// Checks the header at the start; `None` if more bytes are needed.
    #[inline]
    fn check_header(&self) -> Option<Check> {
        let rest = &self.buf[self.start..self.end];
        let Some(bytes) = rest.first_chunk() else {
            let cut = self.closed && !rest.is_empty();
            return cut
                .then(|| Check::Fails(self.cause_of(rest, Cause::Truncated), None));
        };
        match header_in(bytes) {
            Some(Ok(sealed)) if sealed.length as usize <= self.limit => {
                Some(Check::Holds(sealed))
            }
            Some(Ok(Sealed { length, header, .. })) => {
                Some(Check::Fails(Cause::TooLong { length }, Some(header)))
            }
            Some(Err(digit)) => Some(Check::Fails(Cause::Version { digit }, None)),
            None => Some(Check::Fails(self.cause_of(rest, Cause::Header), None)),
        }
    }

    /// A reader that joins in the middle is late, not damaged. But where most of a magic
    /// stands at the very start, a record was there, and it is damaged.
    fn cause_of(&self, rest: &[u8], cause: Cause) -> Cause {
        let alike = rest.iter().zip(MAGIC).filter(|(a, b)| **a == *b).count();
        let most = rest.len().min(MAGIC.len() - 1);
        if self.joined || alike >= most { cause } else { Cause::Late }
    }

    /// Checks the payload of the record at the start: the outer `None` asks for more
    /// bytes, the inner one for a search.
    #[inline]
    fn check_payload(&mut self, sealed: Sealed) -> Option<Option<Found>> {
        let len = sealed.length as usize;
        let at = self.start + HEADER_LEN;
        let have = (self.end - at).min(len);
        self.sum = crc::crc32c_append(self.sum, &self.buf[at + self.summed..at + have]);
        self.summed = have;
        if have < len {
            if self.closed {
                self.begin_damage(Cause::Truncated, Some(sealed.header));
                return Some(None);
            }
            return None;
        }
        if self.sum == sealed.payload_crc {
            return Some(Some(Found::Record(sealed)));
        }
        self.judge_payload(sealed)
    }

    /// Finds where the damage ends whose payload fails; returns what `check_payload` does.
    ///
    /// The length stood under the header's CRC, so if a header follows, just this record
    /// is damaged, and what its payload holds must not be taken for records.
    #[cold]
    fn judge_payload(&mut self, sealed: Sealed) -> Option<Option<Found>> {
        let from = self.start + HEADER_LEN;
        let to = from + sealed.length as usize;
        let rest = &self.buf[to..self.end];
        let after = match rest.first_chunk() {
            Some(bytes) => header_in(bytes),
            None if !self.closed => return None,
            None if rest.is_empty() => Some(Ok(sealed)),
            None => None,
        };
        let Some(after) = after else {
            self.begin_damage(Cause::Payload, Some(sealed.header));
            return Some(None);
        };
        let after = after.map_or(sealed.header.session, |after| after.header.session);
        let sessions = [sealed.header.session, after];
        let end = from + records_at_end(&self.buf[from..to], sessions);
        let damage = Damage {
            offset: self.base + self.start as u64,
            bytes: (end - self.start) as u64,
            cause: Cause::Payload,
            header: Some(sealed.header),
        };
        self.advance_to(end);
        Some(Some(Found::Damage(damage)))
    }

    /// Starts a search at the byte after the current one.
    fn begin_damage(&mut self, cause: Cause, header: Option<Header>) {
        let offset = self.base + self.start as u64;
        self.damage = Some(Damage { offset, bytes: 1, cause, header });
        self.advance_to(self.start + 1);
    }

    /// Looks for the next header that holds; returns the damage once its end is known.
    fn search(&mut self) -> Option<Damage> {
        loop {
            let rest = &self.buf[self.start..self.end];
            // All versions share three bytes; of a fourth, any digit will do.
            let Some(at) = memmem::find(rest, &MAGIC[..3]) else {
                let keep = if self.closed { 0 } else { rest.len().min(MAGIC.len() - 2) };
                self.skip(rest.len() - keep);
                return self.closed.then(|| self.damage.take()).flatten();
            };
            self.skip(at);
            match self.buf[self.start..self.end].first_chunk() {
                Some(bytes) if self.is_start_of_record(bytes) => {
                    return self.damage.take();
                }
                None if !self.closed => return None,
                _ => self.skip(1),
            }
        }
    }

    fn is_start_of_record(&self, bytes: &[u8; HEADER_LEN]) -> bool {
        match header_in(bytes) {
            Some(Ok(sealed)) => sealed.length as usize <= self.limit,
            Some(Err(_)) => true,
            None => false,
        }
    }

    /// Counts the next `n` bytes as damage.
    fn skip(&mut self, n: usize) {
        if let Some(damage) = &mut self.damage {
            damage.bytes += n as u64;
        }
        self.advance_to(self.start + n);
    }

    fn advance_to(&mut self, start: usize) {
        self.start = start;
        self.summed = 0;
        self.sum = 0;
    }

    /// Moves the held bytes' place in the buffer, which the caller has moved, to 0.
    fn rebase(&mut self, held: usize) {
        self.base += self.start as u64;
        self.start = 0;
        self.end = held;
    }

    /// How long the buffer must be for the record at the start.
    fn wanted(&self) -> usize {
        let rest = &self.buf[self.start..self.end];
        let record = match rest.first_chunk().and_then(header_in) {
            Some(Ok(sealed)) if sealed.length as usize <= self.limit => {
                HEADER_LEN + sealed.length as usize
            }
            _ => 0,
        };
        // A payload that fails is judged by the header after it, so there is room for it.
        // And there is always some, for a caller that pushes much and pulls late: none
        // would look like the end of the input.
        AT_REST.max(record.max(rest.len()) + READ_AHEAD)
    }
}

/// The first header that holds: its place, and the length of its payload, which need not
/// be among these bytes. For who looks into the middle of a long file.
pub fn find_header(bytes: &[u8]) -> Option<(usize, Header, u32)> {
    let mut from = 0;
    loop {
        let at = from + memmem::find(&bytes[from..], &MAGIC)?;
        if let Some(Ok(sealed)) = header_in(bytes[at..].first_chunk()?) {
            return Some((at, sealed.header, sealed.length));
        }
        from = at + 1;
    }
}

/// Where the records of these sessions begin that a payload which fails ends with, or its
/// length if there are none.
///
/// If bytes were lost from a payload, its length reaches over the records after it, and may
/// end just where one of them does. Their session tells them from a recording that was sent
/// as a payload. No header is looked at twice, so hostile bytes cost no more than others.
fn records_at_end(payload: &[u8], sessions: [u32; 2]) -> usize {
    let header_at = |at: usize| match header_in(payload.get(at..)?.first_chunk()?) {
        Some(Ok(sealed)) if sessions.contains(&sealed.header.session) => Some(sealed),
        _ => None,
    };
    let mut from = 0;
    while let Some(found) = memmem::find(&payload[from..], &MAGIC) {
        let first = from + found;
        let (mut last, mut end) = (first, first);
        while let Some(sealed) = header_at(end) {
            last = end;
            end = last + HEADER_LEN + sealed.length as usize;
        }
        if end == payload.len() {
            return first;
        }
        from = last + 1;
    }
    payload.len()
}

/// A header that holds: of this version, or of another, whose digit is then the error.
///
/// Versions keep the place of the magic and of the header's CRC, so that a reader can
/// tell a newer writer from a flipped bit.
#[inline]
fn header_in(bytes: &[u8; HEADER_LEN]) -> Option<Result<Sealed, u8>> {
    if bytes[..3] != MAGIC[..3] || !header_crc_holds(bytes) {
        return None;
    }
    match bytes[3] {
        b'1' => Some(Ok(Sealed::parse(bytes))),
        digit @ b'0'..=b'9' => Some(Err(digit)),
        _ => None,
    }
}
