//! Diesel's connection traits for our checkouts, so that every statement carries its tenant.
//!
//! Each statement gets a comment in front that names the schema and its epoch. Diesel keys prepared
//! statements by their text, so on one physical connection every tenant has prepared statements, and
//! plans on the server, of its own: a switch re-plans nothing, tenants whose column types differ do
//! not meet each other's plans, and a migrated tenant leaves its old plans behind.
//!
//! Diesel seals these traits behind a feature for third-party connections that makes no promise
//! across minor versions. This file is the only one that relies on it.

use std::sync::Arc;

use diesel::{
    QueryResult,
    pg::{GetPgMetadataCache, Pg, PgMetadataCache, PgQueryBuilder},
    query_builder::{AstPass, Query, QueryBuilder as _, QueryFragment, QueryId},
};

use crate::session::Shape;

/// A query with a comment in front.
pub(crate) struct Tagged<T> {
    pub(crate) tag: Arc<str>,
    /// What is known of the query, so that Diesel need not find out again.
    pub(crate) shape: Option<Shape>,
    pub(crate) query: T,
}

impl<T: QueryFragment<Pg>> QueryFragment<Pg> for Tagged<T> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(&self.tag);
        self.query.walk_ast(out)
    }

    fn to_sql(&self, out: &mut PgQueryBuilder, backend: &Pg) -> QueryResult<()> {
        match &self.shape {
            Some(shape) => {
                out.push_sql(&shape.text);
                Ok(())
            }
            None => {
                out.push_sql(&self.tag);
                self.query.to_sql(out, backend)
            }
        }
    }

    fn is_safe_to_cache_prepared(&self, backend: &Pg) -> QueryResult<bool> {
        match &self.shape {
            Some(shape) => Ok(shape.keepable),
            None => self.query.is_safe_to_cache_prepared(backend),
        }
    }
}

impl<T: Query> Query for Tagged<T> {
    type SqlType = T::SqlType;
}

/// No static id: the same Rust type is another statement for another tenant.
impl<T> QueryId for Tagged<T> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

/// A statement of ours, whose text is all there is to it. It stays prepared.
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl QueryFragment<Pg> for Text<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.0);
        Ok(())
    }
}

impl QueryId for Text<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

/// Exchanges what a connection has learned about custom types (their OIDs, by name).
pub(crate) fn swap_type_cache(pg: &mut diesel::PgConnection, cache: &mut PgMetadataCache) {
    std::mem::swap(pg.get_metadata_cache(), cache);
}

