//! JSON as JUCE writes it, byte for byte: the plugin's messages are made by it, and a
//! reader that was only shown what other libraries write may stumble over its line ends.
//!
//! Objects take several lines with two spaces of indent and CRLF, whole numbers stay whole,
//! other numbers have at least one decimal place, and what is no ASCII is escaped. What
//! changes from message to message is a hole in a prepared text.

use std::io::Write as _;

/// Spaces that a level is indented by.
const INDENT: usize = 2;
const NEW_LINE: &[u8] = b"\r\n";

/// A text with holes for whole numbers; `H` names them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Template<H> {
    text: Vec<u8>,
    /// What belongs at which place, in order.
    holes: Vec<(usize, H)>,
}

impl<H: Copy> Template<H> {
    /// The text of an object.
    pub(crate) fn object(fill: impl FnOnce(&mut Object<'_, H>)) -> Template<H> {
        let mut template = Template { text: Vec::new(), holes: Vec::new() };
        Object::write(&mut template, 0, fill);
        template
    }

    /// Writes the text with its numbers, in place of what `to` held.
    pub(crate) fn fill(&self, number: impl Fn(H) -> i64, to: &mut Vec<u8>) {
        to.clear();
        let mut done = 0;
        for (place, hole) in &self.holes {
            to.extend_from_slice(&self.text[done..*place]);
            decimal(number(*hole), to);
            done = *place;
        }
        to.extend_from_slice(&self.text[done..]);
    }
}

/// An object while it is written.
#[derive(Debug)]
pub(crate) struct Object<'a, H> {
    to: &'a mut Template<H>,
    indent: usize,
    empty: bool,
}

impl<H: Copy> Object<'_, H> {
    fn write(to: &mut Template<H>, indent: usize, fill: impl FnOnce(&mut Object<'_, H>)) {
        to.text.push(b'{');
        to.text.extend_from_slice(NEW_LINE);
        let mut object = Object { to, indent, empty: true };
        fill(&mut object);
        if !object.empty {
            to.text.extend_from_slice(NEW_LINE);
        }
        spaces(&mut to.text, indent);
        to.text.push(b'}');
    }

    /// Begins a member. Returns where its value goes.
    fn member(&mut self, key: &str) -> &mut Vec<u8> {
        let text = &mut self.to.text;
        if !self.empty {
            text.push(b',');
            text.extend_from_slice(NEW_LINE);
        }
        self.empty = false;
        spaces(text, self.indent + INDENT);
        string(key, text);
        text.extend_from_slice(b": ");
        text
    }

    pub(crate) fn hole(&mut self, key: &str, hole: H) {
        let place = self.member(key).len();
        self.to.holes.push((place, hole));
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) {
        string(value, self.member(key));
    }

    pub(crate) fn integer(&mut self, key: &str, value: i64) {
        decimal(value, self.member(key));
    }

    pub(crate) fn double(&mut self, key: &str, value: f64) {
        let text = double(value);
        self.member(key).extend_from_slice(text.as_bytes());
    }

    /// A list of doubles, each in a line of its own.
    pub(crate) fn doubles(&mut self, key: &str, values: &[f64]) {
        let indent = self.indent + INDENT;
        let text = self.member(key);
        text.push(b'[');
        for (at, value) in values.iter().enumerate() {
            text.extend_from_slice(if at == 0 { NEW_LINE } else { b",\r\n" });
            spaces(text, indent + INDENT);
            text.extend_from_slice(double(*value).as_bytes());
        }
        if !values.is_empty() {
            text.extend_from_slice(NEW_LINE);
            spaces(text, indent);
        }
        text.push(b']');
    }

    pub(crate) fn object(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_, H>)) {
        self.member(key);
        Object::write(self.to, self.indent + INDENT, fill);
    }
}

fn spaces(text: &mut Vec<u8>, count: usize) {
    text.resize(text.len() + count, b' ');
}

