//! What a request costs: `cargo bench -p boardinghouse-actix --bench http`.
//!
//! `/notes` of the example `saas` through [`Tenancy`], beside the same handler on a plain r2d2 pool without
//! tenants, round by round in the same run. Client and servers share the machine with PostgreSQL.
//! `BOARDINGHOUSE_BENCH_ROUNDS` and `BOARDINGHOUSE_BENCH_ITERATIONS` size the run, `--quick` makes it short.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

mod app;
#[path = "../../../boardinghouse-core/benches/common/backend.rs"]
mod backend;
#[path = "../../../boardinghouse-core/benches/common/bare.rs"]
mod bare;
mod client;
mod count;
#[path = "../../../boardinghouse-core/benches/common/measure.rs"]
mod measure;
#[path = "../../../boardinghouse-core/benches/common/qualified.rs"]
mod qualified;
#[path = "../../examples/saas/schema.rs"]
mod schema;
#[path = "../../../boardinghouse-core/benches/common/zipf.rs"]
mod zipf;

use std::{
    cell::RefCell,
    thread,
    time::{Duration, Instant},
};

use boardinghouse_actix::{HostTable, PathPrefix, Subdomain, Tenancy};
use boardinghouse_core::{
    Migrator, NewTenant, PgRegistry, Provisioner, TenantId, TenantPool, embedded::Server,
};
use diesel::{connection::SimpleConnection, prelude::*, r2d2::CustomizeConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};
// Links the bundled libpq.
use pq_sys as _;

use crate::{
    app::{Plain, Served, with_tenants, without_tenants},
    client::{Client, Load, get, percentile},
    measure::{Spread, Table, Target, Way, ratio, rounds, setting},
    zipf::Zipf,
};

const SHARED: EmbeddedMigrations = embed_migrations!("examples/saas/migrations/shared");
const TENANT: EmbeddedMigrations = embed_migrations!("examples/saas/migrations/tenant");

const TENANTS: usize = 100;
/// Of the client to a server, and of a pool to PostgreSQL.
const CONNECTIONS: u32 = 8;
const SLOW: u32 = 200;

/// The notes of each tenant, and of the rival.
const NOTES: &str = "INSERT INTO notes (body, author_id) \
    SELECT current_schema() || ' note ' || n, 1 + n % 2 FROM generate_series(1, 10) AS n; ANALYZE notes";

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (most, requests) = if quick { (3, 800) } else { (15, 8_000) };
    let count = setting("BOARDINGHOUSE_BENCH_ROUNDS", most).max(1);
    let turns = setting("BOARDINGHOUSE_BENCH_ITERATIONS", requests).max(100);
    let server = Server::builder()
        .setting("max_connections", "60")
        .start()
        .unwrap();
    println!(
        "PostgreSQL {}, {count} rounds of {turns} requests; ratios: median (min - max)",
        server.version()
    );
    let ours = ours(&server);
    let rival = rival(&server);
    let by_name = without_tenants(plain(server.url()));
    let by_path = without_tenants(proven(server.url()));
    let mut table = Table::default();
    let requests = Requests::new();
    let served = [&ours, &rival, &by_name, &by_path];
    throughput(&mut table, &requests, served, count, turns);
    drop((rival, by_name, by_path));
    queries(&mut table, &requests, &server, turns);
    slow(
        &mut table,
        &requests,
        &server,
        if quick { 200 } else { 2_000 },
    );
    table.end();
}

/// What is asked for, by whom it is.
struct Requests {
    zipf: Zipf,
    texts: Vec<String>,
    /// The same of those who have no `Tenancy`.
    by_name: Vec<String>,
    by_path: Vec<String>,
    /// What the answer must hold.
    marks: Vec<String>,
}

impl Requests {
    fn new() -> Self {
        let texts = |path| {
            (0..TENANTS)
                .map(|n| get(&format!("t{n}.localhost"), path))
                .collect()
        };
        Self {
            zipf: Zipf::new(TENANTS),
            texts: texts("/notes"),
            by_name: texts("/qualified"),
            by_path: texts("/path"),
            marks: (0..TENANTS)
                .map(|n| {
                    format!("{{\"tenant\":\"t{n}\",\"notes\":[{{\"id\":1,\"body\":\"t{n} note 1\"")
                })
                .collect(),
        }
    }

    /// Asks as the fleet is asked, and looks whether each got its own.
    fn to_tenants(&self, load: &mut Load, texts: &[String], turns: usize) -> Duration {
        load.run(
            turns,
            |turn| &texts[self.zipf.draw(turn)],
            |turn, body| assert!(body.starts_with(self.marks[self.zipf.draw(turn)].as_bytes())),
        )
    }

