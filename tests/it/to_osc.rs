//! `to-osc`: what is sent of which streams. Receivers that are not ours, and peers that come
//! and go, have files of their own.

mod peers;
mod receivers;

use std::net::UdpSocket;
use std::time::Duration;

use framepipe_tests::{decode, pipe};
use libframe::payload::{ClockReading, Event, Gap, Payload, Reason, Session};
use libframe::schema::{Dtype, Media, Stream};
use libframe::wire::{Header, Kind, Record};
use rosc::{OscMessage, OscPacket, OscType, decoder};

/// A port on which everything is heard.
pub(super) struct Port(UdpSocket);

impl Port {
    pub(super) fn open() -> Port {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 4 << 20).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        Port(socket)
    }

    pub(super) fn name(&self) -> String {
        format!("udp://{}", self.0.local_addr().unwrap())
    }

    /// All that was sent, until nothing comes any more.
    pub(super) fn datagrams(&self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        let mut buffer = vec![0; 65536];
        while let Ok(n) = self.0.recv(&mut buffer) {
            all.push(buffer[..n].to_vec());
        }
        all
    }

    fn packets(&self) -> Vec<OscPacket> {
        let all = self.datagrams();
        all.iter().map(|bytes| decoder::decode_udp(bytes).unwrap().1).collect()
    }

    /// All messages, with or without a bundle.
    fn messages(&self) -> Vec<OscMessage> {
        let all = self.packets().into_iter();
        all.map(|packet| match packet {
            OscPacket::Message(message) => message,
            OscPacket::Bundle(mut bundle) => match bundle.content.pop() {
                Some(OscPacket::Message(message)) => message,
                other => panic!("{other:?}"),
            },
        })
        .collect()
    }
}

fn floats(args: &[OscType]) -> Vec<f32> {
    args.iter().map(|arg| arg.clone().float().unwrap()).collect()
}

fn put<P: Payload>(stream: u16, seq: u64, payload: &P, out: &mut Vec<u8>) {
    let (kind, time) = (P::KIND, 0);
    let header = Header { kind, flags: 0, stream, session: 7, seq, time, sent: 0 };
    Record::new(header, &payload.to_bytes()).encode(out);
}

/// The beginning of a session with one stream.
fn begin(stream: &Stream) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(0, 0, &Session { uuid: "u".into(), ..Session::default() }, &mut bytes);
    put(1, 0, stream, &mut bytes);
    bytes
}

fn sample(seq: u64, time: i64, payload: &[u8], out: &mut Vec<u8>) {
    let kind = Kind::DATA;
    let header = Header { kind, flags: 0, stream: 1, session: 7, seq, time, sent: 0 };
    Record::new(header, payload).encode(out);
}

fn numeric(dtype: Dtype, shape: &[u32]) -> Stream {
    Stream {
        name: "rig".into(),
        media: Media::Samples,
        dtype: Some(dtype),
        shape: shape.into(),
        ..Stream::default()
    }
}

#[test]
fn every_type_of_number_arrives() {
    let cases: [(Dtype, Vec<u8>, [f32; 2]); 5] = [
        (Dtype::U8, vec![3, 200], [3., 200.]),
        (Dtype::I16, [(-5i16).to_le_bytes(), 7i16.to_le_bytes()].concat(), [-5., 7.]),
        (Dtype::F64, [0.1f64.to_le_bytes(), 1e9f64.to_le_bytes()].concat(), [0.1, 1e9]),
        (Dtype::I64, [(-1i64).to_le_bytes(), 9i64.to_le_bytes()].concat(), [-1., 9.]),
        (
            Dtype::U32,
            [7u32.to_le_bytes(), u32::MAX.to_le_bytes()].concat(),
            [7., 2f32.powi(32)],
        ),
    ];
    for (dtype, bytes, numbers) in cases {
        // A shape of two dimensions is sent number by number.
        let mut input = begin(&numeric(dtype, &[2, 1]));
        (0..3).for_each(|seq| sample(seq, 5, &bytes, &mut input));
        let port = Port::open();
        pipe(&format!("to-osc {}", port.name())).input(input).run().expect(&[3]);
        let messages = port.messages();
        assert_eq!(messages.len(), 3);
        assert_eq!(messages[0].addr, "/data/sample");
        assert_eq!(floats(&messages[0].args), numbers, "{dtype:?}");
    }
}

