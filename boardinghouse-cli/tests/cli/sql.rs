//! `boardinghouse sql`

use serde_json::json;

use crate::fixture::Fixture;

#[test]
fn a_statement_sees_its_tenant_and_not_the_bait() {
    let fixture = Fixture::with_tenants(&["a", "b"]);
    let insert = "INSERT INTO notes (body) VALUES ('one'), ('two') RETURNING id, body";
    let rows = fixture.run(&["sql", "-s", "a", insert]).expect(0);
    insta::assert_snapshot!(rows.stdout, @r"
    id  body
    1   one
    2   two
    2 rows
    ");
    let select = "select body from notes order by id; -- all";
    let json = fixture
        .run(&["--json", "sql", "-s", "a", select])
        .expect(0)
        .json();
    assert_eq!(json, json!([{ "body": "one" }, { "body": "two" }]));
    assert_eq!(
        fixture
            .run(&["--json", "sql", "-s", "b", select])
            .expect(0)
            .json(),
        json!([])
    );
    assert_eq!(
        fixture.run(&["sql", "-s", "b", select]).expect(0).stdout,
        "0 rows\n"
    );
}

#[test]
fn the_tenant_can_come_from_the_environment_and_the_statement_from_stdin() {
    let fixture = Fixture::with_tenants(&["a"]);
    let output = fixture
        .command(&["sql", "SELECT current_schema()"])
        .env("BOARDINGHOUSE_TENANT", "a")
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "current_schema\na\n1 row\n"
    );
    let unknown = fixture
        .command(&["sql", "SELECT 1"])
        .env("BOARDINGHOUSE_TENANT", "zzz")
        .output()
        .unwrap();
    assert_eq!(unknown.status.code(), Some(2));
    fixture
        .run(&["sql", "SELECT 1"])
        .expect(2)
        .says(&["--tenant"]);
    let script = "INSERT INTO notes (body) VALUES ('x');\nUPDATE notes SET body = 'y';\n";
    let run = fixture
        .run_with_stdin(&["sql", "-s", "a", "-"], script)
        .expect(0);
    assert_eq!(run.stdout, "ok\n");
    assert_eq!(
        fixture.number("SELECT count(*) FROM a.notes WHERE body = 'y'"),
        1
    );
    fixture
        .run_with_stdin(&["sql", "-s", "a", "-"], " -- nothing\n;")
        .expect(2);
}

