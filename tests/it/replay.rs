//! replay: the same records as were recorded, when they are due.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use framepipe_tests::{Run, pipe, root};
use libframe::batch::Samples;
use libframe::clock::{Clock, SECOND};
use libframe::payload::{End, Event, Gap, Payload as _, Session, Stats, Totals};
use libframe::schema::{Dtype, Media, Stream};
use libframe::wire::{Header, Kind, Record};
use rustix::process::Signal;

/// A folder of a test's own, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir()
            .join(format!("framepipe-replay-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn put(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.0.join(name), bytes).unwrap();
        self.path(name)
    }

    /// The same recording as `.frames` and as `.h5`.
    fn record(&self, name: &str, line: &str) -> [String; 2] {
        let run = pipe(line).run();
        let frames = self.put(&format!("{name}.frames"), &run.stdout);
        let h5 = self.path(&format!("{name}.h5"));
        pipe(&format!("to-h5 {h5}")).input(run.stdout).run();
        [frames, h5]
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// What must be the same on every run, but for the times of sending.
fn data(run: &Run) -> Vec<(Header, Vec<u8>)> {
    let kinds =
        [Kind::STREAM, Kind::DATA, Kind::BATCH, Kind::GAP, Kind::CLOCK, Kind::EVENT];
    let mut records = run.of_kind(&kinds);
    records.iter_mut().for_each(|(header, _)| header.sent = 0);
    records
}

/// Stream, number, capture time and bytes of each sample, by stream and number.
fn samples(run: &Run) -> Vec<(u16, u64, i64, Vec<u8>)> {
    let mut all = Vec::new();
    for (header, payload) in run.of_kind(&[Kind::DATA, Kind::BATCH]) {
        let record = Record::new(header, &payload);
        for sample in Samples::parse(&record, true).unwrap().iter() {
            all.push((header.stream, sample.seq, sample.time, sample.bytes.to_vec()));
        }
    }
    all.sort();
    all
}

fn digest(run: &Run) -> String {
    let lines = run.stderrs[0].lines();
    let found = lines.filter_map(|line| line.split_once("digest sha256:"));
    found.map(|(_, hash)| hash.to_owned()).next().unwrap_or_else(|| panic!("no digest"))
}

#[test]
fn every_run_at_full_speed_gives_the_same_data_whatever_the_readers_pace() {
    let folder = Folder::new("digest");
    let line = "sim-src glove ephys -n 3000 --rate max --fault drop=1%";
    for path in folder.record("x", line) {
        let line = format!("replay {path} --speed max --digest");
        let first = pipe(&line).run();
        first.expect(&[3]).expect_stderr(0, "samples lost");
        let second = pipe(&line).run();
        let mut slow = pipe(&line).start();
        // Nobody reads until the pipe has long been full.
        slow.after(Duration::from_millis(1200));
        let slow = slow.wait();
        assert!(data(&first).len() > 3000);
        for other in [&second, &slow] {
            assert!(data(&first) == data(other), "{path}");
            assert_eq!(digest(&first), digest(other), "{path}");
        }
    }
}

#[test]
fn the_digest_is_of_what_is_sent() {
    let folder = Folder::new("hash");
    let [frames, _] = folder.record("x", "sim-src -n 100 --rate max");
    let hash = |line: String| digest(pipe(&line).run().expect(&[0]));
    let whole = hash(format!("replay {frames} --speed max --digest"));
    let mut bytes = fs::read(&frames).unwrap();
    let at = bytes.windows(5).position(|bytes| bytes == b"\xD5FP1\x03").unwrap();
    let sent = at + 32;
    // Another time of sending is no other data, and neither is a whole second one.
    let mut header: [u8; 48] = bytes[at..at + 48].try_into().unwrap();
    header[32] ^= 1;
    let crc = libframe::crc::crc32c(&header[..44]);
    header[44..].copy_from_slice(&crc.to_le_bytes());
    bytes[at..at + 48].copy_from_slice(&header);
    assert_eq!(bytes[sent], header[32]);
    let other = folder.put("sent.frames", &bytes);
    assert_eq!(hash(format!("replay {other} --speed max --digest")), whole);
    assert_ne!(hash(format!("replay {frames} --speed max --digest -n 99")), whole);
}

#[test]
fn a_recording_of_a_replay_has_the_same_datasets() {
    let python = root().join(".venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: no .venv with h5py; run scripts/setup");
        return;
    }
    let folder = Folder::new("round");
    let line = "sim-src camera:size=32x32 glove control ephys -n 2500 --rate max \
                --fault drop=1% | pick-frames";
    for path in folder.record("x", line) {
        let again = folder.path("again.h5");
        pipe(&format!("replay {path} --speed max | to-h5 --force {again}"))
            .run()
            .expect(&[3, 3]);
        let mut compare = Command::new(&python);
        compare.arg(root().join("tests/python/same_datasets.py"));
        let output = compare.arg(folder.path("x.h5")).arg(&again).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{path}: {said}\n{errors}");
        eprintln!("{path}: {said}");
    }
}

#[test]
fn both_formats_give_the_samples_that_were_recorded() {
    let folder = Folder::new("samples");
    let [frames, h5] = folder.record("x", "sim-src glove sine -n 2000 --rate max");
    let original = samples(pipe("pick-frames").input_file(&frames).run().expect(&[0]));
    for path in [frames, h5] {
        let run = pipe(&format!("replay {path} --speed max")).run();
        run.expect(&[0]).expect_silence();
        assert!(samples(&run) == original, "{path}");
        assert_eq!(run.payloads::<End>()[0].reason, "count", "{path}");
    }
}

#[test]
fn start_and_end_are_exact_in_both_formats_and_within_batches() {
    let folder = Folder::new("range");
    let line = "sim-src glove sine:rate=1000 -n 30000 --rate max | batch-frames -n 17";
    for path in folder.record("x", line) {
        let original = folder.path("x.frames");
        for range in
            ["--start 10s --end 10.5s", "--start 29.9s", "--end 0.2s", "--start 2h"]
        {
            let wanted =
                pipe(&format!("pick-frames {range}")).input_file(&original).run();
            let run = pipe(&format!("replay {path} --speed max {range}")).run();
            run.expect(&[0]).expect_silence();
            assert!(samples(&run) == samples(&wanted), "{path} {range}");
            let described = run.of_kind(&[Kind::STREAM]);
            assert!(described.len() >= 2, "{path} {range}: {}", described.len());
        }
    }
}

#[test]
fn a_day_is_searched_and_not_read() {
    let folder = Folder::new("seek");
    let line = "sim-src glove:rate=20 -n 100000 --rate max | batch-frames -n 100";
    for path in folder.record("x", line) {
        let whole = fs::metadata(&path).unwrap().len();
        let run = pipe(&format!("replay {path} --speed max --start 4990s --end 4991s"));
        let mut run = run.start();
        run.read_stdout();
        let run = run.wait();
        assert_eq!(run.expect(&[0]).samples(), 20, "{path} of {whole} bytes");
        // The stage's own figures tell what it took in: a few seconds, not hours.
        let taken: u64 = run.payloads::<Stats>().iter().map(|s| s.input.bytes).sum();
        assert!(taken < 100_000, "{path}: {taken} bytes");
    }
}

#[test]
fn streams_are_chosen_and_the_rest_is_no_loss() {
    let folder = Folder::new("streams");
    for path in folder.record("x", "sim-src glove sine control -n 500 --rate max") {
        let line =
            format!("replay {path} --speed max -s sine -s 3 | inspect-frames -f json");
        let run = pipe(&line).run();
        run.expect(&[0, 0]).expect_silence();
        let session = &run.json()["sessions"][0];
        assert_eq!(session["streams"].as_array().unwrap().len(), 2, "{path}");
        assert_eq!(session["streams"][0]["samples"], 500, "{path}");
    }
}

#[test]
fn timing_is_that_of_the_capture_or_a_multiple_of_it() {
    let folder = Folder::new("pace");
    for path in folder.record("x", "sim-src -n 200 --rate 200") {
        for (speed, least, most) in
            [("1", 0.95, 5.0), ("2", 0.45, 0.94), ("10", 0.05, 0.8)]
        {
            let clock = Clock::system();
            let begun = clock.now();
            let run = pipe(&format!("replay {path} --speed {speed} -v")).run();
            let took = (clock.now() - begun) as f64 / SECOND as f64;
            run.expect(&[0]).expect_stderr(0, "lateness of 200 records: p50 ");
            assert!(took > least && took < most, "{path} at {speed}: {took} s");
            // Sent when due: the stage's own stamps have the capture's intervals.
            let sent: Vec<_> =
                run.of_kind(&[Kind::DATA]).iter().map(|r| r.0.sent).collect();
            assert!(sent.is_sorted());
        }
    }
}

#[test]
fn long_pauses_can_be_cut() {
    let folder = Folder::new("gap");
    // Two samples, a pause of most of an hour, two more.
    let line = "sim-src sine:rate=10 -n 30010 --rate max";
    let whole = pipe(line).run().records();
    let mut bytes = Vec::new();
    let wanted = |header: &Header| {
        header.kind != Kind::DATA || header.seq < 2 || header.seq >= 30_008
    };
    for (header, payload) in whole.iter().filter(|(header, _)| wanted(header)) {
        Record::new(*header, payload).encode(&mut bytes);
    }
    let path = folder.put("pause.frames", &bytes);
    let clock = Clock::system();
    let begun = clock.now();
    let run = pipe(&format!("replay {path} --max-gap 300ms -q")).run();
    // What is missing in the middle is a loss, whatever is done about the time.
    assert_eq!(run.expect(&[3]).samples(), 4);
    let took = clock.now() - begun;
    assert!(took > SECOND / 2 && took < 10 * SECOND, "{took}");
}

#[test]
fn a_stage_that_waits_reports_and_stops_at_the_first_signal() {
    let folder = Folder::new("wait");
    for path in folder.record("x", "sim-src sine:rate=1 -n 3600 --rate max") {
        let mut started = pipe(&format!("replay {path}")).start();
        started.read_stdout().until_ready(0);
        started.after(Duration::from_millis(2300)).signal(0, Signal::TERM);
        let run = started.wait();
        run.expect(&[0]).expect_silence();
        assert_eq!(run.payloads::<End>()[0].reason, "signal", "{path}");
        assert!((2..=4).contains(&run.samples()), "{path}: {}", run.samples());
        let own: Vec<_> = run.of_kind(&[Kind::STATS]);
        let replay = own.iter().filter(|(_, payload)| {
            Stats::from_bytes(payload).is_ok_and(|stats| stats.stage == "replay")
        });
        let replay: Vec<_> = replay.collect();
        assert!(replay.len() >= 3, "{path}: {}", replay.len());
        // They stand where the recording is, not at the time of now.
        let times = run.of_kind(&[Kind::DATA]).into_iter().map(|(header, _)| header.time);
        let (first, last) = (times.clone().min().unwrap(), times.max().unwrap());
        for (header, _) in replay {
            assert!((first - SECOND..=last).contains(&header.time), "{path}");
        }
    }
}

#[test]
fn a_reader_that_goes_away_is_the_end() {
    let folder = Folder::new("reader");
    for path in folder.record("x", "sim-src -n 1000 --rate max") {
        for speed in ["max", "1"] {
            let mut started =
                pipe(&format!("replay {path} --loop --speed {speed}")).start();
            started.after(Duration::from_millis(200)).close_stdout();
            started.wait().expect(&[0]).expect_silence();
        }
    }
}

#[test]
fn each_pass_is_a_session_of_its_own_and_the_same_on_every_run() {
    let folder = Folder::new("loop");
    for path in folder.record("x", "sim-src -n 50 --rate max") {
        let line = format!("replay {path} --loop=3 --speed max --digest");
        let (one, two) = (pipe(&line).run(), pipe(&line).run());
        assert_eq!(one.expect(&[0]).samples(), 150);
        assert!(data(&one) == data(&two) && digest(&one) == digest(&two), "{path}");
        let ends = one.of_kind(&[Kind::END]);
        let mut tags: Vec<_> = ends.iter().map(|(header, _)| header.session).collect();
        let sessions = one.payloads::<Session>();
        assert_eq!(
            sessions[0].meta.get("replay_of"),
            None,
            "the first pass is as it was"
        );
        assert_eq!(sessions.last().unwrap().meta["replay_of"], sessions[0].uuid);
        tags.dedup();
        assert_eq!(tags.len(), 3, "{path}");
        let after = pipe("inspect-frames").input(one.stdout).run();
        after.expect(&[0]).expect_silence();
    }
}

#[test]
fn several_files_are_played_one_after_another() {
    let folder = Folder::new("files");
    let [frames, h5] = folder.record("x", "sim-src -n 50 --rate max");
    let run = pipe(&format!("replay {h5} {frames} --speed max")).run();
    assert_eq!(run.expect(&[0]).samples(), 100);
}

#[test]
fn restamped_samples_are_of_now_in_a_new_session() {
    let folder = Folder::new("restamp");
    let line = "sim-src sine:rate=100 glove -n 100 --rate max | batch-frames -n 5";
    for path in folder.record("x", line) {
        let clock = Clock::system();
        let begun = clock.now();
        let run = pipe(&format!("replay {path} --restamp --speed 2")).run();
        run.expect(&[0]).expect_silence();
        let old = pipe(&format!("replay {path} --speed max")).run();
        let (new, was) = (samples(&run), samples(&old));
        assert_eq!(new.len(), was.len());
        let first = was.iter().map(|sample| sample.2).min().unwrap();
        let origin = new.iter().map(|sample| sample.2).min().unwrap();
        assert!(origin >= begun && origin < clock.now(), "{path}");
        for (a, b) in new.iter().zip(&was) {
            assert_eq!((a.0, a.1, &a.3), (b.0, b.1, &b.3), "{path}");
            let off = (a.2 - origin) - (b.2 - first) / 2;
            assert!(off.abs() <= 1, "{path}: {off} ns");
        }
        let (session, recorded) =
            (&run.payloads::<Session>()[0], &old.payloads::<Session>()[0]);
        assert_ne!(session.uuid, recorded.uuid);
        assert_eq!(session.meta["replay_of"], recorded.uuid);
        assert!((begun..origin + 1).contains(&session.start_monotonic), "{path}");
        // The wall clock of then would contradict the times of now.
        for clock in run.payloads::<libframe::payload::ClockReading>() {
            assert!(clock.monotonic >= begun, "{path}");
        }
    }
}

#[test]
fn what_is_no_recording_is_named() {
    let folder = Folder::new("wrong");
    let text = folder.put("notes.txt", "hello, world\n".repeat(100).as_bytes());
    let empty = folder.put("empty.frames", b"");
    let false_h5 = folder.put("false.h5", b"\x89HDF\r\n\x1a\nand nothing else");
    let missing = folder.path("missing.h5");
    let directory = folder.path("");
    for (path, why) in [
        (&text, "neither HDF5 nor XDF nor records"),
        (&empty, "empty"),
        (&false_h5, "HDF5"),
        (&missing, "No such file"),
        (&directory, "folder"),
    ] {
        let run = pipe(&format!("replay {path}")).run();
        run.expect(&[1]).expect_stderr(0, why);
        run.expect_stderr(0, path.trim_end_matches('/'));
    }
}

#[test]
fn an_hdf5_file_of_others_is_told_apart() {
    let python = root().join(".venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: no .venv with h5py; run scripts/setup");
        return;
    }
    let folder = Folder::new("foreign");
    let path = folder.path("foreign.h5");
    let program = format!("import h5py; h5py.File({path:?}, 'w')['x'] = [1, 2]");
    assert!(Command::new(python).args(["-c", &program]).status().unwrap().success());
    let run = pipe(&format!("replay {path}")).run();
    run.expect(&[1]).expect_stderr(0, "an HDF5 file, but no recording");
}

