//! What makes a binary a tool: `main` for a source, a filter, a splitter, a sink or a
//! device.
//!
//! A tool gives its argument struct and one function or trait. What all tools must do
//! alike is here, and only here:
//!
//! | event | source | filter, sink | device |
//! | --- | --- | --- | --- |
//! | end of input | – | finish, exit 0; 3 if END is missing | – |
//! | first SIGINT or SIGTERM | stop the device, flush, END, exit 0 | drain, finish, exit 0 | stop, exit 0 |
//! | second | die of it | die of it | die of it |
//! | SIGUSR1 | a status line now | same | same |
//! | reader of stdout gone | exit 0; says so if it was to run on | exit 0 silently | same |
//! | own failure | `name: what: why`, exit 1 | same; what was accepted is kept | as a source |
//! | bad arguments | exit 2 | same | same |
//! | a terminal for records | exit 2 | same | its stdout is text |
//! | samples were lost | the counts, exit 3 unless `--max-loss` allows it | same | as it was told to |
//!
//! A `splitter` is a filter with outputs of its own. A `merge` reads several inputs at once
//! and is a filter in all else; an input that breaks off, or is none, does not stop the
//! others. A `command`, which works on files alone, has what of this is not about records; a
//! `conductor` starts other tools, and stops at a signal as a source does.
//!
//! `exit` turns results into exit codes, `signal` knows what signals mean, `input`
//! reads and `books` keeps the account of what came, `output` of what went, `feed`
//! and `queue` stand between a device and the pipe, `inlet` is one of several inputs and
//! `confluence` puts them in order, as a `tournament` finds it, `status` tells people.
//! `device` is for what clients of a real device would find; `page` documents them all,
//! `plan` tells what a command line would do, and `voice` is how they speak.

mod account;
mod args;
mod backlog;
mod books;
mod chunk;
mod command;
mod conductor;
mod confluence;
mod consumer;
mod cues;
mod device;
mod exit;
mod feed;
mod fifo;
mod file_name;
mod filter;
mod gauge;
mod inlet;
mod input;
mod lane;
mod lanes;
mod limit;
mod merge;
mod origin;
mod outlet;
mod output;
mod page;
mod patterns;
mod plan;
mod planned;
mod queue;
mod rate;
mod reader;
mod reservoir;
mod rotation;
mod sessions;
mod signal;
mod sink;
mod source;
mod splitter;
mod stage;
mod status;
mod stream_time;
mod thinning;
mod time_range;
mod tournament;
mod undescribed;
mod voice;

pub use self::account::Account;
pub use self::args::{parse_duration, parse_share, parse_size};
pub use self::backlog::{Backlog, Manner};
pub use self::chunk::Chunk;
pub use self::command::command;
pub use self::conductor::{Conductor, conductor};
pub use self::consumer::Ended;
pub use self::cues::{Cue, Cues, Inbox};
pub use self::device::{Device, device};
pub use self::exit::Usage;
pub use self::feed::{Feed, Missing, Raw};
pub use self::file_name::FileName;
pub use self::filter::{Filter, Queue, Room, filter};
pub use self::gauge::Gauge;
pub use self::inlet::Inlet;
pub use self::lanes::{Full, Lanes, Limits, Put};
pub use self::merge::{Merge, merge};
pub use self::origin::{Origin, Recorded, Remark, Supply};
pub use self::output::{Output, RecordOut, TextOut, widen_pipe};
pub use self::patterns::Patterns;
pub use self::plan::{Branch, Disk, Flow, MARK as PLAN_MARK, Need, Plan, find_program};
pub use self::planned::Planned;
pub use self::queue::Overflow;
pub use self::rate::{parse_rate, parse_rate_in};
pub use self::rotation::{Rotate, check_space};
pub use self::signal::{Stop, Wake};
pub use self::sink::{Sink, sink};
pub use self::source::{Source, source};
pub use self::splitter::{Setting, Splitter, splitter};
pub use self::stage::{Identity, boot_id, host_name, name_session};
pub use self::status::{PartStatus, Parts, TERMINAL_TAKEN};
pub use self::stream_time::StreamTime;
pub use self::thinning::Thinning;
pub use self::time_range::{Instant, TimeRange};
pub use self::undescribed::Undescribed;
pub use self::voice::Voice;
