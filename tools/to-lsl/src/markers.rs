//! Events as markers: texts, as LSL has them.

use libframe::payload::{Event, Gap, Value};

/// `label`, or `label=value`.
pub(crate) fn of_event(event: &Event) -> String {
    let label = &event.label;
    match &event.value {
        Value::Nil => label.clone(),
        Value::Bool(value) => format!("{label}={value}"),
        Value::Int(value) => format!("{label}={value}"),
        Value::Float(value) => format!("{label}={value:?}"),
        Value::Text(value) => format!("{label}={value}"),
    }
}

/// `gap STREAM COUNT`, without a count that nobody knows. Samples that are there in part are
/// no gap here: what they lack is NaN.
pub(crate) fn of_gap(gap: &Gap, stream: &str) -> Option<String> {
    match (gap.count, gap.incomplete()) {
        (Some(count), _) => Some(format!("gap {stream} {count}")),
        (None, None) => Some(format!("gap {stream}")),
        (None, Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_has_the_value_behind_the_label() {
        let text =
            |value| of_event(&Event { label: "led".into(), value, source: "x".into() });
        assert_eq!(text(Value::Nil), "led");
        assert_eq!(text(Value::Float(2.0)), "led=2.0");
        assert_eq!(text(Value::Text("on".into())), "led=on");
    }

    #[test]
    fn only_whole_samples_are_gaps() {
        let gap = |count, partial| Gap { count, partial, ..Gap::default() };
        assert_eq!(of_gap(&gap(Some(3), None), "a").unwrap(), "gap a 3");
        assert_eq!(of_gap(&gap(None, None), "a").unwrap(), "gap a");
        assert_eq!(of_gap(&gap(None, Some(1)), "a"), None);
    }
}
