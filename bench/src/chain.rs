//! Chains of processes, joined by pipes of the default size as a shell joins them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// The programs that take part.
pub(crate) struct Cast {
    pub(crate) tools: PathBuf,
    pub(crate) relay: PathBuf,
    pub(crate) stage: PathBuf,
    pub(crate) python: PathBuf,
    pub(crate) probe: PathBuf,
}

/// A command line.
#[derive(Clone)]
pub(crate) struct Program(Vec<OsString>);

impl Cast {
    /// One of the toolkit's tools.
    pub(crate) fn tool(&self, name: &str, args: &[&str]) -> Program {
        program(&self.tools.join(name), args)
    }

    /// The toolkit's filter that passes everything, and checks it on the way.
    pub(crate) fn pick(&self) -> Program {
        self.tool("pick-frames", &[])
    }

    /// The relay in C.
    pub(crate) fn relay(&self) -> Program {
        program(&self.relay, &[])
    }

    /// The stage in Python.
    pub(crate) fn python(&self) -> Program {
        let mut python = program(&self.python, &[]);
        python.0.push(self.stage.clone().into_os_string());
        python
    }

    /// This program in one of its other roles.
    pub(crate) fn probe(&self, args: &[&str]) -> Program {
        program(&self.probe, args)
    }
}

/// The system's `cat`.
pub(crate) fn cat() -> Program {
    program(Path::new("cat"), &[])
}

fn program(path: &Path, args: &[&str]) -> Program {
    let words = args.iter().map(OsString::from);
    Program([path.as_os_str().to_owned()].into_iter().chain(words).collect())
}

impl Program {
    fn start(&self, from: Stdio, to: Stdio) -> Result<Child> {
        let mut command = Command::new(&self.0[0]);
        command.args(&self.0[1..]).stdin(from).stdout(to);
        command.spawn().with_context(|| self.0[0].display().to_string())
    }
}

/// Starts a chain that reads `from` and writes `to`.
pub(crate) fn start(chain: &[Program], from: Stdio, to: Stdio) -> Result<Vec<Child>> {
    let (last, before) = chain.split_last().context("a chain of no programs")?;
    let mut from = from;
    let mut children = Vec::new();
    for program in before {
        let mut child = program.start(from, Stdio::piped())?;
        from = child.stdout.take().context("no pipe")?.into();
        children.push(child);
    }
    children.push(last.start(from, to)?);
    Ok(children)
}

/// Waits for all of a chain. A stage that failed makes its figure worthless.
pub(crate) fn finish(children: Vec<Child>) -> Result<()> {
    for (place, mut child) in children.into_iter().enumerate() {
        let status = child.wait()?;
        ensure!(status.success(), "stage {} of a chain: {status}", place + 1);
    }
    Ok(())
}
