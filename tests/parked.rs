//! When nothing is sent on return, and when a connection is cleaned: after everything but plain selects
//! on schemas in which nothing hides behind a name.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use boardinghouse_core::{Provisioner, TenantConnection, TenantPool};
use boardinghouse_tests::{
    BAIT, TestDb, bodies,
    schema::{notes, users},
    tenant, until, value,
};
use diesel::{
    connection::SimpleConnection,
    dsl,
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types,
};

diesel::define_sql_function! { fn lower(text: sql_types::Text) -> sql_types::Text; }

diesel::table! {
    log (body) {
        body -> Text,
    }
}

fn cleans(pool: &TenantPool) -> u64 {
    pool.state().counters.cleans
}

/// How many returns of a connection for `a`, after `work`, cost a round trip: 0 or 1.
fn cost(pool: &TenantPool, work: impl FnOnce(&mut TenantConnection)) -> u64 {
    let a = tenant(pool, "a");
    let before = cleans(pool);
    let mut conn = pool.get(&a).unwrap();
    work(&mut conn);
    drop(conn);
    cleans(pool) - before
}

fn read(conn: &mut TenantConnection) {
    assert_eq!(bodies(conn).unwrap(), ["from-a"]);
}

/// The locks of all checkouts that use a schema of this database, by the server's word.
fn uses(db: &TestDb) -> String {
    let query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = x'62680003'::int::oid \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    db.value(query)
}

#[test]
fn after_plain_selects_nothing_is_sent_and_the_next_tenant_sees_its_own_rows() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let (a, b) = (tenant(&pool, "a"), tenant(&pool, "b"));
    let before = cleans(&pool);
    for _ in 0..100 {
        for (tenant, expected) in [(&a, "from-a"), (&b, "from-b")] {
            let mut conn = pool.get(tenant).unwrap();
            assert_eq!(bodies(&mut conn).unwrap(), [expected]);
            let joined: Vec<(String, Option<String>)> = notes::table
                .left_join(users::table)
                .filter(notes::id.gt(0).and(notes::body.like("from%")))
                .select((notes::body, users::email.nullable()))
                .order((notes::id.desc(), notes::body))
                .limit(10)
                .load(&mut conn)
                .unwrap();
            assert_eq!(joined, [(expected.to_owned(), None)]);
            let count: i64 = notes::table.count().get_result(&mut conn).unwrap();
            assert_eq!(count, 1);
            assert_eq!(
                users::table.select(dsl::max(users::id)).first(&mut conn),
                Ok(Some(2))
            );
        }
    }
    // What was not used at all leaves nothing, either.
    drop(pool.get(&a).unwrap());
    assert_eq!(cleans(&pool), before);
    assert_eq!(pool.state().connections, 1);
    assert_eq!(bodies(&mut pool.get_shared().unwrap()).unwrap(), [BAIT]);
}

#[test]
fn within_a_second_an_idle_connection_is_neutral_and_uses_no_schema() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let (a, b) = (tenant(&pool, "a"), tenant(&pool, "b"));
    let took = || {
        let mut conns = [pool.get(&a).unwrap(), pool.get(&b).unwrap()];
        for conn in &mut conns {
            bodies(conn).unwrap();
        }
        assert_eq!(uses(&db), "2");
        let cleaned = cleans(&pool);
        drop(conns);
        assert_eq!(cleans(&pool), cleaned);
        let returned = Instant::now();
        until(|| uses(&db) == "0");
        returned.elapsed()
    };
    // A machine that is busy with other things only adds to it.
    let least = (0..3).map(|_| took()).min().unwrap();
    assert!(least <= Duration::from_secs(1), "{least:?}");
    // What it did last put it on the neutral path.
    let last = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND query LIKE '%DISCARD SEQUENCES; EXECUTE boardinghouse_unlock'";
    assert_eq!(db.value(last), "2");
    assert_eq!(pool.state().connections, 2);
    for (tenant, expected) in [(&a, "from-a"), (&b, "from-b")] {
        assert_eq!(bodies(&mut pool.get(tenant).unwrap()).unwrap(), [expected]);
    }
}

/// Somebody can rename it by hand all the same, and its lock says nothing of that.
#[test]
fn a_parked_connection_is_not_lent_for_a_schema_that_was_renamed_by_hand() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let a = tenant(&pool, "a");
    let mut by_hand = db.connect();
    read(&mut pool.get(&a).unwrap());
    read(&mut pool.get(&a).unwrap());
    by_hand.batch_execute("ALTER SCHEMA a RENAME TO z").unwrap();
    // At once: after a while the whole path is proven anew.
    assert_eq!(
        pool.get(&a).unwrap_err().kind(),
        boardinghouse_core::ErrorKind::SchemaUnavailable
    );
}

type Work = fn(&mut TenantConnection);

