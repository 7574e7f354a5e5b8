//! Schemas that have gone missing, made anew. E18.

use boardinghouse_core::{
    Doctor, ErrorKind, Migrator, NewTenant, Outcome, Provisioner, SchemaName, Tenant, TenantPool,
    TenantStatus,
};
use boardinghouse_tests::{SHARED, TestDb, add_note, bodies, tenant};
use diesel_migrations::FileBasedMigrations;

use crate::folder::Folder;

fn repair(pool: &TenantPool, id: &str) -> boardinghouse_core::Result<Option<Tenant>> {
    Provisioner::new(pool.clone()).repair(&id.parse().unwrap())
}

fn missing(pool: &TenantPool) -> Vec<String> {
    let missing = Provisioner::new(pool.clone()).missing_schemas().unwrap();
    missing
        .iter()
        .map(|missing| match &missing.now_called {
            Some(name) => format!("{} is {name}", missing.tenant.id()),
            None => missing.tenant.id().to_string(),
        })
        .collect()
}

#[test]
fn a_schema_that_was_dropped_by_hand_is_made_anew_from_the_template() {
    let db = TestDb::new();
    let (pool, other) = (db.pool(2), db.pool(2));
    let before = tenant(&pool, "b");
    assert_eq!(
        bodies(&mut other.get(&before).unwrap()).unwrap(),
        ["from-b"]
    );
    assert!(missing(&pool).is_empty());
    assert_eq!(repair(&pool, "b").unwrap(), None);
    assert_eq!(tenant(&pool, "b"), before);

    db.sql("DROP SCHEMA b CASCADE");
    assert_eq!(missing(&pool), ["b"]);
    let error = pool.get(&before).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaUnavailable);
    let told = |finding: &boardinghouse_core::Finding| {
        finding.code == "BH007" && finding.hint.contains("boardinghouse repair")
    };
    let checkup = Doctor::new(pool.clone()).check().unwrap();
    assert!(checkup.findings.iter().any(told), "{checkup:?}");

    let repaired = repair(&pool, "b").unwrap().unwrap();
    assert_eq!(repaired, tenant(&pool, "b"));
    assert_eq!(repaired.incarnation(), before.incarnation());
    assert!(repaired.epoch() > before.epoch());
    assert_eq!(db.tables("b"), db.tables("__template__"));
    assert!(missing(&pool).is_empty());
    assert_eq!(repair(&pool, "b").unwrap(), None);
    // Whoever had it open sees the new one, and its bait is not seen.
    for pool in [&pool, &other] {
        let mut conn = pool.get(&before).unwrap();
        assert!(bodies(&mut conn).unwrap().is_empty());
    }
    add_note(&mut pool.get(&repaired).unwrap(), "anew").unwrap();
    assert_eq!(bodies(&mut other.get(&before).unwrap()).unwrap(), ["anew"]);
    assert_eq!(
        bodies(&mut pool.get(&tenant(&pool, "a")).unwrap()).unwrap(),
        ["from-a"]
    );
    assert!(!Doctor::new(pool).check().unwrap().has_errors());
}

#[test]
fn a_tenant_keeps_what_it_is() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let provisioner = Provisioner::new(pool.clone());
    provisioner.suspend(&"b".parse().unwrap()).unwrap();
    db.sql("DROP SCHEMA b CASCADE; CREATE SCHEMA \"Legacy\"");
    let legacy = NewTenant::new("old".parse().unwrap())
        .adopt(SchemaName::existing("Legacy").unwrap())
        .domain("old.test".parse().unwrap())
        .attribute("seats", 5);
    provisioner.create(&legacy).unwrap();
    let deferred = NewTenant::new("later".parse().unwrap()).deferred();
    provisioner.create(&deferred).unwrap();
    db.sql("DROP SCHEMA \"Legacy\"");
    // What has no schema yet lacks none.
    assert_eq!(missing(&pool), ["b", "old"]);
    assert_eq!(repair(&pool, "later").unwrap(), None);
    assert_eq!(tenant(&pool, "later").status(), TenantStatus::Pending);

    let suspended = repair(&pool, "b").unwrap().unwrap();
    assert_eq!(suspended.status(), TenantStatus::Suspended);
    assert_eq!(
        pool.get(&suspended).unwrap_err().kind(),
        ErrorKind::TenantUnavailable
    );
    // What was adopted is not ours to make, or it would be ours to drop when it is back.
    let error = repair(&pool, "old").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaUnavailable);
    assert!(error.to_string().contains("was adopted"), "{error}");
    db.sql("CREATE SCHEMA \"Legacy\"; CREATE TABLE \"Legacy\".kept (id int)");
    let old = tenant(&pool, "old");
    assert_eq!(
        (old.is_adopted(), &old.attributes()["seats"]),
        (true, &5.into())
    );
    assert!(!provisioner.delete(old.id()).unwrap().schema_dropped);
}

