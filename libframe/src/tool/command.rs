//! `main` for a tool that works on files, and has no records on stdin or stdout.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use super::account::Account;
use super::args::Role;
use super::exit;
use super::voice::Voice;

/// Runs a command. What it found missing goes into the account, as a loss of other tools
/// does.
pub fn command<A: Parser>(
    run: impl FnOnce(A, &Voice, &mut Account) -> Result<()>,
) -> ExitCode {
    exit::start(
        Role::Command,
        |_, _| Ok(()),
        |args: A, common, account| run(args, &Voice::new(common), account),
    )
}
