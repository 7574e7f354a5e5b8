//! What the doctor found.

use boardinghouse_core::Checkup;
use serde::Serialize;

use super::count;
use crate::output::Report;

#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct CheckupReport<'a>(pub(crate) &'a Checkup);

impl Report for CheckupReport<'_> {
    fn human(&self) -> String {
        let tenants = count(self.0.tenants, "tenant", "tenants");
        if self.0.is_healthy() {
            return format!("healthy: {tenants}, nothing found");
        }
        let mut lines: Vec<String> = Vec::new();
        for finding in &self.0.findings {
            lines.push(format!(
                "{} {}: {}",
                finding.code, finding.severity, finding.message
            ));
            lines.push(format!("      hint: {}", finding.hint));
        }
        let findings = count(self.0.findings.len(), "finding", "findings");
        lines.push(format!("{findings}, {tenants}"));
        lines.join("\n")
    }
}
