//! How much memory the sums of all streams may take together.

use std::cell::Cell;
use std::rc::Rc;

use anyhow::{Result, bail};

/// A stage that only thins must stay small.
pub(crate) const MAX_MEMORY: usize = 8 << 20;

/// What is taken of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Budget(Rc<Cell<usize>>);

/// A part of it, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    /// Takes so many bytes.
    pub(crate) fn take(&self, bytes: usize) -> Result<Share> {
        let taken = self.0.get().saturating_add(bytes);
        if taken > MAX_MEMORY {
            let most = MAX_MEMORY >> 20;
            bail!("all streams together take more than {most} MiB; say --method average");
        }
        self.0.set(taken);
        Ok(Share { budget: self.clone(), bytes })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.set(self.budget.0.get() - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_let_go_can_be_taken_again() {
        let budget = Budget::default();
        let most = budget.take(MAX_MEMORY - 1).unwrap();
        assert!(budget.take(2).is_err());
        drop(most);
        budget.take(MAX_MEMORY).unwrap();
    }
}
