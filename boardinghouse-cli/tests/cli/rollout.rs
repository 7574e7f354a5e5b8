//! `boardinghouse migrate` over many tenants, `revert`, `redo`, and groups.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::Fixture;

const NEXT: &str = "tenant/2024-02-01-000000_next";
const VERSION: &str = "20240201000000";

/// Tenants `t00`, `t01`, …, with their number as `seats`.
fn fleet(count: usize) -> Fixture {
    let fixture = Fixture::with_tenants(&[]);
    fixture.run(&["init"]).expect(0);
    for number in 0..count {
        let (id, seats) = (format!("t{number:02}"), format!("seats={number}"));
        fixture
            .run(&["tenant", "create", &id, "--attr", &seats])
            .expect(0);
    }
    fixture
}

fn pair(fixture: &Fixture, path: &str, up: &str, down: &str) {
    fixture.migration(path, up);
    fs::write(
        fixture.dir().join("migrations").join(path).join("down.sql"),
        down,
    )
    .unwrap();
}

/// F05.
#[test]
fn options_that_exclude_each_other_are_refused() {
    let fixture = Fixture::with_tenants(&["a"]);
    for args in [
        &["migrate", "--shared", "-s", "a"][..],
        &["migrate", "--shared", "--limit", "5%"],
        &["migrate", "--limit", "101%"],
        &["migrate", "--where", "{nonsense"],
        &["migrate", "--where", "nonsense"],
        &["migrate", "--pace", "soon"],
        &["migrate", "--jobs", "0"],
        &["migrate", "--fail-fast", "--max-failures", "3"],
        &["migrate", "--to", "1", "--prune"],
        &["revert", "--all", "--steps", "2"],
        &["migrate", "-s", "ghost"],
        &["migrate", "--except", "ghost"],
        &["migrate", "--to", "20990101000000", "--yes"],
    ] {
        fixture.run(args).expect(2);
    }
}

/// F08.
#[test]
fn a_check_exits_with_three_and_writes_nothing() {
    let fixture = fleet(3);
    fixture.run(&["migrate", "--check"]).expect(0);
    fixture.migration(NEXT, "CREATE TABLE next (id int)");
    let relations = fixture.relations();
    let check = fixture.run(&["migrate", "--check"]).expect(3);
    assert!(
        check.stdout.contains("2024-02-01-000000_next"),
        "{}",
        check.stdout
    );
    fixture.run(&["migrate", "--plan", "-s", "t01"]).expect(0);
    assert_eq!(fixture.relations(), relations);
    let status = fixture.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["summary"]["tenants"], 3);
    assert_eq!(status["summary"]["versions"]["20240102000000"], 3);
    assert_eq!(status["summary"]["behind"].as_array().unwrap().len(), 3);
}

#[test]
fn status_of_many_is_a_summary() {
    let fixture = Fixture::with_tenants(&["a"]);
    // Rows without schemas are enough to be counted.
    fixture.execute(
        "INSERT INTO boardinghouse.tenants (id, schema_name, display_name, status, adopted)
         SELECT 'x' || i, 'x' || i, 'x', 'ready', false FROM generate_series(1, 60) AS i",
    );
    fixture.execute("INSERT INTO a.__diesel_schema_migrations (version) VALUES ('20231231')");
    let status = fixture.run(&["status"]).expect(0);
    assert!(
        status.stdout.contains("61 tenants, 60 behind"),
        "{}",
        status.stdout
    );
    assert!(status.stdout.contains("and 13 more"), "{}", status.stdout);
    assert!(
        status
            .stdout
            .contains("1 schema has 20231231, which none of the migrations is"),
        "{}",
        status.stdout
    );
}

