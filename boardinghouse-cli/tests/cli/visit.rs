//! `boardinghouse who`, `exec` and `repair`

use diesel::{Connection, PgConnection, RunQueryDsl, sql_query, sql_types};
use serde_json::json;

use crate::fixture::Fixture;

fn fleet() -> Fixture {
    let fixture = Fixture::with_tenants(&[]);
    for (id, plan, seats) in [
        ("acme", "free", 1),
        ("globex", "paid", 30),
        ("initech", "free", 7),
        ("umbrella", "paid", 2),
    ] {
        let (plan, seats) = (format!("plan={plan}"), format!("seats={seats}"));
        let create = ["tenant", "create", id, "--attr", &plan, "--attr", &seats];
        fixture.run(&create).expect(0);
    }
    fixture.with_sites()
}

/// G05: who is shown, and visited, for twelve ways to select.
#[test]
fn those_who_are_shown_are_visited_in_that_order() {
    let fixture = fleet();
    fixture.run(&["migrate", "--static"]).expect(0);
    for (options, expected) in [
        (&[][..], &["acme", "globex", "initech", "umbrella"][..]),
        (&["-s", "globex"], &["globex"]),
        (&["-s", "umbrella", "--only", "acme"], &["acme", "umbrella"]),
        (&["--except", "acme"], &["globex", "initech", "umbrella"]),
        (
            &["-s", "acme", "-s", "globex", "--except", "acme"],
            &["globex"],
        ),
        (&["--where", "plan=free"], &["acme", "initech"]),
        (
            &["--where", r#"{"plan":"free"}"#, "--where", "seats=7"],
            &["initech"],
        ),
        (&["--where", "plan=none"], &[]),
        (&["--limit", "2"], &["acme", "globex"]),
        (
            &["--order-by", "-seats", "--limit", "50%"],
            &["globex", "initech"],
        ),
        (
            &["--where", "plan=paid", "--order-by", "seats"],
            &["umbrella", "globex"],
        ),
        (&["--static"], &["blog", "www"]),
        (&["--static", "-s", "www"], &["www"]),
    ] {
        let shown = fixture
            .run(&[&["--json", "who"], options].concat())
            .expect(0)
            .json();
        let shown: Vec<_> = shown
            .as_array()
            .unwrap()
            .iter()
            .map(|tenant| &tenant["id"])
            .collect();
        assert_eq!(shown, expected, "{options:?}");
        let all = if options.is_empty() {
            &["--all"][..]
        } else {
            options
        };
        let program = [
            "--",
            "sh",
            "-c",
            "echo $BOARDINGHOUSE_TENANT:$BOARDINGHOUSE_SCHEMA",
        ];
        let visited = fixture.run(&[&["exec"], all, &program].concat()).expect(0);
        let lines: Vec<String> = expected.iter().map(|id| format!("{id}:{id}")).collect();
        assert_eq!(
            visited.stdout.lines().collect::<Vec<_>>(),
            lines,
            "{options:?}"
        );
    }
    for options in [
        &["-s", "nobody"][..],
        &["--except", "nobody"],
        &["--static", "-s", "acme"],
    ] {
        fixture.run(&[&["who"], options].concat()).expect(2);
        fixture
            .run(&[&["exec"], options, &["--", "false"]].concat())
            .expect(2);
    }
    insta::assert_snapshot!(fixture.run(&["who", "--limit", "2"]).expect(0).stdout, @r"
    ID      STATUS  SCHEMA
    acme    ready   acme
    globex  ready   globex
    ");
}

#[test]
fn a_program_finds_the_tenant_by_its_url() {
    #[derive(diesel::QueryableByName)]
    struct Body {
        #[diesel(sql_type = sql_types::Text)]
        body: String,
    }
    let fixture = fleet();
    for id in ["acme", "globex"] {
        fixture.execute(&format!(
            "INSERT INTO {id}.notes (body) VALUES ('from-{id}')"
        ));
        let exec = [
            "exec",
            "-s",
            id,
            "--",
            "sh",
            "-c",
            "printf %s \"$DATABASE_URL\"; test -z \"$PGSERVICE\" && test -n \"$PGHOST\"",
        ];
        let run = fixture.run(&exec).expect(0);
        let mut conn = PgConnection::establish(&run.stdout).unwrap();
        let rows: Vec<Body> = sql_query("SELECT body FROM notes").load(&mut conn).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].body, format!("from-{id}"));
    }
}

