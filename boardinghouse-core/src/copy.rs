//! `COPY` on a checkout, by Diesel's [`copy_from`](diesel::copy_from) and [`copy_to`](diesel::copy_to).
//!
//! Neither statement carries the tenant in front: Diesel lets nobody add to it. Nor need it, as it
//! is never kept prepared; so the session need not be marked as it is for a bare connection.

use std::{fmt, io::BufRead};

use diesel::{
    AppearsOnTable, Expression, QueryResult, Selectable,
    connection::{Connection, SimpleConnection},
    deserialize::FromSqlRow,
    pg::{CopyFormat, CopyFromQuery, CopyTarget, Pg, PgConnection},
    prelude::ExecuteCopyFromDsl,
    result::{DatabaseErrorKind, Error as DieselError},
};

use crate::connection::{SharedConnection, TenantConnection};

/// A `COPY … TO STDOUT` on a checkout, from [`TenantConnection::copy_to`].
///
/// It stands for `diesel::copy_to(…).load(conn)`, in which no connection but Diesel's own can take part,
/// and has that query's options. Where Diesel gives an iterator or a reader, this takes a closure, because
/// something must be done afterwards: Diesel leaves a connection on which the next query fails, and
/// takes a copy that the server ended with an error for one that is complete. So the copy is a
/// transaction, or a savepoint where one is open, and is proven to be whole before anything is returned.
///
/// What is not read must still be received: to stop half way costs as much as to go on.
///
/// # Examples
///
/// ```no_run
/// use std::{fs::File, io};
///
/// use boardinghouse_core::TenantConnection;
/// use diesel::{pg::CopyFormat, prelude::*};
///
/// diesel::table! {
///     notes { id -> Integer, body -> Text }
/// }
///
/// #[derive(Queryable, Selectable)]
/// #[diesel(table_name = notes, check_for_backend(diesel::pg::Pg))]
/// struct Note {
///     body: String,
/// }
///
/// fn export(conn: &mut TenantConnection) -> Result<(), Box<dyn std::error::Error>> {
///     let all: Vec<Note> = conn.copy_to(notes::table).load()?;
///     let mut file = File::create("notes.csv")?;
///     conn.copy_to((notes::id, notes::body))
///         .with_format(CopyFormat::Csv)
///         .with_header(true)
///         .read(|csv| io::copy(csv, &mut file))??;
///     Ok(())
/// }
/// ```
#[must_use = "nothing is copied before `load`, `for_each` or `read`"]
pub struct CopyTo<'conn, T> {
    pg: &'conn mut PgConnection,
    target: T,
    options: Options,
}

#[derive(Debug, Default)]
struct Options {
    format: CopyFormat,
    header: Option<bool>,
    delimiter: Option<char>,
    null: Option<String>,
    quote: Option<char>,
    escape: Option<char>,
}

