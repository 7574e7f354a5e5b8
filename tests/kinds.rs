//! Kinds of tenants with migrations of their own. A16, W36.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use boardinghouse_core::{
    Doctor, Drift, ErrorKind, Gate, Goal, Group, Layout, MigrationReport, Migrator, NewTenant,
    Outcome, Provisioner, Requirement, Requirements, Selection, Tenant, TenantFilter, TenantPool,
    lint::Lint,
};
use boardinghouse_tests::{SHARED, TENANT, TestDb, tenant, until};
use diesel::{
    connection::{
        Instrumentation, InstrumentationEvent, SimpleConnection, set_default_instrumentation,
    },
    migration::{Migration, MigrationSource},
    pg::Pg,
};
use diesel_migrations::FileBasedMigrations;

use crate::{folder::Folder, stacked::DEFAULT_INSTRUMENTATION};

const FIRST: &str = "2026-01-01-000000_first";
const ITEMS: &str = "2026-02-01-000000_items";
const PATIENTS: &str = "2026-02-01-000000_patients";

/// Folders of all tenants, of shops and of clinics.
struct Sets {
    tenant: Folder,
    shop: Folder,
    clinic: Folder,
}

impl Sets {
    fn new() -> Self {
        Self {
            tenant: Folder::new(),
            shop: Folder::empty().pair(
                ITEMS,
                "CREATE TABLE items (id serial PRIMARY KEY)",
                "DROP TABLE items",
            ),
            clinic: Folder::empty().pair(
                PATIENTS,
                "CREATE TABLE patients (id serial PRIMARY KEY)",
                "DROP TABLE patients",
            ),
        }
    }

    fn migrator(&self, pool: &TenantPool) -> Migrator {
        let read = |folder: &Folder| FileBasedMigrations::from_path(folder.path()).unwrap();
        Migrator::new(pool.clone())
            .shared(SHARED)
            .tenants(read(&self.tenant))
            .kind("shop", read(&self.shop))
            .and_then(|migrator| migrator.kind("clinic", read(&self.clinic)))
            .unwrap()
    }
}

fn new(id: &str, kind: &str) -> NewTenant {
    let new = NewTenant::new(id.parse().unwrap());
    match kind {
        "" => new,
        kind => new.kind(kind),
    }
}

fn create(pool: &TenantPool, id: &str, kind: &str) -> Tenant {
    Provisioner::new(pool.clone())
        .create(&new(id, kind))
        .unwrap()
}

/// What `\dt` says, without Diesel's own table.
fn tables(db: &TestDb, schema: &str) -> String {
    let all = db.tables(schema);
    let all = all.split(',').filter(|name| !name.starts_with("__"));
    all.collect::<Vec<_>>().join(",")
}

fn versions(db: &TestDb, schema: &str) -> String {
    let own = db.value(&format!(
        "SELECT coalesce(string_agg(left(version, 8), ',' ORDER BY version COLLATE \"C\"), '') \
         FROM \"{schema}\".__diesel_schema_migrations"
    ));
    let ledger = db.value(&format!(
        "SELECT coalesce((SELECT array_to_string(ARRAY(SELECT left(v, 8) FROM unnest(versions) v), ',') \
         FROM boardinghouse.ledger JOIN boardinghouse.tenants USING (incarnation) \
         WHERE schema_name = '{schema}'), '-')"
    ));
    if ledger != "-" {
        assert_eq!(ledger, own, "{schema}");
    }
    own
}

fn outcomes(report: &MigrationReport) -> Vec<String> {
    let entries = report.entries.iter();
    let outcome = |outcome: &Outcome, applied: &[String]| match outcome {
        Outcome::Done => applied.join("+"),
        Outcome::Skipped(reason) => format!("skipped, {reason}"),
        Outcome::Failed(error) => format!("{:?}", error.kind()),
        other => format!("{other:?}"),
    };
    entries
        .map(|e| format!("{}: {}", e.target, outcome(&e.outcome, &e.applied)))
        .filter(|line| !line.ends_with(": "))
        .collect()
}

fn run(migrator: &Migrator) -> Vec<String> {
    let report = migrator.run().unwrap();
    let outcomes = outcomes(&report);
    report.into_result().unwrap();
    outcomes
}

/// Counts the statements on the connections to one database.
struct Counting(bool);

