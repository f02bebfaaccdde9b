//! What a shell would make of a line: stages, quotes, redirections, process substitutions.
//!
//! Only as much of the shell's language as pipelines are written in. Variables are those of
//! the environment; what a command substitution or a pattern would become is not known, and
//! the word stays as it is written.

use std::iter::Peekable;
use std::str::Chars;

use libframe::tool::Usage;

/// Pipelines within pipelines.
const MAX_DEPTH: usize = 8;

/// Stages that are joined by pipes.
pub(crate) type Pipeline = Vec<Command>;

/// One stage, as it is written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Command {
    /// Its program and its arguments. What stands for a pipeline is an empty word.
    pub(crate) words: Vec<String>,
    /// The file that is its stdin, and those that are its stdout.
    pub(crate) reads: Option<String>,
    pub(crate) writes: Option<String>,
    /// Pipelines that give it a file to read (`<(…)`), and that take one (`>(…)`).
    pub(crate) inputs: Vec<Pipeline>,
    pub(crate) outputs: Vec<Pipeline>,
}

/// Reads a line: pipelines one after another, or at once.
pub(crate) fn parse(line: &str) -> Result<Vec<Pipeline>, Usage> {
    let mut lexer = Lexer { chars: line.chars().peekable(), depth: 0 };
    let pipelines = lexer.pipelines(false)?;
    match pipelines.is_empty() {
        true => {
            Err(Usage("an empty pipeline; say something like 'sim-src | to-text'".into()))
        }
        false => Ok(pipelines),
    }
}

struct Lexer<'a> {
    chars: Peekable<Chars<'a>>,
    depth: usize,
}

impl Lexer<'_> {
    /// Up to the end, or to the parenthesis that closes a substitution.
    fn pipelines(&mut self, within: bool) -> Result<Vec<Pipeline>, Usage> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Usage(format!("pipelines nested over {MAX_DEPTH} deep")));
        }
        let (mut all, mut pipeline, mut command) =
            (Vec::new(), Pipeline::new(), Command::default());
        loop {
            let Some(c) = self.chars.next() else {
                if within {
                    return Err(Usage("a parenthesis that does not close".into()));
                }
                break;
            };
            match c {
                ')' if within => break,
                ' ' | '\t' => {}
                '|' if self.chars.next_if_eq(&'|').is_none() => {
                    // `|&` takes stderr along.
                    self.chars.next_if_eq(&'&');
                    finish(&mut command, &mut pipeline)?;
                }
                ';' | '&' | '\n' | '|' => {
                    self.chars.next_if_eq(&'&');
                    end(&mut command, &mut pipeline, &mut all)?;
                }
                '#' => while self.chars.next_if(|c| *c != '\n').is_some() {},
                '<' | '>' => self.redirection(c, 1, &mut command)?,
                _ => self.word_or_descriptor(c, &mut command)?,
            }
        }
        end(&mut command, &mut pipeline, &mut all)?;
        self.depth -= 1;
        Ok(all)
    }

    fn word_or_descriptor(
        &mut self,
        c: char,
        command: &mut Command,
    ) -> Result<(), Usage> {
        let mut ahead = self.chars.clone();
        if let (Some(number), Some(sign @ ('<' | '>'))) = (c.to_digit(10), ahead.next()) {
            self.chars.next();
            return self.redirection(sign, number, command);
        }
        let word = self.word(Some(c))?;
        command.words.push(word);
        Ok(())
    }

    /// What follows `<` or `>`.
    fn redirection(
        &mut self,
        sign: char,
        number: u32,
        command: &mut Command,
    ) -> Result<(), Usage> {
        if self.chars.next_if_eq(&'(').is_some() {
            let pipelines = self.pipelines(true)?;
            let to = if sign == '<' { &mut command.inputs } else { &mut command.outputs };
            to.extend(pipelines);
            command.words.push(String::new());
            return Ok(());
        }
        // `>>`, `>|`, `>&`.
        while self.chars.next_if(|c| matches!(c, '>' | '|' | '&')).is_some() {}
        while self.chars.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        let target = self.word(None)?;
        match (sign, number) {
            (_, _) if target.is_empty() => {
                return Err(Usage(format!("nothing behind {sign}")));
            }
            ('<', _) => command.reads = Some(target),
            // A number is another descriptor.
            ('>', 1) if target.parse::<u32>().is_err() => command.writes = Some(target),
            _ => {}
        }
        Ok(())
    }

    /// A word to its end, quotes taken away.
    fn word(&mut self, first: Option<char>) -> Result<String, Usage> {
        let mut word = String::new();
        let mut next = first.or_else(|| self.next_of_word());
        while let Some(c) = next {
            match c {
                '\'' => self.quoted('\'', &mut word)?,
                '"' => self.quoted('"', &mut word)?,
                '\\' => word.extend(self.chars.next()),
                '$' => self.variable(&mut word)?,
                '~' if word.is_empty() => {
                    word += &std::env::var("HOME").unwrap_or("~".into());
                }
                c => word.push(c),
            }
            next = self.next_of_word();
        }
        Ok(word)
    }

    fn next_of_word(&mut self) -> Option<char> {
        let ends = |c: &char| " \t\n|&;<>()".contains(*c);
        self.chars.next_if(|c| !ends(c))
    }

    fn quoted(&mut self, quote: char, word: &mut String) -> Result<(), Usage> {
        loop {
            match self.chars.next() {
                None => {
                    return Err(Usage(format!("a quote {quote} that does not close")));
                }
                Some(c) if c == quote => return Ok(()),
                Some('\\') if quote == '"' => {
                    let escaped =
                        self.chars.next_if(|c| matches!(c, '"' | '\\' | '$' | '`'));
                    word.push(escaped.unwrap_or('\\'));
                }
                Some('$') if quote == '"' => self.variable(word)?,
                Some(c) => word.push(c),
            }
        }
    }

    /// A variable of the environment; a command's output stays as it is written.
    fn variable(&mut self, word: &mut String) -> Result<(), Usage> {
        if self.chars.next_if_eq(&'(').is_some() {
            word.push_str("$(");
            let mut open = 1;
            while open > 0 {
                let c = self.chars.next();
                let c = c.ok_or_else(|| Usage("a $( that does not close".into()))?;
                open += i32::from(c == '(') - i32::from(c == ')');
                word.push(c);
            }
            return Ok(());
        }
        let braced = self.chars.next_if_eq(&'{').is_some();
        let mut name = String::new();
        while let Some(c) = self.chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
            name.push(c);
        }
        if braced && self.chars.next() != Some('}') {
            return Err(Usage(format!("${{{name}: only plain variables are understood")));
        }
        match std::env::var(&name) {
            Ok(value) => *word += &value,
            Err(_) if name.is_empty() => word.push('$'),
            Err(_) => *word += &format!("${name}"),
        }
        Ok(())
    }
}

