//! Which streams there are, as `lsl-src --list` tells.

use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::Builder;

use crate::choice::Wanted;
use crate::pipeline::Pipeline;
use crate::programs;

/// A stream that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) host: String,
}

/// A look for streams, in a thread.
#[derive(Debug)]
pub(crate) struct Listing(Receiver<Result<Vec<Seen>, String>>);

impl Listing {
    pub(crate) fn start(pipeline: &Pipeline) -> Listing {
        let (sender, receiver) = sync_channel(1);
        let line = pipeline.list();
        let body = move || {
            // Nobody may wait for it any more.
            drop(sender.send(look(&line)));
        };
        // Without a thread the sender is gone, which is told as that.
        drop(Builder::new().name("list".into()).spawn(body));
        Listing(receiver)
    }

    /// What was found, if the look is over.
    pub(crate) fn told(&self) -> Option<Result<Vec<Seen>, String>> {
        match self.0.try_recv() {
            Ok(told) => Some(told),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                Some(Err("could not look for streams".into()))
            }
        }
    }
}

/// Looks, and waits for the answers.
pub(crate) fn look(line: &str) -> Result<Vec<Seen>, String> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]).env("PATH", programs::path()).stdin(Stdio::null());
    let output =
        command.output().map_err(|err| format!("cannot start a shell: {err}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let last = stderr.lines().next_back().unwrap_or("lsl-src --list failed");
        return Err(last.into());
    }
    read(&output.stdout).ok_or_else(|| "lsl-src --list told what is no list".into())
}

/// Reads the list.
fn read(json: &[u8]) -> Option<Vec<Seen>> {
    let list: serde_json::Value = serde_json::from_slice(json).ok()?;
    Some(list.as_array()?.iter().filter_map(seen).collect())
}

fn seen(value: &serde_json::Value) -> Option<Seen> {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let name = Some(text("name")).filter(|name| !name.is_empty())?;
    Some(Seen { name, host: text("host") })
}

/// The streams in words.
pub(crate) fn words(seen: &[Seen]) -> String {
    let names = seen.iter().map(|stream| format!("{} ({})", stream.name, stream.host));
    match seen.len() {
        0 => "no streams".into(),
        n => format!("{n} streams: {}", names.collect::<Vec<_>>().join(", ")),
    }
}

/// Which of the required streams are not there.
pub(crate) fn missing<'a>(required: &'a [String], seen: &[Seen]) -> Vec<&'a str> {
    let absent = |name: &&String| {
        let wanted = Wanted::parse(name);
        !seen.iter().any(|stream| wanted.is(&stream.name, &stream.host))
    };
    required.iter().filter(absent).map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_found_by_name_and_host() {
        let list = br#"[{"name":"EEG","host":"rig","type":"EEG"},{"name":""}]"#;
        let there = read(list).unwrap();
        assert!(read(b"{}").is_none() && read(b"").is_none());
        let required = ["EEG", "EEG (rig)", "EEG (other)", "Glove"].map(String::from);
        assert_eq!(missing(&required, &there), ["EEG (other)", "Glove"]);
        assert_eq!(words(&there), "1 streams: EEG (rig)");
        assert_eq!(words(&[]), "no streams");
    }
}
