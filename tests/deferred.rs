//! Tenants that are registered now and get their schemas later. E02.

use std::time::Duration;

use boardinghouse_core::{
    Doctor, ErrorKind, Migrator, NewTenant, Outcome, PgRegistry, Provisioner, SchemaName, Tenant,
    TenantPool, TenantStatus,
};
use boardinghouse_tests::{SHARED, TestDb, add_note, bodies, tenant};
use diesel::connection::SimpleConnection;
use diesel_migrations::FileBasedMigrations;

use crate::folder::Folder;

fn new(id: &str) -> NewTenant {
    NewTenant::new(id.parse().unwrap())
}

fn defer(pool: &TenantPool, id: &str) -> Tenant {
    let provisioner = Provisioner::new(pool.clone());
    provisioner.create(&new(id).deferred()).unwrap()
}

fn provision(pool: &TenantPool, id: &str) -> boardinghouse_core::Result<Tenant> {
    Provisioner::new(pool.clone()).provision(&id.parse().unwrap())
}

fn status(pool: &TenantPool, id: &str) -> TenantStatus {
    tenant(pool, id).status()
}

fn schemas(db: &TestDb, like: &str) -> String {
    db.value(&format!(
        "SELECT count(*) FROM pg_namespace WHERE nspname LIKE '{like}'"
    ))
}

#[test]
fn a_deferred_tenant_is_a_row_until_it_is_provisioned() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let provisioner = Provisioner::new(pool.clone());
    let wanted = new("acme")
        .display_name("Acme Inc.")
        .domain("acme.test".parse().unwrap())
        .kind("shop")
        .attribute("seats", 5)
        .deferred();
    let pending = provisioner.create(&wanted).unwrap();
    assert_eq!(pending.status(), TenantStatus::Pending);
    assert_eq!(pending, tenant(&pool, "acme"));
    assert_eq!(schemas(&db, "acme"), "0");
    let error = pool.get(&pending).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TenantUnavailable);
    assert!(error.to_string().contains("acme is pending"), "{error}");
    // Nobody else gets its names.
    let error = provisioner.create(&new("acme")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TenantExists);

    let ready = provisioner.provision(pending.id()).unwrap();
    assert_eq!(ready.status(), TenantStatus::Ready);
    assert_eq!(ready, tenant(&pool, "acme"));
    assert_eq!(ready.incarnation(), pending.incarnation());
    assert!(ready.epoch() > pending.epoch());
    assert_eq!(db.tables("acme"), db.tables("__template__"));
    // Who has read it before is served, too: the pool asks anew.
    let mut conn = pool.get(&ready).unwrap();
    add_note(&mut conn, "first").unwrap();
    drop(conn);
    // Again does nothing, also where it is suspended.
    assert_eq!(provisioner.provision(ready.id()).unwrap(), ready);
    provisioner.suspend(ready.id()).unwrap();
    provisioner.provision(ready.id()).unwrap();
    assert_eq!(status(&pool, "acme"), TenantStatus::Suspended);
    let resumed = provisioner.resume(ready.id()).unwrap();
    assert_eq!(bodies(&mut pool.get(&resumed).unwrap()).unwrap(), ["first"]);
    // It is a tenant as every other: its schema goes with it.
    assert!(provisioner.delete(ready.id()).unwrap().schema_dropped);
    let error = provisioner.provision(ready.id()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TenantNotFound);
}

