//! Recordings in HDF5 are the recorder's to repair.
//!
//! Its library would cost this tool 6 MB, and the longest record then more memory than a
//! filter may take, for files that never pass through it. So the recorder takes over the process, under our name.

use std::env;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use libframe::tool::{Account, Usage, Voice};

use crate::Args;

const RECORDER: &str = "to-h5";
/// What a file in HDF5 begins with.
const SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";

/// Whether this is the path of a recording in HDF5, or of one whose journal is all there is.
pub(crate) fn made(path: &Path) -> bool {
    let mut bytes = [0; 8];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut bytes));
    let mut journal = path.as_os_str().to_owned();
    journal.push(".journal");
    read.is_ok() && bytes == SIGNATURE || Path::new(&journal).is_dir()
}

/// Has the recorder repair it. Returns only if that could not be started.
pub(crate) fn hand_over(args: Args, _: &Voice, _: &mut Account) -> Result<()> {
    if args.report.is_some() {
        let hint = "--report is for recordings in the pipe's format";
        return Err(Usage(hint.into()).into());
    }
    let mut words = env::args_os();
    let name = words.next().unwrap_or_else(|| "repair-frames".into());
    let mut recorder = Command::new(recorder());
    let failed = recorder.arg0(name).arg("--repair").args(words).exec();
    let file = args.file.unwrap_or_default();
    let what = format!("{}: {RECORDER}, which repairs HDF5", file.display());
    Err(failed).context(what)
}

/// The recorder that was installed with this tool, else the one on the path.
fn recorder() -> PathBuf {
    let beside = env::current_exe().map(|path| path.with_file_name(RECORDER));
    beside.ok().filter(|path| path.exists()).unwrap_or_else(|| RECORDER.into())
}
