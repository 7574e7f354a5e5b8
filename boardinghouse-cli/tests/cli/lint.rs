//! `boardinghouse lint`: without a database.

use std::{fs, process::Command};

use tempfile::TempDir;

use crate::fixture::{Run, boardinghouse};

struct Migrations(TempDir);

impl Migrations {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().unwrap();
        for (path, text) in files {
            let path = dir.path().join("migrations").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(dir)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = boardinghouse(args);
        // Nobody listens there, and nobody is asked.
        command
            .current_dir(self.0.path())
            .env("DATABASE_URL", crate::fixture::UNREACHABLE);
        command
    }

    fn run(&self, args: &[&str]) -> Run {
        self.command(args).output().unwrap().into()
    }
}

const CLEAN: (&str, &str) = (
    "tenant/2024-01-01-000000_notes/up.sql",
    "CREATE TABLE notes (id int);\n",
);
const CLEAN_DOWN: (&str, &str) = (
    "tenant/2024-01-01-000000_notes/down.sql",
    "DROP TABLE notes;\n",
);

#[test]
fn findings_have_their_place_and_what_to_do_and_errors_exit_with_2() {
    let migrations = Migrations::new(&[
        CLEAN,
        CLEAN_DOWN,
        (
            "shared/2024-01-02-000000_plans/up.sql",
            "CREATE TABLE plans (\n    id int PRIMARY KEY,\n    note int REFERENCES notes\n);\n",
        ),
        (
            "tenant/2024-01-03-000000_more/up.sql",
            "-- one statement a line\nALTER TABLE notes ADD body text NOT NULL DEFAULT '';\n\
             INSERT INTO public.plans VALUES (1);\nCREATE INDEX ON notes (body);\n",
        ),
        (
            "tenant/2024-01-03-000000_more/down.sql",
            "DROP EXTENSION x;",
        ),
    ]);
    let run = migrations.run(&["lint"]).expect(2);
    insta::assert_snapshot!(run.stdout, @r"
    migrations/shared/2024-01-02-000000_plans/up.sql:1:1: info[no-down]: there is no down.sql
          hint: write down.sql, or say in a comment that it is meant so, and allow it
    migrations/shared/2024-01-02-000000_plans/up.sql:3:25: error[shared-refers-tenant]: notes is a table of tenants, which shared tables do not see
          hint: refer the other way round, from the tenant's table to the shared one
    migrations/tenant/2024-01-03-000000_more/down.sql:1:1: error[extension]: an extension belongs to the whole database
          hint: move it to a shared migration: a database has an extension once
    migrations/tenant/2024-01-03-000000_more/up.sql:3:13: error[writes-shared]: this writes to public, which all tenants share
          hint: move the statement to a shared migration: here it would run once for each tenant
    migrations/tenant/2024-01-03-000000_more/up.sql:4:1: warning[index]: an index on notes, which is there already
          hint: build it CONCURRENTLY, in a migration of its own with `run_in_transaction = false`
    3 errors, 1 warning, 1 note
    ");
    assert_eq!(run.stderr, "");
    // The same, by another name.
    assert_eq!(
        migrations.run(&["migrate", "--lint"]).expect(2).stdout,
        run.stdout
    );
    let json = migrations
        .run(&["lint", "--json", "migrations"])
        .expect(2)
        .json();
    let finding = &json["findings"][0];
    assert_eq!(finding["rule"], "no-down");
    assert_eq!(finding["severity"], "info");
    let finding = &json["findings"][1];
    assert_eq!(finding["rule"], "shared-refers-tenant");
    assert_eq!(
        finding["file"],
        "migrations/shared/2024-01-02-000000_plans/up.sql"
    );
    assert_eq!(
        (&finding["line"], &finding["column"]),
        (&3.into(), &25.into())
    );
}

#[test]
fn warnings_exit_with_0_unless_they_are_denied() {
    let migrations = Migrations::new(&[
        CLEAN,
        CLEAN_DOWN,
        (
            "tenant/2024-01-03-000000_index/up.sql",
            "CREATE INDEX ON notes (id);",
        ),
        (
            "tenant/2024-01-03-000000_index/down.sql",
            "DROP INDEX notes_id_idx;",
        ),
    ]);
    let run = migrations.run(&["lint"]).expect(0);
    assert!(
        run.stdout.ends_with("0 errors, 1 warning, 0 notes\n"),
        "{run:?}"
    );
    migrations.run(&["lint", "--deny-warnings"]).expect(2);
    // What belongs to no transaction says so in its metadata, as Diesel reads it.
    let concurrently = Migrations::new(&[
        CLEAN,
        CLEAN_DOWN,
        (
            "tenant/2024-01-03-000000_index/up.sql",
            "CREATE INDEX CONCURRENTLY notes_id ON notes (id);",
        ),
        (
            "tenant/2024-01-03-000000_index/down.sql",
            "DROP INDEX CONCURRENTLY notes_id;",
        ),
        (
            "tenant/2024-01-03-000000_index/metadata.toml",
            "run_in_transaction = false",
        ),
    ]);
    let run = concurrently.run(&["lint", "--deny-warnings"]).expect(0);
    assert_eq!(run.stdout, "0 errors, 0 warnings, 0 notes\n");
}

#[test]
fn notes_alone_are_never_denied() {
    let migrations = Migrations::new(&[CLEAN]);
    let run = migrations.run(&["lint", "--deny-warnings"]).expect(0);
    assert!(run.stdout.contains("info[no-down]"), "{run:?}");
}

#[test]
fn the_names_of_the_layout_are_those_of_the_options() {
    let migrations = Migrations::new(&[(
        "tenant/2024-01-01-000000_notes/up.sql",
        "-- boardinghouse: allow no-down\nINSERT INTO common.plans VALUES (1);",
    )]);
    let run = migrations
        .run(&["lint", "--shared-schema", "common"])
        .expect(2);
    assert!(
        run.stdout.contains("up.sql:2:13: error[writes-shared]"),
        "{run:?}"
    );
}

#[test]
fn migrations_that_are_not_there_are_told() {
    let migrations = Migrations::new(&[("other/x/up.sql", "")]);
    migrations
        .run(&["lint"])
        .expect(2)
        .says(&["no migrations in migrations", "shared", "tenant"]);
    migrations
        .run(&["lint", "nowhere"])
        .expect(2)
        .says(&["nowhere"]);
    let broken = Migrations::new(&[("tenant/2024-01-01-000000_x/down.sql", "")]);
    broken.run(&["lint"]).expect(2).says(&["migrations/tenant"]);
}

#[test]
fn the_rules_are_shown_for_people_and_for_programs() {
    let run = Migrations::new(&[]).run(&["lint", "--rules"]).expect(0);
    insta::assert_snapshot!("lint-rules", run.stdout);
    let json = Migrations::new(&[])
        .run(&["lint", "--rules", "--json"])
        .expect(0)
        .json();
    assert_eq!(json[0]["id"], "writes-shared");
    assert_eq!(json[0]["severity"], "error");
    assert!(json[0]["hint"].is_string() && json[0]["finds"].is_string());
}
