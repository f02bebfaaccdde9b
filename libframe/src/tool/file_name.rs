//! What the next file of a recorder is called.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use jiff::Zoned;

use super::exit::Usage;

/// A name, perhaps with the time in it.
#[derive(Debug)]
pub struct FileName {
    template: PathBuf,
    /// The clip that is recorded, where '%c' is its number.
    clip: Option<u64>,
    /// The name without a number, and the last number it had.
    last: Option<(PathBuf, u32)>,
}

impl FileName {
    /// The name as the user wrote it.
    pub fn new(template: PathBuf) -> Result<FileName> {
        match template.file_name() {
            Some(_) if !template.is_dir() => {
                Ok(FileName { template, clip: None, last: None })
            }
            _ => {
                let hint = format!(
                    "{}: a folder; give me the name of a file",
                    template.display()
                );
                Err(Usage(hint).into())
            }
        }
    }

    /// Whether each clip has a file of its own.
    pub fn is_per_clip(&self) -> bool {
        let text = self.template.to_str().unwrap_or_default();
        with_number(text, 0) != text
    }

    /// Where the files are.
    pub fn folder(&self) -> &Path {
        self.template.parent().unwrap_or(Path::new(""))
    }

    /// The file of a clip, whether there is one of this name or not.
    pub fn of_clip(&mut self, clip: u64) -> Result<PathBuf> {
        self.clip = Some(clip);
        self.first()
    }

    /// What to do about a session that is no clip.
    pub fn no_clip(&self) -> anyhow::Error {
        let name = self.template.display();
        Usage(format!(
            "{name}: this session is no clip, and %c is the number of one; put \
             clip-frames before, or name the file without %c"
        ))
        .into()
    }

    /// The first file, whether there is one of this name or not.
    pub fn first(&mut self) -> Result<PathBuf> {
        let name = self.expand(&Zoned::now())?;
        self.last = Some((name.clone(), 0));
        Ok(name)
    }

    /// The next file, of a name that no file has.
    pub fn following(&mut self) -> Result<PathBuf> {
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
        let text = &self.clip.map_or(text.to_owned(), |clip| with_number(text, clip));
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

/// The text with this number for each '%c', and '%03c' filled up with zeros.
fn with_number(text: &str, number: u64) -> String {
    let mut made = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        made.push_str(&rest[..at]);
        let conversion = &rest[at + 1..];
        let digits = conversion.bytes().take_while(u8::is_ascii_digit).count();
        // A pair of them stands for one, and for no conversion.
        let len = match conversion.as_bytes().get(digits) {
            Some(b'c') => {
                let width: usize = conversion[..digits].parse().unwrap_or(0);
                made.push_str(&format!("{number:0width$}", width = width.min(20)));
                1 + digits + 1
            }
            Some(b'%') if digits == 0 => {
                made.push_str("%%");
                2
            }
            _ => {
                made.push('%');
                1
            }
        };
        rest = &rest[at + len..];
    }
    made + rest
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
    fn a_clips_number_is_in_the_name_beside_the_time() {
        assert_eq!(with_number("a_%c_%3c_%03c_%%c_%H.h5", 7), "a_7_007_007_%%c_%H.h5");
        assert_eq!(with_number("a_%05c", 1_234_567), "a_1234567");
        let mut name = FileName::new("/x/%Y/a_%%c_%03c.h5".into()).unwrap();
        assert!(name.is_per_clip());
        let now = "2026-11-05T09:08:07+01:00[+01:00]".parse().unwrap();
        name.template = "/x/a_%Y_%%c_%03c.h5".into();
        name.clip = Some(7);
        assert_eq!(name.expand(&now).unwrap(), Path::new("/x/a_2026_%c_007.h5"));
        assert!(!FileName::new("/x/a_%%c_%H.h5".into()).unwrap().is_per_clip());
    }

    #[test]
    fn the_time_is_in_the_name() {
        let now = "2026-11-05T09:08:07+01:00[+01:00]".parse().unwrap();
        let name = FileName::new("/x/s_%Y-%m-%d_%H-%M-%S.h5".into()).unwrap();
        assert_eq!(name.expand(&now).unwrap(), Path::new("/x/s_2026-11-05_09-08-07.h5"));
    }
}
