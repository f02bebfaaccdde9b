//! Our own records, published elsewhere: passed on as the sessions they are.
//!
//! This is a filter and not a source, since the sessions, their times and clocks are those
//! of the host that captured them. Only the way they come by is another than stdin.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read};
use std::os::fd::BorrowedFd;

use anyhow::Result;
use libframe::catalog::Catalog;
use libframe::clock::{Clock, SECOND};
use libframe::decoder::{Decoder, Item};
use libframe::payload::Reason;
use libframe::tool::{Filter, Origin, Output, Plan, Remark, Supply};
use libframe::wire::{Kind, MAGIC, Record};
use libframe_zmtp::Parts;

use crate::Args;
use crate::line::{Happening, Line};
use crate::trouble::{Trouble, Troubles};

/// Bytes that may wait to be read: then the lines must wait.
const FULL: usize = 4 << 20;
/// How soon to look whether there is room again.
const SOON: i64 = SECOND / 1000;

/// The tool, where it passes on records.
pub(crate) struct Hop;

impl Filter for Hop {
    type Args = Args;

    fn plan(args: &Args, plan: &mut Plan) -> Result<()> {
        args.need(plan);
        plan.output = None;
        plan.notes.push("what comes is what the publisher's session holds".into());
        Ok(())
    }

    fn origin(args: &Args) -> Result<Origin> {
        let clock = Clock::system();
        let options = args.options();
        let line = |endpoint: &_| {
            Line::new(Clone::clone(endpoint), options.clone(), clock.now())
        };
        let lines = args.endpoints.iter().map(line).collect::<Result<Vec<_>>>()?;
        let names = args.endpoints.iter().map(ToString::to_string).collect();
        let records = Records {
            lines,
            names,
            clock,
            bytes: Vec::new(),
            start: 0,
            sessions: Sessions::default(),
        };
        Ok(Origin::supply("ZeroMQ", Box::new(records)).losing(Reason::Transport))
    }

    fn open(_args: Args) -> Result<Hop> {
        Ok(Hop)
    }

    fn record(
        &mut self,
        record: Record<'_>,
        _catalog: &Catalog,
        out: &mut impl Output,
    ) -> Result<()> {
        out.send(record)
    }
}

/// Records as they come from all publishers.
struct Records {
    lines: Vec<Line>,
    names: Vec<String>,
    clock: Clock,
    /// Records not read yet, from `start` on.
    bytes: Vec<u8>,
    start: usize,
    sessions: Sessions,
}

/// Which session of each publisher has begun and not ended, and what was unusable.
#[derive(Default)]
struct Sessions {
    open: HashMap<usize, u32>,
    any: bool,
    troubles: Troubles,
    /// Connections that came and went.
    lost: HashMap<usize, u64>,
}

impl Records {
    fn waiting(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Takes what is at hand.
    fn turn(&mut self) -> io::Result<()> {
        for (at, line) in self.lines.iter_mut().enumerate() {
            let (bytes, sessions) = (&mut self.bytes, &mut self.sessions);
            line.turn(&self.clock, &mut |happening| {
                match happening {
                    Happening::Message(parts, _) => sessions.take(at, parts, bytes),
                    Happening::Lost(why) => {
                        *sessions.lost.entry(at).or_default() += 1;
                        if why.is_protocol() {
                            sessions.troubles.count(at, Trouble::Peer(why.to_string()));
                        }
                    }
                    _ => {}
                }
                Ok(())
            })
            .map_err(|err| io::Error::other(format!("{err:#}")))?;
        }
        Ok(())
    }

    /// Whether all that were there have ended what they began, and are gone.
    fn is_over(&self) -> bool {
        let Sessions { open, any, .. } = &self.sessions;
        *any && open.is_empty() && !self.lines.iter().any(Line::is_connected)
    }
}

impl Sessions {
    /// Takes a message, which is one record.
    fn take(&mut self, line: usize, parts: Parts<'_>, bytes: &mut Vec<u8>) {
        // A topic may stand before it.
        let Some(part) = parts.iter().last().filter(|part| part.starts_with(&MAGIC))
        else {
            self.troubles.count(line, Trouble::Record("not framepipe's"));
            return;
        };
        let mut decoder = Decoder::default();
        decoder.push(part);
        decoder.close();
        let mut found = 0;
        while let Some(item) = decoder.pull() {
            let Item::Record(record) = item else {
                self.troubles.count(line, Trouble::Record("damaged"));
                continue;
            };
            let session = record.header.session;
            match record.header.kind {
                Kind::END if self.open.get(&line) == Some(&session) => {
                    self.open.remove(&line);
                }
                kind if kind.has_samples() || kind == Kind::STREAM => {
                    self.open.insert(line, session);
                }
                _ => {}
            }
            self.any = true;
            found += record.wire_len();
        }
        if found == part.len() {
            bytes.extend_from_slice(part);
        }
    }
}

impl Read for Records {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.waiting() < FULL {
            self.turn()?;
        }
        if self.waiting() == 0 {
            return if self.is_over() {
                Ok(0)
            } else {
                Err(ErrorKind::WouldBlock.into())
            };
        }
        let n = self.waiting().min(buf.len());
        buf[..n].copy_from_slice(&self.bytes[self.start..self.start + n]);
        self.start += n;
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
        Ok(n)
    }
}

impl Supply for Records {
    fn due(&mut self) -> io::Result<i64> {
        let now = self.clock.now();
        if self.waiting() > 0 || self.lines.iter().any(Line::is_busy) {
            return Ok(now);
        }
        let next = self.lines.iter().map(Line::deadline).min();
        Ok(next.unwrap_or(i64::MAX).max(now + SOON))
    }

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.lines.iter().flat_map(Line::fds).collect()
    }

    fn remarks(&mut self) -> Vec<Remark> {
        let troubles =
            self.sessions.troubles.all().map(|(line, text)| (line, text, true));
        let lost = self.sessions.lost.iter();
        let lost =
            lost.map(|(line, n)| (*line, format!("disconnected, times: {n}"), false));
        let all = troubles.chain(lost);
        let text = |(line, text, always)| {
            let name: &String = &self.names[line];
            Remark { text: format!("{name}: {text}"), always }
        };
        all.map(text).collect()
    }
}