/// N01.
#[test]
fn rows_of_all_tenants_have_their_tenant_in_front() {
    let fixture = Fixture::with_tenants(&["a", "b", "c", "d"]);
    fixture.execute(
        "INSERT INTO a.notes (body) VALUES ('one'), ('two'); INSERT INTO c.notes (body) VALUES ('three'); \
         UPDATE boardinghouse.tenants SET status = 'suspended' WHERE id = 'd'",
    );
    let select = "SELECT id, body FROM notes ORDER BY id";
    let run = fixture.run(&["sql", "--all", select]).expect(0);
    insta::assert_snapshot!(run.stdout, @r"
    TENANT  id  body
    a       1   one
    a       2   two
    c       1   three
    3 rows
    ");
    assert_eq!(run.stderr, "note: tenant d is suspended: skipped\n");
    let run = fixture.run(&["--json", "sql", "--all", select]).expect(0);
    assert_eq!(
        run.json(),
        json!([
            { "tenant": "a", "outcome": "done", "rows": [{ "id": 1, "body": "one" }, { "id": 2, "body": "two" }] },
            { "tenant": "b", "outcome": "done", "rows": [] },
            { "tenant": "c", "outcome": "done", "rows": [{ "id": 1, "body": "three" }] },
            { "tenant": "d", "outcome": "skipped", "error": "suspended" },
        ])
    );
    assert_eq!(run.stderr, "");
    let update = fixture
        .run(&["sql", "--all", "UPDATE notes SET body = upper(body)"])
        .expect(0);
    insta::assert_snapshot!(update.stdout, @r"
    a: 2 rows affected
    b: 0 rows affected
    c: 1 row affected
    ");
    assert_eq!(fixture.number("SELECT count(*) FROM d.notes"), 0);
    let none = fixture
        .run(&["sql", "--all", "SELECT 1 WHERE false"])
        .expect(0);
    assert_eq!(none.stdout, "0 rows\n");
}

#[test]
fn a_tenant_that_fails_is_told_and_the_rows_of_the_others_are_shown() {
    let fixture = Fixture::with_tenants(&["a", "b", "c"]);
    fixture.execute(
        "INSERT INTO a.notes (body) VALUES ('1'); INSERT INTO b.notes (body) VALUES ('x'); \
         INSERT INTO c.notes (body) VALUES ('3'); ALTER TABLE c.notes ADD COLUMN more int",
    );
    let run = fixture
        .run(&["sql", "--all", "SELECT body::int AS number FROM notes"])
        .expect(1)
        .says(&["error: tenant b: ", "invalid input syntax"]);
    insta::assert_snapshot!(run.stdout, @r"
    TENANT  number
    a       1
    c       3
    2 rows
    ");
    // Tenants in the middle of a rollout: their columns differ.
    let run = fixture
        .run(&["sql", "--all", "SELECT * FROM notes"])
        .expect(0);
    insta::assert_snapshot!(run.stdout, @r"
    TENANT  id  body
    a       1   1
    b       1   x
    TENANT  id  body  more
    c       1   3     NULL
    3 rows
    ");
    fixture.execute("DROP SCHEMA b CASCADE");
    let run = fixture
        .run(&["--json", "sql", "--all", "SELECT 1 AS one"])
        .expect(1);
    let report = run.json();
    assert_eq!(report[0]["rows"], json!([{ "one": 1 }]));
    assert_eq!(report[1]["outcome"], "failed");
    assert!(
        report[1]["error"]
            .as_str()
            .unwrap()
            .contains("schema b is missing")
    );
    assert_eq!(report[2]["rows"], json!([{ "one": 1 }]));
}

#[test]
fn one_tenant_and_all_exclude_each_other_and_nonsense_is_refused_before_it_runs_anywhere() {
    let fixture = Fixture::with_tenants(&["a"]);
    fixture
        .run(&["sql", "--all", "-s", "a", "SELECT 1"])
        .expect(2)
        .says(&["--all", "--tenant"]);
    let both = fixture
        .command(&["sql", "--all", "SELECT 1"])
        .env("BOARDINGHOUSE_TENANT", "a")
        .output()
        .unwrap();
    assert_eq!(both.status.code(), Some(2), "who is meant?");
    for nonsense in ["", "-- nothing", "COPY notes TO stdout"] {
        let run = fixture.run(&["sql", "--all", nonsense]).expect(2);
        assert_eq!(run.stdout, "");
    }
    Fixture::new()
        .run(&["sql", "--all", "SELECT 1"])
        .expect(2)
        .says(&["init"]);
}

#[test]
fn every_kind_of_statement_runs_exactly_once() {
    let fixture = Fixture::with_tenants(&["a"]);
    fixture.execute("CREATE SEQUENCE public.runs");
    let once = |sql: &str, exit: i32| {
        fixture.execute("ALTER SEQUENCE public.runs RESTART");
        let run = fixture.run(&["sql", "-s", "a", sql]).expect(exit);
        let runs = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM public.runs";
        assert_eq!(fixture.number(runs), 1, "{sql}");
        run.stdout
    };
    once("SELECT nextval('runs')", 0);
    once("(SELECT nextval('runs')) UNION ALL (SELECT 0)", 0);
    once("VALUES (nextval('runs'))", 0);
    once("SELECT 1 / (nextval('runs') - 1)", 1);
    once(
        "INSERT INTO notes (body) VALUES (nextval('runs')::text) RETURNING *",
        0,
    );
    assert_eq!(
        once("INSERT INTO notes (body) SELECT nextval('runs')", 0),
        "1 row affected\n"
    );
    assert_eq!(
        once("DO $$ BEGIN PERFORM nextval('runs'); END $$", 0),
        "ok\n"
    );
    once(
        "WITH x AS (INSERT INTO notes (body) SELECT nextval('runs') RETURNING *) SELECT * FROM x",
        0,
    );
    once("SELECT nextval('runs'); SELECT 1", 0);
    assert_eq!(fixture.number("SELECT count(*) FROM a.notes"), 3);
}

#[test]
fn no_digit_column_or_null_is_lost() {
    let fixture = Fixture::with_tenants(&["a"]);
    let select = "SELECT 2 AS z, 12345678901234567890.10::numeric AS n, NULL AS x, 'NULL' AS s, \
                  1 AS z, '{\"b\": 1, \"a\": [2]}'::json AS j, ARRAY['é'] AS r";
    let run = fixture.run(&["--json", "sql", "-s", "a", select]).expect(0);
    insta::assert_snapshot!(run.stdout, @r#"
    [
      {
        "z": 2,
        "n": 12345678901234567890.10,
        "x": null,
        "s": "NULL",
        "z": 1,
        "j": {"b": 1, "a": [2]},
        "r": ["é"]
      }
    ]
    "#);
    let run = fixture.run(&["sql", "-s", "a", select]).expect(0);
    insta::assert_snapshot!(run.stdout, @r#"
    z  n                        x     s     z  j                   r
    2  12345678901234567890.10  NULL  NULL  1  {"b": 1, "a": [2]}  ["é"]
    1 row
    "#);
}

#[test]
fn statements_that_give_text_are_shown() {
    let fixture = Fixture::with_tenants(&["a"]);
    let run = fixture
        .run(&["sql", "-s", "a", "SHOW search_path"])
        .expect(0);
    assert!(run.stdout.contains("a, public"), "{run:?}");
    let run = fixture
        .run(&["sql", "-s", "a", "EXPLAIN SELECT 1"])
        .expect(0);
    assert!(run.stdout.contains("QUERY PLAN"), "{run:?}");
    let run = fixture
        .run(&["--json", "sql", "-s", "a", "CREATE TABLE t ()"])
        .expect(0);
    assert_eq!(run.json(), json!({ "affected": null }));
    let run = fixture
        .run(&["--json", "sql", "-s", "a", "DELETE FROM notes"])
        .expect(0);
    assert_eq!(run.json(), json!({ "affected": 0 }));
}

#[test]
fn a_refused_statement_is_told_with_the_servers_words() {
    let fixture = Fixture::with_tenants(&["a"]);
    fixture
        .run(&["sql", "-s", "a", "SELEC 1"])
        .expect(1)
        .says(&["syntax error at or near \"SELEC\""]);
    fixture
        .run(&["sql", "-s", "a", "SELECT * FROM nope"])
        .expect(1)
        .says(&["\"nope\" does not exist"]);
    fixture
        .run(&["sql", "-s", "a", "COPY notes FROM stdin"])
        .expect(2)
        .says(&["psql"]);
    fixture.execute("DROP SCHEMA a CASCADE");
    let error = fixture
        .run(&["--json", "sql", "-s", "a", "SELECT * FROM notes"])
        .expect(1)
        .error();
    assert_eq!(error["kind"], "SchemaUnavailable");
    assert_eq!(error["tenant"], "a");
}

#[test]
fn a_transaction_that_is_left_open_is_no_success() {
    let fixture = Fixture::with_tenants(&["a"]);
    for open in ["BEGIN", "BEGIN; INSERT INTO notes (body) VALUES ('x')"] {
        fixture
            .run(&["sql", "-s", "a", open])
            .expect(2)
            .says(&["rolled back", "COMMIT"]);
    }
    assert_eq!(fixture.number("SELECT count(*) FROM a.notes"), 0);
    let whole = "BEGIN; INSERT INTO notes (body) VALUES ('x'); COMMIT";
    fixture.run(&["sql", "-s", "a", whole]).expect(0);
    assert_eq!(fixture.number("SELECT count(*) FROM a.notes"), 1);
    let copy = "INSERT INTO notes (body) VALUES ('y'); COPY notes TO stdout; SELECT 1";
    fixture.run(&["sql", "-s", "a", copy]).expect(2);
    assert_eq!(fixture.number("SELECT count(*) FROM a.notes"), 1);
}

#[test]
fn redirected_output_has_no_control_codes() {
    let fixture = Fixture::with_tenants(&["a"]);
    let colour = "SELECT E'\\x1b[31mred' AS body";
    for args in [
        &["--help"][..],
        &["nonsense"],
        &["migrate"],
        &["-vv", "migrate"],
        &["status"],
        &["check"],
        &["tenant", "list"],
        &["sql", "-s", "a", colour],
        &["sql", "-s", "a", "SELECT E'\\x1b[31mred'::int"],
    ] {
        let run = fixture.run(args);
        let text = format!("{}{}", run.stdout, run.stderr);
        assert!(
            !text.contains(|c: char| c.is_control() && c != '\n' && c != '\t'),
            "{text:?}"
        );
    }
    assert!(
        fixture
            .run(&["sql", "-s", "a", colour])
            .stdout
            .contains("\\u{1b}[31mred")
    );
}
