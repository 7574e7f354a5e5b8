//! Scratch databases: both sets of migrations in one schema, and nothing left behind.

use std::fs;

use boardinghouse_core::{ErrorKind, Layout, ScratchDatabase};
use boardinghouse_tests::{SHARED, TENANT, TestDb, value};
use diesel::{connection::SimpleConnection, prelude::*};
use diesel_migrations::FileBasedMigrations;
use tempfile::TempDir;

/// One migration of each set.
struct Sets(TempDir);

impl Sets {
    fn new(shared: &str, tenant: &str) -> Self {
        let dir = TempDir::new().unwrap();
        for (set, up) in [("shared", shared), ("tenant", tenant)] {
            let migration = dir.path().join(set).join("2030-01-01-000000_first");
            fs::create_dir_all(&migration).unwrap();
            fs::write(migration.join("up.sql"), up).unwrap();
            fs::write(migration.join("down.sql"), "").unwrap();
        }
        Self(dir)
    }

    fn migrate(
        &self,
        scratch: &ScratchDatabase,
        layout: &Layout,
    ) -> boardinghouse_core::Result<()> {
        let set = |name: &str| FileBasedMigrations::from_path(self.0.path().join(name)).unwrap();
        scratch.migrate(layout, set("shared"), set("tenant"))
    }
}

fn connect(scratch: &ScratchDatabase) -> PgConnection {
    PgConnection::establish(scratch.url()).unwrap()
}

/// The name of the database that a connection is in.
fn name(scratch: &ScratchDatabase) -> String {
    value(&mut connect(scratch), "SELECT current_database()")
}

fn exists(db: &TestDb, database: &str) -> bool {
    db.value(&format!(
        "SELECT count(*) FROM pg_database WHERE datname = '{database}'"
    )) == "1"
}

const RELATIONS: &str = "SELECT string_agg(n.nspname || '.' || c.relname, ' ' ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\") \
    FROM (SELECT DISTINCT relname, relnamespace FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm')) c \
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('public', 'common', '__template__')";

const TYPES: &str = "SELECT string_agg(n.nspname || '.' || t.typname, ' ' ORDER BY t.typname) \
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid \
    WHERE n.nspname IN ('public', 'common', '__template__') AND t.typcategory <> 'A' \
    AND (t.typrelid = 0 OR c.relkind = 'c') AND t.typname NOT LIKE '%multirange'";

#[test]
fn what_both_sets_make_meets_in_one_schema() {
    let db = TestDb::empty();
    let sets = Sets::new(
        "CREATE TYPE plan AS ENUM ('free'); \
         CREATE TABLE users (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, plan plan); \
         CREATE INDEX newest ON users (plan); CREATE VIEW everybody AS SELECT * FROM users",
        "CREATE TYPE mood AS ENUM ('good'); CREATE DOMAIN word AS text; CREATE TYPE pair AS (a mood); \
         CREATE TYPE span AS RANGE (subtype = float8); \
         CREATE TABLE notes (id serial PRIMARY KEY, author int REFERENCES public.users, mood mood, \
             words word[], pair pair, span span); \
         CREATE INDEX newest ON notes (mood); CREATE SEQUENCE users_id_seq; \
         CREATE MATERIALIZED VIEW moods AS SELECT mood FROM notes; \
         CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id); \
         CREATE TABLE parts_1 PARTITION OF parts DEFAULT",
    );
    let scratch = ScratchDatabase::create(db.url()).unwrap();
    sets.migrate(&scratch, &Layout::default()).unwrap();
    let conn = &mut connect(&scratch);
    assert_eq!(
        value(conn, RELATIONS),
        "__template__.__diesel_schema_migrations public.__diesel_schema_migrations public.everybody \
         public.moods public.notes public.parts public.parts_1 public.users"
    );
    assert_eq!(
        value(conn, TYPES),
        "public.mood public.pair public.plan public.span public.word"
    );
    let left = "SELECT count(*) FROM pg_type WHERE typnamespace = '__template__'::regnamespace \
        AND typrelid = 0 AND typname NOT LIKE '%diesel%'";
    assert_eq!(value(conn, left), "0");
    // It all still works together.
    conn.batch_execute(
        "INSERT INTO users (plan) VALUES ('free'); INSERT INTO notes (author, mood) VALUES (1, 'good'); \
         INSERT INTO parts VALUES (1)",
    )
    .unwrap();
    let scratch_name = name(&scratch);
    assert!(exists(&db, &scratch_name));
    scratch.remove().unwrap();
    assert!(!exists(&db, &scratch_name));
    // The application's database is not touched.
    assert_eq!(
        db.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"),
        "0"
    );
}

#[test]
fn the_shared_schema_and_the_extra_ones_may_be_called_anything() {
    let db = TestDb::empty();
    let layout = Layout::default()
        .with_shared("common".parse().unwrap())
        .and_then(|layout| layout.with_extra(["helpers".parse()?]))
        .unwrap();
    let sets = Sets::new(
        "CREATE TYPE plan AS ENUM ('free'); CREATE TABLE users (id int PRIMARY KEY, plan plan); \
         CREATE TABLE helpers.untouched (id int); CREATE EXTENSION citext",
        "CREATE TABLE notes (id int PRIMARY KEY, author int REFERENCES common.users, plan common.plan)",
    );
    let scratch = ScratchDatabase::create(db.url()).unwrap();
    sets.migrate(&scratch, &layout).unwrap();
    let conn = &mut connect(&scratch);
    assert_eq!(
        value(conn, RELATIONS),
        "__template__.__diesel_schema_migrations common.__diesel_schema_migrations public.notes \
         public.users"
    );
    // What belongs to an extension stays where the application finds it.
    assert_eq!(value(conn, TYPES), "common.citext public.plan");
    assert_eq!(value(conn, "SELECT count(*) FROM helpers.untouched"), "0");
}

