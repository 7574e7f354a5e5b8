//! What a program needs, from its `table!` definitions.

use std::{any::Any, fmt};

use diesel::{
    Column, Expression, Table,
    associations::HasTable,
    debug_query,
    pg::{Pg, PgMetadataLookup, PgTypeMetadata},
    query_builder::{AsQuery, QueryFragment},
    sql_types::{HasSqlType, SingleValue, SqlType, is_nullable},
};

/// Tables that every tenant must have, with their columns.
///
/// # Examples
///
/// ```
/// use boardinghouse_core::{Requirements, require_tables};
///
/// diesel::table! {
///     notes {
///         id -> Integer,
///         body -> Text,
///         author -> Nullable<Integer>,
///     }
/// }
///
/// let required: Requirements = require_tables!(notes);
/// let notes = &required.tables()[0];
/// assert_eq!(notes.name, "notes");
/// assert_eq!(notes.columns[2].name, "author");
/// assert!(notes.columns[2].nullable && !notes.columns[1].nullable);
/// assert_eq!(notes.columns[1].kind.as_ref().map(ToString::to_string).as_deref(), Some("text"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    tables: Vec<Requirement>,
}

/// One table that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Its name in the database.
    pub name: String,
    /// The columns that are needed of it.
    pub columns: Vec<RequiredColumn>,
}

/// One column that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredColumn {
    /// Its name in the database.
    pub name: String,
    /// Its type; `None` where it is not known, and not looked at.
    pub kind: Option<RequiredType>,
    /// Whether the program is ready for NULL.
    pub nullable: bool,
}

/// The type of a column, as Diesel knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequiredType {
    /// One of PostgreSQL's own, by its number.
    BuiltIn(u32),
    /// Another one, by its name; that of an array begins with `_`.
    Named(String),
}

/// The types that Diesel has names for: PostgreSQL's name, its number, that of its array, Diesel's names.
const BUILT_IN: &[(&str, u32, u32, &[&str])] = &[
    ("bool", 16, 1000, &["Bool"]),
    ("bytea", 17, 1001, &["Binary", "Bytea", "Blob"]),
    ("char", 18, 1002, &["CChar"]),
    (
        "int8",
        20,
        1016,
        &["BigInt", "Int8", "Bigint", "BigSerial", "Bigserial"],
    ),
    (
        "int2",
        21,
        1005,
        &["SmallInt", "Int2", "Smallint", "SmallSerial", "Smallserial"],
    ),
    ("int4", 23, 1007, &["Integer", "Int4", "Serial"]),
    (
        "text",
        25,
        1009,
        &["Text", "Varchar", "VarChar", "Bpchar", "Char", "Tinytext"],
    ),
    ("oid", 26, 1028, &["Oid"]),
    ("json", 114, 199, &["Json"]),
    ("pg_lsn", 3220, 3221, &["PgLsn"]),
    ("float4", 700, 1021, &["Float", "Float4"]),
    ("float8", 701, 1022, &["Double", "Float8"]),
    ("money", 790, 791, &["Money"]),
    ("macaddr", 829, 1040, &["MacAddr"]),
    ("macaddr8", 774, 775, &["MacAddr8"]),
    ("cidr", 650, 651, &["Cidr"]),
    ("inet", 869, 1041, &["Inet"]),
    ("date", 1082, 1182, &["Date"]),
    ("time", 1083, 1183, &["Time"]),
    ("timestamp", 1114, 1115, &["Timestamp"]),
    (
        "timestamptz",
        1184,
        1185,
        &["Timestamptz", "TimestamptzSqlite"],
    ),
    ("interval", 1186, 1187, &["Interval"]),
    ("numeric", 1700, 1231, &["Numeric", "Decimal"]),
    ("uuid", 2950, 2951, &["Uuid"]),
    ("jsonb", 3802, 3807, &["Jsonb"]),
    ("jsonpath", 4072, 4073, &["Jsonpath"]),
    ("int4range", 3904, 3905, &["Int4range"]),
    ("numrange", 3906, 3907, &["Numrange"]),
    ("tsrange", 3908, 3909, &["Tsrange"]),
    ("tstzrange", 3910, 3911, &["Tstzrange"]),
    ("daterange", 3912, 3913, &["Daterange"]),
    ("int8range", 3926, 3927, &["Int8range"]),
];

/// Types that Diesel reads as `text`, with their arrays: `varchar`, `char(n)`, `name`.
const LIKE_TEXT: &[(u32, u32)] = &[(1043, 1015), (1042, 1014), (19, 1003)];

