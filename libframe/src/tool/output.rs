//! The records' way out: stamped, accounted for, and gathered until nothing more is at
//! hand.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::exit::{Usage, stdout_error};
use super::status::Counters;
use crate::batch::{Sample, data_record};
use crate::clock::Clock;
use crate::io::RecordWriter;
use crate::ledger::SessionLedger;
use crate::payload::{End, Gap, Payload};
use crate::wire::{FLAG_DEVICE_TIME, Header, Kind, Record};

/// Where a filter puts its records.
///
/// A trait so that a test can collect records without starting a process.
pub trait Output {
    /// Passes a record on. `sent`, and `seq` where the kind has no samples, are set here.
    /// Fails if nobody reads any more, and the tool should return.
    fn send(&mut self, record: Record<'_>) -> Result<()>;

    /// Passes on a sample of the record with this header, as DATA.
    fn send_sample(&mut self, header: &Header, sample: &Sample<'_>) -> Result<()> {
        self.send(data_record(header, sample, &mut Vec::new()))
    }

    /// Ends a session that the tool opened itself: END, with the totals of what was sent.
    fn end(&mut self, session: u32, time: i64, reason: &str) -> Result<()>;

    /// The time that records get as `sent`.
    fn now(&self) -> i64;
}

impl Output for Vec<(Header, Vec<u8>)> {
    fn now(&self) -> i64 {
        0
    }

    fn send(&mut self, record: Record<'_>) -> Result<()> {
        self.push((record.header, record.payload.to_vec()));
        Ok(())
    }

    fn end(&mut self, session: u32, time: i64, reason: &str) -> Result<()> {
        let end = End { streams: Vec::new(), reason: reason.into() };
        let (kind, sent) = (Kind::END, 0);
        let header = Header { kind, flags: 0, stream: 0, session, seq: 0, time, sent };
        self.push((header, end.to_bytes()));
        Ok(())
    }
}

/// stdout as a place for records.
pub(super) type Stdout = RecordOut<File>;

/// A place for records, which keeps the account of what went there.
#[derive(Debug)]
pub struct RecordOut<W> {
    writer: RecordWriter<W>,
    /// What it is called in messages, if it is stdout.
    is_stdout: bool,
    /// What was sent of each session that has not ended.
    sessions: Vec<(u32, SessionLedger)>,
    counters: Arc<Counters>,
    /// The time that records get as `sent`. Read once for what comes out of one read:
    /// within that, reading the clock would cost more than passing the record on.
    now: i64,
}

impl RecordOut<File> {
    pub(super) fn open(counters: &Arc<Counters>, clock: &Clock) -> Result<Stdout> {
        let stdout = io::stdout();
        if stdout.is_terminal() {
            let hint = "stdout is a terminal; pipe it into a tool (to-text shows records) \
                        or into a file";
            return Err(Usage(hint.into()).into());
        }
        let file = File::from(stdout.as_fd().try_clone_to_owned()?);
        widen_pipe(&file);
        Ok(RecordOut {
            writer: RecordWriter::new(file),
            is_stdout: true,
            sessions: Vec::new(),
            counters: Arc::clone(counters),
            now: clock.now(),
        })
    }

    /// Where it goes.
    pub(super) fn file(&self) -> &File {
        self.writer.get_ref()
    }

    /// Leaves room for one write only in a pipe: it can then be written to when all before
    /// was read.
    pub(super) fn narrow(&self) {
        narrow(self.file());
    }
}

impl<W: Write> RecordOut<W> {
    /// Another place than stdout.
    pub fn to(writer: W) -> RecordOut<W> {
        RecordOut {
            writer: RecordWriter::new(writer),
            is_stdout: false,
            sessions: Vec::new(),
            counters: Arc::default(),
            now: 0,
        }
    }

    /// Sets the time that records get as `sent`.
    pub fn set_now(&mut self, now: i64) {
        self.now = now;
    }

    /// Sends a typed payload on behalf of the session.
    pub(super) fn send_payload<P: Payload>(
        &mut self,
        session: u32,
        stream: u16,
        time: i64,
        payload: &P,
    ) -> Result<()> {
        let (kind, sent) = (P::KIND, self.now);
        let header = Header { kind, flags: 0, stream, session, seq: 0, time, sent };
        self.send(Record::new(header, &payload.to_bytes()))
    }

    /// Writes what was gathered.
    pub fn flush(&mut self) -> Result<()> {
        let written = self.writer.flush();
        self.told(written)
    }

    fn told(&self, written: io::Result<()>) -> Result<()> {
        match self.is_stdout {
            true => written.map_err(stdout_error).context("stdout"),
            false => Ok(written?),
        }
    }

