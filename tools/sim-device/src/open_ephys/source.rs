//! A stream with all that is prepared for its messages.

use super::electrode::Electrode;
use super::juce::Template;
use super::message::{Hole, Origin};
use super::signal::Signal;
use super::timetable::Timetable;

/// Samples of the GUI's buffer, if blocks are not longer.
const BUFFER: u32 = 1024;

/// A stream of which the plugin sends some channels.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) origin: Origin,
    pub(super) channels: Vec<(u32, Template<Hole>)>,
    pub(super) all_channels: Template<Hole>,
    label: String,
    pub(crate) signal: Signal,
    pub(super) event: Template<Hole>,
    pub(super) electrodes: Vec<(Electrode, Template<Hole>)>,
    pub(crate) events: Timetable,
    pub(crate) spikes: Timetable,
    /// Samples that there is room for in a row.
    pub(super) room: u32,
}

impl Source {
    pub(crate) fn new(
        origin: Origin,
        channels: &[u32],
        label: String,
        signal: Signal,
        [events, spikes]: [Timetable; 2],
        longest: u32,
    ) -> Source {
        let mut source = Source {
            event: origin.event(),
            all_channels: origin.all_channels(0),
            origin,
            channels: Vec::new(),
            label,
            signal,
            electrodes: Vec::new(),
            events,
            spikes,
            room: longest.max(BUFFER),
        };
        source.select(channels);
        source
    }

    /// Sends these channels from now on.
    pub(crate) fn select(&mut self, channels: &[u32]) {
        let text = |channel: &u32| {
            let label = format!("{}{}", self.label, channel + 1);
            (*channel, self.origin.channel(*channel, &label))
        };
        self.channels = channels.iter().map(text).collect();
        self.all_channels = self.origin.all_channels(channels.len());
        let electrodes = Electrode::among(channels).into_iter();
        let text = |electrode| {
            let text = self.origin.spike(&electrode);
            (electrode, text)
        };
        self.electrodes = electrodes.map(text).collect();
    }

    pub(crate) fn channels(&self) -> impl Iterator<Item = u32> {
        self.channels.iter().map(|(channel, _)| *channel)
    }

    pub(crate) fn electrode(&self, index: usize) -> &str {
        &self.electrodes[index].0.name
    }
}
