//! The command line that all tools share.

use std::collections::BTreeSet;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, Args, Command, FromArgMatches as _, Parser, ValueEnum};

use super::page;
use super::queue::Overflow;
use crate::clock::SECOND;

/// What a tool is; each role has options that make no sense for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Source,
    Filter,
    /// A filter with a queue between it and stdout.
    QueueingFilter,
    /// A filter that is about its queue.
    Queue,
    /// A filter with outputs of its own.
    Splitter,
    Sink,
    /// What reads several inputs at once, and passes records on.
    Merge,
    /// A sink whose destination may stall.
    Recorder,
    /// A sink with a queue between it and a peer.
    Sender,
    /// A sink whose product is text on stdout.
    TextSink,
    /// What a client would find at a port; it has no part in the records.
    Device,
    /// What works on files alone.
    Command,
    /// What starts other tools, and minds them.
    Conductor,
}

impl Role {
    /// Whether it passes on the records that come.
    pub(super) fn passes_on(self) -> bool {
        matches!(
            self,
            Role::Filter
                | Role::QueueingFilter
                | Role::Queue
                | Role::Splitter
                | Role::Merge
        )
    }

    /// Whether records come to it from a stage before.
    pub(super) fn takes_records(self) -> bool {
        self.passes_on()
            || matches!(self, Role::Sink | Role::Recorder | Role::Sender | Role::TextSink)
    }

    /// The word for it in a plan.
    pub(super) fn name(self) -> &'static str {
        match self {
            Role::Source => "source",
            Role::Filter | Role::QueueingFilter | Role::Queue => "filter",
            Role::Splitter => "splitter",
            Role::Merge => "merge",
            Role::Sink => "sink",
            Role::Recorder => "recorder",
            Role::Sender => "sender",
            Role::TextSink => "text",
            Role::Device => "device",
            Role::Command => "command",
            Role::Conductor => "conductor",
        }
    }
}

/// A century, so that adding it to a time cannot overflow.
const MAX_DURATION: i64 = 36_500 * 86_400 * SECOND;

/// Printed below every tool's options.
const NOTES: &str = "Exit status: 0 done, 1 failed, 2 bad arguments, 3 done but samples \
    were lost.\nSIGINT or SIGTERM ends cleanly, a second one at once; SIGUSR1 prints a \
    status line.\nSee framepipe(7) for conventions and framepipe(5) for the format.";

// Options that every tool takes, listed apart in its `--help`. Not a doc comment: clap
// would put it in place of the tool's own description.
#[allow(missing_docs)]
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Common options")]
pub(super) struct Common {
    /// Stop after N samples of each stream
    #[arg(long, short = 'n', value_name = "N")]
    pub(super) count: Option<u64>,

    /// Stop after this time, like 90s or 1h30m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(super) duration: Option<i64>,

    /// Stop when nothing came for this long
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(super) idle: Option<i64>,

    /// Exit with 0 in spite of losses up to this share, like 0.1%
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub(super) max_loss: Option<f64>,

    /// Report on stderr at this interval [default: a live line on a terminal]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(super) status: Option<i64>,

    /// How to report
    #[arg(long, value_enum, default_value_t = StatusFormat::Text, value_name = "FORMAT")]
    pub(super) status_format: StatusFormat,

    /// What this stage is called in messages and in the recording [default: the tool's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Add to the session's description; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub(super) meta: Vec<(String, String)>,

    /// Say more on stderr
    #[arg(long, short = 'v')]
    pub(super) verbose: bool,

    /// Say nothing on stderr but failures
    #[arg(long, short = 'q', conflicts_with = "verbose")]
    pub(super) quiet: bool,

    /// Write a man page or shell completions to stdout and exit
    #[arg(long, value_enum, value_name = "WHAT")]
    generate: Option<page::Page>,

    /// Tell as JSON what this would do and what it lacks, and exit; plan-report shows it
    #[arg(long)]
    pub(super) plan: bool,

    /// Refuse records over this size
    #[arg(long, value_name = "SIZE", default_value = "24MiB", value_parser = parse_size)]
    pub(super) max_record: u64,

    /// How much may wait for stdout, beyond what is being written
    #[arg(long, value_name = "SIZE", default_value = "4MiB", value_parser = parse_size)]
    pub(super) queue: u64,

    /// What to do when the queue is full; drops are told in GAP records
    #[arg(long, value_enum, default_value_t = Overflow::Block, value_name = "POLICY")]
    pub(super) overflow: Overflow,

    /// Which of the two the user gave.
    #[arg(skip)]
    pub(super) given: Given,
}

/// What the user said about the queue; the rest is what the tool finds usual.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Given {
    pub(super) queue: bool,
    pub(super) overflow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum StatusFormat {
    Text,
    Json,
}

impl Common {
    /// What this stage calls itself.
    pub(super) fn name(&self) -> String {
        self.name.clone().unwrap_or_else(program)
    }
}

/// Parses the tool's arguments and the common ones from the same command line. The error
/// is the exit code of what was printed instead.
///
/// Done by hand instead of with `#[command(flatten)]`, so that no tool can forget.
pub(super) fn parse<A: Parser>(role: Role) -> Result<(A, Common), u8> {
    let command = command::<A>(role);
    if let Some(page) = page::wanted() {
        return Err(page::write(command, page));
    }
    let matches = command.try_get_matches();
    let parsed = matches.and_then(|mut matches| {
        let args = A::from_arg_matches_mut(&mut matches)?;
        let mut common = Common::from_arg_matches(&matches)?;
        let given = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
        common.given = Given { queue: given("queue"), overflow: given("overflow") };
        Ok((args, common))
    });
    parsed.map_err(|err| {
        // Help that a pager stopped reading is no failure.
        drop(err.print());
        if err.use_stderr() { 2 } else { 0 }
    })
}

