//! The fleet: many tenants, several at a time, and whatever can be in the way.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use boardinghouse_core::{
    ErrorKind, Goal, Group, Limit, MigrationContext, MigrationReport, Migrator, NewTenant, OnError,
    Outcome, PgRegistry, Provisioner, Result, RunEvent, SchemaName, Selection, TenantFilter,
    TenantMigration, TenantPool,
};
use boardinghouse_tests::{BAIT, SHARED, TestDb};
use diesel::{
    PgConnection,
    connection::SimpleConnection,
    migration::{Migration, MigrationSource},
    pg::Pg,
    prelude::*,
};
use diesel_migrations::{EmbeddedMigrations, FileBasedMigrations, embed_migrations};
use serde_json::json;

use crate::folder::Folder;

const TAGS: &str = "2026-02-01-000000_tags";
const MORE: &str = "2026-02-02-000000_more";

fn ids(ids: &[&str]) -> Vec<boardinghouse_core::TenantId> {
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

/// The tenants `t00`, `t01`, … beside the fixture's own.
fn tenants(pool: &TenantPool, count: usize) -> Vec<String> {
    let provisioner = Provisioner::new(pool.clone());
    (0..count)
        .map(|number| {
            let id = format!("t{number:02}");
            let new = NewTenant::new(id.parse().unwrap())
                .attribute("seats", number)
                .attribute("plan", if number % 2 == 0 { "free" } else { "paid" });
            provisioner.create(&new).unwrap();
            id
        })
        .collect()
}

fn migrator(pool: &TenantPool, folder: &Folder) -> Migrator {
    Migrator::new(pool.clone())
        .shared(SHARED)
        .tenants(FileBasedMigrations::from_path(folder.path()).unwrap())
}

/// Of each schema its versions, by its own table; and the ledger must say the same.
fn versions(db: &TestDb, schema: &str) -> String {
    let own = db.value(&format!(
        "SELECT coalesce(string_agg(version, ',' ORDER BY version COLLATE \"C\"), '') \
         FROM {schema}.__diesel_schema_migrations"
    ));
    let ledger = db.value(&format!(
        "SELECT coalesce((SELECT array_to_string(versions, ',') FROM boardinghouse.ledger \
         JOIN boardinghouse.tenants USING (incarnation) WHERE schema_name = '{schema}'), '-')"
    ));
    if ledger != "-" {
        assert_eq!(ledger, own, "{schema}");
    }
    own
}

fn has(db: &TestDb, schema: &str, table: &str) -> bool {
    db.tables(schema).split(',').any(|name| name == table)
}

fn done(report: &MigrationReport) -> Vec<String> {
    report
        .entries
        .iter()
        .filter(|entry| !entry.applied.is_empty())
        .map(|entry| entry.target.to_string())
        .collect()
}

fn skipped(report: &MigrationReport) -> usize {
    let is_skipped =
        |entry: &&boardinghouse_core::ReportEntry| matches!(entry.outcome, Outcome::Skipped(_));
    report.entries.iter().filter(is_skipped).count()
}

/// F06.
#[test]
fn what_is_taken_back_and_applied_again_is_as_it_was() {
    let db = TestDb::new();
    let pool = db.pool(2);
    tenants(&pool, 6);
    let folder = Folder::with_tags().pair(
        MORE,
        "ALTER TABLE tags ADD COLUMN more text; CREATE INDEX tags_more ON tags (more)",
        "ALTER TABLE tags DROP COLUMN more",
    );
    folder.pair_in_place(
        TAGS,
        "CREATE TABLE tags (id serial PRIMARY KEY)",
        "DROP TABLE tags",
    );
    migrator(&pool, &folder)
        .run()
        .unwrap()
        .into_result()
        .unwrap();
    let columns = "SELECT string_agg(DISTINCT c, ' ') FROM (SELECT table_schema, \
        string_agg(table_name || '.' || column_name, ',' ORDER BY table_name, column_name) AS c \
        FROM information_schema.columns WHERE table_schema ~ '^(t\\d\\d|a|b|__template__)$' GROUP BY 1) AS x";
    let before = db.value(columns);
    let go = |goal: Goal| {
        let report = migrator(&pool, &folder)
            .goal(goal)
            .run_selected(&Selection::Tenants)
            .unwrap();
        assert!(report.is_success(), "{report:?}");
        report
    };
    let report = go(Goal::Revert(1));
    assert_eq!(done(&report).len(), 9);
    assert_eq!(report.entries[0].applied, [format!("revert {MORE}")]);
    assert_ne!(db.value(columns), before);
    assert_eq!(versions(&db, "t03"), "20260101000000,20260201000000");
    let _ = go(Goal::Newest);
    assert_eq!(db.value(columns), before);
    let report = go(Goal::Redo(2));
    assert_eq!(
        report.entries[1].applied,
        [
            format!("revert {MORE}"),
            format!("revert {TAGS}"),
            TAGS.into(),
            MORE.into()
        ]
    );
    assert_eq!(db.value(columns), before);
    // By version, as it is written, as it is remembered, or by its whole name.
    for (version, there) in [
        ("2026-01-01-000000", false),
        ("20260201000000", true),
        (MORE, true),
    ] {
        let _ = go(Goal::Version(version.into()));
        assert_eq!(has(&db, "t05", "tags"), there, "{version}");
        assert_eq!(has(&db, "__template__", "tags"), there, "{version}");
    }
    assert_eq!(db.value(columns), before);
    let refused = migrator(&pool, &folder)
        .goal(Goal::Version("20990101000000".into()))
        .run_selected(&Selection::Tenants)
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    assert!(refused.to_string().contains(MORE), "{refused}");
    let refused = migrator(&pool, &folder)
        .goal(Goal::Revert(1))
        .run()
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    let _ = go(Goal::RevertAll);
    assert_eq!(versions(&db, "a"), "");
    assert_eq!(db.value("SELECT body FROM public.notes"), BAIT);
}

#[test]
fn a_migration_without_a_way_back_is_refused_for_each_schema() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let folder = Folder::with_tags();
    std::fs::remove_file(folder.path().join(TAGS).join("down.sql")).unwrap();
    migrator(&pool, &folder)
        .run()
        .unwrap()
        .into_result()
        .unwrap();
    let reverting = migrator(&pool, &folder).goal(Goal::Revert(1));
    let plan = reverting.plan(&Selection::Tenants).unwrap();
    assert!(
        plan.targets[1]
            .blocked
            .as_ref()
            .unwrap()
            .contains("down.sql")
    );
    assert!(!plan.is_empty());
    let report = reverting.run_selected(&Selection::Tenants).unwrap();
    assert_eq!(
        report.failures().count(),
        1,
        "the template stops the rest: {report:?}"
    );
    assert!(has(&db, "a", "tags") && has(&db, "__template__", "tags"));
}

/// F07, F09.
#[test]
fn versions_are_marked_and_forgotten_without_running_anything() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let folder = Folder::with_tags();
    let mark = migrator(&pool, &folder).goal(Goal::MarkApplied(TAGS.into()));
    let report = mark.run_selected(&Selection::Only(ids(&["a"]))).unwrap();
    assert_eq!(report.entries[0].applied, [format!("mark {TAGS}")]);
    assert_eq!(versions(&db, "a"), "20260101000000,20260201000000");
    assert!(!has(&db, "a", "tags"));
    assert!(mark.plan(&Selection::Only(ids(&["a"]))).unwrap().is_empty());

    db.sql("INSERT INTO b.__diesel_schema_migrations (version) VALUES ('20250101000000')");
    let plan = migrator(&pool, &folder)
        .reconcile(true)
        .plan(&Selection::All)
        .unwrap();
    let of_b = plan
        .targets
        .iter()
        .find(|p| p.target.to_string() == "tenant b")
        .unwrap();
    assert_eq!(of_b.unknown, ["20250101000000"]);
    let report = migrator(&pool, &folder)
        .goal(Goal::Prune)
        .reconcile(true)
        .run()
        .unwrap();
    assert!(report.is_success(), "{report:?}");
    assert_eq!(done(&report), ["tenant b"]);
    assert_eq!(versions(&db, "b"), "20260101000000");
}

