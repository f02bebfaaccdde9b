//! Which streams and channels there are, as users write it.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use libframe::tool::parse_rate_in;

/// Samples a second of a stream.
pub(crate) const RATES: RangeInclusive<f64> = 1.0..=1e6;

/// Channels of a stream, ascending and without repetition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Channels(pub(crate) Vec<u32>);

/// More than any rig has.
const MOST: u32 = 65_536;

impl Channels {
    /// Reads how many there are, or which: `32`, or a list like `4,6,8-15`.
    pub(crate) fn parse(text: &str) -> Result<Channels, String> {
        let wrong =
            || format!("{text:?} are no channels; say 32, or which ones: 4,6,8-15");
        if let Ok(count) = text.parse::<u32>() {
            return match count {
                1..=MOST => Ok(Channels((0..count).collect())),
                _ => Err(wrong()),
            };
        }
        let mut all = BTreeSet::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<u32>().map_err(|_| wrong());
            let (first, last) = (number(first)?, number(last)?);
            if first > last || last >= MOST {
                return Err(wrong());
            }
            all.extend(first..=last);
        }
        if all.is_empty() {
            Err(wrong())
        } else {
            Ok(Channels(all.into_iter().collect()))
        }
    }
}

/// How many samples blocks have: always so many, or from one number to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockSize {
    pub(crate) least: u32,
    pub(crate) most: u32,
}

impl BlockSize {
    /// Reads a size like `480`, or a range like `100-1000`.
    pub(crate) fn parse(text: &str) -> Result<BlockSize, String> {
        let (least, most) = text.split_once('-').unwrap_or((text, text));
        match (least.parse(), most.parse()) {
            (Ok(least), Ok(most)) if 0 < least && least <= most && most <= 1 << 20 => {
                Ok(BlockSize { least, most })
            }
            _ => Err(format!("{text:?} is no block size; say 480, or 100-1000")),
        }
    }
}

/// A stream of the rig, with what it has of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct StreamSpec {
    pub(crate) name: String,
    pub(crate) channels: Option<Channels>,
    pub(crate) rate: Option<f64>,
    pub(crate) block: Option<BlockSize>,
    /// What comes before the number in the names of channels.
    pub(crate) label: Option<String>,
}

impl StreamSpec {
    /// Reads a stream like `ProbeA-AP:channels=0-3,7,rate=30000`. A comma also separates
    /// channels, so what has no `=` belongs to what was before.
    pub(crate) fn parse(text: &str) -> Result<StreamSpec, String> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        if name.is_empty() {
            return Err(format!(
                "{text:?} is no stream; say ProbeA:channels=8,rate=2500"
            ));
        }
        let mut pairs: Vec<(&str, String)> = Vec::new();
        for part in rest.split(',').filter(|part| !part.is_empty()) {
            match (part.split_once('='), pairs.last_mut()) {
                (Some((key, value)), _) => pairs.push((key, value.into())),
                (None, Some((_, value))) => *value = format!("{value},{part}"),
                (None, None) => return Err(unknown(part)),
            }
        }
        let mut spec = StreamSpec { name: name.into(), ..StreamSpec::default() };
        for (key, value) in pairs {
            match key {
                "channels" => spec.channels = Some(Channels::parse(&value)?),
                "rate" => spec.rate = Some(parse_rate_in(RATES)(&value)?),
                "block" => spec.block = Some(BlockSize::parse(&value)?),
                "label" => spec.label = Some(value),
                _ => return Err(unknown(key)),
            }
        }
        Ok(spec)
    }
}

fn unknown(key: &str) -> String {
    format!("{key:?} is nothing that streams have; say channels=, rate=, block=, label=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_a_number_or_a_list() {
        assert_eq!(Channels::parse("3").unwrap().0, [0, 1, 2]);
        assert_eq!(Channels::parse("4,6,8-10").unwrap().0, [4, 6, 8, 9, 10]);
        assert_eq!(Channels::parse("9,2-3,2").unwrap().0, [2, 3, 9]);
        assert_eq!(Channels::parse("7,").unwrap().0, [7], "a list of one");
        for wrong in ["0", "", ",", "5-3", "a", "1-", "70000", "0-70000"] {
            assert!(Channels::parse(wrong).unwrap_err().contains("4,6,8-15"), "{wrong}");
        }
    }

    #[test]
    fn blocks_have_a_size_or_a_range() {
        let size = |least, most| Ok(BlockSize { least, most });
        assert_eq!(BlockSize::parse("480"), size(480, 480));
        assert_eq!(BlockSize::parse("1-1000"), size(1, 1000));
        for wrong in ["0", "5-3", "-3", "many"] {
            assert!(BlockSize::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_stream_may_have_things_of_its_own() {
        let spec =
            StreamSpec::parse("ProbeA-AP:channels=0-3,7,rate=2500,label=AP").unwrap();
        assert_eq!(spec.name, "ProbeA-AP");
        assert_eq!(spec.channels.unwrap().0, [0, 1, 2, 3, 7]);
        assert_eq!((spec.rate, spec.label.as_deref()), (Some(2500.0), Some("AP")));
        assert_eq!(StreamSpec::parse("Rhythm").unwrap().channels, None);
        for wrong in ["", ":rate=1", "A:7", "A:rate=fast", "A:size=3"] {
            assert!(StreamSpec::parse(wrong).is_err(), "{wrong}");
        }
    }
}
