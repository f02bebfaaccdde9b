//! From what a sensor reads to what it means, by points and straight lines between them.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// The curve of the sensors in a JQ20-XL-11, in N/cm² over their readings.
///
/// Its points are at readings of 1.5·k, k from 0 to 170. Up to k = 69 they are on a straight
/// line, 0.0328 + 0.004·k; these are the ones after it, in 0.001 N/cm².
pub(crate) const BUILT_IN: &str = "C60510";
const LINE: usize = 70;
const ABOVE: [u16; 101] = [
    313, 318, 323, 328, 334, 339, 349, 354, 359, 366, 373, 381, 389, 397, 406, 415, 425,
    435, 446, 457, 468, 480, 492, 505, 518, 532, 547, 562, 577, 593, 610, 627, 645, 663,
    682, 701, 722, 742, 764, 786, 809, 832, 857, 882, 907, 934, 961, 989, 1018, 1047,
    1077, 1108, 1140, 1173, 1206, 1241, 1276, 1312, 1349, 1387, 1426, 1466, 1506, 1548,
    1590, 1634, 1678, 1724, 1770, 1818, 1866, 1916, 1966, 2018, 2070, 2124, 2179, 2235,
    2292, 2350, 2409, 2470, 2531, 2594, 2658, 2723, 2789, 2857, 2925, 2995, 3066, 3139,
    3214, 3291, 3373, 3459, 3551, 3649, 3755, 3869, 3992,
];

/// The units that the built-in curve can be in, with their worth of 1 N/cm².
const UNITS: [(&str, f64); 3] = [("kPa", 10.0), ("mmHg", 75.006_2), ("N/cm2", 1.0)];

/// Points by their reading, and what they mean.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Curve {
    points: Vec<(f64, f64)>,
    pub(crate) name: String,
}

impl Curve {
    /// The built-in curve; `None` if it is not known in this unit.
    pub(crate) fn built_in(unit: &str) -> Option<Curve> {
        let (_, worth) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let line = (0..LINE).map(|k| 0.0328 + 0.004 * k as f64);
        let above = ABOVE.iter().map(|point| f64::from(*point) / 1000.0);
        let points = line.chain(above).enumerate();
        let points = points.map(|(k, force)| (1.5 * k as f64, force * worth)).collect();
        Some(Curve { points, name: BUILT_IN.into() })
    }

    /// A curve in CSV: readings in the first column and values in the second, or in the one
    /// whose heading has the unit.
    pub(crate) fn load(path: &Path, unit: &str) -> Result<Curve> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(|| name.clone())?;
        let points = points(&text, unit).with_context(|| name.clone())?;
        Ok(Curve { points, name })
    }

    /// What a reading means. Beyond the ends nothing is known, so it is as at the end.
    pub(crate) fn at(&self, reading: f64) -> f64 {
        let after = self.points.partition_point(|(x, _)| *x <= reading);
        match (
            after.checked_sub(1).and_then(|at| self.points.get(at)),
            self.points.get(after),
        ) {
            (Some((x, y)), Some((next_x, next_y))) => {
                y + (next_y - y) * (reading - x) / (next_x - x)
            }
            (Some((_, y)), None) | (None, Some((_, y))) => *y,
            (None, None) => reading,
        }
    }
}

fn points(text: &str, unit: &str) -> Result<Vec<(f64, f64)>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let mut column = 1;
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (nth, row) in reader.records().enumerate() {
        let row = row?;
        let line = row.position().map_or(0, csv::Position::line);
        let number = |at: usize| -> Option<f64> {
            row.get(at)?.parse().ok().filter(|number: &f64| number.is_finite())
        };
        match (number(0), number(column)) {
            (Some(x), Some(y)) => points.push((x, y)),
            _ if nth == 0 => column = value_column(&row, unit)?,
            _ => bail!("line {line}: no two numbers"),
        }
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    if points.len() < 2 {
        bail!("a curve needs two points");
    }
    if let Some(two) = points.windows(2).find(|two| two[0].0 == two[1].0) {
        bail!("two values at {}", two[0].0);
    }
    Ok(points)
}

