//! How each example starts: where it logs to, where it listens, and the browser's part of that.

use std::{
    env,
    io::{self, IsTerminal as _},
    net::TcpListener,
    process::ExitCode,
};

use tracing_subscriber::EnvFilter;

/// Logs to stderr, and says there why the example ended, where it did not end well.
pub(crate) async fn run<F>(example: F) -> ExitCode
where
    F: Future<Output = Result<(), Box<dyn std::error::Error>>>,
{
    let filter =
        variable(EnvFilter::DEFAULT_ENV).and_then(|chosen| EnvFilter::try_new(chosen).ok());
    // How to use it is said last, not what actix says when it starts.
    let filter = filter.unwrap_or_else(|| EnvFilter::new("info,actix_server=warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    match example.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The address in `BIND`, by default 127.0.0.1:8080. First, because it fails at once when another copy is
/// running.
pub(crate) fn listen() -> Result<TcpListener, String> {
    let bind = variable("BIND").unwrap_or_else(|| "127.0.0.1:8080".into());
    let listener = TcpListener::bind(&bind).map_err(|error| {
        format!("cannot listen on {bind}: {error}; set BIND to another address")
    })?;
    listener
        .set_nonblocking(true)
        .map_err(|error| format!("cannot use {bind}: {error}"))?;
    Ok(listener)
}

/// A variable of the environment, unless it is empty.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
