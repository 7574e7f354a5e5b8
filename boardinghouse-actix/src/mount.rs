//! The part of a path that belongs to the tenant, and what is left for routing.

use actix_web::{
    dev::ServiceRequest,
    http::{
        Uri,
        uri::{InvalidUri, InvalidUriParts, PathAndQuery},
    },
};

use crate::error::{Cause, Error};

/// Where in the URL space a request found its tenant.
#[derive(Clone, Debug)]
pub(crate) struct Mount {
    /// What the path began with and handlers do not see; empty where they see all of it.
    pub(crate) base: String,
    /// The request target as the client sent it.
    pub(crate) original: Uri,
}

impl Mount {
    pub(crate) fn at_root(original: Uri) -> Self {
        Self {
            base: String::new(),
            original,
        }
    }
}

/// Takes `base` off the path of a request, for routing and for handlers.
///
/// As actix-web's `NormalizePath` does it: before anything of the path has been matched.
pub(crate) fn rewrite(request: &mut ServiceRequest, base: String) -> Result<Mount, Error> {
    let original = request.uri().clone();
    let matched = request.match_info();
    let untouched = matched.unprocessed().len() == matched.as_str().len();
    let rest = original.path().strip_prefix(base.as_str());
    let rest = rest.filter(|rest| untouched && (rest.is_empty() || rest.starts_with('/')));
    let Some(uri) = rest.and_then(|rest| with_path(&original, rest).ok()) else {
        return Err(Cause::CannotMount(base).into());
    };
    route_as(request, uri);
    Ok(Mount { base, original })
}

/// Puts `prefix` in front of the path of a request, for routing and for handlers.
pub(crate) fn prepend(request: &mut ServiceRequest, prefix: &str) -> Result<(), Error> {
    let original = request.uri().clone();
    // What has no path (`OPTIONS *`, `CONNECT host:443`) is routed as it is: no route has it.
    if prefix.is_empty() || !original.path().starts_with('/') {
        return Ok(());
    }
    let path = format!("{prefix}{}", original.path());
    let uri = with_path(&original, &path).map_err(|_| Cause::CannotMount(prefix.to_owned()))?;
    route_as(request, uri);
    Ok(())
}

/// What is matched with routes, and what handlers see.
fn route_as(request: &mut ServiceRequest, uri: Uri) {
    request.match_info_mut().get_mut().update(&uri);
    request.head_mut().uri = uri;
}

/// A path, or a URL, with the query of another.
pub(crate) fn with_query(mut target: String, query: Option<&str>) -> String {
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    target
}

/// With a slash at its beginning and none at its end; empty for none.
pub(crate) fn normal_prefix(prefix: &str) -> String {
    match prefix.trim_matches('/') {
        "" => String::new(),
        prefix => format!("/{prefix}"),
    }
}

fn with_path(uri: &Uri, path: &str) -> Result<Uri, BadUri> {
    let path = if path.is_empty() { "/" } else { path };
    let target = with_query(path.to_owned(), uri.query());
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target)?);
    Ok(Uri::from_parts(parts)?)
}

#[derive(Debug, thiserror::Error)]
enum BadUri {
    #[error(transparent)]
    Path(#[from] InvalidUri),
    #[error(transparent)]
    Parts(#[from] InvalidUriParts),
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn rewritten(uri: &str, base: &str) -> Option<String> {
        let mut request = TestRequest::with_uri(uri).to_srv_request();
        let mount = rewrite(&mut request, base.to_owned()).ok()?;
        assert_eq!(mount.original, uri);
        assert_eq!(request.match_info().get_ref().uri(), request.uri());
        Some(request.uri().to_string())
    }

    #[test]
    fn the_rest_of_the_path_and_the_query_are_left() {
        for (uri, rest) in [
            ("/t/a", "/"),
            ("/t/a/", "/"),
            ("/t/a?x=1", "/?x=1"),
            ("/t/a/notes?x=/t/a", "/notes?x=/t/a"),
            ("/t/a//b", "//b"),
            ("/t/a/../b", "/../b"),
            ("/t/a/%2e%2e/b%2Fc", "/%2e%2e/b%2Fc"),
            ("/t/a/t/a/x", "/t/a/x"),
            ("http://h:1/t/a/notes", "http://h:1/notes"),
        ] {
            assert_eq!(rewritten(uri, "/t/a").as_deref(), Some(rest), "{uri}");
        }
    }

    #[test]
    fn a_base_that_is_no_beginning_of_the_path_is_an_error() {
        assert_eq!(rewritten("/t/ab", "/t/a"), None);
        assert_eq!(rewritten("/x", "/t/a"), None);
    }
}