/// F13.
#[test]
fn progress_is_lines_where_nobody_watches_and_events_where_that_is_asked_for() {
    let fixture = fleet(12);
    fixture.migration(NEXT, "CREATE TABLE next (id int)");
    let run = fixture
        .run(&["migrate", "--limit", "2", "--each"])
        .expect(0);
    let first = run.stderr.lines().nth(1).unwrap();
    assert!(first.starts_with("[1/2 50%] tenant t0"), "{}", run.stderr);
    assert!(!run.stderr.contains('\u{1b}') && !run.stderr.contains('\r'));
    let run = fixture
        .run(&["migrate", "--json", "--progress", "json"])
        .expect(0);
    let events: Vec<serde_json::Value> = run
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events.iter().filter(|e| e["event"] == "schema").count(), 11);
    let tenants = events.iter().find(|e| e["event"] == "tenants").unwrap();
    assert_eq!(
        (&tenants["all"], &tenants["behind"]),
        (&12.into(), &10.into())
    );
    assert_eq!(run.json()["entries"].as_array().unwrap().len(), 15);
    // Nothing to do is nothing to tell.
    assert_eq!(fixture.run(&["migrate"]).expect(0).stderr, "");
}

/// F14.
#[test]
fn a_tenant_that_fails_is_told_with_its_sqlstate_and_its_statement() {
    for (extra, jobs) in [(None, "1"), (None, "8"), (Some("--fail-fast"), "1")] {
        let fixture = fleet(10);
        fixture.execute("CREATE TABLE t04.next (id int)");
        fixture.migration(
            NEXT,
            "CREATE TABLE before (id int);\nCREATE TABLE next (id int)",
        );
        let mut args = vec!["migrate", "--jobs", jobs];
        args.extend(extra);
        let run = fixture.run(&args).expect(1);
        assert!(
            run.stdout
                .contains("tenant t04: migration 2024-02-01-000000_next failed")
        );
        assert!(run.stdout.contains("SQLSTATE 42P07"), "{}", run.stdout);
        assert!(
            run.stdout.contains("in CREATE TABLE next (id int)"),
            "{}",
            run.stdout
        );
        assert!(!fixture.has("t04.before"));
        match extra {
            None => assert!((0..10).all(|n| n == 4 || fixture.has(&format!("t{n:02}.before")))),
            Some(_) => {
                assert!(
                    run.stderr.contains("stopped: a tenant failed"),
                    "{}",
                    run.stderr
                );
                assert!(!fixture.has("t09.before"));
            }
        }
        fixture.execute("DROP TABLE t04.next");
        fixture.run(&["migrate"]).expect(0);
        assert!(fixture.has("t04.next") && fixture.has("t09.next"));
    }
}

#[test]
fn migrations_are_reverted_after_a_question() {
    let fixture = fleet(2);
    pair(
        &fixture,
        NEXT,
        "CREATE TABLE next (id int)",
        "DROP TABLE next",
    );
    fixture.run(&["migrate"]).expect(0);
    fixture.run(&["revert"]).expect(2).says(&["--yes"]);
    fixture.run(&["revert", "--dry-run"]).expect(0);
    assert!(fixture.has("t01.next"));
    fixture.run_on_terminal(&["revert"], "no\n").expect(1);
    assert!(fixture.has("t01.next"));
    fixture
        .run_on_terminal(&["revert", "-s", "t01"], "revert\n")
        .expect(0);
    assert!(
        !fixture.has("t01.next") && fixture.has("t00.next") && fixture.has("__template__.next")
    );
    // The one that was reverted before loses nothing more.
    fixture.run(&["revert", "--yes"]).expect(0);
    assert!(!fixture.has("t00.next") && !fixture.has("__template__.next"));
    fixture.run(&["migrate"]).expect(0);
    fixture.run(&["redo", "--yes"]).expect(0);
    assert!(fixture.has("t00.next"));
    fixture
        .run(&["migrate", "--to", "2024-01-02-000000", "--yes"])
        .expect(0);
    assert!(!fixture.has("t01.next") && !fixture.has("__template__.next"));
    fixture
        .run(&["migrate", "--mark-applied", VERSION])
        .expect(2);
    fixture
        .run(&["migrate", "--mark-applied", VERSION, "--yes"])
        .expect(0);
    assert!(!fixture.has("t01.next"));
    fixture.run(&["migrate", "--check"]).expect(0);
    fixture.execute("INSERT INTO t00.__diesel_schema_migrations (version) VALUES ('1999')");
    let prune = ["migrate", "--prune", "--reconcile", "--yes"];
    let run = fixture.run(&prune).expect(0);
    assert!(run.stdout.contains("forget 1999"), "{}", run.stdout);
}

