//! A client that sends exactly what it is told to.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// No test waits for this long unless something hangs.
const DEADLINE: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
    lines: Vec<(String, String)>,
}

pub(crate) fn send(to: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
        lines: head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    }
}

/// A GET with these headers, each a line without its end.
pub(crate) fn get_with(to: SocketAddr, target: &str, headers: &[&str]) -> Answer {
    let mut request = format!("GET {target} HTTP/1.1\r\nConnection: close\r\n");
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    send(to, &format!("{request}\r\n"))
}

/// A POST for a host.
pub(crate) fn post(to: SocketAddr, host: &str, target: &str, body: &str) -> Answer {
    let length = body.len();
    send(
        to,
        &format!(
            "POST {target} HTTP/1.1\r\nConnection: close\r\nHost: {host}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ),
    )
}

/// A GET for a host.
pub(crate) fn get(to: SocketAddr, host: &str, target: &str) -> Answer {
    get_with(to, target, &[&format!("Host: {host}")])
}

/// Asks until the answer has this status, as one that depends on what the server must first hear of does.
#[track_caller]
pub(crate) fn until(status: u16, ask: impl Fn() -> Answer) -> Answer {
    let start = Instant::now();
    loop {
        let answer = ask();
        if answer.status == status {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "still {answer:?}");
        thread::yield_now();
    }
}

impl Answer {
    /// The value of a header, as it was sent.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.lines
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.clone())
    }

    #[track_caller]
    pub(crate) fn is(&self, status: u16, body: &str) {
        assert_eq!((self.status, self.body.as_str()), (status, body));
    }
}
