//! `boardinghouse who` and `boardinghouse exec`.

use std::process::Command;

use boardinghouse_core::{Selection, Tenant, TenantStatus};

use super::fleet::filter;
use crate::{
    args::{Exec, Selected},
    context::Context,
    exit::{Exit, Failure},
    output::Output,
    render::tenant::SelectedReport,
};

pub(super) fn who(
    context: &Context,
    output: &Output,
    selected: &Selected,
) -> Result<Exit, Failure> {
    output.report(&SelectedReport(&select(context, selected)?))?;
    Ok(Exit::Done)
}

pub(super) fn exec(context: &Context, output: &Output, wanted: &Exec) -> Result<Exit, Failure> {
    let selected = &wanted.selected;
    if !wanted.all && !selected.statics && !selected.who.is_part() {
        return Err(Failure::usage(
            "say for which tenants: -s ID, --where, --except, --limit, --static, or --all",
        ));
    }
    let tenants = select(context, selected)?;
    let pool = context.pool()?;
    let only_one = matches!((&*selected.who.tenant, &*tenants), ([_], [_]));
    let is_named = |tenant: &Tenant| selected.who.tenant.contains(tenant.id());
    let mut exit = Exit::Done;
    for tenant in &tenants {
        let id = tenant.id();
        if tenant.status() != TenantStatus::Ready && !is_named(tenant) {
            output.note(&format!(
                "note: tenant {id} is {}: skipped",
                tenant.status()
            ));
            continue;
        }
        if !only_one {
            output.note(&format!("== {id}"));
        }
        let ended = pool
            .tenant_url(tenant)
            .map_err(Failure::from)
            .and_then(|url| run(&url, tenant, wanted));
        match ended {
            ended if only_one => return ended,
            Ok(Exit::Child(0)) => continue,
            Ok(Exit::Child(code)) => {
                output.tell(&format!("error: tenant {id}: it ended with {code}"))
            }
            Ok(_) => {}
            Err(error) => {
                output.failure(&error, None);
            }
        }
        exit = Exit::Failed;
        if wanted.fail_fast {
            break;
        }
    }
    Ok(exit)
}

fn run(url: &str, tenant: &Tenant, wanted: &Exec) -> Result<Exit, Failure> {
    let (program, arguments) = wanted.command.split_first().expect("clap wants one");
    let status = Command::new(program)
        .args(arguments)
        .env("DATABASE_URL", url)
        .env("BOARDINGHOUSE_TENANT", tenant.id().as_str())
        .env("BOARDINGHOUSE_SCHEMA", tenant.schema().as_str())
        // It is in the URL, which wins.
        .env_remove("PGOPTIONS")
        .status()
        .map_err(|error| Failure::usage(format!("could not run {}: {error}", program.display())))?;
    Ok(Exit::of_child(status))
}

fn select(context: &Context, selected: &Selected) -> Result<Vec<Tenant>, Failure> {
    let who = &selected.who;
    if !selected.statics {
        let selection = Selection::Matching(filter(context, who)?);
        return Ok(context.registry()?.select(&selection)?);
    }
    let statics = context.statics();
    if let Some(id) = who.tenant.iter().find(|id| statics.get(id).is_none()) {
        let message = format!("there is no static tenant {id} in boardinghouse.toml");
        return Err(Failure::usage(message));
    }
    let is_wanted = |tenant: &Tenant| who.tenant.is_empty() || who.tenant.contains(tenant.id());
    let tenants = statics.iter().map(|named| named.tenant.clone());
    Ok(tenants.filter(is_wanted).collect())
}
