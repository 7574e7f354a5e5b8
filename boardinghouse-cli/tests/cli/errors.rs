//! What is refused, and how it is told.

use std::{fs, os::unix::fs::PermissionsExt as _};

use boardinghouse_core::embedded::Server;
use diesel::{Connection, PgConnection, connection::SimpleConnection};

use crate::fixture::{Fixture, Run, UNREACHABLE, boardinghouse};

/// What has no business on a server that cannot be reached: exit 2 shows that it was not tried.
fn refused(args: &[&str]) -> Run {
    let run: Run = boardinghouse(args)
        .env("DATABASE_URL", UNREACHABLE)
        .output()
        .unwrap()
        .into();
    run.expect(2)
}

#[test]
fn a_bad_name_is_refused_before_anything_is_connected_to() {
    let long = "a".repeat(64);
    let accents = "é".repeat(40);
    for bad in [
        "",
        " ",
        "Acme",
        "ACME",
        "aCme",
        "a_b",
        "a.b",
        "a b",
        "a-",
        "ab\n",
        "\tab",
        "it's",
        "a\"; drop schema public; --",
        "a;b",
        "a\\",
        "$user",
        "%",
        "*",
        "a/b",
        "..",
        "public",
        "é",
        "١",
        &long,
        &accents,
        // Good labels whose schemas would not be.
        "1a",
        "pg-x",
        "information-schema",
        "boardinghouse",
    ] {
        refused(&["tenant", "create", "--", bad]).says(&["error: "]);
    }
    refused(&["tenant", "create", "www", "--reserved", "www"]).says(&["www is reserved"]);
    refused(&["tenant", "create", "a", "--adopt", "public"]).says(&["the shared schema"]);
    refused(&["tenant", "create", "a", "--domain", "no host"]).says(&["not a host name"]);
    refused(&["tenant", "create", "a", "--attr", "novalue"]).says(&["KEY=VALUE"]);
    refused(&["init", "--template-schema", "public"]).says(&["two roles"]);
    refused(&["init", "--schema-prefix", "Big"]).says(&["Bigx"]);
    refused(&["migrate", "--shared", "-s", "a"]).says(&["cannot be used with"]);
    refused(&["tenant", "delete", "a"]).says(&["--yes"]);
    refused(&["tenant", "rename", "a", "A"]).says(&["not a tenant id"]);
    refused(&["tenant", "rename", "a", "pg-x"]).says(&["belongs to PostgreSQL"]);
    refused(&["tenant", "rename", "a", "www", "--reserved", "www"]).says(&["www is reserved"]);
    refused(&["nonsense"]);
}

#[test]
fn a_bad_name_is_told_to_programs_with_its_kind() {
    let error = refused(&["--json", "tenant", "create", "Acme"]).error();
    assert_eq!(error["kind"], "InvalidName");
    let error = refused(&["--json", "tenant", "create", "pg-x"]).error();
    assert_eq!(error["kind"], "ReservedName");
    assert_eq!(error["tenant"], "pg-x");
    assert_eq!(refused(&["--json", "nonsense"]).error()["kind"], "Usage");
}

#[test]
fn without_a_database_nothing_is_guessed() {
    let run: Run = boardinghouse(&["tenant", "list"]).output().unwrap().into();
    run.expect(2).says(&["DATABASE_URL", "--database-url"]);
    let run: Run = boardinghouse(&["tenant", "list", "--database-url", "mysql://u:secret@h/d"])
        .output()
        .unwrap()
        .into();
    assert!(!run.stderr.contains("secret"), "{run:?}");
    run.expect(2).says(&["mysql://"]);
}

#[test]
fn a_variable_that_is_empty_counts_as_not_set() {
    let variables = [
        "DATABASE_URL",
        "BOARDINGHOUSE_MIGRATIONS",
        "BOARDINGHOUSE_SHARED_SCHEMA",
        "BOARDINGHOUSE_TEMPLATE_SCHEMA",
        "BOARDINGHOUSE_EXTRA_SCHEMAS",
        "BOARDINGHOUSE_SCHEMA_PREFIX",
        "BOARDINGHOUSE_RESERVED",
        "BOARDINGHOUSE_TENANT",
        "BOARDINGHOUSE_CONFIG",
        "BOARDINGHOUSE_DIESEL",
        "RUST_LOG",
    ];
    let with_empty = |args: &[&str]| -> Run {
        let mut command = boardinghouse(args);
        command.envs(variables.map(|name| (name, "")));
        command.output().unwrap().into()
    };
    let not_set = with_empty(&["tenant", "list"]).expect(2);
    assert_eq!(
        not_set.stderr,
        "error: no database: set DATABASE_URL, or pass --database-url\n"
    );
    with_empty(&["tenant", "list", "--database-url", ""])
        .expect(2)
        .says(&["no database"]);
    with_empty(&["sql", "SELECT 1"])
        .expect(2)
        .says(&["not provided", "--tenant <ID>"]);
    let fixture = Fixture::with_tenants(&["a"]);
    let url = ["--database-url", &fixture.url];
    with_empty(&[&["tenant", "show", "a"], &url[..]].concat()).expect(0);
    // Help tells of the variables all the same.
    let help = with_empty(&["sql", "--help"]).expect(0);
    assert!(help.stdout.contains("[env: DATABASE_URL]"), "{help:?}");
    assert!(
        help.stdout.contains("[env: BOARDINGHOUSE_TENANT]"),
        "{help:?}"
    );
}