#[test]
fn one_name_in_both_sets_is_refused_and_the_database_is_gone() {
    let db = TestDb::empty();
    let scratch = ScratchDatabase::create(db.url()).unwrap();
    let scratch_name = name(&scratch);
    let error = scratch
        .migrate(&Layout::default(), SHARED, TENANT)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(
        error.to_string().contains("both create table notes:"),
        "{error}"
    );
    drop(scratch);
    assert!(!exists(&db, &scratch_name));

    let sets = Sets::new(
        "CREATE TYPE state AS ENUM ('on'); CREATE TABLE word (id int); CREATE VIEW v AS SELECT 1 AS one",
        "CREATE TYPE state AS ENUM ('off'); CREATE DOMAIN word AS text; CREATE TABLE v (id int)",
    );
    let scratch = ScratchDatabase::create(db.url()).unwrap();
    let error = sets.migrate(&scratch, &Layout::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let list = "both create type state, table v, word:";
    assert!(error.to_string().contains(list), "{error}");
}

#[test]
fn a_migration_that_fails_is_told_and_the_database_is_gone() {
    let db = TestDb::empty();
    let sets = Sets::new(
        "CREATE TABLE users (id int)",
        "CREATE TABLE notes (x missing)",
    );
    let scratch = ScratchDatabase::create(db.url()).unwrap();
    let scratch_name = name(&scratch);
    let error = sets.migrate(&scratch, &Layout::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Migration);
    assert!(
        error.chain().contains("2030-01-01-000000_first"),
        "{error:?}"
    );
    assert!(error.chain().contains("\"missing\""), "{error:?}");
    // Also while somebody is connected to it.
    let _guest = connect(&scratch);
    drop(scratch);
    assert!(!exists(&db, &scratch_name));
}

#[test]
fn an_extension_can_be_there_before_the_migrations() {
    let db = TestDb::empty();
    let layout = Layout::default()
        .with_extra(["extensions".parse().unwrap()])
        .unwrap();
    let sets = Sets::new(
        "SELECT 1",
        "CREATE TABLE words (id int PRIMARY KEY, word citext)",
    );
    let scratch = ScratchDatabase::create(db.url()).unwrap();
    let extensions = &layout.extra()[0];
    scratch.create_extension("citext", extensions).unwrap();
    sets.migrate(&scratch, &layout).unwrap();
    let home = "SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'citext'";
    assert_eq!(value(&mut connect(&scratch), home), "extensions");
    let error = scratch
        .create_extension("it's \"none\"", extensions)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Database);
}

#[test]
fn a_string_of_words_leads_to_the_scratch_database_too() {
    let db = TestDb::empty();
    let url =
        db.value("SELECT inet_server_addr() || ' ' || inet_server_port() || ' ' || current_user");
    // Without TCP there is nothing to try it on.
    let [address, port, user] = url.split(' ').collect::<Vec<_>>()[..] else {
        return assert_eq!(url, "NULL");
    };
    let address = address.split('/').next().unwrap();
    let own = db.value("SELECT current_database()");
    let words = format!("host={address} port = '{port}' user={user} dbname={own}");
    if PgConnection::establish(&words).is_err() {
        // A server of somebody's own that wants a password.
        return;
    }
    let scratch = ScratchDatabase::create(&words).unwrap();
    assert!(
        scratch.url().starts_with("postgres:///"),
        "{}",
        scratch.url()
    );
    assert!(name(&scratch).starts_with("boardinghouse_scratch_"));
    scratch.remove().unwrap();
}

#[test]
fn a_role_that_may_not_create_databases_is_told_so() {
    let db = TestDb::empty();
    let role = format!("{}_poor", db.value("SELECT current_database()"));
    db.sql(&format!("CREATE ROLE {role}"));
    let url = format!("{}?options=-c%20role%3D{role}", db.url());
    let refused = ScratchDatabase::create(&url);
    db.sql(&format!("DROP ROLE {role}"));
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Database);
    assert!(error.to_string().contains("CREATEDB"), "{error}");
}

#[test]
fn what_a_process_that_was_killed_has_left_is_dropped_an_hour_later() {
    let db = TestDb::empty();
    let now: u64 = db
        .value("SELECT extract(epoch FROM now())::bigint")
        .parse()
        .unwrap();
    let own = format!("{:08x}", std::process::id());
    let named = |seconds: u64| format!("boardinghouse_scratch_{seconds}_{own}");
    let (old, in_use, fresh) = (named(now - 3700), named(now - 3701), named(now - 3000));
    // A name that merely looks like one.
    let other = format!("{old}_kept");
    for name in [&old, &fresh, &other] {
        db.sql(&format!("CREATE DATABASE {name}"));
    }
    // Another test may drop it before somebody is connected to it.
    let user = loop {
        db.sql(&format!("CREATE DATABASE {in_use}"));
        match PgConnection::establish(&format!("{}?dbname={in_use}", db.url())) {
            Ok(user) => break user,
            Err(_) => assert!(!exists(&db, &in_use)),
        }
    };
    ScratchDatabase::create(db.url()).unwrap().remove().unwrap();
    let left: Vec<bool> = [&old, &in_use, &fresh, &other]
        .map(|name| exists(&db, name))
        .into();
    drop(user);
    for name in [&in_use, &fresh, &other] {
        db.sql(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
    }
    assert_eq!(left, [false, true, true, true]);
}
