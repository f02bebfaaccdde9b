//! Several inputs as one: their records in the order of their times.
//!
//! The record that goes next is the one with the least time among the first of all inputs.
//! An input that has nothing at hand may still bring an earlier one, so the others wait for
//! it: until it has shown a later time, but no record longer than the skew. Files never
//! have nothing at hand, so nobody waits for them.

use std::sync::Arc;

use anyhow::{Result, bail};
use rustix::event::{PollFd, PollFlags};

use super::account::Account;
use super::args::Common;
use super::books::Books;
use super::inlet::{Inlet, Intake};
use super::merge::{Merge, MergeStage};
use super::origin::Remark;
use super::output::{Output as _, Stdout};
use super::signal::{Stop, poll_until};
use super::stage::{Delays, StatsMaker};
use super::status::Counters;
use super::tournament::Tournament;
use crate::clock::{Clock, SECOND};
use crate::wire::Kind;

/// The key of a record that goes with the one before it, and of one that cannot wait.
const AT_ONCE: i64 = i64::MIN;
/// The key of an input that has nothing at hand.
const NOTHING: i64 = i64::MAX;
/// All our stages say something each second, so one that is silent for so long is stuck.
const STALL: i64 = 3 * SECOND;

/// The inputs of a merge.
pub(super) struct Confluence {
    intakes: Vec<Intake>,
    order: Tournament,
    skew: i64,
    /// How long an input may be silent before it counts as stalled.
    stall: i64,
    /// Why all inputs end before they do, if they do.
    stopping: Option<&'static str>,
    /// Up to this time, no input that has nothing at hand can have an earlier record.
    horizon: i64,
    /// The latest time of all that went out.
    released: i64,
    now: i64,
    begun: i64,
    until: Option<i64>,
    idle: Option<i64>,
    /// Something other than records is due.
    is_due: bool,
    name: String,
    stop: Stop,
    signalled: bool,
    clock: Clock,
    counters: Arc<Counters>,
    stats: StatsMaker,
    delays: Delays,
    next_stats: i64,
}

impl Confluence {
    /// Opens all inputs.
    pub(super) fn open(
        inlets: &[Inlet],
        skew: i64,
        stop: Stop,
        common: &Common,
        counters: &Arc<Counters>,
        clock: &Clock,
    ) -> Result<Confluence> {
        let now = clock.now();
        let (room, limit) = (common.queue as usize, common.max_record as usize);
        let mut intakes = Vec::new();
        for inlet in inlets {
            let (file, books) = (inlet.open()?, Books::new(common, counters, clock));
            intakes.push(Intake::new(&inlet.label, file, books, room, limit, now)?);
        }
        counters.hold(common.queue.saturating_mul(inlets.len() as u64));
        Ok(Confluence {
            order: Tournament::new(intakes.len()),
            intakes,
            skew,
            stall: skew.max(STALL),
            stopping: None,
            horizon: i64::MIN,
            released: i64::MIN,
            now,
            begun: now,
            until: common.duration.map(|time| now.saturating_add(time)),
            idle: common.idle,
            is_due: false,
            name: common.name(),
            stop,
            signalled: false,
            clock: clock.clone(),
            counters: Arc::clone(counters),
            stats: StatsMaker::new(now),
            delays: Delays::default(),
            next_stats: now + SECOND,
        })
    }

    /// Reads all inputs to their end, or until an option says to stop. The account is
    /// filled in also when that fails.
    pub(super) fn run(
        mut self,
        merge: impl Merge,
        out: Stdout,
        account: &mut Account,
    ) -> Result<()> {
        let mut stage = MergeStage::new(merge, out);
        let result = self.read_all(&mut stage);
        for intake in self.intakes {
            let (samples, most) = intake.late;
            if samples > 0 {
                let (label, most) = (&intake.label, most / 1_000_000);
                let text = format!(
                    "{label}: {samples} samples came after later ones of other inputs, \
                     by up to {most} ms"
                );
                account.add_remarks(vec![Remark { text, always: false }]);
            }
            account.absorb(intake.books.into_account());
        }
        result
    }

