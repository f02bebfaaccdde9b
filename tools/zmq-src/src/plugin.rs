//! Messages as the plugin sends them, for tests: multi-line JSON with CR LF, as of 2025.

/// A publisher's counter, and the bytes of its last message.
#[derive(Debug, Default)]
pub(crate) struct Plugin {
    pub(crate) number: i64,
    json: String,
    payload: Vec<u8>,
}

impl Plugin {
    /// Counts a message that nobody gets.
    pub(crate) fn skip(&mut self) {
        self.number += 1;
    }

    /// Begins a new acquisition.
    pub(crate) fn restart(&mut self) {
        self.number = 0;
    }

    /// A block of one channel, whose values are `value(sample)`.
    pub(crate) fn data(
        &mut self,
        channel: u32,
        first: u64,
        samples: usize,
        value: impl Fn(u64) -> f32,
    ) -> [&[u8]; 3] {
        self.number += 1;
        self.payload.clear();
        let values = (first..first + samples as u64).map(value);
        values.for_each(|value| self.payload.extend_from_slice(&value.to_le_bytes()));
        let (number, size, name) = (self.number, self.payload.len(), channel + 1);
        self.json = format!(
            "{{\r\n  \"message_num\": {number},\r\n  \"type\": \"data\",\r\n  \"content\": \
             {{\r\n    \"stream\": \"Rhythm Data\",\r\n    \"channel_num\": {channel},\r\n    \
             \"channel_name\": \"CH{name}\",\r\n    \"num_samples\": {samples},\r\n    \
             \"sample_num\": {first},\r\n    \"sample_rate\": 30000.0\r\n  }},\r\n  \
             \"data_size\": {size},\r\n  \"timestamp\": 1751932705000\r\n}}"
        );
        [b"DATA\0", self.json.as_bytes(), &self.payload]
    }

    /// Any message, with `%` for its number.
    pub(crate) fn json<'a>(&'a mut self, json: &str, payload: &'a [u8]) -> [&'a [u8]; 3] {
        self.number += 1;
        self.json = json.replace('%', &self.number.to_string());
        [b"EVENT\0", self.json.as_bytes(), payload]
    }
}