static COUNTED: Mutex<(String, usize)> = Mutex::new((String::new(), 0));

impl Instrumentation for Counting {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        let mut counted = COUNTED.lock().unwrap();
        match event {
            InstrumentationEvent::StartEstablishConnection { url, .. } => {
                // The name of another test's database may begin as this one's does.
                let rest = url.split_once(&counted.0).map(|(_, rest)| rest);
                self.0 = rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
            }
            InstrumentationEvent::StartQuery { .. } if self.0 => counted.1 += 1,
            _ => {}
        }
    }
}

/// How many statements a piece of work sends on the connections that are opened for it.
fn count(db: &TestDb, work: impl FnOnce()) -> usize {
    let _alone = DEFAULT_INSTRUMENTATION
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    *COUNTED.lock().unwrap() = (db.url().to_owned(), 0);
    set_default_instrumentation(|| Some(Box::new(Counting(false)))).unwrap();
    work();
    set_default_instrumentation(|| None).unwrap();
    COUNTED.lock().unwrap().1
}

#[test]
fn tenants_of_each_kind_have_its_tables_and_the_others_have_none() {
    let db = TestDb::new();
    let pool = db.pool(2);
    // Who is there before its kind has migrations gets what it lacks.
    create(&pool, "old", "shop");
    let sets = Sets::new();
    let migrator = sets.migrator(&pool);
    let plan = migrator.plan(&Selection::All).unwrap();
    let planned: Vec<String> = plan
        .targets
        .iter()
        .filter(|planned| !planned.is_done())
        .map(|planned| {
            format!(
                "{} {} {:?}",
                planned.target, planned.exists, planned.pending
            )
        })
        .collect();
    let expected = [
        format!("template __template_clinic false [{FIRST:?}, {PATIENTS:?}]"),
        format!("template __template_shop false [{FIRST:?}, {ITEMS:?}]"),
        format!("tenant old true [{ITEMS:?}]"),
    ];
    assert_eq!(planned, expected);
    let error = migrator.require_current().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MigrationsPending);
    assert_eq!(
        run(&migrator),
        [
            format!("template __template_clinic: {FIRST}+{PATIENTS}"),
            format!("template __template_shop: {FIRST}+{ITEMS}"),
            format!("tenant old: {ITEMS}"),
        ]
    );
    create(&pool, "x", "shop");
    create(&pool, "y", "clinic");
    create(&pool, "z", "garage");
    create(&pool, "plain", "");
    assert_eq!(tables(&db, "old"), "items,notes");
    assert_eq!(tables(&db, "x"), "items,notes");
    assert_eq!(tables(&db, "y"), "notes,patients");
    for plain in ["z", "plain", "a", "__template__"] {
        assert_eq!(tables(&db, plain), "notes", "{plain}");
    }
    // It is clear which they are: nothing is left of what kept it from being cloned.
    assert_eq!(
        db.value("SELECT count(*) FROM pg_description WHERE classoid = 'pg_namespace'::regclass \
                  AND objoid IN (SELECT oid FROM pg_namespace WHERE nspname LIKE '\\_\\_template\\_%')"),
        "0"
    );
    assert_eq!(run(&migrator), [""; 0]);
    migrator.require_current().unwrap();
    assert_eq!(versions(&db, "x"), "20260101,20260201");
    assert_eq!(versions(&db, "plain"), "20260101");
    let checkup = Doctor::new(pool.clone()).migrations(&migrator).check();
    let codes: Vec<&str> = checkup.unwrap().findings.iter().map(|f| f.code).collect();
    // The bait, which the template's table hides.
    assert_eq!(codes, ["BH012"]);
}

