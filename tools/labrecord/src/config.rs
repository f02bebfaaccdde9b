//! LabRecorder's configuration file, without I/O: the INI of Qt, and its keys.

/// Bytes that a configuration may have.
pub(crate) const MAX_BYTES: u64 = 1 << 20;

/// What stands in a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) study_root: Option<String>,
    pub(crate) path_template: Option<String>,
    pub(crate) blocks: Vec<String>,
    pub(crate) modalities: Vec<String>,
    pub(crate) required: Vec<String>,
    pub(crate) control: Option<bool>,
    pub(crate) port: Option<u16>,
    pub(crate) auto_start: bool,
    /// What cannot be heeded, and why.
    pub(crate) notes: Vec<String>,
}

/// Reads a configuration; says in which line what is wrong.
pub(crate) fn parse(text: &str) -> Result<Config, String> {
    let mut config = Config::default();
    let mut storage = None;
    let mut section = String::new();
    for (line, number) in text.trim_start_matches('\u{feff}').lines().zip(1..) {
        let wrong = |why: &str| format!("line {number}: {why}");
        let line = line.trim();
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
        {
            section = name.trim().to_owned();
            continue;
        }
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| wrong("no KEY=VALUE; begin comments with ;"))?;
        let key = key.trim();
        if !section.is_empty() && section != "General" {
            config
                .notes
                .push(format!("line {number}: {section}/{key} means nothing to us"));
            continue;
        }
        let values = values(value).map_err(wrong)?;
        let first = values.first().cloned().unwrap_or_default();
        match key {
            "StudyRoot" => config.study_root = Some(first),
            "PathTemplate" => config.path_template = Some(first),
            "StorageLocation" => storage = Some(first),
            "SessionBlocks" => config.blocks = values,
            "BidsModalities" => config.modalities = values,
            "RequiredStreams" => config.required = values,
            "RCSEnabled" => config.control = Some(flag(&first).map_err(wrong)?),
            "RCSPort" => {
                let port = first.parse().map_err(|_| wrong("RCSPort is no port"))?;
                config.port = Some(port);
            }
            "AutoStart" => config.auto_start = flag(&first).map_err(wrong)?,
            "OnlineSync" => config.notes.push(format!(
                "line {number}: OnlineSync is not needed: raw times and clock offsets are \
                 recorded, and readers correct by them"
            )),
            _ => config.notes.push(format!("line {number}: {key} means nothing to us")),
        }
    }
    if let Some(location) = storage {
        if config.study_root.is_some() || config.path_template.is_some() {
            return Err(
                "StorageLocation and StudyRoot or PathTemplate; leave one out".into()
            );
        }
        let (root, template) = split(&location);
        config.study_root = Some(root);
        config.path_template = Some(template);
    }
    Ok(config)
}

/// The folder of a location before its first placeholder, and the rest.
fn split(location: &str) -> (String, String) {
    let location = location.replace('\\', "/");
    let constant = location.split('%').next().unwrap_or_default();
    match constant.rfind('/') {
        Some(at) => (location[..at.max(1)].into(), location[at + 1..].into()),
        None => (".".into(), location),
    }
}

fn flag(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" => Ok(true),
        "0" | "false" | "" => Ok(false),
        _ => Err("say 1 or 0"),
    }
}

/// The values of a key: texts with or without quotes, and commas between.
fn values(text: &str) -> Result<Vec<String>, &'static str> {
    let mut all = Vec::new();
    let (mut value, mut quoted, mut was_quoted) = (String::new(), false, false);
    let mut chars = text.trim().chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => {
                quoted = !quoted;
                was_quoted = true;
            }
            '\\' => match chars.next() {
                Some('n') => value.push('\n'),
                Some('t') => value.push('\t'),
                Some(char @ ('\\' | '"' | ',' | ';')) => value.push(char),
                // A path of Windows that was written by hand.
                Some(char) => value.extend(['\\', char]),
                None => value.push('\\'),
            },
            ';' if !quoted => break,
            ',' if !quoted => {
                finish(&mut all, &mut value, was_quoted);
                was_quoted = false;
            }
            char if !quoted && was_quoted && char.is_whitespace() => {}
            char => value.push(char),
        }
    }
    if quoted {
        return Err("a quote that is not closed");
    }
    finish(&mut all, &mut value, was_quoted);
    // How Qt writes an empty list.
    all.retain(|value| !value.is_empty() && value != "@Invalid()");
    Ok(all)
}

