//! `boardinghouse lint` and `migrate --lint`.

use boardinghouse_core::{
    Severity,
    lint::{Lint, LintFinding, RULES},
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
        Some(dir) => report(output, &lint.run(dir)?, wanted.deny_warnings),
        None => look_over(context, output, lint, wanted.deny_warnings),
    }
}

pub(super) fn migrate(context: &Context, output: &Output) -> Result<Exit, Failure> {
    let lint = Lint::new().layout(context.layout().clone());
    look_over(context, output, lint, false)
}

/// All migrations of the application.
fn look_over(
    context: &Context,
    output: &Output,
    lint: Lint,
    deny_warnings: bool,
) -> Result<Exit, Failure> {
    let statics = context.statics().iter();
    let own = statics.filter_map(|own| own.migrations.as_ref());
    let lint = own.fold(lint, Lint::static_tenant);
    let findings = match context.has_static_tenants_alone() {
        true => lint.run_static()?,
        false => {
            let lint = context.config().kinds.values().fold(lint, Lint::kind);
            lint.run(context.migrations_dir())?
        }
    };
    report(output, &findings, deny_warnings)
}

fn report(output: &Output, findings: &[LintFinding], deny_warnings: bool) -> Result<Exit, Failure> {
    output.report(&LintReport { findings })?;
    let refused = findings.iter().any(|finding| match finding.severity {
        Severity::Error => true,
        Severity::Warning => deny_warnings,
        _ => false,
    });
    Ok(if refused { Exit::Usage } else { Exit::Done })
}
