//! What a kill leaves: `FRAMEPIPE_KILLS=300 cargo test -p framepipe-tests to_xdf::kill`.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use framepipe_tests::{Scratch, binary, pipe};
use libframe::clock::Clock;

use super::files::frames;
use super::{Found, pyxdf};
use crate::to_h5::Frames;

/// Bytes of a frame and its header.
const FRAME_ON_WIRE: u64 = 48 + 272;
/// What the recorders are told by `--flush`.
const FLUSH: &str = "50ms";
/// That, and long enough for a busy machine to let all threads of a recorder run.
const PATIENCE: i64 = 200 * 1_000_000;

fn kills() -> u32 {
    std::env::var("FRAMEPIPE_KILLS").map_or(20, |n| n.parse().unwrap())
}

#[test]
fn a_kill_at_any_moment_loses_nothing_older_than_a_flush() {
    let (mut kept, mut required, mut cut) = (0, 0, 0);
    let mut random = 54321u64;
    for round in 0..kills() {
        let folder = Scratch::new();
        let file = folder.file("a.xdf");
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let patience = (random >> 33) % 700;
        // Slow ones die between flushes, fast ones within.
        let (n, pause) = if round % 2 == 0 { (20, 2) } else { (200, 1) };
        let Killed { sent, taken, late } = record_and_kill(&file, patience, (n, pause));
        let killed = taken.last().map_or(0, |(_, time)| *time);
        // A machine that lets us wait so long lets the recorder wait, too.
        let old =
            taken.iter().rev().find(|(_, time)| killed - time > PATIENCE + 2 * late);
        let must = old.map_or(0, |(next, _)| *next);
        if !Path::new(&file).exists() && must == 0 {
            continue;
        }
        let found = Found::in_file(&file);
        let next = frames(&found, 0);
        assert!((must..=sent).contains(&next), "round {round}: {must} to {sent}: {next}");
        assert!(found.damage.iter().all(|damage| damage.is_last), "{:?}", found.damage);
        cut += found.damage.len();
        expect_repaired(&folder, &file, next, round);
        (kept, required) = (kept + next, required + must);
    }
    eprintln!(
        "{} kills, --flush {FLUSH}: {required} frames had to be there, {kept} were; {cut} \
         files ended within a chunk; 0 twice, 0 altered",
        kills()
    );
}

fn expect_repaired(folder: &Scratch, file: &str, frames_there: u64, round: u32) {
    if round.is_multiple_of(3) {
        // Whoever repairs may be killed too.
        let mut repair =
            Command::new(binary("repair-frames")).args(["-q", file]).spawn().unwrap();
        sleep(Duration::from_millis(u64::from(round % 7)));
        repair.kill().unwrap();
        repair.wait().unwrap();
    }
    let run = pipe(&format!("repair-frames -q {file}")).run();
    let code = run.statuses[0].code();
    assert!(matches!(code, Some(0 | 3)), "{}", run.everything());
    let found = Found::in_file(file);
    assert_eq!((frames(&found, 0), found.damage.len()), (frames_there, 0), "{round}");
    pipe(&format!("repair-frames -q {file}")).run().expect(&[0]).expect_silence();
    assert!(folder.names().len() <= 3, "{:?}", folder.names());
    if frames_there > 0
        && round.is_multiple_of(5)
        && let Some(seen) = pyxdf("walk", file)
    {
        assert_eq!(seen["counts"]["frames"], frames_there, "round {round}: {seen}");
    }
}

/// A recorder that was killed.
struct Killed {
    /// How many frames were sent.
    sent: u64,
    /// How many of them had left the pipe, and when; at last when it was killed.
    taken: Vec<(u64, i64)>,
    /// How much longer than asked for we slept at the most, ns.
    late: i64,
}

/// Records for so many ms.
fn record_and_kill(file: &str, ms: u64, (n, pause): (u64, u64)) -> Killed {
    let mut command = Command::new(binary("to-xdf"));
    // What is read ahead is in memory until it is its turn, and that is short here.
    let args = [file, "--flush", FLUSH, "--queue", "256KiB"];
    let command = command.args(args).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut frames = Frames { next: 0 };
    let clock = Clock::system();
    let (mut taken, mut late) = (Vec::new(), 0);
    stdin.write_all(&frames.begin()).unwrap();
    // Some die before they have begun; what is in the pipe then, nobody has taken.
    let begins = ms >= 30;
    while begins && !Path::new(file).exists() {
        sleep(Duration::from_millis(1));
    }
    let end = clock.now() + ms as i64 * 1_000_000;
    while clock.now() < end {
        stdin.write_all(&frames.some(n)).unwrap();
        let left = rustix::io::ioctl_fionread(&stdin).unwrap().div_ceil(FRAME_ON_WIRE);
        let before = clock.now();
        taken.extend(begins.then(|| (frames.next.saturating_sub(left), before)));
        sleep(Duration::from_millis(pause));
        late = late.max(clock.now() - before - pause as i64 * 1_000_000);
    }
    child.kill().unwrap();
    taken.push((frames.next, clock.now()));
    child.wait().unwrap();
    Killed { sent: frames.next, taken, late }
}
