//! The thread of a branch: it starts the command, writes what waits for it, and starts it
//! again if it dies and may.

use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use libframe::clock::SECOND;
use libframe::tool::{self, Setting};

use crate::backlog::Entry;
use crate::block::Block;
use crate::delivery::Delivery;
use crate::hub::{Hub, Taken};
use crate::process::{self, Recipe};
use crate::tally::Ending;

/// The first wait before a command is started again, and the longest.
const FIRST_DELAY: i64 = SECOND / 10;
const LAST_DELAY: i64 = 10 * SECOND;
/// One that has run for so long is not about to die at once.
const STEADY: i64 = 60 * SECOND;
/// How often is looked whether the last bytes were read.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Parts of one write.
const PARTS: usize = 64;

/// The thread of a branch.
pub(crate) struct Writer {
    hub: Arc<Hub>,
    /// The branch's place in the hub.
    at: usize,
    name: String,
    setting: Setting,
    delivery: Delivery,
    /// How often the command may be started again.
    restarts: u32,
    entries: Vec<Entry>,
    /// What the last reader did not take.
    unread: u64,
}

/// Why nothing more is written.
enum Fed {
    /// All was.
    All,
    /// The reader is gone, and so many bytes did not come to it.
    Gone(u64),
    /// Something is wrong with the place itself.
    Failed(io::Error),
}

impl Writer {
    /// For the branch of this name and place in the hub.
    pub(crate) fn new(
        hub: &Arc<Hub>,
        at: usize,
        name: &str,
        setting: &Setting,
        restarts: u32,
    ) -> Writer {
        let stage = format!("{}:{name}", setting.name);
        Writer {
            hub: Arc::clone(hub),
            at,
            name: name.into(),
            setting: setting.clone(),
            delivery: Delivery::new(stage, restarts > 0),
            restarts,
            entries: Vec::new(),
            unread: 0,
        }
    }

    /// Writes to stdout until there is no more, or nobody reads.
    pub(crate) fn write_stdout(&mut self, mut stdout: File) -> Ending {
        match self.feed(&mut stdout, 0) {
            Fed::All | Fed::Gone(_) => Ending::Done,
            Fed::Failed(err) => Ending::Failed(err.to_string()),
        }
    }

    /// Writes to the command, as often as it must be started for that.
    pub(crate) fn write_command(&mut self, recipe: &Recipe) -> Ending {
        let (mut start, mut tried, mut delay) = (0, 0, FIRST_DELAY);
        loop {
            start += 1;
            let began = self.setting.clock.now();
            let (fed, status) = match self.run(recipe, start) {
                Ok(ran) => ran,
                Err(err) => return Ending::Failed(err.to_string()),
            };
            let why = match (fed, judge(status)) {
                (Fed::Failed(err), _) => return Ending::Failed(err.to_string()),
                // It has all there is: nothing is left to start it again for.
                (Fed::All, ending) => return ending,
                (Fed::Gone(unread), Ending::Failed(why)) => {
                    self.unread = unread;
                    why
                }
                (Fed::Gone(_), ending) => return ending,
            };
            let lived = self.setting.clock.now() - began;
            tried = if lived >= STEADY { 1 } else { tried + 1 };
            let over = self.setting.is_signalled() || self.hub.has_given_up();
            if tried > self.restarts || is_hopeless(status) || over {
                return Ending::Failed(why);
            }
            if lived > 5 * delay {
                delay = FIRST_DELAY;
            }
            self.tell_death(&why, tried, delay);
            if !self.hub.pause(self.at, Duration::from_nanos(delay as u64)) {
                return Ending::Failed(why);
            }
            delay = LAST_DELAY.min(2 * delay);
        }
    }

