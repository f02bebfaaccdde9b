//! What came and could not be used: told once of each kind, then counted.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use libframe::payload::Value;
use libframe::tool::Feed;

use crate::blocks::Misfit;
use crate::message;

/// Kinds that are told apart; a peer that invents new ones is counted as one.
const MAX_KINDS: usize = 64;

/// Why something that came is not used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// A message is not understood.
    Message(message::Fault),
    /// A message has no place among the others.
    Misfit(Misfit),
    /// The peer breaks the protocol.
    Peer(String),
    /// A stream or electrode more than there is room for.
    Crowd,
    /// Samples of a spike that were cut off.
    CutSpike,
    /// A record of ours that is damaged.
    Record(&'static str),
    /// Something else.
    Other,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Message(fault) => write!(f, "unusable message: {fault}"),
            Trouble::Misfit(misfit) => write!(
                f,
                "unusable samples: {}",
                match misfit {
                    Misfit::Twice => "the channel's were there already",
                    Misfit::Uneven => "not as many as of the other channels",
                    Misfit::Large => "a block of over 16 MiB",
                    Misfit::Stray => "their number is not near those around them",
                }
            ),
            Trouble::Peer(why) => write!(f, "{why}"),
            Trouble::Crowd => write!(f, "more streams than there is room for"),
            Trouble::CutSpike => write!(f, "spikes of which only a part was sent"),
            Trouble::Record(why) => write!(f, "unusable record: {why}"),
            Trouble::Other => write!(f, "other troubles"),
        }
    }
}

/// All that could not be used.
#[derive(Debug, Default)]
pub(crate) struct Troubles(BTreeMap<(usize, Trouble), u64>);

impl Troubles {
    /// Counts one, and says whether it is the first of its kind.
    pub(crate) fn count(&mut self, line: usize, trouble: Trouble) -> bool {
        let full = self.0.len() >= MAX_KINDS;
        let key = (line, trouble);
        let key =
            if full && !self.0.contains_key(&key) { (line, Trouble::Other) } else { key };
        let count = self.0.entry(key).or_default();
        *count += 1;
        *count == 1
    }

    /// Counts one, and tells the first of its kind.
    pub(crate) fn note(
        &mut self,
        line: (usize, &str),
        trouble: Trouble,
        feed: &mut Feed,
    ) -> Result<()> {
        if !self.count(line.0, trouble.clone()) {
            return Ok(());
        }
        let text = format!("{}: {trouble}", line.1);
        feed.voice().tell(&text);
        feed.event(0, "unusable", Value::Text(text))
    }

    /// Whether there were none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How much of each kind came.
    pub(crate) fn all(&self) -> impl Iterator<Item = (usize, String)> {
        let times = |((line, what), count): (&(usize, Trouble), &u64)| {
            (*line, format!("{what}, times: {count}"))
        };
        self.0.iter().map(times)
    }

    /// How much of each kind that came more than once, for the end.
    pub(crate) fn sums(&self) -> impl Iterator<Item = (usize, String)> {
        let often = self.0.iter().filter(|(_, count)| **count > 1);
        often.map(|((line, what), count)| (*line, format!("{what}, times: {count}")))
    }
}
