//! What can go wrong, as options.

use libframe::clock::SECOND;
use libframe::tool::parse_duration;

/// A fault that a user asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// This share of records is missing without a word.
    Drop(f64),
    /// This share is missing, and the device says so.
    Gap(f64),
    /// This share comes twice.
    Duplicate(f64),
    /// This share comes after its successor.
    Reorder(f64),
    /// This share has one bit flipped.
    Flip(f64),
    /// Nothing comes for `length` in every `period`; then all of it at once.
    Stall { length: i64, period: i64 },
    /// Records come so many at a time.
    Burst(u64),
    /// The device's clock is fast by this many parts in a million.
    Drift(f64),
}

const HINT: &str = "faults are drop=1%, gap=1%, dup=1%, reorder=1%, flip=1%, \
                    stall=500ms/10s, burst=20, drift=50ppm";

impl Fault {
    pub(crate) fn parse(text: &str) -> Result<Fault, String> {
        let wrong = || format!("{text:?}: {HINT}");
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let share = || percent(value).ok_or_else(wrong);
        match name {
            "drop" => share().map(Fault::Drop),
            "gap" => share().map(Fault::Gap),
            "dup" => share().map(Fault::Duplicate),
            "reorder" => share().map(Fault::Reorder),
            "flip" => share().map(Fault::Flip),
            "stall" => {
                let (length, period) = value.split_once('/').ok_or_else(wrong)?;
                let (length, period) = (parse_duration(length)?, parse_duration(period)?);
                if length >= period {
                    return Err(format!("{text:?}: the stall is longer than its period"));
                }
                Ok(Fault::Stall { length, period })
            }
            "burst" => match value.parse() {
                Ok(n) if n > 0 => Ok(Fault::Burst(n)),
                _ => Err(wrong()),
            },
            "drift" => {
                let ppm = value.strip_suffix("ppm").unwrap_or(value).parse::<f64>();
                ppm.ok().filter(|ppm| ppm.abs() < 1e5).map(Fault::Drift).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }
}

fn percent(text: &str) -> Option<f64> {
    let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |text| (text, 0.01));
    let share = number.parse::<f64>().ok()? * unit;
    (0.0..=1.0).contains(&share).then_some(share)
}

/// All faults of a run, as what they do to one record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) drop: f64,
    pub(crate) gap: f64,
    pub(crate) duplicate: f64,
    pub(crate) reorder: f64,
    pub(crate) flip: f64,
    pub(crate) drift: f64,
    stall: Option<(i64, i64)>,
    burst: Option<u64>,
}

impl Faults {
    pub(crate) fn new(all: Vec<Fault>) -> Faults {
        let mut faults = Faults::default();
        for fault in all {
            match fault {
                Fault::Drop(share) => faults.drop = share,
                Fault::Gap(share) => faults.gap = share,
                Fault::Duplicate(share) => faults.duplicate = share,
                Fault::Reorder(share) => faults.reorder = share,
                Fault::Flip(share) => faults.flip = share,
                Fault::Stall { length, period } => faults.stall = Some((length, period)),
                Fault::Burst(n) => faults.burst = Some(n),
                Fault::Drift(ppm) => faults.drift = ppm,
            }
        }
        faults
    }

    /// When the record `index`, captured every `period` ns, gets through to the host.
    pub(crate) fn arrival(&self, index: u64, period: f64) -> i64 {
        let index = match self.burst {
            Some(n) => (index / n + 1) * n - 1,
            None => index,
        };
        let at = (index as f64 * period) as i64;
        match self.stall {
            // The stall comes at the end of each period, so that a run starts healthy.
            Some((length, every)) if at.rem_euclid(every) >= every - length => {
                (at / every + 1) * every
            }
            _ => at,
        }
    }

    /// What the device's clock shows after so many ns.
    pub(crate) fn device_ticks(&self, ns: f64, rate: f64) -> u64 {
        (ns * (1.0 + self.drift * 1e-6) * rate / SECOND as f64).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_or_explained() {
        assert_eq!(Fault::parse("drop=1%"), Ok(Fault::Drop(0.01)));
        assert_eq!(Fault::parse("drift=-20ppm"), Ok(Fault::Drift(-20.0)));
        let stall = Fault::Stall { length: SECOND / 2, period: 10 * SECOND };
        assert_eq!(Fault::parse("stall=500ms/10s"), Ok(stall));
        for wrong in ["drop", "drop=2", "burst=0", "stall=2s/1s", "fire=1%"] {
            assert!(Fault::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_a_stall_holds_back_comes_at_its_end() {
        let faults = Faults::new(vec![Fault::Stall { length: 300, period: 1000 }]);
        let times: Vec<_> = (0..12).map(|i| faults.arrival(i, 100.0)).collect();
        assert_eq!(
            times,
            [0, 100, 200, 300, 400, 500, 600, 1000, 1000, 1000, 1000, 1100]
        );
    }

    #[test]
    fn a_burst_comes_when_its_last_record_does() {
        let faults = Faults::new(vec![Fault::Burst(3)]);
        let times: Vec<_> = (0..6).map(|i| faults.arrival(i, 10.0)).collect();
        assert_eq!(times, [20, 20, 20, 50, 50, 50]);
    }
}
