//! Renaming, suspending and resuming tenants: the names move, the rows do not, and nobody reads the
//! bait meanwhile.

use std::{
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use boardinghouse_core::{
    DomainName, Error, ErrorKind, Layout, Migrator, NewTenant, PgRegistry, Provisioner, SchemaName,
    Tenant, TenantId, TenantPool, TenantStatus,
};
use boardinghouse_tests::{
    SHARED, TestDb, add_note, bodies, schema_key, tenant, until_somebody_waits, value,
};
use diesel::connection::SimpleConnection;

fn id(id: &str) -> TenantId {
    id.parse().unwrap()
}

fn new(name: &str) -> NewTenant {
    NewTenant::new(id(name))
}

/// The bodies that a checkout of the tenant sees.
fn notes_of(pool: &TenantPool, name: &str) -> Vec<String> {
    bodies(&mut pool.get(&tenant(pool, name)).unwrap()).unwrap()
}

/// Ids, schema names, statuses and epochs, and which schemas there are.
fn state(db: &TestDb) -> String {
    db.value(
        "SELECT (SELECT json_agg(t ORDER BY id) FROM (SELECT id, schema_name, status, epoch FROM \
         boardinghouse.tenants) AS t)::text || (SELECT json_agg(nspname ORDER BY nspname) \
         FROM pg_namespace WHERE nspname !~ '^pg_')::text",
    )
}

/// E19.
#[test]
fn a_renamed_tenant_keeps_its_rows_its_domains_and_all_that_holds_them_together() {
    let db = TestDb::new();
    let pool = db.pool(1);
    db.sql(
        "SET search_path TO a;
         CREATE TABLE replies (
             id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             note int NOT NULL REFERENCES notes,
             kind text DEFAULT 'plain' CHECK (kind <> '')
         );
         CREATE INDEX ON replies (note);
         CREATE VIEW loud AS SELECT upper(body) AS body FROM notes;
         INSERT INTO replies (note) SELECT id FROM notes;
         INSERT INTO boardinghouse.domains VALUES ('a.test', 'a', true)",
    );
    let before = tenant(&pool, "a");
    let renamed = Provisioner::new(pool.clone())
        .rename(&id("a"), &id("blue-whale"))
        .unwrap();
    assert_eq!(renamed.id().as_str(), "blue-whale");
    assert_eq!(renamed.schema().as_str(), "blue_whale");
    assert_eq!(renamed, tenant(&pool, "blue-whale"));
    assert_eq!(renamed.incarnation(), before.incarnation());
    assert!(renamed.epoch() > before.epoch());
    assert_eq!(renamed.status(), TenantStatus::Ready);
    let registry = PgRegistry::new(pool.clone());
    assert_eq!(registry.find(&id("a")).unwrap(), None);
    let by_domain = registry.find_by_domain(&DomainName::parse("a.test").unwrap());
    assert_eq!(by_domain.unwrap(), Some(renamed.clone()));
    assert_eq!(db.value("SELECT to_regnamespace('a')"), "NULL");

    let mut conn = pool.get(&renamed).unwrap();
    add_note(&mut conn, "second").unwrap();
    assert_eq!(bodies(&mut conn).unwrap(), ["from-a", "second"]);
    assert_eq!(value(&mut conn, "SELECT max(id) FROM notes"), "2");
    assert_eq!(
        value(&mut conn, "SELECT pg_get_serial_sequence('notes', 'id')"),
        "blue_whale.notes_id_seq"
    );
    assert_eq!(
        value(
            &mut conn,
            "SELECT string_agg(body, ',' ORDER BY body) FROM loud"
        ),
        "FROM-A,SECOND"
    );
    conn.batch_execute("INSERT INTO replies (note) VALUES (2)")
        .unwrap();
    assert_eq!(value(&mut conn, "SELECT max(id) FROM replies"), "2");
    for wrong in [
        "INSERT INTO replies (note) VALUES (4711)",
        "INSERT INTO replies (note, kind) VALUES (1, '')",
        "INSERT INTO notes (body, author) VALUES ('x', 4711)",
        "INSERT INTO notes (id, body) VALUES (1, 'x')",
        "DELETE FROM notes WHERE id = 1",
    ] {
        assert!(conn.batch_execute(wrong).is_err(), "{wrong}");
    }
    drop(conn);
    assert_eq!(notes_of(&pool, "b"), ["from-b"]);
    // The names are free again.
    Provisioner::new(pool.clone()).create(&new("a")).unwrap();
    assert_eq!(notes_of(&pool, "a"), [""; 0]);
}

/// T22: whoever has the old name in its path would read the bait next, with no error.
#[test]
fn under_load_a_rename_is_never_seen_as_the_bait() {
    let db = TestDb::new();
    let pool = db.pool(4);
    let other_process = Provisioner::new(db.pool(1));
    let stop = AtomicBool::new(false);
    let (served, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let wrong = Mutex::new(Vec::new());
    let look = |name: &str| -> Result<Vec<String>, Error> {
        let registry = PgRegistry::new(pool.clone());
        let mut conn = pool.get(&registry.get(&id(name))?)?;
        Ok([bodies(&mut conn)?, bodies(&mut conn)?].concat())
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    for name in ["a", "z"] {
                        match look(name).map_err(|error| error.kind()) {
                            Ok(rows) if rows == ["from-a", "from-a"] => {
                                served.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(
                                ErrorKind::SchemaUnavailable
                                | ErrorKind::TenantUnavailable
                                | ErrorKind::TenantNotFound,
                            ) => {
                                refused.fetch_add(1, Ordering::Relaxed);
                            }
                            answer => {
                                wrong.lock().unwrap().push(answer);
                                stop.store(true, Ordering::Relaxed);
                            }
                        }
                    }
                }
            });
        }
        for (from, to) in [("a", "z"), ("z", "a")].into_iter().cycle().take(101) {
            let already = served.load(Ordering::Relaxed);
            while served.load(Ordering::Relaxed) == already && !stop.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            if let Err(error) = other_process.rename(&id(from), &id(to)) {
                wrong.lock().unwrap().push(Err(error.kind()));
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(wrong.into_inner().unwrap(), []);
    assert_eq!(notes_of(&pool, "z"), ["from-a"]);
    assert_eq!(
        PgRegistry::new(pool).get(&id("a")).unwrap_err().kind(),
        ErrorKind::TenantNotFound
    );
    eprintln!("{served:?} served, {refused:?} refused");
}

#[test]
fn a_rename_waits_for_checkouts_that_are_out_and_lets_no_new_one_in() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let a = tenant(&pool, "a");
    let mut conn = pool.get(&a).unwrap();
    let provisioner = Provisioner::new(db.pool(1));
    std::thread::scope(|scope| {
        let renamer = scope.spawn(|| provisioner.rename(&id("a"), &id("z")));
        until_somebody_waits(&db);
        assert_eq!(
            pool.get(&a).unwrap_err().kind(),
            ErrorKind::SchemaUnavailable
        );
        // The one that is out has time to end its work.
        add_note(&mut conn, "last").unwrap();
        assert_eq!(bodies(&mut conn).unwrap(), ["from-a", "last"]);
        assert!(!renamer.is_finished());
        drop(conn);
        renamer.join().unwrap().unwrap();
    });
    assert_eq!(notes_of(&pool, "z"), ["from-a", "last"]);
    // Who still has the old value gets the tenant as it is now.
    let mut conn = pool.get(&a).unwrap();
    assert_eq!(conn.tenant().id().as_str(), "z");
    assert_eq!(bodies(&mut conn).unwrap(), ["from-a", "last"]);
}

#[test]
fn a_checkout_that_is_not_returned_fails_the_rename_and_leaves_all_as_it_was() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let before = state(&db);
    let mut conn = pool.get(&tenant(&pool, "a")).unwrap();
    let provisioner = Provisioner::new(db.pool(1)).lock_wait(Duration::from_millis(50));
    let error = provisioner.rename(&id("a"), &id("z")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{error:?}");
    assert_eq!(error.tenant(), Some(&id("a")));
    assert_eq!(bodies(&mut conn).unwrap(), ["from-a"]);
    drop(conn);
    assert_eq!(state(&db), before);
    assert_eq!(notes_of(&pool, "a"), ["from-a"]);
}

#[test]
fn a_writer_of_either_schema_keeps_a_renamer_out() {
    let db = TestDb::new();
    let before = state(&db);
    let provisioner = Provisioner::new(db.pool(1)).lock_wait(Duration::from_millis(50));
    for schema in ["a", "z"] {
        let mut writer = db.connect();
        let key = format!("SELECT pg_advisory_lock({})", schema_key(schema));
        writer.batch_execute(&key).unwrap();
        let error = provisioner.rename(&id("a"), &id("z")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked, "{error:?}");
        assert_eq!(state(&db), before);
    }
}

#[test]
fn a_failure_at_the_last_step_leaves_all_as_it_was() {
    let db = TestDb::new();
    let pool = db.pool(1);
    db.sql(
        "CREATE FUNCTION public.no() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
         CREATE EVENT TRIGGER no ON ddl_command_end WHEN TAG IN ('ALTER SCHEMA') EXECUTE FUNCTION public.no()",
    );
    let before = state(&db);
    let error = Provisioner::new(pool.clone())
        .rename(&id("a"), &id("z"))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Database, "{error:?}");
    assert_eq!(state(&db), before);
    assert_eq!(notes_of(&pool, "a"), ["from-a"]);
}

