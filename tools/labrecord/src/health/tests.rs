//! What is told of streams that come late, stop, and come again.

use libframe::payload::Reason;
use libframe::wire::Header;

use super::*;

struct Bench {
    health: Health,
    next: u64,
}

impl Bench {
    fn new() -> Bench {
        Bench { health: Health::default(), next: 0 }
    }

    fn send(&mut self, kind: Kind, stream: u16, payload: &[u8], now: i64) {
        let seq = self.next;
        let header =
            Header { kind, flags: 0, stream, session: 7, seq, time: now, sent: now };
        self.health.take(&Record::new(header, payload), now);
    }

    fn announce(&mut self, stream: u16, name: &str, rate: Option<f64>, now: i64) {
        let meta = [("lsl.hostname".to_owned(), "rig".to_owned())].into();
        let stream_of = Stream { name: name.into(), rate, meta, ..Stream::default() };
        self.send(Kind::STREAM, stream, &stream_of.to_bytes(), now);
    }

    fn sample(&mut self, now: i64) {
        self.send(Kind::DATA, 1, b"abcd", now);
        self.next += 1;
    }

    fn news(&mut self, now: i64) -> Vec<String> {
        self.health.look(now);
        self.health.news()
    }
}

#[test]
fn a_stream_that_stops_is_told_once_and_again_when_it_comes_back() {
    let mut bench = Bench::new();
    bench.announce(1, "EEG", Some(100.0), 0);
    for at in 0..200 {
        bench.sample(at * SECOND / 100);
    }
    assert!(bench.news(2 * SECOND).is_empty());
    assert!(bench.news(4 * SECOND).is_empty());
    assert_eq!(bench.news(5 * SECOND), ["EEG (rig): no samples for 3.0 s"]);
    assert!(bench.news(9 * SECOND).is_empty());
    bench.sample(10 * SECOND);
    assert_eq!(bench.news(10 * SECOND), ["EEG (rig): samples come again, after 8.0 s"]);
    assert_eq!(bench.health.totals(), (1, 201, bench.health.bytes, 0));
}

#[test]
fn a_stream_without_data_and_one_that_comes_late_are_told() {
    let mut bench = Bench::new();
    bench.send(Kind::SESSION, 0, b"", 0);
    assert!(bench.news(SECOND).is_empty() && bench.health.began().is_none());
    bench.announce(4, "first", None, 2 * SECOND);
    bench.announce(1, "EEG", Some(100.0), 7 * SECOND);
    assert_eq!(bench.news(7 * SECOND), ["EEG (rig): joined 5.0 s after the start"]);
    let told = bench.news(11 * SECOND);
    assert_eq!(told, ["EEG (rig): no sample yet, 4.0 s after it joined"]);
    // Ten samples of a slow one take longer, and nobody expects a button to be pressed.
    bench.announce(2, "slow", Some(0.1), 11 * SECOND);
    bench.announce(3, "button", None, 11 * SECOND);
    bench.health.news();
    assert!(bench.news(90 * SECOND).is_empty());
    assert_eq!(bench.news(111 * SECOND).len(), 1);
}

#[test]
fn what_the_source_says_and_what_it_lost_is_told() {
    let mut bench = Bench::new();
    bench.announce(1, "EEG", Some(100.0), 0);
    bench.sample(0);
    let event =
        |label: &str| Event { label: label.into(), ..Event::default() }.to_bytes();
    bench.send(Kind::EVENT, 1, &event("lost"), SECOND);
    bench.send(Kind::EVENT, 1, &event("lost"), SECOND);
    assert_eq!(bench.news(9 * SECOND), ["EEG (rig): its source is gone"]);
    assert_eq!(bench.health.json(9 * SECOND)[0]["state"], "lost");
    let gap =
        Gap { first: 1, count: Some(5), reason: Reason::Transport, ..Gap::default() };
    bench.send(Kind::GAP, 1, &gap.to_bytes(), 9 * SECOND);
    assert_eq!(bench.news(9 * SECOND), ["EEG (rig): 5 samples lost: transport"]);
    bench.next = 6;
    bench.sample(10 * SECOND);
    assert_eq!(bench.health.totals().3, 5);
    let told = bench.news(10 * SECOND);
    assert_eq!(told, ["EEG (rig): samples come again, after 10.0 s"]);
    let shown = bench.health.json(10 * SECOND);
    assert_eq!((&shown[0]["samples"], &shown[0]["lost"]), (&2.into(), &5.into()));
    assert_eq!(bench.health.end(), None);
    let end = End { reason: "signal".into(), ..End::default() };
    bench.send(Kind::END, 0, &end.to_bytes(), 11 * SECOND);
    assert_eq!(bench.health.end(), Some("signal"));
}

#[test]
fn rates_are_of_the_last_seconds() {
    let mut bench = Bench::new();
    bench.announce(1, "EEG", Some(50.0), 0);
    for second in 0..10 {
        for n in 0..if second < 4 { 100 } else { 50 } {
            bench.sample(second * SECOND + n);
        }
        bench.news((second + 1) * SECOND);
    }
    assert_eq!(bench.health.json(10 * SECOND)[0]["rate"], 50.0);
}
