//! One function a command: parse, call core, report, exit.

mod child;
mod clone;
#[cfg(unix)]
mod dev;
mod drift;
mod fleet;
mod generate;
mod lint;
mod people;
mod print_schema;
mod scaffold;
mod table;
mod template;
mod tenant;
mod visit;

use std::io::Read as _;

use boardinghouse_core::{Doctor, PoolerCheckup, Selection, console};

use crate::{
    args::{Command, Init, MigrationCommand, Whom},
    context::{Context, Need},
    exit::{Exit, Failure},
    output::Output,
    render::{
        answer::{AnswerReport, AnswersReport},
        checkup::CheckupReport,
        pooler::PoolerReport,
    },
};

pub(crate) fn run(context: &Context, output: &Output, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Init(Init { scaffold: None }) => fleet::init(context, output),
        Command::Init(Init {
            scaffold: Some(dir),
        }) => scaffold::scaffold(output, &dir),
        Command::Tenant(command) => tenant::run(context, output, command),
        Command::Provision(wanted) => tenant::provision(context, output, &wanted),
        Command::Repair(wanted) => tenant::repair(context, output, &wanted),
        Command::Domain(command) => people::domain(context, output, command),
        Command::Member(command) => people::member(context, output, command),
        Command::Migrate(migrate) if migrate.lint => lint::migrate(context, output),
        Command::Lint(wanted) => lint::lint(context, output, &wanted),
        Command::Migrate(migrate) => fleet::migrate(context, output, &migrate),
        Command::Revert(revert) => fleet::revert(context, output, &revert),
        Command::Redo(redo) => fleet::redo(context, output, &redo),
        Command::Status { check } => fleet::status(context, output, check),
        Command::Migration(MigrationCommand::Generate(wanted)) => {
            generate::generate(context, output, &wanted)
        }
        Command::PrintSchema(wanted) => print_schema::print_schema(context, output, &wanted),
        Command::Check { pooler: true } => check_pooler(context, output),
        Command::Check { pooler: false } => check(context, output),
        Command::Drift { tenant, repair_sql } => drift::drift(context, output, tenant, repair_sql),
        Command::Table(command) => table::run(context, output, &command),
        Command::Gate { schema } => drift::gate(context, output, &schema),
        Command::Sql { whom, statement } => sql(context, output, &whom, statement),
        Command::Who(selected) => visit::who(context, output, &selected),
        Command::Exec(wanted) => visit::exec(context, output, &wanted),
        Command::Pool(command) => template::pool(context, output, &command),
        Command::Template(command) => template::run(context, output, command),
        Command::Clone(wanted) => clone::clone(context, output, &wanted),
        #[cfg(unix)]
        Command::Dev { command } => dev::dev(output, &command),
    }
}

fn check(context: &Context, output: &Output) -> Result<Exit, Failure> {
    let pool = context.pool()?;
    let alone = context.has_static_tenants_alone();
    let migrator = match alone {
        true => Some(context.migrator(Need::Static)?),
        false => context.migrator_if_any()?,
    };
    let mut doctor = Doctor::new(pool).statics(context.statics());
    if let Some(migrator) = &migrator {
        doctor = doctor.migrations(migrator);
    }
    let checkup = doctor.check()?;
    if migrator.is_none() || (alone && checkup.tenants > 0) {
        output.note("note: there are no folders migrations/shared and migrations/tenant, so versions were not looked at");
    }
    output.report(&CheckupReport(&checkup))?;
    Ok(if checkup.has_errors() {
        Exit::Usage
    } else {
        Exit::Done
    })
}

fn check_pooler(context: &Context, output: &Output) -> Result<Exit, Failure> {
    let checkup = PoolerCheckup::run(context.url()?)?;
    output.report(&PoolerReport(&checkup))?;
    Ok(if checkup.sessions_are_safe() {
        Exit::Done
    } else {
        Exit::Usage
    })
}

fn sql(
    context: &Context,
    output: &Output,
    whom: &Whom,
    mut statement: String,
) -> Result<Exit, Failure> {
    if statement == "-" {
        statement.clear();
        std::io::stdin()
            .read_to_string(&mut statement)
            .map_err(|error| Failure::usage(format!("could not read stdin: {error}")))?;
    }
    let Some(tenant) = &whom.tenant else {
        return sql_for_all(context, output, &statement);
    };
    let tenant = match context.statics().get(tenant) {
        Some(named) => named.tenant.clone(),
        None => context.registry()?.get(tenant)?,
    };
    let answer = console::query(&mut context.pool()?.get(&tenant)?, &statement)?;
    output.report(&AnswerReport(&answer))?;
    Ok(Exit::Done)
}

fn sql_for_all(context: &Context, output: &Output, statement: &str) -> Result<Exit, Failure> {
    let registry = context.registry()?;
    let report = console::query_all(&registry, &Selection::Tenants, context.jobs(), statement)?;
    output.report(&AnswersReport(&report))?;
    for tenant in &report.skipped {
        let (id, status) = (tenant.id(), tenant.status());
        output.note(&format!("note: tenant {id} is {status}: skipped"));
    }
    for (tenant, error) in report.failures() {
        output.note(&format!("error: tenant {}: {}", tenant.id(), error.chain()));
    }
    Ok(if report.is_success() {
        Exit::Done
    } else {
        Exit::Failed
    })
}
