//! The only place where a name becomes part of SQL text.
//!
//! Identifiers and literals are quoted here, always, whatever they hold; every statement that has a
//! name in it is put together here. Values go as bind parameters.

use std::fmt::{self, Write as _};

use crate::{lock, names::SchemaName};

/// An identifier in double quotes, for use in SQL text
/// (PostgreSQL manual, 4.1.1 "Identifiers and Key Words").
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ident<'a>(pub(crate) &'a str);

impl fmt::Display for Ident<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A string constant, for use in SQL text (PostgreSQL manual, 4.1.2 "Constants").
///
/// A backslash makes it an escape string, so that it means the same under either setting of
/// `standard_conforming_strings`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Literal<'a>(pub(crate) &'a str);

impl fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.replace('\'', "''");
        if text.contains('\\') {
            write!(f, " E'{}'", text.replace('\\', "\\\\"))
        } else {
            write!(f, "'{text}'")
        }
    }
}

impl SchemaName {
    /// This name, quoted for use in SQL text.
    pub(crate) fn quoted(&self) -> Ident<'_> {
        Ident(self.as_str())
    }

    /// This name as a string constant for use in SQL text.
    pub(crate) fn literal(&self) -> Literal<'_> {
        Literal(self.as_str())
    }
}

/// Puts a fresh connection on a path that sees neither a tenant nor the shared schema, and prepares the
/// statement by which [`CLEAN`] knows that Diesel's are still there. `pg_temp` comes last everywhere, so
/// that no temporary table can shadow a real one.
pub(crate) const START: &str = "SET search_path TO pg_catalog, pg_temp; \
     PREPARE boardinghouse_sentinel AS SELECT 1";

/// Drops what was prepared on the server, for sessions that hold statements without a tag.
pub(crate) const FORGET_STATEMENTS: &str = "DEALLOCATE ALL; \
     SET search_path TO pg_catalog, pg_temp; PREPARE boardinghouse_sentinel AS SELECT 1";

/// Removes everything that a borrower can have left in a session, except an open transaction, and fails
/// when the borrower dropped what was prepared.
///
/// This is `DISCARD ALL` (PostgreSQL manual, SQL command DISCARD) less `DEALLOCATE ALL`, which would
/// take Diesel's prepared statements from under it. `RESET ALL` also undoes what Diesel itself sets
/// on a new connection, so that is set again.
pub(crate) const CLEAN: &str = "SET SESSION AUTHORIZATION DEFAULT; RESET ALL; \
     SET TIME ZONE 'UTC'; SET client_encoding TO 'UTF8'; \
     CLOSE ALL; UNLISTEN *; SELECT pg_catalog.pg_advisory_unlock_all(); \
     DISCARD TEMP; DISCARD SEQUENCES; SET search_path TO pg_catalog, pg_temp; \
     EXECUTE boardinghouse_sentinel";

/// Fails with a check violation unless the session is that of backend `pid`.
pub(crate) fn prove_backend(pid: i32) -> String {
    format!(
        "SELECT {};",
        proof(&format!(
            "pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) {pid}"
        ))
    )
}

/// An expression that fails with a check violation, the one kind of error that Diesel tells apart and
/// that nothing else in our messages can raise, unless `condition` holds. The domain is PostgreSQL's
/// own, in every database (PostgreSQL manual, 37.1 "The Schema", 37.2 "Data Types").
fn proof(condition: &str) -> String {
    format!("(CASE WHEN {condition} THEN 0 ELSE -1 END)::information_schema.cardinal_number")
}

/// A search_path: the schemas in order, quoted, and `pg_temp` last.
pub(crate) fn path<'a>(schemas: impl IntoIterator<Item = &'a SchemaName>) -> String {
    let mut path = String::with_capacity(64);
    for schema in schemas {
        let _ = write!(path, "{}, ", schema.quoted());
    }
    path.push_str("pg_temp");
    path
}