#[test]
fn a_name_that_cannot_be_had_is_refused_before_anything_is_sent() {
    let db = TestDb::new();
    let layout = Layout::default().with_reserved([id("www")]);
    let pool = db.pool_for(layout);
    db.refuse_connections();
    db.disconnect_everybody();
    let provisioner = Provisioner::new(pool);
    for (name, kind) in [
        ("www", ErrorKind::ReservedName),
        ("boardinghouse", ErrorKind::ReservedName),
        ("pg-x", ErrorKind::ReservedName),
        ("1a", ErrorKind::InvalidName),
        ("a", ErrorKind::InvalidInput),
    ] {
        let error = provisioner.rename(&id("a"), &id(name)).unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error:?}");
    }
}

#[test]
fn a_name_that_is_taken_is_refused_in_any_case() {
    let db = TestDb::new();
    let provisioner = Provisioner::new(db.pool(1));
    db.sql(
        "CREATE SCHEMA loose; CREATE SCHEMA \"Mixed\"; CREATE SCHEMA \"Theirs\";
         INSERT INTO boardinghouse.tenants (id, schema_name, display_name, status)
         VALUES ('other', 'Theirs', 'x', 'ready'), ('gone', 'absent', 'x', 'ready')",
    );
    let before = state(&db);
    for (name, kind, says) in [
        ("b", ErrorKind::TenantExists, "tenant b exists"),
        ("other", ErrorKind::TenantExists, "tenant other exists"),
        ("theirs", ErrorKind::TenantExists, "schema theirs belongs"),
        ("absent", ErrorKind::TenantExists, "schema absent belongs"),
        ("loose", ErrorKind::SchemaExists, "\"loose\""),
        ("mixed", ErrorKind::SchemaExists, "\"Mixed\""),
    ] {
        let error = provisioner.rename(&id("a"), &id(name)).unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error:?}");
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(error.tenant(), Some(&id("a")));
    }
    let ghost = provisioner.rename(&id("ghost"), &id("z")).unwrap_err();
    assert_eq!(ghost.kind(), ErrorKind::TenantNotFound);
    assert_eq!(state(&db), before);
}