fn finish(all: &mut Vec<String>, value: &mut String, was_quoted: bool) {
    let value = std::mem::take(value);
    all.push(if was_quoted { value.trim_start().into() } else { value.trim().into() });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_that_comes_with_labrecorder_is_read() {
        let config = parse(
            "; === Block Names ===\nSessionBlocks=\"GoNogo\", \"Test\" \n\
             RequiredStreams=\"BioSemi (PC-1)\",\"Photo Sensor (PC-1)\"\n\
             OnlineSync=\"Test (PC) post_ALL\"\nRCSEnabled=1\nRCSPort=22346\n; AutoStart=1\n",
        )
        .unwrap();
        assert_eq!(config.blocks, ["GoNogo", "Test"]);
        assert_eq!(config.required, ["BioSemi (PC-1)", "Photo Sensor (PC-1)"]);
        assert_eq!((config.control, config.port), (Some(true), Some(22346)));
        assert!(!config.auto_start);
        assert_eq!(config.notes.len(), 1);
        assert!(config.notes[0].contains("line 4: OnlineSync"));
    }

    #[test]
    fn one_that_labrecorder_saved_is_read() {
        let config = parse(
            "\u{feff}[General]\r\nStudyRoot=/data/my study\r\nRequiredStreams=@Invalid()\r\n\
             PathTemplate=exp%n/block_%b.xdf\r\nAutoStart=true\r\nBidsModalities=eeg, physio\r\n\
             [Window]\r\nwidth=5\r\nColour=red\r\n",
        )
        .unwrap();
        assert_eq!(config.study_root.as_deref(), Some("/data/my study"));
        assert_eq!(config.path_template.as_deref(), Some("exp%n/block_%b.xdf"));
        assert!(config.required.is_empty() && config.auto_start);
        assert_eq!(config.modalities, ["eeg", "physio"]);
        assert_eq!(config.notes[0], "line 8: Window/width means nothing to us");
    }

    #[test]
    fn a_location_is_a_root_and_a_template() {
        let parts = |text: &str| {
            let config = parse(&format!("StorageLocation={text}")).unwrap();
            (config.study_root.unwrap(), config.path_template.unwrap())
        };
        let pair = |root: &str, template: &str| (root.to_owned(), template.to_owned());
        assert_eq!(parts("/foo/bar/baz%p/x.xdf"), pair("/foo/bar", "baz%p/x.xdf"));
        assert_eq!(parts("/foo/untitled.xdf"), pair("/foo", "untitled.xdf"));
        assert_eq!(parts("x_%b.xdf"), pair(".", "x_%b.xdf"));
        assert_eq!(parts("/%b.xdf"), pair("/", "%b.xdf"));
        assert_eq!(parts("\"C:\\\\Rec\\\\exp%n.xdf\""), pair("C:/Rec", "exp%n.xdf"));
        assert!(parse("StorageLocation=/a.xdf\nStudyRoot=/b").is_err());
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        for (text, why) in [
            ("RCSPort=99999", "line 1: RCSPort is no port"),
            ("\nAutoStart=perhaps", "line 2: say 1 or 0"),
            ("StudyRoot", "line 1: no KEY=VALUE"),
            ("SessionBlocks=\"a", "line 1: a quote"),
        ] {
            assert!(parse(text).unwrap_err().contains(why), "{text}");
        }
    }
}
