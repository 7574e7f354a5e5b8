//! Which tenants a run visits, and in which order.

use serde_json::Value;

use crate::{
    error::{Error, ErrorKind, Result},
    names::TenantId,
};

/// Some of the tenants: all conditions must hold. Without any it is all of them.
///
/// # Examples
///
/// ```
/// use boardinghouse_core::{Limit, TenantFilter};
/// use serde_json::json;
///
/// let careful = TenantFilter::new()
///     .attributes(json!({ "plan": "free" }))?
///     .except(["acme".parse()?])
///     .order_by("-seats")
///     .limit(Limit::Percent(5.0));
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TenantFilter {
    /// `None` is all.
    pub(super) only: Option<Vec<TenantId>>,
    pub(super) except: Vec<TenantId>,
    /// All of them.
    pub(super) attributes: Vec<Value>,
    pub(super) order_by: Option<String>,
    pub(super) limit: Option<Limit>,
}

/// How many tenants at the most.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Limit {
    /// As many.
    Count(usize),
    /// This share of those that the other conditions let through, in percent, rounded up.
    Percent(f64),
}

impl TenantFilter {
    /// All tenants, in the order of their ids.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// These tenants and no others. An id that no tenant has is an error of the run.
    #[must_use]
    pub fn only(mut self, ids: impl IntoIterator<Item = TenantId>) -> Self {
        self.only.get_or_insert_default().extend(ids);
        self
    }

    /// Not these. An id that no tenant has is an error of the run.
    #[must_use]
    pub fn except(mut self, ids: impl IntoIterator<Item = TenantId>) -> Self {
        self.except.extend(ids);
        self
    }

    /// Those whose attributes contain this object (PostgreSQL manual, 8.14.3 "jsonb Containment and
    /// Existence"). Said again, those must be contained, too.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when it is no object.
    pub fn attributes(mut self, value: Value) -> Result<Self> {
        if !value.is_object() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("attributes are an object such as {{\"plan\": \"free\"}}, not {value}"),
            ));
        }
        self.attributes.push(value);
        Ok(self)
    }

    /// In the order of an attribute, the smallest first, or the greatest where the name has `-` in front;
    /// tenants that lack it come last, and equals in the order of their ids.
    #[must_use]
    pub fn order_by(mut self, attribute: impl Into<String>) -> Self {
        self.order_by = Some(attribute.into());
        self
    }

    /// At most so many.
    #[must_use]
    pub fn limit(mut self, limit: Limit) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Whether all tenants pass.
    pub(super) fn is_all(&self) -> bool {
        self.only.is_none()
            && self.except.is_empty()
            && self.attributes.is_empty()
            && self.limit.is_none()
    }
}

impl Limit {
    /// How many of `count`.
    pub(super) fn of(self, count: usize) -> usize {
        match self {
            Self::Count(most) => most.min(count),
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a count is one"
            )]
            Self::Percent(share) => ((count as f64 * share / 100.0).ceil() as usize).min(count),
        }
    }
}

impl std::str::FromStr for Limit {
    type Err = Error;

    /// `20`, or `5%`.
    fn from_str(text: &str) -> Result<Self> {
        let limit = match text.strip_suffix('%') {
            Some(share) => share
                .trim()
                .parse()
                .ok()
                .filter(|share| (0.0..=100.0).contains(share))
                .map(Self::Percent),
            None => text.trim().parse().ok().map(Self::Count),
        };
        limit.ok_or_else(|| {
            let message = format!("{text:?} is neither a number of tenants nor a share such as 5%");
            Error::new(ErrorKind::InvalidInput, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Limit;

    #[test]
    fn limits_are_numbers_or_shares() {
        for (text, count, expected) in [
            ("0", 10, 0),
            ("3", 10, 3),
            ("30", 10, 10),
            ("5%", 10, 1),
            ("5%", 1000, 50),
            ("0%", 10, 0),
            ("100%", 10, 10),
            ("0.1 %", 10, 1),
        ] {
            assert_eq!(text.parse::<Limit>().unwrap().of(count), expected, "{text}");
        }
        for text in ["", "%", "-1", "101%", "NaN%", "five", "1.5"] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
    }
}
