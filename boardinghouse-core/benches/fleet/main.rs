//! What migrating a fleet costs: `cargo bench -p boardinghouse-core --bench fleet -- --tenants 10000`.
//!
//! Figures are ratios to a rival that was measured in the same round, where there is one.
//! `BOARDINGHOUSE_BENCH_ROUNDS` sizes the run. The server writes to disk, as in production (`fsync` on),
//! but while the fleet is made, and where a row says otherwise.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

mod fleet;
mod live;
#[path = "../common/measure.rs"]
mod measure;

use std::{
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use boardinghouse_core::{
    Drift, Limit, MigrationReport, Migrator, SchemaName, Selection, Template, TenantFilter,
    TenantPool, embedded::Server,
};
use diesel::{
    Connection, PgConnection,
    connection::{
        Instrumentation, InstrumentationEvent, SimpleConnection, set_default_instrumentation,
    },
};
use diesel_migrations::{FileBasedMigrations, MigrationHarness as _};
use fleet::{Fleet, TABLES};
use measure::{Spread, Table, Target, Way, ratio, rounds, setting};
// Links the bundled libpq.
use pq_sys as _;

/// How many connections migrate.
const JOBS: usize = 4;
/// How many tenants the rows with a rival visit.
const SOME: usize = 2_000;
/// How many tenants are done by a rival that is slow, to tell how slow.
const SAMPLE: usize = 300;

/// How many schemas are compared one by one, to tell how slow that is.
const COMPILED: usize = 40;

/// How many queries this process has begun.
static QUERIES: AtomicUsize = AtomicUsize::new(0);

struct Count;

impl Instrumentation for Count {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::StartQuery { .. } = event {
            QUERIES.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)
    };
    if let (Some(url), Some(dir)) = (after("--child"), after("--migrations")) {
        return child(url, dir);
    }
    let tenants = after("--tenants").and_then(|n| n.parse().ok());
    let tenants: usize = tenants.unwrap_or_else(|| setting("BOARDINGHOUSE_BENCH_FLEET", 2_000));
    set_default_instrumentation(|| Some(Box::new(Count))).unwrap();

    let server = Server::builder()
        // What is compared runs one after the other: none of it beside a checkpoint.
        .setting("checkpoint_timeout", "1h")
        .setting("max_wal_size", "16GB")
        .setting("shared_buffers", "1GB")
        .start()
        .unwrap();
    println!(
        "PostgreSQL {}, {tenants} tenants of {TABLES} tables",
        server.version()
    );
    let mut bench = Bench::new(&server, tenants);
    let mut table = Table::default();
    bench.nothing_to_do(&mut table);
    bench.drift(&mut table);
    bench.memory(&mut table);
    bench.everybody(&mut table);
    bench.against_rivals(&mut table);
    live::while_migrating(&mut bench, &mut table);
    table.end();
}

/// Migrates in a process of its own, and says how much memory that took.
fn child(url: &str, dir: &str) {
    let pool = TenantPool::builder().max_size(1).build(url).unwrap();
    let report = migrator(&pool, dir).run().unwrap();
    assert!(report.is_success());
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    println!("{}", peak.split_whitespace().nth(1).unwrap());
}

fn migrator(pool: &TenantPool, dir: &str) -> Migrator {
    Migrator::new(pool.clone())
        .tenants(FileBasedMigrations::from_path(dir).unwrap())
        .jobs(JOBS)
}

fn well(report: &MigrationReport) {
    for failed in report.failures() {
        println!("{}: {}", failed.target, failed.error_message());
    }
    assert!(report.is_success());
}

pub(crate) struct Bench {
    pub(crate) url: String,
    pub(crate) pool: TenantPool,
    pub(crate) conn: PgConnection,
    pub(crate) fleet: Fleet,
    rounds: usize,
}

impl Bench {
    fn new(server: &Server, tenants: usize) -> Self {
        let url = server.socket_url().to_owned();
        let pool = TenantPool::builder().max_size(8).build(&url).unwrap();
        let mut conn = PgConnection::establish(&url).unwrap();
        let begun = Instant::now();
        let fleet = Fleet::make(&url, &pool, &mut conn, tenants, SOME.min(tenants));
        println!("    made in {:.0} s", begun.elapsed().as_secs_f64());
        Self {
            url,
            pool,
            conn,
            fleet,
            rounds: setting("BOARDINGHOUSE_BENCH_ROUNDS", 5),
        }
    }

