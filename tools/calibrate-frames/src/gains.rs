//! What makes one sensor differ from another: a gain and an offset for each.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// `gain · value + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Gain {
    pub(crate) gain: f64,
    pub(crate) offset: f64,
}

impl Gain {
    /// No change.
    pub(crate) const NONE: Gain = Gain { gain: 1.0, offset: 0.0 };

    /// This one, and another on what comes out.
    pub(crate) fn then(self, after: Gain) -> Gain {
        let Gain { gain, offset } = after;
        Gain { gain: gain * self.gain, offset: gain * self.offset + offset }
    }
}

/// Gains by sensor.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Gains {
    by_id: BTreeMap<u32, Gain>,
    pub(crate) name: String,
}

impl Gains {
    /// Reads a CSV with the columns sensor, gain and offset; a heading and the offset may be
    /// left out.
    pub(crate) fn load(path: &Path) -> Result<Gains> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(|| name.clone())?;
        Ok(Gains { by_id: parse(&text).with_context(|| name.clone())?, name })
    }

    /// The gain of a sensor. Those that are not in the file stay as they are.
    pub(crate) fn of(&self, id: u32) -> Gain {
        self.by_id.get(&id).copied().unwrap_or(Gain::NONE)
    }

    /// A sensor in the file that is not among these: a sign of the wrong file.
    pub(crate) fn stranger(&self, known: &[u32]) -> Option<u32> {
        self.by_id.keys().find(|id| !known.contains(id)).copied()
    }
}

fn parse(text: &str) -> Result<BTreeMap<u32, Gain>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let mut by_id = BTreeMap::new();
    for (nth, row) in reader.records().enumerate() {
        let row = row?;
        let line = row.position().map_or(0, csv::Position::line);
        let number = |at: usize| -> Option<f64> {
            row.get(at)?.parse().ok().filter(|number: &f64| number.is_finite())
        };
        let id = row.get(0).and_then(|id| id.parse().ok());
        let offset = match row.get(2) {
            None | Some("") => Some(0.0),
            Some(_) => number(2),
        };
        match (id, number(1), offset) {
            (Some(id), Some(gain), Some(offset)) => {
                if by_id.insert(id, Gain { gain, offset }).is_some() {
                    bail!("line {line}: sensor {id} is there twice");
                }
            }
            _ if nth == 0 && id.is_none() => {}
            _ => bail!("line {line}: not a sensor, its gain and its offset"),
        }
    }
    Ok(by_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains_are_read_and_mistakes_told_with_their_line() {
        let gains = parse("sensor,gain,offset\n7,1.5,-2\n8, 0.5\n").unwrap();
        assert_eq!(gains[&7], Gain { gain: 1.5, offset: -2.0 });
        assert_eq!(gains[&8], Gain { gain: 0.5, offset: 0.0 });
        assert_eq!(parse("7,1.5,-2\n").unwrap().len(), 1);
        for (text, why) in [
            ("7,1\n7,2\n", "line 2: sensor 7 is there twice"),
            ("a,b\nc,d\n", "line 2: not a sensor"),
            ("7,x\n", "line 1: not a sensor"),
            ("7,1,x\n", "line 1: not a sensor"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn two_gains_in_turn_are_one() {
        let first = Gain { gain: 2.0, offset: 3.0 };
        let both = first.then(Gain { gain: 10.0, offset: 1.0 });
        assert_eq!(both, Gain { gain: 20.0, offset: 31.0 });
        assert_eq!(first.then(Gain::NONE), first);
    }
}
