//! Tenants that the configuration names: schemas and migrations of their own, and no row. A13, A14, A15, W31.

use std::{fs, path::Path};

use boardinghouse_core::{
    Doctor, ErrorKind, Goal, Layout, MigrationReport, Migrator, NewTenant, Outcome, PgRegistry,
    Provisioner, Selection, StaticTenants, TenantPool,
};
use boardinghouse_tests::{BAIT, SHARED, TENANT, TestDb, bodies, until, value};
use diesel::{RunQueryDsl, connection::SimpleConnection};

/// A directory with a `boardinghouse.toml`, and the migrations of `www` and `blog`.
struct Site(tempfile::TempDir);

impl Site {
    fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        fs::write(
            site.path().join("boardinghouse.toml"),
            r#"
            [static.www]
            domains = ["www.test", "my.test"]
            fallback = true
            migrations = "db/www"
            [static.www.attributes]
            theme = "dark"
            [static.blog]
            domains = ["my.test/blog"]
            migrations = "db/blog"
            kind = "site"
            [static.bare]
            "#,
        )
        .unwrap();
        site.put(
            "www",
            "2026-01-01-000000_pages",
            "CREATE TABLE pages (id int)",
        );
        site.put(
            "blog",
            "2026-01-01-000000_posts",
            "CREATE TABLE posts (id int)",
        );
        site
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn put(&self, tenant: &str, name: &str, up: &str) {
        let dir = self.path().join("db").join(tenant).join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("up.sql"), up).unwrap();
        let table = up.split(' ').nth(2).unwrap_or_default();
        fs::write(dir.join("down.sql"), format!("DROP TABLE {table}")).unwrap();
    }

    fn statics(&self) -> StaticTenants {
        let layout = Layout::default();
        StaticTenants::load(self.path().join("boardinghouse.toml"), &layout).unwrap()
    }

    fn migrator(&self, pool: &TenantPool) -> Migrator {
        let migrator = Migrator::new(pool.clone());
        migrator.static_tenants(&self.statics()).unwrap()
    }
}

fn outcomes(report: &MigrationReport) -> Vec<String> {
    let outcome = |outcome: &Outcome, applied: &[String]| match outcome {
        Outcome::Done => applied.join("+"),
        Outcome::Skipped(reason) => format!("skipped, {reason}"),
        Outcome::Failed(error) => format!("{:?}", error.kind()),
        other => format!("{other:?}"),
    };
    let entries = report.entries.iter();
    let entries = entries.filter(|entry| entry.target.to_string() != "registry");
    entries
        .map(|e| format!("{}: {}", e.target, outcome(&e.outcome, &e.applied)))
        .collect()
}

fn only(ids: &[&str]) -> Selection {
    Selection::Static(ids.iter().map(|id| id.parse().unwrap()).collect())
}

#[test]
fn a_run_creates_their_schemas_and_migrates_each_with_its_own() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let site = Site::new();
    let migrator = || site.migrator(&pool).shared(SHARED).tenants(TENANT);
    let plan = migrator().plan(&Selection::All).unwrap();
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
    assert_eq!(
        planned,
        [
            "static tenant bare false []",
            "static tenant blog false [\"2026-01-01-000000_posts\"]",
            "static tenant www false [\"2026-01-01-000000_pages\"]",
        ]
    );
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(
        json["targets"][3]["target"],
        serde_json::json!({ "kind": "static", "id": "blog", "schema": "blog" })
    );
    assert_eq!(db.tables("www"), "");
    let error = migrator().require_current().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MigrationsPending);
    let report = migrator().run().unwrap();
    assert_eq!(
        outcomes(&report),
        [
            "shared schema public: ",
            "static tenant bare: ",
            "static tenant blog: 2026-01-01-000000_posts",
            "static tenant www: 2026-01-01-000000_pages",
            "template __template__: ",
            "tenant a: ",
            "tenant b: ",
        ]
    );
    // A16: each kind has its own tables.
    assert_eq!(db.tables("www"), "__diesel_schema_migrations,pages");
    assert_eq!(db.tables("blog"), "__diesel_schema_migrations,posts");
    assert_eq!(
        db.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'bare'"),
        "1"
    );
    assert_eq!(db.tables("bare"), "");
    assert_eq!(
        db.value("SELECT count(*) FROM boardinghouse.ledger WHERE versions = '{20260101000000}'"),
        "2"
    );
    migrator().require_current().unwrap();
    assert!(migrator().plan(&Selection::All).unwrap().is_empty());
    // Nothing is done twice, and what is new, is.
    site.put(
        "www",
        "2026-02-01-000000_menu",
        "CREATE TABLE menu (id int)",
    );
    let report = migrator().run().unwrap();
    let changed: Vec<String> = outcomes(&report)
        .into_iter()
        .filter(|told| !told.ends_with(": "))
        .collect();
    assert_eq!(changed, ["static tenant www: 2026-02-01-000000_menu"]);
    // The tenants alone are migrated without them.
    let report = migrator().run_selected(&Selection::Tenants).unwrap();
    assert!(
        outcomes(&report)
            .iter()
            .all(|told| !told.contains("static"))
    );
}

