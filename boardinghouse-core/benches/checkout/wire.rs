//! Round trips, counted on the wire: row 6.

use boardinghouse_core::{TenantPool, embedded::Server};
use diesel::connection::SimpleConnection;

use crate::{
    fleet::{self, select},
    measure::{Spread, Table, Target},
    proxy::Proxy,
};

pub(crate) fn row(table: &mut Table, server: &Server) {
    let tenants = fleet::make(server.url(), 2, 2);
    let proxy = Proxy::start(server.url());
    let url = proxy.url(server.url());
    let pool = TenantPool::builder()
        .max_size(1)
        .without_listener()
        .registry_ttl(std::time::Duration::from_secs(3600))
        .build(&url)
        .unwrap();
    let plain =
        |tenant: usize| proxy.trips(|| select(&mut pool.get(&tenants[tenant]).unwrap(), 1)) - 1;
    let text = |tenant: usize| {
        let work = || {
            let mut conn = pool.get(&tenants[tenant]).unwrap();
            conn.batch_execute("SELECT 1").unwrap();
        };
        proxy.trips(work) - 1
    };
    let first = plain(0);
    // The second time nothing is looked up or prepared any more.
    for tenant in [1, 0, 0, 1, 1] {
        plain(tenant);
    }
    let (switch, hit) = (plain(0), plain(0));
    let switch_after_clean = (text(1), plain(0)).1;
    let cleaned = text(1);
    let seen = |count: usize| Spread::one(count as f64);
    let name = |what: &str| format!("6 round trips of a checkout, counted on the wire: {what}");
    table.row(
        &name("switch, plain selects"),
        Target::AtMost(1.0),
        seen(switch),
        "",
    );
    table.row(
        &name("hit, plain selects"),
        Target::AtMost(1.0),
        seen(hit),
        "",
    );
    table.row(
        &name("after a clean"),
        Target::AtMost(1.0),
        seen(switch_after_clean),
        "",
    );
    table.row(
        &name("anything else"),
        Target::AtMost(2.0),
        seen(cleaned),
        "",
    );
    table.note(&format!(
        "a tenant's first checkout in the pool, with the connection's start: {first}"
    ));
}
