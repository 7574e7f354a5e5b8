//! Transactions of a borrower, and the sessions that live no longer than one.
//!
//! Behind a pooler in transaction mode a connection is no session: the server process behind it is
//! another one with each transaction. On such a session ([`Session::connect_stateless`]) nothing is
//! ever sent outside a transaction: [`begin`](Session::begin) is the bind, and
//! [`commit`](Session::commit) and [`roll_back`](Session::roll_back) are the clean.
//!
//! Each of the three is one message. The server process is not let go of within a message, and not
//! while a transaction is open; so what they say of it holds for all that is between them.

use std::num::NonZeroU32;

use diesel::{
    connection::{
        AnsiTransactionManager, CacheSize, InstrumentationEvent, SimpleConnection,
        TransactionManager,
    },
    dsl::sql as literally,
    pg::{Pg, PgConnection},
    prelude::*,
    query_builder::QueryFragment,
    result::Error as DieselError,
    sql_types::Text,
};

use super::{BindError, Binding, Session};
use crate::{
    error::{Error, ErrorKind, Result},
    layout::Layout,
    names::SchemaName,
    scan, sql,
};

impl Binding {
    /// The same, until the transaction ends.
    pub(crate) fn for_transaction<'a>(
        mut self,
        rest: impl IntoIterator<Item = &'a SchemaName>,
    ) -> Self {
        let rest: Vec<&SchemaName> = rest.into_iter().collect();
        let bind = self.claim().bind_transaction(&rest);
        self.sql = bind;
        self
    }
}

impl Session {
    /// Opens a connection on which nothing is kept between transactions.
    ///
    /// Diesel itself sets the time zone and the encoding of a new connection; we set both again in
    /// each transaction. What we ask here, once, is a statement by itself, and sets nothing.
    pub(crate) fn connect_stateless(url: &str, layout: &Layout) -> Result<Self> {
        let mut pg = PgConnection::establish(url).map_err(Error::connect)?;
        // Diesel then sends each statement whole, in one message, and without a name: no server
        // process has to remember it.
        pg.set_prepared_statement_cache_size(CacheSize::Disabled);
        let name = literally::<Text>("pg_catalog.current_setting('application_name')");
        let name: String = diesel::select(name)
            .get_result(&mut pg)
            .map_err(|error| Error::database("prepare a new connection", error))?;
        let mut session = Self::new(pg, 0, layout);
        session.stateless = Some(sql::begin(&name));
        Ok(session)
    }

    /// Whether nothing is kept between transactions.
    pub(crate) fn is_stateless(&self) -> bool {
        self.stateless.is_some()
    }

    /// Begins a transaction that is on the path, and proven to be, in one round trip.
    ///
    /// On error the session is doubtful and must be closed.
    pub(super) fn begin(&mut self, begin: &str, binding: &Binding) -> Result<(), BindError> {
        self.lent = true;
        let message = format!("{begin}; {}", binding.sql);
        AnsiTransactionManager::begin_transaction_sql(&mut self.pg, &message).map_err(|error| {
            if sql::is_proof(&error) {
                BindError::Unavailable
            } else {
                BindError::of(error)
            }
        })?;
        self.now_on(binding);
        Ok(())
    }

    /// Begins a transaction of the borrower, on a session that is bound already. One that keeps
    /// nothing is in it since it was bound.
    pub(crate) fn open_transaction(&mut self) -> Result<()> {
        if self.is_stateless() {
            return Ok(());
        }
        AnsiTransactionManager::begin_transaction(&mut self.pg)
            .map_err(|error| Error::database("begin a transaction", error))
    }

