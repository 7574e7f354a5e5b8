//! What there is to know of a table before it is moved to another schema.

mod rows;

use diesel::{
    PgConnection, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{Array, BigInt, Bool, Nullable, Oid, Text},
};

pub(crate) use rows::{columns, locked, number, own_sequences, sequences, uniques};

use crate::{
    error::{Error, Result},
    names::SchemaName,
};

/// The table of some name in a schema.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub(crate) struct Place {
    #[diesel(sql_type = Text)]
    pub(crate) schema_name: String,
    #[diesel(sql_type = Oid)]
    pub(crate) schema: u32,
    /// Nothing where the schema has no such table.
    #[diesel(sql_type = Nullable<Oid>)]
    pub(crate) table: Option<u32>,
    /// As `pg_class.relkind`.
    #[diesel(sql_type = Text)]
    pub(crate) kind: String,
    /// Whether it is a partition or a child, or has some.
    #[diesel(sql_type = Bool)]
    pub(crate) inherits: bool,
    /// Whether this role may change it.
    #[diesel(sql_type = Bool)]
    pub(crate) owned: bool,
}

/// The places of relation `name` in those of the schemas that are there.
pub(crate) fn places(
    conn: &mut PgConnection,
    schemas: &[&SchemaName],
    name: &str,
) -> Result<Vec<Place>> {
    let schemas: Vec<&str> = schemas.iter().map(|schema| schema.as_str()).collect();
    sql_query(
        "SELECT n.nspname::pg_catalog.text AS schema_name, n.oid AS schema, c.oid AS table,
             coalesce(c.relkind::pg_catalog.text, '') AS kind,
             c.oid IS NOT NULL AND (c.relispartition OR EXISTS (
                 SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid OR i.inhrelid = c.oid)) AS inherits,
             coalesce(pg_catalog.pg_has_role(c.relowner, 'USAGE'), true) AS owned
         FROM pg_catalog.pg_namespace n
         LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = $2::pg_catalog.name
         WHERE n.nspname = ANY ($1::pg_catalog.name[])",
    )
    .bind::<Array<Text>, _>(schemas)
    .bind::<Text, _>(name)
    .load(conn)
    .map_err(|error| Error::database("look for the table", error))
}

/// The tables `$1`, and what would go with each.
macro_rules! parts {
    ($query:literal) => {
        concat!(
            "WITH RECURSIVE part (root, class, object) AS (
                 SELECT r.oid, 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, r.oid
                 FROM pg_catalog.unnest($1) AS r (oid)
                 UNION
                 SELECT part.root, d.classid, d.objid
                 FROM part CROSS JOIN LATERAL (
                     SELECT d.classid, d.objid FROM pg_catalog.pg_depend d
                     WHERE d.refclassid = part.class AND d.refobjid = part.object
                       AND d.deptype IN ('a', 'i', 'P', 'S')
                     OFFSET 0
                 ) d
             ) ",
            $query
        )
    };
}

/// What belongs to a table.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub(crate) struct Part {
    /// The name, where it is a relation that a schema has one of that name of.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) relation: Option<String>,
    /// Why it cannot be moved.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) refused: Option<String>,
}

/// The table, and what belongs to it.
pub(crate) fn parts(conn: &mut PgConnection, table: u32) -> Result<Vec<Part>> {
    sql_query(parts!(
        "SELECT CASE WHEN c.relkind <> 't' AND c.relnamespace <> 'pg_toast'::pg_catalog.regnamespace
                THEN c.relname::pg_catalog.text END AS relation,
             CASE WHEN p.class = 'pg_catalog.pg_publication_rel'::pg_catalog.regclass OR EXISTS (
                 SELECT FROM pg_catalog.pg_depend d WHERE d.classid = p.class AND d.objid = p.object
                 AND d.deptype IN ('e', 'x'))
             THEN pg_catalog.pg_describe_object(p.class, p.object, 0) END AS refused
         FROM part p
         LEFT JOIN pg_catalog.pg_class c
           ON p.class = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = p.object
         ORDER BY p.class, p.object"
    ))
    .bind::<Array<Oid>, _>(vec![table])
    .load(conn)
    .map_err(|error| Error::database("read what belongs to the table", error))
}

/// Something that uses a table, and does not belong to it.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub(crate) struct User {
    /// The table that is used.
    #[diesel(sql_type = Oid)]
    pub(crate) root: u32,
    #[diesel(sql_type = Text)]
    pub(crate) what: String,
    /// Its number, where it is a foreign key.
    #[diesel(sql_type = Nullable<Oid>)]
    pub(crate) foreign_key: Option<u32>,
}