    /// Starts the command, and writes to it for as long as it reads.
    fn run(&mut self, recipe: &Recipe, start: u32) -> io::Result<(Fed, ExitStatus)> {
        let (process, mut pipe) = recipe.start(&self.hub, self.at, start)?;
        if self.restarts == 0 {
            tool::widen_pipe(&pipe);
        }
        let again = match start {
            1 => Vec::new(),
            _ => self.delivery.starts_again(self.unread, self.setting.clock.now()),
        };
        self.hub.note(self.at, start);
        self.delivery.started(process::room(&pipe));
        let fed = match self.write(&mut pipe, &again) {
            None => self.feed(&mut pipe, start),
            Some(fed) => fed,
        };
        let fed = match fed {
            Fed::Gone(unwritten) => Fed::Gone(unwritten + process::unread(&pipe)),
            Fed::All if self.restarts > 0 => self.see_it_read(&pipe, start),
            fed => fed,
        };
        drop(pipe);
        Ok((fed, process.wait()))
    }

    /// Waits until all was read, or the reader died before it did. Once the pipe is closed,
    /// which is how the reader learns of the end, nobody could tell.
    fn see_it_read(&self, pipe: &File, start: u32) -> Fed {
        loop {
            let has_exited = self.hub.has_exited_within(self.at, start, LOOK_AGAIN);
            match process::unread(pipe) {
                0 => return Fed::All,
                unread if has_exited => return Fed::Gone(unread),
                _ => {}
            }
        }
    }

    /// Writes what waits, until there is no more or nobody reads.
    fn feed(&mut self, pipe: &mut File, start: u32) -> Fed {
        let mut blocks = Vec::new();
        loop {
            let written = self.delivery.flow();
            match self.hub.take(self.at, start, written, &mut self.entries) {
                Taken::Exited => return Fed::Gone(0),
                Taken::Closed => return Fed::All,
                Taken::Some => {}
            }
            let now = self.setting.clock.now();
            let delivery = &mut self.delivery;
            blocks.extend(self.entries.drain(..).filter_map(|e| delivery.next(e, now)));
            if let Some(fed) = self.write(pipe, &blocks) {
                return fed;
            }
            blocks.clear();
        }
    }

    /// Writes blocks from where they lie; `None` if all is well.
    fn write(&mut self, pipe: &mut File, blocks: &[Arc<Block>]) -> Option<Fed> {
        blocks.iter().for_each(|block| self.delivery.writes(block));
        let mut left: u64 = blocks.iter().map(|block| block.bytes().len() as u64).sum();
        for some in blocks.chunks(PARTS) {
            let mut all = [IoSlice::new(&[]); PARTS];
            all.iter_mut().zip(some).for_each(|(to, b)| *to = IoSlice::new(b.bytes()));
            let mut parts = &mut all[..some.len()];
            while !parts.is_empty() {
                match pipe.write_vectored(parts) {
                    Ok(n) => {
                        left -= n as u64;
                        IoSlice::advance_slices(&mut parts, n);
                    }
                    Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                    Err(err) if err.kind() == io::ErrorKind::BrokenPipe => {
                        return Some(Fed::Gone(left));
                    }
                    Err(err) => return Some(Fed::Failed(err)),
                }
            }
        }
        self.delivery.wrote();
        None
    }

    /// The first death is news, the others are for those who ask.
    fn tell_death(&self, why: &str, tried: u32, delay: i64) {
        let seconds = delay as f64 / SECOND as f64;
        let text = format!("{}: {why}; starts again in {seconds} s", self.name);
        match tried {
            1 => self.setting.voice.tell(&text),
            _ => self.setting.voice.detail(&text),
        }
    }
}

fn judge(status: ExitStatus) -> Ending {
    match status.code() {
        Some(0) => Ending::Done,
        Some(3) => Ending::Lossy,
        _ => Ending::Failed(process::describe(status)),
    }
}

/// A command that cannot be carried out as written: another try would not help.
fn is_hopeless(status: ExitStatus) -> bool {
    matches!(status.code(), Some(2 | 126 | 127))
}