    pub(crate) fn migrator(&self) -> Migrator {
        migrator(&self.pool, self.fleet.dir())
    }

    fn fsync(&mut self, on: bool) {
        fleet::fsync(&mut self.conn, on);
    }

    fn nothing_to_do(&mut self, table: &mut Table) {
        // The first run reads what the schemas say, and writes the ledger.
        let begun = Instant::now();
        well(&self.migrator().run().unwrap());
        table.note(&format!(
            "first run, without a ledger: {:.0} ms",
            begun.elapsed().as_secs_f64() * 1e3
        ));
        let (mut times, mut queries) = (Vec::new(), 0);
        for _ in 0..self.rounds.max(5) {
            let before = QUERIES.load(Ordering::Relaxed);
            let begun = Instant::now();
            well(&self.migrator().run().unwrap());
            times.push(begun.elapsed().as_secs_f64() * 1e3);
            queries = QUERIES.load(Ordering::Relaxed) - before;
        }
        let own = Spread::of(times);
        table.row("nothing to do, ms in all", Target::AtMost(100.0), own, "");
        let connecting = self.queries_of_connecting();
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let asked = queries.saturating_sub(connecting) as f64;
        table.row(
            "the same, queries",
            Target::AtMost(5.0),
            Spread::one(asked),
            "",
        );
        let begun = Instant::now();
        for schema in self.fleet.rivals().take(SAMPLE) {
            self.conn
                .batch_execute(&format!("SET search_path TO {schema}"))
                .unwrap();
            let source = FileBasedMigrations::from_path(self.fleet.rivals_dir()).unwrap();
            assert!(!self.conn.has_pending_migration(source).unwrap());
        }
        let each =
            begun.elapsed().as_secs_f64() * 1e3 / self.fleet.rivals().take(SAMPLE).count() as f64;
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let all = each * self.fleet.tenants as f64;
        table.row(
            "the same by has_pending_migration, over it",
            Target::None,
            Spread::one(all / own.median),
            "extrapolated from a sample",
        );
        self.conn.batch_execute("RESET search_path").unwrap();
    }

    /// What opening the run's own connection asks.
    fn queries_of_connecting(&self) -> usize {
        let pool = TenantPool::builder().max_size(1).build(&self.url).unwrap();
        let before = QUERIES.load(Ordering::Relaxed);
        let _: bool = boardinghouse_core::PgRegistry::new(pool)
            .is_initialized()
            .unwrap();
        // Less its own query, and the bind of the checkout.
        (QUERIES.load(Ordering::Relaxed) - before).saturating_sub(2)
    }

    fn memory(&mut self, table: &mut Table) {
        self.fleet.add_column();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--child", &self.url, "--migrations", self.fleet.dir()])
            .output()
            .unwrap();
        assert!(
            child.status.success(),
            "{}",
            String::from_utf8_lossy(&child.stderr)
        );
        let kilobytes: f64 = String::from_utf8_lossy(&child.stdout)
            .trim()
            .parse()
            .unwrap();
        let name = "memory of a process that migrates all of them, MB";
        table.row(
            name,
            Target::AtMost(100.0),
            Spread::one(kilobytes / 1024.0),
            "",
        );
    }

    /// One column for every tenant.
    fn everybody(&mut self, table: &mut Table) {
        for on in [false, true] {
            self.fsync(on);
            let (mut own, mut each) = (Vec::new(), Vec::new());
            for _ in 0..self.rounds.min(3) {
                self.fleet.add_column();
                let begun = Instant::now();
                well(&self.migrator().run().unwrap());
                #[expect(clippy::cast_precision_loss, reason = "small")]
                own.push(self.fleet.tenants as f64 / begun.elapsed().as_secs_f64());
                each.push(self.serial(SAMPLE));
            }
            let (word, target) = match on {
                true => ("on", Target::None),
                false => ("off", Target::AtLeast(2_000.0)),
            };
            let name = format!("ADD COLUMN, tenants a second, fsync {word}");
            table.row(&name, target, Spread::of(own.clone()), "");
            let faster: Vec<f64> = own
                .iter()
                .zip(&each)
                .map(|(own, each)| own * each)
                .collect();
            let name = format!("the same, times as fast, fsync {word}");
            table.row(
                &name,
                Target::None,
                Spread::of(faster),
                "serial diesel_migrations (a sample)",
            );
        }
    }

