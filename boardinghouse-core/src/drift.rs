//! Whether the tenants' schemas are still what the template's migrations made them.

mod compare;
mod report;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diesel::{PgConnection, connection::SimpleConnection};

use self::compare::{differences, repair};
pub use self::report::{
    Change, Difference, DriftReport, Incomparable, OtherVersion, ShapeGroup, TenantDrift,
};
use crate::{
    catalog::{self, fleet},
    error::{Error, ErrorKind, Result},
    kinds,
    names::{SchemaName, TenantId},
    pool::TenantPool,
    registry::PgRegistry,
    session::Session,
    template::{Template, prepare_to_read, reading, shape::Shape},
    tenant::Tenant,
};

/// Compares the structure of every tenant's schema with that of the template.
///
/// The whole fleet is read by one query. Where the hashes that it gives are equal, so are the schemas;
/// one schema of every other hash is compared in full, part by part. Rows, and where sequences stand, are
/// not looked at.
///
/// A tenant of a kind that has [migrations of its own](crate::Migrator::kind) is compared with the template of
/// its kind, once that is there.
///
/// A tenant whose migrations are not those of the template is at another version. It is compared with the
/// tenants at the same version, and what most of them are is right.
///
/// It writes nothing.
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::{Drift, TenantPool};
///
/// let pool = TenantPool::builder().build("postgres://localhost/app")?;
/// let report = Drift::new(pool).check()?;
/// for drifted in &report.drifted {
///     for difference in &drifted.differences {
///         println!("{}: {difference}", drifted.tenant);
///     }
/// }
/// assert!(report.is_healthy());
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Drift {
    pool: TenantPool,
    only: Vec<TenantId>,
}

/// A shape that some schemas share: its number among the shapes, or why there is none.
type Judged = std::result::Result<usize, String>;

/// What was found out about the fleet.
struct Fleet {
    /// All shapes; the template's is the first.
    shapes: Vec<Shape>,
    /// By fingerprint.
    judged: HashMap<String, Judged>,
    fingerprints: HashMap<String, fleet::Fingerprint>,
}

impl Fleet {
    fn of(&self, tenant: &Tenant) -> Option<&Judged> {
        let found = self.fingerprints.get(tenant.schema().as_str())?;
        self.judged.get(&found.fingerprint)
    }

    fn is_as_the_template(&self, tenant: &Tenant) -> bool {
        self.of(tenant) == Some(&Ok(0))
    }
}

impl Drift {
    /// Compares the fleet of the pool's database.
    #[must_use]
    pub fn new(pool: TenantPool) -> Self {
        Self {
            pool,
            only: Vec::new(),
        }
    }

    /// Reports on these tenants alone; the others are still what a tenant at another version is compared
    /// with. Defaults to all.
    #[must_use]
    pub fn only(mut self, tenants: impl IntoIterator<Item = TenantId>) -> Self {
        self.only = tenants.into_iter().collect();
        self
    }

    /// Compares. What differs is in the report; an error says that it could not be made.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TenantNotFound`] when one of the tenants asked for is not there.
    /// [`ErrorKind::TemplateMissing`] when there is nothing to compare with, and
    /// [`ErrorKind::TemplateUnsupported`] when the template holds what cannot be compared.
    /// [`ErrorKind::NeedsSession`] on a pool without sessions. [`ErrorKind::ConnectionFailed`], and
    /// [`ErrorKind::Database`], for example when this role may not read a schema.
    pub fn check(&self) -> Result<DriftReport> {
        self.pool.require_sessions()?;
        let mut tenants = PgRegistry::new(self.pool.clone()).list()?;
        for id in &self.only {
            if !tenants.iter().any(|tenant| tenant.id() == id) {
                return Err(crate::registry::not_found(id));
            }
        }
        // Who has no schema yet gets one like the template.
        tenants.retain(|tenant| tenant.status().has_schema());
        let mut session = Session::connect(self.pool.url(), self.pool.layout())?;
        let conn = &mut session.pg;
        let layout = self.pool.layout();
        let of_kinds = kinds::finished_of(conn, layout, &tenants)?;
        let mut parts: BTreeMap<Option<&SchemaName>, Vec<Tenant>> =
            BTreeMap::from([(None, Vec::new())]);
        for tenant in tenants {
            let own = kinds::template_of(layout, &tenant);
            let own = own.and_then(|own| of_kinds.iter().find(|template| **template == own));
            parts.entry(own).or_default().push(tenant);
        }
        let mut reports = Vec::new();
        for (kind_template, tenants) in parts {
            let template = kind_template.unwrap_or_else(|| layout.template());
            let fleet = read(conn, template, &tenants)?;
            let versions = versions(conn, template, &tenants, &fleet)?;
            let mut report = self.report(&tenants, &fleet, &versions);
            for group in &mut report.shapes {
                group.kind_template = kind_template.cloned();
            }
            reports.push(report);
        }
        let mut reports = reports.into_iter();
        let whole = reports.next().ok_or_else(|| {
            let message = "there is no template to compare with";
            Error::new(ErrorKind::TemplateMissing, message)
        })?;
        Ok(reports.fold(whole, DriftReport::with))
    }

