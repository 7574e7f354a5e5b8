//! Creating and deleting tenants: all or nothing, and nothing that was there before is harmed.

use std::time::Duration;

use boardinghouse_core::{
    Error, ErrorKind, NewTenant, PgRegistry, Provisioner, SchemaName, TenantId,
};
use boardinghouse_tests::{BAIT, TestDb, add_note, bodies, schema_key, tenant, value};
use diesel::{connection::SimpleConnection, prelude::*};

fn new(id: &str) -> NewTenant {
    NewTenant::new(id.parse().unwrap())
}

fn id(id: &str) -> TenantId {
    id.parse().unwrap()
}

/// Everything that creating a tenant could leave behind.
fn traces(db: &TestDb, name: &str) -> String {
    db.value(&format!(
        "SELECT (SELECT count(*) FROM boardinghouse.tenants WHERE id = '{name}') || ' ' || \
         (SELECT count(*) FROM boardinghouse.domains WHERE tenant_id = '{name}') || ' ' || \
         (SELECT count(*) FROM pg_namespace WHERE nspname = '{name}')"
    ))
}

/// T60: tables of this name are in `a`, `b` and the shared schema, too. E01, E04.
#[test]
fn a_created_tenant_has_the_templates_tables_and_no_rows() {
    let db = TestDb::new();
    let pool = db.pool(1);
    Provisioner::new(pool.clone()).create(&new("acme")).unwrap();
    assert_eq!(db.tables("acme"), db.tables("__template__"));
    let mut conn = pool.get(&tenant(&pool, "acme")).unwrap();
    assert_eq!(bodies(&mut conn).unwrap(), [""; 0]);
    add_note(&mut conn, "first").unwrap();
    assert_eq!(value(&mut conn, "SELECT id FROM notes"), "1");
    assert_eq!(
        value(&mut conn, "SELECT pg_get_serial_sequence('notes', 'id')"),
        "acme.notes_id_seq"
    );
    assert_eq!(
        value(&mut conn, "SELECT version FROM __diesel_schema_migrations"),
        "20260101000000"
    );
    assert_eq!(db.value("SELECT count(*) FROM __template__.notes"), "0");
    assert_eq!(
        db.value("SELECT is_called FROM __template__.notes_id_seq"),
        "false"
    );
}

/// J02.
#[test]
fn foreign_keys_to_the_shared_schema_hold_in_every_tenant() {
    let db = TestDb::new();
    let pool = db.pool(1);
    Provisioner::new(pool.clone()).create(&new("acme")).unwrap();
    for id in ["a", "b", "acme"] {
        let mut conn = pool.get(&tenant(&pool, id)).unwrap();
        conn.batch_execute("INSERT INTO notes (body, author) VALUES ('known', 1)")
            .unwrap();
        let error = diesel::sql_query("INSERT INTO notes (body, author) VALUES ('unknown', 4711)")
            .execute(&mut conn)
            .unwrap_err();
        let kind = diesel::result::DatabaseErrorKind::ForeignKeyViolation;
        assert!(
            matches!(error, diesel::result::Error::DatabaseError(k, _) if format!("{k:?}") == format!("{kind:?}"))
        );
    }
}

/// T09, E12.
#[test]
fn a_schema_that_exists_is_never_adopted_by_accident() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let provisioner = Provisioner::new(pool.clone());
    db.sql("CREATE SCHEMA legacy; CREATE TABLE legacy.notes (id serial PRIMARY KEY, body text NOT NULL, author int); INSERT INTO legacy.notes (body) VALUES ('old')");
    let error = provisioner.create(&new("legacy")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaExists);
    assert!(error.to_string().contains("or adopt it"), "{error}");
    assert_eq!(traces(&db, "legacy"), "0 0 1");
    assert_eq!(db.value("SELECT body FROM legacy.notes"), "old");

    let schema = SchemaName::existing("legacy").unwrap();
    let adopted = provisioner.create(&new("legacy").adopt(schema)).unwrap();
    assert!(adopted.is_adopted());
    assert_eq!(
        bodies(&mut pool.get(&tenant(&pool, "legacy")).unwrap()).unwrap(),
        ["old"]
    );
    let deleted = provisioner.delete(&id("legacy")).unwrap();
    assert!(!deleted.schema_dropped);
    assert_eq!(traces(&db, "legacy"), "0 0 1");
    assert_eq!(db.value("SELECT body FROM legacy.notes"), "old");

    let ghost = SchemaName::existing("ghost").unwrap();
    let error = provisioner.create(&new("ghost").adopt(ghost)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaUnavailable);
    assert_eq!(traces(&db, "ghost"), "0 0 0");
}