#[test]
fn after_anything_but_plain_selects_the_connection_is_cleaned() {
    let db = TestDb::new();
    db.sql("CREATE TABLE a.log (body text)");
    let pool = db.pool(1);
    assert_eq!(cost(&pool, read), 0);
    let works: [(&str, Work); 13] = [
        ("text", |conn| conn.batch_execute("SELECT 1").unwrap()),
        ("an insert", |conn| {
            let insert = diesel::insert_into(log::table).values(log::body.eq("x"));
            insert.execute(conn).unwrap();
        }),
        ("an update", |conn| {
            let update = diesel::update(notes::table).set(notes::body.eq("from-a"));
            update.execute(conn).unwrap();
        }),
        ("a delete", |conn| {
            let delete = diesel::delete(notes::table.filter(notes::id.gt(1)));
            delete.execute(conn).unwrap();
        }),
        ("a transaction", |conn| {
            conn.transaction(bodies).unwrap();
        }),
        ("a function", |conn| {
            let bodies: Vec<String> = notes::table.select(lower(notes::body)).load(conn).unwrap();
            assert_eq!(bodies, ["from-a"]);
        }),
        ("a function without a table", |conn| {
            let text: String = diesel::select(lower("X")).get_result(conn).unwrap();
            assert_eq!(text, "x");
        }),
        ("a query of text", |conn| {
            assert_eq!(value(conn, "SELECT body FROM notes"), "from-a");
        }),
        ("a piece of text", |conn| {
            let text = dsl::sql::<sql_types::Text>("body");
            let bodies: Vec<String> = notes::table.select(text).load(conn).unwrap();
            assert_eq!(bodies, ["from-a"]);
        }),
        ("a row lock", |conn| {
            let all: Vec<String> = notes::table
                .select(notes::body)
                .for_update()
                .load(conn)
                .unwrap();
            assert_eq!(all, ["from-a"]);
        }),
        ("a bare connection", |conn| {
            let bare: &mut PgConnection = conn;
            bodies(bare).unwrap();
        }),
        ("an error", |conn| {
            let missing: QueryResult<String> = diesel::sql_query("SELECT 1/0")
                .execute(conn)
                .map(|_| String::new());
            missing.unwrap_err();
        }),
        ("a copy", |conn| {
            let copied = conn.copy_to(notes::table);
            copied
                .read(|all| std::io::copy(all, &mut std::io::sink()))
                .unwrap()
                .unwrap();
        }),
    ];
    for (name, work) in works {
        assert_eq!(cost(&pool, work), 1, "{name}");
        assert_eq!(cost(&pool, read), 0, "after {name}");
    }
}

#[test]
fn a_select_is_plain_only_where_nothing_hides_behind_a_name() {
    let body = "RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'";
    let foreign = "CREATE FOREIGN DATA WRAPPER none; CREATE SERVER none FOREIGN DATA WRAPPER none;";
    let hides = |schema: &str| {
        [
            format!("CREATE VIEW {schema}.v AS SELECT 1 AS x"),
            format!("ALTER TABLE {schema}.notes ENABLE ROW LEVEL SECURITY"),
            format!("CREATE DOMAIN {schema}.d AS int CHECK (VALUE > 0)"),
            format!("CREATE FUNCTION {schema}.f() {body}"),
            format!("CREATE FUNCTION {schema}.g() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
            format!("CREATE AGGREGATE {schema}.count (text) (SFUNC = textcat, STYPE = text)"),
            format!(
                "CREATE SCHEMA x; CREATE FUNCTION x.f(text, text) RETURNS bool LANGUAGE sql \
                 AS 'SELECT true'; CREATE OPERATOR {schema}.= \
                 (LEFTARG = text, RIGHTARG = text, FUNCTION = x.f)"
            ),
            format!("{foreign} CREATE FOREIGN TABLE {schema}.t (x int) SERVER none"),
            format!("CREATE PROCEDURE {schema}.p() LANGUAGE plpgsql AS 'BEGIN END'"),
        ]
    };
    for schema in ["a", "public"] {
        for ddl in hides(schema) {
            let db = TestDb::new();
            db.sql(&ddl);
            let pool = db.pool(1);
            assert_eq!(cost(&pool, read), 1, "{ddl}");
        }
    }
    // Elsewhere than on the path they are nobody's business.
    let db = TestDb::new();
    for ddl in hides("b") {
        db.sql(&ddl);
    }
    assert_eq!(cost(&db.pool(1), read), 0);
}

#[test]
fn what_only_triggers_call_what_is_indexed_and_types_without_checks_hide_nothing() {
    let db = TestDb::new();
    db.sql(
        "CREATE FUNCTION a.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER touch BEFORE UPDATE ON a.notes FOR EACH ROW EXECUTE FUNCTION a.touch();
         CREATE INDEX ON a.notes (body); CREATE SEQUENCE a.numbers;
         CREATE TYPE a.mood AS ENUM ('good', 'bad'); CREATE TYPE a.pair AS (x int, y int);
         CREATE TABLE a.parts (id int, mood a.mood, pair a.pair) PARTITION BY RANGE (id);
         CREATE TABLE a.part PARTITION OF a.parts FOR VALUES FROM (1) TO (2);
         CREATE STATISTICS a.s (dependencies) ON id, author FROM a.notes",
    );
    assert_eq!(cost(&db.pool(1), read), 0);
}

/// Puts a view in place of the notes of `a`, with a function behind it that no name on the path reveals.
const LEAK: &str = "CREATE SCHEMA elsewhere;
    CREATE FUNCTION elsewhere.mark(text) RETURNS text LANGUAGE plpgsql AS
        'BEGIN PERFORM set_config(''app.x'', $1, false); RETURN $1; END';
    ALTER TABLE a.notes RENAME TO real_notes;
    CREATE VIEW a.notes AS SELECT id, elsewhere.mark(body) AS body, author FROM a.real_notes";

#[test]
fn what_a_function_behind_a_view_sets_does_not_reach_the_next_borrower() {
    let db = TestDb::new();
    db.sql(LEAK);
    let pool = db.pool(1);
    let (a, b) = (tenant(&pool, "a"), tenant(&pool, "b"));
    let setting = |conn: &mut TenantConnection| {
        value(conn, "SELECT coalesce(current_setting('app.x', true), '')")
    };
    for _ in 0..3 {
        let mut conn = pool.get(&a).unwrap();
        read(&mut conn);
        assert_eq!(
            setting(&mut conn),
            "from-a",
            "the test sets what it looks for"
        );
        drop(conn);
        // This time with nothing but a plain select.
        assert_eq!(cost(&pool, read), 1);
        let mut conn = pool.get(&b).unwrap();
        assert_eq!(setting(&mut conn), "");
        assert_eq!(bodies(&mut conn).unwrap(), ["from-b"]);
    }
    assert_eq!(pool.state().connections, 1);
}

/// Leaves a setting behind, and cannot be looked at before it is run.
#[derive(QueryId, Default)]
struct Shy {
    asked: Cell<bool>,
}

impl QueryFragment<Pg> for Shy {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if !self.asked.replace(true) {
            return Err(diesel::result::Error::QueryBuilderError("not yet".into()));
        }
        out.push_sql("SELECT set_config('boardinghouse_test.left', 'yes', false)");
        Ok(())
    }
}

