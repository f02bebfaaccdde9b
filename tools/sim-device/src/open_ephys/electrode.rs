//! Electrodes, as the GUI's spike detector groups channels.

/// Samples of a waveform before its peak, and from it on.
pub(crate) const BEFORE: usize = 8;
pub(crate) const AFTER: usize = 32;

/// One to four channels that see the same cells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Electrode {
    pub(crate) name: String,
    /// Its place among all of the stream.
    pub(crate) index: i64,
    pub(crate) channels: Vec<u32>,
    /// What each channel must fall below, µV.
    pub(crate) thresholds: Vec<f64>,
    /// The cell that a sorter would tell.
    pub(crate) sorted_id: i64,
}

impl Electrode {
    /// All that these channels are: one, two and four of them in turn.
    pub(crate) fn among(channels: &[u32]) -> Vec<Electrode> {
        let mut electrodes = Vec::new();
        let mut left = channels;
        while !left.is_empty() {
            let index = electrodes.len();
            let (kind, size) =
                [("Electrode", 1), ("Stereotrode", 2), ("Tetrode", 4)][index % 3];
            let Some((own, others)) = left.split_at_checked(size) else { break };
            left = others;
            electrodes.push(Electrode {
                name: format!("{kind} {}", index / 3 + 1),
                index: index as i64,
                channels: own.to_vec(),
                thresholds: (0..size).map(|at| -50.0 - 12.5 * at as f64).collect(),
                sorted_id: (index % 3) as i64,
            });
        }
        electrodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_taken_by_one_two_and_four() {
        let channels: Vec<u32> = (10..20).collect();
        let electrodes = Electrode::among(&channels);
        let told: Vec<_> =
            electrodes.iter().map(|one| (one.name.as_str(), one.channels[0])).collect();
        assert_eq!(
            told,
            [
                ("Electrode 1", 10),
                ("Stereotrode 1", 11),
                ("Tetrode 1", 13),
                ("Electrode 2", 17),
                ("Stereotrode 2", 18)
            ]
        );
        assert_eq!(electrodes[2].channels, [13, 14, 15, 16]);
        assert!(Electrode::among(&[]).is_empty());
    }
}
