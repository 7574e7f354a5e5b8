//! The fleet's bookkeeping, and messages that migrate several schemas in one transaction.

use std::{fmt::Write as _, time::Duration};

use super::{Claim, Literal, RESET, SET_DIESELS, history, path, proof, prove_that};
use crate::{lock, names::SchemaName};

/// What is to be written into a schema's own table of migrations.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Versions<'a> {
    /// Taken out, first.
    pub(crate) forgotten: &'a [String],
    /// Put in.
    pub(crate) remembered: &'a [String],
}

/// Fires what triggers were put off, while the path is still that of the schema they belong to.
pub(crate) const FIRE: &str = "SET CONSTRAINTS ALL IMMEDIATE;";

/// Writes versions into a schema's own table of migrations; fails with a proof unless they are there then, and
/// unless that has as many rows before as it should, where it is said how many.
pub(crate) fn note_versions(
    schema: &SchemaName,
    versions: Versions<'_>,
    count: Option<usize>,
) -> String {
    let table = history(schema);
    let mut text = String::new();
    if let Some(count) = count {
        text += &prove_that(&format!(
            "(SELECT pg_catalog.count(*) FROM {table}) OPERATOR(pg_catalog.=) {count}"
        ));
    }
    if !versions.forgotten.is_empty() {
        let _ = write!(
            text,
            "DELETE FROM {table} WHERE version IN ({});",
            list(versions.forgotten, "", "")
        );
    }
    if !versions.remembered.is_empty() {
        text += &remember(schema, versions.remembered);
        text += ";";
    }
    // A trigger or a rule of the table may have kept it from being written.
    let count = |versions: &[String]| match versions.is_empty() {
        true => "0".to_owned(),
        false => format!(
            "(SELECT pg_catalog.count(*) FROM {table} WHERE version IN ({}))",
            list(versions, "", "")
        ),
    };
    text += &prove_that(&format!(
        "{} OPERATOR(pg_catalog.=) 0 AND {} OPERATOR(pg_catalog.=) {}",
        count(versions.forgotten),
        count(versions.remembered),
        versions.remembered.len()
    ));
    text
}

/// Writes versions into the tables of migrations of several schemas, on a path that leads to none of them. One
/// statement for all of them takes half of the time of one for each.
pub(crate) fn remember_in_all<'a>(
    schemas: impl IntoIterator<Item = &'a SchemaName>,
    versions: &[String],
) -> String {
    let one = |(number, schema)| format!("one_{number} AS ({})", remember(schema, versions));
    let all: Vec<String> = schemas.into_iter().enumerate().map(one).collect();
    match all.is_empty() || versions.is_empty() {
        true => String::new(),
        false => format!(
            "SET LOCAL search_path TO pg_catalog, pg_temp; WITH {} SELECT;",
            all.join(", ")
        ),
    }
}

/// Fails with a proof where the table of migrations of one of these schemas, by their numbers, may run code when
/// it is written to.
pub(crate) fn prove_histories(schemas: impl IntoIterator<Item = u32>) -> String {
    let one = |number: u32| format!("'{number}'");
    let numbers: Vec<String> = schemas.into_iter().map(one).collect();
    match numbers.is_empty() {
        true => String::new(),
        false => prove_that(&format!(
            "NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relname = '__diesel_schema_migrations' \
             AND relnamespace IN ({}) AND (relkind <> 'r' OR relhastriggers OR relhasrules OR relrowsecurity \
             OR relchecks <> 0 OR relnatts <> 2))",
            numbers.join(", ")
        )),
    }
}

fn remember(schema: &SchemaName, versions: &[String]) -> String {
    format!(
        "INSERT INTO {} (version) VALUES {}",
        history(schema),
        list(versions, "(", ")")
    )
}

fn list(versions: &[String], begin: &str, end: &str) -> String {
    let one = |version: &String| format!("{begin}{}{end}", Literal(version));
    versions.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Begins the transaction in which several schemas are migrated. It fails with a proof unless it gets, at
/// once, the right to write to all of them.
pub(crate) fn begin_visits<'a>(
    schemas: impl IntoIterator<Item = &'a SchemaName>,
    lock_timeout: Duration,
) -> String {
    let try_lock = |schema: &SchemaName| {
        format!(
            "WHEN NOT pg_catalog.pg_try_advisory_xact_lock({}, pg_catalog.hashtext({})) THEN 0 ",
            lock::SCHEMA,
            schema.literal()
        )
    };
    let locks: String = schemas.into_iter().map(try_lock).collect();
    let verdict = match locks.is_empty() {
        true => "1".to_owned(),
        false => format!("CASE {locks} ELSE 1 END"),
    };
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; {} SET LOCAL boardinghouse.visits TO 'open'; SELECT {}; \
         {HEAR}",
        limit_waiting(lock_timeout),
        proof(&verdict)
    )
}

