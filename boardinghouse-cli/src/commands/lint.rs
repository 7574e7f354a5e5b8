//! `boardinghouse lint` and `migrate --lint`.

use std::path::Path;

use boardinghouse_core::{
    Severity,
    lint::{Lint, RULES},
};

use crate::{
    args,
    context::Context,
    exit::{Exit, Failure},
    output::Output,
    render::lint::{LintReport, RulesReport},
};

pub(super) fn lint(
    context: &Context,
    output: &Output,
    wanted: &args::Lint,
) -> Result<Exit, Failure> {
    if wanted.rules {
        output.report(&RulesReport(RULES))?;
        return Ok(Exit::Done);
    }
    let dir = wanted.dir.as_deref();
    let dir = dir.unwrap_or_else(|| context.migrations_dir());
    look_over(context, output, dir, wanted.deny_warnings)
}

pub(super) fn migrate(context: &Context, output: &Output) -> Result<Exit, Failure> {
    look_over(context, output, context.migrations_dir(), false)
}

fn look_over(
    context: &Context,
    output: &Output,
    dir: &Path,
    deny_warnings: bool,
) -> Result<Exit, Failure> {
    let findings = Lint::new().layout(context.layout().clone()).run(dir)?;
    output.report(&LintReport {
        findings: &findings,
    })?;
    let refused = findings.iter().any(|finding| match finding.severity {
        Severity::Error => true,
        Severity::Warning => deny_warnings,
        _ => false,
    });
    Ok(if refused { Exit::Usage } else { Exit::Done })
}
