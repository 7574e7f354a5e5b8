//! A tenant whose schema is a clone of the template, in as few round trips as can be.

use std::time::{Duration, Instant};

use diesel::{
    PgConnection,
    connection::{AnsiTransactionManager, SimpleConnection, TransactionManager},
};

use super::{Provisioner, is_no_tenants, schema_exists};
use crate::{
    catalog::fingerprint::Question,
    connection::SharedConnection,
    domain::Address,
    error::{Error, ErrorKind, Result},
    lock,
    names::SchemaName,
    registry::{self, Registered},
    sql,
    template::Template,
    tenant::{Tenant, TenantStatus},
};

/// How long a statement waits for a lock before everything is undone and tried again: whoever waits for a
/// shared table makes every later writer of it wait, too.
const LOCK_TIMEOUT: Duration = Duration::from_millis(200);

const PAUSES: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(100)];

/// Why a tenant was not created this time.
pub(super) enum Failed {
    /// Somebody else had a lock. What it was is told if it goes on.
    Busy(Error),
    For(Error),
}

impl Failed {
    pub(super) fn is_busy(&self) -> bool {
        matches!(self, Self::Busy(_))
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::For(error)
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        let (Failed::Busy(error) | Failed::For(error)) = failed;
        error
    }
}

impl Provisioner {
    /// Registers `tenant`, and clones the template to its schema: one transaction, that is tried again while
    /// somebody else has a lock that it needs. Does nothing where `register` gives back `None`.
    pub(super) fn clone_template(
        &self,
        conn: &mut SharedConnection,
        tenant: &Tenant,
        register: impl Fn(&mut PgConnection, &Question) -> Result<Option<Registered>>,
    ) -> Result<Option<Tenant>, Failed> {
        let conn: &mut PgConnection = conn;
        let attempt = || self.try_to_clone(conn, tenant, &register);
        lock::try_for(self.lock_wait, PAUSES, attempt, Failed::is_busy)
    }

    /// Registers `tenant`, and clones `source` to its schema with all rows, in one snapshot.
    pub(super) fn copy(
        &self,
        conn: &mut SharedConnection,
        source: &SchemaName,
        addresses: &[Address],
        tenant: &Tenant,
    ) -> Result<Tenant> {
        registry::require(conn)?;
        // Before the transaction, whose first query fixes what it sees; and before the locks on tables,
        // which a migrator wants when it has this one.
        lock::schema_shared_for_checkout(conn, source, self.lock_wait)?;
        let template = Template::new(source.clone()).with_data();
        let register = |conn: &mut PgConnection| {
            must_be_whole(conn, source)?;
            // The row before the lock, as everywhere where it is waited for: two who want one name must not
            // have one of them each.
            let waiting = lock::bound_waiting(conn, self.lock_wait)?;
            let registered = registry::insert(conn, tenant, addresses)?;
            lock::schema_for_transaction(conn, tenant.schema(), self.lock_wait)?;
            lock::restore_waiting(conn, &waiting)?;
            match schema_exists(conn, tenant.schema())? {
                true => Err(is_no_tenants(tenant.schema())),
                false => Ok(registered),
            }
        };
        template
            .clone_with(conn, tenant.schema(), register)
            .map(|(_, registered)| registered)
    }

    fn try_to_clone(
        &self,
        conn: &mut PgConnection,
        tenant: &Tenant,
        register: &impl Fn(&mut PgConnection, &Question) -> Result<Option<Registered>>,
    ) -> Result<Option<Tenant>, Failed> {
        self.begin(conn, tenant)?;
        let begun = Instant::now();
        let mut old_plan = None;
        let done = self.in_open_transaction(conn, &mut old_plan, tenant, register);
        let waited = begun.elapsed() >= LOCK_TIMEOUT;
        let done = done.and_then(|created| {
            AnsiTransactionManager::commit_transaction(conn)
                .map(|()| created)
                .map_err(|error| Error::database("create the tenant", error))
        });
        done.map_err(|error| {
            // A connection that cannot be rolled back is closed when it is returned.
            let rolled_back = AnsiTransactionManager::rollback_transaction(conn).is_ok();
            match (error.kind(), old_plan) {
                // SQLSTATE does not reach us through Diesel: to try again once too often does no harm.
                (ErrorKind::Database, _) if waited => Failed::Busy(error),
                // It may ask for a table that is gone.
                (ErrorKind::Database, Some(template)) => {
                    match rolled_back && self.plans.forget(conn, &template).is_ok() {
                        true => Failed::Busy(error),
                        false => Failed::For(error),
                    }
                }
                (ErrorKind::Database, None) => match registry::require(conn) {
                    Err(instead) => Failed::For(instead),
                    Ok(()) => Failed::For(error),
                },
                _ => Failed::For(error),
            }
        })
    }

