//! A serial port that is no hardware: a pseudo-terminal, and a link that leads to it.
//!
//! It differs from a real line in what would fall on a tester's feet: the kernel keeps what
//! was written while nobody had the port open, and a write waits for a slow reader. A real
//! line does neither, so here nobody's bytes are lost, and so are those that do not fit.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use libframe::clock::{Clock, SECOND};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{
    OptionalActions, QueueSelector, ioctl_tiocnxcl, tcflush, tcgetattr, tcsetattr,
};

/// What the line is said to run at; a pseudo-terminal only remembers it.
const BAUD: u32 = 921_600;
/// How long between two looks at what a client has not read yet.
const LOOK: i64 = SECOND / 200;
/// How often in a row there must be nothing: while a client reads, the kernel has for a
/// moment nothing for it, though there is more.
const LOOKS: u32 = 10;

/// The device's end of a serial line.
#[derive(Debug)]
pub(crate) struct Port {
    link: Option<PathBuf>,
    /// `None` while it is unplugged.
    terminal: Option<Terminal>,
}

#[derive(Debug)]
struct Terminal {
    /// Our end. Clients open the other one, by its path.
    ours: OwnedFd,
    path: PathBuf,
}

impl Port {
    /// A port that is not plugged in yet.
    pub(crate) fn new(link: Option<PathBuf>) -> Port {
        Port { link, terminal: None }
    }

    /// Makes the port appear, and tells its path.
    pub(crate) fn plug_in(&mut self) -> Result<PathBuf> {
        let terminal = Terminal::open().context("pseudo-terminal")?;
        if let Some(link) = &self.link {
            point(link, &terminal.path).with_context(|| link.display().to_string())?;
        }
        let path = terminal.path.clone();
        self.terminal = Some(terminal);
        Ok(path)
    }

    /// Makes the port disappear; a client that has it open sees its end.
    pub(crate) fn unplug(&mut self) {
        let Some(terminal) = self.terminal.take() else { return };
        let Some(link) = &self.link else { return };
        // Whoever has put something else in its place keeps that; and if the link cannot
        // be removed, the next run replaces it.
        if fs::read_link(link).is_ok_and(|target| target == terminal.path) {
            fs::remove_file(link).unwrap_or_default();
        }
    }

    /// Whether a client has the port open. What it has sent is taken and forgotten, or its
    /// writes would block one day.
    pub(crate) fn has_client(&self) -> Result<bool> {
        let Some(Terminal { ours, .. }) = &self.terminal else { return Ok(false) };
        let state = state(ours, 0)?;
        if state.contains(PollFlags::IN) {
            // Another client's leaving is an error here, and the next look tells.
            rustix::io::read(ours, &mut [0; 4096]).unwrap_or_default();
        }
        Ok(!state.contains(PollFlags::HUP))
    }

    /// Writes what there is room for, and tells how much that was.
    ///
    /// The kernel hands bytes over in the background, on a busy machine late enough to run
    /// out of room. That is no fault of the client's, so before bytes are lost it is asked.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<usize> {
        let Some(terminal) = &self.terminal else { return Ok(0) };
        let mut written = terminal.write(bytes)?;
        if written < bytes.len() && terminal.has_unread().is_ok() {
            written += terminal.write(&bytes[written..])?;
        }
        Ok(written)
    }

    /// Whether it has not been unplugged.
    pub(crate) fn is_plugged_in(&self) -> bool {
        self.terminal.is_some()
    }

    /// Forgets what a client that is gone left: bytes that it did not read, and its claim to
    /// have the port alone, which real ports forget. Only the superuser may open a claimed
    /// one; to others it is of no more use, and is unplugged.
    pub(crate) fn forget_client(&mut self) -> Result<()> {
        match self.terminal.as_ref().map(Terminal::peer) {
            Some(Ok(peer)) => {
                ioctl_tiocnxcl(&peer)?;
                tcflush(peer, QueueSelector::IFlush)?;
            }
            // Or the claim is of a client that has just come.
            Some(Err(Errno::BUSY)) if self.has_client()? => {}
            Some(Err(Errno::BUSY)) => self.unplug(),
            Some(Err(err)) => return Err(err).context("pseudo-terminal"),
            None => {}
        }
        Ok(())
    }

    /// Waits until the client has read all there is, or is gone, or patience is over:
    /// closing takes away what is unread.
    pub(crate) fn drain(&self, clock: &Clock, patience: i64) -> Result<()> {
        let until = clock.now().saturating_add(patience);
        let mut empty = 0;
        while empty < LOOKS && clock.now() < until && self.has_client()? {
            let Some(terminal) = &self.terminal else { break };
            // Who has claimed the port cannot be asked, only waited for.
            empty = if terminal.has_unread() == Ok(false) { empty + 1 } else { 0 };
            state(&terminal.ours, LOOK)?;
        }
        Ok(())
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.unplug();
    }
}

