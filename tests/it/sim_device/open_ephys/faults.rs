//! What goes wrong with a simulated Open Ephys GUI, and that its truth tells it.

use std::net::TcpListener;

use framepipe_tests::pipe;
use serde_json::{Value, json};

use super::{Gui, client, data, first_line, heard, int, listen};

/// The numbers of messages.
fn numbers(messages: &[Value]) -> Vec<i64> {
    messages.iter().map(|told| int(&told["message"]["message_num"])).collect()
}

/// Each block of a channel that came: first sample and channel.
fn places(messages: &[Value]) -> Vec<(i64, i64)> {
    let place = |told: &Value| {
        let content = &told["message"]["content"];
        (int(&content["sample_num"]), int(&content["channel_num"]))
    };
    data(messages).map(place).collect()
}

#[test]
fn lost_messages_take_a_number_and_the_truth_names_them() {
    let options = "-n 96000 --speed 20 --channels 4,6,8 --lose 5% --events 50";
    let Some((messages, run, truth)) = listen(options, "") else { return };
    assert!(data(&messages).all(|told| int(&told["wrong"]) == 0));
    let mut expected = Vec::new();
    let mut lost = 0;
    for block in truth.all("block") {
        for channel in [4, 6, 8] {
            if block["lost"].as_array().unwrap().contains(&json!(channel)) {
                lost += 1;
            } else {
                expected.push((int(&block["sample_num"]), channel));
            }
        }
    }
    assert_eq!(places(&messages), expected);
    let lost_events = truth.all("event").filter(|line| line["lost"] == true).count();
    let all = numbers(&messages);
    let missing = all[all.len() - 1] as usize - all.len();
    // The last ones may be lost, which no number shows.
    assert!((15..60).contains(&lost) && missing.abs_diff(lost + lost_events) < 3);
    run.expect_stderr(0, &format!("{} messages lost on purpose", lost + lost_events));
    let end = truth.all("end").next().unwrap();
    assert_eq!((int(&end["messages"]), int(&end["dropped"])), (messages.len() as i64, 0));
}

#[test]
fn numbers_may_be_skipped_though_nothing_is_lost() {
    for (quirk, least, most) in [("--quirk", 1, 30), ("--quirk 20%", 100, 300)] {
        let options = format!("-n 96000 --speed 20 --channels 5 {quirk}");
        let Some((messages, _, truth)) = listen(&options, "") else { return };
        assert_eq!(places(&messages).len(), 5 * 200);
        let of_block =
            |block: &Value| [&block["first_message"], &block["last_message"]].map(int);
        let told: Vec<_> = truth.all("block").map(of_block).collect();
        let came = numbers(&messages);
        let came: Vec<_> = came.chunks(5).map(|block| [block[0], block[4]]).collect();
        assert_eq!(told, came);
        let skipped = *numbers(&messages).last().unwrap() as usize - messages.len();
        assert!((least..most).contains(&skipped), "{quirk}: {skipped}");
    }
}

#[test]
fn a_restart_counts_samples_and_messages_from_the_start() {
    let options = "-n 3000 --rate 1000 --block 50 --channels 2 --speed 4";
    for (generation, restarts) in
        [("1.0-names", true), ("0.3.0", true), ("interim", false)]
    {
        let options = format!("{options} --generation {generation} --restart 200ms/1s");
        let Some((messages, _, truth)) = listen(&options, "") else { return };
        let key = if restarts { "message_num" } else { "message_no" };
        let sample = if restarts { "sample_num" } else { "timestamp" };
        let pair = |told: &Value| {
            let message = &told["message"];
            (int(&message[key]), int(&message["content"][sample]))
        };
        let pairs: Vec<_> = messages.iter().map(pair).collect();
        let begins = pairs.iter().filter(|(_, sample)| *sample == 0).count();
        assert_eq!((begins, truth.all("begin").count()), (2 * 4, 4), "{generation}");
        let first = pairs.iter().filter(|(number, _)| *number == 1).count();
        assert_eq!(first, if restarts { 4 } else { 1 }, "{generation}");
        // 800 of 1000 samples in each second, and no half block.
        assert_eq!(pairs.iter().map(|(_, sample)| *sample).max(), Some(750));
        let total: i64 = truth.all("block").map(|block| int(&block["n"])).sum();
        assert_eq!(total, 3000);
    }
}

