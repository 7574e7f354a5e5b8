//! Which template a tenant is cloned from.

use diesel::PgConnection;

use super::Provisioner;
use crate::{error::Result, kinds, names::SchemaName, template::Template, tenant::Tenant};

impl Provisioner {
    /// The templates that a tenant may be cloned from, in the order in which they are locked: a migrator that
    /// has one of them and wants another goes the same way.
    pub(super) fn templates(&self, tenant: &Tenant) -> Vec<SchemaName> {
        let layout = self.pool.layout();
        let own = kinds::template_of(layout, tenant);
        std::iter::once(layout.template().clone())
            .chain(own)
            .collect()
    }

    /// The template of the tenant's kind, where there is one that is finished; else that of everybody. Whoever
    /// calls this has the locks of both: whichever it is stays so.
    pub(super) fn template_of(&self, conn: &mut PgConnection, tenant: &Tenant) -> Result<Template> {
        let layout = self.pool.layout();
        if let Some(own) = kinds::template_of(layout, tenant)
            && kinds::finished(conn, std::slice::from_ref(&own))?.contains(&own)
        {
            return Ok(Template::new(own));
        }
        Ok(Template::new(layout.template().clone()))
    }
}
