//! The sessions of all inputs as one.

use std::collections::{BTreeMap, BTreeSet};

use libframe::payload::{Session, Stage};

/// Stages that a SESSION can hold, less the one that is this tool.
const MAX_STAGES: usize = 255;
/// What a SESSION can hold of what users said about it.
const MAX_META: usize = 1024;

/// Those sessions, and what they are together.
pub(crate) struct Union {
    parts: Vec<Part>,
    /// This tool's own: its id, its stage, and what its user says about the session.
    own: Session,
}

/// A session of an input.
struct Part {
    input: usize,
    tag: u32,
    /// What goes in front of a key that several have with different values.
    label: String,
    meta: BTreeMap<String, String>,
    stages: Vec<Stage>,
    /// Where its stages begin in the common list.
    base: usize,
}

impl Union {
    pub(crate) fn new(own: Session) -> Union {
        Union { parts: Vec::new(), own }
    }

    /// Learns of a session of an input; returns whether that is news.
    pub(crate) fn learn(
        &mut self,
        input: usize,
        tag: u32,
        label: &str,
        session: &Session,
    ) -> bool {
        let of_input = self.parts.iter().filter(|part| part.input == input).count();
        let full = self.parts.len() > MAX_STAGES;
        match self.parts.iter_mut().find(|part| (part.input, part.tag) == (input, tag)) {
            Some(part) if part.meta == session.meta && part.stages == session.stages => {
                return false;
            }
            Some(part) => {
                part.meta.clone_from(&session.meta);
                part.stages.clone_from(&session.stages);
            }
            // Not even their stages could all be named.
            None if full => return false,
            None => {
                let more = || format!("{label}.{}", of_input + 1);
                let label = if of_input == 0 { label.into() } else { more() };
                let (meta, stages) = (session.meta.clone(), session.stages.clone());
                let part = Part { input, tag, label, meta, stages, base: 0 };
                // In the order of the inputs, whichever was first to say something.
                let at = self.parts.partition_point(|other| other.input <= input);
                self.parts.insert(at, part);
            }
        }
        self.place_stages();
        true
    }

    /// Gives the stages of each session their place. Sessions that came through the same
    /// processes share it.
    fn place_stages(&mut self) {
        let mut next = 0;
        for at in 0..self.parts.len() {
            let (before, rest) = self.parts.split_at_mut(at);
            let part = &mut rest[0];
            match before.iter().find(|other| other.stages == part.stages) {
                Some(same) => part.base = same.base,
                None => {
                    part.base = next;
                    next = (next + part.stages.len()).min(MAX_STAGES);
                }
            }
        }
    }

    /// Where the stages of a session of an input begin.
    pub(crate) fn base(&self, input: usize, tag: u32) -> usize {
        let mut parts = self.parts.iter();
        let part = parts.find(|part| (part.input, part.tag) == (input, tag));
        part.map_or(0, |part| part.base)
    }

    /// The place of this tool's own stage: after all others.
    pub(crate) fn place(&self) -> usize {
        self.stages().count()
    }

    /// The stages of all sessions, each once.
    fn stages(&self) -> impl Iterator<Item = &Stage> {
        let mut next = 0;
        let new = self.parts.iter().filter(move |part| {
            let new = part.base == next && !part.stages.is_empty();
            next += if new { part.stages.len() } else { 0 };
            new
        });
        new.flat_map(|part| &part.stages).take(MAX_STAGES)
    }

    /// What users said about the sessions. A key with different values stands for none of
    /// them, so each then has its input's name in front.
    fn meta(&self) -> BTreeMap<String, String> {
        let mut keys = BTreeMap::<&str, BTreeSet<&str>>::new();
        for (key, value) in self.parts.iter().flat_map(|part| &part.meta) {
            keys.entry(key).or_default().insert(value);
        }
        let mut all = BTreeMap::new();
        for part in &self.parts {
            for (key, value) in &part.meta {
                let alike = keys.get(key.as_str()).is_none_or(|values| values.len() == 1);
                let label = &part.label;
                let key = if alike { key.clone() } else { format!("{label}.{key}") };
                if all.len() < MAX_META - self.own.meta.len().min(MAX_META) {
                    all.insert(key, value.clone());
                }
            }
        }
        all
    }

    /// All of them as one, without host and start.
    pub(crate) fn session(&self) -> Session {
        let mut meta = self.meta();
        meta.extend(self.own.meta.clone());
        let stages = self.stages().chain(&self.own.stages).cloned().collect();
        Session { meta, stages, ..self.own.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(stages: &[&str], meta: &[(&str, &str)]) -> Session {
        let stage = |name: &&str| Stage { name: (*name).into(), ..Stage::default() };
        let meta = meta.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        Session {
            stages: stages.iter().map(stage).collect(),
            meta: meta.collect(),
            ..Session::default()
        }
    }

    fn union(of: &[(usize, Session)]) -> Union {
        let mut union = Union::new(session(&["merge"], &[("by", "me")]));
        for (tag, (input, session)) in (0..).zip(of) {
            union.learn(*input, tag, &format!("in{input}"), session);
        }
        union
    }

    #[test]
    fn stages_follow_each_other_in_the_order_of_inputs_and_their_places_with_them() {
        let (a, b) = (session(&["x", "y"], &[]), session(&["z"], &[]));
        let union = union(&[(1, b), (0, a.clone()), (2, a)]);
        let names: Vec<_> = union.session().stages.into_iter().map(|s| s.name).collect();
        assert_eq!(names, ["x", "y", "z", "merge"]);
        let bases = [(0, 1), (1, 0), (2, 2)].map(|(input, tag)| union.base(input, tag));
        assert_eq!((bases, union.place()), ([0, 2, 0], 3));
    }

    #[test]
    fn what_users_say_differently_gets_the_inputs_name_in_front() {
        let a = session(&[], &[("subject", "7"), ("room", "2")]);
        let b = session(&[], &[("subject", "8"), ("room", "2")]);
        let meta = union(&[(0, a), (1, b.clone()), (1, b)]).session().meta;
        let meta: Vec<_> = meta.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let expected = [
            ("by", "me"),
            ("in0.subject", "7"),
            ("in1.2.subject", "8"),
            ("in1.subject", "8"),
            ("room", "2"),
        ];
        assert_eq!(meta, expected);
    }

    #[test]
    fn hundreds_of_inputs_make_no_session_that_readers_refuse() {
        use libframe::payload::Payload as _;
        let one = |n: usize| {
            let (a, b) = (format!("a{n}"), format!("b{n}"));
            let meta = [(a.as_str(), "x"), (&b, "x"), ("u", &a), ("v", &a), ("w", &a)];
            (n, session(&[&a, &b], &meta))
        };
        let union = union(&(0..600).map(one).collect::<Vec<_>>());
        let session = Session::from_bytes(&union.session().to_bytes()).unwrap();
        assert_eq!((session.stages.len(), session.meta.len()), (256, 1024));
        assert_eq!(session.stages[255].name, "merge");
    }

    #[test]
    fn only_what_is_new_is_news() {
        let mut union = union(&[(0, session(&["x"], &[]))]);
        assert!(!union.learn(0, 0, "in0", &session(&["x"], &[])));
        assert!(union.learn(0, 0, "in0", &session(&["x", "y"], &[])));
        assert_eq!(union.place(), 2);
    }
}
