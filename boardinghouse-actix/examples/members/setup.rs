//! Brings the database up to date: migrations, then two tenants and who belongs to them.

use boardinghouse_core::{
    Error, ErrorKind, Migrator, NewTenant, PgRegistry, Provisioner, Result, TenantId, TenantPool,
};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use crate::data;

const SHARED: EmbeddedMigrations = embed_migrations!("examples/members/migrations/shared");
const TENANT: EmbeddedMigrations = embed_migrations!("examples/members/migrations/tenant");

/// The id, the name for people, who belongs to it and as what, and a note.
type Seed = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

const TENANTS: [Seed; 2] = [
    (
        "acme",
        "Acme Inc.",
        &[("ada", "owner")],
        "Order more anvils",
    ),
    (
        "globex",
        "Globex Corporation",
        &[("ada", "member"), ("grace", "owner")],
        "Rent a volcano",
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
    let registry = PgRegistry::new(pool.clone());
    for (id, name, members, note) in TENANTS {
        let id = TenantId::parse(id)?;
        let tenant = match provisioner.create(&NewTenant::new(id.clone()).display_name(name)) {
            Err(error) if error.kind() == ErrorKind::TenantExists => continue,
            created => created?,
        };
        for (user, role) in members {
            registry.add_member(user, &id, role)?;
            if *role == "owner" {
                pool.with(&tenant, |conn| {
                    data::add(conn, note, user).map(drop).map_err(Error::from)
                })?;
            }
        }
    }
    Ok(registry)
}