/// Bounds how long each statement of a transaction waits for a lock.
pub(crate) fn limit_waiting(lock_timeout: Duration) -> String {
    let bound = lock::milliseconds(lock_timeout);
    format!("SET LOCAL lock_timeout TO {bound};")
}

/// Takes a path until the transaction ends, and proves it.
///
/// A session hears of what others did to a schema with the first relation that it opens: that must be after
/// it got the schema's lock.
pub(crate) fn visit(claim: Claim<'_>, rest: &[SchemaName]) -> String {
    let rest: Vec<&SchemaName> = rest.iter().collect();
    claim.bind_transaction(&rest) + ";"
}

/// Takes a path until the transaction ends, where [`prove`] stands before and after.
pub(crate) fn go(schema: &SchemaName, rest: &[SchemaName]) -> String {
    format!(
        "SET LOCAL search_path TO {};",
        path(std::iter::once(schema).chain(rest))
    )
}

/// Fails with a proof unless each name is that of the schema with this number, and the role may use it.
pub(crate) fn prove<'a>(schemas: impl IntoIterator<Item = (&'a SchemaName, u32)>) -> String {
    let rows: Vec<String> = schemas
        .into_iter()
        .map(|(schema, number)| {
            let quoted = schema.quoted().to_string();
            format!("({}, '{number}'::oid)", Literal(&quoted))
        })
        .collect();
    match rows.is_empty() {
        true => String::new(),
        false => prove_that(&format!(
            "NOT EXISTS (SELECT FROM (VALUES {}) AS v (name, number) \
             WHERE pg_catalog.to_regnamespace(name)::oid IS DISTINCT FROM number \
             OR NOT pg_catalog.has_schema_privilege(number, 'USAGE'))",
            rows.join(", ")
        )),
    }
}

/// Opens a relation.
pub(crate) const HEAR: &str = "SELECT FROM pg_catalog.pg_namespace LIMIT 0;";

/// What may be left by text that runs functions, inside a transaction.
pub(crate) fn reset_between_visits(lock_timeout: Duration) -> String {
    format!(
        "{RESET}; {SET_DIESELS}; CLOSE ALL; DISCARD TEMP; DISCARD SEQUENCES; {} \
         SET LOCAL boardinghouse.visits TO 'open';",
        limit_waiting(lock_timeout)
    )
}

/// Fails with a proof unless the transaction is the one that [`begin_visits`] began.
pub(crate) fn same_transaction() -> String {
    prove_that(
        "pg_catalog.current_setting('boardinghouse.visits', true) OPERATOR(pg_catalog.=) 'open'",
    )
}

/// Tells every process that what it knows of tenants is to be read again.
pub(crate) const TELL_ALL: &str = "SELECT pg_catalog.pg_notify('boardinghouse', '*')";

/// Writes into the ledger that tenants, by incarnation and the number of their schema, have these versions;
/// and makes what was prepared for them obsolete, where their structure may have changed.
pub(crate) fn note_in_ledger(members: &[(i64, u32)], versions: &[String], changed: bool) -> String {
    let rows: Vec<String> = members
        .iter()
        .map(|(incarnation, schema)| format!("({incarnation}::bigint, {schema}::oid)"))
        .collect();
    let versions: Vec<String> = versions.iter().map(|v| Literal(v).to_string()).collect();
    let incarnations: Vec<String> = members.iter().map(|(i, _)| i.to_string()).collect();
    let mut text = format!(
        "INSERT INTO boardinghouse.ledger (incarnation, schema_oid, versions) \
         SELECT m.incarnation, m.schema, ARRAY[{}]::text[] FROM (VALUES {}) AS m (incarnation, schema) \
         JOIN (SELECT incarnation FROM boardinghouse.tenants WHERE incarnation IN ({}) \
         FOR KEY SHARE {}) AS t ON t.incarnation OPERATOR(pg_catalog.=) m.incarnation \
         ON CONFLICT (incarnation) DO UPDATE SET schema_oid = EXCLUDED.schema_oid, \
         versions = EXCLUDED.versions, updated_at = pg_catalog.now();",
        versions.join(", "),
        rows.join(", "),
        incarnations.join(", "),
        // One that is just being deleted needs no row, unless the schema was changed.
        if changed { "" } else { "SKIP LOCKED" }
    );
    if changed {
        let _ = write!(
            text,
            "UPDATE boardinghouse.tenants SET epoch = DEFAULT WHERE incarnation IN ({});",
            incarnations.join(", ")
        );
    }
    text
}

