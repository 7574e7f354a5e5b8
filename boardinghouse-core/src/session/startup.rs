//! How a session is opened.
//!
//! Where the server lets us, it starts on the neutral path, and with the time zone and the encoding that
//! Diesel wants. They are then what `RESET` leads to (PostgreSQL manual, 20.1.4 "Parameter Interaction via
//! the Shell": `options`): also a `RESET search_path` of a borrower's sees nothing, and the clean need not
//! set them. Some poolers refuse such a start, and some take no notice of it.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use diesel::{
    connection::SimpleConnection, pg::PgConnection, prelude::*, result::Error as DieselError,
    sql_types,
};

use super::Session;
use crate::{
    conninfo::{sets, with_parameter},
    error::{Error, Result},
    layout::Layout,
    sql,
};

/// `-c search_path=pg_catalog,pg_temp -c TimeZone=UTC -c client_encoding=UTF8`, for libpq.
const IN_URL: &str = "options=-c%20search_path%3Dpg_catalog,pg_temp%20-c%20TimeZone%3DUTC\
                      %20-c%20client_encoding%3DUTF8";
const IN_WORDS: &str =
    "options='-c search_path=pg_catalog,pg_temp -c TimeZone=UTC -c client_encoding=UTF8'";

/// How often in a row a start on the neutral path may be refused before it is no longer tried.
const MOST_REFUSALS: u32 = 3;

/// What a pool has learned of such starts.
#[derive(Debug, Default)]
pub(crate) struct Refusals(AtomicU32);

/// The URL of sessions that start on the neutral path; `None` where the user has options, or can have.
fn neutral(url: &str) -> Option<String> {
    let is_set = |name| std::env::var_os(name).is_some();
    let taken = sets(url, "options") || sets(url, "service");
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
    /// had. Where it cannot, it is no longer tried after a few times; one failure can be anything.
    pub(crate) fn connect_neutral(url: &str, layout: &Layout, refusals: &Refusals) -> Result<Self> {
        let tried = refusals.0.load(Relaxed) < MOST_REFUSALS;
        let Some(neutral) = tried.then(|| neutral(url)).flatten() else {
            return Self::connect(url, layout);
        };
        match PgConnection::establish(&neutral) {
            Ok(mut pg) => {
                refusals.0.store(0, Relaxed);
                let resets_to_neutral = diesel::dsl::sql::<sql_types::Bool>(sql::IS_NEUTRAL);
                let resets_to_neutral = pg
                    .batch_execute(sql::RESET)
                    .and_then(|()| diesel::select(resets_to_neutral).get_result(&mut pg))
                    .map_err(not_ready)?;
                let mut session = Self::start(pg, layout)?;
                session.resets_to_neutral = resets_to_neutral;
                Ok(session)
            }
            Err(refused) => {
                let session = Self::connect(url, layout)?;
                tracing::warn!(
                    error = Error::connect(refused).chain(),
                    "a connection could not be opened with options, but without"
                );
                refusals.0.fetch_add(1, Relaxed);
                Ok(session)
            }
        }
    }

    fn start(mut pg: PgConnection, layout: &Layout) -> Result<Self> {
        let pid = diesel::dsl::sql::<sql_types::Integer>("pg_catalog.pg_backend_pid()");
        let pid = diesel::select(pid).get_result(&mut pg).map_err(not_ready)?;
        pg.batch_execute(sql::START).map_err(not_ready)?;
        Ok(Self::new(pg, pid, layout))
    }
}

fn not_ready(error: DieselError) -> Error {
    Error::database("prepare a new connection", error)
}

#[cfg(test)]
mod tests {
    use super::neutral;

    #[test]
    fn options_of_the_users_own_are_left_alone() {
        for url in [
            "postgres://h/d?options=-c%20work_mem%3D1MB",
            "postgres://h/d?sslmode=require&service=mine",
            "service=mine",
            "host=h options = '-c work_mem=1MB'",
        ] {
            assert_eq!(neutral(url), None, "{url}");
        }
        for url in [
            "postgres://app:options@db-service:5432/customer_service?sslmode=disable",
            "host=h dbname=d",
        ] {
            assert!(neutral(url).is_some_and(|neutral| neutral.contains("TimeZone")));
        }
    }
}
