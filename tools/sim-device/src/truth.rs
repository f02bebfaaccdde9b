//! What was really sent, for whoever checks what was received.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// A file with a line of JSON for each frame.
#[derive(Debug)]
pub(crate) struct Truth {
    path: PathBuf,
    file: File,
}

impl Truth {
    /// Makes the file. One that exists is evidence of another run, and stays.
    pub(crate) fn create(path: &Path) -> Result<Truth> {
        let file = File::create_new(path);
        let file = file.with_context(|| path.display().to_string())?;
        Ok(Truth { path: path.into(), file })
    }

    /// Adds a frame. Each line is written by itself, so that a killed run leaves all.
    pub(crate) fn write(&mut self, frame: u64, sent: i64, lost: bool) -> Result<()> {
        let line = format!("{{\"frame\":{frame},\"sent_ns\":{sent},\"lost\":{lost}}}\n");
        let written = self.file.write_all(line.as_bytes());
        written.with_context(|| self.path.display().to_string())
    }
}
