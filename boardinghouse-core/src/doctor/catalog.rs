//! What the doctor asks the server. No query here looks at the tables of more than one schema.

use std::collections::HashMap;

use diesel::{prelude::*, sql_query, sql_types};

use crate::{
    error::{Error, Result},
    names::SchemaName,
    sql,
};

/// What became of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Usable,
    /// This role has no USAGE privilege.
    Forbidden,
    Missing,
}

#[derive(QueryableByName)]
struct PresenceRow {
    #[diesel(sql_type = sql_types::Text)]
    name: String,
    #[diesel(sql_type = sql_types::Bool)]
    usable: bool,
}

/// What became of each of these schemas: one query, for any number of them.
pub(super) fn presence(
    conn: &mut PgConnection,
    schemas: &[&SchemaName],
) -> Result<HashMap<SchemaName, Presence>> {
    let names: Vec<&str> = schemas.iter().map(|schema| schema.as_str()).collect();
    let rows: Vec<PresenceRow> = sql_query(
        "SELECT name, pg_catalog.has_schema_privilege(schema.oid, 'USAGE') AS usable \
         FROM pg_catalog.unnest($1) AS name \
         CROSS JOIN LATERAL (SELECT pg_catalog.to_regnamespace(\
             pg_catalog.quote_ident(name))::pg_catalog.oid AS oid) AS schema \
         WHERE schema.oid IS NOT NULL",
    )
    .bind::<sql_types::Array<sql_types::Text>, _>(names)
    .load(conn)
    .map_err(|error| Error::database("look for the schemas", error))?;
    let usable: HashMap<&str, bool> = rows
        .iter()
        .map(|row| (row.name.as_str(), row.usable))
        .collect();
    let presence = |schema: &SchemaName| match usable.get(schema.as_str()) {
        Some(true) => Presence::Usable,
        Some(false) => Presence::Forbidden,
        None => Presence::Missing,
    };
    Ok(schemas
        .iter()
        .map(|&schema| (schema.clone(), presence(schema)))
        .collect())
}

#[derive(QueryableByName)]
struct TableRow {
    #[diesel(sql_type = sql_types::Text)]
    name: String,
    #[diesel(sql_type = sql_types::Bool)]
    is_view: bool,
}

/// The tables and views of one schema.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) tables: Vec<String>,
    pub(super) views: Vec<String>,
}

impl Tables {
    pub(super) fn all(&self) -> impl Iterator<Item = &String> {
        self.tables.iter().chain(&self.views)
    }
}

/// Reads the tables and views of a schema, except Diesel's own.
///
/// By way of `pg_depend`, where the schema is part of a key: `pg_class` has no index that leads from
/// a schema to its tables, and is as large as the fleet.
pub(super) fn tables(conn: &mut PgConnection, schema: &SchemaName) -> Result<Tables> {
    let rows: Vec<TableRow> = sql_query(
        "SELECT class.relname::text AS name, class.relkind IN ('v', 'm') AS is_view \
         FROM pg_catalog.pg_depend AS member \
         JOIN pg_catalog.pg_class AS class ON class.oid = member.objid \
         WHERE member.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass \
           AND member.refobjid = pg_catalog.to_regnamespace(pg_catalog.quote_ident($1)) \
           AND member.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
           AND class.relkind IN ('r', 'p', 'f', 'v', 'm') \
           AND class.relname <> '__diesel_schema_migrations' \
         ORDER BY class.relname COLLATE \"C\"",
    )
    .bind::<sql_types::Text, _>(schema.as_str())
    .load(conn)
    .map_err(|error| Error::database(&format!("list the tables of schema {schema}"), error))?;
    let (views, tables): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.is_view);
    let names = |rows: Vec<TableRow>| rows.into_iter().map(|row| row.name).collect();
    Ok(Tables {
        tables: names(tables),
        views: names(views),
    })
}

/// A foreign key that leads out of a schema.
#[derive(Debug, QueryableByName)]
pub(super) struct ForeignKey {
    #[diesel(sql_type = sql_types::Text)]
    pub(super) name: String,
    #[diesel(sql_type = sql_types::Text)]
    pub(super) table: String,
    #[diesel(sql_type = sql_types::Text)]
    pub(super) target_schema: String,
    #[diesel(sql_type = sql_types::Text)]
    pub(super) target: String,
}

/// The foreign keys of a schema's tables that lead to another schema. Those that PostgreSQL derives for
/// partitions are left out.
pub(super) fn leading_out(conn: &mut PgConnection, schema: &SchemaName) -> Result<Vec<ForeignKey>> {
    sql_query(
        "SELECT key.conname::text AS name, class.relname::text AS table, \
             namespace.nspname::text AS target_schema, target.relname::text AS target \
         FROM pg_catalog.pg_depend AS member \
         JOIN pg_catalog.pg_class AS class ON class.oid = member.objid \
         JOIN pg_catalog.pg_constraint AS key ON key.conrelid = class.oid \
         JOIN pg_catalog.pg_class AS target ON target.oid = key.confrelid \
         JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = target.relnamespace \
         WHERE member.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass \
           AND member.refobjid = pg_catalog.to_regnamespace(pg_catalog.quote_ident($1)) \
           AND member.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
           AND key.contype = 'f' AND key.conparentid = 0 \
           AND target.relnamespace <> member.refobjid \
         ORDER BY class.relname COLLATE \"C\", key.conname COLLATE \"C\"",
    )
    .bind::<sql_types::Text, _>(schema.as_str())
    .load(conn)
    .map_err(|error| Error::database(&format!("list the foreign keys of schema {schema}"), error))
}

#[derive(QueryableByName)]
struct NameRow {
    #[diesel(sql_type = sql_types::Text)]
    name: String,
}

/// Which of these tables hold rows.
pub(super) fn tables_with_rows(
    conn: &mut PgConnection,
    schema: &SchemaName,
    tables: &[String],
) -> Result<Vec<String>> {
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    sql_query(sql::tables_with_rows(schema, tables))
        .load::<NameRow>(conn)
        .map(|rows| rows.into_iter().map(|row| row.name).collect())
        .map_err(|error| Error::database(&format!("read the tables of schema {schema}"), error))
}

/// The role, if a schema has its name and a new session of it would enter that schema by itself.
///
/// `reset_val` is what the role's and the database's defaults come to, whatever the path is now.
pub(super) fn role_with_a_schema(conn: &mut PgConnection) -> Result<Option<String>> {
    sql_query(
        "SELECT CURRENT_USER::text AS name FROM pg_catalog.pg_settings \
         WHERE name = 'search_path' AND reset_val LIKE '%$user%' \
           AND pg_catalog.to_regnamespace(pg_catalog.quote_ident(CURRENT_USER)) IS NOT NULL",
    )
    .load::<NameRow>(conn)
    .map(|rows| rows.into_iter().next().map(|row| row.name))
    .map_err(|error| Error::database("read the role's settings", error))
}
