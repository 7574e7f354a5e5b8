//! How a session is opened.
//!
//! Where the server lets us, it starts on the neutral path, and with the time zone and the encoding that
//! Diesel wants. They are then what `RESET` leads to (PostgreSQL manual, 20.1.4 "Parameter Interaction via
//! the Shell": `options`): also a `RESET search_path` of a borrower's sees nothing, and the clean need not
//! set them. Some poolers refuse such a start, and some take no notice of it.

use std::sync::OnceLock;

use diesel::{connection::SimpleConnection, pg::PgConnection, prelude::*, sql_types};

use super::Session;
use crate::{
    error::{Error, Result},
    layout::Layout,
    sql,
};

/// `-c search_path=pg_catalog,pg_temp -c TimeZone=UTC -c client_encoding=UTF8`, for libpq.
const IN_URL: &str = "options=-c%20search_path%3Dpg_catalog,pg_temp%20-c%20TimeZone%3DUTC\
                      %20-c%20client_encoding%3DUTF8";
const IN_WORDS: &str =
    "options='-c search_path=pg_catalog,pg_temp -c TimeZone=UTC -c client_encoding=UTF8'";

/// A URL, or a string of libpq's words and values, with one more.
pub(crate) fn with_parameter(url: &str, in_url: &str, in_words: &str) -> String {
    match (url.contains("://"), url.contains('?')) {
        (true, true) if url.ends_with(['?', '&']) => format!("{url}{in_url}"),
        (true, true) => format!("{url}&{in_url}"),
        (true, false) => format!("{url}?{in_url}"),
        (false, _) => format!("{url} {in_words}"),
    }
}

/// The URL of sessions that start on the neutral path; `None` where the user has options, or can have.
fn neutral(url: &str) -> Option<String> {
    let is_set = |name| std::env::var_os(name).is_some();
    let taken = ["options", "service"].iter().any(|word| url.contains(word));
    (!taken && !is_set("PGOPTIONS") && !is_set("PGSERVICE"))
        .then(|| with_parameter(url, IN_URL, IN_WORDS))
}

impl Session {
    /// Opens a connection, on a path that sees neither a tenant nor the shared schema.
    pub(crate) fn connect(url: &str, layout: &Layout) -> Result<Self> {
        let pg = PgConnection::establish(url).map_err(Error::connect)?;
        Self::start(pg, layout)
    }

    /// As [`connect`](Self::connect), on a path that is also neutral after a `RESET`, where that can be
    /// had; `can_be_had` remembers whether.
    pub(crate) fn connect_neutral(
        url: &str,
        layout: &Layout,
        can_be_had: &OnceLock<bool>,
    ) -> Result<Self> {
        let neutral = match can_be_had.get() {
            Some(false) => None,
            _ => neutral(url),
        };
        let Some(neutral) = neutral else {
            return Self::connect(url, layout);
        };
        match PgConnection::establish(&neutral) {
            Ok(pg) => {
                let session = Self::start(pg, layout)?;
                can_be_had.get_or_init(|| session.resets_to_neutral);
                Ok(session)
            }
            Err(error) if can_be_had.get().is_some() => Err(Error::connect(error)),
            Err(_) => {
                let session = Self::connect(url, layout)?;
                can_be_had.get_or_init(|| false);
                Ok(session)
            }
        }
    }

    fn start(mut pg: PgConnection, layout: &Layout) -> Result<Self> {
        let started = Self::make_ready(&mut pg);
        let (pid, resets_to_neutral) =
            started.map_err(|error| Error::database("prepare a new connection", error))?;
        let mut session = Self::new(pg, pid, layout);
        session.resets_to_neutral = resets_to_neutral;
        Ok(session)
    }

    fn make_ready(pg: &mut PgConnection) -> QueryResult<(i32, bool)> {
        pg.batch_execute(sql::RESET)?;
        let pid = diesel::dsl::sql::<sql_types::Integer>("pg_catalog.pg_backend_pid()");
        let neutral = diesel::dsl::sql::<sql_types::Bool>(sql::IS_NEUTRAL);
        let (pid, is_neutral) = diesel::select((pid, neutral)).get_result(pg)?;
        pg.batch_execute(sql::START)?;
        Ok((pid, is_neutral))
    }
}

#[cfg(test)]
mod tests {
    use super::{neutral, with_parameter};

    #[test]
    fn a_parameter_is_added_to_every_form_of_url() {
        for (url, expected) in [
            ("postgres://h/d", "postgres://h/d?a=1"),
            ("postgres://h/d?", "postgres://h/d?a=1"),
            ("postgres://h/d?b=2", "postgres://h/d?b=2&a=1"),
            ("postgresql://h/d?b=2&", "postgresql://h/d?b=2&a=1"),
            ("host=h dbname=d", "host=h dbname=d a='1'"),
        ] {
            assert_eq!(with_parameter(url, "a=1", "a='1'"), expected);
        }
    }

    #[test]
    fn options_of_the_users_own_are_left_alone() {
        assert_eq!(neutral("postgres://h/d?options=-c%20work_mem%3D1MB"), None);
        assert_eq!(neutral("service=mine"), None);
    }
}