/// What uses these tables.
pub(crate) fn users(conn: &mut PgConnection, tables: &[u32]) -> Result<Vec<User>> {
    sql_query(parts!(
        "SELECT DISTINCT p.root, pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) AS what,
             k.oid AS foreign_key
         FROM part p CROSS JOIN LATERAL (
             SELECT d.classid, d.objid, d.objsubid FROM pg_catalog.pg_depend d
             WHERE d.refclassid = p.class AND d.refobjid = p.object AND d.deptype NOT IN ('a', 'i', 'P', 'S')
             OFFSET 0
         ) d
         LEFT JOIN pg_catalog.pg_constraint k ON k.oid = d.objid AND k.contype = 'f'
           AND d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
         WHERE (p.root, d.classid, d.objid) NOT IN (SELECT x.root, x.class, x.object FROM part x)
         ORDER BY 1, 2"
    ))
    .bind::<Array<Oid>, _>(tables)
    .load(conn)
    .map_err(|error| Error::database("read what uses the table", error))
}

/// Something that a table, or what belongs to it, uses.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub(crate) struct Used {
    #[diesel(sql_type = Text)]
    pub(crate) part: String,
    #[diesel(sql_type = Text)]
    pub(crate) what: String,
    /// The number of the table, where it is one that a foreign key leads to.
    #[diesel(sql_type = Nullable<Oid>)]
    pub(crate) foreign_table: Option<u32>,
    /// The schema of that.
    #[diesel(sql_type = Text)]
    pub(crate) schema_name: String,
}

/// What of these schemas a table uses, that does not belong to it.
pub(crate) fn used(
    conn: &mut PgConnection,
    table: u32,
    schemas: &[&SchemaName],
) -> Result<Vec<Used>> {
    let schemas: Vec<&str> = schemas.iter().map(|schema| schema.as_str()).collect();
    sql_query(parts!(
        "SELECT DISTINCT pg_catalog.pg_describe_object(p.class, p.object, 0) AS part,
             pg_catalog.pg_describe_object(d.refclassid, d.refobjid, 0) AS what,
             CASE WHEN p.class = 'pg_catalog.pg_constraint'::pg_catalog.regclass
                  THEN c.oid END AS foreign_table,
             s.name AS schema_name
         FROM part p CROSS JOIN LATERAL (
             SELECT d.refclassid, d.refobjid FROM pg_catalog.pg_depend d
             WHERE d.classid = p.class AND d.objid = p.object AND d.refobjid >= 16384
               AND d.refclassid <> 'pg_catalog.pg_namespace'::pg_catalog.regclass
             OFFSET 0
         ) d
         CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.refclassid, d.refobjid, 0) AS i
         JOIN pg_catalog.unnest($2) AS s (name) ON i.schema = pg_catalog.quote_ident(s.name)
         LEFT JOIN pg_catalog.pg_class c ON c.oid = d.refobjid AND c.relkind IN ('r', 'p')
           AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
         WHERE (d.refclassid, d.refobjid) NOT IN (SELECT x.class, x.object FROM part x)
         ORDER BY 1, 2"
    ))
    .bind::<Array<Oid>, _>(vec![table])
    .bind::<Array<Text>, _>(schemas)
    .load(conn)
    .map_err(|error| Error::database("read what the table uses", error))
}

/// A foreign key of another table.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub(crate) struct ForeignKey {
    #[diesel(sql_type = Oid)]
    pub(crate) oid: u32,
    #[diesel(sql_type = Text)]
    pub(crate) schema_name: String,
    #[diesel(sql_type = Text)]
    pub(crate) table_name: String,
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    /// The table that it leads to.
    #[diesel(sql_type = Oid)]
    pub(crate) target: u32,
    #[diesel(sql_type = Bool)]
    pub(crate) owned: bool,
    /// Whether somebody has disabled its triggers.
    #[diesel(sql_type = Bool)]
    pub(crate) disabled: bool,
    /// How many indexes its table has.
    #[diesel(sql_type = BigInt)]
    pub(crate) indexes: i64,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) comment: Option<String>,
}

/// The foreign keys of these numbers; those of partitions come and go with their parents'.
pub(crate) fn foreign_keys(conn: &mut PgConnection, oids: &[u32]) -> Result<Vec<ForeignKey>> {
    sql_query(
        "SELECT k.oid, n.nspname::pg_catalog.text AS schema_name, c.relname::pg_catalog.text AS table_name,
             k.conname::pg_catalog.text AS name, k.confrelid AS target,
             pg_catalog.pg_has_role(c.relowner, 'USAGE') AS owned,
             EXISTS (SELECT FROM pg_catalog.pg_trigger t
                     WHERE t.tgconstraint = k.oid AND t.tgenabled <> 'O') AS disabled,
             (SELECT pg_catalog.count(*) FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid) AS indexes,
             pg_catalog.obj_description(k.oid, 'pg_constraint') AS comment
         FROM pg_catalog.pg_constraint k
         JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE k.oid = ANY ($1) AND k.conparentid = 0
         ORDER BY n.nspname, c.relname, k.conname",
    )
    .bind::<Array<Oid>, _>(oids)
    .load(conn)
    .map_err(|error| Error::database("read the foreign keys", error))
}

