//! The rows of a schema: which of them a clone gets, and those as statements.

use diesel::PgConnection;

use super::{
    Rows, Template,
    graph::{Draft, Fragment},
};
use crate::{
    catalog::{self, tables::Column},
    error::{Error, ErrorKind, Result},
    sql::{Ident, Literal},
};

/// How many rows of one table a plan holds at the most: they are part of its text.
const MOST_ROWS: usize = 1_000;

/// Where Diesel remembers which migrations it has run.
const VERSIONS: &str = "__diesel_schema_migrations";

impl Template {
    /// The rows of the template: those of Diesel's table of migrations, and what migrations wrote.
    pub(super) fn rows<'a>(
        &self,
        conn: &mut PgConnection,
        tables: &[(&'a str, Vec<&'a Column>)],
    ) -> Result<Vec<TableRows<'a>>> {
        for excluded in &self.without_rows {
            if !tables.iter().any(|(table, _)| table == excluded) {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!(
                        "schema {:?} has no table {excluded:?} whose rows could be left out",
                        self.schema.as_str()
                    ),
                ));
            }
        }
        let wanted = tables.iter().filter(|(table, _)| {
            !self.without_rows.contains(*table)
                && (self.rows != Rows::Versions || *table == VERSIONS)
        });
        let mut wanted: Vec<_> = wanted.collect();
        let bound = catalog::data::bound(conn, &self.schema)?;
        let hidden = wanted
            .iter()
            .filter(|(table, _)| bound.get(*table) == Some(&true));
        let hidden = hidden.map(|(table, _)| {
            format!(
                "table {table}: row-level security may hide rows from this role, which would be lost; clone \
                 it as a role with BYPASSRLS, or without the rows of this table"
            )
        });
        self.refuse(&hidden.collect::<Vec<_>>())?;
        wanted.retain(|(table, _)| !bound.contains_key(*table));
        self.refuse(&self.pointers(conn, &wanted)?)?;
        if self.rows == Rows::Copied {
            let all = wanted.into_iter().map(|(table, columns)| TableRows {
                table,
                columns: columns.clone(),
                rows: None,
            });
            return Ok(all.collect());
        }
        let names: Vec<&str> = wanted.iter().map(|(table, _)| *table).collect();
        let filled = catalog::data::with_rows(conn, &self.schema, &names)?;
        let mut all = Vec::new();
        let mut refusals = Vec::new();
        for (table, columns) in filled.into_iter().filter_map(|number| wanted.get(number)) {
            let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            let rows = catalog::data::rows(conn, &self.schema, table, &names, MOST_ROWS + 1)?;
            if rows.len() > MOST_ROWS {
                refusals.push(format!(
                    "table {table}: more than {MOST_ROWS} rows cannot be part of a plan; clone it with \
                     its data"
                ));
            }
            all.push(TableRows {
                table,
                columns: columns.clone(),
                rows: Some(rows),
            });
        }
        self.refuse(&refusals)?;
        Ok(all)
    }

    /// Where rows hold the number of something in the schema, which is another in the clone.
    ///
    /// A planned row has names instead, which the clone looks up in itself. Not that of the schema.
    fn pointers(
        &self,
        conn: &mut PgConnection,
        wanted: &[&(&str, Vec<&Column>)],
    ) -> Result<Vec<String>> {
        let names: Vec<&str> = wanted.iter().map(|(table, _)| *table).collect();
        let by_name = self.rows != Rows::Copied;
        let found = catalog::pointers::find(conn, &self.schema, &names, by_name)?;
        let line = |p: catalog::pointers::Pointer| {
            format!(
                "table {}: rows whose {} points to something in the schema cannot be copied; clone it \
                 without the rows of this table",
                p.table, p.column
            )
        };
        Ok(found.into_iter().map(line).collect())
    }
}

/// The rows of one table.
#[derive(Debug)]
pub(super) struct TableRows<'a> {
    pub(super) table: &'a str,
    pub(super) columns: Vec<&'a Column>,
    /// Each as a list of literals; nothing where the server is to copy them.
    pub(super) rows: Option<Vec<String>>,
}

impl TableRows<'_> {
    pub(super) fn draft(&self) -> Draft {
        let table = Ident(self.table);
        let columns: Vec<_> = self
            .columns
            .iter()
            .map(|c| Ident(&c.name).to_string())
            .collect();
        let columns = columns.join(", ");
        match &self.rows {
            // A row without a column of its own: one statement each.
            Some(rows) if columns.is_empty() => {
                let one = format!("INSERT INTO {table} DEFAULT VALUES");
                vec![Fragment::Data(vec![one; rows.len()].join(";\n"))]
            }
            Some(rows) => {
                let rows: Vec<_> = rows.iter().map(|row| format!("({row})")).collect();
                vec![Fragment::Data(format!(
                    "INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE VALUES {}",
                    rows.join(", "),
                ))]
            }
            None => {
                let into = match columns.is_empty() {
                    true => String::new(),
                    false => format!(" ({columns}) OVERRIDING SYSTEM VALUE"),
                };
                let columns = self.columns.iter().map(|column| {
                    let from = if column.own_type { "own" } else { "source" };
                    format!("{from}.{}", Ident(&column.name))
                });
                let select = columns.collect::<Vec<_>>().join(", ");
                vec![
                    Fragment::Data(format!(
                        "INSERT INTO {table}{into} SELECT {select} FROM ONLY "
                    )),
                    Fragment::Source,
                    Fragment::Data(format!(".{table} AS source{}", self.own_values())),
                ]
            }
        }
    }

    /// The values whose type is in the schema, as the clone's columns take them. It is another type in the
    /// clone; text is what both have in common.
    ///
    /// What turns a value into text and back are the functions of the type, as `format` and
    /// `json_to_record` call them. A cast might be anybody's function.
    fn own_values(&self) -> String {
        let own: Vec<_> = self.columns.iter().filter(|c| c.own_type).collect();
        if own.is_empty() {
            return String::new();
        }
        let list = |of: &dyn Fn(&Column) -> String| -> String {
            let all: Vec<_> = own.iter().map(|column| of(column)).collect();
            all.join(", ")
        };
        format!(
            ", pg_catalog.json_to_record(pg_catalog.json_object(ARRAY[{}], ARRAY[{}])) AS own ({})",
            list(&|c| format!("{}::pg_catalog.text", Literal(&c.name))),
            // A row of nothing but NULLs is not NULL here.
            list(&|c| format!(
                "CASE WHEN source.{0} IS DISTINCT FROM NULL \
                 THEN pg_catalog.format('%s', source.{0}) END",
                Ident(&c.name)
            )),
            list(&|c| format!("{} {}", Ident(&c.name), c.type_name)),
        )
    }
}
