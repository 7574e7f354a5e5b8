//! A tenant that is made once, on which each test is a transaction that is rolled back.

use std::{
    ops::{Deref, DerefMut},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::tenant::{delete, delete_or_log, random_id};
use crate::{
    connection::TenantConnection,
    error::{Error, ErrorKind, Result},
    pool::TenantPool,
    provision::{NewTenant, Provisioner},
    registry,
    tenant::Tenant,
};

/// What the ids of these tenants begin with.
const KIND: &str = "test-once";

/// The attribute by which they are known again.
const MARK: &str = "boardinghouse.once";

/// How often a tenant is made anew where another process took it for one of the dead.
const ATTEMPTS: u32 = 5;

/// A tenant that is cloned once for all tests of a process. Each test is a transaction on it, which is
/// rolled back.
///
/// Make it a `static`, or a fixture that is made once. Rows that all tests are to find are written when it
/// is made. Derefs to [`Tenant`].
///
/// It is deleted when it is dropped. A `static` never is: what a process leaves behind, also one that
/// was killed, the next `OnceTenant` on the same database deletes, as soon as that process has ended. How
/// it is known is by its id, an attribute of its own, and that no process has a checkout of it: this one has,
/// on a connection beside the pool's.
///
/// # Examples
///
/// ```no_run
/// use std::sync::LazyLock;
///
/// use boardinghouse_core::{Result, TenantPool, testing::OnceTenant};
/// use diesel::prelude::*;
///
/// diesel::table! {
///     notes { id -> Integer, body -> Text }
/// }
///
/// fn add(conn: &mut boardinghouse_core::TenantConnection, body: &str) -> QueryResult<usize> {
///     diesel::insert_into(notes::table).values(notes::body.eq(body)).execute(conn)
/// }
///
/// static TENANT: LazyLock<OnceTenant> = LazyLock::new(|| {
///     let pool = TenantPool::builder().build("postgres://localhost/app_test").unwrap();
///     let tenant = OnceTenant::new(&pool).unwrap();
///     pool.with(&tenant, |conn| -> Result<_> { Ok(add(conn, "for all")?) }).unwrap();
///     tenant
/// });
///
/// # /*
/// #[test]
/// # */
/// fn a_note_is_added() {
///     let mut test = TENANT.begin().unwrap();
///     let conn = &mut *test;
///     add(conn, "for this test").unwrap();
///     assert_eq!(notes::table.count().get_result(conn), Ok(2_i64));
/// }
/// ```
#[derive(Debug)]
pub struct OnceTenant {
    tenant: Tenant,
    pool: TenantPool,
    /// What shows other processes that this one lives.
    in_use: Mutex<Option<TenantConnection>>,
    /// The test that has ended its transaction.
    spoiled_by: Mutex<Option<String>>,
}

impl OnceTenant {
    /// Creates a tenant with a random name, by [`Provisioner::create`], and deletes those of processes that
    /// have ended.
    ///
    /// # Errors
    ///
    /// Those of [`Provisioner::create`], and [`ErrorKind::ConnectionFailed`] when there is no room for
    /// a connection beside the pool's.
    pub fn new(pool: &TenantPool) -> Result<Self> {
        Self::with(pool, |new| new)
    }

    /// As [`new`](Self::new), with a display name, domains, attributes, or as a copy of another schema.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new), and [`ErrorKind::InvalidInput`] when `configure` gives a tenant with
    /// another id, or one that adopts a schema.
    pub fn with(pool: &TenantPool, configure: impl FnOnce(NewTenant) -> NewTenant) -> Result<Self> {
        pool.require_sessions()?;
        let beside = TenantPool::builder()
            .layout(pool.layout().clone())
            .max_size(1)
            .without_listener()
            .build(pool.url())?;
        let provisioner = Provisioner::new(pool.clone());
        let mut new = configure(NewTenant::new(random_id(KIND)?).display_name("once"));
        if !new.id().as_str().starts_with(KIND) || new.adopts() {
            let message = "the id of a OnceTenant is not to be chosen, and it adopts no schema";
            return Err(Error::new(ErrorKind::InvalidInput, message).with_tenant(new.id()));
        }
        new = new.attribute(MARK, true);
        delete_those_of_the_dead(pool);
        let mut attempts = ATTEMPTS;
        loop {
            let tenant = provisioner.create(&new)?;
            attempts -= 1;
            match beside.get(&tenant) {
                Ok(conn) => {
                    return Ok(Self {
                        tenant,
                        pool: pool.clone(),
                        in_use: Mutex::new(Some(conn)),
                        spoiled_by: Mutex::default(),
                    });
                }
                // Somebody looked in between whether anybody uses it.
                Err(error)
                    if attempts > 0
                        && matches!(
                            error.kind(),
                            ErrorKind::TenantNotFound | ErrorKind::SchemaUnavailable
                        ) =>
                {
                    delete(pool, &tenant, Duration::from_secs(1))?;
                }
                Err(error) => {
                    delete_or_log(pool, &tenant);
                    return Err(error);
                }
            }
        }
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The pool that it was created with.
    #[must_use]
    pub fn pool(&self) -> &TenantPool {
        &self.pool
    }

    /// Begins the transaction of a test, on a checkout of its own.
    ///
    /// # Errors
    ///
    /// Those of [`TenantPool::get`], and [`ErrorKind::TransactionEnded`] when a test before has ended its
    /// transaction by text, such as `COMMIT`: what it wrote could be seen by all others.
    pub fn begin(&self) -> Result<TestTransaction<'_>> {
        let spoiled_by = self.spoiled_by.lock();
        if let Some(test) = &*spoiled_by.unwrap_or_else(PoisonError::into_inner) {
            return Err(Error::new(
                ErrorKind::TransactionEnded,
                format!(
                    "test {test} has ended the transaction that was to be rolled back, so what it did \
                     may be there for all tests: give it a TestTenant of its own"
                ),
            )
            .with_tenant(self.tenant.id()));
        }
        let mut conn = self.pool.get(&self.tenant)?;
        conn.session.open_transaction()?;
        Ok(TestTransaction { conn, once: self })
    }
}

impl Deref for OnceTenant {
    type Target = Tenant;

    fn deref(&self) -> &Tenant {
        &self.tenant
    }
}

impl Drop for OnceTenant {
    fn drop(&mut self) {
        let in_use = self.in_use.get_mut();
        drop(in_use.unwrap_or_else(PoisonError::into_inner).take());
        delete_or_log(&self.pool, &self.tenant);
    }
}

/// A checkout inside a transaction that is rolled back when it is dropped, also when the test panics.
///
/// From [`OnceTenant::begin`]. Derefs to [`TenantConnection`]: pass `&mut *test` on. `conn.transaction` makes
/// savepoints. As in every transaction of PostgreSQL, nothing can follow a statement that failed: put one
/// that is to fail into `conn.transaction`.
///
/// What PostgreSQL does not roll back stays: the values that sequences have given. So do not expect
/// particular ids. [`build_transaction`](TenantConnection::build_transaction) fails, as the transaction is
/// open already.
#[derive(Debug)]
pub struct TestTransaction<'a> {
    conn: TenantConnection,
    once: &'a OnceTenant,
}

