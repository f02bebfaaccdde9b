//! What peers say to each other beside messages.

use crate::fault::Fault;

/// A command of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// What the peer is: pairs of a name and a value, not parsed yet.
    Ready(&'a [u8]),
    /// The peer wants messages that begin with this.
    Subscribe(&'a [u8]),
    /// The peer wants them no longer.
    Cancel(&'a [u8]),
    /// The peer wants to hear from us: its context is to be returned.
    Ping(&'a [u8]),
    /// The answer to a PING.
    Pong(&'a [u8]),
    /// The peer refuses, and says why.
    Error(&'a [u8]),
    /// A command that no version to date has.
    Other(&'a [u8]),
}

impl<'a> Command<'a> {
    /// Parses the body of a command's frame.
    pub fn parse(body: &'a [u8]) -> Result<Command<'a>, Fault> {
        let cut = Fault::Command("its name is cut off");
        let (&len, rest) = body.split_first().ok_or(cut.clone())?;
        let (name, data) = rest.split_at_checked(usize::from(len)).ok_or(cut)?;
        Ok(match name {
            b"READY" => Command::Ready(data),
            b"SUBSCRIBE" => Command::Subscribe(data),
            b"CANCEL" => Command::Cancel(data),
            // The first two bytes are how long the peer will wait, which is its business.
            b"PING" => {
                Command::Ping(data.get(2..).ok_or(Fault::Command("a short PING"))?)
            }
            b"PONG" => Command::Pong(data),
            b"ERROR" => Command::Error(data.get(1..).unwrap_or_default()),
            name => Command::Other(name),
        })
    }
}

/// The value of a property in a READY.
pub(crate) fn property<'a>(
    mut data: &'a [u8],
    wanted: &str,
) -> Result<Option<&'a [u8]>, Fault> {
    let mut found = None;
    while !data.is_empty() {
        let (name, value, rest) =
            next_property(data).ok_or(Fault::Command("a property is cut off"))?;
        if name.eq_ignore_ascii_case(wanted.as_bytes()) {
            found = Some(value);
        }
        data = rest;
    }
    Ok(found)
}

fn next_property(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (&len, rest) = data.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(len))?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
    Some((name, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_found_whatever_their_case() {
        let data = b"\x08Identity\0\0\0\0\x0bsocket-type\0\0\0\x03PUB";
        assert_eq!(property(data, "Socket-Type"), Ok(Some(&b"PUB"[..])));
        assert_eq!(property(data, "Resource"), Ok(None));
        assert!(property(&data[..data.len() - 1], "Resource").is_err());
        assert!(property(b"\x01x\xff\xff\xff\xff", "x").is_err());
    }

    #[test]
    fn commands_that_are_cut_off_are_faults() {
        for body in [&b""[..], b"\x05READ", b"\x04PING\0"] {
            assert!(Command::parse(body).is_err(), "{body:?}");
        }
        assert_eq!(Command::parse(b"\x04PING\0\x01abc"), Ok(Command::Ping(b"abc")));
        assert_eq!(Command::parse(b"\x03NEW!"), Ok(Command::Other(b"NEW")));
    }
}
