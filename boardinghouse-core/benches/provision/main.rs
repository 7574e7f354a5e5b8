//! What creating a tenant costs: `cargo bench -p boardinghouse-core --bench provision`.
//!
//! Every figure is a ratio to a rival that was measured in the same round. `BOARDINGHOUSE_BENCH_ROUNDS`
//! sizes the run; `BOARDINGHOUSE_BENCH_FLEET` says how many tenants there are in the end (2000).
//!
//! The server writes to disk, as in production (`fsync` on). What is created stays until the end: after many
//! files were deleted, a file system takes longer for new ones (ext4 passes over what was deleted lately).
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

#[path = "../common/backend.rs"]
mod backend;
#[path = "../common/measure.rs"]
mod measure;
#[path = "../common/proxy.rs"]
mod proxy;
mod saas;

use std::{
    process::Command,
    time::{Duration, Instant},
};

use boardinghouse_core::{
    ClonePlan, NewTenant, Provisioner, SchemaName, Template, TenantId, TenantPool, embedded::Server,
};
use diesel::{Connection, PgConnection, RunQueryDsl as _, connection::SimpleConnection};
use diesel_migrations::{FileBasedMigrations, MigrationHarness as _};
use measure::{Spread, Table, Target, Way, ratio, rounds, setting};
// Links the bundled libpq.
use pq_sys as _;
use tempfile::TempDir;

/// A database with a template, and everything that is measured on it.
struct Bench {
    conn: PgConnection,
    provisioner: Provisioner,
    /// The template's own `pg_dump`, with a word for the schema's name that is nowhere else in it.
    dump: Option<String>,
    migrations: TempDir,
    plan: ClonePlan,
    next: usize,
}

const PLACE: &str = "zzz_template_zzz";

impl Bench {
    fn new(server: &Server) -> Self {
        let url = server.socket_url();
        let mut conn = PgConnection::establish(url).unwrap();
        let pool = TenantPool::builder().max_size(4).build(url).unwrap();
        let report = boardinghouse_core::Migrator::new(pool.clone())
            .init()
            .unwrap();
        assert!(report.is_success());
        conn.batch_execute(saas::SHARED).unwrap();
        let migrations = folder();
        conn.batch_execute(&format!(
            "CREATE SCHEMA {PLACE}; SET search_path TO {PLACE}"
        ))
        .unwrap();
        run_migrations(&mut conn, &migrations);
        conn.batch_execute("RESET search_path").unwrap();
        let dump = dump(server);
        conn.batch_execute(&format!(
            "DROP SCHEMA __template__ CASCADE; ALTER SCHEMA {PLACE} RENAME TO __template__"
        ))
        .unwrap();
        let plan = Template::new(SchemaName::existing("__template__").unwrap())
            .compile(&mut conn)
            .unwrap();
        Self {
            plan,
            conn,
            provisioner: Provisioner::new(pool),
            dump,
            migrations,
            next: 0,
        }
    }

    fn name(&mut self) -> SchemaName {
        self.next += 1;
        SchemaName::parse(&format!("b{}", self.next)).unwrap()
    }

    /// The time and the server's CPU time of one clone by the library.
    fn clone(&mut self, compiled: bool) -> (Duration, Duration) {
        let name = self.name();
        let template = Template::new(SchemaName::existing("__template__").unwrap());
        let plan = compiled.then(|| self.plan.clone());
        let (begun, cpu) = (Instant::now(), backend::cpu());
        let plan = plan.unwrap_or_else(|| template.compile(&mut self.conn).unwrap());
        plan.apply(&mut self.conn, &name).unwrap();
        (begun.elapsed(), backend::cpu().saturating_sub(cpu))
    }

    /// The same by the template's own dump, sent as one message. Nothing where there is none.
    fn floor(&mut self) -> (Duration, Duration) {
        let name = self.name();
        let Some(dump) = &self.dump else {
            return (Duration::ZERO, Duration::ZERO);
        };
        let script = dump.replace(PLACE, name.as_str());
        let (begun, cpu) = (Instant::now(), backend::cpu());
        self.conn.batch_execute(&script).unwrap();
        (begun.elapsed(), backend::cpu().saturating_sub(cpu))
    }

