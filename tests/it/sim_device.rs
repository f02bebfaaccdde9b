//! `sim-device`, as a client at its port sees it, and the maps of the gloves it can be.

pub(crate) mod open_ephys;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::Duration;

use framepipe_tests::{Started, pipe, root};
use libframe::clock::{Clock, SECOND};
use rustix::fs::OFlags;
use rustix::process::Signal;

const DELIMITER: [u8; 4] = [0xAA, 0x55, 0x03, 0x99];
/// Frames that a port holds for a client that reads late, as one on a busy machine does.
const HELD: usize = 50;

/// A folder of a test's own, gone with it.
pub(crate) struct Bench(pub(crate) PathBuf);

impl Bench {
    pub(crate) fn new() -> Bench {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (pid, n) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(format!("sim-device-{pid}-{n}"));
        fs::create_dir_all(&dir).unwrap();
        Bench(dir)
    }

    pub(crate) fn link(&self) -> PathBuf {
        self.0.join("glove")
    }

    fn truth(&self) -> PathBuf {
        self.0.join("truth.ndjson")
    }

    /// A glove with its link and its truth here.
    pub(crate) fn glove(&self, options: &str) -> Started {
        let (link, truth) = (self.link(), self.truth());
        let (link, truth) = (link.display(), truth.display());
        pipe(&format!("sim-device glove --link {link} --truth {truth} -v {options}"))
            .start()
    }

    /// When each frame was sent, and whether it was lost.
    pub(crate) fn sent(&self) -> Vec<(i64, bool)> {
        let lines = fs::read_to_string(self.truth()).unwrap();
        let frames = lines.lines().enumerate().map(|(at, line)| {
            let frame: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(frame["frame"], at);
            (frame["sent_ns"].as_i64().unwrap(), frame["lost"].as_bool().unwrap())
        });
        frames.collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

/// Opens the port as soon as it is there.
fn open(link: &Path) -> File {
    let began = Clock::system().now();
    // Not as this process's own terminal, or its end would be ours.
    let flags = OFlags::NOCTTY.bits() as i32;
    loop {
        match File::options().read(true).write(true).custom_flags(flags).open(link) {
            Ok(port) => return port,
            Err(err) if Clock::system().now() - began > 20 * SECOND => panic!("{err}"),
            Err(_) => sleep(Duration::from_millis(1)),
        }
    }
}

/// What comes until the port is gone.
fn read(mut port: File) -> Vec<u8> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = port.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..n]);
    }
    bytes
}

/// A client that opens the port and reads to the end.
fn client(link: PathBuf) -> JoinHandle<Vec<u8>> {
    Builder::new().name("client".into()).spawn(move || read(open(&link))).unwrap()
}

/// What a client that is there from the start gets from a glove, and what was sent.
fn listen(options: &str) -> (Vec<u8>, Vec<(i64, bool)>, String) {
    let bench = Bench::new();
    let started = bench.glove(&format!("--wait-for-client {options}"));
    let bytes = client(bench.link()).join().unwrap();
    let run = started.wait();
    run.expect(&[0]);
    assert!(fs::symlink_metadata(bench.link()).is_err(), "the link is still there");
    (bytes, bench.sent(), run.stderrs[0].clone())
}

/// The frames in these bytes, which must be whole packets in order.
fn frames(bytes: &[u8], side: u8) -> Vec<Vec<u8>> {
    assert_eq!(bytes.len() % 284, 0);
    let frames = bytes.chunks(284).map(|both| {
        let (first, last) = both.split_at(134);
        assert_eq!(first[..6], [&DELIMITER[..], &[1, side]].concat());
        assert_eq!(last[..6], [&DELIMITER[..], &[2, side]].concat());
        [&first[6..], &last[6..]].concat()
    });
    frames.collect()
}

#[test]
fn a_client_that_reads_gets_every_byte_of_every_frame() {
    for (name, side) in [("left", 1), ("right", 2), ("body", 6), ("4", 4)] {
        let (bytes, sent, stderr) =
            listen(&format!("-n {HELD} --rate 400 --side {name}"));
        let frames = frames(&bytes, side);
        assert_eq!((frames.len(), sent.len()), (HELD, HELD));
        assert!(sent.iter().all(|(_, lost)| !lost));
        assert_eq!(stderr, "sim-device: 50 frames, 14200 bytes sent, 0 bytes lost\n");
        for frame in frames {
            let parts = frame[256..].chunks(4).map(|part| part.try_into().unwrap());
            let norm: f32 = parts.map(|part| f32::from_le_bytes(part).powi(2)).sum();
            assert!((norm - 1.0).abs() < 1e-6, "{norm}");
        }
    }
}

