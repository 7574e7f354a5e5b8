//! `boardinghouse drift` and `boardinghouse gate`.

use std::fs;

use crate::fixture::Fixture;

const SCHEMA: &str = "
diesel::table! {
    notes (id) {
        id -> Int4,
        body -> Nullable<Text>,
    }
}

diesel::table! {
    plans (id) {
        id -> Nullable<Int4>,
    }
}
";

#[test]
fn drift_says_what_differs_and_what_would_undo_it() {
    let fixture = Fixture::with_tenants(&["a", "b", "c"]);
    let healthy = fixture.run(&["drift"]).expect(0);
    insta::assert_snapshot!(healthy.stdout, @"3 tenants, 1 structure, 0 drifted, 0 at another version");
    let nothing = fixture.run(&["drift", "--repair-sql"]).expect(0);
    assert_eq!(nothing.stdout, "-- no tenant has drifted\n");

    fixture
        .execute("ALTER TABLE b.notes ALTER COLUMN body TYPE varchar(9), ADD COLUMN more integer");
    fixture.execute("CREATE INDEX notes_more ON b.notes (more)");
    let drifted = fixture.run(&["drift"]).expect(3);
    insta::assert_snapshot!(drifted.stdout, @r"
    3 tenants, 2 structures, 1 drifted, 0 at another version
      as the template: 2 tenants: a, c
      otherwise: 1 tenant: b

    tenant b: 3 differences from __template__
      changed column notes.body
        - text
        + character varying(9)
      added column notes.more
        + integer
      added index notes_more
        + CREATE INDEX notes_more ON notes USING btree (more)
    ");
    let other = fixture.run(&["drift", "-s", "a"]).expect(0);
    assert!(
        other
            .stdout
            .starts_with("1 tenant, 2 structures, 0 drifted"),
        "{other:?}"
    );
    let report = fixture.run(&["drift", "--json"]).expect(3).json();
    assert_eq!(report["drifted"][0]["differences"][0]["kind"], "column");
    assert_eq!(
        report["drifted"][0]["differences"][0]["found"],
        "character varying(9)"
    );

    let script = fixture.run(&["drift", "--repair-sql"]).expect(3);
    insta::assert_snapshot!(script.stdout, @r#"
    -- tenant b
    BEGIN;
    SET LOCAL search_path TO "b", pg_catalog, pg_temp;
    SET LOCAL check_function_bodies TO off;
    DROP INDEX IF EXISTS notes_more;
    ALTER TABLE notes DROP COLUMN IF EXISTS more;
    ALTER TABLE notes ALTER COLUMN body TYPE text USING body::text;
    COMMIT;
    "#);
    fixture.execute(&script.stdout);
    fixture.run(&["drift"]).expect(0);
    fixture.run(&["drift", "-s", "nobody"]).expect(2);
}

#[test]
fn the_gate_is_open_when_all_tenants_have_what_the_program_needs() {
    let fixture = Fixture::with_tenants(&["a", "b"]);
    let file = fixture.dir().join("schema.rs");
    fs::write(&file, SCHEMA).unwrap();
    let ready = fixture.run(&["gate", "--schema", "schema.rs"]).expect(0);
    insta::assert_snapshot!(ready.stdout, @"2 tables are needed: 4 schemas are ready, 0 not");
    fixture.execute("ALTER TABLE b.notes DROP COLUMN body");
    let not_ready = fixture.run(&["gate", "--schema", "schema.rs"]).expect(3);
    insta::assert_snapshot!(not_ready.stdout, @r"
    2 tables are needed: 3 schemas are ready, 1 not

    tenant b:
      column notes.body is missing
    ");
    let report = fixture
        .run(&["gate", "--json", "--schema", "schema.rs"])
        .expect(3)
        .json();
    assert_eq!(report["not_ready"][0]["lacks"][0]["kind"], "column");

    let missing = fixture.run(&["gate"]).expect(2);
    assert!(missing.stderr.contains("src/schema.rs"), "{missing:?}");
    fs::write(&file, "diesel::table! { notes { id } }").unwrap();
    let broken = fixture.run(&["gate", "--schema", "schema.rs"]).expect(2);
    assert!(broken.stderr.contains("schema.rs: line 1: "), "{broken:?}");
}
