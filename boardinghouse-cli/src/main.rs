//! `boardinghouse` operates a schema-per-tenant PostgreSQL database from the command line: it
//! creates, lists, renames, suspends, migrates, checks and deletes tenants.
//!
//! # Installation
//!
//! ```sh
//! cargo install --locked boardinghouse-cli
//! ```
//!
//! In a checkout, `cargo install --locked --path boardinghouse-cli`. A libpq is built along, so Rust
//! and a C toolchain are all that is needed; feature `tls` builds one with OpenSSL.
//!
//! # Example
//!
//! With migrations in `migrations/shared` and `migrations/tenant`, as Diesel writes them:
//!
//! ```sh
//! export DATABASE_URL=postgres://localhost/app
//! boardinghouse init
//! boardinghouse migrate
//! boardinghouse tenant create acme --domain notes.acme.com
//! boardinghouse sql -s acme "SELECT count(*) FROM notes"
//! boardinghouse check
//! ```
//!
//! `boardinghouse dev` runs a private PostgreSQL to try this on. Every command explains itself, with
//! examples and exit codes, at `--help`.
//!
//! # Libraries
//!
//! This is a thin program on [`boardinghouse_core`], with which an application creates and migrates
//! tenants itself. For actix-web there is
//! [`boardinghouse-actix`](https://docs.rs/boardinghouse-actix).

// Parses, calls `boardinghouse-core`, renders what comes back. It knows no SQL.

mod args;
mod commands;
mod config;
mod confirm;
mod context;
mod diesel;
mod exit;
mod groups;
mod interrupt;
mod output;
mod progress;
mod render;
mod tables;

use std::{ffi::OsStr, process::ExitCode};

use boardinghouse_core::ErrorKind;

use crate::{
    args::Cli,
    context::Context,
    exit::{Exit, Failure},
    output::Output,
};

fn main() -> ExitCode {
    match Cli::read() {
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
        Err(Failure::Core(error)) if error.kind() == ErrorKind::SchemaUnavailable => {
            let hint = "`boardinghouse check` says more".to_owned();
            output.failure(&Failure::Core(error), Some(hint))
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
    let chosen = std::env::var(EnvFilter::DEFAULT_ENV)
        .ok()
        .filter(|directives| !directives.is_empty())
        .and_then(|directives| EnvFilter::try_new(directives).ok());
    let filter = chosen.unwrap_or_else(|| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
