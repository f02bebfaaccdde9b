//! Lines out of bytes as they come, of a bounded length.

/// No command is nearly as long.
pub(crate) const MAX_LINE: usize = 4096;

/// What was received and is no whole line yet, or was not asked for.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
}

/// A line that does not end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Lines {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether more may be read: what a client sends ahead waits in its socket.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes.len() <= MAX_LINE
    }

    /// The next line, without its end.
    pub(crate) fn next(&mut self) -> Result<Option<String>, TooLong> {
        match self.bytes.iter().position(|byte| *byte == b'\n') {
            Some(at) if at <= MAX_LINE => {
                let line: Vec<u8> = self.bytes.drain(..=at).collect();
                Ok(Some(String::from_utf8_lossy(&line[..at]).into_owned()))
            }
            None if self.has_room() => Ok(None),
            _ => Err(TooLong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let mut lines = Lines::default();
        for byte in b"start\r\nstop\nsta" {
            lines.push(&[*byte]);
        }
        assert_eq!(lines.next(), Ok(Some("start\r".into())));
        assert_eq!(lines.next(), Ok(Some("stop".into())));
        assert_eq!(lines.next(), Ok(None));
        lines.push(b"tus\n\xff\n");
        assert_eq!(lines.next(), Ok(Some("status".into())));
        assert_eq!(lines.next(), Ok(Some("\u{fffd}".into())));
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let mut lines = Lines::default();
        lines.push(&[b'x'; MAX_LINE]);
        assert_eq!(lines.next(), Ok(None));
        assert!(lines.has_room());
        lines.push(b"x");
        assert!(!lines.has_room());
        assert_eq!(lines.next(), Err(TooLong));
        lines.push(b"\n");
        assert_eq!(lines.next(), Err(TooLong));
    }
}
