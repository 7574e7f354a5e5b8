//! A database beside the application's, in which both sets of migrations meet.

use diesel::{
    connection::SimpleConnection, migration::MigrationSource, pg::Pg, prelude::*, sql_types,
};

use crate::{
    conninfo,
    error::{Error, ErrorKind, Result},
    layout::Layout,
    migrate::{Migrator, Several},
    names::SchemaName,
    pool::TenantPool,
    sql,
};

/// What the names of scratch databases begin with. The time of creation follows, and something random.
const PREFIX: &str = "boardinghouse_scratch_";

/// A database for a short time, in which a program that knows no tenants finds the tables of both sets of
/// migrations in one schema, `public`.
///
/// It is for programs that read a database to generate code, such as `diesel print-schema`: they write the
/// tables of a tenant's schema, or of the template, with its name in front, which ignores the tenant.
///
/// The database is created on the server of the application's, under a name of its own, and dropped by
/// [`remove`](Self::remove), or else with this value. One that was left behind by a process that was
/// killed is dropped by the next [`create`](Self::create) that comes more than an hour later. The role
/// needs the right to create databases.
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::{Layout, ScratchDatabase};
/// use diesel_migrations::FileBasedMigrations;
///
/// let scratch = ScratchDatabase::create("postgres://localhost/app")?;
/// scratch.migrate(
///     &Layout::default(),
///     FileBasedMigrations::from_path("migrations/shared")?,
///     FileBasedMigrations::from_path("migrations/tenant")?,
/// )?;
/// println!("look at it: {}", scratch.url());
/// scratch.remove()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "it is dropped with this value"]
pub struct ScratchDatabase {
    /// Where the server is asked to create and to drop it.
    server: String,
    name: String,
    url: String,
    removed: bool,
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = sql_types::Text)]
    name: String,
}

impl ScratchDatabase {
    /// Creates an empty database on the server of the database that `url` leads to.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ConnectionFailed`], and [`ErrorKind::Database`] where the role may not create
    /// databases.
    pub fn create(url: &str) -> Result<Self> {
        let mut server = connect(url)?;
        drop_abandoned(&mut server);
        let name = name(
            &mut server,
            "SELECT pg_catalog.concat($1, extract(epoch FROM pg_catalog.now())::bigint, '_', \
             pg_catalog.left(pg_catalog.md5(pg_catalog.gen_random_uuid()::text), 8)) AS name",
        )?;
        server
            .batch_execute(&sql::create_database(&name))
            .map_err(|error| {
                let what = "create a scratch database: the role needs the right CREATEDB";
                Error::database(what, error)
            })?;
        Ok(Self {
            server: url.to_owned(),
            url: conninfo::with_database(url, &name),
            name,
            removed: false,
        })
    }

    /// The URL of the database: always of the form `postgres://…`, whatever the form of the application's.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Creates an extension that migrations expect to be there, and its schema.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Database`] when the server has no such extension, or the role may not create it.
    pub fn create_extension(&self, name: &str, schema: &SchemaName) -> Result<()> {
        connect(&self.url)?
            .batch_execute(&sql::create_extension(name, schema))
            .map_err(|error| Error::database(&format!("create extension {name}"), error))
    }

    /// Runs both sets as [`Migrator`] does, each in the schema that it is for, and then moves what they
    /// made into `public`: tables, views and types. Names that are in the way of others there, of indexes
    /// and sequences, are changed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when both sets have a table, or a type, of one name: no program could
    /// tell the two apart. [`ErrorKind::Migration`] when a migration does not run on an empty database;
    /// [`ErrorKind::ConnectionFailed`] and [`ErrorKind::Database`].
    pub fn migrate(
        &self,
        layout: &Layout,
        shared: impl MigrationSource<Pg> + Send + Sync + 'static,
        tenants: impl MigrationSource<Pg> + Send + Sync + 'static,
    ) -> Result<()> {
        let mut pg = connect(&self.url)?;
        for extra in layout.extra() {
            pg.batch_execute(&sql::create_schema_if_missing(extra))
                .map_err(|error| Error::database(&format!("create schema {extra}"), error))?;
        }
        let pool = TenantPool::builder()
            .layout(layout.clone())
            .max_size(1)
            .without_listener()
            .build(&self.url)?;
        Migrator::new(pool)
            .shared(shared)
            .tenants(tenants)
            .run()
            .and_then(|report| report.into_result())
            .map_err(|error| {
                let message = "the migrations do not run in a new, empty database";
                Error::new(error.kind(), message).with_source(error)
            })?;
        gather(&mut pg, layout)
    }

    /// As [`migrate`](Self::migrate), for sets that are in several places each, or in none: what kinds of tenants
    /// have besides is in the tenants' set, and a static tenant's own migrations can take its place. What a kind
    /// changes in a table that all tenants have is then changed there.
    ///
    /// # Errors
    ///
    /// Those of [`migrate`](Self::migrate); two kinds cannot have a table, or a version, in common here.
    pub fn migrate_sets<S>(
        &self,
        layout: &Layout,
        shared: impl IntoIterator<Item = S>,
        tenants: impl IntoIterator<Item = S>,
    ) -> Result<()>
    where
        S: MigrationSource<Pg> + Send + Sync + 'static,
    {
        let [shared, tenants] = [
            Several(shared.into_iter().collect()),
            Several(tenants.into_iter().collect()),
        ];
        self.migrate(layout, shared, tenants)
    }

