//! Hears what other processes change in the registry, on a connection of its own.

use std::{
    sync::{
        Weak,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use diesel::{
    connection::SimpleConnection,
    pg::{PgConnection, PgNotification},
    prelude::*,
};

use super::Inner;
use crate::{
    error::{Error, ErrorKind, Result},
    sql,
};

/// How often the server is asked. It hands over notifications with its answer.
const EVERY: Duration = Duration::from_millis(200);

/// The longest pause between two tries to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Listens until the pool is gone. A connection that is lost is opened anew; until then, and whenever the
/// server has not answered for a second, the pool knows that it hears nothing.
#[expect(clippy::needless_pass_by_value, reason = "the thread's own")]
pub(super) fn run(pool: Weak<Inner>, url: String, end: Receiver<()>) {
    let mut pause = EVERY;
    loop {
        let listening = listen(&url);
        let mut wait = pause;
        match listening {
            Ok(mut conn) => {
                // What was notified before cannot be known.
                let Some(inner) = pool.upgrade() else { return };
                inner.known.missed();
                inner.watchers.missed();
                drop(inner);
                pause = EVERY;
                wait = EVERY;
                loop {
                    // A server that does not answer must not keep the pool from being dropped.
                    let heard = hear(&mut conn);
                    let Some(inner) = pool.upgrade() else { return };
                    match heard {
                        Ok(changed) => {
                            for notification in &changed {
                                let about = notification.payload.as_str();
                                match notification.channel.as_str() {
                                    sql::DOMAINS_CHANNEL => inner.watchers.domain_changed(about),
                                    sql::MEMBERS_CHANNEL => inner.watchers.user_changed(about),
                                    _ => {
                                        inner.known.changed(about);
                                        inner.watchers.tenant_changed(about);
                                    }
                                }
                            }
                            inner.known.heard();
                        }
                        Err(error) => {
                            inner.known.deaf();
                            inner.watchers.missed();
                            tracing::warn!(
                                error = error.chain(),
                                "the listener lost its connection, and opens another"
                            );
                            break;
                        }
                    }
                    drop(inner);
                    if pool_ended(&end, EVERY) {
                        return;
                    }
                }
            }
            Err(error) => {
                tracing::warn!(error = error.chain(), "the listener could not connect");
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        if pool_ended(&end, wait) {
            return;
        }
    }
}

fn pool_ended(end: &Receiver<()>, wait: Duration) -> bool {
    end.recv_timeout(wait) != Err(RecvTimeoutError::Timeout)
}

fn listen(url: &str) -> Result<PgConnection> {
    let mut conn = PgConnection::establish(url).map_err(Error::connect)?;
    conn.batch_execute(sql::LISTEN)
        .map_err(|error| Error::database("listen to the registry", error))?;
    // Its own notification comes back with the answer, unless something is in between.
    if conn.notifications_iter().next().is_none() {
        return Err(Error::new(
            ErrorKind::ConnectionFailed,
            "no notification comes through this URL, as behind a pooler in transaction mode: give the \
             URL of the server itself to TenantPoolBuilder::listen_url",
        ));
    }
    Ok(conn)
}

/// What was notified since it was last asked.
fn hear(conn: &mut PgConnection) -> Result<Vec<PgNotification>> {
    let failed = |error| Error::database("hear from the registry", error);
    conn.batch_execute("SELECT 1").map_err(failed)?;
    conn.notifications_iter()
        .map(|notification| notification.map_err(failed))
        .collect()
}
