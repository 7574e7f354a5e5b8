//! What all schemas of a fleet are like, in one query for any number of them.
//!
//! Here catalogs are read from end to end, once each: at thousands of schemas that costs less than to look
//! each of them up.

use diesel::{
    PgConnection, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{Array, Bool, Nullable, Text},
};

use crate::{
    error::{Error, Result},
    names::SchemaName,
};

/// See there.
const LINES: &str = include_str!("fleet/fingerprints.sql");

/// Before one of these in `LINES` stands what has many rows: it is summed up on its own, which the server
/// can do in parallel.
const MANY: &str = "-- many";

/// Matches the tree of an expression that may hold an oid which is not PostgreSQL's own. Lengths, places and
/// modifiers of types are numbers as large, and are told by the name of the field before them.
const OWN: &str = "'([^o]d|[^dn]) [1-9][0-9]{4}'";

/// What a schema is like, as a hash.
#[derive(Clone, Debug, QueryableByName)]
pub(crate) struct Fingerprint {
    #[diesel(sql_type = Text)]
    pub(crate) schema_name: String,
    #[diesel(sql_type = Text)]
    pub(crate) fingerprint: String,
    /// Whether it has Diesel's table of migrations.
    #[diesel(sql_type = Bool)]
    pub(crate) has_history: bool,
}

/// The fingerprints of those of the schemas that are there. Where two are equal, the schemas have the same
/// structure; where they differ, that is to be found out. The path must be PostgreSQL's own alone.
pub(crate) fn fingerprints(
    conn: &mut PgConnection,
    version: i32,
    schemas: &[&str],
) -> Result<Vec<Fingerprint>> {
    sql_query(query(version))
        .bind::<Array<Text>, _>(schemas)
        .load(conn)
        .map_err(|error| Error::database("read the structure of the fleet", error))
}

fn query(version: i32) -> String {
    let since = |first: i32, text: &str| match version >= first {
        true => text.to_owned(),
        false => String::new(),
    };
    let constraint = [
        since(150_000, ", k.confdelsetcols"),
        since(180_000, ", k.conenforced, k.conperiod"),
    ];
    let bodies = "UNION ALL
        SELECT p.pronamespace, ROW('f', p.oid::regprocedure)::text, ARRAY[p.prosqlbody::text]
        FROM pg_proc p WHERE p.prosqlbody IS NOT NULL AND p.oid >= 16384";
    let lines = LINES
        .replace("{own}", OWN)
        .replace("{compression}", &since(140_000, ", a.attcompression"))
        .replace("{constraint}", &constraint.concat())
        .replace("{index}", &since(150_000, ", i.indnullsnotdistinct"))
        .replace(
            "{range}",
            &since(140_000, ", format_type(r.rngmultitypid, NULL)"),
        )
        .replace("{bodies}", &since(140_000, bodies));
    let (many, few): (Vec<&str>, Vec<&str>) = lines
        .split(";\n")
        .filter(|lines| !lines.trim().is_empty())
        .partition(|lines| lines.contains(MANY));
    let few = few.join("\nUNION ALL\n");
    // A sum does not depend on the order of the lines. That another line leaves it as it was has a chance of
    // one in 2^64.
    let sums = many.into_iter().chain([few.as_str()]).map(|lines| {
        format!(
            "SELECT l.ns, count(*), sum(hashtextextended(l.text, 0))
             FROM (\n{lines}\n) l (ns, text) GROUP BY l.ns"
        )
    });
    format!(
        "WITH sums (ns, lines, hashes) AS (\n{}\n), total AS (
            SELECT s.ns, concat_ws(' ', sum(s.lines), sum(s.hashes)) AS fingerprint
            FROM sums s GROUP BY s.ns
        )
        SELECT w.name AS schema_name, t.fingerprint, EXISTS (
            SELECT FROM pg_class c WHERE c.relname = '__diesel_schema_migrations'
            AND c.relnamespace = n.oid AND c.relkind = 'r') AS has_history
        FROM unnest($1) w (name)
        JOIN pg_namespace n ON n.nspname = w.name
        JOIN total t ON t.ns = n.oid",
        sums.collect::<Vec<_>>().join("\nUNION ALL\n")
    )
}

/// Tables of several schemas that are alike.
#[derive(Debug, QueryableByName)]
pub(crate) struct TablesOfSchemas {
    #[diesel(sql_type = Array<Text>)]
    pub(crate) schemas: Vec<String>,
    /// As JSON: for each table the columns, with their types and whether they can be NULL.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) tables: Option<String>,
}

/// The columns of the tables and views of these names in each of the schemas, grouped by what they are. Types
/// of a schema's own are named without it.
pub(crate) fn tables(
    conn: &mut PgConnection,
    schemas: &[&str],
    names: &[&str],
) -> Result<Vec<TablesOfSchemas>> {
    sql_query(TABLES)
        .bind::<Array<Text>, _>(schemas)
        .bind::<Array<Text>, _>(names)
        .load(conn)
        .map_err(|error| Error::database("read the tables of the fleet", error))
}

/// A domain is what it is over; a type of PostgreSQL's own is known by its oid, too.
const TABLES: &str = "
    WITH found AS (
        SELECT n.nspname::text AS name, (
            SELECT jsonb_object_agg(c.relname, (
                SELECT coalesce(jsonb_object_agg(a.attname, jsonb_build_object(
                    'type', CASE WHEN t.typcategory = 'A' AND e.oid IS NOT NULL THEN '_' || e.typname
                            ELSE t.typname END,
                    'oid', CASE WHEN b.oid < 16384 THEN b.oid::int8 END,
                    'nullable', CASE WHEN c.relkind NOT IN ('v', 'm')
                                THEN NOT (a.attnotnull OR t.typnotnull) END)), '{}')
                FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
                LEFT JOIN pg_type e ON e.oid = t.typelem
                CROSS JOIN LATERAL (
                    WITH RECURSIVE base (oid, kind, of) AS (
                        SELECT t.oid, t.typtype, t.typbasetype
                      UNION ALL
                        SELECT u.oid, u.typtype, u.typbasetype
                        FROM base JOIN pg_type u ON u.oid = base.of WHERE base.kind = 'd')
                    SELECT base.oid FROM base WHERE base.kind <> 'd') b
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))
            FROM unnest($2) w (name)
            JOIN pg_class c ON c.relname = w.name AND c.relnamespace = n.oid
                AND c.relkind IN ('r', 'p', 'v', 'm', 'f'))::text AS tables
        FROM unnest($1) s (name) JOIN pg_namespace n ON n.nspname = s.name
    )
    SELECT array_agg(f.name) AS schemas, f.tables FROM found f GROUP BY f.tables";

/// The versions of the migrations that each of the schemas has, in order.
pub(crate) fn histories(
    conn: &mut PgConnection,
    schemas: &[&SchemaName],
) -> Result<Vec<(String, String)>> {
    #[derive(QueryableByName)]
    struct Version {
        #[diesel(sql_type = Text)]
        schema_name: String,
        #[diesel(sql_type = Text)]
        version: String,
    }
    let mut all = Vec::new();
    // Each is a lock until the statement ends.
    for some in schemas.chunks(500) {
        let rows: Vec<Version> = sql_query(crate::sql::histories(some.iter().copied()))
            .load(conn)
            .map_err(|error| Error::database("read which migrations the tenants have", error))?;
        all.extend(rows.into_iter().map(|row| (row.schema_name, row.version)));
    }
    Ok(all)
}
