//! What the plugin's generations say differently.

use clap::ValueEnum;

/// A generation of the plugin, named by its first version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Generation {
    /// 2020: all channels in one message, in rows longer than the block; spikes cut short
    #[value(name = "0.2.0")]
    Blocks,
    /// June 2022, never released: a channel per message, with the old names and long rows
    #[value(name = "interim")]
    Interim,
    /// July 2022: the present names
    #[value(name = "0.3.0")]
    Names,
    /// May 2023: when each message was made
    #[value(name = "0.3.2")]
    Timestamps,
    /// May 2025: for GUI 1.0, otherwise the same
    #[value(name = "1.0")]
    One,
    /// July 2025: channels have names
    #[value(name = "1.0-names")]
    Current,
}

impl Generation {
    /// Whether the keys are those of today.
    pub(crate) fn has_present_names(self) -> bool {
        self >= Generation::Names
    }

    /// What the number of a message is called.
    pub(crate) fn number_key(self) -> &'static str {
        if self.has_present_names() { "message_num" } else { "message_no" }
    }

    /// Whether the numbers of messages begin anew with each acquisition; once they counted
    /// all since the plugin was loaded.
    pub(crate) fn numbers_restart(self) -> bool {
        self.has_present_names()
    }

    pub(crate) fn has_timestamps(self) -> bool {
        self >= Generation::Timestamps
    }

    pub(crate) fn has_channel_names(self) -> bool {
        self == Generation::Current
    }

    /// Whether rows are as long as the GUI's buffer, however few samples are in them.
    pub(crate) fn has_long_rows(self) -> bool {
        !self.has_present_names()
    }
}
