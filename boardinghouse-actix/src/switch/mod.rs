//! Switching from tenant to tenant, and what pages need for it.

mod form;
mod link;
mod menu;
mod origin;
mod page;
mod refusal;
mod serve;
mod sign;

use std::{fmt, time::Duration};

use actix_web::dev::ResourceDef;
use boardinghouse_core::{Result, TenantId};

pub(crate) use self::refusal::Refusal;
use self::sign::Signer;
pub use self::{
    form::{FormToken, TenantForm},
    menu::{Entry, TenantMenu},
};

/// How long a link is good for, unless said otherwise.
const LINKS_LAST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Lets users switch between tenants: given to [`Tenancy::switching`](crate::Tenancy::switching), which then
/// answers these itself, before a resolver is asked, at every host:
///
/// | request | what it does |
/// |---|---|
/// | `POST /__tenant__/acme` | puts the tenant into the session |
/// | `POST /__tenant__/` with `tenant=acme` in a form | the same, for a `<select>` |
/// | `POST /__tenant__/` without a tenant | takes the tenant out of the session |
/// | `GET /__tenant__/` | the [`TenantMenu`] as JSON; with `?q=`, of the names that hold it |
/// | `GET` of any page with `?__tenant=…`, [signed](Self::link) | switches, and sends on to the page |
///
/// A browser is sent on to a page that makes sense in the other tenant, with 303: see [`OnSwitch`]. Programs
/// get 200 and JSON.
///
/// # Who may switch
///
/// Whom [`Tenancy::access`](crate::Tenancy::access) lets in. Everybody else gets 403, and so does who asks for
/// a tenant that does not exist, so that nobody can find out which do. A tenant that is not ready answers as
/// it would for any page. In all these cases the session stays as it was.
///
/// A switch must come from a page of the same site, by `Sec-Fetch-Site`, `Origin` and `Referer`, and bring the
/// session's [token](TenantMenu::token): in a field `token` of the form, or in a header `X-Tenant-Token`. Else
/// it gets 403. Switching to the tenant that one is in writes nothing; switching changes nothing else in the
/// session.
///
/// # Examples
///
/// ```
/// use actix_web::cookie::Key;
/// use boardinghouse_actix::{OnSwitch, SessionTenant, Switch, Tenancy};
///
/// # fn example(tenancy: Tenancy, key: Key) -> Result<(), boardinghouse_core::Error> {
/// let switch = Switch::new(key.signing())?
///     .auto_single(true)
///     .page("/help/{page:.*}", OnSwitch::Stay)
///     .page("/invoices/{id}/edit", OnSwitch::Refuse);
/// let tenancy = tenancy.resolver(SessionTenant).switching(switch);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Switch {
    signer: Signer,
    by_get: bool,
    single: bool,
    offered: Vec<TenantId>,
    pages: Vec<(ResourceDef, OnSwitch)>,
    links_last: Duration,
}

/// What becomes of the page that somebody is on when they switch.
///
/// The page is that of the form, or where it does not say, the `Referer`. A form may also name the page to go
/// to ([`TenantMenu::go_to`]). It is always a page of the same site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnSwitch {
    /// Its path is cut where the first id begins, a number or a UUID: from `/photos/223` to `/photos`, because
    /// the other tenant has another photo of that number, or none.
    #[default]
    Cut,
    /// The same page, with its query: it is not about a tenant's objects.
    Stay,
    /// This page.
    To(String),
    /// Nobody switches here: the [menu](TenantMenu) is disabled, and a switch gets 409. [Links](Switch::link)
    /// lead away all the same: they say to where.
    Refuse,
}

impl Switch {
    /// Signs with this key: at least 32 random bytes, the same in every process.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](boardinghouse_core::ErrorKind::InvalidInput) when the key is shorter.
    pub fn new(key: &[u8]) -> Result<Self> {
        Ok(Self {
            signer: Signer::new(key)?,
            by_get: false,
            single: false,
            offered: Vec::new(),
            pages: Vec::new(),
            links_last: LINKS_LAST,
        })
    }

    /// Lets `GET /__tenant__/acme` switch, too. Such a request needs no token when it comes from a page of this
    /// site or from the address line; another site's links do not switch. Defaults to `false`.
    #[must_use]
    pub fn by_get(mut self, by_get: bool) -> Self {
        self.by_get = by_get;
        self
    }

    /// Puts a user who may enter just one tenant into it, where no resolver found one. Defaults to `false`.
    #[must_use]
    pub fn auto_single(mut self, single: bool) -> Self {
        self.single = single;
        self
    }

    /// Has these tenants in the [menu](TenantMenu) of everybody whom [`Tenancy::access`](crate::Tenancy::access)
    /// lets in, also of who is not known: public catalogues, and tenants of superusers, who are no members.
    /// Defaults to none.
    #[must_use]
    pub fn offer(mut self, tenants: impl IntoIterator<Item = TenantId>) -> Self {
        self.offered.extend(tenants);
        self
    }

    /// Sets what becomes of a page, or of several, when somebody switches there. Patterns are as in
    /// [`web::resource`](actix_web::web::resource); the first that matches counts. Defaults to
    /// [`OnSwitch::Cut`] for all.
    ///
    /// # Panics
    ///
    /// When the pattern is malformed, as `web::resource` does.
    #[must_use]
    pub fn page(mut self, pattern: &str, then: OnSwitch) -> Self {
        self.pages.push((ResourceDef::new(pattern), then));
        self
    }

    /// Sets for how long [links](Self::link) are good. Defaults to seven days.
    #[must_use]
    pub fn links_last(mut self, time: Duration) -> Self {
        self.links_last = time;
        self
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch")
            .field("by_get", &self.by_get)
            .field("single", &self.single)
            .field("offered", &self.offered)
            .field("pages", &self.pages)
            .field("links_last", &self.links_last)
            .finish_non_exhaustive()
    }
}
