//! The only way out: the report to stdout, everything else to stderr.

use std::{
    error::Error as StdError,
    io::{self, Write as _},
};

use serde::Serialize;
use serde_json::json;

use crate::exit::{Exit, Failure};

/// Something that a command found or did.
pub(crate) trait Report: Serialize {
    /// The report for people: lines, without the last line feed.
    fn human(&self) -> String;
}

/// Writes for people, or with `--json` for programs.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Writes what was asked for to stdout. With `--json` it is one JSON document.
    pub(crate) fn report(&self, report: &impl Report) -> Result<(), Failure> {
        let text = if self.json {
            serde_json::to_string_pretty(report).map_err(|error| Failure::Output(error.into()))?
        } else {
            printable(&report.human())
        };
        let mut out = io::stdout().lock();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            // Whoever read has read enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(Failure::Output),
        }
    }

    /// Whether notes are shown.
    pub(crate) fn is_for_people(&self) -> bool {
        !self.json
    }

    /// Tells a person something that is not part of the report.
    pub(crate) fn note(&self, text: &str) {
        if !self.json {
            to_stderr(text);
        }
    }

    /// Tells how something goes on.
    pub(crate) fn tell(&self, text: &str) {
        to_stderr(text);
    }

    /// Writes a question, after which the answer is typed.
    pub(crate) fn ask(&self, question: &str) {
        let mut err = io::stderr().lock();
        let _ = write!(err, "{}", printable(question)).and_then(|()| err.flush());
    }

    /// Says why nothing came of it; gives the exit code.
    pub(crate) fn failure(&self, failure: &Failure, hint: Option<String>) -> Exit {
        let causes = causes(failure);
        if self.json {
            let tenant = match failure {
                Failure::Core(error) => error.tenant(),
                _ => None,
            };
            self.error_object(&json!({
                "kind": failure.kind(),
                "message": failure.to_string(),
                "tenant": tenant,
                "causes": causes,
                "hint": hint,
            }));
        } else {
            let causes = causes.iter().map(|cause| format!("\ncaused by: {cause}"));
            let hint = hint.map(|hint| format!("\nhint: {hint}"));
            let text: String = causes.chain(hint).collect();
            to_stderr(&format!("error: {failure}{text}"));
        }
        failure.exit()
    }

    /// Says what is wrong with the arguments, as JSON.
    pub(crate) fn usage(&self, error: &clap::Error) -> Exit {
        let core = error
            .source()
            .and_then(|source| source.downcast_ref::<boardinghouse_core::Error>());
        let (kind, message) = match core {
            Some(core) => (format!("{:?}", core.kind()), core.to_string()),
            None => ("Usage".to_owned(), error.render().to_string()),
        };
        self.error_object(&json!({
            "kind": kind,
            "message": message.trim_end().trim_start_matches("error: "),
            "tenant": null,
            "causes": [],
            "hint": null,
        }));
        Exit::Usage
    }

    fn error_object(&self, error: &serde_json::Value) {
        to_stderr(&format!("{:#}", json!({ "error": error })));
    }
}

/// Nobody is left to be told when stderr is closed.
fn to_stderr(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", printable(text));
}

fn causes(failure: &Failure) -> Vec<String> {
    std::iter::successors(failure.source(), |&error| error.source())
        .map(|error| error.to_string().trim_end().to_owned())
        .collect()
}

/// The text without control codes: rows of a tenant must not drive the operator's terminal.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' && c != '\t' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn control_codes_are_shown_and_not_obeyed() {
        assert_eq!(printable("a\u{1b}[31mb\r\n\tc"), "a\\u{1b}[31mb\\r\n\tc");
        assert_eq!(printable("\u{9b}2J é"), "\\u{9b}2J é");
    }
}
