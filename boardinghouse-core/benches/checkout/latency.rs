//! What one checkout takes: rows 1 to 3.

use std::time::{Duration, Instant};

use boardinghouse_core::TenantPool;
use diesel::{
    Connection as _, PgConnection, RunQueryDsl as _,
    connection::SimpleConnection,
    dsl::sql,
    sql_types::{Integer, Oid},
};

use crate::{
    fleet::{self, naive, plain, select, set_path},
    measure::{Table, Target, Way, ratio, rounds},
    qualified::Qualified,
};

/// How long `work` takes for so many turns.
fn all(iterations: usize, mut work: impl FnMut(usize)) -> Duration {
    let started = Instant::now();
    (0..iterations).for_each(&mut work);
    started.elapsed()
}

/// How long `get` takes, without the drop of what it gives.
fn without_drop<T>(iterations: usize, mut get: impl FnMut(usize) -> T) -> Duration {
    (0..iterations)
        .map(|turn| {
            let started = Instant::now();
            let got = get(turn);
            let took = started.elapsed();
            drop(got);
            took
        })
        .sum()
}

pub(crate) fn rows(
    table: &mut Table,
    transport: &str,
    url: &str,
    wanted: &dyn Fn(&str) -> bool,
    count: usize,
    iterations: usize,
) {
    let tenants = fleet::make(url, 100, 2);
    let ours = TenantPool::builder().max_size(1).build(url).unwrap();
    let rival = plain(url, 1);
    let paths: Vec<String> = tenants.iter().map(set_path).collect();
    let mut bare = PgConnection::establish(url).unwrap();
    let (n, rival, ours, tenants, paths) = (iterations, &rival, &ours, &tenants, &paths);

    if wanted("1") {
        let mut ways: Vec<Way<'_>> = vec![
            Box::new(|| without_drop(n, |_| rival.get().unwrap())),
            Box::new(|| without_drop(n, |i| ours.get(&tenants[i % 2]).unwrap())),
            Box::new(|| without_drop(n, |i| ours.get(&tenants[i % 100]).unwrap())),
            Box::new(|| without_drop(n, |i| bare.batch_execute(&paths[i % 2]).unwrap())),
        ];
        let times = rounds(count, &mut ways);
        let name = |what: &str| format!("1 {transport}: get, tenant changes every time, {what}");
        let against = "r2d2 get() with its ping";
        let (two, hundred) = (ratio(&times[1], &times[0]), ratio(&times[2], &times[0]));
        table.row(&name("2 tenants"), Target::AtMost(1.5), two, against);
        table.row(&name("100 tenants"), Target::None, hundred, against);
        let set = ratio(&times[3], &times[0]);
        let name = format!("  {transport}: SET search_path alone, no pool, no proof");
        table.row(&name, Target::None, set, against);
    }
    if wanted("2") {
        let work = "SELECT 1";
        let mut ways: Vec<Way<'_>> = vec![
            Box::new(|| {
                all(n, |i| {
                    naive(rival, &paths[i % 2]).batch_execute(work).unwrap()
                })
            }),
            Box::new(|| {
                all(n, |i| {
                    ours.get(&tenants[i % 2])
                        .unwrap()
                        .batch_execute(work)
                        .unwrap();
                })
            }),
            Box::new(|| all(n, |i| drop(naive(rival, &paths[i % 2])))),
            Box::new(|| all(n, |i| drop(ours.get(&tenants[i % 2]).unwrap()))),
        ];
        let times = rounds(count, &mut ways);
        let against = "r2d2 get() with ping + SET, same work, no clean";
        let name = format!("2 {transport}: get to drop, fully cleaned, SELECT 1 as text between");
        table.row(
            &name,
            Target::AtMost(1.3),
            ratio(&times[1], &times[0]),
            against,
        );
        let name = format!("2 {transport}: get to drop, nothing between, so no clean");
        table.row(&name, Target::None, ratio(&times[3], &times[2]), against);
    }
    if wanted("3") {
        drop(naive(rival, &paths[0]));
        // What a hit asks: whether the path still leads to the schema.
        bare.batch_execute(&paths[0]).unwrap();
        let oid = sql::<Oid>("'notes'::pg_catalog.regclass::pg_catalog.oid");
        let oid: u32 = diesel::select(oid).get_result(&mut bare).unwrap();
        let question =
            format!("SELECT WHERE pg_catalog.pg_table_is_visible('{oid}'::pg_catalog.oid)");
        let question = Qualified::<i32, Integer, Integer>::new(&question, None);
        let mut ways: Vec<Way<'_>> = vec![
            Box::new(|| all(n, |i| select(&mut rival.get().unwrap(), i))),
            Box::new(|| all(n, |i| select(&mut ours.get(&tenants[0]).unwrap(), i))),
            Box::new(|| {
                all(n, |i| {
                    bare.execute_returning_count(&question).unwrap();
                    select(&mut bare, i);
                })
            }),
        ];
        let times = rounds(count, &mut ways);
        let name = format!("3 {transport}: affinity hit + one indexed select, get to drop");
        let against = "r2d2 get() with ping + the same select";
        table.row(
            &name,
            Target::AtMost(1.0),
            ratio(&times[1], &times[0]),
            against,
        );
        let name = format!("  {transport}: the question and the select alone, no pool");
        table.row(&name, Target::None, ratio(&times[2], &times[0]), against);
    }
}
