//! Counts round trips on the wire.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Passes bytes on between clients and the server, and counts the client's messages that the server
/// answers with ReadyForQuery: Query and Sync (PostgreSQL manual, 55.7 "Message Formats").
pub(crate) struct Proxy {
    port: u16,
    trips: Arc<AtomicUsize>,
}

impl Proxy {
    /// In front of the server of this URL.
    pub(crate) fn start(url: &str) -> Self {
        let server = port(url);
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

    /// The server's URL, by way of the proxy.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replace(&format!(":{}", port(url)), &format!(":{}", self.port))
    }

    /// How many round trips `work` takes.
    pub(crate) fn trips(&self, work: impl FnOnce()) -> usize {
        let before = self.trips.load(Ordering::SeqCst);
        work();
        self.trips.load(Ordering::SeqCst) - before
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

fn port(url: &str) -> u16 {
    let address = url.split('@').nth(1).unwrap();
    let address = address.split(['/', '?']).next().unwrap();
    address.rsplit(':').next().unwrap().parse().unwrap()
}