#[test]
fn the_usage_in_an_error_does_not_depend_on_variables() {
    let run: Run = boardinghouse(&["tenant", "show"])
        .env("DATABASE_URL", UNREACHABLE)
        .env("BOARDINGHOUSE_RESERVED", "www")
        .output()
        .unwrap()
        .into();
    run.expect(2)
        .says(&["\nUsage: boardinghouse tenant show [OPTIONS] <ID>\n"]);
}

#[test]
fn a_folder_that_is_no_migration_is_named() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.dir().join("migrations/tenant/drafts")).unwrap();
    fixture
        .run(&["migrate"])
        .expect(2)
        .says(&["migrations/tenant/drafts is no migration"]);
}

#[test]
fn an_unreachable_server_fails_with_the_cause() {
    for args in [
        &["init"][..],
        &["tenant", "list"],
        &["check"],
        &["sql", "-s", "a", "SELECT 1"],
    ] {
        let run: Run = boardinghouse(args)
            .env("DATABASE_URL", UNREACHABLE)
            .output()
            .unwrap()
            .into();
        run.expect(1).says(&[
            "error: could not connect",
            "caused by: ",
            "Connection refused",
        ]);
    }
    let run: Run = boardinghouse(&["--json", "init", "--database-url", UNREACHABLE])
        .output()
        .unwrap()
        .into();
    let error = run.expect(1).error();
    assert_eq!(error["kind"], "ConnectionFailed");
    assert!(error["causes"][0].as_str().unwrap().contains("refused"));
}

#[test]
fn what_the_server_says_about_a_wrong_password_is_passed_on() {
    let rules = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        &rules,
        "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
    )
    .unwrap();
    // The server may run as another user than we do.
    fs::set_permissions(&rules, fs::Permissions::from_mode(0o644)).unwrap();
    let server = Server::builder()
        .setting("hba_file", rules.path().display().to_string())
        .start()
        .unwrap();
    PgConnection::establish(server.socket_url())
        .unwrap()
        .batch_execute(
            "CREATE ROLE guest LOGIN PASSWORD 'right'; GRANT CREATE ON DATABASE postgres TO guest",
        )
        .unwrap();
    let with = |password: &str| -> Run {
        let url = server
            .url()
            .replace("postgres@", &format!("guest:{password}@"));
        boardinghouse(&["init", "--database-url", &url])
            .output()
            .unwrap()
            .into()
    };
    let run = with("wrong").expect(1);
    assert!(!run.stderr.contains("guest:wrong"), "{run:?}");
    run.says(&["password authentication failed for user \"guest\""]);
    with("right").expect(0);
}

#[test]
fn missing_migrations_are_told_with_both_folders() {
    let fixture = Fixture::new();
    let both = ["migrations/shared", "migrations/tenant", "--migrations"];
    fixture.remove_migrations("shared");
    fixture.run(&["migrate"]).expect(2).says(&both);
    fixture.run(&["migrate", "--shared"]).expect(2).says(&both);
    fixture.run(&["status"]).expect(2).says(&both);
    assert!(!fixture.has_schema("boardinghouse"));
    fixture.run(&["init"]).expect(0);
    // What is not needed is not asked for.
    fixture.run(&["migrate", "--tenants"]).expect(0);
    fixture.remove_all_migrations();
    fixture.run(&["migrate"]).expect(2).says(&both);
    fixture
        .run(&["migrate", "--migrations", "else/where"])
        .expect(2)
        .says(&["else/where/shared"]);
    fixture
        .run(&["check"])
        .expect(0)
        .says(&["versions were not looked at"]);
    // A directory of somebody else's migrations.
    fixture.migration("2024-01-01-000000_other", "CREATE TABLE other (id int)");
    fixture
        .run(&["check"])
        .expect(0)
        .says(&["versions were not looked at"]);
    fixture
        .run(&["check", "--migrations", "migrations"])
        .expect(2)
        .says(&both);
    fixture
        .run(&["check", "--migrations", "else"])
        .expect(2)
        .says(&["else/shared"]);
}

#[test]
fn an_unknown_tenant_is_told_with_the_nearest_names() {
    let fixture = Fixture::with_tenants(&["acme", "globex"]);
    for args in [
        &["tenant", "show", "acm"][..],
        &["tenant", "delete", "acm", "--yes"],
        &["sql", "-s", "acm", "SELECT 1"],
        &["migrate", "-s", "acm"],
        &["migrate", "-s", "acm", "--dry-run"],
    ] {
        fixture
            .run(args)
            .expect(2)
            .says(&["there is no tenant acm", "did you mean acme?"]);
    }
    let error = fixture
        .run(&["--json", "tenant", "show", "acm"])
        .expect(2)
        .error();
    assert_eq!(error["kind"], "TenantNotFound");
    assert_eq!(error["tenant"], "acm");
    assert_eq!(error["hint"], "did you mean acme?");
    let run = fixture.run(&["tenant", "show", "zzz"]).expect(2);
    assert!(!run.stderr.contains("did you mean"), "{run:?}");
}
