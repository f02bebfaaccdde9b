//! Questions and answers, late and never.

use std::io::Write as _;
use std::time::Duration;

use libframe::clock::SECOND;
use libframe_zmtp::{Answer, Limits, Reply, Request, put_message};

use super::{LONG, anywhere, meanwhile, now, raw, wait};

/// Lets both run until an answer has come.
fn answer_of(request: &mut Request, reply: &mut Reply, answers: bool) -> Option<String> {
    let latest = now() + if answers { LONG } else { SECOND / 2 };
    while now() < latest {
        reply.tick(now()).unwrap();
        while let Some(asked) = reply.next().unwrap() {
            let (asker, text) = (asked.asker, [b"re: ", asked.text].concat());
            if answers {
                reply.answer(asker, &text);
            }
        }
        request.tick(now()).unwrap();
        while let Some(answer) = request.next().unwrap() {
            if let Answer::Text(text) = answer {
                return Some(String::from_utf8_lossy(text).into_owned());
            }
        }
        wait(reply.fd(), now() + SECOND / 100);
    }
    None
}

#[test]
fn a_question_is_answered_and_one_that_is_not_can_be_asked_again() {
    let mut reply = Reply::bind(&anywhere(), Limits::default()).unwrap();
    let mut request = Request::new(reply.endpoint().clone(), Limits::default()).unwrap();
    request.ask(b"one");
    assert_eq!(answer_of(&mut request, &mut reply, true).as_deref(), Some("re: one"));
    request.ask(b"two");
    assert_eq!(answer_of(&mut request, &mut reply, false), None);
    assert!(request.is_waiting());
    request.ask(b"three");
    assert_eq!(answer_of(&mut request, &mut reply, true).as_deref(), Some("re: three"));
    assert!(!request.is_waiting());
    assert_eq!(reply.faults(), 0);
}

#[test]
fn what_got_no_answer_is_asked_over_a_new_connection() {
    let (listener, endpoint) = raw::listener();
    let serving = meanwhile(move || {
        let (mut deaf, _) = listener.accept().unwrap();
        // Of 3.0, so that it is not given up for being silent.
        deaf.write_all(&raw::handshake(0, "REP")).unwrap();
        let (mut other, _) = listener.accept().unwrap();
        let mut bytes = raw::handshake(1, "REP");
        put_message(&mut bytes, &[b"", b"at last"]);
        other.write_all(&bytes).unwrap();
        raw::is_closed(&mut other)
    });
    let mut request = Request::new(endpoint, Limits::default()).unwrap();
    let (latest, mut answered) = (now() + LONG, false);
    while !answered {
        assert!(now() < latest);
        request.ask(b"again and again");
        let soon = now() + SECOND / 2;
        while now() < soon && !answered {
            request.tick(now()).unwrap();
            while let Some(answer) = request.next().unwrap() {
                answered |= matches!(answer, Answer::Text(b"at last"));
            }
            wait(request.fd(), soon.min(request.deadline()));
        }
    }
    drop(request);
    assert!(serving.join().unwrap());
}

#[test]
fn a_question_is_asked_when_the_peer_comes() {
    let (listener, endpoint) = raw::listener();
    drop(listener);
    let mut request = Request::new(endpoint.clone(), Limits::default()).unwrap();
    request.ask(b"early");
    let began = now();
    while now() - began < SECOND / 3 {
        request.tick(now()).unwrap();
        while request.next().unwrap().is_some() {}
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut reply = Reply::bind(&endpoint, Limits::default()).unwrap();
    assert_eq!(answer_of(&mut request, &mut reply, true).as_deref(), Some("re: early"));
}

#[test]
fn answers_to_who_is_gone_and_questions_without_envelope_do_no_harm() {
    let mut reply = Reply::bind(&anywhere(), Limits::default()).unwrap();
    let mut peer = raw::connect(reply.endpoint());
    let mut bytes = raw::handshake(1, "REQ");
    put_message(&mut bytes, &[b"", b"who"]);
    peer.write_all(&bytes).unwrap();
    let latest = now() + LONG;
    let asker = loop {
        if let Some(asked) = reply.next().unwrap() {
            break asked.asker;
        }
        assert!(now() < latest);
        wait(reply.fd(), latest);
    };
    drop(peer);
    let mut other = raw::connect(reply.endpoint());
    let mut bytes = raw::handshake(1, "DEALER");
    put_message(&mut bytes, &[b"no envelope"]);
    other.write_all(&bytes).unwrap();
    while reply.faults() == 0 {
        assert!(now() < latest && reply.next().unwrap().is_none());
        wait(reply.fd(), now() + SECOND / 10);
    }
    reply.answer(asker, b"too late");
    assert!(raw::is_closed(&mut other));
}

#[test]
fn who_never_greets_is_sent_away() {
    let mut reply = Reply::bind(&anywhere(), Limits::default()).unwrap();
    reply.tick(now()).unwrap();
    let mut peer = raw::connect(reply.endpoint());
    while reply.faults() == 0 {
        reply.tick(now()).unwrap();
        assert!(reply.next().unwrap().is_none());
        let until = reply.deadline().min(now() + SECOND);
        wait(reply.fd(), until);
    }
    assert!(raw::is_closed(&mut peer));
}
