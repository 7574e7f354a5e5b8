//! What becomes of a tenant between its creation and its end: another name, a pause.

use diesel::{connection::SimpleConnection, prelude::*, sql_types};

use crate::{
    error::{Error, ErrorKind, Result},
    lock,
    names::{SchemaName, TenantId},
    pool::Subject,
    provision::{Provisioner, schema_exists},
    registry, sql,
    tenant::{Tenant, TenantStatus},
};

impl Provisioner {
    /// Gives a tenant another id, and its schema the name that goes with it, in one transaction. Its
    /// rows, domains, status and [`incarnation`](Tenant::incarnation) stay; its epoch advances.
    ///
    /// The schema of an adopted tenant keeps its name.
    ///
    /// Waits until no checkout uses the schema; new ones are refused from then on, and the old id leads
    /// nowhere afterwards. Programs that work past this library are not waited for: a session of theirs
    /// whose `search_path` holds the old name reads the next schema on it, without an error.
    ///
    /// Tables, constraints, defaults, sequences and views follow the schema, since the server knows
    /// them by number. Text does not: the body of a function, a `SET search_path` clause or a comment
    /// that spells the old name out still does so, and no text is replaced. A migration that writes
    /// names unqualified, as it should, leaves none.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::ReservedName`] or [`ErrorKind::InvalidName`] when no schema can be named for the
    ///   new id, also for an adopted tenant, and [`ErrorKind::InvalidInput`] when it is the old one;
    ///   before anything is sent.
    /// * [`ErrorKind::TenantNotFound`] when the registry has no such tenant.
    /// * [`ErrorKind::TenantUnavailable`] when the tenant is neither ready nor suspended.
    /// * [`ErrorKind::TenantExists`] when the new id, or its schema, belongs to a tenant, and
    ///   [`ErrorKind::SchemaExists`] when a schema of that name exists that is no tenant's. Names that
    ///   differ only in case collide.
    /// * [`ErrorKind::SchemaUnavailable`] when the tenant's schema is missing, and
    ///   [`ErrorKind::ReservedName`] when it is the shared one, the template or the registry.
    /// * [`ErrorKind::Locked`] when one of the two schemas was being written, or the old one was used
    ///   by a checkout, all the time.
    /// * [`ErrorKind::RegistryMissing`], [`ErrorKind::Database`], and the errors of
    ///   [`TenantPool::get_shared`](crate::TenantPool::get_shared).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use boardinghouse_core::{Provisioner, TenantPool};
    ///
    /// let provisioner = Provisioner::new(TenantPool::builder().build("postgres://localhost/app")?);
    /// let renamed = provisioner.rename(&"acme".parse()?, &"acme-europe".parse()?)?;
    /// assert_eq!(renamed.schema().as_str(), "acme_europe");
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    pub fn rename(&self, id: &TenantId, new_id: &TenantId) -> Result<Tenant> {
        let schema = self.pool.layout().schema_for(new_id)?;
        if id == new_id {
            let message = format!("tenant {id} is to be renamed to itself: choose another id");
            return Err(Error::new(ErrorKind::InvalidInput, message).with_tenant(id));
        }
        let span = tracing::info_span!("rename tenant", tenant = %id, new = %new_id);
        let _entered = span.enter();
        let renamed =
            self.in_transaction(id, |conn| self.rename_checked(conn, id, new_id, &schema));
        self.pool.changed(Subject::Tenant(new_id.to_string()));
        renamed
    }

    /// Stops serving a tenant: the next checkout is refused, those that are out finish. Does nothing
    /// where it is suspended already.
    ///
    /// Its schema stays, and is migrated with the others. A checkout reads the status from the
    /// [`Tenant`] that it is given.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::TenantNotFound`] when the registry has no such tenant.
    /// * [`ErrorKind::TenantUnavailable`] when it is neither ready nor suspended.
    /// * [`ErrorKind::RegistryMissing`], [`ErrorKind::Database`], also where the tenant was being
    ///   deleted or renamed all the time, and the errors of
    ///   [`TenantPool::get_shared`](crate::TenantPool::get_shared).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use boardinghouse_core::{Provisioner, TenantPool, TenantStatus};
    ///
    /// let provisioner = Provisioner::new(TenantPool::builder().build("postgres://localhost/app")?);
    /// let acme = provisioner.suspend(&"acme".parse()?)?;
    /// assert_eq!(acme.status(), TenantStatus::Suspended);
    /// let acme = provisioner.resume(acme.id())?;
    /// assert_eq!(acme.status(), TenantStatus::Ready);
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    pub fn suspend(&self, id: &TenantId) -> Result<Tenant> {
        self.set_status(id, TenantStatus::Suspended)
    }