    fn read_all<M: Merge>(&mut self, stage: &mut MergeStage<M>) -> Result<()> {
        for at in 0..self.intakes.len() {
            self.advance(at, stage)?;
        }
        loop {
            self.look_at_clock(stage);
            self.make_stats(stage)?;
            self.heed_stop(stage)?;
            if let Some(reason) = self.time_is_up() {
                self.end_all(reason, stage)?;
            }
            let idle = self.release(stage)?;
            if self.intakes.iter().all(|intake| intake.ended) {
                return self.finish(stage);
            }
            self.tell_stalls(stage)?;
            if idle {
                self.wait(stage)?;
            }
        }
    }

    /// Passes on what need not wait for anything. False if there is more of that, but
    /// something else is due.
    fn release<M: Merge>(&mut self, stage: &mut MergeStage<M>) -> Result<bool> {
        self.horizon = self.look_for_horizon();
        while !self.is_due {
            let at = self.order.first();
            let time = self.order.key(at);
            if time == NOTHING || time > self.horizon && !self.has_waited(time) {
                return Ok(true);
            }
            if time == AT_ONCE {
                self.take(at, stage)?;
            } else {
                self.take_in_order(at, time, stage)?;
            }
            self.advance(at, stage)?;
        }
        Ok(false)
    }

    /// Passes on a record that has a time.
    #[inline]
    fn take_in_order<M: Merge>(
        &mut self,
        at: usize,
        time: i64,
        stage: &mut MergeStage<M>,
    ) -> Result<()> {
        let shown = self.intakes[at].shown.max(time);
        self.intakes[at].shown = shown;
        if shown >= self.released {
            self.released = shown;
            return self.take(at, stage);
        }
        let before = self.counters.input.flow().samples;
        self.take(at, stage)?;
        let samples = self.counters.input.flow().samples - before;
        let (late, most) = &mut self.intakes[at].late;
        *late += samples;
        *most = (*most).max(self.released.saturating_sub(time));
        Ok(())
    }

    #[inline]
    fn take<M: Merge>(&mut self, at: usize, stage: &mut MergeStage<M>) -> Result<()> {
        stage.input = at;
        self.intakes[at].take(stage)
    }

    /// Looks what an input has next, and reads it if it is a file. One that has come to its
    /// end, or has given all that is wanted, is closed.
    #[inline]
    fn advance<M: Merge>(&mut self, at: usize, stage: &mut MergeStage<M>) -> Result<()> {
        loop {
            let intake = &mut self.intakes[at];
            if intake.books.is_done() {
                return self.end(at, stage);
            }
            if let Some(ahead) = intake.ahead() {
                let key = match ahead.header {
                    Some(header) if has_time(header.kind) => {
                        let time = stage.merge.time(at, &header);
                        time.clamp(AT_ONCE + 1, NOTHING - 1)
                    }
                    _ => AT_ONCE,
                };
                self.order.set(at, key);
                return Ok(());
            }
            if !intake.is_open() {
                return self.end(at, stage);
            }
            if !intake.is_stored() {
                self.order.set(at, NOTHING);
                // What this one will bring is not known any more.
                self.horizon = self.horizon.min(intake.shown);
                return Ok(());
            }
            intake.fill(self.now);
            self.look_at_clock(stage);
        }
    }

    /// Closes an input: nothing more will come of it, or be taken.
    #[cold]
    fn end<M: Merge>(&mut self, at: usize, stage: &mut MergeStage<M>) -> Result<()> {
        self.order.set(at, NOTHING);
        let intake = &mut self.intakes[at];
        if std::mem::replace(&mut intake.ended, true) {
            return Ok(());
        }
        intake.stop_reading();
        if let Some(reason) = self.stopping {
            intake.books.stop(reason);
        }
        stage.input = at;
        if intake.is_strange(0) && !intake.books.is_done() {
            intake.books.complain(no_records(intake.bytes()));
        } else {
            intake.books.close(stage)?;
        }
        self.delays.take(intake.books.delays());
        Ok(())
    }