/// F08.
#[test]
fn who_is_behind_is_known_from_the_ledger_and_nothing_is_written_to_find_out() {
    let db = TestDb::new();
    let pool = db.pool(2);
    tenants(&pool, 30);
    let folder = Folder::with_tags();
    let filter = TenantFilter::new().except(ids(&["t07", "t21"]));
    let report = migrator(&pool, &folder)
        .run_selected(&Selection::Matching(filter))
        .unwrap();
    assert_eq!(done(&report).len(), 30);
    assert!(!has(&db, "t07", "tags") && !has(&db, "__template__", "tags"));
    let snapshot = "SELECT md5(string_agg(xmin::text || l::text, ',' ORDER BY incarnation)) FROM boardinghouse.ledger AS l";
    let before = db.value(snapshot);
    let plan = migrator(&pool, &folder).plan(&Selection::All).unwrap();
    let behind: Vec<String> = plan
        .targets
        .iter()
        .filter(|planned| !planned.is_done())
        .map(|planned| planned.target.to_string())
        .collect();
    assert_eq!(
        behind,
        ["template __template__", "tenant t07", "tenant t21"]
    );
    assert_eq!(db.value(snapshot), before);
    let error = migrator(&pool, &folder).require_current().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MigrationsPending);
    assert!(error.to_string().contains("2 more"), "{error}");
    migrator(&pool, &folder).run_at_start().unwrap();
    migrator(&pool, &folder).require_current().unwrap();
}

/// F10.
#[test]
fn there_are_never_more_connections_than_jobs_and_one() {
    let db = TestDb::new();
    let pool = db.pool(1);
    tenants(&pool, 24);
    let count = "CREATE TABLE seen AS SELECT count(*)::int AS n FROM pg_catalog.pg_stat_activity \
                 WHERE datname = current_database() AND backend_type = 'client backend' \
                 AND application_name <> 'boardinghouse listener'";
    let folder = Folder::new().add("2026-02-01-000000_seen", count);
    let fleet = |jobs: usize| migrator(&pool, &folder).jobs(jobs).batch_size(2);
    fleet(3).run().unwrap().into_result().unwrap();
    // The pool's own connection, the run's, and the jobs'.
    let seen: Vec<i32> = (0..24)
        .map(|number| {
            db.value(&format!("SELECT max(n) FROM t{number:02}.seen"))
                .parse()
                .unwrap()
        })
        .collect();
    assert!(seen.iter().all(|n| *n <= 1 + 1 + 3), "{seen:?}");
}

/// F12.
#[test]
fn tenants_come_in_the_order_that_was_asked_for() {
    let db = TestDb::new();
    let pool = db.pool(1);
    tenants(&pool, 5);
    let order = |folder: &Folder, by: &str| {
        let filter = TenantFilter::new().order_by(by);
        let report = migrator(&pool, folder)
            .run_selected(&Selection::Matching(filter))
            .unwrap();
        let names = report
            .entries
            .iter()
            .map(|e| e.target.tenant_id().unwrap().to_string());
        names.collect::<Vec<_>>().join(" ")
    };
    let folder = Folder::with_tags();
    assert_eq!(order(&folder, "seats"), "t00 t01 t02 t03 t04 a b");
    assert_eq!(order(&folder, "-seats"), "t04 t03 t02 t01 t00 a b");
    assert_eq!(order(&folder, "plan"), "t00 t02 t04 t01 t03 a b");
    assert_eq!(order(&folder, "nothing"), "a b t00 t01 t02 t03 t04");
}

/// F14, T16.
#[test]
fn one_bad_tenant_of_ten_fails_alone() {
    // One that calls a function, and one that does not: batches note them otherwise.
    let check = ("CHECK (body <> 'bad')", "23514");
    let unique = ("UNIQUE (body)", "23505");
    for ((constraint, sqlstate), jobs, on_error) in [
        (check, 1, OnError::Continue),
        (check, 8, OnError::Continue),
        (check, 1, OnError::Stop),
        (check, 8, OnError::Stop),
        (unique, 1, OnError::Continue),
        (unique, 8, OnError::Continue),
        (unique, 1, OnError::Stop),
        (unique, 8, OnError::Stop),
    ] {
        let db = TestDb::new();
        let pool = db.pool(2);
        tenants(&pool, 10);
        db.sql("INSERT INTO t04.notes (body) VALUES ('bad'), ('bad')");
        let folder = Folder::with_tags().add(
            MORE,
            &format!(
                "CREATE TABLE half (id int);\nALTER TABLE notes ADD CONSTRAINT good {constraint}"
            ),
        );
        let fleet = || {
            migrator(&pool, &folder)
                .jobs(jobs)
                .batch_size(4)
                .on_error(on_error)
        };
        let report = fleet().run().unwrap();
        assert!(!report.is_success());
        let failed: Vec<_> = report.failures().collect();
        assert_eq!(failed.len(), 1, "{report:?}");
        assert_eq!(failed[0].target.to_string(), "tenant t04");
        assert_eq!(failed[0].applied, [TAGS], "what came before stays");
        let details = failed[0].failed.as_ref().unwrap();
        assert_eq!(details.migration, MORE);
        assert_eq!(details.sqlstate.as_deref(), Some(sqlstate));
        assert!(
            details
                .statement
                .as_ref()
                .unwrap()
                .starts_with("ALTER TABLE notes")
        );
        assert!(
            failed[0].error_message().contains("good"),
            "{}",
            failed[0].error_message()
        );
        assert!(!has(&db, "t04", "half") && has(&db, "t04", "tags"));
        match on_error {
            OnError::Continue => {
                assert_eq!(report.stopped, None);
                assert_eq!(done(&report).len(), 13);
            }
            _ => {
                assert!(report.stopped.as_ref().unwrap().contains("failed"));
                if jobs == 1 {
                    assert!(skipped(&report) >= 4, "{report:?}");
                    assert!(!has(&db, "t09", "half"));
                }
                assert_eq!(report.entries.len(), 15, "all are in the report");
            }
        }
        db.sql("DELETE FROM t04.notes WHERE body = 'bad'");
        let report = fleet().run().unwrap();
        assert!(report.is_success());
        if on_error == OnError::Continue {
            assert_eq!(done(&report), ["tenant t04"]);
        }
        assert_eq!(versions(&db, "t04"), versions(&db, "t09"));
        assert!(has(&db, "t09", "half"));
        assert_eq!(db.value("SELECT body FROM public.notes"), BAIT);
    }
}

#[test]
fn a_run_stops_when_too_many_fail() {
    let db = TestDb::new();
    let pool = db.pool(2);
    tenants(&pool, 12);
    for number in [1, 2, 3] {
        db.sql(&format!(
            "INSERT INTO t{number:02}.notes (body) VALUES ('bad')"
        ));
    }
    let folder = Folder::new().add(MORE, "ALTER TABLE notes ADD CHECK (body <> 'bad')");
    let fleet = |most| {
        migrator(&pool, &folder)
            .jobs(1)
            .batch_size(1)
            .max_failures(most)
    };
    let report = fleet(1).run().unwrap();
    assert_eq!(report.failures().count(), 2);
    assert_eq!(report.stopped.as_deref(), Some("2 tenants failed"));
    assert!(skipped(&report) > 0);
    let report = fleet(3).run().unwrap();
    assert_eq!((report.failures().count(), report.stopped), (3, None));
    assert!(!versions(&db, "t11").ends_with("20260101000000"));
}

