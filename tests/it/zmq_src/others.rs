//! What else `zmq-src` reads, and what others make of what it writes.

use framepipe_tests::{Scratch, pipe};
use libframe::payload::{Gap, Reason, Session};
use libframe::schema::{Media, Stream};
use libframe::wire::Kind;
use rustix::process::Signal;

use super::RHYTHM;
use super::rig::{Rig, gaps, number, samples, stop_after};

#[test]
fn any_messages_pass_as_they_are() {
    let Some(mut rig) = Rig::new() else { return };
    let mut capture = rig.capture("--raw --subscribe topic --subscribe hex");
    rig.send(&["topic one"]);
    rig.send(&["other"]);
    rig.send(&["topic", "", "two"]);
    rig.send(&["hexagon"]);
    capture.until_samples(3).signal(0, Signal::TERM);
    let run = capture.wait();
    run.expect(&[0]).expect_silence();
    let of = |name| {
        let number = number(&run, name);
        let data = run.of_kind(&[Kind::DATA]).into_iter();
        data.filter(|(h, _)| h.stream == number).map(|(_, p)| p).collect::<Vec<_>>()
    };
    assert_eq!(of("zmq"), [b"topic one".to_vec(), b"hexagon".to_vec()]);
    assert_eq!(of("zmq.parts"), [b"\x05\0\0\0topic\0\0\0\0\x03\0\0\0two".to_vec()]);
    let streams = run.payloads::<Stream>();
    assert!(streams.iter().all(|stream| stream.media == Media::Bytes));
    assert!(streams.iter().any(|stream| stream.meta.contains_key("parts")));
}

#[test]
fn records_of_to_zmq_come_out_as_the_session_they_are() {
    let scratch = Scratch::new();
    let endpoint = format!("ipc://{}", scratch.file("hop"));
    let mut hop = pipe(&format!("zmq-src --records {endpoint}")).start();
    hop.read_stdout();
    let line = format!(
        "sim-src control ephys --seed 3 -n 3000 --rate 20000 | \
         to-zmq --wait-subscribers 1 {endpoint}"
    );
    let sent = pipe(&line).run();
    sent.expect(&[0, 0]).expect_silence();
    let run = hop.wait();
    run.expect(&[0]).expect_silence();
    let straight = pipe("sim-src control ephys --seed 3 -n 3000 --rate 20000").run();
    let payloads = |run: &framepipe_tests::Run| {
        let records = run.of_kind(&[Kind::DATA, Kind::BATCH]).into_iter();
        records.map(|(h, p)| (h.stream, h.seq, p)).collect::<Vec<_>>()
    };
    let mut by_number = [payloads(&run), payloads(&straight)];
    by_number.iter_mut().for_each(|all| all.sort());
    assert_eq!(by_number[0], by_number[1]);
    let session = &run.payloads::<Session>()[0];
    let stages: Vec<_> = session.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(stages, ["sim-src", "to-zmq", "zmq-src"]);
}

#[test]
fn records_that_are_lost_on_the_way_are_gaps_by_transport() {
    let Some(mut rig) = Rig::new() else { return };
    let made = pipe("sim-src control -n 40 --rate max").run();
    let hop = rig.capture("--records");
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    for (header, payload) in made.records() {
        let mut bytes = Vec::new();
        libframe::wire::Record::new(header, &payload).encode(&mut bytes);
        if header.kind == Kind::DATA && [7, 8, 20].contains(&header.seq) {
            continue;
        }
        rig.send(&[&format!("hex:{}", hex(&bytes))]);
        if header.seq == 30 {
            rig.send(&["not a record"]);
            *bytes.last_mut().unwrap() ^= 1;
            rig.send(&[&format!("hex:{}", hex(&bytes))]);
        }
    }
    rig.order(&["close"]);
    let run = hop.wait();
    run.expect(&[3]).expect_stderr(0, "3 of 40 samples lost");
    run.expect_stderr(0, "unusable record: not framepipe's");
    run.expect_stderr(0, "unusable record: damaged");
    let told: Vec<_> = run
        .payloads::<Gap>()
        .into_iter()
        .map(|gap| (gap.first, gap.count, gap.reason, gap.stage))
        .collect();
    let by = |first, count| (first, Some(count), Reason::Transport, "zmq-src".to_owned());
    assert_eq!(told, [by(7, 2), by(20, 1)]);
}

#[test]
fn records_where_a_rig_is_expected_are_told_with_the_remedy() {
    let Some(mut rig) = Rig::new() else { return };
    let mut capture = rig.capture("");
    rig.send(&["hex:d5465031"]);
    capture.until_stderr(0, "unusable message").signal(0, Signal::TERM);
    let run = capture.wait();
    run.expect(&[1]).expect_stderr(0, "--records takes those of to-zmq, --raw any");
}

#[test]
fn what_comes_can_be_listed() {
    let Some(mut rig) = Rig::new() else { return };
    for format in ["text", "json"] {
        let listing = rig.start(&format!("--list --format {format}"));
        rig.order(&["wait"]);
        rig.block(&[4, 5, 6, 9], 0, 48);
        rig.send(&["what is this"]);
        let run = listing.wait();
        run.expect(&[0]).expect_silence();
        if format == "text" {
            let text = run.text();
            assert!(text.contains("5 messages, not understood: 1"), "{text}");
            assert!(
                text.contains("Rhythm Data: 4 channels (4-6,9) at 30000 Hz"),
                "{text}"
            );
            continue;
        }
        let stream = &run.json()[0]["streams"][RHYTHM];
        assert_eq!(
            (&stream["channels"], &stream["block"]),
            (&"4-6,9".into(), &48.into())
        );
        assert_eq!(stream["names"][3], "CH10");
    }
}

#[test]
fn others_make_sense_of_a_rig_with_gaps_and_segments() {
    let Some(mut rig) = Rig::new() else { return };
    let scratch = Scratch::new();
    let capture = rig.capture("");
    // 1.2 s in real time, with a lost message and a lost block; then a new acquisition.
    for n in 0..75 {
        match n {
            20 => rig.data(0, 480 * n, 480),
            40 => {}
            _ => rig.block(&[0, 1], 480 * n, 480),
        }
        match n {
            20 => drop(rig.order(&["skip"])),
            40 => (0..2).for_each(|_| drop(rig.order(&["skip"]))),
            _ => {}
        }
        rig.order(&["sleep", "15"]);
    }
    rig.order(&["restart"]);
    for n in 0..40 {
        rig.block(&[0, 1], 480 * n, 480);
        rig.order(&["sleep", "15"]);
    }
    let run = stop_after(capture, 114 * 481);
    run.expect(&[3]);
    assert_eq!(gaps(&run).len(), 2);
    let got = samples(&run, RHYTHM);
    assert!(
        got.windows(2).all(|two| two[0].time < two[1].time),
        "across the segment too"
    );

    let file = scratch.file("rig.h5");
    let recorded = pipe(&format!("to-h5 -q {file}")).input(run.stdout.clone()).run();
    recorded.expect(&[3]);
    let read = pipe(&format!("jitter-report -q -f json {file}")).run();
    assert!(read.json().to_string().contains(RHYTHM));
    let batches =
        pipe("batch-frames -q -n 50 | to-text -q -f csv").input(run.stdout.clone()).run();
    batches.expect(&[3, 3]);
    let report = pipe("jitter-report -q -f json").input(run.stdout.clone()).run();
    let json = report.json().to_string();
    assert!(json.contains(RHYTHM), "{json}");
}
