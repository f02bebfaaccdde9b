//! The streams of all inputs: which number and name each has in the merged session.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use libframe::ledger::MAX_STREAMS;
use libframe::payload::Payload as _;
use libframe::schema::Stream;
use libframe::wire::Record;

/// A stream of an input.
#[derive(Debug, Default)]
pub(crate) struct Route {
    pub(crate) tag: u32,
    pub(crate) stream: u16,
    /// Its number in the merged session.
    pub(crate) number: u16,
    /// Its name in the input, and in the merged session.
    name: Option<(String, String)>,
    /// The payload that the name was read from.
    crc: u32,
    /// The last CLOCK that was sent of it: its offset and time.
    pub(crate) clock: Option<(i64, i64)>,
}

/// The streams of one input that have not ended.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// By session and number.
    all: Vec<Route>,
    /// Where the last look-up ended: records of one stream come in runs.
    at: usize,
}

/// Names and numbers that are taken.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// By which input.
    taken: BTreeMap<String, usize>,
    /// Names that several inputs have, and so nobody has alone.
    shared: BTreeSet<String>,
    /// Streams so far.
    streams: u16,
}

impl Routes {
    /// The place of a stream, given a number if it is new.
    #[inline]
    pub(crate) fn find(
        &mut self,
        tag: u32,
        stream: u16,
        names: &mut Names,
    ) -> Result<usize> {
        let known = |route: &Route| (route.tag, route.stream) == (tag, stream);
        if !self.all.get(self.at).is_some_and(known) {
            let key = |route: &Route| (route.tag, route.stream);
            self.at = match self.all.binary_search_by_key(&(tag, stream), key) {
                Ok(at) => at,
                Err(at) => {
                    let number = names.number()?;
                    let new = Route { tag, stream, number, ..Route::default() };
                    self.all.insert(at, new);
                    at
                }
            };
        }
        Ok(self.at)
    }

    #[inline]
    pub(crate) fn get(&mut self, at: usize) -> &mut Route {
        &mut self.all[at]
    }

    /// The streams of a session.
    pub(crate) fn of(&self, tag: u32) -> std::ops::Range<usize> {
        let from = self.all.partition_point(|route| route.tag < tag);
        from..self.all.partition_point(|route| route.tag <= tag)
    }

    /// Forgets the streams of a session that has ended.
    pub(crate) fn forget(&mut self, tag: u32) {
        self.all.retain(|route| route.tag != tag);
    }
}

impl Route {
    /// The payload of its announcement, with the name that it has in the merged session.
    /// `None` if that is the same.
    pub(crate) fn announcement(
        &mut self,
        record: &Record<'_>,
        input: (usize, &str),
        names: &mut Names,
    ) -> Option<Vec<u8>> {
        let known = self.name.as_ref().filter(|_| self.crc == record.payload_crc());
        if known.is_some_and(|(name, given)| name == given) {
            return None;
        }
        // What cannot be read is the user's.
        let mut stream = Stream::from_bytes(record.payload).ok()?;
        let given = self.rename(&stream.name, input, names);
        self.crc = record.payload_crc();
        if given == stream.name {
            return None;
        }
        stream.name = given;
        Some(stream.to_bytes())
    }

    fn rename(&mut self, name: &str, input: (usize, &str), names: &mut Names) -> String {
        if let Some((old, given)) = &self.name
            && old == name
        {
            return given.clone();
        }
        if let Some((_, given)) = self.name.take() {
            names.taken.remove(&given);
        }
        let given = names.give(name, input);
        self.name = Some((name.into(), given.clone()));
        given
    }
}

impl Names {
    /// Takes note that an input has a stream of this name, before any names are given.
    pub(crate) fn announce(&mut self, name: String, input: usize) {
        match self.taken.get(&name) {
            Some(other) if *other != input => {
                self.shared.insert(name);
            }
            Some(_) => {}
            None => {
                self.taken.insert(name, input);
            }
        }
    }

    /// All that could be known has been announced.
    pub(crate) fn settle(&mut self) {
        self.taken.clear();
    }

    fn number(&mut self) -> Result<u16> {
        // Of which 0 is the session itself.
        if usize::from(self.streams) + 1 >= MAX_STREAMS {
            bail!(
                "more than {} streams do not fit in one session; merge fewer inputs",
                MAX_STREAMS - 1
            );
        }
        self.streams += 1;
        Ok(self.streams)
    }

    /// A name that no other stream has.
    fn give(&mut self, name: &str, (input, label): (usize, &str)) -> String {
        let prefixed = || format!("{label}/{name}");
        let base = match self.taken.get(name) {
            _ if self.shared.contains(name) => prefixed(),
            Some(owner) if *owner != input => prefixed(),
            _ => name.to_owned(),
        };
        let more = (2u32..).map(|n| format!("{base}.{n}"));
        let mut all = std::iter::once(base.clone()).chain(more);
        let given = all.find(|name| !self.taken.contains_key(name)).unwrap_or(base);
        self.taken.insert(given.clone(), input);
        given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_where_they_are_unique() {
        let mut names = Names::default();
        for (name, input) in [("a", 0), ("b", 0), ("b", 0), ("a", 1), ("c", 1)] {
            names.announce(name.into(), input);
        }
        names.settle();
        let (left, right) = ((0, "left"), (1, "right"));
        let given = [("a", left), ("b", left), ("a", right), ("c", right), ("c", left)];
        let given = given.map(|(name, input)| names.give(name, input));
        assert_eq!(given, ["left/a", "b", "right/a", "c", "left/c"]);
    }

    #[test]
    fn a_stream_of_a_later_session_is_counted() {
        let mut names = Names::default();
        let given = [(0, "l"), (0, "l"), (1, "r"), (1, "r"), (0, "l")]
            .map(|input| names.give("a", input));
        assert_eq!(given, ["a", "a.2", "r/a", "r/a.2", "a.3"]);
        // Even where a label looks like a name.
        assert_eq!(names.give("r/a", (2, "x")), "x/r/a");
    }

    #[test]
    fn streams_keep_their_numbers_until_their_session_is_over() {
        let (mut routes, mut names) = (Routes::default(), Names::default());
        let mut number = |routes: &mut Routes, tag, stream| {
            let at = routes.find(tag, stream, &mut names).unwrap();
            routes.get(at).number
        };
        let first =
            [(9, 1), (9, 7), (2, 1), (9, 1)].map(|(t, s)| number(&mut routes, t, s));
        assert_eq!(first, [1, 2, 3, 1]);
        assert_eq!(routes.of(9).len(), 2);
        routes.forget(9);
        assert_eq!([(2, 1), (9, 1)].map(|(t, s)| number(&mut routes, t, s)), [3, 4]);
    }

    #[test]
    fn there_is_a_limit_that_says_what_to_do() {
        let (mut routes, mut names) = (Routes::default(), Names::default());
        let failed = (1..5000).find(|n| routes.find(7, *n, &mut names).is_err());
        assert_eq!(failed, Some(4096));
    }
}