#[test]
fn one_that_fails_keeps_nobody_back() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let site = Site::new();
    site.put(
        "blog",
        "2026-02-01-000000_broken",
        "CREATE TABLE broken (id nonsense)",
    );
    let report = site
        .migrator(&pool)
        .shared(SHARED)
        .tenants(TENANT)
        .run()
        .unwrap();
    let told = outcomes(&report);
    assert_eq!(told[2], "static tenant blog: Migration");
    assert_eq!(told[3], "static tenant www: 2026-01-01-000000_pages");
    assert_eq!(told.last().unwrap(), "tenant b: ");
    assert_eq!(db.tables("blog"), "__diesel_schema_migrations,posts");
    // Nobody falls through to the shared schema.
    site.put("www", "2026-02-01-000000_bait", "DROP TABLE notes");
    let report = site.migrator(&pool).run_selected(&only(&["www"])).unwrap();
    assert_eq!(outcomes(&report), ["static tenant www: Migration"]);
    assert_eq!(db.value("SELECT count(*) FROM public.notes"), "1");
}

#[test]
fn static_tenants_alone_need_no_registry_and_no_template() {
    let db = TestDb::empty();
    let site = Site::new();
    let statics = site.statics();
    let layout = Layout::default().with_static(&statics).unwrap();
    let pool = db.pool_for(layout);
    let migrator = site.migrator(&pool);
    let plan = migrator.plan(&Selection::Static(Vec::new())).unwrap();
    assert_eq!(plan.targets.len(), 3);
    let report = migrator
        .run_selected(&Selection::Static(Vec::new()))
        .unwrap();
    assert!(report.is_success(), "{report:?}");
    assert_eq!(
        db.value(
            "SELECT string_agg(nspname, ',' ORDER BY nspname) FROM pg_namespace \
             WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
        ),
        "bare,blog,public,www"
    );
    // There is nothing of the registry: a query on it would have failed, and would here. Checkouts of both,
    // each in its own schema, with what the file says of them.
    let domain = "my.test".parse().unwrap();
    let www = statics.fallback_for(&domain).unwrap();
    let blog = statics.by_address(&domain, Some(&"blog".parse().unwrap()));
    for (named, table) in [(www, "pages"), (blog.unwrap(), "posts")] {
        let mut conn = pool.get(&named.tenant).unwrap();
        diesel::sql_query(format!("INSERT INTO {table} VALUES (1)"))
            .execute(&mut conn)
            .unwrap();
        assert_eq!(
            value(&mut conn, "SELECT current_schema()"),
            named.tenant.schema().as_str()
        );
    }
    assert_eq!(db.value("SELECT count(*) FROM www.pages"), "1");
    assert_eq!(
        www.tenant.attribute("theme").unwrap(),
        Some("dark".to_owned())
    );
    // One that is not there is not served from the shared schema.
    db.sql("DROP SCHEMA www CASCADE");
    let error = pool.get(&www.tenant).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaUnavailable);
}

#[test]
fn one_of_them_is_taken_back_and_forth_alone() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let site = Site::new();
    site.put(
        "www",
        "2026-02-01-000000_menu",
        "CREATE TABLE menu (id int)",
    );
    let run = |goal: Goal, ids: &[&str]| {
        let migrator = site.migrator(&pool).shared(SHARED).tenants(TENANT);
        migrator.goal(goal).run_selected(&only(ids))
    };
    run(Goal::Newest, &[]).unwrap().into_result().unwrap();
    let report = run(Goal::Revert(1), &["www"]).unwrap();
    assert_eq!(
        outcomes(&report),
        ["static tenant www: revert 2026-02-01-000000_menu"]
    );
    assert_eq!(db.tables("www"), "__diesel_schema_migrations,pages");
    assert_eq!(db.tables("blog"), "__diesel_schema_migrations,posts");
    run(Goal::Version("2026-02-01-000000".into()), &["www"])
        .unwrap()
        .into_result()
        .unwrap();
    assert_eq!(db.tables("www"), "__diesel_schema_migrations,menu,pages");
    run(Goal::RevertAll, &["www", "blog"])
        .unwrap()
        .into_result()
        .unwrap();
    assert_eq!(db.tables("www"), "__diesel_schema_migrations");
    assert_eq!(db.tables("blog"), "__diesel_schema_migrations");
    assert_eq!(db.tables("a"), "__diesel_schema_migrations,notes");
    for (goal, ids, kind) in [
        // Each has its own: what is the newest of two?
        (
            Goal::Revert(1),
            &["www", "blog"][..],
            ErrorKind::InvalidInput,
        ),
        (Goal::Redo(1), &[], ErrorKind::InvalidInput),
        (
            Goal::Version("2031-01-01-000000".into()),
            &["www"],
            ErrorKind::InvalidInput,
        ),
        (
            Goal::Version("2026-02-01-000000".into()),
            &["www", "blog"],
            ErrorKind::InvalidInput,
        ),
        (Goal::Newest, &["nobody"], ErrorKind::TenantNotFound),
        (Goal::Prune, &["bare"], ErrorKind::InvalidInput),
    ] {
        let error = run(goal.clone(), ids).unwrap_err();
        assert_eq!(error.kind(), kind, "{goal:?} {ids:?} {error:?}");
    }
    // What a schema without migrations has, is somebody else's.
    db.sql(
        "CREATE TABLE bare.__diesel_schema_migrations (version text PRIMARY KEY, run_on timestamp);
            INSERT INTO bare.__diesel_schema_migrations VALUES ('1', now()), ('2', now())",
    );
    let migrator = || site.migrator(&pool).shared(SHARED).tenants(TENANT);
    migrator()
        .goal(Goal::Prune)
        .run()
        .unwrap()
        .into_result()
        .unwrap();
    let kept = "SELECT count(*) FROM bare.__diesel_schema_migrations";
    assert_eq!(db.value(kept), "2");
    let plan = migrator().plan(&only(&["bare"])).unwrap();
    assert!(
        plan.is_empty() && plan.targets[0].unknown.is_empty(),
        "{plan:?}"
    );
}

