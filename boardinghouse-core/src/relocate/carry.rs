//! Moves the table: everything that it has is read by the clone compiler, from a schema that holds nothing else.

use std::collections::{HashMap, hash_map::Entry};

use diesel::{connection::SimpleConnection, prelude::*};

use super::{
    MoveTo, TableMove,
    look::{Link, Look},
    merge::Merged,
    refused,
    report::MoveMigration,
};
use crate::{
    drift,
    error::{Error, ErrorKind, Result},
    names::SchemaName,
    sql::relocate as text,
    template::{ClonePlan, Content, ObjectKind, Step, Template},
};

/// The schema in which a table is alone.
const ASIDE: &str = "__boardinghouse_move__";

fn aside() -> SchemaName {
    SchemaName::known(ASIDE)
}

/// Moves a table to a schema of its own, and reads it there. The schema is to be dropped, or the transaction
/// to be rolled back.
pub(super) fn set_aside(
    conn: &mut PgConnection,
    (schema, table): (&SchemaName, &str),
    statistics: &[(SchemaName, String)],
    rows: bool,
) -> Result<ClonePlan> {
    let busy = format!("table {table} of schema {schema} is in use: try again later");
    let what = format!("set table {table} of schema {schema} aside");
    let lock = text::lock_tables([(schema, table)], true);
    let statements = lock + &text::take_aside(schema, table, statistics, &aside());
    super::fleet::run_or_busy(conn, &statements, &what, &busy)?;
    let template = Template::new(aside());
    let template = match rows {
        true => template.with_data(),
        false => template.without_data(),
    };
    template.compile(conn).map_err(|error| {
        let why = error.to_string();
        let why = why
            .split_once('\n')
            .map_or(why.as_str(), |(_, lines)| lines);
        error_like(
            &error,
            format!("table {table} of schema {schema} cannot be moved faithfully:\n{why}"),
        )
    })
}

fn error_like(error: &Error, message: String) -> Error {
    Error::new(error.kind(), message)
}

/// Runs `work` and takes everything back that it did.
pub(super) fn taken_back<T>(
    conn: &mut PgConnection,
    work: impl FnOnce(&mut PgConnection) -> Result<T>,
) -> Result<T> {
    let mut done = None;
    let ended = conn.transaction::<(), Error, _>(|conn| {
        done = Some(work(conn)?);
        Err(diesel::result::Error::RollbackTransaction.into())
    });
    match (done, ended) {
        (Some(done), _) => Ok(done),
        (None, Err(error)) => Err(error),
        (None, Ok(())) => Err(Error::new(ErrorKind::Database, "could not try the move")),
    }
}

/// Fails with a list of those whose table is not like the template's. Equal hashes are equal schemas; of
/// those that differ, the table alone is compared.
pub(super) fn check_shapes(conn: &mut PgConnection, look: &Look, table: &str) -> Result<()> {
    let schemas: Vec<&str> = look.fleet.schemas().iter().map(|s| s.as_str()).collect();
    let found = drift::fingerprints_of(conn, &schemas)?;
    let hash_of = |schema: &SchemaName| {
        let one = found.iter().find(|one| one.schema_name == schema.as_str());
        one.map(|one| one.fingerprint.as_str())
    };
    let (template, _) = &look.pattern;
    let right = steps(conn, template, table, &look.statistics)?;
    let mut judged = HashMap::from([(hash_of(template), Ok(()))]);
    let mut lines = Vec::new();
    for member in &look.fleet.members {
        let verdict = match judged.entry(hash_of(&member.schema)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(judge(conn, &member.schema, table, &right)?),
        };
        if let Err(why) = verdict {
            lines.push(format!(
                "{table} of {} is not like the template's: {why}",
                member.label()
            ));
        }
    }
    refused(lines)
}