    /// A tenant, with its row.
    fn create(&mut self) -> Duration {
        let name = self.name();
        let id: TenantId = name.as_str().parse().unwrap();
        let begun = Instant::now();
        self.provisioner.create(&NewTenant::new(id)).unwrap();
        begun.elapsed()
    }

    /// What `diesel_migrations` does in a new schema.
    fn migrate(&mut self) -> Duration {
        let name = self.name();
        let begun = Instant::now();
        self.conn
            .batch_execute(&format!(
                "CREATE SCHEMA {0}; SET search_path TO {0}",
                name.as_str()
            ))
            .unwrap();
        run_migrations(&mut self.conn, &self.migrations);
        self.conn.batch_execute("RESET search_path").unwrap();
        begun.elapsed()
    }

    /// More tenants, which stay. They are measured from a session that has seen none of them, on a server that
    /// is at rest.
    fn grow(&mut self, to: usize, url: &str) {
        std::thread::scope(|scope| {
            for worker in 0..2 {
                let plan = self.plan.clone();
                scope.spawn(move || {
                    let mut conn = PgConnection::establish(url).unwrap();
                    for number in (worker..to).step_by(2) {
                        let name = SchemaName::parse(&format!("fleet_{number}")).unwrap();
                        plan.apply(&mut conn, &name).unwrap();
                    }
                });
            }
        });
        settle(url);
        self.conn = PgConnection::establish(url).unwrap();
    }
}

/// Sees to it that the server is at rest.
fn settle(url: &str) {
    let mut conn = PgConnection::establish(url).unwrap();
    conn.batch_execute("ANALYZE").unwrap();
    // The catalogs that have grown.
    conn.batch_execute(
        "VACUUM pg_class, pg_attribute, pg_attrdef, pg_constraint, pg_depend, pg_index, pg_trigger, pg_type",
    )
    .unwrap();
    conn.batch_execute("CHECKPOINT").unwrap();
    wait_for_autovacuum(&mut conn);
}