#[test]
fn broken_recordings_are_played_as_far_as_they_go() {
    let folder = Folder::new("broken");
    let [frames, _] = folder.record("x", "sim-src -n 1000 --rate max");
    let bytes = fs::read(&frames).unwrap();
    let cut = folder.put("cut.frames", &bytes[..bytes.len() / 2]);
    let run = pipe(&format!("replay {cut} --speed max")).run();
    run.expect(&[3]).expect_stderr(0, "sim-src broke off");
    assert!((400..600).contains(&run.samples()));
    let mut flipped = bytes;
    let middle = flipped.len() / 2;
    flipped[middle] ^= 4;
    let flipped = folder.put("flipped.frames", &flipped);
    let run = pipe(&format!("replay {flipped} --speed max | inspect-frames")).run();
    run.expect(&[3, 3]).expect_stderr(0, "input damaged, places: 1");
    run.expect_stderr(0, "reason: corrupt, by replay");
}

#[test]
fn a_flipped_bit_in_an_hdf5_file_costs_one_chunk() {
    let python = root().join(".venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: no .venv with h5py; run scripts/setup");
        return;
    }
    let folder = Folder::new("flip");
    let [_, h5] = folder.record("x", "sim-src glove -n 5000 --rate max");
    let program = format!(
        "import h5py; data = h5py.File({h5:?}, 'r')['streams/glove/data']; \
         chunk = data.id.get_chunk_info(1); \
         print(chunk.byte_offset + chunk.size // 2, data.chunks[0])"
    );
    let output = Command::new(python).args(["-c", &program]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (at, rows) = text.trim().split_once(' ').unwrap();
    let (at, rows): (usize, u64) = (at.parse().unwrap(), rows.parse().unwrap());
    let whole = samples(&pipe(&format!("replay {h5} --speed max")).run());
    let mut bytes = fs::read(&h5).unwrap();
    bytes[at] ^= 16;
    fs::write(&h5, bytes).unwrap();
    let run = pipe(&format!("replay {h5} --speed max")).run();
    run.expect(&[3]).expect_stderr(0, "input damaged, places: 1");
    run.expect_stderr(0, &format!("{rows} lost, gaps: 1, reason: corrupt, by replay"));
    let kept: Vec<_> =
        whole.into_iter().filter(|s| s.1 < rows || s.1 >= 2 * rows).collect();
    assert!(samples(&run) == kept);
}

