//! Maps in TOML: the places of each region, and where they are.

use libframe::schema::Sensor;
use serde::Deserialize;

use crate::{SensorMap, index};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    name: String,
    #[serde(default)]
    side: String,
    /// What the first number of a sample is called: 0 or 1. Not assumed, since being off by
    /// one shows plausible values of the wrong sensors.
    index_base: i64,
    region: Vec<Region>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Region {
    name: String,
    indices: Vec<i64>,
    #[serde(default)]
    x: Vec<f32>,
    #[serde(default)]
    y: Vec<f32>,
}

/// Reads a map. Sensors are numbered from 1, in its order.
pub(crate) fn parse(text: &str) -> Result<SensorMap, String> {
    let file: File = toml::from_str(text).map_err(|err| err.to_string())?;
    if ![0, 1].contains(&file.index_base) {
        return Err(format!("index_base is {}; say 0 or 1", file.index_base));
    }
    let mut sensors = Vec::new();
    for region in &file.region {
        sensors.extend(places(region, file.index_base, sensors.len())?);
    }
    Ok(SensorMap { name: file.name, side: file.side, sensors })
}

fn places(region: &Region, base: i64, before: usize) -> Result<Vec<Sensor>, String> {
    let Region { name, indices, x, y } = region;
    let drawn = !(x.is_empty() && y.is_empty());
    if drawn && (x.len(), y.len()) != (indices.len(), indices.len()) {
        let (n, x, y) = (indices.len(), x.len(), y.len());
        return Err(format!("region {name} has {n} indices, {x} x and {y} y"));
    }
    let sensor = |(at, place): (usize, &i64)| {
        let position = drawn.then(|| [x[at], y[at], 0.0]);
        let id = (before + at + 1) as u32;
        let index = index(*place, base).map_err(|why| format!("region {name}: {why}"))?;
        Ok(Sensor { id, index, region: name.clone(), position })
    };
    indices.iter().enumerate().map(sensor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "index_base = 1\n\
        [[region]]\nname = 'tip'\nindices = [7, 5]\nx = [1, 2.5]\ny = [3, 4]\n\
        [[region]]\nname = 'back'\nindices = [1]\n";

    #[test]
    fn sensors_are_numbered_in_order_and_places_counted_from_0() {
        let sensors = parse(TWO).unwrap().sensors;
        let told: Vec<_> = sensors.iter().map(|s| (s.id, s.index, &*s.region)).collect();
        assert_eq!(told, [(1, 6, "tip"), (2, 4, "tip"), (3, 0, "back")]);
        assert_eq!(sensors[1].position, Some([2.5, 4.0, 0.0]));
        assert_eq!(sensors[2].position, None);
        let sensors = parse(&TWO.replace("base = 1", "base = 0")).unwrap().sensors;
        assert_eq!(sensors[0].index, 7);
    }

    #[test]
    fn a_base_must_be_given_and_lists_must_be_of_one_length() {
        for (from, to, why) in [
            ("index_base = 1", "", "index_base"),
            ("index_base = 1", "index_base = 2", "say 0 or 1"),
            ("x = [1, 2.5]", "x = [1]", "region tip has 2 indices, 1 x and 2 y"),
            ("indices = [1]", "indices = [0]", "region back: index 0 is no place"),
            ("name = 'back'", "nmae = 'back'", "nmae"),
        ] {
            let error = parse(&TWO.replace(from, to)).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
