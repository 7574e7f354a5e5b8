//! Tenants, as the registry knows them.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    error::{Error, ErrorKind, Result},
    names::{SchemaName, TenantId},
};

/// Where a tenant is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TenantStatus {
    /// Registered, its schema is not there yet.
    Pending,
    /// Served.
    Ready,
    /// Kept, but not served.
    Suspended,
    /// Being dropped.
    Dropping,
    /// Creating it failed.
    Failed,
}

impl TenantStatus {
    /// The status as the registry writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Suspended => "suspended",
            Self::Dropping => "dropping",
            Self::Failed => "failed",
        }
    }

    /// Whether a tenant with this status has been given its schema: one that is pending, or failed, has none.
    #[must_use]
    pub fn has_schema(self) -> bool {
        match self {
            Self::Pending | Self::Failed => false,
            Self::Ready | Self::Suspended | Self::Dropping => true,
        }
    }
}

impl fmt::Display for TenantStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for TenantStatus {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "pending" => Self::Pending,
            "ready" => Self::Ready,
            "suspended" => Self::Suspended,
            "dropping" => Self::Dropping,
            "failed" => Self::Failed,
            _ => {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("{text:?} is not a tenant status"),
                ));
            }
        })
    }
}

/// Fails where `kind` can name no kind of tenants.
pub(crate) fn check_kind(kind: &str) -> Result<()> {
    let letter = |b: u8| b.is_ascii_lowercase();
    let edge = |b: u8| letter(b) || b.is_ascii_digit();
    let bytes = kind.as_bytes();
    let ends = matches!(bytes, [first, .., last] if letter(*first) && edge(*last))
        || matches!(bytes, [only] if letter(*only));
    if ends && bytes.len() <= 63 && bytes.iter().all(|&b| edge(b) || b == b'-' || b == b'_') {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidName,
        format!(
            "{kind:?} is not a kind of tenants: use 1 to 63 lower-case letters, digits, hyphens or \
             underscores, the first of them a letter, the last a letter or a digit"
        ),
    ))
}

