//! Which tools there are, by what the contract asks of them.

/// Every tool is in one of these, with arguments that let it start.
pub(crate) const SOURCES: &[&str] = &["sim-src --rate 1000"];
pub(crate) const FILTERS: &[&str] = &[
    "batch-frames -n 7",
    "calibrate-frames --gain 2 --all",
    CLIPPER,
    "mark-frames",
    "merge-frames -",
    "fan-out --may 'cat > /dev/null'",
    "pick-frames",
    "queue-frames",
    "repair-frames -q",
    "thin-frames --every 1",
];
pub(crate) const SINKS: &[&str] = &[
    "inspect-frames",
    "jitter-report",
    "to-text",
    RECORDER,
    SENDER,
    SCRAPED,
    PUBLISHER,
    OUTLET,
    XDF,
];
/// One clip of everything; but it is a session of its own, and unlike the others holds no
/// record of before its first sample.
pub(crate) const CLIPPER: &str = "clip-frames --when *>-9e9 --pre 0s --post 1h";
/// Writes to a file, and nothing to stdout.
pub(crate) const RECORDER: &str = "to-h5 {new}/a.h5";
/// The same for Lab Streaming Layer.
pub(crate) const XDF: &str = "to-xdf {new}/a.xdf";
/// Writes to a network, where nobody need listen, and nothing to stdout.
pub(crate) const SENDER: &str = "to-osc udp://127.0.0.1:9";
/// Is asked by HTTP, at any port that is free.
pub(crate) const SCRAPED: &str = "to-metrics 0 --port-file {new}/port";
/// Publishes at any port that is free.
pub(crate) const PUBLISHER: &str = "to-zmq tcp://127.0.0.1:*";
/// Sends to whoever is in the laboratory, which is nobody; needs the liblsl of pylsl.
pub(crate) const OUTLET: &str = "to-lsl";
/// Sinks that write nothing to stdout.
pub(crate) const SILENT: &[&str] = &[RECORDER, XDF, SENDER, SCRAPED, PUBLISHER, OUTLET];
/// What comes before the first record; no row about records is theirs.
pub(crate) const DEVICES: &[&str] =
    &["sim-device glove --rate 1000", "sim-device open-ephys --port 0"];
/// Sources that need a device. Their rows about records are with it, in their own modules.
pub(crate) const CAPTURES: &[&str] = &["capture-glove", "lsl-src", "zmq-src"];

/// Those that neither read nor write records.
pub(crate) const COMMANDS: &[&str] = &["plan-report sim-src", "labrecord --check"];

/// Those that read files only; `replay` has its own rows in its module.
pub(crate) const PLAYERS: &[&str] = &["replay x.frames"];

/// Those that tell who lost what.
pub(crate) const TELLERS: &[&str] = &["inspect-frames", "jitter-report"];

pub(crate) fn readers() -> impl Iterator<Item = &'static str> {
    FILTERS.iter().chain(SINKS).copied()
}

/// Filters that pass sessions on; a merge makes one of its own.
pub(crate) fn keepers() -> impl Iterator<Item = &'static &'static str> {
    FILTERS.iter().filter(|filter| name(filter) != "merge-frames")
}

/// Those that read or write records.
pub(crate) fn stages() -> impl Iterator<Item = &'static str> {
    SINKS.iter().chain(FILTERS).chain(SOURCES).copied()
}

pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    stages().chain(DEVICES.iter().copied())
}

/// Those that know the common options.
pub(crate) fn every() -> impl Iterator<Item = &'static str> {
    all().chain(PLAYERS.iter().chain(CAPTURES).chain(COMMANDS).copied())
}

pub(crate) fn name(tool: &str) -> &str {
    tool.split(' ').next().unwrap()
}

/// A tool with its subcommand, if it has any, and without options.
pub(crate) fn command(tool: &str) -> &str {
    tool.split(" -").next().unwrap()
}
