//! Samples that came and did not get to the receiver: whose, and where they went.

use std::collections::BTreeMap;

use libframe::ledger::Loss;
use libframe::payload::Reason;

use crate::sender::Key;

/// Where samples were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// The queue was full.
    Queue,
    /// They were given to the network, or could not be.
    Network,
}

/// What was lost, by stream.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    names: BTreeMap<Key, String>,
    /// By the stream's name, since sessions come and go.
    lost: BTreeMap<String, [Lost; 2]>,
}

/// Samples lost in one place.
#[derive(Clone, Copy, Debug, Default)]
struct Lost {
    samples: u64,
    places: u64,
    /// Whether the last that happened to the stream was such a loss.
    is_last: bool,
}

impl Losses {
    /// Learns what a stream is called.
    pub(crate) fn name(&mut self, key: Key, name: &str) {
        if self.names.get(&key).is_none_or(|known| known != name) {
            self.names.insert(key, name.into());
        }
    }

    /// Forgets the names of streams that are over.
    pub(crate) fn keep_names(&mut self, mut of: impl FnMut(Key) -> bool) {
        self.names.retain(|key, _| of(*key));
    }

    /// Counts a loss.
    pub(crate) fn add(&mut self, key: Key, samples: u64, place: Where) {
        let name = self.names.get(&key);
        let name = name.cloned().unwrap_or_else(|| format!("stream {}", key.1));
        let lost = &mut self.lost.entry(name).or_default()[place as usize];
        lost.samples += samples;
        lost.places += u64::from(!lost.is_last);
        lost.is_last = true;
    }

    /// Something of the stream went out: the next loss is another one.
    #[inline]
    pub(crate) fn end_run(&mut self, key: Key) {
        if self.lost.is_empty() {
            return;
        }
        if let Some(lost) = self.names.get(&key).and_then(|name| self.lost.get_mut(name))
        {
            lost.iter_mut().for_each(|lost| lost.is_last = false);
        }
    }

    /// All of it, as losses of this stage.
    pub(crate) fn told(&self, stage: &str) -> Vec<(String, Loss)> {
        let reasons = [Reason::Queue, Reason::Transport];
        let each = self.lost.iter().flat_map(|(name, lost)| {
            reasons.into_iter().zip(*lost).map(move |(reason, lost)| (name, reason, lost))
        });
        let each = each.filter(|(.., lost)| lost.samples > 0);
        each.map(|(name, reason, Lost { samples, places, .. })| {
            let (stage, unknown, partial) = (stage.to_owned(), 0, 0);
            (name.clone(), Loss { stage, reason, samples, places, unknown, partial })
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_in_a_row_are_one_place_and_each_reason_has_its_line() {
        let mut losses = Losses::default();
        losses.name((1, 2), "rig");
        for place in [Where::Queue, Where::Queue, Where::Network] {
            losses.add((1, 2), 10, place);
        }
        losses.end_run((1, 2));
        losses.add((1, 2), 5, Where::Queue);
        losses.add((9, 3), 1, Where::Queue);
        let told: Vec<_> = losses
            .told("to-osc")
            .into_iter()
            .map(|(name, loss)| (name, loss.reason, loss.samples, loss.places))
            .collect();
        assert_eq!(
            told,
            [
                ("rig".into(), Reason::Queue, 25, 2),
                ("rig".into(), Reason::Transport, 10, 1),
                ("stream 3".into(), Reason::Queue, 1, 1),
            ]
        );
    }
}
