//! Labels as they stand in the exposition: `stream="glove",reason="queue"`.
//!
//! Values come from anywhere, so they are cut, cleaned and escaped here, once, when a row
//! is made. A scrape then only copies them.

use std::fmt::Write as _;
use std::sync::Arc;

/// The longest value, in bytes. Names of streams and stages are shorter.
pub(crate) const SHORT: usize = 128;
/// The longest command line that is told.
pub(crate) const LONG: usize = 512;

/// Pairs between the braces of a sample, escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Labels(Arc<str>);

impl Default for Labels {
    fn default() -> Labels {
        Labels(Arc::from(""))
    }
}

impl Labels {
    /// Labels with these names and values.
    pub(crate) fn new(pairs: &[(&str, &str)]) -> Labels {
        Labels::default().with(pairs, SHORT)
    }

    /// The same and more, whose values are cut at so many bytes.
    pub(crate) fn with(&self, pairs: &[(&str, &str)], longest: usize) -> Labels {
        let mut text = self.0.to_string();
        for (name, value) in pairs {
            let comma = if text.is_empty() { "" } else { "," };
            // Writing to a String does not fail.
            write!(text, "{comma}{name}=\"").unwrap_or_default();
            escape(value, longest, &mut text);
            text.push('"');
        }
        Labels(text.into())
    }

    /// The text between the braces.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Adds a value that is cut and escaped. Control characters, which no name needs, would let
/// one name look like another on a screen.
fn escape(value: &str, longest: usize, out: &mut String) {
    let cut = value.len() > longest;
    let end = boundary(value, longest);
    for char in value[..end].chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            char if char.is_control() => out.push('\u{fffd}'),
            char => out.push(char),
        }
    }
    if cut {
        out.push('…');
    }
}

/// The last place up to `longest` at which a character begins.
fn boundary(value: &str, longest: usize) -> usize {
    let mut places = (0..=longest.min(value.len())).rev();
    places.find(|at| value.is_char_boundary(*at)).unwrap_or(0)
}

/// A command line without the names and passwords in its addresses.
pub(crate) fn command_line(words: &[String]) -> String {
    let words = words.iter().map(|word| without_credentials(word));
    words.collect::<Vec<_>>().join(" ")
}

fn without_credentials(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.into() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://***{}", &rest[at..]),
        None => word.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_cleaned_and_cut() {
        let labels = Labels::new(&[("a", "x\\y\"z\n"), ("b", "bell\x07")]);
        assert_eq!(labels.as_str(), "a=\"x\\\\y\\\"z\\n\",b=\"bell\u{fffd}\"");
        let long = Labels::new(&[("a", &"é".repeat(100))]);
        assert_eq!(long.as_str(), format!("a=\"{}…\"", "é".repeat(64)));
        let odd = Labels::default().with(&[("a", "éé")], 3);
        assert_eq!(odd.as_str(), "a=\"é…\"");
    }

    #[test]
    fn passwords_are_not_told() {
        let words = ["x", "--to", "nats://me:secret@host/a@b", "tcp://host:1"];
        let line = command_line(&words.map(String::from));
        assert_eq!(line, "x --to nats://***@host/a@b tcp://host:1");
    }
}
