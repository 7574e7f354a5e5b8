//! From nothing to an application that runs, by the command line alone.

use std::{fs, path::Path, process::Output};

use crate::{
    diesel::{cargo, diesel, target_dir},
    fixture::{Fixture, Run},
};

/// What a person would add to the scaffold's code.
const MAIN: &str = r#"
mod schema;

use std::io::Write as _;

use boardinghouse_core::{PgRegistry, TenantPool};
use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::{Pg, PgValue},
    prelude::*,
    serialize::{self, IsNull, Output, ToSql},
};
// Links libpq.
use pq_sys as _;
use schema::{labels, notes, users};

#[derive(Clone, Copy, Debug, PartialEq, AsExpression, FromSqlRow)]
#[diesel(sql_type = schema::sql_types::Mood)]
enum Mood {
    Good,
    Bad,
}

impl ToSql<schema::sql_types::Mood, Pg> for Mood {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(match self {
            Mood::Good => b"good",
            Mood::Bad => b"bad",
        })?;
        Ok(IsNull::No)
    }
}

impl FromSql<schema::sql_types::Mood, Pg> for Mood {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(if value.as_bytes() == b"good" { Mood::Good } else { Mood::Bad })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = TenantPool::builder().max_size(1).build(std::env::var("DATABASE_URL")?.as_str())?;
    let registry = PgRegistry::new(pool.clone());
    for (id, body, mood) in [("acme", "from acme", Mood::Good), ("globex", "from globex", Mood::Bad)] {
        let mut conn = pool.get(&registry.get(&id.parse()?)?)?;
        let author: i32 = diesel::insert_into(users::table)
            .values(users::email.eq(format!("{id}@example.com")))
            .returning(users::id)
            .get_result(&mut conn)?;
        let note: i32 = diesel::insert_into(notes::table)
            .values((notes::author.eq(author), notes::body.eq(body), notes::mood.eq(mood)))
            .returning(notes::id)
            .get_result(&mut conn)?;
        diesel::insert_into(labels::table)
            .values((labels::note.eq(note), labels::text.eq("new")))
            .execute(&mut conn)?;
    }
    for id in ["acme", "globex"] {
        let mut conn = pool.get(&registry.get(&id.parse()?)?)?;
        // Two tables of the tenant's, and one that all tenants share.
        let rows: Vec<(String, Mood, String, String)> = labels::table
            .inner_join(notes::table.inner_join(users::table))
            .select((notes::body, notes::mood, users::email, labels::text))
            .load(&mut conn)?;
        println!("{id}: {rows:?}");
    }
    Ok(())
}
"#;

/// Beside the workspace's own crates it asks for nothing that the workspace has not built already.
fn manifest(core: &Path) -> String {
    format!(
        r#"
[package]
name = "boardinghouse-sample"
version = "0.0.0"
edition = "2024"

[workspace]

[dependencies]
boardinghouse-core = {{ path = {core:?} }}
diesel = {{ version = "~2.3", default-features = false, features = ["postgres"] }}
pq-sys = {{ version = "0.7", features = ["bundled_without_openssl"] }}

# As in the workspace, so that what is built there serves here, too.
[profile.dev]
debug = "line-tables-only"
"#
    )
}

fn in_app(fixture: &Fixture, app: &Path, args: &[&str]) -> Run {
    let mut command = fixture.command(args);
    command
        .current_dir(app)
        .env("BOARDINGHOUSE_DIESEL", diesel());
    command.output().unwrap().into()
}

#[test]
fn a_sample_application_is_scaffolded_migrated_generated_compiled_and_run() {
    let fixture = Fixture::new();
    // The scaffold has a table of the bait's name, which is no tenant's.
    let app = fixture.dir().join("app");
    let run = |args: &[&str]| in_app(&fixture, &app, args).expect(0);
    fixture.run(&["init", "--scaffold", "app"]).expect(0);
    run(&["init"]);
    let generate = |args: &[&str], up: &str| {
        let args = [&["--json", "migration", "generate"], args].concat();
        let report = run(&args).json();
        let file = report["created"][0].as_str().unwrap();
        fs::write(app.join(file), up).unwrap();
    };
    generate(
        &["label_notes"],
        "CREATE TYPE mood AS ENUM ('good', 'bad');
         ALTER TABLE notes ADD mood mood NOT NULL DEFAULT 'good';
         CREATE TABLE labels (
             id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             note integer NOT NULL REFERENCES notes,
             text text NOT NULL
         );",
    );
    generate(
        &["index_emails", "--shared", "--no-transaction"],
        "CREATE INDEX CONCURRENTLY users_by_name ON users (split_part(email, '@', 1));",
    );
    run(&["migrate"]);
    run(&["status", "--check"]);
    run(&["tenant", "create", "acme"]);
    run(&["tenant", "create", "globex"]);
    let printed = run(&["print-schema"]);
    assert_eq!(printed.stdout, "src/schema.rs written\n");
    run(&["print-schema", "--check"]);

    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let core = workspace.join("boardinghouse-core");
    fs::write(app.join("Cargo.toml"), manifest(&core)).unwrap();
    fs::copy(workspace.join("Cargo.lock"), app.join("Cargo.lock")).unwrap();
    fs::write(app.join("src/main.rs"), MAIN).unwrap();
    let output: Output = cargo()
        .args(["run", "--quiet", "--offline"])
        .current_dir(&app)
        .env("CARGO_TARGET_DIR", target_dir())
        .env("DATABASE_URL", &fixture.url)
        .output()
        .unwrap();
    let ran = Run::from(output).expect(0);
    assert_eq!(
        ran.stdout,
        "acme: [(\"from acme\", Good, \"acme@example.com\", \"new\")]\n\
         globex: [(\"from globex\", Bad, \"globex@example.com\", \"new\")]\n"
    );
    assert_eq!(fixture.number("SELECT count(*) FROM public.users"), 2);
    assert_eq!(fixture.number("SELECT count(*) FROM acme.notes"), 1);
}
