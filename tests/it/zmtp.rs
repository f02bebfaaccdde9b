//! libframe-zmtp meets libzmq: each socket of one with the socket of the other that is its
//! counterpart, also when one of them is killed, stopped, or slow.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use framepipe_tests::{Scratch, root};
use libframe::clock::{Clock, SECOND};
use rustix::process::{Pid, Signal, kill_process};

/// A process that says line by line what happens to its socket.
pub(crate) struct Peer {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Peer {
    pub(crate) fn start(mut command: Command) -> Peer {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        Peer { child, stdin, stdout: BufReader::new(stdout) }
    }

    /// One of ours.
    fn ours(line: &str) -> Peer {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zmtp-peer"));
        command.args(line.split(' '));
        Peer::start(command)
    }

    /// One of libzmq; `None`, loudly, without it.
    pub(crate) fn python(script: &str, line: &str) -> Option<Peer> {
        let python = root().join(".venv/bin/python");
        let mut probe = Command::new(&python);
        let found = probe.args(["-c", "import zmq"]).stderr(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            eprintln!("skipped: no .venv with pyzmq; run scripts/setup");
            return None;
        }
        let mut command = Command::new(python);
        command.arg(root().join("tests/python").join(script)).args(line.split(' '));
        Some(Peer::start(command))
    }

    fn theirs(line: &str) -> Option<Peer> {
        Peer::python("zmq_peer.py", line)
    }

    /// The next line that begins so, without that.
    #[track_caller]
    pub(crate) fn until(&mut self, begins: &str) -> String {
        let mut before = String::new();
        loop {
            let mut line = String::new();
            let n = self.stdout.read_line(&mut line).unwrap();
            assert!(n > 0, "no line begins with {begins:?} in:\n{before}");
            if let Some(rest) = line.strip_prefix(begins) {
                return rest.trim().to_owned();
            }
            before += &line;
        }
    }

