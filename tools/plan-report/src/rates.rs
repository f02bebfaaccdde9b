//! Rates that the user knows and no tool can: `--rate`.

use libframe::schema::Stream;
use libframe::tool::{Flow, parse_rate, parse_size};

/// The rate of a stream, or of all.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rate {
    stream: Option<String>,
    hz: f64,
    /// Bytes of a sample.
    size: Option<u64>,
}

impl Rate {
    pub(crate) fn parse(text: &str) -> Result<Rate, String> {
        let wrong =
            || format!("{text:?} is no rate; say 217, glove=217 or glove=217:272B");
        let (stream, rest) = match text.rsplit_once('=') {
            Some(("", _)) => return Err(wrong()),
            Some((stream, rest)) => (Some(stream.to_owned()), rest),
            None => (None, text),
        };
        let (hz, size) = match rest.split_once(':') {
            Some((hz, size)) => (hz, Some(parse_size(size).map_err(|_| wrong())?)),
            None => (rest, None),
        };
        let hz = parse_rate(hz).map_err(|_| wrong())?;
        Ok(Rate { stream, hz, size })
    }

    /// The streams of a stage of which nothing is known: those that the user names.
    pub(crate) fn supplied(rates: &[Rate]) -> Option<Vec<Flow>> {
        let named = rates.iter().filter_map(|rate| {
            let stream = Stream {
                name: rate.stream.clone()?,
                rate: Some(rate.hz),
                ..Stream::default()
            };
            Some(Flow { size: rate.size.map(|size| size as f64), ..Flow::new(stream) })
        });
        Some(named.collect::<Vec<_>>()).filter(|flows| !flows.is_empty())
    }

    /// Streams with what the user knows of them: of those without a rate, and of those that
    /// are named.
    pub(crate) fn apply(rates: &[Rate], mut flows: Vec<Flow>) -> Vec<Flow> {
        for flow in &mut flows {
            let named = |rate: &&Rate| rate.stream.as_deref() == Some(&flow.stream.name);
            let any = rates.iter().find(|rate| rate.stream.is_none());
            let any = any.filter(|_| flow.stream.rate.is_none());
            if let Some(rate) = rates.iter().find(named).or(any) {
                flow.stream.rate = Some(rate.hz);
                flow.size = rate.size.map(|size| size as f64).or(flow.size);
            }
        }
        flows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_or_explained() {
        let rate = |stream: Option<&str>, hz, size| {
            Ok(Rate { stream: stream.map(str::to_owned), hz, size })
        };
        assert_eq!(Rate::parse("217"), rate(None, 217.0, None));
        assert_eq!(Rate::parse("glove=217:272B"), rate(Some("glove"), 217.0, Some(272)));
        for wrong in ["", "x", "=5", "a=", "a=0", "a=5:", "a=5:many"] {
            assert!(Rate::parse(wrong).is_err_and(|err| err.contains("217")), "{wrong}");
        }
    }
}
