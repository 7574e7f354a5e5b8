//! Which statement of a migration failed, and with which SQLSTATE, which Diesel does not pass on.

use std::time::Duration;

use diesel::{connection::SimpleConnection, prelude::*, sql_types};
use serde::Deserialize;

use super::transaction::in_transaction;
use crate::{
    error::{Error, ErrorKind, Result},
    names::SchemaName,
    scan,
    sql::fleet,
};

/// What running a migration once more came to. Nothing of it stays.
#[derive(Debug)]
pub(super) enum Found {
    /// It went well.
    Nothing,
    Failed(Failed),
}

#[derive(Debug)]
pub(super) struct Failed {
    pub(super) sqlstate: String,
    pub(super) statement: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    statement: usize,
    sqlstate: String,
}

/// Runs the text of a migration that has failed, and takes it back. `None` where that says nothing, for
/// example because the text cannot be parted into statements.
pub(super) fn run(
    pg: &mut PgConnection,
    schema: &SchemaName,
    rest: &[SchemaName],
    text: &str,
    lock_timeout: Duration,
) -> Option<Found> {
    if !scan::is_closed(text) {
        return ask(pg, schema, rest, &[text], lock_timeout);
    }
    let statements = scan::statements(text);
    // A text that is parted in the wrong place fails otherwise than the whole.
    let mut found = ask(pg, schema, rest, &statements, lock_timeout)?;
    if let Found::Failed(failed) = &mut found
        && failed.sqlstate == "42601"
        && statements.len() > 1
        && let Some(Found::Failed(whole)) = ask(pg, schema, rest, &[text], lock_timeout)
    {
        *failed = whole;
    }
    Some(found)
}

fn ask(
    pg: &mut PgConnection,
    schema: &SchemaName,
    rest: &[SchemaName],
    statements: &[&str],
    lock_timeout: Duration,
) -> Option<Found> {
    let mut answer = None;
    // Ended by an error, which rolls back.
    let _: Result<()> = in_transaction(pg, |pg| {
        let failed = |error| Error::database("look into a failure", error);
        let message =
            fleet::limit_waiting(lock_timeout) + &fleet::diagnose(schema, rest, statements);
        pg.batch_execute(&message).map_err(failed)?;
        let diagnosis = diesel::dsl::sql::<sql_types::Text>(fleet::DIAGNOSIS);
        answer = Some(
            diesel::select(diagnosis)
                .get_result::<String>(pg)
                .map_err(failed)?,
        );
        Err(Error::new(ErrorKind::Migration, "nothing of it stays"))
    });
    let answer = answer?;
    if answer.is_empty() {
        return Some(Found::Nothing);
    }
    let answer: Answer = serde_json::from_str(&answer).ok()?;
    let statement = answer
        .statement
        .checked_sub(1)
        .and_then(|at| statements.get(at));
    Some(Found::Failed(Failed {
        sqlstate: answer.sqlstate,
        statement: statement.map(|text| (*text).to_owned()),
    }))
}
