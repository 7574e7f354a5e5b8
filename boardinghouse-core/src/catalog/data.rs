//! What a schema's tables and sequences hold: rows and positions.

use std::collections::HashMap;

use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    sql_query,
    sql_types::{Bool, Integer, Text},
};

use crate::{
    error::{Error, Result},
    names::SchemaName,
    sql::Ident,
};

#[derive(QueryableByName)]
struct RowValues {
    #[diesel(sql_type = Text)]
    values: String,
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
            // The type's own function makes text of it: a cast might be anybody's.
            format!(
                "pg_catalog.format('%L', {}) COLLATE pg_catalog.\"C\"",
                Ident(column)
            )
        })
        .collect();
    if literals.is_empty() {
        literals.push("''".to_owned());
    }
    sql_query(format!(
        "SELECT pg_catalog.concat_ws(', ', {}) AS values FROM ONLY {}.{} ORDER BY 1 LIMIT {most}",
        literals.join(", "),
        schema.quoted(),
        Ident(table),
    ))
    .load::<RowValues>(conn)
    .map(|rows| rows.into_iter().map(|row| row.values).collect())
    .map_err(|error| Error::database("read the rows of the template", error))
}

/// The tables among `tables` that hold a row; all are asked in one query.
pub(crate) fn with_rows(
    conn: &mut PgConnection,
    schema: &SchemaName,
    tables: &[&str],
) -> Result<Vec<usize>> {
    #[derive(QueryableByName)]
    struct Filled {
        #[diesel(sql_type = Integer)]
        number: i32,
    }
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let selects: Vec<String> = tables
        .iter()
        .enumerate()
        .map(|(number, table)| {
            format!(
                "SELECT {number}::pg_catalog.int4 AS number WHERE EXISTS (SELECT FROM ONLY {}.{})",
                schema.quoted(),
                Ident(table),
            )
        })
        .collect();
    sql_query(selects.join(" UNION ALL "))
        .load::<Filled>(conn)
        .map(|rows| {
            let numbers = rows.into_iter();
            let mut numbers: Vec<usize> = numbers
                .filter_map(|row| usize::try_from(row.number).ok())
                .collect();
            numbers.sort_unstable();
            numbers
        })
        .map_err(|error| Error::database("look for rows in the template", error))
}

#[derive(QueryableByName)]
struct Relation {
    #[diesel(sql_type = Text)]
    name: String,
    /// As `pg_class.relkind`.
    #[diesel(sql_type = Text)]
    kind: String,
    /// Whether row-level security decides which rows this role sees.
    #[diesel(sql_type = Bool)]
    bound: bool,
    /// Whether it never had a row, or has none since it was truncated.
    #[diesel(sql_type = Bool)]
    unused: bool,
}

/// The tables and sequences of a schema, in the order of their names.
fn relations(conn: &mut PgConnection, schema: &SchemaName) -> Result<Vec<Relation>> {
    sql_query(
        "SELECT c.relname::pg_catalog.text AS name, c.relkind::pg_catalog.text AS kind,
             pg_catalog.row_security_active(c.oid) AS bound,
             c.relkind = 'r' AND pg_catalog.pg_relation_size(c.oid) = 0 AS unused
         FROM pg_catalog.pg_namespace n
         JOIN pg_catalog.pg_depend d
           ON d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.refobjid = n.oid
          AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
         JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relnamespace = n.oid
          AND c.relkind IN ('r', 'p', 'S')
         WHERE n.nspname = $1
         ORDER BY c.relname",
    )
    .bind::<Text, _>(schema.as_str())
    .load(conn)
    .map_err(|error| Error::database("list the tables of the schema", error))
}

/// The names of the tables in a schema.
pub(crate) fn tables(conn: &mut PgConnection, schema: &SchemaName) -> Result<Vec<String>> {
    let relations = relations(conn, schema)?.into_iter();
    let tables = relations.filter(|relation| relation.kind != "S");
    Ok(tables.map(|table| table.name).collect())
}

