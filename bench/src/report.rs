//! The figures as a table and as JSON.

use std::io::{self, Write as _};

use anyhow::Result;
use serde_json::{Value, json};

/// One contender's figures, a round each.
#[derive(Clone)]
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) values: Vec<f64>,
}

impl Series {
    pub(crate) fn new(name: &'static str) -> Series {
        Series { name, values: Vec::new() }
    }

    fn median(&self) -> f64 {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn json(&self) -> Value {
        json!({ "name": self.name, "median": self.median(), "rounds": self.values })
    }
}

/// What the figures are.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    /// Samples a second, of so many bytes each.
    Rate { bytes: f64 },
    /// Nanoseconds, shown as µs.
    Micros,
    /// Nanoseconds a record.
    Nanos,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Unit::Rate { bytes } if value < 1e5 => {
                format!("{value:.0}/s {:.2} GB/s", value * bytes / 1e9)
            }
            Unit::Rate { bytes } => {
                format!("{:.2} M/s {:.2} GB/s", value / 1e6, value * bytes / 1e9)
            }
            Unit::Micros => format!("{:.1} µs", value / 1e3),
            Unit::Nanos => format!("{value:.1} ns"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Unit::Rate { .. } => "1/s",
            Unit::Micros | Unit::Nanos => "ns",
        }
    }
}

/// What a ratio should be.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    fn is_met(self, ratio: f64) -> bool {
        match self {
            Goal::AtLeast(least) => ratio >= least,
            Goal::AtMost(most) => ratio <= most,
        }
    }

    fn show(self) -> String {
        match self {
            Goal::AtLeast(least) => format!(">= {least}"),
            Goal::AtMost(most) => format!("<= {most}"),
        }
    }
}

/// The toolkit beside one peer.
pub(crate) struct Row {
    what: String,
    unit: Unit,
    ours: Series,
    peer: Series,
    goal: Option<Goal>,
}

impl Row {
    pub(crate) fn new(
        what: String,
        unit: Unit,
        ours: &Series,
        peer: &Series,
        goal: Option<Goal>,
    ) -> Row {
        Row { what, unit, ours: ours.clone(), peer: peer.clone(), goal }
    }

    fn ratio(&self) -> f64 {
        self.ours.median() / self.peer.median()
    }

    /// The least and the greatest ratio of a single round: how far to trust the median.
    fn spread(&self) -> (f64, f64) {
        let rounds = self.ours.values.iter().zip(&self.peer.values);
        let ratios = rounds.map(|(ours, peer)| ours / peer);
        ratios.fold((f64::MAX, f64::MIN), |(low, high), r| (low.min(r), high.max(r)))
    }

    fn cells(&self) -> [String; 8] {
        let (low, high) = self.spread();
        let met = self.goal.map(|goal| goal.is_met(self.ratio()));
        [
            self.what.clone(),
            self.ours.name.into(),
            self.unit.show(self.ours.median()),
            format!("{}: {}", self.peer.name, self.unit.show(self.peer.median())),
            format!("{:.2}", self.ratio()),
            format!("{low:.2}-{high:.2}"),
            self.goal.map(Goal::show).unwrap_or_default(),
            met.map_or("", |met| if met { "yes" } else { "NO" }).into(),
        ]
    }

    fn json(&self) -> Value {
        let (low, high) = self.spread();
        json!({
            "what": self.what, "unit": self.unit.name(),
            "ours": self.ours.json(), "peer": self.peer.json(),
            "ratio": self.ratio(), "ratio_min": low, "ratio_max": high,
            "goal": self.goal.map(Goal::show),
            "met": self.goal.map(|goal| goal.is_met(self.ratio())),
        })
    }
}

const HEAD: [&str; 8] =
    ["what", "ours", "median", "peer", "ratio", "rounds", "goal", "met"];

/// Prints the table.
pub(crate) fn print(rows: &[Row]) -> Result<()> {
    let mut lines = vec![HEAD.map(String::from)];
    lines.extend(rows.iter().map(Row::cells));
    let width = |column: usize| lines.iter().map(|l| l[column].chars().count()).max();
    let widths: [usize; 8] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let mut out = io::stdout().lock();
    for line in &lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// All figures, for a program to compare runs.
pub(crate) fn json(rows: &[Row], quick: bool) -> Value {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().and_then(|load| load.parse::<f64>().ok());
    let rows: Vec<Value> = rows.iter().map(Row::json).collect();
    json!({ "quick": quick, "cores": cores, "load": load, "rows": rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_of_medians_and_judged_by_its_goal() {
        let ours = Series { name: "a", values: vec![1.0, 9.0, 2.0] };
        let peer = Series { name: "b", values: vec![4.0, 4.0, 1.0] };
        let row =
            Row::new("x".into(), Unit::Nanos, &ours, &peer, Some(Goal::AtMost(0.5)));
        assert_eq!((row.ratio(), row.spread()), (0.5, (0.25, 2.25)));
        assert_eq!(row.json()["met"], true);
    }
}
