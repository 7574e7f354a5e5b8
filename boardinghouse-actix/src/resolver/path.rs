//! Tenants by the beginning of the path.

use boardinghouse_core::TenantId;

use super::{Resolution, Routing, TenantResolver};
use crate::{error::BoxError, mount::normal_prefix, request::Incoming};

/// Tenants by a segment of the path: `/t/{tenant}/…`.
///
/// Routes and handlers see the rest: a request for `/t/acme/notes?page=2` is routed as
/// `/notes?page=2`. [`Tenant::base_path`](crate::Tenant::base_path) is what links must begin with,
/// [`Tenant::original_uri`](crate::Tenant::original_uri) what the client sent. For links use
/// [`TenantUrls`](crate::TenantUrls): actix-web's `url_for` does not know about either.
///
/// The segment is the tenant's id exactly as sent. It is compared before anything is decoded, and
/// nothing in the path is decoded or normalised here:
///
/// | path | tenant | routed as |
/// |---|---|---|
/// | `/t/acme/notes` | acme | `/notes` |
/// | `/t/acme`, `/t/acme/` | acme | `/` |
/// | `/t/acme//notes` | acme | `//notes` |
/// | `/t/acme/../globex/notes` | acme | `/../globex/notes`, which matches no route |
/// | `/t/%61cme/notes`, `/t/ACME`, `/t/public`, `/t//acme`, `/t/` | unknown tenant | |
/// | `/t`, `/ta/notes`, `//t/acme`, `/T/acme`, `/%74/acme` | the next resolver's business | |
///
/// # Examples
///
/// ```
/// use boardinghouse_actix::{PathPrefix, Tenancy};
/// use boardinghouse_core::PgRegistry;
///
/// # fn example(registry: PgRegistry) {
/// let tenancy = Tenancy::new(registry).resolver(PathPrefix::new("/t"));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PathPrefix {
    /// With a slash at its start and none at its end; empty for none.
    prefix: String,
    optional: bool,
}

impl PathPrefix {
    /// Tenants live below `prefix`; with `/`, in the first segment.
    ///
    /// Slashes at the ends of `prefix` make no difference.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: normal_prefix(prefix),
            optional: false,
        }
    }

    /// Leaves a segment that is no tenant's to the next resolver, so that the same domain can have
    /// pages of its own: `/about` beside `/acme`. A page whose first segment is a tenant's id is the
    /// tenant's: keep such ids from being taken, by
    /// [`Layout::with_reserved`](boardinghouse_core::Layout::with_reserved).
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    fn resolve_path(&self, path: &str) -> Resolution {
        let rest = path.strip_prefix(&self.prefix);
        let Some(rest) = rest.and_then(|rest| rest.strip_prefix('/')) else {
            return Resolution::Pass;
        };
        let segment = rest.split_once('/').map_or(rest, |(segment, _)| segment);
        match TenantId::parse(segment) {
            Ok(tenant) => Resolution::Mounted {
                base: format!("{}/{tenant}", self.prefix),
                tenant,
            },
            Err(_) if self.optional => Resolution::Pass,
            Err(_) => Resolution::Unknown,
        }
    }
}

impl TenantResolver for PathPrefix {
    fn resolve(&self, request: &Incoming<'_>) -> Result<Resolution, BoxError> {
        Ok(self.resolve_path(request.path()))
    }

    fn routing(&self) -> Routing {
        Routing::Path
    }

    fn is_final(&self) -> bool {
        !self.optional
    }

    fn base_of(&self, tenant: &TenantId, _: Option<u16>) -> Option<String> {
        Some(format!("{}/{tenant}", self.prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted(tenant: &str, base: &str) -> Resolution {
        Resolution::Mounted {
            tenant: tenant.parse().unwrap(),
            base: base.to_owned(),
        }
    }

    #[test]
    fn the_segment_after_the_prefix_is_the_tenant_as_it_was_sent() {
        let paths = PathPrefix::new("/t");
        for path in ["/t/a", "/t/a/", "/t/a/notes", "/t/a//b", "/t/a/../b"] {
            assert_eq!(paths.resolve_path(path), mounted("a", "/t/a"), "{path}");
        }
        for path in [
            "/t/",
            "/t//a",
            "/t/%61",
            "/t/%61/b",
            "/t/a%2Fb",
            "/t/A/b",
            "/t/..",
            "/t/./a",
            "/t/public",
            "/t/__template__/notes",
            "/t/a;b/c",
            "/t/a%00",
        ] {
            assert_eq!(paths.resolve_path(path), Resolution::Unknown, "{path}");
        }
        for path in [
            "/t",
            "/ta/notes",
            "//t/a",
            "/T/a",
            "/%74/a",
            "/",
            "",
            "*",
            "/x/t/a",
        ] {
            assert_eq!(paths.resolve_path(path), Resolution::Pass, "{path}");
        }
    }

    #[test]
    fn slashes_around_the_prefix_make_no_difference() {
        for prefix in ["t", "/t", "/t/", "//t//"] {
            let paths = PathPrefix::new(prefix);
            assert_eq!(paths.resolve_path("/t/a/b"), mounted("a", "/t/a"));
        }
    }

    #[test]
    fn without_a_prefix_the_first_segment_is_the_tenant() {
        let paths = PathPrefix::new("/");
        assert_eq!(paths.resolve_path("/a/notes"), mounted("a", "/a"));
        assert_eq!(paths.resolve_path("/a"), mounted("a", "/a"));
        assert_eq!(paths.resolve_path("//a"), Resolution::Unknown);
        assert_eq!(paths.resolve_path("/"), Resolution::Unknown);
    }
}
