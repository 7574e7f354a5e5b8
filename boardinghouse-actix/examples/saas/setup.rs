//! Brings the database up to date: migrations, then three tenants cloned from the template.

use boardinghouse_core::{
    ErrorKind, Migrator, NewTenant, PgRegistry, Provisioner, Result, TenantId, TenantPool,
};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use crate::notes;

const SHARED: EmbeddedMigrations = embed_migrations!("examples/saas/migrations/shared");
const TENANT: EmbeddedMigrations = embed_migrations!("examples/saas/migrations/tenant");

type Seed = (
    &'static str,
    &'static str,
    [(&'static str, &'static str); 2],
);

pub(crate) const TENANTS: [Seed; 3] = [
    (
        "acme",
        "Acme Inc.",
        [
            ("Order more anvils", "ada@example.com"),
            ("The coyote called again", "grace@example.com"),
        ],
    ),
    (
        "globex",
        "Globex Corporation",
        [
            ("Rent a volcano", "grace@example.com"),
            ("Hammock district: visit on Tuesday", "ada@example.com"),
        ],
    ),
    (
        "initech",
        "Initech",
        [
            ("TPS reports need cover sheets", "ada@example.com"),
            ("Who has the red stapler?", "grace@example.com"),
        ],
    ),
];

/// Does nothing where everything is there already.
pub(crate) fn run(pool: &TenantPool) -> Result<PgRegistry> {
    Migrator::new(pool.clone())
        .shared(SHARED)
        .tenants(TENANT)
        .run()?
        .into_result()?;
    let provisioner = Provisioner::new(pool.clone());
    for (id, name, notes) in TENANTS {
        let new = NewTenant::new(TenantId::parse(id)?)
            .display_name(name)
            .domain(format!("{id}.example.test").parse()?);
        match provisioner.create(&new) {
            Ok(tenant) => pool.with(&tenant, |conn| -> Result<()> {
                for (body, author) in notes {
                    notes::add(conn, body, Some(author))?;
                }
                Ok(())
            })?,
            Err(error) if error.kind() == ErrorKind::TenantExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(PgRegistry::new(pool.clone()))
}
