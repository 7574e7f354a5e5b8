//! What the experiment with the connection showed.

use boardinghouse_core::PoolerCheckup;
use serde::Serialize;

use crate::output::Report;

#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct PoolerReport<'a>(pub(crate) &'a PoolerCheckup);

impl Report for PoolerReport<'_> {
    fn human(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for found in &self.0.modes {
            lines.push(format!(
                "{} {:?}: {}",
                found.verdict, found.mode, found.reason
            ));
            lines.extend(found.hint.map(|hint| format!("      hint: {hint}")));
        }
        lines.extend(self.0.seen.iter().map(|seen| format!("seen: {seen}")));
        lines.join("\n")
    }
}
