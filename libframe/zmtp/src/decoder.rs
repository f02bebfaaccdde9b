//! ZMTP without I/O: bytes go in, in any cuts; a greeting, commands and messages come out.
//!
//! A message is handed out as slices of the buffer that it was received into. What a peer
//! claims costs nothing: the buffer grows with the bytes that really came, up to the
//! limits, and what is over them is a [`Fault`] as soon as its header is there.
//!
//! ```text
//!             64 bytes that hold        a frame that is a command
//!                                              ┌─────┐
//!   greeting ───────────────────► frames ──────┘◄────┘──► message, at its last frame
//! ```

use std::ops::Range;

use crate::command::Command;
use crate::fault::Fault;
use crate::frame::{COMMAND, GREETING, Head, LONG, MORE, VERSION};

/// Commands are short: a subscription is the longest.
const MAX_COMMAND: usize = 8 << 10;
/// The buffer of a busy connection: what one read may bring.
const AT_REST: usize = 256 << 10;
/// The least room for a read; with less the buffer is tidied up first.
const LEAST: usize = 4 << 10;

/// How often a buffer that has grown is found empty before it is made small again.
const ROOMY: u32 = 64;

/// What a peer may send at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message, all parts together.
    pub message: usize,
    /// Parts of a message.
    pub parts: usize,
}

impl Default for Limits {
    /// 64 MiB, as much as a record may have, and 64 parts.
    fn default() -> Limits {
        Limits { message: 64 << 20, parts: 64 }
    }
}

/// What [`Decoder::step`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing whole; more bytes are needed.
    More,
    /// The peer's greeting, with the second digit of its version: 3.`minor`.
    Greeting {
        /// The digit.
        minor: u8,
    },
    /// A command: see [`Decoder::command`].
    Command,
    /// A message: see [`Decoder::parts`].
    Message,
}

/// Finds messages in bytes.
///
/// ```
/// use libframe_zmtp::{Decoder, Limits, Step, greeting, put_message};
///
/// let mut bytes = greeting().to_vec();
/// put_message(&mut bytes, &[b"DATA\0", b"{}"]);
///
/// let mut decoder = Decoder::new(Limits::default());
/// decoder.push(&bytes);
/// assert_eq!(decoder.step()?, Step::Greeting { minor: 1 });
/// assert_eq!(decoder.step()?, Step::Message);
/// assert_eq!(decoder.parts().get(1), Some(&b"{}"[..]));
/// assert_eq!(decoder.step()?, Step::More);
/// # Ok::<(), libframe_zmtp::Fault>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    buffer: Vec<u8>,
    /// Where what is being read begins in the buffer, and where the bytes end.
    start: usize,
    end: usize,
    /// How far it was read, from `start`.
    at: usize,
    /// The parts of the message so far, from `start`.
    parts: Vec<Range<usize>>,
    /// What they add up to, and the commands between them.
    bytes: usize,
    between: usize,
    /// The last command, from `start`.
    command: Range<usize>,
    greeted: bool,
    /// The message is whole and was handed out.
    whole: bool,
    /// For how many more times that the buffer is empty it stays as large as it is.
    roomy: u32,
}

/// The parts of a message.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    bytes: &'a [u8],
    ranges: &'a [Range<usize>],
}

impl<'a> Parts<'a> {
    /// How many there are; never 0 for a message that came.
    #[inline]
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// One of them.
    #[inline]
    pub fn get(&self, n: usize) -> Option<&'a [u8]> {
        self.bytes.get(self.ranges.get(n)?.clone())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let Parts { bytes, ranges } = *self;
        ranges.iter().map(move |range| &bytes[range.clone()])
    }
}

impl Decoder {
    /// A decoder at the beginning of a connection.
    pub fn new(limits: Limits) -> Decoder {
        Decoder {
            limits,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            at: 0,
            parts: Vec::new(),
            bytes: 0,
            between: 0,
            command: 0..0,
            greeted: false,
            whole: false,
            roomy: 0,
        }
    }

