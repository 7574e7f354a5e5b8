//! Which schema plays which role in a database.

mod file;

pub use self::file::LayoutNames;
use crate::{
    error::{Error, ErrorKind, Result},
    names::{SchemaName, TenantId},
    statics::StaticTenants,
    tenant::check_kind,
};

/// The names of the schemas in one database, and the rule that turns a tenant id into one.
///
/// Everything that touches the database takes its names from here; the registry alone has a fixed
/// name, `boardinghouse`.
///
/// # Examples
///
/// ```
/// use boardinghouse_core::Layout;
///
/// let layout = Layout::default().with_prefix("t_")?;
/// assert_eq!(layout.shared().as_str(), "public");
/// assert_eq!(layout.template().as_str(), "__template__");
/// assert_eq!(layout.schema_for(&"blue-whale".parse()?)?.as_str(), "t_blue_whale");
///
/// // Without the prefix this would be a system schema.
/// assert!(Layout::default().schema_for(&"pg-stat".parse()?).is_err());
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    shared: SchemaName,
    template: SchemaName,
    extra: Vec<SchemaName>,
    reserved: Vec<TenantId>,
    statics: Vec<(TenantId, SchemaName)>,
    prefix: String,
}

impl Layout {
    /// The schema of the registry.
    pub const REGISTRY: &'static str = "boardinghouse";
    const TEMPLATE: &'static str = "__template__";
    /// What the template of each kind begins with. What a tenant is given begins with a letter.
    const KIND_TEMPLATE: &'static str = "__template_";

    /// Sets the schema that every tenant also reads. Defaults to `public`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ReservedName`] when another role has the name already.
    pub fn with_shared(mut self, shared: SchemaName) -> Result<Self> {
        self.shared = shared;
        self.checked()
    }

    /// Sets the schema that new tenants are cloned from. Defaults to `__template__`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ReservedName`] when another role has the name already.
    pub fn with_template(mut self, template: SchemaName) -> Result<Self> {
        self.template = template;
        self.checked()
    }

    /// Sets schemas that are put on every path after the shared one: usually those that hold
    /// extensions. They must exist before the first checkout. Defaults to none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ReservedName`] when another role has one of the names already.
    pub fn with_extra(mut self, extra: impl IntoIterator<Item = SchemaName>) -> Result<Self> {
        self.extra = extra.into_iter().collect();
        self.checked()
    }

    /// Sets tenant ids that nobody can have, such as `www`. Defaults to none.
    #[must_use]
    pub fn with_reserved(mut self, reserved: impl IntoIterator<Item = TenantId>) -> Self {
        self.reserved = reserved.into_iter().collect();
        self
    }

    /// Sets the tenants that the configuration names: no tenant of the registry can have the id or the schema
    /// of one. Defaults to none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ReservedName`] when another role has one of their schemas already.
    pub fn with_static(mut self, statics: &StaticTenants) -> Result<Self> {
        let named = |s: &crate::StaticTenant| (s.tenant.id().clone(), s.tenant.schema().clone());
        self.statics = statics.iter().map(named).collect();
        self.checked()
    }

    /// Sets what the schema name of each tenant begins with, so that tenants' schemas can be told from
    /// others, and an id may begin with a digit. Defaults to nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`] when no schema name could begin so.
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Result<Self> {
        self.prefix = prefix.into();
        if !self.prefix.is_empty() {
            SchemaName::parse(&format!("{}x", self.prefix))?;
        }
        Ok(self)
    }

    /// The schema that every tenant also reads.
    #[must_use]
    pub fn shared(&self) -> &SchemaName {
        &self.shared
    }

    /// The schema that new tenants are cloned from.
    #[must_use]
    pub fn template(&self) -> &SchemaName {
        &self.template
    }

    /// The schema that new tenants of a kind with [migrations of its own](crate::Migrator::kind) are cloned
    /// from: `__template_` and the kind.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`] when `kind` is none that [`Tenant::with_kind`](crate::Tenant::with_kind)
    /// takes, or is longer than 52 characters; [`ErrorKind::ReservedName`] when the schema has another role.
    ///
    /// # Examples
    ///
    /// ```
    /// use boardinghouse_core::Layout;
    ///
    /// let layout = Layout::default();
    /// let template = layout.kind_template("shop")?;
    /// assert_eq!(template.as_str(), "__template_shop");
    /// // No tenant can have it.
    /// assert!(layout.tenant_schema(&template).is_err());
    /// assert!(layout.kind_template("Shop!").is_err());
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    pub fn kind_template(&self, kind: &str) -> Result<SchemaName> {
        check_kind(kind)?;
        let schema = SchemaName::existing(&format!("{}{kind}", Self::KIND_TEMPLATE))
            .map_err(|error| {
                let longest = SchemaName::MAX_LEN - Self::KIND_TEMPLATE.len();
                let message = format!(
                    "kind {kind} cannot have migrations of its own: the name of its template would be too \
                     long, use up to {longest} characters"
                );
                Error::new(error.kind(), message)
            })?;
        match self.own_role(&schema) {
            Some(role) => Err(Error::new(
                ErrorKind::ReservedName,
                format!("schema {schema} cannot be the template of kind {kind}: it is {role}"),
            )),
            None => Ok(schema),
        }
    }

