//! `inspect-frames`

use framepipe_tests::pipe;

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
fn a_measured_rate_is_the_real_one() {
    let run = pipe("sim-src --rate 250 --duration 2s | inspect-frames -f json").run();
    let rate = run.json()["sessions"][0]["streams"][0]["measured_rate"].as_f64().unwrap();
    assert!((240.0..260.0).contains(&rate), "{rate}");
}
