//! `boardinghouse who` and `boardinghouse exec`.

use std::process::{Command, Stdio};

use boardinghouse_core::{Selection, Tenant, TenantStatus, TenantUrl};

use super::{
    child::{self, Ended},
    fleet::filter,
};
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
    if !selected.all && !selected.statics && !selected.who.is_part() {
        return Err(Failure::usage(
            "say for which tenants: -s ID, --where, --except, --limit, --static, or --all",
        ));
    }
    let tenants = select(context, selected)?;
    if tenants.is_empty() {
        output.note("note: no tenant is what was asked for");
    }
    let pool = context.pool()?;
    let is_named = |tenant: &Tenant| selected.who.tenant.contains(tenant.id());
    let only_one = matches!(&*tenants, [one] if is_named(one));
    let mut exit = Exit::Done;
    for tenant in &tenants {
        let id = tenant.id();
        if tenant.status() != TenantStatus::Ready && !is_named(tenant) {
            let status = tenant.status();
            output.note(&format!("note: tenant {id} is {status}: skipped"));
            continue;
        }
        if !only_one {
            output.note(&format!("== {id}"));
        }
        let url = pool.tenant_url(tenant).map_err(Failure::from);
        let ended = url.and_then(|url| {
            let mut command = command(&url, wanted);
            if !only_one {
                // The first one would read all of it.
                command.stdin(Stdio::null());
            }
            child::run(&mut command)
        });
        let (failure, stop) = match ended {
            Ok(ended) if only_one || ended.stop => return Ok(Exit::Child(ended.code)),
            Err(failure) if only_one => return Err(failure),
            Ok(Ended { code: 0, .. }) => continue,
            Ok(Ended { code, .. }) => (
                Failure::Tool(format!("tenant {id}: the program ended with {code}")),
                false,
            ),
            // What cannot be run for one cannot be run for another.
            Err(failure) => {
                let stop = matches!(failure.exit(), Exit::Usage);
                (failure, stop)
            }
        };
        if stop {
            return Err(failure);
        }
        output.failure(&failure, None);
        exit = Exit::Failed;
        if wanted.fail_fast {
            break;
        }
    }
    Ok(exit)
}

/// The program, with the tenant in its environment.
fn command(url: &TenantUrl, wanted: &Exec) -> Command {
    let (program, arguments) = wanted.command.split_first().expect("clap wants one");
    let mut command = Command::new(program);
    command
        .args(arguments)
        .envs(url.variables())
        // It is stronger than the variables.
        .env_remove("PGSERVICE")
        .env("DATABASE_URL", url.as_str())
        .env("BOARDINGHOUSE_TENANT", url.tenant().id().as_str())
        .env("BOARDINGHOUSE_SCHEMA", url.tenant().schema().as_str());
    command
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
