//! Rows that hold the number of something in their schema: values of the types `regclass`, `regproc` and the
//! like (PostgreSQL manual, 8.19 "Object Identifier Types").

use diesel::{
    PgConnection, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{Array, Bool, Integer, Oid, Text},
};

use crate::{
    error::{Error, Result},
    names::SchemaName,
    sql::Ident,
};

/// A column of a table that may hold such numbers.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub(crate) struct Pointer {
    #[diesel(sql_type = Text)]
    pub(crate) table: String,
    #[diesel(sql_type = Text)]
    pub(crate) column: String,
    /// The number of the schema.
    #[diesel(sql_type = Oid)]
    schema: u32,
    /// The type of the numbers.
    #[diesel(sql_type = Text)]
    kind: String,
    /// Whether the column holds arrays of them.
    #[diesel(sql_type = Bool)]
    in_array: bool,
    /// Whether they are further inside.
    #[diesel(sql_type = Bool)]
    nested: bool,
}

/// Those columns of `tables` in which some row points to something in the schema. Where rows are copied
/// `by_name`, only to the schema itself: all other names are looked up in the clone.
pub(crate) fn find(
    conn: &mut PgConnection,
    schema: &SchemaName,
    tables: &[&str],
    by_name: bool,
) -> Result<Vec<Pointer>> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = Integer)]
        number: i32,
    }
    let failed = |error| Error::database("look for rows that point into the schema", error);
    let mut columns: Vec<Pointer> = sql_query(COLUMNS)
        .bind::<Text, _>(schema.as_str())
        .bind::<Array<Text>, _>(tables)
        .load(conn)
        .map_err(failed)?;
    columns.retain(|column| !by_name || column.kind == "regnamespace");
    let selects: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(number, column)| {
            format!(
                "SELECT {number}::pg_catalog.int4 AS number WHERE EXISTS (SELECT FROM ONLY {}.{} AS t {})",
                schema.quoted(),
                Ident(&column.table),
                column.points(),
            )
        })
        .collect();
    if selects.is_empty() {
        return Ok(Vec::new());
    }
    let found: Vec<Found> = sql_query(selects.join(" UNION ALL "))
        .load(conn)
        .map_err(failed)?;
    let found = found.iter().filter_map(|f| usize::try_from(f.number).ok());
    let mut found: Vec<Pointer> = found.filter_map(|at| columns.get(at).cloned()).collect();
    found.sort_by(|a, b| (&a.table, &a.column).cmp(&(&b.table, &b.column)));
    found.dedup_by(|a, b| (&a.table, &a.column) == (&b.table, &b.column));
    Ok(found)
}

impl Pointer {
    /// What follows FROM where a row of `t` points into the schema.
    fn points(&self) -> String {
        let value = format!("t.{}", Ident(&self.column));
        if self.nested {
            // It is not looked into.
            return format!("WHERE {value} IS DISTINCT FROM NULL");
        }
        let (from, value) = match self.in_array {
            true => (
                format!(", pg_catalog.unnest({value}) AS e (e)"),
                "e.e".to_owned(),
            ),
            false => (String::new(), value),
        };
        let (catalog, namespace) = match self.kind.as_str() {
            "regclass" => ("pg_class", "relnamespace"),
            "regtype" => ("pg_type", "typnamespace"),
            "regproc" | "regprocedure" => ("pg_proc", "pronamespace"),
            "regoper" | "regoperator" => ("pg_operator", "oprnamespace"),
            "regcollation" => ("pg_collation", "collnamespace"),
            "regconfig" => ("pg_ts_config", "cfgnamespace"),
            "regdictionary" => ("pg_ts_dict", "dictnamespace"),
            _ => ("pg_namespace", "oid"),
        };
        format!(
            "{from}, pg_catalog.{catalog} AS c WHERE c.oid = {value}::pg_catalog.oid AND c.{namespace} = {}",
            self.schema
        )
    }
}

/// The columns of tables `$2` in schema `$1`, down to what their types are made of.
const COLUMNS: &str = "
    WITH RECURSIVE part (relation, number, type, in_array, nested) AS (
        SELECT a.attrelid, a.attnum, a.atttypid, false, false
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $1
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
         AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
        WHERE c.relname = ANY ($2)
        UNION
        SELECT p.relation, p.number, inside.type, p.in_array OR inside.\"array\",
               p.nested OR inside.deeper OR p.in_array AND inside.\"array\"
        FROM part p CROSS JOIN LATERAL (
            SELECT t.typbasetype, false, false FROM pg_catalog.pg_type t
            WHERE t.oid = p.type AND t.typtype = 'd'
            UNION ALL
            SELECT t.typelem, true, false FROM pg_catalog.pg_type t
            WHERE t.oid = p.type AND t.typelem <> 0 AND t.typlen = -1
            UNION ALL
            SELECT a.atttypid, false, true
            FROM pg_catalog.pg_type t JOIN pg_catalog.pg_attribute a ON a.attrelid = t.typrelid
            WHERE t.oid = p.type AND t.typtype = 'c' AND a.attnum > 0 AND NOT a.attisdropped
            UNION ALL
            SELECT r.rngsubtype, false, true FROM pg_catalog.pg_range r WHERE r.rngtypid = p.type
        ) AS inside (type, \"array\", deeper)
    )
    SELECT c.relname::pg_catalog.text AS \"table\", a.attname::pg_catalog.text AS \"column\",
           c.relnamespace AS schema, t.typname::pg_catalog.text AS kind, p.in_array, p.nested
    FROM part p
    JOIN pg_catalog.pg_class c ON c.oid = p.relation
    JOIN pg_catalog.pg_attribute a ON a.attrelid = p.relation AND a.attnum = p.number
    JOIN pg_catalog.pg_type t ON t.oid = p.type
     AND t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace
     AND t.typname IN ('regclass', 'regtype', 'regproc', 'regprocedure', 'regoper', 'regoperator',
                       'regcollation', 'regconfig', 'regdictionary', 'regnamespace')
    ORDER BY 1, 2";
