//! The examples for Lab Streaming Layer, and what cron starts.

use std::fs;
use std::process::{Command, Stdio};

use framepipe_tests::{Lab, Scratch, binary, root};
use serde_json::json;

use super::rig::Rig;

fn path() -> String {
    let tools = binary("labrecord").parent().unwrap().to_owned();
    format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", tools.display())
}

#[test]
fn a_glove_and_an_eeg_are_recorded_together() {
    let Some(rig) = Rig::new(&[]) else { return };
    let mut command = Command::new(root().join("examples/lsl/glove-and-eeg"));
    command.args(["-d", "4s", "--root", &rig.folder.file("")]).envs(rig.lab.env());
    let output = command.env("PATH", path()).stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), told.as_ref()), (Some(0), ""));
    let files = rig.files();
    assert_eq!(files.len(), 2, "{files:?}");
    let found = rig.read(&[&files[0], &files[1]]);
    for (file, name, rate) in
        [(0, "glove", 200.0), (0, "eeg", 500.0), (1, "glove", 200.0)]
    {
        // In HDF5 a stream of ours has the name that it had before LSL.
        let names = found.names(&files[file]);
        let name = names.iter().find(|other| other.to_lowercase().ends_with(name));
        let stream = found.stream(&files[file], name.unwrap());
        let n = stream["samples"].as_f64().unwrap();
        assert!(n > 2.0 * rate && n < 6.0 * rate, "{stream}");
    }
}

#[test]
fn cron_hears_nothing_when_all_is_well() {
    let Some(rig) = Rig::new(&["EEG:EEG:2:100"]) else { return };
    // As cron has it: no terminal, nothing in the environment, a session of its own.
    let mut command = Command::new("setsid");
    command.arg("--wait").arg("/bin/sh").arg("-c");
    let root = rig.folder.file("");
    command
        .arg(format!("labrecord --root {root} --require EEG --duration 2s --xdf --h5"));
    command.env_clear().env("PATH", path()).envs(rig.lab.env()).current_dir("/");
    let output = command.stdin(Stdio::null()).output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    assert_eq!(
        (output.status.code(), String::from_utf8_lossy(&told).as_ref()),
        (Some(0), "")
    );
    assert_eq!(rig.files().len(), 2);
}

#[test]
fn clocks_of_two_hosts_are_compared() {
    let Some(lab) = Lab::new() else { return };
    let mut probe = Command::new("unshare");
    probe.args(["--net", "--time", "--fork", "ip", "link"]).env("PATH", path());
    if !probe.output().is_ok_and(|output| output.status.success()) {
        return eprintln!(
            "skipped: namespaces of networks and times are not allowed here"
        );
    }
    let folder = Scratch::new();
    let config = "[ports]\nIPv6 = disable\n[multicast]\nResolveScope = link\n[lab]\n\
                  KnownPeers = {10.77.0.1, 10.77.0.2}\n[log]\nlevel = -2\n";
    fs::write(folder.file("lsl_api.cfg"), config).unwrap();
    let outlets = |spec: &str| {
        let [python, script] = [".venv/bin/python", "tests/python/labrecord_outlets.py"]
            .map(|it| root().join(it));
        format!("{} {} {spec}", python.display(), script.display())
    };
    let check = root().join("examples/lsl/sync-check");
    let here = format!(
        "{} < <(exec sleep 120 2> /dev/null) > /dev/null & {} -d 13s; kill $!",
        outlets("Near:EEG:2:100"),
        check.display()
    );
    let mut command = Command::new("unshare");
    command.arg("--net").arg(root().join("tests/it/labrecord/two_hosts.sh"));
    command.args(["5000", &outlets("Far:EEG:2:100"), "bash", "-c", &here]);
    command.env("PATH", path()).env("LSLAPICFG", folder.file("lsl_api.cfg"));
    command.env("PYLSL_LIB", &lab.env()[1].1).stdin(Stdio::null());
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let of = |name: &str| {
        let line = told.split(&format!("clock of {name} (")).nth(1);
        let line = line.unwrap_or_else(|| panic!("no clock of {name}: {told}\n{stderr}"));
        let words: Vec<_> = line.split_whitespace().collect();
        let before = |word: &str| {
            let at = words.iter().position(|other| *other == word);
            at.and_then(|at| words[at - 1].parse::<f64>().ok()).unwrap()
        };
        let drift = words.iter().position(|word| *word == "drift").unwrap();
        (before("s"), words[drift + 1].parse::<f64>().unwrap())
    };
    let (far, drift) = of("Far");
    assert!((far - 5000.0).abs() < 0.01, "{far}");
    // It is the same crystal; a busy machine measures it badly.
    assert!(drift.abs() < 1000.0, "{drift}");
    let (near, _) = of("Near");
    assert!(near.abs() < 0.01, "{near}");
}

#[test]
fn what_cron_and_systemd_start_is_there() {
    let read =
        |name: &str| fs::read_to_string(root().join("examples/lsl").join(name)).unwrap();
    let (cron, unit) = (read("cron"), read("labrecord@.service"));
    // cron ends a command at a bare %.
    for command in cron.lines().filter(|line| !line.starts_with('#')) {
        assert!(!command.replace("\\%", "").contains('%'), "{command}");
    }
    // A signal to all processes would be the second to the source.
    assert!(unit.contains("KillMode=mixed"));
    for (text, begin) in
        [(&cron, "lab labrecord "), (&unit, "ExecStart=/usr/local/bin/labrecord ")]
    {
        let line = text.lines().find_map(|line| line.split_once(begin)).unwrap().1;
        let words = shell_words::split(line).unwrap();
        let plan =
            Command::new(binary("labrecord")).args(words).arg("--plan").output().unwrap();
        let told: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
        assert_ne!(told[0]["notes"], json!([]), "{line}");
    }
}
