//! Static tenants as `boardinghouse.toml` writes them.

use std::{
    collections::BTreeMap,
    fmt::Display,
    ops::Range,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};
use toml::Spanned;

use super::{StaticTenant, StaticTenants};
use crate::{
    domain::Address,
    error::{Error, ErrorKind, Result},
    layout::Layout,
    names::{SchemaName, TenantId},
    tenant::{Tenant, check_kind},
};

/// What is wrong, and on which line.
pub(crate) struct Wrong {
    line: usize,
    error: Error,
}

impl Wrong {
    /// The error, which says where in its text it is.
    pub(crate) fn error(self, place: impl FnOnce(usize) -> String) -> Error {
        let message = format!("{}{}", place(self.line), self.error);
        self.error.reworded(message)
    }

    /// What is no TOML, or not ours.
    pub(crate) fn toml(text: &str, error: &toml::de::Error) -> Self {
        let words = toml::de::Error::message(error).trim_end();
        let wrong = Error::new(ErrorKind::InvalidInput, words);
        Self::at(text, error.span(), wrong)
    }

    pub(crate) fn at(text: &str, span: Option<Range<usize>>, error: Error) -> Self {
        let before = span.and_then(|span| text.get(..span.start)).unwrap_or("");
        Self {
            line: before.matches('\n').count() + 1,
            error,
        }
    }
}

/// The text of a configuration.
pub(crate) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| {
        let message = format!("could not read the configuration {}", path.display());
        Error::new(ErrorKind::InvalidInput, message).with_source(error)
    })
}

/// The whole file; what is not ours is not looked at.
#[derive(Deserialize)]
struct File {
    #[serde(default, rename = "static")]
    tenants: BTreeMap<TenantId, Spanned<Section>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    #[serde(default)]
    domains: Vec<Text<Address>>,
    #[serde(default)]
    fallback: bool,
    migrations: Option<PathBuf>,
    schema: Option<SchemaName>,
    kind: Option<Text<Kind>>,
    display_name: Option<Text<DisplayName>>,
    #[serde(default, deserialize_with = "attributes")]
    attributes: Map<String, Value>,
}

/// What is written as a string.
struct Text<T>(T);

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

struct Kind(String);

impl FromStr for Kind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        check_kind(text)?;
        Ok(Self(text.to_owned()))
    }
}

struct DisplayName(String);

impl FromStr for DisplayName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().is_empty() {
            true => Err("`display_name` is empty"),
            false => Ok(Self(text.to_owned())),
        }
    }
}

fn attributes<'de, D: Deserializer<'de>>(from: D) -> Result<Map<String, Value>, D::Error> {
    let map = Map::deserialize(from)?;
    match map.values().any(holds_date) {
        true => Err(de::Error::custom(
            "attributes are JSON, which has no dates: write a string",
        )),
        false => Ok(map),
    }
}

/// As the TOML library hands a date to those who do not know dates.
fn holds_date(value: &Value) -> bool {
    match value {
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| key.starts_with("$__toml") || holds_date(value)),
        Value::Array(values) => values.iter().any(holds_date),
        _ => false,
    }
}

/// Reads the text of a file in directory `beside`.
pub(super) fn parse(text: &str, layout: &Layout, beside: &Path) -> Result<StaticTenants, Wrong> {
    let file: File = toml::from_str(text).map_err(|error| Wrong::toml(text, &error))?;
    let mut spans = BTreeMap::new();
    let mut tenants = Vec::new();
    for (id, section) in file.tenants {
        let span = section.span();
        tenants.push(
            tenant(id.clone(), section.into_inner(), layout, beside)
                .map_err(|error| Wrong::at(text, Some(span.clone()), error))?,
        );
        spans.insert(id, span);
    }
    StaticTenants::new(tenants, layout).map_err(|error| {
        let span = error.tenant().and_then(|id| spans.remove(id));
        Wrong::at(text, span, error)
    })
}

fn tenant(id: TenantId, section: Section, layout: &Layout, beside: &Path) -> Result<StaticTenant> {
    let schema = match section.schema {
        Some(schema) => schema,
        None => layout.name_for(&id)?,
    };
    let mut tenant = Tenant::new(id, schema).with_attributes(section.attributes.into())?;
    if let Some(Text(Kind(kind))) = section.kind {
        tenant = tenant.with_kind(&kind)?;
    }
    if let Some(Text(DisplayName(name))) = section.display_name {
        tenant = tenant.with_display_name(name);
    }
    Ok(StaticTenant {
        addresses: section.domains.into_iter().map(|Text(a)| a).collect(),
        fallback: section.fallback,
        migrations: section.migrations.map(|dir| beside.join(dir)),
        ..StaticTenant::new(tenant)
    })
}
