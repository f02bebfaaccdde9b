//! The samples of an outlet.
//!
//! Not liblsl's inlet, but a connection of our own. That one drops the oldest samples when
//! its buffer is full, connects anew when its connection broke and, when it may not, throws
//! away what it holds, all without a word. Here every sample that has come is read, and the
//! end is where it is: that is what losses are told by.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use libframe::clock::Clock;
use rustix::net::sockopt;

use crate::element::MAX_XML;
use crate::info::{Info, InfoError};
use crate::resolver::Found;
use crate::wire::{self, Answer, Layout, PATTERNS, WireError};

/// What is read at once.
const CHUNK: usize = 64 << 10;
/// A host that does not answer for so long and so often is gone.
const KEEPALIVE: Duration = Duration::from_secs(5);
const KEEPALIVE_TRIES: u32 = 3;

/// Why there are no samples, or no more.
#[derive(Debug, thiserror::Error)]
pub enum InletError {
    /// The connection.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What came over it.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// It ended before it began.
    #[error("the outlet closed the connection")]
    Closed,
    /// It said too little for too long.
    #[error("the outlet does not answer")]
    Silent,
    /// The full description makes no sense.
    #[error(transparent)]
    Info(#[from] InfoError),
}

/// A connection to an outlet.
#[derive(Debug)]
pub struct Inlet {
    socket: TcpStream,
    layout: Layout,
    /// Seconds from a sample to one without a time.
    period: f64,
    last: f64,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

/// What reading brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// Bytes; there are hardly more.
    Some,
    /// As many bytes as there is room for; there may be more.
    Full,
    /// All that is there has been read.
    Nothing,
    /// The outlet has closed.
    End,
}

/// A sample, as long as the next one is not asked for.
#[derive(Debug)]
pub struct Sample<'a> {
    /// Its time in seconds of the outlet's clock.
    pub time: f64,
    /// Its numbers, little-endian, or its texts.
    pub values: &'a [u8],
}

impl Inlet {
    /// Connects. The outlet is to keep so many samples for us while we are busy.
    pub fn open(
        found: &Found,
        buffer: u32,
        patience: Duration,
    ) -> Result<Inlet, InletError> {
        let info = &found.info;
        let layout = Layout {
            format: info.format,
            channels: info.channel_count as usize,
            is_swapped: false,
        };
        let deadline = Deadline::after(patience);
        let socket = connect(found.data, &deadline)?;
        let mut inlet = Inlet {
            socket,
            layout,
            period: if info.rate > 0.0 { 1.0 / info.rate } else { 0.0 },
            last: 0.0,
            bytes: Vec::new(),
            start: 0,
            end: 0,
        };
        inlet.socket.write_all(wire::request(info, buffer).as_bytes())?;
        inlet.greet(&info.uid, &deadline)?;
        inlet.socket.set_nonblocking(true)?;
        Ok(inlet)
    }

    /// Reads up to where the samples begin.
    fn greet(&mut self, uid: &str, deadline: &Deadline) -> Result<(), InletError> {
        let answer = loop {
            match Answer::parse(&self.bytes[self.start..self.end], uid)? {
                Some(answer) => break answer,
                None => self.read_by(deadline)?,
            }
        };
        self.start += answer.len;
        self.layout.is_swapped = answer.is_swapped;
        for offset in PATTERNS {
            let place = loop {
                match self.layout.find(&self.bytes[self.start..self.end])? {
                    Some(place) => break place,
                    None => self.read_by(deadline)?,
                }
            };
            let values = self.start + place.start..self.start + place.end;
            let values = &mut self.bytes[values];
            self.layout.straighten(values);
            if !self.layout.is_pattern(&place, values, offset) {
                return Err(WireError::Pattern.into());
            }
            self.start += place.end;
        }
        Ok(())
    }

    fn read_by(&mut self, deadline: &Deadline) -> Result<(), InletError> {
        self.socket.set_read_timeout(Some(deadline.left()?))?;
        match self.fill()? {
            Filled::Some | Filled::Full => Ok(()),
            Filled::Nothing => deadline.left().map(drop),
            Filled::End => Err(InletError::Closed),
        }
    }

