//! Which streams are recorded: by the queries of the command line, and what remote control
//! chose since.

/// A stream as LabRecorder writes it: `NAME` or `NAME (HOST)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) host: Option<String>,
}

impl Wanted {
    pub(crate) fn parse(text: &str) -> Wanted {
        let text = text.trim();
        let split = text.strip_suffix(')').and_then(|rest| rest.rsplit_once('('));
        match split {
            Some((name, host))
                if name.ends_with(char::is_whitespace)
                    && !name.trim().is_empty()
                    && !host.is_empty()
                    && !host.contains(char::is_whitespace) =>
            {
                Wanted { name: name.trim_end().into(), host: Some(host.into()) }
            }
            _ => Wanted { name: text.into(), host: None },
        }
    }

    pub(crate) fn is(&self, name: &str, host: &str) -> bool {
        self.name == name && self.host.as_deref().is_none_or(|wanted| wanted == host)
    }

    /// The predicate that liblsl finds it by.
    pub(crate) fn query(&self) -> String {
        let name = format!("name={}", quoted(&self.name));
        match &self.host {
            Some(host) => format!("{name} and hostname={}", quoted(host)),
            None => name,
        }
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{} ({host})", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// A query as a predicate, if it is none; a pattern of names cannot be one.
fn predicate(query: &str) -> Option<String> {
    if query.contains(['=', '<', '>', '\'']) || query.contains("-with(") {
        return Some(query.into());
    }
    match query.contains(['*', '?', '[']) {
        true => None,
        false => Some(Wanted::parse(query).query()),
    }
}

/// A text in XPath, which knows no escapes.
fn quoted(text: &str) -> String {
    match (text.contains('\''), text.contains('"')) {
        (false, _) => format!("'{text}'"),
        (true, false) => format!("\"{text}\""),
        (true, true) => {
            let parts: Vec<_> =
                text.split('\'').map(|part| format!("'{part}'")).collect();
            format!("concat({})", parts.join(", \"'\", "))
        }
    }
}

/// What is selected.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choice {
    /// Of the command line; none for all streams.
    queries: Vec<String>,
    base: Base,
    with: Vec<Wanted>,
    without: Vec<Wanted>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Base {
    /// Nobody has said anything yet: the queries.
    #[default]
    Unsaid,
    All,
    None,
}

impl Choice {
    pub(crate) fn new(queries: Vec<String>) -> Choice {
        Choice { queries, ..Choice::default() }
    }

    pub(crate) fn all(&mut self) {
        *self =
            Choice { queries: std::mem::take(&mut self.queries), ..Choice::default() };
        self.base = Base::All;
    }

    pub(crate) fn none(&mut self) {
        self.all();
        self.base = Base::None;
    }

    /// Adds a stream; the first that is named is the only one until others are.
    pub(crate) fn select(&mut self, wanted: Wanted) {
        self.without.retain(|other| *other != wanted);
        if self.base == Base::Unsaid {
            self.base = Base::None;
        }
        if self.base == Base::None && !self.with.contains(&wanted) {
            self.with.push(wanted);
        }
    }

    pub(crate) fn deselect(&mut self, wanted: Wanted) -> Result<(), String> {
        if let Some(pattern) =
            self.queries.iter().find(|query| predicate(query).is_none())
        {
            return Err(format!(
                "what the pattern {pattern} finds cannot be narrowed; send select none, and \
                 select NAME for each"
            ));
        }
        self.with.retain(|other| *other != wanted);
        if self.base == Base::Unsaid {
            self.base = Base::All;
        }
        if !self.without.contains(&wanted) {
            self.without.push(wanted);
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.base == Base::None && self.with.is_empty()
    }

    /// Predicates of which one must hold; none for all streams there are.
    pub(crate) fn predicates(&self) -> Vec<String> {
        let mut chosen = match self.base {
            Base::None => self.with.iter().map(Wanted::query).collect(),
            _ => self.queries.clone(),
        };
        let not = |wanted: &Wanted| format!("not({})", wanted.query());
        let without: Vec<_> = self.without.iter().map(not).collect();
        let without = without.join(" and ");
        match (without.is_empty(), chosen.is_empty()) {
            (true, _) => {}
            (false, true) => chosen.push(without),
            (false, false) => {
                for query in &mut chosen {
                    let whole = predicate(query).unwrap_or_else(|| query.clone());
                    *query = format!("({whole}) and {without}");
                }
            }
        }
        chosen
    }

    /// The choice in words.
    pub(crate) fn words(&self) -> String {
        let names = |all: &[Wanted]| {
            all.iter().map(Wanted::to_string).collect::<Vec<_>>().join(", ")
        };
        let base = match self.base {
            Base::None if self.with.is_empty() => "none".into(),
            Base::None => names(&self.with),
            _ if self.queries.is_empty() => "all".into(),
            _ => self.queries.join(" or "),
        };
        match self.without.is_empty() {
            true => base,
            false => format!("{base} without {}", names(&self.without)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(text: &str) -> Wanted {
        Wanted::parse(text)
    }

    #[test]
    fn a_stream_is_a_name_with_or_without_a_host() {
        let query = |text: &str| wanted(text).query();
        assert_eq!(query("EEG"), "name='EEG'");
        assert_eq!(query(" Bio Semi (PC-1) "), "name='Bio Semi' and hostname='PC-1'");
        assert_eq!(query("EEG (left hand)"), "name='EEG (left hand)'");
        assert_eq!(query("f(x)"), "name='f(x)'");
        assert_eq!(query("(PC)"), "name='(PC)'");
        assert_eq!(query("it's"), "name=\"it's\"");
        assert_eq!(query("a'b\"c"), "name=concat('a', \"'\", 'b\"c')");
        assert!(wanted("EEG").is("EEG", "any") && !wanted("EEG (a)").is("EEG", "b"));
        assert_eq!(wanted("Bio Semi (PC-1)").to_string(), "Bio Semi (PC-1)");
    }

    #[test]
    fn start_after_a_choice_records_that_and_no_more() {
        let mut choice = Choice::new(Vec::new());
        assert!(choice.predicates().is_empty() && choice.words() == "all");
        choice.select(wanted("A"));
        choice.select(wanted("B (h)"));
        choice.select(wanted("A"));
        assert_eq!(choice.predicates(), ["name='A'", "name='B' and hostname='h'"]);
        choice.deselect(wanted("A")).unwrap();
        assert_eq!(choice.words(), "B (h) without A");
        assert_eq!(
            choice.predicates(),
            ["(name='B' and hostname='h') and not(name='A')"]
        );
        choice.none();
        assert!(choice.is_empty() && choice.words() == "none");
        choice.all();
        assert!(!choice.is_empty() && choice.predicates().is_empty());
        choice.deselect(wanted("A")).unwrap();
        choice.deselect(wanted("B")).unwrap();
        assert_eq!(choice.predicates(), ["not(name='A') and not(name='B')"]);
        choice.select(wanted("B"));
        assert_eq!(choice.predicates(), ["not(name='A')"]);
    }

    #[test]
    fn queries_of_the_command_line_are_what_all_means() {
        let mut choice = Choice::new(vec!["type='EEG'".into(), "type='Pressure'".into()]);
        assert_eq!(choice.words(), "type='EEG' or type='Pressure'");
        choice.deselect(wanted("A")).unwrap();
        assert_eq!(choice.predicates()[0], "(type='EEG') and not(name='A')");
        let mut named = Choice::new(vec!["Glove".into()]);
        named.deselect(wanted("A (h)")).unwrap();
        let all = "(name='Glove') and not(name='A' and hostname='h')";
        assert_eq!(named.predicates(), [all]);
        assert!(Choice::new(vec!["G*".into()]).deselect(wanted("A")).is_err());
        choice.none();
        choice.select(wanted("C"));
        assert_eq!(choice.predicates(), ["name='C'"]);
        choice.all();
        assert_eq!(choice.predicates().len(), 2);
    }
}
