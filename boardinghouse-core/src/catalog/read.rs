//! The definitions of a schema's tables, sequences, indexes and constraints.
//!
//! Read while `search_path` is the schema: the server then writes names in it bare, and all others
//! qualified, so that the text means the same in any schema that is first on the path.

use diesel::{
    PgConnection, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{Array, BigInt, Bool, Integer, Nullable, Oid, Text},
};

use super::{Members, Reference};
use crate::{
    error::{Error, Result},
    names::SchemaName,
    sql::Ident,
};

/// The definitions of all members of a schema.
#[derive(Debug)]
pub(crate) struct Definitions {
    pub(crate) tables: Vec<Table>,
    pub(crate) columns: Vec<Column>,
    pub(crate) sequences: Vec<Sequence>,
    pub(crate) values: Vec<SequenceValue>,
    pub(crate) constraints: Vec<Constraint>,
    pub(crate) indexes: Vec<Index>,
    pub(crate) index_statistics: Vec<IndexStatistics>,
    pub(crate) comments: Vec<Comment>,
    pub(crate) references: Vec<Reference>,
    /// From version 18, NOT NULL is a constraint with a name.
    pub(crate) not_null_is_a_constraint: bool,
}

#[derive(Debug, QueryableByName)]
pub(crate) struct Table {
    #[diesel(sql_type = Oid)]
    pub(crate) oid: u32,
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    #[diesel(sql_type = Bool)]
    pub(crate) unlogged: bool,
    /// Storage parameters, ready for `WITH (…)`.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) options: Option<String>,
}

#[derive(Debug, QueryableByName)]
pub(crate) struct Column {
    #[diesel(sql_type = Oid)]
    pub(crate) table: u32,
    #[diesel(sql_type = Integer)]
    pub(crate) number: i32,
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    #[diesel(sql_type = Text)]
    pub(crate) type_name: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) collation: Option<String>,
    #[diesel(sql_type = Bool)]
    pub(crate) not_null: bool,
    /// `a` for ALWAYS, `d` for BY DEFAULT, or nothing.
    #[diesel(sql_type = Text)]
    pub(crate) identity: String,
    /// `s` for STORED, `v` for VIRTUAL, or nothing.
    #[diesel(sql_type = Text)]
    pub(crate) generated: String,
    #[diesel(sql_type = Nullable<Oid>)]
    pub(crate) default_oid: Option<u32>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) expression: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) storage: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) compression: Option<String>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub(crate) statistics: Option<i32>,
}

#[derive(Debug, QueryableByName)]
pub(crate) struct Sequence {
    #[diesel(sql_type = Oid)]
    pub(crate) oid: u32,
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    #[diesel(sql_type = Bool)]
    pub(crate) unlogged: bool,
    #[diesel(sql_type = Text)]
    pub(crate) type_name: String,
    /// Everything but the type, ready for CREATE SEQUENCE.
    #[diesel(sql_type = Text)]
    pub(crate) options: String,
    #[diesel(sql_type = BigInt)]
    pub(crate) start: i64,
    /// The table and column that it belongs to.
    #[diesel(sql_type = Nullable<Oid>)]
    pub(crate) table: Option<u32>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub(crate) column: Option<i32>,
    #[diesel(sql_type = Bool)]
    pub(crate) identity: bool,
}

#[derive(Debug, QueryableByName)]
pub(crate) struct SequenceValue {
    #[diesel(sql_type = Oid)]
    pub(crate) oid: u32,
    #[diesel(sql_type = BigInt)]
    pub(crate) last_value: i64,
    #[diesel(sql_type = Bool)]
    pub(crate) is_called: bool,
}

#[derive(Debug, QueryableByName)]
pub(crate) struct Constraint {
    #[diesel(sql_type = Oid)]
    pub(crate) oid: u32,
    #[diesel(sql_type = Oid)]
    pub(crate) table: u32,
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    /// As `pg_constraint.contype`.
    #[diesel(sql_type = Text)]
    pub(crate) kind: String,
    #[diesel(sql_type = Text)]
    pub(crate) definition: String,
    #[diesel(sql_type = Bool)]
    pub(crate) validated: bool,
    #[diesel(sql_type = Oid)]
    pub(crate) index: u32,
    #[diesel(sql_type = Oid)]
    pub(crate) foreign_table: u32,
}