#[test]
fn the_seed_decides_what_is_sent() {
    let bytes = |seed: u64| listen(&format!("-n {HELD} --rate 400 --seed {seed}")).0;
    assert_eq!(bytes(7), bytes(7));
    assert_ne!(bytes(7), bytes(8));
}

#[test]
fn frames_come_at_their_rate_and_do_not_drift() {
    let (_, sent, _) = listen("-n 434");
    let late = |frame: usize| sent[frame].0 - (frame as f64 * 1e9 / 217.0) as i64;
    // A busy machine is late now and then, but does not stay so.
    let (first, last) = ((0..100).map(late).min(), (334..434).map(late).min());
    let drift = last.unwrap() - first.unwrap();
    assert!(drift.abs() < SECOND / 200, "{drift} ns in 2 s");
}

#[test]
fn bytes_that_nobody_reads_are_lost_and_nothing_waits_for_them() {
    let bench = Bench::new();
    let started = bench.glove("--rate 1000 --wait-for-client -n 900");
    let mut port = open(&bench.link());
    sleep(Duration::from_millis(400));
    let mut bytes = vec![0; 100_000];
    let n = port.read(&mut bytes).unwrap();
    bytes.truncate(n);
    bytes.extend(read(port));
    started.wait().expect(&[0]);
    let sent = bench.sent();
    let lost = sent.iter().filter(|(_, lost)| *lost).count();
    assert!((100..600).contains(&lost), "{lost}");
    // What came after the gap is new: whole frames, until the end.
    let seconds = (sent[sent.len() - 1].0 - sent[0].0) as f64 / 1e9;
    assert!((0.8..1.1).contains(&seconds) && !sent[sent.len() - 1].1, "{seconds}");
    let last = &bytes[bytes.len() - 284..];
    assert_eq!(frames(last, 1).len(), 1);
    assert!(bytes.len() / 284 + lost + 1 >= sent.len(), "{} {lost}", bytes.len());
}

#[test]
fn without_a_client_all_is_lost_and_the_first_one_gets_nothing_old() {
    let bench = Bench::new();
    let mut started = bench.glove("--rate 500 -n 450");
    started.until_stdout(|text| text.ends_with(b"\n"));
    sleep(Duration::from_millis(400));
    let bytes = read(open(&bench.link()));
    started.wait().expect(&[0]).expect_stderr(0, "bytes lost");
    let sent = bench.sent();
    let lost = sent.iter().take_while(|(_, lost)| *lost).count();
    assert!(lost > 100, "{lost}");
    let most = (sent.len() - lost + 1) * 284;
    assert!((284..most).contains(&bytes.len()), "{} of {most}", bytes.len());
}

#[test]
fn the_next_client_does_not_get_what_the_last_one_left() {
    let bench = Bench::new();
    let mut started = bench.glove("--rate 500");
    let first = open(&bench.link());
    sleep(Duration::from_millis(200));
    drop(first);
    sleep(Duration::from_millis(200));
    let mut second = open(&bench.link());
    sleep(Duration::from_millis(20));
    let n = second.read(&mut vec![0; 100_000]).unwrap();
    assert!((1..100 * 284).contains(&n) && n < 60 * 284, "{n}");
    started.signal(0, Signal::TERM);
    started.wait().expect(&[0]);
}

#[test]
fn a_line_loses_and_changes_the_bytes_it_was_told_to() {
    let glove = format!("-n {HELD} --rate 400");
    let (bytes, sent, _) = listen(&format!("{glove} --lose 0.3%"));
    let missing = HELD * 284 - bytes.len();
    assert!((20..70).contains(&missing), "{missing}");
    let lost = sent.iter().filter(|(_, lost)| *lost).count();
    assert!(lost <= missing && lost > missing / 2, "{lost} {missing}");

    let (clean, ..) = listen(&glove);
    let (noisy, sent, _) = listen(&format!("{glove} --noise 0.2%"));
    let changed = |frame: usize| {
        let range = frame * 284..(frame + 1) * 284;
        clean[range.clone()] != noisy[range]
    };
    assert!((0..HELD).all(|frame| sent[frame].1 == changed(frame)));
    let frames = (0..HELD).filter(|frame| changed(*frame)).count();
    assert!((10..35).contains(&frames), "{frames}");
}