#[test]
fn a_killed_recorders_file_is_played_up_to_its_last_commit() {
    let folder = Folder::new("killed");
    let path = folder.path("killed.h5");
    let mut started =
        pipe(&format!("sim-src --rate 1000 | to-h5 --flush 100ms {path}")).start();
    started.until_ready(1).after(Duration::from_millis(1500));
    // It grows: what is committed can be played, and lacks nothing but its end.
    let growing = pipe(&format!("replay {path} --speed max -q")).run();
    let committed = growing.expect(&[3]).samples();
    assert!(committed > 500, "{committed}");
    started.signal(1, Signal::KILL);
    started.wait();
    let run = pipe(&format!("replay {path} --speed max")).run();
    let hint = format!("`repair-frames {path}` brings it up to date");
    run.expect(&[3]).expect_stderr(0, &hint);
    assert!(run.samples() >= committed);
}

#[test]
fn the_sample_at_the_start_is_played_and_the_one_at_the_end_is_not() {
    let folder = Folder::new("edges");
    for path in folder.record("x", "sim-src sine -n 500 --rate max | batch-frames -n 7") {
        let whole = pipe(&format!("replay {path} --speed max")).run();
        let begun = whole.payloads::<Session>()[0].start_monotonic;
        let at = |n: usize| samples(&whole)[n].2 - begun;
        let (start, end) = (at(100), at(200));
        let line = format!("replay {path} --speed max --start {start}ns --end {end}ns");
        let run = pipe(&line).run();
        let played = samples(run.expect(&[0]));
        let numbers: Vec<_> = played.iter().map(|sample| sample.1).collect();
        assert!(numbers.iter().copied().eq(100..200), "{path}: {numbers:?}");
    }
}

