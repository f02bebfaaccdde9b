//! Who reads an outlet, and how far each has got. No I/O.
//!
//! liblsl keeps what a consumer has not taken in a queue of its own, overwrites the oldest
//! when that is full, and tells nobody. But each sample is written to the consumer's
//! connection whole, after a greeting of known length, and the kernel tells how many bytes
//! were. What was pushed and not written is therefore waiting, or was there before the
//! consumer came, or is lost:
//!
//! ```text
//! pushed − written = before it came + lost + waiting
//! ```
//!
//! What was pushed before it came is known exactly if nothing was between two looks of which
//! only the second saw it, and else as soon as its queue was empty. A queue is empty if all
//! that was written is acknowledged and the difference stays as it is: with anything left,
//! liblsl would write. If it is empty and the difference has grown, that much was lost.

use std::net::SocketAddr;

use crate::sockets::Connection;

/// So long must nothing change before a queue is taken for empty, ns.
const CALM: i64 = 20_000_000;
/// And so long where more depends on it, as a thread of liblsl may have had no turn for a
/// while: before samples are told lost, and before a latecomer is taken to have all.
const VERY_CALM: i64 = 250_000_000;

/// Who reads an outlet.
#[derive(Debug)]
pub struct Consumers {
    /// Bytes that come before the first sample.
    greeting: u64,
    /// All that was pushed until now.
    samples: u64,
    bytes: u64,
    /// What had been at the last look.
    bytes_at_look: u64,
    each: Vec<Consumer>,
    /// Bytes that were overwritten for consumers that have gone since.
    lost_of_gone: u64,
    /// Bytes that were on their way to consumers when they went.
    left: u64,
}

/// One that reads an outlet.
#[derive(Debug)]
pub struct Consumer {
    id: u64,
    /// Where it is.
    pub peer: SocketAddr,
    /// Bytes of samples that were written to its connection, and those not acknowledged.
    written: u64,
    waiting: u64,
    /// Bytes pushed before it came: at least, and at most.
    before_least: u64,
    before_most: u64,
    /// Whether that was seen, and not only concluded.
    was_seen: bool,
    /// Bytes of those after it came that were overwritten.
    lost: u64,
    /// `pushed − written` when it was seen last, and since when it is that.
    behind: u64,
    since: i64,
    /// When it has last taken something, or had taken all.
    progress: i64,
    /// It takes nothing, and is not waited for.
    is_given_up: bool,
}

/// What a look at the connections told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A consumer has come.
    Came(SocketAddr),
    /// One has gone, and left so many samples unread.
    Gone(SocketAddr, u64),
    /// About so many samples were overwritten before a consumer took them.
    Lost(SocketAddr, u64),
}

impl Consumers {
    /// Nobody yet. `greeting` is how many bytes come before the first sample.
    pub fn new(greeting: u64) -> Consumers {
        Consumers {
            greeting,
            samples: 0,
            bytes: 0,
            bytes_at_look: 0,
            each: Vec::new(),
            lost_of_gone: 0,
            left: 0,
        }
    }

    /// So many samples were pushed, of so many bytes as they are written.
    pub(crate) fn push(&mut self, samples: u64, bytes: u64) {
        self.samples += samples;
        self.bytes += bytes;
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.each.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// Samples pushed until now.
    pub fn pushed(&self) -> u64 {
        self.samples
    }

    /// Learns what the kernel says of the connections.
    pub(crate) fn look<'a>(
        &mut self,
        connections: impl Iterator<Item = &'a Connection> + Clone,
        now: i64,
        mut told: impl FnMut(Change),
    ) {
        let is_there = |one: &Consumer| connections.clone().any(|c| c.id == one.id);
        let gone: Vec<Consumer> =
            self.each.extract_if(.., |one| !is_there(one)).collect();
        for one in gone {
            self.lost_of_gone += one.lost;
            let unread = one.unread(self.bytes);
            self.left += unread;
            told(Change::Gone(one.peer, self.in_samples(unread)));
        }
        for connection in connections {
            // Who asks only what the stream is gets less than this.
            let Some(written) = connection.written.checked_sub(self.greeting) else {
                continue;
            };
            let behind = self.bytes.saturating_sub(written);
            let at = self.each.iter().position(|one| one.id == connection.id);
            let at = at.unwrap_or_else(|| {
                told(Change::Came(connection.peer));
                self.each.push(Consumer {
                    id: connection.id,
                    peer: connection.peer,
                    written,
                    waiting: connection.waiting,
                    before_least: self.bytes_at_look.min(behind),
                    before_most: behind,
                    was_seen: self.bytes_at_look >= behind,
                    lost: 0,
                    behind,
                    since: now,
                    progress: now,
                    is_given_up: false,
                });
                self.each.len() - 1
            });
            let lost_before = self.each[at].lost;
            self.each[at].see(written, connection.waiting, behind, now);
            let more = self.each[at].lost.saturating_sub(lost_before);
            if more > 0 {
                told(Change::Lost(connection.peer, self.in_samples(more).max(1)));
            }
        }
        self.bytes_at_look = self.bytes;
    }

