//! Some channels out of each sample.

use anyhow::Result;
use globset::Glob;
use libframe::payload::Gap;
use libframe::schema::{Media, Stream};
use libframe::tool::Usage;

/// The chosen places of a sample, in the order they were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Channels {
    places: Vec<usize>,
    each: usize,
}

impl Channels {
    /// Finds the channels that the words name. Streams without channels have none of
    /// them; a stream that has channels but not these is an error, for a typing mistake
    /// must not cost a night.
    pub(crate) fn choose(words: &[String], stream: &Stream) -> Result<Channels> {
        let each = stream.dtype.map_or(0, |dtype| dtype.size());
        let mut places = Vec::new();
        if stream.media == Media::Samples && stream.shape.len() <= 1 {
            let width = stream.width();
            for word in words {
                let found = named(word, stream, width)?;
                places.extend(found.into_iter().filter(|at| *at < width));
            }
            if places.is_empty() {
                let (name, words) = (&stream.name, words.join(","));
                let first = stream.label(0);
                let hint = format!("it has {width}, the first is {first:?}");
                return Err(
                    Usage(format!("{name} has no channel {words}: {hint}")).into()
                );
            }
        }
        Ok(Channels { places, each })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Changes a stream's description to that of these channels.
    pub(crate) fn describe(&self, stream: &mut Stream) {
        stream.shape = vec![self.places.len() as u32];
        stream.fields.clear();
        if !stream.channels.is_empty() {
            let all = std::mem::take(&mut stream.channels);
            let chosen =
                self.places.iter().map(|at| all.get(*at).cloned().unwrap_or_default());
            stream.channels = chosen.collect();
        }
    }

    /// What a gap is among these channels; `None` if it was about others only.
    pub(crate) fn gap(&self, gap: Gap) -> Option<Gap> {
        if gap.incomplete().is_none() {
            return Some(gap);
        }
        let missing =
            |at: &usize| gap.channels.iter().any(|place| *place as usize == *at);
        let chosen = (0..).zip(&self.places).filter(|(_, at)| missing(at));
        let channels: Vec<u32> = chosen.map(|(place, _)| place).collect();
        (!channels.is_empty()).then_some(Gap { channels, ..gap })
    }

    /// Appends the chosen numbers of a sample.
    pub(crate) fn gather(&self, sample: &[u8], out: &mut Vec<u8>) {
        for at in &self.places {
            let from = at * self.each;
            out.extend_from_slice(sample.get(from..from + self.each).unwrap_or_default());
        }
    }
}

fn named(word: &str, stream: &Stream, width: usize) -> Result<Vec<usize>> {
    if let Ok(at) = word.parse() {
        return Ok(vec![at]);
    }
    let range =
        word.split_once('-').map(|(a, b)| (a.parse::<usize>(), b.parse::<usize>()));
    if let Some((Ok(from), Ok(to))) = range {
        return Ok((from..=to.min(width)).collect());
    }
    let glob = Glob::new(word)
        .map_err(|err| Usage(format!("--channel {word}: {}", err.kind())))?
        .compile_matcher();
    let labels = stream.channels.iter().enumerate();
    Ok(labels.filter(|(_, c)| glob.is_match(&c.label)).map(|(at, _)| at).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use libframe::schema::{Channel, Dtype};

    fn stream() -> Stream {
        let channel = |label: &str| Channel { label: label.into(), ..Channel::default() };
        Stream {
            media: Media::Samples,
            dtype: Some(Dtype::U16),
            shape: vec![4],
            channels: ["a1", "a2", "b1", "b2"].map(channel).into(),
            ..Stream::default()
        }
    }

    fn choose(words: &[&str]) -> Result<Channels> {
        let words: Vec<_> = words.iter().map(|word| word.to_string()).collect();
        Channels::choose(&words, &stream())
    }

    #[test]
    fn a_partial_gap_names_the_channels_as_they_are_now() {
        let chosen = choose(&["b*", "0"]).unwrap();
        let gap = |channels: &[u32]| {
            let channels = channels.to_vec();
            chosen.gap(Gap { partial: Some(1), channels, ..Gap::default() })
        };
        assert_eq!(gap(&[0, 3]).map(|gap| gap.channels), Some(vec![1, 2]));
        assert_eq!(gap(&[1]), None);
        assert!(chosen.gap(Gap { count: Some(1), ..Gap::default() }).is_some());
    }

    #[test]
    fn channels_are_chosen_by_label_pattern_number_and_range() {
        assert_eq!(choose(&["b*", "0"]).unwrap().places, [2, 3, 0]);
        assert_eq!(choose(&["1-9"]).unwrap().places, [1, 2, 3]);
        let error = choose(&["c"]).unwrap_err().to_string();
        assert!(error.contains("\"a1\""), "{error}");
    }

    #[test]
    fn numbers_are_gathered_whole() {
        let channels = choose(&["b1", "a2"]).unwrap();
        let mut out = Vec::new();
        channels.gather(&[0, 1, 2, 3, 4, 5, 6, 7], &mut out);
        assert_eq!(out, [4, 5, 2, 3]);
        let mut stream = stream();
        channels.describe(&mut stream);
        assert_eq!((stream.shape, stream.channels[0].label.as_str()), (vec![2], "b1"));
    }
}
