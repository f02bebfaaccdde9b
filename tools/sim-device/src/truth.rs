//! What was really sent, for whoever checks what was received.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// A file with a line of JSON for each thing that was sent or happened.
#[derive(Debug)]
pub(crate) struct Truth {
    path: PathBuf,
    file: File,
    line: Vec<u8>,
}

impl Truth {
    /// Makes the file. One that exists is evidence of another run, and stays.
    pub(crate) fn create(path: &Path) -> Result<Truth> {
        let file = File::create_new(path);
        let file = file.with_context(|| path.display().to_string())?;
        Ok(Truth { path: path.into(), file, line: Vec::new() })
    }

    /// Adds a line. Each is written by itself, so that a killed run leaves all.
    pub(crate) fn tell(&mut self, line: fmt::Arguments<'_>) -> Result<()> {
        self.line.clear();
        let written = writeln!(self.line, "{line}");
        let written = written.and_then(|()| self.file.write_all(&self.line));
        written.with_context(|| self.path.display().to_string())
    }
}