/// F16.
#[test]
fn an_atomic_run_leaves_everybody_where_they_were() {
    let fixture = fleet(5);
    fixture.execute("CREATE TABLE t04.next (id int)");
    fixture.migration(
        NEXT,
        "CREATE TABLE before (id int); CREATE TABLE next (id int)",
    );
    let run = fixture.run(&["migrate", "--atomic"]).expect(1);
    assert!(run.stdout.contains("all or none"), "{}", run.stdout);
    assert!(!fixture.has("t00.before") && !fixture.has("__template__.before"));
}

#[test]
fn groups_are_migrated_one_after_the_other_and_a_gate_decides() {
    let fixture = fleet(6);
    fixture.migration(NEXT, "CREATE TABLE next (id int)");
    fs::write(
        fixture.dir().join("boardinghouse.toml"),
        r#"
        [[group]]
        name = "canaries"
        match = ["t03"]
        bake = "1ms"
        [[group]]
        name = "odd"
        match = { seats = 5 }
        gate = "echo gate of $BOARDINGHOUSE_GROUP; test -e open"
        "#,
    )
    .unwrap();
    let run = fixture.run(&["migrate"]).expect(1);
    let told = [
        "canaries: 1 of 1",
        "waiting 1ms",
        "odd: 1 of 1",
        "gate of odd",
        "stopped: after group odd",
    ];
    for text in told {
        assert!(run.stderr.contains(text), "{text}: {}", run.stderr);
    }
    assert!(fixture.has("t03.next") && fixture.has("t05.next") && !fixture.has("t00.next"));
    fs::write(fixture.dir().join("open"), "").unwrap();
    fixture.run(&["migrate"]).expect(0);
    assert!(fixture.has("t00.next"));
}

#[test]
fn named_templates_are_listed_and_migrated() {
    let fixture = fleet(1);
    assert_eq!(
        fixture.run(&["template", "list"]).expect(0).stdout,
        "there are no named templates\n"
    );
    fixture.run(&["template", "add", "demo"]).expect(1);
    fixture.run(&["template", "add", "t00"]).expect(2);
    fixture.run(&["template", "add", "__template__"]).expect(2);
    fixture.run(&["clone", "__template__", "demo"]).expect(0);
    fixture.run(&["template", "add", "demo"]).expect(0);
    assert_eq!(
        fixture.run(&["template", "list"]).expect(0).stdout,
        "demo\n"
    );
    fixture.migration(NEXT, "CREATE TABLE next (id int)");
    fixture.run(&["migrate"]).expect(0);
    assert!(fixture.has("demo.next"));
    fixture.run(&["template", "remove", "demo"]).expect(0);
    fixture.run(&["template", "remove", "demo"]).expect(2);
}

/// Ends a run with a signal when it has told of so many tenants.
fn end_after(
    fixture: &Fixture,
    batch: &str,
    lines: usize,
    signal: Signal,
) -> (Option<i32>, String) {
    let mut child = fixture
        .command(&["migrate", "--each", "--jobs", "2", "--batch", batch])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    for _ in 0..lines {
        if stderr.read_line(&mut told).unwrap() == 0 {
            break;
        }
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    // It may have ended.
    let _ = kill_process(pid, signal);
    while stderr.read_line(&mut told).unwrap() > 0 {}
    (child.wait().unwrap().code(), told)
}

#[test]
fn ctrl_c_finishes_what_is_being_worked_on_and_says_how_to_go_on() {
    let fixture = fleet(40);
    fixture.migration(NEXT, "CREATE TABLE next (id int)");
    let (code, told) = end_after(&fixture, "3", 4, Signal::INT);
    // It may have been through already, but for 40 tenants in batches of 3 it is not.
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("run the same command again"), "{told}");
    fixture.run(&["migrate"]).expect(0);
    fixture
        .run(&["migrate", "--check", "--reconcile"])
        .expect(0);
}

