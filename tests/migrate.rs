//! Migrations of the fleet.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use boardinghouse_core::{
    ErrorKind, MigrationReport, Migrator, NewTenant, Outcome, Provisioner, Selection, Target,
    TenantPool,
};
use boardinghouse_tests::{BAIT, SHARED, TENANT, TestDb, bodies, schema_key, tenant, value};
use diesel::connection::SimpleConnection;
use diesel_migrations::FileBasedMigrations;

use crate::folder::Folder;

const TAGS: &str = "2026-02-01-000000_tags";

fn of_folder(folder: &Folder, pool: &TenantPool) -> Migrator {
    Migrator::new(pool.clone())
        .shared(SHARED)
        .tenants(FileBasedMigrations::from_path(folder.path()).unwrap())
}

fn only(ids: &[&str]) -> Selection {
    Selection::Only(ids.iter().map(|id| id.parse().unwrap()).collect())
}

fn outcomes(report: &MigrationReport) -> Vec<String> {
    report
        .entries
        .iter()
        .map(|entry| {
            let outcome = match &entry.outcome {
                Outcome::Done => entry.applied.join("+"),
                Outcome::Skipped(_) => "skipped".into(),
                Outcome::Failed(error) => format!("{:?}", error.kind()),
                other => format!("{other:?}"),
            };
            format!("{}: {outcome}", entry.target)
        })
        .collect()
}

/// F01.
#[test]
fn shared_tables_go_to_the_shared_schema_and_tenant_tables_to_each_tenant() {
    let db = TestDb::new();
    assert_eq!(
        db.tables("public"),
        "__diesel_schema_migrations,notes,users"
    );
    for schema in ["__template__", "a", "b"] {
        assert_eq!(db.tables(schema), "__diesel_schema_migrations,notes");
    }
    assert_eq!(
        db.tables("boardinghouse"),
        "__diesel_schema_migrations,clone_plans,domains,ledger,logins,members,named_templates,ready_schemas,tenants"
    );
}

/// F02.
#[test]
fn one_run_migrates_shared_then_template_then_tenants() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let folder = Folder::with_tags();
    let migrator = of_folder(&folder, &pool);
    let plan = migrator.plan(&Selection::All).unwrap();
    assert!(!plan.is_empty());
    assert_eq!(plan.targets[2].pending, [TAGS]);
    let before = tenant(&pool, "a").epoch();
    let report = migrator.apply(&plan).unwrap();
    let expected = [
        "registry: ".to_owned(),
        "shared schema public: ".into(),
        format!("template __template__: {TAGS}"),
        format!("tenant a: {TAGS}"),
        format!("tenant b: {TAGS}"),
    ];
    assert_eq!(outcomes(&report), expected);
    assert!(
        tenant(&pool, "a").epoch() > before,
        "what was prepared before is not used again"
    );
    assert!(migrator.plan(&Selection::All).unwrap().is_empty());
    let again = migrator.run().unwrap();
    assert!(
        again.entries.iter().all(|entry| entry.applied.is_empty()),
        "{again:?}"
    );
}

#[test]
fn a_plan_writes_nothing() {
    let db = TestDb::empty();
    let pool = db.pool(1);
    let migrator = Migrator::new(pool).shared(SHARED).tenants(TENANT);
    let plan = migrator.plan(&Selection::All).unwrap();
    assert_eq!(plan.targets.len(), 3);
    assert!(
        plan.targets
            .iter()
            .all(|t| t.applied.is_empty() && !t.pending.is_empty())
    );
    assert_eq!(db.tables("public"), "");
    assert_eq!(
        db.value(
            "SELECT count(*) FROM pg_namespace WHERE nspname IN ('boardinghouse', '__template__')"
        ),
        "0"
    );
}

/// F05, F24.
#[test]
fn a_part_of_the_fleet_can_be_chosen() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let folder = Folder::with_tags();
    let migrator = of_folder(&folder, &pool);
    let report = migrator.run_selected(&Selection::Shared).unwrap();
    assert_eq!(report.entries.len(), 2);
    assert_eq!(
        db.tables("__template__"),
        "__diesel_schema_migrations,notes"
    );
    let report = migrator.run_selected(&only(&["a"])).unwrap();
    assert_eq!(outcomes(&report), [format!("tenant a: {TAGS}")]);
    assert_eq!(db.tables("a"), "__diesel_schema_migrations,notes,tags");
    assert_eq!(db.tables("b"), "__diesel_schema_migrations,notes");
    let report = migrator.run_selected(&Selection::Tenants).unwrap();
    assert_eq!(report.entries.len(), 3);
    assert_eq!(db.tables("b"), "__diesel_schema_migrations,notes,tags");
    assert_eq!(
        migrator.run_selected(&only(&["ghost"])).unwrap_err().kind(),
        ErrorKind::TenantNotFound
    );
    let empty = TestDb::empty();
    let error = of_folder(&folder, &empty.pool(1))
        .run_selected(&Selection::Tenants)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RegistryMissing);
}