    /// Each tenant in turn, so often that as a rule each connection of the pool has seen each.
    fn warm_up(load: &mut Load, texts: &[String]) {
        let all = TENANTS * CONNECTIONS as usize * 10;
        load.run(all, |turn| &texts[turn % TENANTS], |_, _| ());
    }
}

fn pool(server: &Server) -> TenantPool {
    TenantPool::builder()
        .max_size(CONNECTIONS)
        .build(server.url())
        .unwrap()
}

/// The ways to a tenant that the example has.
fn tenancy(server: &Server) -> Tenancy {
    Tenancy::new(PgRegistry::new(pool(server)))
        .resolver(PathPrefix::new("/t"))
        .resolver(Subdomain::of("localhost").unwrap())
        .resolver(HostTable)
}

fn ours(server: &Server) -> Served {
    let pool = pool(server);
    let migrator = Migrator::new(pool.clone()).shared(SHARED).tenants(TENANT);
    migrator.run().unwrap().into_result().unwrap();
    let provisioner = Provisioner::new(pool.clone());
    for number in 0..TENANTS {
        let id: TenantId = format!("t{number}").parse().unwrap();
        let tenant = provisioner.create(&NewTenant::new(id)).unwrap();
        pool.get(&tenant).unwrap().batch_execute(NOTES).unwrap();
    }
    analyze(server.url());
    with_tenants(tenancy(server))
}

/// All tables in one schema of another database, and one pool.
fn rival(server: &Server) -> Served {
    let mut conn = PgConnection::establish(server.url()).unwrap();
    conn.batch_execute("CREATE DATABASE plain").unwrap();
    let url = server.database_url("plain");
    let mut conn = PgConnection::establish(&url).unwrap();
    conn.run_pending_migrations(SHARED).unwrap();
    conn.run_pending_migrations(TENANT).unwrap();
    conn.batch_execute(NOTES).unwrap();
    analyze(&url);
    without_tenants(plain(&url))
}

/// A pool that does not ping, whose connections have prepared what proves each tenant's path.
fn proven(url: &str) -> Plain {
    #[derive(Debug)]
    struct Prepare;

    impl CustomizeConnection<PgConnection, diesel::r2d2::Error> for Prepare {
        fn on_acquire(&self, conn: &mut PgConnection) -> Result<(), diesel::r2d2::Error> {
            let schemas: Vec<_> = (0..TENANTS).map(|n| format!("t{n}")).collect();
            bare::prepare(conn, &schemas);
            Ok(())
        }
    }

    let pool = Plain::builder()
        .max_size(CONNECTIONS)
        .test_on_check_out(false)
        .connection_customizer(Box::new(Prepare));
    pool.build(diesel::r2d2::ConnectionManager::new(url))
        .unwrap()
}

fn plain(url: &str) -> Plain {
    let manager = diesel::r2d2::ConnectionManager::new(url);
    let pool = Plain::builder().max_size(CONNECTIONS);
    pool.build(manager).unwrap()
}

/// Autovacuum would do it in the midst of a run, and every session would plan its statements anew.
fn analyze(url: &str) {
    let mut conn = PgConnection::establish(url).unwrap();
    conn.batch_execute("VACUUM ANALYZE").unwrap();
}

