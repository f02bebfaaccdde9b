//! Maps of sensors in files: which number of a sample is where on the device.
//!
//! A package of its own, because a capture that describes its device and a calibration
//! that is given a device's map later must read the same files alike. There are two forms:
//! TOML, by region, as in `examples/gloves`, whose maps of a JQ20-XL-11 are built in; and
//! CSV, a row for each sensor, as laboratories keep them.
//!
//! Makers count a frame's numbers from 1; [`Sensor::index`] counts from 0 in either case.

mod regions;
mod rows;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use libframe::schema::Sensor;

/// What a description can hold; more would be refused by its readers.
const MAX_SENSORS: usize = 4096;

const LEFT: &str = include_str!("../../../examples/gloves/jq20-left.toml");
const RIGHT: &str = include_str!("../../../examples/gloves/jq20-right.toml");

/// The sensors of a device, in the order of its map.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SensorMap {
    /// What the device is called; empty if the map does not say.
    pub name: String,
    /// Which of a pair it is; empty if the map does not say.
    pub side: String,
    /// The sensors.
    pub sensors: Vec<Sensor>,
}

/// Why a map cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// The file cannot be read.
    #[error("{}: {why}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// The file is no map.
    #[error("{}: {why}", path.display())]
    Content {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A sensor's number is not in the samples.
    #[error(
        "sensor {id} is number {index} of a sample, counted from 0, which has {width}"
    )]
    Outside {
        /// The sensor.
        id: u32,
        /// Its number's place.
        index: u32,
        /// Numbers in a sample.
        width: usize,
    },
}

impl SensorMap {
    /// The map that a command line names: `left`, `right`, or a file.
    pub fn load(word: &str) -> Result<SensorMap, MapError> {
        match word {
            "left" => SensorMap::parse(Path::new("jq20-left.toml"), LEFT),
            "right" => SensorMap::parse(Path::new("jq20-right.toml"), RIGHT),
            path => {
                let path = Path::new(path);
                let text = std::fs::read_to_string(path)
                    .map_err(|why| MapError::File { path: path.into(), why })?;
                SensorMap::parse(path, &text)
            }
        }
    }

    /// Reads a file's text; its name tells the form.
    fn parse(path: &Path, text: &str) -> Result<SensorMap, MapError> {
        let is_toml = path.extension().is_some_and(|ending| ending == "toml");
        let map = if is_toml { regions::parse(text) } else { rows::parse(text) };
        let content = |why| MapError::Content { path: path.into(), why };
        let map = map.map_err(content)?;
        map.check().map_err(content)?;
        Ok(map)
    }

    fn check(&self) -> Result<(), String> {
        if self.sensors.is_empty() {
            return Err("a map without sensors".into());
        }
        if self.sensors.len() > MAX_SENSORS {
            let n = self.sensors.len();
            return Err(format!("{n} sensors, of which a stream can have {MAX_SENSORS}"));
        }
        let mut ids = BTreeSet::new();
        match self.sensors.iter().find(|sensor| !ids.insert(sensor.id)) {
            Some(twice) => Err(format!("sensor {} is there twice", twice.id)),
            None => Ok(()),
        }
    }

    /// Whether samples of so many numbers have all that the map speaks of.
    pub fn fits(&self, width: usize) -> Result<(), MapError> {
        match self.sensors.iter().find(|sensor| sensor.index as usize >= width) {
            Some(Sensor { id, index, .. }) => {
                Err(MapError::Outside { id: *id, index: *index, width })
            }
            None => Ok(()),
        }
    }
}

/// A place counted from `base`, counted from 0.
fn index(place: i64, base: i64) -> Result<u32, String> {
    let index = place.checked_sub(base).and_then(|index| u32::try_from(index).ok());
    index.ok_or_else(|| format!("index {place} is no place; they begin at {base}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maps_that_are_built_in_have_137_places_each() {
        for (side, first, least, most) in [("left", 30, 0, 254), ("right", 239, 1, 255)] {
            let map = SensorMap::load(side).unwrap();
            assert_eq!((map.name.as_str(), map.side.as_str()), ("JQ20-XL-11", side));
            let places: BTreeSet<_> = map.sensors.iter().map(|s| s.index).collect();
            assert_eq!(places.len(), 137);
            assert_eq!((places.first(), places.last()), (Some(&least), Some(&most)));
            assert_eq!((map.sensors[0].id, map.sensors[0].index), (1, first));
            map.fits(256).unwrap();
            let error = map.fits(255 - usize::from(side == "left")).unwrap_err();
            assert!(error.to_string().contains("counted from 0"), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_map_is_told_with_its_file() {
        let parse = |name: &str, text: &str| {
            SensorMap::parse(Path::new(name), text).unwrap_err().to_string()
        };
        let error = parse("x.csv", "sensor_id,data_frame_index\n1,5\n1,6\n");
        assert_eq!(error, "x.csv: sensor 1 is there twice");
        assert!(parse("x.csv", "").contains("x.csv: "), "nothing is no map");
        assert!(parse("x.toml", "name = 3").starts_with("x.toml: "));
        let many: String = (0..5000).map(|n| format!("{n},1\n")).collect();
        let error = parse("x.csv", &format!("sensor_id,data_frame_index\n{many}"));
        assert!(error.contains("5000 sensors"), "{error}");
        let error = SensorMap::load("/no/such.csv").unwrap_err().to_string();
        assert!(error.starts_with("/no/such.csv: No such file"), "{error}");
    }
}
