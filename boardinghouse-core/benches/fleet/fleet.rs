//! A fleet of small tenants, as many schemas for the rivals, and migrations that grow.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use boardinghouse_core::{Migrator, SchemaName, Template, TenantPool};
use diesel::{Connection, PgConnection, connection::SimpleConnection};
use diesel_migrations::FileBasedMigrations;
use tempfile::TempDir;

/// How many tables a tenant has, beside Diesel's.
pub(crate) const TABLES: usize = 10;

pub(crate) struct Fleet {
    pub(crate) tenants: usize,
    rivals: usize,
    dir: TempDir,
    /// The same migrations, for the rivals, who run them at other times.
    rivals_dir: TempDir,
    next: AtomicUsize,
}

/// Whether the server waits for the disk.
pub(crate) fn fsync(conn: &mut PgConnection, on: bool) {
    let word = if on { "on" } else { "off" };
    conn.batch_execute(&format!("ALTER SYSTEM SET fsync TO {word}"))
        .unwrap();
    conn.batch_execute("SELECT pg_reload_conf()").unwrap();
    conn.batch_execute("CHECKPOINT").unwrap();
}

impl Fleet {
    pub(crate) fn make(
        url: &str,
        pool: &TenantPool,
        conn: &mut PgConnection,
        tenants: usize,
        rivals: usize,
    ) -> Self {
        let fleet = Self {
            tenants,
            rivals,
            dir: tempfile::tempdir().unwrap(),
            rivals_dir: tempfile::tempdir().unwrap(),
            next: AtomicUsize::new(1),
        };
        let tables: String = (0..TABLES)
            .map(|table| {
                format!(
                    "CREATE TABLE t{table} (id serial PRIMARY KEY, name text NOT NULL, at timestamptz DEFAULT now());\n\
                     CREATE INDEX ON t{table} (name);\n"
                )
            })
            .collect();
        fleet.migration(&tables, &[&fleet.dir, &fleet.rivals_dir]);
        Migrator::new(pool.clone())
            .tenants(FileBasedMigrations::from_path(fleet.dir()).unwrap())
            .run()
            .unwrap()
            .into_result()
            .unwrap();
        fsync(conn, false);
        let plan = Template::new(SchemaName::existing("__template__").unwrap())
            .compile(conn)
            .unwrap();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut conn = PgConnection::establish(url).unwrap();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let name = match number {
                            number if number < tenants => format!("n{number:05}"),
                            number if number < tenants + rivals => format!("r{}", number - tenants),
                            _ => return,
                        };
                        plan.apply(&mut conn, &SchemaName::parse(&name).unwrap())
                            .unwrap();
                    }
                });
            }
        });
        conn.batch_execute(&format!(
            "INSERT INTO boardinghouse.tenants (id, schema_name, display_name, status, adopted)
             SELECT n, n, n, 'ready', false FROM (SELECT 'n' || lpad(i::text, 5, '0') AS n
             FROM generate_series(0, {}) AS i) AS x",
            tenants - 1
        ))
        .unwrap();
        // Not by the session that is measured: it would know all the tables.
        let mut other = PgConnection::establish(url).unwrap();
        other.batch_execute("VACUUM ANALYZE").unwrap();
        fsync(conn, true);
        fleet
    }

    pub(crate) fn dir(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    pub(crate) fn rivals_dir(&self) -> &str {
        self.rivals_dir.path().to_str().unwrap()
    }

    /// The schemas that are no tenants.
    pub(crate) fn rivals(&self) -> impl Iterator<Item = String> + use<> {
        (0..self.rivals).map(|number| format!("r{number}"))
    }

    fn migration(&self, up: &str, whose: &[&TempDir]) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        for dir in whose {
            let dir = dir.path().join(format!("2026-01-01-{number:06}_step"));
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("up.sql"), up).unwrap();
            fs::write(dir.join("down.sql"), "SELECT 1").unwrap();
        }
    }

    fn ddl(number: usize, kind: &str, index: bool) -> String {
        let column = format!("{kind}{number}");
        let mut text = format!("ALTER TABLE t{} ADD COLUMN {column} text;", number % TABLES);
        if index {
            text += &format!(
                "CREATE INDEX {column}_idx ON t{} ({column});",
                number % TABLES
            );
        }
        text
    }

    /// A migration more, for both.
    pub(crate) fn add_column(&self) {
        let ddl = Self::ddl(self.next.load(Ordering::Relaxed), "c", false);
        self.migration(&ddl, &[&self.dir, &self.rivals_dir]);
    }

    /// A migration more, for one of them.
    pub(crate) fn add_column_and_index(&self, rivals: bool) {
        let ddl = Self::ddl(self.next.load(Ordering::Relaxed), "c", true);
        self.migration(&ddl, &[if rivals { &self.rivals_dir } else { &self.dir }]);
    }

    /// The same statements as ready-made text on the rivals' schemas: without any bookkeeping, or with a row
    /// in each schema's own table of migrations.
    pub(crate) fn floor(
        &self,
        url: &str,
        connections: usize,
        size: usize,
        remembered: bool,
    ) -> Duration {
        static ROUND: AtomicUsize = AtomicUsize::new(0);
        let round = ROUND.fetch_add(1, Ordering::Relaxed);
        let names: Vec<String> = self.rivals().collect();
        let messages: Vec<String> = names
            .chunks(size)
            .map(|names| {
                let one = |name: &String| {
                    let row = format!(
                        "INSERT INTO {name}.__diesel_schema_migrations (version) VALUES ('f{round}');"
                    );
                    format!(
                        "SET LOCAL search_path TO {name};{}{}",
                        Self::ddl(round, "f", true),
                        if remembered { &row } else { "" }
                    )
                };
                let all: String = names.iter().map(one).collect();
                format!("BEGIN;{all}COMMIT")
            })
            .collect();
        // As a run of ours does, it begins without a connection.
        let begun = Instant::now();
        let mut conns: Vec<PgConnection> = (0..connections)
            .map(|_| PgConnection::establish(url).unwrap())
            .collect();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for conn in &mut conns {
                let (next, messages) = (&next, &messages);
                scope.spawn(move || {
                    while let Some(message) = messages.get(next.fetch_add(1, Ordering::Relaxed)) {
                        conn.batch_execute(message).unwrap();
                    }
                });
            }
        });
        begun.elapsed()
    }
}
