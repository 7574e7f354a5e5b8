//! A database of its own for each test, with two tenants and the bait.

use std::{
    process,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use boardinghouse_actix::Tenancy;
use boardinghouse_core::{
    Migrator, NewTenant, PgRegistry, Provisioner, TenantPool, TenantPoolBuilder,
    embedded::{self, Database},
};
use diesel::{Connection as _, PgConnection, connection::SimpleConnection as _};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

const SHARED: EmbeddedMigrations = embed_migrations!("tests/http/migrations/shared");
pub(crate) const TENANT: EmbeddedMigrations = embed_migrations!("tests/http/migrations/tenant");

/// Lives until the process ends, which is what a private server waits for.
static SERVER: LazyLock<Database> =
    LazyLock::new(|| embedded::from_env_or_start("TEST_DATABASE_URL").unwrap());

/// A database of its own, with nothing in it; gone when this is dropped.
pub(crate) struct EmptyDatabase(String);

impl EmptyDatabase {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bh_actix_{}_{count}", process::id());
        administer(&format!("CREATE DATABASE {name}"));
        Self(name)
    }

    pub(crate) fn url(&self) -> String {
        url_of(&self.0)
    }
}

impl Drop for EmptyDatabase {
    fn drop(&mut self) {
        if let Ok(mut conn) = PgConnection::establish(SERVER.url()) {
            let _ = conn.batch_execute(&drop_database(&self.0));
        }
    }
}

pub(crate) struct Fixture {
    // The pool's connections go first.
    pub(crate) pool: TenantPool,
    database: EmptyDatabase,
}

impl Fixture {
    /// Tenants `acme` and `globex`, each with a host name `<id>.test` and a note `from-<id>`.
    pub(crate) fn new() -> Self {
        Self::with_pool(TenantPool::builder())
    }

    pub(crate) fn with_pool(builder: TenantPoolBuilder) -> Self {
        let database = EmptyDatabase::new();
        let pool = builder
            .checkout_timeout(Duration::from_secs(60))
            .build(&database.url())
            .unwrap();
        let fixture = Self { pool, database };
        let report = Migrator::new(fixture.pool.clone())
            .shared(SHARED)
            .tenants(TENANT)
            .run();
        report.unwrap().into_result().unwrap();
        for id in ["acme", "globex"] {
            fixture.add(id);
        }
        fixture
    }

    pub(crate) fn add(&self, id: &str) {
        let new = NewTenant::new(id.parse().unwrap()).domain(format!("{id}.test").parse().unwrap());
        Provisioner::new(self.pool.clone()).create(&new).unwrap();
        self.execute(&format!(
            "INSERT INTO {id}.notes (body) VALUES ('from-{id}')"
        ));
    }

    /// A pool of its own, for what must not share connections with the rest of the test.
    pub(crate) fn pool(&self, builder: TenantPoolBuilder) -> TenantPool {
        builder.build(&self.database.url()).unwrap()
    }

    pub(crate) fn tenancy(&self) -> Tenancy {
        Tenancy::new(PgRegistry::new(self.pool.clone()))
            .exempt("/healthz")
            // As long as a checkout may: what keeps the machine busy makes no test fail.
            .lookup_timeout(Duration::from_secs(60))
    }

    /// A connection that the pool knows nothing of.
    pub(crate) fn connect(&self) -> PgConnection {
        PgConnection::establish(&self.database.url()).unwrap()
    }

    pub(crate) fn execute(&self, sql: &str) {
        self.connect().batch_execute(sql).unwrap();
    }

    /// Takes the database away, as a server that goes down does.
    pub(crate) fn take_down(&self) {
        administer(&drop_database(&self.database.0));
    }
}

fn drop_database(name: &str) -> String {
    format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")
}

fn administer(sql: &str) {
    let mut conn = PgConnection::establish(SERVER.url()).unwrap();
    conn.batch_execute(sql).unwrap();
}

/// The URL of another database on the same server.
fn url_of(name: &str) -> String {
    let url = SERVER.url();
    let (base, options) = url.split_once('?').unwrap_or((url, ""));
    let (server, _) = base.rsplit_once('/').unwrap();
    format!("{server}/{name}?{options}")
}
