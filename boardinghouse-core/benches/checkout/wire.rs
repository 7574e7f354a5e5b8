//! Round trips, counted on the wire: row 6.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use boardinghouse_core::{TenantPool, embedded::Server};
use diesel::connection::SimpleConnection;

use crate::{
    fleet::{self, select},
    measure::{Spread, Table, Target},
};

/// Passes bytes on between clients and the server, and counts the client's messages that the server
/// answers with ReadyForQuery: Query and Sync (PostgreSQL manual, 55.7 "Message Formats").
struct Proxy {
    port: u16,
    trips: Arc<AtomicUsize>,
}

impl Proxy {
    fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let trips = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&trips);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else {
                    return;
                };
                let (from_client, to_client) = (client.try_clone().unwrap(), client);
                let (from_server, to_server) = (server.try_clone().unwrap(), server);
                let counter = Arc::clone(&counter);
                std::thread::spawn(move || forward(from_client, to_server, Some(&counter)));
                std::thread::spawn(move || forward(from_server, to_client, None));
            }
        });
        Self { port, trips }
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, counter: Option<&AtomicUsize>) {
    let _ = (from.set_nodelay(true), to.set_nodelay(true));
    let mut buffer = vec![0; 65_536];
    let mut pending = Vec::new();
    // The first message of a client has no type.
    let mut started = false;
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if let Some(counter) = counter {
            pending.extend_from_slice(&buffer[..length]);
            loop {
                let head = if started { 1 } else { 0 };
                let Some(size) = pending.get(head..head + 4) else {
                    break;
                };
                let size = u32::from_be_bytes(size.try_into().unwrap()) as usize + head;
                if pending.len() < size {
                    break;
                }
                if started && matches!(pending[0], b'Q' | b'S') {
                    counter.fetch_add(1, Ordering::SeqCst);
                }
                // A request for encryption is answered before the real start.
                started |= size != 8;
                pending.drain(..size);
            }
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

pub(crate) fn row(table: &mut Table, server: &Server) {
    let tenants = fleet::make(server.url(), 2, 2);
    let address = server.url().split('@').nth(1).unwrap();
    let port = address
        .split(['/', '?'])
        .next()
        .unwrap()
        .rsplit(':')
        .next()
        .unwrap();
    let proxy = Proxy::start(port.parse().unwrap());
    let url = server
        .url()
        .replace(&format!(":{port}"), &format!(":{}", proxy.port));
    let pool = TenantPool::builder()
        .max_size(1)
        .without_listener()
        .registry_ttl(std::time::Duration::from_secs(3600))
        .build(&url)
        .unwrap();
    let trips = |work: &dyn Fn()| {
        let before = proxy.trips.load(Ordering::SeqCst);
        work();
        proxy.trips.load(Ordering::SeqCst) - before
    };
    let plain = |tenant: usize| trips(&|| select(&mut pool.get(&tenants[tenant]).unwrap(), 1)) - 1;
    let text = |tenant: usize| {
        let work = || {
            let mut conn = pool.get(&tenants[tenant]).unwrap();
            conn.batch_execute("SELECT 1").unwrap();
        };
        trips(&work) - 1
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
