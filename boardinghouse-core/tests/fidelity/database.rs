//! A database of its own for each test, with the kitchen sink in it.

use std::{path::PathBuf, process::Command, sync::LazyLock};

use boardinghouse_core::{ClonePlan, SchemaName, Template, embedded};
use diesel::{
    Connection, PgConnection, QueryableByName, RunQueryDsl, connection::SimpleConnection,
    sql_query, sql_types::Text,
};

use crate::compare::quoted;

static SERVER: LazyLock<embedded::Database> = LazyLock::new(|| {
    embedded::from_env_or_start("TEST_DATABASE_URL").expect("the tests need PostgreSQL")
});

/// A `pg_dump` that is not older than the server. Some packages of PostgreSQL come without one.
static PG_DUMP: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let mut conn = PgConnection::establish(SERVER.url()).expect("a connection");
    let server = version(&mut conn) / 10_000;
    let beside = SERVER.server().map(|it| it.bin_dir().join("pg_dump"));
    let named = std::env::var_os("PG_DUMP").map(PathBuf::from);
    let found = [named, beside, Some("pg_dump".into())]
        .into_iter()
        .flatten()
        .find(|program| major(program).is_some_and(|major| major >= server));
    if found.is_none() {
        eprintln!("no pg_dump for PostgreSQL {server}: clones are compared by the catalogs alone");
    }
    found
});

/// The major version of a `pg_dump`, if it runs: of `pg_dump (PostgreSQL) 15.13 (Debian 15.13-0)`, 15.
fn major(pg_dump: &PathBuf) -> Option<i64> {
    let output = Command::new(pg_dump).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let number = text.split_once("(PostgreSQL) ")?.1;
    let end = number.find(|c: char| !c.is_ascii_digit())?;
    number[..end].parse().ok()
}

fn version(conn: &mut PgConnection) -> i64 {
    words(conn, "SELECT current_setting('server_version_num') AS t")
        .parse()
        .unwrap()
}

#[derive(QueryableByName)]
struct Words {
    #[diesel(sql_type = Text)]
    t: String,
}

fn words(conn: &mut PgConnection, sql: &str) -> String {
    let found: Words = sql_query(sql)
        .get_result(conn)
        .unwrap_or_else(|error| panic!("{error}: {sql}"));
    found.t
}

/// Runs a statement beside all databases of tests.
pub(crate) fn admin(sql: &str) {
    let mut admin = PgConnection::establish(SERVER.url()).unwrap();
    // A test that has failed already is not to be hidden by this.
    let done = admin.batch_execute(sql);
    assert!(std::thread::panicking() || done.is_ok(), "{sql}: {done:?}");
}

pub(crate) struct Database {
    admin: PgConnection,
    name: String,
    url: String,
    pub(crate) version: i64,
    pub(crate) conn: PgConnection,
}

impl Database {
    /// One in which the schema `tmpl` is the kitchen sink.
    pub(crate) fn with_sink(name: &str) -> Self {
        let mut admin = PgConnection::establish(SERVER.url()).unwrap();
        let name = format!("fidelity_{}_{name}", std::process::id());
        for sql in [
            "DROP DATABASE IF EXISTS %n WITH (FORCE)",
            "CREATE DATABASE %n TEMPLATE template0",
        ] {
            admin.batch_execute(&sql.replace("%n", &name)).unwrap();
        }
        let url = SERVER.database_url(&name);
        let conn = PgConnection::establish(&url).unwrap();
        let version = version(&mut admin);
        let mut db = Self {
            admin,
            name,
            url,
            version,
            conn,
        };
        db.run("SET client_min_messages TO warning");
        db.load("tmpl", true);
        db
    }

    /// Runs the scripts, so that a plain name gets the kitchen sink, if need be without what is shared.
    pub(crate) fn load(&mut self, schema: &str, with_shared: bool) {
        // A comment is only words.
        let said = "comment of tmpl";
        let named = |sql: &str| {
            let parts: Vec<_> = sql
                .split(said)
                .map(|part| part.replace("tmpl", schema))
                .collect();
            parts.join(said)
        };
        let script = include_str!("kitchen_sink.sql");
        let (shared, own) = script.split_at(script.find("CREATE SCHEMA tmpl").unwrap());
        if with_shared {
            self.run(shared);
        }
        self.run(&named(own));
        let mut wanted = true;
        for line in include_str!("newer.sql").lines() {
            match line.strip_prefix("-- ") {
                Some(from) => wanted = self.version >= from.parse().unwrap(),
                None if wanted => self.run(&named(line)),
                None => {}
            }
        }
        // What this session still holds of sequences with a cache.
        self.run("DISCARD SEQUENCES");
    }

    pub(crate) fn run(&mut self, sql: &str) {
        self.conn
            .batch_execute(sql)
            .unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    pub(crate) fn fails(&mut self, sql: &str) -> String {
        self.conn.batch_execute(sql).expect_err(sql).to_string()
    }

    /// The one value that a query gives, as text.
    pub(crate) fn value(&mut self, sql: &str) -> String {
        words(
            &mut self.conn,
            &format!("SELECT coalesce(({sql})::text, 'NULL') AS t"),
        )
    }

    pub(crate) fn compile(&mut self, source: &str) -> ClonePlan {
        Template::new(schema(source))
            .compile(&mut self.conn)
            .unwrap_or_else(|error| panic!("{}", error.chain()))
    }

    pub(crate) fn apply(&mut self, plan: &ClonePlan, target: &str) {
        self.conn
            .transaction(|conn| plan.apply(conn, &schema(target)))
            .unwrap_or_else(|error| panic!("into {target}: {}", error.chain()));
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        let (from, to) = (quoted(from), quoted(to));
        self.run(&format!("ALTER SCHEMA {from} RENAME TO {to}"));
    }

    /// The sorted lines of a schema's `pg_dump`, if there is one that can read the server.
    pub(crate) fn dump(&mut self, schema: &str) -> Option<Vec<String>> {
        let pg_dump = PG_DUMP.as_ref()?;
        let output = Command::new(pg_dump)
            .args(["--schema-only", "--dbname", &self.url, "--schema"])
            .arg(quoted(schema))
            .output()
            .expect("pg_dump runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines: Vec<_> = text
            .lines()
            // A random word that is new in each dump.
            .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
            .map(str::to_owned)
            .collect();
        lines.sort();
        Some(lines)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = self
            .admin
            .batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

pub(crate) fn schema(name: &str) -> SchemaName {
    SchemaName::existing(name).unwrap()
}
