//! Receivers that are not ours: python-osc, and liblo in C.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, UdpSocket};
use std::process::{Child, ChildStdout, Command, Stdio};

use framepipe_tests::{Scratch, pipe, root};
use serde_json::Value;

/// A receiver that was started.
struct Receiver {
    child: Child,
    stdout: BufReader<ChildStdout>,
    first: String,
}

impl Receiver {
    fn start(command: &mut Command) -> Receiver {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        stdout.read_line(&mut first).unwrap();
        Receiver { child, stdout, first: first.trim().into() }
    }

    /// What it wrote, line by line.
    fn lines(mut self) -> Vec<String> {
        let mut text = String::new();
        self.stdout.read_to_string(&mut text).unwrap();
        assert!(self.child.wait().unwrap().success());
        text.lines().map(str::to_owned).collect()
    }
}

fn python(way: &str) -> Option<Receiver> {
    let python = root().join(".venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: no .venv with python-osc; run scripts/setup");
        return None;
    }
    let script = root().join("tests/python/osc_receiver.py");
    Some(Receiver::start(Command::new(python).arg(script).arg(way)))
}

/// Messages as python-osc understood them.
fn messages(receiver: Receiver) -> Vec<(String, Vec<Value>)> {
    let lines = receiver.lines();
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// liblo's receiver, made of its source.
fn liblo(scratch: &Scratch, way: &str, port: &str, count: usize) -> Option<Receiver> {
    let program = scratch.file("receiver");
    let source = root().join("tests/liblo/receiver.c");
    let mut cc = Command::new("cc");
    let made = cc.args(["-O1", "-o", &program]).arg(source).arg("-llo").output().unwrap();
    if !made.status.success() {
        eprintln!("skipped: no liblo; run scripts/setup");
        return None;
    }
    Some(Receiver::start(Command::new(program).args([way, port, &count.to_string()])))
}

/// A recording of a stream, and its numbers by what `to-text` says of it.
fn recorded(stream: &str, samples: usize, batch: usize) -> (Vec<u8>, Vec<Vec<f32>>) {
    let line =
        format!("sim-src {stream} -n {samples} --rate max | batch-frames -n {batch}");
    let bytes = pipe(&line).run().expect(&[0, 0]).stdout.clone();
    let run = pipe("to-text -k data").input(&bytes[..]).run();
    let values = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        numbers(value["values"].as_array().unwrap())
    };
    let numbers = run.expect(&[0]).text().lines().map(values).collect();
    (bytes, numbers)
}