/// How a foreign key is defined.
#[derive(Debug, QueryableByName)]
pub(crate) struct Definition {
    #[diesel(sql_type = Oid)]
    pub(crate) oid: u32,
    #[diesel(sql_type = Text)]
    pub(crate) definition: String,
}

/// The definitions of foreign keys: what is on the path is named without its schema.
pub(crate) fn definitions(conn: &mut PgConnection, oids: &[u32]) -> Result<Vec<Definition>> {
    sql_query(
        "SELECT k.oid, pg_catalog.pg_get_constraintdef(k.oid) AS definition
         FROM pg_catalog.unnest($1) AS k (oid)",
    )
    .bind::<Array<Oid>, _>(oids)
    .load(conn)
    .map_err(|error| Error::database("read the foreign keys", error))
}

#[derive(QueryableByName)]
struct Object {
    #[diesel(sql_type = Text)]
    schema_name: String,
    #[diesel(sql_type = Text)]
    name: String,
}

/// The extended statistics of a table, which stay where they are when it moves: schema and name.
pub(crate) fn statistics(conn: &mut PgConnection, table: u32) -> Result<Vec<(SchemaName, String)>> {
    let found: Vec<Object> = sql_query(
        "SELECT n.nspname::pg_catalog.text AS schema_name, s.stxname::pg_catalog.text AS name
         FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
         WHERE s.stxrelid = $1 ORDER BY 1, 2",
    )
    .bind::<Oid, _>(table)
    .load(conn)
    .map_err(|error| Error::database("read the statistics of the table", error))?;
    found
        .into_iter()
        .map(|one| Ok((SchemaName::existing(&one.schema_name)?, one.name)))
        .collect()
}

/// Which of these names of relations a schema has taken: schema and name.
pub(crate) fn taken(
    conn: &mut PgConnection,
    schemas: &[&SchemaName],
    names: &[&str],
) -> Result<Vec<(String, String)>> {
    let schemas: Vec<&str> = schemas.iter().map(|schema| schema.as_str()).collect();
    let found: Vec<Object> = sql_query(
        "SELECT n.nspname::pg_catalog.text AS schema_name, w.name
         FROM pg_catalog.unnest($2) AS w (name)
         JOIN pg_catalog.pg_class c ON c.relname = w.name::pg_catalog.name
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = ANY ($1::pg_catalog.name[])
         ORDER BY 1, 2",
    )
    .bind::<Array<Text>, _>(schemas)
    .bind::<Array<Text>, _>(names)
    .load(conn)
    .map_err(|error| Error::database("look for the names of the table", error))?;
    Ok(found
        .into_iter()
        .map(|one| (one.schema_name, one.name))
        .collect())
}

/// Those of the schemas whose tables are published as they come and go.
pub(crate) fn published(conn: &mut PgConnection, schemas: &[&SchemaName]) -> Result<Vec<String>> {
    if super::server_version(conn)? < 150_000 {
        return Ok(Vec::new());
    }
    let schemas: Vec<&str> = schemas.iter().map(|schema| schema.as_str()).collect();
    let found: Vec<Object> = sql_query(
        "SELECT n.nspname::pg_catalog.text AS schema_name, p.pubname::pg_catalog.text AS name
         FROM pg_catalog.pg_publication_namespace r
         JOIN pg_catalog.pg_namespace n ON n.oid = r.pnnspid
         JOIN pg_catalog.pg_publication p ON p.oid = r.pnpubid
         WHERE n.nspname = ANY ($1::pg_catalog.name[]) ORDER BY 1, 2",
    )
    .bind::<Array<Text>, _>(schemas)
    .load(conn)
    .map_err(|error| Error::database("look for publications", error))?;
    let line = |one: Object| {
        format!(
            "publication {} of all tables in schema {}: the table would leave it",
            one.name, one.schema_name
        )
    };
    Ok(found.into_iter().map(line).collect())
}

/// Those of the schemas in which this role's new tables and sequences get privileges by themselves.
pub(crate) fn default_privileges(
    conn: &mut PgConnection,
    schemas: &[&SchemaName],
) -> Result<Vec<String>> {
    let schemas: Vec<&str> = schemas.iter().map(|schema| schema.as_str()).collect();
    let found: Vec<Object> = sql_query(
        "SELECT DISTINCT n.nspname::pg_catalog.text AS schema_name, '' AS name
         FROM pg_catalog.pg_default_acl a
         JOIN pg_catalog.pg_namespace n ON n.oid = a.defaclnamespace
         JOIN pg_catalog.pg_roles r ON r.oid = a.defaclrole
         WHERE n.nspname = ANY ($1::pg_catalog.name[]) AND a.defaclobjtype IN ('r', 'S')
           AND r.rolname = current_user
         ORDER BY 1",
    )
    .bind::<Array<Text>, _>(schemas)
    .load(conn)
    .map_err(|error| Error::database("look for default privileges", error))?;
    Ok(found.into_iter().map(|one| one.schema_name).collect())
}