    /// Ends all inputs. What was read of those that come as they are made is passed on, in
    /// order.
    fn end_all<M: Merge>(
        &mut self,
        reason: &'static str,
        stage: &mut MergeStage<M>,
    ) -> Result<()> {
        self.stopping = Some(reason);
        for at in 0..self.intakes.len() {
            if self.intakes[at].is_stored() {
                self.end(at, stage)?;
            } else {
                self.intakes[at].stop_reading();
                self.advance(at, stage)?;
            }
        }
        self.is_due = false;
        self.release(stage).map(drop)
    }

    /// At the first signal the stages before end what they send. What none of them could
    /// end, ends here.
    fn heed_stop<M: Merge>(&mut self, stage: &mut MergeStage<M>) -> Result<()> {
        if self.signalled || !self.stop.is_signalled() {
            return Ok(());
        }
        self.signalled = true;
        for at in 0..self.intakes.len() {
            if !self.intakes[at].ended && self.intakes[at].ends_at_signal() {
                self.intakes[at].books.stop("signal");
                self.end(at, stage)?;
            }
        }
        Ok(())
    }

    fn time_is_up(&self) -> Option<&'static str> {
        if self.until.is_some_and(|until| self.now >= until) {
            return Some("duration");
        }
        let last = self.intakes.iter().map(|intake| intake.last).max()?;
        self.idle.filter(|idle| self.now - last >= *idle).map(|_| "idle")
    }

    /// Looks at the clock, and whether anything is due by it.
    fn look_at_clock<M: Merge>(&mut self, stage: &mut MergeStage<M>) {
        self.now = self.clock.now();
        stage.out.set_now(self.now);
        let next = self.next_stats.min(self.until.unwrap_or(i64::MAX));
        self.is_due = self.now >= next || !self.signalled && self.stop.is_signalled();
    }

    /// The inputs that have nothing at hand, and that the others wait for.
    fn awaited(&mut self) -> impl Iterator<Item = &Intake> {
        let (now, begun, skew) = (self.now, self.begun, self.skew);
        self.intakes.iter_mut().filter_map(move |intake| {
            // Nobody who begins to write later can have anything from before.
            let began = intake.has_spoken() || now < begun.saturating_add(skew);
            let awaited = began && !intake.stalled && intake.silent_since().is_some();
            awaited.then_some(&*intake)
        })
    }

    fn look_for_horizon(&mut self) -> i64 {
        self.awaited().map(|intake| intake.shown).min().unwrap_or(i64::MAX)
    }

    /// When the next record need not wait any longer for the inputs that have shown no time
    /// as late as this.
    fn patience(&mut self, time: i64) -> i64 {
        let arrivals = self.intakes.iter_mut().filter_map(Intake::arrival);
        let oldest = arrivals.min().unwrap_or(self.now).saturating_add(self.skew);
        if !self.intakes.iter_mut().any(Intake::is_full) {
            return oldest;
        }
        // Nothing more can be read of some input. It waits no longer for one that has been
        // silent for the skew already.
        let skew = self.skew;
        let silent = self.awaited().filter(|intake| intake.shown < time);
        let latest = silent.map(|intake| intake.last.saturating_add(skew)).max();
        oldest.min(latest.unwrap_or(oldest))
    }

    #[cold]
    fn has_waited(&mut self, time: i64) -> bool {
        self.now >= self.patience(time)
    }

    /// Says which inputs have come to a standstill.
    fn tell_stalls<M: Merge>(&mut self, stage: &mut MergeStage<M>) -> Result<()> {
        for at in 0..self.intakes.len() {
            let intake = &mut self.intakes[at];
            let since = intake.silent_since();
            let stalled = since.is_some_and(|since| self.now - since >= self.stall);
            if stalled != intake.stalled && !intake.ended {
                intake.stalled = stalled;
                stage.merge.stalled(at, stalled, &mut stage.out)?;
            }
        }
        Ok(())
    }

    /// Waits for more, and reads it. What is gathered goes out before, unless more is at
    /// hand.
    fn wait<M: Merge>(&mut self, stage: &mut MergeStage<M>) -> Result<()> {
        let waiting = self.intakes.iter().map(|intake| intake.waiting() as u64).sum();
        self.counters.queued.set(waiting);
        self.counters.deepest.raise(waiting);
        let mut ready = self.poll(self.now)?;
        if ready.is_empty() {
            stage.out.flush()?;
            let deadline = self.deadline();
            ready = self.poll(deadline)?;
        }
        self.look_at_clock(stage);
        for at in ready {
            self.intakes[at].fill(self.now);
            self.advance(at, stage)?;
        }
        Ok(())
    }

    fn deadline(&mut self) -> i64 {
        let time = self.order.key(self.order.first());
        let patience = (time != NOTHING).then(|| self.patience(time));
        let last = self.intakes.iter().map(|intake| intake.last).max();
        let idle = self.idle.zip(last).map(|(idle, last)| last.saturating_add(idle));
        let running = self.intakes.iter_mut().filter(|intake| !intake.stalled);
        let silent = running.filter_map(Intake::silent_since).min();
        let stall = silent.map(|since| since.saturating_add(self.stall));
        let times = [patience, idle, stall, self.until, Some(self.next_stats)];
        times.into_iter().flatten().min().unwrap_or(i64::MAX)
    }

    /// Waits until some inputs can be read; tells which.
    fn poll(&mut self, deadline: i64) -> Result<Vec<usize>> {
        let (mut places, mut fds) = (Vec::new(), Vec::new());
        for (at, intake) in self.intakes.iter_mut().enumerate() {
            if let Some(fd) = intake.wants() {
                places.push(at);
                fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            }
        }
        if !self.signalled {
            fds.push(PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN));
        }
        poll_until(&mut fds, deadline, &self.clock)?;
        let ready = places.into_iter().zip(&fds);
        Ok(ready.filter(|(_, fd)| !fd.revents().is_empty()).map(|(at, _)| at).collect())
    }

    fn make_stats<M: Merge>(&mut self, stage: &mut MergeStage<M>) -> Result<()> {
        if self.now < self.next_stats {
            return Ok(());
        }
        self.next_stats = (self.next_stats + SECOND).max(self.now);
        self.is_due = false;
        self.send_stats(stage, false)
    }

    fn send_stats<M: Merge>(
        &mut self,
        stage: &mut MergeStage<M>,
        last: bool,
    ) -> Result<()> {
        let Some((tag, place)) = stage.merge.session() else { return Ok(()) };
        for intake in &mut self.intakes {
            self.delays.take(intake.books.delays());
        }
        let own = (self.name.as_str(), place as u32);
        let delays = &mut self.delays;
        let stats = self.stats.make(self.now, own, &self.counters, delays, last);
        let time = self.position(&stage.merge);
        stage.out.send_payload(tag, 0, time, &stats)
    }

    /// How far the session has come: for recordings, where they are read.
    fn position(&self, merge: &impl Merge) -> i64 {
        let stored = self.intakes.iter().all(Intake::is_stored);
        if stored && self.released > i64::MIN {
            merge.on_its_clock(self.released)
        } else {
            merge.here(self.now)
        }
    }

    fn finish<M: Merge>(&mut self, stage: &mut MergeStage<M>) -> Result<()> {
        let strange = self.intakes.iter().find(|intake| intake.is_strange(0));
        if let Some(intake) = strange
            && self.intakes.iter().all(|intake| intake.books.is_empty())
            && !self.intakes.iter().any(|intake| intake.books.is_done())
        {
            bail!("{}: {}", intake.label, no_records(intake.bytes()));
        }
        self.look_at_clock(stage);
        stage.merge.finish(&mut stage.out)?;
        self.send_stats(stage, true)?;
        if let Some((tag, _)) = stage.merge.session() {
            let reason = stage.reason().to_owned();
            stage.out.end(tag, self.position(&stage.merge), &reason)?;
        }
        stage.out.flush()
    }
}

/// Whether records of a kind have a time of their own, by which they are put in order.
/// The others belong where they stand among those of their input.
#[inline]
fn has_time(kind: Kind) -> bool {
    kind.has_samples() || kind == Kind::EVENT
}

fn no_records(bytes: u64) -> String {
    format!(
        "no record in {bytes} bytes: this is not the output of a framepipe tool, nor a \
         .frames file"
    )
}
