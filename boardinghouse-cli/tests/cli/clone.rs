//! `boardinghouse clone`, `pool` and `template`.

use crate::fixture::Fixture;

/// Some database: nobody has run `init`.
fn legacy() -> Fixture {
    let fixture = Fixture::new();
    fixture.execute(
        "CREATE SCHEMA legacy;
         CREATE TYPE legacy.mood AS ENUM ('sad', 'happy');
         CREATE TABLE legacy.people (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, mood legacy.mood,
             boss int REFERENCES legacy.people);
         CREATE TABLE legacy.sessions (token text);
         INSERT INTO legacy.people (mood, boss) VALUES ('happy', 2), ('sad', 1);
         INSERT INTO legacy.sessions VALUES ('secret')",
    );
    fixture
}

#[test]
fn any_schema_is_cloned_without_a_registry() {
    let fixture = legacy();
    let run = fixture.run(&["clone", "legacy", "We Ird"]).expect(0);
    assert!(
        run.stdout.starts_with("cloned schema legacy to We Ird: "),
        "{}",
        run.stdout
    );
    assert_eq!(fixture.number("SELECT count(*) FROM \"We Ird\".people"), 0);

    let run = fixture.run(&[
        "clone",
        "legacy",
        "copy",
        "--data",
        "--exclude-data",
        "sessions",
        "--json",
    ]);
    let report: serde_json::Value = serde_json::from_str(&run.expect(0).stdout).unwrap();
    assert_eq!(
        (&report["target"], &report["data"]),
        (&"copy".into(), &true.into())
    );
    assert_eq!(
        fixture.number("SELECT count(*) FROM copy.people WHERE mood = 'sad'::copy.mood"),
        1
    );
    assert_eq!(fixture.number("SELECT count(*) FROM copy.sessions"), 0);
    fixture.execute("DROP SCHEMA legacy CASCADE; INSERT INTO copy.people (mood) VALUES ('sad')");
    assert_eq!(fixture.number("SELECT max(id)::bigint FROM copy.people"), 3);
}

