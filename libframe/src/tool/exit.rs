//! From a tool's result to its exit code. No other place in the workspace chooses one.

use std::io;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use super::account::Account;
use super::args::{self, Common, Role};
use super::plan::{self, Plan};

/// Finished, but samples were lost or the input was damaged.
const LOSS: u8 = 3;
/// The command line cannot be carried out as written.
const USAGE: u8 = 2;

/// Nobody reads our stdout any more, which is how `head` ends a pipeline.
///
/// A type of its own, because a sink's broken socket is an `io::Error` of the same kind,
/// and that one is a failure.
#[derive(Debug, thiserror::Error)]
#[error("the reader of stdout went away")]
pub(super) struct ReaderGone;

/// The command line cannot be carried out: exit 2, whoever finds out.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Marks a broken pipe on stdout as that; other errors pass.
pub(super) fn stdout_error(err: io::Error) -> io::Error {
    match err.kind() {
        io::ErrorKind::BrokenPipe => io::Error::new(err.kind(), ReaderGone),
        _ => err,
    }
}

/// Whether this failure is only that nobody reads our stdout any more.
pub(super) fn is_reader_gone(err: &anyhow::Error) -> bool {
    err.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        cause.is::<ReaderGone>()
            || io
                .and_then(io::Error::get_ref)
                .is_some_and(|inner| inner.is::<ReaderGone>())
    })
}

/// Parses the arguments, runs `body`, and turns its result into an exit code.
///
/// `body` fills the account as it goes, so that a failure or a broken pipe still tells
/// what was lost until then. Where only the plan is asked for, `plan` adds the tool's own
/// part to it instead.
pub(super) fn start<A: Parser>(
    role: Role,
    plan: impl FnOnce(&A, &mut Plan) -> Result<()>,
    body: impl FnOnce(A, &Common, &mut Account) -> Result<()>,
) -> ExitCode {
    let (args, common) = match args::parse::<A>(role) {
        Ok(parsed) => parsed,
        Err(code) => return ExitCode::from(code),
    };
    if common.plan {
        return match plan::write(role, &args, &common, plan) {
            Ok(code) => ExitCode::from(code),
            Err(err) => {
                eprintln!("{}: {err:#}", common.name());
                ExitCode::FAILURE
            }
        };
    }
    let mut account = Account::default();
    let result = body(args, &common, &mut account);
    match result {
        Ok(()) => {}
        Err(err) if is_reader_gone(&err) => {}
        Err(err) => {
            eprintln!("{}: {err:#}", common.name());
            return match err.downcast_ref::<Usage>() {
                Some(_) => ExitCode::from(USAGE),
                None => ExitCode::FAILURE,
            };
        }
    }
    if !common.quiet {
        account.tell(&common.name(), common.verbose);
    }
    let loss = account.is_loss(common.max_loss);
    if loss { ExitCode::from(LOSS) } else { ExitCode::SUCCESS }
}
