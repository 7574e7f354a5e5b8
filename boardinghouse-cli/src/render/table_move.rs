//! A table that is moved.

use std::fmt::Write as _;

use boardinghouse_core::{MoveTo, MovedSchema, TableMovePlan};
use serde::Serialize;

use super::{count, table};
use crate::output::Report;

/// How many schemas, and foreign keys, a person is shown.
const MOST: usize = 50;

/// What would be done, or was.
#[derive(Debug, Serialize)]
pub(crate) struct MoveReport<'a> {
    /// Whether the table was moved.
    moved: bool,
    #[serde(flatten)]
    plan: &'a TableMovePlan,
}

impl<'a> MoveReport<'a> {
    pub(crate) fn planned(plan: &'a TableMovePlan) -> Self {
        Self { moved: false, plan }
    }

    pub(crate) fn done(plan: &'a TableMovePlan) -> Self {
        Self { moved: true, plan }
    }

    fn title(&self) -> String {
        let plan = self.plan;
        let verb = match (self.moved, plan.is_possible()) {
            (true, _) => "moved",
            (false, true) => "would move",
            (false, false) => "cannot move",
        };
        let (from, to) = match plan.to {
            MoveTo::Shared => ("the tenants", "the shared schema"),
            _ => ("the shared schema", "the tenants"),
        };
        let templates = plan.schemas.iter().filter(|one| one.tenant.is_none());
        let templates = templates.count();
        format!(
            "{verb} table {} from {from} to {to}: {}, {}, {}",
            plan.table,
            count(templates, "template", "templates"),
            count(plan.schemas.len() - templates, "tenant", "tenants"),
            count(plan.foreign_keys.len(), "foreign key", "foreign keys"),
        )
    }

    fn schemas(&self) -> String {
        let plan = self.plan;
        let row = |one: &MovedSchema| {
            let whose = one.tenant.as_ref().map(|tenant| format!("tenant {tenant}"));
            [
                one.schema.to_string(),
                whose.unwrap_or_else(|| "template".to_owned()),
                one.rows_before.to_string(),
                one.rows_after.to_string(),
            ]
        };
        let shared = [
            plan.shared.to_string(),
            "shared".to_owned(),
            plan.shared_rows_before.to_string(),
            plan.shared_rows_after.to_string(),
        ];
        let shown = plan.schemas.iter().take(MOST).map(row);
        let rows = std::iter::once(shared).chain(shown);
        let mut text = table(["schema", "whose", "rows before", "rows after"], rows);
        more(&mut text, plan.schemas.len());
        text
    }
}

impl Report for MoveReport<'_> {
    fn human(&self) -> String {
        let plan = self.plan;
        let mut text = self.title();
        if !plan.is_possible() {
            let _ = write!(
                text,
                "\n\n{}, and nothing was changed:",
                match plan.all_conflicts {
                    1 => "1 key has rows that differ".to_owned(),
                    number => format!("{number} keys have rows that differ"),
                }
            );
            for one in &plan.conflicts {
                let holders = one.holders.join(", ");
                let _ = write!(
                    text,
                    "\n  ({})=({}) of {}: {holders}",
                    one.columns, one.key, one.index
                );
                let all = usize::try_from(one.all_holders).unwrap_or_default();
                if all > one.holders.len() {
                    let _ = write!(text, " and {} more", all - one.holders.len());
                }
            }
            let shown = i64::try_from(plan.conflicts.len()).unwrap_or_default();
            if plan.all_conflicts > shown {
                let _ = write!(text, "\n  and {} more", plan.all_conflicts - shown);
            }
            return text;
        }
        let _ = write!(text, "\n\n{}", self.schemas());
        if !plan.foreign_keys.is_empty() {
            text.push_str("\n\nForeign keys:");
            for key in plan.foreign_keys.iter().take(MOST) {
                let (schema, name, constraint) = (&key.schema, &key.table, &key.constraint);
                let _ = match &key.leads_to {
                    Some(to) => write!(text, "\n  {constraint} of {schema}.{name} leads to {to}"),
                    None => write!(
                        text,
                        "\n  {constraint} of {schema}.{name} is dropped: the schema waits for a tenant, \
                         and is out of date then"
                    ),
                };
            }
            more(&mut text, plan.foreign_keys.len());
        }
        text.push_str(
            "\n\nSo that a new database comes out alike, add these as new migrations, and mark them as \
             applied here:",
        );
        for migration in &plan.migrations {
            let option = match migration.set {
                "shared" => " --shared",
                _ => "",
            };
            let _ = write!(
                text,
                "\n\n-- {}: then `boardinghouse migrate{option} --mark-applied VERSION`\n{}",
                migration.set, migration.up
            );
        }
        if plan.outdates_migrations() {
            let _ = write!(
                text,
                "\n\nOn a new database, all shared migrations run before those of the tenants. Older \
                 migrations of the tenants that refer to the shared table {} find none there: change \
                 them, so that they refer to one of the tenant's own.",
                plan.table
            );
        }
        text
    }
}

fn more(text: &mut String, all: usize) {
    if all > MOST {
        let _ = write!(text, "\nand {} more", all - MOST);
    }
}
