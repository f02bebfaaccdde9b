//! liblsl's configuration, which its users have in files: theirs counts, but for the one line
//! that keeps it from writing to stderr what is nobody's trouble.

use std::env;
use std::fs;
use std::path::PathBuf;

/// Errors only. A recording from cron that went well prints nothing.
const QUIET: &str = "\n[log]\nlevel = -2\n";

/// What liblsl is to use as its configuration: the file that it would find, made quiet.
/// `None` if that says itself how much it wants to read.
pub(crate) fn quiet() -> Option<String> {
    add_quiet(&text().unwrap_or_default())
}

/// The file that liblsl would find.
pub(crate) fn text() -> Option<String> {
    places().into_iter().find_map(|path| fs::read_to_string(path).ok())
}

fn add_quiet(config: &str) -> Option<String> {
    let section = |line: &str| line.trim().eq_ignore_ascii_case("[log]");
    let says = config.lines().any(section);
    (!says).then(|| format!("{config}{QUIET}"))
}

/// Where liblsl looks, in its order.
fn places() -> Vec<PathBuf> {
    let named = env::var_os("LSLAPICFG").map(PathBuf::from);
    let home = env::var_os("HOME").map(PathBuf::from);
    let of_user = home.map(|home| home.join("lsl_api/lsl_api.cfg"));
    let mut places: Vec<PathBuf> = named.into_iter().collect();
    places.push("lsl_api.cfg".into());
    places.extend(of_user);
    places.push("/etc/lsl_api/lsl_api.cfg".into());
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_says_counts() {
        assert_eq!(add_quiet("").as_deref(), Some("\n[log]\nlevel = -2\n"));
        let lab = "[lab]\nSessionID = a";
        assert_eq!(add_quiet(lab), Some(format!("{lab}{QUIET}")));
        assert_eq!(add_quiet("[lab]\n[Log]\nlevel = 3\n"), None);
    }
}
