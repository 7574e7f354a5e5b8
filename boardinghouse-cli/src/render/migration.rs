//! Plans and runs of migrations.

use boardinghouse_core::{MigrationPlan, MigrationReport, Outcome, PlannedTarget, ReportEntry};
use serde::Serialize;

use super::{count, table};
use crate::output::Report;

/// What each schema has and lacks.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct StatusReport<'a>(pub(crate) &'a MigrationPlan);

impl Report for StatusReport<'_> {
    fn human(&self) -> String {
        let row = |planned: &PlannedTarget| {
            let latest = planned.applied.last().map_or("-", String::as_str);
            [
                planned.target.to_string(),
                planned.applied.len().to_string(),
                latest.to_owned(),
                pending(planned, "-"),
            ]
        };
        table(
            ["schema", "applied", "latest", "pending"],
            self.0.targets.iter().map(row),
        )
    }
}

/// What a run would do.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct PlanReport<'a>(pub(crate) &'a MigrationPlan);

impl Report for PlanReport<'_> {
    fn human(&self) -> String {
        if self.0.is_empty() {
            return "nothing to do".to_owned();
        }
        let to_do = self
            .0
            .targets
            .iter()
            .filter(|planned| !planned.exists || !planned.pending.is_empty());
        table(
            ["schema", "would run"],
            to_do.map(|planned| [planned.target.to_string(), pending(planned, "nothing")]),
        )
    }
}

/// One migration a line, so that a table of many stays narrow.
fn pending(planned: &PlannedTarget, none: &str) -> String {
    let missing = (!planned.exists).then_some("(the schema is missing)");
    let lines: Vec<&str> = missing
        .into_iter()
        .chain(planned.pending.iter().map(String::as_str))
        .collect();
    if lines.is_empty() {
        none.to_owned()
    } else {
        lines.join("\n")
    }
}

/// What a run did.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct RunReport<'a>(pub(crate) &'a MigrationReport);

impl Report for RunReport<'_> {
    fn human(&self) -> String {
        let entries = &self.0.entries;
        let row = |entry: &ReportEntry| {
            let outcome = match &entry.outcome {
                Outcome::Failed(_) => "failed",
                Outcome::Skipped(_) => "skipped",
                _ if entry.applied.is_empty() => "up to date",
                _ => "migrated",
            };
            [
                entry.target.to_string(),
                outcome.to_owned(),
                entry.applied.join("\n"),
            ]
        };
        let mut text = table(["schema", "result", "applied"], entries.iter().map(row));
        let unwell = entries
            .iter()
            .filter(|entry| !matches!(entry.outcome, Outcome::Done));
        for entry in unwell {
            text.push_str(&format!("\n\n{}: {}", entry.target, entry.error_message()));
        }
        let applied: usize = entries.iter().map(|entry| entry.applied.len()).sum();
        text.push_str(&format!(
            "\n\n{}, {} applied, {} failed",
            count(entries.len(), "schema", "schemas"),
            count(applied, "migration", "migrations"),
            self.0.failures().count()
        ));
        text
    }
}
