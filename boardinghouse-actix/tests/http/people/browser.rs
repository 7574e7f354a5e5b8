//! A client that keeps its cookie.

use std::{cell::RefCell, net::SocketAddr};

use crate::client::{Answer, send};

pub(crate) const HOST: &str = "app.test";

pub(crate) struct Browser {
    at: SocketAddr,
    pub(crate) cookie: RefCell<Option<String>>,
}

impl Browser {
    pub(crate) fn new(at: SocketAddr) -> Self {
        let cookie = RefCell::new(None);
        Self { at, cookie }
    }

    /// A browser with the same cookie.
    pub(crate) fn stolen(&self) -> Self {
        Self {
            at: self.at,
            cookie: self.cookie.clone(),
        }
    }

    /// A request with these headers, each a line without its end.
    pub(crate) fn ask(&self, method: &str, target: &str, headers: &[&str], body: &str) -> Answer {
        let mut request = format!(
            "{method} {target} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        if !headers.iter().any(|header| header.starts_with("Host:")) {
            request.push_str(&format!("Host: {HOST}\r\n"));
        }
        for header in headers {
            request.push_str(&format!("{header}\r\n"));
        }
        if let Some(cookie) = &*self.cookie.borrow() {
            request.push_str(&format!("Cookie: {cookie}\r\n"));
        }
        let answer = send(self.at, &format!("{request}\r\n{body}"));
        if let Some(set) = answer.header("set-cookie") {
            let pair = set.split(';').next().unwrap().to_owned();
            *self.cookie.borrow_mut() = Some(pair);
        }
        answer
    }

    /// As a program.
    pub(crate) fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &["Accept: application/json"], "")
    }

    /// As somebody who sees the page.
    pub(crate) fn see(&self, target: &str) -> Answer {
        self.ask("GET", target, &["Accept: text/html"], "")
    }

    /// A form that a program posts.
    pub(crate) fn post(&self, target: &str, form: &str) -> Answer {
        self.send_form(target, form, &[])
    }

    pub(crate) fn send_form(&self, target: &str, form: &str, headers: &[&str]) -> Answer {
        let mut all = vec!["Content-Type: application/x-www-form-urlencoded"];
        all.extend(headers);
        self.ask("POST", target, &all, form)
    }

    /// A form that a page of this site posts.
    pub(crate) fn submit(&self, target: &str, form: &str) -> Answer {
        let headers = ["Accept: text/html", "Sec-Fetch-Site: same-origin"];
        self.send_form(target, form, &headers)
    }

    #[track_caller]
    pub(crate) fn log_in(&self, user: &str) {
        self.post(&format!("/login/{user}"), "").is(200, "");
    }

    /// What the menu is, as JSON.
    #[track_caller]
    pub(crate) fn menu(&self, query: &str) -> serde_json::Value {
        let answer = self.get(&format!("/__tenant__/{query}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    }

    #[track_caller]
    pub(crate) fn token(&self) -> String {
        self.menu("")["token"].as_str().unwrap().to_owned()
    }

    /// As a program that has a token.
    pub(crate) fn switch(&self, tenant: &str) -> Answer {
        self.post(
            &format!("/__tenant__/{tenant}"),
            &format!("token={}", self.token()),
        )
    }
}
