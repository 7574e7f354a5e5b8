//! Plans and runs of migrations.

use std::collections::BTreeMap;

use boardinghouse_core::{
    MigrationPlan, MigrationReport, Outcome, PlannedTarget, ReportEntry, Target,
};
use serde::Serialize;

use super::{count, table};
use crate::output::Report;

/// How many schemas may be skipped for one reason before they are only counted.
const FEW: usize = 3;

/// How many schemas are listed one by one where all is well with most of them.
const LISTED: usize = 50;

/// What each schema has and lacks.
#[derive(Debug, Serialize)]
pub(crate) struct StatusReport<'a> {
    summary: Summary<'a>,
    #[serde(flatten)]
    plan: &'a MigrationPlan,
}

/// The tenants, counted.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    tenants: usize,
    behind: Vec<&'a Target>,
    /// How many are at which version, by the newest that they have.
    versions: BTreeMap<&'a str, usize>,
    /// Versions that none of the migrations has, and how many schemas have them.
    unknown: BTreeMap<&'a str, usize>,
    /// Versions of kinds of tenants that schemas have which are not of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    of_other_kinds: BTreeMap<&'a str, OfOtherKind<'a>>,
}

#[derive(Debug, Serialize)]
struct OfOtherKind<'a> {
    kind: &'a str,
    schemas: usize,
}

impl<'a> StatusReport<'a> {
    pub(crate) fn new(plan: &'a MigrationPlan) -> Self {
        let mut summary = Summary {
            tenants: 0,
            behind: Vec::new(),
            versions: BTreeMap::new(),
            unknown: BTreeMap::new(),
            of_other_kinds: BTreeMap::new(),
        };
        for planned in &plan.targets {
            for version in &planned.unknown {
                match planned.of_other_kinds.get(version) {
                    None => *summary.unknown.entry(version).or_default() += 1,
                    Some(kind) => {
                        let others = summary.of_other_kinds.entry(version);
                        others.or_insert(OfOtherKind { kind, schemas: 0 }).schemas += 1;
                    }
                }
            }
            if !matches!(planned.target, Target::Tenant { .. }) {
                continue;
            }
            summary.tenants += 1;
            *summary.versions.entry(latest(planned)).or_default() += 1;
            if !planned.is_done() {
                summary.behind.push(&planned.target);
            }
        }
        Self { summary, plan }
    }
}

fn latest(planned: &PlannedTarget) -> &str {
    planned.applied.last().map_or("-", String::as_str)
}

impl Report for StatusReport<'_> {
    fn human(&self) -> String {
        let row = |planned: &PlannedTarget| {
            [
                planned.target.to_string(),
                planned.applied.len().to_string(),
                latest(planned).to_owned(),
                pending(planned, "-"),
            ]
        };
        let targets = &self.plan.targets;
        let header = ["schema", "applied", "latest", "pending"];
        let mut text = if targets.len() <= LISTED {
            table(header, targets.iter().map(row))
        } else {
            let shown = targets.iter().filter(|planned| {
                !planned.is_done() || !matches!(planned.target, Target::Tenant { .. })
            });
            let (rows, more) = first(shown.map(row));
            let versions = self.summary.versions.iter();
            let versions =
                versions.map(|(version, many)| [(*version).to_owned(), many.to_string()]);
            format!(
                "{}{more}\n\n{}\n\n{}, {} behind",
                table(header, rows),
                table(["latest", "tenants"], versions),
                count(self.summary.tenants, "tenant", "tenants"),
                self.summary.behind.len()
            )
        };
        text.push_str(&skipped(targets));
        let have = |many: usize| match many {
            1 => "1 schema has".to_owned(),
            many => format!("{many} schemas have"),
        };
        for (version, many) in &self.summary.unknown {
            text.push_str(&format!(
                "\nwarning: {} {version}, which none of the migrations is: see `migrate --prune`",
                have(*many)
            ));
        }
        for (version, OfOtherKind { kind, schemas }) in &self.summary.of_other_kinds {
            text.push_str(&format!(
                "\nwarning: {} {version}, which is kind {kind}'s, without being of that kind: what it made stays \
                 until it is dropped by hand, then see `migrate --prune`",
                have(*schemas)
            ));
        }
        text
    }
}

/// The first rows, and how many more there are.
fn first<const N: usize>(rows: impl Iterator<Item = [String; N]>) -> (Vec<[String; N]>, String) {
    let mut rows: Vec<_> = rows.collect();
    let more = rows.len().saturating_sub(LISTED);
    rows.truncate(LISTED);
    let more = match more {
        0 => String::new(),
        more => format!("\n… and {more} more: --json has all"),
    };
    (rows, more)
}

/// What a run would do.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct PlanReport<'a>(pub(crate) &'a MigrationPlan);

impl PlanReport<'_> {
    pub(crate) fn text(&self) -> String {
        self.human()
    }
}

impl Report for PlanReport<'_> {
    fn human(&self) -> String {
        let skipped = skipped(&self.0.targets);
        if self.0.is_empty() {
            return format!("nothing to do{skipped}");
        }
        let to_do = self.0.targets.iter().filter(|planned| !planned.is_done());
        let all = to_do.clone().count();
        let (rows, more) =
            first(to_do.map(|planned| [planned.target.to_string(), pending(planned, "nothing")]));
        let mut text = table(["schema", "would run"], rows) + &more;
        if all > LISTED {
            text.push_str(&format!("\n\n{}", count(all, "schema", "schemas")));
        }
        text + &skipped
    }
}