fn throughput(
    table: &mut Table,
    requests: &Requests,
    served: [&Served; 4],
    count: usize,
    turns: usize,
) {
    let connect = |to: &Served| Load::connect(to.at, CONNECTIONS as usize);
    // Who is not asked for five seconds hangs up.
    Requests::warm_up(&mut connect(served[2]), &requests.by_name);
    Requests::warm_up(&mut connect(served[3]), &requests.by_path);
    Requests::warm_up(&mut connect(served[0]), &requests.texts);
    let [mut to_ours, mut to_rival, mut by_name, mut by_path] = served.map(connect);
    let latencies = RefCell::new([Vec::new(), Vec::new()]);
    let note = |way: usize, load: &Load| {
        let both = [percentile(&load.took, 50), percentile(&load.took, 99)];
        latencies.borrow_mut()[way].push(both);
    };
    let mut ways: Vec<Way<'_>> = vec![
        Box::new(|| {
            let elapsed = requests.to_tenants(&mut to_ours, &requests.texts, turns);
            note(0, &to_ours);
            elapsed
        }),
        Box::new(|| {
            let is_there =
                |_: usize, body: &[u8]| assert!(body.starts_with(b"{\"tenant\":\"nobody\""));
            let same = |turn| requests.texts[requests.zipf.draw(turn)].as_str();
            let elapsed = to_rival.run(turns, same, is_there);
            note(1, &to_rival);
            elapsed
        }),
        Box::new(|| requests.to_tenants(&mut by_name, &requests.by_name, turns)),
        Box::new(|| requests.to_tenants(&mut by_path, &requests.by_path, turns)),
    ];
    let times = rounds(count, &mut ways);
    let cpu = |way: &mut Way<'_>| {
        let now = || [backend::cpu(), backend::cpu_of("self").unwrap_or_default()];
        let before = now();
        way();
        let after = now();
        [0, 1].map(|of| (after[of] - before[of]).as_secs_f64() * 1e6 / turns as f64)
    };
    let [with, without, by_name, by_path] = [0, 1, 2, 3].map(|way| cpu(&mut ways[way]));
    drop(ways);
    table.row(
        "1 requests/s of /notes, 100 tenants by Zipf, 8 connections",
        Target::AtLeast(0.90),
        // The inverse of time.
        ratio(&times[1], &times[0]),
        "the same handler on a plain r2d2 pool without tenants",
    );
    for (way, name) in [
        (
            2,
            "  by statements that name the schema: no Tenancy, no path, no proof",
        ),
        (
            3,
            "  by the path and the barest proof, without a ping: no Tenancy",
        ),
    ] {
        let against = "the same handler on a plain r2d2 pool without tenants";
        table.row(name, Target::None, ratio(&times[1], &times[way]), against);
    }
    let per_second = |way: usize| turns as f64 / Spread::of(times[way].clone()).median;
    table.note(&format!(
        "{:.0} requests/s against {:.0}; {:.0} by name of the schema, {:.0} by the path",
        per_second(0),
        per_second(1),
        per_second(2),
        per_second(3)
    ));
    for (of, whose) in [(0, "PostgreSQL"), (1, "servers and client")] {
        table.note(&format!(
            "CPU of {whose} a request: {:.0} us against {:.0}; {:.0} by name of the schema, {:.0} by the path",
            with[of], without[of], by_name[of], by_path[of]
        ));
    }
    for (way, name) in [(0, "through Tenancy"), (1, "without tenants")] {
        // Without that of warming up.
        let rounds = &latencies.borrow()[way][1..=count];
        let of = |which: usize| Spread::of(rounds.iter().map(|both| both[which]).collect());
        for (which, percent) in [(0, 50), (1, 99)] {
            let name = format!("  p{percent} {name}, ms");
            table.row(&name, Target::None, of(which), "");
        }
    }
}

/// How often the registry is asked once everything is warm.
fn queries(table: &mut Table, requests: &Requests, server: &Server, turns: usize) {
    let counted = count::queries();
    let served = with_tenants(tenancy(server));
    let mut load = Load::connect(served.at, CONNECTIONS as usize);
    Requests::warm_up(&mut load, &requests.texts);
    let before = counted.read();
    assert!(
        before.of_the_registry > 0,
        "the tenants were looked up once"
    );
    requests.to_tenants(&mut load, &requests.texts, turns);
    let after = counted.read();
    assert!(
        after.all - before.all >= turns * 2,
        "each request reads twice"
    );
    table.row(
        "2 queries of the registry in steady state, counted by Diesel",
        Target::AtMost(0.0),
        Spread::one((after.of_the_registry - before.of_the_registry) as f64),
        "",
    );
    table.note(&format!(
        "{turns} requests, {} queries; {} of the registry before",
        after.all - before.all,
        before.of_the_registry
    ));
    drop(served);
    counted.stop();
}

/// How fast `/healthz` is while every connection waits for a lock, and a thread for each other request.
fn slow(table: &mut Table, requests: &Requests, server: &Server, times: usize) {
    let tenancy = tenancy(server);
    let pool = tenancy.registry().pool().clone();
    let served = with_tenants(tenancy);
    // Looking a tenant up for the first time takes a connection, too.
    let mut load = Load::connect(served.at, CONNECTIONS as usize);
    Requests::warm_up(&mut load, &requests.texts);
    let mut lock = PgConnection::establish(server.url()).unwrap();
    lock.batch_execute("SELECT pg_advisory_lock(1)").unwrap();
    let took = thread::scope(|scope| {
        for number in 0..SLOW {
            let at = served.at;
            scope.spawn(move || {
                let request = get(&format!("t{}.localhost", number % 100), "/slow");
                assert_eq!(Client::connect(at).ask(&request), b"slow");
            });
        }
        // All others wait for a connection.
        while pool.state().waiting < SLOW - CONNECTIONS {
            thread::yield_now();
        }
        let mut client = Client::connect(served.at);
        let request = get("127.0.0.1", "/healthz");
        let took: Vec<_> = (0..times)
            .map(|_| {
                let started = Instant::now();
                assert_eq!(client.ask(&request), b"ok");
                started.elapsed()
            })
            .collect();
        lock.batch_execute("SELECT pg_advisory_unlock(1)").unwrap();
        took
    });
    table.row(
        "3 p99 of /healthz while 200 slow queries run, ms",
        Target::AtMost(50.0),
        Spread::one(percentile(&took, 99)),
        "",
    );
    table.note(&format!("p50 {:.2} ms, of {times}", percentile(&took, 50)));
}
