//! Sockets meet each other, and peers that do what no good peer does.

#![allow(clippy::unwrap_used, reason = "an unwrap that fails is a test that fails")]

mod publishers;
mod raw;
mod requests;
mod subscribers;

use std::os::fd::BorrowedFd;

use libframe::clock::{Clock, SECOND};
use libframe_zmtp::{Endpoint, Incoming, Limits, Subscriber};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Longer than anything takes on a machine that is not stuck.
const LONG: i64 = 30 * SECOND;

fn now() -> i64 {
    Clock::system().now()
}

fn anywhere() -> Endpoint {
    "tcp://127.0.0.1:*".parse().unwrap()
}

fn wait(fd: BorrowedFd<'_>, until: i64) {
    let left = (until - now()).clamp(0, SECOND);
    let timeout = Timespec { tv_sec: left / SECOND, tv_nsec: left % SECOND };
    poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&timeout)).unwrap();
}

/// Does something meanwhile.
fn meanwhile<T: Send + 'static>(
    does: impl FnOnce() -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    std::thread::Builder::new().name("peer".into()).spawn(does).unwrap()
}

/// Waits until something is so.
#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let latest = now() + LONG;
    while !is_so() {
        assert!(now() < latest, "never: {what}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn subscriber(endpoint: &Endpoint, prefixes: &[&[u8]]) -> Subscriber {
    Subscriber::with_prefixes(endpoint.clone(), Limits::default(), prefixes).unwrap()
}

/// What a subscriber saw, as text: messages are joined with a plus.
fn seen(incoming: &Incoming<'_>) -> String {
    match incoming {
        Incoming::Connected => "connected".into(),
        Incoming::Lost { why } => format!("lost: {why}"),
        Incoming::Failed { why } => format!("failed: {why}"),
        Incoming::Message(parts) => {
            let texts: Vec<_> = parts.iter().map(String::from_utf8_lossy).collect();
            texts.join("+")
        }
    }
}

/// Lets a subscriber run until it has seen so many things, or nothing for `patience`.
fn run(subscriber: &mut Subscriber, wanted: usize, patience: i64) -> Vec<String> {
    let (mut all, mut latest) = (Vec::new(), now() + patience);
    while all.len() < wanted && now() < latest {
        subscriber.tick(now()).unwrap();
        while all.len() < wanted {
            let Some(incoming) = subscriber.next().unwrap() else { break };
            all.push(seen(&incoming));
            latest = now() + patience;
        }
        if all.len() < wanted {
            wait(subscriber.fd(), subscriber.deadline().min(latest));
        }
    }
    all
}
