//! What a statement gave.

use boardinghouse_core::console::Answer;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{count, finished, plain};
use crate::output::Report;

#[derive(Debug)]
pub(crate) struct AnswerReport<'a>(pub(crate) &'a Answer);

/// An array of objects, or `{"affected": …}` for a statement without rows.
impl Serialize for AnswerReport<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.0.has_rows {
            let columns = &self.0.columns;
            to.collect_seq(self.0.rows.iter().map(|cells| Object { columns, cells }))
        } else {
            to.collect_map([("affected", self.0.affected)])
        }
    }
}

/// A row whose keys stay in the order of the columns.
struct Object<'a> {
    columns: &'a [String],
    cells: &'a [Box<RawValue>],
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.columns.iter().zip(self.cells))
    }
}

impl Report for AnswerReport<'_> {
    fn human(&self) -> String {
        match self.0 {
            Answer {
                has_rows: true,
                rows,
                ..
            } if rows.is_empty() => "0 rows".to_owned(),
            Answer {
                has_rows: true,
                columns,
                rows,
                ..
            } => {
                let mut table = plain();
                table.set_header(columns);
                table.add_rows(rows.iter().map(|cells| cells.iter().map(|cell| text(cell))));
                format!("{}\n{}", finished(&table), count(rows.len(), "row", "rows"))
            }
            Answer {
                affected: Some(affected),
                ..
            } => {
                format!("{} affected", count(*affected, "row", "rows"))
            }
            _ => "ok".to_owned(),
        }
    }
}

/// A string without its quotes, anything else as PostgreSQL wrote it.
fn text(cell: &RawValue) -> String {
    match serde_json::from_str::<Option<String>>(cell.get()) {
        Ok(Some(text)) => text,
        Ok(None) => "NULL".to_owned(),
        Err(_) => cell.get().to_owned(),
    }
}
