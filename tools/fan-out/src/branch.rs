//! What the user asked for: branches, their names and their kind.

use crate::backlog::Policy;

/// Characters of a name.
fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    !text.is_empty() && text.chars().all(fits)
}

/// A branch as the user wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    pub(crate) name: String,
    /// What the shell is given; `None` for stdout.
    pub(crate) command: Option<String>,
    /// Whether the run depends on it.
    pub(crate) must: bool,
}

impl Branch {
    /// All branches in the order of the command line, with names of their own; `stdout` says
    /// whether records go on to it.
    pub(crate) fn all(musts: &[String], mays: &[String], stdout: bool) -> Vec<Branch> {
        let mut branches = Vec::new();
        let mut add = |name: String, command: Option<&str>, must| {
            let taken =
                |name: &String| branches.iter().any(|other: &Branch| other.name == *name);
            let others = (2..).map(|n| format!("{name}-{n}"));
            let mut names = std::iter::once(name.clone()).chain(others);
            let name = names.find(|name| !taken(name)).unwrap_or_default();
            branches.push(Branch { name, command: command.map(str::to_owned), must });
        };
        for (texts, must) in [(musts, true), (mays, false)] {
            for (name, command) in texts.iter().map(|text| named(text)) {
                add(name, Some(command), must);
            }
        }
        if stdout {
            add("stdout".into(), None, true);
        }
        branches
    }

    /// What happens when its queue is full.
    pub(crate) fn policy(&self, drop: Policy) -> Policy {
        if self.must { Policy::Wait } else { drop }
    }
}

/// The name and the command in `NAME=CMD`; without a name, its first program's.
fn named(text: &str) -> (String, &str) {
    if let Some((name, command)) = text.split_once('=')
        && is_name(name)
    {
        return (name.into(), command);
    }
    let word = text.split_whitespace().next().unwrap_or_default();
    let program = word.rsplit('/').next().unwrap_or_default();
    let fits = |c: &char| is_name(c.encode_utf8(&mut [0; 4]));
    let name: String = program.chars().filter(fits).collect();
    (if name.is_empty() { "branch".into() } else { name }, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(musts: &[&str], mays: &[&str]) -> Vec<String> {
        let own =
            |texts: &[&str]| texts.iter().map(|t| t.to_string()).collect::<Vec<_>>();
        let branches = Branch::all(&own(musts), &own(mays), true);
        branches.into_iter().map(|branch| branch.name).collect()
    }

    #[test]
    fn a_branch_is_called_as_the_user_says_or_like_its_first_program() {
        let musts = ["to-h5 a.h5", "rec=to-h5 b.h5", "/usr/bin/to-h5 c.h5"];
        let mays = ["calibrate-frames --gain 2 | to-lsl", "rec=to-text", "( cd x; y )"];
        let all =
            ["to-h5", "rec", "to-h5-2", "calibrate-frames", "rec-2", "branch", "stdout"];
        assert_eq!(names(&musts, &mays), all);
    }

    #[test]
    fn only_what_can_be_a_name_is_cut_off() {
        assert_eq!(named("a_1-b=x=y | z"), ("a_1-b".into(), "x=y | z"));
        assert_eq!(named("to-text -k=data"), ("to-text".into(), "to-text -k=data"));
        assert_eq!(named("=x"), ("x".into(), "=x"));
    }
}
