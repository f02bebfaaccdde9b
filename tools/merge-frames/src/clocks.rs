//! The clocks that the inputs' times are of, and how far they are apart.
//!
//! Times of one boot of one host are compared as they are. Others are compared by what
//! both hosts' wall clocks showed.

use libframe::payload::Session;

/// Clocks that are told apart; a session has no more streams either.
const MAX_BOOTS: usize = 4096;

/// The clocks of all inputs.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    boots: Vec<Boot>,
    /// The one whose times are those of the merged session.
    reference: Option<usize>,
}

/// A clock: CLOCK_MONOTONIC of one boot of a host.
#[derive(Debug)]
struct Boot {
    id: String,
    host: String,
    /// Wall clock minus this clock, ns, as it was first known.
    first: i64,
    /// The same, as it is known now.
    wall: i64,
}

impl Clocks {
    /// The clock of a session.
    pub(crate) fn of(&mut self, session: &Session) -> usize {
        let same = |boot: &Boot| !boot.id.is_empty() && boot.id == session.boot_id;
        if let Some(at) = self.boots.iter().position(same) {
            return at;
        }
        if self.boots.len() == MAX_BOOTS {
            return MAX_BOOTS - 1;
        }
        let wall = session.start_realtime.saturating_sub(session.start_monotonic);
        let (id, host) = (session.boot_id.clone(), session.host.clone());
        self.boots.push(Boot { id, host, first: wall, wall });
        self.boots.len() - 1
    }

    /// Says whose times those of the merged session are.
    pub(crate) fn refer_to(&mut self, clock: usize) {
        self.reference = Some(clock);
    }

    /// Whether the merged session has a clock.
    pub(crate) fn has_reference(&self) -> bool {
        self.reference.is_some()
    }

    /// Whether this is not the clock of the merged session.
    pub(crate) fn is_foreign(&self, clock: usize) -> bool {
        self.reference.is_some_and(|reference| reference != clock)
    }

    /// What the wall clock shows now, minus this clock.
    pub(crate) fn wall(&self, clock: usize) -> i64 {
        self.boots[clock].wall
    }

    /// Learns what the wall clock showed. Of the reference that matters only to others.
    pub(crate) fn learn(&mut self, clock: usize, wall: i64) {
        self.boots[clock].wall = wall;
    }

    /// Whose clock it is.
    pub(crate) fn host(&self, clock: usize) -> &str {
        &self.boots[clock].host
    }

    /// This clock minus that of the merged session, ns.
    pub(crate) fn shift(&self, clock: usize) -> i64 {
        match self.reference {
            Some(reference) if reference != clock => {
                self.boots[reference].wall.saturating_sub(self.boots[clock].wall)
            }
            _ => 0,
        }
    }

    /// What makes times of this clock comparable with all others. It is near the wall
    /// clock, so that it holds before it is known whose clock the merged session has, and
    /// fixed for the reference: its wall clock being set must not turn its order round.
    pub(crate) fn key(&self, clock: usize) -> i64 {
        match self.reference {
            Some(reference) => {
                self.boots[reference].first.saturating_sub(self.shift(clock))
            }
            None => self.boots[clock].first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(boot: &str, realtime: i64, monotonic: i64) -> Session {
        Session {
            boot_id: boot.into(),
            start_realtime: realtime,
            start_monotonic: monotonic,
            ..Session::default()
        }
    }

    #[test]
    fn one_boot_is_one_clock_and_unknown_ones_are_all_different() {
        let mut clocks = Clocks::default();
        let boots = ["a", "b", "a", "", ""];
        let of = boots.map(|boot| clocks.of(&session(boot, 1000, 0)));
        assert_eq!(of, [0, 1, 0, 2, 3]);
    }

    #[test]
    fn a_host_is_put_on_the_clock_of_another_by_both_wall_clocks() {
        let mut clocks = Clocks::default();
        let here = clocks.of(&session("a", 1000, 100));
        let there = clocks.of(&session("b", 1000, 7));
        // The same instant is 100 here and 7 there, before and after it is known whose
        // clock counts.
        assert_eq!(100 + clocks.key(here), 7 + clocks.key(there));
        clocks.refer_to(here);
        assert_eq!(100 + clocks.key(here), 7 + clocks.key(there));
        assert_eq!((clocks.shift(here), clocks.shift(there)), (0, -93));
        // That host's clock is slower by 2 than was thought.
        clocks.learn(there, 995);
        assert_eq!((clocks.shift(there), 100 + clocks.key(here)), (-95, 1000));
        assert_eq!(5 + clocks.key(there), 1000);
        // Here the wall clock is set, which changes nothing about what was here before.
        clocks.learn(here, 901);
        assert_eq!((100 + clocks.key(here), clocks.shift(there)), (1000, -94));
    }
}
