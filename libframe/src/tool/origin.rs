//! Where a tool's records come from: stdin, files one after another as if by `cat`, or
//! something that the tool opens itself: bytes, or records out of another format.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags};

use super::exit::Usage;
use super::reservoir::Reservoir;
use super::signal::{Stop, Wake, poll_until};
use super::status::Counters;
use crate::clock::{Clock, SECOND};
use crate::decoder::Item;
use crate::payload::Reason;

/// Records that a tool gets from elsewhere than the stage before, in the form of the pipe.
///
/// As there is no stage before that the first signal could end, it ends these.
pub trait Supply: Read {
    /// When the next read is to be made, ns of CLOCK_MONOTONIC. Until then the runtime waits,
    /// and does what else is due.
    fn due(&mut self) -> io::Result<i64> {
        Ok(i64::MIN)
    }

    /// What to wait for beside that. A read that then finds nothing says `WouldBlock`.
    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }

    /// What is to be said at the end.
    fn remarks(&mut self) -> Vec<Remark> {
        Vec::new()
    }
}

/// Records of files in another format than the pipe's. They are taken as they are: nobody
/// puts them into bytes, and out of them again.
pub trait Recorded {
    /// The next record, or what could not be read; `None` after the last of a file.
    fn read(&mut self) -> Result<Option<Item<'_>>>;

    /// Goes on to the next file. False after the last.
    fn go_on(&mut self) -> Result<bool> {
        Ok(false)
    }
}

/// Something to be said on stderr at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The line, without the tool's name.
    pub text: String,
    /// Whether it is said without `-v`.
    pub always: bool,
}

/// Where a tool's records come from.
pub struct Origin {
    way: Way,
    name: String,
    /// What is wrong with it as a whole.
    complaints: Vec<String>,
    /// Why samples are missing that should have come from there, if nobody says.
    holes: Reason,
}

enum Way {
    Stdin(File),
    Ahead(Reservoir),
    Files {
        current: Option<File>,
        rest: VecDeque<PathBuf>,
    },
    Supply(Box<dyn Supply>),
    /// Empty once they are taken.
    Recorded(Option<Box<dyn Recorded>>),
}

