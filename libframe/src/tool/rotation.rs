//! When a recorder's file has enough, and when its disk has.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::args::{parse_duration, parse_size};

/// When a new file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotate {
    /// After this time, ns.
    Time(i64),
    /// At this size, bytes.
    Size(u64),
}

impl Rotate {
    /// What a user wrote.
    pub fn parse(text: &str) -> Result<Rotate, String> {
        let time = parse_duration(text).map(Rotate::Time);
        let limit = time.or_else(|_| parse_size(text).map(Rotate::Size));
        match limit {
            Ok(Rotate::Time(1..) | Rotate::Size(1..)) => limit,
            _ => Err(format!("{text:?} is no limit; say 1h, 30m, 10GiB")),
        }
    }
}

/// Refuses to begin or go on with a file whose disk has less room than the user asked for.
pub fn check_space(path: &Path, min_free: Option<u64>) -> Result<()> {
    let Some(wanted) = min_free else { return Ok(()) };
    let free = free_space(path)?;
    if free < wanted {
        bail!(
            "{}: {free} bytes are free on its disk, and --min-free is {wanted}; \
             recording stopped, and what was accepted is in the file",
            path.display()
        );
    }
    Ok(())
}

/// Bytes that a user may still write beside this file.
fn free_space(path: &Path) -> Result<u64> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let stat = rustix::fs::statvfs(folder);
    let stat = stat.with_context(|| folder.display().to_string())?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_time_or_a_size() {
        assert_eq!(Rotate::parse("1h"), Ok(Rotate::Time(3_600_000_000_000)));
        assert_eq!(Rotate::parse("10GiB"), Ok(Rotate::Size(10 << 30)));
        assert!(Rotate::parse("0s").is_err() && Rotate::parse("often").is_err());
    }
}
