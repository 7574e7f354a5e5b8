//! `boardinghouse tenant create --defer` and `boardinghouse provision`

use serde_json::json;

use crate::fixture::Fixture;

#[test]
fn a_deferred_tenant_has_a_schema_when_it_is_provisioned() {
    let fixture = Fixture::with_tenants(&[]);
    let create = [
        "tenant",
        "create",
        "acme",
        "--defer",
        "--domain",
        "acme.test",
    ];
    let created = fixture.run(&create).expect(0);
    insta::assert_snapshot!(created.stdout, @r"
    id      acme
    name    acme
    status  pending
    schema  acme
    domain  acme.test (primary)
    ");
    created.says(&["not served", "`boardinghouse provision acme`"]);
    assert!(!fixture.has_schema("acme"));
    fixture
        .run(&["sql", "-s", "acme", "SELECT 1"])
        .expect(1)
        .says(&["acme is pending"]);
    // Migrations leave it out, and say so.
    let skipped =
        "tenant acme is skipped: the tenant is pending: `boardinghouse provision` makes its schema";
    for command in [&["migrate", "--check"][..], &["status", "--check"]] {
        let run = fixture.run(command).expect(0);
        assert!(run.stdout.contains(skipped), "{run:?}");
    }
    let migrated = fixture.run(&["migrate"]).expect(0);
    assert!(
        migrated
            .stdout
            .contains("tenant acme: the tenant is pending"),
        "{migrated:?}"
    );
    fixture.run(&["drift"]).expect(0);
    fixture
        .run(&["tenant", "create", "globex", "--defer"])
        .expect(0);
    fixture.execute("CREATE SCHEMA globex");
    let provisioned = fixture.run(&["provision", "--pending"]).expect(1);
    insta::assert_snapshot!(provisioned.stdout, @r"
    TENANT  RESULT  REASON
    acme    ready
    globex  failed  schema globex exists already and is no tenant's: choose another id, or adopt it
    ");
    provisioned.says(&["ERROR", "globex", "cannot be provisioned"]);
    assert!(fixture.has("acme.notes"));
    fixture.run(&["sql", "-s", "acme", "SELECT 1"]).expect(0);
    let nothing = fixture.run(&["provision", "--pending"]).expect(0);
    assert_eq!(nothing.stdout, "nothing to do\n");
    let failed = fixture.run(&["--json", "provision", "acme", "globex"]);
    assert_eq!(
        failed.expect(1).json(),
        json!([
            { "tenant": "acme", "status": "ready" },
            {
                "tenant": "globex",
                "kind": "SchemaExists",
                "error": "schema globex exists already and is no tenant's: choose another id, or adopt it",
            },
        ])
    );
    fixture.execute("DROP SCHEMA globex");
    fixture.run(&["provision", "globex"]).expect(0);
    assert!(fixture.has("globex.notes"));
}

#[test]
fn what_cannot_be_provisioned_is_told_before_anything_is_done() {
    let fixture = Fixture::with_tenants(&[]);
    fixture
        .run(&["tenant", "create", "acme", "--defer"])
        .expect(0);
    fixture
        .run(&["provision", "acme", "acmee"])
        .expect(2)
        .says(&["no tenant acmee", "did you mean acme?"]);
    for args in [
        &["provision"][..],
        &["provision", "acme", "--pending"],
        &["tenant", "create", "b", "--defer", "--adopt", "legacy"],
        &["tenant", "create", "b", "--defer", "--clone", "acme"],
        &["tenant", "create", "b", "--defer", "--template", "demo"],
    ] {
        fixture.run(args).expect(2).says(&["Usage:"]);
    }
    assert!(!fixture.has_schema("acme"));
    // A schema of that name is somebody else's.
    fixture.execute("CREATE SCHEMA acme");
    let deleted = fixture
        .run(&["tenant", "delete", "acme", "--yes"])
        .expect(0);
    assert_eq!(
        deleted.stdout,
        "deleted tenant acme; schema acme was not made yet\n"
    );
    assert!(fixture.has_schema("acme"));
}
