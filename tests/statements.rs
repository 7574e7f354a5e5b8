//! Statements and custom types belong to the tenant, not to the connection.

use boardinghouse_core::{TenantConnection, TenantPool};
use boardinghouse_tests::{TestDb, bodies, tenant, value};
use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::{Pg, PgValue},
    prelude::*,
    serialize::{self, IsNull, Output, ToSql},
};

#[expect(unreachable_pub, reason = "the table macro wants it")]
pub mod sql {
    #[derive(diesel::sql_types::SqlType, diesel::query_builder::QueryId)]
    #[diesel(postgres_type(name = "mood"))]
    #[derive(Debug)]
    pub struct Mood;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = sql::Mood)]
pub(crate) enum Mood {
    Glad,
    Sad,
}

impl ToSql<sql::Mood, Pg> for Mood {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        std::io::Write::write_all(
            out,
            match self {
                Self::Glad => b"glad",
                Self::Sad => b"sad",
            },
        )?;
        Ok(IsNull::No)
    }
}

impl FromSql<sql::Mood, Pg> for Mood {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        match value.as_bytes() {
            b"glad" => Ok(Self::Glad),
            b"sad" => Ok(Self::Sad),
            other => Err(format!("{other:?}").into()),
        }
    }
}

diesel::table! {
    feelings (id) {
        id -> Integer,
        mood -> crate::statements::sql::Mood,
    }
}

diesel::table! {
    shapes (id) {
        id -> Integer,
        side -> Text,
    }
}

fn each(db: &TestDb, statements: &str) {
    for schema in ["a", "b"] {
        db.sql(&format!("SET search_path TO {schema}; {statements}"));
    }
}

fn pools(db: &TestDb) -> (TenantPool, [boardinghouse_core::Tenant; 2]) {
    let pool = db.pool(1);
    let tenants = [tenant(&pool, "a"), tenant(&pool, "b")];
    (pool, tenants)
}

/// T30.
#[test]
fn an_enum_of_each_tenant_works_on_one_connection() {
    let db = TestDb::new();
    each(
        &db,
        "CREATE TYPE mood AS ENUM ('glad', 'sad'); CREATE TABLE feelings (id serial PRIMARY KEY, mood mood)",
    );
    let (pool, [a, b]) = pools(&db);
    for round in 1..=2_i64 {
        for tenant in [&a, &b, &a] {
            let mut conn = pool.get(tenant).unwrap();
            diesel::insert_into(feelings::table)
                .values(feelings::mood.eq(Mood::Glad))
                .execute(&mut conn)
                .unwrap();
            let glad = feelings::table
                .filter(feelings::mood.eq(Mood::Glad))
                .count();
            assert!(glad.get_result::<i64>(&mut conn).unwrap() >= round);
            let all: Vec<Mood> = feelings::table
                .select(feelings::mood)
                .load(&mut conn)
                .unwrap();
            assert!(!all.contains(&Mood::Sad));
        }
    }
    assert_eq!(
        db.value(
            "SELECT (SELECT count(*) FROM a.feelings) || ' ' || (SELECT count(*) FROM b.feelings)"
        ),
        "4 2"
    );
}

#[test]
fn an_enum_that_was_created_anew_is_looked_up_anew() {
    let db = TestDb::new();
    let create = "CREATE TYPE mood AS ENUM ('glad', 'sad'); CREATE TABLE feelings (id serial PRIMARY KEY, mood mood)";
    each(&db, create);
    let pool = db.pool(1);
    let insert = |conn: &mut TenantConnection| {
        diesel::insert_into(feelings::table)
            .values(feelings::mood.eq(Mood::Sad))
            .execute(conn)
    };
    insert(&mut pool.get(&tenant(&pool, "a")).unwrap()).unwrap();
    // What a migration does: change, and advance the epoch.
    db.sql(&format!(
        "SET search_path TO a; DROP TABLE feelings; DROP TYPE mood; {create}; \
         UPDATE boardinghouse.tenants SET epoch = DEFAULT WHERE id = 'a'"
    ));
    insert(&mut pool.get(&tenant(&pool, "a")).unwrap()).unwrap();
}

/// T31.
#[test]
fn tenants_whose_column_types_differ_do_not_meet_each_others_plans() {
    let db = TestDb::new();
    db.sql("CREATE TABLE a.shapes (id serial PRIMARY KEY, side varchar(10)); CREATE TABLE b.shapes (id serial PRIMARY KEY, side text);
            INSERT INTO a.shapes (side) VALUES ('short'); INSERT INTO b.shapes (side) VALUES ('long')");
    let (pool, [a, b]) = pools(&db);
    for _ in 0..2 {
        for (tenant, expected) in [(&a, "short"), (&b, "long"), (&a, "short")] {
            let mut conn = pool.get(tenant).unwrap();
            let sides: Vec<String> = shapes::table.select(shapes::side).load(&mut conn).unwrap();
            assert_eq!(sides, [expected]);
            // By position, so that the result types are those of the server.
            let rows = diesel::sql_query("SELECT * FROM shapes")
                .execute(&mut conn)
                .unwrap();
            assert_eq!(rows, 1);
        }
    }
}

#[test]
fn functions_that_take_a_bare_pg_connection_work_and_stay_with_their_tenant() {
    fn plain(conn: &mut PgConnection) -> QueryResult<Vec<String>> {
        use boardinghouse_tests::schema::notes;
        notes::table.select(notes::body).load(conn)
    }
    let db = TestDb::new();
    db.sql("ALTER TABLE b.notes ALTER body TYPE varchar(100)"); // another result type
    let (pool, [a, b]) = pools(&db);
    for _ in 0..3 {
        for (tenant, expected) in [(&a, "from-a"), (&b, "from-b"), (&b, "from-b")] {
            let mut conn = pool.get(tenant).unwrap();
            assert_eq!(plain(&mut conn).unwrap(), [expected]);
            assert_eq!(bodies(&mut conn).unwrap(), [expected]);
        }
    }
}

#[test]
fn every_statement_says_in_front_whose_it_is() {
    let db = TestDb::new();
    let (pool, [a, _]) = pools(&db);
    let mut conn = pool.get(&a).unwrap();
    let tag = format!("/*a.{}*/ ", a.epoch());
    let own = "SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    assert!(value(&mut conn, own).starts_with(&tag));
}

#[test]
fn a_name_cannot_end_the_comment_in_front_of_a_statement() {
    let db = TestDb::new();
    let evil = "*/ DROP TABLE public.notes; /*";
    db.sql(&format!("CREATE SCHEMA \"{evil}\"; CREATE TABLE \"{evil}\".notes (id serial PRIMARY KEY, body text, author int)"));
    let pool = db.pool(1);
    let schema = boardinghouse_core::SchemaName::existing(evil).unwrap();
    let adopted = boardinghouse_core::Tenant::new("evil".parse().unwrap(), schema);
    let mut conn = pool.get(&adopted).unwrap();
    assert_eq!(bodies(&mut conn).unwrap(), [""; 0]);
    assert_eq!(value(&mut conn, "SELECT current_schema()"), evil);
}
