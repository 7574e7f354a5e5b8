//! The way into a tenant for programs that know nothing of tenants.

use diesel::{PgConnection, dsl::sql, prelude::*, sql_types};

use super::TenantPool;
use crate::{
    conninfo::{percent_encoded, sets, with_parameter},
    error::{Error, ErrorKind, Result},
    tenant::Tenant,
};

const PATH: &str = "pg_catalog.current_setting('search_path')";

impl TenantPool {
    /// A URL of the database whose sessions begin on the tenant's path, and come back to it by `RESET`: for
    /// programs such as psql, by libpq's `options` (PostgreSQL manual, 34.1.2 "Parameter Key Words"). What the
    /// environment variable `PGOPTIONS` says of this process is in it, too. It holds whatever password the
    /// pool's URL has.
    ///
    /// A session is opened with it, and that it begins where it should is seen. Unlike a checkout, it stays on
    /// the *names* on its path: where the schema is dropped or renamed while the program runs, it goes on in
    /// the shared schema.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get), which finds out whether the tenant is served;
    /// [`ErrorKind::InvalidInput`] when the pool's URL has options or a service of its own, which these would
    /// replace; [`ErrorKind::SchemaUnavailable`] when the session began elsewhere: some poolers take no notice
    /// of options.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use boardinghouse_core::{Tenant, TenantPool};
    /// # fn example(pool: &TenantPool, acme: &Tenant) -> Result<(), Box<dyn std::error::Error>> {
    /// let psql = std::process::Command::new("psql").arg(pool.tenant_url(acme)?).status()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn tenant_url(&self, tenant: &Tenant) -> Result<String> {
        for word in ["options", "service"] {
            if sets(self.url(), word) {
                let message = format!(
                    "the database URL sets {word} already: take it out, or put it into PGOPTIONS, so that \
                     the tenant's search_path can be put there"
                );
                return Err(Error::new(ErrorKind::InvalidInput, message).with_tenant(tenant.id()));
            }
        }
        let path = path(&mut *self.get(tenant)?)?;
        let url = with_options(self.url(), &options(&path));
        let mut conn = PgConnection::establish(&url).map_err(Error::connect)?;
        if begins_on(&mut conn, &path, tenant.schema().as_str())? {
            return Ok(url);
        }
        let message = format!(
            "a session that was to begin in schema {} began elsewhere: the server, or a pooler before it, \
             takes no notice of options",
            tenant.schema()
        );
        Err(Error::new(ErrorKind::SchemaUnavailable, message).with_tenant(tenant.id()))
    }
}

fn path<C>(conn: &mut C) -> Result<String>
where
    C: Connection<Backend = diesel::pg::Pg> + diesel::connection::LoadConnection,
{
    diesel::select(sql::<sql_types::Text>(PATH))
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

/// What is said in `PGOPTIONS`, and the path; where both name a path, the last one counts.
fn options(path: &str) -> String {
    let before = std::env::var("PGOPTIONS").unwrap_or_default();
    // Blanks part options, unless a backslash is before them.
    let mut escaped = String::with_capacity(path.len());
    for c in path.chars() {
        if c == '\\' || c.is_ascii_whitespace() {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    let before = before.trim();
    let gap = if before.is_empty() { "" } else { " " };
    format!("{before}{gap}-csearch_path={escaped}")
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
    use super::with_options;

    #[test]
    fn options_are_quoted_as_the_form_of_the_url_wants_it() {
        let options = r#"-csearch_path="we\ ird",\ x'y"#;
        assert_eq!(
            with_options("postgres://h/d", options),
            "postgres://h/d?options=-csearch_path%3D%22we%5C%20ird%22%2C%5C%20x%27y"
        );
        assert_eq!(
            with_options("host=h", options),
            r#"host=h options='-csearch_path="we\\ ird",\\ x\'y'"#
        );
    }
}
