//! High and low water: when to say that much waits, and when that it no longer does.

use anyhow::Result;
use libframe::tool::Usage;

/// What the fill has crossed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crossing {
    /// It rose to the high mark.
    High,
    /// It fell to the low mark, after it had been high.
    Low,
}

impl Crossing {
    /// The label of its event.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Crossing::High => "queue-high",
            Crossing::Low => "queue-low",
        }
    }
}

/// The marks, and on which side of them the fill is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watermarks {
    high: f64,
    low: f64,
    is_high: bool,
}

impl Watermarks {
    /// Marks as shares of what may wait.
    pub(crate) fn new(high: f64, low: f64) -> Result<Watermarks> {
        if low >= high {
            return Err(Usage("--low must be below --high".into()).into());
        }
        Ok(Watermarks { high, low, is_high: false })
    }

    /// Looks at the fill. Between the marks nothing changes, so that a fill which trembles
    /// at one is told once.
    pub(crate) fn look(&mut self, fill: f64) -> Option<Crossing> {
        let crossing = match self.is_high {
            false if fill >= self.high => Crossing::High,
            true if fill <= self.low => Crossing::Low,
            _ => return None,
        };
        self.is_high = crossing == Crossing::High;
        Some(crossing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_crossing_is_told_once_and_what_lies_between_not() {
        let mut marks = Watermarks::new(0.75, 0.25).unwrap();
        let fills = [0.0, 0.74, 0.75, 0.74, 0.76, 1.2, 0.26, 0.75, 0.25, 0.24, 0.74, 0.8];
        let crossed: Vec<_> =
            fills.iter().filter_map(|fill| Some((*fill, marks.look(*fill)?))).collect();
        assert_eq!(
            crossed,
            [(0.75, Crossing::High), (0.25, Crossing::Low), (0.8, Crossing::High)]
        );
    }

    #[test]
    fn marks_must_leave_room_between_them() {
        assert!(Watermarks::new(0.5, 0.5).is_err());
    }
}