/// T62.
#[test]
fn special_schemas_are_neither_adopted_nor_dropped() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let provisioner = Provisioner::new(pool.clone());
    for name in ["public", "__template__", "boardinghouse"] {
        let schema = SchemaName::existing(name).unwrap();
        let error = provisioner.create(&new("x").adopt(schema)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReservedName, "{name}");
    }
    // A row that somebody wrote by hand, for the template.
    db.sql("INSERT INTO boardinghouse.tenants (id, schema_name, display_name, status) VALUES ('evil', '__template__', 'x', 'ready')");
    assert_eq!(
        provisioner.delete(&id("evil")).unwrap_err().kind(),
        ErrorKind::ReservedName
    );
    assert_eq!(
        pool.get(&tenant(&pool, "evil")).unwrap_err().kind(),
        ErrorKind::ReservedName
    );
    assert_eq!(
        db.tables("__template__"),
        "__diesel_schema_migrations,notes"
    );
    assert_eq!(db.value("SELECT body FROM public.notes"), BAIT);
}

#[test]
fn a_tenant_or_domain_that_exists_is_refused_and_nothing_is_left() {
    let db = TestDb::new();
    let provisioner = Provisioner::new(db.pool(1));
    let error = provisioner.create(&new("a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TenantExists);
    assert_eq!(error.chain(), "tenant a exists already");
    let adopted = new("other").adopt(SchemaName::existing("a").unwrap());
    let error = provisioner.create(&adopted).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TenantExists);
    assert_eq!(error.chain(), "schema a belongs to a tenant already");
    assert_eq!(db.value("SELECT body FROM a.notes"), "from-a");
    provisioner
        .create(&new("c").domain("c.test".parse().unwrap()))
        .unwrap();
    let error = provisioner
        .create(
            &new("d")
                .domain("d.test".parse().unwrap())
                .domain("C.test".parse().unwrap()),
        )
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TenantExists);
    assert!(error.to_string().contains("c.test"), "{error}");
    assert_eq!(traces(&db, "d"), "0 0 0");
}

#[test]
fn a_missing_template_is_an_error_and_nothing_is_left() {
    let db = TestDb::new();
    db.sql("DROP SCHEMA __template__ CASCADE");
    let error = Provisioner::new(db.pool(1))
        .create(&new("acme"))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateMissing, "{error:?}");
    assert_eq!(traces(&db, "acme"), "0 0 0");
}

#[test]
fn a_template_that_cannot_be_cloned_faithfully_is_refused_with_the_list() {
    let db = TestDb::new();
    db.sql(
        "SET search_path TO __template__;
            CREATE TYPE half_made;
            CREATE TYPE latin",
    );
    let error = Provisioner::new(db.pool(1))
        .create(&new("acme"))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateUnsupported);
    let text = error.chain();
    assert!(
        text.contains("half_made") && text.contains("latin"),
        "{text}"
    );
    assert_eq!(traces(&db, "acme"), "0 0 0");
}

/// E10.
#[test]
fn a_caller_who_rolls_back_takes_the_tenant_back() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let provisioner = Provisioner::new(pool.clone());
    let mut conn = pool.get_shared().unwrap();
    let rolled_back: Result<(), Error> = conn.transaction(|conn| {
        let created = provisioner.create_in(conn, &new("acme"))?;
        assert_eq!(created.id().as_str(), "acme");
        // The caller goes on where it was.
        assert_eq!(
            value(conn, "SELECT current_setting('search_path')"),
            "public, pg_temp"
        );
        assert_eq!(bodies(conn)?, [BAIT]);
        Err(diesel::result::Error::RollbackTransaction.into())
    });
    assert!(rolled_back.is_err());
    assert_eq!(traces(&db, "acme"), "0 0 0");
    conn.transaction(|conn| provisioner.create_in(conn, &new("acme")))
        .unwrap();
    drop(conn);
    assert_eq!(traces(&db, "acme"), "1 0 1");
}

#[test]
fn a_failure_inside_the_callers_transaction_leaves_the_rest_of_it_alone() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let provisioner = Provisioner::new(pool.clone());
    let mut conn = pool.get_shared().unwrap();
    conn.transaction(|conn| -> Result<(), Error> {
        add_note(conn, "kept")?;
        assert_eq!(
            provisioner.create_in(conn, &new("a")).unwrap_err().kind(),
            ErrorKind::TenantExists
        );
        assert_eq!(value(conn, "SELECT current_schema()"), "public");
        Ok(())
    })
    .unwrap();
    assert_eq!(bodies(&mut conn).unwrap(), [BAIT, "kept"]);
}

