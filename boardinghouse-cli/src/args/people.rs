//! What is said about where tenants are found, and who belongs to them.

use boardinghouse_core::{Address, TenantId};
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum DomainCommand {
    /// Makes a domain, or a folder of one, lead to a tenant
    ///
    /// The first one of a tenant is its primary one: the one to use in links. Upper case, a port and a dot at
    /// the end are left out. A domain that leads to a tenant already is refused.
    #[command(after_help = "Examples:\n  \
        boardinghouse domain add acme notes.acme.com --primary\n  \
        boardinghouse domain add acme old.acme.com --redirect\n  \
        boardinghouse domain add acme example.com/acme")]
    Add(AddDomain),
    /// Lists the domains of a tenant, or of all tenants
    ///
    /// The primary one comes first. Writes nothing.
    #[command(after_help = "Examples:\n  \
        boardinghouse domain list\n  \
        boardinghouse domain list acme")]
    List {
        /// The tenant
        tenant: Option<TenantId>,
    },
    /// Makes a domain lead nowhere
    ///
    /// The domain is the whole of it: one that begins so is another. It must be typed again on the terminal,
    /// unless --yes is given. Where it was the primary one, the oldest that is left takes its place.
    #[command(after_help = "Example:\n  boardinghouse domain remove old.acme.com")]
    Remove {
        /// The domain, or the folder of one
        #[arg(value_name = "HOST[/FOLDER]")]
        domain: Address,
    },
    /// Makes a domain the primary one of its tenant
    ///
    /// The one that was so leads to the tenant as before. Does nothing where it is primary already.
    #[command(after_help = "Example:\n  boardinghouse domain primary notes.acme.com")]
    Primary {
        /// The domain, or the folder of one
        #[arg(value_name = "HOST[/FOLDER]")]
        domain: Address,
    },
    /// Sends requests for a domain on to the primary one, or no longer
    ///
    /// The primary one itself is never sent on.
    #[command(after_help = "Examples:\n  \
        boardinghouse domain redirect old.acme.com\n  \
        boardinghouse domain redirect old.acme.com --off")]
    Redirect {
        /// The domain, or the folder of one
        #[arg(value_name = "HOST[/FOLDER]")]
        domain: Address,
        /// Serves it again as it is
        #[arg(long)]
        off: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AddDomain {
    /// The tenant
    pub(crate) tenant: TenantId,
    /// The domain, or the folder of one
    #[arg(value_name = "HOST[/FOLDER]")]
    pub(crate) domain: Address,
    /// Makes it the one to use in links
    #[arg(long)]
    pub(crate) primary: bool,
    /// Sends requests for it on to the primary one
    #[arg(long, conflicts_with = "primary")]
    pub(crate) redirect: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MemberCommand {
    /// Makes a user a member of a tenant
    ///
    /// Users are known by whatever id the application has for them. One who is a member already gets the
    /// role, where one is said.
    #[command(after_help = "Examples:\n  \
        boardinghouse member add acme 42\n  \
        boardinghouse member add acme ann@example.com --role owner")]
    Add {
        /// The tenant
        tenant: TenantId,
        /// The user, by the application's own id
        user: String,
        /// What the user is there, in the application's own words [default: member]
        #[arg(long)]
        role: Option<String>,
    },
    /// Lists the members of a tenant, or the tenants of a user
    ///
    /// Writes nothing.
    #[command(after_help = "Examples:\n  \
        boardinghouse member list acme\n  \
        boardinghouse member list --user 42")]
    List(Membership),
    /// Ends a membership
    #[command(after_help = "Example:\n  boardinghouse member remove acme 42")]
    Remove {
        /// The tenant
        tenant: TenantId,
        /// The user, by the application's own id
        user: String,
    },
}

/// Of a tenant, or of a user.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Membership {
    /// The tenant
    pub(crate) tenant: Option<TenantId>,
    /// The user, by the application's own id
    #[arg(long)]
    pub(crate) user: Option<String>,
}
