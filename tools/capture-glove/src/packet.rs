//! The glove's packets: bytes in, frames and faults out. No I/O, no clock.
//!
//! ```text
//! AA 55 03 99 | index | type | payload            index 1: 128 bytes, 134 in all
//!   delimiter    1, 2   1..6                      index 2: 144 bytes, 150 in all
//! ```
//!
//! The two payloads joined are a frame. There is no length, checksum or number, and the
//! delimiter may occur in a payload, so the rule is strict: a packet counts only if another
//! delimiter follows it, or nothing at all; if not, the search goes on one byte later. A
//! decision waits for the bytes that it needs, so the same bytes give the same items however
//! they are cut.
//!
//! With one exception, for lines that are alive: the last packet before a pause would wait
//! for the frame after it. [`Parser::settle`] gives it at once, and should the bytes that
//! follow prove it wrong, takes it back in words ([`Item::Retracted`]). Without what was
//! retracted, the frames are again those of the strict rule.

use memchr::memmem;

use crate::fault::Fault;

/// Bytes of a frame: 256 of pressure, 16 of a quaternion.
pub(crate) const FRAME: usize = 272;
/// Bytes of a frame on the line.
pub(crate) const ON_LINE: u64 = 284;

const DELIMITER: [u8; 4] = [0xAA, 0x55, 0x03, 0x99];
const HEADER: usize = 6;
/// How much of a frame the first packet carries.
const FIRST: usize = 128;
/// What a glove says when its button is pressed: C and six digits, and a delimiter.
const VERSION: usize = 7;
/// The most that can be left of a packet that had begun before we listened.
const CUT: u64 = 149;

/// What some bytes turned out to be.
#[derive(Debug, PartialEq)]
pub(crate) enum Item<'a> {
    /// A frame.
    Frame(Frame<'a>),
    /// Why frames are missing before the next one, or at the end.
    Fault(Fault),
    /// The last frame was given before its end was certain, and what followed was not what
    /// follows a frame: it may be made of pieces.
    Retracted,
    /// What the glove says of its firmware.
    Version([u8; VERSION]),
}

/// A frame, and where it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Frame<'a> {
    pub(crate) bytes: &'a [u8; FRAME],
    /// The type byte: what the sensors are on.
    pub(crate) body: u8,
    /// Bytes of the line up to and with its last.
    pub(crate) end: u64,
}

/// Finds frames in bytes.
#[derive(Debug)]
pub(crate) struct Parser {
    /// Bytes that are not understood yet, from `start`.
    window: Vec<u8>,
    start: usize,
    /// Bytes that came before the window.
    base: u64,
    ended: bool,
    body: Option<u8>,
    frame: [u8; FRAME],
    /// The first packet of a frame whose second has not come.
    first: Option<First>,
    /// A second packet that was given before its end was certain; it is still in the window.
    held: Option<Held>,
    /// A frame that is complete, by its end, and waits to be taken.
    ready: Option<u64>,
    /// Where the last frame ended.
    frame_end: Option<u64>,
    /// Whether a packet has been found.
    begun: bool,
    /// Whether a delimiter has been found.
    synced: bool,
    /// Bytes before that.
    late: u64,
    /// Whether the window begins where a packet ended.
    at_boundary: bool,
    /// Where the rest begins that is too short for a packet, once there is no more.
    tail: Option<u64>,
    fault: Fault,
}

#[derive(Clone, Copy, Debug)]
struct First {
    at: u64,
    /// Bytes that are no packet followed it: what comes then need not be its second half.
    broken: bool,
    /// A frame was made of it already, and retracted.
    told: bool,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    len: usize,
    first: First,
    frame_end: Option<u64>,
}

/// What bytes say about a question.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Yes,
    No,
    /// More bytes are needed.
    Wait,
}

enum Step {
    Frame(u64),
    Retracted,
    Version([u8; VERSION]),
}

