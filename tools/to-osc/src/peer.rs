//! Whether the receiver is there, and what is said of it: once when it is away for longer
//! than a moment, and once when it is back.

use std::io::{self, ErrorKind};

use anyhow::{Result, bail};
use libframe::clock::SECOND;
use libframe::tool::Voice;
use rustix::io::Errno;

use crate::destination::Destination;

/// A receiver that is away for less is not spoken of: it may be starting.
const MOMENT: i64 = SECOND;

/// What is known of the receiver.
#[derive(Debug)]
pub(crate) struct Peer {
    name: String,
    /// Whether what cannot be sent waits for it.
    waits: bool,
    /// Whether its absence ends the tool.
    required: bool,
    voice: Voice,
    /// Since when it is away, when that was noticed last, and what the kernel said.
    away: Option<(i64, i64, String)>,
    told: bool,
    /// Refusals without a datagram that went out between them.
    in_a_row: u32,
    refused: u64,
}

impl Peer {
    pub(crate) fn new(destination: &Destination, required: bool) -> Peer {
        let (name, voice) = (destination.to_string(), Voice::default());
        let waits = !destination.has_datagrams();
        Peer {
            name,
            waits,
            required,
            voice,
            away: None,
            told: false,
            in_a_row: 0,
            refused: 0,
        }
    }

    pub(crate) fn set_voice(&mut self, voice: Voice) {
        self.voice = voice;
    }

    /// An attempt failed.
    pub(crate) fn refuses(&mut self, now: i64, err: &io::Error) -> Result<()> {
        let why = plain(err);
        if self.required {
            bail!(
                "{}: {why}; start the receiver first, or leave out --require-receiver",
                self.name
            );
        }
        self.in_a_row += 1;
        self.refused += 1;
        match &mut self.away {
            Some((_, last, _)) => *last = now,
            None => {
                let end = if self.waits || self.is_absence(err) {
                    "trying on until somebody listens"
                } else {
                    "what is sent now is lost"
                };
                self.away = Some((now, now, format!("{why}; {end}")));
            }
        }
        Ok(())
    }

    /// A datagram went out. That says nothing of whether it was taken, but ends a row.
    pub(crate) fn took(&mut self, now: i64) {
        self.in_a_row = 0;
        // Refusals come back at once; where none did for a moment, it is there.
        if self.away.as_ref().is_some_and(|(_, last, _)| now - last > MOMENT) {
            self.is_back();
        }
    }

    /// A connection stands.
    pub(crate) fn answers(&mut self) {
        self.is_back();
        self.voice.detail(&format!("{}: connected", self.name));
    }

    fn is_back(&mut self) {
        self.away = None;
        self.in_a_row = 0;
        if std::mem::take(&mut self.told) {
            self.voice.tell(&format!("{}: the receiver is there now", self.name));
        }
    }

    /// Whether the kernel refused twice for one datagram, so that this one is the reason.
    pub(crate) fn was_refused_twice(&self) -> bool {
        self.in_a_row >= 2
    }

    /// Whether it means that nobody is there to take it, which is the sender's business as
    /// little as whether who is there listens.
    pub(crate) fn is_absence(&self, err: &io::Error) -> bool {
        let away =
            [ErrorKind::ConnectionRefused, ErrorKind::NotFound, ErrorKind::NotConnected];
        away.contains(&err.kind())
            || err.raw_os_error() == Some(Errno::CONNRESET.raw_os_error())
            || err.raw_os_error() == Some(Errno::DESTADDRREQ.raw_os_error())
    }

    /// When [`Peer::tick`] is to be called.
    pub(crate) fn deadline(&self) -> Option<i64> {
        let (since, last, _) = self.away.as_ref().filter(|_| !self.told)?;
        // One refusal may be of a receiver that is there by now.
        (last - since >= MOMENT / 2).then_some(since.saturating_add(MOMENT))
    }

    /// Says that it is away, once that is sure.
    pub(crate) fn tick(&mut self, now: i64) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        let Some((.., why)) = &self.away else { return };
        self.told = true;
        self.voice.tell(&format!("{}: {why}", self.name));
    }

    /// Tells what was sent, to who wants to know more.
    pub(crate) fn tell_totals(&self, messages: u64, bytes: u64, samples: u64) {
        let refused = match self.refused {
            0 => String::new(),
            n => format!(", refused: {n}"),
        };
        let name = &self.name;
        self.voice.detail(&format!(
            "{name}: sent {samples} samples in {messages} messages, {bytes} bytes{refused}"
        ));
    }
}

/// An error without the number of the system's, in lower case.
fn plain(err: &io::Error) -> String {
    let text = err.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}
