//! The one error type of this crate.

use std::error::Error as StdError;

use diesel::result::{ConnectionError, DatabaseErrorKind, Error as DieselError};

use crate::names::TenantId;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync>;

/// What went wrong, on which tenant, and what to do about it.
///
/// [`kind`](Error::kind) is made for `match`, the message for people. The message never repeats the
/// cause: walk [`source`](StdError::source) for it, or print both with [`chain`](Error::chain).
///
/// # Examples
///
/// ```
/// use boardinghouse_core::{ErrorKind, TenantId};
///
/// let error = "Not A Label".parse::<TenantId>().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidName);
/// assert!(error.to_string().contains("Not A Label"));
/// ```
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Inner>);

#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Inner {
    kind: ErrorKind,
    message: String,
    tenant: Option<TenantId>,
    source: Option<Source>,
}

/// What kind of thing an [`Error`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A name that cannot be a tenant id or a schema name. Nothing was sent to the server.
    InvalidName,
    /// A name that belongs to the shared schema, the template, the registry or a reserved word.
    ReservedName,
    /// An attribute, option or file that cannot be used as given.
    InvalidInput,
    /// The registry has no such tenant.
    TenantNotFound,
    /// The registry has this tenant, or its domain, already.
    TenantExists,
    /// The tenant is there but is not served: suspended, pending, failed or being dropped.
    TenantUnavailable,
    /// A schema of this name exists already and is not ours to use.
    SchemaExists,
    /// The schema is missing, or this role may not use it.
    SchemaUnavailable,
    /// The template schema is missing: the database has not been initialised.
    TemplateMissing,
    /// The template holds objects that cannot be cloned faithfully. Nothing was created.
    TemplateUnsupported,
    /// The registry is missing or older than this library.
    RegistryMissing,
    /// No connection became free within the checkout timeout.
    PoolTimeout,
    /// The server cannot be reached, or it refused the credentials.
    ConnectionFailed,
    /// Another process holds the lock that is needed.
    Locked,
    /// Something outside a schema depends on something in it. Nothing was dropped.
    HasDependents,
    /// Rows that were to become one differ. Nothing was changed.
    Conflict,
    /// A migration failed. Its transaction was rolled back.
    Migration,
    /// Schemas are behind: migrations are pending.
    MigrationsPending,
    /// Work for one of many tenants panicked. Its connection was closed.
    Panicked,
    /// A tenant has no such file.
    FileNotFound,
    /// A file of a tenant could not be read or written.
    FileFailed,
    /// No PostgreSQL server could be found, fetched or started.
    Embedded,
    /// What was asked for needs sessions, and the pool keeps none:
    /// [`PathMode::Transaction`](crate::PathMode::Transaction). Nothing was sent to the server.
    NeedsSession,
    /// The work in a transaction ended it, by text, or left one of its own open.
    TransactionEnded,
    /// The connection was lost during a commit: whether anything was saved is not known.
    OutcomeUnknown,
    /// A statement failed on the server.
    Database,
}

impl Error {
    /// An error of `kind` that says `message`.
    ///
    /// For implementors of the traits of this crate; the crate itself makes all others.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            tenant: None,
            source: None,
        }))
    }

    /// The same error, naming the tenant that it is about.
    #[must_use]
    pub fn with_tenant(mut self, tenant: &TenantId) -> Self {
        self.0.tenant.get_or_insert_with(|| tenant.clone());
        self
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error, for one more who waited for it: its causes are text.
    pub(crate) fn same(&self) -> Self {
        let mut same = Self::new(self.kind(), self.chain());
        same.0.tenant = self.0.tenant.clone();
        same
    }

    /// The same error in other words.
    #[must_use]
    pub(crate) fn reworded(mut self, message: impl Into<String>) -> Self {
        self.0.message = message.into();
        self
    }

    /// What kind of error this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The tenant that the error is about, where there is one.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        self.0.tenant.as_ref()
    }

    /// The message followed by those of all its causes, separated by `: `.
    #[must_use]
    pub fn chain(&self) -> String {
        error_chain(self)
    }

    /// The cause as Diesel's error, where the server or Diesel is the cause.
    #[must_use]
    pub fn as_diesel(&self) -> Option<&DieselError> {
        self.0.source.as_deref()?.downcast_ref()
    }

    /// A failed statement: `what` completes "could not …".
    pub(crate) fn database(what: &str, source: DieselError) -> Self {
        let kind = match &source {
            DieselError::DatabaseError(
                DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand,
                _,
            ) => ErrorKind::ConnectionFailed,
            _ => ErrorKind::Database,
        };
        Self::new(kind, format!("could not {what}")).with_source(source)
    }

    /// A connection that could not be opened.
    pub(crate) fn connect(source: ConnectionError) -> Self {
        Self::new(
            ErrorKind::ConnectionFailed,
            "could not connect to PostgreSQL: check the database URL, the server and the password",
        )
        .with_source(source)
    }
}

impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("kind", &self.0.kind)
            .field("message", &self.0.message);
        if let Some(tenant) = &self.0.tenant {
            out.field("tenant", tenant);
        }
        if let Some(source) = &self.0.source {
            out.field("source", source);
        }
        out.finish()
    }
}

impl From<DieselError> for Error {
    /// Lets `?` pass Diesel's errors on from a closure that returns this crate's [`Result`].
    fn from(source: DieselError) -> Self {
        Self::database("run a query", source)
    }
}

/// The message of an error followed by those of all its causes, separated by `: `.
///
/// # Examples
///
/// ```
/// let broken: Result<u8, _> = "x".parse::<u8>();
/// assert_eq!(
///     boardinghouse_core::error_chain(&broken.unwrap_err()),
///     "invalid digit found in string"
/// );
/// ```
#[must_use]
pub fn error_chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(error.to_string().trim_end());
        cause = error.source();
    }
    text
}
