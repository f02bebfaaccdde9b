//! Clients that are slow, many, wrong or hostile; and those that are as they should be.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::Builder;
use std::time::Duration;

use framepipe_tests::pipe;
use rustix::process::Signal;

use super::http::{
    address, ask, connect, read_reply, reply, scrape, scrape_until, talk, until,
};
use super::{TOOL, close, made, shown};

const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn every_path_and_method_has_its_status() {
    let (started, address) = shown(made("sim-src sine -n 3 --rate max"));
    for (request, status) in [
        ("GET /", 200),
        ("GET /metrics", 200),
        ("GET /metrics?name[]=x", 200),
        ("GET http://host:1/metrics", 200),
        ("HEAD /metrics", 200),
        ("GET /healthz", 200),
        ("GET /nothing", 404),
        ("GET /../etc/passwd", 404),
        ("POST /metrics", 405),
        ("DELETE /", 405),
    ] {
        let reply = ask(&address, request, "");
        assert_eq!(reply.status, status, "{request}");
        let has_body = !request.starts_with("HEAD");
        assert_eq!(!reply.body.is_empty(), has_body, "{request}");
        assert!(!reply.head.contains("Content-Length: 0"), "{}", reply.head);
    }
    assert!(ask(&address, "GET /", "").body.contains("href=\"/metrics\""));
    assert!(ask(&address, "POST /", "").head.contains("Allow: GET, HEAD"));
    // A page may be 50 ms old.
    let of = |code| format!("framepipe_exporter_requests_total{{code=\"{code}\"}}");
    scrape_until(&address, &of(405), 3.0).expect(&of(404), 2.0);
    close(started).expect(&[0]).expect_silence();
}

#[test]
fn a_connection_is_kept_and_requests_may_follow_each_other_closely() {
    let (started, address) = shown(made("sim-src sine -n 3 --rate max"));
    let mut stream = connect(&address);
    for _ in 0..3 {
        stream.write_all(REQUEST).unwrap();
        assert_eq!(read_reply(&mut stream).status, 200);
    }
    let health = b"GET /healthz HTTP/1.1\r\n\r\n";
    stream
        .write_all(&[REQUEST, health, b"GET /x HTTP/1.1\r\n\r\nGET /"].concat())
        .unwrap();
    let statuses = [(); 3].map(|()| read_reply(&mut stream).status);
    assert_eq!(statuses, [200, 200, 404]);
    stream.write_all(b" HTTP/1.0\r\n\r\n").unwrap();
    let mut last = String::new();
    stream.read_to_string(&mut last).unwrap();
    assert!(reply(&last).head.contains("Connection: close"), "{last}");
    close(started).expect(&[0]);
}

#[test]
fn garbage_is_refused_and_the_next_client_served() {
    let (started, address) = shown(made("sim-src sine -n 3 --rate max"));
    let huge = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'a'; 3 << 20]].concat();
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(1000));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000));
    for (bytes, status) in [
        (&b"\x16\x03\x01\x00\xf4\x01\x00\x00"[..], 400),
        (b"hello\r\n\r\n", 400),
        (b"\0\0\0\0\0\0\0\0", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (&huge, 431),
        (many.as_bytes(), 431),
        (long.as_bytes(), 431),
    ] {
        let answer = talk(&address, bytes);
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(30)]).into_owned();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{start:?}: {answer}"
        );
        assert_eq!(ask(&address, "GET /healthz", "").status, 200);
    }
    let mut state = 1u64;
    for _ in 0..200 {
        let noise: Vec<u8> = (0..64)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as u8
            })
            .collect();
        let mut stream = connect(&address);
        drop(stream.write_all(&noise));
    }
    scrape(&address);
    let run = close(started);
    run.expect(&[0]).expect_silence();
    assert!(run.peaks[0] < 32 << 20, "{} KiB", run.peaks[0] >> 10);
}

#[test]
fn who_connects_and_says_nothing_holds_up_nobody() {
    let (started, address) = shown(made("sim-src sine -n 3 --rate max"));
    // More than there are places: some that asked before and may be silent for minutes, some
    // in the middle of a request, some that never said a word.
    let silent: Vec<_> = (0..150)
        .map(|n| {
            let mut stream = connect(&address);
            match n % 10 {
                0 => stream.write_all(b"GET /metr").unwrap(),
                1 => {}
                _ => {
                    stream.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
                    assert_eq!(read_reply(&mut stream).status, 200);
                }
            }
            stream
        })
        .collect();
    let page = scrape(&address);
    let evicted = page.get("framepipe_exporter_evicted_connections_total");
    assert!(evicted >= Some(80.0), "{evicted:?}");
    // A request that never ends is closed, although a byte comes now and then.
    let mut dribble = connect(&address);
    dribble.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    until("it is closed", || dribble.write_all(b"A: b\r\n").is_err());
    drop(silent);
    close(started).expect(&[0]).expect_silence();
}