#[test]
fn the_exit_code_tells_how_it_went() {
    let fixture = fleet();
    fixture
        .run(&["exec", "-s", "acme", "--", "sh", "-c", "exit 7"])
        .expect(7);
    fixture
        .run(&["exec", "-s", "acme", "--", "sh", "-c", "kill -TERM $$"])
        .expect(143);
    let no_program = fixture
        .run(&["exec", "-s", "acme", "--", "./no-such-program"])
        .expect(2);
    no_program.says(&["could not run ./no-such-program"]);
    fixture
        .run(&["exec", "--", "true"])
        .expect(2)
        .says(&["--all"]);
    fixture.run(&["exec", "--all"]).expect(2);
    // Where it is one tenant that is named, however often; and where it is none.
    let twice = [
        "exec", "-s", "acme", "-s", "acme", "--", "sh", "-c", "exit 7",
    ];
    fixture.run(&twice).expect(7);
    let nobody = ["exec", "--where", "plna=free", "--", "false"];
    fixture
        .run(&nobody)
        .expect(0)
        .says(&["no tenant is what was asked for"]);
    // What cannot be run for one is not tried for the next.
    let missing = fixture
        .run(&["exec", "--all", "--", "./no-such-program"])
        .expect(2);
    assert_eq!(
        missing.stderr.matches("no-such-program").count(),
        1,
        "{missing:?}"
    );
    // Nothing of stdin is lost to the first.
    let all = ["exec", "--all", "--", "cat"];
    assert_eq!(fixture.run_with_stdin(&all, "lost").expect(0).stdout, "");
    let one = ["exec", "-s", "acme", "--", "cat"];
    assert_eq!(
        fixture.run_with_stdin(&one, "read").expect(0).stdout,
        "read"
    );
    // One that fails does not keep the others back.
    let program = "echo $BOARDINGHOUSE_TENANT; test $BOARDINGHOUSE_TENANT != globex";
    let some = ["exec", "--all", "--", "sh", "-c", program];
    let failed = fixture.run(&some).expect(1);
    assert_eq!(failed.stdout, "acme\nglobex\ninitech\numbrella\n");
    failed.says(&["tenant globex: the program ended with 1"]);
    let fast = ["exec", "--all", "--fail-fast", "--", "sh", "-c", program];
    assert_eq!(fixture.run(&fast).expect(1).stdout, "acme\nglobex\n");
    // E20: a tenant without its schema is named, and nothing runs for it.
    fixture.run(&["tenant", "suspend", "initech"]).expect(0);
    fixture.execute("DROP SCHEMA globex CASCADE");
    let named = fixture
        .run(&["exec", "-s", "globex", "--", "sh", "-c", "echo ran"])
        .expect(1);
    assert_eq!(named.stdout, "");
    named.says(&["globex"]);
    let all = fixture
        .run(&[
            "exec",
            "--all",
            "--",
            "sh",
            "-c",
            "echo $BOARDINGHOUSE_TENANT",
        ])
        .expect(1);
    assert_eq!(all.stdout, "acme\numbrella\n");
    all.says(&["globex", "note: tenant initech is suspended: skipped"]);
    fixture
        .run(&["exec", "-s", "initech", "--", "true"])
        .expect(1)
        .says(&["suspended"]);
}

/// E18.
#[test]
fn schemas_that_are_missing_are_made_anew() {
    let fixture = Fixture::with_tenants(&["acme", "globex", "initech"]);
    let nothing = fixture.run(&["repair"]).expect(0);
    assert_eq!(nothing.stdout, "nothing to do\n");
    fixture.execute("DROP SCHEMA acme CASCADE; DROP SCHEMA globex CASCADE");
    fixture.run(&["check"]).expect(2).says(&[]);
    let shown = fixture.run(&["repair", "--dry-run"]).expect(0);
    insta::assert_snapshot!(shown.stdout, @r"
    TENANT  MISSING  NOTE
    acme    acme
    globex  globex
    ");
    // Nobody can be asked.
    fixture.run(&["repair"]).expect(2).says(&["--yes"]);
    let cancelled = fixture.run_on_terminal(&["repair"], "no\n").expect(1);
    cancelled.says(&["without the rows that they had: acme, globex"]);
    fixture
        .run(&["repair", "acme", "nobody", "--yes"])
        .expect(2)
        .says(&["nobody"]);
    assert!(!fixture.has_schema("acme"));
    let one = fixture
        .run(&["repair", "acme", "initech", "--yes"])
        .expect(0);
    insta::assert_snapshot!(one.stdout, @r"
    TENANT   SCHEMA   RESULT         REASON
    acme     acme     repaired
    initech  initech  nothing to do
    ");
    assert!(fixture.has("acme.notes") && !fixture.has_schema("globex"));
    let others = fixture.run(&["--json", "repair", "--yes"]).expect(0).json();
    let expected = json!([{ "tenant": "globex", "schema": "globex", "repaired": true }]);
    assert_eq!(others, expected);
    fixture
        .run(&["sql", "-s", "globex", "SELECT * FROM notes"])
        .expect(0);
    fixture.run(&["check"]).expect(0);
    assert_eq!(fixture.run(&["repair"]).expect(0).stdout, "nothing to do\n");
    // What it is called now is known of tenants that were migrated.
    fixture.run(&["migrate"]).expect(0);
    fixture.execute("ALTER SCHEMA acme RENAME TO elsewhere");
    fixture
        .run(&["tenant", "create", "later", "--defer"])
        .expect(0);
    let moved = fixture.run(&["repair", "acme", "later"]).expect(1);
    insta::assert_snapshot!(moved.stdout, @r"
    TENANT  SCHEMA  RESULT         REASON
    acme    acme    failed         the schema of tenant acme is called elsewhere now, not acme: give it its name back, or drop it
    later   later   nothing to do  it is pending: see `boardinghouse provision`
    ");
}
