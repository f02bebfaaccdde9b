//! A glove on a line, as long as it lasts: read, silent, unplugged and back again.

use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use libframe::clock::{Clock, SECOND};
use libframe::payload::Value;
use libframe::schema::Device;
use libframe::tool::{Feed, Wake};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::arrival::{Arrivals, Backlog};
use crate::candidates::System;
use crate::frames::Frames;
use crate::glove::Glove;
use crate::packet::Parser;
use crate::port::{AUTO, Port};

/// As much as a kernel keeps for us.
const BUFFER: usize = 64 << 10;
/// A read of this much is more than comes in a moment: there may be more behind it.
const LONG: usize = 1024;
/// What a terminal holds at least before it loses the rest.
const CROWD: usize = 4095;
/// How long the kernel takes to hand over the next piece, ns.
const PIECE: i64 = SECOND / 400;
/// How long a backlog may take to read: a fast line never has nothing for us.
const CATCH_UP: i64 = SECOND / 50;
/// So many bytes without a packet are not a glove's.
const STRANGE: u64 = 64 << 10;
/// The nice value of the thread that reads.
const PRIORITY: i32 = -10;
/// How often to look whether the glove is back.
const LOOK: i64 = SECOND / 5;

/// What to do when the glove is unplugged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnUnplug {
    /// End, as a failure
    Quit,
    /// Go on when it is back
    Wait,
}

/// How to listen.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) port: PathBuf,
    pub(crate) baud: u32,
    pub(crate) on_unplug: OnUnplug,
    pub(crate) silence: i64,
}

/// A glove on a line.
#[derive(Debug)]
pub(crate) struct Line {
    options: Options,
    system: System,
    /// `None` while it is unplugged.
    port: Option<Port>,
    /// The serial number of its adapter, by which `auto` knows it again.
    serial: String,
    arrivals: Arrivals,
    parser: Parser,
    frames: Frames,
    buffer: Box<[u8]>,
    /// When something came last.
    heard: i64,
    is_silent: bool,
}

impl Line {
    pub(crate) fn open(options: Options, glove: Glove, feed: &Feed) -> Result<Line> {
        let system = System::default();
        let (port, device) = plug_in(&options, &system, None)?;
        feed.tell(&format!("{} at {} baud", port.node.display(), options.baud));
        let now = feed.clock().now();
        Ok(Line {
            arrivals: Arrivals::new(options.baud, now),
            options,
            system,
            port: Some(port),
            serial: device.serial.clone(),
            parser: Parser::default(),
            frames: Frames::new(glove, device, "arrival"),
            buffer: vec![0; BUFFER].into(),
            heard: now,
            is_silent: false,
        })
    }

    /// Listens until it is time to stop.
    pub(crate) fn listen(&mut self, feed: &mut Feed) -> Result<()> {
        // A kernel keeps less than a second of a glove's bytes, so on a busy machine this
        // thread comes first, if we may ask for that. It never runs long.
        rustix::process::setpriority_process(None, PRIORITY).unwrap_or_default();
        while feed.is_running() {
            if self.port.is_none() {
                self.look(feed)?;
                continue;
            }
            self.settle(feed)?;
            match self.wait(feed)? {
                Wake::Ready => self.read(feed)?,
                Wake::Time => self.fall_silent(feed)?,
                Wake::Stop => {}
            }
        }
        self.finish(feed)
    }

    fn wait(&self, feed: &Feed) -> Result<Wake> {
        let awake = self.options.silence > 0 && !self.is_silent;
        let until = awake.then(|| self.heard.saturating_add(self.options.silence));
        feed.wait(self.port.as_ref().map(Port::as_fd), until)
    }

    /// Gives what is complete if nothing is at hand that might follow it.
    fn settle(&mut self, feed: &mut Feed) -> Result<()> {
        let now = feed.clock().now();
        if self.has_more(0)? {
            return Ok(());
        }
        self.arrivals.was_empty(now);
        self.parser.settle();
        self.send(feed)
    }

    fn read(&mut self, feed: &mut Feed) -> Result<()> {
        let n = self.gather(feed.clock())?;
        let now = feed.clock().now();
        if n == 0 {
            return self.unplug(feed);
        }
        self.heard = now;
        if std::mem::take(&mut self.is_silent) {
            feed.event(self.frames.stream, "awake", Value::Nil)?;
        }
        if let Some(backlog) = self.arrivals.read(n, now) {
            self.tell(backlog, feed)?;
        }
        if n >= CROWD {
            self.frames.be_crowded(self.arrivals.total());
        }
        self.parser.push(&self.buffer[..n]);
        self.send(feed)?;
        if self.parser.is_lost(STRANGE) {
            let Options { port, baud, .. } = &self.options;
            bail!(
                "{}: {STRANGE} bytes and no packet among them: this is no glove, or its \
                 speed is not --baud {baud}",
                port.display()
            );
        }
        Ok(())
    }

    fn send(&mut self, feed: &mut Feed) -> Result<()> {
        let Line { parser, frames, arrivals, .. } = self;
        frames.take(parser, feed, |end| arrivals.stamp(end))
    }

