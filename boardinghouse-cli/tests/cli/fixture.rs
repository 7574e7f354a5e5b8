//! A database, a directory of migrations, and the binary to run on them.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use boardinghouse_core::embedded::{self, Database};
use diesel::{
    Connection, PgConnection, QueryableByName, RunQueryDsl, connection::SimpleConnection,
    sql_query, sql_types,
};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tempfile::TempDir;

static SERVER: LazyLock<Database> =
    LazyLock::new(|| embedded::from_env_or_start("TEST_DATABASE_URL").unwrap());

/// An address where nobody listens.
pub(crate) const UNREACHABLE: &str = "postgres://nobody@127.0.0.1:1/nowhere";

/// A database of its own, with the bait in it: `public.notes` holds `PUBLIC`.
pub(crate) struct Fixture {
    name: String,
    pub(crate) url: String,
    dir: TempDir,
}

/// How a run of the binary ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

#[derive(QueryableByName)]
struct Words {
    #[diesel(sql_type = sql_types::Text)]
    words: String,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = sql_types::BigInt)]
    number: i64,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("cli_{}_{next}", std::process::id());
        let url = SERVER.url();
        execute(url, &format!("CREATE DATABASE {name}"));
        let (server, _) = url.rsplit_once('/').unwrap();
        let fixture = Self {
            url: format!("{server}/{name}"),
            name,
            dir: TempDir::new().unwrap(),
        };
        fixture.execute("CREATE TABLE public.notes (body text)");
        fixture.execute("INSERT INTO public.notes VALUES ('PUBLIC')");
        fixture.migration(
            "shared/2024-01-01-000000_plans",
            "CREATE TABLE plans (id int)",
        );
        fixture.migration(
            "tenant/2024-01-02-000000_notes",
            "CREATE TABLE notes (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text)",
        );
        fixture
    }

    /// With everything migrated and these tenants.
    pub(crate) fn with_tenants(ids: &[&str]) -> Self {
        let fixture = Self::new();
        fixture.run(&["migrate"]).expect(0);
        for id in ids {
            fixture.run(&["tenant", "create", id]).expect(0);
        }
        fixture
    }

    pub(crate) fn migration(&self, path: &str, up: &str) {
        let dir = self.migrations().join(path);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("up.sql"), up).unwrap();
        fs::write(dir.join("down.sql"), "").unwrap();
    }

    pub(crate) fn remove_migrations(&self, path: &str) {
        fs::remove_dir_all(self.migrations().join(path)).unwrap();
    }

    pub(crate) fn remove_all_migrations(&self) {
        fs::remove_dir_all(self.migrations()).unwrap();
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn migrations(&self) -> std::path::PathBuf {
        self.dir().join("migrations")
    }

    /// The binary in the fixture's directory, on its database, with no terminal.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = boardinghouse(args);
        command
            .current_dir(self.dir())
            .env("DATABASE_URL", &self.url);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        self.command(args).output().unwrap().into()
    }

    pub(crate) fn run_with_stdin(&self, args: &[&str], stdin: &str) -> Run {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The program may have ended without reading it.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        child.wait_with_output().unwrap().into()
    }

    /// With a terminal as stdin, at which somebody types `answer`.
    pub(crate) fn run_on_terminal(&self, args: &[&str], answer: &str) -> Run {
        let (mut terminal, stdin) = terminal();
        terminal.write_all(answer.as_bytes()).unwrap();
        self.command(args).stdin(stdin).output().unwrap().into()
    }

    /// A role that may log in and nothing else. It goes with the database.
    pub(crate) fn guest(&self) -> String {
        let guest = format!("{}_guest", self.name);
        self.execute(&format!("CREATE ROLE {guest} LOGIN"));
        guest
    }

    pub(crate) fn execute(&self, sql: &str) {
        execute(&self.url, sql);
    }

    pub(crate) fn number(&self, sql: &str) -> i64 {
        let mut conn = PgConnection::establish(&self.url).unwrap();
        let sql = format!("SELECT ({sql})::bigint AS number");
        sql_query(sql)
            .get_result::<Number>(&mut conn)
            .unwrap()
            .number
    }

    pub(crate) fn text(&self, sql: &str) -> String {
        let mut conn = PgConnection::establish(&self.url).unwrap();
        let sql = format!("SELECT ({sql})::text AS words");
        sql_query(sql).get_result::<Words>(&mut conn).unwrap().words
    }

    /// The rows of a tenant, its row in the registry, and which schema it is.
    pub(crate) fn kept(&self, id: &str) -> String {
        self.text(&format!(
            "SELECT concat_ws(' ', (SELECT to_jsonb(t) FROM boardinghouse.tenants AS t WHERE id = '{id}'),
                 '{id}'::regnamespace::oid, md5((SELECT coalesce(jsonb_agg(to_jsonb(n) ORDER BY id), '[]')
                                                 FROM {id}.notes AS n)::text))"
        ))
    }

    /// Fails unless each tenant that is served has all that the template has, nobody else has a schema, and
    /// no schema is left over.
    #[track_caller]
    pub(crate) fn nobody_is_half_made(&self) {
        let wrong = self.text(
            "SELECT coalesce(string_agg(concat_ws(' ', schema_name, what), ', '), '') FROM (
                 SELECT schema_name, status AS what FROM boardinghouse.tenants
                 WHERE (status IN ('ready', 'suspended', 'dropping'))
                     <> (to_regnamespace(quote_ident(schema_name)) IS NOT NULL)
                    OR status NOT IN ('ready', 'suspended', 'pending')
               UNION ALL
                 SELECT schema_name, 'waits, and is not there' FROM boardinghouse.ready_schemas
                 WHERE to_regnamespace(quote_ident(schema_name)) IS NULL
               UNION ALL
                 SELECT nspname, 'is nobody''s' FROM pg_namespace
                 WHERE nspname !~ '^pg_'
                   AND nspname NOT IN ('information_schema', 'public', 'boardinghouse', '__template__')
                   AND nspname NOT IN (SELECT schema_name FROM boardinghouse.tenants)
                   AND nspname NOT IN (SELECT schema_name FROM boardinghouse.ready_schemas)
               UNION ALL
                 SELECT nspname, 'lacks something' FROM pg_namespace AS n
                 WHERE nspname IN (SELECT schema_name FROM boardinghouse.tenants
                                   UNION ALL SELECT schema_name FROM boardinghouse.ready_schemas)
                   AND (SELECT array_agg(ROW(relname, relkind, attname, atttypid, attnotnull) ORDER BY relname, attnum)
                        FROM pg_class AS c LEFT JOIN pg_attribute AS a ON attrelid = c.oid AND attnum > 0
                        WHERE relnamespace = n.oid)
                     IS DISTINCT FROM
                       (SELECT array_agg(ROW(relname, relkind, attname, atttypid, attnotnull) ORDER BY relname, attnum)
                        FROM pg_class AS c LEFT JOIN pg_attribute AS a ON attrelid = c.oid AND attnum > 0
                        WHERE relnamespace = '__template__'::regnamespace)
             ) AS wrong (schema_name, what)",
        );
        assert_eq!(wrong, "");
    }

    pub(crate) fn has(&self, table: &str) -> bool {
        self.number(&format!("SELECT (to_regclass('{table}') IS NOT NULL)::int")) == 1
    }

    pub(crate) fn has_schema(&self, schema: &str) -> bool {
        self.number(&format!(
            "SELECT (to_regnamespace('{schema}') IS NOT NULL)::int"
        )) == 1
    }

    /// How many tables, views and so on there are in all.
    pub(crate) fn relations(&self) -> i64 {
        self.number("SELECT count(*) FROM pg_class")
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let bait = (!std::thread::panicking())
            .then(|| self.number("SELECT (to_regclass('public.notes') IS NULL)::int"));
        if bait == Some(0) {
            let kept = "SELECT count(*) FROM public.notes WHERE body = 'PUBLIC'";
            assert_eq!(self.number(kept), 1, "the bait was touched");
            assert_eq!(self.number("SELECT count(*) FROM public.notes"), 1);
        }
        execute(
            SERVER.url(),
            &format!("DROP DATABASE {} WITH (FORCE)", self.name),
        );
        execute(
            SERVER.url(),
            &format!("DROP ROLE IF EXISTS {}_guest", self.name),
        );
    }
}