#[test]
fn an_adopted_tenant_keeps_its_schema_and_its_checkouts() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let provisioner = Provisioner::new(pool.clone());
    db.sql(
        "CREATE SCHEMA \"Old Shop\"; CREATE TABLE \"Old Shop\".notes AS SELECT * FROM a.notes;
         CREATE SCHEMA new;
         INSERT INTO boardinghouse.tenants (id, schema_name, display_name) VALUES ('other', 'new', 'x')",
    );
    let schema = SchemaName::existing("Old Shop").unwrap();
    let shop = provisioner.create(&new("shop").adopt(schema)).unwrap();
    let mut conn = pool.get(&shop).unwrap();
    let renamed = provisioner.rename(&id("shop"), &id("new")).unwrap();
    assert_eq!(
        (renamed.id().as_str(), renamed.schema().as_str()),
        ("new", "Old Shop")
    );
    assert!(renamed.is_adopted() && renamed.epoch() > shop.epoch());
    assert_eq!(bodies(&mut conn).unwrap(), ["from-a"]);
    drop(conn);
    assert_eq!(notes_of(&pool, "new"), ["from-a"]);
    assert_eq!(db.tables("new"), "");
}

#[test]
fn a_schema_that_has_another_name_already_is_put_right() {
    let db = TestDb::new();
    let pool = db.pool(1);
    // As by hand.
    db.sql("ALTER SCHEMA a RENAME TO \"X\"; UPDATE boardinghouse.tenants SET schema_name = 'X' WHERE id = 'a'; ALTER SCHEMA b RENAME TO y; UPDATE boardinghouse.tenants SET schema_name = 'y' WHERE id = 'b'");
    let provisioner = Provisioner::new(pool.clone());
    provisioner.rename(&id("a"), &id("x")).unwrap();
    assert_eq!(notes_of(&pool, "x"), ["from-a"]);
    provisioner.rename(&id("b"), &id("y")).unwrap();
    assert_eq!(notes_of(&pool, "y"), ["from-b"]);
    assert_eq!(
        db.value("SELECT string_agg(schema_name, ',' ORDER BY id) FROM boardinghouse.tenants"),
        "x,y"
    );
}

