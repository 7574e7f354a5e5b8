//! The registry: its rows and what keeps them right.

use boardinghouse_core::{
    Doctor, DomainName, ErrorKind, Layout, Migrator, NewTenant, PgRegistry, Provisioner,
    SchemaName, Selection,
};
use boardinghouse_tests::{SHARED, TENANT, TestDb, bodies, tenant, value};
use diesel::connection::SimpleConnection;
use serde_json::json;

#[test]
fn initialising_twice_changes_nothing_the_second_time() {
    let db = TestDb::empty();
    let pool = db.pool(1);
    assert!(!PgRegistry::new(pool.clone()).is_initialized().unwrap());
    let migrator = Migrator::new(pool.clone());
    assert_eq!(migrator.init().unwrap().entries[0].applied.len(), 7);
    // Any DDL of the second run would fail.
    db.sql("CREATE FUNCTION public.no() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'DDL'; END $$;
            CREATE EVENT TRIGGER no_ddl ON ddl_command_start EXECUTE FUNCTION public.no()");
    let again = migrator.init().unwrap();
    assert!(
        again.is_success() && again.entries[0].applied.is_empty(),
        "{again:?}"
    );
    assert!(PgRegistry::new(pool).is_initialized().unwrap());
    assert_eq!(db.tables("__template__"), "");
}

#[test]
fn the_registry_refuses_rows_that_the_library_would_not_write() {
    let db = TestDb::new();
    let insert = |id: &str, schema: &str| {
        db.connect().batch_execute(&format!(
            "INSERT INTO boardinghouse.tenants (id, schema_name, display_name) VALUES ('{id}', '{schema}', 'x')"
        ))
    };
    for (id, schema) in [
        ("ACME", "acme"),
        ("acme", "A"),
        ("acme", "B"),
        ("x_y", "x"),
        ("public", "x"),
        ("x", "public"),
        ("x", "pg_x"),
        ("x", "boardinghouse"),
        ("x", ""),
        ("a", "other"),
    ] {
        assert!(insert(id, schema).is_err(), "{id} {schema}");
    }
    insert("fine", "Fine").unwrap();
    assert!(
        db.connect()
            .batch_execute("UPDATE boardinghouse.tenants SET attributes = '[]'")
            .is_err()
    );
    assert!(
        db.connect()
            .batch_execute("INSERT INTO boardinghouse.domains VALUES ('A.test', 'a')")
            .is_err()
    );
}

#[test]
fn attributes_are_read_as_the_applications_types() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let new = NewTenant::new("acme".parse().unwrap())
        .display_name("Acme Inc.")
        .attribute("paid_until", "2030-01-01")
        .attribute("limits", json!({ "seats": 3 }));
    Provisioner::new(pool.clone()).create(&new).unwrap();
    let acme = tenant(&pool, "acme");
    assert_eq!(acme.display_name(), "Acme Inc.");
    assert_eq!(
        acme.attribute::<String>("paid_until").unwrap().unwrap(),
        "2030-01-01"
    );
    let limits: std::collections::HashMap<String, u8> = acme.attribute("limits").unwrap().unwrap();
    assert_eq!(limits["seats"], 3);
    let wrong = acme.attribute::<u8>("paid_until").unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::InvalidInput);
    assert!(wrong.to_string().contains("paid_until") && wrong.to_string().contains("acme"));
    assert_eq!(acme.attribute::<u8>("none").unwrap(), None);
}

#[test]
fn domains_lead_to_their_tenant_in_any_spelling() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let new = NewTenant::new("acme".parse().unwrap())
        .domain("Notes.ACME.test.".parse().unwrap())
        .domain("acme.test:8080".parse().unwrap());
    Provisioner::new(pool.clone()).create(&new).unwrap();
    let registry = PgRegistry::new(pool);
    let find = |host: &str| {
        let found = registry
            .find_by_domain(&DomainName::parse(host).unwrap())
            .unwrap();
        found.map(|tenant| tenant.id().to_string())
    };
    assert_eq!(find("notes.acme.test").as_deref(), Some("acme"));
    assert_eq!(find("ACME.test.:99").as_deref(), Some("acme"));
    assert_eq!(find("other.test"), None);
    let domains = registry.domains(&"acme".parse().unwrap()).unwrap();
    assert_eq!(domains[0].name, "notes.acme.test");
    assert!(domains[0].is_primary && !domains[1].is_primary);
}

#[test]
fn a_missing_registry_says_what_to_do() {
    let db = TestDb::empty();
    let pool = db.pool(1);
    let registry = PgRegistry::new(pool.clone());
    for error in [
        registry.list().unwrap_err(),
        registry.find(&"a".parse().unwrap()).unwrap_err(),
        Provisioner::new(pool)
            .create(&NewTenant::new("a".parse().unwrap()))
            .unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::RegistryMissing, "{error:?}");
        assert!(error.to_string().contains("boardinghouse init"));
    }
}

#[test]
fn a_registry_query_ignores_tables_of_the_same_name_on_the_path() {
    let db = TestDb::new();
    db.sql("CREATE TABLE public.tenants (id text); CREATE TABLE public.domains (domain text)");
    let pool = db.pool(1);
    assert_eq!(PgRegistry::new(pool).list().unwrap().len(), 2);
}

