//! A stream as it would run from one stage to the next.

use serde::{Deserialize, Serialize};

use crate::payload::Payload as _;
use crate::schema::Stream;
use crate::wire::HEADER_LEN;

/// A stream as it would run from one stage to the next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Its description. The rate is what is expected, not only what a device states.
    pub stream: Stream,
    /// Bytes of a sample; none if that is not known.
    pub size: Option<f64>,
    /// Samples in a record.
    pub batch: f64,
    /// Whether samples have device times.
    pub timed: bool,
}

impl Flow {
    /// A stream of single samples.
    pub fn new(stream: Stream) -> Flow {
        let size = stream.sample_size().map(|size| size as f64);
        let timed = stream.device_clock.is_some();
        Flow { stream, size, batch: 1.0, timed }
    }

    /// Samples a second.
    pub fn rate(&self) -> Option<f64> {
        self.stream.rate
    }

    /// Records a second, its announcement each second not counted.
    pub fn records_per_second(&self) -> Option<f64> {
        self.rate().map(|rate| rate / self.batch.max(1.0))
    }

    /// Bytes of its samples a second, with a device time each where they have one.
    pub fn samples_per_second(&self, beside: f64) -> Option<f64> {
        let timed = if self.timed { 8.0 } else { 0.0 };
        Some(self.rate()? * (self.size? + timed + beside))
    }

    /// Bytes a second in a pipe: samples, headers, and its announcement each second.
    pub fn bytes_per_second(&self) -> Option<f64> {
        // A BATCH has a count, and for each sample its time, and its size where that varies.
        let beside = match (self.batch > 1.0, self.stream.sample_size()) {
            (false, _) => 0.0,
            (true, Some(_)) => 8.0,
            (true, None) => 12.0,
        };
        let header = HEADER_LEN as f64 + if self.batch > 1.0 { 8.0 } else { 0.0 };
        let announced = (HEADER_LEN + self.stream.to_bytes().len()) as f64;
        let samples = self.samples_per_second(beside)?;
        Some(samples + self.records_per_second()? * header + announced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Dtype, Media};

    #[test]
    fn bytes_are_those_of_the_format() {
        let stream = Stream {
            media: Media::Samples,
            dtype: Some(Dtype::U8),
            shape: vec![272],
            rate: Some(217.0),
            ..Stream::default()
        };
        let announced = 48.0 + stream.to_bytes().len() as f64;
        let mut flow = Flow::new(stream);
        assert_eq!(flow.bytes_per_second(), Some(217.0 * (48.0 + 272.0) + announced));
        flow.batch = 217.0;
        let one = 48.0 + 8.0 + 217.0 * (8.0 + 272.0);
        assert_eq!(flow.bytes_per_second(), Some(one + announced));
        flow.stream.rate = None;
        assert_eq!(flow.bytes_per_second(), None);
    }
}