    /// In what schema `schema` differs from schema `right`: any two of a database, with or without a registry.
    ///
    /// Reads one snapshot, or what an open transaction sees.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TemplateMissing`] when one of them is not there, [`ErrorKind::TemplateUnsupported`] when
    /// they differ and one holds what cannot be compared, and [`ErrorKind::Database`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use boardinghouse_core::{Drift, SchemaName};
    /// # use diesel::{Connection, PgConnection};
    /// # let mut conn = PgConnection::establish("postgres://localhost/app")?;
    /// let (acme, staging) = (SchemaName::parse("acme")?, SchemaName::parse("acme_staging")?);
    /// for difference in Drift::between(&mut conn, &acme, &staging)? {
    ///     println!("{difference}");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn between(
        conn: &mut PgConnection,
        right: &SchemaName,
        schema: &SchemaName,
    ) -> Result<Vec<Difference>> {
        let found = fingerprints_of(conn, &[right.as_str(), schema.as_str()])?;
        if let [one, other] = &found[..]
            && one.fingerprint == other.fingerprint
        {
            return Ok(Vec::new());
        }
        let right = Template::new(right.clone()).without_data().shape(conn)?;
        let is = Template::new(schema.clone()).without_data().shape(conn)?;
        Ok(differences(&right, &is, schema))
    }

    fn reports_on(&self, tenant: &Tenant) -> bool {
        self.only.is_empty() || self.only.contains(tenant.id())
    }

    fn report(&self, tenants: &[Tenant], fleet: &Fleet, versions: &Versions) -> DriftReport {
        let mut report = DriftReport {
            template: self.pool.layout().template().clone(),
            tenants: 0,
            read_in_full: fleet.judged.len() - 1,
            shapes: groups(tenants, fleet),
            drifted: Vec::new(),
            other_versions: Vec::new(),
            incomparable: Vec::new(),
            missing: Vec::new(),
        };
        let references = references(tenants, fleet, versions);
        for tenant in tenants.iter().filter(|tenant| self.reports_on(tenant)) {
            report.tenants += 1;
            let number = match fleet.of(tenant) {
                None => {
                    report.missing.push(tenant.id().clone());
                    continue;
                }
                Some(Err(reasons)) => {
                    report.incomparable.push(Incomparable {
                        tenant: tenant.id().clone(),
                        schema: tenant.schema().clone(),
                        reasons: reasons.clone(),
                    });
                    continue;
                }
                Some(Ok(number)) => *number,
            };
            let own = versions.of(tenant);
            let is_other = versions.known && own != &versions.template;
            if is_other {
                report.other_versions.push(OtherVersion {
                    tenant: tenant.id().clone(),
                    lacks: versions.template.difference(own).cloned().collect(),
                    has_more: own.difference(&versions.template).cloned().collect(),
                });
            }
            // What is as the template is in order, whatever the tenant's own table says.
            let reference = match is_other {
                _ if number == 0 => 0,
                true => references.get(own).copied().unwrap_or(number),
                false => 0,
            };
            if reference == number {
                continue;
            }
            let (right, is) = (&fleet.shapes[reference], &fleet.shapes[number]);
            report.drifted.push(TenantDrift {
                tenant: tenant.id().clone(),
                schema: tenant.schema().clone(),
                compared_with: right.schema.clone(),
                differences: differences(right, is, tenant.schema()),
                repair: repair(right, is, tenant.schema()),
            });
        }
        report
    }
}

/// Reads the fleet, and judges each fingerprint once.
fn read(conn: &mut PgConnection, template: &SchemaName, tenants: &[Tenant]) -> Result<Fleet> {
    let names = tenants.iter().map(|tenant| tenant.schema().as_str());
    let names: Vec<&str> = names.chain([template.as_str()]).collect();
    let found = fingerprints_of(conn, &names)?;
    let fingerprints = found.into_iter();
    let fingerprints: HashMap<_, _> = fingerprints
        .map(|one| (one.schema_name.clone(), one))
        .collect();
    let shape_of = |conn: &mut PgConnection, schema: &SchemaName| {
        Template::new(schema.clone()).without_data().shape(conn)
    };
    let Some(right) = fingerprints.get(template.as_str()) else {
        return Err(Error::new(
            ErrorKind::TemplateMissing,
            format!("schema {:?} is not there", template.as_str()),
        ));
    };
    let mut judged = HashMap::from([(right.fingerprint.clone(), Ok(0))]);
    let mut shapes: Vec<Shape> = Vec::new();
    for tenant in tenants {
        let Some(one) = fingerprints.get(tenant.schema().as_str()) else {
            continue;
        };
        if judged.contains_key(&one.fingerprint) {
            continue;
        }
        if shapes.is_empty() {
            shapes.push(shape_of(conn, template)?);
        }
        let verdict = match shape_of(conn, tenant.schema()) {
            Ok(shape) => match shapes.iter().position(|known| known.is_like(&shape)) {
                Some(number) => Ok(number),
                None => {
                    shapes.push(shape);
                    Ok(shapes.len() - 1)
                }
            },
            Err(error) if error.kind() == ErrorKind::TemplateUnsupported => Err(error.to_string()),
            // Gone since.
            Err(error) if error.kind() == ErrorKind::TemplateMissing => continue,
            Err(error) => return Err(error.with_tenant(tenant.id())),
        };
        judged.insert(one.fingerprint.clone(), verdict);
    }
    Ok(Fleet {
        shapes,
        judged,
        fingerprints,
    })
}

