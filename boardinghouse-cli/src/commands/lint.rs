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
    let lint = Lint::new().layout(context.layout().clone());
    if wanted.rules {
        output.report(&RulesReport(RULES))?;
        return Ok(Exit::Done);
    }
    match &wanted.dir {
        Some(dir) => look_over(output, &lint, dir, wanted.deny_warnings),
        None => {
            let lint = with_kinds(context, lint);
            look_over(
                output,
                &lint,
                context.migrations_dir(),
                wanted.deny_warnings,
            )
        }
    }
}

pub(super) fn migrate(context: &Context, output: &Output) -> Result<Exit, Failure> {
    let lint = with_kinds(context, Lint::new().layout(context.layout().clone()));
    look_over(output, &lint, context.migrations_dir(), false)
}

fn with_kinds(context: &Context, lint: Lint) -> Lint {
    context.config().kinds.values().fold(lint, Lint::kind)
}

fn look_over(
    output: &Output,
    lint: &Lint,
    dir: &Path,
    deny_warnings: bool,
) -> Result<Exit, Failure> {
    let findings = lint.run(dir)?;
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
