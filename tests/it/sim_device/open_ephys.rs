//! `sim-device open-ephys`, as libzmq's clients see it: each byte, and what the truth says.

mod faults;

use std::cell::RefCell;
use std::process::{Child, Command, Output, Stdio};

use framepipe_tests::{Run, Scratch, Started, pipe, root};
use serde_json::Value;

const DATA: &str = "4441544100";
const EVENT: &str = "4556454e5400";

/// A simulated GUI with its truth in a folder of its own.
struct Gui {
    folder: Scratch,
    started: Started,
    endpoint: String,
}

impl Gui {
    /// Starts one at a free pair of ports.
    fn start(options: &str) -> Gui {
        let folder = Scratch::new();
        let truth = folder.file("truth.ndjson");
        let line = format!("sim-device open-ephys --port 0 --truth {truth} -v {options}");
        let mut started = pipe(&line).start();
        let endpoint = first_line(&mut started);
        Gui { folder, started, endpoint }
    }

    /// Where heartbeats go.
    fn heartbeat(&self) -> String {
        let (host, port) = self.endpoint.rsplit_once(':').unwrap();
        format!("{host}:{}", port.parse::<u16>().unwrap() + 1)
    }

    /// How it ended, and its truth.
    fn finish(self) -> (Run, Truth) {
        let run = self.started.wait();
        run.expect(&[0]);
        let text = std::fs::read_to_string(self.folder.file("truth.ndjson")).unwrap();
        (
            run,
            Truth(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()),
        )
    }
}

pub(crate) fn first_line(started: &mut Started) -> String {
    let line = RefCell::new(Vec::new());
    started.until_stdout(|text| {
        line.replace(text.to_vec());
        text.contains(&b'\n')
    });
    String::from_utf8(line.into_inner()).unwrap().lines().next().unwrap().to_owned()
}

/// The lines of a truth.
struct Truth(Vec<Value>);

impl Truth {
    fn all<'a>(&'a self, what: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |line| line["what"] == what)
    }
}

/// Starts a client with the real libzmq, or says loudly that it could not.
fn client(words: &[&str]) -> Option<Child> {
    let python = root().join(".venv/bin/python");
    let has_zmq = Command::new(&python).args(["-c", "import zmq"]).output();
    if !has_zmq.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no .venv with pyzmq; run scripts/setup");
        return None;
    }
    let script = root().join("tests/python/open_ephys_client.py");
    let mut command = Command::new(python);
    command.arg(script).args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
    Some(command.spawn().unwrap())
}

