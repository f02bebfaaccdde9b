//! What comes from a rig, looked at for a moment: `--list`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, bail};
use libframe::clock::{Clock, SECOND};
use libframe_zmtp::{Endpoint, Parts};
use serde::Serialize;

use crate::choice::ranges;
use crate::line::{Happening, Line, Options};
use crate::message::{self, Body, Columns};

/// How long to look once a publisher is there.
const LOOK: i64 = 2 * SECOND;
/// How long to wait for one.
const WAIT: i64 = 2 * SECOND;
/// How often, in between.
const PAUSE: Duration = Duration::from_millis(2);
/// Streams of one publisher that are listed.
const MAX_STREAMS: usize = 64;

/// What one publisher sends.
#[derive(Debug, Default, Serialize)]
struct Listed {
    endpoint: String,
    connected: bool,
    messages: u64,
    /// Messages that are not understood.
    unusable: u64,
    streams: BTreeMap<String, Seen>,
}

/// What was seen of a stream.
#[derive(Debug, Default, Serialize)]
struct Seen {
    /// The numbers of its channels, as ranges.
    channels: String,
    /// How many there are.
    count: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<String>,
    rate: Option<f64>,
    /// Samples of a block, as the last message had them.
    block: usize,
    events: u64,
    spikes: u64,
    #[serde(skip)]
    numbers: BTreeMap<u32, Option<String>>,
}

/// Looks at all publishers, and lists what comes.
pub(crate) fn list(
    endpoints: &[Endpoint],
    options: &Options,
    json: bool,
) -> Result<String> {
    let clock = Clock::system();
    let wait = options.wait.unwrap_or(WAIT);
    let options = Options { wait: None, silence: 0, ..options.clone() };
    let begun = clock.now();
    let line = |endpoint: &Endpoint| Line::new(endpoint.clone(), options.clone(), begun);
    let mut lines = endpoints.iter().map(line).collect::<Result<Vec<_>>>()?;
    let listed = |endpoint: &Endpoint| Listed {
        endpoint: endpoint.to_string(),
        ..Listed::default()
    };
    let mut all: Vec<_> = endpoints.iter().map(listed).collect();
    let mut until = begun + wait;
    while clock.now() < until {
        for (line, listed) in lines.iter_mut().zip(&mut all) {
            line.turn(&clock, &mut |happening| {
                match happening {
                    Happening::Connected if !listed.connected => {
                        listed.connected = true;
                        until = until.max(clock.now() + LOOK);
                    }
                    Happening::Message(parts, _) => listed.take(parts),
                    _ => {}
                }
                Ok(())
            })?;
            if line.is_connected() {
                listed.endpoint = line.endpoint().to_string();
            }
        }
        if !lines.iter().any(Line::is_busy) {
            sleep(PAUSE);
        }
    }
    if let Some(line) = lines.iter().find(|line| !line.was_reached()) {
        bail!("{}: no publisher: {}", line.endpoint(), line.why());
    }
    all.iter_mut().for_each(Listed::sum_up);
    Ok(if json { serde_json::to_string_pretty(&all)? + "\n" } else { text(&all) })
}

impl Listed {
    fn take(&mut self, parts: Parts<'_>) {
        self.messages += 1;
        let parts: Vec<_> = parts.iter().take(4).collect();
        let Ok(message) = message::parse(&parts) else {
            self.unusable += 1;
            return;
        };
        match message.body {
            Body::Data(data) => {
                let Some(seen) = self.stream(&data.stream) else { return };
                (seen.rate, seen.block) = (data.rate, data.samples);
                let name = match &data.columns {
                    Columns::One { name, .. } => name.as_deref().map(str::to_owned),
                    Columns::All { .. } => None,
                };
                for (channel, _) in data.rows() {
                    seen.numbers.insert(channel, name.clone());
                }
            }
            Body::Event(event) => {
                if let Some(seen) = self.stream(&event.stream) {
                    seen.events += 1;
                }
            }
            Body::Spike(spike) => {
                if let Some(seen) = self.stream(&spike.stream) {
                    seen.spikes += 1;
                }
            }
            Body::Other => {}
        }
    }

    fn stream(&mut self, name: &str) -> Option<&mut Seen> {
        let is_room = self.streams.len() < MAX_STREAMS || self.streams.contains_key(name);
        is_room.then(|| self.streams.entry(name.to_owned()).or_default())
    }

    fn sum_up(&mut self) {
        for seen in self.streams.values_mut() {
            let numbers: Vec<u32> = seen.numbers.keys().copied().collect();
            (seen.channels, seen.count) = (ranges(&numbers), numbers.len());
            seen.names = seen.numbers.values().flatten().cloned().collect();
        }
    }
}

/// For people: a line for each publisher, and one for each stream.
fn text(all: &[Listed]) -> String {
    let mut text = String::new();
    for listed in all {
        let Listed { endpoint, messages, unusable, .. } = listed;
        let beside = match unusable {
            0 => String::new(),
            n => format!(", not understood: {n}"),
        };
        // Writing to a text cannot fail.
        writeln!(text, "{endpoint}: {messages} messages{beside}").unwrap_or_default();
        for (name, seen) in &listed.streams {
            let rate = seen.rate.map_or("? Hz".into(), |rate| format!("{rate} Hz"));
            writeln!(
                text,
                "  {name}: {} channels ({}) at {rate}, blocks of {}, events {}, spikes {}",
                seen.count, seen.channels, seen.block, seen.events, seen.spikes
            )
            .unwrap_or_default();
        }
    }
    text
}