    /// Begins a transaction that has the locks of the two schemas.
    ///
    /// They are asked for, not waited for: see [`lock`]. What the template is, is read only when its lock is
    /// held; which it is, too.
    fn begin(&self, conn: &mut PgConnection, tenant: &Tenant) -> Result<(), Failed> {
        let templates = self.templates(tenant);
        let message = sql::begin_clone(
            &templates.iter().collect::<Vec<_>>(),
            tenant.schema(),
            LOCK_TIMEOUT.min(self.lock_wait),
            &Template::settings(),
        );
        AnsiTransactionManager::begin_transaction_sql(conn, &message).map_err(|error| {
            let busy = sql::is_proof(&error);
            let cleared = conn.batch_execute("ROLLBACK");
            match (busy, cleared) {
                (true, Ok(())) => {
                    let message = format!(
                        "the template, or schema {}, was being written to by another process for \
                         {:?}: try again later",
                        tenant.schema(),
                        self.lock_wait
                    );
                    Failed::Busy(Error::new(ErrorKind::Locked, message))
                }
                _ => Failed::For(Error::database("begin to create the tenant", error)),
            }
        })
    }

    /// `old_plan` becomes the template, where its plan was made before.
    fn in_open_transaction(
        &self,
        conn: &mut PgConnection,
        old_plan: &mut Option<SchemaName>,
        tenant: &Tenant,
        register: &impl Fn(&mut PgConnection, &Question) -> Result<Option<Registered>>,
    ) -> Result<Option<Tenant>> {
        let template = self.template_of(conn, tenant)?;
        let old = |is_old: bool| is_old.then(|| template.schema().clone());
        let known = self.plans.known(template.schema());
        *old_plan = old(known.is_some());
        let known = match known {
            Some(known) => known,
            None => {
                let known = self.plans.renew(conn, &template)?;
                *old_plan = old(known.was_kept());
                known
            }
        };
        let Some(registered) = register(conn, &known.question())? else {
            return Ok(None);
        };
        if registered.schema_exists {
            return Err(is_no_tenants(tenant.schema()));
        }
        if let Some(ready) = registered.ready {
            let ready = SchemaName::existing(&ready)?;
            conn.batch_execute(&sql::rename_schema(&ready, tenant.schema()))
                .map_err(|error| {
                    Error::database(
                        &format!("take schema {ready}, which waited for a tenant"),
                        error,
                    )
                })?;
            return Ok(Some(registered.tenant));
        }
        let plan = match known.is_of(&registered.fingerprint) {
            true => known,
            false => {
                let plan = self.plans.renew(conn, &template)?;
                *old_plan = old(plan.was_kept());
                plan
            }
        };
        plan.plan().create(conn, tenant.schema())?;
        Ok(Some(registered.tenant))
    }
}

/// Fails for the schema of a tenant that is not there yet, or no longer. Whoever calls this has its lock.
fn must_be_whole(conn: &mut PgConnection, source: &SchemaName) -> Result<()> {
    match registry::find_by_schema(conn, source)? {
        Some(tenant)
            if !matches!(
                tenant.status(),
                TenantStatus::Ready | TenantStatus::Suspended
            ) =>
        {
            let message = format!(
                "tenant {} is {}: only one that is ready or suspended can be copied",
                tenant.id(),
                tenant.status()
            );
            Err(Error::new(ErrorKind::TenantUnavailable, message))
        }
        _ => Ok(()),
    }
}