    /// Drops the database, whoever is connected to it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ConnectionFailed`] and [`ErrorKind::Database`]; the database is then still there.
    pub fn remove(mut self) -> Result<()> {
        self.removed = true;
        self.drop_database()
    }

    fn drop_database(&self) -> Result<()> {
        connect(&self.server)?
            .batch_execute(&sql::drop_database(&self.name))
            .map_err(|error| {
                Error::database(&format!("drop the scratch database {}", self.name), error)
            })
    }
}

impl Drop for ScratchDatabase {
    fn drop(&mut self) {
        if !self.removed
            && let Err(error) = self.drop_database()
        {
            tracing::warn!(error = error.chain(), "a scratch database is left behind");
        }
    }
}

fn connect(url: &str) -> Result<PgConnection> {
    PgConnection::establish(url).map_err(Error::connect)
}

fn name(server: &mut PgConnection, query: &str) -> Result<String> {
    let row: Name = diesel::sql_query(query)
        .bind::<sql_types::Text, _>(PREFIX)
        .get_result(server)
        .map_err(|error| Error::database("name a scratch database", error))?;
    Ok(row.name)
}

/// Drops scratch databases that are older than an hour, unless somebody is connected to them. What cannot be
/// dropped is another's business.
fn drop_abandoned(server: &mut PgConnection) {
    let abandoned = diesel::sql_query(
        "SELECT datname::text AS name FROM pg_catalog.pg_database \
         WHERE datname ~ pg_catalog.concat('^', $1, '[0-9]{10}_[0-9a-f]{8}$') \
         AND pg_catalog.split_part(datname, '_', 3)::bigint \
             < extract(epoch FROM pg_catalog.now()) - 3600",
    )
    .bind::<sql_types::Text, _>(PREFIX)
    .load::<Name>(server);
    for Name { name } in abandoned.into_iter().flatten() {
        if let Err(error) = server.batch_execute(&sql::drop_unused_database(&name)) {
            tracing::debug!(name, %error, "an old scratch database was not dropped");
        }
    }
}

/// What the schemas hold, less what belongs to extensions: relations, and types other than those of
/// relations' rows, and of arrays, which come along.
macro_rules! held {
    () => {
        "WITH relations AS (\
             SELECT c.oid, c.relkind, c.relname AS name, n.oid AS schema, n.nspname \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = ANY ($1) AND c.relname <> '__diesel_schema_migrations' \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.deptype = 'e' \
                 AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid)\
         ), tables AS (\
             SELECT * FROM relations WHERE relkind IN ('r', 'p', 'v', 'm', 'f')\
         ), types AS (\
             SELECT t.oid, t.typname AS name, n.oid AS schema, n.nspname \
             FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
             LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid \
             WHERE n.nspname = ANY ($1) AND (t.typrelid = 0 OR c.relkind = 'c') \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_type element WHERE element.typarray = t.oid) \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.deptype = 'e' \
                 AND d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid)\
         ) "
    };
}

/// Moves what both sets made into one schema.
fn gather(pg: &mut PgConnection, layout: &Layout) -> Result<()> {
    let schemas = [
        SchemaName::PUBLIC,
        layout.shared().as_str(),
        layout.template().as_str(),
    ];
    let twice = ask(
        pg,
        concat!(
            held!(),
            "SELECT (CASE WHEN pg_catalog.bool_and(is_table) THEN 'table ' \
                 WHEN NOT pg_catalog.bool_or(is_table) THEN 'type ' ELSE '' END) || name AS name \
             FROM (SELECT name, schema, true AS is_table FROM tables \
                 UNION ALL SELECT name, schema, false FROM types) AS every \
             GROUP BY name HAVING pg_catalog.count(DISTINCT schema) > 1 ORDER BY every.name"
        ),
        &schemas,
    )?;
    if !twice.is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!(
                "the shared migrations and the tenant migrations both create {}: code that is \
                 generated from them has room for one, and in a tenant's path one hides the other; \
                 give one of the two another name",
                twice.join(", ")
            ),
        ));
    }
    let rename = concat!(
        held!(),
        "SELECT pg_catalog.format('ALTER %s %I.%I RENAME TO %I', \
             CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'INDEX' END, nspname, name, \
             'boardinghouse_' || oid) AS name \
         FROM relations WHERE relkind IN ('i', 'I', 'S') AND EXISTS (\
             SELECT FROM pg_catalog.pg_class other JOIN pg_catalog.pg_namespace n \
             ON n.oid = other.relnamespace WHERE n.nspname = ANY ($1) \
             AND other.relname = relations.name AND other.oid <> relations.oid)"
    );
    let move_all = concat!(
        held!(),
        "SELECT pg_catalog.format('ALTER %s %I.%I SET SCHEMA public', kind, nspname, name) AS name \
         FROM (SELECT 'TABLE' AS kind, nspname, name FROM tables \
             UNION ALL SELECT 'TYPE', nspname, name FROM types) AS every \
         WHERE nspname <> 'public'"
    );
    for statements in [rename, move_all] {
        // One at a time: in one transaction, so many locks might not fit.
        for statement in ask(pg, statements, &schemas)? {
            pg.batch_execute(&statement)
                .map_err(|error| Error::database("gather both sets in one schema", error))?;
        }
    }
    Ok(())
}

fn ask(pg: &mut PgConnection, query: &str, schemas: &[&str]) -> Result<Vec<String>> {
    let rows: Vec<Name> = diesel::sql_query(query)
        .bind::<sql_types::Array<sql_types::Text>, _>(schemas)
        .load(pg)
        .map_err(|error| Error::database("look at what the migrations made", error))?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}
