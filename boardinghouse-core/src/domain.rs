//! Host names, in one normal form.

use std::{fmt, str::FromStr};

use crate::{
    error::{Error, ErrorKind, Result},
    names::is_label,
};

/// A host name that can lead to a tenant, in normal form: lower case, without port and without the
/// dot at the end.
///
/// # Examples
///
/// ```
/// use boardinghouse_core::DomainName;
///
/// for same in ["acme.example.com", "ACME.Example.COM.", "acme.example.com.:8080", "acme.example.com:80."] {
///     assert_eq!(DomainName::parse(same)?.as_str(), "acme.example.com");
/// }
/// assert_eq!(DomainName::parse("[::1]:8080")?.as_str(), "[::1]");
/// for bad in ["", ".", "a b", "a..b", "a..", "a..:80", "http://a", "a:b", "[::1", "ä.example.com"] {
///     assert!(DomainName::parse(bad).is_err(), "{bad:?}");
/// }
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct DomainName(String);

impl DomainName {
    /// The longest name, in bytes (RFC 1035, section 2.3.4, without the root's dot).
    pub const MAX_LEN: usize = 253;

    /// Checks the host part of a URL or a `Host` header and brings it into normal form.
    ///
    /// A port is dropped, whatever its number. Internationalised names are taken in their ASCII form
    /// only (RFC 5890), as browsers send them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`] when `host` is not a host name or an IP address.
    pub fn parse(host: &str) -> Result<Self> {
        normalize(host).map(Self).ok_or_else(|| {
            let shown: String = host.chars().take(Self::MAX_LEN).collect();
            Error::new(
                ErrorKind::InvalidName,
                format!("{shown:?} is not a host name"),
            )
        })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before `.base`, when this is a name below it.
    ///
    /// # Examples
    ///
    /// ```
    /// use boardinghouse_core::DomainName;
    ///
    /// let base = DomainName::parse("example.com")?;
    /// assert_eq!(DomainName::parse("acme.example.com")?.below(&base), Some("acme"));
    /// assert_eq!(DomainName::parse("example.com")?.below(&base), None);
    /// assert_eq!(DomainName::parse("notexample.com")?.below(&base), None);
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    #[must_use]
    pub fn below(&self, base: &Self) -> Option<&str> {
        self.0.strip_suffix(base.as_str())?.strip_suffix('.')
    }
}

/// The folder of a domain in which a tenant lives: the first segment of a path, `acme` in
/// `example.com/acme/notes`.
///
/// A DNS label, as a [`TenantId`](crate::TenantId) is, and compared as it is: nothing is decoded.
///
/// # Examples
///
/// ```
/// use boardinghouse_core::FolderName;
///
/// assert_eq!(FolderName::parse("acme")?.as_str(), "acme");
/// for bad in ["", "/acme", "Acme", "a/b", "..", "%61", "a_b"] {
///     assert!(FolderName::parse(bad).is_err(), "{bad:?}");
/// }
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct FolderName(String);

impl FolderName {
    /// Checks a segment of a path.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`] when `segment` is not a label.
    pub fn parse(segment: &str) -> Result<Self> {
        if is_label(segment) {
            return Ok(Self(segment.to_owned()));
        }
        Err(Error::new(
            ErrorKind::InvalidName,
            format!(
                "{segment:?} is not a folder: use 1 to 63 lower-case letters, digits or hyphens, with no \
                 hyphen at either end"
            ),
        ))
    }

    /// The folder as text, without slashes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a tenant is found: a domain, or a folder of one.
///
/// # Examples
///
/// ```
/// use boardinghouse_core::Address;
///
/// let folder: Address = "Example.com/acme".parse()?;
/// assert_eq!(folder.to_string(), "example.com/acme");
/// assert_eq!(folder.url("/notes"), "//example.com/acme/notes");
/// let domain: Address = "notes.acme.com".parse()?;
/// assert_eq!(domain.url("notes"), "//notes.acme.com/notes");
/// assert!("example.com/a/b".parse::<Address>().is_err());
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[non_exhaustive]
pub struct Address {
    /// The domain.
    pub domain: DomainName,
    /// The folder; `None` for the domain itself.
    pub folder: Option<FolderName>,
}

impl Address {
    /// A folder of a domain.
    #[must_use]
    pub fn new(domain: DomainName, folder: Option<FolderName>) -> Self {
        Self { domain, folder }
    }

    /// The URL of a path at this address, without a scheme, so that it is the one of the page it is on (RFC
    /// 3986, section 4.2). A slash at the beginning of `path` makes no difference.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        self.url_on_port(None, path)
    }

    /// The same, where the site is on a port of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// use boardinghouse_core::Address;
    ///
    /// let folder: Address = "example.com/acme".parse()?;
    /// assert_eq!(folder.url_on_port(Some(8080), "/notes"), "//example.com:8080/acme/notes");
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    #[must_use]
    pub fn url_on_port(&self, port: Option<u16>, path: &str) -> String {
        let path = path.trim_start_matches('/');
        let port = port.map_or(String::new(), |port| format!(":{port}"));
        match &self.folder {
            Some(folder) => format!("//{}{port}/{folder}/{path}", self.domain),
            None => format!("//{}{port}/{path}", self.domain),
        }
    }

    /// As the registry writes it: empty for the domain itself.
    pub(crate) fn folder(&self) -> &str {
        self.folder.as_ref().map_or("", FolderName::as_str)
    }

    /// What the registry wrote.
    pub(crate) fn read(domain: &str, folder: &str) -> Result<Self> {
        Ok(Self {
            domain: DomainName::parse(domain)?,
            folder: match folder {
                "" => None,
                folder => Some(FolderName::parse(folder)?),
            },
        })
    }
}

impl From<DomainName> for Address {
    fn from(domain: DomainName) -> Self {
        Self::new(domain, None)
    }
}

impl FromStr for Address {
    type Err = Error;

    /// `example.com`, or `example.com/folder`.
    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('/') {
            Some((domain, folder)) => Ok(Self {
                domain: domain.parse()?,
                folder: Some(folder.parse()?),
            }),
            None => Ok(DomainName::parse(text)?.into()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.folder {
            Some(folder) => f.pad(&format!("{}/{folder}", self.domain)),
            None => f.pad(self.domain.as_str()),
        }
    }
}

impl FromStr for FolderName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for FolderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

fn normalize(host: &str) -> Option<String> {
    // The dot of the root, which may also stand after the port.
    let host = host.strip_suffix('.').unwrap_or(host);
    // The colons of an IPv6 address stand in brackets (RFC 3986, section 3.2.2).
    let (name, port) = match host.find(']') {
        Some(end) => (&host[..=end], host[end + 1..].strip_prefix(':')),
        None => host
            .split_once(':')
            .map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let rest = &host[name.len()..];
    if !rest.is_empty() && !port?.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if let Some(address) = name.strip_prefix('[') {
        let address: std::net::Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{address}]"));
    }
    let name = match port {
        Some(_) => name.strip_suffix('.').unwrap_or(name),
        None => name,
    };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    (name.len() <= DomainName::MAX_LEN && name.split('.').all(label))
        .then(|| name.to_ascii_lowercase())
}

impl FromStr for DomainName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
