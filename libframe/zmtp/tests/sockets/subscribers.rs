//! Subscribers: how they come back, and what they say of publishers that are none.

use std::io::Write as _;
use std::time::Duration;

use libframe::clock::SECOND;
use libframe_zmtp::{HighWater, Limits, Publisher, Subscriber, greeting, put_message};

use super::{LONG, meanwhile, now, raw, run, subscriber};

#[test]
fn a_publisher_that_comes_back_is_found_within_a_second() {
    let (listener, endpoint) = raw::listener();
    drop(listener);
    let mut one = subscriber(&endpoint, &[b""]);
    let refused = run(&mut one, 2, SECOND);
    assert_eq!(refused.len(), 1, "a failure is told once: {refused:?}");
    assert!(refused[0].contains("refused"), "{refused:?}");
    for round in 0..3 {
        let publisher = Publisher::bind(&endpoint, HighWater::default()).unwrap();
        let began = now();
        assert_eq!(run(&mut one, 1, LONG), ["connected"]);
        assert!(now() - began < SECOND, "{} ns", now() - began);
        run(&mut one, 1, SECOND / 10);
        publisher.publish(&[b"here", round.to_string().as_bytes()]);
        assert_eq!(run(&mut one, 1, LONG), [format!("here+{round}")]);
        drop(publisher);
        let lost = run(&mut one, 2, LONG);
        assert!(lost[0].starts_with("lost: ") && lost[1].contains("refused"), "{lost:?}");
    }
    assert_eq!((one.counts().connects, one.counts().losses), (3, 3));
}

/// What a subscriber says of a publisher that sends this to everybody.
fn told(bytes: &[u8], limits: Limits) -> Vec<String> {
    let (listener, endpoint) = raw::listener();
    let bytes = bytes.to_vec();
    let serving = meanwhile(move || {
        // Held until the end: who hung up must be the subscriber.
        let mut peers = Vec::new();
        for _ in 0..2 {
            let (mut peer, _) = listener.accept().unwrap();
            drop(peer.write_all(&bytes));
            peers.push(peer);
        }
        assert!(raw::is_closed(&mut peers[0]));
    });
    let mut one = Subscriber::new(endpoint, limits).unwrap();
    let told = run(&mut one, 3, SECOND / 2);
    drop(one);
    serving.join().unwrap();
    told
}

#[test]
fn what_is_no_publisher_is_told_by_what_it_is() {
    let small = Limits { message: 1000, parts: 4 };
    let mut plain = greeting();
    plain[12..17].copy_from_slice(b"PLAIN");
    assert!(told(&plain, small)[0].contains("mechanism \"PLAIN\""));
    assert!(told(b"SSH-2.0-OpenSSH_9\r\n", small)[0].contains("does not speak ZeroMQ"));
    let push = told(&raw::handshake(1, "PUSH"), small);
    assert!(push[0].contains("type \"PUSH\", which SUB cannot"), "{push:?}");
    let mut refusing = greeting().to_vec();
    libframe_zmtp::put_command(&mut refusing, "ERROR", &[b"\x02no"]);
    assert!(told(&refusing, small)[0].contains("the peer refused: no"));
}

#[test]
fn messages_over_the_limits_end_the_connection_with_a_word() {
    let small = Limits { message: 1000, parts: 4 };
    let behind = |bytes: &[u8]| [&raw::handshake(1, "PUB"), bytes].concat();
    let mut long = Vec::new();
    put_message(&mut long, &[&[0; 1001]]);
    for (bytes, word) in [
        (behind(&long), "over the limit of 1000"),
        (behind(&[2, 0, 0, 0, 0, 64, 0, 0, 0]), "1073741824 bytes"),
        (behind(&[2, 255, 255, 255, 255, 255, 255, 255, 255]), "over the limit"),
        (behind(&[1, 0].repeat(100)), "more than 4 parts"),
    ] {
        let told = told(&bytes, small);
        assert_eq!(told[0], "connected");
        assert!(told[1].starts_with("lost: ") && told[1].contains(word), "{told:?}");
    }
}

#[test]
fn a_message_whose_end_does_not_come_is_not_given() {
    let mut bytes = raw::handshake(1, "PUB");
    put_message(&mut bytes, &[b"whole", b"message"]);
    put_message(&mut bytes, &[b"cut", b"off"]);
    bytes.truncate(bytes.len() - 1);
    let (listener, endpoint) = raw::listener();
    let serving = meanwhile(move || {
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(&bytes).unwrap();
        std::thread::sleep(Duration::from_millis(100));
    });
    let mut one = subscriber(&endpoint, &[b""]);
    let told = run(&mut one, 3, LONG);
    serving.join().unwrap();
    assert_eq!(told[..2], ["connected", "whole+message"]);
    assert!(told[2].starts_with("lost: "), "{told:?}");
}

#[test]
fn a_publisher_that_falls_silent_is_asked_and_then_given_up() {
    let (listener, endpoint) = raw::listener();
    let mut one = subscriber(&endpoint, &[b""]);
    let serving = meanwhile(move || {
        let (mut mute, _) = listener.accept().unwrap();
        mute.write_all(&raw::handshake(1, "PUB")).unwrap();
        let again = listener.accept();
        assert!(again.is_ok());
        raw::read_all(&mut mute, Duration::from_secs(5))
    });
    assert_eq!(run(&mut one, 1, LONG), ["connected"]);
    let began = now();
    let told = run(&mut one, 1, LONG);
    assert!(told[0].contains("silent"), "{told:?}");
    assert!((SECOND..12 * SECOND).contains(&(now() - began)));
    // Its next attempt is what lets the other side go on.
    run(&mut one, 1, SECOND / 2);
    let heard = serving.join().unwrap();
    assert!(heard.windows(4).any(|bytes| bytes == b"PING"));
}

#[test]
fn a_publisher_that_is_only_quiet_is_kept() {
    let publisher = Publisher::bind(&super::anywhere(), HighWater::default()).unwrap();
    let mut one = subscriber(publisher.endpoint(), &[b""]);
    assert_eq!(run(&mut one, 1, LONG), ["connected"]);
    assert_eq!(run(&mut one, 1, 6 * SECOND), [""; 0], "nothing happens");
    publisher.publish(&[b"still here"]);
    assert_eq!(run(&mut one, 1, LONG), ["still here"]);
}
