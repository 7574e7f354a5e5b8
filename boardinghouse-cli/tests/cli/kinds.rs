//! Kinds of tenants of `boardinghouse.toml`, with migrations of their own.

use std::fs;

use serde_json::json;

use crate::fixture::Fixture;

const CONFIG: &str = r#"
[kind.shop]
migrations = "migrations/shop"

[kind.clinic]
migrations = "sites/clinic"
"#;

impl Fixture {
    fn with_kinds(self) -> Self {
        fs::write(self.dir().join("boardinghouse.toml"), CONFIG).unwrap();
        self.of_kind(
            "migrations/shop/2024-02-01-000000_items",
            "CREATE TABLE items (id int)",
        );
        self.of_kind(
            "sites/clinic/2024-02-02-000000_patients",
            "CREATE TABLE patients (id int)",
        );
        self
    }

    fn of_kind(&self, path: &str, up: &str) {
        let dir = self.dir().join(path);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("up.sql"), up).unwrap();
        let table = up.split(' ').nth(2).unwrap_or_default();
        fs::write(dir.join("down.sql"), format!("DROP TABLE {table}")).unwrap();
    }
}

#[test]
fn tenants_of_each_kind_get_its_migrations() {
    let fixture = Fixture::with_tenants(&["plain"]).with_kinds();
    fixture
        .run(&["tenant", "create", "old", "--kind", "shop"])
        .expect(0);
    fixture.run(&["status", "--check"]).expect(3);
    let plan = fixture.run(&["migrate", "--dry-run"]).expect(0);
    insta::assert_snapshot!(plan.stdout, @r"
    SCHEMA                      WOULD RUN
    template __template_clinic  (the schema is missing)
                                2024-01-02-000000_notes
                                2024-02-02-000000_patients
    template __template_shop    (the schema is missing)
                                2024-01-02-000000_notes
                                2024-02-01-000000_items
    tenant old                  2024-02-01-000000_items
    ");
    let migrated = fixture.run(&["migrate"]).expect(0);
    insta::assert_snapshot!(migrated.stdout, @r"
    SCHEMA                      RESULT      APPLIED
    registry                    up to date
    shared schema public        up to date
    template __template__       up to date
    template __template_clinic  migrated    2024-01-02-000000_notes
                                            2024-02-02-000000_patients
    template __template_shop    migrated    2024-01-02-000000_notes
                                            2024-02-01-000000_items
    tenant old                  migrated    2024-02-01-000000_items
    tenant plain                up to date

    7 schemas, 5 migrations applied, 0 failed
    ");
    for (id, kind) in [("x", "shop"), ("y", "clinic"), ("z", "garage")] {
        fixture
            .run(&["tenant", "create", id, "--kind", kind])
            .expect(0);
    }
    assert!(fixture.has("old.items") && fixture.has("x.items") && !fixture.has("y.items"));
    assert!(fixture.has("y.patients") && !fixture.has("x.patients") && !fixture.has("z.items"));
    assert!(fixture.has("z.notes") && !fixture.has("plain.items"));
    fixture.run(&["status", "--check"]).expect(0);
    fixture.run(&["check"]).expect(0);
    let lint = fixture.run(&["lint"]).expect(0);
    assert!(!lint.stdout.contains("migrations/shop"), "{lint:?}");
    let drift = fixture.run(&["drift"]).expect(0);
    insta::assert_snapshot!(drift.stdout, @r"
    5 tenants, 3 structures, 0 drifted, 0 at another version
      as the template: 2 tenants: plain, z
      as the template __template_clinic: 1 tenant: y
      as the template __template_shop: 2 tenants: old, x
    ");

    fixture.of_kind(
        "migrations/shop/2024-03-01-000000_carts",
        "CREATE TABLE carts (id int)",
    );
    fixture.of_kind(
        "migrations/shop/2024-03-02-000000_plans",
        "CREATE TABLE plans (id int)",
    );
    let lint = fixture.run(&["lint"]);
    assert!(
        lint.stdout.contains("2024-03-02-000000_plans/up.sql:1:"),
        "{lint:?}"
    );
    fixture.remove_migrations("shop/2024-03-02-000000_plans");
    fixture.run(&["migrate", "--tenants"]).expect(0);
    assert!(fixture.has("x.carts") && !fixture.has("y.carts"));
    let reverted = fixture
        .run(&["revert", "-s", "x", "--yes", "--json"])
        .expect(0)
        .json();
    assert_eq!(
        reverted["entries"][0]["applied"],
        json!(["revert 2024-03-01-000000_carts"])
    );
    assert!(!fixture.has("x.carts") && fixture.has("old.carts"));
    // A migration that is made now comes after those of kinds.
    fixture.of_kind(
        "sites/clinic/2990-01-01-000000_late",
        "CREATE TABLE late (id int)",
    );
    let generate = fixture.run(&["migration", "generate", "more"]).expect(0);
    assert!(generate.stdout.contains("2990-01-01-"), "{generate:?}");
    // And one of a kind after those of all.
    let of_kind = ["migration", "generate", "its", "--kind", "shop"];
    let generate = fixture.run(&of_kind).expect(0);
    let its = "migrations/shop/2990-01-01-000000-0001_its/up.sql";
    assert!(generate.stdout.contains(its), "{generate:?}");
    fixture
        .run(&["migration", "generate", "its", "--kind", "garage"])
        .expect(2)
        .says(&["[kind.garage]"]);
}

#[test]
fn a_tenant_of_another_kind_now_is_told_of() {
    let fixture = Fixture::new().with_kinds();
    fixture.run(&["migrate"]).expect(0);
    fixture
        .run(&["tenant", "create", "x", "--kind", "shop"])
        .expect(0);
    fixture.execute("UPDATE boardinghouse.tenants SET kind = 'clinic' WHERE id = 'x'");
    let status = fixture.run(&["status", "--check"]).expect(3);
    let (_, of_tenants) = status.stdout.split_once("template __template__").unwrap();
    insta::assert_snapshot!(of_tenants.split_once('\n').unwrap().1, @r"
    template __template_clinic  2        20240202000000  -
    template __template_shop    2        20240201000000  -
    tenant x                    2        20240201000000  2024-02-02-000000_patients
    warning: 1 schema has 20240201000000, which is kind shop's, without being of that kind: what it made stays until it is dropped by hand, then see `migrate --prune`
    ");
    fixture.run(&["migrate"]).expect(0);
    assert!(fixture.has("x.items") && fixture.has("x.patients"));
    let json = fixture.run(&["status", "--json"]).expect(0).json();
    assert_eq!(
        json["summary"]["of_other_kinds"],
        json!({ "20240201000000": { "kind": "shop", "schemas": 1 } })
    );
    let tenant = &json["targets"].as_array().unwrap().last().unwrap();
    assert_eq!(
        tenant["of_other_kinds"],
        json!({ "20240201000000": "shop" })
    );
}

#[test]
fn what_is_wrong_with_a_kind_is_told() {
    let fixture = Fixture::new();
    let with = |config: &str| {
        fs::write(fixture.dir().join("boardinghouse.toml"), config).unwrap();
        fixture.run(&["--json", "migrate"]).expect(2).error()
    };
    for (config, says) in [
        (
            "[kind.Shop]\nmigrations = 'x'",
            "boardinghouse.toml:1: \"Shop\" is not a kind",
        ),
        (
            "\n[kind.shop]",
            "boardinghouse.toml:2: missing field `migrations`",
        ),
        (
            "[kind.shop]\nmigrations = 'nowhere'",
            "there is no folder nowhere, which the configuration names for the migrations of kind shop",
        ),
    ] {
        let error = with(config);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(says), "{says} in {error}");
    }
    assert!(!fixture.has_schema("boardinghouse"));
}