#[test]
fn what_is_new_reaches_those_who_are_to_have_it_in_the_order_of_versions() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let sets = Sets::new();
    run(&sets.migrator(&pool));
    for number in 0..10 {
        create(&pool, &format!("s{number}"), "shop");
        create(&pool, &format!("c{number}"), "clinic");
    }
    // Shops and clinics have the same versions, of which the next ones are the same, too.
    for number in 0..5 {
        let name = format!("2026-02-1{number}-000000_t");
        sets.shop
            .put(&name, &format!("CREATE TABLE s{number} (id int)"));
        sets.clinic
            .put(&name, &format!("CREATE TABLE c{number} (id int)"));
    }
    let some = Group::new("some", TenantFilter::new().only(["s0".parse().unwrap()]));
    let report = sets.migrator(&pool).jobs(1).group(some).run().unwrap();
    assert_eq!(report.failures().count(), 0, "{:?}", outcomes(&report));
    for number in 0..10 {
        assert_eq!(
            tables(&db, &format!("s{number}")),
            "items,notes,s0,s1,s2,s3,s4"
        );
        assert_eq!(
            tables(&db, &format!("c{number}")),
            "c0,c1,c2,c3,c4,notes,patients"
        );
    }
    let note = |what: &str| format!("INSERT INTO notes (body) VALUES ('{what}')");
    sets.shop.put("2026-03-01-000000_shop", &note("shop"));
    sets.tenant.put("2026-03-02-000000_all", &note("all"));
    sets.shop.put("2026-03-03-000000_again", &note("again"));
    // These share transactions.
    sets.shop
        .put("2026-03-04-000000_price", "ALTER TABLE items ADD price int");
    sets.tenant
        .put("2026-03-05-000000_flag", "ALTER TABLE notes ADD flag int");
    let report = sets.migrator(&pool).run().unwrap();
    assert_eq!(report.failures().count(), 0, "{:?}", outcomes(&report));
    let bodies = |schema: &str| {
        db.value(&format!(
            "SELECT coalesce(string_agg(body, ',' ORDER BY id), '') FROM {schema}.notes"
        ))
    };
    for number in 0..10 {
        let (shop, clinic) = (format!("s{number}"), format!("c{number}"));
        assert_eq!(bodies(&shop), "shop,all,again");
        assert_eq!(bodies(&clinic), "all");
        let all = "20260101,20260201,20260210,20260211,20260212,20260213,20260214,20260301,20260302,20260303,20260304,20260305";
        assert_eq!(versions(&db, &shop), all);
        assert_eq!(
            versions(&db, &clinic),
            "20260101,20260201,20260210,20260211,20260212,20260213,20260214,20260302,20260305"
        );
    }
    assert_eq!(versions(&db, "a"), "20260101,20260302,20260305");
    assert_eq!(run(&sets.migrator(&pool)), [""; 0]);
    // The ledger says so without asking them, and they themselves say the same.
    assert_eq!(run(&sets.migrator(&pool).reconcile(true)), [""; 0]);
}

#[test]
fn a_run_that_has_nothing_to_do_asks_as_often_for_many_as_for_few() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let sets = Sets::new();
    let migrator = sets.migrator(&pool);
    run(&migrator);
    let add = |from: usize, to: usize| {
        for number in from..to {
            create(&pool, &format!("s{number}"), "shop");
            create(&pool, &format!("c{number}"), "clinic");
            create(&pool, &format!("p{number}"), "");
        }
        run(&migrator);
    };
    add(0, 2);
    let few = count(&db, || assert_eq!(run(&migrator), [""; 0]));
    add(2, 20);
    let many = count(&db, || assert_eq!(run(&migrator), [""; 0]));
    assert_eq!(few, many);
    assert!(few > 0);
}

/// Runs nothing that can be read as text.
struct Opaque(FileBasedMigrations);

impl MigrationSource<Pg> for Opaque {
    fn migrations(&self) -> diesel::migration::Result<Vec<Box<dyn Migration<Pg>>>> {
        self.0.migrations()
    }
}

