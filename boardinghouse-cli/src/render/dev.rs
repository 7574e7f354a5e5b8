//! A private server.

use serde::Serialize;

use crate::output::Report;

#[derive(Debug, Serialize)]
pub(crate) struct ServerReport<'a> {
    pub(crate) url: &'a str,
    pub(crate) version: u32,
}

impl Report for ServerReport<'_> {
    fn human(&self) -> String {
        self.url.to_owned()
    }
}