/// Whom a run leaves as they are, and why.
fn skipped(targets: &[PlannedTarget]) -> String {
    let mut reasons: BTreeMap<&str, Vec<&PlannedTarget>> = BTreeMap::new();
    for planned in targets {
        if let Some(reason) = &planned.skipped {
            reasons.entry(reason).or_default().push(planned);
        }
    }
    let told = |(reason, planned): (&str, Vec<&PlannedTarget>)| match planned.as_slice() {
        few if few.len() <= FEW => {
            let lines = few
                .iter()
                .map(|p| format!("\n{} is skipped: {reason}", p.target));
            lines.collect::<String>()
        }
        many => format!("\n{} schemas are skipped: {reason}", many.len()),
    };
    reasons.into_iter().map(told).collect()
}

/// One migration a line, so that a table of many stays narrow.
fn pending(planned: &PlannedTarget, none: &str) -> String {
    let missing = match planned.skipped {
        Some(_) => Some("(skipped)"),
        None => (!planned.exists).then_some("(the schema is missing)"),
    };
    let blocked = planned.blocked.as_deref();
    let lines: Vec<&str> = missing
        .into_iter()
        .chain(planned.pending.iter().map(String::as_str))
        .chain(blocked.filter(|_| planned.exists))
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
                _ => done(&entry.applied),
            };
            [
                entry.target.to_string(),
                outcome.to_owned(),
                entry.applied.join("\n"),
            ]
        };
        let header = ["schema", "result", "applied"];
        let mut text = if entries.len() <= LISTED {
            table(header, entries.iter().map(row))
        } else {
            let shown = entries.iter().filter(|entry| {
                !matches!(entry.target, Target::Tenant { .. })
                    || matches!(entry.outcome, Outcome::Failed(_))
            });
            let (rows, more) = first(shown.map(row));
            table(header, rows) + &more
        };
        let unwell = entries
            .iter()
            .filter(|entry| !matches!(entry.outcome, Outcome::Done))
            .filter(|entry| entries.len() <= LISTED || matches!(entry.outcome, Outcome::Failed(_)));
        let mut skipped: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in entries {
            if let Outcome::Skipped(reason) = &entry.outcome {
                *skipped.entry(reason).or_default() += 1;
            }
        }
        for entry in unwell.take(LISTED) {
            if let Outcome::Skipped(reason) = &entry.outcome
                && skipped[reason.as_str()] > FEW
            {
                continue;
            }
            text.push_str(&format!("\n\n{}: {}", entry.target, entry.error_message()));
            if let Some(failed) = &entry.failed {
                if let Some(sqlstate) = &failed.sqlstate {
                    text.push_str(&format!("\n  SQLSTATE {sqlstate}"));
                    if sqlstate == "55P03" {
                        text.push_str(
                            ", tried again for as long as --wait says: run it again later",
                        );
                    }
                }
                if let Some(statement) = &failed.statement {
                    text.push_str(&format!("\n  in {}", shortened(statement)));
                }
            }
        }
        for (reason, many) in skipped.iter().filter(|(_, many)| **many > FEW) {
            text.push_str(&format!("\n\n{many} schemas were skipped: {reason}"));
        }
        text.push_str(&format!("\n\n{}", self.totals()));
        text
    }
}

/// What a step is that applies no migration, and what is said of it afterwards.
const OTHERS: [(&str, &str); 3] = [
    ("revert ", "reverted"),
    ("mark ", "marked"),
    ("forget ", "forgotten"),
];

/// What was done to a schema, where all of it was the same.
fn done(steps: &[String]) -> &'static str {
    let all = |(word, _): &&(&str, &str)| steps.iter().all(|step| step.starts_with(word));
    OTHERS.iter().find(all).map_or("migrated", |(_, done)| done)
}

impl RunReport<'_> {
    fn totals(&self) -> String {
        let entries = &self.0.entries;
        let steps = || entries.iter().flat_map(|entry| &entry.applied);
        let begins = |word: &'static str| steps().filter(move |s| s.starts_with(word)).count();
        let others: usize = OTHERS.iter().map(|(word, _)| begins(word)).sum();
        let applied = steps().count() - others;
        let mut text = count(entries.len(), "schema", "schemas");
        for (word, done) in OTHERS {
            match begins(word) {
                0 => {}
                many => text.push_str(&format!(", {many} {done}")),
            }
        }
        if applied > 0 || others == 0 {
            text.push_str(&format!(
                ", {} applied",
                count(applied, "migration", "migrations")
            ));
        }
        text.push_str(&format!(", {} failed", self.0.failures().count()));
        let skipped = entries
            .iter()
            .filter(|e| matches!(e.outcome, Outcome::Skipped(_)));
        if entries.len() > LISTED || self.0.stopped.is_some() {
            text.push_str(&format!(", {} skipped", skipped.count()));
        }
        text
    }
}

/// A statement as one line that is not too long.
fn shortened(statement: &str) -> String {
    const LONGEST: usize = 160;
    let line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        None => line,
        Some((at, _)) => format!("{}…", &line[..at]),
    }
}
