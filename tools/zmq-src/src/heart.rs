//! The sign of life that the plugin expects of its clients, and what it answers.

use std::io;
use std::os::fd::BorrowedFd;

use libframe::clock::SECOND;
use libframe_zmtp::{Answer, Endpoint, Limits, Request};

/// How often. The plugin shows a client as dead after 5 s.
const PERIOD: i64 = 2 * SECOND;
/// So many without an answer, and the plugin counts as gone.
const PATIENCE: u32 = 2;
/// What an answer may be.
const LIMITS: Limits = Limits { message: 64 << 10, parts: 8 };
/// What the plugin answers, to a heartbeat, to an event, and to what it cannot read.
const ANSWERS: [&[u8]; 3] = [
    b"heartbeat received",
    b"message correctly parsed",
    b"JSON message could not be read",
];

/// Who we say we are.
#[derive(Clone, Debug)]
pub(crate) struct Greeting(Vec<u8>);

impl Greeting {
    pub(crate) fn new(application: &str, uuid: &str) -> Greeting {
        let json = serde_json::json!({
            "application": application,
            "uuid": uuid,
            "type": "heartbeat",
        });
        Greeting(json.to_string().into_bytes())
    }
}

/// Asks for a sign of life, again and again.
#[derive(Debug)]
pub(crate) struct Heart {
    request: Request,
    greeting: Greeting,
    next: i64,
    unanswered: u32,
    /// Whether it beats; `None` until that is known.
    beats: Option<bool>,
}

impl Heart {
    /// Of the plugin whose second port this is.
    pub(crate) fn new(
        endpoint: Endpoint,
        greeting: Greeting,
        now: i64,
    ) -> io::Result<Heart> {
        let request = Request::new(endpoint, LIMITS)?;
        Ok(Heart { request, greeting, next: now, unanswered: 0, beats: None })
    }

    /// Whether the plugin answered last time.
    pub(crate) fn beats(&self) -> bool {
        self.beats == Some(true)
    }

    /// Asks when it is time. Tells when the answers begin and when they stop.
    pub(crate) fn turn(&mut self, now: i64) -> io::Result<Option<bool>> {
        let before = self.beats;
        if now >= self.next {
            self.next = now + PERIOD;
            self.unanswered += u32::from(self.request.is_waiting());
            self.request.ask(&self.greeting.0);
        }
        self.request.tick(now)?;
        while let Some(answer) = self.request.next()? {
            if let Answer::Text(_) = answer {
                (self.unanswered, self.beats) = (0, Some(true));
            }
        }
        if self.unanswered >= PATIENCE {
            self.beats = Some(false);
        }
        Ok(self.beats.filter(|_| self.beats != before))
    }

    /// Whether an answer has come that only the plugin gives.
    fn is_found(&mut self, now: i64) -> io::Result<bool> {
        if now >= self.next {
            self.next = i64::MAX;
            self.request.ask(&self.greeting.0);
        }
        self.request.tick(now)?;
        while let Some(answer) = self.request.next()? {
            if let Answer::Text(text) = answer
                && ANSWERS.iter().any(|known| text.starts_with(known))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.request.fd()
    }

    pub(crate) fn deadline(&self) -> i64 {
        self.next.min(self.request.deadline())
    }
}

/// Looks for a plugin whose ports were taken when it started: then it has moved on by two.
#[derive(Debug)]
pub(crate) struct Search {
    /// Data ports, and who is asked whether they are the plugin's.
    places: Vec<(Endpoint, Heart)>,
    until: i64,
}

impl Search {
    /// Asks all the plugins that there may be at so many pairs of ports behind `base`.
    pub(crate) fn new(
        base: &Endpoint,
        pairs: u16,
        except: impl Fn(&Endpoint) -> bool,
        greeting: &Greeting,
        now: i64,
    ) -> io::Result<Search> {
        let mut places = Vec::new();
        for pair in 0..=i32::from(pairs) {
            let data = base.neighbour(2 * pair);
            let pair = data.zip(base.neighbour(2 * pair + 1));
            if let Some((data, heart)) = pair.filter(|(data, _)| !except(data)) {
                places.push((data, Heart::new(heart, greeting.clone(), now)?));
            }
        }
        Ok(Search { places, until: now + PERIOD })
    }

    /// Where it is, once it has answered.
    pub(crate) fn turn(&mut self, now: i64) -> io::Result<Option<Endpoint>> {
        for (data, heart) in &mut self.places {
            if heart.is_found(now)? {
                return Ok(Some(data.clone()));
            }
        }
        Ok(None)
    }

    pub(crate) fn is_over(&self, now: i64) -> bool {
        now >= self.until
    }

    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.places.iter().map(|(_, heart)| heart.fd())
    }

    pub(crate) fn deadline(&self) -> i64 {
        let deadlines = self.places.iter().map(|(_, heart)| heart.deadline());
        deadlines.min().unwrap_or(i64::MAX).min(self.until)
    }
}