#[test]
fn all_that_are_pending_are_provisioned_who_came_first_first() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let provisioner = Provisioner::new(pool.clone());
    for id in ["z", "d", "m"] {
        defer(&pool, id);
    }
    db.sql("CREATE SCHEMA d");
    // One is taken from those that wait.
    let waiting = provisioner.keep_ready(1).unwrap().created;
    let oid = db.value(&format!(
        "SELECT oid FROM pg_namespace WHERE nspname = '{}'",
        waiting[0]
    ));
    let report = provisioner.provision_pending().unwrap();
    let told: Vec<String> = report
        .entries
        .iter()
        .map(|entry| match &entry.result {
            Ok(tenant) => format!("{} {}", entry.tenant.id(), tenant.status()),
            Err(error) => format!("{} {:?}", entry.tenant.id(), error.kind()),
        })
        .collect();
    assert_eq!(told, ["z ready", "d SchemaExists", "m ready"]);
    assert!(!report.is_success());
    assert_eq!(
        db.value("SELECT oid FROM pg_namespace WHERE nspname = 'z'"),
        oid
    );
    assert_eq!(provisioner.ready_schemas().unwrap().ready, []);
    // What failed can be seen, is not touched, and can be tried again when the reason is gone.
    assert_eq!(status(&pool, "d"), TenantStatus::Failed);
    let report = provisioner.provision_pending().unwrap();
    assert!(report.entries.is_empty(), "{report:?}");
    let error = provision(&pool, "d").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaExists);
    assert_eq!(error.tenant(), Some(tenant(&pool, "d").id()));
    db.sql("DROP SCHEMA d");
    provision(&pool, "d").unwrap();
    assert_eq!(db.tables("d"), db.tables("__template__"));
}

#[test]
fn what_is_not_the_tenants_fault_leaves_it_pending() {
    let db = TestDb::new();
    let pool = db.pool(2);
    defer(&pool, "acme");
    // Somebody writes to the template all the time.
    let mut other = db.connect();
    other
        .batch_execute(&format!(
            "SELECT pg_advisory_lock({}, hashtext('__template__'))",
            0x6268_0001
        ))
        .unwrap();
    let hasty = Provisioner::new(pool.clone()).lock_wait(Duration::from_millis(50));
    let id = "acme".parse().unwrap();
    assert_eq!(hasty.provision(&id).unwrap_err().kind(), ErrorKind::Locked);
    drop(other);
    db.sql("ALTER SCHEMA __template__ RENAME TO elsewhere");
    let error = provision(&pool, "acme").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateMissing);
    assert_eq!(status(&pool, "acme"), TenantStatus::Pending);
    db.sql("ALTER SCHEMA elsewhere RENAME TO __template__");
    let report = Provisioner::new(pool.clone()).provision_pending().unwrap();
    assert!(report.is_success() && report.entries.len() == 1);
    let empty = TestDb::empty();
    let error = Provisioner::new(empty.pool(1)).provision_pending();
    assert_eq!(error.unwrap_err().kind(), ErrorKind::RegistryMissing);
}

#[test]
fn many_who_provision_at_once_make_each_schema_once() {
    let db = TestDb::new();
    let pool = db.pool(8);
    let ids: Vec<String> = (0..12).map(|n| format!("n{n}")).collect();
    for id in &ids {
        defer(&pool, id);
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let provisioner = Provisioner::new(pool.clone());
                    provisioner.provision_pending().unwrap()
                })
            })
            .collect();
        for worker in workers {
            let report = worker.join().unwrap();
            assert!(report.is_success(), "{report:?}");
        }
    });
    let registry = PgRegistry::new(pool.clone());
    for tenant in registry.list().unwrap() {
        assert_eq!(tenant.status(), TenantStatus::Ready);
        assert_eq!(
            db.tables(tenant.schema().as_str()),
            db.tables("__template__")
        );
    }
    assert_eq!(schemas(&db, "n%"), "12");
}

#[test]
fn a_migration_leaves_pending_tenants_out_and_says_so() {
    let db = TestDb::new();
    let pool = db.pool(2);
    defer(&pool, "acme");
    defer(&pool, "stuck");
    db.sql("UPDATE boardinghouse.tenants SET status = 'failed' WHERE id = 'stuck'");
    let folder = Folder::with_tags();
    let migrator = Migrator::new(pool.clone())
        .shared(SHARED)
        .tenants(FileBasedMigrations::from_path(folder.path()).unwrap());
    let report = migrator.run().unwrap();
    assert!(report.is_success(), "{report:?}");
    let skipped: Vec<String> = report
        .entries
        .iter()
        .filter_map(|entry| match &entry.outcome {
            Outcome::Skipped(reason) => Some(format!("{}: {reason}", entry.target)),
            _ => None,
        })
        .collect();
    assert_eq!(
        skipped,
        [
            "tenant acme: the tenant is pending: `boardinghouse provision` makes its schema",
            "tenant stuck: the tenant is failed: `boardinghouse provision` makes its schema",
        ]
    );
    migrator.require_current().unwrap();
    // Whoever comes later is at the newest version.
    provision(&pool, "acme").unwrap();
    provision(&pool, "stuck").unwrap();
    assert!(db.tables("acme").contains("tags"));
    migrator.require_current().unwrap();
    let report = migrator.run().unwrap();
    let done = |entry: &boardinghouse_core::ReportEntry| {
        matches!(entry.outcome, Outcome::Done) && entry.applied.is_empty()
    };
    assert!(report.entries.iter().all(done), "{report:?}");
}

