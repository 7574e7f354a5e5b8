//! Named templates: schemas with rows, from which tenants are cloned, and which are migrated with the fleet.

use std::time::Duration;

use diesel::prelude::*;

use super::{PgRegistry, explain};
use crate::{
    error::{Error, ErrorKind, Result},
    lock,
    names::SchemaName,
    provision::schema_exists,
    schema::boardinghouse::{named_templates, tenants},
};

/// How long another writer of the schema is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// Fails for a schema that is a named template. Whoever calls this has its lock.
pub(crate) fn must_not_be_a_template(conn: &mut PgConnection, schema: &SchemaName) -> Result<()> {
    let is_one: bool = diesel::select(diesel::dsl::exists(
        named_templates::table.find(schema.as_str()),
    ))
    .get_result(conn)
    .map_err(|error| Error::database("look among the named templates", error))?;
    if !is_one {
        return Ok(());
    }
    let message = format!(
        "schema {schema} cannot be a tenant's: it is a named template, from which others are cloned"
    );
    Err(Error::new(ErrorKind::ReservedName, message))
}

impl PgRegistry {
    /// The named templates, in the order of their names.
    ///
    /// # Errors
    ///
    /// Those of [`find`](Self::find).
    pub fn named_templates(&self) -> Result<Vec<SchemaName>> {
        let names = self.read("list the named templates", |conn| {
            named_templates::table
                .select(named_templates::schema_name)
                .order(named_templates::schema_name)
                .load::<String>(conn)
        })?;
        names
            .iter()
            .map(|name| SchemaName::existing(name))
            .collect()
    }

    /// Makes a schema, which exists, a named template: from now on it is migrated with the fleet, before any
    /// tenant. Does nothing where it is one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ReservedName`] for the shared schema, the template and the like,
    /// [`ErrorKind::SchemaUnavailable`] where there is no such schema, [`ErrorKind::TenantExists`] where it
    /// is a tenant's, [`ErrorKind::Locked`] where it was being written to all the time, and those of
    /// [`find`](Self::find).
    pub fn add_named_template(&self, schema: &SchemaName) -> Result<()> {
        self.pool().layout().tenant_schema(schema)?;
        self.with_shared(|conn| {
            conn.build_transaction().read_committed().run(|conn| {
                super::require(conn)?;
                // Whoever makes it a tenant's has this lock, too, and looks then.
                lock::schema_for_transaction(conn, schema, LOCK_WAIT)?;
                if !schema_exists(conn, schema)? {
                    return Err(Error::new(
                        ErrorKind::SchemaUnavailable,
                        format!(
                            "there is no schema {schema}: make it first, for example with `boardinghouse \
                             clone`"
                        ),
                    ));
                }
                let of_a_tenant: bool = diesel::select(diesel::dsl::exists(
                    tenants::table.filter(tenants::schema_name.eq(schema.as_str())),
                ))
                .get_result(conn)
                .map_err(|error| explain(conn, "look for tenants of that schema", error))?;
                if of_a_tenant {
                    return Err(Error::new(
                        ErrorKind::TenantExists,
                        format!("schema {schema} belongs to a tenant, which is migrated anyway"),
                    ));
                }
                diesel::insert_into(named_templates::table)
                    .values(named_templates::schema_name.eq(schema.as_str()))
                    .on_conflict_do_nothing()
                    .execute(conn)
                    .map(drop)
                    .map_err(|error| Error::database("add the named template", error))
            })
        })
    }

    /// Makes a named template a schema like any other. The schema stays. Says whether it was one.
    ///
    /// # Errors
    ///
    /// Those of [`find`](Self::find).
    pub fn remove_named_template(&self, schema: &SchemaName) -> Result<bool> {
        let removed = self.read("remove the named template", |conn| {
            diesel::delete(named_templates::table.find(schema.as_str())).execute(conn)
        })?;
        Ok(removed > 0)
    }
}