#[test]
fn migrations_that_are_no_text_are_found_in_both_sets() {
    let db = TestDb::new();
    let pool = db.pool(2);
    create(&pool, "x", "shop");
    let sets = Sets::new();
    sets.tenant
        .put("2026-03-01-000000_tags", "CREATE TABLE tags (id int)");
    let read = |folder: &Folder| Opaque(FileBasedMigrations::from_path(folder.path()).unwrap());
    let migrator = Migrator::new(pool.clone())
        .tenants(read(&sets.tenant))
        .kind("shop", read(&sets.shop))
        .unwrap();
    run(&migrator);
    assert_eq!(tables(&db, "x"), "items,notes,tags");
    assert_eq!(tables(&db, "__template_shop"), "items,notes,tags");
    assert_eq!(tables(&db, "a"), "notes,tags");
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_done() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let sets = Sets::new();
    let long = "k".repeat(53);
    for (kind, expected) in [
        ("Shop", ErrorKind::InvalidName),
        ("", ErrorKind::InvalidName),
        ("shop_", ErrorKind::InvalidName),
        (long.as_str(), ErrorKind::InvalidName),
    ] {
        let refused = Migrator::new(pool.clone()).kind(kind, TENANT).unwrap_err();
        assert_eq!(refused.kind(), expected, "{kind}");
    }
    // Such a kind is one like any other without migrations.
    create(&pool, "long", &long);
    assert_eq!(tables(&db, "long"), "notes");
    let layout = Layout::default().with_template("__template_shop".parse().unwrap());
    let refused = Migrator::new(db.pool_for(layout.unwrap())).kind("shop", TENANT);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ReservedName);
    // The same version in both.
    sets.shop.put("2026-01-01-000000_mine", "SELECT 1");
    let error = sets.migrator(&pool).run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Migration);
    let message = error.to_string();
    assert!(
        message.contains("2026-01-01-000000_mine") && message.contains(FIRST),
        "{message}"
    );
    let made = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE '\\_\\_template\\_s%'";
    assert_eq!(db.value(made), "0");
}

#[test]
fn no_tenant_can_have_the_template_of_a_kind() {
    let db = TestDb::new();
    let pool = db.pool(1);
    db.sql("CREATE SCHEMA __template_shop");
    let provisioner = Provisioner::new(pool.clone());
    let adopted = new("x", "").adopt("__template_shop".parse().unwrap());
    let error = provisioner.create(&adopted).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReservedName);
    assert!(error.to_string().contains("template of a kind"), "{error}");
    // A row that somebody wrote by hand.
    db.sql(
        "INSERT INTO boardinghouse.tenants (id, schema_name, display_name, status) \
         VALUES ('x', '__template_shop', 'x', 'ready')",
    );
    let error = pool.get(&tenant(&pool, "x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReservedName);
    let report = Migrator::new(pool.clone()).tenants(TENANT).run().unwrap();
    assert_eq!(outcomes(&report), ["tenant x: ReservedName"]);
    // Nor is anything like it.
    for fine in [
        "__template_",
        "__template__",
        "__template_Shop",
        "__templates",
    ] {
        let schema = fine.parse().unwrap();
        let refused = Layout::default().with_template("other".parse().unwrap());
        assert!(refused.unwrap().tenant_schema(&schema).is_ok(), "{fine}");
    }
}

/// What a tenant is cloned from is decided when it is, and is never half of something.
#[test]
fn a_template_that_is_not_finished_is_not_cloned() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let sets = Sets::new();
    let broken = "2026-02-02-000000_broken";
    sets.shop.put(broken, "ALTER TABLE nowhere ADD x int");
    let report = sets.migrator(&pool).run().unwrap();
    let failed = outcomes(&report);
    assert!(
        failed.contains(&"template __template_shop: Migration".to_owned()),
        "{failed:?}"
    );
    assert_eq!(tables(&db, "__template_shop"), "items,notes");
    // As if there were none.
    create(&pool, "x", "shop");
    assert_eq!(tables(&db, "x"), "notes");
    assert_eq!(tables(&db, "__template_clinic"), "notes,patients");
    create(&pool, "y", "clinic");
    assert_eq!(tables(&db, "y"), "notes,patients");
    sets.shop.put(broken, "ALTER TABLE items ADD x int");
    let provisioner = Provisioner::new(pool.clone());
    provisioner.create(&new("before", "shop")).unwrap();
    run(&sets.migrator(&pool));
    // The plan that it has kept is of another template.
    provisioner.create(&new("after", "shop")).unwrap();
    for shop in ["x", "before", "after"] {
        assert_eq!(tables(&db, shop), "items,notes", "{shop}");
        assert_eq!(versions(&db, shop), "20260101,20260201,20260202");
    }
    // A run that was killed after the last migration, and before it was finished.
    db.sql(
        "COMMENT ON SCHEMA __template_shop IS 'boardinghouse: not finished, and not cloned yet'",
    );
    provisioner.create(&new("killed", "shop")).unwrap();
    assert_eq!(tables(&db, "killed"), "notes");
    assert_eq!(
        run(&sets.migrator(&pool)),
        [format!("tenant killed: {ITEMS}+{broken}")]
    );
    provisioner.create(&new("again", "shop")).unwrap();
    assert_eq!(tables(&db, "again"), "items,notes");
    // One that was finished once is cloned, however far it is.
    sets.shop.put("2026-02-03-000000_worse", "SELECT nothing");
    let _ = sets.migrator(&pool).run().unwrap();
    provisioner.create(&new("later", "shop")).unwrap();
    assert_eq!(tables(&db, "later"), "items,notes");
}

