//! Bytes as they go over the wire: the greeting, and frames of messages and commands.

/// The length of a greeting.
pub(crate) const GREETING: usize = 64;
/// The part of it up to the first digit of the version.
pub(crate) const VERSION: usize = 11;
/// Another frame of the same message follows.
pub(crate) const MORE: u8 = 1;
/// The length takes eight bytes instead of one.
pub(crate) const LONG: u8 = 2;
/// The frame is a command, and no part of a message.
pub(crate) const COMMAND: u8 = 4;

/// The greeting of a peer that speaks ZMTP 3.1 and the mechanism NULL.
pub fn greeting() -> [u8; 64] {
    let mut bytes = [0; GREETING];
    // The signature, the version, and the mechanism's name; the rest is zero.
    bytes[0] = 0xFF;
    bytes[9] = 0x7F;
    bytes[10..12].copy_from_slice(&[3, 1]);
    bytes[12..16].copy_from_slice(b"NULL");
    bytes
}

/// Appends a message of these parts.
#[inline]
pub fn put_message(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for (n, part) in parts.iter().enumerate() {
        let more = if n + 1 < parts.len() { MORE } else { 0 };
        put_head(out, more, part.len());
        out.extend_from_slice(part);
    }
}

/// Appends a command.
pub fn put_command(out: &mut Vec<u8>, name: &str, data: &[&[u8]]) {
    let len = data.iter().map(|data| data.len()).sum::<usize>();
    put_head(out, COMMAND, 1 + name.len() + len);
    out.push(name.len() as u8);
    out.extend_from_slice(name.as_bytes());
    data.iter().for_each(|data| out.extend_from_slice(data));
}

/// Appends the first bytes of a frame.
#[inline]
pub(crate) fn put_head(out: &mut Vec<u8>, flags: u8, len: usize) {
    match u8::try_from(len) {
        Ok(short) => out.extend_from_slice(&[flags, short]),
        Err(_) => {
            out.push(flags | LONG);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// The READY by which a socket says what it is.
pub(crate) fn put_ready(out: &mut Vec<u8>, socket_type: &str) {
    const NAME: &[u8] = b"\x0BSocket-Type";
    let len = (socket_type.len() as u32).to_be_bytes();
    put_command(out, "READY", &[NAME, &len, socket_type.as_bytes()]);
}

/// The first bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) flags: u8,
    /// How many bytes it takes itself.
    pub(crate) len: usize,
    /// How long it says that what follows is.
    pub(crate) body: u64,
}

impl Head {
    /// Reads it, if all of it is there.
    #[inline]
    pub(crate) fn parse(bytes: &[u8]) -> Option<Head> {
        let (&flags, rest) = bytes.split_first()?;
        if flags & LONG == 0 {
            let &body = rest.first()?;
            return Some(Head { flags, len: 2, body: u64::from(body) });
        }
        let body = u64::from_be_bytes(*rest.first_chunk::<8>()?);
        Some(Head { flags, len: 9, body })
    }
}
