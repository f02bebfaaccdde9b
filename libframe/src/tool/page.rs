//! Man pages and shell completions, made from what a tool says of its arguments, so that
//! they cannot tell anything else than `--help` does.

use std::io::{self, Write as _};

use clap::builder::ArgAction;
use clap::{Arg, Command, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;

use super::exit;

/// What `--generate` can write.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Page {
    Man,
    Bash,
    Zsh,
    Fish,
}

/// The page that the command line asks for. Looked for by hand, since `--generate` must
/// work although required arguments are missing.
pub(super) fn wanted() -> Option<Page> {
    let mut words = std::env::args().skip(1);
    let word = words.find(|word| word.starts_with("--generate"))?;
    let value = match word.split_once('=') {
        Some((_, value)) => value.to_owned(),
        None => words.next()?,
    };
    Page::from_str(&value, false).ok()
}

/// Writes a page to stdout, and returns the exit code.
pub(super) fn write(mut command: Command, page: Page) -> u8 {
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    let shell = match page {
        Page::Man => None,
        Page::Bash => Some(Shell::Bash),
        Page::Zsh => Some(Shell::Zsh),
        Page::Fish => Some(Shell::Fish),
    };
    match shell {
        Some(shell) => clap_complete::generate(shell, &mut command, name, &mut text),
        None => {
            if let Err(err) = man(command, &mut text) {
                eprintln!("{name}: man page: {err}");
                return 1;
            }
        }
    }
    match io::stdout().write_all(&text).map_err(exit::stdout_error) {
        Err(err) if err.kind() != io::ErrorKind::BrokenPipe => 1,
        _ => 0,
    }
}

/// A tool has one page, so its subcommands are sections of that one, where clap would
/// refer to pages of their own.
fn man(command: Command, text: &mut Vec<u8>) -> io::Result<()> {
    let parts: Vec<_> = command.get_subcommands().cloned().collect();
    Man::new(command.mut_args(plain_help)).render(text)?;
    let page = String::from_utf8_lossy(text).into_owned();
    let Some((before, list)) = page.split_once(".SH SUBCOMMANDS\n") else {
        return Ok(());
    };
    let after = list.find(".SH").map_or("", |at| &list[at..]);
    text.clear();
    text.extend_from_slice(before.as_bytes());
    for part in parts {
        text.extend_from_slice(section(part)?.as_bytes());
    }
    text.extend_from_slice(after.as_bytes());
    Ok(())
}

/// What one subcommand is and what it takes, below its name.
fn section(part: Command) -> io::Result<String> {
    let name = part.get_name().to_uppercase();
    let man = Man::new(part.disable_help_flag(true).mut_args(plain_help));
    let mut text = String::new();
    for (heading, body) in [
        (format!(".SH {name}\n"), rendered(|to| man.render_description_section(to))?),
        (".SS OPTIONS\n".into(), rendered(|to| man.render_options_section(to))?),
    ] {
        // What is before clap's own heading only repeats the page's beginning.
        text += &heading;
        text += body
            .split_once(".SH")
            .and_then(|(_, rest)| rest.split_once('\n'))
            .map_or("", |(_, body)| body);
    }
    Ok(text)
}

fn rendered(write: impl Fn(&mut dyn io::Write) -> io::Result<()>) -> io::Result<String> {
    let mut bytes = Vec::new();
    write(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Man pages are compared with the code by a test, so nothing in them may depend on the
/// terminal they were made on.
fn plain_help(arg: Arg) -> Arg {
    match arg.get_action() {
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong => {
            arg.help("Print help")
        }
        _ => arg,
    }
}
