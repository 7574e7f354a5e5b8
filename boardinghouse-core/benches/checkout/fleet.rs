//! Many tenants, made by SQL, and queries on them.

use boardinghouse_core::{Migrator, PgRegistry, Tenant, TenantPool};
use diesel::{
    connection::{LoadConnection, SimpleConnection},
    pg::Pg,
    prelude::*,
    r2d2::{ConnectionManager, Pool},
    sql_types::{BigInt, Integer, Text},
};

use crate::qualified::Qualified;

/// The rival's pool.
pub(crate) type Plain = Pool<ConnectionManager<PgConnection>>;

diesel::table! {
    notes { id -> Integer, body -> Text, author -> Integer, tag -> Integer }
}

/// How many rows `notes` has in each tenant: enough that the planner takes its index.
const ROWS: usize = 1_000;

/// Makes `count` tenants `t0`, `t1`, … of so many tables; gives what the registry says of them. Those that
/// are there already are kept.
pub(crate) fn make(url: &str, count: usize, tables: usize) -> Vec<Tenant> {
    let pool = TenantPool::builder().without_listener().build(url).unwrap();
    Migrator::new(pool.clone())
        .init()
        .unwrap()
        .into_result()
        .unwrap();
    let mut conn = PgConnection::establish(url).unwrap();
    conn.batch_execute("SET client_min_messages TO warning")
        .unwrap();
    for some in (0..count).collect::<Vec<_>>().chunks(20) {
        let statements: String = some.iter().map(|n| schema(*n, tables)).collect();
        conn.batch_execute(&statements).unwrap();
    }
    conn.batch_execute(&format!(
        "INSERT INTO boardinghouse.tenants (id, schema_name, display_name, status) \
         SELECT 't' || n, 't' || n, 't', 'ready' FROM generate_series(0, {count} - 1) AS n \
         ON CONFLICT DO NOTHING; ANALYZE boardinghouse.tenants"
    ))
    .unwrap();
    let mut tenants = PgRegistry::new(pool).list().unwrap();
    tenants.sort_by_key(|tenant| tenant.id().as_str()[1..].parse::<usize>().unwrap());
    tenants.truncate(count);
    tenants
}

/// The statements that make a tenant. Its tables are analysed: autovacuum would do it in the midst of a run,
/// and every session would plan its statements anew.
fn schema(number: usize, tables: usize) -> String {
    let more: String = (1..tables)
        .map(|table| {
            format!(
                "CREATE TABLE IF NOT EXISTS t{number}.more_{table} (id int PRIMARY KEY, body text);"
            )
        })
        .collect();
    format!(
        "CREATE SCHEMA IF NOT EXISTS t{number};
         CREATE TABLE IF NOT EXISTS t{number}.__diesel_schema_migrations
             (version varchar(50) PRIMARY KEY, run_on timestamp NOT NULL DEFAULT now());
         CREATE TABLE IF NOT EXISTS t{number}.notes
             (id int PRIMARY KEY, body text NOT NULL, author int NOT NULL, tag int NOT NULL);
         INSERT INTO t{number}.notes SELECT n, 'note ' || n, n, n FROM generate_series(1, {ROWS}) AS n
             ON CONFLICT DO NOTHING;
         ANALYZE t{number}.notes, t{number}.__diesel_schema_migrations;
         {more}"
    )
}

/// What the rival sends to be on a tenant.
pub(crate) fn set_path(tenant: &Tenant) -> String {
    format!("SET search_path TO {}, public", tenant.schema())
}

/// A select by the primary key.
pub(crate) fn select<C>(conn: &mut C, turn: usize)
where
    C: Connection<Backend = Pg> + LoadConnection,
{
    let body: String = notes::table
        .find(key(turn))
        .select(notes::body)
        .first(conn)
        .unwrap();
    assert!(body.starts_with("note"));
}

/// Five different selects by the primary key.
pub(crate) fn five_selects<C>(conn: &mut C, turn: usize)
where
    C: Connection<Backend = Pg> + LoadConnection,
{
    select(conn, turn);
    let by_key = notes::table.find(key(turn));
    let author: i32 = by_key.select(notes::author).first(conn).unwrap();
    let tag: i32 = by_key.select(notes::tag).first(conn).unwrap();
    let both: (i32, String) = by_key.select((notes::id, notes::body)).first(conn).unwrap();
    let count: i64 = by_key.count().get_result(conn).unwrap();
    assert!(author == tag && both.0 == tag && count == 1);
}

/// The texts of the five, with the schema in each: as the table's, or in a comment.
pub(crate) fn five_texts(schema: &str, by_path: bool) -> [String; 5] {
    let [tag, prefix] = match by_path {
        true => [format!("/*{schema}*/ "), String::new()],
        false => [String::new(), format!("{schema}.")],
    };
    ["body", "author", "tag", "id, body", "count(*)"]
        .map(|what| format!("{tag}SELECT {what} FROM {prefix}notes WHERE id = "))
}

/// The same five selects, by their texts.
pub(crate) fn five_by_text(conn: &mut PgConnection, texts: &[String; 5], turn: usize) {
    fn one<ST>(text: &str, turn: usize) -> Qualified<'_, i32, Integer, ST> {
        Qualified::new(text, Some(key(turn)))
    }
    let [body, author, tag, both, count] = texts;
    let body: String = one::<Text>(body, turn).get_result(conn).unwrap();
    let author: i32 = one::<Integer>(author, turn).get_result(conn).unwrap();
    let tag: i32 = one::<Integer>(tag, turn).get_result(conn).unwrap();
    let both: (i32, String) = one::<(Integer, Text)>(both, turn).get_result(conn).unwrap();
    let count: i64 = one::<BigInt>(count, turn).get_result(conn).unwrap();
    assert!(body.starts_with("note") && author == tag && both.0 == tag && count == 1);
}

fn key(turn: usize) -> i32 {
    i32::try_from(turn % ROWS).unwrap() + 1
}

pub(crate) fn plain(url: &str, size: u32) -> Plain {
    Plain::builder()
        .max_size(size)
        .build(ConnectionManager::new(url))
        .unwrap()
}

/// The rival's checkout of a tenant: its ping, then the path, neither proven nor cleaned.
pub(crate) fn naive(
    pool: &Plain,
    path: &str,
) -> diesel::r2d2::PooledConnection<ConnectionManager<PgConnection>> {
    let mut conn = pool.get().unwrap();
    conn.batch_execute(path).unwrap();
    conn
}
