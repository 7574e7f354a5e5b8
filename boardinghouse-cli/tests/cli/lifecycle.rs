//! `boardinghouse tenant rename`, `suspend` and `resume`.

use crate::fixture::Fixture;

#[test]
fn a_tenant_is_renamed_without_a_question() {
    let fixture = Fixture::with_tenants(&[]);
    fixture
        .run(&["tenant", "create", "acme", "--domain", "acme.test"])
        .expect(0);
    fixture.execute("INSERT INTO acme.notes (body) VALUES ('kept')");
    let renamed = fixture
        .run(&["tenant", "rename", "acme", "blue-whale"])
        .expect(0);
    insta::assert_snapshot!(renamed.stdout, @r"
    id      blue-whale
    name    acme
    status  ready
    schema  blue_whale
    domain  acme.test (primary)
    ");
    assert_eq!(renamed.stderr, "");
    assert!(!fixture.has_schema("acme"));
    assert_eq!(fixture.number("SELECT count(*) FROM blue_whale.notes"), 1);
    fixture.run(&["tenant", "show", "acme"]).expect(2);
    let json = fixture
        .run(&["--json", "tenant", "rename", "blue-whale", "acme"])
        .expect(0)
        .json();
    let shown = fixture.run(&["--json", "tenant", "show", "acme"]).expect(0);
    assert_eq!(json, shown.json());
    assert_eq!(json["schema"], "acme");
    assert_eq!(json.get("incarnation"), None);
}

#[test]
fn a_rename_that_cannot_be_is_refused_with_its_reason() {
    let fixture = Fixture::with_tenants(&["acme", "globex"]);
    fixture.execute("CREATE SCHEMA loose");
    let refused = |args: [&str; 2], exit, kind: &str, says: &str| {
        let args = [&["--json", "tenant", "rename"][..], &args].concat();
        let error = fixture.run(&args).expect(exit).error();
        assert_eq!(error["kind"], kind, "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(says), "{error}");
        assert!(error["tenant"].is_string());
    };
    refused(
        ["acme", "globex"],
        2,
        "TenantExists",
        "globex exists already",
    );
    refused(["acme", "loose"], 2, "SchemaExists", "choose another id");
    refused(["acme", "acme"], 2, "InvalidInput", "to itself");
    refused(["acme", "pg-x"], 2, "ReservedName", "belongs to PostgreSQL");
    refused(["nobody", "new"], 2, "TenantNotFound", "no tenant nobody");
    fixture.execute("UPDATE boardinghouse.tenants SET status = 'failed' WHERE id = 'acme'");
    refused(["acme", "new"], 1, "TenantUnavailable", "acme is failed");
    fixture
        .run(&["tenant", "rename", "globx", "new"])
        .expect(2)
        .says(&["did you mean globex?"]);
    assert!(fixture.has("acme.notes") && fixture.has("globex.notes"));
}

#[test]
fn a_tenant_is_suspended_and_resumed_as_often_as_one_likes() {
    let fixture = Fixture::with_tenants(&["acme"]);
    let suspended = fixture.run(&["tenant", "suspend", "acme"]).expect(0);
    insta::assert_snapshot!(suspended.stdout, @r"
    id      acme
    name    acme
    status  suspended
    schema  acme
    ");
    let again = fixture.run(&["tenant", "suspend", "acme"]).expect(0);
    assert_eq!(again.stdout, suspended.stdout);
    fixture
        .run(&["sql", "-s", "acme", "SELECT 1"])
        .expect(1)
        .says(&["acme is suspended"]);
    // It is migrated with the others.
    fixture.run(&["migrate"]).expect(0);
    for _ in 0..2 {
        let resumed = fixture
            .run(&["--json", "tenant", "resume", "acme"])
            .expect(0);
        assert_eq!(resumed.json()["status"], "ready");
    }
    fixture.run(&["sql", "-s", "acme", "SELECT 1"]).expect(0);
    for command in ["suspend", "resume"] {
        fixture
            .run(&["tenant", command, "acmee"])
            .expect(2)
            .says(&["no tenant acmee", "did you mean acme?"]);
    }
    fixture.execute("UPDATE boardinghouse.tenants SET status = 'pending'");
    fixture
        .run(&["tenant", "resume", "acme"])
        .expect(1)
        .says(&["acme is pending"]);
}

#[test]
fn a_registry_of_an_older_release_is_told_of_and_mended() {
    let fixture = Fixture::with_tenants(&["acme"]);
    for down in [
        include_str!("../../../migrations/2026-11-29-000000_ready_numbers/down.sql"),
        include_str!("../../../migrations/2026-11-28-200000_logins/down.sql"),
        include_str!("../../../migrations/2026-11-28-180000_people/down.sql"),
        include_str!("../../../migrations/2026-11-28-000000_ledger/down.sql"),
        include_str!("../../../migrations/2026-11-24-120000_clones/down.sql"),
        include_str!("../../../migrations/2026-11-24-000000_epochs/down.sql"),
    ] {
        fixture.execute(down);
    }
    fixture.execute(
        "DELETE FROM boardinghouse.__diesel_schema_migrations WHERE version >= '20261124000000'",
    );
    fixture
        .run(&["tenant", "list"])
        .expect(2)
        .says(&["older than this library", "`boardinghouse migrate`"]);
    let checkup = fixture.run(&["check"]).expect(2);
    assert!(checkup.stdout.contains("BH001"), "{checkup:?}");
    fixture.run(&["status", "--check"]).expect(3);
    let plan = fixture.run(&["migrate", "--dry-run"]).expect(0);
    assert!(plan.stdout.contains("2026-11-24-000000_epochs"), "{plan:?}");
    fixture.run(&["migrate"]).expect(0);
    fixture.run(&["tenant", "rename", "acme", "new"]).expect(0);
}