/// F04, F21.
#[test]
fn a_tenant_without_a_schema_fails_alone_and_nothing_lands_in_the_shared_schema() {
    let db = TestDb::new();
    let pool = db.pool(1);
    db.sql("DROP SCHEMA a CASCADE");
    let folder = Folder::with_tags();
    let report = of_folder(&folder, &pool).run().unwrap();
    assert_eq!(
        outcomes(&report)[3..],
        ["tenant a: SchemaUnavailable", &format!("tenant b: {TAGS}")]
    );
    assert!(!report.is_success());
    let failed = report.failures().next().unwrap();
    assert_eq!(failed.target.tenant_id().unwrap().as_str(), "a");
    assert_eq!(
        db.tables("public"),
        "__diesel_schema_migrations,notes,users"
    );
    assert_eq!(
        db.value("SELECT count(*) FROM public.__diesel_schema_migrations"),
        "1"
    );
}

/// T49.
#[test]
fn a_migration_cannot_alter_a_shared_table_by_its_bare_name() {
    let db = TestDb::new();
    let pool = db.pool(1);
    db.sql("DROP TABLE a.notes");
    let folder = Folder::new().add(
        "2026-02-01-000000_more",
        "ALTER TABLE notes ADD COLUMN more text; UPDATE notes SET body = 'changed'",
    );
    let report = of_folder(&folder, &pool)
        .run_selected(&only(&["a"]))
        .unwrap();
    assert_eq!(outcomes(&report), ["tenant a: Migration"]);
    assert_eq!(db.value("SELECT body FROM public.notes"), BAIT);
    assert_eq!(db.value("SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public' AND table_name = 'notes'"), "3");
}

/// F15.
#[test]
fn a_migration_that_fails_leaves_no_trace_and_those_before_it_stay() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let folder = Folder::new()
        .add("2026-02-01-000000_good", "CREATE TABLE good (id int)")
        .add(
            "2026-02-02-000000_bad",
            "CREATE TABLE half (id int); ALTER TABLE notes ADD CHECK (body <> 'from-a')",
        )
        .add("2026-02-03-000000_later", "CREATE TABLE later (id int)");
    let report = of_folder(&folder, &pool).run().unwrap();
    assert_eq!(outcomes(&report)[3], "tenant a: Migration");
    assert_eq!(report.entries[3].applied, ["2026-02-01-000000_good"]);
    let text = report.entries[3].error_message();
    assert!(
        text.contains("2026-02-02-000000_bad")
            && text.contains("tenant a")
            && text.contains("violated"),
        "{text}"
    );
    assert_eq!(db.tables("a"), "__diesel_schema_migrations,good,notes");
    assert_eq!(
        db.tables("b"),
        "__diesel_schema_migrations,good,half,later,notes"
    );
    // Mend the data and run again: only what is missing runs.
    db.sql("UPDATE a.notes SET body = 'mended'");
    let report = of_folder(&folder, &pool).run().unwrap();
    assert_eq!(
        outcomes(&report)[3],
        "tenant a: 2026-02-02-000000_bad+2026-02-03-000000_later"
    );
    assert_eq!(outcomes(&report)[4], "tenant b: ");
}

#[test]
fn a_template_that_fails_stops_everything() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let folder = Folder::new().add("2026-02-01-000000_bad", "SELECT 1/0");
    let report = of_folder(&folder, &pool).run().unwrap();
    assert_eq!(
        outcomes(&report)[2..],
        [
            "template __template__: Migration",
            "tenant a: skipped",
            "tenant b: skipped"
        ]
    );
}

/// T33.
#[test]
fn a_migration_that_moves_the_path_does_not_take_the_bookkeeping_along() {
    let db = TestDb::new();
    let pool = db.pool(1);
    // What the output of pg_dump begins with.
    let folder = Folder::new()
        .add("2026-02-01-000000_moves", "SELECT pg_catalog.set_config('search_path', '', false); SET check_function_bodies = false;")
        .add("2026-02-02-000000_stays", "CREATE TABLE stays (id int)")
        .add("2026-02-03-000000_elsewhere", "SET search_path TO public")
        .add("2026-02-04-000000_too", "CREATE TABLE too (id int)");
    let report = of_folder(&folder, &pool).run().unwrap();
    assert!(report.is_success(), "{report:?}");
    for schema in ["__template__", "a", "b"] {
        assert_eq!(
            db.tables(schema),
            "__diesel_schema_migrations,notes,stays,too"
        );
        assert_eq!(
            db.value(&format!(
                "SELECT count(*) FROM {schema}.__diesel_schema_migrations"
            )),
            "5"
        );
    }
    assert_eq!(
        db.tables("public"),
        "__diesel_schema_migrations,notes,users"
    );
}