#[test]
fn a_tenant_that_is_created_while_the_template_of_its_kind_is_made_is_of_its_kind() {
    let db = TestDb::new();
    let pool = db.pool(4);
    let sets = Sets::new();
    sets.shop.put(
        "2026-02-02-000000_waits",
        "SELECT pg_advisory_xact_lock(4711)",
    );
    let mut holder = db.connect();
    holder
        .batch_execute("SELECT pg_advisory_lock(4711)")
        .unwrap();
    std::thread::scope(|scope| {
        let migrating = scope.spawn(|| run(&sets.migrator(&pool)));
        until(|| {
            db.value(
                "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) \
                 WHERE datname = current_database() AND locktype = 'advisory' \
                 AND NOT granted AND objid = 4711",
            ) == "1"
        });
        assert_eq!(tables(&db, "__template_shop"), "items,notes");
        // Nobody else waits for it.
        create(&pool, "y", "clinic");
        create(&pool, "plain", "");
        let impatient = Provisioner::new(pool.clone()).lock_wait(Duration::from_millis(1));
        let error = impatient.create(&new("never", "shop")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked);
        let creating = scope.spawn(|| create(&pool, "x", "shop"));
        holder
            .batch_execute("SELECT pg_advisory_unlock(4711)")
            .unwrap();
        migrating.join().unwrap();
        creating.join().unwrap();
    });
    assert_eq!(tables(&db, "x"), "items,notes");
    assert_eq!(tables(&db, "y"), "notes,patients");
    assert_eq!(tables(&db, "plain"), "notes");
}

#[test]
fn every_way_to_create_a_tenant_clones_the_template_of_its_kind() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let sets = Sets::new();
    run(&sets.migrator(&pool));
    let provisioner = Provisioner::new(pool.clone());
    // What waits is of the template of everybody: nobody of a kind gets it.
    assert_eq!(provisioner.keep_ready(3).unwrap().created.len(), 3);
    let ready = || provisioner.ready_schemas().unwrap().ready.len();
    provisioner.create(&new("x", "shop")).unwrap();
    assert_eq!((tables(&db, "x").as_str(), ready()), ("items,notes", 3));
    provisioner.create(&new("plain", "")).unwrap();
    assert_eq!((tables(&db, "plain").as_str(), ready()), ("notes", 2));
    provisioner.create(&new("z", "garage")).unwrap();
    assert_eq!((tables(&db, "z").as_str(), ready()), ("notes", 1));
    for (id, kind, expected) in [
        ("in-shop", "shop", "items,notes"),
        ("in-clinic", "clinic", "notes,patients"),
        ("in-none", "", "notes"),
    ] {
        pool.with_shared(|conn| provisioner.create_in(conn, &new(id, kind)))
            .unwrap();
        assert_eq!(tables(&db, &id.replace('-', "_")), expected);
        let later = format!("later-{id}");
        provisioner.create(&new(&later, kind).deferred()).unwrap();
        provisioner.provision(&later.parse().unwrap()).unwrap();
        assert_eq!(tables(&db, &later.replace('-', "_")), expected);
    }
    // Its kind is what it is when it is provisioned.
    provisioner.create(&new("late", "shop").deferred()).unwrap();
    db.sql("UPDATE boardinghouse.tenants SET kind = 'clinic' WHERE id = 'late'");
    provisioner.provision(&"late".parse().unwrap()).unwrap();
    assert_eq!(tables(&db, "late"), "notes,patients");
    assert_eq!(run(&sets.migrator(&pool)), [""; 0]);
}