    /// Bytes that may wait in liblsl's queue for the slowest that is waited for: those that
    /// did at the last look, and all that was pushed since.
    pub fn queued(&self) -> u64 {
        let heeded = self.each.iter().filter(|one| !one.is_given_up);
        let then = heeded.map(Consumer::queued).max().unwrap_or(0);
        then + (self.bytes - self.bytes_at_look)
    }

    /// Bytes that wait for the slowest of all, in the queue or on the way.
    pub fn waiting(&self) -> u64 {
        let unread = self.each.iter().map(|one| one.unread(self.bytes));
        unread.max().unwrap_or(0)
    }

    /// Gives up those that have taken nothing since `then` although something waits, and
    /// tells of each.
    pub fn give_up(&mut self, then: i64, mut told: impl FnMut(SocketAddr)) {
        for one in &mut self.each {
            if !one.is_given_up && one.progress < then && one.queued() + one.waiting > 0 {
                one.is_given_up = true;
                told(one.peer);
            }
        }
    }

    /// Whether each that is waited for has taken all there is.
    pub fn have_all(&self, now: i64) -> bool {
        let mut heeded = self.each.iter().filter(|one| !one.is_given_up);
        let is_sure = |one: &Consumer| one.was_seen || now - one.since >= VERY_CALM;
        heeded.all(|one| one.unread(self.bytes) == 0 && is_sure(one))
    }

    /// How many have not taken all, and how many samples they all have not.
    pub fn unread(&self) -> (usize, u64) {
        let unread = self.each.iter().map(|one| one.unread(self.bytes));
        let unread = unread.filter(|bytes| *bytes > 0);
        let (n, bytes) = unread.fold((0, 0), |(n, sum), bytes| (n + 1, sum + bytes));
        (n, self.in_samples(bytes))
    }

    /// Samples that were overwritten before they were taken, of all consumers.
    pub fn overwritten(&self) -> u64 {
        let lost: u64 = self.each.iter().map(|one| one.lost).sum();
        self.in_samples(lost + self.lost_of_gone)
    }

    /// Samples that consumers left behind when they went.
    pub fn left(&self) -> u64 {
        self.in_samples(self.left)
    }

    /// Exact for numbers, where all samples are of one size.
    fn in_samples(&self, bytes: u64) -> u64 {
        let product = u128::from(bytes) * u128::from(self.samples);
        u64::try_from(product.div_ceil(u128::from(self.bytes.max(1)))).unwrap_or(u64::MAX)
    }
}

impl Consumer {
    fn see(&mut self, written: u64, waiting: u64, behind: u64, now: i64) {
        if written > self.written || waiting < self.waiting {
            self.progress = now;
        }
        if behind != self.behind {
            self.since = now;
        }
        (self.written, self.waiting, self.behind) = (written, waiting, behind);
        self.before_most = self.before_most.min(behind);
        self.before_least = self.before_least.min(behind);
        // It was taken for lost, and only late.
        self.lost = self.lost.min(behind.saturating_sub(self.before_least));
        if waiting > 0 || now - self.since < CALM {
            return;
        }
        // Its queue is empty.
        if self.before_least < self.before_most && self.lost == 0 {
            self.before_least = self.before_most;
        }
        let lost = behind - self.before_least;
        if lost == 0 || lost == self.lost || now - self.since >= VERY_CALM {
            self.lost = lost;
            self.progress = now;
            self.is_given_up = false;
        }
    }

    /// What may wait for it in liblsl's queue.
    fn queued(&self) -> u64 {
        self.behind.saturating_sub(self.before_least + self.lost)
    }