    /// Reads what has come, up to a limit.
    pub fn fill(&mut self) -> io::Result<Filled> {
        self.make_room();
        match self.socket.read(&mut self.bytes[self.end..]) {
            Ok(0) => Ok(Filled::End),
            Ok(count) => {
                self.end += count;
                let is_full = self.end == self.bytes.len();
                Ok(if is_full { Filled::Full } else { Filled::Some })
            }
            Err(err) if err.kind() == io::ErrorKind::Interrupted => Ok(Filled::Full),
            Err(err)
                if matches!(
                    err.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                Ok(Filled::Nothing)
            }
            Err(err) => Err(err),
        }
    }

    /// What is left of a sample goes to the front. A sample that does not fit gets twice the
    /// room; [`Layout::find`] refuses those over a limit.
    fn make_room(&mut self) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.bytes.len() - self.end < CHUNK / 2 {
            let len = (self.bytes.len() * 2).max(CHUNK);
            self.bytes.resize(len, 0);
        }
    }

    /// The next sample of what was read.
    #[inline]
    pub fn sample(&mut self) -> Result<Option<Sample<'_>>, WireError> {
        let Some(place) = self.layout.find(&self.bytes[self.start..self.end])? else {
            return Ok(None);
        };
        let begin = self.start;
        self.start += place.end;
        self.last = place.time.unwrap_or(self.last + self.period);
        let values = &mut self.bytes[begin + place.start..begin + place.end];
        self.layout.straighten(values);
        Ok(Some(Sample { time: self.last, values }))
    }

    /// How the samples lie.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Whether a part of a sample has come whose rest has not.
    pub fn has_rest(&self) -> bool {
        self.end > self.start
    }
}

impl AsFd for Inlet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The full description of a stream that was found.
pub fn describe(found: &Found, patience: Duration) -> Result<Info, InletError> {
    let deadline = Deadline::after(patience);
    let mut socket = connect(found.data, &deadline)?;
    socket.write_all(b"LSL:fullinfo\r\n")?;
    let (mut xml, mut chunk) = (Vec::new(), vec![0; CHUNK]);
    loop {
        socket.set_read_timeout(Some(deadline.left()?))?;
        match socket.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => xml.extend_from_slice(&chunk[..count]),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                return Err(InletError::Silent);
            }
            Err(err) => return Err(err.into()),
        }
        // One byte over the limit is what says so.
        if xml.len() > MAX_XML || is_whole(&xml) {
            break;
        }
    }
    let full = Info::from_xml(&String::from_utf8_lossy(&xml))?;
    // Only what could not stand in the short one is news.
    Ok(Info { desc: full.desc, ..found.info.clone() })
}

fn is_whole(xml: &[u8]) -> bool {
    xml.trim_ascii_end().ends_with(b"</info>")
}

fn connect(address: SocketAddr, deadline: &Deadline) -> Result<TcpStream, InletError> {
    let socket = TcpStream::connect_timeout(&address, deadline.left()?)?;
    socket.set_nodelay(true)?;
    socket.set_write_timeout(Some(deadline.left()?))?;
    // Without this, a host that was switched off would never be missed.
    sockopt::set_socket_keepalive(&socket, true).map_err(io::Error::from)?;
    sockopt::set_tcp_keepidle(&socket, KEEPALIVE).map_err(io::Error::from)?;
    sockopt::set_tcp_keepintvl(&socket, KEEPALIVE).map_err(io::Error::from)?;
    sockopt::set_tcp_keepcnt(&socket, KEEPALIVE_TRIES).map_err(io::Error::from)?;
    Ok(socket)
}

/// The end of all patience: whoever sends a byte now and then gets no more of it.
#[derive(Debug)]
struct Deadline {
    clock: Clock,
    until: i64,
}

impl Deadline {
    fn after(patience: Duration) -> Deadline {
        let clock = Clock::system();
        let until = clock.now().saturating_add(patience.as_nanos() as i64);
        Deadline { clock, until }
    }

    fn left(&self) -> Result<Duration, InletError> {
        let left = self.until - self.clock.now();
        match u64::try_from(left) {
            Ok(left @ 1..) => Ok(Duration::from_nanos(left)),
            _ => Err(InletError::Silent),
        }
    }
}
