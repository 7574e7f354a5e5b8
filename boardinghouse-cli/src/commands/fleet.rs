//! `boardinghouse init`, `migrate`, `revert`, `redo` and `status`.

use boardinghouse_core::{
    Goal, MigrationReport, Migrator, OnError, Selection, Target, TenantFilter,
};

use crate::{
    args::{Back, How, Migrate, Revert, Who},
    commands::print_schema,
    confirm::Consent,
    context::{Context, Need},
    exit::{Exit, Failure},
    groups,
    interrupt::Interrupt,
    output::Output,
    progress::Progress,
    render::migration::{PlanReport, RunReport, StatusReport},
};

/// What is wanted of the fleet.
struct Wanted<'a> {
    selection: Selection,
    need: Need,
    goal: Goal,
    how: &'a How,
    who: &'a Who,
    /// What is typed to go on, and what happens then; `None` where nobody is asked.
    consent: Option<(&'static str, String)>,
}

pub(super) fn init(context: &Context, output: &Output) -> Result<Exit, Failure> {
    let report = Migrator::new(context.pool()?).init()?;
    finish(output, &report)
}

pub(super) fn migrate(
    context: &Context,
    output: &Output,
    migrate: &Migrate,
) -> Result<Exit, Failure> {
    let (goal, consent) = match migrate {
        Migrate {
            to: Some(version), ..
        } => (
            Goal::Version(version.clone()),
            Some((
                "migrate",
                format!("What came after {version} is reverted, with its rows."),
            )),
        ),
        Migrate {
            mark_applied: Some(version),
            ..
        } => (
            Goal::MarkApplied(version.clone()),
            Some((
                "mark",
                format!("{version} counts as applied then, and is not run."),
            )),
        ),
        Migrate { prune: true, .. } => (
            Goal::Prune,
            Some((
                "prune",
                "Versions that none of the migrations has are forgotten.".to_owned(),
            )),
        ),
        _ => (Goal::Newest, None),
    };
    // One set of migrations, where there is no other way to say which.
    let one_set = matches!(goal, Goal::Version(_) | Goal::MarkApplied(_));
    let (selection, need) = match migrate {
        _ if migrate.statics => (Selection::Static(migrate.who.tenant.clone()), Need::Static),
        _ if migrate.who.is_part() => (
            Selection::Matching(filter(context, &migrate.who)?),
            Need::Tenants,
        ),
        Migrate { shared: true, .. } => (Selection::Shared, Need::Shared),
        Migrate { tenants: true, .. } => (Selection::Tenants, Need::Tenants),
        _ if one_set => (Selection::Tenants, Need::Tenants),
        _ => everything(context),
    };
    let wanted = Wanted {
        selection,
        need,
        goal,
        how: &migrate.how,
        who: &migrate.who,
        consent,
    };
    let mut migrator = migrator(context, &wanted)?
        .atomic(migrate.atomic)
        .reconcile(migrate.reconcile);
    let grouped = wanted.goal == Goal::Newest && !migrate.no_groups && !wanted.who.is_part();
    let has_groups = !context.config().groups.is_empty() && !migrate.no_groups;
    if has_groups && (!grouped || migrate.atomic) && !migrate.shared && !migrate.statics {
        output.note("note: the groups of boardinghouse.toml do not count in this run");
    }
    if grouped {
        for group in &context.config().groups {
            migrator = migrator.group(groups::group(group)?);
        }
    }
    if migrate.dry_run || migrate.check {
        let plan = migrator.plan(&wanted.selection)?;
        output.report(&PlanReport(&plan))?;
        return Ok(match migrate.check && !plan.is_empty() {
            true => Exit::Pending,
            false => Exit::Done,
        });
    }
    run(context, output, &migrator, &wanted)
}

pub(super) fn revert(context: &Context, output: &Output, revert: &Revert) -> Result<Exit, Failure> {
    let goal = match revert.all {
        true => Goal::RevertAll,
        false => Goal::Revert(revert.back.steps.get()),
    };
    let consequence = "What the migrations created is dropped, with its rows.".to_owned();
    let consent = Some(("revert", consequence));
    take_back(context, output, &revert.back, goal, consent)
}

pub(super) fn redo(context: &Context, output: &Output, redo: &Back) -> Result<Exit, Failure> {
    let consequence = "What the migrations created is dropped, with its rows, and created anew.";
    let consent = Some(("redo", consequence.to_owned()));
    let goal = Goal::Redo(redo.steps.get());
    take_back(context, output, redo, goal, consent)
}

