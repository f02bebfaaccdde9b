//! The plugin's messages: an envelope with its NUL, a text of JSON, and most often bytes.
//!
//! Which keys there are, and in what order, depends on the generation; all of it is here.
//! Each is prepared once and then only gets its numbers.

use super::electrode::{AFTER, BEFORE, Electrode};
use super::generation::Generation;
use super::juce::{Object, Template};

pub(crate) const DATA: &[u8] = b"DATA\0";
/// Also what spikes are under.
pub(crate) const EVENT: &[u8] = b"EVENT\0";

/// What the GUI calls an event of a digital line.
const TTL: i64 = 3;
/// The nodes of the signal chain that events and spikes are from.
const BOARD: i64 = 100;
const DETECTOR: i64 = 103;

/// A number that differs from message to message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hole {
    /// The message's own number.
    Number,
    /// Samples in the block.
    Samples,
    /// Samples that there is room for in a row.
    Room,
    /// Index of the block's first sample, or of the sample of an event.
    Sample,
    /// The same counted from the beginning of the block.
    Position,
    /// Size of what follows.
    Bytes,
    /// When the message was made, ms since 1970.
    Millis,
    Line,
    State,
}

/// Where messages of one stream say they are from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Origin {
    pub(crate) generation: Generation,
    pub(crate) stream: String,
    /// The GUI's number of the stream.
    pub(crate) id: i64,
    pub(crate) rate: f64,
}

impl Origin {
    /// The text of a block of one channel.
    pub(crate) fn channel(&self, channel: u32, label: &str) -> Template<Hole> {
        let channel = i64::from(channel);
        self.message("data", "content", |content| {
            if self.generation.has_present_names() {
                content.text("stream", &self.stream);
                content.integer("channel_num", channel);
                if self.generation.has_channel_names() {
                    content.text("channel_name", label);
                }
                content.hole("num_samples", Hole::Samples);
                content.hole("sample_num", Hole::Sample);
                content.double("sample_rate", self.rate);
            } else {
                content.integer("stream_id", self.id);
                content.integer("channel_num", channel);
                self.old_block(content);
            }
        })
    }

    /// The text of a block of all channels.
    pub(crate) fn all_channels(&self, count: usize) -> Template<Hole> {
        self.message("data", "content", |content| {
            content.integer("n_channels", count as i64);
            self.old_block(content);
        })
    }

    fn old_block(&self, content: &mut Object<'_, Hole>) {
        content.hole("n_samples", Hole::Room);
        content.hole("n_real_samples", Hole::Samples);
        content.hole("timestamp", Hole::Sample);
        content.integer("sample_rate", self.rate as i64);
    }

    /// The text of an event of a digital line.
    pub(crate) fn event(&self) -> Template<Hole> {
        self.message("event", "content", |content| match self.generation {
            Generation::Blocks => {
                content.integer("type", TTL);
                content.hole("sample_num", Hole::Position);
                content.hole("event_id", Hole::State);
                content.hole("event_channel", Hole::Line);
                content.hole("timestamp", Hole::Sample);
            }
            Generation::Interim => {
                content.integer("type", TTL);
                content.hole("sample_num", Hole::Sample);
                content.integer("event_stream", self.id);
                content.integer("event_channel", 0);
            }
            _ => {
                content.text("stream", &self.stream);
                content.integer("source_node", BOARD);
                content.integer("type", TTL);
                content.hole("sample_num", Hole::Sample);
            }
        })
    }

    /// The text of a spike at an electrode.
    pub(crate) fn spike(&self, electrode: &Electrode) -> Template<Hole> {
        let channels = electrode.channels.len() as i64;
        let samples = (BEFORE + AFTER) as i64;
        self.message("spike", "spike", |spike| match self.generation {
            Generation::Blocks => {
                spike.hole("timestamp", Hole::Sample);
                spike.integer("n_channels", channels);
                spike.integer("n_samples", samples);
                spike.integer("electrode_id", electrode.index);
            }
            Generation::Interim => {
                spike.integer("type", channels);
                spike.hole("sample_num", Hole::Sample);
                spike.integer("n_channels", channels);
                spike.integer("n_samples", samples);
                spike.integer("pre_peak_samples", BEFORE as i64);
                spike.integer("post_peak_samples", AFTER as i64);
                spike.integer("electrode_id", electrode.index);
                spike.integer("spike_stream", self.id);
                spike.doubles("threshold", &electrode.thresholds);
            }
            _ => {
                spike.text("stream", &self.stream);
                spike.integer("source_node", DETECTOR);
                spike.text("electrode", &electrode.name);
                spike.hole("sample_num", Hole::Sample);
                spike.integer("num_channels", channels);
                spike.integer("num_samples", samples);
                spike.integer("sorted_id", electrode.sorted_id);
                spike.doubles("threshold", &electrode.thresholds);
            }
        })
    }

    /// What all have: a number, a type, an object, and, but for spikes, a size.
    fn message(
        &self,
        kind: &str,
        key: &str,
        fill: impl FnOnce(&mut Object<'_, Hole>),
    ) -> Template<Hole> {
        Template::object(|message| {
            message.hole(self.generation.number_key(), Hole::Number);
            message.text("type", kind);
            message.object(key, fill);
            if kind != "spike" {
                message.hole("data_size", Hole::Bytes);
            }
            if self.generation.has_timestamps() {
                message.hole("timestamp", Hole::Millis);
            }
        })
    }
}

/// The bytes of an event of a digital line: which one, whether it is on now, and all lines.
pub(crate) fn ttl(line: u8, state: u8, word: u64) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[..2].copy_from_slice(&[line, state]);
    bytes[2..].copy_from_slice(&word.to_le_bytes());
    bytes
}

