//! What the threads of a recording tell the one that minds it.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::health::Health;
use crate::study::Form;

/// Lines on stderr that wait to be passed on.
const MAX_LINES: usize = 1000;
/// The longest line that is passed on whole.
const MAX_LINE: u64 = 4096;
/// Begins a line that says how a branch ended.
pub(crate) const ENDED: &str = "labrecord-branch-ended ";

/// What has been told, until it is taken.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) health: Health,
    /// A stream has come, so all that must be there are.
    pub(crate) is_ready: bool,
    /// The source's output has ended, or nobody takes it any more.
    pub(crate) is_relayed: bool,
    /// Whoever distributes takes no more.
    pub(crate) is_refused: bool,
    lines: VecDeque<String>,
    ends: Vec<(Form, i32)>,
}

/// The same, for several threads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared(Arc<Mutex<Told>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what a tool says on stderr, in a thread, to its end.
    pub(crate) fn listen(
        &self,
        tool: &str,
        stderr: impl Read + Send + 'static,
    ) -> std::io::Result<JoinHandle<()>> {
        let shared = self.clone();
        let body = move || {
            let mut reader = BufReader::new(stderr);
            let mut line = Vec::new();
            while matches!(
                (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line),
                Ok(1..)
            ) {
                shared.lock().hear(String::from_utf8_lossy(&line).trim_end());
                line.clear();
            }
        };
        Builder::new().name(format!("stderr:{tool}")).spawn(body)
    }
}

impl Told {
    fn hear(&mut self, line: &str) {
        match line.strip_prefix(ENDED).map(end) {
            Some(Some(end)) => self.ends.push(end),
            _ if line.is_empty() || self.lines.len() == MAX_LINES => {}
            _ => self.lines.push_back(line.into()),
        }
    }

    /// What was said since this was last asked.
    pub(crate) fn lines(&mut self) -> Vec<String> {
        self.lines.drain(..).collect()
    }

    /// Which branches have ended since, with their shell's status.
    pub(crate) fn ends(&mut self) -> Vec<(Form, i32)> {
        std::mem::take(&mut self.ends)
    }
}

/// Reads `xdf 137`.
fn end(text: &str) -> Option<(Form, i32)> {
    let (form, status) = text.split_once(' ')?;
    Some((Form::of_name(form)?, status.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_ends_are_told_apart() {
        let shared = Shared::default();
        let text = format!("to-h5: disk full\n{ENDED}h5 1\n\n{ENDED}tape 1\nlast");
        shared.listen("x", std::io::Cursor::new(text)).unwrap().join().unwrap();
        let mut told = shared.lock();
        assert_eq!(told.ends(), [(Form::H5, 1)]);
        let lines = told.lines();
        assert_eq!(lines, ["to-h5: disk full", "labrecord-branch-ended tape 1", "last"]);
        assert!(told.lines().is_empty() && told.ends().is_empty());
    }
}