fn take_back(
    context: &Context,
    output: &Output,
    back: &Back,
    goal: Goal,
    consent: Option<(&'static str, String)>,
) -> Result<Exit, Failure> {
    let (who, how) = (&back.who, &back.how);
    let (selection, need) = match (back.shared, who.is_part()) {
        _ if back.statics => (Selection::Static(who.tenant.clone()), Need::Static),
        (true, _) => (Selection::Shared, Need::Shared),
        (false, true) => (Selection::Matching(filter(context, who)?), Need::Tenants),
        (false, false) => (Selection::Tenants, Need::Tenants),
    };
    let wanted = Wanted {
        selection,
        need,
        goal,
        how,
        who,
        consent,
    };
    let migrator = migrator(context, &wanted)?;
    if back.dry_run {
        output.report(&PlanReport(&migrator.plan(&wanted.selection)?))?;
        return Ok(Exit::Done);
    }
    run(context, output, &migrator, &wanted)
}

/// What there is: where nothing but static tenants was set up, no registry is made.
fn everything(context: &Context) -> (Selection, Need) {
    match context.has_static_tenants_alone() {
        true => (Selection::Static(Vec::new()), Need::Static),
        false => (Selection::All, Need::Both),
    }
}

/// The tenants that the options let through.
pub(super) fn filter(context: &Context, who: &Who) -> Result<TenantFilter, Failure> {
    let mut named = who.tenant.iter();
    if let Some(id) = named.find(|id| context.statics().get(id).is_some()) {
        let message = format!("{id} is a static tenant: say --static, too");
        return Err(Failure::usage(message));
    }
    let mut filter = TenantFilter::new().except(who.except.iter().cloned());
    if !who.tenant.is_empty() {
        filter = filter.only(who.tenant.iter().cloned());
    }
    for attributes in &who.attributes {
        filter = filter.attributes(attributes.clone().into())?;
    }
    if let Some(limit) = who.limit {
        filter = filter.limit(limit);
    }
    if let Some(attribute) = &who.order_by {
        filter = filter.order_by(attribute);
    }
    Ok(filter)
}

fn migrator(context: &Context, wanted: &Wanted<'_>) -> Result<Migrator, Failure> {
    let how = wanted.how;
    let mut migrator = context.migrator(wanted.need)?.goal(wanted.goal.clone());
    if let Some(jobs) = how.jobs {
        migrator = migrator.jobs(jobs.get());
    }
    if how.fail_fast {
        migrator = migrator.on_error(OnError::Stop);
    }
    if let Some(most) = how.max_failures {
        migrator = migrator.max_failures(most);
    }
    if let Some(pause) = how.pace {
        migrator = migrator.pace(pause);
    }
    if let Some(tenants) = how.batch {
        migrator = migrator.batch_size(tenants.get());
    }
    if let Some(wait) = how.lock_timeout {
        migrator = migrator.lock_timeout(wait);
    }
    if let Some(wait) = how.wait {
        migrator = migrator.lock_wait(wait);
    }
    if let Some(attribute) = wanted
        .who
        .order_by
        .as_ref()
        .filter(|_| !wanted.who.is_part())
    {
        migrator = migrator.order_by(attribute);
    }
    Ok(migrator)
}

fn run(
    context: &Context,
    output: &Output,
    migrator: &Migrator,
    wanted: &Wanted<'_>,
) -> Result<Exit, Failure> {
    if let Some((word, consequence)) = &wanted.consent {
        let plan = migrator.plan(&wanted.selection)?;
        // What only applies migrations needs nobody's consent.
        let harmless = |what: &String| {
            !["revert ", "mark ", "forget "]
                .iter()
                .any(|word| what.starts_with(word))
        };
        let mut steps = plan.targets.iter().flat_map(|planned| &planned.pending);
        if !steps.all(harmless) {
            let consent = Consent::required(context.globals())?;
            output.note(&PlanReport(&plan).text());
            consent.for_word(word, consequence, output)?;
        }
    }
    let _interrupt = Interrupt::watch_with(migrator.stop_switch())?;
    let mut progress = Progress::new(wanted.how, output);
    let report = migrator.apply_with(&wanted.selection, &mut |event| progress.tell(event))?;
    progress.end();
    if report.entries.is_empty() && wanted.who.is_part() {
        output.note("note: no tenant is what was asked for");
    }
    let exit = finish(output, &report)?;
    if wanted.goal != Goal::Newest {
        return Ok(exit);
    }
    let exit = print_schema::after_migrate(context, output, &report, exit);
    if matches!(wanted.selection, Selection::Matching(_))
        && report.is_success()
        && output.is_for_people()
    {
        note_older_template(migrator, output);
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
    let (selection, need) = everything(context);
    let plan = context.migrator(need)?.plan(&selection)?;
    output.report(&StatusReport::new(&plan))?;
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
    let through = report.is_success() && report.stopped.is_none();
    let how = match &report.resume {
        _ if through => String::new(),
        None => "run the same command again to go on".to_owned(),
        Some(Goal::Version(version)) => format!(
            "run `boardinghouse migrate --to {version}` to go on: the same command again would take back more"
        ),
        Some(Goal::RevertAll) => "run `boardinghouse revert --all` to go on".to_owned(),
        Some(_) => "run `boardinghouse migrate`, so that nobody is left behind".to_owned(),
    };
    if let Some(reason) = &report.stopped {
        output.note(&format!("stopped: {reason}. Nothing is half done; {how}"));
    } else if !through && report.resume.is_some() {
        output.note(&format!("note: {how}"));
    }
    Ok(if through { Exit::Done } else { Exit::Failed })
}