fn execute(url: &str, sql: &str) {
    PgConnection::establish(url)
        .unwrap()
        .batch_execute(sql)
        .unwrap();
}

/// The two ends of a terminal: a person's, and a program's.
pub(crate) fn terminal() -> (File, File) {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&person).unwrap();
    unlockpt(&person).unwrap();
    let name = ptsname(&person, Vec::new()).unwrap();
    let program = File::options()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap());
    (File::from(person), program.unwrap())
}

/// The binary with a clean environment and no stdin.
pub(crate) fn boardinghouse(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_boardinghouse"));
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ["DATABASE_URL", "RUST_LOG", "COLUMNS"].contains(&&*name)
            || name.starts_with("BOARDINGHOUSE_")
        {
            // Where to find PostgreSQL is the machine's business.
            if name != "BOARDINGHOUSE_PG_BIN" && name != "BOARDINGHOUSE_CACHE" {
                command.env_remove(&*name);
            }
        }
    }
    command
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Run {
    /// Fails the test unless the exit code is this.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Fails the test unless stderr says all of this.
    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} in {self:#?}");
        }
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap()
    }

    #[track_caller]
    pub(crate) fn error(&self) -> serde_json::Value {
        assert_eq!(self.stdout, "");
        serde_json::from_str::<serde_json::Value>(&self.stderr).unwrap()["error"].clone()
    }
}
