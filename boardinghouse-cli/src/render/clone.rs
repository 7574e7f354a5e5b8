//! Clones.

use std::collections::BTreeMap;

use boardinghouse_core::{ClonePlan, ObjectKind, ReadyChange, ReadySchemas, SchemaName};
use serde::Serialize;

use super::{count, finished, plain, table};
use crate::output::Report;

/// A schema that was cloned.
#[derive(Debug, Serialize)]
pub(crate) struct CloneReport<'a> {
    pub(crate) source: &'a SchemaName,
    pub(crate) target: &'a SchemaName,
    pub(crate) statements: usize,
    pub(crate) milliseconds: u128,
    /// Whether the rows were copied.
    pub(crate) data: bool,
}

impl Report for CloneReport<'_> {
    fn human(&self) -> String {
        format!(
            "cloned schema {} to {}{}: {} in {} ms",
            self.source,
            self.target,
            if self.data { " with its data" } else { "" },
            count(self.statements, "statement", "statements"),
            self.milliseconds,
        )
    }
}

/// What would be run.
#[derive(Debug, Serialize)]
pub(crate) struct ScriptReport<'a> {
    source: &'a SchemaName,
    target: &'a SchemaName,
    statements: Vec<Statement>,
    script: String,
}

#[derive(Debug, Serialize)]
struct Statement {
    object: ObjectKind,
    sql: String,
}

impl<'a> ScriptReport<'a> {
    pub(crate) fn new(plan: &'a ClonePlan, target: &'a SchemaName) -> Self {
        let statement = |step| plan.statement(step, target);
        let steps = plan.steps().iter();
        Self {
            source: plan.source(),
            target,
            statements: steps
                .map(|step| Statement {
                    object: step.object,
                    sql: statement(step),
                })
                .collect(),
            script: plan.script(target),
        }
    }
}

impl Report for ScriptReport<'_> {
    fn human(&self) -> String {
        self.script.trim_end().to_owned()
    }
}

/// What a clone takes.
#[derive(Debug, Serialize)]
pub(crate) struct CompiledReport<'a> {
    template: &'a SchemaName,
    /// How many statements there are of each kind.
    statements: BTreeMap<String, usize>,
}

impl<'a> CompiledReport<'a> {
    pub(crate) fn new(plan: &'a ClonePlan) -> Self {
        let mut statements = BTreeMap::new();
        for step in plan.steps() {
            *statements.entry(step.object.to_string()).or_insert(0) += 1;
        }
        Self {
            template: plan.source(),
            statements,
        }
    }
}

impl Report for CompiledReport<'_> {
    fn human(&self) -> String {
        let all = self.statements.values().sum();
        let title = format!(
            "template {} can be cloned: {}",
            self.template,
            count(all, "statement", "statements")
        );
        if self.statements.is_empty() {
            return title;
        }
        let rows = self.statements.iter();
        let rows = rows.map(|(kind, number)| [kind.clone(), number.to_string()]);
        format!("{title}\n{}", table(["kind", "statements"], rows))
    }
}

/// What a clone has that the template lacks, and the other way round.
#[derive(Debug, Serialize)]
pub(crate) struct VerifiedReport<'a> {
    pub(crate) template: &'a SchemaName,
    pub(crate) differences: &'a [String],
}

impl Report for VerifiedReport<'_> {
    fn human(&self) -> String {
        let number = self.differences.len();
        let mut lines = vec![format!(
            "a clone of template {}: {}",
            self.template,
            count(number, "difference", "differences")
        )];
        lines.extend(self.differences.iter().cloned());
        lines.join("\n")
    }
}

/// The schemas that wait for a tenant.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct PoolReport<'a>(pub(crate) &'a ReadySchemas);

impl Report for PoolReport<'_> {
    fn human(&self) -> String {
        let mut table = plain();
        table.add_row(["ready".to_owned(), self.0.ready.len().to_string()]);
        table.add_row(["out of date".to_owned(), self.0.stale.len().to_string()]);
        finished(&table)
    }
}

/// What was done to them.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct ReadyReport<'a>(pub(crate) &'a ReadyChange);

impl Report for ReadyReport<'_> {
    fn human(&self) -> String {
        let schemas = |number| count(number, "schema", "schemas");
        format!(
            "made {} ready, dropped {}",
            schemas(self.0.created.len()),
            schemas(self.0.dropped.len())
        )
    }
}

/// The named templates.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct NamedReport<'a>(pub(crate) &'a [SchemaName]);

impl Report for NamedReport<'_> {
    fn human(&self) -> String {
        match self.0 {
            [] => "there are no named templates".to_owned(),
            names => names
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n"),
        }
    }
}

/// A schema that became a named template, or is none any more.
#[derive(Debug, Serialize)]
pub(crate) struct ChangedReport<'a> {
    schema: &'a SchemaName,
    named_template: bool,
}

impl<'a> ChangedReport<'a> {
    pub(crate) fn added(schema: &'a SchemaName) -> Self {
        Self {
            schema,
            named_template: true,
        }
    }

    pub(crate) fn removed(schema: &'a SchemaName) -> Self {
        Self {
            schema,
            named_template: false,
        }
    }
}

impl Report for ChangedReport<'_> {
    fn human(&self) -> String {
        match self.named_template {
            true => format!(
                "{} is a named template: it is migrated with the fleet",
                self.schema
            ),
            false => format!("{} is a schema like any other now", self.schema),
        }
    }
}
