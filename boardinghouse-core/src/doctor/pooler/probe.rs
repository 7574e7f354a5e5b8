//! Connections that are looked at, each on a thread of its own: behind a pooler whose processes are all
//! taken, one waits for as long as the pooler likes.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use diesel::{pg::PgConnection, prelude::*, sql_query, sql_types};

use crate::error::{Error, Result};

/// How long an answer may take before the connection counts as one that waits.
const PATIENCE: Duration = Duration::from_secs(5);

type Job = Box<dyn FnOnce(&mut PgConnection) + Send>;

/// One connection.
#[derive(Debug)]
pub(super) struct Probe(Sender<Job>);

/// An answer that is still to come.
#[derive(Debug)]
pub(super) struct Pending<T>(Receiver<T>);

impl<T> Pending<T> {
    /// The answer; `None` where it does not come.
    pub(super) fn wait(self) -> Option<T> {
        self.0.recv_timeout(PATIENCE).ok()
    }

    /// The answer, if it has come.
    pub(super) fn already(&self) -> Option<T> {
        self.0.try_recv().ok()
    }
}

/// What a connection says of its server process.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub(super) struct Look {
    #[diesel(sql_type = sql_types::Integer)]
    pub(super) pid: i32,
    /// When the process started, and what time it is there, in µs.
    #[diesel(sql_type = sql_types::BigInt)]
    pub(super) started: i64,
    #[diesel(sql_type = sql_types::BigInt)]
    pub(super) now: i64,
    /// What was set in the session.
    #[diesel(sql_type = sql_types::Text)]
    pub(super) mark: String,
}

impl Look {
    /// Whether both are of one process. Numbers of processes come again; this does not.
    pub(super) fn is_same_process(&self, other: &Self) -> bool {
        (self.pid, self.started) == (other.pid, other.started)
    }
}

impl Probe {
    /// Opens a connection and marks its session.
    pub(super) fn open(url: &str, mark: String) -> Option<Result<(Self, Look)>> {
        let (jobs, inbox) = channel::<Job>();
        let (answer, opened) = channel();
        let url = url.to_owned();
        thread::spawn(move || {
            let marked = PgConnection::establish(&url)
                .map_err(Error::connect)
                .and_then(|mut conn| {
                    set_mark(&mut conn, &mark, false)?;
                    Ok((look(&mut conn)?, conn))
                });
            let conn = marked.map(|(look, conn)| {
                let _ = answer.send(Ok(look));
                conn
            });
            match conn {
                Ok(mut conn) => inbox.into_iter().for_each(|job| job(&mut conn)),
                Err(error) => drop(answer.send(Err(error))),
            }
        });
        let look = Pending(opened).wait()?;
        Some(look.map(|look| (Self(jobs), look)))
    }

    /// Begins something, and does not wait for the answer.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut PgConnection) -> T + Send + 'static,
    ) -> Pending<T> {
        let (answer, pending) = channel();
        // Where the thread is gone, so is the answer.
        let _ = self
            .0
            .send(Box::new(move |conn| drop(answer.send(work(conn)))));
        Pending(pending)
    }

    pub(super) fn look(&self) -> Option<QueryResult<Look>> {
        self.ask(look).wait()
    }
}

pub(super) fn look(conn: &mut PgConnection) -> QueryResult<Look> {
    sql_query(
        "SELECT pid, (extract(epoch FROM backend_start) * 1000000)::bigint AS started, \
         (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint AS now, \
         coalesce(pg_catalog.current_setting('boardinghouse.probe', true), '') AS mark \
         FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()",
    )
    .get_result(conn)
}

/// Sets something in the session; where `local`, until the transaction ends.
pub(super) fn set_mark(conn: &mut PgConnection, mark: &str, local: bool) -> QueryResult<()> {
    sql_query("SELECT pg_catalog.set_config('boardinghouse.probe', $1, $2)")
        .bind::<sql_types::Text, _>(mark)
        .bind::<sql_types::Bool, _>(local)
        .execute(conn)
        .map(drop)
}
