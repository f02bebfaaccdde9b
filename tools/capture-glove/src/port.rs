//! A glove's end of a serial line: opened for us alone, and read without delay.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use libframe::tool::Need;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serialport::TTYPort;

use crate::candidates::System;

/// The port that is the only glove's.
pub(crate) const AUTO: &str = "auto";

/// A serial line, or a pseudo-terminal.
#[derive(Debug)]
pub(crate) struct Port {
    tty: TTYPort,
    /// The device node, links resolved: what it is plugged in as.
    pub(crate) node: PathBuf,
}

/// Whether this path leads to bytes that were recorded, and not to a line.
pub(crate) fn is_recording(path: &Path) -> bool {
    if path == Path::new("-") || path == Path::new(AUTO) {
        return path == Path::new("-");
    }
    // Not opened to ask: that is what a glove begins to send at, and some boards restart.
    fs::metadata(path).is_ok_and(|meta| !meta.file_type().is_char_device())
}

/// What must be there to open a line, found without opening it.
pub(crate) fn need(path: &Path, system: &System) -> Need {
    if path != Path::new(AUTO) {
        return Need::device(path);
    }
    match system.glove(None) {
        Ok(glove) => Need::device(&glove.port),
        Err(err) => Need { what: "a glove".into(), problem: Some(err.to_string()) },
    }
}

impl Port {
    /// Opens a line at this speed, for us alone.
    pub(crate) fn open(path: &Path, baud: u32, system: &System) -> Result<Port> {
        let name = path.to_string_lossy();
        let tty = TTYPort::open(&serialport::new(name.as_ref(), baud));
        let tty = tty.map_err(|err| refusal(path, err, system))?;
        // A node that vanishes this moment will be missed by the first read.
        let node = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let port = Port { tty, node };
        port.hurry();
        Ok(port)
    }

    /// Reads what is there; 0 if the line is gone.
    pub(crate) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match rustix::io::read(self.as_fd(), buf) {
            Ok(n) => Ok(n),
            // What a line says that was pulled out, and a terminal whose other end closed.
            Err(Errno::IO | Errno::NXIO | Errno::NODEV) => Ok(0),
            Err(err) => Err(err.into()),
        }
    }

    /// Asks the driver not to gather bytes before it hands them over. Drivers that do not
    /// gather refuse, which is as good.
    fn hurry(&self) {
        low_latency(self.as_fd());
        let name = self.node.file_name().unwrap_or_default();
        let timer = Path::new("/sys/class/tty").join(name).join("device/latency_timer");
        if timer.exists() {
            fs::write(timer, "1").unwrap_or_default();
        }
    }
}

impl AsFd for Port {
    #[allow(unsafe_code, reason = "serialport gives its descriptor as a number only")]
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as the port, which the result borrows.
        unsafe { BorrowedFd::borrow_raw(self.tty.as_raw_fd()) }
    }
}

/// Why a port does not open, and what to do.
fn refusal(path: &Path, err: serialport::Error, system: &System) -> anyhow::Error {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let port = path.display();
    // The crate's error does not say which it is; the system does.
    match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NODEV | Errno::NXIO) => {
            anyhow!("{port}: no such port{}", system.hint())
        }
        Err(Errno::ACCESS | Errno::PERM) => anyhow!(
            "{port}: permission denied; join the group that may use it, often with \
             'sudo usermod -aG dialout $USER', and log in again"
        ),
        Err(Errno::BUSY) => in_use(path),
        Ok(_) if err.to_string().contains("exclusive") => in_use(path),
        _ => anyhow!("{port}: {err}"),
    }
}

fn in_use(path: &Path) -> anyhow::Error {
    let port = path.display();
    match holder(path) {
        Some(who) => {
            anyhow!("{port}: in use by {who}; one program can read it at a time")
        }
        None => anyhow!("{port}: in use; 'sudo fuser -v {port}' shows by whom"),
    }
}

/// The process that has a device open, as far as we may look.
fn holder(path: &Path) -> Option<String> {
    let node = fs::canonicalize(path).ok()?;
    let own = std::process::id().to_string();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut names = processes.map(|entry| entry.path());
    let pid = names.find(|process| {
        let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        let mut targets = open.filter_map(|fd| fs::read_link(fd.path()).ok());
        !process.ends_with(&own) && targets.any(|target| target == node)
    })?;
    let command = fs::read_to_string(pid.join("comm")).unwrap_or_default();
    Some(format!("process {} ({})", pid.file_name()?.display(), command.trim()))
}

/// `struct serial_struct` of <linux/serial.h> as far as it matters, with room for the rest.
#[repr(C, align(8))]
struct Serial {
    kind: i32,
    line: i32,
    port: u32,
    irq: i32,
    flags: i32,
    rest: [u8; 236],
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "no safe wrapper knows this request")]
fn low_latency(port: BorrowedFd<'_>) {
    const ASYNC_LOW_LATENCY: i32 = 1 << 13;
    let mut serial =
        Serial { kind: 0, line: 0, port: 0, irq: 0, flags: 0, rest: [0; 236] };
    // SAFETY: the kernel writes one serial_struct, 72 bytes at most, into these 256.
    let got = unsafe { libc::ioctl(port.as_raw_fd(), libc::TIOCGSERIAL, &mut serial) };
    if got == 0 && serial.flags & ASYNC_LOW_LATENCY == 0 {
        serial.flags |= ASYNC_LOW_LATENCY;
        // SAFETY: the kernel reads back the struct that it has just written.
        unsafe { libc::ioctl(port.as_raw_fd(), libc::TIOCSSERIAL, &serial) };
    }
}

#[cfg(not(target_os = "linux"))]
fn low_latency(_port: BorrowedFd<'_>) {}
