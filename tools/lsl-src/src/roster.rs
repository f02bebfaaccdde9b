//! Which outlet belongs to which stream: outlets come and go, a stream stays.

use std::collections::HashMap;

use libframe::clock::SECOND;
use libframe_lsl::info::Info;

use crate::scout::FORGET;

/// So long an outlet that is like another one waits until it is clear whether that is gone.
const DOUBT: i64 = FORGET + SECOND;

/// What an outlet is known by when it comes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    name: String,
    kind: String,
    source_id: String,
    host: String,
}

/// What is known of a stream when an outlet comes that may be its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It has no connection.
    Down,
    /// It has one, to an outlet that answers, or not any more; and whether a sample came
    /// over it just now.
    Up { answers: bool, is_alive: bool },
}

/// What to do with an outlet that no stream has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on with the stream at this place.
    Goes(usize),
    /// It is a stream of its own.
    New,
    /// That is not clear yet.
    Wait,
}

/// When outlets were first seen that are not clear.
#[derive(Debug, Default)]
pub(crate) struct Newcomers(HashMap<String, i64>);

impl Identity {
    pub(crate) fn of(info: &Info) -> Identity {
        Identity {
            name: info.name.clone(),
            kind: info.kind.clone(),
            source_id: info.source_id.clone(),
            host: info.hostname.clone(),
        }
    }

    /// Whether it is the same, but for the host it is on.
    fn has_moved(&self, to: &Identity) -> bool {
        !self.source_id.is_empty()
            && (&self.name, &self.kind, &self.source_id)
                == (&to.name, &to.kind, &to.source_id)
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}

impl Newcomers {
    /// Forgets those that are gone.
    pub(crate) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.0.retain(|outlet, _| is_there(outlet));
    }

    /// Decides about an outlet.
    pub(crate) fn judge<'a>(
        &mut self,
        outlet: &str,
        identity: &Identity,
        streams: impl Iterator<Item = (&'a Identity, State)> + Clone,
        is_start: bool,
        now: i64,
    ) -> Verdict {
        let same =
            || streams.clone().enumerate().filter(|(_, (known, _))| *known == identity);
        let free = |state: State| !matches!(state, State::Up { answers: true, .. });
        if let Some((at, _)) = same().find(|(_, (_, state))| free(*state)) {
            return Verdict::Goes(at);
        }
        if same().next().is_none() {
            let mut others = streams.clone().enumerate();
            let moved = others
                .find(|(_, (known, state))| known.has_moved(identity) && free(*state));
            return moved.map_or(Verdict::New, |(at, _)| Verdict::Goes(at));
        }
        // All streams like it have outlets that answered a moment ago. One of them may be the
        // same before its end.
        let since = *self.0.entry(outlet.to_owned()).or_insert(now);
        let all_live = same()
            .all(|(_, (_, state))| matches!(state, State::Up { is_alive: true, .. }));
        match is_start || now - since >= DOUBT || now > since && all_live {
            true => Verdict::New,
            false => Verdict::Wait,
        }
    }
}

/// A name that no other stream has.
pub(crate) fn unique(
    name: &str,
    host: &str,
    is_taken: impl Fn(&str) -> bool,
    has_host: bool,
) -> String {
    let name = if name.is_empty() { "stream" } else { name };
    if !is_taken(name) {
        return name.to_owned();
    }
    let with_host = format!("{name} ({host})");
    if !has_host && !is_taken(&with_host) {
        return with_host;
    }
    let mut numbered = (2u32..).map(|n| format!("{name}#{n}"));
    numbered.find(|name| !is_taken(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOWN: State = State::Down;
    const LIVE: State = State::Up { answers: true, is_alive: true };
    const QUIET: State = State::Up { answers: true, is_alive: false };
    const LOST: State = State::Up { answers: false, is_alive: false };

    fn identity(name: &str, source_id: &str, host: &str) -> Identity {
        Identity {
            name: name.into(),
            kind: "t".into(),
            source_id: source_id.into(),
            host: host.into(),
        }
    }

    fn judge(streams: &[(Identity, State)], new: &Identity, is_start: bool) -> Verdict {
        let streams = streams.iter().map(|(identity, state)| (identity, *state));
        Newcomers::default().judge("u", new, streams, is_start, 0)
    }

    #[test]
    fn an_outlet_goes_on_with_the_stream_that_has_lost_its_own() {
        let (a, b) = (identity("x", "s", "a"), identity("x", "s", "b"));
        for state in [DOWN, LOST] {
            let both = [(b.clone(), state), (a.clone(), state)];
            assert_eq!(judge(&both, &a, false), Verdict::Goes(1));
            assert_eq!(judge(&both[..1], &a, false), Verdict::Goes(0), "it moved");
        }
        assert_eq!(judge(&[(b.clone(), LIVE)], &a, false), Verdict::New);
        let other = identity("x", "s2", "a");
        assert_eq!(judge(&[(a.clone(), DOWN)], &other, false), Verdict::New);
        let (none, elsewhere) = (identity("x", "", "a"), identity("x", "", "b"));
        assert_eq!(judge(&[(none.clone(), DOWN)], &elsewhere, false), Verdict::New);
        assert_eq!(judge(&[(none.clone(), DOWN)], &none, false), Verdict::Goes(0));
    }

    #[test]
    fn two_that_are_alike_are_two_once_that_is_clear() {
        let a = identity("x", "s", "a");
        assert_eq!(judge(&[(a.clone(), QUIET)], &a, true), Verdict::New);
        let mut newcomers = Newcomers::default();
        let mut at =
            |state, now| newcomers.judge("u", &a, [(&a, state)].into_iter(), false, now);
        assert_eq!(at(LIVE, 5), Verdict::Wait);
        assert_eq!(at(QUIET, 6), Verdict::Wait);
        assert_eq!(at(LIVE, 7), Verdict::New);
        assert_eq!(at(QUIET, 5 + DOUBT), Verdict::New);
        assert_eq!(at(DOWN, 6), Verdict::Goes(0));
    }

    #[test]
    fn names_are_unique() {
        let taken = ["x", "x (b)", "x#2"];
        let of = |name, host, has_host| {
            unique(name, host, |name| taken.contains(&name), has_host)
        };
        assert_eq!(of("y", "a", false), "y");
        assert_eq!(of("x", "c", false), "x (c)");
        assert_eq!(of("x", "b", false), "x#3");
        assert_eq!(of("x", "a", true), "x#3");
        assert_eq!(of("", "a", true), "stream");
    }
}
