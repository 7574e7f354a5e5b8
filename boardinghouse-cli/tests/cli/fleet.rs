//! `boardinghouse init`, `migrate` and `status`.

use crate::fixture::Fixture;

const NEXT: &str = "tenant/2024-02-01-000000_next";

#[test]
fn a_second_run_of_everything_does_nothing() {
    let fixture = Fixture::new();
    fixture.run(&["init"]).expect(0);
    let relations = fixture.relations();
    let again = fixture.run(&["init", "--json"]).expect(0).json();
    assert_eq!(again["entries"][0]["applied"], serde_json::json!([]));
    assert_eq!(fixture.relations(), relations);
    fixture.run(&["migrate"]).expect(0);
    fixture.run(&["tenant", "create", "a"]).expect(0);
    let relations = fixture.relations();
    let again = fixture.run(&["migrate"]).expect(0);
    insta::assert_snapshot!(again.stdout, @r"
    SCHEMA                 RESULT      APPLIED
    registry               up to date
    shared schema public   up to date
    template __template__  up to date
    tenant a               up to date

    4 schemas, 0 migrations applied, 0 failed
    ");
    fixture.run(&["init"]).expect(0);
    assert_eq!(fixture.relations(), relations);
}

#[test]
fn migrations_run_shared_first_then_the_template_then_the_tenants() {
    let fixture = Fixture::with_tenants(&["b", "a"]);
    fixture.migration(
        "shared/2024-02-01-000000_more",
        "CREATE TABLE more (id int)",
    );
    fixture.migration(NEXT, "CREATE TABLE next (id int)");
    let report = fixture.run(&["--json", "migrate"]).expect(0).json();
    let entries = report["entries"].as_array().unwrap();
    let kinds: Vec<_> = entries
        .iter()
        .map(|e| e["target"]["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["registry", "shared", "template", "tenant", "tenant"]
    );
    assert!(fixture.has("public.more") && !fixture.has("a.more"));
    assert!(fixture.has("a.next") && fixture.has("b.next") && !fixture.has("public.next"));
}

#[test]
fn a_dry_run_shows_the_plan_and_writes_nothing() {
    let fixture = Fixture::new();
    let relations = fixture.relations();
    let plan = fixture.run(&["migrate", "--dry-run"]).expect(0);
    insta::assert_snapshot!(plan.stdout, @r"
    SCHEMA                 WOULD RUN
    registry               (the schema is missing)
                           2026-11-20-000000_registry
                           2026-11-24-000000_epochs
                           2026-11-24-120000_clones
                           2026-11-28-000000_ledger
                           2026-11-28-180000_people
                           2026-11-28-200000_logins
                           2026-11-29-000000_ready_numbers
    shared schema public   2024-01-01-000000_plans
    template __template__  (the schema is missing)
                           2024-01-02-000000_notes
    ");
    assert_eq!(fixture.relations(), relations);
    assert!(!fixture.has_schema("boardinghouse") && !fixture.has_schema("__template__"));
    let json = fixture
        .run(&["migrate", "--dry-run", "--json"])
        .expect(0)
        .json();
    assert_eq!(json["targets"][2]["pending"][0], "2024-01-02-000000_notes");
    fixture.run(&["migrate"]).expect(0);
    assert_eq!(
        fixture.run(&["migrate", "--dry-run"]).expect(0).stdout,
        "nothing to do\n"
    );
}

#[test]
fn status_tells_what_each_schema_has_and_lacks() {
    let fixture = Fixture::with_tenants(&["a", "b"]);
    fixture.run(&["status", "--check"]).expect(0);
    fixture.migration(NEXT, "CREATE TABLE next (id int)");
    let older = ["the template is older", "`boardinghouse migrate`"];
    fixture.run(&["migrate", "-s", "a"]).expect(0).says(&older);
    let status = fixture.run(&["status"]).expect(0);
    insta::assert_snapshot!(status.stdout, @r"
    SCHEMA                 APPLIED  LATEST          PENDING
    registry               7        20261129000000  -
    shared schema public   1        20240101000000  -
    template __template__  1        20240102000000  2024-02-01-000000_next
    tenant a               2        20240201000000  -
    tenant b               1        20240102000000  2024-02-01-000000_next
    ");
    let json = fixture
        .run(&["status", "--check", "--json"])
        .expect(3)
        .json();
    assert_eq!(json["targets"][4]["pending"][0], "2024-02-01-000000_next");
    assert!(fixture.has("a.next") && !fixture.has("b.next"));
    assert!(!fixture.has("__template__.next"));
    fixture.run(&["migrate"]).expect(0);
    fixture.run(&["status", "--check"]).expect(0);
    let again = fixture.run(&["migrate", "-s", "a"]).expect(0);
    assert_eq!(again.stderr, "");
}

#[test]
fn a_part_of_the_fleet_is_migrated_alone() {
    let fixture = Fixture::with_tenants(&["a"]);
    fixture.migration(
        "shared/2024-02-01-000000_more",
        "CREATE TABLE more (id int)",
    );
    fixture.migration(NEXT, "CREATE TABLE next (id int)");
    fixture.run(&["migrate", "--tenants"]).expect(0);
    assert!(fixture.has("a.next") && fixture.has("__template__.next"));
    assert!(!fixture.has("public.more"));
    fixture.run(&["migrate", "--shared"]).expect(0);
    assert!(fixture.has("public.more"));
}

#[test]
fn tenants_cannot_be_migrated_before_the_database_is_made_ready() {
    let fixture = Fixture::new();
    let relations = fixture.relations();
    fixture
        .run(&["migrate", "--tenants"])
        .expect(2)
        .says(&["no registry", "boardinghouse init"]);
    fixture
        .run(&["migrate", "-s", "a"])
        .expect(2)
        .says(&["boardinghouse init"]);
    assert_eq!(fixture.relations(), relations);
}

#[test]
fn a_tenant_without_its_schema_fails_and_nothing_falls_through_to_public() {
    let fixture = Fixture::with_tenants(&["ghost", "well"]);
    fixture.execute("DROP SCHEMA ghost CASCADE");
    fixture.migration(
        NEXT,
        "CREATE TABLE next (id int); INSERT INTO notes (body) VALUES ('x')",
    );
    let relations = fixture.relations();
    let run = fixture.run(&["migrate", "-s", "ghost"]).expect(1);
    assert!(run.stdout.contains("schema ghost is missing"), "{run:?}");
    assert_eq!(fixture.relations(), relations);
    assert!(!fixture.has("public.next"));
    // One that fails does not keep the others back.
    let json = fixture.run(&["migrate", "--json"]).expect(1).json();
    assert_eq!(json["entries"][3]["outcome"], "failed");
    assert_eq!(json["entries"][4]["outcome"], "done");
    assert!(fixture.has("well.next") && !fixture.has("public.next"));
}

#[test]
fn a_migration_that_fails_is_told_with_the_servers_words() {
    let fixture = Fixture::with_tenants(&["a"]);
    fixture.execute("CREATE TABLE a.next (id int)");
    fixture.migration(NEXT, "CREATE TABLE next (id int)");
    let run = fixture.run(&["migrate"]).expect(1);
    insta::assert_snapshot!(run.stdout, @r#"
    SCHEMA                 RESULT      APPLIED
    registry               up to date
    shared schema public   up to date
    template __template__  migrated    2024-02-01-000000_next
    tenant a               failed

    tenant a: migration 2024-02-01-000000_next failed on tenant a: the server refused it: relation "next" already exists
      SQLSTATE 42P07
      in CREATE TABLE next (id int)

    4 schemas, 1 migration applied, 1 failed
    "#);
    assert!(fixture.has("__template__.next"));
    fixture.run(&["status", "--check"]).expect(3);
}
