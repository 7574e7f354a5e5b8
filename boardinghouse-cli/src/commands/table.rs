//! `boardinghouse table`: tables that belong to everybody, or to each.

use boardinghouse_core::{MoveTo, TableMove};

use crate::{
    args::{MoveTable, TableCommand, To},
    confirm::Consent,
    context::Context,
    exit::{Exit, Failure},
    output::{Output, Report as _},
    render::table_move::MoveReport,
};

pub(super) fn run(
    context: &Context,
    output: &Output,
    command: &TableCommand,
) -> Result<Exit, Failure> {
    match command {
        TableCommand::Move(wanted) => move_table(context, output, wanted),
    }
}

fn move_table(context: &Context, output: &Output, wanted: &MoveTable) -> Result<Exit, Failure> {
    if wanted.copy_to_each && wanted.to == To::Shared {
        return Err(Failure::usage(
            "--copy-to-each is for the way to the tenants: pass --to tenants, or leave it out",
        ));
    }
    let consent = (!wanted.dry_run)
        .then(|| Consent::required(context.globals()))
        .transpose()?;
    let (to, consequence) = match wanted.to {
        To::Shared => (
            MoveTo::Shared,
            "Every tenant reads the rows of all, and can change them.",
        ),
        To::Tenants => (MoveTo::Tenants, "The shared table is gone then."),
    };
    let mut table_move =
        TableMove::new(context.pool()?, &wanted.name, to)?.copy_to_each(wanted.copy_to_each);
    if let Some(wait) = wanted.lock_timeout {
        table_move = table_move.lock_timeout(wait);
    }
    if let Some(wait) = wanted.wait {
        table_move = table_move.lock_wait(wait);
    }
    let plan = table_move.plan()?;
    let report = MoveReport::planned(&plan);
    let Some(consent) = consent.filter(|_| plan.is_possible()) else {
        output.report(&report)?;
        return Ok(match plan.is_possible() {
            true => Exit::Done,
            false => Exit::Failed,
        });
    };
    if !context.globals().yes {
        output.note(&report.human());
    }
    consent.for_word("move", consequence, output)?;
    output.report(&MoveReport::done(&table_move.run()?))?;
    Ok(Exit::Done)
}
