//! Where the input and the branches' threads meet: a backlog for each branch, under one
//! lock, which is taken once for a block and never for a record.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libframe::payload::{Flow, Stats};
use libframe::tool::{PartStatus, Parts};

use crate::backlog::{Backlog, Entry, Policy};
use crate::block::Block;
use crate::branch::Branch;
use crate::rest::{Item, Report};
use crate::tally::{Ending, Tally};

/// What a branch's thread takes at a time: what it has taken is not dropped any more.
const TAKE: usize = 64 << 10;

/// All branches, as the input sees them and as their threads do.
#[derive(Debug)]
pub(crate) struct Hub {
    lanes: Mutex<Vec<Lane>>,
    /// There is room again, or a branch has left.
    room: Condvar,
    /// For each branch: there is more, or its reader is gone.
    more: Vec<Condvar>,
}

/// A branch.
#[derive(Debug)]
struct Lane {
    branch: Branch,
    backlog: Backlog,
    /// No more will come.
    closed: bool,
    /// The start whose process was seen to end last.
    exited: u32,
    /// How it ended, once it did.
    ending: Option<Ending>,
    given: Flow,
    written: Flow,
    told: [Flow; 2],
    deepest: u64,
    /// How often its command was started.
    starts: u32,
    /// It is not started again.
    given_up: bool,
    /// The block that is being given must wait.
    pending: bool,
}

/// What a branch's thread found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Entries.
    Some,
    /// Nothing, and nothing will come.
    Closed,
    /// The process has ended.
    Exited,
}

impl Hub {
    pub(crate) fn new(branches: Vec<Branch>, capacity: usize, drop: Policy) -> Hub {
        let more = branches.iter().map(|_| Condvar::new()).collect();
        let lane = |branch: Branch| Lane {
            backlog: Backlog::new(capacity, branch.policy(drop)),
            branch,
            closed: false,
            exited: 0,
            ending: None,
            given: Flow::default(),
            written: Flow::default(),
            told: [Flow::default(); 2],
            deepest: 0,
            starts: 0,
            given_up: false,
            pending: false,
        };
        let lanes = Mutex::new(branches.into_iter().map(lane).collect());
        Hub { lanes, room: Condvar::new(), more }
    }

    /// Gives a block to all branches. Those that need not wait have it before this waits
    /// for the others.
    pub(crate) fn give(&self, block: &Arc<Block>) {
        let mut lanes = self.lock();
        for (lane, more) in lanes.iter_mut().zip(&self.more) {
            lane.count(block);
            lane.pending = !lane.give(block, more);
        }
        while lanes.iter().any(|lane| lane.pending) {
            if verdict(&lanes).is_some() {
                // The run is over: a block more does not matter, and the stage before must
                // not wait for who is stuck.
                let stuck = lanes.iter_mut().filter(|lane| lane.pending);
                stuck.for_each(|lane| lane.force(block));
                return;
            }
            lanes = self.room.wait(lanes).unwrap_or_else(PoisonError::into_inner);
            for (lane, more) in lanes.iter_mut().zip(&self.more) {
                lane.pending = lane.pending && !lane.give(block, more);
            }
        }
    }

    /// Gives each branch what STATS says of the others, and lets it tell of itself. `put`
    /// makes a block of them.
    pub(crate) fn report(
        &self,
        session: u32,
        time: i64,
        common: &Stats,
        put: impl Fn(&[Stats]) -> Option<Arc<Block>>,
    ) {
        let mut lanes = self.lock();
        let all: Vec<Stats> = lanes.iter_mut().map(|lane| lane.stats(common)).collect();
        for (at, lane) in lanes.iter_mut().enumerate() {
            let mut others = all.clone();
            let stats = others.remove(at);
            if let Some(block) = put(&others) {
                lane.force(&block);
            }
            let stats = Box::new(stats);
            lane.tell(Item::Report(Report { session, time, stats }));
            self.more[at].notify_all();
        }
    }

