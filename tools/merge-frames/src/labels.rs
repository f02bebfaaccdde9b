//! What inputs are called.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use libframe::tool::Usage;

/// A label for each input: as the user says, else by its file.
pub(crate) fn of(inputs: &[PathBuf], given: &[String]) -> Result<Vec<String>> {
    if given.len() > inputs.len() {
        let (labels, inputs) = (given.len(), inputs.len());
        return Err(Usage(format!("{labels} labels for {inputs} inputs")).into());
    }
    let mut taken = BTreeSet::new();
    for label in given {
        if label.is_empty() || !taken.insert(label.clone()) {
            let hint = format!("--label {label:?}: each input needs a name of its own");
            return Err(Usage(hint).into());
        }
    }
    let rest = inputs.iter().enumerate().skip(given.len());
    let rest = rest.map(|(at, path)| unique(by_path(at, path), &mut taken));
    Ok(given.iter().cloned().chain(rest).collect())
}

/// The file's name without its ending. The number of a descriptor would say nothing.
fn by_path(at: usize, path: &Path) -> String {
    if path == Path::new("-") {
        return "stdin".into();
    }
    let descriptor = ["/dev/fd", "/proc/self/fd"].map(Path::new);
    match path.file_stem() {
        Some(stem) if !descriptor.iter().any(|folder| path.starts_with(folder)) => {
            stem.to_string_lossy().into_owned()
        }
        _ => format!("input-{}", at + 1),
    }
}

fn unique(label: String, taken: &mut BTreeSet<String>) -> String {
    let more = (2u32..).map(|n| format!("{label}-{n}"));
    let mut names = std::iter::once(label.clone()).chain(more);
    let free = names.find(|name| !taken.contains(name)).unwrap_or(label);
    taken.insert(free.clone());
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(inputs: &[&str], given: &[&str]) -> Result<Vec<String>> {
        let inputs: Vec<_> = inputs.iter().map(PathBuf::from).collect();
        let given: Vec<_> = given.iter().map(|label| (*label).to_owned()).collect();
        of(&inputs, &given)
    }

    #[test]
    fn inputs_are_called_by_their_files_and_each_differently() {
        let inputs = ["rig/left.frames", "-", "/dev/fd/63", "left", "/tmp/left.fifo"];
        let expected = ["left", "stdin", "input-3", "left-2", "left-3"];
        assert_eq!(labels(&inputs, &[]).unwrap(), expected);
        assert_eq!(labels(&["b", "a"], &["a"]).unwrap(), ["a", "a-2"]);
    }

    #[test]
    fn labels_must_be_apart_and_have_an_input() {
        assert!(labels(&["a"], &["x", "y"]).is_err());
        assert!(labels(&["a", "b"], &["x", "x"]).is_err());
        assert!(labels(&["a"], &[""]).is_err());
    }
}
