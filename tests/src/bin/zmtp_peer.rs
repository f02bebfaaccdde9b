//! Sockets of libframe-zmtp as a process, to meet those of libzmq.
//!
//! Each event is a line on stdout; messages are numbered in their second part, and the one
//! who receives them says which are missing.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use libframe::clock::{Clock, SECOND};
use libframe_zmtp::{
    Answer, Endpoint, HighWater, Incoming, Limits, Publisher, Reply, Request, Subscriber,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Be a peer.
#[derive(Parser)]
struct Args {
    #[arg(value_enum)]
    socket: Socket,
    endpoint: Endpoint,
    /// How many messages or questions
    #[arg(short, default_value_t = 1000)]
    n: u64,
    #[arg(long, default_value_t = 1920)]
    size: usize,
    /// Messages a second; 0 for as fast as possible
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// Messages that are due at the same time
    #[arg(long, default_value_t = 1)]
    burst: u64,
    #[arg(long, default_value_t = 1000)]
    hwm: u64,
    #[arg(long, default_value_t = 1)]
    subscribers: usize,
    #[arg(long, default_value_t = 5.0)]
    linger: f64,
    /// What to subscribe to
    #[arg(long, default_value = "")]
    prefix: String,
    /// The longest message that is taken
    #[arg(long, default_value_t = 64 << 20)]
    limit: usize,
    /// Seconds to live
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Socket {
    Pub,
    Sub,
    Req,
    Rep,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("zmtp-peer: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    match args.socket {
        Socket::Pub => publish(args),
        Socket::Sub => subscribe(args),
        Socket::Req => ask(args),
        Socket::Rep => answer(args),
    }
}

fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

fn publish(args: &Args) -> Result<()> {
    let clock = Clock::system();
    let high = HighWater { messages: args.hwm, ..HighWater::default() };
    let publisher = Publisher::bind(&args.endpoint, high)?;
    say(&format!("bound {}", publisher.endpoint()))?;
    let latest = clock.now() + seconds(args.seconds);
    if !publisher.wait_for_subscribers(args.subscribers, latest) {
        bail!("{} subscribers came", publisher.subscribers());
    }
    let (began, payload) = (clock.now(), vec![7; args.size]);
    for n in 0..args.n {
        let turn = (n - n % args.burst) as f64;
        let due = if args.rate > 0.0 { seconds(turn / args.rate) } else { 0 };
        while clock.now() < began + due {
            pause(began + due - clock.now());
        }
        publisher.publish(&[b"DATA\0", n.to_string().as_bytes(), &payload]);
    }
    let elapsed = (clock.now() - began) as f64 / 1e9;
    publisher.drain(clock.now() + seconds(args.linger));
    let tally = publisher.tally();
    let unread = publisher.close(clock.now() + seconds(args.linger));
    let cpu = libframe::clock::cpu_time() as f64 / 1e9;
    say(&format!("done {elapsed:.3} s, {cpu:.3} s of CPU, {tally:?}, {unread:?}"))
}

fn subscribe(args: &Args) -> Result<()> {
    let clock = Clock::system();
    let limits = Limits { message: args.limit, ..Limits::default() };
    let endpoint = args.endpoint.clone();
    let prefix = args.prefix.as_bytes();
    let mut subscriber = Subscriber::with_prefixes(endpoint, limits, &[prefix])?;
    let (mut next, mut missing, mut began) = (0, 0, 0);
    let latest = clock.now() + seconds(args.seconds);
    while next < args.n && clock.now() < latest {
        subscriber.tick(clock.now())?;
        while let Some(incoming) = subscriber.next()? {
            match incoming {
                Incoming::Connected => say("connected")?,
                Incoming::Failed { why } => say(&format!("failed {why}"))?,
                Incoming::Lost { why } => say(&format!("lost {why}"))?,
                Incoming::Message(parts) => {
                    let text = String::from_utf8_lossy(parts.get(1).unwrap_or_default());
                    let n: u64 = text.parse()?;
                    if began == 0 {
                        began = clock.now();
                    }
                    if n != next {
                        say(&format!("gap {next} {n}"))?;
                    }
                    // A publisher that was started anew begins anew.
                    missing += n.saturating_sub(next);
                    next = n + 1;
                }
            }
        }
        wait(subscriber.fd(), subscriber.deadline().min(latest), &clock)?;
    }
    let elapsed = (clock.now() - began) as f64 / 1e9;
    let cpu = libframe::clock::cpu_time() as f64 / 1e9;
    let counts = subscriber.counts();
    say(&format!("done {elapsed:.3} s, {cpu:.3} s of CPU, missing {missing}, {counts:?}"))
}

fn ask(args: &Args) -> Result<()> {
    let clock = Clock::system();
    let mut request = Request::new(args.endpoint.clone(), Limits::default())?;
    let latest = clock.now() + seconds(args.seconds);
    let (mut asked, mut answers, mut next) = (0, 0, 0);
    while answers < args.n && clock.now() < latest {
        let now = clock.now();
        if now >= next || !request.is_waiting() && asked > 0 {
            request.ask(format!("question {asked}").as_bytes());
            (asked, next) = (asked + 1, now + SECOND / 2);
        }
        request.tick(now)?;
        let mut answered = false;
        while let Some(answer) = request.next()? {
            match answer {
                Answer::Text(text) => {
                    if args.n <= 10 {
                        say(&format!("answer {}", String::from_utf8_lossy(text)))?;
                    }
                    (answers, answered) = (answers + 1, true);
                }
                Answer::Connected => say("connected")?,
                Answer::Lost { why } => say(&format!("lost {why}"))?,
                Answer::Failed { why } => say(&format!("failed {why}"))?,
            }
        }
        if !answered {
            wait(request.fd(), request.deadline().min(next).min(latest), &clock)?;
        }
    }
    say(&format!("done {asked} asked, {answers} answered"))
}

fn answer(args: &Args) -> Result<()> {
    let clock = Clock::system();
    let mut reply = Reply::bind(&args.endpoint, Limits::default())?;
    say(&format!("bound {}", reply.endpoint()))?;
    let latest = clock.now() + seconds(args.seconds);
    let mut answers = 0;
    while answers < args.n && clock.now() < latest {
        reply.tick(clock.now())?;
        while let Some(asked) = reply.next()? {
            let (asker, text) = (asked.asker, [b"heard ", asked.text].concat());
            reply.answer(asker, &text);
            answers += 1;
        }
        wait(reply.fd(), reply.deadline().min(latest), &clock)?;
    }
    say(&format!("done {answers} answered, {} faults", reply.faults()))
}

fn seconds(seconds: f64) -> i64 {
    (seconds * 1e9) as i64
}

fn pause(ns: i64) {
    std::thread::sleep(std::time::Duration::from_nanos(ns.max(0) as u64));
}

fn wait(fd: std::os::fd::BorrowedFd<'_>, until: i64, clock: &Clock) -> Result<()> {
    let left = (until.saturating_sub(clock.now())).clamp(0, SECOND * 3600);
    let timeout = Timespec { tv_sec: left / SECOND, tv_nsec: left % SECOND };
    poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&timeout))?;
    Ok(())
}
