//! A database of its own for each test.

use std::{path::PathBuf, process::Command, sync::LazyLock};

use boardinghouse_core::{ClonePlan, SchemaName, Template, embedded};
use diesel::{
    Connection, PgConnection, QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    sql_query,
    sql_types::{BigInt, Text},
};

static SERVER: LazyLock<embedded::Database> = LazyLock::new(|| {
    embedded::from_env_or_start("TEST_DATABASE_URL").expect("the tests need PostgreSQL")
});

/// The `pg_dump` to compare with: one that is not older than the server. Some packages of PostgreSQL
/// come without one.
static PG_DUMP: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let mut conn = PgConnection::establish(SERVER.url()).expect("a connection");
    let server = sql_query("SELECT current_setting('server_version_num')::bigint / 10000 AS n")
        .get_result::<Number>(&mut conn)
        .expect("the version of the server")
        .n;
    let beside = SERVER.server().map(|it| it.bin_dir().join("pg_dump"));
    let named = std::env::var_os("PG_DUMP").map(PathBuf::from);
    let found = [named, beside, Some("pg_dump".into())]
        .into_iter()
        .flatten()
        .find(|program| major(program).is_some_and(|major| major >= server));
    if found.is_none() {
        eprintln!(
            "no pg_dump for PostgreSQL {server}: clones are compared by what this library reads of them"
        );
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

#[derive(QueryableByName)]
pub(crate) struct Number {
    #[diesel(sql_type = BigInt)]
    pub(crate) n: i64,
}

#[derive(QueryableByName)]
pub(crate) struct Words {
    #[diesel(sql_type = Text)]
    pub(crate) t: String,
}

/// A database of its own for one test.
pub(crate) struct Database {
    admin: PgConnection,
    name: String,
    pub(crate) url: String,
    pub(crate) conn: PgConnection,
}

impl Database {
    pub(crate) fn new(name: &str) -> Self {
        let mut admin = PgConnection::establish(SERVER.url()).unwrap();
        let name = format!("clone_{}_{name}", std::process::id());
        admin
            .batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            .unwrap();
        admin
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0"))
            .unwrap();
        let url = SERVER.database_url(&name);
        let conn = PgConnection::establish(&url).unwrap();
        Self {
            admin,
            name,
            url,
            conn,
        }
    }

    /// One with the template that holds everything.
    pub(crate) fn rich(name: &str) -> Self {
        let mut db = Self::new(name);
        let version = db.number("SELECT current_setting('server_version_num')::bigint AS n");
        db.run(include_str!("rich.sql"));
        let mut wanted = true;
        for line in include_str!("newer.sql").lines() {
            match line.strip_prefix("-- ") {
                Some(from) => wanted = version >= from.parse().unwrap(),
                None if wanted => db.run(line),
                None => {}
            }
        }
        db
    }

    pub(crate) fn run(&mut self, sql: &str) {
        self.conn
            .batch_execute(sql)
            .unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    pub(crate) fn fails(&mut self, sql: &str) -> String {
        self.conn.batch_execute(sql).expect_err(sql).to_string()
    }

    pub(crate) fn number(&mut self, sql: &str) -> i64 {
        sql_query(sql)
            .get_result::<Number>(&mut self.conn)
            .unwrap()
            .n
    }

    pub(crate) fn words(&mut self, sql: &str) -> String {
        sql_query(sql)
            .get_result::<Words>(&mut self.conn)
            .unwrap()
            .t
    }

    pub(crate) fn compile(&mut self) -> ClonePlan {
        Template::new(schema("tmpl"))
            .compile(&mut self.conn)
            .unwrap_or_else(|e| panic!("{}", e.chain()))
    }

    pub(crate) fn apply(&mut self, plan: &ClonePlan, target: &str) {
        self.conn
            .transaction(|conn| plan.apply(conn, &schema(target)))
            .unwrap_or_else(|error| panic!("{}", error.chain()));
    }

    /// Everything about a schema as text: by `pg_dump`, or else as the plan of a clone of it.
    pub(crate) fn dump(&mut self, name: &str) -> String {
        let Some(pg_dump) = &*PG_DUMP else {
            let plan = Template::new(schema(name)).compile(&mut self.conn);
            let plan = plan.unwrap_or_else(|e| panic!("{}", e.chain()));
            // The plan has the order in which things were created.
            let mut statements: Vec<_> = plan
                .steps()
                .iter()
                .map(|s| plan.statement(s, &schema("same")))
                .collect();
            statements.sort();
            return statements.join(";\n");
        };
        let pattern = format!("\"{}\"", name.replace('"', "\"\""));
        let output = Command::new(pg_dump)
            .args(["--schema-only", "--dbname", &self.url, "--schema", &pattern])
            .output()
            .expect("pg_dump runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout).unwrap();
        // A random word that is new in each dump.
        let random =
            |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
        text.lines().filter(random).collect::<Vec<_>>().join("\n")
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
