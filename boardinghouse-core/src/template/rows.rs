//! The rows of a schema, as statements.

use super::graph::{Draft, Fragment};
use crate::{catalog::tables::Column, sql::Ident};

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
                let select: Vec<String> = self.columns.iter().copied().map(value).collect();
                let select = select.join(", ");
                vec![
                    Fragment::Data(format!(
                        "INSERT INTO {table}{into} SELECT {select} FROM ONLY "
                    )),
                    Fragment::Source,
                    Fragment::Data(format!(".{table}")),
                ]
            }
        }
    }
}

/// A value as the clone's column takes it. A type of the schema is another one in the clone; text is what
/// both have in common.
fn value(column: &Column) -> String {
    let name = Ident(&column.name);
    match column.own_type {
        true => format!("{name}::pg_catalog.text::{}", column.type_name),
        false => name.to_string(),
    }
}
