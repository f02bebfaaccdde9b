//! What the plugin does with a block: events and spikes first, then a message per channel.
//!
//! Every message takes a number, also one that is lost on purpose. Nothing here is sent:
//! messages are handed to whoever has the socket, and texts and values are written into
//! buffers that are used again for each.

use super::electrode::{AFTER, BEFORE, Electrode};
use super::generation::Generation;
use super::message::{DATA, EVENT, Hole, old_ttl, ttl};
use super::schedule::Block;
use super::source::Source;
use crate::chance::share;

/// The uses of random numbers, so that one fault does not move another.
const LOSE: u64 = 600;
const SKIP: u64 = 601;
const BARE: u64 = 602;
const WHICH: u64 = 603;

/// Digital lines that events are on.
const LINES: u64 = 8;

/// How often what goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Faults {
    /// Messages that take a number and are not sent.
    pub(crate) lose: f64,
    /// Numbers that no message has.
    pub(crate) skip: f64,
    /// Events without data.
    pub(crate) bare: f64,
    pub(crate) seed: u64,
}

/// The plugin, with all the streams that it sends.
#[derive(Debug)]
pub(crate) struct Plugin {
    generation: Generation,
    sources: Vec<Source>,
    faults: Faults,
    /// The number of the last message.
    number: i64,
    /// Messages since the plugin was loaded, which number the places of faults.
    taken: u64,
    /// What is the same in all messages of a block.
    millis: i64,
    text: Vec<u8>,
    bytes: Vec<u8>,
    report: Report,
}

/// What became of a block.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Report {
    /// Messages that were handed over, and their bytes.
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Messages that were lost on purpose.
    pub(crate) lost: u64,
    /// The numbers of the first and last message with samples, lost or not.
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// Channels of which this block's samples were lost.
    pub(crate) lost_channels: Vec<u32>,
    pub(crate) happenings: Vec<Happening>,
}

impl Report {
    /// Begins anew, with the room that the lists have.
    fn clear(&mut self) {
        let (mut lost_channels, mut happenings) = (
            std::mem::take(&mut self.lost_channels),
            std::mem::take(&mut self.happenings),
        );
        lost_channels.clear();
        happenings.clear();
        *self = Report { lost_channels, happenings, ..Report::default() };
    }
}

/// An event or a spike, and its message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Happening {
    pub(crate) what: What,
    pub(crate) sample: i64,
    pub(crate) number: i64,
    pub(crate) lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum What {
    Line { line: u8, state: u8, bare: bool },
    Spike { electrode: usize },
}

impl Plugin {
    pub(crate) fn new(
        generation: Generation,
        sources: Vec<Source>,
        faults: Faults,
    ) -> Plugin {
        Plugin {
            generation,
            sources,
            faults,
            number: 0,
            taken: 0,
            millis: 0,
            text: Vec::new(),
            bytes: Vec::new(),
            report: Report::default(),
        }
    }

    pub(crate) fn sources(&self) -> &[Source] {
        &self.sources
    }

    pub(crate) fn source(&self, stream: usize) -> &Source {
        &self.sources[stream]
    }

    /// What became of the last block.
    pub(crate) fn report(&self) -> &Report {
        &self.report
    }

    pub(crate) fn sources_mut(&mut self) -> &mut [Source] {
        &mut self.sources
    }

    /// An acquisition begins.
    pub(crate) fn begin(&mut self) {
        if self.generation.numbers_restart() {
            self.number = 0;
        }
        for source in &mut self.sources {
            source.events.restart();
            source.spikes.restart();
        }
    }

    /// Hands over the messages of a block, made at a time in ms since 1970.
    pub(crate) fn send(
        &mut self,
        block: &Block,
        millis: i64,
        mut to: impl FnMut(&[&[u8]]),
    ) -> &Report {
        self.report.clear();
        self.millis = millis;
        self.send_events(block, &mut to);
        self.send_spikes(block, &mut to);
        match self.generation {
            Generation::Blocks => self.send_all_channels(block, &mut to),
            _ => self.send_channels(block, &mut to),
        }
        &self.report
    }

    fn send_events(&mut self, block: &Block, to: &mut impl FnMut(&[&[u8]])) {
        let end = block.first + i64::from(block.samples);
        while let Some((index, sample)) =
            self.sources[block.stream].events.next_before(end)
        {
            // A line goes on, then off, then it is the next one's turn.
            let (line, state) = ((index / 2 % LINES) as u8, 1 - (index % 2) as u8);
            let word = u64::from(state) << line;
            let bare = self.happens(self.faults.bare, BARE);
            let data: &[u8] = match self.generation {
                _ if bare => &[],
                Generation::Blocks => &old_ttl(line, word, sample),
                _ => &ttl(line, state, word),
            };
            let number = self.take_number();
            let text = &self.sources[block.stream].event;
            let millis = self.millis;
            text.fill(
                |hole| match hole {
                    Hole::Number => number,
                    Hole::Sample => sample,
                    Hole::Position => sample - block.first,
                    Hole::Bytes => data.len() as i64,
                    Hole::Millis => millis,
                    Hole::Line => i64::from(line),
                    Hole::State => i64::from(state),
                    Hole::Samples | Hole::Room => 0,
                },
                &mut self.text,
            );
            let parts = [EVENT, &self.text, data];
            let parts = if bare { &parts[..2] } else { &parts[..] };
            let lost = hand_over(&self.faults, self.taken, parts, &mut self.report, to);
            let what = What::Line { line, state, bare };
            self.report.happenings.push(Happening { what, sample, number, lost });
        }
    }

