//! The rows of a template, as statements.

use crate::sql::Ident;

/// The rows of one table, each as a list of literals.
#[derive(Debug)]
pub(super) struct TableRows<'a> {
    pub(super) table: &'a str,
    pub(super) columns: Vec<&'a str>,
    pub(super) rows: Vec<String>,
}

impl TableRows<'_> {
    pub(super) fn insert(&self) -> String {
        if self.columns.is_empty() {
            // A row without a column of its own: one statement each.
            let one = format!("INSERT INTO {} DEFAULT VALUES", Ident(self.table));
            return vec![one; self.rows.len()].join(";\n");
        }
        let columns: Vec<_> = self.columns.iter().map(|c| Ident(c).to_string()).collect();
        let rows: Vec<_> = self.rows.iter().map(|row| format!("({row})")).collect();
        format!(
            "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES {}",
            Ident(self.table),
            columns.join(", "),
            rows.join(", "),
        )
    }
}
