//! Publishers that are late, go away, come back, move, are silent, or send garbage.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use framepipe_tests::{Run, pipe};
use libframe::clock::SECOND;
use libframe::payload::{End, Value};
use libframe::wire::Kind;
use rustix::process::Signal;

use super::RHYTHM;
use super::rig::{Rig, events, expect_values, gaps, samples, stop_after, value};

fn labels(run: &Run) -> Vec<String> {
    events(run, "").into_iter().map(|(_, event)| event.label).collect()
}

#[test]
fn a_capture_that_was_there_first_gets_all_from_the_first_sample_on() {
    let Some(mut rig) = Rig::new() else { return };
    let port = rig.port;
    rig.order(&["close"]);
    let mut capture = rig.start("-v");
    capture.until_stderr(0, "").after(Duration::from_millis(300));
    rig.bind(port);
    rig.order(&["wait"]);
    capture.read_stdout();
    (0..3).for_each(|n| rig.block(&[0, 1], 5 * n, 5));
    let run = stop_after(capture, 18);
    run.expect(&[0]);
    let got = samples(&run, RHYTHM);
    assert_eq!((got.len(), got[0].number), (15, 0));
    expect_values(&got, &[0, 1], &[]);
}

#[test]
fn a_capture_that_joins_in_the_middle_of_a_block_has_lost_nothing() {
    let Some(mut rig) = Rig::new() else { return };
    (0..3).for_each(|n| rig.block(&[0, 1, 2], 5 * n, 5));
    rig.data(0, 15, 5);
    let capture = rig.capture("");
    rig.data(1, 15, 5);
    rig.data(2, 15, 5);
    (4..8).for_each(|n| rig.block(&[0, 1, 2], 5 * n, 5));
    let run = stop_after(capture, 24);
    run.expect(&[0]).expect_silence();
    let got = samples(&run, RHYTHM);
    assert_eq!((got.len(), got[0].number, got[0].seq), (20, 20, 0));
    expect_values(&got, &[0, 1, 2], &[]);
}

#[test]
fn a_publisher_that_comes_back_is_found_within_a_second_and_begins_a_segment() {
    let Some(mut rig) = Rig::new() else { return };
    let port = rig.port;
    let mut capture = rig.capture("");
    (0..4).for_each(|n| rig.block(&[0, 1], 5 * n, 5));
    capture.until_samples(24);
    rig.order(&["close"]);
    capture.after(Duration::from_millis(700));
    rig.bind(port);
    rig.order(&["restart"]);
    let back = libframe::clock::Clock::system().now();
    rig.order(&["wait"]);
    (0..3).for_each(|n| rig.block(&[0, 1], 5 * n, 5));
    let run = stop_after(capture, 24 + 18);
    run.expect(&[0]).expect_silence();
    let got = samples(&run, RHYTHM);
    assert!(got.iter().zip(0..).all(|(sample, seq)| sample.seq == seq));
    assert_eq!((got[19].number, got[20].number, got.len()), (19, 0, 35));
    assert_eq!(got[22].values, [value(1, 0, 2), value(1, 1, 2)]);
    assert_eq!(gaps(&run), []);
    let segments = events(&run, "segment");
    assert_eq!((segments.len(), &segments[0].1.value), (1, &Value::Int(0)));
    assert_eq!(segments[0].0.seq, 20);
    let connected = events(&run, "connected");
    assert_eq!((connected.len(), events(&run, "disconnected").len()), (2, 1));
    let late = connected[1].0.time - back;
    assert!(late < SECOND, "{late} ns after the publisher was back");
}

#[test]
fn a_plugin_whose_ports_were_taken_is_found_two_further() {
    let Some(mut rig) = Rig::new() else { return };
    // Somebody else has the port of the heartbeats: the plugin takes the next pair.
    let asked = rig.port - 2;
    let capture = pipe(&format!("zmq-src tcp://127.0.0.1:{asked}")).start();
    rig.order(&["wait"]);
    let mut capture = capture;
    capture.read_stdout();
    (0..4).for_each(|n| rig.block(&[0, 1], 5 * n, 5));
    let run = stop_after(capture, 24);
    run.expect(&[0]).expect_stderr(0, "moved to");
    let place = format!("tcp://127.0.0.1:{}", rig.port);
    assert_eq!(events(&run, "moved")[0].1.value, Value::Text(place));
    assert_eq!(samples(&run, RHYTHM).len(), 20);
}

#[test]
fn the_plugin_hears_who_listens_and_its_silence_is_told() {
    let Some(mut rig) = Rig::new() else { return };
    let mut capture = rig.capture("--app-name recorder --uuid 1618 --silence 300ms");
    let first = rig.heard(1);
    assert_eq!(first[0]["application"], "recorder");
    assert_eq!(
        (&first[0]["uuid"], &first[0]["type"]),
        (&"1618".into(), &"heartbeat".into())
    );
    capture.until_records(Kind::EVENT, 3);
    rig.order(&["answer", "no"]);
    capture.until_records(Kind::EVENT, 4);
    rig.order(&["answer", "yes"]);
    capture.until_records(Kind::EVENT, 5);
    rig.block(&[0], 0, 5);
    capture.until_records(Kind::EVENT, 6).signal(0, Signal::TERM);
    let run = capture.wait();
    let labels = labels(&run);
    let changes: Vec<_> = labels.iter().filter(|l| l.starts_with("heart")).collect();
    assert_eq!(changes, ["heartbeat", "heartbeat-lost", "heartbeat"]);
    let silence: Vec<_> =
        labels.iter().filter(|l| ["silent", "awake"].contains(&l.as_str())).collect();
    assert_eq!(silence[..2], ["silent", "awake"]);
}

