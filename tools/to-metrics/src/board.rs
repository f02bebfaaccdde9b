//! Where the pipe's thread puts its figures, and others find them.
//!
//! What is put there does not change any more, so that neither waits for the other for
//! longer than it takes to copy a pointer.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::figures::Figures;

/// Where figures are published.
#[derive(Debug)]
pub(crate) struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    figures: Arc<Figures>,
    /// Somebody was given the last figures.
    seen: bool,
    /// What went wrong elsewhere, for the pipe's thread to tell.
    problem: Option<String>,
}

impl Board {
    pub(crate) fn new(figures: Figures) -> Board {
        let figures = Arc::new(figures);
        let state = Mutex::new(State { figures, seen: false, problem: None });
        Board { state, changed: Condvar::new() }
    }

    /// Puts new figures there. Returns what went wrong elsewhere, once.
    pub(crate) fn post(&self, figures: Figures) -> Option<String> {
        let figures = Arc::new(figures);
        let mut state = self.lock();
        // Dropped when nobody waits for it: the last reader may have gone already.
        let before = std::mem::replace(&mut state.figures, figures);
        let problem = state.problem.take();
        drop(state);
        drop(before);
        problem
    }

    pub(crate) fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.lock().figures)
    }

    /// The last figures were given to somebody.
    pub(crate) fn is_seen(&self) {
        self.lock().seen = true;
        self.changed.notify_all();
    }

    /// Waits until the last figures were given to somebody, but no longer than this.
    pub(crate) fn wait_until_seen(&self, at_most: Duration) {
        let unseen = |state: &mut State| !state.seen;
        let waited = self.changed.wait_timeout_while(self.lock(), at_most, unseen);
        drop(waited);
    }

    pub(crate) fn complain(&self, problem: String) {
        self.lock().problem = Some(problem);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
