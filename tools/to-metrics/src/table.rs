//! Rows by label, as many as are allowed; what is over goes into one row for all the rest.
//!
//! Names come from the pipe. Whoever makes up a new one for each sample would otherwise fill
//! our memory, and then that of the Prometheus that asks.

use crate::label::Labels;

/// What the row of all the rest has for a name.
pub(crate) const OTHER: &str = "_other";

/// Rows by label.
#[derive(Clone, Debug)]
pub(crate) struct Table<R> {
    rows: Vec<(Labels, R)>,
    limit: usize,
}

impl<R: Default> Table<R> {
    /// A table of at most so many rows and the one of all the rest.
    pub(crate) fn new(limit: usize) -> Table<R> {
        Table { rows: Vec::new(), limit }
    }

    /// Where the row of these labels is; a new one if need be. `other` has the labels of the
    /// rest. A row stays where it is.
    pub(crate) fn place(
        &mut self,
        labels: &Labels,
        other: impl FnOnce() -> Labels,
    ) -> usize {
        if let Some(at) = self.rows.iter().position(|(known, _)| known == labels) {
            return at;
        }
        if self.rows.len() < self.limit {
            self.rows.push((labels.clone(), R::default()));
            return self.rows.len() - 1;
        }
        // What is told apart by more than its name may need more than one row for the rest.
        let other = other();
        let known =
            self.rows.iter().skip(self.limit).position(|(known, _)| *known == other);
        known.map_or_else(
            || {
                self.rows.push((other, R::default()));
                self.rows.len() - 1
            },
            |at| self.limit + at,
        )
    }

    /// The row of these labels.
    pub(crate) fn row(
        &mut self,
        labels: &Labels,
        other: impl FnOnce() -> Labels,
    ) -> &mut R {
        let at = self.place(labels, other);
        &mut self.rows[at].1
    }

    /// The row at a place that [`Table::place`] told.
    #[inline]
    pub(crate) fn at(&mut self, place: usize) -> &mut R {
        &mut self.rows[place].1
    }

    /// The labels of the row at a place.
    pub(crate) fn labels(&self, place: usize) -> &Labels {
        &self.rows[place].0
    }

    /// Whether there were more names than rows.
    pub(crate) fn is_over(&self) -> bool {
        self.rows.len() > self.limit
    }

    /// All rows; the last value tells whether it is one of a single name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Labels, &R, bool)> {
        let rows = self.rows.iter().enumerate();
        rows.map(|(at, (labels, row))| (labels, row, at < self.limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_over_the_limit_share_a_row_and_known_ones_keep_theirs() {
        let mut table = Table::<u64>::new(2);
        let other = || Labels::new(&[("stream", OTHER)]);
        for name in ["a", "b", "c", "d", "a"] {
            *table.row(&Labels::new(&[("stream", name)]), other) += 1;
        }
        let rows: Vec<_> =
            table.iter().map(|(labels, n, own)| (labels.as_str(), *n, own)).collect();
        let other = ("stream=\"_other\"", 2, false);
        assert_eq!(rows, [("stream=\"a\"", 2, true), ("stream=\"b\"", 1, true), other]);
        assert!(table.is_over());
    }
}