fn numbers(args: &[Value]) -> Vec<f32> {
    args.iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

#[test]
fn python_reads_the_layouts_of_the_bridge() {
    let (input, wanted) = recorded("sine:channels=5", 60, 30);
    for layout in ["sample", "batch --batch 20", "individual", "chunk --batch 7"] {
        let Some(python) = python("udp") else { return };
        let port = &python.first;
        let line = format!("to-osc udp://127.0.0.1:{port} --layout {layout}");
        pipe(&line).input(&input[..]).run().expect(&[0]).expect_silence();
        let mut came: Vec<Vec<f32>> = Vec::new();
        for (address, args) in messages(python) {
            let words: Vec<_> = address.split('/').collect();
            match words[..] {
                ["", "data", "sample"] => came.push(numbers(&args)),
                ["", "data", "batch", "20"] => {
                    assert_eq!(args[0], 5);
                    let all = numbers(&args[1..]);
                    came.extend(
                        (0..20).map(|s| (0..5).map(|c| all[c * 20 + s]).collect()),
                    );
                }
                ["", "data", "chunk", _] => {
                    came.extend(numbers(&args).chunks(5).map(<[f32]>::to_vec));
                }
                ["", "ch000"] => came.push(numbers(&args)),
                ["", _] => came.last_mut().unwrap().extend(numbers(&args)),
                _ => panic!("{address}"),
            }
        }
        assert_eq!(came, wanted, "{layout}");
    }
}

#[test]
fn python_reads_bundles_and_blobs() {
    let (input, wanted) = recorded("ephys:channels=40", 96, 48);
    for (layout, group) in [("bundle", 40), ("bundle --group 16", 16), ("blob", 40)] {
        let Some(python) = python("udp") else { return };
        let port = &python.first;
        let line = format!("to-osc udp://127.0.0.1:{port} --layout {layout}");
        pipe(&line).input(&input[..]).run().expect(&[0]).expect_silence();
        let mut came = vec![vec![f32::NAN; 40]; 96];
        for (address, args) in messages(python) {
            let at = |n: usize| args[n].as_u64().unwrap() as usize;
            let (sample, samples, first, count, all) = match address.as_str() {
                "/data/bundle" => (at(0), at(1), at(2), at(3), numbers(&args[5..])),
                "/data/blob" => {
                    let hex = args[6].as_str().unwrap().as_bytes();
                    let digit =
                        |c: u8| u32::from((c as char).to_digit(16).unwrap() as u8);
                    let bytes: Vec<u8> = hex
                        .chunks(2)
                        .map(|b| (digit(b[0]) << 4 | digit(b[1])) as u8)
                        .collect();
                    let all = bytes
                        .chunks(4)
                        .map(|b| f32::from_le_bytes(b.try_into().unwrap()));
                    (at(0), at(3), at(4), at(5), all.collect())
                }
                other => panic!("{other}"),
            };
            assert!(count <= group);
            assert_eq!(all.len(), samples * count);
            for (n, value) in all.into_iter().enumerate() {
                came[sample + n / count][first + n % count] = value;
            }
        }
        assert_eq!(came, wanted, "{layout}");
    }
}

#[test]
fn python_reads_both_framings_of_tcp() {
    let (input, wanted) = recorded("sine:channels=3", 200, 1);
    for (way, framing) in [("tcp", "length"), ("slip", "slip")] {
        let Some(python) = python(way) else { return };
        let port = &python.first;
        let line = format!("to-osc tcp://127.0.0.1:{port} --framing {framing}");
        pipe(&line).input(&input[..]).run().expect(&[0]).expect_silence();
        let came: Vec<_> =
            messages(python).into_iter().map(|(_, args)| numbers(&args)).collect();
        assert_eq!(came, wanted, "{framing}");
    }
}

/// A port that nobody has just now.
fn free_port(tcp: bool) -> String {
    let address = match tcp {
        true => TcpListener::bind("127.0.0.1:0").unwrap().local_addr(),
        false => UdpSocket::bind("127.0.0.1:0").unwrap().local_addr(),
    };
    address.unwrap().port().to_string()
}

#[test]
fn liblo_reads_udp_tcp_and_unix() {
    let (input, wanted) = recorded("sine:channels=3", 50, 1);
    let scratch = Scratch::new();
    for (way, options) in
        [("udp", ""), ("tcp", ""), ("tcp", "--framing slip"), ("unix", "")]
    {
        let place = match way {
            "unix" => scratch.file("socket"),
            way => free_port(way == "tcp"),
        };
        let Some(liblo) = liblo(&scratch, way, &place, 50) else { return };
        assert_eq!(liblo.first, "ready");
        let to = match way {
            "unix" => format!("unix:{place}"),
            way => format!("{way}://localhost:{place}"),
        };
        let line = format!("to-osc {to} {options}");
        pipe(&line).input(&input[..]).run().expect(&[0]).expect_silence();
        let came: Vec<Vec<f32>> = liblo
            .lines()
            .iter()
            .map(|line| {
                let words: Vec<_> = line.split(' ').collect();
                assert_eq!(words[..2], ["/data/sample", "fff"]);
                words[2..].iter().map(|word| word.parse().unwrap()).collect()
            })
            .collect();
        assert_eq!(came, wanted, "{way} {options}");
    }
}

#[test]
fn liblo_reads_layouts_that_scale() {
    let scratch = Scratch::new();
    for (layout, types) in [("bundle", "iiiif"), ("blob --values i16", "itfiiifb")] {
        let port = free_port(false);
        let Some(liblo) = liblo(&scratch, "udp", &port, 4) else { return };
        let line = "sim-src ephys:channels=8 -n 96 --rate 3000 | batch-frames -n 24";
        let line = format!(
            "{line} | to-osc udp://127.0.0.1:{port} --layout {layout} --mode low-latency"
        );
        pipe(&line).run().expect(&[0, 0, 0]).expect_silence();
        let lines = liblo.lines();
        assert_eq!(lines.len(), 4);
        for (n, line) in lines.iter().enumerate() {
            let words: Vec<_> = line.split(' ').collect();
            assert!(words[1].starts_with(types), "{line}");
            assert_eq!(words[2], (n * 24).to_string());
        }
    }
}