impl<T: CopyTarget> CopyTo<'_, T> {
    /// Copies in binary form and gives all rows. The options have no effect on it.
    ///
    /// # Errors
    ///
    /// Those of the statement, and those of making a `U` of a row.
    ///
    /// # Panics
    ///
    /// Where the server ends the copy with an error half way, in Diesel. The connection is then closed.
    pub fn load<U>(self) -> QueryResult<Vec<U>>
    where
        U: FromSqlRow<<U::SelectExpression as Expression>::SqlType, Pg> + Selectable<Pg>,
        U::SelectExpression: AppearsOnTable<T::Table> + CopyTarget<Table = T::Table>,
    {
        let mut rows = Vec::new();
        self.for_each(|row| {
            rows.push(row);
            QueryResult::Ok(())
        })?;
        Ok(rows)
    }

    /// As [`load`](Self::load), but holds one row at a time. An error of `work` ends it.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load) and of `work`.
    ///
    /// # Panics
    ///
    /// As [`load`](Self::load).
    pub fn for_each<U, E>(self, mut work: impl FnMut(U) -> Result<(), E>) -> Result<(), E>
    where
        U: FromSqlRow<<U::SelectExpression as Expression>::SqlType, Pg> + Selectable<Pg>,
        U::SelectExpression: AppearsOnTable<T::Table> + CopyTarget<Table = T::Table>,
        E: From<DieselError>,
    {
        let target = self.target;
        whole(self.pg, |pg| {
            for row in diesel::copy_to(target).load::<U, PgConnection>(pg)? {
                work(row?)?;
            }
            Ok(())
        })
    }

    /// Copies in the form that the options say, and gives it to `work` as PostgreSQL sends it.
    ///
    /// # Errors
    ///
    /// Those of the statement, for instance where an option does not go with the format, and one where
    /// the server ended the copy half way, whatever `work` made of it.
    pub fn read<R>(self, work: impl FnOnce(&mut dyn BufRead) -> R) -> QueryResult<R> {
        let Options {
            format,
            header,
            delimiter,
            null,
            quote,
            escape,
        } = self.options;
        let mut query = diesel::copy_to(self.target).with_format(format);
        if let Some(header) = header {
            query = query.with_header(header);
        }
        if let Some(delimiter) = delimiter {
            query = query.with_delimiter(delimiter);
        }
        if let Some(null) = null {
            query = query.with_null(null);
        }
        if let Some(quote) = quote {
            query = query.with_quote(quote);
        }
        if let Some(escape) = escape {
            query = query.with_escape(escape);
        }
        whole(self.pg, |pg| Ok(work(&mut query.load_raw(pg)?)))
    }

    /// Sets the form. Defaults to [`CopyFormat::Text`].
    pub fn with_format(mut self, format: CopyFormat) -> Self {
        self.options.format = format;
        self
    }

    /// Sets whether the names of the columns come first. Defaults to no.
    pub fn with_header(mut self, header: bool) -> Self {
        self.options.header = Some(header);
        self
    }

    /// Sets what parts the columns. Defaults to a tab in text and to a comma in CSV.
    pub fn with_delimiter(mut self, delimiter: char) -> Self {
        self.options.delimiter = Some(delimiter);
        self
    }

    /// Sets what stands for NULL. Defaults to `\N` in text and to nothing in CSV.
    pub fn with_null(mut self, null: impl Into<String>) -> Self {
        self.options.null = Some(null.into());
        self
    }

    /// Sets what values are quoted with in CSV. Defaults to a double quote.
    pub fn with_quote(mut self, quote: char) -> Self {
        self.options.quote = Some(quote);
        self
    }

    /// Sets what stands in front of a quote within a value in CSV. Defaults to the quote itself.
    pub fn with_escape(mut self, escape: char) -> Self {
        self.options.escape = Some(escape);
        self
    }
}

impl<T> fmt::Debug for CopyTo<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyTo")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Runs a copy and proves that it came to its end.
///
/// Diesel does not ask for the server's last word. It waits in libpq, where a message of text throws it
/// away, and with it what else was not received; but an error has aborted the transaction, and then
/// the message fails.
fn whole<R, E: From<DieselError>>(
    pg: &mut PgConnection,
    copy: impl FnOnce(&mut PgConnection) -> Result<R, E>,
) -> Result<R, E> {
    pg.transaction(|pg| {
        let done = copy(pg)?;
        pg.batch_execute("SELECT 1").map_err(|error| match error {
            DieselError::DatabaseError(
                DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand,
                _,
            ) => error,
            _ => DieselError::DatabaseError(
                DatabaseErrorKind::Unknown,
                Box::new("the server ended the copy with an error: it is not whole".to_owned()),
            ),
        })?;
        Ok(done)
    })
}

macro_rules! copy {
    ($checkout:ty) => {
        impl<T, A> ExecuteCopyFromDsl<$checkout> for CopyFromQuery<T, A>
        where
            Self: ExecuteCopyFromDsl<PgConnection>,
        {
            type Error = <Self as ExecuteCopyFromDsl<PgConnection>>::Error;

            fn execute(self, conn: &mut $checkout) -> Result<usize, Self::Error> {
                conn.session.soil();
                self.execute(&mut conn.session.pg)
            }
        }

        impl $checkout {
            /// Begins a `COPY … TO STDOUT` of a table or of a tuple of its columns, as
            /// [`diesel::copy_to`] does.
            ///
            /// `diesel::copy_from(…).execute(conn)` takes a checkout as it is.
            pub fn copy_to<T: CopyTarget>(&mut self, target: T) -> CopyTo<'_, T> {
                self.session.soil();
                CopyTo {
                    pg: &mut self.session.pg,
                    target,
                    options: Options::default(),
                }
            }
        }
    };
}

copy!(TenantConnection);
copy!(SharedConnection);
