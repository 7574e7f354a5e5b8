//! `boardinghouse check`: each thing is broken alone.

use boardinghouse_tests::PgBouncer;
use diesel::{Connection as _, PgConnection};
use diesel_migrations::{FileBasedMigrations, MigrationHarness as _};

use crate::fixture::{Fixture, Run, UNREACHABLE, boardinghouse};

/// The codes that a checkup finds.
#[track_caller]
fn codes(fixture: &Fixture, args: &[&str], exit: i32) -> Vec<String> {
    let args = [&["check", "--json"], args].concat();
    let checkup = fixture.run(&args).expect(exit).json();
    let findings = checkup["findings"].as_array().unwrap();
    for finding in findings {
        assert!(!finding["hint"].as_str().unwrap().is_empty());
    }
    let code = |finding: &serde_json::Value| finding["code"].as_str().unwrap().to_owned();
    findings.iter().map(code).collect()
}

/// Healthy: no bait, which a tenant's table would shadow.
fn healthy() -> Fixture {
    let fixture = Fixture::with_tenants(&["a", "b"]);
    fixture.execute("DROP TABLE public.notes");
    fixture
}

#[test]
fn a_healthy_database_takes_one_line() {
    let fixture = healthy();
    let run = fixture.run(&["check"]).expect(0);
    assert_eq!(run.stdout, "healthy: 2 tenants, nothing found\n");
    assert_eq!(run.stderr, "");
    let empty: [String; 0] = [];
    assert_eq!(codes(&fixture, &[], 0), empty);
}

#[test]
fn everything_that_can_break_is_found_alone() {
    for (broken, args, exit, expected) in [
        (
            "DROP SCHEMA boardinghouse CASCADE",
            &[][..],
            2,
            &["BH001"][..],
        ),
        ("", &["--shared-schema", "nowhere"], 2, &["BH002"]),
        ("DROP SCHEMA __template__ CASCADE", &[], 2, &["BH003"]),
        ("", &["--extra-schema", "nowhere"], 2, &["BH004"]),
        (
            "INSERT INTO __template__.notes (body) VALUES ('x')",
            &[],
            0,
            &["BH005"],
        ),
        ("CREATE TYPE __template__.shell", &[], 2, &["BH006"]),
        ("DROP SCHEMA a CASCADE", &[], 2, &["BH007"]),
        ("", &["--reserved", "a"], 2, &["BH009"]),
        (
            "UPDATE boardinghouse.tenants SET schema_name = '__template__' WHERE id = 'a'",
            &[],
            2,
            &["BH009"],
        ),
        ("", &["--extra-schema", "a"], 2, &["BH010"]),
        (
            "CREATE TABLE public.notes AS SELECT 'PUBLIC' AS body",
            &[],
            0,
            &["BH012"],
        ),
        (
            "INSERT INTO a.__diesel_schema_migrations (version) VALUES ('20990101000000')",
            &[],
            0,
            &["BH014"],
        ),
        (
            "UPDATE boardinghouse.tenants SET status = 'failed' WHERE id = 'a'",
            &[],
            0,
            &["BH015"],
        ),
        (
            "DO $$ BEGIN EXECUTE format('CREATE SCHEMA %I', current_user); END $$",
            &[],
            0,
            &["BH016"],
        ),
    ] {
        let fixture = healthy();
        if !broken.is_empty() {
            fixture.execute(broken);
        }
        assert_eq!(codes(&fixture, args, exit), expected, "{broken} {args:?}");
    }
}

