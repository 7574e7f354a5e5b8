//! What the server's processes hold after thousands of tenants: row 7.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use boardinghouse_core::{Tenant, TenantPool, embedded::Server};
use diesel::{connection::SimpleConnection, prelude::*};

use crate::{
    fleet::{self, naive, plain, select, set_path},
    measure::{Spread, Table, Target, setting},
};

const CONNECTIONS: u32 = 8;
const TABLES: usize = 11;

pub(crate) fn row(table: &mut Table) {
    let count = setting("BOARDINGHOUSE_BENCH_TENANTS", 4_000);
    let requests = count * 6;
    let server = Server::builder()
        .setting("max_locks_per_transaction", "256")
        .setting("fsync", "off")
        .start()
        .unwrap();
    let url = server.socket_url();
    let tenants = fleet::make(url, count, TABLES - 1);
    // The same draws for all.
    let draw = |turn: usize| (turn.wrapping_mul(2_654_435_761) >> 7) % count;

    let rival = plain(url, CONNECTIONS);
    let paths: Vec<String> = tenants.iter().map(set_path).collect();
    each(requests, |turn| {
        select(&mut naive(&rival, &paths[draw(turn)]), turn)
    });
    let pids: Vec<i32> = {
        let mut all: Vec<_> = (0..CONNECTIONS).map(|_| rival.get().unwrap()).collect();
        all.iter_mut().map(pid).collect()
    };
    let rivals = sum(&pids);
    drop(rival);

    let default = run(url, &tenants, requests, &draw, None);
    let name = format!(
        "7 {CONNECTIONS} connections, {count} tenants x {TABLES} tables, {requests} requests: MB"
    );
    let against = format!("plain r2d2 + SET: {rivals:.0} MB");
    table.row(
        &name,
        Target::AtMost(100.0),
        Spread::one(default.megabytes),
        &against,
    );
    table.row(
        "7 the same: reconnects, in % of requests",
        Target::AtMost(0.5),
        Spread::one(default.reconnects),
        "",
    );
    for most in [100, 250, 500, 1_000] {
        let seen = run(url, &tenants, requests, &draw, Some(most));
        table.note(&format!(
            "max_tenants_per_connection {most:>5}: {:>4.0} MB, {:.2} % reconnects, {:>6.0} requests/s, \
             estimate {:.0} MB",
            seen.megabytes, seen.reconnects, seen.a_second, seen.estimate
        ));
    }
}

struct Seen {
    megabytes: f64,
    reconnects: f64,
    a_second: f64,
    estimate: f64,
}

fn run(
    url: &str,
    tenants: &[Tenant],
    requests: usize,
    draw: &(impl Fn(usize) -> usize + Sync),
    most: Option<usize>,
) -> Seen {
    let mut builder = TenantPool::builder().max_size(CONNECTIONS);
    if let Some(most) = most {
        builder = builder.max_tenants_per_connection(most);
    }
    let pool = builder.build(url).unwrap();
    let started = Instant::now();
    each(requests, |turn| {
        select(&mut pool.get(&tenants[draw(turn)]).unwrap(), turn)
    });
    let took = started.elapsed();
    let counters = pool.state().counters;
    // One table is read of each tenant, and looked at by the proof another.
    let estimate: usize = pool
        .loads()
        .iter()
        .map(|load| load.estimated_bytes(2))
        .sum();
    let pids: Vec<i32> = {
        let mut all: Vec<_> = (0..CONNECTIONS)
            .map(|_| pool.get_shared().unwrap())
            .collect();
        all.iter_mut().map(pid).collect()
    };
    Seen {
        megabytes: sum(&pids),
        reconnects: 100.0 * (counters.recycled + counters.closed_on_doubt) as f64 / requests as f64,
        a_second: requests as f64 / took.as_secs_f64(),
        estimate: estimate as f64 / 1e6,
    }
}

/// From four threads, for so many turns.
fn each(requests: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    if turn >= requests {
                        break;
                    }
                    work(turn);
                }
            });
        }
    });
}

fn pid<C>(conn: &mut C) -> i32
where
    C: Connection<Backend = diesel::pg::Pg> + diesel::connection::LoadConnection + SimpleConnection,
{
    let pid = diesel::dsl::sql::<diesel::sql_types::Integer>("pg_backend_pid()");
    diesel::select(pid).get_result(conn).unwrap()
}

fn sum(pids: &[i32]) -> f64 {
    pids.iter().filter_map(|pid| own_memory(*pid)).sum()
}

/// The memory of its own that one of them has, in megabytes.
fn own_memory(pid: i32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1024.0)
}