fn decimal(value: i64, to: &mut Vec<u8>) {
    // Writing into a vector cannot fail.
    write!(to, "{value}").unwrap_or_default();
}

/// A string in its quotes; UTF-16 units that are no ASCII become `\u` and four small digits.
fn string(value: &str, to: &mut Vec<u8>) {
    to.push(b'"');
    for unit in value.encode_utf16() {
        match u8::try_from(unit) {
            Ok(quoted @ (b'"' | b'\\')) => to.extend_from_slice(&[b'\\', quoted]),
            Ok(7) => to.extend_from_slice(b"\\a"),
            Ok(8) => to.extend_from_slice(b"\\b"),
            Ok(12) => to.extend_from_slice(b"\\f"),
            Ok(b'\n') => to.extend_from_slice(b"\\n"),
            Ok(b'\r') => to.extend_from_slice(b"\\r"),
            Ok(b'\t') => to.extend_from_slice(b"\\t"),
            Ok(plain @ 32..127) => to.push(plain),
            _ => write!(to, "\\u{unit:04x}").unwrap_or_default(),
        }
    }
    to.push(b'"');
}

/// A double, with as many digits as JUCE gives one: about 16, and no zeros at the end but
/// the first after the point.
fn double(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "null".into();
    }
    if size >= 1e6 || size <= 1e-5 {
        let text = format!("{value:.15e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent = Some(exponent).filter(|exponent| *exponent != "0");
        let exponent = exponent.map(|exponent| format!("e{exponent}"));
        return trimmed(mantissa).to_owned() + &exponent.unwrap_or_default();
    }
    if value.fract() == 0.0 {
        return format!("{value:.1}");
    }
    // From 0.1 on, 16 places; one more for each power of ten below, one less above.
    let power = [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3, 1e4, 1e5];
    let places = 20 - power.iter().filter(|power| size >= **power).count();
    trimmed(&format!("{value:.places$}")).to_owned()
}

/// A number without the zeros that say nothing.
fn trimmed(text: &str) -> &str {
    let short = text.trim_end_matches('0');
    if short.ends_with('.') { &text[..short.len() + 1] } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_looks_as_juce_writes_it() {
        let template = Template::object(|message| {
            message.hole("message_num", 'n');
            message.text("type", "spike");
            message.object("spike", |spike| {
                spike.text("stream", "µ \"probe\"\\ 🧠\u{7f}");
                spike.doubles("threshold", &[-50.0, 0.1]);
                spike.doubles("none", &[]);
                spike.double("sample_rate", 30000.0);
            });
            message.integer("data_size", 0);
            message.hole("timestamp", 't');
        });
        let mut text = b"before".to_vec();
        template.fill(|hole| if hole == 'n' { -1 } else { 1_751_932_705_000 }, &mut text);
        let expected = "{\r\n  \"message_num\": -1,\r\n  \"type\": \"spike\",\r\n  \"spike\": {\r\n    \
            \"stream\": \"\\u00b5 \\\"probe\\\"\\\\ \\ud83e\\udde0\\u007f\",\r\n    \
            \"threshold\": [\r\n      -50.0,\r\n      0.1\r\n    ],\r\n    \"none\": [],\r\n    \
            \"sample_rate\": 30000.0\r\n  },\r\n  \"data_size\": 0,\r\n  \
            \"timestamp\": 1751932705000\r\n}";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn doubles_have_the_places_that_juce_gives_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (30000.0, "30000.0"),
            (30000.5, "30000.5"),
            (-62.5, "-62.5"),
            (0.1, "0.1"),
            (f64::from(0.1f32), "0.1000000014901161"),
            (29999.954846, "29999.954846"),
            (1e6, "1.0e6"),
            (1.25e-7, "1.25e-7"),
            (f64::NAN, "null"),
        ] {
            assert_eq!(double(value), text);
        }
    }
}