#[test]
fn a_tenant_that_is_not_whole_is_neither_renamed_nor_resumed() {
    let db = TestDb::new();
    let provisioner = Provisioner::new(db.pool(1));
    for status in ["pending", "dropping", "failed"] {
        db.sql(&format!(
            "UPDATE boardinghouse.tenants SET status = '{status}' WHERE id = 'a'"
        ));
        let before = state(&db);
        for refused in [
            provisioner.rename(&id("a"), &id("z")),
            provisioner.suspend(&id("a")),
            provisioner.resume(&id("a")),
        ] {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TenantUnavailable);
            assert!(error.to_string().contains(status), "{error}");
        }
        assert_eq!(state(&db), before);
    }
    db.sql("UPDATE boardinghouse.tenants SET status = 'ready'; DROP SCHEMA a CASCADE");
    let error = provisioner.rename(&id("a"), &id("z")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaUnavailable);
    db.sql("UPDATE boardinghouse.tenants SET schema_name = '__template__' WHERE id = 'a'");
    let error = provisioner.rename(&id("a"), &id("z")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReservedName);
    assert_eq!(
        db.value("SELECT to_regnamespace('__template__') IS NULL"),
        "false"
    );
}

#[test]
fn a_suspended_tenant_is_not_served_and_running_checkouts_finish() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let provisioner = Provisioner::new(pool.clone());
    let ready = tenant(&pool, "a");
    let mut conn = pool.get(&ready).unwrap();
    let suspended = provisioner.suspend(&id("a")).unwrap();
    assert_eq!(suspended.status(), TenantStatus::Suspended);
    assert!(suspended.epoch() > ready.epoch());
    assert_eq!(suspended, tenant(&pool, "a"));
    assert_eq!(bodies(&mut conn).unwrap(), ["from-a"]);
    drop(conn);
    assert_eq!(
        pool.get(&suspended).unwrap_err().kind(),
        ErrorKind::TenantUnavailable
    );
    assert_eq!(notes_of(&pool, "b"), ["from-b"]);
    // Once more changes nothing at all.
    assert_eq!(provisioner.suspend(&id("a")).unwrap(), suspended);
    let renamed = provisioner.rename(&id("a"), &id("z")).unwrap();
    assert_eq!(renamed.status(), TenantStatus::Suspended);
    let resumed = provisioner.resume(&id("z")).unwrap();
    assert!(resumed.epoch() > renamed.epoch());
    assert_eq!(provisioner.resume(&id("z")).unwrap(), resumed);
    assert_eq!(
        bodies(&mut pool.get(&resumed).unwrap()).unwrap(),
        ["from-a"]
    );
    for unknown in [provisioner.suspend(&id("a")), provisioner.resume(&id("a"))] {
        let error = unknown.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TenantNotFound);
        assert_eq!(error.tenant(), Some(&id("a")));
    }
}

/// What came of two calls that began at the same moment. Neither may wait for the other for ever.
fn at_once<T: Send>(
    one: impl FnOnce() -> Result<T, Error> + Send,
    other: impl FnOnce() -> Result<T, Error> + Send,
) -> [Result<T, Error>; 2] {
    let barrier = Barrier::new(2);
    let started = Instant::now();
    let both = std::thread::scope(|scope| {
        let one = scope.spawn(|| {
            barrier.wait();
            one()
        });
        let other = scope.spawn(|| {
            barrier.wait();
            other()
        });
        [one.join().unwrap(), other.join().unwrap()]
    });
    assert!(started.elapsed() < Duration::from_secs(10), "they deadlock");
    both
}

#[test]
fn renames_that_cross_do_not_wait_for_each_other() {
    let db = TestDb::new();
    let provisioner = Provisioner::new(db.pool(2));
    let rename = |from: &str, to: &str| provisioner.rename(&id(from), &id(to));
    for _ in 0..20 {
        // Each wants what the other has.
        for refused in at_once(|| rename("a", "b"), || rename("b", "a")) {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::TenantExists);
        }
        // One wants what the other is about to leave.
        let [left, followed] = at_once(|| rename("b", "c"), || rename("a", "b"));
        left.unwrap();
        match followed {
            Ok(_) => drop(rename("b", "a").unwrap()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::TenantExists, "{error:?}"),
        }
        rename("c", "b").unwrap();
        // Both want the same.
        let both = at_once(|| rename("a", "c"), || rename("b", "c"));
        for refused in both.iter().filter_map(|result| result.as_ref().err()) {
            assert_eq!(refused.kind(), ErrorKind::TenantExists, "{refused:?}");
        }
        assert_eq!(both.iter().filter(|result| result.is_ok()).count(), 1);
        rename("c", if both[0].is_ok() { "a" } else { "b" }).unwrap();
        let pool = db.pool(1);
        assert_eq!(
            (notes_of(&pool, "a"), notes_of(&pool, "b")),
            (vec!["from-a".into()], vec!["from-b".into()])
        );
    }
}

