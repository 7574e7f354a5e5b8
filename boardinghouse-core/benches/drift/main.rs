//! What it takes to compare a fleet with its template: `cargo bench -p boardinghouse-core --bench drift`.
//!
//! `BOARDINGHOUSE_BENCH_FLEET` says how many tenants of 11 tables there are (1000). The rival reads one tenant
//! at a time; it is measured on some tenants, and reckoned for all.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

use std::time::Instant;

use boardinghouse_core::{Drift, NewTenant, Provisioner, SchemaName, TenantPool, embedded::Server};
use diesel::{Connection, PgConnection, connection::SimpleConnection};
// Links the bundled libpq.
use pq_sys as _;

/// How many tenants the rival is measured on.
const SAMPLE: usize = 40;

fn template() -> String {
    let mut sql = "CREATE TYPE status AS ENUM ('new', 'done');\n".to_owned();
    for number in 0..10 {
        let parent = match number {
            0 => String::new(),
            _ => format!(" REFERENCES t{}", number - 1),
        };
        sql.push_str(&format!(
            "CREATE TABLE t{number} (id serial PRIMARY KEY, name text NOT NULL, amount numeric(10, 2)
                 CHECK (amount >= 0), created timestamptz NOT NULL DEFAULT now(), kind status NOT NULL
                 DEFAULT 'new', parent integer{parent}, more jsonb);
             CREATE INDEX ON t{number} (name);\n"
        ));
    }
    sql
}

fn main() {
    let fleet = std::env::var("BOARDINGHOUSE_BENCH_FLEET");
    let fleet: usize = fleet.map_or(1_000, |fleet| fleet.parse().unwrap());
    let server = Server::start().unwrap();
    let url = server.socket_url();
    let pool = TenantPool::builder().max_size(2).build(url).unwrap();
    let report = boardinghouse_core::Migrator::new(pool.clone())
        .init()
        .unwrap();
    assert!(report.is_success());
    let mut conn = PgConnection::establish(url).unwrap();
    conn.batch_execute(&format!(
        "SET search_path TO __template__; {}; RESET search_path",
        template()
    ))
    .unwrap();
    let provisioner = Provisioner::new(pool.clone());
    for number in 0..fleet {
        let new = NewTenant::new(format!("tenant-{number}").parse().unwrap());
        provisioner.create(&new).unwrap();
    }
    conn.batch_execute("VACUUM ANALYZE").unwrap();
    let drift = Drift::new(pool);
    for round in 0..5 {
        let begin = Instant::now();
        let report = drift.check().unwrap();
        let took = begin.elapsed();
        assert!(report.is_healthy() && report.tenants == fleet);
        println!("{fleet} tenants x 11 tables, round {round}: {took:.2?}");
    }
    let begin = Instant::now();
    for number in 0..SAMPLE.min(fleet) {
        let schema = SchemaName::parse(&format!("tenant_{number}")).unwrap();
        // In a transaction of its own, and read part by part.
        let plan = boardinghouse_core::Template::new(schema).without_data();
        plan.compile(&mut conn).unwrap();
    }
    let one = begin.elapsed() / u32::try_from(SAMPLE.min(fleet)).unwrap();
    let all = one * u32::try_from(fleet).unwrap();
    println!("one tenant at a time: {one:.2?} each, {all:.2?} for all");
}
