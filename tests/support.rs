//! The shared fixture of the tests: a database with two tenants, and the bait.

#[cfg(unix)]
mod pgbouncer;

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use boardinghouse_core::{
    Layout, Migrator, NewTenant, PgRegistry, Provisioner, Tenant, TenantPool, TenantPoolBuilder,
    embedded,
};
use diesel::{connection::SimpleConnection, prelude::*, sql_types};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use once_cell::sync::Lazy;

#[cfg(unix)]
pub use self::pgbouncer::PgBouncer;

/// The shared migrations of the fixture.
pub const SHARED: EmbeddedMigrations = embed_migrations!("migrations/shared");
/// The tenant migrations of the fixture.
pub const TENANT: EmbeddedMigrations = embed_migrations!("migrations/tenant");

/// What the shared schema's `notes` holds. Who reads it has leaked.
pub const BAIT: &str = "PUBLIC";

/// The tables of the fixture, as an application would write them: unqualified.
#[expect(missing_docs, reason = "made by a macro")]
pub mod schema {
    diesel::table! {
        notes {
            id -> Integer,
            body -> Text,
            author -> Nullable<Integer>,
        }
    }

    diesel::table! {
        users {
            id -> Integer,
            email -> Text,
        }
    }

    diesel::joinable!(notes -> users (author));
    diesel::allow_tables_to_appear_in_same_query!(notes, users);
}

static SERVER: Lazy<embedded::Database> = Lazy::new(|| {
    embedded::from_env_or_start("TEST_DATABASE_URL").expect("the tests need PostgreSQL")
});

/// What the names of this run's databases begin with, and a session that holds a lock on it: the
/// next run drops the databases of runs whose lock is free, so that a run that was killed leaves
/// nothing on a server that is not its own.
static RUN: Lazy<(String, Mutex<PgConnection>)> = Lazy::new(|| {
    let mut conn = PgConnection::establish(SERVER.url()).expect("a connection");
    let run = format!("bh_test_{}", std::process::id());
    let lock = format!("SELECT pg_advisory_lock(hashtext('{run}'))");
    conn.batch_execute(&lock).expect("the run's lock");
    let dead = "SELECT coalesce(string_agg(datname, ','), '') FROM pg_database \
                WHERE datname ~ '^bh_test_[0-9]+_[0-9]+$' \
                AND pg_try_advisory_lock(hashtext(substring(datname FROM '^bh_test_[0-9]+')))";
    for name in value(&mut conn, dead)
        .split(',')
        .filter(|name| !name.is_empty())
    {
        // The lock of this very run is free to it: its own databases do not exist yet.
        let _ = conn.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
    }
    (run, Mutex::new(conn))
});

/// The fixture's database, made once and copied for each test.
static PATTERN: Lazy<String> = Lazy::new(|| {
    let pattern = TestDb::empty();
    let pool = pattern.pool(1);
    Migrator::new(pool.clone())
        .shared(SHARED)
        .tenants(TENANT)
        .run()
        .and_then(|report| report.into_result())
        .expect("the fixture's migrations run");
    let provisioner = Provisioner::new(pool.clone());
    for id in ["a", "b"] {
        provisioner
            .create(&NewTenant::new(id.parse().expect("an id")))
            .expect("a tenant");
        pattern.sql(&format!(
            "INSERT INTO {id}.notes (body) VALUES ('from-{id}')"
        ));
    }
    drop((provisioner, pool));
    let name = pattern.name.clone();
    pattern.disconnect_everybody();
    std::mem::forget(pattern);
    name
});

/// A database of one test; dropped at its end.
#[derive(Debug)]
pub struct TestDb {
    name: String,
    url: String,
}

impl TestDb {
    /// An empty database.
    #[must_use]
    pub fn empty() -> Self {
        Self::create("")
    }

    /// The fixture: `public.users`, the bait in `public.notes`, tenants `a` and `b` with one note
    /// each, `from-a` and `from-b`.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it does a great deal")]
    pub fn new() -> Self {
        Self::create(&format!("TEMPLATE {}", *PATTERN))
    }

