//! `boardinghouse init`, `migrate` and `status`.

use std::io::IsTerminal as _;

use boardinghouse_core::{MigrationReport, Migrator, RunEvent, Selection, Target};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    args::Migrate,
    commands::print_schema,
    context::{Context, Need},
    exit::{Exit, Failure},
    output::Output,
    render::migration::{PlanReport, RunReport, StatusReport},
};

pub(super) fn init(context: &Context, output: &Output) -> Result<Exit, Failure> {
    let report = Migrator::new(context.pool()?).init()?;
    finish(output, &report)
}

pub(super) fn migrate(
    context: &Context,
    output: &Output,
    migrate: &Migrate,
) -> Result<Exit, Failure> {
    let (selection, need) = match migrate {
        Migrate { tenant, .. } if !tenant.is_empty() => {
            (Selection::Only(tenant.clone()), Need::Tenants)
        }
        Migrate { shared: true, .. } => (Selection::Shared, Need::Shared),
        Migrate { tenants: true, .. } => (Selection::Tenants, Need::Tenants),
        _ => (Selection::All, Need::Both),
    };
    let migrator = context.migrator(need)?;
    if migrate.dry_run {
        output.report(&PlanReport(&migrator.plan(&selection)?))?;
        return Ok(Exit::Done);
    }
    let bar = progress_bar(&migrator, &selection)?;
    let report = migrator.apply_with(&selection, &mut |event: &RunEvent<'_>| {
        if let RunEvent::Done(entry) = event {
            bar.set_message(entry.target.to_string());
            bar.inc(1);
        }
    })?;
    bar.finish_and_clear();
    let exit = finish(output, &report)?;
    let exit = print_schema::after_migrate(context, output, &report, exit);
    if matches!(selection, Selection::Only(_)) && report.is_success() && output.is_for_people() {
        note_older_template(&migrator, output);
    }
    Ok(exit)
}

/// Tenants that were migrated alone are ahead of those that are cloned next.
fn note_older_template(migrator: &Migrator, output: &Output) {
    // The tenants are migrated: what cannot be found out now is no failure.
    let Ok(plan) = migrator.plan(&Selection::Tenants) else {
        return;
    };
    let mut targets = plan.targets.iter();
    let template = targets.find(|planned| matches!(planned.target, Target::Template { .. }));
    if template.is_some_and(|template| !template.pending.is_empty()) {
        output.note(
            "note: the template is older: so will new tenants be, until `boardinghouse migrate` is \
             run",
        );
    }
}

pub(super) fn status(context: &Context, output: &Output, check: bool) -> Result<Exit, Failure> {
    let plan = context.migrator(Need::Both)?.plan(&Selection::All)?;
    output.report(&StatusReport(&plan))?;
    Ok(if check && !plan.is_empty() {
        Exit::Pending
    } else {
        Exit::Done
    })
}

fn finish(output: &Output, report: &MigrationReport) -> Result<Exit, Failure> {
    output.report(&RunReport(report))?;
    for warning in &report.warnings {
        output.note(&format!("warning: {warning}"));
    }
    Ok(if report.is_success() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// Draws only where a person watches.
fn progress_bar(migrator: &Migrator, selection: &Selection) -> Result<ProgressBar, Failure> {
    if !std::io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let schemas = migrator.plan(selection)?.targets.len();
    let bar =
        ProgressBar::with_draw_target(u64::try_from(schemas).ok(), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}");
    Ok(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
}
