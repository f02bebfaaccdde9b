//! Which streams there are: `--list`.

use std::fmt::Write as _;

use anyhow::Result;
use libframe::clock::SECOND;
use libframe_lsl::info::Info;
use libframe_lsl::resolver::Found;
use serde::Serialize;

use crate::choice::Choice;
use crate::scout::Search;

/// How long to look: streams are asked every half second.
const LOOK: i64 = 2 * SECOND;

#[derive(Debug, Serialize)]
struct Listed<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    channels: u32,
    /// `None` for irregular.
    rate: Option<f64>,
    format: &'static str,
    host: &'a str,
    source_id: &'a str,
    uid: &'a str,
    address: String,
}

/// Looks for a moment, and lists what is there.
pub(crate) fn list(choice: &Choice, json: bool) -> Result<String> {
    let mut search = Search::new(choice)?;
    search.go_on(LOOK)?;
    let (mut found, troubles) = search.results();
    for trouble in troubles {
        eprintln!("lsl-src: {trouble}");
    }
    if found.is_empty() {
        eprintln!("lsl-src: no stream answers");
    }
    let order = |one: &Found| {
        let Info { name, hostname, source_id, uid, .. } = &one.info;
        (name.clone(), hostname.clone(), source_id.clone(), uid.clone())
    };
    found.sort_by_key(order);
    let all: Vec<Listed<'_>> = found.iter().map(listed).collect();
    Ok(if json { serde_json::to_string_pretty(&all)? + "\n" } else { text(&all) })
}

fn listed(found: &Found) -> Listed<'_> {
    let info = &found.info;
    Listed {
        name: &info.name,
        kind: &info.kind,
        channels: info.channel_count,
        rate: (info.rate > 0.0).then_some(info.rate),
        format: info.format.name(),
        host: &info.hostname,
        source_id: &info.source_id,
        uid: &info.uid,
        address: found.data.to_string(),
    }
}

/// For people: a table.
fn text(all: &[Listed<'_>]) -> String {
    let heads =
        ["NAME", "TYPE", "CHANNELS", "RATE", "FORMAT", "HOST", "SOURCE ID", "UID"];
    let mut rows = vec![heads.map(String::from)];
    rows.extend(all.iter().map(|one| {
        let rate = one.rate.map_or("irregular".into(), |rate| format!("{rate} Hz"));
        let source = if one.source_id.is_empty() { "-" } else { one.source_id };
        let kind = if one.kind.is_empty() { "-" } else { one.kind };
        [
            plain(one.name),
            plain(kind),
            one.channels.to_string(),
            rate,
            one.format.into(),
            plain(one.host),
            plain(source),
            plain(one.uid),
        ]
    }));
    if all.is_empty() {
        return String::new();
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> =
        (0..heads.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (word, width) in row.iter().zip(&widths) {
            // Writing to a text cannot fail.
            write!(line, "{word:width$}  ").unwrap_or_default();
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// What strangers call themselves must not steer a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '?' } else { char }).collect()
}
