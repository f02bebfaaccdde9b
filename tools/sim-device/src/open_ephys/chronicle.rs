//! What was published and when, a line of JSON for each, for whoever checks what arrived.
//!
//! `ns` and `published_ns` are CLOCK_MONOTONIC, the latter just before the first message of
//! a block is handed over. Numbers begin anew after each `begin`.

use anyhow::Result;

use super::plugin::{Happening, Plugin, Report, What};
use super::schedule::Block;
use super::source::Source;
use crate::truth::Truth;

/// The truth, if anyone wants to know it.
#[derive(Debug)]
pub(crate) struct Chronicle(pub(crate) Option<Truth>);

/// When a block should have been published and when it was, and whether anyone could
/// have it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) due: i64,
    pub(crate) published: i64,
    pub(crate) away: bool,
}

impl Chronicle {
    /// An acquisition begins.
    pub(crate) fn begin(&mut self, ns: i64, plugin: &Plugin) -> Result<()> {
        let Some(truth) = &mut self.0 else { return Ok(()) };
        let streams: Vec<_> = plugin.sources().iter().map(described).collect();
        let streams = streams.join(",");
        truth.tell(format_args!(
            "{{\"what\":\"begin\",\"ns\":{ns},\"streams\":[{streams}]}}"
        ))
    }

    /// A stream has other channels from this sample on.
    pub(crate) fn channels(&mut self, sample: i64, source: &Source) -> Result<()> {
        let Some(truth) = &mut self.0 else { return Ok(()) };
        let (name, channels) = (quoted(&source.origin.stream), list(source.channels()));
        truth.tell(format_args!(
            "{{\"what\":\"channels\",\"stream\":{name},\"sample_num\":{sample},\
             \"channels\":{channels}}}"
        ))
    }

    /// A block was published, or would have been.
    pub(crate) fn block(
        &mut self,
        block: &Block,
        moment: Moment,
        source: &Source,
        report: &Report,
    ) -> Result<()> {
        let Some(truth) = &mut self.0 else { return Ok(()) };
        let name = quoted(&source.origin.stream);
        for happening in &report.happenings {
            let Happening { sample, number, lost, .. } = happening;
            let what = match happening.what {
                What::Line { line, state, bare } => format!(
                    "\"event\",\"line\":{line},\"state\":{state},\"data\":{}",
                    !bare
                ),
                What::Spike { electrode } => {
                    let electrode = quoted(source.electrode(electrode));
                    format!("\"spike\",\"electrode\":{electrode}")
                }
            };
            let (published, away) = (moment.published, moment.away);
            truth.tell(format_args!(
                "{{\"what\":{what},\"stream\":{name},\"published_ns\":{published},\
                 \"sample_num\":{sample},\"message_num\":{number},\"lost\":{}}}",
                lost | away
            ))?;
        }
        let (due, published, sent) = (moment.due, moment.published, !moment.away);
        let Block { first, samples, .. } = block;
        let (from, to) = (report.first, report.last);
        let channels = source.channels().count();
        let lost = list(report.lost_channels.iter().copied());
        truth.tell(format_args!(
            "{{\"what\":\"block\",\"stream\":{name},\"due_ns\":{due},\
             \"published_ns\":{published},\"sample_num\":{first},\"n\":{samples},\
             \"channels\":{channels},\"first_message\":{from},\"last_message\":{to},\
             \"sent\":{sent},\"lost\":{lost}}}"
        ))
    }

    /// The publisher went away.
    pub(crate) fn vanished(&mut self, ns: i64) -> Result<()> {
        let Some(truth) = &mut self.0 else { return Ok(()) };
        truth.tell(format_args!("{{\"what\":\"vanish\",\"ns\":{ns}}}"))
    }

    /// It came back.
    pub(crate) fn returned(&mut self, ns: i64, endpoint: &str) -> Result<()> {
        let Some(truth) = &mut self.0 else { return Ok(()) };
        truth.tell(format_args!(
            "{{\"what\":\"return\",\"ns\":{ns},\"endpoint\":\"{endpoint}\"}}"
        ))
    }

    /// All is over: what was handed over, and what did not get through.
    pub(crate) fn end(
        &mut self,
        ns: i64,
        sent: u64,
        lost: u64,
        dropped: u64,
    ) -> Result<()> {
        let Some(truth) = &mut self.0 else { return Ok(()) };
        truth.tell(format_args!(
            "{{\"what\":\"end\",\"ns\":{ns},\"messages\":{sent},\"lost\":{lost},\
             \"dropped\":{dropped}}}"
        ))
    }
}

fn described(source: &Source) -> String {
    let name = quoted(&source.origin.stream);
    let (rate, channels) = (source.origin.rate, list(source.channels()));
    format!("{{\"name\":{name},\"rate\":{rate:?},\"channels\":{channels}}}")
}

fn list(numbers: impl Iterator<Item = u32>) -> String {
    let numbers: Vec<_> = numbers.map(|number| number.to_string()).collect();
    format!("[{}]", numbers.join(","))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
