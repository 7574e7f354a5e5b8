//! `boardinghouse tenant …`

use std::{
    io::{Read as _, Write as _},
    process::Stdio,
};

use serde_json::json;

use crate::fixture::{Fixture, terminal};

#[test]
fn a_tenant_is_created_listed_shown_and_deleted() {
    let fixture = Fixture::with_tenants(&[]);
    let empty = fixture.run(&["tenant", "list"]).expect(0);
    assert_eq!(empty.stdout, "no tenants\n");
    assert_eq!(
        fixture.run(&["tenant", "list", "--json"]).expect(0).json(),
        json!([])
    );
    let created = fixture
        .run(&[
            "--json",
            "tenant",
            "create",
            "acme",
            "--name",
            "Acme Inc.",
            "--domain",
            "Notes.Acme.com.",
            "--domain",
            "acme.test",
            "--attr",
            "seats=25",
            "--attr",
            "paid_until=2030-01-01",
        ])
        .expect(0)
        .json();
    assert_eq!(created["schema"], "acme");
    assert_eq!(
        created["attributes"],
        json!({ "seats": 25, "paid_until": "2030-01-01" })
    );
    assert_eq!(
        created["domains"],
        json!([
            {
                "name": "notes.acme.com",
                "folder": null,
                "is_primary": true,
                "redirect_to_primary": false,
            },
            {
                "name": "acme.test",
                "folder": null,
                "is_primary": false,
                "redirect_to_primary": false,
            }
        ])
    );
    assert_eq!(
        fixture
            .run(&["--json", "tenant", "show", "acme"])
            .expect(0)
            .json(),
        created
    );
    let list = fixture.run(&["tenant", "list"]).expect(0);
    insta::assert_snapshot!(list.stdout, @r"
    ID    NAME       STATUS  SCHEMA  DOMAIN
    acme  Acme Inc.  ready   acme    notes.acme.com and 1 more
    ");
    let shown = fixture.run(&["tenant", "show", "acme"]).expect(0);
    insta::assert_snapshot!(shown.stdout, @r#"
    id         acme
    name       Acme Inc.
    status     ready
    schema     acme
    domain     notes.acme.com (primary)
    domain     acme.test
    attribute  paid_until = "2030-01-01"
    attribute  seats = 25
    "#);
    assert_eq!(fixture.number("SELECT count(*) FROM acme.notes"), 0);
    let deleted = fixture
        .run(&["tenant", "delete", "acme", "--yes"])
        .expect(0);
    assert_eq!(deleted.stdout, "deleted tenant acme; schema acme dropped\n");
    assert!(!fixture.has_schema("acme"));
    fixture
        .run(&["tenant", "delete", "acme", "--yes"])
        .expect(2);
}

#[test]
fn a_second_tenant_of_the_same_name_is_refused() {
    let fixture = Fixture::with_tenants(&["acme"]);
    fixture.execute("INSERT INTO acme.notes (body) VALUES ('kept')");
    let error = fixture
        .run(&["--json", "tenant", "create", "acme"])
        .expect(2)
        .error();
    assert_eq!(error["kind"], "TenantExists");
    assert_eq!(fixture.number("SELECT count(*) FROM acme.notes"), 1);
}

#[test]
fn a_schema_that_exists_is_not_touched_unless_it_is_adopted() {
    let fixture = Fixture::with_tenants(&[]);
    fixture.execute("CREATE SCHEMA legacy; CREATE TABLE legacy.old AS SELECT 1 AS x");
    let error = fixture
        .run(&["--json", "tenant", "create", "legacy"])
        .expect(2)
        .error();
    assert_eq!(error["kind"], "SchemaExists");
    assert_eq!(
        fixture.number("SELECT count(*) FROM boardinghouse.tenants"),
        0
    );
    let adopted = fixture
        .run(&[
            "--json", "tenant", "create", "old-shop", "--adopt", "legacy",
        ])
        .expect(0)
        .json();
    assert_eq!(adopted["adopted"], true);
    let deleted = fixture
        .run(&["tenant", "delete", "old-shop", "--yes"])
        .expect(0);
    assert!(
        deleted.stdout.contains("was adopted and is kept"),
        "{deleted:?}"
    );
    assert_eq!(fixture.number("SELECT count(*) FROM legacy.old"), 1);
}

#[test]
fn without_a_template_or_a_registry_nothing_is_created() {
    let fixture = Fixture::new();
    let error = fixture
        .run(&["--json", "tenant", "create", "acme"])
        .expect(2)
        .error();
    assert_eq!(error["kind"], "RegistryMissing");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("boardinghouse init")
    );
    fixture.run(&["init"]).expect(0);
    fixture.execute("DROP SCHEMA __template__");
    let error = fixture
        .run(&["--json", "tenant", "create", "acme"])
        .expect(2)
        .error();
    assert_eq!(error["kind"], "TemplateMissing");
    assert_eq!(
        fixture.number("SELECT count(*) FROM boardinghouse.tenants"),
        0
    );
    assert!(!fixture.has_schema("acme"));
}

#[test]
fn the_id_must_be_typed_before_a_tenant_is_deleted() {
    let fixture = Fixture::with_tenants(&["acme"]);
    let delete = ["tenant", "delete", "acme"];
    for answer in ["no\n", "\n", "y\n", "acm\n", "globex\n", "\u{4}"] {
        let run = fixture.run_on_terminal(&delete, answer).expect(1);
        assert_eq!(run.stdout, "");
        run.says(&[
            "drops schema acme with all its rows",
            "Type acme to go on",
            "cancelled",
        ]);
        assert!(fixture.has("acme.notes"));
    }
    let error = fixture
        .run_on_terminal(&["--json", "tenant", "delete", "acme"], "no\n")
        .expect(1);
    assert!(error.stderr.contains("\"Cancelled\""), "{error:?}");
    fixture.run_on_terminal(&delete, "acme\n").expect(0);
    assert!(!fixture.has_schema("acme"));
}

/// Whoever has the id by the time of the answer is not who was asked about.
#[test]
fn a_tenant_that_took_the_id_while_somebody_thought_about_it_is_kept() {
    let fixture = Fixture::with_tenants(&["acme"]);
    let (mut terminal, stdin) = terminal();
    let mut child = fixture
        .command(&["tenant", "delete", "acme"])
        .stdin(stdin)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains("Type acme") {
        let mut byte = [0];
        stderr.read_exact(&mut byte).unwrap();
        said.extend(byte);
    }
    fixture.run(&["tenant", "rename", "acme", "old"]).expect(0);
    fixture.run(&["tenant", "create", "acme"]).expect(0);
    terminal.write_all(b"acme\n").unwrap();
    stderr.read_to_end(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2));
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("there is no tenant acme"), "{said}");
    assert!(fixture.has("acme.notes") && fixture.has("old.notes"));
}

