//! `boardinghouse dev`: a server for as long as somebody wants it.

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
    process::Command,
};

use boardinghouse_core::embedded::Server;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use super::child;
use crate::{
    exit::{Exit, Failure},
    output::Output,
    render::dev::ServerReport,
};

pub(super) fn dev(output: &Output, command: &[OsString]) -> Result<Exit, Failure> {
    let server = Server::start()?;
    let Some((program, arguments)) = command.split_first() else {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
            .map_err(|error| Failure::usage(format!("could not listen to signals: {error}")))?;
        output.report(&ServerReport {
            url: server.url(),
            version: server.version(),
        })?;
        output.note("PostgreSQL is running; Ctrl-C stops it and removes all data");
        signals.forever().next();
        return Ok(Exit::Done);
    };
    if io::stderr().is_terminal() {
        output.note(&format!(
            "PostgreSQL {} is running; it stops when the command ends",
            server.version()
        ));
    }
    let mut command = Command::new(program);
    command.args(arguments).env("DATABASE_URL", server.url());
    Ok(Exit::Child(child::run(&mut command)?.code))
}