/// Until nobody vacuums any more, for so many seconds at the most.
fn wait_for_autovacuum(conn: &mut PgConnection) {
    const MOST: usize = 120;
    for _ in 0..MOST {
        let busy: bool = diesel::select(diesel::dsl::sql::<diesel::sql_types::Bool>(
            "EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'autovacuum worker')",
        ))
        .get_result(conn)
        .unwrap();
        if !busy {
            break;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// The migrations as Diesel's files.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    for (number, sql) in saas::migrations().iter().enumerate() {
        let one = folder.path().join(format!("2026-01-01-{number:06}_step"));
        std::fs::create_dir(&one).unwrap();
        std::fs::write(one.join("up.sql"), sql).unwrap();
    }
    folder
}

fn run_migrations(conn: &mut PgConnection, folder: &TempDir) {
    let source = FileBasedMigrations::from_path(folder.path()).unwrap();
    conn.run_pending_migrations(source).unwrap();
}

/// The statements of a dump, in one transaction.
fn dump(server: &Server) -> Option<String> {
    let beside = server.bin_dir().join("pg_dump");
    let program = std::env::var_os("PG_DUMP").map_or(beside, Into::into);
    let output = Command::new(program)
        .args([
            "--schema-only",
            "--no-owner",
            "--schema",
            PLACE,
            "--dbname",
            server.socket_url(),
        ])
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8(output.stdout).ok()?;
    let kept = text.lines().filter(|line| {
        !line.starts_with('\\')
            && !line.starts_with("--")
            && !line.starts_with("SET ")
            && !line.starts_with("SELECT pg_catalog.set_config")
    });
    let statements: Vec<&str> = kept.collect();
    Some(format!(
        "BEGIN; SET LOCAL check_function_bodies TO off; SET LOCAL search_path TO '';\n{}\nCOMMIT",
        statements.join("\n")
    ))
}

fn main() {
    let count = setting("BOARDINGHOUSE_BENCH_ROUNDS", 15).max(7);
    let fleet = setting("BOARDINGHOUSE_BENCH_FLEET", 2_000);
    let server = Server::builder()
        .durable(true)
        .setting("max_locks_per_transaction", "1024")
        // A quarter of a small server's memory: the catalogs of 2,000 tenants do not fit into the default.
        .setting("shared_buffers", "1GB")
        .start()
        .unwrap();
    println!(
        "PostgreSQL {}, {count} rounds; ratios: median (min - max)",
        server.version()
    );
    let mut table = Table::default();
    let mut bench = Bench::new(&server);
    if bench.dump.is_none() {
        println!("no pg_dump beside the server: set PG_DUMP for the rows that need it");
    }
    let alone = rows(&mut table, &mut bench, count, "1 tenant", None);
    migrations(&mut table, &mut bench, count);
    trips(&mut table, &server);
    claims(&mut table, &server);
    bench.grow(fleet, server.socket_url());
    rows(
        &mut table,
        &mut bench,
        count,
        &format!("{fleet} tenants"),
        Some(alone),
    );
    table.end();
}

/// What a clone takes, and what its floor, to be compared with later.
fn rows(
    table: &mut Table,
    bench: &mut Bench,
    count: usize,
    fleet: &str,
    before: Option<[f64; 2]>,
) -> [f64; 2] {
    let mut cpu: Vec<[Duration; 2]> = Vec::new();
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); 4];
    let with_floor = bench.dump.is_some();
    for round in 0..=count {
        // The order changes with every round.
        let mut took = [(Duration::ZERO, Duration::ZERO); 4];
        for turn in 0..4 {
            let way = (turn + round) % 4;
            took[way] = match way {
                0 => bench.clone(true),
                1 => bench.floor(),
                2 => bench.clone(false),
                _ => (bench.create(), Duration::ZERO),
            };
        }
        // The first round warms the caches.
        if round > 0 {
            cpu.push([took[0].1, took[1].1]);
            for (all, (one, _)) in times.iter_mut().zip(took) {
                all.push(one.as_secs_f64());
            }
        }
    }
    let [own, floor, first, create] = &times[..] else {
        unreachable!()
    };
    let dump = "its own pg_dump DDL as one message";
    if with_floor {
        let target = Target::AtMost(1.0);
        table.row(
            &format!("clone, plan compiled, {fleet}"),
            target,
            ratio(own, floor),
            dump,
        );
        let sum = |at: usize| {
            cpu.iter()
                .map(|one| one[at])
                .sum::<Duration>()
                .as_secs_f64()
        };
        let spent = Spread::one(sum(0) / sum(1).max(0.001));
        table.row(
            &format!("the same, CPU of the server, {fleet}"),
            target,
            spent,
            dump,
        );
        let target = Target::AtMost(2.5);
        table.row(
            &format!("clone, compiled anew, {fleet}"),
            target,
            ratio(first, floor),
            dump,
        );
        table.row(
            &format!("create, with the registry, {fleet}"),
            Target::None,
            ratio(create, floor),
            dump,
        );
    }
    let medians = [own, floor].map(|times| Spread::of(times.clone()).median);
    table.note(&format!(
        "clone {:.1} ms, floor {:.1} ms, compiled anew {:.1} ms, create {:.1} ms",
        medians[0] * 1e3,
        medians[1] * 1e3,
        Spread::of(first.clone()).median * 1e3,
        Spread::of(create.clone()).median * 1e3,
    ));
    if let Some(before) = before {
        let grown = |way: usize| Spread::one(medians[way] / before[way]);
        table.row(
            &format!("clone, plan compiled, {fleet}"),
            Target::AtMost(1.3),
            grown(0),
            "itself at 1 tenant",
        );
        if with_floor {
            table.row(
                "  its own pg_dump DDL",
                Target::None,
                grown(1),
                "itself at 1 tenant",
            );
        }
    }
    medians
}

