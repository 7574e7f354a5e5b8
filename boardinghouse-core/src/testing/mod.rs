//! Tenants for the tests of an application.
//!
//! | | what a test gets | what is left of it |
//! |---|---|---|
//! | [`TestTenant`] | a tenant of its own, cloned from the template as in production | nothing: it is deleted when it goes out of scope |
//! | [`OnceTenant`] | a transaction on a tenant that is made once for all tests | nothing: the transaction is rolled back |
//!
//! Both are safe in tests that run at the same time, in one process or in several: names are random. The
//! template comes from the application's own migrations, so that tests see what production would.
//!
//! # The database
//!
//! Taken from the environment, or else, with feature `embedded`, a private server that is gone when the
//! tests end:
//!
//! ```no_run
//! # #[cfg(all(feature = "embedded", unix))]
//! # mod example {
//! use std::sync::LazyLock;
//!
//! use boardinghouse_core::{Migrator, TenantPool, embedded, testing::TestTenant};
//! use diesel::prelude::*;
//! # const SHARED: diesel_migrations::EmbeddedMigrations = diesel_migrations::EmbeddedMigrations::new(&[]);
//! # const TENANT: diesel_migrations::EmbeddedMigrations = diesel_migrations::EmbeddedMigrations::new(&[]);
//! # diesel::table! { notes { id -> Integer, body -> Text } }
//!
//! // Lives until the process ends, which is what a private server waits for.
//! static DATABASE: LazyLock<embedded::Database> =
//!     LazyLock::new(|| embedded::from_env_or_start("TEST_DATABASE_URL").unwrap());
//!
//! static POOL: LazyLock<TenantPool> = LazyLock::new(|| {
//!     let pool = TenantPool::builder().build(DATABASE.url()).unwrap();
//!     let migrator = Migrator::new(pool.clone()).shared(SHARED).tenants(TENANT);
//!     migrator.run_at_start().unwrap();
//!     pool
//! });
//!
//! # /*
//! #[test]
//! # */
//! fn a_new_tenant_has_no_notes() {
//!     let acme = TestTenant::new(&POOL).unwrap();
//!     let count: i64 = notes::table.count().get_result(&mut acme.connect().unwrap()).unwrap();
//!     assert_eq!(count, 0);
//! }
//! # }
//! ```
//!
//! `embedded::from_env_or_start` says what is missing where neither works.
//!
//! # Which of the two
//!
//! A [`TestTenant`] can do whatever a tenant can: be suspended, renamed, migrated, served over HTTP. A
//! [`OnceTenant`] costs a test no more than a transaction, and suits functions that take a
//! `&mut TenantConnection`.
//!
//! What checks connections out of a pool, such as a handler with `TenantDb`, cannot be rolled back from
//! outside: each checkout is another transaction, on whatever connection is free, and the pool gives none
//! back that is inside one. Test it with a [`TestTenant`].
//!
//! # Fixtures of `rstest`
//!
//! ```no_run
//! use boardinghouse_core::{
//!     TenantPool,
//!     testing::{OnceTenant, TestTenant, TestTransaction},
//! };
//! use rstest::{fixture, rstest};
//!
//! #[fixture]
//! #[once]
//! fn pool() -> TenantPool {
//!     // As above, with the migrations.
//!     TenantPool::builder().build("postgres://localhost/app_test").unwrap()
//! }
//!
//! #[fixture]
//! fn acme(pool: &TenantPool) -> TestTenant {
//!     TestTenant::with(pool, |new| new.display_name("Acme Inc.")).unwrap()
//! }
//!
//! #[fixture]
//! #[once]
//! fn once(pool: &TenantPool) -> OnceTenant {
//!     OnceTenant::new(pool).unwrap()
//! }
//!
//! #[fixture]
//! fn rolled_back(once: &'static OnceTenant) -> TestTransaction<'static> {
//!     once.begin().unwrap()
//! }
//!
//! #[rstest]
//! fn two_tenants_are_two(acme: TestTenant, #[from(acme)] globex: TestTenant) {
//!     assert_ne!(acme.schema(), globex.schema());
//! }
//!
//! #[rstest]
//! fn what_a_test_writes_is_rolled_back(mut rolled_back: TestTransaction<'static>) {
//!     let conn = &mut *rolled_back;
//!     assert_eq!(conn.tenant().display_name(), "once");
//! }
//! ```

mod once;
mod tenant;

pub use self::{
    once::{OnceTenant, TestTransaction},
    tenant::TestTenant,
};
