//! `boardinghouse`: operates a schema-per-tenant database from the command line.
//!
//! Parses, calls `boardinghouse-core`, renders what comes back. It knows no SQL.

mod args;
mod commands;
mod confirm;
mod context;
mod exit;
mod output;
mod render;

use std::{ffi::OsStr, process::ExitCode};

use boardinghouse_core::ErrorKind;
use clap::Parser;

use crate::{
    args::Cli,
    context::Context,
    exit::{Exit, Failure},
    output::Output,
};

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => run(cli).into(),
        Err(error) => usage(&error).into(),
    }
}

fn run(cli: Cli) -> Exit {
    log_to_stderr(cli.globals.verbose);
    let output = Output::new(cli.globals.json);
    let context = match Context::new(cli.globals) {
        Ok(context) => context,
        Err(failure) => return output.failure(&failure, None),
    };
    match commands::run(&context, &output, cli.command) {
        Ok(exit) => exit,
        Err(Failure::Core(error)) if error.kind() == ErrorKind::TenantNotFound => {
            let hint = error.tenant().and_then(|id| context.suggest(id));
            output.failure(&Failure::Core(error), hint)
        }
        Err(failure) => output.failure(&failure, None),
    }
}

/// What clap could not parse, or was asked to print: help and version are no failures.
fn usage(error: &clap::Error) -> Exit {
    // The arguments were not parsed: all that can be asked is whether the flag is among them.
    let json = std::env::args_os()
        .take_while(|argument| argument != OsStr::new("--"))
        .any(|argument| argument == OsStr::new("--json"));
    if json && error.use_stderr() {
        return Output::new(true).usage(error);
    }
    // A closed pipe is all that can go wrong, and then nobody reads.
    let _ = error.print();
    if error.use_stderr() {
        Exit::Usage
    } else {
        Exit::Done
    }
}

fn log_to_stderr(verbose: u8) {
    use std::io::IsTerminal as _;

    use tracing_subscriber::EnvFilter;

    let default = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
