//! The way into a tenant for programs that know nothing of tenants.

use std::fmt;

use diesel::{PgConnection, connection::LoadConnection, dsl::sql, pg::Pg, prelude::*, sql_types};

use super::TenantPool;
use crate::{
    connection::TenantConnection,
    conninfo::{self, percent_encoded, sets, with_parameter},
    error::{Error, ErrorKind, Result},
    tenant::Tenant,
};

/// A URL whose sessions are in a tenant: see [`TenantPool::tenant_url`].
///
/// It is a checkout, too: for as long as it lives, the tenant is neither renamed nor deleted.
pub struct TenantUrl {
    url: String,
    /// Says that the schema is in use.
    conn: TenantConnection,
}

impl TenantUrl {
    /// The URL, or the string of words and values, with whatever password the pool's has. In a program's
    /// arguments everybody on the machine could read it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// The same for the environment of a program that uses libpq, such as psql or pg_dump: `PGHOST`,
    /// `PGDATABASE`, `PGOPTIONS` and so on (PostgreSQL manual, 34.15 "Environment Variables"). A program that
    /// is given these must not be given `PGSERVICE`, which they are weaker than.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        conninfo::variables(&self.url)
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        self.conn.tenant()
    }
}

/// Without the URL, which may hold a password.
impl fmt::Debug for TenantUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantUrl")
            .field("tenant", self.tenant().id())
            .finish_non_exhaustive()
    }
}

impl TenantPool {
    /// A URL of the database whose sessions begin on the tenant's path, and come back to it by `RESET`: for
    /// other programs, by libpq's `options` (PostgreSQL manual, 34.1.2 "Parameter Key Words"). Options that
    /// the pool's URL has, or else the environment variable `PGOPTIONS`, are in it, too.
    ///
    /// A session is opened with it, and that it begins where it should is seen. What that says of other
    /// sessions it says of such as are opened alike: by libpq, and on the same host where the URL names
    /// several. A program that moves the path is on its own; and unlike a checkout, a session that it opened
    /// stays on the *names* on its path: where somebody drops or renames the schema by hand, it goes on in the
    /// shared schema.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get), since it holds a checkout; [`ErrorKind::InvalidInput`] when the pool's URL
    /// names a service, whose options it would replace; [`ErrorKind::SchemaUnavailable`] when the session
    /// began elsewhere: some poolers take no notice of options.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use boardinghouse_core::{Tenant, TenantPool};
    /// # fn example(pool: &TenantPool, acme: &Tenant) -> Result<(), Box<dyn std::error::Error>> {
    /// let url = pool.tenant_url(acme)?;
    /// let psql = std::process::Command::new("psql")
    ///     .env_remove("PGSERVICE")
    ///     .envs(url.variables())
    ///     .status()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn tenant_url(&self, tenant: &Tenant) -> Result<TenantUrl> {
        must_name_no_service(self.url()).map_err(|error| error.with_tenant(tenant.id()))?;
        let mut conn = self.get(tenant)?;
        let path = path(&mut conn)?;
        let before =
            conninfo::value(self.url(), "options").or_else(|| std::env::var("PGOPTIONS").ok());
        let url = with_options(self.url(), &options(&before.unwrap_or_default(), &path));
        let mut opened = PgConnection::establish(&url).map_err(Error::connect)?;
        if begins_on(&mut opened, &path, tenant.schema().as_str())? {
            return Ok(TenantUrl { url, conn });
        }
        let message = format!(
            "a session that was to begin in schema {} began elsewhere: the server, or a pooler before it, \
             takes no notice of options",
            tenant.schema()
        );
        Err(Error::new(ErrorKind::SchemaUnavailable, message).with_tenant(tenant.id()))
    }
}

fn must_name_no_service(url: &str) -> Result<()> {
    if sets(url, "service") {
        let message = "the database URL names a service, whose options the tenant's search_path would replace: \
                       write out what the service says";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(())
}

fn path<C: Connection<Backend = Pg> + LoadConnection>(conn: &mut C) -> Result<String> {
    diesel::select(sql::<sql_types::Text>(
        "pg_catalog.current_setting('search_path')",
    ))
    .get_result(conn)
    .map_err(|error| Error::database("read the search_path", error))
}

fn begins_on(conn: &mut PgConnection, wanted: &str, schema: &str) -> Result<bool> {
    let first = sql::<sql_types::Nullable<sql_types::Text>>("pg_catalog.current_schema()::text");
    let first: Option<String> = diesel::select(first)
        .get_result(conn)
        .map_err(|error| Error::database("look where a session begins", error))?;
    Ok(path(conn)? == wanted && first.as_deref() == Some(schema))
}

/// The options that there are, and the path; where both name one, the last counts.
fn options(before: &str, path: &str) -> String {
    // Blanks part options, unless a backslash is before them: one at the end would take ours along.
    let before = before.trim_end();
    let backslashes = before.len() - before.trim_end_matches('\\').len();
    let before = &before[..before.len() - backslashes % 2];
    let mut escaped = String::with_capacity(path.len());
    for c in path.chars() {
        if c == '\\' || c == '\x0B' || c.is_ascii_whitespace() {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    format!("{before} -csearch_path={escaped}")
        .trim_start()
        .to_owned()
}

fn with_options(url: &str, options: &str) -> String {
    let quoted = options.replace('\\', r"\\").replace('\'', r"\'");
    with_parameter(
        url,
        &format!("options={}", percent_encoded(options)),
        &format!("options='{quoted}'"),
    )
}

#[cfg(test)]
mod tests {
    use super::{must_name_no_service, options, with_options};

    #[test]
    fn a_service_is_refused_and_what_looks_like_one_is_not() {
        for url in ["postgres://h/d?service=mine", "service = mine"] {
            must_name_no_service(url).unwrap_err();
        }
        for url in [
            "postgres://service@h/service",
            "host=h dbname=customer_service",
        ] {
            must_name_no_service(url).unwrap();
        }
    }

    #[test]
    fn options_are_quoted_as_the_form_of_the_url_wants_it() {
        let options = options("", "\"we\\ ird\", x'y");
        assert_eq!(options, r#"-csearch_path="we\\\ ird",\ x'y"#);
        assert_eq!(
            with_options("postgres://h/d", &options),
            "postgres://h/d?options=-csearch_path%3D%22we%5C%5C%5C%20ird%22%2C%5C%20x%27y"
        );
        assert_eq!(
            with_options("host=h", &options),
            r#"host=h options='-csearch_path="we\\\\\\ ird",\\ x\'y'"#
        );
    }

    #[test]
    fn options_that_there_are_stay_and_take_nothing_along() {
        assert_eq!(options("-c a=b ", "x"), "-c a=b -csearch_path=x");
        assert_eq!(options(r"-c a=b\", "x"), "-c a=b -csearch_path=x");
        assert_eq!(options(r"-c a=b\\", "a b"), r"-c a=b\\ -csearch_path=a\ b");
    }
}