impl Default for Parser {
    fn default() -> Parser {
        Parser {
            window: Vec::new(),
            start: 0,
            base: 0,
            ended: false,
            body: None,
            frame: [0; FRAME],
            first: None,
            held: None,
            ready: None,
            frame_end: None,
            begun: false,
            synced: false,
            late: 0,
            at_boundary: true,
            tail: None,
            fault: Fault::default(),
        }
    }
}

impl Parser {
    /// Takes bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.window.drain(..self.start);
        self.base += self.start as u64;
        self.start = 0;
        self.window.extend_from_slice(bytes);
    }

    /// Says that no more bytes will come.
    pub(crate) fn finish(&mut self) {
        self.ended = true;
    }

    /// Begins anew, at a line that was interrupted: half a packet is nobody's fault then,
    /// and it may be another glove.
    pub(crate) fn reopen(&mut self) {
        let base = self.position() + self.rest().len() as u64;
        *self = Parser { base, ..Parser::default() };
    }

    /// Gives what is certain; `None` when more bytes are needed.
    pub(crate) fn pull(&mut self) -> Option<Item<'_>> {
        loop {
            if let Some(end) = self.ready {
                if self.fault.is_any() {
                    return Some(Item::Fault(std::mem::take(&mut self.fault)));
                }
                self.ready = None;
                let body = self.body.unwrap_or_default();
                return Some(Item::Frame(Frame { bytes: &self.frame, body, end }));
            }
            match self.step() {
                Some(Step::Frame(end)) => self.ready = Some(end),
                Some(Step::Retracted) => return Some(Item::Retracted),
                Some(Step::Version(text)) => return Some(Item::Version(text)),
                None if self.ended => return self.last_fault(),
                None => return None,
            }
        }
    }

    /// Takes it that nothing follows for a while: a frame that is complete is given by the
    /// next [`Parser::pull`], although it is not certain.
    pub(crate) fn settle(&mut self) {
        let Some(first) = self.first.filter(|first| !first.broken) else { return };
        let rest = self.rest();
        let whole = HEADER + FRAME - FIRST;
        let fits = rest.len() == whole && rest.starts_with(&DELIMITER);
        if self.held.is_some() || !fits || rest[4] != 2 || Some(rest[5]) != self.body {
            return;
        }
        self.held = Some(Held { len: whole, first, frame_end: self.frame_end });
        self.ready = Some(self.complete(first, whole));
    }

    /// Whether no packet was found among so many bytes that this is no glove.
    pub(crate) fn is_lost(&self, limit: u64) -> bool {
        !self.begun && self.position() >= limit
    }

    /// Bytes before the first delimiter.
    pub(crate) fn late(&self) -> u64 {
        self.late
    }

    /// Bytes at the end that are the beginning of a packet, once all is pulled.
    pub(crate) fn left(&self) -> u64 {
        self.tail.map_or(0, |tail| self.base + self.window.len() as u64 - tail)
    }

    fn step(&mut self) -> Option<Step> {
        if let Some(held) = self.held {
            match self.confirmed(held.len) {
                Answer::Wait => return None,
                Answer::Yes => self.consume(held.len),
                Answer::No => return Some(self.retract(held)),
            }
            self.held = None;
        }
        loop {
            if self.at_boundary {
                match self.version() {
                    Answer::Yes => return Some(Step::Version(self.take_version())),
                    Answer::Wait if !self.ended => return None,
                    Answer::Wait => self.end_at_window(),
                    Answer::No => {}
                }
            }
            match self.candidate() {
                Answer::Yes => {
                    if let Some(end) = self.accept() {
                        return Some(Step::Frame(end));
                    }
                }
                Answer::No => self.skip(1),
                Answer::Wait if self.rest().is_empty() || !self.ended => return None,
                // What is too short for a packet may still hold a shorter one.
                Answer::Wait => {
                    self.end_at_window();
                    self.skip(1);
                }
            }
        }
    }

    /// Goes back to where the last frame was given too early.
    fn retract(&mut self, held: Held) -> Step {
        self.held = None;
        self.first = Some(First { told: true, ..held.first });
        self.frame_end = held.frame_end;
        self.fault.retracted += 1;
        self.skip(1);
        Step::Retracted
    }

    /// Goes to the next delimiter, and tells whether a packet begins there.
    fn candidate(&mut self) -> Answer {
        let rest = self.rest();
        let found = memmem::find(rest, &DELIMITER);
        // A delimiter that is cut by the end of the bytes begins in the last three of them.
        let cut = || {
            let from = rest.len().saturating_sub(DELIMITER.len() - 1);
            let starts =
                (from..rest.len()).find(|at| DELIMITER.starts_with(&rest[*at..]));
            starts.unwrap_or(rest.len())
        };
        let away = found.unwrap_or_else(cut);
        self.skip(away);
        self.synced |= found.is_some();
        let rest = self.rest();
        let (index, body) = (rest.get(4), rest.get(5));
        let valid = index.is_none_or(|index| [1, 2].contains(index))
            && body.is_none_or(|body| (1..=6).contains(body));
        let len = length(index.copied().unwrap_or(2));
        match () {
            () if !valid => Answer::No,
            () if rest.len() < len => Answer::Wait,
            () if self.body.is_none() || self.body.as_ref() == body => {
                self.confirmed(len)
            }
            () => self.changed(len),
        }
    }

    /// Whether a packet of this length at the window's start is followed by what follows one.
    fn confirmed(&self, len: usize) -> Answer {
        let after = &self.rest()[len..];
        match (begins(after, &DELIMITER), is_version(after)) {
            (Answer::No, Answer::No) => Answer::No,
            (Answer::Yes, _) | (_, Answer::Yes) => Answer::Yes,
            _ if self.ended => Answer::Yes,
            _ => Answer::Wait,
        }
    }

    /// The same of a packet that has another type than those before it. One flipped bit
    /// makes such a packet, so the one after it must agree.
    fn changed(&self, len: usize) -> Answer {
        let (rest, after) = (self.rest(), &self.rest()[len..]);
        match (begins(after, &DELIMITER), after.get(4), after.get(5)) {
            (Answer::No, ..) => Answer::No,
            (_, _, Some(body)) if *body != rest[5] => Answer::No,
            (_, Some(index), _) if ![1, 2].contains(index) => Answer::No,
            (Answer::Yes, _, Some(_)) => Answer::Yes,
            _ if self.ended => Answer::No,
            _ => Answer::Wait,
        }
    }

    /// Takes the packet at the window's start. With it a frame may be complete: its end.
    fn accept(&mut self) -> Option<u64> {
        let (index, body) = (self.rest()[4], self.rest()[5]);
        let len = length(index);
        let at = self.position();
        if let Some(tail) = self.tail.take() {
            self.fault.add_junk(tail, at - tail);
        }
        let joining = !self.begun && !self.fault.is_any();
        if !self.begun && self.late > CUT {
            self.fault.add_junk(at - self.late, self.late);
        }
        self.begun = true;
        let changed = self.body.replace(body).is_some_and(|before| before != body);
        if changed {
            self.fault.add_change(at, body);
        }
        let fits = |first: &First| index == 2 && !first.broken && !changed;
        let first = self.first.filter(fits);
        let end = match first {
            Some(first) => Some(self.complete(first, len)),
            None => {
                let broken = self.part_with_first();
                match index {
                    1 => self.keep_first(at),
                    _ if joining => {}
                    // Both halves of one frame, or of two: one at least is lost.
                    _ if broken => self.fault.add_orphan(at, 0),
                    _ => self.fault.add_orphan(at, 1),
                }
                None
            }
        };
        self.consume(len);
        end
    }

    fn keep_first(&mut self, at: u64) {
        let rest = &self.window[self.start + HEADER..];
        self.frame[..FIRST].copy_from_slice(&rest[..FIRST]);
        self.first = Some(First { at, broken: false, told: false });
    }

    /// Gives up a first packet whose second did not come. Whether there was one.
    fn part_with_first(&mut self) -> bool {
        let Some(first) = self.first.take() else { return false };
        self.fault.add_alone(first.at, u64::from(!first.told));
        true
    }

    /// Makes a frame of the first packet and the second at the window's start. Its end.
    fn complete(&mut self, first: First, len: usize) -> u64 {
        self.first = None;
        let second = &self.window[self.start + HEADER..self.start + len];
        self.frame[FIRST..].copy_from_slice(second);
        let end = self.position() + len as u64;
        self.fault.settle(self.frame_end.map(|end| first.at - end));
        self.frame_end = Some(end);
        end
    }

    fn version(&self) -> Answer {
        let rest = self.rest();
        let after = rest.get(VERSION + DELIMITER.len()..).unwrap_or_default();
        match is_version(rest) {
            // The delimiter is the message's own, if another follows it.
            Answer::Yes if begins(after, &DELIMITER) == Answer::Wait && !self.ended => {
                Answer::Wait
            }
            _ if rest.is_empty() => Answer::No,
            answer => answer,
        }
    }

    fn take_version(&mut self) -> [u8; VERSION] {
        let rest = self.rest();
        let text = rest.first_chunk().copied().unwrap_or_default();
        let after = &rest[VERSION + DELIMITER.len()..];
        let own = begins(after, &DELIMITER) != Answer::No;
        let len = VERSION + if own { DELIMITER.len() } else { 0 };
        self.fault.foreign += len as u64;
        self.consume(len);
        text
    }

    fn last_fault(&mut self) -> Option<Item<'static>> {
        if !self.fault.is_any() {
            return None;
        }
        self.fault.settle(None);
        Some(Item::Fault(std::mem::take(&mut self.fault)))
    }

    /// Bytes that are no packet.
    fn skip(&mut self, n: usize) {
        if n == 0 {
            return;
        }
        match (self.synced, self.tail) {
            // Junk only if a packet comes after it.
            (_, Some(_)) => {}
            (false, None) => self.late += n as u64,
            (true, None) => self.fault.add_junk(self.position(), n as u64),
        }
        if let Some(first) = &mut self.first {
            first.broken = true;
        }
        self.start += n;
        self.at_boundary = false;
    }

    /// Takes it that the rest is the beginning of something, unless a packet is in it.
    fn end_at_window(&mut self) {
        self.tail.get_or_insert(self.base + self.start as u64);
    }

    fn consume(&mut self, n: usize) {
        self.start += n;
        self.at_boundary = true;
    }

    fn rest(&self) -> &[u8] {
        &self.window[self.start..]
    }

    /// Which byte of the line the window's start is.
    fn position(&self) -> u64 {
        self.base + self.start as u64
    }
}

/// Bytes of a packet with this index.
fn length(index: u8) -> usize {
    HEADER + if index == 1 { FIRST } else { FRAME - FIRST }
}

/// Whether bytes begin with these, as far as there are any.
fn begins(bytes: &[u8], with: &[u8]) -> Answer {
    match () {
        () if bytes.starts_with(with) => Answer::Yes,
        () if with.starts_with(bytes) => Answer::Wait,
        () => Answer::No,
    }
}

/// Whether bytes begin with the glove's version and a delimiter.
fn is_version(bytes: &[u8]) -> Answer {
    let (text, after) = bytes.split_at(bytes.len().min(VERSION));
    let told = text.iter().enumerate().all(|(at, byte)| match at {
        0 => *byte == b'C',
        _ => byte.is_ascii_digit(),
    });
    if told { begins(after, &DELIMITER) } else { Answer::No }
}

#[cfg(test)]
mod tests;
