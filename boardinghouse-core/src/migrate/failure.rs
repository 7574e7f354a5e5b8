//! Why a schema is not where it should be, and what is known about it.

use std::error::Error as StdError;

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use super::{
    apply::{Visit, Worker},
    diagnose,
    goal::Step,
    report::FailedMigration,
    set::Set,
};
use crate::error::{Error, ErrorKind};

/// Why a schema is not where it should be.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) details: Option<FailedMigration>,
    pub(super) passing: Passing,
}

/// Whether it may go well the next time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passing {
    No,
    /// It went well when it was looked into.
    Once,
    /// Somebody held a lock, or the connection was lost.
    Yes,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let passing = match error.kind() {
            ErrorKind::ConnectionFailed | ErrorKind::Locked => Passing::Yes,
            _ => Passing::No,
        };
        Self {
            error,
            details: None,
            passing,
        }
    }
}

impl Worker<'_> {
    /// Puts the migration and the schema into an error, and finds out more about it.
    pub(super) fn explain(
        &mut self,
        visit: &Visit,
        set: &Set,
        step: &Step,
        error: Error,
        waited: bool,
    ) -> Failure {
        let name = step.describe(set);
        let mut details = FailedMigration {
            migration: step
                .entry(set)
                .map_or_else(|| name.clone(), |entry| entry.name.clone()),
            sqlstate: None,
            statement: None,
        };
        if let ErrorKind::Locked | ErrorKind::ConnectionFailed | ErrorKind::SchemaUnavailable =
            error.kind()
        {
            return error.into();
        }
        let mut passing = Passing::No;
        if let Some(failed) = diesel_error(&error) {
            let known = known_sqlstate(failed);
            let in_transaction = step.entry(set).is_some_and(|entry| entry.in_transaction);
            let script = step.script(set).filter(|_| in_transaction);
            let found = script.and_then(|script| {
                let extra = self.migrator.pool.layout().extra();
                let wait = self.migrator.lock_timeout;
                let session = self.session().ok()?;
                session.lend();
                diagnose::run(&mut session.pg, &visit.schema, extra, &script.text, wait)
            });
            match found {
                // Something is in the way, or was: it went well this time.
                Some(diagnose::Found::Failed(found)) if is_passing(&found.sqlstate) => {
                    passing = Passing::Yes;
                    details.sqlstate = Some(found.sqlstate);
                    details.statement = found.statement;
                }
                Some(diagnose::Found::Nothing) if known.is_none() => passing = Passing::Once,
                // It waited as long as it may, as far as can be told.
                None if known.is_none() && in_transaction && waited => passing = Passing::Yes,
                Some(diagnose::Found::Failed(found))
                    if known.is_none_or(|known| known == found.sqlstate) =>
                {
                    details.sqlstate = Some(found.sqlstate);
                    details.statement = found.statement;
                }
                _ => {}
            }
            details.sqlstate = details.sqlstate.or_else(|| known.map(str::to_owned));
            if details.sqlstate.as_deref().is_some_and(is_passing) {
                passing = Passing::Yes;
            }
        }
        let message = match step {
            Step::TakeBack(at) => {
                format!(
                    "taking migration {} back failed on {}",
                    set.entries[*at].name, visit.target
                )
            }
            _ => format!("migration {name} failed on {}", visit.target),
        };
        Failure {
            error: Error::new(ErrorKind::Migration, message).with_source(error),
            details: Some(details),
            passing,
        }
    }
}

/// What the server said, however deep it is wrapped.
fn diesel_error(error: &Error) -> Option<&DieselError> {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<DieselError>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// The SQLSTATE of the kinds of errors that Diesel tells apart (PostgreSQL manual, appendix A "PostgreSQL
/// Error Codes").
fn known_sqlstate(error: &DieselError) -> Option<&'static str> {
    let DieselError::DatabaseError(kind, _) = error else {
        return None;
    };
    Some(match kind {
        DatabaseErrorKind::UniqueViolation => "23505",
        DatabaseErrorKind::ForeignKeyViolation => "23503",
        DatabaseErrorKind::NotNullViolation => "23502",
        DatabaseErrorKind::CheckViolation => "23514",
        DatabaseErrorKind::SerializationFailure => "40001",
        DatabaseErrorKind::ReadOnlyTransaction => "25006",
        _ => return None,
    })
}

/// `lock_not_available`, `deadlock_detected`, `serialization_failure`.
fn is_passing(sqlstate: &str) -> bool {
    ["55P03", "40P01", "40001"].contains(&sqlstate)
}
