//! PostgreSQL schema-per-tenant multi-tenancy for Diesel.
//!
//! ```no_run
//! use boardinghouse_core::{PgRegistry, TenantPool};
//! use diesel::prelude::*;
//!
//! diesel::table! {
//!     notes { id -> Integer, body -> Text }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = TenantPool::builder().max_size(15).build("postgres://localhost/app")?;
//! let acme = PgRegistry::new(pool.clone()).get(&"acme".parse()?)?;
//! let mut conn = pool.get(&acme)?;
//! let bodies: Vec<String> = notes::table.select(notes::body).load(&mut conn)?; // acme's notes
//! # Ok(())
//! # }
//! ```
//!
//! Four types lead from text to rows. Each is the proof of one step, and the next step accepts
//! nothing else:
//!
//! 1. [`TenantId`]: text that could name a tenant.
//! 2. [`Tenant`]: what the registry says about it, from [`PgRegistry`].
//! 3. [`TenantPool`]: the connections of all tenants; [`get`](TenantPool::get) takes a [`Tenant`].
//! 4. [`TenantConnection`]: a Diesel connection that is proven to be on the tenant's schema.
//!    [`SharedConnection`] is its sibling for what is nobody's.
//!
//! For actix-web, begin with the crate `boardinghouse-actix`. Beside the four types stand [`Migrator`], which keeps the fleet at one version, and [`Provisioner`], which
//! clones new tenants from the [`Template`]. [`Layout`] names the schemas, and [`Doctor`] looks the
//! whole over. Module [`console`] runs what a person types, and [`lint`] reads migrations before they are
//! run.
//!
//! # More than one tenant, later, and elsewhere
//!
//! * [`PgRegistry::for_each_tenant`] and [`TenantPool::across`] do the same for many tenants, several at
//!   a time. Each result says whose it is, and a tenant that fails, fails alone.
//! * [`TenantJob`] is work for one tenant that waits in a queue. It cannot be made without a tenant, and
//!   it is not done for another one that has its id by then.
//! * [`tenant_key`] makes the keys of a cache that all tenants share.
//! * [`ReplicatedPool`] reads on a streaming replica. It is more than a second pool: on a replica, no
//!   lock keeps a schema in its place during a checkout.
//! * [`TableMove`] moves a table from the shared schema to the tenants, or back.
//! * [`StaticTenants`] are those that a configuration file names, such as the company's own site: with schemas
//!   and migrations of their own, and no row in the registry.
//! * [`ScratchDatabase`] has the tables of both sets of migrations in one schema, for programs that read a
//!   database to generate code.
//!
//! # Diesel
//!
//! A checkout takes part in all of Diesel: [`save_changes`](diesel::SaveChangesDsl::save_changes), loading
//! row by row, transactions of every level, `diesel_migrations`, instrumentation, upserts, custom
//! types, `copy_from`. One thing is written otherwise: [`TenantConnection::copy_to`] instead of
//! `diesel::copy_to`, whose connection trait nobody but Diesel can implement.
//!
//! An open cursor holds its checkout, and so its tenant:
//!
//! ```compile_fail,E0505
//! # use boardinghouse_core::TenantConnection;
//! # use diesel::prelude::*;
//! # diesel::table! { notes { id -> Integer, body -> Text } }
//! # fn example(mut conn: TenantConnection) -> QueryResult<()> {
//! let mut rows = notes::table.load_iter::<(i32, String), diesel::pg::PgRowByRowLoadingMode>(&mut conn)?;
//! drop(conn); // back to the pool, for another tenant?
//! rows.next();
//! # Ok(())
//! # }
//! ```
//!
//! # One database
//!
//! | schema | holds | who writes it |
//! |---|---|---|
//! | `public` (the shared schema) | tables that every tenant reads | the *shared* migrations |
//! | `__template__` (the template) | the tenant tables as migrations leave them | the *tenant* migrations |
//! | one schema per tenant | that tenant's rows | cloned from the template, then migrated with it |
//! | one schema per [static tenant](StaticTenants) | a site of the company's own | its own migrations |
//! | `boardinghouse` (the registry) | tenants and domains | this library |
//!
//! # What a checkout promises
//!
//! * It is one tenant for its whole life, and proven to be: setting the search_path and asking the
//!   server where it leads is one round trip. PostgreSQL accepts a path to a schema that is missing,
//!   and reads the next one; a checkout is then an error.
//! * It is the tenant that was meant. The proof holds the schema's own number, so a schema that was
//!   renamed, or dropped and created anew under its name, is never served in the old one's stead, however
//!   old the [`Tenant`] value is.
//! * The path is explicit: the tenant, the shared schema, the layout's extra schemas, and `pg_temp`
//!   last, so that a temporary table shadows nothing.
//! * Of a borrower, these do not survive the return: open transactions, also those that were opened by
//!   text, close the connection; temporary tables, roles, settings, advisory locks, subscriptions,
//!   cursors and sequence state are gone. Cleaning is a second round trip. It is left out only after a
//!   borrower who can have left nothing: who ran plain selects of the query builder, without a call of a
//!   function, while neither the tenant's schema nor another one on the path holds a view, a policy, a
//!   domain or a function behind which something could hide.
//! * What other processes change takes effect within a second: a migration, a renaming, a suspension, a
//!   deletion. A connection of the pool's own hears of it by `NOTIFY`; see
//!   [`TenantPoolBuilder::listen_url`].
//! * If in doubt, the connection is closed: after a panic, an error while cleaning, a lost server,
//!   `DEALLOCATE ALL`, or another connection in the place of the one that was lent.
//! * The schema does not go away under it: [`Provisioner::delete`] and [`Provisioner::rename`] wait for
//!   checkouts that are out.
//!
//! # What it does not promise
//!
//! * It is no privilege boundary. SQL that names another schema, `other.notes`, reads it; SQL that sets
//!   the `search_path` does so until the checkout ends; SQL that drops Diesel's prepared statements one
//!   by one can put others under their names, which the next borrowers then run. Do not run SQL of
//!   people whom you do not trust.
//! * Statements that a borrower prepares by text (`PREPARE`) stay until the connection ends. They
//!   follow the path, so they read no other tenant, but the name is taken. So does the seed of
//!   `random()` where a borrower called `setseed`.
//! * A schema that is renamed or dropped by hand, past this library, turns checkouts that are out to
//!   the shared schema. [`PathMode::TenantOnly`] makes that an error.
//! * A view, policy or function that is created by hand is looked for within a minute, or as soon as
//!   the tenant's epoch advances, as it does with a migration. Until then a select on it may count as
//!   plain, and what its functions set may last until the connection's next clean.
//! * A statement that meets a migration of its own tenant in another process, in the moment before that is
//!   heard of, can fail once because a column's type changed under its plan.
//! * A table that the tenant lacks is found in the shared schema, as PostgreSQL does. Do not use one
//!   name in both; `boardinghouse check` warns.
//! * Behind a pooler in transaction mode, sessions are not stable: see below.
//! * What is bound to one schema when it is created stays there: views and `BEGIN ATOMIC` functions
//!   in the shared schema do not follow the tenant.
//!
//! # Behind a pooler
//!
//! A pooler in session mode is like PostgreSQL itself. One in transaction mode (PgBouncer:
//! `pool_mode = transaction`) gives each transaction to whatever server process is idle: a path that
//! was set for a session then serves somebody else. There, build the pool with
//! [`PathMode::Transaction`] and work with [`TenantPool::transaction`]: the path is set, and proven,
//! by the message that begins the transaction, for as long as it lasts, and nothing is sent outside
//! of one. [`PoolerCheckup`], or `boardinghouse check --pooler`, finds out what a URL leads to.
//! [`Migrator`], [`Provisioner`], [`Doctor`] and the command line want a URL that leads to PostgreSQL
//! directly. Statement mode fits nothing here.
//!
//! Diesel itself sends two `SET`s when it connects, of the time zone and the encoding. PgBouncer keeps
//! both for each client apart; where another pooler does not, its processes are left with `UTC` and
//! `UTF8`.
//!
//! # What the role needs
//!
//! `USAGE` on the tenants' schemas and on schema `boardinghouse`, and `SELECT` on
//! `boardinghouse.tenants`: at the first checkout of a tenant, and after each change of it, the pool asks
//! the registry whether it is still what it was. [`RegistryCache`] also reads `boardinghouse.domains` and
//! `boardinghouse.members`.
//!
//! # What a connection takes
//!
//! Each server process keeps what it read of each tenant's catalog, and each prepared statement, until it
//! ends. [`ConnectionLoad`] has the formula, [`TenantPool::loads`] the figures, and
//! [`TenantPoolBuilder::max_tenants_per_connection`] and
//! [`max_statements_per_connection`](TenantPoolBuilder::max_statements_per_connection) bound it.
//! [`TenantPool::state`] counts what happens in a pool.
//!
//! # Features
//!
//! * `files`: `TenantStore`, files below one directory, of which each tenant reaches its own.
//! * `testing`: module `testing`, tenants for the tests of an application.
//! * `embedded`: module `embedded`, a private PostgreSQL server for demos and tests. Unix only.