/// Kind, stream, number and payload of each record that is data, samples one by one.
fn content(run: &Run) -> Vec<(u8, u16, u64, i64, Vec<u8>)> {
    let kinds =
        [Kind::STREAM, Kind::DATA, Kind::BATCH, Kind::GAP, Kind::EVENT, Kind::CLOCK];
    let mut all = Vec::new();
    for (header, payload) in run.of_kind(&kinds) {
        // Announcements are repeated, at any time.
        let announced = header.kind == Kind::STREAM;
        let (seq, time) = if announced { (0, 0) } else { (header.seq, header.time) };
        // Who noticed a gap first is another stage each time.
        let payload = match header.kind {
            Kind::GAP => format!("{:?}", Gap::from_bytes(&payload).unwrap().count).into(),
            _ => payload,
        };
        all.push((header.kind.0, header.stream, seq, time, payload));
    }
    all.sort();
    all.dedup_by(|a, b| a.0 == Kind::STREAM.0 && a == b);
    all
}

#[test]
fn every_vector_survives_a_recording() {
    let folder = Folder::new("vectors");
    let mut played = 0;
    for entry in fs::read_dir(root().join("tests/vectors/ok")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        // Nothing is in the first, one breaks off, and a file cannot hold the others' kinds.
        let unfit = ["empty", "large-numbers", "unknown-kind", "must-know"];
        if path.extension().is_none_or(|e| e != "frames") || unfit.contains(&&*name) {
            continue;
        }
        let h5 = folder.path(&format!("{name}.h5"));
        let split = "batch-frames --split";
        let original = pipe(split).input_file(&path).run();
        pipe(&format!("to-h5 {h5} -q")).input_file(&path).run();
        let run = pipe(&format!("replay {h5} --speed max -q")).run();
        assert!(content(&run) == content(&original), "{name}\n{}", run.everything());
        assert_eq!(run.codes()[0], original.codes()[0], "{name}\n{}", run.everything());
        played += 1;
    }
    assert!(played > 8, "{played}");
}

