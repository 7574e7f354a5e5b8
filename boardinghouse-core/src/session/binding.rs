//! Where a session is to be put, and why it could not be.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use crate::{
    error::{Error, ErrorKind},
    names::SchemaName,
    sql::{self, Claim, Mark},
};

/// Where a session is to be put: the whole path, the proof of it, and what statements are tagged with.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(super) schema: SchemaName,
    pub(super) epoch: i64,
    pub(super) mark: Mark,
    pub(super) in_use: bool,
    /// Whether nothing is hidden behind the names that the path leads to.
    pub(super) open: bool,
    /// Sets the path. In a session that keeps nothing, also proves it.
    pub(super) sql: String,
}

impl Binding {
    /// A path of `schema`, then the `rest`.
    pub(crate) fn new<'a>(
        schema: &'a SchemaName,
        epoch: i64,
        rest: impl IntoIterator<Item = &'a SchemaName>,
    ) -> Self {
        Self {
            schema: schema.clone(),
            epoch,
            mark: Mark::default(),
            in_use: false,
            open: false,
            sql: sql::set_path(std::iter::once(schema).chain(rest)),
        }
    }

    /// The same; the session also says that it uses the schema, for as long as it is on it.
    pub(crate) fn in_use(mut self) -> Self {
        self.in_use = true;
        self
    }

    /// The same, for the one schema that has this mark.
    pub(crate) fn only(mut self, mark: Mark) -> Self {
        self.mark = mark;
        self
    }

    /// The same, where nothing is hidden behind the names that the path leads to.
    pub(crate) fn open(mut self, open: bool) -> Self {
        self.open = open;
        self
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn claim(&self) -> Claim<'_> {
        Claim {
            schema: &self.schema,
            mark: self.mark,
            in_use: self.in_use,
        }
    }
}

/// Why a bind failed.
#[derive(Debug)]
pub(crate) enum BindError {
    /// The server closed the connection, or the session was inside somebody's transaction: another
    /// connection may do.
    Stale,
    /// The path did not lead to the schema: it is missing, being dropped, or not the role's to use.
    Unavailable,
    /// Anything else.
    Failed(DieselError),
}

impl BindError {
    /// The error for the caller.
    pub(crate) fn explain(self, binding: &Binding) -> Error {
        let schema = &binding.schema;
        match self {
            Self::Stale => Error::new(
                ErrorKind::ConnectionFailed,
                format!(
                    "the connection was lost, or not idle, when it was bound to schema {schema}"
                ),
            ),
            Self::Unavailable => Error::new(
                ErrorKind::SchemaUnavailable,
                format!(
                    "schema {schema} is missing, is being renamed or dropped, or this role has no \
                     USAGE privilege on it"
                ),
            ),
            Self::Failed(error) => {
                Error::database(&format!("bind a connection to schema {schema}"), error)
            }
        }
    }

    /// What a failed message comes to, where nothing in it is a proof.
    pub(crate) fn of(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(
                DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand,
                _,
            ) => Self::Stale,
            error => Self::Failed(error),
        }
    }
}
