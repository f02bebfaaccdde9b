//! Where the tools are that a recording is made of: beside this one, or on PATH.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use libframe::tool::{Need, Usage, find_program};

/// PATH, with the folder of this program first.
pub(crate) fn path() -> OsString {
    let own = std::env::current_exe().ok();
    let own = own.as_deref().and_then(Path::parent).map(Path::to_owned);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = own.into_iter().chain(std::env::split_paths(&path));
    // A folder with a colon in its name cannot be on PATH.
    std::env::join_paths(all).unwrap_or(path)
}

/// Where a tool is.
pub(crate) fn find(tool: &str) -> Option<PathBuf> {
    let folders: Vec<_> = std::env::split_paths(&path()).collect();
    let found = folders.iter().map(|folder| folder.join(tool));
    found.filter_map(|path| find_program(path.to_str()?)).next()
}

/// Says which tools are missing, if any are.
pub(crate) fn check(tools: &[&str]) -> Result<(), Usage> {
    let absent: Vec<_> =
        tools.iter().copied().filter(|tool| find(tool).is_none()).collect();
    match absent.is_empty() {
        true => Ok(()),
        false => Err(Usage(format!(
            "neither beside this tool nor on PATH: {}; scripts/install puts them there",
            absent.join(", ")
        ))),
    }
}

/// A tool, for the plan.
pub(crate) fn need(tool: &str) -> Need {
    match find(tool) {
        Some(path) => Need::program(&path.to_string_lossy()),
        None => Need::program(tool),
    }
}
