//! Waiting for tables that everybody uses, in short turns.
//!
//! To drop a foreign key takes the strongest lock on the table that it refers to. Whoever waits for that makes
//! all later users of the table wait, too; and with two such tables, whoever uses both can be waiting for us.

use std::time::Duration;

use diesel::{PgConnection, connection::SimpleConnection};

use super::{Provisioner, create::Failed};
use crate::{
    error::{Error, ErrorKind, Result},
    lock, sql,
};

/// How long a statement waits for a lock before everything is undone and tried again. Less than after what
/// time the server looks for deadlocks, and ends somebody else (`deadlock_timeout`, PostgreSQL manual, 20.12
/// "Lock Management").
const TURN: Duration = Duration::from_millis(200);

/// In between, everybody else has their turn.
const PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(500)];

/// One try.
pub(super) struct Turn {
    longest: Duration,
    was_busy: bool,
}

impl Turn {
    /// Runs what may have to wait, inside a transaction. From then on, nothing in it waits for longer.
    pub(super) fn take(&mut self, conn: &mut PgConnection, statements: &str) -> Result<()> {
        lock::bound_waiting(conn, self.longest)?;
        conn.batch_execute(&sql::or_busy(statements))
            .map_err(|error| {
                self.was_busy |= sql::is_proof(&error);
                Error::database("drop what is to be deleted", error)
            })
    }
}

impl Provisioner {
    /// Does `work`, which undoes everything when it fails, again and again, for as long as others have the
    /// tables that it needs and [`lock_wait`](Self::lock_wait) says.
    pub(super) fn in_turns<T>(&self, mut work: impl FnMut(&mut Turn) -> Result<T>) -> Result<T> {
        let attempt = || {
            let mut turn = Turn {
                longest: TURN.min(self.lock_wait).max(Duration::from_millis(1)),
                was_busy: false,
            };
            work(&mut turn).map_err(|error| match turn.was_busy {
                true => Failed::Busy(error),
                false => Failed::For(error),
            })
        };
        let done = lock::try_for(self.lock_wait, PAUSES, attempt, Failed::is_busy);
        done.map_err(|failed| match failed {
            Failed::For(error) => error,
            Failed::Busy(error) => {
                let message = format!(
                    "tables that foreign keys refer to were in use by others for {:?}: try again later",
                    self.lock_wait
                );
                Error::new(ErrorKind::Locked, message).with_source(error)
            }
        })
    }
}