#[test]
fn a_database_without_a_shared_schema_is_as_good_as_any() {
    let fixture = legacy();
    fixture.execute(
        "ALTER SCHEMA public RENAME TO main;
         CREATE FUNCTION main.short(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT length($1) < 9';
         ALTER TABLE legacy.sessions ADD CHECK (main.short(token))",
    );
    fixture.run(&["clone", "legacy", "copy"]).expect(0);
    fixture
        .run(&["clone", "main", "we \"ird", "--data"])
        .expect(0);
    let copied = "SELECT count(*) FROM \"we \"\"ird\".notes WHERE body = 'PUBLIC'";
    assert_eq!(fixture.number(copied), 1);
    let run = fixture
        .run(&["clone", "legacy", "third", "--data", "--dry-run"])
        .expect(0);
    fixture.execute(&run.stdout);
    assert_eq!(fixture.number("SELECT count(*) FROM third.people"), 2);
    // What the layout says of its schemas is no matter here, except that nobody makes the registry so.
    let shared = ["--shared-schema", "nowhere", "clone", "legacy", "fourth"];
    fixture.run(&shared).expect(0);
    fixture
        .run(&["clone", "legacy", "boardinghouse"])
        .expect(2)
        .says(&["it is the registry"]);
    fixture
        .run(&["clone", "public", "fifth"])
        .expect(2)
        .says(&["\"public\" is not there"]);
    for schema in ["fifth", "boardinghouse"] {
        assert!(!fixture.has_schema(schema));
    }
}

#[test]
fn a_dry_run_prints_the_script_that_would_do_it() {
    let fixture = legacy();
    let run = fixture
        .run(&["clone", "legacy", "copy", "--dry-run"])
        .expect(0);
    assert_eq!(
        fixture.number("SELECT count(*) FROM pg_namespace WHERE nspname = 'copy'"),
        0
    );
    fixture.execute(&run.stdout);
    assert_eq!(fixture.number("SELECT count(*) FROM copy.people"), 0);
}

#[test]
fn what_cannot_be_cloned_is_listed_before_anything_is_created() {
    let fixture = legacy();
    fixture.execute(
        "CREATE TYPE legacy.shell;
         CREATE FUNCTION legacy.tell() RETURNS void LANGUAGE plpgsql
             AS $$ BEGIN EXECUTE 'TRUNCATE legacy.sessions'; END $$",
    );
    let run = fixture.run(&["clone", "legacy", "copy"]).expect(2);
    assert!(
        run.stderr
            .contains("type legacy.shell: a shell type cannot be cloned"),
        "{}",
        run.stderr
    );
    fixture.execute("DROP TYPE legacy.shell");
    let run = fixture.run(&["clone", "legacy", "copy"]).expect(2);
    assert!(
        run.stderr.contains("function tell(): names the schema"),
        "{}",
        run.stderr
    );
    fixture
        .run(&["clone", "legacy", "copy", "--allow", "function tell()"])
        .expect(0);

    for (args, kind) in [
        (&["clone", "nowhere", "other"][..], "TemplateMissing"),
        (&["clone", "legacy", "copy"], "SchemaExists"),
        (
            &["clone", "legacy", "other", "--data", "--exclude-data", "no"],
            "InvalidInput",
        ),
    ] {
        let run = fixture
            .run(&[args, &["--json", "--allow", "function tell()"]].concat())
            .expect(2);
        assert!(run.stderr.contains(kind), "{args:?}: {}", run.stderr);
    }
}

#[test]
fn a_tenant_is_taken_from_the_pool_or_cloned_from_another() {
    let fixture = Fixture::with_tenants(&["a"]);
    assert_eq!(
        fixture
            .run(&["pool", "fill", "--size", "2"])
            .expect(0)
            .stdout,
        "made 2 schemas ready, dropped 0 schemas\n"
    );
    fixture.run(&["tenant", "create", "b"]).expect(0);
    insta::assert_snapshot!(fixture.run(&["pool", "status"]).expect(0).stdout, @r"
    ready        1
    out of date  0
    ");
    assert_eq!(
        fixture.run(&["pool", "drain"]).expect(0).stdout,
        "made 0 schemas ready, dropped 1 schema\n"
    );

    fixture.execute("INSERT INTO a.notes (body) VALUES ('mine')");
    fixture
        .run(&["tenant", "create", "c", "--clone", "a"])
        .expect(0);
    assert_eq!(fixture.number("SELECT count(*) FROM c.notes"), 1);
    fixture.execute("CREATE SCHEMA demo; CREATE TABLE demo.notes (body text); INSERT INTO demo.notes VALUES ('x'), ('y')");
    fixture
        .run(&["tenant", "create", "d", "--template", "demo"])
        .expect(0);
    assert_eq!(fixture.number("SELECT count(*) FROM d.notes"), 2);
    fixture
        .run(&["tenant", "create", "e", "--clone", "nobody"])
        .expect(2);
}

#[test]
fn the_template_is_shown_and_proven() {
    let fixture = Fixture::with_tenants(&[]);
    let script = fixture
        .run(&["template", "show", "preview"])
        .expect(0)
        .stdout;
    assert!(script.contains("CREATE SCHEMA \"preview\""), "{script}");
    let run = fixture.run(&["template", "compile"]).expect(0);
    assert!(
        run.stdout
            .starts_with("template __template__ can be cloned: "),
        "{}",
        run.stdout
    );
    let run = fixture.run(&["template", "verify"]).expect(0);
    assert_eq!(
        run.stdout,
        "a clone of template __template__: 0 differences\n"
    );
    fixture.execute("CREATE TYPE __template__.shell");
    fixture.run(&["template", "verify"]).expect(2);
}