/// The messages that a client had.
fn heard(client: Child) -> Vec<Value> {
    let Output { status, stdout, stderr } = client.wait_with_output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let text = String::from_utf8(stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a client that is there from the start hears of a GUI.
fn listen(gui: &str, client_options: &str) -> Option<(Vec<Value>, Run, Truth)> {
    let gui = Gui::start(&format!("--wait-for-client {gui}"));
    let mut words = vec!["listen", gui.endpoint.as_str()];
    words.extend(client_options.split_whitespace());
    let messages = heard(client(&words)?);
    let (run, truth) = gui.finish();
    Some((messages, run, truth))
}

fn int(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Whether a message is text that JUCE would have written.
#[track_caller]
fn check_text(message: &Value) {
    assert_eq!(message["exact"], true, "{message}");
    let kind = message["message"]["type"].as_str().unwrap();
    let envelope = if kind == "data" { DATA } else { EVENT };
    assert_eq!(message["envelope"], envelope, "{message}");
}

/// Blocks of a client's messages as the truth tells them: stream, first sample, how many,
/// and the numbers of the messages of all channels.
fn data(messages: &[Value]) -> impl Iterator<Item = &Value> {
    messages.iter().filter(|message| message["message"]["type"] == "data")
}

#[test]
fn events_and_spikes_come_first_then_each_channel_and_all_values_are_right() {
    let options = "-n 6000 --channels 4,6,8-9 --block 100-600 --events 200 --spikes 80";
    let Some((messages, _, truth)) = listen(options, "") else { return };
    let numbers = messages.iter().map(|message| int(&message["message"]["message_num"]));
    assert_eq!(
        numbers.collect::<Vec<_>>(),
        (1..=messages.len() as i64).collect::<Vec<_>>()
    );
    let (mut channels, mut first, mut samples) = (Vec::new(), 0, 0);
    for told in &messages {
        check_text(told);
        let message = &told["message"];
        let content = &message["content"];
        assert!(int(&message["timestamp"]) > 1_600_000_000_000);
        match message["type"].as_str().unwrap() {
            "data" => {
                assert_eq!(
                    (int(&told["wrong"]), &content["sample_num"]),
                    (0, &first.into())
                );
                assert_eq!(
                    content["channel_name"],
                    format!("CH{}", int(&content["channel_num"]) + 1)
                );
                assert_eq!(told["sizes"][2], message["data_size"]);
                samples = int(&content["num_samples"]);
                channels.push(int(&content["channel_num"]));
                if channels.len() == 4 {
                    assert_eq!(channels, [4, 6, 8, 9]);
                    channels.clear();
                    first += samples;
                }
            }
            other => {
                assert!(
                    channels.is_empty(),
                    "between the channels of a block: {message}"
                );
                let place = if other == "event" { content } else { &message["spike"] };
                let ahead = int(&place["sample_num"]) - first;
                assert!((0..600).contains(&ahead), "{ahead} samples after {first}");
            }
        }
    }
    assert_eq!((first, samples < 600), (6000, true));
    let blocks: Vec<_> = truth.all("block").collect();
    assert_eq!(blocks.len() * 4, data(&messages).count());
    assert!(blocks.iter().all(|block| block["lost"] == serde_json::json!([])));
    for (what, kind) in [("event", "content"), ("spike", "spike")] {
        let told = truth
            .all(what)
            .map(|line| (int(&line["message_num"]), int(&line["sample_num"])));
        let of_kind =
            messages.iter().filter(|message| message["message"]["type"] == what);
        let came = of_kind.map(|message| {
            let message = &message["message"];
            (int(&message["message_num"]), int(&message[kind]["sample_num"]))
        });
        let (told, came) = (told.collect::<Vec<_>>(), came.collect::<Vec<_>>());
        assert!(came.len() >= 14 && told == came, "{what}: {told:?} {came:?}");
    }
}

#[test]
fn events_are_ten_bytes_or_none_and_spikes_are_rows_of_their_channels() {
    let options = "-n 30000 --speed 10 --channels 7 --block 1000 --events 40 --spikes 30 \
                   --bare-events 50%";
    let Some((messages, ..)) = listen(options, "") else { return };
    let of_kind = |kind: &'static str| {
        messages.iter().filter(move |message| message["message"]["type"] == kind)
    };
    let (mut bare, mut state) = (0, 1);
    for (index, told) in of_kind("event").enumerate() {
        check_text(told);
        let message = &told["message"];
        assert_eq!(
            (int(&message["content"]["type"]), int(&message["content"]["source_node"])),
            (3, 100)
        );
        match told["payload"].as_str() {
            None => {
                assert_eq!(told["sizes"].as_array().unwrap().len(), 2);
                assert_eq!(message["data_size"], 0);
                bare += 1;
            }
            Some(bytes) => {
                let line = index / 2 % 8;
                let word = format!("{:02x}00000000000000", state << line);
                assert_eq!(bytes, format!("{line:02x}{state:02x}{word}"));
                assert_eq!(message["data_size"], 10);
            }
        }
        state = 1 - state;
    }
    let events = of_kind("event").count();
    assert!(events == 40 && (8..32).contains(&bare), "{bare} of {events}");
    let mut electrodes = std::collections::BTreeSet::new();
    for told in of_kind("spike") {
        check_text(told);
        let spike = &told["message"]["spike"];
        assert!(told["message"].get("data_size").is_none());
        let name = spike["electrode"].as_str().unwrap();
        let (index, channels) = match name.split(' ').next().unwrap() {
            "Electrode" => (0, vec![0]),
            "Stereotrode" => (1, vec![1, 2]),
            _ => (2, vec![3, 4, 5, 6]),
        };
        electrodes.insert(index);
        assert_eq!(
            (int(&spike["num_samples"]), int(&spike["num_channels"])),
            (40, channels.len() as i64)
        );
        assert_eq!(spike["threshold"].as_array().unwrap().len(), channels.len());
        let first = int(&spike["sample_num"]) - 8;
        let values = channels.iter().flat_map(|channel| {
            (first..first + 40)
                .map(move |at| (1024 * at.rem_euclid(16384) + channel) as f32)
        });
        let bytes: String =
            values.flat_map(f32::to_le_bytes).map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(told["payload"], bytes, "{name}");
    }
    assert!(of_kind("spike").count() == 30 && electrodes.len() == 3, "{electrodes:?}");
}

#[test]
fn every_generation_has_its_names_and_its_defects() {
    let keys = |value: &Value| -> Vec<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let has = |value: &Value, key: &str| keys(value).iter().any(|other| other == key);
    for (generation, named, stamped) in [
        ("0.3.0", false, false),
        ("0.3.2", false, true),
        ("1.0", false, true),
        ("1.0-names", true, true),
    ] {
        let options = format!(
            "--generation {generation} -n 2000 --channels 3 --events 100 --spikes 100"
        );
        let Some((messages, ..)) = listen(&options, "") else { return };
        for told in &messages {
            check_text(told);
            let message = &told["message"];
            assert_eq!(has(message, "timestamp"), stamped, "{generation} {message}");
            if message["type"] == "data" {
                assert_eq!(int(&told["wrong"]), 0);
                assert_eq!(
                    has(&message["content"], "channel_name"),
                    named,
                    "{generation}"
                );
            }
        }
    }
}

#[test]
fn the_interim_generation_has_the_old_names_and_rows_as_long_as_the_buffer() {
    let options = "--generation interim -n 960 --channels 2,5 --events 100 --spikes 100";
    let Some((messages, ..)) = listen(options, "--payload") else { return };
    for told in &messages {
        check_text(told);
        let message = &told["message"];
        assert!(message.get("message_num").is_none() && message["message_no"].is_i64());
        match message["type"].as_str().unwrap() {
            "data" => {
                let content = &message["content"];
                let (first, channel) =
                    (int(&content["timestamp"]), int(&content["channel_num"]));
                assert_eq!(
                    (int(&content["n_samples"]), int(&content["n_real_samples"])),
                    (1024, 480)
                );
                assert_eq!(
                    (int(&content["sample_rate"]), told["sizes"][2].clone()),
                    (30000, 4096.into())
                );
                let values = (first..first + 480).map(|at| (1024 * at + channel) as f32);
                assert!(told["payload"].as_str().unwrap().starts_with(&hex(values)));
            }
            "event" => assert_eq!(message["content"]["event_stream"], 1),
            _ => assert_eq!(message["spike"]["pre_peak_samples"], 8),
        }
    }
    assert_eq!(data(&messages).count(), 4);
}

#[test]
fn the_first_generation_sends_all_channels_at_once_and_cuts_spikes_short() {
    let options = "--generation 0.2.0 -n 1460 --channels 3 --events 100 --spikes 100";
    let Some((messages, ..)) = listen(options, "--payload") else { return };
    let mut next = 0;
    for told in &messages {
        check_text(told);
        let message = &told["message"];
        let bytes = told["payload"].as_str().unwrap();
        match message["type"].as_str().unwrap() {
            "data" => {
                let content = &message["content"];
                let (first, samples) =
                    (int(&content["timestamp"]), int(&content["n_real_samples"]));
                assert_eq!(
                    (first, int(&content["n_samples"]), int(&content["n_channels"])),
                    (next, 1024, 3)
                );
                assert_eq!(told["sizes"][2], 3 * 1024 * 4);
                for channel in 0..3 {
                    let row = &bytes[channel * 8192..][..samples as usize * 8];
                    let values = (first..first + samples)
                        .map(|at| (1024 * at + channel as i64) as f32);
                    assert_eq!(row, hex(values), "channel {channel}");
                }
                next += samples;
            }
            "event" => {
                let content = &message["content"];
                let ahead = int(&content["timestamp"]) - next;
                assert_eq!(int(&content["sample_num"]), ahead, "its place in the block");
                assert_eq!((message["data_size"].clone(), bytes.len()), (13.into(), 26));
            }
            _ => {
                let channels = int(&message["spike"]["n_channels"]);
                assert_eq!(bytes.len() as i64, 2 * 40 * channels, "bytes for values");
            }
        }
    }
    assert_eq!((next, data(&messages).count()), (1460, 4));
}

fn hex(values: impl Iterator<Item = f32>) -> String {
    values.flat_map(f32::to_le_bytes).map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn several_streams_have_their_names_rates_and_values() {
    let options = "-n 1000 --stream 'Sonde µ:channels=0-2,label=AP' \
                   --stream LFP:channels=1,7,rate=2500,block=20";
    let Some((messages, run, truth)) = listen(options, "--stream 'Sonde_µ' --stream LFP")
    else {
        return;
    };
    let of = |name: &'static str| {
        data(&messages).filter(move |told| told["message"]["content"]["stream"] == name)
    };
    assert_eq!((of("Sonde µ").count(), of("LFP").count()), (3 * 3, 2 * 50));
    for told in data(&messages) {
        check_text(told);
    }
    assert!(of("LFP").all(|told| int(&told["wrong"]) == 0));
    let content = &of("LFP").next().unwrap()["message"]["content"];
    assert_eq!(
        (content["sample_rate"].as_f64(), int(&content["channel_num"])),
        (Some(2500.0), 1)
    );
    let content = &of("Sonde µ").next().unwrap()["message"]["content"];
    assert_eq!(content["channel_name"], "AP1");
    let begin = truth.all("begin").next().unwrap();
    assert_eq!(begin["streams"][1]["channels"], serde_json::json!([1, 7]));
    run.expect_stderr(0, " messages lost on purpose, 0 dropped for slow subscribers");
}

#[test]
fn blocks_leave_when_their_last_sample_is_there() {
    let Some((_, _, truth)) = listen("-n 30000 --channels 2", "") else { return };
    let blocks: Vec<_> = truth.all("block").collect();
    let begun = int(&truth.all("begin").next().unwrap()["ns"]);
    for block in &blocks {
        let end = int(&block["sample_num"]) + int(&block["n"]);
        let due = end * 1_000_000_000 / 30_000;
        assert!((int(&block["due_ns"]) - begun - due).abs() < 100_000_000, "{block}");
        assert!(int(&block["published_ns"]) >= int(&block["due_ns"]), "{block}");
    }
    // A busy machine is late now and then, but does not stay so.
    let late = |block: &&Value| int(&block["published_ns"]) - int(&block["due_ns"]);
    assert!(blocks[40..].iter().map(late).min() < Some(5_000_000));
}

#[test]
fn heartbeats_are_answered_in_plain_words() {
    let mut gui = Gui::start("--channels 1");
    let beat = r#"{"application":"Sketch","uuid":"1618","type":"heartbeat"}"#;
    let event = r#"{"application":"Sketch","uuid":"1618","type":"event","event":{"type":3,"sample_num":0,"event_id":2,"event_channel":1}}"#;
    let asker = client(&["ask", &gui.heartbeat(), beat, event, "hello", beat]);
    let Some(asker) = asker else { return };
    let replies = heard(asker);
    let expected = serde_json::json!([
        "heartbeat received",
        "message correctly parsed",
        "JSON message could not be read",
        "heartbeat received"
    ]);
    assert_eq!(replies, [expected]);
    gui.started.until_stderr(0, "\"Sketch\" (1618) is there");
    gui.started.signal(0, rustix::process::Signal::TERM);
    let (run, _) = gui.finish();
    assert_eq!(run.stderrs[0].matches("is there").count(), 1, "{}", run.stderrs[0]);
}
