//! Publishers: what subscribers get, what is counted, and what hostile ones can do.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use libframe::clock::SECOND;
use libframe_zmtp::{
    Admission, Decoder, Endpoint, HighWater, Limits, Publisher, Step, greeting,
    put_command, put_message,
};

use super::{LONG, anywhere, meanwhile, now, raw, run, subscriber, until};

const QUIET: Duration = Duration::from_millis(500);

fn publisher(high: HighWater) -> Publisher {
    Publisher::bind(&anywhere(), high).unwrap()
}

/// The numbers of the messages in what a raw subscriber read.
fn numbers(bytes: &[u8]) -> Vec<u32> {
    let (mut decoder, mut all) = (Decoder::new(Limits::default()), Vec::new());
    decoder.push(bytes);
    loop {
        match decoder.step().unwrap() {
            Step::More => return all,
            Step::Message => {
                let number = decoder.parts().get(1).unwrap();
                all.push(u32::from_le_bytes(number.try_into().unwrap()));
            }
            _ => {}
        }
    }
}

fn publish(publisher: &Publisher, numbers: std::ops::Range<u32>, payload: &[u8]) {
    for n in numbers {
        publisher.publish(&[b"DATA\0", &n.to_le_bytes(), payload]);
    }
}

#[test]
fn subscribers_get_what_they_asked_for_over_tcp_and_ipc() {
    let path = std::env::temp_dir().join(format!("zmtp-{}.sock", std::process::id()));
    for endpoint in [anywhere(), Endpoint::Ipc(path.clone())] {
        let publisher = Publisher::bind(&endpoint, HighWater::default()).unwrap();
        let mut all = subscriber(publisher.endpoint(), &[b""]);
        let mut some = subscriber(publisher.endpoint(), &[b"ab", b"x"]);
        assert_eq!(run(&mut all, 1, LONG), ["connected"]);
        assert_eq!(run(&mut some, 1, LONG), ["connected"]);
        run(&mut all, 1, SECOND / 10);
        run(&mut some, 1, SECOND / 10);
        assert!(publisher.wait_for_subscribers(2, now() + LONG));
        for first in ["a", "ab", "abc", "b", "xyz"] {
            publisher.publish(&[first.as_bytes(), b"", &[b'-'; 300]]);
        }
        publisher.publish_pieces(&[b"x", b"", b"yz", &[b'+'; 300]]);
        let rest = format!("++{}", "-".repeat(300));
        let of = |firsts: &[&str]| -> Vec<String> {
            firsts.iter().map(|first| format!("{first}{rest}")).collect()
        };
        assert_eq!(run(&mut all, 5, LONG), of(&["a", "ab", "abc", "b", "xyz"]));
        assert_eq!(run(&mut some, 3, LONG), of(&["ab", "abc", "xyz"]));
        let pieces = format!("xyz{}", "+".repeat(300));
        assert_eq!(run(&mut all, 1, LONG), [&*pieces]);
        assert_eq!(run(&mut some, 1, LONG), [&*pieces]);
        assert_eq!(publisher.drops(), 0);
    }
    assert!(!path.exists(), "the socket's file is left behind");
}

#[test]
fn a_path_that_a_dead_publisher_left_is_taken_and_one_in_use_is_not() {
    let path = std::env::temp_dir().join(format!("zmtp-left-{}", std::process::id()));
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let endpoint = Endpoint::Ipc(path);
    let first = Publisher::bind(&endpoint, HighWater::default()).unwrap();
    let second = Publisher::bind(&endpoint, HighWater::default()).unwrap_err();
    assert!(second.to_string().contains("cannot bind ipc://"), "{second}");
    drop(first);
}

#[test]
fn peers_of_both_versions_subscribe_and_cancel() {
    let publisher = publisher(HighWater::default());
    for minor in [0, 1] {
        let mut peer = raw::subscriber(publisher.endpoint(), minor);
        assert!(publisher.wait_for_subscribers(1, now() + LONG));
        publish(&publisher, 0..3, b"");
        let mut cancel = Vec::new();
        match minor {
            0 => put_message(&mut cancel, &[b"\0"]),
            _ => put_command(&mut cancel, "CANCEL", &[b""]),
        }
        assert_eq!(numbers(&raw::read_all(&mut peer, QUIET)), [0, 1, 2], "3.{minor}");
        peer.write_all(&cancel).unwrap();
        until("cancelled", || publisher.subscribers() == 0);
        assert_eq!(publisher.publish(&[b"DATA\0"]).queued, 0);
    }
}

