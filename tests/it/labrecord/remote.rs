//! Remote control: clients as LabRecorder's documentation has them, ours, and hostile ones.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use framepipe_tests::Started;
use rustix::process::Signal;
use serde_json::Value;

use super::rig::Rig;

/// labrecord that waits for commands, and where.
struct Remote<'a> {
    rig: &'a Rig,
    started: Started,
    address: String,
}

impl<'a> Remote<'a> {
    fn new(rig: &'a Rig, options: &str) -> Remote<'a> {
        let port = rig.folder.file("port");
        drop(fs::remove_file(&port));
        let line = format!("--control=127.0.0.1:0 --port-file {port} {options}");
        let started = rig.record(&line).start();
        let mut address = String::new();
        rig.until("no port", || {
            address = fs::read_to_string(&port).unwrap_or_default();
            !address.is_empty()
        });
        Remote { rig, started, address: address.trim().into() }
    }

    /// The answers to commands of a client in Python.
    fn client(&self, commands: &[&str]) -> Vec<String> {
        let args = [&[self.address.as_str()], commands].concat();
        let output = self
            .rig
            .lab
            .python("tests/python/labrecord_client.py", &args)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
        stream
    }

    /// One command, one line.
    fn ask(&self, command: &str) -> String {
        let mut stream = self.connect();
        writeln!(stream, "{command}").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "{command}: {line:?}");
        line.trim_end().into()
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.ask("status")).unwrap()
    }

    /// The end, by a signal.
    fn end(mut self) -> framepipe_tests::Run {
        self.started.signal(0, Signal::TERM);
        self.started.wait()
    }
}

#[test]
fn a_client_of_labrecorder_records_without_a_change() {
    let Some(rig) = Rig::new(&["EEG:EEG:2:100", "Glove:Pressure:4:50"]) else { return };
    for (options, start) in [("", "OK "), ("--bare-answers", "OK")] {
        let remote = Remote::new(&rig, options);
        let answers = remote.client(&[
            "select all",
            "filename {root:ROOT}{template:exp%n\\%p_block_%b.xdf}{run:2}{participant:P003}\
             {session:S1}{task:T}{acquisition:A}{modality:eeg}"
                .replace("ROOT", &rig.folder.file(""))
                .as_str(),
            "update",
            "start",
            "sleep 2",
            "stop",
        ]);
        assert_eq!(answers.len(), 5);
        for answer in &answers {
            match options.is_empty() {
                true => assert!(
                    answer.starts_with(start) && answer.ends_with('\n'),
                    "{answers:?}"
                ),
                false => assert_eq!(answer, start),
            }
        }
        remote.end().expect(&[0]).expect_silence();
    }
    assert_eq!(rig.files(), ["exp002/P003_block_T.xdf", "exp003/P003_block_T.xdf"]);
    let found = rig.read(&["exp002/P003_block_T.xdf"]);
    assert_eq!(found.names("exp002/P003_block_T.xdf"), ["EEG", "Glove"]);
}

#[test]
fn start_records_what_was_selected_and_no_more() {
    let Some(rig) = Rig::new(&["EEG:EEG:2:100", "Glove:Pressure:4:50"]) else { return };
    let remote = Remote::new(&rig, "--template run%r.xdf");
    assert_eq!(remote.ask("select none"), "OK none");
    assert!(remote.ask("start").starts_with("ERROR no stream is selected; "));
    assert_eq!(remote.ask("select Glove"), "OK Glove");
    let path = rig.folder.file("run001.xdf");
    assert_eq!(remote.ask("start"), format!("OK {path}"));
    assert!(remote.ask("start").starts_with("ERROR recording already, "));
    rig.until_recording("run001");
    std::thread::sleep(Duration::from_secs(1));
    let stopped = remote.ask("stop");
    assert!(stopped.starts_with(&format!("OK {path}: 1 streams, ")), "{stopped}");
    assert!(stopped.ends_with(" samples, 0 lost"), "{stopped}");
    assert!(remote.ask("stop").starts_with("ERROR not recording; "));
    assert_eq!(remote.ask("select all"), "OK all");
    assert_eq!(remote.ask("deselect Glove"), "OK all without Glove");
    assert!(remote.ask("start").starts_with("OK "));
    std::thread::sleep(Duration::from_secs(1));
    assert!(remote.ask("stop").starts_with("OK "));
    assert_eq!(remote.ask("quit"), "OK");
    remote.started.wait().expect(&[0]).expect_silence();
    assert_eq!(rig.files(), ["run001.xdf", "run002.xdf"]);
    let found = rig.read(&["run001.xdf", "run002.xdf"]);
    assert_eq!(found.names("run001.xdf"), ["Glove"]);
    assert_eq!(found.names("run002.xdf"), ["EEG"]);
}

