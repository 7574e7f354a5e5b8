//! What there is to know of a table before its rows are put together with others'.

use diesel::{
    OptionalExtension as _, PgConnection, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{Array, BigInt, Bool, Nullable, Oid, Text},
};

use crate::{
    error::{Error, Result},
    names::SchemaName,
};

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub(crate) struct ColumnOf {
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    #[diesel(sql_type = Bool)]
    pub(crate) generated: bool,
}

/// The columns of a table, in order.
pub(crate) fn columns(conn: &mut PgConnection, table: u32) -> Result<Vec<ColumnOf>> {
    sql_query(
        "SELECT a.attname::pg_catalog.text AS name, a.attgenerated <> '' AS generated
         FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
    )
    .bind::<Oid, _>(table)
    .load(conn)
    .map_err(|error| Error::database("read the columns of the table", error))
}

/// A sequence that belongs to a column.
#[derive(Debug, QueryableByName)]
pub(crate) struct SequenceOf {
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    #[diesel(sql_type = Text)]
    pub(crate) column: String,
    #[diesel(sql_type = Bool)]
    pub(crate) counts: bool,
    #[diesel(sql_type = BigInt)]
    pub(crate) increment: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) least: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) most: i64,
}

/// The sequences of a table.
pub(crate) fn sequences(conn: &mut PgConnection, table: u32) -> Result<Vec<SequenceOf>> {
    sql_query(
        "SELECT c.relname::pg_catalog.text AS name, a.attname::pg_catalog.text AS column,
             a.atttypid IN ('pg_catalog.int2'::pg_catalog.regtype, 'pg_catalog.int4'::pg_catalog.regtype,
                            'pg_catalog.int8'::pg_catalog.regtype, 'pg_catalog.numeric'::pg_catalog.regtype)
                 AS counts,
             s.seqincrement AS increment, s.seqmin AS least, s.seqmax AS most
         FROM pg_catalog.pg_depend d
         JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S'
         JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid
         JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
         WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = $1
           AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i')
         ORDER BY c.relname",
    )
    .bind::<Oid, _>(table)
    .load(conn)
    .map_err(|error| Error::database("read the sequences of the table", error))
}

/// A unique index.
#[derive(Debug, QueryableByName)]
pub(crate) struct Unique {
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    #[diesel(sql_type = Array<Text>)]
    pub(crate) keys: Vec<String>,
    /// The schemas and the names of what text in them is compared by, where it is text.
    #[diesel(sql_type = Array<Nullable<Text>>)]
    pub(crate) collation_schemas: Vec<Option<String>>,
    #[diesel(sql_type = Array<Nullable<Text>>)]
    pub(crate) collations: Vec<Option<String>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) predicate: Option<String>,
    #[diesel(sql_type = Bool)]
    pub(crate) nulls_are_equal: bool,
}

/// The unique indexes of a table, which must be on the path.
pub(crate) fn uniques(conn: &mut PgConnection, table: u32) -> Result<Vec<Unique>> {
    sql_query(
        "SELECT c.relname::pg_catalog.text AS name,
             ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, n, false)
                   FROM pg_catalog.generate_series(1, i.indnkeyatts) n ORDER BY n) AS keys,
             ARRAY(SELECT s.nspname::pg_catalog.text
                   FROM pg_catalog.generate_series(1, i.indnkeyatts) n
                   LEFT JOIN pg_catalog.pg_collation l ON l.oid = i.indcollation[n - 1]
                   LEFT JOIN pg_catalog.pg_namespace s ON s.oid = l.collnamespace ORDER BY n)
                 AS collation_schemas,
             ARRAY(SELECT l.collname::pg_catalog.text
                   FROM pg_catalog.generate_series(1, i.indnkeyatts) n
                   LEFT JOIN pg_catalog.pg_collation l ON l.oid = i.indcollation[n - 1] ORDER BY n)
                 AS collations,
             pg_catalog.pg_get_expr(i.indpred, i.indrelid) AS predicate,
             coalesce((pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct')::pg_catalog.bool, false)
                 AS nulls_are_equal
         FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
         WHERE i.indrelid = $1 AND i.indisunique ORDER BY NOT i.indisprimary, c.relname",
    )
    .bind::<Oid, _>(table)
    .load(conn)
    .map_err(|error| Error::database("read the unique indexes of the table", error))
}

#[derive(Debug, QueryableByName)]
struct Value {
    #[diesel(sql_type = Nullable<BigInt>)]
    value: Option<i64>,
}

/// The one number that a query gives, as `value`.
pub(crate) fn number(conn: &mut PgConnection, query: &str) -> Result<Option<i64>> {
    sql_query(query)
        .get_result::<Value>(conn)
        .optional()
        .map(|row| row.and_then(|row| row.value))
        .map_err(|error| Error::database("read a number", error))
}

/// How many things this session holds locks of. The server needs room for each once, in however many modes it
/// is locked.
pub(crate) fn locked(conn: &mut PgConnection) -> Result<i64> {
    let query = "SELECT pg_catalog.count(*) AS value FROM (
             SELECT DISTINCT locktype, database, relation, classid, objid, objsubid, transactionid, virtualxid
             FROM pg_catalog.pg_locks WHERE pid = pg_catalog.pg_backend_pid()) l";
    number(conn, query).map(Option::unwrap_or_default)
}

/// A sequence, and whose it is.
#[derive(Debug, QueryableByName)]
pub(crate) struct Owned {
    #[diesel(sql_type = Text)]
    pub(crate) schema_name: String,
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    #[diesel(sql_type = Text)]
    pub(crate) owner: String,
}

/// The sequences that belong to tables called `table` in these schemas.
pub(crate) fn own_sequences(
    conn: &mut PgConnection,
    schemas: &[&SchemaName],
    table: &str,
) -> Result<Vec<Owned>> {
    let schemas: Vec<&str> = schemas.iter().map(|schema| schema.as_str()).collect();
    sql_query(
        "SELECT n.nspname::pg_catalog.text AS schema_name, c.relname::pg_catalog.text AS name,
             pg_catalog.pg_get_userbyid(c.relowner)::pg_catalog.text AS owner
         FROM pg_catalog.pg_namespace s
         JOIN pg_catalog.pg_class t ON t.relnamespace = s.oid AND t.relname = $2::pg_catalog.name
         CROSS JOIN LATERAL (
             SELECT d.objid FROM pg_catalog.pg_depend d
             WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = t.oid
               AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i')
             OFFSET 0
         ) d
         JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S'
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE s.nspname = ANY ($1::pg_catalog.name[]) ORDER BY 1, 2",
    )
    .bind::<Array<Text>, _>(schemas)
    .bind::<Text, _>(table)
    .load(conn)
    .map_err(|error| Error::database("read the sequences of the table", error))
}