impl RequiredType {
    /// The type that a `table!` calls `name`, such as `Int4`; `None` where Diesel has no such type.
    #[must_use]
    pub fn diesel(name: &str) -> Option<Self> {
        let mut all = BUILT_IN.iter();
        let found = all.find(|(_, _, _, names)| names.contains(&name));
        found.map(|(_, oid, ..)| Self::BuiltIn(*oid))
    }

    /// The array of this type; `None` where there is none.
    #[must_use]
    pub fn array(&self) -> Option<Self> {
        match self {
            Self::Named(name) => Some(Self::Named(format!("_{name}"))),
            Self::BuiltIn(oid) => {
                let mut all = BUILT_IN.iter();
                let found = all.find(|(_, of, ..)| of == oid);
                found.map(|(_, _, array, _)| Self::BuiltIn(*array))
            }
        }
    }

    /// Whether a column of the type that is called so, or that has this number, will do.
    pub(super) fn takes(&self, name: &str, oid: Option<u32>) -> bool {
        match self {
            Self::Named(wanted) => wanted == name,
            Self::BuiltIn(wanted) => oid.is_some_and(|oid| {
                let mut like_text = LIKE_TEXT.iter();
                oid == *wanted
                    || like_text.any(|(one, array)| {
                        *wanted == 25 && oid == *one || *wanted == 1009 && oid == *array
                    })
            }),
        }
    }
}

impl fmt::Display for RequiredType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.pad(name),
            Self::BuiltIn(oid) => {
                for (name, one, array, _) in BUILT_IN {
                    if oid == one {
                        return f.pad(name);
                    }
                    if oid == array {
                        return f.pad(&format!("_{name}"));
                    }
                }
                f.pad(&format!("type {oid}"))
            }
        }
    }
}

impl Requirements {
    /// Nothing is required yet. See [`require_tables!`](crate::require_tables).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires a table, as its `table!` describes it. One that names its schema is in no tenant, and is left
    /// out.
    #[must_use]
    pub fn table<T>(mut self) -> Self
    where
        T: Table + HasTable<Table = T>,
        T::AllColumns: RequiredColumns,
        <T as AsQuery>::Query: QueryFragment<Pg>,
    {
        let query = debug_query::<Pg, _>(&T::table().as_query()).to_string();
        // SELECT "notes"."id" FROM "notes" -- binds: []
        let from = query.rsplit_once(" FROM ").map_or("", |(_, from)| from);
        let name = from.rsplit_once(" -- binds").map_or(from, |(name, _)| name);
        let name = name.trim();
        let inside = name
            .strip_prefix('"')
            .and_then(|name| name.strip_suffix('"'));
        if let Some(name) = inside.filter(|name| !name.contains("\".\"")) {
            self.tables.push(Requirement {
                name: name.replace("\"\"", "\""),
                columns: T::AllColumns::required(),
            });
        }
        self
    }

    /// Requires a table that is described otherwise.
    #[must_use]
    pub fn and(mut self, table: Requirement) -> Self {
        self.tables.push(table);
        self
    }

    /// The tables that are required.
    #[must_use]
    pub fn tables(&self) -> &[Requirement] {
        &self.tables
    }
}

/// [`Requirements`] of these tables, each called as the module that `table!` makes of it.
///
/// # Examples
///
/// ```
/// mod schema {
///     diesel::table! { notes { id -> Integer } }
///     diesel::table! { tags { id -> Integer } }
/// }
/// use schema::notes;
///
/// let required = boardinghouse_core::require_tables!(notes, schema::tags);
/// assert_eq!(required.tables().len(), 2);
/// ```
#[macro_export]
macro_rules! require_tables {
    ($($($module:ident)::+),+ $(,)?) => {
        $crate::Requirements::new()$(.table::<$($module)::+::table>())+
    };
}

/// Columns as they are required: of tuples of columns, as `all_columns` of a `table!` is.
pub trait RequiredColumns {
    /// The columns.
    fn required() -> Vec<RequiredColumn>;
}

/// Notes what Diesel would ask the server, and answers with numbers that no type has.
struct Names(Vec<String>);

const FIRST: u32 = 0xF000_0000;
const FIRST_ARRAY: u32 = 0xF800_0000;