#[test]
fn a_kind_that_is_changed_while_its_tenant_is_provisioned_is_seen() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let sets = Sets::new();
    run(&sets.migrator(&pool));
    let provisioner = Provisioner::new(pool.clone());
    provisioner.create(&new("late", "shop").deferred()).unwrap();
    let mut holder = db.connect();
    holder
        .batch_execute("BEGIN; UPDATE boardinghouse.tenants SET kind = 'clinic' WHERE id = 'late'")
        .unwrap();
    let late = "late".parse().unwrap();
    let error = std::thread::scope(|scope| {
        let provisioning = scope.spawn(|| provisioner.provision(&late));
        // It has read that it is a shop, and wants to make it ready as one.
        until(|| {
            db.value(
                "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) \
                 WHERE datname = current_database() AND locktype = 'transactionid' AND NOT granted",
            ) != "0"
        });
        holder.batch_execute("COMMIT").unwrap();
        provisioning.join().unwrap().unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert_eq!(tables(&db, "late"), "");
    provisioner.provision(&late).unwrap();
    assert_eq!(tables(&db, "late"), "notes,patients");
}

#[test]
fn a_tenant_of_another_kind_now_gets_what_it_lacks_and_is_told_of() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let sets = Sets::new();
    let migrator = sets.migrator(&pool);
    run(&migrator);
    create(&pool, "x", "shop");
    db.sql("UPDATE boardinghouse.tenants SET kind = 'clinic' WHERE id = 'x'");
    // The same version is not the same migration. It cannot be told, so it must not be.
    let moved = "2026-02-05-000000_patients";
    std::fs::remove_dir_all(sets.clinic.path().join(PATIENTS)).unwrap();
    sets.clinic.pair_in_place(
        moved,
        "CREATE TABLE IF NOT EXISTS patients (id serial PRIMARY KEY)",
        "DROP TABLE patients",
    );
    let migrator = sets.migrator(&pool);
    run(&migrator);
    assert_eq!(tables(&db, "x"), "items,notes,patients");
    let plan = migrator.plan(&Selection::All).unwrap();
    assert!(plan.is_empty());
    let x = plan
        .targets
        .iter()
        .find(|p| p.target.to_string() == "tenant x");
    let x = x.unwrap();
    assert_eq!(x.unknown, ["20260201000000"]);
    assert_eq!(x.of_other_kinds["20260201000000"], "shop");
    let checkup = Doctor::new(pool.clone())
        .migrations(&migrator)
        .check()
        .unwrap();
    let told: Vec<&str> = checkup
        .findings
        .iter()
        .filter(|finding| finding.tenant.is_some())
        .map(|finding| finding.message.as_str())
        .collect();
    assert_eq!(
        told,
        [
            "tenant x has versions that are of another kind than it is, and what they made: \
          20260201000000 of kind shop"
        ]
    );
    // Of no kind any more.
    db.sql("UPDATE boardinghouse.tenants SET kind = NULL WHERE id = 'x'");
    let plan = migrator.plan(&Selection::All).unwrap();
    let x = plan
        .targets
        .iter()
        .find(|p| p.target.to_string() == "tenant x");
    assert_eq!(x.unwrap().of_other_kinds.len(), 2);
    run(&migrator.goal(Goal::Prune));
    assert_eq!(versions(&db, "x"), "20260101");
    assert_eq!(versions(&db, "__template_shop"), "20260101,20260201");
}

