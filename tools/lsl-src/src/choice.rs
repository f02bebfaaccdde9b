//! Which streams are wanted, and which must be there.

use anyhow::Result;
use libframe::tool::{Patterns, Usage};
use libframe_lsl::info::Info;
use libframe_lsl::resolver::MAX_QUERIES;

/// What the user wants of all streams.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    names: Vec<Name>,
    predicates: Vec<String>,
    required: Vec<Name>,
}

/// A name as users write it: exact, or a pattern, with or without the host.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) text: String,
    pattern: Option<Patterns>,
}

impl Name {
    fn new(text: &str) -> Name {
        // What is no pattern may still be a name.
        let pattern = Patterns::new("QUERY", &[text.to_owned()]).ok();
        Name { text: text.into(), pattern }
    }

    pub(crate) fn is_of(&self, info: &Info) -> bool {
        let with_host = full_name(info);
        let is = |name: &str| {
            name == self.text
                || self.pattern.as_ref().is_some_and(|pattern| pattern.hold_word(name))
        };
        is(&info.name) || is(&with_host)
    }
}

/// A stream's name as LabRecorder writes it.
pub(crate) fn full_name(info: &Info) -> String {
    format!("{} ({})", info.name, info.hostname)
}

impl Choice {
    pub(crate) fn new(queries: &[String], required: &[String]) -> Result<Choice> {
        let (predicates, names): (Vec<_>, Vec<_>) =
            queries.iter().partition(|query| is_predicate(query));
        if let Some(word) = required.iter().find(|word| is_predicate(word)) {
            let hint = format!(
                "--require {word}: a name is needed here, and this is a predicate"
            );
            return Err(Usage(hint).into());
        }
        if queries.iter().chain(required).any(String::is_empty) {
            return Err(
                Usage("an empty name; leave it out for all streams".into()).into()
            );
        }
        if let Some(query) = predicates.iter().find(|query| !is_whole(query)) {
            let hint =
                format!("{query:?}: quotes and brackets of a predicate must close");
            return Err(Usage(hint).into());
        }
        if predicates.len() >= MAX_QUERIES {
            return Err(Usage(format!("over {} predicates", MAX_QUERIES - 1)).into());
        }
        Ok(Choice {
            names: names.into_iter().map(|name| Name::new(name)).collect(),
            predicates: predicates.into_iter().cloned().collect(),
            required: required.iter().map(|name| Name::new(name)).collect(),
        })
    }

    /// What liblsl has to look for.
    pub(crate) fn predicates(&self) -> &[String] {
        &self.predicates
    }

    /// Whether a stream is wanted that no predicate has found.
    pub(crate) fn wants(&self, info: &Info) -> bool {
        let is_all = self.names.is_empty() && self.predicates.is_empty();
        is_all || self.names.iter().chain(&self.required).any(|name| name.is_of(info))
    }

    /// Those that must be there.
    pub(crate) fn required(&self) -> &[Name] {
        &self.required
    }

    /// What was asked for, in words.
    pub(crate) fn words(&self) -> String {
        let names = self.names.iter().map(|name| &name.text);
        let words: Vec<_> =
            names.chain(&self.predicates).map(|w| format!("'{w}'")).collect();
        words.join(" or ")
    }
}

/// Whether a query is XPath. Names may have all characters too, but hardly these.
fn is_predicate(query: &str) -> bool {
    let is_call = query.split_once('(').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-')
    });
    is_call || query.contains(['=', '<', '>', '\''])
}

/// Whether a predicate can be one: outlets say nothing of those that cannot.
fn is_whole(query: &str) -> bool {
    let (mut quote, mut depth) = (None, 0);
    for char in query.chars() {
        match (quote, char) {
            (_, char) if char.is_control() => return false,
            (Some(open), char) => quote = Some(open).filter(|open| *open != char),
            (None, '\'' | '"') => quote = Some(char),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return false;
        }
    }
    quote.is_none() && depth == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str, host: &str) -> Info {
        Info { name: name.into(), hostname: host.into(), ..Info::default() }
    }

    fn choice(queries: &[&str], required: &[&str]) -> Choice {
        let words =
            |words: &[&str]| words.iter().map(|w| w.to_string()).collect::<Vec<_>>();
        Choice::new(&words(queries), &words(required)).unwrap()
    }

    #[test]
    fn names_patterns_and_predicates_are_told_apart() {
        for name in
            ["EEG", "Glove*", "EEG (LAB-PC)", "My stream [1]", "a-b_c.d", "Ünï (x)"]
        {
            assert!(!is_predicate(name), "{name}");
        }
        for query in ["type='EEG'", "starts-with(name,'G')", "nominal_srate>5", "not(x)"]
        {
            assert!(is_predicate(query), "{query}");
        }
    }

    #[test]
    fn streams_are_chosen_by_name_pattern_and_host() {
        let some = choice(&["EEG", "Glove*", "Cam (b)", "x [1]"], &[]);
        assert!(some.wants(&info("EEG", "a")) && some.wants(&info("GloveLeft", "a")));
        assert!(some.wants(&info("Cam", "b")) && !some.wants(&info("Cam", "a")));
        assert!(some.wants(&info("x [1]", "a")) && !some.wants(&info("EEG2", "a")));
        assert!(choice(&[], &["EEG"]).wants(&info("else", "a")));
        let both = choice(&["type='EEG'"], &["Glove"]);
        assert!(both.wants(&info("Glove", "a")) && !both.wants(&info("else", "a")));
        assert!(Choice::new(&[], &["type='EEG'".into()]).is_err());
        for wrong in ["", "type='EEG", "(type='EEG'", "type='a')", "a='b'\r\nx"] {
            assert!(Choice::new(&[wrong.into()], &[]).is_err(), "{wrong}");
        }
        assert!(Choice::new(&["name='a(b'".into()], &[]).is_ok());
    }
}