#[test]
fn two_hundred_clients_at_once_are_all_served() {
    let line = format!("sim-src sine --rate 1000 | {TOOL}");
    let mut started = pipe(&line).start();
    let address = address(&started);
    let clients: Vec<_> = (0..200)
        .map(|_| {
            let address = address.clone();
            let scrapes = move || (0..3).for_each(|_| drop(scrape(&address)));
            Builder::new().name("client".into()).spawn(scrapes).unwrap()
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    started.signal(0, Signal::TERM);
    started.wait().expect(&[0, 0]).expect_silence();
}

#[test]
fn clients_that_never_read_delay_neither_the_pipe_nor_its_end() {
    let line = format!("sim-src sine --rate max | {TOOL} --linger 100ms");
    let mut started = pipe(&line).start();
    let address = address(&started);
    let deaf: Vec<_> = (0..30)
        .map(|_| {
            let mut stream = connect(&address);
            stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
            // As many as are taken: the pages fill the socket, then nothing moves.
            while stream.write_all(REQUEST).is_ok() {}
            stream
        })
        .collect();
    let samples = "framepipe_stream_samples_total{stream=\"sine\"}";
    let before = scrape(&address).get(samples);
    until("more samples", || scrape(&address).get(samples) > before);
    started.signal(0, Signal::TERM);
    let run = started.wait();
    run.expect(&[0, 0]).expect_silence();
    assert!(run.peaks[1] < 32 << 20, "{} KiB", run.peaks[1] >> 10);
    drop(deaf);
}

#[test]
fn a_token_is_asked_for() {
    let desk = framepipe_tests::Scratch::new();
    let file = desk.file("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    let line = format!("{TOOL} --token-file {file}");
    let whole = made("sim-src sine -n 3 --rate max");
    let started = pipe(&line).input_left_open(whole).start();
    let address = address(&started);
    for (header, status) in [
        ("", 401),
        ("Authorization: Bearer wrong!\r\n", 401),
        ("Authorization: Bearer s3cre\r\n", 401),
        ("Authorization: Bearer s3cret4\r\n", 401),
        ("Authorization: Basic s3cret\r\n", 401),
        ("Authorization: Bearer s3cret\r\n", 200),
        ("authorization: bearer s3cret\r\n", 200),
    ] {
        let reply = ask(&address, "GET /metrics", header);
        assert_eq!(reply.status, status, "{header}");
        assert_eq!(reply.body.contains("framepipe_"), status == 200);
    }
    assert_eq!(ask(&address, "GET /healthz", "").status, 200);
    let page = ask(&address, "GET /metrics", "Authorization: Bearer s3cret\r\n").body;
    assert!(!page.contains("s3cret"));
    close(started).expect(&[0]);
    std::fs::write(&file, "\n").unwrap();
    pipe(&line).run().expect(&[1]).expect_stderr(0, "is empty");
}

#[test]
fn a_port_that_is_taken_is_named_with_a_remedy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap();
    let run = pipe(&format!("to-metrics {taken}")).run();
    run.expect(&[1]).expect_stderr(0, &format!("to-metrics: {taken}: something listens"));
    run.expect_stderr(0, "name another port");
    let run = pipe("to-metrics 192.0.2.1:0").run();
    run.expect(&[1]).expect_stderr(0, "no interface of this machine");
    pipe("to-metrics nonsense:x").run().expect(&[2]).expect_stderr(0, "no port");
}

#[test]
fn a_port_that_the_system_chose_is_told() {
    let whole = made("sim-src sine -n 3 --rate max");
    let mut started = pipe("to-metrics 0").input_left_open(whole).start();
    started.until_stderr(0, "/metrics\n");
    let said = String::from_utf8(started.stderr_so_far(0)).unwrap();
    let (_, url) = said.split_once("listening on http://").unwrap();
    let address = url.split('/').next().unwrap();
    assert!(address.starts_with("127.0.0.1:"), "{said}");
    scrape_until(address, "framepipe_sessions_ended_total", 1.0);
    close(started).expect(&[0]);
}