    /// Reads what is there, all of it if that is much: only then is the age of its first
    /// byte known. A terminal hands out 4 KiB at a time, and keeps four times as much.
    fn gather(&mut self, clock: &Clock) -> Result<usize> {
        let mut n = self.read_into(0)?;
        let until = clock.now() + CATCH_UP;
        let is_long = n >= LONG;
        while is_long && n < BUFFER && clock.now() < until && self.has_more(PIECE)? {
            match self.read_into(n)? {
                // The line's end; the next read finds it again.
                0 => break,
                piece => n += piece,
            }
        }
        Ok(n)
    }

    fn read_into(&mut self, from: usize) -> Result<usize> {
        let Some(port) = &self.port else { return Ok(0) };
        port.read(&mut self.buffer[from..]).context("reading")
    }

    /// Whether there is something to read, now or within a time.
    fn has_more(&self, wait: i64) -> io::Result<bool> {
        let Some(port) = &self.port else { return Ok(false) };
        let mut fds = [PollFd::from_borrowed_fd(port.as_fd(), PollFlags::IN)];
        let wait = Timespec { tv_sec: wait / SECOND, tv_nsec: wait % SECOND };
        match poll(&mut fds, Some(&wait)) {
            Ok(n) => Ok(n > 0),
            Err(rustix::io::Errno::INTR) => Ok(true),
            Err(err) => Err(err.into()),
        }
    }

    fn tell(&mut self, backlog: Backlog, feed: &mut Feed) -> Result<()> {
        let Backlog { bytes, age, overflow } = backlog;
        let text = format!("{bytes} bytes, {} ms", age / 1_000_000);
        feed.tell(&format!("backlog: {text}"));
        feed.event(self.frames.stream, "backlog", Value::Text(text))?;
        match overflow {
            Some(expected) => {
                let detail =
                    format!("{bytes} bytes of {expected} were still there to read");
                self.frames.overflow(&detail, feed)
            }
            None => Ok(()),
        }
    }

    /// A glove that nobody touches falls asleep; that is no loss.
    fn fall_silent(&mut self, feed: &mut Feed) -> Result<()> {
        self.is_silent = true;
        self.arrivals.was_quiet(feed.clock().now());
        self.frames.be_silent();
        feed.tell(
            "silent; a glove sleeps when nobody touches it, and its button wakes it",
        );
        feed.event(self.frames.stream, "silent", Value::Nil)
    }

    fn unplug(&mut self, feed: &mut Feed) -> Result<()> {
        let Some(port) = self.port.take() else { return Ok(()) };
        let node = port.node.display().to_string();
        drop(port);
        self.parser.finish();
        self.send(feed)?;
        self.parser.reopen();
        feed.tell(&format!("{node}: unplugged"));
        feed.event(self.frames.stream, "unplugged", Value::Text(node.clone()))?;
        if self.options.on_unplug == OnUnplug::Quit {
            self.frames.finish(feed)?;
            let taken = self.frames.taken;
            bail!("{node}: unplugged after {taken} frames; --on-unplug wait would go on");
        }
        self.frames.be_away();
        Ok(())
    }

    /// Looks whether the glove is back. Whatever is in the way may be so for a moment only:
    /// a node is there before one may open it.
    fn look(&mut self, feed: &mut Feed) -> Result<()> {
        let serial = Some(self.serial.as_str()).filter(|serial| !serial.is_empty());
        let Ok((port, device)) = plug_in(&self.options, &self.system, serial) else {
            let again = feed.clock().now() + LOOK;
            feed.wait(None, Some(again))?;
            return Ok(());
        };
        let now = feed.clock().now();
        let node = port.node.display().to_string();
        feed.tell(&format!("{node}: plugged in again"));
        feed.event(self.frames.stream, "replugged", Value::Text(node))?;
        self.serial = device.serial.clone();
        self.frames.be_back(device);
        self.arrivals = Arrivals::new(self.options.baud, now);
        self.port = Some(port);
        (self.heard, self.is_silent) = (now, false);
        Ok(())
    }

    fn finish(&mut self, feed: &mut Feed) -> Result<()> {
        let late = self.parser.late();
        self.parser.finish();
        self.send(feed)?;
        self.frames.finish(feed)?;
        let (taken, left) = (self.frames.taken, self.parser.left());
        feed.tell(&format!(
            "{taken} frames; {late} bytes before the first packet, {left} after the last"
        ));
        Ok(())
    }
}

/// Opens the port, and tells what is plugged in there. `serial` is of the glove that was.
fn plug_in(
    options: &Options,
    system: &System,
    serial: Option<&str>,
) -> Result<(Port, Device)> {
    let path = match options.port.as_path() {
        auto if auto == Path::new(AUTO) => system.glove(serial)?.port,
        path => path.into(),
    };
    let port = Port::open(&path, options.baud, system)?;
    let usb = system.usb(&port.node).unwrap_or_default();
    let device = Device {
        serial: usb.serial,
        port: path.display().to_string(),
        ..Device::default()
    };
    Ok((port, device))
}
