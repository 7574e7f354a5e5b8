//! Domains, composites, ranges, enums and columns that each tenant has of its own (T30, T31).

use std::ops::Bound;

use boardinghouse_tests::TestDb;
use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::{Pg, PgValue},
    prelude::*,
    result::{DatabaseErrorKind, Error as DieselError},
    serialize::{self, Output, ToSql, WriteTuple},
    sql_types::{Array, Integer, Nullable, Range, Record, Text},
};

use crate::{
    statements::{Mood, feelings, sql::Mood as SqlMood},
    surface::in_turn,
};

#[expect(unreachable_pub, reason = "the table macro wants it")]
pub mod sql {
    use diesel::{query_builder::QueryId, sql_types::SqlType};

    #[derive(SqlType, QueryId, Debug)]
    #[diesel(postgres_type(name = "percent"))]
    pub struct Percent;

    #[derive(SqlType, QueryId, Debug)]
    #[diesel(postgres_type(name = "price"))]
    pub struct Price;

    #[derive(SqlType, QueryId, Debug)]
    #[diesel(postgres_type(name = "span"))]
    pub struct Span;
}

/// A domain over `int`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = sql::Percent)]
struct Percent(i32);

impl ToSql<sql::Percent, Pg> for Percent {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<Integer, Pg>::to_sql(&self.0, out)
    }
}

impl FromSql<sql::Percent, Pg> for Percent {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        FromSql::<Integer, Pg>::from_sql(value).map(Self)
    }
}

/// A composite.
#[derive(Clone, Debug, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = sql::Price)]
struct Price {
    currency: String,
    cents: i32,
}

impl ToSql<sql::Price, Pg> for Price {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        WriteTuple::<(Text, Integer)>::write_tuple(
            &(self.currency.clone(), self.cents),
            &mut out.reborrow(),
        )
    }
}

impl FromSql<sql::Price, Pg> for Price {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let (currency, cents) = FromSql::<Record<(Text, Integer)>, Pg>::from_sql(value)?;
        Ok(Self { currency, cents })
    }
}

/// A range over `int`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = sql::Span)]
struct Span(i32, i32);

impl ToSql<sql::Span, Pg> for Span {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        let bounds = (Bound::Included(self.0), Bound::Excluded(self.1));
        ToSql::<Range<Integer>, Pg>::to_sql(&bounds, &mut out.reborrow())
    }
}

impl FromSql<sql::Span, Pg> for Span {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        match FromSql::<Range<Integer>, Pg>::from_sql(value)? {
            (Bound::Included(from), Bound::Excluded(to)) => Ok(Self(from, to)),
            other => Err(format!("{other:?}").into()),
        }
    }
}

diesel::table! {
    offers (id) {
        id -> Integer,
        rebate -> crate::own_types::sql::Percent,
        price -> Nullable<crate::own_types::sql::Price>,
        valid -> Nullable<crate::own_types::sql::Span>,
    }
}

diesel::table! {
    marks (id) {
        id -> Integer,
        value -> Text,
    }
}

/// `a` takes rebates below 10, `b` below 100; what one has made more of, the other has, too.
fn with_types() -> TestDb {
    let db = TestDb::new();
    for (schema, most) in [("a", 10), ("b", 100)] {
        db.sql(&format!(
            "SET search_path TO {schema}; \
             CREATE DOMAIN percent AS int CONSTRAINT most_of_{schema} CHECK (VALUE < {most}); \
             CREATE TYPE price AS (currency text, cents int); \
             CREATE TYPE span AS RANGE (subtype = int4); \
             CREATE TYPE mood AS ENUM ('glad', 'sad'); \
             CREATE TABLE feelings (id serial PRIMARY KEY, mood mood); \
             CREATE TABLE offers (id serial PRIMARY KEY, rebate percent NOT NULL, price price, valid span)"
        ));
    }
    db
}

