//! A tenant that is deleted when it goes out of scope.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    ops::Deref,
    time::Duration,
};

use crate::{
    connection::TenantConnection,
    error::{ErrorKind, Result},
    names::TenantId,
    pool::TenantPool,
    provision::{NewTenant, Provisioner},
    registry,
    tenant::Tenant,
};

/// How long deleting waits for checkouts of the tenant that are still out.
const PATIENCE: Duration = Duration::from_secs(10);

/// A tenant for one test, with a name that nobody else has.
///
/// It is made by [`Provisioner::create`], as in production: cloned from the template, or a schema that was
/// ready. It is deleted when it is dropped, also when the test panics, and whatever it is called by then.
/// Derefs to [`Tenant`].
///
/// Declare it before what uses it: deleting waits for checkouts that are out, for ten seconds, and then
/// gives up. So it does where the database is gone. A failure is logged, with [`tracing`], and is no
/// failure of the test; [`delete`](Self::delete) gives it back.
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::{TenantPool, testing::TestTenant};
/// use diesel::prelude::*;
///
/// diesel::table! {
///     notes { id -> Integer, body -> Text }
/// }
///
/// # fn example(pool: &TenantPool) -> Result<(), Box<dyn std::error::Error>> {
/// let acme = TestTenant::new(pool)?;
/// let globex = TestTenant::with(pool, |new| {
///     let domain = format!("{}.example.test", new.id()).parse().unwrap();
///     new.display_name("Globex").domain(domain).attribute("seats", 5)
/// })?;
/// diesel::insert_into(notes::table)
///     .values(notes::body.eq("acme's"))
///     .execute(&mut acme.connect()?)?;
/// let seen: i64 = notes::table.count().get_result(&mut globex.connect()?)?;
/// assert_eq!(seen, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TestTenant {
    tenant: Tenant,
    pool: TenantPool,
    deleted: bool,
}

impl TestTenant {
    /// Creates a tenant with a random name.
    ///
    /// # Errors
    ///
    /// Those of [`Provisioner::create`]. The database must have been migrated. A pool in
    /// [`PathMode::Transaction`](crate::PathMode::Transaction) creates no tenants: use one that leads to
    /// PostgreSQL directly.
    pub fn new(pool: &TenantPool) -> Result<Self> {
        Self::with(pool, |new| new)
    }

    /// As [`new`](Self::new), with a display name, domains, attributes, or as a copy of another schema.
    ///
    /// Domains are for the whole database: derive them from [`NewTenant::id`], so that tests can run at the
    /// same time. A schema that is [adopted](NewTenant::adopt) is kept.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn with(pool: &TenantPool, configure: impl FnOnce(NewTenant) -> NewTenant) -> Result<Self> {
        let new = configure(NewTenant::new(random_id("test")?));
        Ok(Self {
            tenant: Provisioner::new(pool.clone()).create(&new)?,
            pool: pool.clone(),
            deleted: false,
        })
    }

    /// The tenant as it was created.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The pool that it was created with.
    #[must_use]
    pub fn pool(&self) -> &TenantPool {
        &self.pool
    }

    /// A checkout of the tenant.
    ///
    /// # Errors
    ///
    /// Those of [`TenantPool::get`].
    pub fn connect(&self) -> Result<TenantConnection> {
        self.pool.get(&self.tenant)
    }

    /// Deletes the tenant now. One that the test has deleted already is no error.
    ///
    /// # Errors
    ///
    /// Those of [`Provisioner::delete`].
    pub fn delete(mut self) -> Result<()> {
        self.deleted = true;
        delete(&self.pool, &self.tenant, PATIENCE)
    }
}

impl Deref for TestTenant {
    type Target = Tenant;

    fn deref(&self) -> &Tenant {
        &self.tenant
    }
}

impl Drop for TestTenant {
    fn drop(&mut self) {
        if !self.deleted {
            delete_or_log(&self.pool, &self.tenant);
        }
    }
}

/// A valid id that no other process has, either: 64 random bits after `kind`.
pub(super) fn random_id(kind: &str) -> Result<TenantId> {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    let mut bits = hasher.finish();
    let mut id = format!("{kind}-");
    while bits > 0 {
        id.push(char::from(DIGITS[(bits % 32) as usize]));
        bits /= 32;
    }
    id.push('x'); // never ends in a hyphen
    TenantId::parse(&id)
}

/// Deletes that very tenant, whatever its name is by now.
pub(super) fn delete(pool: &TenantPool, tenant: &Tenant, patience: Duration) -> Result<()> {
    let named = registry::find_by_incarnation(&mut pool.get_shared()?, tenant.incarnation())?;
    let Some(named) = named else { return Ok(()) };
    // A session that is idle on the schema would keep it until the keeper comes round.
    pool.leave(named.schema());
    let provisioner = Provisioner::new(pool.clone()).lock_wait(patience);
    match provisioner.delete(named.id()) {
        Err(error) if error.kind() == ErrorKind::TenantNotFound => Ok(()),
        deleted => deleted.map(drop),
    }
}

pub(super) fn delete_or_log(pool: &TenantPool, tenant: &Tenant) {
    if let Err(error) = delete(pool, tenant, PATIENCE) {
        tracing::error!(
            tenant = %tenant.id(),
            error = error.chain(),
            "a tenant of a test could not be deleted: delete it by `boardinghouse tenant delete`"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;

    #[test]
    fn random_names_are_valid_and_differ() {
        let ids: std::collections::HashSet<TenantId> =
            (0..1_000).map(|_| random_id("test").unwrap()).collect();
        assert_eq!(ids.len(), 1_000);
        for id in ids {
            Layout::default().schema_for(&id).unwrap();
        }
    }
}
