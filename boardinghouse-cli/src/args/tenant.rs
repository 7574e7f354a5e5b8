//! What is said about tenants.

use boardinghouse_core::{Address, SchemaName, TenantId};
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{attribute, existing};

#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Creates a tenant: its row in the registry and its schema, cloned from the template
    ///
    /// All of it happens, or nothing. A schema of that name that exists already is not touched,
    /// unless it is adopted.
    #[command(after_help = "Examples:\n  \
        boardinghouse tenant create acme\n  \
        boardinghouse tenant create acme --name 'Acme Inc.' --domain notes.acme.com --attr seats=25\n  \
        boardinghouse tenant create acme --domain example.com/acme --kind shop\n  \
        boardinghouse tenant create acme --adopt acme_2019\n  \
        boardinghouse tenant create acme-staging --clone acme\n  \
        boardinghouse tenant create acme --defer && boardinghouse provision --pending")]
    Create(Create),
    /// Lists the tenants
    ///
    /// All of them, whatever their status, in the order of their ids, each with its primary domain and how
    /// many more it has.
    #[command(after_help = "Example:\n  boardinghouse tenant list")]
    List,
    /// Shows a tenant, its domains, its attributes and how many members it has
    ///
    /// Reads the registry alone: whether the schema is there, `check` tells.
    #[command(after_help = "Example:\n  boardinghouse tenant show acme")]
    Show {
        /// The tenant
        id: TenantId,
    },
    /// Gives a tenant another id, and its schema the name that goes with it
    ///
    /// Waits until no checkout uses the schema. Rows and domains stay; the old id leads nowhere
    /// afterwards. The schema of an adopted tenant keeps its name. What spells the old name out inside
    /// the schema, such as the body of a function, is not changed.
    #[command(after_help = "Example:\n  boardinghouse tenant rename acme acme-europe")]
    Rename {
        /// The tenant
        id: TenantId,
        /// Its id from now on: a DNS label of lower-case letters, digits and hyphens
        new_id: TenantId,
    },
    /// Stops serving a tenant, and keeps everything
    ///
    /// Requests that are being served finish. The tenant is migrated with the others. Does nothing
    /// where it is suspended already.
    #[command(after_help = "Example:\n  boardinghouse tenant suspend acme")]
    Suspend {
        /// The tenant
        id: TenantId,
    },
    /// Serves a suspended tenant again
    ///
    /// Does nothing where it is served already.
    #[command(after_help = "Example:\n  boardinghouse tenant resume acme")]
    Resume {
        /// The tenant
        id: TenantId,
    },
    /// Deletes a tenant and drops its schema with all its rows
    ///
    /// The id must be typed again on the terminal, unless --yes is given. The schema of an adopted
    /// tenant is kept. This cannot be undone.
    #[command(after_help = "Example:\n  boardinghouse tenant delete acme")]
    Delete {
        /// The tenant
        id: TenantId,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The tenant: a DNS label of lower-case letters, digits and hyphens
    pub(crate) id: TenantId,
    /// The name for people [default: the id]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A domain, or a folder of one, that leads to the tenant; can be repeated, the first is the primary one
    #[arg(long = "domain", value_name = "HOST[/FOLDER]")]
    pub(crate) domains: Vec<Address>,
    /// What kind of tenant it is, in the application's own words: which routes serve it, and which migrations it
    /// has besides those of all tenants
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// An attribute; can be repeated. The value is JSON if it can be read as such, else a string
    #[arg(long = "attr", value_name = "KEY=VALUE", value_parser = attribute)]
    pub(crate) attributes: Vec<(String, Value)>,
    /// Takes this schema, which exists, as it is instead of a clone. It is then never dropped
    #[arg(long, value_name = "SCHEMA")]
    pub(crate) adopt: Option<SchemaName>,
    /// Clones this schema, with its rows, instead of the template
    #[arg(long, value_name = "SCHEMA", value_parser = existing, conflicts_with_all = ["adopt", "clone"])]
    pub(crate) template: Option<SchemaName>,
    /// Clones this tenant, with its rows, instead of the template
    #[arg(long, value_name = "TENANT", conflicts_with = "adopt")]
    pub(crate) clone: Option<TenantId>,
    /// Only registers the tenant: `provision` makes its schema, and it is not served before
    #[arg(long, conflicts_with_all = ["adopt", "template", "clone"])]
    pub(crate) defer: bool,
}

/// Tenants that have no schema yet.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Provision {
    /// The tenants; one that has failed is tried again
    #[arg(value_name = "TENANT")]
    pub(crate) tenants: Vec<TenantId>,
    /// All that are pending, who came first first
    #[arg(long)]
    pub(crate) pending: bool,
}