    fn send_spikes(&mut self, block: &Block, to: &mut impl FnMut(&[&[u8]])) {
        let end = block.first + i64::from(block.samples);
        while let Some((index, sample)) =
            self.sources[block.stream].spikes.next_before(end)
        {
            let number = self.take_number();
            let source = &mut self.sources[block.stream];
            let random = share(self.faults.seed, WHICH, index);
            let electrode = (random * source.electrodes.len() as f64) as usize;
            let (Electrode { channels, .. }, text) = &source.electrodes[electrode];
            let row = 4 * (BEFORE + AFTER);
            self.bytes.resize(row * channels.len(), 0);
            source.signal.begin(sample - BEFORE as i64, BEFORE + AFTER);
            for (row, channel) in self.bytes.chunks_exact_mut(row).zip(channels) {
                source.signal.write(*channel, row);
                source.signal.add_spike(BEFORE, row);
            }
            let millis = self.millis;
            text.fill(
                |hole| match hole {
                    Hole::Number => number,
                    Hole::Sample => sample,
                    Hole::Millis => millis,
                    _ => 0,
                },
                &mut self.text,
            );
            // The first generation took the number of values for a number of bytes.
            let bytes = match self.generation {
                Generation::Blocks => &self.bytes[..self.bytes.len() / 4],
                _ => &self.bytes[..],
            };
            let parts = [EVENT, &self.text, bytes];
            let lost = hand_over(&self.faults, self.taken, &parts, &mut self.report, to);
            let what = What::Spike { electrode };
            self.report.happenings.push(Happening { what, sample, number, lost });
        }
    }

    fn send_channels(&mut self, block: &Block, to: &mut impl FnMut(&[&[u8]])) {
        let samples = block.samples as usize;
        let source = &mut self.sources[block.stream];
        source.signal.begin(block.first, samples);
        // What of a row is not of this block stays as it was, as in the GUI's buffer.
        let long = self.generation.has_long_rows();
        let row = 4 * if long { source.room as usize } else { samples };
        self.bytes.resize(row, 0);
        for at in 0..self.sources[block.stream].channels.len() {
            let number = self.take_number();
            self.report.first = if at == 0 { number } else { self.report.first };
            self.report.last = number;
            let source = &self.sources[block.stream];
            let (channel, text) = &source.channels[at];
            source.signal.write(*channel, &mut self.bytes[..4 * samples]);
            let numbers = Numbers { block, number, room: source.room, size: row };
            text.fill(|hole| numbers.get(hole, self.millis), &mut self.text);
            let parts = [DATA, &self.text, &self.bytes];
            if hand_over(&self.faults, self.taken, &parts, &mut self.report, to) {
                self.report.lost_channels.push(*channel);
            }
        }
    }

    fn send_all_channels(&mut self, block: &Block, to: &mut impl FnMut(&[&[u8]])) {
        let samples = block.samples as usize;
        let number = self.take_number();
        (self.report.first, self.report.last) = (number, number);
        let source = &mut self.sources[block.stream];
        source.signal.begin(block.first, samples);
        let row = 4 * source.room as usize;
        self.bytes.resize(row * source.channels.len(), 0);
        for (row, (channel, _)) in self.bytes.chunks_exact_mut(row).zip(&source.channels)
        {
            source.signal.write(*channel, &mut row[..4 * samples]);
        }
        let size = self.bytes.len();
        let numbers = Numbers { block, number, room: source.room, size };
        let text = &source.all_channels;
        text.fill(|hole| numbers.get(hole, self.millis), &mut self.text);
        let parts = [DATA, &self.text, &self.bytes];
        if hand_over(&self.faults, self.taken, &parts, &mut self.report, to) {
            self.report.lost_channels.extend(source.channels.iter().map(|(c, _)| *c));
        }
    }

    /// The next message's number, as the plugin's `int` shows it.
    fn take_number(&mut self) -> i64 {
        self.taken += 1;
        if self.happens(self.faults.skip, SKIP) {
            self.number += 1;
        }
        self.number += 1;
        i64::from(self.number as i32)
    }

    fn happens(&self, chance: f64, what: u64) -> bool {
        happens(&self.faults, chance, what, self.taken)
    }
}

/// What the text of a block says of it.
struct Numbers<'a> {
    block: &'a Block,
    number: i64,
    room: u32,
    size: usize,
}

