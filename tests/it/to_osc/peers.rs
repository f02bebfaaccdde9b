//! Peers that are not there, come and go, or take nothing; and what the network allows.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use framepipe_tests::{Scratch, Started, pipe};
use libframe::clock::Clock;
use rosc::{OscPacket, decoder};
use rustix::process::Signal;

use super::Port;

/// Reads messages behind their lengths until the other side closes; the first float of each.
fn read_frames(mut stream: TcpStream) -> Vec<f32> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let mut rest = &bytes[..];
    let mut all = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let Some((frame, after)) =
            after.split_at_checked(u32::from_be_bytes(*length) as usize)
        else {
            break;
        };
        let (_, OscPacket::Message(message)) = decoder::decode_udp(frame).unwrap() else {
            panic!()
        };
        all.push(message.args[0].clone().float().unwrap());
        rest = after;
    }
    all
}

fn stop(mut started: Started) -> framepipe_tests::Run {
    started.signal(0, Signal::TERM);
    started.wait()
}

#[test]
fn a_udp_receiver_that_is_away_is_told_once_and_so_is_its_return() {
    let address = {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap()
    };
    let mut started =
        pipe(&format!("sim-src --rate 200 | to-osc udp://{address}")).start();
    started.until_stderr(1, "connection refused; trying on until somebody listens");
    let socket = UdpSocket::bind(address).unwrap();
    started.until_stderr(1, "the receiver is there now");
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert!(socket.recv(&mut [0; 100]).unwrap() > 0);
    let run = stop(started);
    run.expect(&[0, 0]);
    assert_eq!(run.stderrs[1].lines().count(), 2, "{}", run.everything());
}

#[test]
fn a_receiver_may_be_required() {
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for to in [format!("udp://{gone}"), format!("tcp://{gone}"), "unix:/no/such".into()] {
        let line = format!("sim-src -n 20 --rate 500 | to-osc {to} --require-receiver");
        let run = pipe(&line).run();
        assert_eq!(run.codes()[1], 1, "{}", run.everything());
        run.expect_stderr(1, "start the receiver first");
    }
    // One datagram alone is refused after it was sent.
    let line =
        format!("sim-src -n 1 --rate max | to-osc udp://{gone} --require-receiver");
    assert_eq!(pipe(&line).run().codes()[1], 1);
    let port = Port::open();
    let line =
        format!("sim-src -n 20 --rate 500 | to-osc {} --require-receiver", port.name());
    pipe(&line).run().expect(&[0, 0]).expect_silence();
}

#[test]
fn tcp_waits_for_its_receiver_and_comes_back_to_it() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut started =
        pipe(&format!("sim-src --rate 200 | to-osc tcp://{address} -v")).start();
    started.until_stderr(1, "connection refused; trying on");
    let listener = TcpListener::bind(address).unwrap();
    let (mut first, _) = listener.accept().unwrap();
    // All from the first sample on was kept.
    let mut bytes = [0; 28];
    first.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes[..4], 24u32.to_be_bytes());
    assert_eq!(bytes[24..], 0f32.to_be_bytes());
    drop(first);
    let (second, _) = listener.accept().unwrap();
    started.until_stderr(1, "the receiver is there now");
    started.after(Duration::from_millis(300));
    started.signal(0, Signal::TERM);
    assert!(read_frames(second).len() > 10);
    let run = started.wait();
    // What the first had not read is lost, if it can be told.
    assert!([0, 3].contains(&run.codes()[1]), "{}", run.everything());
}

#[test]
fn a_full_queue_drops_and_every_sample_is_accounted_for() {
    for policy in ["drop-oldest", "drop-newest"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let line = format!(
            "sim-src ephys -n 100000 --rate max | batch-frames -n 100 \
             | to-osc tcp://{address} --layout bundle --queue 256KiB --overflow {policy}"
        );
        let mut started = pipe(&line).start();
        let (stream, _) = listener.accept().unwrap();
        // Nobody reads, and still the source comes to its end.
        while started.is_running(0) {
            started.after(Duration::from_millis(20));
        }
        let reader =
            std::thread::Builder::new().spawn(move || count_samples(stream)).unwrap();
        let run = started.wait();
        run.expect(&[0, 0, 3]);
        let came = reader.join().unwrap();
        let told = run.stderrs[2].split(" of 100000 samples lost").next().unwrap();
        let lost: u64 = told.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(lost > 10_000, "{lost}");
        assert_eq!(came + lost, 100_000, "{policy}\n{}", run.everything());
        run.expect_stderr(2, "reason: queue, by to-osc");
    }
}

#[test]
fn a_full_queue_that_blocks_loses_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let line = format!(
        "sim-src ephys -n 100000 --rate max | batch-frames -n 100 \
         | to-osc tcp://{address} --layout bundle --queue 256KiB --overflow block"
    );
    let mut started = pipe(&line).start();
    let (stream, _) = listener.accept().unwrap();
    started.after(Duration::from_millis(500));
    assert!(started.is_running(0), "the source must wait");
    let reader =
        std::thread::Builder::new().spawn(move || count_samples(stream)).unwrap();
    started.wait().expect(&[0, 0, 0]).expect_silence();
    assert_eq!(reader.join().unwrap(), 100_000);
}

