//! A laboratory of a test's own: LSL on ports and under a session id that nobody else uses,
//! and only on this machine.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Pipe, Scratch, pipe, root};

/// Ports of one laboratory: one for searches, the others for outlets.
const PORTS: u32 = 64;
/// The first of all of them, below those that the kernel gives away.
const FIRST: u32 = 18_000;
/// How many laboratories there are before one is used again.
const LABS: u32 = 220;

/// A laboratory. Its files are gone with it.
#[derive(Debug)]
pub struct Lab {
    folder: Scratch,
    library: PathBuf,
    python: PathBuf,
}

impl Lab {
    /// A new one; says loudly that there is none without pylsl, which brings liblsl.
    pub fn new() -> Option<Lab> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let python = root().join(".venv/bin/python");
        let Some(library) = library() else {
            eprintln!("skipped: no .venv with pylsl; run scripts/setup");
            return None;
        };
        let (pid, n) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let first = FIRST + (pid.wrapping_mul(31).wrapping_add(n)) % LABS * PORTS;
        let config = format!(
            "[ports]\nMulticastPort = {first}\nBasePort = {}\nPortRange = {}\n\
             IPv6 = disable\n[multicast]\nResolveScope = machine\n[lab]\n\
             SessionID = framepipe-{pid}-{n}\nKnownPeers = {{127.0.0.1}}\n\
             [log]\nlevel = -2\n",
            first + 1,
            PORTS - 1
        );
        let folder = Scratch::new();
        fs::write(folder.file("lsl_api.cfg"), config).expect("a file");
        Some(Lab { folder, library, python })
    }

    /// A folder for the test's files.
    pub fn folder(&self) -> &Scratch {
        &self.folder
    }

    /// What a process needs in its environment to be in this laboratory.
    pub fn env(&self) -> [(&'static str, String); 2] {
        [
            ("LSLAPICFG", self.folder.file("lsl_api.cfg")),
            ("PYLSL_LIB", self.library.display().to_string()),
        ]
    }

    /// A pipeline in it; see [`pipe`].
    pub fn pipe(&self, line: &str) -> Pipe {
        self.env().iter().fold(pipe(line), |pipe, (key, value)| pipe.env(key, value))
    }

    /// A Python program of this repository in it, that has not been started.
    pub fn python(&self, script: &str, args: &[&str]) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(root().join(script)).args(args).current_dir(&self.folder.0);
        command.envs(self.env()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// The environment of a stage of a pipeline that is in no laboratory, so that what holds for
/// all tools can be tried with those that speak LSL: it meets nobody.
pub fn no_lab(tool: &str) -> Vec<(&'static str, PathBuf)> {
    match (tool, library()) {
        ("to-lsl" | "lsl-src", Some(library)) => {
            vec![("LSLAPICFG", root().join("tests/lsl_api.cfg")), ("PYLSL_LIB", library)]
        }
        _ => Vec::new(),
    }
}

/// Whether there is a liblsl for tools that need one.
pub fn has_lsl() -> bool {
    library().is_some()
}

/// The liblsl that pylsl brought.
fn library() -> Option<PathBuf> {
    let lib = fs::read_dir(root().join(".venv/lib")).ok()?;
    let at = |python: PathBuf| python.join("site-packages/pylsl/lib/liblsl.so.2");
    lib.flatten().map(|entry| at(entry.path())).find(|path| path.exists())
}
