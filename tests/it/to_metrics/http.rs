//! An HTTP client that can also be as bad as clients are.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use framepipe_tests::Started;
use libframe::clock::{Clock, SECOND};

/// For how long something is waited for.
const PATIENCE: i64 = 30 * SECOND;

/// Waits until something holds.
#[track_caller]
pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Clock::system().now();
    while !holds() {
        assert!(Clock::system().now() - began < PATIENCE, "never: {what}");
        sleep(Duration::from_millis(10));
    }
}

/// Where the tool listens, once it does.
pub(super) fn address(started: &Started) -> String {
    let file = started.scratch().file("port");
    until("an address in the port file", || fs::exists(&file).unwrap());
    fs::read_to_string(&file).unwrap().trim().to_owned()
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

pub(super) fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends bytes and reads all that comes until the other side closes.
pub(super) fn talk(address: &str, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    // Who is told off in the middle of a word may find the line dead.
    drop(stream.write_all(bytes));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// One request, after which the connection is closed.
pub(super) fn ask(address: &str, request: &str, more: &str) -> Reply {
    let text =
        format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n");
    reply(&talk(address, text.as_bytes()))
}

pub(super) fn reply(answer: &str) -> Reply {
    let (head, body) =
        answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no reply: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, head: head.into(), body: body.into() }
}

/// Reads one reply from a connection that stays open.
pub(super) fn read_reply(stream: &mut TcpStream) -> Reply {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    reply(&(head + &String::from_utf8(body).unwrap()))
}

/// The samples of a page, by what is before their values.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) text: String,
    pub(super) samples: BTreeMap<String, f64>,
}

impl Page {
    pub(super) fn read(text: &str) -> Page {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.map(|line| {
            let (name, value) =
                line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line:?}")))
        });
        Page { text: text.into(), samples: samples.collect() }
    }

    pub(super) fn get(&self, name: &str) -> Option<f64> {
        self.samples.get(name).copied()
    }

    #[track_caller]
    pub(super) fn expect(&self, name: &str, value: f64) -> &Page {
        assert_eq!(self.get(name), Some(value), "{name}\n{}", self.text);
        self
    }

    /// The sum of all samples of a name.
    pub(super) fn sum(&self, name: &str) -> f64 {
        self.all(name).map(|(_, value)| value).sum()
    }

    /// All samples of a name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = (&str, f64)> {
        let name = name.to_owned();
        let of_name = move |text: &str| text.split('{').next() == Some(name.as_str());
        let samples = self.samples.iter().map(|(text, value)| (text.as_str(), *value));
        samples.filter(move |(text, _)| of_name(text))
    }
}

pub(super) fn scrape(address: &str) -> Page {
    let reply = ask(address, "GET /metrics", "");
    assert_eq!(reply.status, 200, "{}", reply.head);
    Page::read(&reply.body)
}

/// Scrapes until a sample has a value.
#[track_caller]
pub(super) fn scrape_until(address: &str, name: &str, value: f64) -> Page {
    let mut page = Page::default();
    let began = Clock::system().now();
    while page.get(name) != Some(value) {
        let late = Clock::system().now() - began > PATIENCE;
        assert!(!late, "{name} never was {value}\n{}", page.text);
        page = scrape(address);
    }
    page
}