/// Sets the path and proves that it leads to `schema`.
///
/// PostgreSQL takes any path, and skips what is missing or not to be used by the role; the next query
/// then reads the schema after it. So the answer of `current_schema()` decides.
///
/// With `in_use`, the session also takes the lock that says so, and fails where somebody waits to
/// drop the schema.
pub(crate) fn bind<'a>(
    schema: &'a SchemaName,
    rest: impl IntoIterator<Item = &'a SchemaName>,
    in_use: bool,
) -> String {
    let name = schema.literal();
    let mut condition = format!("pg_catalog.current_schema() OPERATOR(pg_catalog.=) {name}");
    if in_use {
        let _ = write!(
            condition,
            " AND pg_catalog.pg_try_advisory_lock_shared({}, pg_catalog.hashtext({name}))",
            lock::IN_USE
        );
    }
    format!(
        "SET search_path TO {}; SELECT {}",
        path(std::iter::once(schema).chain(rest)),
        proof(&condition)
    )
}

/// Sets the path.
pub(crate) fn set_path<'a>(schemas: impl IntoIterator<Item = &'a SchemaName>) -> String {
    format!("SET search_path TO {}", path(schemas))
}

/// The comment that names a schema and its epoch in front of each statement.
///
/// A name that could end the comment, or open another one, is written in hexadecimal digits.
pub(crate) fn tag(schema: &SchemaName, epoch: i64) -> String {
    let name = schema.as_str();
    if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        format!("/*{name}.{epoch}*/ ")
    } else {
        let digits: String = name.bytes().map(|b| format!("{b:02x}")).collect();
        format!("/*x'{digits}'.{epoch}*/ ")
    }
}

/// Creates a schema unless it is there.
pub(crate) fn create_schema_if_missing(schema: &SchemaName) -> String {
    format!("CREATE SCHEMA IF NOT EXISTS {}", schema.quoted())
}

/// Drops a schema and everything in it.
pub(crate) fn drop_schema(schema: &SchemaName) -> String {
    format!("DROP SCHEMA IF EXISTS {} CASCADE", schema.quoted())
}

/// Gives a schema another name. Everything in it comes along.
pub(crate) fn rename_schema(schema: &SchemaName, new: &SchemaName) -> String {
    format!(
        "ALTER SCHEMA {} RENAME TO {}",
        schema.quoted(),
        new.quoted()
    )
}

/// Creates the table in which a schema remembers its migrations, as Diesel does.
pub(crate) fn create_history(schema: &SchemaName) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {}.__diesel_schema_migrations (\
         version VARCHAR(50) PRIMARY KEY NOT NULL, \
         run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)",
        schema.quoted()
    )
}

/// Remembers a migration; its version is the parameter.
pub(crate) fn remember_migration(schema: &SchemaName) -> String {
    format!(
        "INSERT INTO {}.__diesel_schema_migrations (version) VALUES ($1)",
        schema.quoted()
    )
}

/// The migrations of several schemas, each of which has the table: rows of schema and version.
pub(crate) fn histories<'a>(schemas: impl IntoIterator<Item = &'a SchemaName>) -> String {
    let one = |schema: &SchemaName| {
        format!(
            "SELECT {}::text AS schema_name, version::text FROM {}.__diesel_schema_migrations",
            schema.literal(),
            schema.quoted()
        )
    };
    schemas
        .into_iter()
        .map(one)
        .collect::<Vec<_>>()
        .join(" UNION ALL ")
}

/// Which of a schema's tables hold rows: their names.
pub(crate) fn tables_with_rows(schema: &SchemaName, tables: &[String]) -> String {
    let one = |table: &String| {
        format!(
            "SELECT {}::text AS name WHERE EXISTS (SELECT FROM {}.{})",
            Literal(table),
            schema.quoted(),
            Ident(table)
        )
    };
    let all: Vec<_> = tables.iter().map(one).collect();
    all.join(" UNION ALL ")
}

/// Prepares a statement, under `name`, that gives each row of `statement` as JSON.
pub(crate) fn prepare_as_json(name: &str, statement: &str) -> String {
    // The statement stands on lines of its own: it may end with a comment.
    format!(
        "PREPARE {name} AS WITH boardinghouse_rows AS (\n{statement}\n) \
         SELECT pg_catalog.row_to_json(boardinghouse_rows)::text AS answer FROM boardinghouse_rows",
        name = Ident(name),
    )
}

/// Runs what was prepared under `name`.
pub(crate) fn execute(name: &str) -> String {
    format!("EXECUTE {}", Ident(name))
}

/// Forgets what was prepared under `name`.
pub(crate) fn deallocate(name: &str) -> String {
    format!("DEALLOCATE {}", Ident(name))
}