#[test]
fn what_a_subscriber_asked_for_twice_it_must_cancel_twice() {
    let publisher = publisher(HighWater::default());
    let mut peer = raw::subscriber(publisher.endpoint(), 1);
    assert!(publisher.wait_for_subscribers(1, now() + LONG));
    for (commands, wanted) in [(&["SUBSCRIBE", "CANCEL"][..], 1), (&["CANCEL"], 0)] {
        let mut bytes = Vec::new();
        commands.iter().for_each(|command| put_command(&mut bytes, command, &[b""]));
        // When this is answered, all before it was heard.
        put_command(&mut bytes, "PING", &[&[0, 0]]);
        peer.write_all(&bytes).unwrap();
        assert!(!raw::read_all(&mut peer, QUIET).is_empty());
        assert_eq!(publisher.publish(&[b"DATA\0"]).queued, wanted);
    }
}

#[test]
fn a_subscriber_that_does_not_read_costs_the_others_nothing_and_its_drops_are_counted() {
    let publisher = publisher(HighWater { messages: 100, ..HighWater::default() });
    let mut slow = raw::subscriber(publisher.endpoint(), 1);
    assert!(publisher.wait_for_subscribers(1, now() + LONG));
    let mut quick = subscriber(publisher.endpoint(), &[b"DATA"]);
    run(&mut quick, 1, LONG);
    run(&mut quick, 1, SECOND / 10);
    assert!(publisher.wait_for_subscribers(2, now() + LONG));
    let payload = vec![7; 20_000];
    let mut came = 0;
    for n in (0..2000).step_by(50) {
        publish(&publisher, n..n + 50, &payload);
        came += run(&mut quick, 50, LONG).len();
    }
    assert_eq!(came, 2000, "the quick one gets all");
    let tally = publisher.tally();
    assert!(tally.dropped > 500, "{tally:?}");
    assert!(publisher.waiting() <= 100, "{}", publisher.waiting());
    let unread = meanwhile(move || numbers(&raw::read_all(&mut slow, QUIET)));
    assert!(publisher.drain(now() + LONG));
    let read = unread.join().unwrap();
    assert_eq!(read.len() as u64 + tally.dropped, 2000);
    assert!(read.is_sorted() && read[0] == 0);
}

#[test]
fn once_full_a_queue_takes_no_more_before_half_of_it_is_gone() {
    let high = HighWater { messages: 1000, ..HighWater::default() };
    let publisher = publisher(high);
    let mut slow = raw::subscriber(publisher.endpoint(), 1);
    assert!(publisher.wait_for_subscribers(1, now() + LONG));
    // The kernel's buffers are full when messages keep waiting.
    let payload = vec![7; 50_000];
    let mut n = 0;
    while publisher.drops() == 0 {
        publish(&publisher, n..n + 1, &payload);
        n += 1;
    }
    assert_eq!(publisher.waiting(), 1000);
    // Some room is not enough.
    while publisher.waiting() > 950 {
        slow.read_exact(&mut [0; 50_000]).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(publisher.publish(&[b"DATA\0"]).dropped, 1);
    let mut reader = slow.try_clone().unwrap();
    let reading = meanwhile(move || raw::read_all(&mut reader, QUIET));
    until("half is gone", || publisher.waiting() <= 500);
    assert_eq!(publisher.publish(&[b"DATA\0", &[0; 4], b"room again"]).queued, 1);
    reading.join().unwrap();
}

#[test]
fn bytes_are_a_limit_too_and_a_message_longer_than_that_waits_alone() {
    let high = HighWater { messages: 0, bytes: 1 << 20 };
    let publisher = publisher(high);
    let _slow = raw::subscriber(publisher.endpoint(), 1);
    assert!(publisher.wait_for_subscribers(1, now() + LONG));
    // More than the kernel takes, so that it waits.
    assert_eq!(publisher.publish(&[b"DATA\0", &vec![0; 32 << 20]]).queued, 1);
    assert_eq!(publisher.publish(&[b"DATA\0", b"no room"]).dropped, 1);
    assert_eq!((publisher.waiting(), publisher.drops()), (1, 1));
}

#[test]
fn newcomers_hear_first_what_they_missed_and_miss_nothing_after_it() {
    let publisher = Publisher::with_admission(
        &anywhere(),
        HighWater::default(),
        Admission::ByWelcome,
    );
    let publisher = publisher.unwrap();
    let mut one = subscriber(publisher.endpoint(), &[b""]);
    run(&mut one, 1, LONG);
    run(&mut one, 1, SECOND / 10);
    until("somebody waits", || publisher.has_newcomers());
    assert_eq!(publisher.publish(&[b"too early"]).queued, 0);
    let welcomed = publisher.welcome(|newcomers| {
        newcomers.publish(&[b"hello"]);
    });
    assert_eq!(welcomed, 1);
    assert!(!publisher.has_newcomers());
    let nobody = publisher.welcome(|newcomers| {
        assert_eq!(newcomers.publish(&[b"again"]).queued, 0);
    });
    assert_eq!(nobody, 0);
    assert_eq!(publisher.publish(&[b"all"]).queued, 1);
    assert_eq!(run(&mut one, 2, LONG), ["hello", "all"]);
}

#[test]
fn closing_waits_until_all_is_read_and_not_for_ever() {
    let first = publisher(HighWater { messages: 0, bytes: 64 << 20 });
    let mut peer = raw::subscriber(first.endpoint(), 1);
    assert!(first.wait_for_subscribers(1, now() + LONG));
    publish(&first, 0..3000, &[7; 10_000]);
    let reading = meanwhile(move || {
        std::thread::sleep(Duration::from_millis(300));
        numbers(&raw::read_all(&mut peer, Duration::from_secs(20))).len()
    });
    let began = now();
    let unread = first.close(now() + LONG);
    assert_eq!((unread.messages, unread.subscribers), (0, 0));
    assert!(now() - began < 15 * SECOND, "the peer was not told that this was all");
    assert_eq!(reading.join().unwrap(), 3000);

    let second = publisher(HighWater { messages: 0, bytes: 64 << 20 });
    let _deaf = raw::subscriber(second.endpoint(), 1);
    assert!(second.wait_for_subscribers(1, now() + LONG));
    publish(&second, 0..3000, &[7; 10_000]);
    let began = now();
    let unread = second.close(now() + SECOND / 2);
    assert!(unread.messages > 100 && unread.subscribers == 1, "{unread:?}");
    assert!(now() - began < 10 * SECOND);
}

/// What peers may send instead of a handshake or behind it.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let behind = |bytes: &[u8]| [&raw::handshake(1, "SUB"), bytes].concat();
    let mut curve = greeting();
    curve[12..17].copy_from_slice(b"CURVE");
    let mut topics = raw::handshake(1, "SUB");
    for n in 0..40u8 {
        put_command(&mut topics, "SUBSCRIBE", &[&[n; 4000]]);
    }
    vec![
        ("another protocol", b"GET / HTTP/1.1\r\nHost: rig\r\n\r\n".to_vec()),
        ("another mechanism", curve.to_vec()),
        ("another socket", raw::handshake(1, "PULL")),
        ("a message too early", [&greeting()[..], &[0, 1, 1]].concat()),
        ("a claim of a gibibyte", behind(&[2, 0, 0, 0, 0, 64, 0, 0, 0])),
        ("a claim of 2^63", behind(&[2, 128, 0, 0, 0, 0, 0, 0, 0])),
        ("parts without end", behind(&[1, 0].repeat(1000))),
        ("flags of no meaning", behind(&[0x38, 0])),
        ("a second READY", [raw::handshake(1, "SUB"), raw::handshake(1, "SUB")].concat()),
        ("a command that is cut off", behind(&[4, 3, 200, b'X', b'Y'])),
        ("subscriptions without end", topics),
    ]
}