#[test]
fn what_one_migration_leaves_in_the_session_does_not_reach_the_next_tenant() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let folder = Folder::new().add(
        "2026-02-01-000000_dirty",
        "CREATE TEMP TABLE leftover (id int); SET app.seen = 'yes'; CREATE TABLE fresh (was text); \
         INSERT INTO fresh SELECT coalesce(current_setting('app.seen', true), 'no')",
    );
    let report = of_folder(&folder, &pool).run().unwrap();
    assert!(report.is_success(), "{report:?}");
}

#[test]
fn a_migration_that_ends_its_transaction_is_an_error() {
    let db = TestDb::new();
    let pool = db.pool(1);
    for (number, text) in ["COMMIT", "ROLLBACK", "COMMIT; BEGIN", "ROLLBACK; BEGIN"]
        .iter()
        .enumerate()
    {
        let folder = Folder::new().add(&format!("2026-02-0{}-000000_ends", number + 1), text);
        let report = of_folder(&folder, &pool)
            .run_selected(&only(&["a"]))
            .unwrap();
        assert_eq!(outcomes(&report), ["tenant a: Migration"], "{text}");
        let message = report.entries[0].error_message();
        assert!(
            message.contains("ended the transaction"),
            "{text}: {message}"
        );
        assert_eq!(
            db.value("SELECT count(*) FROM a.__diesel_schema_migrations"),
            "1"
        );
    }
    assert_eq!(
        bodies(&mut pool.get(&tenant(&pool, "a")).unwrap()).unwrap(),
        ["from-a"]
    );
}

#[test]
fn a_migration_without_a_transaction_runs_in_its_tenant_only() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let name = "2026-02-01-000000_index";
    let folder = Folder::new()
        .add(
            name,
            "CREATE INDEX CONCURRENTLY notes_body_idx ON notes (body)",
        )
        .without_transaction(name);
    let report = of_folder(&folder, &pool).run().unwrap();
    assert!(report.is_success(), "{report:?}");
    let indexes = db.value("SELECT string_agg(schemaname, ',' ORDER BY schemaname) FROM pg_indexes WHERE indexname = 'notes_body_idx'");
    assert_eq!(indexes, "__template__,a,b");
}

/// However it is run: with others, all or none, or without a transaction.
#[test]
fn a_writer_of_a_schema_keeps_every_migration_of_it_out() {
    let name = "2026-02-01-000000_index";
    let alone = || {
        Folder::new()
            .add(
                name,
                "CREATE INDEX CONCURRENTLY notes_body_idx ON notes (body)",
            )
            .without_transaction(name)
    };
    for (folder, atomic) in [
        (Folder::with_tags(), false),
        (Folder::with_tags(), true),
        (alone(), false),
    ] {
        for schema in ["a", "__template__"] {
            let db = TestDb::new();
            let pool = db.pool(2);
            let versions = || {
                db.value(&format!(
                    "SELECT count(*) FROM {schema}.__diesel_schema_migrations"
                ))
            };
            let mut writer = db.connect();
            let key = format!("SELECT pg_advisory_lock({})", schema_key(schema));
            writer.batch_execute(&key).unwrap();
            let migrator = || of_folder(&folder, &pool).atomic(atomic);
            let report = migrator()
                .lock_timeout(Duration::from_millis(30))
                .lock_wait(Duration::from_millis(200))
                .run();
            assert!(report.is_err() || report.is_ok_and(|report| !report.is_success()));
            assert_eq!(versions(), "1", "{schema} {atomic}");
            writer
                .batch_execute("SELECT pg_advisory_unlock_all()")
                .unwrap();
            assert!(migrator().run().unwrap().is_success());
            assert_eq!(versions(), "2", "{schema} {atomic}");
        }
    }
}

