//! Whether there is a registry, and whether this library can use it.

use diesel::{dsl::sql, prelude::*, result::Error as DieselError, sql_types};

use super::PgQueries;
use crate::error::{Error, ErrorKind, Result};

fn missing() -> Error {
    Error::new(
        ErrorKind::RegistryMissing,
        "this database has no registry: run `boardinghouse init`, or `Migrator::run`, first",
    )
}

fn older() -> Error {
    Error::new(
        ErrorKind::RegistryMissing,
        "the registry of this database is older than this library: run `boardinghouse migrate`, or \
         `Migrator::run`, first",
    )
}

/// Whether there is a registry, and whether this library can use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RegistryState {
    Missing,
    /// Made by an older library. Its tenants can be migrated, and nothing else.
    Older,
    Current,
}

pub(crate) fn state<C: PgQueries>(conn: &mut C) -> QueryResult<RegistryState> {
    // The table and the column came with the newest of our migrations that queries depend on.
    let (exists, current) = diesel::select((
        sql::<sql_types::Bool>(
            "pg_catalog.to_regclass('boardinghouse.tenants') IS NOT NULL \
             AND pg_catalog.to_regclass('boardinghouse.domains') IS NOT NULL",
        ),
        sql::<sql_types::Bool>(
            "pg_catalog.to_regclass('boardinghouse.members') IS NOT NULL \
             AND EXISTS (SELECT FROM pg_catalog.pg_attribute \
             WHERE attrelid = pg_catalog.to_regclass('boardinghouse.tenants')::pg_catalog.oid \
             AND attname = 'incarnation' AND NOT attisdropped)",
        ),
    ))
    .get_result(conn)?;
    Ok(match (exists, current) {
        (false, _) => RegistryState::Missing,
        (true, false) => RegistryState::Older,
        (true, true) => RegistryState::Current,
    })
}

/// Fails where the registry is missing or older than this library.
pub(crate) fn require<C: PgQueries>(conn: &mut C) -> Result<()> {
    match state(conn).map_err(|error| Error::database("look for the registry", error))? {
        RegistryState::Missing => Err(missing()),
        RegistryState::Older => Err(older()),
        RegistryState::Current => Ok(()),
    }
}

/// What the caller of a failed registry query is told.
pub(crate) fn explain<C: PgQueries>(conn: &mut C, what: &str, error: DieselError) -> Error {
    // Diesel does not pass the SQLSTATE on, so the server is asked what is wrong.
    match state(conn) {
        Ok(RegistryState::Missing) => missing(),
        Ok(RegistryState::Older) => older().with_source(error),
        Ok(RegistryState::Current) | Err(_) => Error::database(what, error),
    }
}