#[test]
fn streams_have_addresses_of_their_own() {
    let port = Port::open();
    let line = "sim-src sine:channels=2 control -n 4 --rate 200 | to-osc";
    let run = pipe(&format!("{line} {} --address /rig/{{stream}}", port.name())).run();
    run.expect(&[0, 0]).expect_silence();
    let messages = port.messages();
    for address in ["/rig/sine/sample", "/rig/control/sample"] {
        assert_eq!(messages.iter().filter(|m| m.addr == address).count(), 4, "{address}");
    }
    let run = pipe(&format!("{line} {}", port.name())).run();
    run.expect(&[0, 0]).expect_silence();
    let messages = port.messages();
    for address in ["/data/sample", "/data/control/sample"] {
        assert_eq!(messages.iter().filter(|m| m.addr == address).count(), 4, "{address}");
    }
    let options = "--layout individual --channel-address /{stream}/{label}/{number:02}";
    port.messages();
    pipe(&format!("{line} {} {options}", port.name())).run().expect(&[0, 0]);
    let mut addresses: Vec<_> = port.messages().into_iter().map(|m| m.addr).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(
        addresses,
        ["/control/steering/01", "/control/throttle/02", "/sine/ch1/01", "/sine/ch2/02"]
    );
    pipe(&format!("{line} {} --layout individual", port.name())).run().expect(&[0, 0]);
    let mut addresses: Vec<_> = port.messages().into_iter().map(|m| m.addr).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses, ["/ch000", "/ch001", "/control/ch000", "/control/ch001"]);
}

#[test]
fn streams_about_another_are_sent_if_asked() {
    let about = [("about".to_owned(), "two".to_owned())].into();
    let aside = Stream { name: "aside".into(), meta: about, ..numeric(Dtype::F32, &[2]) };
    let mut input = begin(&aside);
    sample(0, 5, &[0; 8], &mut input);
    for (option, addresses) in [("", vec![]), ("--asides", vec!["/data/sample"])] {
        let port = Port::open();
        let run =
            pipe(&format!("to-osc {} {option}", port.name())).input(&input[..]).run();
        run.expect(&[3]);
        let told = port.messages();
        assert_eq!(told.iter().map(|m| &m.addr[..]).collect::<Vec<_>>(), addresses);
    }
}

#[test]
fn time_tags_are_the_capture_times_by_the_wall_clock() {
    let input = pipe("sim-src -n 40 --rate 200").run().expect(&[0]).stdout.clone();
    let mut times = Vec::new();
    let mut wall = 0;
    for event in decode(&input) {
        let framepipe_tests::Event::Record(header, payload) = event else { panic!() };
        match header.kind {
            Kind::SESSION => {
                let session = Session::from_bytes(&payload).unwrap();
                wall = session.start_realtime - session.start_monotonic;
            }
            Kind::CLOCK => {
                let reading = ClockReading::from_bytes(&payload).unwrap();
                wall = reading.realtime.unwrap() - reading.monotonic;
            }
            Kind::DATA => times.push(header.time + wall),
            _ => {}
        }
    }
    let port = Port::open();
    let line = format!("to-osc {} --layout bundle --batch 1", port.name());
    pipe(&line).input(input).run().expect(&[0]);
    let packets = port.packets();
    assert_eq!(packets.len(), 40);
    for (packet, time) in packets.iter().zip(times) {
        let OscPacket::Bundle(bundle) = packet else { panic!("{packet:?}") };
        let (tag, second) = (bundle.timetag, 1_000_000_000);
        let nanos = (u64::from(tag.fractional) * second) >> 32;
        let seconds = u64::from(tag.seconds) - 2_208_988_800;
        let told = (seconds * second + nanos) as i64;
        assert!((told - time).abs() < 1000, "{told} {time}");
    }
}

