//! The only place where a name becomes part of SQL text.
//!
//! Identifiers and literals are quoted here, always, whatever they hold; every statement that has a
//! name in it is put together here. Values go as bind parameters.

mod checkout;
mod confirm;
mod create;
pub(crate) mod fleet;
pub(crate) mod relocate;

use std::{
    fmt::{self, Write as _},
    sync::LazyLock,
};

use diesel::result::{DatabaseErrorKind, Error as DieselError};

pub(crate) use checkout::{Claim, Mark, forget_proof, prove, set_path, tag};
pub(crate) use confirm::{CONFIRM_SCHEMA, CONFIRM_TENANT};
pub(crate) use create::{
    begin_clone, claim_tenant, drop_ready_schema, reclaim_tenant, register_tenant,
};

use crate::names::SchemaName;

/// An identifier in double quotes, for use in SQL text
/// (PostgreSQL manual, 4.1.1 "Identifiers and Key Words").
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ident<'a>(pub(crate) &'a str);

impl fmt::Display for Ident<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

impl Ident<'_> {
    /// As people write it: with quotes only where it needs them.
    pub(crate) fn bare_if_possible(&self) -> String {
        let begins = |c: u8| c.is_ascii_lowercase() || c == b'_';
        let goes_on = |c: u8| begins(c) || c.is_ascii_digit() || c == b'$';
        let plain = self.0.bytes().next().is_some_and(begins) && self.0.bytes().all(goes_on);
        match plain && !KEYWORDS.split_ascii_whitespace().any(|word| word == self.0) {
            true => self.0.to_owned(),
            false => self.to_string(),
        }
    }
}

/// The words that mean something else, in some place, than the name (PostgreSQL manual, appendix C "SQL
/// Key Words"): all that are not called non-reserved, up to version 18.
const KEYWORDS: &str = "all analyse analyze and any array as asc asymmetric authorization between bigint \
    binary bit boolean both case cast char character check coalesce collate collation column concurrently \
    constraint create cross current_catalog current_date current_role current_schema current_time \
    current_timestamp current_user dec decimal default deferrable desc distinct do else end except exists \
    extract false fetch float for foreign freeze from full grant greatest group grouping having ilike in \
    initially inner inout int integer intersect interval into is isnull join json json_array \
    json_arrayagg json_exists json_object json_objectagg json_query json_scalar json_serialize json_table \
    json_value lateral leading least left like limit localtime localtimestamp merge_action national natural \
    nchar none normalize not notnull null nullif numeric offset on only or order out outer overlaps overlay \
    placing position precision primary real references returning right row select session_user setof \
    similar smallint some substring symmetric system_user table tablesample then time timestamp to trailing \
    treat trim true union unique user using values varchar variadic verbose when where window with \
    xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot \
    xmlserialize xmltable";

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

/// What Diesel sets on a new connection.
macro_rules! set_diesels {
    () => {
        "SET TIME ZONE 'UTC'; SET client_encoding TO 'UTF8'"
    };
}

/// The path that sees neither a tenant nor the shared schema, and what Diesel sets. `pg_temp` comes last
/// everywhere, so that no temporary table can shadow a real one.
macro_rules! set_neutral {
    () => {
        concat!("SET search_path TO pg_catalog,pg_temp; ", set_diesels!())
    };
}

/// Puts a session on the neutral path, and prepares the statement that ends [`CLEAN`]; one without
/// columns, which saves describing and sending them.
macro_rules! start {
    () => {
        concat!(
            set_neutral!(),
            "; PREPARE boardinghouse_unlock AS SELECT WHERE pg_catalog.pg_advisory_unlock_all() IS NULL"
        )
    };
}

/// What a clean begins with.
macro_rules! reset {
    () => {
        "SET SESSION AUTHORIZATION DEFAULT; RESET ALL"
    };
}