#[test]
fn no_tenant_of_the_registry_has_the_id_or_the_schema_of_one() {
    let db = TestDb::new();
    let site = Site::new();
    let statics = site.statics();
    let layout = || Layout::default().with_static(&statics).unwrap();
    let pool = db.pool_with(|builder| builder.max_size(2).layout(layout()));
    site.migrator(&pool)
        .shared(SHARED)
        .tenants(TENANT)
        .run()
        .unwrap()
        .into_result()
        .unwrap();
    let provisioner = Provisioner::new(pool.clone());
    let new = |id: &str| NewTenant::new(id.parse().unwrap());
    let www = "www".parse().unwrap();
    for new in [
        new("www"),
        new("www").deferred(),
        new("other").adopt(www),
        new("other").adopt("WWW".parse().unwrap()),
    ] {
        let error = provisioner.create(&new).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReservedName, "{error:?}");
    }
    let error = provisioner.rename(&"a".parse().unwrap(), &"blog".parse().unwrap());
    assert_eq!(error.unwrap_err().kind(), ErrorKind::ReservedName);
    // A row that was written by hand is told of, and not served.
    db.sql(
        "INSERT INTO boardinghouse.tenants (id, schema_name, display_name, status) \
            VALUES ('thief', 'www', 'x', 'ready'), ('blog', 'blog2', 'x', 'ready')",
    );
    let checkup = Doctor::new(pool.clone()).check().unwrap();
    for told in ["that of static tenant www", "tenant id blog is reserved"] {
        let said = |finding: &boardinghouse_core::Finding| finding.message.contains(told);
        assert!(checkup.findings.iter().any(said), "{told} in {checkup:?}");
    }
    let registry = PgRegistry::new(pool.clone());
    let thief = registry.get(&"thief".parse().unwrap()).unwrap();
    let error = pool.get(&thief).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReservedName);
    // And the configuration does not take what a tenant has.
    let report = site.migrator(&pool).run_selected(&only(&[])).unwrap();
    let refused = "TenantExists";
    assert_eq!(
        outcomes(&report),
        [
            "static tenant bare: ".to_owned(),
            format!("static tenant blog: {refused}"),
            format!("static tenant www: {refused}"),
        ]
    );
    let plan = site.migrator(&pool).plan(&only(&["www"])).unwrap();
    let blocked = plan.targets[0].blocked.as_deref().unwrap();
    assert!(
        blocked.contains("the registry has tenant thief"),
        "{blocked}"
    );
    // A static tenant's schema is no other role's.
    for taken in ["www", "blog"] {
        let layout = layout().with_template(taken.parse().unwrap());
        assert_eq!(layout.unwrap_err().kind(), ErrorKind::ReservedName);
    }
}

/// It has no row whose trigger would tell of it.
#[test]
fn every_process_hears_that_one_was_migrated() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let site = Site::new();
    let mut listening = db.connect();
    listening.batch_execute("LISTEN boardinghouse").unwrap();
    let mut heard = |migrator: Migrator| {
        let report = migrator.run_selected(&only(&["www"])).unwrap();
        report.into_result().unwrap();
        // The server passes it on in the order of commits.
        db.sql("NOTIFY boardinghouse, 'over'");
        let mut words = Vec::new();
        until(|| {
            let heard = listening.notifications_iter();
            words.extend(heard.map(|heard| heard.unwrap().payload));
            words.last().is_some_and(|word| word == "over")
        });
        words.pop();
        words
    };
    assert_eq!(heard(site.migrator(&pool)), ["*"]);
    assert_eq!(heard(site.migrator(&pool)), [""; 0]);
    site.put(
        "www",
        "2026-02-01-000000_menu",
        "CREATE TABLE menu (id int)",
    );
    assert_eq!(heard(site.migrator(&pool)), ["*"]);
    // The shared schema is on its path, as on everybody's.
    let statics = site.statics();
    let www = &statics.get(&"www".parse().unwrap()).unwrap().tenant;
    let mut conn = pool.get(www).unwrap();
    assert_eq!(value(&mut conn, "SELECT count(*) FROM menu"), "0");
    assert_eq!(bodies(&mut conn).unwrap(), [BAIT]);
}
