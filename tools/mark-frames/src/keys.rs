//! What keys are called, and which of them mean something.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::thread::Builder;

use anyhow::Result;
use libframe::tool::Inbox;

/// Keys that cannot be written as what they are, or not on a command line.
const NAMED: [(&str, char); 6] = [
    ("space", ' '),
    ("enter", '\n'),
    ("tab", '\t'),
    ("esc", '\x1b'),
    ("backspace", '\x7f'),
    ("comma", ','),
];

/// Which label a key has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyMap(BTreeMap<char, String>);

impl KeyMap {
    /// Reads `s=start,space=hit`; nothing stands for all keys.
    pub(crate) fn parse(text: &str) -> Result<KeyMap, String> {
        let wrong = || format!("{text:?}: say s=start,e=stop or space=hit");
        let mut map = BTreeMap::new();
        for pair in text.split(',').filter(|pair| !pair.is_empty()) {
            let (key, label) = pair.split_once('=').ok_or_else(wrong)?;
            let named = NAMED.iter().find(|(name, _)| *name == key);
            let mut chars = key.chars();
            let key = match (named, chars.next(), chars.next()) {
                (Some((_, key)), ..) => *key,
                (None, Some(key), None) => key,
                _ => return Err(wrong()),
            };
            if label.is_empty() || map.insert(key, label.to_owned()).is_some() {
                return Err(wrong());
            }
        }
        Ok(KeyMap(map))
    }

    /// The label and the value of a key's event, if it has one.
    pub(crate) fn event<'a>(&'a self, key: &'a str) -> Option<(&'a str, &'a str)> {
        if self.0.is_empty() {
            return Some(("key", name(key)));
        }
        let label = self.0.get(&key.chars().next()?)?;
        Some((label, ""))
    }
}

fn name(key: &str) -> &str {
    let named = NAMED.iter().find(|(_, found)| key.chars().eq([*found]));
    named.map_or(key, |(name, _)| *name)
}

/// Reads keys for ever, on a thread of its own.
pub(crate) fn listen(mut terminal: File, inbox: Inbox) -> Result<()> {
    let body = move || {
        let mut bytes = [0; 64];
        while let Ok(n @ 1..) = terminal.read(&mut bytes) {
            let time = inbox.clock().now();
            for key in keys(&bytes[..n]) {
                inbox.put_at(time, "key", key.into());
            }
        }
    };
    Builder::new().name("keys".into()).spawn(body)?;
    Ok(())
}

/// The keys that these bytes are. Arrows and the like send several bytes and are none.
fn keys(bytes: &[u8]) -> impl Iterator<Item = char> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let special = text.starts_with('\x1b') && text.len() > 1;
    let keys: Vec<char> = if special { Vec::new() } else { text.chars().collect() };
    keys.into_iter().map(|key| if key == '\r' { '\n' } else { key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_labels_or_are_values() {
        let all = KeyMap::parse("").unwrap();
        assert_eq!(all.event("x"), Some(("key", "x")));
        assert_eq!(all.event(" "), Some(("key", "space")));
        let some = KeyMap::parse("s=start,space=hit,ä=umlaut").unwrap();
        assert_eq!(some.event("s"), Some(("start", "")));
        assert_eq!(some.event(" "), Some(("hit", "")));
        assert_eq!(some.event("ä"), Some(("umlaut", "")));
        assert_eq!(some.event("x"), None);
        for wrong in ["s", "start=s", "s=", "s=a,s=b", "=x"] {
            assert!(KeyMap::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn arrows_are_no_keys() {
        assert_eq!(keys(b"\x1b[A").count(), 0);
        assert_eq!(keys(b"ab\r").collect::<String>(), "ab\n");
        assert_eq!(keys(b"\x1b").collect::<String>(), "\x1b");
    }
}