    /// Tells all branches that a session is over.
    pub(crate) fn end(&self, session: u32, time: i64, common: &Stats, reason: &str) {
        let mut lanes = self.lock();
        for (lane, more) in lanes.iter_mut().zip(&self.more) {
            let stats = Box::new(lane.stats(common));
            lane.tell(Item::End(Report { session, time, stats }, reason.into()));
            more.notify_all();
        }
    }

    /// Says that no more will come.
    pub(crate) fn close(&self) {
        for (lane, more) in self.lock().iter_mut().zip(&self.more) {
            lane.closed = true;
            more.notify_all();
        }
    }

    /// Takes what waits for a branch, waiting for it. `start` is the count of its reader, and
    /// `written` what came to it so far.
    pub(crate) fn take(
        &self,
        at: usize,
        start: u32,
        written: Flow,
        to: &mut Vec<Entry>,
    ) -> Taken {
        let mut lanes = self.lock();
        lanes[at].written = written;
        loop {
            let lane = &mut lanes[at];
            if start > 0 && lane.exited >= start {
                return Taken::Exited;
            }
            let mut taken = 0;
            while taken < TAKE
                && let Some(entry) = lane.backlog.pop()
            {
                if let Entry::Block(block) = &entry {
                    taken += block.bytes().len();
                }
                to.push(entry);
            }
            if !to.is_empty() {
                self.room.notify_all();
                return Taken::Some;
            }
            if lane.closed {
                return Taken::Closed;
            }
            lanes = self.more[at].wait(lanes).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Says that the process of a branch's start has ended.
    pub(crate) fn exited(&self, at: usize, start: u32) {
        self.lock()[at].exited = start;
        self.more[at].notify_all();
    }

    /// Whether the process of a branch's start ends within this time.
    pub(crate) fn has_exited_within(
        &self,
        at: usize,
        start: u32,
        time: Duration,
    ) -> bool {
        let runs = |lanes: &mut Vec<Lane>| lanes[at].exited < start;
        let waited = self.more[at].wait_timeout_while(self.lock(), time, runs);
        !runs(&mut waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Says how often a branch was started.
    pub(crate) fn note(&self, at: usize, starts: u32) {
        self.lock()[at].starts = starts;
    }

    /// Waits before a branch is started again; false if it must not be.
    pub(crate) fn pause(&self, at: usize, time: Duration) -> bool {
        let goes_on = |lanes: &mut Vec<Lane>| !lanes[at].given_up;
        let waited = self.more[at].wait_timeout_while(self.lock(), time, goes_on);
        goes_on(&mut waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Whether no branch is started again.
    pub(crate) fn has_given_up(&self) -> bool {
        self.lock().iter().any(|lane| lane.given_up)
    }

    /// Starts no branch again from now on.
    pub(crate) fn give_up(&self) {
        for (lane, more) in self.lock().iter_mut().zip(&self.more) {
            lane.given_up = true;
            more.notify_all();
        }
    }

    /// Says that a branch has ended, and takes no more.
    pub(crate) fn leave(&self, at: usize, ending: Ending) {
        let mut lanes = self.lock();
        let lane = &mut lanes[at];
        lane.ending.get_or_insert(ending);
        // What waited is let go outside of the lock.
        let emptied = lane.backlog.emptied();
        let backlog = std::mem::replace(&mut lane.backlog, emptied);
        self.room.notify_all();
        drop(lanes);
        drop(backlog);
    }

    /// Drops what waits for the branches that may lose it, and still run.
    pub(crate) fn drop_waiting(&self) {
        for (lane, more) in self.lock().iter_mut().zip(&self.more) {
            if !lane.branch.must && lane.ending.is_none() {
                lane.backlog.drop_all();
                more.notify_all();
            }
        }
    }

    /// Waits until all branches have ended that `which` names, or for so long at most.
    pub(crate) fn wait_for(
        &self,
        which: impl Fn(&Branch) -> bool,
        time: Option<Duration>,
    ) -> bool {
        let runs = |lane: &Lane| lane.ending.is_none() && which(&lane.branch);
        let is_waiting = |lanes: &mut Vec<Lane>| lanes.iter().any(runs);
        let lanes = self.lock();
        match time {
            None => drop(self.room.wait_while(lanes, is_waiting)),
            Some(time) => {
                drop(self.room.wait_timeout_while(lanes, time, is_waiting));
            }
        }
        !self.lock().iter().any(runs)
    }

    /// Why no more input is wanted, if that is so.
    pub(crate) fn verdict(&self) -> Option<&'static str> {
        verdict(&self.lock())
    }

    /// The account of all branches.
    pub(crate) fn tallies(&self) -> Vec<Tally> {
        let tally = |lane: &Lane| Tally {
            branch: lane.branch.clone(),
            ending: lane.ending.clone(),
            delivered: lane.written.samples,
            dropped: lane.backlog.dropped(),
            gone: lane.backlog.gone(),
            left: lane
                .given
                .samples
                .saturating_sub(lane.written.samples)
                .saturating_sub(lane.backlog.dropped()),
            starts: lane.starts,
        };
        self.lock().iter().map(tally).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The run is over when a branch has failed that it depends on, and when none is left that
/// it is for.
fn verdict(lanes: &[Lane]) -> Option<&'static str> {
    let failed =
        |lane: &Lane| lane.branch.must && matches!(lane.ending, Some(Ending::Failed(_)));
    if lanes.iter().any(failed) {
        return Some("failure");
    }
    let has_musts = lanes.iter().any(|lane| lane.branch.must);
    let runs = |lane: &Lane| lane.ending.is_none() && lane.branch.must == has_musts;
    (!lanes.iter().any(runs)).then_some("done")
}

impl Lane {
    /// What else there is to say of it, for people.
    fn note(&self) -> String {
        match (&self.ending, self.starts) {
            (Some(Ending::Failed(why)), _) => why.clone(),
            (Some(_), _) => "done".into(),
            (None, 0 | 1) => String::new(),
            (None, n) => format!("started {n} times"),
        }
    }

    fn is_open(&self) -> bool {
        self.ending.is_none()
    }

    fn count(&mut self, block: &Block) {
        if self.is_open() {
            self.given.records += block.records();
            self.given.samples += block.samples();
            self.given.bytes += block.bytes().len() as u64;
        }
    }

    /// False if it must wait.
    fn give(&mut self, block: &Arc<Block>, more: &Condvar) -> bool {
        if !self.is_open() {
            return true;
        }
        let was_empty = self.backlog.is_empty();
        let given = self.backlog.push(block);
        self.deepest = self.deepest.max(self.backlog.weight() as u64);
        if was_empty {
            more.notify_all();
        }
        given
    }

    /// Gives a block for which there may be no room.
    fn force(&mut self, block: &Arc<Block>) {
        if self.is_open() && !self.backlog.push(block) {
            self.backlog.force(block);
        }
        self.pending = false;
    }

    fn tell(&mut self, item: Item) {
        if self.is_open() {
            self.backlog.tell(item);
        }
    }

    /// What there is to say of this branch since it was said last. It has the place of the
    /// stage that it belongs to.
    fn stats(&mut self, common: &Stats) -> Stats {
        let [given, written] = self.told;
        self.told = [self.given, self.written];
        Stats {
            stage: format!("{}:{}", common.stage, self.branch.name),
            input: gained(self.given, given),
            output: gained(self.written, written),
            queue: std::mem::replace(&mut self.deepest, self.backlog.weight() as u64),
            queue_limit: Some(self.backlog.capacity() as u64),
            index: common.index,
            from: common.from,
            to: common.to,
            ..Stats::default()
        }
    }
}

fn gained(now: Flow, before: Flow) -> Flow {
    Flow {
        records: now.records.saturating_sub(before.records),
        samples: now.samples.saturating_sub(before.samples),
        bytes: now.bytes.saturating_sub(before.bytes),
    }
}

impl Parts for Hub {
    fn look(&self) -> Vec<PartStatus> {
        let part = |lane: &Lane| PartStatus {
            name: lane.branch.name.clone(),
            queued: lane.backlog.weight() as u64,
            lost: lane.backlog.dropped(),
            note: lane.note(),
        };
        self.lock().iter().map(part).collect()
    }
}
