//! Brings the database up to date: migrations of both kinds, then two tenants.

use boardinghouse_core::{
    ErrorKind, Migrator, NewTenant, Provisioner, Result, StaticTenants, TenantPool,
};
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use crate::schema::notes;

const TENANT: EmbeddedMigrations = embed_migrations!("examples/folders/migrations/tenant");
const WWW: EmbeddedMigrations = embed_migrations!("examples/folders/migrations/www");

const TENANTS: [(&str, &str, &str); 2] = [
    ("acme", "Acme Inc.", "Order more anvils"),
    ("globex", "Globex Corporation", "Rent a volcano"),
];

/// Does nothing where everything is there already.
pub(crate) fn run(pool: &TenantPool) -> Result<StaticTenants> {
    let statics = StaticTenants::from_toml(include_str!("boardinghouse.toml"), pool.layout())?;
    let mut migrator = Migrator::new(pool.clone()).tenants(TENANT);
    for www in statics.iter() {
        migrator = migrator.static_tenant(&www.tenant, WWW);
    }
    migrator.run()?.into_result()?;
    let provisioner = Provisioner::new(pool.clone());
    for (id, name, note) in TENANTS {
        match provisioner.create(&NewTenant::new(id.parse()?).display_name(name)) {
            Ok(tenant) => pool.with(&tenant, |conn| -> Result<()> {
                diesel::insert_into(notes::table)
                    .values(notes::body.eq(note))
                    .execute(conn)?;
                Ok(())
            })?,
            Err(error) if error.kind() == ErrorKind::TenantExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(statics)
}