    fn go(&mut self) {
        writeln!(self.stdin.as_mut().unwrap()).unwrap();
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn now() -> i64 {
    Clock::system().now()
}

/// The number behind a word.
#[track_caller]
fn number(text: &str, word: &str) -> u64 {
    let rest = text.split(word).nth(1).unwrap_or_else(|| panic!("no {word:?}: {text}"));
    let digits = rest.trim_start_matches([' ', ':']).split(|c: char| !c.is_ascii_digit());
    digits.clone().next().unwrap().parse().unwrap()
}

/// A place for a socket of each transport.
fn places(folder: &Scratch) -> [String; 2] {
    [format!("ipc://{}", folder.file("s")), "tcp://127.0.0.1:*".into()]
}

#[test]
fn libzmq_subscribes_to_us_and_gets_everything() {
    let folder = Scratch::new();
    for place in places(&folder) {
        let mut publisher = Peer::ours(&format!(
            "pub {place} -n 50000 --hwm 0 --rate 100000 --linger 30"
        ));
        let place = publisher.until("bound ");
        let Some(mut subscriber) = Peer::theirs(&format!("sub {place} 50000")) else {
            return;
        };
        assert_eq!(subscriber.until("received"), "50000 missing 0");
        let done = publisher.until("done");
        assert!(done.contains("dropped: 0") && done.contains("faults: 0"), "{done}");
        assert!(done.contains("Unread { messages: 0, subscribers: 0 }"), "{done}");
    }
}

#[test]
fn we_subscribe_to_libzmq_and_get_everything() {
    let folder = Scratch::new();
    for place in places(&folder) {
        let Some(mut publisher) = Peer::theirs(&format!("pub {place} 50000")) else {
            return;
        };
        let place = publisher.until("ready");
        let mut subscriber = Peer::ours(&format!("sub {place} -n 50000 --prefix DATA"));
        subscriber.until("connected");
        std::thread::sleep(Duration::from_millis(300));
        publisher.go();
        let done = subscriber.until("done");
        assert!(
            done.contains("missing 0,") && done.contains("messages: 50000"),
            "{done}"
        );
    }
}

#[test]
fn what_a_slow_subscriber_of_libzmq_loses_is_what_we_count() {
    let line = "pub tcp://127.0.0.1:* -n 20000 --hwm 1000 --size 20000 --linger 20";
    let mut publisher = Peer::ours(line);
    let place = publisher.until("bound ");
    let slow = format!("sub {place} 20000 hwm=500 pause=2");
    let Some(mut subscriber) = Peer::theirs(&slow) else { return };
    let done = publisher.until("done");
    let received =
        number(&format!("received {}", subscriber.until("received")), "received");
    let dropped = number(&done, "dropped");
    assert!(dropped > 5000, "{done}");
    assert_eq!(received + dropped, 20000, "{done}");
}

#[test]
fn a_publisher_of_libzmq_that_was_killed_is_found_again_within_a_second() {
    let Some(mut publisher) = Peer::theirs("pub tcp://127.0.0.1:* 100000 rate=500")
    else {
        return;
    };
    let place = publisher.until("ready");
    let mut subscriber = Peer::ours(&format!("sub {place} -n 100000"));
    subscriber.until("gap");
    publisher.signal(Signal::KILL);
    subscriber.until("lost");
    subscriber.until("failed Connection refused");
    let again = format!("pub {place} 100000 rate=500");
    let mut publisher = Peer::theirs(&again).unwrap();
    publisher.until("ready");
    let began = now();
    subscriber.until("connected");
    assert!(now() - began < SECOND, "{} ms", (now() - began) / 1_000_000);
    subscriber.until("gap");
}

#[test]
fn a_publisher_of_libzmq_that_stands_still_is_given_up_and_found_again() {
    let Some(mut publisher) = Peer::theirs("pub tcp://127.0.0.1:* 100000 rate=500")
    else {
        return;
    };
    let place = publisher.until("ready");
    let mut subscriber = Peer::ours(&format!("sub {place} -n 2000"));
    subscriber.until("connected");
    publisher.signal(Signal::STOP);
    subscriber.until("lost the peer is silent");
    publisher.signal(Signal::CONT);
    subscriber.until("connected");
    let done = subscriber.until("done");
    assert_eq!((number(&done, "connects"), number(&done, "losses")), (2, 1), "{done}");
}

#[test]
fn a_publisher_of_ours_that_was_killed_is_found_again_by_libzmq() {
    let line = "-n 100000 --rate 500";
    let mut publisher = Peer::ours(&format!("pub tcp://127.0.0.1:* {line}"));
    let place = publisher.until("bound ");
    let Some(mut subscriber) = Peer::theirs(&format!("sub {place} 100000")) else {
        return;
    };
    subscriber.until("first");
    std::thread::sleep(Duration::from_millis(300));
    publisher.signal(Signal::KILL);
    drop(publisher);
    let mut publisher = Peer::ours(&format!("pub {place} {line}"));
    publisher.until("bound ");
    subscriber.until("again");
}

#[test]
fn a_subscriber_of_libzmq_that_was_killed_is_forgotten() {
    let line = "pub tcp://127.0.0.1:* -n 1500 --rate 1000 --size 100000 --linger 5";
    let mut publisher = Peer::ours(line);
    let place = publisher.until("bound ");
    let Some(mut subscriber) = Peer::theirs(&format!("sub {place} 100000")) else {
        return;
    };
    subscriber.until("first");
    subscriber.signal(Signal::KILL);
    let done = publisher.until("done");
    assert!(done.contains("dropped: 0") && done.contains("subscribers: 0"), "{done}");
}

#[test]
fn questions_and_answers_go_both_ways() {
    let folder = Scratch::new();
    for place in places(&folder) {
        let mut reply = Peer::ours(&format!("rep {place} -n 2000"));
        let bound = reply.until("bound ");
        let Some(mut request) = Peer::theirs(&format!("req {bound} 2000")) else {
            return;
        };
        assert_eq!(request.until("answered"), "2000");
        assert_eq!(reply.until("done"), "2000 answered, 0 faults");

        let mut reply = Peer::theirs(&format!("rep {place} 2000")).unwrap();
        let bound = reply.until("ready");
        let mut request = Peer::ours(&format!("req {bound} -n 2000"));
        assert_eq!(request.until("done"), "2000 asked, 2000 answered");
        assert_eq!(reply.until("answered"), "2000");
    }
}

#[test]
fn a_request_that_libzmq_left_unanswered_is_asked_again() {
    let Some(mut reply) = Peer::theirs("rep tcp://127.0.0.1:* 1") else { return };
    let place = reply.until("ready");
    let mut request = Peer::ours(&format!("req {place} -n 2"));
    request.until("answer heard question 0");
    // It has answered one and is gone; its successor answers the next.
    reply.until("answered");
    drop(reply);
    let mut reply = Peer::theirs(&format!("rep {place} 1")).unwrap();
    reply.until("ready");
    request.until("answer heard question");
}

#[test]
fn publishers_of_libzmq_that_ask_for_a_password_are_told_by_name() {
    for (security, name) in [("plain", "PLAIN"), ("curve", "CURVE")] {
        let line = format!("pub tcp://127.0.0.1:* security={security}");
        let Some(mut publisher) = Peer::theirs(&line) else { return };
        let place = publisher.until("ready");
        let mut subscriber = Peer::ours(&format!("sub {place} --seconds 10"));
        let why = subscriber.until("failed");
        assert!(why.contains(&format!("security mechanism \"{name}\"")), "{why}");
    }
}
