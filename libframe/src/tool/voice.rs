//! What a tool may say on stderr, by `--name`, `-q` and `-v`.

use super::args::Common;

/// A tool's voice on stderr.
#[derive(Clone, Debug, Default)]
pub struct Voice {
    name: String,
    quiet: bool,
    verbose: bool,
}

impl Voice {
    pub(super) fn new(common: &Common) -> Voice {
        Voice { name: common.name(), quiet: common.quiet, verbose: common.verbose }
    }

    /// What the stage is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says something, unless asked to be quiet.
    pub fn tell(&self, text: &str) {
        if !self.quiet {
            eprintln!("{}: {text}", self.name);
        }
    }

    /// Says what an option of the tool's own asks for, quiet or not.
    pub fn answer(&self, text: &str) {
        eprintln!("{}: {text}", self.name);
    }

    /// Passes on what a tool said that this one started.
    pub fn pass_on(&self, line: &str) {
        eprintln!("{line}");
    }

    /// Says something, if asked to say more.
    pub fn detail(&self, text: &str) {
        if self.verbose {
            self.tell(text);
        }
    }
}
