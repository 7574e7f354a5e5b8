//! What requests feel while the fleet is migrated.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use boardinghouse_core::{Limit, PgRegistry, Selection, Tenant, TenantFilter, TenantPool};
use diesel::prelude::*;

use crate::{
    Bench, SOME,
    measure::{Spread, Table, Target},
    well,
};

diesel::table! {
    t0 { id -> Integer, name -> Text }
}

/// How many tenants have requests.
const HOT: usize = 50;
const CLIENTS: usize = 2;
/// How many requests the figure without a migration is of.
const IDLE: usize = 20_000;

/// The 99th percentile of requests, in milliseconds, that are made until `stop`.
fn p99(pool: &TenantPool, tenants: &[Tenant], stop: impl Fn(usize) -> bool + Sync) -> f64 {
    let made = AtomicUsize::new(0);
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let mut times = Vec::new();
                    loop {
                        let number = made.fetch_add(1, Ordering::Relaxed);
                        if stop(number) {
                            return times;
                        }
                        let begun = Instant::now();
                        let mut conn = pool.get(&tenants[number % tenants.len()]).unwrap();
                        let _: Vec<(i32, String)> = t0::table
                            .limit(10)
                            .select((t0::id, t0::name))
                            .load(&mut conn)
                            .unwrap();
                        drop(conn);
                        times.push(begun.elapsed());
                    }
                })
            })
            .collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    });
    times.sort_unstable();
    times[times.len() * 99 / 100].as_secs_f64() * 1e3
}

pub(crate) fn while_migrating(bench: &mut Bench, table: &mut Table) {
    let pool = TenantPool::builder().max_size(4).build(&bench.url).unwrap();
    let mut tenants = PgRegistry::new(pool.clone()).list().unwrap();
    tenants.truncate(HOT);
    let idle = p99(&pool, &tenants, |number| number >= IDLE);
    table.note(&format!(
        "p99 of {HOT} tenants without a migration: {idle:.2} ms"
    ));
    for (name, pause, target) in [
        (
            "more p99 in ms while migrating, paced by 20 ms",
            20,
            Target::AtMost(5.0),
        ),
        ("the same, not paced", 0, Target::None),
    ] {
        bench.fleet.add_column();
        let some = Selection::Matching(TenantFilter::new().limit(Limit::Count(SOME)));
        let migrator = bench.migrator().jobs(1).pace(Duration::from_millis(pause));
        let over = AtomicBool::new(false);
        let p99 = std::thread::scope(|scope| {
            let migration = scope.spawn(|| {
                well(&migrator.run_selected(&some).unwrap());
                over.store(true, Ordering::Relaxed);
            });
            let p99 = p99(&pool, &tenants, |_| over.load(Ordering::Relaxed));
            migration.join().unwrap();
            p99
        });
        table.row(name, target, Spread::one(p99 - idle), "no migration");
    }
}
