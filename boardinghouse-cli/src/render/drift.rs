//! Drift, and who is not ready.

use boardinghouse_core::{Change, Difference, DriftReport, GateReport, NotReady, TenantId};
use serde::Serialize;

use super::count;
use crate::output::Report;

/// How many tenants a line names.
const MOST_NAMES: usize = 8;

/// What differs.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct DriftedReport<'a>(pub(crate) &'a DriftReport);

impl Report for DriftedReport<'_> {
    fn human(&self) -> String {
        let report = self.0;
        let mut lines = vec![format!(
            "{}, {}, {} drifted, {} at another version",
            count(report.tenants, "tenant", "tenants"),
            count(report.shapes.len(), "structure", "structures"),
            report.drifted.len(),
            report.other_versions.len(),
        )];
        if report.shapes.len() > 1 {
            for group in &report.shapes {
                let what = match (group.as_the_template, &group.kind_template) {
                    (true, None) => "as the template".to_owned(),
                    (true, Some(own)) => format!("as the template {own}"),
                    (false, None) => "otherwise".to_owned(),
                    (false, Some(own)) => format!("otherwise than {own}"),
                };
                let tenants = count(group.tenants.len(), "tenant", "tenants");
                lines.push(format!("  {what}: {tenants}: {}", names(&group.tenants)));
            }
        }
        for drifted in &report.drifted {
            lines.push(format!(
                "\ntenant {}: {} from {}",
                drifted.tenant,
                count(drifted.differences.len(), "difference", "differences"),
                drifted.compared_with,
            ));
            lines.extend(drifted.differences.iter().map(difference));
        }
        if !report.other_versions.is_empty() {
            lines.push(String::new());
        }
        for other in &report.other_versions {
            let mut parts = Vec::new();
            if !other.lacks.is_empty() {
                parts.push(format!("lacks {}", other.lacks.join(", ")));
            }
            if !other.has_more.is_empty() {
                parts.push(format!("has also {}", other.has_more.join(", ")));
            }
            lines.push(format!(
                "tenant {} is at another version: it {}",
                other.tenant,
                parts.join(", and ")
            ));
        }
        for other in &report.incomparable {
            let reasons = &other.reasons;
            lines.push(format!(
                "\ntenant {} cannot be compared: {reasons}",
                other.tenant
            ));
        }
        for tenant in &report.missing {
            lines.push(format!("\ntenant {tenant}: its schema is missing"));
        }
        lines.join("\n")
    }
}

fn difference(difference: &Difference) -> String {
    let (kind, name) = (difference.kind, &difference.name);
    let word = match difference.change {
        Change::Added => "added",
        Change::Missing => "missing",
        _ => "changed",
    };
    let mut text = format!("  {word} {kind} {name}");
    let sides = [("-", &difference.expected), ("+", &difference.found)];
    for (sign, side) in sides {
        for line in side.iter().flat_map(|side| side.lines()) {
            text.push_str(&format!("\n    {sign} {line}"));
        }
    }
    text
}

fn names(tenants: &[TenantId]) -> String {
    let first: Vec<&str> = tenants
        .iter()
        .take(MOST_NAMES)
        .map(TenantId::as_str)
        .collect();
    let first = first.join(", ");
    match tenants.len() > MOST_NAMES {
        true => format!("{first}, …"),
        false => first,
    }
}

/// What would bring the tenants back.
#[derive(Debug, Serialize)]
pub(crate) struct RepairReport<'a> {
    tenants: Vec<Repair<'a>>,
}

#[derive(Debug, Serialize)]
struct Repair<'a> {
    tenant: &'a TenantId,
    script: &'a str,
}

impl<'a> RepairReport<'a> {
    pub(crate) fn new(report: &'a DriftReport) -> Self {
        let drifted = report.drifted.iter();
        let tenants = drifted.map(|drifted| Repair {
            tenant: &drifted.tenant,
            script: &drifted.repair,
        });
        Self {
            tenants: tenants.collect(),
        }
    }
}

impl Report for RepairReport<'_> {
    fn human(&self) -> String {
        if self.tenants.is_empty() {
            return "-- no tenant has drifted".to_owned();
        }
        let scripts = self.tenants.iter().map(|repair| {
            let script = repair.script.trim_end();
            format!("-- tenant {}\n{script}", repair.tenant)
        });
        scripts.collect::<Vec<_>>().join("\n\n")
    }
}

/// Who lacks what.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct GatedReport<'a>(pub(crate) &'a GateReport);

impl Report for GatedReport<'_> {
    fn human(&self) -> String {
        let report = self.0;
        let groups = report.not_ready.iter();
        let not_ready: usize = groups.map(|group| group.targets.len()).sum();
        let mut lines = vec![format!(
            "{} needed: {} ready, {not_ready} not",
            count(report.tables, "table is", "tables are"),
            count(report.ready, "schema is", "schemas are"),
        )];
        lines.extend(report.not_ready.iter().map(lacking));
        lines.join("\n")
    }
}

fn lacking(group: &NotReady) -> String {
    let names: Vec<String> = group.targets.iter().map(ToString::to_string).collect();
    let mut text = format!("\n{}:", names.join(", "));
    for lack in &group.lacks {
        text.push_str(&format!("\n  {lack}"));
    }
    text
}