#[test]
fn events_and_gaps_are_messages_if_wanted() {
    let mut input = begin(&numeric(Dtype::U8, &[1]));
    sample(0, 0, &[1], &mut input);
    for value in
        [libframe::payload::Value::Int(3), libframe::payload::Value::Text("on".into())]
    {
        let event = Event { label: "ttl".into(), value, source: String::new() };
        put(1, 1, &event, &mut input);
    }
    let gap = Gap {
        first: 1,
        count: Some(4),
        reason: Reason::Device,
        stage: "x".into(),
        ..Gap::default()
    };
    put(1, 5, &gap, &mut input);
    let partial =
        Gap { first: 5, count: None, partial: Some(1), channels: vec![0], ..gap };
    put(1, 5, &partial, &mut input);
    sample(5, 0, &[2], &mut input);
    let port = Port::open();
    let line = format!("to-osc {} --events --gaps", port.name());
    pipe(&line).input(input.clone()).run().expect(&[3]);
    let mut messages = port.messages();
    let text = |text: &str| OscType::String(text.into());
    let take = |messages: &mut Vec<OscMessage>, address: &str| -> Vec<Vec<OscType>> {
        messages.extract_if(.., |m| m.addr == address).map(|m| m.args).collect()
    };
    assert_eq!(
        take(&mut messages, "/event"),
        [vec![text("ttl"), OscType::Int(3)], vec![text("ttl"), text("on")]]
    );
    assert_eq!(
        take(&mut messages, "/gap"),
        [
            [vec![text("rig")], [1, 4].map(OscType::Int).to_vec()].concat(),
            [vec![text("rig")], [5, 1, 0].map(OscType::Int).to_vec()].concat()
        ]
    );
    assert_eq!(messages.len(), 2, "{messages:?}");
    pipe(&format!("to-osc {}", port.name())).input(input).run().expect(&[3]);
    assert_eq!(port.messages().len(), 2);
}

#[test]
fn a_gap_ends_a_batch_and_sequence_shows_it() {
    let input = pipe("sim-src -n 200 --rate max --fault gap=2%").run().stdout.clone();
    let port = Port::open();
    let line = format!("to-osc {} --layout bundle --batch 50", port.name());
    pipe(&line).input(input).run().expect(&[3]);
    let (mut next, mut missing, mut came) = (0, 0, 0);
    for message in port.messages() {
        let args: Vec<_> =
            message.args[..2].iter().map(|a| a.clone().int().unwrap()).collect();
        missing += args[0] - next;
        came += args[1];
        next = args[0] + args[1];
        assert_eq!(message.args.len() as i32, 5 + args[1]);
    }
    assert!(missing > 0, "{missing}");
    assert_eq!(came + missing, next);
}

#[test]
fn texts_are_strings_and_bytes_are_blobs_in_parts() {
    let stream = Stream { name: "log".into(), media: Media::Text, ..Stream::default() };
    let mut input = begin(&stream);
    sample(0, 0, "grün".as_bytes(), &mut input);
    let port = Port::open();
    pipe(&format!("to-osc {}", port.name())).input(input).run().expect(&[3]);
    let messages = port.messages();
    assert_eq!(messages[0].addr, "/data/text");
    assert_eq!(messages[0].args, [OscType::String("grün".into())]);

    let stream = Stream { name: "cam".into(), media: Media::Bytes, ..Stream::default() };
    let mut input = begin(&stream);
    let picture: Vec<u8> = (0..20_001u32).map(|n| (n % 251) as u8).collect();
    sample(0, 0, &picture, &mut input);
    let run = pipe(&format!("to-osc {}", port.name())).input(&input[..]).run();
    run.expect(&[3]).expect_stderr(0, "cam: streams of bytes are not sent; see --blobs");
    assert!(port.messages().is_empty());
    pipe(&format!("to-osc {} --blobs", port.name())).input(input).run().expect(&[3]);
    let mut came = Vec::new();
    for (message, part) in port.messages().into_iter().zip(0..) {
        assert_eq!(message.args[..3], [0, part, 3].map(OscType::Int));
        came.extend(message.args[3].clone().blob().unwrap());
    }
    assert!(came == picture);
}