#[test]
fn a_finding_names_its_tenant() {
    let fixture = healthy();
    fixture.execute("DROP SCHEMA a CASCADE");
    let run = fixture.run(&["check"]).expect(2);
    insta::assert_snapshot!(run.stdout, @r"
    BH007 error: tenant a: its schema a is missing
          hint: give the schema its name back, or restore it from a backup; else run `boardinghouse repair`, or delete the tenant
    1 finding, 2 tenants
    ");
    let json = fixture.run(&["check", "--json"]).expect(2).json();
    assert_eq!(json["findings"][0]["tenant"], "a");
    assert_eq!(json["findings"][0]["severity"], "error");
}

#[test]
fn a_schema_that_the_role_may_not_use_is_found() {
    let fixture = healthy();
    let guest = fixture.guest();
    // A grant on the template would have to be cloned; its owner needs none.
    fixture.execute(&format!(
        "ALTER SCHEMA __template__ OWNER TO {guest};
         ALTER TABLE __template__.notes OWNER TO {guest};
         ALTER TABLE __template__.__diesel_schema_migrations OWNER TO {guest};
         GRANT USAGE ON SCHEMA boardinghouse, b TO {guest};
         GRANT SELECT ON ALL TABLES IN SCHEMA boardinghouse, a, b, public TO {guest}"
    ));
    let (_, rest) = fixture.url.split_once('@').unwrap();
    let url = format!("postgres://{guest}@{rest}");
    // Without the migrations: the role may not read their tables in `a`.
    fixture.remove_all_migrations();
    assert_eq!(codes(&fixture, &["--database-url", &url], 2), ["BH008"]);
}

/// What `diesel migration run --migration-dir migrations/tenant` does.
fn run_diesel_by_mistake(fixture: &Fixture) {
    let migrations = fixture.dir().join("migrations/tenant");
    let migrations = FileBasedMigrations::from_path(migrations).unwrap();
    let mut conn = PgConnection::establish(&fixture.url).unwrap();
    conn.run_pending_migrations(migrations).unwrap();
}

#[test]
fn tenant_migrations_that_were_run_in_the_shared_schema_are_found() {
    let fixture = healthy();
    run_diesel_by_mistake(&fixture);
    assert_eq!(codes(&fixture, &[], 2), ["BH011", "BH012"]);
    let run = fixture.run(&["check"]).expect(2);
    assert!(
        run.stdout.contains("tenant tables in shared schema: notes"),
        "{run:?}"
    );
    fixture.execute("DROP TABLE public.notes");
}

#[test]
fn tenant_migrations_that_were_run_in_the_shared_schema_before_all_others_are_found() {
    let fixture = Fixture::new();
    fixture.execute("DROP TABLE public.notes");
    fixture.run(&["init"]).expect(0);
    run_diesel_by_mistake(&fixture);
    let found = codes(&fixture, &[], 2);
    assert!(found.contains(&"BH011".to_owned()), "{found:?}");
    // The bait of the fixture is another table.
    fixture.execute("DROP TABLE public.notes");
}

#[test]
fn a_name_in_both_sets_is_told_to_shadow() {
    // With the bait.
    let fixture = Fixture::with_tenants(&["a"]);
    let run = fixture.run(&["check"]).expect(0);
    let line = "BH012 warning: notes shadows what has the same name in the shared schema public\n";
    assert!(run.stdout.contains(line), "{run:?}");
    fixture.execute(
        "CREATE TABLE __template__.b (id int);
         CREATE VIEW public.b AS SELECT 1",
    );
    let run = fixture.run(&["check"]).expect(0);
    assert!(
        run.stdout.contains("warning: b, notes shadow what"),
        "{run:?}"
    );
}

#[test]
fn a_foreign_key_from_a_shared_table_to_a_tenants_is_found() {
    let fixture = healthy();
    // To a schema that is nobody's, and among tenants and shared tables as it should be.
    fixture.execute(
        "CREATE SCHEMA elsewhere;
         CREATE TABLE elsewhere.t (id int PRIMARY KEY);
         ALTER TABLE public.plans ADD PRIMARY KEY (id), ADD e int REFERENCES elsewhere.t,
             ADD p int REFERENCES public.plans;
         CREATE TABLE b.t (plan int REFERENCES public.plans)",
    );
    assert_eq!(codes(&fixture, &[], 0), [] as [&str; 0]);
    for (schema, tenant) in [("__template__", None), ("a", Some("a"))] {
        fixture.execute(&format!(
            "ALTER TABLE public.plans ADD note int CONSTRAINT k REFERENCES {schema}.notes"
        ));
        assert_eq!(codes(&fixture, &[], 2), ["BH017"]);
        let json = fixture.run(&["check", "--json"]).expect(2).json();
        let finding = &json["findings"][0];
        assert_eq!(
            finding["message"],
            format!("the shared table plans has a foreign key, k, to notes in schema {schema}")
        );
        assert_eq!(finding["tenant"].as_str(), tenant);
        fixture.execute("ALTER TABLE public.plans DROP note");
    }
    // One of a partitioned table is told once.
    fixture.execute(
        "CREATE TABLE public.log (note int REFERENCES a.notes) PARTITION BY LIST (note);
         CREATE TABLE public.log_1 PARTITION OF public.log FOR VALUES IN (1)",
    );
    assert_eq!(codes(&fixture, &[], 2), ["BH017"]);
}

#[test]
fn pending_migrations_are_found_for_each_schema() {
    let fixture = healthy();
    fixture.migration(
        "tenant/2024-02-01-000000_next",
        "CREATE TABLE next (id int)",
    );
    assert_eq!(codes(&fixture, &[], 0), ["BH013", "BH013", "BH013"]);
    fixture.run(&["migrate"]).expect(0);
    fixture.remove_migrations("tenant/2024-02-01-000000_next");
    assert_eq!(codes(&fixture, &[], 0), ["BH014", "BH014", "BH014"]);
}

#[test]
fn an_empty_database_is_told_how_to_begin() {
    let fixture = Fixture::new();
    let relations = fixture.relations();
    let run = fixture.run(&["check"]).expect(2);
    assert!(run.stdout.contains("run `boardinghouse init`"), "{run:?}");
    assert_eq!(fixture.relations(), relations);
}

/// Exit code and verdicts, in the order of the modes.
#[track_caller]
fn verdicts(url: &str, exit: i32) -> Vec<String> {
    let run = |args: &[&str]| -> Run {
        let output = boardinghouse(args).env("DATABASE_URL", url).output();
        Run::from(output.unwrap()).expect(exit)
    };
    let human = run(&["check", "--pooler"]).stdout;
    let checkup = run(&["check", "--pooler", "--json"]).json();
    let modes = checkup["modes"].as_array().unwrap();
    let verdicts = modes.iter().map(|mode| {
        let (name, verdict) = (&mode["mode"], &mode["verdict"]);
        let verdict = verdict.as_str().unwrap().to_owned();
        let line = format!("{} {}: ", verdict.to_uppercase(), name.as_str().unwrap());
        assert!(human.contains(&line), "{human}");
        verdict
    });
    verdicts.collect()
}

#[test]
fn a_pooler_that_shares_server_processes_is_unsafe_and_the_server_itself_is_not() {
    let fixture = Fixture::new();
    assert_eq!(verdicts(&fixture.url, 0), ["safe"; 3]);
    let Some(pooler) = PgBouncer::start(&fixture.url, "transaction", 1) else {
        return;
    };
    assert_eq!(verdicts(pooler.url(), 2), ["unsafe", "unsafe", "safe"]);
    let nowhere = fixture.run(&["check", "--pooler", "--database-url", UNREACHABLE]);
    assert!(nowhere.expect(1).stderr.contains("could not connect"));
}