#[test]
fn versions_of_a_kind_are_taken_back_where_they_are() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let sets = Sets::new();
    sets.tenant.pair_in_place(
        "2026-02-03-000000_tags",
        "CREATE TABLE tags (id int)",
        "DROP TABLE tags",
    );
    sets.shop.pair_in_place(
        "2026-02-04-000000_carts",
        "CREATE TABLE carts (id int)",
        "DROP TABLE carts",
    );
    run(&sets.migrator(&pool));
    create(&pool, "x", "shop");
    create(&pool, "y", "clinic");
    let to = |goal: Goal| {
        let report = sets.migrator(&pool).goal(goal);
        let report = report.run_selected(&Selection::Tenants).unwrap();
        assert_eq!(report.failures().count(), 0, "{:?}", outcomes(&report));
        ["x", "y", "a", "__template_shop", "__template_clinic"].map(|schema| tables(&db, schema))
    };
    let shop = "carts,items,notes,tags";
    let clinic = "notes,patients,tags";
    assert_eq!(to(Goal::Newest), [shop, clinic, "notes,tags", shop, clinic]);
    // The newest of all is one of shops.
    let shop = "items,notes,tags";
    assert_eq!(
        to(Goal::Revert(1)),
        [shop, clinic, "notes,tags", shop, clinic]
    );
    assert_eq!(to(Goal::Newest)[0], "carts,items,notes,tags");
    assert_eq!(to(Goal::Redo(1))[0], "carts,items,notes,tags");
    // The two newest, of which the others have one.
    let (shop, clinic) = ("items,notes", "notes,patients");
    assert_eq!(to(Goal::Revert(2)), [shop, clinic, "notes", shop, clinic]);
    // A version of shops: the others go as far as theirs before it.
    let shop = "carts,items,notes,tags";
    let clinic = "notes,patients,tags";
    let version = Goal::Version("2026-02-04-000000_carts".to_owned());
    assert_eq!(to(version), [shop, clinic, "notes,tags", shop, clinic]);
    let version = Goal::Version("20260201000000".to_owned());
    let (shop, clinic) = ("items,notes", "notes,patients");
    assert_eq!(to(version), [shop, clinic, "notes", shop, clinic]);
    let nowhere = sets.migrator(&pool).goal(Goal::Version("2027".to_owned()));
    let error = nowhere.run_selected(&Selection::Tenants).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    // For one tenant it is its own newest that counts.
    to(Goal::Newest);
    for (id, left) in [
        ("x", "items,notes,tags"),
        ("y", "notes,patients"),
        ("a", "notes"),
    ] {
        let only = Selection::Only(vec![id.parse().unwrap()]);
        let migrator = sets.migrator(&pool).goal(Goal::Revert(1));
        migrator.run_selected(&only).unwrap().into_result().unwrap();
        assert_eq!(tables(&db, id), left);
    }
    to(Goal::Newest);
    let marked = sets.shop.path().join("2026-02-05-000000_marked");
    sets.shop.put("2026-02-05-000000_marked", "SELECT nothing");
    to(Goal::MarkApplied("20260205000000".to_owned()));
    assert!(versions(&db, "x").ends_with("20260205"));
    assert!(versions(&db, "y").ends_with("20260203"));
    std::fs::remove_dir_all(marked).unwrap();
    run(&sets.migrator(&pool).goal(Goal::Prune));
    assert!(versions(&db, "x").ends_with("20260204"));
    // Only the way to the newest version makes templates.
    db.sql("DROP SCHEMA __template_shop CASCADE");
    let revert = sets.migrator(&pool).goal(Goal::Revert(1));
    let plan = revert.plan(&Selection::Tenants).unwrap();
    let named: Vec<String> = plan.targets.iter().map(|p| p.target.to_string()).collect();
    assert!(
        !named.contains(&"template __template_shop".to_owned()),
        "{named:?}"
    );
    revert
        .run_selected(&Selection::Tenants)
        .unwrap()
        .into_result()
        .unwrap();
    let there = "SELECT count(*) FROM pg_namespace WHERE nspname = '__template_shop'";
    assert_eq!(db.value(there), "0");
    assert_eq!(tables(&db, "x"), "items,notes,tags");
}

#[test]
fn what_only_the_templates_of_kinds_have_is_taken_back_with_the_tenants() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let sets = Sets::new();
    run(&sets.migrator(&pool));
    let revert = sets.migrator(&pool).goal(Goal::Revert(1));
    let report = revert.run_selected(&Selection::Tenants).unwrap();
    let reverted = [
        format!("template __template_clinic: revert {PATIENTS}"),
        format!("template __template_shop: revert {ITEMS}"),
    ];
    assert_eq!(outcomes(&report), reverted);
    assert_eq!(
        report.resume,
        Some(Goal::Version("20260101000000".to_owned()))
    );
}

#[test]
fn a_shared_table_that_refers_to_the_template_of_a_kind_is_found() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let sets = Sets::new();
    let migrator = sets.migrator(&pool);
    run(&migrator);
    db.sql("CREATE TABLE public.wrong (item int REFERENCES __template_shop.items)");
    let checkup = Doctor::new(pool).migrations(&migrator).check().unwrap();
    let told = |finding: &boardinghouse_core::Finding| {
        finding.message.contains("public.wrong") || finding.message.contains("table wrong")
    };
    assert!(checkup.findings.iter().any(told), "{checkup:?}");
}