/// The tool's own options, then those of its role that it does not define itself.
fn command<A: Parser>(role: Role) -> Command {
    let own = A::command();
    let shorts: BTreeSet<char> =
        own.get_arguments().filter_map(|a| a.get_short()).collect();
    let unfit: &[&str] = match role {
        Role::Source => &["max_record"],
        Role::Filter | Role::Sink | Role::TextSink => &["queue", "overflow"],
        Role::Recorder | Role::QueueingFilter | Role::Merge | Role::Splitter => {
            &["overflow"]
        }
        Role::Queue | Role::Sender => &[],
        Role::Device => &["idle", "max_loss", "meta", "max_record", "queue", "overflow"],
        Role::Conductor => &["max_record", "queue", "overflow"],
        Role::Command => &[
            "count",
            "duration",
            "idle",
            "status",
            "status_format",
            "meta",
            "max_record",
            "queue",
            "overflow",
        ],
    };
    // The words after a subcommand are parsed by it, so it must know these options too.
    let global = own.has_subcommands();
    let examples = own.get_after_help().map(|text| format!("{text}\n\n"));
    let notes = examples.unwrap_or_default() + NOTES;
    let manual = own.get_after_long_help().map(|text| format!("{text}\n\n{NOTES}"));
    let mut command = Common::augment_args(own).after_help(notes);
    if let Some(manual) = manual {
        command = command.after_long_help(manual);
    }
    let common = Common::augment_args(Command::new(""));
    for arg in common.get_arguments() {
        let id = arg.get_id().clone();
        command = command.mut_arg(&id, |arg| arg.global(global));
        if arg.get_short().is_some_and(|short| shorts.contains(&short)) {
            command = command.mut_arg(&id, |arg| arg.short(None));
        }
        command = command.mut_arg(&id, |arg| adapted(arg, role));
        if unfit.contains(&id.as_str()) {
            command = command.mut_arg(&id, |arg| arg.hide(true));
        }
    }
    command
}

/// An option in the words of a role: each has its queue in another place.
fn adapted(arg: Arg, role: Role) -> Arg {
    match (role, arg.get_id().as_str()) {
        (Role::Recorder, "queue") => arg
            .default_value("32MiB")
            .help("How much input may wait while the disk or the peer stalls"),
        (Role::Sender, "queue") => arg
            .hide_default_value(true)
            .help("How much may wait for the receiver [default: as the mode says]"),
        (Role::Sender, "overflow") => arg.hide_default_value(true).help(
            "What to do when the queue is full; drops are losses \
             [default: as the mode says]",
        ),
        (Role::Merge, "queue") => arg
            .default_value("1MiB")
            .help("How much of each input may wait for the others"),
        (Role::Splitter, "queue") => {
            arg.help("How much may wait for each branch, beyond what is being written")
        }
        (Role::Queue, "queue") => arg.default_value("64MiB"),
        (Role::Queue, "overflow") => arg.value_parser(Overflow::parse).help(
            "What to do when it is full: block, drop-oldest, drop-newest, spill:DIR",
        ),
        _ => arg,
    }
}

/// The name the program was started under.
fn program() -> String {
    let path = std::env::args_os().next().unwrap_or_default();
    Path::new(&path).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Reads a duration like `500ms` or `1h30m`, in ns.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let hint = || format!("{text:?} is no time; say 500ms, 10s, 1h30m");
    let span: jiff::SignedDuration = text.parse().map_err(|_| hint())?;
    let nanos = i64::try_from(span.as_nanos()).map_err(|_| hint())?;
    if !(0..=MAX_DURATION).contains(&nanos) { Err(hint()) } else { Ok(nanos) }
}

/// Reads a size like `64MiB`, in bytes.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let size: bytesize::ByteSize = text
        .parse()
        .map_err(|_| format!("{text:?} is no size; say 500kB, 64MiB, 1GiB"))?;
    Ok(size.as_u64())
}

/// Reads a share like `0.1%` or `0.001`.
pub fn parse_share(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.strip_suffix('%') {
        Some(number) => (number, 0.01),
        None => (text, 1.0),
    };
    let share = number.trim().parse::<f64>().map(|number| number * unit);
    match share {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("{text:?} is no share; say 0.1% or 0.001")),
    }
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err(format!("{text:?} is no pair; say key=value")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_human() {
        assert_eq!(parse_duration("500ms"), Ok(SECOND / 2));
        assert_eq!(parse_duration("1h30m"), Ok(5400 * SECOND));
        assert!(parse_duration("soon").is_err_and(|err| err.contains("500ms")));
        assert!(parse_duration("-5s").is_err());
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size("1000"), Ok(1000));
        assert!(parse_size("much").is_err());
    }

    #[test]
    fn shares_are_percent_or_plain() {
        assert!((parse_share("0.1%").unwrap() - 0.001).abs() < 1e-12);
        assert_eq!(parse_share("1"), Ok(1.0));
        assert!(parse_share("101%").is_err());
        assert!(parse_share("NaN").is_err());
    }
}
