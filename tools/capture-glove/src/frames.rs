//! What the parser finds, as samples, gaps and events of a stream.

use anyhow::Result;
use libframe::payload::{Reason, Value};
use libframe::schema::Device;
use libframe::tool::{Feed, Missing};

use crate::fault::Fault;
use crate::glove::{Glove, side};
use crate::packet::{Frame, Item, ON_LINE, Parser};

/// A glove's stream. It is opened at the first frame, which tells what it is of.
#[derive(Debug)]
pub(crate) struct Frames {
    glove: Glove,
    /// Where the glove is plugged in.
    device: Device,
    stamp: &'static str,
    /// The stream's number; 0 before it is opened.
    pub(crate) stream: u16,
    /// What it was last described as.
    described: Option<(u8, Device)>,
    /// Capture time of the last frame, and the usual time between two.
    last: Option<i64>,
    interval: Option<i64>,
    /// What the next frame's gap will be for.
    fault: Option<Fault>,
    /// Up to this byte of the line, what waited may have found no room to wait.
    crowded: u64,
    /// The glove was away.
    away: bool,
    /// It was silent, which is no loss.
    was_silent: bool,
    pub(crate) taken: u64,
}

impl Frames {
    pub(crate) fn new(glove: Glove, device: Device, stamp: &'static str) -> Frames {
        Frames {
            glove,
            device,
            stamp,
            stream: 0,
            described: None,
            last: None,
            interval: None,
            fault: None,
            crowded: 0,
            away: false,
            was_silent: false,
            taken: 0,
        }
    }

    /// Sends all that the parser has, each frame stamped by where it ended.
    pub(crate) fn take(
        &mut self,
        parser: &mut Parser,
        feed: &mut Feed,
        mut stamp: impl FnMut(u64) -> i64,
    ) -> Result<()> {
        while let Some(item) = parser.pull() {
            match item {
                Item::Frame(frame) => self.frame(&frame, stamp(frame.end), feed)?,
                Item::Fault(fault) => self.fault = Some(fault),
                Item::Retracted => {
                    let doubtful = feed.next(self.stream).saturating_sub(1) as i64;
                    feed.event(self.stream, "doubtful", Value::Int(doubtful))?;
                }
                Item::Version(text) => {
                    let text = String::from_utf8_lossy(&text).into_owned();
                    feed.event(self.stream, "version", Value::Text(text))?;
                }
            }
        }
        Ok(())
    }

    fn frame(&mut self, frame: &Frame<'_>, time: i64, feed: &mut Feed) -> Result<()> {
        if self.described.as_ref().is_none_or(|(body, _)| *body != frame.body) {
            self.describe(frame.body, feed)?;
        }
        if std::mem::take(&mut self.away) {
            self.missing(None, Reason::Device, Some(time), "unplugged", feed)?;
        }
        match self.fault.take() {
            Some(mut fault) => {
                fault.more |= frame.end <= self.crowded;
                self.tell(fault, Some(time), feed)?;
            }
            None => self.measure(time),
        }
        self.was_silent = false;
        self.last = Some(time);
        self.taken += 1;
        feed.sample(self.stream, time, None, frame.bytes)
    }

    fn describe(&mut self, body: u8, feed: &mut Feed) -> Result<()> {
        let stream = self.glove.describe(body, self.device.clone(), self.stamp)?;
        let (side, sensors) = (side(body), stream.sensors.len());
        feed.tell(&format!("packets of type {body} ({side}), {sensors} sensors"));
        match self.stream {
            0 => self.stream = feed.open(&stream)?,
            number => feed.describe(number, stream)?,
        }
        self.described = Some((body, self.device.clone()));
        Ok(())
    }

    /// Takes note that up to this byte so much had waited that there may have been more. Then
    /// the bytes may look like one broken frame and have a hundred cut out of them.
    pub(crate) fn be_crowded(&mut self, until: u64) {
        self.crowded = until + 2 * ON_LINE;
    }

    /// Takes note that nothing came for a while.
    pub(crate) fn be_silent(&mut self) {
        self.was_silent = true;
    }

    /// Takes note that the glove is gone.
    pub(crate) fn be_away(&mut self) {
        self.away = self.stream != 0;
    }

    /// Takes note of where it came back. Another one is described anew.
    pub(crate) fn be_back(&mut self, device: Device) {
        if self.device != device {
            self.device = device;
            self.described = None;
        }
    }

    /// Says that bytes were lost before they could be read.
    pub(crate) fn overflow(&mut self, detail: &str, feed: &mut Feed) -> Result<()> {
        self.missing(None, Reason::Transport, None, detail, feed)
    }

    /// Tells what is still to be told, when nothing more will come.
    pub(crate) fn finish(&mut self, feed: &mut Feed) -> Result<()> {
        if std::mem::take(&mut self.away) {
            self.missing(None, Reason::Device, None, "unplugged", feed)?;
        }
        match self.fault.take() {
            Some(fault) => self.tell(fault, None, feed),
            None => Ok(()),
        }
    }

    /// A gap for the frames that are certainly lost, and one if there may be more.
    fn tell(&mut self, fault: Fault, to: Option<i64>, feed: &mut Feed) -> Result<()> {
        let detail = fault.to_string();
        feed.tell(&detail);
        let more = fault.more || self.took_long(fault.lost, to);
        if fault.lost > 0 {
            self.missing(Some(fault.lost), Reason::Parser, to, &detail, feed)?;
        }
        if more {
            self.missing(None, Reason::Parser, to, &detail, feed)?;
        }
        Ok(())
    }

    /// Whether more time passed than so many lost frames account for.
    fn took_long(&self, lost: u64, to: Option<i64>) -> bool {
        let (Some(from), Some(to), Some(interval)) = (self.last, to, self.interval)
        else {
            return false;
        };
        let expected = interval.saturating_mul(lost as i64 + 1);
        !self.was_silent && to - from > expected + 2 * interval
    }

    /// Learns the usual time between frames, from those with nothing between them.
    fn measure(&mut self, time: i64) {
        let Some(last) = self.last.filter(|_| !self.was_silent) else { return };
        let (interval, before) = (time - last, self.interval);
        self.interval =
            Some(before.map_or(interval, |before| before + (interval - before) / 64));
    }

    fn missing(
        &self,
        count: Option<u64>,
        reason: Reason,
        to: Option<i64>,
        detail: &str,
        feed: &mut Feed,
    ) -> Result<()> {
        if self.stream == 0 {
            return Ok(());
        }
        let from = self.last;
        let missing = Missing { count, reason, from, to, detail, ..Missing::default() };
        feed.missing(self.stream, &missing)
    }
}
