//! liblsl, found and loaded when it is needed.
//!
//! In this order: the file that the command line names, the one that `PYLSL_LIB` names, the
//! system's, the one that came with pylsl in a Python environment.

use std::env;
use std::ffi::{CString, OsStr};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::api::{Api, Lacks};
use crate::config;

/// The names that the system may know it by.
#[cfg(not(target_os = "macos"))]
const NAMES: [&str; 2] = ["liblsl.so.2", "liblsl.so"];
#[cfg(target_os = "macos")]
const NAMES: [&str; 2] = ["liblsl.dylib", "liblsl.2.dylib"];
/// The variable that pylsl heeds too.
const VARIABLE: &str = "PYLSL_LIB";

/// liblsl. It stays loaded until the process ends, as it has threads of its own.
pub struct Library {
    api: Api,
    path: PathBuf,
}

/// Why there is no liblsl to use.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is nowhere.
    #[error(
        "no liblsl here; `pip install pylsl` brings one (with Debian's own Python: `pip \
         install --user --break-system-packages pylsl`), or name its file with --lsl-lib"
    )]
    Absent,
    /// The file that was named is none.
    #[error("{}: {why}; {remedy}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the system, or the library, said.
        why: String,
        /// Where it was named.
        remedy: &'static str,
    },
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Library {
    /// Finds and loads it, and makes it quiet.
    pub fn open(wish: Option<&Path>) -> Result<Arc<Library>, LoadError> {
        let variable = env::var_os(VARIABLE).filter(|value| !value.is_empty());
        let named = match (wish, &variable) {
            (Some(path), _) => Some((path, "--lsl-lib must name a liblsl")),
            (None, Some(path)) => {
                Some((Path::new(path), "the variable PYLSL_LIB must name a liblsl"))
            }
            (None, None) => None,
        };
        let library =
            match named {
                Some((path, remedy)) => load(path).map_err(|why| {
                    LoadError::Unusable { path: path.to_owned(), why, remedy }
                })?,
                None => search().ok_or(LoadError::Absent)?,
            };
        library.configure();
        Ok(Arc::new(library))
    }

    /// Its functions.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Where it was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version, like 118 for 1.18.
    #[allow(unsafe_code, reason = "a C function")]
    pub fn version(&self) -> i32 {
        // SAFETY: it takes nothing and touches nothing of ours.
        unsafe { (self.api.library_version)() }
    }

    /// LSL's clock, in seconds: CLOCK_MONOTONIC.
    #[allow(unsafe_code, reason = "a C function")]
    pub fn clock(&self) -> f64 {
        // SAFETY: it takes nothing and touches nothing of ours.
        unsafe { (self.api.local_clock)() }
    }

    /// Gives it the user's configuration, made quiet; to be done before anything else.
    #[allow(unsafe_code, reason = "a C function")]
    fn configure(&self) {
        let Some(set) = self.api.set_config_content else { return };
        if let Some(Ok(config)) = config::quiet().map(CString::new) {
            // SAFETY: it copies the text, which ends in NUL and lives until then.
            unsafe { set(config.as_ptr()) }
        }
    }
}

/// The first that can be used of all that nobody named.
fn search() -> Option<Library> {
    let system = NAMES.iter().map(PathBuf::from);
    if let Some(library) = system.chain(in_environments()).find_map(|at| load(&at).ok()) {
        return Some(library);
    }
    in_folder(&folder_by_python()?).into_iter().find_map(|at| load(&at).ok())
}

#[allow(unsafe_code, reason = "there is no safe way to load code at run time")]
fn load(path: &Path) -> Result<Library, String> {
    // SAFETY: loading runs the library's own initialisation. It is the one that the user, or
    // the owner of the machine, put there to be loaded by programs like this.
    let loaded = unsafe { libloading::Library::new(path) };
    let loaded = loaded.map_err(|why| why.to_string())?;
    let api = Api::of(&loaded).map_err(|lacks: Lacks| lacks.to_string())?;
    // Its threads outlive whatever we would hold.
    std::mem::forget(loaded);
    Ok(Library { api, path: path.to_owned() })
}

/// The libraries in the Python environments that are usual here.
fn in_environments() -> Vec<PathBuf> {
    let named = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(env::var_os);
    let mut roots: Vec<PathBuf> = named.map(PathBuf::from).collect();
    roots.push(".venv".into());
    roots.extend(env::var_os("HOME").map(|home| PathBuf::from(home).join(".local")));
    roots.extend(["/usr/local", "/usr"].map(PathBuf::from));
    let mut found = Vec::new();
    for root in roots {
        found.extend(NAMES.iter().map(|name| root.join("lib").join(name)));
        for python in folders_in(&root.join("lib"), "python3") {
            for packages in ["site-packages", "dist-packages"] {
                found.extend(in_folder(&python.join(packages).join("pylsl")));
            }
        }
    }
    // Names without a folder would be looked for by the system once more.
    found.retain(|path| path.is_file());
    found
}

/// The libraries in the folder of pylsl.
fn in_folder(pylsl: &Path) -> Vec<PathBuf> {
    NAMES.iter().map(|name| pylsl.join("lib").join(name)).collect()
}

fn folders_in(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let begins = |path: &PathBuf| {
        let name = path.file_name().map(OsStr::to_string_lossy);
        name.is_some_and(|name| name.starts_with(prefix))
    };
    let mut found: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(begins).collect();
    found.sort();
    found
}

/// Where the user's Python has pylsl. Asked last, for Python takes its time.
fn folder_by_python() -> Option<PathBuf> {
    let script = "import importlib.util as u; s = u.find_spec('pylsl'); \
                  print(s.submodule_search_locations[0] if s else '')";
    let mut python = Command::new("python3");
    python.args(["-c", script]).stdin(Stdio::null()).stderr(Stdio::null());
    let output = python.output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    Some(folder.trim()).filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_library_is_named_with_the_remedy() {
        let error = Library::open(Some(Path::new("/etc/passwd"))).unwrap_err();
        let told = error.to_string();
        assert!(told.starts_with("/etc/passwd: "), "{told}");
        assert!(told.ends_with("--lsl-lib must name a liblsl"), "{told}");
        let error = Library::open(Some(Path::new("/nowhere/liblsl.so"))).unwrap_err();
        assert!(error.to_string().contains("/nowhere/liblsl.so"), "{error}");
    }

    #[test]
    fn a_library_without_its_functions_is_named() {
        let libc = Path::new("libc.so.6");
        let told = Library::open(Some(libc)).unwrap_err().to_string();
        assert!(told.contains("no function lsl_library_version; liblsl 1.14"), "{told}");
    }
}
