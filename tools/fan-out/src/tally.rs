//! How a branch ended and what came to it, for people and for the exit status.

use crate::branch::Branch;

/// How a branch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It did what it was to do.
    Done,
    /// So it did, but samples were lost.
    Lossy,
    /// It did not.
    Failed(String),
}

/// The account of a branch, in samples where nothing else is said.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) branch: Branch,
    pub(crate) ending: Option<Ending>,
    pub(crate) delivered: u64,
    pub(crate) dropped: u64,
    /// Records without samples that were dropped.
    pub(crate) gone: u64,
    /// Those that were to come to it, and were neither delivered nor dropped.
    pub(crate) left: u64,
    /// How often its command was started.
    pub(crate) starts: u32,
}

impl Tally {
    /// Whether there is nothing that must be told.
    pub(crate) fn is_clean(&self) -> bool {
        let quiet = self.ending == Some(Ending::Done) && self.starts <= 1;
        quiet && self.dropped + self.gone == 0
    }

    /// All there is to tell, in one line.
    pub(crate) fn text(&self) -> String {
        let Tally { branch, ending, delivered, dropped, gone, left, starts } = self;
        let (name, restarts) = (&branch.name, starts.saturating_sub(1));
        let kind = if branch.must { "must" } else { "may" };
        let end = match ending {
            Some(Ending::Done) | None => "done",
            Some(Ending::Lossy) => "exit status 3",
            Some(Ending::Failed(why)) => why,
        };
        let mut text = format!(
            "{name} ({kind}): {delivered} samples delivered, {dropped} dropped, \
             {restarts} restarts, {end}"
        );
        if *left > 0 && matches!(ending, Some(Ending::Failed(_))) {
            text += &format!("; {left} samples did not come to it");
        }
        if *gone > 0 {
            text += &format!("; {gone} records without samples were dropped too");
        }
        text
    }

    /// Why the run failed, if this branch is the reason.
    pub(crate) fn failure(&self) -> Option<String> {
        match &self.ending {
            Some(Ending::Failed(why)) if self.branch.must => {
                Some(format!("must branch {}: {why}", self.branch.name))
            }
            _ => None,
        }
    }

    /// What was lost in this branch, if the run answers for it.
    pub(crate) fn objection(&self) -> Option<String> {
        let lossy = self.branch.must && self.ending == Some(Ending::Lossy);
        let name = &self.branch.name;
        lossy.then(|| format!("must branch {name} lost samples: exit status 3"))
    }
}
