//! What opens a clip.

use anyhow::Result;
use libframe::batch::Sample;
use libframe::payload::{Event, Value};
use libframe::schema::Stream;
use libframe::tool::Patterns;

use crate::threshold::{Condition, Threshold};

/// Something that opens a clip, or keeps it open for longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trigger {
    /// The instant, on the clock of the records.
    pub(crate) time: i64,
    /// What it was, for people.
    pub(crate) what: String,
}

/// All triggers that are found in the records.
#[derive(Debug, Default)]
pub(crate) struct Triggers {
    events: Vec<EventPattern>,
    thresholds: Vec<Threshold>,
}

/// `LABEL` or `LABEL=VALUE`, both with wildcards.
#[derive(Debug)]
struct EventPattern {
    label: Patterns,
    value: Option<Patterns>,
}

impl Triggers {
    pub(crate) fn new(
        events: &[String],
        conditions: Vec<Condition>,
        release: Option<f64>,
        hold: i64,
    ) -> Result<Triggers> {
        let events = events.iter().map(|text| EventPattern::new(text));
        let thresholds = conditions.into_iter().map(|c| Threshold::new(c, release, hold));
        Ok(Triggers {
            events: events.collect::<Result<_>>()?,
            thresholds: thresholds.collect::<Result<_>>()?,
        })
    }

    /// Learns a stream's description.
    pub(crate) fn learn(&mut self, number: u16, stream: &Stream) -> Result<()> {
        self.thresholds.iter_mut().try_for_each(|level| level.learn(number, stream))
    }

    /// Whether the samples of a stream must be looked at.
    #[inline]
    pub(crate) fn are_about(&self, number: u16) -> bool {
        self.thresholds.iter().any(|threshold| threshold.is_about(number))
    }

    /// Looks at a sample.
    pub(crate) fn look(
        &mut self,
        number: u16,
        sample: &Sample<'_>,
    ) -> impl Iterator<Item = Trigger> {
        self.thresholds.iter_mut().filter_map(move |level| level.look(number, sample))
    }

    /// Looks at an event.
    pub(crate) fn event(&self, time: i64, event: &Event) -> Option<Trigger> {
        let value = text_of(&event.value);
        let fits = |pattern: &EventPattern| {
            let holds = |of_value: &Patterns| of_value.hold_word(&value);
            pattern.label.hold_word(&event.label)
                && pattern.value.as_ref().is_none_or(holds)
        };
        if !self.events.iter().any(fits) {
            return None;
        }
        let value = if value.is_empty() { value } else { format!("={value}") };
        Some(Trigger { time, what: format!("{}{value}", event.label) })
    }

    /// The conditions that no stream was there for.
    pub(crate) fn unmet(&self) -> impl Iterator<Item = &str> {
        self.thresholds.iter().filter(|threshold| !threshold.met).map(Threshold::text)
    }

    /// Forgets the session.
    pub(crate) fn clear(&mut self) {
        self.thresholds.iter_mut().for_each(Threshold::clear);
    }
}

impl EventPattern {
    fn new(text: &str) -> Result<EventPattern> {
        let pattern = |text: &str| Patterns::new("--on", &[text.to_owned()]);
        Ok(match text.split_once('=') {
            Some((label, value)) => {
                EventPattern { label: pattern(label)?, value: Some(pattern(value)?) }
            }
            None => EventPattern { label: pattern(text)?, value: None },
        })
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Nil => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Text(value) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_chosen_by_label_and_value_with_wildcards() {
        let words = ["hit", "led=on", "trial_*=[1-3]"].map(String::from);
        let triggers = Triggers::new(&words, Vec::new(), None, 0).unwrap();
        let what = |label: &str, value: Value| {
            let event = Event { label: label.into(), value, ..Event::default() };
            triggers.event(7, &event).map(|trigger| trigger.what)
        };
        assert_eq!(what("hit", Value::Nil).as_deref(), Some("hit"));
        assert_eq!(what("hit", Value::Float(0.5)).as_deref(), Some("hit=0.5"));
        assert_eq!(what("led", Value::Text("on".into())).as_deref(), Some("led=on"));
        assert_eq!(what("led", Value::Text("off".into())), None);
        assert_eq!(what("trial_a", Value::Int(2)).as_deref(), Some("trial_a=2"));
        assert_eq!(what("trial_a", Value::Int(4)), None);
        assert_eq!(what("hits", Value::Nil), None);
    }
}
