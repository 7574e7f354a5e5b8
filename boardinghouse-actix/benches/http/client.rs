//! A client that keeps its connection, and looks at each answer.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: BufReader::new(stream),
            line: String::new(),
            body: Vec::new(),
        }
    }

    /// Sends a request as it is; gives the body of the answer, which must be a 200.
    pub(crate) fn ask(&mut self, request: &str) -> &[u8] {
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let status = self.next_line().to_owned();
        assert!(status.starts_with("HTTP/1.1 200 "), "{status}");
        let mut length = None;
        loop {
            let line = self.next_line();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap();
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.trim().parse().unwrap());
            }
        }
        self.body.resize(length.unwrap(), 0);
        self.stream.read_exact(&mut self.body).unwrap();
        &self.body
    }

    fn next_line(&mut self) -> &str {
        self.line.clear();
        self.stream.read_line(&mut self.line).unwrap();
        self.line.trim_end()
    }
}

/// A GET for a host.
pub(crate) fn get(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n\r\n")
}

/// Clients that stay connected.
pub(crate) struct Load {
    clients: Vec<Client>,
    /// How long each answer took, in the order of what was asked for by each client.
    pub(crate) took: Vec<Duration>,
}

impl Load {
    pub(crate) fn connect(to: SocketAddr, connections: usize) -> Self {
        Self {
            clients: (0..connections).map(|_| Client::connect(to)).collect(),
            took: Vec::new(),
        }
    }

    /// Asks so often, all connections together, and checks each answer.
    pub(crate) fn run<'a>(
        &mut self,
        turns: usize,
        request: impl Fn(usize) -> &'a str + Sync,
        check: impl Fn(usize, &[u8]) + Sync,
    ) -> Duration {
        let next = AtomicUsize::new(0);
        let started = Instant::now();
        let took = thread::scope(|scope| {
            let threads: Vec<_> = self
                .clients
                .iter_mut()
                .map(|client| {
                    let (next, request, check) = (&next, &request, &check);
                    scope.spawn(move || {
                        let mut took = Vec::new();
                        loop {
                            let turn = next.fetch_add(1, Ordering::Relaxed);
                            if turn >= turns {
                                return took;
                            }
                            let started = Instant::now();
                            let body = client.ask(request(turn));
                            took.push(started.elapsed());
                            check(turn, body);
                        }
                    })
                })
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect()
        });
        let elapsed = started.elapsed();
        self.took = took;
        elapsed
    }
}

/// The least that so many percent of all took no longer than, in milliseconds.
pub(crate) fn percentile(took: &[Duration], percent: usize) -> f64 {
    let mut took = took.to_vec();
    took.sort();
    took[(took.len() * percent / 100).min(took.len() - 1)].as_secs_f64() * 1e3
}
