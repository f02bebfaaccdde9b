//! A filter's side of stdout: straight, or through what waits and a thread of its own.
//!
//! A filter that queues reads on while stdout blocks. What it sends waits in a
//! [`Backlog`]; the thread `writer` takes it out, enters it in the account of what went out,
//! and writes it. So `sent` is when a record left, END tells what really did, and a sample
//! that was dropped on the way is a GAP like any other.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use anyhow::{Result, anyhow};
use rustix::event::{PollFd, PollFlags};

use super::account::Account;
use super::backlog::{Backlog, Bell, Manner};
use super::chunk::Chunk;
use super::lanes::Put;
use super::output::{Output, Stdout};
use super::signal::poll_until;
use super::status::Counters;
use crate::batch::{Sample, data_record};
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::payload::{End, Flow, Payload as _, Stats};
use crate::wire::{Header, Kind, Record};

/// Marks of the runtime's own records, in `sent`: what they say is made when they leave.
const STATS: i64 = 1;
const END: i64 = 2;
/// So much is put in line before the writer is woken, if more is at hand.
const HANDFUL: u64 = 64 << 10;

/// Where a filter's records go, and what the runtime adds to them.
pub(super) trait Outlet: Output {
    /// The time now.
    fn set_now(&mut self, now: i64);

    /// Sends the stage's own STATS.
    fn stats(&mut self, session: u32, time: i64, stats: &Stats) -> Result<()>;

    /// Nothing more is at hand: what was gathered must go out.
    fn flush(&mut self) -> Result<()>;

    /// Samples dropped on the way so far.
    fn lost(&self) -> u64 {
        0
    }

    /// Waits until all is written; tells what was, where that differs from what came.
    fn close(self) -> Result<Option<Account>>;
}

impl Outlet for Stdout {
    fn set_now(&mut self, now: i64) {
        Stdout::set_now(self, now);
    }

    fn stats(&mut self, session: u32, time: i64, stats: &Stats) -> Result<()> {
        self.send_payload(session, 0, time, stats)
    }

    fn flush(&mut self) -> Result<()> {
        Stdout::flush(self)
    }

    fn close(self) -> Result<Option<Account>> {
        Ok(None)
    }
}

/// The way through a backlog.
pub(super) struct Queued {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    /// Bytes put in line since the writer was woken.
    unannounced: u64,
    now: i64,
    /// A sample with its device time.
    sample: Vec<u8>,
}

/// What both threads know.
struct Shared {
    backlog: Arc<dyn Backlog>,
    counters: Arc<Counters>,
    /// Something waits, or nothing more will come.
    filled: Bell,
    /// Something was taken, or nothing more will be.
    taken: Bell,
    closed: AtomicBool,
    ended: AtomicBool,
    /// How the writer ended, and what it wrote.
    outcome: Mutex<Option<(Result<()>, Account)>>,
}

impl Shared {
    fn take_outcome(&self) -> Option<(Result<()>, Account)> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Queued {
    /// Begins to write what is put in the backlog.
    pub(super) fn start(
        backlog: Arc<dyn Backlog>,
        stdout: Stdout,
        counters: &Arc<Counters>,
        clock: &Clock,
    ) -> Result<Queued> {
        // Set once: a process has one way out.
        drop(counters.backlog.set(Arc::clone(&backlog)));
        let shared = Arc::new(Shared {
            backlog,
            counters: Arc::clone(counters),
            filled: Bell::default(),
            taken: Bell::default(),
            closed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            outcome: Mutex::default(),
        });
        let writer = Writer {
            shared: Arc::clone(&shared),
            out: stdout,
            clock: clock.clone(),
            catalog: Catalog::default(),
            account: Account::default(),
            told: (Flow::default(), 0),
        };
        let writer = Builder::new().name("writer".into()).spawn(move || writer.run())?;
        Ok(Queued {
            shared,
            writer: Some(writer),
            unannounced: 0,
            now: clock.now(),
            sample: Vec::new(),
        })
    }

    fn put(&mut self, record: &Record<'_>) -> Result<()> {
        loop {
            let heard = self.shared.taken.rings();
            if self.shared.ended.load(Ordering::Acquire) {
                return Err(self.failure());
            }
            if self.shared.backlog.put(record)? == Put::Done {
                self.unannounced += record.wire_len() as u64;
                if self.unannounced >= HANDFUL {
                    self.announce();
                }
                return Ok(());
            }
            self.announce();
            self.shared.taken.wait(heard);
        }
    }

    fn announce(&mut self) {
        self.unannounced = 0;
        let Shared { backlog, counters, filled, .. } = &*self.shared;
        counters.deepest.raise(backlog.bytes());
        filled.ring();
    }

    /// Why the writer has ended although nobody told it to.
    fn failure(&self) -> anyhow::Error {
        let outcome = self.shared.take_outcome().and_then(|(result, _)| result.err());
        outcome.unwrap_or_else(|| anyhow!("the writer's thread died; this is a bug"))
    }

    fn put_payload(
        &mut self,
        kind: Kind,
        mark: i64,
        at: (u32, i64),
        payload: &[u8],
    ) -> Result<()> {
        let (session, time) = at;
        let header =
            Header { kind, flags: 0, stream: 0, session, seq: 0, time, sent: mark };
        self.put(&Record::new(header, payload))
    }
}

impl Output for Queued {
    #[inline]
    fn send(&mut self, record: Record<'_>) -> Result<()> {
        let header = Header { sent: 0, ..record.header };
        self.put(&record.with_header(header))
    }