#[test]
fn of_a_pending_tenant_the_row_alone_is_deleted() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let provisioner = Provisioner::new(pool.clone());
    for id in ["acme", "globex"] {
        defer(&pool, id);
    }
    // It has the name, and is not ours.
    db.sql("CREATE SCHEMA acme; CREATE TABLE acme.kept (id int)");
    provision(&pool, "acme").unwrap_err();
    for id in ["acme", "globex"] {
        let deleted = provisioner.delete(&id.parse().unwrap()).unwrap();
        assert!(!deleted.schema_dropped, "{deleted:?}");
    }
    assert_eq!(db.tables("acme"), "kept");
    assert_eq!(db.value("SELECT count(*) FROM boardinghouse.tenants"), "2");
}

#[test]
fn rows_that_were_written_by_hand_are_provisioned_too() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let insert = |id: &str, schema: &str| {
        db.sql(&format!(
            "INSERT INTO boardinghouse.tenants (id, schema_name, display_name) \
             VALUES ('{id}', '{schema}', '{id}')"
        ));
    };
    insert("fresh", "fresh_one");
    insert("old", "Legacy");
    insert("waits", "__ready_7");
    insert("template", "__template__");
    db.sql("CREATE SCHEMA \"Legacy\"; CREATE TABLE \"Legacy\".kept (id int)");
    let report = Provisioner::new(pool.clone()).provision_pending().unwrap();
    let failed: Vec<_> = report
        .failures()
        .map(|(tenant, error)| (tenant.id().as_str(), error.kind()))
        .collect();
    let reserved = ErrorKind::ReservedName;
    assert_eq!(failed, [("waits", reserved), ("template", reserved)]);
    let fresh = tenant(&pool, "fresh");
    assert!(!fresh.is_adopted());
    assert_eq!(db.tables("fresh_one"), db.tables("__template__"));
    let old = tenant(&pool, "old");
    assert!(old.is_adopted());
    assert_eq!(old.status(), TenantStatus::Ready);
    assert_eq!(db.tables("Legacy"), "kept");
    assert_eq!(status(&pool, "template"), TenantStatus::Failed);
    assert_eq!(schemas(&db, "\\_\\_template\\_\\_"), "1");
}

#[test]
fn what_cannot_be_deferred_is_refused_before_anything_is_written() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let provisioner = Provisioner::new(pool.clone());
    let schema = SchemaName::parse("a").unwrap();
    for new in [
        new("acme").deferred().adopt(schema.clone()),
        new("acme").deferred().copy_of(schema),
    ] {
        let error = provisioner.create(&new).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    db.sql("CREATE SCHEMA taken");
    let error = provisioner.create(&new("taken").deferred()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaExists);
    assert_eq!(db.value("SELECT count(*) FROM boardinghouse.tenants"), "2");
    // In the caller's transaction, which is taken back.
    let mut conn = pool.get_shared().unwrap();
    let rolled_back = conn.build_transaction().run(|conn| {
        provisioner
            .create_in(conn, &new("acme").deferred())
            .unwrap();
        Err::<(), _>(diesel::result::Error::RollbackTransaction)
    });
    assert!(rolled_back.is_err());
    drop(conn);
    assert_eq!(db.value("SELECT count(*) FROM boardinghouse.tenants"), "2");
    // What is pending is told.
    defer(&pool, "acme");
    let checkup = Doctor::new(pool).check().unwrap();
    let told = |finding: &boardinghouse_core::Finding| finding.message.contains("acme is pending");
    assert!(checkup.findings.iter().any(told), "{checkup:?}");
}
