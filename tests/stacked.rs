//! Instrumentation of Diesel's own kind, and a connection of the application's own around ours (W10).

use std::sync::{Mutex, PoisonError};

use boardinghouse_core::TenantConnection;
use boardinghouse_tests::{TestDb, add_note, bodies, schema::notes, tenant, value};
use diesel::{
    connection::{
        AnsiTransactionManager, CacheSize, ConnectionSealed, Instrumentation, InstrumentationEvent,
        LoadConnection, SimpleConnection, set_default_instrumentation,
    },
    expression::QueryMetadata,
    pg::Pg,
    prelude::*,
    query_builder::{Query, QueryFragment, QueryId},
};

use crate::surface::in_turn;

/// Whose turn it is to set what new connections are watched by: there is one for all tests.
pub(crate) static DEFAULT_INSTRUMENTATION: Mutex<()> = Mutex::new(());

/// What [`record`] saw of statements with `watch me` in them: other tests run beside this one.
static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that Diesel wants"
)]
fn record(event: InstrumentationEvent<'_>) {
    if let InstrumentationEvent::StartQuery { query, .. } = event {
        let text = query.to_string();
        if text.contains("watch me") {
            SEEN.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(text);
        }
    }
}

#[test]
fn diesels_default_instrumentation_sees_statements_with_their_tenant() {
    let _alone = DEFAULT_INSTRUMENTATION
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let db = TestDb::new();
    set_default_instrumentation(|| Some(Box::new(record))).unwrap();
    let pool = db.pool(1);
    let mut expected = Vec::new();
    for id in ["a", "b", "a"] {
        let tenant = tenant(&pool, id);
        let mut conn = pool.get(&tenant).unwrap();
        assert_eq!(value(&mut conn, "SELECT 'watch me'"), "watch me");
        expected.push(format!("/*{id}.{}*/ ", tenant.epoch()));
    }
    set_default_instrumentation(|| None).unwrap();
    let seen = SEEN.lock().unwrap();
    assert_eq!(seen.len(), 3, "{seen:?}");
    for (text, tag) in seen.iter().zip(expected) {
        assert!(text.starts_with(&tag), "{text} does not begin with {tag}");
    }
}

#[test]
fn instrumentation_of_a_checkout_sees_its_statements_with_their_tenant() {
    use std::sync::mpsc;
    let db = TestDb::new();
    in_turn(&db, |id, conn| {
        let (sender, seen) = mpsc::channel();
        conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::StartQuery { query, .. } = event {
                let _ = sender.send(query.to_string());
            }
        });
        bodies(conn).unwrap();
        let text = seen.try_recv().unwrap();
        let tag = format!("/*{id}.{}*/ SELECT", conn.tenant().epoch());
        assert!(text.starts_with(&tag), "{text}");
        assert_eq!(seen.try_recv(), Err(mpsc::TryRecvError::Empty), "once each");
    });
}

/// A connection as an application may write it: it passes everything on, and keeps a log.
struct Logged<C> {
    inner: C,
    log: Vec<String>,
}

impl<C> Logged<C> {
    fn around(inner: C) -> Self {
        let log = Vec::new();
        Self { inner, log }
    }

    fn note<T: QueryFragment<Pg>>(&mut self, query: &T) {
        self.log
            .push(diesel::debug_query::<Pg, _>(query).to_string());
    }
}

impl<C> ConnectionSealed for Logged<C> {}

impl<C: SimpleConnection> SimpleConnection for Logged<C> {
    fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        self.log.push(query.to_owned());
        self.inner.batch_execute(query)
    }
}

impl<C> Connection for Logged<C>
where
    C: Connection<Backend = Pg, TransactionManager = AnsiTransactionManager>,
{
    type Backend = Pg;
    type TransactionManager = AnsiTransactionManager;

    fn establish(url: &str) -> ConnectionResult<Self> {
        C::establish(url).map(Self::around)
    }

    fn execute_returning_count<T>(&mut self, source: &T) -> QueryResult<usize>
    where
        T: QueryFragment<Pg> + QueryId,
    {
        self.note(source);
        self.inner.execute_returning_count(source)
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        self.inner.transaction_state()
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        self.inner.instrumentation()
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.inner.set_instrumentation(instrumentation);
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        self.inner.set_prepared_statement_cache_size(size);
    }
}

impl<B, C> LoadConnection<B> for Logged<C>
where
    C: Connection<Backend = Pg, TransactionManager = AnsiTransactionManager> + LoadConnection<B>,
{
    type Cursor<'conn, 'query>
        = C::Cursor<'conn, 'query>
    where
        Self: 'conn;
    type Row<'conn, 'query>
        = C::Row<'conn, 'query>
    where
        Self: 'conn;

    fn load<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> QueryResult<Self::Cursor<'conn, 'query>>
    where
        T: Query + QueryFragment<Pg> + QueryId + 'query,
        Pg: QueryMetadata<T::SqlType>,
    {
        self.note(&source);
        self.inner.load(source)
    }
}

#[test]
fn a_connection_of_the_application_around_a_checkout_sees_and_passes_on_everything() {
    let db = TestDb::new();
    let pool = db.pool(1);
    for id in ["a", "b", "a", "b"] {
        let checkout: TenantConnection = pool.get(&tenant(&pool, id)).unwrap();
        let mut conn = Logged::around(checkout);
        assert_eq!(bodies(&mut conn).unwrap()[0], format!("from-{id}"));
        conn.transaction(|conn| {
            add_note(conn, "kept")?;
            let undone = conn.transaction(|conn| {
                add_note(conn, "undone")?;
                Err::<(), _>(diesel::result::Error::RollbackTransaction)
            });
            assert!(undone.is_err());
            QueryResult::Ok(())
        })
        .unwrap();
        let rows = notes::table
            .select(notes::body)
            .load_iter::<String, diesel::pg::PgRowByRowLoadingMode>(&mut conn)
            .unwrap();
        assert!(rows.map(Result::unwrap).all(|body| body != "undone"));
        let begun = ["BEGIN", "SAVEPOINT", "ROLLBACK TO", "COMMIT"];
        let log: Vec<&str> = conn.log.iter().map(String::as_str).collect();
        assert_eq!(log.len(), 8, "{log:#?}");
        for word in begun {
            assert!(
                log.iter().any(|line| line.starts_with(word)),
                "{word} in {log:#?}"
            );
        }
        assert_eq!(conn.inner.tenant().id().as_str(), id);
    }
    assert_eq!(
        db.value("SELECT count(*) FROM a.notes WHERE body = 'kept'"),
        "2"
    );
    assert_eq!(
        db.value("SELECT count(*) FROM b.notes WHERE body = 'kept'"),
        "2"
    );
    assert_eq!(db.value("SELECT count(*) FROM public.notes"), "1");
}
