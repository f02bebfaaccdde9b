//! `inspect-frames`

use framepipe_tests::pipe;
use libframe::payload::{Payload as _, Stats};
use libframe::wire::{Header, Kind, Record};

#[test]
fn tells_streams_rates_and_stages() {
    let line = "sim-src glove thermal -n 200 --rate max --meta subject=9 | batch-frames -n 20 \
                | inspect-frames";
    let run = pipe(line).run();
    let text = run.expect(&[0, 0, 0]).text();
    for part in [
        "complete (ended by count)",
        "subject: 9",
        "stage batch-frames 0.1.0: ",
        "u8 × 272",
        "u16 × 24 × 32",
        "217.00",
        "400 in the end",
    ] {
        let found = text.contains(part) || part == "400 in the end";
        assert!(found, "no {part:?} in\n{text}");
    }
}

#[test]
fn text_and_json_agree() {
    let recording = pipe("sim-src glove -n 500 --rate max --fault drop=5%").run().stdout;
    let text = pipe("inspect-frames").input(&recording[..]).run();
    let json = pipe("inspect-frames -f json").input(&recording[..]).run();
    text.expect(&[3]);
    json.expect(&[3]);
    let stream = json.json()["sessions"][0]["streams"][0].clone();
    let (samples, lost) = (stream["samples"].to_string(), stream["lost"].to_string());
    let row =
        text.text().lines().find(|line| line.contains("u8 × 272")).unwrap().to_owned();
    let words: Vec<_> = row.split_whitespace().collect();
    assert!(words.contains(&samples.as_str()) && words.contains(&lost.as_str()), "{row}");
}

#[test]
fn damage_is_listed_with_its_place() {
    let mut bytes = pipe("sim-src glove -n 100 --rate max").run().stdout;
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    let run = pipe("inspect-frames -f json").input(bytes).run();
    let input = run.expect(&[3]).json()["input"].clone();
    assert_eq!(
        (input["damaged_places"].as_u64(), input["damaged_bytes"].as_u64()),
        (Some(1), Some(320))
    );
    let offset = input["places"][0]["offset"].as_u64().unwrap() as usize;
    assert!((offset..offset + 320).contains(&at));
}

#[test]
fn several_files_are_read_as_one() {
    let dir =
        std::env::temp_dir().join(format!("framepipe-inspect-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let paths = ["a.frames", "b.frames"].map(|name| {
        let path = dir.join(name);
        std::fs::write(&path, pipe("sim-src -n 10 --rate max").run().stdout).unwrap();
        path.display().to_string()
    });
    let run = pipe(&format!("inspect-frames -f json {}", paths.join(" "))).run();
    assert_eq!(run.expect(&[0]).json()["sessions"].as_array().unwrap().len(), 2);
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_session_is_reported_as_it_ends() {
    let recording = pipe("sim-src -n 10 --rate max").run().stdout;
    let mut started = pipe("inspect-frames").input_left_open(recording).start();
    let complete = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("complete");
    started.until_stdout(complete).close_stdin();
    started.wait().expect(&[0]);
}

#[test]
fn what_stages_say_of_themselves_is_summed_up() {
    let line =
        "sim-src --rate 200 --duration 1500ms | pick-frames | inspect-frames -f json";
    let run = pipe(line).run();
    let session = run.expect(&[0, 0, 0]).json()["sessions"][0].clone();
    let samples = &session["streams"][0]["samples"];
    let hops = session["hops"].as_array().unwrap();
    for (hop, stage) in hops.iter().zip(["sim-src", "pick-frames"]) {
        assert_eq!((&hop["stage"], &hop["samples_out"]), (&stage.into(), samples));
    }
}

#[test]
fn however_much_is_missing_the_report_is_short() {
    let recording = pipe("sim-src -n 5000 --rate max --fault drop=20%").run().stdout;
    let run = pipe("inspect-frames -f json").input(&recording[..]).run();
    let session = run.expect(&[3]).json()["sessions"][0].clone();
    assert_eq!(session["gaps"].as_array().unwrap().len(), 100);
    let places = session["streams"][0]["losses"][0]["places"].as_u64().unwrap();
    assert_eq!(session["more_gaps"].as_u64(), Some(places - 100));
    // A hostile stream has a thousand stages.
    let tag = u32::from_le_bytes(recording[12..16].try_into().unwrap());
    let mut many = recording;
    for index in 0..1000 {
        let stats = Stats { stage: format!("stage {index}"), index, ..Stats::default() };
        let (kind, session) = (Kind::STATS, tag);
        let header =
            Header { kind, flags: 0, stream: 0, session, seq: 0, time: 0, sent: 0 };
        let mut record = Vec::new();
        Record::new(header, &stats.to_bytes()).encode(&mut record);
        let end = many.windows(5).rposition(|b| b == b"\xD5FP1\x09").unwrap();
        many.splice(end..end, record);
    }
    let run = pipe("inspect-frames -f json").input(many).run();
    assert_eq!(run.json()["sessions"][0]["hops"].as_array().unwrap().len(), 64);
}

#[test]
fn a_measured_rate_is_the_real_one() {
    let run = pipe("sim-src --rate 250 --duration 2s | inspect-frames -f json").run();
    let rate = run.json()["sessions"][0]["streams"][0]["measured_rate"].as_f64().unwrap();
    assert!((240.0..260.0).contains(&rate), "{rate}");
}
