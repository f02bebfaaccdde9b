//! What a glove's frames are, for the description of their stream.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context as _, Result};
use libframe::schema::{Device, Dtype, Field, Media, Sensor, Stream};
use libframe_sensors::SensorMap;

use crate::packet::FRAME;

/// The numbers of a frame that a map can speak of.
const PRESSURES: u32 = 256;

/// Which map describes the sensors.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Map {
    /// The built-in one of the hand that the packets say they are of.
    ByPackets,
    /// No map.
    None,
    /// The one that this word names.
    Named(String),
}

impl FromStr for Map {
    type Err = std::convert::Infallible;

    fn from_str(word: &str) -> Result<Map, Self::Err> {
        Ok(if word == "none" { Map::None } else { Map::Named(word.into()) })
    }
}

/// What is known of a glove before its first frame.
#[derive(Clone, Debug)]
pub(crate) struct Glove {
    pub(crate) name: String,
    pub(crate) calibration: Option<String>,
    map: Map,
    /// A map that was asked for: read at the start, so that a typing mistake shows then.
    named: SensorMap,
}

impl Glove {
    pub(crate) fn new(
        name: String,
        map: Option<Map>,
        calibration: Option<String>,
    ) -> Result<Glove> {
        let map = map.unwrap_or(Map::ByPackets);
        let named = match &map {
            Map::Named(word) => SensorMap::load(word).context("--map")?,
            _ => SensorMap::default(),
        };
        named.fits(PRESSURES as usize).context("--map")?;
        Ok(Glove { name, calibration, map, named })
    }

    /// Describes the stream of a glove of this type, plugged in there.
    pub(crate) fn describe(
        &self,
        body: u8,
        device: Device,
        stamp: &str,
    ) -> Result<Stream> {
        let side = side(body);
        let map = match &self.map {
            Map::ByPackets if [1, 2].contains(&body) => SensorMap::load(side)?,
            _ => self.named.clone(),
        };
        let mut meta = BTreeMap::from([
            ("side".to_owned(), side.to_owned()),
            ("type".to_owned(), body.to_string()),
        ]);
        if !map.sensors.is_empty() {
            let word = match &self.map {
                Map::Named(word) => word,
                _ => side,
            };
            meta.insert("map".into(), word.into());
        }
        if let Some(calibration) = &self.calibration {
            meta.insert("calibration".into(), calibration.clone());
        }
        let model = if map.name.is_empty() { "JQ20-XL-11".into() } else { map.name };
        // Packets of some gloves say "body"; a map that was chosen knows better.
        let side = if map.side.is_empty() { side } else { &map.side };
        meta.extend(on_lsl(&model, side));
        Ok(stream(&self.name, map.sensors, Device { model, ..device }, stamp, meta))
    }
}

/// What the receivers that its users have look for on the Lab Streaming Layer.
fn on_lsl(model: &str, side: &str) -> [(String, String); 3] {
    let mut letters = side.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    let side: String = first.into_iter().chain(letters).collect();
    [
        ("name", "JQGlove".into()),
        ("type", "Pressure".into()),
        ("source_id", format!("{model}-{side}")),
    ]
    .map(|(key, text)| (format!("lsl.{key}"), text))
}

fn stream(
    name: &str,
    sensors: Vec<Sensor>,
    device: Device,
    stamp: &str,
    meta: BTreeMap<String, String>,
) -> Stream {
    let field = |name: &str, dtype, offset, count| Field {
        name: name.into(),
        dtype,
        offset,
        count,
        unit: String::new(),
    };
    Stream {
        name: name.into(),
        media: Media::Samples,
        dtype: Some(Dtype::U8),
        shape: vec![FRAME as u32],
        fields: vec![
            field("pressure", Dtype::U8, 0, PRESSURES),
            field("quaternion", Dtype::F32, PRESSURES, 4),
        ],
        sensors,
        device: Device { make: "JQ".into(), ..device },
        stamp: stamp.into(),
        meta,
        ..Stream::default()
    }
}

/// What packets of this type are on.
pub(crate) fn side(body: u8) -> &'static str {
    match body {
        1 => "left",
        2 => "right",
        3 => "left-foot",
        4 => "right-foot",
        5 => "front",
        _ => "body",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(map: Option<&str>, body: u8) -> Stream {
        let map = map.map(|word| word.parse().unwrap());
        let glove = Glove::new("glove".into(), map, Some("lab".into())).unwrap();
        glove.describe(body, Device::default(), "arrival").unwrap()
    }

    #[test]
    fn a_hand_has_its_own_map_unless_another_is_asked_for() {
        for (map, body, first) in [
            (None, 1, Some(30)),
            (None, 2, Some(239)),
            (None, 6, None),
            (Some("left"), 6, Some(30)),
            (Some("none"), 1, None),
        ] {
            let stream = describe(map, body);
            let index = stream.sensors.first().map(|sensor| sensor.index);
            assert_eq!(index, first, "{map:?} {body}");
            assert_eq!(stream.meta.contains_key("map"), first.is_some());
        }
        let stream = describe(None, 2);
        assert_eq!((stream.sample_size(), stream.rate), (Some(272), None));
        assert_eq!(stream.meta["side"], "right");
        assert_eq!(stream.meta["lsl.source_id"], "JQ20-XL-11-Right");
        assert_eq!(describe(Some("left"), 6).meta["lsl.source_id"], "JQ20-XL-11-Left");
        assert_eq!(stream.meta["calibration"], "lab");
        assert_eq!(stream.fields[1].offset + 4 * stream.fields[1].count, 272);
    }

    #[test]
    fn a_map_that_does_not_fit_is_an_error_at_the_start() {
        let map = |word: &str| {
            Glove::new("glove".into(), Some(Map::Named(word.into())), None).unwrap_err()
        };
        assert!(format!("{:#}", map("lefty")).contains("--map: lefty: No such file"));
        let path = std::env::temp_dir().join(format!("map-{}.csv", std::process::id()));
        std::fs::write(&path, "sensor_id,data_frame_index\n7,257\n").unwrap();
        let error = format!("{:#}", map(path.to_str().unwrap()));
        assert!(error.contains("sensor 7 is number 256"), "{error}");
        std::fs::remove_file(path).unwrap();
    }
}
