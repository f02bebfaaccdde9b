//! A laboratory with outlets, and a folder that is recorded to.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use framepipe_tests::{Lab, Pipe, Scratch};
use serde_json::Value;

/// Looks that are taken for something to happen, and the time between.
const LOOKS: usize = 600;
const PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Rig {
    pub(super) lab: Lab,
    pub(super) folder: Scratch,
    outlets: Child,
}

/// What is in some files.
pub(super) struct Found(Value);

impl Rig {
    /// Outlets of these; see tests/python/labrecord_outlets.py.
    pub(super) fn new(specs: &[&str]) -> Option<Rig> {
        let lab = Lab::new()?;
        let mut command = lab.python("tests/python/labrecord_outlets.py", specs);
        let mut outlets = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let stdout = outlets.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        if line != "ready\n" {
            let mut told = String::new();
            outlets.stderr.take().unwrap().read_to_string(&mut told).unwrap();
            panic!("no outlets: {told}");
        }
        Some(Rig { lab, folder: Scratch::new(), outlets })
    }

    /// labrecord with these options, to the folder.
    pub(super) fn record(&self, options: &str) -> Pipe {
        let root = self.folder.0.display();
        // A query has quotes of its own.
        let options = options.replace("type='EEG'", "\"type='EEG'\"");
        self.lab.pipe(&format!("labrecord --root {root} {options}"))
    }

    /// The files in the folder, by their paths below it.
    pub(super) fn files(&self) -> Vec<String> {
        let (mut files, mut folders) = (Vec::new(), vec![self.folder.0.clone()]);
        while let Some(folder) = folders.pop() {
            // A journal's folder may vanish while we look.
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let path = path.strip_prefix(&self.folder.0).unwrap();
                    files.push(path.display().to_string());
                }
            }
        }
        files.retain(|file| file != "port");
        files.sort();
        files
    }

    /// Waits until a file with this in its name grows.
    pub(super) fn until_recording(&self, name: &str) {
        let size =
            |file: &String| fs::metadata(self.folder.0.join(file)).map_or(0, |m| m.len());
        self.until("nothing is recorded", || {
            self.files().iter().any(|file| file.contains(name) && size(file) > 2000)
        });
    }

    #[track_caller]
    pub(super) fn until(&self, what: &str, mut is: impl FnMut() -> bool) {
        for _ in 0..LOOKS {
            if is() {
                return;
            }
            sleep(PAUSE);
        }
        panic!("{what}: {:?}", self.files());
    }

    /// What pyxdf and h5py find.
    pub(super) fn read(&self, files: &[&str]) -> Found {
        let paths: Vec<_> = files.iter().map(|file| self.folder.file(file)).collect();
        let paths: Vec<_> = paths.iter().map(String::as_str).collect();
        let output =
            self.lab.python("tests/python/labrecord_files.py", &paths).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let below =
            files.iter().zip(paths).map(|(file, path)| (file.to_string(), &found[path]));
        Found(below.map(|(file, streams)| (file, streams.clone())).collect())
    }

    /// The processes of this rig's recordings, by a word of their command lines.
    pub(super) fn processes(&self, tool: &str) -> Vec<u32> {
        let root = self.folder.0.display().to_string();
        let ours = |pid: &u32| {
            let read =
                |what: &str| fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
            let command = String::from_utf8_lossy(&read("cmdline")).into_owned();
            let environ = String::from_utf8_lossy(&read("environ")).into_owned();
            let program = command.split('\0').next().unwrap_or_default();
            let is = Path::new(program).file_name().is_some_and(|name| name == tool);
            is && (command.contains(&root) || environ.contains(&self.lab.env()[0].1))
        };
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(ours).collect()
    }

    #[track_caller]
    pub(super) fn expect_nobody_left(&self) {
        for tool in ["lsl-src", "fan-out", "to-xdf", "to-h5"] {
            self.until(&format!("{tool} is left"), || self.processes(tool).is_empty());
        }
    }

    /// Kills a process of ours.
    pub(super) fn kill(&self, tool: &str) {
        let pids = self.processes(tool);
        assert_eq!(pids.len(), 1, "{tool}");
        let status = Command::new("kill").args(["-9", &pids[0].to_string()]).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        drop(self.outlets.stdin.take());
        drop(self.outlets.wait());
    }
}

impl Found {
    #[track_caller]
    pub(super) fn stream(&self, file: &str, name: &str) -> &Value {
        let streams = self.0[file].as_array().unwrap();
        let stream = streams.iter().find(|stream| stream["name"] == name);
        stream.unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }

    /// The streams of a file but for our own.
    pub(super) fn names(&self, file: &str) -> Vec<&str> {
        let streams = self.0[file].as_array().unwrap().iter();
        let mut names: Vec<_> =
            streams.map(|stream| stream["name"].as_str().unwrap()).collect();
        names.retain(|name| !matches!(*name, "framepipe" | "Markers"));
        names.sort_unstable();
        names
    }
}