#[test]
fn the_sqlstate_and_the_statement_are_told_for_errors_that_diesel_does_not_know() {
    let db = TestDb::new();
    let pool = db.pool(1);
    db.sql("CREATE TABLE a.tags (id int)");
    let folder = Folder::with_tags();
    let report = migrator(&pool, &folder).run().unwrap();
    let failed = report.failures().next().unwrap().failed.clone().unwrap();
    assert_eq!(failed.sqlstate.as_deref(), Some("42P07"));
    assert_eq!(
        failed.statement.as_deref(),
        Some("CREATE TABLE tags (id serial PRIMARY KEY)")
    );
}

#[test]
fn text_that_is_left_open_fails_alone_and_takes_nothing_along() {
    for text in [
        "CREATE TABLE half (id int); COMMENT ON TABLE half IS 'open",
        "CREATE TABLE half (id int); /* open",
        "CREATE TABLE half (id int); DO $$ BEGIN NULL; END",
        "CREATE TABLE half (id int); SELECT \"open",
        "DO $$ BEGIN CREATE TABLE half (id int); COMMIT; END $$",
        "CREATE TABLE half (id int); COMMIT",
    ] {
        let db = TestDb::new();
        let pool = db.pool(1);
        tenants(&pool, 4);
        // The template has it.
        let folder = Folder::new().add(MORE, "CREATE TABLE half (id int)");
        migrator(&pool, &folder)
            .run_selected(&Selection::Shared)
            .unwrap()
            .into_result()
            .unwrap();
        folder.put(MORE, text);
        let filter = TenantFilter::new();
        let report = migrator(&pool, &folder)
            .run_selected(&Selection::Matching(filter))
            .unwrap();
        // A comment that is left open is none to the server either: it is an error there, too.
        assert_eq!(report.failures().count(), 6, "{text}: {report:?}");
        for schema in ["a", "b", "t00", "t03"] {
            assert_eq!(versions(&db, schema), "20260101000000", "{text}");
        }
        assert_eq!(
            db.tables("public"),
            "__diesel_schema_migrations,notes,users"
        );
    }
}

#[test]
fn what_functions_leave_in_the_session_does_not_reach_the_next_tenant_of_a_batch() {
    let db = TestDb::new();
    let pool = db.pool(1);
    tenants(&pool, 6);
    db.sql(
        "CREATE FUNCTION public.leave() RETURNS text LANGUAGE sql AS \
         $$ SELECT pg_catalog.set_config('app.seen', 'yes', false) || \
            pg_catalog.set_config('lock_timeout', '0', false) || \
            pg_catalog.set_config('search_path', 'public', false) $$",
    );
    let folder = Folder::new().add(
        MORE,
        "CREATE TABLE fresh (was text); \
         INSERT INTO fresh SELECT coalesce(nullif(current_setting('app.seen', true), ''), 'no'); \
         SELECT public.leave()",
    );
    let report = migrator(&pool, &folder).jobs(1).run().unwrap();
    assert!(report.is_success(), "{report:?}");
    for schema in ["a", "b", "t00", "t01", "t05"] {
        assert_eq!(
            db.value(&format!("SELECT was FROM {schema}.fresh")),
            "no",
            "{schema}"
        );
    }
    assert_eq!(
        db.tables("public"),
        "__diesel_schema_migrations,notes,users"
    );
}

/// F16.
#[test]
fn an_atomic_run_migrates_all_or_none() {
    let db = TestDb::new();
    let pool = db.pool(2);
    tenants(&pool, 5);
    db.sql("INSERT INTO t04.notes (body) VALUES ('bad')");
    let folder = Folder::with_tags().add(MORE, "ALTER TABLE notes ADD CHECK (body <> 'bad')");
    let fleet = || migrator(&pool, &folder).atomic(true);
    let report = fleet().run().unwrap();
    let failed: Vec<_> = report.failures().map(|e| e.target.to_string()).collect();
    assert_eq!(failed, ["tenant t04"], "{report:?}");
    assert!(done(&report).is_empty());
    for schema in ["a", "b", "t00", "t03", "t04", "__template__"] {
        assert_eq!(versions(&db, schema), "20260101000000");
        assert!(!has(&db, schema, "tags"));
    }
    db.sql("DELETE FROM t04.notes");
    let report = fleet().run().unwrap();
    assert!(report.is_success(), "{report:?}");
    assert_eq!(done(&report).len(), 8);
    let locks = report.locks.unwrap();
    let off = (locks.predicted - locks.held).abs() * 100 / locks.held;
    assert!(off <= 10, "{locks:?}");
    assert!(fleet().run().unwrap().is_success());
}

#[test]
fn an_atomic_run_that_needs_too_many_locks_is_refused_with_the_setting() {
    let db = TestDb::new();
    let pool = db.pool(2);
    tenants(&pool, 20);
    let room: usize = db
        .value(
            "SELECT current_setting('max_locks_per_transaction')::int \
             * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int)",
        )
        .parse()
        .unwrap();
    let folder = Folder::new().add(
        MORE,
        &format!(
            "CREATE TABLE m0 (id int); \
             SELECT count(pg_advisory_xact_lock(hashtext(current_schema()), n)) FROM generate_series(1, {}) AS n",
            room / 20
        ),
    );
    let error = migrator(&pool, &folder).atomic(true).run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(
        error.to_string().contains("max_locks_per_transaction"),
        "{error}"
    );
    assert_eq!(versions(&db, "__template__"), "20260101000000");
    assert!(!has(&db, "a", "m0"));
    let folder = Folder::new()
        .add(MORE, "SELECT 1")
        .without_transaction(MORE);
    let error = migrator(&pool, &folder).atomic(true).run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

/// F17.
#[test]
fn several_instances_that_start_at_once_migrate_once() {
    let db = TestDb::new();
    tenants(&db.pool(1), 10);
    let folder = Folder::new().add(MORE, "INSERT INTO notes (body) VALUES ('once')");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| migrator(&db.pool(1), &folder).run_at_start().unwrap());
        }
    });
    for number in 0..10 {
        let count = format!("SELECT count(*) FROM t{number:02}.notes WHERE body = 'once'");
        assert_eq!(db.value(&count), "1");
    }
}

struct Named;

impl TenantMigration for Named {
    fn name(&self) -> &str {
        "2026-02-03-000000_named"
    }

    fn skips_template(&self) -> bool {
        true
    }

    fn run(&self, conn: &mut PgConnection, at: &MigrationContext<'_>) -> Result<()> {
        assert_eq!(at.shared().as_str(), "public");
        let name = at.tenant().map(ToString::to_string).unwrap_or_default();
        diesel::sql_query("INSERT INTO notes (body) VALUES ('I am ' || $1)")
            .bind::<diesel::sql_types::Text, _>(name)
            .execute(conn)?;
        Ok(())
    }
}

/// F18.
#[test]
fn a_migration_in_rust_knows_its_tenant() {
    let db = TestDb::new();
    let pool = db.pool(1);
    tenants(&pool, 5);
    let folder = Folder::with_tags();
    let fleet = || migrator(&pool, &folder).tenant_migration(Named);
    let report = fleet().run().unwrap();
    assert!(report.is_success(), "{report:?}");
    for schema in ["a", "t00", "t04"] {
        let own =
            format!("SELECT string_agg(body, ',') FROM {schema}.notes WHERE body LIKE 'I am %'");
        assert_eq!(db.value(&own), format!("I am {schema}"));
        assert_eq!(
            versions(&db, schema),
            "20260101000000,20260201000000,20260203000000"
        );
    }
    assert_eq!(
        db.value("SELECT count(*) FROM __template__.notes WHERE body LIKE 'I am %'"),
        "0"
    );
    assert_eq!(
        versions(&db, "__template__"),
        "20260101000000,20260201000000,20260203000000"
    );
    let error = fleet()
        .goal(Goal::Revert(1))
        .run_selected(&Selection::Only(ids(&["a"])));
    let report = error.unwrap();
    assert!(
        report.entries[0]
            .error_message()
            .contains("cannot be taken back")
    );
    assert_eq!(db.value("SELECT body FROM public.notes"), BAIT);
}