/// Acceptance: 200 kills over 300 tenants, with `BOARDINGHOUSE_SOAK` set.
#[test]
fn a_run_that_is_killed_is_resumed_and_nothing_is_applied_twice_or_lost() {
    let soak = std::env::var_os("BOARDINGHOUSE_SOAK").is_some();
    let (tenants, kills) = if soak { (300, 200) } else { (24, 12) };
    let fixture = Fixture::with_tenants(&["t0"]);
    for number in 1..tenants {
        let id = format!("t{number}");
        fixture.run(&["tenant", "create", &id]).expect(0);
    }
    let (mut version, mut rounds) = (0, 0);
    // How many of them make an index without a name, which could be made twice.
    let mut indexes = 0;
    let mut more = || {
        for _ in 0..5 {
            version += 1;
            let table = format!("step{version}");
            // Twice would be an error; half would be seen.
            let text = match (rounds % 3, version % 2) {
                // In batches,
                (0, _) => {
                    indexes += 1;
                    format!("CREATE TABLE {table} (id int); CREATE INDEX ON notes (body)")
                }
                // in batches that are cleaned in between,
                (1, _) => format!("CREATE TABLE {table} AS SELECT 1 AS id"),
                // and alone.
                (_, 0) => format!(
                    "CREATE TABLE {table} (id int); INSERT INTO {table} VALUES (1); CREATE INDEX ON {table} (id)"
                ),
                _ => format!("CREATE TABLE {table} AS SELECT 1 AS id; SELECT 1"),
            };
            fixture.migration(&format!("tenant/2024-03-01-{version:06}_{table}"), &text);
        }
        rounds += 1;
    };
    more();
    let (mut seed, mut killed) = (7_usize, 0);
    while killed < kills {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let lines = (seed >> 33) % (tenants / 4);
        let batch = ["1", "3", "20"][(seed >> 50) % 3];
        let (code, told) = end_after(&fixture, batch, lines, Signal::KILL);
        match code {
            None => killed += 1,
            // It was through before.
            Some(code) => assert_eq!(code, 0, "{told}"),
        }
        if fixture.run(&["migrate", "--check", "--tenants"]).code == 0 {
            more();
        }
    }
    eprintln!("{killed} kills over {rounds} rounds of 5 migrations");
    fixture.run(&["migrate"]).expect(0);
    fixture.run(&["migrate", "--check"]).expect(0);
    fixture
        .run(&["migrate", "--check", "--reconcile"])
        .expect(0);
    let ledger = "SELECT count(*) FROM boardinghouse.tenants AS t LEFT JOIN boardinghouse.ledger AS l USING (incarnation)
        WHERE l.versions IS DISTINCT FROM (SELECT array_agg(v ORDER BY v COLLATE \"C\") FROM (
            SELECT unnest(xpath('//version/text()', query_to_xml(format('SELECT version FROM %I.__diesel_schema_migrations', schema_name), false, false, '')))::text AS v) AS x)";
    assert_eq!(
        fixture.number(ledger),
        0,
        "the ledger equals the schemas' own tables"
    );
    for number in 1..=version {
        let rows = usize::from((number - 1) / 5 % 3 != 0);
        let otherwise = format!(
            "SELECT count(*) FROM boardinghouse.tenants WHERE (xpath('/row/n/text()', query_to_xml(
             format('SELECT count(*) AS n FROM %I.step{number}', schema_name), false, true, '')))[1]::text <> '{rows}'"
        );
        assert_eq!(fixture.number(&otherwise), 0, "step {number}");
    }
    let otherwise = format!(
        "SELECT count(*) FROM boardinghouse.tenants WHERE {indexes} <> (SELECT count(*) FROM pg_indexes
         WHERE schemaname = schema_name AND indexdef LIKE '%notes%(body)')"
    );
    assert_eq!(fixture.number(&otherwise), 0, "{indexes} indexes each");
}
