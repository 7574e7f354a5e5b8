//! Statements that name their schema themselves: no path, no checkout, nothing proven.
//!
//! What they take for many tenants is the least that any way to share connections between schemas can take.

use std::marker::PhantomData;

use diesel::{
    connection::LoadConnection,
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::QueryResult,
    serialize::ToSql,
    sql_types::HasSqlType,
};

/// A text, kept prepared like every other statement, and what is bound after it.
pub(crate) struct Qualified<'a, B, BT, ST> {
    text: &'a str,
    bound: Option<B>,
    types: PhantomData<(BT, ST)>,
}

impl<'a, B, BT, ST> Qualified<'a, B, BT, ST> {
    pub(crate) fn new(text: &'a str, bound: Option<B>) -> Self {
        Self {
            text,
            bound,
            types: PhantomData,
        }
    }
}

impl<B, BT, ST> QueryFragment<Pg> for Qualified<'_, B, BT, ST>
where
    B: ToSql<BT, Pg>,
    Pg: HasSqlType<BT>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.text);
        match &self.bound {
            Some(bound) => out.push_bind_param::<BT, B>(bound),
            None => Ok(()),
        }
    }
}

impl<B, BT, ST> QueryId for Qualified<'_, B, BT, ST> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<B, BT, ST> Query for Qualified<'_, B, BT, ST> {
    type SqlType = ST;
}

impl<B, BT, ST, C> RunQueryDsl<C> for Qualified<'_, B, BT, ST> where C: LoadConnection<Backend = Pg> {}