#[test]
fn all_or_none_is_so_over_all_kinds() {
    let db = TestDb::new();
    let pool = db.pool(2);
    create(&pool, "x", "shop");
    create(&pool, "y", "clinic");
    let sets = Sets::new();
    let bad = "2026-02-02-000000_bad";
    sets.clinic.put(bad, "ALTER TABLE nowhere ADD x int");
    let report = sets.migrator(&pool).atomic(true).run().unwrap();
    assert_eq!(report.failures().count(), 1, "{:?}", outcomes(&report));
    assert_eq!(tables(&db, "x"), "notes");
    create(&pool, "early", "shop");
    assert_eq!(tables(&db, "early"), "notes");
    std::fs::remove_dir_all(sets.clinic.path().join(bad)).unwrap();
    run(&sets.migrator(&pool).atomic(true));
    for (schema, expected) in [
        ("x", "items,notes"),
        ("early", "items,notes"),
        ("y", "notes,patients"),
        ("a", "notes"),
    ] {
        assert_eq!(tables(&db, schema), expected, "{schema}");
    }
    create(&pool, "late", "shop");
    assert_eq!(tables(&db, "late"), "items,notes");
    assert_eq!(run(&sets.migrator(&pool).atomic(true)), [""; 0]);
}

#[test]
fn drift_is_from_the_template_of_the_kind() {
    let db = TestDb::new();
    let pool = db.pool(2);
    create(&pool, "before", "shop");
    let sets = Sets::new();
    run(&sets.migrator(&pool));
    create(&pool, "x", "shop");
    create(&pool, "y", "clinic");
    let check = || Drift::new(pool.clone()).check().unwrap();
    let report = check();
    assert!(report.is_healthy(), "{report:?}");
    assert!(report.other_versions.is_empty(), "{report:?}");
    assert_eq!((report.tenants, report.shapes.len()), (5, 3));
    db.sql("ALTER TABLE x.items ADD more int; ALTER TABLE a.notes ADD more int");
    let report = check();
    let drifted: Vec<String> = report
        .drifted
        .iter()
        .map(|d| format!("{} {} {:?}", d.tenant, d.compared_with, d.differences.len()))
        .collect();
    assert_eq!(drifted, ["a __template__ 1", "x __template_shop 1"]);
    // A shop among clinics.
    db.sql("UPDATE boardinghouse.tenants SET kind = 'clinic' WHERE id = 'before'");
    let report = check();
    assert_eq!(report.drifted.len(), 3, "{report:?}");
}

#[test]
fn the_gate_wants_of_each_kind_what_it_is_to_have() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let sets = Sets::new();
    run(&sets.migrator(&pool));
    create(&pool, "x", "shop");
    create(&pool, "y", "clinic");
    let mut wanted = Requirements::new();
    for table in ["users", "notes", "items", "patients"] {
        wanted = wanted.and(Requirement {
            name: table.to_owned(),
            columns: Vec::new(),
        });
    }
    let report = Gate::new(pool.clone()).check(&wanted).unwrap();
    assert!(report.is_ready(), "{report:?}");
    db.sql("DROP TABLE x.items");
    let report = Gate::new(pool).check(&wanted).unwrap();
    let targets = report.not_ready.iter().flat_map(|group| &group.targets);
    let targets: Vec<String> = targets.map(ToString::to_string).collect();
    assert_eq!(targets, ["tenant x"]);
}

#[test]
fn lint_reads_a_kind_with_what_all_tenants_have() {
    let dir = tempfile::tempdir().unwrap();
    let put = |path: &str, up: &str| {
        let dir = dir.path().join(path);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("up.sql"), up).unwrap();
        std::fs::write(dir.join("down.sql"), "DROP TABLE x").unwrap();
    };
    put("shared/2026-01-01-000000_a", "CREATE TABLE plans (id int)");
    put("tenant/2026-01-02-000000_b", "CREATE TABLE notes (id int)");
    put("shop/2026-01-03-000000_c", "CREATE TABLE items (id int)");
    let lint = Lint::new().kind(dir.path().join("shop"));
    assert_eq!(lint.run(dir.path()).unwrap(), []);
    put("shop/2026-01-04-000000_d", "CREATE TABLE plans (id int)");
    let found = lint.run(dir.path()).unwrap();
    let rules: Vec<&str> = found.iter().map(|finding| finding.rule).collect();
    assert_eq!(rules, ["shadows"], "{found:?}");
    assert!(found[0].file.starts_with(dir.path().join("shop")));
}