#[test]
fn a_publisher_that_vanishes_comes_back_and_has_counted_on() {
    for (moves, step) in [("", 0), ("--move", 2)] {
        let options = "--wait-for-client --channels 2 -n 105000 --vanish 400ms/2s";
        let gui = Gui::start(&format!("{options} {moves}"));
        let port: u16 = gui.endpoint.rsplit_once(':').unwrap().1.parse().unwrap();
        let next = gui_line(port + step);
        // One that listens at both places, as somebody who searches the next pair does.
        let client = client(&["listen", &gui.endpoint, "--also", &next, "--stay", "2"]);
        let Some(client) = client else { return };
        let messages = heard(client);
        let (run, truth) = gui.finish();
        assert_eq!(run.text().lines().collect::<Vec<_>>(), [gui_line(port), next]);
        let away = truth.all("block").filter(|block| block["sent"] == false);
        let away: Vec<_> = away.map(|block| int(&block["sample_num"])).collect();
        assert!((20..30).contains(&away.len()), "{}", away.len());
        let (from, to) = (away[0], away[away.len() - 1]);
        let places = places(&messages);
        assert!(messages.iter().all(|told| int(&told["wrong"]) == 0));
        let before = places.iter().filter(|(sample, _)| *sample < from).count();
        let after = places.iter().filter(|(sample, _)| *sample > to).count();
        assert_eq!(before as i64, 2 * from / 480, "all that was published before");
        assert!(after > 0 && before + after == places.len(), "{after}");
        assert_eq!((truth.all("vanish").count(), truth.all("return").count()), (1, 1));
    }
}

fn gui_line(port: u16) -> String {
    format!("tcp://127.0.0.1:{port}")
}

#[test]
fn a_pair_of_which_one_port_is_taken_moves_by_two() {
    // Two in a row that are free now, of which another program takes the second.
    let (port, taken) =
        std::iter::repeat_with(|| TcpListener::bind("127.0.0.1:0").unwrap())
            .find_map(|any| {
                let port = any.local_addr().unwrap().port();
                let next = TcpListener::bind(("127.0.0.1", port.checked_add(1)?)).ok()?;
                Some((port, next))
            })
            .unwrap();
    let mut started = pipe(&format!("sim-device open-ephys --port {port} -n 20")).start();
    let line = first_line(&mut started);
    let found: u16 = line.rsplit_once(':').unwrap().1.parse().unwrap();
    assert!(found > port && (found - port).is_multiple_of(2), "{port} {line}");
    started.wait().expect(&[0]).expect_silence();
    drop(taken);
    let mut started = pipe(&format!("sim-device open-ephys --port {port}")).start();
    assert_eq!(first_line(&mut started), gui_line(port), "and only then");
    // Next to one that has the pair, another one goes on to the next.
    let mut other = pipe(&format!("sim-device open-ephys --port {port} -n 20")).start();
    let found = first_line(&mut other);
    assert!(found != gui_line(port + 1) && found != gui_line(port), "{found}");
    other.wait().expect(&[0]);
    started.signal(0, rustix::process::Signal::TERM);
    started.wait().expect(&[0]);
}

