//! What a statement gave.

use boardinghouse_core::{AcrossReport, TenantId, console::Answer};
use comfy_table::Table;
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

/// What a statement gave for each of many tenants.
#[derive(Debug)]
pub(crate) struct AnswersReport<'a>(pub(crate) &'a AcrossReport<Answer>);

/// One object a tenant, in order; those that were skipped come last.
impl Serialize for AnswersReport<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let entries = self.0.entries.iter().map(|entry| Entry {
            tenant: entry.tenant.id(),
            outcome: match &entry.result {
                Ok(answer) if answer.has_rows => Outcome::Done {
                    rows: Some(AnswerReport(answer)),
                    affected: None,
                },
                Ok(answer) => Outcome::Done {
                    rows: None,
                    affected: answer.affected,
                },
                Err(error) => Outcome::Failed {
                    error: error.chain(),
                },
            },
        });
        let skipped = self.0.skipped.iter().map(|tenant| Entry {
            tenant: tenant.id(),
            outcome: Outcome::Skipped {
                error: tenant.status().to_string(),
            },
        });
        to.collect_seq(entries.chain(skipped))
    }
}

#[derive(Serialize)]
struct Entry<'a> {
    tenant: &'a TenantId,
    #[serde(flatten)]
    outcome: Outcome<'a>,
}

#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
enum Outcome<'a> {
    Done {
        #[serde(skip_serializing_if = "Option::is_none")]
        rows: Option<AnswerReport<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        affected: Option<usize>,
    },
    Failed {
        error: String,
    },
    Skipped {
        error: String,
    },
}

/// Tenants whose answers have the same columns share a table.
impl Report for AnswersReport<'_> {
    fn human(&self) -> String {
        let mut tables: Vec<(&[String], Table)> = Vec::new();
        let mut rows = 0;
        let mut lines = Vec::new();
        let mut gives_rows = false;
        for entry in &self.0.entries {
            let id = entry.tenant.id();
            match &entry.result {
                Ok(answer) if answer.has_rows => {
                    gives_rows = true;
                    rows += answer.rows.len();
                    if answer.rows.is_empty() {
                        continue;
                    }
                    let known = tables.iter().position(|(c, _)| *c == answer.columns);
                    let place = known.unwrap_or_else(|| {
                        let mut table = plain();
                        let columns = answer.columns.iter().map(String::as_str);
                        table.set_header(std::iter::once("TENANT").chain(columns));
                        tables.push((&answer.columns, table));
                        tables.len() - 1
                    });
                    tables[place].1.add_rows(answer.rows.iter().map(|cells| {
                        std::iter::once(id.to_string()).chain(cells.iter().map(|cell| text(cell)))
                    }));
                }
                Ok(answer) => lines.push(format!("{id}: {}", AnswerReport(answer).human())),
                Err(_) => {}
            }
        }
        let mut parts: Vec<String> = tables.iter().map(|(_, table)| finished(table)).collect();
        if gives_rows || lines.is_empty() {
            parts.push(count(rows, "row", "rows"));
        }
        parts.extend(lines);
        parts.join("\n")
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
