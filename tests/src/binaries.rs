//! Where the programs are that a pipeline names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a parent")
}

/// The names of all tools.
pub fn tools() -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join("tools")).expect("tools/");
    entries
        .map(|e| e.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect()
}

/// The path of a tool's binary, or the name itself for other programs.
///
/// Cargo tells only the path of binaries of the same package, so all tools are built on
/// first use, unless `TOOLS_BIN_DIR` says where they are.
pub fn binary(name: &str) -> PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    if !root().join("tools").join(name).is_dir() {
        return name.into();
    }
    DIR.get_or_init(built).join(name)
}

fn built() -> PathBuf {
    if let Some(dir) = std::env::var_os("TOOLS_BIN_DIR") {
        return dir.into();
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "-q", "--workspace", "--bins"]).current_dir(root());
    assert!(cargo.status().is_ok_and(|status| status.success()), "cargo build");
    // target/debug/deps/it-0123 -> target/debug
    let exe = std::env::current_exe().expect("own path");
    exe.ancestors().nth(2).expect("a target directory").into()
}