/// A source that is not known to be text.
struct Wrapped(EmbeddedMigrations, Arc<AtomicUsize>);

impl MigrationSource<Pg> for Wrapped {
    fn migrations(&self) -> diesel::migration::Result<Vec<Box<dyn Migration<Pg>>>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.migrations()
    }
}

const TENANT: EmbeddedMigrations = embed_migrations!("migrations/tenant");

#[test]
fn any_source_of_diesels_works() {
    let db = TestDb::empty();
    let pool = db.pool(1);
    let read = Arc::new(AtomicUsize::new(0));
    let fleet = || {
        Migrator::new(pool.clone())
            .shared(SHARED)
            .tenants(Wrapped(TENANT, Arc::clone(&read)))
    };
    fleet().run().unwrap().into_result().unwrap();
    assert!(read.load(Ordering::Relaxed) > 0);
    assert_eq!(
        db.tables("__template__"),
        "__diesel_schema_migrations,notes"
    );
    assert!(fleet().plan(&Selection::All).unwrap().is_empty());
}

/// F20.
#[test]
fn named_templates_are_migrated_before_tenants() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let registry = PgRegistry::new(pool.clone());
    let demo = SchemaName::existing("demo").unwrap();
    assert_eq!(
        registry.add_named_template(&demo).unwrap_err().kind(),
        ErrorKind::SchemaUnavailable
    );
    let a = SchemaName::existing("a").unwrap();
    assert_eq!(
        registry.add_named_template(&a).unwrap_err().kind(),
        ErrorKind::TenantExists
    );
    let template = SchemaName::existing("__template__").unwrap();
    assert!(registry.add_named_template(&template).is_err());
    boardinghouse_core::Template::new(a)
        .with_data()
        .clone_to(&mut db.connect(), &demo)
        .unwrap();
    registry.add_named_template(&demo).unwrap();
    registry.add_named_template(&demo).unwrap();
    assert_eq!(
        registry.named_templates().unwrap(),
        *std::slice::from_ref(&demo)
    );
    let folder = Folder::with_tags();
    let report = migrator(&pool, &folder).run().unwrap();
    assert_eq!(
        done(&report),
        [
            "template __template__",
            "template demo",
            "tenant a",
            "tenant b"
        ]
    );
    assert!(
        migrator(&pool, &folder)
            .plan(&Selection::All)
            .unwrap()
            .is_empty()
    );
    // One that cannot be migrated keeps all tenants back.
    db.sql("CREATE TABLE demo.more (id int)");
    let folder = folder.add(MORE, "CREATE TABLE more (id int)");
    let report = migrator(&pool, &folder).run().unwrap();
    assert_eq!(report.failures().count(), 1);
    assert_eq!(skipped(&report), 2);
    assert!(registry.remove_named_template(&demo).unwrap());
    assert!(!registry.remove_named_template(&demo).unwrap());
    migrator(&pool, &folder)
        .run()
        .unwrap()
        .into_result()
        .unwrap();
    assert!(has(&db, "demo", "more") && has(&db, "a", "more"));
}

/// F25.
#[test]
fn hooks_run_once_a_schema_inside_its_path() {
    let db = TestDb::new();
    let pool = db.pool(1);
    tenants(&pool, 3);
    let folder = Folder::with_tags();
    let fleet = || {
        migrator(&pool, &folder)
            .before_each(|conn, at| {
                if at.tenant().is_some_and(|id| id.as_str() == "t02") {
                    return Err(boardinghouse_core::Error::new(
                        ErrorKind::InvalidInput,
                        "not this one",
                    ));
                }
                conn.batch_execute("INSERT INTO notes (body) VALUES ('before')")?;
                Ok(())
            })
            .after_each(|conn, _| {
                conn.batch_execute(
                    "INSERT INTO notes (body) SELECT 'after ' || count(*) FROM tags",
                )?;
                Ok(())
            })
    };
    let report = fleet().run().unwrap();
    let failed: Vec<_> = report.failures().map(|e| e.target.to_string()).collect();
    assert_eq!(failed, ["tenant t02"]);
    let _ = fleet().run().unwrap();
    for schema in ["a", "t00", "__template__"] {
        let notes = format!(
            "SELECT string_agg(body, ',' ORDER BY id) FROM {schema}.notes WHERE body ~ '^(before|after)'"
        );
        assert_eq!(db.value(&notes), "before,after 0", "{schema}");
    }
    assert!(!has(&db, "t02", "tags"));
    assert_eq!(db.value("SELECT body FROM public.notes"), BAIT);
}

/// F28.
#[test]
fn a_part_of_the_fleet_goes_first() {
    let db = TestDb::new();
    let pool = db.pool(2);
    tenants(&pool, 40);
    let folder = Folder::with_tags();
    let run = |filter: TenantFilter| {
        done(
            &migrator(&pool, &folder)
                .run_selected(&Selection::Matching(filter))
                .unwrap(),
        )
    };
    let paid = || {
        TenantFilter::new()
            .attributes(json!({"plan": "paid"}))
            .unwrap()
    };
    assert_eq!(
        run(paid().order_by("-seats").limit(Limit::Count(2))),
        ["tenant t39", "tenant t37"]
    );
    // 20 tenants: one.
    assert_eq!(run(paid().limit(Limit::Percent(5.0))), ["tenant t01"]);
    assert_eq!(
        run(TenantFilter::new()
            .only(ids(&["a", "t02"]))
            .except(ids(&["a"]))),
        ["tenant t02"]
    );
    assert!(run(paid().limit(Limit::Count(0))).is_empty());
    let ghost = TenantFilter::new().except(ids(&["ghost"]));
    let error = migrator(&pool, &folder)
        .run_selected(&Selection::Matching(ghost))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TenantNotFound);
    assert!(
        migrator(&pool, &folder)
            .run_selected(&Selection::Only(Vec::new()))
            .unwrap()
            .entries
            .is_empty()
    );
    assert!(!has(&db, "__template__", "tags"));
    migrator(&pool, &folder)
        .run()
        .unwrap()
        .into_result()
        .unwrap();
    assert!(has(&db, "t38", "tags"));
}

#[test]
fn groups_are_migrated_in_order_and_a_gate_stops_the_rest() {
    let db = TestDb::new();
    let pool = db.pool(2);
    tenants(&pool, 6);
    let folder = Folder::with_tags();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let fleet = |open: bool| {
        let asked = Arc::clone(&asked);
        let canaries = TenantFilter::new().only(ids(&["t03"]));
        let paid = TenantFilter::new()
            .attributes(json!({"plan": "paid"}))
            .unwrap();
        migrator(&pool, &folder)
            .group(Group::new("canaries", canaries).bake(Duration::from_millis(1)))
            .group(Group::new("paid", paid).jobs(1).gate(move |group| {
                asked.lock().unwrap().push(group.to_owned());
                if open {
                    Ok(())
                } else {
                    Err("the gate is shut".into())
                }
            }))
    };
    let mut events = Vec::new();
    let report = fleet(false)
        .apply_with(&Selection::All, &mut |event| match event {
            RunEvent::Tenants { group, all, behind } => {
                events.push(format!("{} {all} {behind}", group.unwrap_or("rest")));
            }
            RunEvent::Baking { group, .. } => events.push(format!("bake {group}")),
            RunEvent::Done(_) => {}
            _ => events.push("?".into()),
        })
        .unwrap();
    assert_eq!(events, ["canaries 1 1", "bake canaries", "paid 2 2"]);
    assert_eq!(
        report.stopped.as_deref(),
        Some("after group paid: the gate is shut")
    );
    assert_eq!(
        done(&report),
        [
            "template __template__",
            "tenant t03",
            "tenant t01",
            "tenant t05"
        ]
    );
    assert_eq!(skipped(&report), 5);
    assert_eq!(
        report.into_result().unwrap_err().kind(),
        ErrorKind::MigrationsPending
    );
    // A gate that is shut does not open by itself; and where a tenant fails, the others go on.
    let report = fleet(false).run().unwrap();
    assert_eq!(
        report.stopped.as_deref(),
        Some("after group paid: the gate is shut")
    );
    assert!(done(&report).is_empty() && !has(&db, "a", "tags"));
    db.sql("CREATE TABLE t00.tags (id int)");
    let report = fleet(true).run().unwrap();
    assert_eq!(report.failures().count(), 1);
    assert_eq!(
        done(&report),
        ["tenant a", "tenant b", "tenant t02", "tenant t04"]
    );
    assert_eq!(*asked.lock().unwrap(), ["paid"; 3]);
    let ghosts = TenantFilter::new().only(ids(&["ghost"]));
    let ghosts = migrator(&pool, &folder).group(Group::new("ghosts", ghosts));
    assert_eq!(ghosts.run().unwrap_err().kind(), ErrorKind::TenantNotFound);
    let folder = folder.add(MORE, "CREATE TABLE more (id int)");
    db.sql("CREATE TABLE t03.more (id int)");
    let canaries = TenantFilter::new().only(ids(&["t03"]));
    let report = migrator(&pool, &folder)
        .group(Group::new("canaries", canaries).on_error(OnError::Stop))
        .run()
        .unwrap();
    assert!(
        report.stopped.as_ref().unwrap().contains("canaries"),
        "{report:?}"
    );
    assert!(!has(&db, "a", "more"));
}