    /// Takes bytes, in any cuts. Copies them; who reads from a socket reads into
    /// [`Decoder::space`] instead.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.space();
            let n = space.len().min(bytes.len());
            space[..n].copy_from_slice(&bytes[..n]);
            self.filled(n);
            bytes = &bytes[n..];
        }
    }

    /// Room to read into; never empty, if `step` was called until it wanted more. What was
    /// handed out before is gone.
    pub fn space(&mut self) -> &mut [u8] {
        self.release();
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.shrink();
        }
        if self.buffer.len() - self.end < LEAST {
            self.make_room();
        }
        &mut self.buffer[self.end..]
    }

    /// Says how many bytes were put into [`Decoder::space`].
    pub fn filled(&mut self, n: usize) {
        self.end = (self.end + n).min(self.buffer.len());
    }

    /// How many bytes of memory the decoder takes.
    pub fn memory(&self) -> usize {
        self.buffer.capacity() + self.parts.capacity() * size_of::<Range<usize>>()
    }

    /// Goes on to what comes next. After a fault there is nothing more.
    pub fn step(&mut self) -> Result<Step, Fault> {
        self.release();
        if !self.greeted {
            return self.greet();
        }
        loop {
            let rest = &self.buffer[self.start + self.at..self.end];
            let Some(head) = Head::parse(rest) else { return Ok(Step::More) };
            self.check(head)?;
            // Within the limits by now, so it fits a usize.
            let len = head.len + head.body as usize;
            if rest.len() < len {
                return Ok(Step::More);
            }
            let body = self.at + head.len..self.at + len;
            self.at = body.end;
            if head.flags & COMMAND != 0 {
                self.between += len;
                self.command = body;
                return Ok(Step::Command);
            }
            self.bytes += body.len();
            self.parts.push(body);
            if head.flags & MORE == 0 {
                self.whole = true;
                return Ok(Step::Message);
            }
        }
    }

    /// The message that [`Decoder::step`] found.
    #[inline]
    pub fn parts(&self) -> Parts<'_> {
        Parts { bytes: &self.buffer[self.start..self.end], ranges: &self.parts }
    }

    /// The command that [`Decoder::step`] found.
    pub fn command(&self) -> Result<Command<'_>, Fault> {
        let bytes = &self.buffer[self.start..self.end];
        Command::parse(bytes.get(self.command.clone()).unwrap_or_default())
    }

    /// Whether the peer has said which version it speaks.
    pub(crate) fn knows_version(&self) -> bool {
        self.greeted || self.end - self.start >= VERSION
    }

    fn greet(&mut self) -> Result<Step, Fault> {
        let bytes = &self.buffer[self.start..self.end];
        // What is there must hold, so that a stranger is known by its first byte.
        for (at, mask) in [(0, 0xFF), (9, 1)] {
            if bytes.get(at).is_some_and(|byte| byte & mask != mask) {
                return Err(Fault::Signature(bytes[..=at].to_vec()));
            }
        }
        if let Some(major) = bytes.get(10).filter(|major| **major < 3) {
            return Err(Fault::Version(*major));
        }
        let Some(greeting) = bytes.first_chunk::<GREETING>() else {
            return Ok(Step::More);
        };
        let mechanism = &greeting[12..32];
        if mechanism != b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" {
            let name = mechanism.split(|byte| *byte == 0).next().unwrap_or_default();
            return Err(Fault::Mechanism(String::from_utf8_lossy(name).into_owned()));
        }
        let minor = if greeting[10] == 3 { greeting[11] } else { 1 };
        self.greeted = true;
        self.start += GREETING;
        Ok(Step::Greeting { minor })
    }

    /// Whether a frame is within the limits, before it is there.
    #[inline]
    fn check(&self, head: Head) -> Result<(), Fault> {
        let Head { flags, body, .. } = head;
        let command = flags & COMMAND != 0;
        if flags & !(MORE | LONG | COMMAND) != 0 || command && flags & MORE != 0 {
            return Err(Fault::Flags(flags));
        }
        let (before, limit) = match command {
            true => (self.between, MAX_COMMAND),
            false => (self.bytes, self.limits.message),
        };
        let claimed = body.saturating_add(before as u64);
        match command {
            _ if claimed > limit as u64 && command => {
                Err(Fault::CommandTooLong { claimed, limit })
            }
            _ if claimed > limit as u64 => Err(Fault::MessageTooLong { claimed, limit }),
            false if self.parts.len() >= self.limits.parts => {
                Err(Fault::TooManyParts(self.limits.parts))
            }
            _ => Ok(()),
        }
    }

    /// Lets go of what was handed out.
    #[inline]
    fn release(&mut self) {
        if self.whole || self.parts.is_empty() {
            self.start += self.at;
            self.at = 0;
            self.parts.clear();
            (self.bytes, self.between) = (0, 0);
            self.whole = false;
        }
    }

    /// Gives memory back, if long messages have become rare.
    fn shrink(&mut self) {
        let rest = self.rest();
        if self.buffer.len() > rest {
            self.roomy = self.roomy.saturating_sub(1);
            if self.roomy == 0 {
                self.buffer.truncate(rest);
                self.buffer.shrink_to(rest);
            }
        }
    }

    /// The buffer at rest; small for those who expect only short messages.
    fn rest(&self) -> usize {
        self.limits.message.clamp(LEAST, AT_REST).next_multiple_of(LEAST)
    }

    /// Moves what is there to the front, and doubles the buffer if that is not enough.
    fn make_room(&mut self) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() - self.end < LEAST {
            // The longest that the limits let through, and a read.
            let most = self.limits.message + 9 * self.limits.parts + 2 * MAX_COMMAND;
            let len = (self.buffer.len() * 2).min(most + LEAST).max(self.rest());
            self.buffer.resize(len.max(self.end + LEAST), 0);
            self.roomy = ROOMY;
        }
    }
}