#[test]
fn status_tells_state_files_streams_and_failures() {
    let Some(rig) = Rig::new(&["EEG:EEG:2:100"]) else { return };
    let remote = Remote::new(&rig, "--xdf --h5 --template run%r");
    let idle = remote.status();
    assert_eq!((&idle["state"], &idle["selected"]), (&"idle".into(), &"all".into()));
    assert_eq!(idle["next"][0], rig.folder.file("run001.xdf"));
    remote.ask("start");
    std::thread::sleep(Duration::from_secs(4));
    let status = remote.status();
    assert_eq!(status["state"], "recording", "{status}");
    let stream = &status["streams"][0];
    assert_eq!((&stream["name"], &stream["state"]), (&"EEG".into(), &"good".into()));
    let rate = stream["rate"].as_f64().unwrap();
    assert!((rate - 100.0).abs() < 25.0, "{stream}");
    assert!(stream["age"].as_f64().unwrap() < 2.0 && stream["lost"] == 0, "{stream}");
    assert!(status["files"][0]["bytes"].as_u64() > Some(100), "{status}");
    assert_eq!(status["files"][1]["form"], "h5");
    rig.kill("to-h5");
    rig.until("the failure is not in the status", || {
        remote.status()["failures"][0] == "to-h5 ended too early, killed by SIGKILL"
    });
    let stopped = remote.ask("stop");
    assert!(
        stopped.starts_with("ERROR to-h5 ended too early, killed by SIGKILL; "),
        "{stopped}"
    );
    assert!(remote.status()["last"]["samples"].as_u64() > Some(100));
    remote.end().expect(&[1]);
}

#[test]
fn what_cannot_be_done_is_refused_with_the_remedy() {
    let Some(rig) = Rig::new(&["EEG:EEG:2:100"]) else { return };
    let remote = Remote::new(&rig, "--require Absent --wait 1s");
    for (command, why) in [
        ("sleep", "ERROR no command \"sleep\"; "),
        (
            "filename {root:C:\\Data\\}",
            "ERROR \"C:\\\\Data\\\\\" is no folder of this machine; ",
        ),
        ("filename {participant:../x}", "ERROR \"../x\" is no label: "),
        ("filename {template:../x.xdf}", "ERROR template "),
        ("start", "ERROR "),
    ] {
        let answer = remote.ask(command);
        assert!(answer.starts_with(why), "{command}: {answer}");
    }
    assert!(remote.ask("update").contains("EEG ("));
    let answer = remote.ask("select Nobody");
    assert!(answer.contains("Nobody was not there at the last update"), "{answer}");
    assert_eq!(rig.files(), Vec::<String>::new());
    remote.end().expect(&[1]);
}

#[test]
fn hostile_clients_change_nothing_for_others() {
    let Some(rig) = Rig::new(&["EEG:EEG:2:200"]) else { return };
    let remote = Remote::new(&rig, "--template x.xdf --auto-start");
    rig.until_recording("x.xdf");
    // A line that does not end is cut off, and told why.
    let mut endless = remote.connect();
    let sent = (0..100).try_for_each(|_| endless.write_all(&[b'x'; 1000]));
    let mut told = String::new();
    // The connection may be reset before all of it is read.
    let read = endless.read_to_string(&mut told);
    assert!(
        sent.is_err() || read.is_err() || told.starts_with("ERROR a line over"),
        "{told}"
    );
    // More connections than places, all silent or in the middle of a line.
    let mut crowd: Vec<_> = (0..100).map(|_| remote.connect()).collect();
    crowd.iter_mut().step_by(2).for_each(|client| client.write_all(b"sta").unwrap());
    let mut rude = remote.connect();
    rude.write_all(&b"status\n".repeat(20_000)).unwrap_or_default();
    rude.write_all(b"\xff\xfe\0\n\n\n").unwrap_or_default();
    for _ in 0..5 {
        assert_eq!(remote.status()["state"], "recording");
    }
    // Who sends all at once and closes its side is answered nevertheless.
    let mut brief = remote.connect();
    brief.write_all(b"select all\nstatus\n").unwrap();
    brief.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answers = String::new();
    brief.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.lines().count(), 2, "{answers}");
    drop((crowd, rude));
    let run = remote.end();
    run.expect(&[0]).expect_silence();
    let found = rig.read(&["x.xdf"]);
    assert_eq!(found.stream("x.xdf", "EEG")["steps"], serde_json::json!([1.0]));
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_is_recorded() {
    let Some(rig) = Rig::new(&[]) else { return };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let run = rig.record(&format!("--control={port} --auto-start")).run();
    run.expect(&[1]).expect_stderr(0, "something listens there already");
    assert_eq!(rig.files(), Vec::<String>::new());
}

#[test]
fn auto_start_ends_with_its_recording() {
    let Some(rig) = Rig::new(&["EEG:EEG:2:100"]) else { return };
    let mut remote = Remote::new(&rig, "--auto-start --duration 2s --template y.xdf");
    remote.started.read_stdout();
    remote.started.wait().expect(&[0]).expect_silence();
    assert_eq!(rig.files(), ["y.xdf"]);
}
