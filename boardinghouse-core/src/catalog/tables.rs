//! Tables, and what is part of them: columns, sequences, constraints and indexes.
//!
//! Read under the same path as [`define`](super::define).

use diesel::{
    PgConnection, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{Array, BigInt, Bool, Integer, Nullable, Oid, Text},
};

use super::Members;
use crate::{
    error::{Error, Result},
    names::SchemaName,
    sql::Ident,
};

#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) tables: Vec<Table>,
    /// Of tables and of views.
    pub(crate) columns: Vec<Column>,
    pub(crate) parents: Vec<Parent>,
    pub(crate) sequences: Vec<Sequence>,
    pub(crate) values: Vec<SequenceValue>,
    /// Of tables and of domains.
    pub(crate) constraints: Vec<Constraint>,
    pub(crate) indexes: Vec<Index>,
    pub(crate) index_statistics: Vec<IndexStatistics>,
    /// From version 18, NOT NULL is a constraint with a name.
    pub(crate) not_null_is_a_constraint: bool,
}

#[derive(Debug, QueryableByName)]
pub(crate) struct Table {
    #[diesel(sql_type = Oid)]
    pub(crate) oid: u32,
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    /// As `pg_class.relkind`: `r`, or `p` where it is partitioned.
    #[diesel(sql_type = Text)]
    pub(crate) kind: String,
    #[diesel(sql_type = Bool)]
    pub(crate) unlogged: bool,
    /// Storage parameters, ready for `WITH (…)`.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) options: Option<String>,
    /// The type of a typed table.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) of_type: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) partition_key: Option<String>,
    /// `FOR VALUES …`, where it is a partition.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) bound: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) access_method: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) tablespace: Option<String>,
    /// As `pg_class.relreplident`.
    #[diesel(sql_type = Text)]
    pub(crate) replica_identity: String,
    #[diesel(sql_type = Bool)]
    pub(crate) row_security: bool,
    #[diesel(sql_type = Bool)]
    pub(crate) forced_row_security: bool,
}

#[derive(Debug, QueryableByName)]
pub(crate) struct Parent {
    #[diesel(sql_type = Oid)]
    pub(crate) child: u32,
    #[diesel(sql_type = Oid)]
    pub(crate) parent: u32,
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
    /// Whether the type, or what the domain is over, is in the schema, too.
    #[diesel(sql_type = Bool)]
    pub(crate) own_type: bool,
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
    #[diesel(sql_type = Text)]
    pub(crate) storage: String,
    #[diesel(sql_type = Text)]
    pub(crate) storage_of_type: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) compression: Option<String>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub(crate) statistics: Option<i32>,
    /// Ready for `SET (…)`.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) options: Option<String>,
    /// Whether the table itself has it, if perhaps from a parent, too.
    #[diesel(sql_type = Bool)]
    pub(crate) local: bool,
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
    /// Nothing where it is of a domain.
    #[diesel(sql_type = Nullable<Oid>)]
    pub(crate) table: Option<u32>,
    #[diesel(sql_type = Nullable<Oid>)]
    pub(crate) domain: Option<u32>,
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
    /// Whether the table itself has it, if perhaps from a parent, too.
    #[diesel(sql_type = Bool)]
    pub(crate) local: bool,
    /// The constraint of a partitioned table that made this one.
    #[diesel(sql_type = Nullable<Oid>)]
    pub(crate) parent: Option<u32>,
}

