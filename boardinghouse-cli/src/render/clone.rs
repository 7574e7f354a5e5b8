//! Clones.

use boardinghouse_core::{ClonePlan, ObjectKind, SchemaName};
use serde::Serialize;

use super::count;
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