    /// The same, with what is on its way, when so much was pushed.
    fn unread(&self, pushed: u64) -> u64 {
        let written = self.before_least + self.lost + self.written;
        pushed.saturating_sub(written) + self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREETING: u64 = 100;
    const MS: i64 = 1_000_000;

    struct Scene {
        consumers: Consumers,
        now: i64,
    }

    fn scene() -> Scene {
        Scene { consumers: Consumers::new(GREETING), now: 0 }
    }

    impl Scene {
        /// A look after so many ms at connections of (id, bytes of samples, waiting).
        fn look(&mut self, ms: i64, each: &[(u64, u64, u64)]) -> Vec<Change> {
            self.now += ms * MS;
            let connections: Vec<_> = each
                .iter()
                .map(|(id, written, waiting)| Connection {
                    id: *id,
                    port: 1,
                    peer: peer(*id),
                    written: GREETING + written,
                    waiting: *waiting,
                })
                .collect();
            let mut told = Vec::new();
            self.consumers.look(connections.iter(), self.now, |change| told.push(change));
            told
        }
    }

    fn peer(id: u64) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], id as u16))
    }

    #[test]
    fn one_that_came_before_the_first_sample_has_all_when_all_is_acknowledged() {
        let mut scene = scene();
        scene.look(0, &[]);
        assert_eq!(scene.look(1, &[(1, 0, 0)]), [Change::Came(peer(1))]);
        scene.consumers.push(10, 400);
        scene.look(1, &[(1, 120, 80)]);
        assert_eq!(scene.consumers.unread(), (1, 9));
        assert_eq!(
            (scene.consumers.queued(), scene.consumers.have_all(scene.now)),
            (280, false)
        );
        scene.look(1, &[(1, 400, 40)]);
        assert!(!scene.consumers.have_all(scene.now));
        scene.look(1, &[(1, 400, 0)]);
        assert!(
            scene.consumers.have_all(scene.now) && scene.consumers.overwritten() == 0
        );
    }

    #[test]
    fn a_latecomer_is_not_owed_what_was_pushed_before() {
        let mut scene = scene();
        scene.consumers.push(10, 400);
        scene.look(0, &[]);
        // Between the looks more was pushed, and it cannot be told which of it is its.
        scene.consumers.push(10, 400);
        scene.look(1, &[(1, 120, 0)]);
        assert_eq!(
            (scene.consumers.queued(), scene.consumers.have_all(scene.now)),
            (280, false)
        );
        scene.look(1, &[(1, 240, 0)]);
        assert!(!scene.consumers.have_all(scene.now));
        scene.look(25, &[(1, 240, 0)]);
        assert_eq!(scene.consumers.queued(), 0, "its queue is empty");
        assert!(!scene.consumers.have_all(scene.now));
        scene.look(300, &[(1, 240, 0)]);
        assert!(scene.consumers.have_all(scene.now));
        scene.consumers.push(1, 40);
        assert_eq!(scene.consumers.unread(), (1, 1));
    }

    #[test]
    fn what_was_overwritten_is_told_when_the_queue_is_empty_and_never_twice() {
        let mut scene = scene();
        scene.look(0, &[(1, 0, 0)]);
        scene.consumers.push(100, 4000);
        scene.look(1, &[(1, 400, 400)]);
        // It reads again, and the queue, which held 50 samples, runs empty.
        scene.look(1, &[(1, 2400, 0)]);
        assert_eq!(scene.look(100, &[(1, 2400, 0)]), []);
        assert_eq!(scene.look(300, &[(1, 2400, 0)]), [Change::Lost(peer(1), 40)]);
        assert_eq!(scene.look(300, &[(1, 2400, 0)]), []);
        assert_eq!(
            (scene.consumers.overwritten(), scene.consumers.have_all(scene.now)),
            (40, true)
        );
        scene.consumers.push(1, 40);
        scene.look(1, &[(1, 2440, 0)]);
        assert!(scene.consumers.have_all(scene.now));
        // The thread only had no turn.
        scene.look(1, &[(1, 4040, 0)]);
        assert_eq!(scene.consumers.overwritten(), 0);
    }

    #[test]
    fn who_takes_nothing_is_given_up_until_it_has_caught_up() {
        let mut scene = scene();
        scene.look(0, &[(1, 0, 0), (2, 0, 0)]);
        scene.consumers.push(100, 4000);
        scene.look(1, &[(1, 4000, 0), (2, 400, 400)]);
        scene.look(1000, &[(1, 4000, 0), (2, 400, 400)]);
        let mut told = Vec::new();
        scene.consumers.give_up(scene.now - 500 * MS, |peer| told.push(peer));
        assert_eq!(told, [peer(2)]);
        assert_eq!(
            (scene.consumers.queued(), scene.consumers.have_all(scene.now)),
            (0, true)
        );
        assert_eq!(scene.consumers.unread(), (1, 100));
        scene.look(1, &[(1, 4000, 0), (2, 4000, 0)]);
        scene.look(25, &[(1, 4000, 0), (2, 4000, 0)]);
        scene.consumers.push(1, 40);
        scene.look(1, &[(1, 4040, 0), (2, 4000, 0)]);
        assert_eq!(scene.consumers.queued(), 40, "it is waited for again");
    }

    #[test]
    fn who_goes_leaves_what_it_has_not_read_and_who_asks_only_is_none() {
        let mut scene = scene();
        scene.look(0, &[(1, 0, 0)]);
        scene.consumers.push(10, 400);
        scene.look(1, &[(1, 200, 100)]);
        assert_eq!(scene.look(1, &[]), [Change::Gone(peer(1), 8)]);
        assert_eq!((scene.consumers.left(), scene.consumers.len()), (8, 0));
        let id = 9;
        let asks = Connection { id, port: 1, peer: peer(id), written: 99, waiting: 0 };
        scene.consumers.look([asks].iter(), 9, |change| panic!("{change:?}"));
        assert!(scene.consumers.is_empty());
    }
}