/// What a clean ends with.
macro_rules! discard {
    () => {
        "CLOSE ALL; UNLISTEN *; DISCARD TEMP; DISCARD SEQUENCES; EXECUTE boardinghouse_unlock"
    };
}

/// What Diesel has set, and `RESET ALL` takes back in a session that started otherwise.
pub(crate) const SET_DIESELS: &str = set_diesels!();

/// Sets everything to what the session started with.
pub(crate) const RESET: &str = reset!();

/// Whether what the session started with is all that [`START`] sets, and was asked for by the client: what
/// a file or a role sets can change while the session lasts.
pub(crate) const IS_NEUTRAL: &str = "COALESCE((SELECT \
     pg_catalog.string_agg(pg_catalog.concat_ws('=', name, setting), ' ' ORDER BY name COLLATE pg_catalog.\"C\") \
     FROM pg_catalog.pg_settings WHERE source OPERATOR(pg_catalog.=) 'client' \
     AND name OPERATOR(pg_catalog.=) ANY ('{TimeZone,client_encoding,search_path}')) \
     OPERATOR(pg_catalog.=) 'TimeZone=UTC client_encoding=UTF8 search_path=pg_catalog,pg_temp', false)";

/// Makes a fresh connection ready.
pub(crate) const START: &str = start!();

/// Drops what was prepared on the server, for sessions that hold statements without a tag, or too many.
pub(crate) const FORGET_STATEMENTS: &str = concat!("DEALLOCATE ALL; ", start!());

/// Removes everything that a borrower can have left in a session, except an open transaction, and fails
/// when the borrower dropped what was prepared.
///
/// This is `DISCARD ALL` (PostgreSQL manual, SQL command DISCARD) less `DEALLOCATE ALL`, which would
/// take Diesel's prepared statements from under it. All but the last are utility statements, which are
/// neither planned nor run as queries; the last is planned already, under the neutral path.
///
/// It is for a session that started on that path, to which `RESET ALL` leads.
pub(crate) const CLEAN: &str = concat!(reset!(), "; ", discard!());

/// As [`CLEAN`], for a session that started otherwise: `RESET ALL` also undoes what Diesel has set.
pub(crate) const CLEAN_AND_SET: &str = concat!(reset!(), "; ", set_neutral!(), "; ", discard!());

/// The end of a transaction on a session that is the borrower's anyway. A `COMMIT` that ends a failed
/// transaction is no error to PostgreSQL, though it saves nothing; a statement before it is.
pub(crate) const COMMIT: &str = "SELECT 1; COMMIT";

/// See [`COMMIT`].
pub(crate) const ROLLBACK: &str = "ROLLBACK";

/// The end of a transaction after which the server process may serve anybody: fails unless the
/// transaction is the one that [`begin`] began, removes what [`CLEAN`] removes, and commits.
///
/// Deferred triggers run first, while the path is still the tenant's. What is not transactional is
/// undone before the commit, so that nothing is left to do where that fails. `RESET ALL` leaves the
/// process as it was started; the two settings are Diesel's, made when it connected.
pub(crate) static COMMIT_AND_CLEAN: LazyLock<String> = LazyLock::new(|| {
    let ours = proof(
        "CASE WHEN pg_catalog.current_setting('boardinghouse.bound', true) \
         OPERATOR(pg_catalog.=) 'yes' THEN 1 ELSE 0 END",
    );
    format!(
        "SELECT {ours}; SET CONSTRAINTS ALL IMMEDIATE; \
         {RESET}; {}; \
         CLOSE ALL; UNLISTEN *; SELECT pg_catalog.pg_advisory_unlock_all(); \
         DISCARD TEMP; DISCARD SEQUENCES; COMMIT",
        set_diesels!()
    )
});

/// As [`COMMIT_AND_CLEAN`]; the rollback takes back everything that is transactional.
pub(crate) const ROLLBACK_AND_CLEAN: &str =
    "ROLLBACK; SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD SEQUENCES";