pub(crate) fn fingerprints_of(
    conn: &mut PgConnection,
    schemas: &[&str],
) -> Result<Vec<fleet::Fingerprint>> {
    reading(conn, |conn| {
        prepare_to_read(conn)?;
        // Several catalogs are joined as a whole.
        conn.batch_execute("SET LOCAL work_mem TO '64MB'")?;
        let version = catalog::server_version(conn)?;
        fleet::fingerprints(conn, version, schemas)
    })
}

/// The tenants of each shape, the template's first, then the largest.
fn groups(tenants: &[Tenant], fleet: &Fleet) -> Vec<ShapeGroup> {
    let mut groups: BTreeMap<usize, Vec<TenantId>> = BTreeMap::from([(0, Vec::new())]);
    for tenant in tenants {
        if let Some(Ok(number)) = fleet.of(tenant) {
            groups.entry(*number).or_default().push(tenant.id().clone());
        }
    }
    let groups = groups.into_iter();
    let mut groups: Vec<ShapeGroup> = groups
        .map(|(number, tenants)| ShapeGroup {
            as_the_template: number == 0,
            kind_template: None,
            tenants,
        })
        .collect();
    groups.sort_by_key(|group| (!group.as_the_template, usize::MAX - group.tenants.len()));
    groups
}

/// Which migrations the schemas have.
#[derive(Debug, Default)]
struct Versions {
    /// Whether it was looked at: not where every tenant is as the template.
    known: bool,
    template: BTreeSet<String>,
    tenants: HashMap<String, BTreeSet<String>>,
    none: BTreeSet<String>,
}

impl Versions {
    fn of(&self, tenant: &Tenant) -> &BTreeSet<String> {
        let own = self.tenants.get(tenant.schema().as_str());
        own.unwrap_or(&self.none)
    }
}

fn versions(
    conn: &mut PgConnection,
    template: &SchemaName,
    tenants: &[Tenant],
    fleet: &Fleet,
) -> Result<Versions> {
    let mut versions = Versions::default();
    if tenants
        .iter()
        .all(|tenant| fleet.is_as_the_template(tenant) || fleet.of(tenant).is_none())
    {
        return Ok(versions);
    }
    versions.known = true;
    let has_history = |schema: &&SchemaName| {
        let one = fleet.fingerprints.get(schema.as_str());
        one.is_some_and(|one| one.has_history)
    };
    let schemas = tenants.iter().map(Tenant::schema).chain([template]);
    let schemas: Vec<&SchemaName> = schemas.filter(has_history).collect();
    for (schema, version) in fleet::histories(conn, &schemas)? {
        versions.tenants.entry(schema).or_default().insert(version);
    }
    versions.template = versions
        .tenants
        .remove(template.as_str())
        .unwrap_or_default();
    Ok(versions)
}

/// The shape that is right at each version other than the template's: the one that most tenants have; of
/// several, the one that is least unlike the template.
fn references<'v>(
    tenants: &[Tenant],
    fleet: &Fleet,
    versions: &'v Versions,
) -> HashMap<&'v BTreeSet<String>, usize> {
    let mut votes: HashMap<&BTreeSet<String>, BTreeMap<usize, usize>> = HashMap::new();
    for tenant in tenants {
        let own = versions.of(tenant);
        if let (Some(Ok(number)), true) = (fleet.of(tenant), own != &versions.template) {
            *votes.entry(own).or_default().entry(*number).or_default() += 1;
        }
    }
    let votes = votes.into_iter();
    votes
        .filter_map(|(version, votes)| {
            let template = fleet.shapes.first();
            let unlike = |number: usize| {
                let shape = fleet.shapes.get(number);
                let both = template.zip(shape);
                both.map_or(0, |(template, shape)| {
                    differences(template, shape, &shape.schema).len()
                })
            };
            let most = *votes.values().max()?;
            let most = votes.into_iter().filter(|(_, count)| *count == most);
            let right = most.min_by_key(|(number, _)| unlike(*number))?;
            Some((version, right.0))
        })
        .collect()
}