mod access;
mod across;
mod catalog;
mod connection;
mod conninfo;
pub mod console;
mod copy;
mod doctor;
mod domain;
mod drift;
#[cfg(all(feature = "embedded", unix))]
pub mod embedded;
mod error;
#[cfg(feature = "files")]
mod files;
mod gate;
mod gauge;
mod job;
mod keys;
mod kinds;
mod labels;
mod layout;
mod lifecycle;
pub mod lint;
mod lock;
mod migrate;
mod names;
mod plain;
mod pool;
mod provision;
mod registry;
mod relocate;
mod replica;
mod scan;
#[expect(unreachable_pub, reason = "generated by diesel print-schema")]
mod schema;
mod scratch;
mod session;
mod sql;
mod statement;
mod statics;
mod template;
mod tenant;
#[cfg(feature = "testing")]
pub mod testing;

#[cfg(feature = "files")]
pub use crate::files::{FileEntry, TenantFiles, TenantStore};
pub use crate::{
    access::{Access, Authorizer, ByMembership, Decision, Superusers, User, Visit},
    across::{AcrossReport, ForTenant, Tenanted},
    connection::{SharedConnection, TenantConnection},
    copy::CopyTo,
    doctor::{Checkup, Doctor, Finding, ModeVerdict, PoolerCheckup, Severity, Verdict},
    domain::{Address, DomainName, FolderName},
    drift::{
        Change, Difference, Drift, DriftReport, Incomparable, OtherVersion, ShapeGroup, TenantDrift,
    },
    error::{Error, ErrorKind, Result, error_chain},
    gate::{
        Gate, GateReport, Lack, NotReady, RequiredColumn, RequiredColumns, RequiredType,
        Requirement, Requirements,
    },
    gauge::ConnectionLoad,
    job::TenantJob,
    keys::tenant_key,
    labels::TenantLabels,
    layout::{Layout, LayoutNames},
    migrate::{
        FailedMigration, Goal, Group, Limit, LockUse, MigrationContext, MigrationPlan,
        MigrationReport, Migrator, OnError, Outcome, PlannedTarget, ReportEntry, RunEvent,
        Selection, Target, TenantFilter, TenantMigration,
    },
    names::{SchemaName, TenantId},
    pool::{
        PathMode, PoolCounters, PoolState, TenantPool, TenantPoolBuilder, TenantUrl, WaitBucket,
    },
    provision::{Deleted, NewTenant, Provisioner, ReadyChange, ReadySchemas},
    registry::{
        CacheStats, Domain, DomainUse, Members, Membership, MissingSchema, PgRegistry,
        RegistryCache, Route,
    },
    relocate::{
        MoveConflict, MoveMigration, MoveTo, MovedForeignKey, MovedSchema, TableMove, TableMovePlan,
    },
    replica::ReplicatedPool,
    scratch::ScratchDatabase,
    statics::{StaticTenant, StaticTenants},
    template::{ClonePlan, ObjectKind, PartKind, Step, Template},
    tenant::{Tenant, TenantStatus},
};
