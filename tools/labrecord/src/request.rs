//! LabRecorder's remote-control commands, and ours beside them, without I/O.

use crate::choice::Wanted;
use crate::template::label;

/// Part of what `filename` sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Root,
    Template,
    Run,
    Participant,
    Session,
    Task,
    Acquisition,
    Modality,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    SelectAll,
    SelectNone,
    Select(Wanted),
    Deselect(Wanted),
    Start,
    Stop,
    Update,
    Filename(Vec<(Part, String)>),
    Status,
    Quit,
}

const COMMANDS: &str = "select all|none|NAME, deselect NAME, start, stop, update, \
                        filename {…}, status or quit";

/// Reads a line; what is wrong with it, and the remedy, if it is none.
pub(crate) fn parse(line: &str) -> Result<Request, String> {
    let line = line.trim();
    let (word, rest) =
        match line.split_once(|char: char| char.is_whitespace() || char == '{') {
            // What filename sets may follow at once.
            Some((word, rest)) if line[word.len()..].starts_with('{') => {
                (word, &line[line.len() - rest.len() - 1..])
            }
            Some((word, rest)) => (word, rest.trim()),
            None => (line, ""),
        };
    let alone = |request: Request| match rest {
        "" => Ok(request),
        _ => Err(format!("{word} takes nothing after it; send {word} alone")),
    };
    match word.to_ascii_lowercase().as_str() {
        "select" => match rest {
            "all" => Ok(Request::SelectAll),
            "none" => Ok(Request::SelectNone),
            "" => Err("select what; say all, none or the name of a stream".into()),
            name => Ok(Request::Select(Wanted::parse(name))),
        },
        "deselect" if rest.is_empty() => {
            Err("deselect what; say the name of a stream, or select none".into())
        }
        "deselect" => Ok(Request::Deselect(Wanted::parse(rest))),
        "start" => alone(Request::Start),
        "stop" => alone(Request::Stop),
        "update" => alone(Request::Update),
        "status" => alone(Request::Status),
        "quit" => alone(Request::Quit),
        "filename" => filename(rest).map(Request::Filename),
        "" => Err(format!("an empty line; send {COMMANDS}")),
        _ => Err(format!("no command {}; send {COMMANDS}", shown(word))),
    }
}

/// Reads `{root:/data}{run:2}…`.
fn filename(text: &str) -> Result<Vec<(Part, String)>, String> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let inner = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let (inner, after) = inner.ok_or_else(|| {
            format!("{} is no {{part:value}}; close each brace", shown(rest))
        })?;
        let (key, value) = inner.split_once(':').ok_or_else(|| {
            format!("{{{}}} has no colon; say {{task:rest}}", shown(inner))
        })?;
        parts.push(part(key.trim(), value.trim())?);
        rest = after.trim();
    }
    match parts.is_empty() {
        true => {
            Err("filename of what; say filename {participant:P002}{task:rest}".into())
        }
        false => Ok(parts),
    }
}

fn part(key: &str, value: &str) -> Result<(Part, String), String> {
    let part = match key.to_ascii_lowercase().as_str() {
        "root" => Part::Root,
        "template" => Part::Template,
        "run" => Part::Run,
        "participant" => Part::Participant,
        "session" => Part::Session,
        "task" => Part::Task,
        "acquisition" => Part::Acquisition,
        "modality" => Part::Modality,
        _ => {
            return Err(format!(
                "filename has no part {}; there are root, template, run, participant, \
                 session, task, acquisition and modality",
                shown(key)
            ));
        }
    };
    let value = match part {
        Part::Root | Part::Template => value.into(),
        Part::Run => match value.parse::<u32>() {
            Ok(run @ 1..) => run.to_string(),
            _ => return Err(format!("run {} is no number; say {{run:2}}", shown(value))),
        },
        _ => label(value)?,
    };
    Ok((part, value))
}

/// What somebody sent, as it may stand in a message.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    format!("{short:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_labrecorder_are_known_as_they_are_sent() {
        assert_eq!(parse("select all\n"), Ok(Request::SelectAll));
        assert_eq!(parse("select none\r\n"), Ok(Request::SelectNone));
        assert_eq!(parse("start"), Ok(Request::Start));
        assert_eq!(parse(" STOP "), Ok(Request::Stop));
        assert_eq!(parse("update"), Ok(Request::Update));
        let line = "filename {root:C:\\Data\\}{template:exp%n\\%p_block_%b.xdf}{run:2}\
                    {participant:P003}{session:S1}{task:T}{acquisition:A}{modality:eeg}";
        let Ok(Request::Filename(parts)) = parse(line) else { panic!() };
        assert_eq!(parts[0], (Part::Root, "C:\\Data\\".into()));
        assert_eq!(parts[1], (Part::Template, "exp%n\\%p_block_%b.xdf".into()));
        assert_eq!(parts[2], (Part::Run, "2".into()));
        assert_eq!(parts.len(), 8);
        assert_eq!(
            parse("filename{Task:rest} {acquisition:}"),
            Ok(Request::Filename(vec![
                (Part::Task, "rest".into()),
                (Part::Acquisition, String::new())
            ]))
        );
    }

    #[test]
    fn ours_are_known_too() {
        let wanted = Wanted::parse("Bio Semi (PC)");
        assert_eq!(parse("select Bio Semi (PC)"), Ok(Request::Select(wanted.clone())));
        assert_eq!(parse("deselect Bio Semi (PC)"), Ok(Request::Deselect(wanted)));
        assert_eq!(parse("status"), Ok(Request::Status));
        assert_eq!(parse("quit"), Ok(Request::Quit));
    }

    #[test]
    fn what_is_none_is_refused_with_a_remedy() {
        for (line, why) in [
            ("", "an empty line"),
            ("sleep", "no command \"sleep\"; send select"),
            ("start now", "send start alone"),
            ("select", "say all, none or"),
            ("deselect", "name of a stream"),
            ("filename", "filename of what"),
            ("filename {task:a", "close each brace"),
            ("filename task:a", "close each brace"),
            ("filename {task}", "no colon"),
            ("filename {colour:red}", "no part \"colour\""),
            ("filename {run:two}", "no number"),
            ("filename {run:0}", "no number"),
            ("filename {run:99999999999}", "no number"),
            ("filename {participant:../../etc}", "leave out /"),
            ("{task:a}", "an empty line"),
        ] {
            let told = parse(line).unwrap_err();
            assert!(told.contains(why), "{line}: {told}");
        }
        assert!(parse(&"x".repeat(4000)).unwrap_err().len() < 300);
    }
}