#[test]
fn a_run_that_is_interrupted_leaves_the_rest_and_goes_on_the_next_time() {
    let db = TestDb::new();
    let pool = db.pool(1);
    tenants(&pool, 12);
    let folder = Folder::with_tags();
    let fleet = migrator(&pool, &folder).jobs(1).batch_size(1);
    let stop = fleet.stop_switch();
    let report = fleet
        .apply_with(&Selection::All, &mut |event| {
            if let RunEvent::Done(entry) = event
                && entry.target.to_string() == "tenant b"
            {
                stop.store(true, Ordering::Relaxed);
            }
        })
        .unwrap();
    assert!(report.is_success());
    assert!(report.stopped.as_ref().unwrap().contains("interrupted"));
    assert!(skipped(&report) > 0 && has(&db, "b", "tags") && !has(&db, "t11", "tags"));
    let report = migrator(&pool, &folder).run().unwrap();
    assert!(report.is_success() && report.stopped.is_none());
    assert!(has(&db, "t11", "tags"));
}

#[test]
fn a_tenant_that_somebody_locks_keeps_nobody_else_back() {
    let db = TestDb::new();
    let pool = db.pool(1);
    tenants(&pool, 8);
    let folder = Folder::new().add(MORE, "ALTER TABLE notes ADD COLUMN more text");
    let mut other = db.connect();
    other
        .batch_execute("BEGIN; LOCK TABLE t03.notes IN ACCESS SHARE MODE")
        .unwrap();
    let fleet = || {
        migrator(&pool, &folder)
            .jobs(2)
            .lock_timeout(Duration::from_millis(30))
            .lock_wait(Duration::from_millis(200))
    };
    let report = fleet().run().unwrap();
    assert_eq!(done(&report).len(), 10);
    let failed = report.failures().next().unwrap();
    assert_eq!(failed.target.to_string(), "tenant t03");
    let details = failed.failed.as_ref().unwrap();
    assert_eq!(details.sqlstate.as_deref(), Some("55P03"), "{failed:?}");
    // When the lock is let go of while it is tried again, it goes well.
    let mut other = Some(other);
    let report = fleet()
        .lock_wait(Duration::from_secs(60))
        .apply_with(&Selection::All, &mut |event| {
            if let RunEvent::Tenants { .. } = event {
                other = None;
            }
        })
        .unwrap();
    assert!(report.is_success(), "{report:?}");
    assert_eq!(done(&report), ["tenant t03"]);
}

#[test]
fn a_server_process_that_dies_costs_a_connection_and_nothing_else() {
    let db = TestDb::new();
    let pool = db.pool(1);
    tenants(&pool, 20);
    let folder = Folder::with_tags().add(MORE, "INSERT INTO notes (body) VALUES ('once')");
    // Once in each schema, at its second command, by whoever is first.
    db.sql(
        "CREATE TABLE public.left_to_kill (n int); INSERT INTO public.left_to_kill SELECT 1 FROM generate_series(1, 3);
         CREATE EXTENSION IF NOT EXISTS plpgsql;
         CREATE FUNCTION public.reap() RETURNS event_trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF current_schema() = 't07' AND coalesce(nullif(current_setting('reap.no', true), ''), 'x') = 'x'
                AND pg_try_advisory_xact_lock(77, 1) AND (SELECT setval('public.reaped', nextval('public.reaped'))) <= 3 THEN
                 PERFORM pg_terminate_backend(pg_backend_pid());
             END IF;
         END $$;
         CREATE SEQUENCE public.reaped;
         CREATE EVENT TRIGGER reap ON ddl_command_end EXECUTE FUNCTION public.reap()",
    );
    let report = migrator(&pool, &folder)
        .jobs(2)
        .batch_size(8)
        .run()
        .unwrap();
    assert!(report.is_success(), "{report:?}");
    assert_ne!(db.value("SELECT last_value FROM public.reaped"), "1");
    for schema in ["a", "t06", "t07", "t08", "t19"] {
        assert_eq!(
            db.value(&format!(
                "SELECT count(*) FROM {schema}.notes WHERE body = 'once'"
            )),
            "1"
        );
        assert_eq!(versions(&db, schema), versions(&db, "__template__"));
    }
}

#[test]
fn the_ledger_can_be_rebuilt_from_the_schemas() {
    let db = TestDb::new();
    let pool = db.pool(1);
    tenants(&pool, 3);
    let folder = Folder::with_tags();
    migrator(&pool, &folder)
        .run()
        .unwrap()
        .into_result()
        .unwrap();
    // By hand, so the ledger does not know.
    db.sql("DROP TABLE t01.tags; DELETE FROM t01.__diesel_schema_migrations WHERE version = '20260201000000'");
    assert!(
        migrator(&pool, &folder)
            .plan(&Selection::All)
            .unwrap()
            .is_empty()
    );
    let honest = migrator(&pool, &folder).reconcile(true);
    assert!(!honest.plan(&Selection::All).unwrap().is_empty());
    let report = honest.run().unwrap();
    assert_eq!(done(&report), ["tenant t01"]);
    assert_eq!(versions(&db, "t01"), "20260101000000,20260201000000");
    // A migration that the schema has, and of which the ledger knows nothing, does not run twice.
    db.sql("DELETE FROM boardinghouse.ledger; UPDATE boardinghouse.tenants SET display_name = id");
    db.sql("INSERT INTO boardinghouse.ledger (incarnation, schema_oid, versions) \
            SELECT incarnation, schema_name::regnamespace, '{20260101000000}' FROM boardinghouse.tenants");
    let report = migrator(&pool, &folder).run().unwrap();
    assert!(report.is_success(), "{report:?}");
    for schema in ["a", "t00", "t01", "t02"] {
        assert_eq!(versions(&db, schema), "20260101000000,20260201000000");
    }
    // A schema that was replaced is asked again.
    db.sql("DROP SCHEMA t02 CASCADE; CREATE SCHEMA t02");
    let report = migrator(&pool, &folder).run().unwrap();
    assert!(report.is_success(), "{report:?}");
    assert_eq!(done(&report), ["tenant t02"]);
    assert_eq!(db.tables("t02"), "__diesel_schema_migrations,notes,tags");
}

