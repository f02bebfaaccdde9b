//! When a file has enough, and when a disk has.

use std::path::Path;

use anyhow::{Context as _, Result};
use libframe::tool;

/// When a new file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rotate {
    /// After this time, ns.
    Time(i64),
    /// At this size, bytes.
    Size(u64),
}

impl Rotate {
    pub(crate) fn parse(text: &str) -> Result<Rotate, String> {
        let time = tool::parse_duration(text).map(Rotate::Time);
        let limit = time.or_else(|_| tool::parse_size(text).map(Rotate::Size));
        match limit {
            Ok(Rotate::Time(1..) | Rotate::Size(1..)) => limit,
            _ => Err(format!("{text:?} is no limit; say 1h, 30m, 10GiB")),
        }
    }
}

/// Bytes that a user may still write beside this file.
pub(crate) fn free_space(path: &Path) -> Result<u64> {
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