/// Runs statements one by one and remembers, until the transaction ends, which one failed and how. They
/// leave nothing if one fails. What is put off until the commit counts as part of the last.
pub(crate) fn diagnose(path_of: &SchemaName, rest: &[SchemaName], statements: &[&str]) -> String {
    let list: Vec<String> = statements.iter().map(|s| Literal(s).to_string()).collect();
    let body = format!(
        "DECLARE the_statement text; the_number int := 0; the_state text; \
         BEGIN \
         FOREACH the_statement IN ARRAY ARRAY[{}]::text[] LOOP \
         the_number := the_number + 1; EXECUTE the_statement; END LOOP; \
         SET CONSTRAINTS ALL IMMEDIATE; \
         EXCEPTION WHEN OTHERS THEN \
         GET STACKED DIAGNOSTICS the_state = RETURNED_SQLSTATE; \
         PERFORM pg_catalog.set_config('boardinghouse.failure', pg_catalog.json_build_object( \
         'statement', the_number, 'sqlstate', the_state)::text, true); \
         END",
        list.join(", ")
    );
    format!(
        "SET LOCAL search_path TO {}; SET LOCAL boardinghouse.failure TO ''; DO {}",
        path(std::iter::once(path_of).chain(rest)),
        Literal(&body)
    )
}

/// What the last [`diagnose`] of the transaction found; empty where nothing failed.
pub(crate) const DIAGNOSIS: &str = "pg_catalog.current_setting('boardinghouse.failure', true)";

/// The tenants that a filter lets through, in its order, with what the ledger says of each. The versions
/// are NULL where it says nothing, or something about another schema. `$1` are the versions of who is up to
/// date: for those they are not sent.
pub(crate) const MEMBERS: &str = "\
    SELECT t.id, t.schema_name, t.status, t.kind, t.incarnation, n.oid AS schema_oid, \
           l.versions IS NOT DISTINCT FROM $1 AS is_current, \
           CASE WHEN l.versions IS DISTINCT FROM $1 \
                THEN pg_catalog.md5(pg_catalog.array_to_string(l.versions, ',')) END AS hash \
    FROM boardinghouse.tenants AS t \
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname OPERATOR(pg_catalog.=) t.schema_name::pg_catalog.name \
    LEFT JOIN boardinghouse.ledger AS l ON l.incarnation = t.incarnation AND l.schema_oid = n.oid \
    WHERE ($2::text[] IS NULL OR t.id = ANY ($2)) \
      AND ($3::text[] IS NULL OR t.id <> ALL ($3)) \
      AND t.attributes @> ALL ($4::jsonb[]) \
    ORDER BY CASE WHEN NOT $6 THEN t.attributes -> $5 END ASC NULLS LAST, \
             CASE WHEN $6 THEN t.attributes -> $5 END DESC NULLS LAST, \
             t.id COLLATE \"C\"";

/// What the hashes of [`MEMBERS`] stand for.
pub(crate) const VERSIONS: &str = "\
    SELECT DISTINCT pg_catalog.md5(pg_catalog.array_to_string(versions, ',')) AS hash, versions \
    FROM boardinghouse.ledger WHERE versions IS DISTINCT FROM $1";

/// Where a tenant is now; no row where there is none any more.
pub(crate) const WHEREABOUTS: &str = "\
    SELECT t.schema_name, n.oid AS schema_oid FROM boardinghouse.tenants AS t \
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname OPERATOR(pg_catalog.=) t.schema_name::pg_catalog.name \
    WHERE t.incarnation = $1";

/// Keeps the server from ending a session that waits, where it would (PostgreSQL manual, 20.11.1 "Statement
/// Behavior": `idle_session_timeout`, from version 14).
pub(crate) const STAY: &str = "SELECT pg_catalog.set_config('idle_session_timeout', '0', false) \
    WHERE pg_catalog.current_setting('idle_session_timeout', true) IS NOT NULL";

/// How many locks the server has room for, how many this session holds, and whether texts can share a
/// message: a backslash in a constant is one, and no event trigger runs code beside them (PostgreSQL manual, 20.12 "Lock Management", 20.13 "Version and Platform Compatibility").
pub(crate) const LOCK_BUDGET: &str = "\
    SELECT pg_catalog.current_setting('max_locks_per_transaction')::bigint \
         * (pg_catalog.current_setting('max_connections')::bigint \
          + pg_catalog.current_setting('max_prepared_transactions')::bigint) AS capacity, \
    pg_catalog.current_setting('max_locks_per_transaction')::bigint AS per_transaction, \
    (SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks) AS taken, \
    (SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks WHERE pid = pg_catalog.pg_backend_pid()) AS held, \
    pg_catalog.current_setting('standard_conforming_strings') = 'on' \
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D') AS can_share";
