//! `scripts/open-ephys-to-osc` and the receivers of its example, as users of the Python bridge
//! meet them.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use framepipe_tests::{Scratch, binary, pipe, root};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::sim_device::open_ephys::first_line;
use crate::to_osc::Port;

/// The script with a configuration file in a folder of its own.
fn bridge(config: &str, words: &[&str], folder: &Scratch) -> Command {
    let path = folder.file("config.json");
    fs::write(&path, config).unwrap();
    let tools = binary("zmq-src").parent().unwrap().to_owned();
    let mut command = Command::new(root().join("scripts/open-ephys-to-osc"));
    command
        .arg("config.json")
        .args(words)
        .current_dir(Path::new(&path).parent().unwrap());
    let python = root().join(".venv/bin");
    command.env("PATH", format!("{}:{}", tools.display(), python.display()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// The pipeline that a configuration stands for.
#[track_caller]
fn shown(config: &Value, words: &[&str]) -> String {
    let words = [words, &["--print"]].concat();
    let output = bridge(&config.to_string(), &words, &Scratch::new()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn the_bridges_defaults_are_a_pipeline() {
    let line = "zmq-src tcp://localhost:5556 --uuid 1618 --silence 2s | thin-frames --factor \
                30 --method average | to-osc udp://127.0.0.1:10000 --address /data --mode \
                balanced --overflow drop-oldest";
    assert_eq!(shown(&json!({}), &[]), line);
    let example = root().join("examples/open-ephys-to-osc/config.json");
    let example = serde_json::from_str(&fs::read_to_string(example).unwrap()).unwrap();
    assert_eq!(shown(&example, &[]), line, "these are what the file of the bridge says");
}

#[test]
fn every_key_that_means_something_is_heeded() {
    let processing = json!({
        "downsampling_factor": 1, "batch_size": 50, "batch_timeout_ms": 20,
        "enable_batching": true
    });
    let config = json!({
        "zmq": {"host": "rig", "data_port": 5558, "app_uuid": "me", "data_timeout_seconds": 5},
        "osc": {"host": "sc", "port": 57120, "base_address": "/ephys", "processing": processing},
        "performance": {"mode": "low_latency", "osc_queue_overflow_strategy": "block"}
    });
    assert_eq!(
        shown(&config, &[]),
        "zmq-src tcp://rig:5558 --uuid me --silence 5s | to-osc udp://sc:57120 --address /ephys \
         --mode low-latency --overflow block --layout batch --batch 50 --batch-time 20ms"
    );
    let config = json!({"osc": {
        "send_individual_channels": true, "channel_address_format": "/c/{:02d}",
        "processing": {"downsampling_factor": 10, "downsampling_method": "decimate"}
    }});
    let words = ["--zmq-port", "6000", "--osc-host", "x", "--record", "a b.h5"];
    assert_eq!(
        shown(&config, &words),
        "zmq-src tcp://localhost:6000 --uuid 1618 --silence 2s | fan-out --must 'to-h5 '\"'\"'a \
         b.h5'\"'\"'' | thin-frames --factor 10 --method decimate | to-osc udp://x:10000 \
         --address /data --mode balanced --overflow drop-oldest --layout individual \
         --channel-address '/c/{index:02}'"
    );
}

#[test]
fn a_configuration_that_is_none_is_named() {
    let output = bridge("{\"zmq\": ", &[], &Scratch::new()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.starts_with("open-ephys-to-osc: config.json: "), "{said}");
}

#[test]
fn tools_that_are_not_installed_are_named_with_the_remedy() {
    let folder = Scratch::new();
    let mut command = bridge("{}", &[], &folder);
    let output = command.env("PATH", root().join(".venv/bin")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("not on PATH: zmq-src, ") && said.contains("install"),
        "{said}"
    );
}

#[test]
fn what_the_rig_sends_is_heard_and_recorded_until_a_signal() {
    let mut rig = pipe(
        "sim-device open-ephys --port 0 --channels 2 -n 48000 --wait-for-client --block 480",
    )
    .start();
    let endpoint = first_line(&mut rig);
    let heard = Port::open();
    let osc = heard.name().rsplit_once(':').unwrap().1.to_owned();
    let zmq = endpoint.rsplit_once(':').unwrap().1;
    let folder = Scratch::new();
    let words = ["--zmq-port", zmq, "--osc-port", &osc, "--record", "rat.h5"];
    let running = bridge("{}", &words, &folder).spawn().unwrap();
    rig.wait().expect(&[0]);
    let datagrams = heard.datagrams();
    kill_process(Pid::from_child(&running), Signal::TERM).unwrap();
    let Output { status, stderr, .. } = running.wait_with_output().unwrap();
    assert_eq!((status.code(), text(&stderr)), (Some(0), String::new()));

    assert_eq!(datagrams.len(), 1600, "each for 30 samples, and none of anything else");
    for (k, datagram) in datagrams.iter().enumerate().take(16384 / 30) {
        let mean = 1024.0 * (30.0 * k as f32 + 14.5);
        let floats = [mean, mean + 1.0].map(f32::to_be_bytes).concat();
        let message = [b"/data/sample\0\0\0\0,ff\0", &floats[..]].concat();
        assert_eq!(*datagram, message, "sample {k}");
    }
    let replay =
        format!("replay {} --speed max | inspect-frames -f json", folder.file("rat.h5"));
    let told = pipe(&replay).run();
    let stream = &told.json()["sessions"][0]["streams"][0];
    assert_eq!((&stream["samples"], &stream["lost"]), (&48000.into(), &0.into()));
}

/// A receiver of the example and what it says in the end.
struct Receiver(Child);

impl Receiver {
    fn start(command: &mut Command) -> Option<Receiver> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command.stderr(Stdio::piped()).spawn();
        if let Err(err) = &child {
            eprintln!("skipped: {}: {err}", command.get_program().display());
        }
        Some(Receiver(child.ok()?))
    }

    /// Sends for three seconds what the example is for.
    fn hear(self, port: u16) -> String {
        std::thread::sleep(Duration::from_secs(2));
        let line = format!(
            "sim-src sine:channels=4 --rate 100 --duration 3s | to-osc udp://127.0.0.1:{port}"
        );
        pipe(&line).run().expect(&[0, 0]);
        std::thread::sleep(Duration::from_millis(1500));
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        let Output { stdout, stderr, .. } = self.0.wait_with_output().unwrap();
        text(&stdout) + &text(&stderr)
    }
}

fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn the_receiver_in_python_shows_what_comes() {
    let python = root().join(".venv/bin/python");
    let script = root().join("examples/open-ephys-to-osc/receive.py");
    let port = free_port();
    let mut command = Command::new(python);
    let Some(receiver) = Receiver::start(command.arg(script).arg(port.to_string()))
    else {
        return;
    };
    let said = receiver.hear(port);
    if said.contains("No module named") {
        return eprintln!("skipped: no python-osc; run scripts/setup");
    }
    assert!(
        said.contains("/data/sample: ") && said.contains("/s, 4 arguments: "),
        "{said}"
    );
}

#[test]
fn the_patch_of_pure_data_shows_what_comes() {
    let patch = root().join("examples/open-ephys-to-osc/receive.pd");
    let port = free_port();
    let patch = fs::read_to_string(patch).unwrap();
    let patch =
        patch.replace("netreceive -u -b 10000", &format!("netreceive -u -b {port}"));
    // Without a window, what a number box shows is printed.
    let patch = patch
        .replace("#X floatatom 220 300 10 0 0 0 - - - 0;", "#X obj 220 300 print two;");
    let folder = Scratch::new();
    let path = folder.file("receive.pd");
    fs::write(&path, patch).unwrap();
    let mut command = Command::new("pd");
    command.args(["-nogui", "-noaudio", "-stderr", &path]);
    let Some(receiver) = Receiver::start(&mut command) else { return };
    let said = receiver.hear(port);
    assert!(
        said.lines().filter(|line| line.starts_with("two: ")).count() > 100,
        "{said}"
    );
}
