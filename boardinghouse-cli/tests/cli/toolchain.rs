//! `boardinghouse init --scaffold`, `migration generate`, `print-schema` and `boardinghouse.toml`.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    diesel::diesel,
    fixture::{Fixture, Run, UNREACHABLE, boardinghouse},
};

/// In a directory, without a database.
fn run_in(dir: &Path, args: &[&str]) -> Run {
    boardinghouse(args)
        .current_dir(dir)
        .output()
        .unwrap()
        .into()
}

/// All files below a directory, in order.
fn files(dir: &Path) -> Vec<String> {
    fn walk(root: &Path, dir: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                let path = path.strip_prefix(root).unwrap();
                found.push(path.display().to_string());
            }
        }
    }
    let mut found = Vec::new();
    walk(dir, dir, &mut found);
    found.sort();
    found
}

/// The text, with the version of each migration taken out.
fn without_versions(text: &str) -> String {
    let mut out = String::new();
    for part in text.split_inclusive('/') {
        match part.split_once('_') {
            Some((version, rest)) if version.len() == "2030-12-31-235959-0000".len() => {
                assert!(version.starts_with("20"), "{version}");
                out.push_str("VERSION_");
                out.push_str(rest);
            }
            _ => out.push_str(part),
        }
    }
    out
}

/// `print-schema` with what the tests have found.
fn print_schema(fixture: &Fixture, args: &[&str]) -> Run {
    let mut command = fixture.command(&[&["print-schema"], args].concat());
    command.env("BOARDINGHOUSE_DIESEL", diesel());
    // Which must not get into the code.
    command.env("DIESEL_LOG", "info");
    command.output().unwrap().into()
}

fn write(dir: &Path, file: &str, text: &str) {
    fs::write(dir.join(file), text).unwrap();
}

fn read(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap()
}

/// A fixture whose sets have no table of one name. (The one that all others have is the bait's.)
fn printable() -> Fixture {
    let fixture = Fixture::new();
    fixture.migration(
        "shared/2024-01-01-000000_plans",
        "CREATE TABLE plans (id int PRIMARY KEY, name text NOT NULL)",
    );
    fixture.migration(
        "tenant/2024-01-02-000000_notes",
        "CREATE TYPE mood AS ENUM ('good', 'bad'); \
         CREATE TABLE notes (id int PRIMARY KEY, plan int REFERENCES public.plans, mood mood NOT NULL)",
    );
    fixture
}

/// A program in the place of Diesel's.
fn script(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("fake-diesel");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_scaffold_is_laid_down_without_a_database() {
    let dir = TempDir::new().unwrap();
    let run = run_in(dir.path(), &["init", "--scaffold", "my/app"]).expect(0);
    insta::assert_snapshot!(without_versions(&run.stdout), @r"
    created     my/app/diesel.toml
    created     my/app/boardinghouse.toml
    created     my/app/migrations/shared/VERSION_create_users/up.sql
    created     my/app/migrations/shared/VERSION_create_users/down.sql
    created     my/app/migrations/tenant/VERSION_create_notes/up.sql
    created     my/app/migrations/tenant/VERSION_create_notes/down.sql
    ");
    run.says(&["next: "]);
    let created = files(dir.path());
    assert_eq!(created.len(), 6);
    // With everything in it that is only suggested, the configuration is still right.
    let app = dir.path().join("my/app");
    let config = read(&app, "boardinghouse.toml");
    let suggested = config.replace("# [[", "[[").replace("# gate", "gate");
    let keys = [
        "name",
        "match",
        "order_by",
        "jobs",
        "on_error",
        "max_failures",
        "bake",
    ];
    let suggested = keys.iter().fold(suggested, |text, key| {
        text.replace(&format!("# {key} = "), &format!("{key} = "))
    });
    assert_eq!(suggested.matches("\n[[group]]").count(), 2, "{suggested}");
    write(&app, "boardinghouse.toml", &suggested);
    run_in(&app, &["migration", "generate", "more"]).expect(0);
}

#[test]
fn a_scaffold_leaves_what_is_there_alone() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "diesel.toml", "# mine\n");
    let own = dir.path().join("migrations/tenant/2020-01-01-000000_own");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("up.sql"), "SELECT 1").unwrap();
    let run = run_in(dir.path(), &["init", "--scaffold"]).expect(0);
    insta::assert_snapshot!(without_versions(&run.stdout), @r"
    created     boardinghouse.toml
    created     migrations/shared/VERSION_create_users/up.sql
    created     migrations/shared/VERSION_create_users/down.sql
    left alone  diesel.toml
    left alone  migrations/tenant/2020-01-01-000000_own
    ");
    assert_eq!(read(dir.path(), "diesel.toml"), "# mine\n");
    let before = files(dir.path());
    let again = run_in(dir.path(), &["init", "--scaffold", ".", "--json"]).expect(0);
    assert_eq!(again.json()["created"], json!([]));
    assert_eq!(again.json()["left_alone"].as_array().unwrap().len(), 4);
    assert_eq!(files(dir.path()), before);
    // A place where nothing can be.
    run_in(dir.path(), &["init", "--scaffold", "diesel.toml"])
        .expect(2)
        .says(&["could not write diesel.toml/migrations/shared"]);
}

