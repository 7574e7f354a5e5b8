//! PostgreSQL schema-per-tenant multi-tenancy for Diesel.

mod catalog;
mod error;
mod layout;
mod sql;
mod template;
mod tenant;

pub use crate::{
    error::{Error, ErrorKind, Result},
    layout::Layout,
    template::{ClonePlan, ObjectKind, Step, Template},
    tenant::{SchemaName, Tenant, TenantId, TenantStatus},
};
