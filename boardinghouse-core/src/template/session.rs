//! The settings under which a template is read and a clone is created.

use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    sql_query,
    sql_types::{Array, Text},
};

use crate::{
    error::{Error, Result},
    names::SchemaName,
    sql::Literal,
};

/// Settings that change how the server writes and reads the text of a definition, or of a value, and how it
/// runs our questions. Not those that change what an expression comes to: where one is evaluated for a clone,
/// it is as for the schema.
const NEUTRAL: &[(&str, &str)] = &[
    ("array_nulls", "on"),
    ("bytea_output", "hex"),
    ("datestyle", "ISO, MDY"),
    ("extra_float_digits", "3"),
    ("intervalstyle", "postgres"),
    ("lc_monetary", "C"),
    ("standard_conforming_strings", "on"),
    ("xmloption", "content"),
    // Compiling a catalog query takes longer than running it.
    ("jit", "off"),
];

/// Further settings for reading.
const READING: &[(&str, &str)] = &[
    ("transaction_read_only", "on"),
    ("quote_all_identifiers", "off"),
    // Rows that a policy hides are an error, not rows too few.
    ("row_security", "off"),
];

/// Further settings for creating: bodies may name what comes later, and storage is the template's.
const CREATING: &[(&str, &str)] = &[
    ("check_function_bodies", "off"),
    ("default_table_access_method", "heap"),
    ("default_tablespace", ""),
];

#[derive(QueryableByName)]
struct Settings {
    #[diesel(sql_type = Array<Text>)]
    values: Vec<String>,
}

const CURRENT_SETTINGS: &str = "
    SELECT pg_catalog.array_agg(pg_catalog.current_setting(s.name) ORDER BY s.position) AS values
    FROM pg_catalog.unnest($1) WITH ORDINALITY AS s (name, position)";

const PUT_BACK: &str = "
    SELECT pg_catalog.set_config(s.name, s.value, true)
    FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS s (name, value)";

/// The settings under which a script creates a clone, as statements.
pub(super) fn settings() -> String {
    let settings = NEUTRAL.iter().chain(CREATING);
    settings
        .map(|(name, value)| format!("SET LOCAL {name} TO {};\n", Literal(value)))
        .collect()
}

/// What a script that copies rows says before it does: see [`READING`].
pub(super) const COPYING: &str = "SET LOCAL row_security TO off;\n";

/// What a script begins with.
///
/// The schema comes first on the path, even before PostgreSQL's own, so that every name in it can be
/// written bare. `pg_temp` is named last so that a temporary table cannot be taken for one of the clone's.
pub(super) fn create_schema(target: &SchemaName, owner: Option<&str>) -> String {
    let schema = target.quoted();
    let owner = owner.map_or_else(String::new, |owner| format!(" AUTHORIZATION {owner}"));
    format!("CREATE SCHEMA {schema}{owner};\n{};\n", path_on(target))
}

pub(super) fn path_on(schema: &SchemaName) -> String {
    format!(
        "SET LOCAL search_path TO {}, pg_catalog, pg_temp",
        schema.quoted()
    )
}

/// Runs `script`, which creates schema `target`, and puts the caller's settings back.
pub(super) fn create_in(conn: &mut PgConnection, target: &SchemaName, script: &str) -> Result<()> {
    let what = format!("create schema {:?} as a clone", target.as_str());
    let failed = |error| Error::database(&what, error);
    let names: Vec<&str> = ["search_path", "row_security"]
        .into_iter()
        .chain(NEUTRAL.iter().chain(CREATING).map(|(name, _)| *name))
        .collect();
    let saved: Settings = sql_query(CURRENT_SETTINGS)
        .bind::<Array<Text>, _>(&names)
        .get_result(conn)
        .map_err(failed)?;
    // In a message of their own: the server splits a message into tokens before it runs any of it,
    // so that standard_conforming_strings would come too late for the script.
    set(conn, NEUTRAL.iter().chain(CREATING)).map_err(failed)?;
    conn.batch_execute(script).map_err(failed)?;
    sql_query(PUT_BACK)
        .bind::<Array<Text>, _>(&names)
        .bind::<Array<Text>, _>(&saved.values)
        .execute(conn)
        .map_err(failed)?;
    Ok(())
}

/// Makes the open transaction fit for reading catalogs, with no schema of the user's on the path.
///
/// Not even that of temporary tables: named last, it hides nothing of PostgreSQL's.
pub(crate) fn prepare_to_read(conn: &mut PgConnection) -> Result<()> {
    set(conn, NEUTRAL.iter().chain(READING))
        .and_then(|()| conn.batch_execute("SET LOCAL search_path TO pg_catalog, pg_temp"))
        .map_err(|error| Error::database("prepare to read the template", error))
}

fn set<'a>(
    conn: &mut PgConnection,
    settings: impl Iterator<Item = &'a (&'a str, &'a str)>,
) -> QueryResult<()> {
    let statements: Vec<String> = settings
        .map(|(name, value)| format!("SET LOCAL {name} TO {}", Literal(value)))
        .collect();
    conn.batch_execute(&statements.join("; "))
}

/// Puts `schema` on the path, before PostgreSQL's own, so that the server writes names in it bare.
pub(super) fn read_in(conn: &mut PgConnection, schema: &SchemaName) -> Result<()> {
    conn.batch_execute(&path_on(schema))
        .map_err(|error| Error::database("prepare to read the schema", error))
}