    /// Serves a suspended tenant again. Does nothing where it is ready.
    ///
    /// # Errors
    ///
    /// Those of [`suspend`](Self::suspend).
    pub fn resume(&self, id: &TenantId) -> Result<Tenant> {
        self.set_status(id, TenantStatus::Ready)
    }

    fn set_status(&self, id: &TenantId, status: TenantStatus) -> Result<Tenant> {
        self.in_transaction(id, |conn| {
            let tenant = registry::lock_row(conn, id)?.ok_or_else(|| registry::not_found(id))?;
            must_be_whole(&tenant)?;
            if tenant.status() == status {
                return Ok(tenant);
            }
            registry::set_status(conn, id, status)
        })
    }

    fn rename_checked(
        &self,
        conn: &mut PgConnection,
        id: &TenantId,
        new_id: &TenantId,
        schema: &SchemaName,
    ) -> Result<Tenant> {
        // The schema's lock before the row's: a migrator holds the one when it wants the other.
        let read = registry::find(conn, id)?.ok_or_else(|| registry::not_found(id))?;
        let old = read.schema();
        self.pool.layout().tenant_schema(old)?;
        lock::schema_for_transaction(conn, old, self.lock_wait)?;
        let tenant = registry::lock_row_of(conn, &read)?;
        must_be_whole(&tenant)?;
        // Told without waiting for who holds a name: two that want each other's would wait for ever.
        let schema = if tenant.is_adopted() { old } else { schema };
        registry::names_are_free(conn, id, new_id, schema)?;
        if schema == old {
            return registry::rename(conn, id, new_id, old);
        }
        if !schema_exists(conn, old)? {
            let message =
                format!("schema {old} of tenant {id} is missing: there is nothing to rename");
            return Err(Error::new(ErrorKind::SchemaUnavailable, message));
        }
        // The new names are reserved in the row before the new schema's lock is taken: whoever creates
        // a tenant does it in this order. So of all who want one name, one at a time gets as far as its
        // lock, and no two wait for each other.
        let renamed = registry::rename(conn, id, new_id, schema)?;
        lock::schema_for_transaction(conn, schema, self.lock_wait)?;
        no_other_schema_has(conn, schema, old)?;
        lock::end_of_use(conn, old)?;
        conn.batch_execute(&sql::rename_schema(old, schema))
            .map_err(|error| Error::database(&format!("rename schema {old} to {schema}"), error))?;
        Ok(renamed)
    }
}

/// Fails for a tenant that is not there yet, or no longer.
fn must_be_whole(tenant: &Tenant) -> Result<()> {
    match tenant.status() {
        TenantStatus::Ready | TenantStatus::Suspended => Ok(()),
        status => Err(Error::new(
            ErrorKind::TenantUnavailable,
            format!(
                "tenant {} is {status}: only one that is ready or suspended can be renamed, suspended \
                 or resumed",
                tenant.id()
            ),
        )),
    }
}

#[derive(QueryableByName)]
struct SchemaRow {
    #[diesel(sql_type = sql_types::Text)]
    name: String,
}

/// Fails when a schema other than `own` has the name `schema`, in whatever case.
fn no_other_schema_has(
    conn: &mut PgConnection,
    schema: &SchemaName,
    own: &SchemaName,
) -> Result<()> {
    // Byte by byte, whatever the locale: what we create is ASCII.
    let taken: Option<SchemaRow> = diesel::sql_query(
        "SELECT nspname::text AS name FROM pg_catalog.pg_namespace \
         WHERE pg_catalog.lower(nspname::text COLLATE \"C\") = $1 AND nspname <> $2 LIMIT 1",
    )
    .bind::<sql_types::Text, _>(schema.as_str())
    .bind::<sql_types::Text, _>(own.as_str())
    .get_result(conn)
    .optional()
    .map_err(|error| Error::database(&format!("look for schema {schema}"), error))?;
    match taken {
        None => Ok(()),
        Some(SchemaRow { name }) => Err(Error::new(
            ErrorKind::SchemaExists,
            format!("schema {name:?} exists already and is no tenant's: choose another id"),
        )),
    }
}