/// Whether the table of a schema is made by these statements, and if not, by what other one.
fn judge(
    conn: &mut PgConnection,
    schema: &SchemaName,
    table: &str,
    right: &[String],
) -> Result<std::result::Result<(), String>> {
    let statistics = statistics(conn, schema, table)?;
    let is = match steps(conn, schema, table, &statistics) {
        Ok(is) => is,
        Err(error) if error.kind() == ErrorKind::TemplateUnsupported => {
            return Ok(Err(error.to_string()));
        }
        Err(error) => return Err(error),
    };
    if is == right {
        return Ok(Ok(()));
    }
    let odd = |one: &[String], other: &[String]| {
        let found = one.iter().find(|step| !other.contains(step));
        found.cloned()
    };
    let has = odd(&is, right).map(|sql| format!("it has: {sql}"));
    let lacks = || odd(right, &is).map(|sql| format!("it lacks: {sql}"));
    let why = has.or_else(lacks);
    Ok(Err(
        why.unwrap_or_else(|| "it is made in another order".into())
    ))
}

/// What makes the table of one schema, in the words of none.
fn steps(
    conn: &mut PgConnection,
    schema: &SchemaName,
    table: &str,
    statistics: &[(SchemaName, String)],
) -> Result<Vec<String>> {
    let plan = taken_back(conn, |conn| {
        set_aside(conn, (schema, table), statistics, false)
    })?;
    let steps = plan.structure();
    Ok(steps.map(|step| plan.statement(step, &aside())).collect())
}

fn statistics(
    conn: &mut PgConnection,
    schema: &SchemaName,
    table: &str,
) -> Result<Vec<(SchemaName, String)>> {
    let places = crate::catalog::relocate::places(conn, &[schema], table)?;
    match places.first().and_then(|place| place.table) {
        Some(oid) => crate::catalog::relocate::statistics(conn, oid),
        None => Ok(Vec::new()),
    }
}

/// Gives the table of the shared schema to each of the fleet.
pub(super) fn to_tenants(
    conn: &mut PgConnection,
    wanted: &TableMove,
    look: &Look,
) -> Result<ClonePlan> {
    let shared = wanted.pool.layout().shared();
    let table = wanted.table.as_str();
    drop_links(conn, look)?;
    let plan = set_aside(conn, (shared, table), &look.statistics, wanted.copy_to_each)?;
    if wanted.copy_to_each && !plan.copies(table) {
        return Err(hidden(table));
    }
    for member in &look.fleet.members {
        let content = match member.bare {
            true => Content::Structure,
            false => Content::All,
        };
        run(
            conn,
            &plan.within(&member.schema, content),
            "create the table",
            &member.schema,
        )?;
    }
    // Without CASCADE: whatever still uses it is an error.
    let end = text::drop_table(&aside(), table) + &text::drop_empty_schema(&aside());
    run(conn, &end, "drop the table", shared)?;
    for link in look.links.iter().filter(|link| !link.ends) {
        let add = text::enter(&link.schema) + &link.add();
        let added = run(conn, &add, "add the foreign keys again", &link.schema);
        added.map_err(|error| match is_bare(look, &link.schema) {
            true => {
                let message = format!(
                    "{error}: rows of a template that refer to the table would find none, since templates get \
                     no rows"
                );
                error.reworded(message)
            }
            false => error,
        })?;
    }
    Ok(plan)
}

fn is_bare(look: &Look, schema: &SchemaName) -> bool {
    let mut members = look.fleet.members.iter();
    members.any(|member| member.bare && member.schema == *schema)
}

/// Makes the tables of the fleet one of the shared schema.
pub(super) fn to_shared(
    conn: &mut PgConnection,
    wanted: &TableMove,
    look: &Look,
    merged: &Merged,
) -> Result<ClonePlan> {
    let shared = wanted.pool.layout().shared();
    let table = wanted.table.as_str();
    let (template, _) = &look.pattern;
    drop_links(conn, look)?;
    let plan = set_aside(conn, (template, table), &look.statistics, true)?;
    if !plan.copies(table) {
        return Err(hidden(table));
    }
    let content = Content::Instead(&merged.write);
    run(
        conn,
        &plan.within(shared, content),
        "create the table",
        shared,
    )?;
    merged.go_on(conn, shared, table)?;
    let mut end = text::drop_table(&aside(), table) + &text::drop_empty_schema(&aside());
    for member in look.fleet.members.iter().filter(|m| m.schema != *template) {
        end.push_str(&text::drop_table(&member.schema, table));
    }
    run(conn, &end, "drop the tables", template)?;
    for link in &look.links {
        let add = text::enter(shared) + &link.add();
        run(conn, &add, "add the foreign keys again", &link.schema)?;
    }
    Ok(plan)
}

