//! Exit codes, and what leads to them.

use std::process::{ExitCode, ExitStatus};

use boardinghouse_core::{Error, ErrorKind};

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done.
    Done,
    /// 1: something failed on the server, or for some tenant, or was cancelled.
    Failed,
    /// 2: invalid request, nothing was done; or `check` found a fault, or no proof of safety, or `lint` an
    /// error.
    Usage,
    /// 3: `status --check` or `migrate --check` found something pending, `drift` a difference, `gate` a tenant
    /// that is not ready, `print-schema --check` old code.
    Pending,
    /// What the program ended with that `dev` or `exec` ran.
    Child(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Pending => 3,
            Exit::Child(code) => code,
        })
    }
}

/// The exit code of a program, as a shell has it: 128 and the signal, where a signal has ended it.
pub(crate) fn code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal = None;
    let code = status.code().or_else(|| signal.map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Core(#[from] Error),
    #[error("cancelled: nothing was done")]
    Cancelled,
    /// Another program, which a command relies on, failed.
    #[error("{0}")]
    Tool(String),
    #[error("could not write the report")]
    Output(#[source] std::io::Error),
}

impl Failure {
    /// A request that makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Core(Error::new(ErrorKind::InvalidInput, message))
    }

    pub(crate) fn exit(&self) -> Exit {
        let Self::Core(error) = self else {
            return Exit::Failed;
        };
        match error.kind() {
            ErrorKind::InvalidName
            | ErrorKind::ReservedName
            | ErrorKind::InvalidInput
            | ErrorKind::TenantNotFound
            | ErrorKind::TenantExists
            | ErrorKind::SchemaExists
            | ErrorKind::TemplateMissing
            | ErrorKind::TemplateUnsupported
            | ErrorKind::RegistryMissing => Exit::Usage,
            _ => Exit::Failed,
        }
    }

    /// The kind of the failure, for programs.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Core(error) => format!("{:?}", error.kind()),
            Self::Cancelled => "Cancelled".to_owned(),
            Self::Tool(_) => "Tool".to_owned(),
            Self::Output(_) => "Output".to_owned(),
        }
    }
}