#[test]
fn hostile_peers_are_sent_away_and_counted() {
    let publisher = publisher(HighWater::default());
    let mut good = subscriber(publisher.endpoint(), &[b""]);
    run(&mut good, 1, LONG);
    run(&mut good, 1, SECOND / 10);
    for (n, (what, bytes)) in (1..).zip(hostile()) {
        let mut peer = raw::connect(publisher.endpoint());
        peer.write_all(&bytes).unwrap();
        assert!(raw::is_closed(&mut peer), "{what}");
        until(what, || publisher.tally().faults == n);
        publisher.publish(&[what.as_bytes()]);
        assert_eq!(run(&mut good, 1, LONG), [what]);
    }
    assert_eq!(publisher.tally().subscribers, 1);
}

#[test]
fn who_never_finishes_a_greeting_is_sent_away_and_makes_place_for_others() {
    let publisher = publisher(HighWater::default());
    let connect = |_| raw::connect(publisher.endpoint());
    let mut lame: Vec<TcpStream> = (0..300).map(connect).collect();
    let mut good = subscriber(publisher.endpoint(), &[b""]);
    // One of the others may still be on its way, and push it out once.
    while !good.is_connected() {
        assert_ne!(run(&mut good, 1, LONG), [""; 0]);
    }
    let began = now();
    // One byte at a time does not count as progress.
    let last = lame.last_mut().unwrap();
    for byte in &greeting()[..40] {
        if last.write_all(&[*byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(raw::is_closed(last), "it took its time");
    assert!(now() - began < 20 * SECOND);
    until("all are gone", || publisher.tally().faults >= 300);
    assert_eq!(publisher.subscribers(), 1);
}

#[test]
fn pings_are_answered_also_in_a_flood() {
    let publisher = publisher(HighWater::default());
    let mut peer = raw::subscriber(publisher.endpoint(), 1);
    let mut pings = Vec::new();
    (0..10_000).for_each(|_| put_command(&mut pings, "PING", &[&[0, 0], b"context"]));
    peer.write_all(&pings).unwrap();
    let answers = raw::read_all(&mut peer, QUIET);
    let mut pong = Vec::new();
    put_command(&mut pong, "PONG", &[b"context"]);
    assert!(answers.windows(pong.len()).any(|bytes| bytes == pong));
    assert_eq!(publisher.subscribers(), 1);
}
