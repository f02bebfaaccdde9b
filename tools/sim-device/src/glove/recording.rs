//! Bytes that a device once sent, cut where packets begin, so that they go out in the
//! portions they came in.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use libframe::clock::SECOND;
use memchr::memmem;

use crate::glove::packet::{DELIMITER, Packet, Place};

/// What the line carries in a second: 921600 baud, ten bits to a byte.
const LINE_RATE: u64 = 92_160;
/// How much is looked at; without a delimiter in so much, it is cut anyhow.
const WINDOW: usize = 4096;

/// A file of recorded bytes.
#[derive(Debug)]
pub(crate) struct Recording {
    path: PathBuf,
    file: File,
    /// What was read and not sent.
    window: Vec<u8>,
    sent: u64,
    before: Place,
}

impl Recording {
    pub(crate) fn open(path: &Path) -> Result<Recording> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        let (path, window) = (path.into(), Vec::new());
        Ok(Recording { path, file, window, sent: 0, before: Place::Stray })
    }

    /// The next piece, up to a delimiter; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Packet>> {
        self.fill().with_context(|| self.path.display().to_string())?;
        if self.window.is_empty() {
            return Ok(None);
        }
        // A piece has at least one byte, so its own delimiter is not looked at.
        let end = memmem::find(&self.window[1..], &DELIMITER).map(|at| at + 1);
        // A delimiter that the window cuts in two must stay whole.
        let most = self.window.len() - if self.window.len() < WINDOW { 0 } else { 3 };
        let bytes: Vec<u8> = self.window.drain(..end.unwrap_or(most)).collect();
        self.sent += bytes.len() as u64;
        let at = self.sent as f64 * SECOND as f64 / LINE_RATE as f64;
        self.before = place(&bytes, self.before);
        Ok(Some(Packet { at: at as i64, bytes, place: self.before }))
    }

    fn fill(&mut self) -> std::io::Result<()> {
        let room = (WINDOW - self.window.len()) as u64;
        self.file.by_ref().take(room).read_to_end(&mut self.window)?;
        Ok(())
    }
}

/// Where in a frame a piece is, after what came before it.
fn place(bytes: &[u8], before: Place) -> Place {
    let index = bytes.strip_prefix(&DELIMITER).and_then(<[u8]>::first);
    match index {
        Some(1) => Place::First,
        Some(2) if before == Place::First => Place::Last,
        _ => Place::Stray,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glove::packet::{FRAME, Side};

    /// All pieces of a file with these bytes.
    fn pieces(name: &str, bytes: &[u8]) -> Vec<Packet> {
        let path =
            std::env::temp_dir().join(format!("recording-{name}-{}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let mut recording = Recording::open(&path).unwrap();
        let pieces = std::iter::from_fn(|| recording.next().unwrap()).collect();
        std::fs::remove_file(path).unwrap();
        pieces
    }

    #[test]
    fn a_recording_is_cut_where_packets_begin() {
        let frame = [7; FRAME];
        let first = Packet::first(0, Side::Left, &frame).bytes;
        let last = Packet::last(0, Side::Left, &frame).bytes;
        let bytes = [&last[75..], &last, &first, &last, &first, &DELIMITER].concat();
        let pieces = pieces("cut", &bytes);
        let lengths: Vec<_> = pieces.iter().map(|piece| piece.bytes.len()).collect();
        assert_eq!(lengths, [75, 150, 134, 150, 134, 4]);
        let places: Vec<_> = pieces.iter().map(|piece| piece.place).collect();
        use Place::{First, Last, Stray};
        assert_eq!(places, [Stray, Stray, First, Last, First, Stray]);
        assert_eq!(pieces[5].at, bytes.len() as i64 * SECOND / 92_160);
    }

    #[test]
    fn no_byte_is_lost_whatever_the_bytes_are() {
        let mut bytes = vec![0xAA; 3 * WINDOW];
        bytes[WINDOW - 2..WINDOW + 2].copy_from_slice(&DELIMITER);
        let pieces = pieces("any", &bytes);
        assert!(pieces.iter().any(|piece| piece.bytes.starts_with(&DELIMITER)));
        assert_eq!(
            pieces.into_iter().flat_map(|piece| piece.bytes).collect::<Vec<_>>(),
            bytes
        );
        assert!(self::pieces("none", &[]).is_empty());
    }
}
