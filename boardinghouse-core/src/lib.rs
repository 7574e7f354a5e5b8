//! PostgreSQL schema-per-tenant multi-tenancy for Diesel.

#[cfg(all(feature = "embedded", unix))]
pub mod embedded;
mod error;
mod layout;
mod sql;
mod tenant;

pub use crate::{
    error::{Error, ErrorKind, Result},
    layout::Layout,
    tenant::{SchemaName, Tenant, TenantId, TenantStatus},
};