#[test]
fn tenants_that_are_cloned_from_others_meanwhile_join() {
    let db = TestDb::new();
    let pool = db.pool(2);
    tenants(&pool, 2);
    let folder = Folder::with_tags();
    let provisioner = Provisioner::new(pool.clone());
    let made = AtomicUsize::new(0);
    let report = migrator(&pool, &folder)
        .jobs(1)
        .apply_with(&Selection::All, &mut |event| {
            // Before any tenant is migrated: a copy of one that is behind.
            if let RunEvent::Tenants { .. } = event
                && made.fetch_add(1, Ordering::Relaxed) == 0
            {
                let copy = NewTenant::new("copy".parse().unwrap())
                    .copy_of(SchemaName::existing("t00").unwrap());
                provisioner.create(&copy).unwrap();
            }
        })
        .unwrap();
    assert!(report.is_success(), "{report:?}");
    assert!(
        done(&report).contains(&"tenant copy".to_owned()),
        "{report:?}"
    );
    assert!(has(&db, "copy", "tags"));
}

/// Acceptance: no error reaches whoever uses the tenants meanwhile, and nobody is deadlocked.
#[test]
fn requests_go_on_while_their_tenants_are_migrated() {
    let db = TestDb::new();
    let pool = db.pool(8);
    let all = tenants(&pool, 16);
    // What is migrated in batches,
    let folder = Folder::with_tags().add(
        MORE,
        "ALTER TABLE notes ADD COLUMN more text; CREATE INDEX notes_more ON notes (more)",
    );
    let over = std::sync::atomic::AtomicBool::new(false);
    let made = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let (pool, all, over, made) = (&pool, &all, &over, &made);
            scope.spawn(move || {
                let mut number = worker;
                while !over.load(Ordering::Relaxed) {
                    number += 1;
                    let tenant = boardinghouse_tests::tenant(pool, &all[number % all.len()]);
                    let mut conn = pool.get(&tenant).unwrap();
                    conn.transaction(|conn| {
                        boardinghouse_tests::add_note(conn, "live")?;
                        let found = boardinghouse_tests::bodies(conn)?;
                        assert!(!found.iter().any(|body| body == BAIT));
                        QueryResult::Ok(())
                    })
                    .unwrap();
                    made.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        boardinghouse_tests::until(|| made.load(Ordering::Relaxed) > 16);
        let run = |folder: &Folder| migrator(&pool, folder).jobs(4).batch_size(4).run();
        let first = run(&folder);
        // and what is not.
        let (both, alone) = ("2026-02-03-000000_both", "2026-02-04-000000_alone");
        let folder = folder
            .add(
                both,
                "ALTER TABLE tags ADD COLUMN note int REFERENCES notes; UPDATE notes SET more = body",
            )
            .add(alone, "CREATE INDEX CONCURRENTLY notes_body ON notes (body)")
            .without_transaction(alone);
        let second = run(&folder);
        over.store(true, Ordering::Relaxed);
        for report in [first.unwrap(), second.unwrap()] {
            assert!(report.is_success(), "{report:?}");
        }
    });
    for schema in &all {
        assert_eq!(versions(&db, schema), versions(&db, "__template__"));
        assert_eq!(versions(&db, schema).split(',').count(), 5);
    }
    drop(pool);
    boardinghouse_tests::no_deadlock(&db);
    assert_eq!(db.value("SELECT body FROM public.notes"), BAIT);
}

/// What is said of how many to take back is settled before the first is: nobody loses more, however often it
/// is tried, and whoever was behind loses nothing older.
#[test]
fn no_tenant_loses_more_than_the_template() {
    let db = TestDb::new();
    let pool = db.pool(2);
    tenants(&pool, 3);
    let folder = Folder::with_tags();
    folder.pair_in_place(
        TAGS,
        "CREATE TABLE tags (id serial PRIMARY KEY)",
        "DROP TABLE tags",
    );
    folder.pair_in_place(
        "2026-01-01-000000_first",
        include_str!("migrations/tenant/2026-01-01-000000_first/up.sql"),
        "DROP TABLE notes",
    );
    let folder = folder.pair(MORE, "CREATE TABLE more (id int)", "DROP TABLE more");
    migrator(&pool, &folder)
        .run()
        .unwrap()
        .into_result()
        .unwrap();
    // One is behind, and in one the second step has to wait.
    let behind = Selection::Only(ids(&["t00"]));
    let back = |goal| migrator(&pool, &folder).goal(goal);
    back(Goal::Version(TAGS.into()))
        .run_selected(&behind)
        .unwrap()
        .into_result()
        .unwrap();
    let mut other = db.connect();
    other
        .batch_execute("BEGIN; LOCK TABLE t01.tags IN ACCESS SHARE MODE")
        .unwrap();
    let mut other = Some(other);
    let report = back(Goal::Revert(2))
        .lock_timeout(Duration::from_millis(30))
        .apply_with(&Selection::Tenants, &mut |event| {
            if let RunEvent::Done(entry) = event
                && entry.target.to_string() == "tenant t02"
            {
                other = None;
            }
        })
        .unwrap();
    assert!(report.is_success(), "{report:?}");
    for schema in ["a", "b", "t00", "t01", "t02", "__template__"] {
        assert_eq!(versions(&db, schema), "20260101000000", "{schema}");
        assert!(has(&db, schema, "notes"), "{schema}");
    }
    // One that does not get through says what to ask for.
    migrator(&pool, &folder)
        .run()
        .unwrap()
        .into_result()
        .unwrap();
    let mut other = db.connect();
    other
        .batch_execute("BEGIN; LOCK TABLE t01.more IN ACCESS SHARE MODE")
        .unwrap();
    let report = back(Goal::Revert(1))
        .lock_timeout(Duration::from_millis(20))
        .lock_wait(Duration::from_millis(100))
        .run_selected(&Selection::Tenants)
        .unwrap();
    assert_eq!(report.failures().count(), 1);
    assert_eq!(report.resume, Some(Goal::Version("20260201000000".into())));
    drop(other);
    let report = back(report.resume.unwrap())
        .run_selected(&Selection::Tenants)
        .unwrap();
    assert_eq!(done(&report), ["tenant t01"]);
    assert_eq!(versions(&db, "t01"), "20260101000000,20260201000000");
}

#[test]
fn triggers_that_are_put_off_fire_in_their_own_tenant() {
    for atomic in [false, true] {
        let db = TestDb::new();
        let pool = db.pool(1);
        tenants(&pool, 6);
        for schema in ["a", "b", "t00", "t01", "t02", "t03", "t04", "t05"] {
            db.sql(&format!(
                "CREATE TABLE {schema}.trail (line text);
                 CREATE FUNCTION {schema}.note() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN INSERT INTO trail VALUES (NEW.body); RETURN NULL; END $$;
                 INSERT INTO {schema}.notes (body) VALUES ('of {schema}');
                 CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON {schema}.notes DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION {schema}.note()"
            ));
        }
        let folder = Folder::new().add(MORE, "UPDATE notes SET body = body || '!'");
        let report = migrator(&pool, &folder)
            .jobs(2)
            .atomic(atomic)
            .run()
            .unwrap();
        assert!(report.is_success(), "{report:?}");
        for schema in ["t00", "t03", "t05"] {
            let own = format!("SELECT string_agg(line, ',') FROM {schema}.trail");
            assert_eq!(db.value(&own), format!("of {schema}!"), "atomic: {atomic}");
        }
    }
}

#[test]
fn triggers_of_a_schemas_own_table_fire_in_their_own_tenant() {
    let put_off = "CREATE CONSTRAINT TRIGGER tell AFTER INSERT OR DELETE ON";
    for (begin, end) in [
        ("CREATE TRIGGER tell AFTER INSERT OR DELETE ON", ""),
        (put_off, "DEFERRABLE INITIALLY DEFERRED"),
    ] {
        for atomic in [false, true] {
            let db = TestDb::new();
            let pool = db.pool(1);
            let mut all = tenants(&pool, 4);
            all.extend(["a".to_owned(), "b".to_owned()]);
            for schema in &all {
                db.sql(&format!(
                    "CREATE TABLE {schema}.trail (line text);
                     CREATE FUNCTION {schema}.tell() RETURNS trigger LANGUAGE plpgsql AS
                     $$ BEGIN INSERT INTO trail VALUES (TG_OP || ' in {schema}'); RETURN NULL; END $$;
                     {begin} {schema}.__diesel_schema_migrations {end}
                     FOR EACH ROW EXECUTE FUNCTION {schema}.tell()"
                ));
            }
            let folder = Folder::new().pair(
                MORE,
                "ALTER TABLE notes ADD COLUMN more text",
                "ALTER TABLE notes DROP COLUMN more",
            );
            for goal in [
                Goal::Newest,
                Goal::Revert(1),
                Goal::MarkApplied(MORE.into()),
            ] {
                let text = format!("{begin}, atomic: {atomic}, {goal:?}");
                let fleet = migrator(&pool, &folder).jobs(1).atomic(atomic).goal(goal);
                let report = fleet.run_selected(&Selection::Tenants).unwrap();
                assert!(report.is_success(), "{text}: {report:?}");
            }
            for schema in &all {
                let own = format!("SELECT string_agg(line, ',') FROM {schema}.trail");
                assert_eq!(
                    db.value(&own),
                    format!("INSERT in {schema},DELETE in {schema},INSERT in {schema}"),
                    "{begin}, atomic: {atomic}"
                );
                versions(&db, schema);
            }
        }
    }
}

#[test]
fn a_default_of_a_schemas_own_table_is_asked_for_in_its_own_tenant() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let all = tenants(&pool, 4);
    for schema in &all {
        db.sql(&format!(
            "CREATE TABLE {schema}.trail (line text);
             CREATE FUNCTION {schema}.noted() RETURNS timestamp LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO trail VALUES ('of {schema}'); RETURN now(); END $$;
             ALTER TABLE {schema}.__diesel_schema_migrations ALTER run_on SET DEFAULT {schema}.noted()"
        ));
    }
    let folder = Folder::new().add(MORE, "ALTER TABLE notes ADD COLUMN more text");
    let report = migrator(&pool, &folder).jobs(1).run().unwrap();
    assert!(report.is_success(), "{report:?}");
    for schema in &all {
        let own = format!("SELECT string_agg(line, ',') FROM {schema}.trail");
        assert_eq!(db.value(&own), format!("of {schema}"));
    }
}