    /// `diesel_migrations`, one schema after the other: seconds for each.
    fn serial(&mut self, most: usize) -> f64 {
        let begun = Instant::now();
        let mut count = 0.0;
        let schemas: Vec<String> = self.fleet.rivals().take(most).collect();
        for schema in schemas {
            self.conn
                .batch_execute(&format!("SET search_path TO {schema}"))
                .unwrap();
            let source = FileBasedMigrations::from_path(self.fleet.rivals_dir()).unwrap();
            self.conn.run_pending_migrations(source).unwrap();
            count += 1.0;
        }
        let took = begun.elapsed().as_secs_f64();
        self.conn.batch_execute("RESET search_path").unwrap();
        took / count
    }

    fn against_rivals(&mut self, table: &mut Table) {
        let some = SOME.min(self.fleet.tenants);
        // All of the rivals' schemas are where the others are.
        self.serial(usize::MAX);
        let sizes = [10, 20, 50];
        let mut best = (f64::MAX, sizes[0]);
        for size in sizes {
            let took = self.fleet.floor(&self.url, JOBS, size, false).as_secs_f64();
            best = if took < best.0 { (took, size) } else { best };
        }
        let size = best.1;
        let selection = Selection::Matching(TenantFilter::new().limit(Limit::Count(some)));
        let bench = std::cell::RefCell::new(self);
        let own = || {
            let bench = bench.borrow_mut();
            bench.fleet.add_column_and_index(false);
            let migrator = bench.migrator();
            let begun = Instant::now();
            let report = migrator.run_selected(&selection).unwrap();
            let took = begun.elapsed();
            well(&report);
            took
        };
        let floor = |remembered: bool| {
            let bench = &bench;
            move || {
                let bench = bench.borrow_mut();
                bench.fleet.floor(&bench.url, JOBS, size, remembered)
            }
        };
        let serial = || {
            let mut bench = bench.borrow_mut();
            bench.fleet.add_column_and_index(true);
            Duration::from_secs_f64(
                bench.serial(usize::MAX) * f64::from(u32::try_from(some).unwrap()),
            )
        };
        let count = bench.borrow().rounds;
        let mut ways: [Way<'_>; 4] = [
            Box::new(own),
            Box::new(serial),
            Box::new(floor(false)),
            Box::new(floor(true)),
        ];
        let times = rounds(count, &mut ways);
        drop(ways);
        let name = format!("ADD COLUMN and CREATE INDEX, {some} tenants, times as fast");
        table.row(
            &name,
            Target::AtLeast(3.0),
            ratio(&times[1], &times[0]),
            "serial diesel_migrations",
        );
        table.row(
            "the same, time",
            Target::AtMost(1.15),
            ratio(&times[0], &times[2]),
            &format!("bare text, {JOBS} connections, {size} a transaction"),
        );
        table.row(
            "the same, time",
            Target::None,
            ratio(&times[0], &times[3]),
            "the same text, and the row in each schema's own table of migrations",
        );
        let milliseconds = |times: &[f64]| Spread::of(times.to_vec()).median * 1e3;
        table.note(&format!(
            "own {:.0} ms, serial {:.0} ms, floor {:.0} ms, with rows {:.0} ms",
            milliseconds(&times[0]),
            milliseconds(&times[1]),
            milliseconds(&times[2]),
            milliseconds(&times[3])
        ));
    }

    fn drift(&mut self, table: &mut Table) {
        let drift = Drift::new(self.pool.clone());
        let mut times = Vec::new();
        for _ in 0..3 {
            let begun = Instant::now();
            let report = drift.check().unwrap();
            times.push(begun.elapsed().as_secs_f64());
            assert!(report.is_healthy() && report.tenants == self.fleet.tenants);
        }
        let own = Spread::of(times);
        table.row("drift of all of them, s", Target::AtMost(6.0), own, "");
        let begun = Instant::now();
        for schema in self.fleet.rivals().take(COMPILED) {
            let schema = SchemaName::parse(&schema).unwrap();
            let template = Template::new(schema).without_data();
            template.compile(&mut self.conn).unwrap();
        }
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let all = begun.elapsed().as_secs_f64() * self.fleet.tenants as f64 / COMPILED as f64;
        table.row(
            "the same one tenant at a time, over it",
            Target::None,
            Spread::one(all / own.median),
            "extrapolated from a sample",
        );
    }
}