fn finish(command: &mut Command, pipeline: &mut Pipeline) -> Result<(), Usage> {
    let mut command = std::mem::take(command);
    // Variables that are set for one command.
    let settings = command.words.iter().take_while(|word| is_setting(word)).count();
    command.words.drain(..settings);
    if command.words.is_empty() {
        return Err(Usage("a stage without a program".into()));
    }
    pipeline.push(command);
    Ok(())
}

fn is_setting(word: &str) -> bool {
    let name = word.split_once('=').map(|(name, _)| name);
    name.is_some_and(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')
    })
}

fn end(
    command: &mut Command,
    pipeline: &mut Pipeline,
    all: &mut Vec<Pipeline>,
) -> Result<(), Usage> {
    if *command == Command::default() && pipeline.is_empty() {
        return Ok(());
    }
    finish(command, pipeline)?;
    all.push(std::mem::take(pipeline));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Vec<Vec<String>>> {
        let pipelines = parse(line).unwrap();
        let words = |pipeline: Pipeline| pipeline.into_iter().map(|c| c.words).collect();
        pipelines.into_iter().map(words).collect()
    }

    #[test]
    fn words_are_those_of_the_shell() {
        assert_eq!(
            words("a 'b c'|d \"e f\" g\\ h"),
            [[vec!["a", "b c"], vec!["d", "e f", "g h"]]]
        );
        assert_eq!(
            words("a -x='1 2'; b && c & d"),
            [
                [["a", "-x=1 2"].to_vec()],
                [["b"].to_vec()],
                [["c"].to_vec()],
                [["d"].to_vec()]
            ]
        );
        assert_eq!(words("LC_ALL=C a # b | c\nd"), [[["a"]], [["d"]]]);
        assert_eq!(words("a '$HOME' \"\\\"\""), [[["a", "$HOME", "\""]]]);
    }

    #[test]
    fn redirections_and_substitutions_have_their_place() {
        let all =
            parse("a < in 2>/dev/null | tee >(b | c 'd e') >(f) > out 2>&1").unwrap();
        let [first, second] = &all[0][..] else { panic!("{all:?}") };
        assert_eq!((first.reads.as_deref(), &first.writes), (Some("in"), &None));
        assert_eq!(second.writes.as_deref(), Some("out"));
        assert_eq!(second.words, ["tee", "", ""]);
        assert_eq!(second.outputs[0][1].words, ["c", "d e"]);
        assert_eq!(second.outputs[1][0].words, ["f"]);
        let all = parse("merge-frames <(a) <(b | c)").unwrap();
        assert_eq!(all[0][0].inputs.len(), 2);
    }

    #[test]
    fn what_a_shell_would_refuse_is_refused() {
        for wrong in ["", "a |", "| a", "a 'b", "a >(b", "a >", "a \"b", "a $(b", "${a"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        let deep = "a >(".repeat(20) + &")".repeat(20);
        assert!(parse(&deep).is_err());
    }
}