#[derive(Debug, QueryableByName)]
pub(crate) struct Index {
    #[diesel(sql_type = Oid)]
    pub(crate) oid: u32,
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    #[diesel(sql_type = Text)]
    pub(crate) definition: String,
    /// Storage parameters, ready for `SET (…)`.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) options: Option<String>,
}

#[derive(Debug, QueryableByName)]
pub(crate) struct IndexStatistics {
    #[diesel(sql_type = Oid)]
    pub(crate) index: u32,
    #[diesel(sql_type = Integer)]
    pub(crate) column: i32,
    #[diesel(sql_type = Integer)]
    pub(crate) target: i32,
}

#[derive(Debug, QueryableByName)]
pub(crate) struct Comment {
    #[diesel(sql_type = Text)]
    pub(crate) class: String,
    #[diesel(sql_type = Oid)]
    pub(crate) object: u32,
    #[diesel(sql_type = Integer)]
    pub(crate) column: i32,
    #[diesel(sql_type = Text)]
    pub(crate) text: String,
}

#[derive(QueryableByName)]
struct RowValues {
    #[diesel(sql_type = Text)]
    values: String,
}

/// Reads the definitions of `members`, whose references to other objects are `references`.
pub(crate) fn definitions(
    conn: &mut PgConnection,
    schema: &SchemaName,
    version: i32,
    members: &Members,
    references: Vec<Reference>,
) -> Result<Definitions> {
    let relations = [
        &members.tables[..],
        &members.sequences[..],
        &members.indexes[..],
        &members.constraints[..],
    ]
    .concat();
    let columns = COLUMNS.replace(
        "{compression}",
        // Introduced in version 14; an unknown method makes the clone fail rather than differ.
        if version < 140_000 {
            "NULL"
        } else {
            "nullif(a.attcompression::pg_catalog.text, '')"
        },
    );
    let sequences: Vec<Sequence> = load(conn, SEQUENCES, &members.sequences)?;
    let values = sequence_values(conn, schema, &sequences)?;
    Ok(Definitions {
        tables: load(conn, TABLES, &members.tables)?,
        columns: load(conn, &columns, &members.tables)?,
        sequences,
        values,
        constraints: load(conn, CONSTRAINTS, &members.constraints)?,
        indexes: load(conn, INDEXES, &members.indexes)?,
        index_statistics: load(conn, INDEX_STATISTICS, &members.indexes)?,
        comments: load(conn, COMMENTS, &relations)?,
        references,
        not_null_is_a_constraint: version >= 180_000,
    })
}

/// The rows of `table`, `most` at the most, as lists of literals for VALUES, in the order of the
/// columns.
pub(crate) fn rows(
    conn: &mut PgConnection,
    schema: &SchemaName,
    table: &str,
    columns: &[&str],
    most: usize,
) -> Result<Vec<String>> {
    let mut literals: Vec<String> = columns
        .iter()
        .map(|column| {
            format!(
                "pg_catalog.quote_nullable({}::pg_catalog.text COLLATE pg_catalog.\"C\")",
                Ident(column)
            )
        })
        .collect();
    if literals.is_empty() {
        literals.push("''".to_owned());
    }
    sql_query(format!(
        "SELECT pg_catalog.concat_ws(', ', {}) AS values FROM {}.{} ORDER BY 1 LIMIT {most}",
        literals.join(", "),
        schema.quoted(),
        Ident(table),
    ))
    .load::<RowValues>(conn)
    .map(|rows| rows.into_iter().map(|row| row.values).collect())
    .map_err(|error| Error::database("read the rows of the template", error))
}

fn load<T>(conn: &mut PgConnection, sql: &str, oids: &[u32]) -> Result<Vec<T>>
where
    T: QueryableByName<diesel::pg::Pg> + 'static,
{
    sql_query(sql)
        .bind::<Array<Oid>, _>(oids)
        .load(conn)
        .map_err(|error| Error::database("read the definitions in the template", error))
}

/// Where each sequence is: each is a relation of one row, and all are read in one query.
fn sequence_values(
    conn: &mut PgConnection,
    schema: &SchemaName,
    sequences: &[Sequence],
) -> Result<Vec<SequenceValue>> {
    if sequences.is_empty() {
        return Ok(Vec::new());
    }
    let selects: Vec<String> = sequences
        .iter()
        .map(|sequence| {
            format!(
                "SELECT {}::pg_catalog.oid AS oid, last_value, is_called FROM {}.{}",
                sequence.oid,
                schema.quoted(),
                Ident(&sequence.name),
            )
        })
        .collect();
    sql_query(selects.join(" UNION ALL "))
        .load(conn)
        .map_err(|error| Error::database("read the sequences of the template", error))
}