impl Deref for TestTransaction<'_> {
    type Target = TenantConnection;

    fn deref(&self) -> &TenantConnection {
        &self.conn
    }
}

impl DerefMut for TestTransaction<'_> {
    fn deref_mut(&mut self) -> &mut TenantConnection {
        &mut self.conn
    }
}

impl Drop for TestTransaction<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.conn.session.roll_back() {
            let test = std::thread::current();
            let test = test.name().unwrap_or("of a thread without a name");
            tracing::error!(test, error = error.chain(), "a test cannot be rolled back");
            let spoiled_by = self.once.spoiled_by.lock();
            *spoiled_by.unwrap_or_else(PoisonError::into_inner) = Some(test.to_owned());
        }
    }
}

/// Deletes tenants of this kind that no process uses. What fails is the next one's business.
fn delete_those_of_the_dead(pool: &TenantPool) {
    let mut found = pool
        .get_shared()
        .and_then(|mut conn| registry::list_by_prefix(&mut conn, KIND))
        .unwrap_or_else(|error| {
            tracing::warn!(
                error = error.chain(),
                "could not look for what tests have left behind"
            );
            Vec::new()
        });
    found.retain(|tenant| tenant.attributes().get(MARK) == Some(&true.into()));
    for tenant in found {
        match delete(pool, &tenant, Duration::ZERO) {
            // Its process lives, or somebody else is deleting it.
            Err(error) if error.kind() == ErrorKind::Locked => {}
            Err(error) => tracing::warn!(
                tenant = %tenant.id(),
                error = error.chain(),
                "what a test left behind could not be deleted"
            ),
            Ok(()) => {}
        }
    }
}
