//! What the next file is called.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use jiff::Zoned;
use libframe::tool::Usage;

/// A name, perhaps with the time in it.
#[derive(Debug)]
pub(crate) struct FileName {
    template: PathBuf,
    /// The name without a number, and the last number it had.
    last: Option<(PathBuf, u32)>,
}

impl FileName {
    pub(crate) fn new(template: PathBuf) -> Result<FileName> {
        match template.file_name() {
            Some(_) if !template.is_dir() => Ok(FileName { template, last: None }),
            _ => {
                let hint = format!(
                    "{}: a folder; give me the name of a file",
                    template.display()
                );
                Err(Usage(hint).into())
            }
        }
    }

    /// The first file, whether there is one of this name or not.
    pub(crate) fn first(&mut self) -> Result<PathBuf> {
        let name = self.expand(&Zoned::now())?;
        self.last = Some((name.clone(), 0));
        Ok(name)
    }

    /// The next file, of a name that no file has.
    pub(crate) fn next(&mut self) -> Result<PathBuf> {
        let name = self.expand(&Zoned::now())?;
        let from = match &self.last {
            Some((last, number)) if *last == name => number + 1,
            _ => 0,
        };
        for number in from..1_000_000 {
            let path = numbered(&name, number);
            if !path.exists() {
                self.last = Some((name, number));
                return Ok(path);
            }
        }
        bail!("{}: no name is free", name.display())
    }

    fn expand(&self, now: &Zoned) -> Result<PathBuf> {
        let Some(text) = self.template.to_str().filter(|text| text.contains('%')) else {
            return Ok(self.template.clone());
        };
        let name = jiff::fmt::strtime::format(text, now)
            .map_err(|err| anyhow!(Usage(format!("{text}: {err}"))))?;
        let path = PathBuf::from(name);
        // A folder for each day cannot be made beforehand.
        let folder = self.template.parent().and_then(Path::to_str).unwrap_or_default();
        if let Some(made) = path.parent().filter(|_| folder.contains('%')) {
            fs::create_dir_all(made).with_context(|| made.display().to_string())?;
        }
        Ok(path)
    }
}

/// The name with its number before the ending; without one for 0.
fn numbered(name: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return name.into();
    }
    let mut file = OsString::from(name.file_stem().unwrap_or_default());
    file.push(format!("-{number:03}"));
    if let Some(ending) = name.extension() {
        file.push(".");
        file.push(ending);
    }
    name.with_file_name(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_before_the_ending() {
        assert_eq!(numbered(Path::new("a/b.h5"), 0), Path::new("a/b.h5"));
        assert_eq!(numbered(Path::new("a/b.c.h5"), 1), Path::new("a/b.c-001.h5"));
        assert_eq!(numbered(Path::new("b"), 1234), Path::new("b-1234"));
    }

    #[test]
    fn the_time_is_in_the_name() {
        let now = "2026-11-05T09:08:07+01:00[+01:00]".parse().unwrap();
        let name = FileName::new("/x/s_%Y-%m-%d_%H-%M-%S.h5".into()).unwrap();
        assert_eq!(name.expand(&now).unwrap(), Path::new("/x/s_2026-11-05_09-08-07.h5"));
    }
}