/// Makes a checkout a Diesel connection. It must have a field `session` that leads to a `Session`.
macro_rules! diesel_connection {
    ($checkout:ty) => {
        impl diesel::connection::ConnectionSealed for $checkout {}

        impl diesel::connection::SimpleConnection for $checkout {
            fn batch_execute(&mut self, query: &str) -> diesel::QueryResult<()> {
                self.session.guard_text(query)?;
                self.session.note_text(query);
                self.session.pg.batch_execute(query)
            }
        }

        impl diesel::connection::Connection for $checkout {
            type Backend = diesel::pg::Pg;
            type TransactionManager = diesel::connection::AnsiTransactionManager;

            /// Always fails: a checkout comes from a pool, which proves what it is bound to.
            fn establish(_: &str) -> diesel::ConnectionResult<Self> {
                Err(diesel::ConnectionError::BadConnection(
                    "a checkout comes from TenantPool, it cannot be established".into(),
                ))
            }

            fn execute_returning_count<T>(&mut self, source: &T) -> diesel::QueryResult<usize>
            where
                T: diesel::query_builder::QueryFragment<Self::Backend>
                    + diesel::query_builder::QueryId,
            {
                self.session.guard(source)?;
                let query = self.session.tagged(source);
                self.session.pg.execute_returning_count(&query)
            }

            fn transaction_state(&mut self) -> &mut diesel::connection::AnsiTransactionManager {
                self.session.pg.transaction_state()
            }

            fn instrumentation(&mut self) -> &mut dyn diesel::connection::Instrumentation {
                self.session.pg.instrumentation()
            }

            fn set_instrumentation(
                &mut self,
                instrumentation: impl diesel::connection::Instrumentation,
            ) {
                self.session.instrumented = true;
                self.session.pg.set_instrumentation(instrumentation);
            }

            /// Has effect until the checkout ends; the connection is then closed, because Diesel
            /// cannot tell what it left prepared on the server. In `PathMode::Transaction` it has no
            /// effect: nothing may stay prepared there.
            fn set_prepared_statement_cache_size(&mut self, size: diesel::connection::CacheSize) {
                if self.session.is_stateless() {
                    return;
                }
                self.session.spoiled = true;
                self.session.pg.set_prepared_statement_cache_size(size);
            }
        }

        impl<B> diesel::connection::LoadConnection<B> for $checkout
        where
            diesel::PgConnection:
                diesel::connection::LoadConnection<B, Backend = diesel::pg::Pg>,
        {
            type Cursor<'conn, 'query> =
                <diesel::PgConnection as diesel::connection::LoadConnection<B>>::Cursor<
                    'conn,
                    'query,
                >;
            type Row<'conn, 'query> =
                <diesel::PgConnection as diesel::connection::LoadConnection<B>>::Row<
                    'conn,
                    'query,
                >;

            fn load<'conn, 'query, T>(
                &'conn mut self,
                source: T,
            ) -> diesel::QueryResult<Self::Cursor<'conn, 'query>>
            where
                T: diesel::query_builder::Query
                    + diesel::query_builder::QueryFragment<diesel::pg::Pg>
                    + diesel::query_builder::QueryId
                    + 'query,
                diesel::pg::Pg: diesel::expression::QueryMetadata<T::SqlType>,
            {
                self.session.guard(&source)?;
                let query = self.session.tagged(source);
                diesel::connection::LoadConnection::<B>::load(&mut self.session.pg, query)
            }
        }

        impl diesel::migration::MigrationConnection for $checkout {
            /// Migrations that run on a checkout see its own schema alone: from here on the shared
            /// schema is off the path, until the checkout ends. Prefer `Migrator`, which also keeps
            /// what was prepared elsewhere from being used again.
            fn setup(&mut self) -> diesel::QueryResult<usize> {
                self.session.guard_text("")?;
                self.session.narrow_path()?;
                diesel::migration::MigrationConnection::setup(&mut self.session.pg)
            }
        }

        // What `save_changes` needs.
        impl<'b, Changes, Output>
            diesel::query_dsl::UpdateAndFetchResults<Changes, Output> for $checkout
        where
            Changes: Copy
                + diesel::query_builder::AsChangeset<
                    Target = <Changes as diesel::associations::HasTable>::Table,
                > + diesel::associations::HasTable
                + diesel::query_builder::IntoUpdateTarget,
            diesel::dsl::Update<Changes, Changes>:
                diesel::query_dsl::LoadQuery<'b, $checkout, Output>,
            <Changes::Table as diesel::query_source::Table>::AllColumns:
                diesel::expression::ValidGrouping<()>,
            <<Changes::Table as diesel::query_source::Table>::AllColumns as
                diesel::expression::ValidGrouping<()>>::IsAggregate:
                diesel::expression::MixedAggregates<
                    diesel::expression::is_aggregate::No,
                    Output = diesel::expression::is_aggregate::No,
                >,
        {
            fn update_and_fetch(&mut self, changeset: Changes) -> diesel::QueryResult<Output> {
                diesel::RunQueryDsl::get_result(
                    diesel::update(changeset).set(changeset),
                    self,
                )
            }
        }
    };
}

pub(crate) use diesel_connection;

/// A connection that runs nothing and takes down the text that it is given. Anything else than text is
/// refused.
///
/// Migrations that are files of SQL tell so what they would run.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) text: String,
    transactions: diesel::connection::AnsiTransactionManager,
    instrumentation: Option<Box<dyn diesel::connection::Instrumentation>>,
}

impl diesel::connection::ConnectionSealed for Recorder {}

impl diesel::connection::SimpleConnection for Recorder {
    fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        self.text.push_str(query);
        Ok(())
    }
}

impl diesel::connection::Connection for Recorder {
    type Backend = Pg;
    type TransactionManager = diesel::connection::AnsiTransactionManager;

    fn establish(_: &str) -> diesel::ConnectionResult<Self> {
        Ok(Self::default())
    }

    fn execute_returning_count<T>(&mut self, _: &T) -> QueryResult<usize>
    where
        T: QueryFragment<Pg> + QueryId,
    {
        Err(diesel::result::Error::QueryBuilderError(
            "only text is taken down".into(),
        ))
    }

    fn transaction_state(&mut self) -> &mut diesel::connection::AnsiTransactionManager {
        &mut self.transactions
    }

    fn instrumentation(&mut self) -> &mut dyn diesel::connection::Instrumentation {
        &mut self.instrumentation
    }

    fn set_instrumentation(&mut self, instrumentation: impl diesel::connection::Instrumentation) {
        self.instrumentation = Some(Box::new(instrumentation));
    }

    fn set_prepared_statement_cache_size(&mut self, _: diesel::connection::CacheSize) {}
}