#[test]
fn a_stream_that_changes_its_form_comes_back_with_all_in_its_place() {
    let folder = Folder::new("forms");
    let mut bytes = Vec::new();
    let mut time = 1_000;
    let mut put = |kind: Kind, seq: u64, payload: &[u8]| {
        time += 1_000_000;
        let stream = u16::from(!matches!(kind, Kind::SESSION | Kind::END));
        let (flags, session, sent) = (0, 9, 0);
        let header = Header { kind, flags, stream, session, seq, time, sent };
        Record::new(header, payload).encode(&mut bytes);
    };
    put(
        Kind::SESSION,
        0,
        &Session { uuid: "forms".into(), ..Session::default() }.to_bytes(),
    );
    let mut seq = 0;
    for (version, dtype) in (0..).zip([Dtype::U8, Dtype::U16, Dtype::U8, Dtype::F64]) {
        let stream = Stream {
            name: "morph".into(),
            media: Media::Samples,
            dtype: Some(dtype),
            version,
            ..Stream::default()
        };
        put(Kind::STREAM, seq, &stream.to_bytes());
        for n in 0..5 {
            let event = Event { label: format!("{version} {n}"), ..Event::default() };
            put(Kind::EVENT, seq, &event.to_bytes());
            put(Kind::DATA, seq, &vec![seq as u8; dtype.size()]);
            seq += 1;
        }
        let last = Event { label: format!("after {version}"), ..Event::default() };
        put(Kind::EVENT, seq, &last.to_bytes());
    }
    let totals = Totals { stream: 1, first: 0, next: seq, samples: seq, lost: 0 };
    put(Kind::END, 0, &End { streams: vec![totals], reason: "end".into() }.to_bytes());
    let h5 = folder.path("forms.h5");
    pipe(&format!("to-h5 {h5}")).input(&bytes[..]).run().expect(&[0]);
    let run = pipe(&format!("replay {h5} --speed max")).run();
    let original = pipe("pick-frames").input(bytes).run();
    assert!(content(run.expect(&[0])) == content(&original));
    // Not only all of it, but in its order: events stand before the samples they were before.
    let order = |run: &Run| {
        let of = run.of_kind(&[Kind::DATA, Kind::EVENT]).into_iter();
        of.map(|(header, _)| (header.kind.0, header.time)).collect::<Vec<_>>()
    };
    assert_eq!(order(&run), order(&original));
}
