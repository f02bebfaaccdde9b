//! Names from templates with LabRecorder's placeholders, without I/O.

/// The names that BIDS asks for, which is what LabRecorder does by default.
const BIDS: &str = "sub-%p/ses-%s/%m/sub-%p_ses-%s_task-%b[_acq-%a]_run-%r_%m.xdf";
/// What it did before.
const CLASSIC: &str = "exp%n/block_%b.xdf";
/// Longer labels and templates are a mistake, or somebody else's game.
const MAX_LABEL: usize = 100;
const MAX_TEMPLATE: usize = 1000;

/// What placeholders stand for, but for the number of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Labels {
    pub(crate) participant: String,
    pub(crate) session: String,
    pub(crate) task: String,
    pub(crate) acquisition: String,
    pub(crate) modality: String,
}

impl Default for Labels {
    /// LabRecorder's.
    fn default() -> Labels {
        Labels {
            participant: "P001".into(),
            session: "S001".into(),
            task: "Default".into(),
            acquisition: String::new(),
            modality: "eeg".into(),
        }
    }
}

/// A label as a part of names of files; none may lead to another folder.
pub(crate) fn label(text: &str) -> Result<String, String> {
    let text = text.trim();
    let wrong = |why: &str| Err(format!("{text:?} is no label: {why}"));
    if text.len() > MAX_LABEL {
        return wrong("over 100 bytes long");
    }
    if text.contains(['/', '\\']) || text.contains(char::is_control) {
        return wrong("a label is part of a name; leave out / and \\");
    }
    if text.starts_with('.') {
        return wrong("begins with a dot");
    }
    Ok(text.into())
}

/// The name of a recording below the study's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Label(char),
    Counter,
    /// Left out where a label in it is empty.
    Optional(Vec<Piece>),
}

impl Default for Template {
    fn default() -> Template {
        // The literal is right, as a test sees; were it not, files would have a plain name.
        let plain = || Template(vec![Piece::Text("recording.xdf".into())]);
        Template::parse(BIDS).unwrap_or_else(|_| plain())
    }
}

impl Template {
    /// Reads `bids`, `classic`, or a template of one's own.
    pub(crate) fn parse(text: &str) -> Result<Template, String> {
        let text = match text.trim() {
            "bids" => BIDS,
            "classic" => CLASSIC,
            text => text,
        };
        let wrong = |why: &str| format!("template {text:?}: {why}");
        // Configurations from Windows have its separator.
        let unified = text.replace('\\', "/");
        let unix = unified.as_str();
        if unix.is_empty() || unix.ends_with('/') {
            return Err(wrong("names no file"));
        }
        if unix.len() > MAX_TEMPLATE || unix.contains(char::is_control) {
            return Err(wrong("too long, or not printable"));
        }
        if unix.starts_with('/') || unix.get(1..2) == Some(":") {
            return Err(wrong("not below the root; give its folder as the root"));
        }
        if unix.split('/').any(|part| part == "..") {
            return Err(wrong("leads out of the root by '..'"));
        }
        let mut chars = unix.chars().peekable();
        let pieces = pieces(&mut chars, false).map_err(|why| wrong(&why))?;
        Ok(Template(pieces))
    }

    /// Whether the number of the run is in the name.
    pub(crate) fn counts(&self) -> bool {
        let counts = |piece: &Piece| match piece {
            Piece::Optional(inner) => inner.contains(&Piece::Counter),
            piece => *piece == Piece::Counter,
        };
        self.0.iter().any(counts)
    }

