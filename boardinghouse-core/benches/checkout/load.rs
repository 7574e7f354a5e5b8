//! What a pool does under load: rows 4, 5 and 8.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use boardinghouse_core::TenantPool;
use diesel::{Connection as _, PgConnection};

use crate::{
    backend, bare,
    fleet::{self, five_by_text, five_selects, five_texts, naive, plain, select, set_path},
    measure::{Spread, Table, Target, Way, ratio, rounds},
    zipf::Zipf,
};

/// Runs `work` for so many turns, shared by so many threads.
fn threads(count: usize, turns: usize, work: impl Fn(usize) + Sync) -> Duration {
    let next = AtomicUsize::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    if turn >= turns {
                        break;
                    }
                    work(turn);
                }
            });
        }
    });
    started.elapsed()
}

pub(crate) fn alternating(
    table: &mut Table,
    url: &str,
    wanted: &dyn Fn(&str) -> bool,
    count: usize,
    iterations: usize,
) {
    const CONNECTIONS: u32 = 8;
    // As many as connections, so that all are in use.
    const THREADS: usize = 8;
    let tenants = fleet::make(url, 100, 2);
    let build = || {
        TenantPool::builder()
            .max_size(CONNECTIONS)
            .build(url)
            .unwrap()
    };
    let (ours, same) = (build(), build());
    let rival = plain(url, CONNECTIONS);
    let paths: Vec<String> = tenants.iter().map(set_path).collect();
    let schemas: Vec<_> = tenants.iter().map(|t| t.schema().to_string()).collect();
    let texts = |by_path| -> Vec<_> {
        let of = |schema: &String| five_texts(schema, by_path);
        schemas.iter().map(of).collect()
    };
    let [by_name, by_path] = [false, true].map(texts);
    // One a thread, without any pool.
    let floor: Vec<_> = (0..THREADS)
        .map(|_| Mutex::new(PgConnection::establish(url).unwrap()))
        .collect();
    for conn in &floor {
        let mut conn = conn.lock().unwrap();
        bare::prepare(&mut conn, &schemas);
        for (tenant, schema) in schemas.iter().enumerate() {
            five_by_text(&mut conn, &by_name[tenant], 1);
            bare::bind(&mut conn, schema).unwrap();
            five_by_text(&mut conn, &by_path[tenant], 1);
        }
    }
    // By preference always the same for a tenant; there are as many as threads.
    let lock = |tenant: usize| {
        let mut all = floor.iter().cycle().skip(tenant % floor.len());
        all.find_map(|one| one.try_lock().ok()).unwrap()
    };
    let name = |turn: usize, tenant: usize| {
        five_by_text(&mut lock(tenant), &by_name[tenant], turn);
    };
    let path = |turn: usize, tenant: usize| {
        let mut conn = lock(tenant);
        bare::bind(&mut conn, &schemas[tenant]).unwrap();
        five_by_text(&mut conn, &by_path[tenant], turn);
    };
    // Every connection has seen every tenant.
    for pool in [&ours, &same] {
        for tenant in &tenants {
            let mut all: Vec<_> = (0..CONNECTIONS)
                .map(|_| pool.get(tenant).unwrap())
                .collect();
            all.iter_mut().for_each(|conn| five_selects(conn, 1));
        }
    }
    let n = iterations;
    let mut ways: Vec<Way<'_>> = vec![
        Box::new(|| {
            threads(THREADS, n, |i| {
                five_selects(&mut ours.get(&tenants[i % 100]).unwrap(), i);
            })
        }),
        Box::new(|| {
            threads(THREADS, n, |i| {
                five_selects(&mut same.get(&tenants[0]).unwrap(), i);
            })
        }),
        Box::new(|| {
            threads(THREADS, n, |i| {
                five_selects(&mut naive(&rival, &paths[i % 100]), i);
            })
        }),
        Box::new(|| threads(THREADS, n, |i| name(i, i % 100))),
        Box::new(|| threads(THREADS, n, |i| name(i, 0))),
        Box::new(|| threads(THREADS, n, |i| path(i, i % 100))),
    ];
    let times = rounds(count, &mut ways);
    let mut cpu = |way: usize| {
        let before = backend::cpu();
        ways[way]();
        (backend::cpu() - before).as_secs_f64() * 1e6 / n as f64
    };
    let [alternating, same, plain] = [cpu(0), cpu(1), cpu(2)];
    if wanted("4") {
        table.row(
            "4 checkout + 5 selects, 100 tenants alternating on 8 connections",
            Target::AtMost(1.15),
            ratio(&times[0], &times[1]),
            "the same, always the same tenant",
        );
        table.row(
            "  the selects alone, which name the schema: no checkout, no path",
            Target::None,
            ratio(&times[3], &times[4]),
            "the same, always the same tenant",
        );
        table.row(
            "  the path, the barest proof and the selects: no pool",
            Target::None,
            ratio(&times[5], &times[1]),
            "checkout + 5 selects, always the same tenant",
        );
    }
    if wanted("5") {
        table.row(
            "5 the same",
            Target::AtMost(0.65),
            ratio(&times[0], &times[2]),
            "plain PgConnection + SET, tenants alternating",
        );
        table.row(
            "  the selects alone, which name the schema: no checkout, no path",
            Target::None,
            ratio(&times[3], &times[2]),
            "plain PgConnection + SET, tenants alternating",
        );
        table.row(
            "  the path, the barest proof and the selects: no pool",
            Target::None,
            ratio(&times[5], &times[2]),
            "plain PgConnection + SET, tenants alternating",
        );
    }
    table.note(&format!(
        "CPU of the server an operation: alternating {alternating:.0} us, same tenant {same:.0} us, \
         plain {plain:.0} us"
    ));
}