/// E11.
#[test]
fn a_creator_that_is_killed_leaves_nothing() {
    let db = TestDb::new();
    let pool = db.pool(1);
    // Points at which a creator can be made to stop: the shared table that the clone references, the
    // template's lock, the schema's lock and the registry.
    let points = [
        "LOCK TABLE public.users IN ACCESS EXCLUSIVE MODE",
        "LOCK TABLE boardinghouse.tenants IN ACCESS EXCLUSIVE MODE",
        "LOCK TABLE boardinghouse.domains IN ACCESS EXCLUSIVE MODE",
        "LOCK TABLE __template__.notes IN ACCESS EXCLUSIVE MODE",
        "LOCK TABLE __template__.__diesel_schema_migrations IN ACCESS EXCLUSIVE MODE",
    ];
    for point in points {
        let mut blocker = db.connect();
        blocker.batch_execute(&format!("BEGIN; {point}")).unwrap();
        let provisioner = Provisioner::new(pool.clone());
        std::thread::scope(|scope| {
            let creator = scope.spawn(move || {
                provisioner.create(&new("acme").domain("acme.test".parse().unwrap()))
            });
            let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            while value(&mut blocker, waiting) == "0" {
                assert!(!creator.is_finished(), "{point}: the creator did not wait");
                // The snapshot of a transaction's statistics is frozen; ask for a new one.
                blocker
                    .batch_execute("SELECT pg_stat_clear_snapshot()")
                    .unwrap();
            }
            let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            assert_eq!(value(&mut blocker, kill), "1");
            assert!(creator.join().unwrap().is_err(), "{point}");
        });
        drop(blocker);
        assert_eq!(traces(&db, "acme"), "0 0 0", "{point}");
    }
    Provisioner::new(pool).create(&new("acme")).unwrap();
    assert_eq!(traces(&db, "acme"), "1 0 1");
}

/// T18.
#[test]
fn exactly_one_of_many_creators_wins() {
    let db = TestDb::new();
    let pool = db.pool(20);
    for round in 0..10 {
        let name = format!("race{round}");
        let results: Vec<_> = std::thread::scope(|scope| {
            let creators: Vec<_> = (0..20)
                .map(|_| scope.spawn(|| Provisioner::new(pool.clone()).create(&new(&name))))
                .collect();
            creators
                .into_iter()
                .map(|creator| creator.join().unwrap())
                .collect()
        });
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        for error in results.into_iter().filter_map(Result::err) {
            assert_eq!(error.kind(), ErrorKind::TenantExists, "{error:?}");
        }
        assert_eq!(traces(&db, &name), "1 0 1");
    }
}

/// Whichever way a tenant is created, and whichever of the two schemas it is; but one creator does not keep
/// another from the template.
#[test]
fn a_writer_of_either_schema_keeps_every_creator_out() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let hasty = Provisioner::new(pool.clone()).lock_wait(Duration::from_millis(20));
    let create_in = |by: &Provisioner, tenant: &NewTenant| {
        by.create_in(&mut pool.get_shared().unwrap(), tenant)
    };
    let copy = || new("acme").copy_of(SchemaName::parse("a").unwrap());
    for schema in ["__template__", "acme"] {
        let mut writer = db.connect();
        let lock = format!("SELECT pg_advisory_lock({})", schema_key(schema));
        writer.batch_execute(&lock).unwrap();
        let mut outcomes = vec![hasty.create(&new("acme")), create_in(&hasty, &new("acme"))];
        if schema == "acme" {
            outcomes.push(hasty.create(&copy()));
            outcomes.push(hasty.create(&new("acme").deferred()));
        }
        for (number, outcome) in outcomes.into_iter().enumerate() {
            let kind = outcome.map(drop).map_err(|error| error.kind());
            assert_eq!(kind, Err(ErrorKind::Locked), "{schema} {number}");
        }
        assert_eq!(traces(&db, "acme"), "0 0 0");
        writer
            .batch_execute("SELECT pg_advisory_unlock_all()")
            .unwrap();
    }
    let patient = Provisioner::new(pool.clone()).lock_wait(Duration::from_secs(5));
    let mut cloner = db.connect();
    let key = schema_key("__template__");
    let lock = format!("SELECT pg_advisory_lock_shared({key})");
    cloner.batch_execute(&lock).unwrap();
    patient.create(&new("acme")).unwrap();
    create_in(&patient, &new("other")).unwrap();
}

