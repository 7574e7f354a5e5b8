//! The rows of a schema, as statements.

use super::graph::{Draft, Fragment};
use crate::{
    catalog::tables::Column,
    sql::{Ident, Literal},
};

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