/// The samples of bundles behind their lengths.
fn count_samples(mut stream: TcpStream) -> u64 {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let (mut rest, mut samples) = (&bytes[..], 0);
    while let Some((length, after)) = rest.split_first_chunk() {
        let (frame, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        let (_, OscPacket::Bundle(bundle)) = decoder::decode_udp(frame).unwrap() else {
            panic!()
        };
        let OscPacket::Message(message) = &bundle.content[0] else { panic!() };
        samples += message.args[1].clone().int().unwrap() as u64;
        rest = after;
    }
    samples
}

#[test]
fn a_receiver_that_takes_nothing_is_not_waited_for_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let line = format!(
        "sim-src ephys -n 100000 --rate max | to-osc tcp://{address} --queue 64MiB"
    );
    let started = pipe(&line).start();
    let (_stream, _) = listener.accept().unwrap();
    let began = Clock::system().now();
    let run = started.wait();
    run.expect(&[0, 3]).expect_stderr(1, "reason: transport, by to-osc");
    assert!(Clock::system().now() - began > 4_000_000_000);
}

#[test]
fn a_signal_ends_the_wait_for_a_receiver_that_never_comes() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let line = format!("sim-src ephys --rate max | to-osc tcp://{gone} --queue 64KiB");
    let mut started = pipe(&line).start();
    started.until_stderr(1, "connection refused; trying on").signal_all(Signal::TERM);
    let run = started.wait();
    assert_eq!(run.codes()[1], 3, "{}", run.everything());
    run.expect_stderr(1, "samples lost");
}

#[test]
fn a_unix_socket_may_come_later() {
    let scratch = Scratch::new();
    let path = scratch.file("osc");
    let mut started = pipe(&format!("sim-src --rate 200 | to-osc unix:{path}")).start();
    started.until_stderr(1, "no such file or directory; trying on");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut buffer = [0; 100];
    let n = socket.recv(&mut buffer).unwrap();
    assert_eq!((n, &buffer[..12]), (24, &b"/data/sample"[..]));
    let reader = std::thread::Builder::new()
        .spawn(move || while socket.recv(&mut [0; 100]).is_ok() {});
    started.until_stderr(1, "the receiver is there now");
    stop(started).expect(&[0, 0]);
    drop(reader);
}

#[test]
fn no_datagram_is_longer_than_the_mtu_and_the_parts_make_the_whole() {
    let input =
        pipe("sim-src ephys:channels=512 -n 480 --rate max | batch-frames -n 480")
            .run()
            .stdout;
    for mtu in [600, 1472, 8192, 65507] {
        for layout in ["sample", "batch", "chunk", "bundle", "blob", "batch --batch 1000"]
        {
            let port = Port::open();
            let line =
                format!("to-osc {} --layout {layout} --mtu {mtu} --pace 0", port.name());
            let name = port.name();
            let reader =
                std::thread::Builder::new().spawn(move || port.datagrams()).unwrap();
            pipe(&line).input(&input[..]).run().expect(&[0]).expect_silence();
            let datagrams = reader.join().unwrap();
            let longest = datagrams.iter().map(Vec::len).max().unwrap();
            assert!(longest <= mtu, "{name} {layout}: {longest}");
            assert!(
                longest > mtu / 3 || layout == "sample",
                "{layout}: {longest} of {mtu}"
            );
        }
    }
}

#[test]
fn a_block_is_spread_over_its_time() {
    let port = Port::open();
    // Blocks of 16 ms, of which each is 480 datagrams.
    let line = format!(
        "sim-src ephys:channels=4 --rate 30000 -n 24000 | batch-frames -n 480 | to-osc {}",
        port.name()
    );
    let spread = |options: &str| -> f64 {
        let started = pipe(&format!("{line} {options}")).start();
        let clock = Clock::system();
        let mut buffer = [0; 100];
        let mut times = Vec::new();
        // All come, however long the machine takes to start three tools.
        let patience = |time| port.0.set_read_timeout(Some(time)).unwrap();
        patience(Duration::from_secs(20));
        while times.len() < 24_000 && port.0.recv(&mut buffer).is_ok() {
            times.push(clock.now());
        }
        patience(Duration::from_millis(300));
        assert!(port.0.recv(&mut buffer).is_err(), "more than was sent");
        started.wait().expect(&[0, 0, 0]);
        assert_eq!(times.len(), 24000);
        // Time from the first datagram of a block to its last, in the middle of all blocks.
        let mut each: Vec<i64> = times.chunks(480).map(|b| b[479] - b[0]).collect();
        each.sort_unstable();
        each[each.len() / 2] as f64 / 1e6
    };
    let (at_once, paced) = (spread("--pace 0"), spread("--pace 60%"));
    assert!((6.0..16.0).contains(&paced), "{paced} ms");
    assert!(at_once < paced / 2.0, "{at_once} ms against {paced}");
}