#[test]
fn what_a_stalled_reader_does_not_take_is_dropped_for_it_and_counted() {
    // Enough for the kernel's buffers and libzmq's own queue of 1000, and then some.
    let options = "--channels 64 -n 120000 --speed 10 --hwm 1000";
    let Some((messages, run, truth)) = listen(options, "--stall 3") else {
        return;
    };
    let end = truth.all("end").next().unwrap();
    let (sent, dropped) = (int(&end["messages"]), int(&end["dropped"]));
    assert_eq!(sent, 64 * 250);
    assert!(dropped > 1000, "{dropped} dropped, {} heard", messages.len());
    assert_eq!(messages.len() as i64, sent - dropped, "each is told");
    assert!(messages.iter().all(|told| int(&told["wrong"]) == 0));
    run.expect_stderr(0, &format!("{dropped} dropped for slow subscribers"));
}

#[test]
fn a_patient_publisher_drops_nothing_at_full_speed() {
    let options = "--channels 16 -n 480000 --speed max --patient --lose 0.1%";
    let Some((messages, _, truth)) = listen(options, "--stall 0.5") else { return };
    let end = truth.all("end").next().unwrap();
    assert_eq!(int(&end["dropped"]), 0);
    assert_eq!(messages.len() as i64, int(&end["messages"]));
    assert_eq!(messages.len() as i64 + int(&end["lost"]), 16 * 1000);
}

#[test]
fn the_set_of_channels_may_change_on_the_way() {
    let options = "--rate 1000 --block 100 -n 1000 --speed 5 --channels 4,6 \
                   --change-channels 500ms:1-3 --change-channels 800ms:6,";
    let Some((messages, _, truth)) = listen(options, "") else { return };
    let expected = (0..10).flat_map(|block| {
        let channels = match block {
            0..5 => vec![4, 6],
            5..8 => vec![1, 2, 3],
            _ => vec![6],
        };
        channels.into_iter().map(move |channel| (block * 100, channel))
    });
    assert_eq!(places(&messages), expected.collect::<Vec<_>>());
    assert!(data(&messages).all(|told| int(&told["wrong"]) == 0));
    let told: Vec<_> =
        truth.all("channels").map(|line| int(&line["sample_num"])).collect();
    assert_eq!(told, [500, 800]);
}

#[test]
fn a_wave_and_its_faults_depend_on_the_seed_alone() {
    let wave = |seed: u64| {
        let options = format!(
            "-n 2400 --values wave --channels 4 --seed {seed} --spikes 100 --lose 10%"
        );
        let (messages, ..) = listen(&options, "--payload")?;
        let payload = |told: &Value| told["payload"].clone();
        Some(messages.iter().map(payload).collect::<Vec<_>>())
    };
    let Some(one) = wave(1) else { return };
    assert_eq!(Some(&one), wave(1).as_ref());
    assert_ne!(Some(&one), wave(2).as_ref());
}

#[test]
fn what_cannot_be_is_explained() {
    for (wrong, hint) in [
        ("--channels 5-3", "4,6,8-15"),
        ("--block 0", "100-1000"),
        ("--rate 0", "say 1kHz"),
        ("--rate 2MHz", "from 1 to 1000000"),
        ("--speed fast", "or max"),
        ("--restart 5s", "5s/60s"),
        ("--stream A:size=3", "channels=, rate="),
        ("--change-channels 3", "2s:0-15"),
        ("--generation 0.9", "1.0-names"),
        ("--generation 0.2.0 --stream A --stream B", "knows no streams"),
        ("--speed max --vanish 1s/2s", "takes time"),
        ("--move", "--vanish"),
    ] {
        let run = pipe(&format!("sim-device open-ephys {wrong}")).run();
        run.expect(&[2]).expect_stderr(0, hint);
    }
    let run = pipe("sim-device open-ephys --bind 203.0.113.1 -n 1").run();
    run.expect(&[1]).expect_stderr(0, "tcp://203.0.113.1:5556: ");
    let gui = Gui::start("-n 1 --channels 1");
    let truth = gui.folder.file("truth.ndjson");
    let run = pipe(&format!("sim-device open-ephys --port 0 -n 1 --truth {truth}")).run();
    run.expect(&[1]).expect_stderr(0, "truth.ndjson: File exists");
    gui.finish();
}