#[test]
fn a_schemas_own_table_that_does_not_keep_what_is_written_fails_alone() {
    for hides in [
        "CREATE FUNCTION t01.hide() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER hide BEFORE INSERT ON t01.__diesel_schema_migrations
             FOR EACH ROW EXECUTE FUNCTION t01.hide()",
        "CREATE RULE hide AS ON INSERT TO t01.__diesel_schema_migrations DO INSTEAD NOTHING",
    ] {
        let db = TestDb::new();
        let pool = db.pool(1);
        let all = tenants(&pool, 4);
        db.sql(hides);
        let folder = Folder::new().add(MORE, "ALTER TABLE notes ADD COLUMN more text");
        let report = migrator(&pool, &folder).jobs(1).run().unwrap();
        for schema in &all {
            let sick = schema == "t01";
            let expected = if sick {
                "20260101000000"
            } else {
                "20260101000000,20260202000000"
            };
            assert_eq!(versions(&db, schema), expected, "{hides}");
            let has = format!(
                "SELECT count(*) FROM information_schema.columns
                 WHERE table_schema = '{schema}' AND column_name = 'more'"
            );
            assert_eq!(db.value(&has), if sick { "0" } else { "1" }, "{hides}");
        }
        let error = report.into_result().unwrap_err();
        let text = error.chain();
        assert!(text.contains("look at its triggers and rules"), "{text}");
    }
}

/// What of a schema's own table is not as it was made keeps nobody from being migrated.
#[test]
fn a_schemas_own_table_may_have_rules_and_columns_or_be_a_view() {
    for atomic in [false, true] {
        let db = TestDb::new();
        let pool = db.pool(1);
        let all = tenants(&pool, 6);
        db.sql(
            "CREATE TABLE t01.trail (line text);
             CREATE RULE tell AS ON INSERT TO t01.__diesel_schema_migrations
                 DO ALSO INSERT INTO t01.trail VALUES (NEW.version);
             ALTER TABLE t02.__diesel_schema_migrations ADD COLUMN who text NOT NULL DEFAULT current_user;
             ALTER TABLE t03.__diesel_schema_migrations RENAME TO history;
             CREATE VIEW t03.__diesel_schema_migrations AS SELECT version, run_on FROM t03.history;
             ALTER TABLE t04.__diesel_schema_migrations OWNER TO pg_monitor",
        );
        let folder = Folder::new().add(MORE, "ALTER TABLE notes ADD COLUMN more text");
        let report = migrator(&pool, &folder)
            .jobs(1)
            .atomic(atomic)
            .run()
            .unwrap();
        assert!(report.is_success(), "atomic: {atomic}: {report:?}");
        for schema in &all {
            assert_eq!(versions(&db, schema), "20260101000000,20260202000000");
        }
        let trail = "SELECT string_agg(line, ',') FROM t01.trail";
        assert_eq!(db.value(trail), "20260202000000");
    }
}

#[test]
fn rows_do_not_go_from_tenant_to_tenant_by_temporary_tables() {
    for atomic in [false, true] {
        let db = TestDb::new();
        let pool = db.pool(1);
        tenants(&pool, 5);
        for number in 0..5 {
            db.sql(&format!(
                "INSERT INTO t{number:02}.notes (body) VALUES ('secret of t{number:02}')"
            ));
        }
        db.sql(
            "CREATE FUNCTION public.stage() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
                 CREATE TEMP TABLE IF NOT EXISTS stage (body text);
                 INSERT INTO stage SELECT body FROM notes; RETURN 1; END $$",
        );
        let folder = Folder::new().add(
            MORE,
            "CREATE TABLE made AS SELECT public.stage() AS n; \
             CREATE TABLE copied AS SELECT body FROM pg_temp.stage",
        );
        let report = migrator(&pool, &folder)
            .jobs(1)
            .atomic(atomic)
            .run()
            .unwrap();
        assert!(report.is_success(), "{report:?}");
        for schema in ["t00", "t02", "t04"] {
            let own = format!(
                "SELECT string_agg(body, ',') FROM {schema}.copied WHERE body LIKE 'secret%'"
            );
            assert_eq!(
                db.value(&own),
                format!("secret of {schema}"),
                "atomic: {atomic}"
            );
        }
    }
}

