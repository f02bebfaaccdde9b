//! A tool is asked for its plan. No other program is started.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};
use libframe::tool::{PLAN_MARK, Plan};

/// How much of a program is searched at once.
const CHUNK: usize = 1 << 20;

/// Whether a program is a tool that can be asked: those have a mark in them.
pub(crate) fn is_tool(path: &Path) -> bool {
    let Ok(mut file) = File::open(path) else { return false };
    let mark = memchr::memmem::Finder::new(PLAN_MARK);
    let (mut buf, mut kept) = (vec![0; CHUNK], 0);
    loop {
        match file.read(&mut buf[kept..]) {
            Ok(n @ 1..) => {
                let end = kept + n;
                if mark.find(&buf[..end]).is_some() {
                    return true;
                }
                // The mark may lie across.
                let from = end.saturating_sub(PLAN_MARK.len());
                buf.copy_within(from..end, 0);
                kept = end - from;
            }
            _ => return false,
        }
    }
}

/// What a tool would do behind the stage before.
pub(crate) fn plan(path: &Path, words: &[String], before: Option<&Plan>) -> Result<Plan> {
    let mut child = Command::new(path)
        .arg("--plan")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let before: Vec<_> = before.into_iter().collect();
    if let Some(mut stdin) = child.stdin.take() {
        // One that reads no plans has closed it.
        drop(stdin.write_all(serde_json::to_string(&before)?.as_bytes()));
    }
    let Output { stdout, stderr, status } = child.wait_with_output()?;
    if stdout.is_empty() {
        let said = String::from_utf8_lossy(&stderr);
        let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
        let of_use =
            |line: &&str| !line.starts_with("Usage:") && !line.starts_with("For more");
        match lines.take_while(of_use).collect::<Vec<_>>().join(" ") {
            said if said.is_empty() => bail!("{status}"),
            said => bail!("{said}"),
        }
    }
    let plans: Vec<Plan> = serde_json::from_slice(&stdout).context("its plan")?;
    plans.into_iter().next_back().context("no plan came")
}
