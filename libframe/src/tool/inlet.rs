//! One of several inputs: a file, a pipe or a FIFO, read without making the others wait.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::OFlags;

use super::books::Books;
use super::consumer::Consumer;
use super::origin::stdin;
use crate::decoder::{Ahead, Decoder};
use crate::wire::MAX_PAYLOAD;

/// Reads told apart by their time; the last of more count as one.
const MAX_READS: usize = 1024;

/// An input among several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inlet {
    /// What it is called in messages.
    pub label: String,
    /// A file, a FIFO, what bash puts in place of `<(…)`, or `-` for stdin.
    pub path: PathBuf,
}

/// An input that is being read.
pub(super) struct Intake {
    pub(super) label: String,
    /// `None` once no more will be read.
    file: Option<File>,
    kind: Kind,
    decoder: Decoder,
    pub(super) books: Books,
    /// What was read and not given out yet, by when it was.
    reads: VecDeque<Filled>,
    /// Bytes that may wait for the other inputs.
    room: usize,
    /// When something came last; the start, if nothing has.
    pub(super) last: i64,
    /// The latest of the times that its records had.
    pub(super) shown: i64,
    /// Nothing has come for so long that the others do not wait for it.
    pub(super) stalled: bool,
    /// All that came is accounted for.
    pub(super) ended: bool,
    /// Samples that came after later ones of other inputs, and by how much at most, ns.
    pub(super) late: (u64, i64),
}

/// What an input is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// All of it is there.
    Stored,
    /// It comes as it is made.
    Live,
}

/// What one read brought.
#[derive(Clone, Copy, Debug)]
struct Filled {
    /// Where its bytes end.
    end: u64,
    time: i64,
}

impl Inlet {
    /// Opens the input. A FIFO is open at once, whether or not anybody writes to it yet.
    pub(super) fn open(&self) -> Result<File> {
        if self.path == Path::new("-") {
            return stdin();
        }
        let open = || {
            // Asked before it is opened, since to open a FIFO is to wait for its writer.
            let is_fifo = fs::metadata(&self.path)?.file_type().is_fifo();
            let flags = if is_fifo { OFlags::NONBLOCK } else { OFlags::empty() };
            File::options().read(true).custom_flags(flags.bits() as i32).open(&self.path)
        };
        open().with_context(|| self.path.display().to_string())
    }
}

impl Intake {
    pub(super) fn new(
        label: &str,
        file: File,
        mut books: Books,
        room: usize,
        limit: usize,
        now: i64,
    ) -> io::Result<Intake> {
        let kind = if file.metadata()?.is_file() { Kind::Stored } else { Kind::Live };
        books.is_one_of_several(label);
        books.is_recorded(kind == Kind::Stored);
        Ok(Intake {
            label: label.into(),
            file: Some(file),
            kind,
            decoder: Decoder::new(limit.min(MAX_PAYLOAD)),
            books,
            reads: VecDeque::new(),
            room,
            last: now,
            shown: i64::MIN,
            stalled: false,
            ended: false,
            late: (0, 0),
        })
    }

    /// Whether all of it is there, and a read never waits.
    pub(super) fn is_stored(&self) -> bool {
        self.kind == Kind::Stored
    }

    /// Whether no stage before this one could end it: it is a file, or nobody has written
    /// to it yet.
    pub(super) fn ends_at_signal(&self) -> bool {
        self.is_stored() || !self.has_spoken()
    }

    /// Whether anything has come at all.
    pub(super) fn has_spoken(&self) -> bool {
        self.decoder.offset() > 0
    }

    /// The descriptor to wait for, if there is room for what it brings.
    pub(super) fn wants(&mut self) -> Option<BorrowedFd<'_>> {
        if self.is_stored() || self.is_full() {
            return None;
        }
        self.file.as_ref().map(|file| file.as_fd())
    }

    /// Whether as much waits as may. Reading goes on at the half, since each read moves
    /// what waits; a record that is not complete yet always has room.
    pub(super) fn is_full(&mut self) -> bool {
        self.waiting() > self.room / 2 && self.decoder.peek().is_some()
    }

    /// Bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.decoder.waiting()
    }

    /// Whether more may come.
    pub(super) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Since when nothing has come, if there is nothing at hand and something may come.
    pub(super) fn silent_since(&mut self) -> Option<i64> {
        let silent = self.is_open() && !self.is_stored() && self.ahead().is_none();
        silent.then_some(self.last)
    }

    /// What comes next.
    #[inline]
    pub(super) fn ahead(&mut self) -> Option<Ahead> {
        self.decoder.peek()
    }

    /// When the record that comes next was all there.
    pub(super) fn arrival(&mut self) -> Option<i64> {
        let end = self.decoder.peek()?.end;
        let read = self.reads.iter().find(|read| read.end >= end);
        Some(read.map_or(self.last, |read| read.time))
    }

    /// Gives out what comes next.
    #[inline]
    pub(super) fn take(&mut self, to: &mut impl Consumer) -> Result<()> {
        let end = self.decoder.peek().map_or(0, |ahead| ahead.end);
        while let Some(read) = self.reads.front() {
            if read.end >= end {
                break;
            }
            self.reads.pop_front();
            if let Some(next) = self.reads.front() {
                self.books.arrived(next.time);
            }
        }
        match self.decoder.pull() {
            Some(item) => self.books.take(item, to),
            None => Ok(()),
        }
    }

    /// Reads once. At the end, and when it fails, nothing more will be read.
    pub(super) fn fill(&mut self, now: i64) {
        let Some(file) = &mut self.file else { return };
        match file.read(self.decoder.space()) {
            Ok(0) => self.shut(),
            Ok(n) => {
                self.decoder.filled(n);
                self.came(now);
            }
            Err(err)
                if matches!(
                    err.kind(),
                    ErrorKind::Interrupted | ErrorKind::WouldBlock
                ) => {}
            Err(err) => {
                self.books.complain(err.to_string());
                self.shut();
            }
        }
        if self.is_strange(MAX_PAYLOAD as u64) {
            self.shut();
        }
    }

    fn came(&mut self, now: i64) {
        self.last = now;
        let full = self.reads.len() == MAX_READS;
        let end = self.decoder.offset();
        match self.reads.back_mut() {
            Some(last) if full => last.end = end,
            _ => self.reads.push_back(Filled { end, time: now }),
        }
        self.books.look_at_clock();
        self.books.arrived(self.reads.front().map_or(now, |read| read.time));
    }

    /// Reads no more. The stage before notices, if it still writes.
    pub(super) fn stop_reading(&mut self) {
        self.file = None;
    }

    fn shut(&mut self) {
        self.stop_reading();
        self.decoder.close();
    }

    /// Whether so much came without a single record that this is no input of ours.
    pub(super) fn is_strange(&self, bytes: u64) -> bool {
        self.books.is_empty() && self.decoder.offset() > bytes
    }

    /// Bytes that came.
    pub(super) fn bytes(&self) -> u64 {
        self.decoder.offset()
    }
}
