//! The examples, started as a user starts them, and asked what they say they can be asked.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

#[expect(dead_code, reason = "other tests use the rest of it")]
#[path = "http/client.rs"]
mod client;
#[expect(dead_code, reason = "other tests use the rest of it")]
#[path = "http/fixture.rs"]
mod fixture;

use std::{
    env,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

// Brings libpq.
use pq_sys as _;

use crate::{
    client::{get, get_with, send},
    fixture::EmptyDatabase,
};

/// An example that runs on a database of its own.
struct Example {
    at: SocketAddr,
    child: Child,
    _database: EmptyDatabase,
}

impl Example {
    fn start(name: &str) -> Self {
        let database = EmptyDatabase::new();
        let deps = env::current_exe().unwrap();
        let built = deps.ancestors().nth(2).unwrap().join("examples").join(name);
        let mut child = Command::new(&built)
            .env("DATABASE_URL", database.url())
            .env("BIND", "127.0.0.1:0")
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                let built = built.display();
                panic!("{built}: {error}; `cargo test` without `--test` builds it")
            });
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said: Vec<String> = lines
            .map(Result::unwrap)
            .take_while(|line| !line.starts_with("Ctrl-C"))
            .collect();
        let url = said
            .iter()
            .find_map(|line| line.trim().strip_prefix("http://127.0.0.1:"));
        let port = url
            .unwrap_or_else(|| panic!("{said:?}"))
            .split('/')
            .next()
            .unwrap();
        Self {
            at: format!("127.0.0.1:{port}").parse().unwrap(),
            child,
            _database: database,
        }
    }

    fn host(&self) -> String {
        self.at.to_string()
    }

    /// A form, as a browser sends it.
    fn post(&self, host: &str, target: &str, form: &str) -> client::Answer {
        let length = form.len();
        send(
            self.at,
            &format!(
                "POST {target} HTTP/1.1\r\nConnection: close\r\nHost: {host}\r\nAccept: text/html\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
            ),
        )
    }

    /// A page.
    fn page(&self, host: &str, target: &str) -> String {
        let host = format!("Host: {host}");
        let answer = get_with(self.at, target, &[&host, "Accept: text/html"]);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn saas_keeps_the_notes_of_its_tenants_apart() {
    let example = Example::start("saas");
    let (acme, globex) = ("acme.localhost", "globex.localhost");
    assert!(example.page(&example.host(), "/").contains("/t/acme/notes"));
    let answer = example.post(acme, "/notes", "body=only+here");
    assert_eq!(
        (answer.status, answer.header("location").as_deref()),
        (303, Some("/notes"))
    );
    assert!(example.page(acme, "/notes").contains("only here"));
    assert!(example.page("x", "/t/acme/notes").contains("only here"));
    assert!(!example.page(globex, "/notes").contains("only here"));
    get(example.at, "nobody.localhost", "/notes").is(404, "");
    get(example.at, "x", "/healthz").is(200, "ok\n");
}

#[test]
fn folders_has_a_main_site_and_gives_a_folder_to_who_signs_up() {
    let example = Example::start("folders");
    let host = example.host();
    let home = example.page(&host, "/");
    assert!(
        home.contains("We are open") && home.contains("Acme Inc."),
        "{home}"
    );
    assert!(example.page(&host, "/about").contains("<code>www</code>"));
    let answer = example.post(&host, "/signup", "id=hooli");
    assert_eq!(
        (answer.status, answer.header("location").as_deref()),
        (303, Some("/hooli/"))
    );
    let answer = example.post(&host, "/hooli/notes", "body=only+here");
    assert_eq!(
        (answer.status, answer.header("location").as_deref()),
        (303, Some("/hooli/"))
    );
    assert!(example.page(&host, "/hooli/").contains("only here"));
    assert!(!example.page(&host, "/acme/").contains("only here"));
    assert!(example.page(&host, "/").contains("hooli"));
    for taken in ["hooli", "www", "about", "public", "__template__", ""] {
        let answer = example.post(&host, "/signup", &format!("id={taken}"));
        assert_eq!(answer.status, 422, "{taken}: {answer:?}");
    }
    get(example.at, &host, "/nobody/").is(404, "");
    get(example.at, &host, "/acme/about").is(404, "");
}

/// What a browser keeps between requests, and what its pages hold.
struct Browser<'a> {
    example: &'a Example,
    cookie: std::cell::RefCell<String>,
}

impl Browser<'_> {
    fn ask(&self, method: &str, target: &str, form: &str) -> client::Answer {
        let (at, cookie) = (self.example.host(), self.cookie.borrow().clone());
        let answer = send(
            self.example.at,
            &format!(
                "{method} {target} HTTP/1.1\r\nConnection: close\r\nHost: {at}\r\nOrigin: http://{at}\r\n\
                 Accept: text/html\r\nCookie: {cookie}\r\nContent-Length: {}\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}",
                form.len()
            ),
        );
        if let Some(set) = answer.header("set-cookie") {
            *self.cookie.borrow_mut() = set.split(';').next().unwrap_or_default().to_owned();
        }
        answer
    }

    fn get(&self, target: &str) -> String {
        let answer = self.ask("GET", target, "");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// Fills in the form of a page, whose hidden field `name` comes along.
    fn submit(&self, page: &str, name: &str, target: &str, form: &str) -> client::Answer {
        let page = self.get(page);
        let marked = format!("name=\"{name}\" value=\"");
        let (_, rest) = page.split_once(&marked).unwrap_or_else(|| panic!("{page}"));
        let value = rest.split('"').next().unwrap();
        self.ask("POST", target, &format!("{name}={value}&{form}"))
    }
}

#[test]
fn members_log_in_and_switch_between_their_tenants() {
    let example = Example::start("members");
    let browser = Browser {
        example: &example,
        cookie: std::cell::RefCell::default(),
    };
    let sent_on = |answer: client::Answer, to: &str| {
        let location = answer.header("location");
        assert_eq!(
            (answer.status, location.as_deref()),
            (303, Some(to)),
            "{answer:?}"
        );
    };
    sent_on(
        browser.submit("/", "tenant_form", "/login", "name=ada"),
        "/",
    );
    let menu = browser.get("/");
    assert!(
        menu.contains("Acme Inc.") && menu.contains("Globex Corporation"),
        "{menu}"
    );
    let switch = |to: &str| browser.submit("/", "token", "/__tenant__/", &format!("tenant={to}"));
    sent_on(switch("acme"), "/");
    // A form that was rendered in one tenant, and is posted in another.
    let notes = browser.get("/notes");
    let (_, rest) = notes.split_once("name=\"tenant_form\" value=\"").unwrap();
    let old = rest.split('"').next().unwrap().to_owned();
    sent_on(
        browser.submit("/notes", "tenant_form", "/notes", "body=only+here"),
        "/notes",
    );
    assert!(browser.get("/notes").contains("only here"));
    let token = |page: &str| {
        let (_, rest) = page.split_once("name=\"token\" value=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let to_globex = format!("token={}&tenant=globex", token(&notes));
    sent_on(browser.ask("POST", "/__tenant__/", &to_globex), "/");
    let late = browser.ask("POST", "/notes", &format!("tenant_form={old}&body=astray"));
    assert_eq!(late.status, 422, "{late:?}");
    let globex = browser.get("/notes");
    assert!(
        !globex.contains("only here") && !globex.contains("astray"),
        "{globex}"
    );
    let foreign = browser.ask("POST", "/__tenant__/", "tenant=acme");
    assert_eq!(foreign.status, 403, "without a token: {foreign:?}");
    assert!(browser.get("/notes").contains("Globex Corporation</h1>"));
}