#[test]
fn garbage_costs_a_counted_warning_and_nothing_else() {
    let Some(mut rig) = Rig::new() else { return };
    let mut capture = rig.capture("");
    let deep = "[".repeat(50_000);
    let keys: String = (0..200_000).map(|n| format!("\"k{n}\":0,")).collect();
    let keys = format!("{{{keys}\"type\":\"data\"}}");
    let huge =
        "{\"type\":\"data\",\"content\":{\"channel_num\":0,\"num_samples\":1e400}}";
    let negative = "{\"message_num\":1,\"type\":\"data\",\"content\":{\"stream\":\"a\",\
                    \"channel_num\":-1,\"num_samples\":1,\"sample_num\":0}}";
    let claim = "{\"message_num\":1,\"type\":\"data\",\"content\":{\"stream\":\"a\",\
                 \"channel_num\":1,\"num_samples\":268435456,\"sample_num\":0}}";
    let nan = "{\"message_num\":NaN,\"type\":\"data\"}";
    for n in 0..3 {
        rig.block(&[0, 1], 4 * n, 4);
        rig.send(&["hex:00ff17a5"]);
        rig.send(&["hex:"]);
        rig.send(&["DATA\\0", "hex:ff00ff00ff00", "zeros:7"]);
        for json in [&deep[..], huge, negative, claim, nan, "{}", "null", "7"] {
            rig.send(&["DATA\\0", json, "zeros:4"]);
        }
        rig.send(&["DATA\\0", &keys, "zeros:4"]);
        rig.send(&[&["DATA\\0"][..], &["x"; 40]].concat());
    }
    rig.block(&[0, 1], 12, 4);
    capture.until_samples(20).signal(0, Signal::TERM);
    let run = capture.wait();
    // Nothing of the stream is lost.
    run.expect(&[0]);
    expect_values(&samples(&run, RHYTHM), &[0, 1], &[]);
    for text in [
        "not of two or three parts, times: 9",
        "JSON of over 65536 bytes, times: 3",
        "not the JSON of a message, times: 21",
        "\"channel_num\" out of range, times: 3",
        "not as many bytes as samples need, times: 3",
    ] {
        run.expect_stderr(0, text);
    }
    assert!(run.peaks[0] < 64 << 20, "{} bytes", run.peaks[0]);
}

#[test]
fn a_peer_that_is_none_or_claims_a_gibibyte_is_told_and_left() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut capture =
        pipe(&format!("zmq-src tcp://127.0.0.1:{port} --port-search 0 --duration 2s"))
            .start();
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &claiming()] {
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(answer).unwrap();
        // Until the tool has gone.
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        while peer.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {}
    }
    capture.read_stdout();
    let run = capture.wait();
    run.expect_stderr(0, "does not speak ZeroMQ");
    run.expect_stderr(0, "over the limit");
    assert!(run.peaks[0] < 64 << 20, "{} bytes", run.peaks[0]);
}

/// A PUB socket's handshake, then a frame that claims 1 GiB.
fn claiming() -> Vec<u8> {
    let mut bytes = vec![0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 0];
    bytes.extend_from_slice(b"NULL");
    bytes.resize(64, 0);
    bytes.extend_from_slice(&[4, 25]);
    bytes.extend_from_slice(b"\x05READY\x0BSocket-Type\0\0\0\x03PUB");
    bytes.push(2);
    bytes.extend_from_slice(&(1u64 << 30).to_be_bytes());
    bytes.extend_from_slice(b"some of it");
    bytes
}

#[test]
fn a_publisher_that_does_not_come_is_an_error_if_it_is_not_waited_for() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for options in ["--wait 0s", "--wait 400ms", "--duration 1200ms"] {
        let run = pipe(&format!("zmq-src tcp://{free} {options}")).run();
        run.expect(&[1]).expect_stderr(0, "no publisher: Connection refused");
        assert_eq!(run.samples(), 0);
    }
    let run = pipe("zmq-src rig:5556").run();
    run.expect(&[2]).expect_stderr(0, "tcp://HOST:PORT");
}

#[test]
fn a_rig_that_falls_silent_ends_an_idle_capture() {
    let Some(mut rig) = Rig::new() else { return };
    let capture = rig.capture("--idle 700ms");
    (0..4).for_each(|n| rig.block(&[0, 1], 5 * n, 5));
    rig.data(0, 20, 5);
    let run = capture.wait();
    assert_eq!(run.payloads::<End>()[0].reason, "idle");
    // What is missing of the last block will not come.
    assert_eq!(gaps(&run), [(20, None, Some(5), vec![1])]);
    run.expect(&[3]);
}

#[test]
fn two_rigs_are_one_session_and_their_streams_have_names_of_their_own() {
    let (Some(mut one), Some(mut other)) = (Rig::new(), Rig::new()) else { return };
    let mut capture = one.start(&format!("tcp://127.0.0.1:{} -n 20", other.port));
    for rig in [&mut one, &mut other] {
        rig.order(&["wait"]);
    }
    capture.read_stdout();
    for n in 0..4 {
        one.block(&[0, 1], 5 * n, 5);
        other.block(&[7], 5 * n, 5);
    }
    let run = capture.wait();
    run.expect(&[0]).expect_silence();
    let (first, second) = (samples(&run, RHYTHM), samples(&run, "Rhythm Data-2"));
    let widths = [first[0].values.len(), second[0].values.len()];
    assert_eq!((first.len(), second.len(), widths.iter().sum::<usize>()), (20, 20, 3));
}