fn migrations(table: &mut Table, bench: &mut Bench, count: usize) {
    let with_floor = bench.dump.is_some();
    let bench = std::cell::RefCell::new(bench);
    let mut ways: Vec<Way<'_>> = vec![
        Box::new(|| bench.borrow_mut().migrate()),
        Box::new(|| bench.borrow_mut().clone(true).0),
        Box::new(|| bench.borrow_mut().floor().0),
    ];
    let times = rounds(count, &mut ways);
    table.row(
        "the 40 migrations by diesel_migrations",
        Target::AtLeast(3.0),
        ratio(&times[0], &times[1]),
        "clone, plan compiled",
    );
    if with_floor {
        let against = "the template's own pg_dump DDL as one message";
        let seen = ratio(&times[0], &times[2]);
        table.row("  the same", Target::None, seen, against);
    }
}

/// Counted on the wire, from the second tenant on.
fn trips(table: &mut Table, server: &Server) {
    let proxy = proxy::Proxy::start(server.url());
    let pool = TenantPool::builder()
        .max_size(1)
        .without_listener()
        .build(&proxy.url(server.url()))
        .unwrap();
    let provisioner = Provisioner::new(pool);
    let create = |id: &str| {
        let new = NewTenant::new(id.parse().unwrap());
        provisioner.create(&new).unwrap();
    };
    create("first");
    create("second");
    let trips = proxy.trips(|| create("third"));
    let seen = Spread::one(trips as f64);
    table.row(
        "round trips of one create, with its checkout and its clean",
        Target::None,
        seen,
        "",
    );
}

/// What a claim takes, on loopback.
fn claims(table: &mut Table, server: &Server) {
    const CLAIMS: usize = 300;
    // Those who fill and those who claim are different processes.
    let process = || {
        let pool = TenantPool::builder().max_size(1).without_listener();
        Provisioner::new(pool.build(server.url()).unwrap())
    };
    process().keep_ready(CLAIMS + 1).unwrap();
    let mut bare = PgConnection::establish(server.url()).unwrap();
    for number in 0..=CLAIMS {
        let create = format!("CREATE SCHEMA waits{number}");
        bare.batch_execute(&create).unwrap();
    }
    settle(server.url());
    let provisioner = process();
    let timed = |work: &mut dyn FnMut()| {
        let begun = Instant::now();
        work();
        begun.elapsed().as_secs_f64() * 1e3
    };
    let (mut claims, mut renames): (Vec<f64>, Vec<f64>) = (0..=CLAIMS)
        .map(|number| {
            let new = NewTenant::new(format!("claim{number}").parse().unwrap());
            let rename = format!(
                "BEGIN; INSERT INTO boardinghouse.tenants (id, schema_name, display_name, status) \
                 VALUES ('bare{number}', 'bare{number}', 'bare', 'ready'); \
                 ALTER SCHEMA waits{number} RENAME TO bare{number}; COMMIT"
            );
            (
                timed(&mut || drop(provisioner.create(&new).unwrap())),
                timed(&mut || bare.batch_execute(&rename).unwrap()),
            )
        })
        .skip(1)
        .unzip();
    for (name, times, target) in [
        (
            "claim of a ready schema, with its row",
            &mut claims,
            Target::AtMost(10.0),
        ),
        (
            "  a row and a rename, in one message: nothing asked",
            &mut renames,
            Target::None,
        ),
    ] {
        times.sort_by(f64::total_cmp);
        let p99 = Spread {
            // All but one of a hundred take no longer.
            median: times[CLAIMS * 99 / 100 - 1],
            min: times[0],
            max: times[CLAIMS - 1],
        };
        table.row(&format!("{name}: p99, in ms"), target, p99, "");
        table.note(&format!("median {:.1} ms", times[CLAIMS / 2]));
    }
}