fn drop_links(conn: &mut PgConnection, look: &Look) -> Result<()> {
    for link in &look.links {
        run(conn, &link.drop(), "drop a foreign key", &link.schema)?;
    }
    Ok(())
}

fn run(conn: &mut PgConnection, sql: &str, what: &str, schema: &SchemaName) -> Result<()> {
    conn.batch_execute(sql)
        .map_err(|error| Error::database(&format!("{what} in schema {schema}"), error))?;
    super::fleet::apart(conn)
}

fn hidden(table: &str) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        format!(
            "row-level security may hide rows of {table} from this role, which would be lost: move it as a \
             role with BYPASSRLS"
        ),
    )
}

/// What a new database needs, so that it comes out alike.
pub(super) fn migrations(wanted: &TableMove, look: &Look, plan: &ClonePlan) -> Vec<MoveMigration> {
    let shared = wanted.pool.layout().shared();
    let table = wanted.table.as_str();
    // Whose it is, is who runs the migration.
    let whose =
        |step: &&Step, sql: &str| step.object == ObjectKind::Owner && sql.contains(" OWNER TO ");
    let made = plan
        .structure()
        .map(|step| (step, plan.statement(step, shared)));
    let made = made.filter(|(step, sql)| !whose(step, sql));
    let make: Vec<String> = made.map(|(_, sql)| sql + ";").collect();
    let links = links_to_write(look, wanted.pool.layout().template());
    let drop_links = links
        .iter()
        .map(|(link, of_all)| text::drop_own_foreign_key(&link.table, &link.name, !of_all));
    let add_links = links.iter().map(|(link, of_all)| {
        let definition = match wanted.to {
            MoveTo::Tenants => link.definition.clone(),
            MoveTo::Shared => text::led_to(&link.definition, shared),
        };
        text::add_own_foreign_key(
            &link.table,
            &link.name,
            &definition,
            link.comment.as_deref(),
            !of_all,
        )
    });
    // Where the table was not moved, its rows are still in it.
    let drop = vec![text::drop_own_empty_table(table, wanted.to)];
    let (shared_up, tenant_up): (Vec<String>, Vec<String>) = match wanted.to {
        MoveTo::Tenants => (drop, drop_links.chain(make).chain(add_links).collect()),
        MoveTo::Shared => (make, drop_links.chain(drop).chain(add_links).collect()),
    };
    let one = |set, up: Vec<String>| MoveMigration {
        set,
        up: up.join("\n"),
    };
    vec![one("shared", shared_up), one("tenant", tenant_up)]
}

/// The foreign keys of the template, and of those of kinds what is theirs alone: with whether all tenants have
/// the table.
fn links_to_write<'a>(look: &'a Look, template: &SchemaName) -> Vec<(&'a Link, bool)> {
    let mut links: Vec<(&Link, bool)> = Vec::new();
    let mut members = vec![template];
    let of_kinds = look.fleet.members.iter().filter(|member| member.bare);
    members.extend(
        of_kinds
            .map(|member| &member.schema)
            .filter(|s| *s != template),
    );
    for schema in members {
        for link in look.links.iter().filter(|link| link.schema == *schema) {
            let is_it = |(known, _): &(&Link, bool)| {
                (&known.table, &known.name) == (&link.table, &link.name)
            };
            if !links.iter().any(is_it) {
                links.push((link, schema == template));
            }
        }
    }
    links
}