#[test]
fn the_time_zone_is_the_same_however_a_tenant_is_migrated() {
    let db = TestDb::new();
    db.sql(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone TO ''America/New_York''', current_database()); END $$",
    );
    let pool = db.pool(1);
    tenants(&pool, 4);
    let folder = Folder::new().add(
        MORE,
        "CREATE TABLE at AS SELECT '2026-01-01 00:00'::timestamptz AS utc, current_setting('timezone') AS zone",
    );
    for atomic in [false, true] {
        if atomic {
            db.sql("DELETE FROM boardinghouse.ledger");
            for schema in ["a", "t00", "t03"] {
                db.sql(&format!("DROP TABLE {schema}.at; DELETE FROM {schema}.__diesel_schema_migrations WHERE version > '20260101000000'"));
            }
        }
        let report = migrator(&pool, &folder).atomic(atomic).run().unwrap();
        assert!(report.is_success(), "{report:?}");
        for schema in ["__template__", "a", "t00", "t03"] {
            assert_eq!(
                db.value(&format!("SELECT zone FROM {schema}.at")),
                "UTC",
                "{schema}, {atomic}"
            );
        }
    }
}

#[test]
fn a_ledger_that_is_wrong_does_not_let_a_migration_run_twice() {
    let db = TestDb::new();
    let pool = db.pool(1);
    tenants(&pool, 3);
    let folder = Folder::with_tags().pair(
        MORE,
        "CREATE TABLE more (id int)",
        "DROP TABLE IF EXISTS more; DROP TABLE IF EXISTS tags",
    );
    migrator(&pool, &folder)
        .run()
        .unwrap()
        .into_result()
        .unwrap();
    // By hand; the ledger says that it is there.
    db.sql("DROP TABLE t01.more; DELETE FROM t01.__diesel_schema_migrations WHERE version = '20260202000000'");
    let report = migrator(&pool, &folder)
        .goal(Goal::Revert(1))
        .run_selected(&Selection::Tenants)
        .unwrap();
    assert!(report.is_success(), "{report:?}");
    assert!(
        has(&db, "t01", "tags"),
        "its down.sql has run though it was not applied"
    );
    assert_eq!(versions(&db, "t01"), "20260101000000,20260201000000");
}

#[test]
fn everything_is_not_forgotten_for_want_of_migrations() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let error = Migrator::new(pool.clone())
        .goal(Goal::Prune)
        .run_selected(&Selection::Tenants);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(versions(&db, "a"), "20260101000000");
}

struct Panics;

impl TenantMigration for Panics {
    fn name(&self) -> &str {
        "2026-02-03-000000_panics"
    }

    fn run(&self, _: &mut PgConnection, at: &MigrationContext<'_>) -> Result<()> {
        assert!(
            at.tenant().is_none_or(|id| id.as_str() != "t01"),
            "on purpose"
        );
        Ok(())
    }
}

#[test]
fn a_migration_that_panics_fails_alone() {
    let db = TestDb::new();
    let pool = db.pool(1);
    tenants(&pool, 4);
    let report = migrator(&pool, &Folder::new())
        .tenant_migration(Panics)
        .jobs(2)
        .run()
        .unwrap();
    let failed: Vec<_> = report.failures().collect();
    assert_eq!(failed.len(), 1, "{report:?}");
    assert_eq!(failed[0].target.to_string(), "tenant t01");
    assert!(matches!(&failed[0].outcome, Outcome::Failed(e) if e.kind() == ErrorKind::Panicked));
    assert_eq!(versions(&db, "t03"), "20260101000000,20260203000000");
}

#[test]
fn a_history_that_cannot_be_read_fails_alone() {
    let db = TestDb::new();
    let pool = db.pool(1);
    tenants(&pool, 3);
    db.sql("ALTER TABLE t01.__diesel_schema_migrations RENAME version TO edition");
    let folder = Folder::with_tags();
    let plan = migrator(&pool, &folder).plan(&Selection::All).unwrap();
    let of_it = plan
        .targets
        .iter()
        .find(|p| p.target.to_string() == "tenant t01")
        .unwrap();
    assert!(of_it.blocked.is_some());
    let report = migrator(&pool, &folder).run().unwrap();
    let failed: Vec<_> = report.failures().map(|e| e.target.to_string()).collect();
    assert_eq!(failed, ["tenant t01"]);
    assert!(has(&db, "t02", "tags") && !has(&db, "t01", "tags"));
}

#[test]
fn a_run_that_gets_few_connections_takes_longer_and_fails_nobody() {
    let db = TestDb::new();
    let pool = db.pool(1);
    tenants(&pool, 12);
    let name = db.value("SELECT current_database()");
    let role = format!("{name}_few");
    db.sql(&format!(
        "CREATE ROLE {role} LOGIN CONNECTION LIMIT 4; GRANT CREATE ON DATABASE {name} TO {role}; \
         GRANT ALL ON SCHEMA boardinghouse TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA boardinghouse TO {role}; \
         GRANT ALL ON ALL SEQUENCES IN SCHEMA boardinghouse TO {role}; GRANT USAGE ON SCHEMA public TO {role}; \
         GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"
    ));
    for number in 0..12 {
        db.sql(&format!(
            "ALTER SCHEMA t{number:02} OWNER TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA t{number:02} TO {role}"
        ));
    }
    let url = db.url().replacen("postgres@", &format!("{role}@"), 1);
    assert_ne!(url, db.url());
    let few = TenantPool::builder().max_size(1).build(&url).unwrap();
    let filter = TenantFilter::new().except(ids(&["a", "b"]));
    let folder = Folder::new().add(MORE, "CREATE TABLE more (id int)");
    let report = migrator(&few, &folder)
        .jobs(8)
        .batch_size(1)
        .run_selected(&Selection::Matching(filter))
        .unwrap();
    assert!(report.is_success(), "{report:?}");
    drop(few);
    db.sql(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}"));
}

#[test]
fn attributes_that_are_asked_for_twice_must_both_be_there() {
    let db = TestDb::new();
    let pool = db.pool(1);
    tenants(&pool, 6);
    let both = TenantFilter::new()
        .attributes(json!({"plan": "free"}))
        .unwrap()
        .attributes(json!({"plan": "paid"}))
        .unwrap();
    let report = migrator(&pool, &Folder::with_tags())
        .run_selected(&Selection::Matching(both))
        .unwrap();
    assert!(report.entries.is_empty(), "{report:?}");
}

#[test]
fn copying_from_the_client_is_refused_before_anything_runs() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let folder = Folder::new().add(MORE, "CREATE TABLE t (id int); COPY t FROM stdin");
    let error = migrator(&pool, &folder).run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Migration);
    assert!(error.to_string().contains("copies"), "{error}");
}

#[test]
fn a_migration_may_leave_another_role_behind() {
    let db = TestDb::new();
    let pool = db.pool(1);
    tenants(&pool, 2);
    let folder = Folder::new().add(MORE, "CREATE TABLE mine (id int); SET ROLE pg_monitor");
    let report = migrator(&pool, &folder).run().unwrap();
    assert!(report.is_success(), "{report:?}");
    assert_eq!(versions(&db, "t01"), "20260101000000,20260202000000");
}

#[test]
fn limits_without_limit_are_no_overflow() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let folder = Folder::with_tags();
    let report = migrator(&pool, &folder)
        .max_failures(usize::MAX)
        .pace(Duration::from_millis(1))
        .run()
        .unwrap();
    assert!(report.is_success(), "{report:?}");
    let endless = migrator(&pool, &folder).pace(Duration::MAX);
    assert!(endless.run().unwrap().is_success());
}

#[test]
fn what_the_canaries_alone_have_is_what_is_taken_back_from_them() {
    let db = TestDb::new();
    let pool = db.pool(1);
    tenants(&pool, 3);
    let folder = Folder::new()
        .pair(
            TAGS,
            "CREATE TABLE tags (id serial PRIMARY KEY)",
            "DROP TABLE tags",
        )
        .pair(MORE, "CREATE TABLE more (id int)", "DROP TABLE more");
    let first = migrator(&pool, &folder).goal(Goal::Version(TAGS.into()));
    let report = first.run_selected(&Selection::Tenants).unwrap();
    report.into_result().unwrap();
    let canary = Selection::Only(ids(&["t00"]));
    for (selection, schemas) in [(&canary, 1), (&Selection::Tenants, 1)] {
        let report = migrator(&pool, &folder).run_selected(&canary).unwrap();
        assert_eq!(done(&report), ["tenant t00"]);
        let report = migrator(&pool, &folder)
            .goal(Goal::Revert(1))
            .run_selected(selection)
            .unwrap();
        assert_eq!(done(&report).len(), schemas, "{report:?}");
        assert!(!has(&db, "t00", "more") && has(&db, "t00", "tags"));
        assert!(has(&db, "t01", "tags"));
    }
    let nobody = TenantFilter::new()
        .attributes(json!({"plan": "none"}))
        .unwrap();
    let report = migrator(&pool, &folder)
        .group(Group::new("nobody", nobody))
        .run()
        .unwrap();
    assert_eq!(report.warnings, ["no tenant is in group nobody"]);
}
