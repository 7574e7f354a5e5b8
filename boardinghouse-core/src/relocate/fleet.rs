//! Who takes part when a table is moved, and what keeps others away.

use std::{collections::HashSet, time::Duration};

use diesel::{connection::SimpleConnection, prelude::*, sql_query, sql_types};

use super::refused;
use crate::{
    error::{Error, ErrorKind, Result},
    kinds,
    layout::Layout,
    lock,
    names::{SchemaName, TenantId},
    registry, sql,
};

/// A template or a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) schema: SchemaName,
    pub(super) tenant: Option<TenantId>,
    /// Whether tenants get what it has as structure alone: a template without rows of its own.
    pub(super) bare: bool,
}

impl Member {
    /// As reports call it.
    pub(super) fn label(&self) -> String {
        match &self.tenant {
            Some(id) => id.to_string(),
            None => self.schema.to_string(),
        }
    }
}

/// Who has the tables of tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fleet {
    /// The template first, then those of kinds, the named ones, and the tenants.
    pub(super) members: Vec<Member>,
    /// What waits for a tenant.
    pub(super) ready: HashSet<SchemaName>,
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = sql_types::Text)]
    name: String,
}

impl Fleet {
    pub(super) fn read(conn: &mut PgConnection, layout: &Layout) -> Result<Self> {
        let template = |schema: SchemaName, bare: bool| Member {
            schema,
            tenant: None,
            bare,
        };
        let mut members = vec![template(layout.template().clone(), true)];
        members.extend(
            kind_templates(conn, layout)?
                .into_iter()
                .map(|s| template(s, true)),
        );
        let named = names(
            conn,
            "SELECT schema_name AS name FROM boardinghouse.named_templates ORDER BY schema_name",
        )?;
        members.extend(named.into_iter().map(|s| template(s, false)));
        let mut wrong = Vec::new();
        for tenant in registry::list(conn)? {
            if !tenant.status().has_schema() {
                continue;
            }
            if let Err(error) = layout.tenant_schema(tenant.schema()) {
                wrong.push(format!("tenant {}: {error}", tenant.id()));
            }
            members.push(Member {
                schema: tenant.schema().clone(),
                tenant: Some(tenant.id().clone()),
                bare: false,
            });
        }
        refused(wrong)?;
        let ready = names(
            conn,
            "SELECT schema_name AS name FROM boardinghouse.ready_schemas r \
             WHERE schema_name = '__ready_' || r.id",
        )?;
        Ok(Self {
            members,
            ready: ready.into_iter().collect(),
        })
    }

    pub(super) fn schemas(&self) -> Vec<&SchemaName> {
        self.members.iter().map(|member| &member.schema).collect()
    }

    /// Takes the right to write to all of them, and to the shared schema, until the transaction ends. Whoever
    /// has one of them has to be waited for, with nothing held.
    pub(super) fn lock(&self, conn: &mut PgConnection, shared: &SchemaName) -> Result<()> {
        let mut schemas: Vec<&str> = self.schemas().iter().map(|s| s.as_str()).collect();
        schemas.push(shared.as_str());
        let busy: Option<Name> = sql_query(
            "SELECT s.name FROM unnest($1) AS s (name) \
             WHERE NOT pg_try_advisory_xact_lock($2, hashtext(s.name)) LIMIT 1",
        )
        .bind::<sql_types::Array<sql_types::Text>, _>(schemas)
        .bind::<sql_types::Integer, _>(lock::SCHEMA)
        .get_result(conn)
        .optional()
        .map_err(|error| Error::database("lock the schemas", error))?;
        match busy {
            None => Ok(()),
            Some(Name { name }) => Err(Error::new(
                ErrorKind::Locked,
                format!("another process is writing to schema {name}: try again later"),
            )),
        }
    }
}

/// Keeps tenants from coming and going, until the transaction ends.
pub(super) fn hold_registry(conn: &mut PgConnection) -> Result<()> {
    let busy = "a tenant is being created, renamed or deleted: try again later";
    run_or_busy(
        conn,
        sql::relocate::HOLD_REGISTRY,
        "hold the registry",
        busy,
    )
}

/// Runs statements that may have to wait for locks; `busy` is told where they had to for too long.
pub(super) fn run_or_busy(
    conn: &mut PgConnection,
    statements: &str,
    what: &str,
    busy: &str,
) -> Result<()> {
    conn.batch_execute(&sql::or_busy(statements))
        .map_err(|error| match sql::is_proof(&error) {
            true => Error::new(ErrorKind::Locked, busy).with_source(error),
            false => Error::database(what, error),
        })
}

/// Bounds how long a statement of the transaction waits for a lock, and takes a path that leads nowhere.
pub(super) fn settle(conn: &mut PgConnection, settings: &str, wait: Duration) -> Result<()> {
    let failed = |error| Error::database("prepare the move", error);
    conn.batch_execute(settings).map_err(failed)?;
    conn.batch_execute(&sql::fleet::limit_waiting(wait))
        .map_err(failed)?;
    apart(conn)
}

pub(super) fn apart(conn: &mut PgConnection) -> Result<()> {
    conn.batch_execute(sql::relocate::APART)
        .map_err(|error| Error::database("prepare the move", error))
}

/// Those that are there, whether tenants are of the kind or not.
fn kind_templates(conn: &mut PgConnection, layout: &Layout) -> Result<Vec<SchemaName>> {
    let mut found = names(
        conn,
        "SELECT nspname::text AS name FROM pg_namespace WHERE starts_with(nspname::text, '__template_') \
         ORDER BY nspname",
    )?;
    found.retain(|schema| layout.is_kind_template(schema.as_str()) && schema != layout.template());
    let finished = kinds::finished(conn, &found)?;
    let unfinished = found.iter().filter(|schema| !finished.contains(*schema));
    refused(
        unfinished
            .map(|schema| {
                format!(
                    "template {schema} of a kind has not got all of its migrations yet: run `boardinghouse \
                     migrate` first"
                )
            })
            .collect(),
    )?;
    Ok(found)
}

fn names(conn: &mut PgConnection, query: &str) -> Result<Vec<SchemaName>> {
    let rows: Vec<Name> = sql_query(query)
        .load(conn)
        .map_err(|error| registry::explain(conn, "list the schemas of the fleet", error))?;
    rows.iter()
        .map(|row| SchemaName::existing(&row.name))
        .collect()
}