/// What a wait for more brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// A read would not block.
    Read,
    /// The time is over.
    Time,
    /// The user wants no more.
    Stop,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Origin {
    /// Files of records; stdin if there are none, or one that is called `-`.
    pub fn files(files: Vec<PathBuf>) -> Result<Origin> {
        if files.is_empty() || files == [PathBuf::from("-")] {
            return Origin::stdin();
        }
        for file in &files {
            // A missing file is an error now; found later, the others were read in vain.
            File::open(file).with_context(|| file.display().to_string())?;
        }
        let way = Way::Files { current: None, rest: VecDeque::from(files) };
        Ok(Origin {
            way,
            name: String::new(),
            complaints: Vec::new(),
            holes: Reason::Upstream,
        })
    }

    /// What comes from the stage before.
    pub fn stdin() -> Result<Origin> {
        let way = Way::Stdin(stdin()?);
        Ok(Origin {
            way,
            name: "stdin".into(),
            complaints: Vec::new(),
            holes: Reason::Upstream,
        })
    }

    /// Records that the tool itself gets; `name` is for messages.
    pub fn supply(name: impl Into<String>, supply: Box<dyn Supply>) -> Origin {
        wake_on_time();
        let (way, name) = (Way::Supply(supply), name.into());
        Origin { way, name, complaints: Vec::new(), holes: Reason::Upstream }
    }

    /// Records of files that are not made of the pipe's bytes; `name` is for messages.
    pub fn recorded(name: impl Into<String>, records: Box<dyn Recorded>) -> Origin {
        let (way, name) = (Way::Recorded(Some(records)), name.into());
        Origin { way, name, complaints: Vec::new(), holes: Reason::Upstream }
    }

    /// Takes out the records, where there are no bytes to read.
    pub(super) fn take_recorded(&mut self) -> Option<Box<dyn Recorded>> {
        match &mut self.way {
            Way::Recorded(records) => records.take(),
            _ => None,
        }
    }

    /// Says why samples are missing, where that is known of whatever comes from there.
    pub fn losing(mut self, reason: Reason) -> Origin {
        self.holes = reason;
        self
    }

    /// Says what is wrong with the input as a whole: it is then a loss, exit code 3.
    pub fn complain(mut self, what: impl Into<String>) -> Origin {
        self.complaints.push(what.into());
        self
    }

    /// Reads stdin ahead, up to so many bytes, for a tool that cannot always take it.
    pub(super) fn ahead(
        self,
        bytes: usize,
        counters: &Arc<Counters>,
        clock: &Clock,
    ) -> Result<Origin> {
        let way = match self.way {
            Way::Stdin(file) => {
                Way::Ahead(Reservoir::start(file, bytes, counters, clock)?)
            }
            way => way,
        };
        Ok(Origin { way, ..self })
    }

    /// What is being read, for messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the records were stored before, and their times are not of now.
    pub(super) fn is_recorded(&self) -> bool {
        !matches!(self.way, Way::Stdin(_) | Way::Ahead(_))
    }

    /// When what was read last came into this process, if that was before.
    pub(super) fn arrival(&self) -> Option<i64> {
        match &self.way {
            Way::Ahead(reservoir) => Some(reservoir.time()),
            _ => None,
        }
    }

    /// Why samples are missing, if nobody says.
    pub(super) fn holes(&self) -> Reason {
        self.holes
    }

    pub(super) fn take_complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }

    pub(super) fn remarks(&mut self) -> Vec<Remark> {
        match &mut self.way {
            Way::Supply(supply) => supply.remarks(),
            _ => Vec::new(),
        }
    }

    /// Waits until a read would not block, something happened at `watch`, or until
    /// `deadline`.
    pub(super) fn wait(
        &mut self,
        deadline: i64,
        watch: Option<BorrowedFd<'_>>,
        stop: &Stop,
        clock: &Clock,
    ) -> io::Result<Ready> {
        match &mut self.way {
            // Files are always ready.
            Way::Files { .. } | Way::Recorded(_) => Ok(Ready::Read),
            Way::Stdin(file) => {
                let fd = file.as_fd();
                let mut fds = [fd, watch.unwrap_or(fd)]
                    .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
                poll_until(&mut fds, deadline, clock)?;
                let ready = !fds[0].revents().is_empty();
                Ok(if ready { Ready::Read } else { Ready::Time })
            }
            Way::Ahead(reservoir) => {
                // It waits for no descriptor, so it looks up in time for one.
                let soon = watch.map_or(i64::MAX, |_| clock.now() + SECOND / 20);
                let ready = reservoir.wait(deadline.min(soon), clock);
                Ok(if ready { Ready::Read } else { Ready::Time })
            }
            Way::Supply(supply) => {
                let due = supply.due()?;
                let mut fds = supply.fds();
                let is_watched = fds.is_empty();
                fds.extend(watch);
                match stop.wait_any(&fds, Some(due.min(deadline)))? {
                    Wake::Stop => Ok(Ready::Stop),
                    Wake::Ready if is_watched => Ok(Ready::Time),
                    Wake::Ready => Ok(Ready::Read),
                    _ if due <= deadline => Ok(Ready::Read),
                    _ => Ok(Ready::Time),
                }
            }
        }
    }
}

/// stdin, unless a person would have to type records there.
pub(super) fn stdin() -> Result<File> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        let hint = "stdin is a terminal; give me records from a tool or a file, \
                    like `sim-src | …` or `… < x.frames`";
        return Err(Usage(hint.into()).into());
    }
    Ok(File::from(stdin.as_fd().try_clone_to_owned()?))
}

/// The kernel wakes a thread up to 50 µs late to save power, which is half of the lateness
/// of what is paced. A refusal only leaves it at that.
#[cfg(target_os = "linux")]
fn wake_on_time() {
    let least = std::num::NonZeroU64::new(1);
    rustix::thread::set_current_timer_slack(least).unwrap_or_default();
}

#[cfg(not(target_os = "linux"))]
fn wake_on_time() {}

impl Read for Origin {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (current, rest) = match &mut self.way {
            Way::Stdin(file) => return file.read(buf),
            Way::Ahead(reservoir) => return reservoir.read(buf),
            Way::Supply(supply) => return supply.read(buf),
            Way::Recorded(_) => return Ok(0),
            Way::Files { current, rest } => (current, rest),
        };
        loop {
            if let Some(file) = current {
                let n = file.read(buf)?;
                if n > 0 {
                    return Ok(n);
                }
            }
            let Some(next) = rest.pop_front() else { return Ok(0) };
            self.name = next.display().to_string();
            *current = Some(File::open(next)?);
        }
    }
}