#[test]
fn nobody_is_asked_who_is_not_at_a_terminal() {
    let fixture = Fixture::with_tenants(&["acme"]);
    let delete = ["tenant", "delete", "acme"];
    for answer in ["no\n", "acme\n", ""] {
        let run = fixture
            .run_with_stdin(&delete, answer)
            .expect(2)
            .says(&["--yes"]);
        assert!(!run.stderr.contains("Type"), "{run:?}");
    }
    fixture
        .run_on_terminal(&["tenant", "delete", "acme", "--no-input"], "acme\n")
        .expect(2);
    assert!(fixture.has("acme.notes"));
    fixture
        .run(&["tenant", "delete", "acme", "--no-input", "--yes"])
        .expect(0);
    assert!(!fixture.has_schema("acme"));
}

#[test]
fn a_tenant_without_tables_is_told_of() {
    let fixture = Fixture::new();
    fixture.run(&["init"]).expect(0);
    let note = ["the template has no tables yet", "`boardinghouse migrate`"];
    fixture
        .run(&["tenant", "create", "a"])
        .expect(0)
        .says(&note);
    // Diesel's own table is none.
    fixture.execute("CREATE TABLE __template__.__diesel_schema_migrations (version text)");
    fixture
        .run(&["tenant", "create", "b"])
        .expect(0)
        .says(&note);
    let json = fixture.run(&["--json", "tenant", "create", "c"]).expect(0);
    assert_eq!(json.stderr, "");
    fixture.execute("CREATE TABLE __template__.notes (id int)");
    let run = fixture.run(&["tenant", "create", "d"]).expect(0);
    assert_eq!(run.stderr, "");
}
