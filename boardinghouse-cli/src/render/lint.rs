//! What the linter found, and what it looks for.

use boardinghouse_core::{
    Severity,
    lint::{LintFinding, Rule},
};
use serde::Serialize;

use super::count;
use crate::output::Report;

#[derive(Debug, Serialize)]
pub(crate) struct LintReport<'a> {
    pub(crate) findings: &'a [LintFinding],
}

impl Report for LintReport<'_> {
    fn human(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for finding in self.findings {
            lines.push(finding.to_string());
            lines.push(format!("      hint: {}", finding.hint));
        }
        let number = |severity| {
            let of_it = |finding: &&LintFinding| finding.severity == severity;
            self.findings.iter().filter(of_it).count()
        };
        lines.push(format!(
            "{}, {}, {}",
            count(number(Severity::Error), "error", "errors"),
            count(number(Severity::Warning), "warning", "warnings"),
            count(number(Severity::Info), "note", "notes"),
        ));
        lines.join("\n")
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct RulesReport<'a>(pub(crate) &'a [Rule]);

impl Report for RulesReport<'_> {
    fn human(&self) -> String {
        let lines = self.0.iter().flat_map(|rule| {
            [
                format!("{} ({}): {}", rule.id, rule.severity, rule.finds),
                format!("      hint: {}", rule.hint),
            ]
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}
