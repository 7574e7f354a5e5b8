//! Plain Diesel: these functions know no tenant. Their connection does.

use boardinghouse_core::TenantConnection;
use diesel::{dsl::sql, prelude::*, sql_types::Text};
use serde::Serialize;

use crate::schema::{notes, plans, users};

/// A tenant's note, with the shared table's name for who wrote it.
#[derive(Debug, Queryable, Serialize)]
pub(crate) struct Note {
    id: i32,
    body: String,
    author: Option<String>,
}

/// A row of a shared table.
#[derive(Debug, Queryable, Serialize)]
pub(crate) struct Plan {
    name: String,
    price_cents: i32,
}

pub(crate) fn list(conn: &mut TenantConnection) -> QueryResult<Vec<Note>> {
    notes::table
        .left_join(users::table)
        .select((notes::id, notes::body, users::email.nullable()))
        .order(notes::id)
        .load(conn)
}

/// The author, if any, is one of the shared users.
pub(crate) fn add(
    conn: &mut TenantConnection,
    body: &str,
    author: Option<&str>,
) -> QueryResult<Note> {
    conn.transaction(|conn| {
        let known = author.map(|email| users::table.filter(users::email.eq(email)));
        let author_id = match known {
            Some(user) => user.select(users::id).first::<i32>(conn).optional()?,
            None => None,
        };
        let id: i32 = diesel::insert_into(notes::table)
            .values((notes::body.eq(body), notes::author_id.eq(author_id)))
            .returning(notes::id)
            .get_result(conn)?;
        notes::table
            .find(id)
            .left_join(users::table)
            .select((notes::id, notes::body, users::email.nullable()))
            .first(conn)
    })
}

pub(crate) fn plans(conn: &mut TenantConnection) -> QueryResult<Vec<Plan>> {
    plans::table
        .select((plans::name, plans::price_cents))
        .order(plans::price_cents)
        .load(conn)
}

/// The schema that the server itself says unqualified tables are looked for in first.
pub(crate) fn schema(conn: &mut TenantConnection) -> QueryResult<String> {
    diesel::select(sql::<Text>("current_schema()::text")).get_result(conn)
}
