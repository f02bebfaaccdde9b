//! The terminal that the user sits at, each of whose keys counts at once.
//!
//! stdin has the records, so it is opened by its name. It is put back as it was however the
//! tool ends: by itself, by signals, or when it is stopped.

use std::fs::File;
use std::sync::Arc;
use std::thread::Builder;

use anyhow::{Context as _, Result};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// The terminal, as long as it is ours.
#[derive(Debug)]
pub(crate) struct Terminal(Arc<Modes>);

#[derive(Debug)]
struct Modes {
    file: File,
    before: Termios,
    ours: Termios,
}

impl Terminal {
    /// Takes the keys one by one, and does not show them.
    pub(crate) fn open() -> Result<Terminal> {
        let hint = "/dev/tty: there are no keys without a terminal; see --fifo";
        let file =
            File::options().read(true).write(true).open("/dev/tty").context(hint)?;
        let before = tcgetattr(&file).context(hint)?;
        let mut ours = before.clone();
        // Ctrl-C and Ctrl-Z go on to be signals.
        ours.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        ours.special_codes[SpecialCodeIndex::VMIN] = 1;
        ours.special_codes[SpecialCodeIndex::VTIME] = 0;
        let modes = Arc::new(Modes { file, before, ours });
        let of_signals = Arc::clone(&modes);
        let signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP])?;
        Builder::new()
            .name("terminal".into())
            .spawn(move || of_signals.serve(signals))?;
        modes.take();
        Ok(Terminal(modes))
    }

    /// The terminal, to read from.
    pub(crate) fn reader(&self) -> Result<File> {
        Ok(self.0.file.try_clone()?)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

impl Modes {
    fn take(&self) {
        // If this fails the terminal is gone, and so are its keys.
        tcsetattr(&self.file, OptionalActions::Now, &self.ours).unwrap_or_default();
    }

    fn give_back(&self) {
        tcsetattr(&self.file, OptionalActions::Now, &self.before).unwrap_or_default();
    }

    fn serve(&self, mut signals: Signals) {
        for signal in signals.forever() {
            self.give_back();
            match signal {
                // What they mean is the runtime's business; a second one is deadly.
                SIGINT | SIGTERM => {}
                SIGTSTP => {
                    emulate_default_handler(signal).unwrap_or_default();
                    self.take();
                }
                _ => emulate_default_handler(signal).unwrap_or_default(),
            }
        }
    }
}
