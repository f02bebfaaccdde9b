//! Starts tools as processes, joins them with pipes, and shows everything when an
//! expectation fails.
//!
//! ```no_run
//! let run = framepipe_tests::pipe("sim-src -n 100 --rate max | batch-frames -n 10").run();
//! assert_eq!(run.expect(&[0, 0]).samples(), 100);
//! ```

mod binaries;
mod lab;
mod run;
mod scratch;
mod started;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub use crate::binaries::{binary, root, tools};
pub use crate::lab::{Lab, has_lsl, no_lab};
pub use crate::run::{Event, Run, count_kind, count_samples, decode};
pub use crate::scratch::Scratch;
pub use crate::started::Started;

/// No pipeline of a test may take longer, so that no test can hang.
const LIMIT: Duration = Duration::from_secs(60);

/// Parses a pipeline in shell notation: words, quotes, and `|` between stages. `{new}` is a
/// folder that lasts as long as the pipeline.
pub fn pipe(line: &str) -> Pipe {
    let scratch = line.contains("{new}").then(Scratch::new);
    let folder = scratch.as_ref().map(|scratch| scratch.0.display().to_string());
    let line = line.replace("{new}", &folder.unwrap_or_default());
    let words = shell_words::split(&line).expect("quotes that close");
    let stages = words.split(|word| word == "|").map(<[String]>::to_vec).collect();
    let input = Input::Bytes(Vec::new());
    Pipe { stages, input, output: None, env: Vec::new(), scratch }
}

/// A pipeline that has not been started.
#[derive(Debug)]
pub struct Pipe {
    stages: Vec<Vec<String>>,
    input: Input,
    output: Option<OwnedFd>,
    env: Vec<(String, String)>,
    scratch: Option<Scratch>,
}

/// What the first stage has on stdin.
#[derive(Debug)]
enum Input {
    /// These bytes, then end of file.
    Bytes(Vec<u8>),
    /// These bytes, and the pipe stays open.
    Open(Vec<u8>),
    File(PathBuf),
    Fd(OwnedFd),
}

impl Pipe {
    /// Gives the first stage these bytes on stdin, then end of file.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Pipe {
        self.input = Input::Bytes(bytes.into());
        self
    }

    /// Gives the first stage these bytes on stdin, and leaves it open.
    pub fn input_left_open(mut self, bytes: impl Into<Vec<u8>>) -> Pipe {
        self.input = Input::Open(bytes.into());
        self
    }

    /// Gives the first stage this file on stdin.
    pub fn input_file(mut self, path: impl Into<PathBuf>) -> Pipe {
        self.input = Input::File(path.into());
        self
    }

    /// Gives the first stage this descriptor on stdin.
    pub fn input_fd(mut self, fd: OwnedFd) -> Pipe {
        self.input = Input::Fd(fd);
        self
    }

    /// Gives the last stage this descriptor as stdout instead of a pipe to the test.
    pub fn output_fd(mut self, fd: impl Into<OwnedFd>) -> Pipe {
        self.output = Some(fd.into());
        self
    }

    /// Sets a variable in every stage's environment.
    pub fn env(mut self, key: &str, value: &str) -> Pipe {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Starts all stages and waits for them; kills them at the limit.
    pub fn run(self) -> Run {
        self.start().wait()
    }

    /// Starts all stages.
    pub fn start(mut self) -> Started {
        let mut children: Vec<Child> = Vec::new();
        let last = self.stages.len() - 1;
        for at in 0..=last {
            let stdin = match children.last_mut() {
                Some(before) => before.stdout.take().expect("piped").into(),
                None => self.first_stdin(),
            };
            let stdout = match self.output.take_if(|_| at == last) {
                Some(fd) => Stdio::from(fd),
                None => Stdio::piped(),
            };
            children.push(self.spawn(&self.stages[at], stdin, stdout));
        }
        let (bytes, open) = match self.input {
            Input::Bytes(bytes) => (bytes, false),
            Input::Open(bytes) => (bytes, true),
            Input::File(_) | Input::Fd(_) => (Vec::new(), false),
        };
        Started::new(self.stages, children, bytes, open, self.scratch)
    }

    fn first_stdin(&mut self) -> Stdio {
        match &mut self.input {
            Input::File(path) => File::open(path).expect("the input file").into(),
            Input::Fd(fd) => fd.try_clone().expect("a descriptor").into(),
            Input::Bytes(_) | Input::Open(_) => Stdio::piped(),
        }
    }

    fn spawn(&self, words: &[String], stdin: Stdio, stdout: Stdio) -> Child {
        let (name, args) = words.split_first().expect("an empty stage");
        Command::new(binary(name))
            .args(args)
            .envs(no_lab(name))
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .stdin(stdin)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|err| panic!("{name}: {err}"))
    }
}
