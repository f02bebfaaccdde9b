//! The HTTP server: one thread, which waits for all clients at once and for none alone.
//!
//! By hand, since all it needs is a page or two. The small servers there are have a thread
//! for each connection and no limit of how long one may be silent.

use std::io::PipeWriter;
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use anyhow::Result;
use libframe::clock::{Clock, SECOND};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::board::Board;
use crate::client::{Client, Reply, Turn};
use crate::exposition::Dialect;
use crate::families::Instant;
use crate::render::{Serving, Style, render};
use crate::reply::{Answer, head};
use crate::request::{Method, Request};

/// Clients at once.
const MAX_CLIENTS: usize = 64;
/// How long a client is left alone although another waits for its place.
const GRACE: i64 = SECOND;
/// Pages that slow clients have not read yet may take this much together.
const MAX_UNREAD: usize = 8 << 20;
/// For how long a page is given to whoever asks: a crowd costs no more than one.
const FRESH: i64 = SECOND / 20;
/// How long replies that are under way may take when all is over.
const FAREWELL: i64 = SECOND / 2;

/// What the server is asked to do.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// What clients must know to see the figures.
    pub(crate) token: Option<Vec<u8>>,
    /// How long no samples may come until it is not healthy, ns.
    pub(crate) stale: i64,
    /// Buckets of an octave.
    pub(crate) buckets: usize,
}

/// The server's thread.
#[derive(Debug)]
pub(crate) struct Server {
    thread: Option<JoinHandle<()>>,
    /// Closed when it must end.
    alive: Option<PipeWriter>,
}