#[test]
fn a_migration_gets_the_names_that_diesel_gives() {
    let dir = TempDir::new().unwrap();
    run_in(dir.path(), &["init", "--scaffold"]).expect(0);
    let run = run_in(dir.path(), &["migration", "generate", "add_due"]).expect(0);
    insta::assert_snapshot!(without_versions(&run.stdout), @r"
    created     migrations/tenant/VERSION_add_due/up.sql
    created     migrations/tenant/VERSION_add_due/down.sql
    ");
    let args = [
        "--json",
        "migration",
        "generate",
        "späť-2",
        "--shared",
        "--no-transaction",
    ];
    let run = run_in(dir.path(), &args).expect(0).json();
    let created: Vec<&str> = run["created"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|f| f.as_str())
        .collect();
    assert_eq!(created.len(), 3);
    assert!(created[2].starts_with("migrations/shared/") && created[2].ends_with("metadata.toml"));
    assert_eq!(read(dir.path(), created[2]), "run_in_transaction = false\n");
    // All in the order in which they were made, whatever the folder.
    let versions: Vec<String> = files(&dir.path().join("migrations"))
        .iter()
        .filter(|path| path.ends_with("up.sql"))
        .map(|path| path.split(['/', '_']).nth(1).unwrap().to_owned())
        .collect();
    let [users, second, notes, due] = &versions[..] else {
        panic!("{versions:?}");
    };
    assert!(users < notes && notes < due && due < second, "{versions:?}");
}

#[test]
fn diesels_own_tool_accepts_what_is_generated() {
    let dir = TempDir::new().unwrap();
    run_in(dir.path(), &["init", "--scaffold"]).expect(0);
    let future = dir
        .path()
        .join("migrations/tenant/2999-01-01-000000_future");
    fs::create_dir(&future).unwrap();
    fs::write(future.join("up.sql"), "SELECT 1").unwrap();
    run_in(dir.path(), &["migration", "generate", "after"]).expect(0);
    let fixture = Fixture::new();
    let list = Command::new(diesel())
        .args(["migration", "list", "--migration-dir", "migrations/tenant"])
        .current_dir(dir.path())
        .env("DATABASE_URL", &fixture.url)
        .output()
        .unwrap();
    let list: Run = list.into();
    let list = list.expect(0);
    let lines: Vec<&str> = list.stdout.lines().map(|line| line.trim()).collect();
    assert!(lines[1].ends_with("_create_notes"), "{lines:?}");
    assert_eq!(
        lines[2..],
        [
            "[ ] 2999-01-01-000000_future",
            "[ ] 2999-01-01-000000-0000_after"
        ]
    );
}

#[test]
fn a_migration_that_cannot_be_is_refused() {
    let dir = TempDir::new().unwrap();
    run_in(dir.path(), &["migration", "generate", "x"])
        .expect(2)
        .says(&["no folder migrations/shared", "--migrations"]);
    run_in(dir.path(), &["init", "--scaffold"]).expect(0);
    let before = files(dir.path());
    for name in ["", "a/b", "..", "a b", "a\n", &"x".repeat(201)] {
        run_in(dir.path(), &["migration", "generate", name]).expect(2);
    }
    fs::create_dir(dir.path().join("migrations/tenant/v1_x")).unwrap();
    run_in(dir.path(), &["migration", "generate", "x"])
        .expect(2)
        .says(&["sorts after v1"]);
    assert_eq!(files(dir.path()), before);
}

#[test]
fn code_is_printed_from_both_sets() {
    let fixture = printable();
    let run = print_schema(&fixture, &[]).expect(0);
    insta::assert_snapshot!(run.stdout, @r#"
    // @generated automatically by Diesel CLI.

    pub mod sql_types {
        #[derive(diesel::sql_types::SqlType)]
        #[diesel(postgres_type(name = "mood"))]
        pub struct Mood;
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::Mood;

        notes (id) {
            id -> Int4,
            plan -> Nullable<Int4>,
            mood -> Mood,
        }
    }

    diesel::table! {
        plans (id) {
            id -> Int4,
            name -> Text,
        }
    }

    diesel::joinable!(notes -> plans (plan));

    diesel::allow_tables_to_appear_in_same_query!(notes, plans,);
    "#);
    assert_eq!(run.stderr, "");
    let json = print_schema(&fixture, &["--json"]).expect(0).json();
    assert_eq!(json["schema"], run.stdout);
    // The application's database was not looked at.
    assert!(!fixture.has_schema("boardinghouse") && !fixture.has("public.plans"));
}

#[test]
fn code_is_written_and_checked_as_diesel_toml_has_it() {
    let fixture = printable();
    let dir = fixture.dir();
    print_schema(&fixture, &["--check"])
        .expect(2)
        .says(&["nothing to compare with", "diesel.toml"]);
    write(
        dir,
        "diesel.toml",
        "[print_schema]\nfile = \"src/schema.rs\"\nfilter = { except_tables = [\"^plans$\"] }\n\
         custom_type_derives = [\"Debug\"]\n[migrations_directory]\ndir = \"migrations\"\n",
    );
    let missing = print_schema(&fixture, &["--check"]).expect(3);
    assert!(missing.stdout.contains("is not current"), "{missing:?}");
    assert!(!dir.join("src").exists());
    let run = print_schema(&fixture, &[]).expect(0);
    assert_eq!(run.stdout, "src/schema.rs written\n");
    let code = read(dir, "src/schema.rs");
    assert!(
        code.contains("#[derive(Debug, diesel::sql_types::SqlType)]"),
        "{code}"
    );
    assert!(
        code.contains("notes (id)") && !code.contains("plans (id)"),
        "{code}"
    );
    print_schema(&fixture, &["--check"]).expect(0);
    let touched = |file| fs::metadata(dir.join(file)).unwrap().modified().unwrap();
    let before = touched("src/schema.rs");
    // From below, as Diesel finds its file.
    let mut below = fixture.command(&["print-schema", "--migrations", "../migrations", "--json"]);
    below
        .current_dir(dir.join("src"))
        .env("BOARDINGHOUSE_DIESEL", diesel());
    let below: Run = below.output().unwrap().into();
    assert_eq!(below.expect(0).json()["files"][0]["outcome"], "current");
    assert_eq!(touched("src/schema.rs"), before);
    // Other line ends are no difference.
    write(dir, "src/schema.rs", &code.replace('\n', "\r\n"));
    print_schema(&fixture, &["--check"]).expect(0);
    fixture.migration(
        "tenant/2024-01-03-000000_body",
        "ALTER TABLE notes ADD body text NOT NULL",
    );
    let stale = print_schema(&fixture, &["--check"]).expect(3);
    insta::assert_snapshot!(stale.stdout, @r"
    src/schema.rs is not current
    --- the file
    +++ the migrations
    @@ -15,4 +15,5 @@
             plan -> Nullable<Int4>,
             mood -> Mood,
    +        body -> Text,
         }
     }
    ");
    let json = print_schema(&fixture, &["--check", "--json"])
        .expect(3)
        .json();
    assert_eq!(json["files"][0]["outcome"], "stale");
    // One file is named otherwise; the rest of diesel.toml holds.
    print_schema(&fixture, &["--output", "other.rs"]).expect(0);
    assert!(read(dir, "other.rs").contains("body -> Text"));
    let run = print_schema(&fixture, &["-o", "-"]).expect(0);
    assert_eq!(run.stdout, read(dir, "other.rs"));
}

#[test]
fn several_files_are_written_where_diesel_toml_has_several() {
    let fixture = printable();
    write(
        fixture.dir(),
        "diesel.toml",
        "[print_schema.shared]\nfile = \"schema/shared.rs\"\nfilter = { only_tables = [\"^plans$\"] }\n\
         [print_schema.tenant]\nfile = \"schema/tenant.rs\"\nfilter = { except_tables = [\"^plans$\"] }\n",
    );
    let run = print_schema(&fixture, &[]).expect(0);
    assert_eq!(
        run.stdout,
        "schema/shared.rs written\nschema/tenant.rs written\n"
    );
    let code = |file| read(fixture.dir(), file);
    assert_eq!(code("schema/shared.rs").matches("table!").count(), 1);
    assert!(code("schema/shared.rs").contains("plans (id)"));
    assert!(code("schema/tenant.rs").contains("notes (id)"));
    print_schema(&fixture, &["--check"]).expect(0);
    print_schema(&fixture, &["--output", "x.rs"])
        .expect(2)
        .says(&["several sections"]);
}

#[test]
fn tables_of_kinds_are_printed_with_the_others_and_those_of_static_tenants_alone() {
    let fixture = printable();
    let dir = fixture.dir();
    let put = |path: &str, up: &str| {
        fs::create_dir_all(dir.join(path)).unwrap();
        write(dir, &format!("{path}/up.sql"), up);
    };
    // One that needs a table of all tenants as it was at the time.
    put(
        "migrations/shop/2024-01-03-000000_items",
        "CREATE TABLE items (id int PRIMARY KEY, note int REFERENCES notes, mood mood)",
    );
    put(
        "migrations/www/2024-01-01-000000_pages",
        "CREATE TABLE pages (id int PRIMARY KEY, plan int REFERENCES public.plans)",
    );
    write(
        dir,
        "boardinghouse.toml",
        "[kind.shop]\nmigrations = 'migrations/shop'\n[static.www]\nmigrations = 'migrations/www'\n",
    );
    write(
        dir,
        "diesel.toml",
        "[print_schema]\nfile = 'schema.rs'\nfilter = { except_tables = ['^plans$', '^pages$'] }\n\
         custom_type_derives = ['Debug']\n",
    );
    print_schema(&fixture, &[]).expect(0);
    let code = read(dir, "schema.rs");
    for expected in [
        " items (id)",
        " notes (id)",
        "joinable!(items -> notes (note))",
    ] {
        assert!(code.contains(expected), "{code}");
    }
    assert!(
        !code.contains("plans (id)") && !code.contains("pages"),
        "{code}"
    );
    let run = print_schema(&fixture, &["--static", "www"]).expect(0);
    insta::assert_snapshot!(run.stdout, @r"
    // @generated automatically by Diesel CLI.

    diesel::table! {
        pages (id) {
            id -> Int4,
            plan -> Nullable<Int4>,
        }
    }

    diesel::table! {
        plans (id) {
            id -> Int4,
            name -> Text,
        }
    }

    diesel::joinable!(pages -> plans (plan));

    diesel::allow_tables_to_appear_in_same_query!(pages, plans,);
    ");
    assert_eq!(read(dir, "schema.rs"), code);
    let to_file = ["--static", "www", "--output", "www.rs"];
    print_schema(&fixture, &[&to_file[..], &["--check"]].concat()).expect(3);
    print_schema(&fixture, &to_file).expect(0);
    print_schema(&fixture, &[&to_file[..], &["--check"]].concat()).expect(0);
    assert_eq!(read(dir, "www.rs"), run.stdout);
    print_schema(&fixture, &["--static", "nobody"])
        .expect(2)
        .says(&["no static tenant nobody"]);
    // Both at once have no room for what two kinds have.
    put(
        "migrations/clinic/2024-01-04-000000_items",
        "CREATE TABLE items (id int PRIMARY KEY)",
    );
    let config = read(dir, "boardinghouse.toml");
    let config = format!("{config}[kind.clinic]\nmigrations = 'migrations/clinic'\n");
    write(dir, "boardinghouse.toml", &config);
    print_schema(&fixture, &[])
        .expect(1)
        .says(&["2024-01-04-000000_items", "already exists"]);
    let chosen = format!("{config}[print_schema]\nkinds = ['shop']\n");
    write(dir, "boardinghouse.toml", &chosen);
    print_schema(&fixture, &["--check"]).expect(0);
    let none = format!("{config}[print_schema]\nkinds = []\n");
    write(dir, "boardinghouse.toml", &none);
    print_schema(&fixture, &[]).expect(0);
    let code = read(dir, "schema.rs");
    assert!(
        code.contains(" notes (id)") && !code.contains("items"),
        "{code}"
    );
    // Where there are static tenants alone.
    fixture.remove_migrations("shared");
    fixture.remove_migrations("tenant");
    put(
        "migrations/www/2024-01-01-000000_pages",
        "CREATE TABLE pages (id int PRIMARY KEY)",
    );
    write(
        dir,
        "boardinghouse.toml",
        "[static.www]\nmigrations = 'migrations/www'\n",
    );
    let run = print_schema(&fixture, &["--static", "www"]).expect(0);
    assert!(
        run.stdout.contains("pages (id)") && !run.stdout.contains("plans"),
        "{run:?}"
    );
}

#[test]
fn what_cannot_be_printed_is_told() {
    let fixture = printable();
    fixture.migration(
        "tenant/2024-02-01-000000_twice",
        "CREATE TABLE plans (id int PRIMARY KEY)",
    );
    print_schema(&fixture, &[])
        .expect(2)
        .says(&["both create table plans"]);
    fixture.migration(
        "tenant/2024-02-01-000000_twice",
        "CREATE TABLE more (x nothing)",
    );
    print_schema(&fixture, &[]).expect(1).says(&[
        "in a new, empty database",
        "2024-02-01-000000_twice",
        "\"nothing\"",
    ]);
    write(
        fixture.dir(),
        "diesel.toml",
        "[print_schema]\nschema = \"__template__\"\n",
    );
    print_schema(&fixture, &[])
        .expect(2)
        .says(&["diesel.toml: ", "ignores the tenant"]);
    write(
        fixture.dir(),
        "diesel.toml",
        "[print_schema]\nfilter = {}\nfile = = 1\n",
    );
    print_schema(&fixture, &[])
        .expect(2)
        .says(&["diesel.toml:3: "]);
    fixture.remove_migrations("shared");
    write(fixture.dir(), "diesel.toml", "");
    print_schema(&fixture, &[])
        .expect(2)
        .says(&["no folder migrations/shared"]);
}

#[test]
fn without_diesels_tool_nothing_is_done() {
    let fixture = printable();
    let mut command = fixture.command(&["print-schema"]);
    command
        .env("DATABASE_URL", UNREACHABLE)
        .env("PATH", "/nowhere");
    let run: Run = command.output().unwrap().into();
    run.expect(2).says(&[
        "could not run diesel",
        "cargo install diesel_cli",
        "--diesel",
    ]);
    let mut command = fixture.command(&["print-schema", "--diesel", "no/such/tool"]);
    let run: Run = command
        .env("DATABASE_URL", UNREACHABLE)
        .output()
        .unwrap()
        .into();
    run.expect(2).says(&["no/such/tool"]);
}

#[test]
fn when_diesels_tool_fails_its_words_are_told_and_the_database_is_gone() {
    let fixture = printable();
    let text = "[ \"$1\" = --version ] && exit 0\n\
        echo \"$DATABASE_URL\" >url; echo \"$@\" >arguments; echo 'something broke' >&2; exit 7";
    let fake = script(fixture.dir(), text);
    let args = ["--json", "print-schema", "--diesel", fake.to_str().unwrap()];
    let error = fixture.run(&args).expect(1).error();
    assert_eq!(error["kind"], "Tool");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .ends_with("something broke"),
        "{error}"
    );
    let url = read(fixture.dir(), "url");
    let (_, name) = url.trim().rsplit_once("dbname=").unwrap();
    assert!(name.starts_with("boardinghouse_scratch_"), "{url}");
    let left = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
    assert_eq!(fixture.number(&left), 0);
    // What everybody on the machine could read.
    assert!(!read(fixture.dir(), "arguments").contains("postgres"));
}

#[test]
fn who_is_interrupted_writes_nothing_and_puts_the_database_away() {
    let fixture = printable();
    for signal in ["INT", "TERM", "HUP"] {
        let text = format!(
            "[ \"$1\" = --version ] && exit 0\n\
             echo \"$DATABASE_URL\" >url; kill -{signal} $PPID; echo '// code'"
        );
        let fake = script(fixture.dir(), &text);
        let args = ["print-schema", "-o", "schema.rs", "--diesel"];
        fixture
            .run(&[&args[..], &[fake.to_str().unwrap()]].concat())
            .expect(1)
            .says(&["cancelled"]);
        let url = read(fixture.dir(), "url");
        let (_, name) = url.trim().rsplit_once("dbname=").unwrap();
        let left = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
        assert_eq!(fixture.number(&left), 0);
    }
    assert!(!fixture.dir().join("schema.rs").exists());
}

#[test]
fn migrate_prints_anew_where_it_is_asked_to() {
    let fixture = printable();
    let dir = fixture.dir();
    let migrate = |more: &[&str]| -> Run {
        let mut command = fixture.command(&[&["migrate"], more].concat());
        command
            .env("BOARDINGHOUSE_DIESEL", diesel())
            .output()
            .unwrap()
            .into()
    };
    write(dir, "diesel.toml", "[print_schema]\nfile = \"schema.rs\"\n");
    migrate(&[]).expect(0);
    assert!(!dir.join("schema.rs").exists());
    write(
        dir,
        "boardinghouse.toml",
        "[print_schema]\nafter_migrate = true\n",
    );
    let run = migrate(&[]).expect(0);
    assert_eq!(run.stderr, "", "nothing was changed");
    fixture.migration(
        "tenant/2024-02-01-000000_more",
        "CREATE TABLE more (id int PRIMARY KEY)",
    );
    migrate(&["--dry-run"]).expect(0);
    assert!(!dir.join("schema.rs").exists());
    migrate(&[]).expect(0).says(&["schema.rs written"]);
    assert!(read(dir, "schema.rs").contains("more (id)"));
    // Programs get one document, and what failed afterwards is told.
    fixture.migration(
        "tenant/2024-02-02-000000_most",
        "CREATE TABLE most (id int PRIMARY KEY)",
    );
    let mut command = fixture.command(&["--json", "migrate"]);
    command.env("BOARDINGHOUSE_DIESEL", "no/such/tool");
    let run: Run = command.output().unwrap().into();
    let run = run.expect(1);
    assert!(run.json()["entries"].is_array());
    run.says(&["no/such/tool", "the migrations are done"]);
    assert!(fixture.has("__template__.most"));
}

#[test]
fn options_win_over_variables_and_these_over_the_file() {
    let fixture = Fixture::new();
    let dir = fixture.dir();
    fs::create_dir(dir.join("etc")).unwrap();
    fs::rename(dir.join("migrations"), dir.join("etc/sql")).unwrap();
    write(
        dir,
        "etc/bh.toml",
        "migrations = \"sql\"\n[layout]\ntemplate = \"pattern\"\nprefix = \"t_\"\nreserved = [\"www\"]\n",
    );
    let with = |args: &[&str]| -> Run {
        let mut command = fixture.command(args);
        command.env("BOARDINGHOUSE_CONFIG", "etc/bh.toml");
        command.output().unwrap().into()
    };
    with(&["migrate"]).expect(0);
    assert!(fixture.has("pattern.notes") && !fixture.has_schema("__template__"));
    with(&["tenant", "create", "a"]).expect(0);
    assert!(fixture.has("t_a.notes"));
    with(&["tenant", "create", "www"])
        .expect(2)
        .says(&["www is reserved"]);
    with(&["tenant", "create", "b", "--schema-prefix", "x_"]).expect(0);
    assert!(fixture.has("x_b.notes"));
    let mut command = fixture.command(&["tenant", "create", "c", "--config", "etc/bh.toml"]);
    command.env("BOARDINGHOUSE_CONFIG", "no/such.toml");
    command.env("BOARDINGHOUSE_SCHEMA_PREFIX", "v_");
    command.env("BOARDINGHOUSE_RESERVED", "c");
    let run: Run = command.output().unwrap().into();
    run.expect(2).says(&["c is reserved"]);
    command.env("BOARDINGHOUSE_RESERVED", "d");
    let run: Run = command.output().unwrap().into();
    run.expect(0);
    assert!(fixture.has("v_c.notes"));
}

#[test]
fn a_configuration_that_is_wrong_is_told_with_its_line() {
    let fixture = Fixture::new();
    let relations = fixture.relations();
    write(
        fixture.dir(),
        "boardinghouse.toml",
        "\n[[group]]\nname = \"a\"\nbake = \"soon\"\n",
    );
    let run = fixture.run(&["migrate"]).expect(2);
    assert!(
        run.stderr.starts_with("error: boardinghouse.toml:4: "),
        "{run:?}"
    );
    let error = fixture.run(&["--json", "init"]).expect(2).error();
    assert_eq!(error["kind"], "InvalidInput");
    fixture
        .run(&["init", "--config", "other.toml"])
        .expect(2)
        .says(&["could not read the configuration other.toml"]);
    assert_eq!(fixture.relations(), relations);
}