    /// Whether a schema would be the template of a kind, whether there is such a kind or not.
    pub(crate) fn is_kind_template(&self, schema: &str) -> bool {
        let kind = schema.strip_prefix(Self::KIND_TEMPLATE);
        kind.is_some_and(|kind| self.kind_template(kind).is_ok())
    }

    /// The schemas that are put on every path after the shared one.
    #[must_use]
    pub fn extra(&self) -> &[SchemaName] {
        &self.extra
    }

    /// What the schema name of each tenant begins with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether nobody can have this tenant id.
    pub(crate) fn reserves(&self, id: &TenantId) -> bool {
        self.reserved.contains(id) || self.statics.iter().any(|(own, _)| own == id)
    }

    /// Fails for a tenant id that nobody can have.
    pub(crate) fn must_not_reserve(&self, id: &TenantId) -> Result<()> {
        if !self.reserves(id) {
            return Ok(());
        }
        let message = format!("tenant id {id} is reserved by the configuration");
        Err(Error::new(ErrorKind::ReservedName, message).with_tenant(id))
    }

    /// The schema of a tenant with this id, whoever may have it.
    pub(crate) fn name_for(&self, id: &TenantId) -> Result<SchemaName> {
        SchemaName::parse(&format!("{}{}", self.prefix, id.as_str().replace('-', "_")))
            .map_err(|error| error.with_tenant(id))
    }

    /// The schema of a tenant: the prefix, then the id with `_` for `-`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`] when the result is too long or does not begin with a letter;
    /// [`ErrorKind::ReservedName`] when it, or the id, is taken by another role.
    pub fn schema_for(&self, id: &TenantId) -> Result<SchemaName> {
        let schema = self.name_for(id)?;
        self.must_not_reserve(id)?;
        self.tenant_schema(&schema)
            .map_err(|error| error.with_tenant(id))?;
        Ok(schema)
    }

    /// Checks that a schema can be that of a tenant of the registry: that it has no other role, and is no
    /// static tenant's.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ReservedName`] otherwise.
    pub fn tenant_schema(&self, schema: &SchemaName) -> Result<()> {
        // In whatever case, as no two tenants of the registry have one.
        let same =
            |other: &SchemaName| other.as_str().to_lowercase() == schema.as_str().to_lowercase();
        match self.statics.iter().find(|(_, other)| same(other)) {
            Some((id, _)) => Err(has_role(schema, &format!("that of static tenant {id}"))),
            None => self.has_no_role(schema),
        }
    }

    /// As [`tenant_schema`](Self::tenant_schema), for a tenant that is not of the registry.
    pub(crate) fn has_no_role(&self, schema: &SchemaName) -> Result<()> {
        match self.own_role(schema) {
            Some(role) => Err(has_role(schema, role)),
            None if self.is_kind_template(schema.as_str()) => {
                Err(has_role(schema, "kept for the template of a kind"))
            }
            None => Ok(()),
        }
    }

    fn own_role(&self, schema: &SchemaName) -> Option<&'static str> {
        let role = if schema == &self.shared || schema.as_str() == SchemaName::PUBLIC {
            "the shared schema"
        } else if schema == &self.template {
            "the template"
        } else if schema.as_str() == Self::REGISTRY {
            "the registry"
        } else if self.extra.contains(schema) {
            "a schema that is on every path"
        } else {
            return None;
        };
        Some(role)
    }

    fn checked(self) -> Result<Self> {
        let mut names: Vec<&str> = self.extra.iter().map(SchemaName::as_str).collect();
        names.extend([self.shared.as_str(), self.template.as_str(), Self::REGISTRY]);
        names.extend(self.statics.iter().map(|(_, schema)| schema.as_str()));
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::new(
                ErrorKind::ReservedName,
                format!(
                    "schema {:?} cannot have two roles: the shared schema, the template, the \
                     registry, the extra schemas and those of static tenants must all differ",
                    twice[0]
                ),
            ));
        }
        if self.template.as_str() == SchemaName::PUBLIC {
            return Err(Error::new(
                ErrorKind::ReservedName,
                "\"public\" cannot be the template",
            ));
        }
        Ok(self)
    }
}

fn has_role(schema: &SchemaName, role: &str) -> Error {
    Error::new(
        ErrorKind::ReservedName,
        format!("schema {schema} cannot be a tenant's: it is {role}"),
    )
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            shared: SchemaName::public(),
            template: SchemaName::known(Self::TEMPLATE),
            extra: Vec::new(),
            reserved: Vec::new(),
            statics: Vec::new(),
            prefix: String::new(),
        }
    }
}