const TABLES: &str = "
    SELECT c.oid, c.relname::pg_catalog.text AS name, c.relpersistence = 'u' AS unlogged,
           (SELECT pg_catalog.string_agg(o.text, ', ') FROM (
                SELECT pg_catalog.format('%I=%L', option_name, option_value) AS text
                FROM pg_catalog.pg_options_to_table(c.reloptions)
                UNION ALL
                SELECT pg_catalog.format('toast.%I=%L', option_name, option_value)
                FROM pg_catalog.pg_class t,
                     pg_catalog.pg_options_to_table(t.reloptions)
                WHERE t.oid = c.reltoastrelid
           ) o) AS options
    FROM pg_catalog.pg_class c
    WHERE c.oid = ANY ($1)
    ORDER BY c.relname";

const COLUMNS: &str = "
    SELECT a.attrelid AS table, a.attnum::pg_catalog.int4 AS number,
           a.attname::pg_catalog.text AS name,
           pg_catalog.format_type(a.atttypid, a.atttypmod) AS type_name,
           CASE WHEN a.attcollation <> t.typcollation
                THEN a.attcollation::pg_catalog.regcollation::pg_catalog.text END AS collation,
           a.attnotnull AS not_null, a.attidentity::pg_catalog.text AS identity,
           a.attgenerated::pg_catalog.text AS generated, d.oid AS default_oid,
           pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS expression,
           CASE WHEN a.attstorage <> t.typstorage THEN CASE a.attstorage
                WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL'
                WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END END AS storage,
           CASE {compression} WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4'
                ELSE {compression} END AS compression,
           nullif(coalesce(a.attstattarget::pg_catalog.int4, -1), -1) AS statistics
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attrelid::pg_catalog.regclass::pg_catalog.text, a.attnum";

const SEQUENCES: &str = "
    SELECT c.oid, c.relname::pg_catalog.text AS name, c.relpersistence = 'u' AS unlogged,
           pg_catalog.format_type(s.seqtypid, NULL) AS type_name,
           pg_catalog.format(
               'START WITH %s INCREMENT BY %s MINVALUE %s MAXVALUE %s CACHE %s %s',
               s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache,
               CASE WHEN s.seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END) AS options,
           s.seqstart AS start, d.refobjid AS table,
           d.refobjsubid AS column, coalesce(d.deptype = 'i', false) AS identity
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid
    LEFT JOIN pg_catalog.pg_depend d
      ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
     AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i')
    WHERE c.oid = ANY ($1)
    ORDER BY c.relname";

const CONSTRAINTS: &str = "
    SELECT k.oid, k.conrelid AS table, k.conname::pg_catalog.text AS name,
           k.contype::pg_catalog.text AS kind,
           pg_catalog.pg_get_constraintdef(k.oid) AS definition, k.convalidated AS validated,
           k.conindid AS index, k.confrelid AS foreign_table
    FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
    WHERE k.oid = ANY ($1)
    ORDER BY c.relname, k.conname";

const INDEXES: &str = "
    SELECT c.oid, c.relname::pg_catalog.text AS name,
           pg_catalog.pg_get_indexdef(c.oid, 0, true) AS definition,
           (SELECT pg_catalog.string_agg(
                pg_catalog.format('%I=%L', option_name, option_value), ', ')
            FROM pg_catalog.pg_options_to_table(c.reloptions)) AS options
    FROM pg_catalog.pg_class c
    WHERE c.oid = ANY ($1)
    ORDER BY c.relname";

const INDEX_STATISTICS: &str = "
    SELECT a.attrelid AS index, a.attnum::pg_catalog.int4 AS column,
           a.attstattarget::pg_catalog.int4 AS target
    FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = ANY ($1) AND a.attstattarget >= 0
    ORDER BY a.attrelid, a.attnum";

const COMMENTS: &str = "
    SELECT d.classoid::pg_catalog.regclass::pg_catalog.text AS class, d.objoid AS object,
           d.objsubid AS column, d.description AS text
    FROM pg_catalog.pg_description d
    WHERE d.objoid = ANY ($1)
      AND d.classoid IN ('pg_catalog.pg_class'::pg_catalog.regclass,
                         'pg_catalog.pg_constraint'::pg_catalog.regclass)";