pub(crate) fn zipf(table: &mut Table, url: &str, count: usize, iterations: usize) {
    const CONNECTIONS: u32 = 16;
    const THREADS: usize = 8;
    let tenants = fleet::make(url, 100, 2);
    let paths: Vec<String> = tenants.iter().map(set_path).collect();
    let n = iterations;
    for hot in [10, 100] {
        let zipf = Zipf::new(hot);
        let ours = TenantPool::builder()
            .max_size(CONNECTIONS)
            .build(url)
            .unwrap();
        let rival = plain(url, CONNECTIONS);
        let mut ways: Vec<Way<'_>> = vec![
            Box::new(|| {
                threads(THREADS, n, |i| {
                    select(&mut ours.get(&tenants[zipf.draw(i)]).unwrap(), i);
                })
            }),
            Box::new(|| {
                threads(THREADS, n, |i| {
                    select(&mut naive(&rival, &paths[zipf.draw(i)]), i);
                })
            }),
            Box::new(|| {
                threads(THREADS, n, |i| {
                    five_selects(&mut ours.get(&tenants[zipf.draw(i)]).unwrap(), i);
                })
            }),
            Box::new(|| {
                threads(THREADS, n, |i| {
                    five_selects(&mut naive(&rival, &paths[zipf.draw(i)]), i);
                })
            }),
        ];
        let before = ours.state().counters;
        let times = rounds(count, &mut ways);
        let after = ours.state().counters;
        // Requests a second: the inverse of time.
        let gain = |own: usize, rival: usize| ratio(&times[rival], &times[own]);
        let against = "LIFO r2d2 pool, ping + SET at every checkout";
        let name = |what: &str| format!("8 Zipf, 8 threads, 16 connections, {hot} tenants, {what}");
        table.row(
            &name("requests/s"),
            Target::AtLeast(1.2),
            gain(0, 1),
            against,
        );
        table.row(&name("5 selects"), Target::None, gain(2, 3), against);
        let per_second = |way: usize| n as f64 / Spread::of(times[way].clone()).median;
        table.note(&format!(
            "{:.0} requests/s against {:.0}; {:.0} % of checkouts were hits",
            per_second(0),
            per_second(1),
            100.0 * (after.hits - before.hits) as f64 / (after.gets - before.gets) as f64,
        ));
    }
}
