//! What a proven checkout costs: `cargo bench -p boardinghouse-core --bench checkout`.
//!
//! Every figure is a ratio to a rival that was measured in the same round, since machines are noisy.
//! `BOARDINGHOUSE_BENCH_ROUNDS` and `BOARDINGHOUSE_BENCH_ITERATIONS` size the run, and
//! `BOARDINGHOUSE_BENCH_ROWS=1,3` runs some of it.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

#[path = "../common/backend.rs"]
mod backend;
#[path = "../common/bare.rs"]
mod bare;
mod fleet;
mod latency;
mod load;
#[path = "../common/measure.rs"]
mod measure;
mod memory;
#[path = "../common/proxy.rs"]
mod proxy;
#[path = "../common/qualified.rs"]
mod qualified;
mod wire;
#[path = "../common/zipf.rs"]
mod zipf;

use boardinghouse_core::embedded::Server;
use measure::{Table, setting};
// Links the bundled libpq.
use pq_sys as _;

fn main() {
    let rows =
        std::env::var("BOARDINGHOUSE_BENCH_ROWS").unwrap_or_else(|_| "1,2,3,4,5,6,7,8".into());
    let wanted = |row: &str| rows.split(',').any(|one| one.trim() == row);
    let rounds = setting("BOARDINGHOUSE_BENCH_ROUNDS", 9).max(1);
    let iterations = setting("BOARDINGHOUSE_BENCH_ITERATIONS", 4_000).max(100);
    let server = Server::start().unwrap();
    println!(
        "PostgreSQL {}, {rounds} rounds; ratios: median (min - max)",
        server.version()
    );
    let mut table = Table::default();
    if ["1", "2", "3"].iter().any(|row| wanted(row)) {
        for (transport, url) in [("socket", server.socket_url()), ("loopback", server.url())] {
            latency::rows(&mut table, transport, url, &wanted, rounds, iterations);
        }
    }
    if wanted("4") || wanted("5") {
        load::alternating(&mut table, server.socket_url(), &wanted, rounds, iterations);
    }
    if wanted("6") {
        wire::row(&mut table, &server);
    }
    if wanted("8") {
        load::zipf(&mut table, server.socket_url(), rounds, iterations);
    }
    drop(server);
    if wanted("7") {
        memory::row(&mut table);
    }
    table.end();
}