/// Where the values are, by the headings.
fn value_column(header: &csv::StringRecord, unit: &str) -> Result<usize> {
    let plain = |text: &str| -> String {
        text.chars()
            .filter(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_lowercase()
    };
    let columns = header.iter().filter(|heading| !heading.is_empty()).count();
    let wanted = plain(unit);
    let mut named = header.iter().skip(1).map(|heading| plain(heading).contains(&wanted));
    match named.position(|named| named && !wanted.is_empty()) {
        Some(at) => Ok(at + 1),
        None if columns <= 2 => Ok(1),
        None => bail!("several columns, and none is headed {unit:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_curve_has_the_makers_figures() {
        let curve = Curve::built_in("kPa").unwrap();
        assert_eq!(curve.points.len(), 171);
        assert_eq!(curve.points[170].0, 255.0);
        // As its users know it, from a table whose readings are rounded to whole ones: so
        // they agree to what half a count is worth there.
        for (reading, kpa) in [
            (0.0, 0.33),
            (10.0, 0.59),
            (50.0, 1.65),
            (100.0, 2.99),
            (128.0, 4.15),
            (150.0, 6.10),
            (200.0, 15.48),
            (255.0, 39.92),
        ] {
            let half = (curve.at(reading + 0.5) - curve.at(reading - 0.5)) / 2.0;
            let error = (curve.at(reading) - kpa).abs();
            assert!(error <= half + 0.0051, "{reading}: {}", curve.at(reading));
        }
        assert!((curve.at(150.0) - 6.10).abs() < 1e-9, "a point of the table");
        assert!((curve.at(104.25) - (3.09 + 3.13) / 2.0).abs() < 0.002, "between two");
        let mmhg = Curve::built_in("mmHg").unwrap();
        assert!((mmhg.at(77.0) / curve.at(77.0) - 7.500_62).abs() < 1e-9);
        assert_eq!(Curve::built_in("N/cm2").unwrap().at(255.0), 3.992);
        assert_eq!(Curve::built_in("psi"), None);
    }

    #[test]
    fn beyond_its_ends_a_curve_is_level_and_nothing_falls() {
        let curve = Curve::built_in("kPa").unwrap();
        assert_eq!((curve.at(-5.0), curve.at(300.0)), (curve.at(0.0), curve.at(255.0)));
        let values: Vec<_> =
            (0..=255).map(|reading| curve.at(f64::from(reading))).collect();
        assert!(values.windows(2).all(|two| two[0] < two[1]));
    }

    #[test]
    fn curves_are_read_with_headings_and_without() {
        for text in ["0,1\n10, 3 \n", "adc,force\n0,1\n10,3\n", "10,3\n# why\n0 ,1 \n"] {
            assert_eq!(
                points(text, "kPa").unwrap(),
                [(0.0, 1.0), (10.0, 3.0)],
                "{text:?}"
            );
        }
        let many = "ADC reading,Pressure in N/cm^2,in mmHg,Pressure in kpa \n0 ,1 ,2 ,3 \n9 ,4 ,5 ,6 \n";
        for (unit, first) in [("N/cm2", 1.0), ("mmHg", 2.0), ("kPa", 3.0)] {
            assert_eq!(points(many, unit).unwrap()[0].1, first, "{unit}");
        }
        for (text, unit, why) in [
            (many, "psi", "none is headed \"psi\""),
            ("a,b\n1,2\nx,3\n", "", "line 3: no two numbers"),
            ("1,2\n", "", "needs two points"),
            ("1,2\n1,3\n", "", "two values at 1"),
            ("0,0\n1,inf\n", "", "line 2"),
        ] {
            let error = points(text, unit).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn the_makers_file_gives_the_figures_that_its_users_know() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../../shared/fixtures/glove_adc_curve_C60510.csv"
        );
        if !Path::new(path).exists() {
            eprintln!("skipped: no curve beside this repository");
            return;
        }
        let curve = Curve::load(Path::new(path), "kPa").unwrap();
        for (reading, kpa) in [(0.0, 0.33), (50.0, 1.65), (128.0, 4.15), (200.0, 15.48)] {
            assert!((curve.at(reading) - kpa).abs() < 1e-9, "{reading}");
        }
        let built_in = Curve::built_in("kPa").unwrap();
        for (ours, theirs) in built_in.points.iter().zip(&curve.points) {
            assert!((ours.1 - theirs.1).abs() < 0.0051, "{ours:?} {theirs:?}");
            assert!((ours.0 - theirs.0).abs() <= 0.5, "{ours:?} {theirs:?}");
        }
    }
}