#[test]
fn a_domain_is_checked_by_the_tenants_own_rule() {
    let db = with_types();
    in_turn(&db, |id, conn| {
        for rebate in [5, 50, 500] {
            let inserted = diesel::insert_into(offers::table)
                .values(offers::rebate.eq(Percent(rebate)))
                .execute(conn);
            let fits = rebate == 5 || (rebate == 50 && id == "b");
            match inserted {
                Ok(1) => assert!(fits, "{rebate} in {id}"),
                Err(DieselError::DatabaseError(DatabaseErrorKind::CheckViolation, info)) => {
                    assert!(!fits, "{rebate} in {id}");
                    let rule = format!("most_of_{id}");
                    assert_eq!(info.constraint_name(), Some(rule.as_str()));
                }
                other => panic!("{other:?}"),
            }
            // As a value that goes into no table.
            let cast = diesel::select(Percent(rebate).into_sql::<sql::Percent>());
            let cast = cast.get_result::<Percent>(conn);
            assert_eq!(cast.is_ok(), fits, "{rebate} in {id}: {cast:?}");
        }
        let small = offers::table
            .filter(offers::rebate.eq(Percent(5)))
            .select(offers::rebate);
        assert!(small.load::<Percent>(conn).unwrap().contains(&Percent(5)));
    });
    assert_eq!(db.value("SELECT count(*) FROM a.offers"), "3");
    assert_eq!(db.value("SELECT count(*) FROM b.offers"), "4");
}

#[test]
fn composites_and_ranges_of_each_tenant_work_on_one_connection() {
    let db = with_types();
    let mut round = 0;
    in_turn(&db, |id, conn| {
        round += 1;
        let price = Price {
            currency: format!("{id}-coin"),
            cents: round,
        };
        let valid = Span(round, round + 10);
        diesel::insert_into(offers::table)
            .values((
                offers::rebate.eq(Percent(1)),
                offers::price.eq(Some(&price)),
                offers::valid.eq(Some(valid)),
            ))
            .execute(conn)
            .unwrap();
        type Row = (Option<Price>, Option<Span>);
        let found: Vec<Row> = offers::table
            .filter(offers::price.eq(Some(&price)))
            .filter(offers::valid.eq(Some(valid)))
            .select((offers::price, offers::valid))
            .load(conn)
            .unwrap();
        assert_eq!(found, [(Some(price.clone()), Some(valid))]);
        let all: Vec<Option<Price>> = offers::table.select(offers::price).load(conn).unwrap();
        assert!(
            all.iter()
                .flatten()
                .all(|price| price.currency.starts_with(id))
        );
    });
    assert_eq!(db.value("SELECT count(*) FROM a.offers"), "3");
}

#[test]
fn arrays_of_a_type_of_each_tenant_work_on_one_connection() {
    let db = with_types();
    in_turn(&db, |_, conn| {
        let moods = vec![Mood::Sad, Mood::Glad];
        let back = diesel::select((&moods).into_sql::<Array<SqlMood>>());
        assert_eq!(back.get_result::<Vec<Mood>>(conn).unwrap(), moods);
        diesel::insert_into(feelings::table)
            .values(feelings::mood.eq(Mood::Sad))
            .execute(conn)
            .unwrap();
        let any = feelings::table
            .filter(feelings::mood.eq_any(&moods))
            .select(feelings::mood.nullable())
            .first::<Option<Mood>>(conn);
        assert_eq!(any.unwrap(), Some(Mood::Sad));
        let none = diesel::select(None::<Mood>.into_sql::<Nullable<SqlMood>>());
        assert_eq!(none.get_result::<Option<Mood>>(conn).unwrap(), None);
    });
}

/// T31, with every kind of statement: `a` has `varchar(3)`, `b` an enum.
#[test]
fn tenants_in_the_middle_of_a_rollout_are_written_and_read_as_they_are() {
    let db = TestDb::new();
    db.sql(
        "CREATE TABLE a.marks (id serial PRIMARY KEY, value varchar(3) NOT NULL); \
         CREATE TYPE b.mark AS ENUM ('one', 'two', 'three'); \
         CREATE TABLE b.marks (id serial PRIMARY KEY, more int, value b.mark NOT NULL)",
    );
    in_turn(&db, |id, conn| {
        let insert = format!(
            "INSERT INTO marks (value) VALUES ('{}')",
            if id == "a" { "two" } else { "three" }
        );
        diesel::sql_query(insert).execute(conn).unwrap();
        for _ in 0..2 {
            let cast = diesel::dsl::sql::<Text>("value::text");
            let all: Vec<String> = marks::table.select(cast).load(conn).unwrap();
            let own = if id == "a" { "two" } else { "three" };
            assert!(all.iter().all(|mark| mark == own), "{all:?}");
            let rows = diesel::sql_query("SELECT * FROM marks")
                .execute(conn)
                .unwrap();
            assert_eq!(rows, all.len());
            let returned = diesel::sql_query("UPDATE marks SET value = value RETURNING *");
            assert_eq!(returned.execute(conn).unwrap(), all.len());
        }
    });
}
