//! Who may enter which tenant.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{names::TenantId, tenant::Tenant};

/// A person, or a program, that the application has identified.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct User {
    /// The application's own id, as in `boardinghouse.members`.
    pub id: String,
    /// The tenant in whose own table of users the id is; `None` for a user that tenants share. One who is
    /// known to one tenant only is nobody anywhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_tenant: Option<TenantId>,
    /// Whether [`Superusers`] lets this one in everywhere.
    #[serde(default)]
    pub is_superuser: bool,
}

impl User {
    /// A user that tenants share.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            of_tenant: None,
            is_superuser: false,
        }
    }

    /// A user of one tenant's own table of users.
    #[must_use]
    pub fn of_tenant(id: impl Into<String>, tenant: TenantId) -> Self {
        Self {
            of_tenant: Some(tenant),
            ..Self::new(id)
        }
    }

    /// The same user, for [`Superusers`].
    #[must_use]
    pub fn superuser(mut self) -> Self {
        self.is_superuser = true;
        self
    }

    /// Whether the id means somebody to this tenant.
    #[must_use]
    pub fn is_known_to(&self, tenant: &TenantId) -> bool {
        self.of_tenant.as_ref().is_none_or(|own| own == tenant)
    }
}

/// What an [`Authorizer`] is asked: whether somebody may enter a tenant.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Visit<'a> {
    /// Who; `None` for somebody who is not known.
    pub user: Option<&'a User>,
    /// Where to.
    pub tenant: &'a Tenant,
    /// What the user is there by [`Members`](crate::Members); `None` for one who is no member.
    pub role: Option<&'a str>,
}

/// What an [`Authorizer`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Yes. Nobody else is asked.
    Allow,
    /// No. Nobody else is asked.
    Deny,
    /// The next one is asked; where there is none, the answer is no.
    Abstain,
}

/// Says who may enter which tenant. Closures do.
///
/// It is asked on every request, so it must not block: what needs the database belongs into
/// [`Members`](crate::Members), whose answers are cached.
pub trait Authorizer: Send + Sync + 'static {
    /// Whether this user may enter this tenant.
    fn may_enter(&self, visit: &Visit<'_>) -> Decision;
}

impl<F: Fn(&Visit<'_>) -> Decision + Send + Sync + 'static> Authorizer for F {
    fn may_enter(&self, visit: &Visit<'_>) -> Decision {
        self(visit)
    }
}

/// Lets members in; has no opinion on others.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByMembership;

impl Authorizer for ByMembership {
    fn may_enter(&self, visit: &Visit<'_>) -> Decision {
        match visit.role {
            Some(_) => Decision::Allow,
            None => Decision::Abstain,
        }
    }
}

/// Lets [superusers](User::superuser) in; has no opinion on others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Superusers;

impl Authorizer for Superusers {
    fn may_enter(&self, visit: &Visit<'_>) -> Decision {
        match visit.user {
            Some(user) if user.is_superuser => Decision::Allow,
            _ => Decision::Abstain,
        }
    }
}

/// A chain of authorizers, the first of which that has an opinion decides. Where none has, nobody is let in.
///
/// # Examples
///
/// ```
/// use boardinghouse_core::{Access, ByMembership, Decision, Superusers, Tenant, User, Visit};
///
/// let access = Access::new(|visit: &Visit<'_>| match visit.tenant.id().as_str() {
///     "demo" => Decision::Allow, // everybody, also who is not known
///     _ => Decision::Abstain,
/// })
/// .or(Superusers)
/// .or(ByMembership);
///
/// let acme = Tenant::new("acme".parse()?, boardinghouse_core::SchemaName::parse("acme")?);
/// let ada = User::new("ada");
/// assert!(access.allows(Some(&ada), &acme, Some("editor")));
/// assert!(!access.allows(Some(&ada), &acme, None));
/// assert!(!access.allows(None, &acme, None));
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Access(Vec<Arc<dyn Authorizer>>);

impl Access {
    /// A chain of one.
    #[must_use]
    pub fn new(authorizer: impl Authorizer) -> Self {
        Self(vec![Arc::new(authorizer)])
    }

    /// The same chain, with one more at its end.
    #[must_use]
    pub fn or(mut self, authorizer: impl Authorizer) -> Self {
        self.0.push(Arc::new(authorizer));
        self
    }

    /// Whether a user may enter a tenant. A user of another tenant's own counts as nobody, whatever the role.
    #[must_use]
    pub fn allows(&self, user: Option<&User>, tenant: &Tenant, role: Option<&str>) -> bool {
        let user = user.filter(|user| user.is_known_to(tenant.id()));
        let role = role.filter(|_| user.is_some());
        let visit = Visit { user, tenant, role };
        let mut decisions = self.0.iter().map(|authorizer| authorizer.may_enter(&visit));
        decisions.find(|decision| *decision != Decision::Abstain) == Some(Decision::Allow)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({} authorizers)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::SchemaName;

    fn tenant(id: &str) -> Tenant {
        Tenant::new(id.parse().unwrap(), SchemaName::parse(id).unwrap())
    }

    #[test]
    fn the_first_who_has_an_opinion_decides_and_nobody_means_no() {
        let fixed = |decision| move |_: &Visit<'_>| decision;
        let acme = tenant("acme");
        let by = |access: Access| access.allows(None, &acme, None);
        assert!(!by(Access::new(fixed(Decision::Abstain))));
        assert!(by(
            Access::new(fixed(Decision::Abstain)).or(fixed(Decision::Allow))
        ));
        assert!(!by(
            Access::new(fixed(Decision::Deny)).or(fixed(Decision::Allow))
        ));
        assert!(by(
            Access::new(fixed(Decision::Allow)).or(fixed(Decision::Deny))
        ));
    }

    #[test]
    fn a_user_of_one_tenant_is_nobody_in_another() {
        let access = Access::new(Superusers).or(ByMembership);
        let local = User::of_tenant("1", "acme".parse().unwrap());
        assert!(access.allows(Some(&local), &tenant("acme"), Some("editor")));
        assert!(!access.allows(Some(&local), &tenant("globex"), Some("editor")));
        assert!(!access.allows(Some(&local.superuser()), &tenant("globex"), None));
    }
}
