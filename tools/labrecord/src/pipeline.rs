//! The command lines of a recording, for the shell; without I/O.

use std::path::Path;

use crate::study::{Form, Names};
use crate::told::ENDED;

/// The tools that a recording is made of.
pub(crate) const TOOLS: [&str; 4] = ["lsl-src", "fan-out", "to-xdf", "to-h5"];

/// What a recording is to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pipeline {
    /// Predicates of which one must hold; none for all streams.
    pub(crate) predicates: Vec<String>,
    /// Streams that must be there before it begins.
    pub(crate) required: Vec<String>,
    /// How long those may take, or the first stream at all, ns.
    pub(crate) wait: i64,
    /// Further words for the source, and for each tool.
    pub(crate) for_source: Vec<String>,
    pub(crate) for_all: Vec<String>,
    /// Options that users wrote for one tool, as they did.
    pub(crate) options: Vec<(String, String)>,
    /// Branches that may fall behind.
    pub(crate) mays: Vec<String>,
}

impl Pipeline {
    pub(crate) fn source(&self) -> String {
        let mut line = self.begin("lsl-src", "exec ");
        self.required.iter().for_each(|name| add(&mut line, "--require", name));
        push(&mut line, &format!("--wait={}ns", self.wait));
        self.for_source.iter().for_each(|word| push(&mut line, word));
        line.push_str(" --");
        self.predicates.iter().for_each(|query| push(&mut line, query));
        line
    }

    /// A look for the streams that there are.
    pub(crate) fn list(&self) -> String {
        let mut line = self.begin("lsl-src", "exec ");
        line.push_str(" --list --format json --");
        self.predicates.iter().for_each(|query| push(&mut line, query));
        line
    }

    pub(crate) fn fan_out(&self, names: &Names) -> String {
        let mut line = self.begin("fan-out", "exec ");
        for (form, path) in &names.files {
            add(&mut line, "--must", &self.branch(*form, path));
        }
        self.mays.iter().for_each(|command| add(&mut line, "--may", command));
        line
    }

    /// A recorder. How it ended is said at once, to us; to fan-out it is one that had all it
    /// wanted, so that the others can go on.
    fn branch(&self, form: Form, path: &Path) -> String {
        let recorder = self.begin(form.tool(), "");
        let (name, file) = (form.name(), quoted(&path.to_string_lossy()));
        format!("{name}={recorder} {file}; echo '{ENDED}{name}' $? >&2")
    }

    fn begin(&self, tool: &str, before: &str) -> String {
        let mut line = format!("{before}{tool}");
        self.for_all.iter().for_each(|word| push(&mut line, word));
        for (_, options) in self.options.iter().filter(|(name, _)| name == tool) {
            line.push(' ');
            line.push_str(options);
        }
        line
    }
}

/// Reads `TOOL OPTIONS`.
pub(crate) fn parse_options(text: &str) -> Result<(String, String), String> {
    let (tool, options) = text.trim().split_once(' ').unwrap_or((text, ""));
    match TOOLS.contains(&tool) && !options.is_empty() {
        true => Ok((tool.into(), options.trim().into())),
        false => Err(format!(
            "{text:?} names no tool with options; say '{} --compress none'",
            TOOLS[3]
        )),
    }
}

fn add(line: &mut String, option: &str, value: &str) {
    push(line, &format!("{option}={value}"));
}

fn push(line: &mut String, word: &str) {
    line.push(' ');
    line.push_str(&quoted(word));
}

/// A word that the shell takes as it is.
fn quoted(word: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_./=:,+".contains(char);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_two_command_lines() {
        let pipeline = Pipeline {
            predicates: vec!["name='EEG' and hostname='a b'".into()],
            required: vec!["EEG (a)".into()],
            wait: 5,
            for_source: vec!["--count=5".into()],
            for_all: vec!["-q".into()],
            options: vec![("to-h5".into(), "--compress none".into())],
            mays: vec!["to-text > x".into()],
        };
        assert_eq!(
            pipeline.source(),
            "exec lsl-src -q '--require=EEG (a)' --wait=5ns --count=5 -- \
             'name='\\''EEG'\\'' and hostname='\\''a b'\\'''"
        );
        let files = vec![(Form::Xdf, "/d/x.xdf".into()), (Form::H5, "/d/it's.h5".into())];
        let line = pipeline.fan_out(&Names { run: None, files });
        let words = line.strip_prefix("exec fan-out -q ").unwrap();
        let xdf = "'--must=xdf=to-xdf -q /d/x.xdf; echo '\\''labrecord-branch-ended xdf\
                   '\\'' $? >&2'";
        assert!(words.starts_with(xdf), "{words}");
        assert!(words.contains("h5=to-h5 -q --compress none "), "{words}");
        assert!(words.ends_with(" '--may=to-text > x'"), "{words}");
    }

    #[test]
    fn options_are_for_a_tool_of_the_pipeline() {
        let parsed = parse_options("to-h5 --flush 5s").unwrap();
        assert_eq!(parsed, ("to-h5".into(), "--flush 5s".into()));
        assert!(parse_options("to-h5").is_err());
        assert!(parse_options("rm -rf").is_err());
    }
}
