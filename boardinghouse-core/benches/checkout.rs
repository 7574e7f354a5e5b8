//! What a proven checkout costs: `cargo bench -p boardinghouse-core`.
//!
//! Every figure is a ratio to a rival that was measured in the same round, since machines are noisy.
//! `BOARDINGHOUSE_BENCH_ROUNDS` and `BOARDINGHOUSE_BENCH_ITERATIONS` size the run.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench"
)]

use std::time::{Duration, Instant};

use boardinghouse_core::{Migrator, NewTenant, Provisioner, Tenant, TenantPool, embedded::Server};
use diesel::{
    connection::SimpleConnection,
    prelude::*,
    r2d2::{ConnectionManager, Pool},
};
use pq_sys as _;

diesel::table! {
    notes { id -> Integer, body -> Text }
}

type Plain = Pool<ConnectionManager<PgConnection>>;

/// What it is called, and the work; its argument counts the calls.
type Way<'a> = (&'static str, Box<dyn FnMut(usize) + 'a>);

/// The same work in several ways; the first is what the others are compared with.
struct Case<'a> {
    name: &'static str,
    ways: Vec<Way<'a>>,
}

fn main() {
    let server = Server::start().unwrap();
    println!(
        "PostgreSQL {}, one connection, two tenants that alternate",
        server.version()
    );
    println!(
        "{:<8} {:<26} {:<44} {:>9}  ratio: median (min - max)",
        "", "", "", "median"
    );
    for (transport, url) in [
        ("socket", server.socket_url().to_owned()),
        ("loopback", server.url().to_owned()),
    ] {
        let tenants = TenantPool::builder().max_size(1).build(&url).unwrap();
        let both = prepare(&tenants);
        let plain = Plain::builder()
            .max_size(1)
            .build(ConnectionManager::new(&url))
            .unwrap();
        for case in cases(&tenants, &both, &plain) {
            measure(transport, case);
        }
    }
}

/// Two tenants with a hundred notes each, and the same table for the rival.
fn prepare(pool: &TenantPool) -> [Tenant; 2] {
    let report = Migrator::new(pool.clone()).init().unwrap();
    report.into_result().unwrap();
    let table = "CREATE TABLE IF NOT EXISTS notes (id int PRIMARY KEY, body text NOT NULL);
                 INSERT INTO notes SELECT n, 'note ' || n FROM generate_series(1, 100) AS n
                 ON CONFLICT DO NOTHING";
    pool.get_shared().unwrap().batch_execute(table).unwrap();
    ["a", "b"].map(|id| {
        let registry = boardinghouse_core::PgRegistry::new(pool.clone());
        let id = id.parse().unwrap();
        let tenant = registry.find(&id).unwrap().unwrap_or_else(|| {
            Provisioner::new(pool.clone())
                .create(&NewTenant::new(id))
                .unwrap()
        });
        pool.get(&tenant).unwrap().batch_execute(table).unwrap();
        tenant
    })
}

fn cases<'a>(pool: &'a TenantPool, both: &'a [Tenant; 2], plain: &'a Plain) -> Vec<Case<'a>> {
    fn select<C>(conn: &mut C, i: usize)
    where
        C: Connection<Backend = diesel::pg::Pg> + diesel::connection::LoadConnection,
    {
        let id = i as i32 % 100 + 1;
        let body: String = notes::table
            .find(id)
            .select(notes::body)
            .first(conn)
            .unwrap();
        assert!(body.starts_with("note"));
    }
    let naive = |i: usize| {
        let mut conn = plain.get().unwrap();
        let path = [
            "SET search_path TO a, public",
            "SET search_path TO b, public",
        ];
        conn.batch_execute(path[i % 2]).unwrap();
        conn
    };
    vec![
        Case {
            name: "get to drop, no query",
            ways: vec![
                (
                    "r2d2 get() with its ping",
                    Box::new(|_| drop(plain.get().unwrap())),
                ),
                (
                    "r2d2 get() with its ping + SET, unproven",
                    Box::new(move |i| drop(naive(i))),
                ),
                (
                    "TenantPool: bind, prove, clean",
                    Box::new(|i| drop(pool.get(&both[i % 2]).unwrap())),
                ),
            ],
        },
        Case {
            name: "with one indexed select",
            ways: vec![
                (
                    "r2d2 get() with its ping",
                    Box::new(|i| select(&mut plain.get().unwrap(), i)),
                ),
                (
                    "r2d2 get() with its ping + SET, unproven",
                    Box::new(move |i| select(&mut naive(i), i)),
                ),
                (
                    "TenantPool: bind, prove, clean",
                    Box::new(|i| select(&mut pool.get(&both[i % 2]).unwrap(), i)),
                ),
            ],
        },
    ]
}

fn measure(transport: &str, mut case: Case<'_>) {
    let rounds = setting("BOARDINGHOUSE_BENCH_ROUNDS", 7).max(1);
    let iterations = setting("BOARDINGHOUSE_BENCH_ITERATIONS", 5_000).max(1);
    for (_, run) in &mut case.ways {
        (0..iterations / 10 + 10).for_each(run);
    }
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); case.ways.len()];
    for _ in 0..rounds {
        for (times, (_, run)) in times.iter_mut().zip(&mut case.ways) {
            let started = Instant::now();
            (0..iterations).for_each(run);
            times.push(started.elapsed() / u32::try_from(iterations).unwrap());
        }
    }
    for ((way, _), own) in case.ways.iter().zip(&times) {
        let mut ratios: Vec<f64> = own
            .iter()
            .zip(&times[0])
            .map(|(own, rival)| own.as_secs_f64() / rival.as_secs_f64())
            .collect();
        ratios.sort_by(f64::total_cmp);
        let mut sorted = own.clone();
        sorted.sort();
        println!(
            "{transport:<8} {:<26} {way:<44} {:>6.1} us  {:.2} ({:.2} - {:.2})",
            case.name,
            sorted[rounds / 2].as_secs_f64() * 1e6,
            ratios[rounds / 2],
            ratios[0],
            ratios[rounds - 1],
        );
    }
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}
