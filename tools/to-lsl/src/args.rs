//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, ValueEnum};
use libframe::tool;

const EXAMPLES: &str = "Examples:
  sim-src sine:channels=8 --duration 1s | to-lsl
  sim-src glove -n 400 | calibrate-frames --map left --unit kPa | to-lsl -v
  sim-src glove control -n 200 | to-lsl -s glove --lsl-name glove=Hand --no-markers";

/// Send streams over the Lab Streaming Layer.
///
/// Each stream of numbers becomes an outlet, as does each of texts; events become the markers
/// of one more. Samples have the time of their capture, in seconds of CLOCK_MONOTONIC, which
/// is LSL's clock. Where CLOCK records tell how far a stream's clock is from the session's,
/// its times are corrected by the newest of them: who merged the recordings of two hosts
/// sends one clock. Receivers on another host correct for that themselves, as always.
///
/// LSL overwrites what a consumer is too slow to take, and tells nobody. Here consumers are
/// waited for: the pipe is held up while what waits for one is about to be overwritten (--queue
/// is how much may wait, 64 MiB for each stream if not given), and at the end until each has
/// taken all. One that takes nothing for --patience is not
/// waited for any more; what it loses is told, and the exit status is 3. What a consumer's
/// own buffer overwrites, when its program does not pull, only it can know.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Send streams of this name, pattern ('cam*') or number; may be repeated [default: all
    /// but those that only tell about another]
    #[arg(long, short = 's', value_name = "NAME")]
    pub(crate) stream: Vec<String>,

    /// What LSL calls a stream; may be repeated
    #[arg(long, value_name = "STREAM=NAME")]
    pub(crate) lsl_name: Vec<Renamed>,

    /// What type LSL is told that a stream is of, like EEG; may be repeated
    #[arg(long, value_name = "STREAM=TYPE")]
    pub(crate) lsl_type: Vec<Renamed>,

    /// What consumers know a stream by when it comes back; may be repeated [default: from
    /// the device's serial number, or its port and this host]
    #[arg(long, value_name = "STREAM=ID")]
    pub(crate) source_id: Vec<Renamed>,

    /// The name of the stream of markers that events become
    #[arg(
        long,
        value_name = "NAME",
        default_value = "Markers",
        conflicts_with = "no_markers"
    )]
    pub(crate) markers: String,

    /// Send no events
    #[arg(long)]
    pub(crate) no_markers: bool,

    /// What to send where samples are missing
    #[arg(long, value_enum, default_value_t = Absent::None)]
    pub(crate) for_gaps: Absent,

    /// Send no sample of a stream before N consumers read it; markers do not wait
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) wait_consumers: usize,

    /// How long to wait for them at most [default: until they come]
    #[arg(long, value_name = "TIME", value_parser = tool::parse_duration)]
    pub(crate) wait_limit: Option<i64>,

    /// How long a consumer may take nothing before the pipe goes on without it
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = tool::parse_duration)]
    pub(crate) patience: i64,

    /// How long to wait at the end for consumers that take nothing more
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = tool::parse_duration)]
    pub(crate) linger: i64,

    /// Use this liblsl [default: PYLSL_LIB, the system's, or one that came with pylsl]
    #[arg(long, value_name = "FILE")]
    pub(crate) lsl_lib: Option<PathBuf>,
}

/// What is sent where samples are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Absent {
    /// Nothing: the times tell
    None,
    /// One sample of NaN for each gap, in streams of float32 and double64
    Nan,
    /// A marker for each gap: 'gap STREAM COUNT'
    Marker,
}

/// A stream, and what it is called instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Renamed {
    pub(crate) stream: String,
    pub(crate) text: String,
}

impl FromStr for Renamed {
    type Err = String;

    fn from_str(text: &str) -> Result<Renamed, String> {
        match text.split_once('=') {
            Some((stream, text)) if !stream.is_empty() && !text.is_empty() => {
                Ok(Renamed { stream: stream.into(), text: text.into() })
            }
            _ => Err("say the stream's name, '=', and what it is to be called".into()),
        }
    }
}

/// What was said of a stream last.
pub(crate) fn of<'a>(all: &'a [Renamed], stream: &str) -> Option<&'a str> {
    let mut newest = all.iter().rev();
    newest.find(|one| one.stream == stream).map(|one| one.text.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_that_was_said_of_a_stream_counts() {
        let all: Vec<Renamed> =
            ["a=x", "b=y", "a=z=1"].map(|text| text.parse().unwrap()).into();
        assert_eq!((of(&all, "a"), of(&all, "c")), (Some("z=1"), None));
        assert!("a".parse::<Renamed>().is_err() && "=x".parse::<Renamed>().is_err());
    }
}