    fn send_sample(&mut self, header: &Header, sample: &Sample<'_>) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.sample);
        let result = self.send(data_record(header, sample, &mut buffer));
        self.sample = buffer;
        result
    }

    fn end(&mut self, session: u32, time: i64, reason: &str) -> Result<()> {
        let end = End { streams: Vec::new(), reason: reason.into() };
        self.put_payload(Kind::END, END, (session, time), &end.to_bytes())
    }

    fn now(&self) -> i64 {
        self.now
    }
}

impl Outlet for Queued {
    fn set_now(&mut self, now: i64) {
        self.now = now;
    }

    fn stats(&mut self, session: u32, time: i64, stats: &Stats) -> Result<()> {
        self.put_payload(Kind::STATS, STATS, (session, time), &stats.to_bytes())
    }

    fn flush(&mut self) -> Result<()> {
        if self.unannounced > 0 {
            self.announce();
        }
        Ok(())
    }

    fn lost(&self) -> u64 {
        self.shared.backlog.lost()
    }

    fn close(mut self) -> Result<Option<Account>> {
        self.finish();
        let Some((result, account)) = self.shared.take_outcome() else {
            return Err(anyhow!("the writer's thread died; this is a bug"));
        };
        result?;
        Ok((self.shared.backlog.lost() > 0).then_some(account))
    }
}

impl Queued {
    /// Lets the writer write what waits, and waits for it.
    fn finish(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.announce();
        if let Some(writer) = self.writer.take() {
            drop(writer.join());
        }
    }
}

/// Also after a failure, what was accepted is written.
impl Drop for Queued {
    fn drop(&mut self) {
        self.finish();
    }
}

/// The thread that writes stdout.
struct Writer {
    shared: Arc<Shared>,
    out: Stdout,
    clock: Clock,
    /// For the names in the account.
    catalog: Catalog,
    /// What was written of sessions that are over.
    account: Account,
    /// What had gone out, and how much had been dropped, when the stage reported last.
    told: (Flow, u64),
}

/// Wakes the filter's thread when the writer ends, however it does.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Release);
        self.0.taken.ring();
    }
}

impl Writer {
    fn run(mut self) {
        let ending = Ending(Arc::clone(&self.shared));
        let result = self.write_all();
        let account = std::mem::take(&mut self.account);
        let mut outcome =
            self.shared.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        *outcome = Some((result, account));
        drop(outcome);
        drop(ending);
    }

    fn write_all(&mut self) -> Result<()> {
        let mut chunk = Chunk::default();
        let manner = self.shared.backlog.manner();
        if manner == Manner::WhenRead {
            self.out.narrow();
        }
        loop {
            let heard = self.shared.filled.rings();
            let closed = self.shared.closed.load(Ordering::Acquire);
            if manner == Manner::WhenRead && self.shared.backlog.bytes() > 0 {
                self.until_read()?;
            }
            self.shared.backlog.take(&mut chunk)?;
            if chunk.is_empty() {
                self.out.flush()?;
                if closed {
                    return Ok(());
                }
                self.shared.filled.wait(heard);
                continue;
            }
            self.shared.taken.ring();
            self.out.set_now(self.clock.now());
            chunk.records().try_for_each(|record| self.write(record))?;
            if manner != Manner::Gathered {
                self.out.flush()?;
            }
        }
    }

    fn write(&mut self, record: Record<'_>) -> Result<()> {
        let header = record.header;
        match (header.kind, header.sent) {
            (Kind::STATS, STATS) => self.report(record),
            (Kind::END, END) => self.end(record),
            (Kind::STREAM, _) => {
                // One that cannot be read has no name, and is told by who reads it.
                self.catalog.learn(&record).unwrap_or_default();
                self.out.send(record)
            }
            _ => self.out.send(record),
        }
    }

    /// What went out until here, and what was dropped, is known only now.
    fn report(&mut self, record: Record<'_>) -> Result<()> {
        let mut stats = Stats::from_bytes(record.payload)?;
        let (flow, lost) =
            (self.shared.counters.output.flow(), self.shared.backlog.lost());
        let (told, lost_before) = std::mem::replace(&mut self.told, (flow, lost));
        stats.dropped += lost - lost_before;
        stats.output = Flow {
            records: flow.records - told.records,
            samples: flow.samples - told.samples,
            bytes: flow.bytes - told.bytes,
        };
        self.out.send_payload(record.header.session, 0, record.header.time, &stats)
    }

    fn end(&mut self, record: Record<'_>) -> Result<()> {
        let Header { session, time, .. } = record.header;
        let reason = End::from_bytes(record.payload)?.reason;
        let (ledger, catalog) = (self.out.ledger(session), &self.catalog);
        self.account.add(ledger, |stream| catalog.name(session, stream));
        self.catalog.forget(session);
        self.out.end(session, time, &reason)
    }

    /// Waits until the reader of stdout has read all that was written.
    fn until_read(&self) -> io::Result<()> {
        let stdout = self.out.file().as_fd();
        loop {
            let mut fds = [PollFd::from_borrowed_fd(stdout, PollFlags::OUT)];
            poll_until(&mut fds, i64::MAX, &self.clock)?;
            if !fds[0].revents().is_empty() {
                return Ok(());
            }
        }
    }
}