impl PgMetadataLookup for Names {
    fn lookup_type(&mut self, name: &str, _: Option<&str>) -> PgTypeMetadata {
        let number = u32::try_from(self.0.len()).unwrap_or_default();
        self.0.push(name.to_owned());
        PgTypeMetadata::new(FIRST + number, FIRST_ARRAY + number)
    }

    fn as_any<'a>(&mut self) -> &mut (dyn Any + 'a)
    where
        Self: 'a,
    {
        self
    }
}

/// Whether a type has NULL.
trait HasNull {
    const HAS_NULL: bool;
}

impl HasNull for is_nullable::IsNullable {
    const HAS_NULL: bool = true;
}

impl HasNull for is_nullable::NotNull {
    const HAS_NULL: bool = false;
}

fn kind<T>() -> Option<RequiredType>
where
    Pg: HasSqlType<T>,
{
    let mut names = Names(Vec::new());
    let oid = <Pg as HasSqlType<T>>::metadata(&mut names).oid().ok()?;
    let named = |first: u32, prefix: &str| {
        let number = usize::try_from(oid.checked_sub(first)?).ok()?;
        let name = names.0.get(number)?;
        Some(RequiredType::Named(format!("{prefix}{name}")))
    };
    match oid {
        FIRST_ARRAY.. => named(FIRST_ARRAY, "_"),
        FIRST.. => named(FIRST, ""),
        oid => Some(RequiredType::BuiltIn(oid)),
    }
}

/// One column.
trait OneColumn {
    fn one() -> RequiredColumn;
}

impl<C> OneColumn for C
where
    C: Column + Expression,
    C::SqlType: SqlType + SingleValue,
    <C::SqlType as SqlType>::IsNull: HasNull,
    Pg: HasSqlType<C::SqlType>,
{
    fn one() -> RequiredColumn {
        RequiredColumn {
            name: C::NAME.to_owned(),
            kind: kind::<C::SqlType>(),
            nullable: <C::SqlType as SqlType>::IsNull::HAS_NULL,
        }
    }
}

macro_rules! tuples {
    ($first:ident $($rest:ident)*) => {
        impl<$first: OneColumn, $($rest: OneColumn),*> RequiredColumns for ($first, $($rest,)*) {
            fn required() -> Vec<RequiredColumn> {
                vec![$first::one(), $($rest::one()),*]
            }
        }
        tuples!($($rest)*);
    };
    () => {};
}

tuples!(
    A B C D E F G H I J K L M N O P Q R S T U V W X Y Z
    A1 B1 C1 D1 E1 F1 G1 H1 I1 J1 K1 L1 M1 N1 O1 P1 Q1 R1 S1 T1 U1 V1 W1 X1 Y1 Z1
    A2 B2 C2 D2 E2 F2 G2 H2 I2 J2 K2 L2
);

#[cfg(test)]
mod tests {
    use super::RequiredType;

    mod schema {
        #[derive(Debug, diesel::sql_types::SqlType)]
        #[diesel(postgres_type(name = "status"))]
        pub struct Status;

        diesel::table! {
            use super::Status;
            use diesel::sql_types::*;

            #[sql_name = "We \"Ird"]
            weird {
                id -> Int8,
                #[sql_name = "type"]
                kind -> Nullable<Status>,
                all -> Array<Status>,
                tags -> Array<Nullable<Text>>,
            }
        }

        diesel::table! {
            elsewhere.others { id -> Integer }
        }
    }

    #[test]
    fn tables_say_what_they_need() {
        let required = crate::require_tables!(schema::weird, schema::others);
        assert_eq!(required.tables().len(), 1, "the other one names its schema");
        let weird = &required.tables()[0];
        assert_eq!(weird.name, "We \"Ird");
        let columns = weird.columns.iter().map(|column| {
            let kind = column.kind.as_ref().map(ToString::to_string);
            format!(
                "{} {} {}",
                column.name,
                kind.unwrap_or_default(),
                column.nullable
            )
        });
        let expected = [
            "id int8 false",
            "type status true",
            "all _status false",
            "tags _text false",
        ];
        assert_eq!(columns.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn diesels_names_lead_to_postgresqls_types() {
        let text = RequiredType::diesel("Varchar").expect("a type");
        assert!(text.takes("varchar", Some(1043)) && text.takes("text", Some(25)));
        assert!(!text.takes("int4", Some(23)));
        assert!(
            text.array()
                .expect("an array")
                .takes("_varchar", Some(1015))
        );
        assert_eq!(RequiredType::diesel("Status"), None);
        assert!(RequiredType::Named("status".into()).takes("status", None));
    }
}