    /// Commits the borrower's transaction, unless the borrower ended it, or it has failed.
    pub(crate) fn commit(&mut self) -> Result<()> {
        match self.depth() {
            Ok(1) => {}
            Ok(_) => return Err(self.ended()),
            Err(error) => {
                self.spoiled = true;
                return Err(Error::new(
                    ErrorKind::ConnectionFailed,
                    "the connection was lost during the transaction, or a part of it could not be \
                     rolled back: nothing of it was saved",
                )
                .with_source(error));
            }
        }
        self.tell(InstrumentationEvent::commit_transaction(NonZeroU32::MIN));
        let message = if self.is_stateless() {
            &sql::COMMIT_AND_CLEAN
        } else {
            sql::COMMIT
        };
        let Err(error) = self.end(message) else {
            return Ok(());
        };
        let foreign = sql::is_proof(&error);
        // A server that still answers has not lost the answer to the first message.
        if self.roll_back_open() {
            return Err(if foreign {
                self.ended()
            } else {
                Error::database("commit the transaction: nothing of it was saved", error)
            });
        }
        self.spoiled = true;
        Err(Error::new(
            ErrorKind::OutcomeUnknown,
            "the connection was lost while the transaction was being committed: look whether it was \
             before you do it again",
        )
        .with_source(error))
    }

    /// Takes back what the borrower did. An error says that it cannot be: the transaction was ended.
    pub(crate) fn roll_back(&mut self) -> Result<()> {
        if matches!(self.depth(), Ok(0)) {
            return Err(self.ended());
        }
        if !self.roll_back_open() {
            // Closed inside its transaction, which ends that too.
            self.spoiled = true;
        }
        Ok(())
    }

    fn roll_back_open(&mut self) -> bool {
        self.tell(InstrumentationEvent::rollback_transaction(NonZeroU32::MIN));
        let message = if self.is_stateless() {
            sql::ROLLBACK_AND_CLEAN
        } else {
            sql::ROLLBACK
        };
        self.end(message).is_ok()
    }

    /// Tells whoever watches the connection what Diesel would.
    fn tell(&mut self, event: InstrumentationEvent<'_>) {
        self.pg.instrumentation().on_connection_event(event);
    }

    /// Sends the message that ends the transaction, and has the server's word that none is open.
    fn end(&mut self, message: &str) -> QueryResult<()> {
        AnsiTransactionManager::transaction_manager_status_mut(&mut self.pg).set_in_error();
        self.pg.batch_execute(message)?;
        if self.is_broken() {
            return Err(DieselError::BrokenTransactionManager);
        }
        if self.is_stateless() {
            if self.marked {
                self.pg
                    .set_prepared_statement_cache_size(CacheSize::Disabled);
            }
            self.spoiled |= !self.settle();
            self.marked = false;
        }
        Ok(())
    }

    /// Refuses text that would run outside the transaction, or end it, where nothing may.
    pub(crate) fn guard_text(&mut self, text: &str) -> QueryResult<()> {
        if !self.is_stateless() {
            return Ok(());
        }
        // Where Diesel cannot tell, the connection is lost or the transaction open: idleness it
        // always sees.
        if matches!(self.depth(), Ok(0)) {
            return Err(DieselError::NotInTransaction);
        }
        if scan::ends_transaction(text) {
            let message = "the transaction belongs to TenantPool::transaction, which ends it: return \
                           from the closure, or use `conn.transaction` for a part of the work";
            return Err(DieselError::QueryBuilderError(message.into()));
        }
        Ok(())
    }

    /// As [`guard_text`](Self::guard_text), for a query.
    pub(crate) fn guard(&mut self, query: &impl QueryFragment<Pg>) -> QueryResult<()> {
        if !self.is_stateless() {
            return Ok(());
        }
        // Text that a person wrote is never safe to cache, in Diesel's eyes.
        if query.is_safe_to_cache_prepared(&Pg)? {
            return self.guard_text("");
        }
        self.guard_text(&super::statements::text(query)?)
    }

    /// How deep Diesel is in transactions, 0 outside of any. An error says that it cannot tell.
    fn depth(&mut self) -> QueryResult<u32> {
        let status = AnsiTransactionManager::transaction_manager_status_mut(&mut self.pg);
        Ok(status.transaction_depth()?.map_or(0, u32::from))
    }

    fn is_broken(&mut self) -> bool {
        AnsiTransactionManager::is_broken_transaction_manager(&mut self.pg)
    }

    /// The borrower has ended the transaction: the session is closed.
    fn ended(&mut self) -> Error {
        self.spoiled = true;
        Error::new(
            ErrorKind::TransactionEnded,
            "the work ended the transaction that it ran in, or left one of its own open: what it did \
             before that may be saved, what it did after that may have run on another schema",
        )
    }
}