/// Begins a transaction with what Diesel and the client have set, for as long as it lasts: the server
/// process may come from somebody else. It also gets a mark by which it is known again.
pub(crate) fn begin(application_name: &str) -> String {
    format!(
        "BEGIN; SET LOCAL TIME ZONE 'UTC'; SET LOCAL client_encoding TO 'UTF8'; \
         SET LOCAL application_name TO {}; SET LOCAL boardinghouse.bound TO 'yes'",
        Literal(application_name)
    )
}

/// Whether an error is that of a [`proof`].
pub(crate) fn is_proof(error: &DieselError) -> bool {
    matches!(
        error,
        DieselError::DatabaseError(DatabaseErrorKind::CheckViolation, info)
            if info.constraint_name() == Some("cardinal_number_domain_check")
    )
}

/// Fails with a check violation unless the session is that of backend `pid`.
pub(crate) fn prove_backend(pid: i32) -> String {
    prove_that(&format!(
        "pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) {pid}"
    ))
}

/// Fails with a proof unless the condition is true; NULL counts as false.
fn prove_that(condition: &str) -> String {
    let verdict = format!("CASE WHEN {condition} THEN 1 ELSE 0 END");
    format!("SELECT {};", proof(&verdict))
}

/// Whether the schema of that name is the one with that number; NULL where there is none.
fn has_number(schema: &SchemaName, number: u32) -> String {
    let name = schema.quoted().to_string();
    format!(
        "pg_catalog.to_regnamespace({})::pg_catalog.oid OPERATOR(pg_catalog.=) '{number}'::pg_catalog.oid",
        Literal(&name)
    )
}

/// An expression that fails with a check violation, the one kind of error that Diesel tells apart and
/// that nothing else in our messages can raise, unless `verdict` is 1. The domain is PostgreSQL's own, in
/// every database (PostgreSQL manual, 37.1 "The Schema", 37.2 "Data Types").
fn proof(verdict: &str) -> String {
    format!("({verdict} OPERATOR(pg_catalog.-) 1)::information_schema.cardinal_number")
}

/// Statements that fail as a [`proof`] does where they have waited for a lock for too long, or would for ever.
/// Diesel does not pass on which error it was.
pub(crate) fn or_busy(statements: &str) -> String {
    let body = format!(
        "BEGIN EXECUTE {}; EXCEPTION WHEN lock_not_available OR deadlock_detected THEN \
         RAISE check_violation USING MESSAGE = SQLERRM, CONSTRAINT = 'cardinal_number_domain_check'; END",
        Literal(statements)
    );
    format!("DO {};", Literal(&body))
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

/// Creates a database.
pub(crate) fn create_database(name: &str) -> String {
    format!("CREATE DATABASE {}", Ident(name))
}

/// Drops a database, and ends the sessions in it.
pub(crate) fn drop_database(name: &str) -> String {
    format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", Ident(name))
}

/// Drops a database; fails where somebody is connected to it.
pub(crate) fn drop_unused_database(name: &str) -> String {
    format!("DROP DATABASE IF EXISTS {}", Ident(name))
}

/// Creates an extension, those that it needs, and its schema, where they are missing.
pub(crate) fn create_extension(name: &str, schema: &SchemaName) -> String {
    format!(
        "{}; CREATE EXTENSION IF NOT EXISTS {} SCHEMA {} CASCADE",
        create_schema_if_missing(schema),
        Ident(name),
        schema.quoted()
    )
}

/// Creates a schema unless it is there.
pub(crate) fn create_schema_if_missing(schema: &SchemaName) -> String {
    format!("CREATE SCHEMA IF NOT EXISTS {}", schema.quoted())
}

/// What the template of a kind has as its comment until it has all of its first migrations.
pub(crate) const UNFINISHED: &str = "boardinghouse: not finished, and not cloned yet";

/// Creates a schema that is not finished. Both statements are one message, and so one transaction.
pub(crate) fn create_unfinished_schema(schema: &SchemaName) -> String {
    format!(
        "CREATE SCHEMA {0}; COMMENT ON SCHEMA {0} IS {1}",
        schema.quoted(),
        Literal(UNFINISHED)
    )
}

/// Notes that a schema is finished.
pub(crate) fn finish_schema(schema: &SchemaName) -> String {
    format!("COMMENT ON SCHEMA {} IS NULL;", schema.quoted())
}

/// Drops a schema and everything in it.
pub(crate) fn drop_schema(schema: &SchemaName) -> String {
    format!("DROP SCHEMA IF EXISTS {} CASCADE", schema.quoted())
}

/// Drops a constraint of a table.
pub(crate) fn drop_constraint(schema: &SchemaName, table: &str, constraint: &str) -> String {
    format!(
        "ALTER TABLE {}.{} DROP CONSTRAINT {}",
        schema.quoted(),
        Ident(table),
        Ident(constraint)
    )
}

/// Drops tables, and what depends on them, if there are any to drop.
pub(crate) fn drop_tables(schema: &SchemaName, tables: &[&str]) -> Option<String> {
    let name = |table: &&str| format!("{}.{}", schema.quoted(), Ident(table));
    let names: Vec<String> = tables.iter().map(name).collect();
    (!names.is_empty()).then(|| format!("DROP TABLE {} CASCADE", names.join(", ")))
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
        "CREATE TABLE IF NOT EXISTS {} (\
         version VARCHAR(50) PRIMARY KEY NOT NULL, \
         run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)",
        history(schema)
    )
}

