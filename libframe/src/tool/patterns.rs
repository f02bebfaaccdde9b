//! Streams by name, pattern or number, as users choose them.

use anyhow::Result;
use globset::{Glob, GlobSet, GlobSetBuilder};

use super::exit::Usage;

/// Names, patterns and numbers of streams.
#[derive(Clone, Debug)]
pub struct Patterns {
    globs: GlobSet,
    numbers: Vec<u16>,
}

impl Patterns {
    /// Reads the values of an option.
    pub fn new(option: &str, words: &[String]) -> Result<Patterns> {
        let mut globs = GlobSetBuilder::new();
        for word in words {
            let glob = Glob::new(word)
                .map_err(|err| Usage(format!("{option} {word}: {}", err.kind())))?;
            globs.add(glob);
        }
        let numbers = words.iter().filter_map(|word| word.parse().ok()).collect();
        Ok(Patterns { globs: globs.build()?, numbers })
    }

    /// Whether nothing was chosen.
    pub fn is_empty(&self) -> bool {
        self.globs.is_empty()
    }

    /// Whether a word of another kind than a stream's name was chosen.
    pub fn hold_word(&self, word: &str) -> bool {
        self.globs.is_match(word)
    }

    /// Whether this stream was chosen.
    pub fn hold(&self, name: &str, number: u16) -> bool {
        self.globs.is_match(name) || self.numbers.contains(&number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_chosen_by_name_pattern_and_number() {
        let words = ["cam*", "glove", "7"].map(String::from);
        let patterns = Patterns::new("--stream", &words).unwrap();
        assert!(patterns.hold("camera-left", 1) && patterns.hold("glove", 2));
        assert!(patterns.hold("sine", 7) && !patterns.hold("sine", 8));
        assert!(Patterns::new("--stream", &["[".into()]).is_err());
        assert!(Patterns::new("--stream", &[]).unwrap().is_empty());
    }
}
