//! `boardinghouse template …` and `boardinghouse pool …`

use boardinghouse_core::{Provisioner, Template};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    args::{PoolCommand, TemplateCommand},
    context::Context,
    exit::{Exit, Failure},
    output::Output,
    render::clone::{
        ChangedReport, CompiledReport, NamedReport, PoolReport, ReadyReport, ScriptReport,
        VerifiedReport,
    },
};

pub(super) fn run(
    context: &Context,
    output: &Output,
    command: TemplateCommand,
) -> Result<Exit, Failure> {
    match &command {
        TemplateCommand::List => {
            let names = context.registry()?.named_templates()?;
            output.report(&NamedReport(&names))?;
            return Ok(Exit::Done);
        }
        TemplateCommand::Add { schema } => {
            context.registry()?.add_named_template(schema)?;
            output.report(&ChangedReport::added(schema))?;
            return Ok(Exit::Done);
        }
        TemplateCommand::Remove { schema } => {
            if !context.registry()?.remove_named_template(schema)? {
                return Err(Failure::usage(format!("{schema} is no named template")));
            }
            output.report(&ChangedReport::removed(schema))?;
            return Ok(Exit::Done);
        }
        TemplateCommand::Show { .. } | TemplateCommand::Compile | TemplateCommand::Verify => {}
    }
    let template = Template::new(context.layout().template().clone());
    let pool = context.pool()?;
    let mut conn = pool.get_shared()?;
    match command {
        TemplateCommand::Show { target } => {
            let plan = template.compile(&mut conn)?;
            output.report(&ScriptReport::new(&plan, &target))?;
        }
        TemplateCommand::Compile => {
            let plan = template.compile(&mut conn)?;
            output.report(&CompiledReport::new(&plan))?;
        }
        TemplateCommand::Verify => {
            let differences = template.verify(&mut conn)?;
            output.report(&VerifiedReport {
                template: template.schema(),
                differences: &differences,
            })?;
            if !differences.is_empty() {
                return Ok(Exit::Failed);
            }
        }
        TemplateCommand::List | TemplateCommand::Add { .. } | TemplateCommand::Remove { .. } => {}
    }
    Ok(Exit::Done)
}

pub(super) fn pool(
    context: &Context,
    output: &Output,
    command: &PoolCommand,
) -> Result<Exit, Failure> {
    let provisioner = Provisioner::new(context.pool()?);
    match command {
        PoolCommand::Status => output.report(&PoolReport(&provisioner.ready_schemas()?))?,
        PoolCommand::Drain => output.report(&ReadyReport(&provisioner.drain_ready()?))?,
        PoolCommand::Fill { size } => {
            let length = u64::try_from(*size).unwrap_or(u64::MAX);
            let bar = match output.is_for_people() {
                true => ProgressBar::new(length),
                false => ProgressBar::hidden(),
            };
            if let Ok(style) =
                ProgressStyle::with_template("{wide_bar} {pos}/{len} ready, {eta} left")
            {
                bar.set_style(style);
            }
            let filled = provisioner.keep_ready_with(*size, |there| {
                bar.set_position(u64::try_from(there).unwrap_or(u64::MAX));
            });
            bar.finish_and_clear();
            output.report(&ReadyReport(&filled?))?;
        }
    }
    Ok(Exit::Done)
}