#[test]
fn a_client_may_find_itself_in_the_middle_of_a_packet() {
    let (bytes, sent, _) = listen("-n 10 --rate 500 --start-mid-packet");
    let first = bytes.windows(4).position(|four| four == DELIMITER).unwrap();
    assert!((1..134).contains(&first), "{first}");
    assert_eq!(bytes[first + 4], 2, "the rest of packet 1 is followed by packet 2");
    assert_eq!(frames(&bytes[first + 150..], 1).len(), 9);
    assert!(sent[0].1 && sent[1..].iter().all(|(_, lost)| !lost));
}

#[test]
fn a_sleeping_glove_is_silent_and_the_port_stays() {
    let (bytes, sent, _) = listen(&format!("-n {HELD} --rate 100 --sleep 400ms/700ms"));
    assert_eq!(frames(&bytes, 1).len(), HELD, "what it did not make, it did not lose");
    let gaps = sent.windows(2).map(|two| two[1].0 - two[0].0);
    let longest = gaps.max().unwrap();
    assert!((SECOND / 5..SECOND).contains(&longest), "{longest}");
}

#[test]
fn an_unplugged_glove_ends_and_comes_back_behind_the_same_link() {
    let bench = Bench::new();
    let mut started = bench.glove("--rate 500 --unplug 700ms/1s");
    let before = read(open(&bench.link()));
    assert!(fs::symlink_metadata(bench.link()).is_err(), "nothing is there meanwhile");
    let mut again = open(&bench.link());
    let n = again.read(&mut [0; 4096]).unwrap();
    assert!(before.len() > 284 && n > 0);
    started.signal(0, Signal::TERM);
    let run = started.wait();
    run.expect(&[0]);
    let paths: Vec<_> = run.text().lines().collect();
    assert!(paths.len() >= 2 && paths.iter().all(|path| path.starts_with("/dev/")));
    assert!(fs::symlink_metadata(bench.link()).is_err(), "the link is still there");
}

#[test]
fn a_recording_is_sent_as_it_is_at_the_speed_of_the_line() {
    let (bytes, ..) = listen(&format!("-n {HELD} --rate 400"));
    let bench = Bench::new();
    let path = bench.0.join("recorded.bin");
    // From the middle of a packet to the middle of another, as recordings are.
    fs::write(&path, &bytes[59..bytes.len() - 4]).unwrap();
    let (again, sent, _) = listen(&format!("--replay {}", path.display()));
    assert_eq!(again, &bytes[59..bytes.len() - 4]);
    assert_eq!(sent.len(), HELD - 1, "the first frame lacks its beginning");
    let seconds = (sent[HELD - 2].0 - sent[0].0) as f64 / 1e9;
    let rate = (HELD - 2) as f64 * 284.0 / seconds;
    assert!((30_000.0..100_000.0).contains(&rate), "{rate} bytes a second");
    let (some, sent, _) = listen(&format!("--replay {} -n 10", path.display()));
    assert_eq!((some.len(), sent.len()), (11 * 284 - 59, 10));
}

#[test]
fn a_signal_pulls_the_plug_even_if_nobody_reads() {
    let bench = Bench::new();
    let mut started = bench.glove("--rate 1000");
    let _port = open(&bench.link());
    started.after(Duration::from_millis(300));
    let began = Clock::system().now();
    started.signal(0, Signal::TERM);
    started.wait().expect(&[0]).expect_stderr(0, "bytes lost");
    assert!(Clock::system().now() - began < SECOND);
    assert!(fs::symlink_metadata(bench.link()).is_err(), "the link is still there");
}

#[test]
fn a_client_that_does_not_read_is_waited_for_in_vain() {
    let bench = Bench::new();
    let started = bench.glove("-n 20 --rate 1000 --wait-for-client");
    let began = Clock::system().now();
    let _port = open(&bench.link());
    started.wait().expect(&[0]);
    let waited = Clock::system().now() - began;
    assert!((2 * SECOND..5 * SECOND).contains(&waited), "{waited}");
}

#[test]
fn what_is_in_the_way_is_named_and_kept() {
    let bench = Bench::new();
    fs::write(bench.link(), "precious").unwrap();
    let run = bench.glove("-n 1").wait();
    run.expect(&[1]).expect_stderr(0, "glove: exists, and is no link");
    assert_eq!(fs::read_to_string(bench.link()).unwrap(), "precious");
    let run = pipe("sim-device glove --replay /no/such.bin").run();
    run.expect(&[1]).expect_stderr(0, "sim-device: /no/such.bin: No such file");
    for (wrong, hint) in [
        ("--rate fast", "say 1kHz"),
        ("--sleep 5s", "5s/60s"),
        ("--side back", "left-foot"),
        ("--replay x --rate 100", "cannot be used with"),
    ] {
        let run = pipe(&format!("sim-device glove {wrong}")).run();
        run.expect(&[2]).expect_stderr(0, hint);
    }
    pipe("sim-device").run().expect(&[2]).expect_stderr(0, "glove");
}