impl RunQueryDsl<TenantConnection> for Shy {}

#[test]
fn a_statement_that_could_not_be_looked_at_counts_as_one_that_leaves_something() {
    let db = TestDb::new();
    let pool = db.pool(1);
    read(&mut pool.get(&tenant(&pool, "a")).unwrap());
    let cleaned = cost(&pool, |conn| {
        Shy::default().execute(conn).unwrap();
    });
    assert_eq!(cleaned, 1);
    let left = value(
        &mut pool.get(&tenant(&pool, "a")).unwrap(),
        "SELECT coalesce(current_setting('boardinghouse_test.left', true), '')",
    );
    assert_eq!(left, "");
}

#[test]
fn a_view_that_a_borrower_makes_is_known_at_the_next_checkout() {
    let db = TestDb::new();
    let pool = db.pool_with(|b| b.registry_ttl(Duration::from_secs(3600)));
    assert_eq!(cost(&pool, read), 0);
    // From then on it is believed that there is none.
    until(|| pool.state().listening);
    assert_eq!(cost(&pool, read), 0);
    assert_eq!(cost(&pool, |conn| conn.batch_execute(LEAK).unwrap()), 1);
    assert_eq!(cost(&pool, read), 1);
}

#[test]
fn a_view_that_a_migration_of_another_process_makes_is_known_within_a_second() {
    let db = TestDb::new();
    let pool = db.pool_with(|b| b.registry_ttl(Duration::from_secs(3600)));
    assert_eq!(cost(&pool, read), 0);
    until(|| pool.state().listening);
    db.sql(LEAK);
    // As whoever migrates does.
    db.sql("UPDATE boardinghouse.tenants SET epoch = DEFAULT WHERE id = 'a'");
    let changed = Instant::now();
    until(|| cost(&pool, read) == 1);
    let took = changed.elapsed();
    assert!(took <= Duration::from_secs(1), "{took:?}");
}

#[test]
fn deleting_a_tenant_waits_for_idle_connections_for_less_than_a_second() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let provisioner = Provisioner::new(db.pool(1));
    for id in ["a", "b"] {
        let tenant = tenant(&pool, id);
        let id = id.parse().unwrap();
        let before = cleans(&pool);
        let conns = [(); 2].map(|()| pool.get(&tenant).unwrap());
        drop(conns);
        assert_eq!(cleans(&pool), before, "they are parked on the tenant");
        let started = Instant::now();
        provisioner.delete(&id).unwrap();
        let took = started.elapsed();
        assert!(took <= Duration::from_secs(1), "{took:?}");
        assert!(pool.get(&tenant).is_err());
    }
}