#[test]
fn deleting_drops_the_schema_and_only_that() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let provisioner = Provisioner::new(pool.clone());
    let deleted = provisioner.delete(&id("a")).unwrap();
    assert!(deleted.schema_dropped);
    assert_eq!(traces(&db, "a"), "0 0 0");
    assert_eq!(
        bodies(&mut pool.get(&tenant(&pool, "b")).unwrap()).unwrap(),
        ["from-b"]
    );
    assert_eq!(bodies(&mut pool.get_shared().unwrap()).unwrap(), [BAIT]);
    assert_eq!(
        provisioner.delete(&id("a")).unwrap_err().kind(),
        ErrorKind::TenantNotFound
    );
    // A schema that somebody dropped by hand is no obstacle.
    db.sql("DROP SCHEMA b CASCADE");
    assert!(!provisioner.delete(&id("b")).unwrap().schema_dropped);
    assert!(PgRegistry::new(pool).list().unwrap().is_empty());
}

#[test]
fn a_tenant_that_is_created_again_is_not_taken_for_the_old_one() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let provisioner = Provisioner::new(pool.clone());
    let old = tenant(&pool, "a");
    assert_eq!(bodies(&mut pool.get(&old).unwrap()).unwrap(), ["from-a"]);
    provisioner.delete(&id("a")).unwrap();
    let anew = provisioner.create(&new("a")).unwrap();
    assert!(anew.epoch() > old.epoch());
    assert_eq!(bodies(&mut pool.get(&anew).unwrap()).unwrap(), [""; 0]);
}

#[test]
fn rows_that_migrations_wrote_are_the_same_in_every_clone() {
    let db = TestDb::new();
    db.sql(
        r#"SET search_path TO __template__;
           CREATE TABLE kinds (
               id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
               parent int REFERENCES kinds,
               name text NOT NULL COLLATE "C",
               twice text GENERATED ALWAYS AS (name || name) STORED,
               bytes bytea, tags text[], extra jsonb, pad char(4), rate float8
           );
           CREATE TABLE nothing_of_its_own ();
           INSERT INTO kinds (name, bytes, tags, extra, pad, rate) VALUES
               ('it''s', '\x00ff5c', '{a,"b c",NULL}', '{"k": "\\v"}', 'x', 0.1 + 0.2),
               ('back\slash', NULL, '{}', 'null', '', 'NaN');
           INSERT INTO kinds (parent, name) VALUES (2, 'child'), (3, 'grandchild');
           INSERT INTO nothing_of_its_own DEFAULT VALUES"#,
    );
    let pool = db.pool(1);
    Provisioner::new(pool.clone()).create(&new("acme")).unwrap();
    let all = |schema: &str| {
        db.value(&format!(
            "SELECT (SELECT json_agg(k ORDER BY id) FROM {schema}.kinds k)::text \
             || (SELECT count(*) FROM {schema}.nothing_of_its_own)"
        ))
    };
    assert_eq!(all("acme"), all("__template__"));
    assert!(all("acme").contains("grandchild"));
    let mut conn = pool.get(&tenant(&pool, "acme")).unwrap();
    let next = "INSERT INTO kinds (name) VALUES ('next')";
    conn.batch_execute(next).unwrap();
    assert_eq!(value(&mut conn, "SELECT max(id) FROM kinds"), "5");
    assert_eq!(db.value("SELECT max(id) FROM __template__.kinds"), "4");
}

#[test]
fn a_template_with_very_many_rows_is_refused() {
    let db = TestDb::new();
    db.sql("INSERT INTO __template__.notes (body) SELECT 'x' FROM generate_series(1, 1001)");
    let error = Provisioner::new(db.pool(1))
        .create(&new("acme"))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateUnsupported);
    assert!(error.to_string().contains("notes"), "{error}");
    assert_eq!(traces(&db, "acme"), "0 0 0");
}

#[test]
fn a_zero_byte_is_refused_before_anything_is_sent() {
    let db = TestDb::new();
    let provisioner = Provisioner::new(db.pool(1));
    for bad in [
        new("acme").display_name("a\0b"),
        new("acme").attribute("a\0b", 1),
        new("acme").attribute("list", serde_json::json!(["fine", { "deep": "a\0b" }])),
    ] {
        let error = provisioner.create(&bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
    }
    // What only looks like one.
    provisioner
        .create(&new("acme").attribute("text", "\\u0000"))
        .unwrap();
}
