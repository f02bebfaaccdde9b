//! The thread that looks which streams there are.

use std::sync::mpsc::{SyncSender, TryRecvError, sync_channel};
use std::thread::Builder;

use anyhow::Result;
use libframe::clock::{Clock, SECOND};
use libframe_lsl::network::Network;
use libframe_lsl::resolver::{Found, Resolver};

use crate::choice::Choice;
use crate::news::{Desk, News};

/// How often to tell what was found.
const PAUSE: i64 = SECOND / 4;
/// Who does not answer for so long is not there.
pub(crate) const FORGET: i64 = 5 * SECOND;

/// All searches that a choice needs.
pub(crate) struct Search {
    choice: Choice,
    resolver: Resolver,
    clock: Clock,
}

impl Search {
    pub(crate) fn new(choice: &Choice) -> Result<Search> {
        let clock = Clock::system();
        let predicates = choice.predicates().iter().cloned().map(Some);
        let mut queries = vec![None];
        queries.extend(predicates);
        let resolver = Resolver::new(Network::configured(), &queries, &clock)?;
        Ok(Search { choice: choice.clone(), resolver, clock })
    }

    /// Goes on for so long.
    pub(crate) fn go_on(&mut self, time: i64) -> Result<()> {
        Ok(self.resolver.search(self.clock.now() + time)?)
    }

    /// The wanted streams that are there, and what is wrong with others.
    pub(crate) fn results(&mut self) -> (Vec<Found>, Vec<String>) {
        let since = self.clock.now() - FORGET;
        let choice = &self.choice;
        // The first query is for all streams, of which only some may be wanted.
        let wanted = |(found, queries): &(&Found, u64)| {
            queries & !1 != 0 || choice.wants(&found.info)
        };
        let found = self.resolver.found(since).filter(wanted);
        let found = found.map(|(found, _)| found.clone()).collect();
        (found, self.resolver.troubles())
    }
}

/// The thread's owner; it ends soon after this is dropped.
pub(crate) struct Scout {
    _stop: SyncSender<()>,
}

impl Scout {
    pub(crate) fn start(choice: &Choice, desk: Desk) -> Result<Scout> {
        let (stop, stopped) = sync_channel::<()>(1);
        let mut search = Search::new(choice)?;
        Builder::new().name("resolver".into()).spawn(move || {
            while stopped.try_recv() == Err(TryRecvError::Empty) {
                let news = match search.go_on(PAUSE) {
                    Ok(()) => {
                        let (found, troubles) = search.results();
                        News::Streams(found, troubles)
                    }
                    Err(err) => News::NoSearch(err.to_string()),
                };
                if !desk.tell(news) {
                    break;
                }
            }
        })?;
        Ok(Scout { _stop: stop })
    }
}
