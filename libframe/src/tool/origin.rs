//! Where a tool's input comes from: stdin, or files one after another as if by `cat`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags};

use super::exit::Usage;
use super::signal::poll_until;
use crate::clock::Clock;

#[derive(Debug)]
pub(super) struct Origin {
    current: Option<File>,
    name: String,
    /// Files are always ready; stdin is asked.
    waits: bool,
    rest: VecDeque<PathBuf>,
}

impl Origin {
    /// Opens the files; stdin if there are none, or one that is called `-`.
    pub(super) fn open(files: Vec<PathBuf>) -> Result<Origin> {
        if files.is_empty() || files == [PathBuf::from("-")] {
            return Origin::stdin();
        }
        for file in &files {
            // A missing file is an error now; found later, the others were read in vain.
            File::open(file).with_context(|| file.display().to_string())?;
        }
        let rest = VecDeque::from(files);
        Ok(Origin { current: None, name: String::new(), waits: false, rest })
    }

    fn stdin() -> Result<Origin> {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            let hint = "stdin is a terminal; give me records from a tool or a file, \
                        like `sim-src | …` or `… < x.frames`";
            return Err(Usage(hint.into()).into());
        }
        let current = Some(File::from(stdin.as_fd().try_clone_to_owned()?));
        Ok(Origin { current, name: "stdin".into(), waits: true, rest: VecDeque::new() })
    }

    /// What is being read, for messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Waits until a read would not block, or until `deadline`; returns which.
    pub(super) fn is_ready(&self, deadline: i64, clock: &Clock) -> io::Result<bool> {
        let Some(file) = self.current.as_ref().filter(|_| self.waits) else {
            return Ok(true);
        };
        let mut fds = [PollFd::new(file, PollFlags::IN)];
        poll_until(&mut fds, deadline, clock)?;
        Ok(!fds[0].revents().is_empty())
    }
}

impl Read for Origin {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(file) = &mut self.current {
                let n = file.read(buf)?;
                if n > 0 {
                    return Ok(n);
                }
            }
            let Some(next) = self.rest.pop_front() else { return Ok(0) };
            self.name = next.display().to_string();
            self.current = Some(File::open(next)?);
        }
    }
}