impl Terminal {
    fn open() -> Result<Terminal> {
        let ours =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        let path = PathBuf::from(ptsname(&ours, Vec::new())?.into_string()?);
        let terminal = Terminal { ours, path };
        // That nobody has it open shows only once somebody had.
        let peer = terminal.peer()?;
        let mut settings = tcgetattr(&peer)?;
        settings.make_raw();
        settings.set_speed(BAUD)?;
        tcsetattr(&peer, OptionalActions::Now, &settings)?;
        ioctl_fionbio(&terminal.ours, true)?;
        Ok(terminal)
    }

    fn write(&self, bytes: &[u8]) -> Result<usize> {
        match rustix::io::write(&self.ours, bytes) {
            Ok(n) => Ok(n),
            Err(Errno::AGAIN | Errno::INTR | Errno::IO) => Ok(0),
            Err(err) => Err(err).context("pseudo-terminal"),
        }
    }

    /// Whether there is something for the client to read. To answer, the kernel first hands
    /// over what it still holds.
    fn has_unread(&self) -> rustix::io::Result<bool> {
        let peer = self.peer()?;
        let mut fds = [PollFd::new(&peer, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        Ok(fds[0].revents().contains(PollFlags::IN))
    }

    /// The client's end. Kept open only for a moment, since it hides that nobody else has.
    fn peer(&self) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        rustix::fs::open(&self.path, flags, Mode::empty())
    }
}

/// What there is to know of our end, after at most this time. It is over at once when the
/// client is gone, and when it has written.
fn state(ours: &OwnedFd, wait: i64) -> Result<PollFlags> {
    let mut fds = [PollFd::new(ours, PollFlags::IN)];
    let wait = Timespec { tv_sec: wait / SECOND, tv_nsec: wait % SECOND };
    match poll(&mut fds, Some(&wait)) {
        Ok(_) | Err(Errno::INTR) => Ok(fds[0].revents()),
        Err(err) => Err(err.into()),
    }
}

/// Makes `link` lead to `target`, without a moment in which it is not there. It replaces
/// only what a killed run leaves: a link to a pseudo-terminal.
fn point(link: &Path, target: &Path) -> Result<()> {
    match fs::read_link(link) {
        Ok(old) if old.parent() == target.parent() => {}
        Err(err) if err.kind() == ErrorKind::NotFound => {}
        _ => bail!("exists, and is no link to a pseudo-terminal"),
    }
    let mut fresh = link.as_os_str().to_owned();
    fresh.push(format!(".{}", std::process::id()));
    symlink(target, &fresh)?;
    Ok(fs::rename(&fresh, link)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(path: &Path) -> OwnedFd {
        Terminal::peer(&Terminal {
            ours: fs::File::open("/dev/null").unwrap().into(),
            path: path.into(),
        })
        .unwrap()
    }

    #[test]
    fn a_port_knows_whether_it_is_open_elsewhere() {
        let mut port = Port::new(None);
        assert!(!port.has_client().unwrap());
        let path = port.plug_in().unwrap();
        assert!(!port.has_client().unwrap());
        let client = client(&path);
        assert!(port.has_client().unwrap());
        drop(client);
        assert!(!port.has_client().unwrap());
    }

    #[test]
    fn bytes_pass_as_they_are_and_end_where_there_is_no_room() {
        let mut port = Port::new(None);
        let client = client(&port.plug_in().unwrap());
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(port.write(&bytes).unwrap(), 256);
        let mut read = [0; 300];
        assert_eq!(rustix::io::read(&client, &mut read).unwrap(), 256);
        assert_eq!(read[..256], bytes);
        let fits: usize = (0..1000).map(|_| port.write(&bytes).unwrap()).sum();
        assert!((4096..100_000).contains(&fits), "{fits}");
        assert_eq!(port.write(&bytes).unwrap(), 0);
    }

    #[test]
    fn only_a_link_that_an_earlier_run_left_is_replaced() {
        let dir = std::env::temp_dir().join(format!("sim-port-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let link = dir.join("port");
        symlink("/dev/pts/12345", &link).unwrap();
        let mut port = Port::new(Some(link.clone()));
        let path = port.plug_in().unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), path);
        drop(port);
        assert!(fs::symlink_metadata(&link).is_err());
        fs::write(&link, "precious").unwrap();
        assert!(Port::new(Some(link.clone())).plug_in().is_err());
        assert_eq!(fs::read_to_string(&link).unwrap(), "precious");
        fs::remove_dir_all(dir).unwrap();
    }
}
