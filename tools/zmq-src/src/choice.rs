//! Which streams of a rig, and which of their channels.

use anyhow::Result;
use libframe::tool::{Patterns, Usage};

/// What the user wants of a rig.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    streams: Patterns,
    ranges: Vec<(u32, u32)>,
    labels: Patterns,
}

impl Choice {
    pub(crate) fn new(streams: &[String], channels: &[String]) -> Result<Choice> {
        let mut ranges = Vec::new();
        let mut labels = Vec::new();
        for word in channels {
            match range(word) {
                Some((first, last)) if first > last => {
                    let hint = format!("--channel {word}: the first is after the last");
                    return Err(Usage(hint).into());
                }
                Some(range) => ranges.push(range),
                None => labels.push(word.clone()),
            }
        }
        let labels = Patterns::new("--channel", &labels)?;
        Ok(Choice { streams: Patterns::new("--stream", streams)?, ranges, labels })
    }

    /// Whether a stream is wanted.
    pub(crate) fn has_stream(&self, name: &str) -> bool {
        self.streams.is_empty() || self.streams.hold_word(name)
    }

    /// Whether all channels are wanted.
    pub(crate) fn has_all(&self) -> bool {
        self.ranges.is_empty() && self.labels.is_empty()
    }

    /// Whether a channel is wanted.
    #[inline]
    pub(crate) fn has_channel(&self, number: u32, name: Option<&str>) -> bool {
        if self.has_all() {
            return true;
        }
        let within = |range: &(u32, u32)| (range.0..=range.1).contains(&number);
        self.ranges.iter().any(within)
            || name.is_some_and(|name| self.labels.hold_word(name))
    }
}

fn range(word: &str) -> Option<(u32, u32)> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// Numbers as ranges: `0-3,5,7`.
pub(crate) fn ranges(numbers: &[u32]) -> String {
    let mut text = String::new();
    for run in numbers.chunk_by(|a, b| a + 1 == *b) {
        let comma = if text.is_empty() { "" } else { "," };
        text += &match run {
            [one] => format!("{comma}{one}"),
            [first, .., last] => format!("{comma}{first}-{last}"),
            [] => String::new(),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 3, 5, 7, 8]), "0-3,5,7-8");
        assert_eq!(ranges(&[]), "");
    }

    #[test]
    fn channels_are_chosen_by_number_range_and_label() {
        let words =
            |words: &[&str]| words.iter().map(|w| w.to_string()).collect::<Vec<_>>();
        let choice =
            Choice::new(&words(&["Rhythm*"]), &words(&["0-3", "9", "ADC*"])).unwrap();
        assert!(choice.has_stream("Rhythm Data") && !choice.has_stream("Probe"));
        let has = |number, name| choice.has_channel(number, name);
        assert!(has(3, None) && has(9, None) && has(40, Some("ADC1")));
        assert!(!has(4, None) && !has(4, Some("CH5")));
        assert!(Choice::new(&[], &words(&["7-3"])).is_err());
        let all = Choice::new(&[], &[]).unwrap();
        assert!(all.has_stream("x") && all.has_channel(7, None));
    }
}