    /// Sends a record with one bit flipped: what a source simulates.
    pub(super) fn send_flipped(&mut self, record: Record<'_>, bit: u32) -> Result<()> {
        let record = self.book(record);
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        let at = bit as usize % (bytes.len() * 8);
        bytes[at / 8] ^= 1 << (at % 8);
        let written = self.writer.write_bytes(&bytes);
        self.told(written)
    }

    /// The account of what was sent of a session.
    pub(super) fn ledger(&mut self, session: u32) -> &mut SessionLedger {
        let at = match self.sessions.iter().position(|(tag, _)| *tag == session) {
            Some(at) => at,
            None => {
                self.sessions.push((session, SessionLedger::default()));
                self.sessions.len() - 1
            }
        };
        &mut self.sessions[at].1
    }

    /// Enters the record in the account, and gives it its place and time.
    #[inline]
    fn book<'a>(&mut self, record: Record<'a>) -> Record<'a> {
        let samples = record.samples();
        let mut header = Header { sent: self.now, ..record.header };
        if let Some(ledger) = self.ledger(header.session).stream(header.stream) {
            match header.kind {
                Kind::DATA | Kind::BATCH => {
                    ledger.take(header.seq, samples, header.time);
                }
                Kind::SESSION | Kind::STATS | Kind::END => header.seq = 0,
                Kind::GAP => {
                    if let Ok(gap) = Gap::from_bytes(record.payload) {
                        ledger.gap(&gap);
                        header.seq = gap.next();
                    }
                }
                kind if kind.name().is_none() => {}
                _ if ledger.first().is_some() => header.seq = ledger.next(),
                _ => {
                    ledger.expect(header.seq);
                }
            }
        }
        self.counters.output.add(samples, record.wire_len());
        record.with_header(header)
    }
}

impl<W: Write> Output for RecordOut<W> {
    fn now(&self) -> i64 {
        self.now
    }

    #[inline]
    fn send(&mut self, record: Record<'_>) -> Result<()> {
        let record = self.book(record);
        let written = self.writer.write(&record);
        self.told(written)
    }

    /// Written from where it lies: a copy of the longest sample would double the memory
    /// of a stage.
    fn send_sample(&mut self, header: &Header, sample: &Sample<'_>) -> Result<()> {
        let Some(device_time) = sample.device_time.map(u64::to_le_bytes) else {
            return self.send(data_record(header, sample, &mut Vec::new()));
        };
        let (kind, seq, time) = (Kind::DATA, sample.seq, sample.time);
        let header = Header { kind, flags: FLAG_DEVICE_TIME, seq, time, ..*header };
        let front = self.book(Record::new(header, &device_time));
        self.counters.output.add(0, sample.bytes.len());
        let written =
            self.writer.write_pieces(&front.header, front.payload, sample.bytes);
        self.told(written)
    }

    fn end(&mut self, session: u32, time: i64, reason: &str) -> Result<()> {
        let end = self.ledger(session).end(reason);
        self.send_payload(session, 0, time, &end)?;
        self.sessions.retain(|(tag, _)| *tag != session);
        Ok(())
    }
}

/// Makes room for several writes in a pipe, so that two stages at full speed need not take
/// turns. Slow streams never fill it. A refusal (the user's quota is used up, or this is no
/// pipe) only costs speed.
#[cfg(target_os = "linux")]
pub fn widen_pipe(file: &File) {
    const ROOM: usize = 256 << 10;
    if rustix::pipe::fcntl_getpipe_size(file).is_ok_and(|size| size < ROOM) {
        rustix::pipe::fcntl_setpipe_size(file, ROOM).unwrap_or_default();
    }
}

/// Only Linux lets a pipe be widened.
#[cfg(not(target_os = "linux"))]
pub fn widen_pipe(_file: &File) {}

/// The smallest a pipe can be is a page. Where it cannot be made so small, its readers only
/// are a little less up to date.
#[cfg(target_os = "linux")]
fn narrow(file: &File) {
    rustix::pipe::fcntl_setpipe_size(file, rustix::param::page_size())
        .unwrap_or_default();
}

#[cfg(not(target_os = "linux"))]
fn narrow(_file: &File) {}

/// stdout as a place for text, for the tools whose product that is.
///
/// Not `std::io::Stdout`, which writes each line by itself, and whose broken pipe could
/// not be told from a socket's.
#[derive(Debug)]
pub struct TextOut {
    file: File,
    buf: Vec<u8>,
}

impl TextOut {
    /// Opens stdout.
    pub fn stdout() -> io::Result<TextOut> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(TextOut { file, buf: Vec::new() })
    }
}

impl Write for TextOut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buf.extend_from_slice(bytes);
        if self.buf.len() >= 64 << 10 {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.file.write_all(&self.buf).map_err(stdout_error);
        self.buf.clear();
        result
    }
}