/// The table in which a schema remembers its migrations.
fn history(schema: &SchemaName) -> String {
    format!("{}.__diesel_schema_migrations", schema.quoted())
}

/// The migrations of several schemas, each of which has the table: rows of schema and version.
pub(crate) fn histories<'a>(schemas: impl IntoIterator<Item = &'a SchemaName>) -> String {
    let one = |schema: &SchemaName| {
        format!(
            "SELECT {}::text AS schema_name, version::text FROM {}",
            schema.literal(),
            history(schema)
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

/// Adds a label to an enum; `place` is BEFORE or AFTER another one.
pub(crate) fn add_label(
    name: &Ident<'_>,
    label: &Literal<'_>,
    place: Option<(&str, Literal<'_>)>,
) -> String {
    let place = place.map(|(word, other)| format!(" {word} {other}"));
    let place = place.unwrap_or_default();
    format!("ALTER TYPE {name} ADD VALUE {label}{place}")
}

/// A script that runs `statements` in a schema, in one transaction, after `notes` as comments.
pub(crate) fn repair_of(schema: &SchemaName, notes: &[String], statements: &[String]) -> String {
    let mut script = format!(
        "BEGIN;\nSET LOCAL search_path TO {}, pg_catalog, pg_temp;\nSET LOCAL check_function_bodies TO off;\n",
        schema.quoted()
    );
    for note in notes {
        let _ = writeln!(script, "-- {note}");
    }
    for statement in statements {
        let _ = writeln!(script, "{statement};");
    }
    script.push_str("COMMIT;\n");
    script
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

/// Subscribes to what the registry's triggers tell. A session hears its own notifications, too, once they
/// are committed; so it is seen whether any arrive.
pub(crate) const LISTEN: &str = "SET application_name TO 'boardinghouse listener'; LISTEN boardinghouse; \
     LISTEN boardinghouse_domains; LISTEN boardinghouse_members; NOTIFY boardinghouse";

/// The channel that tells of domains that lead elsewhere now.
pub(crate) const DOMAINS_CHANNEL: &str = "boardinghouse_domains";

/// The channel that tells of users whose memberships changed.
pub(crate) const MEMBERS_CHANNEL: &str = "boardinghouse_members";