/// The same in the first generation, which sent the GUI's own packet from its seventh byte
/// on: the index of the source, the sample, the line, and the lines of one byte.
pub(crate) fn old_ttl(line: u8, word: u64, sample: i64) -> [u8; 13] {
    let mut bytes = [0; 13];
    bytes[2..10].copy_from_slice(&sample.to_le_bytes());
    bytes[10] = line;
    bytes[12] = word as u8;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(generation: Generation) -> Origin {
        Origin { generation, stream: "Rhythm Data".into(), id: 1, rate: 30000.0 }
    }

    fn text(template: &Template<Hole>) -> String {
        let mut bytes = Vec::new();
        let number = |hole| match hole {
            Hole::Number => 1,
            Hole::Samples => 480,
            Hole::Room => 1024,
            Hole::Sample => 960,
            Hole::Position => 30,
            Hole::Bytes => 1920,
            Hole::Millis => 1_751_932_705_000,
            Hole::Line => 2,
            Hole::State => 1,
        };
        template.fill(number, &mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    /// Without white space, as the plugin's documentation shows messages.
    fn dense(template: &Template<Hole>) -> String {
        text(template).replace("\r\n", "").replace("  ", "").replace(": ", ":")
    }

    #[test]
    fn a_block_of_today_is_this_text() {
        let template = origin(Generation::Current).channel(0, "CH1");
        let expected = "{\r\n  \"message_num\": 1,\r\n  \"type\": \"data\",\r\n  \"content\": {\r\n    \
            \"stream\": \"Rhythm Data\",\r\n    \"channel_num\": 0,\r\n    \
            \"channel_name\": \"CH1\",\r\n    \"num_samples\": 480,\r\n    \
            \"sample_num\": 960,\r\n    \"sample_rate\": 30000.0\r\n  },\r\n  \
            \"data_size\": 1920,\r\n  \"timestamp\": 1751932705000\r\n}";
        assert_eq!(text(&template), expected);
    }

    #[test]
    fn blocks_of_all_generations_have_their_keys_in_order() {
        let content = r#""content":{"stream":"Rhythm Data","channel_num":6,"#;
        let rest = r#""num_samples":480,"sample_num":960,"sample_rate":30000.0},"data_size":1920"#;
        let time = r#","timestamp":1751932705000}"#;
        let head = r#"{"message_num":1,"type":"data","#;
        let old = r#"{"message_no":1,"type":"data","content":{"#;
        let block = r#""n_samples":1024,"n_real_samples":480,"timestamp":960,"sample_rate":30000},"#;
        let size = r#""data_size":1920}"#;
        let name = r#""channel_name":"CH7","#;
        use Generation::*;
        for (generation, expected) in [
            (Interim, format!("{old}\"stream_id\":1,\"channel_num\":6,{block}{size}")),
            (Names, format!("{head}{content}{rest}}}")),
            (Timestamps, format!("{head}{content}{rest}{time}")),
            (One, format!("{head}{content}{rest}{time}")),
            (Current, format!("{head}{content}{name}{rest}{time}")),
        ] {
            assert_eq!(dense(&origin(generation).channel(6, "CH7")), expected);
        }
        let all = dense(&origin(Blocks).all_channels(16));
        assert_eq!(all, format!("{old}\"n_channels\":16,{block}{size}"));
    }

    #[test]
    fn events_of_all_generations_have_their_keys_in_order() {
        use Generation::*;
        let size = r#""data_size":1920"#;
        let now = format!(
            "{}{size}",
            r#"{"message_num":1,"type":"event","content":{"stream":"Rhythm Data","source_node":100,"type":3,"sample_num":960},"#
        );
        let old = r#"{"message_no":1,"type":"event","content":{"type":3,"sample_num":"#;
        for (generation, expected) in [
            (
                Blocks,
                format!(
                    "{old}{}{size}}}",
                    r#"30,"event_id":1,"event_channel":2,"timestamp":960},"#
                ),
            ),
            (
                Interim,
                format!("{old}{}{size}}}", r#"960,"event_stream":1,"event_channel":0},"#),
            ),
            (Names, format!("{now}}}")),
            (One, format!("{now},\"timestamp\":1751932705000}}")),
        ] {
            assert_eq!(dense(&origin(generation).event()), expected);
        }
    }

    #[test]
    fn spikes_have_a_key_of_their_own_and_no_size() {
        let electrode = &Electrode::among(&[4, 6, 8])[1];
        let text = |generation| dense(&origin(generation).spike(electrode));
        assert_eq!(
            text(Generation::Current),
            r#"{"message_num":1,"type":"spike","spike":{"stream":"Rhythm Data","source_node":103,"electrode":"Stereotrode 1","sample_num":960,"num_channels":2,"num_samples":40,"sorted_id":1,"threshold":[-50.0,-62.5]},"timestamp":1751932705000}"#
        );
        assert_eq!(
            text(Generation::Blocks),
            r#"{"message_no":1,"type":"spike","spike":{"timestamp":960,"n_channels":2,"n_samples":40,"electrode_id":1}}"#
        );
        assert_eq!(
            text(Generation::Interim),
            r#"{"message_no":1,"type":"spike","spike":{"type":2,"sample_num":960,"n_channels":2,"n_samples":40,"pre_peak_samples":8,"post_peak_samples":32,"electrode_id":1,"spike_stream":1,"threshold":[-50.0,-62.5]}}"#
        );
    }

    #[test]
    fn a_line_and_its_word_are_ten_bytes() {
        assert_eq!(ttl(2, 1, 4), [2, 1, 4, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(old_ttl(2, 4, 258), [0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 2, 0, 4]);
    }
}