impl Server {
    pub(crate) fn start(
        listener: TcpListener,
        setting: Setting,
        board: &Arc<Board>,
        clock: &Clock,
    ) -> Result<Server> {
        let (ended, alive) = std::io::pipe()?;
        let mut desk = Desk {
            listener,
            setting,
            board: Arc::clone(board),
            clock: clock.clone(),
            clients: Vec::new(),
            serving: Serving::default(),
            pages: [None, None],
            paused: 0,
        };
        let body = move || {
            if let Err(err) = desk.serve(&ended) {
                desk.board.complain(format!("the HTTP server has ended: {err}"));
            }
        };
        let thread = Builder::new().name("http".into()).spawn(body)?;
        Ok(Server { thread: Some(thread), alive: Some(alive) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.alive.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// A page that was made.
#[derive(Clone, Debug)]
struct Made {
    at: i64,
    text: Arc<Vec<u8>>,
    is_last: bool,
}

struct Desk {
    listener: TcpListener,
    setting: Setting,
    board: Arc<Board>,
    clock: Clock,
    clients: Vec<Client>,
    serving: Serving,
    /// The newest page in each dialect.
    pages: [Option<Made>; 2],
    /// Until when nobody is let in: the system has no more descriptors.
    paused: i64,
}

impl Desk {
    fn serve(&mut self, ended: &std::io::PipeReader) -> std::io::Result<()> {
        let mut until = i64::MAX;
        loop {
            let now = self.clock.now();
            let over = until != i64::MAX;
            if over && (now >= until || !self.clients.iter().any(Client::is_replied_to)) {
                return Ok(());
            }
            let (hears, deadline) = (!over && self.has_room(now), self.deadline(now));
            let mut fds = Vec::with_capacity(2 + self.clients.len());
            // The other end hangs up once, and would then be heard for ever.
            let alive = if over { self.listener.as_fd() } else { ended.as_fd() };
            fds.push(PollFd::from_borrowed_fd(alive, waits(!over)));
            fds.push(PollFd::new(&self.listener, waits(hears)));
            let wanted = self.clients.iter().map(|c| PollFd::new(&c.stream, c.wants()));
            fds.extend(wanted);
            wait(&mut fds, deadline.min(until).saturating_sub(now))?;
            let ready: Vec<bool> =
                fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            let now = self.clock.now();
            for (at, _) in ready.iter().skip(2).enumerate().filter(|(_, ready)| **ready) {
                self.turn(at, now);
            }
            self.close_the_late(now);
            if hears && ready[1] {
                self.accept(now);
            }
            if !over && ready[0] {
                until = now + FAREWELL;
            }
        }
    }

    /// Lets a client do what it can, and answers what it asks.
    fn turn(&mut self, at: usize, now: i64) {
        let mut turn = self.clients[at].turn(now);
        loop {
            let reply = match turn {
                Turn::Wait => return,
                Turn::Sent(is_last) => {
                    if is_last {
                        self.board.is_seen();
                    }
                    turn = self.clients[at].pipelined();
                    continue;
                }
                Turn::Wrong(status) => {
                    self.reply(Answer::error(status), None, false, Method::Get)
                }
                Turn::Request(request) => self.answer(&request, now),
            };
            turn = self.clients[at].reply(reply, now);
        }
    }

    fn answer(&mut self, request: &Request, now: i64) -> Reply {
        let (keep, method) = (request.keep, request.method);
        let mut page = None;
        let answer = match (method, request.path.as_str()) {
            (Method::Other, _) => Answer::error(405),
            (_, "/healthz") => self.health(now),
            _ if !self.knows(request) => Answer::error(401),
            (_, "/metrics") if self.is_overrun() => Answer::error(503),
            (_, "/metrics") => {
                page = Some(self.page(request.dialect, now));
                Answer::page(request.dialect)
            }
            (_, "/") => Answer::index(),
            _ => Answer::error(404),
        };
        self.reply(answer, page, keep && method != Method::Other, method)
    }

    fn reply(
        &mut self,
        mut answer: Answer,
        page: Option<Made>,
        keep: bool,
        method: Method,
    ) -> Reply {
        self.count(answer.status);
        let is_last = page.as_ref().is_some_and(|page| page.is_last);
        let body = match page {
            Some(page) => page.text,
            None => Arc::new(std::mem::take(&mut answer.body)),
        };
        let head = head(&answer, body.len(), keep);
        let silent = method == Method::Head;
        let body = if silent { Arc::default() } else { body };
        Reply { head, body, keep, is_last: is_last && !silent, sent: 0 }
    }

    /// Whether the client may see the figures. Compared without telling by the time it takes
    /// how much of the token was right.
    fn knows(&self, request: &Request) -> bool {
        let Some(token) = &self.setting.token else { return true };
        let given = request.token.as_deref().unwrap_or_default();
        let differ = given.iter().zip(token).fold(0, |sum, (a, b)| sum | (a ^ b));
        given.len() == token.len() && std::hint::black_box(differ) == 0
    }

    fn health(&self, now: i64) -> Answer {
        let figures = self.board.figures();
        let silent = now.saturating_sub(figures.arrived);
        let seconds = silent as f64 / SECOND as f64;
        if figures.is_over {
            Answer::text(503, "the pipe has ended")
        } else if silent > self.setting.stale {
            Answer::text(503, &format!("no samples for {seconds:.1} s"))
        } else {
            Answer::text(200, "ok")
        }
    }

    /// The page: the newest one if it is fresh, else a new one.
    fn page(&mut self, dialect: Dialect, now: i64) -> Made {
        let at = usize::from(dialect == Dialect::OpenMetrics);
        let figures = self.board.figures();
        let old = self.pages[at].take();
        if let Some(page) = &old
            && now - page.at < FRESH
            && page.is_last == figures.is_over
        {
            self.pages[at].clone_from(&old);
            return page.clone();
        }
        let room = old.map_or(0, |page| page.text.len() + page.text.len() / 16);
        let reading = self.clock.reading();
        let realtime = reading.realtime.unwrap_or_default();
        let instant = Instant { monotonic: reading.monotonic, realtime };
        let style = Style { dialect, buckets: self.setting.buckets };
        self.serving.connections = self.clients.len();
        let text = render(&figures, style, instant, Some(&self.serving), room);
        self.serving.render = self.clock.now() - reading.monotonic;
        let text = Arc::new(text.into_bytes());
        let made = Made { at: now, text, is_last: figures.is_over };
        self.pages[at] = Some(made.clone());
        made
    }

    /// Whether clients leave too much unread.
    fn is_overrun(&self) -> bool {
        let mut pages: Vec<_> = self.clients.iter().filter_map(Client::page).collect();
        pages.sort_by_key(|page| Arc::as_ptr(page));
        pages.dedup_by_key(|page| Arc::as_ptr(page));
        pages.iter().map(|page| page.len()).sum::<usize>() > MAX_UNREAD
    }

    fn count(&mut self, status: u16) {
        let requests = &mut self.serving.requests;
        match requests.binary_search_by_key(&status, |(code, _)| *code) {
            Ok(at) => requests[at].1 += 1,
            Err(at) => requests.insert(at, (status, 1)),
        }
    }

    /// Whether a client can be let in: there is a place, or somebody idle will make one.
    fn has_room(&self, now: i64) -> bool {
        let full = self.clients.len() >= MAX_CLIENTS;
        now >= self.paused && (!full || self.longest_idle(now).is_some())
    }

    /// Who has been idle for longest, and long enough to be sent away.
    fn longest_idle(&self, now: i64) -> Option<usize> {
        let idle = self.clients.iter().enumerate();
        let idle = idle.filter_map(|(at, client)| Some((client.idle_since()?, at)));
        idle.filter(|(since, _)| now - since >= GRACE).min().map(|(_, at)| at)
    }

    fn accept(&mut self, now: i64) {
        while self.has_room(now) {
            let Ok((stream, _)) = self.accepted(now) else { return };
            if self.clients.len() >= MAX_CLIENTS
                && let Some(at) = self.longest_idle(now)
            {
                self.clients.remove(at);
                self.serving.evictions += 1;
            }
            let ready =
                stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true));
            if ready.is_ok() {
                self.clients.push(Client::new(stream, now));
            }
        }
    }

    fn accepted(
        &mut self,
        now: i64,
    ) -> std::io::Result<(std::net::TcpStream, std::net::SocketAddr)> {
        let accepted = self.listener.accept();
        if let Err(err) = &accepted
            && err.kind() != std::io::ErrorKind::WouldBlock
        {
            // Without a descriptor for it the client stays at the door, and poll would
            // return at once, again and again.
            self.paused = now + SECOND / 10;
        }
        accepted
    }

    fn close_the_late(&mut self, now: i64) {
        let before = self.clients.len();
        self.clients.retain(|client| !client.is_closed());
        let open = self.clients.len();
        self.clients.retain(|client| now < client.deadline());
        self.serving.evictions += (open - self.clients.len()) as u64;
        if self.clients.len() < before {
            // A page is not kept for longer than its readers need it.
            let fresh = |page: &Made| now - page.at < FRESH;
            self.pages
                .iter_mut()
                .for_each(|page| drop(page.take_if(|page| !fresh(page))));
        }
    }

    /// When to look again if nothing happens.
    fn deadline(&self, now: i64) -> i64 {
        let clients = self.clients.iter().map(Client::deadline);
        let paused = (self.paused > now).then_some(self.paused);
        // Who waits at the door may come in when somebody's grace is over.
        let full = self.clients.len() >= MAX_CLIENTS;
        let grace = full.then(|| now + GRACE / 10);
        clients.chain(paused).chain(grace).min().unwrap_or(i64::MAX)
    }
}

fn waits(does: bool) -> PollFlags {
    if does { PollFlags::IN } else { PollFlags::empty() }
}

fn wait(fds: &mut [PollFd<'_>], left: i64) -> std::io::Result<()> {
    let left = Duration::from_nanos(left.max(0) as u64);
    // Half a millisecond late is better than early, and then again and again.
    let timeout = Timespec::try_from(left).ok();
    match poll(fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(err) => Err(err.into()),
    }
}