#[test]
fn a_batch_is_complete_or_goes_when_it_is_old() {
    let port = Port::open();
    let line = "sim-src sine:channels=2 -n 25 --rate 500 | to-osc";
    let counts = |options: &str| -> Vec<String> {
        let line = format!("{line} {} --layout batch {options}", port.name());
        pipe(&line).run().expect(&[0, 0]).expect_silence();
        port.messages().into_iter().map(|m| m.addr).collect()
    };
    assert_eq!(
        counts("--batch 10"),
        ["/data/batch/10", "/data/batch/10", "/data/batch/5"]
    );
    assert_eq!(counts("--mode low-latency").len(), 25);
    let old = counts("--batch 1000 --batch-time 10ms");
    assert!((3..=8).contains(&old.len()), "{old:?}");
}

#[test]
fn a_changed_description_is_followed() {
    let mut input = begin(&numeric(Dtype::U8, &[2]));
    sample(0, 0, &[1, 2], &mut input);
    put(1, 1, &Stream { version: 1, ..numeric(Dtype::U8, &[3]) }, &mut input);
    sample(1, 0, &[3, 4, 5], &mut input);
    let port = Port::open();
    let line = format!("to-osc {} --layout chunk --batch 9", port.name());
    pipe(&line).input(input).run().expect(&[3]);
    let addresses: Vec<_> = port.messages().into_iter().map(|m| m.addr).collect();
    assert_eq!(addresses, ["/data/chunk/1x2", "/data/chunk/1x3"]);
}

#[test]
fn what_cannot_be_carried_out_is_said_before_anything_is_sent() {
    for (wrong, why) in [
        ("udp://localhost", "say udp://HOST:PORT, tcp://HOST:PORT or unix:PATH"),
        ("udp://127.0.0.1:9 --address data", "an OSC address begins with '/'"),
        ("udp://127.0.0.1:9 --values i16", "--values i16 is for --layout blob"),
        ("udp://127.0.0.1:9 --scale 2", "--scale is for --values i16"),
        ("udp://127.0.0.1:9 --layout individual --channel-address /x", "share it"),
        ("udp://127.0.0.1:9 --mtu 70000", "65507"),
    ] {
        let input = pipe("sim-src -n 1 --rate max").run().stdout;
        let run = pipe(&format!("to-osc {wrong}")).input(input).run();
        run.expect(&[2]).expect_stderr(0, why);
    }
    let run = pipe("to-osc udp://no-such-host.invalid:9").run();
    run.expect(&[1])
        .expect_stderr(0, "no such host; check the name, or give the address");
}

#[test]
fn the_status_tells_what_went_out() {
    let port = Port::open();
    let line = "sim-src --rate 500 -n 400 | to-osc --status 50ms --status-format json";
    let run = pipe(&format!("{line} {}", port.name())).run();
    run.expect(&[0, 0]);
    let last = run.stderrs[1].lines().last().unwrap();
    let status: serde_json::Value = serde_json::from_str(last).unwrap();
    let out = &status["out"];
    assert!(out["samples"].as_u64() > Some(50), "{status}");
    // A message of one channel is 24 bytes.
    assert_eq!(out["bytes"].as_u64(), out["records"].as_u64().map(|n| n * 24));
}

#[test]
fn a_plan_tells_the_queue_of_the_mode_and_what_is_not_there() {
    let run =
        pipe("sim-src ephys --plan | to-osc udp://127.0.0.1:9 --mode low-latency --plan")
            .run();
    let plan = run.expect(&[0, 0]).json()[1].clone();
    assert_eq!((&plan["role"], &plan["queue"]), (&"sender".into(), &(1u64 << 20).into()));
    assert_eq!(plan["overload"], "drops the oldest records, told as gaps");
    assert_eq!(plan["notes"][0], "about 4.8 MB/s of OSC");
    let run = pipe("sim-src --plan | to-osc tcp://127.0.0.1:9 --queue 9MiB --plan").run();
    let plan = run.expect(&[0, 1]).json()[1].clone();
    assert_eq!(plan["queue"], 9u64 << 20);
    assert_eq!(plan["needs"][0]["problem"], "connection refused");
}