/// The tables of whose rows row-level security may hide some from this role, and whether there may be any.
pub(crate) fn bound(conn: &mut PgConnection, schema: &SchemaName) -> Result<HashMap<String, bool>> {
    let relations = relations(conn, schema)?.into_iter();
    let bound = relations.filter(|relation| relation.kind == "r" && relation.bound);
    Ok(bound.map(|table| (table.name, !table.unused)).collect())
}

/// Keeps others from changing these tables until the transaction ends.
pub(crate) fn lock(conn: &mut PgConnection, schema: &SchemaName, tables: &[String]) -> Result<()> {
    if tables.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = tables
        .iter()
        .map(|table| format!("ONLY {}.{}", schema.quoted(), Ident(table)))
        .collect();
    conn.batch_execute(&format!(
        "LOCK TABLE {} IN ACCESS SHARE MODE",
        names.join(", ")
    ))
    .map_err(|error| Error::database("lock the tables of the schema", error))
}

/// What a schema holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Contents {
    /// Its tables that have rows, or once had some.
    pub(crate) tables: Vec<String>,
    pub(crate) sequences: Vec<String>,
    /// The catalogs that its objects are in, as `pg_proc`.
    pub(crate) catalogs: Vec<String>,
}

/// What a schema holds now.
pub(crate) fn contents(conn: &mut PgConnection, schema: &SchemaName) -> Result<Contents> {
    let (sequences, tables): (Vec<Relation>, Vec<Relation>) = relations(conn, schema)?
        .into_iter()
        // What row-level security binds is read by no plan.
        .filter(|relation| relation.kind != "p" && !relation.bound)
        .partition(|relation| relation.kind == "S");
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let numbers = with_rows(conn, schema, &names)?;
    let names = numbers.into_iter().filter_map(|number| names.get(number));
    Ok(Contents {
        tables: names.map(|name| (*name).to_owned()).collect(),
        sequences: sequences
            .into_iter()
            .map(|sequence| sequence.name)
            .collect(),
        catalogs: catalogs(conn, schema)?,
    })
}

/// The catalogs that the objects of a schema are in.
pub(crate) fn catalogs(conn: &mut PgConnection, schema: &SchemaName) -> Result<Vec<String>> {
    #[derive(QueryableByName)]
    struct Catalog {
        #[diesel(sql_type = Text)]
        name: String,
    }
    sql_query(
        "SELECT DISTINCT c.relname::pg_catalog.text AS name
         FROM pg_catalog.pg_namespace n
         JOIN pg_catalog.pg_depend d
           ON d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.refobjid = n.oid
         JOIN pg_catalog.pg_class c ON c.oid = d.classid
         WHERE n.nspname = $1 ORDER BY 1",
    )
    .bind::<Text, _>(schema.as_str())
    .load::<Catalog>(conn)
    .map(|rows| rows.into_iter().map(|row| row.name).collect())
    .map_err(|error| Error::database("look what the schema holds", error))
}

/// For each table, an expression whose value is another when its rows are.
pub(crate) fn versions_of_rows(schema: &SchemaName, tables: &[String]) -> Vec<String> {
    let version = |table: &String| {
        format!(
            "(SELECT pg_catalog.string_agg(t.xmin::pg_catalog.text || t.ctid::pg_catalog.text, ' ') \
             FROM ONLY {}.{} t)",
            schema.quoted(),
            Ident(table)
        )
    };
    tables.iter().map(version).collect()
}

/// For each sequence, an expression whose value is another when it has moved.
pub(crate) fn sequence_positions(schema: &SchemaName, sequences: &[String]) -> Vec<String> {
    let position = |sequence: &String| {
        format!(
            "(SELECT last_value || is_called::pg_catalog.text FROM {}.{})",
            schema.quoted(),
            Ident(sequence)
        )
    };
    sequences.iter().map(position).collect()
}
