//! The only place where a name becomes part of SQL text.
//!
//! Identifiers and literals are quoted here, always, whatever they hold; every statement that has a
//! name in it is put together here. Values go as bind parameters.

mod confirm;
pub(crate) mod fleet;
pub(crate) mod relocate;

use std::{
    fmt::{self, Write as _},
    sync::LazyLock,
    time::Duration,
};

use diesel::result::{DatabaseErrorKind, Error as DieselError};

pub(crate) use confirm::{CONFIRM_SCHEMA, CONFIRM_TENANT};

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

/// What a path is proven against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'a> {
    /// The schema that unqualified names are to be looked up in first.
    pub(crate) schema: &'a SchemaName,
    /// By what the schema is known again.
    pub(crate) mark: Mark,
    /// Whether the session also takes the lock that says that it uses the schema. It is refused where
    /// somebody waits to drop or rename it.
    pub(crate) in_use: bool,
}

/// By what a schema is known again, whatever its name was or will be. Numbers are never given twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Its own number: a schema that was dropped and created anew has another.
    pub(crate) schema: Option<u32>,
    /// The number of a table in it.
    pub(crate) table: Option<u32>,
}

impl Claim<'_> {
    /// What is true when the path leads where it should; NULL counts as false.
    ///
    /// PostgreSQL takes any path, and skips what is missing or not to be used by the role; the next
    /// query then reads the schema after it. So the server is asked where the path leads: whether a table
    /// of the schema is what its bare name means, which is all in one; else whether the schema of that
    /// name is the one, and what `current_schema()` is.
    fn led(&self) -> String {
        let name = self.schema.literal();
        let here = format!("pg_catalog.current_schema() OPERATOR(pg_catalog.=) {name}");
        match self.mark {
            Mark {
                table: Some(table), ..
            } => format!("pg_catalog.pg_table_is_visible('{table}'::pg_catalog.oid)"),
            Mark {
                schema: Some(schema),
                ..
            } => {
                let quoted = self.schema.quoted().to_string();
                format!(
                    "CASE WHEN pg_catalog.to_regnamespace({})::pg_catalog.oid \
                     OPERATOR(pg_catalog.=) '{schema}'::pg_catalog.oid THEN {here} END",
                    Literal(&quoted)
                )
            }
            _ => here,
        }
    }

    /// A number that is 1 when the path leads where it should, and 0 otherwise. What comes `first`, and
    /// the lock, happen before the question.
    ///
    /// It is asked when the lock is held, so that nobody can drop or rename the schema between the two.
    /// But a session answers from what it has cached, and hears of other sessions' changes when its
    /// transaction begins, which was before, and when it opens a relation. So it is made to open one in
    /// between: the function between the two opens the relation and does nothing else. CASE alone promises
    /// an order (PostgreSQL manual, 4.2.14 "Expression Evaluation Rules").
    fn verdict(&self, first: &str, lock: &str) -> String {
        let mut verdict = format!("CASE {first}");
        if self.in_use {
            let _ = write!(
                verdict,
                "WHEN NOT pg_catalog.{lock}({}, pg_catalog.hashtext({})) THEN 0 \
                 WHEN pg_catalog.pg_relation_is_updatable('pg_catalog.pg_namespace', false) \
                 OPERATOR(pg_catalog.=) 0 THEN 0 ",
                lock::IN_USE,
                self.schema.literal()
            );
        }
        let _ = write!(verdict, "WHEN {} THEN 1 ELSE 0 END", self.led());
        verdict
    }

    /// Prepares, under `number`, the proof that [`prove`] runs: it gives back the locks of the checkout
    /// before, takes its own, and divides by zero unless the path leads to the schema.
    ///
    /// A plan is made anew when it is run on another path than it was made for. This one is made, and
    /// always run, on the path that it proves; so it is planned once for each tenant and connection, and
    /// a checkout only runs it. It has no columns, which saves describing and sending them.
    pub(crate) fn prepare_proof(&self, number: u32) -> String {
        format!(
            "PREPARE boardinghouse_proof_{number} AS SELECT WHERE 1 OPERATOR(pg_catalog./) {} \
             OPERATOR(pg_catalog.=) 0",
            self.verdict(
                "WHEN pg_catalog.pg_advisory_unlock_all() IS NULL THEN 0 ",
                SESSION_LOCK
            )
        )
    }

    /// One row, without columns, if the path still leads to the schema, in a session that has had the lock
    /// since that was last proven.
    pub(crate) fn still(&self) -> String {
        format!("SELECT WHERE {}", self.led())
    }

    /// The proof as a statement of its own, which fails with a check violation: it tells a path that
    /// leads elsewhere from every other failure.
    pub(crate) fn diagnose(&self) -> String {
        format!("SELECT {}", proof(&self.verdict("", SESSION_LOCK)))
    }

    /// Sets the path until the transaction ends, and proves it.
    pub(crate) fn bind_transaction(&self, rest: &[&SchemaName]) -> String {
        format!(
            "SET LOCAL search_path TO {}; SELECT {}",
            path(std::iter::once(self.schema).chain(rest.iter().copied())),
            proof(&self.verdict("", "pg_try_advisory_xact_lock_shared"))
        )
    }
}

