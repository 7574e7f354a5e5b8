//! PostgreSQL schema-per-tenant multi-tenancy for Diesel.

mod connection;
mod error;
mod layout;
mod pool;
mod sql;
mod statement;
mod tenant;

pub use crate::{
    connection::{SharedConnection, TenantConnection},
    error::{Error, ErrorKind, Result},
    layout::Layout,
    pool::{PoolState, TenantPool, TenantPoolBuilder},
    tenant::{SchemaName, Tenant, TenantId, TenantStatus},
};