#[derive(Debug, QueryableByName)]
pub(crate) struct Index {
    #[diesel(sql_type = Oid)]
    pub(crate) oid: u32,
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    #[diesel(sql_type = Oid)]
    pub(crate) table: u32,
    #[diesel(sql_type = Text)]
    pub(crate) definition: String,
    /// Storage parameters, ready for `SET (…)`.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) options: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) tablespace: Option<String>,
    /// The index of the partitioned table that this one is attached to.
    #[diesel(sql_type = Nullable<Oid>)]
    pub(crate) parent: Option<u32>,
    #[diesel(sql_type = Bool)]
    pub(crate) clustered: bool,
    #[diesel(sql_type = Bool)]
    pub(crate) replica_identity: bool,
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

/// Reads the tables among the members.
pub(crate) fn read(
    conn: &mut PgConnection,
    schema: &SchemaName,
    version: i32,
    members: &Members,
) -> Result<Tables> {
    let tables = members.relations(&["r", "p"]);
    let with_columns = members.relations(&["r", "p", "v", "m"]);
    let indexes = members.relations(&["i", "I"]);
    let sequences: Vec<Sequence> = load(conn, SEQUENCES, &members.relations(&["S"]))?;
    let values = sequence_values(conn, schema, &sequences)?;
    Ok(Tables {
        tables: load(conn, TABLES, &tables)?,
        columns: load(conn, COLUMNS, &with_columns)?,
        parents: load(conn, PARENTS, &tables)?,
        sequences,
        values,
        constraints: load(conn, CONSTRAINTS, &members.of("pg_constraint"))?,
        indexes: load(conn, INDEXES, &indexes)?,
        index_statistics: load(conn, INDEX_STATISTICS, &indexes)?,
        not_null_is_a_constraint: version >= 180_000,
    })
}

fn load<T>(conn: &mut PgConnection, sql: &str, oids: &[u32]) -> Result<Vec<T>>
where
    T: QueryableByName<diesel::pg::Pg> + 'static,
{
    if oids.is_empty() {
        return Ok(Vec::new());
    }
    sql_query(sql)
        .bind::<Array<Oid>, _>(oids)
        .load(conn)
        .map_err(|error| Error::database("read the tables of the schema", error))
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
        .map_err(|error| Error::database("read the sequences of the schema", error))
}

const TABLES: &str = "
    SELECT c.oid, c.relname::pg_catalog.text AS name, c.relkind::pg_catalog.text AS kind,
           c.relpersistence = 'u' AS unlogged,
           (SELECT pg_catalog.string_agg(o.text, ', ') FROM (
                SELECT pg_catalog.format('%I=%L', option_name, option_value) AS text
                FROM pg_catalog.pg_options_to_table(c.reloptions)
                UNION ALL
                SELECT pg_catalog.format('toast.%I=%L', option_name, option_value)
                FROM pg_catalog.pg_class t,
                     pg_catalog.pg_options_to_table(t.reloptions)
                WHERE t.oid = c.reltoastrelid
           ) o) AS options,
           CASE WHEN c.reloftype <> 0 THEN pg_catalog.format_type(c.reloftype, NULL) END AS of_type,
           CASE WHEN c.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(c.oid) END AS partition_key,
           CASE WHEN c.relispartition THEN pg_catalog.pg_get_expr(c.relpartbound, c.oid) END AS bound,
           (SELECT m.amname::pg_catalog.text FROM pg_catalog.pg_am m
            WHERE m.oid = c.relam AND (m.amname <> 'heap' OR c.relkind = 'p')) AS access_method,
           (SELECT s.spcname::pg_catalog.text FROM pg_catalog.pg_tablespace s
            WHERE s.oid = c.reltablespace) AS tablespace,
           c.relreplident::pg_catalog.text AS replica_identity,
           c.relrowsecurity AS row_security, c.relforcerowsecurity AS forced_row_security
    FROM pg_catalog.pg_class c
    WHERE c.oid = ANY ($1)
    ORDER BY c.relname";

const PARENTS: &str = "
    SELECT i.inhrelid AS child, i.inhparent AS parent
    FROM pg_catalog.pg_inherits i
    WHERE i.inhrelid = ANY ($1)
    ORDER BY i.inhrelid, i.inhseqno";

const COLUMNS: &str = "
    SELECT a.attrelid AS table, a.attnum::pg_catalog.int4 AS number,
           a.attname::pg_catalog.text AS name,
           pg_catalog.format_type(a.atttypid, a.atttypmod) AS type_name,
           (WITH RECURSIVE over (type) AS (
                SELECT a.atttypid
                UNION ALL
                SELECT d.typbasetype FROM over
                JOIN pg_catalog.pg_type d ON d.oid = over.type AND d.typtype = 'd')
            SELECT base.typnamespace = c.relnamespace FROM over
            JOIN pg_catalog.pg_type base ON base.oid = over.type AND base.typtype <> 'd') AS own_type,
           CASE WHEN a.attcollation <> t.typcollation
                THEN a.attcollation::pg_catalog.regcollation::pg_catalog.text END AS collation,
           a.attnotnull AS not_null, a.attidentity::pg_catalog.text AS identity,
           a.attgenerated::pg_catalog.text AS generated, d.oid AS default_oid,
           pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS expression,
           a.attstorage::pg_catalog.text AS storage,
           t.typstorage::pg_catalog.text AS storage_of_type,
           nullif(pg_catalog.to_jsonb(a) ->> 'attcompression', '') AS compression,
           nullif(coalesce(a.attstattarget::pg_catalog.int4, -1), -1) AS statistics,
           (SELECT pg_catalog.string_agg(
                pg_catalog.format('%I=%L', option_name, option_value), ', ')
            FROM pg_catalog.pg_options_to_table(a.attoptions)) AS options,
           a.attislocal AS local
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attrelid, a.attnum";

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

/// Not those of constraint triggers, which come with the trigger.
const CONSTRAINTS: &str = "
    SELECT k.oid, nullif(k.conrelid, 0) AS table, nullif(k.contypid, 0) AS domain,
           k.conname::pg_catalog.text AS name, k.contype::pg_catalog.text AS kind,
           pg_catalog.pg_get_constraintdef(k.oid) AS definition, k.convalidated AS validated,
           k.conindid AS index, k.confrelid AS foreign_table,
           k.conislocal AS local, nullif(k.conparentid, 0) AS parent
    FROM pg_catalog.pg_constraint k
    LEFT JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
    WHERE k.oid = ANY ($1) AND k.contype <> 't'
    ORDER BY c.relname, k.conname";

const INDEXES: &str = "
    SELECT c.oid, c.relname::pg_catalog.text AS name, i.indrelid AS table,
           pg_catalog.pg_get_indexdef(c.oid, 0, true) AS definition,
           (SELECT pg_catalog.string_agg(
                pg_catalog.format('%I=%L', option_name, option_value), ', ')
            FROM pg_catalog.pg_options_to_table(c.reloptions)) AS options,
           (SELECT s.spcname::pg_catalog.text FROM pg_catalog.pg_tablespace s
            WHERE s.oid = c.reltablespace) AS tablespace,
           h.inhparent AS parent, i.indisclustered AS clustered,
           i.indisreplident AS replica_identity
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
    LEFT JOIN pg_catalog.pg_inherits h ON h.inhrelid = c.oid
    WHERE c.oid = ANY ($1)
    ORDER BY c.relname";

const INDEX_STATISTICS: &str = "
    SELECT a.attrelid AS index, a.attnum::pg_catalog.int4 AS column,
           a.attstattarget::pg_catalog.int4 AS target
    FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = ANY ($1) AND a.attstattarget >= 0
    ORDER BY a.attrelid, a.attnum";