#[test]
fn everything_works_with_other_names_for_the_shared_schema_and_the_template() {
    let db = TestDb::empty();
    let layout = Layout::default()
        .with_shared(SchemaName::existing("core").unwrap())
        .unwrap()
        .with_template(SchemaName::existing("tpl0").unwrap())
        .unwrap()
        .with_prefix("t_")
        .unwrap();
    let pool = db.pool_for(layout);
    // The fixture's tenant migrations name `public.users`, which is not the shared schema here.
    db.sql("CREATE TABLE public.users (id serial PRIMARY KEY)");
    let report = Migrator::new(pool.clone())
        .shared(SHARED)
        .tenants(TENANT)
        .run()
        .unwrap();
    assert!(report.is_success(), "{report:?}");
    let created = Provisioner::new(pool.clone())
        .create(&NewTenant::new("a".parse().unwrap()))
        .unwrap();
    assert_eq!(created.schema().as_str(), "t_a");
    let mut conn = pool.get(&tenant(&pool, "a")).unwrap();
    assert_eq!(bodies(&mut conn).unwrap(), [""; 0]);
    assert_eq!(
        value(&mut conn, "SELECT current_setting('search_path')"),
        "t_a, core, pg_temp"
    );
    drop(conn);
    assert_eq!(db.tables("core"), "__diesel_schema_migrations,notes,users");
    assert_eq!(db.tables("tpl0"), "__diesel_schema_migrations,notes");
    assert_eq!(db.tables("public"), "users");
}

/// Puts the registry back to what the first release made of it.
fn make_older(db: &TestDb) {
    db.sql(include_str!(
        "../migrations/2026-11-29-000000_ready_numbers/down.sql"
    ));
    db.sql(include_str!(
        "../migrations/2026-11-28-200000_logins/down.sql"
    ));
    db.sql(include_str!(
        "../migrations/2026-11-28-180000_people/down.sql"
    ));
    db.sql(include_str!(
        "../migrations/2026-11-28-000000_ledger/down.sql"
    ));
    db.sql(include_str!(
        "../migrations/2026-11-24-120000_clones/down.sql"
    ));
    db.sql(include_str!(
        "../migrations/2026-11-24-000000_epochs/down.sql"
    ));
    db.sql(
        "DELETE FROM boardinghouse.__diesel_schema_migrations WHERE version >= '20261124000000'",
    );
}

#[test]
fn a_registry_that_is_older_than_the_library_says_what_to_do() {
    let db = TestDb::new();
    make_older(&db);
    let pool = db.pool(1);
    let registry = PgRegistry::new(pool.clone());
    let provisioner = Provisioner::new(pool.clone());
    let a = "a".parse().unwrap();
    let z = "z".parse().unwrap();
    let migrator = || Migrator::new(pool.clone()).shared(SHARED).tenants(TENANT);
    assert!(registry.is_initialized().unwrap());
    for (what, error) in [
        ("list", registry.list().unwrap_err()),
        ("find", registry.find(&a).unwrap_err()),
        (
            "find_by_domain",
            registry
                .find_by_domain(&DomainName::parse("a.test").unwrap())
                .unwrap_err(),
        ),
        (
            "create",
            provisioner
                .create(&NewTenant::new("c".parse().unwrap()))
                .unwrap_err(),
        ),
        ("delete", provisioner.delete(&a).unwrap_err()),
        ("rename", provisioner.rename(&a, &z).unwrap_err()),
        ("suspend", provisioner.suspend(&a).unwrap_err()),
        (
            "migrate one",
            migrator()
                .run_selected(&Selection::Only(vec![a.clone()]))
                .unwrap_err(),
        ),
        (
            "migrate tenants",
            migrator().run_selected(&Selection::Tenants).unwrap_err(),
        ),
    ] {
        assert_eq!(
            error.kind(),
            ErrorKind::RegistryMissing,
            "{what}: {error:?}"
        );
        assert!(
            error.to_string().contains("older")
                && error.to_string().contains("boardinghouse migrate"),
            "{what}: {error}"
        );
    }
    let checkup = Doctor::new(pool.clone()).check().unwrap();
    assert!(checkup.has_errors());
    assert_eq!(checkup.findings[0].code, "BH001");

    // What is pending can be seen, and mended.
    let plan = migrator().plan(&Selection::All).unwrap();
    assert_eq!(
        plan.targets[0].pending,
        [
            "2026-11-24-000000_epochs",
            "2026-11-24-120000_clones",
            "2026-11-28-000000_ledger",
            "2026-11-28-180000_people",
            "2026-11-28-200000_logins",
            "2026-11-29-000000_ready_numbers"
        ]
    );
    assert_eq!(plan.targets.len(), 5);
    let report = migrator().run().unwrap();
    assert!(report.is_success(), "{report:?}");
    let tenants = registry.list().unwrap();
    assert!(tenants.iter().all(|tenant| tenant.incarnation() > 0));
    assert_ne!(tenants[0].incarnation(), tenants[1].incarnation());
    assert_eq!(
        bodies(&mut pool.get(&tenants[0]).unwrap()).unwrap(),
        ["from-a"]
    );
    provisioner.rename(&a, &z).unwrap();
}