    /// The name of a run.
    pub(crate) fn expand(&self, labels: &Labels, run: u32) -> Result<String, String> {
        let mut name = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Optional(inner) => {
                    let mut part = String::new();
                    let whole =
                        inner.iter().try_for_each(|p| add(p, labels, run, &mut part));
                    name.push_str(whole.map_or("", |()| &part));
                }
                piece => add(piece, labels, run, &mut name)?,
            }
        }
        Ok(name)
    }
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn pieces(chars: &mut Chars<'_>, nested: bool) -> Result<Vec<Piece>, String> {
    let mut all: Vec<Piece> = Vec::new();
    while let Some(char) = chars.next() {
        let piece = match char {
            '[' if nested => return Err("[ within [ ]".into()),
            '[' => Piece::Optional(pieces(chars, true)?),
            ']' if nested => return Ok(all),
            '%' => match chars.next() {
                Some('%') => Piece::Text("%".into()),
                Some('r' | 'n') => Piece::Counter,
                Some(label @ ('p' | 's' | 'b' | 'a' | 'm')) => Piece::Label(label),
                other => {
                    let other = other.map(String::from).unwrap_or_default();
                    return Err(format!(
                        "no placeholder %{other}; there are %p participant, %s session, \
                         %b task, %a acquisition, %m modality, %r or %n run"
                    ));
                }
            },
            char => Piece::Text(char.into()),
        };
        match (all.last_mut(), piece) {
            (Some(Piece::Text(text)), Piece::Text(more)) => text.push_str(&more),
            (_, piece) => all.push(piece),
        }
    }
    if nested { Err("[ without ]".into()) } else { Ok(all) }
}

fn add(
    piece: &Piece,
    labels: &Labels,
    run: u32,
    name: &mut String,
) -> Result<(), String> {
    let (value, what) = match piece {
        Piece::Text(text) => (text, ""),
        Piece::Counter => {
            name.push_str(&format!("{run:03}"));
            return Ok(());
        }
        Piece::Label('p') => (&labels.participant, "participant"),
        Piece::Label('s') => (&labels.session, "session"),
        Piece::Label('b') => (&labels.task, "task"),
        Piece::Label('a') => (&labels.acquisition, "acquisition"),
        Piece::Label(_) => (&labels.modality, "modality"),
        Piece::Optional(_) => return Err("[ within [ ]".into()),
    };
    if value.is_empty() {
        return Err(format!("the name of the file asks for a {what}; give one"));
    }
    name.push_str(value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(template: &str, labels: &Labels, run: u32) -> String {
        Template::parse(template).unwrap().expand(labels, run).unwrap()
    }

    #[test]
    fn names_are_those_of_labrecorder() {
        let mut labels = Labels::default();
        let bids = "sub-P001/ses-S001/eeg/sub-P001_ses-S001_task-Default_run-002_eeg.xdf";
        assert_eq!(name("bids", &labels, 2), bids);
        assert_eq!(Template::default(), Template::parse("bids").unwrap());
        assert_eq!(name("classic", &labels, 12), "exp012/block_Default.xdf");
        labels.acquisition = "fast".into();
        assert_eq!(
            name("bids", &labels, 1000),
            "sub-P001/ses-S001/eeg/sub-P001_ses-S001_task-Default_acq-fast_run-1000_eeg.xdf"
        );
        assert_eq!(
            name("exp%n\\%p_block_%b.xdf", &labels, 1),
            "exp001/P001_block_Default.xdf"
        );
        assert_eq!(name("100%%.xdf", &labels, 1), "100%.xdf");
        assert!(Template::parse("bids").unwrap().counts());
        assert!(!Template::parse("a_%b.xdf").unwrap().counts());
        assert!(Template::parse("a[_%r].xdf").unwrap().counts());
    }

    #[test]
    fn what_leads_elsewhere_or_means_nothing_is_refused() {
        for (template, why) in [
            ("", "no file"),
            ("a/", "no file"),
            ("/etc/x.xdf", "below the root"),
            ("C:\\x.xdf", "below the root"),
            ("a/../../x.xdf", "'..'"),
            ("..\\x.xdf", "'..'"),
            ("%Y.xdf", "no placeholder %Y"),
            ("x%", "no placeholder %"),
            ("a[_%a.xdf", "[ without ]"),
            ("a[[%a]].xdf", "[ within"),
            ("a\n.xdf", "printable"),
        ] {
            let told = Template::parse(template).unwrap_err();
            assert!(told.contains(why), "{template}: {told}");
        }
        let text = Template::parse("a_%a.xdf").unwrap();
        let told = text.expand(&Labels::default(), 1).unwrap_err();
        assert!(told.contains("acquisition"), "{told}");
    }

    #[test]
    fn a_label_is_no_path() {
        assert_eq!(label(" P 7 ").unwrap(), "P 7");
        for wrong in ["../x", "a/b", "a\\b", ".hidden", "a\0b", &"x".repeat(101)] {
            assert!(label(wrong).is_err(), "{wrong:?}");
        }
    }
}