    fn create(options: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}_{number}", RUN.0);
        admin(&format!("CREATE DATABASE {name} {options}"));
        Self {
            url: SERVER.database_url(&name),
            name,
        }
    }

    /// The URL of this database, as its superuser.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A pool of at most `size` connections with a short checkout timeout.
    #[must_use]
    pub fn pool(&self, size: u32) -> TenantPool {
        self.pool_with(|builder| builder.max_size(size))
    }

    /// A pool of one connection, configured further.
    #[must_use]
    pub fn pool_with(
        &self,
        configure: impl FnOnce(TenantPoolBuilder) -> TenantPoolBuilder,
    ) -> TenantPool {
        let builder = TenantPool::builder()
            .max_size(1)
            .checkout_timeout(Duration::from_secs(10));
        configure(builder).build(&self.url).expect("a pool")
    }

    /// A pool of one connection for another layout.
    #[must_use]
    pub fn pool_for(&self, layout: Layout) -> TenantPool {
        self.pool_with(|builder| builder.layout(layout))
    }

    /// A connection that knows nothing of tenants.
    #[must_use]
    pub fn connect(&self) -> PgConnection {
        PgConnection::establish(&self.url).expect("a connection")
    }

    /// Runs statements past the library.
    pub fn sql(&self, statements: &str) {
        if let Err(error) = self.connect().batch_execute(statements) {
            panic!("{statements}: {error}");
        }
    }

    /// The one value of a query, as text, past the library. NULL is "NULL".
    #[must_use]
    pub fn value(&self, query: &str) -> String {
        value(&mut self.connect(), query)
    }

    /// The names of all tables in a schema, sorted.
    #[must_use]
    pub fn tables(&self, schema: &str) -> String {
        self.value(&format!(
            "SELECT coalesce(string_agg(tablename, ',' ORDER BY tablename COLLATE \"C\"), '') \
             FROM pg_tables WHERE schemaname = '{schema}'"
        ))
    }

    /// Lets nobody connect any more.
    pub fn refuse_connections(&self) {
        admin(&format!(
            "ALTER DATABASE {} ALLOW_CONNECTIONS false",
            self.name
        ));
    }

    /// Ends all sessions and waits until they are gone.
    pub fn disconnect_everybody(&self) {
        let mut conn = PgConnection::establish(SERVER.url()).expect("a connection");
        let deadline = Instant::now() + Duration::from_secs(20);
        let sessions = format!(
            "SELECT count(pg_terminate_backend(pid)) AS value FROM pg_stat_activity \
             WHERE datname = '{}'",
            self.name
        );
        while value(&mut conn, &sessions) != "0" {
            assert!(
                Instant::now() < deadline,
                "sessions of {} do not end",
                self.name
            );
            std::thread::yield_now();
        }
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let mut conn = PgConnection::establish(SERVER.url()).ok();
        // A test that has failed already is not to be hidden by this.
        if let Some(conn) = &mut conn {
            let _ = conn.batch_execute(&format!("DROP DATABASE IF EXISTS {} (FORCE)", self.name));
        }
    }
}

fn admin(statement: &str) {
    let mut conn = PgConnection::establish(SERVER.url()).expect("a connection");
    conn.batch_execute(statement).expect(statement);
}

/// The one value of a query, as text. NULL is "NULL".
#[must_use]
pub fn value<C>(conn: &mut C, query: &str) -> String
where
    C: Connection<Backend = diesel::pg::Pg> + diesel::connection::LoadConnection,
{
    match try_value(conn, query) {
        Ok(value) => value,
        Err(error) => panic!("{query}: {error}"),
    }
}

/// As [`value`], where the query may fail.
///
/// # Errors
///
/// Those of the query.
pub fn try_value<C>(conn: &mut C, query: &str) -> QueryResult<String>
where
    C: Connection<Backend = diesel::pg::Pg> + diesel::connection::LoadConnection,
{
    #[derive(QueryableByName)]
    struct Value {
        #[diesel(sql_type = sql_types::Nullable<sql_types::Text>)]
        value: Option<String>,
    }
    let wrapped = format!("SELECT value::text AS value FROM ({query}) AS q (value)");
    let row: Value = diesel::sql_query(wrapped).get_result(conn)?;
    Ok(row.value.unwrap_or_else(|| "NULL".into()))
}

/// The bodies of the notes that this connection sees.
///
/// # Errors
///
/// Those of the query.
pub fn bodies<C>(conn: &mut C) -> QueryResult<Vec<String>>
where
    C: Connection<Backend = diesel::pg::Pg> + diesel::connection::LoadConnection,
{
    use schema::notes::dsl::{body, id, notes};
    notes.select(body).order(id).load(conn)
}

/// Adds a note.
///
/// # Errors
///
/// Those of the statement.
pub fn add_note<C>(conn: &mut C, text: &str) -> QueryResult<usize>
where
    C: Connection<Backend = diesel::pg::Pg>,
{
    use schema::notes::dsl::{body, notes};
    diesel::insert_into(notes)
        .values(body.eq(text))
        .execute(conn)
}

/// Fails where the server has broken a deadlock in this database. Whoever used it must have gone: a session
/// counts at its end, at the latest.
///
/// # Panics
///
/// Where it has.
pub fn no_deadlock(db: &TestDb) {
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    until(|| db.value(others) == "0");
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(db.value(deadlocks), "0", "deadlocks");
}

/// Waits until something is so, for at most twenty seconds.
///
/// # Panics
///
/// When it is not so by then.
pub fn until(mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(Instant::now() < deadline, "it did not come true in time");
        std::thread::yield_now();
    }
}

/// Waits until a session of the database waits for a lock, as [`until`] does.
///
/// # Panics
///
/// When none does by then.
pub fn until_somebody_waits(db: &TestDb) {
    let mut conn = db.connect();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                   AND datname = current_database()";
    until(|| value(&mut conn, waiting) != "0");
}

/// The key of the advisory lock that whoever writes to a schema has, as arguments in SQL.
#[must_use]
pub fn schema_key(schema: &str) -> String {
    format!("x'62680001'::int, hashtext('{schema}')")
}

/// A registered tenant.
#[must_use]
pub fn tenant(pool: &TenantPool, id: &str) -> Tenant {
    PgRegistry::new(pool.clone())
        .get(&id.parse().expect("an id"))
        .expect("the tenant")
}
