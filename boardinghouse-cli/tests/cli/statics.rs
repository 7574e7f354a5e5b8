//! Static tenants of `boardinghouse.toml`.

use std::fs;

use serde_json::json;

use crate::fixture::Fixture;

const CONFIG: &str = r#"
[static.www]
domains = ["www.test", "my.test"]
fallback = true
migrations = "sites/www"

[static.blog]
domains = ["my.test/blog"]
migrations = "sites/blog"
"#;

impl Fixture {
    /// With static tenants `www` and `blog`.
    pub(crate) fn with_sites(self) -> Self {
        fs::write(self.dir().join("boardinghouse.toml"), CONFIG).unwrap();
        self.site("www/2024-01-01-000000_pages", "pages");
        self.site("blog/2024-01-01-000000_posts", "posts");
        self
    }

    fn site(&self, path: &str, table: &str) {
        let dir = self.dir().join("sites").join(path);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("up.sql"), format!("CREATE TABLE {table} (id int)")).unwrap();
        fs::write(dir.join("down.sql"), format!("DROP TABLE {table}")).unwrap();
    }
}

#[test]
fn where_there_is_nothing_else_static_tenants_alone_are_set_up() {
    let fixture = Fixture::new().with_sites();
    fixture.remove_all_migrations();
    fixture.run(&["status", "--check"]).expect(3);
    let migrated = fixture.run(&["migrate"]).expect(0);
    insta::assert_snapshot!(migrated.stdout, @r"
    SCHEMA              RESULT    APPLIED
    static tenant blog  migrated  2024-01-01-000000_posts
    static tenant www   migrated  2024-01-01-000000_pages

    2 schemas, 2 migrations applied, 0 failed
    ");
    assert!(fixture.has("www.pages") && fixture.has("blog.posts"));
    assert!(!fixture.has_schema("boardinghouse") && !fixture.has_schema("__template__"));
    fixture.run(&["status", "--check"]).expect(0);
    fixture
        .run(&["sql", "-s", "www", "INSERT INTO pages VALUES (1)"])
        .expect(0);
    assert_eq!(fixture.number("SELECT count(*) FROM www.pages"), 1);
    // What another folder of migrations is for, is not guessed.
    fixture.migration("tenant/2024-01-02-000000_notes", "SELECT 1");
    fixture
        .run(&["migrate"])
        .expect(2)
        .says(&["there is no folder"]);
}

#[test]
fn where_there_is_nothing_else_static_tenants_alone_are_looked_at() {
    let fixture = Fixture::new().with_sites();
    fixture.remove_all_migrations();
    let check = || fixture.run(&["check"]).expect(0);
    insta::assert_snapshot!(check().stdout, @r"
    BH013 warning: static tenant blog: its schema is missing
          hint: run `boardinghouse migrate`
    BH013 warning: static tenant www: its schema is missing
          hint: run `boardinghouse migrate`
    2 findings, 0 tenants
    ");
    fixture.run(&["migrate"]).expect(0);
    let run = check();
    assert_eq!(run.stdout, "healthy: 0 tenants, nothing found\n");
    assert_eq!(run.stderr, "");
    fixture.site("www/2024-02-01-000000_menu", "menu");
    insta::assert_snapshot!(check().stdout, @r"
    BH013 warning: static tenant www lacks: 2024-02-01-000000_menu
          hint: run `boardinghouse migrate`
    1 finding, 0 tenants
    ");
    // Their schemas are looked at whatever this role may read.
    let guest = fixture.guest();
    fixture.execute(&format!(
        "GRANT USAGE ON SCHEMA blog TO {guest}; GRANT SELECT ON ALL TABLES IN SCHEMA blog TO {guest}"
    ));
    let (_, rest) = fixture.url.split_once('@').unwrap();
    let url = format!("postgres://{guest}@{rest}");
    let checkup = fixture.run(&["check", "--database-url", &url]).expect(2);
    insta::assert_snapshot!(checkup.stdout, @r"
    BH008 error: static tenant www: this role may not use its schema www
          hint: grant USAGE on the schema, and what the application needs on its tables, to this role
    1 finding, 0 tenants
    ");
    fixture.execute(&format!("REVOKE ALL ON SCHEMA blog FROM {guest}"));
    let checkup = fixture.run(&["check", "--database-url", &url]).expect(2);
    assert_eq!(checkup.stdout.matches("BH008").count(), 2, "{checkup:?}");
    // With anything of a registry's, all of it is missed.
    fixture.execute("CREATE SCHEMA __template__");
    let checkup = fixture.run(&["check"]).expect(2);
    assert!(checkup.stdout.contains("BH001"), "{checkup:?}");
}

#[test]
fn an_address_that_a_static_tenant_and_another_share_is_found() {
    let fixture = Fixture::new().with_sites();
    fixture.execute("DROP TABLE public.notes");
    fixture.run(&["migrate"]).expect(0);
    fixture.run(&["tenant", "create", "acme"]).expect(0);
    // What the command line refuses: rows that were there before the configuration, or come from elsewhere.
    fixture.execute(
        "INSERT INTO boardinghouse.domains (domain, folder, tenant_id, is_primary) VALUES \
         ('my.test', 'acme', 'acme', true), ('blog.test', '', 'acme', false)",
    );
    fixture.run(&["check"]).expect(0);
    fixture.execute(
        "INSERT INTO boardinghouse.domains (domain, folder, tenant_id, is_primary) VALUES \
         ('my.test', '', 'acme', false), ('my.test', 'blog', 'acme', false)",
    );
    let checkup = fixture.run(&["check"]).expect(2);
    insta::assert_snapshot!(checkup.stdout, @r"
    BH018 error: my.test is of static tenant www and of tenant acme: it leads to the tenant, because the static one is a fallback
          hint: take the address from one of the two: requests for it reach the other alone
    BH018 error: my.test/blog is of static tenant blog and of tenant acme: it leads to the static one
          hint: take the address from one of the two: requests for it reach the other alone
    2 findings, 1 tenant
    ");
    let json = fixture.run(&["check", "--json"]).expect(2).json();
    assert_eq!(json["findings"][0]["tenant"], "acme");
}

#[test]
fn static_tenants_are_migrated_with_the_fleet_and_alone() {
    let fixture = Fixture::new().with_sites();
    let migrated = fixture.run(&["migrate", "--json"]).expect(0).json();
    let targets: Vec<String> = migrated["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| format!("{} {}", entry["target"]["kind"], entry["target"]["id"]))
        .collect();
    assert_eq!(
        targets,
        [
            "\"registry\" null",
            "\"shared\" null",
            "\"static\" \"blog\"",
            "\"static\" \"www\"",
            "\"template\" null",
        ]
    );
    fixture.run(&["tenant", "create", "acme"]).expect(0);
    fixture.site("www/2024-02-01-000000_menu", "menu");
    let status = fixture.run(&["status", "--check"]).expect(3);
    insta::assert_snapshot!(status.stdout, @r"
    SCHEMA                 APPLIED  LATEST          PENDING
    registry               7        20261129000000  -
    shared schema public   1        20240101000000  -
    static tenant blog     1        20240101000000  -
    static tenant www      1        20240101000000  2024-02-01-000000_menu
    template __template__  1        20240102000000  -
    tenant acme            1        20240102000000  -
    ");
    let plan = fixture.run(&["migrate", "--static", "--dry-run"]).expect(0);
    insta::assert_snapshot!(plan.stdout, @r"
    SCHEMA             WOULD RUN
    static tenant www  2024-02-01-000000_menu
    ");
    fixture.run(&["migrate", "--tenants"]).expect(0);
    assert!(!fixture.has("www.menu"));
    fixture.run(&["check"]).expect(0);
    fixture.run(&["migrate", "--static", "-s", "www"]).expect(0);
    assert!(fixture.has("www.menu"));
    let revert = ["revert", "--static", "-s", "www"];
    fixture.run(&revert).expect(2).says(&["--yes"]);
    let reverted = fixture.run(&[&revert[..], &["--yes"]].concat()).expect(0);
    insta::assert_snapshot!(reverted.stdout, @r"
    SCHEMA             RESULT    APPLIED
    static tenant www  reverted  revert 2024-02-01-000000_menu

    1 schema, 1 reverted, 0 failed
    ");
    assert!(!fixture.has("www.menu") && fixture.has("www.pages"));
    let redo = ["redo", "--static", "-s", "blog", "--yes"];
    fixture.run(&redo).expect(0);
    fixture.run(&["migrate"]).expect(0);
    assert!(fixture.has("www.menu") && fixture.has("acme.notes"));
}

#[test]
fn what_is_a_static_tenants_is_nobody_elses() {
    let fixture = Fixture::new().with_sites();
    fixture.run(&["migrate"]).expect(0);
    fixture.run(&["tenant", "create", "acme"]).expect(0);
    let refused = |args: &[&str], kind: &str, says: &str| {
        let args = [&["--json"], args].concat();
        let error = fixture.run(&args).expect(2).error();
        assert_eq!(error["kind"], kind, "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(says), "{error}");
    };
    refused(
        &["tenant", "create", "www"],
        "ReservedName",
        "www is reserved",
    );
    refused(
        &["tenant", "create", "x", "--adopt", "blog"],
        "ReservedName",
        "static tenant blog",
    );
    refused(
        &["tenant", "rename", "acme", "blog"],
        "ReservedName",
        "blog is reserved",
    );
    for taken in ["WWW.test", "my.test", "my.test/blog"] {
        let says = taken.to_lowercase();
        refused(&["domain", "add", "acme", taken], "TenantExists", &says);
        refused(
            &["tenant", "create", "x", "--domain", taken],
            "TenantExists",
            &says,
        );
    }
    // Behind a fallback there is room.
    fixture
        .run(&["domain", "add", "acme", "my.test/acme"])
        .expect(0);
    refused(&["migrate", "-s", "www"], "InvalidInput", "say --static");
    refused(
        &["migrate", "--static", "-s", "acme"],
        "TenantNotFound",
        "no static tenant acme",
    );
    refused(&["migrate", "--static", "--tenants"], "Usage", "--tenants");
    refused(&["revert", "--static"], "Usage", "--tenant");
    assert_eq!(
        fixture.number("SELECT count(*) FROM boardinghouse.tenants"),
        1
    );
    // A row that somebody wrote is told of.
    fixture.execute(
        "INSERT INTO boardinghouse.tenants (id, schema_name, display_name, status) \
         VALUES ('www', 'www2', 'x', 'ready'); CREATE SCHEMA www2",
    );
    let checkup = fixture.run(&["check"]).expect(2);
    assert!(
        checkup.stdout.contains("tenant id www is reserved"),
        "{checkup:?}"
    );
    let migrated = fixture.run(&["migrate"]).expect(1);
    assert!(
        migrated.stdout.contains("the registry has tenant www"),
        "{migrated:?}"
    );
}

#[test]
fn what_is_wrong_with_a_static_tenant_is_told_with_its_line() {
    let fixture = Fixture::new();
    let with = |config: &str| {
        fs::write(fixture.dir().join("boardinghouse.toml"), config).unwrap();
        fixture
            .run(&["--json", "migrate", "--static"])
            .expect(2)
            .error()
    };
    for (config, says) in [
        ("", "there is no static tenant"),
        (
            "\n[static.WWW]",
            "boardinghouse.toml:2: \"WWW\" is not a tenant id",
        ),
        (
            "[static.www]\ndomain = 'x'",
            "boardinghouse.toml:2: unknown field `domain`",
        ),
        (
            "[static.www]\nschema = 'public'",
            "boardinghouse.toml:1: schema public",
        ),
        (
            "[static.www]\nschema = 'extra'\n[layout]\nextra = ['extra']",
            "boardinghouse.toml:1: schema extra",
        ),
        (
            "[static.www]\nmigrations = 'nowhere'",
            "could not read the migrations of static tenant www in nowhere",
        ),
    ] {
        let error = with(config);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(says), "{says} in {error}");
    }
    assert_eq!(json!(fixture.has_schema("www")), json!(false));
}

#[test]
fn migrations_of_static_tenants_are_linted_and_generated() {
    let fixture = Fixture::new().with_sites();
    let generate = |args: &[&str], code: i32| {
        let args = [&["migration", "generate", "more", "--json"], args].concat();
        fixture.run(&args).expect(code)
    };
    let created = generate(&["--static", "www", "--no-transaction"], 0).json();
    let created: Vec<&str> = created["created"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|file| file.as_str())
        .collect();
    assert_eq!(created.len(), 3, "{created:?}");
    assert!(created[0].starts_with("sites/www/") && created[0].ends_with("_more/up.sql"));
    let up = fixture.dir().join(created[0]);
    fs::write(&up, "CREATE TABLE public.more (id int)").unwrap();
    // Also a table that hides a shared one, and none that other tenants have.
    fixture.site("blog/2024-03-01-000000_plans", "plans");
    fixture.site("blog/2024-03-02-000000_notes", "notes");
    for args in [&["lint", "--json"][..], &["migrate", "--lint", "--json"]] {
        let run = fixture.run(args).expect(2);
        let found = run.json();
        let found: Vec<String> = found["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["severity"] != "info")
            .map(|finding| format!("{} {}", finding["rule"], finding["file"]))
            .collect();
        let shadows = "\"shadows\" \"sites/blog/2024-03-01-000000_plans/up.sql\"".to_owned();
        let writes = format!("\"writes-shared\" \"{}\"", created[0]);
        assert_eq!(found, [shadows, writes]);
    }
    for (args, says) in [
        (&["--static", "nobody"][..], "no static tenant nobody"),
        (&["--static", "www", "--shared"], "cannot be used with"),
        (
            &["--static", "www", "--kind", "shop"],
            "cannot be used with",
        ),
    ] {
        let message = generate(args, 2).error()["message"].to_string();
        assert!(message.contains(says), "{message}");
    }
    // Where there is nothing else, that is enough.
    fixture.remove_all_migrations();
    fixture.run(&["lint"]).expect(2);
    fs::remove_file(&up).unwrap();
    fs::write(up, "CREATE TABLE more (id int)").unwrap();
    fixture.run(&["lint"]).expect(0);
    fixture.run(&["migrate", "--lint"]).expect(0);
    generate(&["--static", "blog"], 0);
    generate(&["--static", "blog", "--migrations", "elsewhere"], 0);
    // A folder that is still to be made.
    fs::write(
        fixture.dir().join("boardinghouse.toml"),
        "[static.new]\nmigrations = 'sites/new'\n[static.bare]\n",
    )
    .unwrap();
    let created = generate(&["--static", "new"], 0).stdout;
    assert!(created.contains("sites/new/"), "{created}");
    let message = generate(&["--static", "bare"], 2).error()["message"].to_string();
    assert!(message.contains("names no `migrations`"), "{message}");
}
