//! Names. The only place where one is checked.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// The stable public id of a tenant: a DNS label (RFC 1123, section 2.1).
///
/// Lower-case letters, digits and hyphens, 1 to 63 bytes, no hyphen at either end. Because an id is
/// a label, it can be a subdomain; because it has no underscore, its [`SchemaName`] is one-to-one.
/// `public` is refused: the shared schema is never a tenant.
///
/// # Examples
///
/// ```
/// use boardinghouse_core::TenantId;
///
/// let id: TenantId = "blue-whale".parse()?;
/// assert_eq!(id.as_str(), "blue-whale");
/// for bad in ["", "Acme", "a_b", "-a", "a-", "a.b", "it's", "public", "acme\n"] {
///     assert!(bad.parse::<TenantId>().is_err(), "{bad:?}");
/// }
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// The longest id, in bytes (RFC 1035, section 2.3.4).
    pub const MAX_LEN: usize = 63;

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks `text` and makes an id of it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`] when `text` is not a DNS label, [`ErrorKind::ReservedName`] for
    /// `public`.
    pub fn parse(text: &str) -> Result<Self> {
        if !is_label(text) {
            return Err(Error::new(
                ErrorKind::InvalidName,
                format!(
                    "{text:?} is not a tenant id: use 1 to {} lower-case letters, digits or \
                     hyphens, with no hyphen at either end",
                    Self::MAX_LEN
                ),
            ));
        }
        if text == SchemaName::PUBLIC {
            return Err(Error::new(
                ErrorKind::ReservedName,
                "\"public\" cannot be a tenant: it is the schema that all tenants share",
            ));
        }
        Ok(Self(text.into()))
    }
}

/// Whether `text` is a DNS label in lower case (RFC 1123, section 2.1).
pub(crate) fn is_label(text: &str) -> bool {
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = matches!(bytes, [first, .., last] if edge(*first) && edge(*last))
        || matches!(bytes, [only] if edge(*only));
    ends && bytes.len() <= TenantId::MAX_LEN && bytes.iter().all(|&b| edge(b) || b == b'-')
}

/// The name of a PostgreSQL schema.
///
/// Two ways lead to one. [`parse`](SchemaName::parse) takes only what this library would create for
/// a tenant: `^[a-z][a-z0-9_]{0,62}$`, and none of PostgreSQL's own names.
/// [`existing`](SchemaName::existing) takes every name that PostgreSQL allows, for schemas that are
/// there already.
///
/// Either way the name is quoted wherever it meets SQL.
///
/// # Examples
///
/// ```
/// use boardinghouse_core::SchemaName;
///
/// assert!(SchemaName::parse("acme").is_ok());
/// assert!(SchemaName::parse("Acme").is_err());
/// assert!(SchemaName::parse("pg_temp").is_err());
/// assert!(SchemaName::existing("Acme's old schema").is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SchemaName(Arc<str>);

impl SchemaName {
    /// The longest name, in bytes: `NAMEDATALEN - 1` (PostgreSQL manual, 4.1.1).
    pub const MAX_LEN: usize = 63;
    /// PostgreSQL's default schema, and ours for what tenants share.
    pub const PUBLIC: &'static str = "public";

    /// The name as text, not quoted.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks a name for a schema that this library is to create.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`] when the name is not of the form above;
    /// [`ErrorKind::ReservedName`] for `public`, `information_schema` and `pg_*`.
    pub fn parse(name: &str) -> Result<Self> {
        let bytes = name.as_bytes();
        let first = bytes.first().is_some_and(u8::is_ascii_lowercase);
        let rest = bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_');
        if !first || !rest || bytes.len() > Self::MAX_LEN {
            return Err(Error::new(
                ErrorKind::InvalidName,
                format!(
                    "{name:?} cannot name a tenant's schema: use a lower-case letter, then up to \
                     {} lower-case letters, digits or underscores",
                    Self::MAX_LEN - 1
                ),
            ));
        }
        if is_system(name) || name == Self::PUBLIC {
            return Err(Error::new(
                ErrorKind::ReservedName,
                format!("{name:?} cannot name a tenant's schema: the name belongs to PostgreSQL"),
            ));
        }
        Ok(Self(name.into()))
    }

    /// Checks the name of a schema that exists, or that the application chose for a special role.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`] when PostgreSQL could not hold the name: empty, longer than
    /// [`MAX_LEN`](Self::MAX_LEN) bytes, or with a zero byte. [`ErrorKind::ReservedName`] for
    /// PostgreSQL's own: `information_schema`, `pg_*` and `$user`.
    pub fn existing(name: &str) -> Result<Self> {
        if name.is_empty() || name.len() > Self::MAX_LEN || name.contains('\0') {
            return Err(Error::new(
                ErrorKind::InvalidName,
                format!(
                    "{name:?} cannot name a schema: PostgreSQL allows 1 to {} bytes and no zero \
                     byte",
                    Self::MAX_LEN
                ),
            ));
        }
        // In a search_path, "$user" means the role's own schema even when it is quoted.
        if is_system(name) || name == "$user" {
            return Err(Error::new(
                ErrorKind::ReservedName,
                format!("{name:?} cannot be used as a schema here: it belongs to PostgreSQL"),
            ));
        }
        Ok(Self(name.into()))
    }

    /// `public`.
    #[must_use]
    pub fn public() -> Self {
        Self::known(Self::PUBLIC)
    }

    /// One of this crate's own names.
    pub(crate) fn known(name: &'static str) -> Self {
        Self(name.into())
    }
}

fn is_system(name: &str) -> bool {
    name.starts_with("pg_") || name == "information_schema"
}

macro_rules! text_newtype {
    ($name:ident, $parse:path) => {
        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                $parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                $parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

text_newtype!(TenantId, TenantId::parse);
text_newtype!(SchemaName, SchemaName::existing);
