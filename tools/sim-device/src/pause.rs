//! Times in which nothing comes.

use libframe::tool::parse_duration;

/// Nothing comes for a while, over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pause {
    length: i64,
    every: i64,
}

impl Pause {
    /// Reads a pause like `5s/60s`.
    pub(crate) fn parse(text: &str) -> Result<Pause, String> {
        let hint = || format!("{text:?} is no pause; say 5s/60s: 5 s of every minute");
        let (length, every) = text.split_once('/').ok_or_else(hint)?;
        let (length, every) = (parse_duration(length)?, parse_duration(every)?);
        if length == 0 || length >= every {
            return Err(format!("{text:?}: the pause must be shorter than its period"));
        }
        Ok(Pause { length, every })
    }

    /// The pause of the period that this time is in: when it begins, and when it is over.
    pub(crate) fn of(self, at: i64) -> (i64, i64) {
        let end = at - at.rem_euclid(self.every) + self.every;
        (end - self.length, end)
    }

    /// When the pause that this time is in is over. It comes at the end of its period, so
    /// that a run starts healthy.
    pub(crate) fn end(self, at: i64) -> Option<i64> {
        let (begin, end) = self.of(at);
        (at >= begin).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_at_the_end_of_its_period() {
        let pause = Pause { length: 3, every: 10 };
        let ends: Vec<_> = (0..22).filter_map(|at| pause.end(at)).collect();
        assert_eq!(ends, [10, 10, 10, 20, 20, 20]);
    }

    #[test]
    fn pauses_are_read_or_explained() {
        let pause = Pause { length: 500_000_000, every: 2_000_000_000 };
        assert_eq!(Pause::parse("500ms/2s"), Ok(pause));
        assert!(Pause::parse("5s").unwrap_err().contains("5s/60s"));
        assert!(Pause::parse("2s/2s").unwrap_err().contains("shorter"));
        assert!(Pause::parse("soon/2s").is_err());
    }
}
