//! `boardinghouse clone`: one schema like another.

use std::time::Instant;

use boardinghouse_core::{Layout, Template};

use crate::{
    args::CloneSchema,
    context::Context,
    exit::{Exit, Failure},
    output::Output,
    render::clone::{CloneReport, ScriptReport},
};

pub(super) fn clone(
    context: &Context,
    output: &Output,
    wanted: &CloneSchema,
) -> Result<Exit, Failure> {
    let (source, target) = (&wanted.source, &wanted.target);
    let mut template = match wanted.data {
        true => Template::new(source.clone()).with_data(),
        false => Template::new(source.clone()).without_data(),
    };
    for table in &wanted.exclude_data {
        template = template.exclude_data(table);
    }
    for object in &wanted.allow {
        template = template.allow(object);
    }
    if target.as_str() == Layout::REGISTRY {
        return Err(Failure::usage(format!(
            "schema {target} cannot be a clone: it is the registry, which `init` makes"
        )));
    }
    // Not by the pool: nothing of ours need be in the database, nor a shared schema.
    let mut conn = Template::connect(context.url()?)?;
    if wanted.dry_run {
        let plan = template.compile(&mut conn)?;
        output.report(&ScriptReport::new(&plan, target))?;
        return Ok(Exit::Done);
    }
    let begun = Instant::now();
    let plan = template.clone_to(&mut conn, target)?;
    output.report(&CloneReport {
        source,
        target,
        statements: plan.steps().len(),
        milliseconds: begun.elapsed().as_millis(),
        data: wanted.data,
    })?;
    Ok(Exit::Done)
}
