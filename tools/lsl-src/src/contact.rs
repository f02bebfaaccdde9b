//! The thread beside each outlet: connects, asks for the description, and then for the time
//! again and again.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::Builder;
use std::time::Duration;

use anyhow::Result;
use libframe::clock::Clock;
use libframe_lsl::inlet::{self, Inlet};
use libframe_lsl::peer_clock::PeerClock;
use libframe_lsl::resolver::Found;

use crate::news::{Connected, Desk, News, Outlet};

/// How long an outlet may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon to ask again for a time that nobody has told yet.
const SOON: Duration = Duration::from_millis(500);

/// The thread's owner; it ends soon after this is dropped. Nobody waits for it, since it may
/// be waiting for an outlet.
#[derive(Debug)]
pub(crate) struct Contact {
    _stop: SyncSender<()>,
}

/// How to be in contact.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Samples that the outlet is to keep.
    pub(crate) buffer: u32,
    pub(crate) clock_interval: Duration,
}

impl Contact {
    pub(crate) fn start(
        found: &Found,
        outlet: Outlet,
        terms: Terms,
        desk: Desk,
    ) -> Result<Contact> {
        let (stop, stopped) = sync_channel::<()>(1);
        let found = found.clone();
        let name = format!("lsl-{}", found.info.name);
        let name: String = name.chars().filter(|char| *char != '\0').collect();
        Builder::new().name(name).spawn(move || {
            match connect(&found, &outlet, terms) {
                Ok(connected) => {
                    if desk.tell(News::Connected(Box::new(connected))) {
                        keep_time(&found, &outlet, terms, &desk, &stopped);
                    }
                }
                Err(why) => {
                    desk.tell(News::Failed(outlet, why));
                }
            }
        })?;
        Ok(Contact { _stop: stop })
    }
}

fn connect(found: &Found, outlet: &Outlet, terms: Terms) -> Result<Connected, String> {
    // First the samples: what comes while the description is asked for, waits there.
    let name = &found.info.name;
    let inlet = Inlet::open(found, terms.buffer, PATIENCE);
    let inlet = inlet.map_err(|err| format!("{name}: {}: {err}", found.data))?;
    let (info, trouble) = match inlet::describe(found, PATIENCE) {
        Ok(info) => (info, None),
        Err(err) => (found.info.clone(), Some(err.to_string())),
    };
    Ok(Connected { outlet: outlet.clone(), info, trouble, inlet })
}

fn keep_time(
    found: &Found,
    outlet: &Outlet,
    terms: Terms,
    desk: &Desk,
    stopped: &Receiver<()>,
) {
    let clock = Clock::system();
    let mut peer = PeerClock::new(found.service, &clock).ok();
    let mut pause = SOON;
    loop {
        let offset = peer.as_mut().and_then(PeerClock::measure);
        if offset.is_some() {
            pause = terms.clock_interval;
        }
        if !desk.tell(News::Clock(outlet.clone(), offset)) {
            return;
        }
        if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        pause = (pause * 2).min(terms.clock_interval.max(SOON));
    }
}