impl Numbers<'_> {
    fn get(&self, hole: Hole, millis: i64) -> i64 {
        match hole {
            Hole::Number => self.number,
            Hole::Samples => i64::from(self.block.samples),
            Hole::Room => i64::from(self.room),
            Hole::Sample => self.block.first,
            Hole::Bytes => self.size as i64,
            Hole::Millis => millis,
            Hole::Position | Hole::Line | Hole::State => 0,
        }
    }
}

/// Whether the message is lost; if not, it was handed over.
fn hand_over(
    faults: &Faults,
    taken: u64,
    parts: &[&[u8]],
    report: &mut Report,
    to: &mut impl FnMut(&[&[u8]]),
) -> bool {
    if happens(faults, faults.lose, LOSE, taken) {
        report.lost += 1;
        return true;
    }
    to(parts);
    report.messages += 1;
    report.bytes += parts.iter().map(|part| part.len() as u64).sum::<u64>();
    false
}

fn happens(faults: &Faults, chance: f64, what: u64, place: u64) -> bool {
    chance > 0.0 && share(faults.seed, what, place) < chance
}

#[cfg(test)]
mod tests {
    use super::super::message::Origin;
    use super::super::signal::{Signal, Values};
    use super::super::timetable::Timetable;
    use super::*;

    const BLOCK: Block = Block { stream: 0, first: 960, samples: 480, begun: 0, due: 0 };

    fn plugin(generation: Generation, channels: &[u32], faults: Faults) -> Plugin {
        let origin = Origin { generation, stream: "A".into(), id: 1, rate: 30_000.0 };
        let signal = Signal::new(Values::Counter, 0, 30_000.0, 1);
        let tables = [(300.0, 1), (200.0, 2)]
            .map(|(hz, what)| Timetable::new(hz, 30_000.0, 1, what));
        let source = Source::new(origin, channels, "CH".into(), signal, tables, 480);
        Plugin::new(generation, vec![source], faults)
    }

    /// Type and number of each message of a block.
    fn sent(plugin: &mut Plugin, block: &Block) -> Vec<(String, i64)> {
        let mut messages = Vec::new();
        plugin.send(block, 1, |parts| {
            let text: serde_json::Value = serde_json::from_slice(parts[1]).unwrap();
            let number = text["message_num"].as_i64().or(text["message_no"].as_i64());
            messages.push((text["type"].as_str().unwrap().into(), number.unwrap()));
        });
        messages
    }

    #[test]
    fn a_message_has_the_number_after_that_of_the_one_before() {
        let mut plugin = plugin(Generation::Current, &[0, 3], Faults::default());
        let mut messages = sent(&mut plugin, &BLOCK);
        messages.extend(sent(&mut plugin, &Block { first: 1440, ..BLOCK }));
        let numbers: Vec<_> = messages.iter().map(|(_, number)| *number).collect();
        assert_eq!(numbers, (1..=numbers.len() as i64).collect::<Vec<_>>());
        let kinds: Vec<_> = messages.iter().map(|(kind, _)| kind.as_str()).collect();
        let first: Vec<_> = kinds.iter().take_while(|kind| **kind != "data").collect();
        assert!(first.contains(&&"event") && first.contains(&&"spike"), "{kinds:?}");
        assert!(first.is_sorted(), "events before spikes: {first:?}");
        assert_eq!(kinds[first.len()..first.len() + 2], ["data", "data"]);
    }

    #[test]
    fn an_acquisition_begins_with_number_1_but_once_did_not() {
        for generation in [Generation::Current, Generation::Names, Generation::Interim] {
            let mut plugin = plugin(generation, &[0], Faults::default());
            let before = sent(&mut plugin, &BLOCK).len() as i64;
            plugin.begin();
            let first = sent(&mut plugin, &Block { first: 0, ..BLOCK })[0].1;
            let goes_on = generation == Generation::Interim;
            assert_eq!(first, if goes_on { before + 1 } else { 1 }, "{generation:?}");
        }
    }

    #[test]
    fn what_is_lost_is_told_and_not_handed_over() {
        let faults = Faults { lose: 0.5, seed: 3, ..Faults::default() };
        let channels: Vec<u32> = (0..1000).collect();
        let mut plugin = plugin(Generation::Current, &channels, faults);
        let came = sent(&mut plugin, &BLOCK);
        let data = came.iter().filter(|(kind, _)| kind == "data").count();
        let report = plugin.report();
        assert_eq!(data + report.lost_channels.len(), 1000);
        assert!((400..600).contains(&data), "{data}");
        assert_eq!(
            (report.last - report.first, report.messages),
            (999, came.len() as u64)
        );
        let happenings = report.happenings.iter().filter(|one| one.lost).count();
        assert_eq!(report.lost as usize, report.lost_channels.len() + happenings);
    }

    #[test]
    fn a_number_overflows_as_the_plugins_does() {
        let mut plugin = plugin(Generation::Current, &[0], Faults::default());
        plugin.number = i64::from(i32::MAX);
        let messages = sent(&mut plugin, &Block { first: 0, samples: 1, ..BLOCK });
        assert_eq!(messages[0].1, i64::from(i32::MIN));
    }
}
