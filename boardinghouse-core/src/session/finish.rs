//! The way back: a session is made fit for the next borrower, or is not lent again.

use diesel::{
    connection::{AnsiTransactionManager, TransactionManager},
    prelude::*,
};

use super::Session;
use crate::sql;

impl Session {
    /// Makes the session fit for the next borrower; says whether it can be lent again.
    ///
    /// That costs a round trip, and leaves the session on the neutral path, unless the borrower can have
    /// left nothing behind: then nothing is sent, and the session is parked.
    pub(crate) fn finish(&mut self) -> bool {
        let leaves_nothing = self.open
            && !(self.dirty || self.marked || self.spoiled || self.is_stateless())
            && matches!(
                AnsiTransactionManager::transaction_manager_status_mut(&mut self.pg)
                    .transaction_depth(),
                Ok(None)
            );
        if !leaves_nothing {
            return self.clean();
        }
        self.reset_instrumentation();
        self.parked = true;
        self.lent = false;
        true
    }

    /// Removes everything that a borrower can have left and puts the session on the neutral path, in one
    /// round trip. Says whether it can be lent again.
    pub(crate) fn clean(&mut self) -> bool {
        let clean = if self.resets_to_neutral {
            sql::CLEAN
        } else {
            sql::CLEAN_AND_SET
        };
        let cleaned = if self.spoiled {
            return false;
        } else if self.is_stateless() {
            // The end of its transaction was the clean.
            return !self.lent;
        } else if self.marked {
            // Who had the bare connection can have put another one in its place.
            self.lent = true;
            let message = sql::prove_backend(self.pid) + clean;
            self.run_outside_transaction(&message)
        } else {
            self.lent = true;
            self.run_outside_transaction(clean)
        };
        cleaned.is_ok() && self.settle()
    }

    /// Removes what the borrower left on our side of a session that is clean on the server's.
    pub(super) fn settle(&mut self) -> bool {
        // What was already received for the borrower's channels waits inside libpq.
        if self
            .pg
            .notifications_iter()
            .any(|notification| notification.is_err())
        {
            return false;
        }
        self.reset_instrumentation();
        self.parked = false;
        self.dirty = false;
        self.lent = false;
        true
    }

    fn reset_instrumentation(&mut self) {
        if std::mem::take(&mut self.instrumented) || self.marked {
            self.pg
                .set_instrumentation(diesel::connection::get_default_instrumentation());
        }
    }
}