/// T34.
#[test]
fn two_migrators_do_not_run_at_once() {
    let db = TestDb::new();
    let mut other = db.connect();
    other
        .batch_execute("SELECT pg_advisory_lock(x'62680002'::int, 0)")
        .unwrap();
    let migrator = || Migrator::new(db.pool(1)).shared(SHARED).tenants(TENANT);
    let error = migrator()
        .lock_wait(Duration::from_millis(20))
        .run()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    drop(other);

    let folder = Folder::new().add("2026-02-01-000000_once", "CREATE TABLE once (id int)");
    let applied: usize = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| of_folder(&folder, &db.pool(1)).run().unwrap()))
            .collect();
        let reports = runs.into_iter().map(|run| run.join().unwrap());
        reports
            .map(|r| {
                assert!(r.is_success(), "{r:?}");
                r.entries.iter().map(|e| e.applied.len()).sum::<usize>()
            })
            .sum()
    });
    assert_eq!(applied, 3, "template, a and b, once each");
}

/// F03.
#[test]
fn tenants_that_are_created_during_a_run_end_at_the_newest_version() {
    let db = TestDb::new();
    let pool = db.pool(4);
    let folder = Folder::new();
    for number in 1..=5 {
        folder.put(
            &format!("2026-03-0{number}-000000_t{number}"),
            &format!("CREATE TABLE t{number} (id int)"),
        );
    }
    let (over, made) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let creators: Vec<_> = (0..3)
            .map(|creator| {
                let provisioner = Provisioner::new(pool.clone());
                let (over, made) = (&over, &made);
                scope.spawn(move || {
                    for number in 0.. {
                        // From before the run until after it.
                        if number >= 17 && over.load(Relaxed) {
                            break;
                        }
                        let id = format!("new-{creator}-{number}").parse().unwrap();
                        provisioner.create(&NewTenant::new(id)).unwrap();
                        made.fetch_add(1, Relaxed);
                    }
                })
            })
            .collect();
        boardinghouse_tests::until(|| made.load(Relaxed) >= 6);
        let report = of_folder(&folder, &pool).run();
        over.store(true, Relaxed);
        let report = report.unwrap();
        assert!(report.is_success(), "{report:?}");
        creators
            .into_iter()
            .for_each(|creator| creator.join().unwrap());
    });
    let plan = of_folder(&folder, &pool).plan(&Selection::All).unwrap();
    assert_eq!(plan.targets.len(), 3 + 2 + made.into_inner());
    for target in &plan.targets {
        assert!(target.exists && target.pending.is_empty(), "{target:?}");
    }
    assert_eq!(db.value("SELECT count(DISTINCT tables) FROM (SELECT string_agg(tablename, ',' ORDER BY tablename) AS tables FROM pg_tables WHERE schemaname LIKE 'new\\_%' OR schemaname IN ('a', 'b', '__template__') GROUP BY schemaname) AS x"), "1");
    drop(pool);
    boardinghouse_tests::no_deadlock(&db);
}

#[test]
fn suspended_tenants_are_migrated_and_pending_ones_are_skipped_and_named() {
    let db = TestDb::new();
    let pool = db.pool(1);
    db.sql("UPDATE boardinghouse.tenants SET status = 'suspended' WHERE id = 'a'; UPDATE boardinghouse.tenants SET status = 'pending' WHERE id = 'b'");
    let folder = Folder::with_tags();
    let report = of_folder(&folder, &pool).run().unwrap();
    assert!(report.is_success());
    assert_eq!(
        outcomes(&report)[3..],
        [&format!("tenant a: {TAGS}"), "tenant b: skipped"]
    );
    assert!(report.entries[4].error_message().contains("pending"));
}

#[test]
fn a_template_that_can_no_longer_be_cloned_is_a_warning_of_the_run_that_made_it_so() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let folder = Folder::new().add("2026-02-01-000000_shell", "CREATE TYPE bodies");
    let report = of_folder(&folder, &pool).run().unwrap();
    assert!(report.is_success());
    assert_eq!(report.warnings.len(), 1);
    assert!(
        report.warnings[0].contains("bodies"),
        "{:?}",
        report.warnings
    );
    assert!(of_folder(&folder, &pool).run().unwrap().warnings.is_empty());
}

#[test]
fn two_migrations_of_one_version_are_refused_before_anything_runs() {
    let db = TestDb::empty();
    let folder = Folder::new().add("2026-01-01-000000_twin", "SELECT 1");
    let error = of_folder(&folder, &db.pool(1)).run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Migration);
    assert!(
        error.to_string().contains("twin") && error.to_string().contains("first"),
        "{error}"
    );
    assert_eq!(db.tables("public"), "");
}

#[test]
fn a_target_is_named_with_its_kind() {
    let target = Target::Tenant {
        id: "a".parse().unwrap(),
        schema: "a".parse().unwrap(),
    };
    assert_eq!(format!("{target:>10}|"), "  tenant a|");
    let db = TestDb::new();
    let mut conn = db.pool(1).get_shared().unwrap();
    assert_eq!(value(&mut conn, "SELECT current_schema()"), "public");
}
