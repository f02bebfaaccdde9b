//! OSC addresses, as templates that are filled in for each stream and channel.

use std::fmt;
use std::str::FromStr;

/// The longest address; a datagram must hold more than it.
const LONGEST: usize = 255;

/// An address with places for what is only known of a stream: `/data/{stream}`,
/// `/ch{index:03}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Stream,
    Label,
    /// A channel's number, counted from this, in so many digits.
    Number {
        from: usize,
        digits: usize,
    },
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Template, String> {
        if !text.starts_with('/') || text.len() > LONGEST {
            return Err(format!("{text:?}: an OSC address begins with '/', like /data"));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, more)) = rest.split_once('{') {
            let Some((place, after)) = more.split_once('}') else {
                return Err(format!("{text:?}: a '{{' is not closed"));
            };
            parts.push(Part::Text(fixed(before)?));
            parts.push(Part::parse(place)?);
            rest = after;
        }
        parts.push(Part::Text(fixed(rest)?));
        Ok(Template { parts })
    }
}

impl Part {
    fn parse(text: &str) -> Result<Part, String> {
        let (name, format) = text.split_once(':').unwrap_or((text, ""));
        let hint = || {
            format!(
                "{{{text}}} has no meaning in an address; there are {{stream}}, {{label}}, \
                 {{index}} from 0, {{number}} from 1, and {{index:03}} for three digits"
            )
        };
        let digits = match format.trim_end_matches('d') {
            "" if format.is_empty() => 0,
            digits => digits.parse().ok().filter(|n| *n < 20).ok_or_else(hint)?,
        };
        match (name, format) {
            ("index", _) => Ok(Part::Number { from: 0, digits }),
            ("number", _) => Ok(Part::Number { from: 1, digits }),
            ("stream", "") => Ok(Part::Stream),
            ("label", "") => Ok(Part::Label),
            _ => Err(hint()),
        }
    }
}

impl Template {
    /// The address of a stream.
    pub(crate) fn of_stream(&self, stream: &str) -> String {
        self.of_channel(stream, 0, "")
    }

    /// The address of a channel.
    pub(crate) fn of_channel(&self, stream: &str, index: usize, label: &str) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Stream => clean(stream),
            Part::Label => clean(label),
            Part::Number { from, digits } => format!("{:01$}", index + from, digits),
        });
        let mut address: String = parts.collect();
        address.truncate(LONGEST);
        address
    }

    /// The address of a stream that is not alone: with its name behind this one, or before
    /// it if this is a channel's, unless the name is in it already.
    pub(crate) fn beside(&self) -> Template {
        let mut parts = self.parts.clone();
        if !parts.contains(&Part::Stream) {
            let name = [Part::Text("/".into()), Part::Stream];
            let at = if self.names_channel() { 0 } else { parts.len() };
            parts.splice(at..at, name);
        }
        Template { parts }
    }

    /// Whether it tells channels apart.
    pub(crate) fn names_channel(&self) -> bool {
        let is = |part: &Part| matches!(part, Part::Label | Part::Number { .. });
        self.parts.iter().any(is)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Stream => f.write_str("{stream}"),
            Part::Label => f.write_str("{label}"),
            Part::Number { from, digits } => {
                let name = if *from == 0 { "index" } else { "number" };
                match digits {
                    0 => write!(f, "{{{name}}}"),
                    _ => write!(f, "{{{name}:0{digits}}}"),
                }
            }
        })
    }
}

/// Text that stands in an address as it is.
fn fixed(text: &str) -> Result<String, String> {
    match text.chars().find(|c| *c != '/' && !is_plain(*c)) {
        None => Ok(text.into()),
        Some(c) => Err(format!("{c:?} cannot be in an OSC address")),
    }
}

/// A name with what no part of an address may hold as '_'.
fn clean(name: &str) -> String {
    let text: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    if text.is_empty() { "_".into() } else { text }
}

/// Whether a part of an address may hold it: receivers read the others as patterns.
fn is_plain(c: char) -> bool {
    c.is_ascii_graphic() && !"#*,/?[]{}".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str) -> String {
        template.parse::<Template>().unwrap().of_channel("Rhythm Data/1", 7, "AUX*1")
    }

    #[test]
    fn places_are_filled_with_what_an_address_may_hold() {
        assert_eq!(fill("/data"), "/data");
        assert_eq!(fill("/data/{stream}"), "/data/Rhythm_Data_1");
        assert_eq!(fill("/ch{index:03}"), "/ch007");
        assert_eq!(fill("/ch{index:03d}/x"), "/ch007/x");
        assert_eq!(fill("/ch{number}"), "/ch8");
        assert_eq!(fill("/{stream}/{label}"), "/Rhythm_Data_1/AUX_1");
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_hint() {
        for wrong in ["data", "", "/a b", "/a{", "/{what}", "/{index:x}", "/a*", "/ü"] {
            assert!(wrong.parse::<Template>().is_err(), "{wrong}");
        }
        let error = "/{name}".parse::<Template>().unwrap_err();
        assert!(error.contains("{stream}"), "{error}");
    }

    #[test]
    fn a_template_is_shown_as_it_was_written() {
        for text in ["/data", "/ch{index:03}", "/{stream}/{label}/{number}"] {
            assert_eq!(text.parse::<Template>().unwrap().to_string(), text);
        }
    }
}
