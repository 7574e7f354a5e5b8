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
