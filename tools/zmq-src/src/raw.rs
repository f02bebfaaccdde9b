//! Any messages, as they are: each one a sample.
//!
//! A message of one part is a sample of the stream `zmq`, byte for byte. A message of several
//! is one of the stream `zmq.parts`, where each part has its length before it, as a u32,
//! little-endian; so that the two never look alike, no message is in both.

use std::collections::BTreeMap;

use anyhow::Result;
use libframe::schema::{Device, Media, Stream};
use libframe::tool::Feed;
use libframe_zmtp::Parts;

use crate::listener::Taker;
use crate::trouble::{Trouble, Troubles};

/// Messages of all publishers.
#[derive(Debug)]
pub(crate) struct Raw {
    publishers: Vec<Publisher>,
    sample: Vec<u8>,
    troubles: Troubles,
}

#[derive(Debug)]
struct Publisher {
    endpoint: String,
    /// What its streams are called.
    name: String,
    plain: Option<u16>,
    parts: Option<u16>,
}

impl Raw {
    pub(crate) fn new(endpoints: Vec<String>) -> Raw {
        let several = endpoints.len() > 1;
        let publisher = |(n, endpoint)| Publisher {
            endpoint,
            name: if several { format!("zmq-{}", n + 1) } else { "zmq".into() },
            plain: None,
            parts: None,
        };
        let publishers = endpoints.into_iter().enumerate().map(publisher).collect();
        Raw { publishers, sample: Vec::new(), troubles: Troubles::default() }
    }
}

impl Taker for Raw {
    fn take(
        &mut self,
        line: usize,
        parts: Parts<'_>,
        at: i64,
        feed: &mut Feed,
    ) -> Result<()> {
        let publisher = &mut self.publishers[line];
        if let (1, Some(part)) = (parts.len(), parts.get(0)) {
            let number = match publisher.plain {
                Some(number) => number,
                None => feed.open(&publisher.describe("", &[]))?,
            };
            publisher.plain = Some(number);
            return feed.sample(number, at, None, part);
        }
        let number = match publisher.parts {
            Some(number) => number,
            None => {
                feed.open(&publisher.describe(".parts", &[("parts", "u32le-length")]))?
            }
        };
        publisher.parts = Some(number);
        self.sample.clear();
        for part in parts.iter() {
            self.sample.extend_from_slice(&(part.len() as u32).to_le_bytes());
            self.sample.extend_from_slice(part);
        }
        feed.sample(number, at, None, &self.sample)
    }

    fn settle(&mut self, _line: usize, _now: i64, _feed: &mut Feed) -> Result<()> {
        Ok(())
    }

    fn moved(&mut self, line: usize, place: &str) {
        self.publishers[line].endpoint = place.into();
    }

    fn trouble(&mut self, line: usize, trouble: Trouble, feed: &mut Feed) -> Result<()> {
        let endpoint = &self.publishers[line].endpoint;
        self.troubles.note((line, endpoint), trouble, feed)
    }

    fn finish(&mut self, _feed: &mut Feed) -> Result<()> {
        Ok(())
    }
}

impl Publisher {
    fn describe(&self, ending: &str, meta: &[(&str, &str)]) -> Stream {
        let pair = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
        Stream {
            name: format!("{}{ending}", self.name),
            media: Media::Bytes,
            device: Device { port: self.endpoint.clone(), ..Device::default() },
            stamp: "arrival".into(),
            meta: meta.iter().map(pair).collect::<BTreeMap<_, _>>(),
            ..Stream::default()
        }
    }
}