#[test]
fn a_schema_that_only_has_another_name_is_not_made_anew() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let folder = Folder::with_tags();
    let migrator = Migrator::new(pool.clone())
        .shared(SHARED)
        .tenants(FileBasedMigrations::from_path(folder.path()).unwrap());
    migrator.run().unwrap().into_result().unwrap();
    db.sql("ALTER SCHEMA b RENAME TO \"b moved\"");
    assert_eq!(missing(&pool), ["b is b moved"]);
    let told = |finding: &boardinghouse_core::Finding| {
        finding.code == "BH007" && finding.message.contains("called b moved now")
    };
    let checkup = Doctor::new(pool.clone()).check().unwrap();
    assert!(checkup.findings.iter().any(told), "{checkup:?}");
    let error = repair(&pool, "b").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaUnavailable);
    assert!(error.to_string().contains("called b moved now"), "{error}");
    db.sql("ALTER SCHEMA \"b moved\" RENAME TO b");
    assert_eq!(repair(&pool, "b").unwrap(), None);
    assert_eq!(
        bodies(&mut pool.get(&tenant(&pool, "b")).unwrap()).unwrap(),
        ["from-b"]
    );
    db.sql("DROP SCHEMA b CASCADE");
    assert!(repair(&pool, "b").unwrap().is_some());
    migrator.require_current().unwrap();
}

#[test]
fn what_cannot_be_repaired_stays_as_it_is() {
    let db = TestDb::new();
    let pool = db.pool(2);
    assert_eq!(
        repair(&pool, "nobody").unwrap_err().kind(),
        ErrorKind::TenantNotFound
    );
    db.sql("DROP SCHEMA b CASCADE; ALTER SCHEMA __template__ RENAME TO elsewhere");
    let error = repair(&pool, "b").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateMissing);
    assert_eq!(error.tenant(), Some(tenant(&pool, "b").id()));
    assert_eq!(missing(&pool), ["b"]);
    assert_eq!(tenant(&pool, "b").status(), TenantStatus::Ready);
    db.sql("ALTER SCHEMA elsewhere RENAME TO __template__");
    // A row that was written by hand, with a name that has another role.
    db.sql(
        "INSERT INTO boardinghouse.tenants (id, schema_name, display_name, status, adopted) \
         VALUES ('waits', '__ready_7', 'waits', 'ready', false)",
    );
    assert_eq!(
        repair(&pool, "waits").unwrap_err().kind(),
        ErrorKind::ReservedName
    );
    repair(&pool, "b").unwrap().unwrap();
    let empty = TestDb::empty();
    let error = Provisioner::new(empty.pool(1))
        .missing_schemas()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RegistryMissing);
}

#[test]
fn of_many_who_repair_at_once_one_does() {
    let db = TestDb::new();
    let pool = db.pool(4);
    Provisioner::new(pool.clone()).keep_ready(1).unwrap();
    db.sql("DROP SCHEMA b CASCADE");
    let repaired: Vec<Option<Tenant>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| repair(&pool, "b").unwrap()))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect()
    });
    assert_eq!(repaired.iter().flatten().count(), 1, "{repaired:?}");
    assert_eq!(db.tables("b"), db.tables("__template__"));
}

#[test]
fn a_tenant_that_missed_a_migration_has_it_afterwards() {
    let db = TestDb::new();
    let pool = db.pool(2);
    db.sql("DROP SCHEMA b CASCADE");
    let folder = Folder::with_tags();
    let migrator = Migrator::new(pool.clone())
        .shared(SHARED)
        .tenants(FileBasedMigrations::from_path(folder.path()).unwrap());
    let report = migrator.run().unwrap();
    assert!(!report.is_success(), "{report:?}");
    repair(&pool, "b").unwrap().unwrap();
    assert!(db.tables("b").contains("tags"));
    let report = migrator.run().unwrap();
    let done = |entry: &boardinghouse_core::ReportEntry| {
        matches!(entry.outcome, Outcome::Done) && entry.applied.is_empty()
    };
    assert!(report.entries.iter().all(done), "{report:?}");
    migrator.require_current().unwrap();
}