/// One customer and its schema, as the registry knows it.
///
/// Cheap to clone. A `Tenant` says what the registry said when it was read; whether the schema is
/// really there is proved at each checkout.
///
/// # Examples
///
/// ```
/// use boardinghouse_core::{SchemaName, Tenant};
/// use serde_json::json;
///
/// let tenant = Tenant::new("acme".parse()?, SchemaName::parse("acme")?)
///     .with_attributes(json!({ "seats": 25, "plan": "pro" }))?;
/// assert_eq!(tenant.attribute::<u32>("seats")?, Some(25));
/// assert_eq!(tenant.attribute::<u32>("colour")?, None);
/// assert!(tenant.attribute::<u32>("plan").is_err());
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tenant(Arc<TenantRecord>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct TenantRecord {
    id: TenantId,
    schema: SchemaName,
    display_name: String,
    status: TenantStatus,
    attributes: serde_json::Map<String, serde_json::Value>,
    adopted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    epoch: i64,
    #[serde(skip)]
    incarnation: i64,
}

impl Tenant {
    /// A ready tenant with the id as its display name, no attributes, epoch 0 and incarnation 0.
    ///
    /// For tests and for sources of tenants other than the registry.
    #[must_use]
    pub fn new(id: TenantId, schema: SchemaName) -> Self {
        Self(Arc::new(TenantRecord {
            display_name: id.to_string(),
            id,
            schema,
            status: TenantStatus::Ready,
            attributes: serde_json::Map::new(),
            adopted: false,
            kind: None,
            epoch: 0,
            incarnation: 0,
        }))
    }

    /// The same tenant with another status.
    #[must_use]
    pub fn with_status(mut self, status: TenantStatus) -> Self {
        Arc::make_mut(&mut self.0).status = status;
        self
    }

    /// The same tenant with another name for people.
    #[must_use]
    pub fn with_display_name(mut self, name: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.0).display_name = name.into();
        self
    }

    /// The same tenant with other attributes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when `attributes` is not a JSON object.
    pub fn with_attributes(mut self, attributes: serde_json::Value) -> Result<Self> {
        let serde_json::Value::Object(map) = attributes else {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "the attributes of a tenant must be a JSON object",
            )
            .with_tenant(self.id()));
        };
        Arc::make_mut(&mut self.0).attributes = map;
        Ok(self)
    }

    /// The same tenant as one of another kind.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`] when `kind` is not 1 to 63 lower-case letters, digits, hyphens or
    /// underscores that begin with a letter and end with a letter or a digit.
    pub fn with_kind(mut self, kind: &str) -> Result<Self> {
        check_kind(kind)?;
        Arc::make_mut(&mut self.0).kind = Some(kind.to_owned());
        Ok(self)
    }

    pub(crate) fn with_read_kind(mut self, kind: Option<String>) -> Self {
        Arc::make_mut(&mut self.0).kind = kind;
        self
    }

    pub(crate) fn with_epoch(mut self, epoch: i64) -> Self {
        Arc::make_mut(&mut self.0).epoch = epoch;
        self
    }

    pub(crate) fn with_incarnation(mut self, incarnation: i64) -> Self {
        Arc::make_mut(&mut self.0).incarnation = incarnation;
        self
    }

    /// The same tenant where the registry has it now, if that is elsewhere.
    pub(crate) fn moved(mut self, id: &TenantId, schema: &SchemaName, epoch: i64) -> Self {
        if (self.id(), self.schema(), self.epoch()) != (id, schema, epoch) {
            let record = Arc::make_mut(&mut self.0);
            record.id = id.clone();
            record.schema = schema.clone();
            record.epoch = epoch;
        }
        self
    }

    pub(crate) fn with_adopted(mut self, adopted: bool) -> Self {
        Arc::make_mut(&mut self.0).adopted = adopted;
        self
    }

    /// The stable id.
    #[must_use]
    pub fn id(&self) -> &TenantId {
        &self.0.id
    }

    /// The schema that holds the tenant's rows.
    #[must_use]
    pub fn schema(&self) -> &SchemaName {
        &self.0.schema
    }

    /// The name for people.
    #[must_use]
    pub fn display_name(&self) -> &str {
        &self.0.display_name
    }

    /// What kind of tenant it is, where kinds are told apart: which routes serve it, and which
    /// [migrations](crate::Migrator::kind) it has besides those of all tenants.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.0.kind.as_deref()
    }

    /// Where the tenant is in its life.
    #[must_use]
    pub fn status(&self) -> TenantStatus {
        self.0.status
    }

    /// Whether the schema existed before the tenant. Such a schema is never dropped.
    #[must_use]
    pub fn is_adopted(&self) -> bool {
        self.0.adopted
    }

    /// A number that grows whenever what is known of the tenant must not be used again: after a
    /// migration, a rename, a change of status, or a drop and re-creation under the same name.
    #[must_use]
    pub fn epoch(&self) -> i64 {
        self.0.epoch
    }

    /// Which tenant this is, for good: a number that no other tenant of the registry has or had. It
    /// stays when the tenant is renamed; one that was deleted and created anew under the same id has
    /// another. Not part of the JSON.
    ///
    /// 0 is no tenant of the registry: the value was made by [`new`](Self::new).
    #[must_use]
    pub fn incarnation(&self) -> i64 {
        self.0.incarnation
    }

    /// The application's own data about the tenant.
    #[must_use]
    pub fn attributes(&self) -> &serde_json::Map<String, serde_json::Value> {
        &self.0.attributes
    }

    /// One attribute, as a value of the application's type; `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when the attribute is there but is not a `T`.
    pub fn attribute<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let Some(value) = self.0.attributes.get(name) else {
            return Ok(None);
        };
        T::deserialize(value).map(Some).map_err(|error| {
            Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "attribute {name:?} of tenant {} is not a {}",
                    self.id(),
                    std::any::type_name::<T>()
                ),
            )
            .with_tenant(self.id())
            .with_source(error)
        })
    }
}
