//! Events at set times, as users write them.

use super::args::parse_duration;
use crate::payload::Value;

/// More often than this is a mistake.
const LEAST: i64 = 1_000_000;

/// An event that happens once or again and again.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// What kind of event.
    pub label: String,
    /// Its value.
    pub value: Value,
    /// When it happens next, ns after the start.
    pub next: i64,
    /// How long after that again.
    every: Option<i64>,
}

impl Planned {
    /// Reads `LABEL@TIME` or `LABEL/TIME`, both with a value or without.
    pub fn parse(text: &str) -> Result<Planned, String> {
        let wrong = || format!("{text:?}: say hit@2s, hit=5@2s, or hit/2s for each 2 s");
        let at = text.rfind(['@', '/']).ok_or_else(wrong)?;
        let (what, time) = (&text[..at], parse_duration(&text[at + 1..])?);
        let (label, value) = what.split_once('=').unwrap_or((what, ""));
        let every = text[at..].starts_with('/').then_some(time);
        if label.is_empty() || every.is_some_and(|every| every < LEAST) {
            return Err(wrong());
        }
        Ok(Planned { label: label.into(), value: Value::read(value), next: time, every })
    }

    /// It has happened.
    pub fn go_on(&mut self) {
        self.next = self.every.map_or(i64::MAX, |every| self.next.saturating_add(every));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;

    #[test]
    fn events_happen_once_or_again_and_again() {
        let mut once = Planned::parse("hit=5@2s").unwrap();
        assert_eq!((once.label.as_str(), once.next), ("hit", 2 * SECOND));
        assert_eq!(once.value, Value::Int(5));
        once.go_on();
        assert_eq!(once.next, i64::MAX);
        let mut again = Planned::parse("beat/500ms").unwrap();
        again.go_on();
        assert_eq!((again.next, again.value), (SECOND, Value::Nil));
        for wrong in ["hit", "@2s", "hit@soon", "hit/0s"] {
            assert!(Planned::parse(wrong).is_err(), "{wrong}");
        }
    }
}