/// A region of a glove's map: its name, and where its points are.
struct Region {
    name: String,
    indices: Vec<u32>,
    x: Vec<u32>,
    y: Vec<u32>,
}

/// The regions of a map. Reads what these files are made of, not all of TOML.
fn map(side: &str) -> Vec<Region> {
    let path = root().join(format!("examples/gloves/jq20-{side}.toml"));
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(&format!("\nside = \"{side}\"\nindex_base = 1\n")));
    let between = |part: &str, from: &str, to: &str| -> String {
        let rest = part.split_once(from).unwrap_or_else(|| panic!("{from} in {part}")).1;
        rest.split_once(to).unwrap().0.to_owned()
    };
    let numbers = |part: &str, key: &str| -> Vec<u32> {
        let list = between(part, &format!("\n{key} = ["), "]");
        let numbers = list.split(',').map(str::trim).filter(|number| !number.is_empty());
        numbers.map(|number| number.parse().unwrap()).collect()
    };
    let regions = text.split("[[region]]").skip(1).map(|part| Region {
        name: between(part, "\nname = \"", "\""),
        indices: numbers(part, "indices"),
        x: numbers(part, "x"),
        y: numbers(part, "y"),
    });
    regions.collect()
}

#[test]
fn a_glove_has_137_points_and_each_has_a_place() {
    for (side, least, most) in [("left", 1, 255), ("right", 2, 256)] {
        let map = map(side);
        let indices: BTreeSet<u32> =
            map.iter().flat_map(|region| region.indices.clone()).collect();
        assert_eq!(indices.len(), 137, "{side}");
        assert_eq!((indices.first(), indices.last()), (Some(&least), Some(&most)));
        let places = |region: &Region| -> Vec<_> {
            let Region { indices, x, y, .. } = region;
            assert_eq!((indices.len(), indices.len()), (x.len(), y.len()));
            x.iter().copied().zip(y.iter().copied()).collect()
        };
        let places: BTreeSet<(u32, u32)> = map.iter().flat_map(places).collect();
        assert_eq!(places.len(), 137, "{side}: two points at one place");
        assert!(places.iter().all(|(x, y)| *x <= 140 && *y <= 250));
        for (end, points) in [("_tip", 60), ("_bend", 5), ("palm", 72)] {
            let regions = map.iter().filter(|region| region.name.ends_with(end));
            assert_eq!(regions.map(|region| region.indices.len()).sum::<usize>(), points);
        }
    }
}

#[test]
fn the_maps_say_what_the_maker_says() {
    let path = root().join("../shared/fixtures/glove_index_map_pdf.json");
    let Ok(text) = fs::read_to_string(path) else {
        eprintln!("skipped: the maker's tables are not beside this repository");
        return;
    };
    let maker: serde_json::Value = serde_json::from_str(&text).unwrap();
    for side in ["left", "right"] {
        for region in map(side) {
            let listed = match region.name.as_str() {
                "palm" => {
                    let rows = maker[side]["palm_rows"].as_array().unwrap();
                    rows.iter().flat_map(|row| row.as_array().unwrap().clone()).collect()
                }
                name => maker[side][name].clone(),
            };
            assert_eq!(serde_json::json!(region.indices), listed, "{side}");
        }
    }
}

#[test]
fn a_simulated_hand_touches_where_its_map_has_points() {
    for (side, code) in [("left", 1), ("right", 2)] {
        // So that the fingers have closed, and lie where they are to be.
        let (bytes, ..) = listen(&format!("-n {HELD} --rate {HELD} --side {side}"));
        let mut touched = BTreeSet::new();
        for frame in frames(&bytes, code) {
            let pressed = (1..=256).filter(|index| frame[*index as usize - 1] > 0);
            touched.extend(pressed);
        }
        let map = map(side);
        let listed: BTreeSet<u32> =
            map.iter().flat_map(|region| region.indices.clone()).collect();
        // Beside a bend its neighbours show something too.
        let bends = map.iter().filter(|region| region.name.ends_with("_bend"));
        let near: BTreeSet<u32> =
            bends.flat_map(|bend| bend.indices[0] - 1..=bend.indices[0] + 1).collect();
        let strange: Vec<_> =
            touched.difference(&listed).filter(|index| !near.contains(index)).collect();
        assert!(strange.is_empty(), "{side}: {strange:?}");
        assert!(touched.len() > 100, "{side}: {}", touched.len());
    }
}
