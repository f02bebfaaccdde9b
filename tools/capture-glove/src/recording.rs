//! A glove's bytes that were recorded: a file, or a pipe.
//!
//! They tell nothing of when they came. The times of their frames are made up, from the
//! start on, and the stream says so: `synthetic` where a line's frames have `arrival`.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use libframe::clock::SECOND;
use libframe::schema::Device;
use libframe::tool::{Feed, Usage, Wake};

use crate::arrival::byte_time;
use crate::frames::Frames;
use crate::glove::Glove;
use crate::packet::{ON_LINE, Parser};

const CHUNK: usize = 64 << 10;

/// Sends the frames of a recording, so many a second; without a rate, as fast as a line of
/// that speed could have brought them.
pub(crate) fn play(
    path: &Path,
    glove: Glove,
    rate: Option<f64>,
    baud: u32,
    feed: &mut Feed,
) -> Result<()> {
    let name = path.display().to_string();
    let mut file = open(path).with_context(|| name.clone())?;
    let byte = rate.map_or(byte_time(baud), |rate| SECOND as f64 / rate / ON_LINE as f64);
    let begun = feed.clock().now();
    let stamp = |end: u64| begun + (end as f64 * byte) as i64;
    let device = Device { port: name.clone(), ..Device::default() };
    let (mut parser, mut frames) =
        (Parser::default(), Frames::new(glove, device, "synthetic"));
    let mut chunk = vec![0; CHUNK];
    let mut total = 0;
    while feed.is_running() {
        if feed.wait(Some(file.as_fd()), None)? != Wake::Ready {
            continue;
        }
        let n = file.read(&mut chunk).with_context(|| name.clone())?;
        total += n;
        parser.push(&chunk[..n]);
        if n == 0 {
            parser.finish();
        }
        frames.take(&mut parser, feed, stamp)?;
        if n == 0 {
            frames.finish(feed)?;
            let (late, left) = (parser.late(), parser.left());
            let taken = frames.taken;
            feed.tell(&format!(
                "{taken} frames; {late} bytes before the first packet, {left} after the last"
            ));
            if taken == 0 {
                bail!(
                    "{name}: no frame in {total} bytes: this is not what a glove sends"
                );
            }
            break;
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<File> {
    if path != Path::new("-") {
        return Ok(File::open(path)?);
    }
    let stdin = io::stdin();
    if stdin.is_terminal() {
        let hint = "stdin is a terminal; give me the bytes of a glove (< glove.bin)";
        return Err(Usage(hint.into()).into());
    }
    Ok(File::from(stdin.as_fd().try_clone_to_owned()?))
}
