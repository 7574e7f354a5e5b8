//! Transactions of migrations, which may do anything.

use diesel::{
    connection::{AnsiTransactionManager, SimpleConnection, TransactionManager},
    prelude::*,
    sql_types,
};

use crate::error::{Error, Result};

/// As [`Connection::transaction`], but the error of `work` is the one that is reported, even where
/// `work` ended the transaction itself and there is nothing to roll back.
pub(super) fn in_transaction<T>(
    pg: &mut PgConnection,
    work: impl FnOnce(&mut PgConnection) -> Result<T>,
) -> Result<T> {
    // Each statement sees what was committed before it got its locks, whatever the default is.
    in_transaction_by(pg, "BEGIN ISOLATION LEVEL READ COMMITTED", work)
}

/// As [`in_transaction`]; the message begins the transaction, and may do more in it.
pub(super) fn in_transaction_by<T>(
    pg: &mut PgConnection,
    message: &str,
    work: impl FnOnce(&mut PgConnection) -> Result<T>,
) -> Result<T> {
    if let Err(error) = AnsiTransactionManager::begin_transaction_sql(pg, message) {
        // The message may have begun it before it failed. If this fails too, the session is found
        // doubtful and is closed.
        let _ = pg.batch_execute("ROLLBACK");
        return Err(Error::database("begin a transaction", error));
    }
    match work(pg) {
        Ok(value) => {
            AnsiTransactionManager::commit_transaction(pg)
                .map_err(|error| Error::database("commit the migration", error))?;
            Ok(value)
        }
        Err(error) => {
            let _ = AnsiTransactionManager::rollback_transaction(pg);
            Err(error)
        }
    }
}

/// The number of the transaction.
pub(super) fn current_transaction(pg: &mut PgConnection) -> Result<i64> {
    diesel::select(diesel::dsl::sql::<sql_types::BigInt>(
        "pg_catalog.txid_current()",
    ))
    .get_result(pg)
    .map_err(|error| Error::database("look at the transaction", error))
}