#[test]
fn a_name_that_is_about_to_be_left_is_still_taken() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let conn = pool.get(&tenant(&pool, "b")).unwrap();
    let provisioner = Provisioner::new(db.pool(2));
    std::thread::scope(|scope| {
        let renamer = scope.spawn(|| provisioner.rename(&id("b"), &id("c")));
        until_somebody_waits(&db);
        // Told at once, and not when the other has ended: it might wait for this one.
        let error = provisioner.rename(&id("a"), &id("b")).map(drop);
        let ended = renamer.is_finished();
        drop(conn);
        renamer.join().unwrap().unwrap();
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TenantExists, "{error:?}");
        assert!(!ended);
    });
    provisioner.rename(&id("a"), &id("b")).unwrap();
    assert_eq!(notes_of(&pool, "b"), ["from-a"]);
    assert_eq!(notes_of(&pool, "c"), ["from-b"]);
}

#[test]
fn one_of_a_renamer_and_a_creator_gets_the_name() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let provisioner = Provisioner::new(pool.clone());
    for _ in 0..20 {
        let both: [Result<Tenant, Error>; 2] = at_once(
            || provisioner.rename(&id("a"), &id("z")),
            || provisioner.create(&new("z")),
        );
        for refused in both.iter().filter_map(|result| result.as_ref().err()) {
            assert_eq!(refused.kind(), ErrorKind::TenantExists, "{refused:?}");
        }
        if both[0].is_ok() {
            assert!(both[1].is_err());
            assert_eq!(notes_of(&pool, "z"), ["from-a"]);
            provisioner.rename(&id("z"), &id("a")).unwrap();
        } else {
            assert!(both[1].is_ok());
            assert_eq!(notes_of(&pool, "z"), [""; 0]);
            provisioner.delete(&id("z")).unwrap();
        }
        assert_eq!(notes_of(&pool, "a"), ["from-a"]);
    }
}

#[test]
fn tenants_that_are_renamed_while_the_fleet_is_migrated_are_not_lost() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let folder = tempfile::tempdir().unwrap();
    for (name, up) in [
        (
            "2026-01-01-000000_first",
            include_str!("migrations/tenant/2026-01-01-000000_first/up.sql"),
        ),
        (
            "2026-02-01-000000_tags",
            "CREATE TABLE tags (id serial PRIMARY KEY)",
        ),
    ] {
        let dir = folder.path().join(name);
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("up.sql"), up).unwrap();
        std::fs::write(dir.join("down.sql"), "SELECT 1").unwrap();
    }
    let source = || diesel_migrations::FileBasedMigrations::from_path(folder.path()).unwrap();
    let provisioner = Provisioner::new(db.pool(1));
    db.sql("CREATE SCHEMA legacy");
    let schema = SchemaName::existing("legacy").unwrap();
    provisioner.create(&new("shop").adopt(schema)).unwrap();
    let renamed = Arc::new(Mutex::new(Vec::new()));
    let report = Migrator::new(pool.clone())
        .shared(SHARED)
        .tenants(source())
        .jobs(1)
        .after_each({
            let renamed = Arc::clone(&renamed);
            move |_, at| {
                if at.tenant() == Some(&id("a")) {
                    let mut renamed = renamed.lock().unwrap();
                    renamed.push(provisioner.rename(&id("b"), &id("y"))?);
                    renamed.push(provisioner.rename(&id("shop"), &id("store"))?);
                }
                Ok(())
            }
        })
        .run()
        .unwrap();
    let renamed = renamed.lock().unwrap();
    // The schema that is gone is found under its new name.
    assert!(report.is_success(), "{report:?}");
    assert_eq!(report.entries[4].applied, ["2026-02-01-000000_tags"]);
    assert_eq!(
        db.tables("public"),
        "__diesel_schema_migrations,notes,users"
    );
    // What was migrated under its old id is known to have been.
    assert_eq!(db.tables("legacy"), "__diesel_schema_migrations,notes,tags");
    assert!(tenant(&pool, "store").epoch() > renamed[1].epoch());
    let again = Migrator::new(pool)
        .shared(SHARED)
        .tenants(source())
        .run()
        .unwrap();
    assert!(again.is_success(), "{again:?}");
    assert_eq!(db.tables("y"), "__diesel_schema_migrations,notes,tags");
}
