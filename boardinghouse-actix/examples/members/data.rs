//! Plain Diesel: which tenant's notes a query means is decided by the connection it runs on.

use boardinghouse_core::{SharedConnection, TenantConnection};
use diesel::prelude::*;
use serde::Serialize;

use crate::schema::{notes, people};

#[derive(Debug, Queryable, Serialize)]
pub(crate) struct Note {
    id: i32,
    body: String,
    author: String,
}

#[derive(Debug, Queryable, Serialize)]
pub(crate) struct Person {
    name: String,
    about: String,
}

pub(crate) fn list(conn: &mut TenantConnection) -> QueryResult<Vec<Note>> {
    notes::table.order(notes::id).load(conn)
}

pub(crate) fn note(conn: &mut TenantConnection, id: i32) -> QueryResult<Option<Note>> {
    notes::table.find(id).first(conn).optional()
}

pub(crate) fn add(conn: &mut TenantConnection, body: &str, author: &str) -> QueryResult<usize> {
    diesel::insert_into(notes::table)
        .values((notes::body.eq(body), notes::author.eq(author)))
        .execute(conn)
}

pub(crate) fn people(conn: &mut SharedConnection) -> QueryResult<Vec<Person>> {
    people::table.order(people::name).load(conn)
}

pub(crate) fn is_person(conn: &mut SharedConnection, name: &str) -> QueryResult<bool> {
    diesel::select(diesel::dsl::exists(people::table.find(name))).get_result(conn)
}
