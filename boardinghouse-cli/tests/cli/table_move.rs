//! `boardinghouse table move`.

use insta::assert_snapshot;

use crate::fixture::Fixture;

/// Tenants `a` and `b`, whose notes refer to shared plans, of which there are two.
fn site() -> Fixture {
    let fixture = Fixture::new();
    fixture.migration(
        "shared/2024-01-01-000000_plans",
        "CREATE TABLE plans (id int PRIMARY KEY, name text NOT NULL);
         INSERT INTO plans VALUES (1, 'small'), (2, 'large')",
    );
    fixture.migration(
        "tenant/2024-01-03-000000_of_a_plan",
        "ALTER TABLE notes ADD COLUMN plan int CONSTRAINT of_a_plan REFERENCES public.plans",
    );
    fixture.run(&["migrate"]).expect(0);
    for id in ["a", "b"] {
        fixture.run(&["tenant", "create", id]).expect(0);
    }
    fixture
}

const TO_TENANTS: [&str; 6] = [
    "table",
    "move",
    "plans",
    "--to",
    "tenants",
    "--copy-to-each",
];
const TO_SHARED: [&str; 5] = ["table", "move", "plans", "--to", "shared"];

fn with<'a>(args: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [args, more].concat()
}

/// W11.
#[test]
fn a_dry_run_shows_the_plan_and_changes_nothing() {
    let fixture = site();
    let relations = fixture.relations();
    let run = fixture.run(&with(&TO_TENANTS, &["--dry-run"])).expect(0);
    assert_snapshot!(run.stdout);
    let json = fixture
        .run(&with(&TO_TENANTS, &["--dry-run", "--json"]))
        .expect(0)
        .json();
    assert_eq!(json["moved"], false);
    assert_eq!(json["to"], "tenants");
    assert_eq!(json["schemas"][1]["rows_after"], 2);
    assert_eq!(fixture.relations(), relations);
    assert!(fixture.has("public.plans") && !fixture.has("a.plans"));
}

/// W11, F23, J08.
#[test]
fn a_table_goes_to_the_tenants_and_comes_back() {
    let fixture = site();
    let run = fixture.run_on_terminal(&TO_TENANTS, "no\n").expect(1);
    run.says(&[
        "would move table plans",
        "Type move to go on",
        "nothing was done",
    ]);
    assert!(fixture.has("public.plans"));
    let run = fixture.run_on_terminal(&TO_TENANTS, "move\n").expect(0);
    assert!(
        run.stdout.starts_with("moved table plans"),
        "{}",
        run.stdout
    );
    assert_eq!(fixture.number("SELECT count(*) FROM a.plans"), 2);
    assert!(!fixture.has("public.plans"));
    // The migrations are as they were, and so is what is pending.
    fixture.run(&["status", "--check"]).expect(0);
    fixture.run(&["drift"]).expect(0);

    fixture.execute("UPDATE b.plans SET name = 'huge' WHERE id = 2");
    let run = fixture.run(&with(&TO_SHARED, &["--yes"])).expect(1);
    assert_snapshot!(run.stdout);
    let run = fixture
        .run(&with(&TO_SHARED, &["--yes", "--json"]))
        .expect(1);
    assert_eq!(run.json()["conflicts"][0]["key"], "2");
    assert!(fixture.has("a.plans") && !fixture.has("public.plans"));

    fixture.execute("UPDATE b.plans SET id = 3 WHERE id = 2");
    let run = fixture.run(&with(&TO_SHARED, &["--yes"])).expect(0);
    assert_snapshot!(run.stdout);
    assert_eq!(fixture.number("SELECT count(*) FROM public.plans"), 3);
    assert!(!fixture.has("a.plans"));

    // What is printed can be remembered.
    fixture.migration("shared/2024-02-01-000000_plans_come", "SELECT 1/0");
    fixture.migration("tenant/2024-02-01-000000_plans_go", "SELECT 1/0");
    let mark = ["migrate", "--yes", "--mark-applied", "20240201000000"];
    fixture.run(&with(&mark, &["--shared"])).expect(0);
    fixture.run(&mark).expect(0);
    fixture.run(&["status", "--check"]).expect(0);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let fixture = site();
    let relations = fixture.relations();
    for (args, says) in [
        (&["table", "move", "plans"][..], "--to"),
        (
            &["table", "move", "plans", "--to", "everybody"],
            "possible values",
        ),
        (
            &["table", "move", "", "--to", "shared", "--yes"],
            "name of a table",
        ),
        (
            &[
                "table",
                "move",
                "plans",
                "--to",
                "shared",
                "--copy-to-each",
                "--yes",
            ],
            "--to tenants",
        ),
        (&["table", "move", "plans", "--to", "tenants"], "pass --yes"),
        (
            &["table", "move", "plans", "--to", "tenants", "--yes"],
            "has 2 rows",
        ),
        (
            &["table", "move", "plans", "--to", "shared", "--yes"],
            "schema a has no table plans",
        ),
        // The bait.
        (
            &["table", "move", "notes", "--to", "shared", "--yes"],
            "schema public has something called notes",
        ),
        (
            &[
                "table",
                "move",
                "__diesel_schema_migrations",
                "--to",
                "shared",
                "--yes",
            ],
            "stays where it is",
        ),
    ] {
        fixture.run(args).expect(2).says(&[says]);
    }
    assert_eq!(fixture.relations(), relations);
}
