//! PostgreSQL schema-per-tenant multi-tenancy for Diesel.

mod error;
mod layout;
mod sql;
mod tenant;

pub use crate::{
    error::{Error, ErrorKind, Result},
    layout::Layout,
    tenant::{SchemaName, Tenant, TenantId, TenantStatus},
};
