//! Links that switch: signed, for one page, for a time, and for one user where that is said.

use std::time::{SystemTime, UNIX_EPOCH};

use boardinghouse_core::{Error, ErrorKind, Result, Tenant, TenantId, User};

use super::{Switch, page::local};

/// The name of the parameter.
pub(super) const PARAMETER: &str = "__tenant";

/// What is signed.
const PURPOSE: &str = "link";

/// A signed parameter, of which nothing is believed yet: `acme.1799999999.<signature>`, the number being the
/// second in which it ends.
pub(super) struct Signed {
    pub(super) tenant: TenantId,
    until: u64,
    signature: String,
}

impl Signed {
    pub(super) fn parse(value: &str) -> Option<Self> {
        let mut parts = value.splitn(3, '.');
        Some(Self {
            tenant: TenantId::parse(parts.next()?).ok()?,
            until: parts.next()?.parse().ok()?,
            signature: parts.next()?.to_owned(),
        })
    }
}

/// For whom a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    User,
    Anybody,
}

impl Switch {
    /// A link to a page of a tenant, from wherever its reader is: it switches, and shows the page.
    ///
    /// It is good for this page and tenant only, and for a [time](Self::links_last). Say for which user it is
    /// where that is known: it works for no other then, and also from pages of other sites, such as a webmail.
    /// One for anybody works from pages of this site and from the address line. In both cases the reader must
    /// have the right to enter the tenant.
    ///
    /// The path is one of this site, and may have a query and a fragment. Put the site's own origin in front
    /// where the link leaves it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when `path` is no path of this site.
    ///
    /// # Examples
    ///
    /// ```
    /// use boardinghouse_actix::Switch;
    /// use boardinghouse_core::{SchemaName, Tenant, User};
    ///
    /// let switch = Switch::new(&[7; 32])?; // a random key, of course
    /// let acme = Tenant::new("acme".parse()?, SchemaName::parse("acme")?);
    /// let link = switch.link(&acme, "/notes/7?raw=1", Some(&User::new("ada")))?;
    /// assert!(link.starts_with("/notes/7?raw=1&__tenant=acme."));
    /// assert!(switch.link(&acme, "//evil.test/", None).is_err());
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    pub fn link(&self, tenant: &Tenant, path: &str, user: Option<&User>) -> Result<String> {
        let target = local(path).ok_or_else(|| {
            let message = format!("{path:?} is no path of this site: one begins with one slash");
            Error::new(ErrorKind::InvalidInput, message)
        })?;
        let (target, fragment) = target.split_at(target.find('#').unwrap_or(target.len()));
        let page = target.split('?').next().unwrap_or_default();
        let mark = if target.contains('?') { '&' } else { '?' };
        let until = now().saturating_add(self.links_last.as_secs());
        let signature = self
            .signer
            .sign(PURPOSE, &parts(tenant, page, until, user).each());
        let id = tenant.id();
        Ok(format!(
            "{target}{mark}{PARAMETER}={id}.{until}.{signature}{fragment}"
        ))
    }

    /// For whom the link is that led to this page; `None` where it is none, or not for this user.
    pub(super) fn is_for(
        &self,
        link: &Signed,
        tenant: &Tenant,
        page: &str,
        user: Option<&User>,
    ) -> Option<For> {
        let is_signed = |user| {
            let parts = parts(tenant, page, link.until, user);
            let signer = &self.signer;
            signer.is_signed(PURPOSE, &parts.each(), &link.signature)
        };
        if now() >= link.until {
            return None;
        }
        if user.is_some() && is_signed(user) {
            return Some(For::User);
        }
        is_signed(None).then_some(For::Anybody)
    }
}

struct Parts([String; 5]);

impl Parts {
    fn each(&self) -> [&str; 5] {
        self.0.each_ref().map(String::as_str)
    }
}

fn parts(tenant: &Tenant, page: &str, until: u64, user: Option<&User>) -> Parts {
    // A user's part is never empty, so that it is not that of nobody.
    let user = user.map_or_else(String::new, |user| {
        let of = user.of_tenant.as_ref().map_or("", TenantId::as_str);
        format!("{of}/{}", user.id)
    });
    Parts([
        tenant.id().to_string(),
        tenant.incarnation().to_string(),
        page.to_owned(),
        until.to_string(),
        user,
    ])
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(u64::MAX, |time| time.as_secs())
}

/// The values of the parameter in a query, and the query without them, every other byte as it was.
pub(super) fn take(query: &str) -> (Vec<&str>, String) {
    let mut values = Vec::new();
    let mut rest = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name == PARAMETER {
            values.push(value);
        } else {
            rest.push(pair);
        }
    }
    (values, rest.join("&"))
}
