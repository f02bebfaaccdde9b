//! The records' way in: read as they come, with an eye on the clock.

use std::io::ErrorKind;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};

use super::account::Account;
use super::args::Common;
use super::books::Books;
use super::consumer::Consumer;
use super::origin::{Origin, Ready};
use super::reader::Reader;
use super::signal::Stop;
use super::status::Counters;
use crate::clock::Clock;
use crate::wire::MAX_PAYLOAD;

/// A tool's input.
pub(super) struct Input {
    reader: Reader,
    books: Books,
    clock: Clock,
    stop: Stop,
    until: Option<i64>,
    idle: Option<i64>,
}

/// What a wait for more brought.
enum Fill {
    Bytes,
    Time,
    End,
    Stop,
}

impl Input {
    /// Reads from there. `stop` ends what no stage before could.
    pub(super) fn new(
        mut origin: Origin,
        stop: Stop,
        common: &Common,
        counters: &Arc<Counters>,
        clock: &Clock,
    ) -> Input {
        let limit = (common.max_record as usize).min(MAX_PAYLOAD);
        let now = clock.now();
        let mut books = Books::new(common, counters, clock);
        books.is_recorded(origin.is_recorded());
        books.are_missing_by(origin.holes());
        for what in origin.take_complaints() {
            books.complain(what);
        }
        Input {
            reader: Reader::new(origin, limit),
            books,
            clock: clock.clone(),
            stop,
            until: common.duration.map(|time| now.saturating_add(time)),
            idle: common.idle,
        }
    }

    /// Reads to the end, or until an option says to stop. The account is filled in also
    /// when that fails.
    pub(super) fn run(
        mut self,
        consumer: &mut impl Consumer,
        account: &mut Account,
    ) -> Result<()> {
        let result = self.read_all(consumer);
        let remarks = self.reader.origin_mut().remarks();
        *account = self.books.into_account();
        account.add_remarks(remarks);
        result
    }

    fn read_all(&mut self, consumer: &mut impl Consumer) -> Result<()> {
        let mut last = self.books.look_at_clock();
        loop {
            self.take_all(consumer)?;
            if self.books.is_done() {
                break;
            }
            let now = self.books.look_at_clock();
            consumer.tick(now)?;
            self.books.make_stats(consumer)?;
            consumer.idle()?;
            if let Some(reason) = consumer.is_done().or(self.time_is_up(now, last)) {
                self.books.stop(reason);
                break;
            }
            match self.fill(consumer, last)? {
                Fill::Time => {}
                Fill::Stop => {
                    self.books.stop("signal");
                    break;
                }
                Fill::Bytes => {
                    last = self.books.look_at_clock();
                    // What is sent on of these is sent now, not when the last ones came.
                    consumer.has_read(last);
                    let arrival = self.reader.origin().arrival();
                    arrival.into_iter().for_each(|time| self.books.arrived(time));
                }
                Fill::End => {
                    self.take_all(consumer)?;
                    break;
                }
            }
        }
        let bytes = self.reader.offset();
        if bytes > 0 && self.books.is_empty() && !self.books.is_done() {
            return Err(self.no_records(bytes));
        }
        self.books.close(consumer)?;
        consumer.idle()
    }

    #[inline]
    fn take_all(&mut self, consumer: &mut impl Consumer) -> Result<()> {
        while !self.books.is_done() {
            let Some(item) = self.reader.pull()? else { break };
            self.books.take(item, consumer)?;
        }
        // A whole longest record without any header: this input was never one of ours.
        match self.reader.searching() {
            Some(damage)
                if self.books.is_empty() && damage.bytes > MAX_PAYLOAD as u64 =>
            {
                Err(self.no_records(damage.bytes))
            }
            _ => Ok(()),
        }
    }

    #[cold]
    fn no_records(&self, bytes: u64) -> anyhow::Error {
        let name = self.reader.origin().name();
        anyhow!(
            "{name}: no record in {bytes} bytes: this is not the output of a framepipe \
             tool, nor a .frames file; `replay FILE | …` gives the records of recordings \
             in other formats"
        )
    }

    fn time_is_up(&self, now: i64, last: i64) -> Option<&'static str> {
        if self.until.is_some_and(|until| now >= until) {
            return Some("duration");
        }
        let idle = self.idle.is_some_and(|idle| now - last >= idle);
        idle.then_some("idle")
    }

    fn fill(&mut self, consumer: &impl Consumer, last: i64) -> Result<Fill> {
        let deadline = consumer.deadline();
        let idle = self.idle.map(|idle| last.saturating_add(idle));
        let times = [deadline, self.until, idle, Some(self.books.next_stats())];
        let deadline = times.into_iter().flatten().min().unwrap_or(i64::MAX);
        match self.wait(deadline, consumer.watch())? {
            Ready::Read => {}
            Ready::Time => return Ok(Fill::Time),
            Ready::Stop => return Ok(Fill::Stop),
        }
        let more = match self.reader.fill() {
            Err(err) if err.kind() == ErrorKind::WouldBlock => return Ok(Fill::Time),
            more => more,
        };
        let more = more.with_context(|| self.reader.origin().name().to_owned())?;
        Ok(if more { Fill::Bytes } else { Fill::End })
    }

    fn wait(&mut self, deadline: i64, watch: Option<BorrowedFd<'_>>) -> Result<Ready> {
        let origin = self.reader.origin_mut();
        let ready = origin.wait(deadline, watch, &self.stop, &self.clock);
        ready.with_context(|| self.reader.origin().name().to_owned())
    }
}