const SESSION_LOCK: &str = "pg_try_advisory_lock_shared";

/// Runs the proof that was prepared under `number`.
pub(crate) fn prove(number: u32) -> String {
    format!("EXECUTE boardinghouse_proof_{number}")
}

/// Forgets the proof that was prepared under `number`.
pub(crate) fn forget_proof(number: u32) -> String {
    format!("DEALLOCATE boardinghouse_proof_{number}")
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

/// Begins the transaction in which `target` becomes a clone of one of `templates`: under `settings`, with a
/// path that sees none of them. Fails with a proof unless it gets the right to write to the one, and to read
/// the others.
pub(crate) fn begin_clone(
    templates: &[&SchemaName],
    target: &SchemaName,
    lock_timeout: Duration,
    settings: &str,
) -> String {
    let try_lock = |function: &str, schema: &SchemaName| {
        format!(
            "pg_catalog.{function}({}, pg_catalog.hashtext({}))",
            lock::SCHEMA,
            schema.literal()
        )
    };
    let readable: String = templates
        .iter()
        .map(|template| {
            let locked = try_lock("pg_try_advisory_xact_lock_shared", template);
            format!("WHEN NOT {locked} THEN 0 ")
        })
        .collect();
    let locked = format!(
        "CASE {readable}WHEN {} THEN 1 ELSE 0 END",
        try_lock("pg_try_advisory_xact_lock", target),
    );
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; {settings} SET LOCAL lock_timeout TO {}; \
         SET LOCAL search_path TO pg_catalog, pg_temp; SELECT {}",
        lock_timeout.as_millis().max(1),
        proof(&locked)
    )
}

/// Registers a tenant and its domains, takes a schema that waits for one, if there is one of the template as
/// it is, and answers. `fingerprint` is an expression. The path must begin with `pg_catalog`.
pub(crate) fn register_tenant(fingerprint: &str) -> String {
    with_ready_schema(
        "tenant AS (
             INSERT INTO boardinghouse.tenants
                 (id, schema_name, display_name, status, attributes, adopted, kind)
             VALUES ($1, $2, $3, $4, $5, $6, $9) RETURNING id, epoch, incarnation
         ), named AS (
             INSERT INTO boardinghouse.domains (domain, folder, tenant_id, is_primary)
             SELECT n.domain, n.folder, tenant.id, n.position = 1
             FROM tenant, unnest($7, $8) WITH ORDINALITY AS n (domain, folder, position)
         )",
        fingerprint,
    )
}

/// The same of a tenant that is registered already, and has no schema yet: it is ready then. No row where it
/// is not, or no longer, so.
pub(crate) fn claim_tenant(fingerprint: &str) -> String {
    with_ready_schema(
        "tenant AS (
             UPDATE boardinghouse.tenants SET status = 'ready', adopted = false
             WHERE incarnation = $1 AND schema_name = $2 AND status IN ('pending', 'failed')
               AND kind IS NOT DISTINCT FROM $3
             RETURNING epoch, incarnation
         )",
        fingerprint,
    )
}

/// The same of a tenant whose schema has gone missing. No row where it is there, or is known to have another
/// name.
pub(crate) fn reclaim_tenant(fingerprint: &str) -> String {
    with_ready_schema(
        "tenant AS (
             UPDATE boardinghouse.tenants SET epoch = DEFAULT
             WHERE incarnation = $1 AND schema_name = $2 AND status IN ('ready', 'suspended')
               AND kind IS NOT DISTINCT FROM $3 AND NOT adopted
               AND to_regnamespace(quote_ident($2)) IS NULL
               AND NOT EXISTS (SELECT FROM boardinghouse.ledger l
                               JOIN pg_namespace n ON n.oid = l.schema_oid WHERE l.incarnation = $1)
             RETURNING epoch, incarnation
         )",
        fingerprint,
    )
}

/// `tenant` is a query that writes a tenant's row; `$2` is its schema. None is taken where the first that would do
/// is named by a tenant's row, whoever wrote it: to ask that of all that wait takes as long as all tenants.
fn with_ready_schema(tenant: &str, fingerprint: &str) -> String {
    format!(
        "WITH {tenant}, template AS MATERIALIZED (
             SELECT ({fingerprint}) AS fingerprint
         ), taken AS (
             DELETE FROM boardinghouse.ready_schemas WHERE id = (
                 SELECT r.id FROM boardinghouse.ready_schemas r
                 WHERE r.fingerprint = (SELECT fingerprint FROM template)
                   AND EXISTS (SELECT FROM tenant)
                   AND r.schema_name = '__ready_' || r.id
                   AND to_regnamespace(r.schema_name)::oid = r.schema_oid
                 ORDER BY r.id LIMIT 1 FOR UPDATE SKIP LOCKED)
               AND NOT EXISTS (SELECT FROM boardinghouse.tenants t
                               WHERE lower(t.schema_name) = lower(ready_schemas.schema_name))
             RETURNING schema_name
         )
         SELECT epoch, incarnation, to_regnamespace(quote_ident($2)) IS NOT NULL AS schema_exists,
             template.fingerprint, (SELECT schema_name FROM taken) AS ready
         FROM tenant, template"
    )
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
